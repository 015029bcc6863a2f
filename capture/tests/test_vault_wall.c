/* Behind its wall the vault can do its work, and nothing else. Each attempt is a process of its own: the wall kills. */
#include "base/log.h"
#include "capture/tests/vault_stage.h"
#include "capture/vault/vault_role.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

typedef void attempt_h(void);

static void work(void)
{
    struct stage stage = {0};
    const struct dispatch_options options = {
        .idle_s = 60, .session_s = 600, .attempts_max = 3, .brands = UINT32_MAX};
    if (dispatch_new(&stage.dispatch, &options) != OK)
        _exit(3);
    dispatch_set_clock(stage.dispatch, mono_now(), wall_now());
    struct card_fields *fields;
    if (card_fields_new(&fields, UINT32_MAX) != OK)
        _exit(4);
    for (const char *c = STAGE_CARD "1228"
                                    "123";
         *c; c++)
        (void)!card_fields_key(fields, (dtmf_key)(*c - '0'), wall_now());
    bool is_full = card_fields_are_full(fields);
    card_fields_free(fields);
    dispatch_tick(stage.dispatch);
    dispatch_free(stage.dispatch);
    log_event(LOG_INFO, "worked behind the wall");
    _exit(is_full ? 0 : 5);
}

static void make_socket(void)
{
    _exit(socket(AF_INET, SOCK_DGRAM, 0) >= 0 ? 10 : 11);
}

static void make_unix_socket(void)
{
    _exit(socket(AF_UNIX, SOCK_STREAM, 0) >= 0 ? 10 : 11);
}

static void connect_somewhere(void)
{
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons(9)};
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    _exit(connect(7, (struct sockaddr *)&where, sizeof(where)) == 0 ? 10 : 11);
}

static void open_file(void)
{
    _exit(open("/etc/hostname", O_RDONLY) >= 0 ? 10 : 11);
}

static void write_file(void)
{
    _exit(open("/tmp/vault_was_here", O_WRONLY | O_CREAT, 0600) >= 0 ? 10 : 11);
}

static void run_program(void)
{
    char program[] = "/bin/true";
    char *const arguments[] = {program, NULL};
    execv(program, arguments);
    _exit(11);
}

static void split(void)
{
    _exit(fork() >= 0 ? 10 : 11);
}

/* The wait status of a child that raises the wall and tries. */
static int try(attempt_h *attempt)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const struct wall_plan plan = vault_wall_plan(NULL);
        if (wall_raise(&plan) != OK)
            _exit(77);
        attempt();
        _exit(1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        fail_msg("the wall could not be raised");
    return status;
}

static void the_vault_works_behind_its_wall(void **unused)
{
    (void)unused;
    int status = try(work);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void nothing_else_is_possible(void **unused)
{
    (void)unused;
#ifdef TONEGATE_SANITIZED
    print_message("the wall only logs under sanitizers\n");
    skip();
#endif
    static const struct {
        const char *what;
        attempt_h *attempt;
    } rows[] = {
        {"a socket", make_socket},     {"a local socket", make_unix_socket}, {"connect", connect_somewhere},
        {"reading a file", open_file}, {"writing a file", write_file},       {"a program", run_program},
        {"another process", split},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int status = try(rows[i].attempt);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
            fail_msg("%s was not stopped by the wall (status %x)", rows[i].what, (unsigned)status);
    }
}

int main(void)
{
    log_open(STDERR_FILENO, LOG_FORMAT_TEXT, LOG_ERROR, "vault");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vault_works_behind_its_wall),
        cmocka_unit_test(nothing_else_is_possible),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
