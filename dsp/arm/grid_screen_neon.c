#include "dsp/grid_screen_priv.h"

#include <arm_neon.h>

#define VECTOR 8 /* samples */

/* Pairs of squares are added before they are cut off: as unsigned numbers two always fit. */
GRID_INLINE uint32x4_t squares_of(int16x8_t samples)
{
    uint32x4_t low = vreinterpretq_u32_s32(vmull_s16(vget_low_s16(samples), vget_low_s16(samples)));
    uint32x4_t high = vreinterpretq_u32_s32(vmull_s16(vget_high_s16(samples), vget_high_s16(samples)));
    return vshrq_n_u32(vpaddq_u32(low, high), GRID_SHIFT);
}

GRID_INLINE void energies(const int16_t *pcm, size_t count, int32_t sums[GRID_MAX])
{
    for (size_t window = 0; window < count; window++, pcm += GRID_WINDOW) {
        uint32x4_t sum = vdupq_n_u32(0);
        for (size_t i = 0; i < GRID_WINDOW; i += VECTOR)
            sum = vaddq_u32(sum, squares_of(vld1q_s16(pcm + i)));
        sums[window] = (int32_t)vaddvq_u32(sum);
    }
}

/* The step to the first sample is none: it is taken from itself. */
GRID_INLINE void differences(const int16_t *pcm, size_t count, int32_t sums[GRID_MAX])
{
    for (size_t window = 0; window < count; window++, pcm += GRID_WINDOW) {
        int16x8_t now = vld1q_s16(pcm);
        uint32x4_t sum = squares_of(vqsubq_s16(now, vextq_s16(vdupq_laneq_s16(now, 0), now, 7)));
        for (size_t i = VECTOR; i < GRID_WINDOW; i += VECTOR)
            sum = vaddq_u32(sum, squares_of(vqsubq_s16(vld1q_s16(pcm + i), vld1q_s16(pcm + i - 1))));
        sums[window] = (int32_t)vaddvq_u32(sum);
    }
}

GRID_INLINE grid_floats power_of(int32x4_t cosine, int32x4_t sine)
{
    float32x4_t of_cosine = vcvtq_f32_s32(cosine);
    float32x4_t of_sine = vcvtq_f32_s32(sine);
    return (grid_floats)(of_cosine * of_cosine + of_sine * of_sine);
}

/* Cosines of rows and columns, then sines. */
GRID_INLINE struct grid_powers correlate(const int16_t *pcm)
{
    int32x4_t sum[4] = {vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)};
    for (size_t i = 0; i < GRID_WINDOW; i++) {
        int16x8_t cosine = vld1q_s16(grid_waves.samples[i]);
        int16x8_t sine = vld1q_s16(grid_waves.samples[i] + TONE_BANK_TONES);
        sum[0] = vmlal_n_s16(sum[0], vget_low_s16(cosine), pcm[i]);
        sum[1] = vmlal_n_s16(sum[1], vget_high_s16(cosine), pcm[i]);
        sum[2] = vmlal_n_s16(sum[2], vget_low_s16(sine), pcm[i]);
        sum[3] = vmlal_n_s16(sum[3], vget_high_s16(sine), pcm[i]);
    }
    return (struct grid_powers){power_of(sum[0], sum[2]), power_of(sum[1], sum[3])};
}

uint32_t grid_hear_neon(const int16_t *pcm, size_t count, const struct grid_gate *gate,
                        struct grid_trace *trace)
{
    return grid_hear_face(pcm, count, gate, trace, energies, differences, correlate);
}
