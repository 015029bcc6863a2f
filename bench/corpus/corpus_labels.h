/* The labels that lie beside recordings: NAME.txt (an Audacity label track) or NAME.tsv (a label table) beside NAME.wav, or one
 * labels.tsv with a column "file" at the top of a folder. Formats: bench/leak/label_track.h. */
#ifndef TONEGATE_BENCH_CORPUS_CORPUS_LABELS_H
#define TONEGATE_BENCH_CORPUS_CORPUS_LABELS_H

#include "bench/leak/label_track.h"

#include <stdbool.h>
#include <stdint.h>

#define CORPUS_LABELS_REASON_BYTES 512
#define CORPUS_LABELS_PATH_BYTES   4096

struct corpus_labels {
    struct key_labels keys;
    bool is_labelled;                    /* there are labels, if only to say that there are no keys */
    int64_t changed_ns;                  /* of the file they are from; 0 without */
    char path[CORPUS_LABELS_PATH_BYTES]; /* the same */
};

/* labels.tsv of a folder. *out stays empty when there is none; *changed_ns says which. Released with label_table_release(),
 * after an error too. reason (CORPUS_LABELS_REASON_BYTES) names file and line. ERR_SYSTEM, ERR_SYNTAX, ERR_RANGE, ERR_MEMORY. */
MUST_USE enum err corpus_labels_read_folder(struct label_table *out, const char *folder, int64_t *changed_ns,
                                            char *reason);

/* Those of one recording, folder/name; table and table_changed_ns as above. Released with corpus_labels_release(), after an
 * error too. The same errors. */
MUST_USE enum err corpus_labels_read(struct corpus_labels *out, const struct label_table *table,
                                     int64_t table_changed_ns, const char *folder, const char *name,
                                     char *reason);
void corpus_labels_release(struct corpus_labels *labels);

#endif
