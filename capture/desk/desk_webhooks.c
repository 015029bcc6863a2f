/* What follows from a payment gateway's webhook. It is believed to be the vendor's, and still it decides nothing: an end
 * that is stored stands (requirement S3-19), and a payment that is in doubt is asked about over the vault and the
 * gateway, whose synchronous answer alone makes it approved (requirement S0-35). So a duplicate, a replay and an event
 * that comes too early or too late can do no harm. */
#include "base/card_shape.h"
#include "capture/desk/desk_ask.h"
#include "capture/desk/desk_view.h"

#include <stdio.h>
#include <string.h>

#define NOTICES_MAX 32

_Static_assert(ROUTE_WEBHOOK_WORLDPAY - ROUTE_WEBHOOK_STRIPE == CONFIG_WEBHOOK_WORLDPAY,
               "the routes stand in the vendors' order");

static const char *const audit_names[CONFIG_WEBHOOK_VENDORS] = {
    [CONFIG_WEBHOOK_STRIPE] = "webhook.stripe",     [CONFIG_WEBHOOK_BRAINTREE] = "webhook.braintree",
    [CONFIG_WEBHOOK_PAYPAL] = "webhook.paypal",     [CONFIG_WEBHOOK_ADYEN] = "webhook.adyen",
    [CONFIG_WEBHOOK_WORLDPAY] = "webhook.worldpay",
};

/* To the letter (requirements S0-29, S0-32). */
static void reply_text(const struct ask *ask, int status, const char *text)
{
    const struct http_reply reply = {.status = status,
                                     .content_type = "application/json",
                                     .body = text,
                                     .length = strlen(text),
                                     .extra = status == 503 ? "Retry-After: 5\r\n" : NULL};
    http_reply_send(ask->connection, &reply);
}

static enum err audit_event(const struct ask *ask, const struct store_notice *notice, const char *outcome)
{
    char where[HTTP_PEER_TEXT];
    char id[DESK_ID_TEXT] = "";
    http_peer_text(ask->connection, where);
    if (notice->event.capture_id)
        desk_capture_id_text(notice->event.capture_id, id);
    const struct audit_entry entry = {.who = webhook_vendor_name(notice->vendor),
                                      .what = audit_names[notice->vendor],
                                      .where = where,
                                      .outcome = outcome,
                                      .resource = id,
                                      .reason = webhook_kind_name(notice->event.kind),
                                      .detail = notice->event.order_ref[0] ? notice->event.order_ref : NULL,
                                      .amount_minor = notice->event.amount_minor,
                                      .currency = notice->event.currency[0] ? notice->event.currency : NULL};
    return desk_disk_result(ask->desk, audit_append(ask->desk->audit, &entry));
}

/* The capture an event is about. Our id in the order's metadata and the gateway's name for the order must not lead to
 * two different ones (requirement S3-18). NULL with *outcome: it is nobody's. */
static enum err find_capture(const struct ask *ask, const struct webhook_event *event,
                             struct desk_capture **out, const char **outcome)
{
    uint64_t named = event->capture_id;
    uint64_t known = 0;
    enum err err = OK;
    *out = NULL;
    if (event->order_ref[0])
        err = store_webhooks_capture(&ask->desk->notices, event->order_ref, &known);
    if (err && err != ERR_NOT_FOUND)
        return err;
    *outcome = "unmatched";
    if (named && known && named != known)
        *outcome = "mismatched";
    else
        *out = desk_capture_get(ask->desk, named ? named : known);
    return OK;
}

static bool is_about_the_payment(enum webhook_kind kind)
{
    return kind >= WEBHOOK_SUCCEEDED && kind <= WEBHOOK_CANCELLED;
}

/* What will be done about it, for the audit line that comes first. */
static const char *outcome_of(const struct desk_capture *capture, enum webhook_kind kind)
{
    if (kind == WEBHOOK_OTHER)
        return "ignored";
    if (!is_about_the_payment(kind))
        return "noted";
    if (capture_state_is_end(capture->record.state) || capture->is_end_stored)
        return "finalised";
    bool is_in_doubt = capture->record.state == CAPTURE_UNKNOWN || capture->record.state == CAPTURE_LOST;
    return is_in_doubt ? "asked" : "in_progress";
}

static json_t *notice_json(const struct store_notice *notice)
{
    const struct webhook_event *event = &notice->event;
    char at[WALL_TEXT_MAX];
    char id[DESK_ID_TEXT];
    wall_time_text(notice->received_at, at);
    desk_capture_id_text(event->capture_id, id);
    return json_pack(
        "{s:s,s:s,s:s,s:s,s:o,s:o,s:o,s:s}", "capture", id, "vendor", webhook_vendor_name(notice->vendor),
        "kind", webhook_kind_name(event->kind), "status", webhook_kind_status(event->kind), "payment_ref",
        event->order_ref[0] ? json_string(event->order_ref) : json_null(), "amount",
        event->currency[0] ? json_integer((json_int_t)event->amount_minor) : json_null(), "currency",
        event->currency[0] ? json_string(event->currency) : json_null(), "received_at", at);
}

/* Audited, kept, then done. What is not kept will come again. */
static enum err take_event(const struct ask *ask, struct store_notice *notice)
{
    struct desk *desk = ask->desk;
    struct desk_capture *capture = NULL;
    const char *outcome = "";
    enum err err = store_webhooks_find(&desk->notices, notice->vendor, notice->event.id);
    if (err != ERR_NOT_FOUND)
        return err; /* told before, or the store fails */
    err = find_capture(ask, &notice->event, &capture, &outcome);
    if (err)
        return err;
    notice->event.capture_id = capture ? capture->record.id : 0;
    if (capture)
        outcome = outcome_of(capture, notice->event.kind);
    if (card_shape_alone(notice->event.order_ref))
        notice->event.order_ref[0] = '\0';
    if (notice->event.order_id)
        err = desk_order_link_paid(desk, &notice->event, notice->received_at, &outcome);
    if (!err)
        err = audit_event(ask, notice, outcome);
    if (!err)
        err = desk_disk_result(desk, store_webhooks_add(&desk->notices, notice));
    if (err)
        return err;
    if (capture && is_about_the_payment(notice->event.kind))
        (void)!desk_reconcile(desk, capture); /* what cannot be asked now is asked by the next link */
    if (capture && notice->event.kind != WEBHOOK_OTHER)
        desk_publish(desk, "notice", notice_json(notice), capture->record.id);
    return OK;
}

static void tell_refused(const struct ask *ask, enum config_webhook_vendor vendor, enum err err)
{
    uint64_t held;
    struct store_notice none = {.vendor = vendor};
    if (!log_limit_pass(&ask->desk->webhook_limit, &held))
        return;
    log_event(LOG_WARN, "a webhook was not taken", LOG_CONSTANT("vendor", webhook_vendor_name(vendor)),
              LOG_ERR("why", err), LOG_COUNT("held_back", held));
    (void)!audit_event(ask, &none, err == ERR_REFUSED ? "refused" : "unreadable");
}

void desk_webhook_h(const struct ask *ask)
{
    static struct webhook_batch batch; /* one thread, one request at a time */
    enum config_webhook_vendor vendor =
        (enum config_webhook_vendor)(ask->match.route->id - ROUTE_WEBHOOK_STRIPE);
    const struct webhook_account *account = ask->desk->webhooks[vendor];
    if (!account) {
        ask_refuse(ask, 404, "not_configured", "this desk has no key for webhooks of this vendor");
        return;
    }
    struct wall_time now = wall_now();
    enum err err = webhook_take(account, ask->request, now, &batch);
    if (err)
        tell_refused(ask, vendor, err);
    if (err == ERR_REFUSED) {
        reply_text(ask, 400, "{\"error\":\"Invalid signature\"}");
        return;
    }
    bool is_kept = err != ERR_MEMORY;
    for (size_t i = 0; i < batch.count && is_kept && !err; i++) {
        struct store_notice notice = {.vendor = vendor, .event = batch.events[i], .received_at = now};
        is_kept = take_event(ask, &notice) == OK;
    }
    if (is_kept)
        reply_text(ask, 200, "{\"received\":true}");
    else
        reply_text(ask, 503, "{\"error\":\"Not recorded\"}");
}

void desk_notices_h(const struct ask *ask)
{
    struct store_notice notices[NOTICES_MAX];
    size_t count = 0;
    if (!desk_capture_get(ask->desk, ask->match.subject)) {
        ask_refuse(ask, 404, "capture_not_found", "no such capture");
        return;
    }
    enum err err = store_webhooks_list(&ask->desk->notices, ask->match.subject, notices, NOTICES_MAX, &count);
    if (err) {
        ask_refuse(ask, 503, "store", "the database cannot be read now");
        return;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, notice_json(&notices[i]));
    ask_reply(ask, 200, json_pack("{s:o}", "notices", list), NULL);
}
