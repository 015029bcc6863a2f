/* Orders after the card at a whole desk behind its wall, the test playing the gateway: durable before they are sent, sent
 * again until they have an end, never more money than there was, once per key. */
#include "base/log.h"
#include "capture/tests/desk_harness.h"
#include "gateway/order_msg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define CALL    0x1122334455667788ULL
#define CALL_ID "call_bbccddeeffgghhii"

static int setup(void **state)
{
    struct harness *harness = calloc(1, sizeof(*harness));
    harness_new(harness, 0);
    harness_start(harness);
    *state = harness;
    return 0;
}

static int teardown(void **state)
{
    harness_free(*state);
    free(*state);
    return 0;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "(null)";
}

static void store(struct harness *harness, const struct capture_open_msg *open, enum capture_store_kind kind,
                  uint32_t number, enum capture_state end)
{
    struct capture_stored_msg stored;
    struct capture_store_msg message = harness_store(open, kind, number);
    message.capture_kind = open->kind;
    message.state = (uint8_t)end;
    if (kind != STORE_INTENT) {
        snprintf(message.order_ref, sizeof(message.order_ref), "pi_1");
        snprintf(message.token, sizeof(message.token), "pm_1");
        message.gateway_index = 1;
    }
    harness_send(harness->vault_fd, &message);
    assert_true(harness_receive(harness->vault_fd, CAPTURE_STORED, &stored, sizeof(stored)));
    assert_true(stored.is_durable);
}

/* A payment of 12.34 EUR with this end, by the gateway of index 1; id has room for 24 bytes. */
static void pay(struct harness *harness, const char *kind, enum capture_state end, char *id)
{
    struct proxy_calls_wanted_msg wanted;
    struct capture_open_msg open;
    struct harness_reply reply;
    char body[160];
    assert_true(harness_receive(harness->proxy_fd, PROXY_CALLS_WANTED, &wanted, sizeof(wanted)));
    harness_say_call(harness, CALL, PROXY_CALL_ANSWERED, "order-17", "2001");
    snprintf(body, sizeof(body),
             "{\"call\":\"" CALL_ID "\",\"amount\":1234,\"currency\":\"EUR\",\"kind\":\"%s\"}", kind);
    harness_http(harness, "POST", "/v1/captures", NULL, body, &reply);
    if (reply.status != 201)
        fail_msg("%s", reply.body);
    snprintf(id, 24, "%s", text_of(reply.json, "id"));
    harness_reply_free(&reply);
    assert_true(harness_receive(harness->vault_fd, CAPTURE_OPEN, &open, sizeof(open)));
    store(harness, &open, STORE_INTENT, 1, CAPTURE_ARMING);
    store(harness, &open, STORE_ORDER, 2, CAPTURE_ARMING);
    store(harness, &open, STORE_RESULT, 3, end);
    struct capture_progress_msg progress = harness_progress(&open, end);
    harness_send(harness->vault_fd, &progress);
    for (int i = 0; i < 100; i++) {
        char path[64];
        snprintf(path, sizeof(path), "/v1/captures/%s", id);
        harness_http(harness, "GET", path, NULL, NULL, &reply);
        bool is_there =
            strcmp(text_of(reply.json, "state"), end == CAPTURE_APPROVED ? "approved" : "declined") == 0;
        harness_reply_free(&reply);
        if (is_there)
            return;
        usleep(20000);
    }
    fail_msg("the payment has no end");
}

/* Asks; the answer's status, its code in code, the order's id in id (either may be NULL). */
static int order(struct harness *harness, const char *capture, const char *what, const char *key,
                 const char *body, char *id, char *code)
{
    struct harness_reply reply;
    char path[96];
    char header[160] = "";
    if (capture)
        snprintf(path, sizeof(path), "/v1/captures/%s/%s", capture, what);
    else
        snprintf(path, sizeof(path), "/v1/links");
    if (key)
        snprintf(header, sizeof(header), "Idempotency-Key: %s\r\n", key);
    harness_http(harness, "POST", path, header, body, &reply);
    int status = reply.status;
    if (id)
        snprintf(id, 24, "%s", text_of(reply.json, "id"));
    if (code)
        snprintf(code, 64, "%s", harness_code(&reply));
    harness_reply_free(&reply);
    return status;
}

static struct order_take_msg sent(struct harness *harness)
{
    struct order_take_msg take;
    assert_true(harness_receive(harness->gateway_fd, ORDER_TAKE, &take, sizeof(take)));
    return take;
}

static void answer(struct harness *harness, const struct order_take_msg *take, enum gateway_outcome outcome,
                   enum gateway_reason reason, const char *ref, const char *url)
{
    struct order_reply_msg reply = {
        .kind = take->kind, .outcome = (uint8_t)outcome, .reason = (uint8_t)reason};
    MSG_INIT(&reply, ORDER_REPLY, take->header.subject);
    snprintf(reply.order_ref, sizeof(reply.order_ref), "%s", ref);
    snprintf(reply.url, sizeof(reply.url), "%s", url);
    harness_send(harness->gateway_fd, &reply);
}

/* Waits until the order is so; what it says of its result in ref. */
static void wait_order(struct harness *harness, const char *id, const char *state, char *ref)
{
    struct harness_reply reply;
    char path[64];
    snprintf(path, sizeof(path), "/v1/orders/%s", id);
    for (int i = 0; i < 100; i++) {
        harness_http(harness, "GET", path, NULL, NULL, &reply);
        bool is_there = reply.status == 200 && strcmp(text_of(reply.json, "state"), state) == 0;
        if (is_there && ref)
            snprintf(ref, 64, "%s", text_of(reply.json, "result_ref"));
        harness_reply_free(&reply);
        if (is_there)
            return;
        usleep(20000);
    }
    fail_msg("the order did not become %s", state);
}

static void a_refund_is_sent_and_its_end_is_told(void **state)
{
    struct harness *harness = *state;
    char payment[24];
    char id[24];
    char ref[64];
    pay(harness, "charge", CAPTURE_APPROVED, payment);
    assert_int_equal(
        order(harness, payment, "refund", "k1", "{\"amount\":1000,\"reference\":\"RMA 7\"}", id, NULL), 202);
    struct order_take_msg take = sent(harness);
    assert_int_equal(take.kind, ORDER_KIND_REFUND);
    assert_int_equal(take.amount_minor, 1000);
    assert_string_equal(take.currency, "EUR");
    assert_string_equal(take.order_ref, "pi_1");
    assert_string_equal(take.reference, "RMA 7");
    assert_int_equal(take.gateway_index, 1);
    assert_int_equal(take.call_id, CALL);
    wait_order(harness, id, "open", NULL);
    answer(harness, &take, GATEWAY_DONE, REASON_NONE, "re_1", "");
    wait_order(harness, id, "done", ref);
    assert_string_equal(ref, "re_1");
    /* The rest, without an amount; then nothing is left. */
    assert_int_equal(order(harness, payment, "refund", "k2", NULL, NULL, NULL), 202);
    take = sent(harness);
    assert_int_equal(take.amount_minor, 234);
    assert_int_equal(order(harness, payment, "refund", "k3", NULL, NULL, NULL), 409);
    answer(harness, &take, GATEWAY_DECLINED, REASON_DECLINED, "", "");
    usleep(100000);
    /* One that was refused gave nothing back. */
    assert_int_equal(order(harness, payment, "refund", "k4", "{\"amount\":234}", NULL, NULL), 202);
    assert_int_equal(order(harness, payment, "refund", "k5", "{\"amount\":1}", NULL, NULL), 409);
}

static void the_same_key_is_the_same_order_and_no_key_is_none(void **state)
{
    struct harness *harness = *state;
    char payment[24];
    char first[24];
    char second[24];
    char code[64];
    pay(harness, "charge", CAPTURE_APPROVED, payment);
    assert_int_equal(order(harness, payment, "refund", NULL, NULL, NULL, code), 422);
    assert_string_equal(code, "idempotency_key_missing");
    assert_int_equal(order(harness, payment, "refund", "4111 1111 1111 1111", NULL, NULL, code), 422);
    assert_int_equal(order(harness, payment, "refund", "k", "{\"amount\":5}", first, NULL), 202);
    sent(harness);
    assert_int_equal(order(harness, payment, "refund", "k", "{\"amount\":5}", second, NULL), 202);
    assert_string_equal(first, second);
    assert_true(harness_is_quiet(harness->gateway_fd, 200));
    assert_int_equal(order(harness, payment, "refund", "k", "{\"amount\":6}", NULL, code), 422);
    assert_string_equal(code, "idempotency_key_reused");
    assert_int_equal(order(harness, payment, "void", "k", NULL, NULL, code), 422);
}

static void what_does_not_fit_the_payment_is_refused_in_words(void **state)
{
    struct harness *harness = *state;
    static const struct {
        const char *what, *body, *code;
        int status;
    } cases[] = {
        {"refund", "{\"amount\":1235}", "amount_out_of_range", 422},
        {"refund", "{\"amount\":0}", "amount_out_of_range", 422},
        {"refund", "{\"amount\":1.5}", "amount_not_integer", 422},
        {"refund", "{\"currency\":\"EUR\"}", "member_unknown", 422},
        {"refund", "{\"reference\":\"4111111111111111\"}", "card_number", 422},
        {"refund", "[", "body_not_json", 400},
        {"capture", NULL, "not_now", 409},
        {"subscribe", "{}", "plan_missing", 422},
        {"subscribe", "{\"plan\":\"gold\",\"interval\":\"month\"}", "interval_invalid", 422},
        {"subscribe", "{\"interval\":\"moon\",\"interval_count\":1,\"amount\":5}", "interval_invalid", 422},
        {"void", "{\"amount\":5}", "member_unknown", 422},
    };
    char payment[24];
    char code[64];
    pay(harness, "charge", CAPTURE_APPROVED, payment);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int status = order(harness, payment, cases[i].what, "k", cases[i].body, NULL, code);
        if (status != cases[i].status || strcmp(code, cases[i].code) != 0)
            fail_msg("%s %s: %d %s", cases[i].what, cases[i].body ? cases[i].body : "", status, code);
    }
    assert_int_equal(order(harness, NULL, "", "k", "{\"amount\":5}", NULL, code), 422);
    assert_string_equal(code, "amount_missing");
    assert_int_equal(order(harness, "cap_aaaaaaaaaaaaaaab", "refund", "k", NULL, NULL, code), 404);
    assert_true(harness_is_quiet(harness->gateway_fd, 100));
}

static void a_declined_payment_has_nothing_to_give_back(void **state)
{
    char payment[24];
    char code[64];
    pay(*state, "charge", CAPTURE_DECLINED, payment);
    assert_int_equal(order(*state, payment, "refund", "k", NULL, NULL, code), 409);
    assert_string_equal(code, "not_approved");
}

static void held_money_is_taken_or_let_go_of_once(void **state)
{
    struct harness *harness = *state;
    char payment[24];
    char id[24];
    pay(harness, "authorise", CAPTURE_APPROVED, payment);
    assert_int_equal(order(harness, payment, "refund", "k1", NULL, NULL, NULL), 409);
    assert_int_equal(order(harness, payment, "capture", "k2", "{\"amount\":1000}", id, NULL), 202);
    struct order_take_msg take = sent(harness);
    assert_int_equal(take.kind, ORDER_KIND_CAPTURE);
    assert_int_equal(take.amount_minor, 1000);
    assert_int_equal(order(harness, payment, "capture", "k3", NULL, NULL, NULL), 409);
    assert_int_equal(order(harness, payment, "void", "k4", NULL, NULL, NULL), 409);
    answer(harness, &take, GATEWAY_FAILED, REASON_CONFIGURATION, "", "");
    wait_order(harness, id, "failed", NULL);
    /* It was certainly not done, so it may be let go of. */
    assert_int_equal(order(harness, payment, "void", "k5", NULL, NULL, NULL), 202);
    take = sent(harness);
    assert_int_equal(take.kind, ORDER_KIND_VOID);
    assert_int_equal(order(harness, payment, "capture", "k6", NULL, NULL, NULL), 409);
}

static void a_kept_card_makes_a_subscription_and_a_link_needs_no_payment(void **state)
{
    struct harness *harness = *state;
    struct harness_reply reply;
    char payment[24];
    char id[24];
    pay(harness, "charge", CAPTURE_APPROVED, payment);
    assert_int_equal(order(harness, payment, "subscribe", "k1",
                           "{\"plan\":\"price_gold\",\"customer\":\"cus_1\",\"interval\":\"month\","
                           "\"interval_count\":3}",
                           NULL, NULL),
                     202);
    struct order_take_msg take = sent(harness);
    assert_string_equal(take.token, "pm_1");
    assert_string_equal(take.plan, "price_gold");
    assert_string_equal(take.customer, "cus_1");
    assert_int_equal(take.interval_unit, INTERVAL_MONTH);
    assert_int_equal(take.interval_count, 3);
    assert_string_equal(take.order_ref, "");
    assert_int_equal(order(harness, NULL, "", "k2",
                           "{\"amount\":500,\"currency\":\"EUR\",\"call\":\"" CALL_ID "\"}", id, NULL),
                     202);
    take = sent(harness);
    assert_int_equal(take.kind, ORDER_KIND_LINK);
    answer(harness, &take, GATEWAY_DONE, REASON_NONE, "plink_1", "http://evil.example/x"); /* refused */
    answer(harness, &take, GATEWAY_DONE, REASON_NONE, "plink_1", "https://buy.example/x");
    wait_order(harness, id, "done", NULL);
    harness_http(harness, "GET", "/v1/orders?limit=1", NULL, NULL, &reply);
    const json_t *list = json_object_get(reply.json, "orders");
    assert_int_equal(json_array_size(list), 1);
    assert_string_equal(text_of(json_array_get(list, 0), "url"), "https://buy.example/x");
    assert_string_equal(text_of(reply.json, "next_before"), id);
    harness_reply_free(&reply);
    char path[96];
    snprintf(path, sizeof(path), "/v1/captures/%s/orders", payment);
    harness_http(harness, "GET", path, NULL, NULL, &reply);
    assert_int_equal(json_array_size(json_object_get(reply.json, "orders")), 1);
    harness_reply_free(&reply);
}

/* Whoever dies: the order is sent again under its id until it was answered, and not once more. */
static void an_order_survives_either_side_and_is_sent_again_under_its_id(void **state)
{
    struct harness *harness = *state;
    char payment[24];
    char id[24];
    pay(harness, "charge", CAPTURE_APPROVED, payment);
    assert_int_equal(order(harness, payment, "refund", "k", NULL, id, NULL), 202);
    struct order_take_msg first = sent(harness);
    harness_link_cut(harness, ROLE_GATEWAY); /* the gateway died with it */
    harness_link_new(harness, ROLE_GATEWAY);
    struct order_take_msg second = sent(harness);
    assert_memory_equal(&first, &second, sizeof(first));
    harness_kill(harness); /* the desk died before it heard */
    harness_start(harness);
    struct order_take_msg third = sent(harness);
    assert_memory_equal(&first, &third, sizeof(first));
    answer(harness, &third, GATEWAY_NO_ANSWER, REASON_UNAVAILABLE, "", "");
    usleep(100000);
    wait_order(harness, id, "open", NULL);
    answer(harness, &third, GATEWAY_DONE, REASON_NONE, "re_1", "");
    wait_order(harness, id, "done", NULL);
    answer(harness, &third, GATEWAY_DECLINED, REASON_DECLINED, "", ""); /* out of state: an end is an end */
    usleep(100000);
    wait_order(harness, id, "done", NULL);
    harness_link_cut(harness, ROLE_GATEWAY);
    harness_link_new(harness, ROLE_GATEWAY);
    assert_true(harness_is_quiet(harness->gateway_fd, 300));
    harness_kill(harness);
    harness_start(harness);
    assert_true(harness_is_quiet(harness->gateway_fd, 300));
}

static void without_a_gateway_an_order_waits_for_it(void **state)
{
    struct harness *harness = *state;
    struct harness_reply reply;
    char payment[24];
    char id[24];
    pay(harness, "charge", CAPTURE_APPROVED, payment);
    harness_link_cut(harness, ROLE_GATEWAY);
    usleep(50000);
    harness_http(harness, "GET", "/healthz", NULL, NULL, &reply);
    assert_string_equal(text_of(reply.json, "status"), "degraded");
    assert_false(json_is_true(json_object_get(reply.json, "gateway")));
    harness_reply_free(&reply);
    assert_int_equal(order(harness, payment, "refund", "k", NULL, id, NULL), 202);
    wait_order(harness, id, "open", NULL);
    harness_link_new(harness, ROLE_GATEWAY);
    struct order_take_msg take = sent(harness);
    assert_int_equal(take.amount_minor, 1234);
}

static void tell_health(struct harness *harness, uint8_t index, uint8_t breaker_state, uint8_t is_off,
                        const char *connector)
{
    struct gateway_health_msg health = {.gateway_index = index,
                                        .breaker_state = breaker_state,
                                        .is_off = is_off,
                                        .opened = 2,
                                        .steps = {40, 3, 1, 5, 1},
                                        .exchanges = 51,
                                        .slow = 4,
                                        .average_ms = 230};
    MSG_INIT(&health, GATEWAY_HEALTH, 0);
    snprintf(health.connector, sizeof(health.connector), "%s", connector);
    harness_send(harness->gateway_fd, &health);
}

static void expect_payments(struct harness *harness, const char *payments, size_t gateway_count)
{
    struct harness_reply reply;
    for (int i = 0; i < 100; i++) {
        harness_http(harness, "GET", "/v1/gateways", NULL, NULL, &reply);
        assert_int_equal(reply.status, 200);
        bool is_so = strcmp(text_of(reply.json, "payments"), payments) == 0 &&
                     json_array_size(json_object_get(reply.json, "gateways")) == gateway_count;
        harness_reply_free(&reply);
        if (is_so)
            return;
        usleep(20000);
    }
    fail_msg("payments did not become %s", payments);
}

static void the_gateways_health_is_shown_and_what_is_none_is_refused(void **state)
{
    struct harness *harness = *state;
    struct harness_reply reply;
    expect_payments(harness, "open", 0);
    tell_health(harness, 0, 1, 0, "stripe");
    expect_payments(harness, "held", 1);
    harness_http(harness, "GET", "/healthz", NULL, NULL, &reply);
    assert_string_equal(text_of(reply.json, "payments"), "held");
    harness_reply_free(&reply);
    tell_health(harness, 1, 0, 0, "paypal");
    expect_payments(harness, "open", 2);
    tell_health(harness, 1, 0, 1, "paypal");
    expect_payments(harness, "held", 2);
    tell_health(harness, 0, 0, 1, "stripe");
    expect_payments(harness, "off", 2);
    harness_http(harness, "GET", "/v1/gateways", NULL, NULL, &reply);
    const json_t *first = json_array_get(json_object_get(reply.json, "gateways"), 0);
    assert_string_equal(text_of(first, "breaker"), "closed");
    assert_string_equal(text_of(first, "connector"), "stripe");
    assert_false(json_is_true(json_object_get(first, "enabled")));
    assert_int_equal(json_integer_value(json_object_get(json_object_get(first, "steps"), "unavailable")), 5);
    assert_int_equal(json_integer_value(json_object_get(first, "average_ms")), 230);
    harness_reply_free(&reply);
    harness_http(harness, "GET", "/metrics", NULL, NULL, &reply);
    assert_int_equal(reply.status, 200);
    assert_non_null(strstr(reply.body, "tonegate_gateway_steps_total{gateway=\"0\",connector=\"stripe\","
                                       "outcome=\"done\"} 40\n"));
    assert_non_null(
        strstr(reply.body, "tonegate_gateway_breaker_opened_total{gateway=\"1\",connector=\"paypal\"} 2\n"));
    assert_non_null(strstr(reply.body, "seconds_average{gateway=\"0\",connector=\"stripe\"} 0.230\n"));
    harness_reply_free(&reply);
    /* A gateway role that was taken over cannot bring anything else in. */
    tell_health(harness, LIMIT_GATEWAYS, 0, 0, "stripe");
    tell_health(harness, 0, 3, 0, "stripe");
    tell_health(harness, 0, 0, 0, "<script>");
    tell_health(harness, 0, 0, 2, "stripe");
    usleep(100000);
    expect_payments(harness, "off", 2);
    harness_link_cut(harness, ROLE_GATEWAY); /* and what is gone is not known */
    expect_payments(harness, "open", 0);
    harness_http(harness, "GET", "/metrics", "Authorization: Basic abc\r\n", NULL, &reply);
    assert_int_equal(reply.status, 401);
    harness_reply_free(&reply);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_refund_is_sent_and_its_end_is_told),
        TEST(the_same_key_is_the_same_order_and_no_key_is_none),
        TEST(what_does_not_fit_the_payment_is_refused_in_words),
        TEST(a_declined_payment_has_nothing_to_give_back),
        TEST(held_money_is_taken_or_let_go_of_once),
        TEST(a_kept_card_makes_a_subscription_and_a_link_needs_no_payment),
        TEST(an_order_survives_either_side_and_is_sent_again_under_its_id),
        TEST(without_a_gateway_an_order_waits_for_it),
        TEST(the_gateways_health_is_shown_and_what_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
