/* The ports of a node: pairs of bound UDP sockets (RTP even, RTCP the next), two pairs to a call.
 *
 * A socket nobody uses is parked: connected to its own address, from where no stranger can send, so that nothing
 * queues on it. A released place rests in quarantine before it is taken again. Sockets are not owned.
 * Thread: taking and releasing is the control thread's; parking and connecting is for whoever has the place. */
#ifndef TONEGATE_PROXY_MEDIA_PORT_POOL_H
#define TONEGATE_PROXY_MEDIA_PORT_POOL_H

#include "base/clock.h"
#include "base/err.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PORT_POOL_QUARANTINE_MS 2000
#define PORT_POOL_SOCKETS       4 /* of one place: caller's RTP and RTCP, agent's RTP and RTCP */

struct port_pool;

/* Parks all sockets. place_count is what socket_count holds, at most places_max. ERR_RANGE, ERR_MEMORY, ERR_SYSTEM. */
MUST_USE enum err port_pool_new(struct port_pool **out, const int *sockets, size_t socket_count,
                                size_t places_max);
void port_pool_free(struct port_pool *pool);

size_t port_pool_places(const struct port_pool *pool);

/* The place that has rested longest. ERR_FULL: none, or all still in quarantine. */
MUST_USE enum err port_pool_take(struct port_pool *pool, struct mono_time now, size_t *place);

/* A given place, quarantined or not: a call that goes on after a restart. ERR_EXISTS when it is in use, ERR_RANGE. */
MUST_USE enum err port_pool_claim(struct port_pool *pool, size_t place);

/* The place goes to the end of the queue. */
void port_pool_release(struct port_pool *pool, size_t place, struct mono_time now);

/* The place a port belongs to. ERR_NOT_FOUND. */
MUST_USE enum err port_pool_find(const struct port_pool *pool, uint16_t rtp_port, size_t *place);

const int *port_pool_sockets(const struct port_pool *pool, size_t place);
uint16_t port_pool_rtp_port(const struct port_pool *pool, size_t place, size_t pair);

/* Whether media may be sent there at all: a unicast address, and loopback only from loopback: no description may aim us at
 * services of this machine. */
bool port_may_send(struct in_addr own, struct in_addr remote);

/* Connects a socket to itself and throws away what is queued. ERR_SYSTEM. */
MUST_USE enum err port_park(int fd);

/* Connects it to a remote and throws away what is queued from before. ERR_REFUSED (port_may_send()), ERR_SYSTEM. */
MUST_USE enum err port_connect(int fd, const struct sockaddr_in *remote);

/* Reads the socket empty (at most PORT_DRAIN_MAX packets); wipes what it read. */
void port_drain(int fd);
#define PORT_DRAIN_MAX 4096

#endif
