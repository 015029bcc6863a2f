/* The gateway end to end over TLS: the vault's messages in at one end, the sandbox at the other. */
#include "gateway/tests/rig.h"
#include "gateway/wipe_heap.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define GOOD_CARD "4242424242424242"

#ifdef TONEGATE_SANITIZED
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static struct rig_sandbox sandbox;
static struct rig rig;
static uint64_t next_capture = 0xca11;

static int open_rig(void **state)
{
    (void)state;
    struct step_settings settings = rig_settings(sandbox.url);
    rig_open(&rig, &settings);
    next_capture++;
    return 0;
}

static int close_rig(void **state)
{
    (void)state;
    rig_close(&rig);
    return 0;
}

static void expect(const struct gateway_reply_msg *reply, enum gateway_outcome outcome,
                   enum gateway_order_state order_state, enum gateway_reason reason)
{
    assert_string_equal(gateway_outcome_name(reply->outcome), gateway_outcome_name(outcome));
    assert_string_equal(gateway_reason_name(reply->reason), gateway_reason_name(reason));
    assert_int_equal(reply->order_state, order_state);
}

static void tokenise(const char *number, char *token)
{
    struct gateway_tokenise_msg message = rig_tokenise(next_capture, 1, number);
    const struct gateway_reply_msg *reply = rig_ask(&rig, &message);
    expect(reply, GATEWAY_DONE, ORDER_NONE, REASON_NONE);
    assert_memory_equal(reply->token, "pm_", 3);
    memcpy(token, reply->token, LIMIT_TOKEN_BYTES);
}

static void create(const char *token, int64_t amount, char *order_ref)
{
    struct gateway_order_msg message = rig_create(next_capture, 1, amount, token);
    const struct gateway_reply_msg *reply = rig_ask(&rig, &message);
    expect(reply, GATEWAY_DONE, ORDER_OPEN, REASON_NONE);
    assert_memory_equal(reply->order_ref, "pi_", 3);
    memcpy(order_ref, reply->order_ref, LIMIT_TOKEN_BYTES);
}

static const struct gateway_reply_msg *ask(enum gateway_msg_type type, int64_t amount, const char *token,
                                           const char *order_ref)
{
    struct gateway_step_msg message = rig_step(type, next_capture, 1, amount, token, order_ref);
    return rig_ask(&rig, &message);
}

/* An order that only waits for its confirmation. */
static void prepare(const char *number, int64_t amount, char *token, char *order_ref)
{
    tokenise(number, token);
    create(token, amount, order_ref);
}

static void a_payment_goes_from_card_to_charge_and_is_booked_once(void **state)
{
    (void)state;
    char token[LIMIT_TOKEN_BYTES], order[LIMIT_TOKEN_BYTES];
    size_t before = rig_ledger_count(&rig, &sandbox, "charged");
    prepare(GOOD_CARD, 4250, token, order);
    expect(ask(GATEWAY_STATUS, 4250, "", order), GATEWAY_DONE, ORDER_OPEN, REASON_NONE);
    expect(ask(GATEWAY_CONFIRM, 4250, token, order), GATEWAY_DONE, ORDER_SUCCEEDED, REASON_NONE);
    assert_string_equal(rig.reply.order_ref, order);
    expect(ask(GATEWAY_STATUS, 4250, "", order), GATEWAY_DONE, ORDER_SUCCEEDED, REASON_NONE);
    assert_int_equal(rig_ledger_count(&rig, &sandbox, "charged"), before + 1);
    json_t *ledger = rig_ledger(&rig, &sandbox);
    const json_t *line = json_array_get(ledger, json_array_size(ledger) - 1);
    assert_int_equal(json_integer_value(json_object_get(line, "amount")), 4250);
    const json_t *metadata = json_object_get(line, "metadata");
    assert_string_equal(json_string_value(json_object_get(metadata, "channel")), "ivr");
    assert_string_equal(json_string_value(json_object_get(metadata, "call_id")), "call_aaaaaaaaaaaabcde");
    json_decref(ledger);
}

/* The rig's own settings replaced, for one test. */
static void reopen(const char *trace_path, const char *key)
{
    struct step_settings settings = rig_settings(sandbox.url);
    settings.is_sandbox = trace_path != NULL;
    if (trace_path)
        snprintf(settings.trace_path, sizeof(settings.trace_path), "%s", trace_path);
    if (key) {
        size_t capacity;
        memcpy(secret_buffer(settings.key, &capacity), key, strlen(key));
        secret_set_length(settings.key, strlen(key));
    }
    rig_close(&rig);
    rig_open(&rig, &settings);
}

static void a_trace_shows_a_test_card_s_payment_and_takes_no_other_card(void **state)
{
    (void)state;
    static char text[65536];
    char token[LIMIT_TOKEN_BYTES], order[LIMIT_TOKEN_BYTES];
    char path[256];
    snprintf(path, sizeof(path), "%s", rig_path("gateway.trace"));
    reopen(path, NULL);
    prepare("4242424242424242", 4250, token, order);
    expect(ask(GATEWAY_CONFIRM, 4250, token, order), GATEWAY_DONE, ORDER_SUCCEEDED, REASON_NONE);
    struct gateway_tokenise_msg real = rig_tokenise(next_capture, 2, "4929000000000006");
    expect(rig_ask(&rig, &real), GATEWAY_FAILED, ORDER_NONE, REASON_CONFIGURATION);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    assert_non_null(strstr(text, "card[number]=0000000000000000"));
    assert_non_null(strstr(text, "\"step\":\"confirm\""));
    assert_non_null(strstr(text, "\"status\":200"));
    assert_non_null(strstr(text, order));
    assert_null(strstr(text, "42424")); /* the sandbox tells the last four, as gateways do */
    assert_null(strstr(text, "4929"));
    assert_null(strstr(text, RIG_API_KEY));
    memset(text, 0, sizeof(text)); /* another test searches the process for what is in it */
    unlink(path);
}

static void a_test_card_never_meets_a_live_key(void **state)
{
    (void)state;
    reopen(NULL, "sk_live_rigofthegatewaytests");
    struct gateway_tokenise_msg card = rig_tokenise(next_capture, 1, "4242424242424242");
    size_t before = rig_ledger_count(&rig, &sandbox, "charged");
    expect(rig_ask(&rig, &card), GATEWAY_FAILED, ORDER_NONE, REASON_CONFIGURATION);
    assert_int_equal(rig_ledger_count(&rig, &sandbox, "charged"), before);
}

static void every_test_card_gets_its_outcome(void **state)
{
    (void)state;
    static const struct {
        const char *number;
        enum gateway_reason reason;
    } rows[] = {
        {"4000000000000002", REASON_DECLINED},
        {"4000000000009995", REASON_INSUFFICIENT_FUNDS},
        {"4000000000009987", REASON_LOST_OR_STOLEN},
        {"4000000000009979", REASON_LOST_OR_STOLEN},
        {"4000000000006975", REASON_LIMIT},
        {"4000000000000069", REASON_EXPIRED},
        {"4000000000000127", REASON_WRONG_CVV},
        {"4000000000000119", REASON_PROCESSING_ERROR},
        {"4000002500003155", REASON_NEEDS_AUTHENTICATION},
        {"4000000000003220", REASON_NEEDS_AUTHENTICATION},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char token[LIMIT_TOKEN_BYTES], order[LIMIT_TOKEN_BYTES];
        next_capture++;
        prepare(rows[i].number, 1999, token, order);
        expect(ask(GATEWAY_CONFIRM, 1999, token, order), GATEWAY_DECLINED, ORDER_OPEN, rows[i].reason);
        expect(ask(GATEWAY_STATUS, 1999, "", order), GATEWAY_DONE, ORDER_OPEN, rows[i].reason);
        expect(ask(GATEWAY_ABANDON, 1999, "", order), GATEWAY_DONE, ORDER_CANCELLED, REASON_NONE);
        expect(ask(GATEWAY_STATUS, 1999, "", order), GATEWAY_DONE, ORDER_CANCELLED, REASON_NONE);
    }
}

static void a_card_that_fails_its_checks_is_declined_before_an_order(void **state)
{
    (void)state;
    struct gateway_tokenise_msg message = rig_tokenise(next_capture, 1, "4242424242424241");
    expect(rig_ask(&rig, &message), GATEWAY_DECLINED, ORDER_NONE, REASON_WRONG_NUMBER);
    message = rig_tokenise(next_capture, 2, GOOD_CARD);
    message.expiry_year = 20;
    expect(rig_ask(&rig, &message), GATEWAY_DECLINED, ORDER_NONE, REASON_EXPIRED);
    message = rig_tokenise(next_capture, 3, GOOD_CARD);
    message.cvv_length = 4;
    expect(rig_ask(&rig, &message), GATEWAY_DECLINED, ORDER_NONE, REASON_WRONG_CVV);
}

static void a_lost_answer_is_replayed_and_charged_once(void **state)
{
    (void)state;
    char token[LIMIT_TOKEN_BYTES], order[LIMIT_TOKEN_BYTES];
    size_t before = rig_ledger_count(&rig, &sandbox, "charged");
    rig_fault(&rig, &sandbox, "kind=lost&operation=tokenise");
    rig_fault(&rig, &sandbox, "kind=lost&operation=create");
    rig_fault(&rig, &sandbox, "kind=lost&operation=confirm");
    prepare(GOOD_CARD, 700, token, order);
    expect(ask(GATEWAY_CONFIRM, 700, token, order), GATEWAY_DONE, ORDER_SUCCEEDED, REASON_NONE);
    assert_int_equal(rig_ledger_count(&rig, &sandbox, "charged"), before + 1);
}

static void a_step_sent_again_by_the_vault_is_the_same_step(void **state)
{
    (void)state;
    char token[LIMIT_TOKEN_BYTES], order[LIMIT_TOKEN_BYTES], again[LIMIT_TOKEN_BYTES];
    size_t before = rig_ledger_count(&rig, &sandbox, "charged");
    prepare(GOOD_CARD, 700, token, order);
    tokenise(GOOD_CARD, again);
    assert_string_equal(again, token);
    create(token, 700, again);
    assert_string_equal(again, order);
    expect(ask(GATEWAY_CONFIRM, 700, token, order), GATEWAY_DONE, ORDER_SUCCEEDED, REASON_NONE);
    expect(ask(GATEWAY_CONFIRM, 700, token, order), GATEWAY_DONE, ORDER_SUCCEEDED, REASON_NONE);
    assert_int_equal(rig_ledger_count(&rig, &sandbox, "charged"), before + 1);
}

static void a_busy_gateway_is_asked_again_and_a_replayed_500_is_not(void **state)
{
    (void)state;
    char token[LIMIT_TOKEN_BYTES], order[LIMIT_TOKEN_BYTES];
    size_t before = rig_ledger_count(&rig, &sandbox, "charged");
    rig_fault(&rig, &sandbox, "kind=status&status=503&operation=tokenise&times=2");
    rig_fault(&rig, &sandbox, "kind=status&status=429&operation=create");
    prepare(GOOD_CARD, 700, token, order);
    rig_fault(&rig, &sandbox, "kind=status&status=500&operation=confirm");
    expect(ask(GATEWAY_CONFIRM, 700, token, order), GATEWAY_NO_ANSWER, ORDER_NONE, REASON_UNAVAILABLE);
    expect(ask(GATEWAY_STATUS, 700, "", order), GATEWAY_DONE, ORDER_OPEN, REASON_NONE);
    assert_int_equal(rig_ledger_count(&rig, &sandbox, "charged"), before);
}

static void retries_end_and_4xx_is_never_tried_again(void **state)
{
    (void)state;
    struct gateway_tokenise_msg message = rig_tokenise(next_capture, 1, GOOD_CARD);
    rig_fault(&rig, &sandbox, "kind=status&status=503&operation=tokenise&times=3");
    expect(rig_ask(&rig, &message), GATEWAY_UNAVAILABLE, ORDER_NONE, REASON_UNAVAILABLE);
    rig_fault(&rig, &sandbox, "kind=status&status=403&operation=tokenise");
    expect(rig_ask(&rig, &message), GATEWAY_FAILED, ORDER_NONE, REASON_CONFIGURATION);
    expect(rig_ask(&rig, &message), GATEWAY_DONE, ORDER_NONE,
           REASON_NONE); /* the fault was used up by one try */
}

static void a_confirmation_that_times_out_is_asked_about_not_repeated(void **state)
{
    (void)state;
    char token[LIMIT_TOKEN_BYTES], order[LIMIT_TOKEN_BYTES];
    rig_close(&rig);
    struct step_settings settings = rig_settings(sandbox.url);
    settings.charge_timeout_ms = 1000;
    rig_open(&rig, &settings);
    size_t before = rig_ledger_count(&rig, &sandbox, "charged");
    prepare(GOOD_CARD, 815, token, order);
    rig_fault(&rig, &sandbox, "kind=silent&operation=confirm");
    expect(ask(GATEWAY_CONFIRM, 815, token, order), GATEWAY_NO_ANSWER, ORDER_NONE, REASON_UNAVAILABLE);
    expect(ask(GATEWAY_STATUS, 815, "", order), GATEWAY_DONE, ORDER_SUCCEEDED, REASON_NONE);
    assert_int_equal(rig_ledger_count(&rig, &sandbox, "charged"), before + 1);
}

static void answers_to_another_question_are_not_believed(void **state)
{
    (void)state;
    static const char *const kinds[] = {"wrong_amount", "wrong_currency", "other_order", "garbage"};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        char token[LIMIT_TOKEN_BYTES], order[LIMIT_TOKEN_BYTES], fault[64];
        next_capture++;
        prepare(GOOD_CARD, 600, token, order);
        snprintf(fault, sizeof(fault), "kind=%s&operation=confirm", kinds[i]);
        rig_fault(&rig, &sandbox, fault);
        expect(ask(GATEWAY_CONFIRM, 600, token, order), GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER);
        snprintf(fault, sizeof(fault), "kind=%s&operation=status", kinds[i]);
        rig_fault(&rig, &sandbox, fault);
        expect(ask(GATEWAY_STATUS, 600, "", order), GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER);
        expect(ask(GATEWAY_STATUS, 600, "", order), GATEWAY_DONE, ORDER_SUCCEEDED, REASON_NONE);
    }
    char token[LIMIT_TOKEN_BYTES];
    next_capture++;
    tokenise(GOOD_CARD, token);
    rig_fault(&rig, &sandbox, "kind=wrong_amount&operation=create");
    struct gateway_order_msg message = rig_create(next_capture, 1, 600, token);
    expect(rig_ask(&rig, &message), GATEWAY_FAILED, ORDER_NONE, REASON_BAD_ANSWER);
    assert_string_equal(rig.reply.order_ref, "");
}

static void cancelling_twice_is_cancelling_once(void **state)
{
    (void)state;
    char token[LIMIT_TOKEN_BYTES], order[LIMIT_TOKEN_BYTES];
    prepare(GOOD_CARD, 900, token, order);
    rig_fault(&rig, &sandbox, "kind=lost&operation=abandon");
    expect(ask(GATEWAY_ABANDON, 900, "", order), GATEWAY_DONE, ORDER_CANCELLED, REASON_NONE);
    expect(ask(GATEWAY_ABANDON, 900, "", order), GATEWAY_DONE, ORDER_CANCELLED, REASON_NONE);
    expect(ask(GATEWAY_CONFIRM, 900, token, order), GATEWAY_FAILED, ORDER_CANCELLED, REASON_CONFIGURATION);
}

static void a_paid_order_cannot_be_abandoned_and_says_so(void **state)
{
    (void)state;
    char token[LIMIT_TOKEN_BYTES], order[LIMIT_TOKEN_BYTES];
    prepare(GOOD_CARD, 900, token, order);
    expect(ask(GATEWAY_CONFIRM, 900, token, order), GATEWAY_DONE, ORDER_SUCCEEDED, REASON_NONE);
    expect(ask(GATEWAY_ABANDON, 900, "", order), GATEWAY_FAILED, ORDER_SUCCEEDED, REASON_NONE);
}

static void an_order_nobody_knows_is_told_so(void **state)
{
    (void)state;
    expect(ask(GATEWAY_STATUS, 900, "", "pi_nosuchorder"), GATEWAY_DONE, ORDER_UNKNOWN_TO_GATEWAY,
           REASON_NONE);
    expect(ask(GATEWAY_STATUS, 900, "", ""), GATEWAY_DONE, ORDER_UNKNOWN_TO_GATEWAY, REASON_NONE);
    expect(ask(GATEWAY_CONFIRM, 900, "pm_none", "pi_nosuchorder"), GATEWAY_FAILED, ORDER_NONE,
           REASON_CONFIGURATION);
}

static void what_the_gateway_could_not_take_is_not_sent(void **state)
{
    (void)state;
    struct gateway_order_msg message = rig_create(next_capture, 1, 0, "pm_x");
    expect(rig_ask(&rig, &message), GATEWAY_FAILED, ORDER_NONE, REASON_CONFIGURATION);
    message = rig_create(next_capture, 1, 100, "pm_x");
    memcpy(message.currency, "us", 3);
    expect(rig_ask(&rig, &message), GATEWAY_FAILED, ORDER_NONE, REASON_CONFIGURATION);
    message = rig_create(next_capture, 1, 100, "pm_x/../../y");
    expect(rig_ask(&rig, &message), GATEWAY_FAILED, ORDER_NONE, REASON_CONFIGURATION);
    expect(ask(GATEWAY_STATUS, 100, "", "pi_x?expand[]=y"), GATEWAY_FAILED, ORDER_NONE, REASON_CONFIGURATION);
}

static void a_wrong_key_is_configuration_never_a_decline(void **state)
{
    (void)state;
    rig_close(&rig);
    struct step_settings settings = rig_settings(sandbox.url);
    size_t capacity;
    secret_buffer(settings.key, &capacity)[12] ^= 1;
    rig_open(&rig, &settings);
    struct gateway_tokenise_msg message = rig_tokenise(next_capture, 1, GOOD_CARD);
    expect(rig_ask(&rig, &message), GATEWAY_FAILED, ORDER_NONE, REASON_CONFIGURATION);
}

static void a_strange_authority_or_host_name_gets_no_card(void **state)
{
    (void)state;
    static const char *const certificates[] = {"stranger", "elsewhere"};
    for (size_t i = 0; i < 2; i++) {
        struct rig_sandbox other;
        char authority[64];
        rig_sandbox_start(&other, certificates[i], NULL);
        rig_close(&rig);
        struct step_settings settings = rig_settings(other.url);
        /* "elsewhere" is signed by an authority we trust here; its name is what is wrong. */
        snprintf(authority, sizeof(authority), "%s/ca.pem", i == 0 ? "right" : "elsewhere");
        snprintf(settings.ca_path, sizeof(settings.ca_path), "%s", rig_path(authority));
        rig_open(&rig, &settings);
        struct gateway_tokenise_msg message = rig_tokenise(next_capture, 1, GOOD_CARD);
        expect(rig_ask(&rig, &message), GATEWAY_UNAVAILABLE, ORDER_NONE, REASON_CONFIGURATION);
        rig_sandbox_stop(&other);
    }
}

static void an_account_without_telephone_orders_is_configuration(void **state)
{
    (void)state;
    struct rig_sandbox other;
    char token[LIMIT_TOKEN_BYTES], order[LIMIT_TOKEN_BYTES];
    rig_sandbox_start(&other, "right", "--refuse-moto");
    rig_close(&rig);
    struct step_settings settings = rig_settings(other.url);
    rig_open(&rig, &settings);
    prepare(GOOD_CARD, 900, token, order);
    expect(ask(GATEWAY_CONFIRM, 900, token, order), GATEWAY_FAILED, ORDER_NONE, REASON_CONFIGURATION);
    rig_sandbox_stop(&other);
}

static void a_second_step_of_a_capture_waits_its_turn_by_being_refused(void **state)
{
    (void)state;
    struct gateway_tokenise_msg message = rig_tokenise(next_capture, 1, GOOD_CARD);
    struct gateway_step_msg early = rig_step(GATEWAY_STATUS, next_capture, 1, 100, "", "pi_x");
    struct gateway_tokenise_msg bad = rig_tokenise(next_capture + 1, 1, GOOD_CARD);
    bad.number[3] = 10;
    rig_send(&rig, &message);
    rig_send(&rig, &early);
    rig_send(&rig, &bad);
    expect(rig_wait(&rig), GATEWAY_DONE, ORDER_NONE, REASON_NONE);
    rig_run_ms(&rig, 50);
    assert_int_equal(rig.reply_count, 1);
    assert_int_equal(rig.link.port.counts.refused_state, 1);
    assert_int_equal(rig.link.port.counts.refused_value, 1);
}

static void as_many_steps_as_the_limit_run_at_once_and_one_more_is_told(void **state)
{
    (void)state;
    rig_close(&rig);
    struct step_settings settings = rig_settings(sandbox.url);
    settings.charge_timeout_ms = settings.ceiling_ms = 60000;
    rig_open(&rig, &settings);
    rig_fault(&rig, &sandbox, "kind=delay&ms=400&operation=tokenise&times=100");
    for (unsigned i = 0; i < 100; i++) {
        struct gateway_tokenise_msg message = rig_tokenise(next_capture++, 1, GOOD_CARD);
        rig_send(&rig, &message);
    }
    for (unsigned i = 0; i < 100; i++)
        expect(rig_wait(&rig), GATEWAY_DONE, ORDER_NONE, REASON_NONE);
    assert_int_equal(steps_count(rig.link.steps), 0);
    /* Now so many that never end. A sanitizer's handshakes are slow: up to 30 s to begin them all. */
    rig_fault(&rig, &sandbox, "kind=silent&operation=tokenise&times=512");
    for (unsigned i = 0; i < LIMIT_GATEWAY_IN_FLIGHT; i++) {
        struct gateway_tokenise_msg message = rig_tokenise(next_capture++, 1, GOOD_CARD);
        rig_send(&rig, &message);
        if (i % 32 == 31)
            rig_run_ms(&rig, 5);
    }
    for (unsigned i = 0; i < 3000 && steps_count(rig.link.steps) < LIMIT_GATEWAY_IN_FLIGHT; i++)
        rig_run_ms(&rig, 10);
    assert_int_equal(steps_count(rig.link.steps), LIMIT_GATEWAY_IN_FLIGHT);
    struct gateway_tokenise_msg message = rig_tokenise(next_capture++, 1, GOOD_CARD);
    expect(rig_ask(&rig, &message), GATEWAY_UNAVAILABLE, ORDER_NONE, REASON_UNAVAILABLE);
    rig_close(&rig);
    assert_int_equal(wipe_heap_count_pattern(GOOD_CARD, 16), 0);
    settings = rig_settings(sandbox.url);
    rig_open(&rig, &settings);
    rig_fault(&rig, &sandbox, "kind=clear"); /* what the steps that never began left over */
}

static void when_the_vault_dies_cards_go_and_a_question_does_not_overtake_the_charge(void **state)
{
    (void)state;
    char token[LIMIT_TOKEN_BYTES], order[LIMIT_TOKEN_BYTES];
    prepare(GOOD_CARD, 321, token, order);
    rig_fault(&rig, &sandbox, "kind=delay&ms=400&operation=confirm");
    rig_fault(&rig, &sandbox, "kind=delay&ms=400&operation=tokenise");
    struct gateway_step_msg confirm = rig_step(GATEWAY_CONFIRM, next_capture, 1, 321, token, order);
    struct gateway_tokenise_msg card = rig_tokenise(next_capture + 1, 1, GOOD_CARD);
    rig_send(&rig, &confirm);
    rig_send(&rig, &card);
    rig_run_ms(&rig, 100);
    assert_int_equal(steps_count(rig.link.steps), 2);
    unsigned before = rig.reply_count;
    rig_relink(&rig);
    assert_int_equal(steps_count(rig.link.steps), 1); /* the charge; the card is gone */
    assert_int_equal(wipe_heap_count_pattern(GOOD_CARD, 16), 0);
    expect(ask(GATEWAY_STATUS, 321, "", order), GATEWAY_DONE, ORDER_SUCCEEDED, REASON_NONE);
    assert_int_equal(rig.reply_count, before + 1); /* the orphan's own reply was not sent */
}

/* --- memory that runs out --- */

/* The n-th allocation of beginning a step fails, and all after it: the vault is told, and no digit stays. */
static void a_failing_allocation_is_told_and_leaves_no_digit(void **state)
{
    (void)state;
    unsigned done = 0;
    unsigned failed = 0;
    for (long n = 0; done < 3 && n < 2000; n++) {
        struct gateway_tokenise_msg message = rig_tokenise(++next_capture, 1, GOOD_CARD);
        wipe_heap_fail_after(n);
        enum err err = steps_take(rig.link.steps, &message.header);
        wipe_heap_fail_after(-1);
        assert_int_equal(err, OK);
        const struct gateway_reply_msg *reply = rig_wait(&rig);
        assert_true(reply->outcome == GATEWAY_DONE || reply->outcome == GATEWAY_UNAVAILABLE);
        done += reply->outcome == GATEWAY_DONE;
        failed += reply->outcome != GATEWAY_DONE;
        assert_int_equal(wipe_heap_count_pattern(GOOD_CARD, 16), 0);
    }
    assert_int_equal(done, 3); /* so many allocations that none failed any more */
    assert_true(failed > 5);
}

static void an_answer_that_cannot_be_parsed_for_want_of_memory_is_not_believed(void **state)
{
    (void)state;
    static const char body[] =
        "{\"id\":\"pi_x\",\"object\":\"payment_intent\",\"amount\":100,\"currency\":\"usd\","
        "\"status\":\"succeeded\"}";
    const struct connector_step step = {
        .operation = CONNECTOR_CONFIRM, .amount_minor = 100, .currency = "USD", .order_ref = "pi_x"};
    const struct connector_answer answer = {200, (const uint8_t *)body, sizeof(body) - 1, ""};
    struct connector_verdict verdict = {.outcome = GATEWAY_NO_ANSWER};
    struct wipe_heap_usage before = wipe_heap_usage();
    for (long n = 0; n < 200 && verdict.outcome != GATEWAY_DONE; n++) {
        wipe_heap_fail_after(n);
        connector_find("stripe")->read(&(struct connector_account){.mapping = NULL}, &step, &answer,
                                       &verdict);
        wipe_heap_fail_after(-1);
        assert_true(verdict.outcome == GATEWAY_DONE || verdict.reason == REASON_BAD_ANSWER);
        assert_int_equal(wipe_heap_usage().block_count, before.block_count);
    }
    assert_int_equal(verdict.order_state, ORDER_SUCCEEDED);
}

/* --- the card in memory --- */

static void no_digit_stays_on_the_heap(void **state)
{
    (void)state;
    static const char *const faults[] = {
        "kind=delay&ms=0&operation=tokenise", "kind=lost&operation=tokenise&times=3",
        "kind=reset&operation=tokenise",      "kind=status&status=503&operation=tokenise",
        "kind=garbage&operation=tokenise",    "kind=status&status=401&operation=tokenise",
    };
    char *planted = wipe_heap_strdup("number=" GOOD_CARD);
    assert_int_equal(wipe_heap_count_pattern(GOOD_CARD, 16), 1); /* the search does find one */
    wipe_heap_free(planted);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        struct gateway_tokenise_msg message = rig_tokenise(++next_capture, 1, GOOD_CARD);
        rig_fault(&rig, &sandbox, faults[i]);
        rig_ask(&rig, &message);
        assert_int_equal(wipe_heap_count_pattern(GOOD_CARD, 16), 0);
        assert_int_equal(wipe_heap_count_pattern("=737", 4), 0);
    }
    assert_int_equal(wipe_heap_count_pattern("card[number]", 12), 0);
}

/* How often text lies in writable memory of this process: heaps, stacks, data, whoever allocated it. */
static size_t count_in_process(const char *text)
{
    enum { CHUNK = 1 << 20 };
    size_t count = 0;
    size_t length = strlen(text);
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    uint8_t *chunk = mmap(NULL, CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_non_null(maps);
    assert_true(memory >= 0 && chunk != MAP_FAILED);
    while (fgets(line, sizeof(line), maps)) {
        unsigned long from, to;
        char rights[5];
        if (sscanf(line, "%lx-%lx %4s", &from, &to, rights) != 3 || rights[1] != 'w')
            continue;
        for (unsigned long at = from; at < to; at += CHUNK - length) {
            size_t wanted = to - at < CHUNK ? to - at : CHUNK;
            bool is_own = at < (uintptr_t)chunk + CHUNK && at + wanted > (uintptr_t)chunk;
            ssize_t got = is_own ? 0 : pread(memory, chunk, wanted, (off_t)at);
            const uint8_t *hit = chunk;
            while (got > 0 && (hit = memmem(hit, (size_t)(chunk + got - hit), text, length))) {
                count++;
                hit++;
            }
        }
    }
    munmap(chunk, CHUNK);
    close(memory);
    fclose(maps);
    return count;
}

static char planted_in_data[32];

static void no_digit_stays_anywhere_in_the_process(void **state)
{
    (void)state;
    if (SANITIZED) /* shadow memory is terabytes, and freed memory is kept on purpose */
        skip();
    char token[LIMIT_TOKEN_BYTES];
    memcpy(planted_in_data, GOOD_CARD, 16);
    assert_int_equal(count_in_process(GOOD_CARD), 1); /* the search does find one, and only that one */
    memset(planted_in_data, 0, sizeof(planted_in_data));
    for (unsigned i = 0; i < 20; i++) {
        next_capture++;
        tokenise(GOOD_CARD, token);
    }
    assert_int_equal(count_in_process(GOOD_CARD), 0);
    assert_int_equal(count_in_process("card[number]="), 0);
    rig_fault(&rig, &sandbox, "kind=delay&ms=200&operation=tokenise");
    struct gateway_tokenise_msg message = rig_tokenise(++next_capture, 1, GOOD_CARD);
    rig_send(&rig, &message);
    rig_run_ms(&rig, 100);
    /* While the answer is awaited the one copy is the locked body, kept for a retry; not even that where the kernel
     * hides it from this search. */
    assert_true(count_in_process(GOOD_CARD) <= 1);
    expect(rig_wait(&rig), GATEWAY_DONE, ORDER_NONE, REASON_NONE);
    assert_int_equal(count_in_process(GOOD_CARD), 0);
}

static void the_upload_buffer_is_wiped_while_the_answer_is_awaited(void **state)
{
    (void)state;
    struct gateway_tokenise_msg message = rig_tokenise(next_capture, 1, GOOD_CARD);
    rig_fault(&rig, &sandbox, "kind=delay&ms=300&operation=tokenise");
    rig_send(&rig, &message);
    rig_run_ms(&rig, 150);
    assert_int_equal(steps_count(rig.link.steps), 1);
    assert_int_equal(wipe_heap_count_pattern(GOOD_CARD, 16), 0);
    expect(rig_wait(&rig), GATEWAY_DONE, ORDER_NONE, REASON_NONE);
}

static void nothing_logged_holds_a_digit_run(void **state)
{
    (void)state;
    const char *log = rig_log();
    unsigned digits = 0;
    assert_non_null(strstr(log, "\"step\":\"confirm\",\"outcome\":\"done\""));
    for (const char *c = log; *c; c++) {
        digits = *c >= '0' && *c <= '9' ? digits + 1 : 0;
        assert_true(digits < 6);
    }
}

int main(void)
{
#define WITH_RIG(test) cmocka_unit_test_setup_teardown(test, open_rig, close_rig)
    const struct CMUnitTest tests[] = {
        WITH_RIG(a_payment_goes_from_card_to_charge_and_is_booked_once),
        WITH_RIG(a_trace_shows_a_test_card_s_payment_and_takes_no_other_card),
        WITH_RIG(a_test_card_never_meets_a_live_key),
        WITH_RIG(every_test_card_gets_its_outcome),
        WITH_RIG(a_card_that_fails_its_checks_is_declined_before_an_order),
        WITH_RIG(a_lost_answer_is_replayed_and_charged_once),
        WITH_RIG(a_step_sent_again_by_the_vault_is_the_same_step),
        WITH_RIG(a_busy_gateway_is_asked_again_and_a_replayed_500_is_not),
        WITH_RIG(retries_end_and_4xx_is_never_tried_again),
        WITH_RIG(a_confirmation_that_times_out_is_asked_about_not_repeated),
        WITH_RIG(answers_to_another_question_are_not_believed),
        WITH_RIG(cancelling_twice_is_cancelling_once),
        WITH_RIG(a_paid_order_cannot_be_abandoned_and_says_so),
        WITH_RIG(an_order_nobody_knows_is_told_so),
        WITH_RIG(what_the_gateway_could_not_take_is_not_sent),
        WITH_RIG(a_wrong_key_is_configuration_never_a_decline),
        WITH_RIG(a_strange_authority_or_host_name_gets_no_card),
        WITH_RIG(an_account_without_telephone_orders_is_configuration),
        WITH_RIG(a_second_step_of_a_capture_waits_its_turn_by_being_refused),
        WITH_RIG(as_many_steps_as_the_limit_run_at_once_and_one_more_is_told),
        WITH_RIG(when_the_vault_dies_cards_go_and_a_question_does_not_overtake_the_charge),
        WITH_RIG(a_failing_allocation_is_told_and_leaves_no_digit),
        cmocka_unit_test(an_answer_that_cannot_be_parsed_for_want_of_memory_is_not_believed),
        WITH_RIG(no_digit_stays_on_the_heap),
        WITH_RIG(no_digit_stays_anywhere_in_the_process),
        WITH_RIG(the_upload_buffer_is_wiped_while_the_answer_is_awaited),
        cmocka_unit_test(nothing_logged_holds_a_digit_run),
    };
    rig_setup();
    rig_sandbox_start(&sandbox, "right", NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rig_sandbox_stop(&sandbox);
    rig_teardown();
    return failed;
}
