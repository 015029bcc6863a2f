/* tone_bank_difference() with AVX2, for the faces that have it. */
#ifndef TONEGATE_DSP_X86_TONE_BANK_DIFFERENCE_H
#define TONEGATE_DSP_X86_TONE_BANK_DIFFERENCE_H

#ifdef __AVX2__
#include <immintrin.h>
#include <stdint.h>

static inline __m256i tone_bank_wide(const int16_t *pcm)
{
    return _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)(const void *)pcm));
}

static inline __m256i tone_bank_steps(const int16_t *pcm)
{
    __m256i step = _mm256_sub_epi32(tone_bank_wide(pcm + 1), tone_bank_wide(pcm));
    return _mm256_srli_epi32(_mm256_mullo_epi32(step, step), 4);
}

/* Steps 1..8 and 8..15 of a block, the middle one counted once. */
static inline uint32_t tone_bank_difference_avx2(const int16_t *pcm)
{
    __m256i early = _mm256_blend_epi32(tone_bank_steps(pcm), _mm256_setzero_si256(), 0x80);
    __m256i sums = _mm256_add_epi32(early, tone_bank_steps(pcm + 7));
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1));
    return (uint32_t)_mm_cvtsi128_si32(sum);
}
#endif

#endif
