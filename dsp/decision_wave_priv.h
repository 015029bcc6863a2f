/* Vectors of four samples, and a wave in them. */
#ifndef TONEGATE_DSP_DECISION_WAVE_PRIV_H
#define TONEGATE_DSP_DECISION_WAVE_PRIV_H

#include "dsp/decision.h"

#include <string.h>

typedef float vec4 __attribute__((vector_size(4 * sizeof(float))));

static inline float sum4(vec4 v)
{
    return (v[0] + v[1]) + (v[2] + v[3]);
}

/* A wave at four samples side by side, and its turn over four. */
struct wave4 {
    vec4 c, s;
    float rc, rs;
};

/* From the first of the four samples, and the turn over one. */
static inline struct wave4 wave4_from(double c, double s, double rc, double rs)
{
    struct wave4 wave;
    for (int i = 0; i < 4; i++) {
        wave.c[i] = (float)c;
        wave.s[i] = (float)s;
        double next = c * rc - s * rs;
        s = s * rc + c * rs;
        c = next;
    }
    double c2 = rc * rc - rs * rs;
    double s2 = 2 * rc * rs;
    wave.rc = (float)(c2 * c2 - s2 * s2);
    wave.rs = (float)(2 * c2 * s2);
    return wave;
}

static inline void wave4_turn(struct wave4 *wave)
{
    vec4 next = wave->c * wave->rc - wave->s * wave->rs;
    wave->s = wave->s * wave->rc + wave->c * wave->rs;
    wave->c = next;
}

/* Four samples of the ring from `at` on, a multiple of four. */
static inline vec4 decision_past4(const struct decision_past *past, uint64_t at)
{
    typedef int16_t short4 __attribute__((vector_size(4 * sizeof(int16_t))));
    short4 samples;
    memcpy(&samples, &past->history[at & (past->history_length - 1)], sizeof(samples));
    return __builtin_convertvector(samples, vec4);
}

_Static_assert(DECISION_TICK % 4 == 0 && DECISION_LOOK % 4 == 0 && DECISION_TRACK % 8 == 0,
               "four samples never lie across the ring's end");

#endif
