/* Any bytes as a labels file: accepted labels are in order and inside their bounds. */
#include "bench/leak/key_labels.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct key_labels labels;
    char reason[256];
    if (key_labels_parse(&labels, "labels", (const char *)bytes, length, reason) != OK)
        return 0;
    for (size_t k = 0; k < labels.count; k++) {
        ASSERT(labels.labels[k].key < 16 && labels.labels[k].onset < labels.labels[k].end);
        ASSERT(k == 0 || labels.labels[k - 1].end <= labels.labels[k].onset);
    }
    key_labels_release(&labels);
    return 0;
}
