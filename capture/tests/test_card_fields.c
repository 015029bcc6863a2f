/* Keys into fields: what ends a field, what comes next, what is ignored, what is wiped. */
#include "base/secret.h"
#include "capture/vault/card.h"
#include "capture/vault/card_fields.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ALL_BRANDS 0xffffffffu

static const struct wall_time now = {1795000000LL * NS_PER_S}; /* November 2026 */

static int set_up(void **state)
{
    struct card_fields *fields = NULL;
    assert_int_equal(card_fields_new(&fields, ALL_BRANDS), OK);
    *state = fields;
    return 0;
}

static int tear_down(void **state)
{
    card_fields_free(*state);
    return 0;
}

/* Returns how many keys were ignored. */
static size_t key(struct card_fields *fields, const char *keys)
{
    size_t ignored = 0;
    for (const char *c = keys; *c; c++) {
        dtmf_key k = *c == '*'                ? DTMF_KEY_STAR
                     : *c == '#'              ? DTMF_KEY_POUND
                     : *c >= 'A' && *c <= 'D' ? (dtmf_key)(12 + *c - 'A')
                                              : (dtmf_key)(*c - '0');
        ignored += card_fields_key(fields, k, now) != OK;
    }
    return ignored;
}

static struct capture_field_view view(const struct card_fields *fields, enum card_field field)
{
    struct capture_field_view views[CARD_FIELDS];
    card_fields_view(fields, views);
    return views[field];
}

static void a_whole_card_is_keyed_without_a_single_pound(void **state)
{
    static const char *const cards[] = {"4242424242424242"
                                        "1228"
                                        "123",
                                        "378282246310005"
                                        "0130"
                                        "1234",
                                        "5555555555554444"
                                        "1126"
                                        "999",
                                        "30569309025904"
                                        "1127"
                                        "321"};
    for (size_t i = 0; i < sizeof(cards) / sizeof(cards[0]); i++) {
        struct card_fields *fields = *state;
        card_fields_wipe(fields);
        size_t length = strlen(cards[i]);
        for (size_t n = 0; n < length; n++) {
            assert_false(card_fields_are_full(fields));
            char one[2] = {cards[i][n], 0};
            assert_int_equal(key(fields, one), 0);
        }
        assert_true(card_fields_are_full(fields));
        assert_int_equal(card_fields_selected(fields), CARD_FIELD_NONE);
        assert_int_equal(card_fields_problem(fields), PROBLEM_NONE);
        assert_int_equal(key(fields, "12345"), 5); /* nowhere to put them */
        assert_true(card_fields_are_full(fields));
    }
}

static void the_message_holds_what_was_keyed(void **state)
{
    struct gateway_tokenise_msg message;
    memset(&message, 0, sizeof(message));
    assert_int_equal(card_fields_fill(*state, &message), ERR_ORDER);
    key(*state, "3782822463100050130"
                "1234");
    assert_int_equal(card_fields_fill(*state, &message), OK);
    static const uint8_t number[] = {3, 7, 8, 2, 8, 2, 2, 4, 6, 3, 1, 0, 0, 0, 5};
    assert_int_equal(message.number_length, 15);
    assert_memory_equal(message.number, number, 15);
    assert_int_equal(message.expiry_month, 1);
    assert_int_equal(message.expiry_year, 30);
    assert_int_equal(message.cvv_length, 4);
    assert_memory_equal(message.cvv, ((uint8_t[]){1, 2, 3, 4}), 4);
    wipe(&message, sizeof(message));
}

static void a_wrong_number_is_shown_and_goes_with_the_next_digit(void **state)
{
    key(*state, "4242424242424241");
    assert_int_equal(view(*state, CARD_NUMBER).is_complete, 1);
    assert_int_equal(view(*state, CARD_NUMBER).is_valid, 0);
    assert_int_equal(view(*state, CARD_NUMBER).key_count, 16);
    assert_int_equal(card_fields_problem(*state), PROBLEM_NUMBER_INVALID);
    assert_int_equal(card_fields_selected(*state), CARD_NUMBER);
    key(*state, "5");
    assert_int_equal(view(*state, CARD_NUMBER).key_count, 1);
    assert_int_equal(view(*state, CARD_NUMBER).is_complete, 0);
    assert_int_equal(card_fields_problem(*state), PROBLEM_NONE);
    key(*state, "555555555554444");
    assert_int_equal(view(*state, CARD_NUMBER).is_valid, 1);
    assert_int_equal(card_fields_brand(*state), BRAND_MASTERCARD);
}

static void star_clears_the_field_being_keyed_or_the_last_one(void **state)
{
    key(*state, "4242*");
    assert_int_equal(view(*state, CARD_NUMBER).key_count, 0);
    assert_int_equal(card_fields_brand(*state), BRAND_UNKNOWN);
    key(*state, "4242424242424242"
                "12*");
    assert_int_equal(view(*state, CARD_NUMBER).is_valid, 1);
    assert_int_equal(view(*state, CARD_EXPIRY).key_count, 0);
    key(*state, "1228"
                "123");
    assert_true(card_fields_are_full(*state));
    key(*state, "*");
    assert_false(card_fields_are_full(*state));
    assert_int_equal(card_fields_selected(*state), CARD_CVV);
    key(*state, "321");
    assert_true(card_fields_are_full(*state));
}

static void pound_ends_a_field_of_unsure_length(void **state)
{
    key(*state, "6200000000000005");
    assert_int_equal(view(*state, CARD_NUMBER).is_complete, 0);
    key(*state, "#");
    assert_int_equal(view(*state, CARD_NUMBER).is_valid, 1);
    assert_int_equal(card_fields_selected(*state), CARD_EXPIRY);
    card_fields_wipe(*state);
    key(*state, "6205500000000000004"); /* the longest there is */
    assert_int_equal(view(*state, CARD_NUMBER).is_valid, 1);
    card_fields_wipe(*state);
    key(*state, "4222222222222#"); /* Visa of 13 */
    assert_int_equal(view(*state, CARD_NUMBER).is_valid, 1);
    card_fields_wipe(*state);
    key(*state, "42424242#");
    assert_int_equal(card_fields_problem(*state), PROBLEM_NUMBER_INVALID);
    card_fields_wipe(*state);
    assert_int_equal(key(*state, "##"), 2); /* nothing to end */
}

static void a_patient_brand_waits_for_the_longer_number(void **state)
{
    key(*state, "30569300090200"); /* fourteen of a Diners of sixteen: check digit wrong so far */
    assert_int_equal(view(*state, CARD_NUMBER).is_complete, 0);
    assert_int_equal(card_fields_problem(*state), PROBLEM_NONE);
    key(*state, "04#");
    assert_int_equal(view(*state, CARD_NUMBER).is_valid, 1);
}

static void a_number_selected_again_may_become_longer(void **state)
{
    key(*state, "6011111111111117");
    assert_int_equal(card_fields_selected(*state), CARD_EXPIRY);
    assert_int_equal(card_fields_select(*state, CARD_NUMBER, false, now), OK);
    key(*state, "12");
    assert_int_equal(view(*state, CARD_NUMBER).key_count, 18);
    assert_int_equal(view(*state, CARD_NUMBER).is_complete, 0);
    card_fields_wipe(*state);
    key(*state, "5555555555554444"); /* sixteen is all a Mastercard has */
    assert_int_equal(card_fields_select(*state, CARD_NUMBER, false, now), OK);
    assert_int_equal(key(*state, "1"), 1);
    assert_int_equal(view(*state, CARD_NUMBER).key_count, 16);
    assert_int_equal(view(*state, CARD_NUMBER).is_valid, 1);
}

static void expiry_is_checked_against_the_month(void **state)
{
    assert_int_equal(card_fields_select(*state, CARD_EXPIRY, false, now), OK);
    key(*state, "1026");
    assert_int_equal(card_fields_problem(*state), PROBLEM_CARD_EXPIRED);
    key(*state, "1326");
    assert_int_equal(card_fields_problem(*state), PROBLEM_EXPIRY_INVALID);
    key(*state, "12#");
    assert_int_equal(card_fields_problem(*state), PROBLEM_EXPIRY_INVALID);
    key(*state, "1126");
    assert_int_equal(card_fields_problem(*state), PROBLEM_NONE);
    assert_int_equal(view(*state, CARD_EXPIRY).is_valid, 1);
}

static void the_code_is_judged_again_when_the_brand_is_known(void **state)
{
    assert_int_equal(card_fields_select(*state, CARD_CVV, false, now), OK);
    key(*state, "1234");
    assert_int_equal(view(*state, CARD_CVV).is_valid, 1); /* of any brand */
    assert_int_equal(card_fields_selected(*state), CARD_NUMBER);
    key(*state, "4242424242424242"
                "1228");
    assert_false(card_fields_are_full(*state));
    assert_int_equal(card_fields_problem(*state), PROBLEM_CVV_INVALID);
    assert_int_equal(card_fields_selected(*state), CARD_CVV);
    key(*state, "123");
    assert_true(card_fields_are_full(*state));
    assert_int_equal(card_fields_select(*state, CARD_NUMBER, true, now), OK);
    key(*state, "378282246310005");
    assert_int_equal(card_fields_problem(*state), PROBLEM_CVV_INVALID);
}

static void fields_may_be_keyed_in_any_order(void **state)
{
    assert_int_equal(card_fields_select(*state, CARD_CVV, false, now), OK);
    key(*state, "123"); /* three or four, nobody knows yet */
    assert_int_equal(card_fields_select(*state, CARD_EXPIRY, false, now), OK);
    assert_int_equal(view(*state, CARD_CVV).is_valid, 1); /* selecting another ended it */
    key(*state, "1228"
                "4242424242424242");
    assert_true(card_fields_are_full(*state));
    assert_int_equal(card_fields_select(*state, 7, false, now), ERR_RANGE);
}

static void a_brand_that_is_not_taken_is_refused(void **unused)
{
    (void)unused;
    struct card_fields *fields = NULL;
    assert_int_equal(card_fields_new(&fields, 1u << BRAND_VISA | 1u << BRAND_MASTERCARD), OK);
    key(fields, "378282246310005");
    assert_int_equal(card_fields_problem(fields), PROBLEM_BRAND_REFUSED);
    key(fields, "4242424242424242");
    assert_int_equal(card_fields_problem(fields), PROBLEM_NONE);
    card_fields_free(fields);
}

static void other_keys_are_ignored_and_counted(void **state)
{
    assert_int_equal(key(*state, "ABCD"), 4);
    assert_int_equal(card_fields_ignored(*state), 4);
    assert_int_equal(card_fields_key(*state, DTMF_KEY_COUNT, now), ERR_RANGE);
    assert_true(card_fields_are_empty(*state));
}

static void progress_counts_up_key_by_key(void **state)
{
    static const char number[] = "378282246310005";
    for (int i = 0; number[i]; i++) {
        key(*state, (char[]){number[i], 0});
        assert_int_equal(view(*state, CARD_NUMBER).key_count, i + 1);
        assert_int_equal(view(*state, CARD_NUMBER).key_max, i == 0 ? 0 : 15);
    }
}

static void a_text_that_shows_six_digits_of_the_number_is_found(void **state)
{
    key(*state, "4929000000012346"); /* wrong check digit does not matter here */
    static const struct {
        const char *text;
        bool shows;
    } rows[] = {
        {"", false},
        {"tok_abc123", false},
        {"492900", true},
        {"tok_000123x", true},
        {"tok_12346", false},
        {"tok_012346_z", true},
        {"012-346", false},
        {"4929000000012346", true},
        {"64321000", false},
        {"pm_9990000000", true},
        {"pm_1Nq929000000Zz", true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (card_fields_show_in(*state, rows[i].text) != rows[i].shows)
            fail_msg("row %zu: %s", i, rows[i].text);
    }
    card_fields_wipe(*state);
    assert_false(card_fields_show_in(*state, "4929000000012346"));
    assert_true(card_fields_are_empty(*state));
}

/* Any keys in any order: counts stay in bounds, full means valid, nothing crashes. */
static void random_keys_keep_the_bounds(void **state)
{
    uint64_t seed = 42;
    for (int n = 0; n < 200000; n++) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        unsigned draw = (unsigned)(seed >> 33);
        if (draw % 16 == 0)
            assert_int_equal(card_fields_select(*state, draw / 16 % 4, draw / 64 % 2, now), OK);
        else
            (void)!card_fields_key(*state, (dtmf_key)(draw / 16 % 12), now);
        struct capture_field_view views[CARD_FIELDS];
        card_fields_view(*state, views);
        assert_true(views[CARD_NUMBER].key_count <= LIMIT_PAN_DIGITS);
        assert_true(views[CARD_EXPIRY].key_count <= 4 && views[CARD_CVV].key_count <= 4);
        for (int i = 0; i < CARD_FIELDS; i++)
            assert_true(views[i].is_complete || !views[i].is_valid);
        struct gateway_tokenise_msg message;
        assert_int_equal(card_fields_fill(*state, &message) == OK, card_fields_are_full(*state));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_whole_card_is_keyed_without_a_single_pound),
        TEST(the_message_holds_what_was_keyed),
        TEST(a_wrong_number_is_shown_and_goes_with_the_next_digit),
        TEST(star_clears_the_field_being_keyed_or_the_last_one),
        TEST(pound_ends_a_field_of_unsure_length),
        TEST(a_patient_brand_waits_for_the_longer_number),
        TEST(a_number_selected_again_may_become_longer),
        TEST(expiry_is_checked_against_the_month),
        TEST(the_code_is_judged_again_when_the_brand_is_known),
        TEST(fields_may_be_keyed_in_any_order),
        cmocka_unit_test(a_brand_that_is_not_taken_is_refused),
        TEST(other_keys_are_ignored_and_counted),
        TEST(progress_counts_up_key_by_key),
        TEST(a_text_that_shows_six_digits_of_the_number_is_found),
        TEST(random_keys_keep_the_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
