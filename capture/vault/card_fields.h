/* The three fields of a card while they are keyed. Each lives in a struct secret; what leaves this file is counts and
 * verdicts, and once, for the gateway, the digits.
 *
 * Keys: a digit is added to the selected field, '*' clears it, '#' ends it. A field ends by itself when its length
 * leaves no doubt; then the next field that is not yet valid is selected. A number that is complete and wrong stays as
 * it is, to be seen, and goes with the next digit, '*' or reset. What does not fit is ignored and counted.
 *
 * Ends by itself: a number at its brand's usual length (Visa, Mastercard, Discover, JCB 16; Amex 15), or at the usual
 * length with a right check digit (Diners 14), or at the longest (UnionPay, Maestro 19; shorter ones need '#' or the
 * desk's selection of another field); the expiry at four digits; the code at three or four as the brand says. */
#ifndef TONEGATE_CAPTURE_VAULT_CARD_FIELDS_H
#define TONEGATE_CAPTURE_VAULT_CARD_FIELDS_H

#include "base/clock.h"
#include "capture/capture_msg.h"
#include "gateway/gateway_msg.h"
#include "proxy/proxy_msg.h"

#include <stdbool.h>
#include <stdint.h>

struct card_fields;

/* brands: bits 1 << enum card_brand that are accepted. Three locked mappings. ERR_MEMORY. */
MUST_USE enum err card_fields_new(struct card_fields **out, uint32_t brands);

/* Wipes. NULL is accepted. */
void card_fields_free(struct card_fields *fields);

/* now: for the expiry. ERR_RANGE (no such key), ERR_FULL (ignored: nowhere to put it; counted). */
MUST_USE enum err card_fields_key(struct card_fields *fields, dtmf_key key, struct wall_time now);

/* Ends the field being keyed, selects another (CARD_FIELD_NONE: none), clears it when is_reset. ERR_RANGE. */
MUST_USE enum err card_fields_select(struct card_fields *fields, enum card_field field, bool is_reset,
                                     struct wall_time now);

/* Clears the selected field, or the one keyed last when all are full. */
void card_fields_clear_selected(struct card_fields *fields);

/* Every field, and the selection goes back to the number. */
void card_fields_wipe(struct card_fields *fields);

bool card_fields_are_full(const struct card_fields *fields); /* all complete and valid */
bool card_fields_are_empty(const struct card_fields *fields);
enum card_field card_fields_selected(const struct card_fields *fields);
enum card_brand card_fields_brand(const struct card_fields *fields);
enum capture_problem card_fields_problem(const struct card_fields *fields);
uint64_t card_fields_ignored(const struct card_fields *fields);
void card_fields_view(const struct card_fields *fields, struct capture_field_view views[CARD_FIELDS]);

/* Puts the digits into the one message that carries them; the caller wipes it after sending. ERR_ORDER unless full. */
MUST_USE enum err card_fields_fill(const struct card_fields *fields, struct gateway_tokenise_msg *message);

/* True when text holds six or more successive digits that also stand next to each other in the number. */
bool card_fields_show_in(const struct card_fields *fields, const char *text);

#endif
