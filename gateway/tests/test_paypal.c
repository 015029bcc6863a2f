/* PayPal's connector row by row, and its way through login and rounds against a small PayPal of our own. */
#include "gateway/connectors/paypal.h"
#include "gateway/tests/connector_case.h"
#include "gateway/tests/fake/fake_gateway.h"
#include "gateway/tests/rig.h"
#include "gateway/tests/strict/strict_rig.h"
#include "gateway/wipe_heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define CARD "4111111111111111"

static struct connector_verdict verdict;

static struct connector_step make_step(enum connector_operation operation)
{
    struct connector_step step = {.operation = operation,
                                  .capture_id = 0x10,
                                  .call_id = 0x20,
                                  .attempt = 1,
                                  .amount_minor = 1999,
                                  .currency = "USD",
                                  .token = "8kk8451t",
                                  .order_ref = "5O190127TN364715T"};
    return step;
}

static void body_is(struct connector_step *step, enum err expected_err, const char *path, const char *body)
{
    static const struct connector_account account;
    struct connector_request request;
    memset(&request, 0, sizeof(request));
    assert_int_equal(secret_new(&request.body, CONNECTOR_BODY_BYTES - 64), OK);
    assert_int_equal(paypal_connector.build(&account, step, &request, &verdict), expected_err);
    if (!expected_err) {
        assert_string_equal(request.path, path);
        assert_int_equal(secret_length(request.body), strlen(body));
        assert_memory_equal(secret_bytes(request.body), body, strlen(body));
    }
    secret_free(request.body);
}

static void each_step_is_said_as_the_reference_has_it(void **state)
{
    (void)state;
    struct gateway_tokenise_msg card = rig_tokenise(1, 1, CARD);
    struct connector_step step = make_step(CONNECTOR_TOKENISE);
    step.card = &card;
    body_is(&step, OK, "/v3/vault/setup-tokens",
            "{\"payment_source\":{\"card\":{\"number\":\"" CARD
            "\",\"expiry\":\"2034-12\",\"security_code\":\"737\"}}}");
    step.card = NULL;
    step.round = 1;
    memcpy(step.carry, "5C991763VB2781612", 18);
    body_is(&step, OK, "/v3/vault/payment-tokens",
            "{\"payment_source\":{\"token\":{\"id\":\"5C991763VB2781612\",\"type\":\"SETUP_TOKEN\"}}}");
    step = make_step(CONNECTOR_CREATE);
    body_is(&step, OK, "/v2/checkout/orders",
            "{\"intent\":\"CAPTURE\",\"purchase_units\":[{\"custom_id\":\"call_aaaaaaaaaaaaaaca\","
            "\"invoice_id\":\"cap_aaaaaaaaaaaaaaba-1\",\"amount\":{\"currency_code\":\"USD\",\"value\":\"19."
            "99\"}}]}");
    step = make_step(CONNECTOR_CONFIRM);
    body_is(&step, OK, "/v2/checkout/orders/5O190127TN364715T/capture",
            "{\"payment_source\":{\"card\":{\"vault_id\":\"8kk8451t\",\"stored_credential\":"
            "{\"payment_initiator\":\"CUSTOMER\",\"payment_type\":\"ONE_TIME\"}}}}");
    step = make_step(CONNECTOR_STATUS);
    body_is(&step, OK, "/v2/checkout/orders/5O190127TN364715T", "");
    step.order_ref[0] = '\0';
    body_is(&step, ERR_EMPTY, "", "");
    step = make_step(CONNECTOR_CREATE);
    memcpy(step.currency, "HUF", 4);
    body_is(&step, ERR_RANGE, "", "");
}

static void hear(enum connector_operation operation, unsigned round, unsigned status, const char *body)
{
    struct connector_step step = make_step(operation);
    const struct connector_answer answer = {status, (const uint8_t *)body, strlen(body), ""};
    step.round = round;
    memset(&verdict, 0xee, sizeof(verdict));
    paypal_connector.read(&(struct connector_account){.mapping = NULL}, &step, &answer, &verdict);
}

static void expect(enum gateway_outcome outcome, enum gateway_order_state state, enum gateway_reason reason)
{
    assert_string_equal(gateway_outcome_name(verdict.outcome), gateway_outcome_name(outcome));
    assert_string_equal(gateway_reason_name(verdict.reason), gateway_reason_name(reason));
    assert_int_equal(verdict.order_state, state);
}

#define UNIT(payments)                                                                                       \
    "\"purchase_units\":[{\"amount\":{\"currency_code\":\"USD\",\"value\":\"19.99\"}" payments "}]"
#define ORDER(status, payments) "{\"id\":\"5O190127TN364715T\",\"status\":\"" status "\"," UNIT(payments) "}"
#define CAPTURE(status, value, code)                                                                         \
    ",\"payments\":{\"captures\":[{\"id\":\"x\",\"status\":\"" status                                        \
    "\",\"amount\":{\"currency_code\":\"USD\",\"value\":\"" value                                            \
    "\"},\"processor_response\":{\"response_code\":\"" code "\"}}]}"

static void every_issue_has_its_outcome(void **state)
{
    (void)state;
    static const struct {
        const char *issue;
        enum gateway_outcome outcome;
        enum gateway_reason reason;
    } rows[] = {
        {"INSTRUMENT_DECLINED", GATEWAY_DECLINED, REASON_DECLINED},
        {"TRANSACTION_REFUSED", GATEWAY_DECLINED, REASON_DECLINED},
        {"CARD_CLOSED", GATEWAY_DECLINED, REASON_DECLINED},
        {"CARD_EXPIRED", GATEWAY_DECLINED, REASON_EXPIRED},
        {"INVALID_EXPIRY_DATE", GATEWAY_DECLINED, REASON_EXPIRED},
        {"INVALID_SECURITY_CODE_LENGTH", GATEWAY_DECLINED, REASON_WRONG_CVV},
        {"PAYER_ACTION_REQUIRED", GATEWAY_DECLINED, REASON_NEEDS_AUTHENTICATION},
        {"PAYER_CANNOT_PAY", GATEWAY_DECLINED, REASON_DECLINED},
        {"MAX_NUMBER_OF_PAYMENT_ATTEMPTS_EXCEEDED", GATEWAY_DECLINED, REASON_LIMIT},
        {"TRANSACTION_LIMIT_EXCEEDED", GATEWAY_DECLINED, REASON_LIMIT},
        {"ORDER_ALREADY_CAPTURED", GATEWAY_NO_ANSWER, REASON_UNAVAILABLE},
        {"PERMISSION_DENIED", GATEWAY_FAILED, REASON_CONFIGURATION},
        {"AN_ISSUE_OF_TOMORROW", GATEWAY_FAILED, REASON_CONFIGURATION},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char body[256];
        snprintf(body, sizeof(body), "{\"name\":\"UNPROCESSABLE_ENTITY\",\"details\":[{\"issue\":\"%s\"}]}",
                 rows[i].issue);
        hear(CONNECTOR_CONFIRM, 0, 422, body);
        expect(rows[i].outcome, ORDER_NONE, rows[i].reason);
    }
    static const char *const bad_number =
        "{\"name\":\"UNPROCESSABLE_ENTITY\",\"details\":[{\"issue\":\"VALIDATION_ERROR\",\"field\":"
        "\"/payment_source/card/number\"}]}";
    hear(CONNECTOR_TOKENISE, 0, 422, bad_number);
    expect(GATEWAY_DECLINED, ORDER_NONE, REASON_WRONG_NUMBER);
    hear(CONNECTOR_CREATE, 0, 422, bad_number); /* no card there: our own mistake */
    expect(GATEWAY_FAILED, ORDER_NONE, REASON_CONFIGURATION);
}

static void every_processor_code_has_its_reason(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        enum gateway_reason reason;
    } rows[] = {
        {ORDER("COMPLETED", CAPTURE("DECLINED", "19.99", "5120")), REASON_INSUFFICIENT_FUNDS},
        {ORDER("COMPLETED", CAPTURE("DECLINED", "19.99", "5400")), REASON_EXPIRED},
        {ORDER("COMPLETED", CAPTURE("DECLINED", "19.99", "00N7")), REASON_WRONG_CVV},
        {ORDER("COMPLETED", CAPTURE("DECLINED", "19.99", "5110")), REASON_WRONG_CVV},
        {ORDER("COMPLETED", CAPTURE("DECLINED", "19.99", "PCVV")), REASON_WRONG_CVV},
        {ORDER("COMPLETED", CAPTURE("DECLINED", "19.99", "1330")), REASON_WRONG_NUMBER},
        {ORDER("COMPLETED", CAPTURE("DECLINED", "19.99", "1335")), REASON_WRONG_NUMBER},
        {ORDER("COMPLETED", CAPTURE("DECLINED", "19.99", "5180")), REASON_WRONG_NUMBER},
        {ORDER("COMPLETED", CAPTURE("DECLINED", "19.99", "9520")), REASON_LOST_OR_STOLEN},
        {ORDER("COMPLETED", CAPTURE("DECLINED", "19.99", "5140")), REASON_DECLINED},
        {ORDER("COMPLETED", CAPTURE("DECLINED", "19.99", "0500")), REASON_DECLINED},
        {ORDER("COMPLETED", CAPTURE("DECLINED", "19.99", "9500")), REASON_DECLINED},
        {ORDER("COMPLETED", CAPTURE("DECLINED", "19.99", "1300")), REASON_PROCESSING_ERROR},
        {ORDER("COMPLETED", CAPTURE("DECLINED", "19.99", "9100")), REASON_PROCESSING_ERROR},
        {ORDER("COMPLETED", CAPTURE("DECLINED", "19.99", "PPER")), REASON_PROCESSING_ERROR},
        {ORDER("COMPLETED", CAPTURE("FAILED", "19.99", "0000")), REASON_DECLINED},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        hear(CONNECTOR_CONFIRM, 0, 201, rows[i].body); /* a decline that comes as 201 is a decline */
        expect(GATEWAY_DECLINED, ORDER_OPEN, rows[i].reason);
        hear(CONNECTOR_STATUS, 0, 200, rows[i].body);
        expect(GATEWAY_DONE, ORDER_OPEN, rows[i].reason);
    }
}

static void every_state_of_an_order_is_known(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        enum gateway_order_state state;
        enum gateway_outcome confirm, abandon;
    } rows[] = {
        {ORDER("CREATED", ""), ORDER_OPEN, GATEWAY_DECLINED, GATEWAY_DONE},
        {ORDER("SAVED", ""), ORDER_OPEN, GATEWAY_DECLINED, GATEWAY_DONE},
        {ORDER("APPROVED", ""), ORDER_OPEN, GATEWAY_DECLINED, GATEWAY_DONE},
        {ORDER("PAYER_ACTION_REQUIRED", ""), ORDER_OPEN, GATEWAY_DECLINED, GATEWAY_DONE},
        {ORDER("VOIDED", ""), ORDER_CANCELLED, GATEWAY_FAILED, GATEWAY_DONE},
        {ORDER("COMPLETED", CAPTURE("COMPLETED", "19.99", "0000")), ORDER_SUCCEEDED, GATEWAY_DONE,
         GATEWAY_FAILED},
        {ORDER("COMPLETED", CAPTURE("REFUNDED", "19.99", "0000")), ORDER_SUCCEEDED, GATEWAY_DONE,
         GATEWAY_FAILED},
        {ORDER("COMPLETED", CAPTURE("PARTIALLY_REFUNDED", "19.99", "0000")), ORDER_SUCCEEDED, GATEWAY_DONE,
         GATEWAY_FAILED},
        {ORDER("COMPLETED", CAPTURE("PENDING", "19.99", "0000")), ORDER_PENDING, GATEWAY_DONE,
         GATEWAY_FAILED},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        hear(CONNECTOR_STATUS, 0, 200, rows[i].body);
        assert_int_equal(verdict.outcome, GATEWAY_DONE);
        assert_int_equal(verdict.order_state, rows[i].state);
        hear(CONNECTOR_CONFIRM, 0, 201, rows[i].body);
        assert_int_equal(verdict.outcome, rows[i].confirm);
        hear(CONNECTOR_ABANDON, 0, 200, rows[i].body);
        assert_int_equal(verdict.outcome, rows[i].abandon);
    }
    hear(CONNECTOR_CREATE, 0, 201, ORDER("CREATED", ""));
    expect(GATEWAY_DONE, ORDER_OPEN, REASON_NONE);
    assert_string_equal(verdict.order_ref, "5O190127TN364715T");
}

static void an_answer_about_something_else_is_a_bad_answer(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "",
        "[]",
        "{}",
        "<html>",
        ORDER("COMPLETED", ""),
        ORDER("A_STATE_OF_TOMORROW", ""),
        ORDER("COMPLETED", CAPTURE("COMPLETED", "19.98", "0000")),
        ORDER("COMPLETED", CAPTURE("COMPLETED", "1999", "0000")),
        ORDER("COMPLETED", CAPTURE("STRANGE", "19.99", "0000")),
        "{\"id\":\"5O190127TN364715T\",\"status\":\"VOIDED\",\"purchase_units\":[{\"amount\":{\"currency_"
        "code\":\"EUR\","
        "\"value\":\"19.99\"}}]}",
        "{\"id\":\"ANOTHER\",\"status\":\"VOIDED\"," UNIT("") "}",
        "{\"id\":\"5O190127TN364715T\",\"status\":\"VOIDED\",\"purchase_units\":[]}",
    };
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        hear(CONNECTOR_STATUS, 0, 200, bodies[i]);
        expect(GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER);
        hear(CONNECTOR_CONFIRM, 0, 201, bodies[i]);
        expect(GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER);
    }
    hear(CONNECTOR_TOKENISE, 1, 201, "{\"id\":\"" CARD "\"}");
    expect(GATEWAY_FAILED, ORDER_NONE, REASON_BAD_ANSWER);
    assert_string_equal(verdict.token, "");
}

static void every_status_has_its_outcome(void **state)
{
    (void)state;
    static const struct {
        unsigned status;
        enum gateway_outcome confirm, create;
        enum gateway_reason reason;
        enum connector_again again;
    } rows[] = {
        {400, GATEWAY_FAILED, GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_FINAL},
        {401, GATEWAY_FAILED, GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_LOGIN},
        {403, GATEWAY_FAILED, GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_FINAL},
        {404, GATEWAY_FAILED, GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_FINAL},
        {409, GATEWAY_NO_ANSWER, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE, CONNECTOR_AGAIN},
        {422, GATEWAY_FAILED, GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_FINAL},
        {429, GATEWAY_UNAVAILABLE, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE, CONNECTOR_AGAIN},
        {500, GATEWAY_NO_ANSWER, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE, CONNECTOR_AGAIN},
        {503, GATEWAY_NO_ANSWER, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE, CONNECTOR_AGAIN},
        {418, GATEWAY_NO_ANSWER, GATEWAY_FAILED, REASON_BAD_ANSWER, CONNECTOR_FINAL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        hear(CONNECTOR_CONFIRM, 0, rows[i].status, "{\"name\":\"X\"}");
        expect(rows[i].confirm, ORDER_NONE, rows[i].reason);
        assert_int_equal(verdict.again, rows[i].again);
        hear(CONNECTOR_CREATE, 0, rows[i].status, "{\"name\":\"X\"}");
        expect(rows[i].create, ORDER_NONE, rows[i].reason);
    }
    hear(CONNECTOR_STATUS, 0, 404, "{\"name\":\"RESOURCE_NOT_FOUND\"}");
    expect(GATEWAY_DONE, ORDER_UNKNOWN_TO_GATEWAY, REASON_NONE);
    hear(CONNECTOR_CONFIRM, 0, 403, "<html>");
    expect(GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER);
}

static void a_setup_token_leads_to_the_next_round(void **state)
{
    (void)state;
    hear(CONNECTOR_TOKENISE, 0, 201, "{\"id\":\"5C991763VB2781612\",\"status\":\"APPROVED\"}");
    assert_int_equal(verdict.again, CONNECTOR_NEXT);
    assert_string_equal(verdict.token, "5C991763VB2781612");
    hear(CONNECTOR_TOKENISE, 0, 201, "{\"id\":\"5C991763VB2781612\",\"status\":\"PAYER_ACTION_REQUIRED\"}");
    expect(GATEWAY_DECLINED, ORDER_NONE, REASON_NEEDS_AUTHENTICATION);
    hear(CONNECTOR_TOKENISE, 1, 201, "{\"id\":\"8kk8451t\"}");
    expect(GATEWAY_DONE, ORDER_NONE, REASON_NONE);
}

/* --- after the card --- */

static struct connector_case the;

static int begin(void **state)
{
    (void)state;
    case_begin(&the, &paypal_connector, "8kk8451t", "5O190127TN364715T");
    return 0;
}

#define MONEY(value) "\"amount\":{\"currency_code\":\"USD\",\"value\":\"" value "\"}"

static void each_change_is_said_as_the_reference_has_it(void **state)
{
    (void)state;
    static const enum connector_operation readers[] = {CONNECTOR_CAPTURE, CONNECTOR_VOID, CONNECTOR_REFUND,
                                                       CONNECTOR_ABANDON};
    for (size_t i = 0; i < 4; i++) {
        case_step(&the, readers[i]);
        case_says(&the, "GET", "/v2/checkout/orders/5O190127TN364715T", "");
    }
    case_step(&the, CONNECTOR_CAPTURE);
    case_round(&the, 1, "authorizations/3C6/capture");
    case_says(&the, "POST", "/v2/payments/authorizations/3C6/capture",
              "{" MONEY("19.99") ",\"invoice_id\":\"ord_aaaaaaaaaaaaaaba\",\"final_capture\":true}");
    assert_non_null(strstr(the.request.headers, "PayPal-Request-Id: ord_aaaaaaaaaaaaaaba-capture-1\n"));
    case_round(&the, 1, "capture");
    case_says(&the, "POST", "/v2/checkout/orders/5O190127TN364715T/capture", "{}");
    case_step(&the, CONNECTOR_VOID);
    case_round(&the, 1, "authorizations/3C6/void");
    case_says(&the, "POST", "/v2/payments/authorizations/3C6/void", "");
    case_step(&the, CONNECTOR_REFUND);
    case_round(&the, 1, "captures/2GG/refund");
    case_says(&the, "POST", "/v2/payments/captures/2GG/refund",
              "{" MONEY("19.99") ",\"invoice_id\":\"ord_aaaaaaaaaaaaaaba\"}");
    case_step(&the, CONNECTOR_LINK);
    case_says(
        &the, "POST", "/v2/checkout/orders",
        "{\"intent\":\"CAPTURE\",\"purchase_units\":[{\"custom_id\":\"call_aaaaaaaaaaaaaaca\",\"invoice_id\":"
        "\"ord_aaaaaaaaaaaaaaba\"," MONEY("19.99") "}]}");
    the.step.is_authorise_only = true;
    case_step(&the, CONNECTOR_CREATE);
    assert_int_equal(case_build(&the), OK);
    assert_non_null(strstr(the.body, "\"intent\":\"AUTHORIZE\""));
    case_step(&the, CONNECTOR_CONFIRM);
    assert_int_equal(case_build(&the), OK);
    assert_string_equal(the.request.path, "/v2/checkout/orders/5O190127TN364715T/authorize");
    case_step(&the, CONNECTOR_SUBSCRIBE);
    assert_int_equal(case_build(&the), ERR_RANGE);
}

#define HELD(status, value)                                                                                  \
    ",\"payments\":{\"authorizations\":[{\"id\":\"3C679366HH908993F\",\"status\":\"" status                  \
    "\"," MONEY(value) "}]}"
#define TAKEN(status, refunds)                                                                               \
    ",\"payments\":{\"captures\":[{\"id\":\"2GG279541U471931P\",\"status\":\"" status                        \
    "\"," MONEY("19.99") "}]" refunds "}"
#define GIVEN(name, status, value)                                                                           \
    ",\"refunds\":[{\"id\":\"1JU08902781691411\",\"status\":\"" status "\",\"invoice_id\":\"" name           \
    "\"," MONEY(value) "}]"

static void every_state_of_an_authorisation_is_known(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        enum gateway_order_state held, charged; /* charged: as the answer to a charge */
        enum gateway_outcome confirm, abandon;
    } rows[] = {
        {ORDER("COMPLETED", HELD("CREATED", "19.99")), ORDER_AUTHORISED, ORDER_PENDING, GATEWAY_DONE,
         GATEWAY_NO_ANSWER},
        {ORDER("COMPLETED", HELD("PENDING", "19.99")), ORDER_PENDING, ORDER_PENDING, GATEWAY_DONE,
         GATEWAY_FAILED},
        {ORDER("COMPLETED", HELD("CAPTURED", "19.99")), ORDER_SUCCEEDED, ORDER_SUCCEEDED, GATEWAY_DONE,
         GATEWAY_FAILED},
        {ORDER("COMPLETED", HELD("PARTIALLY_CAPTURED", "19.99")), ORDER_SUCCEEDED, ORDER_SUCCEEDED,
         GATEWAY_DONE, GATEWAY_FAILED},
        {ORDER("COMPLETED", HELD("VOIDED", "19.99")), ORDER_CANCELLED, ORDER_CANCELLED, GATEWAY_FAILED,
         GATEWAY_DONE},
        {ORDER("COMPLETED", HELD("EXPIRED", "19.99")), ORDER_CANCELLED, ORDER_CANCELLED, GATEWAY_FAILED,
         GATEWAY_DONE},
        {ORDER("COMPLETED", HELD("DENIED", "19.99")), ORDER_OPEN, ORDER_OPEN, GATEWAY_DECLINED, GATEWAY_DONE},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        the.step.is_authorise_only = false;
        case_step(&the, CONNECTOR_STATUS);
        case_hear(&the, 200, "", rows[i].body);
        assert_int_equal(the.verdict.order_state, rows[i].charged);
        the.step.is_authorise_only = true;
        case_hear(&the, 200, "", rows[i].body);
        assert_int_equal(the.verdict.order_state, rows[i].held);
        case_step(&the, CONNECTOR_CONFIRM);
        case_hear(&the, 201, "", rows[i].body);
        assert_int_equal(the.verdict.outcome, rows[i].confirm);
        case_step(&the, CONNECTOR_ABANDON);
        case_hear(&the, 200, "", rows[i].body);
        assert_int_equal(the.verdict.outcome, rows[i].abandon);
        assert_int_equal(the.verdict.again == CONNECTOR_NEXT, rows[i].abandon == GATEWAY_NO_ANSWER);
    }
    case_step(&the, CONNECTOR_STATUS);
    case_hear(&the, 200, "", ORDER("COMPLETED", HELD("CREATED", "19.98")));
    case_expect(&the, GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER);
}

static void an_order_tells_what_a_change_needs(void **state)
{
    (void)state;
    static const struct {
        enum connector_operation operation;
        const char *body, *carry; /* "": no further round */
        enum gateway_outcome outcome;
    } rows[] = {
        {CONNECTOR_CAPTURE, ORDER("COMPLETED", HELD("CREATED", "19.99")),
         "authorizations/3C679366HH908993F/capture", GATEWAY_NO_ANSWER},
        {CONNECTOR_CAPTURE, ORDER("APPROVED", ""), "capture",
         GATEWAY_FAILED}, /* of a link; FAILED if it cannot be said */
        {CONNECTOR_CAPTURE, ORDER("CREATED", ""), "", GATEWAY_FAILED},
        {CONNECTOR_CAPTURE, ORDER("COMPLETED", TAKEN("COMPLETED", "")), "", GATEWAY_DONE},
        {CONNECTOR_CAPTURE, ORDER("COMPLETED", TAKEN("PENDING", "")), "", GATEWAY_UNAVAILABLE},
        {CONNECTOR_CAPTURE, ORDER("COMPLETED", HELD("VOIDED", "19.99")), "", GATEWAY_FAILED},
        {CONNECTOR_VOID, ORDER("COMPLETED", HELD("CREATED", "19.99")),
         "authorizations/3C679366HH908993F/void", GATEWAY_NO_ANSWER},
        {CONNECTOR_VOID, ORDER("COMPLETED", HELD("VOIDED", "19.99")), "", GATEWAY_DONE},
        {CONNECTOR_VOID, ORDER("COMPLETED", TAKEN("COMPLETED", "")), "",
         GATEWAY_FAILED}, /* that would be a refund */
        {CONNECTOR_REFUND, ORDER("COMPLETED", TAKEN("COMPLETED", "")), "captures/2GG279541U471931P/refund",
         GATEWAY_NO_ANSWER},
        {CONNECTOR_REFUND,
         ORDER("COMPLETED", TAKEN("PARTIALLY_REFUNDED", GIVEN("ord_another", "COMPLETED", "5.00"))),
         "captures/2GG279541U471931P/refund", GATEWAY_NO_ANSWER},
        {CONNECTOR_REFUND,
         ORDER("COMPLETED", TAKEN("REFUNDED", GIVEN("ord_aaaaaaaaaaaaaaba", "COMPLETED", "19.99"))), "",
         GATEWAY_DONE},
        {CONNECTOR_REFUND,
         ORDER("COMPLETED", TAKEN("COMPLETED", GIVEN("ord_aaaaaaaaaaaaaaba", "FAILED", "19.99"))), "",
         GATEWAY_FAILED},
        {CONNECTOR_REFUND,
         ORDER("COMPLETED", TAKEN("REFUNDED", GIVEN("ord_aaaaaaaaaaaaaaba", "COMPLETED", "1.00"))), "",
         GATEWAY_NO_ANSWER},
        {CONNECTOR_REFUND, ORDER("COMPLETED", HELD("CREATED", "19.99")), "", GATEWAY_FAILED},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        case_step(&the, rows[i].operation);
        case_hear(&the, 200, "", rows[i].body);
        assert_int_equal(the.verdict.outcome, rows[i].outcome);
        assert_string_equal(the.verdict.carry, rows[i].carry);
        assert_int_equal(the.verdict.again == CONNECTOR_NEXT, rows[i].carry[0] != '\0');
    }
    the.step.amount_minor = 500; /* a part is ours to give back, more than all is not */
    case_hear(&the, 200, "", ORDER("COMPLETED", TAKEN("COMPLETED", "")));
    assert_int_equal(the.verdict.again, CONNECTOR_NEXT);
    the.step.amount_minor = 2000;
    case_hear(&the, 200, "", ORDER("COMPLETED", TAKEN("COMPLETED", "")));
    case_expect(&the, GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER);
}

static void every_change_has_its_answer(void **state)
{
    (void)state;
#define DONE(status, value) "{\"id\":\"2GG279541U471931P\",\"status\":\"" status "\"," MONEY(value) "}"
    static const struct {
        enum connector_operation operation;
        const char *carry;
        unsigned status;
        const char *body;
        enum gateway_outcome outcome;
        enum gateway_order_state state;
        enum gateway_reason reason;
    } rows[] = {
        {CONNECTOR_CAPTURE, "authorizations/3/capture", 201, DONE("COMPLETED", "19.99"), GATEWAY_DONE,
         ORDER_SUCCEEDED, REASON_NONE},
        {CONNECTOR_CAPTURE, "authorizations/3/capture", 201, DONE("PENDING", "19.99"), GATEWAY_DONE,
         ORDER_SUCCEEDED, REASON_NONE},
        {CONNECTOR_CAPTURE, "authorizations/3/capture", 201, DONE("DECLINED", "19.99"), GATEWAY_DECLINED,
         ORDER_OPEN, REASON_DECLINED},
        {CONNECTOR_CAPTURE, "authorizations/3/capture", 201, DONE("COMPLETED", "19.98"), GATEWAY_NO_ANSWER,
         ORDER_NONE, REASON_BAD_ANSWER},
        {CONNECTOR_CAPTURE, "authorizations/3/capture", 422,
         "{\"name\":\"UNPROCESSABLE_ENTITY\",\"details\":[{\"issue\":\"AUTHORIZATION_VOIDED\"}]}",
         GATEWAY_FAILED, ORDER_NONE, REASON_PROCESSING_ERROR},
        {CONNECTOR_CAPTURE, "authorizations/3/capture", 503, "", GATEWAY_NO_ANSWER, ORDER_NONE,
         REASON_UNAVAILABLE},
        {CONNECTOR_CAPTURE, "capture", 201, ORDER("COMPLETED", CAPTURE("COMPLETED", "19.99", "0000")),
         GATEWAY_DONE, ORDER_SUCCEEDED, REASON_NONE},
        {CONNECTOR_CAPTURE, "capture", 201, ORDER("COMPLETED", CAPTURE("DECLINED", "19.99", "5120")),
         GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER},
        {CONNECTOR_VOID, "authorizations/3/void", 204, "", GATEWAY_DONE, ORDER_CANCELLED, REASON_NONE},
        {CONNECTOR_VOID, "authorizations/3/void", 200, "{\"id\":\"3\",\"status\":\"VOIDED\"}", GATEWAY_DONE,
         ORDER_CANCELLED, REASON_NONE},
        {CONNECTOR_VOID, "authorizations/3/void", 200, "{\"id\":\"3\",\"status\":\"CREATED\"}",
         GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER},
        {CONNECTOR_ABANDON, "authorizations/3/void", 204, "", GATEWAY_DONE, ORDER_CANCELLED, REASON_NONE},
        {CONNECTOR_REFUND, "captures/2/refund", 201, DONE("COMPLETED", "19.99"), GATEWAY_DONE, ORDER_NONE,
         REASON_NONE},
        {CONNECTOR_REFUND, "captures/2/refund", 201, DONE("FAILED", "19.99"), GATEWAY_FAILED, ORDER_NONE,
         REASON_PROCESSING_ERROR},
        {CONNECTOR_REFUND, "captures/2/refund", 201, DONE("COMPLETED", "1.00"), GATEWAY_NO_ANSWER, ORDER_NONE,
         REASON_BAD_ANSWER},
        {CONNECTOR_REFUND, "captures/2/refund", 422,
         "{\"name\":\"UNPROCESSABLE_ENTITY\",\"details\":[{\"issue\":\"CAPTURE_FULLY_REFUNDED\"}]}",
         GATEWAY_FAILED, ORDER_NONE, REASON_PROCESSING_ERROR},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        case_step(&the, rows[i].operation);
        case_round(&the, 1, rows[i].carry);
        case_hear(&the, rows[i].status, "", rows[i].body);
        case_expect(&the, rows[i].outcome, rows[i].state, rows[i].reason);
    }
    case_step(&the, CONNECTOR_REFUND);
    case_hear(&the, 503, "", ""); /* only the order was asked for */
    case_expect(&the, GATEWAY_UNAVAILABLE, ORDER_NONE, REASON_UNAVAILABLE);
}

/* Such an order comes about: what could be mistaken for a card number is taken with a '_' in it, and given back without. */
static void an_order_of_many_digits_is_taken_and_given_back(void **state)
{
    (void)state;
    static const char id[] = "1JU08902781691411";
    char body[256];
    snprintf(body, sizeof(body), "{\"id\":\"%s\",\"status\":\"CREATED\"," UNIT("") "}", id);
    case_step(&the, CONNECTOR_CREATE);
    case_hear(&the, 201, "", body);
    case_expect(&the, GATEWAY_DONE, ORDER_OPEN, REASON_NONE);
    assert_string_equal(the.verdict.order_ref, "1JU08902781_691411");
    memcpy(the.step.order_ref, the.verdict.order_ref, sizeof(the.step.order_ref));
    case_step(&the, CONNECTOR_STATUS);
    case_says(&the, "GET", "/v2/checkout/orders/1JU08902781691411", "");
    case_hear(&the, 200, "", body);
    case_expect(&the, GATEWAY_DONE, ORDER_OPEN, REASON_NONE);
}

static void a_link_is_believed_only_whole(void **state)
{
    (void)state;
#define LINKED(value, rel, href)                                                                             \
    "{\"id\":\"5O190127TN364715T\",\"status\":\"CREATED\",\"purchase_units\":[{" MONEY(                      \
        value) "}],\"links\":[{\"rel\":\"self\",\"href\":\"https://x\"},{\"rel\":\"" rel                     \
               "\",\"href\":\"" href "\"}]}"
    static const struct {
        const char *body;
        enum gateway_outcome outcome;
    } rows[] = {
        {LINKED("19.99", "approve", "https://www.paypal.com/checkoutnow?token=5O190127TN364715T"),
         GATEWAY_DONE},
        {LINKED("19.99", "payer-action", "https://www.paypal.com/checkoutnow?token=5O190127TN364715T"),
         GATEWAY_DONE},
        {LINKED("19.98", "approve", "https://www.paypal.com/checkoutnow?token=5O190127TN364715T"),
         GATEWAY_NO_ANSWER},
        {LINKED("19.99", "approve", "http://www.paypal.com/checkoutnow"), GATEWAY_NO_ANSWER},
        {LINKED("19.99", "other", "https://www.paypal.com/checkoutnow"), GATEWAY_NO_ANSWER},
    };
    case_step(&the, CONNECTOR_LINK);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool is_done = rows[i].outcome == GATEWAY_DONE;
        case_hear(&the, 201, "", rows[i].body);
        case_expect(&the, rows[i].outcome, is_done ? ORDER_OPEN : ORDER_NONE,
                    is_done ? REASON_NONE : REASON_BAD_ANSWER);
        assert_string_equal(the.verdict.url,
                            is_done ? "https://www.paypal.com/checkoutnow?token=5O190127TN364715T" : "");
    }
}

/* --- the whole way --- */

static struct fake fake;
static struct rig rig;

static void open_rig(unsigned refused)
{
    size_t capacity;
    fake_start(&fake, FAKE_PAYPAL, refused, rig_path("right"));
    struct step_settings settings = rig_settings(fake.url);
    settings.connector = &paypal_connector;
    memcpy(secret_buffer(settings.key, &capacity), "client:secret", 13);
    secret_set_length(settings.key, 13);
    rig_open(&rig, &settings);
}

static void a_payment_logs_in_once_and_takes_its_rounds(void **state)
{
    (void)state;
    open_rig(0);
    struct gateway_tokenise_msg card = rig_tokenise(1, 1, CARD);
    assert_int_equal(rig_ask(&rig, &card)->outcome, GATEWAY_DONE);
    assert_string_equal(rig.reply.token, "vaulted1");
    struct gateway_order_msg order = rig_create(1, 1, 1999, rig.reply.token);
    assert_int_equal(rig_ask(&rig, &order)->outcome, GATEWAY_DONE);
    struct gateway_step_msg confirm = rig_step(GATEWAY_CONFIRM, 1, 1, 1999, "vaulted1", rig.reply.order_ref);
    assert_int_equal(rig_ask(&rig, &confirm)->outcome, GATEWAY_DONE);
    assert_int_equal(rig.reply.order_state, ORDER_SUCCEEDED);
    struct gateway_step_msg status = rig_step(GATEWAY_STATUS, 1, 1, 1999, "", rig.reply.order_ref);
    assert_int_equal(rig_ask(&rig, &status)->order_state, ORDER_SUCCEEDED);
    assert_int_equal(fake.counts->logins, 1);
    assert_int_equal(fake.counts->cards, 1);
    assert_int_equal(wipe_heap_count_pattern(CARD, 16), 0);
    rig_close(&rig);
    fake_stop(&fake);
}

static void a_refused_access_token_is_renewed_once(void **state)
{
    (void)state;
    open_rig(1); /* the first token is refused wherever it is shown */
    struct gateway_tokenise_msg card = rig_tokenise(1, 1, CARD);
    assert_int_equal(rig_ask(&rig, &card)->outcome, GATEWAY_DONE);
    assert_int_equal(fake.counts->logins, 2);
    rig_close(&rig);
    fake_stop(&fake);
    open_rig(1000); /* all are */
    assert_int_equal(rig_ask(&rig, &card)->outcome, GATEWAY_FAILED);
    assert_int_equal(rig.reply.reason, REASON_CONFIGURATION);
    assert_int_equal(fake.counts->logins, 2);
    rig_close(&rig);
    fake_stop(&fake);
}

static void a_login_that_fails_sends_no_card(void **state)
{
    (void)state;
    size_t capacity;
    fake_start(&fake, FAKE_PAYPAL, 0, rig_path("right"));
    struct step_settings settings = rig_settings(fake.url);
    settings.connector = &paypal_connector;
    memcpy(secret_buffer(settings.key, &capacity), "client:wrong!", 13);
    secret_set_length(settings.key, 13);
    rig_open(&rig, &settings);
    struct gateway_tokenise_msg card = rig_tokenise(1, 1, CARD);
    assert_int_equal(rig_ask(&rig, &card)->outcome, GATEWAY_FAILED);
    assert_int_equal(rig.reply.reason, REASON_CONFIGURATION);
    assert_int_equal(fake.counts->cards, 0);
    assert_int_equal(wipe_heap_count_pattern(CARD, 16), 0);
    rig_close(&rig);
    fake_stop(&fake);
}

/* --- against the strict server --- */

static struct strict strict;

static int start(void **state)
{
    (void)state;
    strict = (struct strict){.connector = &paypal_connector, .key = "client:secret"};
    strict_start(&strict, "paypal");
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

/* Of the first order: refunds, captures or authorizations. */
static size_t count(const char *payments)
{
    json_t *books = strict_books(&strict);
    const json_t *first = json_array_get(json_object_get(books, "orders"), 0);
    const json_t *unit = json_array_get(json_object_get(first, "purchase_units"), 0);
    size_t entries = json_array_size(json_object_get(json_object_get(unit, "payments"), payments));
    json_decref(books);
    return entries;
}

static void hold(uint64_t capture)
{
    struct gateway_tokenise_msg card = rig_tokenise(capture, 1, CARD);
    assert_int_equal(rig_ask(&strict.rig, &card)->outcome, GATEWAY_DONE);
    memcpy(strict_token, strict.rig.reply.token, sizeof(strict_token));
    struct gateway_order_msg create = rig_create(capture, 1, 1999, strict_token);
    create.is_authorise_only = 1;
    assert_int_equal(rig_ask(&strict.rig, &create)->outcome, GATEWAY_DONE);
    memcpy(strict_order_ref, strict.rig.reply.order_ref, sizeof(strict_order_ref));
    struct gateway_step_msg step =
        rig_step(GATEWAY_CONFIRM, capture, 1, 1999, strict_token, strict_order_ref);
    step.is_authorise_only = 1;
    assert_int_equal(rig_ask(&strict.rig, &step)->order_state, ORDER_AUTHORISED);
}

static void a_payment_and_what_follows_it(void **state)
{
    (void)state;
    strict_pay(&strict, 1, ORDER_SUCCEEDED);
    struct connector_step refund = strict_order(CONNECTOR_REFUND, 0x31);
    strict_lose(&strict, &refund, 1);
    strict_tell(&strict, "set?hours=over"); /* the request id is forgotten: only looking for it helps */
    assert_int_equal(order(CONNECTOR_REFUND, 0x31), GATEWAY_DONE);
    assert_int_equal(count("refunds"), 1);
    assert_int_equal(order(CONNECTOR_VOID, 0x32), GATEWAY_FAILED);
    hold(2);
    assert_int_equal(order(CONNECTOR_CAPTURE, 0x33), GATEWAY_DONE);
    strict_tell(&strict, "set?hours=over");
    assert_int_equal(order(CONNECTOR_CAPTURE, 0x33), GATEWAY_DONE);
    assert_int_equal(order(CONNECTOR_REFUND, 0x34), GATEWAY_DONE);
    hold(3);
    assert_int_equal(order(CONNECTOR_VOID, 0x35), GATEWAY_DONE);
    assert_int_equal(order(CONNECTOR_VOID, 0x35), GATEWAY_DONE);
    assert_int_equal(order(CONNECTOR_CAPTURE, 0x36), GATEWAY_FAILED);
    hold(4);
    struct gateway_step_msg abandon = rig_step(GATEWAY_ABANDON, 4, 1, 1999, "", strict_order_ref);
    abandon.is_authorise_only = 1;
    assert_int_equal(rig_ask(&strict.rig, &abandon)->order_state, ORDER_CANCELLED);
}

static void a_link_is_approved_and_then_captured(void **state)
{
    (void)state;
    char approve[LIMIT_TOKEN_BYTES + 16], id[LIMIT_TOKEN_BYTES];
    assert_int_equal(order(CONNECTOR_LINK, 0x41), GATEWAY_DONE);
    assert_int_equal(strncmp(verdict.url, "https://www.sandbox.paypal.com/", 31), 0);
    memcpy(strict_order_ref, verdict.order_ref, sizeof(strict_order_ref));
    assert_int_equal(order(CONNECTOR_CAPTURE, 0x42), GATEWAY_FAILED); /* nobody approved it yet */
    connector_give_long(strict_order_ref, id);
    snprintf(approve, sizeof(approve), "set?approve=%s", id);
    strict_tell(&strict, approve);
    assert_int_equal(order(CONNECTOR_CAPTURE, 0x42), GATEWAY_DONE);
    assert_int_equal(count("captures"), 1);
}

static void a_decline_is_a_decline(void **state)
{
    (void)state;
    struct gateway_tokenise_msg card = rig_tokenise(1, 1, CARD);
    assert_int_equal(rig_ask(&strict.rig, &card)->outcome, GATEWAY_DONE);
    struct gateway_order_msg create = rig_create(1, 1, 1999, strict.rig.reply.token);
    memcpy(strict_token, strict.rig.reply.token, sizeof(strict_token));
    assert_int_equal(rig_ask(&strict.rig, &create)->outcome, GATEWAY_DONE);
    strict_tell(&strict, "set?decline=5120");
    struct gateway_step_msg confirm =
        rig_step(GATEWAY_CONFIRM, 1, 1, 1999, strict_token, strict.rig.reply.order_ref);
    assert_int_equal(rig_ask(&strict.rig, &confirm)->outcome, GATEWAY_DECLINED);
    assert_int_equal(strict.rig.reply.reason, REASON_INSUFFICIENT_FUNDS);
}

static void the_server_refuses_what_is_wrong(void **state)
{
    (void)state;
    strict_pay(&strict, 1, ORDER_SUCCEEDED);
    static const struct {
        enum connector_operation operation;
        const char *from, *to;
    } rows[] = {
        {CONNECTOR_STATUS, "Bearer ", "Bearer x"},
        {CONNECTOR_CREATE, "PayPal-Request-Id", "X"},
        {CONNECTOR_CREATE, "Prefer: return=representation", "Prefer: return=minimal"},
        {CONNECTOR_CREATE, "Content-Type: application/json", "Content-Type: text/plain"},
        {CONNECTOR_CREATE, "\"CAPTURE\"", "\"SALE\""},
        {CONNECTOR_CREATE, "\"19.99\"", "1999"},
        {CONNECTOR_CREATE, "\"USD\"", "\"usd\""},
        {CONNECTOR_CREATE, "\"custom_id\"", "\"call_id\""},
        {CONNECTOR_TOKENISE, "2034-12", "12/34"},
        {CONNECTOR_TOKENISE, "security_code", "cvv"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct gateway_tokenise_msg card = rig_tokenise(9, 1, CARD);
        struct connector_step step = strict_order(rows[i].operation, 9);
        step.attempt = 1;
        step.card = rows[i].operation == CONNECTOR_TOKENISE ? &card : NULL;
        strict_plant(&strict, &step, rows[i].from, rows[i].to);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_step_is_said_as_the_reference_has_it),
        cmocka_unit_test(every_issue_has_its_outcome),
        cmocka_unit_test(every_processor_code_has_its_reason),
        cmocka_unit_test(every_state_of_an_order_is_known),
        cmocka_unit_test(an_answer_about_something_else_is_a_bad_answer),
        cmocka_unit_test(every_status_has_its_outcome),
        cmocka_unit_test(a_setup_token_leads_to_the_next_round),
        cmocka_unit_test_setup(each_change_is_said_as_the_reference_has_it, begin),
        cmocka_unit_test_setup(every_state_of_an_authorisation_is_known, begin),
        cmocka_unit_test_setup(an_order_tells_what_a_change_needs, begin),
        cmocka_unit_test_setup(every_change_has_its_answer, begin),
        cmocka_unit_test_setup(an_order_of_many_digits_is_taken_and_given_back, begin),
        cmocka_unit_test_setup(a_link_is_believed_only_whole, begin),
        cmocka_unit_test(a_payment_logs_in_once_and_takes_its_rounds),
        cmocka_unit_test(a_refused_access_token_is_renewed_once),
        cmocka_unit_test(a_login_that_fails_sends_no_card),
    };
    rig_setup();
    const struct CMUnitTest payments[] = {
        cmocka_unit_test_setup_teardown(a_payment_and_what_follows_it, start, stop),
        cmocka_unit_test_setup_teardown(a_link_is_approved_and_then_captured, start, stop),
        cmocka_unit_test_setup_teardown(a_decline_is_a_decline, start, stop),
        cmocka_unit_test_setup_teardown(the_server_refuses_what_is_wrong, start, stop),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (strict_is_possible())
        failed += cmocka_run_group_tests(payments, NULL, NULL);
    rig_teardown();
    return failed;
}
