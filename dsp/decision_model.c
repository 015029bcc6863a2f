#include "dsp/decision_model.h"

#include "dsp/decision_wave_priv.h"
#include "dsp/dtmf.h"
#include "dsp/tone_bank.h"

#include <math.h>
#include <string.h>

#define HALF       (DECISION_FIT / 2)
#define DETUNE_MAX 0.0235f
#define STEPS_MAX  3
#define STEP_LAST  1e-4 /* rad per sample: what is left after such a step is a hundredth of it at most */

/* Two numbers side by side: of the low and the high tone, or of even and odd functions of time. */
typedef double pair __attribute__((vector_size(2 * sizeof(double))));
typedef float vec8 __attribute__((vector_size(TONE_BANK_TONES * sizeof(float))));

/* Waves of the nominal frequencies from half a sample after the middle on, and their turns over a quarter of the fit and
 * over half of it. */
static struct {
    vec8 cosine[HALF / 2], sine[HALF / 2];
    vec8 quarter_cosine, quarter_sine;
    float half_cosine[TONE_BANK_TONES], half_sine[TONE_BANK_TONES];
} nominal;

static float nominal_omega(unsigned tone)
{
    return 2 * (float)M_PI * tone_bank_hz[tone] / DTMF_SAMPLE_RATE;
}

void decision_model_tables_make(void)
{
    for (unsigned tone = 0; tone < TONE_BANK_TONES; tone++) {
        double omega = nominal_omega(tone);
        for (int i = 0; i < HALF / 2; i++) {
            nominal.cosine[i][tone] = (float)cos(omega * (i + 0.5));
            nominal.sine[i][tone] = (float)sin(omega * (i + 0.5));
        }
        nominal.quarter_cosine[tone] = (float)cos(omega * HALF / 2);
        nominal.quarter_sine[tone] = (float)sin(omega * HALF / 2);
        nominal.half_cosine[tone] = (float)cos(omega * HALF);
        nominal.half_sine[tone] = (float)sin(omega * HALF);
    }
}

/* ---- where the search begins ---- */

/* Correlations of half the samples about their middle with the nominal waves. */
struct half {
    vec8 cosine, sine;
};

static void half_correlate(const float *x, struct half *half)
{
    vec8 cosine = {0}, sine = {0};
    for (int i = 0; i < HALF / 2; i++) {
        float later = x[HALF / 2 + i];
        float earlier = x[HALF / 2 - 1 - i];
        cosine += nominal.cosine[i] * (later + earlier);
        sine += nominal.sine[i] * (later - earlier);
    }
    half->cosine = cosine;
    half->sine = sine;
}

/* Strongest tone of each group over both halves together. */
static void choose_pair(const struct half halves[2], struct decision_model *model)
{
    const struct half *a = &halves[0];
    const struct half *b = &halves[1];
    vec8 cosine =
        (b->cosine + a->cosine) * nominal.quarter_cosine - (b->sine - a->sine) * nominal.quarter_sine;
    vec8 sine = (b->sine + a->sine) * nominal.quarter_cosine + (b->cosine - a->cosine) * nominal.quarter_sine;
    vec8 power = cosine * cosine + sine * sine;
    model->row = 0;
    model->column = 0;
    for (uint8_t i = 1; i < 4; i++) {
        if (power[i] > power[model->row])
            model->row = i;
        if (power[4 + i] > power[4 + model->column])
            model->column = i;
    }
}

/* Frequency from the turn of phase between the two halves: good to a few Hz, unambiguous within 50. */
static float coarse_omega(const struct half halves[2], unsigned tone)
{
    float ac = halves[0].cosine[tone];
    float as = halves[0].sine[tone];
    float bc = halves[1].cosine[tone];
    float bs = halves[1].sine[tone];
    /* The later half as seen from the middle of the earlier: turned by omega * half. */
    float re = bc * nominal.half_cosine[tone] - bs * nominal.half_sine[tone];
    float im = bs * nominal.half_cosine[tone] + bc * nominal.half_sine[tone];
    float phase = atan2f(im * ac - re * as, re * ac + im * as);
    return nominal_omega(tone) - phase / HALF; /* cosine + i sine turns backwards */
}

static bool is_tuned(const struct decision_model *model, float limit)
{
    float low = nominal_omega(model->row);
    float high = nominal_omega(4u + model->column);
    return fabsf(model->tone[0].omega - low) <= limit * low &&
           fabsf(model->tone[1].omega - high) <= limit * high;
}

/* ---- Gram matrices ---- */

/* Two turns: of the low and of the high tone. */
struct turn {
    pair c, s;
};

static struct turn turn_sum(const struct turn *a, const struct turn *b)
{
    return (struct turn){a->c * b->c - a->s * b->s, a->s * b->c + a->c * b->s};
}

/* Half an angle, and length times that; two of them. */
struct half_angle {
    struct turn once, often;
};

/* length: 32 or 160 */
static struct half_angle half_angle_of(const float omega[2], int length)
{
    struct half_angle angle;
    for (int k = 0; k < 2; k++) {
        angle.once.c[k] = cos(omega[k] * 0.5);
        angle.once.s[k] = sin(omega[k] * 0.5);
    }
    angle.often = angle.once;
    if (length == DECISION_FIT) {
        struct turn four = turn_sum(&angle.once, &angle.once);
        four = turn_sum(&four, &four);
        angle.often = turn_sum(&four, &angle.once);
    }
    for (int i = 0; i < 5; i++)
        angle.often = turn_sum(&angle.often, &angle.often);
    return angle;
}

_Static_assert(DECISION_FIT == 5 * 32 && DECISION_TRACK == 32, "half_angle_of() doubles five times");

static struct half_angle half_twice(const struct half_angle *a)
{
    return (struct half_angle){turn_sum(&a->once, &a->once), turn_sum(&a->often, &a->often)};
}

/* Low and high tone together, and low less high. */
static struct turn turn_mixed(const struct turn *a)
{
    pair c = {a->c[0], a->c[0]};
    pair s = {a->s[0], a->s[0]};
    pair other_s = {a->s[1], -a->s[1]};
    return (struct turn){c * a->c[1] - s * other_s, s * a->c[1] + c * other_s};
}

static struct half_angle half_mixed(const struct half_angle *a)
{
    return (struct half_angle){turn_mixed(&a->once), turn_mixed(&a->often)};
}

/* Sum of cos(theta t) over length samples about their middle, and its first two derivatives by theta. theta is not 0. */
struct kernel {
    pair value, slope, bend;
};

static struct kernel kernel_of(const struct half_angle *theta, double length)
{
    pair one = 1 / theta->once.s;
    struct kernel kernel;
    kernel.value = theta->often.s * one;
    kernel.slope = (length * theta->often.c - kernel.value * theta->once.c) * one / 2;
    kernel.bend =
        kernel.value / 4 - (length * length / 4 * theta->often.s + kernel.slope * theta->once.c) * one;
    return kernel;
}

/* One Gauss-Newton step of both frequencies, all four amplitudes and their derivatives fitted together: each tone's wave
 * and its derivative, first the low one's. Even and odd functions of time about the middle do not mix, which leaves two
 * systems of four, side by side. */
struct normal_equations {
    pair gram[4][4];
    pair right[4];
};

static pair even_and_odd(double apart, double sum)
{
    return (pair){(apart + sum) / 2, (apart - sum) / 2};
}

static void gram_place(struct normal_equations *equations, int a, int b, const double apart[3],
                       const double sum[3])
{
    equations->gram[a][b] = equations->gram[b][a] = even_and_odd(apart[0], sum[0]);
    equations->gram[a][b + 1] = equations->gram[b + 1][a] =
        (pair){(apart[1] - sum[1]) / 2, (-apart[1] - sum[1]) / 2};
    equations->gram[a + 1][b + 1] = equations->gram[b + 1][a + 1] =
        (pair){(sum[2] - apart[2]) / 2, (-apart[2] - sum[2]) / 2};
    if (a != b)
        equations->gram[a + 1][b] = equations->gram[b][a + 1] =
            (pair){(-apart[1] - sum[1]) / 2, (apart[1] - sum[1]) / 2};
}

static void grams_make(const struct half_angle *angle, struct normal_equations *equations)
{
    static const double none[3] = {
        DECISION_FIT, 0, -DECISION_FIT * (DECISION_FIT * (double)DECISION_FIT - 1) / 12}; /* theta 0 */
    struct half_angle twice = half_twice(angle);
    struct half_angle mixed = half_mixed(angle);
    struct kernel own = kernel_of(&twice, DECISION_FIT);
    struct kernel cross = kernel_of(&mixed, DECISION_FIT);
    const double sum[3] = {cross.value[0], cross.slope[0], cross.bend[0]};
    const double apart[3] = {cross.value[1], cross.slope[1], cross.bend[1]};
    for (int k = 0; k < 2; k++) {
        const double of_tone[3] = {own.value[k], own.slope[k], own.bend[k]};
        gram_place(equations, 2 * k, 2 * k, none, of_tone);
    }
    gram_place(equations, 0, 2, apart, sum);
}

static void gram_inverse(const struct half_angle *angle, int length, float inverse[6])
{
    struct half_angle twice = half_twice(angle);
    struct half_angle mixed = half_mixed(angle);
    pair own = twice.often.s / twice.once.s;
    pair cross = mixed.often.s / mixed.once.s;
    pair low = even_and_odd(length, own[0]);
    pair high = even_and_odd(length, own[1]);
    pair both = even_and_odd(cross[1], cross[0]);
    pair one = 1 / (low * high - both * both);
    for (int side = 0; side < 2; side++) {
        inverse[3 * side] = (float)(high[side] * one[side]);
        inverse[3 * side + 1] = (float)(-both[side] * one[side]);
        inverse[3 * side + 2] = (float)(low[side] * one[side]);
    }
}

/* Solves the two symmetric positive definite 4x4 systems in place of their right sides. */
static bool solve4(struct normal_equations *equations)
{
    pair(*g)[4] = equations->gram;
    pair *r = equations->right;
    pair one[4];
    for (int i = 0; i < 4; i++) {
        if (g[i][i][0] < 1e-6 || g[i][i][1] < 1e-6)
            return false;
        one[i] = 1 / g[i][i];
        for (int k = i + 1; k < 4; k++) {
            pair factor = g[k][i] * one[i];
            for (int j = i + 1; j < 4; j++)
                g[k][j] -= factor * g[i][j];
            r[k] -= factor * r[i];
        }
    }
    for (int i = 3; i >= 0; i--) {
        for (int j = i + 1; j < 4; j++)
            r[i] -= g[i][j] * r[j];
        r[i] *= one[i];
    }
    return true;
}

/* ---- the fit ---- */

/* The newest samples about their middle: what even and what odd functions of time see of them, from the middle on, and the same
 * times the time. */
struct folded {
    vec4 even[HALF / 4], odd[HALF / 4];
    vec4 even_t[HALF / 4], odd_t[HALF / 4];
};

static void fold(const float *x, struct folded *folded)
{
    vec4 t = {0.5f, 1.5f, 2.5f, 3.5f};
    for (int i = 0; i < HALF / 4; i++) {
        vec4 later, earlier;
        memcpy(&later, x + HALF + 4 * i, sizeof(later));
        memcpy(&earlier, x + HALF - 4 - 4 * i, sizeof(earlier));
        earlier = __builtin_shufflevector(earlier, earlier, 3, 2, 1, 0);
        folded->even[i] = later + earlier;
        folded->odd[i] = later - earlier;
        folded->even_t[i] = folded->even[i] * t;
        folded->odd_t[i] = folded->odd[i] * t;
        t += 4;
    }
}

/* The first sample is half a sample after the middle. */
static struct wave4 wave4_of(const struct half_angle *angle, int k)
{
    double c = angle->once.c[k];
    double s = angle->once.s[k];
    return wave4_from(c, s, c * c - s * s, 2 * c * s);
}

/* Correlations with tone k and with its derivative. */
static void sides_make(const struct folded *folded, const struct half_angle *angle, int k,
                       struct normal_equations *equations)
{
    struct wave4 wave = wave4_of(angle, k);
    vec4 even = {0}, even_t = {0}, odd = {0}, odd_t = {0};
    for (int i = 0; i < HALF / 4; i++) {
        even += wave.c * folded->even[i];
        odd += wave.s * folded->odd[i];
        even_t += wave.s * folded->even_t[i];
        odd_t += wave.c * folded->odd_t[i];
        wave4_turn(&wave);
    }
    equations->right[2 * k] = (pair){sum4(even), sum4(odd)};
    equations->right[2 * k + 1] = (pair){sum4(even_t), sum4(odd_t)};
}

/* One step of both frequencies. step_max: the larger of the two. */
static bool refine(const struct folded *folded, struct decision_model *model, double *step_max)
{
    struct normal_equations equations;
    const float omega[2] = {model->tone[0].omega, model->tone[1].omega};
    struct half_angle angle = half_angle_of(omega, DECISION_FIT);
    grams_make(&angle, &equations);
    sides_make(folded, &angle, 0, &equations);
    sides_make(folded, &angle, 1, &equations);
    if (!solve4(&equations))
        return false;
    *step_max = 0;
    for (int k = 0; k < 2; k++) {
        pair wave = equations.right[2 * k];
        pair derivative = equations.right[2 * k + 1];
        double square = wave[0] * wave[0] + wave[1] * wave[1];
        if (square <= 0)
            return false;
        double step = (wave[1] * derivative[1] - wave[0] * derivative[0]) / square;
        model->tone[k].omega += (float)fmax(-0.01, fmin(0.01, step));
        *step_max = fmax(*step_max, fabs(step));
    }
    return true;
}

/* Amplitudes of both tones, their frequencies being known. */
static void fit_amplitudes(const struct folded *folded, struct decision_tone *tone)
{
    const float omega[2] = {tone[0].omega, tone[1].omega};
    struct half_angle angle = half_angle_of(omega, DECISION_FIT);
    float inverse[6];
    float cosine[2], sine[2];
    gram_inverse(&angle, DECISION_FIT, inverse);
    for (int k = 0; k < 2; k++) {
        struct wave4 wave = wave4_of(&angle, k);
        vec4 even = {0}, odd = {0};
        for (int i = 0; i < HALF / 4; i++) {
            even += wave.c * folded->even[i];
            odd += wave.s * folded->odd[i];
            wave4_turn(&wave);
        }
        cosine[k] = sum4(even);
        sine[k] = sum4(odd);
    }
    decision_amplitudes(cosine, sine, inverse, tone);
}

bool decision_model_fit(const float *look, struct decision_model *model)
{
    const float *x = look + DECISION_LOOK - DECISION_FIT;
    struct half halves[2];
    struct folded folded;
    half_correlate(x, &halves[0]);
    half_correlate(x + HALF, &halves[1]);
    choose_pair(halves, model);
    model->tone[0].omega = coarse_omega(halves, model->row);
    model->tone[1].omega = coarse_omega(halves, 4u + model->column);
    if (!is_tuned(model, 2 * DETUNE_MAX))
        return false;
    fold(x, &folded);
    double step = INFINITY;
    for (int i = 0; i < STEPS_MAX && step > STEP_LAST; i++) {
        if (!refine(&folded, model, &step))
            return false;
    }
    fit_amplitudes(&folded, model->tone);
    model->middle = DECISION_LOOK - DECISION_FIT + (DECISION_FIT - 1) / 2.0;
    return is_tuned(model, DETUNE_MAX);
}

void decision_track_make(struct decision *decision)
{
    struct half_angle angle = half_angle_of(decision->omega, DECISION_TRACK);
    gram_inverse(&angle, DECISION_TRACK, decision->track_fit);
    for (int k = 0; k < 2; k++) {
        struct wave4 wave = wave4_of(&angle, k);
        for (int i = 0; i < DECISION_TRACK / 2; i += 4) {
            memcpy(&decision->track_cosine[k][i], &wave.c, sizeof(wave.c));
            memcpy(&decision->track_sine[k][i], &wave.s, sizeof(wave.s));
            wave4_turn(&wave);
        }
    }
}
