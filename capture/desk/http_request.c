#include "capture/desk/http_request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct slice {
    const char *start;
    size_t length;
};

size_t http_head_length(const char *bytes, size_t length)
{
    const char *end = memmem(bytes, length, "\r\n\r\n", 4);
    return end ? (size_t)(end - bytes) + 4 : 0;
}

static bool slice_is(struct slice slice, const char *text)
{
    return slice.length == strlen(text) && memcmp(slice.start, text, slice.length) == 0;
}

static bool slice_copy(struct slice slice, char *out, size_t capacity)
{
    if (slice.length >= capacity)
        return false;
    memcpy(out, slice.start, slice.length);
    out[slice.length] = '\0';
    return true;
}

/* tchar of RFC 9110 §5.6.2. */
static bool is_token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token(struct slice slice)
{
    for (size_t i = 0; i < slice.length; i++) {
        if (!is_token_char(slice.start[i]))
            return false;
    }
    return slice.length > 0;
}

static bool is_visible(struct slice slice, bool has_space)
{
    for (size_t i = 0; i < slice.length; i++) {
        char c = slice.start[i];
        if (c > 0x20 && c < 0x7f)
            continue;
        if (!has_space || (c != ' ' && c != '\t'))
            return false;
    }
    return true;
}

/* Takes what stands before the next `end` off the front of *rest. */
static bool take_until(struct slice *rest, char end, struct slice *taken)
{
    const char *at = memchr(rest->start, end, rest->length);
    if (!at)
        return false;
    *taken = (struct slice){rest->start, (size_t)(at - rest->start)};
    rest->length -= taken->length + 1;
    rest->start = at + 1;
    return true;
}

static bool take_line(struct slice *rest, struct slice *line)
{
    if (!take_until(rest, '\n', line) || line->length == 0 || line->start[line->length - 1] != '\r')
        return false;
    line->length--;
    return true;
}

static int read_target(struct http_request *request, struct slice target)
{
    if (target.length == 0 || target.start[0] != '/' || !is_visible(target, false) ||
        memchr(target.start, '#', target.length))
        return 400;
    struct slice path = target;
    struct slice query = {target.start, 0};
    const char *mark = memchr(target.start, '?', target.length);
    if (mark) {
        path.length = (size_t)(mark - target.start);
        query = (struct slice){mark + 1, target.length - path.length - 1};
    }
    if (!slice_copy(path, request->path, sizeof(request->path)) ||
        !slice_copy(query, request->query, sizeof(request->query)))
        return 414;
    return 0;
}

static int read_request_line(struct http_request *request, struct slice line)
{
    struct slice method;
    struct slice target;
    if (!take_until(&line, ' ', &method) || !is_token(method) || !take_until(&line, ' ', &target))
        return 400;
    if (line.length != 8 || memcmp(line.start, "HTTP/", 5) != 0)
        return 400;
    if (!slice_is(line, "HTTP/1.1"))
        return 505;
    request->is_kept_alive = true;
    int status = read_target(request, target);
    if (status)
        return status;
    for (int i = 0; i < HTTP_METHODS; i++) {
        if (slice_is(method, http_method_name((enum http_method)i))) {
            request->method = (enum http_method)i;
            return 0;
        }
    }
    return 501;
}

static int read_body_length(struct http_request *request, struct slice value)
{
    if (request->has_body_length || value.length == 0 || value.length > 18)
        return 400;
    size_t length = 0;
    for (size_t i = 0; i < value.length; i++) {
        if (value.start[i] < '0' || value.start[i] > '9')
            return 400;
        length = length * 10 + (size_t)(value.start[i] - '0');
    }
    request->has_body_length = true;
    request->body_length = length;
    bool is_webhook = strncmp(request->path, "/webhooks/", 10) == 0;
    return length > (is_webhook ? LIMIT_WEBHOOK_BYTES : LIMIT_HTTP_REQUEST_BYTES) ? 413 : 0;
}

static const struct {
    const char *name;
    size_t offset;
} kept_headers[] = {
    {"host", offsetof(struct http_request, host)},
    {"authorization", offsetof(struct http_request, authorization)},
    {"content-type", offsetof(struct http_request, content_type)},
    {"idempotency-key", offsetof(struct http_request, idempotency_key)},
    {"last-event-id", offsetof(struct http_request, last_event_id)},
};

static bool name_is(struct slice name, const char *text)
{
    return name.length == strlen(text) && strncasecmp(name.start, text, name.length) == 0;
}

static int keep_header(struct http_request *request, struct slice name, struct slice value)
{
    for (size_t i = 0; i < sizeof(kept_headers) / sizeof(kept_headers[0]); i++) {
        if (!name_is(name, kept_headers[i].name))
            continue;
        char *out = (char *)request + kept_headers[i].offset;
        if (request->kept_seen & 1u << i)
            return 400; /* twice, be it empty */
        request->kept_seen |= 1u << i;
        return slice_copy(value, out, HTTP_VALUE_BYTES) ? 0 : 431;
    }
    return 0;
}

static struct slice trimmed(struct slice text)
{
    while (text.length > 0 && (text.start[0] == ' ' || text.start[0] == '\t')) {
        text.start++;
        text.length--;
    }
    while (text.length > 0 && (text.start[text.length - 1] == ' ' || text.start[text.length - 1] == '\t'))
        text.length--;
    return text;
}

static int read_header(struct http_request *request, struct slice line)
{
    struct slice name;
    if (!take_until(&line, ':', &name) || !is_token(name))
        return 400;
    line = trimmed(line);
    for (size_t i = 0; i < line.length; i++) {
        if (((unsigned char)line.start[i] < 0x20 && line.start[i] != '\t') || line.start[i] == 0x7f)
            return 400;
    }
    if (name_is(name, "content-length"))
        return read_body_length(request, line);
    if (name_is(name, "transfer-encoding"))
        return 501;
    if (name_is(name, "connection") && line.length == 5 && strncasecmp(line.start, "close", 5) == 0)
        request->is_kept_alive = false;
    if (name_is(name, "expect")) {
        if (line.length != 12 || strncasecmp(line.start, "100-continue", 12) != 0)
            return 417;
        request->is_continue_expected = true;
    }
    return keep_header(request, name, line);
}

int http_request_read(struct http_request *request, const char *head, size_t length)
{
    *request = (struct http_request){.method = HTTP_GET, .head = head, .head_length = length};
    struct slice rest = {head, length};
    struct slice line;
    int status = take_line(&rest, &line) ? read_request_line(request, line) : 400;
    int refused = status;
    /* The headers are read even when the first line is refused: nothing after it may be taken for a new request. */
    for (unsigned count = 0; rest.length > 0 && status != 400; count++) {
        if (!take_line(&rest, &line))
            return 400;
        if (line.length == 0)
            return rest.length ? 400 : refused ? refused : request->host[0] ? 0 : 400;
        if (count == HTTP_HEADER_COUNT)
            return 431;
        int header_status = read_header(request, line);
        if (header_status && !refused)
            refused = header_status;
        if (header_status == 400)
            return 400;
    }
    return refused ? refused : 400;
}

enum err http_header_value(const struct http_request *request, const char *name, char *out, size_t capacity)
{
    struct slice rest = {request->head, request->head_length};
    struct slice line;
    struct slice found = {NULL, 0};
    out[0] = '\0';
    while (take_line(&rest, &line)) {
        struct slice this_name;
        if (!take_until(&line, ':', &this_name) || !name_is(this_name, name))
            continue;
        if (found.start)
            return ERR_EXISTS;
        found = trimmed(line);
    }
    if (!found.start)
        return ERR_NOT_FOUND;
    return slice_copy(found, out, capacity) ? OK : ERR_LENGTH;
}

bool http_query_value(const char *query, const char *name, char *out, size_t capacity)
{
    size_t name_length = strlen(name);
    while (*query) {
        size_t length = strcspn(query, "&");
        if (length > name_length && query[name_length] == '=' && memcmp(query, name, name_length) == 0)
            return slice_copy((struct slice){query + name_length + 1, length - name_length - 1}, out,
                              capacity);
        query += length;
        query += *query == '&';
    }
    return false;
}

bool http_type_is(const char *content_type, const char *expected)
{
    size_t length = strcspn(content_type, "; \t");
    return length == strlen(expected) && strncasecmp(content_type, expected, length) == 0;
}
