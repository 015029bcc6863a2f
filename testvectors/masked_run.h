/* One channel of labelled presses through the armed path, and what became of them: the same run serves tests (which
 * demand) and benches (which print). */
#ifndef TONEGATE_TESTVECTORS_MASKED_RUN_H
#define TONEGATE_TESTVECTORS_MASKED_RUN_H

#include "dsp/mask.h"
#include "testvectors/speech.h"
#include "testvectors/tone_source.h"

struct masked_run_options {
    uint64_t seed;
    size_t presses;
    float level_min_dbm0, level_max_dbm0; /* of the stronger tone */
    float twist_min_db, twist_max_db;
    float detune_max;
    float detune_low, detune_high; /* added to that of every press: 0.02 is 2 % too high */
    float snr_min_db, snr_max_db;
    unsigned tone_min_ms, tone_max_ms;
    unsigned pause_min_ms, pause_max_ms;
    unsigned break_ms;           /* of silence in the middle of every press; 0: none */
    bool is_one_key;             /* always the same, so that only the pauses tell presses apart */
    bool has_dial_tone;          /* 350 and 440 Hz all the time */
    float dial_tone_db;          /* each of them relative to the press's stronger tone */
    const struct speech *speech; /* runs on under every second press; NULL: none */
    float speech_db;             /* relative to the press */
    enum tone_line line;
    unsigned frame_samples; /* 1..480 */
    float loss_share;       /* of frames that never arrive */
    bool is_keying;
    struct mask_options mask;
};

/* -3..-24 dBm0, twist -8..+8, 1.5 % off tune, SNR 15..35 dB, 40..60 ms with pauses of 200..300 (a mask holds on for
 * 120 ms, which would hide onsets that nobody heard), u-law, frames of 20 ms, look-ahead 20 ms. */
struct masked_run_options masked_run_defaults(void);

struct masked_run_result {
    size_t presses;
    size_t heard; /* reported with the right key, once, within the press and 40 ms */
    size_t missed;
    size_t wrong;          /* another key reported during the press */
    size_t extra;          /* doubled, or reported where nothing was pressed */
    size_t leaked_presses; /* with at least one sample delivered, or more than 0.6 of the tone in any 2 ms */
    size_t leaked_samples;
    size_t leaked_samples_max;
    float survived_max;
    size_t named;      /* an attacker names the key right from what was delivered: 1 in 16 is chance */
    float *latency_ms; /* of those heard; presses entries, sorted */
    size_t latency_count;
    double seconds;
    struct mask_counts counts;
};

/* ERR_MEMORY; free the result with masked_run_free(). */
MUST_USE enum err masked_run(const struct masked_run_options *options, struct masked_run_result *result);
void masked_run_free(struct masked_run_result *result);

/* share 0..1 of the sorted latencies; 0 when there are none. */
float masked_run_latency(const struct masked_run_result *result, double share);

#endif
