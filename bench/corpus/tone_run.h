/* Any number of generated presses through the armed path, with either engine deciding. */
#ifndef TONEGATE_BENCH_CORPUS_TONE_RUN_H
#define TONEGATE_BENCH_CORPUS_TONE_RUN_H

#include "testvectors/masked_run.h"

enum tone_engine { TONE_OWN, TONE_SPANDSP, TONE_ENGINES };
extern const char *const tone_engine_names[TONE_ENGINES];

struct tone_outcome {
    size_t presses;
    size_t heard;
    size_t missed;
    size_t wrong;
    size_t extra;
    size_t leaked_presses;
    size_t leaked_samples;
    size_t leaked_samples_max;
    size_t named;                                   /* that an attacker names from what was delivered */
    double p50_ms, p90_ms, p99_ms, p999_ms, max_ms; /* onset to report, of those heard; to 1/8 ms */
};

/* options: what a press is like; its seed, presses and engine are set here. ERR_MEMORY. */
MUST_USE enum err tone_run(const struct masked_run_options *options, enum tone_engine engine, size_t presses,
                           uint64_t seed, struct tone_outcome *outcome);

#endif
