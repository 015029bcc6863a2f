/* The part of Stripe that the product uses, as a book of payment methods and intents: forms in, JSON out, no sockets.
 *
 * Refuses what Stripe refuses (unknown fields, amounts that are no integers, cards that fail their checks) in Stripe's
 * own error shape, and gives the outcomes of Stripe's test cards. A card lives in the form only, which the caller
 * wipes; the book keeps brand, last four and which outcome the number stands for.
 * Source  Stripe API reference 2020-08-27, list of test cards. */
#ifndef TONEGATE_GATEWAY_SANDBOX_STRIPE_MODEL_H
#define TONEGATE_GATEWAY_SANDBOX_STRIPE_MODEL_H

#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct stripe_model;

struct stripe_model_options {
    bool refuse_moto; /* an account on which Stripe did not enable telephone orders */
    /* Each charge and each decline, before the answer goes out; line has no card number. */
    void (*ledger_h)(void *owner, const json_t *line);
    void *owner;
};

enum { STRIPE_METHODS_MAX = 65536, STRIPE_INTENTS_MAX = 65536, STRIPE_FIELDS_MAX = 48 };

MUST_USE enum err stripe_model_new(struct stripe_model **out, const struct stripe_model_options *options);
void stripe_model_free(struct stripe_model *model);

/* One request. path without query. form: length + 1 bytes, overwritten. *body is a new reference, *is_kept says whether
 * Stripe would keep the answer for the idempotency key (it does once it began to carry the request out). Returns the
 * HTTP status. */
unsigned stripe_model_call(struct stripe_model *model, const char *method, const char *path, char *form,
                           size_t length, json_t **body, bool *is_kept);

/* Stripe's error object; any text may be NULL. A new reference. */
json_t *stripe_model_error(const char *type, const char *code, const char *message, const char *param);

#endif
