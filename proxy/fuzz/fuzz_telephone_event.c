/* Any bytes, taken as a redundant payload and as a train of event packets (flag byte: time step, then 4 of payload): a
 * press never ends more often than it began. */
#include "proxy/media/telephone_event.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct telephone_event_receiver receiver = {0};
    struct rtp_time at = {0xfffff000};
    long open = 0;
    (void)telephone_event_in_red(bytes, length, 101);
    for (; length >= 5; bytes += 5, length -= 5) {
        struct telephone_event event;
        at = rtp_time_add(at, (bytes[0] - 64) * 160);
        if (telephone_event_read(&event, bytes + 1, 4))
            abort();
        enum telephone_event_step step = telephone_event_feed(&receiver, &event, at);
        if (step == TELEPHONE_EVENT_START)
            open = 1; /* a new press ends the one before */
        if (step == TELEPHONE_EVENT_WHOLE)
            open = 0;
        if (step == TELEPHONE_EVENT_END || telephone_event_expire(&receiver, at))
            open--;
        if (open < 0 || open > 1 || receiver.is_on != (open == 1))
            abort();
    }
    return 0;
}
