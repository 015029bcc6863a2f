/* Currencies of ISO 4217 and how many decimals their minor unit has (requirement C6: amounts are integers from the
 * first digit on, no binary fraction ever). */
#ifndef TONEGATE_CAPTURE_DESK_CURRENCY_H
#define TONEGATE_CAPTURE_DESK_CURRENCY_H

#include <stddef.h>

struct currency {
    char code[4];
    int exponent; /* 0, 2 or 3 */
};

/* code is three upper-case letters, terminated. NULL when ISO 4217 has no such currency in use. */
const struct currency *currency_find(const char *code);

/* The whole table, ordered by code. */
const struct currency *currency_table(size_t *count);

#endif
