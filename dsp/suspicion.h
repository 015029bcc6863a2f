/* The first, fast answer of hearing: could a key be sounding right now? Never late, sometimes wrong: it masks, it does
 * not report.
 *
 * Several windows end at every 2 ms block. In each, the energy that the best of the 16 tone pairs explains (least squares
 * over both tones together) is compared with the energy of the window. Short windows are quick and ask for a nearly
 * pure pair; long ones hear through speech and noise. All but the shortest try frequencies beside the nominal ones
 * (ITU-T Q.24 §2). The one of 12 ms is also compared with the energy of the samples' differences, in which a voice, dial tone or
 * hum under the key counts little.
 *
 * No allocation, no I/O; tables are made once, thread-safely. Thread: one at a time per struct. */
#ifndef TONEGATE_DSP_SUSPICION_H
#define TONEGATE_DSP_SUSPICION_H

#include "dsp/tone_bank.h"

#include <stdbool.h>

#define SUSPICION_WINDOWS  5
#define SUSPICION_PAST     4  /* blocks of each window length that must be remembered */
#define SUSPICION_FEED_MAX 30 /* blocks of one feed: 60 ms */

/* Correlations of one window about its middle: cosines of the eight tones, then sines. */
struct suspicion_spectrum {
    _Alignas(64) float wave[2 * TONE_BANK_TONES];
};

/* What is kept of one window length, newest last. */
struct suspicion_past {
    struct suspicion_spectrum spectrum[SUSPICION_PAST];
    float energy[SUSPICION_PAST];
    float difference[SUSPICION_PAST];
};

struct suspicion_face;

struct suspicion {
    struct suspicion_past one, two, three, four; /* by length in blocks */
    uint64_t block_count;
    uint64_t deaf_until_block; /* windows that reach back before this block are not asked: they hold a gap */
    const struct suspicion_face *face;
    float score_min[SUSPICION_WINDOWS]; /* over 1: not asked */
    float difference_min[SUSPICION_WINDOWS];
    uint8_t haste; /* enum suspicion_haste */
};

/* How soon the answer is needed. Long windows tell speech from tones far better than short ones, so whoever has the time
 * should take it. */
enum suspicion_haste {
    SUSPICION_IN_18_MS, /* look-ahead of 18 ms and more */
    SUSPICION_IN_9_MS,  /* less: as fast as can be */
    SUSPICION_HASTES
};

struct suspicion_hit {
    uint8_t block;         /* of those fed, the one at whose end it was raised */
    uint8_t key_low;       /* row 0..3 */
    uint8_t key_high;      /* column 0..3 */
    uint8_t window;        /* index of the window that asked */
    uint8_t window_blocks; /* its length */
    float explained;       /* 0..1 */
};

/* Starts, or starts again: all history is overwritten. cpu_flags as dsp_cpu_flags(). */
void suspicion_init(struct suspicion *suspicion, enum suspicion_haste haste, unsigned cpu_flags);

/* Lower thresholds while a field is being keyed. */
void suspicion_set_strict(struct suspicion *suspicion, bool is_strict);

/* Feeds the next blocks (at most SUSPICION_FEED_MAX). Returns how many of them end in a suspicion; hits, with room for
 * block_count, says which window heard what, in order of time. */
size_t suspicion_feed(struct suspicion *suspicion, const struct tone_block *blocks, size_t block_count,
                      struct suspicion_hit *hits);

/* The next count blocks to be fed hold samples that never arrived: no window that touches them is asked. */
void suspicion_deafen(struct suspicion *suspicion, size_t block_count);

/* For benches: feeds one block; the score of each window there, then its score by differences, 0 where it is below 0.2, or level or twist forbid;
 * thresholds are not applied. */
void suspicion_scores(struct suspicion *suspicion, const struct tone_block *block,
                      float scores[2 * SUSPICION_WINDOWS]);

/* Length of each window, and what it takes to be suspected: the share of the window's energy that a pair explains, plus
 * the weight times how evenly it does so over both halves (at most 0.7). Over 1: never asked. */
struct suspicion_window {
    uint8_t blocks;
    float evenness_weight;
    float score_min[SUSPICION_HASTES];
    float score_min_strict[SUSPICION_HASTES]; /* while a field is being keyed */
    float difference_min;                     /* the same for the share of the differences' energy */
    float difference_min_strict;
};
extern const struct suspicion_window suspicion_windows[SUSPICION_WINDOWS];

#endif
