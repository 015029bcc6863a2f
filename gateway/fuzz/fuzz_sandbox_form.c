/* A form for the sandbox's model of Stripe: first byte the path, the rest the form. Two orders exist, one with a card. */
#include "gateway/sandbox/stripe_model.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static unsigned call(struct stripe_model *model, const char *method, const char *path, const void *form,
                     size_t length, char *id)
{
    json_t *body = NULL;
    bool is_kept;
    char *copy = malloc(length + 1);
    if (!copy)
        abort();
    memcpy(copy, form, length);
    unsigned status = stripe_model_call(model, method, path, copy, length, &body, &is_kept);
    ASSERT(status >= 200 && status < 500 && json_is_object(body));
    if (id)
        snprintf(id, 64, "%s", json_string_value(json_object_get(body, "id")));
    json_decref(body);
    free(copy);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static const char card[] =
        "type=card&card[number]=4242424242424242&card[exp_month]=12&card[exp_year]=2040&card[cvc]=123";
    const struct stripe_model_options options = {0};
    struct stripe_model *model;
    char method[64], intent[64], form[256], path[256];
    if (length < 1 || length > 16384 || stripe_model_new(&model, &options) != OK)
        return 0;
    ASSERT(call(model, "POST", "/v1/payment_methods", card, sizeof(card) - 1, method) == 200);
    int size = snprintf(form, sizeof(form), "amount=100&currency=usd&payment_method=%s", method);
    ASSERT(call(model, "POST", "/v1/payment_intents", form, (size_t)size, intent) == 200);
    static const char *const tails[] = {"/confirm", "/cancel", ""};
    switch (bytes[0] % 5) {
    case 0:
        call(model, "POST", "/v1/payment_methods", bytes + 1, length - 1, NULL);
        break;
    case 1:
        call(model, "POST", "/v1/payment_intents", bytes + 1, length - 1, NULL);
        break;
    default:
        snprintf(path, sizeof(path), "/v1/payment_intents/%s%s", intent, tails[bytes[0] % 5 - 2]);
        call(model, bytes[0] % 5 == 4 ? "GET" : "POST", path, bytes + 1, length - 1, NULL);
        break;
    }
    stripe_model_free(model);
    return 0;
}
