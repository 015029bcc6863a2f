#include "capture/desk/capture_request.h"

#include "base/card_shape.h"
#include "base/log.h"
#include "capture/desk/currency.h"
#include "capture/desk/desk_view.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct refusal {
    const char **code;
    char *message;
};

__attribute__((format(printf, 3, 4))) static enum err refuse(struct refusal refusal, const char *code,
                                                             const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(refusal.message, CAPTURE_REQUEST_MESSAGE_BYTES, format, arguments);
    va_end(arguments);
    *refusal.code = code;
    return ERR_RANGE;
}

static enum err read_amount(struct capture_request *request, const json_t *value, struct refusal refusal)
{
    if (!value)
        return refuse(refusal, "amount_missing",
                      "amount is missing: an integer in the currency's minor unit, 1234 for 12.34 EUR");
    if (json_is_real(value))
        return refuse(refusal, "amount_not_integer",
                      "amount must be an integer in the currency's minor unit (1234 for 12.34 EUR), not a "
                      "number with a fraction or an exponent");
    if (json_is_string(value))
        return refuse(refusal, "amount_not_integer",
                      "amount must be a JSON integer in the currency's minor unit (1234 for 12.34 EUR), not "
                      "a string");
    if (!json_is_integer(value))
        return refuse(refusal, "amount_not_integer", "amount must be a JSON integer");
    json_int_t amount = json_integer_value(value);
    if (amount < 1 || amount > LIMIT_AMOUNT_MINOR)
        return refuse(refusal, "amount_out_of_range", "amount must lie between 1 and %lld minor units",
                      LIMIT_AMOUNT_MINOR);
    request->amount_minor = amount;
    return OK;
}

static enum err read_currency(struct capture_request *request, const json_t *value, struct refusal refusal)
{
    const char *code = json_string_value(value);
    if (!code)
        return refuse(refusal, "currency_missing",
                      "currency is missing: three upper-case letters of ISO 4217, for example EUR");
    if (strlen(code) != 3 || !currency_find(code))
        return refuse(refusal, "currency_unknown",
                      "currency must be a code of ISO 4217 in upper-case letters, for example EUR");
    memcpy(request->currency, code, sizeof(request->currency));
    return OK;
}

static enum err read_call(struct capture_request *request, const json_t *value, struct refusal refusal)
{
    const char *text = json_string_value(value);
    if (!text || strncmp(text, "call_", 5) != 0 || log_id_parse(text + 5, &request->call_id) != OK ||
        request->call_id == 0)
        return refuse(refusal, "call_invalid",
                      "call must be the id of a call as GET /v1/calls shows it: call_ and 16 letters a..p");
    return OK;
}

static enum err read_text(char *out, const json_t *value, const char *name, struct refusal refusal)
{
    const char *text = json_string_value(value);
    if (!text || !text[0] || json_string_length(value) >= LIMIT_CALL_REFERENCE_BYTES)
        return refuse(refusal, "call_invalid", "%s must be a string of 1 to %d characters", name,
                      LIMIT_CALL_REFERENCE_BYTES - 1);
    for (const char *c = text; *c; c++) {
        if (*c < 0x20 || *c > 0x7e)
            return refuse(refusal, "call_invalid", "%s must be printable ASCII", name);
    }
    memcpy(out, text, strlen(text) + 1);
    return OK;
}

static enum err read_kind(struct capture_request *request, const json_t *value, struct refusal refusal)
{
    const char *text = json_string_value(value);
    for (unsigned kind = 0; text && kind < CAPTURE_KINDS; kind++) {
        if (strcmp(text, desk_kind_name(kind)) != 0)
            continue;
        request->kind = (enum capture_kind)kind;
        return OK;
    }
    return refuse(refusal, "kind_unknown", "kind must be charge, authorise or tokenise");
}

/* Letters, digits and '-': what the platform's paths can hold. */
static enum err read_platform_id(char *out, const json_t *value, struct refusal refusal)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-";
    const char *text = json_string_value(value);
    size_t length = json_string_length(value);
    if (!text || length == 0 || length >= LIMIT_NAME_BYTES || strspn(text, allowed) != length ||
        card_shape_alone(text))
        return refuse(
            refusal, "platform_id_invalid",
            "conversation and participant are the telephone platform's ids: letters, digits and '-'");
    memcpy(out, text, length + 1);
    return OK;
}

/* E.164. A number of 13 digits and more that could be a card's is refused with the cards. */
static enum err read_sms(char *out, const json_t *value, struct refusal refusal)
{
    const char *text = json_string_value(value);
    size_t length = json_string_length(value);
    if (!text || length < 7 || length > 16 || text[0] != '+' ||
        strspn(text + 1, "0123456789") != length - 1 || card_shape_alone(text + 1))
        return refuse(refusal, "sms_invalid", "sms must be a telephone number: + and 6 to 15 digits");
    memcpy(out, text, length + 1);
    return OK;
}

static enum err read_email(char *out, const json_t *value, struct refusal refusal)
{
    const char *text = json_string_value(value);
    size_t length = json_string_length(value);
    const char *at = text ? strchr(text, '@') : NULL;
    bool is_good = at && at != text && at[1] && !strchr(at + 1, '@') && length < LIMIT_TOKEN_BYTES &&
                   strlen(text) == length && !card_shape_within(text);
    for (size_t i = 0; is_good && i < length; i++)
        is_good = text[i] > 0x20 && text[i] < 0x7f && !strchr("\"\\<>(),;:", text[i]);
    if (!is_good)
        return refuse(refusal, "email_invalid", "email must be an address: name@host");
    memcpy(out, text, length + 1);
    return OK;
}

static enum err read_contact(struct capture_request *request, const char *name, const json_t *value,
                             struct refusal refusal)
{
    if (strcmp(name, "conversation") == 0)
        return read_platform_id(request->conversation, value, refusal);
    if (strcmp(name, "participant") == 0)
        return read_platform_id(request->participant, value, refusal);
    if (strcmp(name, "sms") == 0)
        return read_sms(request->sms, value, refusal);
    if (strcmp(name, "email") == 0)
        return read_email(request->email, value, refusal);
    /* The name is not repeated: it could be anything, also what must not be shown. */
    return refuse(
        refusal, "member_unknown",
        "only call, reference, callee, kind, amount, currency, conversation, participant, sms and email "
        "are known; card data is never sent here");
}

static enum err read_member(struct capture_request *request, const char *name, const json_t *value,
                            struct refusal refusal)
{
    if (strcmp(name, "amount") == 0)
        return read_amount(request, value, refusal);
    if (strcmp(name, "kind") == 0)
        return read_kind(request, value, refusal);
    if (strcmp(name, "currency") == 0)
        return read_currency(request, value, refusal);
    if (strcmp(name, "call") == 0)
        return read_call(request, value, refusal);
    if (strcmp(name, "reference") == 0)
        return read_text(request->reference, value, name, refusal);
    if (strcmp(name, "callee") == 0)
        return read_text(request->callee, value, name, refusal);
    return read_contact(request, name, value, refusal);
}

static enum err read_members(struct capture_request *request, json_t *object, struct refusal refusal)
{
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value)
    {
        enum err err = read_member(request, name, value, refusal);
        if (err)
            return err;
    }
    bool is_for_money = request->kind != CAPTURE_KIND_TOKENISE;
    if (!is_for_money && (request->amount_minor != 0 || request->currency[0]))
        return refuse(refusal, "amount_with_tokenise",
                      "kind tokenise keeps the card for later: it takes no amount and no currency");
    if (is_for_money && request->amount_minor == 0)
        return read_amount(request, NULL, refusal);
    if (is_for_money && !request->currency[0])
        return read_currency(request, NULL, refusal);
    int named = (request->call_id != 0) + (request->reference[0] != 0) + (request->callee[0] != 0);
    if (named != 1)
        return refuse(refusal, "call_missing", "name the call by exactly one of call, reference and callee");
    return OK;
}

enum err capture_request_read(struct capture_request *request, const char *body, size_t length,
                              const char **code, char *message)
{
    struct refusal refusal = {code, message};
    *request = (struct capture_request){0};
    json_t *object = json_loadb(body, length, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(object)) {
        json_decref(object);
        enum err err = refuse(refusal, "body_not_json", "the body must be one JSON object");
        return err ? ERR_SYNTAX : OK;
    }
    enum err err = read_members(request, object, refusal);
    json_decref(object);
    return err;
}
