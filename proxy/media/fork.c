#include "proxy/media/fork.h"

#include <string.h>

static void put(struct fork *fork, const struct fork_slot *slot)
{
    if (ring_put(fork->ring, slot))
        atomic_fetch_add_explicit(&fork->lost, 1, memory_order_relaxed);
}

void fork_packet(struct fork *fork, uint32_t place, uint64_t call_id, enum fork_channel channel,
                 enum media_codec codec, const struct rtp_header *header, const uint8_t *payload,
                 size_t payload_bytes, struct mono_time now)
{
    if (payload_bytes == 0 || payload_bytes > LIMIT_FRAME_SAMPLES)
        return;
    struct fork_slot slot = {
        .call_id = call_id,
        .at = now,
        .place = place,
        .payload_bytes = (uint16_t)payload_bytes,
        .channel = (uint8_t)channel,
        .codec = (uint8_t)codec,
        .header = *header,
    };
    memcpy(slot.payload, payload, payload_bytes);
    put(fork, &slot);
}

void fork_end(struct fork *fork, uint32_t place, uint64_t call_id)
{
    struct fork_slot slot = {.call_id = call_id, .place = place};
    put(fork, &slot);
}
