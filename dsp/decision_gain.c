#include "dsp/decision_model.h"
#include "dsp/decision_wave_priv.h"

#include <math.h>
#include <string.h>

#define EDGE_BIAS 0.3f /* against noise that by chance prolongs the tone */

typedef int32_t ivec4 __attribute__((vector_size(4 * sizeof(int32_t))));

/* The tone itself at the first four samples of look, and what it was a quarter of a turn before. */
static struct wave4 wave4_first(const struct decision_model *model, int k)
{
    const struct decision_tone *tone = &model->tone[k];
    double phase = -tone->omega * model->middle;
    double turned_c = cos(phase);
    double turned_s = sin(phase);
    double c = tone->cosine * turned_c + tone->sine * turned_s;
    double s = tone->cosine * turned_s - tone->sine * turned_c;
    return wave4_from(c, s, cos(tone->omega), sin(tone->omega));
}

void decision_gain_make(const float *look, const struct decision_model *model, struct decision_gain *gain)
{
    struct wave4 low = wave4_first(model, 0);
    struct wave4 high = wave4_first(model, 1);
    for (int i = 0; i < DECISION_LOOK; i += 4) {
        vec4 x;
        memcpy(&x, look + i, sizeof(x));
        vec4 value = low.c + high.c;
        vec4 own = value * value;
        vec4 gained = 2 * x * value - own;
        memcpy(&gain->own[i], &own, sizeof(own));
        memcpy(&gain->gained[i], &gained, sizeof(gained));
        wave4_turn(&low);
        wave4_turn(&high);
    }
}

/* The greatest sum so far in each of four places, and where. */
struct best4 {
    vec4 sum;
    ivec4 at;
};

static inline void best4_take(struct best4 *best, vec4 sum, ivec4 is_better, int at)
{
    ivec4 place = at + (ivec4){0, 1, 2, 3};
    best->sum = (vec4)(((ivec4)sum & is_better) | ((ivec4)best->sum & ~is_better));
    best->at = (place & is_better) | (best->at & ~is_better);
}

static inline vec4 score4(const struct decision_gain *gain, int i)
{
    vec4 gained, own;
    memcpy(&gained, &gain->gained[i], sizeof(gained));
    memcpy(&own, &gain->own[i], sizeof(own));
    return gained - EDGE_BIAS * own;
}

static int onset_of(const struct decision_gain *gain, int earliest, int middle)
{
    const vec4 none = {0};
    struct best4 best = {none, {middle, middle, middle, middle}};
    vec4 before = none;
    for (int i = middle - 4; i + 3 >= earliest; i -= 4) {
        /* Sums from each place to the end of the four. */
        vec4 sum = score4(gain, i);
        sum += __builtin_shufflevector(sum, none, 1, 2, 3, 4);
        sum += __builtin_shufflevector(sum, none, 2, 3, 4, 5);
        vec4 all = __builtin_shufflevector(sum, sum, 0, 0, 0, 0);
        sum += before;
        before += all;
        ivec4 is_better = (sum > best.sum) & (i + (ivec4){0, 1, 2, 3} >= earliest);
        best4_take(&best, sum, is_better, i);
    }
    int place = 3;
    for (int i = 2; i >= 0; i--) {
        if (best.sum[i] > best.sum[place] || (best.sum[i] >= best.sum[place] && best.at[i] > best.at[place]))
            place = i;
    }
    return best.at[place];
}

static int end_of(const struct decision_gain *gain, int middle)
{
    const vec4 none = {0};
    struct best4 best = {none, {middle - 1, middle - 1, middle - 1, middle - 1}};
    vec4 before = none;
    for (int i = middle; i < DECISION_LOOK; i += 4) {
        vec4 sum = score4(gain, i);
        sum += __builtin_shufflevector(none, sum, 0, 4, 5, 6);
        sum += __builtin_shufflevector(none, sum, 0, 1, 4, 5);
        vec4 all = __builtin_shufflevector(sum, sum, 3, 3, 3, 3);
        sum += before;
        before += all;
        best4_take(&best, sum, sum >= best.sum, i);
    }
    int place = 0;
    for (int i = 1; i < 4; i++) {
        if (best.sum[i] > best.sum[place] || (best.sum[i] >= best.sum[place] && best.at[i] > best.at[place]))
            place = i;
    }
    return best.at[place] + 1;
}

void decision_gain_edges(const struct decision_gain *gain, int earliest, int *onset, int *end)
{
    int middle = DECISION_LOOK - DECISION_FIT / 2;
    *onset = onset_of(gain, earliest, middle);
    *end = end_of(gain, middle);
}
