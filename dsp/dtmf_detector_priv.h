/* The detector's inside, for the mask, which delays the samples that the detector remembers anyway. */
#ifndef TONEGATE_DSP_DTMF_DETECTOR_PRIV_H
#define TONEGATE_DSP_DTMF_DETECTOR_PRIV_H

#include "dsp/decision.h"
#include "dsp/dtmf_detector.h"
#include "dsp/suspicion.h"
#include "dsp/tone_bank.h"

#define DTMF_HISTORY                                                                                         \
    2048 /* samples; a power of two, longer than look-ahead + frame + what the decision looks back */

struct dtmf_detector {
    int16_t history[DTMF_HISTORY]; /* sample n is at n % DTMF_HISTORY */
    uint64_t fed;
    uint64_t gap_until; /* no sample before this one since the last gap began */
    const struct tone_bank_face *bank;
    struct suspicion suspicion;
    struct decision decision;
};

#endif
