#include "dsp/g711_priv.h"

#include <smmintrin.h>

#define LANES 8

static inline __m128i wide(const uint8_t *in)
{
    return _mm_cvtepu8_epi16(_mm_loadl_epi64((const __m128i *)(const void *)in));
}

static inline void store(int16_t *out, __m128i samples)
{
    _mm_storeu_si128((__m128i *)(void *)out, samples);
}

static inline __m128i all(int16_t value)
{
    return _mm_set1_epi16(value);
}

/* 2 to the power of each lane's exponent; in AVX2 and below lanes of 16 bits have no shift of their own. */
static inline __m128i power_of(__m128i exponent)
{
    const __m128i powers = _mm_setr_epi8(1, 2, 4, 8, 16, 32, 64, (char)128, 0, 0, 0, 0, 0, 0, 0, 0);
    return _mm_shuffle_epi8(powers, _mm_or_si128(exponent, all((int16_t)0x8000)));
}

static inline __m128i negated_where(__m128i magnitude, __m128i is_negative)
{
    return _mm_sub_epi16(_mm_xor_si128(magnitude, is_negative), is_negative);
}

/* All ones where the code's highest bit is set. */
static inline __m128i top_of(__m128i code)
{
    return _mm_srai_epi16(_mm_slli_epi16(code, 8), 15);
}

static inline __m128i of_ulaw(__m128i line)
{
    __m128i code = _mm_xor_si128(line, all(0xff));
    __m128i exponent = _mm_and_si128(_mm_srli_epi16(code, 4), all(7));
    __m128i step = _mm_slli_epi16(_mm_and_si128(code, all(15)), 3);
    __m128i biased = _mm_mullo_epi16(_mm_add_epi16(step, all(G711_ULAW_BIAS)), power_of(exponent));
    return negated_where(_mm_sub_epi16(biased, all(G711_ULAW_BIAS)), top_of(code));
}

/* Segments 0 and 1 share their step; only the higher has the leading one. */
static inline __m128i of_alaw(__m128i line)
{
    __m128i code = _mm_xor_si128(line, all(G711_ALAW_FLIP));
    __m128i exponent = _mm_and_si128(_mm_srli_epi16(code, 4), all(7));
    __m128i step = _mm_slli_epi16(_mm_and_si128(code, all(15)), 4);
    __m128i lead = _mm_and_si128(_mm_cmpgt_epi16(exponent, all(0)), all(0x100));
    __m128i shift = _mm_subs_epu16(exponent, all(1));
    __m128i magnitude = _mm_mullo_epi16(_mm_add_epi16(step, _mm_add_epi16(lead, all(8))), power_of(shift));
    return negated_where(magnitude, _mm_xor_si128(top_of(code), all(-1)));
}

void g711_decode_sse41(enum g711_law law, const uint8_t *in, int16_t *out, size_t count)
{
    size_t done = 0;
    if (law == G711_ALAW) {
        for (; done + LANES <= count; done += LANES)
            store(out + done, of_alaw(wide(in + done)));
    } else {
        for (; done + LANES <= count; done += LANES)
            store(out + done, of_ulaw(wide(in + done)));
    }
    g711_decode_c(law, in + done, out + done, count - done);
}
