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

/* A lane holds a code in its low byte and CODE_HIGH in its high one, of which maddubs takes a 1, and a look-up an index of a
 * zero. */
#define CODE_HIGH ((int16_t)0x8100)
#define STEP_BITS 0x010f

/* In each low byte the code's exponent; in each high one an index of a zero. */
static inline __m256i exponent_of(__m256i code)
{
    return _mm256_and_si256(_mm256_srli_epi16(code, 4), all(0x0807));
}

/* One of eight bytes for each lane, by the code's exponent. */
static inline __m256i by_exponent(__m256i code, int a, int b, int c, int d, int e, int f, int g, int h)
{
    const __m128i bytes = _mm_setr_epi8((char)a, (char)b, (char)c, (char)d, (char)e, (char)f, (char)g,
                                        (char)h, 0, 0, 0, 0, 0, 0, 0, 0);
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), exponent_of(code));
}

/* The code's step times a factor, plus what is added. */
static inline __m256i base_of(__m256i code, int factor, int added)
{
    return _mm256_maddubs_epi16(all((int16_t)(added << 8 | factor)), _mm256_and_si256(code, all(STEP_BITS)));
}

/* The code's highest bit says that it is negative; where the rest of it is 0 so must be the magnitude, or `some` be 1. */
static inline __m256i signed_by(__m256i magnitude, __m256i code, int some)
{
    return _mm256_sign_epi16(magnitude, _mm256_or_si256(_mm256_slli_epi16(code, 8), all((int16_t)some)));
}

static inline __m256i of_ulaw(__m256i line)
{
    __m256i code = _mm256_xor_si256(line, all(CODE_HIGH | 0xff));
    __m256i biased =
        _mm256_mullo_epi16(base_of(code, 8, G711_ULAW_BIAS), by_exponent(code, 1, 2, 4, 8, 16, 32, 64, 128));
    return signed_by(_mm256_sub_epi16(biased, all(G711_ULAW_BIAS)), code, 0);
}

/* Segments 0 and 1 share their step; only the higher has the leading one. */
static inline __m256i of_alaw(__m256i line)
{
    __m256i code = _mm256_xor_si256(line, all(CODE_HIGH | 0x80 | G711_ALAW_FLIP));
    __m256i lead = _mm256_slli_epi16(by_exponent(code, 0, 1, 2, 4, 8, 16, 32, 64), 8);
    __m256i rest = _mm256_mullo_epi16(base_of(code, 16, 8), by_exponent(code, 1, 1, 2, 4, 8, 16, 32, 64));
    return signed_by(_mm256_add_epi16(rest, lead), code, 1);
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
