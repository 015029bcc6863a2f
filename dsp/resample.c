#include "dsp/resample.h"

#include "base/secret.h"

#include <math.h>
#include <string.h>

#define TAPS_PER_FACTOR 48
#define CUT_HZ          3700.0 /* middle of the transition */

_Static_assert(TAPS_PER_FACTOR * 6 <= RESAMPLE_TAPS_MAX, "48 kHz needs the most taps");

/* Blackman window: -74 dB beside the pass band. */
static void design(struct resample *resample, unsigned rate)
{
    double sum = 0;
    double middle = (resample->taps - 1) / 2.0;
    for (unsigned i = 0; i < resample->taps; i++) {
        double t = i - middle;
        double x = 2 * M_PI * CUT_HZ / rate * t;
        double sinc = fabs(x) < 1e-9 ? 1 : sin(x) / x;
        double turn = 2 * M_PI * (i + 0.5) / resample->taps;
        double value = sinc * (0.42 - 0.5 * cos(turn) + 0.08 * cos(2 * turn));
        resample->coefficients[i] = (float)value;
        sum += value;
    }
    for (unsigned i = 0; i < resample->taps; i++)
        resample->coefficients[i] = (float)(resample->coefficients[i] / sum);
}

enum err resample_init(struct resample *resample, unsigned rate)
{
    memset(resample, 0, sizeof(*resample));
    if (rate != 8000 && rate != 16000 && rate != 48000)
        return ERR_UNSUPPORTED;
    resample->factor = rate / 8000;
    resample->taps = TAPS_PER_FACTOR * resample->factor;
    design(resample, rate);
    return OK;
}

static int16_t output(const struct resample *resample, const int16_t *newest)
{
    float sum = 0;
    for (unsigned i = 0; i < resample->taps; i++)
        sum += resample->coefficients[i] * newest[-(int)i];
    return (int16_t)lrintf(fmaxf(-32768, fminf(32767, sum)));
}

size_t resample_run(struct resample *resample, const int16_t *in, size_t count, int16_t *out)
{
    int16_t line[RESAMPLE_TAPS_MAX + RESAMPLE_IN_MAX];
    size_t out_count = 0;
    if (count == 0 || count > RESAMPLE_IN_MAX)
        return 0;
    if (resample->factor == 1) {
        memcpy(out, in, count * sizeof(*out));
        return count;
    }
    unsigned taps = resample->taps;
    memcpy(line, resample->past, taps * sizeof(*line));
    memcpy(line + taps, in, count * sizeof(*line));
    size_t at = resample->phase;
    for (; at < count; at += resample->factor)
        out[out_count++] = output(resample, line + taps + at);
    resample->phase = (unsigned)(at - count);
    memcpy(resample->past, line + count, taps * sizeof(*line));
    wipe(line, (taps + count) * sizeof(*line));
    return out_count;
}

void resample_wipe(struct resample *resample)
{
    wipe(resample, sizeof(*resample));
}
