#include "dsp/screen_priv.h"

#include <smmintrin.h>
#include <string.h>

/* A block lies in two registers: the rows' cosines and sines, and the columns'. */
struct wave {
    __m128i row, column;
};

SCREEN_INLINE __m128i load(const void *at)
{
    return _mm_loadu_si128((const __m128i *)at);
}

SCREEN_INLINE __m128i both_of(const int16_t *pcm)
{
    int32_t pair;
    memcpy(&pair, pcm, sizeof(pair));
    return _mm_set1_epi32(pair);
}

SCREEN_INLINE struct wave correlate(const int16_t *pcm, const int16_t (*waves)[SCREEN_WAVES][2])
{
    __m128i sum[4];
    for (int q = 0; q < 4; q++)
        sum[q] = _mm_set1_epi32(SCREEN_ROUND);
    for (int pair = 0; pair < TONE_BANK_BLOCK / 2; pair++) {
        __m128i both = both_of(pcm + 2 * pair);
        for (int q = 0; q < 4; q++)
            sum[q] = _mm_add_epi32(sum[q], _mm_madd_epi16(both, load(waves[pair][4 * q])));
    }
    for (int q = 0; q < 4; q++)
        sum[q] = _mm_srai_epi32(sum[q], SCREEN_SHIFT);
    return (struct wave){_mm_packs_epi32(sum[0], sum[1]), _mm_packs_epi32(sum[2], sum[3])};
}

SCREEN_INLINE struct wave sum_of(struct wave a, struct wave b)
{
    return (struct wave){_mm_add_epi16(a.row, b.row), _mm_add_epi16(a.column, b.column)};
}

SCREEN_INLINE struct wave weighed(struct wave wave)
{
    __m128i row = load(screen_waves.slope);
    __m128i column = load(screen_waves.slope + TONE_BANK_TONES);
    return (struct wave){_mm_mulhrs_epi16(wave.row, row), _mm_mulhrs_epi16(wave.column, column)};
}

SCREEN_INLINE int32_t strongest(struct wave wave)
{
    __m128i row = _mm_madd_epi16(wave.row, wave.row);
    __m128i column = _mm_madd_epi16(wave.column, wave.column);
    __m128i best = _mm_max_epi32(_mm_unpacklo_epi32(row, column), _mm_unpackhi_epi32(row, column));
    best = _mm_max_epi32(best, _mm_unpackhi_epi64(best, best));
    return _mm_cvtsi128_si32(_mm_add_epi32(best, _mm_shuffle_epi32(best, 1)));
}

SCREEN_INLINE __m128i energy_of(__m128i samples)
{
    return _mm_srli_epi32(_mm_madd_epi16(samples, samples), 4);
}

SCREEN_INLINE __m128i energies_of(const int16_t *pcm)
{
    return _mm_add_epi32(energy_of(load(pcm)), energy_of(load(pcm + 8)));
}

SCREEN_INLINE __m128i differences_of(const int16_t *pcm)
{
    __m128i early = load(pcm);
    /* The first step is none. */
    __m128i step = _mm_blend_epi16(_mm_subs_epi16(early, _mm_slli_si128(early, 2)), _mm_setzero_si128(), 1);
    return _mm_add_epi32(energy_of(step), energy_of(_mm_subs_epi16(load(pcm + 8), load(pcm + 7))));
}

#define GROUP 4 /* blocks whose sums are made together */

SCREEN_INLINE void keep(int32_t *four, const __m128i sums[GROUP])
{
    _mm_store_si128((__m128i *)(void *)four,
                    _mm_hadd_epi32(_mm_hadd_epi32(sums[0], sums[1]), _mm_hadd_epi32(sums[2], sums[3])));
}

SCREEN_INLINE void energies_keep(const int16_t *pcm, size_t count, struct screen_trace *trace)
{
    for (size_t place = 0; place < count; place += GROUP) {
        __m128i sums[GROUP];
        for (size_t k = 0; k < GROUP; k++)
            sums[k] =
                place + k < count ? energies_of(pcm + (place + k) * TONE_BANK_BLOCK) : _mm_setzero_si128();
        keep(&trace->energy[place], sums);
    }
}

SCREEN_INLINE void differences_keep(const int16_t *pcm, size_t count, struct screen_trace *trace)
{
    for (size_t place = 0; place < count; place += GROUP) {
        __m128i sums[GROUP];
        for (size_t k = 0; k < GROUP; k++)
            sums[k] =
                place + k < count ? differences_of(pcm + (place + k) * TONE_BANK_BLOCK) : _mm_setzero_si128();
        keep(&trace->difference[place], sums);
    }
}

uint32_t screen_worth_sse41(const int16_t *pcm, size_t count, const struct screen_gate *gate,
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

uint32_t screen_powers_sse41(const int16_t *pcm, size_t from, size_t count, const struct screen_gate *gate,
                             struct screen_trace *trace)
{
    struct wave two[SCREEN_BLOCKS]; /* this block and the one before */
    struct wave before = {_mm_setzero_si128(), _mm_setzero_si128()};
    pcm = pcm + from * TONE_BANK_BLOCK - SCREEN_LEAD * TONE_BANK_BLOCK;
    for (size_t place = 0; place < SCREEN_LEAD + count; place++, pcm += TONE_BANK_BLOCK) {
        struct wave now = correlate(pcm, screen_waves.pairs[place]);
        two[place] = sum_of(now, before);
        before = now;
        if (place < SCREEN_LEAD)
            continue;
        struct wave four = sum_of(two[place], two[place - 2]);
        trace->power[from + place - SCREEN_LEAD] = strongest(four);
        trace->steep_power[from + place - SCREEN_LEAD] = strongest(weighed(four));
    }
    return screen_judge_face(trace, from, count, gate);
}
