/* What the decision fits to its samples: a pair of tones, and what that pair gains sample by sample. Written in the
 * compiler's vectors of four, which every processor has; cost matters, for a model is fitted twice for each key. */
#ifndef TONEGATE_DSP_DECISION_MODEL_H
#define TONEGATE_DSP_DECISION_MODEL_H

#include "dsp/decision.h"

#include <math.h>

#define DECISION_FIT 160 /* samples that the model is fitted to: 20 ms */

/* What is known of a fitted pair. Tone 0 is the low one. */
struct decision_model {
    struct decision_tone tone[2];
    double middle; /* index in look[] that phases count from */
    uint8_t row, column;
};

/* What the model gains sample by sample over silence: 2xs - s*s, and its own energy. */
struct decision_gain {
    _Alignas(16) float gained[DECISION_LOOK];
    _Alignas(16) float own[DECISION_LOOK];
};

/* Makes the tables; once, before any fit. */
void decision_model_tables_make(void);

/* Fits pair, frequencies and amplitudes to the newest DECISION_FIT samples of look (DECISION_LOOK of them). False
 * where no pair near enough to a key's frequencies can be fitted. */
bool decision_model_fit(const float *look, struct decision_model *model);

/* Gain over all of look. */
void decision_gain_make(const float *look, const struct decision_model *model, struct decision_gain *gain);

/* Index in look where the tone most likely began, not before earliest, and one past where it ended. */
void decision_gain_edges(const struct decision_gain *gain, int earliest, int *onset, int *end);

static inline float decision_tone_amplitude(const struct decision_tone *tone)
{
    return sqrtf(tone->cosine * tone->cosine + tone->sine * tone->sine);
}

/* Of two tones over DECISION_TRACK samples about their middle: waves over the later half, and the inverse Gram matrices (even
 * low, cross, high, then odd). */
void decision_track_make(struct decision *decision);

/* Amplitudes of both tones from their correlations. */
static inline void decision_amplitudes(const float cosine[2], const float sine[2], const float inverse[6],
                                       struct decision_tone *tone)
{
    tone[0].cosine = inverse[0] * cosine[0] + inverse[1] * cosine[1];
    tone[1].cosine = inverse[1] * cosine[0] + inverse[2] * cosine[1];
    tone[0].sine = inverse[3] * sine[0] + inverse[4] * sine[1];
    tone[1].sine = inverse[4] * sine[0] + inverse[5] * sine[1];
}

#endif
