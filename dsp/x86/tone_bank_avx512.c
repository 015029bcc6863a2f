#include "dsp/tone_bank_priv.h"
#include "dsp/x86/tone_bank_difference.h"

#include <immintrin.h>
#include <string.h>

static inline __m512i both_of(const int16_t *pcm)
{
    int32_t pair;
    memcpy(&pair, pcm, sizeof(pair));
    return _mm512_set1_epi32(pair);
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

/* All 16 waves of a pair lie in one register; the pair is broadcast from memory. Several blocks side by side hide the
 * latency of the multiply-and-add. */
static inline __attribute__((always_inline)) void some_blocks(const int16_t *pcm, int count,
                                                              struct tone_block *out)
{
    __m512i sum[5];
    for (int b = 0; b < count; b++)
        sum[b] = _mm512_setzero_si512();
    for (int pair = 0; pair < TONE_BANK_BLOCK / 2; pair++) {
        __m512i waves = _mm512_load_si512((const void *)&tone_bank_pairs[pair][0]);
        for (int b = 0; b < count; b++)
            sum[b] = _mm512_dpwssd_epi32(sum[b], waves, both_of(pcm + b * TONE_BANK_BLOCK + 2 * pair));
    }
    for (int b = 0; b < count; b++) {
        _mm512_storeu_si512((void *)out[b].cosine, sum[b]);
        out[b].energy = energy_of(pcm + b * TONE_BANK_BLOCK);
        out[b].difference = tone_bank_difference_avx2(pcm + b * TONE_BANK_BLOCK);
    }
}

void tone_bank_blocks_avx512(const int16_t *pcm, size_t block_count, struct tone_block *out)
{
    for (; block_count >= 5; block_count -= 5, pcm += 5 * TONE_BANK_BLOCK, out += 5)
        some_blocks(pcm, 5, out);
    for (; block_count; block_count--, pcm += TONE_BANK_BLOCK, out++)
        some_blocks(pcm, 1, out);
}
