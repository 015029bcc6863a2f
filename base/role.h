/* The child's side of the supervisor: what a role is given, how it says that it lives, how it learns of its peers.
 *
 * A role starts with one descriptor, the control socket. Over it come the configuration (a sealed memfd), the links to
 * its peers, and the sockets the supervisor opened for it; nothing else is inherited. It opens what only it needs
 * (certificates, database, keys), raises its wall (base/wall.h), says READY and enters its loop. */
#ifndef TONEGATE_BASE_ROLE_H
#define TONEGATE_BASE_ROLE_H

#include "base/config.h"
#include "base/err.h"
#include "base/msg.h"

#include <stdbool.h>
#include <stddef.h>

enum role { ROLE_SUPERVISOR, ROLE_PROXY, ROLE_VAULT, ROLE_GATEWAY, ROLE_DESK, ROLE_COUNT };
const char *role_name(enum role role);

/* Sockets and memory that outlive a role's death because the supervisor keeps them. */
enum heritage {
    HERITAGE_SIP, /* proxy: one bound socket per configured listener, in the configuration's order */
    HERITAGE_RTP, /* proxy: the port pool; [2n] RTP on first+2n, [2n+1] RTCP on the port above */
    HERITAGE_CALL_TABLE, /* proxy: one memfd, config.sip.calls_max slots of proxy's own layout; zeroed at first start */
    HERITAGE_HTTPS, /* desk: one bound, listening TCP socket */
    HERITAGE_KINDS
};

struct role_context {
    enum role role;
    const struct config *config;
    int control_fd; /* poll for reading, then role_control_read() */
    int link_fd
        [ROLE_COUNT]; /* the first link to each peer, -1 where there is none; the role's msg_ports take over */
    int *heritage[HERITAGE_KINDS];
    size_t heritage_count[HERITAGE_KINDS];
    unsigned generation; /* 0 at first start, then one more at each restart of this role */
    bool is_draining;
};

/* Called by main(): reads the heritage from control_fd. The log is open when it returns. */
MUST_USE enum err role_receive(struct role_context *context, enum role role, int control_fd);

/* After the role's run function returned. Sockets are left to the process's end. */
void role_release(struct role_context *context);

/* Sent once, after the wall is up and the loop is about to start. */
MUST_USE enum err role_ready(struct role_context *context);

/* Call at least every LIMIT_HEARTBEAT_MS from the loop, and only while everything the role runs is alive (the proxy:
 * only if every worker ticked since the last beat). */
void role_beat(struct role_context *context);

enum role_event_kind {
    ROLE_EVENT_LINK, /* a new link to `peer` (it was restarted): `fd` is the role's to own; the old one is dead */
    ROLE_EVENT_DRAIN, /* take nothing new, end when idle */
    ROLE_EVENT_STOP,  /* end now: wipe and return from the role's run function */
};
struct role_event {
    enum role_event_kind kind;
    enum role peer;
    int fd;
};

/* One event off the control socket. ERR_EMPTY when there is none; ERR_PEER_GONE when the supervisor is gone, which a
 * role treats as STOP. */
MUST_USE enum err role_control_read(struct role_context *context, struct role_event *event);

/* Tells the supervisor that a draining role is idle. */
void role_idle(struct role_context *context);

/* Each role's whole life; returns the process's exit code. Declared here, defined in the role's room. */
int proxy_role_run(struct role_context *context);
int vault_role_run(struct role_context *context);
int gateway_role_run(struct role_context *context);
int desk_role_run(struct role_context *context);

#endif
