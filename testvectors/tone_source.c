#include "testvectors/tone_source.h"

#include "dsp/dtmf_detector.h"
#include "dsp/tone_bank.h"

#include <math.h>

void tone_random_seed(struct tone_random *random, uint64_t seed)
{
    random->state = seed * 0x9e3779b97f4a7c15ull + 0x632be59bd9b4e019ull;
}

/* splitmix64: every seed gives another sequence, all 64-bit states are visited. */
static uint64_t random_next(struct tone_random *random)
{
    uint64_t z = random->state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

double tone_random_uniform(struct tone_random *random, double from, double to)
{
    return from + (to - from) * ((double)(random_next(random) >> 11) * 0x1p-53);
}

/* Sum of twelve uniforms: normal enough out to four sigma, and quick. */
double tone_random_normal(struct tone_random *random)
{
    uint64_t sum = 0;
    for (int i = 0; i < 3; i++) {
        uint64_t bits = random_next(random);
        sum += (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
    }
    return ((double)sum - 6 * 65535.0) / 65536.0;
}

unsigned tone_random_below(struct tone_random *random, unsigned bound)
{
    return (unsigned)(random_next(random) % bound);
}

void tone_source_press(float *x, size_t from, size_t length, const struct tone_press *press)
{
    unsigned place = dtmf_key_place(press->key);
    double low = 2 * M_PI * tone_bank_hz[place / 4] * (1 + press->detune_low) / DTMF_SAMPLE_RATE;
    double high = 2 * M_PI * tone_bank_hz[4 + place % 4] * (1 + press->detune_high) / DTMF_SAMPLE_RATE;
    double a = dtmf_amplitude_of_dbm0(press->level_low_dbm0);
    double b = dtmf_amplitude_of_dbm0(press->level_high_dbm0);
    for (size_t i = 0; i < length; i++) {
        double gain = 1;
        if (i < press->ramp_samples)
            gain = (i + 0.5) / press->ramp_samples;
        if (length - i <= press->ramp_samples)
            gain *= (length - i - 0.5) / press->ramp_samples;
        x[from + i] += (float)(gain * (a * sin(low * (double)i + press->phase_low) +
                                       b * sin(high * (double)i + press->phase_high)));
    }
}

struct tone_press tone_source_random_press(struct tone_random *random, float level_dbm0, float twist_db,
                                           float detune_max)
{
    struct tone_press press = {
        .key = (uint8_t)tone_random_below(random, DTMF_KEYS),
        .level_low_dbm0 = twist_db < 0 ? level_dbm0 + twist_db : level_dbm0,
        .level_high_dbm0 = twist_db > 0 ? level_dbm0 - twist_db : level_dbm0,
        .detune_low = (float)tone_random_uniform(random, -detune_max, detune_max),
        .detune_high = (float)tone_random_uniform(random, -detune_max, detune_max),
        .phase_low = (float)tone_random_uniform(random, 0, 2 * M_PI),
        .phase_high = (float)tone_random_uniform(random, 0, 2 * M_PI),
    };
    return press;
}

float tone_press_dbm0(const struct tone_press *press)
{
    return 10 * log10f(powf(10, press->level_low_dbm0 / 10) + powf(10, press->level_high_dbm0 / 10));
}

static double rms_of_dbm0(float level_dbm0)
{
    return dtmf_amplitude_of_dbm0(level_dbm0) / sqrt(2);
}

void tone_source_noise(struct tone_random *random, float *x, size_t count, float level_dbm0)
{
    double rms = rms_of_dbm0(level_dbm0);
    for (size_t i = 0; i < count; i++)
        x[i] += (float)(rms * tone_random_normal(random));
}

void tone_source_speech(float *x, const int16_t *pcm, size_t count, float level_dbm0)
{
    double energy = 0;
    for (size_t i = 0; i < count; i++)
        energy += (double)pcm[i] * pcm[i];
    if (energy <= 0)
        return;
    double gain = rms_of_dbm0(level_dbm0) / sqrt(energy / (double)count);
    for (size_t i = 0; i < count; i++)
        x[i] += (float)(gain * pcm[i]);
}

void tone_source_finish(const float *x, int16_t *pcm, size_t count, enum tone_line line)
{
    for (size_t i = 0; i < count; i++) {
        float value = x[i] > 32767 ? 32767 : x[i] < -32768 ? -32768 : x[i];
        pcm[i] = (int16_t)lrintf(value);
        if (line != TONE_LINE_CLEAN) {
            enum g711_law law = line == TONE_LINE_ALAW ? G711_ALAW : G711_ULAW;
            uint8_t code;
            g711_encode(law, &pcm[i], &code, 1);
            g711_decode(law, &code, &pcm[i], 1);
        }
    }
}
