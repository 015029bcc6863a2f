/* Cybersource's connector row by row, and payments and what follows them against a server that recomputes the signature
 * and refuses what Cybersource's pages do not allow. */
#include "gateway/connectors/cybersource.h"
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
#define KEY                                                                                                  \
    "shop_strict:3fae7ccc-8d8a-4c0b-b1e7-25d05ad2d4ea:YSBzaGFyZWQgc2VjcmV0IG9mIHRoZSBzdHJpY3QgcGVlcg=="

static struct connector_case the;

static int begin(void **state)
{
    (void)state;
    case_begin(&the, &cybersource_connector, "F45FB3E443AC3C57E053", ORDER);
    return 0;
}

#define CODE   "\"clientReferenceInformation\":{\"code\":\"" ORDER "\"}"
#define AMOUNT "\"amountDetails\":{\"totalAmount\":\"19.99\",\"currency\":\"USD\"}"

static void each_step_is_said_as_the_pages_have_it(void **state)
{
    (void)state;
    case_step(&the, CONNECTOR_TOKENISE);
    case_says(
        &the, "POST", "/pts/v2/payments",
        "{\"clientReferenceInformation\":{\"code\":\"" ORDER "-card\"},\"processingInformation\":"
        "{\"commerceIndicator\":\"MOTO\",\"actionList\":[\"TOKEN_CREATE\"],\"actionTokenTypes\":"
        "[\"customer\",\"paymentInstrument\",\"instrumentIdentifier\"]},\"paymentInformation\":{\"card\":"
        "{\"number\":\"" CASE_NUMBER
        "\",\"expirationMonth\":\"02\",\"expirationYear\":\"2034\",\"securityCode\":\"737\"}},"
        "\"orderInformation\":{\"amountDetails\":{\"totalAmount\":\"0.00\",\"currency\":\"USD\"}}}");
    assert_true(the.request.has_card);
    case_step(&the, CONNECTOR_CREATE);
    assert_int_equal(case_build(&the), ERR_EMPTY);
    case_expect(&the, GATEWAY_DONE, ORDER_OPEN, REASON_NONE);
    assert_string_equal(the.verdict.order_ref, ORDER);
    case_step(&the, CONNECTOR_CONFIRM);
    case_says(&the, "POST", "/pts/v2/payments",
              "{" CODE ",\"processingInformation\":{\"commerceIndicator\":\"MOTO\",\"capture\":true},"
              "\"paymentInformation\":{\"customer\":{\"id\":\"F45FB3E443AC3C57E053\"}},\"orderInformation\":"
              "{" AMOUNT
              "},\"merchantDefinedInformation\":[{\"key\":\"1\",\"value\":\"ivr\"},{\"key\":\"2\",\"value\":"
              "\"call_aaaaaaaaaaaaaaca\"},{\"key\":\"3\",\"value\":\"cap_aaaaaaaaaaaaaaba\"}]}");
    the.step.is_authorise_only = true;
    assert_int_equal(case_build(&the), OK);
    assert_non_null(strstr(the.body, "\"capture\":false"));
    case_step(&the, CONNECTOR_STATUS);
    case_says(&the, "POST", "/tss/v2/searches",
              "{\"save\":false,\"timezone\":\"GMT\",\"query\":\"clientReferenceInformation.code:" ORDER
              "\",\"offset\":0,\"limit\":100,\"sort\":\"submitTimeUtc:desc\"}");
    case_step(&the, CONNECTOR_REFUND);
    assert_int_equal(case_build(&the), OK);
    assert_non_null(
        strstr(the.body, "code:" ORDER " OR clientReferenceInformation.code:ord-aaaaaaaaaaaaaaba\""));
    case_round(&the, 1, "payments/123/refunds");
    case_says(
        &the, "POST", "/pts/v2/payments/123/refunds",
        "{\"clientReferenceInformation\":{\"code\":\"ord-aaaaaaaaaaaaaaba\"},\"orderInformation\":{" AMOUNT
        "}}");
    case_step(&the, CONNECTOR_CAPTURE);
    case_round(&the, 1, "payments/123/captures");
    case_says(&the, "POST", "/pts/v2/payments/123/captures", "{" CODE ",\"orderInformation\":{" AMOUNT "}}");
    case_step(&the, CONNECTOR_VOID);
    case_round(&the, 1, "captures/123/voids");
    case_says(&the, "POST", "/pts/v2/captures/123/voids", "{" CODE "}");
    case_round(&the, 1, "payments/123/reversals");
    case_says(&the, "POST", "/pts/v2/payments/123/reversals",
              "{" CODE ",\"reversalInformation\":{" AMOUNT ",\"reason\":\"not wanted any more\"}}");
    case_step(&the, CONNECTOR_LINK);
    case_says(&the, "GET", "/ipl/v2/payment-links/aaaaaaaaaaaaaaba", "");
    case_round(&the, 1, "");
    case_says(
        &the, "POST", "/ipl/v2/payment-links",
        "{\"processingInformation\":{\"linkType\":\"PURCHASE\"},\"purchaseInformation\":{\"purchaseNumber\":"
        "\"aaaaaaaaaaaaaaba\"},\"orderInformation\":{" AMOUNT
        ",\"lineItems\":[{\"productName\":\"Payment\",\"unitPrice\":\"19.99\"}]}}");
}

static void what_cybersource_would_refuse_is_not_built(void **state)
{
    (void)state;
    static const char *const currencies[] = {"CLF", "UYW", "ISK", "UGX", "usd", ""};
    case_step(&the, CONNECTOR_CONFIRM);
    for (size_t i = 0; i < sizeof(currencies) / sizeof(currencies[0]); i++) {
        snprintf(the.step.currency, sizeof(the.step.currency), "%s", currencies[i]);
        assert_int_equal(case_build(&the), ERR_RANGE);
    }
    begin(NULL);
    case_step(&the, CONNECTOR_SUBSCRIBE);
    assert_int_equal(case_build(&the), ERR_RANGE);
    case_step(&the, CONNECTOR_STATUS);
    snprintf(the.step.order_ref, sizeof(the.step.order_ref), "cap-a OR id:1");
    assert_int_equal(case_build(&the), ERR_RANGE);
    the.step.order_ref[0] = '\0';
    assert_int_equal(case_build(&the), ERR_EMPTY);
    case_expect(&the, GATEWAY_DONE, ORDER_UNKNOWN_TO_GATEWAY, REASON_NONE);
}

/* Computed with Python: base64(hmac(base64 -d of the secret, the lines, sha256)). */
static void the_signature_is_the_one_that_was_computed_by_hand(void **state)
{
    (void)state;
    struct connector_request request = {.method = "POST", .path = "/pts/v2/payments", .now_s = 1700000000};
    snprintf(request.host, sizeof(request.host), "apitest.cybersource.com");
    assert_int_equal(secret_new(&request.body, 64), OK);
    size_t capacity;
    memcpy(secret_buffer(request.body, &capacity), "{}", 2);
    secret_set_length(request.body, 2);
    assert_int_equal(
        cybersource_connector.authorise(&the.account, (const uint8_t *)KEY, strlen(KEY), &request), OK);
    assert_string_equal(request.headers, "Date: Tue, 14 Nov 2023 22:13:20 GMT\n"
                                         "v-c-merchant-id: shop_strict\n"
                                         "Digest: SHA-256=RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=\n"
                                         "Signature: keyid=\"3fae7ccc-8d8a-4c0b-b1e7-25d05ad2d4ea\", "
                                         "algorithm=\"HmacSHA256\", headers=\"host date "
                                         "request-target digest v-c-merchant-id\", "
                                         "signature=\"A7tgWdQR/hY7xbMTxleV0umVAnIEFeC+A1W8Tk0aA5s=\"\n");
    static const char *const bad[] = {"",        "a",    "a:b",        "a:b:c",      ":b:YWJj",
                                      "a::YWJj", "a:b:", "a:b\":YWJj", "a\n:b:YWJj", "a:b:===="};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        request.headers[0] = '\0';
        request.header_length = 0;
        assert_int_not_equal(
            cybersource_connector.authorise(&the.account, (const uint8_t *)bad[i], strlen(bad[i]), &request),
            OK);
    }
    secret_free(request.body);
}

static void every_reason_of_a_decline_is_known(void **state)
{
    (void)state;
    static const struct {
        const char *word;
        enum gateway_outcome outcome;
        enum gateway_reason reason;
    } rows[] = {
        {"EXPIRED_CARD", GATEWAY_DECLINED, REASON_EXPIRED},
        {"INSUFFICIENT_FUND", GATEWAY_DECLINED, REASON_INSUFFICIENT_FUNDS},
        {"STOLEN_LOST_CARD", GATEWAY_DECLINED, REASON_LOST_OR_STOLEN},
        {"CVN_NOT_MATCH", GATEWAY_DECLINED, REASON_WRONG_CVV},
        {"INVALID_CVN", GATEWAY_DECLINED, REASON_WRONG_CVV},
        {"CV_FAILED", GATEWAY_DECLINED, REASON_WRONG_CVV},
        {"INVALID_ACCOUNT", GATEWAY_DECLINED, REASON_WRONG_NUMBER},
        {"EXCEEDS_CREDIT_LIMIT", GATEWAY_DECLINED, REASON_LIMIT},
        {"ISSUER_UNAVAILABLE", GATEWAY_DECLINED, REASON_PROCESSING_ERROR},
        {"PENDING_AUTHENTICATION", GATEWAY_DECLINED, REASON_NEEDS_AUTHENTICATION},
        {"CUSTOMER_AUTHENTICATION_REQUIRED", GATEWAY_DECLINED, REASON_NEEDS_AUTHENTICATION},
        {"INVALID_MERCHANT_CONFIGURATION", GATEWAY_FAILED, REASON_CONFIGURATION},
        {"MISSING_FIELD", GATEWAY_FAILED, REASON_CONFIGURATION},
        {"INVALID_DATA", GATEWAY_FAILED, REASON_CONFIGURATION},
        {"PROCESSOR_DECLINED", GATEWAY_DECLINED, REASON_DECLINED},
        {"BLACKLISTED_CUSTOMER", GATEWAY_DECLINED, REASON_DECLINED},
        {"A_REASON_OF_TOMORROW", GATEWAY_DECLINED, REASON_DECLINED},
    };
    static const char *const statuses[] = {"DECLINED", "INVALID_REQUEST", "AUTHORIZED_RISK_DECLINED"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t k = 0; k < 3; k++) {
            char body[256];
            snprintf(body, sizeof(body),
                     "{\"id\":\"1\",\"status\":\"%s\",\"errorInformation\":{\"reason\":\"%s\"}}", statuses[k],
                     rows[i].word);
            case_step(&the, CONNECTOR_CONFIRM);
            case_hear(&the, 201, "", body); /* a decline comes as 201 */
            case_expect(&the, rows[i].outcome, ORDER_OPEN, rows[i].reason);
            case_step(&the, CONNECTOR_TOKENISE);
            case_hear(&the, 201, "", body);
            case_expect(&the, rows[i].outcome, ORDER_NONE, rows[i].reason);
        }
    }
}

#define PAID(status, code, total, currency)                                                                  \
    "{\"id\":\"7503486675756718700001\",\"status\":\"" status                                                \
    "\",\"clientReferenceInformation\":{\"code\":\"" code                                                    \
    "\"},\"orderInformation\":{\"amountDetails\":{\"authorizedAmount\":\"" total                             \
    "\",\"currency\":\"" currency "\"}}}"

static void a_charge_is_believed_only_whole(void **state)
{
    (void)state;
    case_step(&the, CONNECTOR_CONFIRM);
    case_hear(&the, 201, "", PAID("AUTHORIZED", ORDER, "19.99", "USD"));
    case_expect(&the, GATEWAY_DONE, ORDER_SUCCEEDED, REASON_NONE);
    case_hear(&the, 201, "", PAID("AUTHORIZED_PENDING_REVIEW", ORDER, "19.99", "USD"));
    case_expect(&the, GATEWAY_DONE, ORDER_PENDING, REASON_NONE);
    static const char *const bodies[] = {
        PAID("AUTHORIZED", "cap-aaaaaaaaaaaaaaba-2", "19.99", "USD"),
        PAID("AUTHORIZED", ORDER, "19.98", "USD"),
        PAID("AUTHORIZED", ORDER, "1999", "USD"),
        PAID("AUTHORIZED", ORDER, "19.99", "EUR"),
        PAID("PARTIAL_AUTHORIZED", ORDER, "19.99", "USD"),
        PAID("A_STATUS_OF_TOMORROW", ORDER, "19.99", "USD"),
        "{\"status\":\"AUTHORIZED\"}",
        "",
        "[]",
        "<html>",
    };
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        case_hear(&the, 201, "", bodies[i]);
        case_expect(&the, GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER);
    }
    the.step.is_authorise_only = true;
    case_hear(&the, 201, "", PAID("AUTHORIZED", ORDER, "19.99", "USD"));
    case_expect(&the, GATEWAY_DONE, ORDER_AUTHORISED, REASON_NONE);
}

static void a_customer_of_tms_becomes_the_token(void **state)
{
    (void)state;
#define STORED(customer)                                                                                     \
    "{\"status\":\"AUTHORIZED\",\"clientReferenceInformation\":{\"code\":\"" ORDER                           \
    "-card\"},\"tokenInformation\":" customer "}"
    case_step(&the, CONNECTOR_TOKENISE);
    case_hear(&the, 201, "", STORED("{\"customer\":{\"id\":\"F45FB3E443AC3C57E053A2598D0A5A66\"}}"));
    case_expect(&the, GATEWAY_DONE, ORDER_NONE, REASON_NONE);
    assert_string_equal(the.verdict.token, "F45FB3E443AC3C57E053A2598D0A5A66");
    case_hear(&the, 201, "", STORED("{}"));
    case_expect(&the, GATEWAY_FAILED, ORDER_NONE, REASON_CONFIGURATION);
    case_hear(&the, 201, "", STORED("{\"customer\":{\"id\":\"" CASE_NUMBER "\"}}"));
    case_expect(&the, GATEWAY_FAILED, ORDER_NONE, REASON_BAD_ANSWER);
}

#define APP(name, code, flag) "{\"name\":\"" name "\",\"reasonCode\":\"" code "\",\"rFlag\":\"" flag "\"}"
#define ONE(id, code, total, apps)                                                                           \
    "{\"id\":\"" id "\",\"clientReferenceInformation\":{\"code\":\"" code                                    \
    "\"},\"orderInformation\":{\"amountDetails\":{\"totalAmount\":\"" total                                  \
    "\",\"currency\":\"USD\"}},\"applicationInformation\":{\"applications\":[" apps "]}}"
#define FOUND(ones) "{\"totalCount\":1,\"_embedded\":{\"transactionSummaries\":[" ones "]}}"
#define HELD        ONE("750001", ORDER, "19.99", APP("ics_auth", "100", "SOK"))
#define SALE        ONE("750002", ORDER, "19.99", APP("ics_bill", "100", "SOK") "," APP("ics_auth", "100", "SOK"))
#define TAKEN       ONE("750003", ORDER, "19.99", APP("ics_bill", "100", "SOK"))
#define REVERSED    ONE("750004", ORDER, "19.99", APP("ics_auth_reversal", "100", "SOK"))
#define VOIDED      ONE("750005", ORDER, "19.99", APP("ics_void", "100", "SOK"))
#define REFUSED     ONE("750006", ORDER, "0.00", APP("ics_auth", "204", "DCARDREFUSED"))
#define GIVEN       ONE("750007", "ord-aaaaaaaaaaaaaaba", "19.99", APP("ics_credit", "100", "SOK"))

static void a_search_tells_the_state(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        bool is_authorise_only;
        enum gateway_order_state state;
        enum gateway_reason reason;
        enum gateway_outcome abandon;
    } rows[] = {
        {FOUND(SALE), false, ORDER_SUCCEEDED, REASON_NONE, GATEWAY_FAILED},
        {FOUND(HELD), true, ORDER_AUTHORISED, REASON_NONE, GATEWAY_NO_ANSWER}, /* and on to the reversal */
        {FOUND(HELD), false, ORDER_PENDING, REASON_NONE, GATEWAY_FAILED},
        {FOUND(HELD "," TAKEN), false, ORDER_SUCCEEDED, REASON_NONE, GATEWAY_FAILED},
        {FOUND(REFUSED "," SALE), false, ORDER_SUCCEEDED, REASON_NONE, GATEWAY_FAILED},
        {FOUND(REVERSED "," HELD), true, ORDER_CANCELLED, REASON_NONE, GATEWAY_DONE},
        {FOUND(VOIDED "," SALE), false, ORDER_CANCELLED, REASON_NONE, GATEWAY_DONE},
        {FOUND(REFUSED), false, ORDER_OPEN, REASON_DECLINED, GATEWAY_DONE},
        {FOUND(ONE("1", ORDER, "0.00", APP("ics_auth", "202", "DCARDEXPIRED"))), false, ORDER_OPEN,
         REASON_EXPIRED, GATEWAY_DONE},
        {FOUND(ONE("1", ORDER, "0.00", APP("ics_auth", "230", "DCV"))), false, ORDER_OPEN, REASON_WRONG_CVV,
         GATEWAY_DONE},
        {FOUND(ONE("1", ORDER, "0.00", APP("ics_auth", "231", "DINVALIDCARD"))), false, ORDER_OPEN,
         REASON_WRONG_NUMBER, GATEWAY_DONE},
        {FOUND(ONE("1", ORDER, "0.00", APP("ics_auth", "475", "DAUTHENTICATE"))), false, ORDER_OPEN,
         REASON_NEEDS_AUTHENTICATION, GATEWAY_DONE},
        {FOUND(ONE("1", ORDER, "0.00", APP("ics_auth", "102", "DINVALIDDATA"))), false, ORDER_OPEN,
         REASON_PROCESSING_ERROR, GATEWAY_DONE},
        {FOUND(ONE("1", ORDER, "0.00", APP("ics_auth", "101", "DMISSINGFIELD"))), false, ORDER_OPEN,
         REASON_PROCESSING_ERROR, GATEWAY_DONE},
        {FOUND(""), false, ORDER_UNKNOWN_TO_GATEWAY, REASON_NONE, GATEWAY_DONE},
        {"{\"totalCount\":0}", false, ORDER_UNKNOWN_TO_GATEWAY, REASON_NONE, GATEWAY_DONE},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        the.step.is_authorise_only = rows[i].is_authorise_only;
        case_step(&the, CONNECTOR_STATUS);
        case_hear(&the, 201, "", rows[i].body);
        case_expect(&the, GATEWAY_DONE, rows[i].state, rows[i].reason);
        case_step(&the, CONNECTOR_ABANDON);
        case_hear(&the, 201, "", rows[i].body);
        assert_int_equal(the.verdict.outcome, rows[i].abandon);
        assert_int_equal(the.verdict.again == CONNECTOR_NEXT, rows[i].abandon == GATEWAY_NO_ANSWER);
    }
    static const char *const strange[] = {
        FOUND(ONE("1", "cap-another", "19.99", APP("ics_bill", "100", "SOK"))),
        FOUND(ONE("1", ORDER, "19.98", APP("ics_bill", "100", "SOK"))),
        FOUND(ONE("", ORDER, "19.99", APP("ics_bill", "100", "SOK"))),
        "{}",
        "",
        "[]",
        "{\"totalCount\":1}",
    };
    case_step(&the, CONNECTOR_STATUS);
    for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
        case_hear(&the, 201, "", strange[i]);
        case_expect(&the, GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER);
    }
}

static void a_search_tells_what_a_change_needs(void **state)
{
    (void)state;
    static const struct {
        enum connector_operation operation;
        const char *body, *carry; /* "": no further round */
        enum gateway_outcome outcome;
    } rows[] = {
        {CONNECTOR_CAPTURE, FOUND(HELD), "payments/750001/captures", GATEWAY_NO_ANSWER},
        {CONNECTOR_CAPTURE, FOUND(HELD "," TAKEN), "", GATEWAY_DONE}, /* by a try whose answer was lost */
        {CONNECTOR_CAPTURE, FOUND(REVERSED "," HELD), "", GATEWAY_FAILED},
        {CONNECTOR_CAPTURE, FOUND(""), "", GATEWAY_UNAVAILABLE},
        {CONNECTOR_VOID, FOUND(HELD), "payments/750001/reversals", GATEWAY_NO_ANSWER},
        {CONNECTOR_VOID, FOUND(SALE), "payments/750002/voids", GATEWAY_NO_ANSWER},
        {CONNECTOR_VOID, FOUND(HELD "," TAKEN), "captures/750003/voids", GATEWAY_NO_ANSWER},
        {CONNECTOR_VOID, FOUND(VOIDED "," SALE), "", GATEWAY_DONE},
        {CONNECTOR_VOID, FOUND(REFUSED), "", GATEWAY_FAILED},
        {CONNECTOR_REFUND, FOUND(SALE), "payments/750002/refunds", GATEWAY_NO_ANSWER},
        {CONNECTOR_REFUND, FOUND(HELD "," TAKEN), "captures/750003/refunds", GATEWAY_NO_ANSWER},
        {CONNECTOR_REFUND, FOUND(GIVEN "," SALE), "", GATEWAY_DONE},
        {CONNECTOR_REFUND, FOUND(HELD), "", GATEWAY_FAILED},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        case_step(&the, rows[i].operation);
        case_hear(&the, 201, "", rows[i].body);
        assert_int_equal(the.verdict.outcome, rows[i].outcome);
        assert_string_equal(the.verdict.carry, rows[i].carry);
        assert_int_equal(the.verdict.again == CONNECTOR_NEXT, rows[i].carry[0] != '\0');
    }
}

static void every_change_has_its_answer(void **state)
{
    (void)state;
#define DONE(status, code, more)                                                                             \
    "{\"status\":\"" status "\",\"clientReferenceInformation\":{\"code\":\"" code "\"}" more "}"
    static const struct {
        enum connector_operation operation;
        const char *carry, *body;
        enum gateway_outcome outcome;
        enum gateway_order_state state;
    } rows[] = {
        {CONNECTOR_CAPTURE, "payments/1/captures",
         DONE("PENDING", ORDER, ",\"orderInformation\":{" AMOUNT "}"), GATEWAY_DONE, ORDER_SUCCEEDED},
        {CONNECTOR_CAPTURE, "payments/1/captures", DONE("PENDING", ORDER, ""), GATEWAY_NO_ANSWER, ORDER_NONE},
        {CONNECTOR_CAPTURE, "payments/1/captures",
         DONE("PENDING", "cap-x", ",\"orderInformation\":{" AMOUNT "}"), GATEWAY_NO_ANSWER, ORDER_NONE},
        {CONNECTOR_VOID, "payments/1/reversals",
         DONE("REVERSED", ORDER,
              ",\"reversalAmountDetails\":{\"reversedAmount\":\"19.99\",\"currency\":\"USD\"}"),
         GATEWAY_DONE, ORDER_CANCELLED},
        {CONNECTOR_VOID, "payments/1/reversals",
         DONE("REVERSED", ORDER,
              ",\"reversalAmountDetails\":{\"reversedAmount\":\"9.99\",\"currency\":\"USD\"}"),
         GATEWAY_NO_ANSWER, ORDER_NONE},
        {CONNECTOR_VOID, "payments/1/voids", DONE("VOIDED", ORDER, ""), GATEWAY_DONE, ORDER_CANCELLED},
        {CONNECTOR_VOID, "payments/1/voids", DONE("REVERSED", ORDER, ""), GATEWAY_NO_ANSWER, ORDER_NONE},
        {CONNECTOR_ABANDON, "payments/1/reversals",
         DONE("REVERSED", ORDER,
              ",\"reversalAmountDetails\":{\"reversedAmount\":\"19.99\",\"currency\":\"USD\"}"),
         GATEWAY_DONE, ORDER_CANCELLED},
        {CONNECTOR_REFUND, "payments/1/refunds",
         DONE("PENDING", "ord-aaaaaaaaaaaaaaba",
              ",\"refundAmountDetails\":{\"refundAmount\":\"19.99\",\"currency\":\"USD\"}"),
         GATEWAY_DONE, ORDER_NONE},
        {CONNECTOR_REFUND, "payments/1/refunds",
         DONE("PENDING", ORDER, ",\"refundAmountDetails\":{\"refundAmount\":\"19.99\",\"currency\":\"USD\"}"),
         GATEWAY_NO_ANSWER, ORDER_NONE},
        {CONNECTOR_REFUND, "payments/1/refunds",
         DONE("PENDING", "ord-aaaaaaaaaaaaaaba",
              ",\"refundAmountDetails\":{\"refundAmount\":\"19.99\",\"currency\":\"EUR\"}"),
         GATEWAY_NO_ANSWER, ORDER_NONE},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        case_step(&the, rows[i].operation);
        case_round(&the, 1, rows[i].carry);
        case_hear(&the, 201, "", rows[i].body);
        assert_int_equal(the.verdict.outcome, rows[i].outcome);
        assert_int_equal(the.verdict.order_state, rows[i].state);
    }
}

static void every_status_has_its_outcome(void **state)
{
    (void)state;
    static const struct {
        unsigned status;
        enum gateway_outcome confirm, tokenise, capture; /* capture: of its search */
        enum gateway_reason reason;
    } rows[] = {
        {400, GATEWAY_FAILED, GATEWAY_FAILED, GATEWAY_FAILED, REASON_CONFIGURATION},
        {401, GATEWAY_FAILED, GATEWAY_FAILED, GATEWAY_FAILED, REASON_CONFIGURATION},
        {403, GATEWAY_FAILED, GATEWAY_FAILED, GATEWAY_FAILED, REASON_CONFIGURATION},
        {404, GATEWAY_FAILED, GATEWAY_FAILED, GATEWAY_FAILED, REASON_CONFIGURATION},
        {429, GATEWAY_UNAVAILABLE, GATEWAY_UNAVAILABLE, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE},
        {502, GATEWAY_NO_ANSWER, GATEWAY_UNAVAILABLE, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE},
        {418, GATEWAY_NO_ANSWER, GATEWAY_FAILED, GATEWAY_NO_ANSWER, REASON_BAD_ANSWER},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        static const char body[] = "{\"status\":\"INVALID_REQUEST\",\"reason\":\"MISSING_FIELD\"}";
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
    } fields[] = {{"number", REASON_WRONG_NUMBER},
                  {"securityCode", REASON_WRONG_CVV},
                  {"expirationMonth", REASON_EXPIRED},
                  {"expirationYear", REASON_EXPIRED}};
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        char body[200];
        snprintf(
            body, sizeof(body),
            "{\"reason\":\"INVALID_DATA\",\"details\":[{\"field\":\"paymentInformation.card.%s\",\"reason\":"
            "\"INVALID_DATA\"}]}",
            fields[i].field);
        case_step(&the, CONNECTOR_TOKENISE);
        case_hear(&the, 400, "", body);
        case_expect(&the, GATEWAY_DECLINED, ORDER_NONE, fields[i].reason);
    }
    case_hear(&the, 403, "", "<html>");
    case_expect(&the, GATEWAY_FAILED, ORDER_NONE, REASON_BAD_ANSWER);
}

static void a_link_is_made_once(void **state)
{
    (void)state;
#define LINK_OF(total)                                                                                       \
    "{\"id\":\"aaaaaaaaaaaaaaba\",\"status\":\"ACTIVE\",\"purchaseInformation\":{\"paymentLink\":"           \
    "\"https://businesscenter.cybersource.com/payByLink/pay/x\"},\"orderInformation\":{\"amountDetails\":"   \
    "{\"totalAmount\":" total ",\"currency\":\"USD\"}}}"
    case_step(&the, CONNECTOR_LINK);
    case_hear(&the, 404, "", "{\"status\":\"NOT_FOUND\"}");
    assert_int_equal(the.verdict.again, CONNECTOR_NEXT);
    case_round(&the, 1, "");
    case_hear(&the, 404, "", "{\"status\":\"NOT_FOUND\"}");
    case_expect(&the, GATEWAY_FAILED, ORDER_NONE, REASON_CONFIGURATION);
    static const char *const right[] = {LINK_OF("19.99"), LINK_OF("\"19.99\"")};
    static const char *const wrong[] = {LINK_OF("19.98"), LINK_OF("\"19.9\""), LINK_OF("null"), "{}"};
    for (size_t i = 0; i < 2; i++) {
        case_hear(&the, 201, "", right[i]);
        case_expect(&the, GATEWAY_DONE, ORDER_OPEN, REASON_NONE);
        assert_string_equal(the.verdict.order_ref, "aaaaaaaaaaaaaaba");
        assert_string_equal(the.verdict.url, "https://businesscenter.cybersource.com/payByLink/pay/x");
    }
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        case_hear(&the, 201, "", wrong[i]);
        case_expect(&the, GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER);
    }
}

static void live_hosts_are_known(void **state)
{
    (void)state;
    assert_ptr_equal(connector_for_url("https://apitest.cybersource.com"), &cybersource_connector);
    assert_false(connector_url_is_live("https://apitest.cybersource.com"));
    assert_ptr_equal(connector_for_url("https://api.cybersource.com"), &cybersource_connector);
    assert_true(connector_url_is_live("https://api.cybersource.com"));
    assert_true(connector_url_is_live("https://api.in.cybersource.com"));
}

/* --- against the strict server --- */

static struct strict strict;

static int start(void **state)
{
    (void)state;
    strict = (struct strict){.connector = &cybersource_connector, .key = KEY};
    strict_start(&strict, "cybersource");
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

static struct connector_verdict verdict;

static enum gateway_outcome order(enum connector_operation operation, uint64_t id)
{
    struct connector_step step = strict_order(operation, id);
    strict_do(&strict, &step, &verdict);
    return verdict.outcome;
}

static void a_payment_and_what_follows_it(void **state)
{
    (void)state;
    strict_pay(&strict, 1, ORDER_SUCCEEDED);
    assert_int_equal(wipe_heap_count_pattern(CASE_NUMBER, 16), 0);
    assert_int_equal(order(CONNECTOR_REFUND, 0x31), GATEWAY_DONE);
    assert_string_equal(verdict.order_ref, "ord-aaaaaaaaaaaaaadb");
    assert_int_equal(order(CONNECTOR_REFUND, 0x31), GATEWAY_DONE); /* the same order again */
    assert_int_equal(count("transactions"), 2);
    assert_int_equal(order(CONNECTOR_VOID, 0x32), GATEWAY_DONE);
    assert_int_equal(order(CONNECTOR_LINK, 0x33), GATEWAY_DONE);
    assert_int_equal(strncmp(verdict.url, "https://businesscenter.", 23), 0);
    assert_int_equal(order(CONNECTOR_LINK, 0x33), GATEWAY_DONE);
    assert_int_equal(count("links"), 1);
    assert_int_equal(count("payments"), 1);
}

static void what_is_held(uint64_t capture)
{
    struct gateway_step_msg step;
    struct gateway_order_msg create = rig_create(capture, 1, 1999, strict_token);
    create.is_authorise_only = 1;
    assert_int_equal(rig_ask(&strict.rig, &create)->outcome, GATEWAY_DONE);
    memcpy(strict_order_ref, strict.rig.reply.order_ref, sizeof(strict_order_ref));
    step = rig_step(GATEWAY_CONFIRM, capture, 1, 1999, strict_token, strict_order_ref);
    step.is_authorise_only = 1;
    assert_int_equal(rig_ask(&strict.rig, &step)->outcome, GATEWAY_DONE);
    step = rig_step(GATEWAY_STATUS, capture, 1, 1999, "", strict_order_ref);
    step.is_authorise_only = 1;
    assert_int_equal(rig_ask(&strict.rig, &step)->order_state, ORDER_AUTHORISED);
}

static void an_authorisation_is_captured_or_let_go(void **state)
{
    (void)state;
    strict_pay(&strict, 1, ORDER_SUCCEEDED); /* for its token */
    what_is_held(2);
    assert_int_equal(order(CONNECTOR_CAPTURE, 0x41), GATEWAY_DONE);
    assert_int_equal(order(CONNECTOR_CAPTURE, 0x41), GATEWAY_DONE);
    assert_int_equal(order(CONNECTOR_REFUND, 0x42), GATEWAY_DONE);
    what_is_held(3);
    assert_int_equal(order(CONNECTOR_VOID, 0x43), GATEWAY_DONE);
    assert_int_equal(order(CONNECTOR_CAPTURE, 0x44), GATEWAY_FAILED);
    what_is_held(4);
    struct gateway_step_msg abandon = rig_step(GATEWAY_ABANDON, 4, 1, 1999, "", strict_order_ref);
    abandon.is_authorise_only = 1;
    assert_int_equal(rig_ask(&strict.rig, &abandon)->order_state, ORDER_CANCELLED);
}

static void a_decline_is_a_decline(void **state)
{
    (void)state;
    strict_pay(&strict, 1, ORDER_SUCCEEDED);
    strict_tell(&strict, "set?decline=INSUFFICIENT_FUND");
    struct gateway_step_msg confirm =
        rig_step(GATEWAY_CONFIRM, 2, 1, 1999, strict_token, "cap-aaaaaaaaaaaaaaac-1");
    assert_int_equal(rig_ask(&strict.rig, &confirm)->outcome, GATEWAY_DECLINED);
    assert_int_equal(strict.rig.reply.reason, REASON_INSUFFICIENT_FUNDS);
    struct gateway_step_msg status = rig_step(GATEWAY_STATUS, 2, 1, 1999, "", "cap-aaaaaaaaaaaaaaac-1");
    assert_int_equal(rig_ask(&strict.rig, &status)->order_state, ORDER_OPEN);
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
    size_t before = count("transactions");
    assert_int_equal(order(CONNECTOR_REFUND, 0x51), GATEWAY_DONE);
    assert_int_equal(count("transactions"), before);
}

static void the_server_refuses_what_is_wrong(void **state)
{
    (void)state;
    strict_pay(&strict, 1, ORDER_SUCCEEDED);
    static const struct {
        enum connector_operation operation;
        const char *from, *to;
    } rows[] = {
        {CONNECTOR_STATUS, "signature=\"", "signature=\"A"},
        {CONNECTOR_STATUS, "Digest: SHA-256=", "Digest: SHA-256=A"},
        {CONNECTOR_STATUS, "host date request-target digest", "host date (request-target) digest"},
        {CONNECTOR_STATUS, "keyid=\"3", "keyid=\"4"},
        {CONNECTOR_STATUS, "v-c-merchant-id: shop", "v-c-merchant-id: chop"},
        {CONNECTOR_STATUS, "Date: ", "Date: Mon, 01 Jan 2024 00:00:00 GMT\nX: "},
        {CONNECTOR_STATUS, "Content-Type: application/json;charset=utf-8", "Content-Type: text/plain"},
        {CONNECTOR_STATUS, "\"save\":false", "\"save\":false,\"ours\":1"},
        {CONNECTOR_STATUS, "clientReferenceInformation.code", "code"},
        {CONNECTOR_CONFIRM, "\"MOTO\"", "\"internet\""},
        {CONNECTOR_CONFIRM, "\"capture\":true", "\"capture\":\"true\""},
        {CONNECTOR_CONFIRM, "\"totalAmount\":\"19.99\"", "\"totalAmount\":1999"},
        {CONNECTOR_CONFIRM, "\"currency\":\"USD\"", "\"currency\":\"usd\""},
        {CONNECTOR_CONFIRM, "\"customer\":{\"id\":\"F", "\"customer\":{\"id\":\"G"},
        {CONNECTOR_CONFIRM, "merchantDefinedInformation", "metadata"},
        {CONNECTOR_TOKENISE, "\"expirationYear\":\"2034\"", "\"expirationYear\":\"34\""},
        {CONNECTOR_TOKENISE, "\"0.00\"", "\"1.00\""},
        {CONNECTOR_TOKENISE, "\"securityCode\"", "\"cvv\""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct gateway_tokenise_msg card = rig_tokenise(1, 1, CASE_NUMBER);
        struct connector_step step = strict_order(rows[i].operation, 9);
        step.attempt = 1;
        step.card = rows[i].operation == CONNECTOR_TOKENISE ? &card : NULL;
        strict_plant(&strict, &step, rows[i].from, rows[i].to);
    }
    assert_int_equal(count("payments"), 1);
}

int main(void)
{
    const struct CMUnitTest rows[] = {
        cmocka_unit_test_setup(each_step_is_said_as_the_pages_have_it, begin),
        cmocka_unit_test_setup(what_cybersource_would_refuse_is_not_built, begin),
        cmocka_unit_test_setup(the_signature_is_the_one_that_was_computed_by_hand, begin),
        cmocka_unit_test_setup(every_reason_of_a_decline_is_known, begin),
        cmocka_unit_test_setup(a_charge_is_believed_only_whole, begin),
        cmocka_unit_test_setup(a_customer_of_tms_becomes_the_token, begin),
        cmocka_unit_test_setup(a_search_tells_the_state, begin),
        cmocka_unit_test_setup(a_search_tells_what_a_change_needs, begin),
        cmocka_unit_test_setup(every_change_has_its_answer, begin),
        cmocka_unit_test_setup(every_status_has_its_outcome, begin),
        cmocka_unit_test_setup(a_link_is_made_once, begin),
        cmocka_unit_test_setup(live_hosts_are_known, begin),
    };
    const struct CMUnitTest payments[] = {
        cmocka_unit_test_setup_teardown(a_payment_and_what_follows_it, start, stop),
        cmocka_unit_test_setup_teardown(an_authorisation_is_captured_or_let_go, start, stop),
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
