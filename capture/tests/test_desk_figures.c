/* Figures of a whole desk: what is counted, by outcome and agent, in the store and since the desk began; the gateways'
 * health as the gateway tells it. */
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

static int setup(void **state)
{
    struct harness *harness = calloc(1, sizeof(*harness));
    struct proxy_calls_wanted_msg wanted;
    harness_new(harness, 0);
    harness_start(harness);
    assert_true(harness_receive(harness->proxy_fd, PROXY_CALLS_WANTED, &wanted, sizeof(wanted)));
    *state = harness;
    return 0;
}

static int teardown(void **state)
{
    harness_free(*state);
    free(*state);
    return 0;
}

static void capture(struct harness *harness, unsigned number, enum capture_state end,
                    enum capture_problem problem, bool is_attempted)
{
    struct capture_open_msg open;
    struct capture_stored_msg stored;
    struct harness_reply reply;
    char body[128];
    char callee[16];
    snprintf(callee, sizeof(callee), "20%02u", number);
    harness_say_call(harness, 0x1000 + number, PROXY_CALL_ANSWERED, "", callee);
    snprintf(body, sizeof(body), "{\"callee\":\"%s\",\"amount\":1234,\"currency\":\"EUR\"}", callee);
    for (int i = 0; i < 50; i++) { /* the links are read in the desk's own time */
        harness_http(harness, "POST", "/v1/captures", NULL, body, &reply);
        if (reply.status != 404)
            break;
        harness_reply_free(&reply);
        usleep(20000);
    }
    assert_int_equal(reply.status, 201);
    harness_reply_free(&reply);
    assert_true(harness_receive(harness->vault_fd, CAPTURE_OPEN, &open, sizeof(open)));
    for (int kind = STORE_INTENT; is_attempted && kind <= STORE_RESULT; kind++) {
        struct capture_store_msg message =
            harness_store(&open, (enum capture_store_kind)kind, (uint32_t)kind + 1);
        message.state = (uint8_t)end;
        message.problem = (uint8_t)problem;
        harness_send(harness->vault_fd, &message);
        assert_true(harness_receive(harness->vault_fd, CAPTURE_STORED, &stored, sizeof(stored)));
        assert_true(stored.is_durable);
    }
    struct capture_progress_msg progress = harness_progress(&open, end);
    progress.problem = (uint8_t)problem;
    harness_send(harness->vault_fd, &progress);
}

static json_int_t number_of(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

/* Asks until the report's sum is this. */
static json_t *report(struct harness *harness, const char *path, const char *sum, json_int_t value)
{
    struct harness_reply reply;
    for (int i = 0; i < 100; i++) {
        harness_http(harness, "GET", path, NULL, NULL, &reply);
        if (reply.status == 200 && number_of(json_object_get(reply.json, "sums"), sum) == value) {
            json_t *found = json_incref(reply.json);
            harness_reply_free(&reply);
            return found;
        }
        harness_reply_free(&reply);
        usleep(20000);
    }
    fail_msg("%s does not become %lld", sum, (long long)value);
    return NULL;
}

static void wait_text(struct harness *harness, const char *path, const char *text)
{
    struct harness_reply reply;
    bool is_there = false;
    for (int i = 0; i < 100 && !is_there; i++) {
        harness_http(harness, "GET", path, NULL, NULL, &reply);
        is_there = reply.status == 200 && strstr(reply.body, text);
        if (!is_there && i == 99)
            fail_msg("no %s in %s", text, reply.body);
        harness_reply_free(&reply);
        usleep(20000);
    }
}

static void captures_are_counted_by_what_became_of_them(void **state)
{
    struct harness *harness = *state;
    capture(harness, 1, CAPTURE_APPROVED, PROBLEM_NONE, true);
    capture(harness, 2, CAPTURE_APPROVED, PROBLEM_NONE, true);
    capture(harness, 3, CAPTURE_DECLINED, PROBLEM_DECLINED, true);
    capture(harness, 4, CAPTURE_CANCELLED, PROBLEM_HANG_UP, false);
    capture(harness, 5, CAPTURE_COLLECTING, PROBLEM_NONE, false);
    json_t *figures = report(harness, "/v1/report?by=agent", "unsuccessful", 2);
    const json_t *sums = json_object_get(figures, "sums");
    assert_int_equal(number_of(sums, "entered"), 5);
    assert_int_equal(number_of(sums, "attempted"), 3);
    assert_int_equal(number_of(sums, "successful"), 2);
    assert_int_equal(number_of(sums, "hung_up"), 1);
    assert_int_equal(number_of(sums, "open"), 1);
    const json_t *first = json_array_get(json_object_get(figures, "outcomes"), 0);
    assert_string_equal(json_string_value(json_object_get(first, "agent")), "agent-one");
    assert_string_equal(json_string_value(json_object_get(first, "outcome")), "approved");
    assert_int_equal(number_of(first, "count"), 2);
    json_decref(figures);
    wait_text(harness, "/v1/report?format=csv", "\r\n,approved,2,2,0,");
    wait_text(harness, "/metrics", "\ntonegate_captures_entered_total 5\n");
    wait_text(harness, "/metrics", "\ntonegate_payments_attempted_total 3\n");
    wait_text(harness, "/metrics", "\ntonegate_captures_hung_up_total 1\n");
    wait_text(harness, "/metrics", "\ntonegate_captures_ended_total{outcome=\"approved\"} 2\n");
    wait_text(harness, "/metrics", "\ntonegate_captures_open 1\n");
    /* After a restart the counters begin anew, the store does not. */
    harness_kill(harness);
    harness_start(harness);
    json_decref(report(harness, "/v1/report", "successful", 2));
    wait_text(harness, "/metrics", "\ntonegate_captures_entered_total 0\n");
    json_decref(report(harness, "/v1/report?from=2020-01-01&to=2020-01-02", "entered", 0));
}

static void spans_and_forms_that_are_none_are_refused(void **state)
{
    static const char *const queries[] = {"from=yesterday",
                                          "from=2026-01-02&to=2026-01-01",
                                          "from=2026-01-01&to=2026-03-01",
                                          "to=2026-01-01T10:00:00",
                                          "by=colour",
                                          "format=xml"};
    for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
        struct harness_reply reply;
        char path[96];
        snprintf(path, sizeof(path), "/v1/report?%s", queries[i]);
        harness_http(*state, "GET", path, NULL, NULL, &reply);
        if (reply.status != 422)
            fail_msg("%s: %d", path, reply.status);
        harness_reply_free(&reply);
    }
    struct harness_reply reply;
    harness_http(*state, "GET", "/metrics", "Authorization: \r\n", NULL, &reply);
    assert_int_equal(reply.status, 401);
    harness_reply_free(&reply);
}

static struct gateway_health_msg health(uint8_t index, uint8_t breaker, const char *connector)
{
    struct gateway_health_msg message = {
        .gateway_index = index, .breaker_state = breaker, .average_ms = 250, .steps = {7, 1, 0, 0, 2}};
    MSG_INIT(&message, GATEWAY_HEALTH, 0);
    snprintf(message.connector, sizeof(message.connector), "%s", connector);
    return message;
}

static void the_gateways_health_is_shown_as_it_is_told(void **state)
{
    struct harness *harness = *state;
    struct gateway_health_msg first = health(0, 1, "stripe");
    struct gateway_health_msg second = health(1, 0, "paypal");
    harness_send(harness->gateway_fd, &first);
    harness_send(harness->gateway_fd, &second);
    wait_text(harness, "/metrics",
              "\ntonegate_gateway_breaker_state{gateway=\"0\",connector=\"stripe\"} 1\n");
    wait_text(harness, "/metrics",
              "\ntonegate_gateway_steps_total{gateway=\"1\",connector=\"paypal\",outcome=\"no_answer\"} 2\n");
    wait_text(harness, "/metrics",
              "\ntonegate_gateway_exchange_seconds_average{gateway=\"0\",connector=\"stripe\"} 0.250\n");
    wait_text(harness, "/healthz", "\"breaker\":\"open\"");
    /* What no gateway says changes nothing. */
    struct gateway_health_msg wrong[] = {health(2, 0, "stripe"), health(0, 3, "stripe"),
                                         health(0, 0, "4111111111111111"), health(0, 0, "a\nb"),
                                         health(0, 0, "")};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        harness_send(harness->gateway_fd, &wrong[i]);
    usleep(100000);
    wait_text(harness, "/metrics",
              "\ntonegate_gateway_breaker_state{gateway=\"0\",connector=\"stripe\"} 1\n");
    /* A gateway that is gone has no health. */
    harness_link_cut(harness, ROLE_GATEWAY);
    wait_text(harness, "/healthz", "\"gateways\":[]");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(captures_are_counted_by_what_became_of_them),
        TEST(spans_and_forms_that_are_none_are_refused),
        TEST(the_gateways_health_is_shown_as_it_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
