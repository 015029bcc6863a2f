#include "gateway/generic.h"

#include "gateway/form.h"
#include "gateway/mapping_body.h"
#include "gateway/mapping_value.h"
#include "gateway/money.h"
#include "gateway/reply_json.h"
#include "gateway/reply_xml.h"
#include "gateway/sigv4.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_VALUE_BYTES 1024
#define PLACE_BYTES        CONNECTOR_CARRY_BYTES /* longest text that is taken out of an answer */

/* --- saying a step --- */

struct line {
    char *text;
    size_t capacity, length;
    bool is_escaped; /* for a path: everything but letters, digits and -_.~ of a name's value */
    bool is_full;
};

static void put_char(struct line *line, char c)
{
    if (line->length + 1 < line->capacity)
        line->text[line->length++] = c;
    else
        line->is_full = true;
    line->text[line->length] = '\0';
}

static bool is_plain_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("-_.~", c);
}

static void put_piece(void *writer, const char *text, size_t length)
{
    struct line *line = writer;
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < length; i++) {
        /* Constants of a path were checked to be escaped and hold what separates it. */
        if (!line->is_escaped || is_plain_char(text[i])) {
            put_char(line, text[i]);
            continue;
        }
        put_char(line, '%');
        put_char(line, hex[(unsigned char)text[i] >> 4]);
        put_char(line, hex[(unsigned char)text[i] & 15]);
    }
}

/* Constants as they stand, values of names escaped. */
static enum err put_path(const char *pattern, const struct mapping_source *source,
                         struct connector_request *request)
{
    struct line line = {request->path, sizeof(request->path), 0, false, false};
    char part[MAPPING_VALUE_BYTES];
    while (*pattern) {
        size_t length = strcspn(pattern, "{");
        line.is_escaped = length == 0;
        if (length == 0)
            length = strcspn(pattern, "}") + (strchr(pattern, '}') != NULL);
        if (length >= sizeof(part))
            return ERR_FULL;
        memcpy(part, pattern, length);
        part[length] = '\0';
        pattern += length;
        enum err err = OK;
        if (line.is_escaped)
            err = mapping_value_put(part, source, put_piece, &line);
        else
            put_piece(&line, part, length);
        if (err)
            return err == ERR_EMPTY ? ERR_RANGE : err;
    }
    return line.is_full ? ERR_FULL : OK;
}

static enum err put_headers(const struct mapping *mapping, size_t first, size_t count,
                            const struct mapping_source *source, struct connector_request *request)
{
    enum err err = OK;
    for (size_t i = first; i < first + count && !err; i++) {
        char value[HEADER_VALUE_BYTES] = "";
        struct line line = {value, sizeof(value), 0, false, false};
        err = mapping_value_put(mapping->fields[i].value, source, put_piece, &line);
        if (line.is_full)
            err = ERR_FULL;
        if (!err)
            err = connector_header(request, mapping->fields[i].path, value);
        if (err == ERR_EMPTY)
            err = OK; /* an optional name that is not there: no header */
        wipe(value, sizeof(value));
    }
    return err;
}

static enum err put_head(const struct mapping *mapping, const struct mapping_request *asked,
                         const struct mapping_source *source, struct connector_request *request)
{
    char key[CONNECTOR_STEP_KEY_BYTES];
    bool is_get = strcmp(asked->method, "GET") == 0;
    request->method = asked->method;
    enum err err = put_path(asked->path, source, request);
    if (!err)
        err = connector_header(request, "Accept", mapping->accept);
    if (!err && asked->body_count > 0)
        err = connector_header(request, "Content-Type", mapping->content_type);
    connector_step_key(source->step, key);
    if (!err && mapping->idempotency_header && !is_get)
        err = connector_header(request, mapping->idempotency_header, key);
    if (!err)
        err = put_headers(mapping, mapping->header_first, mapping->header_count, source, request);
    return err ? err : put_headers(mapping, asked->header_first, asked->header_count, source, request);
}

/* The card is there in the first round only, and the session after it: the body with the card is written now, held by
 * the caller, and sent when the session is known. */
static enum err build_session(const struct mapping *mapping, const struct mapping_operation *operation,
                              const struct mapping_source *source, struct connector_request *request)
{
    if (!request->held)
        return ERR_UNSUPPORTED;
    secret_wipe(request->held);
    enum err err = mapping_body_put(mapping, &operation->request, source, request->held);
    if (!err)
        err = put_head(mapping, &operation->session, source, request);
    return err ? err : mapping_body_put(mapping, &operation->session, source, request->body);
}

static enum err build_card(const struct mapping *mapping, const struct mapping_operation *operation,
                           const struct mapping_source *source, struct connector_request *request)
{
    if (!request->held || secret_length(request->held) == 0)
        return ERR_RANGE;
    request->has_card = true;
    enum err err = put_head(mapping, &operation->request, source, request);
    return err ? err : mapping_body_release(request->held, source->session, request->body);
}

/* A gateway that has no orders before they are paid: the order's name is ours, so that it can be asked for. */
static void name_order(const struct connector_step *step, struct connector_verdict *verdict)
{
    connector_verdict_set(verdict, GATEWAY_DONE, ORDER_OPEN, REASON_NONE);
    connector_order_name(step, verdict->order_ref);
}

/* A step that has no request of its own: CREATE is done here, ABANDON asks. */
static const struct mapping_operation *operation_of(const struct mapping *mapping,
                                                    enum connector_operation which)
{
    bool asks_instead = which == CONNECTOR_ABANDON && !mapping->operations[which].request.method;
    return &mapping->operations[asks_instead ? CONNECTOR_STATUS : which];
}

static enum err check_step(const struct mapping *mapping, const struct connector_step *step)
{
    bool is_charge = step->operation == CONNECTOR_CREATE || step->operation == CONNECTOR_CONFIRM;
    bool has_amount = step->operation != CONNECTOR_TOKENISE && step->operation != CONNECTOR_SUBSCRIBE;
    bool can_wait = mapping->operations[CONNECTOR_CREATE].says_when_to_capture ||
                    mapping->operations[CONNECTOR_CONFIRM].says_when_to_capture;
    if (has_amount && (step->amount_minor < 1 || step->amount_minor > LIMIT_AMOUNT_MINOR ||
                       !money_is_currency(step->currency)))
        return ERR_RANGE;
    /* A charge where only an authorisation was ordered would be money taken too early. */
    return is_charge && step->is_authorise_only && !can_wait ? ERR_RANGE : OK;
}

static enum err generic_build(const struct connector_account *account, const struct connector_step *step,
                              struct connector_request *request, struct connector_verdict *verdict)
{
    const struct mapping *mapping = account->mapping;
    bool is_question = step->operation == CONNECTOR_STATUS || step->operation == CONNECTOR_ABANDON;
    if (!mapping || (unsigned)step->operation >= CONNECTOR_OPERATIONS)
        return ERR_UNSUPPORTED;
    if (is_question && step->order_ref[0] == '\0') {
        connector_verdict_set(verdict, GATEWAY_DONE, ORDER_UNKNOWN_TO_GATEWAY, REASON_NONE);
        return ERR_EMPTY;
    }
    const struct mapping_operation *operation = operation_of(mapping, step->operation);
    enum err err = check_step(mapping, step);
    if (err)
        return err;
    if (step->operation == CONNECTOR_CREATE && !operation->request.method) {
        name_order(step, verdict);
        return ERR_EMPTY;
    }
    if (!operation->request.method)
        return ERR_UNSUPPORTED;
    struct mapping_source source = {account, step, step->carry};
    if (operation->session.method && step->round == 0) {
        source.session = NULL;
        return build_session(mapping, operation, &source, request);
    }
    if (operation->session.method)
        return build_card(mapping, operation, &source, request);
    request->has_card = step->operation == CONNECTOR_TOKENISE;
    err = put_head(mapping, &operation->request, &source, request);
    return err ? err : mapping_body_put(mapping, &operation->request, &source, request->body);
}

/* --- who we are --- */

/* "key:other": the bearer token and what a second header wants. */
static enum err authorise_two(const struct connector_account *account, const uint8_t *key, size_t length,
                              struct connector_request *request)
{
    char second[CONNECTOR_KEY_BYTES + 1];
    const uint8_t *colon = memchr(key, ':', length);
    size_t first_length = colon ? (size_t)(colon - key) : 0;
    if (!colon || first_length == 0 || length - first_length - 1 == 0 || length > CONNECTOR_KEY_BYTES)
        return ERR_SYNTAX;
    memcpy(second, colon + 1, length - first_length - 1);
    second[length - first_length - 1] = '\0';
    enum err err = connector_authorise_bearer(account, key, first_length, request);
    if (!err)
        err = connector_header(request, account->mapping->second_header, second);
    wipe(second, sizeof(second));
    return err;
}

static enum err authorise_header(const struct connector_account *account, const uint8_t *key, size_t length,
                                 struct connector_request *request)
{
    char value[CONNECTOR_KEY_BYTES + 1];
    if (length == 0 || length > CONNECTOR_KEY_BYTES)
        return ERR_RANGE;
    memcpy(value, key, length);
    value[length] = '\0';
    enum err err = connector_header(request, account->mapping->auth_header, value);
    wipe(value, sizeof(value));
    return err;
}

static enum err generic_authorise(const struct connector_account *account, const uint8_t *key, size_t length,
                                  struct connector_request *request)
{
    const struct mapping *mapping = account->mapping;
    struct sigv4_key parts;
    enum err err;
    switch (mapping->auth) {
    case MAPPING_BEARER:
    case MAPPING_OAUTH:
        return mapping->second_header ? authorise_two(account, key, length, request)
                                      : connector_authorise_bearer(account, key, length, request);
    case MAPPING_BASIC:
        return connector_authorise_basic(account, key, length, request);
    case MAPPING_HEADER:
        return authorise_header(account, key, length, request);
    case MAPPING_SIGV4:
        err = sigv4_key_read(&parts, key, length);
        return err ? err : sigv4_sign(request, &parts, account->region, account->service);
    case MAPPING_NONE:
        return OK;
    }
    return ERR_UNSUPPORTED;
}

static enum err generic_build_login(const uint8_t *key, size_t length, struct connector_request *request)
{
    const struct mapping *mapping = request->account ? request->account->mapping : NULL;
    size_t capacity;
    struct form_writer form;
    if (!mapping || !mapping->login_path)
        return ERR_UNSUPPORTED;
    uint8_t *bytes = secret_buffer(request->body, &capacity);
    request->method = "POST";
    snprintf(request->path, sizeof(request->path), "%s", mapping->login_path);
    form_begin(&form, bytes, capacity);
    form_text(&form, "grant_type", "client_credentials");
    if (mapping->login_scope)
        form_text(&form, "scope", mapping->login_scope);
    secret_set_length(request->body, form.length);
    enum err err = connector_authorise_basic(NULL, key, length, request);
    if (!err)
        err = connector_header(request, "Accept", "application/json");
    if (!err)
        err = connector_header(request, "Content-Type", "application/x-www-form-urlencoded");
    return err ? err : form.err;
}

/* RFC 6749 §5.1 */
static bool generic_read_login(const struct connector_answer *answer, struct connector_access *access)
{
    json_t *root = reply_parse(answer);
    const char *token = reply_text(root, "access_token");
    json_int_t valid_s = json_integer_value(json_object_get(root, "expires_in"));
    bool is_access = answer->status == 200 && token && strlen(token) < sizeof(access->text) && valid_s > 0;
    if (is_access) {
        snprintf(access->text, sizeof(access->text), "%s", token);
        access->valid_s = valid_s < 86400 ? (unsigned)valid_s : 86400;
    }
    json_decref(root);
    return is_access;
}

/* A mapping does not say what a live key looks like. */
static bool generic_key_is_live(const uint8_t *key, size_t length)
{
    (void)key;
    (void)length;
    return false;
}

/* --- hearing the answer --- */

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

static void generic_read(const struct connector_account *account, const struct connector_step *step,
                         const struct connector_answer *answer, struct connector_verdict *verdict)
{
    const struct mapping *mapping = account->mapping;
    struct reply reply;
    connector_bad_answer(step, verdict);
    if (!mapping || (unsigned)step->operation >= CONNECTOR_OPERATIONS)
        return;
    const struct mapping_operation *operation = operation_of(mapping, step->operation);
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

/* --- a connector of a mapping --- */

static const struct {
    const char *name;
    enum mapping_format format;
    bool is_signed; /* must be */
} kinds[] = {{"rest", MAPPING_JSON, false}, {"xml", MAPPING_XML, false}, {"aws", MAPPING_JSON, true}};
#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))

static size_t find_kind(const char *name)
{
    size_t i = 0;
    while (i < KIND_COUNT && strcmp(kinds[i].name, name) != 0)
        i++;
    return i;
}

bool generic_is_name(const char *name)
{
    return find_kind(name) < KIND_COUNT;
}

static uint32_t operations_of(const struct mapping *mapping)
{
    uint32_t operations = 0;
    for (unsigned i = 0; i < CONNECTOR_OPERATIONS; i++)
        operations |= mapping->operations[i].request.method ? 1u << i : 0;
    if (operations & 1u << CONNECTOR_CONFIRM)
        operations |= 1u << CONNECTOR_CREATE | 1u << CONNECTOR_ABANDON;
    return operations;
}

static const char *check_fit(const struct mapping *mapping, size_t kind,
                             const struct connector_account *account, const char *url)
{
    const char *host = strstr(url, "://");
    const char *path = host ? strchr(host + 3, '/') : NULL;
    if (mapping->format != kinds[kind].format)
        return "the mapping's format is not the connector's: rest and aws speak json, xml speaks xml";
    if (kinds[kind].is_signed && mapping->auth != MAPPING_SIGV4)
        return "connector aws needs auth kind sigv4 in the mapping";
    if (mapping->auth == MAPPING_SIGV4 && (!account->region[0] || !account->service[0]))
        return "auth kind sigv4 needs gateway.region and gateway.service";
    if (mapping->auth == MAPPING_SIGV4 && path && path[1])
        return "auth kind sigv4 signs from the host's root: put the path of gateway.url into the mapping's "
               "paths";
    return NULL;
}

enum err generic_bind(struct mapping *mapping, const char *name, const struct connector_account *account,
                      const char *url, char *message)
{
    size_t kind = find_kind(name);
    const char *wrong =
        kind < KIND_COUNT ? check_fit(mapping, kind, account, url) : "not the name of a generic connector";
    if (wrong) {
        snprintf(message, MAPPING_ERROR_BYTES, "gateway.connector %.40s: %s", name, wrong);
        return ERR_SYNTAX;
    }
    mapping->connector = (struct connector){
        .name = kinds[kind].name,
        .operations = operations_of(mapping),
        .is_replay_safe = mapping->is_replay_safe,
        .holds_card = mapping->operations[CONNECTOR_TOKENISE].session.method != NULL,
        .key_is_live = generic_key_is_live,
        .build_login = mapping->auth == MAPPING_OAUTH ? generic_build_login : NULL,
        .read_login = mapping->auth == MAPPING_OAUTH ? generic_read_login : NULL,
        .authorise = generic_authorise,
        .build = generic_build,
        .read = generic_read,
    };
    return OK;
}

enum err generic_open(struct mapping **out, const char *name, const char *path,
                      const struct connector_account *account, const char *url, char *message)
{
    enum err err;
    *out = NULL;
    if (path[0] == '\0') {
        snprintf(message, MAPPING_ERROR_BYTES,
                 "gateway.connector %.40s needs gateway.mapping, the file that says how", name);
        return ERR_SYNTAX;
    }
    err = mapping_load(out, path, message);
    if (!err)
        err = generic_bind(*out, name, account, url, message);
    if (err) {
        mapping_free(*out);
        *out = NULL;
    }
    return err;
}

static enum err check_one(const struct config_gateway *config, char *message)
{
    struct connector_account account = {.mapping = NULL};
    struct mapping *mapping = NULL;
    if (!generic_is_name(config->connector)) {
        bool is_alone = config->mapping[0] == '\0';
        if (!is_alone)
            snprintf(message, MAPPING_ERROR_BYTES,
                     "gateway.mapping goes with gateway.connector rest, xml or aws");
        return is_alone ? OK : ERR_SYNTAX;
    }
    memcpy(account.region, config->region, sizeof(account.region));
    memcpy(account.service, config->service, sizeof(account.service));
    enum err err = generic_open(&mapping, config->connector, config->mapping, &account, config->url, message);
    mapping_free(mapping);
    return err;
}

enum err generic_check(const struct config *config, char *message)
{
    enum err err = check_one(&config->gateway, message);
    return err || config->fallback.url[0] == '\0' ? err : check_one(&config->fallback, message);
}
