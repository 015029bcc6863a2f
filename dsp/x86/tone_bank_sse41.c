#include "dsp/tone_bank_priv.h"

#include <emmintrin.h>

static inline __m128i wave(int pair, int quarter)
{
    return _mm_load_si128((const __m128i *)(const void *)&tone_bank_pairs[pair][4 * quarter]);
}

/* One pair of samples in all lanes against 16 waves. */
#define ADD_PAIR(samples, lane, pair)                                                                        \
    do {                                                                                                     \
        __m128i both = _mm_shuffle_epi32(samples, (lane)*0x55);                                              \
        for (int q = 0; q < 4; q++)                                                                          \
            sum[q] = _mm_add_epi32(sum[q], _mm_madd_epi16(both, wave(pair, q)));                             \
    } while (0)

static inline __m128i energy_of(__m128i samples)
{
    return _mm_srli_epi32(_mm_madd_epi16(samples, samples), 4);
}

void tone_bank_blocks_sse41(const int16_t *pcm, size_t block_count, struct tone_block *out)
{
    for (size_t k = 0; k < block_count; k++, pcm += TONE_BANK_BLOCK, out++) {
        __m128i early = _mm_loadu_si128((const __m128i *)(const void *)pcm);
        __m128i late = _mm_loadu_si128((const __m128i *)(const void *)(pcm + 8));
        __m128i sum[4] = {_mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128()};
        ADD_PAIR(early, 0, 0);
        ADD_PAIR(early, 1, 1);
        ADD_PAIR(early, 2, 2);
        ADD_PAIR(early, 3, 3);
        ADD_PAIR(late, 0, 4);
        ADD_PAIR(late, 1, 5);
        ADD_PAIR(late, 2, 6);
        ADD_PAIR(late, 3, 7);
        for (int q = 0; q < 4; q++) {
            int32_t *row = q < 2 ? out->cosine + 4 * q : out->sine + 4 * (q - 2);
            _mm_storeu_si128((__m128i *)(void *)row, sum[q]);
        }
        __m128i energy = _mm_add_epi32(energy_of(early), energy_of(late));
        energy = _mm_add_epi32(energy, _mm_shuffle_epi32(energy, 0x4e));
        energy = _mm_add_epi32(energy, _mm_shuffle_epi32(energy, 0xb1));
        out->energy = (uint32_t)_mm_cvtsi128_si32(energy);
        out->difference = tone_bank_difference(pcm);
    }
}
