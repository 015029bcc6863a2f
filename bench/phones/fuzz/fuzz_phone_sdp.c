/* Any bytes as a description: what is accepted names a law. */
#include "bench/phones/phone_sdp.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct phone_sdp sdp;
    if (phone_sdp_parse(&sdp, (const char *)bytes, length) == OK) {
        ASSERT(sdp.has_pcma || sdp.has_pcmu);
        ASSERT(sdp.event_type < 128 && sdp.ptime_ms <= 200);
    }
    return 0;
}
