#include "testvectors/impairment.h"

#include "dsp/dtmf_detector.h"

#include <math.h>
#include <string.h>

#define FRAME        160
#define SUPPRESSED   (-40.0F) /* dBm0 */
#define HELD_SHARE   0.6F
#define GAIN_TARGET  (-12.0F)  /* dBm0 */
#define GAIN_MAX     7.94F     /* 18 dB */
#define GAIN_FALL    0.025F    /* a sample: 5 ms */
#define GAIN_RISE    0.000625F /* 200 ms */
#define REPEAT_SHARE 0.5F

static void add_echo(float *x, size_t count, size_t late, float share)
{
    for (size_t i = count; i-- > late;)
        x[i] += share * x[i - late];
}

void impairment_near_echo(float *x, size_t count)
{
    add_echo(x, count, 20 * 8, 0.316F);
}

void impairment_far_echo(float *x, size_t count)
{
    add_echo(x, count, 130 * 8, 0.05F);
    add_echo(x, count, 60 * 8, 0.1F);
}

void impairment_clip(float *x, size_t count)
{
    float most = 0;
    for (size_t i = 0; i < count; i++)
        most = fmaxf(most, fabsf(x[i]));
    for (size_t i = 0; i < count; i++)
        x[i] = fmaxf(-HELD_SHARE * most, fminf(HELD_SHARE * most, x[i]));
}

static float rms_of(const float *x, size_t count)
{
    double energy = 0;
    for (size_t i = 0; i < count; i++)
        energy += (double)x[i] * x[i];
    return (float)sqrt(energy / (double)count);
}

void impairment_gain_control(float *x, size_t count)
{
    float target = dtmf_amplitude_of_dbm0(GAIN_TARGET) / sqrtf(2);
    float gain = 1;
    for (size_t at = 0; at + FRAME <= count; at += FRAME) {
        float rms = rms_of(x + at, FRAME);
        float wished = rms > 0 ? fminf(target / rms, GAIN_MAX) : GAIN_MAX;
        for (size_t i = at; i < at + FRAME; i++) {
            gain += (wished - gain) * (wished < gain ? GAIN_FALL : GAIN_RISE);
            x[i] *= gain;
        }
    }
}

void impairment_silence_suppression(float *x, size_t count)
{
    float least = dtmf_amplitude_of_dbm0(SUPPRESSED) / sqrtf(2);
    for (size_t at = 0; at < count; at += FRAME) {
        size_t here = count - at < FRAME ? count - at : FRAME;
        if (rms_of(x + at, here) < least)
            memset(x + at, 0, here * sizeof *x);
    }
}

void impairment_loss(float *x, size_t count, struct tone_random *random, double share,
                     enum impairment_concealment concealment)
{
    for (size_t at = FRAME; at + FRAME <= count; at += FRAME) {
        if (tone_random_uniform(random, 0, 1) >= share)
            continue;
        for (size_t i = at; i < at + FRAME; i++)
            x[i] = concealment == IMPAIRMENT_REPEAT ? REPEAT_SHARE * x[i - FRAME] : 0;
    }
}
