/* What a payment gateway tells by itself: one interface, one file per vendor (webhook_stripe.c, ...). Pure: a request
 * and the time in, events out; who may be believed is decided here, what follows from an event is decided in
 * desk_webhooks.c.
 *
 * An event is a hint. It never says that a payment is approved: it says that it is worth asking the gateway.
 * Thread: one owner. */
#ifndef TONEGATE_CAPTURE_DESK_WEBHOOK_H
#define TONEGATE_CAPTURE_DESK_WEBHOOK_H

#include "base/clock.h"
#include "base/config.h"
#include "base/err.h"
#include "base/limits.h"
#include "capture/desk/http_request.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum webhook_kind {
    WEBHOOK_OTHER, /* nothing of it is ours to know */
    WEBHOOK_SUCCEEDED,
    WEBHOOK_AUTHORISED,
    WEBHOOK_PENDING,
    WEBHOOK_FAILED,
    WEBHOOK_CANCELLED,
    WEBHOOK_REFUNDED,
    WEBHOOK_REFUND_FAILED,
    WEBHOOK_DISPUTED,
    WEBHOOK_DISPUTE_WON,
    WEBHOOK_DISPUTE_LOST,
    WEBHOOK_KINDS
};
/* "succeeded", ...; a constant. */
const char *webhook_kind_name(enum webhook_kind kind);
/* What the contact centre calls it (requirements S0-30, S0-31): COMPLETED, FAILED, ...; "" for WEBHOOK_OTHER. */
const char *webhook_kind_status(enum webhook_kind kind);

#define WEBHOOK_ID_BYTES 72 /* with its end: the vendor's name for the event, or a hash where it gives none */

struct webhook_event {
    enum webhook_kind kind;
    char id[WEBHOOK_ID_BYTES];         /* the same event again has the same id */
    uint64_t capture_id;               /* as our order carried it to the gateway; 0: it does not say */
    uint64_t order_id;                 /* the same for a payment link's order; 0: none */
    char order_ref[LIMIT_TOKEN_BYTES]; /* the gateway's name for the payment; empty: it does not say */
    int64_t amount_minor;              /* with currency; of the refund or dispute where it is one */
    char currency[4];                  /* upper case; empty: no amount */
};

struct webhook_batch {
    struct webhook_event events[LIMIT_WEBHOOK_EVENTS];
    size_t count;
};

struct webhook_account;

/* Reads the keys behind their references, before the wall. *failed is the key an error is about. ERR_NOT_FOUND,
 * ERR_SYNTAX, ERR_LENGTH, ERR_SYSTEM, ERR_TLS (no certificate), ERR_MEMORY. */
MUST_USE enum err webhook_account_new(struct webhook_account **out, const struct config_webhook *config,
                                      size_t *failed);
void webhook_account_free(struct webhook_account *account);
enum config_webhook_vendor webhook_account_vendor(const struct webhook_account *account);

/* "stripe", ...; a constant. */
const char *webhook_vendor_name(enum config_webhook_vendor vendor);

/* ERR_REFUSED: the signature is missing, wrong or too old, and nothing of the body was believed; answer 400.
 * ERR_SYNTAX: it is the vendor's, and not what we know; batch is empty. ERR_FULL: more than LIMIT_WEBHOOK_EVENTS.
 * ERR_MEMORY. Comparisons take the same time whatever they find. */
MUST_USE enum err webhook_take(const struct webhook_account *account, const struct http_request *request,
                               struct wall_time now, struct webhook_batch *batch);

/* The reader of one vendor's signed text alone, for tests and fuzzing. */
MUST_USE enum err webhook_read(enum config_webhook_vendor vendor, const char *text, size_t length,
                               struct webhook_batch *batch);

#endif
