/* Cells and grids of generated keys as a self-contained page. */
#ifndef TONEGATE_BENCH_CORPUS_TONES_PAGE_H
#define TONEGATE_BENCH_CORPUS_TONES_PAGE_H

#include "bench/corpus/tone_grid.h"

struct tones_cell {
    const char *name;
    enum tone_engine engine;
    struct tone_outcome outcome;
};

struct tones_report {
    size_t presses; /* of each cell and point */
    uint64_t seed;
    struct tones_cell *cells;
    size_t cell_count;
    struct tone_grid_result *grids;
    size_t grid_count;
};

void tones_page_print(FILE *page, const struct tones_report *report);

#endif
