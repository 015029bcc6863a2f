/* One channel being listened to: samples at 8 kHz in, one line of text per key out.
 *
 * A line is printed when all of it is known, that is when the key was released, and flushed at once; with at_once when the
 * key is known, without its end. Lines are never taken back. They hold the key: this is the one program that says keys,
 * from recordings of whoever runs it. Thread: one at a time. */
#ifndef TONEGATE_BENCH_RECORDINGS_LISTENER_H
#define TONEGATE_BENCH_RECORDINGS_LISTENER_H

#include "base/err.h"
#include "dsp/dtmf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum listener_engine { LISTENER_OWN, LISTENER_SPANDSP };

struct listener_options {
    enum listener_engine engine;
    bool is_text;    /* for people; otherwise JSON */
    bool is_at_once; /* a line when a key is known: its end is null */
    FILE *out;
};

struct listener; /* opaque */

/* file is not copied. channel counts from 1. offset_ms is the time of the first sample; wait_ms is how much later than its
 * own time each sample is fed (a resampler's share). ERR_MEMORY. */
MUST_USE enum err listener_new(struct listener **out, const struct listener_options *options,
                               const char *file, unsigned channel, double offset_ms, double wait_ms);

/* pcm NULL: count samples that never arrived. Any count. */
void listener_feed(struct listener *listener, const int16_t *pcm, size_t count);

/* The same from floats on the scale of int16; rounded and clipped. */
void listener_feed_float(struct listener *listener, const float *samples, size_t count);

/* Time goes on by count samples without a feed. Only where silence was fed for so long that no key is down. */
void listener_jump(struct listener *listener, uint64_t count);

/* A key that came as RFC 4733 event. end_ms negative: not known. */
void listener_event(struct listener *listener, uint8_t key, double onset_ms, double reported_ms,
                    double end_ms);

/* The recording is over: a key that is still down ends here. Wipes and frees. NULL is accepted. */
void listener_end(struct listener *listener);

/* The head of the table, once, when is_text. */
void listener_print_head(const struct listener_options *options);

#endif
