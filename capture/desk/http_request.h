/* The head of an HTTP/1.1 request (RFC 9112), read strictly: one way to write each thing, everything else is refused.
 * There is no transfer coding, no folded line, no second Content-Length to disagree about. Pure. */
#ifndef TONEGATE_CAPTURE_DESK_HTTP_REQUEST_H
#define TONEGATE_CAPTURE_DESK_HTTP_REQUEST_H

#include "base/err.h"
#include "base/limits.h"
#include "capture/desk/route.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_BYTES   8192
#define HTTP_PATH_BYTES   256
#define HTTP_QUERY_BYTES  256
#define HTTP_HEADER_COUNT 64
#define HTTP_VALUE_BYTES  256

struct http_request {
    enum http_method method;
    char path[HTTP_PATH_BYTES];
    char query[HTTP_QUERY_BYTES]; /* after '?', empty when none */
    bool is_kept_alive;
    bool is_continue_expected;
    bool has_body_length;
    size_t body_length;
    const char *body;   /* set by the server once it is whole; not terminated */
    unsigned kept_seen; /* the reader's own: which of those below were there */
    const char *head;   /* as it was read, for http_header_value(); valid as long as body is */
    size_t head_length;
    char host[HTTP_VALUE_BYTES];
    char authorization[HTTP_VALUE_BYTES];
    char content_type[HTTP_VALUE_BYTES];
    char idempotency_key[HTTP_VALUE_BYTES];
    char last_event_id[HTTP_VALUE_BYTES];
};

/* Length of the head at the start of bytes, its empty line included; 0 while it is not whole. */
size_t http_head_length(const char *bytes, size_t length);

/* Reads a whole head, which must stay where it is. Returns 0, or the HTTP status to refuse it with: 400, 413 (body
 * longer than LIMIT_HTTP_REQUEST_BYTES, under /webhooks/ than LIMIT_WEBHOOK_BYTES), 414, 417, 431, 501 (transfer coding, unknown method), 505. */
MUST_USE int http_request_read(struct http_request *request, const char *head, size_t length);

/* The value of a header that is not among those above, out of a head that was read. name in any case. Out is empty on
 * error. ERR_NOT_FOUND, ERR_EXISTS (it stands there twice), ERR_LENGTH (longer than out). */
MUST_USE enum err http_header_value(const struct http_request *request, const char *name, char *out,
                                    size_t capacity);

/* The value of `name` in a query of the form a=b&c=d. False when it is not there or longer than out. No escapes are
 * decoded: no value of ours needs one. */
bool http_query_value(const char *query, const char *name, char *out, size_t capacity);

/* "application/json", whatever parameters follow. */
bool http_type_is(const char *content_type, const char *expected);

#endif
