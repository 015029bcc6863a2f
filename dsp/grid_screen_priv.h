/* The grid screen's tables and faces. A face brings energies and correlations, what is made of them is written once, in the
 * compiler's vectors. */
#ifndef TONEGATE_DSP_GRID_SCREEN_PRIV_H
#define TONEGATE_DSP_GRID_SCREEN_PRIV_H

#include "dsp/cpu.h"
#include "dsp/grid_screen.h"

#include <stdbool.h>
#include <string.h>
#if defined(__AVX512DQ__) && defined(__AVX512VL__)
#include <immintrin.h>
#elif defined(__SSE__)
#include <xmmintrin.h>
#endif

#define GRID_WAVES (2 * TONE_BANK_TONES) /* the cosines of all tones, then the sines */
/* Amplitude of the waves: 64 products with the loudest samples must fit 32 bits. */
#define GRID_SCALE 1500
/* Squares of two samples are added, then shifted right by so much: 32 such must fit 32 bits. */
#define GRID_SHIFT 6

struct grid_tables {
    /* By pairs of samples, for multiply-and-add of pairs: [pair][wave][sample]. */
    _Alignas(64) int16_t pairs[GRID_WINDOW / 2][GRID_WAVES][2];
    _Alignas(64) int16_t samples[GRID_WINDOW][GRID_WAVES];
    _Alignas(64) int16_t waves[GRID_WAVES][GRID_WINDOW];
    _Alignas(32) float slope[TONE_BANK_TONES]; /* what differences make of each tone's power */
};
extern struct grid_tables grid_waves; /* made by grid_choose() */

#ifdef DSP_HAS_X86
grid_hear grid_hear_sse41;
grid_hear grid_hear_avx2;
grid_hear grid_hear_avx512;
#endif
#ifdef DSP_HAS_NEON
grid_hear grid_hear_neon;
#endif

#define GRID_INLINE static inline __attribute__((always_inline))

/* Four windows or four tones side by side. No multiplication is fused with an addition. */
typedef float grid_floats __attribute__((vector_size(16)));
typedef int32_t grid_ints __attribute__((vector_size(16)));

/* A tone each. */
struct grid_powers {
    grid_floats row;
    grid_floats column;
};

/* What a face brings. Windows from count on are not read; what is said of them does not count. */
typedef void grid_sums(const int16_t *pcm, size_t count, int32_t sums[GRID_MAX]);
typedef struct grid_powers grid_correlate(const int16_t *pcm);

GRID_INLINE grid_floats grid_floats_of(const int32_t *in)
{
    grid_ints values;
    memcpy(&values, in, sizeof(values));
    return __builtin_convertvector(values, grid_floats);
}

/* A bit for each lane. */
GRID_INLINE uint32_t grid_bits(grid_ints passes)
{
#if defined(__AVX512DQ__) && defined(__AVX512VL__)
    return _mm_movepi32_mask((__m128i)passes);
#elif defined(__SSE__)
    return (uint32_t)_mm_movemask_ps((__m128)passes);
#else
    uint32_t bits = 0;
    for (size_t i = 0; i < GRID_MAX; i++)
        bits |= (uint32_t)(passes[i] & 1) << i;
    return bits;
#endif
}

GRID_INLINE grid_floats grid_greater(grid_floats a, grid_floats b)
{
#ifdef __SSE__
    return (grid_floats)_mm_max_ps((__m128)a, (__m128)b);
#else
    grid_ints is_less = a < b;
    return (grid_floats)(((grid_ints)b & is_less) | ((grid_ints)a & ~is_less));
#endif
}

/* The strongest row and the strongest column, in the first two lanes. */
GRID_INLINE grid_floats grid_strongest(grid_floats row, grid_floats column)
{
    grid_floats best = grid_greater(__builtin_shufflevector(row, column, 0, 4, 1, 5),
                                    __builtin_shufflevector(row, column, 2, 6, 3, 7));
    return grid_greater(best, __builtin_shufflevector(best, best, 2, 3, 0, 1));
}

/* Of a window that is worth it: power / energy + steep power / difference is enough, and so are its first half and the
 * column's part of that. */
GRID_INLINE bool grid_is_full(const int16_t *pcm, size_t i, const struct grid_gate *gate,
                              struct grid_trace *trace, grid_correlate *correlate)
{
    struct grid_powers powers = correlate(pcm + i * GRID_WINDOW);
    grid_floats row, column;
    memcpy(&row, grid_waves.slope, sizeof(row));
    memcpy(&column, grid_waves.slope + 4, sizeof(column));
    grid_floats plain = grid_strongest(powers.row, powers.column);
    grid_floats weighed = grid_strongest(powers.row * row, powers.column * column);
    float power = plain[0] + plain[1];
    float steep = weighed[0] + weighed[1];
    float energy = (float)trace->energy[i];
    float difference = (float)trace->difference[i];
    trace->power[i] = power;
    trace->steep_power[i] = steep;
    return (power >= energy * gate->share_min) & (plain[1] >= energy * gate->column_min) &
           (power * difference + steep * energy >= energy * difference * gate->shares_min);
}

GRID_INLINE uint32_t grid_hear_face(const int16_t *pcm, size_t count, const struct grid_gate *gate,
                                    struct grid_trace *trace, grid_sums *energies, grid_sums *differences,
                                    grid_correlate *correlate)
{
    energies(pcm, count, trace->energy);
    grid_floats energy = grid_floats_of(trace->energy);
    uint32_t worth = grid_bits(energy >= gate->energy_min) & ((1u << count) - 1);
    if (!worth)
        return 0;
    differences(pcm, count, trace->difference);
    grid_floats difference = grid_floats_of(trace->difference);
    worth &= grid_bits((difference >= energy * gate->ratio_min) & (difference <= energy * gate->ratio_max));
    uint32_t full = 0;
    for (; worth; worth &= worth - 1) {
        unsigned i = (unsigned)__builtin_ctz(worth);
        full |= (uint32_t)grid_is_full(pcm, i, gate, trace, correlate) << i;
    }
    return full;
}

#endif
