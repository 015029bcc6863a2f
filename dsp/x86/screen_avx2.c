#include "dsp/screen_priv.h"

#include <immintrin.h>
#include <stdbool.h>
#include <string.h>

/* One block lies in one register: in the lower half tones 0 1 4 5, in the upper 2 3 6 7, each a cosine and a sine. */

#define GROUP 4 /* blocks that are reduced together */

SCREEN_INLINE __m256i both_of(const int16_t *pcm)
{
    int32_t pair;
    memcpy(&pair, pcm, sizeof(pair));
    return _mm256_set1_epi32(pair);
}

SCREEN_INLINE __m256i correlate(const int16_t *pcm, const int16_t (*waves)[SCREEN_WAVES][2])
{
    __m256i low = _mm256_set1_epi32(SCREEN_ROUND);
    __m256i high = low;
    for (int pair = 0; pair < TONE_BANK_BLOCK / 2; pair++) {
        __m256i both = both_of(pcm + 2 * pair);
        const __m256i *wave = (const __m256i *)(const void *)waves[pair];
        low = _mm256_add_epi32(low, _mm256_madd_epi16(both, _mm256_load_si256(wave)));
        high = _mm256_add_epi32(high, _mm256_madd_epi16(both, _mm256_load_si256(wave + 1)));
    }
    return _mm256_packs_epi32(_mm256_srai_epi32(low, SCREEN_SHIFT), _mm256_srai_epi32(high, SCREEN_SHIFT));
}

SCREEN_INLINE __m256i even_of(__m256i a, __m256i b)
{
    return _mm256_castps_si256(_mm256_shuffle_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b), 0x88));
}

SCREEN_INLINE __m256i odd_of(__m256i a, __m256i b)
{
    return _mm256_castps_si256(_mm256_shuffle_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b), 0xdd));
}

SCREEN_INLINE __m256i greater_half(__m256i a, __m256i b)
{
    return _mm256_max_epi32(_mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31));
}

/* Row and column of four blocks' powers. */
SCREEN_INLINE __m128i strongest(const __m256i power[GROUP])
{
    __m256i early = greater_half(power[0], power[1]);
    __m256i late = greater_half(power[2], power[3]);
    __m256i best = _mm256_max_epi32(even_of(early, late), odd_of(early, late));
    __m256i sums = _mm256_hadd_epi32(best, best);
    return _mm_unpacklo_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
}

SCREEN_INLINE __m256i power_of(__m256i waves)
{
    return _mm256_madd_epi16(waves, waves);
}

SCREEN_INLINE __m256i energies_of(const int16_t *pcm)
{
    __m256i now = _mm256_loadu_si256((const __m256i *)(const void *)pcm);
    /* The first sample's step is none: it is taken from itself, and nothing before the block is read. */
    __m256i before = _mm256_alignr_epi8(now, _mm256_permute2x128_si256(now, now, 0x08), 14);
    __m256i step = _mm256_subs_epi16(now, before);
    step = _mm256_blend_epi32(step, _mm256_slli_epi32(_mm256_srli_epi32(step, 16), 16), 1);
    return _mm256_hadd_epi32(_mm256_srli_epi32(_mm256_madd_epi16(now, now), 4),
                             _mm256_srli_epi32(_mm256_madd_epi16(step, step), 4));
}

/* Energy and difference of two blocks, in turn. */
SCREEN_INLINE __m128i sums_of(__m256i a, __m256i b)
{
    __m256i halves = _mm256_hadd_epi32(a, b);
    return _mm_add_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
}

SCREEN_INLINE void keep(int32_t *row, __m128i four)
{
    _mm_storeu_si128((__m128i *)(void *)row, four);
}

/* Returns the energies. */
SCREEN_INLINE __m128i keep_energies(struct screen_trace *trace, size_t place, const __m256i energy[GROUP])
{
    __m128 early = _mm_castsi128_ps(sums_of(energy[0], energy[1]));
    __m128 late = _mm_castsi128_ps(sums_of(energy[2], energy[3]));
    __m128i energies = _mm_castps_si128(_mm_shuffle_ps(early, late, 0x88));
    keep(&trace->energy[place], energies);
    keep(&trace->difference[place], _mm_castps_si128(_mm_shuffle_ps(early, late, 0xdd)));
    return energies;
}

uint32_t screen_energies_avx2(const int16_t *pcm, size_t count, struct screen_trace *trace)
{
    __m128i sum = _mm_setzero_si128();
    pcm -= SCREEN_LEAD * TONE_BANK_BLOCK;
    for (size_t place = 0; place < SCREEN_LEAD + count; place += GROUP) {
        __m256i energy[GROUP];
        for (size_t k = 0; k < GROUP; k++) {
            bool is_there = place + k < SCREEN_LEAD + count;
            energy[k] = is_there ? energies_of(pcm + (place + k) * TONE_BANK_BLOCK) : _mm256_setzero_si256();
        }
        sum = _mm_add_epi32(sum, _mm_srli_epi32(keep_energies(trace, place, energy), 4));
    }
    sum = _mm_hadd_epi32(sum, sum);
    return (uint32_t)_mm_cvtsi128_si32(_mm_hadd_epi32(sum, sum));
}

void screen_powers_avx2(const int16_t *pcm, size_t count, struct screen_trace *trace)
{
    const int16_t *lead = pcm - SCREEN_LEAD * TONE_BANK_BLOCK;
    __m256i slope = _mm256_load_si256((const __m256i *)(const void *)screen_waves.slope_of_halves);
    __m256i middle = correlate(lead + TONE_BANK_BLOCK, screen_waves.pairs[1]);
    __m256i before = correlate(lead + 2 * TONE_BANK_BLOCK, screen_waves.pairs[2]);
    /* The two blocks that end two before the newest, and one before. */
    __m256i two_earlier = _mm256_add_epi16(correlate(lead, screen_waves.pairs[0]), middle);
    __m256i two_before = _mm256_add_epi16(middle, before);
    for (size_t at = 0; at < count; at += GROUP) {
        __m256i power[GROUP], steep_power[GROUP];
        for (size_t k = 0; k < GROUP; k++) {
            if (at + k >= count) {
                power[k] = steep_power[k] = _mm256_setzero_si256();
                continue;
            }
            __m256i now = correlate(pcm, screen_waves.pairs[SCREEN_LEAD + at + k]);
            __m256i two = _mm256_add_epi16(now, before);
            __m256i four = _mm256_add_epi16(two, two_earlier);
            power[k] = power_of(four);
            steep_power[k] = power_of(_mm256_mulhrs_epi16(four, slope));
            two_earlier = two_before;
            two_before = two;
            before = now;
            pcm += TONE_BANK_BLOCK;
        }
        keep(&trace->power[at], strongest(power));
        keep(&trace->steep_power[at], strongest(steep_power));
    }
}

uint32_t screen_judge_avx2(const struct screen_trace *trace, size_t count, const struct screen_gate *gate)
{
    return screen_judge_face(trace, count, gate);
}
