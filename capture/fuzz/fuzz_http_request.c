/* Bytes as a client sends them: the head's reader, then the routes and the query of what it accepted. */
#include "capture/desk/http_request.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct http_request request;
    struct route_match match;
    char value[32];
    size_t head_length = http_head_length((const char *)bytes, length);
    if (head_length == 0 || head_length > HTTP_HEAD_BYTES)
        return 0;
    int status = http_request_read(&request, (const char *)bytes, head_length);
    if (status)
        return 0;
    bool is_webhook = strncmp(request.path, "/webhooks/", 10) == 0;
    ASSERT(request.body_length <= (is_webhook ? LIMIT_WEBHOOK_BYTES : LIMIT_HTTP_REQUEST_BYTES));
    ASSERT(request.host[0] && request.path[0] == '/');
    ASSERT(http_header_value(&request, "host", value, sizeof(value)) != ERR_EXISTS);
    enum err err = route_find(request.method, request.path, &match);
    ASSERT((err == OK) == (match.route != NULL));
    ASSERT(err != ERR_UNSUPPORTED || match.allowed);
    if (http_query_value(request.query, "limit", value, sizeof(value)))
        ASSERT(strlen(value) < sizeof(value));
    (void)http_type_is(request.content_type, "application/json");
    return 0;
}
