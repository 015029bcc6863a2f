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

/* A lane holds a code in its low byte and CODE_HIGH in its high one, of which maddubs takes a 1, and a look-up an index of a
 * zero. */
#define CODE_HIGH ((int16_t)0x8100)
#define STEP_BITS 0x010f

/* In each low byte the code's exponent; in each high one an index of a zero. */
static inline __m128i exponent_of(__m128i code)
{
    return _mm_and_si128(_mm_srli_epi16(code, 4), all(0x0807));
}

/* One of eight bytes for each lane, by the code's exponent. */
static inline __m128i by_exponent(__m128i code, int a, int b, int c, int d, int e, int f, int g, int h)
{
    const __m128i bytes = _mm_setr_epi8((char)a, (char)b, (char)c, (char)d, (char)e, (char)f, (char)g,
                                        (char)h, 0, 0, 0, 0, 0, 0, 0, 0);
    return _mm_shuffle_epi8(bytes, exponent_of(code));
}

/* The code's step times a factor, plus what is added. */
static inline __m128i base_of(__m128i code, int factor, int added)
{
    return _mm_maddubs_epi16(all((int16_t)(added << 8 | factor)), _mm_and_si128(code, all(STEP_BITS)));
}

/* The code's highest bit says that it is negative; where the rest of it is 0 so must be the magnitude, or `some` be 1. */
static inline __m128i signed_by(__m128i magnitude, __m128i code, int some)
{
    return _mm_sign_epi16(magnitude, _mm_or_si128(_mm_slli_epi16(code, 8), all((int16_t)some)));
}

static inline __m128i of_ulaw(__m128i line)
{
    __m128i code = _mm_xor_si128(line, all(CODE_HIGH | 0xff));
    __m128i biased =
        _mm_mullo_epi16(base_of(code, 8, G711_ULAW_BIAS), by_exponent(code, 1, 2, 4, 8, 16, 32, 64, 128));
    return signed_by(_mm_sub_epi16(biased, all(G711_ULAW_BIAS)), code, 0);
}

/* Segments 0 and 1 share their step; only the higher has the leading one. */
static inline __m128i of_alaw(__m128i line)
{
    __m128i code = _mm_xor_si128(line, all(CODE_HIGH | 0x80 | G711_ALAW_FLIP));
    __m128i lead = _mm_slli_epi16(by_exponent(code, 0, 1, 2, 4, 8, 16, 32, 64), 8);
    __m128i rest = _mm_mullo_epi16(base_of(code, 16, 8), by_exponent(code, 1, 1, 2, 4, 8, 16, 32, 64));
    return signed_by(_mm_add_epi16(rest, lead), code, 1);
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

/* Segment: how many of 256, 512 ... 16384 the magnitude, at most 32767, reaches. */
static inline __m128i segment_of(__m128i magnitude)
{
    __m128i segment = all(0);
    for (int bound = 256; bound <= 16384; bound *= 2)
        segment = _mm_sub_epi16(segment, _mm_cmpgt_epi16(magnitude, all((int16_t)(bound - 1))));
    return segment;
}

/* The four bits below the highest one: a shift right by segment + 3, done as a multiplication. */
static inline __m128i step_of(__m128i magnitude, __m128i segment)
{
    __m128i factor = _mm_slli_epi16(power_of(_mm_sub_epi16(all(7), segment)), 6);
    return _mm_and_si128(_mm_mulhi_epu16(magnitude, factor), all(15));
}

static inline __m128i to_ulaw(__m128i sample)
{
    __m128i is_negative = _mm_srai_epi16(sample, 15);
    __m128i magnitude = _mm_min_epu16(_mm_abs_epi16(sample), all(G711_ULAW_CLIP));
    __m128i biased = _mm_add_epi16(magnitude, all(G711_ULAW_BIAS));
    __m128i segment = segment_of(biased);
    __m128i code = _mm_or_si128(_mm_slli_epi16(segment, 4), step_of(biased, segment));
    code = _mm_or_si128(code, _mm_and_si128(is_negative, all(0x80)));
    return _mm_xor_si128(code, all(0xff));
}

/* Segments 0 and 1 share their step. */
static inline __m128i to_alaw(__m128i sample)
{
    __m128i is_negative = _mm_srai_epi16(sample, 15);
    __m128i magnitude = _mm_xor_si128(sample, is_negative);
    __m128i segment = segment_of(magnitude);
    __m128i step = step_of(magnitude, _mm_max_epi16(segment, all(1)));
    __m128i code = _mm_or_si128(_mm_slli_epi16(segment, 4), step);
    code = _mm_or_si128(code, _mm_andnot_si128(is_negative, all(0x80)));
    return _mm_xor_si128(code, all(G711_ALAW_FLIP));
}

static inline void store_codes(uint8_t *out, __m128i codes)
{
    _mm_storel_epi64((__m128i *)(void *)out, _mm_packus_epi16(codes, codes));
}

void g711_encode_sse41(enum g711_law law, const int16_t *in, uint8_t *out, size_t count)
{
    size_t done = 0;
    for (; done + LANES <= count; done += LANES) {
        __m128i samples = _mm_loadu_si128((const __m128i *)(const void *)(in + done));
        store_codes(out + done, law == G711_ALAW ? to_alaw(samples) : to_ulaw(samples));
    }
    g711_encode_c(law, in + done, out + done, count - done);
}
