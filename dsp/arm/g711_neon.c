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
