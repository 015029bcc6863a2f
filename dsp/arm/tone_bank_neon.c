#include "dsp/tone_bank_priv.h"

#include <arm_neon.h>

/* One sample at a time against all sixteen waves. */
static inline void add_sample(int32x4_t sum[4], int16_t sample, const int16_t wave[2 * TONE_BANK_TONES])
{
    int16x8_t cosine = vld1q_s16(wave);
    int16x8_t sine = vld1q_s16(wave + TONE_BANK_TONES);
    sum[0] = vmlal_n_s16(sum[0], vget_low_s16(cosine), sample);
    sum[1] = vmlal_n_s16(sum[1], vget_high_s16(cosine), sample);
    sum[2] = vmlal_n_s16(sum[2], vget_low_s16(sine), sample);
    sum[3] = vmlal_n_s16(sum[3], vget_high_s16(sine), sample);
}

/* Pairs of squares are added before they are cut off: as unsigned numbers two always fit. */
static inline uint32x4_t energy_of(int16x8_t samples)
{
    uint32x4_t low = vreinterpretq_u32_s32(vmull_s16(vget_low_s16(samples), vget_low_s16(samples)));
    uint32x4_t high = vreinterpretq_u32_s32(vmull_s16(vget_high_s16(samples), vget_high_s16(samples)));
    return vshrq_n_u32(vpaddq_u32(low, high), 4);
}

void tone_bank_blocks_neon(const int16_t *pcm, size_t block_count, struct tone_block *out)
{
    for (size_t k = 0; k < block_count; k++, pcm += TONE_BANK_BLOCK, out++) {
        int32x4_t sum[4] = {vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)};
        for (int i = 0; i < TONE_BANK_BLOCK; i++)
            add_sample(sum, pcm[i], tone_bank_waves[i]);
        vst1q_s32(out->cosine, sum[0]);
        vst1q_s32(out->cosine + 4, sum[1]);
        vst1q_s32(out->sine, sum[2]);
        vst1q_s32(out->sine + 4, sum[3]);
        out->energy = vaddvq_u32(vaddq_u32(energy_of(vld1q_s16(pcm)), energy_of(vld1q_s16(pcm + 8))));
        out->difference = tone_bank_difference(pcm);
    }
}
