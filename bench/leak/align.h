/* Finds by how much a delivered recording lags behind the sent one, and where that changes (a look-ahead that comes and
 * goes with arming). Works on the speech between keys, since the keys themselves are what should be missing. */
#ifndef TONEGATE_BENCH_LEAK_ALIGN_H
#define TONEGATE_BENCH_LEAK_ALIGN_H

#include "base/err.h"

#include <stddef.h>

#define ALIGN_LAGS_MAX 8

struct align_span {
    size_t from;
    size_t to;
};

struct align_point { /* a block of the sent recording that was found again */
    size_t at;       /* its middle, sample of the sent recording */
    int lag;         /* delivered sample = sent sample + lag */
};

struct align {
    struct align_point *points; /* in order of `at`; not empty */
    size_t point_count;
    int lags[ALIGN_LAGS_MAX]; /* distinct lags, most frequent first */
    size_t lag_count;
};

struct align_signal {
    const float *samples;
    size_t count;
};

/* leave_out: spans of the sent recording not to be looked for (the keys), in order. *out is released with
 * align_release(). ERR_NOT_FOUND: the two have no audio in common. ERR_MEMORY. */
MUST_USE enum err align_find(struct align *out, const struct align_signal *sent,
                             const struct align_signal *delivered, const struct align_span *leave_out,
                             size_t leave_out_count);

/* One lag for everything, told by the user. ERR_MEMORY. */
MUST_USE enum err align_fixed(struct align *out, int lag);

/* Lags of the nearest blocks before and after sample `at`; the same twice at either end. */
void align_around(const struct align *align, size_t at, int *before, int *after);

void align_release(struct align *align);

#endif
