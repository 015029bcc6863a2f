/* The part of suspicion that runs for every block of every channel, and what it shares with the close look. The gate is
 * written once, in the compiler's vectors, and compiled for each level of processor; no multiplication is fused with an
 * addition, so every face gives the same bits. */
#ifndef TONEGATE_DSP_SUSPICION_PRIV_H
#define TONEGATE_DSP_SUSPICION_PRIV_H

#include "dsp/suspicion.h"

#include <string.h>

typedef float vec8 __attribute__((vector_size(32)));
typedef int32_t ivec8 __attribute__((vector_size(32)));

#define SUSPICION_INLINE static inline __attribute__((always_inline))

/* cos and sin of half the distance between the middles of two blocks that are joined. */
struct suspicion_turn {
    _Alignas(32) float cosine[TONE_BANK_TONES];
    _Alignas(32) float sine[TONE_BANK_TONES];
};

/* A spectrum in registers. */
struct suspicion_wave {
    vec8 cosine;
    vec8 sine;
};

/* Of one pair, for the windows of the glance: its fits; and how its tones turn from one to the next. */
struct suspicion_glance_table {
    _Alignas(32) float inverse[6][8];
    _Alignas(32) float turn[2 * 8];
};

/* How the four blocks of the window turn when they are joined, and what it takes to be asked. */
struct suspicion_gate {
    struct suspicion_turn inner, outer; /* the two blocks in the middle; the first and the last */
    _Alignas(32) float pairs[2][6][8];  /* the fits of all pairs in 8 ms: two rows with every column, twice */
    struct suspicion_glance_table glance[16];
    _Alignas(32) float slope[TONE_BANK_TONES]; /* what differences make of each tone's energy */
    float energy_min;
    float share_min;  /* times energy: least power of the strongest row and column at nominal frequency */
    float shares_min; /* least sum of that share and of the same, weighted by slope, of the differences */
};

/* Fills the stretch: SUSPICION_PAST blocks, then count whose windows are asked about. */
typedef void suspicion_push(struct suspicion_stretch *stretch, const struct tone_block *blocks, size_t count,
                            const struct suspicion_gate *gate);

/* What a network has learned: evidence = bias + sum of out * max(0, hidden bias + sum of weight * (feature - mean) * scale),
 * with mean and scale already in the weights. */
#define SUSPICION_HIDDEN 32
struct suspicion_network {
    float weight[SUSPICION_FEATURES][SUSPICION_HIDDEN];
    float hidden_bias[SUSPICION_HIDDEN];
    float out[SUSPICION_HIDDEN];
    float bias;
    float evidence_min;        /* at least this much is a suspicion */
    float evidence_min_strict; /* while a field is being keyed */
};
/* The same of the glance, with fewer. */
#define SUSPICION_GLANCE_INPUTS 38
#define SUSPICION_GLANCE_HIDDEN 16
struct suspicion_glance_network {
    float weight[SUSPICION_GLANCE_INPUTS][SUSPICION_GLANCE_HIDDEN];
    float hidden_bias[SUSPICION_GLANCE_HIDDEN];
    float out[SUSPICION_GLANCE_HIDDEN];
    float bias;
    float evidence_min; /* at least this much is worth a close look */
    float evidence_min_strict;
};
/* The glance at the window that ends with block k of the stretch: false where no pair of a key's twist can be fitted, or
 * the best explains too little. */
typedef bool suspicion_glance(const struct suspicion_stretch *stretch, size_t k,
                              const struct suspicion_gate *gate, struct suspicion_view *view);
typedef float suspicion_weigh_glance(const struct suspicion_glance_network *network,
                                     const struct suspicion_view *view);
/* The close look at the pair that the glance found. */
typedef void suspicion_look(const struct suspicion_stretch *stretch, size_t k,
                            const struct suspicion_gate *gate, struct suspicion_view *view);
/* What the network makes of what was seen. */
typedef float suspicion_weigh(const struct suspicion_network *network, const struct suspicion_view *view);

struct suspicion_face {
    const char *name;
    unsigned cpu_flags;
    suspicion_push *push;
    suspicion_glance *glance;
    suspicion_weigh_glance *weigh_glance;
    suspicion_look *look;
    suspicion_weigh *weigh;
};
const struct suspicion_face *suspicion_faces(size_t *count);
suspicion_glance suspicion_glance_c;
suspicion_weigh_glance suspicion_weigh_glance_c;
suspicion_look suspicion_look_c;
suspicion_weigh suspicion_weigh_c;

#ifdef DSP_HAS_X86
suspicion_push suspicion_push_avx2;
suspicion_push suspicion_push_avx512;
suspicion_glance suspicion_glance_avx2;
suspicion_weigh_glance suspicion_weigh_glance_avx2;
suspicion_look suspicion_look_avx2;
suspicion_glance suspicion_glance_avx512;
suspicion_weigh_glance suspicion_weigh_glance_avx512;
suspicion_look suspicion_look_avx512;
suspicion_weigh suspicion_weigh_avx2;
suspicion_weigh suspicion_weigh_avx512;
#endif

/* What every face is given. */
const struct suspicion_gate *suspicion_gate(void);

/* Makes the close look's tables; once, before any look. */
void suspicion_look_tables_make(void);
void suspicion_glance_tables_make(struct suspicion_gate *gate);

/* The gate's window, from its four blocks about their own middles to one about the common middle. */
void suspicion_window(const struct suspicion_stretch *stretch, size_t k, const struct suspicion_gate *gate,
                      struct suspicion_spectrum *window);

extern const struct suspicion_network suspicion_networks[SUSPICION_HASTES];
extern const struct suspicion_glance_network suspicion_glance_networks[SUSPICION_HASTES];

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

/* Two stretches about the middle between them: the early one is turned back, the late one on. */
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

SUSPICION_INLINE void suspicion_join4(struct suspicion_wave *out, const struct suspicion_spectrum *newest,
                                      const struct suspicion_gate *gate)
{
    struct suspicion_wave inner;
    suspicion_join(&inner, newest - 2, newest - 1, &gate->inner);
    suspicion_join(out, newest - 3, newest, &gate->outer);
    out->cosine += inner.cosine;
    out->sine += inner.sine;
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

SUSPICION_INLINE float suspicion_sum4(const float *newest)
{
    return (newest[-3] + newest[-2]) + (newest[-1] + newest[0]);
}

SUSPICION_INLINE void suspicion_remember(struct suspicion_stretch *s, size_t k,
                                         const struct tone_block *block)
{
    ivec8 cosine, sine;
    struct suspicion_wave wave;
    memcpy(&cosine, block->cosine, sizeof(cosine));
    memcpy(&sine, block->sine, sizeof(sine));
    wave.cosine = __builtin_convertvector(cosine, vec8) * (1.0f / TONE_BANK_SCALE);
    wave.sine = __builtin_convertvector(sine, vec8) * (1.0f / TONE_BANK_SCALE);
    suspicion_keep(&s->spectrum[k], &wave);
    s->energy[k] = (float)(int32_t)(block->energy >> 1) * (2 * TONE_BANK_ENERGY_UNIT);
    /* 15 steps stand for 16. */
    s->difference[k] = (float)(int32_t)(block->difference >> 1) *
                       (2 * TONE_BANK_ENERGY_UNIT * TONE_BANK_BLOCK / (TONE_BANK_BLOCK - 1));
}

/* Must the window be asked that ends with block k, counted from the oldest remembered one? */
SUSPICION_INLINE bool suspicion_gate_asks(const struct suspicion_stretch *s, size_t k,
                                          const struct suspicion_gate *gate)
{
    struct suspicion_wave wave;
    vec8 power, slope;
    suspicion_join4(&wave, &s->spectrum[k], gate);
    float energy = suspicion_sum4(&s->energy[k]);
    float difference = suspicion_sum4(&s->difference[k]);
    power = wave.cosine * wave.cosine + wave.sine * wave.sine;
    float plain = suspicion_strongest(&power);
    memcpy(&slope, gate->slope, sizeof(slope));
    power *= slope;
    float steep = suspicion_strongest(&power);
    /* plain / energy + steep / difference, without a division */
    unsigned is_pair = plain * difference + steep * energy >= energy * difference * gate->shares_min;
    unsigned is_loud = energy >= gate->energy_min;
    return is_loud & is_pair & (plain >= energy * gate->share_min);
}

SUSPICION_INLINE void suspicion_push_face(struct suspicion_stretch *stretch, const struct tone_block *blocks,
                                          size_t count, const struct suspicion_gate *gate)
{
    for (size_t k = 0; k < SUSPICION_PAST + count; k++)
        suspicion_remember(stretch, k, &blocks[k]);
    for (size_t i = 0; i < count; i++)
        stretch->is_asked[i] = suspicion_gate_asks(stretch, SUSPICION_PAST + i, gate);
}

#endif
