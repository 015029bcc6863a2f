/* The logger: no field shows a card number, no text forges a line. */
#include "base/log.h"

#include "base/tests/cmocka_all.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int pipe_ends[2];

static int open_pipe(void **state)
{
    (void)state;
    return pipe(pipe_ends);
}

static int close_pipe(void **state)
{
    (void)state;
    log_open(STDERR_FILENO, LOG_FORMAT_TEXT, LOG_INFO, "test");
    close(pipe_ends[0]);
    return close(pipe_ends[1]);
}

static const char *logged(char *line, size_t capacity)
{
    ssize_t length = read(pipe_ends[0], line, capacity - 1);
    line[length > 0 ? length : 0] = '\0';
    return line;
}

static void text_from_outside_loses_every_long_run_of_digits(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"4242424242424242", "#"},
        {"a 4242 4242 4242 4242 b", "a # b"},
        {"4242-4242-4242-4242", "#"},
        {"4.2.4.2.4.2", "#"},
        {"x123456", "x#"},
        {"x12345y6", "x12345y6"},
        {"10.0.2.1", "10.0.2.1"},
        {"/var/lib/a1/b2", "/var/lib/a1/b2"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char out[64];
        log_filter_text(cases[i].in, out, sizeof(out));
        assert_string_equal(out, cases[i].out);
    }
}

static void a_filtered_text_never_exceeds_its_buffer(void **state)
{
    (void)state;
    for (size_t capacity = 0; capacity < 12; capacity++) {
        char out[16];
        memset(out, 0x5a, sizeof(out));
        log_filter_text("ab12cd34ef", out, capacity);
        assert_int_equal(out[capacity], 0x5a);
        if (capacity)
            assert_int_equal(strlen(out), capacity - 1 < 10 ? capacity - 1 : 10);
    }
}

static void no_field_type_shows_a_card_number(void **state)
{
    (void)state;
    log_open(pipe_ends[1], LOG_FORMAT_JSON, LOG_DEBUG, "test");
    log_event(LOG_INFO, "tried", LOG_COUNT("count", 4242424242424242ULL),
              LOG_TEXT("text", "4242424242424242"), LOG_ID("id", 0x4242424242424242ULL),
              LOG_MS("ms", 4242424242424242.0));
    char line[1024];
    assert_null(strstr(logged(line, sizeof(line)), "4242"));
    assert_non_null(strstr(line, "\"count\":999999999"));
    assert_non_null(strstr(line, "\"id\":\"ecececececececec\""));
}

static void a_text_cannot_forge_a_line_or_a_field(void **state)
{
    (void)state;
    log_open(pipe_ends[1], LOG_FORMAT_JSON, LOG_DEBUG, "test");
    log_event(LOG_INFO, "tried", LOG_TEXT("text", "a\",\"level\":\"x\n{"));
    char line[1024];
    assert_non_null(strstr(logged(line, sizeof(line)), "a\\\",\\\"level\\\":\\\"x?{"));
    assert_int_equal(strchr(line, '\n') - line, strlen(line) - 1);
}

static void a_level_below_the_least_is_not_written(void **state)
{
    (void)state;
    log_open(pipe_ends[1], LOG_FORMAT_TEXT, LOG_WARN, "test");
    log_event(LOG_INFO, "silent");
    log_event(LOG_WARN, "heard", LOG_NAME("why", "because"));
    char line[1024];
    assert_null(strstr(logged(line, sizeof(line)), "silent"));
    assert_non_null(strstr(line, "warn test: heard why=because\n"));
}

static void a_reader_that_stops_does_not_stop_the_writer(void **state)
{
    (void)state;
    log_open(pipe_ends[1], LOG_FORMAT_TEXT, LOG_DEBUG, "test");
    alarm(20); /* a write that blocks would hang here */
    for (int i = 0; i < 5000; i++)
        log_event(LOG_INFO, "a line that nobody reads, and another one after it, until the pipe is full");
    char text[65536];
    assert_true(read(pipe_ends[0], text, sizeof(text)) > 0);
    log_event(LOG_INFO, "heard again");
    alarm(0);
    size_t length = 0;
    ssize_t got;
    while (length < sizeof(text) - 1 && !memmem(text, length, "nobody read", 11) &&
           (got = read(pipe_ends[0], text + length, sizeof(text) - 1 - length)) > 0)
        length += (size_t)got;
    text[length] = '\0';
    assert_non_null(strstr(text, "heard again"));
    assert_non_null(strstr(text, "log lines were dropped"));
}

static void an_id_is_read_back_and_anything_else_refused(void **state)
{
    (void)state;
    char text[17];
    uint64_t id;
    log_id_text(0x0123456789abcdefULL, text);
    assert_string_equal(text, "abcdefghijklmnop");
    assert_int_equal(log_id_parse(text, &id), OK);
    assert_true(id == 0x0123456789abcdefULL);
    assert_int_equal(log_id_parse("abc", &id), ERR_SYNTAX);
    assert_int_equal(log_id_parse("abcdefghijklmnopa", &id), ERR_SYNTAX);
    assert_int_equal(log_id_parse("abcdefghijklmnoq", &id), ERR_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_from_outside_loses_every_long_run_of_digits),
        cmocka_unit_test(a_filtered_text_never_exceeds_its_buffer),
        cmocka_unit_test_setup_teardown(no_field_type_shows_a_card_number, open_pipe, close_pipe),
        cmocka_unit_test_setup_teardown(a_text_cannot_forge_a_line_or_a_field, open_pipe, close_pipe),
        cmocka_unit_test_setup_teardown(a_level_below_the_least_is_not_written, open_pipe, close_pipe),
        cmocka_unit_test_setup_teardown(a_reader_that_stops_does_not_stop_the_writer, open_pipe, close_pipe),
        cmocka_unit_test(an_id_is_read_back_and_anything_else_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
