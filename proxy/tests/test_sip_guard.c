/* The guard lets good messages pass, says of bad ones what is wrong, and stays within its bounds whatever it is given. */
#include "base/limits.h"
#include "proxy/sip/sip_guard.h"
#include "proxy/sip/sip_headers.h"
#include "proxy/tests/sip_vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LINE_VIA     "Via: SIP/2.0/UDP host.example;branch=z9hG4bKa\r\n"
#define LINE_FROM    "From: <sip:a@host.example>;tag=1\r\n"
#define LINE_TO      "To: <sip:b@host.example>\r\n"
#define LINE_CALL_ID "Call-ID: c\r\n"
#define LINE_CSEQ    "CSeq: 1 INVITE\r\n"
#define START        "INVITE sip:b@host.example SIP/2.0\r\n"
#define GOOD         START LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ

/* From a copy of the exact length, so that a sanitizer sees one byte too far. */
static struct sip_guard_verdict check_bytes(const char *message, size_t length, bool is_stream)
{
    struct sip_guard_verdict verdict;
    char *exact = malloc(length ? length : 1);
    assert_non_null(exact);
    memcpy(exact, message, length);
    sip_guard_check(exact, length, is_stream, &verdict);
    free(exact);
    return verdict;
}

static struct sip_guard_verdict check(const char *message)
{
    return check_bytes(message, strlen(message), false);
}

static void expect(const char *message, enum sip_guard_action action, int status)
{
    struct sip_guard_verdict verdict = check(message);
    if (verdict.action != action || verdict.status != status)
        print_error("%s\ngot %d %d: %s\n", message, verdict.action, verdict.status,
                    verdict.reason ? verdict.reason : "-");
    assert_int_equal(verdict.action, action);
    assert_int_equal(verdict.status, status);
}

static void good_forms_pass(void **state)
{
    (void)state;
    static const char *const MESSAGES[] = {
        GOOD "\r\n",
        "INVITE sip:host.example SIP/2.0\r\n" LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n",
        "INVITE sip:+49:pw@[2001:db8::1]:5060;lr;x=y SIP/2.0\r\n" LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID
            LINE_CSEQ "\r\n",
        "INVITE tel:+49-123;phone-context=+1 SIP/2.0\r\n" LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ
        "\r\n",
        "INVITE sip:1;npdi;rn=+1?x@host.example SIP/2.0\r\n" LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ
        "\r\n",
        START
        "v:SIP/2.0/TCP h:1;rport;received=1.2.3.4,SIP/2.0/UDP [::1]\r\nf:sip:a@h\r\nt:b<tel:+1>;x=\"y;z\"\r\n"
        "i:x@y\r\nCSeq:2147483647\tINVITE\r\nl:0\r\nm:*\r\n\r\n",
        GOOD "Max-Forwards: 0\r\nMax-forward: x\r\n\r\n",
        GOOD
        "Max-Forwards: 255\r\nContact: <sip:a@h?x=y>, \"q, <\" <sip:b@h>;q=0.5\r\nContact: sip:c@h\r\n\r\n",
        GOOD "Subject:\r\nX :\r\n y\r\nZ: \x80\xff\r\n\r\nbody",
        "ACK sip:h SIP/2.0\r\n" LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID "CSeq: 0 ACK\r\n\r\n",
        "SIP/2.0 200 \r\n" LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n",
        "SIP/2.0 699\r\n" LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n",
    };
    for (size_t i = 0; i < sizeof(MESSAGES) / sizeof(MESSAGES[0]); i++)
        expect(MESSAGES[i], SIP_GUARD_PASS, 0);
}

static void bad_forms_are_answered_with_their_status(void **state)
{
    (void)state;
    static const struct {
        const char *message;
        int status;
    } CASES[] = {
        {"INVITE sips:b@host.example SIP/2.0\r\n" LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n",
         416},
        {"INVITE http://host.example SIP/2.0\r\n" LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n",
         416},
        {"INVITE sip:b@host.example SIP/3.0\r\n" LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n",
         505},
        {"INVITE sip:b@host.example SIP/2.0.1\r\n" LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n",
         400},
        {"INVITE sip:b@host.example HTTP/1.1\r\n" LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n",
         400},
        {"INVITE sip:b@host.example\r\n" LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n", 400},
        {"INVITE  SIP/2.0\r\n" LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n", 400},
        {"INVITE sip: SIP/2.0\r\n" LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n", 400},
        {"INVITE sip:@host SIP/2.0\r\n" LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n", 400},
        {"INVITE sip:a@b@host SIP/2.0\r\n" LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n", 400},
        {"INVITE sip:a@host:0 SIP/2.0\r\n" LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n", 400},
        {"INVITE sip:a@host:65536 SIP/2.0\r\n" LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n", 400},
        {"INVITE sip:a@host:5060x SIP/2.0\r\n" LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n", 400},
        {"INVITE sip:a%4@host SIP/2.0\r\n" LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n", 400},
        {"INVITE sip:a@[::1 SIP/2.0\r\n" LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n", 400},
        {"INVITE sip:a\"b@host SIP/2.0\r\n" LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n", 400},
        {"INVITE sip:host?a=b SIP/2.0\r\n" LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n", 400},
        {"INVITE 12345 SIP/2.0\r\n" LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n", 400},
        {"invite sip:b@host.example SIP/2.0\r\n" LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID
         "CSeq: 1 invite\r\n\r\n",
         501},
        {"FOO sip:b@host.example SIP/2.0\r\n" LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID "CSeq: 1 FOO\r\n\r\n",
         501},
        {START LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID "CSeq: 1 BYE\r\n\r\n", 400},
        {START LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID "CSeq: 2147483648 INVITE\r\n\r\n", 400},
        {START LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID "CSeq: 4294967297 INVITE\r\n\r\n", 400},
        {START LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID "CSeq: 18446744073709551617 INVITE\r\n\r\n", 400},
        {START LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID "CSeq: -1 INVITE\r\n\r\n", 400},
        {START LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID "CSeq: INVITE\r\n\r\n", 400},
        {START LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID "CSeq: 1INVITE\r\n\r\n", 400},
        {START LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID "CSeq: 1 INVITE x\r\n\r\n", 400},
        {START LINE_VIA LINE_FROM LINE_TO "Call-ID: a b\r\n" LINE_CSEQ "\r\n", 400},
        {GOOD "Max-Forwards: 256\r\n\r\n", 400},
        {GOOD "Max-Forwards: -1\r\n\r\n", 400},
        {GOOD "Max-Forwards: \r\n\r\n", 400},
        {GOOD "Content-Length: 1\r\n\r\n", 400},
        {GOOD "Content-Length: 4294967296\r\n\r\n", 400},
        {GOOD "Content-Length: 18446744073709551616\r\n\r\n", 400},
        {GOOD "Content-Length: 0x0\r\n\r\n", 400},
        {GOOD "Content-Length: +0\r\n\r\n", 400},
        {GOOD "Content-Length: 0\r\nl: 0\r\n\r\n", 400},
        {GOOD "CONTENT-LENGTH : 0\r\nL:0\r\n\r\n", 400},
        {GOOD "f: <sip:x@host.example>;tag=2\r\n\r\n", 400},
        {GOOD "no colon\r\n\r\n", 400},
        {GOOD ": no name\r\n\r\n", 400},
        {GOOD "INVITE sip:second@host.example SIP/2.0\r\n\r\n", 400},
        {GOOD "X: a\rY: b\r\n\r\n", 400},
        {GOOD "X: a\nY: b\r\n\r\n", 400},
        {GOOD "X: a\x01\r\n\r\n", 400},
        {GOOD "X: a\x7f\r\n\r\n", 400},
        {GOOD "X: a\r\n \r\nY: b\r\n\r\n", 400},
        {GOOD "X: a\r\n\t \r\n\r\n", 400},
        {START " folded: start\r\n" LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n", 400},
        {GOOD, 400},
        {GOOD "X: a", 400},
        {START "Via: SIP/2.0/UDP host\r\n , \r\n" LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n",
         400},
        {START "Via: SIP/2.0/UDP host;branch=z9hG4bK\r\n" LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n",
         400},
        {START "Via: SIP/2.0/UDP\r\n" LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n", 400},
        {START "Via: SIP/2.0/UDP host:99999\r\n" LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n", 400},
        {START "Via: SIP/3.0/UDP host\r\n" LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n", 400},
        {START LINE_VIA "From: a@host\r\n" LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n", 400},
        {START LINE_VIA "From: <sip:a@host>;tag=\r\n" LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n", 400},
        {START LINE_VIA "From: <sip:a@host>;tag=1;tag=2\r\n" LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n", 400},
        {START LINE_VIA "From: <sip:a@host>, <sip:b@host>\r\n" LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n", 400},
        {START LINE_VIA "From: \"a <sip:a@host>\r\n" LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n", 400},
        {START LINE_VIA "From: \"a\\\" <sip:a@host>\r\n" LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n", 400},
        {START LINE_VIA "From: <sip:a@host\r\n" LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n", 400},
        {START LINE_VIA "From: <sip:a@host> x\r\n" LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n", 400},
        {START LINE_VIA "From: *\r\n" LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n", 400},
        {GOOD "Contact: sip:a@host?b=c\r\n\r\n", 400},
        {GOOD "Record-Route: <sip:a@host>,\r\n\r\n", 400},
        {GOOD "Route: x\r\n\r\n", 400},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++)
        expect(CASES[i].message, SIP_GUARD_ANSWER, CASES[i].status);
}

static void what_cannot_be_answered_is_dropped(void **state)
{
    (void)state;
    static const char *const MESSAGES[] = {
        "",
        "\r\n\r\n",
        "\r\n" GOOD "\r\n",
        "x",
        "\x16\x03\x01",
        "GET / HTTP/1.1",
        "IN(VITE sip:a@host SIP/2.0\r\n" LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n",
        START LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n",
        START LINE_VIA LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n",
        START LINE_VIA LINE_FROM LINE_CALL_ID LINE_CSEQ "\r\n",
        START LINE_VIA LINE_FROM LINE_TO LINE_CSEQ "\r\n",
        START LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID "\r\n",
        START LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID "CSeq:\r\n\r\n",
        "ACK sip:b@host SIP/2.0\r\n" LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID "CSeq: x ACK\r\n\r\n",
        "SIP/2.0 099 Low\r\n" LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n",
        "SIP/2.0 700 High\r\n" LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n",
        "SIP/2.0 2000 Long\r\n" LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n",
        "SIP/2.0  200 OK\r\n" LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n",
        "SIP/3.0 200 OK\r\n" LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n",
        "SIP/2.0 200 OK\r\n" LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n",
        "SIP/2.0 200 OK\r\n" LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ "Content-Length: 9\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof(MESSAGES) / sizeof(MESSAGES[0]); i++)
        expect(MESSAGES[i], SIP_GUARD_DROP, 0);
}

static void a_nul_anywhere_in_the_headers_is_refused(void **state)
{
    (void)state;
    char message[] = GOOD "X: y\r\n\r\n";
    size_t length = sizeof(message) - 1;
    assert_int_equal(check_bytes(message, length, false).action, SIP_GUARD_PASS);
    for (size_t at = 0; at < length; at++) {
        char kept = message[at];
        message[at] = '\0';
        assert_int_not_equal(check_bytes(message, length, false).action, SIP_GUARD_PASS);
        message[at] = kept;
    }
}

static void bodies_are_measured(void **state)
{
    (void)state;
    struct sip_guard_verdict verdict = check(GOOD "l: 3\r\n\r\nabcdef");
    assert_int_equal(verdict.action, SIP_GUARD_PASS);
    assert_int_equal(verdict.body_bytes, 3);
    assert_int_equal(verdict.header_bytes, strlen(GOOD "l: 3\r\n\r\n"));
    verdict = check(GOOD "\r\nabcdef");
    assert_int_equal(verdict.body_bytes, 6);
    static const char STREAM[] = GOOD "\r\n";
    verdict = check_bytes(STREAM, sizeof(STREAM) - 1, true);
    assert_int_equal(verdict.action, SIP_GUARD_ANSWER);
    assert_int_equal(verdict.status, 400);
}

/* --- bounds ----------------------------------------------------------------------------------------------------- */

/* head, then `line` as often as said, then the empty line. */
static struct sip_guard_verdict check_repeated(const char *head, const char *line, unsigned times,
                                               bool is_stream)
{
    static char message[1 << 17];
    char *end = stpcpy(message, head);
    while (times--)
        end = stpcpy(end, line);
    end = stpcpy(end, "\r\n");
    return check_bytes(message, (size_t)(end - message), is_stream);
}

static void counts_are_held_to_their_limits(void **state)
{
    (void)state;
    for (unsigned count = 0; count < 200; count++) {
        bool fits = 5 + count <= LIMIT_SIP_HEADERS;
        assert_int_equal(check_repeated(GOOD, "Z: y\r\n", count, false).action,
                         fits ? SIP_GUARD_PASS : SIP_GUARD_ANSWER);
        assert_int_equal(check_repeated(GOOD, LINE_VIA, count, false).action,
                         fits ? SIP_GUARD_PASS : SIP_GUARD_ANSWER);
    }
    char list[8192] = START LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ "Via: SIP/2.0/UDP h";
    for (unsigned count = 1; count < 100; count++) {
        struct sip_guard_verdict verdict = check_repeated(list, "\r\n", 1, false);
        assert_int_equal(verdict.action, count <= LIMIT_SIP_VIAS ? SIP_GUARD_PASS : SIP_GUARD_ANSWER);
        text_add(list, sizeof(list), ",SIP/2.0/UDP h");
    }
}

/* The library is quadratic in lists and parameters, wherever they stand. */
static void separators_are_held_to_their_limits(void **state)
{
    (void)state;
    static const struct {
        const char *separators;
        unsigned limit;
    } CASES[] = {{",", LIMIT_SIP_COMMAS}, {";", LIMIT_SIP_SEMICOLONS}};
    for (size_t i = 0; i < 2; i++) {
        unsigned in_good = i ? 2 : 0; /* before branch and tag */
        for (unsigned count = CASES[i].limit - 4; count <= CASES[i].limit + 4; count++) {
            char line[1024] = "Z: ";
            memset(line + 3, *CASES[i].separators, count);
            text_add(line, sizeof(line), "\r\n");
            struct sip_guard_verdict verdict = check_repeated(GOOD, line, 1, false);
            bool fits = count + in_good <= CASES[i].limit;
            assert_int_equal(verdict.action, fits ? SIP_GUARD_PASS : SIP_GUARD_ANSWER);
            assert_int_equal(verdict.status, fits ? 0 : 513);
        }
    }
}

static void sizes_are_held_to_their_limits(void **state)
{
    (void)state;
    for (int is_stream = 0; is_stream < 2; is_stream++) {
        size_t most = is_stream ? LIMIT_SIP_TCP_BYTES : LIMIT_SIP_UDP_BYTES;
        char message[LIMIT_SIP_TCP_BYTES + 64];
        size_t head = (size_t)snprintf(message, sizeof(message), "%sContent-Length: 00000\r\n\r\n", GOOD);
        char digits[8];
        memset(message + head, 'b', sizeof(message) - head);
        for (size_t length = most - 2; length <= most + 2; length++) {
            snprintf(digits, sizeof(digits), "%05zu", length - head);
            memcpy(message + head - 9, digits, 5);
            struct sip_guard_verdict verdict = check_bytes(message, length, is_stream);
            assert_int_equal(verdict.action, length <= most ? SIP_GUARD_PASS : SIP_GUARD_ANSWER);
            assert_int_equal(verdict.status, length <= most ? 0 : 513);
        }
    }
}

static const struct {
    const char *before;
    const char *after;
    bool is_text; /* any number of letters is right there, as long as the line fits */
} FIELDS[] = {
    {"Via: SIP/2.0/UDP host.example;branch=", "", true},
    {"Via: SIP/2.0/UDP ", ";branch=z9hG4bKa", true},
    {"Via: SIP/2.0/", " host", true},
    {"Via: SIP/2.0/UDP host;", "=x", true},
    {"Via: SIP/2.0/UDP host;x=\"", "\"", true},
    {"From: <sip:a@host>;tag=", "", true},
    {"From: \"", "\" <sip:a@host>;tag=1", true},
    {"From: ", " <sip:a@host>;tag=1", true},
    {"From: <sip:", "@host>;tag=1", true},
    {"From: <sip:a@", ">;tag=1", true},
    {"From: <sip:a@host;x=", ">;tag=1", true},
    {"From: <sip:a@host>;", "=1", true},
    {"To: <sip:b@host>;tag=", "", true},
    {"To: <", ":b@host>", true},
    {"Call-ID: ", "", true},
    {"Call-ID: a@", "", true},
    {"CSeq: ", " INVITE", false},
    {"CSeq: 1 ", "", false},
    {"Max-Forwards: ", "", false},
    {"Content-Length: ", "", false},
    {"Contact: <sip:a@host;x=", ">", true},
    {"Contact: ", "", false},
    {"Route: <sip:a@", ";lr>", true},
    {"Record-Route: <sip:a@", ";lr>", true},
    {"Content-Type: application/", "", true},
    {"Allow: ", "", true},
    {"Require: ", "", true},
    {"P-Asserted-Identity: <sip:", "@host>", true},
    {"Diversion: <sip:a@host>;reason=", "", true},
    {"Privacy: ", "", true},
    {"Reason: SIP;cause=", "", true},
    {"X-Order: ", "", true},
    {"X", ": y", true},
};

static const char *const OTHERS[] = {LINE_VIA, LINE_FROM, LINE_TO, LINE_CALL_ID, LINE_CSEQ};

/* A good INVITE whose line of that kind is replaced, or which has the line in addition. */
static size_t sweep_message(char *message, size_t field, size_t length, char fill, size_t *line_length)
{
    char *end = stpcpy(message, START);
    const char *before = FIELDS[field].before;
    for (size_t i = 0; i < 5; i++)
        if (strncmp(OTHERS[i], before, strcspn(before, ":") + 1) != 0)
            end = stpcpy(end, OTHERS[i]);
    char *line = end;
    end = stpcpy(end, before);
    memset(end, fill, length);
    end = stpcpy(end + length, FIELDS[field].after);
    *line_length = (size_t)(end - line);
    end = stpcpy(end, "\r\n\r\n");
    return (size_t)(end - message);
}

static void use_message(const char *message, const struct sip_guard_verdict *verdict)
{
    static struct config config;
    osip_message_t *in = NULL;
    osip_message_t *out = NULL;
    snprintf(config.sip.crossing_headers[0], LIMIT_NAME_BYTES, "X-Order");
    config.sip.crossing_header_count = 1;
    if (sip_headers_parse(message, verdict, &in) == OK && osip_message_init(&out) == 0) {
        assert_int_equal(osip_from_init(&out->from), 0);
        assert_int_equal(osip_from_parse(out->from, "<sip:ours.example>"), 0);
        enum err err = sip_headers_cross(in, &config, out);
        assert_true(err == OK || err == ERR_REFUSED || err == ERR_SYNTAX);
    }
    osip_message_free(in);
    osip_message_free(out);
}

static void sweep_one(size_t field, size_t length, char fill)
{
    static char message[16384];
    static char answer[16384];
    size_t line_length = 0;
    size_t answer_length = 0;
    size_t total = sweep_message(message, field, length, fill, &line_length);
    struct sip_guard_verdict verdict = check_bytes(message, total, false);
    if (line_length > LIMIT_SIP_LINE_BYTES)
        assert_int_not_equal(verdict.action, SIP_GUARD_PASS);
    else if (FIELDS[field].is_text && fill == 'a' && length)
        assert_int_equal(verdict.action, SIP_GUARD_PASS);
    if (verdict.action == SIP_GUARD_PASS)
        use_message(message, &verdict);
    if (verdict.action == SIP_GUARD_ANSWER)
        assert_int_equal(sip_guard_answer(message, total, &verdict, "t", "192.0.2.1", 1, NULL, answer,
                                          sizeof(answer), &answer_length),
                         OK);
}

static void every_field_may_have_any_length(void **state)
{
    (void)state;
    static const char FILLS[] = "a1\";,<>%@ \\:\t(\xff";
    unsigned count = 0;
    for (size_t field = 0; field < sizeof(FIELDS) / sizeof(FIELDS[0]); field++) {
        for (size_t fill = 0; FILLS[fill]; fill++) {
            bool is_main = fill == 0;
            for (size_t length = 0; length <= 4096;) {
                sweep_one(field, length, FILLS[fill]);
                count++;
                bool is_edge = length < 70 || (length > 2000 && length < 2060);
                length += is_main && length < 2100 ? 1 : is_edge ? 3 : 331;
            }
        }
    }
    print_message("%u messages\n", count);
}

/* --- answers and streams ---------------------------------------------------------------------------------------- */

static void an_answer_repeats_what_it_must_and_nothing_else(void **state)
{
    (void)state;
    static const char MESSAGE[] =
        "OPTIONS sip:b@host SIP/7.0\r\n"
        "v: SIP/2.0/UDP host:5061 ;rport;branch=z9hG4bKx , SIP/2.0/TCP other\r\n"
        "X-Secret: 1\r\nvia: SIP/2.0/UDP third\r\nFrom: a\r\n <sip:a@host>;tag=1\r\nTo: <sip:b@host>\r\n"
        "i: c\r\nCSeq: 1 OPTIONS\r\nl: 0\r\n\r\n";
    char answer[1024];
    size_t length = 0;
    struct sip_guard_verdict verdict = check(MESSAGE);
    assert_int_equal(verdict.status, 505);
    assert_int_equal(sip_guard_answer(MESSAGE, sizeof(MESSAGE) - 1, &verdict, "t7", "192.0.2.7", 6000,
                                      "INVITE, BYE", answer, sizeof(answer), &length),
                     OK);
    assert_string_equal(answer, "SIP/2.0 505 Version Not Supported\r\n"
                                "Via: SIP/2.0/UDP host:5061 ;rport=6000;branch=z9hG4bKx;received=192.0.2.7 , "
                                "SIP/2.0/TCP other\r\n"
                                "Via: SIP/2.0/UDP third\r\n"
                                "From: a   <sip:a@host>;tag=1\r\n"
                                "To: <sip:b@host>;tag=t7\r\n"
                                "Call-ID: c\r\n"
                                "CSeq: 1 OPTIONS\r\n"
                                "Allow: INVITE, BYE\r\n"
                                "Content-Length: 0\r\n\r\n");
    assert_int_equal(check(answer).action, SIP_GUARD_PASS);
    for (size_t capacity = 0; capacity <= strlen(answer); capacity++)
        assert_int_not_equal(sip_guard_answer(MESSAGE, sizeof(MESSAGE) - 1, &verdict, "t7", "192.0.2.7", 6000,
                                              "INVITE, BYE", answer, capacity, &length),
                             OK);
}

static void nobody_answers_responses_or_without_a_status(void **state)
{
    (void)state;
    char answer[1024];
    size_t length = 0;
    static const char RESPONSE[] =
        "SIP/2.0 200 OK\r\n" LINE_VIA LINE_FROM LINE_TO LINE_CALL_ID LINE_CSEQ "\r\n";
    struct sip_guard_verdict verdict = check(RESPONSE);
    verdict.status = 400;
    assert_int_equal(sip_guard_answer(RESPONSE, sizeof(RESPONSE) - 1, &verdict, "t", NULL, 0, NULL, answer,
                                      sizeof(answer), &length),
                     ERR_ORDER);
    static const char REQUEST[] = GOOD "\r\n";
    verdict = check(REQUEST);
    assert_int_equal(sip_guard_answer(REQUEST, sizeof(REQUEST) - 1, &verdict, "t", NULL, 0, NULL, answer,
                                      sizeof(answer), &length),
                     ERR_ORDER);
    verdict.status = 405;
    assert_int_equal(sip_guard_answer(REQUEST, sizeof(REQUEST) - 1, &verdict, "t", NULL, 0, NULL, answer,
                                      sizeof(answer), &length),
                     OK);
}

#define ONE GOOD "Content-Length: 4\r\n\r\nabcd"
#define TWO "OPTIONS sip:h SIP/2.0\r\nl:0\r\n\r\n"

static void a_stream_is_cut_where_messages_end(void **state)
{
    (void)state;
    static const char STREAM[] = "\r\n\r\n" ONE "\r\n" TWO "\r\n";
    size_t at = 0;
    size_t skip = 0;
    size_t length = 0;
    assert_int_equal(sip_guard_frame(STREAM, sizeof(STREAM) - 1, &skip, &length), OK);
    assert_int_equal(skip, 4);
    assert_int_equal(length, strlen(ONE));
    at = skip + length;
    assert_int_equal(sip_guard_frame(STREAM + at, sizeof(STREAM) - 1 - at, &skip, &length), OK);
    assert_int_equal(skip, 2);
    assert_int_equal(length, strlen(TWO));
    at += skip + length;
    assert_int_equal(sip_guard_frame(STREAM + at, sizeof(STREAM) - 1 - at, &skip, &length), ERR_EMPTY);
    assert_int_equal(skip, 2);
}

static void a_message_may_come_byte_by_byte(void **state)
{
    (void)state;
    size_t skip = 0;
    size_t length = 0;
    for (size_t have = 0; have < strlen(ONE); have++)
        assert_int_equal(sip_guard_frame(ONE, have, &skip, &length), ERR_EMPTY);
    assert_int_equal(sip_guard_frame(ONE, strlen(ONE), &skip, &length), OK);
}

static void a_stream_in_doubt_is_closed(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        enum err err;
    } CASES[] = {
        {GOOD "\r\n", ERR_SYNTAX},                                /* no Content-Length */
        {GOOD "l: 1\r\nl: 1\r\n\r\na", ERR_SYNTAX},               /* twice, even if equal */
        {GOOD "l: 1\r\nContent-Length : 0\r\n\r\na", ERR_SYNTAX}, /* in another spelling */
        {GOOD "l: -1\r\n\r\n", ERR_SYNTAX},
        {GOOD "l: 18446744073709551615\r\n\r\n", ERR_SYNTAX},
        {GOOD "l: 16384\r\n\r\n", ERR_LENGTH},
        {GOOD "X: a\nContent-Length: 9\r\nl: 0\r\n\r\n", ERR_SYNTAX},
        {"\x16\x03\x01\x02", ERR_SYNTAX},
        {"\rX", ERR_SYNTAX},
        {" INVITE", ERR_SYNTAX},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        size_t skip = 0;
        size_t length = 0;
        assert_int_equal(sip_guard_frame(CASES[i].bytes, strlen(CASES[i].bytes), &skip, &length),
                         CASES[i].err);
    }
}

static void endless_headers_end_the_stream(void **state)
{
    (void)state;
    static char bytes[LIMIT_SIP_TCP_BYTES];
    size_t skip = 0;
    size_t length = 0;
    memset(bytes, 'a', sizeof(bytes));
    assert_int_equal(sip_guard_frame(bytes, sizeof(bytes) - 1, &skip, &length), ERR_EMPTY);
    assert_int_equal(sip_guard_frame(bytes, sizeof(bytes), &skip, &length), ERR_LENGTH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_forms_pass),
        cmocka_unit_test(bad_forms_are_answered_with_their_status),
        cmocka_unit_test(what_cannot_be_answered_is_dropped),
        cmocka_unit_test(a_nul_anywhere_in_the_headers_is_refused),
        cmocka_unit_test(bodies_are_measured),
        cmocka_unit_test(counts_are_held_to_their_limits),
        cmocka_unit_test(separators_are_held_to_their_limits),
        cmocka_unit_test(sizes_are_held_to_their_limits),
        cmocka_unit_test(every_field_may_have_any_length),
        cmocka_unit_test(an_answer_repeats_what_it_must_and_nothing_else),
        cmocka_unit_test(nobody_answers_responses_or_without_a_status),
        cmocka_unit_test(a_stream_is_cut_where_messages_end),
        cmocka_unit_test(a_message_may_come_byte_by_byte),
        cmocka_unit_test(a_stream_in_doubt_is_closed),
        cmocka_unit_test(endless_headers_end_the_stream),
    };
    sip_headers_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
