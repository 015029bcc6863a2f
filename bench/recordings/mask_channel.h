/* The armed path on one channel of a recording, at the recording's own rate and without delay.
 *
 *   in ──┬──► to 8 kHz ──► mask, a millisecond at a time ──► what was delivered ──► back to the rate ──┐
 *        └──► waits ───────────────────────────────────────────────────────────────► cross-fade ──────┴──► out
 *
 * Where the mask let everything pass the input comes out untouched, sample for sample; elsewhere what the mask delivered
 * does, and nothing of the input. Both meet within a millisecond in which the mask let everything pass. What holds samples
 * is wiped. Thread: one at a time. */
#ifndef TONEGATE_BENCH_RECORDINGS_MASK_CHANNEL_H
#define TONEGATE_BENCH_RECORDINGS_MASK_CHANNEL_H

#include "base/err.h"
#include "dsp/mask.h"

#include <stddef.h>
#include <stdint.h>

#define MASK_CHANNEL_FEED_MAX 4096

struct mask_channel; /* opaque */

struct mask_channel_options {
    enum mask_mode mode;
    enum mask_engine engine;
    unsigned lookahead_ms; /* 1..100 */
    double from_s;         /* a field is being keyed between these two: strict, or mute */
    double to_s;
};

struct mask_channel_span {
    uint64_t from_ms;
    uint64_t to_ms;
};

struct mask_channel_report {
    uint64_t masked_ms;
    uint32_t keys;                   /* that were recognised; masking does not wait for it */
    uint32_t keys_after;             /* that an independent ear heard in what was delivered: should be 0 */
    struct mask_channel_span *spans; /* the channel's */
    size_t span_count;
};

/* ERR_RANGE, ERR_MEMORY. */
MUST_USE enum err mask_channel_new(struct mask_channel **out, unsigned rate,
                                   const struct mask_channel_options *options);
void mask_channel_free(struct mask_channel *channel); /* NULL is accepted */

/* count 1..MASK_CHANNEL_FEED_MAX samples on the scale of int16. ERR_MEMORY. */
MUST_USE enum err mask_channel_feed(struct mask_channel *channel, const double *in, size_t count);

/* No more input. ERR_MEMORY. */
MUST_USE enum err mask_channel_end(struct mask_channel *channel);

/* Samples that can be taken; after mask_channel_end() as many as were fed and not taken. */
size_t mask_channel_ready(const struct mask_channel *channel);
void mask_channel_take(struct mask_channel *channel, double *out, size_t count);

void mask_channel_report(const struct mask_channel *channel, struct mask_channel_report *report);

#endif
