/* The small parts of the room: the endpoint in the log, forms, retry arithmetic, the breaker, the wiping heap. */
#include "base/log.h"
#include "base/secret_source.h"
#include "gateway/breaker.h"
#include "gateway/connector.h"
#include "gateway/endpoint.h"
#include "gateway/form.h"
#include "gateway/json_writer.h"
#include "gateway/money.h"
#include "gateway/retry.h"
#include "gateway/wipe_heap.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

/* --- forms --- */

static void a_form_is_escaped_and_read_back(void **state)
{
    (void)state;
    static const char value[] = "a b&c=d%+\xc3\xa4/[]~";
    uint8_t bytes[256];
    char *key, *read;
    struct form_writer writer;
    struct form_reader reader;
    form_begin(&writer, bytes, sizeof(bytes) - 1);
    form_text(&writer, "metadata[x]", value);
    form_number(&writer, "n", -42);
    form_digits(&writer, "d", (const uint8_t[]){0, 9, 5}, 3);
    assert_int_equal(writer.err, OK);
    form_read(&reader, (char *)bytes, writer.length);
    assert_int_equal(form_next(&reader, &key, &read), OK);
    assert_string_equal(key, "metadata[x]");
    assert_string_equal(read, value);
    assert_int_equal(form_next(&reader, &key, &read), OK);
    assert_string_equal(read, "-42");
    assert_int_equal(form_next(&reader, &key, &read), OK);
    assert_string_equal(read, "095");
    assert_int_equal(form_next(&reader, &key, &read), ERR_EMPTY);
}

static void a_form_that_does_not_fit_or_is_no_digit_is_refused(void **state)
{
    (void)state;
    uint8_t bytes[8];
    struct form_writer writer;
    form_begin(&writer, bytes, sizeof(bytes));
    form_text(&writer, "key", "toolong");
    assert_int_equal(writer.err, ERR_FULL);
    assert_true(writer.length <= sizeof(bytes));
    form_begin(&writer, bytes, sizeof(bytes));
    form_digits(&writer, "d", (const uint8_t[]){1, 10}, 2);
    assert_int_equal(writer.err, ERR_RANGE);
}

static void forms_that_are_none_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *form;
        enum err first;
    } rows[] = {
        {"", ERR_EMPTY},       {"&&&", ERR_EMPTY},      {"=x", ERR_SYNTAX},
        {"a=%", ERR_SYNTAX},   {"a=%4", ERR_SYNTAX},    {"a=%4g", ERR_SYNTAX},
        {"a=%00", ERR_SYNTAX}, {"%00=a", ERR_SYNTAX},   {"a", OK},
        {"a=%41", OK},         {"a=%41%4", ERR_SYNTAX},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char bytes[32];
        char *key, *value;
        struct form_reader reader;
        size_t length = strlen(rows[i].form);
        memcpy(bytes, rows[i].form, length);
        form_read(&reader, bytes, length);
        assert_int_equal(form_next(&reader, &key, &value), rows[i].first);
    }
}

/* --- JSON --- */

static void json_is_written_as_jansson_reads_it(void **state)
{
    (void)state;
    uint8_t bytes[256];
    struct json_writer json;
    json_error_t error;
    json_begin(&json, bytes, sizeof(bytes));
    json_open_object(&json, NULL);
    json_put_text(&json, "a\"b", "x\\y\"\n\x01 \xc3\xa4");
    json_open_array(&json, "list");
    json_open_object(&json, NULL);
    json_close(&json);
    json_put_number(&json, NULL, -5);
    json_close(&json);
    json_put_bool(&json, "yes", true);
    json_put_digits(&json, "number", (const uint8_t[]){0, 9}, 2);
    json_close(&json);
    assert_int_equal(json.err, OK);
    assert_int_equal(json.depth, 0);
    json_t *root = json_loadb((const char *)bytes, json.length, 0, &error);
    assert_non_null(root);
    assert_string_equal(json_string_value(json_object_get(root, "a\"b")), "x\\y\"\n\x01 \xc3\xa4");
    assert_int_equal(json_array_size(json_object_get(root, "list")), 2);
    assert_string_equal(json_string_value(json_object_get(root, "number")), "09");
    json_decref(root);
    json_begin(&json, bytes, 5);
    json_put_text(&json, NULL, "longer");
    assert_int_equal(json.err, ERR_FULL);
    json_begin(&json, bytes, sizeof(bytes));
    json_put_digits(&json, NULL, (const uint8_t[]){10}, 1);
    assert_int_equal(json.err, ERR_RANGE);
}

/* --- money --- */

static void amounts_have_the_decimals_of_their_currency(void **state)
{
    (void)state;
    static const struct {
        const char *currency;
        int64_t amount;
        const char *text;
    } rows[] = {
        {"USD", 1999, "19.99"}, {"EUR", 5, "0.05"},   {"JPY", 500, "500"},   {"KWD", 1250, "1.250"},
        {"CLF", 1, "0.0001"},   {"GBP", 100, "1.00"}, {"BHD", 999, "0.999"}, {"USD", 99999999, "999999.99"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[MONEY_TEXT_BYTES];
        int64_t amount;
        money_text(rows[i].amount, rows[i].currency, text);
        assert_string_equal(text, rows[i].text);
        assert_int_equal(money_parse(text, rows[i].currency, &amount), OK);
        assert_int_equal(amount, rows[i].amount);
    }
}

static void amounts_that_are_none_are_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {"",      "1",    "1.",    ".50", "1.5",   "1.505",
                                       "-1.00", "1,00", "1.00 ", "1e2", "0x1.00"};
    int64_t amount;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(money_parse(rows[i], "USD", &amount), ERR_SYNTAX);
    assert_int_equal(money_parse("500.", "JPY", &amount), ERR_SYNTAX);
    assert_int_equal(money_parse("500.00", "JPY", &amount), ERR_SYNTAX);
    assert_int_equal(money_parse("1000000.00", "USD", &amount), ERR_RANGE);
    assert_true(money_is_currency("USD"));
    assert_false(money_is_currency("usd"));
    assert_false(money_is_currency("US"));
}

/* --- retries --- */

static void waits_grow_and_stop_at_retries_and_ceiling(void **state)
{
    (void)state;
    const struct retry_policy policy = {.retries = 3, .wait_ms = 1000, .factor = 2, .ceiling_ms = 60000};
    unsigned wait;
    assert_true(retry_next(&policy, 1, 100, -1, &wait));
    assert_int_equal(wait, 1000);
    assert_true(retry_next(&policy, 2, 100, -1, &wait));
    assert_int_equal(wait, 2000);
    assert_true(retry_next(&policy, 3, 100, -1, &wait));
    assert_int_equal(wait, 4000);
    assert_false(retry_next(&policy, 4, 100, -1, &wait));
    assert_true(retry_next(&policy, 1, 0, 5000, &wait)); /* the gateway asks for longer */
    assert_int_equal(wait, 5000);
    assert_true(retry_next(&policy, 1, 0, 10, &wait)); /* or for less: ours stands */
    assert_int_equal(wait, 1000);
    assert_false(retry_next(&policy, 1, 0, 60000, &wait));
    assert_false(retry_next(&policy, 1, 58600, -1, &wait));
    assert_true(retry_next(&policy, 1, 58500, -1, &wait));
}

static void a_factor_of_one_keeps_the_wait_and_no_retries_means_none(void **state)
{
    (void)state;
    const struct retry_policy same = {.retries = 2, .wait_ms = 1000, .factor = 1, .ceiling_ms = 60000};
    const struct retry_policy none = {.retries = 0, .wait_ms = 1000, .factor = 2, .ceiling_ms = 60000};
    unsigned wait;
    assert_true(retry_next(&same, 2, 0, -1, &wait));
    assert_int_equal(wait, 1000);
    assert_false(retry_next(&none, 1, 0, -1, &wait));
}

static void a_try_is_cut_at_the_ceiling(void **state)
{
    (void)state;
    const struct retry_policy policy = {.retries = 2, .wait_ms = 1000, .factor = 2, .ceiling_ms = 60000};
    assert_int_equal(retry_timeout_ms(&policy, 30000, 0), 30000);
    assert_int_equal(retry_timeout_ms(&policy, 30000, 45000), 15000);
    assert_int_equal(retry_timeout_ms(&policy, 30000, 60000), 0);
    assert_int_equal(retry_timeout_ms(&policy, 30000, 70000), 0);
}

/* --- the breaker --- */

static const struct breaker_policy slow_after_15s = {.slow_ms = 15000, .failures_max = 4, .open_ms = 30000};

static struct mono_time at_ms(int64_t ms)
{
    return mono_add_ms((struct mono_time){0}, ms);
}

static void three_slow_answers_in_a_row_open_the_breaker(void **state)
{
    (void)state;
    struct breaker breaker;
    breaker_init(&breaker, &slow_after_15s);
    assert_false(breaker_record(&breaker, at_ms(0), 20000, true));
    assert_false(breaker_record(&breaker, at_ms(0), 20000, true));
    assert_false(breaker_record(&breaker, at_ms(0), 4000, true)); /* 44 s over three: below */
    assert_false(breaker_record(&breaker, at_ms(0), 16000, true));
    assert_true(breaker_record(&breaker, at_ms(0), 30000, true)); /* 4 + 16 + 30 = 50: above */
    assert_int_equal(breaker.state, BREAKER_OPEN);
    assert_false(breaker_allow(&breaker, at_ms(29999)));
    assert_true(breaker_allow(&breaker, at_ms(30000)));
    assert_false(breaker_allow(&breaker, at_ms(30000))); /* one probe at a time */
    assert_true(breaker_record(&breaker, at_ms(31000), 900, true));
    assert_int_equal(breaker.state, BREAKER_CLOSED);
    assert_true(breaker_allow(&breaker, at_ms(31000)));
    assert_false(breaker_record(&breaker, at_ms(32000), 16000, true)); /* what was before is forgotten */
}

static void unanswered_exchanges_open_it_and_a_failed_probe_keeps_it_so_for_longer(void **state)
{
    (void)state;
    struct breaker breaker;
    breaker_init(&breaker, &slow_after_15s);
    for (unsigned i = 0; i < 3; i++)
        assert_false(breaker_record(&breaker, at_ms(0), 5, false));
    assert_false(breaker_record(&breaker, at_ms(0), 5, true));
    for (unsigned i = 0; i < 3; i++)
        assert_false(breaker_record(&breaker, at_ms(0), 5, false));
    assert_true(breaker_record(&breaker, at_ms(0), 5, false));
    assert_true(breaker_allow(&breaker, at_ms(30000)));
    breaker_probe_lost(&breaker);
    assert_true(breaker_allow(&breaker, at_ms(30000)));
    assert_true(breaker_record(&breaker, at_ms(30000), 5, false));
    assert_false(breaker_allow(&breaker, at_ms(89999)));
    assert_true(breaker_allow(&breaker, at_ms(90000)));
    for (unsigned i = 0; i < 10; i++) { /* no longer than the longest */
        breaker.is_probe_out = true;
        breaker.state = BREAKER_HALF_OPEN;
        assert_true(breaker_record(&breaker, at_ms(0), 5, false));
    }
    assert_int_equal(breaker.open_ms, BREAKER_OPEN_MS_MAX);
}

static void no_policy_means_no_breaker(void **state)
{
    (void)state;
    static const struct breaker_policy none;
    struct breaker breaker;
    breaker_init(&breaker, &none);
    for (unsigned i = 0; i < 100; i++)
        assert_false(breaker_record(&breaker, at_ms(0), 60000, false));
    assert_true(breaker_allow(&breaker, at_ms(0)));
}

/* --- secrets by reference --- */

static void a_secret_is_read_from_where_it_lies(void **state)
{
    (void)state;
    char folder[] = "/tmp/tonegate-secret-XXXXXX";
    char path[64], reference[80];
    struct secret *secret;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/key", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("sk_test_x \n", file);
    fclose(file);
    assert_int_equal(secret_new(&secret, 16), OK);
    assert_int_equal(secret_source_read(path, secret), OK);
    assert_int_equal(secret_length(secret), 9);
    assert_memory_equal(secret_bytes(secret), "sk_test_x", 9);
    snprintf(reference, sizeof(reference), "file:%s", path);
    assert_int_equal(secret_source_read(reference, secret), OK);
    assert_int_equal(secret_source_read("credential:key", secret), ERR_NOT_FOUND);
    setenv("CREDENTIALS_DIRECTORY", folder, 1);
    assert_int_equal(secret_source_read("credential:key", secret), OK);
    assert_int_equal(secret_length(secret), 9);
    assert_int_equal(secret_source_read("credential:../key", secret), ERR_SYNTAX);
    assert_int_equal(secret_length(secret), 0); /* nothing of the one before stays */
    char variable[] = "TONEGATE_TEST_KEY=sk_env";
    putenv(variable);
    assert_int_equal(secret_source_read("env:TONEGATE_TEST_KEY", secret), OK);
    assert_memory_equal(secret_bytes(secret), "sk_env", 6);
    assert_memory_equal(variable + 18, "\0\0\0\0\0\0", 6);
    assert_int_equal(secret_source_read("env:TONEGATE_TEST_KEY", secret), ERR_LENGTH);
    assert_int_equal(secret_source_read("env:TONEGATE_NO_SUCH_KEY", secret), ERR_NOT_FOUND);
    assert_int_equal(secret_source_read("aws:x", secret), ERR_SYNTAX);
    assert_int_equal(secret_source_read("", secret), ERR_SYNTAX);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs("seventeen letters", file);
    fclose(file);
    assert_int_equal(secret_source_read(path, secret), ERR_LENGTH);
    secret_free(secret);
    unsetenv("TONEGATE_TEST_KEY");
    unlink(path);
    rmdir(folder);
}

/* --- the heap --- */

static void blocks_are_found_and_overwritten_only_while_they_live(void **state)
{
    (void)state;
    char *block = wipe_heap_strdup("needle in a block");
    assert_int_equal(wipe_heap_count_pattern("needle", 6), 1);
    assert_false(wipe_heap_overwrite(block + 12, 10)); /* past its end */
    assert_true(wipe_heap_overwrite(block, 6));
    assert_int_equal(wipe_heap_count_pattern("needle", 6), 0);
    wipe_heap_free(block);
    char here[8] = "needle";
    assert_false(wipe_heap_overwrite(here, 6)); /* not of this heap */
    assert_string_equal(here, "needle");
}

static void a_block_that_moves_takes_its_bytes_along(void **state)
{
    (void)state;
    struct wipe_heap_usage before = wipe_heap_usage();
    char *block = wipe_heap_strdup("needle");
    block = wipe_heap_realloc(block, 100000);
    assert_string_equal(block, "needle");
    assert_int_equal(wipe_heap_count_pattern("needle", 6), 1);
    block = wipe_heap_realloc(block, 4);
    assert_memory_equal(block, "need", 4);
    assert_int_equal(wipe_heap_count_pattern("needle", 6), 0);
    assert_null(wipe_heap_realloc(block, 0));
    assert_int_equal(wipe_heap_usage().block_count, before.block_count);
    assert_int_equal(wipe_heap_usage().live_bytes, before.live_bytes);
}

static void freed_bytes_are_overwritten(void **state)
{
    (void)state;
    /* A freed block must not be read; what realloc leaves behind is seen through the block that takes its place. */
    for (unsigned i = 0; i < 64; i++) {
        char *block = wipe_heap_malloc(4096);
        for (size_t k = 2048; k < 4000; k++)
            assert_int_not_equal(block[k], 'N');
        memset(block, 'N', 4096);
        wipe_heap_free(block);
    }
}

static void failing_allocations_fail_and_sizes_cannot_wrap(void **state)
{
    (void)state;
    assert_null(wipe_heap_calloc(SIZE_MAX / 4, 8));
    assert_null(wipe_heap_malloc(SIZE_MAX - 8));
    wipe_heap_fail_after(1);
    void *first = wipe_heap_malloc(1);
    assert_non_null(first);
    assert_null(wipe_heap_malloc(1));
    assert_null(wipe_heap_realloc(first, 2)); /* the old one stays */
    wipe_heap_fail_after(-1);
    wipe_heap_free(first);
}

static void the_log_says_where_the_gateway_is_and_never_who(void **state)
{
    static const struct {
        const char *url, *line;
    } rows[] = {
        {"https://127.0.0.1:44775", "address=127.0.0.1:44775"},
        {"https://198.51.100.7", "address=198.51.100.7:443"},
        {"https://api.stripe.com", "host=\"api.stripe.com\" port=443"},
        {"https://api.stripe.com:8443/v1", "host=\"api.stripe.com\" port=8443"},
        {"https://[2001:db8::1]:8443/", "host=\"[2001:db8::1]\" port=8443"},
        {"https://somebody:4242424242424242@pay.example/x", "host=\"pay.example\" port=443"},
        {"https://4242424242424242.example", "host=\"#.example\" port=443"},
        {"https://h:99999", "host=\"h\" port=0"},
        {"https://", "port=443"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[512];
        struct endpoint endpoint;
        int fd = memfd_create("log", MFD_CLOEXEC);
        log_open(fd, LOG_FORMAT_TEXT, LOG_INFO, "test");
        endpoint_read(&endpoint, rows[i].url);
        endpoint_log(&endpoint, "stripe");
        log_open(STDERR_FILENO, LOG_FORMAT_TEXT, LOG_INFO, "test");
        ssize_t length = pread(fd, text, sizeof(text) - 1, 0);
        close(fd);
        text[length > 0 ? length : 0] = '\0';
        if (!strstr(text, rows[i].line) || strstr(text, "4242"))
            fail_msg("%s: %s", rows[i].url, text);
    }
}

/* --- names and links of a gateway --- */

static void long_names_are_parted_and_joined_again(void **state)
{
    (void)state;
    static const struct {
        const char *text, *kept;
    } rows[] = {
        {"5O190127TN364715T", "5O190127TN364715T"},
        {"12345678901", "12345678901"},
        {"123456789012", "12345678_9012"},
        {"A4111111111111111", "A41111111_11111111"},
        {"1234567890123456789012345", "12345678_90123456_78901234_5"},
        {"12345678X1234567890123Y", "12345678X12345678_90123Y"},
        {"", NULL},
        {"a/b", NULL},
        {"with_one", NULL},
        {"with-one", NULL},
        {NULL, NULL},
    };
    char out[LIMIT_TOKEN_BYTES], back[LIMIT_TOKEN_BYTES];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(connector_take_long(rows[i].text, out), rows[i].kept != NULL);
        assert_string_equal(out, rows[i].kept ? rows[i].kept : "");
        connector_give_long(out, back);
        assert_string_equal(back, rows[i].kept ? rows[i].text : "");
    }
    /* One that has room only before it is parted. */
    char wide[LIMIT_TOKEN_BYTES];
    memset(wide, '1', sizeof(wide) - 1);
    wide[sizeof(wide) - 1] = '\0';
    assert_false(connector_take_long(wide, out));
    assert_string_equal(out, "");
}

static void a_link_is_https_without_user_or_card(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool taken;
    } rows[] = {
        {"https://pay.example/PL-1?d=5O19#top", true},
        {"https://pay.example/12345678901/23", true},
        {"https://pay.example/123456789012", false},
        {"https://pay.example/4111111111111111", false},
        {"https://4111111111111111@pay.example/", false},
        {"https://who@pay.example/", false},
        {"http://pay.example/", false},
        {"HTTPS://pay.example/", false},
        {"javascript:alert(1)", false},
        {"https://", false},
        {"https:///path", false},
        {"https://?x", false},
        {"https://pay.example/a b", false},
        {"https://pay.example/\"x", false},
        {"https://pay.example/<x>", false},
        {"https://pay.example\\x", false},
        {"https://pay.example/\r\nX: y", false},
        {"https://pay.example/\xc3\xa4", false},
        {"", false},
        {NULL, false},
    };
    char out[LIMIT_LINK_BYTES];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(connector_take_url(rows[i].text, out, sizeof(out)), rows[i].taken);
        assert_string_equal(out, rows[i].taken ? rows[i].text : "");
    }
    char wide[LIMIT_LINK_BYTES + 1] = "https://pay.example/";
    memset(wide + strlen(wide), 'a', sizeof(wide) - 1 - strlen(wide));
    assert_false(connector_take_url(wide, out, sizeof(out)));
    wide[sizeof(out) - 1] = '\0';
    assert_true(connector_take_url(wide, out, sizeof(out)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_form_is_escaped_and_read_back),
        cmocka_unit_test(a_form_that_does_not_fit_or_is_no_digit_is_refused),
        cmocka_unit_test(forms_that_are_none_are_refused),
        cmocka_unit_test(json_is_written_as_jansson_reads_it),
        cmocka_unit_test(amounts_have_the_decimals_of_their_currency),
        cmocka_unit_test(amounts_that_are_none_are_refused),
        cmocka_unit_test(waits_grow_and_stop_at_retries_and_ceiling),
        cmocka_unit_test(a_factor_of_one_keeps_the_wait_and_no_retries_means_none),
        cmocka_unit_test(a_try_is_cut_at_the_ceiling),
        cmocka_unit_test(three_slow_answers_in_a_row_open_the_breaker),
        cmocka_unit_test(unanswered_exchanges_open_it_and_a_failed_probe_keeps_it_so_for_longer),
        cmocka_unit_test(no_policy_means_no_breaker),
        cmocka_unit_test(a_secret_is_read_from_where_it_lies),
        cmocka_unit_test(blocks_are_found_and_overwritten_only_while_they_live),
        cmocka_unit_test(a_block_that_moves_takes_its_bytes_along),
        cmocka_unit_test(freed_bytes_are_overwritten),
        cmocka_unit_test(failing_allocations_fail_and_sizes_cannot_wrap),
        cmocka_unit_test(long_names_are_parted_and_joined_again),
        cmocka_unit_test(a_link_is_https_without_user_or_card),
        cmocka_unit_test(the_log_says_where_the_gateway_is_and_never_who),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
