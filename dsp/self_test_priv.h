/* What the self-test asks: all faces there are, or, in its own test, some with a wrong one planted among them. */
#ifndef TONEGATE_DSP_SELF_TEST_PRIV_H
#define TONEGATE_DSP_SELF_TEST_PRIV_H

#include "dsp/g711.h"
#include "dsp/grid_screen.h"
#include "dsp/screen.h"
#include "dsp/self_test.h"
#include "dsp/suspicion_priv.h"
#include "dsp/tone_bank.h"

/* The reference first. */
struct dsp_faces {
    const struct g711_face *g711;
    size_t g711_count;
    const struct tone_bank_face *tone_bank;
    size_t tone_bank_count;
    const struct screen_face *screen;
    size_t screen_count;
    const struct grid_face *grid;
    size_t grid_count;
    const struct suspicion_face *suspicion;
    size_t suspicion_count;
};

MUST_USE enum err dsp_self_test_of(const struct dsp_faces *faces, struct dsp_self_test *report);

#endif
