/* What is done of a long run: one line of JSON for each recording that was judged, appended as soon as it is, so that the
 * same command goes on where it was stopped. A torn last line is dropped. The first line says which program and which
 * options the lines are from; those of others are not used.
 *
 * Thread: one at a time; a second run with the same file is refused. */
#ifndef TONEGATE_BENCH_CORPUS_CORPUS_STATE_H
#define TONEGATE_BENCH_CORPUS_CORPUS_STATE_H

#include "bench/corpus/corpus_result.h"

#define CORPUS_STATE_REASON_BYTES 512
#define CORPUS_STATE_KEY_BYTES    128

struct corpus_state; /* opaque */

/* key: program and options, printable. ERR_SYSTEM, ERR_SYNTAX (another kind of file: never overwritten), ERR_ORDER (in use),
 * ERR_MEMORY; reason (CORPUS_STATE_REASON_BYTES) names the file. */
MUST_USE enum err corpus_state_open(struct corpus_state **out, const char *path, const char *key,
                                    char *reason);

/* The result of this very recording; the caller may move it out (and zero it). NULL when it must be judged. */
struct corpus_result *corpus_state_find(struct corpus_state *state, const char *path, uint64_t size_bytes,
                                        int64_t changed_ns, int64_t labels_changed_ns);

/* ERR_SYSTEM, ERR_MEMORY. */
MUST_USE enum err corpus_state_append(struct corpus_state *state, const struct corpus_result *result,
                                      char *reason);

/* is_done: the run is complete, and the file is removed. NULL is accepted. */
void corpus_state_close(struct corpus_state *state, bool is_done);

/* The text of such a file. *out has *count results, those of another key none. *good_bytes: up to where its lines are whole.
 * Released with corpus_state_release() after an error, too. ERR_SYNTAX, ERR_MEMORY. */
MUST_USE enum err corpus_state_parse(struct corpus_result **out, size_t *count, size_t *good_bytes,
                                     const char *name, const char *text, size_t length, const char *key,
                                     char *reason);
void corpus_state_release(struct corpus_result *results, size_t count);

#endif
