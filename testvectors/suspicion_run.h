/* Suspicion over a whole recording, block by block: the same walk serves tests and what the networks learn from. */
#ifndef TONEGATE_TESTVECTORS_SUSPICION_RUN_H
#define TONEGATE_TESTVECTORS_SUSPICION_RUN_H

#include "dsp/suspicion.h"

/* The end of a block of the recording, which is block i of those that the stretch is asked about. False: no more. */
typedef bool suspicion_run_h(void *owner, const struct suspicion_stretch *stretch, size_t i, size_t block);

/* pcm: block_count blocks, before which there was silence. False when it was stopped. */
bool suspicion_run(const struct suspicion *suspicion, const int16_t *pcm, size_t block_count,
                   suspicion_run_h *each, void *owner);

#endif
