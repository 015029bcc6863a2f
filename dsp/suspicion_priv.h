/* The part of suspicion that runs for every block of every channel: appending a block to the windows and sorting out
 * those in which nothing like a pair can be heard. Written once, in the compiler's vectors of eight floats, and compiled
 * for each level of processor; no multiply is fused with an addition, so every face gives the same bits. */
#ifndef TONEGATE_DSP_SUSPICION_PRIV_H
#define TONEGATE_DSP_SUSPICION_PRIV_H

#include "dsp/suspicion.h"

#include <string.h>

typedef float vec8 __attribute__((vector_size(32)));
typedef int32_t ivec8 __attribute__((vector_size(32)));

/* cos and sin of half the distance between the middles of two halves that are joined. */
struct suspicion_turn {
    _Alignas(32) float cosine[TONE_BANK_TONES];
    _Alignas(32) float sine[TONE_BANK_TONES];
};

/* For one window: how its halves turn (detuned down, nominal, up), and what it takes to be asked. */
struct suspicion_gate {
    struct suspicion_turn turn[3];
    float energy_min;
    float
        share; /* times energy and share_min: least power of the strongest row and column at nominal frequency */
};

/* Bit w is set when window w must be asked closely. gates: one for each window. */
typedef unsigned suspicion_push(struct suspicion *s, const struct tone_block *block,
                                const struct suspicion_gate gates[SUSPICION_WINDOWS]);

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

/* Where the halves of a window lie, and what is between them (NULL: nothing). */
struct suspicion_halves {
    const struct suspicion_spectrum *early, *middle, *late;
    float energy;
};

static inline unsigned suspicion_slot(const struct suspicion *s, unsigned blocks_back)
{
    return (unsigned)(s->block_count - 1 - blocks_back) & (SUSPICION_RING - 1);
}

static inline struct suspicion_halves suspicion_two_halves(const struct suspicion_ring *ring, unsigned early,
                                                           unsigned late)
{
    return (struct suspicion_halves){&ring->spectrum[early], NULL, &ring->spectrum[late],
                                     ring->energy[early] + ring->energy[late]};
}

static inline struct suspicion_halves suspicion_halves_of(const struct suspicion *s, int window)
{
    unsigned now = suspicion_slot(s, 0);
    struct suspicion_halves halves;
    switch (window) {
    case 0:
        return suspicion_two_halves(&s->one, suspicion_slot(s, 1), now);
    case 1:
        halves = suspicion_two_halves(&s->one, suspicion_slot(s, 2), now);
        halves.middle = &s->one.spectrum[suspicion_slot(s, 1)];
        halves.energy += s->one.energy[suspicion_slot(s, 1)];
        return halves;
    case 2:
        return suspicion_two_halves(&s->two, suspicion_slot(s, 2), now);
    case 3:
        return suspicion_two_halves(&s->three, suspicion_slot(s, 3), now);
    default:
        return suspicion_two_halves(&s->four, suspicion_slot(s, 4), now);
    }
}

/* All loads and stores of eight floats go through memcpy: the structs may lie in memory of any alignment. */
static inline __attribute__((always_inline)) void suspicion_load(vec8 *out, const float *from)
{
    memcpy(out, from, sizeof(*out));
}

/* The window about its own middle, from its halves about theirs. */
static inline __attribute__((always_inline)) void suspicion_join(const struct suspicion_halves *halves,
                                                                 const struct suspicion_turn *turn,
                                                                 struct suspicion_spectrum *out, vec8 *power)
{
    vec8 early_c, early_s, late_c, late_s, turn_c, turn_s;
    suspicion_load(&early_c, halves->early->cosine);
    suspicion_load(&early_s, halves->early->sine);
    suspicion_load(&late_c, halves->late->cosine);
    suspicion_load(&late_s, halves->late->sine);
    suspicion_load(&turn_c, turn->cosine);
    suspicion_load(&turn_s, turn->sine);
    vec8 cosine = (late_c + early_c) * turn_c - (late_s - early_s) * turn_s;
    vec8 sine = (late_s + early_s) * turn_c + (late_c - early_c) * turn_s;
    if (halves->middle) {
        vec8 middle_c, middle_s;
        suspicion_load(&middle_c, halves->middle->cosine);
        suspicion_load(&middle_s, halves->middle->sine);
        cosine += middle_c;
        sine += middle_s;
    }
    if (out) {
        memcpy(out->cosine, &cosine, sizeof(cosine));
        memcpy(out->sine, &sine, sizeof(sine));
    }
    if (power)
        *power = cosine * cosine + sine * sine;
}

static inline __attribute__((always_inline)) vec8 suspicion_max(vec8 a, vec8 b)
{
    ivec8 is_a = a > b;
    return (vec8)(((ivec8)a & is_a) | ((ivec8)b & ~is_a));
}

/* Power of the strongest row plus that of the strongest column. */
static inline __attribute__((always_inline)) float suspicion_strongest(vec8 power)
{
    power = suspicion_max(power, __builtin_shufflevector(power, power, 2, 3, 0, 1, 6, 7, 4, 5));
    power = suspicion_max(power, __builtin_shufflevector(power, power, 1, 0, 3, 2, 5, 4, 7, 6));
    return power[0] + power[4];
}

static inline __attribute__((always_inline)) void suspicion_append(struct suspicion *s,
                                                                   const struct tone_block *block)
{
    unsigned now = (unsigned)s->block_count++ & (SUSPICION_RING - 1);
    struct suspicion_spectrum *one = &s->one.spectrum[now];
    ivec8 cosine, sine;
    memcpy(&cosine, block->cosine, sizeof(cosine));
    memcpy(&sine, block->sine, sizeof(sine));
    vec8 cosine_f = __builtin_convertvector(cosine, vec8) * (1.0f / TONE_BANK_SCALE);
    vec8 sine_f = __builtin_convertvector(sine, vec8) * (1.0f / TONE_BANK_SCALE);
    memcpy(one->cosine, &cosine_f, sizeof(cosine_f));
    memcpy(one->sine, &sine_f, sizeof(sine_f));
    s->one.energy[now] = (float)(int32_t)(block->energy >> 1) * (2 * TONE_BANK_ENERGY_UNIT);
}

/* Window w: joined, kept in ring (NULL: not kept), and judged. */
static inline __attribute__((always_inline)) unsigned suspicion_window_push(struct suspicion *s, int w,
                                                                            struct suspicion_ring *ring,
                                                                            const struct suspicion_gate *gate)
{
    struct suspicion_halves halves = suspicion_halves_of(s, w);
    unsigned now = suspicion_slot(s, 0);
    bool is_asked = s->share_min[w] <= 1 && halves.energy >= gate->energy_min;
    vec8 power;
    if (!ring && !is_asked)
        return 0;
    suspicion_join(&halves, &gate->turn[1], ring ? &ring->spectrum[now] : NULL, &power);
    if (ring)
        ring->energy[now] = halves.energy;
    if (!is_asked)
        return 0;
    return suspicion_strongest(power) >= halves.energy * s->share_min[w] * gate->share ? 1u << w : 0;
}

static inline __attribute__((always_inline)) unsigned
suspicion_push_face(struct suspicion *s, const struct tone_block *block,
                    const struct suspicion_gate gates[SUSPICION_WINDOWS])
{
    suspicion_append(s, block);
    unsigned asked = suspicion_window_push(s, 0, &s->two, &gates[0]);
    asked |= suspicion_window_push(s, 1, &s->three, &gates[1]);
    asked |= suspicion_window_push(s, 2, &s->four, &gates[2]);
    asked |= suspicion_window_push(s, 3, NULL, &gates[3]);
    asked |= suspicion_window_push(s, 4, NULL, &gates[4]);
    return asked;
}

#endif
