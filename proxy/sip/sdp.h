/* An SDP reader and writer of our own (RFC 8866), for the part of SDP that offer and answer (RFC 3264) of audio calls
 * need. Written because libosip2's reads past its input. Never allocates; every count is bounded by base/limits.h. */
#ifndef TONEGATE_PROXY_SIP_SDP_H
#define TONEGATE_PROXY_SIP_SDP_H

#include "base/err.h"
#include "base/limits.h"
#include "proxy/media/media.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sdp_direction { SDP_SENDRECV, SDP_SENDONLY, SDP_RECVONLY, SDP_INACTIVE };

/* A payload type we know. */
struct sdp_format {
    uint8_t payload_type;
    enum { SDP_PCMU, SDP_PCMA, SDP_TELEPHONE_EVENT, SDP_OTHER } encoding;
    uint32_t clock_rate;
};

struct sdp_media {
    bool is_audio;     /* one RTP/AVP stream at an IPv4 host; all else is kept only to be refused */
    char kind[16];     /* "audio", "video" … as offered */
    char protocol[24]; /* "RTP/AVP" … as offered */
    char first_format[16];
    uint16_t port;          /* 0: refused */
    struct in_addr address; /* 0.0.0.0: hold of RFC 2543 */
    uint16_t rtcp_port;     /* a=rtcp (RFC 3605) or port + 1; 0: none, as when it names a third address */
    struct sdp_format formats[LIMIT_SDP_FORMATS];
    size_t format_count;
    enum sdp_direction direction;
    uint8_t ptime_ms; /* 0: not said; never above a=maxptime; 255: more, or a fraction */
};

struct sdp {
    uint64_t session_id;
    uint64_t session_version;
    struct sdp_media media[LIMIT_SDP_MEDIA];
    size_t media_count;
};

/* text need not be terminated. error_line (may be NULL) receives the line of the first fault, from 1.
 * ERR_SYNTAX, ERR_RANGE (a number), ERR_LENGTH (more than base/limits.h allows). */
MUST_USE enum err sdp_read(struct sdp *sdp, const char *text, size_t length, unsigned *error_line);

/* Always the same lines for the same struct; *length excludes the terminating zero. ERR_FULL. */
MUST_USE enum err sdp_write(const struct sdp *sdp, struct in_addr origin, char *text, size_t capacity,
                            size_t *length);

/* The offer of one side made ours for the other side: the first acceptable audio line on our address and port, formats
 * cut to those we relay (payload type numbers stay), all other lines refused with port 0. c=0.0.0.0 becomes a=sendonly or
 * a=inactive. Session id and version are those of the other side, so that what we send on a leg has the history of the one
 * party behind it.
 * ERR_UNSUPPORTED: no audio line with a codec we have, or ptime outside 10..60: answer 488. */
MUST_USE enum err sdp_relay_offer(const struct sdp *offer, struct in_addr address, uint16_t rtp_port,
                                  struct sdp *out);

/* The same for the answer. ERR_UNSUPPORTED: it accepts nothing that was offered (out and legs are untouched). One codec is
 * agreed, the answerer's first; directions are cut to what both sides want. offer is the offerer's own, as read, and so is
 * answer. legs: what media needs of both sides, [offerer] and [answerer]. */
MUST_USE enum err sdp_relay_answer(const struct sdp *offer, const struct sdp *answer, struct in_addr address,
                                   uint16_t rtp_port, struct sdp *out, enum media_side offerer,
                                   struct media_leg legs[MEDIA_SIDES]);

#endif
