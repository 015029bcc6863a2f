/* The glance: which pair the gate's window speaks for, and a few numbers about it that a small network weighs. It says no
 * to most of the speech that the gate lets through, so that the close look, which begins with the same pair, is seldom taken.
 *
 * Written once and compiled for each level of processor, as the gate is in suspicion_priv.h, and with the same bits. */
#ifndef TONEGATE_DSP_SUSPICION_GLANCE_PRIV_H
#define TONEGATE_DSP_SUSPICION_GLANCE_PRIV_H

#include "dsp/suspicion_priv.h"

/* Everything here is inlined: no vector is ever passed or returned. */
#pragma GCC diagnostic ignored "-Wpsabi"

#define GLANCE_TWIST_RATIO 28    /* of powers: 14.5 dB; keys have 9, speech and a short fit make more of it */
#define GLANCE_SHARES_MIN  1.0f  /* of energy and of differences, together */
#define GLANCE_SHARE_MAX   1.3f  /* more is as much */
#define GLANCE_GREW_MAX    12.0f /* log2 of powers; more is as much */
#define GLANCE_SHRANK_MAX  (-4.0f)

/* Where each kind of number begins among the features. Registers of eight are written one over the other: what the next one
 * covers is not used. */
enum {
    GLANCE_SHARE = 0,                       /* of energy, in each window */
    GLANCE_STEEP = GLANCE_SHARE + 5,        /* of the differences' energy */
    GLANCE_GREW_LOW = GLANCE_STEEP + 5,     /* power now over that of the window; in the first place twist */
    GLANCE_GREW_HIGH = GLANCE_GREW_LOW + 5, /* in the first place how much of twist there is */
    GLANCE_LIKENESS =
        GLANCE_GREW_HIGH + 5, /* of the window with the one before; of its halves; low, then high tone */
    GLANCE_ASIDE = GLANCE_LIKENESS + 4, /* how far the phase is off, the same four */
    GLANCE_GREW_ALL =
        GLANCE_ASIDE + 4, /* energy now over that of the windows; in the first place differences over it */
    GLANCE_GREW_STEEP =
        GLANCE_GREW_ALL + 5, /* the same of differences; in the first place the second best pair */
    GLANCE_END = GLANCE_GREW_STEEP + 5
};
_Static_assert(GLANCE_END == SUSPICION_GLANCE_INPUTS, "what the network has learned");
_Static_assert(GLANCE_GREW_STEEP + 8 == SUSPICION_GLANCE, "the last register fits");

/* Two rows with every column each. */
struct glance_pairs {
    vec8 plain, steep; /* shares */
    ivec8 sum; /* of both, as the integer that sorts in the same way; the lowest bits say which pair */
};

/* One register at a time: copies of whole arrays go by halves, for which the loads that follow must wait. */
SUSPICION_INLINE vec8 glance_load(const float *from)
{
    vec8 values;
    memcpy(&values, from, sizeof(values));
    return values;
}

SUSPICION_INLINE void glance_put(float *to, vec8 values)
{
    memcpy(to, &values, sizeof(values));
}

SUSPICION_INLINE vec8 glance_min(vec8 a, vec8 b)
{
    ivec8 is_less = a < b;
    return (vec8)(((ivec8)a & is_less) | ((ivec8)b & ~is_less));
}

SUSPICION_INLINE vec8 glance_within(vec8 x, float low, float high)
{
    const vec8 zero = {0};
    ivec8 is_less = x < low;
    x = (vec8)(((ivec8)(zero + low) & is_less) | ((ivec8)x & ~is_less));
    return glance_min(x, zero + high);
}

/* As log2_roughly() of the close look, eight at a time. */
SUSPICION_INLINE vec8 glance_log2(vec8 x)
{
    x += 1;
    return __builtin_convertvector((ivec8)x, vec8) * 0x1p-23f - 127;
}

SUSPICION_INLINE void glance_sort(ivec8 *high, ivec8 *low)
{
    ivec8 is_less = *high < *low;
    ivec8 greater = (*low & is_less) | (*high & ~is_less);
    *low = (*high & is_less) | (*low & ~is_less);
    *high = greater;
}

/* The fit of eight pairs at once, and what they explain. */
SUSPICION_INLINE void glance_fit(struct glance_pairs *pairs, const vec8 sum[4], const float inverse[6][8],
                                 const vec8 slope[2], float energy, float difference, ivec8 names)
{
    vec8 low_cosine = glance_load(inverse[0]) * sum[0] + glance_load(inverse[1]) * sum[2];
    vec8 high_cosine = glance_load(inverse[1]) * sum[0] + glance_load(inverse[2]) * sum[2];
    vec8 low_sine = glance_load(inverse[3]) * sum[1] + glance_load(inverse[4]) * sum[3];
    vec8 high_sine = glance_load(inverse[4]) * sum[1] + glance_load(inverse[5]) * sum[3];
    vec8 explained = (low_cosine * sum[0] + low_sine * sum[1]) + (high_cosine * sum[2] + high_sine * sum[3]);
    vec8 low = low_cosine * low_cosine + low_sine * low_sine;
    vec8 high = high_cosine * high_cosine + high_sine * high_sine;
    pairs->plain = glance_within(explained * energy, 0, GLANCE_SHARE_MAX);
    pairs->steep = glance_within((low * slope[0] + high * slope[1]) * difference, 0, GLANCE_SHARE_MAX);
    ivec8 is_key = (low <= high * GLANCE_TWIST_RATIO) & (high <= low * GLANCE_TWIST_RATIO);
    pairs->sum = (((ivec8)(pairs->plain + pairs->steep) & ~15) | names) & is_key;
}

#define GLANCE_ROWS(v, a, b) __builtin_shufflevector(v, v, a, a, a, a, b, b, b, b)
#define GLANCE_COLUMNS(v)    __builtin_shufflevector(v, v, 4, 5, 6, 7, 4, 5, 6, 7)

#define GLANCE_FAR(v)  __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3)
#define GLANCE_NEAR(v) __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5)
#define GLANCE_NEXT(v) __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6)

/* Two sorted columns of best and second best become one. */
SUSPICION_INLINE void glance_merge(ivec8 *best, ivec8 *second, ivec8 best_there, ivec8 second_there)
{
    glance_sort(second, &second_there);
    glance_sort(best, &best_there);
    glance_sort(second, &best_there);
}

/* Of sixteen, in every lane. */
SUSPICION_INLINE void glance_two_best(const struct glance_pairs pairs[2], ivec8 *best, ivec8 *second)
{
    *best = pairs[0].sum;
    *second = pairs[1].sum;
    glance_sort(best, second);
    glance_merge(best, second, GLANCE_FAR(*best), GLANCE_FAR(*second));
    glance_merge(best, second, GLANCE_NEAR(*best), GLANCE_NEAR(*second));
    glance_merge(best, second, GLANCE_NEXT(*best), GLANCE_NEXT(*second));
}

SUSPICION_INLINE void glance_fit_all(struct glance_pairs pairs[2], const struct suspicion_wave *now,
                                     float energy, float difference, const struct suspicion_gate *gate)
{
    const float half = SUSPICION_WINDOW * TONE_BANK_BLOCK / 2;
    const ivec8 names = {15, 14, 13, 12, 11, 10, 9, 8};
    vec8 slope = glance_load(gate->slope), sum[4], slopes[2];
    float per_energy = 1 / (energy + 1);
    float per_difference = half / (difference + 1);
    sum[2] = GLANCE_COLUMNS(now->cosine);
    sum[3] = GLANCE_COLUMNS(now->sine);
    slopes[1] = GLANCE_COLUMNS(slope);
    sum[0] = GLANCE_ROWS(now->cosine, 0, 1);
    sum[1] = GLANCE_ROWS(now->sine, 0, 1);
    slopes[0] = GLANCE_ROWS(slope, 0, 1);
    glance_fit(&pairs[0], sum, gate->pairs[0], slopes, per_energy, per_difference, names);
    sum[0] = GLANCE_ROWS(now->cosine, 2, 3);
    sum[1] = GLANCE_ROWS(now->sine, 2, 3);
    slopes[0] = GLANCE_ROWS(slope, 2, 3);
    glance_fit(&pairs[1], sum, gate->pairs[1], slopes, per_energy, per_difference, names - 8);
}

/* The pair whose shares of energy and of differences add up to most, at nominal frequencies; false where that is too
 * little. */
SUSPICION_INLINE bool glance_choose(const struct suspicion_wave *now, float energy, float difference,
                                    const struct suspicion_gate *gate, struct suspicion_view *view)
{
    struct glance_pairs pairs[2];
    ivec8 best, second;
    float plain[16], steep[16];
    glance_fit_all(pairs, now, energy, difference, gate);
    glance_two_best(pairs, &best, &second);
    for (int i = 0; i < 2; i++) {
        memcpy(plain + 8 * i, &pairs[i].plain, sizeof(pairs[i].plain));
        memcpy(steep + 8 * i, &pairs[i].steep, sizeof(pairs[i].steep));
    }
    int pair = 15 - (best[0] & 15);
    view->key_low = (uint8_t)(pair / 4);
    view->key_high = (uint8_t)(pair % 4);
    view->feature[12] = plain[pair];
    view->feature[13] = steep[pair];
    view->feature[44] = ((vec8)second)[0] / (((vec8)best)[0] + 1e-9f);
    return ((vec8)best)[0] >= GLANCE_SHARES_MIN;
}

/* Of the windows: the gate's, one before, two before; its halves, the later first. */
SUSPICION_INLINE vec8 glance_energies(const float *newest)
{
    float late = newest[0] + newest[-1];
    float early = newest[-2] + newest[-3];
    return (vec8){late + early, suspicion_sum4(newest - 4), suspicion_sum4(newest - 8), late, early};
}

/* All eight tones in those windows. */
SUSPICION_INLINE void glance_windows(struct suspicion_wave windows[5],
                                     const struct suspicion_spectrum *newest,
                                     const struct suspicion_gate *gate)
{
    suspicion_join4(&windows[1], newest - SUSPICION_WINDOW, gate);
    suspicion_join4(&windows[2], newest - 2 * SUSPICION_WINDOW, gate);
    suspicion_join(&windows[3], newest - 1, newest, &gate->inner);
    suspicion_join(&windows[4], newest - 3, newest - 2, &gate->inner);
}

/* Cosines and sines of one tone in each of them. */
SUSPICION_INLINE void glance_tone(struct suspicion_wave *out, const struct suspicion_wave windows[5],
                                  unsigned tone)
{
    out->cosine = (vec8){windows[0].cosine[tone], windows[1].cosine[tone], windows[2].cosine[tone],
                         windows[3].cosine[tone], windows[4].cosine[tone]};
    out->sine = (vec8){windows[0].sine[tone], windows[1].sine[tone], windows[2].sine[tone],
                       windows[3].sine[tone], windows[4].sine[tone]};
}

/* Both tones of the pair in each window. */
struct glance_fits {
    struct suspicion_wave low, high;
    vec8 low_power, high_power;
    vec8 explained;
};

SUSPICION_INLINE void glance_fit_windows(struct glance_fits *fits, const struct suspicion_wave windows[5],
                                         const struct suspicion_glance_table *table, unsigned row,
                                         unsigned column)
{
    struct suspicion_wave low, high;
    glance_tone(&low, windows, row);
    glance_tone(&high, windows, column);
    fits->low.cosine =
        glance_load(table->inverse[0]) * low.cosine + glance_load(table->inverse[1]) * high.cosine;
    fits->high.cosine =
        glance_load(table->inverse[1]) * low.cosine + glance_load(table->inverse[2]) * high.cosine;
    fits->low.sine = glance_load(table->inverse[3]) * low.sine + glance_load(table->inverse[4]) * high.sine;
    fits->high.sine = glance_load(table->inverse[4]) * low.sine + glance_load(table->inverse[5]) * high.sine;
    fits->explained = (fits->low.cosine * low.cosine + fits->low.sine * low.sine) +
                      (fits->high.cosine * high.cosine + fits->high.sine * high.sine);
    fits->low_power = fits->low.cosine * fits->low.cosine + fits->low.sine * fits->low.sine;
    fits->high_power = fits->high.cosine * fits->high.cosine + fits->high.sine * fits->high.sine;
}

#define GLANCE_NOW(low, high)    __builtin_shufflevector(low, high, 0, 3, 8, 11, 0, 3, 8, 11)
#define GLANCE_BEFORE(low, high) __builtin_shufflevector(low, high, 1, 4, 9, 12, 1, 4, 9, 12)

/* How a tone goes on from the window before into this one, and from its early into its late half: four lanes along, four
 * aside, whatever the sign of that. */
SUSPICION_INLINE vec8 glance_likeness(const struct glance_fits *fits,
                                      const struct suspicion_glance_table *table)
{
    const ivec8 mask = {-1, -1, -1, -1, 0x7fffffff, 0x7fffffff, 0x7fffffff, 0x7fffffff};
    vec8 cosine = GLANCE_NOW(fits->low.cosine, fits->high.cosine);
    vec8 sine = GLANCE_NOW(fits->low.sine, fits->high.sine);
    vec8 cosine_before = GLANCE_BEFORE(fits->low.cosine, fits->high.cosine);
    vec8 sine_before = GLANCE_BEFORE(fits->low.sine, fits->high.sine);
    vec8 power =
        GLANCE_NOW(fits->low_power, fits->high_power) + GLANCE_BEFORE(fits->low_power, fits->high_power);
    vec8 along = cosine * cosine_before + sine * sine_before;
    vec8 aside = cosine * sine_before - sine * cosine_before;
    vec8 ratio = 2 * (along * glance_load(table->turn) + aside * glance_load(table->turn + 8)) / (power + 1);
    return (vec8)((ivec8)ratio & mask);
}

/* How much more there is now than in each window. */
SUSPICION_INLINE void glance_put_grown(float *feature, vec8 logs)
{
    glance_put(feature, glance_within(logs[0] - logs, GLANCE_SHRANK_MAX, GLANCE_GREW_MAX));
}

/* Finds the pair and fills what is seen of it; false where there is nothing like one. */
SUSPICION_INLINE bool suspicion_glance_face(const struct suspicion_stretch *stretch, size_t k,
                                            const struct suspicion_gate *gate, struct suspicion_view *view)
{
    const vec8 half = {32, 32, 32, 16, 16, 1, 1, 1}; /* of a window's samples */
    float *feature = view->glance;
    struct suspicion_wave windows[5];
    struct glance_fits fits;
    vec8 energy = glance_energies(&stretch->energy[k]);
    vec8 difference = glance_energies(&stretch->difference[k]);
    suspicion_join4(&windows[0], &stretch->spectrum[k], gate);
    if (energy[0] < gate->energy_min || !glance_choose(&windows[0], energy[0], difference[0], gate, view))
        return false;
    unsigned row = view->key_low;
    unsigned column = 4u + view->key_high;
    const struct suspicion_glance_table *table = &gate->glance[4u * row + view->key_high];
    glance_windows(windows, &stretch->spectrum[k], gate);
    glance_fit_windows(&fits, windows, table, row, column);
    vec8 steep = (fits.low_power * gate->slope[row] + fits.high_power * gate->slope[column]) * half;
    glance_put(feature + GLANCE_SHARE, glance_within(fits.explained / (energy + 1), 0, GLANCE_SHARE_MAX));
    glance_put(feature + GLANCE_STEEP, glance_within(steep / (difference + 1), 0, GLANCE_SHARE_MAX));
    vec8 low = glance_log2(fits.low_power), high = glance_log2(fits.high_power);
    vec8 all = glance_log2(energy), all_steep = glance_log2(difference);
    glance_put_grown(feature + GLANCE_GREW_LOW, low);
    glance_put_grown(feature + GLANCE_GREW_HIGH, high);
    glance_put(feature + GLANCE_LIKENESS, glance_likeness(&fits, table));
    glance_put_grown(feature + GLANCE_GREW_ALL, all);
    glance_put_grown(feature + GLANCE_GREW_STEEP, all_steep);
    float twist = low[0] - high[0];
    feature[GLANCE_GREW_LOW] = twist;
    feature[GLANCE_GREW_HIGH] = twist < 0 ? -twist : twist;
    feature[GLANCE_GREW_ALL] = all_steep[0] - all[0];
    feature[GLANCE_GREW_STEEP] = view->feature[44];
    return true;
}

/* Half of the hidden units each; even and odd features are summed apart, which halves the wait. */
SUSPICION_INLINE float suspicion_weigh_glance_face(const struct suspicion_glance_network *network,
                                                   const struct suspicion_view *view)
{
    vec8 even[2] = {glance_load(network->hidden_bias), glance_load(network->hidden_bias + 8)};
    vec8 odd[2] = {{0}};
    float hidden[SUSPICION_GLANCE_HIDDEN];
    for (int i = 0; i < SUSPICION_GLANCE_INPUTS; i += 2) {
        even[0] += view->glance[i] * glance_load(network->weight[i]);
        even[1] += view->glance[i] * glance_load(network->weight[i] + 8);
        odd[0] += view->glance[i + 1] * glance_load(network->weight[i + 1]);
        odd[1] += view->glance[i + 1] * glance_load(network->weight[i + 1] + 8);
    }
    glance_put(hidden, even[0] + odd[0]);
    glance_put(hidden + 8, even[1] + odd[1]);
    float evidence = network->bias;
    for (int j = 0; j < SUSPICION_GLANCE_HIDDEN; j++)
        evidence += network->out[j] * (hidden[j] > 0 ? hidden[j] : 0);
    return evidence;
}
_Static_assert(SUSPICION_GLANCE_HIDDEN == 16 && SUSPICION_GLANCE_INPUTS % 2 == 0, "two registers, pairs");

#endif
