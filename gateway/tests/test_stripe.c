/* Stripe's connector row by row: what is said, and what each answer means; and what follows the card, against a server
 * that keeps idempotency keys for as long as Stripe does. */
#include "gateway/connectors/stripe.h"
#include "gateway/tests/connector_case.h"
#include "gateway/tests/strict/strict_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NUMBER "4242424242424242"

static struct connector_request request;
static struct connector_verdict verdict;
static struct gateway_tokenise_msg card;

static struct connector_step make_step(enum connector_operation operation)
{
    struct connector_step step = {.operation = operation,
                                  .capture_id = 0x10,
                                  .call_id = 0x20,
                                  .attempt = 2,
                                  .amount_minor = 4250,
                                  .currency = "EUR",
                                  .token = "pm_token",
                                  .order_ref = "pi_order"};
    if (operation == CONNECTOR_TOKENISE) {
        memset(&card, 0, sizeof(card));
        card.number_length = 16;
        for (size_t i = 0; i < 16; i++)
            card.number[i] = (uint8_t)(NUMBER[i] - '0');
        card.cvv_length = 3;
        card.cvv[0] = 9;
        card.expiry_month = 7;
        card.expiry_year = 31;
        step.card = &card;
        step.token[0] = step.order_ref[0] = step.currency[0] = '\0';
        step.amount_minor = 0;
    }
    return step;
}

static enum err build(const struct connector_step *step)
{
    static const struct connector_account account;
    secret_free(request.body);
    memset(&request, 0, sizeof(request));
    assert_int_equal(secret_new(&request.body, CONNECTOR_BODY_BYTES - 64), OK);
    return stripe_connector.build(&account, step, &request, &verdict);
}

static void body_is(const char *expected)
{
    assert_int_equal(secret_length(request.body), strlen(expected));
    assert_memory_equal(secret_bytes(request.body), expected, strlen(expected));
}

static void each_step_is_said_as_the_reference_has_it(void **state)
{
    (void)state;
    struct connector_step step = make_step(CONNECTOR_TOKENISE);
    assert_int_equal(build(&step), OK);
    assert_string_equal(request.path, "/v1/payment_methods");
    assert_true(request.has_card);
    body_is("type=card&card[number]=" NUMBER "&card[exp_month]=7&card[exp_year]=2031&card[cvc]=900");
    assert_non_null(strstr(request.headers, "Idempotency-Key: cap_aaaaaaaaaaaaaaba-2-tokenise\n"));

    step = make_step(CONNECTOR_CREATE);
    assert_int_equal(build(&step), OK);
    assert_string_equal(request.path, "/v1/payment_intents");
    assert_false(request.has_card);
    body_is("amount=4250&currency=eur&payment_method=pm_token&payment_method_types[]=card&"
            "capture_method=automatic&confirm=false&metadata[channel]=ivr&metadata[source]=ivr_payment_flow&"
            "metadata[call_id]=call_aaaaaaaaaaaaaaca&metadata[capture_id]=cap_aaaaaaaaaaaaaaba");

    step = make_step(CONNECTOR_CONFIRM);
    assert_int_equal(build(&step), OK);
    assert_string_equal(request.path, "/v1/payment_intents/pi_order/confirm");
    body_is("payment_method=pm_token&payment_method_options[card][moto]=true&error_on_requires_action=true");
    assert_non_null(strstr(request.headers, "Idempotency-Key: cap_aaaaaaaaaaaaaaba-2-confirm\n"));

    step = make_step(CONNECTOR_STATUS);
    assert_int_equal(build(&step), OK);
    assert_string_equal(request.method, "GET");
    assert_string_equal(request.path, "/v1/payment_intents/pi_order");
    body_is("");
    assert_null(strstr(request.headers, "Idempotency-Key"));

    step = make_step(CONNECTOR_ABANDON);
    assert_int_equal(build(&step), OK);
    assert_string_equal(request.path, "/v1/payment_intents/pi_order/cancel");
    body_is("cancellation_reason=abandoned");
    assert_null(strstr(request.headers, "Idempotency-Key")); /* a kept refusal must not be replayed */
}

static void what_stripe_would_refuse_is_not_built(void **state)
{
    (void)state;
    struct connector_step step = make_step(CONNECTOR_CREATE);
    step.amount_minor = -1;
    assert_int_equal(build(&step), ERR_RANGE);
    step = make_step(CONNECTOR_CREATE);
    step.amount_minor = LIMIT_AMOUNT_MINOR + 1;
    assert_int_equal(build(&step), ERR_RANGE);
    step = make_step(CONNECTOR_CREATE);
    memcpy(step.currency, "eur", 4);
    assert_int_equal(build(&step), ERR_RANGE);
    step = make_step(CONNECTOR_CREATE);
    memcpy(step.currency, "ISK", 4); /* two decimals at Stripe, none in ISO 4217 */
    assert_int_equal(build(&step), ERR_RANGE);
    step = make_step(CONNECTOR_CREATE);
    memcpy(step.currency, "KWD", 4);
    assert_int_equal(build(&step), OK);
    step.amount_minor = 4251;
    assert_int_equal(build(&step), ERR_RANGE);
    step = make_step(CONNECTOR_CONFIRM);
    step.order_ref[0] = '\0';
    assert_int_equal(build(&step), ERR_RANGE);
    step = make_step(CONNECTOR_STATUS);
    memcpy(step.order_ref, "pi_a/b", 7);
    assert_int_equal(build(&step), ERR_RANGE);
}

static const struct connector_verdict *hear(enum connector_operation operation, unsigned status,
                                            const char *headers, const char *body)
{
    struct connector_step step = make_step(operation);
    const struct connector_answer answer = {status, (const uint8_t *)body, strlen(body), headers};
    step.card = NULL;
    memset(&verdict, 0xee, sizeof(verdict));
    stripe_connector.read(&(struct connector_account){.mapping = NULL}, &step, &answer, &verdict);
    return &verdict;
}

static void expect(enum gateway_outcome outcome, enum gateway_order_state state, enum gateway_reason reason)
{
    assert_string_equal(gateway_outcome_name(verdict.outcome), gateway_outcome_name(outcome));
    assert_string_equal(gateway_reason_name(verdict.reason), gateway_reason_name(reason));
    assert_int_equal(verdict.order_state, state);
}

#define INTENT(status)                                                                                       \
    "{\"id\":\"pi_order\",\"object\":\"payment_intent\",\"amount\":4250,\"currency\":\"eur\",\"status\":"    \
    "\"" status "\",\"metadata\":{\"capture_id\":\"cap_aaaaaaaaaaaaaaba\"}}"

static void every_code_and_decline_code_has_its_reason(void **state)
{
    (void)state;
    static const struct {
        const char *code;
        const char *decline_code; /* NULL: the answer has none */
        enum gateway_reason reason;
    } rows[] = {
        {"card_declined", "insufficient_funds", REASON_INSUFFICIENT_FUNDS},
        {"card_declined", "lost_card", REASON_LOST_OR_STOLEN},
        {"card_declined", "stolen_card", REASON_LOST_OR_STOLEN},
        {"card_declined", "pickup_card", REASON_LOST_OR_STOLEN},
        {"card_declined", "expired_card", REASON_EXPIRED},
        {"card_declined", "invalid_expiry_month", REASON_EXPIRED},
        {"card_declined", "invalid_expiry_year", REASON_EXPIRED},
        {"card_declined", "incorrect_cvc", REASON_WRONG_CVV},
        {"card_declined", "invalid_cvc", REASON_WRONG_CVV},
        {"card_declined", "incorrect_number", REASON_WRONG_NUMBER},
        {"card_declined", "invalid_number", REASON_WRONG_NUMBER},
        {"card_declined", "invalid_account", REASON_WRONG_NUMBER},
        {"card_declined", "authentication_required", REASON_NEEDS_AUTHENTICATION},
        {"card_declined", "card_velocity_exceeded", REASON_LIMIT},
        {"card_declined", "withdrawal_count_limit_exceeded", REASON_LIMIT},
        {"card_declined", "processing_error", REASON_PROCESSING_ERROR},
        {"card_declined", "try_again_later", REASON_PROCESSING_ERROR},
        {"card_declined", "issuer_not_available", REASON_PROCESSING_ERROR},
        {"card_declined", "reenter_transaction", REASON_PROCESSING_ERROR},
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
        {"card_declined", "generic_decline", REASON_DECLINED},
        {"card_declined", "do_not_honor", REASON_DECLINED},
        {"card_declined", "fraudulent", REASON_DECLINED},
        {"card_declined", NULL, REASON_DECLINED},
        {"a_code_of_tomorrow", "and_its_decline", REASON_DECLINED},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char body[256];
        snprintf(body, sizeof(body), "{\"error\":{\"type\":\"card_error\",\"code\":\"%s\"%s%s%s}}",
                 rows[i].code, rows[i].decline_code ? ",\"decline_code\":\"" : "",
                 rows[i].decline_code ? rows[i].decline_code : "", rows[i].decline_code ? "\"" : "");
        hear(CONNECTOR_CONFIRM, 402, "", body);
        expect(GATEWAY_DECLINED, ORDER_NONE, rows[i].reason);
        assert_int_equal(verdict.again, CONNECTOR_FINAL);
        hear(CONNECTOR_TOKENISE, 402, "", body);
        expect(GATEWAY_DECLINED, ORDER_NONE, rows[i].reason);
    }
}

static void every_status_has_its_outcome(void **state)
{
    (void)state;
    static const struct {
        unsigned status;
        const char *headers;
        enum gateway_outcome confirm, create;
        enum gateway_reason reason;
        enum connector_again again;
        int wait_ms;
    } rows[] = {
        {400, "", GATEWAY_FAILED, GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_FINAL, -1},
        {401, "", GATEWAY_FAILED, GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_FINAL, -1},
        {402, "", GATEWAY_FAILED, GATEWAY_FAILED, REASON_PROCESSING_ERROR, CONNECTOR_FINAL, -1},
        {403, "", GATEWAY_FAILED, GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_FINAL, -1},
        {404, "", GATEWAY_FAILED, GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_FINAL, -1},
        {409, "", GATEWAY_NO_ANSWER, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE, CONNECTOR_AGAIN, -1},
        {424, "", GATEWAY_FAILED, GATEWAY_FAILED, REASON_UNAVAILABLE, CONNECTOR_FINAL, -1},
        {429, "retry-after: 3\n", GATEWAY_UNAVAILABLE, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE,
         CONNECTOR_AGAIN, 3000},
        {500, "", GATEWAY_NO_ANSWER, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE, CONNECTOR_AGAIN, -1},
        {500, "idempotent-replayed: true\n", GATEWAY_NO_ANSWER, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE,
         CONNECTOR_FINAL, -1},
        {500, "stripe-should-retry: false\n", GATEWAY_NO_ANSWER, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE,
         CONNECTOR_FINAL, -1},
        {500, "idempotent-replayed: true\nstripe-should-retry: true\n", GATEWAY_NO_ANSWER,
         GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE, CONNECTOR_AGAIN, -1},
        {409, "stripe-should-retry: false\n", GATEWAY_NO_ANSWER, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE,
         CONNECTOR_FINAL, -1},
        {400, "stripe-should-retry: true\n", GATEWAY_FAILED, GATEWAY_FAILED, REASON_CONFIGURATION,
         CONNECTOR_FINAL, -1},
        {502, "", GATEWAY_NO_ANSWER, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE, CONNECTOR_AGAIN, -1},
        {503, "retry-after: 99999999\n", GATEWAY_NO_ANSWER, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE,
         CONNECTOR_AGAIN, 3600000},
        {504, "retry-after: soon\n", GATEWAY_NO_ANSWER, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE,
         CONNECTOR_AGAIN, -1},
        {418, "", GATEWAY_NO_ANSWER, GATEWAY_FAILED, REASON_BAD_ANSWER, CONNECTOR_FINAL, -1},
        {302, "location: https://elsewhere.invalid/\n", GATEWAY_NO_ANSWER, GATEWAY_FAILED, REASON_BAD_ANSWER,
         CONNECTOR_FINAL, -1},
    };
    static const char *const error = "{\"error\":{\"type\":\"invalid_request_error\",\"code\":\"x\"}}";
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        hear(CONNECTOR_CONFIRM, rows[i].status, rows[i].headers, error);
        expect(rows[i].confirm, ORDER_NONE, rows[i].reason);
        assert_int_equal(verdict.again, rows[i].again);
        assert_int_equal(verdict.wait_ms, rows[i].wait_ms);
        hear(CONNECTOR_CREATE, rows[i].status, rows[i].headers, error);
        expect(rows[i].create, ORDER_NONE, rows[i].reason);
    }
    hear(CONNECTOR_CONFIRM, 503, "", "<html>down</html>");
    expect(GATEWAY_NO_ANSWER, ORDER_NONE, REASON_UNAVAILABLE);
    hear(CONNECTOR_CONFIRM, 403, "", "<html>a proxy's own page</html>");
    expect(GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER);
}

static void every_state_of_an_intent_is_known(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        enum gateway_order_state state;
        enum gateway_outcome confirm;
        enum gateway_reason confirm_reason;
    } rows[] = {
        {INTENT("requires_payment_method"), ORDER_OPEN, GATEWAY_DECLINED, REASON_DECLINED},
        {INTENT("requires_action"), ORDER_OPEN, GATEWAY_DECLINED, REASON_NEEDS_AUTHENTICATION},
        {INTENT("processing"), ORDER_PENDING, GATEWAY_DONE, REASON_NONE},
        {INTENT("requires_capture"), ORDER_PENDING, GATEWAY_DONE, REASON_NONE},
        {INTENT("canceled"), ORDER_CANCELLED, GATEWAY_FAILED, REASON_PROCESSING_ERROR},
        {INTENT("succeeded"), ORDER_SUCCEEDED, GATEWAY_DONE, REASON_NONE},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        hear(CONNECTOR_CONFIRM, 200, "", rows[i].body);
        expect(rows[i].confirm, rows[i].state, rows[i].confirm_reason);
        hear(CONNECTOR_STATUS, 200, "", rows[i].body);
        assert_int_equal(verdict.outcome, GATEWAY_DONE);
        assert_int_equal(verdict.order_state, rows[i].state);
        hear(CONNECTOR_ABANDON, 200, "", rows[i].body);
        assert_int_equal(verdict.outcome, rows[i].state == ORDER_CANCELLED ? GATEWAY_DONE : GATEWAY_FAILED);
    }
    hear(CONNECTOR_CONFIRM, 200, "", INTENT("requires_confirmation"));
    expect(GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER);
    hear(CONNECTOR_STATUS, 200, "", INTENT("a_state_of_tomorrow"));
    expect(GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER);
    hear(CONNECTOR_CREATE, 200, "", INTENT("requires_confirmation"));
    expect(GATEWAY_DONE, ORDER_OPEN, REASON_NONE);
    assert_string_equal(verdict.order_ref, "pi_order");
    hear(CONNECTOR_CREATE, 200, "",
         "{\"id\":\"pi_order\",\"object\":\"payment_intent\",\"amount\":4250,\"currency\":\"eur\",\"status\":"
         "\"requires_confirmation\",\"metadata\":{\"capture_id\":\"cap_aaaaaaaaaaaaaaca\"}}");
    expect(GATEWAY_FAILED, ORDER_NONE, REASON_BAD_ANSWER); /* somebody else's order of the same amount */
    hear(CONNECTOR_CREATE, 200, "", INTENT("succeeded"));
    expect(GATEWAY_FAILED, ORDER_NONE, REASON_BAD_ANSWER);
}

static void an_answer_about_something_else_is_a_bad_answer(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "",
        "[]",
        "null",
        "{",
        "{}",
        "<html></html>",
        "{\"id\":\"pi_order\",\"object\":\"payment_intent\",\"amount\":4251,\"currency\":\"eur\",\"status\":"
        "\"succeeded\"}",
        "{\"id\":\"pi_order\",\"object\":\"payment_intent\",\"amount\":\"4250\",\"currency\":\"eur\","
        "\"status\":\"succeeded\"}",
        "{\"id\":\"pi_order\",\"object\":\"payment_intent\",\"amount\":4250.0,\"currency\":\"eur\","
        "\"status\":\"succeeded\"}",
        "{\"id\":\"pi_order\",\"object\":\"payment_intent\",\"amount\":4250,\"currency\":\"usd\",\"status\":"
        "\"succeeded\"}",
        "{\"id\":\"pi_another\",\"object\":\"payment_intent\",\"amount\":4250,\"currency\":\"eur\","
        "\"status\":\"succeeded\"}",
        "{\"id\":\"pi_order\",\"object\":\"charge\",\"amount\":4250,\"currency\":\"eur\",\"status\":"
        "\"succeeded\"}",
        "{\"id\":\"pi_order\",\"object\":\"payment_intent\",\"amount\":4250,\"amount_received\":4249,"
        "\"currency\":\"eur\","
        "\"status\":\"succeeded\"}",
        "{\"id\":\"pi_order\",\"id\":\"pi_order\",\"object\":\"payment_intent\",\"amount\":4250,\"currency\":"
        "\"eur\","
        "\"status\":\"succeeded\"}",
    };
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        hear(CONNECTOR_CONFIRM, 200, "", bodies[i]);
        expect(GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER);
        hear(CONNECTOR_STATUS, 200, "", bodies[i]);
        expect(GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER);
        hear(CONNECTOR_TOKENISE, 200, "", bodies[i]);
        expect(GATEWAY_FAILED, ORDER_NONE, REASON_BAD_ANSWER);
    }
}

static void a_card_number_sent_back_is_no_token(void **state)
{
    (void)state;
    static const char *const ids[] = {
        "pm_" NUMBER,
        "pm_4242-4242-4242-4242",
        "pm_x4242_4242_4242_4242",
        NUMBER,
        "pm_",
        "pi_other",
        "pm_a b",
        "pm_a\\u0000b",
        "pm_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    char body[256];
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        snprintf(body, sizeof(body), "{\"object\":\"payment_method\",\"type\":\"card\",\"id\":\"%s\"}",
                 ids[i]);
        hear(CONNECTOR_TOKENISE, 200, "", body);
        expect(GATEWAY_FAILED, ORDER_NONE, REASON_BAD_ANSWER);
        assert_string_equal(verdict.token, "");
    }
    hear(CONNECTOR_TOKENISE, 200, "",
         "{\"object\":\"payment_method\",\"type\":\"card\",\"id\":\"pm_1Nv0FGQ9RKHgCVdK\"}");
    expect(GATEWAY_DONE, ORDER_NONE, REASON_NONE);
    assert_string_equal(verdict.token, "pm_1Nv0FGQ9RKHgCVdK");
}

#define ERROR_WITH(type, code, intent)                                                                       \
    "{\"error\":{\"type\":\"" type "\",\"code\":\"" code "\",\"payment_intent\":" intent "}}"

static void an_error_that_names_the_order_is_read_to_the_end(void **state)
{
    (void)state;
    hear(CONNECTOR_CONFIRM, 402, "",
         ERROR_WITH("card_error", "card_declined", INTENT("requires_payment_method")));
    expect(GATEWAY_DECLINED, ORDER_OPEN, REASON_DECLINED);
    hear(CONNECTOR_CONFIRM, 400, "",
         ERROR_WITH("invalid_request_error", "payment_intent_unexpected_state", INTENT("succeeded")));
    expect(GATEWAY_DONE, ORDER_SUCCEEDED, REASON_NONE);
    hear(CONNECTOR_ABANDON, 400, "",
         ERROR_WITH("invalid_request_error", "payment_intent_unexpected_state", INTENT("succeeded")));
    expect(GATEWAY_FAILED, ORDER_SUCCEEDED, REASON_NONE);
    hear(CONNECTOR_ABANDON, 400, "",
         ERROR_WITH("invalid_request_error", "payment_intent_unexpected_state", INTENT("canceled")));
    expect(GATEWAY_DONE, ORDER_CANCELLED, REASON_NONE);
    hear(CONNECTOR_CONFIRM, 402, "",
         ERROR_WITH("card_error", "card_declined", "{\"id\":\"pi_another\",\"object\":\"payment_intent\"}"));
    expect(GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER);
    hear(CONNECTOR_STATUS, 404, "",
         "{\"error\":{\"type\":\"invalid_request_error\",\"code\":\"resource_missing\"}}");
    expect(GATEWAY_DONE, ORDER_UNKNOWN_TO_GATEWAY, REASON_NONE);
    hear(CONNECTOR_STATUS, 404, "", "<html>no such page</html>");
    expect(GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER);
}

static void live_keys_are_recognised(void **state)
{
    (void)state;
    assert_true(stripe_connector.key_is_live((const uint8_t *)"sk_live_x", 9));
    assert_true(stripe_connector.key_is_live((const uint8_t *)"rk_live_x", 9));
    assert_false(stripe_connector.key_is_live((const uint8_t *)"sk_test_x", 9));
    assert_false(stripe_connector.key_is_live((const uint8_t *)"sk_l", 4));
}

static void a_key_that_would_break_the_header_is_refused(void **state)
{
    (void)state;
    struct connector_step step = make_step(CONNECTOR_STATUS);
    assert_int_equal(build(&step), OK);
    size_t before = request.header_length;
    assert_int_equal(stripe_connector.authorise(NULL, (const uint8_t *)"sk_a\nX: y", 9, &request),
                     ERR_SYNTAX);
    assert_int_equal(request.header_length, before);
    assert_int_equal(stripe_connector.authorise(NULL, (const uint8_t *)"sk_a", 4, &request), OK);
    assert_non_null(strstr(request.headers, "\nAuthorization: Bearer sk_a\n"));
}

/* --- after the card --- */

static struct connector_case the;

static int begin(void **state)
{
    (void)state;
    case_begin(&the, &stripe_connector, "pm_token", "pi_order");
    return 0;
}

#define ORD_METADATA                                                                                         \
    "metadata[channel]=ivr&metadata[source]=ivr_payment_flow&metadata[call_id]=call_aaaaaaaaaaaaaaca&"       \
    "metadata[order_id]=ord_aaaaaaaaaaaaaaba"

static void each_change_is_said_as_the_reference_has_it(void **state)
{
    (void)state;
    case_step(&the, CONNECTOR_CREATE);
    the.step.is_authorise_only = true;
    assert_int_equal(case_build(&the), OK);
    assert_non_null(strstr(the.body, "&capture_method=manual&"));
    case_step(&the, CONNECTOR_CAPTURE);
    case_says(&the, "POST", "/v1/payment_intents/pi_order/capture", "amount_to_capture=1999");
    assert_non_null(strstr(the.request.headers, "Idempotency-Key: ord_aaaaaaaaaaaaaaba-capture\n"));
    case_step(&the, CONNECTOR_VOID);
    case_says(&the, "POST", "/v1/payment_intents/pi_order/cancel",
              "cancellation_reason=requested_by_customer");
    assert_null(strstr(the.request.headers, "Idempotency-Key"));
    case_step(&the, CONNECTOR_REFUND);
    case_says(&the, "GET", "/v1/refunds?payment_intent=pi_order&limit=100", "");
    case_round(&the, 1, "-");
    case_says(&the, "POST", "/v1/refunds", "payment_intent=pi_order&amount=1999&" ORD_METADATA);
    case_step(&the, CONNECTOR_LINK);
    snprintf(the.step.reference, sizeof(the.step.reference), "Invoice 7");
    case_says(&the, "POST", "/v1/prices", "currency=usd&unit_amount=1999&product_data[name]=Invoice%207");
    case_round(&the, 1, "price_1");
    case_says(&the, "POST", "/v1/payment_links",
              "line_items[0][price]=price_1&line_items[0][quantity]=1&restrictions[completed_sessions][limit]"
              "=1&" ORD_METADATA);
    assert_non_null(strstr(the.request.headers, "Idempotency-Key: ord_aaaaaaaaaaaaaaba-link-1\n"));
}

static void a_subscription_is_said_in_its_rounds(void **state)
{
    (void)state;
    case_step(&the, CONNECTOR_SUBSCRIBE);
    snprintf(the.step.plan, sizeof(the.step.plan), "price_monthly");
    snprintf(the.step.customer, sizeof(the.step.customer), "customer 12");
    case_says(&the, "POST", "/v1/customers", "metadata[customer]=customer%2012&" ORD_METADATA);
    case_round(&the, 1, "cus_new");
    case_says(&the, "POST", "/v1/payment_methods/pm_token/attach", "customer=cus_new");
    case_round(&the, 2, "cus_new");
    case_says(&the, "POST", "/v1/subscriptions",
              "customer=cus_new&default_payment_method=pm_token&off_session=true&payment_behavior=error_if_"
              "incomplete&"
              "items[0][price]=price_monthly&" ORD_METADATA);
    /* A customer that Stripe knows needs no round of its own. */
    case_round(&the, 0, "");
    snprintf(the.step.customer, sizeof(the.step.customer), "cus_known");
    case_says(&the, "POST", "/v1/payment_methods/pm_token/attach", "customer=cus_known");
    case_round(&the, 1, "cus_known");
    the.step.interval_unit = INTERVAL_MONTH;
    the.step.interval_count = 3;
    snprintf(the.step.plan, sizeof(the.step.plan), "prod_coffee");
    case_says(&the, "POST", "/v1/subscriptions",
              "customer=cus_known&default_payment_method=pm_token&off_session=true&payment_behavior=error_if_"
              "incomplete&"
              "items[0][price_data][product]=prod_coffee&items[0][price_data][currency]=usd&"
              "items[0][price_data][unit_amount]=1999&items[0][price_data][recurring][interval]=month&"
              "items[0][price_data][recurring][interval_count]=3&" ORD_METADATA);
    the.step.interval_unit = INTERVALS;
    assert_int_equal(case_build(&the), ERR_RANGE);
    the.step.interval_unit = INTERVAL_OF_PLAN;
    the.step.amount_minor = 0; /* the plan says it */
    assert_int_equal(case_build(&the), OK);
    the.step.plan[0] = '\0';
    assert_int_equal(case_build(&the), ERR_RANGE);
}

#define PI(status, amount, received)                                                                         \
    "{\"object\":\"payment_intent\",\"id\":\"pi_order\",\"currency\":\"usd\",\"amount\":" amount             \
    ",\"amount_received\":" received ",\"status\":\"" status "\"}"
#define REFUND(id, status, amount, order)                                                                    \
    "{\"object\":\"refund\",\"id\":\"" id "\",\"status\":\"" status "\",\"amount\":" amount                  \
    ",\"currency\":\"usd\",\"payment_intent\":\"pi_order\",\"metadata\":{\"order_id\":\"" order "\"}}"
#define LIST(more, refunds) "{\"object\":\"list\",\"has_more\":" more ",\"data\":[" refunds "]}"
#define OURS                "ord_aaaaaaaaaaaaaaba"

static void every_change_has_its_answer(void **state)
{
    (void)state;
    static const struct {
        enum connector_operation operation;
        unsigned round, status;
        const char *body;
        enum gateway_outcome outcome;
        enum gateway_order_state state;
        enum gateway_reason reason;
        const char *order_ref;
    } rows[] = {
        {CONNECTOR_CAPTURE, 0, 200, PI("succeeded", "1999", "1999"), GATEWAY_DONE, ORDER_SUCCEEDED,
         REASON_NONE, ""},
        {CONNECTOR_CAPTURE, 0, 200, PI("succeeded", "3000", "1999"), GATEWAY_DONE, ORDER_SUCCEEDED,
         REASON_NONE, ""},
        {CONNECTOR_CAPTURE, 0, 200, PI("succeeded", "3000", "3000"), GATEWAY_NO_ANSWER, ORDER_NONE,
         REASON_BAD_ANSWER, ""},
        {CONNECTOR_CAPTURE, 0, 200, PI("requires_capture", "1999", "0"), GATEWAY_NO_ANSWER, ORDER_NONE,
         REASON_BAD_ANSWER, ""},
        {CONNECTOR_CAPTURE, 0, 400,
         "{\"error\":{\"type\":\"invalid_request_error\",\"code\":\"payment_intent_unexpected_state\","
         "\"payment_intent\":" PI("succeeded", "1999", "1999") "}}",
         GATEWAY_DONE, ORDER_SUCCEEDED, REASON_NONE, ""},
        {CONNECTOR_CAPTURE, 0, 400,
         "{\"error\":{\"type\":\"invalid_request_error\",\"code\":\"payment_intent_unexpected_state\","
         "\"payment_intent\":" PI("canceled", "1999", "0") "}}",
         GATEWAY_FAILED, ORDER_CANCELLED, REASON_PROCESSING_ERROR, ""},
        {CONNECTOR_CAPTURE, 0, 400,
         "{\"error\":{\"type\":\"invalid_request_error\",\"code\":\"charge_expired_for_capture\"}}",
         GATEWAY_FAILED, ORDER_NONE, REASON_PROCESSING_ERROR, ""},
        {CONNECTOR_CAPTURE, 0, 400,
         "{\"error\":{\"type\":\"invalid_request_error\",\"code\":\"parameter_unknown\"}}", GATEWAY_FAILED,
         ORDER_NONE, REASON_CONFIGURATION, ""},
        {CONNECTOR_VOID, 0, 200, PI("canceled", "1999", "0"), GATEWAY_DONE, ORDER_CANCELLED, REASON_NONE, ""},
        {CONNECTOR_VOID, 0, 400,
         "{\"error\":{\"type\":\"invalid_request_error\",\"code\":\"payment_intent_unexpected_state\","
         "\"payment_intent\":" PI("canceled", "1999", "0") "}}",
         GATEWAY_DONE, ORDER_CANCELLED, REASON_NONE, ""},
        {CONNECTOR_VOID, 0, 400,
         "{\"error\":{\"type\":\"invalid_request_error\",\"code\":\"payment_intent_unexpected_state\","
         "\"payment_intent\":" PI("succeeded", "1999", "1999") "}}",
         GATEWAY_FAILED, ORDER_SUCCEEDED, REASON_PROCESSING_ERROR, ""},
        {CONNECTOR_REFUND, 0, 200, LIST("false", REFUND("re_1", "succeeded", "1999", OURS)), GATEWAY_DONE,
         ORDER_NONE, REASON_NONE, "re_1"},
        {CONNECTOR_REFUND, 0, 200, LIST("false", REFUND("re_1", "failed", "1999", OURS)), GATEWAY_FAILED,
         ORDER_NONE, REASON_PROCESSING_ERROR, ""},
        {CONNECTOR_REFUND, 0, 200, LIST("false", REFUND("re_1", "succeeded", "1998", OURS)),
         GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER, ""},
        {CONNECTOR_REFUND, 0, 200, LIST("true", ""), GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER, ""},
        {CONNECTOR_REFUND, 0, 503, "", GATEWAY_UNAVAILABLE, ORDER_NONE, REASON_UNAVAILABLE, ""},
        {CONNECTOR_REFUND, 1, 503, "", GATEWAY_NO_ANSWER, ORDER_NONE, REASON_UNAVAILABLE, ""},
        {CONNECTOR_REFUND, 1, 200, REFUND("re_2", "pending", "1999", OURS), GATEWAY_DONE, ORDER_NONE,
         REASON_NONE, "re_2"},
        {CONNECTOR_REFUND, 1, 200, REFUND("re_2", "canceled", "1999", OURS), GATEWAY_FAILED, ORDER_NONE,
         REASON_PROCESSING_ERROR, ""},
        {CONNECTOR_REFUND, 1, 200, REFUND("re_2", "pending", "1999", "ord_x"), GATEWAY_NO_ANSWER, ORDER_NONE,
         REASON_BAD_ANSWER, ""},
        {CONNECTOR_REFUND, 1, 400,
         "{\"error\":{\"type\":\"invalid_request_error\",\"code\":\"charge_already_refunded\"}}",
         GATEWAY_FAILED, ORDER_NONE, REASON_PROCESSING_ERROR, ""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        case_step(&the, rows[i].operation);
        case_round(&the, rows[i].round, "-");
        case_hear(&the, rows[i].status, "", rows[i].body);
        case_expect(&the, rows[i].outcome, rows[i].state, rows[i].reason);
        assert_string_equal(the.verdict.order_ref, rows[i].order_ref);
    }
    case_step(&the, CONNECTOR_REFUND);
    case_hear(&the, 200, "", LIST("false", REFUND("re_1", "succeeded", "1999", "ord_another")));
    assert_int_equal(the.verdict.again, CONNECTOR_NEXT);
}

static void what_is_held_is_authorised(void **state)
{
    (void)state;
    static const enum connector_operation operations[] = {CONNECTOR_CONFIRM, CONNECTOR_STATUS};
    the.step.is_authorise_only = true;
    for (size_t i = 0; i < 2; i++) {
        case_step(&the, operations[i]);
        case_hear(&the, 200, "", PI("requires_capture", "1999", "0"));
        case_expect(&the, GATEWAY_DONE, ORDER_AUTHORISED, REASON_NONE);
    }
}

static void a_subscription_is_believed_only_whole(void **state)
{
    (void)state;
#define SUB(status, customer, order)                                                                         \
    "{\"object\":\"subscription\",\"id\":\"sub_1\",\"status\":\"" status "\",\"customer\":\"" customer       \
    "\",\"metadata\":{\"order_id\":\"" order "\"}}"
    static const struct {
        unsigned round, status;
        const char *body, *carry, *order_ref;
        enum gateway_outcome outcome;
        enum gateway_reason reason;
    } rows[] = {
        {0, 200, "{\"object\":\"customer\",\"id\":\"cus_1\"}", "cus_1", "", GATEWAY_NO_ANSWER,
         REASON_UNAVAILABLE},
        {0, 200, "{\"object\":\"customer\",\"id\":\"4242424242424242\"}", "", "", GATEWAY_NO_ANSWER,
         REASON_BAD_ANSWER},
        {1, 200, "{\"object\":\"payment_method\",\"id\":\"pm_token\",\"customer\":\"cus_1\"}", "cus_1", "",
         GATEWAY_NO_ANSWER, REASON_UNAVAILABLE},
        {1, 200, "{\"object\":\"payment_method\",\"id\":\"pm_token\",\"customer\":\"cus_2\"}", "", "",
         GATEWAY_NO_ANSWER, REASON_BAD_ANSWER},
        {1, 402,
         "{\"error\":{\"type\":\"card_error\",\"code\":\"card_declined\",\"decline_code\":\"insufficient_"
         "funds\"}}",
         "", "", GATEWAY_DECLINED, REASON_INSUFFICIENT_FUNDS},
        {2, 200, SUB("active", "cus_1", OURS), "", "sub_1", GATEWAY_DONE, REASON_NONE},
        {2, 200, SUB("trialing", "cus_1", OURS), "", "sub_1", GATEWAY_DONE, REASON_NONE},
        {2, 200, SUB("incomplete", "cus_1", OURS), "", "", GATEWAY_NO_ANSWER, REASON_BAD_ANSWER},
        {2, 200, SUB("active", "cus_2", OURS), "", "", GATEWAY_NO_ANSWER, REASON_BAD_ANSWER},
        {2, 200, SUB("active", "cus_1", "ord_x"), "", "", GATEWAY_NO_ANSWER, REASON_BAD_ANSWER},
        {2, 402, "{\"error\":{\"type\":\"card_error\",\"code\":\"expired_card\"}}", "", "", GATEWAY_DECLINED,
         REASON_EXPIRED},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        case_step(&the, CONNECTOR_SUBSCRIBE);
        case_round(&the, rows[i].round, rows[i].round > 0 ? "cus_1" : "");
        case_hear(&the, rows[i].status, "", rows[i].body);
        case_expect(&the, rows[i].outcome, ORDER_NONE, rows[i].reason);
        assert_string_equal(the.verdict.carry, rows[i].carry);
        assert_string_equal(the.verdict.order_ref, rows[i].order_ref);
        assert_int_equal(the.verdict.again == CONNECTOR_NEXT, rows[i].carry[0] != '\0');
    }
}

static void a_link_is_believed_only_whole(void **state)
{
    (void)state;
    case_step(&the, CONNECTOR_LINK);
    case_hear(&the, 200, "",
              "{\"object\":\"price\",\"id\":\"price_1\",\"currency\":\"usd\",\"unit_amount\":1999}");
    assert_int_equal(the.verdict.again, CONNECTOR_NEXT);
    assert_string_equal(the.verdict.carry, "price_1");
    case_hear(&the, 200, "",
              "{\"object\":\"price\",\"id\":\"price_1\",\"currency\":\"usd\",\"unit_amount\":1998}");
    case_expect(&the, GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER);
    case_round(&the, 1, "price_1");
#define PLINK(url)                                                                                           \
    "{\"object\":\"payment_link\",\"id\":\"plink_1\",\"url\":\"" url "\",\"metadata\":{\"order_id\":\"" OURS \
    "\"}}"
    case_hear(&the, 200, "", PLINK("https://buy.stripe.com/test_x"));
    case_expect(&the, GATEWAY_DONE, ORDER_OPEN, REASON_NONE);
    assert_string_equal(the.verdict.url, "https://buy.stripe.com/test_x");
    assert_string_equal(the.verdict.order_ref, "plink_1");
    case_hear(&the, 200, "", PLINK("javascript:alert(1)"));
    case_expect(&the, GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER);
}

/* --- against the strict server --- */

static struct strict strict;

static int start(void **state)
{
    (void)state;
    strict = (struct strict){.connector = &stripe_connector, .key = "sk_test_strict"};
    strict_start(&strict, "stripe");
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
    snprintf(step.plan, sizeof(step.plan), "price_monthly");
    strict_do(&strict, &step, &verdict);
    return verdict.outcome;
}

static size_t count(const char *book)
{
    json_t *books = strict_books(&strict);
    size_t entries = json_array_size(json_object_get(books, book));
    json_decref(books);
    return entries;
}

static void hold(uint64_t capture)
{
    struct gateway_tokenise_msg message = rig_tokenise(capture, 1, NUMBER);
    assert_int_equal(rig_ask(&strict.rig, &message)->outcome, GATEWAY_DONE);
    memcpy(strict_token, strict.rig.reply.token, sizeof(strict_token));
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
    struct connector_step refund = strict_order(CONNECTOR_REFUND, 0x31);
    strict_lose(&strict, &refund, 1);
    strict_tell(&strict, "set?day=over"); /* the key is forgotten: only looking for it helps */
    assert_int_equal(order(CONNECTOR_REFUND, 0x31), GATEWAY_DONE);
    assert_string_equal(verdict.order_ref, "re_strict0");
    assert_int_equal(count("refunds"), 1);
    assert_int_equal(order(CONNECTOR_REFUND, 0x32), GATEWAY_FAILED); /* nothing is left */
    assert_int_equal(verdict.reason, REASON_PROCESSING_ERROR);
    assert_int_equal(order(CONNECTOR_VOID, 0x33), GATEWAY_FAILED);
    hold(2);
    assert_int_equal(order(CONNECTOR_CAPTURE, 0x34), GATEWAY_DONE);
    strict_tell(&strict, "set?day=over");
    assert_int_equal(order(CONNECTOR_CAPTURE, 0x34), GATEWAY_DONE);
    hold(3);
    assert_int_equal(order(CONNECTOR_VOID, 0x35), GATEWAY_DONE);
    assert_int_equal(order(CONNECTOR_VOID, 0x35), GATEWAY_DONE);
    hold(4);
    struct gateway_step_msg abandon = rig_step(GATEWAY_ABANDON, 4, 1, 1999, "", strict_order_ref);
    assert_int_equal(rig_ask(&strict.rig, &abandon)->order_state, ORDER_CANCELLED);
    assert_int_equal(order(CONNECTOR_LINK, 0x36), GATEWAY_DONE);
    assert_string_equal(verdict.url, "https://buy.stripe.com/test_plink_strict0");
    assert_int_equal(order(CONNECTOR_LINK, 0x36), GATEWAY_DONE);
    assert_int_equal(count("links"), 1);
}

static void a_stored_card_becomes_a_subscription(void **state)
{
    (void)state;
    struct gateway_tokenise_msg message = rig_tokenise(1, 1, NUMBER);
    assert_int_equal(rig_ask(&strict.rig, &message)->outcome, GATEWAY_DONE);
    memcpy(strict_token, strict.rig.reply.token, sizeof(strict_token));
    assert_int_equal(order(CONNECTOR_SUBSCRIBE, 0x41), GATEWAY_DONE);
    assert_string_equal(verdict.order_ref, "sub_strict0");
    assert_int_equal(order(CONNECTOR_SUBSCRIBE, 0x41), GATEWAY_DONE); /* the same order again */
    assert_int_equal(count("customers"), 1);
    assert_int_equal(count("subscriptions"), 1);
    strict_pay(&strict, 2, ORDER_SUCCEEDED);
    assert_int_equal(order(CONNECTOR_SUBSCRIBE, 0x42), GATEWAY_FAILED); /* the card was used before */
    assert_int_equal(count("subscriptions"), 1);
}

static void the_server_refuses_what_is_wrong(void **state)
{
    (void)state;
    strict_pay(&strict, 1, ORDER_SUCCEEDED);
    static const struct {
        enum connector_operation operation;
        const char *from, *to;
    } rows[] = {
        {CONNECTOR_STATUS, "Bearer sk", "Bearer rk"},
        {CONNECTOR_STATUS, "Stripe-Version: 2020", "Stripe-Version: 2010"},
        {CONNECTOR_CREATE, "Idempotency-Key", "X"},
        {CONNECTOR_CREATE, "x-www-form-urlencoded", "json"},
        {CONNECTOR_CREATE, "amount=1999", "amount=19.99"},
        {CONNECTOR_CREATE, "currency=usd", "currency=USD"},
        {CONNECTOR_CREATE, "metadata[call_id]", "call_id"},
        {CONNECTOR_CONFIRM, "moto]=true", "moto]=1"},
        {CONNECTOR_CAPTURE, "amount_to_capture", "amount"},
        {CONNECTOR_VOID, "requested_by_customer", "whim"},
        {CONNECTOR_LINK, "unit_amount", "amount"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct connector_step step = strict_order(rows[i].operation, 9);
        step.attempt = 1;
        strict_plant(&strict, &step, rows[i].from, rows[i].to);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_step_is_said_as_the_reference_has_it),
        cmocka_unit_test(what_stripe_would_refuse_is_not_built),
        cmocka_unit_test(every_code_and_decline_code_has_its_reason),
        cmocka_unit_test(every_status_has_its_outcome),
        cmocka_unit_test(every_state_of_an_intent_is_known),
        cmocka_unit_test(an_answer_about_something_else_is_a_bad_answer),
        cmocka_unit_test(a_card_number_sent_back_is_no_token),
        cmocka_unit_test(an_error_that_names_the_order_is_read_to_the_end),
        cmocka_unit_test(live_keys_are_recognised),
        cmocka_unit_test(a_key_that_would_break_the_header_is_refused),
        cmocka_unit_test_setup(each_change_is_said_as_the_reference_has_it, begin),
        cmocka_unit_test_setup(a_subscription_is_said_in_its_rounds, begin),
        cmocka_unit_test_setup(every_change_has_its_answer, begin),
        cmocka_unit_test_setup(what_is_held_is_authorised, begin),
        cmocka_unit_test_setup(a_subscription_is_believed_only_whole, begin),
        cmocka_unit_test_setup(a_link_is_believed_only_whole, begin),
    };
    const struct CMUnitTest payments[] = {
        cmocka_unit_test_setup_teardown(a_payment_and_what_follows_it, start, stop),
        cmocka_unit_test_setup_teardown(a_stored_card_becomes_a_subscription, start, stop),
        cmocka_unit_test_setup_teardown(the_server_refuses_what_is_wrong, start, stop),
    };
    rig_setup();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (strict_is_possible())
        failed += cmocka_run_group_tests(payments, NULL, NULL);
    rig_teardown();
    secret_free(request.body);
    return failed;
}
