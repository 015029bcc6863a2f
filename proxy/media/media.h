/* The media plane as the control thread sees it: calls of two legs, relayed by workers that own them.
 *
 * Threads: every function here is for the one control thread, except where it says otherwise. Orders travel to the
 * call's worker through a ring and take effect at its next tick; what workers have to say comes back through rings,
 * with media_event_fd() readable when there is something. */
#ifndef TONEGATE_PROXY_MEDIA_MEDIA_H
#define TONEGATE_PROXY_MEDIA_MEDIA_H

#include "base/config.h"
#include "base/err.h"
#include "proxy/proxy_msg.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct media;

#define MEDIA_SILENCE_S 60

enum media_side { MEDIA_CALLER, MEDIA_AGENT, MEDIA_SIDES }; /* the carrier's leg and the contact centre's */

enum media_codec { MEDIA_PCMU, MEDIA_PCMA, MEDIA_CODECS }; /* SRTP, Opus and G.722 will stand beside these */

/* How one side wants its stream, as negotiated by SDP. */
struct media_leg {
    struct sockaddr_in rtp_remote; /* port 0: no media yet, or the m-line is refused */
    struct sockaddr_in rtcp_remote;
    enum media_codec codec;
    uint8_t payload_type;
    int16_t event_payload_type; /* telephone-event, -1: not negotiated */
    uint8_t ptime_ms;           /* what the side asked to receive, 10..60 */
    bool is_sending;            /* the side may send to us (sendrecv, sendonly) */
    bool is_receiving;          /* the side wants to hear (sendrecv, recvonly) */
};

/* The RTP ports given to a call, host byte order; RTCP is one above each. */
struct media_ports {
    uint16_t rtp[MEDIA_SIDES];
};

/* sockets: the pool, sockets[2n] bound to port_first + 2n (RTP), sockets[2n+1] to the port above (RTCP); not owned, they
 * outlive the process. Idle ones are kept connected to a discard address, so that strangers' packets queue nowhere.
 * Starts the workers. ERR_RANGE, ERR_MEMORY, ERR_SYSTEM; ERR_REFUSED when signal processing fails its
 * known answers. */
MUST_USE enum err media_new(struct media **out, const struct config *config, const int *sockets,
                            size_t socket_count);

/* Stops the workers, wipes every leg. NULL is accepted. */
void media_free(struct media *media);

/* Takes two port pairs from the pool. ERR_FULL (no ports: answer 503), ERR_EXISTS. */
MUST_USE enum err media_call_open(struct media *media, uint64_t call_id, struct media_ports *ports);

/* New description of both sides, after each completed offer and answer. ERR_NOT_FOUND, ERR_RANGE, ERR_FULL. */
MUST_USE enum err media_call_update(struct media *media, uint64_t call_id,
                                    const struct media_leg legs[MEDIA_SIDES]);

/* Masks the caller's leg from the worker's next tick on; the MEDIA_EVENT_ARMED tells when. ERR_NOT_FOUND, ERR_FULL. */
MUST_USE enum err media_call_arm(struct media *media, uint64_t call_id, uint64_t capture_id, bool is_keying);
MUST_USE enum err media_call_disarm(struct media *media, uint64_t call_id, uint64_t capture_id);

/* A key that came by SIP INFO on the caller's side. On an armed leg it is merged with tone and RFC 4733 into one
 * MEDIA_EVENT_DIGIT. Returns OK when the leg is armed (the INFO must not be forwarded), ERR_ORDER when it is not. */
MUST_USE enum err media_call_info_key(struct media *media, uint64_t call_id, dtmf_key key,
                                      unsigned duration_ms);

/* The watch has muted the call's leg and it was not disarmed since. */
bool media_call_is_muted(const struct media *media, uint64_t call_id);

/* Ports go back after a quarantine, so that a late packet of the old call does not reach a new one. Unknown ids are
 * ignored. */
void media_call_close(struct media *media, uint64_t call_id);

enum media_event_kind {
    MEDIA_EVENT_ARMED,
    MEDIA_EVENT_DISARMED, /* carries the last report; of a call that was closed while armed too */
    MEDIA_EVENT_ALARM, /* the watch heard a key in what was to leave: the leg is muted until it is disarmed */
    MEDIA_EVENT_DIGIT,
    MEDIA_EVENT_REPORT,
    MEDIA_EVENT_SILENT, /* no packet from `side` for MEDIA_SILENCE_S, and again after each such time */
};

struct media_event {
    enum media_event_kind kind;
    uint64_t call_id;
    uint64_t capture_id;
    enum media_side side;
    uint32_t ordinal;
    dtmf_key key;
    enum digit_source source;
    struct proxy_leg_report_msg report; /* header unset */
};

/* Readable when media_event_next() has something. */
int media_event_fd(const struct media *media);

/* ERR_EMPTY. The caller wipes *event: it may hold a digit. */
MUST_USE enum err media_event_next(struct media *media, struct media_event *event);

/* True when every worker has ticked since the last call: the proxy's heartbeat depends on it. */
bool media_is_alive(struct media *media);

/* What a restarted proxy needs to go on with a call: plain data, no digit, no audio. */
struct media_snapshot {
    struct media_ports ports;
    struct media_leg legs[MEDIA_SIDES];
    uint64_t capture_id; /* 0: not armed */
    uint32_t ordinal;
    uint8_t is_keying;
    uint8_t is_muted; /* by the watch: it stays so */
    struct {
        uint32_t ssrc; /* of the stream we send to this side */
        uint16_t sequence;
        uint32_t timestamp;
    } sent[MEDIA_SIDES]; /* may lag; restore jumps ahead so that numbers do not repeat */
};

/* Where the worker writes the call's snapshot from now on (a slot of the call table): the worker owns the bytes until
 * media_call_close(). version is even when the snapshot is whole (sequence lock). */
struct media_snapshot_slot {
    _Atomic uint32_t version;
    struct media_snapshot snapshot;
};
MUST_USE enum err media_call_keep(struct media *media, uint64_t call_id, struct media_snapshot_slot *slot);

/* Takes a call up again on its old ports. An armed leg comes back armed and masked from its first sample. */
MUST_USE enum err media_call_restore(struct media *media, uint64_t call_id,
                                     const struct media_snapshot *snapshot);

struct media_stats {
    uint64_t packets_relayed;
    uint64_t packets_refused; /* not RTP, wrong payload type, no call */
    uint64_t send_errors;
    uint64_t ticks;
    uint64_t ticks_late;   /* woke more than one tick late */
    uint64_t watch_alarms; /* keys heard in what was to leave */
    uint32_t calls;
    size_t bytes_per_call;
};
void media_stats(const struct media *media, struct media_stats *stats);

#endif
