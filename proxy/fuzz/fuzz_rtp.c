/* Any bytes: what is read as RTP lies within them. */
#include "proxy/media/rtp.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct rtp_packet packet;
    if (rtp_read(&packet, bytes, length))
        return 0;
    if (packet.payload_at < RTP_HEADER_BYTES || packet.payload_at + packet.payload_bytes > length)
        abort();
    return 0;
}
