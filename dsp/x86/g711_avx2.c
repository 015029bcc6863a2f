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

/* Segment: how many of 256, 512 ... 16384 the magnitude, at most 32767, reaches. */
static inline __m256i segment_of(__m256i magnitude)
{
    __m256i segment = all(0);
    for (int bound = 256; bound <= 16384; bound *= 2)
        segment = _mm256_sub_epi16(segment, _mm256_cmpgt_epi16(magnitude, all((int16_t)(bound - 1))));
    return segment;
}

/* The four bits below the highest one: a shift right by segment + 3, done as a multiplication. */
static inline __m256i step_of(__m256i magnitude, __m256i segment)
{
    __m256i factor = _mm256_slli_epi16(power_of(_mm256_sub_epi16(all(7), segment)), 6);
    return _mm256_and_si256(_mm256_mulhi_epu16(magnitude, factor), all(15));
}

static inline __m256i to_ulaw(__m256i sample)
{
    __m256i is_negative = _mm256_srai_epi16(sample, 15);
    __m256i magnitude = _mm256_min_epu16(_mm256_abs_epi16(sample), all(G711_ULAW_CLIP));
    __m256i biased = _mm256_add_epi16(magnitude, all(G711_ULAW_BIAS));
    __m256i segment = segment_of(biased);
    __m256i code = _mm256_or_si256(_mm256_slli_epi16(segment, 4), step_of(biased, segment));
    code = _mm256_or_si256(code, _mm256_and_si256(is_negative, all(0x80)));
    return _mm256_xor_si256(code, all(0xff));
}

/* Segments 0 and 1 share their step. */
static inline __m256i to_alaw(__m256i sample)
{
    __m256i is_negative = _mm256_srai_epi16(sample, 15);
    __m256i magnitude = _mm256_xor_si256(sample, is_negative);
    __m256i segment = segment_of(magnitude);
    __m256i step = step_of(magnitude, _mm256_max_epi16(segment, all(1)));
    __m256i code = _mm256_or_si256(_mm256_slli_epi16(segment, 4), step);
    code = _mm256_or_si256(code, _mm256_andnot_si256(is_negative, all(0x80)));
    return _mm256_xor_si256(code, all(G711_ALAW_FLIP));
}

static inline void store_codes(uint8_t *out, __m256i codes)
{
    __m128i packed = _mm_packus_epi16(_mm256_castsi256_si128(codes), _mm256_extracti128_si256(codes, 1));
    _mm_storeu_si128((__m128i *)(void *)out, packed);
}

void g711_encode_avx2(enum g711_law law, const int16_t *in, uint8_t *out, size_t count)
{
    size_t done = 0;
    for (; done + LANES <= count; done += LANES) {
        __m256i samples = _mm256_loadu_si256((const __m256i *)(const void *)(in + done));
        store_codes(out + done, law == G711_ALAW ? to_alaw(samples) : to_ulaw(samples));
    }
    g711_encode_c(law, in + done, out + done, count - done);
}
