#include "gateway/platforms/hook_body.h"

#include "base/log.h"
#include "gateway/json_writer.h"

#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

static const char *const status_names[HOOK_STATUSES] = {"PENDING", "CONFIRMED", "DECLINED", "FAILED"};
static const char *const payment_types[HOOK_STATUSES] = {"payment.pending", "payment.confirmed",
                                                         "payment.declined", "payment.failed"};
static const char *const type_names[HOOK_KINDS] = {
    [HOOK_PAYMENT] = "payment",
    [HOOK_SUBSCRIPTION] = "subscription.created",
    [HOOK_REFUND] = "refund.created",
    [HOOK_RECEIPT_SMS] = "receipt.sms",
    [HOOK_RECEIPT_EMAIL] = "receipt.email",
    [HOOK_ATTRIBUTES] = "platform.attributes",
    [HOOK_RECORDING_PAUSE] = "platform.recording.pause",
    [HOOK_RECORDING_RESUME] = "platform.recording.resume",
};

const char *hook_status_name(unsigned status)
{
    return status < HOOK_STATUSES ? status_names[status] : "UNKNOWN";
}

const char *hook_type_name(const struct hook_send_msg *hook)
{
    if (hook->kind == HOOK_PAYMENT && hook->status < HOOK_STATUSES)
        return payment_types[hook->status];
    return hook->kind < HOOK_KINDS ? type_names[hook->kind] : "unknown";
}

bool hook_is_sane(const struct hook_send_msg *hook)
{
    const struct {
        const char *text;
        size_t capacity;
    } texts[] = {{hook->currency, sizeof(hook->currency)},       {hook->conversation, LIMIT_NAME_BYTES},
                 {hook->participant, LIMIT_NAME_BYTES},          {hook->reference, LIMIT_NAME_BYTES},
                 {hook->payment_ref, sizeof(hook->payment_ref)}, {hook->token, sizeof(hook->token)},
                 {hook->recipient, sizeof(hook->recipient)}};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (!memchr(texts[i].text, '\0', texts[i].capacity))
            return false;
    }
    bool is_platforms = hook->kind >= HOOK_ATTRIBUTES;
    return hook->kind < HOOK_KINDS && hook->status < HOOK_STATUSES &&
           is_platforms == (hook->target == HOOK_TARGET_PLATFORM) && hook->amount_minor >= 0;
}

static void put_id(struct json_writer *json, const char *key, const char *prefix, uint64_t id)
{
    char text[32];
    if (!id)
        return;
    int length = snprintf(text, sizeof(text), "%s", prefix);
    log_id_text(id, text + length);
    json_put_text(json, key, text);
}

static void put_text(struct json_writer *json, const char *key, const char *text)
{
    if (text[0])
        json_put_text(json, key, text);
}

/* Requirement S3-20; S1-29 asks for the gateway's transaction id by that name, S1-19 for the routing's mark. */
static void put_variables(struct json_writer *json, const struct hook_send_msg *hook)
{
    json_open_object(json, "variables");
    json_put_text(json, "payment_status", hook_status_name(hook->status));
    if (hook->kind == HOOK_SUBSCRIPTION) {
        put_text(json, "subscription_id", hook->payment_ref);
        json_put_bool(json, "is_subscriber", true);
    } else if (hook->kind == HOOK_REFUND) {
        put_text(json, "refund_id", hook->payment_ref);
    } else {
        if (strncmp(hook->payment_ref, "pi_", 3) == 0)
            json_put_text(json, "stripe_intent_id", hook->payment_ref);
        put_text(json, "gateway_transaction_id", hook->payment_ref);
    }
    json_close(json);
}

enum err hook_body_write(const struct hook_send_msg *hook, uint8_t *out, size_t capacity, size_t *length)
{
    struct json_writer json;
    char call[32] = "call_";
    if (!hook_is_sane(hook) || hook->kind >= HOOK_ATTRIBUTES)
        return ERR_RANGE;
    log_id_text(hook->call_id, call + 5);
    json_begin(&json, out, capacity);
    json_open_object(&json, NULL);
    put_id(&json, "id", "hook_", hook->header.subject);
    json_put_text(&json, "type", hook_type_name(hook));
    json_put_number(&json, "created", hook->occurred_at_s);
    json_put_text(&json, "conversation_id", hook->conversation[0] ? hook->conversation : call);
    put_variables(&json, hook);
    put_id(&json, "capture", "cap_", hook->capture_id);
    put_id(&json, "call", "call_", hook->call_id);
    if (hook->currency[0]) {
        json_put_number(&json, "amount", hook->amount_minor);
        json_put_text(&json, "currency", hook->currency);
    }
    put_text(&json, "token", hook->token);
    put_text(&json, "reference", hook->reference);
    put_text(&json, "recipient", hook->recipient);
    json_close(&json);
    *length = json.length;
    return json.err;
}

enum err hook_sign(const struct secret *key, int64_t now_s, const uint8_t *body, size_t length, char *out)
{
    uint8_t text[HOOK_BODY_BYTES + 32];
    uint8_t sum[SHA256_DIGEST_LENGTH];
    int before = snprintf((char *)text, sizeof(text), "%lld.", (long long)now_s);
    if (before < 0 || length > sizeof(text) - (size_t)before)
        return ERR_FULL;
    memcpy(text + before, body, length);
    if (!HMAC(EVP_sha256(), secret_bytes(key), (int)secret_length(key), text, (size_t)before + length, sum,
              NULL))
        return ERR_MEMORY;
    int at = snprintf(out, HOOK_SIGNATURE_BYTES, "t=%lld,v1=", (long long)now_s);
    for (size_t i = 0; i < sizeof(sum); i++)
        at += snprintf(out + at, HOOK_SIGNATURE_BYTES - (size_t)at, "%02x", sum[i]);
    return OK;
}
