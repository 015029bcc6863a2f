/* A file that appears whole under its name or not at all, and never takes the place of another. */
#ifndef TONEGATE_BENCH_RECORDINGS_NEW_FILE_H
#define TONEGATE_BENCH_RECORDINGS_NEW_FILE_H

#include "base/err.h"

#include <limits.h>
#include <sys/types.h>

#define NEW_FILE_REASON_BYTES 512

struct new_file {
    int fd; /* write here */
    char path[PATH_MAX];
    char part[PATH_MAX]; /* "" where the system can make a file without a name */
};

/* mode: permissions. ERR_EXISTS, ERR_LENGTH, ERR_SYSTEM; reason (NEW_FILE_REASON_BYTES) names the file. */
MUST_USE enum err new_file_open(struct new_file *file, const char *path, mode_t mode, char *reason);

/* To the disk, then to its name. ERR_EXISTS (came meanwhile), ERR_SYSTEM; then nothing is left. */
MUST_USE enum err new_file_finish(struct new_file *file, char *reason);

/* Leaves nothing behind. */
void new_file_drop(struct new_file *file);

#endif
