/* Stripe: "Stripe-Signature: t=SECONDS,v1=HEX[,v1=HEX...][,v0=...]", HMAC-SHA256 over "SECONDS.BODY". */
#include "capture/desk/webhooks/webhook_priv.h"

#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

/* "SECONDS" of ten digits or so; -1 when it is not that. */
static int64_t seconds_of(const char *text, size_t length)
{
    int64_t seconds = 0;
    if (length == 0 || length > 12)
        return -1;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        seconds = seconds * 10 + (text[i] - '0');
    }
    return seconds;
}

static bool is_fresh(int64_t seconds, struct wall_time now)
{
    int64_t age = now.ns / NS_PER_S - seconds;
    return seconds >= 0 && age <= WEBHOOK_TOLERANCE_S && age >= -WEBHOOK_TOLERANCE_S;
}

/* One "v1": does it fit any of the keys? */
static bool is_signed(const struct webhook_account *account, const char *hex, size_t hex_length,
                      const char *text, size_t length)
{
    uint8_t expected[SHA256_DIGEST_LENGTH];
    return webhook_hex(hex, hex_length, expected, sizeof(expected)) &&
           webhook_hmac_fits(account, EVP_sha256(), text, length, expected, sizeof(expected));
}

static enum err verify(const struct webhook_account *account, const struct http_request *request,
                       struct wall_time now, struct webhook_text *text)
{
    char header[WEBHOOK_HEADER_BYTES];
    if (http_header_value(request, "Stripe-Signature", header, sizeof(header)) != OK ||
        strncmp(header, "t=", 2) != 0)
        return ERR_REFUSED;
    const char *stamp = header + 2;
    size_t stamp_length = strcspn(stamp, ",");
    if (!is_fresh(seconds_of(stamp, stamp_length), now))
        return ERR_REFUSED;
    size_t length = stamp_length + 1 + request->body_length;
    char *signed_text = malloc(length);
    if (!signed_text)
        return ERR_MEMORY;
    memcpy(signed_text, stamp, stamp_length);
    signed_text[stamp_length] = '.';
    memcpy(signed_text + stamp_length + 1, request->body, request->body_length);
    bool is_good = false;
    for (const char *part = stamp + stamp_length; *part == ','; part += strcspn(part, ",")) {
        part++;
        if (strncmp(part, "v1=", 3) == 0)
            is_good = is_signed(account, part + 3, strcspn(part, ",") - 3, signed_text, length) || is_good;
    }
    text->owned = signed_text;
    text->text = signed_text + stamp_length + 1;
    text->length = request->body_length;
    return is_good ? OK : ERR_REFUSED;
}

static const struct webhook_kind_row rows[] = {
    {"payment_intent.succeeded", WEBHOOK_SUCCEEDED},
    {"payment_intent.amount_capturable_updated", WEBHOOK_AUTHORISED},
    {"payment_intent.processing", WEBHOOK_PENDING},
    {"payment_intent.payment_failed", WEBHOOK_FAILED},
    {"payment_intent.canceled", WEBHOOK_CANCELLED},
    {"checkout.session.async_payment_succeeded", WEBHOOK_SUCCEEDED},
    {"checkout.session.async_payment_failed", WEBHOOK_FAILED},
    {"charge.refunded", WEBHOOK_REFUNDED},
    {"refund.failed", WEBHOOK_REFUND_FAILED},
    {"charge.dispute.created", WEBHOOK_DISPUTED},
};

static enum webhook_kind kind_of(const char *type, const json_t *object)
{
    const char *status = webhook_text_of(object, "status");
    if (strcmp(type, "charge.dispute.closed") == 0)
        return strcmp(status, "won") == 0    ? WEBHOOK_DISPUTE_WON
               : strcmp(status, "lost") == 0 ? WEBHOOK_DISPUTE_LOST
                                             : WEBHOOK_OTHER;
    /* A payment link's page; a session may end with the money still on its way. */
    if (strcmp(type, "checkout.session.completed") == 0)
        return strcmp(webhook_text_of(object, "payment_status"), "paid") == 0 ? WEBHOOK_SUCCEEDED
                                                                              : WEBHOOK_PENDING;
    return webhook_kind_of(rows, sizeof(rows) / sizeof(rows[0]), type);
}

static const char *amount_member(const char *object, const char *type)
{
    return strcmp(object, "checkout.session") == 0 ? "amount_total"
           : strcmp(type, "charge.refunded") == 0  ? "amount_refunded"
                                                   : "amount";
}

static enum err read_event(const char *text, size_t length, struct webhook_batch *batch)
{
    json_t *body = webhook_json(text, length);
    const json_t *object = json_object_get(json_object_get(body, "data"), "object");
    const char *type = webhook_text_of(body, "type");
    const char *name = webhook_text_of(object, "object");
    struct webhook_event *event = body && type[0] ? webhook_add(batch) : NULL;
    if (!event) {
        json_decref(body);
        return ERR_SYNTAX;
    }
    bool is_intent = strcmp(name, "payment_intent") == 0;
    event->kind = kind_of(type, object);
    webhook_take_id(webhook_text_of(body, "id"), event->id, sizeof(event->id));
    webhook_take_id(webhook_text_of(object, is_intent ? "id" : "payment_intent"), event->order_ref,
                    sizeof(event->order_ref));
    const json_t *metadata = json_object_get(object, "metadata");
    webhook_take_name(event, webhook_text_of(metadata, "capture_id"));
    webhook_take_name(event, webhook_text_of(metadata, "order_id"));
    const json_t *amount = json_object_get(object, amount_member(name, type));
    if (json_is_integer(amount))
        webhook_amount_minor(event, json_integer_value(amount), webhook_text_of(object, "currency"));
    json_decref(body);
    return OK;
}

const struct webhook_vendor webhook_stripe = {.name = "stripe", .verify = verify, .read = read_event};
