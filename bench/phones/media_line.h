/* The RTP of a test phone, on libortp: sends G.711 frames and telephone-events in 20 ms steps (or the ptime agreed),
 * and puts every packet that arrives on a tape. oRTP also keeps RTCP going. Thread: one. */
#ifndef TONEGATE_BENCH_PHONES_MEDIA_LINE_H
#define TONEGATE_BENCH_PHONES_MEDIA_LINE_H

#include "base/err.h"
#include "bench/phones/phone_sdp.h"
#include "bench/phones/rtp_tape.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct media_line; /* opaque */

/* Binds RTP to an even port of address (the one given when not 0), RTCP above. event_type: what we offer. */
MUST_USE enum err media_line_new(struct media_line **out, const struct sockaddr_in *address, int event_type);
void media_line_free(struct media_line *line);

int media_line_fd(const struct media_line *line);
struct sockaddr_in media_line_address(const struct media_line *line);
struct rtp_tape *media_line_tape(struct media_line *line);

/* Where to send and in which law; remote_event_type is what the peer wants events as, -1: it wants none. */
MUST_USE enum err media_line_aim(struct media_line *line, const struct sockaddr_in *remote,
                                 enum phone_law law, int remote_event_type);

/* Takes in all that has arrived. */
void media_line_receive(struct media_line *line);

/* Encodes and sends count samples with the running timestamp; heard gets what a receiver decodes (may be NULL). With
 * is_lost the packet is counted in the sequence but never sent; with is_silent time goes on without a packet. */
void media_line_send(struct media_line *line, const int16_t *samples, size_t count, int16_t *heard,
                     bool is_lost, bool is_silent);

/* A telephone-event packet (RFC 4733 §2.3) beside the audio: key 0..15, samples since its beginning. */
void media_line_send_event(struct media_line *line, uint8_t key, unsigned duration, bool is_first,
                           bool is_end, bool is_lost);

#endif
