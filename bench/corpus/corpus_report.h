/* Results of many recordings summed up, as text for people and as JSON. The page: bench/corpus/corpus_page.h. */
#ifndef TONEGATE_BENCH_CORPUS_CORPUS_REPORT_H
#define TONEGATE_BENCH_CORPUS_CORPUS_REPORT_H

#include "bench/corpus/corpus_result.h"

#include <stdio.h>

#define CORPUS_ROC_POINTS 33

/* An engine, asked for more: only reports of at least so much count. */
struct corpus_roc {
    double threshold; /* dBm0 of the weaker tone, or ms of the key's length */
    double hit_share; /* of all labelled keys; NAN without any */
    double false_an_hour;
};

struct corpus_engine_sum {
    size_t hits;
    size_t missed;
    size_t wrong;
    size_t doubled;
    size_t false_digits;
    double false_an_hour; /* of active sound away from keys */
    float *latencies_ms;  /* hits, sorted */
    struct corpus_roc by_level[CORPUS_ROC_POINTS];
    struct corpus_roc by_length[CORPUS_ROC_POINTS];
};

struct corpus_sum {
    const char *name;
    bool is_total;                       /* of the other sums: does not name recordings again */
    const struct corpus_result *results; /* of the caller's */
    size_t recordings;
    size_t labelled;
    size_t failed;
    size_t keys;
    double length_s;
    double active_s;
    struct corpus_engine_sum engines[CORPUS_ENGINES];
    struct corpus_masked masked[CORPUS_PASSES];
};

/* name and results are kept by reference. Released with corpus_sum_release(). ERR_MEMORY. */
MUST_USE enum err corpus_sum_up(struct corpus_sum *sum, const char *name, const struct corpus_result *results,
                                size_t count, size_t failed);
void corpus_sum_release(struct corpus_sum *sum);

/* share 0..1 of the sorted latencies; NAN when there are none. */
double corpus_sum_latency(const struct corpus_engine_sum *engine, double share);

/* Shares of speech masked and of keys leaked, in percent; NAN where there is nothing to be a share of. */
double corpus_sum_speech_percent(const struct corpus_sum *sum, int pass);
double corpus_sum_leaked_percent(const struct corpus_sum *sum, int pass);

/* True when an engine made a mistake in it, or a key leaked at the usual look-ahead. */
bool corpus_result_is_odd(const struct corpus_result *result);

void corpus_report_print_text(FILE *out, const struct corpus_sum *sum);

/* One object a line. ERR_MEMORY. */
MUST_USE enum err corpus_report_print_json(FILE *out, const struct corpus_sum *sum);

#endif
