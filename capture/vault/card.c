#include "capture/vault/card.h"

#define L(n)      (1U << (n))
#define L16_TO_19 (L(16) | L(17) | L(18) | L(19))
#define L12_TO_19 (L(12) | L(13) | L(14) | L(15) | L16_TO_19)

#define BIN_DIGITS 8

/* The special before the general: the first range that holds the prefix is the card's. */
static const struct card_range ranges[] = {
    {34000000, 34999999, BRAND_AMEX, 15, false, L(15)},
    {37000000, 37999999, BRAND_AMEX, 15, false, L(15)},
    {22210000, 27209999, BRAND_MASTERCARD, 16, false, L(16)},
    {51000000, 55999999, BRAND_MASTERCARD, 16, false, L(16)},
    {40000000, 49999999, BRAND_VISA, 16, false, L(13) | L(16) | L(19)},
    {60110000, 60119999, BRAND_DISCOVER, 16, false, L16_TO_19},
    {64400000, 64999999, BRAND_DISCOVER, 16, false, L16_TO_19},
    {65000000, 65999999, BRAND_DISCOVER, 16, false, L16_TO_19},
    {35280000, 35899999, BRAND_JCB, 16, false, L16_TO_19},
    {30000000, 30599999, BRAND_DINERS, 14, true, L(14) | L16_TO_19},
    {30950000, 30959999, BRAND_DINERS, 14, true, L(14) | L16_TO_19},
    {36000000, 36999999, BRAND_DINERS, 14, true, L(14) | L(15) | L16_TO_19},
    {38000000, 39999999, BRAND_DINERS, 14, true, L(14) | L16_TO_19},
    {62000000, 62999999, BRAND_UNIONPAY, 0, true, L16_TO_19},
    {81000000, 81719999, BRAND_UNIONPAY, 0, true, L16_TO_19},
    {50000000, 50999999, BRAND_MAESTRO, 0, true, L12_TO_19},
    {56000000, 58999999, BRAND_MAESTRO, 0, true, L12_TO_19},
    {63040000, 63049999, BRAND_MAESTRO, 0, true, L12_TO_19},
    {63900000, 63909999, BRAND_MAESTRO, 0, true, L12_TO_19},
    {67000000, 67999999, BRAND_MAESTRO, 0, true, L12_TO_19},
};
#define RANGE_COUNT (sizeof(ranges) / sizeof(ranges[0]))

/* The first and last eight-digit number that begin with these digits. */
static void prefix_interval(const uint8_t *digits, size_t count, uint32_t *first, uint32_t *last)
{
    *first = 0;
    *last = 0;
    for (size_t i = 0; i < BIN_DIGITS; i++) {
        *first = *first * 10 + (i < count ? digits[i] : 0);
        *last = *last * 10 + (i < count ? digits[i] : 9);
    }
}

const struct card_range *card_range_find(const uint8_t *digits, size_t count)
{
    uint32_t first, last;
    if (count == 0)
        return NULL;
    prefix_interval(digits, count, &first, &last);
    for (size_t i = 0; i < RANGE_COUNT; i++) {
        if (last < ranges[i].first || first > ranges[i].last)
            continue;
        bool is_inside = first >= ranges[i].first && last <= ranges[i].last;
        return is_inside ? &ranges[i] : NULL;
    }
    return NULL;
}

enum card_brand card_brand_find(const uint8_t *digits, size_t count)
{
    const struct card_range *range = card_range_find(digits, count);
    return range ? (enum card_brand)range->brand : BRAND_UNKNOWN;
}

bool card_length_is_legal(const struct card_range *range, size_t count)
{
    uint32_t lengths = range ? range->lengths : L12_TO_19;
    return count <= LIMIT_PAN_DIGITS && (lengths >> count & 1);
}

size_t card_length_longest(const struct card_range *range)
{
    size_t longest = LIMIT_PAN_DIGITS;
    while (!card_length_is_legal(range, longest))
        longest--;
    return longest;
}

size_t card_cvv_length(enum card_brand brand)
{
    if (brand == BRAND_UNKNOWN)
        return 0;
    return brand == BRAND_AMEX ? 4 : 3;
}

#define EXPIRY_YEARS_AHEAD 20
#define LAST_ZONE_S        (12 * 3600) /* the end of a month comes last in UTC-12 */

#define DAYS_TO_2000 10957 /* from 1970-01-01 */

static bool is_leap(int year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Counted here: the C library's way reads a time zone file on first use, and the vault opens no file. */
static int month_since_2000(struct wall_time now)
{
    static const uint8_t lengths[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t days = (now.ns / NS_PER_S - LAST_ZONE_S) / 86400 - DAYS_TO_2000;
    int year = 2000;
    int month = 0;
    while (days >= 365 + is_leap(year)) {
        days -= 365 + is_leap(year);
        year++;
    }
    while (days >= lengths[month] + (month == 1 && is_leap(year))) {
        days -= lengths[month] + (month == 1 && is_leap(year));
        month++;
    }
    return (year - 2000) * 12 + month;
}

enum capture_problem card_expiry_check(const uint8_t *digits, struct wall_time now)
{
    int month = digits[0] * 10 + digits[1];
    int year = digits[2] * 10 + digits[3];
    if (month < 1 || month > 12)
        return PROBLEM_EXPIRY_INVALID;
    int months_left = year * 12 + month - 1 - month_since_2000(now);
    if (months_left < 0)
        return PROBLEM_CARD_EXPIRED;
    return months_left > EXPIRY_YEARS_AHEAD * 12 ? PROBLEM_EXPIRY_INVALID : PROBLEM_NONE;
}

const char *card_brand_name(enum card_brand brand)
{
    static const char *const names[BRAND_COUNT] = {"unknown", "visa",   "mastercard", "amex",   "discover",
                                                   "jcb",     "diners", "unionpay",   "maestro"};
    return (unsigned)brand < BRAND_COUNT ? names[brand] : "unknown";
}
