#include "dsp/g711.h"

#include "dsp/g711_priv.h"

#include <stdatomic.h>

/* Decoding looks up; encoding computes the segment, which is as exact and needs no 64 KB of cache. */

static const int16_t linear_of_ulaw[256] = {
    -32124, -31100, -30076, -29052, -28028, -27004, -25980, -24956, -23932, -22908, -21884, -20860, -19836,
    -18812, -17788, -16764, -15996, -15484, -14972, -14460, -13948, -13436, -12924, -12412, -11900, -11388,
    -10876, -10364, -9852,  -9340,  -8828,  -8316,  -7932,  -7676,  -7420,  -7164,  -6908,  -6652,  -6396,
    -6140,  -5884,  -5628,  -5372,  -5116,  -4860,  -4604,  -4348,  -4092,  -3900,  -3772,  -3644,  -3516,
    -3388,  -3260,  -3132,  -3004,  -2876,  -2748,  -2620,  -2492,  -2364,  -2236,  -2108,  -1980,  -1884,
    -1820,  -1756,  -1692,  -1628,  -1564,  -1500,  -1436,  -1372,  -1308,  -1244,  -1180,  -1116,  -1052,
    -988,   -924,   -876,   -844,   -812,   -780,   -748,   -716,   -684,   -652,   -620,   -588,   -556,
    -524,   -492,   -460,   -428,   -396,   -372,   -356,   -340,   -324,   -308,   -292,   -276,   -260,
    -244,   -228,   -212,   -196,   -180,   -164,   -148,   -132,   -120,   -112,   -104,   -96,    -88,
    -80,    -72,    -64,    -56,    -48,    -40,    -32,    -24,    -16,    -8,     0,      32124,  31100,
    30076,  29052,  28028,  27004,  25980,  24956,  23932,  22908,  21884,  20860,  19836,  18812,  17788,
    16764,  15996,  15484,  14972,  14460,  13948,  13436,  12924,  12412,  11900,  11388,  10876,  10364,
    9852,   9340,   8828,   8316,   7932,   7676,   7420,   7164,   6908,   6652,   6396,   6140,   5884,
    5628,   5372,   5116,   4860,   4604,   4348,   4092,   3900,   3772,   3644,   3516,   3388,   3260,
    3132,   3004,   2876,   2748,   2620,   2492,   2364,   2236,   2108,   1980,   1884,   1820,   1756,
    1692,   1628,   1564,   1500,   1436,   1372,   1308,   1244,   1180,   1116,   1052,   988,    924,
    876,    844,    812,    780,    748,    716,    684,    652,    620,    588,    556,    524,    492,
    460,    428,    396,    372,    356,    340,    324,    308,    292,    276,    260,    244,    228,
    212,    196,    180,    164,    148,    132,    120,    112,    104,    96,     88,     80,     72,
    64,     56,     48,     40,     32,     24,     16,     8,      0,
};

static const int16_t linear_of_alaw[256] = {
    -5504,  -5248,  -6016,  -5760,  -4480,  -4224,  -4992,  -4736,  -7552,  -7296,  -8064,  -7808,  -6528,
    -6272,  -7040,  -6784,  -2752,  -2624,  -3008,  -2880,  -2240,  -2112,  -2496,  -2368,  -3776,  -3648,
    -4032,  -3904,  -3264,  -3136,  -3520,  -3392,  -22016, -20992, -24064, -23040, -17920, -16896, -19968,
    -18944, -30208, -29184, -32256, -31232, -26112, -25088, -28160, -27136, -11008, -10496, -12032, -11520,
    -8960,  -8448,  -9984,  -9472,  -15104, -14592, -16128, -15616, -13056, -12544, -14080, -13568, -344,
    -328,   -376,   -360,   -280,   -264,   -312,   -296,   -472,   -456,   -504,   -488,   -408,   -392,
    -440,   -424,   -88,    -72,    -120,   -104,   -24,    -8,     -56,    -40,    -216,   -200,   -248,
    -232,   -152,   -136,   -184,   -168,   -1376,  -1312,  -1504,  -1440,  -1120,  -1056,  -1248,  -1184,
    -1888,  -1824,  -2016,  -1952,  -1632,  -1568,  -1760,  -1696,  -688,   -656,   -752,   -720,   -560,
    -528,   -624,   -592,   -944,   -912,   -1008,  -976,   -816,   -784,   -880,   -848,   5504,   5248,
    6016,   5760,   4480,   4224,   4992,   4736,   7552,   7296,   8064,   7808,   6528,   6272,   7040,
    6784,   2752,   2624,   3008,   2880,   2240,   2112,   2496,   2368,   3776,   3648,   4032,   3904,
    3264,   3136,   3520,   3392,   22016,  20992,  24064,  23040,  17920,  16896,  19968,  18944,  30208,
    29184,  32256,  31232,  26112,  25088,  28160,  27136,  11008,  10496,  12032,  11520,  8960,   8448,
    9984,   9472,   15104,  14592,  16128,  15616,  13056,  12544,  14080,  13568,  344,    328,    376,
    360,    280,    264,    312,    296,    472,    456,    504,    488,    408,    392,    440,    424,
    88,     72,     120,    104,    24,     8,      56,     40,     216,    200,    248,    232,    152,
    136,    184,    168,    1376,   1312,   1504,   1440,   1120,   1056,   1248,   1184,   1888,   1824,
    2016,   1952,   1632,   1568,   1760,   1696,   688,    656,    752,    720,    560,    528,    624,
    592,    944,    912,    1008,   976,    816,    784,    880,    848,
};

/* ITU-T G.711 table 2: the segment is the place of the highest bit of the biased magnitude. */
static uint8_t ulaw_of_linear(int16_t sample)
{
    unsigned sign = sample < 0 ? 0x80 : 0;
    int magnitude = sample < 0 ? -(int)sample : sample;
    if (magnitude > G711_ULAW_CLIP)
        magnitude = G711_ULAW_CLIP;
    unsigned biased = (unsigned)magnitude + G711_ULAW_BIAS;
    unsigned segment = 24u - (unsigned)__builtin_clz(biased); /* 128..255 is segment 0 */
    unsigned step = (biased >> (segment + 3)) & 15;
    return (uint8_t) ~(sign | segment << 4 | step);
}

/* ITU-T G.711 table 1; segments 0 and 1 share their step. */
static uint8_t alaw_of_linear(int16_t sample)
{
    unsigned sign = sample < 0 ? 0 : 0x80;
    unsigned magnitude = (unsigned)(sample < 0 ? -(int)sample - 1 : sample);
    unsigned code;
    if (magnitude < 256) {
        code = magnitude >> 4;
    } else {
        unsigned segment = 24u - (unsigned)__builtin_clz(magnitude); /* 256..511 is segment 1 */
        code = segment << 4 | ((magnitude >> (segment + 3)) & 15);
    }
    return (uint8_t)((sign | code) ^ G711_ALAW_FLIP);
}

void g711_decode_c(enum g711_law law, const uint8_t *in, int16_t *out, size_t count)
{
    const int16_t *linear = law == G711_ALAW ? linear_of_alaw : linear_of_ulaw;
    for (size_t i = 0; i < count; i++)
        out[i] = linear[in[i]];
}

void g711_encode_c(enum g711_law law, const int16_t *in, uint8_t *out, size_t count)
{
    if (law == G711_ALAW) {
        for (size_t i = 0; i < count; i++)
            out[i] = alaw_of_linear(in[i]);
    } else {
        for (size_t i = 0; i < count; i++)
            out[i] = ulaw_of_linear(in[i]);
    }
}

static const struct g711_face faces[] = {
    {"c", 0, g711_decode_c, g711_encode_c},
#ifdef DSP_HAS_X86
    {"sse41", DSP_CPU_SSE41, g711_decode_sse41, g711_encode_sse41},
    {"avx2", DSP_CPU_AVX2, g711_decode_avx2, g711_encode_avx2},
    {"avx512", DSP_CPU_AVX512, g711_decode_avx512, g711_encode_avx512},
#endif
#ifdef DSP_HAS_NEON
    {"neon", DSP_CPU_NEON, g711_decode_neon, g711_encode_neon},
#endif
};
#define FACE_COUNT (sizeof(faces) / sizeof(faces[0]))

static _Atomic(const struct g711_face *) bound;

const struct g711_face *g711_faces(size_t *count)
{
    *count = FACE_COUNT;
    return faces;
}

void g711_bind(unsigned cpu_flags)
{
    const struct g711_face *best = &faces[0];
    for (size_t i = 1; i < FACE_COUNT; i++) {
        if ((faces[i].cpu_flags & ~cpu_flags) == 0)
            best = &faces[i];
    }
    atomic_store_explicit(&bound, best, memory_order_relaxed);
}

static const struct g711_face *face_bound(void)
{
    const struct g711_face *face = atomic_load_explicit(&bound, memory_order_relaxed);
    if (face)
        return face;
    g711_bind(dsp_cpu_flags());
    return atomic_load_explicit(&bound, memory_order_relaxed);
}

void g711_decode(enum g711_law law, const uint8_t *in, int16_t *out, size_t count)
{
    face_bound()->decode(law, in, out, count);
}

void g711_encode(enum g711_law law, const int16_t *in, uint8_t *out, size_t count)
{
    face_bound()->encode(law, in, out, count);
}
