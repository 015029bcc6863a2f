/* When sockets are looked at: few reads a packet, no packet left lying, the phase followed both ways. */
#include "proxy/media/arrival.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define TICK_NS   (5 * NS_PER_MS)
#define PACKET_NS (20 * NS_PER_MS)

/* A socket with packets at given times, looked at as the worker does. */
struct line {
    struct arrival arrival;
    const int64_t *at_ns; /* of each packet, in order */
    size_t count, taken;
    unsigned reads;
    int64_t longest_wait_ns; /* from arrival to being read, after the first 50 packets */
};

static void tick(struct line *line, int64_t now_ns)
{
    struct mono_time now = {now_ns};
    if (!arrival_is_due(&line->arrival, now))
        return;
    for (;;) {
        line->reads++;
        if (line->taken == line->count || line->at_ns[line->taken] > now_ns) {
            arrival_empty(&line->arrival, now, TICK_NS);
            return;
        }
        int64_t wait = now_ns - line->at_ns[line->taken];
        if (line->taken++ >= 50 && wait > line->longest_wait_ns)
            line->longest_wait_ns = wait;
        if (!arrival_got(&line->arrival, now, PACKET_NS, TICK_NS))
            return;
    }
}

static void run(struct line *line, const int64_t *at_ns, size_t count)
{
    *line = (struct line){.at_ns = at_ns, .count = count};
    arrival_start(&line->arrival);
    for (int64_t now = NS_PER_S; line->taken < count && now < at_ns[count - 1] + NS_PER_S; now += TICK_NS)
        tick(line, now + now / TICK_NS % 7 * 10000); /* ticks wake a little late */
    assert_int_equal(line->taken, count);
}

enum { COUNT = 2000 };
static int64_t packets[COUNT];

static void a_steady_stream_costs_little_more_than_one_read_a_packet(void **state)
{
    struct line line;
    (void)state;
    for (int64_t phase = 0; phase < 20; phase++) {
        for (int64_t i = 0; i < COUNT; i++)
            packets[i] = NS_PER_S + phase * NS_PER_MS + 500000 + i * PACKET_NS;
        run(&line, packets, COUNT);
        assert_true(line.reads < COUNT * 5 / 4);
        assert_true(line.longest_wait_ns <= 2 * TICK_NS);
    }
}

static void drifting_clocks_and_jitter_are_followed(void **state)
{
    struct line line;
    uint32_t dice = 1;
    (void)state;
    for (int drift_ppm = -400; drift_ppm <= 400; drift_ppm += 200) {
        for (int64_t i = 0; i < COUNT; i++) {
            dice = dice * 1103515245u + 12345u;
            packets[i] = 2 * NS_PER_S + i * PACKET_NS + i * PACKET_NS / 1000000 * drift_ppm +
                         (int64_t)(dice >> 16) % 3 * NS_PER_MS;
        }
        run(&line, packets, COUNT);
        assert_true(line.reads < COUNT * 2);
        assert_true(line.longest_wait_ns <= 3 * TICK_NS);
    }
}

static void a_burst_after_a_stall_is_read_at_once(void **state)
{
    struct line line;
    (void)state;
    for (int64_t stalled = 2; stalled < 60; stalled += 3) {
        for (int64_t i = 0; i < COUNT; i++) {
            packets[i] = NS_PER_S + i * PACKET_NS;
            if (i >= 1000 && i < 1000 + stalled)
                packets[i] = NS_PER_S + (1000 + stalled) * PACKET_NS;
        }
        run(&line, packets, COUNT);
        bool was_silent = stalled * PACKET_NS > ARRIVAL_RESTART_MS * NS_PER_MS;
        assert_true(line.longest_wait_ns <= 2 * TICK_NS + was_silent * ARRIVAL_SILENT_MS * NS_PER_MS);
    }
}

static void a_stream_that_moves_earlier_or_later_is_found_again(void **state)
{
    struct line line;
    (void)state;
    for (int64_t shift = -15; shift <= 15; shift += 5) {
        for (int64_t i = 0; i < COUNT; i++)
            packets[i] = NS_PER_S + i * PACKET_NS + (i >= 500 ? shift * NS_PER_MS : 0);
        run(&line, packets, 510);
        line.longest_wait_ns = 0;
        run(&line, packets, COUNT);
        /* Early packets wait until probes have found the new phase, a tick each: never more than a packet time. */
        assert_true(line.longest_wait_ns <= PACKET_NS);
        assert_true(line.reads < COUNT * 5 / 4);
    }
}

static void a_stream_faster_than_its_clock_does_not_pile_up(void **state)
{
    struct line line;
    (void)state;
    for (int64_t i = 0; i < COUNT; i++)
        packets[i] = NS_PER_S + i * PACKET_NS / 2;
    run(&line, packets, COUNT);
    assert_true(line.longest_wait_ns <= (ARRIVAL_PROBE_PACKETS + 2) * PACKET_NS);
}

static void silence_is_looked_at_now_and_then_and_nobody_never(void **state)
{
    struct arrival arrival;
    unsigned looks = 0;
    (void)state;
    arrival_start(&arrival);
    for (int64_t now = NS_PER_S; now < 2 * NS_PER_S; now += TICK_NS) {
        if (arrival_is_due(&arrival, (struct mono_time){now})) {
            arrival_empty(&arrival, (struct mono_time){now}, TICK_NS);
            looks++;
        }
    }
    assert_int_equal(looks, 1000 / ARRIVAL_SILENT_MS);
    arrival_stop(&arrival);
    assert_false(arrival_is_due(&arrival, (struct mono_time){INT64_MAX - 1}));
}

static void the_phase_is_found_within_a_few_packets(void **state)
{
    struct line line;
    (void)state;
    for (int64_t phase = 0; phase < 20; phase++) {
        for (int64_t i = 0; i < 90; i++)
            packets[i] = 2 * NS_PER_S + phase * NS_PER_MS + i * PACKET_NS;
        run(&line, packets, 90); /* waits are taken from packet 50 on */
        assert_true(line.longest_wait_ns <= TICK_NS + NS_PER_MS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_steady_stream_costs_little_more_than_one_read_a_packet),
        cmocka_unit_test(drifting_clocks_and_jitter_are_followed),
        cmocka_unit_test(a_burst_after_a_stall_is_read_at_once),
        cmocka_unit_test(a_stream_that_moves_earlier_or_later_is_found_again),
        cmocka_unit_test(a_stream_faster_than_its_clock_does_not_pile_up),
        cmocka_unit_test(silence_is_looked_at_now_and_then_and_nobody_never),
        cmocka_unit_test(the_phase_is_found_within_a_few_packets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
