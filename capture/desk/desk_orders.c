#include "capture/desk/desk_orders.h"

#include "base/card_shape.h"
#include "capture/desk/desk_ask.h"
#include "capture/desk/desk_view.h"
#include "capture/desk/order_request.h"

#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_MAX       100
#define LIST_DEFAULT   20
#define ANSWER_LATE_MS 120000 /* twice what the gateway role takes at most: its answer was lost */
#define AGAIN_FIRST_MS 5000
#define AGAIN_MAX_MS   600000
/* As long as every gateway with idempotency keys surely knows the order again (PayPal forgets after six hours). */
#define GIVE_UP_S (5 * 3600LL)

static const char *const kind_names[ORDER_KINDS] = {"capture", "void", "refund", "subscribe", "link"};
static const char *const asked_names[ORDER_KINDS] = {"order.capture", "order.void", "order.refund",
                                                     "order.subscribe", "order.link"};
static const char *const end_names[ORDER_KINDS] = {"order.capture.end", "order.void.end", "order.refund.end",
                                                   "order.subscribe.end", "order.link.end"};
static const char *const state_names[ORDER_STATE_COUNT] = {"open", "done", "declined", "failed", "unknown"};

/* --- views ------------------------------------------------------------------------------------------------------- */

static void order_id_text(uint64_t id, char *out)
{
    memcpy(out, "ord_", 4);
    log_id_text(id, out + 4);
}

static json_t *text_json(const char *text)
{
    return text[0] ? json_string(text) : json_null();
}

static json_t *id_json(void (*text_of)(uint64_t id, char *out), uint64_t id)
{
    char text[DESK_ID_TEXT];
    text_of(id, text);
    return id ? json_string(text) : json_null();
}

/* Of a link: what the provider's webhook told. The page it leads to is the provider's, and so is this word. */
static json_t *paid_json(struct desk *desk, const struct store_order *order)
{
    struct store_link_payment payment;
    char at[WALL_TEXT_MAX];
    if (order->take.kind != ORDER_KIND_LINK ||
        store_orders_payment(&desk->orders.store, order->id, &payment) != OK)
        return json_null();
    wall_time_text(payment.at, at);
    return json_pack("{s:o,s:I,s:s,s:s}", "payment_ref", text_json(payment.payment_ref), "amount",
                     (json_int_t)payment.amount_minor, "currency", payment.currency, "at", at);
}

static json_t *order_json(struct desk *desk, const struct store_order *order)
{
    const struct order_take_msg *take = &order->take;
    char created[WALL_TEXT_MAX];
    char updated[WALL_TEXT_MAX];
    wall_time_text(order->created_at, created);
    wall_time_text(order->updated_at, updated);
    return json_pack(
        "{s:o,s:s,s:s,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:s,s:s,s:s,s:o}", "id",
        id_json(order_id_text, order->id), "kind", kind_names[take->kind], "state", state_names[order->state],
        "reason", desk_reason_name(order->reason), "capture",
        id_json(desk_capture_id_text, order->capture_id), "call", id_json(desk_call_id_text, take->call_id),
        "amount", take->amount_minor ? json_integer((json_int_t)take->amount_minor) : json_null(), "currency",
        text_json(take->currency), "reference", text_json(take->reference), "result_ref",
        text_json(order->result_ref), "url", text_json(order->url), "asked_by", order->asked_by, "created_at",
        created, "updated_at", updated, "paid", paid_json(desk, order));
}

static enum err audit_order(struct desk *desk, const struct store_order *order, const char *what,
                            const char *who, const char *where, const char *outcome)
{
    char id[DESK_ID_TEXT];
    order_id_text(order->id, id);
    const char *detail = order->result_ref[0] ? order->result_ref : order->take.order_ref;
    const struct audit_entry entry = {.who = who,
                                      .what = what,
                                      .where = where,
                                      .outcome = outcome,
                                      .resource = id,
                                      .reason = order->reason ? desk_reason_name(order->reason) : NULL,
                                      .detail = detail[0] ? detail : NULL,
                                      .amount_minor = order->take.amount_minor,
                                      .currency = order->take.currency[0] ? order->take.currency : NULL};
    return desk_disk_result(desk, audit_append(desk->audit, &entry));
}

/* --- what is open -------------------------------------------------------------------------------------------------- */

static size_t place_of(const struct desk_orders *orders, uint64_t id)
{
    size_t place = 0;
    while (place < orders->open_count && orders->open[place].id != id)
        place++;
    return place;
}

bool desk_order_is_open(const struct desk *desk, uint64_t id)
{
    return place_of(&desk->orders, id) < desk->orders.open_count;
}

static void forget(struct desk_orders *orders, size_t place)
{
    orders->open[place] = orders->open[--orders->open_count];
}

static void remember(struct desk_orders *orders, uint64_t id)
{
    orders->open[orders->open_count].id = id;
    orders->open[orders->open_count].next = mono_now();
    orders->open[orders->open_count].tries = 0;
    orders->open_count++;
}

static bool is_too_old(const struct store_order *order)
{
    return wall_now().ns - order->created_at.ns > GIVE_UP_S * NS_PER_S;
}

/* Durable, audited, shown. Not forgotten until it is durable. */
static enum err end_order(struct desk *desk, size_t place, struct store_order *order)
{
    order->updated_at = wall_now();
    enum err err =
        audit_order(desk, order, end_names[order->take.kind], "gateway", "local", state_names[order->state]);
    if (!err)
        err = desk_disk_result(desk, store_orders_end(&desk->orders.store, order));
    if (err && err != ERR_ORDER)
        return err;
    if (desk_hooks_ordered(desk, order) != OK)
        log_event(LOG_ERROR, "nobody will be told of an order's end", LOG_ID("order", order->id));
    forget(&desk->orders, place);
    desk_publish(desk, "order", order_json(desk, order), order->capture_id);
    return OK;
}

/* What is too old to be sent again was not answered for hours: somebody has to look at the gateway. */
static void send_order(struct desk *desk, size_t place)
{
    struct store_order order;
    unsigned again_ms = AGAIN_MAX_MS;
    if (store_orders_find(&desk->orders.store, desk->orders.open[place].id, &order) == OK) {
        if (is_too_old(&order)) {
            order.state = ORDER_STATE_UNKNOWN;
            order.reason = REASON_UNAVAILABLE;
            if (end_order(desk, place, &order) == OK)
                return;
        } else if (msg_send(&desk->gateway, &order.take) == OK) {
            again_ms = ANSWER_LATE_MS;
            desk->orders.open[place].tries++;
        } else {
            again_ms = AGAIN_FIRST_MS;
        }
    }
    desk->orders.open[place].next = mono_add_ms(mono_now(), again_ms);
}

void desk_orders_turn(struct desk *desk)
{
    struct mono_time now = mono_now();
    if (!desk_gateway_is_up(desk))
        return;
    for (size_t i = desk->orders.open_count; i-- > 0;) { /* backwards: an end fills its gap from behind */
        if (mono_reached(now, desk->orders.open[i].next))
            send_order(desk, i);
    }
}

void desk_orders_link_up(struct desk *desk)
{
    for (size_t i = 0; i < desk->orders.open_count; i++)
        desk->orders.open[i].next = mono_now();
    desk_orders_turn(desk);
}

enum err desk_orders_open(struct desk *desk)
{
    struct store_order *list = calloc(LIMIT_ORDERS_OPEN, sizeof(*list));
    size_t count = 0;
    enum err err = list ? store_orders_open(&desk->orders.store, desk->store) : ERR_MEMORY;
    if (!err)
        err = store_orders_list_open(&desk->orders.store, list, LIMIT_ORDERS_OPEN, &count);
    for (size_t i = 0; i < count && !err; i++)
        remember(&desk->orders, list[i].id);
    free(list);
    return err;
}

void desk_orders_close(struct desk *desk)
{
    store_orders_close(&desk->orders.store);
}

/* --- answers ------------------------------------------------------------------------------------------------------- */

static bool text_is_fit(const char *text, size_t capacity)
{
    size_t length = strnlen(text, capacity);
    for (size_t i = 0; i < length; i++) {
        if (text[i] <= 0x20 || text[i] > 0x7e)
            return false;
    }
    return length < capacity && !card_shape_alone(text);
}

static bool reply_is_sane(const struct order_reply_msg *reply)
{
    return reply->kind < ORDER_KINDS && reply->outcome < GATEWAY_OUTCOMES && reply->reason < REASON_COUNT &&
           text_is_fit(reply->order_ref, sizeof(reply->order_ref)) &&
           text_is_fit(reply->url, sizeof(reply->url)) &&
           (!reply->url[0] || strncmp(reply->url, "https://", 8) == 0);
}

enum err desk_order_reply(struct desk *desk, const struct order_reply_msg *reply)
{
    static const enum order_state states[GATEWAY_OUTCOMES] = {
        [GATEWAY_DONE] = ORDER_STATE_DONE,      [GATEWAY_DECLINED] = ORDER_STATE_DECLINED,
        [GATEWAY_FAILED] = ORDER_STATE_FAILED,  [GATEWAY_UNAVAILABLE] = ORDER_STATE_OPEN,
        [GATEWAY_NO_ANSWER] = ORDER_STATE_OPEN,
    };
    struct store_order order;
    size_t place = place_of(&desk->orders, reply->header.subject);
    if (place == desk->orders.open_count || !reply_is_sane(reply))
        return ERR_RANGE;
    enum err err = store_orders_find(&desk->orders.store, reply->header.subject, &order);
    if (err || order.take.kind != reply->kind)
        return err ? err : ERR_RANGE;
    order.state = (uint8_t)states[reply->outcome];
    order.reason = reply->reason;
    memcpy(order.result_ref, reply->order_ref, sizeof(order.result_ref));
    memcpy(order.url, reply->url, sizeof(order.url));
    if (order.state != ORDER_STATE_OPEN)
        return end_order(desk, place, &order);
    unsigned shift = desk->orders.open[place].tries < 8 ? desk->orders.open[place].tries : 8;
    int64_t wait_ms = (int64_t)AGAIN_FIRST_MS << shift;
    desk->orders.open[place].next = mono_add_ms(mono_now(), wait_ms < AGAIN_MAX_MS ? wait_ms : AGAIN_MAX_MS);
    return OK;
}

enum err desk_order_link_paid(struct desk *desk, const struct webhook_event *event, struct wall_time at,
                              const char **outcome)
{
    struct store_order order;
    struct store_link_payment payment = {.amount_minor = event->amount_minor, .at = at};
    enum err err = store_orders_find(&desk->orders.store, event->order_id, &order);
    if (err == ERR_NOT_FOUND || (!err && order.take.kind != ORDER_KIND_LINK))
        return OK;
    *outcome = "noted";
    if (err || event->kind != WEBHOOK_SUCCEEDED)
        return err;
    *outcome = "mismatched"; /* not what the link was made for */
    if (event->amount_minor != order.take.amount_minor || strcmp(event->currency, order.take.currency) != 0)
        return OK;
    *outcome = "paid";
    memcpy(payment.payment_ref, event->order_ref, sizeof(payment.payment_ref));
    memcpy(payment.currency, event->currency, sizeof(payment.currency));
    err = desk_disk_result(desk, store_orders_paid(&desk->orders.store, order.id, &payment));
    if (!err)
        desk_publish(desk, "order", order_json(desk, &order), 0);
    return err;
}

/* --- asking -------------------------------------------------------------------------------------------------------- */

static enum order_kind kind_of(enum route_id route)
{
    return (enum order_kind)(route - ROUTE_ORDER_CAPTURE);
}
_Static_assert(ROUTE_ORDER_LINK - ROUTE_ORDER_CAPTURE == ORDER_KIND_LINK,
               "the routes stand in the kinds' order");

/* What was asked for of this payment before and may have been done. */
struct before {
    size_t captures, voids, refunds;
    int64_t captured_minor, refunded_minor;
};

static enum err look_back(const struct ask *ask, uint64_t capture_id, struct before *before)
{
    struct store_orders *store = &ask->desk->orders.store;
    int64_t none;
    enum err err =
        store_orders_sum(store, capture_id, ORDER_KIND_CAPTURE, &before->captures, &before->captured_minor);
    if (!err)
        err = store_orders_sum(store, capture_id, ORDER_KIND_VOID, &before->voids, &none);
    if (!err)
        err =
            store_orders_sum(store, capture_id, ORDER_KIND_REFUND, &before->refunds, &before->refunded_minor);
    return err;
}

/* Why not; NULL: it may be asked for. *most: at most so much. */
static const char *objection(enum order_kind kind, const struct store_capture *payment,
                             const struct before *before, int64_t *most)
{
    bool is_held = payment->kind == CAPTURE_KIND_AUTHORISE && before->captures == 0;
    *most = payment->amount_minor;
    switch (kind) {
    case ORDER_KIND_CAPTURE:
        return payment->kind != CAPTURE_KIND_AUTHORISE ? "this payment does not only hold the money"
               : before->captures                      ? "the money was taken, or is being taken, already"
               : before->voids                         ? "this payment was let go of already"
                                                       : NULL;
    case ORDER_KIND_VOID:
        return payment->kind == CAPTURE_KIND_TOKENISE ? "no money was taken or held"
               : before->voids                        ? "this payment was let go of already"
               : before->captures || before->refunds  ? "the money was moved already: refund it instead"
                                                      : NULL;
    case ORDER_KIND_REFUND:
        if (payment->kind == CAPTURE_KIND_AUTHORISE)
            *most = before->captured_minor;
        *most -= before->refunded_minor;
        return payment->kind == CAPTURE_KIND_TOKENISE ? "no money was taken"
               : is_held       ? "the money is only held: let go of it with void instead"
               : before->voids ? "this payment was let go of already"
               : *most <= 0    ? "everything was given back already"
                               : NULL;
    case ORDER_KIND_SUBSCRIBE:
        *most = LIMIT_AMOUNT_MINOR;
        return payment->token[0] ? NULL : "no token of this card was kept";
    default:
        return NULL;
    }
}

/* False: it was refused. */
static bool fit_to_payment(const struct ask *ask, const struct order_request *wanted,
                           const struct store_capture *payment, struct store_order *order)
{
    struct before before = {0};
    int64_t most = 0;
    enum order_kind kind = (enum order_kind)order->take.kind;
    if (payment->state != CAPTURE_APPROVED) {
        ask_refuse(ask, 409, "not_approved", "this payment was not approved, so there is nothing to do");
        return false;
    }
    if (look_back(ask, payment->id, &before) != OK) {
        ask_refuse(ask, 503, "store", "the database cannot be read now");
        return false;
    }
    const char *why_not = objection(kind, payment, &before, &most);
    if (why_not) {
        ask_refuse(ask, 409, "not_now", why_not);
        return false;
    }
    if (wanted->amount_minor > most) {
        ask_refuse(ask, 422, "amount_out_of_range", "the amount is more than what is left of this payment");
        return false;
    }
    if (kind != ORDER_KIND_SUBSCRIBE) {
        order->take.amount_minor = wanted->amount_minor ? wanted->amount_minor : most;
        memcpy(order->take.currency, payment->currency, sizeof(order->take.currency));
        memcpy(order->take.order_ref, payment->order_ref, sizeof(order->take.order_ref));
    } else {
        memcpy(order->take.token, payment->token, sizeof(order->take.token));
        if (!order->take.currency[0])
            memcpy(order->take.currency, payment->currency, sizeof(order->take.currency));
    }
    order->capture_id = payment->id;
    order->take.call_id = payment->call_id;
    order->take.gateway_index = payment->gateway_index;
    return true;
}

static void fill_order(const struct ask *ask, const struct order_request *wanted, enum order_kind kind,
                       uint64_t id, struct store_order *order)
{
    *order = (struct store_order){.id = id, .created_at = wall_now()};
    struct order_take_msg *take = &order->take;
    MSG_INIT(take, ORDER_TAKE, id);
    take->kind = (uint8_t)kind;
    take->amount_minor = wanted->amount_minor;
    take->call_id = wanted->call_id;
    take->interval_unit = wanted->interval_unit;
    take->interval_count = wanted->interval_count;
    memcpy(take->currency, wanted->currency, sizeof(take->currency));
    memcpy(take->plan, wanted->plan, sizeof(take->plan));
    memcpy(take->customer, wanted->customer, sizeof(take->customer));
    memcpy(take->reference, wanted->reference, sizeof(take->reference));
    order->updated_at = order->created_at;
    snprintf(order->asked_by, sizeof(order->asked_by), "%s", ask->who);
}

static void reply_order(const struct ask *ask, const struct store_order *order, bool is_replayed)
{
    struct desk *desk = ask->desk;
    char id[DESK_ID_TEXT];
    char extra[128];
    order_id_text(order->id, id);
    snprintf(extra, sizeof(extra), "Location: /v1/orders/%s\r\n%s", id,
             is_replayed ? "Idempotent-Replayed: true\r\n" : "");
    ask_reply(ask, 202, order_json(desk, order), extra);
}

/* The path is part of the request: the same key for another payment is another request. */
static void hash_request(const struct http_request *request, uint8_t *hash)
{
    uint8_t parts[2][SHA256_DIGEST_LENGTH];
    SHA256((const uint8_t *)request->path, strlen(request->path), parts[0]);
    SHA256((const uint8_t *)request->body, request->body_length, parts[1]);
    SHA256(parts[0], sizeof(parts), hash);
}

/* True when the key was seen before, or is none, and the answer was given. */
static bool is_replay(const struct ask *ask, const uint8_t *hash)
{
    struct store_order order;
    uint8_t stored[STORE_REQUEST_HASH_BYTES];
    const char *key = ask->request->idempotency_key;
    if (!key[0]) {
        ask_refuse(ask, 422, "idempotency_key_missing",
                   "send an Idempotency-Key: the same request sent again must not move money twice");
        return true;
    }
    if (strlen(key) >= STORE_IDEMPOTENCY_KEY_MAX || card_shape_within(key)) {
        ask_refuse(ask, 422, "idempotency_key_invalid",
                   "Idempotency-Key: at most 127 characters, no card number");
        return true;
    }
    enum err err = store_orders_find_key(&ask->desk->orders.store, ask->who, key, &order, stored);
    if (err == ERR_NOT_FOUND)
        return false;
    if (err)
        ask_refuse(ask, 503, "store", "the database cannot be read now");
    else if (memcmp(stored, hash, sizeof(stored)) != 0)
        ask_refuse(ask, 422, "idempotency_key_reused", "this Idempotency-Key was used for another request");
    else
        reply_order(ask, &order, true);
    return true;
}

/* Audited and durable before the gateway hears of it. */
static void keep_and_send(const struct ask *ask, struct store_order *order, const uint8_t *hash)
{
    struct desk *desk = ask->desk;
    char where[HTTP_PEER_TEXT];
    http_peer_text(ask->connection, where);
    if (desk->orders.open_count == LIMIT_ORDERS_OPEN) {
        ask_refuse(ask, 503, "full", "too many orders wait for the gateway: try again later");
        return;
    }
    enum err err = audit_order(desk, order, asked_names[order->take.kind], ask->who, where, "ok");
    if (!err)
        err = desk_disk_result(
            desk, store_orders_add(&desk->orders.store, order, ask->request->idempotency_key, hash));
    if (err) {
        ask_refuse(ask, 503, "store", "this could not be recorded, so it was not done");
        return;
    }
    remember(&desk->orders, order->id);
    reply_order(ask, order, false);
    desk_publish(desk, "order", order_json(desk, order), order->capture_id);
    desk_orders_turn(desk);
}

void desk_order_new_h(const struct ask *ask)
{
    const struct http_request *request = ask->request;
    enum order_kind kind = kind_of(ask->match.route->id);
    struct order_request wanted;
    struct store_order order;
    const char *code = "";
    char message[ORDER_REQUEST_MESSAGE_BYTES];
    uint8_t hash[STORE_REQUEST_HASH_BYTES];
    uint64_t id = 0;
    if (request->body_length && !http_type_is(request->content_type, "application/json")) {
        ask_refuse(ask, 415, "media_type", "send the body as application/json");
        return;
    }
    enum err err = order_request_read(&wanted, kind, request->body, request->body_length, &code, message);
    if (err) {
        ask_refuse(ask, err == ERR_SYNTAX ? 400 : 422, code, message);
        return;
    }
    hash_request(request, hash);
    if (is_replay(ask, hash))
        return;
    if (RAND_bytes((unsigned char *)&id, sizeof(id)) != 1) {
        ask_refuse(ask, 500, "random", "no random number for an id");
        return;
    }
    fill_order(ask, &wanted, kind, id, &order);
    const struct desk_capture *payment = NULL;
    if (kind != ORDER_KIND_LINK) {
        payment = desk_capture_get(ask->desk, ask->match.subject);
        if (!payment) {
            ask_refuse(ask, 404, "capture_not_found", "no such capture");
            return;
        }
    }
    if (!payment || fit_to_payment(ask, &wanted, &payment->record, &order))
        keep_and_send(ask, &order, hash);
}

void desk_order_h(const struct ask *ask)
{
    struct store_order order;
    enum err err = store_orders_find(&ask->desk->orders.store, ask->match.subject, &order);
    if (err)
        ask_refuse(ask, err == ERR_NOT_FOUND ? 404 : 503, err == ERR_NOT_FOUND ? "order_not_found" : "store",
                   err == ERR_NOT_FOUND ? "no such order" : "the database cannot be read now");
    else
        ask_reply(ask, 200, order_json(ask->desk, &order), NULL);
}

/* limit and before out of the query; false: refused. */
static bool read_page(const struct ask *ask, size_t *limit, uint64_t *before)
{
    char text[32];
    *limit = LIST_DEFAULT;
    *before = 0;
    if (http_query_value(ask->request->query, "limit", text, sizeof(text))) {
        char *end = NULL;
        unsigned long value = strtoul(text, &end, 10);
        if (*end || value < 1 || value > LIST_MAX) {
            ask_refuse(ask, 422, "limit_out_of_range", "limit must lie between 1 and 100");
            return false;
        }
        *limit = value;
    }
    if (http_query_value(ask->request->query, "before", text, sizeof(text)) &&
        (strncmp(text, "ord_", 4) != 0 || log_id_parse(text + 4, before) != OK)) {
        ask_refuse(ask, 422, "before_invalid", "before must be the id of an order");
        return false;
    }
    return true;
}

void desk_orders_h(const struct ask *ask)
{
    static struct store_order list[LIST_MAX]; /* one thread, one request at a time */
    size_t limit;
    size_t count = 0;
    uint64_t before;
    if (!read_page(ask, &limit, &before))
        return;
    enum err err =
        store_orders_list(&ask->desk->orders.store, ask->match.subject, before, list, limit, &count);
    if (err) {
        ask_refuse(ask, err == ERR_NOT_FOUND ? 404 : 503, err == ERR_NOT_FOUND ? "order_not_found" : "store",
                   err == ERR_NOT_FOUND ? "before: no such order" : "the database cannot be read now");
        return;
    }
    json_t *orders = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(orders, order_json(ask->desk, &list[i]));
    json_t *next = count == limit ? id_json(order_id_text, list[count - 1].id) : json_null();
    ask_reply(ask, 200, json_pack("{s:o,s:o}", "orders", orders, "next_before", next), NULL);
}
