/* The links' rules that need the inside of a desk: an audit trail that fails while the database does not, pools that
 * are full, texts that could be card numbers, log-ins that fail. */
#include "capture/desk/desk_priv.h"
#include "capture/desk/desk_view.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct config config = {.capture = {.attempts_max = 3}};

struct stage {
    struct desk desk;
    struct event_base *base;
    char audit_path[64];
    int vault_fd;
};

static int setup(void **state)
{
    struct stage *stage = calloc(1, sizeof(*stage));
    struct desk *desk = &stage->desk;
    int ends[2];
    snprintf(stage->audit_path, sizeof(stage->audit_path), "/tmp/links-test-%d", getpid());
    unlink(stage->audit_path);
    stage->base = event_base_new();
    desk->setup.base = stage->base;
    desk->config = &config;
    desk->vault.fd = desk->proxy.fd = desk->gateway.fd = -1;
    assert_int_equal(desk_model_new(&desk->model, 4, 3), OK);
    assert_int_equal(store_open(&desk->store, ":memory:", NULL), OK);
    assert_int_equal(audit_open(&desk->audit, stage->audit_path), OK);
    desk_links_new(desk);
    desk_gateway_new(desk);
    assert_int_equal(desk_orders_open(desk), OK);
    assert_int_equal(desk_hooks_open(desk), OK);
    assert_int_equal(msg_pair(ends), OK);
    desk->vault.fd = ends[0];
    stage->vault_fd = ends[1];
    *state = stage;
    return 0;
}

static int teardown(void **state)
{
    struct stage *stage = *state;
    desk_links_free(&stage->desk);
    desk_gateway_free(&stage->desk);
    desk_hooks_close(&stage->desk);
    desk_orders_close(&stage->desk);
    close(stage->vault_fd);
    audit_close(stage->desk.audit);
    store_close(stage->desk.store);
    desk_model_free(&stage->desk.model);
    event_base_free(stage->base);
    unlink(stage->audit_path);
    free(stage);
    return 0;
}

static struct desk_capture *add_capture(struct desk *desk, uint64_t id, uint64_t call_id)
{
    struct desk_capture *capture = desk_model_capture_put(&desk->model, id);
    assert_non_null(capture);
    capture->record.call_id = call_id;
    capture->record.amount_minor = 100;
    capture->record.created_at.ns = (int64_t)id;
    memcpy(capture->record.currency, "EUR", 4);
    assert_int_equal(store_capture_insert(desk->store, &capture->record, "", NULL), OK);
    return capture;
}

static bool ask_store(struct stage *stage, uint64_t id, uint32_t number)
{
    struct capture_stored_msg stored;
    struct capture_store_msg message = {
        .call_id = 7, .store_number = number, .attempt = 1, .amount_minor = 100, .kind = STORE_INTENT};
    MSG_INIT(&message, CAPTURE_STORE, id);
    memcpy(message.currency, "EUR", 4);
    enum err err = msg_dispatch(&stage->desk.vault, &message, sizeof(message));
    assert_int_equal(recv(stage->vault_fd, &stored, sizeof(stored), MSG_DONTWAIT), sizeof(stored));
    assert_int_equal(stored.store_number, number);
    assert_int_equal(stored.is_durable, err == OK);
    return stored.is_durable;
}

static void without_its_audit_line_an_intent_is_not_durable(void **state)
{
    struct stage *stage = *state;
    struct rlimit limit = {1, RLIM_INFINITY};
    signal(SIGXFSZ, SIG_IGN);
    add_capture(&stage->desk, 1, 7);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0); /* the database is in memory: it does not fail */
    bool is_durable = ask_store(stage, 1, 1);
    limit.rlim_cur = RLIM_INFINITY;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_false(is_durable);
    assert_true(stage->desk.is_store_failing);
    assert_int_equal(audit_written(stage->desk.audit), 0);
    assert_true(ask_store(stage, 1, 2));
    assert_false(stage->desk.is_store_failing);
    assert_int_equal(audit_written(stage->desk.audit), 1);
    assert_true(ask_store(stage, 1, 2)); /* the answer was lost: no second line */
    assert_int_equal(audit_written(stage->desk.audit), 1);
}

static void a_full_pool_gives_up_what_ended_longest_ago_and_nothing_else(void **state)
{
    struct desk *desk = &((struct stage *)*state)->desk;
    for (uint64_t id = 1; id <= 3; id++)
        add_capture(desk, id, id);
    assert_null(desk_model_capture_put(&desk->model, 4));
    struct desk_capture *first = desk_model_capture(&desk->model, 2);
    first->record.updated_at.ns = 5;
    desk_capture_end(desk, first, CAPTURE_CANCELLED, PROBLEM_HANG_UP);
    assert_non_null(desk_model_capture_put(&desk->model, 4));
    assert_null(desk_model_capture(&desk->model, 2));
    assert_null(desk_model_capture_put(&desk->model, 5));
    desk_model_capture_remove(&desk->model, 4);
    /* It is still known, and comes back from the store when asked for. */
    struct desk_capture *again = desk_capture_get(desk, 2);
    assert_non_null(again);
    assert_int_equal(again->record.state, CAPTURE_CANCELLED);
    assert_true(again->is_end_stored);
}

static void calls_beyond_the_pool_are_refused_and_ended_ones_make_room(void **state)
{
    struct desk *desk = &((struct stage *)*state)->desk;
    struct proxy_call_msg call = {.state = PROXY_CALL_ANSWERED};
    for (uint64_t id = 1; id <= 4; id++) {
        MSG_INIT(&call, PROXY_CALL, id);
        assert_int_equal(msg_dispatch(&desk->proxy, &call, sizeof(call)), OK);
    }
    MSG_INIT(&call, PROXY_CALL, 5);
    assert_int_equal(msg_dispatch(&desk->proxy, &call, sizeof(call)), ERR_FULL);
    call.state = PROXY_CALL_ENDED;
    MSG_INIT(&call, PROXY_CALL, 2);
    assert_int_equal(msg_dispatch(&desk->proxy, &call, sizeof(call)), OK);
    call.state = PROXY_CALL_RINGING;
    memset(call.reference, 'A', sizeof(call.reference)); /* not terminated */
    call.callee[0] = '\n';
    MSG_INIT(&call, PROXY_CALL, 5);
    assert_int_equal(msg_dispatch(&desk->proxy, &call, sizeof(call)), OK);
    const struct desk_call *kept = desk_model_call(&desk->model, 5);
    assert_int_equal(strlen(kept->reference), LIMIT_CALL_REFERENCE_BYTES - 1);
    assert_string_equal(kept->callee, "?");
}

static void failed_log_ins_are_counted_per_address_and_forgotten_with_time(void **state)
{
    static struct failures failures;
    struct mono_time now = {0};
    struct in_addr address = {1};
    struct in_addr other = {2};
    unsigned wait_s;
    (void)state;
    for (int i = 0; i < FAILURES_BURST; i++) {
        assert_true(failures_may_try(&failures, address, now, &wait_s));
        failures_add(&failures, address, now);
    }
    assert_false(failures_may_try(&failures, address, now, &wait_s));
    assert_true(failures_may_try(&failures, other, now, &wait_s));
    now = mono_add_ms(now, FAILURES_REFILL_MS);
    assert_true(failures_may_try(&failures, address, now, &wait_s));
    failures_add(&failures, address, now);
    assert_false(failures_may_try(&failures, address, now, &wait_s));
    /* Ten thousand addresses do not make the table grow. */
    for (uint32_t i = 10; i < 10000; i++)
        failures_add(&failures, (struct in_addr){i}, mono_add_ms(now, i));
    assert_int_equal(failures.count, FAILURES_ADDRESSES);
}

static void every_name_of_the_interface_is_there(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CAPTURE_STATES; i++)
        assert_true(i == CAPTURE_UNKNOWN || strcmp(desk_state_name(i), "unknown") != 0);
    for (unsigned i = 0; i < PROBLEM_COUNT; i++)
        assert_string_not_equal(desk_problem_name(i), "unknown");
    for (unsigned i = 0; i < REASON_COUNT; i++)
        assert_string_not_equal(desk_reason_name(i), "unknown");
    for (unsigned i = 1; i < BRAND_COUNT; i++)
        assert_string_not_equal(desk_brand_name(i), "unknown");
    assert_string_equal(desk_state_name(99), "unknown");
}

int main(void)
{
    log_open(STDERR_FILENO, LOG_FORMAT_TEXT, LOG_ERROR + 1, "test");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_its_audit_line_an_intent_is_not_durable, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_pool_gives_up_what_ended_longest_ago_and_nothing_else, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(calls_beyond_the_pool_are_refused_and_ended_ones_make_room, setup,
                                        teardown),
        cmocka_unit_test(failed_log_ins_are_counted_per_address_and_forgotten_with_time),
        cmocka_unit_test(every_name_of_the_interface_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
