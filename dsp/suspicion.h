/* The first, fast answer of hearing: could a key be sounding right now? Never late, sometimes wrong: it masks, it does
 * not report.
 *
 * Three steps. At every 2 ms block a gate asks of the last 8 ms whether the strongest row and column hold a fair share of
 * the energy, or of the energy of the samples' differences; nearly all speech fails it, no key does. What passes is
 * glanced at: the best of the 16 tone pairs, fitted (least squares) over five windows of 4 and 8 ms, is weighed by a small
 * network, which refuses most speech and no key that the next step would suspect. What is left is looked at closely: the pair
 * is fitted at five frequencies each over several lengths up to 20 ms, and what is known of it (shares explained, evenness and coherence of both tones, how either grew against
 * what was there before) is weighed by a small network, one for each look-ahead. What the network has learned, from
 * what, and how to repeat it: bench/corpus/README.md.
 *
 * No allocation, no I/O; tables are made once, thread-safely. Thread: one at a time per struct. */
#ifndef TONEGATE_DSP_SUSPICION_H
#define TONEGATE_DSP_SUSPICION_H

#include "dsp/tone_bank.h"

#include <stdbool.h>

#define SUSPICION_WINDOW   4  /* blocks that the gate looks at: 8 ms */
#define SUSPICION_PAST     15 /* blocks remembered before the newest one */
#define SUSPICION_FEED_MAX 30 /* blocks of one feed: 60 ms */

/* Correlations of one block about its middle: cosines of the eight tones, then sines. */
struct suspicion_spectrum {
    _Alignas(64) float wave[2 * TONE_BANK_TONES];
};

/* What is kept of the blocks that were fed, newest last. */
struct suspicion_past {
    struct suspicion_spectrum spectrum[SUSPICION_PAST];
    float energy[SUSPICION_PAST];
    float difference[SUSPICION_PAST];
};

struct suspicion_face;

struct suspicion {
    uint64_t block_count;
    uint64_t deaf_until_block; /* a window that reaches back before this block is not asked: it holds a gap */
    const struct suspicion_face *face;
    float evidence_min;
    float glance_min; /* below, there is no close look */
    uint8_t haste;    /* enum suspicion_haste */
    bool has_skipped; /* what is remembered is not what came last */
    struct suspicion_past past;
};

/* How soon the answer is needed: later, much more is known. */
enum suspicion_haste {
    SUSPICION_IN_18_MS, /* look-ahead of 18 ms and more */
    SUSPICION_IN_9_MS,  /* less: as fast as can be */
    SUSPICION_HASTES
};

struct suspicion_hit {
    uint8_t block;    /* of those fed, the one at whose end it was raised */
    uint8_t key_low;  /* row 0..3 */
    uint8_t key_high; /* column 0..3 */
    float
        evidence; /* what the network says: 0 is as likely as not, a step of 1 is a factor of e in the odds */
};

/* Starts, or starts again: all history is overwritten. cpu_flags as dsp_cpu_flags(). */
void suspicion_init(struct suspicion *suspicion, enum suspicion_haste haste, unsigned cpu_flags);

/* Lower thresholds while a field is being keyed. */
void suspicion_set_strict(struct suspicion *suspicion, bool is_strict);

/* Feeds the next blocks (at most SUSPICION_FEED_MAX). Returns how many of them end in a suspicion; hits, with room for
 * block_count, says what was heard, in order of time. */
size_t suspicion_feed(struct suspicion *suspicion, const struct tone_block *blocks, size_t block_count,
                      struct suspicion_hit *hits);

/* count blocks went by at whose end the gate lets nothing through. Before the next suspicion_feed() comes
 * suspicion_recall() with the SUSPICION_PAST blocks that went before those it feeds; suspicion_must_recall() tells. */
void suspicion_skip(struct suspicion *suspicion, size_t count);
bool suspicion_must_recall(const struct suspicion *suspicion);
void suspicion_recall(struct suspicion *suspicion, const struct tone_block blocks[SUSPICION_PAST]);

/* What the gate asks of SUSPICION_WINDOW blocks: the energy they have; the power of the strongest row plus that of the
 * strongest column (correlations with waves of amplitude 1) over that energy; and the sum of this and of the same, weighed by
 * slope, over the energy of differences. */
struct suspicion_demand {
    float energy_min;
    float power_min;
    float powers_min;
};
void suspicion_demand(struct suspicion_demand *demand);

/* The next count blocks to be fed hold samples that never arrived: no window that touches them is asked. */
void suspicion_deafen(struct suspicion *suspicion, size_t block_count);

/* What a close look sees: see suspicion_look_priv.h for each. */
#define SUSPICION_FEATURES 48
#define SUSPICION_GLANCE   41
struct suspicion_view {
    uint8_t key_low;
    uint8_t key_high;
    float feature[SUSPICION_FEATURES];
    float glance
        [SUSPICION_GLANCE]; /* what the glance before it sees: see suspicion_glance_priv.h; the last three are nothing */
};

/* For those who teach or judge the network: feeds one block and looks closely at it whatever the gate says of it; is_asked
 * tells that. False where there is nothing like a pair at all. */
bool suspicion_view(struct suspicion *suspicion, const struct tone_block *block, struct suspicion_view *view,
                    bool *is_asked);

/* What the networks make of a view. */
float suspicion_evidence(enum suspicion_haste haste, const struct suspicion_view *view);
float suspicion_glance_evidence(enum suspicion_haste haste, const struct suspicion_view *view);

/* The same, by the thresholds in use. */
struct suspicion_verdict {
    bool is_worth_a_look; /* by the glance */
    bool is_suspicion;    /* by the close look, whether the glance would have it or not */
};
void suspicion_judge(enum suspicion_haste haste, bool is_strict, const struct suspicion_view *view,
                     struct suspicion_verdict *verdict);

#endif
