/* What the ears made of one recording, and how it is written down so that a run that was interrupted can go on.
 *
 * Holds counts, times and levels, no key. Thread: one at a time. */
#ifndef TONEGATE_BENCH_CORPUS_CORPUS_RESULT_H
#define TONEGATE_BENCH_CORPUS_CORPUS_RESULT_H

#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum corpus_engine { CORPUS_OWN, CORPUS_SPANDSP, CORPUS_ENGINES };
extern const char *const corpus_engine_names[CORPUS_ENGINES];

/* The mask is heard at each of these look-aheads, as it is and as strict as while a field is being keyed. */
#define CORPUS_LOOKAHEADS 5
extern const unsigned corpus_lookaheads_ms[CORPUS_LOOKAHEADS];
#define CORPUS_PASSES     (2 * CORPUS_LOOKAHEADS) /* pass 2n: look-ahead n; 2n+1: the same, strict */
#define CORPUS_USUAL_PASS 6                       /* look-ahead 20 ms; its decisions are our engine's */

/* One key an engine reported. */
struct corpus_report_point {
    float level_dbm0; /* of its weaker tone, as the engine says */
    float length_ms;  /* until it reported the end */
    float latency_ms; /* from the label's onset; 0 for false ones */
};

struct corpus_points {
    struct corpus_report_point *points;
    size_t count;
};

struct corpus_heard {
    struct corpus_points hits;     /* right key, once for each label */
    struct corpus_points mistaken; /* wrong, and false: where no label is */
    uint32_t missed;
    uint32_t wrong;
    uint32_t doubled;
    uint32_t false_digits;
};

struct corpus_masked {
    double speech_masked_s; /* active, away from keys */
    uint32_t spans;         /* that begin there */
    uint32_t keys_leaked;
    double leaked_ms;
};

struct corpus_result {
    char *path;
    uint64_t size_bytes; /* with the two times: whether the recording is still the one that was judged */
    int64_t changed_ns;
    int64_t labels_changed_ns; /* 0 without labels */
    bool has_labels;
    uint32_t keys;   /* labelled */
    double length_s; /* of the recording */
    double active_s; /* of speech or other sound, away from keys */
    struct corpus_heard heard[CORPUS_ENGINES];
    struct corpus_masked masked[CORPUS_PASSES];
};

/* ERR_MEMORY. */
MUST_USE enum err corpus_points_add(struct corpus_points *points, struct corpus_report_point point);

void corpus_result_release(struct corpus_result *result);

/* NULL when there is no memory. */
json_t *corpus_result_json(const struct corpus_result *result);

/* *out is released with corpus_result_release(), after an error too. ERR_SYNTAX, ERR_MEMORY. */
MUST_USE enum err corpus_result_of_json(struct corpus_result *out, json_t *json);

#endif
