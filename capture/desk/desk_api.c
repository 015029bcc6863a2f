/* The API's handlers: who asks, may it, what is asked of the vault, what is answered. */
#include "base/card_shape.h"
#include "capture/desk/capture_request.h"
#include "capture/desk/currency.h"
#include "capture/desk/desk_ask.h"
#include "capture/desk/desk_view.h"
#include "capture/desk/web_files.h"

#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPENS_PER_SECOND 40 /* twice the stated load of captures a second */
#define LIST_MAX         100
#define LIST_DEFAULT     20
#define PAGE_POLICY                                                                                          \
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "          \
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

void ask_refuse(const struct ask *ask, int status, const char *code, const char *message)
{
    http_reply_error(ask->connection, status, code, message, status == 503 ? "Retry-After: 1\r\n" : NULL);
}

void ask_reply(const struct ask *ask, int status, json_t *body, const char *extra)
{
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    if (!text) {
        ask_refuse(ask, 500, "out_of_memory", "there is no memory for an answer");
        return;
    }
    const struct http_reply reply = {.status = status,
                                     .content_type = "application/json",
                                     .body = text,
                                     .length = strlen(text),
                                     .extra = extra};
    http_reply_send(ask->connection, &reply);
    free(text);
}

enum err ask_audit(const struct ask *ask, const char *what, const char *outcome, const char *resource,
                   const struct store_capture *amount_of)
{
    char where[HTTP_PEER_TEXT];
    http_peer_text(ask->connection, where);
    const struct audit_entry entry = {.who = ask->who ? ask->who : "nobody",
                                      .what = what,
                                      .where = where,
                                      .outcome = outcome,
                                      .resource = resource,
                                      .amount_minor = amount_of ? amount_of->amount_minor : 0,
                                      .currency = amount_of ? amount_of->currency : NULL};
    return desk_disk_result(ask->desk, audit_append(ask->desk->audit, &entry));
}

/* --- files and health ------------------------------------------------------------------------------------------- */

static void file_h(const struct ask *ask)
{
    static const struct {
        enum route_id route;
        const char *type;
        const struct web_file *file;
    } files[] = {
        {ROUTE_PAGE, "text/html; charset=utf-8", &web_index_html},
        {ROUTE_SCRIPT, "text/javascript; charset=utf-8", &web_app_js},
        {ROUTE_TEXTS, "text/javascript; charset=utf-8", &web_texts_js},
        {ROUTE_STYLE, "text/css; charset=utf-8", &web_style_css},
        {ROUTE_ICON, "image/svg+xml", &web_icon_svg},
        {ROUTE_OPENAPI, "application/yaml", &web_openapi_yaml},
    };
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        if (files[i].route != ask->match.route->id)
            continue;
        const struct http_reply reply = {.status = 200,
                                         .content_type = files[i].type,
                                         .body = files[i].file->bytes,
                                         .length = files[i].file->length,
                                         .policy = PAGE_POLICY};
        http_reply_send(ask->connection, &reply);
        return;
    }
}

static void health_h(const struct ask *ask)
{
    json_t *body = desk_service_json(ask->desk);
    bool is_whole = desk_vault_is_up(ask->desk) && desk_proxy_is_up(ask->desk) &&
                    desk_gateway_is_up(ask->desk) && !ask->desk->is_store_failing;
    const char *status = ask->desk->is_draining ? "draining" : is_whole ? "ok" : "degraded";
    if (body)
        json_object_set_new(body, "status", json_string(status));
    ask_reply(ask, ask->desk->is_draining ? 503 : 200, body, NULL);
}

static void gateways_h(const struct ask *ask)
{
    ask_reply(ask, 200, desk_gateways_json(ask->desk), NULL);
}

static void currencies_h(const struct ask *ask)
{
    size_t count;
    const struct currency *currencies = currency_table(&count);
    json_t *body = json_object();
    for (size_t i = 0; i < count; i++)
        json_object_set_new(body, currencies[i].code, json_integer(currencies[i].exponent));
    ask_reply(ask, 200, body, NULL);
}

/* --- reading ---------------------------------------------------------------------------------------------------- */

static void calls_h(const struct ask *ask)
{
    const struct desk_model *model = &ask->desk->model;
    json_t *list = json_array();
    for (size_t i = 0; i < model->call_capacity; i++) {
        if (model->call_ids[i])
            json_array_append_new(
                list, desk_view_call(&model->calls[i], desk_model_capture_of(model, model->call_ids[i])));
    }
    ask_reply(ask, 200, json_pack("{s:o}", "calls", list), NULL);
}

static void call_h(const struct ask *ask)
{
    const struct desk_call *call = desk_model_call(&ask->desk->model, ask->match.subject);
    if (!call)
        ask_refuse(ask, 404, "call_not_found", "no such call, or it has ended");
    else
        ask_reply(ask, 200, desk_view_call(call, desk_model_capture_of(&ask->desk->model, call->id)), NULL);
}

static void captures_h(const struct ask *ask)
{
    struct store_capture records[LIST_MAX];
    char text[32];
    size_t count = 0;
    size_t limit = LIST_DEFAULT;
    uint64_t before = 0;
    if (http_query_value(ask->request->query, "limit", text, sizeof(text))) {
        char *end = NULL;
        unsigned long value = strtoul(text, &end, 10);
        if (*end || value < 1 || value > LIST_MAX) {
            ask_refuse(ask, 422, "limit_out_of_range", "limit must lie between 1 and 100");
            return;
        }
        limit = value;
    }
    if (http_query_value(ask->request->query, "before", text, sizeof(text)) &&
        (strncmp(text, "cap_", 4) != 0 || log_id_parse(text + 4, &before) != OK)) {
        ask_refuse(ask, 422, "before_invalid", "before must be the id of a capture");
        return;
    }
    enum err err = store_capture_list(ask->desk->store, before, records, limit, &count);
    if (err) {
        ask_refuse(ask, err == ERR_NOT_FOUND ? 404 : 503,
                   err == ERR_NOT_FOUND ? "capture_not_found" : "store",
                   err == ERR_NOT_FOUND ? "before: no such capture" : "the database cannot be read now");
        return;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        const struct desk_capture *live = desk_model_capture(&ask->desk->model, records[i].id);
        json_array_append_new(list, live ? desk_view_capture(live) : desk_view_record(&records[i]));
    }
    char next[DESK_ID_TEXT] = "";
    if (count == limit)
        desk_capture_id_text(records[count - 1].id, next);
    ask_reply(
        ask, 200,
        json_pack("{s:o,s:o}", "captures", list, "next_before", next[0] ? json_string(next) : json_null()),
        NULL);
}

static struct desk_capture *wanted_capture(const struct ask *ask)
{
    struct desk_capture *capture = desk_capture_get(ask->desk, ask->match.subject);
    if (!capture)
        ask_refuse(ask, 404, "capture_not_found", "no such capture");
    return capture;
}

static void capture_h(const struct ask *ask)
{
    const struct desk_capture *capture = wanted_capture(ask);
    if (capture)
        ask_reply(ask, 200, desk_view_capture(capture), NULL);
}

static void events_h(const struct ask *ask)
{
    bool is_one = ask->match.route->id == ROUTE_CAPTURE_EVENTS;
    if (ask->request->method == HTTP_HEAD) {
        http_reply_error(ask->connection, 405, "method_not_allowed", "an event stream has no HEAD",
                         "Allow: GET\r\n");
        return;
    }
    if (is_one && !wanted_capture(ask))
        return;
    enum err err = desk_events_open(ask->desk, ask->connection, is_one ? ask->match.subject : 0,
                                    ask->request->last_event_id);
    if (err) {
        ask_refuse(ask, 503, "too_many_streams", "too many event streams are open");
        return;
    }
    if (!is_one)
        (void)!ask_audit(ask, "session.open", "ok", "", NULL);
}

/* --- opening ---------------------------------------------------------------------------------------------------- */

static bool services_are_up(const struct ask *ask)
{
    if (ask->desk->is_draining)
        ask_refuse(ask, 503, "draining", "this node takes no new captures");
    else if (!desk_vault_is_up(ask->desk))
        ask_refuse(ask, 503, "vault_restarting", "the vault is restarting: try again in a second");
    else if (!desk_proxy_is_up(ask->desk))
        ask_refuse(ask, 503, "media_restarting", "the media proxy is restarting: try again in a second");
    else
        return true;
    return false;
}

static bool open_rate_holds(struct desk *desk)
{
    struct mono_time now = mono_now();
    if (mono_elapsed_ms(desk->open_rate.since, now) >= 1000) {
        desk->open_rate.since = now;
        desk->open_rate.used = 0;
    }
    return desk->open_rate.used++ < OPENS_PER_SECOND;
}

static struct desk_call *wanted_call(const struct ask *ask, const struct capture_request *wanted)
{
    struct desk_call *call = NULL;
    size_t count = 1;
    if (wanted->call_id)
        call = desk_model_call(&ask->desk->model, wanted->call_id);
    else
        count = desk_model_calls_named(&ask->desk->model, wanted->reference, wanted->callee, &call);
    if (count > 1) {
        ask_refuse(ask, 409, "call_ambiguous", "more than one call fits: name it by its id");
        return NULL;
    }
    if (!call) {
        ask_refuse(ask, 404, "call_not_found", "no such call, or it has ended");
        return NULL;
    }
    if (call->state != PROXY_CALL_ANSWERED) {
        ask_refuse(ask, 409, "call_not_answered", "the call is not answered yet");
        return NULL;
    }
    return call;
}

/* False when the call has a capture already. The vault lets a new one take over from one that was lost in its restart;
 * one whose payment is not known yet must be settled first, or the caller might pay twice. */
static bool call_is_free(const struct ask *ask, const struct desk_call *call)
{
    const struct desk_capture *present = desk_model_capture_of(&ask->desk->model, call->id);
    if (!present || present->record.state == CAPTURE_LOST)
        return true;
    bool is_unknown = present->record.state == CAPTURE_UNKNOWN;
    char id[DESK_ID_TEXT];
    char extra[64];
    desk_capture_id_text(present->record.id, id);
    snprintf(extra, sizeof(extra), "Location: /v1/captures/%s\r\n", id);
    http_reply_error(ask->connection, 409, is_unknown ? "payment_unknown" : "capture_exists",
                     is_unknown ? "the last payment of this call is not known yet: wait until it is"
                                : "this call has a capture that has not ended",
                     extra);
    return false;
}

static void reply_created(const struct ask *ask, const struct desk_capture *capture, bool is_replayed)
{
    char id[DESK_ID_TEXT];
    char extra[128];
    desk_capture_id_text(capture->record.id, id);
    snprintf(extra, sizeof(extra), "Location: /v1/captures/%s\r\n%s", id,
             is_replayed ? "Idempotent-Replayed: true\r\n" : "");
    ask_reply(ask, 201, desk_view_capture(capture), extra);
}

/* True when the key was seen before and the answer was given. */
static bool is_replay(const struct ask *ask, const uint8_t *hash)
{
    struct store_capture record;
    uint8_t stored_hash[STORE_REQUEST_HASH_BYTES];
    const char *key = ask->request->idempotency_key;
    if (!key[0])
        return false;
    if (strlen(key) >= STORE_IDEMPOTENCY_KEY_MAX || card_shape_within(key)) {
        ask_refuse(ask, 422, "idempotency_key_invalid",
                   "Idempotency-Key: at most 127 characters, no card number");
        return true;
    }
    enum err err = store_capture_find_key(ask->desk->store, ask->who, key, &record, stored_hash);
    if (err == ERR_NOT_FOUND)
        return false;
    const struct desk_capture *capture = err ? NULL : desk_capture_get(ask->desk, record.id);
    if (!capture)
        ask_refuse(ask, 503, "store", "the database cannot be read now");
    else if (memcmp(hash, stored_hash, sizeof(stored_hash)) != 0)
        ask_refuse(ask, 422, "idempotency_key_reused", "this Idempotency-Key was used for another request");
    else
        reply_created(ask, capture, true);
    return true;
}

static void fill_record(const struct ask *ask, struct store_capture *record, const struct desk_call *call,
                        const struct capture_request *wanted)
{
    record->call_id = call->id;
    memcpy(record->reference, call->reference, sizeof(record->reference));
    memcpy(record->callee, call->callee, sizeof(record->callee));
    record->kind = (uint8_t)wanted->kind;
    record->amount_minor = wanted->amount_minor;
    memcpy(record->currency, wanted->currency, sizeof(record->currency));
    snprintf(record->opened_by, sizeof(record->opened_by), "%s", ask->who);
    record->created_at = wall_now();
    record->updated_at = record->created_at;
    record->state = CAPTURE_ARMING;
    record->attempt = 1;
}

static struct desk_capture *new_capture(const struct ask *ask, const struct desk_call *call,
                                        const struct capture_request *wanted)
{
    uint64_t id = 0;
    struct desk_capture *capture = NULL;
    if (RAND_bytes((unsigned char *)&id, sizeof(id)) == 1)
        capture = desk_model_capture_put(&ask->desk->model, id);
    if (!capture)
        return NULL;
    fill_record(ask, &capture->record, call, wanted);
    capture->attempts_max = (uint8_t)ask->desk->config->capture.attempts_max;
    capture->is_confirmed = true; /* the vault is asked on this link */
    return capture;
}

/* Durable and audited before the vault hears of it. */
static enum err keep_new(const struct ask *ask, const struct desk_capture *capture, const uint8_t *hash)
{
    char id[DESK_ID_TEXT];
    desk_capture_id_text(capture->record.id, id);
    enum err err = desk_disk_result(ask->desk, store_capture_insert(ask->desk->store, &capture->record,
                                                                    ask->request->idempotency_key, hash));
    return err ? err : ask_audit(ask, "capture.open", "ok", id, &capture->record);
}

static enum err send_open(struct desk *desk, const struct store_capture *record)
{
    struct capture_open_msg message = {
        .call_id = record->call_id, .amount_minor = record->amount_minor, .kind = record->kind};
    MSG_INIT(&message, CAPTURE_OPEN, record->id);
    memcpy(message.currency, record->currency, sizeof(message.currency));
    return msg_send(&desk->vault, &message);
}

/* What others are told of a capture that opens. It opens all the same if they cannot be: the mask is what protects. */
static void tell_opened(const struct ask *ask, const struct store_capture *record,
                        const struct capture_request *wanted)
{
    struct store_contact contact = {0};
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-";
    bool is_by_reference = ask->desk->config->genesys.reference_is_conversation && !wanted->conversation[0] &&
                           !record->reference[strspn(record->reference, allowed)];
    snprintf(contact.conversation, sizeof(contact.conversation), "%s",
             is_by_reference ? record->reference : wanted->conversation);
    memcpy(contact.participant, wanted->participant, sizeof(contact.participant));
    memcpy(contact.sms, wanted->sms, sizeof(contact.sms));
    memcpy(contact.email, wanted->email, sizeof(contact.email));
    if (desk_hooks_opened(ask->desk, record, &contact) != OK)
        log_event(LOG_ERROR, "nobody will be told of a capture", LOG_ID("capture", record->id));
}

static void open_for(const struct ask *ask, const struct desk_call *call,
                     const struct capture_request *wanted, const uint8_t *hash)
{
    struct desk_capture *capture = new_capture(ask, call, wanted);
    if (!capture) {
        ask_refuse(ask, 503, "full", "too many captures are open");
        return;
    }
    if (keep_new(ask, capture, hash) != OK) {
        struct desk_capture gone = *capture;
        desk_model_capture_remove(&ask->desk->model, gone.record.id);
        gone.record.state = CAPTURE_FAILED;
        gone.record.problem = PROBLEM_STORE;
        (void)!store_capture_end(ask->desk->store, &gone.record);
        ask_refuse(ask, 503, "store", "the capture could not be recorded, so it was not opened");
        return;
    }
    if (send_open(ask->desk, &capture->record) != OK) {
        desk_capture_end(ask->desk, capture, CAPTURE_FAILED, PROBLEM_VAULT_RESTARTED);
        ask_refuse(ask, 503, "vault_restarting", "the vault is restarting: try again in a second");
        return;
    }
    reply_created(ask, capture, false);
    desk_publish_capture(ask->desk, capture);
    desk_figures_entered(ask->desk);
    tell_opened(ask, &capture->record, wanted);
}

static void capture_open_h(const struct ask *ask)
{
    struct capture_request wanted;
    const char *code = "";
    char message[CAPTURE_REQUEST_MESSAGE_BYTES];
    uint8_t hash[STORE_REQUEST_HASH_BYTES];
    const struct http_request *request = ask->request;
    if (!http_type_is(request->content_type, "application/json")) {
        ask_refuse(ask, 415, "media_type", "send the body as application/json");
        return;
    }
    enum err err = capture_request_read(&wanted, request->body, request->body_length, &code, message);
    if (err) {
        ask_refuse(ask, err == ERR_SYNTAX ? 400 : 422, code, message);
        return;
    }
    SHA256((const unsigned char *)request->body, request->body_length, hash);
    if (is_replay(ask, hash))
        return;
    if (!open_rate_holds(ask->desk)) {
        http_reply_error(ask->connection, 429, "too_many_captures", "too many new captures in this second",
                         "Retry-After: 1\r\n");
        return;
    }
    if (!services_are_up(ask))
        return;
    const struct desk_call *call = wanted_call(ask, &wanted);
    if (call && call_is_free(ask, call))
        open_for(ask, call, &wanted, hash);
}

/* --- steering --------------------------------------------------------------------------------------------------- */

static bool may_steer(const struct desk_capture *capture, enum route_id route, uint32_t states)
{
    /* A vault that restarted holds the leg of a capture that has ended: cancel gives it back. */
    if (route == ROUTE_CANCEL && capture->is_masked && capture_state_is_end(capture->record.state))
        return true;
    return (states >> capture->record.state & 1u) != 0;
}

#define KEYING_STATES (1u << CAPTURE_COLLECTING | 1u << CAPTURE_READY)
#define CANCEL_STATES                                                                                        \
    (KEYING_STATES | 1u << CAPTURE_ARMING | 1u << CAPTURE_LOST | 1u << CAPTURE_UNKNOWN |                     \
     1u << CAPTURE_STORING_INTENT | 1u << CAPTURE_TOKENISING | 1u << CAPTURE_CREATING |                      \
     1u << CAPTURE_STORING_ORDER)

static enum err send_field(struct desk *desk, uint64_t id, enum card_field field, bool is_reset)
{
    struct capture_field_msg message = {.field = (uint8_t)field, .is_reset = is_reset};
    MSG_INIT(&message, CAPTURE_FIELD, id);
    return msg_send(&desk->vault, &message);
}

static enum err send_submit(struct desk *desk, uint64_t id)
{
    struct capture_submit_msg message = {0};
    MSG_INIT(&message, CAPTURE_SUBMIT, id);
    return msg_send(&desk->vault, &message);
}

static enum err send_cancel(struct desk *desk, uint64_t id, uint64_t call_id)
{
    struct capture_cancel_msg message = {.call_id = call_id};
    MSG_INIT(&message, CAPTURE_CANCEL, id);
    return msg_send(&desk->vault, &message);
}

static const struct steer {
    enum route_id route;
    uint32_t states;
    const char *what;
    bool is_audit_needed; /* without its line it is not done */
} steers[] = {
    {ROUTE_FIELD_RESET, KEYING_STATES, "field.reset", false},
    {ROUTE_FIELD_SELECT, KEYING_STATES, "field.select", false},
    {ROUTE_SUBMIT, 1u << CAPTURE_READY, "capture.submit", true},
    {ROUTE_CANCEL, CANCEL_STATES, "capture.cancel", false},
};

static const struct steer *steer_of(enum route_id route)
{
    for (size_t i = 0; i < sizeof(steers) / sizeof(steers[0]); i++) {
        if (steers[i].route == route)
            return &steers[i];
    }
    return NULL;
}

static enum err steer_send(const struct ask *ask, const struct desk_capture *capture)
{
    uint64_t id = capture->record.id;
    switch (ask->match.route->id) {
    case ROUTE_FIELD_RESET:
    case ROUTE_FIELD_SELECT:
        return send_field(ask->desk, id, ask->match.field, ask->match.route->id == ROUTE_FIELD_RESET);
    case ROUTE_SUBMIT:
        return send_submit(ask->desk, id);
    default:
        return send_cancel(ask->desk, id, capture->record.call_id);
    }
}

static void steer_h(const struct ask *ask)
{
    const struct steer *steer = steer_of(ask->match.route->id);
    const struct desk_capture *capture = wanted_capture(ask);
    char id[DESK_ID_TEXT];
    if (!capture)
        return;
    if (!may_steer(capture, steer->route, steer->states)) {
        ask_refuse(ask, 409, "not_now", "the capture's state does not allow this now");
        return;
    }
    if (!desk_vault_is_up(ask->desk)) {
        ask_refuse(ask, 503, "vault_restarting", "the vault is restarting: the call stays masked");
        return;
    }
    desk_capture_id_text(capture->record.id, id);
    enum err err = ask_audit(ask, steer->what, "ok", id, steer->is_audit_needed ? &capture->record : NULL);
    if (err && steer->is_audit_needed) {
        ask_refuse(ask, 503, "store", "this could not be recorded, so it was not done");
        return;
    }
    if (steer_send(ask, capture) != OK) {
        ask_refuse(ask, 503, "vault_restarting", "the vault is restarting: the call stays masked");
        return;
    }
    ask_reply(ask, 202, desk_view_capture(capture), NULL);
}

/* --- who asks ---------------------------------------------------------------------------------------------------- */

static void audit_stranger(const struct ask *ask)
{
    uint64_t held;
    if (log_limit_pass(&ask->desk->auth_limit, &held))
        (void)!ask_audit(ask, "session.refused", "refused", "", NULL);
}

/* An address that used up its tries is refused before its token is looked at: what is being guessed stays unknown. */
static bool is_let_in(struct ask *ask)
{
    unsigned wait_s = 1;
    char extra[64];
    struct in_addr address = http_peer_address(ask->connection);
    struct mono_time now = mono_now();
    if (!failures_may_try(&ask->desk->failures, address, now, &wait_s)) {
        snprintf(extra, sizeof(extra), "Retry-After: %u\r\n", wait_s);
        http_reply_error(ask->connection, 429, "too_many_failures", "too many wrong tokens from this address",
                         extra);
        return false;
    }
    ask->who = tokens_match(&ask->desk->tokens, ask->request->authorization);
    if (ask->who) {
        http_mark_trusted(ask->connection);
        return true;
    }
    if (ask->request->authorization[0])
        failures_add(&ask->desk->failures, address, now);
    audit_stranger(ask);
    http_reply_error(ask->connection, 401, "unauthorised",
                     "send Authorization: Bearer and a token of this desk",
                     ask->request->authorization[0]
                         ? "WWW-Authenticate: Bearer realm=\"tonegate\", error=\"invalid_token\"\r\n"
                         : "WWW-Authenticate: Bearer realm=\"tonegate\"\r\n");
    return false;
}

static void refuse_route(const struct ask *ask, enum err err)
{
    char allow[96] = "Allow: ";
    if (err == ERR_NOT_FOUND) {
        ask_refuse(ask, 404, "not_found", "no such resource");
        return;
    }
    for (int i = 0; i < HTTP_METHODS; i++) {
        if (!(ask->match.allowed >> i & 1u))
            continue;
        size_t length = strlen(allow);
        snprintf(allow + length, sizeof(allow) - length, "%s%s", length > 7 ? ", " : "",
                 http_method_name((enum http_method)i));
    }
    size_t length = strlen(allow);
    snprintf(allow + length, sizeof(allow) - length, "\r\n");
    http_reply_error(ask->connection, 405, "method_not_allowed", "not with this method", allow);
}

static void (*const handlers[ROUTES])(const struct ask *ask) = {
    [ROUTE_PAGE] = file_h,
    [ROUTE_SCRIPT] = file_h,
    [ROUTE_TEXTS] = file_h,
    [ROUTE_STYLE] = file_h,
    [ROUTE_ICON] = file_h,
    [ROUTE_HEALTH] = health_h,
    [ROUTE_OPENAPI] = file_h,
    [ROUTE_GATEWAYS] = gateways_h,
    [ROUTE_CURRENCIES] = currencies_h,
    [ROUTE_CALLS] = calls_h,
    [ROUTE_CALL] = call_h,
    [ROUTE_CAPTURE_OPEN] = capture_open_h,
    [ROUTE_CAPTURES] = captures_h,
    [ROUTE_CAPTURE] = capture_h,
    [ROUTE_CAPTURE_EVENTS] = events_h,
    [ROUTE_EVENTS] = events_h,
    [ROUTE_FIELD_RESET] = steer_h,
    [ROUTE_FIELD_SELECT] = steer_h,
    [ROUTE_SUBMIT] = steer_h,
    [ROUTE_CANCEL] = steer_h,
    [ROUTE_NOTICES] = desk_notices_h,
    [ROUTE_ORDERS] = desk_orders_h,
    [ROUTE_ORDERS_OF] = desk_orders_h,
    [ROUTE_ORDER] = desk_order_h,
    [ROUTE_ORDER_CAPTURE] = desk_order_new_h,
    [ROUTE_ORDER_VOID] = desk_order_new_h,
    [ROUTE_ORDER_REFUND] = desk_order_new_h,
    [ROUTE_ORDER_SUBSCRIBE] = desk_order_new_h,
    [ROUTE_ORDER_LINK] = desk_order_new_h,
    [ROUTE_METRICS] = desk_metrics_h,
    [ROUTE_REPORT] = desk_report_h,
    [ROUTE_HOOKS] = desk_hooks_h,
    [ROUTE_HOOK_RETRY] = desk_hook_decide_h,
    [ROUTE_HOOK_DROP] = desk_hook_decide_h,
    [ROUTE_WEBHOOK_STRIPE] = desk_webhook_h,
    [ROUTE_WEBHOOK_BRAINTREE] = desk_webhook_h,
    [ROUTE_WEBHOOK_PAYPAL] = desk_webhook_h,
    [ROUTE_WEBHOOK_ADYEN] = desk_webhook_h,
    [ROUTE_WEBHOOK_WORLDPAY] = desk_webhook_h,
};

void desk_api_h(void *owner, struct http_connection *connection, const struct http_request *request)
{
    struct ask ask = {.desk = owner, .connection = connection, .request = request};
    enum err err = route_find(request->method, request->path, &ask.match);
    if (err) {
        refuse_route(&ask, err);
        return;
    }
    if (ask.match.route->is_open || is_let_in(&ask))
        handlers[ask.match.route->id](&ask);
}
