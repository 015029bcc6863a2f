/* Payments by mapping files, over TLS, through the steps of the role, at gateways that take nothing they were not told
 * about (peer/strict_gateway.py): unknown fields and headers are refused there, signatures computed again, and what was
 * charged stands in a journal. */
#include "gateway/connectors/generic.h"
#include "gateway/step.h"
#include "gateway/tests/peer/strict_peer.h"
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

#define GOOD      "4000000000000242"
#define CVV_FIRST "4000000000000101"
#define CVV       "4000000000000127"
#define DECLINED  "4000000000000002"
#define LOST      "4000000000000119"
#define BUSY      "4000000000000341"
#define ECHO      "4000000000000995"

static const struct dialect {
    const char *name, *connector, *file, *key;
    bool is_replay_safe;
} dialects[] = {
    {"tokens", "rest", "tokens-v1", "bearer:apikey", true},
    {"aws", "aws", "aws-tokens", "AKIDEXAMPLE:SECRETEXAMPLE", true},
    {"pay", "rest", "generic-pay", "user:password", false},
    {"xml", "xml", "xml-post", "user:password", false},
    {"session", "rest", "session-token", "apikey", false},
    {"oauth", "rest", "oauth-tokens", "user:password", true},
};
#define DIALECT_COUNT (sizeof(dialects) / sizeof(dialects[0]))

static uint64_t next_capture = 0xca;

/* --- a peer and a gateway that speaks to it --- */

struct place {
    struct strict_peer peer;
    struct mapping *mapping;
    struct rig rig;
};

/* The mapping of the token gateway with another kind of auth, as a merchant would write it. */
static const char *file_of(const struct dialect *dialect, const char *auth)
{
    static char made[256];
    char line[256], path[256];
    snprintf(path, sizeof(path), "gateway/connectors/mappings/%s.yaml", auth ? "tokens-v1" : dialect->file);
    snprintf(made, sizeof(made), "%s", auth ? rig_path("made.yaml") : path);
    if (!auth)
        return made;
    FILE *from = fopen(path, "r");
    FILE *to = fopen(made, "w");
    assert_true(from && to);
    while (fgets(line, sizeof(line), from)) {
        bool is_auth = strstr(line, "auth:") == line;
        if (is_auth)
            fprintf(to, "auth: %s\n", auth);
        for (; is_auth && line[0] != '\n';)
            assert_non_null(fgets(line, sizeof(line), from));
        fputs(line, to);
    }
    fclose(from);
    fclose(to);
    return made;
}

static void set_key(struct step_settings *settings, const char *key)
{
    size_t capacity;
    secret_wipe(settings->key);
    memcpy(secret_buffer(settings->key, &capacity), key, strlen(key));
    secret_set_length(settings->key, strlen(key));
}

static void open_place(struct place *place, const struct dialect *dialect, const char *key)
{
    char message[MAPPING_ERROR_BYTES] = "";
    memset(place, 0, sizeof(*place));
    strict_peer_start(&place->peer, dialect->name);
    struct step_settings settings = rig_settings(place->peer.url);
    snprintf(settings.account.region, LIMIT_NAME_BYTES, "eu-central-1");
    snprintf(settings.account.service, LIMIT_NAME_BYTES, "execute-api");
    const char *auth = strcmp(dialect->name, "aws") == 0 ? "{kind: sigv4}" : NULL;
    if (strcmp(dialect->name, "oauth") == 0)
        auth = "{kind: oauth, login_path: /oauth/token, scope: payments}";
    enum err err = generic_open(&place->mapping, dialect->connector, file_of(dialect, auth),
                                &settings.account, settings.url, message);
    if (err)
        print_error("%s\n", message);
    assert_int_equal(err, OK);
    settings.account.mapping = place->mapping;
    settings.connector = &place->mapping->connector;
    settings.create_timeout_ms = settings.charge_timeout_ms = 20000; /* the machine may be busy */
    set_key(&settings, key ? key : dialect->key);
    rig_open(&place->rig, &settings);
}

static void close_place(struct place *place)
{
    rig_close(&place->rig);
    mapping_free(place->mapping);
    strict_peer_stop(&place->peer);
}

static unsigned journal_count(const struct place *place, const char *word)
{
    return strict_peer_count(&place->peer, word);
}

/* --- payments --- */

struct payment {
    struct gateway_reply_msg token, order, confirmed, status;
};

/* As far as it goes. */
static void run_payment(struct place *place, const char *number, struct payment *payment)
{
    uint64_t capture = next_capture++;
    struct gateway_tokenise_msg tokenise = rig_tokenise(capture, 1, number);
    memset(payment, 0, sizeof(*payment));
    payment->token = *rig_ask(&place->rig, &tokenise);
    if (payment->token.outcome != GATEWAY_DONE)
        return;
    struct gateway_order_msg create = rig_create(capture, 1, 4250, payment->token.token);
    payment->order = *rig_ask(&place->rig, &create);
    if (payment->order.outcome != GATEWAY_DONE)
        return;
    struct gateway_step_msg step =
        rig_step(GATEWAY_CONFIRM, capture, 1, 4250, payment->token.token, payment->order.order_ref);
    payment->confirmed = *rig_ask(&place->rig, &step);
    step = rig_step(GATEWAY_STATUS, capture, 1, 4250, "", payment->order.order_ref);
    payment->status = *rig_ask(&place->rig, &step);
}

static void a_payment_goes_through_in_every_dialect(void **state)
{
    (void)state;
    for (size_t i = 0; i < DIALECT_COUNT; i++) {
        struct place place;
        struct payment payment;
        open_place(&place, &dialects[i], NULL);
        run_payment(&place, GOOD, &payment);
        if (payment.confirmed.outcome != GATEWAY_DONE || payment.status.outcome != GATEWAY_DONE)
            print_error("%s: %u %u %u %u\n", dialects[i].name, payment.token.outcome, payment.order.outcome,
                        payment.confirmed.outcome, payment.status.outcome);
        assert_int_equal(payment.confirmed.outcome, GATEWAY_DONE);
        assert_int_equal(payment.confirmed.order_state, ORDER_SUCCEEDED);
        assert_int_equal(payment.status.outcome, GATEWAY_DONE);
        assert_int_equal(payment.status.order_state, ORDER_SUCCEEDED);
        assert_int_equal(journal_count(&place, " card"), 1);
        assert_int_equal(journal_count(&place, " charge"), 1);
        close_place(&place);
    }
}

static void what_is_declined_is_told_as_what_it_is(void **state)
{
    (void)state;
    static const struct {
        const char *number;
        bool is_at_once;
        enum gateway_reason reason;
    } rows[] = {{CVV_FIRST, true, REASON_WRONG_CVV},
                {CVV, false, REASON_WRONG_CVV},
                {DECLINED, false, REASON_DECLINED}};
    for (size_t i = 0; i < DIALECT_COUNT; i++) {
        struct place place;
        open_place(&place, &dialects[i], NULL);
        for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
            struct payment payment;
            run_payment(&place, rows[k].number, &payment);
            const struct gateway_reply_msg *said = rows[k].is_at_once ? &payment.token : &payment.confirmed;
            assert_int_equal(said->outcome, GATEWAY_DECLINED);
            assert_int_equal(said->reason, rows[k].reason);
            if (!rows[k].is_at_once)
                assert_int_equal(payment.status.order_state, ORDER_OPEN);
        }
        assert_int_equal(journal_count(&place, " charge"), 0);
        close_place(&place);
    }
}

/* The charge was carried out and its answer lost. With a key it is asked for again under it, without it is not sent a
 * second time: the vault's question finds it. */
static void a_lost_answer_never_charges_twice(void **state)
{
    (void)state;
    for (size_t i = 0; i < DIALECT_COUNT; i++) {
        struct place place;
        struct payment payment;
        open_place(&place, &dialects[i], NULL);
        run_payment(&place, LOST, &payment);
        assert_int_equal(payment.confirmed.outcome,
                         dialects[i].is_replay_safe ? GATEWAY_DONE : GATEWAY_NO_ANSWER);
        assert_int_equal(payment.status.order_state, ORDER_SUCCEEDED);
        assert_int_equal(journal_count(&place, " charge"), 1);
        assert_int_equal(journal_count(&place, " twice"), 0);
        assert_int_equal(journal_count(&place, " replay"), dialects[i].is_replay_safe ? 1 : 0);
        close_place(&place);
    }
}

/* A shipped file with one text in it replaced by another, instead of the file itself. */
static void reopen_with(struct place *place, const struct dialect *dialect, const char *before,
                        const char *from, const char *to)
{
    static char file_text[16384], text[20000];
    char message[MAPPING_ERROR_BYTES] = "", path[128];
    snprintf(path, sizeof(path), "gateway/connectors/mappings/%s.yaml", dialect->file);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    file_text[fread(file_text, 1, sizeof(file_text) - 1, file)] = '\0';
    fclose(file);
    const char *at = strstr(file_text, from);
    assert_non_null(at);
    int length = snprintf(text, sizeof(text), "%s%.*s%s%s", before, (int)(at - file_text), file_text, to,
                          at + strlen(from));
    open_place(place, dialect, NULL);
    rig_close(&place->rig);
    mapping_free(place->mapping);
    struct step_settings settings = rig_settings(place->peer.url);
    enum err err = mapping_parse(&place->mapping, "m", text, (size_t)length, message);
    if (err)
        print_error("%s\n", message);
    assert_int_equal(err, OK);
    assert_int_equal(
        generic_bind(place->mapping, dialect->connector, &settings.account, settings.url, message), OK);
    settings.account.mapping = place->mapping;
    settings.connector = &place->mapping->connector;
    set_key(&settings, dialect->key);
    rig_open(&place->rig, &settings);
}

/* The planted case of the one above: a file that promises a key its gateway does not look at. The journal sees it. */
static void a_file_that_promises_too_much_charges_twice_and_the_journal_sees_it(void **state)
{
    (void)state;
    struct place place;
    struct payment payment;
    reopen_with(&place, &dialects[2], "idempotency: {in_body: true}\n",
                "currency_code: \"{currency}\"\n      description: Telephone payment",
                "currency_code: \"{currency}\"\n      description: \"{idempotency_key}\"");
    run_payment(&place, LOST, &payment);
    assert_int_equal(journal_count(&place, " charge"), 1);
    assert_int_equal(journal_count(&place, " twice"), 2);
    close_place(&place);
}

static void a_busy_gateway_is_asked_again_only_where_that_is_safe(void **state)
{
    (void)state;
    for (size_t i = 0; i < DIALECT_COUNT; i++) {
        struct place place;
        struct payment payment;
        open_place(&place, &dialects[i], NULL);
        run_payment(&place, BUSY, &payment);
        bool is_safe = dialects[i].is_replay_safe;
        assert_int_equal(payment.confirmed.outcome, is_safe ? GATEWAY_DONE : GATEWAY_NO_ANSWER);
        assert_int_equal(payment.status.order_state, is_safe ? ORDER_SUCCEEDED
                                                     : payment.status.outcome == GATEWAY_DONE
                                                         ? ORDER_UNKNOWN_TO_GATEWAY
                                                         : ORDER_NONE);
        assert_int_equal(journal_count(&place, " charge"), is_safe ? 1 : 0);
        close_place(&place);
    }
}

static void a_wrong_key_is_configuration_and_never_a_decline(void **state)
{
    (void)state;
    static const char *const keys[DIALECT_COUNT] = {
        "bearer:other", "AKIDEXAMPLE:SECRETEXAMPLf", "user:other", "user:other", "other", "user:other"};
    for (size_t i = 0; i < DIALECT_COUNT; i++) {
        struct place place;
        struct payment payment;
        open_place(&place, &dialects[i], keys[i]);
        run_payment(&place, GOOD, &payment);
        assert_int_equal(payment.token.outcome, GATEWAY_FAILED);
        assert_int_equal(payment.token.reason, REASON_CONFIGURATION);
        assert_int_equal(journal_count(&place, ""), 1);
        close_place(&place);
    }
}

/* The peer is strict: a field it was not told about is a configuration error, told before any money moved. */
static void a_field_that_the_gateway_does_not_know_is_refused_by_it(void **state)
{
    (void)state;
    struct place place;
    struct payment payment;
    reopen_with(&place, &dialects[0], "", "recurring_flag:", "recurring_flaG:");
    run_payment(&place, GOOD, &payment);
    assert_int_equal(payment.token.outcome, GATEWAY_FAILED);
    assert_int_equal(payment.token.reason, REASON_CONFIGURATION);
    assert_int_equal(journal_count(&place, "Unknown_Field"), 1);
    close_place(&place);
}

static void a_card_that_comes_back_or_an_entity_is_no_token(void **state)
{
    (void)state;
    static const size_t which[] = {0, 3}; /* JSON with the number as token, XML with an external entity */
    for (size_t i = 0; i < 2; i++) {
        struct place place;
        struct payment payment;
        open_place(&place, &dialects[which[i]], NULL);
        run_payment(&place, ECHO, &payment);
        assert_int_equal(payment.token.outcome, GATEWAY_FAILED);
        assert_int_equal(payment.token.reason, REASON_BAD_ANSWER);
        assert_string_equal(payment.token.token, "");
        close_place(&place);
    }
}

/* --- what comes after the card --- */

static struct order_reply_msg heard;

static void take_reply(void *owner, const struct order_reply_msg *reply, const struct step_report *report)
{
    (void)report;
    heard = *reply;
    event_base_loopbreak(owner);
}

static const struct order_reply_msg *carry_out(struct place *place, enum order_kind kind,
                                               const char *order_ref, const char *token)
{
    static uint64_t number = 0x0ede;
    struct order_take_msg order;
    memset(&order, 0, sizeof(order));
    memset(&heard, 0, sizeof(heard));
    MSG_INIT(&order, ORDER_TAKE, number++);
    order.kind = (uint8_t)kind;
    order.call_id = 0x77;
    order.amount_minor = 4250;
    memcpy(order.currency, "USD", 4);
    order.interval_count = 1;
    order.interval_unit = INTERVAL_MONTH;
    snprintf(order.order_ref, sizeof(order.order_ref), "%s", order_ref);
    snprintf(order.token, sizeof(order.token), "%s", token);
    snprintf(order.customer, sizeof(order.customer), "cus_7");
    snprintf(order.plan, sizeof(order.plan), "recurring_monthly_premium");
    snprintf(order.reference, sizeof(order.reference), "invoice 17");
    assert_int_equal(steps_order(place->rig.link.steps, &order, take_reply, place->rig.base), OK);
    if (heard.header.subject == 0)
        event_base_dispatch(place->rig.base);
    assert_int_equal(heard.header.subject, order.header.subject);
    return &heard;
}

static void the_desks_orders_are_carried_out_by_the_file(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) { /* tokens and aws */
        struct place place;
        struct payment payment;
        open_place(&place, &dialects[i], NULL);
        run_payment(&place, GOOD, &payment);
        const char *ref = payment.order.order_ref;
        const struct order_reply_msg *reply = carry_out(&place, ORDER_KIND_REFUND, ref, "");
        assert_int_equal(reply->outcome, GATEWAY_DONE);
        assert_memory_equal(reply->order_ref, "ref_", 4);
        reply = carry_out(&place, ORDER_KIND_SUBSCRIBE, "", payment.token.token);
        assert_int_equal(reply->outcome, GATEWAY_DONE);
        assert_memory_equal(reply->order_ref, "sub_", 4);
        reply = carry_out(&place, ORDER_KIND_LINK, "", "");
        assert_int_equal(reply->outcome, GATEWAY_DONE);
        assert_memory_equal(reply->url, "https://pay.example/p/lnk_", 26);
        assert_int_equal(carry_out(&place, ORDER_KIND_CAPTURE, ref, "")->outcome, GATEWAY_DONE);
        assert_int_equal(carry_out(&place, ORDER_KIND_REFUND, "pay_none", "")->outcome, GATEWAY_FAILED);
        close_place(&place);
    }
    struct place place; /* a mapping that has none of it */
    open_place(&place, &dialects[3], NULL);
    assert_int_equal(carry_out(&place, ORDER_KIND_REFUND, "pay_1", "")->reason, REASON_CONFIGURATION);
    assert_int_equal(journal_count(&place, ""), 0);
    close_place(&place);
}

static void no_card_is_in_the_log_or_left_in_the_heap(void **state)
{
    (void)state;
    static const char *const numbers[] = {GOOD, CVV_FIRST, CVV, DECLINED, LOST, BUSY, ECHO};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        assert_null(strstr(rig_log(), numbers[i]));
        assert_int_equal(wipe_heap_count_pattern(numbers[i], 16), 0);
    }
}

static int setup(void **state)
{
    (void)state;
    rig_setup();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_teardown();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_payment_goes_through_in_every_dialect),
        cmocka_unit_test(what_is_declined_is_told_as_what_it_is),
        cmocka_unit_test(a_lost_answer_never_charges_twice),
        cmocka_unit_test(a_file_that_promises_too_much_charges_twice_and_the_journal_sees_it),
        cmocka_unit_test(a_busy_gateway_is_asked_again_only_where_that_is_safe),
        cmocka_unit_test(a_wrong_key_is_configuration_and_never_a_decline),
        cmocka_unit_test(a_field_that_the_gateway_does_not_know_is_refused_by_it),
        cmocka_unit_test(a_card_that_comes_back_or_an_entity_is_no_token),
        cmocka_unit_test(the_desks_orders_are_carried_out_by_the_file),
        cmocka_unit_test(no_card_is_in_the_log_or_left_in_the_heap),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
