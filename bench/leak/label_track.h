/* Labels of recordings as text, one key a line.
 *
 *   label track   as Audacity exports it: from TAB to TAB key, in seconds. Lines that begin with a backslash (the frequency
 *                 range of the label above) are passed over
 *   label table   tab-separated with a line of column names: key; onset_s or onset_ms; end_s or end_ms; and file, when
 *                 one table speaks of several recordings. Other columns are left alone
 * Keys of a recording are in order and apart. Empty lines and lines that begin with # are passed over. Reasons
 * (LABEL_REASON_BYTES) say NAME:LINE: what was expected, and nothing of what stands there. Thread: any. */
#ifndef TONEGATE_BENCH_LEAK_LABEL_TRACK_H
#define TONEGATE_BENCH_LEAK_LABEL_TRACK_H

#include "bench/leak/key_labels.h"

#define LABEL_REASON_BYTES 256
#define LABEL_COLUMNS_MAX  32
#define LABEL_SECONDS_MAX  (4 * 3600)

/* *out is released with key_labels_release(), after an error too. ERR_SYNTAX, ERR_RANGE (too many keys), ERR_MEMORY. */
MUST_USE enum err label_track_parse(struct key_labels *out, const char *name, const char *text, size_t length,
                                    char *reason);

struct label_row {
    char *file; /* "" when the table has no such column */
    struct key_label label;
    size_t line;
};

struct label_table {
    struct label_row *rows;
    size_t count;
};

/* *out is released with label_table_release(), after an error too. ERR_SYNTAX, ERR_RANGE, ERR_MEMORY. */
MUST_USE enum err label_table_parse(struct label_table *out, const char *name, const char *text,
                                    size_t length, char *reason);
void label_table_release(struct label_table *table);

/* The rows of one recording, "" for those of a table without files. *out is released with key_labels_release(); its count is
 * 0 when the table does not speak of it. ERR_SYNTAX (not in order, or not apart; name and reason as above), ERR_MEMORY. */
MUST_USE enum err label_table_pick(struct key_labels *out, const struct label_table *table, const char *file,
                                   const char *name, char *reason);

#endif
