/* The part of suspicion that runs for every block of every channel: joining blocks to windows and sorting out those in
 * which nothing like a pair can be heard. Written once, in the compiler's vectors, and compiled for each level of
 * processor; no multiplication is fused with an addition, so every face gives the same bits. */
#ifndef TONEGATE_DSP_SUSPICION_PRIV_H
#define TONEGATE_DSP_SUSPICION_PRIV_H

#include "dsp/suspicion.h"

#include <string.h>

typedef float vec8 __attribute__((vector_size(32)));
typedef int32_t ivec8 __attribute__((vector_size(32)));

#define SUSPICION_INLINE static inline __attribute__((always_inline))

/* cos and sin of half the distance between the middles of two halves that are joined. */
struct suspicion_turn {
    _Alignas(32) float cosine[TONE_BANK_TONES];
    _Alignas(32) float sine[TONE_BANK_TONES];
};

/* A spectrum in registers. */
struct suspicion_wave {
    vec8 cosine;
    vec8 sine;
};

/* For one window: how its halves turn (detuned down, nominal, up), and what it takes to be asked. */
struct suspicion_gate {
    struct suspicion_turn turn[3];
    _Alignas(32) float slope[TONE_BANK_TONES]; /* what differences make of each tone's energy */
    float energy_min;
    float
        share; /* times energy and the least share: least power of the strongest row and column at nominal frequency */
};

/* Windows of one length at every block of a feed; the first SUSPICION_PAST are of the feed before. */
struct suspicion_run {
    struct suspicion_spectrum spectrum[SUSPICION_PAST + SUSPICION_FEED_MAX];
    float energy[SUSPICION_PAST + SUSPICION_FEED_MAX];
    float difference[SUSPICION_PAST + SUSPICION_FEED_MAX];
};

struct suspicion_scratch {
    struct suspicion_run one, two, three, four;
    uint16_t asked[SUSPICION_FEED_MAX]; /* bit w: window w must be asked closely; bit 8 + w: by differences */
};

/* factor: for each window gate.share * least share, or SUSPICION_NEVER; then the same for differences. */
#define SUSPICION_NEVER 1e30f
typedef void suspicion_push(struct suspicion_scratch *scratch, const struct tone_block *blocks, size_t count,
                            const struct suspicion_gate gates[SUSPICION_WINDOWS],
                            const float factor[2 * SUSPICION_WINDOWS]);

struct suspicion_face {
    const char *name;
    unsigned cpu_flags;
    suspicion_push *push;
};
const struct suspicion_face *suspicion_faces(size_t *count);

#ifdef TONE_BANK_HAS_X86
suspicion_push suspicion_push_avx2;
suspicion_push suspicion_push_avx512;
#endif

/* memcpy: the structs may lie in memory of any alignment, and the compiler knows what it means. */
SUSPICION_INLINE void suspicion_load(struct suspicion_wave *out, const struct suspicion_spectrum *spectrum)
{
    memcpy(&out->cosine, spectrum->wave, sizeof(out->cosine));
    memcpy(&out->sine, spectrum->wave + TONE_BANK_TONES, sizeof(out->sine));
}

SUSPICION_INLINE void suspicion_keep(struct suspicion_spectrum *spectrum, const struct suspicion_wave *wave)
{
    memcpy(spectrum->wave, &wave->cosine, sizeof(wave->cosine));
    memcpy(spectrum->wave + TONE_BANK_TONES, &wave->sine, sizeof(wave->sine));
}

/* The window about its own middle, from its halves about theirs: the early one is turned back, the late one on. */
SUSPICION_INLINE void suspicion_join(struct suspicion_wave *out, const struct suspicion_spectrum *early,
                                     const struct suspicion_spectrum *late, const struct suspicion_turn *turn)
{
    struct suspicion_wave a, b;
    vec8 cosine, sine;
    suspicion_load(&a, early);
    suspicion_load(&b, late);
    memcpy(&cosine, turn->cosine, sizeof(cosine));
    memcpy(&sine, turn->sine, sizeof(sine));
    out->cosine = (b.cosine + a.cosine) * cosine - (b.sine - a.sine) * sine;
    out->sine = (b.sine + a.sine) * cosine + (b.cosine - a.cosine) * sine;
}

SUSPICION_INLINE void suspicion_power(vec8 *out, const struct suspicion_wave *wave)
{
    *out = wave->cosine * wave->cosine + wave->sine * wave->sine;
}

#ifdef __AVX__
SUSPICION_INLINE void suspicion_max(vec8 *a, const vec8 *b)
{
    ivec8 is_less = *a < *b;
    *a = (vec8)(((ivec8)*b & is_less) | ((ivec8)*a & ~is_less));
}

/* Power of the strongest row plus that of the strongest column. */
SUSPICION_INLINE float suspicion_strongest(const vec8 *powers)
{
    vec8 power = *powers;
    vec8 other = __builtin_shufflevector(power, power, 2, 3, 0, 1, 6, 7, 4, 5);
    suspicion_max(&power, &other);
    other = __builtin_shufflevector(power, power, 1, 0, 3, 2, 5, 4, 7, 6);
    suspicion_max(&power, &other);
    return power[0] + power[4];
}
#else
SUSPICION_INLINE float suspicion_max4(const float *power)
{
    float a = power[0] > power[1] ? power[0] : power[1];
    float b = power[2] > power[3] ? power[2] : power[3];
    return a > b ? a : b;
}

/* As above; without registers of eight floats the compiler's shuffles go through memory anyway. */
SUSPICION_INLINE float suspicion_strongest(const vec8 *power)
{
    float powers[TONE_BANK_TONES];
    memcpy(powers, power, sizeof(powers));
    return suspicion_max4(powers) + suspicion_max4(powers + 4);
}
#endif

SUSPICION_INLINE unsigned suspicion_is_asked(const struct suspicion_wave *wave, float energy,
                                             const struct suspicion_gate *gate, float factor)
{
    if (factor >= SUSPICION_NEVER)
        return 0;
    vec8 power;
    suspicion_power(&power, wave);
    unsigned is_loud = energy >= gate->energy_min;
    unsigned is_pair = suspicion_strongest(&power) >= energy * factor;
    return is_loud & is_pair;
}

/* The window of 12 ms: bit 0 asked by energy, bit 8 by differences. */
SUSPICION_INLINE unsigned suspicion_is_asked_twice(const struct suspicion_wave *wave, float energy,
                                                   float difference, const struct suspicion_gate *gate,
                                                   const float *factor)
{
    vec8 power, slope;
    suspicion_power(&power, wave);
    memcpy(&slope, gate->slope, sizeof(slope));
    unsigned is_loud = energy >= gate->energy_min;
    unsigned is_pair = suspicion_strongest(&power) >= energy * factor[0];
    power *= slope;
    unsigned is_steep = suspicion_strongest(&power) >= difference * factor[SUSPICION_WINDOWS];
    return is_loud * (is_pair | is_steep << 8);
}

/* All windows that end at block k, counted from the oldest remembered one. */
SUSPICION_INLINE unsigned suspicion_step(struct suspicion_scratch *s, size_t k,
                                         const struct tone_block *block,
                                         const struct suspicion_gate gates[SUSPICION_WINDOWS],
                                         const float factor[2 * SUSPICION_WINDOWS])
{
    ivec8 cosine, sine;
    struct suspicion_wave wave, middle;
    memcpy(&cosine, block->cosine, sizeof(cosine));
    memcpy(&sine, block->sine, sizeof(sine));
    wave.cosine = __builtin_convertvector(cosine, vec8) * (1.0f / TONE_BANK_SCALE);
    wave.sine = __builtin_convertvector(sine, vec8) * (1.0f / TONE_BANK_SCALE);
    suspicion_keep(&s->one.spectrum[k], &wave);
    s->one.energy[k] = (float)(int32_t)(block->energy >> 1) * (2 * TONE_BANK_ENERGY_UNIT);
    /* 15 steps stand for 16. */
    s->one.difference[k] = (float)(int32_t)(block->difference >> 1) *
                           (2 * TONE_BANK_ENERGY_UNIT * TONE_BANK_BLOCK / (TONE_BANK_BLOCK - 1));

    suspicion_join(&wave, &s->one.spectrum[k - 1], &s->one.spectrum[k], &gates[0].turn[1]);
    suspicion_keep(&s->two.spectrum[k], &wave);
    s->two.energy[k] = s->one.energy[k - 1] + s->one.energy[k];
    s->two.difference[k] = s->one.difference[k - 1] + s->one.difference[k];
    unsigned asked = suspicion_is_asked(&wave, s->two.energy[k], &gates[0], factor[0]);

    suspicion_join(&wave, &s->one.spectrum[k - 2], &s->one.spectrum[k], &gates[1].turn[1]);
    suspicion_load(&middle, &s->one.spectrum[k - 1]);
    wave.cosine += middle.cosine;
    wave.sine += middle.sine;
    suspicion_keep(&s->three.spectrum[k], &wave);
    s->three.energy[k] = s->one.energy[k - 2] + s->two.energy[k];
    s->three.difference[k] = s->one.difference[k - 2] + s->two.difference[k];
    asked |= suspicion_is_asked(&wave, s->three.energy[k], &gates[1], factor[1]) << 1;

    suspicion_join(&wave, &s->two.spectrum[k - 2], &s->two.spectrum[k], &gates[2].turn[1]);
    suspicion_keep(&s->four.spectrum[k], &wave);
    s->four.energy[k] = s->two.energy[k - 2] + s->two.energy[k];
    s->four.difference[k] = s->two.difference[k - 2] + s->two.difference[k];
    asked |= suspicion_is_asked(&wave, s->four.energy[k], &gates[2], factor[2]) << 2;

    suspicion_join(&wave, &s->three.spectrum[k - 3], &s->three.spectrum[k], &gates[3].turn[1]);
    float energy = s->three.energy[k - 3] + s->three.energy[k];
    float difference = s->three.difference[k - 3] + s->three.difference[k];
    asked |= suspicion_is_asked_twice(&wave, energy, difference, &gates[3], &factor[3]) << 3;

    suspicion_join(&wave, &s->four.spectrum[k - 4], &s->four.spectrum[k], &gates[4].turn[1]);
    energy = s->four.energy[k - 4] + s->four.energy[k];
    return asked | suspicion_is_asked(&wave, energy, &gates[4], factor[4]) << 4;
}

SUSPICION_INLINE void suspicion_push_face(struct suspicion_scratch *scratch, const struct tone_block *blocks,
                                          size_t count, const struct suspicion_gate gates[SUSPICION_WINDOWS],
                                          const float factor[2 * SUSPICION_WINDOWS])
{
    for (size_t i = 0; i < count; i++)
        scratch->asked[i] = (uint16_t)suspicion_step(scratch, SUSPICION_PAST + i, &blocks[i], gates, factor);
}

#endif
