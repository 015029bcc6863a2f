#include "proxy/tests/tone_source.h"

#include <math.h>

static const double low_hz[4] = {697, 770, 852, 941};
static const double high_hz[4] = {1209, 1336, 1477, 1633};
/* Rows and columns of 0..9 * # A..D. */
static const uint8_t row[16] = {3, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 0, 1, 2, 3};
static const uint8_t column[16] = {1, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 2, 3, 3, 3, 3};

enum { WINDOW = 80, HOP = 20 };

static double peak_of(double dbm0)
{
    return 32767 * pow(10, (dbm0 - 3.14) / 20);
}

void tone_source_make(struct tone_source *source, int key, double level_dbm0, int16_t *pcm, size_t count)
{
    double step[2] = {0}, peak = 0;
    if (key >= 0) {
        step[0] = 2 * M_PI * low_hz[row[key]] / 8000;
        step[1] = 2 * M_PI * high_hz[column[key]] / 8000;
        peak = peak_of(level_dbm0);
    }
    for (size_t i = 0; i < count; i++) {
        source->noise = source->noise * 1664525u + 1013904223u;
        double noise = ((source->noise >> 16) / 32768.0 - 1) * peak_of(-55) * 1.2;
        double value = noise + peak * (sin(source->phase[0]) + sin(source->phase[1]));
        source->phase[0] += step[0];
        source->phase[1] += step[1];
        pcm[i] = (int16_t)lrint(value);
    }
}

static double level_at(const int16_t *pcm, double hz)
{
    double coefficient = 2 * cos(2 * M_PI * hz / 8000), s1 = 0, s2 = 0;
    for (int i = 0; i < WINDOW; i++) {
        double s0 = pcm[i] + coefficient * s1 - s2;
        s2 = s1;
        s1 = s0;
    }
    double power = s1 * s1 + s2 * s2 - coefficient * s1 * s2;
    double peak = sqrt(power > 0 ? power : 0) * 2 / WINDOW;
    return 20 * log10((peak > 0.01 ? peak : 0.01) / 32767) + 3.14;
}

double tone_left_dbm0(const int16_t *pcm, size_t count, int key)
{
    double loudest = -99;
    for (size_t i = 0; i + WINDOW <= count; i += HOP) {
        double low = level_at(pcm + i, low_hz[row[key]]), high = level_at(pcm + i, high_hz[column[key]]);
        double weaker = low < high ? low : high;
        loudest = weaker > loudest ? weaker : loudest;
    }
    return loudest;
}
