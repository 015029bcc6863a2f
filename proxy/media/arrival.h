/* When to look at a socket: a stream of packets a fixed time apart needs one look a packet, not one a tick.
 *
 * The schedule learns the phase in which packets come: at the expected tick there is one read; a packet that is late is
 * looked for at every tick until it is there, after a while less often; now and then the tick before is tried, so that
 * the phase follows a stream that moves earlier. Where more than one packet may be there by now, reading goes on until the socket is empty. A packet that comes earlier than expected waits for its time, at most
 * ARRIVAL_PROBE_PACKETS packets long. Pure; thread: the worker. */
#ifndef TONEGATE_PROXY_MEDIA_ARRIVAL_H
#define TONEGATE_PROXY_MEDIA_ARRIVAL_H

#include "base/clock.h"

#include <stdbool.h>
#include <stdint.h>

#define ARRIVAL_PROBE_PACKETS 8
#define ARRIVAL_LATE_PACKETS  4   /* so many late in a row: the stream has moved */
#define ARRIVAL_RESTART_MS    200 /* later than this: a new start */
#define ARRIVAL_SILENT_MS     20  /* between looks at a socket that has been silent for longer than that */

struct arrival {
    struct mono_time look_at;  /* not before */
    struct mono_time expected; /* the next packet */
    uint8_t until_probe, late_count;
    bool is_probing, is_draining;
};

/* Look until packets come. */
void arrival_start(struct arrival *arrival);

/* Never look: there is nobody to hear. */
void arrival_stop(struct arrival *arrival);

static inline bool arrival_is_due(const struct arrival *arrival, struct mono_time now)
{
    return now.ns >= arrival->look_at.ns;
}

/* The socket was empty. */
void arrival_empty(struct arrival *arrival, struct mono_time now, int64_t tick_ns);

/* A packet was there, whose stream goes on packet_ns later. True: look again at once, there should be one more. */
bool arrival_got(struct arrival *arrival, struct mono_time now, int64_t packet_ns, int64_t tick_ns);

#endif
