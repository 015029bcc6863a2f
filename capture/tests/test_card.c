/* Brands, lengths, check digits and expiry, against tables. The numbers are the brands' published test numbers. */
#include "base/card_shape.h"
#include "capture/vault/card.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static size_t digits_of(const char *text, uint8_t *digits)
{
    size_t count = strlen(text);
    for (size_t i = 0; i < count; i++)
        digits[i] = (uint8_t)(text[i] - '0');
    return count;
}

static void a_prefix_tells_the_brand_as_soon_as_it_can(void **unused)
{
    (void)unused;
    static const struct {
        const char *prefix;
        enum card_brand brand;
    } rows[] = {
        {"", BRAND_UNKNOWN},
        {"4", BRAND_VISA},
        {"42424242", BRAND_VISA},
        {"5", BRAND_UNKNOWN},
        {"50", BRAND_MAESTRO},
        {"51", BRAND_MASTERCARD},
        {"55", BRAND_MASTERCARD},
        {"56", BRAND_MAESTRO},
        {"58", BRAND_MAESTRO},
        {"59", BRAND_UNKNOWN},
        {"2", BRAND_UNKNOWN},
        {"22", BRAND_UNKNOWN},
        {"222", BRAND_UNKNOWN},
        {"2220", BRAND_UNKNOWN},
        {"2221", BRAND_MASTERCARD},
        {"22209999", BRAND_UNKNOWN},
        {"22210000", BRAND_MASTERCARD},
        {"223", BRAND_MASTERCARD},
        {"27", BRAND_UNKNOWN},
        {"2720", BRAND_MASTERCARD},
        {"27209999", BRAND_MASTERCARD},
        {"27210000", BRAND_UNKNOWN},
        {"2721", BRAND_UNKNOWN},
        {"3", BRAND_UNKNOWN},
        {"34", BRAND_AMEX},
        {"37", BRAND_AMEX},
        {"35", BRAND_UNKNOWN},
        {"3527", BRAND_UNKNOWN},
        {"3528", BRAND_JCB},
        {"3589", BRAND_JCB},
        {"359", BRAND_UNKNOWN},
        {"300", BRAND_DINERS},
        {"305", BRAND_DINERS},
        {"306", BRAND_UNKNOWN},
        {"3095", BRAND_DINERS},
        {"36", BRAND_DINERS},
        {"38", BRAND_DINERS},
        {"39", BRAND_DINERS},
        {"6", BRAND_UNKNOWN},
        {"6011", BRAND_DISCOVER},
        {"643", BRAND_UNKNOWN},
        {"644", BRAND_DISCOVER},
        {"649", BRAND_DISCOVER},
        {"65", BRAND_DISCOVER},
        {"62", BRAND_UNIONPAY},
        {"81", BRAND_UNKNOWN},
        {"810", BRAND_UNIONPAY},
        {"8171", BRAND_UNIONPAY},
        {"8172", BRAND_UNKNOWN},
        {"6304", BRAND_MAESTRO},
        {"6390", BRAND_MAESTRO},
        {"67", BRAND_MAESTRO},
        {"9", BRAND_UNKNOWN},
        {"1", BRAND_UNKNOWN},
        {"0", BRAND_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t digits[LIMIT_PAN_DIGITS];
        size_t count = digits_of(rows[i].prefix, digits);
        enum card_brand brand = card_brand_find(digits, count);
        if (brand != rows[i].brand)
            fail_msg("prefix %s: %s, not %s", rows[i].prefix, card_brand_name(brand),
                     card_brand_name(rows[i].brand));
    }
}

static const struct {
    const char *number;
    enum card_brand brand;
} test_numbers[] = {
    {"4242424242424242", BRAND_VISA},       {"4000000000000002", BRAND_VISA},
    {"4222222222222", BRAND_VISA},          {"5555555555554444", BRAND_MASTERCARD},
    {"2223003122003222", BRAND_MASTERCARD}, {"5105105105105100", BRAND_MASTERCARD},
    {"378282246310005", BRAND_AMEX},        {"371449635398431", BRAND_AMEX},
    {"343434343434343", BRAND_AMEX},        {"6011111111111117", BRAND_DISCOVER},
    {"6011000990139424", BRAND_DISCOVER},   {"3566002020360505", BRAND_JCB},
    {"3530111333300000", BRAND_JCB},        {"30569309025904", BRAND_DINERS},
    {"36227206271667", BRAND_DINERS},       {"3056930009020004", BRAND_DINERS},
    {"6200000000000005", BRAND_UNIONPAY},   {"6205500000000000004", BRAND_UNIONPAY},
    {"6759649826438453", BRAND_MAESTRO},    {"6799990100000000019", BRAND_MAESTRO},
};
#define TEST_NUMBERS (sizeof(test_numbers) / sizeof(test_numbers[0]))

static void published_test_numbers_are_right_in_brand_length_and_luhn(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < TEST_NUMBERS; i++) {
        uint8_t digits[LIMIT_PAN_DIGITS];
        size_t count = digits_of(test_numbers[i].number, digits);
        assert_int_equal(card_brand_find(digits, count), test_numbers[i].brand);
        assert_true(card_length_is_legal(card_range_find(digits, count), count));
        if (!card_shape_check_digit_fits(digits, count))
            fail_msg("check digit of row %zu", i);
    }
}

static void luhn_finds_every_single_wrong_digit(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < TEST_NUMBERS; i++) {
        uint8_t digits[LIMIT_PAN_DIGITS];
        size_t count = digits_of(test_numbers[i].number, digits);
        for (size_t at = 0; at < count; at++) {
            uint8_t right = digits[at];
            for (uint8_t wrong = 0; wrong <= 9; wrong++) {
                digits[at] = wrong;
                assert_int_equal(card_shape_check_digit_fits(digits, count), wrong == right);
            }
            digits[at] = right;
        }
    }
    assert_false(card_shape_check_digit_fits(NULL, 0));
}

static void lengths_are_per_brand(void **unused)
{
    (void)unused;
    static const struct {
        const char *prefix;
        const char *lengths;
        size_t longest, usual;
    } rows[] = {
        {"4", "13 16 19", 19, 16},
        {"51", "16", 16, 16},
        {"37", "15", 15, 15},
        {"6011", "16 17 18 19", 19, 16},
        {"36", "14 15 16 17 18 19", 19, 14},
        {"62", "16 17 18 19", 19, 0},
        {"67", "12 13 14 15 16 17 18 19", 19, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t digits[LIMIT_PAN_DIGITS];
        const struct card_range *range = card_range_find(digits, digits_of(rows[i].prefix, digits));
        assert_non_null(range);
        assert_int_equal(card_length_longest(range), rows[i].longest);
        assert_int_equal(range->usual_length, rows[i].usual);
        for (size_t length = 0; length <= 32; length++) {
            char text[8];
            snprintf(text, sizeof(text), "%zu", length);
            bool is_listed = length >= 10 && strstr(rows[i].lengths, text) != NULL;
            assert_int_equal(card_length_is_legal(range, length), is_listed);
        }
    }
    assert_true(card_length_is_legal(NULL, 12));
    assert_false(card_length_is_legal(NULL, 11));
    assert_false(card_length_is_legal(NULL, 20));
    assert_int_equal(card_cvv_length(BRAND_AMEX), 4);
    assert_int_equal(card_cvv_length(BRAND_VISA), 3);
    assert_int_equal(card_cvv_length(BRAND_UNKNOWN), 0);
}

static struct wall_time wall_at(int year, int month, int day, int hour)
{
    struct tm when = {.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day, .tm_hour = hour};
    return (struct wall_time){(int64_t)timegm(&when) * NS_PER_S};
}

static void a_card_is_good_to_the_end_of_its_month(void **unused)
{
    (void)unused;
    const struct {
        const char *expiry;
        struct wall_time now;
        enum capture_problem problem;
    } rows[] = {
        {"1126", wall_at(2026, 11, 30, 23), PROBLEM_NONE},
        {"1126", wall_at(2026, 12, 1, 11), PROBLEM_NONE}, /* still November in UTC-12 */
        {"1126", wall_at(2026, 12, 1, 12), PROBLEM_CARD_EXPIRED},
        {"1026", wall_at(2026, 11, 20, 0), PROBLEM_CARD_EXPIRED}, /* same year, earlier month */
        {"1225", wall_at(2026, 1, 20, 0), PROBLEM_CARD_EXPIRED},
        {"0127", wall_at(2026, 12, 31, 0), PROBLEM_NONE},
        {"0026", wall_at(2026, 1, 1, 0), PROBLEM_EXPIRY_INVALID},
        {"1327", wall_at(2026, 1, 1, 0), PROBLEM_EXPIRY_INVALID},
        {"9927", wall_at(2026, 1, 1, 0), PROBLEM_EXPIRY_INVALID},
        {"1146", wall_at(2026, 11, 20, 0), PROBLEM_NONE},
        {"1246", wall_at(2026, 11, 20, 0), PROBLEM_EXPIRY_INVALID},
        {"1299", wall_at(2026, 11, 20, 0), PROBLEM_EXPIRY_INVALID},
        {"0100", wall_at(2026, 11, 20, 0), PROBLEM_CARD_EXPIRED},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t digits[8];
        digits_of(rows[i].expiry, digits);
        if (card_expiry_check(digits, rows[i].now) != rows[i].problem)
            fail_msg("row %zu: %s", i, rows[i].expiry);
    }
}

/* Every hour of sixty years, against the C library. */
static void the_month_is_the_calendars(void **unused)
{
    (void)unused;
    for (int64_t hour = 0; hour < 60LL * 366 * 24; hour += 7) {
        time_t seconds = 946684800 + hour * 3600;
        time_t shifted = seconds - 12 * 3600;
        struct tm today;
        assert_non_null(gmtime_r(&shifted, &today));
        if (today.tm_year < 100)
            continue;
        int month = today.tm_mon + 1;
        int year = today.tm_year % 100;
        uint8_t digits[4] = {(uint8_t)(month / 10), (uint8_t)(month % 10), (uint8_t)(year / 10),
                             (uint8_t)(year % 10)};
        struct wall_time now = {(int64_t)seconds * NS_PER_S};
        assert_int_equal(card_expiry_check(digits, now), PROBLEM_NONE);
        int before = month == 1 ? 12 : month - 1;
        year = month == 1 ? year - 1 : year;
        if (year < 0)
            continue;
        uint8_t earlier[4] = {(uint8_t)(before / 10), (uint8_t)(before % 10), (uint8_t)(year / 10),
                              (uint8_t)(year % 10)};
        assert_int_equal(card_expiry_check(earlier, now), PROBLEM_CARD_EXPIRED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prefix_tells_the_brand_as_soon_as_it_can),
        cmocka_unit_test(published_test_numbers_are_right_in_brand_length_and_luhn),
        cmocka_unit_test(luhn_finds_every_single_wrong_digit),
        cmocka_unit_test(lengths_are_per_brand),
        cmocka_unit_test(a_card_is_good_to_the_end_of_its_month),
        cmocka_unit_test(the_month_is_the_calendars),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
