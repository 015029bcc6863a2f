/* Which key, when: the second answer of hearing, and the suspicion on the way to it, for one channel.
 *
 * A key is reported once per press, about 24.5 ms after its onset, as soon as the tone is known to have lasted longer
 * than the 23 ms that must be refused. Breaks shorter than about 15 ms belong to the key; longer ones end it.
 *
 * No I/O, no allocation. What it holds is card data once a key was heard: dtmf_detector_wipe(). Thread: one at a time. */
#ifndef TONEGATE_DSP_DTMF_DETECTOR_H
#define TONEGATE_DSP_DTMF_DETECTOR_H

#include "base/err.h"
#include "dsp/dtmf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DTMF_FRAME_MAX      480
#define DTMF_FRAME_BLOCKS   (DTMF_FRAME_MAX / 16)
#define DTMF_STANDS_MAX     96 /* samples; see dtmf_detector_stands() */
#define DTMF_SUSPICION_MAX  (DTMF_FRAME_BLOCKS + DTMF_STANDS_MAX / 16)
#define DTMF_DETECTOR_ALIGN 64

struct dtmf_detector; /* opaque: dtmf_detector_size() bytes of the caller's, aligned to DTMF_DETECTOR_ALIGN */
size_t dtmf_detector_size(void);

/* lookahead_samples: how late a suspicion may come and still hide the onset; 0 for a receiver that only reports. */
void dtmf_detector_init(struct dtmf_detector *detector, unsigned lookahead_samples);

/* What one frame brought. */
struct dtmf_heard {
    struct dtmf_edge edges[DTMF_EDGE_MAX];
    size_t edge_count;
    /* Samples fed at the end of each block of 2 ms in which a key was suspected or held. While one stands, the next may be
     * told later than its time, but before dtmf_detector_stands() are over. */
    uint64_t suspicions[DTMF_SUSPICION_MAX];
    size_t suspicion_count;
};

/* pcm: mono int16 at 8000 Hz, count 1..480; not kept by reference, but copied into the history. ERR_RANGE.
 * The edges do not depend on how the samples are cut into frames. Source: ITU-T Q.24 §§1-5. */
MUST_USE enum err dtmf_detector_feed(struct dtmf_detector *detector, const int16_t *pcm, size_t count,
                                     struct dtmf_heard *heard);

/* The frames of many channels, as they came in one tick: while one is heard, the next ones are fetched into the cache. Same
 * result as one dtmf_detector_feed() each; heard_h is called for each in turn, in their order, where `heard` may be
 * taken from. */
struct dtmf_frame {
    struct dtmf_detector *detector;
    const int16_t *pcm;
    size_t count; /* 1..480 */
};
typedef void dtmf_heard_h(void *owner, size_t frame, const struct dtmf_heard *heard);
void dtmf_detector_feed_batch(const struct dtmf_frame *frames, size_t frame_count, dtmf_heard_h *heard_h,
                              void *owner);

/* count samples (1..480) never arrived. A key that was down is taken to stay down. ERR_RANGE. */
MUST_USE enum err dtmf_detector_gap(struct dtmf_detector *detector, size_t count, struct dtmf_heard *heard);

/* Samples after a suspicion in which it needs no other: who masks must mask for so long. */
unsigned dtmf_detector_stands(const struct dtmf_detector *detector);

/* A field is being keyed: suspicion asks for less. */
void dtmf_detector_set_strict(struct dtmf_detector *detector, bool is_strict);

/* True while a reported key is held. */
bool dtmf_detector_is_down(const struct dtmf_detector *detector);

void dtmf_detector_wipe(struct dtmf_detector *detector);

/* '0'..'9', '*', '#', 'A'..'D' of a key 0..15, '?' otherwise; and back, -1 when there is no such key. */
char dtmf_key_letter(uint8_t key);
int dtmf_key_of_letter(char letter);

/* Key of row 0..3 and column 0..3, and back: row * 4 + column. */
uint8_t dtmf_key_at(unsigned row, unsigned column);
uint8_t dtmf_key_place(uint8_t key);

/* Level of a sine of this amplitude (peak, int16 scale), and back. */
float dtmf_dbm0_of_amplitude(float amplitude);
float dtmf_amplitude_of_dbm0(float dbm0);

#endif
