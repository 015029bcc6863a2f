/* Payments under random faults: what the vault comes to believe is what the gateway's ledger says, nothing is charged
 * twice, and everything ends. One seed makes one run; TONEGATE_SEED replays it, TONEGATE_PAYMENTS makes it longer. */
#include "gateway/tests/rig.h"
#include "gateway/wipe_heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"

#define AMOUNT       1999
#define TRIES_MAX    12 /* of a step that moves no money, before the payment is given up */
#define QUESTIONS    40 /* before the faults are taken away */
#define DEFAULT_SEED 20260101u
#define BLOCK        60

static struct rig_sandbox sandbox;
static struct rig rig;
static uint64_t random_state;

/* splitmix64 */
static uint64_t draw(void)
{
    uint64_t z = (random_state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static unsigned below(unsigned limit)
{
    return (unsigned)(draw() % limit);
}

/* Up to two faults per operation, so that a retry meets one too. */
static void order_faults(void)
{
    static const char *const operations[] = {"tokenise", "create", "confirm", "status", "abandon"};
    static const char *const kinds[] = {
        "lost",
        "reset",
        "status&status=500",
        "status&status=503",
        "status&status=429",
        "status&status=409",
        "delay&ms=120",
        "slow&ms=60",
        "slow&ms=150",
        "wrong_amount",
        "wrong_currency",
        "other_order",
        "garbage",
        "silent",
    };
    char form[96];
    rig_fault(&rig, &sandbox, "kind=clear");
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
        for (unsigned count = below(4); count > 1; count--) {
            snprintf(form, sizeof(form), "operation=%s&times=1&kind=%s", operations[i],
                     kinds[below(sizeof(kinds) / sizeof(kinds[0]))]);
            rig_fault(&rig, &sandbox, form);
        }
    }
}

enum belief { NOT_PAID, PAID };

/* As the vault's machine has it: ask; what is open is cancelled, and only when that is certain it counts as not paid. */
static enum belief find_out(uint64_t capture, const char *order)
{
    for (unsigned i = 0;; i++) {
        if (i == QUESTIONS)
            rig_fault(&rig, &sandbox, "kind=clear");
        assert_true(i < 2 * QUESTIONS); /* everything ends once the faults have ended */
        struct gateway_step_msg status = rig_step(GATEWAY_STATUS, capture, 1, AMOUNT, "", order);
        const struct gateway_reply_msg *reply = rig_ask(&rig, &status);
        if (reply->outcome != GATEWAY_DONE)
            continue;
        if (reply->order_state == ORDER_SUCCEEDED)
            return PAID;
        if (reply->order_state == ORDER_CANCELLED)
            return NOT_PAID;
        if (reply->order_state != ORDER_OPEN)
            continue;
        struct gateway_step_msg abandon = rig_step(GATEWAY_ABANDON, capture, 1, AMOUNT, "", order);
        reply = rig_ask(&rig, &abandon);
        if (reply->outcome == GATEWAY_DONE && reply->order_state == ORDER_CANCELLED)
            return NOT_PAID;
    }
}

static enum belief confirm(uint64_t capture, const char *token, const char *order)
{
    struct gateway_step_msg message = rig_step(GATEWAY_CONFIRM, capture, 1, AMOUNT, token, order);
    const struct gateway_reply_msg *reply = rig_ask(&rig, &message);
    if (reply->outcome == GATEWAY_DONE || reply->outcome == GATEWAY_NO_ANSWER)
        return find_out(capture, order);
    return NOT_PAID; /* declined, failed, unavailable: all say that nothing was charged */
}

/* The same message again, as after a restart, until it is done or refused for good. */
static bool insist(const void *message, char *name)
{
    for (unsigned i = 0; i < TRIES_MAX; i++) {
        const struct gateway_reply_msg *reply = rig_ask(&rig, message);
        memcpy(name, reply->request_type == GATEWAY_CREATE ? reply->order_ref : reply->token,
               LIMIT_TOKEN_BYTES);
        if (reply->outcome == GATEWAY_DONE)
            return true;
        if (reply->outcome == GATEWAY_DECLINED)
            return false;
    }
    return false;
}

static enum belief pay(uint64_t capture)
{
    static const char *const cards[] = {"4242424242424242", "5555555555554444", "4000000000000002",
                                        "4000000000000127"};
    char token[LIMIT_TOKEN_BYTES], order[LIMIT_TOKEN_BYTES];
    struct gateway_tokenise_msg card = rig_tokenise(capture, 1, cards[below(5) % 4]);
    if (!insist(&card, token))
        return NOT_PAID;
    struct gateway_order_msg create = rig_create(capture, 1, AMOUNT, token);
    if (!insist(&create, order))
        return NOT_PAID;
    return confirm(capture, token, order);
}

static unsigned charges_of(const json_t *ledger, uint64_t capture)
{
    char id[24] = "cap_";
    unsigned count = 0;
    log_id_text(capture, id + 4);
    for (size_t i = 0; i < json_array_size(ledger); i++) {
        const json_t *line = json_array_get(ledger, i);
        const char *whose =
            json_string_value(json_object_get(json_object_get(line, "metadata"), "capture_id"));
        bool is_charge = strcmp(json_string_value(json_object_get(line, "result")), "charged") == 0;
        bool is_ours = is_charge && whose && strcmp(whose, id) == 0;
        count += is_ours;
        if (is_ours)
            assert_int_equal(json_integer_value(json_object_get(line, "amount")), AMOUNT);
    }
    return count;
}

static unsigned long number_from(const char *name, unsigned long otherwise)
{
    const char *text = getenv(name);
    return text ? strtoul(text, NULL, 10) : otherwise;
}

/* One sandbox and its ledger, BLOCK payments at most: an answer of ours holds no longer ledger. Returns how many were paid. */
static size_t run_block(unsigned long seed, size_t count)
{
    static struct {
        uint64_t capture;
        enum belief belief;
    } payments[BLOCK];
    size_t paid = 0;
    rig_sandbox_start(&sandbox, "right", NULL);
    struct step_settings settings = rig_settings(sandbox.url);
    settings.create_timeout_ms = settings.charge_timeout_ms = 100;
    settings.retry_wait_ms = 2;
    rig_open(&rig, &settings);
    random_state = seed;
    for (size_t i = 0; i < count; i++) {
        order_faults();
        payments[i].capture = draw();
        payments[i].belief = pay(payments[i].capture);
        paid += payments[i].belief == PAID;
    }
    rig_run_ms(&rig, 300); /* what was slow comes to its end too */
    json_t *ledger = rig_ledger(&rig, &sandbox);
    for (size_t i = 0; i < count; i++) {
        unsigned charges = charges_of(ledger, payments[i].capture);
        if (charges != (payments[i].belief == PAID))
            fail_msg("payment %zu: charged %u times, believed %spaid; again: TONEGATE_SEED=%lu", i, charges,
                     payments[i].belief == PAID ? "" : "not ", seed);
    }
    assert_int_equal(wipe_heap_count_pattern("4242424242424242", 16), 0);
    json_decref(ledger);
    rig_close(&rig);
    rig_sandbox_stop(&sandbox);
    return paid;
}

static void the_books_agree_whatever_goes_wrong(void **state)
{
    (void)state;
    unsigned long seed = number_from("TONEGATE_SEED", DEFAULT_SEED);
    size_t count = number_from("TONEGATE_PAYMENTS", BLOCK);
    size_t paid = 0;
    for (size_t done = 0; done < count; done += BLOCK)
        paid += run_block(seed + done, count - done < BLOCK ? count - done : BLOCK);
    /* A run without charges or without failures proves nothing. */
    assert_true(paid > count / 10 && paid < count);
    print_message("seed %lu: %zu payments under a mix of faults each, %zu paid, the books agree\n", seed,
                  count, paid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_books_agree_whatever_goes_wrong)};
    rig_setup();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rig_teardown();
    return failed;
}
