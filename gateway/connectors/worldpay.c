#include "gateway/connectors/worldpay.h"

#include "gateway/json_writer.h"
#include "gateway/money.h"
#include "gateway/reply_json.h"

#include <stdio.h>
#include <string.h>

#define VERIFIED_TYPE "application/vnd.worldpay.verified-tokens-v3.hal+json"
#define QUERY_TYPE    "application/vnd.worldpay.payment-queries-v1.hal+json"
#define PAGES_TYPE    "application/vnd.worldpay.payment_pages-v1.hal+json"
#define CARD_TYPE     "application/vnd.worldpay.payments-v7+json"
#define JSON_TYPE     "application/json"
#define API_VERSION   "2024-06-01"

/* Worldpay counts these with another exponent than ISO 4217, or not at all. */
#define ODD_CURRENCIES "CLP CVE ISK UGX CLF UYW"

#define ENTITY_MAX    32
#define NARRATIVE_MAX 24

/* --- Worldpay's addresses --- */

static const struct {
    const char *prefix; /* of our token */
    const char *base;
} places[] = {
    {"t_", "https://try.access.worldpay.com"},
    {"l_", "https://access.worldpay.com"},
};
#define PLACE_COUNT (sizeof(places) / sizeof(places[0]))

/* What follows base in a link; NULL: it leads elsewhere. A link may also come without a host. */
static const char *path_of(const char *link, size_t *place)
{
    if (!link)
        return NULL;
    for (size_t i = 0; i < PLACE_COUNT; i++) {
        size_t length = strlen(places[i].base);
        if (strncmp(link, places[i].base, length) == 0 && link[length] == '/') {
            *place = i;
            return link + length;
        }
    }
    *place = PLACE_COUNT;
    return link[0] == '/' ? link : NULL;
}

/* A path that we follow: one of the three families, and nothing in it that means something to a URL. */
static bool take_path(const char *link, char *out)
{
    static const char *const families[] = {"/api/payments/", "/payments/", "/cardPayments/"};
    size_t place;
    const char *path = path_of(link, &place);
    size_t length = path ? strlen(path) : 0;
    bool is_known = false;
    for (size_t i = 0; path && i < sizeof(families) / sizeof(families[0]); i++)
        is_known = is_known || strncmp(path, families[i], strlen(families[i])) == 0;
    if (!is_known || length >= CONNECTOR_CARRY_BYTES || strstr(path, "..") || strstr(path, "//"))
        return false;
    if (strspn(path, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/-_.:=+~,%") != length)
        return false;
    memcpy(out, path, length + 1);
    return true;
}

static bool take_token(const char *link, char *out)
{
    size_t place;
    const char *path = path_of(link, &place);
    char last[LIMIT_TOKEN_BYTES - 2];
    if (!path || place == PLACE_COUNT || strncmp(path, "/tokens/", 8) != 0 ||
        !connector_take_id(path + 8, "", last, sizeof(last)))
        return false;
    snprintf(out, LIMIT_TOKEN_BYTES, "%s%s", places[place].prefix, last);
    return true;
}

/* False: no token of ours. */
static bool give_token(const char *token, char *out, size_t capacity)
{
    char id[LIMIT_TOKEN_BYTES];
    for (size_t i = 0; i < PLACE_COUNT; i++) {
        if (!connector_take_id(token, places[i].prefix, id, sizeof(id)))
            continue;
        snprintf(out, capacity, "%s/tokens/%s", places[i].base, id + strlen(places[i].prefix));
        return true;
    }
    return false;
}

/* --- saying a step --- */

static void put_merchant(const struct connector_account *account, struct json_writer *json)
{
    json_open_object(json, "merchant");
    json_put_text(json, "entity", account->merchant);
    json_close(json);
}

static void put_narrative(const struct connector_account *account, struct json_writer *json)
{
    char line[NARRATIVE_MAX + 1];
    snprintf(line, sizeof(line), "%.*s", NARRATIVE_MAX, account->merchant);
    json_open_object(json, "narrative");
    json_put_text(json, "line1", line);
    json_close(json);
}

static void put_value(const struct connector_step *step, struct json_writer *json)
{
    json_open_object(json, "value");
    json_put_text(json, "currency", step->currency);
    json_put_number(json, "amount", step->amount_minor);
    json_close(json);
}

static void put_card(const struct connector_account *account, const struct connector_step *step,
                     struct json_writer *json)
{
    const struct gateway_tokenise_msg *card = step->card;
    json_open_object(json, "paymentInstrument");
    json_put_text(json, "type", "card/plain");
    json_put_text(json, "cardHolderName", "Not given"); /* required, and not asked on the telephone */
    json_put_digits(json, "cardNumber", card->number, card->number_length);
    json_open_object(json, "cardExpiryDate");
    json_put_number(json, "month", card->expiry_month);
    json_put_number(json, "year", 2000 + card->expiry_year);
    json_close(json);
    if (card->cvv_length > 0)
        json_put_digits(json, "cvc", card->cvv, card->cvv_length);
    json_close(json);
    put_merchant(account, json);
    json_put_text(json, "verificationCurrency", connector_verification_currency(account, step, "GBP"));
}

static void put_payment(const struct connector_account *account, const struct connector_step *step,
                        struct json_writer *json)
{
    char token[LIMIT_TOKEN_BYTES + 64] = "";
    (void)give_token(step->token, token, sizeof(token)); /* check_step() did */
    json_put_text(json, "transactionReference", step->order_ref);
    put_merchant(account, json);
    json_put_text(json, "channel", "moto");
    json_open_object(json, "instruction");
    json_put_text(json, "method", "card");
    json_open_object(json, "paymentInstrument");
    json_put_text(json, "type", "token");
    json_put_text(json, "href", token);
    json_close(json);
    put_narrative(account, json);
    put_value(step, json);
    json_open_object(json, "settlement");
    json_put_bool(json, "auto", !step->is_authorise_only);
    json_close(json);
    json_close(json);
}

static void put_page(const struct connector_account *account, const struct connector_step *step,
                     struct json_writer *json)
{
    char name[CONNECTOR_NAME_BYTES];
    connector_order_name(step, name);
    json_put_text(json, "transactionReference", name);
    put_merchant(account, json);
    put_narrative(account, json);
    put_value(step, json);
}

static bool is_partial(const char *path)
{
    return strstr(path, "/partial") != NULL;
}

static void put_action(const struct connector_step *step, struct json_writer *json)
{
    char name[CONNECTOR_NAME_BYTES];
    if (!is_partial(step->carry))
        return;
    connector_order_name(step, name);
    json_put_text(json, "reference", name);
    put_value(step, json);
}

static bool is_action(const struct connector_step *step)
{
    return step->round > 0 && step->operation >= CONNECTOR_ABANDON &&
           strncmp(step->carry, "/paymentQueries/", 16) != 0;
}

static enum err put_body(const struct connector_account *account, const struct connector_step *step,
                         struct connector_request *request)
{
    size_t capacity;
    struct json_writer json;
    uint8_t *bytes = secret_buffer(request->body, &capacity);
    if (strcmp(request->method, "GET") == 0)
        return OK;
    json_begin(&json, bytes, capacity);
    json_open_object(&json, NULL);
    if (step->operation == CONNECTOR_TOKENISE)
        put_card(account, step, &json);
    else if (step->operation == CONNECTOR_CONFIRM)
        put_payment(account, step, &json);
    else if (step->operation == CONNECTOR_LINK)
        put_page(account, step, &json);
    else
        put_action(step, &json);
    json_close(&json);
    secret_set_length(request->body, json.length);
    return json.err;
}

static enum err check_step(const struct connector_account *account, const struct connector_step *step)
{
    char id[LIMIT_TOKEN_BYTES], token[LIMIT_TOKEN_BYTES + 64];
    size_t length = strnlen(account->merchant, LIMIT_NAME_BYTES);
    if (length == 0 || length > ENTITY_MAX || step->operation == CONNECTOR_SUBSCRIBE)
        return ERR_RANGE;
    if (step->operation == CONNECTOR_TOKENISE)
        return OK;
    if (step->amount_minor < 1 || step->amount_minor > LIMIT_AMOUNT_MINOR ||
        !money_is_currency(step->currency) || strstr(ODD_CURRENCIES, step->currency))
        return ERR_RANGE;
    bool needs_token = step->operation == CONNECTOR_CREATE || step->operation == CONNECTOR_CONFIRM;
    if (needs_token && !give_token(step->token, token, sizeof(token)))
        return ERR_RANGE;
    bool needs_order = step->operation != CONNECTOR_CREATE && step->operation != CONNECTOR_LINK;
    return needs_order && !connector_take_id(step->order_ref, "cap-", id, sizeof(id)) ? ERR_RANGE : OK;
}

static const char *media_type(const struct connector_step *step, const struct connector_request *request)
{
    if (step->operation == CONNECTOR_TOKENISE)
        return VERIFIED_TYPE;
    if (step->operation == CONNECTOR_LINK)
        return PAGES_TYPE;
    if (strncmp(request->path, "/paymentQueries/", 16) == 0)
        return QUERY_TYPE;
    return strncmp(request->path, "/api/", 5) == 0 ? JSON_TYPE : CARD_TYPE;
}

static enum err put_headers(const struct connector_step *step, struct connector_request *request)
{
    char key[CONNECTOR_STEP_KEY_BYTES];
    const char *type = media_type(step, request);
    enum err err = connector_header(request, "Accept", type);
    if (!err && strcmp(request->method, "GET") != 0)
        err = connector_header(request, "Content-Type", type);
    if (!err && strcmp(type, JSON_TYPE) == 0)
        err = connector_header(request, "WP-Api-Version", API_VERSION);
    connector_step_key(step, key);
    if (!err && step->operation == CONNECTOR_LINK)
        err = connector_header(request, "WP-CorrelationId", key);
    return err;
}

static void put_path(const struct connector_step *step, struct connector_request *request)
{
    static const char *const paths[CONNECTOR_OPERATIONS] = {
        [CONNECTOR_TOKENISE] = "/verifiedTokens/oneTime",
        [CONNECTOR_CONFIRM] = "/api/payments",
        [CONNECTOR_LINK] = "/payment_pages",
    };
    bool is_query = !paths[step->operation] && !is_action(step);
    request->method = is_query ? "GET" : "POST";
    if (step->round > 0)
        snprintf(request->path, sizeof(request->path), "%s", step->carry);
    else if (is_query)
        snprintf(request->path, sizeof(request->path), "/paymentQueries/payments?transactionReference=%s",
                 step->order_ref);
    else
        snprintf(request->path, sizeof(request->path), "%s", paths[step->operation]);
}

static enum err worldpay_build(const struct connector_account *account, const struct connector_step *step,
                               struct connector_request *request, struct connector_verdict *verdict)
{
    bool is_question = step->operation == CONNECTOR_STATUS || step->operation == CONNECTOR_ABANDON;
    if (is_question && step->order_ref[0] == '\0') {
        connector_verdict_set(verdict, GATEWAY_DONE, ORDER_UNKNOWN_TO_GATEWAY, REASON_NONE);
        return ERR_EMPTY;
    }
    enum err err = check_step(account, step);
    if (err)
        return err;
    if (step->operation ==
        CONNECTOR_CREATE) { /* ours, so that it can be found even if every answer was lost */
        connector_verdict_set(verdict, GATEWAY_DONE, ORDER_OPEN, REASON_NONE);
        connector_order_name(step, verdict->order_ref);
        return ERR_EMPTY;
    }
    request->has_card = step->operation == CONNECTOR_TOKENISE;
    put_path(step, request);
    err = put_headers(step, request);
    return err ? err : put_body(account, step, request);
}

/* --- hearing the answer --- */

/* refusalCode. What is not here is a decline without a reason. */
static const struct {
    const char *code;
    enum gateway_outcome outcome;
    enum gateway_reason reason;
} refusal_rows[] = {
    {"3", GATEWAY_FAILED, REASON_CONFIGURATION}, /* no such merchant */
    {"14", GATEWAY_DECLINED, REASON_WRONG_NUMBER},
    {"15", GATEWAY_DECLINED, REASON_WRONG_NUMBER},
    {"19", GATEWAY_DECLINED, REASON_PROCESSING_ERROR},
    {"20", GATEWAY_DECLINED, REASON_PROCESSING_ERROR},
    {"28", GATEWAY_DECLINED, REASON_PROCESSING_ERROR},
    {"30", GATEWAY_DECLINED, REASON_PROCESSING_ERROR},
    {"33", GATEWAY_DECLINED, REASON_EXPIRED},
    {"41", GATEWAY_DECLINED, REASON_LOST_OR_STOLEN},
    {"43", GATEWAY_DECLINED, REASON_LOST_OR_STOLEN},
    {"51", GATEWAY_DECLINED, REASON_INSUFFICIENT_FUNDS},
    {"54", GATEWAY_DECLINED, REASON_EXPIRED},
    {"55", GATEWAY_DECLINED, REASON_WRONG_CVV},
    {"56", GATEWAY_DECLINED, REASON_WRONG_NUMBER},
    {"58", GATEWAY_FAILED, REASON_CONFIGURATION}, /* not permitted to this acquirer or terminal */
    {"61", GATEWAY_DECLINED, REASON_LIMIT},
    {"65", GATEWAY_DECLINED, REASON_NEEDS_AUTHENTICATION},
};

static const struct {
    const char *outcome;
    enum gateway_outcome means;
    enum gateway_reason reason;
} outcome_rows[] = {
    {"authorized", GATEWAY_DONE, REASON_NONE},
    {"sentForSettlement", GATEWAY_DONE, REASON_NONE},
    {"refused", GATEWAY_DECLINED, REASON_NONE}, /* the reason follows */
    {"fraudHighRisk", GATEWAY_DECLINED, REASON_DECLINED},
    {"3dsDeviceDataRequired", GATEWAY_DECLINED, REASON_NEEDS_AUTHENTICATION},
    {"3dsChallenged", GATEWAY_DECLINED, REASON_NEEDS_AUTHENTICATION},
    {"3dsAuthenticationFailed", GATEWAY_DECLINED, REASON_NEEDS_AUTHENTICATION},
    {"3dsUnavailable", GATEWAY_DECLINED, REASON_NEEDS_AUTHENTICATION},
};

/* lastEvent of a payment that was queried. */
static const struct event_row {
    const char *event;
    enum gateway_order_state state; /* AUTHORISED of a payment that settles by itself is told as PENDING */
    bool is_refund;
    bool is_partial_refund;
} event_rows[] = {
    {"authorizationRequested", ORDER_PENDING, false, false},
    {"authorizationSucceeded", ORDER_AUTHORISED, false, false},
    {"authorizationTimedOut", ORDER_PENDING, false, false},
    {"authorizationRefused", ORDER_OPEN, false, false},
    {"authorizationFailed", ORDER_OPEN, false, false},
    {"saleRequested", ORDER_PENDING, false, false},
    {"saleSucceeded", ORDER_SUCCEEDED, false, false},
    {"saleTimedOut", ORDER_PENDING, false, false},
    {"saleRefused", ORDER_OPEN, false, false},
    {"saleFailed", ORDER_OPEN, false, false},
    {"settlementRequested", ORDER_SUCCEEDED, false, false},
    {"settlementRequestSubmitted", ORDER_SUCCEEDED, false, false},
    {"settlementSucceeded", ORDER_SUCCEEDED, false, false},
    {"settlementFailed", ORDER_PENDING, false, false},
    {"settlementRequestSubmissionFailed", ORDER_PENDING, false, false},
    {"cancellationRequested", ORDER_CANCELLED, false, false},
    {"cancellationRequestSubmitted", ORDER_CANCELLED, false, false},
    {"cancellationTimedOut", ORDER_PENDING, false, false},
    {"cancelled", ORDER_CANCELLED, false, false},
    {"expired", ORDER_CANCELLED, false, false},
    {"reversalRequested", ORDER_CANCELLED, false, false},
    {"reversalRequestSubmitted", ORDER_CANCELLED, false, false},
    {"reversalTimedOut", ORDER_PENDING, false, false},
    {"refundRequested", ORDER_SUCCEEDED, true, false},
    {"refundRequestSubmitted", ORDER_SUCCEEDED, true, false},
    {"refundSucceeded", ORDER_SUCCEEDED, true, false},
    {"refundFailed", ORDER_SUCCEEDED, false, false},
    {"refundRequestSubmissionFailed", ORDER_SUCCEEDED, false, false},
    {"partialRefundRequested", ORDER_SUCCEEDED, false, true},
    {"partialRefundRequestSubmitted", ORDER_SUCCEEDED, false, true},
    {"partialRefundSucceeded", ORDER_SUCCEEDED, false, true},
};

/* Where in a card a schema fault stands. */
static const struct {
    const char *field;
    enum gateway_reason reason;
} field_rows[] = {
    {"cardNumber", REASON_WRONG_NUMBER},
    {"cvc", REASON_WRONG_CVV},
    {"cardExpiryDate", REASON_EXPIRED},
};

static const struct {
    unsigned status;
    enum gateway_outcome outcome;
    enum gateway_reason reason;
    enum connector_again again;
} status_rows[] = {
    {400, GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_FINAL},
    {401, GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_FINAL},
    {403, GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_FINAL},
    {404, GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_FINAL},
    {406, GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_FINAL},
    {415, GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_FINAL},
    {429, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE, CONNECTOR_AGAIN},
    {500, GATEWAY_NO_ANSWER, REASON_UNAVAILABLE, CONNECTOR_AGAIN}, /* and every other 5xx */
};

static void read_token(const struct connector_step *step, const struct connector_answer *answer, json_t *root,
                       struct connector_verdict *verdict)
{
    bool is_verified = answer->status != 206 && reply_is(root, "outcome", "verified");
    bool is_refused = answer->status == 206 && reply_is(root, "outcome", "not verified");
    connector_verdict_set(verdict, is_refused ? GATEWAY_DECLINED : GATEWAY_DONE, ORDER_NONE,
                          is_refused ? REASON_DECLINED : REASON_NONE);
    if (is_refused)
        return;
    if (!is_verified ||
        !take_token(reply_text(REPLY_AT(root, "_links", "tokens:token"), "href"), verdict->token))
        connector_bad_answer(step, verdict);
}

static void read_refusal(const json_t *root, struct connector_verdict *verdict)
{
    const json_t *risks = json_object_get(root, "riskFactors");
    verdict->reason = REASON_DECLINED;
    for (size_t i = 0; i < sizeof(refusal_rows) / sizeof(refusal_rows[0]); i++) {
        if (!reply_is(root, "refusalCode", refusal_rows[i].code))
            continue;
        verdict->outcome = refusal_rows[i].outcome;
        verdict->reason = refusal_rows[i].reason;
    }
    for (size_t i = 0; verdict->reason == REASON_DECLINED && i < json_array_size(risks); i++) {
        const json_t *risk = json_array_get(risks, i);
        if (reply_is(risk, "type", "cvc") && reply_is(risk, "risk", "notMatched"))
            verdict->reason = REASON_WRONG_CVV;
    }
}

static void read_payment(const struct connector_step *step, const json_t *root,
                         struct connector_verdict *verdict)
{
    connector_bad_answer(step, verdict);
    if (!reply_is(root, "transactionReference", step->order_ref) || json_object_get(root, "amounts"))
        return; /* "amounts" comes with a part that was authorised */
    for (size_t i = 0; i < sizeof(outcome_rows) / sizeof(outcome_rows[0]); i++) {
        if (!reply_is(root, "outcome", outcome_rows[i].outcome))
            continue;
        bool is_done = outcome_rows[i].means == GATEWAY_DONE;
        /* The amount is not in this answer: the question that follows tells whether it is ours. */
        connector_verdict_set(verdict, outcome_rows[i].means, is_done ? ORDER_PENDING : ORDER_OPEN,
                              outcome_rows[i].reason);
        if (!is_done && verdict->reason == REASON_NONE)
            read_refusal(root, verdict);
    }
}

/* --- queries --- */

static const struct event_row *event_of(const json_t *payment)
{
    for (size_t i = 0; i < sizeof(event_rows) / sizeof(event_rows[0]); i++) {
        if (reply_is(payment, "lastEvent", event_rows[i].event))
            return &event_rows[i];
    }
    return NULL;
}

static int64_t amount_of(json_t *payment)
{
    const json_t *amount = REPLY_AT(payment, "value", "amount");
    return json_is_integer(amount) ? json_integer_value(amount) : -1;
}

/* Ours, of our currency, and of our amount where the whole order is meant. */
static bool is_ours(const struct connector_step *step, json_t *payment)
{
    return reply_is(payment, "transactionReference", step->order_ref) &&
           reply_is(json_object_get(payment, "value"), "currency", step->currency) &&
           (step->operation >= CONNECTOR_CAPTURE ? amount_of(payment) >= step->amount_minor
                                                 : amount_of(payment) == step->amount_minor);
}

static enum gateway_order_state state_of(const struct connector_step *step, const struct event_row *event)
{
    bool may_be_held = step->is_authorise_only || step->operation >= CONNECTOR_CAPTURE;
    return event->state == ORDER_AUTHORISED && !may_be_held ? ORDER_PENDING : event->state;
}

/* Of all payments with our name the one that moved most money is the truth. NULL: none, or (*is_strange) one that does
 * not fit, and then nothing here is to be believed. */
static json_t *choose(const struct connector_step *step, json_t *root, bool *is_strange)
{
    static const int weight[ORDER_STATES] = {[ORDER_OPEN] = 1,
                                             [ORDER_CANCELLED] = 2,
                                             [ORDER_PENDING] = 3,
                                             [ORDER_AUTHORISED] = 4,
                                             [ORDER_SUCCEEDED] = 5};
    const json_t *payments = REPLY_AT(root, "_embedded", "payments");
    json_t *best = NULL;
    int best_weight = 0;
    *is_strange = !json_is_array(payments);
    for (size_t i = 0; i < json_array_size(payments); i++) {
        json_t *payment = json_array_get(payments, i);
        const struct event_row *event = event_of(payment);
        if (!event || !is_ours(step, payment)) {
            *is_strange = true;
            return NULL;
        }
        if (weight[event->state] <= best_weight)
            continue;
        best_weight = weight[event->state];
        best = payment;
    }
    return best;
}

static void go_on(const char *path, struct connector_verdict *verdict)
{
    connector_verdict_set(verdict, GATEWAY_NO_ANSWER, ORDER_NONE, REASON_UNAVAILABLE);
    verdict->again = CONNECTOR_NEXT;
    snprintf(verdict->carry, sizeof(verdict->carry), "%s", path);
}

/* Follows one of the payment's links; where the summary has none, the payment itself is asked for first. */
static void follow(const struct connector_step *step, json_t *payment, const char *action, const char *link,
                   struct connector_verdict *verdict)
{
    char path[CONNECTOR_CARRY_BYTES], id[LIMIT_TOKEN_BYTES];
    if (take_path(reply_text(REPLY_AT(payment, "_actions", action), "href"), path) ||
        take_path(reply_text(REPLY_AT(payment, "_links", link), "href"), path)) {
        go_on(path, verdict);
        return;
    }
    connector_verdict_set(verdict, GATEWAY_FAILED, ORDER_NONE,
                          REASON_PROCESSING_ERROR); /* not offered: too late */
    if (step->round > 0 || !connector_take_id(reply_text(payment, "paymentId"), "", id, sizeof(id)))
        return;
    snprintf(path, sizeof(path), "/paymentQueries/payments/%s", id);
    go_on(path, verdict);
}

static void refund(const struct connector_step *step, json_t *payment, struct connector_verdict *verdict)
{
    const struct event_row *event = event_of(payment);
    bool is_whole = amount_of(payment) == step->amount_minor;
    if (is_whole && event->is_refund) { /* by a try whose answer was lost */
        connector_verdict_set(verdict, GATEWAY_DONE, ORDER_NONE, REASON_NONE);
        connector_order_name(step, verdict->order_ref);
    } else if (event->is_refund || event->is_partial_refund) {
        /* Whether that was this order of ours, Worldpay does not tell. */
        connector_verdict_set(verdict, GATEWAY_NO_ANSWER, ORDER_NONE, REASON_PROCESSING_ERROR);
    } else if (is_whole) {
        follow(step, payment, "refundPayment", "cardPayments:refund", verdict);
    } else {
        follow(step, payment, "partiallyRefundPayment", "cardPayments:partialRefund", verdict);
    }
}

static void plan_change(const struct connector_step *step, json_t *payment, enum gateway_order_state state,
                        struct connector_verdict *verdict)
{
    bool is_whole = payment && amount_of(payment) == step->amount_minor;
    bool is_unknown = state == ORDER_UNKNOWN_TO_GATEWAY || state == ORDER_PENDING;
    connector_verdict_set(verdict, is_unknown ? GATEWAY_UNAVAILABLE : GATEWAY_FAILED, state,
                          is_unknown ? REASON_UNAVAILABLE : REASON_PROCESSING_ERROR);
    if ((step->operation == CONNECTOR_CAPTURE && state == ORDER_SUCCEEDED) ||
        (step->operation == CONNECTOR_VOID && state == ORDER_CANCELLED))
        connector_verdict_set(verdict, GATEWAY_DONE, state, REASON_NONE);
    else if (step->operation == CONNECTOR_CAPTURE && state == ORDER_AUTHORISED)
        follow(step, payment, is_whole ? "settlePayment" : "partiallySettlePayment",
               is_whole ? "cardPayments:settle" : "cardPayments:partialSettle", verdict);
    else if (step->operation == CONNECTOR_VOID && state == ORDER_AUTHORISED)
        follow(step, payment, "cancelPayment", "cardPayments:cancel", verdict);
    else if (step->operation == CONNECTOR_VOID && state == ORDER_SUCCEEDED)
        follow(step, payment, "reversePayment", "cardPayments:reverse", verdict);
    else if (step->operation == CONNECTOR_REFUND && state == ORDER_SUCCEEDED)
        refund(step, payment, verdict);
}

static void read_query(const struct connector_step *step, json_t *root, struct connector_verdict *verdict)
{
    bool is_strange = false;
    /* In a later round the payment itself was asked for, not a list. */
    json_t *payment = step->round == 0 ? choose(step, root, &is_strange) : root;
    if (step->round > 0)
        is_strange = !event_of(payment) || !is_ours(step, payment);
    if (is_strange) {
        connector_bad_answer(step, verdict);
        return;
    }
    enum gateway_order_state state = payment ? state_of(step, event_of(payment)) : ORDER_UNKNOWN_TO_GATEWAY;
    if (step->operation >= CONNECTOR_CAPTURE) {
        plan_change(step, payment, state, verdict);
        return;
    }
    connector_verdict_set(verdict, GATEWAY_DONE, state, REASON_NONE);
    if (step->operation != CONNECTOR_ABANDON)
        return;
    if (state == ORDER_AUTHORISED)
        follow(step, payment, "cancelPayment", "cardPayments:cancel", verdict);
    else if (state == ORDER_SUCCEEDED || state == ORDER_PENDING)
        verdict->outcome = GATEWAY_FAILED;
    else
        connector_verdict_set(verdict, GATEWAY_DONE, ORDER_CANCELLED, REASON_NONE); /* nothing to cancel */
}

/* 202: accepted. The Payments API says for what, Card Payments says nothing more. */
static void read_action(const struct connector_step *step, const struct connector_answer *answer,
                        json_t *root, struct connector_verdict *verdict)
{
    static const struct {
        enum connector_operation operation;
        const char *outcome;
        enum gateway_order_state state;
    } rows[] = {
        {CONNECTOR_CAPTURE, "sentForSettlement", ORDER_SUCCEEDED},
        {CONNECTOR_VOID, "sentForCancellation", ORDER_CANCELLED},
        {CONNECTOR_VOID, "sentForReversal", ORDER_CANCELLED},
        {CONNECTOR_ABANDON, "sentForCancellation", ORDER_CANCELLED},
        {CONNECTOR_REFUND, "sentForRefund", ORDER_NONE},
        {CONNECTOR_REFUND, "sentForPartialRefund", ORDER_NONE},
    };
    bool is_silent = strncmp(step->carry, "/api/", 5) != 0;
    connector_bad_answer(step, verdict);
    if (answer->status != 202 || !json_is_object(root))
        return;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].operation != step->operation ||
            (!is_silent && !reply_is(root, "outcome", rows[i].outcome)))
            continue;
        connector_verdict_set(verdict, GATEWAY_DONE, rows[i].state, REASON_NONE);
        if (step->operation == CONNECTOR_REFUND)
            connector_order_name(step, verdict->order_ref);
    }
}

static void read_page(const struct connector_step *step, const json_t *root,
                      struct connector_verdict *verdict)
{
    connector_verdict_set(verdict, GATEWAY_DONE, ORDER_OPEN, REASON_NONE);
    connector_order_name(step, verdict->order_ref);
    if (!connector_take_url(reply_text(root, "url"), verdict->url, sizeof(verdict->url)))
        connector_bad_answer(step, verdict);
}

static bool read_field(const struct connector_step *step, const json_t *root,
                       struct connector_verdict *verdict)
{
    const json_t *faults = json_object_get(root, "validationErrors");
    for (size_t k = 0; step->operation == CONNECTOR_TOKENISE && k < json_array_size(faults); k++) {
        const char *path = reply_text(json_array_get(faults, k), "jsonPath");
        for (size_t i = 0; path && i < sizeof(field_rows) / sizeof(field_rows[0]); i++) {
            if (!strstr(path, field_rows[i].field))
                continue;
            connector_verdict_set(verdict, GATEWAY_DECLINED, ORDER_NONE, field_rows[i].reason);
            return true;
        }
    }
    return false;
}

static void read_error(const struct connector_step *step, const struct connector_answer *answer,
                       const json_t *root, struct connector_verdict *verdict)
{
    unsigned status = answer->status >= 500 ? 500 : answer->status;
    bool is_theirs = reply_text(root, "errorName") || status >= 500 || status == 429 || status == 401;
    connector_bad_answer(step, verdict);
    if (!is_theirs || (status == 400 && read_field(step, root, verdict)))
        return;
    for (size_t i = 0; i < sizeof(status_rows) / sizeof(status_rows[0]); i++) {
        if (status_rows[i].status != status)
            continue;
        /* A query that failed has changed nothing. */
        bool is_harmless =
            step->operation <= CONNECTOR_CREATE ||
            (step->operation >= CONNECTOR_CAPTURE && step->operation != CONNECTOR_LINK && !is_action(step));
        bool is_known = is_harmless && status_rows[i].outcome == GATEWAY_NO_ANSWER;
        connector_verdict_set(verdict, is_known ? GATEWAY_UNAVAILABLE : status_rows[i].outcome, ORDER_NONE,
                              status_rows[i].reason);
        verdict->again = status_rows[i].again;
    }
    verdict->wait_ms = connector_retry_after_ms(answer);
}

static void worldpay_read(const struct connector_account *account, const struct connector_step *step,
                          const struct connector_answer *answer, struct connector_verdict *verdict)
{
    json_t *root = reply_parse(answer);
    (void)account;
    if (answer->status < 200 || answer->status > 206)
        read_error(step, answer, root, verdict);
    else if (step->operation == CONNECTOR_TOKENISE)
        read_token(step, answer, root, verdict);
    else if (step->operation == CONNECTOR_CONFIRM)
        read_payment(step, root, verdict);
    else if (step->operation == CONNECTOR_LINK)
        read_page(step, root, verdict);
    else if (is_action(step))
        read_action(step, answer, root, verdict);
    else
        read_query(step, root, verdict);
    json_decref(root);
}

/* Worldpay's keys do not say whether they are live; the host does. */
static bool worldpay_key_is_live(const uint8_t *key, size_t length)
{
    (void)key;
    (void)length;
    return false;
}

const struct connector worldpay_connector = {
    .name = "worldpay",
    .operations = CONNECTOR_PAYMENT_OPERATIONS | 1u << CONNECTOR_CAPTURE | 1u << CONNECTOR_VOID |
                  1u << CONNECTOR_REFUND | 1u << CONNECTOR_LINK,
    .is_replay_safe = false,
    .key_is_live = worldpay_key_is_live,
    .authorise = connector_authorise_basic,
    .build = worldpay_build,
    .read = worldpay_read,
};
