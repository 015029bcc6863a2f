/* PayPal: RSA-SHA256 over "TRANSMISSION-ID|TIME|WEBHOOK-ID|CRC32 OF THE BODY". The desk has no way out, so the
 * certificate is not fetched from the address the header names: it is pinned by the configuration, and that address only
 * has to be PayPal's. Whether a delivery that is tried again has its first time or a new one is not documented, so the
 * time may be as old as PayPal goes on trying; a replay is known by its id. */
#include "capture/desk/webhooks/webhook_priv.h"

#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#define AGE_MAX_S (4 * 86400LL) /* deliveries are tried again for three days */

/* https://api.paypal.com/..., a host under paypal.com and nothing else before it. */
static bool is_of_paypal(const char *url)
{
    static const char scheme[] = "https://";
    static const char domain[] = ".paypal.com";
    if (strncmp(url, scheme, sizeof(scheme) - 1) != 0)
        return false;
    const char *host = url + sizeof(scheme) - 1;
    size_t length = strcspn(host, "/");
    size_t domain_length = sizeof(domain) - 1;
    return length > domain_length && strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789.-") >= length &&
           memcmp(host + length - domain_length, domain, domain_length) == 0;
}

static bool is_in_time(const char *stamp, struct wall_time now)
{
    struct tm parts = {0};
    const char *rest = strptime(stamp, "%Y-%m-%dT%H:%M:%S", &parts);
    if (!rest || (*rest != 'Z' && *rest != '.'))
        return false;
    int64_t age = now.ns / NS_PER_S - timegm(&parts);
    return age <= AGE_MAX_S && age >= -WEBHOOK_TOLERANCE_S;
}

static bool is_valid_at(const X509 *certificate, struct wall_time now)
{
    time_t at = now.ns / NS_PER_S;
    return X509_cmp_time(X509_get0_notBefore(certificate), &at) < 0 &&
           X509_cmp_time(X509_get0_notAfter(certificate), &at) > 0;
}

static bool is_signed_by(X509 *certificate, const char *text, const uint8_t *signature,
                         size_t signature_length)
{
    EVP_PKEY *key = X509_get0_pubkey(certificate);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_good =
        key && context && EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA &&
        EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
        EVP_DigestVerify(context, signature, signature_length, (const uint8_t *)text, strlen(text)) == 1;
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return is_good;
}

static enum err verify(const struct webhook_account *account, const struct http_request *request,
                       struct wall_time now, struct webhook_text *text)
{
    char id[128];
    char stamp[64];
    char signature_text[WEBHOOK_HEADER_BYTES];
    char certificate_url[256];
    char algorithm[32];
    char signed_text[512];
    uint8_t signature[512];
    size_t signature_length = 0;
    (void)text;
    if (http_header_value(request, "PayPal-Transmission-Id", id, sizeof(id)) != OK ||
        http_header_value(request, "PayPal-Transmission-Time", stamp, sizeof(stamp)) != OK ||
        http_header_value(request, "PayPal-Transmission-Sig", signature_text, sizeof(signature_text)) != OK ||
        http_header_value(request, "PayPal-Cert-Url", certificate_url, sizeof(certificate_url)) != OK ||
        http_header_value(request, "PayPal-Auth-Algo", algorithm, sizeof(algorithm)) != OK)
        return ERR_REFUSED;
    if (strcmp(algorithm, "SHA256withRSA") != 0 || !is_of_paypal(certificate_url) ||
        !is_in_time(stamp, now) ||
        !webhook_base64(signature_text, strlen(signature_text), signature, sizeof(signature),
                        &signature_length))
        return ERR_REFUSED;
    unsigned long sum = crc32(0, (const Bytef *)request->body, (uInt)request->body_length);
    snprintf(signed_text, sizeof(signed_text), "%s|%s|%s|%lu", id, stamp, account->account, sum);
    for (size_t i = 0; i < account->key_count; i++) {
        if (is_valid_at(account->certificates[i], now) &&
            is_signed_by(account->certificates[i], signed_text, signature, signature_length))
            return OK;
    }
    return ERR_REFUSED;
}

static const struct webhook_kind_row rows[] = {
    {"PAYMENT.CAPTURE.COMPLETED", WEBHOOK_SUCCEEDED},
    {"PAYMENT.CAPTURE.PENDING", WEBHOOK_PENDING},
    {"PAYMENT.CAPTURE.DENIED", WEBHOOK_FAILED},
    {"PAYMENT.CAPTURE.DECLINED", WEBHOOK_FAILED},
    {"PAYMENT.CAPTURE.REFUNDED", WEBHOOK_REFUNDED},
    {"PAYMENT.CAPTURE.REVERSED", WEBHOOK_REFUNDED},
    {"PAYMENT.AUTHORIZATION.CREATED", WEBHOOK_AUTHORISED},
    {"PAYMENT.AUTHORIZATION.VOIDED", WEBHOOK_CANCELLED},
    {"PAYMENT.REFUND.FAILED", WEBHOOK_REFUND_FAILED},
    {"CUSTOMER.DISPUTE.CREATED", WEBHOOK_DISPUTED},
};

static enum webhook_kind kind_of(const char *type, const json_t *resource)
{
    const char *outcome = webhook_text_of(json_object_get(resource, "dispute_outcome"), "outcome_code");
    if (strcmp(type, "CUSTOMER.DISPUTE.RESOLVED") == 0)
        return strcmp(outcome, "RESOLVED_SELLER_FAVOUR") == 0  ? WEBHOOK_DISPUTE_WON
               : strcmp(outcome, "RESOLVED_BUYER_FAVOUR") == 0 ? WEBHOOK_DISPUTE_LOST
                                                               : WEBHOOK_OTHER;
    return webhook_kind_of(rows, sizeof(rows) / sizeof(rows[0]), type);
}

static enum err read_event(const char *text, size_t length, struct webhook_batch *batch)
{
    json_t *body = webhook_json(text, length);
    const json_t *resource = json_object_get(body, "resource");
    const char *type = webhook_text_of(body, "event_type");
    struct webhook_event *event = type[0] && json_is_object(resource) ? webhook_add(batch) : NULL;
    if (event) {
        const json_t *related =
            json_object_get(json_object_get(resource, "supplementary_data"), "related_ids");
        const json_t *disputed = json_array_get(json_object_get(resource, "disputed_transactions"), 0);
        const json_t *amount = json_object_get(resource, disputed ? "dispute_amount" : "amount");
        event->kind = kind_of(type, resource);
        webhook_take_id(webhook_text_of(body, "id"), event->id, sizeof(event->id));
        webhook_take_id(webhook_text_of(related, "order_id"), event->order_ref, sizeof(event->order_ref));
        webhook_take_name(event, webhook_text_of(resource, "invoice_id"));
        webhook_take_name(event, webhook_text_of(disputed, "invoice_number"));
        webhook_amount_decimal(event, webhook_text_of(amount, "value"),
                               webhook_text_of(amount, "currency_code"));
    }
    json_decref(body);
    return event ? OK : ERR_SYNTAX;
}

const struct webhook_vendor webhook_paypal = {
    .name = "paypal", .has_certificates = true, .verify = verify, .read = read_event};
