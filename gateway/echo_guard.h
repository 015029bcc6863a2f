/* Knows the cards of the last half hour without knowing them: a reference that a gateway gives must not be, or hide,
 * the number of a card it was given. Connectors let long numbers pass (connector_take_number()) and rely on this.
 *
 * A card is kept as 64 bits of HMAC-SHA256 under a random key that lives in a struct secret. Key and hashes are drawn
 * anew every ECHO_GENERATION_MS and the generation before the last one is wiped, so that after twice that time, counted
 * to the next call, nothing is left to try numbers against. Not kept: capture, digits, their sum. Thread: one owner. */
#ifndef TONEGATE_GATEWAY_ECHO_GUARD_H
#define TONEGATE_GATEWAY_ECHO_GUARD_H

#include "base/clock.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ECHO_GENERATION_MS (30 * 60 * 1000)
#define ECHO_DIGITS_MIN    12 /* shorter ones are no cards and would be found everywhere */

struct echo_guard;

/* ERR_MEMORY, ERR_SYSTEM (no random numbers). */
MUST_USE enum err echo_guard_new(struct echo_guard **out, struct mono_time now);
void echo_guard_free(struct echo_guard *guard); /* NULL is accepted */

/* digits 0..9, ECHO_DIGITS_MIN..LIMIT_PAN_DIGITS of them, else ERR_RANGE. ERR_SYSTEM. More than fit push the oldest
 * out: some thousand of a half hour do. */
MUST_USE enum err echo_guard_remember(struct echo_guard *guard, struct mono_time now, const uint8_t *digits,
                                      size_t count);

/* True: text (terminated) has a remembered card in it, as neighbouring digits; '-' and '_' between them do not count. */
bool echo_guard_finds(struct echo_guard *guard, struct mono_time now, const char *text);

#endif
