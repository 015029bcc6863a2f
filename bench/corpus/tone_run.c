#include "bench/corpus/tone_run.h"

#include <math.h>
#include <string.h>

#define CHUNK        2000 /* presses generated at once */
#define LATENCY_BINS 1000 /* of 1/8 ms */

const char *const tone_engine_names[TONE_ENGINES] = {"own", "spandsp"};

struct latencies {
    size_t bin[LATENCY_BINS];
    size_t count;
};

static double latency_at(const struct latencies *latencies, double share)
{
    size_t seen = 0;
    for (size_t i = 0; i < LATENCY_BINS; i++) {
        seen += latencies->bin[i];
        if (latencies->count && (double)seen >= share * (double)latencies->count)
            return (double)i / 8;
    }
    return 0;
}

static void add(struct tone_outcome *sum, struct latencies *latencies, const struct masked_run_result *part)
{
    sum->presses += part->presses;
    sum->heard += part->heard;
    sum->missed += part->missed;
    sum->wrong += part->wrong;
    sum->extra += part->extra;
    sum->leaked_presses += part->leaked_presses;
    sum->leaked_samples += part->leaked_samples;
    sum->named += part->named;
    if (part->leaked_samples_max > sum->leaked_samples_max)
        sum->leaked_samples_max = part->leaked_samples_max;
    for (size_t i = 0; i < part->latency_count; i++) {
        size_t bin = (size_t)lrintf(part->latency_ms[i] * 8);
        latencies->bin[bin < LATENCY_BINS ? bin : LATENCY_BINS - 1]++;
        latencies->count++;
    }
}

enum err tone_run(const struct masked_run_options *options, enum tone_engine engine, size_t presses,
                  uint64_t seed, struct tone_outcome *outcome)
{
    struct latencies latencies = {0};
    memset(outcome, 0, sizeof *outcome);
    for (size_t done = 0; done < presses; done += CHUNK) {
        struct masked_run_result part;
        struct masked_run_options run = *options;
        run.seed = seed + done;
        run.presses = presses - done < CHUNK ? presses - done : CHUNK;
        run.mask.engine = engine == TONE_SPANDSP ? MASK_ENGINE_SPANDSP : MASK_ENGINE_OWN;
        enum err err = masked_run(&run, &part);
        if (err)
            return err;
        add(outcome, &latencies, &part);
        masked_run_free(&part);
    }
    outcome->p50_ms = latency_at(&latencies, 0.5);
    outcome->p90_ms = latency_at(&latencies, 0.9);
    outcome->p99_ms = latency_at(&latencies, 0.99);
    outcome->p999_ms = latency_at(&latencies, 0.999);
    outcome->max_ms = latency_at(&latencies, 1);
    return OK;
}
