/* Amounts as integers of the smallest unit, with ISO 4217's exponents (requirement C6: never a binary fraction). */
#ifndef TONEGATE_GATEWAY_MONEY_H
#define TONEGATE_GATEWAY_MONEY_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MONEY_TEXT_BYTES 24

/* Three capital letters, terminated. */
bool money_is_currency(const char *currency);

/* Digits behind the point: 0, 2, 3 or 4; 2 for a code that is not in the table. */
unsigned money_exponent(const char *currency);

/* "10.00", "500", "1.250". amount_minor 0 or more. out has room for MONEY_TEXT_BYTES. */
void money_text(int64_t amount_minor, const char *currency, char *out);

/* The opposite: exactly as many decimals as the currency has, nothing before, between or after. ERR_SYNTAX, ERR_RANGE. */
MUST_USE enum err money_parse(const char *text, const char *currency, int64_t *amount_minor);

#endif
