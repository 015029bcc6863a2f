/* One RTP stream of a capture: its packets put in order, its audio given to a listener, its telephone-events read.
 *
 * Believed from the second packet in sequence on (RFC 3550 appendix A.1). Audio is placed by its timestamps. What is missing
 * is a gap for the first 200 ms and silence from there on; where the timestamps jump by more than 10 s the stream is taken
 * to have begun a new clock, and the time of arrival decides. Thread: one at a time. */
#ifndef TONEGATE_BENCH_RECORDINGS_RTP_STREAM_H
#define TONEGATE_BENCH_RECORDINGS_RTP_STREAM_H

#include "base/err.h"
#include "bench/recordings/listener.h"
#include "proxy/media/rtp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RTP_STREAM_WINDOW 16 /* packets waited for one that is missing */

struct rtp_stream; /* opaque */

struct rtp_stream_options {
    const struct listener_options *listener;
    const char *file;
    int event_type; /* -1: by their shape */
    bool is_silent;
};

/* True for a packet that a stream can begin with: G.711 or a telephone-event. */
bool rtp_stream_may_begin(const struct rtp_packet *packet, const uint8_t *bytes, int event_type);

/* options is kept by reference. ERR_MEMORY. */
MUST_USE enum err rtp_stream_new(struct rtp_stream **out, const struct rtp_stream_options *options);

/* *channel_count is counted up, and is the stream's channel, when it is believed with this packet. is_cut: the payload is
 * not all there. at_ms: its arrival. ERR_MEMORY. */
MUST_USE enum err rtp_stream_packet(struct rtp_stream *stream, const struct rtp_packet *packet,
                                    const uint8_t *bytes, bool is_cut, double at_ms, unsigned *channel_count);

/* True, once, after the packet with which it is believed. */
bool rtp_stream_is_new(struct rtp_stream *stream);

/* Plays what waits, says what is open, frees. NULL is accepted. */
void rtp_stream_end(struct rtp_stream *stream);

#endif
