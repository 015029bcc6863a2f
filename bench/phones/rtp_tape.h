/* Writes down everything a phone receives: each packet's audio where its timestamp says, silence where none came, and
 * counts of whatever should not be in a stream. It sees packets before any jitter buffer or RTP library could drop one:
 * what arrived was audible to somebody. */
#ifndef TONEGATE_BENCH_PHONES_RTP_TAPE_H
#define TONEGATE_BENCH_PHONES_RTP_TAPE_H

#include "base/clock.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RTP_TAPE_SAMPLES_MAX (8000U * 3600) /* an hour */

struct rtp_tape_counts {
    uint64_t packets;         /* RTP of any kind */
    uint64_t audio_packets;   /* G.711 */
    uint64_t event_packets;   /* telephone-event (RFC 4733) */
    uint64_t other_packets;   /* a payload type nobody agreed on */
    uint64_t refused;         /* not RTP */
    uint64_t missing;         /* sequence numbers never seen between two that were */
    uint64_t reordered;       /* came after a later one, or twice */
    uint64_t timestamp_jumps; /* the timestamp moved otherwise than the samples did */
    uint64_t ssrc_changes;
    double gap_ms_max; /* longest time between two arrivals */
};

struct rtp_tape {
    int16_t *samples;
    size_t sample_count;
    size_t capacity;
    int event_type; /* payload type of telephone-event, -1: none */
    struct rtp_tape_counts counts;
    struct mono_time first_at; /* arrival of samples[0]'s packet; its packetisation has passed by then */
    struct mono_time last_at;
    size_t first_payload; /* samples of that packet */
    bool has_started;
    uint32_t ssrc;
    uint16_t sequence;         /* highest so far */
    struct rtp_time timestamp; /* of that packet */
    size_t next_length;        /* samples in it */
    struct rtp_time base;      /* timestamp of sample base_at */
    size_t base_at;
};

void rtp_tape_init(struct rtp_tape *tape, int event_type);
void rtp_tape_release(struct rtp_tape *tape);

/* A packet as it came from the socket. ERR_SYNTAX (not RTP, counted), ERR_FULL (tape is at its end), ERR_MEMORY. */
MUST_USE enum err rtp_tape_packet(struct rtp_tape *tape, const uint8_t *bytes, size_t length,
                                  struct mono_time at);

#endif
