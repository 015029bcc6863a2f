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
    assert_int_equal(m.tokenise.amount_minor, 4999);
    assert_string_equal(m.tokenise.currency, "USD");
    assert_int_equal(m.tokenise.call_id, STAGE_CALL);
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
    assert_string_equal(m.store.token, "pm_1abc"); /* for a RECONCILE after this vault's death */
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

static void reply_as(struct stage *stage, uint16_t request, enum gateway_outcome outcome,
                     enum gateway_order_state order_state, const char *token)
{
    assert_int_equal(stage_say_reply(stage, STAGE_CAPTURE, request, stage_capture(stage)->attempt, outcome,
                                     order_state, token, request == GATEWAY_TOKENISE ? "" : "pi_stage"),
                     OK);
}

/* From OPEN to the moment the card is with the gateway. */
static void key_and_submit(struct stage *stage, enum capture_kind kind)
{
    assert_int_equal(stage_say_open_kind(stage, STAGE_CAPTURE, STAGE_CALL, kind), OK);
    assert_int_equal(stage_say_armed(stage, STAGE_CAPTURE, STAGE_CALL, false, false), OK);
    stage_keys(stage, STAGE_CARD "1228"
                                 "123");
    assert_int_equal(stage_say_submit(stage, STAGE_CAPTURE), OK);
    stage_answer_store(stage);
    assert_int_equal(stage_state(stage), PAYMENT_TOKENISING);
}

static void where_a_token_is_wanted_no_order_is_made(void **state)
{
    struct stage *stage = *state;
    union stage_message m;
    key_and_submit(stage, CAPTURE_KIND_TOKENISE);
    reply_as(stage, GATEWAY_TOKENISE, GATEWAY_DONE, ORDER_NONE, "pm_kept");
    assert_true(stage_expect(stage, DISPATCH_DESK, CAPTURE_STORE, &m));
    assert_int_equal(m.store.kind, STORE_RESULT);
    assert_int_equal(m.store.capture_kind, CAPTURE_KIND_TOKENISE);
    assert_int_equal(m.store.state, CAPTURE_APPROVED);
    assert_int_equal(m.store.amount_minor, 0);
    assert_string_equal(m.store.token, "pm_kept");
    assert_false(stage_expect(stage, DISPATCH_GATEWAY, GATEWAY_CREATE, &m));
    assert_null(stage_capture(stage)->fields);
    assert_int_equal(stage_say_stored(stage, STAGE_CAPTURE, 2, true), OK);
    assert_int_equal(stage_state(stage), PAYMENT_APPROVED);
}

static void held_money_is_an_end_only_where_holding_was_asked_for(void **state)
{
    struct stage *stage = *state;
    union stage_message m;
    key_and_submit(stage, CAPTURE_KIND_AUTHORISE);
    reply_as(stage, GATEWAY_TOKENISE, GATEWAY_DONE, ORDER_NONE, "pm_1");
    assert_true(stage_expect(stage, DISPATCH_GATEWAY, GATEWAY_CREATE, &m));
    assert_int_equal(m.order.is_authorise_only, 1);
    reply_as(stage, GATEWAY_CREATE, GATEWAY_DONE, ORDER_OPEN, "");
    stage_answer_store(stage);
    assert_true(stage_expect(stage, DISPATCH_GATEWAY, GATEWAY_CONFIRM, &m));
    assert_int_equal(m.step.is_authorise_only, 1);
    reply_as(stage, GATEWAY_CONFIRM, GATEWAY_DONE, ORDER_AUTHORISED, "");
    reply_as(stage, GATEWAY_STATUS, GATEWAY_DONE, ORDER_AUTHORISED, "");
    assert_int_equal(stage_state(stage), PAYMENT_STORING_APPROVED);
    /* A charge that is only held has not reached its end. */
    struct stage other;
    stage_open(&other, 0);
    stage_reach(&other, PAYMENT_VERIFYING);
    reply_as(&other, GATEWAY_STATUS, GATEWAY_DONE, ORDER_AUTHORISED, "");
    assert_int_equal(stage_state(&other), PAYMENT_VERIFY_WAIT);
    stage_close(&other);
}

static void a_payment_stays_at_the_gateway_that_has_the_token(void **state)
{
    struct stage *stage = *state;
    union stage_message m;
    key_and_submit(stage, CAPTURE_KIND_CHARGE);
    assert_int_equal(stage_say_reply_of(stage, LIMIT_GATEWAYS, STAGE_CAPTURE, GATEWAY_TOKENISE, 1,
                                        GATEWAY_DONE, ORDER_NONE, "pm_1", ""),
                     ERR_RANGE);
    assert_int_equal(stage_say_reply_of(stage, 1, STAGE_CAPTURE, GATEWAY_TOKENISE, 1, GATEWAY_DONE,
                                        ORDER_NONE, "pm_1", ""),
                     OK);
    assert_true(stage_expect(stage, DISPATCH_GATEWAY, GATEWAY_CREATE, &m));
    assert_int_equal(m.order.gateway_index, 1);
    reply_as(stage, GATEWAY_CREATE, GATEWAY_DONE, ORDER_OPEN, "");
    assert_true(stage_expect(stage, DISPATCH_DESK, CAPTURE_STORE, &m));
    assert_int_equal(m.store.gateway_index, 1);
    assert_int_equal(stage_say_stored(stage, STAGE_CAPTURE, 2, true), OK);
    assert_true(stage_expect(stage, DISPATCH_GATEWAY, GATEWAY_CONFIRM, &m));
    assert_int_equal(m.step.gateway_index, 1);
    reply_as(stage, GATEWAY_CONFIRM, GATEWAY_DECLINED, ORDER_OPEN, "");
    assert_true(stage_expect(stage, DISPATCH_GATEWAY, GATEWAY_ABANDON, &m));
    assert_int_equal(m.step.gateway_index, 1);
    reply_as(stage, GATEWAY_ABANDON, GATEWAY_DONE, ORDER_CANCELLED, "");
    assert_int_equal(stage_capture(stage)->gateway_index, 0); /* the next card begins anew */
}

static void a_kind_that_is_none_and_money_for_a_token_are_refused(void **unused)
{
    (void)unused;
    static const struct capture_open_msg rows[] = {
        {.call_id = STAGE_CALL, .amount_minor = 4999, .currency = "USD", .kind = CAPTURE_KINDS},
        {.call_id = STAGE_CALL, .amount_minor = 4999, .currency = "USD", .kind = CAPTURE_KIND_TOKENISE},
        {.call_id = STAGE_CALL, .amount_minor = 0, .currency = "USD", .kind = CAPTURE_KIND_TOKENISE},
        {.call_id = STAGE_CALL, .amount_minor = 0, .currency = "USD", .kind = CAPTURE_KIND_AUTHORISE},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct stage stage;
        struct capture_open_msg open = rows[i];
        stage_open(&stage, 0);
        MSG_INIT(&open, CAPTURE_OPEN, STAGE_CAPTURE);
        if (stage_say(&stage, DISPATCH_DESK, &open) != ERR_RANGE)
            fail_msg("row %zu was taken", i);
        assert_null(stage_capture(&stage));
        stage_close(&stage);
    }
}

static void a_decline_asks_for_another_card_up_to_the_limit(void **state)
{
    struct stage *stage = *state;
    union stage_message m;
    for (unsigned attempt = 1; attempt <= 3; attempt++) {
        stage_reach(stage, PAYMENT_CONFIRMING);
        assert_int_equal(stage_capture(stage)->attempt, attempt);
        stage_flush(stage);
        reply_as(stage, GATEWAY_CONFIRM, GATEWAY_DECLINED, ORDER_OPEN, "");
        assert_true(stage_expect(stage, DISPATCH_GATEWAY, GATEWAY_ABANDON, &m));
        assert_int_equal(m.step.attempt, attempt);
        reply_as(stage, GATEWAY_ABANDON, GATEWAY_DONE, ORDER_CANCELLED, "");
        if (attempt == 3)
            break;
        struct capture_progress_msg progress = last_progress(stage);
        assert_int_equal(progress.state, CAPTURE_COLLECTING);
        assert_int_equal(progress.problem, PROBLEM_DECLINED);
        assert_int_equal(progress.attempt, attempt + 1);
        assert_int_equal(progress.is_masked, 1);
        for (int i = 0; i < CARD_FIELDS; i++)
            assert_int_equal(progress.fields[i].key_count, 0);
        assert_true(card_fields_are_empty(stage_capture(stage)->fields));
    }
    assert_true(stage_expect(stage, DISPATCH_DESK, CAPTURE_STORE, &m));
    assert_int_equal(m.store.state, CAPTURE_DECLINED);
    assert_string_equal(m.store.token, "");
    stage_say_stored(stage, STAGE_CAPTURE, m.store.store_number, true);
    assert_int_equal(last_progress(stage).state, CAPTURE_DECLINED);
}

static void the_reason_of_a_decline_stays_until_the_next_submit(void **state)
{
    struct stage *stage = *state;
    stage_reach(stage, PAYMENT_CONFIRMING);
    struct gateway_reply_msg reply = {.request_type = GATEWAY_CONFIRM,
                                      .outcome = GATEWAY_DECLINED,
                                      .order_state = ORDER_OPEN,
                                      .reason = REASON_INSUFFICIENT_FUNDS,
                                      .attempt = 1};
    MSG_INIT(&reply, GATEWAY_REPLY, STAGE_CAPTURE);
    assert_int_equal(stage_say(stage, DISPATCH_GATEWAY, &reply), OK);
    reply_as(stage, GATEWAY_ABANDON, GATEWAY_DONE, ORDER_CANCELLED, "");
    struct capture_progress_msg progress = last_progress(stage);
    assert_int_equal(progress.state, CAPTURE_COLLECTING);
    assert_int_equal(progress.gateway_reason, REASON_INSUFFICIENT_FUNDS);
    stage_reach(stage, PAYMENT_STORING_INTENT);
    assert_int_equal(stage_capture(stage)->gateway_reason, REASON_NONE);
}

static void a_slow_step_and_an_advice_are_told_until_the_next_one(void **state)
{
    struct stage *stage = *state;
    stage_reach(stage, PAYMENT_TOKENISING);
    assert_int_equal(last_progress(stage).is_slow, 0);
    struct gateway_slow_msg slow = {.request_type = GATEWAY_TOKENISE, .attempt = 1};
    MSG_INIT(&slow, GATEWAY_SLOW, STAGE_CAPTURE);
    assert_int_equal(stage_say(stage, DISPATCH_GATEWAY, &slow), OK);
    struct capture_progress_msg progress = last_progress(stage);
    assert_int_equal(progress.is_slow, 1);
    assert_int_equal(progress.state, CAPTURE_TOKENISING);
    slow.attempt = 2; /* of no step that is asked */
    assert_int_equal(stage_say(stage, DISPATCH_GATEWAY, &slow), ERR_ORDER);
    struct gateway_reply_msg reply = {.request_type = GATEWAY_TOKENISE,
                                      .outcome = GATEWAY_UNAVAILABLE,
                                      .reason = REASON_UNAVAILABLE,
                                      .advice = ADVICES,
                                      .attempt = 1};
    MSG_INIT(&reply, GATEWAY_REPLY, STAGE_CAPTURE);
    assert_int_not_equal(stage_say(stage, DISPATCH_GATEWAY, &reply), OK); /* no such advice */
    reply.advice = ADVICE_LATER;
    assert_int_equal(stage_say(stage, DISPATCH_GATEWAY, &reply), OK);
    progress = last_progress(stage);
    assert_int_equal(progress.is_slow, 0);
    assert_int_equal(progress.advice, ADVICE_LATER);
}

static void a_hang_up_before_submit_cancels(void **state)
{
    struct stage *stage = *state;
    union stage_message m;
    stage_reach(stage, PAYMENT_COLLECTING);
    stage_keys(stage, "4242");
    stage_flush(stage);
    assert_int_equal(stage_say_gone(stage, STAGE_CAPTURE, STAGE_CALL), OK);
    assert_null(stage_capture(stage)->fields);
    assert_true(stage_expect(stage, DISPATCH_DESK, CAPTURE_STORE, &m));
    assert_int_equal(m.store.state, CAPTURE_CANCELLED);
    assert_int_equal(m.store.problem, PROBLEM_HANG_UP);
    stage_say_stored(stage, STAGE_CAPTURE, m.store.store_number, true);
    assert_int_equal(last_progress(stage).state, CAPTURE_CANCELLED);
    assert_false(stage_expect(stage, DISPATCH_PROXY, PROXY_DISARM, &m)); /* no leg is left */
}

static void a_hang_up_after_confirm_goes_on_to_the_known_end(void **state)
{
    struct stage *stage = *state;
    stage_reach(stage, PAYMENT_CONFIRMING_GONE);
    assert_int_equal(stage_say_cancel(stage, STAGE_CAPTURE, STAGE_CALL), ERR_ORDER);
    reply_as(stage, GATEWAY_CONFIRM, GATEWAY_DONE, ORDER_SUCCEEDED, "");
    reply_as(stage, GATEWAY_STATUS, GATEWAY_DONE, ORDER_SUCCEEDED, "");
    stage_say_stored(stage, STAGE_CAPTURE, stage_capture(stage)->store_number, true);
    assert_int_equal(stage_state(stage), PAYMENT_APPROVED);
}

static void a_hang_up_after_confirm_ends_a_decline(void **state)
{
    struct stage *stage = *state;
    stage_reach(stage, PAYMENT_CONFIRMING_GONE);
    reply_as(stage, GATEWAY_CONFIRM, GATEWAY_DECLINED, ORDER_OPEN, "");
    reply_as(stage, GATEWAY_ABANDON, GATEWAY_DONE, ORDER_CANCELLED, "");
    assert_int_equal(stage_state(stage), PAYMENT_STORING_DECLINED);
}

static void no_money_moves_while_the_desk_is_down(void **state)
{
    struct stage *stage = *state;
    union stage_message m;
    stage_reach(stage, PAYMENT_READY);
    stage_flush(stage);
    stage_say_submit(stage, STAGE_CAPTURE);
    stage_down(stage, DISPATCH_DESK);
    stage_wait(stage, 2000);
    assert_false(stage_expect(stage, DISPATCH_GATEWAY, GATEWAY_TOKENISE, &m));
    stage_up(stage, DISPATCH_DESK);
    assert_true(stage_expect(stage, DISPATCH_DESK, CAPTURE_STORE, &m));
    assert_int_equal(m.store.kind, STORE_INTENT);
    assert_int_equal(m.store.store_number, 1); /* the same store again */
    stage_say_stored(stage, STAGE_CAPTURE, 1, true);
    assert_true(stage_expect(stage, DISPATCH_GATEWAY, GATEWAY_TOKENISE, &m));
    wipe(&m, sizeof(m));
}

static void a_store_that_fails_stops_before_money(void **state)
{
    struct stage *stage = *state;
    union stage_message m;
    stage_reach(stage, PAYMENT_STORING_INTENT);
    stage_flush(stage);
    stage_say_stored(stage, STAGE_CAPTURE, 1, false);
    assert_int_equal(last_progress(stage).problem, PROBLEM_STORE);
    assert_int_equal(stage_state(stage), PAYMENT_READY);
    stage_reach(stage, PAYMENT_STORING_INTENT); /* the agent tries again */
    stage_wait(stage, DISPATCH_STORE_MS);       /* and the desk says nothing */
    assert_int_equal(stage_state(stage), PAYMENT_READY);
    assert_int_equal(stage_say_stored(stage, STAGE_CAPTURE, 2, true), ERR_ORDER); /* too late */
    assert_false(stage_expect(stage, DISPATCH_GATEWAY, GATEWAY_TOKENISE, &m));
    stage_reach(stage, PAYMENT_STORING_ORDER);
    stage_flush(stage);
    stage_say_stored(stage, STAGE_CAPTURE, stage_capture(stage)->store_number, false);
    assert_true(stage_expect(stage, DISPATCH_GATEWAY, GATEWAY_ABANDON, &m));
    reply_as(stage, GATEWAY_ABANDON, GATEWAY_NO_ANSWER, ORDER_NONE, "");
    assert_int_equal(stage_state(stage), PAYMENT_STORING_FAILED);
    assert_int_equal(stage_capture(stage)->problem, PROBLEM_STORE);
}

static void a_result_is_sent_until_it_is_durable(void **state)
{
    struct stage *stage = *state;
    union stage_message m;
    stage_reach(stage, PAYMENT_STORING_APPROVED);
    uint32_t number = stage_capture(stage)->store_number;
    for (int i = 0; i < 3; i++) {
        stage_flush(stage);
        stage_say_stored(stage, STAGE_CAPTURE, number, false);
        stage_wait(stage, 8000);
        assert_true(stage_expect(stage, DISPATCH_DESK, CAPTURE_STORE, &m));
        assert_int_equal(m.store.store_number, number);
        assert_int_equal(m.store.state, CAPTURE_APPROVED);
    }
    stage_down(stage, DISPATCH_DESK);
    stage_up(stage, DISPATCH_DESK);
    assert_true(stage_expect(stage, DISPATCH_DESK, CAPTURE_STORE, &m));
    assert_false(stage_expect(stage, DISPATCH_PROXY, PROXY_DISARM, &m));
    stage_say_stored(stage, STAGE_CAPTURE, number, true);
    assert_int_equal(stage_state(stage), PAYMENT_APPROVED);
}

static void a_media_restart_clears_the_field_being_keyed(void **state)
{
    struct stage *stage = *state;
    stage_reach(stage, PAYMENT_COLLECTING);
    stage_keys(stage, STAGE_CARD "12");
    stage_flush(stage);
    stage_down(stage, DISPATCH_PROXY);
    stage_up(stage, DISPATCH_PROXY);
    assert_int_equal(stage_say_armed(stage, STAGE_CAPTURE, STAGE_CALL, true, false), OK);
    struct capture_progress_msg progress = last_progress(stage);
    assert_int_equal(progress.problem, PROBLEM_MEDIA_RESTARTED);
    assert_int_equal(progress.fields[CARD_NUMBER].is_valid, 1);
    assert_int_equal(progress.fields[CARD_EXPIRY].key_count, 0);
    stage->ordinal = 0; /* the new proxy counts from one */
    stage_keys(stage, "1228"
                      "123");
    progress = last_progress(stage);
    assert_int_equal(progress.state, CAPTURE_READY);
    assert_int_equal(progress.problem, PROBLEM_NONE);
}

static void a_repeated_key_counts_once_and_a_missing_one_clears_the_field(void **state)
{
    struct stage *stage = *state;
    stage_reach(stage, PAYMENT_COLLECTING);
    stage_keys(stage, "424");
    assert_int_equal(stage_say_key(stage, STAGE_CAPTURE, STAGE_CALL, 3, 4), OK);
    assert_int_equal(stage_say_key(stage, STAGE_CAPTURE, STAGE_CALL, 1, 9), OK);
    assert_int_equal(last_progress(stage).fields[CARD_NUMBER].key_count, 3);
    assert_int_equal(counts(stage)->keys_duplicate, 2);
    assert_int_equal(stage_say_key(stage, STAGE_CAPTURE, STAGE_CALL, 5, 2), OK);
    struct capture_progress_msg progress = last_progress(stage);
    assert_int_equal(progress.fields[CARD_NUMBER].key_count, 0);
    assert_int_equal(progress.problem, PROBLEM_MEDIA_RESTARTED);
    assert_int_equal(counts(stage)->keys_missing, 1);
    stage->ordinal = 5;
    stage_keys(stage, STAGE_CARD);
    assert_int_equal(last_progress(stage).fields[CARD_NUMBER].is_valid, 1);
    assert_int_equal(stage_say_key(stage, STAGE_CAPTURE, STAGE_CALL + 1, 22, 1), ERR_ORDER);
    assert_int_equal(stage_say_key(stage, STAGE_CAPTURE, STAGE_CALL, 0, 1), ERR_RANGE);
    assert_int_equal(stage_say_key(stage, STAGE_CAPTURE, STAGE_CALL, 22, 16), ERR_RANGE);
    assert_int_equal(stage_say_key(stage, STAGE_CAPTURE + 1, STAGE_CALL, 22, 1), ERR_NOT_FOUND);
}

static void keys_after_submit_are_dropped(void **state)
{
    struct stage *stage = *state;
    stage_reach(stage, PAYMENT_CONFIRMING);
    stage_keys(stage, "42");
    assert_int_equal(counts(stage)->keys_dropped, 2);
    assert_true(card_fields_are_empty(stage_capture(stage)->fields));
}

static void a_restarted_vault_shows_the_lost_capture_and_lets_it_be_cancelled(void **state)
{
    struct stage *stage = *state;
    union stage_message m;
    stage_close(stage);
    stage_open(stage, 1);
    assert_int_equal(stage_say_armed(stage, STAGE_CAPTURE, STAGE_CALL, true, false), OK);
    struct capture_progress_msg progress = last_progress(stage);
    assert_int_equal(progress.state, CAPTURE_LOST);
    assert_int_equal(progress.problem, PROBLEM_VAULT_RESTARTED);
    assert_int_equal(progress.call_id, STAGE_CALL);
    assert_int_equal(progress.is_masked, 1);
    assert_int_equal(stage_say_key(stage, STAGE_CAPTURE, STAGE_CALL, 9, 4), OK); /* dropped */
    assert_false(stage_expect(stage, DISPATCH_PROXY, PROXY_DISARM, &m));         /* still masked */
    assert_int_equal(stage_say_cancel(stage, STAGE_CAPTURE, STAGE_CALL), OK);
    assert_int_equal(stage_read(stage, DISPATCH_DESK, &m), OK);
    assert_int_equal(m.progress.state, CAPTURE_CANCELLED);
    assert_int_equal(stage_read(stage, DISPATCH_DESK, &m),
                     ERR_EMPTY); /* no result: it may have ended before */
    assert_true(stage_expect(stage, DISPATCH_PROXY, PROXY_DISARM, &m));
    assert_int_equal(m.disarm.capture_id, STAGE_CAPTURE);
    assert_int_equal(stage_say_reconcile(stage, STAGE_CAPTURE, 1, ""), OK); /* crossed the CANCEL */
    assert_true(stage_expect(stage, DISPATCH_DESK, CAPTURE_STORE, &m));
    assert_int_equal(m.store.state, CAPTURE_FAILED);
    assert_true(m.store.store_number > 1000); /* not one of the earlier life */
}

/* The capture goes on and can be paid; it is told as muted until the leg is given back, to a new vault too. */
static void an_alarm_is_told_until_the_leg_is_given_back_and_stops_no_payment(void **state)
{
    struct stage *stage = *state;
    union stage_message m;
    stage_reach(stage, PAYMENT_COLLECTING);
    stage_flush(stage);
    assert_int_equal(stage_say_alarm(stage, STAGE_CAPTURE, STAGE_CALL + 1), ERR_ORDER); /* nobody's call */
    assert_int_equal(stage_say_alarm(stage, STAGE_CAPTURE + 1, STAGE_CALL), ERR_NOT_FOUND);
    assert_int_equal(stage_read(stage, DISPATCH_DESK, &m), ERR_EMPTY);
    assert_int_equal(stage_say_alarm(stage, STAGE_CAPTURE, STAGE_CALL), OK);
    struct capture_progress_msg progress = last_progress(stage);
    assert_int_equal(progress.is_muted, 1);
    assert_int_equal(progress.state, CAPTURE_COLLECTING);
    assert_int_equal(stage_say_alarm(stage, STAGE_CAPTURE, STAGE_CALL), OK); /* said again */
    assert_int_equal(stage_read(stage, DISPATCH_DESK, &m), ERR_EMPTY);
    stage_keys(stage, STAGE_CARD);
    progress = last_progress(stage);
    assert_int_equal(progress.fields[CARD_NUMBER].is_valid, 1);
    assert_int_equal(progress.is_muted, 1);
    assert_int_equal(stage_say_cancel(stage, STAGE_CAPTURE, STAGE_CALL), OK);
    stage_answer_store(stage);
    assert_true(stage_expect(stage, DISPATCH_PROXY, PROXY_DISARM, &m));
    stage_flush(stage);
    assert_int_equal(stage_say_alarm(stage, STAGE_CAPTURE, STAGE_CALL), OK); /* it crossed the end */
    assert_int_equal(stage_capture(stage)->is_muted, 0);
    stage_close(stage);
    stage_open(stage, 1);
    assert_int_equal(stage_say_armed(stage, STAGE_CAPTURE, STAGE_CALL, true, false), OK);
    assert_int_equal(stage_say_alarm(stage, STAGE_CAPTURE, STAGE_CALL), OK);
    progress = last_progress(stage);
    assert_int_equal(progress.state, CAPTURE_LOST);
    assert_int_equal(progress.is_muted, 1);
}

static void a_cancel_of_an_unknown_capture_names_the_call(void **state)
{
    struct stage *stage = *state;
    union stage_message m;
    assert_int_equal(stage_say_cancel(stage, STAGE_CAPTURE, 0), ERR_RANGE);
    assert_int_equal(stage_say_cancel(stage, STAGE_CAPTURE, STAGE_CALL), OK);
    assert_true(stage_expect(stage, DISPATCH_PROXY, PROXY_DISARM, &m));
    assert_int_equal(m.header.subject, STAGE_CALL);
}

static void a_stray_cancel_cannot_lift_the_mask_of_a_live_capture(void **state)
{
    struct stage *stage = *state;
    union stage_message m;
    stage_reach(stage, PAYMENT_COLLECTING);
    stage_flush(stage);
    assert_int_equal(stage_say_cancel(stage, 77, STAGE_CALL), OK);
    stage_down(stage, DISPATCH_PROXY);
    stage_up(stage, DISPATCH_PROXY);
    assert_int_equal(stage_read(stage, DISPATCH_PROXY, &m), OK);
    assert_int_equal(m.arm.capture_id, STAGE_CAPTURE);
    assert_int_equal(stage_read(stage, DISPATCH_PROXY, &m), ERR_EMPTY); /* no ARM, no DISARM for it */
    stage_keys(stage, STAGE_CARD);
    assert_int_equal(last_progress(stage).fields[CARD_NUMBER].is_valid, 1);
}

static void a_lost_capture_is_replaced_by_opening_again_on_its_call(void **state)
{
    struct stage *stage = *state;
    union stage_message m;
    assert_int_equal(stage_say_armed(stage, 77, STAGE_CALL, true, false), OK);
    stage_flush(stage);
    assert_int_equal(stage_say_open(stage, STAGE_CAPTURE, STAGE_CALL), OK);
    assert_true(stage_expect(stage, DISPATCH_PROXY, PROXY_ARM, &m));
    assert_int_equal(m.arm.capture_id, STAGE_CAPTURE);
    assert_int_equal(stage_read(stage, DISPATCH_DESK, &m), OK);
    assert_int_equal(m.header.subject, 77);
    assert_int_equal(m.progress.state, CAPTURE_CANCELLED);
    stage_reach(stage, PAYMENT_COLLECTING);
    assert_false(stage_expect(stage, DISPATCH_PROXY, PROXY_DISARM, &m));  /* the leg is the new one's */
    assert_int_equal(stage_say_open(stage, 78, STAGE_CALL), ERR_REFUSED); /* one live capture per call */
    assert_int_equal(last_progress(stage).state, CAPTURE_FAILED);
}

static void an_open_intent_is_reconciled_by_asking(void **unused)
{
    (void)unused;
    static const struct {
        const char *order_ref;
        enum gateway_order_state order_state;
        bool is_abandoned;
        enum payment_state end;
    } rows[] = {
        {"pi_stage", ORDER_SUCCEEDED, false, PAYMENT_APPROVED},
        {"pi_stage", ORDER_OPEN, true, PAYMENT_FAILED},
        {"pi_stage", ORDER_CANCELLED, false, PAYMENT_FAILED},
        {"", ORDER_NONE, false, PAYMENT_FAILED},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (int is_lost = 0; is_lost <= 1; is_lost++) {
            struct stage stage;
            union stage_message m;
            stage_open(&stage, 2);
            if (is_lost)
                assert_int_equal(stage_say_armed(&stage, STAGE_CAPTURE, STAGE_CALL, true, false), OK);
            assert_int_equal(stage_say_reconcile(&stage, STAGE_CAPTURE, 2, rows[i].order_ref), OK);
            if (rows[i].order_ref[0]) {
                assert_true(stage_expect(&stage, DISPATCH_GATEWAY, GATEWAY_STATUS, &m));
                assert_int_equal(m.step.attempt, 2);
                reply_as(&stage, GATEWAY_STATUS, GATEWAY_DONE, rows[i].order_state, "");
            }
            if (rows[i].is_abandoned) {
                assert_true(stage_expect(&stage, DISPATCH_GATEWAY, GATEWAY_ABANDON, &m));
                assert_int_equal(stage_state(&stage), PAYMENT_SETTLING);
                reply_as(&stage, GATEWAY_ABANDON, GATEWAY_DONE, ORDER_CANCELLED, "");
            }
            assert_true(stage_expect(&stage, DISPATCH_DESK, CAPTURE_STORE, &m));
            assert_string_equal(m.store.token, rows[i].end == PAYMENT_APPROVED ? "pm_kept" : "");
            assert_int_equal(stage_say_stored(&stage, STAGE_CAPTURE, m.store.store_number, true), OK);
            assert_int_equal(stage_state(&stage), rows[i].end);
            assert_int_equal(stage_expect(&stage, DISPATCH_PROXY, PROXY_DISARM, &m), is_lost);
            assert_false(stage_expect(&stage, DISPATCH_GATEWAY, GATEWAY_CONFIRM, &m));
            stage_close(&stage);
        }
    }
}

static void a_reconcile_with_a_token_that_is_none_is_refused(void **unused)
{
    (void)unused;
    struct stage stage;
    struct capture_reconcile_msg message = {
        .amount_minor = 4999, .currency = "USD", .attempt = 1, .order_ref = "pi_stage"};
    MSG_INIT(&message, CAPTURE_RECONCILE, STAGE_CAPTURE);
    memset(message.token, 'a', sizeof(message.token)); /* not terminated */
    stage_open(&stage, 2);
    assert_int_equal(stage_say(&stage, DISPATCH_DESK, &message), ERR_RANGE);
    strcpy(message.token, "pm 1");
    assert_int_equal(stage_say(&stage, DISPATCH_DESK, &message), ERR_RANGE);
    strcpy(message.token, "pm_1");
    assert_int_equal(stage_say(&stage, DISPATCH_DESK, &message), OK);
    stage_close(&stage);
}

static void a_reconcile_of_what_is_unknown_asks_at_once_and_once(void **unused)
{
    (void)unused;
    struct stage stage;
    union stage_message m;
    stage_open(&stage, 0);
    stage_reach(&stage, PAYMENT_UNKNOWN);
    stage_flush(&stage);
    assert_int_equal(stage_say_reconcile(&stage, STAGE_CAPTURE, 1, "pi_stage"), OK);
    assert_true(stage_expect(&stage, DISPATCH_GATEWAY, GATEWAY_STATUS, &m));
    assert_int_equal(stage_state(&stage), PAYMENT_UNKNOWN_ASKED);
    assert_int_equal(stage_say_reconcile(&stage, STAGE_CAPTURE, 1, "pi_stage"), ERR_ORDER);
    stage_close(&stage);
}

static void a_gateway_restart_repeats_what_may_be_repeated_and_asks_otherwise(void **unused)
{
    (void)unused;
    static const struct {
        enum payment_state state;
        uint16_t expected; /* what goes out when it is back */
    } rows[] = {
        {PAYMENT_TOKENISING, GATEWAY_TOKENISE}, {PAYMENT_CREATING, GATEWAY_CREATE},
        {PAYMENT_CONFIRMING, GATEWAY_STATUS},   {PAYMENT_CONFIRMING_GONE, GATEWAY_STATUS},
        {PAYMENT_VERIFYING, GATEWAY_STATUS},    {PAYMENT_SETTLING, GATEWAY_STATUS},
        {PAYMENT_UNKNOWN, GATEWAY_STATUS},      {PAYMENT_UNKNOWN_ASKED, GATEWAY_STATUS},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct stage stage;
        union stage_message m;
        stage_open(&stage, 0);
        stage_reach(&stage, rows[i].state);
        stage_flush(&stage);
        stage_down(&stage, DISPATCH_GATEWAY);
        stage_up(&stage, DISPATCH_GATEWAY);
        assert_int_equal(stage_read(&stage, DISPATCH_GATEWAY, &m), OK);
        assert_int_equal(m.header.type, rows[i].expected);
        assert_int_equal(stage_read(&stage, DISPATCH_GATEWAY, &m), ERR_EMPTY);
        wipe(&m, sizeof(m));
        stage_close(&stage);
    }
}

static void a_gateway_that_is_down_when_needed_costs_no_doubt(void **state)
{
    struct stage *stage = *state;
    stage_reach(stage, PAYMENT_STORING_ORDER);
    stage_down(stage, DISPATCH_GATEWAY);
    stage_say_stored(stage, STAGE_CAPTURE, stage_capture(stage)->store_number, true);
    assert_int_equal(stage_state(stage), PAYMENT_VERIFY_WAIT); /* CONFIRM could not leave */
    stage_up(stage, DISPATCH_GATEWAY);
    reply_as(stage, GATEWAY_STATUS, GATEWAY_DONE, ORDER_OPEN, "");
    reply_as(stage, GATEWAY_ABANDON, GATEWAY_DONE, ORDER_CANCELLED, "");
    assert_int_equal(stage_state(stage), PAYMENT_STORING_FAILED);
}

static void doubt_becomes_unknown_and_is_asked_until_known(void **state)
{
    struct stage *stage = *state;
    union stage_message m;
    stage_reach(stage, PAYMENT_UNKNOWN);
    assert_int_equal(payment_public(stage_state(stage)), CAPTURE_UNKNOWN);
    stage_flush(stage);
    unsigned asked = 0;
    for (int minute = 0; minute < 60; minute++) {
        stage_wait(stage, 60000);
        while (stage_expect(stage, DISPATCH_GATEWAY, GATEWAY_STATUS, &m)) {
            asked++;
            reply_as(stage, GATEWAY_STATUS, GATEWAY_NO_ANSWER, ORDER_NONE, "");
        }
    }
    assert_true(asked >= 10 && asked <= 60); /* with a back-off, and without end */
    assert_int_equal(stage_say_cancel(stage, STAGE_CAPTURE, STAGE_CALL), OK);
    assert_true(stage_expect(stage, DISPATCH_PROXY, PROXY_DISARM, &m)); /* the agent gets the leg back */
    assert_int_equal(payment_public(stage_state(stage)), CAPTURE_UNKNOWN);
    while (!stage_expect(stage, DISPATCH_GATEWAY, GATEWAY_STATUS, &m))
        stage_wait(stage, 1000);
    reply_as(stage, GATEWAY_STATUS, GATEWAY_DONE, ORDER_SUCCEEDED, "");
    stage_say_stored(stage, STAGE_CAPTURE, stage_capture(stage)->store_number, true);
    assert_int_equal(stage_state(stage), PAYMENT_APPROVED);
    assert_false(stage_expect(stage, DISPATCH_PROXY, PROXY_DISARM, &m)); /* once is enough */
}

static void only_the_right_words_of_the_gateway_count(void **unused)
{
    (void)unused;
    static const char *const bad_tokens[] = {"",
                                             "pm 1",
                                             "pm\n1",
                                             "pm_1/2",
                                             "pm_424242",
                                             "424242424242",
                                             "x4242424242424242x",
                                             "pm_\xc3\xa4",
                                             "5555555555554444"};
    for (size_t i = 0; i < sizeof(bad_tokens) / sizeof(bad_tokens[0]); i++) {
        struct stage stage;
        stage_open(&stage, 0);
        stage_reach(&stage, PAYMENT_TOKENISING);
        reply_as(&stage, GATEWAY_TOKENISE, GATEWAY_DONE, ORDER_NONE, bad_tokens[i]);
        if (stage_state(&stage) != PAYMENT_STORING_FAILED)
            fail_msg("token of row %zu was taken", i);
        assert_int_equal(stage_capture(&stage)->gateway_reason, REASON_BAD_ANSWER);
        assert_string_equal(stage_capture(&stage)->token, "");
        assert_int_equal(counts(&stage)->answers_bad, 1);
        stage_close(&stage);
    }
}

static void an_answer_about_another_order_is_no_answer(void **state)
{
    struct stage *stage = *state;
    stage_reach(stage, PAYMENT_VERIFYING);
    assert_int_equal(stage_say_reply(stage, STAGE_CAPTURE, GATEWAY_STATUS, 1, GATEWAY_DONE, ORDER_SUCCEEDED,
                                     "", "pi_other"),
                     OK);
    assert_int_equal(stage_state(stage), PAYMENT_VERIFY_WAIT);
    stage_wait(stage, 1000);
    assert_int_equal(stage_state(stage), PAYMENT_VERIFYING);
    /* STATUS that failed for a wrong amount is not a success either. */
    reply_as(stage, GATEWAY_STATUS, GATEWAY_FAILED, ORDER_SUCCEEDED, "");
    assert_int_equal(stage_state(stage), PAYMENT_VERIFY_WAIT);
}

static void a_stale_or_foreign_reply_is_refused_and_counted(void **state)
{
    struct stage *stage = *state;
    stage_reach(stage, PAYMENT_CONFIRMING);
    assert_int_equal(stage_say_reply(stage, STAGE_CAPTURE, GATEWAY_CONFIRM, 2, GATEWAY_DONE, 0, "", ""),
                     ERR_ORDER); /* another attempt */
    assert_int_equal(stage_say_reply(stage, STAGE_CAPTURE, GATEWAY_STATUS, 1, GATEWAY_DONE, ORDER_SUCCEEDED,
                                     "", "pi_stage"),
                     ERR_ORDER); /* not what was asked */
    assert_int_equal(stage_say_reply(stage, 99, GATEWAY_CONFIRM, 1, GATEWAY_DONE, 0, "", ""), ERR_ORDER);
    assert_int_equal(stage_say_reply(stage, STAGE_CAPTURE, GATEWAY_CONFIRM, 1, GATEWAY_OUTCOMES, 0, "", ""),
                     ERR_RANGE);
    assert_int_equal(
        stage_say_reply(stage, STAGE_CAPTURE, GATEWAY_CONFIRM, 1, GATEWAY_DONE, ORDER_STATES, "", ""),
        ERR_RANGE);
    assert_int_equal(stage_state(stage), PAYMENT_CONFIRMING);
    assert_int_equal(counts(stage)->replies_unasked, 2);
    reply_as(stage, GATEWAY_CONFIRM, GATEWAY_DONE, ORDER_SUCCEEDED, "");
    assert_int_equal(stage_state(stage), PAYMENT_VERIFYING);
}

static void silence_times_out(void **state)
{
    struct stage *stage = *state;
    union stage_message m;
    stage_reach(stage, PAYMENT_COLLECTING);
    for (int i = 0; i < 5; i++) {
        stage_wait(stage, 50000); /* a key now and then keeps it alive */
        stage_keys(stage, "1");
        assert_int_equal(stage_state(stage), PAYMENT_COLLECTING);
    }
    stage_wait(stage, 60000);
    assert_int_equal(stage_state(stage), PAYMENT_STORING_CANCELLED);
    assert_int_equal(stage_capture(stage)->problem, PROBLEM_TIMED_OUT);
    assert_null(stage_capture(stage)->fields);
    stage_answer_store(stage);
    assert_true(stage_expect(stage, DISPATCH_PROXY, PROXY_DISARM, &m));
    stage_wait(stage, DISPATCH_REMEMBER_MS + 1000);
    assert_null(stage_capture(stage)); /* forgotten */
}

static void a_session_has_an_end_whatever_is_keyed(void **state)
{
    struct stage *stage = *state;
    stage_reach(stage, PAYMENT_COLLECTING);
    for (int i = 0; i < 12; i++) {
        stage_wait(stage, 49900);
        if (stage_state(stage) == PAYMENT_COLLECTING)
            stage_keys(stage, "*");
    }
    stage_wait(stage, 2000);
    assert_int_equal(stage_state(stage), PAYMENT_STORING_CANCELLED);
}

static void a_leg_that_cannot_be_armed_ends_the_capture(void **state)
{
    struct stage *stage = *state;
    stage_say_open(stage, STAGE_CAPTURE, STAGE_CALL);
    assert_int_equal(stage_say_armed(stage, STAGE_CAPTURE, STAGE_CALL, false, true), OK);
    assert_int_equal(stage_state(stage), PAYMENT_STORING_FAILED);
    assert_int_equal(stage_capture(stage)->problem, PROBLEM_CALL_UNKNOWN);
}

static void an_end_that_the_proxy_missed_is_told_again(void **state)
{
    struct stage *stage = *state;
    union stage_message m;
    stage_reach(stage, PAYMENT_STORING_CANCELLED);
    stage_down(stage, DISPATCH_PROXY);
    stage_say_stored(stage, STAGE_CAPTURE, stage_capture(stage)->store_number, true);
    assert_int_equal(stage_state(stage), PAYMENT_CANCELLED);
    stage_up(stage, DISPATCH_PROXY);
    assert_int_equal(stage_say_armed(stage, STAGE_CAPTURE, STAGE_CALL, true, false), OK);
    assert_true(stage_expect(stage, DISPATCH_PROXY, PROXY_DISARM, &m));
}

static void nonsense_is_not_opened(void **state)
{
    struct stage *stage = *state;
    static const struct {
        uint64_t capture, call;
        int64_t amount;
        char currency[4];
    } rows[] = {{0, 1, 100, "USD"},
                {1, 0, 100, "USD"},
                {1, 1, 0, "USD"},
                {1, 1, -5, "USD"},
                {1, 1, LIMIT_AMOUNT_MINOR + 1, "USD"},
                {1, 1, 100, "usd"},
                {1, 1, 100, "US"},
                {1, 1, 100, {'U', 'S', 'D', 'X'}},
                {1, 1, 100, "12."}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct capture_open_msg open = {.call_id = rows[i].call, .amount_minor = rows[i].amount};
        memcpy(open.currency, rows[i].currency, 4);
        MSG_INIT(&open, CAPTURE_OPEN, rows[i].capture);
        assert_int_equal(stage_say(stage, DISPATCH_DESK, &open), ERR_RANGE);
        assert_int_equal(last_progress(stage).state, CAPTURE_FAILED);
    }
    assert_true(dispatch_is_idle(stage->dispatch));
}

static void the_table_fills_and_empties(void **state)
{
    struct stage *stage = *state;
    for (uint64_t i = 1; i <= LIMIT_CAPTURES; i++) {
        assert_int_equal(stage_say_armed(stage, i, i, true, false), OK);
        stage_flush(stage);
    }
    assert_int_equal(stage_say_armed(stage, 5000, 5000, true, false), ERR_FULL);
    assert_int_equal(stage_say_open(stage, 5001, 5001), ERR_FULL);
    assert_int_equal(stage_say_cancel(stage, 7, 7), OK);
    assert_int_equal(stage_say_open(stage, 5001, 5001), OK); /* takes the ended one's place */
    assert_null(captures_find(dispatch_captures(stage->dispatch), 7));
}

static void progress_that_found_no_room_is_sent_later(void **state)
{
    struct stage *stage = *state;
    stage_reach(stage, PAYMENT_COLLECTING);
    uint64_t before = dispatch_port(stage->dispatch, DISPATCH_DESK)->counts.send_full;
    while (dispatch_port(stage->dispatch, DISPATCH_DESK)->counts.send_full == before)
        stage_keys(stage, "*"); /* the desk does not read */
    stage_keys(stage, "4242");
    stage_flush(stage);
    stage_wait(stage, 100);
    assert_int_equal(last_progress(stage).fields[CARD_NUMBER].key_count, 4);
}

static void a_desk_that_comes_up_asks_what_there_is(void **state)
{
    struct stage *stage = *state;
    stage_reach(stage, PAYMENT_READY);
    stage_down(stage, DISPATCH_DESK);
    stage_up(stage, DISPATCH_DESK);
    assert_int_equal(stage_say_sync(stage), OK);
    struct capture_progress_msg progress = last_progress(stage);
    assert_int_equal(progress.state, CAPTURE_READY);
    assert_int_equal(progress.header.subject, STAGE_CAPTURE);
}

static void draining_takes_nothing_new(void **state)
{
    struct stage *stage = *state;
    dispatch_drain(stage->dispatch);
    assert_int_equal(stage_say_open(stage, STAGE_CAPTURE, STAGE_CALL), ERR_REFUSED);
    assert_true(dispatch_is_idle(stage->dispatch));
}

/* --- every message in every state --- */

#define S(name) (1ULL << PAYMENT_##name)
#define ALL     ((1ULL << PAYMENT_STATES) - 1)
#define STORING                                                                                              \
    (S(STORING_INTENT) | S(STORING_ORDER) | S(STORING_APPROVED) | S(STORING_DECLINED) |                      \
     S(STORING_CANCELLED) | S(STORING_FAILED))

static enum err put_digit(struct stage *s)
{
    const struct capture *c = stage_capture(s);
    return stage_say_key(s, STAGE_CAPTURE, STAGE_CALL, c && c->ordinal_next ? c->ordinal_next : 1, 4);
}
static enum err put_armed(struct stage *s)
{
    return stage_say_armed(s, STAGE_CAPTURE, STAGE_CALL, false, false);
}
static enum err put_arm_refused(struct stage *s)
{
    return stage_say_armed(s, STAGE_CAPTURE, STAGE_CALL, false, true);
}
static enum err put_resync(struct stage *s)
{
    return stage_say_armed(s, STAGE_CAPTURE, STAGE_CALL, true, false);
}
static enum err put_gone(struct stage *s)
{
    return stage_say_gone(s, STAGE_CAPTURE, STAGE_CALL);
}
static enum err put_alarm(struct stage *s)
{
    return stage_say_alarm(s, STAGE_CAPTURE, STAGE_CALL);
}
static enum err put_open(struct stage *s)
{
    return stage_say_open(s, STAGE_CAPTURE, STAGE_CALL);
}
static enum err put_field(struct stage *s)
{
    return stage_say_field(s, STAGE_CAPTURE, CARD_EXPIRY, true);
}
static enum err put_submit(struct stage *s)
{
    return stage_say_submit(s, STAGE_CAPTURE);
}
static enum err put_cancel(struct stage *s)
{
    return stage_say_cancel(s, STAGE_CAPTURE, STAGE_CALL);
}
static enum err put_stored(struct stage *s)
{
    const struct capture *c = stage_capture(s);
    return stage_say_stored(s, STAGE_CAPTURE, c ? c->store_number : 1, true);
}
static enum err put_stored_stale(struct stage *s)
{
    const struct capture *c = stage_capture(s);
    return stage_say_stored(s, STAGE_CAPTURE, c ? c->store_number - 1 : 0, true);
}
static enum err put_reconcile(struct stage *s)
{
    return stage_say_reconcile(s, STAGE_CAPTURE, 1, "pi_stage");
}
static enum err put_reconcile_blank(struct stage *s)
{
    return stage_say_reconcile(s, STAGE_CAPTURE, 1, "");
}
static enum err put_reply(struct stage *s, uint16_t request)
{
    const struct capture *c = stage_capture(s);
    return stage_say_reply(s, STAGE_CAPTURE, request, c ? c->attempt : 1, GATEWAY_DONE, ORDER_OPEN,
                           "pm_stage", "pi_stage");
}
static enum err put_reply_tokenise(struct stage *s)
{
    return put_reply(s, GATEWAY_TOKENISE);
}
static enum err put_reply_create(struct stage *s)
{
    return put_reply(s, GATEWAY_CREATE);
}
static enum err put_reply_confirm(struct stage *s)
{
    return put_reply(s, GATEWAY_CONFIRM);
}
static enum err put_reply_status(struct stage *s)
{
    return put_reply(s, GATEWAY_STATUS);
}
static enum err put_reply_abandon(struct stage *s)
{
    return put_reply(s, GATEWAY_ABANDON);
}

static enum err put_slow(struct stage *s)
{
    const struct capture *c = stage_capture(s);
    struct gateway_slow_msg slow = {.request_type = GATEWAY_TOKENISE, .attempt = c ? c->attempt : 1};
    MSG_INIT(&slow, GATEWAY_SLOW, STAGE_CAPTURE);
    return stage_say(s, DISPATCH_GATEWAY, &slow);
}

static const struct {
    const char *name;
    enum err (*put)(struct stage *stage);
    enum dispatch_peer peer;
    uint64_t taken_in; /* refused and counted everywhere else */
} matrix[] = {
    {"DIGIT", put_digit, DISPATCH_PROXY, ALL & ~S(NONE)},
    {"ARMED", put_armed, DISPATCH_PROXY, ALL},
    {"ARMED refused", put_arm_refused, DISPATCH_PROXY, ALL & ~S(NONE)},
    {"ARMED resync", put_resync, DISPATCH_PROXY, ALL},
    {"CALL_GONE", put_gone, DISPATCH_PROXY, ALL & ~S(NONE)},
    {"ALARM", put_alarm, DISPATCH_PROXY, ALL & ~S(NONE)},
    {"OPEN", put_open, DISPATCH_DESK, S(NONE)},
    {"FIELD", put_field, DISPATCH_DESK, S(ARMING) | S(COLLECTING) | S(READY)},
    {"SUBMIT", put_submit, DISPATCH_DESK, S(READY)},
    {"CANCEL", put_cancel, DISPATCH_DESK,
     S(NONE) | S(ARMING) | S(COLLECTING) | S(READY) | S(STORING_INTENT) | S(TOKENISING) | S(CREATING) |
         S(CREATING_CANCELLED) | S(STORING_ORDER) | S(ABANDONING_RETRY) | S(ABANDONING_CANCELLED) |
         S(STORING_CANCELLED) | S(UNKNOWN) | S(UNKNOWN_ASKED) | S(UNKNOWN_SETTLING) | S(LOST)},
    {"STORED", put_stored, DISPATCH_DESK, STORING},
    {"STORED stale", put_stored_stale, DISPATCH_DESK, 0},
    {"RECONCILE", put_reconcile, DISPATCH_DESK, S(NONE) | S(LOST) | S(LOST_CANCELLED) | S(UNKNOWN)},
    {"RECONCILE blank", put_reconcile_blank, DISPATCH_DESK,
     S(NONE) | S(LOST) | S(LOST_CANCELLED) | S(UNKNOWN)},
    {"SYNC", stage_say_sync, DISPATCH_DESK, ALL},
    {"REPLY TOKENISE", put_reply_tokenise, DISPATCH_GATEWAY, S(TOKENISING)},
    {"SLOW", put_slow, DISPATCH_GATEWAY, S(TOKENISING)},
    {"REPLY CREATE", put_reply_create, DISPATCH_GATEWAY, S(CREATING) | S(CREATING_CANCELLED)},
    {"REPLY CONFIRM", put_reply_confirm, DISPATCH_GATEWAY, S(CONFIRMING) | S(CONFIRMING_GONE)},
    {"REPLY STATUS", put_reply_status, DISPATCH_GATEWAY, S(VERIFYING) | S(UNKNOWN_ASKED)},
    {"REPLY ABANDON", put_reply_abandon, DISPATCH_GATEWAY,
     S(SETTLING) | S(ABANDONING_RETRY) | S(ABANDONING_DECLINED) | S(ABANDONING_CANCELLED) |
         S(ABANDONING_FAILED) | S(UNKNOWN_SETTLING)},
};

static uint64_t refusals(struct stage *stage, enum dispatch_peer peer)
{
    const struct msg_counts *c = &dispatch_port(stage->dispatch, peer)->counts;
    return c->refused_form + c->refused_state + c->refused_value;
}

static void every_message_in_every_state_is_taken_or_refused_and_counted(void **unused)
{
    (void)unused;
    size_t taken = 0, refused = 0;
    for (unsigned state = PAYMENT_NONE; state < PAYMENT_STATES; state++) {
        for (size_t i = 0; i < sizeof(matrix) / sizeof(matrix[0]); i++) {
            struct stage stage;
            stage_open(&stage, 0);
            if (state != PAYMENT_NONE)
                stage_reach(&stage, state);
            stage_flush(&stage);
            uint64_t before = refusals(&stage, matrix[i].peer);
            bool is_taken = matrix[i].put(&stage) == OK;
            bool should_be = (matrix[i].taken_in >> state & 1) != 0;
            if (is_taken != should_be)
                fail_msg("%s in %s was %s", matrix[i].name, payment_state_name(state),
                         is_taken ? "taken" : "refused");
            assert_int_equal(refusals(&stage, matrix[i].peer) - before, is_taken ? 0 : 1);
            if (!is_taken)
                assert_int_equal(stage_state(&stage), state);
            taken += is_taken;
            refused += !is_taken;
            stage_close(&stage);
        }
    }
    print_message("%zu cells: %zu taken, %zu refused and counted\n", taken + refused, taken, refused);
}

static void messages_of_a_wrong_form_are_refused(void **state)
{
    struct stage *stage = *state;
    struct capture_open_msg open = {.call_id = STAGE_CALL, .amount_minor = 100, .currency = "USD"};
    MSG_INIT(&open, CAPTURE_OPEN, STAGE_CAPTURE);
    struct msg_port *desk = dispatch_port(stage->dispatch, DISPATCH_DESK);
    for (size_t length = 0; length < sizeof(open); length++)
        assert_int_equal(msg_dispatch(desk, &open, length), ERR_LENGTH);
    open.header.version = MSG_VERSION + 1;
    assert_int_equal(msg_dispatch(desk, &open, sizeof(open)), ERR_VERSION);
    open.header.version = MSG_VERSION;
    /* What one peer may say is not for another. */
    assert_int_equal(stage_say(stage, DISPATCH_PROXY, &open), ERR_UNSUPPORTED);
    assert_int_equal(stage_say(stage, DISPATCH_GATEWAY, &open), ERR_UNSUPPORTED);
    for (unsigned type = 0; type < 0x400; type++) {
        struct msg_header header = {MSG_VERSION, (uint16_t)type, sizeof(header), STAGE_CAPTURE};
        for (int peer = 0; peer < DISPATCH_PEERS; peer++) {
            bool is_plain = peer == DISPATCH_DESK && (type == CAPTURE_SUBMIT || type == CAPTURE_SYNC);
            if (!is_plain)
                assert_int_not_equal(
                    msg_dispatch(dispatch_port(stage->dispatch, peer), &header, sizeof(header)), OK);
        }
    }
    assert_true(dispatch_is_idle(stage->dispatch));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_payment_goes_the_straight_way),
        TEST(a_decline_asks_for_another_card_up_to_the_limit),
        TEST(the_reason_of_a_decline_stays_until_the_next_submit),
        TEST(a_slow_step_and_an_advice_are_told_until_the_next_one),
        TEST(a_hang_up_before_submit_cancels),
        TEST(a_hang_up_after_confirm_goes_on_to_the_known_end),
        TEST(a_hang_up_after_confirm_ends_a_decline),
        TEST(no_money_moves_while_the_desk_is_down),
        TEST(a_store_that_fails_stops_before_money),
        TEST(a_result_is_sent_until_it_is_durable),
        TEST(a_media_restart_clears_the_field_being_keyed),
        TEST(a_repeated_key_counts_once_and_a_missing_one_clears_the_field),
        TEST(keys_after_submit_are_dropped),
        TEST(a_restarted_vault_shows_the_lost_capture_and_lets_it_be_cancelled),
        TEST(an_alarm_is_told_until_the_leg_is_given_back_and_stops_no_payment),
        TEST(a_cancel_of_an_unknown_capture_names_the_call),
        TEST(a_stray_cancel_cannot_lift_the_mask_of_a_live_capture),
        TEST(a_lost_capture_is_replaced_by_opening_again_on_its_call),
        TEST(where_a_token_is_wanted_no_order_is_made),
        TEST(held_money_is_an_end_only_where_holding_was_asked_for),
        TEST(a_payment_stays_at_the_gateway_that_has_the_token),
        cmocka_unit_test(a_kind_that_is_none_and_money_for_a_token_are_refused),
        cmocka_unit_test(an_open_intent_is_reconciled_by_asking),
        cmocka_unit_test(a_reconcile_with_a_token_that_is_none_is_refused),
        cmocka_unit_test(a_gateway_restart_repeats_what_may_be_repeated_and_asks_otherwise),
        TEST(a_gateway_that_is_down_when_needed_costs_no_doubt),
        TEST(doubt_becomes_unknown_and_is_asked_until_known),
        cmocka_unit_test(a_reconcile_of_what_is_unknown_asks_at_once_and_once),
        cmocka_unit_test(only_the_right_words_of_the_gateway_count),
        TEST(an_answer_about_another_order_is_no_answer),
        TEST(a_stale_or_foreign_reply_is_refused_and_counted),
        TEST(silence_times_out),
        TEST(a_session_has_an_end_whatever_is_keyed),
        TEST(a_leg_that_cannot_be_armed_ends_the_capture),
        TEST(an_end_that_the_proxy_missed_is_told_again),
        TEST(nonsense_is_not_opened),
        TEST(the_table_fills_and_empties),
        TEST(progress_that_found_no_room_is_sent_later),
        TEST(a_desk_that_comes_up_asks_what_there_is),
        TEST(draining_takes_nothing_new),
        cmocka_unit_test(every_message_in_every_state_is_taken_or_refused_and_counted),
        TEST(messages_of_a_wrong_form_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
