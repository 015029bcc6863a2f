/* The gateway's end of the link to the desk: orders after the card and hooks in, one reply each out, one log line per
 * reply.
 * Nothing on it can hold a card. */
#ifndef TONEGATE_GATEWAY_DESK_LINK_H
#define TONEGATE_GATEWAY_DESK_LINK_H

#include "base/msg.h"
#include "gateway/platforms/hooks.h"
#include "gateway/step.h"

struct desk_link {
    struct event_base *base;
    struct steps *steps; /* the vault link's, which outlives this */
    struct hooks *hooks;
    struct msg_port port;
    struct event *readable;
};

/* Starts with no peer. Reads what hooks_new() reads. */
MUST_USE enum err desk_link_init(struct desk_link *link, struct event_base *base, struct steps *steps,
                                 const struct config *config);

/* fd becomes the link's, an older one is closed. Orders under way go on; the desk sends them again under their ids and so
 * gets their replies. ERR_MEMORY. */
MUST_USE enum err desk_link_open(struct desk_link *link, int fd);

/* HEALTH of every gateway; nothing where no desk is. */
void desk_link_tell_health(struct desk_link *link);

void desk_link_close(struct desk_link *link);
void desk_link_free(struct desk_link *link);

#endif
