/* RTCP across the relay: what crosses is ours, what does not belong stays behind, no length is trusted. */
#include "proxy/media/rtcp.h"
#include "proxy/media/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct rtcp_view view = {
    .is_sent_known = true,
    .sent_ssrc = 0x11111111,
    .our_ssrc = 0x22222222,
    .timestamp_offset = 1000,
    .our_packets = 77,
    .our_octets = 7777,
    .is_heard_known = true,
    .heard_ssrc = 0x33333333,
    .origin_ssrc = 0x44444444,
    .sequence_offset = 100,
    .origin_cycles = 0x30000,
    .heard_cycles = 0x10000,
    .cname = "abcdefghijklmnop",
};

struct compound {
    uint8_t bytes[1500];
    size_t length;
};

static uint8_t *part(struct compound *compound, uint8_t count, uint8_t type, size_t body)
{
    uint8_t *at = compound->bytes + compound->length;
    memset(at, 0, 4 + body);
    at[0] = 0x80 | count;
    at[1] = type;
    wire_put_u16(at + 2, (uint16_t)(body / 4));
    compound->length += 4 + body;
    return at + 4;
}

static void add_block(uint8_t *at, uint32_t ssrc, uint32_t highest)
{
    for (size_t i = 0; i < 24; i++)
        at[i] = (uint8_t)(0xa0 + i);
    wire_put_u32(at, ssrc);
    wire_put_u32(at + 8, highest);
}

static void add_sender_report(struct compound *compound, unsigned blocks)
{
    uint8_t *body = part(compound, (uint8_t)blocks, 200, 24 + 24 * blocks);
    wire_put_u32(body, view.sent_ssrc);
    wire_put_u32(body + 4, 0xaabbccdd);
    wire_put_u32(body + 8, 0x11223344);
    wire_put_u32(body + 12, 5000);
    wire_put_u32(body + 16, 1);
    wire_put_u32(body + 20, 2);
    for (unsigned i = 0; i < blocks; i++)
        add_block(body + 24 + 24 * i, i == blocks - 1 ? view.heard_ssrc : 0x99999999, 0x10000 + 150);
}

static void add_names(struct compound *compound)
{
    uint8_t *body = part(compound, 1, 202, 24);
    wire_put_u32(body, view.sent_ssrc);
    body[4] = 1;
    body[5] = 9;
    memcpy(body + 6, "4111@host", 9);
    body[15] = 2;
    body[16] = 4;
    memcpy(body + 17, "Name", 4);
}

static enum err relay(const struct compound *compound, uint8_t *out, size_t *out_bytes,
                      struct rtcp_counts *counts)
{
    uint8_t *exact = malloc(compound->length ? compound->length : 1);
    assert_non_null(exact);
    memcpy(exact, compound->bytes, compound->length);
    enum err err = rtcp_relay(&view, exact, compound->length, out, out_bytes, counts);
    free(exact);
    return err;
}

static void a_sender_report_crosses_as_ours(void **state)
{
    struct compound compound = {0};
    struct rtcp_counts counts = {0};
    uint8_t out[RTCP_OUT_BYTES];
    size_t length;
    (void)state;
    add_sender_report(&compound, 3);
    add_names(&compound);
    assert_int_equal(relay(&compound, out, &length, &counts), OK);
    assert_int_equal(counts.blocks_dropped, 2);
    assert_int_equal(out[0], 0x81);
    assert_int_equal(out[1], 200);
    assert_int_equal(wire_u16(out + 2), 12);
    assert_int_equal(wire_u32(out + 4), view.our_ssrc);
    assert_int_equal(wire_u32(out + 8), 0xaabbccdd); /* NTP time stays */
    assert_int_equal(wire_u32(out + 16), 6000);
    assert_int_equal(wire_u32(out + 20), 77);
    assert_int_equal(wire_u32(out + 24), 7777);
    assert_int_equal(wire_u32(out + 28), view.origin_ssrc);
    assert_int_equal(wire_u32(out + 36), 0x30000 + 50); /* their cycles, their sequence */
    for (size_t i = 12; i < 24; i++)
        assert_int_equal(out[28 + i], 0xa0 + i); /* jitter, last report, delay */
    assert_int_equal(out[53], 202);
    assert_int_equal(wire_u32(out + 56), view.our_ssrc);
    assert_memory_equal(out + 60, "\001\020abcdefghijklmnop", 18);
    assert_int_equal(length, 52 + 28);
    assert_null(memmem(out, length, "4111", 4));
    assert_null(memmem(out, length, "Name", 4));
}

static void our_own_output_is_a_compound_we_accept(void **state)
{
    struct compound compound = {0}, again = {0};
    struct rtcp_counts counts = {0};
    uint8_t out[RTCP_OUT_BYTES];
    (void)state;
    add_sender_report(&compound, 1);
    add_names(&compound);
    wire_put_u32(part(&compound, 1, 203, 4), view.sent_ssrc);
    assert_int_equal(relay(&compound, again.bytes, &again.length, &counts), OK);
    assert_int_equal(relay(&again, out, &again.length, &counts), OK);
}

static void bye_crosses_for_the_present_source_only_and_without_its_reason(void **state)
{
    (void)state;
    for (int is_present = 0; is_present < 2; is_present++) {
        struct compound compound = {0};
        struct rtcp_counts counts = {0};
        uint8_t out[RTCP_OUT_BYTES];
        size_t length;
        add_sender_report(&compound, 0);
        uint8_t *body = part(&compound, 1, 203, 16);
        wire_put_u32(body, is_present ? view.sent_ssrc : 0x12345678);
        memcpy(body + 4, "\006reason", 7);
        assert_int_equal(relay(&compound, out, &length, &counts), OK);
        assert_int_equal(length, is_present ? 28 + 28 + 8 : 28);
        if (is_present) {
            assert_int_equal(out[length - 7], 203);
            assert_int_equal(wire_u32(out + length - 4), view.our_ssrc);
        }
        assert_null(memmem(out, length, "reason", 6));
    }
}

static void app_xr_feedback_and_unknown_types_stay_behind(void **state)
{
    (void)state;
    for (unsigned type = 192; type < 224; type++) {
        struct compound compound = {0};
        struct rtcp_counts counts = {0};
        uint8_t out[RTCP_OUT_BYTES];
        size_t length;
        if (type >= 200 && type <= 203)
            continue;
        add_sender_report(&compound, 0);
        memset(part(&compound, 0, (uint8_t)type, 40), 0x35, 40);
        assert_int_equal(relay(&compound, out, &length, &counts), OK);
        assert_int_equal(counts.packets_dropped, 1);
        assert_int_equal(length, 28);
    }
}

static void reports_on_strangers_give_an_empty_receiver_report(void **state)
{
    struct compound compound = {0};
    struct rtcp_counts counts = {0};
    uint8_t out[RTCP_OUT_BYTES];
    size_t length;
    (void)state;
    uint8_t *body = part(&compound, 1, 201, 28);
    wire_put_u32(body, 0x77777777);
    add_block(body + 4, 0x88888888, 1);
    assert_int_equal(relay(&compound, out, &length, &counts), OK);
    assert_int_equal(length, 8);
    assert_int_equal(out[0], 0x80);
    assert_int_equal(out[1], 201);
    assert_int_equal(counts.blocks_dropped, 1);
}

/* Lengths 0..64 with every type, count and claimed length: nothing is read past the end (the bytes stand at the end of
 * an allocation), and whatever is refused sends nothing. */
static void lengths_0_to_64_are_safe_whatever_the_header_claims(void **state)
{
    static const uint8_t types[] = {199, 200, 201, 202, 203, 204, 207, 255};
    static const uint8_t fills[] = {0x00, 0x01, 0x80, 0xff, 0x11};
    (void)state;
    for (size_t length = 0; length <= 64; length++) {
        for (unsigned form = 0; form < 8u * 5 * 32 * 2; form++) {
            struct compound compound = {.length = length};
            memset(compound.bytes, fills[form / 8 % 5], length);
            compound.bytes[0] = (uint8_t)(0x80 | form / 40 % 32 | (form / 1280 ? 0x20 : 0));
            compound.bytes[1] = types[form % 8];
            for (uint16_t words = 0; words <= 17; words++) {
                struct rtcp_counts counts = {0};
                uint8_t out[RTCP_OUT_BYTES];
                size_t out_bytes = 99;
                if (length >= 4)
                    wire_put_u16(compound.bytes + 2, words == 17 ? 0xffff : words);
                enum err err = relay(&compound, out, &out_bytes, &counts);
                assert_true(out_bytes <= RTCP_OUT_BYTES);
                if (err || length < 8)
                    assert_int_equal(out_bytes, 0);
                if (length < 8)
                    assert_true(err); /* four octets are no report (CVE-2017-14099) */
            }
        }
    }
}

static void a_broken_second_packet_refuses_the_whole_compound(void **state)
{
    (void)state;
    for (size_t cut = 1; cut < 28; cut++) {
        struct compound compound = {0};
        struct rtcp_counts counts = {0};
        uint8_t out[RTCP_OUT_BYTES];
        size_t length;
        add_sender_report(&compound, 0);
        add_names(&compound);
        compound.length -= cut;
        assert_int_not_equal(relay(&compound, out, &length, &counts), OK);
        assert_int_equal(length, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sender_report_crosses_as_ours),
        cmocka_unit_test(our_own_output_is_a_compound_we_accept),
        cmocka_unit_test(bye_crosses_for_the_present_source_only_and_without_its_reason),
        cmocka_unit_test(app_xr_feedback_and_unknown_types_stay_behind),
        cmocka_unit_test(reports_on_strangers_give_an_empty_receiver_report),
        cmocka_unit_test(lengths_0_to_64_are_safe_whatever_the_header_claims),
        cmocka_unit_test(a_broken_second_packet_refuses_the_whole_compound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
