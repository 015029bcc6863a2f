/* Does a text look as if it held a card number? For texts that others wrote: references of gateways, names out of
 * SIP, log-worthy anything. A guard behind the walls that keep cards out, not one of them. Pure, any thread.
 *
 * Source: ISO/IEC 7812-1 (length, first digit, check digit). */
#ifndef TONEGATE_BASE_CARD_SHAPE_H
#define TONEGATE_BASE_CARD_SHAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* digits: 0..9 each, the last one the check digit. */
bool card_shape_check_digit_fits(const uint8_t *digits, size_t count);

/* Any 13 to 19 successive digits with a right check digit, blanks, '-' and '.' between them not counted. One text in
 * two that holds a longer number is taken for a card: for texts that need no such number. */
bool card_shape_within(const char *text);

/* The same for a whole run of digits only, and only if it begins as bank cards do, with 2 to 6. Gateways whose
 * references are long numbers (22 digits, or beginning with 8) pass. */
bool card_shape_alone(const char *text);

#endif
