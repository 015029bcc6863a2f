#include "gateway/connectors/generic_priv.h"
#include "gateway/connectors/reply_xml.h"
#include "gateway/money.h"
#include "gateway/reply_json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLACE_BYTES CONNECTOR_CARRY_BYTES /* longest text that is taken out of an answer */

struct reply {
    const struct mapping *mapping;
    json_t *json;
    xmlDoc *xml;
    bool is_read; /* there is a document, or none is to be expected */
};

static void reply_open(struct reply *reply, const struct mapping *mapping,
                       const struct connector_answer *answer)
{
    *reply = (struct reply){.mapping = mapping};
    if (mapping->format == MAPPING_XML)
        reply->xml = reply_xml_parse(answer);
    else
        reply->json = reply_parse(answer);
    bool is_empty = answer->status == 204 && answer->body_length == 0;
    reply->is_read = reply->xml || json_is_object(reply->json) || json_is_array(reply->json) || is_empty;
}

static void reply_close(struct reply *reply)
{
    json_decref(reply->json);
    xmlFreeDoc(reply->xml);
}

static const json_t *json_at(const json_t *value, const char *path)
{
    while (value && *path) {
        char name[MAPPING_KEY_BYTES];
        size_t length = strcspn(path, ".");
        memcpy(name, path, length);
        name[length] = '\0';
        if (json_is_array(value)) {
            bool is_index = length > 0 && length < 4 && strspn(name, "0123456789") == length;
            value = is_index ? json_array_get(value, strtoul(name, NULL, 10)) : NULL;
        } else {
            value = json_object_get(value, name);
        }
        path += length + (path[length] == '.');
    }
    return value;
}

static bool json_text(const json_t *value, char *out, size_t capacity)
{
    int length = -1;
    if (json_is_string(value))
        length = snprintf(out, capacity, "%s", json_string_value(value));
    else if (json_is_integer(value))
        length = snprintf(out, capacity, "%lld", (long long)json_integer_value(value));
    else if (json_is_boolean(value))
        length = snprintf(out, capacity, "%s", json_is_true(value) ? "true" : "false");
    bool is_whole = length >= 0 && (size_t)length < capacity &&
                    (!json_is_string(value) || strlen(out) == json_string_length(value));
    if (!is_whole)
        out[0] = '\0';
    return is_whole;
}

/* False and an empty out: not told, null, an object, or too long. */
static bool reply_place(const struct reply *reply, const char *path, char *out)
{
    out[0] = '\0';
    if (!path)
        return false;
    if (reply->mapping->format == MAPPING_XML)
        return reply_xml_text(reply->xml, path, out, PLACE_BYTES);
    return json_text(json_at(reply->json, path), out, PLACE_BYTES);
}

static bool take_reference(const struct reply *reply, const char *path, char *out)
{
    char text[PLACE_BYTES];
    bool is_taken = reply_place(reply, path, text) &&
                    (reply->mapping->takes_numbers ? connector_take_number(text, out, LIMIT_TOKEN_BYTES)
                                                   : connector_take_id(text, "", out, LIMIT_TOKEN_BYTES));
    wipe(text, sizeof(text));
    return is_taken;
}

/* A session goes back where it came from, so it may hold what tokens of RFC 6750 hold. */
static bool take_session(const struct reply *reply, const char *path, char *out)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=";
    char text[PLACE_BYTES];
    bool is_good = reply_place(reply, path, text) && text[0] && strspn(text, allowed) == strlen(text);
    if (is_good)
        memcpy(out, text, strlen(text) + 1);
    wipe(text, sizeof(text));
    return is_good;
}

/* A JSON number with a point is a binary fraction here: it is believed if it is the amount to three digits more. */
static bool is_decimal(double value, const struct connector_step *step)
{
    char text[64], money[MONEY_TEXT_BYTES], expected[MONEY_TEXT_BYTES + 4];
    unsigned digits = money_exponent(step->currency);
    money_text(step->amount_minor, step->currency, money);
    snprintf(expected, sizeof(expected), "%s%s", money, digits == 0 ? ".000" : "000");
    snprintf(text, sizeof(text), "%.*f", (int)digits + 3, value);
    return strcmp(text, expected) == 0;
}

static bool is_amount(const struct reply *reply, const char *path, const struct connector_step *step)
{
    char text[PLACE_BYTES];
    int64_t value = 0;
    const json_t *number = reply->json ? json_at(reply->json, path) : NULL;
    if (json_is_real(number))
        return reply->mapping->is_decimal_amount && is_decimal(json_real_value(number), step);
    if (json_is_integer(number) && reply->mapping->is_decimal_amount)
        return is_decimal((double)json_integer_value(number), step);
    if (!reply_place(reply, path, text))
        return false;
    if (reply->mapping->is_decimal_amount)
        return money_parse(text, step->currency, &value) == OK && value == step->amount_minor;
    char *end;
    errno = 0;
    value = strtoll(text, &end, 10);
    return !errno && *end == '\0' && text[0] >= '0' && text[0] <= '9' && value == step->amount_minor;
}

static bool is_text(const struct reply *reply, const char *path, const char *expected)
{
    char text[PLACE_BYTES];
    return reply_place(reply, path, text) && strcasecmp(text, expected) == 0;
}

static bool fits(const struct reply *reply, const char *path, const char *expected)
{
    char text[PLACE_BYTES];
    if (!expected)
        return true;
    bool is_there = reply->is_read && reply_place(reply, path, text);
    if (expected[0] == '\0')
        return reply->is_read && !is_there;
    return is_there && (strcmp(expected, "*") == 0 || strcmp(text, expected) == 0);
}

static const struct mapping_result *find_result(const struct reply *reply,
                                                const struct mapping_answer *places, unsigned status,
                                                size_t first, size_t count)
{
    for (size_t i = first; i < first + count; i++) {
        const struct mapping_result *result = &reply->mapping->results[i];
        if (status >= result->http_from && status <= result->http_to &&
            fits(reply, places->status, result->status) && fits(reply, places->error, result->error))
            return result;
    }
    return NULL;
}

/* What a status means that the mapping does not speak of, or that comes without a document. */
static const struct mapping_result plain_results[] = {
    {401, 401, NULL, NULL, GATEWAY_FAILED, ORDER_NONE, REASON_CONFIGURATION, false},
    {403, 403, NULL, NULL, GATEWAY_FAILED, ORDER_NONE, REASON_CONFIGURATION, false},
    {429, 429, NULL, NULL, GATEWAY_UNAVAILABLE, ORDER_NONE, REASON_UNAVAILABLE, true},
    {500, 599, NULL, NULL, GATEWAY_NO_ANSWER, ORDER_NONE, REASON_UNAVAILABLE, true},
};

static const struct mapping_result *plain_result(unsigned status)
{
    for (size_t i = 0; i < sizeof(plain_results) / sizeof(plain_results[0]); i++) {
        if (status >= plain_results[i].http_from && status <= plain_results[i].http_to)
            return &plain_results[i];
    }
    return NULL;
}

static enum gateway_order_state state_of(const struct mapping_result *result,
                                         const struct connector_step *step)
{
    static const enum gateway_order_state defaults[CONNECTOR_OPERATIONS] = {
        [CONNECTOR_CREATE] = ORDER_OPEN,       [CONNECTOR_CONFIRM] = ORDER_SUCCEEDED,
        [CONNECTOR_ABANDON] = ORDER_CANCELLED, [CONNECTOR_CAPTURE] = ORDER_SUCCEEDED,
        [CONNECTOR_VOID] = ORDER_CANCELLED,
    };
    if (result->state != ORDER_NONE)
        return result->state;
    if (step->operation == CONNECTOR_CONFIRM && step->is_authorise_only)
        return ORDER_AUTHORISED;
    return defaults[step->operation];
}

static bool has_moved_money(enum gateway_order_state state)
{
    return state == ORDER_SUCCEEDED || state == ORDER_AUTHORISED || state == ORDER_PENDING;
}

/* What the answer says of order, amount and currency is what was asked, as far as the mapping knows where it says it. */
static bool is_what_was_asked(const struct reply *reply, const struct mapping_answer *places,
                              const struct connector_step *step, enum gateway_order_state state)
{
    char order[PLACE_BYTES];
    bool must_say = has_moved_money(state);
    bool has_order =
        step->operation > CONNECTOR_CREATE && step->operation < CONNECTOR_SUBSCRIBE && places->order;
    bool says_order = has_order && reply_place(reply, places->order, order);
    if (has_order && (says_order ? strcmp(order, step->order_ref) != 0 : must_say))
        return false;
    bool has_amount = step->amount_minor > 0 && (must_say || step->operation == CONNECTOR_CREATE);
    if (has_amount && places->amount && !is_amount(reply, places->amount, step))
        return false;
    return !has_amount || !places->currency || is_text(reply, places->currency, step->currency);
}

static bool take_done(const struct reply *reply, const struct mapping_answer *places,
                      const struct connector_step *step, struct connector_verdict *verdict)
{
    char transaction[LIMIT_TOKEN_BYTES];
    char url[PLACE_BYTES];
    bool is_question = step->operation == CONNECTOR_STATUS || step->operation == CONNECTOR_ABANDON;
    if (is_question && verdict->order_state == ORDER_NONE)
        return false;
    if (!is_what_was_asked(reply, places, step, verdict->order_state))
        return false;
    switch (step->operation) {
    case CONNECTOR_TOKENISE:
        return take_reference(reply, places->token, verdict->token);
    case CONNECTOR_CREATE:
        return verdict->order_state == ORDER_OPEN && take_reference(reply, places->ref, verdict->order_ref);
    case CONNECTOR_CONFIRM:
        return !places->ref || take_reference(reply, places->ref, transaction);
    case CONNECTOR_REFUND:
    case CONNECTOR_SUBSCRIBE:
        return !places->ref || take_reference(reply, places->ref, verdict->order_ref);
    case CONNECTOR_LINK:
        return reply_place(reply, places->url, url) &&
               connector_take_url(url, verdict->url, sizeof(verdict->url)) &&
               (!places->ref || take_reference(reply, places->ref, verdict->order_ref));
    default:
        return true;
    }
}

/* An ABANDON that could only ask: what nobody confirmed, nobody will. */
static void settle_abandon(const struct mapping *mapping, const struct connector_step *step,
                           struct connector_verdict *verdict)
{
    bool only_asked =
        step->operation == CONNECTOR_ABANDON && !mapping->operations[CONNECTOR_ABANDON].request.method;
    if (verdict->outcome == GATEWAY_DONE && only_asked &&
        (verdict->order_state == ORDER_OPEN || verdict->order_state == ORDER_UNKNOWN_TO_GATEWAY))
        verdict->order_state = ORDER_CANCELLED;
    if (verdict->outcome == GATEWAY_DONE && step->operation == CONNECTOR_ABANDON &&
        verdict->order_state != ORDER_CANCELLED && verdict->order_state != ORDER_UNKNOWN_TO_GATEWAY)
        verdict->outcome = GATEWAY_FAILED;
}

static void apply(const struct reply *reply, const struct mapping_result *result,
                  const struct mapping_answer *places, const struct connector_step *step,
                  const struct connector_answer *answer, struct connector_verdict *verdict)
{
    const struct mapping *mapping = reply->mapping;
    bool is_harmless = step->operation == CONNECTOR_TOKENISE || step->operation == CONNECTOR_CREATE;
    bool only_asks = step->operation == CONNECTOR_TOKENISE || step->operation == CONNECTOR_STATUS;
    connector_verdict_set(verdict, result->outcome, ORDER_NONE, result->reason);
    if (result->outcome == GATEWAY_DONE) {
        bool asked_instead =
            step->operation == CONNECTOR_ABANDON && !mapping->operations[CONNECTOR_ABANDON].request.method;
        verdict->order_state = asked_instead ? result->state : state_of(result, step);
        if (!take_done(reply, places, step, verdict))
            connector_bad_answer(step, verdict);
        settle_abandon(mapping, step, verdict);
        return;
    }
    if (result->may_repeat &&
        (mapping->is_replay_safe || only_asks || result->outcome == GATEWAY_UNAVAILABLE))
        verdict->again = CONNECTOR_AGAIN;
    if (result->outcome == GATEWAY_NO_ANSWER && is_harmless)
        verdict->outcome = GATEWAY_UNAVAILABLE;
    if (answer->status == 401 && mapping->auth == MAPPING_OAUTH)
        verdict->again = CONNECTOR_LOGIN;
    verdict->wait_ms = connector_retry_after_ms(answer);
}

static void read_session(const struct reply *reply, const struct mapping_operation *operation,
                         const struct connector_step *step, const struct connector_answer *answer,
                         struct connector_verdict *verdict)
{
    const struct mapping_result *plain = plain_result(answer->status);
    bool is_good = answer->status >= 200 && answer->status <= 299;
    if (plain) {
        apply(reply, plain, &operation->answer, step, answer, verdict);
        return;
    }
    connector_bad_answer(step, verdict);
    if (is_good && take_session(reply, operation->session_token, verdict->carry))
        verdict->again = CONNECTOR_NEXT;
}

void generic_read(const struct connector_account *account, const struct connector_step *step,
                  const struct connector_answer *answer, struct connector_verdict *verdict)
{
    const struct mapping *mapping = account->mapping;
    struct reply reply;
    connector_bad_answer(step, verdict);
    if (!mapping || (unsigned)step->operation >= CONNECTOR_OPERATIONS)
        return;
    const struct mapping_operation *operation = generic_operation_of(mapping, step->operation);
    reply_open(&reply, mapping, answer);
    if (operation->session.method && step->round == 0) {
        read_session(&reply, operation, step, answer, verdict);
    } else {
        const struct mapping_result *result = NULL;
        if (reply.is_read)
            result = find_result(&reply, &operation->answer, answer->status, operation->result_first,
                                 operation->result_count);
        if (reply.is_read && !result)
            result = find_result(&reply, &operation->answer, answer->status, mapping->result_first,
                                 mapping->result_count);
        if (!result)
            result = plain_result(answer->status);
        if (result)
            apply(&reply, result, &operation->answer, step, answer, verdict);
    }
    reply_close(&reply);
}
