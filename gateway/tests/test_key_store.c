/* Keys out of secret stores, against strict stand-ins: what is asked for, what is believed, and keys that are replaced
 * while payments run. The stores, their credentials and the gateway that takes or refuses keys are key_stores.py. */
#include "base/clock.h"
#include "gateway/http.h"
#include "gateway/keys/key_store.h"
#include "gateway/tests/probe_connector.h"
#include "gateway/tests/rig.h"
#include "gateway/wipe_heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define VAULT "vault:secret/payments/gateway#key"
#define AWS   "aws:prod/gateway#key"

static struct rig_stores stores;
static struct event_base *base;
static uint64_t next_capture = 1;

/* --- the stand-ins --- */

static json_t *shown;

static void controlled(void *owner, const struct http_answer *answer)
{
    assert_int_equal(answer->status, 200);
    shown = json_loadb((const char *)answer->body, answer->body_length, 0, NULL);
    event_base_loopbreak(owner);
}

/* Changes the stand-ins' state (a JSON object, empty: nothing) and reads it back. */
static void control(const char *change)
{
    struct http_client *client;
    struct secret *body;
    char url[128];
    size_t capacity;
    snprintf(url, sizeof(url), "%s/_control", stores.secure_url);
    assert_int_equal(secret_new(&body, 1024), OK);
    memcpy(secret_buffer(body, &capacity), change, strlen(change));
    secret_set_length(body, strlen(change));
    assert_int_equal(http_client_new(&client, base, rig_path("right/ca.pem")), OK);
    const struct http_request request = {.method = change[0] ? "POST" : "GET",
                                         .url = url,
                                         .headers = "",
                                         .body = body,
                                         .connect_timeout_ms = 5000,
                                         .timeout_ms = 5000};
    json_decref(shown);
    shown = NULL;
    assert_int_equal(http_start(NULL, client, &request, controlled, base), OK);
    event_base_dispatch(base);
    http_client_free(client);
    secret_free(body);
    assert_non_null(shown);
}

static json_int_t count_of(const char *what)
{
    control("");
    return json_integer_value(json_object_get(shown, what));
}

#define GOOD_STATE                                                                                           \
    "{\"accepted\":[\"key-one\"],\"stored\":\"key-one\",\"vault_token\":\"hvs.token\","                      \
    "\"vault_namespace\":\"payments\",\"vault_status\":0,\"silent\":false,\"soft\":false,\"temporary_valid_" \
    "s\":3600,"                                                                                              \
    "\"temporary_secret\":\"temporary/Secret+2\"}"

/* --- one reading --- */

static struct secret *text(const char *value)
{
    struct secret *secret;
    size_t capacity;
    assert_int_equal(secret_new(&secret, 1024), OK);
    memcpy(secret_buffer(secret, &capacity), value, strlen(value));
    secret_set_length(secret, strlen(value));
    return secret;
}

static struct key_store *open_store(enum key_store_credentials credentials)
{
    struct key_store *store;
    struct key_store_settings settings = {.vault_namespace = "payments",
                                          .vault_token = text("hvs.token"),
                                          .aws_region = "eu-central-1",
                                          .aws_credentials = credentials};
    snprintf(settings.vault_url, sizeof(settings.vault_url), "%s", stores.secure_url);
    snprintf(settings.aws_url, sizeof(settings.aws_url), "%s", stores.secure_url);
    snprintf(settings.vault_ca_path, sizeof(settings.vault_ca_path), "%s", rig_path("right/ca.pem"));
    snprintf(settings.aws_ca_path, sizeof(settings.aws_ca_path), "%s", rig_path("right/ca.pem"));
    snprintf(settings.metadata_url, sizeof(settings.metadata_url), "%s", stores.plain_url);
    if (credentials == KEY_STORE_STATIC)
        settings.aws_key = text("AKIDEXAMPLE:SECRET/EXAMPLE+1");
    if (credentials == KEY_STORE_CONTAINER)
        settings.aws_relative = text("/v2/credentials/task");
    assert_int_equal(key_store_new(&store, base, &settings), OK);
    return store;
}

static enum err last_err;
static unsigned ended_count;

static void ended(void *owner, enum err err)
{
    (void)owner;
    last_err = err;
    ended_count++;
    event_base_loopbreak(base);
}

static enum err read_one(struct key_store *store, const char *reference, char *out)
{
    struct secret *value;
    unsigned before = ended_count;
    assert_int_equal(secret_new(&value, 512), OK);
    enum err err = key_store_read(store, reference, value, ended, &value);
    if (!err) {
        event_base_dispatch(base);
        assert_int_equal(ended_count, before + 1);
        err = last_err;
    }
    snprintf(out, 64, "%.*s", (int)secret_length(value), (const char *)secret_bytes(value));
    secret_free(value);
    return err;
}

static void expect_read(struct key_store *store, const char *reference, enum err err)
{
    char value[64];
    assert_int_equal(read_one(store, reference, value), err);
    assert_string_equal(value, err ? "" : "key-one");
}

static void vault_gives_a_field_and_says_why_not(void **state)
{
    (void)state;
    control(GOOD_STATE);
    struct key_store *store = open_store(KEY_STORE_STATIC);
    expect_read(store, VAULT, OK);
    expect_read(store, "vault:secret/payments/gateway#other", ERR_NOT_FOUND);
    expect_read(store, "vault:secret/payments/gateway#number", ERR_SYNTAX); /* no text */
    expect_read(store, "vault:secret/payments/nowhere#key", ERR_NOT_FOUND);
    expect_read(store, "vault:secret", ERR_SYNTAX);
    expect_read(store, "file:/x", ERR_SYNTAX);
    control("{\"vault_token\":\"another\"}");
    expect_read(store, VAULT, ERR_REFUSED);
    control("{\"vault_token\":\"hvs.token\",\"vault_namespace\":\"\"}");
    expect_read(store, VAULT, ERR_REFUSED);
    control("{\"vault_namespace\":\"payments\",\"vault_status\":503}");
    expect_read(store, VAULT, ERR_SYSTEM);
    control(GOOD_STATE);
    expect_read(store, VAULT, OK);
    key_store_free(store);
}

static void secrets_manager_takes_our_signature_and_no_other(void **state)
{
    (void)state;
    control(GOOD_STATE);
    struct key_store *store = open_store(KEY_STORE_STATIC);
    expect_read(store, AWS, OK);
    expect_read(store, "aws:prod/gateway#nothing", ERR_NOT_FOUND);
    expect_read(store, "aws:prod/other#key", ERR_NOT_FOUND);
    control("{\"aws_secret\":\"another\"}"); /* planted: the stand-in must notice */
    expect_read(store, AWS, ERR_REFUSED);
    control("{\"aws_secret\":\"SECRET/EXAMPLE+1\"}");
    expect_read(store, AWS, OK);
    key_store_free(store);
}

static void a_task_s_credentials_are_fetched_once(void **state)
{
    (void)state;
    control(GOOD_STATE);
    json_int_t before = count_of("container");
    struct key_store *store = open_store(KEY_STORE_CONTAINER);
    expect_read(store, AWS, OK);
    expect_read(store, AWS, OK);
    assert_int_equal(count_of("container"), before + 1);
    /* Taken back: refused once, and then there are others. */
    control("{\"temporary_secret\":\"third/Secret\"}");
    expect_read(store, AWS, ERR_REFUSED);
    expect_read(store, AWS, OK);
    assert_int_equal(count_of("container"), before + 2);
    key_store_free(store);
}

static void an_instance_s_credentials_need_a_session_and_end(void **state)
{
    (void)state;
    control(GOOD_STATE);
    json_int_t sessions = count_of("session"), instances = count_of("instance");
    struct key_store *store = open_store(KEY_STORE_INSTANCE);
    expect_read(store, AWS, OK);
    expect_read(store, AWS, OK);
    assert_int_equal(count_of("session"), sessions + 1);
    assert_int_equal(count_of("instance"), instances + 1);
    key_store_free(store);
    control("{\"temporary_valid_s\":-5}"); /* over already */
    store = open_store(KEY_STORE_INSTANCE);
    expect_read(store, AWS, ERR_TIMEOUT);
    key_store_free(store);
    control("{\"temporary_valid_s\":60}"); /* shorter than the spare time: for one second only */
    store = open_store(KEY_STORE_INSTANCE);
    expect_read(store, AWS, OK);
    usleep(1100000);
    expect_read(store, AWS, OK);
    assert_int_equal(count_of("session"), sessions + 4);
    key_store_free(store);
}

static void a_store_that_is_silent_or_away_is_given_up(void **state)
{
    (void)state;
    control(GOOD_STATE);
    control("{\"silent\":true}");
    struct key_store *store = open_store(KEY_STORE_STATIC);
    struct mono_time started = mono_now();
    expect_read(store, VAULT, ERR_TIMEOUT);
    assert_true(mono_elapsed_ms(started, mono_now()) < 6000);
    control("{\"silent\":false}");
    key_store_free(store);
    struct key_store_settings settings = {.vault_url = "https://127.0.0.1:1", .vault_token = text("t")};
    assert_int_equal(key_store_new(&store, base, &settings), OK);
    expect_read(store, VAULT, ERR_PEER_GONE);
    expect_read(store, AWS, ERR_UNSUPPORTED);
    key_store_free(store);
    settings = (struct key_store_settings){.vault_token = text("t")}; /* not our authority: not trusted */
    snprintf(settings.vault_url, sizeof(settings.vault_url), "%s", stores.secure_url);
    assert_int_equal(key_store_new(&store, base, &settings), OK);
    expect_read(store, VAULT, ERR_TLS);
    key_store_free(store);
}

static void settings_that_do_not_fit_together_are_refused(void **state)
{
    (void)state;
    struct key_store *store;
    struct key_store_settings settings = {.vault_url = "https://127.0.0.1:1"};
    assert_int_equal(key_store_new(&store, base, &settings), ERR_RANGE);
    settings = (struct key_store_settings){.aws_region = "eu-central-1"};
    assert_int_equal(key_store_new(&store, base, &settings), ERR_RANGE);
    settings = (struct key_store_settings){.aws_region = "eu-central-1", .aws_key = text("only-one-part")};
    assert_int_equal(key_store_new(&store, base, &settings), ERR_SYNTAX);
    settings =
        (struct key_store_settings){.aws_region = "eu-central-1", .aws_credentials = KEY_STORE_CONTAINER};
    assert_int_equal(key_store_new(&store, base, &settings), ERR_RANGE);
    assert_null(store);
}

static void metadata_is_asked_for_nowhere_else(void **state)
{
    (void)state;
    static const char *const urls[] = {"http://example.com/x", "http://169.254.170.20/x",
                                       "http://127.0.0.1.x/", "ftp://127.0.0.1/", "http://169.254.169.254"};
    struct http_client *client;
    assert_int_equal(http_client_new(&client, base, NULL), OK);
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct http_request request = {.method = "GET", .url = urls[i], .headers = "", .is_metadata = true};
        assert_int_equal(http_start(NULL, client, &request, controlled, base), ERR_SYNTAX);
    }
    const struct http_request plain = {.method = "GET", .url = "http://127.0.0.1:1/x", .headers = ""};
    assert_int_equal(http_start(NULL, client, &plain, controlled, base), ERR_SYNTAX);
    http_client_free(client);
}

/* --- keys that are replaced --- */

static struct rig rig;
static struct key_store *rig_store;

static void open_rig(const char *reference, struct secret *key, unsigned max_age_s)
{
    struct step_settings settings = rig_settings(stores.secure_url);
    secret_free(settings.key);
    settings.key = key;
    settings.connector = &safe_probe;
    settings.key_max_age_s = max_age_s;
    settings.retries = 0;
    settings.is_sandbox = true;
    snprintf(settings.key_reference, sizeof(settings.key_reference), "%s", reference);
    memset(&rig, 0, sizeof(rig));
    rig_store = open_store(KEY_STORE_STATIC);
    settings.key_store = rig_store;
    rig_open_on(&rig, base, &settings);
}

static void close_rig(void)
{
    rig_close_link(&rig);
    key_store_free(rig_store);
}

static enum gateway_outcome confirm(void)
{
    struct gateway_step_msg message = rig_step(GATEWAY_CONFIRM, next_capture++, 1, 1999, "tok", "order");
    return rig_ask(&rig, &message)->outcome;
}

static void the_first_key_comes_from_the_store(void **state)
{
    (void)state;
    control(GOOD_STATE);
    open_rig(VAULT, NULL, 0);
    assert_false(steps_have_keys(rig.link.steps));
    assert_int_equal(confirm(), GATEWAY_UNAVAILABLE); /* no key yet: nothing was sent */
    steps_read_keys(rig.link.steps);
    for (unsigned i = 0; i < 60 && !steps_have_keys(rig.link.steps); i++)
        rig_run_ms(&rig, 50);
    assert_true(steps_have_keys(rig.link.steps));
    assert_int_equal(confirm(), GATEWAY_DONE);
    close_rig();
}

static void a_key_that_was_revoked_is_read_anew_and_the_step_goes_on(void **state)
{
    (void)state;
    static const char *const references[] = {VAULT, AWS};
    for (size_t i = 0; i < 2; i++) {
        control(GOOD_STATE);
        open_rig(references[i], text("key-one"), 0);
        assert_int_equal(confirm(), GATEWAY_DONE);
        control("{\"accepted\":[\"key-two\"],\"stored\":\"key-two\"}");
        assert_int_equal(confirm(), GATEWAY_DONE);
        assert_int_equal(confirm(), GATEWAY_DONE);
        close_rig();
    }
    control(GOOD_STATE); /* refused with a 200, as GraphQL does */
    control("{\"soft\":true}");
    open_rig(VAULT, text("key-one"), 0);
    assert_int_equal(confirm(), GATEWAY_DONE);
    control("{\"accepted\":[\"key-two\"],\"stored\":\"key-two\"}");
    assert_int_equal(confirm(), GATEWAY_DONE);
    control("{\"accepted\":[]}");
    assert_int_equal(confirm(), GATEWAY_FAILED);
    close_rig();
}

static void a_wrong_key_in_the_store_does_not_stop_payments(void **state)
{
    (void)state;
    control(GOOD_STATE);
    open_rig(VAULT, text("key-one"), 1);
    assert_int_equal(confirm(), GATEWAY_DONE);
    control("{\"stored\":\"key-nobody-knows\"}"); /* planted */
    rig_run_ms(&rig, 2500);                       /* by age */
    json_int_t refused = count_of("probe_401");
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(confirm(), GATEWAY_DONE); /* with the one before it */
    assert_true(count_of("probe_401") > refused);  /* the wrong one was tried */
    close_rig();
    /* Without one before it, it is told as what it is, and asked for no more often than allowed. */
    control(GOOD_STATE);
    control("{\"stored\":\"key-nobody-knows\"}");
    open_rig(VAULT, text("key-nobody-knows"), 0);
    json_int_t asked = count_of("vault");
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(confirm(), GATEWAY_FAILED);
        assert_int_equal(rig.reply.reason, REASON_CONFIGURATION);
    }
    assert_int_equal(count_of("vault"), asked + 1);
    close_rig();
}

static void a_live_key_out_of_a_store_never_meets_the_sandbox(void **state)
{
    (void)state;
    control(GOOD_STATE);
    open_rig(VAULT, text("key-one"), 0);
    control("{\"accepted\":[\"" PROBE_LIVE_KEY "\"],\"stored\":\"" PROBE_LIVE_KEY "\"}");
    json_int_t asked = count_of("vault");
    assert_int_equal(confirm(), GATEWAY_FAILED);
    assert_int_equal(count_of("vault"), asked + 1); /* it was read, and not taken */
    assert_non_null(strstr(rig_log(), "a live key with gateway.sandbox"));
    close_rig();
}

static void a_store_that_is_away_leaves_the_key_in_use(void **state)
{
    (void)state;
    control(GOOD_STATE);
    open_rig(VAULT, text("key-one"), 1);
    control("{\"vault_status\":500}");
    rig_run_ms(&rig, 1500);
    assert_int_equal(confirm(), GATEWAY_DONE);
    close_rig();
}

static void a_file_that_is_replaced_is_read_where_that_is_allowed(void **state)
{
    (void)state;
    char path[256], next[256];
    control(GOOD_STATE);
    snprintf(path, sizeof(path), "%s", rig_path("rolling-key"));
    snprintf(next, sizeof(next), "%s", rig_path("rolling-key.next"));
    for (unsigned max_age_s = 0; max_age_s < 2; max_age_s++) {
        control(GOOD_STATE);
        open_rig(path, text("key-one"), max_age_s * 3600);
        assert_int_equal(confirm(), GATEWAY_DONE);
        FILE *file = fopen(next, "w");
        assert_non_null(file);
        fputs("key-two\n", file);
        fclose(file);
        assert_int_equal(rename(next, path), 0);
        control("{\"accepted\":[\"key-two\"]}");
        assert_int_equal(confirm(), max_age_s > 0 ? GATEWAY_DONE : GATEWAY_FAILED);
        close_rig();
    }
}

/* 32 at once, five keys one after the other: the store first, then the gateway knows both, then only the new one. */
static void five_keys_under_load_and_no_payment_fails(void **state)
{
    (void)state;
    unsigned sent = 0, done = 0;
    char change[160];
    control(GOOD_STATE);
    open_rig(AWS, text("key-one"), 0);
    json_int_t refused = count_of("probe_401");
    for (unsigned key = 1; key <= 5; key++) {
        unsigned until = sent + 60;
        snprintf(change, sizeof(change), "{\"accepted\":[\"key-%u\"],\"stored\":\"key-%u\"}", key, key);
        for (; sent < until && sent < done + 32; sent++) {
            struct gateway_step_msg message =
                rig_step(GATEWAY_CONFIRM, next_capture++, 1, 1999, "tok", "order");
            rig_send(&rig, &message);
        }
        control(change);
        while (done < until) {
            assert_int_equal(rig_wait(&rig)->outcome, GATEWAY_DONE);
            done++;
            if (sent < until) {
                struct gateway_step_msg message =
                    rig_step(GATEWAY_CONFIRM, next_capture++, 1, 1999, "tok", "order");
                rig_send(&rig, &message);
                sent++;
            }
        }
        rig_run_ms(&rig, 2100); /* readings keep their distance */
    }
    assert_int_equal(done, 300);
    assert_true(count_of("probe_401") >=
                refused + 5); /* the keys were refused in between: it was no idle test */
    close_rig();
}

static int open_base(void **state)
{
    (void)state;
    base = event_base_new();
    return base ? 0 : -1;
}

static int close_base(void **state)
{
    (void)state;
    json_decref(shown);
    shown = NULL;
    event_base_free(base);
    return 0;
}

int main(void)
{
#define WITH_BASE(test) cmocka_unit_test_setup_teardown(test, open_base, close_base)
    const struct CMUnitTest tests[] = {
        WITH_BASE(vault_gives_a_field_and_says_why_not),
        WITH_BASE(secrets_manager_takes_our_signature_and_no_other),
        WITH_BASE(a_task_s_credentials_are_fetched_once),
        WITH_BASE(an_instance_s_credentials_need_a_session_and_end),
        WITH_BASE(a_store_that_is_silent_or_away_is_given_up),
        WITH_BASE(settings_that_do_not_fit_together_are_refused),
        WITH_BASE(metadata_is_asked_for_nowhere_else),
        WITH_BASE(the_first_key_comes_from_the_store),
        WITH_BASE(a_key_that_was_revoked_is_read_anew_and_the_step_goes_on),
        WITH_BASE(a_wrong_key_in_the_store_does_not_stop_payments),
        WITH_BASE(a_live_key_out_of_a_store_never_meets_the_sandbox),
        WITH_BASE(a_store_that_is_away_leaves_the_key_in_use),
        WITH_BASE(a_file_that_is_replaced_is_read_where_that_is_allowed),
        WITH_BASE(five_keys_under_load_and_no_payment_fails),
    };
    rig_setup();
    if (!rig_stores_start(&stores, "{}")) {
        printf("skipped: key_stores.py needs python3\n");
        rig_teardown();
        return 77;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rig_stores_stop(&stores);
    rig_teardown();
    return failed;
}
