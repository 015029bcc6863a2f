/* The gateway against a fake that does everything wrong: what is told to the vault, how soon, who got the card, and
 * what is left of it. */
#include "base/clock.h"
#include "gateway/tests/fake/fake_gateway.h"
#include "gateway/tests/rig.h"
#include "gateway/wipe_heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define CARD       "4000056655665556"
#define TIMEOUT_MS 700

static struct fake fake;
static struct rig rig;
static uint64_t next_capture = 1;

static bool ends_by_timeout(enum fake_behaviour behaviour)
{
    return behaviour == FAKE_BLACK_HOLE || behaviour == FAKE_NO_TLS || behaviour == FAKE_SILENCE ||
           behaviour == FAKE_TRICKLE || behaviour == FAKE_LATE;
}

static void open_rig(enum fake_behaviour behaviour, unsigned argument, const char *certificates,
                     unsigned retries)
{
    char authority[64];
    fake_start(&fake, behaviour, argument, rig_path(certificates));
    struct step_settings settings = rig_settings(fake.url);
    /* "stranger" is the one that is not trusted */
    snprintf(authority, sizeof(authority), "%s/ca.pem", behaviour == FAKE_STRANGER ? "right" : certificates);
    snprintf(settings.ca_path, sizeof(settings.ca_path), "%s", rig_path(authority));
    settings.retries = retries;
    /* Short only where the time-out is what is tested: a sanitizer on a busy machine is slow. */
    settings.charge_timeout_ms = settings.create_timeout_ms = ends_by_timeout(behaviour) ? TIMEOUT_MS : 8000;
    rig_open(&rig, &settings);
}

static void close_rig(void)
{
    rig_close(&rig);
    fake_stop(&fake);
    assert_int_equal(wipe_heap_count_pattern(CARD, 16), 0);
}

static const struct gateway_reply_msg *tokenise(void)
{
    struct gateway_tokenise_msg message = rig_tokenise(next_capture++, 1, CARD);
    return rig_ask(&rig, &message);
}

static const struct gateway_reply_msg *confirm(void)
{
    struct gateway_step_msg message =
        rig_step(GATEWAY_CONFIRM, next_capture++, 1, 1999, "pm_token", "pi_order");
    return rig_ask(&rig, &message);
}

struct row {
    enum fake_behaviour behaviour;
    const char *certificates;
    unsigned argument;
    enum gateway_outcome tokenise;
    enum gateway_reason reason;
    enum gateway_outcome confirm; /* in doubt whenever a byte may have arrived */
    unsigned cards;               /* how often the fake saw the card in one try */
};

static const struct row rows[] = {
    {FAKE_CLOSED_PORT, "right", 0, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE, GATEWAY_UNAVAILABLE, 0},
    {FAKE_BLACK_HOLE, "right", 0, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE, GATEWAY_UNAVAILABLE, 0},
    {FAKE_NO_TLS, "right", 0, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE, GATEWAY_UNAVAILABLE, 0},
    {FAKE_OLD_TLS, "right", 0, GATEWAY_UNAVAILABLE, REASON_CONFIGURATION, GATEWAY_UNAVAILABLE, 0},
    {FAKE_STRANGER, "stranger", 0, GATEWAY_UNAVAILABLE, REASON_CONFIGURATION, GATEWAY_UNAVAILABLE, 0},
    {FAKE_WRONG_NAME, "elsewhere", 0, GATEWAY_UNAVAILABLE, REASON_CONFIGURATION, GATEWAY_UNAVAILABLE, 0},
    {FAKE_EXPIRED, "expired", 0, GATEWAY_UNAVAILABLE, REASON_CONFIGURATION, GATEWAY_UNAVAILABLE, 0},
    {FAKE_SILENCE, "right", 0, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE, GATEWAY_NO_ANSWER, 1},
    {FAKE_TRICKLE, "right", 0, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE, GATEWAY_NO_ANSWER, 1},
    {FAKE_RESET_AT, "right", 90, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE, GATEWAY_NO_ANSWER, 1},
    {FAKE_CLOSE_AT, "right", 90, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE, GATEWAY_NO_ANSWER, 1},
    {FAKE_GARBAGE, "right", 0, GATEWAY_FAILED, REASON_BAD_ANSWER, GATEWAY_NO_ANSWER, 1},
    {FAKE_HTML, "right", 0, GATEWAY_FAILED, REASON_BAD_ANSWER, GATEWAY_NO_ANSWER, 1},
    {FAKE_TRUNCATED_JSON, "right", 0, GATEWAY_FAILED, REASON_BAD_ANSWER, GATEWAY_NO_ANSWER, 1},
    {FAKE_DEEP_JSON, "right", 0, GATEWAY_FAILED, REASON_BAD_ANSWER, GATEWAY_NO_ANSWER, 1},
    {FAKE_HUGE_HEADER, "right", 0, GATEWAY_FAILED, REASON_BAD_ANSWER, GATEWAY_NO_ANSWER, 1},
    {FAKE_MANY_HEADERS, "right", 0, GATEWAY_FAILED, REASON_BAD_ANSWER, GATEWAY_NO_ANSWER, 1},
    {FAKE_HUGE_BODY, "right", 0, GATEWAY_FAILED, REASON_BAD_ANSWER, GATEWAY_NO_ANSWER, 1},
    {FAKE_ENDLESS_BODY, "right", 0, GATEWAY_FAILED, REASON_BAD_ANSWER, GATEWAY_NO_ANSWER, 1},
    {FAKE_GZIP_BOMB, "right", 0, GATEWAY_FAILED, REASON_BAD_ANSWER, GATEWAY_NO_ANSWER, 1},
    {FAKE_NOT_HTTP, "right", 0, GATEWAY_FAILED, REASON_BAD_ANSWER, GATEWAY_NO_ANSWER, 1},
    {FAKE_HTTP_09, "right", 0, GATEWAY_FAILED, REASON_BAD_ANSWER, GATEWAY_NO_ANSWER, 1},
    {FAKE_REDIRECT, "right", 0, GATEWAY_FAILED, REASON_BAD_ANSWER, GATEWAY_NO_ANSWER, 1},
    {FAKE_ECHO, "right", 0, GATEWAY_FAILED, REASON_BAD_ANSWER, GATEWAY_NO_ANSWER, 1},
    {FAKE_RIGHT, "right", 0, GATEWAY_DONE, REASON_NONE, GATEWAY_NO_ANSWER, 1},
    {FAKE_TWICE, "right", 0, GATEWAY_DONE, REASON_NONE, GATEWAY_NO_ANSWER, 1},
    {FAKE_LATE, "right", 2 * TIMEOUT_MS, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE, GATEWAY_NO_ANSWER, 1},
    {FAKE_DROPS_KEPT, "right", 0, GATEWAY_DONE, REASON_NONE, GATEWAY_NO_ANSWER, 1},
    {FAKE_STATUS, "right", 500, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE, GATEWAY_NO_ANSWER, 1},
    {FAKE_STATUS, "right", 502, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE, GATEWAY_NO_ANSWER, 1},
    {FAKE_STATUS, "right", 503, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE, GATEWAY_NO_ANSWER, 1},
    {FAKE_STATUS, "right", 429, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE, GATEWAY_UNAVAILABLE, 1},
};

static void try_row(const struct row *row)
{
    open_rig(row->behaviour, row->argument, row->certificates, 0);
    struct mono_time started = mono_now();
    const struct gateway_reply_msg *reply = tokenise();
    bool is_right = reply->outcome == row->tokenise && reply->reason == row->reason;
    is_right = is_right && mono_elapsed_ms(started, mono_now()) <
                               (ends_by_timeout(row->behaviour) ? TIMEOUT_MS + 3000 : 8000);
    is_right = is_right && fake.counts->cards == row->cards && fake.counts->redirect_visits == 0;
    is_right = is_right && (reply->token[0] != '\0') == (row->tokenise == GATEWAY_DONE);
    is_right = is_right && wipe_heap_count_pattern(CARD, 16) == 0;
    if (!is_right)
        print_error("%s: %s, %s after %d ms, card seen %u times\n", fake_behaviour_name(row->behaviour),
                    gateway_outcome_name(reply->outcome), gateway_reason_name(reply->reason),
                    (int)mono_elapsed_ms(started, mono_now()), fake.counts->cards);
    assert_true(is_right);
    close_rig();
    open_rig(row->behaviour, row->argument, row->certificates, 0);
    reply = confirm();
    if (reply->outcome != row->confirm)
        print_error("%s: confirmation told as %s\n", fake_behaviour_name(row->behaviour),
                    gateway_outcome_name(reply->outcome));
    assert_int_equal(reply->outcome, row->confirm);
    close_rig();
}

static void every_fault_is_told_as_what_it_is(void **state)
{
    (void)state;
    bool is_tried[FAKE_BEHAVIOURS] = {false};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        try_row(&rows[i]);
        is_tried[rows[i].behaviour] = true;
    }
    for (size_t i = 0; i < FAKE_FAULTS; i++)
        assert_true(is_tried[i]);
}

static void an_answer_cut_at_any_byte_is_no_answer(void **state)
{
    (void)state;
    static const enum fake_behaviour cuts[] = {FAKE_RESET_AT, FAKE_CLOSE_AT};
    size_t length = fake_right_answer_length();
    assert_true(length > 512);
    for (size_t k = 0; k < 2; k++) {
        open_rig(cuts[k], 0, "right", 0);
        for (size_t cut = 0; cut < length; cut++) {
            const struct gateway_reply_msg *reply = tokenise();
            if (reply->outcome != GATEWAY_UNAVAILABLE && reply->outcome != GATEWAY_FAILED)
                print_error("cut at %zu of %zu: %s\n", cut, length, gateway_outcome_name(reply->outcome));
            assert_true(reply->outcome == GATEWAY_UNAVAILABLE || reply->outcome == GATEWAY_FAILED);
            assert_string_equal(reply->token, "");
        }
        assert_int_equal(fake.counts->requests, length);
        if (cuts[k] == FAKE_CLOSE_AT) /* the whole of it: the loop above could have succeeded */
            assert_int_equal(tokenise()->outcome, GATEWAY_DONE);
        close_rig();
    }
}

static void redirects_are_not_followed_whatever_their_number(void **state)
{
    (void)state;
    open_rig(FAKE_REDIRECT, 0, "right", 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(tokenise()->outcome, GATEWAY_FAILED);
    assert_int_equal(fake.counts->redirect_visits, 0);
    assert_int_equal(fake.counts->cards, 3);
    close_rig();
}

static void a_late_answer_reaches_nobody(void **state)
{
    (void)state;
    open_rig(FAKE_LATE, TIMEOUT_MS + 300, "right", 0);
    assert_int_equal(tokenise()->outcome, GATEWAY_UNAVAILABLE);
    rig_run_ms(&rig, 600); /* it would be here by now */
    assert_int_equal(rig.reply_count, 1);
    close_rig();
}

static void a_kept_connection_that_died_is_opened_again(void **state)
{
    (void)state;
    open_rig(FAKE_DROPS_KEPT, 0, "right", 2);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(tokenise()->outcome, GATEWAY_DONE);
    assert_true(fake.counts->cards <= 6);
    close_rig();
    open_rig(FAKE_RIGHT, 0, "right", 0);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(tokenise()->outcome, GATEWAY_DONE);
    assert_int_equal(fake.counts->connections, 1); /* and one that lives is used again */
    close_rig();
}

static void tries_are_as_many_as_allowed_and_no_more(void **state)
{
    (void)state;
    open_rig(FAKE_STATUS, 503, "right", 2);
    assert_int_equal(tokenise()->outcome, GATEWAY_UNAVAILABLE);
    assert_int_equal(fake.counts->requests, 3);
    assert_int_equal(fake.counts->cards, 3);
    close_rig();
    open_rig(FAKE_STATUS, 400, "right", 2);
    assert_int_equal(tokenise()->outcome, GATEWAY_FAILED);
    assert_int_equal(fake.counts->requests, 1);
    close_rig();
    open_rig(FAKE_SILENCE, 0, "right", 2); /* a confirmation that timed out is asked about, never repeated */
    assert_int_equal(confirm()->outcome, GATEWAY_NO_ANSWER);
    assert_int_equal(fake.counts->requests, 1);
    close_rig();
    open_rig(FAKE_STRANGER, 0, "stranger", 2);
    assert_int_equal(tokenise()->outcome, GATEWAY_UNAVAILABLE);
    assert_int_equal(fake.counts->connections, 1);
    close_rig();
}

static enum breaker_state breaker_state(void)
{
    struct gateway_health_msg health;
    steps_health(rig.link.steps, 0, &health);
    return health.breaker_state;
}

static void a_gateway_that_is_down_is_left_alone_and_probed(void **state)
{
    (void)state;
    fake_start(&fake, FAKE_STATUS, 500, rig_path("right"));
    struct step_settings settings = rig_settings(fake.url);
    settings.retries = 0;
    settings.breaker = (struct breaker_policy){.slow_ms = 15000, .failures_max = 3, .open_ms = 300};
    rig_open(&rig, &settings);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(tokenise()->outcome, GATEWAY_UNAVAILABLE);
    assert_int_equal(breaker_state(), BREAKER_OPEN);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(tokenise()->outcome, GATEWAY_UNAVAILABLE);
    assert_int_equal(fake.counts->cards, 3);                 /* refused before anything was sent */
    assert_int_equal(confirm()->outcome, GATEWAY_NO_ANSWER); /* what has begun goes on */
    assert_int_equal(fake.counts->requests, 4);
    rig_run_ms(&rig, 350);
    assert_int_equal(tokenise()->outcome, GATEWAY_UNAVAILABLE);
    assert_int_equal(fake.counts->cards, 4);
    assert_int_equal(breaker_state(), BREAKER_OPEN);
    assert_non_null(strstr(rig_log(), "circuit breaker of the gateway"));
    close_rig();
}

static void the_log_holds_no_card(void **state)
{
    (void)state;
    assert_non_null(strstr(rig_log(), "gateway step"));
    assert_null(strstr(rig_log(), CARD));
    assert_null(strstr(rig_log(), "5566"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_fault_is_told_as_what_it_is),
        cmocka_unit_test(an_answer_cut_at_any_byte_is_no_answer),
        cmocka_unit_test(redirects_are_not_followed_whatever_their_number),
        cmocka_unit_test(a_late_answer_reaches_nobody),
        cmocka_unit_test(a_kept_connection_that_died_is_opened_again),
        cmocka_unit_test(tries_are_as_many_as_allowed_and_no_more),
        cmocka_unit_test(a_gateway_that_is_down_is_left_alone_and_probed),
        cmocka_unit_test(the_log_holds_no_card),
    };
    rig_setup();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rig_teardown();
    return failed;
}
