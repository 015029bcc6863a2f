/* The close look: all that is known of the pair that the last 8 ms speak for, as numbers for a network to weigh.
 *
 * Every block's correlation with a tone is turned to one time, so that a window of any length is a difference of two
 * running sums. Windows are named by how many blocks back they end and how long they are.
 *
 * Written once and compiled for each level of processor, as the gate is in suspicion_priv.h, and with the same bits. */
#ifndef TONEGATE_DSP_SUSPICION_LOOK_PRIV_H
#define TONEGATE_DSP_SUSPICION_LOOK_PRIV_H

#include "dsp/dtmf.h"
#include "dsp/suspicion_priv.h"

#include <math.h>

#define ROWS        4
#define COLUMNS     4
#define TUNINGS     5 /* -1.6, -0.8, 0, +0.8, +1.6 %: enough for 2 % (ITU-T Q.24 §2) in 20 ms */
#define TUNING_STEP 0.008
#define NOMINAL     (TUNINGS / 2)
#define BLOCKS      (SUSPICION_PAST + 1)
#define HALF_BLOCKS (2 * BLOCKS)
#define FIT_MAX     10    /* blocks of the longest window */
#define GREW_MAX    12.0f /* log2 of powers; more is as much */
#define SHRANK_MAX  (-4.0f)

struct tone_sum {
    float cosine;
    float sine;
};

/* Inverse Gram matrix of a pair's cosines, and of its sines: about the window's middle they do not mix. */
struct pair_inverse {
    float even_low, even_cross, even_high;
    float odd_low, odd_cross, odd_high;
};

/* Sums of cosine times cosine and sine times sine over the 8 ms window. */
struct cross_gram {
    float even;
    float odd;
};

struct suspicion_look_tables {
    struct pair_inverse inverse[FIT_MAX + 1][ROWS * COLUMNS];
    struct tone_sum turn[TONE_BANK_TONES][TUNINGS][HALF_BLOCKS]; /* by half blocks */
    struct cross_gram cross[TONE_BANK_TONES][TUNINGS][TONE_BANK_TONES];
    float slope[TONE_BANK_TONES];
};
extern struct suspicion_look_tables suspicion_look_tables; /* made once, in suspicion_look.c */

/* Both tones of a pair in some window: a * cos + b * sin about its middle, low then high; and what energy they explain. */
struct fit {
    struct tone_sum low, high;
    float low_power, high_power; /* squared amplitudes */
    float explained;
};

static struct fit fit_pair(int blocks, int pair, struct tone_sum low, struct tone_sum high)
{
    const struct pair_inverse *inverse = &suspicion_look_tables.inverse[blocks][pair];
    struct fit fit;
    fit.low.cosine = inverse->even_low * low.cosine + inverse->even_cross * high.cosine;
    fit.low.sine = inverse->odd_low * low.sine + inverse->odd_cross * high.sine;
    fit.high.cosine = inverse->even_cross * low.cosine + inverse->even_high * high.cosine;
    fit.high.sine = inverse->odd_cross * low.sine + inverse->odd_high * high.sine;
    fit.explained = fit.low.cosine * low.cosine + fit.low.sine * low.sine + fit.high.cosine * high.cosine +
                    fit.high.sine * high.sine;
    fit.low_power = fit.low.cosine * fit.low.cosine + fit.low.sine * fit.low.sine;
    fit.high_power = fit.high.cosine * fit.high.cosine + fit.high.sine * fit.high.sine;
    return fit;
}

/* Turned forwards in time: what a correlation or an amplitude about one middle is about another, half_blocks later. */
static struct tone_sum later(struct tone_sum sum, const struct tone_sum *turn)
{
    return (struct tone_sum){sum.cosine * turn->cosine + sum.sine * turn->sine,
                             sum.sine * turn->cosine - sum.cosine * turn->sine};
}

static struct tone_sum earlier(struct tone_sum sum, const struct tone_sum *turn)
{
    return (struct tone_sum){sum.cosine * turn->cosine - sum.sine * turn->sine,
                             sum.sine * turn->cosine + sum.cosine * turn->sine};
}

/* log2 by the exponent and a straight line through the mantissa: within 0.09, and the same everywhere. */
static float log2_roughly(float x)
{
    int32_t bits;
    x += 1;
    memcpy(&bits, &x, sizeof(bits));
    return (float)bits * 0x1p-23f - 127;
}

static float grew(float now, float before)
{
    float ratio = log2_roughly(now > 0 ? now : 0) - log2_roughly(before > 0 ? before : 0);
    return ratio > GREW_MAX ? GREW_MAX : ratio < SHRANK_MAX ? SHRANK_MAX : ratio;
}

static float share(float part, float whole)
{
    float ratio = part / (whole + 1);
    return ratio > 1.3f ? 1.3f : ratio < 0 ? 0 : ratio;
}

/* What is looked at: the newest block, the pair, its tuning, and the running sums of its two tones over the blocks back from
 * the newest, turned to that one's middle. */
struct look {
    const struct suspicion_spectrum *spectrum;
    const float *energy;
    const float *difference;
    int row, column, pair;
    int tuning[2];
    struct tone_sum run[2][BLOCKS + 1];
};

static float sum_back(const float *newest, int back, int blocks)
{
    float sum = 0;
    for (int i = 0; i < blocks; i++)
        sum += newest[-back - i];
    return sum;
}

/* The energy of differences that the fitted tones would have. */
static float steep(const struct look *look, const struct fit *fit, int blocks)
{
    return (float)(blocks * TONE_BANK_BLOCK / 2) *
           (fit->low_power * suspicion_look_tables.slope[look->row] +
            fit->high_power * suspicion_look_tables.slope[ROWS + look->column]);
}

static const struct tone_sum *turn_of(const struct look *look, int group, int half)
{
    int tone = group ? ROWS + look->column : look->row;
    return &suspicion_look_tables.turn[tone][look->tuning[group]][half];
}

static struct fit fit_window(const struct look *look, int back, int blocks)
{
    struct tone_sum sum[2];
    for (int group = 0; group < 2; group++) {
        const struct tone_sum *run = look->run[group];
        struct tone_sum part = {run[back + blocks].cosine - run[back].cosine,
                                run[back + blocks].sine - run[back].sine};
        sum[group] = earlier(part, turn_of(look, group, 2 * back + blocks - 1));
    }
    return fit_pair(blocks, look->pair, sum[0], sum[1]);
}

static struct tone_sum of_tone(const struct suspicion_spectrum *spectrum, int tone)
{
    return (struct tone_sum){spectrum->wave[tone], spectrum->wave[TONE_BANK_TONES + tone]};
}

/* The 8 ms window's correlation with a tone at each tuning. */
static void sum_tunings(const struct look *look, int tone, struct tone_sum sum[TUNINGS])
{
    for (int tuning = 0; tuning < TUNINGS; tuning++) {
        struct tone_sum total = {0, 0};
        for (int i = 0; i < SUSPICION_WINDOW; i++) {
            int half = 2 * i - (SUSPICION_WINDOW - 1); /* back from the window's middle */
            const struct tone_sum *turn = &suspicion_look_tables.turn[tone][tuning][half < 0 ? -half : half];
            struct tone_sum block = of_tone(look->spectrum - i, tone);
            block = half < 0 ? earlier(block, turn) : later(block, turn);
            total.cosine += block.cosine;
            total.sine += block.sine;
        }
        sum[tuning] = total;
    }
}

/* The tuning of both tones together that explains most. What fit_pair() does to one pair is done here to all tunings of
 * the high tone at once. */
static void choose_tuning(struct look *look)
{
    const struct pair_inverse *inverse = &suspicion_look_tables.inverse[SUSPICION_WINDOW][look->pair];
    struct tone_sum low[TUNINGS], high[TUNINGS];
    vec8 high_cosine = {0}, high_sine = {0};
    float best = -1;
    sum_tunings(look, look->row, low);
    sum_tunings(look, ROWS + look->column, high);
    for (int tuning = 0; tuning < TUNINGS; tuning++) {
        high_cosine[tuning] = high[tuning].cosine;
        high_sine[tuning] = high[tuning].sine;
    }
    for (int tuning = 0; tuning < TUNINGS; tuning++) {
        float cosine = low[tuning].cosine;
        float sine = low[tuning].sine;
        vec8 fit_low_cosine = inverse->even_low * cosine + inverse->even_cross * high_cosine;
        vec8 fit_low_sine = inverse->odd_low * sine + inverse->odd_cross * high_sine;
        vec8 fit_high_cosine = inverse->even_cross * cosine + inverse->even_high * high_cosine;
        vec8 fit_high_sine = inverse->odd_cross * sine + inverse->odd_high * high_sine;
        vec8 explained = fit_low_cosine * cosine + fit_low_sine * sine + fit_high_cosine * high_cosine +
                         fit_high_sine * high_sine;
        for (int other = 0; other < TUNINGS; other++) {
            if (explained[other] > best) {
                best = explained[other];
                look->tuning[0] = tuning;
                look->tuning[1] = other;
            }
        }
    }
}

static void run_make(struct look *look)
{
    for (int group = 0; group < 2; group++) {
        int tone = group ? ROWS + look->column : look->row;
        struct tone_sum total = {0, 0};
        look->run[group][0] = total;
        for (int back = 0; back < BLOCKS; back++) {
            struct tone_sum block =
                later(of_tone(look->spectrum - back, tone), turn_of(look, group, 2 * back));
            total.cosine += block.cosine;
            total.sine += block.sine;
            look->run[group][back + 1] = total;
        }
    }
}

/* How far a stretch of equal parts keeps one phase and amplitude: 1 for a steady tone. */
struct steadiness {
    float coherence[2];
    float weakest[2]; /* log2 of the weakest part's power over the mean */
    float least_share;
};

static void steadiness_of(const struct look *look, int parts, int blocks, struct steadiness *steadiness)
{
    struct tone_sum total[2] = {{0, 0}, {0, 0}};
    float power[2] = {0, 0};
    float weakest[2] = {INFINITY, INFINITY};
    steadiness->least_share = 1;
    for (int part = 0; part < parts; part++) {
        int back = part * blocks;
        struct fit fit = fit_window(look, back, blocks);
        const struct tone_sum amplitude[2] = {fit.low, fit.high};
        const float powers[2] = {fit.low_power, fit.high_power};
        for (int group = 0; group < 2; group++) {
            struct tone_sum turned = later(amplitude[group], turn_of(look, group, 2 * back + blocks - 1));
            total[group].cosine += turned.cosine;
            total[group].sine += turned.sine;
            power[group] += powers[group];
            weakest[group] = powers[group] < weakest[group] ? powers[group] : weakest[group];
        }
        float part_share = share(fit.explained, sum_back(look->energy, back, blocks));
        if (part_share < steadiness->least_share)
            steadiness->least_share = part_share;
    }
    for (int group = 0; group < 2; group++) {
        float length = total[group].cosine * total[group].cosine + total[group].sine * total[group].sine;
        steadiness->coherence[group] = length / ((float)parts * power[group] + 1);
        steadiness->weakest[group] = grew(weakest[group], power[group] / (float)parts);
    }
}

/* Real part of the two halves' likeness, 1 when the later is the earlier gone on, and how its power grew. */
static void halves_of(const struct look *look, int blocks, float *coherence, float *growth)
{
    struct fit early = fit_window(look, blocks, blocks);
    struct fit late = fit_window(look, 0, blocks);
    const struct tone_sum from[2] = {early.low, early.high};
    const struct tone_sum to[2] = {late.low, late.high};
    const float powers[2][2] = {{early.low_power, late.low_power}, {early.high_power, late.high_power}};
    for (int group = 0; group < 2; group++) {
        struct tone_sum a = later(from[group], turn_of(look, group, 3 * blocks - 1));
        struct tone_sum b = later(to[group], turn_of(look, group, blocks - 1));
        float both = powers[group][0] + powers[group][1] + 1;
        coherence[group] = 2 * (a.cosine * b.cosine + a.sine * b.sine) / both;
        growth[group] = grew(powers[group][1], powers[group][0]);
    }
}

/* Share of what the eight tones' correlations hold that is left when the fitted pair is taken away, log2. */
static float left_in_band(const struct look *look, const struct suspicion_spectrum *window,
                          const struct fit *fit)
{
    const struct cross_gram *low = suspicion_look_tables.cross[look->row][look->tuning[0]];
    const struct cross_gram *high = suspicion_look_tables.cross[ROWS + look->column][look->tuning[1]];
    float whole = 0;
    float left = 0;
    for (int tone = 0; tone < TONE_BANK_TONES; tone++) {
        struct tone_sum sum = of_tone(window, tone);
        whole += sum.cosine * sum.cosine + sum.sine * sum.sine;
        sum.cosine -= fit->low.cosine * low[tone].even + fit->high.cosine * high[tone].even;
        sum.sine -= fit->low.sine * low[tone].odd + fit->high.sine * high[tone].odd;
        left += sum.cosine * sum.cosine + sum.sine * sum.sine;
    }
    return log2_roughly(left) - log2_roughly(whole);
}

/* What there is now, against what was there before. */
static void growth_of(const struct look *look, const struct fit *now, float feature[SUSPICION_FEATURES])
{
    static const struct {
        uint8_t back, blocks;
    } before[3] = {{5, 3}, {8, 4}, {12, 4}};
    float energy = sum_back(look->energy, 0, SUSPICION_WINDOW);
    float difference = sum_back(look->difference, 0, SUSPICION_WINDOW);
    for (int i = 0; i < 3; i++) {
        struct fit fit = fit_window(look, before[i].back, before[i].blocks);
        feature[31 + 2 * i] = grew(now->low_power, fit.low_power);
        feature[32 + 2 * i] = grew(now->high_power, fit.high_power);
        feature[37 + 2 * i] = grew(energy, sum_back(look->energy, 4 * (i + 1), 4));
        feature[38 + 2 * i] = grew(difference, sum_back(look->difference, 4 * (i + 1), 4));
    }
    feature[43] = grew(difference, energy);
}

/* Shares of energy and differences in windows of several lengths. */
static void shares_of(const struct look *look, float feature[SUSPICION_FEATURES])
{
    static const uint8_t lengths[6] = {3, 4, 5, 6, 8, 10};
    for (int i = 0; i < 6; i++) {
        struct fit fit = fit_window(look, 0, lengths[i]);
        feature[i] = share(fit.explained, sum_back(look->energy, 0, lengths[i]));
        feature[6 + i] = share(steep(look, &fit, lengths[i]), sum_back(look->difference, 0, lengths[i]));
    }
}

SUSPICION_INLINE void suspicion_look_face(const struct suspicion_stretch *stretch, size_t k,
                                          const struct suspicion_gate *gate, struct suspicion_view *view)
{
    struct look look = {.spectrum = &stretch->spectrum[k],
                        .energy = &stretch->energy[k],
                        .difference = &stretch->difference[k],
                        .row = view->key_low,
                        .column = view->key_high,
                        .pair = view->key_low * COLUMNS + view->key_high};
    float *feature = view->feature;
    struct suspicion_spectrum window;
    suspicion_window(stretch, k, gate, &window);
    choose_tuning(&look);
    run_make(&look);
    shares_of(&look, feature);
    struct fit now = fit_window(&look, 0, SUSPICION_WINDOW);
    float twist = grew(now.low_power, now.high_power);
    feature[14] = twist;
    feature[15] = fabsf(twist);
    feature[16] = fabsf((float)(look.tuning[0] - NOMINAL));
    feature[17] = fabsf((float)(look.tuning[1] - NOMINAL));
    halves_of(&look, 2, &feature[18], &feature[20]);
    halves_of(&look, 4, &feature[22], &feature[24]);
    struct steadiness steadiness;
    steadiness_of(&look, 4, 1, &steadiness);
    memcpy(&feature[26], steadiness.coherence, sizeof(steadiness.coherence));
    memcpy(&feature[28], steadiness.weakest, sizeof(steadiness.weakest));
    feature[30] = steadiness.least_share;
    growth_of(&look, &now, feature);
    feature[45] = left_in_band(&look, &window, &now);
    steadiness_of(&look, 4, 2, &steadiness);
    memcpy(&feature[46], steadiness.coherence, sizeof(steadiness.coherence));
}

/* A quarter of the hidden units each; they are summed side by side, each in the order of features. */
struct hidden_units {
    vec8 a, b, c, d;
};
_Static_assert(SUSPICION_HIDDEN == 32, "four times eight");

SUSPICION_INLINE void units_load(struct hidden_units *units, const float *values)
{
    memcpy(&units->a, values, sizeof(units->a));
    memcpy(&units->b, values + 8, sizeof(units->b));
    memcpy(&units->c, values + 16, sizeof(units->c));
    memcpy(&units->d, values + 24, sizeof(units->d));
}

SUSPICION_INLINE float suspicion_weigh_face(const struct suspicion_network *network,
                                            const struct suspicion_view *view)
{
    struct hidden_units sum, weight;
    float hidden[SUSPICION_HIDDEN];
    units_load(&sum, network->hidden_bias);
    for (int i = 0; i < SUSPICION_FEATURES; i++) {
        float feature = view->feature[i];
        units_load(&weight, network->weight[i]);
        sum.a += feature * weight.a;
        sum.b += feature * weight.b;
        sum.c += feature * weight.c;
        sum.d += feature * weight.d;
    }
    memcpy(hidden, &sum, sizeof(hidden));
    float evidence = network->bias;
    for (int j = 0; j < SUSPICION_HIDDEN; j++)
        evidence += network->out[j] * (hidden[j] > 0 ? hidden[j] : 0);
    return evidence;
}

#endif
