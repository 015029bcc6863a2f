#include "base/card_shape.h"

#include "base/limits.h"

#include <string.h>

#define PAN_DIGITS_MIN 13
#define TEXT_DIGITS    256 /* more are not looked at; no text of ours is so long */
#define NO_DIGIT       99  /* ends a run */

bool card_shape_check_digit_fits(const uint8_t *digits, size_t count)
{
    unsigned sum = 0;
    for (size_t i = 0; i < count; i++) {
        unsigned digit = digits[count - 1 - i];
        unsigned doubled = digit * 2 > 9 ? digit * 2 - 9 : digit * 2;
        sum += i % 2 ? doubled : digit;
    }
    return count > 0 && sum % 10 == 0;
}

static size_t digits_of(const char *text, uint8_t digits[TEXT_DIGITS])
{
    size_t count = 0;
    for (; *text && count < TEXT_DIGITS; text++) {
        if (*text >= '0' && *text <= '9')
            digits[count++] = (uint8_t)(*text - '0');
        else if (!strchr(" -._", *text))
            digits[count++] = NO_DIGIT;
    }
    return count;
}

static size_t run_length(const uint8_t *digits, size_t count)
{
    size_t length = 0;
    while (length < count && digits[length] != NO_DIGIT)
        length++;
    return length;
}

bool card_shape_within(const char *text)
{
    uint8_t digits[TEXT_DIGITS];
    size_t count = digits_of(text, digits);
    for (size_t start = 0; start < count; start++) {
        size_t longest = run_length(digits + start, count - start);
        if (longest > LIMIT_PAN_DIGITS)
            longest = LIMIT_PAN_DIGITS;
        for (size_t length = PAN_DIGITS_MIN; length <= longest; length++) {
            if (card_shape_check_digit_fits(digits + start, length))
                return true;
        }
    }
    return false;
}

bool card_shape_alone(const char *text)
{
    uint8_t digits[TEXT_DIGITS];
    size_t count = digits_of(text, digits);
    for (size_t start = 0; start < count; start++) {
        size_t length = run_length(digits + start, count - start);
        if (length >= PAN_DIGITS_MIN && length <= LIMIT_PAN_DIGITS && digits[start] >= 2 &&
            digits[start] <= 6 && card_shape_check_digit_fits(digits + start, length))
            return true;
        start += length;
    }
    return false;
}
