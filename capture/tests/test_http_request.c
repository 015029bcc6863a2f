/* The reader of request heads: one way to write each thing. And the table of routes, which the OpenAPI file mirrors. */
#include "capture/desk/http_request.h"
#include "capture/desk/web_files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int read_text(const char *text, struct http_request *request)
{
    return http_request_read(request, text, strlen(text));
}

static void heads_are_read_or_refused_as_the_table_says(void **state)
{
#define H "Host: a\r\n"
    static const struct {
        const char *text;
        int status;
    } cases[] = {
        {"GET / HTTP/1.1\r\n" H "\r\n", 0},
        {"GET /a?b=c HTTP/1.1\r\nhOsT:a\r\n\r\n", 0},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 16384\r\n\r\n", 0},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 16385\r\n\r\n", 413},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 99999999999999999999\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Content-Length: +1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 0x10\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 1, 1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n", 501},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 501},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding : chunked\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H " folded: x\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "a\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H ": b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "a: b\x01\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "a: b\n\r\n", 400},
        {"GET / HTTP/1.1\n" H "\r\n", 400},
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "Host: b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost:\r\n" H "\r\n", 400}, /* empty first: still twice */
        {"GET / HTTP/1.1\r\n" H "Authorization:\r\nAuthorization: a\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "Authorization: a\r\nAuthorization: b\r\n\r\n", 400},
        {"GET  / HTTP/1.1\r\n" H "\r\n", 400},
        {"GET / HTTP/1.1 \r\n" H "\r\n", 400},
        {" GET / HTTP/1.1\r\n" H "\r\n", 400},
        {"GET /a b HTTP/1.1\r\n" H "\r\n", 400},
        {"GET http://x/ HTTP/1.1\r\n" H "\r\n", 400},
        {"GET /#f HTTP/1.1\r\n" H "\r\n", 400},
        {"OPTIONS * HTTP/1.1\r\n" H "\r\n", 400},
        {"GET / HTTP/1.0\r\n" H "\r\n", 505},
        {"GET / HTTP/2.0\r\n" H "\r\n", 505},
        {"GET / HTTP/11\r\n" H "\r\n", 400},
        {"GET / http/1.1\r\n" H "\r\n", 400},
        {"get / HTTP/1.1\r\n" H "\r\n", 501},
        {"TRACE / HTTP/1.1\r\n" H "\r\n", 501},
        {"GET / HTTP/1.1\r\n" H "Expect: 100-continue\r\n\r\n", 0},
        {"GET / HTTP/1.1\r\n" H "Expect: tea\r\n\r\n", 417},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http_request request;
        int status = read_text(cases[i].text, &request);
        if (status != cases[i].status)
            fail_msg("%d instead of %d for %s", status, cases[i].status, cases[i].text);
    }
}

static void what_is_wanted_is_kept(void **state)
{
    struct http_request request;
    char value[16];
    (void)state;
    assert_int_equal(
        read_text("POST /v1/captures?limit=5&before=cap_x HTTP/1.1\r\nHost: h\r\nX: y\r\n"
                  "Authorization:  Bearer abc \r\nContent-Type: application/json; charset=utf-8\r\n"
                  "Content-Length: 7\r\nConnection: close\r\nIdempotency-Key: k 1\r\n\r\n",
                  &request),
        0);
    assert_int_equal(request.method, HTTP_POST);
    assert_string_equal(request.path, "/v1/captures");
    assert_string_equal(request.authorization, "Bearer abc");
    assert_string_equal(request.idempotency_key, "k 1");
    assert_int_equal(request.body_length, 7);
    assert_false(request.is_kept_alive);
    assert_true(http_type_is(request.content_type, "application/json"));
    assert_false(http_type_is("application/jsonp", "application/json"));
    assert_true(http_query_value(request.query, "limit", value, sizeof(value)));
    assert_string_equal(value, "5");
    assert_true(http_query_value(request.query, "before", value, sizeof(value)));
    assert_false(http_query_value(request.query, "efore", value, sizeof(value)));
    assert_false(http_query_value("before=012345678901234567", "before", value, sizeof(value)));
}

static void a_header_that_is_not_kept_is_found_once_or_not_at_all(void **state)
{
    struct http_request request;
    char value[8];
    (void)state;
    assert_int_equal(
        read_text("POST /webhooks/stripe/payment HTTP/1.1\r\nHost: h\r\nContent-Length: 65536\r\n"
                  "X-One:  a b \r\nx-two: 1\r\nX-Two: 2\r\nX-Long: 12345678\r\nX-Empty:\r\n\r\n",
                  &request),
        0);
    assert_int_equal(http_header_value(&request, "x-one", value, sizeof(value)), OK);
    assert_string_equal(value, "a b");
    assert_int_equal(http_header_value(&request, "X-Two", value, sizeof(value)), ERR_EXISTS);
    assert_int_equal(http_header_value(&request, "X-Long", value, sizeof(value)), ERR_LENGTH);
    assert_string_equal(value, "");
    assert_int_equal(http_header_value(&request, "X-Empty", value, sizeof(value)), OK);
    assert_int_equal(http_header_value(&request, "X-On", value, sizeof(value)), ERR_NOT_FOUND);
    assert_int_equal(
        read_text("POST /webhooks/adyen HTTP/1.1\r\nHost: h\r\nContent-Length: 65537\r\n\r\n", &request),
        413);
}

static void lengths_and_counts_have_their_limits(void **state)
{
    static char text[HTTP_HEAD_BYTES * 2];
    struct http_request request;
    (void)state;
    for (size_t length = HTTP_PATH_BYTES - 3; length < HTTP_PATH_BYTES + 3; length++) {
        snprintf(text, sizeof(text), "GET /%0*d HTTP/1.1\r\nHost: a\r\n\r\n", (int)length - 1, 0);
        assert_int_equal(read_text(text, &request), length < HTTP_PATH_BYTES ? 0 : 414);
    }
    for (size_t length = HTTP_VALUE_BYTES - 3; length < HTTP_VALUE_BYTES + 3; length++) {
        snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: %0*d\r\n\r\n", (int)length,
                 0);
        assert_int_equal(read_text(text, &request), length < HTTP_VALUE_BYTES ? 0 : 431);
    }
    for (int count = HTTP_HEADER_COUNT - 2; count < HTTP_HEADER_COUNT + 2; count++) {
        size_t at = (size_t)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\n");
        for (int i = 1; i < count; i++)
            at += (size_t)snprintf(text + at, sizeof(text) - at, "h%d: v\r\n", i);
        snprintf(text + at, sizeof(text) - at, "\r\n");
        assert_int_equal(read_text(text, &request), count <= HTTP_HEADER_COUNT ? 0 : 431);
    }
    assert_int_equal(http_head_length("GET / HTTP/1.1\r\n\r\nrest", 22), 18);
    assert_int_equal(http_head_length("GET / HTTP/1.1\r\n\r", 17), 0);
}

static void paths_find_their_routes(void **state)
{
    struct route_match match;
    (void)state;
    assert_int_equal(route_find(HTTP_GET, "/v1/captures/cap_aaaaaaaaaaaaaabc", &match), OK);
    assert_int_equal(match.route->id, ROUTE_CAPTURE);
    assert_int_equal(match.subject, 0x12);
    assert_int_equal(route_find(HTTP_POST, "/v1/captures/cap_aaaaaaaaaaaaaabc/fields/cvv/reset", &match), OK);
    assert_int_equal(match.field, CARD_CVV);
    assert_int_equal(match.route->id, ROUTE_FIELD_RESET);
    assert_int_equal(route_find(HTTP_DELETE, "/v1/captures", &match), ERR_UNSUPPORTED);
    assert_int_equal(match.allowed, 1u << HTTP_GET | 1u << HTTP_HEAD | 1u << HTTP_POST);
    static const char *const strangers[] = {"",
                                            "//",
                                            "/v1",
                                            "/v1/captures/",
                                            "/v1/captures/cap_",
                                            "/v1/captures/call_aaaaaaaaaaaaaabc",
                                            "/v1/calls/cap_aaaaaaaaaaaaaabc",
                                            "/v1/captures/cap_aaaaaaaaaaaaaabq",
                                            "/v1/captures/cap_aaaaaaaaaaaaaabc/",
                                            "/v1/captures/cap_aaaaaaaaaaaaaabc/fields/pan/reset",
                                            "/v1/captures/cap_aaaaaaaaaaaaaabc/fields//reset",
                                            "/%2e/app.js",
                                            "/../app.js"};
    for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++)
        assert_int_equal(route_find(HTTP_GET, strangers[i], &match), ERR_NOT_FOUND);
}

/* "get /v1/calls" for every path and method of the file, by its indentation. */
static size_t described(char list[][128], size_t capacity)
{
    char *copy = strndup((const char *)web_openapi_yaml.bytes, web_openapi_yaml.length);
    char path[96] = "";
    size_t count = 0;
    char *rest = copy;
    for (char *line; (line = strsep(&rest, "\n"));) {
        if (line[0] != ' ' && line[0] != '\0')
            path[0] = '\0';
        if (strncmp(line, "  /", 3) == 0)
            snprintf(path, sizeof(path), "%.*s", (int)strcspn(line + 2, ":"), line + 2);
        for (int m = 0; m < HTTP_METHODS && path[0] && strncmp(line, "    ", 4) == 0; m++) {
            const char *name = http_method_name((enum http_method)m);
            size_t length = strlen(name);
            if (strncasecmp(line + 4, name, length) == 0 && strcmp(line + 4 + length, ":") == 0 &&
                count < capacity)
                snprintf(list[count++], 128, "%s %s", name, path);
        }
    }
    free(copy);
    return count;
}

static void every_route_is_described_and_every_description_is_a_route(void **state)
{
    static char list[64][128];
    size_t route_count;
    const struct route *routes = route_table(&route_count);
    size_t count = described(list, 64);
    (void)state;
    for (size_t i = 0; i < route_count; i++) {
        char wanted[128];
        bool is_found = false;
        snprintf(wanted, sizeof(wanted), "%s %s", http_method_name(routes[i].method), routes[i].pattern);
        for (size_t k = 0; k < count; k++)
            is_found = is_found || strcmp(list[k], wanted) == 0;
        if (!is_found)
            fail_msg("%s is not in openapi.yaml", wanted);
    }
    for (size_t k = 0; k < count; k++) {
        bool is_found = false;
        for (size_t i = 0; i < route_count; i++) {
            char wanted[128];
            snprintf(wanted, sizeof(wanted), "%s %s", http_method_name(routes[i].method), routes[i].pattern);
            is_found = is_found || strcmp(list[k], wanted) == 0;
        }
        if (!is_found)
            fail_msg("%s of openapi.yaml is not a route", list[k]);
    }
    assert_int_equal(count, route_count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_are_read_or_refused_as_the_table_says),
        cmocka_unit_test(what_is_wanted_is_kept),
        cmocka_unit_test(a_header_that_is_not_kept_is_found_once_or_not_at_all),
        cmocka_unit_test(lengths_and_counts_have_their_limits),
        cmocka_unit_test(paths_find_their_routes),
        cmocka_unit_test(every_route_is_described_and_every_description_is_a_route),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
