/* The bodies of orders after the card: first byte the kind, then the body. */
#include "capture/desk/order_request.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct order_request request;
    const char *code = NULL;
    char message[ORDER_REQUEST_MESSAGE_BYTES] = "";
    if (length < 1 || length > LIMIT_HTTP_REQUEST_BYTES)
        return 0;
    enum order_kind kind = (enum order_kind)(bytes[0] % ORDER_KINDS);
    enum err err = order_request_read(&request, kind, (const char *)bytes + 1, length - 1, &code, message);
    if (err) {
        ASSERT((err == ERR_SYNTAX || err == ERR_RANGE) && code && message[0]);
        return 0;
    }
    ASSERT(request.amount_minor >= 0 && request.amount_minor <= LIMIT_AMOUNT_MINOR);
    ASSERT((request.interval_count != 0) == (request.interval_unit != INTERVAL_OF_PLAN));
    ASSERT(kind != ORDER_KIND_LINK || (request.amount_minor > 0 && request.currency[0]));
    return 0;
}
