#include "dsp/decision.h"

#include "dsp/dtmf_detector.h"
#include "dsp/tone_bank.h"

#include <math.h>
#include <string.h>

#define FIT                160 /* samples that the model is fitted to: 20 ms */
#define ON_MIN             194 /* a shorter tone is no key: 24.25 ms, Q.24 §4 lets 23 ms be refused */
#define END_SLACK          5
#define EDGE_BIAS          0.3f /* against noise that by chance prolongs the tone */
#define SEGMENT            32   /* 4 ms: the tone must be there in each */
#define DETUNE_MAX         0.0235f
#define TWIST_MAX_DB       9.8f
#define LEVEL_MIN_DBM0     (-36.0f)
#define SHARE_MIN          0.78f /* of the energy since the onset */
#define SEGMENT_MIN        0.35f
#define EVERYWHERE_MIN     0.05f
#define HOLE_MAX           0.5 /* more than this is no hole */
#define HOLE_WEIGHT        0.2
#define SHARE_AND_HOLE_MIN 0.86
#define TRACK_PRESENT      0.45f /* of the reported amplitude */
#define PRESENT_SHARE      0.6f /* of the energy there: less is something else that has those frequencies in it */
#define BREAK_MAX          120    /* samples: a longer break ends the key */
#define ECHO_MAX           2000   /* samples after a key's end in which its echo may begin */
#define ECHO_SHARE         0.125f /* of the key's amplitudes, at most: 18 dB */
#define ECHO_TWIST         1.25f  /* ratio of the two shares: 2 dB */
#define ECHO_WEAKER        0.5f
#define ECHO_DETUNE        0.01f
#define CANDIDATE_HOLD     96 /* samples without suspicion that end a candidate */
#define CANDIDATE_MIN      16 /* samples of suspicion before the first look */

/* What is known of a fitted pair. Tone 0 is the low one. */
struct model {
    struct decision_tone tone[2];
    double middle; /* index in look[] that phases count from */
    uint8_t row, column;
};

void decision_init(struct decision *decision)
{
    memset(decision, 0, sizeof(*decision));
}

void decision_suspect(struct decision *decision, uint64_t fed)
{
    if (decision->suspected_at == 0 || fed - decision->suspected_at > CANDIDATE_HOLD)
        decision->candidate_since = fed;
    decision->suspected_at = fed;
}

static bool is_candidate(const struct decision *decision, uint64_t fed)
{
    return decision->suspected_at && fed - decision->suspected_at <= CANDIDATE_HOLD &&
           fed - decision->candidate_since >= CANDIDATE_MIN;
}

bool decision_may_wake(const struct decision *decision, uint64_t fed)
{
    return decision->is_down || (decision->suspected_at && fed - decision->suspected_at <= CANDIDATE_HOLD);
}

bool decision_is_awake(const struct decision *decision, uint64_t fed)
{
    return decision->is_down || is_candidate(decision, fed);
}

/* Solves the symmetric positive definite 4x4 system g x = r in place of r. */
static bool solve4(double g[4][4], double r[4])
{
    for (int i = 0; i < 4; i++) {
        if (g[i][i] < 1e-6)
            return false;
        for (int k = i + 1; k < 4; k++) {
            double factor = g[k][i] / g[i][i];
            for (int j = i; j < 4; j++)
                g[k][j] -= factor * g[i][j];
            r[k] -= factor * r[i];
        }
    }
    for (int i = 3; i >= 0; i--) {
        for (int j = i + 1; j < 4; j++)
            r[i] -= g[i][j] * r[j];
        r[i] /= g[i][i];
    }
    return true;
}

/* Two numbers side by side: of the low and the high tone, or of two stretches. */
typedef double tones_pair __attribute__((vector_size(2 * sizeof(double))));
typedef float tones_vec __attribute__((vector_size(TONE_BANK_TONES * sizeof(float))));

/* Strongest tone of each group over the newest FIT samples. */
static void choose_pair(const float *look, struct model *model)
{
    /* 2 cos(omega) of the nominal frequencies */
    static const tones_vec coefficient = {1.7077378f,  1.64528108f,  1.56868696f,  1.47820449f,
                                          1.16410398f, 0.996370196f, 0.798618376f, 0.568532646f};
    tones_vec v1 = {0};
    tones_vec v2 = {0};
    for (int i = DECISION_LOOK - FIT; i < DECISION_LOOK; i++) {
        tones_vec v0 = look[i] + coefficient * v1 - v2;
        v2 = v1;
        v1 = v0;
    }
    tones_vec power = v1 * v1 + v2 * v2 - coefficient * v1 * v2;
    model->row = 0;
    model->column = 0;
    for (uint8_t i = 1; i < 4; i++) {
        if (power[i] > power[model->row])
            model->row = i;
        if (power[4 + i] > power[4 + model->column])
            model->column = i;
    }
}

/* Correlation with a tone about the middle of each half of the newest FIT samples, both halves side by side. */
static void correlate_halves(const float *x, double omega, tones_pair *cosine, tones_pair *sine)
{
    int half = FIT / 2;
    double c = cos(omega * (half - 1) / 2.0);
    double s = -sin(omega * (half - 1) / 2.0);
    double rc = cos(omega);
    double rs = sin(omega);
    tones_pair sum_c = {0}, sum_s = {0};
    for (int i = 0; i < half; i++) {
        tones_pair both = {x[i], x[half + i]};
        sum_c += both * c;
        sum_s += both * s;
        double next = c * rc - s * rs;
        s = s * rc + c * rs;
        c = next;
    }
    *cosine = sum_c;
    *sine = sum_s;
}

/* Frequency from the turn of phase between the two halves: good to a few Hz, unambiguous within 50. */
static float coarse_omega(const float *x, uint16_t hz)
{
    float omega = 2 * (float)M_PI * hz / DTMF_SAMPLE_RATE;
    tones_pair c, s;
    int half = FIT / 2;
    correlate_halves(x, omega, &c, &s);
    /* The later half as seen from the middle of the earlier: turned by omega * half. */
    double turn = omega * half;
    double re = c[1] * cos(turn) - s[1] * sin(turn);
    double im = s[1] * cos(turn) + c[1] * sin(turn);
    double phase = atan2(im * c[0] - re * s[0], re * c[0] + im * s[0]);
    return omega - (float)(phase / half); /* cosine + i sine turns backwards */
}

/* Half an angle, and length times that. */
struct half_angle {
    double c, s;
    double cosine, sine;
};

static struct half_angle half_angle_of(double angle, int length)
{
    return (struct half_angle){cos(angle / 2), sin(angle / 2), cos(angle * length / 2),
                               sin(angle * length / 2)};
}

static struct half_angle half_sum(const struct half_angle *a, const struct half_angle *b)
{
    return (struct half_angle){a->c * b->c - a->s * b->s, a->s * b->c + a->c * b->s,
                               a->cosine * b->cosine - a->sine * b->sine,
                               a->sine * b->cosine + a->cosine * b->sine};
}

static struct half_angle half_difference(const struct half_angle *a, const struct half_angle *b)
{
    struct half_angle back = {b->c, -b->s, b->cosine, -b->sine};
    return half_sum(a, &back);
}

/* Sum of cos(theta t) over length samples about their middle, and its first two derivatives by theta. theta is not 0. */
struct kernel {
    double value, slope, bend;
};

static struct kernel kernel_of(const struct half_angle *theta, int length)
{
    double twice = 2 * theta->s;
    struct kernel kernel;
    kernel.value = theta->sine / theta->s;
    kernel.slope = (length * theta->cosine - kernel.value * theta->c) / twice;
    kernel.bend = (kernel.value * theta->s / 2 - (double)length * length / 2 * theta->sine -
                   2 * kernel.slope * theta->c) /
                  twice;
    return kernel;
}

/* One Gauss-Newton step of both frequencies, all four amplitudes and their derivatives fitted together: each tone's wave
 * and its derivative, first the low one's. Even and odd functions of time about the middle do not mix, which leaves two
 * systems of four. */
struct normal_equations {
    double even[4][4], odd[4][4];
    double even_r[4], odd_r[4];
};

static void gram_make(double even[4][4], double odd[4][4], int a, int b, struct kernel apart,
                      struct kernel sum)
{
    even[a][b] = even[b][a] = (apart.value + sum.value) / 2;
    even[a][b + 1] = even[b + 1][a] = (apart.slope - sum.slope) / 2;
    even[a + 1][b + 1] = even[b + 1][a + 1] = (sum.bend - apart.bend) / 2;
    odd[a][b] = odd[b][a] = (apart.value - sum.value) / 2;
    odd[a][b + 1] = odd[b + 1][a] = (-apart.slope - sum.slope) / 2;
    odd[a + 1][b + 1] = odd[b + 1][a + 1] = (-apart.bend - sum.bend) / 2;
    if (a == b)
        return;
    even[a + 1][b] = even[b][a + 1] = (-apart.slope - sum.slope) / 2;
    odd[a + 1][b] = odd[b][a + 1] = (apart.slope - sum.slope) / 2;
}

static void grams_make(const double omega[2], struct normal_equations *equations)
{
    static const struct kernel none = {FIT, 0, -FIT * (FIT * (double)FIT - 1) / 12}; /* theta 0 */
    struct half_angle low = half_angle_of(omega[0], FIT);
    struct half_angle high = half_angle_of(omega[1], FIT);
    struct half_angle twice_low = half_sum(&low, &low);
    struct half_angle twice_high = half_sum(&high, &high);
    struct half_angle sum = half_sum(&low, &high);
    struct half_angle apart = half_difference(&low, &high);
    gram_make(equations->even, equations->odd, 0, 0, none, kernel_of(&twice_low, FIT));
    gram_make(equations->even, equations->odd, 2, 2, none, kernel_of(&twice_high, FIT));
    gram_make(equations->even, equations->odd, 0, 2, kernel_of(&apart, FIT), kernel_of(&sum, FIT));
}

static void sides_make(const float *x, const double omega[2], struct normal_equations *equations)
{
    tones_pair c = {cos(omega[0] * 0.5), cos(omega[1] * 0.5)};
    tones_pair s = {sin(omega[0] * 0.5), sin(omega[1] * 0.5)};
    const tones_pair rc = {cos(omega[0]), cos(omega[1])};
    const tones_pair rs = {sin(omega[0]), sin(omega[1])};
    tones_pair even = {0}, even_t = {0}, odd = {0}, odd_t = {0};
    for (int i = 0; i < FIT / 2; i++) {
        double t = i + 0.5;
        double plus = x[FIT / 2 + i] + x[FIT / 2 - 1 - i];
        double minus = x[FIT / 2 + i] - x[FIT / 2 - 1 - i];
        even += c * plus;
        odd += s * minus;
        even_t += s * (t * plus);
        odd_t += c * (t * minus);
        tones_pair next = c * rc - s * rs;
        s = s * rc + c * rs;
        c = next;
    }
    for (int k = 0; k < 2; k++) {
        equations->even_r[2 * k] = even[k];
        equations->even_r[2 * k + 1] = even_t[k];
        equations->odd_r[2 * k] = odd[k];
        equations->odd_r[2 * k + 1] = odd_t[k];
    }
}

static bool refine(const float *x, struct model *model)
{
    struct normal_equations equations;
    const double omega[2] = {model->tone[0].omega, model->tone[1].omega};
    grams_make(omega, &equations);
    sides_make(x, omega, &equations);
    if (!solve4(equations.even, equations.even_r) || !solve4(equations.odd, equations.odd_r))
        return false;
    for (int k = 0; k < 2; k++) {
        double a = equations.even_r[2 * k];
        double b = equations.odd_r[2 * k];
        double square = a * a + b * b;
        if (square <= 0)
            return false;
        double step = (b * equations.odd_r[2 * k + 1] - a * equations.even_r[2 * k + 1]) / square;
        model->tone[k].omega += (float)fmax(-0.01, fmin(0.01, step));
        model->tone[k].cosine = (float)a;
        model->tone[k].sine = (float)b;
    }
    return true;
}

static double cosine_sum(const struct half_angle *theta)
{
    return theta->sine / theta->s;
}

/* Inverse Gram matrices of a pair over length samples about their middle: even low, cross, high, then odd. */
static void gram_inverse(const float omega[2], int length, float inverse[6])
{
    struct half_angle of_low = half_angle_of(omega[0], length);
    struct half_angle of_high = half_angle_of(omega[1], length);
    struct half_angle twice_low = half_sum(&of_low, &of_low);
    struct half_angle twice_high = half_sum(&of_high, &of_high);
    struct half_angle of_sum = half_sum(&of_low, &of_high);
    struct half_angle of_difference = half_difference(&of_low, &of_high);
    double low = cosine_sum(&twice_low);
    double high = cosine_sum(&twice_high);
    double difference = cosine_sum(&of_difference);
    double sum = cosine_sum(&of_sum);
    double even[3] = {(length + low) / 2, (difference + sum) / 2, (length + high) / 2};
    double odd[3] = {(length - low) / 2, (difference - sum) / 2, (length - high) / 2};
    double even_det = even[0] * even[2] - even[1] * even[1];
    double odd_det = odd[0] * odd[2] - odd[1] * odd[1];
    inverse[0] = (float)(even[2] / even_det);
    inverse[1] = (float)(-even[1] / even_det);
    inverse[2] = (float)(even[0] / even_det);
    inverse[3] = (float)(odd[2] / odd_det);
    inverse[4] = (float)(-odd[1] / odd_det);
    inverse[5] = (float)(odd[0] / odd_det);
}

/* Amplitudes of both tones from their correlations. */
static void amplitudes_of(tones_pair cosine, tones_pair sine, const float inverse[6],
                          struct decision_tone tone[2])
{
    tone[0].cosine = (float)(inverse[0] * cosine[0] + inverse[1] * cosine[1]);
    tone[1].cosine = (float)(inverse[1] * cosine[0] + inverse[2] * cosine[1]);
    tone[0].sine = (float)(inverse[3] * sine[0] + inverse[4] * sine[1]);
    tone[1].sine = (float)(inverse[4] * sine[0] + inverse[5] * sine[1]);
}

/* Amplitudes of both tones over FIT samples, their frequencies being known. */
static void fit_amplitudes(const float *x, struct decision_tone tone[2])
{
    const float omega[2] = {tone[0].omega, tone[1].omega};
    float inverse[6];
    tones_pair c = {0}, s = {0}, rc = {0}, rs = {0};
    tones_pair sum_c = {0}, sum_s = {0};
    gram_inverse(omega, FIT, inverse);
    for (int k = 0; k < 2; k++) {
        double angle = omega[k] * (FIT - 1) / 2.0;
        c[k] = cos(angle);
        s[k] = -sin(angle);
        rc[k] = cos(omega[k]);
        rs[k] = sin(omega[k]);
    }
    for (int i = 0; i < FIT; i++) {
        sum_c += c * (double)x[i];
        sum_s += s * (double)x[i];
        tones_pair next = c * rc - s * rs;
        s = s * rc + c * rs;
        c = next;
    }
    amplitudes_of(sum_c, sum_s, inverse, tone);
}

static float amplitude_of(const struct decision_tone *tone)
{
    return sqrtf(tone->cosine * tone->cosine + tone->sine * tone->sine);
}

static float nominal_omega(unsigned tone)
{
    return 2 * (float)M_PI * tone_bank_hz[tone] / DTMF_SAMPLE_RATE;
}

static bool is_tuned(const struct model *model, float limit)
{
    float low = nominal_omega(model->row);
    float high = nominal_omega(4u + model->column);
    return fabsf(model->tone[0].omega - low) <= limit * low &&
           fabsf(model->tone[1].omega - high) <= limit * high;
}

/* Fits pair, frequencies and amplitudes to the newest FIT samples. */
static bool fit_model(const float *look, struct model *model)
{
    const float *x = look + DECISION_LOOK - FIT;
    choose_pair(look, model);
    model->tone[0].omega = coarse_omega(x, tone_bank_hz[model->row]);
    model->tone[1].omega = coarse_omega(x, tone_bank_hz[4 + model->column]);
    if (!is_tuned(model, 2 * DETUNE_MAX))
        return false;
    for (int step = 0; step < 3; step++) {
        if (!refine(x, model))
            return false;
    }
    fit_amplitudes(x, model->tone);
    model->middle = DECISION_LOOK - FIT + (FIT - 1) / 2.0;
    return is_tuned(model, DETUNE_MAX);
}

static bool is_key_like(const struct model *model)
{
    float level_low = dtmf_dbm0_of_amplitude(amplitude_of(&model->tone[0]));
    float level_high = dtmf_dbm0_of_amplitude(amplitude_of(&model->tone[1]));
    return level_low >= LEVEL_MIN_DBM0 && level_high >= LEVEL_MIN_DBM0 &&
           fabsf(level_low - level_high) <= TWIST_MAX_DB;
}

/* What the model gains sample by sample over silence: 2xs - s*s, and its own energy. */
struct gain {
    float gained[DECISION_LOOK];
    float own[DECISION_LOOK];
};

static void gain_make(const float *look, const struct model *model, struct gain *gain)
{
    tones_pair c = {0}, s = {0}, rc = {0}, rs = {0};
    for (int k = 0; k < 2; k++) {
        double omega = model->tone[k].omega;
        double phase = -omega * model->middle;
        c[k] = model->tone[k].cosine * cos(phase) + model->tone[k].sine * sin(phase);
        s[k] = model->tone[k].sine * cos(phase) - model->tone[k].cosine * sin(phase);
        rc[k] = cos(omega);
        rs[k] = sin(omega);
    }
    for (int i = 0; i < DECISION_LOOK; i++) {
        double value = c[0] + c[1];
        gain->own[i] = (float)(value * value);
        gain->gained[i] = (float)(2 * look[i] * value - value * value);
        tones_pair next = c * rc + s * rs;
        s = s * rc - c * rs;
        c = next;
    }
}

/* Index in look[] where the tone most likely began, and one past where it ended. */
static void edges_of(const struct gain *gain, int earliest, int *onset, int *end)
{
    double sum = 0;
    double best = 0;
    int middle = DECISION_LOOK - FIT / 2;
    *onset = middle;
    for (int i = middle - 1; i >= earliest; i--) {
        sum += gain->gained[i] - EDGE_BIAS * gain->own[i];
        if (sum > best) {
            best = sum;
            *onset = i;
        }
    }
    sum = 0;
    best = 0;
    *end = middle;
    for (int i = middle; i < DECISION_LOOK; i++) {
        sum += gain->gained[i] - EDGE_BIAS * gain->own[i];
        if (sum >= best) {
            best = sum;
            *end = i + 1;
        }
    }
}

/* Share of a stretch of its own energy that the tone gained there; 1 where it has no energy to speak of. */
static double gained_share(const struct gain *gain, int from, int count, double *gained)
{
    double own = 0;
    *gained = 0;
    for (int i = from; i < from + count; i++) {
        *gained += gain->gained[i];
        own += gain->own[i];
    }
    return own > 1 ? *gained / own : 1;
}

/* The tone explains what was heard in the last ON_MIN samples, and was there all the time. Speech that comes near the
 * share of a noisy key does so with holes of a millisecond or two, so the worst one counts too. */
static bool is_even(const float *look, const struct gain *gain)
{
    double energy = 0;
    double gained = 0;
    double part;
    double worst = HOLE_MAX;
    for (int from = DECISION_LOOK - ON_MIN / SEGMENT * SEGMENT; from < DECISION_LOOK; from += SEGMENT) {
        if (gained_share(gain, from, SEGMENT, &part) < SEGMENT_MIN)
            return false;
        gained += part;
        worst = fmin(worst, gained_share(gain, from, SEGMENT / 2, &part));
        worst = fmin(worst, gained_share(gain, from + SEGMENT / 2, SEGMENT / 2, &part));
        for (int i = from; i < from + SEGMENT; i++)
            energy += look[i] * look[i];
    }
    double share = gained / (energy + 1);
    return share >= SHARE_MIN && share + HOLE_WEIGHT * worst >= SHARE_AND_HOLE_MIN;
}

static void add_edge(struct dtmf_edge *edges, size_t *edge_count, const struct dtmf_edge *edge)
{
    if (*edge_count < DTMF_EDGE_MAX)
        edges[(*edge_count)++] = *edge;
}

static void key_up(struct decision *decision, uint64_t fed, struct dtmf_edge *edges, size_t *edge_count)
{
    struct dtmf_edge edge = {
        .kind = DTMF_EDGE_OFF,
        .key = decision->key,
        .onset_sample = decision->present_until,
        .reported_sample = fed,
        .level_low_dbm0 = dtmf_dbm0_of_amplitude(decision->amplitude[0]),
        .level_high_dbm0 = dtmf_dbm0_of_amplitude(decision->amplitude[1]),
    };
    edge.twist_db = edge.level_low_dbm0 - edge.level_high_dbm0;
    add_edge(edges, edge_count, &edge);
    decision->is_down = false;
    decision->not_before = decision->present_until;
    if (decision->loudest.until > fed)
        decision->loudest.until = decision->present_until;
}

/* Cosines and sines of the held pair over the later half of the tracking window; of the earlier half they are the same,
 * sines negative. */
static void track_make(struct decision *decision)
{
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < DECISION_TRACK / 2; i++) {
            decision->track_cosine[k][i] = (float)cos(decision->omega[k] * (i + 0.5));
            decision->track_sine[k][i] = (float)sin(decision->omega[k] * (i + 0.5));
        }
    }
    gram_inverse(decision->omega, DECISION_TRACK, decision->track_fit);
}

static void key_down(struct decision *decision, const struct model *model, uint64_t onset, uint64_t fed,
                     struct dtmf_edge *edges, size_t *edge_count)
{
    decision->is_down = true;
    decision->key = dtmf_key_at(model->row, model->column);
    decision->present_until = fed;
    for (int k = 0; k < 2; k++) {
        decision->omega[k] = model->tone[k].omega;
        decision->amplitude[k] = amplitude_of(&model->tone[k]);
    }
    track_make(decision);
    struct dtmf_edge edge = {
        .kind = DTMF_EDGE_ON,
        .key = decision->key,
        .onset_sample = onset,
        .reported_sample = fed,
        .level_low_dbm0 = dtmf_dbm0_of_amplitude(decision->amplitude[0]),
        .level_high_dbm0 = dtmf_dbm0_of_amplitude(decision->amplitude[1]),
    };
    edge.twist_db = edge.level_low_dbm0 - edge.level_high_dbm0;
    add_edge(edges, edge_count, &edge);
}

typedef float track_vec __attribute__((vector_size(DECISION_TRACK / 2 * sizeof(float))));

static float track_sum(const track_vec *folded, const float *wave)
{
    track_vec waves;
    memcpy(&waves, wave, sizeof(waves));
    waves *= *folded;
    float sums[4] = {0, 0, 0, 0};
    for (int i = 0; i < DECISION_TRACK / 2; i++)
        sums[i % 4] += waves[i];
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

/* Is the held key in the newest DECISION_TRACK samples? The window straddles the end by half when the answer turns. */
static bool is_present(const struct decision *decision)
{
    const float *x = decision->look + DECISION_LOOK - DECISION_TRACK;
    const int half = DECISION_TRACK / 2;
    track_vec even = {0}, odd = {0};
    float energy = 0;
    for (int i = 0; i < half; i++) {
        even[i] = x[half + i] + x[half - 1 - i];
        odd[i] = x[half + i] - x[half - 1 - i];
        energy += x[half + i] * x[half + i] + x[half - 1 - i] * x[half - 1 - i];
    }
    tones_pair cosine = {track_sum(&even, decision->track_cosine[0]),
                         track_sum(&even, decision->track_cosine[1])};
    tones_pair sine = {track_sum(&odd, decision->track_sine[0]), track_sum(&odd, decision->track_sine[1])};
    struct decision_tone tone[2];
    amplitudes_of(cosine, sine, decision->track_fit, tone);
    float low = amplitude_of(&tone[0]);
    float high = amplitude_of(&tone[1]);
    return low >= TRACK_PRESENT * decision->amplitude[0] && high >= TRACK_PRESENT * decision->amplitude[1] &&
           (float)half * (low * low + high * high) >= PRESENT_SHARE * energy;
}

static void follow_key(struct decision *decision, uint64_t fed, uint64_t gap_until, struct dtmf_edge *edges,
                       size_t *edge_count)
{
    if (fed < gap_until + DECISION_TRACK)
        decision->present_until = fed;
    else if (is_present(decision))
        decision->present_until = fed - DECISION_TRACK / 2;
    else if (fed - decision->present_until > BREAK_MAX + DECISION_TRACK / 2)
        key_up(decision, fed, edges, edge_count);
}

/* The samples of decision_tick(). */
struct past {
    const int16_t *history;
    size_t history_length;
    uint64_t fed;
};

/* Energy of a segment of the ring. */
static float segment_energy(const struct past *past, size_t back)
{
    size_t from = past->fed - back;
    float sums[4] = {0, 0, 0, 0};
    for (size_t i = 0; i < SEGMENT; i++) {
        float x = past->history[(from + i) & (past->history_length - 1)];
        sums[i % 4] += x * x;
    }
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

/* Cheap and necessary for is_even(): a key of ON_MIN samples is in every segment. There a segment has at least (1.35 / 2)^2
 * of the model's energy, the model 0.28 of all, and a pair at its worst beat 0.71 of its mean in a segment: 0.09
 * together. */
static bool is_everywhere(const struct past *past)
{
    float whole = 0;
    float least = INFINITY;
    /* The newest and the oldest first: where one of them says no, a tone has just begun or ended. */
    for (int i = 0; i < ON_MIN / SEGMENT; i++) {
        int back = i == 0 ? 1 : ON_MIN / SEGMENT + 1 - i;
        float energy = segment_energy(past, (size_t)back * SEGMENT);
        whole += energy;
        least = energy < least ? energy : least;
        if (least * (ON_MIN / SEGMENT) < EVERYWHERE_MIN * whole)
            return false;
    }
    return true;
}

/* The newest count samples come to the end of look[]. */
static void look_make(struct decision *decision, const struct past *past, size_t count)
{
    float *look = decision->look + DECISION_LOOK - count;
    size_t from = (past->fed - count) & (past->history_length - 1);
    size_t run = past->history_length - from < count ? past->history_length - from : count;
    for (size_t i = 0; i < run; i++)
        look[i] = past->history[from + i];
    for (size_t i = run; i < count; i++)
        look[i] = past->history[i - run];
}

/* The same key, at the same frequencies and twist, 18 dB weaker and at once: nobody presses so, the line gives the key back.
 * It is no press, and while it sounds another key is heard as ever. */
static bool is_echo(const struct decision_press *press, const struct model *model, uint64_t onset)
{
    float share[2];
    if (press->amplitude[0] <= 0 || dtmf_key_at(model->row, model->column) != press->key ||
        onset > press->until + ECHO_MAX)
        return false;
    for (int k = 0; k < 2; k++) {
        share[k] = amplitude_of(&model->tone[k]) / press->amplitude[k];
        if (share[k] > ECHO_SHARE ||
            fabsf(model->tone[k].omega - press->omega[k]) > ECHO_DETUNE * press->omega[k])
            return false;
    }
    return share[0] < ECHO_TWIST * share[1] && share[1] < ECHO_TWIST * share[0];
}

/* The held key is a press to hold echoes against, unless it repeats one more weakly: then it may be an echo itself, which
 * is_echo() could not tell. */
static void note_press(struct decision *decision, uint64_t onset)
{
    struct decision_press *press = &decision->loudest;
    bool is_repeated = decision->key == press->key && onset <= press->until + ECHO_MAX;
    if (is_repeated && decision->amplitude[0] < ECHO_WEAKER * press->amplitude[0] &&
        decision->amplitude[1] < ECHO_WEAKER * press->amplitude[1])
        return;
    *press = (struct decision_press){.until = UINT64_MAX - ECHO_MAX, .key = decision->key};
    memcpy(press->omega, decision->omega, sizeof(press->omega));
    memcpy(press->amplitude, decision->amplitude, sizeof(press->amplitude));
}

static void look_for_key(struct decision *decision, const struct past *past, uint64_t gap_until,
                         struct dtmf_edge *edges, size_t *edge_count)
{
    struct model model;
    struct gain gain;
    uint64_t fed = past->fed;
    if (fed < gap_until + ON_MIN || !is_everywhere(past))
        return;
    look_make(decision, past, DECISION_LOOK);
    if (!fit_model(decision->look, &model) || !is_key_like(&model))
        return;
    gain_make(decision->look, &model, &gain);
    uint64_t limit = decision->not_before > gap_until ? decision->not_before : gap_until;
    uint64_t look_from = fed - DECISION_LOOK;
    int earliest = fed < DECISION_LOOK ? DECISION_LOOK - (int)fed
                   : limit > look_from ? (int)(limit - look_from)
                                       : 0;
    int onset;
    int end;
    edges_of(&gain, earliest, &onset, &end);
    if (DECISION_LOOK - onset < ON_MIN || end < DECISION_LOOK - END_SLACK || !is_even(decision->look, &gain))
        return;
    uint64_t onset_sample = fed - (uint64_t)(DECISION_LOOK - onset);
    if (decision->is_down)
        key_up(decision, fed, edges, edge_count);
    if (is_echo(&decision->loudest, &model, onset_sample))
        return;
    key_down(decision, &model, onset_sample, fed, edges, edge_count);
    note_press(decision, onset_sample);
}

void decision_tick(struct decision *decision, const int16_t *history, size_t history_length, uint64_t fed,
                   uint64_t gap_until, struct dtmf_edge *edges, size_t *edge_count)
{
    struct past past = {history, history_length, fed};
    if (decision->is_down) {
        look_make(decision, &past, DECISION_TRACK);
        follow_key(decision, fed, gap_until, edges, edge_count);
    }
    bool is_lost = decision->is_down && fed - decision->present_until > 64 + DECISION_TRACK / 2;
    if ((!decision->is_down || is_lost) && is_candidate(decision, fed))
        look_for_key(decision, &past, gap_until, edges, edge_count);
}
