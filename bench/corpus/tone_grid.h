/* One property of the keys varied step by step, everything else held: where an engine begins and ceases to hear. */
#ifndef TONEGATE_BENCH_CORPUS_TONE_GRID_H
#define TONEGATE_BENCH_CORPUS_TONE_GRID_H

#include "bench/corpus/tone_run.h"

#include <stdio.h>

#define TONE_GRID_POINTS_MAX 40

struct tone_grid {
    const char *name;
    const char *unit;
    const char
        *says; /* what is varied, and what a receiver should do there (ITU-T Q.24 unless it says otherwise) */
    double from;
    double step;
    size_t point_count; /* 1..TONE_GRID_POINTS_MAX */
    void (*shape)(struct masked_run_options *options, double x);
    bool is_over_speech;
};
extern const struct tone_grid tone_grids[];
extern const size_t tone_grid_count;

struct tone_grid_result {
    const struct tone_grid *grid;
    struct tone_outcome outcomes[TONE_GRID_POINTS_MAX][TONE_ENGINES];
};

double tone_grid_x(const struct tone_grid *grid, size_t point);

/* Presses of -10 dBm0, no twist, in tune, 50 ms with pauses of 200 to 300, SNR 30 dB, and what the grid changes of that. */
void tone_grid_shape(const struct tone_grid *grid, size_t point, struct masked_run_options *options);

/* Heard right and once: no press was split or doubled. 0..1. */
double tone_grid_clean_share(const struct tone_outcome *outcome);

/* Text, or one JSON object a line, point and engine. */
void tone_grid_print(FILE *out, const struct tone_grid_result *result, bool is_json);

#endif
