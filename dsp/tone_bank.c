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
/* The same by pairs of samples, for multiply-and-add of pairs: [pair][wave][sample of the pair]. */
_Alignas(64) const int16_t tone_bank_pairs[TONE_BANK_BLOCK / 2][2 * TONE_BANK_TONES][2] = {
    {{-2335, -3745}, {-720, -2884}, {1235, -1453}, {3023, 374}, {2738, 4070}, {-64, 3518}, {-3066, 1264}, {-4018, -1901}, {3364, 1657}, {4031, 2907}, {3904, 3828}, {2762, 4078}, {-3045, 454}, {-4094, -2096}, {-2714, -3895}, {791, -3627}},
    {{-4060, -3189}, {-4025, -3739}, {-3515, -4060}, {-2470, -4026}, {2000, -1742}, {3570, 39}, {4076, 1991}, {2937, 3571}, {-534, -2569}, {752, -1670}, {2101, -532}, {3266, 750}, {3574, 3706}, {2007, 4095}, {-397, 3578}, {-2853, 2005}},
    {{-1386, 823}, {-2126, 241}, {-2854, -417}, {-3481, -1119}, {-4027, -2946}, {-3531, -3557}, {-2486, -3976}, {-907, -4086}, {-3853, -4012}, {-3500, -4088}, {-2936, -4074}, {-2157, -3939}, {740, -2844}, {2073, -2029}, {3254, -979}, {3993, 265}},
    {{2790, 3943}, {2523, 3909}, {2200, 3868}, {1826, 3819}, {598, 3642}, {-13, 3544}, {-690, 3425}, {-1416, 3281}, {-2997, -1107}, {-3226, -1219}, {-3454, -1345}, {-3665, -1479}, {-4051, -1872}, {-4095, -2051}, {-4036, -2244}, {-3842, -2450}},
    {{3943, 2790}, {3909, 2523}, {3868, 2200}, {3819, 1826}, {3642, 598}, {3544, -13}, {3425, -690}, {3281, -1416}, {1107, 2997}, {1219, 3226}, {1345, 3454}, {1479, 3665}, {1872, 4051}, {2051, 4095}, {2244, 4036}, {2450, 3842}},
    {{823, -1386}, {241, -2126}, {-417, -2854}, {-1119, -3481}, {-2946, -4027}, {-3557, -3531}, {-3976, -2486}, {-4086, -907}, {4012, 3853}, {4088, 3500}, {4074, 2936}, {3939, 2157}, {2844, -740}, {2029, -2073}, {979, -3254}, {-265, -3993}},
    {{-3189, -4060}, {-3739, -4025}, {-4060, -3515}, {-4026, -2470}, {-1742, 2000}, {39, 3570}, {1991, 4076}, {3571, 2937}, {2569, 534}, {1670, -752}, {532, -2101}, {-750, -3266}, {-3706, -3574}, {-4095, -2007}, {-3578, 397}, {-2005, 2853}},
    {{-3745, -2335}, {-2884, -720}, {-1453, 1235}, {374, 3023}, {4070, 2738}, {3518, -64}, {1264, -3066}, {-1901, -4018}, {-1657, -3364}, {-2907, -4031}, {-3828, -3904}, {-4078, -2762}, {-454, 3045}, {2096, 4094}, {3895, 2714}, {3627, -791}},
};
/* The later half of the waves once more for the C reference, a low and a high tone in one number: one multiplication
 * of 64 bits then does two of 32, exactly, because every sum fits its half. */
#define BOTH(low, high) ((int64_t)(high) * 4294967296 + (low))
static const int64_t even_waves[8][4] = {
    {BOTH(3943, 3642), BOTH(3909, 3544), BOTH(3868, 3425), BOTH(3819, 3281)},
    {BOTH(2790, 598), BOTH(2523, -13), BOTH(2200, -690), BOTH(1826, -1416)},
    {BOTH(823, -2946), BOTH(241, -3557), BOTH(-417, -3976), BOTH(-1119, -4086)},
    {BOTH(-1386, -4027), BOTH(-2126, -3531), BOTH(-2854, -2486), BOTH(-3481, -907)},
    {BOTH(-3189, -1742), BOTH(-3739, 39), BOTH(-4060, 1991), BOTH(-4026, 3571)},
    {BOTH(-4060, 2000), BOTH(-4025, 3570), BOTH(-3515, 4076), BOTH(-2470, 2937)},
    {BOTH(-3745, 4070), BOTH(-2884, 3518), BOTH(-1453, 1264), BOTH(374, -1901)},
    {BOTH(-2335, 2738), BOTH(-720, -64), BOTH(1235, -3066), BOTH(3023, -4018)},
};
static const int64_t odd_waves[8][4] = {
    {BOTH(1107, 1872), BOTH(1219, 2051), BOTH(1345, 2244), BOTH(1479, 2450)},
    {BOTH(2997, 4051), BOTH(3226, 4095), BOTH(3454, 4036), BOTH(3665, 3842)},
    {BOTH(4012, 2844), BOTH(4088, 2029), BOTH(4074, 979), BOTH(3939, -265)},
    {BOTH(3853, -740), BOTH(3500, -2073), BOTH(2936, -3254), BOTH(2157, -3993)},
    {BOTH(2569, -3706), BOTH(1670, -4095), BOTH(532, -3578), BOTH(-750, -2005)},
    {BOTH(534, -3574), BOTH(-752, -2007), BOTH(-2101, 397), BOTH(-3266, 2853)},
    {BOTH(-1657, -454), BOTH(-2907, 2096), BOTH(-3828, 3895), BOTH(-4078, 3627)},
    {BOTH(-3364, 3045), BOTH(-4031, 4094), BOTH(-3904, 2714), BOTH(-2762, -791)},
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

/* Sums of a low and of a high tone, out of the one number that holds both. */
static inline void part(uint64_t both, int32_t *low, int32_t *high)
{
    *low = (int32_t)(uint32_t)both;
    *high = (int32_t)(uint32_t)((both - (uint64_t)(int64_t)*low) >> 32);
}

static void blocks_c(const int16_t *pcm, size_t block_count, struct tone_block *out)
{
    for (size_t k = 0; k < block_count; k++, pcm += TONE_BANK_BLOCK, out++) {
        int32_t even[8];
        int32_t odd[8];
        fold(pcm, even, odd, &out->energy);
        out->difference = tone_bank_difference(pcm);
        for (int tone = 0; tone < 4; tone++) {
            uint64_t cosine = 0;
            uint64_t sine = 0;
            for (int i = 0; i < 8; i++) {
                cosine += (uint64_t)(int64_t)even[i] * (uint64_t)even_waves[i][tone];
                sine += (uint64_t)(int64_t)odd[i] * (uint64_t)odd_waves[i][tone];
            }
            part(cosine, &out->cosine[tone], &out->cosine[4 + tone]);
            part(sine, &out->sine[tone], &out->sine[4 + tone]);
        }
    }
}

static const struct tone_bank_face faces[] = {
    {"c", 0, blocks_c},
#ifdef DSP_HAS_X86
    {"sse41", DSP_CPU_SSE41, tone_bank_blocks_sse41},
    {"avx2", DSP_CPU_AVX2, tone_bank_blocks_avx2},
    {"avx512", DSP_CPU_AVX512 | DSP_CPU_VNNI, tone_bank_blocks_avx512},
#endif
#ifdef DSP_HAS_NEON
    {"neon", DSP_CPU_NEON, tone_bank_blocks_neon},
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
