/* The watch on what is really delivered of an armed leg: after the mask, after the codec, what agent and recorder get.
 * It shares nothing with the ears that steer the mask, so that a fault of theirs is not its own.
 *
 * Two ears. SpanDSP's receiver knows a whole key, from about 30 ms of it. A second one looks for the rest of a key, which
 * SpanDSP cannot know: windows of 10 ms, one every 5 ms, that hold one frequency of each group and next to nothing else;
 * one that holds more besides, as speech has ten times an hour, tells with another within two seconds. Beside them the
 * highest level at any of the eight frequencies is kept, over the time in which the mask says that it let nothing of the
 * caller pass: while the voice passes, it has these frequencies by nature.
 *
 * No key is told or kept: SpanDSP's state is overwritten when it has heard one. What was heard is card data all the same
 * until then: outgoing_watch_wipe(). No allocation, no I/O. Thread: one at a time per watch. */
#ifndef TONEGATE_DSP_OUTGOING_WATCH_H
#define TONEGATE_DSP_OUTGOING_WATCH_H

#include "base/err.h"
#include "dsp/mask.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OUTGOING_WATCH_ALIGN 64
#define OUTGOING_WATCH_NONE  (-99.0f) /* level when nothing was measured */

struct
    outgoing_watch; /* opaque: outgoing_watch_size() bytes of the caller's, aligned to OUTGOING_WATCH_ALIGN */
size_t outgoing_watch_size(void);
void outgoing_watch_init(struct outgoing_watch *watch);

/* pcm: what leaves, mono int16 at 8000 Hz, count 1..480, in order of time; not kept. replaced: the parts of it of which
 * the mask says that it replaced them whole (mask_replaced()); NULL with 0: none. True: a key, or the rest of one, can be
 * had from it, and it must not leave. */
MUST_USE bool outgoing_watch_hear(struct outgoing_watch *watch, const int16_t *pcm, size_t count,
                                  const struct mask_run *replaced, size_t replaced_count);

/* count samples of time in which nothing leaves: a key that was half heard before it may go on behind it. */
void outgoing_watch_gap(struct outgoing_watch *watch, size_t count);

struct outgoing_watch_counts {
    uint64_t samples;          /* listened to */
    uint64_t replaced_windows; /* in which the residual was measured */
    uint32_t keys;             /* heard by SpanDSP */
    uint32_t remains;          /* windows in which the second ear heard something */
    float residual_dbm0;       /* highest at any of the eight frequencies; OUTGOING_WATCH_NONE */
};
void outgoing_watch_counts(const struct outgoing_watch *watch, struct outgoing_watch_counts *counts);

/* Overwrites everything. */
void outgoing_watch_wipe(struct outgoing_watch *watch);

#endif
