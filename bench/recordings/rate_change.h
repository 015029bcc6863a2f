/* From any sampling rate to any other by a windowed sinc, 24 zero crossings on each side: flat to 0.9 of the narrower
 * band. Output sample n lies at the same moment as input sample n * in_rate / out_rate: nothing is delayed, the filter
 * waits for what it needs. Thread: one at a time per struct. */
#ifndef TONEGATE_BENCH_RECORDINGS_RATE_CHANGE_H
#define TONEGATE_BENCH_RECORDINGS_RATE_CHANGE_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

#define RATE_CHANGE_FEED_MAX 4096

struct rate_change; /* opaque */

/* Rates 4000..192000. ERR_RANGE, ERR_MEMORY. */
MUST_USE enum err rate_change_new(struct rate_change **out, unsigned in_rate, unsigned out_rate);
void rate_change_free(struct rate_change *change); /* NULL is accepted */

/* Input samples on each side that an output sample depends on. */
size_t rate_change_reach(const struct rate_change *change);

/* Most output samples that one feed or end can bring. */
size_t rate_change_room(const struct rate_change *change);

/* count 0..RATE_CHANGE_FEED_MAX; out has rate_change_room() samples. Returns the number written. */
size_t rate_change_feed(struct rate_change *change, const float *in, size_t count, float *out);

/* No more input: what is still due, so that ceil(in * out_rate / in_rate) came in all. */
size_t rate_change_end(struct rate_change *change, float *out);

/* Output sample n alone, from input samples [first, first + count) in memory; those outside are taken for silence. */
float rate_change_at(const struct rate_change *change, const float *in, int64_t first, size_t count,
                     uint64_t n);

#endif
