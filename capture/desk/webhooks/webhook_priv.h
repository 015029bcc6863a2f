/* What the vendors' files share; nobody else includes it. */
#ifndef TONEGATE_CAPTURE_DESK_WEBHOOK_PRIV_H
#define TONEGATE_CAPTURE_DESK_WEBHOOK_PRIV_H

#include "base/secret.h"
#include "capture/desk/webhooks/webhook.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#define WEBHOOK_TOLERANCE_S  300 /* requirement S0-28 by way of the vendor's own library */
#define WEBHOOK_SECRET_BYTES 512
#define WEBHOOK_HEADER_BYTES 1024

struct webhook_account {
    enum config_webhook_vendor vendor;
    char account[LIMIT_NAME_BYTES];
    struct secret *keys[LIMIT_WEBHOOK_KEYS]; /* NULL where certificates are used */
    X509 *certificates[LIMIT_WEBHOOK_KEYS];
    size_t key_count;
};

/* What the signature covers, when it is not the body as it came. */
struct webhook_text {
    const char *text;
    size_t length;
    char *owned; /* freed by webhook_take() */
};

struct webhook_vendor {
    const char *name;
    bool has_certificates;
    /* OK: the vendor made *text. ERR_REFUSED, ERR_MEMORY. */
    enum err (*verify)(const struct webhook_account *account, const struct http_request *request,
                       struct wall_time now, struct webhook_text *text);
    /* ERR_SYNTAX, ERR_FULL. */
    enum err (*read)(const char *text, size_t length, struct webhook_batch *batch);
};

extern const struct webhook_vendor webhook_stripe, webhook_braintree, webhook_paypal, webhook_adyen,
    webhook_worldpay;

/* Adds an empty event; NULL when the batch is full. */
struct webhook_event *webhook_add(struct webhook_batch *batch);

/* The row that has `name`, or WEBHOOK_OTHER. */
struct webhook_kind_row {
    const char *name;
    enum webhook_kind kind;
};
enum webhook_kind webhook_kind_of(const struct webhook_kind_row *rows, size_t count, const char *name);

/* HMAC with each key in turn; true when one of them gives `expected`. Looks at every key. digest is EVP_sha256() or
 * EVP_sha1(). */
bool webhook_hmac_fits(const struct webhook_account *account, const EVP_MD *digest, const void *text,
                       size_t length, const uint8_t *expected, size_t expected_length);

/* Exactly 2 * count hexadecimal digits of either case. */
bool webhook_hex(const char *text, size_t length, uint8_t *out, size_t count);
/* RFC 4648 §4 with its padding, line ends skipped; at most capacity bytes, *count of them. */
bool webhook_base64(const char *text, size_t length, uint8_t *out, size_t capacity, size_t *count);

/* Takes an identifier: printable ASCII without spaces, short enough. False: out is empty. */
bool webhook_take_id(const char *text, char *out, size_t capacity);
/* Our name for a payment as it comes back: "cap_..." is a capture's, "ord_..." an order's; anything else is not ours. */
void webhook_take_name(struct webhook_event *event, const char *text);
/* "sha256:" and letters: an id for what has none of its own. */
void webhook_hash_id(const void *text, size_t length, char *id);
/* Amounts as they come: minor units, or a decimal of the currency ("12.34"). False: no amount is set. */
bool webhook_amount_minor(struct webhook_event *event, json_int_t minor, const char *currency);
bool webhook_amount_decimal(struct webhook_event *event, const char *decimal, const char *currency);

/* Member of an object as text, "" when it is not there or no string. */
const char *webhook_text_of(const json_t *object, const char *name);
/* One object out of the text; NULL when it is none. The caller's. */
json_t *webhook_json(const char *text, size_t length);

#endif
