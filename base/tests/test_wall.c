/* The wall itself: behind it, whatever is not listed kills the process; what every role needs still works. */
#include "base/secret.h"
#include "base/wall.h"

#include "base/tests/cmocka_all.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_SURVIVED 42
#define EXIT_NO_WALL  43

static int socket_before[2]; /* opened before the wall */

/* What a child dies of behind the plan, or its exit code as a negative number. */
static int fate_of(const struct wall_plan *plan, long (*act)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        if (wall_raise(plan) != OK)
            _exit(EXIT_NO_WALL);
        act();
        _exit(EXIT_SURVIVED);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
}

/* clang-format off */
static long act_socket(void)   { return syscall(SYS_socket, AF_INET, SOCK_STREAM, 0); }
static long act_connect(void)  { return syscall(SYS_connect, socket_before[0], NULL, 0); }
static long act_bind(void)     { return syscall(SYS_bind, socket_before[0], NULL, 0); }
static long act_open(void)     { return syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY); }
static long act_ptrace(void)   { return syscall(SYS_ptrace, 16, getppid(), 0, 0); }
static long act_peek(void)     { return syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0); }
static long act_exec(void)     { return syscall(SYS_execve, "/bin/true", NULL, NULL); }
static long act_fork(void)     { return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); }
static long act_kill(void)     { return syscall(SYS_kill, getppid(), 0); }
static long act_dumpable(void) { return syscall(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0); }
static long act_setuid(void)   { return syscall(SYS_setuid, 0); }
static long act_code(void)     { return syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }
static long act_unlink(void)   { return syscall(SYS_unlink, "/tmp/tonegate-nothing"); }
static long act_bpf(void)      { return syscall(SYS_bpf, 0, NULL, 0); }
static long act_uring(void)    { return syscall(SYS_io_uring_setup, 1, NULL); }
static long act_dupfd(void)    { return syscall(SYS_fcntl, 0, F_DUPFD, 10); }
/* clang-format on */

static void what_is_not_listed_kills(void **state)
{
    (void)state;
#ifdef TONEGATE_SANITIZED
    skip(); /* a sanitized build only logs */
#endif
    static const struct {
        const char *name;
        long (*act)(void);
    } acts[] = {
        {"socket", act_socket}, {"connect", act_connect},   {"bind", act_bind},      {"open", act_open},
        {"ptrace", act_ptrace}, {"peek", act_peek},         {"exec", act_exec},      {"fork", act_fork},
        {"kill", act_kill},     {"dumpable", act_dumpable}, {"setuid", act_setuid},  {"code", act_code},
        {"unlink", act_unlink}, {"bpf", act_bpf},           {"io_uring", act_uring}, {"dup", act_dupfd},
    };
    const struct wall_plan plan = {0};
    for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
        int fate = fate_of(&plan, acts[i].act);
        if (fate != SIGSYS)
            fail_msg("%s behind the wall: expected SIGSYS, got %d", acts[i].name, fate);
    }
}

static long act_common(void)
{
    struct secret *secret;
    if (secret_new(&secret, 64) != OK)
        abort();
    secret_free(secret);
    char byte = 1;
    if (send(socket_before[0], &byte, 1, 0) != 1 || recv(socket_before[1], &byte, 1, 0) != 1)
        abort();
    free(malloc(1 << 20));
    struct rlimit core;
    if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0 || getrlimit(RLIMIT_CORE, &core) != 0)
        abort();
    return 0;
}

static void what_every_role_needs_still_works(void **state)
{
    (void)state;
    static const struct wall_rule rules[] = {{SCMP_SYS(prctl), 0, PR_GET_DUMPABLE},
                                             {SCMP_SYS(getrlimit), WALL_ANY, 0},
                                             {SCMP_SYS(prlimit64), WALL_ANY, 0}};
    const struct wall_plan plan = {.rules = rules, .rule_count = 3};
    assert_int_equal(fate_of(&plan, act_common), -EXIT_SURVIVED);
}

static long act_open_two(void)
{
    if (syscall(SYS_openat, 7, "x", O_RDONLY) != -1 || errno != EBADF)
        abort(); /* allowed: the kernel answers */
    return syscall(SYS_openat, 8, "x", O_RDONLY);
}

static void a_rule_on_an_argument_allows_that_value_only(void **state)
{
    (void)state;
#ifdef TONEGATE_SANITIZED
    skip();
#endif
    static const struct wall_rule rules[] = {{SCMP_SYS(openat), 0, 7}};
    const struct wall_plan plan = {.rules = rules, .rule_count = 1};
    assert_int_equal(fate_of(&plan, act_open_two), SIGSYS);
}

static long act_root(void)
{
    return geteuid() == 0 ? (abort(), 0) : 0;
}

static void nobody_stays_root_and_an_unknown_user_is_an_error(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    struct wall_plan plan = {0};
    assert_int_equal(fate_of(&plan, act_root), -EXIT_SURVIVED);
    plan.user = "no-such-user-here";
    assert_int_equal(fate_of(&plan, act_root), -EXIT_NO_WALL);
    plan.user = "root";
    assert_int_equal(fate_of(&plan, act_root), -EXIT_NO_WALL);
}

static int open_sockets(void **state)
{
    (void)state;
    return socketpair(AF_UNIX, SOCK_STREAM, 0, socket_before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_listed_kills),
        cmocka_unit_test(what_every_role_needs_still_works),
        cmocka_unit_test(a_rule_on_an_argument_allows_that_value_only),
        cmocka_unit_test(nobody_stays_root_and_an_unknown_user_is_an_error),
    };
    return cmocka_run_group_tests(tests, open_sockets, NULL);
}
