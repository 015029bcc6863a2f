#include "dsp/tone_bank_priv.h"
#include "dsp/x86/tone_bank_difference.h"

#include <immintrin.h>
#include <string.h>

static inline __m256i both_of(const int16_t *pcm)
{
    int32_t pair;
    memcpy(&pair, pcm, sizeof(pair));
    return _mm256_set1_epi32(pair);
}

static inline uint32_t energy_of(const int16_t *pcm)
{
    __m256i samples = _mm256_loadu_si256((const __m256i *)(const void *)pcm);
    __m256i squares = _mm256_srli_epi32(_mm256_madd_epi16(samples, samples), 4);
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(squares), _mm256_extracti128_si256(squares, 1));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1));
    return (uint32_t)_mm_cvtsi128_si32(sum);
}

/* Up to four blocks side by side, so that every wave is loaded once for all of them. */
static inline __attribute__((always_inline)) void some_blocks(const int16_t *pcm, int count,
                                                              struct tone_block *out)
{
    __m256i cosine[4];
    __m256i sine[4];
    for (int b = 0; b < count; b++)
        cosine[b] = sine[b] = _mm256_setzero_si256();
    for (int pair = 0; pair < TONE_BANK_BLOCK / 2; pair++) {
        __m256i c = _mm256_load_si256((const __m256i *)(const void *)&tone_bank_pairs[pair][0]);
        __m256i s = _mm256_load_si256((const __m256i *)(const void *)&tone_bank_pairs[pair][8]);
        for (int b = 0; b < count; b++) {
            __m256i both = both_of(pcm + b * TONE_BANK_BLOCK + 2 * pair);
            cosine[b] = _mm256_add_epi32(cosine[b], _mm256_madd_epi16(both, c));
            sine[b] = _mm256_add_epi32(sine[b], _mm256_madd_epi16(both, s));
        }
    }
    for (int b = 0; b < count; b++) {
        _mm256_storeu_si256((__m256i *)(void *)out[b].cosine, cosine[b]);
        _mm256_storeu_si256((__m256i *)(void *)out[b].sine, sine[b]);
        out[b].energy = energy_of(pcm + b * TONE_BANK_BLOCK);
        out[b].difference = tone_bank_difference_avx2(pcm + b * TONE_BANK_BLOCK);
    }
}

void tone_bank_blocks_avx2(const int16_t *pcm, size_t block_count, struct tone_block *out)
{
    for (; block_count >= 4; block_count -= 4, pcm += 4 * TONE_BANK_BLOCK, out += 4)
        some_blocks(pcm, 4, out);
    for (; block_count; block_count--, pcm += TONE_BANK_BLOCK, out++)
        some_blocks(pcm, 1, out);
}
