/* The recordings below a folder, by the endings of their names, sorted. Links to folders are not followed. */
#ifndef TONEGATE_BENCH_RECORDINGS_FOLDER_LIST_H
#define TONEGATE_BENCH_RECORDINGS_FOLDER_LIST_H

#include "base/err.h"

#include <stddef.h>

struct folder_list {
    char **names; /* relative to the folder */
    size_t count;
    size_t other_count; /* files that are no recordings */
    size_t room;
};

/* ERR_SYSTEM (errno), ERR_LENGTH, ERR_MEMORY. Released with folder_list_release() in any case. */
MUST_USE enum err folder_list_read(struct folder_list *list, const char *folder);
void folder_list_release(struct folder_list *list);

#endif
