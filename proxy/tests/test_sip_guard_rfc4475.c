/* Each of the 49 messages of RFC 4475 gets the verdict that rfc4475_verdicts.tsv says and gives a reason for; what
 * passes is taken by the library, what is answered gets a well formed answer. */
#include "proxy/sip/sip_headers.h"
#include "proxy/tests/sip_vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define VERDICTS "proxy/tests/rfc4475_verdicts.tsv"
#define MESSAGES "testvectors/sip/rfc4475/"

struct expected {
    char name[32];
    char section[32];
    char action[16];
    int status;
    char reason[256];
};

static const char *action_name(enum sip_guard_action action)
{
    static const char *const NAMES[] = {"PASS", "ANSWER", "DROP"};
    return NAMES[action];
}

static bool verdict_is(const struct expected *expected, const struct sip_guard_verdict *verdict)
{
    bool is_same = strcmp(action_name(verdict->action), expected->action) == 0 &&
                   verdict->status == expected->status &&
                   (verdict->reason == NULL) == (verdict->action == SIP_GUARD_PASS);
    if (!is_same)
        print_error("%s: expected %s %d, got %s %d (%s)\n", expected->name, expected->action,
                    expected->status, action_name(verdict->action), verdict->status,
                    verdict->reason ? verdict->reason : "-");
    return is_same;
}

/* An answer is itself a message that the guard passes, unless what it must repeat was the fault. */
static bool answer_is_whole(const char *message, size_t length, const struct sip_guard_verdict *verdict)
{
    char answer[16384];
    size_t answer_length = 0;
    if (sip_guard_answer(message, length, verdict, "t1", "192.0.2.9", 5060, NULL, answer, sizeof(answer),
                         &answer_length))
        return false;
    struct sip_guard_verdict second;
    sip_guard_check(answer, answer_length, false, &second);
    return !second.is_request && second.header_bytes == answer_length;
}

static bool library_takes_it(const char *message, size_t length, const struct sip_guard_verdict *verdict)
{
    osip_message_t *parsed = NULL;
    if (verdict->header_bytes + verdict->body_bytes > length)
        return false;
    enum err err = sip_headers_parse(message, verdict, &parsed);
    osip_message_free(parsed);
    return err == OK;
}

static void check_message(const struct expected *expected)
{
    char path[256];
    size_t length = 0;
    snprintf(path, sizeof(path), MESSAGES "%s.dat", expected->name);
    char *message = vector_read(path, &length);
    assert_non_null(message);
    struct sip_guard_verdict verdict;
    sip_guard_check(message, length, false, &verdict);
    assert_true(verdict_is(expected, &verdict));
    if (verdict.action == SIP_GUARD_PASS)
        assert_true(library_takes_it(message, length, &verdict));
    if (verdict.action == SIP_GUARD_ANSWER)
        assert_true(answer_is_whole(message, length, &verdict));
    free(message);
}

static void every_message_gets_its_verdict(void **state)
{
    (void)state;
    char row[512];
    unsigned count = 0;
    FILE *file = fopen(VERDICTS, "r");
    assert_non_null(file);
    assert_non_null(fgets(row, sizeof(row), file)); /* the names of the columns */
    while (fgets(row, sizeof(row), file)) {
        struct expected expected;
        char status[8];
        assert_int_equal(sscanf(row, "%31[^\t]\t%31[^\t]\t%15[^\t]\t%7[^\t]\t%255[^\n]", expected.name,
                                expected.section, expected.action, status, expected.reason),
                         5);
        expected.status = (int)strtol(status, NULL, 10);
        check_message(&expected);
        count++;
    }
    fclose(file);
    assert_int_equal(count, 49);
}

static void a_wrong_row_is_noticed(void **state)
{
    (void)state;
    const struct expected wrong = {.name = "planted", .action = "PASS", .status = 0};
    const struct sip_guard_verdict verdict = {
        .action = SIP_GUARD_ANSWER, .status = 400, .reason = "planted failure"};
    assert_false(verdict_is(&wrong, &verdict));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_gets_its_verdict),
        cmocka_unit_test(a_wrong_row_is_noticed),
    };
    sip_headers_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
