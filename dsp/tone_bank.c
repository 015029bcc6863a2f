#include "dsp/tone_bank.h"

#include "dsp/tone_bank_priv.h"

const uint16_t tone_bank_hz[TONE_BANK_TONES] = {697, 770, 852, 941, 1209, 1336, 1477, 1633};

/* clang-format off */
_Alignas(64) const int16_t tone_bank_waves[TONE_BANK_BLOCK][2 * TONE_BANK_TONES] = {
    {-2335, -720, 1235, 3023, 2738, -64, -3066, -4018, 3364, 4031, 3904, 2762, -3045, -4094, -2714, 791},
    {-3745, -2884, -1453, 374, 4070, 3518, 1264, -1901, 1657, 2907, 3828, 4078, 454, -2096, -3895, -3627},
    {-4060, -4025, -3515, -2470, 2000, 3570, 4076, 2937, -534, 752, 2101, 3266, 3574, 2007, -397, -2853},
    {-3189, -3739, -4060, -4026, -1742, 39, 1991, 3571, -2569, -1670, -532, 750, 3706, 4095, 3578, 2005},
    {-1386, -2126, -2854, -3481, -4027, -3531, -2486, -907, -3853, -3500, -2936, -2157, 740, 2073, 3254, 3993},
    {823, 241, -417, -1119, -2946, -3557, -3976, -4086, -4012, -4088, -4074, -3939, -2844, -2029, -979, 265},
    {2790, 2523, 2200, 1826, 598, -13, -690, -1416, -2997, -3226, -3454, -3665, -4051, -4095, -4036, -3842},
    {3943, 3909, 3868, 3819, 3642, 3544, 3425, 3281, -1107, -1219, -1345, -1479, -1872, -2051, -2244, -2450},
    {3943, 3909, 3868, 3819, 3642, 3544, 3425, 3281, 1107, 1219, 1345, 1479, 1872, 2051, 2244, 2450},
    {2790, 2523, 2200, 1826, 598, -13, -690, -1416, 2997, 3226, 3454, 3665, 4051, 4095, 4036, 3842},
    {823, 241, -417, -1119, -2946, -3557, -3976, -4086, 4012, 4088, 4074, 3939, 2844, 2029, 979, -265},
    {-1386, -2126, -2854, -3481, -4027, -3531, -2486, -907, 3853, 3500, 2936, 2157, -740, -2073, -3254, -3993},
    {-3189, -3739, -4060, -4026, -1742, 39, 1991, 3571, 2569, 1670, 532, -750, -3706, -4095, -3578, -2005},
    {-4060, -4025, -3515, -2470, 2000, 3570, 4076, 2937, 534, -752, -2101, -3266, -3574, -2007, 397, 2853},
    {-3745, -2884, -1453, 374, 4070, 3518, 1264, -1901, -1657, -2907, -3828, -4078, -454, 2096, 3895, 3627},
    {-2335, -720, 1235, 3023, 2738, -64, -3066, -4018, -3364, -4031, -3904, -2762, 3045, 4094, 2714, -791},
};
/* clang-format on */

/* The waves are even (cosine) and odd (sine) about the block's middle: samples are folded first, which halves the
 * multiplications. Sums stay below 2^31: 16 * 32768 * 4095. */
static void fold(const int16_t *pcm, int32_t even[8], int32_t odd[8], uint32_t *energy)
{
    uint32_t sum = 0;
    for (int i = 0; i < 8; i++) {
        int32_t early = pcm[7 - i];
        int32_t late = pcm[8 + i];
        even[i] = late + early;
        odd[i] = late - early;
        int32_t a = pcm[2 * i];
        int32_t b = pcm[2 * i + 1];
        sum += ((uint32_t)(a * a) + (uint32_t)(b * b)) >> 4;
    }
    *energy = sum;
}

static void blocks_c(const int16_t *pcm, size_t block_count, struct tone_block *out)
{
    for (size_t k = 0; k < block_count; k++, pcm += TONE_BANK_BLOCK, out++) {
        int32_t even[8];
        int32_t odd[8];
        fold(pcm, even, odd, &out->energy);
        for (int tone = 0; tone < TONE_BANK_TONES; tone++) {
            int32_t cosine = 0;
            int32_t sine = 0;
            for (int i = 0; i < 8; i++) {
                cosine += even[i] * tone_bank_waves[8 + i][tone];
                sine += odd[i] * tone_bank_waves[8 + i][TONE_BANK_TONES + tone];
            }
            out->cosine[tone] = cosine;
            out->sine[tone] = sine;
        }
    }
}

static const struct tone_bank_face faces[] = {
    {"c", 0, blocks_c},
#ifdef TONE_BANK_HAS_X86
    {"sse2", DSP_CPU_SSE2, tone_bank_blocks_sse2},
    {"avx2", DSP_CPU_AVX2, tone_bank_blocks_avx2},
    {"avx512", DSP_CPU_AVX512 | DSP_CPU_VNNI, tone_bank_blocks_avx512},
#endif
};
#define FACE_COUNT (sizeof(faces) / sizeof(faces[0]))

const struct tone_bank_face *tone_bank_faces(size_t *count)
{
    *count = FACE_COUNT;
    return faces;
}

const struct tone_bank_face *tone_bank_choose(unsigned cpu_flags)
{
    const struct tone_bank_face *best = &faces[0];
    for (size_t i = 1; i < FACE_COUNT; i++) {
        if ((faces[i].cpu_flags & ~cpu_flags) == 0)
            best = &faces[i];
    }
    return best;
}
