#include "dsp/g711_priv.h"

#include <immintrin.h>

#define LANES 32

static inline __m512i all(int16_t value)
{
    return _mm512_set1_epi16(value);
}

static inline __m512i of_ulaw(__m512i line)
{
    __m512i code = _mm512_xor_si512(line, all(0xff));
    __m512i exponent = _mm512_and_si512(_mm512_srli_epi16(code, 4), all(7));
    __m512i step = _mm512_slli_epi16(_mm512_and_si512(code, all(15)), 3);
    __m512i biased = _mm512_sllv_epi16(_mm512_add_epi16(step, all(G711_ULAW_BIAS)), exponent);
    __m512i magnitude = _mm512_sub_epi16(biased, all(G711_ULAW_BIAS));
    return _mm512_mask_sub_epi16(magnitude, _mm512_test_epi16_mask(code, all(0x80)), all(0), magnitude);
}

/* Segments 0 and 1 share their step; only the higher has the leading one. */
static inline __m512i of_alaw(__m512i line)
{
    __m512i code = _mm512_xor_si512(line, all(G711_ALAW_FLIP));
    __m512i exponent = _mm512_and_si512(_mm512_srli_epi16(code, 4), all(7));
    __m512i step = _mm512_slli_epi16(_mm512_and_si512(code, all(15)), 4);
    __mmask32 has_lead = _mm512_test_epi16_mask(code, all(0x70));
    __m512i base = _mm512_mask_blend_epi16(has_lead, all(8), all(0x108));
    __m512i magnitude = _mm512_sllv_epi16(_mm512_add_epi16(step, base), _mm512_subs_epu16(exponent, all(1)));
    return _mm512_mask_sub_epi16(magnitude, _mm512_testn_epi16_mask(code, all(0x80)), all(0), magnitude);
}

static inline __m512i of_line(enum g711_law law, __m512i line)
{
    return law == G711_ALAW ? of_alaw(line) : of_ulaw(line);
}

static inline __attribute__((always_inline)) void decode(enum g711_law law, const uint8_t *in, int16_t *out,
                                                         size_t count)
{
    for (; count >= LANES; count -= LANES, in += LANES, out += LANES) {
        __m256i bytes = _mm256_loadu_si256((const __m256i *)(const void *)in);
        _mm512_storeu_si512((void *)out, of_line(law, _mm512_cvtepu8_epi16(bytes)));
    }
    if (count) {
        __mmask32 left = (__mmask32)((1u << count) - 1);
        __m256i bytes = _mm256_maskz_loadu_epi8(left, in);
        _mm512_mask_storeu_epi16(out, left, of_line(law, _mm512_cvtepu8_epi16(bytes)));
    }
}

void g711_decode_avx512(enum g711_law law, const uint8_t *in, int16_t *out, size_t count)
{
    if (law == G711_ALAW)
        decode(G711_ALAW, in, out, count);
    else
        decode(G711_ULAW, in, out, count);
}

/* Segment: how many of 256, 512 ... 16384 the magnitude, at most 32767, reaches. */
static inline __m512i segment_of(__m512i magnitude)
{
    __m512i segment = all(0);
    for (int bound = 256; bound <= 16384; bound *= 2) {
        __mmask32 reaches = _mm512_cmpge_epi16_mask(magnitude, all((int16_t)bound));
        segment = _mm512_mask_add_epi16(segment, reaches, segment, all(1));
    }
    return segment;
}

/* The four bits below the highest one. */
static inline __m512i step_of(__m512i magnitude, __m512i segment)
{
    return _mm512_and_si512(_mm512_srlv_epi16(magnitude, _mm512_add_epi16(segment, all(3))), all(15));
}

static inline __m512i to_ulaw(__m512i sample)
{
    __mmask32 is_negative = _mm512_movepi16_mask(sample);
    __m512i magnitude = _mm512_min_epu16(_mm512_abs_epi16(sample), all(G711_ULAW_CLIP));
    __m512i biased = _mm512_add_epi16(magnitude, all(G711_ULAW_BIAS));
    __m512i segment = segment_of(biased);
    __m512i code = _mm512_or_si512(_mm512_slli_epi16(segment, 4), step_of(biased, segment));
    code = _mm512_mask_add_epi16(code, is_negative, code, all(0x80));
    return _mm512_xor_si512(code, all(0xff));
}

/* Segments 0 and 1 share their step. */
static inline __m512i to_alaw(__m512i sample)
{
    __mmask32 is_negative = _mm512_movepi16_mask(sample);
    __m512i magnitude = _mm512_xor_si512(sample, _mm512_srai_epi16(sample, 15));
    __m512i segment = segment_of(magnitude);
    __m512i step = step_of(magnitude, _mm512_max_epi16(segment, all(1)));
    __m512i code = _mm512_or_si512(_mm512_slli_epi16(segment, 4), step);
    code = _mm512_mask_add_epi16(code, (__mmask32)~is_negative, code, all(0x80));
    return _mm512_xor_si512(code, all(G711_ALAW_FLIP));
}

void g711_encode_avx512(enum g711_law law, const int16_t *in, uint8_t *out, size_t count)
{
    for (; count; in += LANES, out += LANES) {
        size_t some = count < LANES ? count : LANES;
        __mmask32 there = (__mmask32)((1ull << some) - 1);
        __m512i samples = _mm512_maskz_loadu_epi16(there, in);
        __m512i codes = law == G711_ALAW ? to_alaw(samples) : to_ulaw(samples);
        _mm256_mask_storeu_epi8(out, there, _mm512_cvtepi16_epi8(codes));
        count -= some;
    }
}
