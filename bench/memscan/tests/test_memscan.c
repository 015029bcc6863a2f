/* Every form a card can be left in is planted in a process of its own and must be found by the real program; a clean
 * process must give nothing. */
#include "base/clock.h"
#include "bench/memscan/listen.h"
#include "bench/memscan/look.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define NUMBER  "4929718350264179"
#define CARD    "card " NUMBER "\nexpiry 0929\ncvv 618\n"
#define PLANTER TONEGATE_BIN "/tonegate-memscan-plant"
#define SCANNER TONEGATE_BIN "/tonegate-memscan"

struct child {
    pid_t pid;
    int in, out;
};

static struct child start(char *const argv[])
{
    int in[2], out[2];
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    struct child child = {fork(), in[1], out[0]};
    assert_true(child.pid >= 0);
    if (child.pid == 0) {
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        execv(argv[0], argv);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    return child;
}

static void say(const struct child *child, const char *text)
{
    assert_int_equal(write(child->in, text, strlen(text)), (ssize_t)strlen(text));
}

static int finish(struct child *child)
{
    int status = 0;
    if (child->in >= 0)
        close(child->in);
    close(child->out);
    waitpid(child->pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Scans pid; returns the exit code, text gets the JSON. */
static int scan(pid_t pid, const char *option, char *text, size_t capacity)
{
    char number[16], program[] = SCANNER, json[] = "--json", extra[32];
    snprintf(number, sizeof(number), "%d", (int)pid);
    snprintf(extra, sizeof(extra), "%s", option ? option : "--json");
    char *argv[] = {program, json, extra, number, NULL};
    struct child scanner = start(argv);
    say(&scanner, CARD);
    close(scanner.in);
    scanner.in = -1;
    size_t length = 0;
    ssize_t got;
    while (length + 1 < capacity && (got = read(scanner.out, text + length, capacity - 1 - length)) > 0)
        length += (size_t)got;
    text[length] = 0;
    return finish(&scanner);
}

static struct child plant(const char *form)
{
    char program[] = PLANTER, name[32], ready[6];
    snprintf(name, sizeof(name), "%s", form);
    char *argv[] = {program, name, NULL};
    struct child child = start(argv);
    say(&child, NUMBER "\n");
    size_t length = 0;
    ssize_t got;
    while (length < 6 && (got = read(child.out, ready + length, 6 - length)) > 0)
        length += (size_t)got;
    assert_int_equal(length, 6);
    return child;
}

static const struct {
    const char *form, *class;
} rows[] = {
    {"ascii", "\"ascii\""},
    {"separated", "\"separated\""},
    {"utf16", "\"wide\""},
    {"utf32", "\"wide\""},
    {"raw", "\"raw\""},
    {"strided-2", "\"strided\""},
    {"strided-40", "\"strided\""},
    {"events", "\"events\""},
    {"reversed", "\"reversed\""},
    {"bcd", "\"bcd\""},
    {"bcd-odd", "\"bcd\""},
    {"bcd-swapped", "\"bcd\""},
    {"int64", "\"integer\""},
    {"int64-be", "\"integer\""},
    {"double", "\"integer\""},
    {"hex", "\"hex\""},
    {"url", "\"url\""},
    {"base64", "\"base64\""},
    {"base64-1", "\"base64\""},
    {"base64-2", "\"base64\""},
    {"ulaw", "\"heard_ulaw\""},
    {"ulaw-slots", "\"heard_ulaw\""},
    {"alaw", "\"heard_alaw\""},
    {"s16", "\"heard_s16\""},
    {"f32", "\"heard_f32\""},
};

static void every_planted_form_is_found(void **unused)
{
    (void)unused;
    char text[4096];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct child child = plant(rows[i].form);
        int result = scan(child.pid, NULL, text, sizeof(text));
        assert_int_equal(finish(&child), 0);
        if (result != 1 || !strstr(text, rows[i].class))
            fail_msg("%s: exit %d: %s", rows[i].form, result, text);
        if (strstr(text, "4929"))
            fail_msg("%s: the report shows digits", rows[i].form);
    }
    print_message("%zu forms found\n", sizeof(rows) / sizeof(rows[0]));
}

static void a_clean_process_gives_nothing(void **unused)
{
    (void)unused;
    char text[4096];
    struct child child = plant("none");
    int result = scan(child.pid, NULL, text, sizeof(text));
    assert_int_equal(finish(&child), 0);
    if (result != 0 || !strstr(text, "\"finds\":0}"))
        fail_msg("exit %d: %s", result, text);
    print_message("%s", text);
}

static void a_part_is_found_when_asked_for(void **unused)
{
    (void)unused;
    char text[4096];
    struct child child = plant("partial");
    assert_int_equal(scan(child.pid, NULL, text, sizeof(text)), 0);
    assert_int_equal(scan(child.pid, "--partial=6", text, sizeof(text)), 1);
    assert_non_null(strstr(text, "\"partial\":3"));
    assert_int_equal(finish(&child), 0);
}

static void what_cannot_be_looked_at_is_said(void **unused)
{
    (void)unused;
    char text[4096];
    assert_int_equal(scan(0x7ffffff0, NULL, text, sizeof(text)), 2);
    /* Without a card there is nothing to look for: that is no "clean". */
    char program[] = SCANNER, self[16];
    snprintf(self, sizeof(self), "%d", (int)getpid());
    char *argv[] = {program, self, NULL};
    struct child scanner = start(argv);
    close(scanner.in);
    scanner.in = -1;
    assert_int_equal(finish(&scanner), 2);
}

/* Random memory, as a yardstick for false finds and for the speed. */
static void random_memory_gives_nothing_and_is_quick(void **unused)
{
    (void)unused;
    static const uint8_t digits[] = {4, 9, 2, 9, 7, 1, 8, 3, 5, 0, 2, 6, 4, 1, 7, 9};
#ifdef TONEGATE_SANITIZED
    const size_t length = 4u << 20;
#else
    const size_t length = 16u << 20;
#endif
    uint8_t *memory = malloc(length);
    assert_non_null(memory);
    uint64_t random = 7;
    for (size_t i = 0; i < length; i++) {
        random = random * 6364136223846793005ULL + 1442695040888963407ULL;
        unsigned kind = (unsigned)(i >> 20) % 4; /* noise, small numbers, text, digits */
        uint8_t byte = (uint8_t)(random >> 56);
        memory[i] = kind == 0 ? byte : kind == 1 ? byte % 12 : kind == 2 ? 'a' + byte % 26 : '0' + byte % 10;
    }
    struct look *look;
    struct listen *listen;
    assert_int_equal(look_new(&look, 0), OK);
    assert_int_equal(look_add(look, digits, sizeof(digits), true), OK);
    assert_int_equal(listen_new(&listen, digits, sizeof(digits)), OK);
    uint64_t found[LOOK_CLASSES] = {0}, finds[LISTEN_ENCODINGS], keys[LISTEN_ENCODINGS];
    struct mono_time start_at = mono_now();
    look_at(look, memory, length, length, found);
    struct mono_time looked_at = mono_now();
    listen_to(listen, memory, length);
    struct mono_time heard_at = mono_now();
    listen_found(listen, finds, keys);
    for (int i = 0; i < LOOK_CLASSES; i++)
        assert_int_equal(found[i], 0);
    for (int i = 0; i < LISTEN_ENCODINGS; i++)
        assert_int_equal(finds[i], 0);
    print_message("looking %.0f MB/s, listening (4 encodings) %.0f MB/s, keys heard in noise %llu\n",
                  (double)length * 1e3 / (double)(looked_at.ns - start_at.ns),
                  (double)length * 1e3 / (double)(heard_at.ns - looked_at.ns),
                  (unsigned long long)(keys[0] + keys[1] + keys[2] + keys[3]));
    look_free(look);
    listen_free(listen);
    free(memory);
}

static uint64_t parts_in(const char *number, const void *memory, size_t length)
{
    uint8_t digits[LOOK_DIGITS_MAX];
    size_t count = strlen(number);
    for (size_t i = 0; i < count; i++)
        digits[i] = (uint8_t)(number[i] - '0');
    struct look *look;
    uint64_t found[LOOK_CLASSES] = {0};
    assert_int_equal(look_new(&look, 8), OK);
    assert_int_equal(look_add(look, digits, count, true), OK);
    look_at(look, memory, length, length, found);
    look_free(look);
    return found[LOOK_PARTIAL];
}

/* Test numbers begin with 400000; an integer 4 and what stands beside it must not look like one. */
static void what_any_memory_holds_is_no_part_of_a_card(void **unused)
{
    (void)unused;
    static const uint8_t integers[] = {4, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0,
                                       0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    static const char text[] = "40000000 00000012 0123456789 23456789";
    assert_int_equal(parts_in("4000000012345678", integers, sizeof(integers)), 0);
    assert_int_equal(parts_in("4000000012345678", text, sizeof(text)), 0);
    assert_int_equal(parts_in("4000001234567899", text, sizeof(text)), 0);
    static const char real[] = "....58371926....";
    assert_int_equal(parts_in("4000005837192604", real, sizeof(real)), 1);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_planted_form_is_found),
        cmocka_unit_test(a_clean_process_gives_nothing),
        cmocka_unit_test(a_part_is_found_when_asked_for),
        cmocka_unit_test(what_any_memory_holds_is_no_part_of_a_card),
        cmocka_unit_test(what_cannot_be_looked_at_is_said),
        cmocka_unit_test(random_memory_gives_nothing_and_is_quick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
