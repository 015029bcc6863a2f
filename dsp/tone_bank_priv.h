/* The faces of the tone bank; each is bound only where the processor has what its name says. */
#ifndef TONEGATE_DSP_TONE_BANK_PRIV_H
#define TONEGATE_DSP_TONE_BANK_PRIV_H

#include "dsp/cpu.h"
#include "dsp/tone_bank.h"

/* For the faces that have nothing better. */
static inline uint32_t tone_bank_difference(const int16_t *pcm)
{
    uint32_t sum = 0;
    for (int i = 1; i < TONE_BANK_BLOCK; i++) {
        uint32_t step = (uint32_t)(pcm[i] - pcm[i - 1]);
        sum += step * step >> 4; /* at most 65535 squared: the sign does not matter modulo 2^32 */
    }
    return sum;
}

extern const int16_t tone_bank_pairs[TONE_BANK_BLOCK / 2][2 * TONE_BANK_TONES][2];

#ifdef DSP_HAS_X86
tone_bank_blocks tone_bank_blocks_sse41;
tone_bank_blocks tone_bank_blocks_avx2;
tone_bank_blocks tone_bank_blocks_avx512;
#endif

#ifdef DSP_HAS_NEON
tone_bank_blocks tone_bank_blocks_neon;
#endif

#endif
