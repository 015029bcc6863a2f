/* The worker's end of the recorder: packets that were sent to the agent, or came from it, go into a ring.
 * Thread: one worker each. Never blocks, never allocates. */
#ifndef TONEGATE_PROXY_MEDIA_FORK_H
#define TONEGATE_PROXY_MEDIA_FORK_H

#include "base/clock.h"
#include "base/limits.h"
#include "base/ring.h"
#include "proxy/media/media.h"
#include "proxy/media/rtp.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum fork_channel { FORK_HEARD, FORK_SAID, FORK_CHANNELS }; /* left, right */

#define FORK_RING_SLOTS 8192 /* 160 ms of 500 calls */

struct fork_slot {
    uint64_t call_id;
    struct mono_time at;
    uint32_t place;
    uint16_t payload_bytes; /* 0: the call is over */
    uint8_t channel;
    uint8_t codec; /* enum media_codec */
    struct rtp_header header;
    uint8_t payload[LIMIT_FRAME_SAMPLES];
};

struct fork {
    struct ring *ring;
    _Atomic uint64_t lost;
};

void fork_packet(struct fork *fork, uint32_t place, uint64_t call_id, enum fork_channel channel,
                 enum media_codec codec, const struct rtp_header *header, const uint8_t *payload,
                 size_t payload_bytes, struct mono_time now);
void fork_end(struct fork *fork, uint32_t place, uint64_t call_id);

#endif
