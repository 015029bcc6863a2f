/* The body of an order: whatever is accepted keeps the promises of the header, whatever is refused is explained
 * without repeating the body. */
#include "capture/desk/capture_request.h"
#include "capture/desk/currency.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void check_accepted(const struct capture_request *request)
{
    bool is_for_money = request->kind != CAPTURE_KIND_TOKENISE;
    ASSERT((unsigned)request->kind < CAPTURE_KINDS && request->amount_minor <= LIMIT_AMOUNT_MINOR);
    ASSERT(is_for_money == (request->amount_minor >= 1));
    ASSERT(is_for_money == (currency_find(request->currency) != NULL));
    ASSERT((request->call_id != 0) + (request->reference[0] != 0) + (request->callee[0] != 0) == 1);
    ASSERT(memchr(request->reference, '\0', sizeof(request->reference)));
    ASSERT(memchr(request->callee, '\0', sizeof(request->callee)));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct capture_request request;
    const char *code = NULL;
    char message[CAPTURE_REQUEST_MESSAGE_BYTES] = "";
    if (length > LIMIT_HTTP_REQUEST_BYTES)
        return 0;
    enum err err = capture_request_read(&request, (const char *)bytes, length, &code, message);
    if (err == OK) {
        check_accepted(&request);
        return 0;
    }
    ASSERT(err == ERR_SYNTAX || err == ERR_RANGE);
    ASSERT(code && code[0] && message[0]);
    /* No digits of the body: our messages hold at most the limits and examples, none longer than eight. */
    size_t run = 0;
    for (const char *c = message; *c; c++) {
        run = *c >= '0' && *c <= '9' ? run + 1 : 0;
        ASSERT(run <= 8);
    }
    return 0;
}
