/* Any order of calls, any framing, any samples: the mask must stay inside its memory and keep its books. */
#include "dsp/mask.h"
#include "dsp/outgoing_watch.h"

#include <stdlib.h>
#include <string.h>

#define STEPS_MAX 80 /* 5 s of audio at most: enough for every state, and quick */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

struct reader {
    const uint8_t *bytes;
    size_t length;
};

static unsigned take(struct reader *reader)
{
    if (reader->length == 0)
        return 0;
    reader->length--;
    return *reader->bytes++;
}

/* Samples repeat what is left of the input, so that few bytes make long signals. */
static void fill(const struct reader *reader, int16_t *pcm, size_t count, unsigned gain)
{
    for (size_t i = 0; i < count; i++)
        pcm[i] = reader->length ? (int16_t)((reader->bytes[i % reader->length] - 128) * (int)gain) : 0;
}

/* What left goes on to the watch, with what the mask says of it. */
static void leave(struct outgoing_watch *watch, const struct mask *mask, const int16_t *pcm, size_t count)
{
    struct mask_run runs[MASK_RUNS_MAX];
    size_t run_count = mask_replaced(mask, runs);
    for (size_t i = 0; i < run_count; i++) {
        if (runs[i].from >= runs[i].to || runs[i].to > count || (i > 0 && runs[i].from <= runs[i - 1].to))
            abort();
    }
    (void)!outgoing_watch_hear(watch, pcm, count, runs, run_count);
}

static void step(struct reader *reader, struct mask *mask, struct outgoing_watch *watch)
{
    int16_t pcm[480];
    struct dtmf_edge edges[DTMF_EDGE_MAX];
    size_t edge_count = 0;
    unsigned what = take(reader);
    size_t count = take(reader) * 2u + (what >> 7);
    enum err err = OK;
    switch (what & 7) {
    case 0:
        mask_force(mask, what & 8);
        break;
    case 1:
        mask_set_keying(mask, what & 8);
        break;
    case 2:
        err = mask_gap(mask, pcm, count, edges, &edge_count);
        break;
    default:
        if (count <= 480)
            fill(reader, pcm, count, what);
        err = mask_process(mask, pcm, pcm, count, edges, &edge_count);
    }
    if ((err != OK && err != ERR_RANGE) || edge_count > DTMF_EDGE_MAX)
        abort();
    if (err == OK && (what & 7) >= 2)
        leave(watch, mask, pcm, count);
    for (size_t i = 0; i < edge_count; i++) {
        if (edges[i].key >= DTMF_KEYS || edges[i].onset_sample > edges[i].reported_sample)
            abort();
    }
}

static void span(void *owner, uint64_t from, uint64_t to)
{
    uint64_t *last = owner;
    if (from > to || from < *last)
        abort();
    *last = to;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct reader reader = {bytes, length};
    uint64_t last = 0;
    struct mask_options options = {
        .lookahead_samples = take(&reader) * 4,
        .mode = (enum mask_mode)(take(&reader) % 4),
        .engine = (enum mask_engine)(take(&reader) % 3),
        .noise_seed = take(&reader),
        .hold_samples = take(&reader) * 4u,
    };
    struct mask *mask = aligned_alloc(MASK_ALIGN, mask_size());
    struct outgoing_watch *watch = aligned_alloc(OUTGOING_WATCH_ALIGN, outgoing_watch_size());
    if (!mask || !watch)
        abort();
    outgoing_watch_init(watch);
    if (mask_init(mask, &options) == OK) {
        mask_on_span(mask, span, &last);
        for (int i = 0; i < STEPS_MAX && reader.length; i++)
            step(&reader, mask, watch);
        struct mask_counts counts;
        mask_counts(mask, &counts);
        if (counts.masked_samples > counts.samples)
            abort();
        mask_wipe(mask);
    }
    free(watch);
    free(mask);
    return 0;
}
