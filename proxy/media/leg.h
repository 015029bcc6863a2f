/* One direction of a call: what a side sends, on its way to the other side.
 *
 * Plain, a packet is forwarded at once with its payload untouched. Armed, its samples pass the mask (20 ms later), its
 * telephone-events are taken out, and what leaves is one stream without a seam: our own SSRC, sequence numbers and
 * timestamps at a constant offset that only changes where the sender's stream itself breaks. Loss stays loss; the time
 * of removed events is filled with comfort noise.
 *
 * Arming takes effect from the first packet received after it: audio already forwarded cannot be called back. Leaving
 * goes on masking until no tone or event is in progress (at most LEG_LEAVE_MS_MAX), then fades from the delayed to the
 * direct audio within one packet. Packets of the armed time that arrive later still are dropped.
 *
 * Somebody listens to every packet of an armed leg before it leaves (dsp/outgoing_watch.h). Should a key be heard in one,
 * the leg is muted: that packet and all after it are noise of another making, whatever the mask says, until the leg is
 * plain again. Keys are still reported.
 *
 * No sockets here: packets come by leg_receive(), leave by the sink. Nothing is allocated. Thread: the call's worker. */
#ifndef TONEGATE_PROXY_MEDIA_LEG_H
#define TONEGATE_PROXY_MEDIA_LEG_H

#include "base/clock.h"
#include "dsp/comfort_noise.h"
#include "dsp/mask.h"
#include "dsp/outgoing_watch.h"
#include "proxy/media/digit_merge.h"
#include "proxy/media/media.h"
#include "proxy/media/rtp.h"
#include "proxy/media/telephone_event.h"

#define LEG_LEAVE_MS_MAX   10000 /* a tone that outlives this after the disarm order is let go */
#define LEG_SILENT_MS      500   /* a leaving leg that hears nothing for so long has nothing in progress */
#define LEG_GAP_8K_MAX     8000  /* longest gap the mask is walked through sample by sample */
#define LEG_EVENT_HANGOVER 320   /* samples masked behind an event's end: its tone may lag */
#define LEG_INFO_HANGOVER  800   /* and behind a SIP INFO key */
#define LEG_SEQUENCE_JUMP  3000  /* a farther step is a new stream (RFC 3550 appendix A.1) */
#define LEG_TIMESTAMP_JUMP 16000 /* backwards by more than this: the sender's clock was set anew */
#define LEG_OLD_SOURCE_MS  500   /* packets of the SSRC before the change are dropped for so long */

enum leg_state { LEG_PLAIN, LEG_ARMED, LEG_LEAVING };

struct leg_format {
    enum media_codec codec;
    uint8_t payload_type;
    int16_t event_payload_type; /* -1: none */
};

struct leg_counts { /* since arming, but for the first two */
    uint64_t packets_relayed;
    uint64_t packets_refused;
    uint64_t frames;
    uint32_t keys;
    uint32_t events_removed;
    uint32_t infos_removed;
    uint32_t packets_late;
    uint32_t packets_lost;
    uint32_t spans; /* times of which nothing of the sender left */
    uint32_t span_longest_8k;
    uint32_t alarms; /* 1: muted since; there is no second one */
};

struct leg;

/* What a leg has to say. header describes the packet; is_audio is false for telephone-events. */
struct leg_sink {
    void (*send_h)(void *owner, struct leg *leg, const struct rtp_header *header, const uint8_t *packet,
                   size_t length, bool is_audio);
    void (*digit_h)(void *owner, struct leg *leg, dtmf_key key, enum digit_source source);
    void (*disarmed_h)(void *owner, struct leg *leg);
    void (*alarm_h)(void *owner,
                    struct leg *leg); /* a key was heard in what was to leave: the leg is muted */
};

struct leg {
    const struct leg_sink *sink;
    void *owner;
    struct leg_format from, to;
    bool is_open; /* the far side wants to hear and its address is known */

    /* the sender's stream */
    bool has_source;
    uint32_t ssrc, old_ssrc;
    struct mono_time changed_at, heard_at;
    uint16_t in_sequence, floor_sequence; /* newest; and the oldest that may still be forwarded */
    uint32_t in_cycles;
    struct rtp_time in_next; /* where its next audio begins */
    uint16_t frame_samples;

    /* ours */
    bool has_sent, must_resequence;
    uint32_t out_ssrc;
    uint16_t out_sequence;
    uint32_t out_cycles;
    struct rtp_time out_timestamp;
    struct mono_time sent_at;
    uint16_t sequence_offset; /* ours - theirs */
    uint32_t timestamp_offset;
    uint32_t packets_sent, octets_sent;

    /* armed */
    enum leg_state state;
    bool is_pending;   /* a frame of it is on its way through the mask: deliver it before the next packet */
    bool is_revealing; /* mask_options.is_off: the negative control lets events pass too */
    struct mask *mask; /* NULL: a leg that is never armed */
    unsigned lookahead_samples;
    bool is_forced, is_filling;
    uint32_t force_left;
    bool has_tone;
    dtmf_key tone_key;
    bool is_event_removed;
    struct telephone_event_receiver events;
    struct digit_merge merge;
    uint32_t leaving_samples, clean_samples;
    uint64_t activity_before;
    struct mask_counts mask_counts; /* as they were when the mask was wiped */
    struct outgoing_watch *watch;   /* NULL: nobody listens to what leaves */
    struct outgoing_watch_counts watch_counts;
    bool is_muted;
    struct comfort_noise hush; /* what a muted leg says: never taught, nothing of the sender is in it */
    struct leg_counts counts;
};

/* A frame on its way through the mask: worker's memory, wiped by leg_deliver(). */
struct leg_frame {
    struct leg *leg;
    bool is_sent; /* false: only listened to, the far side is on hold */
    struct rtp_header header;
    size_t sample_count;
    int16_t in[LIMIT_FRAME_SAMPLES], out[LIMIT_FRAME_SAMPLES];
    struct dtmf_edge edges[DTMF_EDGE_MAX];
    size_t edge_count;
};

/* mask: mask_size() bytes or NULL. watch: outgoing_watch_size() bytes or NULL, for no watch. out_ssrc, first_sequence, first_timestamp: random (RFC 3550 §5.1). */
void leg_init(struct leg *leg, const struct leg_sink *sink, void *owner, struct mask *mask,
              struct outgoing_watch *watch, uint32_t out_ssrc, uint16_t first_sequence,
              uint32_t first_timestamp);

/* is_open as in the struct. Effective for the next packet. */
void leg_set_format(struct leg *leg, const struct leg_format *from, const struct leg_format *to,
                    bool is_open);

/* Goes on with the numbers of a stream that was sent before a restart, far enough ahead that none repeats. */
void leg_resume(struct leg *leg, uint32_t ssrc, uint16_t sequence, uint32_t timestamp, struct mono_time now);

/* ERR_RANGE from mask_init(), ERR_UNSUPPORTED without a mask. An armed leg goes on, a leaving one stays. */
MUST_USE enum err leg_arm(struct leg *leg, const struct mask_options *options, bool is_keying);
void leg_set_keying(struct leg *leg, bool is_keying);
void leg_disarm(struct leg *leg);

/* Mutes an armed leg, as the watch does: it was so before a restart. */
void leg_mute(struct leg *leg);

/* Wipes everything that heard the sender, at once, without a word to the sink. */
void leg_wipe(struct leg *leg);

/* A key by SIP INFO on an armed leg. */
void leg_info_key(struct leg *leg, dtmf_key key, unsigned duration_ms, struct mono_time now);

/* A packet from the sender's address; bytes is changed, and wiped when the leg is armed. True: *frame is to go through
 * the mask (in, out, sample_count; edges come back) and then to leg_deliver(), before the leg's next packet. False: all
 * that was to be done is done. */
MUST_USE bool leg_receive(struct leg *leg, uint8_t *bytes, size_t length, struct mono_time now,
                          struct leg_frame *frame);
void leg_deliver(struct leg_frame *frame, struct mono_time now);

/* Now and then, at least every 100 ms while the leg is leaving. */
void leg_tick(struct leg *leg, struct mono_time now);

void leg_mask_counts(const struct leg *leg, struct mask_counts *counts);
/* All zero and OUTGOING_WATCH_NONE without a watch. */
void leg_watch_counts(const struct leg *leg, struct outgoing_watch_counts *counts);

#endif
