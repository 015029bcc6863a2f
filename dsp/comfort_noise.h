/* Noise that sounds like the background of the call: level and spectral envelope (linear prediction, order 16) follow
 * the quiet frames that the caller says are free of tones; the samples come from a seeded generator. Nothing of the
 * frames themselves is kept but seventeen smoothed correlations. Thread: one at a time per struct. */
#ifndef TONEGATE_DSP_COMFORT_NOISE_H
#define TONEGATE_DSP_COMFORT_NOISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COMFORT_NOISE_ORDER 16  /* a multiple of four */
#define COMFORT_NOISE_FRAME 160 /* samples of a learned frame: 20 ms */

struct comfort_noise {
    uint32_t random;
    bool has_learned;
    bool is_predicted;                          /* predictor and excitation are those of correlation */
    uint8_t learned;                            /* frames in the mean, up to a bound */
    uint8_t skipped;                            /* frames that were too loud to begin with */
    float floor;                                /* energy per sample of the quietest recent frames */
    float correlation[COMFORT_NOISE_ORDER + 1]; /* smoothed, per sample */
    float predictor[COMFORT_NOISE_ORDER];
    float excitation;                /* amplitude of the generator */
    float past[COMFORT_NOISE_ORDER]; /* of the synthesis, newest first */
};

/* Until something is learned: white noise at -66 dBm0. */
void comfort_noise_init(struct comfort_noise *noise, uint32_t seed);

/* One frame of COMFORT_NOISE_FRAME samples without any tone in it. Returns true if it was background and was taken;
 * frames well above the floor are speech and only let the floor creep up. */
bool comfort_noise_learn(struct comfort_noise *noise, const int16_t *pcm);

/* Writes count samples; values are within int16. However many are asked for at once, they are the same but for rounding. */
void comfort_noise_make(struct comfort_noise *noise, float *out, size_t count);

#endif
