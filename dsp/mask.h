/* The armed path of one channel: samples in, the same number out, delayed by the look-ahead, with every tone replaced.
 *
 * Suspicion masks within a few ms of an onset, behind the look-ahead, so that not a sample of the tone leaves;
 * decision reports the key later. Masking never waits for a decision. What is in the delay line or was heard while armed
 * is card data: mask_wipe() when the leg is released.
 *
 * No I/O, no allocation, no globals but constant tables. Thread: one at a time per mask. */
#ifndef TONEGATE_DSP_MASK_H
#define TONEGATE_DSP_MASK_H

#include "base/err.h"
#include "dsp/dtmf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mask_mode {
    MASK_NOISE, /* comfort noise that follows the background's level and spectrum */
    MASK_BEEP,  /* the same neutral beep for every key, over the noise */
    MASK_MUTE,  /* nothing of the caller passes while mask_set_keying() is on: noise only */
};
enum mask_engine { MASK_ENGINE_OWN, MASK_ENGINE_SPANDSP }; /* who decides; suspicion is always our own */

struct mask_options {
    unsigned lookahead_samples; /* 0..800 at 8 kHz; 160 = 20 ms */
    enum mask_mode mode;
    enum mask_engine engine;
    uint32_t noise_seed;
    unsigned hold_samples; /* masked after the end of a key: its tail, its echo. 0: MASK_HOLD */
    bool is_off;           /* delays and listens, replaces nothing: the negative control of leak checks */
};

/* 120 ms from the end of the tone: an echo that comes so late is covered, be it too weak to be suspected. */
#define MASK_HOLD 960

struct mask; /* opaque: memory of mask_size() bytes, aligned to MASK_ALIGN, owned by the caller */
#define MASK_ALIGN 64
size_t mask_size(void);

/* Starts masked (the first look-ahead's worth that leaves is noise). ERR_RANGE. */
MUST_USE enum err mask_init(struct mask *mask, const struct mask_options *options);

/* in, out: mono int16 at 8000 Hz, count 1..480; may be the same buffer. edges has room for DTMF_EDGE_MAX; *edge_count
 * says how many were found. ERR_RANGE (count). */
MUST_USE enum err mask_process(struct mask *mask, const int16_t *in, int16_t *out, size_t count,
                               struct dtmf_edge *edges, size_t *edge_count);

/* The frames of many channels at once, as they came in one tick, of any lengths: while one is processed, the next ones are
 * fetched into the cache. Same result as one mask_process() each. */
struct mask_frame {
    struct mask *mask;
    const int16_t *in;
    int16_t *out;
    size_t count;
    struct dtmf_edge *edges;
    size_t edge_count;
};
void mask_process_batch(struct mask_frame *frames, size_t frame_count);

/* count samples (1..480) never arrived: time goes on, out gets what is due from the delay line with the gap as noise.
 * A tone that was there before the gap is taken to go on through it. 14 ms on either side of the gap are noise too: so
 * little of a key cannot be told from speech, but an attacker could name it. */
MUST_USE enum err mask_gap(struct mask *mask, int16_t *out, size_t count, struct dtmf_edge *edges,
                           size_t *edge_count);

/* Everything fed while on is masked, whatever is heard: an RFC 4733 event or SIP INFO key is being pressed. */
void mask_force(struct mask *mask, bool is_on);

/* A field is being keyed: suspicion may be stricter, MASK_MUTE mutes. */
void mask_set_keying(struct mask *mask, bool is_keying);

struct mask_counts {
    uint64_t samples;
    uint64_t masked_samples;
    uint32_t suspicions;
    uint32_t decisions;
};
void mask_counts(const struct mask *mask, struct mask_counts *counts);

/* Of the samples that left by the last mask_process() or mask_gap(): those that were to be replaced whole, fades left
 * out, as places in `out`. With is_off too, where they passed all the same. Returns how many runs there were; later
 * ones than MASK_RUNS_MAX are left out. */
#define MASK_RUNS_MAX 4
struct mask_run {
    uint16_t from;
    uint16_t to;
};
size_t mask_replaced(const struct mask *mask, struct mask_run runs[MASK_RUNS_MAX]);

/* For reports and benches: called for each span that was masked, in samples of the input, when it ends. NULL: none. */
typedef void mask_span_h(void *owner, uint64_t from_sample, uint64_t to_sample);
void mask_on_span(struct mask *mask, mask_span_h *span_h, void *owner);
/* Called at each suspicion, with the sample that raised it. */
typedef void mask_suspicion_h(void *owner, uint64_t at_sample);
void mask_on_suspicion(struct mask *mask, mask_suspicion_h *suspicion_h, void *owner);

/* Overwrites delay line, history and state, and what the last frames left on the stack of this thread. */
void mask_wipe(struct mask *mask);

#endif
