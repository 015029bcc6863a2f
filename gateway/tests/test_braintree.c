/* Braintree's connector row by row, and that what may have been carried out is never sent twice. */
#include "gateway/connectors/braintree.h"
#include "gateway/tests/connector_case.h"
#include "gateway/tests/fake/fake_gateway.h"
#include "gateway/tests/rig.h"
#include "gateway/tests/strict/strict_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define CARD  "4111111111111111"
#define ORDER "cap-aaaaaaaaaaaaaaba-1"

static struct connector_verdict verdict;

static struct connector_step make_step(enum connector_operation operation)
{
    struct connector_step step = {.operation = operation,
                                  .capture_id = 0x10,
                                  .attempt = 1,
                                  .amount_minor = 1999,
                                  .currency = "USD",
                                  .token = "tokencc_bc_x",
                                  .order_ref = ORDER};
    return step;
}

static enum err build(const struct connector_step *step, char *body, size_t capacity)
{
    static const struct connector_account account = {.merchant = "shop_usd"};
    struct connector_request request;
    memset(&request, 0, sizeof(request));
    assert_int_equal(secret_new(&request.body, CONNECTOR_BODY_BYTES - 64), OK);
    enum err err = braintree_connector.build(&account, step, &request, &verdict);
    snprintf(body, capacity, "%.*s", (int)secret_length(request.body),
             (const char *)secret_bytes(request.body));
    secret_free(request.body);
    return err;
}

static void each_step_is_said_as_the_schema_has_it(void **state)
{
    (void)state;
    char body[2048];
    struct gateway_tokenise_msg card = rig_tokenise(1, 1, CARD);
    struct connector_step step = make_step(CONNECTOR_TOKENISE);
    step.card = &card;
    assert_int_equal(build(&step, body, sizeof(body)), OK);
    assert_non_null(strstr(body,
                           "\"variables\":{\"input\":{\"creditCard\":{\"number\":\"" CARD
                           "\",\"expirationMonth\":\"12\",\"expirationYear\":\"2034\",\"cvv\":\"737\"}}}}"));
    step = make_step(CONNECTOR_CREATE);
    assert_int_equal(build(&step, body, sizeof(body)), ERR_EMPTY);
    assert_int_equal(verdict.outcome, GATEWAY_DONE);
    assert_int_equal(verdict.order_state, ORDER_OPEN);
    assert_string_equal(verdict.order_ref, ORDER);
    step = make_step(CONNECTOR_CONFIRM);
    assert_int_equal(build(&step, body, sizeof(body)), OK);
    assert_non_null(
        strstr(body, "\"input\":{\"paymentMethodId\":\"tokencc_bc_x\",\"transaction\":{\"amount\":\"19.99\","
                     "\"orderId\":\"" ORDER "\",\"paymentInitiator\":\"MOTO\","
                     "\"merchantAccountId\":\"shop_usd\"}}"));
    step = make_step(CONNECTOR_STATUS);
    assert_int_equal(build(&step, body, sizeof(body)), OK);
    assert_non_null(strstr(body, "\"input\":{\"orderId\":{\"is\":\"" ORDER "\"}}"));
    memcpy(step.order_ref, "pi_other", 9);
    assert_int_equal(build(&step, body, sizeof(body)), ERR_RANGE);
}

static void hear(enum connector_operation operation, unsigned status, const char *body)
{
    struct connector_step step = make_step(operation);
    const struct connector_answer answer = {status, (const uint8_t *)body, strlen(body), ""};
    memset(&verdict, 0xee, sizeof(verdict));
    braintree_connector.read(&(struct connector_account){.mapping = NULL}, &step, &answer, &verdict);
}

static void expect(enum gateway_outcome outcome, enum gateway_order_state state, enum gateway_reason reason)
{
    assert_string_equal(gateway_outcome_name(verdict.outcome), gateway_outcome_name(outcome));
    assert_string_equal(gateway_reason_name(verdict.reason), gateway_reason_name(reason));
    assert_int_equal(verdict.order_state, state);
}

static const char *transaction(const char *status, const char *value, const char *currency,
                               const char *history)
{
    static char text[512];
    snprintf(text, sizeof(text),
             "{\"id\":\"x\",\"orderId\":\"" ORDER "\",\"status\":\"%s\",\"amount\":{\"value\":\"%s\","
             "\"currencyCode\":\"%s\"},\"statusHistory\":[{},%s]}",
             status, value, currency, history);
    return text;
}

static const char *charge(const char *node)
{
    static char text[768];
    snprintf(text, sizeof(text), "{\"data\":{\"chargePaymentMethod\":{\"transaction\":%s}}}", node);
    return text;
}

static const char *found(const char *first, const char *second)
{
    static char text[1536];
    snprintf(text, sizeof(text), "{\"data\":{\"search\":{\"transactions\":{\"edges\":[%s%s%s%s%s%s]}}}}",
             first ? "{\"node\":" : "", first ? first : "", first ? "}" : "", second ? ",{\"node\":" : "",
             second ? second : "", second ? "}" : "");
    return text;
}

static void every_status_of_a_transaction_is_known(void **state)
{
    (void)state;
    static const struct {
        const char *status;
        enum gateway_order_state state;
        enum gateway_outcome confirm;
    } rows[] = {
        {"SUBMITTED_FOR_SETTLEMENT", ORDER_SUCCEEDED, GATEWAY_DONE},
        {"SETTLING", ORDER_SUCCEEDED, GATEWAY_DONE},
        {"SETTLED", ORDER_SUCCEEDED, GATEWAY_DONE},
        {"SETTLEMENT_PENDING", ORDER_SUCCEEDED, GATEWAY_DONE},
        {"SETTLEMENT_CONFIRMED", ORDER_SUCCEEDED, GATEWAY_DONE},
        {"AUTHORIZED", ORDER_PENDING, GATEWAY_DONE},
        {"AUTHORIZING", ORDER_PENDING, GATEWAY_DONE},
        {"PROCESSOR_DECLINED", ORDER_OPEN, GATEWAY_DECLINED},
        {"GATEWAY_REJECTED", ORDER_OPEN, GATEWAY_DECLINED},
        {"SETTLEMENT_DECLINED", ORDER_OPEN, GATEWAY_DECLINED},
        {"FAILED", ORDER_OPEN, GATEWAY_DECLINED},
        {"AUTHORIZATION_EXPIRED", ORDER_CANCELLED, GATEWAY_NO_ANSWER},
        {"VOIDED", ORDER_CANCELLED, GATEWAY_NO_ANSWER},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *node = transaction(rows[i].status, "19.99", "USD", "{}");
        hear(CONNECTOR_CONFIRM, 200, charge(node));
        assert_int_equal(verdict.outcome, rows[i].confirm);
        hear(CONNECTOR_STATUS, 200, found(node, NULL));
        assert_int_equal(verdict.outcome, GATEWAY_DONE);
        assert_int_equal(verdict.order_state, rows[i].state);
        hear(CONNECTOR_ABANDON, 200, found(node, NULL));
        bool is_money = rows[i].state == ORDER_SUCCEEDED || rows[i].state == ORDER_PENDING;
        assert_int_equal(verdict.outcome, is_money ? GATEWAY_FAILED : GATEWAY_DONE);
    }
    hear(CONNECTOR_STATUS, 200, found(NULL, NULL));
    expect(GATEWAY_DONE, ORDER_UNKNOWN_TO_GATEWAY, REASON_NONE);
    hear(CONNECTOR_ABANDON, 200, found(NULL, NULL));
    expect(GATEWAY_DONE, ORDER_CANCELLED, REASON_NONE);
}

static void of_several_transactions_the_one_that_moved_money_counts(void **state)
{
    (void)state;
    char first[512];
    snprintf(first, sizeof(first), "%s", transaction("PROCESSOR_DECLINED", "19.99", "USD", "{}"));
    hear(CONNECTOR_STATUS, 200, found(first, transaction("SETTLED", "19.99", "USD", "{}")));
    expect(GATEWAY_DONE, ORDER_SUCCEEDED, REASON_NONE);
    hear(CONNECTOR_STATUS, 200, found(first, transaction("SETTLED", "20.99", "USD", "{}")));
    expect(GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER);
}

static void every_processor_code_and_rejection_has_its_reason(void **state)
{
    (void)state;
    static const struct {
        const char *key, *word;
        enum gateway_reason reason;
    } rows[] = {
        {"code", "2000", REASON_DECLINED},
        {"code", "2001", REASON_INSUFFICIENT_FUNDS},
        {"code", "2002", REASON_LIMIT},
        {"code", "2003", REASON_LIMIT},
        {"code", "2004", REASON_EXPIRED},
        {"code", "2005", REASON_WRONG_NUMBER},
        {"code", "2006", REASON_EXPIRED},
        {"code", "2007", REASON_WRONG_NUMBER},
        {"code", "2008", REASON_WRONG_NUMBER},
        {"code", "2010", REASON_WRONG_CVV},
        {"code", "2012", REASON_LOST_OR_STOLEN},
        {"code", "2013", REASON_LOST_OR_STOLEN},
        {"code", "2047", REASON_LOST_OR_STOLEN},
        {"code", "2053", REASON_LOST_OR_STOLEN},
        {"code", "2099", REASON_NEEDS_AUTHENTICATION},
        {"code", "3000", REASON_PROCESSING_ERROR},
        {"rejection", "CVV", REASON_WRONG_CVV},
        {"rejection", "AVS_AND_CVV", REASON_WRONG_CVV},
        {"rejection", "THREE_D_SECURE", REASON_NEEDS_AUTHENTICATION},
        {"rejection", "TOKEN_ISSUANCE", REASON_CONFIGURATION},
        {"rejection", "FRAUD", REASON_DECLINED},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char history[96];
        bool is_code = rows[i].key[0] == 'c';
        snprintf(history, sizeof(history),
                 is_code ? "{\"processorResponse\":{\"legacyCode\":\"%s\"}}"
                         : "{\"gatewayRejectionReason\":\"%s\"}",
                 rows[i].word);
        hear(CONNECTOR_CONFIRM, 200, charge(transaction("PROCESSOR_DECLINED", "19.99", "USD", history)));
        expect(GATEWAY_DECLINED, ORDER_OPEN, rows[i].reason);
    }
    /* The same was charged a moment ago, perhaps by a try whose answer was lost: ask. */
    hear(CONNECTOR_CONFIRM, 200,
         charge(
             transaction("GATEWAY_REJECTED", "19.99", "USD", "{\"gatewayRejectionReason\":\"DUPLICATE\"}")));
    expect(GATEWAY_NO_ANSWER, ORDER_NONE, REASON_UNAVAILABLE);
}

static void every_class_of_error_has_its_outcome(void **state)
{
    (void)state;
    static const struct {
        const char *error_class;
        enum gateway_outcome confirm, tokenise;
        enum gateway_reason reason;
    } rows[] = {
        {"VALIDATION", GATEWAY_FAILED, GATEWAY_FAILED, REASON_CONFIGURATION},
        {"AUTHENTICATION", GATEWAY_FAILED, GATEWAY_FAILED, REASON_CONFIGURATION},
        {"AUTHORIZATION", GATEWAY_FAILED, GATEWAY_FAILED, REASON_CONFIGURATION},
        {"NOT_FOUND", GATEWAY_FAILED, GATEWAY_FAILED, REASON_CONFIGURATION},
        {"NOT_IMPLEMENTED", GATEWAY_FAILED, GATEWAY_FAILED, REASON_CONFIGURATION},
        {"UNSUPPORTED_CLIENT", GATEWAY_FAILED, GATEWAY_FAILED, REASON_CONFIGURATION},
        {"RESOURCE_LIMIT", GATEWAY_UNAVAILABLE, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE},
        {"SERVICE_AVAILABILITY", GATEWAY_NO_ANSWER, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE},
        {"INTERNAL", GATEWAY_NO_ANSWER, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE},
        {"UNKNOWN", GATEWAY_NO_ANSWER, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE},
        {"A_CLASS_OF_TOMORROW", GATEWAY_NO_ANSWER, GATEWAY_FAILED, REASON_BAD_ANSWER},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char body[160];
        snprintf(body, sizeof(body), "{\"data\":null,\"errors\":[{\"extensions\":{\"errorClass\":\"%s\"}}]}",
                 rows[i].error_class);
        hear(CONNECTOR_CONFIRM, 200, body); /* errors come as HTTP 200 */
        expect(rows[i].confirm, ORDER_NONE, rows[i].reason);
        hear(CONNECTOR_TOKENISE, 200, body);
        expect(rows[i].tokenise, ORDER_NONE, rows[i].reason);
    }
    hear(CONNECTOR_CONFIRM, 401, "");
    expect(GATEWAY_FAILED, ORDER_NONE, REASON_CONFIGURATION);
    hear(CONNECTOR_CONFIRM, 429, "");
    expect(GATEWAY_UNAVAILABLE, ORDER_NONE, REASON_UNAVAILABLE);
    hear(CONNECTOR_CONFIRM, 502, "");
    expect(GATEWAY_NO_ANSWER, ORDER_NONE, REASON_UNAVAILABLE);
    hear(CONNECTOR_CONFIRM, 302, "");
    expect(GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER);
}

static void a_field_of_the_card_that_fails_is_a_decline(void **state)
{
    (void)state;
    static const struct {
        const char *field;
        enum gateway_reason reason;
    } rows[] = {{"number", REASON_WRONG_NUMBER},
                {"cvv", REASON_WRONG_CVV},
                {"expirationMonth", REASON_EXPIRED},
                {"expirationYear", REASON_EXPIRED}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char body[256];
        snprintf(body, sizeof(body),
                 "{\"errors\":[{\"extensions\":{\"errorClass\":\"VALIDATION\",\"inputPath\":[\"input\","
                 "\"creditCard\","
                 "\"%s\"]}}]}",
                 rows[i].field);
        hear(CONNECTOR_TOKENISE, 200, body);
        expect(GATEWAY_DECLINED, ORDER_NONE, rows[i].reason);
    }
}

static void an_answer_about_something_else_is_a_bad_answer(void **state)
{
    (void)state;
    const char *const bodies[] = {"", "[]", "{\"data\":null}",
                                  "{\"data\":{\"search\":{\"transactions\":{\"edges\":{}}}}}", "<html>"};
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        hear(CONNECTOR_CONFIRM, 200, bodies[i]);
        expect(GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER);
        hear(CONNECTOR_STATUS, 200, bodies[i]);
        expect(GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER);
    }
    hear(CONNECTOR_CONFIRM, 200, charge(transaction("SETTLED", "19.98", "USD", "{}")));
    expect(GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER);
    hear(CONNECTOR_CONFIRM, 200, charge(transaction("SETTLED", "19.99", "EUR", "{}")));
    expect(GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER);
    hear(CONNECTOR_CONFIRM, 200, charge(transaction("STRANGE", "19.99", "USD", "{}")));
    expect(GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER);
    hear(CONNECTOR_TOKENISE, 200,
         "{\"data\":{\"tokenizeCreditCard\":{\"paymentMethod\":{\"id\":\"" CARD "\"}}}}");
    expect(GATEWAY_FAILED, ORDER_NONE, REASON_BAD_ANSWER);
    hear(CONNECTOR_TOKENISE, 200,
         "{\"data\":{\"tokenizeCreditCard\":{\"paymentMethod\":{\"id\":\"tokencc_bc_x_1\",\"usage\":\"SINGLE_"
         "USE\"}}}}");
    expect(GATEWAY_DONE, ORDER_NONE, REASON_NONE);
    assert_string_equal(verdict.token, "tokencc_bc_x_1");
}

static unsigned requests_of_a_confirmation(enum fake_behaviour behaviour, unsigned argument)
{
    struct fake fake;
    struct rig rig;
    size_t capacity;
    fake_start(&fake, behaviour, argument, rig_path("right"));
    struct step_settings settings = rig_settings(fake.url);
    settings.connector = &braintree_connector;
    settings.charge_timeout_ms = 2000;
    memcpy(secret_buffer(settings.key, &capacity), "public:private", 14);
    secret_set_length(settings.key, 14);
    rig_open(&rig, &settings);
    struct gateway_step_msg confirm = rig_step(GATEWAY_CONFIRM, 0x10, 1, 1999, "tokencc_bc_x", ORDER);
    assert_int_equal(rig_ask(&rig, &confirm)->outcome, GATEWAY_NO_ANSWER);
    unsigned requests = fake.counts->requests;
    rig_close(&rig);
    fake_stop(&fake);
    return requests;
}

static void a_charge_that_may_have_arrived_is_sent_once(void **state)
{
    (void)state;
    assert_int_equal(requests_of_a_confirmation(FAKE_STATUS, 503), 1);
    assert_int_equal(requests_of_a_confirmation(FAKE_RESET_AT, 10), 1);
    assert_int_equal(requests_of_a_confirmation(FAKE_CLOSE_AT, 0), 1);
    assert_int_equal(requests_of_a_confirmation(FAKE_SILENCE, 0), 1);
}

/* --- after the card --- */

static struct connector_case the;

static int begin(void **state)
{
    (void)state;
    case_begin(&the, &braintree_connector, "tokencc_bc_x", ORDER);
    return 0;
}

static void each_change_is_said_as_the_schema_has_it(void **state)
{
    (void)state;
    static const struct {
        enum connector_operation operation;
        unsigned round;
        const char *mutation, *input;
    } rows[] = {
        {CONNECTOR_CAPTURE, 0, "search{transactions", "{\"orderId\":{\"is\":\"" ORDER "\"}}"},
        {CONNECTOR_CAPTURE, 1, "captureTransaction(input:$input)",
         "{\"transactionId\":\"abc=\",\"transaction\":{\"amount\":\"19.99\"}}"},
        {CONNECTOR_VOID, 0, "search{transactions", "{\"orderId\":{\"is\":\"" ORDER "\"}}"},
        {CONNECTOR_VOID, 1, "reverseTransaction(input:$input)", "{\"transactionId\":\"abc=\"}"},
        {CONNECTOR_ABANDON, 1, "reverseTransaction(input:$input)", "{\"transactionId\":\"abc=\"}"},
        {CONNECTOR_REFUND, 0, "refunds{id orderId", "{\"orderId\":{\"is\":\"" ORDER "\"}}"},
        {CONNECTOR_REFUND, 1, "refundTransaction(input:$input)",
         "{\"transactionId\":\"abc=\",\"refund\":{\"amount\":\"19.99\",\"orderId\":\"ord-aaaaaaaaaaaaaaba\"}"
         "}"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char input[256];
        case_step(&the, rows[i].operation);
        case_round(&the, rows[i].round, "abc=");
        assert_int_equal(case_build(&the), OK);
        assert_non_null(strstr(the.body, rows[i].mutation));
        snprintf(input, sizeof(input), "\"variables\":{\"input\":%s}}", rows[i].input);
        assert_non_null(strstr(the.body, input));
    }
    case_step(&the, CONNECTOR_CONFIRM);
    the.step.is_authorise_only = true;
    assert_int_equal(case_build(&the), OK);
    assert_non_null(strstr(the.body, "{authorizePaymentMethod(input:$input)"));
    case_step(&the, CONNECTOR_SUBSCRIBE);
    assert_int_equal(case_build(&the), ERR_RANGE);
    case_step(&the, CONNECTOR_LINK);
    assert_int_equal(case_build(&the), ERR_RANGE);
}

static const char *one(const char *status, const char *value, const char *refunds)
{
    static char text[1024];
    snprintf(
        text, sizeof(text),
        "{\"data\":{\"search\":{\"transactions\":{\"edges\":[{\"node\":{\"id\":\"abc=\",\"orderId\":\"" ORDER
        "\",\"status\":\"%s\",\"amount\":{\"value\":\"%s\",\"currencyCode\":\"USD\"},\"refunds\":[%s]}}]}}}}",
        status, value, refunds);
    return text;
}

#define GIVEN(order, status, value)                                                                          \
    "{\"id\":\"r\",\"orderId\":\"" order "\",\"status\":\"" status "\",\"amount\":{\"value\":\"" value       \
    "\",\"currencyCode\":\"USD\"}}"

static void a_search_tells_what_a_change_needs(void **state)
{
    (void)state;
    static const struct {
        enum connector_operation operation;
        const char *status, *value, *refunds;
        enum gateway_outcome outcome;
        bool goes_on;
    } rows[] = {
        {CONNECTOR_CAPTURE, "AUTHORIZED", "19.99", "", GATEWAY_NO_ANSWER, true},
        {CONNECTOR_CAPTURE, "AUTHORIZED", "30.00", "", GATEWAY_NO_ANSWER, true}, /* a part */
        {CONNECTOR_CAPTURE, "AUTHORIZED", "19.98", "", GATEWAY_NO_ANSWER,
         false}, /* more than was held: not ours */
        {CONNECTOR_CAPTURE, "SUBMITTED_FOR_SETTLEMENT", "19.99", "", GATEWAY_DONE, false},
        {CONNECTOR_CAPTURE, "AUTHORIZING", "19.99", "", GATEWAY_UNAVAILABLE, false},
        {CONNECTOR_CAPTURE, "VOIDED", "19.99", "", GATEWAY_FAILED, false},
        {CONNECTOR_CAPTURE, "PROCESSOR_DECLINED", "19.99", "", GATEWAY_FAILED, false},
        {CONNECTOR_VOID, "AUTHORIZED", "19.99", "", GATEWAY_NO_ANSWER, true},
        {CONNECTOR_VOID, "SUBMITTED_FOR_SETTLEMENT", "19.99", "", GATEWAY_NO_ANSWER, true},
        {CONNECTOR_VOID, "SETTLED", "19.99", "", GATEWAY_FAILED, false}, /* that would be a refund */
        {CONNECTOR_VOID, "VOIDED", "19.99", "", GATEWAY_DONE, false},
        {CONNECTOR_REFUND, "SETTLED", "19.99", "", GATEWAY_NO_ANSWER, true},
        {CONNECTOR_REFUND, "SETTLING", "19.99", "", GATEWAY_NO_ANSWER, true},
        {CONNECTOR_REFUND, "SUBMITTED_FOR_SETTLEMENT", "19.99", "", GATEWAY_UNAVAILABLE, false}, /* not yet */
        {CONNECTOR_REFUND, "SETTLED", "30.00", GIVEN("ord-another", "SETTLED", "10.00"), GATEWAY_NO_ANSWER,
         true},
        {CONNECTOR_REFUND, "SETTLED", "30.00", GIVEN("ord-aaaaaaaaaaaaaaba", "SETTLED", "19.99"),
         GATEWAY_DONE, false},
        {CONNECTOR_REFUND, "SETTLED", "30.00", GIVEN("ord-aaaaaaaaaaaaaaba", "FAILED", "19.99"),
         GATEWAY_FAILED, false},
        {CONNECTOR_REFUND, "SETTLED", "30.00", GIVEN("ord-aaaaaaaaaaaaaaba", "SETTLED", "1.99"),
         GATEWAY_NO_ANSWER, false},
        {CONNECTOR_REFUND, "AUTHORIZED", "19.99", "", GATEWAY_FAILED, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        case_step(&the, rows[i].operation);
        case_hear(&the, 200, "", one(rows[i].status, rows[i].value, rows[i].refunds));
        assert_int_equal(the.verdict.outcome, rows[i].outcome);
        assert_int_equal(the.verdict.again == CONNECTOR_NEXT, rows[i].goes_on);
        assert_string_equal(the.verdict.carry, rows[i].goes_on ? "abc=" : "");
    }
    case_step(&the, CONNECTOR_CAPTURE);
    case_hear(&the, 200, "", "{\"data\":{\"search\":{\"transactions\":{\"edges\":[]}}}}");
    case_expect(&the, GATEWAY_UNAVAILABLE, ORDER_UNKNOWN_TO_GATEWAY, REASON_UNAVAILABLE);
    the.step.is_authorise_only = true;
    case_step(&the, CONNECTOR_STATUS);
    case_hear(&the, 200, "", one("AUTHORIZED", "19.99", ""));
    case_expect(&the, GATEWAY_DONE, ORDER_AUTHORISED, REASON_NONE);
    case_step(&the, CONNECTOR_ABANDON);
    case_hear(&the, 200, "", one("AUTHORIZED", "19.99", ""));
    assert_int_equal(the.verdict.again, CONNECTOR_NEXT);
}

static void every_change_has_its_answer(void **state)
{
    (void)state;
#define CAPTURED(status, value)                                                                              \
    "{\"data\":{\"captureTransaction\":{\"transaction\":{\"id\":\"abc=\",\"orderId\":\"" ORDER               \
    "\",\"status\":\"" status "\",\"amount\":{\"value\":\"" value "\",\"currencyCode\":\"USD\"}}}}}"
    static const struct {
        enum connector_operation operation;
        const char *body;
        enum gateway_outcome outcome;
        enum gateway_order_state state;
        enum gateway_reason reason;
    } rows[] = {
        {CONNECTOR_CAPTURE, CAPTURED("SUBMITTED_FOR_SETTLEMENT", "19.99"), GATEWAY_DONE, ORDER_SUCCEEDED,
         REASON_NONE},
        {CONNECTOR_CAPTURE, CAPTURED("SUBMITTED_FOR_SETTLEMENT", "30.00"), GATEWAY_NO_ANSWER, ORDER_NONE,
         REASON_BAD_ANSWER},
        {CONNECTOR_CAPTURE, CAPTURED("AUTHORIZED", "19.99"), GATEWAY_NO_ANSWER, ORDER_NONE,
         REASON_BAD_ANSWER},
        {CONNECTOR_VOID,
         "{\"data\":{\"reverseTransaction\":{\"reversal\":{\"id\":\"abc=\",\"status\":\"VOIDED\"}}}}",
         GATEWAY_DONE, ORDER_CANCELLED, REASON_NONE},
        {CONNECTOR_VOID, "{\"data\":{\"reverseTransaction\":{\"reversal\":{}}}}", GATEWAY_NO_ANSWER,
         ORDER_NONE, REASON_BAD_ANSWER},
        {CONNECTOR_REFUND,
         "{\"data\":{\"refundTransaction\":{\"refund\":" GIVEN("ord-aaaaaaaaaaaaaaba",
                                                               "SUBMITTED_FOR_SETTLEMENT", "19.99") "}}}",
         GATEWAY_DONE, ORDER_NONE, REASON_NONE},
        {CONNECTOR_REFUND,
         "{\"data\":{\"refundTransaction\":{\"refund\":" GIVEN("ord-x", "SUBMITTED_FOR_SETTLEMENT",
                                                               "19.99") "}}}",
         GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER},
        {CONNECTOR_REFUND,
         "{\"data\":{\"refundTransaction\":{\"refund\":" GIVEN("ord-aaaaaaaaaaaaaaba", "PROCESSOR_DECLINED",
                                                               "19.99") "}}}",
         GATEWAY_FAILED, ORDER_NONE, REASON_PROCESSING_ERROR},
        {CONNECTOR_REFUND, "{\"errors\":[{\"extensions\":{\"errorClass\":\"VALIDATION\"}}]}", GATEWAY_FAILED,
         ORDER_NONE, REASON_PROCESSING_ERROR},
        {CONNECTOR_REFUND, "{\"errors\":[{\"extensions\":{\"errorClass\":\"INTERNAL\"}}]}", GATEWAY_NO_ANSWER,
         ORDER_NONE, REASON_UNAVAILABLE},
        {CONNECTOR_CAPTURE, "{\"data\":null}", GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        case_step(&the, rows[i].operation);
        case_round(&the, 1, "abc=");
        case_hear(&the, 200, "", rows[i].body);
        case_expect(&the, rows[i].outcome, rows[i].state, rows[i].reason);
    }
    case_step(&the, CONNECTOR_REFUND);
    case_hear(&the, 503, "", ""); /* only the search failed: nothing was done */
    case_expect(&the, GATEWAY_UNAVAILABLE, ORDER_NONE, REASON_UNAVAILABLE);
}

/* --- against the strict server --- */

static struct strict strict;

static int start(void **state)
{
    (void)state;
    strict = (struct strict){.connector = &braintree_connector,
                             .key = "public_strict:private_strict",
                             .account = {.merchant = "shop_usd"}};
    strict_start(&strict, "braintree");
    return 0;
}

static int stop(void **state)
{
    (void)state;
    strict_stop(&strict);
    return 0;
}

static enum gateway_outcome order(enum connector_operation operation, uint64_t id)
{
    struct connector_step step = strict_order(operation, id);
    strict_do(&strict, &step, &verdict);
    return verdict.outcome;
}

static void tokenise(uint64_t capture)
{
    struct gateway_tokenise_msg card = rig_tokenise(capture, 1, CARD);
    assert_int_equal(rig_ask(&strict.rig, &card)->outcome, GATEWAY_DONE);
    memcpy(strict_token, strict.rig.reply.token, sizeof(strict_token));
}

static void hold(uint64_t capture)
{
    tokenise(capture);
    struct gateway_order_msg create = rig_create(capture, 1, 1999, strict_token);
    create.is_authorise_only = 1;
    assert_int_equal(rig_ask(&strict.rig, &create)->outcome, GATEWAY_DONE);
    memcpy(strict_order_ref, strict.rig.reply.order_ref, sizeof(strict_order_ref));
    struct gateway_step_msg step =
        rig_step(GATEWAY_CONFIRM, capture, 1, 1999, strict_token, strict_order_ref);
    step.is_authorise_only = 1;
    assert_int_equal(rig_ask(&strict.rig, &step)->order_state, ORDER_AUTHORISED);
    step = rig_step(GATEWAY_STATUS, capture, 1, 1999, "", strict_order_ref);
    step.is_authorise_only = 1;
    assert_int_equal(rig_ask(&strict.rig, &step)->order_state, ORDER_AUTHORISED);
}

static void a_payment_and_what_follows_it(void **state)
{
    (void)state;
    strict_pay(&strict, 1, ORDER_SUCCEEDED);
    assert_int_equal(order(CONNECTOR_REFUND, 0x31), GATEWAY_UNAVAILABLE); /* not settled yet */
    strict_tell(&strict, "set?settle=1");
    struct connector_step refund = strict_order(CONNECTOR_REFUND, 0x31);
    strict_lose(&strict, &refund, 1);
    assert_int_equal(order(CONNECTOR_REFUND, 0x31), GATEWAY_DONE); /* found, not repeated */
    assert_string_equal(verdict.order_ref, "ord-aaaaaaaaaaaaaadb");
    assert_int_equal(order(CONNECTOR_VOID, 0x32), GATEWAY_FAILED);
    strict_tell(&strict, "set?settle=");
    strict_pay(&strict, 2, ORDER_SUCCEEDED);
    assert_int_equal(order(CONNECTOR_VOID, 0x33), GATEWAY_DONE);
    hold(3);
    assert_int_equal(order(CONNECTOR_CAPTURE, 0x34), GATEWAY_DONE);
    assert_int_equal(order(CONNECTOR_CAPTURE, 0x34), GATEWAY_DONE);
    hold(4);
    struct gateway_step_msg abandon = rig_step(GATEWAY_ABANDON, 4, 1, 1999, "", strict_order_ref);
    abandon.is_authorise_only = 1;
    assert_int_equal(rig_ask(&strict.rig, &abandon)->order_state, ORDER_CANCELLED);
    json_t *books = strict_books(&strict);
    const json_t *first = json_array_get(json_object_get(books, "transactions"), 0);
    assert_int_equal(json_array_size(json_object_get(books, "transactions")), 4);
    assert_int_equal(json_array_size(json_object_get(first, "refunds")), 1);
    json_decref(books);
}

static void a_decline_and_a_lost_answer(void **state)
{
    (void)state;
    strict_tell(&strict, "set?decline=2001");
    tokenise(1);
    struct gateway_step_msg confirm =
        rig_step(GATEWAY_CONFIRM, 1, 1, 1999, strict_token, "cap-aaaaaaaaaaaaaaab-1");
    assert_int_equal(rig_ask(&strict.rig, &confirm)->outcome, GATEWAY_DECLINED);
    assert_int_equal(strict.rig.reply.reason, REASON_INSUFFICIENT_FUNDS);
    strict_tell(&strict, "set?decline=");
    tokenise(2);
    strict_tell(&strict, "lose");
    confirm = rig_step(GATEWAY_CONFIRM, 2, 1, 1999, strict_token, "cap-aaaaaaaaaaaaaaac-1");
    assert_int_equal(rig_ask(&strict.rig, &confirm)->outcome, GATEWAY_NO_ANSWER);
    struct gateway_step_msg status = rig_step(GATEWAY_STATUS, 2, 1, 1999, "", "cap-aaaaaaaaaaaaaaac-1");
    assert_int_equal(rig_ask(&strict.rig, &status)->order_state, ORDER_SUCCEEDED);
}

static void the_server_refuses_what_is_wrong(void **state)
{
    (void)state;
    strict_pay(&strict, 1, ORDER_SUCCEEDED);
    static const struct {
        enum connector_operation operation;
        const char *from, *to;
    } rows[] = {
        {CONNECTOR_STATUS, "Authorization: Basic ", "Authorization: Basic x"},
        {CONNECTOR_STATUS, "Braintree-Version: 2019", "Braintree-Version: 2009"},
        {CONNECTOR_STATUS, "Content-Type: application/json", "Content-Type: text/plain"},
        {CONNECTOR_STATUS, "{id orderId", "{id order"},
        {CONNECTOR_STATUS, "{value currencyCode}", ""},
        {CONNECTOR_STATUS, "TransactionSearchInput", "SearchInput"},
        {CONNECTOR_STATUS, "{\"is\"", "{\"isnt\""},
        {CONNECTOR_CONFIRM, "\"19.99\"", "1999"},
        {CONNECTOR_CONFIRM, "MOTO", "PHONE"},
        {CONNECTOR_CONFIRM, "\"orderId\"", "\"order\""},
        {CONNECTOR_CONFIRM, "chargePaymentMethod", "sellPaymentMethod"},
        {CONNECTOR_TOKENISE, "\"expirationYear\":\"2034\"", "\"expirationYear\":\"34\""},
        {CONNECTOR_TOKENISE, "\"cvv\"", "\"cvc\""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct gateway_tokenise_msg card = rig_tokenise(1, 1, CARD);
        struct connector_step step = strict_order(rows[i].operation, 9);
        step.attempt = 1;
        step.card = rows[i].operation == CONNECTOR_TOKENISE ? &card : NULL;
        strict_plant(&strict, &step, rows[i].from, rows[i].to);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_step_is_said_as_the_schema_has_it),
        cmocka_unit_test(every_status_of_a_transaction_is_known),
        cmocka_unit_test(of_several_transactions_the_one_that_moved_money_counts),
        cmocka_unit_test(every_processor_code_and_rejection_has_its_reason),
        cmocka_unit_test(every_class_of_error_has_its_outcome),
        cmocka_unit_test(a_field_of_the_card_that_fails_is_a_decline),
        cmocka_unit_test(an_answer_about_something_else_is_a_bad_answer),
        cmocka_unit_test(a_charge_that_may_have_arrived_is_sent_once),
        cmocka_unit_test_setup(each_change_is_said_as_the_schema_has_it, begin),
        cmocka_unit_test_setup(a_search_tells_what_a_change_needs, begin),
        cmocka_unit_test_setup(every_change_has_its_answer, begin),
    };
    const struct CMUnitTest payments[] = {
        cmocka_unit_test_setup_teardown(a_payment_and_what_follows_it, start, stop),
        cmocka_unit_test_setup_teardown(a_decline_and_a_lost_answer, start, stop),
        cmocka_unit_test_setup_teardown(the_server_refuses_what_is_wrong, start, stop),
    };
    rig_setup();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (strict_is_possible())
        failed += cmocka_run_group_tests(payments, NULL, NULL);
    rig_teardown();
    return failed;
}
