#include "gateway/braintree.h"

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
static const char search_query[] = "query($input:TransactionSearchInput!){search{transactions(input:$input)"
                                   "{edges{node" TRANSACTION "}}}}";

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

static void put_search(const struct connector_step *step, struct json_writer *json)
{
    json_open_object(json, "orderId");
    json_put_text(json, "is", step->order_ref);
    json_close(json);
}

static enum err put_body(const struct connector_account *account, const struct connector_step *step,
                         struct connector_request *request)
{
    size_t capacity;
    struct json_writer json;
    bool is_card = step->operation == CONNECTOR_TOKENISE;
    bool is_charge = step->operation == CONNECTOR_CONFIRM;
    uint8_t *bytes = secret_buffer(request->body, &capacity);
    json_begin(&json, bytes, capacity);
    json_open_object(&json, NULL);
    json_put_text(&json, "query", is_card ? tokenise_query : is_charge ? charge_query : search_query);
    json_open_object(&json, "variables");
    json_open_object(&json, "input");
    if (is_card)
        put_card(step, &json);
    else if (is_charge)
        put_charge(account, step, &json);
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
    {"AUTHORIZED", ORDER_PENDING}, /* a charge submits by itself */
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
    {"AUTHENTICATION", GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_FINAL},
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
    bool is_harmless = step->operation <= CONNECTOR_CREATE && row->outcome == GATEWAY_NO_ANSWER;
    connector_verdict_set(verdict, is_harmless ? GATEWAY_UNAVAILABLE : row->outcome, ORDER_NONE, row->reason);
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

/* ORDER_NONE: not our order, or not its amount. */
static enum gateway_order_state transaction_state(const struct connector_step *step,
                                                  const json_t *transaction)
{
    const json_t *amount = json_object_get(transaction, "amount");
    const char *text = reply_text(amount, "value");
    int64_t value;
    if (!reply_is(transaction, "orderId", step->order_ref) ||
        !reply_is(amount, "currencyCode", step->currency) || !text ||
        money_parse(text, step->currency, &value) != OK || value != step->amount_minor)
        return ORDER_NONE;
    for (size_t i = 0; i < sizeof(status_rows) / sizeof(status_rows[0]); i++) {
        if (reply_is(transaction, "status", status_rows[i].status))
            return status_rows[i].state;
    }
    return ORDER_NONE;
}

static void read_charge(const struct connector_step *step, json_t *data, struct connector_verdict *verdict)
{
    const json_t *transaction = REPLY_AT(data, "chargePaymentMethod", "transaction");
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
                                             enum gateway_reason *reason)
{
    static const int weight[ORDER_STATES] = {
        [ORDER_OPEN] = 1, [ORDER_CANCELLED] = 2, [ORDER_PENDING] = 3, [ORDER_SUCCEEDED] = 4};
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
        best_weight = weight[state];
        *reason = REASON_NONE;
        if (state == ORDER_OPEN)
            (void)read_history(node, reason);
    }
    return best;
}

static void read_search(const struct connector_step *step, json_t *data, struct connector_verdict *verdict)
{
    const json_t *edges = REPLY_AT(data, "search", "transactions", "edges");
    enum gateway_reason reason = REASON_NONE;
    if (!json_is_array(edges)) {
        connector_bad_answer(step, verdict);
        return;
    }
    enum gateway_order_state state = search_state(step, edges, &reason);
    connector_verdict_set(verdict, GATEWAY_DONE, state, reason);
    if (state == ORDER_NONE)
        connector_bad_answer(step, verdict);
    else if (step->operation == CONNECTOR_ABANDON && (state == ORDER_SUCCEEDED || state == ORDER_PENDING))
        verdict->outcome = GATEWAY_FAILED;
    else if (step->operation == CONNECTOR_ABANDON)
        connector_verdict_set(verdict, GATEWAY_DONE, ORDER_CANCELLED, REASON_NONE); /* nothing to cancel */
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
    .operations = (1u << CONNECTOR_OPERATIONS) - 1,
    .is_replay_safe = false,
    .key_is_live = braintree_key_is_live,
    .authorise = connector_authorise_basic,
    .build = braintree_build,
    .read = braintree_read,
};
