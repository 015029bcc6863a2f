/* An answer of a gateway that is spoken to by a mapping: first byte the mapping, second the step, third the status, then
 * the body, JSON or XML. Whatever it says, the verdict stays inside its type, no card number becomes a reference, and
 * money is not believed to have moved without the order's name and amount. */
#include "gateway/connectors/generic.h"
#include "gateway/connectors/reply_xml.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static const struct {
    const char *connector, *file;
} files[] = {{"rest", MAPPING_FOLDER "/tokens-v1.yaml"},
             {"rest", MAPPING_FOLDER "/session-token.yaml"},
             {"xml", MAPPING_FOLDER "/xml-post.yaml"},
             {"rest", MAPPING_FOLDER "/generic-pay.yaml"}};
#define FILE_COUNT (sizeof(files) / sizeof(files[0]))

static struct mapping *open_once(size_t at)
{
    static struct mapping *mappings[FILE_COUNT];
    static const struct connector_account account = {.merchant = ""};
    char message[MAPPING_ERROR_BYTES];
    if (!mappings[at])
        ASSERT(generic_open(&mappings[at], files[at].connector, files[at].file, &account, "https://h",
                            message) == OK);
    return mappings[at];
}

static void check_reference(const char *text)
{
    size_t digits = 0;
    ASSERT(strnlen(text, LIMIT_TOKEN_BYTES) < LIMIT_TOKEN_BYTES);
    for (; *text; text++) {
        digits = *text >= '0' && *text <= '9' ? digits + 1 : digits * (*text == '-' || *text == '_');
        ASSERT(digits < 12);
    }
}

/* Both formats may write any character as an escape: then this says nothing. */
static bool holds(const uint8_t *bytes, size_t length, const char *text)
{
    return memmem(bytes, length, text, strlen(text)) || memchr(bytes, '\\', length) ||
           memchr(bytes, '&', length);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static const unsigned statuses[] = {200, 201, 204, 400, 401, 402, 403, 404,
                                        409, 422, 429, 500, 503, 302, 99};
    if (length < 3)
        return 0;
    size_t at = bytes[0] % FILE_COUNT;
    const struct mapping *mapping = open_once(at);
    const struct connector_account account = {.mapping = mapping};
    struct connector_step step = {.operation = bytes[1] % CONNECTOR_OPERATIONS,
                                  .attempt = 1,
                                  .amount_minor = 4250,
                                  .currency = "EUR",
                                  .token = "tok_1",
                                  .order_ref = "pay_1",
                                  .round = bytes[1] / CONNECTOR_OPERATIONS % 2};
    const struct connector_answer answer = {statuses[bytes[2] % (sizeof(statuses) / sizeof(statuses[0]))],
                                            bytes + 3, length - 3, ""};
    struct connector_verdict verdict;
    memset(&verdict, 0xee, sizeof(verdict));
    mapping->connector.read(&account, &step, &answer, &verdict);
    ASSERT((unsigned)verdict.outcome < GATEWAY_OUTCOMES && (unsigned)verdict.reason < REASON_COUNT &&
           (unsigned)verdict.order_state < ORDER_STATES && verdict.wait_ms == -1);
    bool is_session = verdict.again == CONNECTOR_NEXT;
    ASSERT(!is_session || (step.operation == CONNECTOR_TOKENISE && step.round == 0));
    if (!is_session)
        check_reference(verdict.token);
    check_reference(verdict.order_ref);
    ASSERT(strnlen(verdict.url, sizeof(verdict.url)) < sizeof(verdict.url));
    if (verdict.order_state == ORDER_SUCCEEDED && verdict.outcome == GATEWAY_DONE && at == 0)
        ASSERT(holds(answer.body, answer.body_length, "4250") &&
               holds(answer.body, answer.body_length, "pay_1"));
    if (verdict.order_state == ORDER_SUCCEEDED && verdict.outcome == GATEWAY_DONE && at == 2)
        ASSERT(holds(answer.body, answer.body_length, "42.50") &&
               holds(answer.body, answer.body_length, "pay_1"));
    ASSERT(verdict.outcome != GATEWAY_DONE || verdict.reason < REASON_CONFIGURATION);
    if (at == 2) {
        xmlDoc *document = reply_xml_parse(&answer);
        ASSERT(!document || (!document->intSubset && !document->extSubset));
        xmlFreeDoc(document);
    }
    return 0;
}
