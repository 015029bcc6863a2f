/* What others are told, at a whole desk behind its wall, the test playing the gateway: durable with the end it tells of,
 * in order, again until it is taken, and listed when it never is. */
#include "base/log.h"
#include "capture/tests/desk_harness.h"
#include "gateway/hook_msg.h"
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
#define CONTACT                                                                                              \
    ",\"conversation\":\"c0ffee-1\",\"participant\":\"p-2\",\"sms\":\"+491701234567\",\"email\":\"a@b."      \
    "example\""

static void add_target(struct config *config, const char *name, unsigned events)
{
    struct config_hook_target *target = &config->hook_targets[config->hook_target_count++];
    snprintf(target->name, sizeof(target->name), "%s", name);
    target->events = events;
}

static int setup(void **state)
{
    struct harness *harness = calloc(1, sizeof(*harness));
    harness_new(harness, 0);
    add_target(&harness->config, "billing",
               CONFIG_HOOK_PAYMENT | CONFIG_HOOK_SUBSCRIPTION | CONFIG_HOOK_REFUND);
    add_target(&harness->config, "crm", CONFIG_HOOK_RECEIPT_SMS | CONFIG_HOOK_RECEIPT_EMAIL);
    harness_start(harness);
    *state = harness;
    return 0;
}

static int setup_with_platform(void **state)
{
    struct harness *harness = calloc(1, sizeof(*harness));
    harness_new(harness, 0);
    snprintf(harness->config.genesys.region, LIMIT_NAME_BYTES, "mypurecloud.ie");
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

static struct capture_open_msg open_capture(struct harness *harness, const char *contact, char *id)
{
    struct proxy_calls_wanted_msg wanted;
    struct capture_open_msg open;
    struct harness_reply reply;
    char body[400];
    assert_true(harness_receive(harness->proxy_fd, PROXY_CALLS_WANTED, &wanted, sizeof(wanted)));
    harness_say_call(harness, CALL, PROXY_CALL_ANSWERED, "order-17", "2001");
    snprintf(body, sizeof(body), "{\"call\":\"" CALL_ID "\",\"amount\":1234,\"currency\":\"EUR\"%s}",
             contact);
    harness_http(harness, "POST", "/v1/captures", NULL, body, &reply);
    if (reply.status != 201)
        fail_msg("%s", reply.body);
    snprintf(id, 24, "%s", text_of(reply.json, "id"));
    harness_reply_free(&reply);
    assert_true(harness_receive(harness->vault_fd, CAPTURE_OPEN, &open, sizeof(open)));
    return open;
}

static void end_capture(struct harness *harness, const struct capture_open_msg *open, enum capture_state end)
{
    struct capture_stored_msg stored;
    for (int kind = STORE_INTENT; kind <= STORE_RESULT; kind++) {
        struct capture_store_msg message =
            harness_store(open, (enum capture_store_kind)kind, (uint32_t)kind + 1);
        message.state = (uint8_t)end;
        if (kind != STORE_INTENT) {
            snprintf(message.order_ref, sizeof(message.order_ref), "pi_1");
            snprintf(message.token, sizeof(message.token), "pm_1");
        }
        harness_send(harness->vault_fd, &message);
        assert_true(harness_receive(harness->vault_fd, CAPTURE_STORED, &stored, sizeof(stored)));
        assert_true(stored.is_durable);
    }
}

static struct hook_send_msg sent(struct harness *harness)
{
    struct hook_send_msg hook;
    assert_true(harness_receive(harness->gateway_fd, HOOK_SEND, &hook, sizeof(hook)));
    return hook;
}

static void result(struct harness *harness, const struct hook_send_msg *hook, enum hook_outcome outcome,
                   uint32_t status, uint32_t again_after_ms)
{
    struct hook_result_msg message = {
        .outcome = (uint8_t)outcome, .status = status, .again_after_ms = again_after_ms};
    MSG_INIT(&message, HOOK_RESULT, hook->header.subject);
    harness_send(harness->gateway_fd, &message);
}

static size_t hooks_in(struct harness *harness, const char *state, char *first_id)
{
    struct harness_reply reply;
    char path[64];
    snprintf(path, sizeof(path), "/v1/hooks?state=%s", state);
    harness_http(harness, "GET", path, NULL, NULL, &reply);
    assert_int_equal(reply.status, 200);
    const json_t *list = json_object_get(reply.json, "hooks");
    size_t count = json_array_size(list);
    if (first_id)
        snprintf(first_id, 32, "%s", text_of(json_array_get(list, 0), "id"));
    harness_reply_free(&reply);
    return count;
}

static void wait_hooks(struct harness *harness, const char *state, size_t count)
{
    for (int i = 0; i < 100; i++) {
        if (hooks_in(harness, state, NULL) == count)
            return;
        usleep(20000);
    }
    fail_msg("not %zu hooks are %s", count, state);
}

static void an_approved_payment_is_told_to_whom_it_concerns(void **state)
{
    struct harness *harness = *state;
    char id[24];
    struct capture_open_msg open = open_capture(harness, CONTACT, id);
    assert_true(harness_is_quiet(harness->gateway_fd, 100)); /* no platform is configured */
    end_capture(harness, &open, CAPTURE_APPROVED);
    struct hook_send_msg payment = sent(harness);
    struct hook_send_msg sms = sent(harness);
    assert_int_equal(payment.kind, HOOK_PAYMENT);
    assert_int_equal(payment.target, 0);
    assert_int_equal(payment.status, HOOK_STATUS_CONFIRMED);
    assert_int_equal(payment.amount_minor, 1234);
    assert_string_equal(payment.payment_ref, "pi_1");
    assert_string_equal(payment.token, "pm_1");
    assert_string_equal(payment.conversation, "c0ffee-1");
    assert_string_equal(payment.reference, "order-17");
    assert_string_equal(payment.recipient, "");
    assert_int_equal(sms.kind, HOOK_RECEIPT_SMS);
    assert_int_equal(sms.target, 1);
    assert_string_equal(sms.recipient, "+491701234567");
    /* The e-mail goes to the same address about the same capture: after the text message. */
    assert_true(harness_is_quiet(harness->gateway_fd, 200));
    result(harness, &sms, HOOK_DELIVERED, 200, 0);
    struct hook_send_msg email = sent(harness);
    assert_int_equal(email.kind, HOOK_RECEIPT_EMAIL);
    assert_string_equal(email.recipient, "a@b.example");
    result(harness, &email, HOOK_DELIVERED, 204, 0);
    result(harness, &payment, HOOK_DELIVERED, 200, 0);
    wait_hooks(harness, "delivered", 3);
    /* The vault says its result again: nobody is told again. */
    struct capture_store_msg again = harness_store(&open, STORE_RESULT, 9);
    struct capture_stored_msg stored;
    again.state = CAPTURE_APPROVED;
    snprintf(again.order_ref, sizeof(again.order_ref), "pi_1");
    snprintf(again.token, sizeof(again.token), "pm_1");
    harness_send(harness->vault_fd, &again);
    assert_true(harness_receive(harness->vault_fd, CAPTURE_STORED, &stored, sizeof(stored)));
    assert_true(harness_is_quiet(harness->gateway_fd, 200));
}

static void what_was_not_taken_is_sent_again_over_restarts_and_the_same(void **state)
{
    struct harness *harness = *state;
    char id[24];
    struct capture_open_msg open = open_capture(harness, "", id);
    end_capture(harness, &open, CAPTURE_DECLINED);
    struct hook_send_msg first = sent(harness);
    assert_int_equal(first.status, HOOK_STATUS_DECLINED);
    harness_kill(harness);
    harness_start(harness);
    struct hook_send_msg second = sent(harness);
    assert_memory_equal(&first, &second, sizeof(first));
    harness_link_cut(harness, ROLE_GATEWAY);
    harness_link_new(harness, ROLE_GATEWAY);
    second = sent(harness);
    assert_memory_equal(&first, &second, sizeof(first));
    /* Ten seconds from now, and not before. */
    result(harness, &second, HOOK_LATER, 503, 0);
    assert_true(harness_is_quiet(harness->gateway_fd, 1500));
    assert_int_equal(hooks_in(harness, "waiting", NULL), 1);
    /* A result that was not asked for changes nothing. */
    result(harness, &second, HOOK_DELIVERED, 200, 0);
    usleep(100000);
    assert_int_equal(hooks_in(harness, "waiting", NULL), 1);
}

static void what_is_refused_is_listed_and_tried_again_or_dropped_by_a_person(void **state)
{
    struct harness *harness = *state;
    struct harness_reply reply;
    char capture[24];
    char id[32];
    char path[64];
    struct capture_open_msg open = open_capture(harness, "", capture);
    end_capture(harness, &open, CAPTURE_APPROVED);
    struct hook_send_msg hook = sent(harness);
    result(harness, &hook, HOOK_REFUSED, 422, 0);
    wait_hooks(harness, "dead", 1);
    hooks_in(harness, "dead", id);
    snprintf(path, sizeof(path), "/v1/hooks/%s/retry", id);
    harness_http(harness, "POST", path, NULL, NULL, &reply);
    assert_int_equal(reply.status, 202);
    harness_reply_free(&reply);
    struct hook_send_msg again = sent(harness);
    assert_memory_equal(&hook, &again, sizeof(hook));
    harness_http(harness, "POST", path, NULL, NULL, &reply);
    assert_int_equal(reply.status, 409); /* it is on its way */
    harness_reply_free(&reply);
    result(harness, &again, HOOK_REFUSED, 400, 0);
    wait_hooks(harness, "dead", 1);
    snprintf(path, sizeof(path), "/v1/hooks/%s/drop", id);
    harness_http(harness, "POST", path, NULL, NULL, &reply);
    assert_int_equal(reply.status, 202);
    harness_reply_free(&reply);
    assert_int_equal(hooks_in(harness, "dropped", NULL), 1);
    harness_http(harness, "POST", "/v1/hooks/hook_aaaaaaaaaaaaaaab/drop", NULL, NULL, &reply);
    assert_int_equal(reply.status, 404);
    harness_reply_free(&reply);
    harness_http(harness, "GET", "/v1/hooks?state=lost", NULL, NULL, &reply);
    assert_int_equal(reply.status, 422);
    harness_reply_free(&reply);
}

static void a_subscription_that_was_made_is_handed_to_billing(void **state)
{
    struct harness *harness = *state;
    struct harness_reply reply;
    struct order_take_msg take;
    char id[24];
    char path[96];
    struct capture_open_msg open = open_capture(harness, "", id);
    end_capture(harness, &open, CAPTURE_APPROVED);
    struct hook_send_msg hook = sent(harness);
    result(harness, &hook, HOOK_DELIVERED, 200, 0);
    struct capture_progress_msg progress = harness_progress(&open, CAPTURE_APPROVED);
    harness_send(harness->vault_fd, &progress);
    wait_hooks(harness, "delivered", 1);
    snprintf(path, sizeof(path), "/v1/captures/%s/subscribe", id);
    harness_http(harness, "POST", path, "Idempotency-Key: k\r\n", "{\"plan\":\"gold\"}", &reply);
    assert_int_equal(reply.status, 202);
    harness_reply_free(&reply);
    assert_true(harness_receive(harness->gateway_fd, ORDER_TAKE, &take, sizeof(take)));
    struct order_reply_msg answer = {.kind = take.kind, .outcome = GATEWAY_DONE};
    MSG_INIT(&answer, ORDER_REPLY, take.header.subject);
    snprintf(answer.order_ref, sizeof(answer.order_ref), "sub_1");
    harness_send(harness->gateway_fd, &answer);
    hook = sent(harness);
    assert_int_equal(hook.kind, HOOK_SUBSCRIPTION);
    assert_string_equal(hook.payment_ref, "sub_1");
    assert_string_equal(hook.token, "pm_1");
}

static void the_platform_is_paused_told_and_resumed_in_this_order(void **state)
{
    struct harness *harness = *state;
    char id[24];
    struct capture_open_msg open = open_capture(harness, CONTACT, id);
    struct hook_send_msg hook = sent(harness);
    assert_int_equal(hook.kind, HOOK_RECORDING_PAUSE);
    assert_int_equal(hook.target, HOOK_TARGET_PLATFORM);
    assert_string_equal(hook.conversation, "c0ffee-1");
    end_capture(harness, &open, CAPTURE_APPROVED);
    assert_true(harness_is_quiet(harness->gateway_fd, 200)); /* nothing overtakes the pause */
    result(harness, &hook, HOOK_DELIVERED, 202, 0);
    static const struct {
        enum hook_kind kind;
        enum hook_status status;
    } expected[] = {{HOOK_ATTRIBUTES, HOOK_STATUS_PENDING},
                    {HOOK_RECORDING_RESUME, HOOK_STATUS_PENDING},
                    {HOOK_ATTRIBUTES, HOOK_STATUS_CONFIRMED}};
    for (size_t i = 0; i < 3; i++) {
        hook = sent(harness);
        assert_int_equal(hook.kind, expected[i].kind);
        assert_int_equal(hook.status, expected[i].status);
        result(harness, &hook, HOOK_DELIVERED, 202, 0);
    }
    assert_string_equal(hook.payment_ref, "pi_1");
    wait_hooks(harness, "delivered", 4);
}

/* A pause that never comes through must not keep the recording's resume, nor the result, from the platform. */
static void a_pause_is_given_up_soon_and_a_cancelled_capture_resumes(void **state)
{
    struct harness *harness = *state;
    char id[24];
    struct capture_open_msg open = open_capture(harness, ",\"conversation\":\"c-1\"", id);
    struct capture_progress_msg progress = harness_progress(&open, CAPTURE_CANCELLED);
    harness_send(harness->vault_fd, &progress);
    struct hook_send_msg hook = sent(harness);
    assert_int_equal(hook.kind, HOOK_RECORDING_PAUSE);
    result(harness, &hook, HOOK_REFUSED, 400, 0);
    hook = sent(harness);
    assert_int_equal(hook.kind, HOOK_RECORDING_RESUME);
    result(harness, &hook, HOOK_DELIVERED, 202, 0);
    wait_hooks(harness, "dead", 1);
}

static void contacts_of_a_wrong_form_are_refused(void **state)
{
    static const char *const members[] = {"\"sms\":\"01701234567\"",
                                          "\"sms\":\"+12\"",
                                          "\"sms\":\"+4111111111111111\"",
                                          "\"email\":\"a.example\"",
                                          "\"email\":\"a@\"",
                                          "\"email\":\"a@b@c\"",
                                          "\"email\":\"4111111111111111@b\"",
                                          "\"conversation\":\"a/b\"",
                                          "\"participant\":\"\"",
                                          "\"conversation\":\"4111111111111111\""};
    struct harness *harness = *state;
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        struct harness_reply reply;
        char body[200];
        snprintf(body, sizeof(body), "{\"call\":\"" CALL_ID "\",\"amount\":1,\"currency\":\"EUR\",%s}",
                 members[i]);
        harness_http(harness, "POST", "/v1/captures", NULL, body, &reply);
        if (reply.status != 422)
            fail_msg("%s: %d", members[i], reply.status);
        assert_null(strstr(reply.body, "4111"));
        harness_reply_free(&reply);
    }
}

int main(void)
{
#define TEST(name)          cmocka_unit_test_setup_teardown(name, setup, teardown)
#define PLATFORM_TEST(name) cmocka_unit_test_setup_teardown(name, setup_with_platform, teardown)
    const struct CMUnitTest tests[] = {
        TEST(an_approved_payment_is_told_to_whom_it_concerns),
        TEST(what_was_not_taken_is_sent_again_over_restarts_and_the_same),
        TEST(what_is_refused_is_listed_and_tried_again_or_dropped_by_a_person),
        TEST(a_subscription_that_was_made_is_handed_to_billing),
        PLATFORM_TEST(the_platform_is_paused_told_and_resumed_in_this_order),
        PLATFORM_TEST(a_pause_is_given_up_soon_and_a_cancelled_capture_resumes),
        TEST(contacts_of_a_wrong_form_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
