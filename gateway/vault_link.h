/* The gateway's end of the link to the vault: permits, dispatch into steps, replies and the one log line per step. */
#ifndef TONEGATE_GATEWAY_VAULT_LINK_H
#define TONEGATE_GATEWAY_VAULT_LINK_H

#include "base/msg.h"
#include "gateway/step.h"

struct vault_link {
    struct event_base *base;
    struct steps *steps;
    struct msg_port port;
    struct event *readable;
};

/* Starts with no peer. Takes the keys of the gateway_count settings over, also on error. Errors of steps_new(). */
MUST_USE enum err vault_link_init(struct vault_link *link, struct event_base *base,
                                  const struct step_settings *settings, size_t gateway_count);

/* fd becomes the link's. ERR_MEMORY. */
MUST_USE enum err vault_link_open(struct vault_link *link, int fd);

/* The vault is gone: see steps_orphan(). Also called by the link itself when it reads the end. */
void vault_link_close(struct vault_link *link);

void vault_link_free(struct vault_link *link);

#endif
