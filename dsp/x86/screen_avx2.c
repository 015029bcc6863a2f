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

SCREEN_INLINE __m256i load(const int16_t *pcm)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)pcm);
}

/* Squares, two and two together. */
SCREEN_INLINE __m256i squares_of(__m256i samples)
{
    return _mm256_srli_epi32(_mm256_madd_epi16(samples, samples), 4);
}

/* The step to a block's first sample is none. */
SCREEN_INLINE __m256i steps_of(__m256i now, __m256i before)
{
    const __m256i all_but_first = _mm256_setr_epi32(-65536, -1, -1, -1, -1, -1, -1, -1);
    return _mm256_and_si256(_mm256_subs_epi16(now, before), all_but_first);
}

/* Of the first block: nothing before it is read. */
SCREEN_INLINE __m256i first_steps(const int16_t *pcm)
{
    __m256i now = load(pcm);
    return steps_of(now, _mm256_alignr_epi8(now, _mm256_permute2x128_si256(now, now, 0x08), 14));
}

SCREEN_INLINE __m256i add_pairs(__m256i a, __m256i b)
{
    return _mm256_add_epi32(even_of(a, b), odd_of(a, b));
}

SCREEN_INLINE void keep(int32_t *row, __m128i four)
{
    _mm_storeu_si128((__m128i *)(void *)row, four);
}

SCREEN_INLINE void keep_sums(int32_t *row, const __m256i block[GROUP])
{
    __m256i sums = add_pairs(add_pairs(block[0], block[1]), add_pairs(block[2], block[3]));
    keep(row, _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1)));
}

SCREEN_INLINE void energies_keep(const int16_t *pcm, size_t count, struct screen_trace *trace)
{
    for (size_t place = 0; place < count; place += GROUP) {
        __m256i block[GROUP];
        for (size_t k = 0; k < GROUP; k++)
            block[k] = place + k < count ? squares_of(load(pcm + (place + k) * TONE_BANK_BLOCK))
                                         : _mm256_setzero_si256();
        keep_sums(&trace->energy[place], block);
    }
}

SCREEN_INLINE void differences_keep(const int16_t *pcm, size_t count, struct screen_trace *trace)
{
    for (size_t place = 0; place < count; place += GROUP) {
        __m256i block[GROUP];
        for (size_t k = 0; k < GROUP; k++) {
            const int16_t *at = pcm + (place + k) * TONE_BANK_BLOCK;
            block[k] = _mm256_setzero_si256();
            if (place + k < count)
                block[k] = squares_of(place + k ? steps_of(load(at), load(at - 1)) : first_steps(at));
        }
        keep_sums(&trace->difference[place], block);
    }
}

uint32_t screen_worth_avx2(const int16_t *pcm, size_t count, const struct screen_gate *gate,
                           struct screen_trace *trace)
{
    const int16_t *lead = pcm - SCREEN_LEAD * TONE_BANK_BLOCK;
    energies_keep(lead, SCREEN_LEAD + count, trace);
    uint32_t loud = screen_loud_face(trace, count, gate);
    if (!loud)
        return 0;
    differences_keep(lead, SCREEN_LEAD + count, trace);
    return loud & screen_between_face(trace, count, gate);
}

/* What a group of windows is judged by, from `at` on. */
SCREEN_INLINE uint32_t judge(__m128i power, __m128i steep_power, size_t at, const struct screen_gate *gate,
                             struct screen_trace *trace)
{
    keep(&trace->power[at], power);
    keep(&trace->steep_power[at], steep_power);
    return screen_bits(screen_passes((screen_floats)_mm_cvtepi32_ps(power),
                                     (screen_floats)_mm_cvtepi32_ps(steep_power),
                                     (screen_floats)_mm_loadu_ps(&trace->window_energy[at]),
                                     (screen_floats)_mm_loadu_ps(&trace->window_difference[at]), gate));
}

uint32_t screen_powers_avx2(const int16_t *pcm, size_t from, size_t count, const struct screen_gate *gate,
                            struct screen_trace *trace)
{
    uint32_t passing = 0;
    pcm += from * TONE_BANK_BLOCK;
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
        passing |= judge(strongest(power), strongest(steep_power), from + at, gate, trace) << at;
    }
    return passing & ((1u << count) - 1);
}
