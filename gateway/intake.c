#include "gateway/intake.h"

#include "gateway/money.h"

#include <string.h>

/* --- the vault's --- */

static enum err take_text(char *out, const char *text)
{
    if (strnlen(text, LIMIT_TOKEN_BYTES) == LIMIT_TOKEN_BYTES)
        return ERR_RANGE;
    memcpy(out, text, LIMIT_TOKEN_BYTES);
    return OK;
}

static enum err take_card(struct connector_step *what, const struct gateway_tokenise_msg *message)
{
    if (message->number_length == 0 || message->number_length > LIMIT_PAN_DIGITS ||
        message->cvv_length > LIMIT_CVV_DIGITS || message->expiry_month < 1 || message->expiry_month > 12 ||
        message->expiry_year > 99)
        return ERR_RANGE;
    for (size_t i = 0; i < message->number_length; i++) {
        if (message->number[i] > 9)
            return ERR_RANGE;
    }
    for (size_t i = 0; i < message->cvv_length; i++) {
        if (message->cvv[i] > 9)
            return ERR_RANGE;
    }
    bool is_for_money = message->amount_minor != 0;
    if (message->amount_minor < 0 || message->amount_minor > LIMIT_AMOUNT_MINOR ||
        is_for_money != money_is_currency(message->currency))
        return ERR_RANGE;
    what->attempt = message->attempt;
    what->call_id = message->call_id;
    what->amount_minor = message->amount_minor;
    memcpy(what->currency, message->currency, sizeof(what->currency));
    what->card = message;
    return OK;
}

static enum err take_create(struct intake *intake, const struct gateway_order_msg *message)
{
    struct connector_step *what = &intake->what;
    intake->gateway_index = message->gateway_index;
    what->attempt = message->attempt;
    what->call_id = message->call_id;
    what->amount_minor = message->amount_minor;
    what->is_authorise_only = message->is_authorise_only != 0;
    memcpy(what->currency, message->currency, sizeof(what->currency));
    return take_text(what->token, message->token);
}

static enum err take_step(struct intake *intake, const struct gateway_step_msg *message)
{
    struct connector_step *what = &intake->what;
    intake->gateway_index = message->gateway_index;
    what->attempt = message->attempt;
    what->amount_minor = message->amount_minor;
    what->is_authorise_only = message->is_authorise_only != 0;
    memcpy(what->currency, message->currency, sizeof(what->currency));
    enum err err = take_text(what->token, message->token);
    return err ? err : take_text(what->order_ref, message->order_ref);
}

enum err intake_vault(struct intake *intake, const struct msg_header *message)
{
    struct connector_step *what = &intake->what;
    memset(intake, 0, sizeof(*intake));
    what->capture_id = message->subject;
    switch (message->type) {
    case GATEWAY_TOKENISE:
        what->operation = CONNECTOR_TOKENISE;
        return take_card(what, (const void *)message);
    case GATEWAY_CREATE:
        what->operation = CONNECTOR_CREATE;
        return take_create(intake, (const void *)message);
    case GATEWAY_CONFIRM:
        what->operation = CONNECTOR_CONFIRM;
        return take_step(intake, (const void *)message);
    case GATEWAY_STATUS:
        what->operation = CONNECTOR_STATUS;
        return take_step(intake, (const void *)message);
    case GATEWAY_ABANDON:
        what->operation = CONNECTOR_ABANDON;
        return take_step(intake, (const void *)message);
    default:
        return ERR_UNSUPPORTED;
    }
}

/* --- the desk's --- */

/* Printable ASCII; a gateway's own names have no blank either. */
static enum err take_name(char *out, const char *text, size_t capacity, char least)
{
    size_t length = strnlen(text, capacity);
    if (length == capacity)
        return ERR_RANGE;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < least || text[i] > '~')
            return ERR_RANGE;
    }
    memset(out, 0, capacity);
    memcpy(out, text, length);
    return OK;
}

static const struct order_row {
    enum connector_operation operation;
    bool needs_amount;
    bool needs_order;
    bool needs_token;
} order_rows[ORDER_KINDS] = {
    [ORDER_KIND_CAPTURE] = {CONNECTOR_CAPTURE, true, true, false},
    [ORDER_KIND_VOID] = {CONNECTOR_VOID, false, true, false},
    [ORDER_KIND_REFUND] = {CONNECTOR_REFUND, true, true, false},
    [ORDER_KIND_SUBSCRIBE] = {CONNECTOR_SUBSCRIBE, false, false, true},
    [ORDER_KIND_LINK] = {CONNECTOR_LINK, true, false, false},
};

static enum err take_amount(struct connector_step *what, const struct order_take_msg *order,
                            const struct order_row *row)
{
    if (order->amount_minor < (row->needs_amount ? 1 : 0) || order->amount_minor > LIMIT_AMOUNT_MINOR)
        return ERR_RANGE;
    bool has_currency = money_is_currency(order->currency);
    bool is_empty = memcmp(order->currency, (char[4]){0}, sizeof(order->currency)) == 0;
    if (!has_currency && (!is_empty || order->amount_minor > 0))
        return ERR_RANGE;
    what->amount_minor = order->amount_minor;
    memcpy(what->currency, order->currency, sizeof(what->currency));
    return OK;
}

static enum err take_names(struct connector_step *what, const struct order_take_msg *order)
{
    enum err err = take_name(what->token, order->token, sizeof(what->token), '!');
    if (!err)
        err = take_name(what->order_ref, order->order_ref, sizeof(what->order_ref), '!');
    if (!err)
        err = take_name(what->customer, order->customer, sizeof(what->customer), '!');
    if (!err)
        err = take_name(what->plan, order->plan, sizeof(what->plan), ' ');
    if (!err)
        err = take_name(what->reference, order->reference, sizeof(what->reference), ' ');
    return err;
}

enum err intake_order(struct intake *intake, const struct order_take_msg *order)
{
    struct connector_step *what = &intake->what;
    memset(intake, 0, sizeof(*intake));
    if (order->header.subject == 0 || order->kind >= ORDER_KINDS || order->interval_unit >= INTERVALS)
        return ERR_RANGE;
    const struct order_row *row = &order_rows[order->kind];
    what->operation = row->operation;
    what->capture_id = order->header.subject;
    what->call_id = order->call_id;
    what->interval_count = order->interval_count;
    what->interval_unit = order->interval_unit;
    intake->gateway_index = order->gateway_index;
    enum err err = take_amount(what, order, row);
    if (!err)
        err = take_names(what, order);
    if (err)
        return err;
    bool has_all = (!row->needs_order || what->order_ref[0]) && (!row->needs_token || what->token[0]);
    return has_all ? OK : ERR_RANGE;
}

bool intake_moves_money(enum connector_operation operation)
{
    return operation == CONNECTOR_CONFIRM || (operation >= CONNECTOR_CAPTURE && operation < CONNECTOR_LINK);
}

bool intake_is_order(enum connector_operation operation)
{
    return operation >= CONNECTOR_CAPTURE;
}
