/* Steps that no connector here needs to know: what the desk orders after the card, when it is sent again, what is
 * answered, and that a card number never comes back as a reference. The connector is one of the test's own. */
#include "base/log.h"
#include "gateway/tests/fake/fake_gateway.h"
#include "gateway/tests/probe_connector.h"
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
#define WAIT_MS    15000

static struct fake fake;
static struct rig rig;
static uint64_t next_order = 0x0b0e;

/* --- the desk's end --- */

static struct order_reply_msg reply;
static struct step_report report;
static unsigned reply_count;

static void take_reply(void *owner, const struct order_reply_msg *message, const struct step_report *said)
{
    reply = *message;
    report = *said;
    reply_count++;
    event_base_loopbreak(owner);
}

static void open_rig(const char *script, const struct connector *connector)
{
    probe = (struct probe_memory){.number = CARD};
    reply_count = 0;
    fake_start_script(&fake, script, rig_path("right"));
    struct step_settings settings = rig_settings(fake.url);
    settings.connector = connector;
    settings.slow_mark_ms = 5000;
    settings.charge_timeout_ms = settings.create_timeout_ms = strchr(script, 's') ? TIMEOUT_MS : 8000;
    rig_open(&rig, &settings);
}

static void close_rig(void)
{
    rig_close(&rig);
    fake_stop(&fake);
}

static struct order_take_msg make_order(enum order_kind kind)
{
    struct order_take_msg order;
    memset(&order, 0, sizeof(order));
    MSG_INIT(&order, ORDER_TAKE, next_order++);
    order.call_id = 0x1234;
    order.kind = (uint8_t)kind;
    order.amount_minor = 1999;
    memcpy(order.currency, "EUR", 4);
    snprintf(order.token, sizeof(order.token), "tok_1");
    snprintf(order.order_ref, sizeof(order.order_ref), "pay_1");
    snprintf(order.customer, sizeof(order.customer), "cus_1");
    snprintf(order.plan, sizeof(order.plan), "gold plan");
    snprintf(order.reference, sizeof(order.reference), "invoice 17");
    return order;
}

static void send_order(const struct order_take_msg *order)
{
    assert_int_equal(steps_order(rig.link.steps, order, take_reply, rig.base), OK);
}

static const struct order_reply_msg *carry_out(const struct order_take_msg *order)
{
    unsigned before = reply_count;
    send_order(order);
    for (unsigned ms = 0; reply_count == before && ms < WAIT_MS; ms += 50)
        rig_run_ms(&rig, 50);
    assert_int_equal(reply_count, before + 1);
    assert_int_equal(reply.header.type, ORDER_REPLY);
    assert_int_equal(reply.header.length, sizeof(reply));
    assert_int_equal(reply.header.subject, order->header.subject);
    assert_int_equal(reply.kind, order->kind);
    return &reply;
}

static const struct order_reply_msg *carry_out_kind(enum order_kind kind)
{
    struct order_take_msg order = make_order(kind);
    return carry_out(&order);
}

/* --- orders --- */

static void every_kind_is_said_as_it_was_ordered_under_its_own_key(void **state)
{
    (void)state;
    static const char *const names[ORDER_KINDS] = {"capture", "void", "refund", "subscribe", "link"};
    open_rig("r", &safe_probe);
    for (unsigned kind = 0; kind < ORDER_KINDS; kind++) {
        char line[80], id[17];
        struct order_take_msg order = make_order(kind);
        order.interval_count = 3;
        order.interval_unit = INTERVAL_MONTH;
        assert_int_equal(carry_out(&order)->outcome, GATEWAY_DONE);
        assert_string_equal(reply.order_ref, "pm_rightrightrightright");
        assert_int_equal(probe.seen.operation, CONNECTOR_CAPTURE + kind);
        assert_int_equal(report.operation, CONNECTOR_CAPTURE + kind);
        assert_int_equal(probe.seen.amount_minor, 1999);
        assert_string_equal(probe.seen.currency, "EUR");
        assert_string_equal(probe.seen.token, "tok_1");
        assert_string_equal(probe.seen.order_ref, "pay_1");
        assert_string_equal(probe.seen.customer, "cus_1");
        assert_string_equal(probe.seen.plan, "gold plan");
        assert_string_equal(probe.seen.reference, "invoice 17");
        assert_int_equal(probe.seen.interval_count, 3);
        assert_int_equal(probe.seen.interval_unit, INTERVAL_MONTH);
        assert_int_equal(probe.seen.call_id, 0x1234);
        assert_null(probe.seen.card);
        log_id_text(order.header.subject, id);
        snprintf(line, sizeof(line), "\r\nIdempotency-Key: ord_%s-%s", id, names[kind]);
        assert_non_null(strstr(fake_last_head(&fake), line));
    }
    assert_string_equal(probe.host, fake.url + strlen("https://"));
    assert_true(probe.now_s > 1700000000);
    assert_int_equal(steps_count(rig.link.steps), 0);
    close_rig();
}

static void an_order_that_is_none_is_answered_and_not_sent(void **state)
{
    (void)state;
    struct order_take_msg good = make_order(ORDER_KIND_REFUND);
    struct order_take_msg rows[12];
    for (size_t i = 0; i < 12; i++)
        rows[i] = good;
    rows[0].kind = ORDER_KINDS;
    rows[1].amount_minor = 0;
    rows[2].amount_minor = -1;
    rows[3].amount_minor = LIMIT_AMOUNT_MINOR + 1;
    memcpy(rows[4].currency, "eur", 4);
    memset(rows[5].currency, 0, 4);
    rows[6].order_ref[0] = '\0';
    memset(rows[7].order_ref, 'x', sizeof(rows[7].order_ref));
    snprintf(rows[8].order_ref, sizeof(rows[8].order_ref), "pay 1");
    snprintf(rows[9].reference, sizeof(rows[9].reference), "a\nHeader: b");
    rows[10].interval_unit = INTERVALS;
    rows[11].gateway_index = 1;
    open_rig("r", &safe_probe);
    for (size_t i = 0; i < 12; i++) {
        assert_int_equal(carry_out(&rows[i])->outcome, GATEWAY_FAILED);
        assert_int_equal(reply.reason, REASON_CONFIGURATION);
    }
    struct order_take_msg subscription = make_order(ORDER_KIND_SUBSCRIBE);
    subscription.token[0] = '\0';
    assert_int_equal(carry_out(&subscription)->outcome, GATEWAY_FAILED);
    assert_int_equal(fake.counts->requests, 0);
    /* What a void and a subscription need not say. */
    struct order_take_msg order = make_order(ORDER_KIND_VOID);
    order.amount_minor = 0;
    memset(order.currency, 0, 4);
    assert_int_equal(carry_out(&order)->outcome, GATEWAY_DONE);
    order.header.subject = next_order++;
    order.kind = ORDER_KIND_SUBSCRIBE;
    assert_int_equal(carry_out(&order)->outcome, GATEWAY_DONE);
    assert_int_equal(fake.counts->requests, 2);
    close_rig();
}

static void with_an_idempotency_key_an_order_is_sent_again(void **state)
{
    (void)state;
    open_rig("5dr", &safe_probe);
    assert_int_equal(carry_out_kind(ORDER_KIND_REFUND)->outcome, GATEWAY_DONE);
    assert_int_equal(report.tries, 3);
    assert_int_equal(probe.builds, 1); /* the same request */
    close_rig();
    open_rig("5", &safe_probe);
    assert_int_equal(carry_out_kind(ORDER_KIND_CAPTURE)->outcome, GATEWAY_NO_ANSWER);
    assert_int_equal(fake.counts->requests, 3);
    close_rig();
    open_rig("5", &safe_probe); /* requirement C2: what creates is tried once more, no more */
    assert_int_equal(carry_out_kind(ORDER_KIND_LINK)->outcome, GATEWAY_NO_ANSWER);
    assert_int_equal(fake.counts->requests, 2);
    close_rig();
}

static void without_one_an_order_that_may_be_done_is_never_sent_again(void **state)
{
    (void)state;
    static const char *const scripts[] = {"5r", "dr"};
    for (size_t i = 0; i < 2; i++) {
        open_rig(scripts[i], &unsafe_probe);
        assert_int_equal(carry_out_kind(ORDER_KIND_REFUND)->outcome, GATEWAY_NO_ANSWER);
        rig_run_ms(&rig, 300);
        assert_int_equal(fake.counts->requests, 1);
        close_rig();
    }
}

static void a_time_out_is_never_tried_again_and_the_desk_asks_later_under_the_same_key(void **state)
{
    (void)state;
    char id[17], key[64];
    struct order_take_msg order = make_order(ORDER_KIND_CAPTURE);
    open_rig("sr", &safe_probe);
    assert_int_equal(carry_out(&order)->outcome, GATEWAY_NO_ANSWER);
    assert_int_equal(fake.counts->requests, 1);
    close_rig();
    open_rig("r", &safe_probe);
    assert_int_equal(carry_out(&order)->outcome, GATEWAY_DONE);
    log_id_text(order.header.subject, id);
    snprintf(key, sizeof(key), "Idempotency-Key: ord_%s-capture\r\n", id);
    assert_non_null(strstr(fake_last_head(&fake), key));
    close_rig();
}

/* A connector without idempotency looks first and does it then: the second round alone is in doubt. */
static void an_order_of_two_rounds_ends_where_it_was_lost(void **state)
{
    (void)state;
    open_rig("rr", &unsafe_probe);
    probe.rounds = 2;
    probe.is_bare = true;
    assert_int_equal(carry_out_kind(ORDER_KIND_REFUND)->outcome, GATEWAY_DONE);
    assert_int_equal(probe.builds, 2);
    close_rig();
    open_rig("rdr", &unsafe_probe);
    probe.rounds = 2;
    probe.is_bare = true;
    assert_int_equal(carry_out_kind(ORDER_KIND_REFUND)->outcome, GATEWAY_NO_ANSWER);
    assert_int_equal(fake.counts->requests, 2);
    assert_string_equal(reply.order_ref, "");
    close_rig();
}

static void nothing_that_was_not_sent_is_in_doubt(void **state)
{
    (void)state;
    probe = (struct probe_memory){.number = CARD};
    fake_start(&fake, FAKE_CLOSED_PORT, 0, rig_path("right"));
    struct step_settings settings = rig_settings(fake.url);
    settings.connector = &unsafe_probe;
    rig_open(&rig, &settings);
    assert_int_equal(carry_out_kind(ORDER_KIND_REFUND)->outcome, GATEWAY_UNAVAILABLE);
    assert_int_equal(report.tries, 3);
    close_rig();
}

static void the_same_order_twice_is_one_and_another_of_its_id_is_refused(void **state)
{
    (void)state;
    struct order_take_msg order = make_order(ORDER_KIND_REFUND);
    open_rig("r", &safe_probe);
    send_order(&order);
    struct order_take_msg other = order;
    other.amount_minor++;
    assert_int_equal(steps_order(rig.link.steps, &other, take_reply, rig.base), ERR_ORDER);
    other = order;
    other.kind = ORDER_KIND_CAPTURE;
    assert_int_equal(steps_order(rig.link.steps, &other, take_reply, rig.base), ERR_ORDER);
    assert_int_equal(carry_out(&order)->outcome, GATEWAY_DONE);
    rig_run_ms(&rig, 100);
    assert_int_equal(reply_count, 1);
    assert_int_equal(fake.counts->requests, 1);
    close_rig();
}

static void orders_leave_room_for_cards_and_outlive_the_vault(void **state)
{
    (void)state;
    open_rig("s", &safe_probe);
    for (unsigned i = 0; i < LIMIT_GATEWAY_ORDERS; i++) {
        struct order_take_msg order = make_order(ORDER_KIND_CAPTURE);
        send_order(&order);
    }
    assert_int_equal(steps_count(rig.link.steps), LIMIT_GATEWAY_ORDERS);
    assert_int_equal(carry_out_kind(ORDER_KIND_CAPTURE)->outcome, GATEWAY_UNAVAILABLE);
    assert_string_equal(report.transport, "no_room");
    rig_relink(&rig);
    assert_int_equal(steps_count(rig.link.steps), LIMIT_GATEWAY_ORDERS);
    /* The same number is a capture's, too, and that is another step. */
    struct gateway_step_msg step = rig_step(GATEWAY_STATUS, next_order - 2, 1, 1999, "", "pi_order");
    assert_int_equal(steps_state(rig.link.steps, next_order - 2), STEP_IDLE);
    assert_int_equal(steps_take(rig.link.steps, &step.header), OK);
    assert_int_equal(steps_count(rig.link.steps), LIMIT_GATEWAY_ORDERS + 1);
    close_rig();
}

/* --- slow ones --- */

static void a_slow_step_is_told_once_and_goes_on(void **state)
{
    (void)state;
    struct gateway_health_msg health;
    probe = (struct probe_memory){.number = CARD};
    fake_start(&fake, FAKE_LATE, 900, rig_path("right"));
    struct step_settings settings = rig_settings(fake.url);
    settings.connector = &safe_probe;
    settings.slow_mark_ms = 300;
    rig_open(&rig, &settings);
    struct gateway_step_msg step = rig_step(GATEWAY_CONFIRM, 77, 2, 1999, "", "pi_order");
    assert_int_equal(rig_ask(&rig, &step)->outcome, GATEWAY_DONE);
    assert_int_equal(rig.slow_count, 1);
    assert_int_equal(rig.slow.header.subject, 77);
    assert_int_equal(rig.slow.request_type, GATEWAY_CONFIRM);
    assert_int_equal(rig.slow.attempt, 2);
    assert_true(rig.slow.elapsed_ms >= 280); /* the loop counts from the begin of its turn */
    steps_health(rig.link.steps, 0, &health);
    assert_int_equal(health.slow, 1);
    close_rig();
    open_rig("r", &safe_probe); /* and one that is not, is not */
    step = rig_step(GATEWAY_CONFIRM, 78, 1, 1999, "", "pi_order");
    assert_int_equal(rig_ask(&rig, &step)->outcome, GATEWAY_DONE);
    assert_int_equal(rig.slow_count, 0);
    close_rig();
}

/* --- two gateways --- */

static void an_order_goes_where_its_payment_is_and_a_page_to_where_payments_begin(void **state)
{
    (void)state;
    struct fake second;
    struct step_settings settings[2];
    probe = (struct probe_memory){.number = CARD};
    reply_count = 0;
    fake_start_script(&fake, "5", rig_path("right"));
    fake_start_script(&second, "r", rig_path("right"));
    for (size_t i = 0; i < 2; i++) {
        settings[i] = rig_settings(i == 0 ? fake.url : second.url);
        settings[i].connector = &safe_probe;
        settings[i].retries = 0;
        settings[i].breaker = (struct breaker_policy){.slow_ms = 15000, .failures_max = 2, .open_ms = 9000};
    }
    rig_open_two(&rig, settings);
    struct order_take_msg order = make_order(ORDER_KIND_REFUND);
    order.gateway_index = 1;
    assert_int_equal(carry_out(&order)->outcome, GATEWAY_DONE);
    assert_int_equal(reply.gateway_index, 1);
    assert_int_equal(fake.counts->requests, 0);
    for (unsigned i = 0; i < 2; i++) { /* the second of them opens the breaker */
        assert_int_equal(carry_out_kind(ORDER_KIND_LINK)->outcome, GATEWAY_NO_ANSWER);
        assert_int_equal(reply.gateway_index, 0);
    }
    assert_int_equal(carry_out_kind(ORDER_KIND_LINK)->outcome, GATEWAY_DONE);
    assert_int_equal(reply.gateway_index, 1);
    assert_int_equal(carry_out_kind(ORDER_KIND_REFUND)->outcome, GATEWAY_NO_ANSWER);
    assert_int_equal(reply.gateway_index, 0);
    close_rig();
    fake_stop(&second);
}

/* --- the card comes back --- */

/* The connector believes any number; FAKE's 'e' gives the card's own as the token's name. */
static void a_card_that_comes_back_is_no_reference(void **state)
{
    (void)state;
    open_rig("re", &safe_probe);
    struct gateway_tokenise_msg card = rig_tokenise(next_order++, 1, CARD);
    const struct gateway_reply_msg *told = rig_ask(&rig, &card);
    assert_int_equal(told->outcome, GATEWAY_DONE);
    assert_string_equal(told->order_ref, "pm_rightrightrightright");
    card = rig_tokenise(next_order++, 1, CARD);
    told = rig_ask(&rig, &card);
    assert_int_equal(told->outcome, GATEWAY_FAILED);
    assert_int_equal(told->reason, REASON_BAD_ANSWER);
    assert_string_equal(told->token, "");
    assert_string_equal(told->order_ref, "");
    assert_non_null(strstr(rig_log(), "sent a card number back"));
    assert_null(strstr(rig_log(), CARD));
    assert_int_equal(wipe_heap_count_pattern(CARD, 16), 0);
    /* Not in the answer to an order either, and there it is in doubt. */
    assert_int_equal(carry_out_kind(ORDER_KIND_REFUND)->outcome, GATEWAY_NO_ANSWER);
    assert_string_equal(reply.order_ref, "");
    close_rig();
    /* Without the guard's knowledge the same answer passes: what was caught above was the card. */
    open_rig("e", &safe_probe);
    assert_int_equal(carry_out_kind(ORDER_KIND_REFUND)->outcome, GATEWAY_DONE);
    assert_string_equal(reply.order_ref, "pm_" CARD);
    close_rig();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_is_said_as_it_was_ordered_under_its_own_key),
        cmocka_unit_test(an_order_that_is_none_is_answered_and_not_sent),
        cmocka_unit_test(with_an_idempotency_key_an_order_is_sent_again),
        cmocka_unit_test(without_one_an_order_that_may_be_done_is_never_sent_again),
        cmocka_unit_test(a_time_out_is_never_tried_again_and_the_desk_asks_later_under_the_same_key),
        cmocka_unit_test(an_order_of_two_rounds_ends_where_it_was_lost),
        cmocka_unit_test(nothing_that_was_not_sent_is_in_doubt),
        cmocka_unit_test(the_same_order_twice_is_one_and_another_of_its_id_is_refused),
        cmocka_unit_test(orders_leave_room_for_cards_and_outlive_the_vault),
        cmocka_unit_test(a_slow_step_is_told_once_and_goes_on),
        cmocka_unit_test(an_order_goes_where_its_payment_is_and_a_page_to_where_payments_begin),
        cmocka_unit_test(a_card_that_comes_back_is_no_reference),
    };
    rig_setup();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rig_teardown();
    return failed;
}
