#include "gateway/connectors/stripe.h"

#include "base/log.h"
#include "gateway/form.h"
#include "gateway/money.h"
#include "gateway/reply_json.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* The version whose shapes this file reads; without it an account's own default version would decide. */
#define STRIPE_VERSION "2020-08-27"

/* Stripe counts these in other units than ISO 4217: the same integer would be a hundred times too much or too little. */
#define ODD_CURRENCIES "ISK UGX MGA CLF UYW"

/* --- saying a step --- */

/* SUBSCRIBE takes three requests; a customer that Stripe knows already saves the first. */
enum subscribe_stage { STAGE_CUSTOMER, STAGE_ATTACH, STAGE_SUBSCRIBE };

static bool has_customer(const struct connector_step *step)
{
    char id[LIMIT_TOKEN_BYTES];
    return connector_take_id(step->customer, "cus_", id, sizeof(id));
}

static enum subscribe_stage subscribe_stage(const struct connector_step *step)
{
    unsigned stage = step->round + (has_customer(step) ? 1 : 0);
    return stage < STAGE_SUBSCRIBE ? (enum subscribe_stage)stage : STAGE_SUBSCRIBE;
}

static const char *customer_of(const struct connector_step *step)
{
    return has_customer(step) ? step->customer : step->carry;
}

static enum err put_headers(const struct connector_step *step, struct connector_request *request)
{
    char key[CONNECTOR_STEP_KEY_BYTES];
    enum err err = connector_header(request, "Stripe-Version", STRIPE_VERSION);
    if (!err)
        err = connector_header(request, "Accept", "application/json");
    if (err || strcmp(request->method, "GET") == 0)
        return err;
    /* Cancelling twice is cancelling once, without a key. With one, a refusal while the payment was being processed
     * would be replayed for a day, and the order could not be settled. */
    bool is_cancel = step->operation == CONNECTOR_ABANDON || step->operation == CONNECTOR_VOID;
    connector_step_key(step, key);
    if (!is_cancel)
        err = connector_header(request, "Idempotency-Key", key);
    if (!err)
        err = connector_header(request, "Content-Type", "application/x-www-form-urlencoded");
    return err;
}

static void put_card(const struct connector_step *step, struct form_writer *form)
{
    const struct gateway_tokenise_msg *card = step->card;
    form_text(form, "type", "card");
    form_digits(form, "card[number]", card->number, card->number_length);
    form_number(form, "card[exp_month]", card->expiry_month);
    form_number(form, "card[exp_year]", 2000 + card->expiry_year);
    if (card->cvv_length > 0)
        form_digits(form, "card[cvc]", card->cvv, card->cvv_length);
}

static void lower_currency(const struct connector_step *step, char *out)
{
    for (size_t i = 0; i < 4; i++)
        out[i] = (char)tolower((unsigned char)step->currency[i]);
}

/* For Stripe's books: where it came from, and what it is called here (requirements S0-09, S1-12). */
static void put_metadata(const struct connector_step *step, struct form_writer *form)
{
    bool is_order = step->operation >= CONNECTOR_CAPTURE;
    char id[32] = "call_";
    form_text(form, "metadata[channel]", "ivr");
    form_text(form, "metadata[source]", "ivr_payment_flow");
    log_id_text(step->call_id, id + 5);
    form_text(form, "metadata[call_id]", id);
    memcpy(id, is_order ? "ord_" : "cap_", 4);
    log_id_text(step->capture_id, id + 4);
    form_text(form, is_order ? "metadata[order_id]" : "metadata[capture_id]", id);
}

static void put_order(const struct connector_step *step, struct form_writer *form)
{
    char currency[4];
    lower_currency(step, currency);
    form_number(form, "amount", step->amount_minor);
    form_text(form, "currency", currency);
    form_text(form, "payment_method", step->token);
    form_text(form, "payment_method_types[]", "card");
    form_text(form, "capture_method", step->is_authorise_only ? "manual" : "automatic");
    form_text(form, "confirm", "false");
    put_metadata(step, form);
}

/* A telephone order: the issuer is told that nobody can answer a 3-D Secure challenge, and if one is demanded all the
 * same the attempt ends instead of waiting for a browser. */
static void put_confirm(const struct connector_step *step, struct form_writer *form)
{
    if (step->token[0])
        form_text(form, "payment_method", step->token);
    form_text(form, "payment_method_options[card][moto]", "true");
    form_text(form, "error_on_requires_action", "true");
}

static void put_refund(const struct connector_step *step, struct form_writer *form)
{
    form_text(form, "payment_intent", step->order_ref);
    form_number(form, "amount", step->amount_minor);
    put_metadata(step, form);
}

/* The plan is a price of the merchant's, or, where the order says how often and how much, a product of his. */
static void put_subscription(const struct connector_step *step, struct form_writer *form)
{
    static const char *const intervals[INTERVALS] = {[INTERVAL_DAY] = "day",
                                                     [INTERVAL_WEEK] = "week",
                                                     [INTERVAL_MONTH] = "month",
                                                     [INTERVAL_YEAR] = "year"};
    char currency[4];
    form_text(form, "customer", customer_of(step));
    form_text(form, "default_payment_method", step->token);
    form_text(form, "off_session", "true");
    form_text(form, "payment_behavior", "error_if_incomplete");
    if (step->interval_unit == INTERVAL_OF_PLAN) {
        form_text(form, "items[0][price]", step->plan);
    } else {
        lower_currency(step, currency);
        form_text(form, "items[0][price_data][product]", step->plan);
        form_text(form, "items[0][price_data][currency]", currency);
        form_number(form, "items[0][price_data][unit_amount]", step->amount_minor);
        form_text(form, "items[0][price_data][recurring][interval]", intervals[step->interval_unit]);
        form_number(form, "items[0][price_data][recurring][interval_count]",
                    step->interval_count > 0 ? step->interval_count : 1);
    }
    put_metadata(step, form);
}

static void put_subscribe(const struct connector_step *step, struct form_writer *form)
{
    switch (subscribe_stage(step)) {
    case STAGE_CUSTOMER:
        if (step->customer[0])
            form_text(form, "metadata[customer]", step->customer);
        put_metadata(step, form);
        break;
    case STAGE_ATTACH:
        form_text(form, "customer", customer_of(step));
        break;
    default:
        put_subscription(step, form);
        break;
    }
}

/* A price first, then the page that sells it, once. */
static void put_link(const struct connector_step *step, struct form_writer *form)
{
    char currency[4];
    if (step->round == 0) {
        lower_currency(step, currency);
        form_text(form, "currency", currency);
        form_number(form, "unit_amount", step->amount_minor);
        form_text(form, "product_data[name]", step->reference[0] ? step->reference : "Payment");
        return;
    }
    form_text(form, "line_items[0][price]", step->carry);
    form_number(form, "line_items[0][quantity]", 1);
    form_text(form, "restrictions[completed_sessions][limit]", "1");
    put_metadata(step, form);
}

static bool is_amount_takeable(const struct connector_step *step)
{
    if (step->amount_minor < 1 || step->amount_minor > LIMIT_AMOUNT_MINOR ||
        !money_is_currency(step->currency) || strstr(ODD_CURRENCIES, step->currency))
        return false;
    /* Stripe rounds the third decimal; we do not let it. */
    return money_exponent(step->currency) != 3 || step->amount_minor % 10 == 0;
}

static enum err check_step(const struct connector_step *step)
{
    bool is_of_plan = step->operation == CONNECTOR_SUBSCRIBE && step->interval_unit == INTERVAL_OF_PLAN;
    bool has_amount = step->operation != CONNECTOR_TOKENISE && !is_of_plan;
    if (has_amount && !is_amount_takeable(step))
        return ERR_RANGE;
    char id[LIMIT_TOKEN_BYTES];
    bool needs_order = step->operation > CONNECTOR_CREATE && step->operation < CONNECTOR_SUBSCRIBE;
    if (needs_order && !connector_take_id(step->order_ref, "pi_", id, sizeof(id)))
        return ERR_RANGE;
    bool needs_token = step->operation == CONNECTOR_CREATE || step->operation == CONNECTOR_SUBSCRIBE ||
                       (step->operation == CONNECTOR_CONFIRM && step->token[0]);
    if (needs_token && !connector_take_id(step->token, "pm_", id, sizeof(id)))
        return ERR_RANGE;
    if (step->operation == CONNECTOR_SUBSCRIBE &&
        (!connector_take_id(step->plan, "", id, sizeof(id)) || step->interval_unit >= INTERVALS))
        return ERR_RANGE;
    return OK;
}

static enum err put_body(const struct connector_step *step, struct connector_request *request)
{
    size_t capacity;
    struct form_writer form;
    uint8_t *bytes = secret_buffer(request->body, &capacity);
    form_begin(&form, bytes, capacity);
    switch (step->operation) {
    case CONNECTOR_TOKENISE:
        put_card(step, &form);
        break;
    case CONNECTOR_CREATE:
        put_order(step, &form);
        break;
    case CONNECTOR_CONFIRM:
        put_confirm(step, &form);
        break;
    case CONNECTOR_ABANDON:
        form_text(&form, "cancellation_reason", "abandoned");
        break;
    case CONNECTOR_CAPTURE:
        form_number(&form, "amount_to_capture", step->amount_minor);
        break;
    case CONNECTOR_VOID:
        form_text(&form, "cancellation_reason", "requested_by_customer");
        break;
    case CONNECTOR_REFUND:
        if (step->round > 0)
            put_refund(step, &form);
        break;
    case CONNECTOR_SUBSCRIBE:
        put_subscribe(step, &form);
        break;
    case CONNECTOR_LINK:
        put_link(step, &form);
        break;
    default:
        break;
    }
    secret_set_length(request->body, form.length);
    return form.err;
}

static void put_path(const struct connector_step *step, struct connector_request *request)
{
    static const struct {
        const char *method;
        const char *form; /* behind the order's id where has_order */
        bool has_order;
    } paths[CONNECTOR_OPERATIONS] = {
        [CONNECTOR_TOKENISE] = {"POST", "/v1/payment_methods", false},
        [CONNECTOR_CREATE] = {"POST", "/v1/payment_intents", false},
        [CONNECTOR_CONFIRM] = {"POST", "/confirm", true},
        [CONNECTOR_STATUS] = {"GET", "", true},
        [CONNECTOR_ABANDON] = {"POST", "/cancel", true},
        [CONNECTOR_CAPTURE] = {"POST", "/capture", true},
        [CONNECTOR_VOID] = {"POST", "/cancel", true},
        [CONNECTOR_REFUND] = {"POST", "/v1/refunds", false},
        [CONNECTOR_SUBSCRIBE] = {"POST", "/v1/subscriptions", false},
        [CONNECTOR_LINK] = {"POST", "/v1/payment_links", false},
    };
    bool has_order = paths[step->operation].has_order;
    request->method = paths[step->operation].method;
    snprintf(request->path, sizeof(request->path), "%s%s%s", has_order ? "/v1/payment_intents/" : "",
             has_order ? step->order_ref : "", paths[step->operation].form);
    if (step->operation == CONNECTOR_REFUND && step->round == 0) {
        request->method = "GET";
        snprintf(request->path, sizeof(request->path), "/v1/refunds?payment_intent=%s&limit=100",
                 step->order_ref);
    } else if (step->operation == CONNECTOR_SUBSCRIBE && subscribe_stage(step) == STAGE_CUSTOMER) {
        snprintf(request->path, sizeof(request->path), "/v1/customers");
    } else if (step->operation == CONNECTOR_SUBSCRIBE && subscribe_stage(step) == STAGE_ATTACH) {
        snprintf(request->path, sizeof(request->path), "/v1/payment_methods/%s/attach", step->token);
    } else if (step->operation == CONNECTOR_LINK && step->round == 0) {
        snprintf(request->path, sizeof(request->path), "/v1/prices");
    }
}

static enum err stripe_build(const struct connector_account *account, const struct connector_step *step,
                             struct connector_request *request, struct connector_verdict *verdict)
{
    bool is_question = step->operation == CONNECTOR_STATUS || step->operation == CONNECTOR_ABANDON;
    (void)account;
    if ((unsigned)step->operation >= CONNECTOR_OPERATIONS)
        return ERR_UNSUPPORTED;
    /* Without a reference no CONFIRM can have been sent: nothing to ask, and nothing to cancel that could be paid. */
    if (is_question && step->order_ref[0] == '\0') {
        connector_verdict_set(verdict, GATEWAY_DONE, ORDER_UNKNOWN_TO_GATEWAY, REASON_NONE);
        return ERR_EMPTY;
    }
    enum err err = check_step(step);
    if (err)
        return err;
    request->has_card = step->operation == CONNECTOR_TOKENISE;
    put_path(step, request);
    err = put_headers(step, request);
    return err ? err : put_body(step, request);
}

/* --- hearing the answer --- */

/* What a code or decline code means; the first row that fits decides, NULL fits anything. The decline code stands
 * first because it says more: code is card_declined with most of them. */
static const struct card_row {
    const char *code;
    const char *decline_code;
    enum gateway_reason reason;
} card_rows[] = {
    {NULL, "insufficient_funds", REASON_INSUFFICIENT_FUNDS},
    {NULL, "lost_card", REASON_LOST_OR_STOLEN},
    {NULL, "stolen_card", REASON_LOST_OR_STOLEN},
    {NULL, "pickup_card", REASON_LOST_OR_STOLEN},
    {NULL, "expired_card", REASON_EXPIRED},
    {NULL, "invalid_expiry_month", REASON_EXPIRED},
    {NULL, "invalid_expiry_year", REASON_EXPIRED},
    {NULL, "incorrect_cvc", REASON_WRONG_CVV},
    {NULL, "invalid_cvc", REASON_WRONG_CVV},
    {NULL, "incorrect_number", REASON_WRONG_NUMBER},
    {NULL, "invalid_number", REASON_WRONG_NUMBER},
    {NULL, "invalid_account", REASON_WRONG_NUMBER},
    {NULL, "authentication_required", REASON_NEEDS_AUTHENTICATION},
    {NULL, "card_velocity_exceeded", REASON_LIMIT},
    {NULL, "withdrawal_count_limit_exceeded", REASON_LIMIT},
    {NULL, "processing_error", REASON_PROCESSING_ERROR},
    {NULL, "try_again_later", REASON_PROCESSING_ERROR},
    {NULL, "issuer_not_available", REASON_PROCESSING_ERROR},
    {NULL, "reenter_transaction", REASON_PROCESSING_ERROR},
    {"expired_card", NULL, REASON_EXPIRED},
    {"invalid_expiry_month", NULL, REASON_EXPIRED},
    {"invalid_expiry_year", NULL, REASON_EXPIRED},
    {"incorrect_cvc", NULL, REASON_WRONG_CVV},
    {"invalid_cvc", NULL, REASON_WRONG_CVV},
    {"incorrect_number", NULL, REASON_WRONG_NUMBER},
    {"invalid_number", NULL, REASON_WRONG_NUMBER},
    {"authentication_required", NULL, REASON_NEEDS_AUTHENTICATION},
    {"payment_intent_authentication_failure", NULL, REASON_NEEDS_AUTHENTICATION},
    {"card_decline_rate_limit_exceeded", NULL, REASON_LIMIT},
    {"processing_error", NULL, REASON_PROCESSING_ERROR},
    {NULL, NULL, REASON_DECLINED},
};

/* What a status means when the error is not about the card. */
static const struct status_row {
    unsigned status;
    enum gateway_outcome outcome;
    enum gateway_reason reason;
    enum connector_again again;
} status_rows[] = {
    {400, GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_FINAL},
    {401, GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_FINAL},
    {402, GATEWAY_FAILED, REASON_PROCESSING_ERROR, CONNECTOR_FINAL},
    {403, GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_FINAL},
    {404, GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_FINAL},
    {409, GATEWAY_NO_ANSWER, REASON_UNAVAILABLE, CONNECTOR_AGAIN}, /* the same key is being worked on */
    {424, GATEWAY_FAILED, REASON_UNAVAILABLE, CONNECTOR_FINAL},
    {429, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE, CONNECTOR_AGAIN},
    {500, GATEWAY_NO_ANSWER, REASON_UNAVAILABLE, CONNECTOR_AGAIN}, /* and every other 5xx */
};

static const struct {
    const char *status;
    enum gateway_order_state state;
} intent_rows[] = {
    {"requires_payment_method", ORDER_OPEN}, {"requires_confirmation", ORDER_OPEN},
    {"requires_action", ORDER_OPEN},         {"processing", ORDER_PENDING},
    {"requires_capture", ORDER_AUTHORISED},  {"canceled", ORDER_CANCELLED},
    {"succeeded", ORDER_SUCCEEDED},
};

static enum gateway_reason card_reason(const json_t *error)
{
    const char *code = reply_text(error, "code");
    const char *decline_code = reply_text(error, "decline_code");
    const struct card_row *row = card_rows;
    for (;; row++) {
        bool fits_code = !row->code || (code && strcmp(row->code, code) == 0);
        bool fits_decline =
            !row->decline_code || (decline_code && strcmp(row->decline_code, decline_code) == 0);
        if (fits_code && fits_decline)
            return row->reason;
    }
}

/* ORDER_NONE: not an intent, not ours, or not the amount and currency that were asked for. */
static enum gateway_order_state intent_state(const struct connector_step *step, const json_t *intent)
{
    char currency[4];
    bool is_change = step->operation >= CONNECTOR_CAPTURE; /* may be about less than all */
    lower_currency(step, currency);
    const json_t *amount = json_object_get(intent, "amount");
    const json_t *received = json_object_get(intent, "amount_received");
    if (!reply_is(intent, "object", "payment_intent") || !reply_is(intent, "currency", currency))
        return ORDER_NONE;
    if (!json_is_integer(amount) || (is_change ? json_integer_value(amount) < step->amount_minor
                                               : json_integer_value(amount) != step->amount_minor))
        return ORDER_NONE;
    if (step->operation != CONNECTOR_CREATE && !reply_is(intent, "id", step->order_ref))
        return ORDER_NONE;
    for (size_t i = 0; i < sizeof(intent_rows) / sizeof(intent_rows[0]); i++) {
        if (!reply_is(intent, "status", intent_rows[i].status))
            continue;
        bool is_paid = intent_rows[i].state == ORDER_SUCCEEDED && step->operation != CONNECTOR_VOID;
        if (is_paid && json_is_integer(received) && json_integer_value(received) != step->amount_minor)
            return ORDER_NONE;
        /* What captures by itself is on its way. */
        bool may_be_held = step->is_authorise_only || is_change;
        return intent_rows[i].state == ORDER_AUTHORISED && !may_be_held ? ORDER_PENDING
                                                                        : intent_rows[i].state;
    }
    return ORDER_NONE;
}

static void read_token(const struct connector_step *step, const json_t *root,
                       struct connector_verdict *verdict)
{
    if (!reply_is(root, "object", "payment_method") || !reply_is(root, "type", "card") ||
        !connector_take_id(reply_text(root, "id"), "pm_", verdict->token, sizeof(verdict->token)))
        connector_bad_answer(step, verdict);
}

/* Before its id is known, an order is ours if it carries what we wrote on it. */
static bool is_of_capture(const struct connector_step *step, const json_t *intent)
{
    char id[24] = "cap_";
    log_id_text(step->capture_id, id + 4);
    return reply_is(json_object_get(intent, "metadata"), "capture_id", id);
}

static void read_created(const struct connector_step *step, const json_t *root,
                         struct connector_verdict *verdict)
{
    verdict->order_state = intent_state(step, root);
    if (verdict->order_state != ORDER_OPEN || !is_of_capture(step, root) ||
        !connector_take_id(reply_text(root, "id"), "pi_", verdict->order_ref, sizeof(verdict->order_ref)))
        connector_bad_answer(step, verdict);
}

static void read_confirmed(const struct connector_step *step, const json_t *root,
                           struct connector_verdict *verdict)
{
    const json_t *error = json_object_get(root, "last_payment_error");
    verdict->order_state = intent_state(step, root);
    switch (verdict->order_state) {
    case ORDER_SUCCEEDED:
    case ORDER_PENDING:
    case ORDER_AUTHORISED:
        return;
    case ORDER_CANCELLED:
        verdict->outcome = GATEWAY_FAILED;
        verdict->reason = REASON_PROCESSING_ERROR;
        return;
    case ORDER_OPEN:
        verdict->outcome = GATEWAY_DECLINED;
        verdict->reason = json_is_object(error) ? card_reason(error) : REASON_DECLINED;
        if (reply_is(root, "status", "requires_action"))
            verdict->reason = REASON_NEEDS_AUTHENTICATION;
        if (!reply_is(root, "status", "requires_confirmation"))
            return;
        break; /* confirmed, and yet not: ask */
    default:
        break;
    }
    connector_bad_answer(step, verdict);
}

static void read_state(const struct connector_step *step, const json_t *root,
                       struct connector_verdict *verdict)
{
    const json_t *error = json_object_get(root, "last_payment_error");
    verdict->order_state = intent_state(step, root);
    if (verdict->order_state == ORDER_NONE) {
        connector_bad_answer(step, verdict);
        return;
    }
    if (verdict->order_state == ORDER_OPEN && json_is_object(error))
        verdict->reason = card_reason(error);
    if (reply_is(root, "status", "requires_action"))
        verdict->reason = REASON_NEEDS_AUTHENTICATION;
    if (step->operation == CONNECTOR_ABANDON && verdict->order_state != ORDER_CANCELLED)
        verdict->outcome = GATEWAY_FAILED;
}

/* --- after the card --- */

static void read_changed(const struct connector_step *step, const json_t *root,
                         struct connector_verdict *verdict)
{
    enum gateway_order_state wanted =
        step->operation == CONNECTOR_CAPTURE ? ORDER_SUCCEEDED : ORDER_CANCELLED;
    verdict->order_state = intent_state(step, root);
    if (verdict->order_state != wanted)
        connector_bad_answer(step, verdict);
}

static bool is_of_order(const struct connector_step *step, const json_t *object)
{
    char id[24] = "ord_";
    log_id_text(step->capture_id, id + 4);
    return reply_is(json_object_get(object, "metadata"), "order_id", id);
}

static void go_on(const char *carry, struct connector_verdict *verdict)
{
    connector_verdict_set(verdict, GATEWAY_NO_ANSWER, ORDER_NONE, REASON_UNAVAILABLE);
    verdict->again = CONNECTOR_NEXT;
    snprintf(verdict->carry, sizeof(verdict->carry), "%s", carry);
}

static void read_refund(const struct connector_step *step, const json_t *refund,
                        struct connector_verdict *verdict)
{
    char currency[4];
    const json_t *amount = json_object_get(refund, "amount");
    lower_currency(step, currency);
    connector_bad_answer(step, verdict);
    if (!reply_is(refund, "object", "refund") || !is_of_order(step, refund) ||
        !reply_is(refund, "payment_intent", step->order_ref) || !reply_is(refund, "currency", currency) ||
        !json_is_integer(amount) || json_integer_value(amount) != step->amount_minor)
        return;
    bool is_failed = reply_is(refund, "status", "failed") || reply_is(refund, "status", "canceled");
    bool is_done = reply_is(refund, "status", "succeeded") || reply_is(refund, "status", "pending") ||
                   reply_is(refund, "status", "requires_action");
    char id[LIMIT_TOKEN_BYTES];
    if (is_failed) {
        connector_verdict_set(verdict, GATEWAY_FAILED, ORDER_NONE, REASON_PROCESSING_ERROR);
    } else if (is_done && connector_take_id(reply_text(refund, "id"), "", id, sizeof(id))) {
        connector_verdict_set(verdict, GATEWAY_DONE, ORDER_NONE, REASON_NONE);
        memcpy(verdict->order_ref, id, sizeof(id));
    }
}

/* An idempotency key lasts a day, an order that waits for an answer may last longer: what was refunded under its name
 * is looked for first. */
static void read_refunds(const struct connector_step *step, const json_t *root,
                         struct connector_verdict *verdict)
{
    const json_t *list = json_object_get(root, "data");
    if (step->round > 0) {
        read_refund(step, root, verdict);
        return;
    }
    connector_bad_answer(step, verdict);
    if (!reply_is(root, "object", "list") || !json_is_array(list) ||
        json_is_true(json_object_get(root, "has_more")))
        return;
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (!is_of_order(step, json_array_get(list, i)))
            continue;
        read_refund(step, json_array_get(list, i), verdict);
        return;
    }
    go_on("-", verdict);
}

static void read_subscribed(const struct connector_step *step, const json_t *root,
                            struct connector_verdict *verdict)
{
    enum subscribe_stage stage = subscribe_stage(step);
    char id[LIMIT_TOKEN_BYTES];
    connector_bad_answer(step, verdict);
    if (stage == STAGE_CUSTOMER) {
        if (reply_is(root, "object", "customer") &&
            connector_take_id(reply_text(root, "id"), "cus_", id, sizeof(id)))
            go_on(id, verdict);
        return;
    }
    if (!reply_is(root, "customer", customer_of(step)))
        return;
    if (stage == STAGE_ATTACH) {
        if (reply_is(root, "object", "payment_method") && reply_is(root, "id", step->token))
            go_on(customer_of(step), verdict);
        return;
    }
    if (!reply_is(root, "object", "subscription") || !is_of_order(step, root) ||
        !connector_take_id(reply_text(root, "id"), "sub_", id, sizeof(id)))
        return;
    if (reply_is(root, "status", "active") || reply_is(root, "status", "trialing")) {
        connector_verdict_set(verdict, GATEWAY_DONE, ORDER_NONE, REASON_NONE);
        memcpy(verdict->order_ref, id, sizeof(id));
    }
}

static void read_link(const struct connector_step *step, const json_t *root,
                      struct connector_verdict *verdict)
{
    char currency[4], id[LIMIT_TOKEN_BYTES];
    const json_t *amount = json_object_get(root, "unit_amount");
    lower_currency(step, currency);
    connector_bad_answer(step, verdict);
    if (step->round == 0) {
        if (reply_is(root, "object", "price") && reply_is(root, "currency", currency) &&
            json_is_integer(amount) && json_integer_value(amount) == step->amount_minor &&
            connector_take_id(reply_text(root, "id"), "price_", id, sizeof(id)))
            go_on(id, verdict);
        return;
    }
    char url[LIMIT_LINK_BYTES];
    if (!reply_is(root, "object", "payment_link") || !is_of_order(step, root) ||
        !connector_take_id(reply_text(root, "id"), "plink_", id, sizeof(id)) ||
        !connector_take_url(reply_text(root, "url"), url, sizeof(url)))
        return;
    connector_verdict_set(verdict, GATEWAY_DONE, ORDER_OPEN, REASON_NONE);
    memcpy(verdict->order_ref, id, sizeof(id));
    memcpy(verdict->url, url, sizeof(url));
}

static void read_done(const struct connector_step *step, const json_t *root,
                      struct connector_verdict *verdict)
{
    static void (*const readers[CONNECTOR_OPERATIONS])(const struct connector_step *, const json_t *,
                                                       struct connector_verdict *) = {
        [CONNECTOR_TOKENISE] = read_token,       [CONNECTOR_CREATE] = read_created,
        [CONNECTOR_CONFIRM] = read_confirmed,    [CONNECTOR_STATUS] = read_state,
        [CONNECTOR_ABANDON] = read_state,        [CONNECTOR_CAPTURE] = read_changed,
        [CONNECTOR_VOID] = read_changed,         [CONNECTOR_REFUND] = read_refunds,
        [CONNECTOR_SUBSCRIBE] = read_subscribed, [CONNECTOR_LINK] = read_link,
    };
    connector_verdict_set(verdict, GATEWAY_DONE, ORDER_NONE, REASON_NONE);
    readers[step->operation](step, root, verdict);
}

/* The order named inside an error: 402 at a confirmation and 400 payment_intent_unexpected_state carry it. */
static void read_error_order(const struct connector_step *step, const json_t *error,
                             struct connector_verdict *verdict)
{
    const json_t *intent = json_object_get(error, "payment_intent");
    if (step->operation < CONNECTOR_CONFIRM || !json_is_object(intent))
        return;
    verdict->order_state = intent_state(step, intent);
    if (verdict->order_state == ORDER_NONE) {
        connector_bad_answer(step, verdict);
    } else if (step->operation == CONNECTOR_CONFIRM &&
               (verdict->order_state == ORDER_SUCCEEDED || verdict->order_state == ORDER_PENDING)) {
        /* Refused because it went through before: the money did move, whatever the status line says. */
        connector_verdict_set(verdict, GATEWAY_DONE, verdict->order_state, REASON_NONE);
    } else if (step->operation == CONNECTOR_ABANDON) {
        bool is_cancelled = verdict->order_state == ORDER_CANCELLED;
        connector_verdict_set(verdict, is_cancelled ? GATEWAY_DONE : GATEWAY_FAILED, verdict->order_state,
                              REASON_NONE);
    } else if (step->operation == CONNECTOR_CAPTURE || step->operation == CONNECTOR_VOID) {
        /* Refused, perhaps because it was done before. */
        bool is_done = verdict->order_state ==
                       (step->operation == CONNECTOR_CAPTURE ? ORDER_SUCCEEDED : ORDER_CANCELLED);
        connector_verdict_set(verdict, is_done ? GATEWAY_DONE : GATEWAY_FAILED, verdict->order_state,
                              is_done ? REASON_NONE : REASON_PROCESSING_ERROR);
    }
}

static bool is_header(const struct connector_answer *answer, const char *name, const char *expected)
{
    char value[16];
    return connector_answer_header(answer, name, value, sizeof(value)) && strcmp(value, expected) == 0;
}

static void read_again(const struct connector_answer *answer, struct connector_verdict *verdict)
{
    /* Stripe keeps the first answer of a key, a 500 too: asking again would only replay it. */
    if (answer->status >= 500 && is_header(answer, "idempotent-replayed", "true"))
        verdict->again = CONNECTOR_FINAL;
    if (is_header(answer, "stripe-should-retry", "false"))
        verdict->again = CONNECTOR_FINAL;
    /* What Stripe calls retriable is so, 4xx apart: those are never sent again (requirement C2). */
    if (is_header(answer, "stripe-should-retry", "true") && answer->status >= 500)
        verdict->again = CONNECTOR_AGAIN;
    verdict->wait_ms = connector_retry_after_ms(answer);
}

static bool read_status(const struct connector_step *step, const struct connector_answer *answer,
                        struct connector_verdict *verdict)
{
    unsigned status = answer->status >= 500 ? 500 : answer->status;
    for (size_t i = 0; i < sizeof(status_rows) / sizeof(status_rows[0]); i++) {
        const struct status_row *row = &status_rows[i];
        if (row->status != status)
            continue;
        connector_verdict_set(verdict, row->outcome, ORDER_NONE, row->reason);
        verdict->again = row->again;
        read_again(answer, verdict);
        /* A card stored, an order made or a list read leaves nothing to ask about. */
        bool is_harmless =
            step->operation <= CONNECTOR_CREATE || (step->operation == CONNECTOR_REFUND && step->round == 0);
        if (verdict->outcome == GATEWAY_NO_ANSWER && is_harmless)
            verdict->outcome = GATEWAY_UNAVAILABLE;
        return true;
    }
    return false;
}

/* The payment is not in a state for the change: nobody's configuration is wrong. */
static bool is_too_late(const json_t *error)
{
    static const char *const codes[] = {
        "charge_already_refunded",    "charge_already_captured",         "charge_disputed",
        "charge_expired_for_capture", "payment_intent_unexpected_state", "amount_too_large"};
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        if (reply_is(error, "code", codes[i]))
            return true;
    }
    return false;
}

static void read_error(const struct connector_step *step, const struct connector_answer *answer,
                       const json_t *root, struct connector_verdict *verdict)
{
    const json_t *error = json_object_get(root, "error");
    bool is_gateway_down = answer->status == 429 || answer->status >= 500;
    if (!json_is_object(error) && !is_gateway_down) {
        connector_bad_answer(step, verdict); /* a 4xx that is not Stripe's: some box on the way answered */
        return;
    }
    if (!read_status(step, answer, verdict)) {
        connector_bad_answer(step, verdict);
        return;
    }
    if (is_gateway_down || answer->status == 409)
        return;
    if (reply_is(error, "type", "card_error") && answer->status == 402 &&
        (step->operation == CONNECTOR_TOKENISE || step->operation == CONNECTOR_CONFIRM ||
         step->operation == CONNECTOR_SUBSCRIBE))
        connector_verdict_set(verdict, GATEWAY_DECLINED, ORDER_NONE, card_reason(error));
    if (answer->status == 400 && step->operation >= CONNECTOR_CAPTURE && is_too_late(error))
        connector_verdict_set(verdict, GATEWAY_FAILED, ORDER_NONE, REASON_PROCESSING_ERROR);
    if (answer->status == 404 && reply_is(error, "code", "resource_missing") &&
        step->operation == CONNECTOR_STATUS)
        connector_verdict_set(verdict, GATEWAY_DONE, ORDER_UNKNOWN_TO_GATEWAY, REASON_NONE);
    read_error_order(step, error, verdict);
}

static void stripe_read(const struct connector_account *account, const struct connector_step *step,
                        const struct connector_answer *answer, struct connector_verdict *verdict)
{
    (void)account;
    json_t *root = reply_parse(answer);
    if (answer->status == 200 || answer->status == 201) {
        if (json_is_object(root))
            read_done(step, root, verdict);
        else
            connector_bad_answer(step, verdict);
    } else {
        read_error(step, answer, root, verdict);
    }
    json_decref(root);
}

static bool stripe_key_is_live(const uint8_t *key, size_t length)
{
    return length >= 8 && (memcmp(key, "sk_live_", 8) == 0 || memcmp(key, "rk_live_", 8) == 0);
}

const struct connector stripe_connector = {
    .name = "stripe",
    .operations = (1u << CONNECTOR_OPERATIONS) - 1,
    .is_replay_safe = true,
    .key_is_live = stripe_key_is_live,
    .authorise = connector_authorise_bearer,
    .build = stripe_build,
    .read = stripe_read,
};
