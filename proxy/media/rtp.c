#include "proxy/media/rtp.h"

#include "proxy/media/wire.h"

/* First octet: V=2 bits, P, X, CC=4 bits. Second: M, PT=7 bits. */
enum { VERSION_SHIFT = 6, PADDING_BIT = 0x20, EXTENSION_BIT = 0x10, CSRC_MASK = 0x0f, MARKER_BIT = 0x80 };

/* Offset behind CSRC list and extension, or ERR_LENGTH. */
static enum err payload_start(const uint8_t *bytes, size_t length, size_t *at)
{
    *at = RTP_HEADER_BYTES + 4u * (bytes[0] & CSRC_MASK);
    if (bytes[0] & EXTENSION_BIT) {
        if (*at + 4 > length)
            return ERR_LENGTH;
        *at += 4 + 4u * wire_u16(bytes + *at + 2);
    }
    return *at > length ? ERR_LENGTH : OK;
}

enum err rtp_read(struct rtp_packet *packet, const uint8_t *bytes, size_t length)
{
    if (length < RTP_HEADER_BYTES)
        return ERR_LENGTH;
    if (bytes[0] >> VERSION_SHIFT != 2)
        return ERR_VERSION;
    uint8_t payload_type = bytes[1] & 0x7f;
    if (payload_type >= 64 && payload_type <= 95)
        return ERR_SYNTAX;
    size_t at;
    enum err err = payload_start(bytes, length, &at);
    if (err)
        return err;
    size_t padding = 0;
    if (bytes[0] & PADDING_BIT) {
        if (at == length)
            return ERR_LENGTH;
        padding = bytes[length - 1];
        if (padding == 0)
            return ERR_SYNTAX;
        if (padding > length - at)
            return ERR_LENGTH;
    }
    *packet = (struct rtp_packet){
        .header = {.has_marker = bytes[1] & MARKER_BIT,
                   .payload_type = payload_type,
                   .sequence = wire_u16(bytes + 2),
                   .timestamp = wire_u32(bytes + 4),
                   .ssrc = wire_u32(bytes + 8)},
        .payload_at = at,
        .payload_bytes = length - at - padding,
    };
    return OK;
}

void rtp_write_header(const struct rtp_header *header, uint8_t *out)
{
    out[0] = 2 << VERSION_SHIFT;
    out[1] = (uint8_t)((header->has_marker ? MARKER_BIT : 0) | (header->payload_type & 0x7f));
    wire_put_u16(out + 2, header->sequence);
    wire_put_u32(out + 4, header->timestamp);
    wire_put_u32(out + 8, header->ssrc);
}
