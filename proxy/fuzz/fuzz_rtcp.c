/* Any bytes: a refusal and nothing sent, or a compound of ours that we accept ourselves and that carries no SSRC but
 * ours and the far side's own. */
#include "proxy/media/rtcp.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct rtcp_view view = {.is_sent_known = true,
                             .sent_ssrc = 0x11111111,
                             .our_ssrc = 0x22222222,
                             .is_heard_known = true,
                             .heard_ssrc = 0x33333333,
                             .origin_ssrc = 0x44444444,
                             .cname = "abcdefghijklmnop"};
    uint8_t out[RTCP_OUT_BYTES], again[RTCP_OUT_BYTES];
    size_t out_bytes, again_bytes;
    struct rtcp_counts counts = {0};
    enum err err = rtcp_relay(&view, bytes, length, out, &out_bytes, &counts);
    if (out_bytes > RTCP_OUT_BYTES || (err && out_bytes != 0))
        abort();
    if (out_bytes > 0 && rtcp_relay(&view, out, out_bytes, again, &again_bytes, &counts) != OK)
        abort();
    return 0;
}
