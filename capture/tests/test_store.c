/* The store: what it keeps, in which order, and that a disk failing at any point means "not kept" or "kept", never
 * half. */
#include "base/log.h"
#include "capture/desk/store/store.h"
#include "capture/tests/store_faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#define CAPTURE 0x8000000000000001ULL /* the highest bit too: SQLite's integers are signed */

static char path[128];
static const uint8_t hash[STORE_REQUEST_HASH_BYTES] = {1, 2, 3};
static const struct wall_time now = {1700000000000000000LL};

static void remove_files(void)
{
    char name[160];
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
        unlink(name);
    }
}

static int setup(void **state)
{
    (void)state;
    snprintf(path, sizeof(path), "/tmp/store-test-%d.db", getpid());
    remove_files();
    store_faults_after(-1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    store_faults_after(-1);
    remove_files();
    return 0;
}

static struct store *open_store(const char *vfs)
{
    struct store *store = NULL;
    assert_int_equal(store_open(&store, path, vfs), OK);
    return store;
}

static struct store_capture a_capture(uint64_t id)
{
    struct store_capture capture = {.id = id,
                                    .call_id = 7,
                                    .amount_minor = 1234,
                                    .created_at = now,
                                    .updated_at = now,
                                    .state = CAPTURE_ARMING,
                                    .attempt = 1};
    strcpy(capture.currency, "EUR");
    strcpy(capture.opened_by, "agent-one");
    strcpy(capture.reference, "order 'x'; DROP TABLE captures");
    return capture;
}

static void insert(struct store *store, uint64_t id, const char *key)
{
    struct store_capture capture = a_capture(id);
    assert_int_equal(store_capture_insert(store, &capture, key, hash), OK);
}

static struct capture_store_msg a_store(uint64_t id, enum capture_store_kind kind, uint32_t attempt)
{
    struct capture_store_msg message = {
        .call_id = 7, .amount_minor = 1234, .attempt = attempt, .kind = (uint8_t)kind};
    MSG_INIT(&message, CAPTURE_STORE, id);
    strcpy(message.currency, "EUR");
    if (kind != STORE_INTENT)
        strcpy(message.order_ref, "pi_1");
    if (kind == STORE_ORDER)
        strcpy(message.token, "pm_9");
    return message;
}

static enum err keep(struct store *store, uint64_t id, enum capture_store_kind kind, uint32_t attempt,
                     enum capture_state end)
{
    struct capture_store_msg message = a_store(id, kind, attempt);
    message.state = (uint8_t)end;
    return store_record(store, &message, now);
}

static size_t open_intents(struct store *store, struct store_intent *intent)
{
    struct store_intent intents[8];
    size_t count;
    assert_int_equal(store_intents_open(store, intents, 8, &count), OK);
    if (count && intent)
        *intent = intents[0];
    return count;
}

static void what_was_kept_is_there_after_a_restart(void **state)
{
    struct store_capture capture;
    struct store_intent intent;
    (void)state;
    struct store *store = open_store(NULL);
    insert(store, CAPTURE, "");
    assert_int_equal(keep(store, CAPTURE, STORE_INTENT, 1, 0), OK);
    assert_int_equal(keep(store, CAPTURE, STORE_ORDER, 1, 0), OK);
    store_close(store);
    store = open_store(NULL);
    assert_int_equal(open_intents(store, &intent), 1);
    assert_int_equal(intent.capture_id, CAPTURE);
    assert_int_equal(intent.attempt, 1);
    assert_int_equal(intent.amount_minor, 1234);
    assert_string_equal(intent.order_ref, "pi_1");
    assert_string_equal(intent.token, "pm_9");
    assert_int_equal(store_intent_open_of(store, CAPTURE, &intent), OK);
    assert_int_equal(store_intent_open_of(store, 5, &intent), ERR_NOT_FOUND);
    struct capture_store_msg result = a_store(CAPTURE, STORE_RESULT, 1);
    result.state = CAPTURE_APPROVED;
    result.brand = BRAND_JCB;
    strcpy(result.token, "pm_9");
    assert_int_equal(store_record(store, &result, now), OK);
    assert_int_equal(open_intents(store, NULL), 0);
    assert_int_equal(store_capture_find(store, CAPTURE, &capture), OK);
    assert_int_equal(capture.state, CAPTURE_APPROVED);
    assert_int_equal(capture.brand, BRAND_JCB);
    assert_string_equal(capture.token, "pm_9");
    assert_string_equal(capture.reference, "order 'x'; DROP TABLE captures");
    assert_int_equal(store_capture_find(store, 3, &capture), ERR_NOT_FOUND);
    store_close(store);
}

static void sql(const char *text)
{
    sqlite3 *database;
    assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(database);
}

static void a_file_of_the_first_schema_is_migrated_and_a_newer_one_refused(void **state)
{
    struct store_intent intent;
    (void)state;
    struct store *store = open_store(NULL);
    insert(store, CAPTURE, "");
    assert_int_equal(keep(store, CAPTURE, STORE_INTENT, 1, 0), OK);
    store_close(store);
    sql("ALTER TABLE captures DROP COLUMN kind; ALTER TABLE captures DROP COLUMN gateway_index;"
        "ALTER TABLE intents DROP COLUMN gateway_index; ALTER TABLE intents DROP COLUMN token;"
        "PRAGMA user_version = 1");
    store = open_store(NULL);
    assert_int_equal(open_intents(store, &intent), 1);
    assert_string_equal(intent.token, "");
    assert_int_equal(intent.kind, CAPTURE_KIND_CHARGE);
    assert_int_equal(keep(store, CAPTURE, STORE_ORDER, 1, 0), OK);
    assert_int_equal(open_intents(store, &intent), 1);
    assert_string_equal(intent.token, "pm_9");
    store_close(store);
    sql("PRAGMA user_version = 4");
    store = NULL;
    assert_int_equal(store_open(&store, path, NULL), ERR_VERSION);
}

static void kind_and_gateway_are_kept_for_whoever_asks_later(void **state)
{
    struct store_intent intent;
    struct store_capture capture = {
        .id = CAPTURE, .call_id = 7, .kind = CAPTURE_KIND_AUTHORISE, .attempt = 1};
    (void)state;
    struct store *store = open_store(NULL);
    assert_int_equal(store_capture_insert(store, &capture, "", NULL), OK);
    assert_int_equal(keep(store, CAPTURE, STORE_INTENT, 1, 0), OK);
    struct capture_store_msg order = {.attempt = 1, .kind = STORE_ORDER, .gateway_index = 1};
    MSG_INIT(&order, CAPTURE_STORE, CAPTURE);
    assert_int_equal(store_record(store, &order, wall_now()), OK);
    assert_int_equal(open_intents(store, &intent), 1);
    assert_int_equal(intent.kind, CAPTURE_KIND_AUTHORISE);
    assert_int_equal(intent.gateway_index, 1);
    struct capture_store_msg result = {
        .attempt = 1, .kind = STORE_RESULT, .state = CAPTURE_APPROVED, .gateway_index = 1};
    MSG_INIT(&result, CAPTURE_STORE, CAPTURE);
    assert_int_equal(store_record(store, &result, wall_now()), OK);
    store_close(store);
    store = open_store(NULL);
    assert_int_equal(store_capture_find(store, CAPTURE, &capture), OK);
    assert_int_equal(capture.kind, CAPTURE_KIND_AUTHORISE);
    assert_int_equal(capture.gateway_index, 1);
    store_close(store);
}

static void no_intent_after_an_end(void **state)
{
    struct store_intent intent;
    (void)state;
    struct store *store = open_store(NULL);
    insert(store, CAPTURE, "");
    assert_int_equal(keep(store, 99, STORE_INTENT, 1, 0), ERR_NOT_FOUND);
    assert_int_equal(keep(store, CAPTURE, STORE_ORDER, 1, 0), ERR_ORDER);
    assert_int_equal(keep(store, CAPTURE, STORE_INTENT, 1, 0), OK);
    assert_int_equal(keep(store, CAPTURE, STORE_INTENT, 1, 0), OK); /* again: the same */
    assert_int_equal(keep(store, CAPTURE, STORE_INTENT, 2, 0), OK);
    assert_int_equal(open_intents(store, &intent), 1); /* only the newest can be in doubt */
    assert_int_equal(intent.attempt, 2);
    assert_int_equal(keep(store, CAPTURE, STORE_INTENT, 3, 0), OK);
    assert_int_equal(open_intents(store, NULL), 1);
    assert_int_equal(keep(store, CAPTURE, STORE_RESULT, 3, CAPTURE_UNKNOWN), OK);
    assert_int_equal(open_intents(store, NULL), 1); /* not known is no end */
    assert_int_equal(keep(store, CAPTURE, STORE_RESULT, 3, CAPTURE_APPROVED), OK);
    assert_int_equal(open_intents(store, NULL), 0);
    assert_int_equal(keep(store, CAPTURE, STORE_INTENT, 4, 0), ERR_ORDER);
    assert_int_equal(keep(store, 55, STORE_RESULT, 1, CAPTURE_APPROVED), OK); /* unknown, and kept */
    store_close(store);
}

static void a_stored_end_is_final(void **state)
{
    static const enum capture_state ends[] = {CAPTURE_APPROVED, CAPTURE_DECLINED, CAPTURE_CANCELLED,
                                              CAPTURE_FAILED};
    struct store_capture capture;
    (void)state;
    struct store *store = open_store(NULL);
    for (uint64_t i = 0; i < 4; i++) {
        uint64_t id = 10 + i;
        insert(store, id, "");
        assert_int_equal(keep(store, id, STORE_INTENT, 1, 0), OK);
        assert_int_equal(keep(store, id, STORE_RESULT, 1, ends[i]), OK);
        assert_int_equal(keep(store, id, STORE_RESULT, 1, ends[i]), OK); /* the same again */
        for (size_t other = 0; other < 4; other++) {
            if (other != i)
                assert_int_equal(keep(store, id, STORE_RESULT, 1, ends[other]), ERR_ORDER);
            assert_int_equal(keep(store, id, STORE_RESULT, 2, ends[other]), ERR_ORDER);
        }
        assert_int_equal(keep(store, id, STORE_RESULT, 1, CAPTURE_UNKNOWN), ERR_ORDER);
        assert_int_equal(keep(store, id, STORE_INTENT, 2, 0), ERR_ORDER);
        assert_int_equal(keep(store, id, STORE_ORDER, 1, 0), ERR_ORDER);
        struct capture_store_msg message = a_store(id, STORE_RESULT, 1);
        message.state = (uint8_t)ends[i];
        strcpy(message.token, "pm_other");
        assert_int_equal(store_record(store, &message, now), ERR_ORDER);
        capture = a_capture(id);
        capture.state = CAPTURE_CANCELLED;
        assert_int_equal(store_capture_end(store, &capture), ERR_ORDER);
        assert_int_equal(store_capture_find(store, id, &capture), OK);
        assert_int_equal(capture.state, ends[i]);
        assert_string_equal(capture.token, "");
    }
    store_close(store);
}

static void money_in_doubt_is_not_ended_without_a_result(void **state)
{
    struct store_capture capture = a_capture(CAPTURE);
    (void)state;
    struct store *store = open_store(NULL);
    insert(store, CAPTURE, "");
    assert_int_equal(keep(store, CAPTURE, STORE_INTENT, 1, 0), OK);
    capture.state = CAPTURE_CANCELLED;
    assert_int_equal(store_capture_end(store, &capture), ERR_ORDER);
    assert_int_equal(keep(store, CAPTURE, STORE_RESULT, 1, CAPTURE_APPROVED), OK);
    assert_int_equal(store_capture_find(store, CAPTURE, &capture), OK);
    assert_int_equal(capture.state, CAPTURE_APPROVED);
    store_close(store);
}

static void keys_of_idempotency_are_per_token(void **state)
{
    struct store_capture capture;
    uint8_t found[STORE_REQUEST_HASH_BYTES];
    (void)state;
    struct store *store = open_store(NULL);
    insert(store, 1, "k");
    insert(store, 2, "");
    insert(store, 3, "");
    capture = a_capture(4);
    assert_int_equal(store_capture_insert(store, &capture, "k", hash), ERR_EXISTS);
    strcpy(capture.opened_by, "agent-two");
    assert_int_equal(store_capture_insert(store, &capture, "k", hash), OK);
    assert_int_equal(store_capture_find_key(store, "agent-one", "k", &capture, found), OK);
    assert_int_equal(capture.id, 1);
    assert_memory_equal(found, hash, sizeof(hash));
    assert_int_equal(store_capture_find_key(store, "agent-one", "none", &capture, found), ERR_NOT_FOUND);
    store_close(store);
}

static void lists_are_paged_newest_first(void **state)
{
    struct store_capture captures[4];
    size_t count;
    (void)state;
    struct store *store = open_store(NULL);
    for (uint64_t id = 10; id > 0; id--)
        insert(store, id, "");
    assert_int_equal(store_capture_list(store, 0, captures, 4, &count), OK);
    assert_int_equal(count, 4);
    assert_int_equal(captures[0].id, 1);
    assert_int_equal(captures[3].id, 4);
    assert_int_equal(store_capture_list(store, 8, captures, 4, &count), OK);
    assert_int_equal(count, 2);
    assert_int_equal(captures[1].id, 10);
    assert_int_equal(store_capture_list(store, 77, captures, 4, &count), ERR_NOT_FOUND);
    captures[0] = a_capture(10);
    captures[0].state = CAPTURE_CANCELLED;
    assert_int_equal(store_capture_end(store, &captures[0]), OK);
    assert_int_equal(store_capture_list_open(store, captures, 4, &count), OK);
    assert_int_equal(count, 4);
    assert_int_equal(captures[0].id, 9);
    store_close(store);
}

static void files_that_are_not_ours_are_refused(void **state)
{
    struct store *store = NULL;
    (void)state;
    FILE *file = fopen(path, "we");
    fputs("this is not a database, however long it may be, and will not become one by being opened", file);
    for (int i = 0; i < 100; i++)
        fputs("................................................................................", file);
    fclose(file);
    assert_int_equal(store_open(&store, path, NULL), ERR_STORE);
    assert_null(store);
    assert_int_equal(store_open(&store, "/nonexistent/desk.db", NULL), ERR_STORE);
}

/* One whole life of a capture; how far it came. */
static int live(struct store *store, enum err *last)
{
    struct store_capture capture = a_capture(CAPTURE);
    *last = store_capture_insert(store, &capture, "k", hash);
    if (*last)
        return 0;
    static const enum capture_store_kind kinds[] = {STORE_INTENT, STORE_ORDER, STORE_RESULT};
    for (int i = 0; i < 3; i++) {
        *last = keep(store, CAPTURE, kinds[i], 1, CAPTURE_APPROVED);
        if (*last)
            return i + 1;
    }
    return 4;
}

static int kept_steps(struct store *store)
{
    struct store_capture capture;
    struct store_intent intent;
    if (store_capture_find(store, CAPTURE, &capture) == ERR_NOT_FOUND)
        return 0;
    if (capture.state == CAPTURE_APPROVED)
        return 4;
    if (store_intent_open_of(store, CAPTURE, &intent) != OK)
        return 1;
    return intent.order_ref[0] ? 3 : 2;
}

static void a_disk_that_fails_at_any_point_keeps_all_that_was_promised(void **state)
{
    int points = 0;
    (void)state;
    for (bool is_done = false; !is_done && points < 500; points++) {
        enum err last;
        remove_files();
        store_faults_after(-1);
        struct store *store = open_store(STORE_FAULTS_VFS);
        store_faults_after(points);
        int steps = live(store, &last);
        is_done = steps == 4;
        if (!is_done)
            assert_int_equal(last, ERR_STORE);
        /* The disk is whole again: what was promised is there, in this process and in the next. */
        store_faults_after(-1);
        int kept = kept_steps(store);
        store_close(store);
        store = open_store(NULL);
        int kept_after = kept_steps(store);
        store_close(store);
        if (kept < steps || kept_after < steps || kept_after > steps + 1)
            fail_msg("point %d: %d steps promised, %d kept, %d after a restart", points, steps, kept,
                     kept_after);
    }
    print_message("%d points of failure\n", points);
    assert_true(points > 10 && points < 500);
}

static void nothing_is_promised_before_the_disk_was_asked_to_keep_it(void **state)
{
    static const enum capture_store_kind kinds[] = {STORE_INTENT, STORE_ORDER, STORE_RESULT};
    (void)state;
    struct store *store = open_store(STORE_FAULTS_VFS);
    store_faults_after(-1);
    insert(store, CAPTURE, "");
    assert_true(store_faults_syncs() > 0);
    for (int i = 0; i < 3; i++) {
        store_faults_after(-1);
        assert_int_equal(keep(store, CAPTURE, kinds[i], 1, CAPTURE_APPROVED), OK);
        assert_true(store_faults_syncs() > 0);
    }
    store_close(store);
}

static void a_disk_that_fails_while_opening_is_an_error_and_no_ruin(void **state)
{
    int points = 0;
    (void)state;
    for (bool is_open = false; !is_open && points < 500; points++) {
        struct store *store = NULL;
        remove_files();
        store_faults_after(points);
        is_open = store_open(&store, path, STORE_FAULTS_VFS) == OK;
        store_faults_after(-1);
        store_close(store);
        store = open_store(NULL);
        insert(store, CAPTURE, "");
        store_close(store);
    }
    print_message("%d points of failure\n", points);
    assert_true(points > 3 && points < 500);
}

int main(void)
{
    log_open(STDERR_FILENO, LOG_FORMAT_TEXT, LOG_ERROR + 1, "test"); /* failures are what is tested here */
    store_faults_register();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_kept_is_there_after_a_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_of_the_first_schema_is_migrated_and_a_newer_one_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(kind_and_gateway_are_kept_for_whoever_asks_later, setup, teardown),
        cmocka_unit_test_setup_teardown(no_intent_after_an_end, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stored_end_is_final, setup, teardown),
        cmocka_unit_test_setup_teardown(money_in_doubt_is_not_ended_without_a_result, setup, teardown),
        cmocka_unit_test_setup_teardown(keys_of_idempotency_are_per_token, setup, teardown),
        cmocka_unit_test_setup_teardown(lists_are_paged_newest_first, setup, teardown),
        cmocka_unit_test_setup_teardown(files_that_are_not_ours_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_disk_that_fails_at_any_point_keeps_all_that_was_promised, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(nothing_is_promised_before_the_disk_was_asked_to_keep_it, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_disk_that_fails_while_opening_is_an_error_and_no_ruin, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
