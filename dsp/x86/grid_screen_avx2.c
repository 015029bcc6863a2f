#include "dsp/grid_screen_priv.h"

#include <immintrin.h>

#define VECTOR 16 /* samples */

GRID_INLINE __m256i load(const int16_t *pcm)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)pcm);
}

GRID_INLINE __m256i squares_of(__m256i samples)
{
    return _mm256_srli_epi32(_mm256_madd_epi16(samples, samples), GRID_SHIFT);
}

GRID_INLINE void keep(const __m256i window[GRID_MAX], int32_t sums[GRID_MAX])
{
    __m256i pairs =
        _mm256_hadd_epi32(_mm256_hadd_epi32(window[0], window[1]), _mm256_hadd_epi32(window[2], window[3]));
    _mm_store_si128((__m128i *)(void *)sums,
                    _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1)));
}

GRID_INLINE __m256i energy_of(const int16_t *pcm)
{
    __m256i sum = _mm256_setzero_si256();
    for (size_t i = 0; i < GRID_WINDOW; i += VECTOR)
        sum = _mm256_add_epi32(sum, squares_of(load(pcm + i)));
    return sum;
}

/* The step to the first sample is none, and nothing before it is read. */
GRID_INLINE __m256i steps_of(const int16_t *pcm)
{
    __m256i now = load(pcm);
    __m256i before = _mm256_alignr_epi8(now, _mm256_permute2x128_si256(now, now, 0x08), 14);
    __m256i sum = squares_of(_mm256_and_si256(_mm256_subs_epi16(now, before),
                                              _mm256_setr_epi32(-65536, -1, -1, -1, -1, -1, -1, -1)));
    for (size_t i = VECTOR; i < GRID_WINDOW; i += VECTOR)
        sum = _mm256_add_epi32(sum, squares_of(_mm256_subs_epi16(load(pcm + i), load(pcm + i - 1))));
    return sum;
}

GRID_INLINE void energies(const int16_t *pcm, size_t count, int32_t sums[GRID_MAX])
{
    __m256i window[GRID_MAX];
    for (size_t i = 0; i < GRID_MAX; i++, pcm += GRID_WINDOW)
        window[i] = i < count ? energy_of(pcm) : _mm256_setzero_si256();
    keep(window, sums);
}

GRID_INLINE void differences(const int16_t *pcm, size_t count, int32_t sums[GRID_MAX])
{
    __m256i window[GRID_MAX];
    for (size_t i = 0; i < GRID_MAX; i++, pcm += GRID_WINDOW)
        window[i] = i < count ? steps_of(pcm) : _mm256_setzero_si256();
    keep(window, sums);
}

GRID_INLINE struct grid_powers correlate(const int16_t *pcm)
{
    __m256i cosine = _mm256_setzero_si256();
    __m256i sine = _mm256_setzero_si256();
#pragma GCC unroll 32
    for (int i = 0; i < GRID_WINDOW / 2; i++) {
        int32_t pair;
        memcpy(&pair, pcm + 2 * i, sizeof(pair));
        __m256i both = _mm256_set1_epi32(pair);
        const __m256i *wave = (const __m256i *)(const void *)grid_waves.pairs[i];
        cosine = _mm256_add_epi32(cosine, _mm256_madd_epi16(both, _mm256_load_si256(wave)));
        sine = _mm256_add_epi32(sine, _mm256_madd_epi16(both, _mm256_load_si256(wave + 1)));
    }
    __m256 of_cosine = _mm256_cvtepi32_ps(cosine);
    __m256 of_sine = _mm256_cvtepi32_ps(sine);
    __m256 power = of_cosine * of_cosine + of_sine * of_sine;
    return (struct grid_powers){(grid_floats)_mm256_castps256_ps128(power),
                                (grid_floats)_mm256_extractf128_ps(power, 1)};
}

uint32_t grid_hear_avx2(const int16_t *pcm, size_t count, const struct grid_gate *gate,
                        struct grid_trace *trace)
{
    return grid_hear_face(pcm, count, gate, trace, energies, differences, correlate);
}
