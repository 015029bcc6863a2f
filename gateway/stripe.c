#include "gateway/stripe.h"

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

static enum err put_headers(const struct connector_step *step, struct connector_request *request)
{
    char key[CONNECTOR_STEP_KEY_BYTES];
    enum err err = connector_header(request, "Stripe-Version", STRIPE_VERSION);
    if (!err)
        err = connector_header(request, "Accept", "application/json");
    if (err || step->operation == CONNECTOR_STATUS)
        return err;
    /* Cancelling twice is cancelling once, without a key. With one, a refusal while the payment was being processed
     * would be replayed for a day, and the order could not be settled. */
    connector_step_key(step, key);
    if (step->operation != CONNECTOR_ABANDON)
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

static void put_order(const struct connector_step *step, struct form_writer *form)
{
    char currency[4];
    char id[32] = "call_";
    lower_currency(step, currency);
    form_number(form, "amount", step->amount_minor);
    form_text(form, "currency", currency);
    form_text(form, "payment_method", step->token);
    form_text(form, "payment_method_types[]", "card");
    form_text(form, "capture_method", "automatic");
    form_text(form, "confirm", "false");
    form_text(form, "metadata[channel]", "ivr");
    form_text(form, "metadata[source]", "ivr_payment_flow");
    log_id_text(step->call_id, id + 5);
    form_text(form, "metadata[call_id]", id);
    memcpy(id, "cap_", 4);
    log_id_text(step->capture_id, id + 4);
    form_text(form, "metadata[capture_id]", id);
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

static enum err check_step(const struct connector_step *step)
{
    bool has_amount = step->operation != CONNECTOR_TOKENISE;
    if (has_amount && (step->amount_minor < 1 || step->amount_minor > LIMIT_AMOUNT_MINOR))
        return ERR_RANGE;
    if (has_amount && (!money_is_currency(step->currency) || strstr(ODD_CURRENCIES, step->currency)))
        return ERR_RANGE;
    if (has_amount && money_exponent(step->currency) == 3 && step->amount_minor % 10 != 0)
        return ERR_RANGE; /* Stripe rounds the third decimal; we do not let it */
    char id[LIMIT_TOKEN_BYTES];
    bool needs_order = step->operation > CONNECTOR_CREATE;
    if (needs_order && !connector_take_id(step->order_ref, "pi_", id, sizeof(id)))
        return ERR_RANGE;
    bool needs_token = step->operation == CONNECTOR_CREATE || step->token[0];
    if (needs_token && has_amount && !connector_take_id(step->token, "pm_", id, sizeof(id)))
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
    default:
        break;
    }
    secret_set_length(request->body, form.length);
    return form.err;
}

static enum err stripe_build(const struct connector_account *account, const struct connector_step *step,
                             struct connector_request *request, struct connector_verdict *verdict)
{
    static const struct {
        const char *method;
        const char *form; /* with the order's id where it has a %s */
    } paths[CONNECTOR_OPERATIONS] = {
        [CONNECTOR_TOKENISE] = {"POST", "/v1/payment_methods"},
        [CONNECTOR_CREATE] = {"POST", "/v1/payment_intents"},
        [CONNECTOR_CONFIRM] = {"POST", "/confirm"},
        [CONNECTOR_STATUS] = {"GET", ""},
        [CONNECTOR_ABANDON] = {"POST", "/cancel"},
    };
    (void)account;
    if ((unsigned)step->operation >= CONNECTOR_OPERATIONS)
        return ERR_UNSUPPORTED;
    /* Without a reference no CONFIRM can have been sent: nothing to ask, and nothing to cancel that could be paid. */
    if (step->operation > CONNECTOR_CONFIRM && step->order_ref[0] == '\0') {
        connector_verdict_set(verdict, GATEWAY_DONE, ORDER_UNKNOWN_TO_GATEWAY, REASON_NONE);
        return ERR_EMPTY;
    }
    enum err err = check_step(step);
    if (err)
        return err;
    request->method = paths[step->operation].method;
    request->has_card = step->operation == CONNECTOR_TOKENISE;
    bool has_order = step->operation > CONNECTOR_CREATE;
    snprintf(request->path, sizeof(request->path), "%s%s%s", has_order ? "/v1/payment_intents/" : "",
             has_order ? step->order_ref : "", paths[step->operation].form);
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
    {"requires_capture", ORDER_PENDING},     {"canceled", ORDER_CANCELLED},
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
    lower_currency(step, currency);
    const json_t *amount = json_object_get(intent, "amount");
    const json_t *received = json_object_get(intent, "amount_received");
    if (!reply_is(intent, "object", "payment_intent") || !reply_is(intent, "currency", currency))
        return ORDER_NONE;
    if (!json_is_integer(amount) || json_integer_value(amount) != step->amount_minor)
        return ORDER_NONE;
    if (step->operation != CONNECTOR_CREATE && !reply_is(intent, "id", step->order_ref))
        return ORDER_NONE;
    for (size_t i = 0; i < sizeof(intent_rows) / sizeof(intent_rows[0]); i++) {
        if (!reply_is(intent, "status", intent_rows[i].status))
            continue;
        bool is_paid = intent_rows[i].state == ORDER_SUCCEEDED;
        if (is_paid && json_is_integer(received) && json_integer_value(received) != step->amount_minor)
            return ORDER_NONE;
        return intent_rows[i].state;
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

static void read_done(const struct connector_step *step, const json_t *root,
                      struct connector_verdict *verdict)
{
    static void (*const readers[CONNECTOR_OPERATIONS])(const struct connector_step *, const json_t *,
                                                       struct connector_verdict *) = {
        [CONNECTOR_TOKENISE] = read_token,    [CONNECTOR_CREATE] = read_created,
        [CONNECTOR_CONFIRM] = read_confirmed, [CONNECTOR_STATUS] = read_state,
        [CONNECTOR_ABANDON] = read_state,
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
        /* Only a confirmation or a cancellation leaves something to ask about. */
        if (verdict->outcome == GATEWAY_NO_ANSWER && step->operation <= CONNECTOR_CREATE)
            verdict->outcome = GATEWAY_UNAVAILABLE;
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
        (step->operation == CONNECTOR_TOKENISE || step->operation == CONNECTOR_CONFIRM))
        connector_verdict_set(verdict, GATEWAY_DECLINED, ORDER_NONE, card_reason(error));
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
    .operations = CONNECTOR_PAYMENT_OPERATIONS,
    .is_replay_safe = true,
    .key_is_live = stripe_key_is_live,
    .authorise = connector_authorise_bearer,
    .build = stripe_build,
    .read = stripe_read,
};
