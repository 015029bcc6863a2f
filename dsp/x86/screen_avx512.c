#include "dsp/screen_priv.h"

#include <immintrin.h>
#include <string.h>

/* Two blocks lie in one register: in each quarter two tones' cosines and sines, of the earlier block, then of the later. An
 * even count of blocks has a lead of three, so the first register has only a later block; an odd one begins with two. */
#define DOUBLES 7 /* at most, the lead's two among them */
_Static_assert(SCREEN_LEAD + SCREEN_FEED_MAX == 2 * DOUBLES - 1, "reductions are written for seven doubles");

SCREEN_INLINE __m512i both_of(const int16_t *pcm)
{
    int32_t pair;
    memcpy(&pair, pcm, sizeof(pair));
    return _mm512_set1_epi32(pair);
}

SCREEN_INLINE __m512i correlate(const int16_t *pcm, const int16_t (*waves)[SCREEN_WAVES][2])
{
    __m512i sum = _mm512_set1_epi32(SCREEN_ROUND);
    for (int pair = 0; pair < TONE_BANK_BLOCK / 2; pair++)
        sum = _mm512_dpwssd_epi32(sum, both_of(pcm + 2 * pair), _mm512_load_si512((const void *)waves[pair]));
    return _mm512_srai_epi32(sum, SCREEN_SHIFT);
}

SCREEN_INLINE __m512i even_of(__m512i a, __m512i b)
{
    return _mm512_castps_si512(_mm512_shuffle_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), 0x88));
}

SCREEN_INLINE __m512i odd_of(__m512i a, __m512i b)
{
    return _mm512_castps_si512(_mm512_shuffle_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), 0xdd));
}

/* Powers of two doubles become, in each quarter, the greater of its tones' for each of the four blocks. */
SCREEN_INLINE __m512i greater_tone(__m512i a, __m512i b)
{
    return _mm512_max_epi32(even_of(a, b), odd_of(a, b));
}

/* Two such become, in each quarter, the strongest row of four blocks, their strongest column, and so of the other four. */
SCREEN_INLINE __m512i greater_half(__m512i a, __m512i b)
{
    return _mm512_max_epi32(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd));
}

SCREEN_INLINE __m512i row_and_column(__m512i a, __m512i b)
{
    return _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd));
}

/* Of the first five doubles' powers, in the order of blocks. */
SCREEN_INLINE __m512i strongest(const __m512i *power)
{
    __m512i early = greater_half(greater_tone(power[0], power[1]), greater_tone(power[2], power[3]));
    __m512i late = greater_tone(power[4], power[4]);
    return row_and_column(early, greater_half(late, late));
}

SCREEN_INLINE __m512i power_of(__m512i waves)
{
    return _mm512_madd_epi16(waves, waves);
}

/* Energies of two blocks: two sums in each quarter, and two of differences. The step to the first sample of a block is
 * none. */
SCREEN_INLINE __m512i energies_of(__m512i now)
{
    __m512i before = _mm512_alignr_epi8(now, _mm512_maskz_shuffle_i64x2(0xfc, now, now, 0x90), 14);
    __m512i step = _mm512_maskz_subs_epi16(0xfffefffe, now, before);
    __m512i energy = _mm512_srli_epi32(_mm512_madd_epi16(now, now), 4);
    __m512i difference = _mm512_srli_epi32(_mm512_madd_epi16(step, step), 4);
    return _mm512_add_epi32(_mm512_unpacklo_epi64(energy, difference),
                            _mm512_unpackhi_epi64(energy, difference));
}

SCREEN_INLINE __m512i sums_of(__m512i a, __m512i b)
{
    return _mm512_add_epi32(even_of(a, b), odd_of(a, b));
}

/* Energy and difference of blocks by place, of which there are count; first: 1 where the first double has no earlier
 * block. */
SCREEN_INLINE uint32_t energies_keep(const __m512i sums[DOUBLES + 1], size_t first, size_t count,
                                     struct screen_trace *trace)
{
    /* In each quarter energy, difference of one double, of the next; quarters are blocks of two pairs of doubles. */
    const __m512i order = _mm512_setr_epi32(0, 4, 2, 6, 8, 12, 10, 14, 16, 20, 18, 22, 24, 28, 26, 30);
    const __m512i later = _mm512_setr_epi32(4, 2, 6, 8, 12, 10, 14, 16, 20, 18, 22, 24, 28, 26, 30, 30);
    __m512i energy_at = first ? later : order;
    __m512i difference_at = _mm512_add_epi32(energy_at, _mm512_set1_epi32(1));
    __m512i early = row_and_column(sums_of(sums[0], sums[1]), sums_of(sums[2], sums[3]));
    __m512i late = row_and_column(sums_of(sums[4], sums[5]), sums_of(sums[6], sums[7]));
    __m512i energy = _mm512_permutex2var_epi32(early, energy_at, late);
    _mm512_storeu_si512((void *)trace->energy, energy);
    _mm512_storeu_si512((void *)trace->difference, _mm512_permutex2var_epi32(early, difference_at, late));
    __mmask16 is_there = (__mmask16)((1u << count) - 1);
    return (uint32_t)_mm512_reduce_add_epi32(_mm512_maskz_srli_epi32(is_there, energy, 4));
}

uint32_t screen_energies_avx512(const int16_t *pcm, size_t count, struct screen_trace *trace)
{
    const int16_t *lead = pcm - SCREEN_LEAD * TONE_BANK_BLOCK;
    size_t first = (count + 1) % 2;
    size_t doubles = (SCREEN_LEAD + count + 1) / 2;
    __m512i sums[DOUBLES + 1];
    __m512i alone = _mm512_setzero_si512();
    if (first)
        alone = _mm512_inserti64x4(alone, _mm256_loadu_si256((const __m256i *)(const void *)lead), 1);
    else
        alone = _mm512_loadu_si512((const void *)lead);
    sums[0] = energies_of(alone);
#pragma GCC unroll 8
    for (size_t i = 1; i <= DOUBLES; i++) {
        sums[i] =
            i < doubles
                ? energies_of(_mm512_loadu_si512((const void *)(lead + (2 * i - first) * TONE_BANK_BLOCK)))
                : _mm512_setzero_si512();
    }
    return energies_keep(sums, first, SCREEN_LEAD + count, trace);
}

/* first: 1 for an even count, 0 for an odd one; doubles: so many are heard. */
SCREEN_INLINE void hear_some(const int16_t *lead, size_t first, size_t doubles, struct screen_trace *trace)
{
    const __m512i none = _mm512_setzero_si512();
    __m512i power[DOUBLES - 1], steep_power[DOUBLES - 1];
    __m512i slope = _mm512_load_si512((const void *)screen_waves.slope_of_quarters);
    __m512i before = none, two_before = none;
#pragma GCC unroll 8
    for (size_t i = 0; i < DOUBLES; i++) {
        size_t place = 2 * i - first; /* of the earlier block */
        size_t window = i - 1 - first;
        if (i >= doubles) {
            if (i >= 1 + first)
                power[window] = steep_power[window] = none;
            continue;
        }
        __m512i early = none;
        if (i > 0 || !first)
            early = correlate(lead + place * TONE_BANK_BLOCK, screen_waves.pairs[place]);
        __m512i late = correlate(lead + (place + 1) * TONE_BANK_BLOCK, screen_waves.pairs[place + 1]);
        __m512i now = _mm512_packs_epi32(early, late);
        __m512i two = _mm512_add_epi16(now, _mm512_alignr_epi8(now, before, 8));
        if (i >= 1 + first) {
            __m512i four = _mm512_add_epi16(two, two_before);
            power[window] = power_of(four);
            steep_power[window] = power_of(_mm512_mulhrs_epi16(four, slope));
        }
        before = now;
        two_before = two;
    }
    __m512i best = strongest(power);
    __m512i best_steep = strongest(steep_power);
    if (!first) { /* the first window ends in the lead */
        best = _mm512_alignr_epi32(best, best, 1);
        best_steep = _mm512_alignr_epi32(best_steep, best_steep, 1);
    }
    _mm512_storeu_si512((void *)trace->power, best);
    _mm512_storeu_si512((void *)trace->steep_power, best_steep);
}

void screen_powers_avx512(const int16_t *pcm, size_t count, struct screen_trace *trace)
{
    const int16_t *lead = pcm - SCREEN_LEAD * TONE_BANK_BLOCK;
    size_t doubles = (SCREEN_LEAD + count + 1) / 2;
    if (count == SCREEN_FEED_MAX)
        hear_some(lead, 1, DOUBLES, trace);
    else if (count % 2 == 0)
        hear_some(lead, 1, doubles, trace);
    else
        hear_some(lead, 0, doubles, trace);
}

/* Each lane's sum with those of the three behind it. */
SCREEN_INLINE __m512 sum4(const int32_t *energy)
{
    const __m512i none = _mm512_setzero_si512();
    __m512 block = _mm512_cvtepi32_ps(_mm512_loadu_si512((const void *)energy));
    __m512 two = block + (__m512)_mm512_alignr_epi32(none, (__m512i)block, 1);
    return two + (__m512)_mm512_alignr_epi32(none, (__m512i)two, 2);
}

uint32_t screen_judge_avx512(const struct screen_trace *trace, size_t count, const struct screen_gate *gate)
{
    screen_floats power, steep_power;
    screen_floats energy = (screen_floats)sum4(trace->energy);
    screen_floats difference = (screen_floats)sum4(trace->difference);
    screen_ints passes;
    screen_load(&power, trace->power);
    screen_load(&steep_power, trace->steep_power);
    screen_compare(&passes, &power, &steep_power, &energy, &difference, gate);
    return _mm512_movepi32_mask((__m512i)passes) & ((1u << count) - 1);
}
