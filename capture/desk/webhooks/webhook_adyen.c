/* Adyen, standard notifications: each item carries additionalData.hmacSignature, base64 HMAC-SHA256 with the
 * hex-decoded key over eight of its fields joined by colons. Nothing in it ages: a replay is known by its id. */
#include "capture/desk/webhooks/webhook_priv.h"

#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#define SIGNED_BYTES 1024

static const json_t *item_at(const json_t *items, size_t index)
{
    return json_object_get(json_array_get(items, index), "NotificationRequestItem");
}

/* pspReference:originalReference:merchantAccountCode:merchantReference:value:currency:eventCode:success */
static bool signed_fields(const json_t *item, char *out)
{
    const json_t *amount = json_object_get(item, "amount");
    const json_t *value = json_object_get(amount, "value");
    char value_text[24] = "";
    if (json_is_integer(value))
        snprintf(value_text, sizeof(value_text), "%lld", (long long)json_integer_value(value));
    int length =
        snprintf(out, SIGNED_BYTES, "%s:%s:%s:%s:%s:%s:%s:%s", webhook_text_of(item, "pspReference"),
                 webhook_text_of(item, "originalReference"), webhook_text_of(item, "merchantAccountCode"),
                 webhook_text_of(item, "merchantReference"), value_text, webhook_text_of(amount, "currency"),
                 webhook_text_of(item, "eventCode"), webhook_text_of(item, "success"));
    return length > 0 && length < SIGNED_BYTES;
}

/* The keys are written in hexadecimal. */
static bool hmac_fits(const struct webhook_account *account, const char *text, const uint8_t *expected)
{
    bool fits = false;
    for (size_t i = 0; i < account->key_count; i++) {
        uint8_t key[WEBHOOK_SECRET_BYTES / 2];
        uint8_t computed[SHA256_DIGEST_LENGTH];
        const struct secret *written = account->keys[i];
        size_t key_length = secret_length(written) / 2;
        if (webhook_hex((const char *)secret_bytes(written), secret_length(written), key, key_length) &&
            HMAC(EVP_sha256(), key, (int)key_length, (const uint8_t *)text, strlen(text), computed, NULL))
            fits = CRYPTO_memcmp(computed, expected, sizeof(computed)) == 0 || fits;
        wipe(key, sizeof(key));
        wipe(computed, sizeof(computed));
    }
    return fits;
}

static bool item_is_signed(const struct webhook_account *account, const json_t *item)
{
    char text[SIGNED_BYTES];
    uint8_t expected[SHA256_DIGEST_LENGTH];
    size_t count = 0;
    const char *given = webhook_text_of(json_object_get(item, "additionalData"), "hmacSignature");
    bool is_ours =
        !account->account[0] || strcmp(account->account, webhook_text_of(item, "merchantAccountCode")) == 0;
    return is_ours && webhook_base64(given, strlen(given), expected, sizeof(expected), &count) &&
           count == sizeof(expected) && signed_fields(item, text) && hmac_fits(account, text, expected);
}

static enum err verify(const struct webhook_account *account, const struct http_request *request,
                       struct wall_time now, struct webhook_text *text)
{
    (void)now;
    (void)text; /* the body as it came */
    json_t *body = webhook_json(request->body, request->body_length);
    const json_t *items = json_object_get(body, "notificationItems");
    size_t count = json_array_size(items);
    bool is_good = count > 0 && count <= LIMIT_WEBHOOK_EVENTS;
    for (size_t i = 0; i < count && is_good; i++)
        is_good = item_is_signed(account, item_at(items, i));
    json_decref(body);
    return is_good ? OK : ERR_REFUSED;
}

static const struct {
    const char *code;
    enum webhook_kind done; /* success is "true" */
    enum webhook_kind failed;
} rows[] = {
    /* Whether an authorisation also takes the money depends on the account: what it means is asked. */
    {"AUTHORISATION", WEBHOOK_AUTHORISED, WEBHOOK_FAILED},
    {"CAPTURE", WEBHOOK_SUCCEEDED, WEBHOOK_FAILED},
    {"CAPTURE_FAILED", WEBHOOK_FAILED, WEBHOOK_OTHER},
    {"CANCELLATION", WEBHOOK_CANCELLED, WEBHOOK_OTHER},
    {"TECHNICAL_CANCEL", WEBHOOK_CANCELLED, WEBHOOK_OTHER},
    {"REFUND", WEBHOOK_REFUNDED, WEBHOOK_REFUND_FAILED},
    {"REFUND_FAILED", WEBHOOK_REFUND_FAILED, WEBHOOK_OTHER},
    {"NOTIFICATION_OF_CHARGEBACK", WEBHOOK_DISPUTED, WEBHOOK_OTHER},
    {"CHARGEBACK", WEBHOOK_DISPUTE_LOST, WEBHOOK_OTHER},
    {"CHARGEBACK_REVERSED", WEBHOOK_DISPUTE_WON, WEBHOOK_OTHER},
};

static enum webhook_kind kind_of(const json_t *item)
{
    const char *code = webhook_text_of(item, "eventCode");
    bool is_done = strcmp(webhook_text_of(item, "success"), "true") == 0;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strcmp(rows[i].code, code) == 0)
            return is_done ? rows[i].done : rows[i].failed;
    }
    return WEBHOOK_OTHER;
}

static enum err read_item(const json_t *item, struct webhook_batch *batch)
{
    char text[SIGNED_BYTES];
    const json_t *amount = json_object_get(item, "amount");
    const char *original = webhook_text_of(item, "originalReference");
    if (!json_is_object(item) || !signed_fields(item, text))
        return ERR_SYNTAX;
    struct webhook_event *event = webhook_add(batch);
    if (!event)
        return ERR_FULL;
    event->kind = kind_of(item);
    webhook_hash_id(text, strlen(text), event->id);
    webhook_take_id(original[0] ? original : webhook_text_of(item, "pspReference"), event->order_ref,
                    sizeof(event->order_ref));
    webhook_take_name(event, webhook_text_of(item, "merchantReference"));
    webhook_amount_minor(event, json_integer_value(json_object_get(amount, "value")),
                         webhook_text_of(amount, "currency"));
    return OK;
}

static enum err read_items(const char *text, size_t length, struct webhook_batch *batch)
{
    json_t *body = webhook_json(text, length);
    const json_t *items = json_object_get(body, "notificationItems");
    enum err err = json_array_size(items) > 0 ? OK : ERR_SYNTAX;
    for (size_t i = 0; i < json_array_size(items) && !err; i++)
        err = read_item(item_at(items, i), batch);
    json_decref(body);
    return err;
}

const struct webhook_vendor webhook_adyen = {.name = "adyen", .verify = verify, .read = read_items};
