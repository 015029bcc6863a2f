/* AWS's published signature vectors (aws-c-auth's aws-signing-test-suite, v4, and the worked example of the IAM User
 * Guide): the requests as text, the signatures they must come to. */
#include "gateway/sigv4.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define KEY         "AKIDEXAMPLE:wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define NOW_S       1440938160 /* 2015-08-30T12:36:00Z */
#define LETTERS     "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define FORM_SHA256 "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"
#define STS_TOKEN                                                                                            \
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTf" \
    "lfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9H"  \
    "FvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvK"  \
    "Tr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="

static const struct vector {
    const char *name;
    const char *method, *path, *headers, *body, *token;
    const char *names; /* of the signed headers */
    const char *signature;
} vectors[] = {
    {"get-vanilla", "GET", "/", "", "", "", "host;x-amz-date",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"get-vanilla-with-session-token", "GET", "/", "", "",
     "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267",
     "host;x-amz-date;x-amz-security-token",
     "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8"},
    {"get-header-key-duplicate", "GET", "/", "My-Header1: value2\nMy-Header1: value2\nMy-Header1: value1\n",
     "", "", "host;my-header1;x-amz-date",
     "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
    {"get-header-value-order", "GET", "/",
     "My-Header1: value4\nMy-Header1: value1\nMy-Header1: value3\nMy-Header1: value2\n", "", "",
     "host;my-header1;x-amz-date", "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"},
    {"get-header-value-trim", "GET", "/", "My-Header1:  value1\nMy-Header2:  \"a   b   c\" \n", "", "",
     "host;my-header1;my-header2;x-amz-date",
     "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
    {"get-relative", "GET", "/example/..", "", "", "", "host;x-amz-date",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"get-relative-relative", "GET", "/example1/example2/../..", "", "", "", "host;x-amz-date",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"get-slash-dot-slash", "GET", "/./", "", "", "", "host;x-amz-date",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"get-slash", "GET", "//", "", "", "", "host;x-amz-date",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"get-slash-pointless-dot", "GET", "/./example", "", "", "", "host;x-amz-date",
     "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5"},
    {"get-slashes", "GET", "//example//", "", "", "", "host;x-amz-date",
     "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"},
    {"get-space", "GET", "/example space/", "", "", "", "host;x-amz-date",
     "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"},
    {"get-unreserved", "GET", "/" LETTERS, "", "", "", "host;x-amz-date",
     "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
    {"get-utf8", "GET", "/\xe1\x88\xb4", "", "", "", "host;x-amz-date",
     "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
    {"get-vanilla-empty-query-key", "GET", "/?Param1=value1", "", "", "", "host;x-amz-date",
     "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
    {"get-vanilla-query-order-encoded", "GET", "/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1", "", "", "",
     "host;x-amz-date", "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac"},
    {"get-vanilla-query-order-key-case", "GET", "/?Param2=value2&Param1=value1", "", "", "",
     "host;x-amz-date", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
    {"get-vanilla-query-unreserved", "GET", "/?" LETTERS "=" LETTERS, "", "", "", "host;x-amz-date",
     "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
    {"get-vanilla-utf8-query", "GET", "/?\xe1\x88\xb4=bar", "", "", "", "host;x-amz-date",
     "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
    {"post-vanilla", "POST", "/", "", "", "", "host;x-amz-date",
     "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
    {"post-header-key-sort", "POST", "/", "My-Header1: value1\n", "", "", "host;my-header1;x-amz-date",
     "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
    {"post-header-value-case", "POST", "/", "My-Header1: VALUE1\n", "", "", "host;my-header1;x-amz-date",
     "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"},
    {"post-sts-header-before", "POST", "/", "", "", STS_TOKEN, "host;x-amz-date;x-amz-security-token",
     "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"},
    {"post-vanilla-query", "POST", "/?Param1=value1", "", "", "", "host;x-amz-date",
     "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"},
    {"post-x-www-form-urlencoded", "POST", "/",
     "Content-Type: application/x-www-form-urlencoded\nContent-Length: 13\nX-Amz-Content-Sha256: " FORM_SHA256
     "\n",
     "Param1=value1", "", "content-length;content-type;host;x-amz-content-sha256;x-amz-date",
     "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b"},
    {"post-x-www-form-urlencoded-parameters", "POST", "/",
     "Content-Type: application/x-www-form-urlencoded; charset=utf-8\nContent-Length: 13\n"
     "X-Amz-Content-Sha256: " FORM_SHA256 "\n",
     "Param1=value1", "", "content-length;content-type;host;x-amz-content-sha256;x-amz-date",
     "328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422"},
};

static void begin(struct connector_request *request, const char *method, const char *path,
                  const char *headers, const char *body)
{
    memset(request, 0, sizeof(*request));
    assert_int_equal(secret_new(&request->body, 256), OK);
    for (; *body; body++)
        assert_int_equal(secret_append(request->body, (uint8_t)*body), OK);
    request->method = method;
    snprintf(request->path, sizeof(request->path), "%s", path);
    request->header_length = (size_t)snprintf(request->headers, sizeof(request->headers), "%s", headers);
    snprintf(request->host, sizeof(request->host), "example.amazonaws.com");
    request->now_s = NOW_S;
}

static void every_published_vector_is_signed_as_published(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        const struct vector *vector = &vectors[i];
        struct connector_request request;
        struct sigv4_key key;
        char text[1024], expected[512];
        snprintf(text, sizeof(text), "%s%s%s", KEY, vector->token[0] ? ":" : "", vector->token);
        assert_int_equal(sigv4_key_read(&key, (const uint8_t *)text, strlen(text)), OK);
        begin(&request, vector->method, vector->path, vector->headers, vector->body);
        assert_int_equal(sigv4_sign(&request, &key, "us-east-1", "service"), OK);
        snprintf(
            expected, sizeof(expected),
            "authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
            "SignedHeaders=%s, Signature=%s\n",
            vector->names, vector->signature);
        if (!strstr(request.headers, expected))
            print_error("%s:\n%s", vector->name, request.headers);
        assert_non_null(strstr(request.headers, expected));
        assert_non_null(strstr(request.headers, "x-amz-date: 20150830T123600Z\n"));
        assert_int_equal(strstr(request.headers, "x-amz-security-token: ") != NULL, vector->token[0] != '\0');
        assert_null(strstr(request.headers, "wJalrXUtnFEMI"));
        secret_free(request.body);
    }
}

static void the_worked_example_of_the_guide_is_signed_as_printed(void **state)
{
    (void)state;
    struct connector_request request;
    struct sigv4_key key;
    begin(&request, "GET", "/?Action=ListUsers&Version=2010-05-08",
          "Content-Type: application/x-www-form-urlencoded; charset=utf-8\n", "");
    snprintf(request.host, sizeof(request.host), "iam.amazonaws.com");
    assert_int_equal(sigv4_key_read(&key, (const uint8_t *)KEY, sizeof(KEY) - 1), OK);
    assert_int_equal(sigv4_sign(&request, &key, "us-east-1", "iam"), OK);
    assert_non_null(strstr(request.headers,
                           "Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "
                           "SignedHeaders=content-type;host;x-amz-date, Signature="
                           "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7\n"));
    secret_free(request.body);
}

static void signature_of(const char *path, const char *headers, const char *body, int64_t now_s, char *out)
{
    struct connector_request request;
    struct sigv4_key key;
    begin(&request, "POST", path, headers, body);
    request.now_s = now_s;
    assert_int_equal(sigv4_key_read(&key, (const uint8_t *)KEY, sizeof(KEY) - 1), OK);
    assert_int_equal(sigv4_sign(&request, &key, "us-east-1", "service"), OK);
    snprintf(out, 65, "%s", strstr(request.headers, "Signature=") + 10);
    secret_free(request.body);
}

static void whatever_is_changed_changes_the_signature(void **state)
{
    (void)state;
    char right[65], other[65];
    signature_of("/a?b=c", "X-Amz-Target: a\n", "body", NOW_S, right);
    signature_of("/a?b=c", "x-amz-target: a\n", "body", NOW_S, other);
    assert_string_equal(other, right);
    signature_of("/b?b=c", "X-Amz-Target: a\n", "body", NOW_S, other);
    assert_string_not_equal(other, right);
    signature_of("/a?b=d", "X-Amz-Target: a\n", "body", NOW_S, other);
    assert_string_not_equal(other, right);
    signature_of("/a?b=c", "X-Amz-Target: b\n", "body", NOW_S, other);
    assert_string_not_equal(other, right);
    signature_of("/a?b=c", "X-Amz-Target: a\n", "bodY", NOW_S, other);
    assert_string_not_equal(other, right);
    signature_of("/a?b=c", "X-Amz-Target: a\n", "body", NOW_S + 1, other);
    assert_string_not_equal(other, right);
}

static void keys_that_are_none_are_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "", ":", "id", "id:", ":secret", "id:secret:", "id:secret:token:more", "id:sec ret", "id:secret\n"};
    char wide[3 + SIGV4_SECRET_BYTES + 2] = "id:";
    struct sigv4_key key;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(sigv4_key_read(&key, (const uint8_t *)rows[i], strlen(rows[i])), ERR_SYNTAX);
    memset(wide + 3, 'x', SIGV4_SECRET_BYTES + 1);
    assert_int_equal(sigv4_key_read(&key, (const uint8_t *)wide, 3 + SIGV4_SECRET_BYTES + 1), ERR_SYNTAX);
    assert_int_equal(sigv4_key_read(&key, (const uint8_t *)wide, 3 + SIGV4_SECRET_BYTES), OK);
}

static void what_cannot_be_signed_is_refused_and_nothing_is_appended(void **state)
{
    (void)state;
    static const struct {
        const char *path, *headers, *region, *service, *host;
        int64_t now_s;
        enum err err;
    } rows[] = {
        {"/", "", "", "service", "h", NOW_S, ERR_RANGE},
        {"/", "", "us-east-1", "Service", "h", NOW_S, ERR_RANGE},
        {"/", "", "us/east", "service", "h", NOW_S, ERR_RANGE},
        {"/", "", "us-east-1", "service", "", NOW_S, ERR_RANGE},
        {"/", "", "us-east-1", "service", "h", 0, ERR_RANGE},
        {"/", "", "us-east-1", "service", "h", INT64_MAX, ERR_RANGE},
        {"/", "Empty: \n", "us-east-1", "service", "h", NOW_S, ERR_SYNTAX},
        {"/", "no colon\n", "us-east-1", "service", "h", NOW_S, ERR_SYNTAX},
        {"/?a=%4", "", "us-east-1", "service", "h", NOW_S, ERR_SYNTAX},
        {"/?a=%", "", "us-east-1", "service", "h", NOW_S, ERR_SYNTAX},
        {"/?a&b&c&d&e&f&g&h&i&j&k&l&m&n&o&p&q&r&s&t&u&v&w&x&y&z&a&b&c&d&e&f&g", "", "us-east-1", "service",
         "h", NOW_S, ERR_FULL},
    };
    struct sigv4_key key;
    assert_int_equal(sigv4_key_read(&key, (const uint8_t *)KEY, sizeof(KEY) - 1), OK);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct connector_request request;
        begin(&request, "POST", rows[i].path, rows[i].headers, "");
        snprintf(request.host, sizeof(request.host), "%s", rows[i].host);
        request.now_s = rows[i].now_s;
        assert_int_equal(sigv4_sign(&request, &key, rows[i].region, rows[i].service), rows[i].err);
        assert_string_equal(request.headers, rows[i].headers);
        assert_int_equal(request.header_length, strlen(rows[i].headers));
        secret_free(request.body);
    }
}

static void headers_up_to_the_last_byte_are_signed_or_refused(void **state)
{
    (void)state;
    struct sigv4_key key;
    assert_int_equal(sigv4_key_read(&key, (const uint8_t *)KEY, sizeof(KEY) - 1), OK);
    unsigned signed_count = 0, refused_count = 0;
    for (size_t length = CONNECTOR_HEADER_BYTES - 320; length < CONNECTOR_HEADER_BYTES - 4; length++) {
        struct connector_request request;
        begin(&request, "POST", "/", "", "");
        memset(request.headers, 'x', length);
        memcpy(request.headers, "a: ", 3);
        request.headers[length - 1] = '\n';
        request.header_length = length;
        enum err err = sigv4_sign(&request, &key, "us-east-1", "service");
        assert_true(err == OK || err == ERR_FULL);
        assert_int_equal(strlen(request.headers), request.header_length);
        if (err)
            assert_int_equal(request.header_length, length);
        *(err ? &refused_count : &signed_count) += 1;
        secret_free(request.body);
    }
    assert_true(signed_count > 0 && refused_count > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_published_vector_is_signed_as_published),
        cmocka_unit_test(the_worked_example_of_the_guide_is_signed_as_printed),
        cmocka_unit_test(whatever_is_changed_changes_the_signature),
        cmocka_unit_test(keys_that_are_none_are_refused),
        cmocka_unit_test(what_cannot_be_signed_is_refused_and_nothing_is_appended),
        cmocka_unit_test(headers_up_to_the_last_byte_are_signed_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
