/* What outlives the roles because the supervisor opens and keeps it: listening sockets, the RTP port pool, the memory
 * of the call table, the text of the configuration. */
#ifndef TONEGATE_PROXY_SUPERVISOR_HERITAGE_H
#define TONEGATE_PROXY_SUPERVISOR_HERITAGE_H

#include "base/config.h"
#include "base/err.h"
#include "base/role.h"

#include <stddef.h>

struct heritage_store {
    int *fds[HERITAGE_KINDS];
    size_t fd_count[HERITAGE_KINDS];
    int config_fd; /* sealed memfd */
};

/* Raises RLIMIT_NOFILE as far as needed and opens everything. One log line names the address, port or limit that is in
 * the way. ERR_SYSTEM, ERR_MEMORY, ERR_FULL (descriptors). On error nothing stays open. */
MUST_USE enum err heritage_open(struct heritage_store *store, const struct config *config,
                                const char *config_text, size_t config_length, size_t call_table_bytes);
void heritage_close(struct heritage_store *store);

/* Everything that is role's, over its control socket, ended by PART_END. ERR_TIMEOUT when the role does not read. */
MUST_USE enum err heritage_send(const struct heritage_store *store, enum role role, int control_fd,
                                unsigned generation);

#endif
