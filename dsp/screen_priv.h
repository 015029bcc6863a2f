/* The screen's tables and faces. */
#ifndef TONEGATE_DSP_SCREEN_PRIV_H
#define TONEGATE_DSP_SCREEN_PRIV_H

#include "dsp/cpu.h"
#include "dsp/screen.h"

#include <string.h>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

/* Blocks that one call of a face can reach, by place: the lead first, the first one fed at place SCREEN_LEAD. */
#define SCREEN_BLOCKS (SCREEN_FEED_MAX + SCREEN_LEAD)
#define SCREEN_WAVES  (2 * TONE_BANK_TONES)
_Static_assert(SUSPICION_WINDOW == 4, "the faces add four blocks");
_Static_assert(SCREEN_BLOCKS <= SCREEN_LANES, "energies have a lane for each block");

/* A sum of 16 products is shifted right by SCREEN_SHIFT, rounding; four such never leave 16 bits. */
#define SCREEN_SCALE 3000
#define SCREEN_SHIFT 17
#define SCREEN_ROUND (1 << (SCREEN_SHIFT - 1))
/* One step of a correlation, in correlations with waves of amplitude 1. */
#define SCREEN_STEP ((float)(1 << SCREEN_SHIFT) / SCREEN_SCALE)
/* Weights of the tones for differences are 2 sin(omega / 2), over this. */
#define SCREEN_SLOPE_UNIT 1.25f

struct screen_tables {
    /* By pairs of samples, for multiply-and-add of pairs: [place][pair][cosine and sine of each tone][sample]. */
    _Alignas(64) int16_t pairs[SCREEN_BLOCKS][TONE_BANK_BLOCK / 2][SCREEN_WAVES][2];
    /* By samples: [place][sample][cosine and sine of each tone]. */
    _Alignas(64) int16_t samples[SCREEN_BLOCKS][TONE_BANK_BLOCK][SCREEN_WAVES];
    /* By waves: [place][cosine and sine of each tone][sample]. */
    _Alignas(64) int16_t waves[SCREEN_BLOCKS][SCREEN_WAVES][TONE_BANK_BLOCK];
    /* Weights of each wave, times 2^15, as they come; and twice over, as faces of 32 and of 64 bytes hold them. */
    _Alignas(64) int16_t slope[SCREEN_WAVES];
    _Alignas(64) int16_t slope_of_halves[2 * SCREEN_WAVES];   /* tones 0 1 4 5 2 3 6 7 */
    _Alignas(64) int16_t slope_of_quarters[2 * SCREEN_WAVES]; /* tones 0 1 0 1 2 3 2 3 4 5 4 5 6 7 6 7 */
};
extern struct screen_tables screen_waves; /* made by screen_choose() */

#ifdef DSP_HAS_X86
screen_energies screen_energies_sse41;
screen_powers screen_powers_sse41;
screen_energies screen_energies_avx2;
screen_powers screen_powers_avx2;
screen_energies screen_energies_avx512;
screen_powers screen_powers_avx512;
screen_judge screen_judge_sse41;
screen_judge screen_judge_avx2;
screen_judge screen_judge_avx512;
#endif
#ifdef DSP_HAS_NEON
screen_energies screen_energies_neon;
screen_powers screen_powers_neon;
screen_judge screen_judge_neon;
#endif

#define SCREEN_INLINE static inline __attribute__((always_inline))

/* Some windows side by side. No multiplication is fused with a subtraction. */
#ifdef __AVX512F__
#define SCREEN_WIDTH 16
#elif defined(__AVX2__)
#define SCREEN_WIDTH 8
#else
#define SCREEN_WIDTH 4
#endif
typedef float screen_floats __attribute__((vector_size(SCREEN_WIDTH * 4)));
typedef int32_t screen_ints __attribute__((vector_size(SCREEN_WIDTH * 4)));

SCREEN_INLINE void screen_load(screen_floats *out, const int32_t *in)
{
    screen_ints values;
    memcpy(&values, in, sizeof(values));
    *out = __builtin_convertvector(values, screen_floats);
}

#define FLOAT_ONE 0x3f800000 /* 1.0f, bit by bit */

/* All ones where a window passes: power / energy + steep_power / difference is enough, and its first half. */
SCREEN_INLINE void screen_compare(screen_ints *passes, const screen_floats *powers,
                                  const screen_floats *steep_powers, const screen_floats *energies,
                                  const screen_floats *differences, const struct screen_gate *gate)
{
    screen_floats energy = *energies;
    screen_floats power = *powers + gate->power_slack;
    screen_floats steep = *steep_powers + energy * gate->steep_energy_slack + gate->steep_power_slack;
    screen_floats difference = *differences - gate->difference_slack;
    screen_ints is_little = difference < 1.0f;
    difference = (screen_floats)(((screen_ints)difference & ~is_little) | (is_little & FLOAT_ONE));
    screen_ints is_loud = energy >= gate->energy_min;
    screen_ints is_part = power >= energy * gate->power_min;
    screen_ints is_pair =
        power * difference + steep * gate->steep_scale * energy >= energy * difference * gate->powers_min;
    *passes = is_loud & is_part & is_pair;
}

/* The four blocks of each window, two and two. */
SCREEN_INLINE void screen_sum4(screen_floats *sum, const int32_t *first)
{
    screen_floats block[4];
    for (int i = 0; i < 4; i++)
        screen_load(&block[i], first + i);
    *sum = (block[0] + block[1]) + (block[2] + block[3]);
}

/* A bit for each lane. */
SCREEN_INLINE uint32_t screen_bits(const screen_ints *passes)
{
#ifdef __SSE__
    uint32_t bits = 0;
    for (size_t i = 0; i < SCREEN_WIDTH; i += 4) {
        __m128 four;
        memcpy(&four, (const int32_t *)passes + i, sizeof(four));
        bits |= (uint32_t)_mm_movemask_ps(four) << i;
    }
    return bits;
#else
    uint32_t bits = 0;
    for (size_t i = 0; i < SCREEN_WIDTH; i++)
        bits |= (uint32_t)((*passes)[i] & 1) << i;
    return bits;
#endif
}

/* For the faces whose lanes are fewer than SCREEN_LANES. energy and difference have SCREEN_LANES entries, and as many
 * that do not count behind them. */
SCREEN_INLINE uint32_t screen_judge_face(const struct screen_trace *trace, size_t count,
                                         const struct screen_gate *gate)
{
    int32_t energies[SCREEN_LANES + 4] = {0};
    int32_t differences[SCREEN_LANES + 4] = {0};
    uint32_t passing = 0;
    memcpy(energies, trace->energy, sizeof(trace->energy));
    memcpy(differences, trace->difference, sizeof(trace->difference));
    for (size_t at = 0; at < count; at += SCREEN_WIDTH) {
        screen_floats power, steep_power, energy, difference;
        screen_ints passes;
        screen_load(&power, trace->power + at);
        screen_load(&steep_power, trace->steep_power + at);
        screen_sum4(&energy, energies + at);
        screen_sum4(&difference, differences + at);
        screen_compare(&passes, &power, &steep_power, &energy, &difference, gate);
        passing |= screen_bits(&passes) << at;
    }
    return passing & ((1u << count) - 1);
}

#endif
