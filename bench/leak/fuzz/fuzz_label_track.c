/* Any bytes as a label track and as a label table: what is accepted is in order and inside its bounds. */
#include "bench/leak/label_track.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void check(const struct key_labels *labels)
{
    for (size_t k = 0; k < labels->count; k++) {
        const struct key_label *label = &labels->labels[k];
        ASSERT(label->key < 16 && label->onset < label->end && label->end <= LABEL_SECONDS_MAX * 8000UL);
        ASSERT(k == 0 || labels->labels[k - 1].end <= label->onset);
    }
}

static void check_reason(enum err err, const char *reason)
{
    ASSERT(err == OK || strncmp(reason, "labels:", 7) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct key_labels labels;
    struct label_table table;
    char reason[LABEL_REASON_BYTES] = "";
    enum err err = label_track_parse(&labels, "labels", (const char *)bytes, length, reason);
    check_reason(err, reason);
    check(&labels);
    key_labels_release(&labels);
    err = label_table_parse(&table, "labels", (const char *)bytes, length, reason);
    check_reason(err, reason);
    if (err == OK && table.count > 0) {
        err = label_table_pick(&labels, &table, table.rows[0].file, "labels", reason);
        check_reason(err, reason);
        ASSERT(err != OK || labels.count > 0);
        check(&labels);
        key_labels_release(&labels);
    }
    label_table_release(&table);
    return 0;
}
