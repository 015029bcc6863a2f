/* What of the keys that were sent can still be had from what was delivered?
 *
 * Three judges, each blind to what the others see:
 *   copies     windows of 1 to 50 ms of the delivered audio that correlate with the tone as it was sent
 *   spectrum   both tones of the key standing out of what else is there, over the key's whole length
 *   attacker   best of 12 keys over all windows of 5 to 80 ms around the key (bench/leak/attacker.h)
 * One is enough for the verdict. On noise alone all three stay silent but for one run in a thousand; the attacker's
 * hits are then at chance, which the report states as a share with its interval.
 *
 * The report never says which key was pressed or guessed: it is made to be shown. Where a key leaked, the levels at the
 * eight frequencies show it to whoever looks closely, as the recording itself does. */
#ifndef TONEGATE_BENCH_LEAK_LEAK_H
#define TONEGATE_BENCH_LEAK_LEAK_H

#include "base/err.h"
#include "bench/leak/align.h"
#include "bench/leak/attacker.h"
#include "bench/leak/key_labels.h"

#include <stdbool.h>
#include <stddef.h>

#define LEAK_RESIDUAL_DBM0 (-60.0) /* a tone below is taken for inaudible, whatever finds it */
#define LEAK_FREQUENCIES   8
#define LEAK_CHANCE_LEAST                                                                                    \
    1e-4 /* so many hits by guessing alone are less likely than this: the attacker reads */

struct leak_options {
    bool has_lag;
    int lag;          /* delivered sample = sent sample + lag; found by correlation unless has_lag */
    unsigned classes; /* of the attacker: 12 or 16; 0: 12 unless a key A..D was pressed */
};

struct leak_key { /* what became of one key */
    size_t onset;
    size_t end;
    int lag;          /* around it */
    double leaked_ms; /* of its tone that can be found in what was delivered */
    double low_dbm0;  /* level at its two frequencies, over its length */
    double high_dbm0;
    double floor_dbm0;                /* level at frequencies beside them: what noise explains */
    double at_dbm0[LEAK_FREQUENCIES]; /* delivered, at 697 770 852 941 1209 1336 1477 1633 Hz */
    bool is_tone_left;                /* both stand out of the floor, above LEAK_RESIDUAL_DBM0 */
    bool is_silent;       /* was not sent as a tone: nothing to listen for, not counted for the attacker */
    bool is_missing;      /* the delivered recording ends before */
    bool is_named;        /* the attacker's best guess is right */
    bool is_named_surely; /* and stands out so far that he knows it */
};

struct leak_report {
    struct leak_key *keys;
    size_t key_count;
    size_t keys_leaked; /* with leaked_ms > 0 */
    size_t keys_missing;
    size_t keys_silent;
    double leaked_ms_max;
    double leaked_ms_total;
    double residual_dbm0_max; /* strongest tone that stands out of the floor, -99 when none does */
    size_t attacker_trials;
    size_t attacker_correct;
    size_t attacker_sure;
    unsigned attacker_classes;
    double attacker_chance; /* of one guess */
    double attacker_low;    /* 95 % interval of his share of right guesses */
    double attacker_high;
    double attacker_p; /* probability of as many hits by guessing */
    int lags[ALIGN_LAGS_MAX];
    size_t lag_count;
    bool is_leaked;
};

/* labels: the keys of the sent recording. *report is released with leak_report_release().
 * ERR_NOT_FOUND: the two recordings have nothing in common (tell the lag). ERR_RANGE: labels past the end of what was sent.
 * ERR_MEMORY. */
MUST_USE enum err leak_judge(struct leak_report *report, const struct align_signal *sent,
                             const struct align_signal *delivered, const struct key_labels *labels,
                             const struct leak_options *options);

void leak_report_release(struct leak_report *report);

#endif
