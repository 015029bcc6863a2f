#include "dsp/grid_screen_priv.h"

#include <immintrin.h>

#define VECTOR  32                    /* samples */
#define QUARTER (GRID_WINDOW / 2 / 4) /* pairs of samples */

GRID_INLINE __m512i load(const int16_t *pcm)
{
    return _mm512_loadu_si512((const void *)pcm);
}

GRID_INLINE __m512i squares_of(__m512i samples)
{
    return _mm512_srli_epi32(_mm512_madd_epi16(samples, samples), GRID_SHIFT);
}

GRID_INLINE __m512i add_pairs(__m512i a, __m512i b)
{
    __m512 even = _mm512_shuffle_ps((__m512)a, (__m512)b, 0x88);
    __m512 odd = _mm512_shuffle_ps((__m512)a, (__m512)b, 0xdd);
    return _mm512_add_epi32((__m512i)even, (__m512i)odd);
}

GRID_INLINE void keep(const __m512i window[GRID_MAX], int32_t sums[GRID_MAX])
{
    __m512i quarters = add_pairs(add_pairs(window[0], window[1]), add_pairs(window[2], window[3]));
    __m256i halves =
        _mm256_add_epi32(_mm512_castsi512_si256(quarters), _mm512_extracti64x4_epi64(quarters, 1));
    _mm_store_si128((__m128i *)(void *)sums,
                    _mm_add_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1)));
}

GRID_INLINE void energies(const int16_t *pcm, size_t count, int32_t sums[GRID_MAX])
{
    __m512i window[GRID_MAX];
#pragma GCC unroll 4
    for (size_t i = 0; i < GRID_MAX; i++, pcm += GRID_WINDOW)
        window[i] = i < count ? _mm512_add_epi32(squares_of(load(pcm)), squares_of(load(pcm + VECTOR)))
                              : _mm512_setzero_si512();
    keep(window, sums);
}

/* The step to the first sample is none, and nothing before it is read. */
GRID_INLINE __m512i steps_of(const int16_t *pcm)
{
    __m512i before = _mm512_maskz_loadu_epi16(0xfffffffe, pcm - 1);
    __m512i early = _mm512_maskz_subs_epi16(0xfffffffe, load(pcm), before);
    __m512i late = _mm512_subs_epi16(load(pcm + VECTOR), load(pcm + VECTOR - 1));
    return _mm512_add_epi32(squares_of(early), squares_of(late));
}

GRID_INLINE void differences(const int16_t *pcm, size_t count, int32_t sums[GRID_MAX])
{
    __m512i window[GRID_MAX];
#pragma GCC unroll 4
    for (size_t i = 0; i < GRID_MAX; i++, pcm += GRID_WINDOW)
        window[i] = i < count ? steps_of(pcm) : _mm512_setzero_si512();
    keep(window, sums);
}

/* Four sums that do not wait for each other. */
GRID_INLINE struct grid_powers correlate(const int16_t *pcm)
{
    __m512i sum[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(),
                      _mm512_setzero_si512()};
#pragma GCC unroll 8
    for (int i = 0; i < QUARTER; i++) {
#pragma GCC unroll 4
        for (int q = 0; q < 4; q++) {
            int32_t pair;
            memcpy(&pair, pcm + 2 * (i + q * QUARTER), sizeof(pair));
            __m512i wave = _mm512_load_si512((const void *)grid_waves.pairs[i + q * QUARTER]);
            sum[q] = _mm512_dpwssd_epi32(sum[q], wave, _mm512_set1_epi32(pair));
        }
    }
    __m512 waves = _mm512_cvtepi32_ps(
        _mm512_add_epi32(_mm512_add_epi32(sum[0], sum[1]), _mm512_add_epi32(sum[2], sum[3])));
    waves *= waves;
    __m256 power = _mm512_castps512_ps256(waves) + _mm512_extractf32x8_ps(waves, 1);
    return (struct grid_powers){(grid_floats)_mm256_castps256_ps128(power),
                                (grid_floats)_mm256_extractf128_ps(power, 1)};
}

uint32_t grid_hear_avx512(const int16_t *pcm, size_t count, const struct grid_gate *gate,
                          struct grid_trace *trace)
{
    return grid_hear_face(pcm, count, gate, trace, energies, differences, correlate);
}
