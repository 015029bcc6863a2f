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
screen_worth screen_worth_sse41;
screen_powers screen_powers_sse41;
screen_worth screen_worth_avx2;
screen_powers screen_powers_avx2;
screen_worth screen_worth_avx512;
screen_powers screen_powers_avx512;
#endif
#ifdef DSP_HAS_NEON
screen_worth screen_worth_neon;
screen_powers screen_powers_neon;
#endif

#define SCREEN_INLINE static inline __attribute__((always_inline))

/* Some windows side by side. No multiplication is fused with an addition. */
#ifdef __AVX512F__
#define SCREEN_WIDTH 16
#else
#define SCREEN_WIDTH 4
#endif
typedef float screen_floats __attribute__((vector_size(SCREEN_WIDTH * 4)));
typedef int32_t screen_ints __attribute__((vector_size(SCREEN_WIDTH * 4)));

/* All ones where the ratio is a key's. */
SCREEN_INLINE screen_ints screen_is_between(screen_floats energy, screen_floats difference,
                                            const struct screen_gate *gate)
{
    return (difference >= energy * gate->ratio_min) & (difference <= energy * gate->ratio_max);
}

#define FLOAT_ONE 0x3f800000 /* 1.0f, bit by bit */

/* All ones where a window passes: power / energy + steep_power / difference is enough, and its first half. */
SCREEN_INLINE screen_ints screen_passes(screen_floats power, screen_floats steep, screen_floats energy,
                                        screen_floats difference, const struct screen_gate *gate)
{
    power += gate->power_slack;
    steep += energy * gate->steep_energy_slack + gate->steep_power_slack;
    difference -= gate->difference_slack;
    screen_ints is_little = difference < 1.0f;
    difference = (screen_floats)(((screen_ints)difference & ~is_little) | (is_little & FLOAT_ONE));
    screen_ints is_part = power >= energy * gate->power_min;
    screen_ints is_pair =
        power * difference + steep * gate->steep_scale * energy >= energy * difference * gate->powers_min;
    return is_part & is_pair;
}

#ifndef __AVX512F__
SCREEN_INLINE screen_floats screen_floats_of(const int32_t *in)
{
    screen_ints values;
    memcpy(&values, in, sizeof(values));
    return __builtin_convertvector(values, screen_floats);
}

/* A bit for each lane. */
SCREEN_INLINE uint32_t screen_bits(screen_ints passes)
{
#ifdef __SSE__
    return (uint32_t)_mm_movemask_ps((__m128)passes);
#else
    uint32_t bits = 0;
    for (size_t i = 0; i < SCREEN_WIDTH; i++)
        bits |= (uint32_t)(passes[i] & 1) << i;
    return bits;
#endif
}

#define SCREEN_VECTORS (SCREEN_LANES / SCREEN_WIDTH)

/* The four blocks of each window, two and two. All vectors but the last are whole; nobody asks for what is not in it. */
SCREEN_INLINE void screen_windows(const int32_t *block, float *window)
{
    screen_floats one[SCREEN_VECTORS + 1] = {{0}};
    screen_floats two[SCREEN_VECTORS + 1] = {{0}};
    for (size_t v = 0; v < SCREEN_VECTORS; v++)
        one[v] = screen_floats_of(block + v * SCREEN_WIDTH);
    for (size_t v = 0; v < SCREEN_VECTORS; v++)
        two[v] = one[v] + __builtin_shufflevector(one[v], one[v + 1], 1, 2, 3, 4);
    for (size_t v = 0; v < SCREEN_VECTORS; v++) {
        screen_floats four = two[v] + __builtin_shufflevector(two[v], two[v + 1], 2, 3, 4, 5);
        memcpy(window + v * SCREEN_WIDTH, &four, sizeof(four));
    }
}

/* Which windows are loud enough? */
SCREEN_INLINE uint32_t screen_loud_face(struct screen_trace *trace, size_t count,
                                        const struct screen_gate *gate)
{
    uint32_t loud = 0;
    screen_windows(trace->energy, trace->window_energy);
    for (size_t at = 0; at < count; at += SCREEN_WIDTH) {
        screen_floats energy;
        memcpy(&energy, trace->window_energy + at, sizeof(energy));
        loud |= screen_bits(energy >= gate->energy_min) << at;
    }
    return loud & ((1u << count) - 1);
}

/* And of which is the ratio a key's? */
SCREEN_INLINE uint32_t screen_between_face(struct screen_trace *trace, size_t count,
                                           const struct screen_gate *gate)
{
    uint32_t between = 0;
    screen_windows(trace->difference, trace->window_difference);
    for (size_t at = 0; at < count; at += SCREEN_WIDTH) {
        screen_floats energy, difference;
        memcpy(&energy, trace->window_energy + at, sizeof(energy));
        memcpy(&difference, trace->window_difference + at, sizeof(difference));
        between |= screen_bits(screen_is_between(energy, difference, gate)) << at;
    }
    return between;
}

/* The trace has as many lanes that do not count behind the last window as a vector may hold. */
SCREEN_INLINE uint32_t screen_judge_face(const struct screen_trace *trace, size_t from, size_t count,
                                         const struct screen_gate *gate)
{
    uint32_t passing = 0;
    for (size_t i = 0; i < count; i += SCREEN_WIDTH) {
        size_t at = from + i;
        screen_floats energy, difference;
        memcpy(&energy, trace->window_energy + at, sizeof(energy));
        memcpy(&difference, trace->window_difference + at, sizeof(difference));
        passing |=
            screen_bits(screen_passes(screen_floats_of(trace->power + at),
                                      screen_floats_of(trace->steep_power + at), energy, difference, gate))
            << i;
    }
    return passing & ((1u << count) - 1);
}
#endif

#endif
