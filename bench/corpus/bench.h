/* tonegate-bench: what the ears reach, on generated tones, on recordings, and against the clock. */
#ifndef TONEGATE_BENCH_CORPUS_BENCH_H
#define TONEGATE_BENCH_CORPUS_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bench_options {
    bool is_json;
    uint64_t seed;
    size_t presses;     /* per cell of a grid */
    const char *speech; /* folder of speech to run on under presses */
    const char *cell;   /* only cells whose name holds this; NULL: all */
    const char *html;   /* also write a page; NULL: none */
    const char
        *state; /* of corpus: what is done of a long run; NULL: in the usual file, until it is complete */
    bool is_stateless;
    unsigned channel;   /* of corpus: of each recording, from 1 */
    char *const *paths; /* what is left of the command line */
    size_t path_count;
};

/* Each prints to stdout and returns an exit code. */
int bench_tones(const struct bench_options *options);
int bench_speed(const struct bench_options *options);
int bench_corpus(const struct bench_options *options);
int bench_noise(const struct bench_options *options);
int bench_watch(const struct bench_options *options);
int bench_lessons(const struct bench_options *options); /* what suspicion's network learns from, to a file */

#endif
