#include "dsp/g711_priv.h"

#include <arm_neon.h>

#define LANES 8

static inline int16x8_t negated_where(uint16x8_t magnitude, uint16x8_t is_negative)
{
    int16x8_t sample = vreinterpretq_s16_u16(magnitude);
    return vbslq_s16(is_negative, vnegq_s16(sample), sample);
}

static inline int16x8_t of_ulaw(uint16x8_t line)
{
    uint16x8_t code = veorq_u16(line, vdupq_n_u16(0xff));
    int16x8_t exponent = vreinterpretq_s16_u16(vandq_u16(vshrq_n_u16(code, 4), vdupq_n_u16(7)));
    uint16x8_t step = vshlq_n_u16(vandq_u16(code, vdupq_n_u16(15)), 3);
    uint16x8_t biased = vshlq_u16(vaddq_u16(step, vdupq_n_u16(G711_ULAW_BIAS)), exponent);
    return negated_where(vsubq_u16(biased, vdupq_n_u16(G711_ULAW_BIAS)), vtstq_u16(code, vdupq_n_u16(0x80)));
}

/* Segments 0 and 1 share their step; only the higher has the leading one. */
static inline int16x8_t of_alaw(uint16x8_t line)
{
    uint16x8_t code = veorq_u16(line, vdupq_n_u16(G711_ALAW_FLIP));
    uint16x8_t exponent = vandq_u16(vshrq_n_u16(code, 4), vdupq_n_u16(7));
    uint16x8_t step = vshlq_n_u16(vandq_u16(code, vdupq_n_u16(15)), 4);
    uint16x8_t lead = vandq_u16(vtstq_u16(exponent, vdupq_n_u16(7)), vdupq_n_u16(0x100));
    uint16x8_t base = vaddq_u16(lead, vdupq_n_u16(8));
    int16x8_t shift = vreinterpretq_s16_u16(vqsubq_u16(exponent, vdupq_n_u16(1)));
    return negated_where(vshlq_u16(vaddq_u16(step, base), shift),
                         vceqq_u16(vandq_u16(code, vdupq_n_u16(0x80)), vdupq_n_u16(0)));
}

void g711_decode_neon(enum g711_law law, const uint8_t *in, int16_t *out, size_t count)
{
    size_t done = 0;
    for (; done + LANES <= count; done += LANES) {
        uint16x8_t line = vmovl_u8(vld1_u8(in + done));
        vst1q_s16(out + done, law == G711_ALAW ? of_alaw(line) : of_ulaw(line));
    }
    g711_decode_c(law, in + done, out + done, count - done);
}

/* Segment: how many bits the magnitude, at most 32767, has beyond eight. */
static inline uint16x8_t segment_of(uint16x8_t magnitude)
{
    return vqsubq_u16(vdupq_n_u16(8), vclzq_u16(magnitude));
}

/* The four bits below the highest one. */
static inline uint16x8_t step_of(uint16x8_t magnitude, uint16x8_t segment)
{
    int16x8_t shift = vnegq_s16(vreinterpretq_s16_u16(vaddq_u16(segment, vdupq_n_u16(3))));
    return vandq_u16(vshlq_u16(magnitude, shift), vdupq_n_u16(15));
}

static inline uint16x8_t to_ulaw(int16x8_t sample)
{
    uint16x8_t magnitude = vminq_u16(vreinterpretq_u16_s16(vabsq_s16(sample)), vdupq_n_u16(G711_ULAW_CLIP));
    uint16x8_t biased = vaddq_u16(magnitude, vdupq_n_u16(G711_ULAW_BIAS));
    uint16x8_t segment = segment_of(biased);
    uint16x8_t code = vorrq_u16(vshlq_n_u16(segment, 4), step_of(biased, segment));
    code = vorrq_u16(code, vandq_u16(vcltzq_s16(sample), vdupq_n_u16(0x80)));
    return veorq_u16(code, vdupq_n_u16(0xff));
}

/* Segments 0 and 1 share their step. */
static inline uint16x8_t to_alaw(int16x8_t sample)
{
    uint16x8_t magnitude = vreinterpretq_u16_s16(veorq_s16(sample, vshrq_n_s16(sample, 15)));
    uint16x8_t segment = segment_of(magnitude);
    uint16x8_t step = step_of(magnitude, vmaxq_u16(segment, vdupq_n_u16(1)));
    uint16x8_t code = vorrq_u16(vshlq_n_u16(segment, 4), step);
    code = vorrq_u16(code, vandq_u16(vcgezq_s16(sample), vdupq_n_u16(0x80)));
    return veorq_u16(code, vdupq_n_u16(G711_ALAW_FLIP));
}

void g711_encode_neon(enum g711_law law, const int16_t *in, uint8_t *out, size_t count)
{
    size_t done = 0;
    for (; done + LANES <= count; done += LANES) {
        int16x8_t samples = vld1q_s16(in + done);
        vst1_u8(out + done, vmovn_u16(law == G711_ALAW ? to_alaw(samples) : to_ulaw(samples)));
    }
    g711_encode_c(law, in + done, out + done, count - done);
}
