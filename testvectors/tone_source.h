/* Labelled signals for tests and benches: keys of any level, twist, frequency, length and phase over noise or speech.
 * Everything follows from the seed. Levels in dBm0 per tone (a full-scale sine is +3.14); twist is low minus high; SNR is
 * both tones over white noise in 0-4 kHz. Thread: one at a time per struct. */
#ifndef TONEGATE_TESTVECTORS_TONE_SOURCE_H
#define TONEGATE_TESTVECTORS_TONE_SOURCE_H

#include "dsp/g711.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tone_random {
    uint64_t state;
};
void tone_random_seed(struct tone_random *random, uint64_t seed);
double tone_random_uniform(struct tone_random *random, double from, double to);
double tone_random_normal(struct tone_random *random);
unsigned tone_random_below(struct tone_random *random, unsigned bound);

struct tone_press {
    uint8_t key; /* 0..15, as dsp/dtmf.h */
    float level_low_dbm0;
    float level_high_dbm0;
    float detune_low; /* relative: +0.015 is 1.5 % too high */
    float detune_high;
    float phase_low;
    float phase_high;
    unsigned ramp_samples; /* rise and fall; 0 is a step */
};

/* Adds the press to x[from .. from + length). */
void tone_source_press(float *x, size_t from, size_t length, const struct tone_press *press);

/* A press of random key and phases; level is that of the stronger tone. */
struct tone_press tone_source_random_press(struct tone_random *random, float level_dbm0, float twist_db,
                                           float detune_max);

/* Power of both tones together. */
float tone_press_dbm0(const struct tone_press *press);

void tone_source_noise(struct tone_random *random, float *x, size_t count, float level_dbm0);

/* Adds pcm, scaled so that its mean power over count samples is level_dbm0. Silence stays silence. */
void tone_source_speech(float *x, const int16_t *pcm, size_t count, float level_dbm0);

enum tone_line { TONE_LINE_CLEAN, TONE_LINE_ULAW, TONE_LINE_ALAW };

/* Rounds, clips and sends through the line. */
void tone_source_finish(const float *x, int16_t *pcm, size_t count, enum tone_line line);

#endif
