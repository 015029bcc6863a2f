/* The SDP reader on any bytes; what it takes can be made ours, written, and reads back the same. */
#include "proxy/sip/sdp.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static char text[2 * LIMIT_SDP_BYTES];
    static char second[sizeof(text)];
    struct in_addr ours = {htonl(INADDR_LOOPBACK)};
    struct sdp sdp;
    struct sdp relayed;
    struct sdp again;
    unsigned line = 0;
    size_t written = 0;
    size_t second_length = 0;
    enum err err = sdp_read(&sdp, (const char *)bytes, length, &line);
    if ((err != OK) != (line != 0))
        abort();
    if (err)
        return 0;
    if (sdp_write(&sdp, ours, text, sizeof(text), &written) || sdp_read(&again, text, written, NULL))
        abort();
    if (sdp_relay_offer(&sdp, ours, 40000, &relayed))
        return 0;
    if (sdp_write(&relayed, ours, text, sizeof(text), &written) || sdp_read(&again, text, written, NULL))
        abort();
    if (sdp_write(&again, ours, second, sizeof(second), &second_length))
        abort();
    if (second_length != written || memcmp(second, text, written) != 0)
        abort();
    return 0;
}
