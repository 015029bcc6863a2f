/* From 16 or 48 kHz to the 8 kHz of the ears: a linear-phase low-pass (windowed sinc, 3.4 kHz kept, 4 kHz and above down
 * by more than 60 dB) and every second or sixth sample of it. Keeps the last few milliseconds of the caller: card data
 * while a field is keyed, resample_wipe(). No allocation. Thread: one at a time per struct. */
#ifndef TONEGATE_DSP_RESAMPLE_H
#define TONEGATE_DSP_RESAMPLE_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

#define RESAMPLE_TAPS_MAX 288
#define RESAMPLE_IN_MAX   2880 /* 60 ms at 48 kHz */

struct resample {
    unsigned factor; /* 1, 2 or 6 */
    unsigned taps;
    unsigned phase; /* input samples until the next output */
    float coefficients[RESAMPLE_TAPS_MAX];
    int16_t past[RESAMPLE_TAPS_MAX];
};

/* rate 8000, 16000 or 48000; ERR_UNSUPPORTED for others. */
MUST_USE enum err resample_init(struct resample *resample, unsigned rate);

/* count 1..RESAMPLE_IN_MAX samples; out has room for count / factor + 1. Returns the number written, delayed by half the
 * filter (3 ms). ERR_RANGE is told as 0. */
size_t resample_run(struct resample *resample, const int16_t *in, size_t count, int16_t *out);

void resample_wipe(struct resample *resample);

#endif
