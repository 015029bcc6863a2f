/* SIP on the wire: UDP and TCP sockets, framing, the guard, and who is who.
 *
 * Every message passes sip_guard_check() before it is parsed; its source address says which trunk it is from. Strangers
 * get 403 (405 for a method that is not ours) without state, rate-limited, and nothing else. Thread: the control
 * thread, whose event base it uses. */
#ifndef TONEGATE_PROXY_SIP_SIP_TRANSPORT_H
#define TONEGATE_PROXY_SIP_SIP_TRANSPORT_H

#include "base/config.h"
#include "base/err.h"

#include <event2/event.h>
#include <netinet/in.h>
#include <osipparser2/osip_parser.h>
#include <stdint.h>

struct sip_transport;

/* Where a message came from or goes to. */
struct sip_peer {
    enum config_transport transport;
    struct sockaddr_in address;
    uint64_t connection; /* TCP: the connection it came on; 0: any to that address, or a new one */
    unsigned listener;   /* UDP: 1 + index of the listener it came by; 0: the first one */
};

struct sip_transport_counts {
    uint64_t received;
    uint64_t refused;   /* by the guard or the parser */
    uint64_t strangers; /* messages from outside the trunks */
    uint64_t connections_refused;
};

/* message belongs to the handler. peer: where it came from; the topmost Via of a request has received and rport. */
typedef void sip_transport_h(void *owner, enum config_trunk_name trunk, const struct sip_peer *peer,
                             osip_message_t *message);

/* A connection to that address broke: what was sent over it may be lost. */
typedef void sip_transport_lost_h(void *owner, const struct sockaddr_in *address);
void sip_transport_on_lost(struct sip_transport *transport, sip_transport_lost_h *handler, void *owner);

/* fds: the bound sockets, in the configuration's order; not owned. ERR_MEMORY, ERR_RANGE. */
MUST_USE enum err sip_transport_new(struct sip_transport **out, struct event_base *base,
                                    const struct config *config, const int *fds, size_t fd_count,
                                    sip_transport_h *handler, void *owner);
void sip_transport_free(struct sip_transport *transport);

/* Sends or queues. ERR_PEER_GONE, ERR_FULL, ERR_SYSTEM. */
MUST_USE enum err sip_transport_send(struct sip_transport *transport, const struct sip_peer *peer,
                                     const char *text, size_t length);

/* Our own address as that peer shall use it (Via, Contact): the listener of its transport. */
const struct sockaddr_in *sip_transport_local(const struct sip_transport *transport,
                                              enum config_transport kind);

/* Where requests to a trunk go. */
struct sip_peer sip_transport_trunk(const struct sip_transport *transport, enum config_trunk_name trunk);

void sip_transport_counts(const struct sip_transport *transport, struct sip_transport_counts *counts);

#endif
