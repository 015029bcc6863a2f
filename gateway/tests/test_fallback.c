/* Two gateways: where a payment begins, what goes over to the other when one is down, and that nothing does which may
 * have moved money. */
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

#define CARD "4000056655665556"

static struct fake fakes[2];
static struct rig rig;
static uint64_t next_capture = 1;

/* NULL for a script: nobody listens. */
static void start_fake(struct fake *fake, const char *script)
{
    if (script)
        fake_start_script(fake, script, rig_path("right"));
    else
        fake_start(fake, FAKE_CLOSED_PORT, 0, rig_path("right"));
}

static void open_rig(const char *first, const char *second, enum gateway_on_open on_open, bool is_off[2])
{
    struct step_settings settings[2];
    const char *scripts[2] = {first, second};
    for (size_t i = 0; i < 2; i++) {
        start_fake(&fakes[i], scripts[i]);
        settings[i] = rig_settings(fakes[i].url);
        settings[i].on_open = on_open;
        settings[i].retries = 1;
        settings[i].create_retries = 0;
        settings[i].breaker = (struct breaker_policy){.slow_ms = 15000, .failures_max = 2, .open_ms = 5000};
        settings[i].is_off = is_off && is_off[i];
    }
    rig_open_two(&rig, settings);
}

static void close_rig(void)
{
    rig_close(&rig);
    for (size_t i = 0; i < 2; i++)
        fake_stop(&fakes[i]);
    assert_int_equal(wipe_heap_count_pattern(CARD, 16), 0);
}

static const struct gateway_reply_msg *tokenise(void)
{
    struct gateway_tokenise_msg message = rig_tokenise(next_capture++, 1, CARD);
    return rig_ask(&rig, &message);
}

static const struct gateway_reply_msg *step_at(enum gateway_msg_type type, uint8_t gateway_index)
{
    struct gateway_step_msg message = rig_step(type, next_capture++, 1, 1999, "pm_token", "pi_order");
    message.gateway_index = gateway_index;
    return rig_ask(&rig, &message);
}

static const struct gateway_reply_msg *create_at(uint8_t gateway_index)
{
    struct gateway_order_msg message = rig_create(next_capture++, 1, 1999, "pm_token");
    message.gateway_index = gateway_index;
    return rig_ask(&rig, &message);
}

static struct gateway_health_msg health_of(size_t index)
{
    struct gateway_health_msg health;
    steps_health(rig.link.steps, index, &health);
    return health;
}

static void a_payment_begins_at_the_first(void **state)
{
    (void)state;
    open_rig("r", "r", ON_OPEN_FALLBACK, NULL);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(tokenise()->outcome, GATEWAY_DONE);
        assert_int_equal(rig.reply.gateway_index, 0);
    }
    assert_int_equal(fakes[0].counts->cards, 3);
    assert_int_equal(fakes[1].counts->connections, 0);
    close_rig();
}

static void a_card_goes_on_to_the_fallback_when_the_first_is_down(void **state)
{
    (void)state;
    static const char *const scripts[] = {NULL, "5", "d"};
    for (size_t i = 0; i < 3; i++) {
        open_rig(scripts[i], "r", ON_OPEN_FALLBACK, NULL);
        assert_int_equal(tokenise()->outcome, GATEWAY_DONE);
        assert_int_equal(rig.reply.gateway_index, 1);
        assert_string_equal(rig.reply.token, "pm_rightrightrightright");
        assert_int_equal(fakes[1].counts->cards, 1);
        assert_int_equal(health_of(0).steps[GATEWAY_UNAVAILABLE], 1);
        assert_int_equal(health_of(1).steps[GATEWAY_DONE], 1);
        assert_int_equal(rig.reply_count, 1);
        close_rig();
    }
    assert_non_null(strstr(rig_log(), "the card goes to the fallback gateway"));
}

static void a_card_that_was_refused_goes_nowhere_else(void **state)
{
    (void)state;
    open_rig("4", "r", ON_OPEN_FALLBACK, NULL);
    assert_int_equal(tokenise()->outcome, GATEWAY_FAILED);
    assert_int_equal(rig.reply.gateway_index, 0);
    assert_int_equal(fakes[1].counts->connections, 0);
    close_rig();
}

static void both_down_is_unavailable_and_answered_once(void **state)
{
    (void)state;
    open_rig(NULL, "5", ON_OPEN_FALLBACK, NULL);
    assert_int_equal(tokenise()->outcome, GATEWAY_UNAVAILABLE);
    assert_int_equal(rig.reply.gateway_index, 1);
    /* Now both breakers are open: nothing is sent any more. */
    unsigned before = fakes[1].counts->requests;
    assert_int_equal(health_of(0).breaker_state, BREAKER_OPEN);
    assert_int_equal(health_of(1).breaker_state, BREAKER_OPEN);
    assert_int_equal(tokenise()->outcome, GATEWAY_UNAVAILABLE);
    assert_int_equal(rig.reply.advice, ADVICE_AGENT);
    assert_int_equal(fakes[1].counts->requests, before);
    assert_int_equal(rig.reply_count, 2);
    close_rig();
}

static void an_open_breaker_sends_new_payments_to_the_fallback_at_once(void **state)
{
    (void)state;
    open_rig("5", "r", ON_OPEN_FALLBACK, NULL);
    tokenise(); /* two failures: open */
    assert_int_equal(health_of(0).breaker_state, BREAKER_OPEN);
    assert_int_equal(health_of(0).opened, 1);
    unsigned before = fakes[0].counts->requests;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(tokenise()->outcome, GATEWAY_DONE);
        assert_int_equal(rig.reply.gateway_index, 1);
    }
    assert_int_equal(fakes[0].counts->requests, before);
    close_rig();
}

static void what_follows_a_token_stays_where_the_token_is(void **state)
{
    (void)state;
    static const enum gateway_msg_type types[] = {GATEWAY_CONFIRM, GATEWAY_STATUS, GATEWAY_ABANDON};
    open_rig("5", "5", ON_OPEN_FALLBACK, NULL);
    for (uint8_t at = 0; at < 2; at++) {
        unsigned others = fakes[1 - at].counts->requests;
        for (size_t i = 0; i < 3; i++) {
            unsigned own = fakes[at].counts->requests;
            assert_int_equal(step_at(types[i], at)->outcome, GATEWAY_NO_ANSWER);
            assert_int_equal(rig.reply.gateway_index, at);
            assert_true(fakes[at].counts->requests > own);
        }
        assert_int_equal(create_at(at)->outcome, GATEWAY_UNAVAILABLE);
        assert_int_equal(rig.reply.gateway_index, at);
        assert_int_equal(fakes[1 - at].counts->requests, others);
    }
    close_rig();
}

static void a_gateway_that_is_not_there_is_refused(void **state)
{
    (void)state;
    open_rig("r", "r", ON_OPEN_FALLBACK, NULL);
    assert_int_equal(step_at(GATEWAY_CONFIRM, 2)->outcome, GATEWAY_FAILED);
    assert_int_equal(rig.reply.reason, REASON_CONFIGURATION);
    assert_int_equal(create_at(255)->outcome, GATEWAY_FAILED);
    assert_int_equal(fakes[0].counts->connections + fakes[1].counts->connections, 0);
    close_rig();
}

static void queue_and_agent_hold_payments_back_although_there_is_a_fallback(void **state)
{
    (void)state;
    open_rig("5", "r", ON_OPEN_QUEUE, NULL);
    assert_int_equal(tokenise()->outcome, GATEWAY_UNAVAILABLE);
    assert_int_equal(rig.reply.advice, ADVICE_NONE);
    assert_int_equal(tokenise()->outcome, GATEWAY_UNAVAILABLE);
    assert_int_equal(rig.reply.advice, ADVICE_LATER);
    assert_true(rig.reply.again_after_ms > 1000 && rig.reply.again_after_ms <= 5001);
    assert_int_equal(fakes[1].counts->connections, 0);
    close_rig();
    open_rig("5", "r", ON_OPEN_AGENT, NULL);
    tokenise();
    assert_int_equal(tokenise()->outcome, GATEWAY_UNAVAILABLE);
    assert_int_equal(rig.reply.advice, ADVICE_AGENT);
    assert_int_equal(rig.reply.again_after_ms, 0);
    assert_int_equal(fakes[1].counts->connections, 0);
    close_rig();
}

static void a_gateway_that_is_off_begins_nothing_and_ends_what_began(void **state)
{
    (void)state;
    open_rig("r", "r", ON_OPEN_FALLBACK, (bool[2]){true, false});
    assert_int_equal(tokenise()->outcome, GATEWAY_DONE);
    assert_int_equal(rig.reply.gateway_index, 1);
    assert_int_equal(health_of(0).is_off, 1);
    close_rig();
    open_rig("r", "r", ON_OPEN_FALLBACK, (bool[2]){true, true});
    assert_int_equal(tokenise()->outcome, GATEWAY_UNAVAILABLE);
    assert_int_equal(rig.reply.advice, ADVICE_OFF);
    assert_int_equal(fakes[0].counts->connections + fakes[1].counts->connections, 0);
    step_at(GATEWAY_STATUS, 0);
    assert_int_equal(fakes[0].counts->requests, 1);
    close_rig();
    open_rig(NULL, "r", ON_OPEN_FALLBACK, (bool[2]){false, true});
    assert_int_equal(tokenise()->outcome, GATEWAY_UNAVAILABLE);
    assert_int_equal(fakes[1].counts->connections, 0);
    close_rig();
}

/* The first leaves half of the time to the other: here 20 s in all, tries of 8 s that never end. */
static void a_silent_gateway_leaves_time_for_the_fallback(void **state)
{
    (void)state;
    struct step_settings settings[2];
    start_fake(&fakes[0], "s");
    start_fake(&fakes[1], "r");
    for (size_t i = 0; i < 2; i++) {
        settings[i] = rig_settings(fakes[i].url);
        settings[i].charge_timeout_ms = 2000;
        settings[i].ceiling_ms = 3000;
        settings[i].retries = 5;
    }
    rig_open_two(&rig, settings);
    struct mono_time started = mono_now();
    assert_int_equal(tokenise()->outcome, GATEWAY_DONE);
    assert_int_equal(rig.reply.gateway_index, 1);
    assert_true(mono_elapsed_ms(started, mono_now()) < 3000);
    close_rig();
}

static void a_vault_that_dies_takes_its_cards_along(void **state)
{
    (void)state;
    open_rig("s", "r", ON_OPEN_FALLBACK, NULL);
    struct gateway_tokenise_msg message = rig_tokenise(next_capture++, 1, CARD);
    rig_send(&rig, &message);
    rig_run_ms(&rig, 300);
    assert_int_equal(steps_count(rig.link.steps), 1);
    rig_relink(&rig);
    assert_int_equal(steps_count(rig.link.steps), 0);
    assert_int_equal(fakes[1].counts->connections, 0);
    close_rig();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_payment_begins_at_the_first),
        cmocka_unit_test(a_card_goes_on_to_the_fallback_when_the_first_is_down),
        cmocka_unit_test(a_card_that_was_refused_goes_nowhere_else),
        cmocka_unit_test(both_down_is_unavailable_and_answered_once),
        cmocka_unit_test(an_open_breaker_sends_new_payments_to_the_fallback_at_once),
        cmocka_unit_test(what_follows_a_token_stays_where_the_token_is),
        cmocka_unit_test(a_gateway_that_is_not_there_is_refused),
        cmocka_unit_test(queue_and_agent_hold_payments_back_although_there_is_a_fallback),
        cmocka_unit_test(a_gateway_that_is_off_begins_nothing_and_ends_what_began),
        cmocka_unit_test(a_silent_gateway_leaves_time_for_the_fallback),
        cmocka_unit_test(a_vault_that_dies_takes_its_cards_along),
    };
    rig_setup();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rig_teardown();
    return failed;
}
