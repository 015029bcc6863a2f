/* The wall round a role: unprivileged user, no new privileges, no core, not dumpable, bounded resources, a Landlock
 * view of the file system where the kernel has it, and a seccomp filter that kills on anything not listed.
 *
 * In a build with sanitizers (TONEGATE_SANITIZED) the filter logs instead of killing and Landlock is left out, since
 * the sanitizers' runtimes need more; everything else is as in release. */
#ifndef TONEGATE_BASE_WALL_H
#define TONEGATE_BASE_WALL_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

/* One allowed system call; with argument >= 0 only where that argument equals value. Several rules for one call add
 * up. Calls every role needs (read, write, close, futex, mmap without PROT_EXEC, clock_gettime, exit …) are in the
 * base list of wall.c and need no rule. */
struct wall_rule {
    int call;     /* SCMP_SYS(name) */
    int argument; /* 0..5, or WALL_ANY */
    unsigned long value;
};
#define WALL_ANY (-1)

enum wall_access { WALL_READ, WALL_READ_WRITE };
struct wall_path {
    const char *path;
    enum wall_access access;
};

struct wall_plan {
    const struct wall_rule *rules;
    size_t rule_count;
    const struct wall_path
        *paths; /* everything else of the file system is out of reach; NULL entries are skipped */
    size_t path_count;
    const char *user; /* dropped to when started as root; NULL or empty: "nobody" */
};

/* Cannot be lowered. Threads started later inherit it. ERR_SYSTEM, ERR_NOT_FOUND (no such user). On error the role
 * must not go on. */
MUST_USE enum err wall_raise(const struct wall_plan *plan);

#endif
