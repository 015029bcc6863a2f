/* Telephone-events: one start and one end per press, whatever is lost, doubled or late. */
#include "proxy/media/telephone_event.h"
#include "proxy/media/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { NONE = TELEPHONE_EVENT_NONE, START, END, WHOLE };

struct tally {
    unsigned starts, ends;
};

static enum telephone_event_step feed(struct telephone_event_receiver *receiver, uint8_t code, uint32_t at,
                                      uint16_t duration, bool is_end, struct tally *tally)
{
    struct telephone_event event = {.code = code, .is_end = is_end, .duration_8k = duration};
    enum telephone_event_step step = telephone_event_feed(receiver, &event, (struct rtp_time){at});
    tally->starts += step == TELEPHONE_EVENT_START || step == TELEPHONE_EVENT_WHOLE;
    tally->ends += step == TELEPHONE_EVENT_END || step == TELEPHONE_EVENT_WHOLE;
    return step;
}

/* A press of 5 updates and 3 ends; bit i of kept says whether packet i arrives. */
static void press(struct telephone_event_receiver *receiver, uint8_t code, uint32_t at, unsigned kept,
                  struct tally *tally)
{
    for (unsigned i = 0; i < 8; i++) {
        uint16_t duration = (uint16_t)(i < 5 ? 160 * (i + 1) : 800);
        if (kept >> i & 1)
            (void)feed(receiver, code, at, duration, i >= 5, tally);
    }
}

static void fields_are_read_at_every_length(void **state)
{
    (void)state;
    for (size_t length = 0; length <= 64; length++) {
        uint8_t *payload = malloc(length ? length : 1);
        struct telephone_event event;
        assert_non_null(payload);
        memset(payload, 0x8b, length);
        enum err err = telephone_event_read(&event, payload, length);
        assert_int_equal(err, length < 4 ? ERR_LENGTH : OK);
        if (!err) {
            assert_true(event.is_end);
            assert_int_equal(event.volume_dbm0, 0x0b);
            assert_int_equal(event.duration_8k, 0x8b8b);
        }
        free(payload);
    }
}

static void any_packet_of_a_press_is_enough_to_report_it_once(void **state)
{
    (void)state;
    for (unsigned kept = 1; kept < 256; kept++) {
        struct telephone_event_receiver receiver = {0};
        struct tally tally = {0};
        press(&receiver, 7, 5000, kept, &tally);
        assert_int_equal(tally.starts, 1);
        bool is_expired = telephone_event_expire(&receiver, (struct rtp_time){5000 + 800 + 1600});
        assert_int_equal(tally.ends + is_expired, 1);
        assert_int_equal(is_expired, kept >> 5 == 0);
        assert_false(telephone_event_expire(&receiver, (struct rtp_time){5000 + 800 + 3200}));
    }
}

static void the_same_key_again_is_a_new_press_also_right_behind(void **state)
{
    struct telephone_event_receiver receiver = {0};
    struct tally tally = {0};
    (void)state;
    for (uint32_t i = 0; i < 10; i++)
        press(&receiver, 4, 0xfffff000u + 800 * i, 0xff, &tally); /* across the wrap of time too */
    assert_int_equal(tally.starts, 10);
    assert_int_equal(tally.ends, 10);
}

static void a_new_event_ends_one_whose_ends_were_lost_and_late_packets_revive_nothing(void **state)
{
    struct telephone_event_receiver receiver = {0};
    struct tally tally = {0};
    (void)state;
    press(&receiver, 1, 1000, 0x1f, &tally);
    assert_int_equal(feed(&receiver, 2, 1800, 160, false, &tally), START);
    assert_int_equal(feed(&receiver, 1, 1000, 800, true, &tally), NONE);
    assert_true(receiver.is_on);
    assert_int_equal(receiver.code, 2);
    assert_int_equal(feed(&receiver, 2, 1800, 320, true, &tally), END);
    assert_int_equal(feed(&receiver, 2, 1800, 160, false, &tally), NONE);
    assert_false(receiver.is_on);
}

static void a_press_longer_than_its_field_goes_on_in_segments(void **state)
{
    struct telephone_event_receiver receiver = {0};
    struct tally tally = {0};
    (void)state;
    for (uint32_t segment = 0; segment < 3; segment++) {
        for (uint32_t duration = 400; duration < 0xffff; duration += 400)
            (void)feed(&receiver, 9, 100 + segment * 0xffff, (uint16_t)duration, false, &tally);
        (void)feed(&receiver, 9, 100 + segment * 0xffff, 0xffff, false, &tally);
    }
    assert_int_equal(feed(&receiver, 9, 100 + 3 * 0xffff, 400, true, &tally), END);
    assert_int_equal(tally.starts, 1);
    assert_int_equal(tally.ends, 1);
}

static void redundant_payloads_are_walked_at_every_length(void **state)
{
    static const uint8_t red[] = {0x80 | 8, 0, 0x02, 4, 0x80 | 101, 0, 0, 8, 8,  1,
                                  2,        3, 4,    5, 6,          7, 8, 9, 10, 11};
    (void)state;
    for (size_t length = 0; length <= sizeof(red); length++) {
        uint8_t *payload = malloc(length ? length : 1);
        assert_non_null(payload);
        memcpy(payload, red, length);
        assert_false(telephone_event_in_red(payload, length, 101)); /* the first block claims 516 bytes */
        if (length > 2)
            payload[2] = 0;
        assert_int_equal(telephone_event_in_red(payload, length, 101), length >= 9 + 12);
        if (length > 7)
            payload[7] = 2;
        assert_int_equal(telephone_event_in_red(payload, length, 101), length >= 9 + 6);
        assert_false(telephone_event_in_red(payload, length, 102));
        free(payload);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_read_at_every_length),
        cmocka_unit_test(any_packet_of_a_press_is_enough_to_report_it_once),
        cmocka_unit_test(the_same_key_again_is_a_new_press_also_right_behind),
        cmocka_unit_test(a_new_event_ends_one_whose_ends_were_lost_and_late_packets_revive_nothing),
        cmocka_unit_test(a_press_longer_than_its_field_goes_on_in_segments),
        cmocka_unit_test(redundant_payloads_are_walked_at_every_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
