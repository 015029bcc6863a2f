/* An answer of a gateway that was taken over: first byte the step, second the status, then header lines up to an empty
 * line, then the body. Whatever it says, the verdict stays inside its type and no card number becomes a reference. */
#include "gateway/stripe.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void check_reference(const char *text)
{
    size_t digits = 0;
    ASSERT(strnlen(text, LIMIT_TOKEN_BYTES) < LIMIT_TOKEN_BYTES);
    for (; *text; text++) {
        digits = *text >= '0' && *text <= '9' ? digits + 1 : digits * (*text == '-' || *text == '_');
        ASSERT(digits < 12);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static const unsigned statuses[] = {200, 201, 400, 401, 402, 403, 404, 409, 424, 429, 500, 503, 302, 99};
    char headers[1024] = "";
    if (length < 2)
        return 0;
    struct connector_step step = {.operation = bytes[0] % CONNECTOR_OPERATIONS,
                                  .attempt = 1,
                                  .amount_minor = 4250,
                                  .currency = "EUR",
                                  .token = "pm_token",
                                  .order_ref = "pi_order"};
    unsigned status = statuses[bytes[1] % (sizeof(statuses) / sizeof(statuses[0]))];
    bytes += 2;
    length -= 2;
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
    stripe_connector.read(&step, &answer, &verdict);
    ASSERT((unsigned)verdict.outcome < GATEWAY_OUTCOMES && (unsigned)verdict.reason < REASON_COUNT &&
           (unsigned)verdict.order_state < ORDER_STATES);
    ASSERT(verdict.wait_ms >= -1 && verdict.wait_ms <= 3600000);
    check_reference(verdict.token);
    check_reference(verdict.order_ref);
    /* Money is only believed to have moved when the answer names order, amount and currency. */
    if (verdict.order_state == ORDER_SUCCEEDED)
        ASSERT(memmem(bytes, length, "4250", 4) && memmem(bytes, length, "succeeded", 9));
    ASSERT(verdict.outcome != GATEWAY_DONE || verdict.reason < REASON_CONFIGURATION);
    return 0;
}
