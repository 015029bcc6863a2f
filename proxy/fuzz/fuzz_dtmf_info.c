/* The first byte chooses the type; the rest is the body. */
#include "proxy/sip/dtmf_info.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    dtmf_key key = 0;
    unsigned duration_ms;
    if (length == 0)
        return 0;
    const char *type = bytes[0] & 1 ? "application/dtmf" : "application/dtmf-relay";
    enum err err = dtmf_info_read(type, (const char *)bytes + 1, length - 1, &key, &duration_ms);
    if (!err && key >= DTMF_KEY_COUNT)
        abort();
    return 0;
}
