/* The guard finds a card it was shown, however a reference hides it, and nothing else. */
#include "gateway/echo_guard.h"
#include "gateway/wipe_heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define CARD "4000056655665556"

static struct echo_guard *guard;
static struct mono_time now;

static int open_guard(void **state)
{
    (void)state;
    now = mono_now();
    return echo_guard_new(&guard, now);
}

static int close_guard(void **state)
{
    (void)state;
    echo_guard_free(guard);
    return 0;
}

static enum err remember(const char *number)
{
    uint8_t digits[32];
    for (size_t i = 0; number[i]; i++)
        digits[i] = (uint8_t)(number[i] - '0');
    return echo_guard_remember(guard, now, digits, strlen(number));
}

static void a_card_is_found_wherever_it_hides(void **state)
{
    (void)state;
    static const char *const echoes[] = {CARD,
                                         "pm_" CARD,
                                         CARD "_x",
                                         "4000-0566-5566-5556",
                                         "4-0-0-0-0-5_6_6-5--5-6-6-5-5-5-6",
                                         "99" CARD,
                                         CARD "0123456789012345",
                                         "https://pay.example.com/4000_0566_5566_5556?x=1",
                                         "abc123def" CARD};
    for (size_t i = 0; i < sizeof(echoes) / sizeof(echoes[0]); i++)
        assert_false(echo_guard_finds(guard, now, echoes[i]));
    assert_int_equal(remember(CARD), OK);
    for (size_t i = 0; i < sizeof(echoes) / sizeof(echoes[0]); i++)
        assert_true(echo_guard_finds(guard, now, echoes[i]));
}

static void every_length_of_card_is_found_beside_the_others(void **state)
{
    (void)state;
    static const char digits[] = "5018934771206683945";
    for (size_t length = ECHO_DIGITS_MIN; length < sizeof(digits); length++) {
        char number[32], text[64];
        snprintf(number, sizeof(number), "%.*s", (int)length, digits + (sizeof(digits) - 1 - length));
        snprintf(text, sizeof(text), "77%s77", number);
        assert_int_equal(remember(number), OK);
        assert_true(echo_guard_finds(guard, now, text));
    }
    assert_int_equal(remember("40000566556"), ERR_RANGE);
    assert_int_equal(remember("40000566556655561234"), ERR_RANGE);
}

static void what_is_no_card_passes(void **state)
{
    (void)state;
    assert_int_equal(remember(CARD), OK);
    assert_false(echo_guard_finds(guard, now, ""));
    assert_false(echo_guard_finds(guard, now, "400005665566555"));   /* one short */
    assert_false(echo_guard_finds(guard, now, "4000056655665557"));  /* another */
    assert_false(echo_guard_finds(guard, now, "6555665566500004"));  /* backwards */
    assert_false(echo_guard_finds(guard, now, "40000566x55665556")); /* letters part it */
    unsigned found = 0;
    for (uint64_t i = 0; i < 2000; i++) {
        char text[64];
        snprintf(text, sizeof(text), "%022llu", (unsigned long long)(i * 0x9e3779b97f4a7c15ULL));
        found += echo_guard_finds(guard, now, text);
    }
    assert_int_equal(found, 0);
}

static void a_card_is_forgotten_after_two_generations_and_not_before_one(void **state)
{
    (void)state;
    assert_int_equal(remember(CARD), OK);
    now = mono_add_ms(now, ECHO_GENERATION_MS);
    assert_int_equal(remember("378282246310005"), OK);
    assert_true(echo_guard_finds(guard, now, CARD));
    now = mono_add_ms(now, ECHO_GENERATION_MS);
    assert_false(echo_guard_finds(guard, now, CARD));
    assert_true(echo_guard_finds(guard, now, "378282246310005"));
    now = mono_add_ms(now, 2LL * ECHO_GENERATION_MS); /* nobody came for two: both are gone */
    assert_false(echo_guard_finds(guard, now, "378282246310005"));
}

static void thousands_fit_and_the_last_is_always_there(void **state)
{
    (void)state;
    char number[32];
    unsigned kept = 0;
    for (unsigned long long i = 0; i < 3000; i++) {
        snprintf(number, sizeof(number), "%016llu", 4000000000000000ULL + i * 7919);
        assert_int_equal(remember(number), OK);
        assert_true(echo_guard_finds(guard, now, number));
    }
    for (unsigned long long i = 0; i < 3000; i++) {
        snprintf(number, sizeof(number), "%016llu", 4000000000000000ULL + i * 7919);
        kept += echo_guard_finds(guard, now, number);
    }
    assert_true(kept >= 2950);
}

static void no_digit_is_kept(void **state)
{
    (void)state;
    uint8_t digits[16];
    for (size_t i = 0; i < 16; i++)
        digits[i] = (uint8_t)(CARD[i] - '0');
    assert_int_equal(echo_guard_remember(guard, now, digits, 16), OK);
    assert_int_equal(wipe_heap_count_pattern(CARD, 16), 0);
    assert_int_equal(wipe_heap_count_pattern(digits, 16), 0);
    void *planted = wipe_heap_malloc(16);
    memcpy(planted, digits, 16);
    assert_int_equal(wipe_heap_count_pattern(digits, 16), 1);
    wipe_heap_free(planted);
}

static void without_memory_there_is_no_guard(void **state)
{
    (void)state;
    struct echo_guard *other = NULL;
    wipe_heap_fail_after(0);
    assert_int_equal(echo_guard_new(&other, now), ERR_MEMORY);
    wipe_heap_fail_after(-1);
    assert_null(other);
}

int main(void)
{
#define WITH_GUARD(test) cmocka_unit_test_setup_teardown(test, open_guard, close_guard)
    const struct CMUnitTest tests[] = {
        WITH_GUARD(a_card_is_found_wherever_it_hides),
        WITH_GUARD(every_length_of_card_is_found_beside_the_others),
        WITH_GUARD(what_is_no_card_passes),
        WITH_GUARD(a_card_is_forgotten_after_two_generations_and_not_before_one),
        WITH_GUARD(thousands_fit_and_the_last_is_always_there),
        WITH_GUARD(no_digit_is_kept),
        WITH_GUARD(without_memory_there_is_no_guard),
    };
    if (wipe_heap_install() != OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
