/* Braintree's connector row by row, and that what may have been carried out is never sent twice. */
#include "gateway/braintree.h"
#include "gateway/tests/fake/fake_gateway.h"
#include "gateway/tests/rig.h"

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
    };
    rig_setup();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rig_teardown();
    return failed;
}
