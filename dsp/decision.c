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
#define HOLE_MAX           0.5 /* more than this is no hole */
#define HOLE_WEIGHT        0.2
#define SHARE_AND_HOLE_MIN 0.86
#define TRACK              32    /* samples of the window that follows a held key */
#define TRACK_PRESENT      0.45f /* of the reported amplitude */
#define BREAK_MAX          120   /* samples: a longer break ends the key */
#define CANDIDATE_HOLD     96    /* samples without suspicion that end a candidate */
#define CANDIDATE_MIN      16    /* samples of suspicion before the first look */

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

/* Strongest tone of each group over the newest FIT samples. */
static void choose_pair(const float *look, struct model *model)
{
    float power[TONE_BANK_TONES];
    for (int tone = 0; tone < TONE_BANK_TONES; tone++) {
        float coefficient = 2 * cosf(2 * (float)M_PI * tone_bank_hz[tone] / DTMF_SAMPLE_RATE);
        float v1 = 0;
        float v2 = 0;
        for (int i = DECISION_LOOK - FIT; i < DECISION_LOOK; i++) {
            float v0 = look[i] + coefficient * v1 - v2;
            v2 = v1;
            v1 = v0;
        }
        power[tone] = v1 * v1 + v2 * v2 - coefficient * v1 * v2;
    }
    model->row = 0;
    model->column = 0;
    for (uint8_t i = 1; i < 4; i++) {
        if (power[i] > power[model->row])
            model->row = i;
        if (power[4 + i] > power[4 + model->column])
            model->column = i;
    }
}

/* Correlation of count samples with the tone about their middle. */
static void correlate(const float *x, int count, float omega, double *cosine, double *sine)
{
    double c = cos(omega * (count - 1) / 2.0);
    double s = -sin(omega * (count - 1) / 2.0);
    double rc = cos(omega);
    double rs = sin(omega);
    double sum_c = 0;
    double sum_s = 0;
    for (int i = 0; i < count; i++) {
        sum_c += x[i] * c;
        sum_s += x[i] * s;
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
    double c[2];
    double s[2];
    int half = FIT / 2;
    correlate(x, half, omega, &c[0], &s[0]);
    correlate(x + half, half, omega, &c[1], &s[1]);
    /* The later half as seen from the middle of the earlier: turned by omega * half. */
    double turn = omega * half;
    double re = c[1] * cos(turn) - s[1] * sin(turn);
    double im = s[1] * cos(turn) + c[1] * sin(turn);
    double phase = atan2(im * c[0] - re * s[0], re * c[0] + im * s[0]);
    return omega - (float)(phase / half); /* cosine + i sine turns backwards */
}

/* One Gauss-Newton step of both frequencies, all four amplitudes and their derivatives fitted together. Even and odd
 * functions of time about the middle do not mix, which leaves two systems of four. */
static bool refine(const float *x, struct model *model)
{
    double even[4][4] = {{0}};
    double odd[4][4] = {{0}};
    double even_r[4] = {0};
    double odd_r[4] = {0};
    double c[2], s[2], rc[2], rs[2];
    for (int k = 0; k < 2; k++) {
        double omega = model->tone[k].omega;
        c[k] = cos(omega * 0.5);
        s[k] = sin(omega * 0.5);
        rc[k] = cos(omega);
        rs[k] = sin(omega);
    }
    for (int i = 0; i < FIT / 2; i++) {
        double t = i + 0.5;
        double plus = x[FIT / 2 + i] + x[FIT / 2 - 1 - i];
        double minus = x[FIT / 2 + i] - x[FIT / 2 - 1 - i];
        double e[4] = {c[0], t * s[0], c[1], t * s[1]};
        double o[4] = {s[0], t * c[0], s[1], t * c[1]};
        for (int a = 0; a < 4; a++) {
            even_r[a] += e[a] * plus;
            odd_r[a] += o[a] * minus;
            for (int b = a; b < 4; b++) {
                even[a][b] += 2 * e[a] * e[b];
                odd[a][b] += 2 * o[a] * o[b];
            }
        }
        for (int k = 0; k < 2; k++) {
            double next = c[k] * rc[k] - s[k] * rs[k];
            s[k] = s[k] * rc[k] + c[k] * rs[k];
            c[k] = next;
        }
    }
    for (int a = 0; a < 4; a++) {
        for (int b = 0; b < a; b++) {
            even[a][b] = even[b][a];
            odd[a][b] = odd[b][a];
        }
    }
    if (!solve4(even, even_r) || !solve4(odd, odd_r))
        return false;
    for (int k = 0; k < 2; k++) {
        double a = even_r[2 * k];
        double b = odd_r[2 * k];
        double square = a * a + b * b;
        if (square <= 0)
            return false;
        double step = (b * odd_r[2 * k + 1] - a * even_r[2 * k + 1]) / square;
        model->tone[k].omega += (float)fmax(-0.01, fmin(0.01, step));
        model->tone[k].cosine = (float)a;
        model->tone[k].sine = (float)b;
    }
    return true;
}

/* Inverse Gram matrices of a pair over length samples about their middle: even low, cross, high, then odd. */
static void gram_inverse(const float omega[2], int length, float inverse[6])
{
    double even[3] = {0, 0, 0};
    double odd[3] = {0, 0, 0};
    for (int i = 0; i < length; i++) {
        double t = i - (length - 1) / 2.0;
        double c[2] = {cos(omega[0] * t), cos(omega[1] * t)};
        double s[2] = {sin(omega[0] * t), sin(omega[1] * t)};
        even[0] += c[0] * c[0];
        even[1] += c[0] * c[1];
        even[2] += c[1] * c[1];
        odd[0] += s[0] * s[0];
        odd[1] += s[0] * s[1];
        odd[2] += s[1] * s[1];
    }
    double even_det = even[0] * even[2] - even[1] * even[1];
    double odd_det = odd[0] * odd[2] - odd[1] * odd[1];
    inverse[0] = (float)(even[2] / even_det);
    inverse[1] = (float)(-even[1] / even_det);
    inverse[2] = (float)(even[0] / even_det);
    inverse[3] = (float)(odd[2] / odd_det);
    inverse[4] = (float)(-odd[1] / odd_det);
    inverse[5] = (float)(odd[0] / odd_det);
}

/* Amplitudes of both tones over length samples, their frequencies being known. */
static void fit_amplitudes(const float *x, int length, const float omega[2], const float inverse[6],
                           struct decision_tone tone[2])
{
    double c[2];
    double s[2];
    correlate(x, length, omega[0], &c[0], &s[0]);
    correlate(x, length, omega[1], &c[1], &s[1]);
    tone[0].cosine = (float)(inverse[0] * c[0] + inverse[1] * c[1]);
    tone[1].cosine = (float)(inverse[1] * c[0] + inverse[2] * c[1]);
    tone[0].sine = (float)(inverse[3] * s[0] + inverse[4] * s[1]);
    tone[1].sine = (float)(inverse[4] * s[0] + inverse[5] * s[1]);
    tone[0].omega = omega[0];
    tone[1].omega = omega[1];
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
    float omega[2] = {model->tone[0].omega, model->tone[1].omega};
    float inverse[6];
    gram_inverse(omega, FIT, inverse);
    fit_amplitudes(x, FIT, omega, inverse, model->tone);
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
    double c[2], s[2], rc[2], rs[2];
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
        for (int k = 0; k < 2; k++) {
            double next = c[k] * rc[k] + s[k] * rs[k];
            s[k] = s[k] * rc[k] - c[k] * rs[k];
            c[k] = next;
        }
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
    gram_inverse(decision->omega, TRACK, decision->track_fit);
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

/* Is the held key in the newest TRACK samples? The window straddles the end by half when the answer turns. */
static bool is_present(struct decision *decision)
{
    struct decision_tone tone[2];
    fit_amplitudes(decision->look + DECISION_LOOK - TRACK, TRACK, decision->omega, decision->track_fit, tone);
    return amplitude_of(&tone[0]) >= TRACK_PRESENT * decision->amplitude[0] &&
           amplitude_of(&tone[1]) >= TRACK_PRESENT * decision->amplitude[1];
}

static void follow_key(struct decision *decision, uint64_t fed, uint64_t gap_until, struct dtmf_edge *edges,
                       size_t *edge_count)
{
    if (fed < gap_until + TRACK)
        decision->present_until = fed;
    else if (is_present(decision))
        decision->present_until = fed - TRACK / 2;
    else if (fed - decision->present_until > BREAK_MAX + TRACK / 2)
        key_up(decision, fed, edges, edge_count);
}

static void look_for_key(struct decision *decision, uint64_t fed, uint64_t gap_until, struct dtmf_edge *edges,
                         size_t *edge_count)
{
    struct model model;
    struct gain gain;
    if (fed < gap_until + ON_MIN || !fit_model(decision->look, &model) || !is_key_like(&model))
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
    if (decision->is_down)
        key_up(decision, fed, edges, edge_count);
    key_down(decision, &model, fed - (uint64_t)(DECISION_LOOK - onset), fed, edges, edge_count);
}

void decision_tick(struct decision *decision, const int16_t *history, size_t history_length, uint64_t fed,
                   uint64_t gap_until, struct dtmf_edge *edges, size_t *edge_count)
{
    for (size_t i = 0; i < DECISION_LOOK; i++)
        decision->look[i] = history[(fed - DECISION_LOOK + i) & (history_length - 1)];
    if (decision->is_down)
        follow_key(decision, fed, gap_until, edges, edge_count);
    bool is_lost = decision->is_down && fed - decision->present_until > 64 + TRACK / 2;
    if ((!decision->is_down || is_lost) && is_candidate(decision, fed))
        look_for_key(decision, fed, gap_until, edges, edge_count);
}
