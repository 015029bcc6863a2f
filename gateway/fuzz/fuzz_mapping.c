/* A mapping file. Whatever it says, the loader ends, with a line for what is wrong; and what it lets through never puts a
 * digit of a card outside the body of TOKENISE. */
#include "gateway/connectors/generic.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static const struct gateway_tokenise_msg card = {.number_length = 16,
                                                 .number = {4, 9, 7, 6, 4, 9, 7, 6, 4, 9, 7, 6, 4, 9, 7, 6},
                                                 .cvv_length = 3,
                                                 .cvv = {8, 5, 8},
                                                 .expiry_month = 4,
                                                 .expiry_year = 31};

static void check_request(const struct connector_account *account, enum connector_operation operation,
                          struct connector_request *request)
{
    static const char number[] = "4976497649764976";
    struct secret *body = request->body, *held = request->held;
    struct connector_verdict verdict;
    struct connector_step step = {.operation = operation,
                                  .capture_id = 1,
                                  .call_id = 2,
                                  .attempt = 1,
                                  .amount_minor = 4250,
                                  .currency = "EUR",
                                  .token = "tok_1",
                                  .order_ref = "pay_1",
                                  .customer = "cus",
                                  .plan = "plan",
                                  .interval_count = 1,
                                  .interval_unit = INTERVAL_MONTH,
                                  .reference = "ref",
                                  .card = &card}; /* in every step, where none may use it */
    secret_wipe(body);
    secret_wipe(held);
    memset(request, 0, sizeof(*request));
    request->body = body;
    request->held = held;
    if (account->mapping->connector.build(account, &step, request, &verdict) != OK)
        return;
    ASSERT(strnlen(request->path, sizeof(request->path)) < sizeof(request->path) && request->path[0] == '/');
    ASSERT(request->header_length < sizeof(request->headers) &&
           request->headers[request->header_length] == '\0');
    ASSERT(!strstr(request->path, number) && !strstr(request->headers, number));
    bool is_in_body = memmem(secret_bytes(body), secret_length(body), number, sizeof(number) - 1) != NULL;
    ASSERT(!is_in_body || (operation == CONNECTOR_TOKENISE && request->has_card));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static const char *const names[] = {"rest", "xml", "aws"};
    struct connector_account account = {.merchant = "m", .region = "r", .service = "s"};
    struct connector_request request = {.method = NULL};
    struct mapping *mapping;
    char message[MAPPING_ERROR_BYTES] = "";
    if (mapping_parse(&mapping, "file", (const char *)bytes, length, message) != OK) {
        ASSERT(!mapping && (strncmp(message, "file:", 5) == 0));
        return 0;
    }
    /* A file that spells the number out says nothing of us. */
    if (memmem(bytes, length, "4976", 4) || memchr(bytes, '\\', length)) {
        mapping_free(mapping);
        return 0;
    }
    account.mapping = mapping;
    if (secret_new(&request.body, CONNECTOR_BODY_BYTES) == OK &&
        secret_new(&request.held, CONNECTOR_BODY_BYTES) == OK) {
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
            if (generic_bind(mapping, names[i], &account, "https://h", message) != OK)
                continue;
            for (unsigned k = 0; k < CONNECTOR_OPERATIONS; k++)
                check_request(&account, (enum connector_operation)k, &request);
        }
    }
    secret_free(request.body);
    secret_free(request.held);
    mapping_free(mapping);
    return 0;
}
