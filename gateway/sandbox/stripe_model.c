#include "gateway/sandbox/stripe_model.h"

#include "base/secret.h"
#include "gateway/form.h"
#include "gateway/wipe_heap.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define ID_LETTERS  24
#define ID_BYTES    32
#define AMOUNT_MIN  50 /* smallest charge, in minor units */
#define AMOUNT_MAX  99999999LL
#define DIGITS_LAST 4

/* What a number stands for. code NULL: it is charged. */
struct card_outcome {
    const char *number;
    const char *code;
    const char *decline_code;
    bool needs_action;
};

static const struct card_outcome outcomes[] = {
    {"4000000000000002", "card_declined", "generic_decline", false},
    {"4000000000009995", "card_declined", "insufficient_funds", false},
    {"4000000000009987", "card_declined", "lost_card", false},
    {"4000000000009979", "card_declined", "stolen_card", false},
    {"4100000000000019", "card_declined", "fraudulent", false},
    {"4000000000006975", "card_declined", "card_velocity_exceeded", false},
    {"4000000000000069", "expired_card", "expired_card", false},
    {"4000000000000127", "incorrect_cvc", "incorrect_cvc", false},
    {"4000000000000119", "processing_error", "processing_error", false},
    {"4000002500003155", NULL, NULL, true},
    {"4000002760003184", NULL, NULL, true},
    {"4000000000003220", NULL, NULL, true},
};
static const struct card_outcome charged = {NULL, NULL, NULL, false};

struct method {
    char id[ID_BYTES];
    const struct card_outcome *outcome;
    const char *brand;
    char last4[DIGITS_LAST + 1];
    int exp_month, exp_year;
};

struct intent {
    char id[ID_BYTES];
    char secret[ID_BYTES];
    char currency[4];
    char method[ID_BYTES];
    const char *status;
    long long amount, received;
    long long created;
    json_t *metadata;
    json_t *last_error;
    char charge[ID_BYTES];
};

struct stripe_model {
    struct stripe_model_options options;
    struct method *methods;
    size_t method_count, method_room;
    struct intent *intents;
    size_t intent_count, intent_room;
};

struct field {
    char *key;
    char *value;
};

/* One request on its way through. */
struct call {
    struct stripe_model *model;
    struct field fields[STRIPE_FIELDS_MAX];
    size_t field_count;
    struct intent *intent;
    json_t *body;
    bool is_kept;
};

/* --- small parts --- */

static void make_id(char *out, const char *prefix)
{
    uint8_t random[ID_LETTERS];
    size_t length = strlen(prefix);
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        abort();
    memcpy(out, prefix, length);
    for (size_t i = 0; i < ID_LETTERS && length < ID_BYTES - 1; i++)
        out[length++] = (char)('a' + random[i] % 26);
    out[length] = '\0';
}

static const char *field_of(const struct call *call, const char *key)
{
    for (size_t i = 0; i < call->field_count; i++) {
        if (strcmp(call->fields[i].key, key) == 0)
            return call->fields[i].value;
    }
    return NULL;
}

json_t *stripe_model_error(const char *type, const char *code, const char *message, const char *param)
{
    json_t *error = json_object();
    json_object_set_new(error, "type", json_string(type));
    if (code)
        json_object_set_new(error, "code", json_string(code));
    if (param)
        json_object_set_new(error, "param", json_string(param));
    json_object_set_new(error, "message", json_string(message ? message : "The request was refused."));
    return json_pack("{s:o}", "error", error);
}

static unsigned refuse(struct call *call, unsigned status, const char *code, const char *message,
                       const char *param)
{
    call->body = stripe_model_error("invalid_request_error", code, message, param);
    call->is_kept = false;
    return status;
}

static bool read_number(const char *text, long long *number)
{
    size_t length = text ? strlen(text) : 0;
    if (length == 0 || length > 12 || strspn(text, "0123456789") != length)
        return false;
    *number = strtoll(text, NULL, 10);
    return true;
}

/* --- which fields a path takes --- */

static const char *const method_fields[] = {
    "type", "card[number]", "card[exp_month]", "card[exp_year]", "card[cvc]", "metadata[]", NULL};
static const char *const create_fields[] = {"amount",
                                            "currency",
                                            "payment_method",
                                            "payment_method_types[]",
                                            "capture_method",
                                            "confirm",
                                            "confirmation_method",
                                            "customer",
                                            "description",
                                            "metadata[]",
                                            "off_session",
                                            "setup_future_usage",
                                            "receipt_email",
                                            "statement_descriptor",
                                            "payment_method_options[card][moto]",
                                            "error_on_requires_action",
                                            NULL};
static const char *const confirm_fields[] = {"payment_method",
                                             "payment_method_types[]",
                                             "payment_method_options[card][moto]",
                                             "error_on_requires_action",
                                             "off_session",
                                             "return_url",
                                             "setup_future_usage",
                                             NULL};
static const char *const cancel_fields[] = {"cancellation_reason", NULL};
static const char *const no_fields[] = {NULL};

/* "a[0]" is "a[]"; any key of metadata is "metadata[]". */
static bool fits(const char *key, const char *pattern)
{
    size_t stem = strcspn(pattern, "[");
    if (strcmp(pattern + stem, "[]") != 0)
        return strcmp(key, pattern) == 0;
    if (strncmp(key, pattern, stem) != 0 || key[stem] != '[')
        return false;
    const char *inside = key + stem + 1;
    size_t length = strcspn(inside, "[]");
    if (strcmp(inside + length, "]") != 0)
        return false;
    bool is_map = strncmp(pattern, "metadata", stem) == 0;
    return is_map ? length > 0 && length <= 40 : strspn(inside, "0123456789") == length;
}

static const char *unknown_field(const struct call *call, const char *const *known)
{
    for (size_t i = 0; i < call->field_count; i++) {
        size_t k = 0;
        while (known[k] && !fits(call->fields[i].key, known[k]))
            k++;
        if (!known[k])
            return call->fields[i].key;
    }
    return NULL;
}

static enum err read_fields(struct call *call, char *form, size_t length)
{
    struct form_reader reader;
    struct field field;
    enum err err;
    form_read(&reader, form, length);
    while ((err = form_next(&reader, &field.key, &field.value)) == OK) {
        bool is_list = strlen(field.key) > 2 && strcmp(field.key + strlen(field.key) - 2, "[]") == 0;
        if (call->field_count == STRIPE_FIELDS_MAX || (!is_list && field_of(call, field.key)))
            return ERR_SYNTAX;
        call->fields[call->field_count++] = field;
    }
    return err == ERR_EMPTY ? OK : err;
}

/* --- payment methods --- */

static const char *brand_of(const char *number)
{
    static const struct {
        const char *prefix;
        const char *brand;
    } brands[] = {{"4", "visa"},        {"34", "amex"},       {"37", "amex"},       {"51", "mastercard"},
                  {"52", "mastercard"}, {"53", "mastercard"}, {"54", "mastercard"}, {"55", "mastercard"},
                  {"2", "mastercard"},  {"6011", "discover"}, {"65", "discover"},   {"35", "jcb"},
                  {"30", "diners"},     {"36", "diners"},     {"38", "diners"},     {"62", "unionpay"}};
    for (size_t i = 0; i < sizeof(brands) / sizeof(brands[0]); i++) {
        if (strncmp(number, brands[i].prefix, strlen(brands[i].prefix)) == 0)
            return brands[i].brand;
    }
    return "unknown";
}

static bool passes_luhn(const char *number)
{
    unsigned sum = 0;
    size_t length = strlen(number);
    for (size_t i = 0; i < length; i++) {
        unsigned digit = (unsigned)(number[length - 1 - i] - '0');
        if (i % 2)
            digit = digit * 2 > 9 ? digit * 2 - 9 : digit * 2;
        sum += digit;
    }
    return sum % 10 == 0;
}

static unsigned refuse_card(struct call *call, const char *code, const char *param)
{
    call->body = stripe_model_error("card_error", code, "Your card's details are incorrect.", param);
    call->is_kept = true;
    return 402;
}

/* The card's own faults, in the order Stripe looks. NULL: none. */
static const char *card_fault(const char *number, const char *cvc, long long month, long long year,
                              const char **param)
{
    time_t now = time(NULL);
    struct tm today;
    gmtime_r(&now, &today);
    size_t length = strlen(number);
    *param = "number";
    if (length < 12 || length > 19 || strspn(number, "0123456789") != length)
        return "invalid_number";
    if (!passes_luhn(number))
        return "incorrect_number";
    *param = "exp_month";
    if (month < 1 || month > 12)
        return "invalid_expiry_month";
    *param = "exp_year";
    if (year < today.tm_year + 1900 || year > today.tm_year + 1900 + 50)
        return "invalid_expiry_year";
    *param = "exp_month";
    if (year == today.tm_year + 1900 && month < today.tm_mon + 1)
        return "invalid_expiry_month";
    *param = "cvc";
    size_t cvc_length = strcmp(brand_of(number), "amex") == 0 ? 4 : 3;
    if (cvc && (strlen(cvc) != cvc_length || strspn(cvc, "0123456789") != cvc_length))
        return "invalid_cvc";
    return NULL;
}

static struct method *add_method(struct stripe_model *model)
{
    if (model->method_count == STRIPE_METHODS_MAX)
        return NULL;
    if (model->method_count == model->method_room) {
        size_t room = model->method_room ? model->method_room * 2 : 64;
        struct method *grown = wipe_heap_realloc(model->methods, room * sizeof(*grown));
        if (!grown)
            return NULL;
        model->methods = grown;
        model->method_room = room;
    }
    struct method *method = &model->methods[model->method_count++];
    memset(method, 0, sizeof(*method));
    return method;
}

static json_t *show_method(const struct method *method)
{
    return json_pack("{s:s, s:s, s:s, s:b, s:n, s:{}, s:{s:s, s:s, s:i, s:i, s:s, s:s}}", "id", method->id,
                     "object", "payment_method", "type", "card", "livemode", 0, "customer", "metadata",
                     "card", "brand", method->brand, "last4", method->last4, "exp_month", method->exp_month,
                     "exp_year", method->exp_year, "funding", "credit", "country", "US");
}

static unsigned make_method(struct call *call)
{
    const char *type = field_of(call, "type");
    const char *number = field_of(call, "card[number]");
    long long month, year;
    const char *param;
    if (!type || strcmp(type, "card") != 0)
        return refuse(call, 400, "parameter_missing", "Missing required param: type.", "type");
    if (!number || number[0] == '\0')
        return refuse(call, 400, "parameter_missing", "Missing required param: card[number].",
                      "card[number]");
    if (!read_number(field_of(call, "card[exp_month]"), &month))
        return refuse(call, 400, "parameter_invalid_integer", "Invalid integer.", "card[exp_month]");
    if (!read_number(field_of(call, "card[exp_year]"), &year))
        return refuse(call, 400, "parameter_invalid_integer", "Invalid integer.", "card[exp_year]");
    const char *fault =
        card_fault(number, field_of(call, "card[cvc]"), month, year < 100 ? year + 2000 : year, &param);
    if (fault)
        return refuse_card(call, fault, param);
    struct method *method = add_method(call->model);
    if (!method)
        return refuse(call, 429, "rate_limit", "The sandbox holds no more payment methods.", NULL);
    make_id(method->id, "pm_");
    method->brand = brand_of(number);
    method->outcome = &charged;
    method->exp_month = (int)month;
    method->exp_year = (int)(year < 100 ? year + 2000 : year);
    memcpy(method->last4, number + strlen(number) - DIGITS_LAST, DIGITS_LAST + 1);
    for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++) {
        if (strcmp(outcomes[i].number, number) == 0)
            method->outcome = &outcomes[i];
    }
    call->body = show_method(method);
    call->is_kept = true;
    return 200;
}

/* --- intents --- */

static struct intent *add_intent(struct stripe_model *model)
{
    if (model->intent_count == STRIPE_INTENTS_MAX)
        return NULL;
    if (model->intent_count == model->intent_room) {
        size_t room = model->intent_room ? model->intent_room * 2 : 64;
        struct intent *grown = wipe_heap_realloc(model->intents, room * sizeof(*grown));
        if (!grown)
            return NULL;
        model->intents = grown;
        model->intent_room = room;
    }
    struct intent *intent = &model->intents[model->intent_count++];
    memset(intent, 0, sizeof(*intent));
    return intent;
}

static const struct method *find_method(const struct stripe_model *model, const char *id)
{
    for (size_t i = 0; id && i < model->method_count; i++) {
        if (strcmp(model->methods[i].id, id) == 0)
            return &model->methods[i];
    }
    return NULL;
}

static bool is_status(const struct intent *intent, const char *status)
{
    return strcmp(intent->status, status) == 0;
}

static json_t *text_or_null(const char *text)
{
    return text[0] ? json_string(text) : json_null();
}

static json_t *show_intent(const struct intent *intent)
{
    char secret[2 * ID_BYTES + 16];
    snprintf(secret, sizeof(secret), "%s_secret_%s", intent->id, intent->secret);
    json_t *shown =
        json_pack("{s:s, s:s, s:I, s:I, s:I, s:s, s:s, s:s, s:b, s:s, s:[s], s:I, s:O}", "id", intent->id,
                  "object", "payment_intent", "amount", (json_int_t)intent->amount, "amount_received",
                  (json_int_t)intent->received, "amount_capturable", (json_int_t)0, "capture_method",
                  "automatic", "confirmation_method", "automatic", "currency", intent->currency, "livemode",
                  0, "status", intent->status, "payment_method_types", "card", "created",
                  (json_int_t)intent->created, "metadata", intent->metadata);
    json_object_set_new(shown, "client_secret", json_string(secret));
    json_object_set_new(shown, "payment_method", text_or_null(intent->method));
    json_object_set_new(shown, "latest_charge", text_or_null(intent->charge));
    json_object_set(shown, "last_payment_error", intent->last_error ? intent->last_error : json_null());
    json_object_set_new(shown, "next_action",
                        is_status(intent, "requires_action")
                            ? json_pack("{s:s, s:{}}", "type", "use_stripe_sdk", "use_stripe_sdk")
                            : json_null());
    return shown;
}

static void book(const struct call *call, const struct intent *intent, const char *result)
{
    const struct stripe_model_options *options = &call->model->options;
    json_t *line =
        json_pack("{s:s, s:s, s:I, s:s, s:O}", "intent", intent->id, "result", result, "amount",
                  (json_int_t)intent->amount, "currency", intent->currency, "metadata", intent->metadata);
    if (options->ledger_h)
        options->ledger_h(options->owner, line);
    json_decref(line);
}

/* The issuer said no: the intent waits for another card, the error carries the intent. */
static unsigned decline(struct call *call, struct intent *intent, const char *code, const char *decline_code)
{
    json_t *shown = stripe_model_error("card_error", code, "Your card was declined.", NULL);
    json_t *error = json_object_get(shown, "error");
    if (decline_code)
        json_object_set_new(error, "decline_code", json_string(decline_code));
    json_decref(intent->last_error);
    intent->last_error = json_deep_copy(error);
    intent->status = "requires_payment_method";
    intent->method[0] = '\0';
    json_object_set_new(error, "payment_intent", show_intent(intent));
    book(call, intent, "declined");
    call->body = shown;
    call->is_kept = true;
    return 402;
}

static bool is_true(const struct call *call, const char *key)
{
    const char *value = field_of(call, key);
    return value && strcmp(value, "true") == 0;
}

static unsigned confirm_now(struct call *call, struct intent *intent)
{
    const struct method *method = find_method(call->model, intent->method);
    call->is_kept = true;
    if (method->outcome->code)
        return decline(call, intent, method->outcome->code, method->outcome->decline_code);
    if (method->outcome->needs_action && is_true(call, "error_on_requires_action"))
        return decline(call, intent, "authentication_required", "authentication_required");
    if (method->outcome->needs_action) {
        intent->status = "requires_action";
    } else {
        intent->status = "succeeded";
        intent->received = intent->amount;
        make_id(intent->charge, "ch_");
        json_decref(intent->last_error);
        intent->last_error = NULL;
        book(call, intent, "charged");
    }
    call->body = show_intent(intent);
    return 200;
}

static unsigned refuse_state(struct call *call, const struct intent *intent)
{
    unsigned status = refuse(call, 400, "payment_intent_unexpected_state",
                             "This PaymentIntent's status does not allow that.", NULL);
    json_object_set_new(json_object_get(call->body, "error"), "payment_intent", show_intent(intent));
    call->is_kept = true;
    return status;
}

static unsigned confirm_intent(struct call *call)
{
    struct intent *intent = call->intent;
    const char *id = field_of(call, "payment_method");
    if (field_of(call, "payment_method_options[card][moto]") && call->model->options.refuse_moto)
        return refuse(call, 400, "parameter_unknown", "This account is not enabled for telephone orders.",
                      "payment_method_options[card][moto]");
    if (!is_status(intent, "requires_confirmation") && !is_status(intent, "requires_payment_method"))
        return refuse_state(call, intent);
    if (id && !find_method(call->model, id))
        return refuse(call, 404, "resource_missing", "No such payment_method.", "payment_method");
    if (id)
        snprintf(intent->method, sizeof(intent->method), "%s", id);
    if (intent->method[0] == '\0')
        return refuse_state(call, intent);
    return confirm_now(call, intent);
}

static unsigned cancel_intent(struct call *call)
{
    static const char *const reasons[] = {"abandoned", "duplicate", "fraudulent", "requested_by_customer"};
    const char *reason = field_of(call, "cancellation_reason");
    bool is_known = !reason;
    for (size_t i = 0; !is_known && i < sizeof(reasons) / sizeof(reasons[0]); i++)
        is_known = strcmp(reason, reasons[i]) == 0;
    if (!is_known)
        return refuse(call, 400, NULL, "Invalid cancellation_reason.", "cancellation_reason");
    if (is_status(call->intent, "succeeded") || is_status(call->intent, "canceled"))
        return refuse_state(call, call->intent);
    call->intent->status = "canceled";
    call->body = show_intent(call->intent);
    call->is_kept = true;
    return 200;
}

static unsigned show_one(struct call *call)
{
    call->body = show_intent(call->intent);
    return 200;
}

static json_t *read_metadata(const struct call *call)
{
    json_t *metadata = json_object();
    for (size_t i = 0; i < call->field_count; i++) {
        const char *key = call->fields[i].key;
        if (strncmp(key, "metadata[", 9) == 0)
            json_object_setn_new_nocheck(metadata, key + 9, strlen(key) - 10,
                                         json_string(call->fields[i].value));
    }
    return metadata;
}

static bool is_currency(const char *text)
{
    return text && strlen(text) == 3 && islower((unsigned char)text[0]) && islower((unsigned char)text[1]) &&
           islower((unsigned char)text[2]);
}

static unsigned make_intent(struct call *call)
{
    long long amount;
    const char *currency = field_of(call, "currency");
    const char *capture = field_of(call, "capture_method");
    const char *method = field_of(call, "payment_method");
    bool has_moto = field_of(call, "payment_method_options[card][moto]") != NULL;
    if (!read_number(field_of(call, "amount"), &amount))
        return refuse(call, 400, "parameter_invalid_integer", "Invalid integer.", "amount");
    if (amount < AMOUNT_MIN)
        return refuse(call, 400, "amount_too_small", "Amount must be at least 50.", "amount");
    if (amount > AMOUNT_MAX)
        return refuse(call, 400, "amount_too_large", "Amount is too large.", "amount");
    if (!is_currency(currency))
        return refuse(call, 400, "parameter_missing", "Invalid currency.", "currency");
    if (capture && strcmp(capture, "automatic") != 0)
        return refuse(call, 400, NULL, "The sandbox captures automatically.", "capture_method");
    if (has_moto && !is_true(call, "confirm"))
        return refuse(call, 400, "parameter_unknown", "moto goes with a confirmation.",
                      "payment_method_options[card][moto]");
    if (method && !find_method(call->model, method))
        return refuse(call, 404, "resource_missing", "No such payment_method.", "payment_method");
    struct intent *intent = add_intent(call->model);
    if (!intent)
        return refuse(call, 429, "rate_limit", "The sandbox holds no more intents.", NULL);
    make_id(intent->id, "pi_");
    make_id(intent->secret, "");
    memcpy(intent->currency, currency, 4);
    snprintf(intent->method, sizeof(intent->method), "%s", method ? method : "");
    intent->status = method ? "requires_confirmation" : "requires_payment_method";
    intent->amount = amount;
    intent->created = time(NULL);
    intent->metadata = read_metadata(call);
    call->intent = intent;
    call->is_kept = true;
    if (is_true(call, "confirm") && method)
        return confirm_now(call, intent);
    call->body = show_intent(intent);
    return 200;
}

/* --- dispatch --- */

static const struct route {
    const char *method;
    const char *head; /* of the path */
    const char *tail; /* after an intent's id; NULL: the path ends with head */
    const char *const *fields;
    unsigned (*handler)(struct call *call);
} routes[] = {
    {"POST", "/v1/payment_methods", NULL, method_fields, make_method},
    {"POST", "/v1/payment_intents", NULL, create_fields, make_intent},
    {"GET", "/v1/payment_intents/", "", no_fields, show_one},
    {"POST", "/v1/payment_intents/", "/confirm", confirm_fields, confirm_intent},
    {"POST", "/v1/payment_intents/", "/cancel", cancel_fields, cancel_intent},
};

static struct intent *find_intent(struct stripe_model *model, const char *id, size_t length)
{
    for (size_t i = 0; i < model->intent_count; i++) {
        if (strlen(model->intents[i].id) == length && memcmp(model->intents[i].id, id, length) == 0)
            return &model->intents[i];
    }
    return NULL;
}

static const struct route *find_route(const char *method, const char *path, const char **id,
                                      size_t *id_length)
{
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        const struct route *route = &routes[i];
        size_t head = strlen(route->head);
        if (strcmp(method, route->method) != 0 || strncmp(path, route->head, head) != 0)
            continue;
        *id = NULL;
        if (!route->tail && path[head] == '\0')
            return route;
        *id = path + head;
        *id_length = strcspn(*id, "/");
        if (route->tail && *id_length > 0 && strcmp(*id + *id_length, route->tail) == 0)
            return route;
    }
    return NULL;
}

static unsigned dispatch(struct call *call, const char *method, const char *path, char *form, size_t length)
{
    const char *id;
    size_t id_length = 0;
    const struct route *route = find_route(method, path, &id, &id_length);
    if (!route)
        return refuse(call, 404, NULL, "Unrecognized request URL.", NULL);
    if (read_fields(call, form, length) != OK)
        return refuse(call, 400, "parameter_unknown", "The form could not be read.", NULL);
    const char *unknown = unknown_field(call, route->fields);
    if (unknown) /* the key is not shown: a card number may have been put where a key belongs */
        return refuse(call, 400, "parameter_unknown", "Received unknown parameter.", NULL);
    if (id) {
        call->intent = find_intent(call->model, id, id_length);
        if (!call->intent)
            return refuse(call, 404, "resource_missing", "No such payment_intent.", "intent");
    }
    return route->handler(call);
}

unsigned stripe_model_call(struct stripe_model *model, const char *method, const char *path, char *form,
                           size_t length, json_t **body, bool *is_kept)
{
    struct call call = {.model = model};
    unsigned status = dispatch(&call, method, path, form, length);
    *body = call.body;
    *is_kept = call.is_kept;
    return status;
}

enum err stripe_model_new(struct stripe_model **out, const struct stripe_model_options *options)
{
    *out = wipe_heap_calloc(1, sizeof(**out));
    if (!*out)
        return ERR_MEMORY;
    (*out)->options = *options;
    return OK;
}

void stripe_model_free(struct stripe_model *model)
{
    if (!model)
        return;
    for (size_t i = 0; i < model->intent_count; i++) {
        json_decref(model->intents[i].metadata);
        json_decref(model->intents[i].last_error);
    }
    wipe_heap_free(model->intents);
    wipe_heap_free(model->methods);
    wipe_heap_free(model);
}
