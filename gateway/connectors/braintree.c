#include "gateway/connectors/braintree.h"

#include "base/log.h"
#include "gateway/json_writer.h"
#include "gateway/money.h"
#include "gateway/reply_json.h"

#include <stdio.h>
#include <string.h>

#define BRAINTREE_VERSION "2019-01-01"

#define TRANSACTION                                                                                          \
    "{id orderId status amount{value currencyCode} statusHistory{"                                           \
    "... on ProcessorDeclinedEvent{processorResponse{legacyCode}} "                                          \
    "... on GatewayRejectedEvent{gatewayRejectionReason}}}"

static const char tokenise_query[] =
    "mutation($input:TokenizeCreditCardInput!){tokenizeCreditCard(input:$input)"
    "{paymentMethod{id usage}}}";
static const char charge_query[] =
    "mutation($input:ChargePaymentMethodInput!){chargePaymentMethod(input:$input)"
    "{transaction" TRANSACTION "}}";
static const char authorise_query[] =
    "mutation($input:AuthorizePaymentMethodInput!){authorizePaymentMethod(input:$input)"
    "{transaction" TRANSACTION "}}";
static const char search_query[] = "query($input:TransactionSearchInput!){search{transactions(input:$input)"
                                   "{edges{node" TRANSACTION "}}}}";
/* For a change: with what was given back already. */
static const char order_query[] = "query($input:TransactionSearchInput!){search{transactions(input:$input)"
                                  "{edges{node{id orderId status amount{value currencyCode} "
                                  "refunds{id orderId status amount{value currencyCode}}}}}}}";
static const char capture_query[] =
    "mutation($input:CaptureTransactionInput!){captureTransaction(input:$input)"
    "{transaction{id orderId status amount{value currencyCode}}}}";
static const char reverse_query[] =
    "mutation($input:ReverseTransactionInput!){reverseTransaction(input:$input)"
    "{reversal{... on Transaction{id status} ... on Refund{id status}}}}";
static const char refund_query[] = "mutation($input:RefundTransactionInput!){refundTransaction(input:$input)"
                                   "{refund{id orderId status amount{value currencyCode}}}}";

/* --- saying a step --- */

static void put_card(const struct connector_step *step, struct json_writer *json)
{
    const struct gateway_tokenise_msg *card = step->card;
    char text[16];
    json_open_object(json, "creditCard");
    json_put_digits(json, "number", card->number, card->number_length);
    snprintf(text, sizeof(text), "%02u", card->expiry_month % 100u);
    json_put_text(json, "expirationMonth", text);
    snprintf(text, sizeof(text), "20%02u", card->expiry_year % 100u);
    json_put_text(json, "expirationYear", text);
    if (card->cvv_length > 0)
        json_put_digits(json, "cvv", card->cvv, card->cvv_length);
    json_close(json);
}

static void put_charge(const struct connector_account *account, const struct connector_step *step,
                       struct json_writer *json)
{
    char amount[MONEY_TEXT_BYTES];
    money_text(step->amount_minor, step->currency, amount);
    json_put_text(json, "paymentMethodId", step->token);
    json_open_object(json, "transaction");
    json_put_text(json, "amount", amount);
    json_put_text(json, "orderId", step->order_ref);
    json_put_text(json, "paymentInitiator", "MOTO");
    if (account->merchant[0])
        json_put_text(json, "merchantAccountId", account->merchant);
    json_close(json);
}

/* Round 1 of a change: the carry is the transaction's id, out of the search before. */
static bool is_change(const struct connector_step *step)
{
    return step->round > 0 && step->operation >= CONNECTOR_ABANDON;
}

static void put_change(const struct connector_step *step, struct json_writer *json)
{
    char amount[MONEY_TEXT_BYTES], name[CONNECTOR_NAME_BYTES];
    bool is_refund = step->operation == CONNECTOR_REFUND;
    json_put_text(json, "transactionId", step->carry);
    if (!is_refund && step->operation != CONNECTOR_CAPTURE)
        return;
    money_text(step->amount_minor, step->currency, amount);
    connector_order_name(step, name);
    json_open_object(json, is_refund ? "refund" : "transaction");
    json_put_text(json, "amount", amount);
    if (is_refund)
        json_put_text(json, "orderId", name); /* by which a refund whose answer was lost is known again */
    json_close(json);
}

static void put_search(const struct connector_step *step, struct json_writer *json)
{
    json_open_object(json, "orderId");
    json_put_text(json, "is", step->order_ref);
    json_close(json);
}

static const char *query_of(const struct connector_step *step)
{
    switch (step->operation) {
    case CONNECTOR_TOKENISE:
        return tokenise_query;
    case CONNECTOR_CONFIRM:
        return step->is_authorise_only ? authorise_query : charge_query;
    case CONNECTOR_CAPTURE:
        return is_change(step) ? capture_query : order_query;
    case CONNECTOR_ABANDON:
        return is_change(step) ? reverse_query : search_query;
    case CONNECTOR_VOID:
        return is_change(step) ? reverse_query : order_query;
    case CONNECTOR_REFUND:
        return is_change(step) ? refund_query : order_query;
    default:
        return search_query;
    }
}

static enum err put_body(const struct connector_account *account, const struct connector_step *step,
                         struct connector_request *request)
{
    size_t capacity;
    struct json_writer json;
    uint8_t *bytes = secret_buffer(request->body, &capacity);
    json_begin(&json, bytes, capacity);
    json_open_object(&json, NULL);
    json_put_text(&json, "query", query_of(step));
    json_open_object(&json, "variables");
    json_open_object(&json, "input");
    if (step->operation == CONNECTOR_TOKENISE)
        put_card(step, &json);
    else if (step->operation == CONNECTOR_CONFIRM)
        put_charge(account, step, &json);
    else if (is_change(step))
        put_change(step, &json);
    else
        put_search(step, &json);
    json_close(&json);
    json_close(&json);
    json_close(&json);
    secret_set_length(request->body, json.length);
    return json.err;
}

static enum err check_step(const struct connector_step *step)
{
    char id[LIMIT_TOKEN_BYTES];
    bool needs_token = step->operation == CONNECTOR_CREATE || step->operation == CONNECTOR_CONFIRM;
    if (step->operation == CONNECTOR_TOKENISE)
        return OK;
    if (step->operation == CONNECTOR_SUBSCRIBE || step->operation == CONNECTOR_LINK)
        return ERR_RANGE; /* neither is in the schema */
    if (step->amount_minor < 1 || step->amount_minor > LIMIT_AMOUNT_MINOR ||
        !money_is_currency(step->currency))
        return ERR_RANGE;
    if (needs_token && !connector_take_id(step->token, "", id, sizeof(id)))
        return ERR_RANGE;
    bool needs_order = step->operation > CONNECTOR_CREATE;
    return needs_order && !connector_take_id(step->order_ref, "cap-", id, sizeof(id)) ? ERR_RANGE : OK;
}

/* The order's name: ours, so that it can be searched even if every answer was lost. */
static void name_order(const struct connector_step *step, struct connector_verdict *verdict)
{
    connector_verdict_set(verdict, GATEWAY_DONE, ORDER_OPEN, REASON_NONE);
    connector_order_name(step, verdict->order_ref);
}

static enum err braintree_build(const struct connector_account *account, const struct connector_step *step,
                                struct connector_request *request, struct connector_verdict *verdict)
{
    bool is_question = step->operation == CONNECTOR_STATUS || step->operation == CONNECTOR_ABANDON;
    if (is_question && step->order_ref[0] == '\0') {
        connector_verdict_set(verdict, GATEWAY_DONE, ORDER_UNKNOWN_TO_GATEWAY, REASON_NONE);
        return ERR_EMPTY;
    }
    enum err err = check_step(step);
    if (err)
        return err;
    if (step->operation == CONNECTOR_CREATE) {
        name_order(step, verdict);
        return ERR_EMPTY;
    }
    request->method = "POST";
    request->has_card = step->operation == CONNECTOR_TOKENISE;
    snprintf(request->path, sizeof(request->path), "/graphql");
    err = connector_header(request, "Accept", "application/json");
    if (!err)
        err = connector_header(request, "Content-Type", "application/json");
    if (!err)
        err = connector_header(request, "Braintree-Version", BRAINTREE_VERSION);
    return err ? err : put_body(account, step, request);
}

/* --- hearing the answer --- */

static const struct {
    const char *status;
    enum gateway_order_state state;
} status_rows[] = {
    {"SUBMITTED_FOR_SETTLEMENT", ORDER_SUCCEEDED},
    {"SETTLING", ORDER_SUCCEEDED},
    {"SETTLED", ORDER_SUCCEEDED},
    {"SETTLEMENT_PENDING", ORDER_SUCCEEDED},
    {"SETTLEMENT_CONFIRMED", ORDER_SUCCEEDED},
    {"AUTHORIZED", ORDER_AUTHORISED}, /* of a charge, which submits by itself, it is told as PENDING */
    {"AUTHORIZING", ORDER_PENDING},
    {"PROCESSOR_DECLINED", ORDER_OPEN},
    {"GATEWAY_REJECTED", ORDER_OPEN},
    {"SETTLEMENT_DECLINED", ORDER_OPEN},
    {"FAILED", ORDER_OPEN},
    {"AUTHORIZATION_EXPIRED", ORDER_CANCELLED},
    {"VOIDED", ORDER_CANCELLED},
};

struct word_row {
    const char *word;
    enum gateway_reason reason;
};

static const struct word_row processor_rows[] = {
    {"2001", REASON_INSUFFICIENT_FUNDS},
    {"2002", REASON_LIMIT},
    {"2003", REASON_LIMIT},
    {"2004", REASON_EXPIRED},
    {"2005", REASON_WRONG_NUMBER},
    {"2006", REASON_EXPIRED},
    {"2007", REASON_WRONG_NUMBER},
    {"2008", REASON_WRONG_NUMBER},
    {"2010", REASON_WRONG_CVV},
    {"2012", REASON_LOST_OR_STOLEN},
    {"2013", REASON_LOST_OR_STOLEN},
    {"2047", REASON_LOST_OR_STOLEN},
    {"2053", REASON_LOST_OR_STOLEN},
    {"2099", REASON_NEEDS_AUTHENTICATION},
    {"3000", REASON_PROCESSING_ERROR},
};

/* "DUPLICATE" is not here: it says that the same was charged a moment ago, perhaps by us. */
static const struct word_row rejection_rows[] = {
    {"CVV", REASON_WRONG_CVV},
    {"AVS_AND_CVV", REASON_WRONG_CVV},
    {"THREE_D_SECURE", REASON_NEEDS_AUTHENTICATION},
    {"TOKEN_ISSUANCE", REASON_CONFIGURATION},
};

/* Where in a card a validation error stands. */
static const struct word_row field_rows[] = {
    {"number", REASON_WRONG_NUMBER},
    {"cvv", REASON_WRONG_CVV},
    {"expirationMonth", REASON_EXPIRED},
    {"expirationYear", REASON_EXPIRED},
};

static const struct class_row {
    const char *error_class;
    enum gateway_outcome outcome;
    enum gateway_reason reason;
    enum connector_again again;
} class_rows[] = {
    {"VALIDATION", GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_FINAL},
    {"AUTHENTICATION", GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_LOGIN},
    {"AUTHORIZATION", GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_FINAL},
    {"NOT_FOUND", GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_FINAL},
    {"NOT_IMPLEMENTED", GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_FINAL},
    {"UNSUPPORTED_CLIENT", GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_FINAL},
    {"RESOURCE_LIMIT", GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE, CONNECTOR_AGAIN},
    {"SERVICE_AVAILABILITY", GATEWAY_NO_ANSWER, REASON_UNAVAILABLE, CONNECTOR_AGAIN},
    {"INTERNAL", GATEWAY_NO_ANSWER, REASON_UNAVAILABLE, CONNECTOR_AGAIN},
    {"UNKNOWN", GATEWAY_NO_ANSWER, REASON_UNAVAILABLE, CONNECTOR_AGAIN},
};

static bool find_word(const struct word_row *rows, size_t count, const char *word,
                      enum gateway_reason *reason)
{
    for (size_t i = 0; word && i < count; i++) {
        if (strcmp(rows[i].word, word) == 0) {
            *reason = rows[i].reason;
            return true;
        }
    }
    return false;
}
#define FIND_WORD(rows, word, reason) find_word((rows), sizeof(rows) / sizeof((rows)[0]), (word), (reason))

static void set_class(const struct connector_step *step, const struct class_row *row,
                      struct connector_verdict *verdict)
{
    bool is_harmless = step->operation <= CONNECTOR_CREATE ||
                       (step->operation >= CONNECTOR_CAPTURE && step->round == 0); /* it only searched */
    bool is_known = is_harmless && row->outcome == GATEWAY_NO_ANSWER;
    connector_verdict_set(verdict, is_known ? GATEWAY_UNAVAILABLE : row->outcome, ORDER_NONE, row->reason);
    verdict->again = row->again;
}

static void read_errors(const struct connector_step *step, const json_t *errors,
                        struct connector_verdict *verdict)
{
    const json_t *first = json_object_get(json_array_get(errors, 0), "extensions");
    const json_t *path = json_object_get(first, "inputPath");
    const char *field = json_string_value(json_array_get(path, json_array_size(path) - 1));
    enum gateway_reason reason;
    if (step->operation == CONNECTOR_TOKENISE && reply_is(first, "errorClass", "VALIDATION") &&
        FIND_WORD(field_rows, field, &reason)) {
        connector_verdict_set(verdict, GATEWAY_DECLINED, ORDER_NONE, reason);
        return;
    }
    if (is_change(step) && reply_is(first, "errorClass", "VALIDATION")) { /* not in a state for it */
        connector_verdict_set(verdict, GATEWAY_FAILED, ORDER_NONE, REASON_PROCESSING_ERROR);
        return;
    }
    for (size_t i = 0; i < sizeof(class_rows) / sizeof(class_rows[0]); i++) {
        if (reply_is(first, "errorClass", class_rows[i].error_class)) {
            set_class(step, &class_rows[i], verdict);
            return;
        }
    }
    connector_bad_answer(step, verdict);
}

/* Why a transaction was not paid, out of its history. False: it was rejected as a duplicate. */
static bool read_history(const json_t *transaction, enum gateway_reason *reason)
{
    const json_t *history = json_object_get(transaction, "statusHistory");
    *reason = REASON_DECLINED;
    for (size_t i = 0; i < json_array_size(history); i++) {
        const json_t *event = json_array_get(history, i);
        const char *rejection = reply_text(event, "gatewayRejectionReason");
        const char *code = reply_text(json_object_get(event, "processorResponse"), "legacyCode");
        if (rejection && strcmp(rejection, "DUPLICATE") == 0)
            return false;
        if (FIND_WORD(rejection_rows, rejection, reason) || FIND_WORD(processor_rows, code, reason))
            break;
    }
    return true;
}

/* False: no amount of the step's currency. */
static bool take_amount(const struct connector_step *step, const json_t *payment, int64_t *value)
{
    const json_t *amount = json_object_get(payment, "amount");
    const char *text = reply_text(amount, "value");
    return reply_is(amount, "currencyCode", step->currency) && text &&
           money_parse(text, step->currency, value) == OK;
}

/* ORDER_NONE: not our order, or not its amount. */
static enum gateway_order_state transaction_state(const struct connector_step *step,
                                                  const json_t *transaction)
{
    int64_t value;
    bool is_part = step->operation >= CONNECTOR_CAPTURE; /* a change may be about less than all */
    if (!reply_is(transaction, "orderId", step->order_ref) || !take_amount(step, transaction, &value) ||
        (is_part ? value < step->amount_minor : value != step->amount_minor))
        return ORDER_NONE;
    for (size_t i = 0; i < sizeof(status_rows) / sizeof(status_rows[0]); i++) {
        if (!reply_is(transaction, "status", status_rows[i].status))
            continue;
        bool may_be_held = step->is_authorise_only || is_part;
        return status_rows[i].state == ORDER_AUTHORISED && !may_be_held ? ORDER_PENDING
                                                                        : status_rows[i].state;
    }
    return ORDER_NONE;
}

static void read_charge(const struct connector_step *step, json_t *data, struct connector_verdict *verdict)
{
    const char *mutation = step->is_authorise_only ? "authorizePaymentMethod" : "chargePaymentMethod";
    const json_t *transaction = REPLY_AT(data, mutation, "transaction");
    enum gateway_order_state state = transaction_state(step, transaction);
    enum gateway_reason reason;
    connector_verdict_set(verdict, GATEWAY_DONE, state, REASON_NONE);
    if (state == ORDER_NONE || state == ORDER_CANCELLED) {
        connector_bad_answer(step, verdict);
    } else if (state == ORDER_OPEN && read_history(transaction, &reason)) {
        connector_verdict_set(verdict, GATEWAY_DECLINED, ORDER_OPEN, reason);
    } else if (state == ORDER_OPEN) {
        connector_verdict_set(verdict, GATEWAY_NO_ANSWER, ORDER_NONE, REASON_UNAVAILABLE);
    }
}

/* Of all transactions with our order's name the one that moved most money is the truth. */
static enum gateway_order_state search_state(const struct connector_step *step, const json_t *edges,
                                             enum gateway_reason *reason, const json_t **truth)
{
    static const int weight[ORDER_STATES] = {[ORDER_OPEN] = 1,
                                             [ORDER_CANCELLED] = 2,
                                             [ORDER_PENDING] = 3,
                                             [ORDER_AUTHORISED] = 4,
                                             [ORDER_SUCCEEDED] = 5};
    enum gateway_order_state best = ORDER_UNKNOWN_TO_GATEWAY;
    int best_weight = 0;
    for (size_t i = 0; i < json_array_size(edges); i++) {
        const json_t *node = json_object_get(json_array_get(edges, i), "node");
        enum gateway_order_state state = transaction_state(step, node);
        if (state == ORDER_NONE)
            return ORDER_NONE; /* one that does not fit: nothing here is to be believed */
        if (weight[state] <= best_weight)
            continue;
        best = state;
        *truth = node;
        best_weight = weight[state];
        *reason = REASON_NONE;
        if (state == ORDER_OPEN)
            (void)read_history(node, reason);
    }
    return best;
}

/* Braintree's ids are base64: letters, digits, and perhaps '=' at the end. */
static bool take_global_id(const char *text, char *out)
{
    char id[LIMIT_TOKEN_BYTES];
    size_t length = text ? strcspn(text, "=") : 0;
    if (length == 0 || length >= sizeof(id) - 2 || strspn(text + length, "=") != strlen(text + length) ||
        strlen(text + length) > 2)
        return false;
    snprintf(id, sizeof(id), "%.*s", (int)length, text);
    if (!connector_take_id(id, "", out, LIMIT_TOKEN_BYTES))
        return false;
    memcpy(out + length, text + length, strlen(text + length) + 1);
    return true;
}

static void go_on(const struct connector_step *step, const json_t *transaction,
                  struct connector_verdict *verdict)
{
    char id[LIMIT_TOKEN_BYTES];
    if (!take_global_id(reply_text(transaction, "id"), id)) {
        connector_bad_answer(step, verdict);
        return;
    }
    connector_verdict_set(verdict, GATEWAY_NO_ANSWER, ORDER_NONE, REASON_UNAVAILABLE);
    verdict->again = CONNECTOR_NEXT;
    memcpy(verdict->carry, id, sizeof(id));
}

/* Of a charge: it is not settled yet, so it can be reversed, and it cannot be refunded. */
static bool is_unsettled(const json_t *transaction)
{
    return reply_is(transaction, "status", "SUBMITTED_FOR_SETTLEMENT") ||
           reply_is(transaction, "status", "SETTLEMENT_PENDING");
}

/* The refund that goes by the order's name. */
static const json_t *find_refund(const struct connector_step *step, const json_t *transaction)
{
    char name[CONNECTOR_NAME_BYTES];
    const json_t *refunds = json_object_get(transaction, "refunds");
    connector_order_name(step, name);
    for (size_t i = 0; i < json_array_size(refunds); i++) {
        if (reply_is(json_array_get(refunds, i), "orderId", name))
            return json_array_get(refunds, i);
    }
    return NULL;
}

static void read_refund(const struct connector_step *step, const json_t *refund,
                        struct connector_verdict *verdict)
{
    static const char *const failed[] = {"PROCESSOR_DECLINED", "GATEWAY_REJECTED", "FAILED",
                                         "SETTLEMENT_DECLINED", "VOIDED"};
    char name[CONNECTOR_NAME_BYTES];
    int64_t value;
    connector_order_name(step, name);
    connector_bad_answer(step, verdict);
    if (!reply_is(refund, "orderId", name) || !reply_text(refund, "status") ||
        !take_amount(step, refund, &value) || value != step->amount_minor)
        return;
    connector_verdict_set(verdict, GATEWAY_DONE, ORDER_NONE, REASON_NONE);
    memcpy(verdict->order_ref, name, sizeof(name));
    for (size_t i = 0; i < sizeof(failed) / sizeof(failed[0]); i++) {
        if (reply_is(refund, "status", failed[i]))
            connector_verdict_set(verdict, GATEWAY_FAILED, ORDER_NONE, REASON_PROCESSING_ERROR);
    }
}

/* What was found says whether the change was done before, can be done, or cannot. */
static void plan_change(const struct connector_step *step, enum gateway_order_state state,
                        const json_t *transaction, struct connector_verdict *verdict)
{
    const json_t *refund = find_refund(step, transaction);
    bool is_open = state == ORDER_UNKNOWN_TO_GATEWAY || state == ORDER_PENDING;
    bool is_held = state == ORDER_AUTHORISED, is_taken = state == ORDER_SUCCEEDED;
    bool must_wait =
        is_open || (step->operation == CONNECTOR_REFUND && is_taken && is_unsettled(transaction));
    connector_verdict_set(verdict, must_wait ? GATEWAY_UNAVAILABLE : GATEWAY_FAILED, state,
                          must_wait ? REASON_UNAVAILABLE : REASON_PROCESSING_ERROR);
    if (step->operation == CONNECTOR_REFUND && refund)
        read_refund(step, refund, verdict);
    else if ((step->operation == CONNECTOR_CAPTURE && is_taken) ||
             (step->operation == CONNECTOR_VOID && state == ORDER_CANCELLED))
        connector_verdict_set(verdict, GATEWAY_DONE, state, REASON_NONE); /* an answer that was lost before */
    else if ((step->operation == CONNECTOR_CAPTURE && is_held) ||
             (step->operation == CONNECTOR_VOID && (is_held || (is_taken && is_unsettled(transaction)))) ||
             (step->operation == CONNECTOR_REFUND && is_taken && !must_wait))
        go_on(step, transaction, verdict);
}

static void read_search(const struct connector_step *step, json_t *data, struct connector_verdict *verdict)
{
    const json_t *edges = REPLY_AT(data, "search", "transactions", "edges");
    const json_t *truth = NULL;
    enum gateway_reason reason = REASON_NONE;
    if (!json_is_array(edges)) {
        connector_bad_answer(step, verdict);
        return;
    }
    enum gateway_order_state state = search_state(step, edges, &reason, &truth);
    connector_verdict_set(verdict, GATEWAY_DONE, state, reason);
    if (state == ORDER_NONE)
        connector_bad_answer(step, verdict);
    else if (step->operation >= CONNECTOR_CAPTURE)
        plan_change(step, state, truth, verdict);
    else if (step->operation == CONNECTOR_ABANDON && state == ORDER_AUTHORISED)
        go_on(step, truth, verdict);
    else if (step->operation == CONNECTOR_ABANDON && (state == ORDER_SUCCEEDED || state == ORDER_PENDING))
        verdict->outcome = GATEWAY_FAILED;
    else if (step->operation == CONNECTOR_ABANDON)
        connector_verdict_set(verdict, GATEWAY_DONE, ORDER_CANCELLED, REASON_NONE); /* nothing to cancel */
}

static void read_change(const struct connector_step *step, json_t *data, struct connector_verdict *verdict)
{
    const json_t *captured = REPLY_AT(data, "captureTransaction", "transaction");
    const json_t *reversal = REPLY_AT(data, "reverseTransaction", "reversal");
    char id[LIMIT_TOKEN_BYTES];
    int64_t value;
    connector_bad_answer(step, verdict);
    if (step->operation == CONNECTOR_REFUND) {
        read_refund(step, REPLY_AT(data, "refundTransaction", "refund"), verdict);
    } else if (step->operation == CONNECTOR_CAPTURE) {
        if (transaction_state(step, captured) == ORDER_SUCCEEDED && take_amount(step, captured, &value) &&
            value == step->amount_minor)
            connector_verdict_set(verdict, GATEWAY_DONE, ORDER_SUCCEEDED, REASON_NONE);
    } else if (take_global_id(reply_text(reversal, "id"), id) && reply_text(reversal, "status")) {
        connector_verdict_set(verdict, GATEWAY_DONE, ORDER_CANCELLED, REASON_NONE);
    }
}

static void read_token(const struct connector_step *step, json_t *data, struct connector_verdict *verdict)
{
    const json_t *method = REPLY_AT(data, "tokenizeCreditCard", "paymentMethod");
    connector_verdict_set(verdict, GATEWAY_DONE, ORDER_NONE, REASON_NONE);
    if (!connector_take_id(reply_text(method, "id"), "", verdict->token, sizeof(verdict->token)))
        connector_bad_answer(step, verdict);
}

static void braintree_read(const struct connector_account *account, const struct connector_step *step,
                           const struct connector_answer *answer, struct connector_verdict *verdict)
{
    (void)account;
    static const struct class_row down = {"", GATEWAY_NO_ANSWER, REASON_UNAVAILABLE, CONNECTOR_AGAIN};
    static const struct class_row busy = {"", GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE, CONNECTOR_AGAIN};
    static const struct class_row refused = {"", GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_FINAL};
    json_t *root = reply_parse(answer);
    const json_t *errors = json_object_get(root, "errors");
    json_t *data = json_object_get(root, "data");
    connector_bad_answer(step, verdict);
    if (answer->status >= 500)
        set_class(step, &down, verdict);
    else if (answer->status == 429)
        set_class(step, &busy, verdict);
    else if (answer->status == 401)
        set_class(step, &refused, verdict);
    else if (answer->status == 200 && json_array_size(errors) > 0)
        read_errors(step, errors, verdict);
    else if (answer->status == 200 && step->operation == CONNECTOR_TOKENISE)
        read_token(step, data, verdict);
    else if (answer->status == 200 && step->operation == CONNECTOR_CONFIRM)
        read_charge(step, data, verdict);
    else if (answer->status == 200 && is_change(step))
        read_change(step, data, verdict);
    else if (answer->status == 200)
        read_search(step, data, verdict);
    verdict->wait_ms = connector_retry_after_ms(answer);
    json_decref(root);
}

/* Braintree's keys do not say whether they are live; the host does. */
static bool braintree_key_is_live(const uint8_t *key, size_t length)
{
    (void)key;
    (void)length;
    return false;
}

const struct connector braintree_connector = {
    .name = "braintree",
    .operations = CONNECTOR_PAYMENT_OPERATIONS | 1u << CONNECTOR_CAPTURE | 1u << CONNECTOR_VOID |
                  1u << CONNECTOR_REFUND,
    .is_replay_safe = false,
    .key_is_live = braintree_key_is_live,
    .authorise = connector_authorise_basic,
    .build = braintree_build,
    .read = braintree_read,
};
