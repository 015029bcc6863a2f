/* What a REPLY of the gateway means to the payment machine. The gateway talks to a stranger's server: its words are
 * checked here, and whatever is not clear is unsure, never a success. Pure. */
#ifndef TONEGATE_CAPTURE_VAULT_GATEWAY_ANSWER_H
#define TONEGATE_CAPTURE_VAULT_GATEWAY_ANSWER_H

#include "capture/vault/card_fields.h"
#include "capture/vault/payment_machine.h"

#include <stdbool.h>
#include <stddef.h>

/* Terminated within LIMIT_TOKEN_BYTES, only [A-Za-z0-9_-], not empty, and not of the shape of a card number. (The gateway
 * role holds every name against the card itself.) */
bool gateway_name_is_sane(const char *text);

struct gateway_question {
    const struct card_fields
        *fields;            /* while held, NULL afterwards; a token that shows six digits of it is refused */
    const char *order_ref;  /* of the order asked about, "" before CREATE */
    enum capture_kind kind; /* whether held money, or a token alone, is what was wanted */
    bool is_last_attempt;
};

/* *reason: what to show, may differ from the reply's. ERR_RANGE: a value outside its range; then the reply is refused. */
MUST_USE enum err gateway_answer_read(const struct gateway_reply_msg *reply,
                                      const struct gateway_question *question, enum payment_event *event,
                                      enum gateway_reason *reason);

#endif
