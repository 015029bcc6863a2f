/* Any bytes as the state of a run that was stopped: what is taken can be summed up and written down again. */
#include "bench/corpus/corpus_report.h"
#include "bench/corpus/corpus_state.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct corpus_result *results;
    size_t count;
    size_t good_bytes;
    char reason[CORPUS_STATE_REASON_BYTES] = "";
    enum err err = corpus_state_parse(&results, &count, &good_bytes, "state", (const char *)bytes, length,
                                      "fuzz", reason);
    ASSERT(err == OK || strncmp(reason, "state:", 6) == 0);
    ASSERT(good_bytes <= length);
    if (err == OK) {
        struct corpus_sum sum;
        ASSERT(corpus_sum_up(&sum, "fuzz", results, count, 0) == OK);
        for (size_t i = 0; i < count; i++) {
            json_t *json = corpus_result_json(&results[i]);
            ASSERT(json != NULL);
            json_decref(json);
        }
        corpus_sum_release(&sum);
    }
    corpus_state_release(results, count);
    return 0;
}
