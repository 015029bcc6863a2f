/* The guard's work grows with the bytes and not faster, whatever the message is made of. Reads of characters are counted in
 * a build of the guard of its own, so that the figure does not depend on the machine; the time is only printed. */
#include "base/clock.h"
#include "base/limits.h"
#include "proxy/sip/sip_guard.h"
#include "proxy/sip/sip_guard_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define READS_PER_BYTE 8

size_t sip_guard_reads;

/* What a message of the largest size is filled with: headers that are as costly as they can be. */
static const struct {
    const char *name;
    const char *line_start;
    const char *piece;
    const char *line_end;
} SHAPES[] = {
    {"many short headers", "Z: y", "", "\r\n"},
    {"one long header", "Z: ", "a", "\r\n"},
    {"folded lines", "Z: y", "\r\n y", "\r\n"},
    {"many Vias", "Via: SIP/2.0/UDP h", ",SIP/2.0/UDP h", "\r\n"},
    {"Via parameters", "Via: SIP/2.0/UDP h", ";a=b", "\r\n"},
    {"blanks in a Via", "Via: SIP/2.0/UDP h ;a = ", "  \t", "b\r\n"},
    {"contacts in brackets", "Contact: <sip:a@h>", ",a <sip:a@h>", "\r\n"},
    {"contacts without", "Contact: sip:a@h", ",sip:a@h", "\r\n"},
    {"names without brackets", "Contact: a", " a", "\r\n"},
    {"quotes", "Contact: \"", "\\\"", "\" <sip:a@h>\r\n"},
    {"quotes without an end", "Contact: \"", "\\\"", "\r\n"},
    {"a long URI", "Route: <sip:", "%41", "@h>\r\n"},
    {"blanks after a name", "Contact: a", " ", "\r\n"},
    {"a name of blanks", "Z", " ", ":\r\n"},
    {"a long user", "Record-Route: <sip:h", ";a", ">\r\n"},
};

/* As many lines of one shape as the limits allow. */
static size_t fill(char *message, size_t most, size_t shape)
{
    char *end = stpcpy(message, "INVITE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nFrom: <sip:a@h>;tag=1\r\n"
                                "To: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n");
    size_t start = strlen(SHAPES[shape].line_start) + strlen(SHAPES[shape].line_end);
    size_t piece = strlen(SHAPES[shape].piece);
    for (unsigned lines = 6; lines < LIMIT_SIP_HEADERS; lines++) {
        size_t room = most - (size_t)(end - message) - 2;
        size_t line = room < LIMIT_SIP_LINE_BYTES ? room : LIMIT_SIP_LINE_BYTES;
        if (line < start)
            break;
        end = stpcpy(end, SHAPES[shape].line_start);
        for (size_t used = start; piece && used + piece <= line; used += piece)
            end = stpcpy(end, SHAPES[shape].piece);
        end = stpcpy(end, SHAPES[shape].line_end);
    }
    end = stpcpy(end, "\r\n");
    return (size_t)(end - message);
}

static size_t reads_of(const char *message, size_t length, bool is_stream, double *us)
{
    struct sip_guard_verdict verdict;
    struct mono_time from = mono_now();
    sip_guard_reads = 0;
    sip_guard_check(message, length, is_stream, &verdict);
    *us = (double)(mono_now().ns - from.ns) / 1000;
    return sip_guard_reads;
}

static void the_worst_message_costs_a_few_reads_a_byte(void **state)
{
    (void)state;
    static char message[LIMIT_SIP_TCP_BYTES + 64];
    for (size_t shape = 0; shape < sizeof(SHAPES) / sizeof(SHAPES[0]); shape++) {
        double us = 0;
        size_t length = fill(message, LIMIT_SIP_UDP_BYTES, shape);
        assert_true(length <= LIMIT_SIP_UDP_BYTES);
        size_t reads = reads_of(message, length, false, &us);
        print_message("%-24s %5zu bytes %6zu reads %6.1f us\n", SHAPES[shape].name, length, reads, us);
        assert_true(reads <= length * READS_PER_BYTE);
        size_t long_length = fill(message, LIMIT_SIP_TCP_BYTES, shape);
        size_t long_reads = reads_of(message, long_length, true, &us);
        assert_true(long_reads * length <= reads * long_length * 3 / 2); /* linear */
    }
}

static void reads_are_counted_at_all(void **state)
{
    (void)state;
    static char message[LIMIT_SIP_UDP_BYTES];
    double us = 0;
    size_t length = fill(message, sizeof(message), 3);
    assert_true(reads_of(message, length, false, &us) > length);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_worst_message_costs_a_few_reads_a_byte),
        cmocka_unit_test(reads_are_counted_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
