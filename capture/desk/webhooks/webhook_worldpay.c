/* Access Worldpay, Events: "Event-Signature: KEYID/SHA256/HEX[,KEYID/SHA256/HEX...]", HMAC-SHA256 over the body. The
 * header must have been asked for with Worldpay; without it nothing is believed. (The other check they offer, their
 * client certificate, belongs into a reverse proxy.) Nothing in it ages: a replay is known by its id. */
#include "capture/desk/webhooks/webhook_priv.h"

#include <openssl/sha.h>
#include <string.h>

/* The key is found by trying: their number says which of theirs it is, ours are at most three. */
static bool part_is_good(const struct webhook_account *account, const char *part, size_t length,
                         const struct http_request *request)
{
    static const char function[] = "/SHA256/";
    uint8_t expected[SHA256_DIGEST_LENGTH];
    size_t number_length = strspn(part, "0123456789");
    size_t head_length = number_length + sizeof(function) - 1;
    return number_length > 0 && length > head_length &&
           strncmp(part + number_length, function, sizeof(function) - 1) == 0 &&
           webhook_hex(part + head_length, length - head_length, expected, sizeof(expected)) &&
           webhook_hmac_fits(account, EVP_sha256(), request->body, request->body_length, expected,
                             sizeof(expected));
}

static enum err verify(const struct webhook_account *account, const struct http_request *request,
                       struct wall_time now, struct webhook_text *text)
{
    char header[WEBHOOK_HEADER_BYTES];
    bool is_good = false;
    (void)now;
    (void)text;
    if (http_header_value(request, "Event-Signature", header, sizeof(header)) != OK)
        return ERR_REFUSED;
    for (const char *part = header; *part; part += *part == ',') {
        part += strspn(part, " ");
        size_t length = strcspn(part, ",");
        is_good = part_is_good(account, part, length, request) || is_good;
        part += length;
    }
    return is_good ? OK : ERR_REFUSED;
}

static const struct webhook_kind_row rows[] = {
    {"sentForAuthorization", WEBHOOK_PENDING},
    {"authorized", WEBHOOK_AUTHORISED},
    {"sentForSettlement", WEBHOOK_SUCCEEDED},
    {"settled", WEBHOOK_SUCCEEDED},
    {"refused", WEBHOOK_FAILED},
    {"error", WEBHOOK_FAILED},
    {"settlementFailed", WEBHOOK_FAILED},
    {"expired", WEBHOOK_CANCELLED},
    {"cancelled", WEBHOOK_CANCELLED},
    {"sentForRefund", WEBHOOK_REFUNDED},
    {"refunded", WEBHOOK_REFUNDED},
    {"refundFailed", WEBHOOK_REFUND_FAILED},
    {"informationRequested", WEBHOOK_DISPUTED},
    {"chargedBack", WEBHOOK_DISPUTE_LOST},
    {"chargebackReversed", WEBHOOK_DISPUTE_WON},
};

static enum err read_event(const char *text, size_t length, struct webhook_batch *batch)
{
    json_t *body = webhook_json(text, length);
    const json_t *details = json_object_get(body, "eventDetails");
    const json_t *amount = json_object_get(details, "amount");
    const char *reference = webhook_text_of(details, "transactionReference");
    struct webhook_event *event = json_is_object(details) ? webhook_add(batch) : NULL;
    if (event) {
        const char *currency = webhook_text_of(amount, "currencyCode");
        event->kind = webhook_kind_of(rows, sizeof(rows) / sizeof(rows[0]), webhook_text_of(details, "type"));
        webhook_take_id(webhook_text_of(body, "eventId"), event->id, sizeof(event->id));
        webhook_take_id(reference, event->order_ref, sizeof(event->order_ref));
        webhook_take_name(event, reference);
        webhook_amount_minor(event, json_integer_value(json_object_get(amount, "value")),
                             currency[0] ? currency : webhook_text_of(amount, "currency"));
    }
    json_decref(body);
    return event ? OK : ERR_SYNTAX;
}

const struct webhook_vendor webhook_worldpay = {.name = "worldpay", .verify = verify, .read = read_event};
