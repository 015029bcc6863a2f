/* The SDP reader takes what callers and contact centres send, refuses every number out of its range with the line it
 * stands in, and what goes through us is cut to what we relay. */
#include "proxy/sip/sdp.h"
#include "proxy/tests/sip_vectors.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HEAD                                                                                                 \
    "v=0\r\n"                                                                                                \
    "o=- 1 2 IN IP4 192.0.2.1\r\n"                                                                           \
    "s=-\r\n"                                                                                                \
    "c=IN IP4 192.0.2.1\r\n"                                                                                 \
    "t=0 0\r\n"
#define AUDIO HEAD "m=audio 4000 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\n"

/* A copy of the exact length, so that a sanitizer sees one byte too far. */
static enum err read_exact(struct sdp *sdp, const char *text, size_t length, unsigned *line)
{
    char *exact = malloc(length ? length : 1);
    assert_non_null(exact);
    memcpy(exact, text, length);
    enum err err = sdp_read(sdp, exact, length, line);
    free(exact);
    return err;
}

static enum err read_text(struct sdp *sdp, const char *text)
{
    return read_exact(sdp, text, strlen(text), NULL);
}

static void read_good(struct sdp *sdp, const char *text)
{
    unsigned line = 0;
    enum err err = read_exact(sdp, text, strlen(text), &line);
    if (err)
        print_error("line %u: %s\n", line, err_str(err));
    assert_int_equal(err, OK);
}

static struct in_addr address(const char *text)
{
    struct in_addr a;
    assert_int_equal(inet_pton(AF_INET, text, &a), 1);
    return a;
}

static void a_plain_offer_is_read(void **state)
{
    (void)state;
    struct sdp sdp;
    read_good(&sdp, AUDIO "a=fmtp:101 0-16\r\na=ptime:30\r\na=sendonly\r\n");
    assert_int_equal(sdp.session_id, 1);
    assert_int_equal(sdp.session_version, 2);
    assert_int_equal(sdp.media_count, 1);
    const struct sdp_media *media = &sdp.media[0];
    assert_true(media->is_audio);
    assert_int_equal(media->port, 4000);
    assert_int_equal(media->rtcp_port, 4001);
    assert_int_equal(media->address.s_addr, address("192.0.2.1").s_addr);
    assert_int_equal(media->format_count, 3);
    assert_int_equal(media->formats[0].encoding, SDP_PCMA); /* 8 and 0 need no rtpmap */
    assert_int_equal(media->formats[1].encoding, SDP_PCMU);
    assert_int_equal(media->formats[2].encoding, SDP_TELEPHONE_EVENT);
    assert_int_equal(media->ptime_ms, 30);
    assert_int_equal(media->direction, SDP_SENDONLY);
}

static void line_ends_may_be_lf_or_missing_at_the_end(void **state)
{
    (void)state;
    static const char *const TEXTS[] = {
        "v=0\no=- 1 2 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\nm=audio 4000 RTP/AVP 8\n",
        HEAD "m=audio 4000 RTP/AVP 8",
        HEAD "m=audio 4000 RTP/AVP 8 \r\n",
        HEAD "m=audio 4000 RTP/AVP 8\r\n\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof(TEXTS) / sizeof(TEXTS[0]); i++) {
        struct sdp sdp;
        read_good(&sdp, TEXTS[i]);
        assert_int_equal(sdp.media[0].format_count, 1);
    }
}

static const struct field {
    const char *format; /* of one text with the number in it */
    unsigned line;
    const char *good;
} FIELDS[] = {
    {"v=0\r\no=- %s 2 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n", 2, "18446744073709551615"},
    {"v=0\r\no=- 1 %s IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n", 2, "18446744073709551615"},
    {"v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=-\r\nt=%s 0\r\n", 4, "18446744073709551615"},
    {"v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=-\r\nt=0 %s\r\n", 4, "18446744073709551615"},
    {HEAD "m=audio %s RTP/AVP 8\r\n", 6, "65535"},
    {HEAD "m=audio 4000/%s RTP/AVP 8\r\n", 6, "65535"},
    {HEAD "m=audio 4000 RTP/AVP %s\r\n", 6, "127"},
    {HEAD "m=audio 4000 RTP/AVP 8 %s\r\n", 6, "0"},
    {AUDIO "a=rtpmap:%s PCMU/8000\r\n", 8, "127"},
    {AUDIO "a=rtpmap:8 PCMA/%s\r\n", 8, "2147483647"},
    {AUDIO "a=rtpmap:8 PCMA/8000/%s\r\n", 8, "255"},
    {AUDIO "a=fmtp:%s 0-15\r\n", 8, "127"},
    {AUDIO "a=ptime:%s\r\n", 8, "2147483647"},
    {AUDIO "a=maxptime:%s\r\n", 8, "2147483647"},
    {AUDIO "a=rtcp:%s\r\n", 8, "65535"},
    {AUDIO "a=rtcp:%s IN IP4 192.0.2.1\r\n", 8, "1"},
};

static void expect_number(const struct field *field, const char *number, enum err expected)
{
    char text[1024];
    struct sdp sdp;
    unsigned line = 0;
    const char *hole = strstr(field->format, "%s");
    snprintf(text, sizeof(text), "%.*s%s%s", (int)(hole - field->format), field->format, number, hole + 2);
    enum err err = read_exact(&sdp, text, strlen(text), &line);
    if (err != expected)
        print_error("field %zu, \"%s\": %s\n", (size_t)(field - FIELDS), number, err_str(err));
    assert_int_equal(err, expected);
    assert_int_equal(line, err ? field->line : 0);
}

static void every_number_is_held_to_its_range(void **state)
{
    (void)state;
    static const char *const BAD[] = {"-1",
                                      "-0",
                                      "-2147483649",
                                      "100000000000000000000",
                                      "18446744073709551616",
                                      "999999999999999999999999999999999999"};
    static const char *const BAD_IN_32_BITS[] = {"2147483648", "4294967296", "4294967304"};
    static const char *const NO_NUMBER[] = {"-", "+1", "0x8", "8a", "--1"};
    for (size_t i = 0; i < sizeof(FIELDS) / sizeof(FIELDS[0]); i++) {
        bool is_64_bits = strlen(FIELDS[i].good) == 20;
        expect_number(&FIELDS[i], FIELDS[i].good, OK);
        for (size_t k = 0; k < sizeof(BAD) / sizeof(BAD[0]); k++)
            expect_number(&FIELDS[i], BAD[k], ERR_RANGE);
        for (size_t k = 0; k < sizeof(BAD_IN_32_BITS) / sizeof(BAD_IN_32_BITS[0]); k++)
            expect_number(&FIELDS[i], BAD_IN_32_BITS[k], is_64_bits ? OK : ERR_RANGE);
        for (size_t k = 0; k < sizeof(NO_NUMBER) / sizeof(NO_NUMBER[0]); k++)
            expect_number(&FIELDS[i], NO_NUMBER[k], ERR_SYNTAX);
    }
}

static void faults_are_found_where_they_are(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum err err;
        unsigned line;
    } CASES[] = {
        {"", ERR_SYNTAX, 1},
        {"v=1\r\n", ERR_SYNTAX, 1},
        {"v=0\r\n", ERR_SYNTAX, 1},
        {"o=- 1 2 IN IP4 192.0.2.1\r\nv=0\r\n", ERR_SYNTAX, 1},
        {"v=0\r\ns=-\r\n", ERR_SYNTAX, 2},
        {"v=0\r\no=- 1 2 IN IP4\r\n", ERR_SYNTAX, 2},
        {"v=0\r\no=- 1 2 IN IP4 192.0.2.1 x\r\n", ERR_SYNTAX, 2},
        {"v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\nt=0 0\r\n", ERR_SYNTAX, 3},
        {"v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=-\r\n", ERR_SYNTAX, 3},
        {"v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=-\r\nm=audio 4000 RTP/AVP 8\r\n", ERR_SYNTAX, 4},
        {"v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n", ERR_SYNTAX, 5},
        {HEAD "c=IN IP4 192.0.2.2\r\n", ERR_SYNTAX, 6},
        {HEAD "c=IN IP4\r\n", ERR_SYNTAX, 6},
        {HEAD "y=1\r\n", ERR_SYNTAX, 6},
        {HEAD "M=audio 1 RTP/AVP 8\r\n", ERR_SYNTAX, 6},
        {HEAD "m=audio 4000\r\n", ERR_SYNTAX, 6},
        {HEAD "m=audio 4000 RTP/AVP\r\n", ERR_SYNTAX, 6},
        {HEAD "m=audio 4000 RTP/AVP 8 8\r\n", ERR_SYNTAX, 6},
        {HEAD "m=a,b 4000 RTP/AVP 8\r\n", ERR_SYNTAX, 6},
        {HEAD "m=sixteen-letters-x 4000 RTP/AVP 8\r\n", ERR_LENGTH, 6},
        {HEAD "m=video 4000 RTP/AVP x\x01\r\n", ERR_SYNTAX, 6},
        {HEAD "m=audio 4000 RTP/AVP 8\rm=audio 4000 RTP/AVP 8\r\n", ERR_SYNTAX, 6},
        {HEAD "m=audio 4000 RTP/AVP 8\r", ERR_SYNTAX, 6},
        {HEAD "\r\nm=audio 4000 RTP/AVP 8\r\n", ERR_SYNTAX, 6},
        {HEAD "a\r\n", ERR_SYNTAX, 6},
        {HEAD "a=\r\n", ERR_SYNTAX, 6},
        {AUDIO "a=rtpmap:8\r\n", ERR_SYNTAX, 8},
        {AUDIO "a=rtpmap:8 PCMA\r\n", ERR_SYNTAX, 8},
        {AUDIO "a=rtpmap:8 /8000\r\n", ERR_SYNTAX, 8},
        {AUDIO "a=fmtp:101\r\n", ERR_SYNTAX, 8},
        {AUDIO "a=ptime:0\r\n", ERR_RANGE, 8},
        {AUDIO "a=ptime:20 30\r\n", ERR_SYNTAX, 8},
        {AUDIO "a=rtcp:0\r\n", ERR_RANGE, 8},
        {AUDIO "a=rtcp:4001 IN\r\n", ERR_SYNTAX, 8},
        {AUDIO "t=0 0\r\n", ERR_SYNTAX, 8},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct sdp sdp;
        unsigned line = 0;
        enum err err = read_exact(&sdp, CASES[i].text, strlen(CASES[i].text), &line);
        if (err != CASES[i].err || line != CASES[i].line)
            print_error("case %zu: %s in line %u\n", i, err_str(err), line);
        assert_int_equal(err, CASES[i].err);
        assert_int_equal(line, CASES[i].line);
    }
}

static void an_embedded_nul_is_a_fault(void **state)
{
    (void)state;
    struct sdp sdp;
    char text[] = HEAD "a=x\r\nm=audio 4000 RTP/AVP 8\r\n";
    size_t length = sizeof(text) - 1;
    assert_int_equal(read_exact(&sdp, text, length, NULL), OK);
    text[sizeof(HEAD) + 1] = '\0';
    assert_int_equal(read_exact(&sdp, text, length, NULL), ERR_SYNTAX);
}

static void counts_are_held_to_their_limits(void **state)
{
    (void)state;
    struct sdp sdp;
    char text[LIMIT_SDP_BYTES + 2];
#define REPEAT(head, piece, times)                                                                           \
    do {                                                                                                     \
        text[0] = '\0';                                                                                      \
        text_add(text, sizeof(text), (head));                                                                \
        for (unsigned k = 0; k < (times); k++)                                                               \
            text_add(text, sizeof(text), (piece));                                                           \
    } while (0)
    REPEAT(HEAD, "m=audio 4000 RTP/AVP 8\r\n", LIMIT_SDP_MEDIA);
    assert_int_equal(read_text(&sdp, text), OK);
    REPEAT(HEAD, "m=audio 4000 RTP/AVP 8\r\n", LIMIT_SDP_MEDIA + 1);
    assert_int_equal(read_text(&sdp, text), ERR_LENGTH);
    REPEAT(AUDIO, "a=x\r\n", LIMIT_SDP_ATTRIBUTES - 1);
    assert_int_equal(read_text(&sdp, text), OK);
    REPEAT(AUDIO, "a=x\r\n", LIMIT_SDP_ATTRIBUTES);
    assert_int_equal(read_text(&sdp, text), ERR_LENGTH);
    REPEAT(HEAD "m=video 4000 RTP/AVP", " x", LIMIT_SDP_FORMATS);
    assert_int_equal(read_text(&sdp, text), OK);
    REPEAT(HEAD "m=video 4000 RTP/AVP", " x", LIMIT_SDP_FORMATS + 1);
    assert_int_equal(read_text(&sdp, text), ERR_LENGTH);
    for (unsigned count = 1; count <= LIMIT_SDP_FORMATS + 1; count++) {
        text[0] = '\0';
        text_add(text, sizeof(text), HEAD "m=audio 4000 RTP/AVP");
        for (unsigned k = 0; k < count; k++)
            sprintf(text + strlen(text), " %u", k);
        assert_int_equal(read_text(&sdp, text), count <= LIMIT_SDP_FORMATS ? OK : ERR_LENGTH);
    }
    memset(text, '\n', sizeof(text));
    memcpy(text, HEAD, strlen(HEAD));
    assert_int_equal(read_exact(&sdp, text, LIMIT_SDP_BYTES, NULL), OK);
    assert_int_equal(read_exact(&sdp, text, LIMIT_SDP_BYTES + 1, NULL), ERR_LENGTH);
#undef REPEAT
}

static void what_we_cannot_relay_is_no_audio(void **state)
{
    (void)state;
    static const char *const TEXTS[] = {
        HEAD "m=video 4000 RTP/AVP 31\r\n",
        HEAD "m=audio 4000 RTP/SAVP 8\r\n",
        HEAD "m=audio 4000 UDP/TLS/RTP/SAVPF 8\r\n",
        HEAD "m=audio 4000/2 RTP/AVP 8\r\n",
        HEAD "m=audio 4000 RTP/AVP 8\r\nc=IN IP4 224.2.1.1/127\r\n",
        HEAD "m=audio 4000 RTP/AVP 8\r\nc=IN IP4 239.1.1.1\r\n",
        HEAD "m=audio 4000 RTP/AVP 8\r\nc=IN IP4 255.255.255.255\r\n",
        HEAD "m=audio 4000 RTP/AVP 8\r\nc=IN IP6 2001:db8::1\r\n",
        HEAD "m=audio 4000 RTP/AVP 8\r\nc=IN IP4 phone.example.com\r\n",
        HEAD "m=audio 4000 RTP/AVP 8\r\nc=IN IP4 192.0.2.1.7.7.7.7.7.7.7.7\r\n",
    };
    for (size_t i = 0; i < sizeof(TEXTS) / sizeof(TEXTS[0]); i++) {
        struct sdp sdp;
        struct sdp out;
        read_good(&sdp, TEXTS[i]);
        assert_false(sdp.media[0].is_audio);
        assert_int_equal(sdp_relay_offer(&sdp, address("127.0.0.1"), 6000, &out), ERR_UNSUPPORTED);
    }
}

static void the_nearer_level_counts(void **state)
{
    (void)state;
    struct sdp sdp;
    read_good(&sdp, HEAD "a=inactive\r\nm=audio 4000 RTP/AVP 8\r\nm=audio 4002 RTP/AVP 8\r\n"
                         "c=IN IP4 192.0.2.9\r\na=recvonly\r\n");
    assert_int_equal(sdp.media[0].direction, SDP_INACTIVE);
    assert_int_equal(sdp.media[0].address.s_addr, address("192.0.2.1").s_addr);
    assert_int_equal(sdp.media[1].direction, SDP_RECVONLY);
    assert_int_equal(sdp.media[1].address.s_addr, address("192.0.2.9").s_addr);
}

static void rtcp_never_goes_to_a_third_address(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        uint16_t port;
    } CASES[] = {
        {"", 4001},
        {"a=rtcp:5005\r\n", 5005},
        {"a=rtcp:5005 IN IP4 192.0.2.1\r\n", 5005},
        {"a=rtcp:5005 IN IP4 192.0.2.66\r\n", 0},
        {"a=rtcp:5005 IN IP6 2001:db8::1\r\n", 0},
        {"a=rtcp:5005 IN IP4 victim.example.com\r\n", 0},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        char text[512];
        struct sdp sdp;
        snprintf(text, sizeof(text), AUDIO "%s", CASES[i].line);
        read_good(&sdp, text);
        assert_int_equal(sdp.media[0].rtcp_port, CASES[i].port);
    }
    struct sdp sdp;
    read_good(&sdp, HEAD "m=audio 65535 RTP/AVP 8\r\n");
    assert_int_equal(sdp.media[0].rtcp_port, 0);
}

static void ptime_is_cut_by_maxptime(void **state)
{
    (void)state;
    static const struct {
        const char *lines;
        unsigned ptime_ms;
        enum err offer;
    } CASES[] = {
        {"", 0, OK},
        {"a=ptime:10\r\n", 10, OK},
        {"a=ptime:60\r\n", 60, OK},
        {"a=ptime:9\r\n", 9, ERR_UNSUPPORTED},
        {"a=ptime:61\r\n", 61, ERR_UNSUPPORTED},
        {"a=ptime:256\r\n", 255, ERR_UNSUPPORTED},
        {"a=ptime:276\r\n", 255, ERR_UNSUPPORTED}, /* 256 + 20 */
        {"a=ptime:20.0\r\n", 20, OK},
        {"a=ptime:20.5\r\n", 255, ERR_UNSUPPORTED},
        {"a=maxptime:150\r\n", 0, OK},
        {"a=maxptime:10\r\n", 10, OK},
        {"a=maxptime:5\r\n", 5, ERR_UNSUPPORTED},
        {"a=ptime:60\r\na=maxptime:30\r\n", 30, OK},
        {"a=maxptime:30\r\na=ptime:60\r\n", 30, OK},
        {"a=maxptime:30\r\na=ptime:20\r\n", 20, OK},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        char text[512];
        struct sdp sdp;
        struct sdp out;
        snprintf(text, sizeof(text), AUDIO "%s", CASES[i].lines);
        read_good(&sdp, text);
        assert_int_equal(sdp.media[0].ptime_ms, CASES[i].ptime_ms);
        assert_int_equal(sdp_relay_offer(&sdp, address("127.0.0.1"), 6000, &out), CASES[i].offer);
    }
}

static void an_offer_is_made_ours_and_only_that(void **state)
{
    (void)state;
    struct sdp offer;
    struct sdp out;
    char text[1024];
    size_t length = 0;
    read_good(&offer, HEAD "m=video 3000 RTP/AVP 31\r\na=rtpmap:31 H261/90000\r\n"
                           "m=audio 4000 RTP/AVP 18 8 96 13 101 102\r\na=rtpmap:96 opus/48000/2\r\n"
                           "a=rtpmap:101 telephone-event/8000\r\na=rtpmap:102 telephone-event/48000\r\n"
                           "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:secret\r\na=candidate:x 192.0.2.1\r\n"
                           "m=audio 4002 RTP/AVP 0\r\n");
    assert_int_equal(sdp_relay_offer(&offer, address("127.0.0.1"), 6000, &out), OK);
    assert_int_equal(sdp_write(&out, address("127.0.0.1"), text, sizeof(text), &length), OK);
    assert_int_equal(length, strlen(text));
    assert_string_equal(text, "v=0\r\n"
                              "o=- 1 2 IN IP4 127.0.0.1\r\n"
                              "s=-\r\n"
                              "c=IN IP4 127.0.0.1\r\n"
                              "t=0 0\r\n"
                              "m=video 0 RTP/AVP 31\r\n"
                              "m=audio 6000 RTP/AVP 8 101\r\n"
                              "a=rtpmap:8 PCMA/8000\r\n"
                              "a=rtpmap:101 telephone-event/8000\r\n"
                              "a=fmtp:101 0-15\r\n"
                              "a=sendrecv\r\n"
                              "m=audio 0 RTP/AVP 0\r\n");
}

static void every_way_of_hold_is_understood(void **state)
{
    (void)state;
    static const struct {
        const char *lines;
        const char *relayed;
    } CASES[] = {
        {"a=sendrecv\r\n", "a=sendrecv"},
        {"a=sendonly\r\n", "a=sendonly"},
        {"a=recvonly\r\n", "a=recvonly"},
        {"a=inactive\r\n", "a=inactive"},
        {"c=IN IP4 0.0.0.0\r\n", "a=sendonly"},
        {"c=IN IP4 0.0.0.0\r\na=sendonly\r\n", "a=sendonly"},
        {"c=IN IP4 0.0.0.0\r\na=recvonly\r\n", "a=inactive"},
        {"c=IN IP4 0.0.0.0\r\na=inactive\r\n", "a=inactive"},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        char text[1024];
        size_t length = 0;
        struct sdp offer;
        struct sdp out;
        snprintf(text, sizeof(text), AUDIO "%s", CASES[i].lines);
        read_good(&offer, text);
        assert_int_equal(sdp_relay_offer(&offer, address("127.0.0.1"), 6000, &out), OK);
        assert_int_equal(sdp_write(&out, address("127.0.0.1"), text, sizeof(text), &length), OK);
        assert_non_null(strstr(text, CASES[i].relayed));
        assert_null(strstr(text, "0.0.0.0"));
    }
}

/* Directions of the answer and of both legs, for every pair that offer and answer can say. */
static void directions_of_both_sides_meet(void **state)
{
    (void)state;
    static const char *const DIRECTIONS[] = {"sendrecv", "sendonly", "recvonly", "inactive"};
    for (int o = 0; o < 4; o++) {
        for (int a = 0; a < 4; a++) {
            char text[1024];
            struct sdp offer;
            struct sdp answer;
            struct sdp out;
            struct media_leg legs[MEDIA_SIDES];
            snprintf(text, sizeof(text), AUDIO "a=%s\r\n", DIRECTIONS[o]);
            read_good(&offer, text);
            snprintf(text, sizeof(text), AUDIO "a=%s\r\n", DIRECTIONS[a]);
            read_good(&answer, text);
            assert_int_equal(
                sdp_relay_answer(&offer, &answer, address("127.0.0.1"), 6000, &out, MEDIA_AGENT, legs), OK);
            bool forth = (o == 0 || o == 1) && (a == 0 || a == 2);
            bool back = (o == 0 || o == 2) && (a == 0 || a == 1);
            assert_int_equal(legs[MEDIA_AGENT].is_sending, forth);
            assert_int_equal(legs[MEDIA_AGENT].is_receiving, back);
            assert_int_equal(legs[MEDIA_CALLER].is_sending, back);
            assert_int_equal(legs[MEDIA_CALLER].is_receiving, forth);
            assert_int_equal(out.media[0].direction, back ? (forth ? SDP_SENDRECV : SDP_SENDONLY)
                                                          : (forth ? SDP_RECVONLY : SDP_INACTIVE));
        }
    }
}

static void an_answer_settles_both_legs(void **state)
{
    (void)state;
    struct sdp offer;
    struct sdp answer;
    struct sdp out;
    struct media_leg legs[MEDIA_SIDES];
    read_good(&offer, AUDIO "a=ptime:30\r\na=rtcp:4444\r\n");
    read_good(&answer, "v=0\r\no=- 7 8 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\n"
                       "m=audio 5000 RTP/AVP 0 96\r\na=rtpmap:96 telephone-event/8000\r\n");
    assert_int_equal(sdp_relay_answer(&offer, &answer, address("127.0.0.1"), 6002, &out, MEDIA_CALLER, legs),
                     OK);
    assert_int_equal(legs[MEDIA_CALLER].codec, MEDIA_PCMU);
    assert_int_equal(legs[MEDIA_CALLER].payload_type, 0);
    assert_int_equal(legs[MEDIA_CALLER].event_payload_type, 101); /* each side keeps its number */
    assert_int_equal(legs[MEDIA_AGENT].event_payload_type, 96);
    assert_int_equal(legs[MEDIA_CALLER].ptime_ms, 30);
    assert_int_equal(legs[MEDIA_AGENT].ptime_ms, 20);
    assert_int_equal(ntohs(legs[MEDIA_CALLER].rtp_remote.sin_port), 4000);
    assert_int_equal(ntohs(legs[MEDIA_CALLER].rtcp_remote.sin_port), 4444);
    assert_int_equal(legs[MEDIA_AGENT].rtp_remote.sin_addr.s_addr, address("198.51.100.1").s_addr);
    assert_int_equal(ntohs(legs[MEDIA_AGENT].rtcp_remote.sin_port), 5001);
    assert_int_equal(out.session_id, 7);
    assert_int_equal(out.media[0].format_count, 2);
    assert_int_equal(out.media[0].formats[1].payload_type, 101);
    assert_int_equal(out.media[0].port, 6002);
}

static void an_answer_on_hold_has_no_remote(void **state)
{
    (void)state;
    struct sdp offer;
    struct sdp answer;
    struct sdp out;
    struct media_leg legs[MEDIA_SIDES];
    read_good(&offer, AUDIO "c=IN IP4 0.0.0.0\r\n");
    read_good(&answer, AUDIO "a=recvonly\r\n");
    assert_int_equal(sdp_relay_answer(&offer, &answer, address("127.0.0.1"), 6000, &out, MEDIA_CALLER, legs),
                     OK);
    assert_int_equal(legs[MEDIA_CALLER].rtp_remote.sin_port, 0);
    assert_false(legs[MEDIA_CALLER].is_receiving);
    assert_true(legs[MEDIA_CALLER].is_sending);
    assert_int_equal(out.media[0].direction, SDP_RECVONLY);
}

static void an_answer_that_takes_nothing_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *offer;
        const char *answer;
    } CASES[] = {
        {HEAD "m=audio 4000 RTP/AVP 8\r\n", HEAD "m=audio 5000 RTP/AVP 0\r\n"},
        {HEAD "m=audio 4000 RTP/AVP 8\r\n", HEAD "m=audio 0 RTP/AVP 8\r\n"},
        {HEAD "m=audio 4000 RTP/AVP 8\r\n", HEAD "m=audio 5000 RTP/SAVP 8\r\n"},
        {HEAD "m=audio 4000 RTP/AVP 8\r\n", HEAD "m=audio 5000 RTP/AVP 8\r\na=ptime:100\r\n"},
        {HEAD "m=audio 4000 RTP/AVP 8\r\n", HEAD},
        {HEAD "m=audio 4000 RTP/AVP 8\r\n", AUDIO "m=audio 5000 RTP/AVP 8\r\n"},
        {HEAD "m=audio 4000 RTP/AVP 18\r\n", HEAD "m=audio 5000 RTP/AVP 8\r\n"},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct sdp offer;
        struct sdp answer;
        struct sdp out;
        struct media_leg legs[MEDIA_SIDES];
        read_good(&offer, CASES[i].offer);
        read_good(&answer, CASES[i].answer);
        assert_int_equal(
            sdp_relay_answer(&offer, &answer, address("127.0.0.1"), 6000, &out, MEDIA_CALLER, legs),
            ERR_UNSUPPORTED);
    }
}

static void what_we_write_reads_back_the_same(void **state)
{
    (void)state;
    struct sdp offer;
    struct sdp ours;
    struct sdp again;
    char text[1024];
    char second[1024];
    size_t length = 0;
    read_good(&offer, "v=0\r\no=- 18446744073709551615 0 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n"
                      "m=audio 4000 RTP/AVP 96 8 127\r\nc=IN IP4 192.0.2.1\r\na=rtpmap:96 pcmu/8000/1\r\n"
                      "a=rtpmap:127 telephone-event/8000\r\na=ptime:40\r\na=inactive\r\n");
    assert_int_equal(sdp_relay_offer(&offer, address("127.0.0.1"), 65534, &ours), OK);
    assert_int_equal(sdp_write(&ours, address("127.0.0.1"), text, sizeof(text), &length), OK);
    assert_int_equal(sdp_read(&again, text, length, NULL), OK);
    assert_memory_equal(&again, &ours, sizeof(again));
    assert_int_equal(sdp_write(&again, address("127.0.0.1"), second, sizeof(second), &length), OK);
    assert_string_equal(second, text);
    for (size_t capacity = 0; capacity <= length; capacity++)
        assert_int_equal(sdp_write(&ours, address("127.0.0.1"), second, capacity, &length), ERR_FULL);
}

/* Every prefix of a long description, and each of its bytes replaced by each value. */
static void no_mutation_is_read_past_its_end(void **state)
{
    (void)state;
    static const char TEXT[] = AUDIO "a=fmtp:101 0-15\r\na=ptime:20\r\na=rtcp:4001 IN IP4 192.0.2.1\r\n"
                                     "a=sendrecv\r\nm=video 4002/2 RTP/AVP 31 x\r\nc=IN IP4 224.0.0.1/1\r\n";
    struct sdp sdp;
    char mutant[sizeof(TEXT)];
    size_t refused = 0;
    for (size_t length = 0; length < sizeof(TEXT); length++)
        refused += read_exact(&sdp, TEXT, length, NULL) != OK;
    for (size_t at = 0; at + 1 < sizeof(TEXT); at++) {
        for (int c = 0; c < 256; c++) {
            memcpy(mutant, TEXT, sizeof(TEXT));
            mutant[at] = (char)c;
            refused += read_exact(&sdp, mutant, sizeof(TEXT) - 1, NULL) != OK;
        }
    }
    assert_true(refused > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_offer_is_read),
        cmocka_unit_test(line_ends_may_be_lf_or_missing_at_the_end),
        cmocka_unit_test(every_number_is_held_to_its_range),
        cmocka_unit_test(faults_are_found_where_they_are),
        cmocka_unit_test(an_embedded_nul_is_a_fault),
        cmocka_unit_test(counts_are_held_to_their_limits),
        cmocka_unit_test(what_we_cannot_relay_is_no_audio),
        cmocka_unit_test(the_nearer_level_counts),
        cmocka_unit_test(rtcp_never_goes_to_a_third_address),
        cmocka_unit_test(ptime_is_cut_by_maxptime),
        cmocka_unit_test(an_offer_is_made_ours_and_only_that),
        cmocka_unit_test(every_way_of_hold_is_understood),
        cmocka_unit_test(directions_of_both_sides_meet),
        cmocka_unit_test(an_answer_settles_both_legs),
        cmocka_unit_test(an_answer_on_hold_has_no_remote),
        cmocka_unit_test(an_answer_that_takes_nothing_is_refused),
        cmocka_unit_test(what_we_write_reads_back_the_same),
        cmocka_unit_test(no_mutation_is_read_past_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
