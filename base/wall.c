#include "base/wall.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* SCMP_A0() and its kin leave the second datum of their struct out where one is enough, which clang does not like. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#ifndef TONEGATE_SANITIZED
#define TONEGATE_SANITIZED 0
#endif

/* What every role does: its own descriptors, memory, threads, time and signals. Nothing here opens, connects, runs or
 * looks at another process. */
static const int base_calls[] = {
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(readv),
    SCMP_SYS(writev),
    SCMP_SYS(close),
    SCMP_SYS(lseek),
    SCMP_SYS(fstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(select),
    SCMP_SYS(pselect6),
    SCMP_SYS(epoll_create1),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(eventfd2),
    SCMP_SYS(timerfd_create),
    SCMP_SYS(timerfd_settime),
    SCMP_SYS(pipe2),
    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),
    SCMP_SYS(sendto),
    SCMP_SYS(sendmsg),
    SCMP_SYS(brk),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(mlock),
    SCMP_SYS(munlock),
    SCMP_SYS(futex),
    SCMP_SYS(futex_waitv),
    SCMP_SYS(sched_yield),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(getrandom),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(sysinfo),
    SCMP_SYS(getrusage),
    SCMP_SYS(memfd_secret),
    SCMP_SYS(ftruncate),
    SCMP_SYS(rseq),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(membarrier),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
};

static enum err add(scmp_filter_ctx filter, int call, unsigned argument_count, struct scmp_arg_cmp argument)
{
    /* A call that this machine's kernel or architecture does not have needs no permission. */
    if (call < 0)
        return OK;
    int result = argument_count ? seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1, argument)
                                : seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0);
    return result == 0 || result == -EEXIST ? OK : ERR_SYSTEM;
}

static enum err add_base(scmp_filter_ctx filter)
{
    struct scmp_arg_cmp none = {0};
    for (size_t i = 0; i < sizeof(base_calls) / sizeof(base_calls[0]); i++) {
        if (add(filter, base_calls[i], 0, none))
            return ERR_SYSTEM;
    }
    /* Memory, but never executable; a signal, but only to itself (abort). */
    enum err err = add(filter, SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    if (!err)
        err = add(filter, SCMP_SYS(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    if (!err)
        err = add(filter, SCMP_SYS(tgkill), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
    if (!err)
        err = add(filter, SCMP_SYS(fcntl), 1, SCMP_A1(SCMP_CMP_EQ, F_GETFL));
    if (!err)
        err = add(filter, SCMP_SYS(fcntl), 1, SCMP_A1(SCMP_CMP_EQ, F_SETFL));
    if (!err)
        err = add(filter, SCMP_SYS(fcntl), 1, SCMP_A1(SCMP_CMP_EQ, F_GETFD));
    if (!err)
        err = add(filter, SCMP_SYS(fcntl), 1, SCMP_A1(SCMP_CMP_EQ, F_SETFD));
    return err;
}

static enum err raise_filter(const struct wall_plan *plan)
{
    uint32_t otherwise = TONEGATE_SANITIZED ? SCMP_ACT_LOG : SCMP_ACT_KILL_PROCESS;
    scmp_filter_ctx filter = seccomp_init(otherwise);
    if (!filter)
        return ERR_MEMORY;
    enum err err = add_base(filter);
    for (size_t i = 0; i < plan->rule_count && !err; i++) {
        const struct wall_rule *rule = &plan->rules[i];
        struct scmp_arg_cmp argument = {.arg = (unsigned)(rule->argument < 0 ? 0 : rule->argument),
                                        .op = SCMP_CMP_EQ,
                                        .datum_a = rule->value};
        err = add(filter, rule->call, rule->argument != WALL_ANY, argument);
    }
    if (!err && seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1) != 0)
        err = ERR_SYSTEM;
    /* As a binary tree: the filter runs at every packet. */
    if (!err)
        (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (!err && seccomp_load(filter) != 0)
        err = ERR_SYSTEM;
    seccomp_release(filter);
    return err;
}

/* Landlock by number and layout (linux/landlock.h, ABI 1), since the C library has no wrapper and old headers no file. */
#define LANDLOCK_CREATE_RULESET 444
#define LANDLOCK_ADD_RULE       445
#define LANDLOCK_RESTRICT_SELF  446
#define LANDLOCK_PATH_BENEATH   1
#define LANDLOCK_EXECUTE        (1ULL << 0)
#define LANDLOCK_WRITE_FILE     (1ULL << 1)
#define LANDLOCK_READ_FILE      (1ULL << 2)
#define LANDLOCK_READ_DIR       (1ULL << 3)
#define LANDLOCK_REMOVE_FILE    (1ULL << 5)
#define LANDLOCK_MAKE_REG       (1ULL << 8)
#define LANDLOCK_ALL            ((1ULL << 13) - 1)

struct landlock_ruleset {
    uint64_t handled;
};
struct landlock_beneath {
    uint64_t allowed;
    int32_t parent_fd;
} __attribute__((packed));

static enum err allow_path(int ruleset, const struct wall_path *path)
{
    int fd = open(path->path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? OK : ERR_SYSTEM; /* what is not there cannot be reached anyway */
    struct stat status;
    uint64_t allowed = LANDLOCK_READ_FILE | LANDLOCK_READ_DIR;
    if (path->access == WALL_READ_WRITE)
        allowed |= LANDLOCK_WRITE_FILE | LANDLOCK_MAKE_REG | LANDLOCK_REMOVE_FILE;
    if (fstat(fd, &status) == 0 && !S_ISDIR(status.st_mode))
        allowed &= LANDLOCK_READ_FILE | LANDLOCK_WRITE_FILE;
    struct landlock_beneath beneath = {.allowed = allowed, .parent_fd = fd};
    long result = syscall(LANDLOCK_ADD_RULE, ruleset, LANDLOCK_PATH_BENEATH, &beneath, 0);
    close(fd);
    return result == 0 ? OK : ERR_SYSTEM;
}

/* Kernels without Landlock (before 5.13, or not enabled) leave the file system to user rights and the filter. */
static enum err raise_landlock(const struct wall_plan *plan)
{
    struct landlock_ruleset rules = {.handled = LANDLOCK_ALL};
    int ruleset = (int)syscall(LANDLOCK_CREATE_RULESET, &rules, sizeof(rules), 0);
    if (ruleset < 0) {
        log_event(LOG_INFO, "kernel has no Landlock, file system left to user rights and system call filter");
        return OK;
    }
    enum err err = OK;
    for (size_t i = 0; i < plan->path_count && !err; i++) {
        if (plan->paths[i].path && plan->paths[i].path[0])
            err = allow_path(ruleset, &plan->paths[i]);
    }
    if (!err && syscall(LANDLOCK_RESTRICT_SELF, ruleset, 0) != 0)
        err = ERR_SYSTEM;
    close(ruleset);
    return err;
}

static enum err drop_user(const char *user)
{
    if (geteuid() != 0)
        return OK;
    const struct passwd *entry = getpwnam(user && *user ? user : "nobody");
    if (!entry || entry->pw_uid == 0)
        return ERR_NOT_FOUND;
    if (setgroups(0, NULL) != 0 || setresgid(entry->pw_gid, entry->pw_gid, entry->pw_gid) != 0 ||
        setresuid(entry->pw_uid, entry->pw_uid, entry->pw_uid) != 0)
        return ERR_SYSTEM;
    /* There must be no way back. */
    return setuid(0) == 0 ? ERR_SYSTEM : OK;
}

static enum err no_traces(void)
{
    struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) != 0)
        return ERR_SYSTEM;
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 ? OK : ERR_SYSTEM;
}

enum err wall_raise(const struct wall_plan *plan)
{
    /* The first gmtime_r() of a process opens /etc/localtime: now, while it may. */
    tzset();
    enum err err = drop_user(plan->user);
    /* After the change of user, which the kernel answers by making a process dumpable again. */
    if (!err)
        err = no_traces();
    if (!err && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        err = ERR_SYSTEM;
    if (!err && !TONEGATE_SANITIZED)
        err = raise_landlock(plan);
    if (!err)
        err = raise_filter(plan);
    if (err)
        log_event(LOG_ERROR, "the wall could not be raised, the role must not run", LOG_ERR("error", err),
                  LOG_CONSTANT("errno", strerror(errno)));
    return err;
}
