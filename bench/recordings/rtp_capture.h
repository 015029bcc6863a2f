/* Keys in a capture of RTP: streams of G.711 are listened to, telephone-events (RFC 4733) are read.
 *
 * A stream is one SSRC from one address and port to another; channels count streams from 1 as they appear. It is believed
 * from its second packet in sequence on (RFC 3550 appendix A.1). Packets are put in order within a window of 16; what is
 * missing is a gap. Times are those of the stream's own clock, from its first packet's arrival in the capture. */
#ifndef TONEGATE_BENCH_RECORDINGS_RTP_CAPTURE_H
#define TONEGATE_BENCH_RECORDINGS_RTP_CAPTURE_H

#include "base/err.h"
#include "bench/recordings/listener.h"

#include <stdbool.h>
#include <stdio.h>

struct rtp_capture_options {
    const struct listener_options *listener;
    int event_type; /* payload type of telephone-events; -1: recognised by their shape */
    bool is_silent; /* reads and checks only */
};

/* True when the file begins as pcap or pcapng does. */
bool rtp_capture_is_one(const char *path);

/* path "-" is the standard input. reason has SOUND_REASON_BYTES. ERR_SYSTEM, ERR_SYNTAX (no capture, cut short, damaged),
 * ERR_NOT_FOUND (no stream that could hold keys), ERR_UNSUPPORTED (link type), ERR_MEMORY. */
MUST_USE enum err rtp_capture_listen(const char *path, const struct rtp_capture_options *options,
                                     char *reason);

/* The same from a stream, which is closed. name is kept for the length of the call. */
MUST_USE enum err rtp_capture_listen_stream(FILE *stream, const char *name,
                                            const struct rtp_capture_options *options, char *reason);

#endif
