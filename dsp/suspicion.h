/* The first, fast answer of hearing: could a key be sounding right now? Never late, sometimes wrong: it masks, it does
 * not report.
 *
 * Three steps. Where a screen has let it be asked, a gate asks of the 8 ms that end with a 2 ms block whether the strongest
 * row and column hold a fair share of the energy, or of the energy of the samples' differences; nearly all speech fails
 * it, no key does. What passes is glanced at: the best of the 16 tone pairs, fitted (least squares) over five windows of
 * 4 and 8 ms, is weighed by a small network, which refuses most speech and no key that the next step would suspect. What
 * is left is looked at closely: the pair is fitted at five frequencies each over several lengths up to 20 ms, and what is
 * known of it (shares explained, evenness and coherence of both tones, how either grew against what was there before) is
 * weighed by a small network, one for each look-ahead. What the network has learned, from what, and how to repeat it:
 * bench/corpus/README.md.
 *
 * No allocation, no I/O; tables are made once, thread-safely. Pure functions of their arguments: any thread. */
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

/* What was heard of the blocks of a stretch: those that are asked about and, before them, the SUSPICION_PAST blocks that it
 * takes to judge them. */
#define SUSPICION_RUN (SUSPICION_PAST + SUSPICION_FEED_MAX)
struct suspicion_stretch {
    struct suspicion_spectrum spectrum[SUSPICION_RUN];
    float energy[SUSPICION_RUN];
    float difference[SUSPICION_RUN];
    uint8_t is_asked[SUSPICION_FEED_MAX]; /* the gate lets the window through that ends with the block */
};

struct suspicion_face;

/* Nothing is remembered: who asks brings the past along. */
struct suspicion {
    const struct suspicion_face *face;
    float evidence_min;
    float glance_min; /* below, there is no close look */
    uint8_t haste;    /* enum suspicion_haste */
};

/* How soon the answer is needed: later, much more is known. */
enum suspicion_haste {
    SUSPICION_IN_18_MS, /* look-ahead of 18 ms and more */
    SUSPICION_IN_9_MS,  /* less: as fast as can be */
    SUSPICION_HASTES
};

/* cpu_flags as dsp_cpu_flags(). */
void suspicion_init(struct suspicion *suspicion, enum suspicion_haste haste, unsigned cpu_flags);

/* Lower thresholds while a field is being keyed. */
void suspicion_set_strict(struct suspicion *suspicion, bool is_strict);

/* blocks: SUSPICION_PAST that went before (silence before the first sample), then count (1..SUSPICION_FEED_MAX) that are asked
 * about. */
void suspicion_hear(const struct suspicion *suspicion, const struct tone_block *blocks, size_t count,
                    struct suspicion_stretch *stretch);

/* Is the end of block i, of those asked about, a suspicion? If the gate asks. */
bool suspicion_looks(const struct suspicion *suspicion, const struct suspicion_stretch *stretch, size_t i);

/* What the gate asks of SUSPICION_WINDOW blocks: the energy they have; the power of the strongest row plus that of the
 * strongest column (correlations with waves of amplitude 1) over that energy; and the sum of this and of the same, weighed by
 * slope, over the energy of differences. */
struct suspicion_demand {
    float energy_min;
    float power_min;
    float powers_min;
};
void suspicion_demand(struct suspicion_demand *demand);

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

/* For those who teach or judge the network: looks closely at the end of block i whatever the gate says of it. False where
 * there is nothing like a pair at all. */
bool suspicion_view(const struct suspicion *suspicion, const struct suspicion_stretch *stretch, size_t i,
                    struct suspicion_view *view);

/* What the networks make of a view: 0 is as likely as not, a step of 1 is a factor of e in the odds. */
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
