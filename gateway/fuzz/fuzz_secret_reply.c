/* An answer of a secret store or a metadata service that was taken over: first byte which of them, second the status, the
 * rest the body. Whatever it says, a key is printable, of its bound, and empty when it was refused; what becomes part of a
 * path or a header has nothing in it that could end one. */
#include "gateway/keys/aws_credentials.h"
#include "gateway/keys/secrets_manager.h"
#include "gateway/keys/vault_kv.h"
#include "gateway/sigv4.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static struct secret *value;

static void check_value(enum err err)
{
    const uint8_t *text = secret_bytes(value);
    ASSERT(err ? secret_length(value) == 0 : secret_length(value) > 0);
    for (size_t i = 0; i < secret_length(value); i++)
        ASSERT(text[i] >= 0x20 && text[i] < 0x7f);
}

static void read_value(unsigned which, const struct connector_answer *answer)
{
    struct sigv4_key key;
    unsigned valid_s = 0;
    enum err err = OK;
    switch (which) {
    case 0:
        err = vault_kv_read("vault:secret/payments#key", answer, value);
        break;
    case 1:
        err = secrets_manager_read("aws:prod/gateway", answer, value);
        break;
    case 2:
        err = secrets_manager_read("aws:prod/gateway#key", answer, value);
        break;
    default:
        err = aws_credentials_read(answer, 1780000000, value, &valid_s);
        ASSERT(err || (valid_s > 0 && valid_s <= 86400));
        ASSERT(err || sigv4_key_read(&key, secret_bytes(value), secret_length(value)) != ERR_RANGE);
        break;
    }
    check_value(err);
}

static void read_name(const struct connector_answer *answer)
{
    struct connector_request request;
    char session[AWS_SESSION_BYTES], role[LIMIT_NAME_BYTES];
    memset(&request, 0, sizeof(request));
    if (aws_session_read(answer, session) == OK && aws_role_build(session, &request) == OK)
        ASSERT(strcspn(request.headers, "\n") + 1 == request.header_length);
    memset(&request, 0, sizeof(request));
    if (aws_role_read(answer, role) == OK && aws_instance_build("s", role, &request) == OK)
        ASSERT(!strpbrk(request.path, " \r\n?#"));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static const unsigned statuses[] = {200, 200, 400, 401, 403, 404, 429, 500, 503, 302};
    if (!value && secret_new(&value, 1024) != OK)
        return 0;
    if (length < 2)
        return 0;
    const struct connector_answer answer = {.status =
                                                statuses[bytes[1] % (sizeof(statuses) / sizeof(statuses[0]))],
                                            .body = bytes + 2,
                                            .body_length = length - 2,
                                            .headers = ""};
    if (bytes[0] % 5 < 4)
        read_value(bytes[0] % 5, &answer);
    else
        read_name(&answer);
    return 0;
}
