/* The audit trail: a chain that tells of every change, a disk that is full, a crash in the middle of a line. */
#include "capture/desk/audit.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#define BYTES_MAX 65536

static char path[128];

static int setup(void **state)
{
    (void)state;
    snprintf(path, sizeof(path), "/tmp/audit-test-%d", getpid());
    unlink(path);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    return 0;
}

static const struct audit_entry line = {.who = "agent-one",
                                        .what = "capture.open",
                                        .where = "127.0.0.1:50000",
                                        .outcome = "ok",
                                        .resource = "cap_aaaaaaaaaaaaaaab",
                                        .amount_minor = 1234,
                                        .currency = "EUR"};

static void write_lines(int count)
{
    struct audit *audit;
    assert_int_equal(audit_open(&audit, path), OK);
    for (int i = 0; i < count; i++)
        assert_int_equal(audit_append(audit, &line), OK);
    audit_close(audit);
}

static size_t read_file(char *bytes)
{
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    size_t length = fread(bytes, 1, BYTES_MAX - 1, file);
    bytes[length] = '\0';
    fclose(file);
    return length;
}

static void write_file(const char *bytes, size_t length)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    fclose(file);
}

static struct audit_verdict verify(void)
{
    struct audit_verdict verdict;
    assert_int_equal(audit_verify(path, &verdict), OK);
    return verdict;
}

static void a_chain_goes_on_over_restarts_and_is_whole(void **state)
{
    (void)state;
    write_lines(3);
    write_lines(0);
    write_lines(2);
    static char bytes[BYTES_MAX];
    read_file(bytes);
    assert_non_null(
        strstr(bytes, "\"where\":\"127.0.0.1:50000\"")); /* PCI DSS 10.2.2: an address stays one */
    struct audit_verdict verdict = verify();
    assert_null(verdict.reason);
    assert_int_equal(verdict.line_count, 5);
    assert_int_equal(verdict.bad_line, 0);
    assert_int_equal(strlen(verdict.head), AUDIT_HASH_TEXT - 1);
}

static void every_changed_byte_is_found(void **state)
{
    static char bytes[BYTES_MAX];
    (void)state;
    write_lines(4);
    size_t length = read_file(bytes);
    char head[AUDIT_HASH_TEXT];
    memcpy(head, verify().head, sizeof(head));
    for (size_t i = 0; i < length; i++) {
        bytes[i] ^= 1;
        write_file(bytes, length);
        struct audit_verdict verdict = verify();
        /* The last line is vouched for by its hash alone, which the caller keeps elsewhere. */
        if (!verdict.reason && strcmp(verdict.head, head) == 0)
            fail_msg("byte %zu was changed and not found", i);
        bytes[i] ^= 1;
    }
    write_file(bytes, length);
    assert_null(verify().reason);
}

static void a_line_taken_out_put_in_or_moved_is_found(void **state)
{
    static char bytes[BYTES_MAX];
    static char changed[BYTES_MAX];
    (void)state;
    write_lines(5);
    size_t length = read_file(bytes);
    char *second = strchr(bytes, '\n') + 1;
    char *third = strchr(second, '\n') + 1;
    char *fourth = strchr(third, '\n') + 1;
    size_t second_at = (size_t)(second - bytes);
    size_t line_length = (size_t)(third - second);
    /* out */
    memcpy(changed, bytes, second_at);
    memcpy(changed + second_at, third, length - (size_t)(third - bytes));
    write_file(changed, length - line_length);
    assert_int_equal(verify().bad_line, 2);
    /* twice */
    memcpy(changed, bytes, (size_t)(third - bytes));
    memcpy(changed + (third - bytes), second, line_length);
    memcpy(changed + (third - bytes) + line_length, third, length - (size_t)(third - bytes));
    write_file(changed, length + line_length);
    assert_int_equal(verify().bad_line, 3);
    /* exchanged */
    memcpy(changed, bytes, length);
    memcpy(changed + second_at, third, (size_t)(fourth - third));
    memcpy(changed + second_at + (fourth - third), second, line_length);
    write_file(changed, length);
    assert_int_equal(verify().bad_line, 2);
    /* not one of ours */
    memcpy(changed, bytes, length);
    memcpy(changed + length, "{}\n", 3);
    write_file(changed, length + 3);
    assert_int_equal(verify().bad_line, 6);
}

static void a_line_cut_by_a_crash_is_named_and_the_chain_goes_on(void **state)
{
    static char bytes[BYTES_MAX];
    struct audit *audit;
    (void)state;
    write_lines(3);
    size_t length = read_file(bytes);
    for (size_t cut = 1; cut < 40; cut += 7) {
        write_file(bytes, length - cut);
        if (cut > 1)
            assert_non_null(verify().reason);
        assert_int_equal(audit_open(&audit, path), OK);
        assert_int_equal(audit_append(audit, &line), OK);
        audit_close(audit);
        struct audit_verdict verdict = verify();
        if (verdict.reason && cut > 1)
            fail_msg("cut %zu: line %d %s", cut, (int)verdict.bad_line, verdict.reason);
        if (cut > 1) {
            assert_int_equal(verdict.torn_count, 1);
            assert_int_equal(verdict.line_count, 5);
        }
    }
}

static void a_file_that_is_not_a_trail_is_not_written_to(void **state)
{
    struct audit *audit = NULL;
    (void)state;
    write_file("hello\n", 6);
    assert_int_equal(audit_open(&audit, path), ERR_SYNTAX);
    assert_null(audit);
    assert_int_equal(audit_open(&audit, "/dev/full"), ERR_SYSTEM);
    assert_int_equal(audit_open(&audit, "/nonexistent/audit"), ERR_SYSTEM);
}

static void two_writers_are_kept_apart(void **state)
{
    struct audit *first;
    struct audit *second;
    (void)state;
    assert_int_equal(audit_open(&first, path), OK);
    assert_int_equal(audit_open(&second, path), ERR_SYSTEM);
    audit_close(first);
    assert_int_equal(audit_open(&second, path), OK);
    audit_close(second);
}

static void a_full_disk_leaves_no_half_line(void **state)
{
    static char bytes[BYTES_MAX];
    struct audit *audit;
    struct rlimit limit = {0, RLIM_INFINITY};
    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    write_lines(2);
    size_t length = read_file(bytes);
    assert_int_equal(audit_open(&audit, path), OK);
    for (size_t room = 0; room < 60; room += 13) {
        limit.rlim_cur = length + room;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        assert_int_equal(audit_append(audit, &line), ERR_SYSTEM);
    }
    limit.rlim_cur = RLIM_INFINITY;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(read_file(bytes), length);
    assert_int_equal(audit_append(audit, &line), OK);
    audit_close(audit);
    struct audit_verdict verdict = verify();
    assert_null(verdict.reason);
    assert_int_equal(verdict.line_count, 3);
}

static void no_text_can_bring_a_card_number_or_a_line_end_in(void **state)
{
    static char bytes[BYTES_MAX];
    struct audit *audit;
    struct audit_entry entry = line;
    (void)state;
    entry.who = "4242 4242 4242 4242\n{\"n\":9}";
    entry.where = "4242-4242-4242-4242:1";
    entry.detail = "pi_4242424242424242";
    assert_int_equal(audit_open(&audit, path), OK);
    assert_int_equal(audit_append(audit, &entry), OK);
    audit_close(audit);
    read_file(bytes);
    assert_null(strstr(bytes, "4242"));
    assert_ptr_equal(strchr(bytes, '\n') + 1, bytes + strlen(bytes));
    assert_null(verify().reason);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_chain_goes_on_over_restarts_and_is_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(every_changed_byte_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(a_line_taken_out_put_in_or_moved_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(a_line_cut_by_a_crash_is_named_and_the_chain_goes_on, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_file_that_is_not_a_trail_is_not_written_to, setup, teardown),
        cmocka_unit_test_setup_teardown(two_writers_are_kept_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_leaves_no_half_line, setup, teardown),
        cmocka_unit_test_setup_teardown(no_text_can_bring_a_card_number_or_a_line_end_in, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
