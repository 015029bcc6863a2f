/* Worldpay's connector row by row, and payments and what follows them against a server that refuses what Worldpay's pages
 * do not allow. */
#include "gateway/connectors/worldpay.h"
#include "gateway/tests/connector_case.h"
#include "gateway/tests/strict/strict_rig.h"
#include "gateway/wipe_heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ORDER "cap-aaaaaaaaaaaaaaba-1"
#define DATA  "eyJrIjoxLCJkIjoialRBL0FFelBzcnZpNCtzRGNRemh0NzI0NE1rdUtjMUFJdjYxVnlibWZuUT0ifQ"

static struct connector_case the;

static int begin(void **state)
{
    (void)state;
    case_begin(&the, &worldpay_connector, "t_" DATA, ORDER);
    snprintf(the.account.merchant, sizeof(the.account.merchant), "default");
    return 0;
}

static void each_step_is_said_as_the_pages_have_it(void **state)
{
    (void)state;
    case_step(&the, CONNECTOR_TOKENISE);
    case_says(&the, "POST", "/verifiedTokens/oneTime",
              "{\"paymentInstrument\":{\"type\":\"card/plain\",\"cardHolderName\":\"Not "
              "given\",\"cardNumber\":\"" CASE_NUMBER
              "\",\"cardExpiryDate\":{\"month\":2,\"year\":2034},\"cvc\":\"737\"},\"merchant\":{\"entity\":"
              "\"default\"},"
              "\"verificationCurrency\":\"USD\"}");
    assert_true(the.request.has_card);
    assert_non_null(
        strstr(the.request.headers, "Content-Type: application/vnd.worldpay.verified-tokens-v3.hal+json\n"));
    case_step(&the, CONNECTOR_CREATE);
    assert_int_equal(case_build(&the), ERR_EMPTY);
    case_expect(&the, GATEWAY_DONE, ORDER_OPEN, REASON_NONE);
    assert_string_equal(the.verdict.order_ref, ORDER);
    case_step(&the, CONNECTOR_CONFIRM);
    case_says(
        &the, "POST", "/api/payments",
        "{\"transactionReference\":\"" ORDER
        "\",\"merchant\":{\"entity\":\"default\"},\"channel\":\"moto\",\"instruction\":{\"method\":\"card\","
        "\"paymentInstrument\":{\"type\":\"token\",\"href\":\"https://try.access.worldpay.com/tokens/" DATA
        "\"},\"narrative\":{\"line1\":\"default\"},\"value\":{\"currency\":\"USD\",\"amount\":1999},"
        "\"settlement\":{\"auto\":true}}}");
    assert_non_null(strstr(the.request.headers, "WP-Api-Version: 2024-06-01\n"));
    the.step.is_authorise_only = true;
    snprintf(the.step.token, sizeof(the.step.token), "l_" DATA);
    assert_int_equal(case_build(&the), OK);
    assert_non_null(strstr(the.body, "\"settlement\":{\"auto\":false}"));
    assert_non_null(strstr(the.body, "\"href\":\"https://access.worldpay.com/tokens/" DATA "\""));
    case_step(&the, CONNECTOR_STATUS);
    case_says(&the, "GET", "/paymentQueries/payments?transactionReference=" ORDER, "");
    case_step(&the, CONNECTOR_CAPTURE);
    case_says(&the, "GET", "/paymentQueries/payments?transactionReference=" ORDER, "");
    case_round(&the, 1, "/paymentQueries/payments/pay1");
    case_says(&the, "GET", "/paymentQueries/payments/pay1", "");
    case_round(&the, 2, "/api/payments/x/settlements");
    case_says(&the, "POST", "/api/payments/x/settlements", "{}");
    case_round(&the, 1, "/api/payments/x/partialSettlements");
    case_says(&the, "POST", "/api/payments/x/partialSettlements",
              "{\"reference\":\"ord-aaaaaaaaaaaaaaba\",\"value\":{\"currency\":\"USD\",\"amount\":1999}}");
    case_step(&the, CONNECTOR_REFUND);
    case_round(&the, 1, "/payments/settlements/refunds/partials/x");
    case_says(&the, "POST", "/payments/settlements/refunds/partials/x",
              "{\"reference\":\"ord-aaaaaaaaaaaaaaba\",\"value\":{\"currency\":\"USD\",\"amount\":1999}}");
    assert_non_null(strstr(the.request.headers, "Content-Type: application/vnd.worldpay.payments-v7+json\n"));
    case_step(&the, CONNECTOR_LINK);
    case_says(&the, "POST", "/payment_pages",
              "{\"transactionReference\":\"ord-aaaaaaaaaaaaaaba\",\"merchant\":{\"entity\":\"default\"},"
              "\"narrative\":{\"line1\":\"default\"},\"value\":{\"currency\":\"USD\",\"amount\":1999}}");
}

static void what_worldpay_would_refuse_or_misread_is_not_built(void **state)
{
    (void)state;
    static const char *const currencies[] = {"CLP", "CVE", "ISK", "UGX", "CLF", "UYW", "usd", ""};
    static const char *const tokens[] = {"", DATA, "x_" DATA, "t_", "t_a/b"};
    case_step(&the, CONNECTOR_CONFIRM);
    for (size_t i = 0; i < sizeof(currencies) / sizeof(currencies[0]); i++) {
        snprintf(the.step.currency, sizeof(the.step.currency), "%s", currencies[i]);
        assert_int_equal(case_build(&the), ERR_RANGE);
    }
    begin(NULL);
    case_step(&the, CONNECTOR_CONFIRM);
    for (size_t i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++) {
        snprintf(the.step.token, sizeof(the.step.token), "%s", tokens[i]);
        assert_int_equal(case_build(&the), ERR_RANGE);
    }
    begin(NULL);
    case_step(&the, CONNECTOR_SUBSCRIBE);
    assert_int_equal(case_build(&the), ERR_RANGE);
    case_step(&the, CONNECTOR_STATUS);
    snprintf(the.step.order_ref, sizeof(the.step.order_ref), "cap-a&pageSize=9");
    assert_int_equal(case_build(&the), ERR_RANGE);
    begin(NULL);
    the.account.merchant[0] = '\0';
    case_step(&the, CONNECTOR_TOKENISE);
    assert_int_equal(case_build(&the), ERR_RANGE);
}

#define VERIFIED(outcome, href)                                                                              \
    "{\"outcome\":\"" outcome "\",\"_links\":{\"tokens:token\":{\"href\":\"" href "\"}}}"

static void a_verified_token_becomes_the_token(void **state)
{
    (void)state;
    static const struct {
        unsigned status;
        const char *body, *token;
        enum gateway_outcome outcome;
        enum gateway_reason reason;
    } rows[] = {
        {201, VERIFIED("verified", "https://try.access.worldpay.com/tokens/" DATA), "t_" DATA, GATEWAY_DONE,
         REASON_NONE},
        {200, VERIFIED("verified", "https://access.worldpay.com/tokens/" DATA), "l_" DATA, GATEWAY_DONE,
         REASON_NONE},
        {206, VERIFIED("not verified", "https://access.worldpay.com/tokens/" DATA), "", GATEWAY_DECLINED,
         REASON_DECLINED},
        {206, VERIFIED("verified", "https://access.worldpay.com/tokens/" DATA), "", GATEWAY_FAILED,
         REASON_BAD_ANSWER},
        {201, VERIFIED("not verified", "https://access.worldpay.com/tokens/" DATA), "", GATEWAY_FAILED,
         REASON_BAD_ANSWER},
        {201, VERIFIED("verified", "https://elsewhere.example/tokens/" DATA), "", GATEWAY_FAILED,
         REASON_BAD_ANSWER},
        {201, VERIFIED("verified", "https://access.worldpay.com.example/tokens/" DATA), "", GATEWAY_FAILED,
         REASON_BAD_ANSWER},
        {201, VERIFIED("verified", "https://access.worldpay.com/tokens/" CASE_NUMBER), "", GATEWAY_FAILED,
         REASON_BAD_ANSWER},
        {201, VERIFIED("verified", "https://access.worldpay.com/tokens/a/b"), "", GATEWAY_FAILED,
         REASON_BAD_ANSWER},
        {201, VERIFIED("verified", "/tokens/" DATA), "", GATEWAY_FAILED, REASON_BAD_ANSWER},
        {201, "{}", "", GATEWAY_FAILED, REASON_BAD_ANSWER},
        {201, "", "", GATEWAY_FAILED, REASON_BAD_ANSWER},
    };
    case_step(&the, CONNECTOR_TOKENISE);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        case_hear(&the, rows[i].status, "", rows[i].body);
        case_expect(&the, rows[i].outcome, ORDER_NONE, rows[i].reason);
        assert_string_equal(the.verdict.token, rows[i].token);
    }
}

static void every_refusal_code_has_its_reason(void **state)
{
    (void)state;
    static const struct {
        const char *code;
        enum gateway_outcome outcome;
        enum gateway_reason reason;
    } rows[] = {
        {"3", GATEWAY_FAILED, REASON_CONFIGURATION},
        {"5", GATEWAY_DECLINED, REASON_DECLINED},
        {"14", GATEWAY_DECLINED, REASON_WRONG_NUMBER},
        {"15", GATEWAY_DECLINED, REASON_WRONG_NUMBER},
        {"19", GATEWAY_DECLINED, REASON_PROCESSING_ERROR},
        {"20", GATEWAY_DECLINED, REASON_PROCESSING_ERROR},
        {"28", GATEWAY_DECLINED, REASON_PROCESSING_ERROR},
        {"30", GATEWAY_DECLINED, REASON_PROCESSING_ERROR},
        {"33", GATEWAY_DECLINED, REASON_EXPIRED},
        {"34", GATEWAY_DECLINED, REASON_DECLINED},
        {"41", GATEWAY_DECLINED, REASON_LOST_OR_STOLEN},
        {"43", GATEWAY_DECLINED, REASON_LOST_OR_STOLEN},
        {"51", GATEWAY_DECLINED, REASON_INSUFFICIENT_FUNDS},
        {"54", GATEWAY_DECLINED, REASON_EXPIRED},
        {"55", GATEWAY_DECLINED, REASON_WRONG_CVV},
        {"56", GATEWAY_DECLINED, REASON_WRONG_NUMBER},
        {"58", GATEWAY_FAILED, REASON_CONFIGURATION},
        {"61", GATEWAY_DECLINED, REASON_LIMIT},
        {"65", GATEWAY_DECLINED, REASON_NEEDS_AUTHENTICATION},
        {"9999", GATEWAY_DECLINED, REASON_DECLINED},
    };
    case_step(&the, CONNECTOR_CONFIRM);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char body[200];
        snprintf(body, sizeof(body),
                 "{\"outcome\":\"refused\",\"transactionReference\":\"" ORDER "\",\"refusalCode\":\"%s\"}",
                 rows[i].code);
        case_hear(&the, 201, "", body); /* a decline comes as 201 */
        case_expect(&the, rows[i].outcome, ORDER_OPEN, rows[i].reason);
    }
    case_hear(&the, 201, "",
              "{\"outcome\":\"refused\",\"transactionReference\":\"" ORDER
              "\",\"refusalCode\":\"5\",\"riskFactors\":[{\"type\":\"avs\",\"risk\":\"notMatched\"},"
              "{\"type\":\"cvc\",\"risk\":\"notMatched\"}]}");
    case_expect(&the, GATEWAY_DECLINED, ORDER_OPEN, REASON_WRONG_CVV);
}

static void every_outcome_of_a_payment_is_known(void **state)
{
    (void)state;
#define PAID(outcome, reference) "{\"outcome\":\"" outcome "\",\"transactionReference\":\"" reference "\"}"
    static const struct {
        const char *body;
        enum gateway_outcome outcome;
        enum gateway_order_state state;
        enum gateway_reason reason;
    } rows[] = {
        {PAID("authorized", ORDER), GATEWAY_DONE, ORDER_PENDING, REASON_NONE},
        {PAID("sentForSettlement", ORDER), GATEWAY_DONE, ORDER_PENDING, REASON_NONE},
        {PAID("fraudHighRisk", ORDER), GATEWAY_DECLINED, ORDER_OPEN, REASON_DECLINED},
        {PAID("3dsDeviceDataRequired", ORDER), GATEWAY_DECLINED, ORDER_OPEN, REASON_NEEDS_AUTHENTICATION},
        {PAID("3dsChallenged", ORDER), GATEWAY_DECLINED, ORDER_OPEN, REASON_NEEDS_AUTHENTICATION},
        {PAID("3dsAuthenticationFailed", ORDER), GATEWAY_DECLINED, ORDER_OPEN, REASON_NEEDS_AUTHENTICATION},
        {PAID("3dsUnavailable", ORDER), GATEWAY_DECLINED, ORDER_OPEN, REASON_NEEDS_AUTHENTICATION},
        {PAID("anOutcomeOfTomorrow", ORDER), GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER},
        {PAID("authorized", "cap-another"), GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER},
        {PAID("refused", "cap-another"), GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER},
        {"{\"outcome\":\"authorized\",\"transactionReference\":\"" ORDER "\",\"amounts\":{}}",
         GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER},
        {"", GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER},
        {"[]", GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER},
    };
    case_step(&the, CONNECTOR_CONFIRM);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        case_hear(&the, 201, "", rows[i].body);
        case_expect(&the, rows[i].outcome, rows[i].state, rows[i].reason);
    }
}

static const char *payment(const char *event, const char *reference, int amount, const char *more)
{
    static char text[2048];
    snprintf(text, sizeof(text),
             "{\"paymentId\":\"pay1\",\"transactionReference\":\"%s\",\"value\":{\"amount\":%d,\"currency\":"
             "\"USD\"},"
             "\"lastEvent\":\"%s\"%s}",
             reference, amount, event, more);
    return text;
}

static const char *found(const char *payments)
{
    static char text[4500];
    snprintf(text, sizeof(text), "{\"_embedded\":{\"payments\":[%s]}}", payments);
    return text;
}

static void every_event_has_its_state(void **state)
{
    (void)state;
    static const struct {
        const char *event;
        enum gateway_order_state state;
    } rows[] = {
        {"authorizationRequested", ORDER_PENDING},
        {"authorizationSucceeded", ORDER_PENDING}, /* it settles by itself */
        {"authorizationTimedOut", ORDER_PENDING},
        {"authorizationRefused", ORDER_OPEN},
        {"authorizationFailed", ORDER_OPEN},
        {"saleRequested", ORDER_PENDING},
        {"saleSucceeded", ORDER_SUCCEEDED},
        {"saleTimedOut", ORDER_PENDING},
        {"saleRefused", ORDER_OPEN},
        {"saleFailed", ORDER_OPEN},
        {"settlementRequested", ORDER_SUCCEEDED},
        {"settlementRequestSubmitted", ORDER_SUCCEEDED},
        {"settlementSucceeded", ORDER_SUCCEEDED},
        {"settlementFailed", ORDER_PENDING},
        {"settlementRequestSubmissionFailed", ORDER_PENDING},
        {"cancellationRequested", ORDER_CANCELLED},
        {"cancellationRequestSubmitted", ORDER_CANCELLED},
        {"cancellationTimedOut", ORDER_PENDING},
        {"cancelled", ORDER_CANCELLED},
        {"expired", ORDER_CANCELLED},
        {"reversalRequested", ORDER_CANCELLED},
        {"reversalRequestSubmitted", ORDER_CANCELLED},
        {"reversalTimedOut", ORDER_PENDING},
        {"refundRequested", ORDER_SUCCEEDED},
        {"refundRequestSubmitted", ORDER_SUCCEEDED},
        {"refundSucceeded", ORDER_SUCCEEDED},
        {"refundFailed", ORDER_SUCCEEDED},
        {"refundRequestSubmissionFailed", ORDER_SUCCEEDED},
        {"partialRefundRequested", ORDER_SUCCEEDED},
        {"partialRefundRequestSubmitted", ORDER_SUCCEEDED},
        {"partialRefundSucceeded", ORDER_SUCCEEDED},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        case_step(&the, CONNECTOR_STATUS);
        case_hear(&the, 200, "", found(payment(rows[i].event, ORDER, 1999, "")));
        case_expect(&the, GATEWAY_DONE, rows[i].state, REASON_NONE);
        case_step(&the, CONNECTOR_ABANDON);
        case_hear(&the, 200, "", found(payment(rows[i].event, ORDER, 1999, "")));
        bool is_money = rows[i].state == ORDER_SUCCEEDED || rows[i].state == ORDER_PENDING;
        assert_int_equal(the.verdict.outcome, is_money ? GATEWAY_FAILED : GATEWAY_DONE);
    }
    case_step(&the, CONNECTOR_STATUS);
    case_hear(&the, 200, "", found(""));
    case_expect(&the, GATEWAY_DONE, ORDER_UNKNOWN_TO_GATEWAY, REASON_NONE);
    the.step.is_authorise_only = true;
    case_hear(&the, 200, "", found(payment("authorizationSucceeded", ORDER, 1999, "")));
    case_expect(&the, GATEWAY_DONE, ORDER_AUTHORISED, REASON_NONE);
    char two[5000];
    snprintf(two, sizeof(two), "%s", payment("authorizationRefused", ORDER, 1999, ""));
    snprintf(two + strlen(two), sizeof(two) - strlen(two), ",%s", payment("saleSucceeded", ORDER, 1999, ""));
    case_hear(&the, 200, "", found(two));
    case_expect(&the, GATEWAY_DONE, ORDER_SUCCEEDED, REASON_NONE);
}

static void a_payment_that_does_not_fit_is_a_bad_answer(void **state)
{
    (void)state;
    const char *const bodies[] = {"", "[]", "{}", "{\"_embedded\":{}}", "<html>"};
    case_step(&the, CONNECTOR_STATUS);
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        case_hear(&the, 200, "", bodies[i]);
        case_expect(&the, GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER);
    }
    static const struct {
        const char *event, *reference;
        int amount;
    } rows[] = {{"saleSucceeded", "cap-another", 1999},
                {"saleSucceeded", ORDER, 1998},
                {"saleSucceeded", ORDER, 2000},
                {"anEventOfTomorrow", ORDER, 1999}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        case_hear(&the, 200, "", found(payment(rows[i].event, rows[i].reference, rows[i].amount, "")));
        case_expect(&the, GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER);
    }
}

#define ACTION(name, href) ",\"_actions\":{\"" name "\":{\"href\":\"" href "\"}}"
#define CARDS(name, href)  ",\"_links\":{\"cardPayments:" name "\":{\"href\":\"" href "\"}}"
#define TRY                "https://try.access.worldpay.com"

static void a_query_tells_which_link_a_change_follows(void **state)
{
    (void)state;
    static const struct {
        enum connector_operation operation;
        const char *event;
        int amount; /* of the payment; the order's is 1999 */
        const char *more, *carry;
        enum gateway_outcome outcome;
    } rows[] = {
        {CONNECTOR_CAPTURE, "authorizationSucceeded", 1999,
         ACTION("settlePayment", TRY "/api/payments/x/settlements"), "/api/payments/x/settlements",
         GATEWAY_NO_ANSWER},
        {CONNECTOR_CAPTURE, "authorizationSucceeded", 3000,
         ACTION("partiallySettlePayment", TRY "/api/payments/x/partialSettlements"),
         "/api/payments/x/partialSettlements", GATEWAY_NO_ANSWER},
        {CONNECTOR_CAPTURE, "authorizationSucceeded", 1999,
         CARDS("settle", "/payments/settlements/full/x=.:+"), "/payments/settlements/full/x=.:+",
         GATEWAY_NO_ANSWER},
        {CONNECTOR_CAPTURE, "authorizationSucceeded", 1999, "", "/paymentQueries/payments/pay1",
         GATEWAY_NO_ANSWER},
        {CONNECTOR_CAPTURE, "settlementRequestSubmitted", 1999, "", "", GATEWAY_DONE},
        {CONNECTOR_CAPTURE, "authorizationRefused", 1999, "", "", GATEWAY_FAILED},
        {CONNECTOR_CAPTURE, "authorizationRequested", 1999, "", "", GATEWAY_UNAVAILABLE},
        {CONNECTOR_VOID, "authorizationSucceeded", 1999,
         ACTION("cancelPayment", TRY "/api/payments/x/cancellations"), "/api/payments/x/cancellations",
         GATEWAY_NO_ANSWER},
        {CONNECTOR_VOID, "settlementRequestSubmitted", 1999,
         ACTION("reversePayment", TRY "/api/payments/x/reversals"), "/api/payments/x/reversals",
         GATEWAY_NO_ANSWER},
        {CONNECTOR_VOID, "cancellationRequestSubmitted", 1999, "", "", GATEWAY_DONE},
        {CONNECTOR_REFUND, "settlementSucceeded", 1999,
         ACTION("refundPayment", TRY "/api/payments/x/refunds"), "/api/payments/x/refunds",
         GATEWAY_NO_ANSWER},
        {CONNECTOR_REFUND, "settlementSucceeded", 3000,
         CARDS("partialRefund", "/payments/settlements/refunds/partials/x"),
         "/payments/settlements/refunds/partials/x", GATEWAY_NO_ANSWER},
        {CONNECTOR_REFUND, "refundRequestSubmitted", 1999, "", "", GATEWAY_DONE},
        {CONNECTOR_REFUND, "refundRequestSubmitted", 3000, "", "",
         GATEWAY_NO_ANSWER}, /* whose refund was that? */
        {CONNECTOR_REFUND, "partialRefundRequestSubmitted", 3000, "", "", GATEWAY_NO_ANSWER},
        {CONNECTOR_REFUND, "authorizationSucceeded", 1999, "", "", GATEWAY_FAILED},
        /* Links that lead elsewhere, or hold what a URL could take for something else, are none. */
        {CONNECTOR_REFUND, "saleSucceeded", 1999,
         ACTION("refundPayment", "https://elsewhere.example/api/payments/x/refunds"),
         "/paymentQueries/payments/pay1", GATEWAY_NO_ANSWER},
        {CONNECTOR_REFUND, "saleSucceeded", 1999, ACTION("refundPayment", TRY "/api/payments/../x"),
         "/paymentQueries/payments/pay1", GATEWAY_NO_ANSWER},
        {CONNECTOR_REFUND, "saleSucceeded", 1999, ACTION("refundPayment", TRY "/api/payments/x?y"),
         "/paymentQueries/payments/pay1", GATEWAY_NO_ANSWER},
        {CONNECTOR_REFUND, "saleSucceeded", 1999, ACTION("refundPayment", TRY "/tokens/x"),
         "/paymentQueries/payments/pay1", GATEWAY_NO_ANSWER},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        case_step(&the, rows[i].operation);
        case_hear(&the, 200, "", found(payment(rows[i].event, ORDER, rows[i].amount, rows[i].more)));
        assert_int_equal(the.verdict.outcome, rows[i].outcome);
        assert_string_equal(the.verdict.carry, rows[i].carry);
        assert_int_equal(the.verdict.again == CONNECTOR_NEXT, rows[i].carry[0] != '\0');
    }
    case_step(&the, CONNECTOR_REFUND);
    case_round(&the, 1, "/paymentQueries/payments/pay1");
    case_hear(&the, 200, "", payment("saleSucceeded", ORDER, 1999, ""));
    case_expect(&the, GATEWAY_FAILED, ORDER_NONE, REASON_PROCESSING_ERROR); /* no further round for ever */
    case_hear(&the, 200, "", payment("saleSucceeded", "cap-another", 1999, ""));
    case_expect(&the, GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER);
}

static void every_action_has_its_answer(void **state)
{
    (void)state;
    static const struct {
        enum connector_operation operation;
        const char *carry;
        unsigned status;
        const char *body;
        enum gateway_outcome outcome;
        enum gateway_order_state state;
    } rows[] = {
        {CONNECTOR_CAPTURE, "/api/payments/x/settlements", 202, "{\"outcome\":\"sentForSettlement\"}",
         GATEWAY_DONE, ORDER_SUCCEEDED},
        {CONNECTOR_CAPTURE, "/api/payments/x/settlements", 202, "{\"outcome\":\"sentForRefund\"}",
         GATEWAY_NO_ANSWER, ORDER_NONE},
        {CONNECTOR_CAPTURE, "/api/payments/x/settlements", 200, "{\"outcome\":\"sentForSettlement\"}",
         GATEWAY_NO_ANSWER, ORDER_NONE},
        {CONNECTOR_CAPTURE, "/payments/settlements/full/x", 202, "{\"_links\":{}}", GATEWAY_DONE,
         ORDER_SUCCEEDED},
        {CONNECTOR_CAPTURE, "/payments/settlements/full/x", 202, "", GATEWAY_NO_ANSWER, ORDER_NONE},
        {CONNECTOR_VOID, "/api/payments/x/cancellations", 202, "{\"outcome\":\"sentForCancellation\"}",
         GATEWAY_DONE, ORDER_CANCELLED},
        {CONNECTOR_VOID, "/api/payments/x/reversals", 202, "{\"outcome\":\"sentForReversal\"}", GATEWAY_DONE,
         ORDER_CANCELLED},
        {CONNECTOR_ABANDON, "/api/payments/x/cancellations", 202, "{\"outcome\":\"sentForCancellation\"}",
         GATEWAY_DONE, ORDER_CANCELLED},
        {CONNECTOR_REFUND, "/api/payments/x/refunds", 202, "{\"outcome\":\"sentForRefund\"}", GATEWAY_DONE,
         ORDER_NONE},
        {CONNECTOR_REFUND, "/api/payments/x/partialRefunds", 202, "{\"outcome\":\"sentForPartialRefund\"}",
         GATEWAY_DONE, ORDER_NONE},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        case_step(&the, rows[i].operation);
        case_round(&the, 1, rows[i].carry);
        case_hear(&the, rows[i].status, "", rows[i].body);
        assert_int_equal(the.verdict.outcome, rows[i].outcome);
        assert_int_equal(the.verdict.order_state, rows[i].state);
    }
    case_step(&the, CONNECTOR_LINK);
    case_hear(&the, 200, "", "{\"url\":\"https://payments.worldpay.com/app/hpp/x\"}");
    case_expect(&the, GATEWAY_DONE, ORDER_OPEN, REASON_NONE);
    assert_string_equal(the.verdict.url, "https://payments.worldpay.com/app/hpp/x");
    assert_string_equal(the.verdict.order_ref, "ord-aaaaaaaaaaaaaaba");
    case_hear(&the, 200, "", "{\"url\":\"http://payments.worldpay.com/app/hpp/x\"}");
    case_expect(&the, GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER);
}

static void every_status_has_its_outcome(void **state)
{
    (void)state;
    static const struct {
        unsigned status;
        enum gateway_outcome confirm, tokenise, capture; /* capture: of its query */
        enum gateway_reason reason;
    } rows[] = {
        {400, GATEWAY_FAILED, GATEWAY_FAILED, GATEWAY_FAILED, REASON_CONFIGURATION},
        {401, GATEWAY_FAILED, GATEWAY_FAILED, GATEWAY_FAILED, REASON_CONFIGURATION},
        {403, GATEWAY_FAILED, GATEWAY_FAILED, GATEWAY_FAILED, REASON_CONFIGURATION},
        {404, GATEWAY_FAILED, GATEWAY_FAILED, GATEWAY_FAILED, REASON_CONFIGURATION},
        {406, GATEWAY_FAILED, GATEWAY_FAILED, GATEWAY_FAILED, REASON_CONFIGURATION},
        {415, GATEWAY_FAILED, GATEWAY_FAILED, GATEWAY_FAILED, REASON_CONFIGURATION},
        {429, GATEWAY_UNAVAILABLE, GATEWAY_UNAVAILABLE, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE},
        {500, GATEWAY_NO_ANSWER, GATEWAY_UNAVAILABLE, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE},
        {418, GATEWAY_NO_ANSWER, GATEWAY_FAILED, GATEWAY_NO_ANSWER, REASON_BAD_ANSWER},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        static const char body[] = "{\"errorName\":\"x\",\"message\":\"y\"}";
        case_step(&the, CONNECTOR_CONFIRM);
        case_hear(&the, rows[i].status, "", body);
        case_expect(&the, rows[i].confirm, ORDER_NONE, rows[i].reason);
        case_step(&the, CONNECTOR_TOKENISE);
        case_hear(&the, rows[i].status, "", body);
        case_expect(&the, rows[i].tokenise, ORDER_NONE, rows[i].reason);
        case_step(&the, CONNECTOR_CAPTURE);
        case_hear(&the, rows[i].status, "", body);
        case_expect(&the, rows[i].capture, ORDER_NONE, rows[i].reason);
    }
    static const struct {
        const char *field;
        enum gateway_reason reason;
    } fields[] = {{"cardNumber", REASON_WRONG_NUMBER},
                  {"cvc", REASON_WRONG_CVV},
                  {"cardExpiryDate.year", REASON_EXPIRED}};
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        char body[256];
        snprintf(body, sizeof(body),
                 "{\"errorName\":\"bodyDoesNotMatchSchema\",\"validationErrors\":[{\"errorName\":\"x\","
                 "\"jsonPath\":"
                 "\"$.paymentInstrument.%s\"}]}",
                 fields[i].field);
        case_step(&the, CONNECTOR_TOKENISE);
        case_hear(&the, 400, "", body);
        case_expect(&the, GATEWAY_DECLINED, ORDER_NONE, fields[i].reason);
    }
}

static void live_hosts_are_known(void **state)
{
    (void)state;
    assert_ptr_equal(connector_for_url("https://try.access.worldpay.com"), &worldpay_connector);
    assert_false(connector_url_is_live("https://try.access.worldpay.com"));
    assert_ptr_equal(connector_for_url("https://access.worldpay.com"), &worldpay_connector);
    assert_true(connector_url_is_live("https://access.worldpay.com"));
}

/* --- against the strict server --- */

static struct strict strict;
static struct connector_verdict verdict;

static int start(void **state)
{
    (void)state;
    strict = (struct strict){
        .connector = &worldpay_connector, .key = "strict:worldpay", .account = {.merchant = "default"}};
    strict_start(&strict, "worldpay");
    return 0;
}

static int stop(void **state)
{
    (void)state;
    strict_stop(&strict);
    return 0;
}

static size_t count(const char *book)
{
    json_t *books = strict_books(&strict);
    size_t entries = json_array_size(json_object_get(books, book));
    json_decref(books);
    return entries;
}

static enum gateway_outcome order(enum connector_operation operation, uint64_t id)
{
    struct connector_step step = strict_order(operation, id);
    strict_do(&strict, &step, &verdict);
    return verdict.outcome;
}

static void hold(uint64_t capture)
{
    struct gateway_order_msg create = rig_create(capture, 1, 1999, strict_token);
    create.is_authorise_only = 1;
    assert_int_equal(rig_ask(&strict.rig, &create)->outcome, GATEWAY_DONE);
    memcpy(strict_order_ref, strict.rig.reply.order_ref, sizeof(strict_order_ref));
    struct gateway_step_msg step =
        rig_step(GATEWAY_CONFIRM, capture, 1, 1999, strict_token, strict_order_ref);
    step.is_authorise_only = 1;
    assert_int_equal(rig_ask(&strict.rig, &step)->outcome, GATEWAY_DONE);
    step = rig_step(GATEWAY_STATUS, capture, 1, 1999, "", strict_order_ref);
    step.is_authorise_only = 1;
    assert_int_equal(rig_ask(&strict.rig, &step)->order_state, ORDER_AUTHORISED);
}

static void a_payment_and_what_follows_it(void **state)
{
    static const char *const families[] = {"set?links=api", "set?links=card", "set?links=detail"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        strict_tell(&strict, families[i]);
        strict_pay(&strict, 10 * i + 1, ORDER_SUCCEEDED);
        assert_int_equal(wipe_heap_count_pattern(CASE_NUMBER, 16), 0);
        assert_int_equal(order(CONNECTOR_REFUND, 10 * i + 0x31), GATEWAY_DONE);
        assert_int_equal(order(CONNECTOR_REFUND, 10 * i + 0x31), GATEWAY_DONE); /* the same order again */
        hold(10 * i + 2);
        assert_int_equal(order(CONNECTOR_CAPTURE, 10 * i + 0x32), GATEWAY_DONE);
        assert_int_equal(order(CONNECTOR_VOID, 10 * i + 0x33), GATEWAY_DONE);
        hold(10 * i + 3);
        assert_int_equal(order(CONNECTOR_VOID, 10 * i + 0x34), GATEWAY_DONE);
        assert_int_equal(order(CONNECTOR_CAPTURE, 10 * i + 0x35), GATEWAY_FAILED);
        hold(10 * i + 4);
        struct gateway_step_msg abandon =
            rig_step(GATEWAY_ABANDON, 10 * i + 4, 1, 1999, "", strict_order_ref);
        abandon.is_authorise_only = 1;
        assert_int_equal(rig_ask(&strict.rig, &abandon)->order_state, ORDER_CANCELLED);
    }
    assert_int_equal(count("payments"), 12);
    assert_int_equal(order(CONNECTOR_LINK, 0x99), GATEWAY_DONE);
    assert_int_equal(strncmp(verdict.url, "https://payments.worldpay.com/", 30), 0);
}

static void part_of_a_payment_is_given_back_once(void **state)
{
    (void)state;
    strict_pay(&strict, 1, ORDER_SUCCEEDED);
    struct connector_step part = strict_order(CONNECTOR_REFUND, 0x31);
    part.amount_minor = 500;
    strict_do(&strict, &part, &verdict);
    assert_int_equal(verdict.outcome, GATEWAY_DONE);
    strict_do(&strict, &part, &verdict); /* sent again: it cannot be told whether that was ours */
    assert_int_equal(verdict.outcome, GATEWAY_NO_ANSWER);
    json_t *books = strict_books(&strict);
    const json_t *paid = json_array_get(json_object_get(books, "payments"), 0);
    assert_int_equal(json_integer_value(json_object_get(paid, "refunded")), 500);
    json_decref(books);
}

static void a_decline_is_a_decline(void **state)
{
    (void)state;
    strict_pay(&strict, 1, ORDER_SUCCEEDED);
    strict_tell(&strict, "set?refuse=51");
    struct gateway_step_msg confirm =
        rig_step(GATEWAY_CONFIRM, 2, 1, 1999, strict_token, "cap-aaaaaaaaaaaaaaac-1");
    assert_int_equal(rig_ask(&strict.rig, &confirm)->outcome, GATEWAY_DECLINED);
    assert_int_equal(strict.rig.reply.reason, REASON_INSUFFICIENT_FUNDS);
    struct gateway_step_msg status = rig_step(GATEWAY_STATUS, 2, 1, 1999, "", "cap-aaaaaaaaaaaaaaac-1");
    assert_int_equal(rig_ask(&strict.rig, &status)->order_state, ORDER_OPEN);
    struct gateway_tokenise_msg card = rig_tokenise(3, 1, CASE_NUMBER);
    assert_int_equal(rig_ask(&strict.rig, &card)->outcome, GATEWAY_DECLINED); /* 206 */
    card = rig_tokenise(4, 1, "4111111111111112");
    assert_int_equal(rig_ask(&strict.rig, &card)->outcome, GATEWAY_DECLINED);
    assert_int_equal(strict.rig.reply.reason, REASON_WRONG_NUMBER);
}

static void a_lost_answer_is_found_and_nothing_is_done_twice(void **state)
{
    (void)state;
    strict_pay(&strict, 1, ORDER_SUCCEEDED);
    strict_tell(&strict, "lose");
    struct gateway_step_msg confirm =
        rig_step(GATEWAY_CONFIRM, 2, 1, 1999, strict_token, "cap-aaaaaaaaaaaaaaac-1");
    assert_int_equal(rig_ask(&strict.rig, &confirm)->outcome, GATEWAY_NO_ANSWER);
    struct gateway_step_msg status = rig_step(GATEWAY_STATUS, 2, 1, 1999, "", "cap-aaaaaaaaaaaaaaac-1");
    strict_tell(&strict, "set?lag=1");
    assert_int_equal(rig_ask(&strict.rig, &status)->order_state,
                     ORDER_UNKNOWN_TO_GATEWAY); /* not yet: ask again */
    strict_tell(&strict, "set?lag=");
    assert_int_equal(rig_ask(&strict.rig, &status)->order_state, ORDER_SUCCEEDED);
    assert_int_equal(count("payments"), 2);
    snprintf(strict_order_ref, sizeof(strict_order_ref), "cap-aaaaaaaaaaaaaaac-1");
    struct connector_step refund = strict_order(CONNECTOR_REFUND, 0x51);
    strict_lose(&strict, &refund, 1);
    assert_int_equal(order(CONNECTOR_REFUND, 0x51), GATEWAY_DONE); /* strict_stop(): nothing was refused */
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
        {CONNECTOR_STATUS, "Accept: application/vnd.worldpay.payment-queries-v1.hal+json", "Accept: */*"},
        {CONNECTOR_CONFIRM, "WP-Api-Version: 2024", "WP-Api-Version: 2023"},
        {CONNECTOR_CONFIRM, "Content-Type: application/json", "Content-Type: text/plain"},
        {CONNECTOR_CONFIRM, "\"moto\"", "\"ecom\""},
        {CONNECTOR_CONFIRM, "\"auto\":true", "\"auto\":\"true\""},
        {CONNECTOR_CONFIRM, "\"amount\":1999", "\"amount\":19.99"},
        {CONNECTOR_CONFIRM, "\"amount\":1999", "\"amount\":\"1999\""},
        {CONNECTOR_CONFIRM, "\"entity\":\"default\"", "\"entity\":\"another\""},
        {CONNECTOR_CONFIRM, "\"narrative\"", "\"story\""},
        {CONNECTOR_CONFIRM, "/tokens/", "/tokens/x"},
        {CONNECTOR_TOKENISE, "verified-tokens-v3", "verified-tokens-v2"},
        {CONNECTOR_TOKENISE, "card/plain", "plain"},
        {CONNECTOR_TOKENISE, "\"year\":2034", "\"year\":\"2034\""},
        {CONNECTOR_TOKENISE, "\"cvc\"", "\"cvv\""},
        {CONNECTOR_TOKENISE, "verificationCurrency", "currency"},
        {CONNECTOR_LINK, "WP-CorrelationId", "X"},
        {CONNECTOR_LINK, "\"value\"", "\"amount\""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct gateway_tokenise_msg card = rig_tokenise(1, 1, CASE_NUMBER);
        struct connector_step step = strict_order(rows[i].operation, 9);
        step.attempt = 1;
        step.card = rows[i].operation == CONNECTOR_TOKENISE ? &card : NULL;
        strict_plant(&strict, &step, rows[i].from, rows[i].to);
    }
    assert_int_equal(count("payments"), 1);
    assert_int_equal(count("pages"), 0);
}

int main(void)
{
    const struct CMUnitTest rows[] = {
        cmocka_unit_test_setup(each_step_is_said_as_the_pages_have_it, begin),
        cmocka_unit_test_setup(what_worldpay_would_refuse_or_misread_is_not_built, begin),
        cmocka_unit_test_setup(a_verified_token_becomes_the_token, begin),
        cmocka_unit_test_setup(every_refusal_code_has_its_reason, begin),
        cmocka_unit_test_setup(every_outcome_of_a_payment_is_known, begin),
        cmocka_unit_test_setup(every_event_has_its_state, begin),
        cmocka_unit_test_setup(a_payment_that_does_not_fit_is_a_bad_answer, begin),
        cmocka_unit_test_setup(a_query_tells_which_link_a_change_follows, begin),
        cmocka_unit_test_setup(every_action_has_its_answer, begin),
        cmocka_unit_test_setup(every_status_has_its_outcome, begin),
        cmocka_unit_test_setup(live_hosts_are_known, begin),
    };
    const struct CMUnitTest payments[] = {
        cmocka_unit_test_setup_teardown(a_payment_and_what_follows_it, start, stop),
        cmocka_unit_test_setup_teardown(part_of_a_payment_is_given_back_once, start, stop),
        cmocka_unit_test_setup_teardown(a_decline_is_a_decline, start, stop),
        cmocka_unit_test_setup_teardown(a_lost_answer_is_found_and_nothing_is_done_twice, start, stop),
        cmocka_unit_test_setup_teardown(the_server_refuses_what_is_wrong, start, stop),
    };
    rig_setup();
    int failed = cmocka_run_group_tests(rows, NULL, NULL);
    if (strict_is_possible())
        failed += cmocka_run_group_tests(payments, NULL, NULL);
    rig_teardown();
    return failed;
}
