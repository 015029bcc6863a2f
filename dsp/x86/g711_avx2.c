#include "dsp/g711_priv.h"

#include <immintrin.h>

#define LANES 16

static inline __m256i wide(const uint8_t *in)
{
    return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)in));
}

static inline void store(int16_t *out, __m256i samples)
{
    _mm256_storeu_si256((__m256i *)(void *)out, samples);
}

static inline __m256i all(int16_t value)
{
    return _mm256_set1_epi16(value);
}

/* 2 to the power of each lane's exponent; in AVX2 and below lanes of 16 bits have no shift of their own. */
static inline __m256i power_of(__m256i exponent)
{
    const __m128i powers = _mm_setr_epi8(1, 2, 4, 8, 16, 32, 64, (char)128, 0, 0, 0, 0, 0, 0, 0, 0);
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(powers),
                               _mm256_or_si256(exponent, all((int16_t)0x8000)));
}

static inline __m256i negated_where(__m256i magnitude, __m256i is_negative)
{
    return _mm256_sub_epi16(_mm256_xor_si256(magnitude, is_negative), is_negative);
}

/* All ones where the code's highest bit is set. */
static inline __m256i top_of(__m256i code)
{
    return _mm256_srai_epi16(_mm256_slli_epi16(code, 8), 15);
}

static inline __m256i of_ulaw(__m256i line)
{
    __m256i code = _mm256_xor_si256(line, all(0xff));
    __m256i exponent = _mm256_and_si256(_mm256_srli_epi16(code, 4), all(7));
    __m256i step = _mm256_slli_epi16(_mm256_and_si256(code, all(15)), 3);
    __m256i biased = _mm256_mullo_epi16(_mm256_add_epi16(step, all(G711_ULAW_BIAS)), power_of(exponent));
    return negated_where(_mm256_sub_epi16(biased, all(G711_ULAW_BIAS)), top_of(code));
}

/* Segments 0 and 1 share their step; only the higher has the leading one. */
static inline __m256i of_alaw(__m256i line)
{
    __m256i code = _mm256_xor_si256(line, all(G711_ALAW_FLIP));
    __m256i exponent = _mm256_and_si256(_mm256_srli_epi16(code, 4), all(7));
    __m256i step = _mm256_slli_epi16(_mm256_and_si256(code, all(15)), 4);
    __m256i lead = _mm256_and_si256(_mm256_cmpgt_epi16(exponent, all(0)), all(0x100));
    __m256i shift = _mm256_subs_epu16(exponent, all(1));
    __m256i magnitude =
        _mm256_mullo_epi16(_mm256_add_epi16(step, _mm256_add_epi16(lead, all(8))), power_of(shift));
    return negated_where(magnitude, _mm256_xor_si256(top_of(code), all(-1)));
}

void g711_decode_avx2(enum g711_law law, const uint8_t *in, int16_t *out, size_t count)
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
