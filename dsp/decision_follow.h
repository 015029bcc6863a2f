/* Following a key that is held. */
#ifndef TONEGATE_DSP_DECISION_FOLLOW_H
#define TONEGATE_DSP_DECISION_FOLLOW_H

#include "dsp/decision.h"

#define DECISION_LOST (64 + DECISION_TRACK / 2) /* samples after which a held key is not there any more */

/* Whether the key has ended; present_until and is_heard follow. */
bool decision_follow(struct decision *decision, const struct decision_past *past);

#endif
