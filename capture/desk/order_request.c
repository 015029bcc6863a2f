#include "capture/desk/order_request.h"

#include "base/card_shape.h"
#include "base/log.h"
#include "capture/desk/currency.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define INTERVAL_COUNT_MAX 365

struct refusal {
    const char **code;
    char *message;
};

static enum err refuse(struct refusal refusal, const char *code, const char *message)
{
    snprintf(refusal.message, ORDER_REQUEST_MESSAGE_BYTES, "%s", message);
    *refusal.code = code;
    return ERR_RANGE;
}

static const char *const interval_names[INTERVALS] = {"plan", "day", "week", "month", "year"};

const char *order_interval_name(enum order_interval interval)
{
    return interval_names[(unsigned)interval < INTERVALS ? interval : INTERVAL_OF_PLAN];
}

static enum err read_amount(struct order_request *request, const json_t *value, struct refusal refusal)
{
    json_int_t amount = json_integer_value(value);
    if (!json_is_integer(value))
        return refuse(refusal, "amount_not_integer",
                      "amount must be a JSON integer in the currency's minor unit (1234 for 12.34 EUR)");
    if (amount < 1 || amount > LIMIT_AMOUNT_MINOR)
        return refuse(refusal, "amount_out_of_range", "amount must lie between 1 and 99999999 minor units");
    request->amount_minor = amount;
    return OK;
}

static enum err read_currency(struct order_request *request, const json_t *value, struct refusal refusal)
{
    const char *code = json_string_value(value);
    if (!code || strlen(code) != 3 || !currency_find(code))
        return refuse(refusal, "currency_unknown",
                      "currency must be a code of ISO 4217 in upper-case letters, for example EUR");
    memcpy(request->currency, code, sizeof(request->currency));
    return OK;
}

static enum err read_call(struct order_request *request, const json_t *value, struct refusal refusal)
{
    const char *text = json_string_value(value);
    if (!text || strncmp(text, "call_", 5) != 0 || log_id_parse(text + 5, &request->call_id) != OK ||
        request->call_id == 0)
        return refuse(refusal, "call_invalid", "call must be the id of a call: call_ and 16 letters a..p");
    return OK;
}

/* Printable ASCII, and nothing that could be a card number: it goes to the gateway and into its books. */
static enum err read_text(char *out, size_t capacity, const json_t *value, struct refusal refusal)
{
    const char *text = json_string_value(value);
    size_t length = json_string_length(value);
    if (!text || length == 0 || length >= capacity || strlen(text) != length)
        return refuse(refusal, "text_invalid", "plan, customer and reference are short strings, not empty");
    for (size_t i = 0; i < length; i++) {
        if (text[i] < 0x20 || text[i] > 0x7e)
            return refuse(refusal, "text_invalid", "plan, customer and reference must be printable ASCII");
    }
    if (card_shape_within(text))
        return refuse(refusal, "card_number", "a text looks like a card number, which is never sent here");
    memcpy(out, text, length + 1);
    return OK;
}

static enum err read_interval(struct order_request *request, const json_t *value, struct refusal refusal)
{
    const char *text = json_string_value(value);
    for (int i = INTERVAL_DAY; i < INTERVALS && text; i++) {
        if (strcmp(interval_names[i], text) == 0) {
            request->interval_unit = (uint8_t)i;
            return OK;
        }
    }
    return refuse(refusal, "interval_invalid", "interval must be day, week, month or year");
}

static enum err read_count(struct order_request *request, const json_t *value, struct refusal refusal)
{
    json_int_t count = json_integer_value(value);
    if (!json_is_integer(value) || count < 1 || count > INTERVAL_COUNT_MAX)
        return refuse(refusal, "interval_invalid", "interval_count must be a whole number, 1 to 365");
    request->interval_count = (uint16_t)count;
    return OK;
}

static enum err read_plan(struct order_request *request, const json_t *value, struct refusal refusal)
{
    return read_text(request->plan, sizeof(request->plan), value, refusal);
}

static enum err read_customer(struct order_request *request, const json_t *value, struct refusal refusal)
{
    return read_text(request->customer, sizeof(request->customer), value, refusal);
}

static enum err read_reference(struct order_request *request, const json_t *value, struct refusal refusal)
{
    return read_text(request->reference, sizeof(request->reference), value, refusal);
}

#define OF(kind) (1u << ORDER_KIND_##kind)

static const struct {
    const char *name;
    unsigned kinds; /* that know it */
    enum err (*read)(struct order_request *request, const json_t *value, struct refusal refusal);
} members[] = {
    {"amount", OF(CAPTURE) | OF(REFUND) | OF(SUBSCRIBE) | OF(LINK), read_amount},
    {"currency", OF(SUBSCRIBE) | OF(LINK), read_currency},
    {"call", OF(LINK), read_call},
    {"plan", OF(SUBSCRIBE), read_plan},
    {"customer", OF(SUBSCRIBE) | OF(LINK), read_customer},
    {"reference", OF(CAPTURE) | OF(VOID) | OF(REFUND) | OF(SUBSCRIBE) | OF(LINK), read_reference},
    {"interval", OF(SUBSCRIBE), read_interval},
    {"interval_count", OF(SUBSCRIBE), read_count},
};

static enum err read_members(struct order_request *request, enum order_kind kind, json_t *object,
                             struct refusal refusal)
{
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value)
    {
        enum err err = ERR_NOT_FOUND;
        for (size_t i = 0; i < sizeof(members) / sizeof(members[0]) && err == ERR_NOT_FOUND; i++) {
            if (strcmp(members[i].name, name) == 0 && (members[i].kinds >> kind & 1u))
                err = members[i].read(request, value, refusal);
        }
        if (err == ERR_NOT_FOUND) /* the name is not repeated: it could be anything */
            return refuse(refusal, "member_unknown", "the body has a member that is not known here");
        if (err)
            return err;
    }
    return OK;
}

/* What no single member can tell. */
static enum err check_whole(struct order_request *request, enum order_kind kind, struct refusal refusal)
{
    if (kind == ORDER_KIND_LINK && (request->amount_minor == 0 || !request->currency[0]))
        return refuse(refusal, "amount_missing", "a payment link needs amount and currency");
    if (kind != ORDER_KIND_SUBSCRIBE)
        return OK;
    if ((request->interval_count != 0) != (request->interval_unit != INTERVAL_OF_PLAN))
        return refuse(refusal, "interval_invalid", "interval and interval_count belong together");
    if (!request->plan[0] && (request->amount_minor == 0 || request->interval_count == 0))
        return refuse(refusal, "plan_missing",
                      "a subscription needs the gateway's plan, or amount, interval and interval_count");
    return OK;
}

enum err order_request_read(struct order_request *request, enum order_kind kind, const char *body,
                            size_t length, const char **code, char *message)
{
    struct refusal refusal = {code, message};
    *request = (struct order_request){0};
    json_t *object = length ? json_loadb(body, length, JSON_REJECT_DUPLICATES, NULL) : json_object();
    if (!json_is_object(object)) {
        json_decref(object);
        enum err err = refuse(refusal, "body_not_json", "the body must be one JSON object");
        return err ? ERR_SYNTAX : OK;
    }
    enum err err = read_members(request, kind, object, refusal);
    json_decref(object);
    return err ? err : check_whole(request, kind, refusal);
}
