/* RTP packets (RFC 3550 §5.1): read with every length checked, written with the plain 12-byte header only.
 * Pure functions, any thread, no allocation. */
#ifndef TONEGATE_PROXY_MEDIA_RTP_H
#define TONEGATE_PROXY_MEDIA_RTP_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RTP_HEADER_BYTES 12

struct rtp_header {
    bool has_marker;
    uint8_t payload_type; /* 0..127 */
    uint16_t sequence;
    uint32_t timestamp;
    uint32_t ssrc;
};

struct rtp_packet {
    struct rtp_header header;
    size_t payload_at;    /* offset of the payload in the packet; CSRC list and extension lie before it */
    size_t payload_bytes; /* padding not included; may be 0 */
};

/* bytes is not kept. ERR_LENGTH (shorter than what its own header says), ERR_VERSION (not version 2), ERR_SYNTAX (a
 * padding of 0, or payload types 64..95, which are RTCP's: RFC 5761 §4). */
MUST_USE enum err rtp_read(struct rtp_packet *packet, const uint8_t *bytes, size_t length);

/* Writes RTP_HEADER_BYTES to out: no CSRC, extension or padding. */
void rtp_write_header(const struct rtp_header *header, uint8_t *out);

/* Signed distance of sequence numbers, right across the wrap. */
static inline int rtp_sequence_diff(uint16_t from, uint16_t to)
{
    return (int16_t)(uint16_t)(to - from);
}

#endif
