/* The vault behind its three links: the straight way, every crooked one of the contract, and every message in every
 * state. */
#include "capture/tests/vault_stage.h"

#include "base/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int set_up(void **state)
{
    static struct stage stage;
    stage_open(&stage, 0);
    *state = &stage;
    return 0;
}

static int tear_down(void **state)
{
    stage_close(*state);
    return 0;
}

static const struct dispatch_counts *counts(const struct stage *stage)
{
    return dispatch_counts(stage->dispatch);
}

/* The last PROGRESS that lies unread. */
static struct capture_progress_msg last_progress(struct stage *stage)
{
    union stage_message message;
    struct capture_progress_msg last;
    memset(&last, 0, sizeof(last));
    while (stage_read(stage, DISPATCH_DESK, &message) == OK) {
        if (message.header.type == CAPTURE_PROGRESS)
            last = message.progress;
    }
    assert_int_not_equal(last.header.type, 0);
    return last;
}

static void a_payment_goes_the_straight_way(void **state)
{
    struct stage *stage = *state;
    union stage_message m;
    assert_int_equal(stage_say_open(stage, STAGE_CAPTURE, STAGE_CALL), OK);
    assert_true(stage_expect(stage, DISPATCH_PROXY, PROXY_ARM, &m));
    assert_int_equal(m.header.subject, STAGE_CALL);
    assert_int_equal(m.arm.capture_id, STAGE_CAPTURE);
    assert_int_equal(m.arm.is_keying, 1);
    assert_int_equal(last_progress(stage).state, CAPTURE_ARMING);
    assert_int_equal(stage_say_armed(stage, STAGE_CAPTURE, STAGE_CALL, false, false), OK);
    assert_int_equal(last_progress(stage).is_masked, 1);
    stage_keys(stage, STAGE_CARD "1228"
                                 "123");
    struct capture_progress_msg progress = last_progress(stage);
    assert_int_equal(progress.state, CAPTURE_READY);
    assert_int_equal(progress.brand, BRAND_VISA);
    assert_int_equal(progress.fields[CARD_NUMBER].key_count, 16);
    assert_int_equal(stage_say_submit(stage, STAGE_CAPTURE), OK);
    assert_true(stage_expect(stage, DISPATCH_DESK, CAPTURE_STORE, &m));
    assert_int_equal(m.store.kind, STORE_INTENT);
    assert_int_equal(m.store.store_number, 1);
    assert_int_equal(m.store.brand, BRAND_VISA);
    assert_int_equal(m.store.amount_minor, 4999);
    assert_true(stage_expect(stage, DISPATCH_PROXY, PROXY_ARM, &m)); /* keying is over */
    assert_int_equal(m.arm.is_keying, 0);
    assert_false(stage_expect(stage, DISPATCH_GATEWAY, GATEWAY_TOKENISE, &m)); /* not before it is durable */
    assert_int_equal(stage_say_stored(stage, STAGE_CAPTURE, 1, true), OK);
    assert_true(stage_expect(stage, DISPATCH_GATEWAY, GATEWAY_TOKENISE, &m));
    assert_int_equal(m.tokenise.number_length, 16);
    assert_int_equal(m.tokenise.number[0], 4);
    assert_int_equal(m.tokenise.expiry_month, 12);
    assert_int_equal(m.tokenise.expiry_year, 28);
    wipe(&m, sizeof(m));
    stage_say_reply(stage, STAGE_CAPTURE, GATEWAY_TOKENISE, 1, GATEWAY_DONE, ORDER_NONE, "pm_1abc", "");
    assert_true(card_fields_are_empty(stage_capture(stage)->fields));
    assert_true(stage_expect(stage, DISPATCH_GATEWAY, GATEWAY_CREATE, &m));
    assert_string_equal(m.order.token, "pm_1abc");
    assert_int_equal(m.order.call_id, STAGE_CALL);
    stage_say_reply(stage, STAGE_CAPTURE, GATEWAY_CREATE, 1, GATEWAY_DONE, ORDER_OPEN, "", "pi_1abc");
    assert_true(stage_expect(stage, DISPATCH_DESK, CAPTURE_STORE, &m));
    assert_int_equal(m.store.kind, STORE_ORDER);
    assert_string_equal(m.store.order_ref, "pi_1abc");
    assert_string_equal(m.store.token, "");
    assert_false(stage_expect(stage, DISPATCH_GATEWAY, GATEWAY_CONFIRM, &m));
    assert_int_equal(stage_say_stored(stage, STAGE_CAPTURE, 2, true), OK);
    assert_true(stage_expect(stage, DISPATCH_GATEWAY, GATEWAY_CONFIRM, &m));
    assert_string_equal(m.step.token, "pm_1abc");
    assert_string_equal(m.step.order_ref, "pi_1abc");
    assert_int_equal(m.step.amount_minor, 4999);
    stage_say_reply(stage, STAGE_CAPTURE, GATEWAY_CONFIRM, 1, GATEWAY_DONE, ORDER_SUCCEEDED, "", "pi_1abc");
    assert_int_equal(last_progress(stage).state, CAPTURE_VERIFYING); /* not yet */
    assert_true(stage_expect(stage, DISPATCH_GATEWAY, GATEWAY_STATUS, &m));
    stage_say_reply(stage, STAGE_CAPTURE, GATEWAY_STATUS, 1, GATEWAY_DONE, ORDER_SUCCEEDED, "", "pi_1abc");
    assert_true(stage_expect(stage, DISPATCH_DESK, CAPTURE_STORE, &m));
    assert_int_equal(m.store.kind, STORE_RESULT);
    assert_int_equal(m.store.state, CAPTURE_APPROVED);
    assert_string_equal(m.store.token, "pm_1abc");
    assert_false(stage_expect(stage, DISPATCH_PROXY, PROXY_DISARM, &m));
    assert_int_equal(stage_say_stored(stage, STAGE_CAPTURE, 3, true), OK);
    assert_true(stage_expect(stage, DISPATCH_PROXY, PROXY_DISARM, &m));
    progress = last_progress(stage);
    assert_int_equal(progress.state, CAPTURE_APPROVED);
    assert_int_equal(progress.brand, BRAND_VISA);
    assert_int_equal(progress.is_masked, 0);
    assert_null(stage_capture(stage)->fields);
    assert_int_equal(counts(stage)->keys, 23);
    assert_true(dispatch_is_idle(stage->dispatch));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_payment_goes_the_straight_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
