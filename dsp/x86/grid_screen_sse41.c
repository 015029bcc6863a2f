#include "dsp/grid_screen_priv.h"

#include <smmintrin.h>

#define VECTOR 8 /* samples */

GRID_INLINE __m128i load(const int16_t *pcm)
{
    return _mm_loadu_si128((const __m128i *)(const void *)pcm);
}

GRID_INLINE __m128i squares_of(__m128i samples)
{
    return _mm_srli_epi32(_mm_madd_epi16(samples, samples), GRID_SHIFT);
}

GRID_INLINE void keep(const __m128i window[GRID_MAX], int32_t sums[GRID_MAX])
{
    _mm_store_si128((__m128i *)(void *)sums, _mm_hadd_epi32(_mm_hadd_epi32(window[0], window[1]),
                                                            _mm_hadd_epi32(window[2], window[3])));
}

GRID_INLINE __m128i energy_of(const int16_t *pcm)
{
    __m128i sum = _mm_setzero_si128();
    for (size_t i = 0; i < GRID_WINDOW; i += VECTOR)
        sum = _mm_add_epi32(sum, squares_of(load(pcm + i)));
    return sum;
}

/* The step to the first sample is none, and nothing before it is read. */
GRID_INLINE __m128i steps_of(const int16_t *pcm)
{
    __m128i now = load(pcm);
    __m128i sum =
        squares_of(_mm_blend_epi16(_mm_subs_epi16(now, _mm_slli_si128(now, 2)), _mm_setzero_si128(), 1));
    for (size_t i = VECTOR; i < GRID_WINDOW; i += VECTOR)
        sum = _mm_add_epi32(sum, squares_of(_mm_subs_epi16(load(pcm + i), load(pcm + i - 1))));
    return sum;
}

GRID_INLINE void energies(const int16_t *pcm, size_t count, int32_t sums[GRID_MAX])
{
    __m128i window[GRID_MAX];
    for (size_t i = 0; i < GRID_MAX; i++, pcm += GRID_WINDOW)
        window[i] = i < count ? energy_of(pcm) : _mm_setzero_si128();
    keep(window, sums);
}

GRID_INLINE void differences(const int16_t *pcm, size_t count, int32_t sums[GRID_MAX])
{
    __m128i window[GRID_MAX];
    for (size_t i = 0; i < GRID_MAX; i++, pcm += GRID_WINDOW)
        window[i] = i < count ? steps_of(pcm) : _mm_setzero_si128();
    keep(window, sums);
}

GRID_INLINE grid_floats power_of(__m128i cosine, __m128i sine)
{
    __m128 of_cosine = _mm_cvtepi32_ps(cosine);
    __m128 of_sine = _mm_cvtepi32_ps(sine);
    return (grid_floats)(of_cosine * of_cosine + of_sine * of_sine);
}

/* Cosines of rows and columns, then sines. */
GRID_INLINE struct grid_powers correlate(const int16_t *pcm)
{
    __m128i sum[4] = {_mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128()};
#pragma GCC unroll 8
    for (int i = 0; i < GRID_WINDOW / 2; i++) {
        int32_t pair;
        memcpy(&pair, pcm + 2 * i, sizeof(pair));
        __m128i both = _mm_set1_epi32(pair);
        const __m128i *wave = (const __m128i *)(const void *)grid_waves.pairs[i];
#pragma GCC unroll 4
        for (int q = 0; q < 4; q++)
            sum[q] = _mm_add_epi32(sum[q], _mm_madd_epi16(both, _mm_load_si128(wave + q)));
    }
    return (struct grid_powers){power_of(sum[0], sum[2]), power_of(sum[1], sum[3])};
}

uint32_t grid_hear_sse41(const int16_t *pcm, size_t count, const struct grid_gate *gate,
                         struct grid_trace *trace)
{
    return grid_hear_face(pcm, count, gate, trace, energies, differences, correlate);
}
