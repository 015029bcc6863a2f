#include "testvectors/suspicion_run.h"

#include "dsp/cpu.h"

#include <string.h>

bool suspicion_run(const struct suspicion *suspicion, const int16_t *pcm, size_t block_count,
                   suspicion_run_h *each, void *owner)
{
    const struct tone_bank_face *bank = tone_bank_choose(dsp_cpu_flags());
    struct tone_block blocks[SUSPICION_RUN];
    struct suspicion_stretch stretch;
    memset(blocks, 0, sizeof(blocks));
    for (size_t at = 0; at < block_count;) {
        size_t count = block_count - at < SUSPICION_FEED_MAX ? block_count - at : SUSPICION_FEED_MAX;
        bank->blocks(pcm + at * TONE_BANK_BLOCK, count, blocks + SUSPICION_PAST);
        suspicion_hear(suspicion, blocks, count, &stretch);
        for (size_t i = 0; i < count; i++) {
            if (!each(owner, &stretch, i, at + i))
                return false;
        }
        memmove(blocks, blocks + count, SUSPICION_PAST * sizeof(blocks[0]));
        at += count;
    }
    return true;
}
