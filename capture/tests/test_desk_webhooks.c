/* Webhooks at a whole desk behind its wall: answers to the letter, every event once, and what follows from it: never an
 * end, at most a question. */
#include "base/clock.h"
#include "base/log.h"
#include "capture/tests/desk_harness.h"
#include "capture/tests/webhook_signer.h"

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
#define HOOK    "/webhooks/stripe/payment"

static void write_key(struct harness *harness, const char *name, const char *text, char *path)
{
    snprintf(path, LIMIT_PATH_BYTES, "%s/%s", harness->folder, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int setup(void **state)
{
    struct harness *harness = calloc(1, sizeof(*harness));
    harness_new(harness, 0);
    struct config_webhook *webhook = &harness->config.desk.webhooks[0];
    harness->config.desk.webhook_count = 1;
    *webhook = (struct config_webhook){.vendor = CONFIG_WEBHOOK_STRIPE, .key_count = 1};
    write_key(harness, "whsec", SIGNER_KEY "\n", webhook->key_paths[0]);
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

/* An event of Stripe's about an intent, signed now. age_s: how long ago. */
static int deliver(struct harness *harness, const char *event_id, const char *type, const char *intent,
                   const char *capture, int64_t age_s, char *answer)
{
    char body[1024];
    char header[256];
    struct harness_reply reply;
    snprintf(
        body, sizeof(body),
        "{\"id\":\"%s\",\"type\":\"%s\",\"data\":{\"object\":{\"object\":\"payment_intent\",\"id\":\"%s\","
        "\"amount\":1234,\"currency\":\"eur\",\"metadata\":{\"capture_id\":\"%s\"}}}}",
        event_id, type, intent, capture);
    signer_stripe(SIGNER_KEY, wall_now().ns / NS_PER_S - age_s, body, header, sizeof(header));
    harness_http(harness, "POST", HOOK, header, body, &reply);
    int status = reply.status;
    snprintf(answer, 64, "%s", reply.body ? reply.body : "");
    harness_reply_free(&reply);
    return status;
}

static void must_receive(struct harness *harness, const char *event_id, const char *type, const char *intent,
                         const char *capture)
{
    char answer[64];
    int status = deliver(harness, event_id, type, intent, capture, 0, answer);
    if (status != 200 || strcmp(answer, "{\"received\":true}") != 0)
        fail_msg("%s: %d %s", event_id, status, answer);
}

/* A capture whose intent and order are stored, in this state. */
static struct capture_open_msg paying_capture(struct harness *harness, enum capture_state state, char *id)
{
    struct proxy_calls_wanted_msg wanted;
    struct capture_open_msg open;
    struct harness_reply reply;
    struct capture_stored_msg stored;
    assert_true(harness_receive(harness->proxy_fd, PROXY_CALLS_WANTED, &wanted, sizeof(wanted)));
    harness_say_call(harness, CALL, PROXY_CALL_ANSWERED, "order-17", "2001");
    harness_http(harness, "POST", "/v1/captures", NULL,
                 "{\"call\":\"" CALL_ID "\",\"amount\":1234,\"currency\":\"EUR\"}", &reply);
    assert_int_equal(reply.status, 201);
    snprintf(id, 24, "%s", text_of(reply.json, "id"));
    harness_reply_free(&reply);
    assert_true(harness_receive(harness->vault_fd, CAPTURE_OPEN, &open, sizeof(open)));
    struct capture_store_msg store = harness_store(&open, STORE_INTENT, 1);
    harness_send(harness->vault_fd, &store);
    assert_true(harness_receive(harness->vault_fd, CAPTURE_STORED, &stored, sizeof(stored)));
    store = harness_store(&open, STORE_ORDER, 2);
    snprintf(store.order_ref, sizeof(store.order_ref), "pi_1");
    harness_send(harness->vault_fd, &store);
    assert_true(harness_receive(harness->vault_fd, CAPTURE_STORED, &stored, sizeof(stored)));
    assert_true(stored.is_durable);
    struct capture_progress_msg progress = harness_progress(&open, state);
    harness_send(harness->vault_fd, &progress);
    return open;
}

static bool asks(struct harness *harness, const struct capture_open_msg *open)
{
    struct capture_reconcile_msg ask;
    return harness_receive(harness->vault_fd, CAPTURE_RECONCILE, &ask, sizeof(ask)) &&
           ask.header.subject == open->header.subject && strcmp(ask.order_ref, "pi_1") == 0;
}

static void wait_state(struct harness *harness, const char *id, const char *state)
{
    char path[64];
    struct harness_reply reply;
    snprintf(path, sizeof(path), "/v1/captures/%s", id);
    for (int i = 0; i < 100; i++) {
        harness_http(harness, "GET", path, NULL, NULL, &reply);
        bool is_there = reply.status == 200 && strcmp(text_of(reply.json, "state"), state) == 0;
        harness_reply_free(&reply);
        if (is_there)
            return;
        usleep(20000);
    }
    fail_msg("the capture did not become %s", state);
}

static size_t audit_lines(const struct harness *harness, const char *part)
{
    char path[HARNESS_PATH];
    char line[2048];
    size_t count = 0;
    harness_path(harness, "audit.jsonl", path);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file))
        count += strstr(line, part) != NULL;
    if (file)
        fclose(file);
    return count;
}

static void answers_are_to_the_letter(void **state)
{
    struct harness *harness = *state;
    struct harness_reply reply;
    char answer[64];
    char header[256];
    must_receive(harness, "evt_1", "payment_intent.succeeded", "pi_9", "");
    assert_int_equal(deliver(harness, "evt_2", "payment_intent.succeeded", "pi_9", "", 301, answer), 400);
    assert_string_equal(answer, "{\"error\":\"Invalid signature\"}");
    signer_stripe(SIGNER_OTHER_KEY, wall_now().ns / NS_PER_S, "{}", header, sizeof(header));
    harness_http(harness, "POST", HOOK, header, "{}", &reply);
    assert_int_equal(reply.status, 400);
    assert_string_equal(reply.body, "{\"error\":\"Invalid signature\"}");
    harness_reply_free(&reply);
    /* The vendor's, and nothing we know: received all the same. */
    signer_stripe(SIGNER_KEY, wall_now().ns / NS_PER_S, "not JSON", header, sizeof(header));
    harness_http(harness, "POST", HOOK, header, "not JSON", &reply);
    assert_int_equal(reply.status, 200);
    harness_reply_free(&reply);
    harness_http(harness, "POST", "/webhooks/paypal", NULL, "{}", &reply);
    assert_int_equal(reply.status, 404);
    assert_string_equal(harness_code(&reply), "not_configured");
    harness_reply_free(&reply);
    harness_http(harness, "GET", HOOK, NULL, NULL, &reply);
    assert_int_equal(reply.status, 405);
    harness_reply_free(&reply);
    assert_int_equal(audit_lines(harness, "\"webhook.stripe\""),
                     2); /* one taken; of those refused one a second */
}

static void a_payment_in_doubt_is_asked_about_and_never_approved_by_the_event(void **state)
{
    struct harness *harness = *state;
    char id[24];
    struct capture_open_msg open = paying_capture(harness, CAPTURE_UNKNOWN, id);
    wait_state(harness, id, "unknown");
    must_receive(harness, "evt_1", "payment_intent.succeeded", "pi_1", id);
    assert_true(asks(harness, &open));
    wait_state(harness, id, "unknown"); /* the event decided nothing */
    /* The same event again, and after a restart: once is enough. */
    must_receive(harness, "evt_1", "payment_intent.succeeded", "pi_1", id);
    assert_true(harness_is_quiet(harness->vault_fd, 200));
    /* By the gateway's name alone, and of a failure: asked as well. */
    must_receive(harness, "evt_2", "payment_intent.payment_failed", "pi_1", "");
    assert_true(asks(harness, &open));
    assert_int_equal(audit_lines(harness, "\"webhook.stripe\""), 2);
    assert_int_equal(audit_lines(harness, "\"outcome\":\"asked\""), 2);
    harness_kill(harness);
    harness_start(harness);
    must_receive(harness, "evt_1", "payment_intent.succeeded", "pi_1", id);
    assert_int_equal(audit_lines(harness, "\"webhook.stripe\""), 2);
}

static void an_event_during_the_payment_changes_nothing(void **state)
{
    struct harness *harness = *state;
    char id[24];
    paying_capture(harness, CAPTURE_CONFIRMING, id);
    wait_state(harness, id, "confirming");
    must_receive(harness, "evt_1", "payment_intent.succeeded", "pi_1", id);
    assert_true(harness_is_quiet(harness->vault_fd, 200));
    assert_int_equal(audit_lines(harness, "\"outcome\":\"in_progress\""), 1);
}

static void an_end_is_left_alone_and_a_refund_is_noted(void **state)
{
    struct harness *harness = *state;
    struct capture_stored_msg stored;
    struct harness_reply reply;
    char id[24];
    char path[64];
    struct capture_open_msg open = paying_capture(harness, CAPTURE_STORING_RESULT, id);
    struct capture_store_msg store = harness_store(&open, STORE_RESULT, 3);
    store.state = CAPTURE_APPROVED;
    snprintf(store.order_ref, sizeof(store.order_ref), "pi_1");
    harness_send(harness->vault_fd, &store);
    assert_true(harness_receive(harness->vault_fd, CAPTURE_STORED, &stored, sizeof(stored)));
    assert_true(stored.is_durable);
    struct capture_progress_msg progress = harness_progress(&open, CAPTURE_APPROVED);
    harness_send(harness->vault_fd, &progress);
    wait_state(harness, id, "approved");
    /* Out of order: an older failure of the same order comes last. */
    must_receive(harness, "evt_2", "payment_intent.succeeded", "pi_1", id);
    must_receive(harness, "evt_1", "payment_intent.payment_failed", "pi_1", id);
    must_receive(harness, "evt_3", "charge.dispute.created", "pi_1", id);
    assert_true(harness_is_quiet(harness->vault_fd, 200));
    wait_state(harness, id, "approved");
    assert_int_equal(audit_lines(harness, "\"outcome\":\"finalised\""), 2);
    snprintf(path, sizeof(path), "/v1/captures/%s/notices", id);
    harness_http(harness, "GET", path, NULL, NULL, &reply);
    assert_int_equal(reply.status, 200);
    const json_t *notices = json_object_get(reply.json, "notices");
    assert_int_equal(json_array_size(notices), 3);
    assert_string_equal(text_of(json_array_get(notices, 0), "status"), "COMPLETED");
    assert_string_equal(text_of(json_array_get(notices, 1), "status"), "FAILED");
    assert_string_equal(text_of(json_array_get(notices, 2), "kind"), "disputed");
    harness_reply_free(&reply);
}

static void an_event_that_names_two_payments_is_nobodys(void **state)
{
    struct harness *harness = *state;
    char id[24];
    paying_capture(harness, CAPTURE_UNKNOWN, id);
    wait_state(harness, id, "unknown");
    must_receive(harness, "evt_1", "payment_intent.succeeded", "pi_1", "cap_ponmlkjihgfedcba");
    must_receive(harness, "evt_2", "payment_intent.succeeded", "pi_7", "cap_ponmlkjihgfedcba");
    assert_true(harness_is_quiet(harness->vault_fd, 200));
    assert_int_equal(audit_lines(harness, "\"outcome\":\"mismatched\""), 1);
    assert_int_equal(audit_lines(harness, "\"outcome\":\"unmatched\""), 1);
}

/* A payment link: the provider's word stands at the link, if it is about what the link was made for. */
static void a_paid_link_is_shown_at_its_order(void **state)
{
    struct harness *harness = *state;
    struct harness_reply reply;
    char id[24];
    char path[64];
    char body[512];
    char header[256];
    harness_http(harness, "POST", "/v1/links", "Idempotency-Key: k\r\n",
                 "{\"amount\":500,\"currency\":\"EUR\"}", &reply);
    assert_int_equal(reply.status, 202);
    snprintf(id, sizeof(id), "%s", text_of(reply.json, "id"));
    harness_reply_free(&reply);
    snprintf(path, sizeof(path), "/v1/orders/%s", id);
    for (int amount = 499; amount <= 500; amount++) {
        snprintf(
            body, sizeof(body),
            "{\"id\":\"evt_%d\",\"type\":\"checkout.session.completed\",\"data\":{\"object\":{\"object\":"
            "\"checkout.session\",\"payment_intent\":\"pi_9\",\"payment_status\":\"paid\","
            "\"amount_total\":%d,\"currency\":\"eur\",\"metadata\":{\"order_id\":\"%s\"}}}}",
            amount, amount, id);
        signer_stripe(SIGNER_KEY, wall_now().ns / NS_PER_S, body, header, sizeof(header));
        harness_http(harness, "POST", HOOK, header, body, &reply);
        assert_int_equal(reply.status, 200);
        harness_reply_free(&reply);
        harness_http(harness, "GET", path, NULL, NULL, &reply);
        const json_t *paid = json_object_get(reply.json, "paid");
        if (json_is_object(paid) != (amount == 500))
            fail_msg("%d: %s", amount, reply.body);
        if (amount == 500)
            assert_string_equal(text_of(paid, "payment_ref"), "pi_9");
        assert_string_equal(text_of(reply.json, "state"), "open"); /* the gateway has not answered yet */
        harness_reply_free(&reply);
    }
    assert_int_equal(audit_lines(harness, "\"outcome\":\"mismatched\""), 1);
    assert_int_equal(audit_lines(harness, "\"outcome\":\"paid\""), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(answers_are_to_the_letter),
        TEST(a_payment_in_doubt_is_asked_about_and_never_approved_by_the_event),
        TEST(an_event_during_the_payment_changes_nothing),
        TEST(an_end_is_left_alone_and_a_refund_is_noted),
        TEST(an_event_that_names_two_payments_is_nobodys),
        TEST(a_paid_link_is_shown_at_its_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
