/* Any packets, each led by its length and its delay: the tape never writes outside itself and counts every one. */
#include "bench/phones/rtp_tape.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct rtp_tape tape;
    struct mono_time at = {NS_PER_S};
    uint64_t fed = 0;
    rtp_tape_init(&tape, 101);
    while (length >= 2) {
        size_t count = bytes[0] < length - 2 ? bytes[0] : length - 2;
        at = mono_add_ms(at, bytes[1]);
        enum err err = rtp_tape_packet(&tape, bytes + 2, count, at);
        ASSERT(err == OK || err == ERR_SYNTAX || err == ERR_FULL);
        fed++;
        bytes += 2 + count;
        length -= 2 + count;
    }
    ASSERT(tape.counts.packets + tape.counts.refused == fed);
    ASSERT(tape.sample_count <= tape.capacity);
    rtp_tape_release(&tape);
    return 0;
}
