#include "dsp/comfort_noise.h"

#include <math.h>
#include <string.h>

#define LEVEL_UNKNOWN  11.4f  /* rms of -66 dBm0 */
#define LEVEL_MAX      700.0f /* rms of about -30 dBm0: louder background is not imitated in full */
#define LEVEL_TOP      32000.0f
#define FLOOR_RISE     1.02f /* per frame above it: 3 dB in 0.7 s of frames looked at */
#define FLOOR_DROP     0.4f  /* a frame below this part of it is a new floor at once */
#define FLOOR_SMOOTH   0.1f
#define BACKGROUND_MAX 1.7f   /* times the floor */
#define LEARNED_MAX    6      /* frames: the mean of the first, then a sliding one, half a second of calm */
#define FIRST_MAX      2.6e4f /* energy of -40 dBm0: whoever begins with more is speaking, */
#define FIRST_WAIT     50     /* unless it goes on for so many frames */
#define UNIFORM_RMS    0.57735027f

void comfort_noise_init(struct comfort_noise *noise, uint32_t seed)
{
    memset(noise, 0, sizeof(*noise));
    noise->random = seed ? seed : 0x9e3779b9u;
    noise->excitation = LEVEL_UNKNOWN / UNIFORM_RMS;
    noise->is_predicted = true;
}

#define LAGS (COMFORT_NOISE_ORDER + 4) /* side by side, four at a time: those wanted, and some for company */
_Static_assert(LAGS % 4 == 0 && LAGS > COMFORT_NOISE_ORDER, "every lag is wanted");
typedef float lag_vec __attribute__((vector_size(4 * sizeof(float))));

/* The frame backwards, so that the samples before one lie behind it; before the first there are zeros. */
static void correlate(const int16_t *pcm, float correlation[COMFORT_NOISE_ORDER + 1])
{
    float back[COMFORT_NOISE_FRAME + LAGS] = {0};
    lag_vec sum[LAGS / 4] = {{0}};
    float sums[LAGS];
    for (int i = 0; i < COMFORT_NOISE_FRAME; i++)
        back[COMFORT_NOISE_FRAME - 1 - i] = pcm[i];
    for (int i = COMFORT_NOISE_FRAME - 1; i >= 0; i--) {
        for (int k = 0; k < LAGS / 4; k++) {
            lag_vec before;
            memcpy(&before, &back[i + 4 * k], sizeof(before));
            sum[k] += back[i] * before;
        }
    }
    for (int k = 0; k < LAGS / 4; k++)
        memcpy(&sums[4 * k], &sum[k], sizeof(sum[k]));
    for (int lag = 0; lag <= COMFORT_NOISE_ORDER; lag++)
        correlation[lag] = sums[lag] / COMFORT_NOISE_FRAME;
}

/* Levinson-Durbin; a little white noise is added to keep the filter tame. */
static void predict(struct comfort_noise *noise)
{
    const float *r = noise->correlation;
    float a[COMFORT_NOISE_ORDER + 1] = {0};
    float error = r[0] * 1.0005f + 0.01f;
    for (int i = 1; i <= COMFORT_NOISE_ORDER; i++) {
        float sum = r[i];
        for (int j = 1; j < i; j++)
            sum -= a[j] * r[i - j];
        float reflection = sum / error;
        reflection = fminf(0.98f, fmaxf(-0.98f, reflection));
        float next[COMFORT_NOISE_ORDER + 1];
        for (int j = 1; j < i; j++)
            next[j] = a[j] - reflection * a[i - j];
        memcpy(a + 1, next + 1, (size_t)(i - 1) * sizeof(*a));
        a[i] = reflection;
        error *= 1 - reflection * reflection;
    }
    float scale = 1;
    if (r[0] > LEVEL_MAX * LEVEL_MAX)
        scale = LEVEL_MAX / sqrtf(r[0]);
    memcpy(noise->predictor, a + 1, sizeof(noise->predictor));
    noise->excitation = sqrtf(error) * scale / UNIFORM_RMS;
    noise->is_predicted = true;
}

bool comfort_noise_learn(struct comfort_noise *noise, const int16_t *pcm)
{
    float energy = 0;
    for (int i = 0; i < COMFORT_NOISE_FRAME; i++)
        energy += (float)pcm[i] * (float)pcm[i];
    energy = energy / COMFORT_NOISE_FRAME + 1;
    if (noise->floor <= 0 || energy < noise->floor * FLOOR_DROP)
        noise->floor = energy;
    if (!noise->has_learned && energy > FIRST_MAX && noise->skipped < FIRST_WAIT) {
        noise->skipped++;
        return false;
    }
    if (energy > noise->floor * BACKGROUND_MAX) {
        noise->floor *= FLOOR_RISE;
        return false;
    }
    noise->floor += FLOOR_SMOOTH * (energy - noise->floor);
    float correlation[COMFORT_NOISE_ORDER + 1];
    correlate(pcm, correlation);
    bool is_first = !noise->has_learned || correlation[0] * 4 < noise->correlation[0];
    noise->learned = is_first ? 1 : noise->learned + (noise->learned < LEARNED_MAX);
    float share = 1.0f / (float)noise->learned;
    for (int lag = 0; lag <= COMFORT_NOISE_ORDER; lag++)
        noise->correlation[lag] += share * (correlation[lag] - noise->correlation[lag]);
    noise->has_learned = true;
    noise->is_predicted = false; /* most of what is learned is never spoken */
    return true;
}

/* What all samples but the last say of the next ORDER ones, four at a time, the very next one's part first. The last is left
 * out, for its way to the next is the longest here: one product and one sum, the rest waits for nobody. */
struct foresight {
    lag_vec next[COMFORT_NOISE_ORDER / 4];
    lag_vec
        later[COMFORT_NOISE_ORDER / 4]; /* what a sample says of those from the next but one on, over it */
};

static void foresee(const struct comfort_noise *noise, struct foresight *foresight)
{
    float next[COMFORT_NOISE_ORDER] = {0};
    float later[COMFORT_NOISE_ORDER] = {0};
    for (int ahead = 0; ahead < COMFORT_NOISE_ORDER - 1; ahead++) {
        later[ahead] = noise->predictor[ahead + 1];
        for (int k = ahead + 1; k < COMFORT_NOISE_ORDER; k++)
            next[ahead] += noise->predictor[k] * noise->past[k - ahead];
    }
    for (int k = 0; k < COMFORT_NOISE_ORDER / 4; k++) {
        memcpy(&foresight->next[k], &next[4 * k], sizeof(foresight->next[k]));
        memcpy(&foresight->later[k], &later[4 * k], sizeof(foresight->later[k]));
    }
}

/* The next sample has become the last one, which was `last` until now. */
static inline void go_on(struct foresight *foresight, float last)
{
    const lag_vec none = {0};
    for (int k = 0; k < COMFORT_NOISE_ORDER / 4; k++) {
        lag_vec after = k + 1 < COMFORT_NOISE_ORDER / 4 ? foresight->next[k + 1] : none;
        foresight->next[k] =
            __builtin_shufflevector(foresight->next[k], after, 1, 2, 3, 4) + foresight->later[k] * last;
    }
}

/* The newest ORDER of past and out. */
static void remember(struct comfort_noise *noise, const float *out, size_t count)
{
    size_t fresh = count < COMFORT_NOISE_ORDER ? count : COMFORT_NOISE_ORDER;
    memmove(noise->past + fresh, noise->past, (COMFORT_NOISE_ORDER - fresh) * sizeof(noise->past[0]));
    for (size_t k = 0; k < fresh; k++)
        noise->past[k] = out[count - 1 - k];
}

void comfort_noise_make(struct comfort_noise *noise, float *out, size_t count)
{
    struct foresight foresight;
    if (!noise->is_predicted)
        predict(noise);
    foresee(noise, &foresight);
    const float excitation = noise->excitation * (1.0f / 2147483648.0f);
    const float of_last = noise->predictor[0];
    float last = noise->past[0];
    uint32_t random = noise->random;
    for (size_t i = 0; i < count; i++) {
        random = random * 1664525u + 1013904223u;
        float value = (float)(int32_t)random * excitation + foresight.next[0][0];
        value += of_last * last;
        go_on(&foresight, last);
        last = value > LEVEL_TOP ? LEVEL_TOP : value < -LEVEL_TOP ? -LEVEL_TOP : value;
        out[i] = last;
    }
    noise->random = random;
    remember(noise, out, count);
}
