/* What crosses from one leg to the other is what sip_headers.h names, rebuilt, and nothing else. */
#include "base/clock.h"
#include "proxy/sip/sip_headers.h"
#include "proxy/tests/sip_vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

#define OURS "192.0.2.200"

static struct config config_with(const char *first, const char *second)
{
    static struct config config;
    memset(&config, 0, sizeof(config));
    snprintf(config.sip.crossing_headers[0], LIMIT_NAME_BYTES, "%s", first);
    snprintf(config.sip.crossing_headers[1], LIMIT_NAME_BYTES, "%s", second);
    config.sip.crossing_header_count = 2;
    return config;
}

static osip_message_t *parse(const char *text)
{
    struct sip_guard_verdict verdict;
    osip_message_t *message = NULL;
    sip_guard_check(text, strlen(text), false, &verdict);
    if (verdict.action != SIP_GUARD_PASS)
        print_error("%s\n", verdict.reason);
    assert_int_equal(verdict.action, SIP_GUARD_PASS);
    assert_int_equal(sip_headers_parse(text, &verdict, &message), OK);
    return message;
}

/* As the B2BUA begins a message for the other leg. */
static osip_message_t *begin(int status)
{
    char text[1024];
    char start[128] = "INVITE sip:" OURS " SIP/2.0";
    if (status)
        snprintf(start, sizeof(start), "SIP/2.0 %d Whatever", status);
    snprintf(text, sizeof(text),
             "%s\r\nVia: SIP/2.0/UDP " OURS ";branch=z9hG4bKours\r\nFrom: <sip:" OURS ">;tag=ours\r\n"
             "To: <sip:198.51.100.1>\r\nCall-ID: ours\r\nCSeq: 1 INVITE\r\nContact: <sip:" OURS ">\r\n\r\n",
             start);
    return parse(text);
}

static char *text_of(osip_message_t *message)
{
    char *text = NULL;
    size_t length = 0;
    osip_message_force_update(message);
    assert_int_equal(osip_message_to_str(message, &text, &length), 0);
    assert_int_equal(strlen(text), length);
    return text;
}

#define HEAD(method)                                                                                         \
    method " sip:100@" OURS " SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKtheirs\r\n"                \
           "Call-ID: theirs\r\nCSeq: 7 " method "\r\n"
#define PARTIES                                                                                              \
    "From: \"Ann \\\"A\\\" Lee\" <sip:%2B4912345@theirs.example>;tag=theirs\r\nTo: <sip:100@" OURS ">\r\n"
#define INVITE(more) HEAD("INVITE") PARTIES more "\r\n"

/* The message for the other leg, as text; freed by osip_free. */
static char *crossed(const char *text, int status, enum err expected)
{
    struct config config = config_with("X-Order", "X-Case");
    osip_message_t *in = parse(text);
    osip_message_t *out = begin(status);
    assert_int_equal(sip_headers_cross(in, &config, out), expected);
    char *written = text_of(out);
    osip_message_free(in);
    osip_message_free(out);
    return written;
}

/* osip_free() is a macro that evaluates its argument twice. */
static void expect_error(const char *in, enum err expected)
{
    char *out = crossed(in, 0, expected);
    osip_free(out);
}

static void expect_line(const char *in, const char *line, bool is_there)
{
    char *out = crossed(in, 0, OK);
    bool is_found = strcasestr(out, line) != NULL;
    if (is_found != is_there)
        print_error("\"%s\" is %sthere in:\n%s", line, is_found ? "" : "not ", out);
    assert_int_equal(is_found, is_there);
    osip_free(out);
}

static void names_and_users_cross_and_hosts_do_not(void **state)
{
    (void)state;
    expect_line(INVITE(""), "From: \"Ann \\\"A\\\" Lee\" <sip:+4912345@" OURS ">;tag=ours\r\n", true);
    expect_line(INVITE(""), "To: <sip:100@198.51.100.1>\r\n", true);
    expect_line(INVITE(""), "theirs", false);
    expect_line(HEAD("INVITE") "From: <tel:+49-123(4)5;phone-context=x>;tag=a\r\nTo: isbn:123\r\n\r\n",
                "From: <sip:+4912345@" OURS ">;tag=ours\r\n", true);
    expect_line(HEAD("INVITE") "From: \"J\xc3\xbcrg M.\" <sip:u:secret@host>;tag=a\r\nTo: <sip:host>\r\n\r\n",
                "From: \"J\xc3\xbcrg M.\" <sip:u@" OURS ">;tag=ours\r\n", true);
}

static void a_user_that_is_there_stays(void **state)
{
    (void)state;
    struct config config = config_with("X-Order", "X-Case");
    osip_message_t *in = parse(INVITE(""));
    osip_message_t *out = begin(0);
    osip_uri_set_username(out->from->url, osip_strdup("dialog"));
    assert_int_equal(sip_headers_cross(in, &config, out), OK);
    char *text = text_of(out);
    assert_non_null(strstr(text, "From: <sip:dialog@" OURS ">;tag=ours\r\n"));
    osip_free(text);
    osip_message_free(in);
    osip_message_free(out);
}

static void control_characters_behind_escapes_do_not_cross(void **state)
{
    (void)state;
    expect_error(HEAD("INVITE") "From: <sip:a%0d%0aX-Evil:%201@host>;tag=a\r\nTo: <sip:host>\r\n\r\n",
                 ERR_SYNTAX);
    expect_line(INVITE("P-Asserted-Identity: <sip:a%0d%0aX-Evil:%201@host>\r\n"), "Evil", false);
}

static void hops_are_counted_down(void **state)
{
    (void)state;
    expect_line(INVITE(""), "Max-Forwards: 70\r\n", true);
    expect_line(INVITE("Max-Forwards: 1\r\n"), "Max-Forwards: 0\r\n", true);
    expect_line(INVITE("Max-Forwards: 070\r\n"), "Max-Forwards: 69\r\n", true);
    expect_line(INVITE("Max-Forwards: 255\r\n"), "Max-Forwards: 70\r\n", true);
    expect_error(INVITE("Max-Forwards: 0\r\n"), ERR_REFUSED);
}

static void what_both_sides_can_is_allowed(void **state)
{
    (void)state;
    expect_line(INVITE("Allow: INVITE, PRACK\r\nAllow: UPDATE,REFER\r\n"), "Allow: INVITE, UPDATE\r\n", true);
    expect_line(INVITE("Allow: REFER\r\n"), "Allow", false);
    expect_line(INVITE(""), "Allow", false);
}

static void identity_crosses_with_the_wish_for_privacy(void **state)
{
    (void)state;
    expect_line(INVITE("P-Asserted-Identity: \"A\" <sip:+49@theirs.example;x=y>, tel:+49-1\r\n"),
                "P-Asserted-Identity: \"A\" <sip:+49@" OURS ">\r\n", true);
    expect_line(INVITE("P-Asserted-Identity: \"A\" <sip:+49@theirs.example;x=y>, <tel:+49-1>\r\n"),
                "P-Asserted-Identity: <tel:+491>\r\n", true);
    expect_line(INVITE("Privacy: ID ; bogus;critical\r\nP-Asserted-Identity: <sip:1@host>\r\n"),
                "Privacy: id;critical\r\n", true);
    expect_line(INVITE("Privacy: bogus\r\nP-Asserted-Identity: <sip:1@host>\r\n"), "Asserted", false);
    expect_line(INVITE("P-Asserted-Identity: <http://h>\r\n"), "Asserted", false);
}

static void a_diversion_is_rebuilt(void **state)
{
    (void)state;
    expect_line(INVITE("Diversion: \"D\" "
                       "<sip:77@theirs.example>;reason=\"unconditional\";counter=2;privacy=off;z=1\r\n"),
                "Diversion: <sip:77@" OURS ">;reason=unconditional;counter=2;privacy=off\r\n", true);
    expect_line(INVITE("Diversion: <sip:77@host>;reason=evil;counter=x\r\n"),
                "Diversion: <sip:77@" OURS ">\r\n", true);
    expect_line(INVITE("History-Info: <sip:1@host>;index=1\r\n"), "History", false);
}

static void a_reason_keeps_its_cause_only(void **state)
{
    (void)state;
    expect_line(HEAD("BYE") PARTIES "Reason: q.850 ;cause = 16 ;text=\"x, y\", SIP;cause=200\r\n\r\n",
                "Reason: Q.850;cause=16\r\n", true);
    expect_line(HEAD("BYE") PARTIES "Reason: SIP;text=\"a;cause=9\"\r\n\r\n", "text", false);
    expect_line(HEAD("BYE") PARTIES "Reason: X;cause=1\r\nReason: SIP;cause=12345\r\n\r\n", "Reason", false);
}

static void configured_headers_cross_whole(void **state)
{
    (void)state;
    expect_line(INVITE("x-order: Lee, Ann; 7\r\nX-Other: no\r\n"), "X-Order: Lee, Ann; 7\r\n", true);
    expect_line(INVITE("X-ORDER :  1\r\nX-order: 2\r\n"), "X-Order: 1, 2\r\n", true);
    expect_line(INVITE("X-Order: 1\r\nX-Other : no\r\n"), "Other", false);
    expect_line(INVITE("X-Order: 1\r\n  folded\r\n"), "X-Order: 1    folded\r\n", true);
    expect_line(INVITE("X-Order: \r\n"), "X-Order", false);
}

/* RFC 7433: what a contact centre's trunk is told of the call; only where the configuration names it. */
static void user_to_user_crosses_where_it_is_configured(void **state)
{
    static const char *const configured[] = {"X-Order", "user-to-user"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct config config = config_with(configured[i], "X-Case");
        osip_message_t *in = parse(INVITE("User-to-User: 00613c31;encoding=hex\r\n"));
        osip_message_t *out = begin(0);
        assert_int_equal(sip_headers_cross(in, &config, out), OK);
        osip_header_t *header = NULL;
        int at = osip_message_header_get_byname(out, "user-to-user", 0, &header);
        assert_int_equal(at >= 0, i == 1);
        if (i == 1)
            assert_string_equal(header->hvalue, "00613c31;encoding=hex");
        osip_message_free(in);
        osip_message_free(out);
    }
}

static void a_configuration_cannot_open_the_list(void **state)
{
    (void)state;
    static const char *const NAMES[] = {"Via",   "Route", "Subject",         "X-",
                                        "X-a b", "X-a:",  "Session-Expires", ""};
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        struct config config = config_with(NAMES[i], "X-Case");
        osip_message_t *in =
            parse(INVITE("Subject: s\r\nRoute: <sip:r.example;lr>\r\nSession-Expires: 90\r\n"));
        osip_message_t *out = begin(0);
        assert_int_equal(sip_headers_cross(in, &config, out), OK);
        assert_int_equal(osip_list_size(&out->headers), 1); /* Max-Forwards */
        assert_int_equal(osip_list_size(&out->routes), 0);
        assert_int_equal(osip_list_size(&out->vias), 1);
        osip_message_free(in);
        osip_message_free(out);
    }
}

static void session_timers_and_extensions_stay_behind(void **state)
{
    (void)state;
    expect_line(INVITE("Session-Expires: 90;refresher=uac\r\n"), "Session", false);
    expect_line(INVITE("x: 90\r\n"), "90", false);
    expect_line(INVITE("Min-SE: 90\r\nSupported: timer, 100rel\r\nk: replaces\r\n"), "timer", false);
    expect_line(INVITE("k: replaces\r\n"), "replaces", false);
}

static void a_response_crosses_without_hops(void **state)
{
    (void)state;
    char *out = crossed("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP " OURS ";branch=z9hG4bKo\r\nCall-ID: c\r\n"
                        "CSeq: 1 INVITE\r\nMax-Forwards: 0\r\nX-Case: 4\r\nServer: theirs\r\n" PARTIES "\r\n",
                        200, OK);
    assert_non_null(strstr(out, "X-Case: 4\r\n"));
    assert_null(strcasestr(out, "theirs"));
    assert_null(strcasestr(out, "Max-Forwards"));
    osip_free(out);
}

static void unknown_extensions_are_named(void **state)
{
    (void)state;
    char unsupported[64];
    osip_message_t *in = parse(INVITE("Require: 100rel, \r\n bad tag\r\nrequire: timer\r\n"));
    assert_true(sip_headers_require_unknown(in, unsupported, sizeof(unsupported)));
    assert_string_equal(unsupported, "100rel, timer");
    assert_true(sip_headers_require_unknown(in, unsupported, 4));
    osip_message_free(in);
    in = parse(INVITE("Supported: 100rel\r\n"));
    assert_false(sip_headers_require_unknown(in, unsupported, sizeof(unsupported)));
    osip_message_free(in);
}

/* --- the property ----------------------------------------------------------------------------------------------- */

#define RANDOM_MESSAGE_BYTES 8192

static uint32_t random_state = 20060501;

static uint32_t draw(uint32_t below)
{
    random_state = random_state * 1664525 + 1013904223;
    return (random_state >> 8) % below;
}

static const char *const NAMES[] = {
    "X-Secret",
    "X-Order",
    "X-Orders",
    "X-Orde",
    "X",
    "Subject",
    "s",
    "Route",
    "Record-Route",
    "User-Agent",
    "Server",
    "Session-Expires",
    "x",
    "Min-SE",
    "Supported",
    "k",
    "History-Info",
    "Authorization",
    "Proxy-Authorization",
    "Proxy-Authenticate",
    "WWW-Authenticate",
    "Referred-By",
    "b",
    "Refer-To",
    "r",
    "Replaces",
    "Event",
    "o",
    "Allow-Events",
    "u",
    "Accept",
    "Accept-Contact",
    "a",
    "Alert-Info",
    "Call-Info",
    "Organization",
    "Warning",
    "Error-Info",
    "Date",
    "Expires",
    "Priority",
    "P-Preferred-Identity",
    "P-Charging-Vector",
    "P-Access-Network-Info",
    "Path",
    "Service-Route",
    "Identity",
    "y",
    "Remote-Party-ID",
    "P-Asserted-Identity",
    "Privacy",
    "Diversion",
    "Reason",
    "Allow",
    "MIME-Version",
    "Content-Disposition",
    "Content-Encoding",
    "e",
    "In-Reply-To",
    "Timestamp",
    "Unsupported",
    "Retry-After",
    "User-to-User",
    "Geolocation",
};
static const char *const VALUES[] = {
    "<sip:mark@mark.example>",
    "mark",
    "<sip:mark@h;lr>;mark=1",
    "mark;cause=9",
    "Digest username=\"mark\"",
    "\"mark\" <sip:mark@host>;reason=mark",
    "mark, mark",
    "9;mark",
    "\"mark\\\"\" <tel:+1;mark=2>",
    "id;mark",
    "",
};
static const char *const COLONS[] = {":", ": ", " :", " : ", "\t:\t", "\r\n :", " \t \r\n\t: ", ":\r\n  "};

static void add_random_header(char *text)
{
    char name[64];
    snprintf(name, sizeof(name), "%s", NAMES[draw(sizeof(NAMES) / sizeof(NAMES[0]))]);
    for (char *at = name; *at; at++)
        if (draw(4) == 0)
            *at ^= *at >= 'A' ? 0x20 : 0;
    text_add(text, RANDOM_MESSAGE_BYTES, name);
    text_add(text, RANDOM_MESSAGE_BYTES, COLONS[draw(sizeof(COLONS) / sizeof(COLONS[0]))]);
    text_add(text, RANDOM_MESSAGE_BYTES, VALUES[draw(sizeof(VALUES) / sizeof(VALUES[0]))]);
    text_add(text, RANDOM_MESSAGE_BYTES, draw(6) ? "\r\n" : "\r\n  mark\r\n");
}

/* Every line of `text` has a name that may be there. */
static bool only_known_names(const char *text)
{
    static const char *const KNOWN[] = {"Via",
                                        "From",
                                        "To",
                                        "Call-ID",
                                        "CSeq",
                                        "Contact",
                                        "Content-Length",
                                        "Max-Forwards",
                                        "Allow",
                                        "Privacy",
                                        "P-Asserted-Identity",
                                        "Diversion",
                                        "Reason",
                                        "X-Order",
                                        "X-Case"};
    for (const char *line = strstr(text, "\r\n") + 2; strncmp(line, "\r\n", 2) != 0;
         line = strstr(line, "\r\n") + 2) {
        size_t length = strcspn(line, ":\r\n");
        bool is_known = false;
        for (size_t i = 0; i < sizeof(KNOWN) / sizeof(KNOWN[0]); i++)
            is_known = is_known || (strlen(KNOWN[i]) == length && strncasecmp(line, KNOWN[i], length) == 0);
        if (!is_known || line[length] != ':')
            return false;
    }
    return true;
}

static void no_name_off_the_list_ever_crosses(void **state)
{
    (void)state;
    struct config config = config_with("X-Order", "X-Case");
    unsigned crossed_count = 0;
    for (unsigned round = 0; round < 20000; round++) {
        char text[RANDOM_MESSAGE_BYTES] = HEAD("INVITE") PARTIES;
        struct sip_guard_verdict verdict;
        osip_message_t *in = NULL;
        for (uint32_t count = draw(12); count; count--)
            add_random_header(text);
        text_add(text, RANDOM_MESSAGE_BYTES, "\r\n");
        sip_guard_check(text, strlen(text), false, &verdict);
        if (verdict.action != SIP_GUARD_PASS || sip_headers_parse(text, &verdict, &in))
            continue;
        osip_message_t *out = begin(0);
        assert_int_equal(sip_headers_cross(in, &config, out), OK);
        char *written = text_of(out);
        if (!only_known_names(written))
            print_error("from:\n%s\nto:\n%s\n", text, written);
        assert_true(only_known_names(written));
        crossed_count++;
        osip_free(written);
        osip_message_free(in);
        osip_message_free(out);
    }
    print_message("%u of 20000 messages crossed\n", crossed_count);
    assert_true(crossed_count > 5000);
}

/* As many separators as the guard lets pass, where they cost the library most. The least of some runs is taken, so that a busy
 * machine does not matter; reads of the guard itself are counted in test_sip_guard_budget. */
static void the_worst_that_passes_stays_below_a_millisecond(void **state)
{
    (void)state;
    static const struct {
        const char *start;
        const char *piece;
        unsigned count;
        const char *end;
    } SHAPES[] = {
        {"Allow: a", ",a", LIMIT_SIP_COMMAS, "\r\n"},
        {"P-Asserted-Identity: <sip:a@host>", ",<sip:a@host>", 150, "\r\n"},
        {"Reason: SIP;cause=1", ",Q;cause=1", 180, "\r\n"},
        {"X-Order: a", ",a", LIMIT_SIP_COMMAS, "\r\n"},
        {"Contact: <sip:a@host>", ",<sip:a@host>", 150, "\r\n"},
        {"Record-Route: <sip:host", ";a", LIMIT_SIP_SEMICOLONS - 4, ">\r\n"},
        {"Via: SIP/2.0/UDP host", ";a=b", LIMIT_SIP_SEMICOLONS - 10, "\r\n"},
    };
    struct config config = config_with("X-Order", "X-Case");
    for (size_t shape = 0; shape < sizeof(SHAPES) / sizeof(SHAPES[0]); shape++) {
        char text[8192];
        int64_t least_ns = INT64_MAX;
        char *end = stpcpy(stpcpy(text, HEAD("INVITE") PARTIES), SHAPES[shape].start);
        for (unsigned i = 0; i < SHAPES[shape].count; i++)
            end = stpcpy(end, SHAPES[shape].piece);
        stpcpy(stpcpy(end, SHAPES[shape].end), "\r\n");
        for (unsigned run = 0; run < 30; run++) {
            osip_message_t *out = begin(0);
            struct mono_time from = mono_now();
            osip_message_t *in = parse(text);
            assert_int_equal(sip_headers_cross(in, &config, out), OK);
            int64_t took_ns = mono_now().ns - from.ns;
            least_ns = took_ns < least_ns ? took_ns : least_ns;
            osip_message_free(in);
            osip_message_free(out);
        }
        print_message("%.20s: %.0f us\n", SHAPES[shape].start, (double)least_ns / 1000);
#ifndef TONEGATE_SANITIZED
        assert_true(least_ns < NS_PER_MS);
#endif
    }
}

static void a_smuggled_name_would_be_noticed(void **state)
{
    (void)state;
    osip_message_t *out = begin(0);
    char *text = text_of(out);
    assert_true(only_known_names(text));
    osip_free(text);
    osip_message_set_header(out, "X-Secret", "1");
    text = text_of(out);
    assert_false(only_known_names(text));
    osip_free(text);
    osip_message_free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_users_cross_and_hosts_do_not),
        cmocka_unit_test(a_user_that_is_there_stays),
        cmocka_unit_test(control_characters_behind_escapes_do_not_cross),
        cmocka_unit_test(hops_are_counted_down),
        cmocka_unit_test(what_both_sides_can_is_allowed),
        cmocka_unit_test(identity_crosses_with_the_wish_for_privacy),
        cmocka_unit_test(a_diversion_is_rebuilt),
        cmocka_unit_test(a_reason_keeps_its_cause_only),
        cmocka_unit_test(configured_headers_cross_whole),
        cmocka_unit_test(user_to_user_crosses_where_it_is_configured),
        cmocka_unit_test(a_configuration_cannot_open_the_list),
        cmocka_unit_test(session_timers_and_extensions_stay_behind),
        cmocka_unit_test(a_response_crosses_without_hops),
        cmocka_unit_test(unknown_extensions_are_named),
        cmocka_unit_test(no_name_off_the_list_ever_crosses),
        cmocka_unit_test(the_worst_that_passes_stays_below_a_millisecond),
        cmocka_unit_test(a_smuggled_name_would_be_noticed),
    };
    sip_headers_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
