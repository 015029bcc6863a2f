/* Faults that others have had, one vector each and more (testvectors/sip/cve, with what is expected in verdicts.tsv): none
 * of them gets further than said there, and nothing in them that is called "smuggled" reaches the other leg. */
#include "proxy/sip/sdp.h"
#include "proxy/sip/sip_guard.h"
#include "proxy/sip/sip_headers.h"
#include "proxy/tests/sip_vectors.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <strings.h>

#include <cmocka.h>

#define VECTORS "testvectors/sip/cve/"

/* false: the library refuses what the guard passed; the B2BUA answers 400 then. */
static bool cross_and_look(const char *message, const struct sip_guard_verdict *verdict)
{
    static struct config config;
    static const char BEGUN[] = "INVITE sip:192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1\r\n"
                                "From: <sip:192.0.2.1>;tag=o\r\nTo: <sip:192.0.2.2>\r\nCall-ID: o\r\n"
                                "CSeq: 1 INVITE\r\n\r\n";
    struct sip_guard_verdict begun;
    osip_message_t *in = NULL;
    osip_message_t *out = NULL;
    char *text = NULL;
    size_t length = 0;
    snprintf(config.sip.crossing_headers[0], LIMIT_NAME_BYTES, "X-Order");
    config.sip.crossing_header_count = 1;
    if (sip_headers_parse(message, verdict, &in))
        return false;
    sip_guard_check(BEGUN, sizeof(BEGUN) - 1, false, &begun);
    assert_int_equal(sip_headers_parse(BEGUN, &begun, &out), OK);
    assert_int_equal(sip_headers_cross(in, &config, out), OK);
    osip_message_force_update(out);
    assert_int_equal(osip_message_to_str(out, &text, &length), 0);
    assert_null(strcasestr(text, "smuggled"));
    assert_null(strcasestr(text, "secret"));
    osip_free(text);
    osip_message_free(in);
    osip_message_free(out);
    return true;
}

static const char *message_result(const char *message, size_t length)
{
    static char result[32];
    struct sip_guard_verdict verdict;
    char answer[16384];
    size_t answer_length = 0;
    sip_guard_check(message, length, false, &verdict);
    if (verdict.action == SIP_GUARD_PASS)
        return cross_and_look(message, &verdict) ? "PASS" : "LIBRARY";
    if (verdict.action == SIP_GUARD_DROP)
        return "DROP";
    assert_int_equal(sip_guard_answer(message, length, &verdict, "t", "192.0.2.1", 5060, NULL, answer,
                                      sizeof(answer), &answer_length),
                     OK);
    snprintf(result, sizeof(result), "ANSWER %d", verdict.status);
    return result;
}

static const char *err_result(enum err err)
{
    switch (err) {
    case OK:
        return "OK";
    case ERR_SYNTAX:
        return "SYNTAX";
    case ERR_RANGE:
        return "RANGE";
    case ERR_LENGTH:
        return "LENGTH";
    case ERR_UNSUPPORTED:
        return "UNSUPPORTED";
    default:
        return "another error";
    }
}

static const char *sdp_result(const char *text, size_t length)
{
    struct sdp sdp;
    struct sdp out;
    struct in_addr ours = {htonl(INADDR_LOOPBACK)};
    enum err err = sdp_read(&sdp, text, length, NULL);
    return err_result(err ? err : sdp_relay_offer(&sdp, ours, 6000, &out));
}

static const char *stream_result(const char *bytes, size_t length)
{
    size_t skip = 0;
    size_t message_length = 0;
    return err_result(sip_guard_frame(bytes, length, &skip, &message_length));
}

static const char *vector_result(const char *name)
{
    char path[256];
    size_t length = 0;
    snprintf(path, sizeof(path), VECTORS "%s", name);
    char *bytes = vector_read(path, &length);
    assert_non_null(bytes);
    const char *kind = strrchr(name, '.');
    const char *result = strcmp(kind, ".sip") == 0   ? message_result(bytes, length)
                         : strcmp(kind, ".sdp") == 0 ? sdp_result(bytes, length)
                                                     : stream_result(bytes, length);
    free(bytes);
    return result;
}

static void every_vector_ends_as_said(void **state)
{
    (void)state;
    char row[512];
    unsigned count = 0;
    unsigned wrong = 0;
    FILE *file = fopen(VECTORS "verdicts.tsv", "r");
    assert_non_null(file);
    assert_non_null(fgets(row, sizeof(row), file));
    while (fgets(row, sizeof(row), file)) {
        char name[128];
        char expected[32];
        assert_int_equal(sscanf(row, "%127[^\t]\t%31[^\t]\t", name, expected), 2);
        const char *result = vector_result(name);
        if (strcmp(result, expected) != 0)
            print_error("%s: expected %s, got %s\n", name, expected, result);
        wrong += strcmp(result, expected) != 0;
        count++;
    }
    fclose(file);
    print_message("%u vectors\n", count);
    assert_int_equal(wrong, 0);
    assert_true(count >= 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_vector_ends_as_said),
    };
    sip_headers_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
