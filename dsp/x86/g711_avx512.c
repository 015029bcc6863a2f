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
