/* Adyen's connector row by row, and payments against a server that keeps idempotency keys: STATUS is CONFIRM's request again. */
#include "gateway/connectors/adyen.h"
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

static struct connector_case the;

#define SHOPPER                                                                                              \
    "\"shopperReference\":\"caller-aaaaaaaaaaaaaaba-1\",\"shopperInteraction\":\"Moto\","                    \
    "\"recurringProcessingModel\":\"CardOnFile\",\"returnUrl\":\"https://localhost/not-used\""
#define AMOUNT "\"amount\":{\"currency\":\"USD\",\"value\":1999}"

static int begin(void **state)
{
    (void)state;
    case_begin(&the, &adyen_connector, "M5N7TQ4TG5PFWR50", "KHQC5N7G84BLNK43");
    snprintf(the.account.merchant, sizeof(the.account.merchant), "ShopAccount");
    return 0;
}

static void each_step_is_said_as_the_description_has_it(void **state)
{
    (void)state;
    case_step(&the, CONNECTOR_TOKENISE);
    case_says(&the, "POST", "/v71/payments",
              "{\"merchantAccount\":\"ShopAccount\",\"reference\":\"cap-aaaaaaaaaaaaaaba-1-card\","
              "\"amount\":{\"currency\":\"USD\",\"value\":0}," SHOPPER ",\"storePaymentMethod\":true,"
              "\"paymentMethod\":{\"type\":\"scheme\",\"number\":\"" CASE_NUMBER
              "\",\"expiryMonth\":\"02\",\"expiryYear\":\"2034\",\"cvc\":\"737\"}}");
    assert_true(the.request.has_card);
    assert_non_null(strstr(the.request.headers, "Idempotency-Key: cap_aaaaaaaaaaaaaaba-1-tokenise\n"));
    case_step(&the, CONNECTOR_CREATE);
    case_says(
        &the, "POST", "/v71/payments",
        "{\"merchantAccount\":\"ShopAccount\",\"reference\":\"cap-aaaaaaaaaaaaaaba-1\"," AMOUNT "," SHOPPER
        ",\"paymentMethod\":{\"type\":\"scheme\","
        "\"storedPaymentMethodId\":\"M5N7TQ4TG5PFWR50\"},\"additionalData\":{\"manualCapture\":\"true\"},"
        "\"metadata\":{\"channel\":\"ivr\",\"source\":\"ivr_payment_flow\","
        "\"call_id\":\"call_aaaaaaaaaaaaaaca\",\"capture_id\":\"cap_aaaaaaaaaaaaaaba\"}}");
    assert_non_null(strstr(the.request.headers, "Idempotency-Key: cap_aaaaaaaaaaaaaaba-1-create\n"));
    case_step(&the, CONNECTOR_CONFIRM);
    case_says(&the, "POST", "/v71/payments/KHQC5N7G84BLNK43/captures",
              "{\"merchantAccount\":\"ShopAccount\",\"reference\":\"cap-aaaaaaaaaaaaaaba-1\"," AMOUNT "}");
    case_step(&the, CONNECTOR_ABANDON);
    case_says(&the, "POST", "/v71/payments/KHQC5N7G84BLNK43/reversals",
              "{\"merchantAccount\":\"ShopAccount\",\"reference\":\"cap-aaaaaaaaaaaaaaba-1\"}");
    case_step(&the, CONNECTOR_CAPTURE);
    case_says(&the, "POST", "/v71/payments/KHQC5N7G84BLNK43/captures",
              "{\"merchantAccount\":\"ShopAccount\",\"reference\":\"ord-aaaaaaaaaaaaaaba\"," AMOUNT "}");
    case_step(&the, CONNECTOR_VOID);
    case_says(&the, "POST", "/v71/payments/KHQC5N7G84BLNK43/reversals",
              "{\"merchantAccount\":\"ShopAccount\",\"reference\":\"ord-aaaaaaaaaaaaaaba\"}");
    case_step(&the, CONNECTOR_REFUND);
    case_says(&the, "POST", "/v71/payments/KHQC5N7G84BLNK43/refunds",
              "{\"merchantAccount\":\"ShopAccount\",\"reference\":\"ord-aaaaaaaaaaaaaaba\"," AMOUNT "}");
    case_step(&the, CONNECTOR_LINK);
    snprintf(the.step.reference, sizeof(the.step.reference), "invoice 7");
    case_says(&the, "POST", "/v71/paymentLinks",
              "{\"merchantAccount\":\"ShopAccount\",\"reference\":\"invoice 7\"," AMOUNT
              ",\"reusable\":false,"
              "\"metadata\":{\"channel\":\"ivr\",\"source\":\"ivr_payment_flow\","
              "\"call_id\":\"call_aaaaaaaaaaaaaaca\",\"order_id\":\"ord_aaaaaaaaaaaaaaba\"}}");
}

/* STATUS must bring back the answer of CONFIRM: method, path, headers and body are the same to the byte. */
static void the_question_is_the_confirmation_itself(void **state)
{
    (void)state;
    struct connector_case confirm;
    case_step(&the, CONNECTOR_CONFIRM);
    assert_int_equal(case_build(&the), OK);
    confirm = the;
    the.step.token[0] = '\0'; /* the vault sends none with a question */
    case_step(&the, CONNECTOR_STATUS);
    case_says(&the, confirm.request.method, confirm.request.path, confirm.body);
    assert_string_equal(the.request.headers, confirm.request.headers);
    assert_non_null(strstr(the.request.headers, "Idempotency-Key: cap_aaaaaaaaaaaaaaba-1-confirm\n"));
}

static void what_is_only_authorised_is_not_captured(void **state)
{
    (void)state;
    the.step.is_authorise_only = true;
    case_step(&the, CONNECTOR_CONFIRM);
    assert_int_equal(case_build(&the), ERR_EMPTY);
    case_expect(&the, GATEWAY_DONE, ORDER_AUTHORISED, REASON_NONE);
    case_step(&the, CONNECTOR_STATUS);
    assert_int_equal(case_build(&the), ERR_EMPTY);
    case_expect(&the, GATEWAY_DONE, ORDER_AUTHORISED, REASON_NONE);
    the.step.order_ref[0] = '\0';
    assert_int_equal(case_build(&the), ERR_EMPTY);
    case_expect(&the, GATEWAY_DONE, ORDER_UNKNOWN_TO_GATEWAY, REASON_NONE);
}

static void what_adyen_would_refuse_or_misread_is_not_built(void **state)
{
    (void)state;
    static const char *const currencies[] = {"CLP", "CVE", "IDR", "ISK", "CLF", "UYW", "usd", ""};
    for (size_t i = 0; i < sizeof(currencies) / sizeof(currencies[0]); i++) {
        case_step(&the, CONNECTOR_CREATE);
        snprintf(the.step.currency, sizeof(the.step.currency), "%s", currencies[i]);
        assert_int_equal(case_build(&the), ERR_RANGE);
    }
    begin(NULL);
    case_step(&the, CONNECTOR_SUBSCRIBE);
    assert_int_equal(case_build(&the), ERR_RANGE);
    case_step(&the, CONNECTOR_CREATE);
    the.step.amount_minor = 0;
    assert_int_equal(case_build(&the), ERR_RANGE);
    begin(NULL);
    case_step(&the, CONNECTOR_CONFIRM);
    snprintf(the.step.order_ref, sizeof(the.step.order_ref), "../payments");
    assert_int_equal(case_build(&the), ERR_RANGE);
    begin(NULL);
    the.account.merchant[0] = '\0';
    case_step(&the, CONNECTOR_TOKENISE);
    assert_int_equal(case_build(&the), ERR_RANGE);
}

static void a_card_is_verified_in_the_accounts_currency(void **state)
{
    (void)state;
    static const struct {
        const char *step, *region, *said;
    } rows[] = {{"", "", "EUR"}, {"", "GBP", "GBP"}, {"USD", "GBP", "USD"}, {"", "eu-west-1", "EUR"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char expected[64];
        snprintf(the.step.currency, sizeof(the.step.currency), "%s", rows[i].step);
        snprintf(the.account.region, sizeof(the.account.region), "%s", rows[i].region);
        snprintf(expected, sizeof(expected), "{\"currency\":\"%s\",\"value\":0}", rows[i].said);
        case_step(&the, CONNECTOR_TOKENISE);
        assert_int_equal(case_build(&the), OK);
        assert_non_null(strstr(the.body, expected));
    }
}

#define STORED(key, id)                                                                                      \
    "{\"resultCode\":\"Authorised\",\"pspReference\":\"KHQC5N7G84BLNK43\",\"additionalData\":{\"" key        \
    "\":\"" id "\"}}"

static void a_stored_card_becomes_the_token(void **state)
{
    (void)state;
    case_step(&the, CONNECTOR_TOKENISE);
    case_hear(&the, 200, "", STORED("tokenization.storedPaymentMethodId", "M5N7TQ4TG5PFWR50"));
    case_expect(&the, GATEWAY_DONE, ORDER_NONE, REASON_NONE);
    assert_string_equal(the.verdict.token, "M5N7TQ4TG5PFWR50");
    case_hear(&the, 200, "", STORED("recurring.recurringDetailReference", "8415736344864224"));
    case_expect(&the, GATEWAY_DONE, ORDER_NONE, REASON_NONE);
    assert_string_equal(the.verdict.token, "84157363_44864224");
    snprintf(the.step.token, sizeof(the.step.token), "%s", the.verdict.token);
    case_step(&the, CONNECTOR_CREATE);
    assert_int_equal(case_build(&the), OK);
    assert_non_null(strstr(the.body, "\"storedPaymentMethodId\":\"8415736344864224\""));
    /* Verified, and not stored: nobody will be charged by a retry. */
    case_step(&the, CONNECTOR_TOKENISE);
    case_hear(&the, 200, "", "{\"resultCode\":\"Authorised\",\"additionalData\":{}}");
    case_expect(&the, GATEWAY_FAILED, ORDER_NONE, REASON_CONFIGURATION);
    static const char *const ids[] = {"", "M5N7TQ4TG5PFWR5_", "M5N7-TQ4TG5PFWR5", "a b"};
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        char body[256];
        snprintf(body, sizeof(body),
                 "{\"resultCode\":\"Authorised\",\"additionalData\":{\"tokenization.storedPaymentMethodId\":"
                 "\"%s\"}}",
                 ids[i]);
        case_hear(&the, 200, "", body);
        case_expect(&the, GATEWAY_FAILED, ORDER_NONE, REASON_BAD_ANSWER);
    }
}

static void every_refusal_code_has_its_reason(void **state)
{
    (void)state;
    static const struct {
        const char *code;
        enum gateway_reason reason;
    } rows[] = {
        {"2", REASON_DECLINED},
        {"3", REASON_DECLINED},
        {"4", REASON_PROCESSING_ERROR},
        {"5", REASON_DECLINED},
        {"6", REASON_EXPIRED},
        {"7", REASON_PROCESSING_ERROR},
        {"8", REASON_WRONG_NUMBER},
        {"9", REASON_PROCESSING_ERROR},
        {"11", REASON_NEEDS_AUTHENTICATION},
        {"12", REASON_INSUFFICIENT_FUNDS},
        {"20", REASON_DECLINED},
        {"21", REASON_PROCESSING_ERROR},
        {"24", REASON_WRONG_CVV},
        {"28", REASON_LIMIT},
        {"29", REASON_LIMIT},
        {"38", REASON_NEEDS_AUTHENTICATION},
        {"42", REASON_NEEDS_AUTHENTICATION},
        {"46", REASON_LIMIT},
        {"4711", REASON_DECLINED},
    };
    static const enum connector_operation operations[] = {CONNECTOR_TOKENISE, CONNECTOR_CREATE};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t k = 0; k < 2; k++) {
            char body[160];
            snprintf(body, sizeof(body),
                     "{\"resultCode\":\"Refused\",\"refusalReason\":\"x\",\"refusalReasonCode\":\"%s\"}",
                     rows[i].code);
            case_step(&the, operations[k]);
            case_hear(&the, 200, "", body); /* a decline comes as 200 */
            case_expect(&the, GATEWAY_DECLINED, ORDER_NONE, rows[i].reason);
        }
    }
}

#define PAID(result)                                                                                         \
    "{\"resultCode\":\"" result "\",\"pspReference\":\"KHQC5N7G84BLNK43\",\"merchantReference\":"            \
    "\"cap-aaaaaaaaaaaaaaba-1\"," AMOUNT "}"

static void every_result_has_its_outcome(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        enum gateway_outcome outcome;
        enum gateway_order_state state;
        enum gateway_reason reason;
    } rows[] = {
        {PAID("Authorised"), GATEWAY_DONE, ORDER_AUTHORISED, REASON_NONE},
        {PAID("Refused"), GATEWAY_DECLINED, ORDER_NONE, REASON_DECLINED},
        {PAID("Cancelled"), GATEWAY_DECLINED, ORDER_NONE, REASON_DECLINED},
        {PAID("Error"), GATEWAY_DECLINED, ORDER_NONE, REASON_DECLINED},
        {PAID("RedirectShopper"), GATEWAY_DECLINED, ORDER_NONE, REASON_NEEDS_AUTHENTICATION},
        {PAID("IdentifyShopper"), GATEWAY_DECLINED, ORDER_NONE, REASON_NEEDS_AUTHENTICATION},
        {PAID("ChallengeShopper"), GATEWAY_DECLINED, ORDER_NONE, REASON_NEEDS_AUTHENTICATION},
        {PAID("PartiallyAuthorised"), GATEWAY_FAILED, ORDER_NONE, REASON_BAD_ANSWER},
        {PAID("Received"), GATEWAY_FAILED, ORDER_NONE, REASON_BAD_ANSWER},
        {PAID("Pending"), GATEWAY_FAILED, ORDER_NONE, REASON_BAD_ANSWER},
        {PAID("Tomorrow"), GATEWAY_FAILED, ORDER_NONE, REASON_BAD_ANSWER},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        case_step(&the, CONNECTOR_CREATE);
        case_hear(&the, 200, "", rows[i].body);
        case_expect(&the, rows[i].outcome, rows[i].state, rows[i].reason);
    }
    case_hear(&the, 200, "", PAID("Authorised"));
    assert_string_equal(the.verdict.order_ref, "KHQC5N7G84BLNK43");
}

#define CHANGED(payment, account, amount)                                                                    \
    "{\"status\":\"received\",\"pspReference\":\"8836183819713023\",\"paymentPspReference\":\"" payment      \
    "\",\"merchantAccount\":\"" account "\"," amount "}"
#define RIGHT CHANGED("KHQC5N7G84BLNK43", "ShopAccount", AMOUNT)

static void every_change_that_was_received_has_its_state(void **state)
{
    (void)state;
    static const struct {
        enum connector_operation operation;
        enum gateway_order_state state;
        const char *order_ref;
    } rows[] = {
        {CONNECTOR_CONFIRM, ORDER_SUCCEEDED, ""}, {CONNECTOR_STATUS, ORDER_SUCCEEDED, ""},
        {CONNECTOR_ABANDON, ORDER_CANCELLED, ""}, {CONNECTOR_CAPTURE, ORDER_SUCCEEDED, ""},
        {CONNECTOR_VOID, ORDER_CANCELLED, ""},    {CONNECTOR_REFUND, ORDER_NONE, "88361838_19713023"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        case_step(&the, rows[i].operation);
        case_hear(&the, 201, "", RIGHT);
        case_expect(&the, GATEWAY_DONE, rows[i].state, REASON_NONE);
        assert_string_equal(the.verdict.order_ref, rows[i].order_ref);
    }
    case_step(&the, CONNECTOR_LINK);
    case_hear(
        &the, 201, "",
        "{\"id\":\"PLE83C39B0A0DE0C1E\",\"status\":\"active\",\"merchantAccount\":\"ShopAccount\"," AMOUNT
        ",\"url\":\"https://test.adyen.link/PLE83C39B0A0DE0C1E\"}");
    case_expect(&the, GATEWAY_DONE, ORDER_OPEN, REASON_NONE);
    assert_string_equal(the.verdict.order_ref, "PLE83C39B0A0DE0C1E");
    assert_string_equal(the.verdict.url, "https://test.adyen.link/PLE83C39B0A0DE0C1E");
}

static void an_answer_about_something_else_is_a_bad_answer(void **state)
{
    (void)state;
    static const char *const changes[] = {
        "",
        "[]",
        "<html>",
        "{\"status\":\"received\"}",
        CHANGED("KHQC5N7G84BLNK44", "ShopAccount", AMOUNT),
        CHANGED("KHQC5N7G84BLNK43", "Another", AMOUNT),
        CHANGED("KHQC5N7G84BLNK43", "ShopAccount", "\"amount\":{\"currency\":\"USD\",\"value\":1998}"),
        CHANGED("KHQC5N7G84BLNK43", "ShopAccount", "\"amount\":{\"currency\":\"EUR\",\"value\":1999}"),
        CHANGED("KHQC5N7G84BLNK43", "ShopAccount", "\"amount\":{\"currency\":\"USD\",\"value\":\"1999\"}"),
        "{\"status\":\"refused\",\"pspReference\":\"KHQC5N7G84BLNK45\",\"paymentPspReference\":"
        "\"KHQC5N7G84BLNK43\",\"merchantAccount\":\"ShopAccount\"," AMOUNT "}",
    };
    static const enum connector_operation operations[] = {CONNECTOR_CONFIRM, CONNECTOR_STATUS,
                                                          CONNECTOR_CAPTURE, CONNECTOR_REFUND};
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        for (size_t k = 0; k < sizeof(operations) / sizeof(operations[0]); k++) {
            case_step(&the, operations[k]);
            case_hear(&the, 201, "", changes[i]);
            case_expect(&the, GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER);
        }
    }
    static const char *const payments[] = {
        "{\"resultCode\":\"Authorised\",\"pspReference\":\"KHQC5N7G84BLNK43\",\"merchantReference\":"
        "\"cap-aaaaaaaaaaaaaaba-2\"," AMOUNT "}",
        "{\"resultCode\":\"Authorised\",\"pspReference\":\"KHQC5N7G84BLNK43\",\"merchantReference\":"
        "\"cap-aaaaaaaaaaaaaaba-1\",\"amount\":{\"currency\":\"USD\",\"value\":1}}",
        "{\"resultCode\":\"Authorised\",\"merchantReference\":\"cap-aaaaaaaaaaaaaaba-1\"," AMOUNT "}",
    };
    case_step(&the, CONNECTOR_CREATE);
    for (size_t i = 0; i < sizeof(payments) / sizeof(payments[0]); i++) {
        case_hear(&the, 200, "", payments[i]);
        case_expect(&the, GATEWAY_FAILED, ORDER_NONE, REASON_BAD_ANSWER);
    }
    case_step(&the, CONNECTOR_LINK);
    case_hear(
        &the, 201, "",
        "{\"id\":\"PLE83C39B0A0DE0C1E\",\"status\":\"active\",\"merchantAccount\":\"ShopAccount\"," AMOUNT
        ",\"url\":\"http://test.adyen.link/PLE83C39B0A0DE0C1E\"}");
    case_expect(&the, GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER);
}

static void every_status_has_its_outcome(void **state)
{
    (void)state;
    static const struct {
        unsigned status;
        const char *code;
        enum gateway_outcome confirm, create;
        enum gateway_reason reason;
        enum connector_again again;
    } rows[] = {
        {400, "702", GATEWAY_FAILED, GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_FINAL},
        {401, "000", GATEWAY_FAILED, GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_FINAL},
        {403, "901", GATEWAY_FAILED, GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_FINAL},
        {404, "000", GATEWAY_FAILED, GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_FINAL},
        {422, "905", GATEWAY_FAILED, GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_FINAL},
        {422, "101", GATEWAY_FAILED, GATEWAY_FAILED, REASON_CONFIGURATION,
         CONNECTOR_FINAL}, /* no card there */
        {422, "704", GATEWAY_NO_ANSWER, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE, CONNECTOR_AGAIN},
        {429, "x", GATEWAY_UNAVAILABLE, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE, CONNECTOR_AGAIN},
        {500, "x", GATEWAY_NO_ANSWER, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE, CONNECTOR_AGAIN},
        {503, "x", GATEWAY_NO_ANSWER, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE, CONNECTOR_AGAIN},
        {418, "x", GATEWAY_NO_ANSWER, GATEWAY_FAILED, REASON_BAD_ANSWER, CONNECTOR_FINAL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char body[128];
        snprintf(body, sizeof(body), "{\"status\":%u,\"errorCode\":\"%s\",\"errorType\":\"validation\"}",
                 rows[i].status, rows[i].code);
        case_step(&the, CONNECTOR_CONFIRM);
        case_hear(&the, rows[i].status, "", body);
        case_expect(&the, rows[i].confirm, ORDER_NONE, rows[i].reason);
        assert_int_equal(the.verdict.again, rows[i].again);
        case_step(&the, CONNECTOR_CREATE);
        case_hear(&the, rows[i].status, "", body);
        case_expect(&the, rows[i].create, ORDER_NONE, rows[i].reason);
    }
    case_step(&the, CONNECTOR_CONFIRM);
    case_hear(&the, 422, "transient-error: true\n", "{\"status\":422,\"errorCode\":\"x\"}");
    case_expect(&the, GATEWAY_NO_ANSWER, ORDER_NONE, REASON_UNAVAILABLE);
    assert_int_equal(the.verdict.again, CONNECTOR_AGAIN);
    case_hear(&the, 403, "", "<html>"); /* some box on the way */
    case_expect(&the, GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER);
}

static void a_field_of_the_card_that_fails_is_a_decline(void **state)
{
    (void)state;
    static const struct {
        const char *code;
        enum gateway_reason reason;
    } rows[] = {{"101", REASON_WRONG_NUMBER},
                {"103", REASON_WRONG_CVV},
                {"129", REASON_EXPIRED},
                {"140", REASON_EXPIRED}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char body[128];
        snprintf(body, sizeof(body), "{\"status\":422,\"errorCode\":\"%s\",\"errorType\":\"validation\"}",
                 rows[i].code);
        case_step(&the, CONNECTOR_TOKENISE);
        case_hear(&the, 422, "", body);
        case_expect(&the, GATEWAY_DECLINED, ORDER_NONE, rows[i].reason);
    }
}

static void the_key_goes_into_its_header_and_live_hosts_are_known(void **state)
{
    (void)state;
    struct connector_request request = {.header_length = 0};
    assert_int_equal(adyen_connector.authorise(&the.account, (const uint8_t *)"AQE-x", 5, &request), OK);
    assert_string_equal(request.headers, "X-API-Key: AQE-x\n");
    assert_int_equal(adyen_connector.authorise(&the.account, (const uint8_t *)"AQ\nE", 4, &request),
                     ERR_SYNTAX);
    static const struct {
        const char *url;
        bool is_adyen, is_live;
    } rows[] = {
        {"https://checkout-test.adyen.com", true, false},
        {"https://1797a841fbb37ca7-AdyenDemo-checkout-live.adyenpayments.com/checkout", true, true},
        {"https://-checkout-live.adyenpayments.com", false, false},
        {"https://checkout-live.adyenpayments.com.example", false, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(connector_for_url(rows[i].url) == &adyen_connector, rows[i].is_adyen);
        assert_int_equal(connector_url_is_live(rows[i].url), rows[i].is_live);
    }
    assert_ptr_equal(connector_find("adyen"), &adyen_connector);
}

/* --- against the strict server --- */

static struct strict strict;
static struct connector_verdict verdict;

static int start(void **state)
{
    (void)state;
    strict = (struct strict){
        .connector = &adyen_connector, .key = "AQEstrict", .account = {.merchant = "ShopAccount"}};
    strict_start(&strict, "adyen");
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

/* What the books say of the payment that was made as the number-th. */
static json_int_t booked(size_t number, const char *what)
{
    json_t *books = strict_books(&strict);
    json_int_t amount =
        json_integer_value(json_object_get(json_array_get(json_object_get(books, "payments"), number), what));
    json_decref(books);
    return amount;
}

static void create(uint64_t capture, bool is_authorise_only)
{
    struct gateway_tokenise_msg card = rig_tokenise(capture, 1, CASE_NUMBER);
    assert_int_equal(rig_ask(&strict.rig, &card)->outcome, GATEWAY_DONE);
    memcpy(strict_token, strict.rig.reply.token, sizeof(strict_token));
    struct gateway_order_msg message = rig_create(capture, 1, 1999, strict_token);
    message.is_authorise_only = is_authorise_only;
    assert_int_equal(rig_ask(&strict.rig, &message)->outcome, GATEWAY_DONE);
    memcpy(strict_order_ref, strict.rig.reply.order_ref, sizeof(strict_order_ref));
}

static void a_payment_and_what_follows_it(void **state)
{
    (void)state;
    strict_pay(&strict, 1, ORDER_SUCCEEDED);
    assert_int_equal(wipe_heap_count_pattern(CASE_NUMBER, 16), 0);
    assert_int_equal(booked(0, "captured"), 1999);
    assert_int_equal(order(CONNECTOR_REFUND, 0x31), GATEWAY_DONE);
    assert_non_null(strchr(verdict.order_ref, '_'));               /* digits only, and no card */
    assert_int_equal(order(CONNECTOR_REFUND, 0x31), GATEWAY_DONE); /* the same order again */
    assert_int_equal(booked(0, "given_back"), 1999);
    assert_int_equal(order(CONNECTOR_LINK, 0x32), GATEWAY_DONE);
    assert_int_equal(strncmp(verdict.url, "https://test.adyen.link/PL", 26), 0);
    create(2, true);
    struct gateway_step_msg step = rig_step(GATEWAY_CONFIRM, 2, 1, 1999, strict_token, strict_order_ref);
    step.is_authorise_only = 1;
    assert_int_equal(rig_ask(&strict.rig, &step)->order_state, ORDER_AUTHORISED);
    assert_int_equal(booked(1, "captured"), 0);
    struct connector_step part = strict_order(CONNECTOR_CAPTURE, 0x33);
    part.amount_minor = 500;
    strict_do(&strict, &part, &verdict);
    assert_int_equal(verdict.outcome, GATEWAY_DONE);
    assert_int_equal(booked(1, "captured"), 500);
    create(3, false);
    step = rig_step(GATEWAY_ABANDON, 3, 1, 1999, "", strict_order_ref);
    assert_int_equal(rig_ask(&strict.rig, &step)->order_state, ORDER_CANCELLED);
    assert_int_equal(booked(2, "held"), 0);
    strict_pay(&strict, 4, ORDER_SUCCEEDED);
    assert_int_equal(order(CONNECTOR_VOID, 0x34), GATEWAY_DONE);
    assert_int_equal(booked(3, "given_back"), 1999);
}

static void a_lost_answer_is_asked_for_with_the_same_request(void **state)
{
    (void)state;
    create(1, false);
    struct connector_step confirm = strict_order(CONNECTOR_CONFIRM, 1);
    confirm.attempt = 1;
    strict_lose(&strict, &confirm, 0);
    assert_int_equal(booked(0, "captured"), 1999);
    struct gateway_step_msg status = rig_step(GATEWAY_STATUS, 1, 1, 1999, "", strict_order_ref);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(rig_ask(&strict.rig, &status)->order_state, ORDER_SUCCEEDED);
    assert_int_equal(booked(0, "captured"), 1999);
    /* A question about a confirmation that never arrived carries it out, once. */
    create(2, false);
    status = rig_step(GATEWAY_STATUS, 2, 1, 1999, "", strict_order_ref);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(rig_ask(&strict.rig, &status)->order_state, ORDER_SUCCEEDED);
    assert_int_equal(booked(1, "captured"), 1999);
    /* The order itself: sent again by the step machinery, held once. */
    strict_tell(&strict, "lose");
    struct gateway_tokenise_msg card = rig_tokenise(3, 1, CASE_NUMBER);
    assert_int_equal(rig_ask(&strict.rig, &card)->outcome, GATEWAY_DONE);
    strict_tell(&strict, "lose");
    struct gateway_order_msg message = rig_create(3, 1, 1999, strict.rig.reply.token);
    assert_int_equal(rig_ask(&strict.rig, &message)->outcome, GATEWAY_DONE);
    json_t *books = strict_books(&strict);
    assert_int_equal(json_array_size(json_object_get(books, "payments")), 3);
    json_decref(books);
}

static void a_decline_comes_before_money_is_held(void **state)
{
    (void)state;
    struct gateway_tokenise_msg card = rig_tokenise(1, 1, CASE_NUMBER);
    assert_int_equal(rig_ask(&strict.rig, &card)->outcome, GATEWAY_DONE);
    strict_tell(&strict, "set?decline=12");
    struct gateway_order_msg message = rig_create(1, 1, 1999, strict.rig.reply.token);
    assert_int_equal(rig_ask(&strict.rig, &message)->outcome, GATEWAY_DECLINED);
    assert_int_equal(strict.rig.reply.reason, REASON_INSUFFICIENT_FUNDS);
    card = rig_tokenise(2, 1, "4111111111111112");
    assert_int_equal(rig_ask(&strict.rig, &card)->outcome, GATEWAY_DECLINED);
    assert_int_equal(strict.rig.reply.reason, REASON_WRONG_NUMBER);
}

static void the_server_refuses_what_is_wrong(void **state)
{
    (void)state;
    strict_pay(&strict, 1, ORDER_SUCCEEDED);
    static const struct {
        enum connector_operation operation;
        const char *from, *to;
    } rows[] = {
        {CONNECTOR_REFUND, "X-API-Key: AQE", "X-API-Key: BQE"},
        {CONNECTOR_REFUND, "Idempotency-Key", "X"},
        {CONNECTOR_REFUND, "ord_aaaaaaaaaaaaaaaj-refund",
         "cap_aaaaaaaaaaaaaaab-1-confirm"}, /* a key that was used */
        {CONNECTOR_REFUND, "ShopAccount", "Another"},
        {CONNECTOR_REFUND, "\"value\":1999", "\"value\":19.99"},
        {CONNECTOR_REFUND, "\"value\":1999", "\"value\":2000"},
        {CONNECTOR_REFUND, "\"currency\":\"USD\"", "\"currency\":\"EUR\""},
        {CONNECTOR_CAPTURE, "\"amount\"", "\"sum\""}, /* and nothing more is held */
        {CONNECTOR_CREATE, "\"manualCapture\":\"true\"", "\"manualCapture\":\"false\""},
        {CONNECTOR_CREATE, "caller-", "somebody-"},
        {CONNECTOR_CREATE, "Moto", "Ecommerce"},
        {CONNECTOR_TOKENISE, "\"value\":0", "\"value\":1"},
        {CONNECTOR_TOKENISE, "\"cvc\"", "\"cvv\""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct gateway_tokenise_msg card = rig_tokenise(1, 1, CASE_NUMBER);
        struct connector_step step = strict_order(rows[i].operation, 9);
        step.attempt = 1;
        step.card = rows[i].operation == CONNECTOR_TOKENISE ? &card : NULL;
        strict_plant(&strict, &step, rows[i].from, rows[i].to);
    }
    assert_int_equal(booked(0, "given_back"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_step_is_said_as_the_description_has_it, begin),
        cmocka_unit_test_setup(the_question_is_the_confirmation_itself, begin),
        cmocka_unit_test_setup(what_is_only_authorised_is_not_captured, begin),
        cmocka_unit_test_setup(what_adyen_would_refuse_or_misread_is_not_built, begin),
        cmocka_unit_test_setup(a_card_is_verified_in_the_accounts_currency, begin),
        cmocka_unit_test_setup(a_stored_card_becomes_the_token, begin),
        cmocka_unit_test_setup(every_refusal_code_has_its_reason, begin),
        cmocka_unit_test_setup(every_result_has_its_outcome, begin),
        cmocka_unit_test_setup(every_change_that_was_received_has_its_state, begin),
        cmocka_unit_test_setup(an_answer_about_something_else_is_a_bad_answer, begin),
        cmocka_unit_test_setup(every_status_has_its_outcome, begin),
        cmocka_unit_test_setup(a_field_of_the_card_that_fails_is_a_decline, begin),
        cmocka_unit_test_setup(the_key_goes_into_its_header_and_live_hosts_are_known, begin),
    };
    const struct CMUnitTest payments[] = {
        cmocka_unit_test_setup_teardown(a_payment_and_what_follows_it, start, stop),
        cmocka_unit_test_setup_teardown(a_lost_answer_is_asked_for_with_the_same_request, start, stop),
        cmocka_unit_test_setup_teardown(a_decline_comes_before_money_is_held, start, stop),
        cmocka_unit_test_setup_teardown(the_server_refuses_what_is_wrong, start, stop),
    };
    rig_setup();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (strict_is_possible())
        failed += cmocka_run_group_tests(payments, NULL, NULL);
    rig_teardown();
    return failed;
}
