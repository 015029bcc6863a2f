/* The parts of a test phone, each on its own: what they let through a test would believe. */
#include "bench/leak/attacker.h"
#include "bench/phones/phone_orders.h"
#include "bench/phones/phone_sdp.h"
#include "bench/phones/rtp_tape.h"
#include "bench/phones/sip_line.h"
#include "bench/phones/voice.h"

#include <arpa/inet.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PACKET_BYTES 172

/* ------------------------------------------------------------------ SDP */

static void sdp_comes_back_as_written(void **state)
{
    (void)state;
    struct sockaddr_in rtp = {
        .sin_family = AF_INET, .sin_port = htons(4000), .sin_addr.s_addr = htonl(0x7f000002)};
    const enum phone_law laws[] = {PHONE_PCMU, PHONE_PCMA};
    char text[PHONE_SDP_BYTES];
    struct phone_sdp sdp;
    phone_sdp_write(text, &rtp, laws, 2, 101, 20, 1);
    assert_int_equal(phone_sdp_parse(&sdp, text, strlen(text)), OK);
    assert_memory_equal(&sdp.rtp.sin_addr, &rtp.sin_addr, sizeof rtp.sin_addr);
    assert_int_equal(ntohs(sdp.rtp.sin_port), 4000);
    assert_true(sdp.has_pcmu && sdp.has_pcma && sdp.first == PHONE_PCMU);
    assert_int_equal(sdp.event_type, 101);
    assert_int_equal(sdp.ptime_ms, 20);
    assert_true(sdp.is_sending && sdp.is_receiving);
}

static void sdp_without_usable_audio_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "v=0\r\nm=video 4000 RTP/AVP 0\r\n",
        "v=0\r\nc=IN IP4 127.0.0.1\r\nm=audio 4000 RTP/SAVP 0\r\n",
        "v=0\r\nm=audio 4000 RTP/AVP 96\r\n",
        "v=0\r\nm=audio 70000 RTP/AVP 0\r\n",
    };
    struct phone_sdp sdp;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(phone_sdp_parse(&sdp, bad[i], strlen(bad[i])), ERR_SYNTAX);
}

static void sdp_on_hold_is_understood(void **state)
{
    (void)state;
    const char *text =
        "v=0\nc=IN IP4 10.0.0.1\nm=audio 9 RTP/AVP 8\na=sendonly\nm=video 7 RTP/AVP 0\na=inactive\n";
    struct phone_sdp sdp;
    assert_int_equal(phone_sdp_parse(&sdp, text, strlen(text)), OK);
    assert_true(sdp.is_sending && !sdp.is_receiving && sdp.event_type == -1 && sdp.first == PHONE_PCMA);
}

/* ------------------------------------------------------------------ tape */

static void make_packet(uint8_t *out, unsigned type, uint16_t sequence, uint32_t timestamp, uint32_t ssrc,
                        uint8_t fill)
{
    memset(out, fill, PACKET_BYTES);
    out[0] = 0x80;
    out[1] = (uint8_t)type;
    out[2] = (uint8_t)(sequence >> 8);
    out[3] = (uint8_t)sequence;
    for (int i = 0; i < 4; i++) {
        out[4 + i] = (uint8_t)(timestamp >> (24 - 8 * i));
        out[8 + i] = (uint8_t)(ssrc >> (24 - 8 * i));
    }
}

static void feed(struct rtp_tape *tape, unsigned type, uint16_t sequence, uint32_t timestamp, uint32_t ssrc,
                 uint8_t fill, int64_t at_ms)
{
    uint8_t packet[PACKET_BYTES];
    make_packet(packet, type, sequence, timestamp, ssrc, fill);
    assert_int_equal(
        rtp_tape_packet(tape, packet, sizeof packet, (struct mono_time){(1000 + at_ms) * NS_PER_MS}), OK);
}

static void the_tape_puts_audio_where_its_timestamp_says(void **state)
{
    (void)state;
    struct rtp_tape tape;
    rtp_tape_init(&tape, 101);
    /* sequence and timestamp wrap; the second of four packets is lost, the last two come the wrong way round */
    feed(&tape, 0, 65535, 0xffffffb0U, 7, 0x80, 0);
    feed(&tape, 0, 2, 0xffffffb0U + 480, 7, 0x90, 61);
    feed(&tape, 0, 1, 0xffffffb0U + 320, 7, 0xa0, 62);
    assert_int_equal(tape.sample_count, 640);
    assert_true(tape.samples[10] > 20000 && tape.samples[170] == 0);
    assert_true(tape.samples[330] != 0 && tape.samples[330] < tape.samples[490]);
    assert_int_equal(tape.counts.missing, 1);
    assert_int_equal(tape.counts.reordered, 1);
    assert_int_equal(tape.counts.timestamp_jumps, 0);
    assert_int_equal(tape.counts.ssrc_changes, 0);
    rtp_tape_release(&tape);
}

static void the_tape_notices_every_break_of_a_stream(void **state)
{
    (void)state;
    struct rtp_tape tape;
    rtp_tape_init(&tape, 101);
    feed(&tape, 8, 10, 1000, 7, 0x55, 0);
    feed(&tape, 8, 11, 1200, 7, 0x55, 20); /* 40 samples too far */
    feed(&tape, 101, 12, 1200, 7, 0, 21);
    feed(&tape, 96, 13, 1200, 7, 0, 22);
    feed(&tape, 8, 500, 90000, 8, 0x55, 1000); /* another source, placed by the clock */
    assert_int_equal(tape.counts.timestamp_jumps, 1);
    assert_int_equal(tape.counts.event_packets, 1);
    assert_int_equal(tape.counts.other_packets, 1);
    assert_int_equal(tape.counts.ssrc_changes, 1);
    assert_in_range(tape.sample_count, 8150, 8170);
    assert_true(tape.counts.gap_ms_max > 970);
    rtp_tape_release(&tape);
}

static void the_tape_refuses_what_is_not_rtp(void **state)
{
    (void)state;
    struct rtp_tape tape;
    uint8_t packet[PACKET_BYTES];
    struct mono_time at = {1};
    rtp_tape_init(&tape, 101);
    make_packet(packet, 0, 1, 1, 1, 0);
    assert_int_equal(rtp_tape_packet(&tape, packet, 11, at), ERR_SYNTAX);
    packet[0] = 0x40;
    assert_int_equal(rtp_tape_packet(&tape, packet, PACKET_BYTES, at), ERR_SYNTAX);
    packet[0] = 0x8f; /* 15 contributing sources do not fit */
    assert_int_equal(rtp_tape_packet(&tape, packet, 40, at), ERR_SYNTAX);
    packet[0] = 0x90; /* an extension of 65535 words */
    packet[14] = packet[15] = 0xff;
    assert_int_equal(rtp_tape_packet(&tape, packet, PACKET_BYTES, at), ERR_SYNTAX);
    packet[0] = 0xa0; /* padding longer than the packet */
    packet[PACKET_BYTES - 1] = 255;
    assert_int_equal(rtp_tape_packet(&tape, packet, PACKET_BYTES, at), ERR_SYNTAX);
    assert_int_equal(tape.counts.refused, 5);
    rtp_tape_release(&tape);
}

/* ------------------------------------------------------------------ voice */

static const struct voice_options plain = {
    .level_dbm0 = -9,
    .twist_db = 4,
    .speech_dbm0 = -18,
    .background_dbm0 = VOICE_DBM0_NONE,
    .speech_under_db = VOICE_DBM0_NONE,
    .on_ms = 80,
    .off_ms = 60,
    .ways = VOICE_TONE,
    .seed = 3,
};

static double level_at(const float *samples, size_t count, double hz)
{
    double re = 0;
    double im = 0;
    for (size_t i = 0; i < count; i++) {
        re += samples[i] * cos(2 * M_PI * hz * (double)i / 8000);
        im += samples[i] * sin(2 * M_PI * hz * (double)i / 8000);
    }
    return 20 * log10(2 * hypot(re, im) / (double)count / 32768) + 3.14;
}

static void keys_have_the_level_the_length_and_the_place_they_are_labelled_with(void **state)
{
    (void)state;
    struct voice *voice;
    assert_int_equal(voice_new(&voice, &plain), OK);
    for (uint8_t key = 0; key < 16; key++)
        assert_int_equal(voice_press(voice, key), OK);
    static int16_t out[16 * 1400];
    for (size_t i = 0; i < 16 * 1400; i += 160)
        voice_frame(voice, out + i, 160);
    size_t count;
    const struct voice_key *keys = voice_keys(voice, &count);
    assert_int_equal(count, 16);
    for (size_t k = 0; k < count; k++) {
        float tone[640];
        double low_hz;
        double high_hz;
        assert_int_equal(keys[k].key, k);
        assert_int_equal(keys[k].end - keys[k].onset, 640);
        assert_int_equal(out[keys[k].end], 0);
        for (size_t i = 0; i < 640; i++)
            tone[i] = out[keys[k].onset + i];
        attacker_key_tones((unsigned)k, &low_hz, &high_hz);
        assert_true(fabs(level_at(tone, 640, low_hz) + 7) < 0.3);
        assert_true(fabs(level_at(tone, 640, high_hz) + 11) < 0.3);
        assert_int_equal(attacker_listen(tone, 640, 16).key, (int)k);
    }
    assert_true(voice_is_idle(voice));
    assert_int_equal(voice_press(voice, 16), ERR_RANGE);
    voice_free(voice);
}

static void a_key_that_goes_as_an_event_is_not_heard(void **state)
{
    (void)state;
    struct voice_options options = plain;
    struct voice *voice;
    int16_t out[480];
    options.ways = VOICE_EVENT;
    assert_int_equal(voice_new(&voice, &options), OK);
    assert_int_equal(voice_press(voice, 5), OK);
    voice_frame(voice, out, 480);
    for (size_t i = 0; i < 480; i++)
        assert_int_equal(out[i], 0);
    voice_free(voice);
}

static void background_has_its_level(void **state)
{
    (void)state;
    struct voice_options options = plain;
    struct voice *voice;
    static int16_t out[16000];
    double energy = 0;
    options.background_dbm0 = -40;
    assert_int_equal(voice_new(&voice, &options), OK);
    for (size_t i = 0; i < 16000; i += 160)
        voice_frame(voice, out + i, 160);
    for (size_t i = 0; i < 16000; i++)
        energy += (double)out[i] * out[i];
    assert_true(fabs(10 * log10(energy / 16000 * 2 / (32768.0 * 32768.0)) + 3.14 + 40) < 0.3);
    voice_free(voice);
}

/* ------------------------------------------------------------------ orders */

struct heard {
    char keys[64];
    size_t key_count;
    char said[64];
    int hung_up;
    int unknown;
};

static void press_h(void *owner, uint8_t key)
{
    struct heard *heard = owner;
    heard->keys[heard->key_count++] = (char)key;
}

static void say_h(void *owner, const char *path)
{
    struct heard *heard = owner;
    snprintf(heard->said, sizeof heard->said, "%s", path);
}

static void hang_up_h(void *owner)
{
    ((struct heard *)owner)->hung_up++;
}

static void unknown_h(void *owner)
{
    ((struct heard *)owner)->unknown++;
}

static void orders_are_taken_in_any_pieces(void **state)
{
    (void)state;
    struct heard heard = {0};
    const struct phone_order_handlers handlers = {&heard, press_h, say_h, hang_up_h, unknown_h};
    struct phone_orders orders = {0};
    const char *text = "key 12*#A\nsay a.wav\nkey 1x\nnonsense\n\nhangup\n";
    for (const char *c = text; *c != '\0'; c++)
        phone_orders_take(&orders, c, 1, &handlers);
    assert_memory_equal(heard.keys, "\1\2\12\13\14\1", 6);
    assert_int_equal(heard.key_count, 6);
    assert_string_equal(heard.said, "a.wav");
    assert_int_equal(heard.unknown, 2);
    assert_int_equal(heard.hung_up, 1);
    phone_orders_take(&orders, "", 0, &handlers);
    phone_orders_take(&orders, "", 0, &handlers);
    assert_int_equal(heard.hung_up, 2);
    for (size_t i = 0; i < sizeof orders.line; i++)
        assert_int_equal(orders.line[i], 0);
}

static void typed_keys_are_pressed_one_by_one(void **state)
{
    (void)state;
    struct heard heard = {0};
    const struct phone_order_handlers handlers = {&heard, press_h, say_h, hang_up_h, unknown_h};
    struct phone_orders orders = {.is_keypad = true};
    phone_orders_take(&orders, "4 2zq9", 6, &handlers);
    assert_int_equal(heard.key_count, 2);
    assert_int_equal(heard.hung_up, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sdp_comes_back_as_written),
        cmocka_unit_test(sdp_without_usable_audio_is_refused),
        cmocka_unit_test(sdp_on_hold_is_understood),
        cmocka_unit_test(the_tape_puts_audio_where_its_timestamp_says),
        cmocka_unit_test(the_tape_notices_every_break_of_a_stream),
        cmocka_unit_test(the_tape_refuses_what_is_not_rtp),
        cmocka_unit_test(keys_have_the_level_the_length_and_the_place_they_are_labelled_with),
        cmocka_unit_test(a_key_that_goes_as_an_event_is_not_heard),
        cmocka_unit_test(background_has_its_level),
        cmocka_unit_test(orders_are_taken_in_any_pieces),
        cmocka_unit_test(typed_keys_are_pressed_one_by_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
