/* Receiver of telephone-events (RFC 4733 §2): many packets of one key press become one start and one end.
 *
 * Also knows redundant payloads (RFC 2198) well enough to say whether one carries an event: they are never relayed.
 * Pure, no allocation. The receiver holds the key being pressed: wipe it with the leg. */
#ifndef TONEGATE_PROXY_MEDIA_TELEPHONE_EVENT_H
#define TONEGATE_PROXY_MEDIA_TELEPHONE_EVENT_H

#include "base/clock.h"
#include "base/err.h"
#include "dsp/dtmf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TELEPHONE_EVENT_BYTES 4

struct telephone_event {
    uint8_t code; /* 0..15 are the keys; others are tones and line signals */
    bool is_end;
    uint8_t volume_dbm0; /* 0..63, stands for 0..-63 dBm0 */
    uint16_t duration_8k;
};

/* Reads the first event of a payload (RFC 4733 §2.3). ERR_LENGTH. */
MUST_USE enum err telephone_event_read(struct telephone_event *event, const uint8_t *payload, size_t length);

struct telephone_event_receiver {
    bool
        has_event; /* an event was seen; `started` names it for ever after, so that its end is not a new key */
    bool is_on;    /* it has not ended yet */
    uint8_t code;
    struct rtp_time started; /* the RTP timestamp all its packets share */
    struct rtp_time covered; /* started + longest duration seen */
};

enum telephone_event_step {
    TELEPHONE_EVENT_NONE,  /* update or repetition of what is known, or older than it */
    TELEPHONE_EVENT_START, /* a key press not seen before, whichever of its packets came first */
    TELEPHONE_EVENT_END,   /* the press ended; said once */
    TELEPHONE_EVENT_WHOLE, /* start and end at once: all packets but an end packet were lost */
};

/* at: the packet's RTP timestamp. A press longer than 65535 ticks goes on in a new segment (RFC 4733 §2.5.1.3): the same
 * key starting where the last segment ended is no new press. */
enum telephone_event_step telephone_event_feed(struct telephone_event_receiver *receiver,
                                               const struct telephone_event *event, struct rtp_time at);

/* The stream has come to `now` without an update. True, once, when the event must be taken to have ended: all its end
 * packets were lost. */
bool telephone_event_expire(struct telephone_event_receiver *receiver, struct rtp_time now);
#define TELEPHONE_EVENT_LOST_8K 1600 /* 200 ms: four updates of 50 ms missed (RFC 4733 §2.5.1.2) */

/* Remembers the event's timestamp without taking it for a key: it began before the leg was armed. */
void telephone_event_ignore(struct telephone_event_receiver *receiver, struct rtp_time at);

/* True when the payload is a well-formed redundant one (RFC 2198 §3) that carries payload_type in any of its blocks. */
bool telephone_event_in_red(const uint8_t *payload, size_t length, uint8_t payload_type);

#endif
