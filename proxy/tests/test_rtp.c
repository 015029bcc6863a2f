/* RTP headers at every combination of CSRC count, extension and padding, and at every length. */
#include "proxy/media/rtp.h"
#include "proxy/media/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The bytes stand at the end of an allocation of just their length, so that a sanitizer sees one read too many. */
static enum err read_exact(struct rtp_packet *packet, const uint8_t *bytes, size_t length)
{
    uint8_t *exact = malloc(length ? length : 1);
    assert_non_null(exact);
    memcpy(exact, bytes, length);
    enum err err = rtp_read(packet, exact, length);
    free(exact);
    return err;
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 2000; i++) {
        struct rtp_header header = {.has_marker = i & 1,
                                    .payload_type = (uint8_t)(i * 7 % 64),
                                    .sequence = (uint16_t)(i * 40503),
                                    .timestamp = i * 2654435761u,
                                    .ssrc = ~i * 2246822519u};
        uint8_t bytes[RTP_HEADER_BYTES];
        struct rtp_packet packet;
        rtp_write_header(&header, bytes);
        assert_int_equal(read_exact(&packet, bytes, sizeof(bytes)), OK);
        assert_int_equal(packet.header.has_marker, header.has_marker);
        assert_int_equal(packet.header.payload_type, header.payload_type);
        assert_int_equal(packet.header.sequence, header.sequence);
        assert_int_equal(packet.header.timestamp, header.timestamp);
        assert_int_equal(packet.header.ssrc, header.ssrc);
        assert_int_equal(packet.payload_bytes, 0);
    }
}

/* What must come out, reckoned another way: by counting down what the packet has left. */
static enum err expected(const uint8_t *bytes, size_t length, size_t *at, size_t *payload)
{
    int left = (int)length - 12 - 4 * (bytes[0] & 15);
    *at = 12 + 4u * (bytes[0] & 15);
    if (length < 12 || left < 0)
        return ERR_LENGTH;
    if (bytes[0] & 16) {
        if (left < 4)
            return ERR_LENGTH;
        int words = bytes[*at + 2] * 256 + bytes[*at + 3];
        left -= 4 + 4 * words;
        *at += 4 + 4 * (size_t)words;
        if (left < 0)
            return ERR_LENGTH;
    }
    if (bytes[0] & 32) {
        if (left == 0)
            return ERR_LENGTH;
        int pad = bytes[length - 1];
        if (pad == 0)
            return ERR_SYNTAX;
        left -= pad;
        if (left < 0)
            return ERR_LENGTH;
    }
    *payload = (size_t)left;
    return OK;
}

static void every_header_form_at_every_length_is_judged_right(void **state)
{
    static const uint16_t words[] = {0, 1, 2, 15, 16, 255, 256, 0xffff};
    static const uint8_t pads[] = {0, 1, 2, 40, 128, 255};
    (void)state;
    for (unsigned first = 0x80; first < 0xc0; first++) {
        for (size_t length = 0; length <= 128; length++) {
            for (size_t form = 0; form < 8 * 6; form++) {
                uint8_t bytes[128] = {(uint8_t)first, 8};
                size_t extension = 12 + 4u * (first & 15);
                if (extension + 4 <= length)
                    wire_put_u16(bytes + extension + 2, words[form % 8]);
                if (length > 12)
                    bytes[length - 1] = pads[form / 8];
                struct rtp_packet packet;
                size_t at, payload;
                enum err want = expected(bytes, length, &at, &payload);
                assert_int_equal(read_exact(&packet, bytes, length), want);
                if (want)
                    continue;
                assert_int_equal(packet.payload_at, at);
                assert_int_equal(packet.payload_bytes, payload);
            }
        }
    }
}

static void other_versions_and_rtcp_types_are_refused(void **state)
{
    uint8_t bytes[40] = {0x80};
    struct rtp_packet packet;
    (void)state;
    for (unsigned type = 0; type < 256; type++) {
        bytes[1] = (uint8_t)type;
        bool is_rtcp = (type & 0x7f) >= 64 && (type & 0x7f) <= 95;
        assert_int_equal(read_exact(&packet, bytes, sizeof(bytes)), is_rtcp ? ERR_SYNTAX : OK);
    }
    bytes[1] = 8;
    for (unsigned version = 0; version < 4; version++) {
        bytes[0] = (uint8_t)(version << 6);
        assert_int_equal(read_exact(&packet, bytes, sizeof(bytes)), version == 2 ? OK : ERR_VERSION);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(every_header_form_at_every_length_is_judged_right),
        cmocka_unit_test(other_versions_and_rtcp_types_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
