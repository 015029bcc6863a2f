/* The other side of a webhook, as a vendor makes it: keys of tests, signatures, whole requests. */
#ifndef TONEGATE_CAPTURE_TESTS_WEBHOOK_SIGNER_H
#define TONEGATE_CAPTURE_TESTS_WEBHOOK_SIGNER_H

#include "capture/desk/webhooks/webhook.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

#define SIGNER_KEY       "whsec_of_a_test_0123456789abcdef" /* no secret */
#define SIGNER_OTHER_KEY "whsec_another_0123456789abcdefgh"
/* Adyen's own published example key, in hexadecimal. */
#define SIGNER_ADYEN_KEY "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"

struct signer_request {
    char head[4096];
    struct http_request request;
};
/* header_lines: each ended by \r\n. body stays the caller's. */
void signer_request(struct signer_request *out, const char *path, const char *header_lines, const char *body,
                    size_t length);

/* Lower-case hexadecimal HMAC over "before" and body; out has room for 65 bytes. */
void signer_hmac(const EVP_MD *digest, const void *key, size_t key_length, const char *before,
                 const void *body, size_t length, char *out);
/* "Stripe-Signature: t=..,v1=..\r\n" */
void signer_stripe(const char *key, int64_t seconds, const char *body, char *out, size_t capacity);
/* "Event-Signature: 7/SHA256/..\r\n" */
void signer_worldpay(const char *key, const char *body, char *out, size_t capacity);
/* A form with bt_signature and bt_payload. */
void signer_braintree(const char *public_key, const char *private_key, const char *xml, char *out,
                      size_t capacity);
/* The five headers. */
void signer_paypal(EVP_PKEY *key, const char *webhook_id, const char *stamp, const char *url,
                   const char *body, char *out, size_t capacity);
/* A key and its certificate of 30 days around now. */
X509 *signer_certificate(EVP_PKEY **key);

#endif
