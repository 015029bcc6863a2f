/* The session description of a test phone: one audio stream, G.711 and telephone-event. Own reader and writer, so that
 * the phones do not share a mistake with the product. */
#ifndef TONEGATE_BENCH_PHONES_PHONE_SDP_H
#define TONEGATE_BENCH_PHONES_PHONE_SDP_H

#include "base/err.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

#define PHONE_SDP_BYTES 1024

enum phone_law { PHONE_PCMU = 0, PHONE_PCMA = 8 }; /* the payload types of RFC 3551 §6 */

struct phone_sdp {
    struct sockaddr_in rtp; /* port 0: the stream is refused */
    bool has_pcmu;
    bool has_pcma;
    enum phone_law first; /* of the two, whichever is named first */
    int event_type;       /* payload type of telephone-event, -1: none */
    unsigned ptime_ms;    /* 0: not said */
    bool is_sending;      /* sendrecv or sendonly */
    bool is_receiving;
};

/* text need not be terminated. ERR_SYNTAX: no usable audio stream. */
MUST_USE enum err phone_sdp_parse(struct phone_sdp *out, const char *text, size_t length);

/* Terminated text of at most PHONE_SDP_BYTES. laws: the G.711 laws to name, best first. event_type -1: none. */
void phone_sdp_write(char *out, const struct sockaddr_in *rtp, const enum phone_law *laws, size_t law_count,
                     int event_type, unsigned ptime_ms, unsigned version);

#endif
