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

/* Squares, two and two together, of the samples of two blocks. */
SCREEN_INLINE __m512i squares_of(__m512i samples)
{
    return _mm512_srli_epi32(_mm512_madd_epi16(samples, samples), 4);
}

/* The step to the first sample of a block is none. */
SCREEN_INLINE __m512i steps_of(__m512i now, __m512i before)
{
    return _mm512_maskz_subs_epi16(0xfffefffe, now, before);
}

SCREEN_INLINE __m512i load(const int16_t *pcm)
{
    return _mm512_loadu_si512((const void *)pcm);
}

/* The first double: nothing before it is read. first: 1 where it has no earlier block. */
SCREEN_INLINE __m512i load_first(const int16_t *lead, size_t first)
{
    if (!first)
        return load(lead);
    return _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_loadu_si256((const __m256i *)(const void *)lead),
                              1);
}

SCREEN_INLINE __m512i first_steps(__m512i now)
{
    return steps_of(now, _mm512_alignr_epi8(now, _mm512_maskz_shuffle_i64x2(0xfc, now, now, 0x90), 14));
}

SCREEN_INLINE __m512i add_pairs(__m512i a, __m512i b)
{
    return _mm512_add_epi32(even_of(a, b), odd_of(a, b));
}

/* Of eight doubles: in each quarter sums of half a block, of four doubles, then the halves added. */
SCREEN_INLINE __m512i sums_of(const __m512i double_of[DOUBLES + 1], size_t first)
{
    /* Quarters hold the earlier block of four doubles, the later one, and so of the other four. */
    const __m512i order = _mm512_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15);
    const __m512i later = _mm512_setr_epi32(4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15, 15);
    __m512i early = add_pairs(add_pairs(double_of[0], double_of[1]), add_pairs(double_of[2], double_of[3]));
    __m512i late = add_pairs(add_pairs(double_of[4], double_of[5]), add_pairs(double_of[6], double_of[7]));
    return _mm512_permutexvar_epi32(first ? later : order, row_and_column(early, late));
}

/* Each lane's sum with those of the three behind it. */
SCREEN_INLINE __m512 sum4(__m512i blocks)
{
    const __m512i none = _mm512_setzero_si512();
    __m512 block = _mm512_cvtepi32_ps(blocks);
    __m512 two = block + (__m512)_mm512_alignr_epi32(none, (__m512i)block, 1);
    return two + (__m512)_mm512_alignr_epi32(none, (__m512i)two, 2);
}

/* The first double may have no earlier block: first is 1 then. */
SCREEN_INLINE uint32_t worth_of(const int16_t *lead, size_t first, size_t doubles,
                                const struct screen_gate *gate, struct screen_trace *trace)
{
    __m512i sums[DOUBLES + 1];
    __m512i alone = load_first(lead, first);
    sums[0] = squares_of(alone);
#pragma GCC unroll 8
    for (size_t i = 1; i <= DOUBLES; i++)
        sums[i] =
            i < doubles ? squares_of(load(lead + (2 * i - first) * TONE_BANK_BLOCK)) : _mm512_setzero_si512();
    __m512i energy = sums_of(sums, first);
    __m512 window_energy = sum4(energy);
    uint32_t loud = _mm512_cmp_ps_mask(window_energy, _mm512_set1_ps(gate->energy_min), _CMP_GE_OQ);
    if (!loud)
        return 0;
    sums[0] = squares_of(first_steps(alone));
#pragma GCC unroll 8
    for (size_t i = 1; i <= DOUBLES; i++) {
        const int16_t *at = lead + (2 * i - first) * TONE_BANK_BLOCK;
        sums[i] = i < doubles ? squares_of(steps_of(load(at), load(at - 1))) : _mm512_setzero_si512();
    }
    __m512i difference = sums_of(sums, first);
    __m512 window_difference = sum4(difference);
    _mm512_store_si512((void *)trace->energy, energy);
    _mm512_store_si512((void *)trace->difference, difference);
    _mm512_store_ps(trace->window_energy, window_energy);
    _mm512_store_ps(trace->window_difference, window_difference);
    return loud & _mm512_movepi32_mask((__m512i)screen_is_between((screen_floats)window_energy,
                                                                  (screen_floats)window_difference, gate));
}

uint32_t screen_worth_avx512(const int16_t *pcm, size_t count, const struct screen_gate *gate,
                             struct screen_trace *trace)
{
    const int16_t *lead = pcm - SCREEN_LEAD * TONE_BANK_BLOCK;
    size_t doubles = (SCREEN_LEAD + count + 1) / 2;
    uint32_t there = (1u << count) - 1;
    if (count == SCREEN_FEED_MAX)
        return there & worth_of(lead, 1, DOUBLES, gate, trace);
    return there & worth_of(lead, (count + 1) % 2, doubles, gate, trace);
}

/* first: 1 for an even count, 0 for an odd one; doubles: so many are heard. */
SCREEN_INLINE uint32_t hear_some(const int16_t *lead, size_t first, size_t doubles, size_t from,
                                 const struct screen_gate *gate, struct screen_trace *trace)
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
    __mmask16 there = (__mmask16)(0xffff >> from); /* lanes that do not end behind the trace */
    _mm512_mask_storeu_epi32(trace->power + from, there, best);
    _mm512_mask_storeu_epi32(trace->steep_power + from, there, best_steep);
    screen_ints passes =
        screen_passes((screen_floats)_mm512_cvtepi32_ps(best), (screen_floats)_mm512_cvtepi32_ps(best_steep),
                      (screen_floats)_mm512_maskz_loadu_ps(there, trace->window_energy + from),
                      (screen_floats)_mm512_maskz_loadu_ps(there, trace->window_difference + from), gate);
    return _mm512_movepi32_mask((__m512i)passes);
}

uint32_t screen_powers_avx512(const int16_t *pcm, size_t from, size_t count, const struct screen_gate *gate,
                              struct screen_trace *trace)
{
    const int16_t *lead = pcm + from * TONE_BANK_BLOCK - SCREEN_LEAD * TONE_BANK_BLOCK;
    size_t doubles = (SCREEN_LEAD + count + 1) / 2;
    uint32_t passing;
    if (count == SCREEN_FEED_MAX)
        passing = hear_some(lead, 1, DOUBLES, from, gate, trace);
    else if (count % 2 == 0)
        passing = hear_some(lead, 1, doubles, from, gate, trace);
    else
        passing = hear_some(lead, 0, doubles, from, gate, trace);
    return passing & ((1u << count) - 1);
}
