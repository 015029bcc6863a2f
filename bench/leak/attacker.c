#include "bench/leak/attacker.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define RATE        8000.0
#define LENGTHS     7
#define LENGTH_MAX  640
#define BASE        4    /* cosine and sine of both tones */
#define POWER_LEAST 1.0  /* mean square of int16 units; below is digital silence */
#define SHARE_LEAST 1e-6 /* of a window's energy left unexplained: keeps the score finite on clean audio */
#define STEP_LEAST  8

static const size_t window_length[LENGTHS] = {40, 64, 96, 160, 240, 400, 640};
static const double low_tone[4] = {697, 770, 852, 941};
static const double high_tone[4] = {1209, 1336, 1477, 1633};
/* By key as RFC 4733 counts them: 0..9, '*', '#', A..D. */
static const unsigned char key_row[ATTACKER_CLASSES_MAX] = {3, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 0, 1, 2, 3};
static const unsigned char key_column[ATTACKER_CLASSES_MAX] = {1, 0, 1, 2, 0, 1, 2, 0,
                                                               1, 2, 0, 2, 3, 3, 3, 3};

static float basis[LENGTHS][ATTACKER_CLASSES_MAX][BASE][LENGTH_MAX];
static bool is_ready;

void attacker_key_tones(unsigned key, double *low_hz, double *high_hz)
{
    *low_hz = low_tone[key_row[key]];
    *high_hz = high_tone[key_column[key]];
}

static void orthonormalise(double vectors[BASE][LENGTH_MAX], size_t length)
{
    for (size_t j = 0; j < BASE; j++) {
        for (size_t before = 0; before < j; before++) {
            double dot = 0;
            for (size_t i = 0; i < length; i++)
                dot += vectors[j][i] * vectors[before][i];
            for (size_t i = 0; i < length; i++)
                vectors[j][i] -= dot * vectors[before][i];
        }
        double energy = 0;
        for (size_t i = 0; i < length; i++)
            energy += vectors[j][i] * vectors[j][i];
        for (size_t i = 0; i < length; i++)
            vectors[j][i] /= sqrt(energy);
    }
}

static void build_basis(size_t l, unsigned key)
{
    static double vectors[BASE][LENGTH_MAX];
    double tone[2];
    attacker_key_tones(key, &tone[0], &tone[1]);
    for (size_t j = 0; j < BASE; j++)
        for (size_t i = 0; i < window_length[l]; i++) {
            double phase = 2 * M_PI * tone[j / 2] * (double)i / RATE;
            vectors[j][i] = j % 2 ? sin(phase) : cos(phase);
        }
    orthonormalise(vectors, window_length[l]);
    for (size_t j = 0; j < BASE; j++)
        for (size_t i = 0; i < window_length[l]; i++)
            basis[l][key][j][i] = (float)vectors[j][i];
}

static void get_ready(void)
{
    if (is_ready)
        return;
    for (size_t l = 0; l < LENGTHS; l++)
        for (unsigned key = 0; key < ATTACKER_CLASSES_MAX; key++)
            build_basis(l, key);
    is_ready = true;
}

static double window_score(const float *samples, size_t l, unsigned key, double energy)
{
    size_t length = window_length[l];
    double explained = 0;
    for (size_t j = 0; j < BASE; j++) {
        const float *vector = basis[l][key][j];
        float dot = 0;
        for (size_t i = 0; i < length; i++)
            dot += samples[i] * vector[i];
        explained += (double)dot * dot;
    }
    double left = 1 - explained / energy;
    return -log(left < SHARE_LEAST ? SHARE_LEAST : left) * (double)(length - BASE) / 2;
}

static void score_windows(const float *samples, size_t count, size_t l, unsigned classes, double *best)
{
    size_t length = window_length[l];
    size_t step = length / 4 < STEP_LEAST ? STEP_LEAST : length / 4;
    for (size_t at = 0; at + length <= count; at += step) {
        double energy = 0;
        for (size_t i = 0; i < length; i++)
            energy += (double)samples[at + i] * samples[at + i];
        if (energy < POWER_LEAST * (double)length)
            continue;
        for (unsigned key = 0; key < classes; key++) {
            double score = window_score(samples + at, l, key, energy);
            if (score > best[key])
                best[key] = score;
        }
    }
}

struct attacker_guess attacker_listen(const float *samples, size_t count, unsigned classes)
{
    get_ready();
    double best[ATTACKER_CLASSES_MAX] = {0};
    for (size_t l = 0; l < LENGTHS; l++)
        score_windows(samples, count, l, classes, best);
    struct attacker_guess guess = {-1, 0, 0};
    double second = 0;
    for (unsigned key = 0; key < classes; key++) {
        if (best[key] > guess.score) {
            second = guess.score;
            guess.score = best[key];
            guess.key = (int)key;
        } else if (best[key] > second) {
            second = best[key];
        }
    }
    guess.margin = guess.score - second;
    return guess;
}

void attacker_wilson(size_t hits, size_t trials, double *low, double *high)
{
    *low = 0;
    *high = 1;
    if (trials == 0)
        return;
    const double z = 1.959964;
    double n = (double)trials;
    double share = (double)hits / n;
    double centre = share + z * z / (2 * n);
    double spread = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n));
    *low = fmax(0, (centre - spread) / (1 + z * z / n));
    *high = fmin(1, (centre + spread) / (1 + z * z / n));
}

double attacker_chance_of(size_t hits, size_t trials, double chance)
{
    double sum = 0;
    for (size_t k = hits; k <= trials; k++) {
        double log_ways =
            lgamma((double)trials + 1) - lgamma((double)k + 1) - lgamma((double)(trials - k) + 1);
        sum += exp(log_ways + (double)k * log(chance) + (double)(trials - k) * log1p(-chance));
    }
    return sum > 1 ? 1 : sum;
}
