#include "capture/vault/gateway_answer.h"

#include "base/card_shape.h"

#include <string.h>

static bool is_name_character(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

bool gateway_name_is_sane(const char *text)
{
    size_t length = strnlen(text, LIMIT_TOKEN_BYTES);
    if (length == 0 || length == LIMIT_TOKEN_BYTES)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (!is_name_character(text[i]))
            return false;
    }
    return !card_shape_alone(text);
}

static bool names_another_order(const struct gateway_reply_msg *reply, const char *order_ref)
{
    return reply->order_ref[0] != 0 && strncmp(reply->order_ref, order_ref, LIMIT_TOKEN_BYTES) != 0;
}

/* The order is where it was to go: the money taken, or held where holding it was asked for. Taken at once although it
 * was to be held only is an end too, and one that must be told. */
static bool is_reached(const struct gateway_question *question, enum gateway_order_state order_state)
{
    return order_state == ORDER_SUCCEEDED ||
           (order_state == ORDER_AUTHORISED && question->kind == CAPTURE_KIND_AUTHORISE);
}

static bool token_is_sane(const struct gateway_reply_msg *reply, const struct card_fields *fields)
{
    return gateway_name_is_sane(reply->token) && !(fields && card_fields_show_in(fields, reply->token));
}

static enum payment_event read_done(const struct gateway_reply_msg *reply,
                                    const struct gateway_question *question, enum gateway_reason *reason)
{
    bool is_sane = true;
    enum payment_event event = EVENT_CONFIRMED;
    if (reply->request_type == GATEWAY_TOKENISE) {
        event = question->kind == CAPTURE_KIND_TOKENISE ? EVENT_TOKEN_KEPT : EVENT_TOKEN;
        is_sane = token_is_sane(reply, question->fields);
    } else if (reply->request_type == GATEWAY_CREATE) {
        event = EVENT_ORDER;
        is_sane = gateway_name_is_sane(reply->order_ref);
    } else if (names_another_order(reply, question->order_ref)) {
        *reason = REASON_BAD_ANSWER;
        return EVENT_NO_ANSWER;
    }
    if (is_sane)
        return event;
    *reason = REASON_BAD_ANSWER;
    return EVENT_STEP_FAILED;
}

/* TOKENISE, CREATE, CONFIRM */
static enum payment_event read_step(const struct gateway_reply_msg *reply,
                                    const struct gateway_question *question, enum gateway_reason *reason)
{
    bool is_paid_after_all = reply->order_state == ORDER_SUCCEEDED || reply->order_state == ORDER_PENDING ||
                             reply->order_state == ORDER_AUTHORISED;
    switch (reply->outcome) {
    case GATEWAY_DONE:
        return read_done(reply, question, reason);
    case GATEWAY_NO_ANSWER:
        return EVENT_NO_ANSWER;
    default:
        break;
    }
    if (reply->request_type == GATEWAY_CONFIRM && is_paid_after_all)
        return EVENT_NO_ANSWER; /* says no and yes: ask */
    if (reply->outcome == GATEWAY_DECLINED)
        return question->is_last_attempt ? EVENT_DECLINED_LAST : EVENT_DECLINED;
    return EVENT_STEP_FAILED;
}

static enum payment_event read_status(const struct gateway_reply_msg *reply,
                                      const struct gateway_question *question)
{
    enum gateway_order_state state = (enum gateway_order_state)reply->order_state;
    if (names_another_order(reply, question->order_ref))
        return EVENT_STATUS_UNSURE;
    if (reply->outcome == GATEWAY_DECLINED && state != ORDER_SUCCEEDED && state != ORDER_AUTHORISED)
        return EVENT_STATUS_OPEN;
    if (reply->outcome != GATEWAY_DONE)
        return EVENT_STATUS_UNSURE;
    if (is_reached(question, state))
        return EVENT_STATUS_SUCCEEDED;
    switch (state) {
    case ORDER_OPEN:
        return EVENT_STATUS_OPEN;
    case ORDER_CANCELLED:
        return EVENT_STATUS_CANCELLED;
    default: /* an order of ours that the gateway does not know is no proof that no money moved */
        return EVENT_STATUS_UNSURE;
    }
}

static enum payment_event read_abandon(const struct gateway_reply_msg *reply,
                                       const struct gateway_question *question)
{
    if (names_another_order(reply, question->order_ref))
        return EVENT_ABANDON_UNSURE;
    if (is_reached(question, (enum gateway_order_state)reply->order_state))
        return EVENT_ABANDON_PAID;
    bool is_over = reply->order_state == ORDER_CANCELLED || reply->order_state == ORDER_NONE;
    return reply->outcome == GATEWAY_DONE && is_over ? EVENT_ABANDONED : EVENT_ABANDON_UNSURE;
}

enum err gateway_answer_read(const struct gateway_reply_msg *reply, const struct gateway_question *question,
                             enum payment_event *event, enum gateway_reason *reason)
{
    if (reply->outcome >= GATEWAY_OUTCOMES || reply->order_state >= ORDER_STATES ||
        reply->reason >= REASON_COUNT || reply->gateway_index >= LIMIT_GATEWAYS || reply->advice >= ADVICES)
        return ERR_RANGE;
    *reason = (enum gateway_reason)reply->reason;
    switch (reply->request_type) {
    case GATEWAY_TOKENISE:
    case GATEWAY_CREATE:
    case GATEWAY_CONFIRM:
        *event = read_step(reply, question, reason);
        return OK;
    case GATEWAY_STATUS:
        *event = read_status(reply, question);
        return OK;
    case GATEWAY_ABANDON:
        *event = read_abandon(reply, question);
        return OK;
    default:
        return ERR_RANGE;
    }
}
