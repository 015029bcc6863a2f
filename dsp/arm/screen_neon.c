#include "dsp/screen_priv.h"

#include <arm_neon.h>

/* A block lies in two registers: the rows' cosines and sines, and the columns'. */
struct wave {
    int16x8_t row, column;
};

SCREEN_INLINE void add_sample(int32x4_t sum[4], int16_t sample, const int16_t wave[SCREEN_WAVES])
{
    int16x8_t row = vld1q_s16(wave);
    int16x8_t column = vld1q_s16(wave + TONE_BANK_TONES);
    sum[0] = vmlal_n_s16(sum[0], vget_low_s16(row), sample);
    sum[1] = vmlal_n_s16(sum[1], vget_high_s16(row), sample);
    sum[2] = vmlal_n_s16(sum[2], vget_low_s16(column), sample);
    sum[3] = vmlal_n_s16(sum[3], vget_high_s16(column), sample);
}

SCREEN_INLINE int16x8_t narrow(int32x4_t low, int32x4_t high)
{
    return vcombine_s16(vmovn_s32(vshrq_n_s32(low, SCREEN_SHIFT)),
                        vmovn_s32(vshrq_n_s32(high, SCREEN_SHIFT)));
}

SCREEN_INLINE struct wave correlate(const int16_t *pcm, const int16_t (*waves)[SCREEN_WAVES])
{
    int32x4_t sum[4];
    for (int q = 0; q < 4; q++)
        sum[q] = vdupq_n_s32(SCREEN_ROUND);
    for (int i = 0; i < TONE_BANK_BLOCK; i++)
        add_sample(sum, pcm[i], waves[i]);
    return (struct wave){narrow(sum[0], sum[1]), narrow(sum[2], sum[3])};
}

SCREEN_INLINE struct wave sum_of(struct wave a, struct wave b)
{
    return (struct wave){vaddq_s16(a.row, b.row), vaddq_s16(a.column, b.column)};
}

SCREEN_INLINE struct wave weighed(struct wave wave)
{
    return (struct wave){vqrdmulhq_s16(wave.row, vld1q_s16(screen_waves.slope)),
                         vqrdmulhq_s16(wave.column, vld1q_s16(screen_waves.slope + TONE_BANK_TONES))};
}

/* The greatest of four tones' powers. */
SCREEN_INLINE int32_t greatest(int16x8_t waves)
{
    int32x4_t low = vmull_s16(vget_low_s16(waves), vget_low_s16(waves));
    int32x4_t high = vmull_s16(vget_high_s16(waves), vget_high_s16(waves));
    return vmaxvq_s32(vpaddq_s32(low, high));
}

SCREEN_INLINE int32_t strongest(struct wave wave)
{
    return greatest(wave.row) + greatest(wave.column);
}

/* Pairs of squares are added before they are cut off: as unsigned numbers two always fit. */
SCREEN_INLINE uint32x4_t energy_of(int16x8_t samples)
{
    uint32x4_t low = vreinterpretq_u32_s32(vmull_s16(vget_low_s16(samples), vget_low_s16(samples)));
    uint32x4_t high = vreinterpretq_u32_s32(vmull_s16(vget_high_s16(samples), vget_high_s16(samples)));
    return vshrq_n_u32(vpaddq_u32(low, high), 4);
}

SCREEN_INLINE int32_t sum_of_energies(int16x8_t early, int16x8_t late)
{
    return (int32_t)vaddvq_u32(vaddq_u32(energy_of(early), energy_of(late)));
}

SCREEN_INLINE void energies_keep(const int16_t *pcm, size_t count, struct screen_trace *trace)
{
    for (size_t place = 0; place < count; place++, pcm += TONE_BANK_BLOCK)
        trace->energy[place] = sum_of_energies(vld1q_s16(pcm), vld1q_s16(pcm + 8));
}

SCREEN_INLINE void differences_keep(const int16_t *pcm, size_t count, struct screen_trace *trace)
{
    for (size_t place = 0; place < count; place++, pcm += TONE_BANK_BLOCK) {
        int16x8_t early = vld1q_s16(pcm);
        /* The step to the first sample is none: it is taken from itself. */
        int16x8_t before = vextq_s16(vdupq_laneq_s16(early, 0), early, 7);
        trace->difference[place] =
            sum_of_energies(vqsubq_s16(early, before), vqsubq_s16(vld1q_s16(pcm + 8), vld1q_s16(pcm + 7)));
    }
}

uint32_t screen_worth_neon(const int16_t *pcm, size_t count, const struct screen_gate *gate,
                           struct screen_trace *trace)
{
    const int16_t *lead = pcm - SCREEN_LEAD * TONE_BANK_BLOCK;
    energies_keep(lead, SCREEN_LEAD + count, trace);
    uint32_t loud = screen_loud_face(trace, count, gate);
    if (!loud)
        return 0;
    differences_keep(lead, SCREEN_LEAD + count, trace);
    return loud & screen_between_face(trace, count, gate);
}

uint32_t screen_powers_neon(const int16_t *pcm, size_t from, size_t count, const struct screen_gate *gate,
                            struct screen_trace *trace)
{
    struct wave two[SCREEN_BLOCKS]; /* this block and the one before */
    struct wave before = {vdupq_n_s16(0), vdupq_n_s16(0)};
    pcm = pcm + from * TONE_BANK_BLOCK - SCREEN_LEAD * TONE_BANK_BLOCK;
    for (size_t place = 0; place < SCREEN_LEAD + count; place++, pcm += TONE_BANK_BLOCK) {
        struct wave now = correlate(pcm, screen_waves.samples[place]);
        two[place] = sum_of(now, before);
        before = now;
        if (place < SCREEN_LEAD)
            continue;
        struct wave four = sum_of(two[place], two[place - 2]);
        trace->power[from + place - SCREEN_LEAD] = strongest(four);
        trace->steep_power[from + place - SCREEN_LEAD] = strongest(weighed(four));
    }
    return screen_judge_face(trace, from, count, gate);
}
