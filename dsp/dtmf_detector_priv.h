/* The detector's inside, for the mask, which delays the samples that the detector remembers anyway. */
#ifndef TONEGATE_DSP_DTMF_DETECTOR_PRIV_H
#define TONEGATE_DSP_DTMF_DETECTOR_PRIV_H

#include "dsp/decision.h"
#include "dsp/dtmf_detector.h"
#include "dsp/grid_screen.h"
#include "dsp/screen.h"
#include "dsp/suspicion.h"
#include "dsp/tone_bank.h"

#include <stdbool.h>

#define DTMF_HISTORY                                                                                         \
    2048 /* samples; a power of two, longer than look-ahead + frame + what the decision looks back */

/* What every frame touches comes first and stands together, what only few do and the ring after it: thousands of these
 * do not fit the caches, and each line of 64 bytes that a frame touches is fetched anew. */
struct dtmf_detector {
    uint64_t fed;
    uint64_t gap_from; /* the last gap: none of its samples came */
    uint64_t gap_until;
    uint64_t known_until; /* block up to which suspicion has answered; see is_pending() */
    unsigned stands;      /* see dtmf_detector_stands() */
    const struct tone_bank_face *bank;
    const struct screen_face *screen;
    const struct grid_face *grid; /* used instead where the look-ahead is long enough */
    uint64_t grid_until; /* windows of the grid that were heard, all those before the last included */
    bool is_grid_full;   /* the last of them may have been full of a key */
    struct suspicion suspicion;
    struct decision decision;                   /* its look comes last */
    _Alignas(64) int16_t history[DTMF_HISTORY]; /* sample n is at n % DTMF_HISTORY */
};

/* Asks for the lines that the next frame of count samples will touch. */
void dtmf_detector_prefetch(const struct dtmf_detector *detector, size_t count);

#endif
