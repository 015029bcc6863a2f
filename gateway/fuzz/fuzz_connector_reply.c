/* An answer of a gateway that was taken over: first byte the connector, second the step and its round (top bit:
 * authorise only), third the status, then header lines up to an empty line, then the body. Whatever it says, the
 * verdict stays inside its type and no card number becomes a reference. */
#include "gateway/connectors/adyen.h"
#include "gateway/connectors/braintree.h"
#include "gateway/connectors/cybersource.h"
#include "gateway/connectors/paypal.h"
#include "gateway/connectors/stripe.h"
#include "gateway/connectors/worldpay.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

/* is_long: this gateway's references may be long numbers; the connector has put a '_' in their middle. */
static void check_reference(const char *text, size_t capacity, int is_long)
{
    size_t digits = 0;
    ASSERT(strnlen(text, capacity) < capacity);
    for (; *text; text++) {
        int goes_on = *text == '-' || (*text == '_' && !is_long);
        digits = *text >= '0' && *text <= '9' ? digits + 1 : digits * (size_t)goes_on;
        ASSERT(digits < 12);
    }
}

/* JSON may write any character as an escape: then this says nothing. */
static int holds(const uint8_t *bytes, size_t length, const char *text)
{
    return memmem(bytes, length, text, strlen(text)) || memchr(bytes, '\\', length);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static const unsigned statuses[] = {200, 201, 400, 401, 402, 403, 404, 409, 424,
                                        429, 500, 503, 302, 422, 99,  202, 206, 204};
    static const struct {
        const struct connector *connector;
        const char *token, *order_ref;
        const char *amount; /* as its answers write it */
        int has_long_numbers;
        const char *carry; /* into a later round */
    } rows[] = {
        {&stripe_connector, "pm_token", "pi_order", "4250", 0, "cus_carried"},
        {&paypal_connector, "8kk8451t", "ORDER1", "42.50", 1, "authorizations/A1/capture"},
        {&braintree_connector, "tokencc_bc_x", "cap-aaaaaaaaaaaaaaba-1", "42.50", 0, "Y2FycmllZA"},
        {&adyen_connector, "M5N7TQ4TG5PFWR50", "KHQC5N7G84BLNK43", "4250", 1, ""},
        {&cybersource_connector, "F45FB3E443AC3C57E053", "cap-aaaaaaaaaaaaaaba-1", "42.50", 0,
         "payments/750001/captures"},
        {&worldpay_connector, "t_eyJrIjoxLCJkIjoialRBIn0", "cap-aaaaaaaaaaaaaaba-1", "4250", 0,
         "/api/payments/x/settlements"},
    };
    static const struct connector_account account = {.merchant = "ShopAccount"};
    char headers[1024] = "";
    if (length < 3)
        return 0;
    size_t row = bytes[0] % (sizeof(rows) / sizeof(rows[0]));
    struct connector_step step = {.operation = (bytes[1] & 0x7f) % CONNECTOR_OPERATIONS,
                                  .attempt = 1,
                                  .is_authorise_only = bytes[1] >> 7,
                                  .amount_minor = 4250,
                                  .currency = "EUR",
                                  .round = (bytes[1] & 0x7f) / CONNECTOR_OPERATIONS % 4};
    memcpy(step.token, rows[row].token, strlen(rows[row].token));
    memcpy(step.order_ref, rows[row].order_ref, strlen(rows[row].order_ref));
    if (step.round > 0)
        memcpy(step.carry, rows[row].carry, strlen(rows[row].carry));
    unsigned status = statuses[bytes[2] % (sizeof(statuses) / sizeof(statuses[0]))];
    bytes += 3;
    length -= 3;
    const uint8_t *end = memmem(bytes, length, "\n\n", 2);
    if (end && (size_t)(end - bytes) < sizeof(headers) - 2) {
        size_t header_length = (size_t)(end - bytes) + 1;
        memcpy(headers, bytes, header_length);
        headers[header_length] = '\0';
        bytes = end + 2;
        length -= header_length + 1;
    }
    const struct connector_answer answer = {status, bytes, length, headers};
    struct connector_verdict verdict;
    memset(&verdict, 0xee, sizeof(verdict));
    rows[row].connector->read(&account, &step, &answer, &verdict);
    ASSERT((unsigned)verdict.outcome < GATEWAY_OUTCOMES && (unsigned)verdict.reason < REASON_COUNT &&
           (unsigned)verdict.order_state < ORDER_STATES);
    ASSERT(verdict.wait_ms >= -1 && verdict.wait_ms <= 3600000);
    check_reference(verdict.token, LIMIT_TOKEN_BYTES, rows[row].has_long_numbers);
    check_reference(verdict.order_ref, LIMIT_TOKEN_BYTES, rows[row].has_long_numbers);
    check_reference(verdict.url, LIMIT_LINK_BYTES, 0);
    ASSERT(strnlen(verdict.carry, CONNECTOR_CARRY_BYTES) < CONNECTOR_CARRY_BYTES);
    ASSERT(!verdict.url[0] || step.operation == CONNECTOR_LINK);
    /* Money is only believed to have moved when the answer names order, amount and currency. */
    if (verdict.order_state == ORDER_SUCCEEDED && step.operation < CONNECTOR_CAPTURE)
        ASSERT(holds(bytes, length, rows[row].amount) && holds(bytes, length, rows[row].order_ref));
    ASSERT(verdict.outcome != GATEWAY_DONE || verdict.reason < REASON_CONFIGURATION);
    return 0;
}
