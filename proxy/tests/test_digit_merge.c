/* Tone, event and INFO of one press are one digit; two presses are two. */
#include "proxy/media/digit_merge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct mono_time at_ms(int64_t ms)
{
    return mono_add_ms((struct mono_time){1000000 * NS_PER_MS}, ms);
}

struct notice {
    int64_t ms;
    enum digit_source way;
};

/* Notices of one key in order of time; how many were new. */
static unsigned count_new(struct notice *notices, size_t count)
{
    struct digit_merge merge = {0};
    unsigned fresh = 0;
    for (size_t i = 1; i < count; i++) {
        for (size_t k = i; k > 0 && notices[k].ms < notices[k - 1].ms; k--) {
            struct notice swapped = notices[k];
            notices[k] = notices[k - 1];
            notices[k - 1] = swapped;
        }
    }
    for (size_t i = 0; i < count; i++)
        fresh += digit_merge_notice(&merge, 5, notices[i].way, at_ms(notices[i].ms), 0);
    return fresh;
}

static void every_combination_order_and_delay_of_the_ways_is_one_digit(void **state)
{
    (void)state;
    for (unsigned ways = 1; ways < 8; ways++) {
        for (int64_t first = 0; first <= 300; first += 20) {
            for (int64_t second = 0; second <= 300; second += 20) {
                struct notice notices[3];
                size_t count = 0;
                const int64_t delays[] = {0, first, second};
                for (unsigned turn = 0; turn < 3; turn++) {
                    for (unsigned way = 0; way < 3; way++) {
                        if (ways >> way & 1)
                            notices[count++] =
                                (struct notice){delays[(way + turn) % 3], (enum digit_source)way};
                    }
                    assert_int_equal(count_new(notices, count), 1);
                    count = 0;
                }
            }
        }
    }
}

/* Fast keys, 100 ms apart: as many digits as presses, whatever the ways' delays against each other. */
static void repeats_of_a_key_are_digits_of_their_own(void **state)
{
    (void)state;
    for (unsigned ways = 1; ways < 8; ways++) {
        for (int64_t delay = 0; delay <= 280; delay += 20) {
            struct notice notices[3 * 10];
            size_t count = 0;
            for (int64_t press = 0; press < 10; press++) {
                for (unsigned way = 0; way < 3; way++) {
                    if (ways >> way & 1)
                        notices[count++] =
                            (struct notice){100 * press + delay * (way == 1) + delay / 2 * (way == 2),
                                            (enum digit_source)way};
                }
            }
            assert_int_equal(count_new(notices, count), 10);
        }
    }
}

static void a_way_that_misses_a_press_does_not_lose_it(void **state)
{
    (void)state;
    for (unsigned missed = 0; missed < 10; missed++) {
        for (unsigned misser = 0; misser < 2; misser++) {
            struct notice notices[20];
            size_t count = 0;
            for (unsigned press = 0; press < 10; press++) {
                for (unsigned way = 0; way < 2; way++) {
                    if (press != missed || way != misser)
                        notices[count++] = (struct notice){200 * press + 20 * way, (enum digit_source)way};
                }
            }
            assert_int_equal(count_new(notices, count), 10);
        }
    }
}

static void other_keys_and_later_times_are_never_merged(void **state)
{
    struct digit_merge merge = {0};
    (void)state;
    for (dtmf_key key = 0; key < DTMF_KEY_COUNT; key++)
        assert_true(digit_merge_notice(&merge, key, (enum digit_source)(key % 3), at_ms(key), 0));
    memset(&merge, 0, sizeof(merge));
    assert_true(digit_merge_notice(&merge, 1, DIGIT_TONE, at_ms(0), 0));
    assert_false(digit_merge_notice(&merge, 1, DIGIT_EVENT, at_ms(300), 0));
    assert_true(digit_merge_notice(&merge, 1, DIGIT_INFO, at_ms(601), 0));
}

static void info_at_the_release_of_a_long_press_is_the_same_press(void **state)
{
    struct digit_merge merge = {0};
    (void)state;
    assert_true(digit_merge_notice(&merge, 3, DIGIT_TONE, at_ms(0), 30));
    assert_false(digit_merge_notice(&merge, 3, DIGIT_INFO, at_ms(2000), 1980)); /* says how long */
    memset(&merge, 0, sizeof(merge));
    assert_true(digit_merge_notice(&merge, 3, DIGIT_TONE, at_ms(0), 30));
    digit_merge_extend(&merge, 3, DIGIT_TONE, at_ms(1900));
    assert_false(digit_merge_notice(&merge, 3, DIGIT_INFO, at_ms(2000), 0)); /* does not */
    memset(&merge, 0, sizeof(merge));
    assert_true(digit_merge_notice(&merge, 3, DIGIT_TONE, at_ms(0), 30));
    assert_true(digit_merge_notice(&merge, 3, DIGIT_INFO, at_ms(2000), 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_combination_order_and_delay_of_the_ways_is_one_digit),
        cmocka_unit_test(repeats_of_a_key_are_digits_of_their_own),
        cmocka_unit_test(a_way_that_misses_a_press_does_not_lose_it),
        cmocka_unit_test(other_keys_and_later_times_are_never_merged),
        cmocka_unit_test(info_at_the_release_of_a_long_press_is_the_same_press),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
