#include "capture/tests/webhook_signer.h"

#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

void signer_request(struct signer_request *out, const char *path, const char *header_lines, const char *body,
                    size_t length)
{
    int head = snprintf(out->head, sizeof(out->head),
                        "POST %s HTTP/1.1\r\nHost: desk\r\nContent-Length: %zu\r\n%s\r\n", path, length,
                        header_lines);
    ASSERT(head > 0 && (size_t)head < sizeof(out->head));
    ASSERT(http_request_read(&out->request, out->head, (size_t)head) == 0);
    out->request.body = body;
}

void signer_hmac(const EVP_MD *digest, const void *key, size_t key_length, const char *before,
                 const void *body, size_t length, char *out)
{
    uint8_t sum[EVP_MAX_MD_SIZE];
    unsigned sum_length = 0;
    size_t before_length = strlen(before);
    uint8_t *text = malloc(before_length + length + 1);
    memcpy(text, before, before_length);
    memcpy(text + before_length, body, length);
    HMAC(digest, key, (int)key_length, text, before_length + length, sum, &sum_length);
    free(text);
    for (unsigned i = 0; i < sum_length; i++)
        snprintf(out + 2 * i, 3, "%02x", sum[i]);
}

void signer_stripe(const char *key, int64_t seconds, const char *body, char *out, size_t capacity)
{
    char before[32];
    char hex[65];
    snprintf(before, sizeof(before), "%lld.", (long long)seconds);
    signer_hmac(EVP_sha256(), key, strlen(key), before, body, strlen(body), hex);
    snprintf(out, capacity, "Stripe-Signature: t=%lld,v1=%s\r\n", (long long)seconds, hex);
}

void signer_worldpay(const char *key, const char *body, char *out, size_t capacity)
{
    char hex[65];
    signer_hmac(EVP_sha256(), key, strlen(key), "", body, strlen(body), hex);
    snprintf(out, capacity, "Event-Signature: 7/SHA256/%s\r\n", hex);
}

static void percent_encode(const char *text, char *out)
{
    for (; *text; text++) {
        if (strchr("+/=&|\n", *text))
            out += sprintf(out, "%%%02X", (unsigned)*text);
        else
            *out++ = *text;
    }
    *out = '\0';
}

void signer_braintree(const char *public_key, const char *private_key, const char *xml, char *out,
                      size_t capacity)
{
    static char payload[32768];
    static char encoded[98304];
    uint8_t key[SHA_DIGEST_LENGTH];
    char hex[65];
    ASSERT(strlen(xml) * 2 < sizeof(payload));
    EVP_EncodeBlock((unsigned char *)payload, (const unsigned char *)xml, (int)strlen(xml));
    strcat(payload, "\n");
    SHA1((const unsigned char *)private_key, strlen(private_key), key);
    signer_hmac(EVP_sha1(), key, sizeof(key), "", payload, strlen(payload), hex);
    percent_encode(payload, encoded);
    snprintf(out, capacity, "bt_signature=another%%7C00%%26%s%%7C%s&bt_payload=%s", public_key, hex, encoded);
}

void signer_paypal(EVP_PKEY *key, const char *webhook_id, const char *stamp, const char *url,
                   const char *body, char *out, size_t capacity)
{
    char text[512];
    uint8_t signature[512];
    char encoded[700];
    size_t length = sizeof(signature);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    snprintf(text, sizeof(text), "transmission-1|%s|%s|%lu", stamp, webhook_id,
             crc32(0, (const Bytef *)body, (uInt)strlen(body)));
    ASSERT(EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) == 1);
    ASSERT(EVP_DigestSign(context, signature, &length, (const uint8_t *)text, strlen(text)) == 1);
    EVP_MD_CTX_free(context);
    EVP_EncodeBlock((unsigned char *)encoded, signature, (int)length);
    snprintf(out, capacity,
             "PAYPAL-TRANSMISSION-ID: transmission-1\r\nPAYPAL-TRANSMISSION-TIME: %s\r\n"
             "PAYPAL-TRANSMISSION-SIG: %s\r\nPAYPAL-CERT-URL: %s\r\nPAYPAL-AUTH-ALGO: SHA256withRSA\r\n",
             stamp, encoded, url);
}

X509 *signer_certificate(EVP_PKEY **key)
{
    *key = EVP_RSA_gen(2048);
    X509 *certificate = X509_new();
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -86400L * 15);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 86400L * 15);
    X509_set_pubkey(certificate, *key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                               (const unsigned char *)"messageverificationcerts.paypal.com", -1, -1, 0);
    X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
    ASSERT(X509_sign(certificate, *key, EVP_sha256()) > 0);
    return certificate;
}
