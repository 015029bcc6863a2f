/* The memory of another process: its mappings, and their pages that exist. Never the caller's own. */
#ifndef TONEGATE_BENCH_MEMSCAN_TARGET_H
#define TONEGATE_BENCH_MEMSCAN_TARGET_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct target;

#define TARGET_NAME_BYTES 64

/* has_all: files mapped read-only too (program text cannot hold what was keyed). ERR_NOT_FOUND, ERR_REFUSED (no right to
 * read it), ERR_RANGE (the caller itself), ERR_FULL (more mappings than it can look at), ERR_MEMORY. */
MUST_USE enum err target_open(struct target **out, pid_t pid, bool has_all);
void target_close(struct target *target);

const char *target_name(const struct target *target); /* of the program */

/* A piece of successive, existing memory. is_new: it does not join the piece before. The bytes after own_length (up to
 * LOOK_REACH of them) come again in the next piece. */
struct target_piece {
    const uint8_t *bytes;
    size_t length, own_length;
    bool is_new;
    const char *mapping; /* "[heap]", "anonymous", a path */
};

/* ERR_EMPTY when there is no more. The piece is wiped by the next call. */
MUST_USE enum err target_next(struct target *target, struct target_piece *piece);

/* Pages that exist and cannot be read by anybody: memfd_secret(2). */
uint64_t target_hidden_bytes(const struct target *target);

#endif
