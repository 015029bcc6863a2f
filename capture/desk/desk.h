/* The desk without its process: API, event streams, store, audit trail and the two links, on one event loop. desk_role.c
 * gives it a process; tests give it socket pairs. Thread: one. */
#ifndef TONEGATE_CAPTURE_DESK_DESK_H
#define TONEGATE_CAPTURE_DESK_DESK_H

#include "base/config.h"
#include "base/err.h"
#include "base/role.h"
#include "capture/desk/http_server.h"

#include <event2/event.h>
#include <stdbool.h>

struct desk;

struct desk_setup {
    struct event_base *base;     /* the caller's */
    const struct config *config; /* the caller's, outlives the desk */
    int listen_fd;               /* the caller's */
    const char *store_vfs;       /* NULL: the system's */
    struct http_limits limits;   /* zeros: the product's */
    unsigned grace_ms;           /* [1500] after a link came up: what was not mentioned by then is gone */
};

/* Opens everything that needs the file system: certificate, key, tokens, database, audit trail. An error was logged
 * with what to do about it. ERR_TLS, ERR_STORE, ERR_SYSTEM, ERR_SYNTAX, ERR_LENGTH, ERR_MEMORY. */
MUST_USE enum err desk_new(struct desk **out, const struct desk_setup *setup);
void desk_free(struct desk *desk);

/* A new link to ROLE_VAULT, ROLE_PROXY or ROLE_GATEWAY; fd is the desk's from now on, an older one is closed. */
void desk_set_link(struct desk *desk, enum role peer, int fd);

/* Takes no new captures. */
void desk_drain(struct desk *desk);
/* No capture is open. */
bool desk_is_idle(const struct desk *desk);

#endif
