/* What looks like a card number in a text of somebody else's, and what does not. */
#include "base/card_shape.h"

#include "base/tests/cmocka_all.h"

#include <string.h>

static const struct row {
    const char *text;
    bool within, alone;
} rows[] = {
    {"", false, false},
    {"4242424242424242", true, true},
    {"x4242424242424242y", true, true},
    {"x4242 4242 4242 4242y", true, true},
    {"pi_4242-4242-4242-4242", true, true},
    {"378282246310005", true, true},
    {"30569309025904", true, true},
    {"4222222222222", true, true},
    {"6304-0000-0000-0000-000", true, true},
    {"2223003122003222", true, true},
    /* Inside a longer number: seen where no long number is expected only. */
    {"1.4242424242424242", true, false},
    {"99994242424242424242", true, false},
    {"7010424242424242424242", true, false},
    /* Begins as no bank card does: a gateway's own number. */
    {"8825408195409504", true, false},
    {"9914242424242424", true, false},
    {"4222222222223", false, false},
    {"424242424242", false, false},
    {"42424242a42424242", false, false},
    {"pi_3QxTonegateDemo", false, false},
    {"pm_1Nv0FGQ9RKHgCVdK", false, false},
};

static void what_could_be_a_card_number_is_seen(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (card_shape_within(rows[i].text) != rows[i].within)
            fail_msg("%s: within", rows[i].text);
        if (card_shape_alone(rows[i].text) != rows[i].alone)
            fail_msg("%s: alone", rows[i].text);
    }
}

static void a_text_longer_than_is_looked_at_is_survived(void **state)
{
    char text[600];
    (void)state;
    memset(text, '0', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_true(card_shape_within(text));
    assert_false(card_shape_alone(text));
}

static void a_check_digit_fits_one_of_ten(void **state)
{
    unsigned fits = 0;
    (void)state;
    for (unsigned last = 0; last < 10; last++) {
        const uint8_t digits[] = {4, 2, 4, 2, 4, 2, 4, 2, 4, 2, 4, 2, 4, 2, 4, (uint8_t)last};
        if (card_shape_check_digit_fits(digits, sizeof(digits))) {
            assert_int_equal(last, 2);
            fits++;
        }
    }
    assert_int_equal(fits, 1);
    assert_false(card_shape_check_digit_fits(NULL, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_could_be_a_card_number_is_seen),
        cmocka_unit_test(a_text_longer_than_is_looked_at_is_survived),
        cmocka_unit_test(a_check_digit_fits_one_of_ten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
