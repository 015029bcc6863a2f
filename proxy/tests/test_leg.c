/* One direction of a call, packet by packet, on a simulated clock. */
#include "base/secret.h"
#include "dsp/g711.h"
#include "proxy/media/leg.h"
#include "proxy/media/wire.h"
#include "proxy/tests/tone_source.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { OUT_MAX = 40000, DIGITS_MAX = 400, SAMPLES_MAX = 8000 * 610, EVENT_TYPE = 101 };

#define TONE_DBM0 (-10.0)
#define LEAK_DBM0 (-38.0) /* the background's own 10 ms windows stay below */

/* A leg, the sender in front of it and everything that came out behind. */
struct sim {
    struct leg leg;
    struct mask *mask;
    struct outgoing_watch *watch;
    struct leg_frame frame;
    struct mono_time now;
    struct rtp_header next; /* of the sender */
    struct tone_source source;
    size_t out_count, event_count, bytes_count;
    struct {
        struct rtp_header header;
        size_t count;
    } out[OUT_MAX];
    uint8_t last[LIMIT_RTP_PACKET_BYTES];
    size_t last_bytes;
    int16_t *heard; /* at (timestamp - first) of what was sent */
    uint32_t first_timestamp;
    size_t heard_count;
    int digits[DIGITS_MAX];
    enum digit_source sources[DIGITS_MAX];
    size_t digit_count, disarmed_count, alarm_count;
    size_t alarm_at; /* packets sent before the alarm */
    unsigned lost_percent;
    uint32_t dice;
};

static void on_send(void *owner, struct leg *leg, const struct rtp_header *header, const uint8_t *packet,
                    size_t length, bool is_audio)
{
    struct sim *sim = owner;
    size_t count = length - RTP_HEADER_BYTES;
    assert_true(sim->out_count < OUT_MAX);
    assert_int_equal(wire_u16(packet + 2), header->sequence);
    assert_int_equal(wire_u32(packet + 4), header->timestamp);
    memcpy(sim->last, packet, length);
    sim->last_bytes = length;
    if (!is_audio) {
        sim->event_count++;
        return;
    }
    if (sim->out_count == 0)
        sim->first_timestamp = header->timestamp;
    sim->out[sim->out_count].header = *header;
    sim->out[sim->out_count++].count = count;
    uint32_t at = header->timestamp - sim->first_timestamp;
    if (at + count <= SAMPLES_MAX) {
        g711_decode(leg->to.codec == MEDIA_PCMA ? G711_ALAW : G711_ULAW, packet + RTP_HEADER_BYTES,
                    sim->heard + at, count);
        if (at + count > sim->heard_count)
            sim->heard_count = at + count;
    }
}

static void on_digit(void *owner, struct leg *leg, dtmf_key key, enum digit_source source)
{
    struct sim *sim = owner;
    (void)leg;
    assert_true(sim->digit_count < DIGITS_MAX);
    sim->sources[sim->digit_count] = source;
    sim->digits[sim->digit_count++] = key;
}

static void on_disarmed(void *owner, struct leg *leg)
{
    struct sim *sim = owner;
    assert_int_equal(leg->state, LEG_PLAIN);
    sim->disarmed_count++;
}

static void on_alarm(void *owner, struct leg *leg)
{
    struct sim *sim = owner;
    assert_true(leg->is_muted);
    sim->alarm_count++;
    sim->alarm_at = sim->out_count;
}

static const struct leg_sink sim_sink = {on_send, on_digit, on_disarmed, on_alarm};
static const struct leg_format pcma = {MEDIA_PCMA, 8, EVENT_TYPE};
static const struct leg_format pcmu = {MEDIA_PCMU, 0, EVENT_TYPE};

static struct sim *sim_new(void)
{
    struct sim *sim = calloc(1, sizeof(*sim));
    assert_non_null(sim);
    sim->mask = aligned_alloc(MASK_ALIGN, (mask_size() + MASK_ALIGN - 1) / MASK_ALIGN * MASK_ALIGN);
    sim->heard = calloc(SAMPLES_MAX, sizeof(*sim->heard));
    sim->watch = aligned_alloc(OUTGOING_WATCH_ALIGN, outgoing_watch_size());
    assert_non_null(sim->watch);
    assert_non_null(sim->mask);
    assert_non_null(sim->heard);
    sim->now.ns = 1000 * NS_PER_S;
    sim->next = (struct rtp_header){.payload_type = 8, .sequence = 4711, .timestamp = 99000, .ssrc = 0xabcd};
    sim->source.noise = sim->dice = 12345;
    leg_init(&sim->leg, &sim_sink, sim, sim->mask, sim->watch, 0x5151, 100, 5000);
    leg_set_format(&sim->leg, &pcma, &pcma, true);
    return sim;
}

static void sim_free(struct sim *sim)
{
    free(sim->watch);
    free(sim->mask);
    free(sim->heard);
    free(sim);
}

static void sim_arm_as(struct sim *sim, bool is_off)
{
    struct mask_options options = {.lookahead_samples = 160, .noise_seed = 3, .is_off = is_off};
    assert_int_equal(leg_arm(&sim->leg, &options, true), OK);
}

static void sim_arm(struct sim *sim)
{
    sim_arm_as(sim, false);
}

static unsigned sim_roll(struct sim *sim, unsigned sides)
{
    sim->dice = sim->dice * 1103515245u + 12345u;
    return (sim->dice >> 16) % sides;
}

/* A packet arrives at the leg. */
static void sim_packet(struct sim *sim, const struct rtp_header *header, const uint8_t *payload, size_t count)
{
    uint8_t bytes[LIMIT_RTP_PACKET_BYTES];
    rtp_write_header(header, bytes);
    memcpy(bytes + RTP_HEADER_BYTES, payload, count);
    if (!leg_receive(&sim->leg, bytes, RTP_HEADER_BYTES + count, sim->now, &sim->frame))
        return;
    struct mask_frame frame = {.mask = sim->leg.mask,
                               .in = sim->frame.in,
                               .out = sim->frame.out,
                               .count = sim->frame.sample_count,
                               .edges = sim->frame.edges};
    mask_process_batch(&frame, 1);
    sim->frame.edge_count = frame.edge_count;
    leg_deliver(&sim->frame, sim->now);
}

static void sim_time(struct sim *sim, size_t samples)
{
    sim->now.ns += (int64_t)samples * (NS_PER_S / 8000);
}

/* The sender's next packet of audio: made, perhaps lost, and counted. */
static void sim_audio(struct sim *sim, int key, size_t count)
{
    int16_t pcm[LIMIT_FRAME_SAMPLES];
    uint8_t payload[LIMIT_FRAME_SAMPLES];
    tone_source_make(&sim->source, key, TONE_DBM0, pcm, count);
    g711_encode(sim->next.payload_type == 0 ? G711_ULAW : G711_ALAW, pcm, payload, count);
    sim_time(sim, count);
    if (sim->lost_percent == 0 || sim_roll(sim, 100) >= sim->lost_percent)
        sim_packet(sim, &sim->next, payload, count);
    sim->next.sequence++;
    sim->next.timestamp += (uint32_t)count;
    sim->next.has_marker = false;
}

static void sim_run(struct sim *sim, int key, size_t packets, size_t count)
{
    for (size_t i = 0; i < packets; i++)
        sim_audio(sim, key, count);
}

static void sim_event(struct sim *sim, uint32_t started, uint8_t code, bool is_end, uint16_t duration)
{
    struct rtp_header header = sim->next;
    uint8_t payload[4] = {code, is_end ? 0x8a : 0x0a};
    wire_put_u16(payload + 2, duration);
    header.payload_type = EVENT_TYPE;
    header.timestamp = started;
    if (sim->lost_percent == 0 || sim_roll(sim, 100) >= sim->lost_percent)
        sim_packet(sim, &header, payload, sizeof(payload));
    sim->next.sequence++;
}

/* A whole key press by events alone: updates every 20 ms, the end three times (RFC 4733 §2.5.1.4). */
static void sim_press_event(struct sim *sim, uint8_t code, unsigned updates)
{
    uint32_t started = sim->next.timestamp;
    for (unsigned i = 1; i <= updates; i++) {
        sim_time(sim, 160);
        sim_event(sim, started, code, false, (uint16_t)(160 * i));
    }
    for (int i = 0; i < 3; i++)
        sim_event(sim, started, code, true, (uint16_t)(160 * updates));
    sim->next.timestamp = started + 160 * updates;
}

static double sim_leak(const struct sim *sim, size_t from_packet, int key)
{
    uint32_t from = sim->out[from_packet].header.timestamp - sim->first_timestamp;
    return tone_left_dbm0(sim->heard + from, sim->heard_count - from, key);
}

/* From packet `from` on: numbers without a hole, timestamps that go on where the last packet ended. */
static void assert_continuous(const struct sim *sim, size_t from)
{
    for (size_t i = from + 1; i < sim->out_count; i++) {
        assert_int_equal(sim->out[i].header.ssrc, 0x5151);
        assert_int_equal((uint16_t)(sim->out[i - 1].header.sequence + 1), sim->out[i].header.sequence);
        assert_int_equal((uint32_t)(sim->out[i - 1].header.timestamp + sim->out[i - 1].count),
                         sim->out[i].header.timestamp);
    }
}

/* ---- plain ---- */

static void plain_passes_payload_bit_exact_and_strips_csrc_extension_and_padding(void **state)
{
    struct sim *sim = sim_new();
    (void)state;
    uint8_t bytes[400];
    for (unsigned csrc = 0; csrc <= 15; csrc++) {
        size_t at = RTP_HEADER_BYTES + 4 * csrc;
        memset(bytes, 0xee, sizeof(bytes));
        rtp_write_header(&sim->next, bytes);
        bytes[0] = (uint8_t)(0xb0 | csrc); /* padding, extension */
        wire_put_u16(bytes + at + 2, 3);
        at += 4 + 12;
        for (size_t i = 0; i < 160; i++)
            bytes[at + i] = (uint8_t)(i + csrc);
        bytes[at + 160 + 3] = 4;
        assert_false(leg_receive(&sim->leg, bytes, at + 164, sim->now, &sim->frame));
        assert_int_equal(sim->last_bytes, RTP_HEADER_BYTES + 160);
        assert_int_equal(sim->last[0], 0x80);
        for (size_t i = 0; i < 160; i++)
            assert_int_equal(sim->last[RTP_HEADER_BYTES + i], (uint8_t)(i + csrc));
        sim->next.sequence++;
        sim->next.timestamp += 160;
        sim_time(sim, 160);
    }
    assert_continuous(sim, 0);
    assert_int_equal(sim->out[0].header.ssrc, 0x5151);
    sim_free(sim);
}

static void plain_keeps_loss_and_reorder_as_they_are(void **state)
{
    struct sim *sim = sim_new();
    static const uint16_t order[] = {0, 1, 3, 2, 6, 5, 9, 9, 8};
    uint8_t payload[160] = {0};
    (void)state;
    struct rtp_header header = sim->next;
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        header.sequence = (uint16_t)(sim->next.sequence + order[i]);
        header.timestamp = sim->next.timestamp + 160u * order[i];
        sim_packet(sim, &header, payload, sizeof(payload));
        assert_int_equal((uint16_t)(sim->out[i].header.sequence - sim->out[0].header.sequence), order[i]);
        assert_int_equal(sim->out[i].header.timestamp - sim->out[0].header.timestamp, 160u * order[i]);
    }
    sim_free(sim);
}

static void plain_forwards_events_with_the_far_sides_payload_type(void **state)
{
    struct sim *sim = sim_new();
    static const struct leg_format far = {MEDIA_PCMA, 8, 96};
    (void)state;
    leg_set_format(&sim->leg, &pcma, &far, true);
    sim_run(sim, -1, 5, 160);
    sim_press_event(sim, 5, 5);
    assert_int_equal(sim->event_count, 8);
    assert_int_equal(sim->last[1] & 0x7f, 96);
    sim_free(sim);
}

static void codecs_that_differ_are_transcoded_plain_and_armed(void **state)
{
    (void)state;
    for (int is_armed = 0; is_armed < 2; is_armed++) {
        struct sim *sim = sim_new();
        leg_set_format(&sim->leg, &pcma, &pcmu, true);
        sim->leg.watch = NULL;
        if (is_armed)
            sim_arm_as(sim, true);
        sim_run(sim, 5, 20, 160);
        assert_int_equal(sim->out[10].header.payload_type, 0);
        assert_true(sim_leak(sim, 5, 5) > TONE_DBM0 - 1);
        sim_free(sim);
    }
}

static void a_change_of_ssrc_is_one_continuous_stream_to_the_far_side(void **state)
{
    (void)state;
    for (int is_armed = 0; is_armed < 2; is_armed++) {
        struct sim *sim = sim_new();
        if (is_armed)
            sim_arm(sim);
        sim_run(sim, -1, 10, 160);
        for (int i = 0; i < 5; i++) {
            sim->next.ssrc += 77;
            sim->next.sequence = (uint16_t)(sim->next.sequence * 31);
            sim->next.timestamp *= 17;
            sim_run(sim, -1, 10, 160);
        }
        assert_int_equal(sim->out_count, 60);
        assert_continuous(sim, 0);
        sim_free(sim);
    }
}

static void packets_of_the_ssrc_before_do_not_interleave(void **state)
{
    struct sim *sim = sim_new();
    uint8_t payload[160] = {0};
    (void)state;
    sim_run(sim, -1, 10, 160);
    struct rtp_header old = sim->next;
    sim->next.ssrc = 0x77777777;
    sim_run(sim, -1, 2, 160);
    sim_packet(sim, &old, payload, sizeof(payload));
    sim_run(sim, -1, 2, 160);
    assert_int_equal(sim->out_count, 14);
    assert_continuous(sim, 0);
    sim_free(sim);
}

static void sequence_and_timestamp_wrap_without_a_seam(void **state)
{
    (void)state;
    for (int is_armed = 0; is_armed < 2; is_armed++) {
        struct sim *sim = sim_new();
        sim->next.sequence = 65500;
        sim->next.timestamp = 0xffffffffu - 160 * 60;
        leg_init(&sim->leg, &sim_sink, sim, sim->mask, sim->watch, 0x5151, 65490, 0xffffffffu - 160 * 45);
        leg_set_format(&sim->leg, &pcma, &pcma, true);
        if (is_armed)
            sim_arm(sim);
        sim_run(sim, -1, 100, 160);
        assert_int_equal(sim->out_count, 100);
        assert_continuous(sim, 0);
        assert_int_equal(sim->leg.in_cycles, 0x10000);
        assert_int_equal(sim->leg.out_cycles, 0x10000);
        sim_free(sim);
    }
}

/* ---- armed ---- */

/* Every key 100 ms on, 100 ms off. Returns the loudest rest of any key. */
static double press_all_keys(struct sim *sim, size_t frame)
{
    size_t packets = 800 / frame;
    double loudest = -99;
    sim_run(sim, -1, 2 * packets, frame);
    for (int key = 0; key < 16; key++) {
        size_t from = sim->out_count;
        sim_run(sim, key, packets, frame);
        sim_run(sim, -1, packets, frame);
        double left = sim_leak(sim, from > 0 ? from - 1 : 0, key);
        loudest = left > loudest ? left : loudest;
    }
    return loudest;
}

static void armed_leg_leaks_no_key_and_reports_each_once_at_every_ptime(void **state)
{
    (void)state;
    static const size_t frames[] = {80, 160, 240, 320, 400, 480};
    for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
        struct sim *sim = sim_new();
        sim_run(sim, -1, 10, frames[i]);
        sim_arm(sim);
        double left = press_all_keys(sim, frames[i]);
        assert_true(left < LEAK_DBM0);
        assert_int_equal(sim->digit_count, 16);
        for (int key = 0; key < 16; key++)
            assert_int_equal(sim->digits[key], key);
        assert_int_equal(sim->alarm_count, 0);
        assert_continuous(sim, 0);
        sim_free(sim);
    }
}

static void with_masking_off_the_same_check_finds_the_leak(void **state)
{
    struct sim *sim = sim_new();
    (void)state;
    sim->leg.watch = NULL;
    sim_arm_as(sim, true);
    assert_true(press_all_keys(sim, 160) > TONE_DBM0 - 3);
    sim_press_event(sim, 5, 5);
    assert_true(sim->event_count > 0);
    sim_free(sim);
}

static void ten_minutes_with_200_keys_are_heard_once_each_and_leak_nothing(void **state)
{
    struct sim *sim = sim_new();
    (void)state;
    sim_arm(sim);
    for (int i = 0; i < 200; i++) {
        sim_run(sim, -1, 142, 160);
        size_t from = sim->out_count - 1;
        sim_run(sim, i * 7 % 10, 4 + (size_t)i % 3, 160);
        sim_run(sim, -1, 4, 160);
        assert_true(sim_leak(sim, from, i * 7 % 10) < LEAK_DBM0);
        assert_int_equal(sim->digit_count, i + 1);
        assert_int_equal(sim->digits[i], i * 7 % 10);
    }
    assert_true(sim->out_count > 30000);
    assert_int_equal(sim->alarm_count, 0);
    struct outgoing_watch_counts counts;
    leg_watch_counts(&sim->leg, &counts);
    assert_int_equal(counts.samples, 160 * sim->out_count);
    assert_true(counts.replaced_windows > 200 * 15);
    assert_true(counts.residual_dbm0 > -90 && counts.residual_dbm0 < LEAK_DBM0);
    assert_in_range(sim->leg.counts.spans, 200, 260);
    assert_continuous(sim, 0);
    sim_free(sim);
}

/* ---- the watch: the mask is planted broken (is_off), and somebody else has to notice ---- */

static int16_t loudest_from(const struct sim *sim, size_t packet)
{
    int16_t most = 0;
    for (size_t i = sim->out[packet].header.timestamp - sim->first_timestamp; i < sim->heard_count; i++)
        most = (int16_t)(abs(sim->heard[i]) > most ? abs(sim->heard[i]) : most);
    return most;
}

static void a_key_that_passes_the_mask_mutes_the_leg_before_its_second_packet_leaves(void **state)
{
    (void)state;
    static const size_t frames[] = {80, 160, 240, 320, 400, 480};
    for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
        for (int key = 0; key < 16; key++) {
            struct sim *sim = sim_new();
            size_t packets = 1600 / frames[i];
            sim_arm_as(sim, true);
            sim_run(sim, -1, packets, frames[i]);
            size_t before = sim->out_count;
            sim_run(sim, key, packets, frames[i]);
            sim_run(sim, -1, packets, frames[i]);
            assert_int_equal(sim->alarm_count, 1);
            /* Look-ahead and the packet in which the tone begins; the one in which it is heard does not leave. */
            assert_true((sim->alarm_at - before) * frames[i] <= 160 + 240);
            assert_int_equal(sim->digit_count, 1);
            size_t muted = sim->alarm_at;
            for (int again = 0; again < 3; again++)
                sim_run(sim, (key + 5 * again) % 16, packets, frames[i]);
            assert_true(loudest_from(sim, muted) < 64);
            assert_true(loudest_from(sim, muted) > 0); /* no hole either */
            assert_true(sim->digit_count > 1);
            assert_int_equal(sim->alarm_count, 1);
            assert_continuous(sim, 0);
            sim_free(sim);
        }
    }
}

static void a_muted_leg_is_whole_again_when_it_was_disarmed(void **state)
{
    struct sim *sim = sim_new();
    struct outgoing_watch_counts counts;
    (void)state;
    sim_arm_as(sim, true);
    sim_run(sim, -1, 10, 160);
    sim_run(sim, 5, 5, 160);
    assert_true(sim->leg.is_muted);
    sim_arm(sim); /* for another capture, say: it stays muted */
    sim_run(sim, -1, 10, 160);
    assert_true(sim->leg.is_muted);
    leg_disarm(&sim->leg);
    size_t last = sim->out_count;
    sim_run(sim, -1, 50, 160);
    assert_int_equal(sim->disarmed_count, 1);
    assert_false(sim->leg.is_muted);
    leg_watch_counts(&sim->leg, &counts);
    assert_true(counts.keys + counts.remains > 0);
    assert_int_equal(sim->leg.counts.alarms, 1);
    assert_true(loudest_from(sim, last + 40) > 20);
    size_t before = sim->out_count;
    sim_run(sim, 5, 5, 160); /* nobody watches a plain leg */
    assert_true(sim_leak(sim, before, 5) > TONE_DBM0 - 3);
    assert_int_equal(sim->alarm_count, 1);
    /* Armed anew, everything begins anew. */
    sim_arm(sim);
    assert_false(sim->leg.is_muted);
    sim_run(sim, -1, 10, 160);
    leg_watch_counts(&sim->leg, &counts);
    assert_int_equal(counts.keys + counts.remains + sim->leg.counts.alarms, 0);
    sim_free(sim);
}

static void an_event_that_would_leave_mutes_the_leg_and_does_not(void **state)
{
    struct sim *sim = sim_new();
    (void)state;
    sim_arm_as(sim, true);
    sim_run(sim, -1, 10, 160);
    sim_press_event(sim, 5, 5);
    sim_run(sim, -1, 10, 160);
    assert_int_equal(sim->alarm_count, 1);
    assert_int_equal(sim->event_count, 0);
    assert_int_equal(sim->digit_count, 1);
    assert_continuous(sim, 0);
    sim_free(sim);
}

static void the_watch_hears_through_loss(void **state)
{
    struct sim *sim = sim_new();
    (void)state;
    for (int i = 0; i < 50; i++) {
        sim->lost_percent = 0;
        sim_arm_as(sim, true);
        sim_run(sim, -1, 10, 160);
        sim->lost_percent = 30;
        sim_run(sim, i % 16, 10, 160);
        sim->lost_percent = 0;
        leg_disarm(&sim->leg);
        sim_run(sim, -1, 50, 160);
    }
    assert_int_equal(sim->alarm_count, 50);
    sim_free(sim);
}

/* What it says of the rest is measured, not claimed: with the mask off the rest is the key itself. */
static void the_residual_is_that_of_what_was_delivered(void **state)
{
    struct outgoing_watch_counts counts;
    (void)state;
    struct sim *sim = sim_new();
    sim_arm_as(sim, true);
    sim_run(sim, -1, 10, 160);
    sim_run(sim, 5, 3, 160);
    leg_watch_counts(&sim->leg, &counts);
    assert_float_equal(counts.residual_dbm0, TONE_DBM0, 2);
    sim_free(sim);
}

static void nothing_is_left_in_the_watch_after_disarming(void **state)
{
    struct sim *sim = sim_new();
    (void)state;
    sim_arm_as(sim, true);
    sim_run(sim, 7, 20, 160);
    leg_disarm(&sim->leg);
    sim_run(sim, -1, 50, 160);
    assert_int_equal(sim->disarmed_count, 1);
    for (size_t i = 0; i < outgoing_watch_size(); i++)
        assert_int_equal(((const uint8_t *)sim->watch)[i], 0);
    sim_free(sim);
}

static void ptime_may_change_in_the_middle_of_a_key(void **state)
{
    struct sim *sim = sim_new();
    static const size_t frames[] = {160, 80, 240, 480, 160, 320};
    (void)state;
    sim_arm(sim);
    sim_run(sim, -1, 20, 160);
    for (size_t i = 0; i < 60; i++)
        sim_audio(sim, i % 10 < 5 ? 9 : -1, frames[i % 6]);
    assert_true(sim_leak(sim, 0, 9) < LEAK_DBM0);
    assert_continuous(sim, 0);
    sim_free(sim);
}

static void loss_is_mirrored_as_loss_and_leaks_nothing(void **state)
{
    (void)state;
    for (unsigned percent = 1; percent <= 20; percent += 3) {
        struct sim *sim = sim_new();
        sim_run(sim, -1, 10, 160);
        size_t before = sim->out_count;
        sim_arm(sim);
        sim->lost_percent = percent;
        double left = press_all_keys(sim, 160);
        assert_true(left < LEAK_DBM0);
        unsigned holes = 0;
        for (size_t i = before; i < sim->out_count; i++) {
            uint16_t step = (uint16_t)(sim->out[i].header.sequence - sim->out[i - 1].header.sequence);
            assert_int_equal(sim->out[i].header.timestamp - sim->out[i - 1].header.timestamp, 160u * step);
            holes += step - 1u;
        }
        assert_int_equal(sim->leg.counts.packets_lost, holes);
        assert_true(sim->digit_count <= 16);
        sim_free(sim);
    }
}

static void reordered_and_doubled_packets_neither_leak_nor_repeat_numbers(void **state)
{
    struct sim *sim = sim_new();
    (void)state;
    sim_arm(sim);
    sim_run(sim, -1, 10, 160);
    for (int i = 0; i < 200; i++) {
        int16_t pcm[160];
        uint8_t first[160], second[160];
        int key = i / 5 % 2 ? 4 : -1;
        struct rtp_header header = sim->next;
        tone_source_make(&sim->source, key, TONE_DBM0, pcm, 160);
        g711_encode(G711_ALAW, pcm, first, 160);
        tone_source_make(&sim->source, key, TONE_DBM0, pcm, 160);
        g711_encode(G711_ALAW, pcm, second, 160);
        struct rtp_header later = header;
        later.sequence++;
        later.timestamp += 160;
        sim_time(sim, 320);
        unsigned roll = sim_roll(sim, 4);
        if (roll == 0) { /* swapped */
            sim_packet(sim, &later, second, 160);
            sim_packet(sim, &header, first, 160);
        } else {
            sim_packet(sim, &header, first, 160);
            if (roll == 1)
                sim_packet(sim, &header, first, 160);
            sim_packet(sim, &later, second, 160);
            if (roll == 2)
                sim_packet(sim, &header, first, 160);
        }
        sim->next.sequence = (uint16_t)(sim->next.sequence + 2);
        sim->next.timestamp += 320;
    }
    assert_true(sim->leg.counts.packets_late > 50);
    assert_true(sim_leak(sim, 0, 4) < LEAK_DBM0);
    for (size_t i = 1; i < sim->out_count; i++)
        assert_true(rtp_sequence_diff(sim->out[i - 1].header.sequence, sim->out[i].header.sequence) > 0);
    sim_free(sim);
}

static void a_pause_of_the_sender_flushes_nothing_unmasked(void **state)
{
    (void)state;
    for (uint32_t pause = 160; pause < 200000; pause *= 3) {
        struct sim *sim = sim_new();
        sim_arm(sim);
        sim_run(sim, -1, 20, 160);
        sim_run(sim, 7, 2, 160); /* the pause cuts the key */
        sim->next.timestamp += pause;
        sim->next.has_marker = true;
        sim_time(sim, pause);
        sim_run(sim, -1, 20, 160);
        assert_true(sim_leak(sim, 0, 7) < LEAK_DBM0);
        assert_true(sim->out[22].header.has_marker);
        assert_int_equal(sim->out[22].header.timestamp - sim->out[21].header.timestamp, 160 + pause);
        assert_int_equal((uint16_t)(sim->out[22].header.sequence - sim->out[21].header.sequence), 1);
        sim_free(sim);
    }
}

static void unknown_payload_types_do_not_pass_an_armed_leg(void **state)
{
    struct sim *sim = sim_new();
    (void)state;
    sim_arm(sim);
    sim_run(sim, -1, 5, 160);
    size_t before = sim->out_count;
    for (unsigned type = 0; type < 128; type++) {
        uint8_t payload[] = {0x80 | EVENT_TYPE, 0, 0, 4, 8, 5, 0x0a, 1, 0x40, 0x55};
        struct rtp_header header = sim->next;
        if (type == 0 || type == 8 || type == EVENT_TYPE)
            continue;
        header.payload_type = (uint8_t)type;
        sim_packet(sim, &header, payload, sizeof(payload));
    }
    assert_int_equal(sim->out_count, before);
    assert_int_equal(sim->event_count, 0);
    assert_int_equal(sim->leg.counts.packets_refused, 125);
    assert_int_equal(sim->leg.counts.events_removed, 125 - 32); /* redundant payloads with an event inside */
    sim_free(sim);
}

/* ---- events ---- */

static void events_are_removed_and_their_time_is_filled(void **state)
{
    struct sim *sim = sim_new();
    (void)state;
    sim_run(sim, -1, 10, 160);
    sim_arm(sim);
    sim_run(sim, -1, 10, 160);
    for (uint8_t key = 0; key < 16; key++) {
        sim_press_event(sim, key, 5);
        sim_run(sim, -1, 5, 160);
    }
    assert_int_equal(sim->event_count, 0);
    assert_int_equal(sim->digit_count, 16);
    for (int key = 0; key < 16; key++) {
        assert_int_equal(sim->digits[key], key);
        assert_int_equal(sim->sources[key], DIGIT_EVENT);
    }
    assert_int_equal(sim->leg.counts.events_removed, 16 * 8);
    assert_continuous(sim, 0);
    assert_int_equal(sim->out_count, 20 + 16 * 10);
    sim_free(sim);
}

static void events_at_50_ms_leave_no_hole_either(void **state)
{
    struct sim *sim = sim_new();
    (void)state;
    sim_arm(sim);
    sim_run(sim, -1, 10, 160);
    uint32_t started = sim->next.timestamp;
    for (unsigned i = 1; i <= 3; i++) {
        sim_time(sim, 400);
        sim_event(sim, started, 3, i == 3, (uint16_t)(400 * i));
    }
    sim->next.timestamp += 1200;
    sim_run(sim, -1, 10, 160);
    assert_continuous(sim, 0);
    assert_int_equal(sim->digit_count, 1);
    sim_free(sim);
}

static void events_are_counted_once_under_loss(void **state)
{
    struct sim *sim = sim_new();
    (void)state;
    sim_arm(sim);
    sim->lost_percent = 20;
    sim_run(sim, -1, 10, 160);
    for (int i = 0; i < 100; i++) {
        sim_press_event(sim, (uint8_t)(i % 10), 5);
        sim_run(sim, -1, 15, 160);
    }
    assert_int_equal(sim->digit_count, 100); /* eight packets each: all lost once in 400 000 presses */
    for (int i = 0; i < 100; i++)
        assert_int_equal(sim->digits[i], i % 10);
    sim_free(sim);
}

static void an_event_that_began_before_arming_is_removed_but_is_no_digit(void **state)
{
    struct sim *sim = sim_new();
    (void)state;
    sim_run(sim, -1, 10, 160);
    uint32_t started = sim->next.timestamp;
    sim_event(sim, started, 5, false, 160);
    assert_int_equal(sim->event_count, 1);
    sim_arm(sim);
    for (int i = 2; i < 6; i++)
        sim_event(sim, started, 5, i == 5, (uint16_t)(160 * i));
    assert_int_equal(sim->event_count, 1);
    assert_int_equal(sim->digit_count, 0);
    sim_free(sim);
}

static void late_ends_of_a_removed_event_stay_out_after_disarming(void **state)
{
    struct sim *sim = sim_new();
    (void)state;
    sim_arm(sim);
    sim_run(sim, -1, 10, 160);
    uint32_t started = sim->next.timestamp;
    sim_event(sim, started, 5, false, 160);
    leg_disarm(&sim->leg);
    sim_event(sim, started, 5, true, 320);
    sim->next.timestamp = started + 320;
    sim_run(sim, -1, 30, 160);
    assert_int_equal(sim->disarmed_count, 1);
    sim_event(sim, started, 5, true, 320);
    sim_event(sim, started, 5, true, 320);
    assert_int_equal(sim->event_count, 0);
    sim_event(sim, sim->next.timestamp, 6, false, 160); /* a new one passes: the leg is plain */
    assert_int_equal(sim->event_count, 1);
    sim_free(sim);
}

static void tone_event_and_info_of_one_press_are_one_digit_in_all_combinations(void **state)
{
    (void)state;
    for (unsigned ways = 1; ways < 8; ways++) {
        struct sim *sim = sim_new();
        sim_arm(sim);
        sim_run(sim, -1, 20, 160);
        for (int press = 0; press < 6; press++) {
            int key = press / 2; /* every key twice in a row: genuine repeats */
            uint32_t started = sim->next.timestamp;
            for (unsigned i = 1; i <= 5; i++) {
                sim_audio(sim, ways & 1 ? key : -1, 160);
                if (ways & 2)
                    sim_event(sim, started, (uint8_t)key, i == 5, (uint16_t)(160 * i));
            }
            if (ways & 4)
                leg_info_key(&sim->leg, (dtmf_key)key, 100, sim->now);
            sim_run(sim, -1, 10, 160);
        }
        assert_int_equal(sim->digit_count, 6);
        for (int press = 0; press < 6; press++)
            assert_int_equal(sim->digits[press], press / 2);
        for (int key = 0; key < 3; key++)
            assert_true(sim_leak(sim, 0, key) < LEAK_DBM0);
        assert_int_equal(sim->event_count, 0);
        assert_continuous(sim, 0);
        sim_free(sim);
    }
}

/* ---- arming and leaving ---- */

static void arming_and_disarming_fifty_times_keeps_the_stream_whole(void **state)
{
    struct sim *sim = sim_new();
    (void)state;
    sim_run(sim, -1, 10, 160);
    for (int i = 0; i < 50; i++) {
        int key = i % 16;
        sim_arm(sim);
        sim_run(sim, -1, 5, 160);
        size_t from = sim->out_count - 1;
        sim_run(sim, key, 3, 160);
        leg_disarm(&sim->leg); /* in the middle of the key */
        sim_run(sim, key, 4, 160);
        sim_run(sim, -1, 20, 160);
        assert_int_equal(sim->leg.state, LEG_PLAIN);
        assert_int_equal(sim->disarmed_count, (size_t)i + 1);
        assert_int_equal(sim->digit_count, (size_t)i + 1);
        assert_int_equal(sim->digits[i], key);
        assert_true(sim_leak(sim, from, key) < LEAK_DBM0);
    }
    assert_continuous(sim, 0);
    assert_int_equal(sim->out_count, 10 + 50 * 32);
    sim_free(sim);
}

static void leaving_fades_without_a_click_and_ends_bit_exact(void **state)
{
    struct sim *sim = sim_new();
    (void)state;
    sim_arm(sim);
    sim_run(sim, -1, 20, 160);
    leg_disarm(&sim->leg);
    sim_run(sim, -1, 10, 160);
    assert_int_equal(sim->disarmed_count, 1);
    uint8_t payload[160];
    memset(payload, 0x3c, sizeof(payload));
    sim_packet(sim, &sim->next, payload, sizeof(payload));
    assert_memory_equal(sim->last + RTP_HEADER_BYTES, payload, sizeof(payload));
    int16_t loudest = 0;
    for (size_t i = 0; i < sim->heard_count - 160; i++)
        loudest = abs(sim->heard[i]) > loudest ? (int16_t)abs(sim->heard[i]) : loudest;
    assert_true(loudest < 200); /* the background reaches 60 */
    sim_free(sim);
}

static void late_copies_of_armed_packets_are_dropped_after_disarming(void **state)
{
    struct sim *sim = sim_new();
    uint8_t payload[160] = {0};
    (void)state;
    sim_arm(sim);
    sim_run(sim, -1, 20, 160);
    leg_disarm(&sim->leg);
    sim_run(sim, -1, 20, 160);
    assert_int_equal(sim->leg.state, LEG_PLAIN);
    size_t before = sim->out_count;
    uint16_t left_at = (uint16_t)(sim->leg.floor_sequence - 1);
    for (uint16_t back = 0; back < 30; back++) {
        struct rtp_header header = sim->next;
        header.sequence = (uint16_t)(left_at - back);
        header.timestamp = sim->next.timestamp - 160u * (uint16_t)(sim->next.sequence - header.sequence);
        sim_packet(sim, &header, payload, sizeof(payload));
    }
    assert_int_equal(sim->out_count, before);
    sim_run(sim, -1, 2, 160);
    assert_int_equal(sim->out_count, before + 2);
    sim_free(sim);
}

static void a_silent_leg_leaves_by_the_clock_and_an_endless_tone_at_the_bound(void **state)
{
    struct sim *sim = sim_new();
    (void)state;
    sim_arm(sim);
    sim_run(sim, 5, 5, 160);
    leg_disarm(&sim->leg);
    leg_tick(&sim->leg, sim->now);
    assert_int_equal(sim->disarmed_count, 0);
    sim_time(sim, 8 * (LEG_SILENT_MS + 1));
    leg_tick(&sim->leg, sim->now);
    assert_int_equal(sim->disarmed_count, 1);
    sim_arm(sim);
    leg_disarm(&sim->leg);
    size_t from = sim->out_count;
    sim_run(sim, 5, LEG_LEAVE_MS_MAX / 20 - 1, 160);
    assert_int_equal(sim->disarmed_count, 1);
    assert_true(sim_leak(sim, from, 5) < LEAK_DBM0);
    sim_run(sim, 5, 2, 160);
    assert_int_equal(sim->disarmed_count, 2);
    sim_free(sim);
}

static void nothing_of_the_sender_is_left_in_memory_after_disarming(void **state)
{
    struct sim *sim = sim_new();
    (void)state;
    sim_arm(sim);
    sim_run(sim, -1, 10, 160);
    sim_run(sim, 5, 5, 160);
    leg_disarm(&sim->leg);
    sim_run(sim, -1, 40, 160);
    assert_int_equal(sim->disarmed_count, 1);
    const uint8_t *bytes = (const uint8_t *)sim->mask;
    for (size_t i = 0; i < mask_size(); i++)
        assert_int_equal(bytes[i], 0);
    for (size_t i = 0; i < LIMIT_FRAME_SAMPLES; i++)
        assert_int_equal(sim->frame.in[i] | sim->frame.out[i], 0);
    for (size_t i = 0; i < DIGIT_MERGE_PRESSES; i++)
        assert_int_equal(sim->leg.merge.presses[i].key, 0);
    sim_free(sim);
}

static void on_hold_nothing_is_sent_and_keys_are_still_heard(void **state)
{
    struct sim *sim = sim_new();
    (void)state;
    sim_arm(sim);
    sim_run(sim, -1, 10, 160);
    leg_set_format(&sim->leg, &pcma, &pcma, false);
    sim_run(sim, -1, 10, 160);
    sim_run(sim, 8, 5, 160);
    sim_press_event(sim, 2, 5);
    sim_run(sim, -1, 10, 160);
    assert_int_equal(sim->out_count, 10);
    leg_set_format(&sim->leg, &pcma, &pcma, true);
    sim_run(sim, -1, 5, 160);
    assert_int_equal(sim->out_count, 15);
    assert_int_equal((uint16_t)(sim->out[10].header.sequence - sim->out[9].header.sequence), 1);
    assert_int_equal(sim->out[10].header.timestamp - sim->out[9].header.timestamp, 160 * 31);
    assert_int_equal(sim->digit_count, 2);
    sim_free(sim);
}

/* Loss, reordering, duplicates, events, pauses, new SSRCs and clocks, arming at random: the leg keeps its invariants. */
static void random_streams_keep_the_numbers_moving_forward(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 20; seed++) {
        struct sim *sim = sim_new();
        sim->dice = seed * 2654435761u;
        sim->lost_percent = sim_roll(sim, 20);
        sim_arm(sim);
        for (int i = 0; i < 400; i++) {
            switch (sim_roll(sim, 12)) {
            case 0:
                sim_press_event(sim, (uint8_t)sim_roll(sim, 256), 1 + sim_roll(sim, 8));
                break;
            case 1:
                sim->next.timestamp += sim_roll(sim, 30000);
                break;
            case 2:
                sim->next.ssrc++;
                sim->next.sequence = (uint16_t)sim_roll(sim, 65536);
                sim->next.timestamp = sim_roll(sim, 65536) << 16;
                break;
            case 3:
                sim->next.timestamp -= sim_roll(sim, 30000);
                break;
            case 4:
                sim->next.sequence = (uint16_t)(sim->next.sequence + sim_roll(sim, 200));
                break;
            default:
                sim_audio(sim, (int)sim_roll(sim, 17) - 1, 1 + sim_roll(sim, LIMIT_FRAME_SAMPLES));
            }
        }
        assert_int_equal(sim->event_count, 0);
        for (size_t i = 1; i < sim->out_count; i++)
            assert_true(rtp_sequence_diff(sim->out[i - 1].header.sequence, sim->out[i].header.sequence) > 0);
        sim_free(sim);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_passes_payload_bit_exact_and_strips_csrc_extension_and_padding),
        cmocka_unit_test(plain_keeps_loss_and_reorder_as_they_are),
        cmocka_unit_test(plain_forwards_events_with_the_far_sides_payload_type),
        cmocka_unit_test(codecs_that_differ_are_transcoded_plain_and_armed),
        cmocka_unit_test(a_change_of_ssrc_is_one_continuous_stream_to_the_far_side),
        cmocka_unit_test(packets_of_the_ssrc_before_do_not_interleave),
        cmocka_unit_test(sequence_and_timestamp_wrap_without_a_seam),
        cmocka_unit_test(armed_leg_leaks_no_key_and_reports_each_once_at_every_ptime),
        cmocka_unit_test(with_masking_off_the_same_check_finds_the_leak),
        cmocka_unit_test(ten_minutes_with_200_keys_are_heard_once_each_and_leak_nothing),
        cmocka_unit_test(a_key_that_passes_the_mask_mutes_the_leg_before_its_second_packet_leaves),
        cmocka_unit_test(a_muted_leg_is_whole_again_when_it_was_disarmed),
        cmocka_unit_test(an_event_that_would_leave_mutes_the_leg_and_does_not),
        cmocka_unit_test(the_watch_hears_through_loss),
        cmocka_unit_test(the_residual_is_that_of_what_was_delivered),
        cmocka_unit_test(nothing_is_left_in_the_watch_after_disarming),
        cmocka_unit_test(ptime_may_change_in_the_middle_of_a_key),
        cmocka_unit_test(loss_is_mirrored_as_loss_and_leaks_nothing),
        cmocka_unit_test(reordered_and_doubled_packets_neither_leak_nor_repeat_numbers),
        cmocka_unit_test(a_pause_of_the_sender_flushes_nothing_unmasked),
        cmocka_unit_test(unknown_payload_types_do_not_pass_an_armed_leg),
        cmocka_unit_test(events_are_removed_and_their_time_is_filled),
        cmocka_unit_test(events_at_50_ms_leave_no_hole_either),
        cmocka_unit_test(events_are_counted_once_under_loss),
        cmocka_unit_test(an_event_that_began_before_arming_is_removed_but_is_no_digit),
        cmocka_unit_test(late_ends_of_a_removed_event_stay_out_after_disarming),
        cmocka_unit_test(tone_event_and_info_of_one_press_are_one_digit_in_all_combinations),
        cmocka_unit_test(arming_and_disarming_fifty_times_keeps_the_stream_whole),
        cmocka_unit_test(leaving_fades_without_a_click_and_ends_bit_exact),
        cmocka_unit_test(late_copies_of_armed_packets_are_dropped_after_disarming),
        cmocka_unit_test(a_silent_leg_leaves_by_the_clock_and_an_endless_tone_at_the_bound),
        cmocka_unit_test(nothing_of_the_sender_is_left_in_memory_after_disarming),
        cmocka_unit_test(on_hold_nothing_is_sent_and_keys_are_still_heard),
        cmocka_unit_test(random_streams_keep_the_numbers_moving_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
