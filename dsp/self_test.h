/* Known answers, asked of every face that could be bound, before the first sample is heard: a processor, a build or a memory
 * that gets one wrong must not be trusted with a mask. Once at start, before other threads run. */
#ifndef TONEGATE_DSP_SELF_TEST_H
#define TONEGATE_DSP_SELF_TEST_H

#include "base/err.h"

#include <stddef.h>

#define DSP_SELF_TEST_DROPPED_MAX 16

struct dsp_self_test {
    size_t face_count; /* that were asked */
    size_t dropped_count;
    struct {
        const char *kernel; /* g711, tone_bank, screen, grid_screen, suspicion */
        const char *face;
    } dropped[DSP_SELF_TEST_DROPPED_MAX];
};

/* Asks the C reference of each kernel what is known, and each better face of this machine whether it says what the
 * reference says. A face that does not is dropped: dsp_cpu_flags() no longer has what it needs, so that the next lower one
 * is bound. ERR_REFUSED when a reference fails: nothing here can be trusted, dropped[] names it. */
MUST_USE enum err dsp_self_test(struct dsp_self_test *report);

#endif
