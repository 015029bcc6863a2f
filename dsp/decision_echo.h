/* Telling a line's echo of a press from a press. */
#ifndef TONEGATE_DSP_DECISION_ECHO_H
#define TONEGATE_DSP_DECISION_ECHO_H

#include "dsp/decision_model.h"

/* Is what was fitted, and began at onset, an echo of this press? */
bool decision_is_echo(const struct decision_press *press, const struct decision_model *model, uint64_t onset);

/* It was, and still sounds. */
void decision_note_echo(struct decision_press *press, uint64_t onset, uint64_t fed);

/* A key went down: from now on it may be what echoes are held against. */
void decision_note_press(struct decision *decision, uint64_t onset);

/* A key went up, and was there until then. */
void decision_note_release(struct decision_press *press, uint64_t until, uint64_t fed);

#endif
