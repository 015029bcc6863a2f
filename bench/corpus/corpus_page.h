/* The corpus report as a self-contained page with plots. */
#ifndef TONEGATE_BENCH_CORPUS_CORPUS_PAGE_H
#define TONEGATE_BENCH_CORPUS_CORPUS_PAGE_H

#include "bench/corpus/corpus_report.h"

/* sums: one a folder, and one of all of them when there are several. ERR_MEMORY. */
MUST_USE enum err corpus_page_print(FILE *page, const struct corpus_sum *sums, size_t count);

#endif
