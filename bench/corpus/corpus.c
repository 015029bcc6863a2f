#include "bench/corpus/bench.h"

#include "dsp/dtmf_detector.h"
#include "dsp/mask.h"
#include "dsp/reference/spandsp_detector.h"
#include "testvectors/speech.h"

#include <stdio.h>
#include <stdlib.h>

/* What one pass of the armed path made of recordings without keys. */
struct pass {
    double masked_share; /* of active speech */
    double masks_per_minute;
    uint32_t false_digits;
};

struct span_count {
    size_t spans;
};

static void count_span(void *owner, uint64_t from, uint64_t to)
{
    struct span_count *count = owner;
    (void)from;
    (void)to;
    count->spans++;
}

static bool listen(const struct speech *speech, struct mask_options options, bool is_keying,
                   struct pass *pass)
{
    struct mask *mask = aligned_alloc(MASK_ALIGN, mask_size());
    if (!mask || mask_init(mask, &options)) {
        free(mask);
        return false;
    }
    struct span_count spans = {0};
    mask_on_span(mask, count_span, &spans);
    mask_set_keying(mask, is_keying);
    for (size_t at = 0; at + 160 <= speech->count; at += 160) {
        int16_t out[160];
        struct dtmf_edge edges[DTMF_EDGE_MAX];
        size_t edge_count;
        if (mask_process(mask, speech->samples + at, out, 160, edges, &edge_count))
            break;
    }
    struct mask_counts counts;
    mask_counts(mask, &counts);
    double active = speech_active_seconds(speech);
    pass->masked_share = (double)counts.masked_samples / DTMF_SAMPLE_RATE / active;
    pass->masks_per_minute = (double)spans.spans * 60 / active;
    pass->false_digits = counts.decisions;
    free(mask);
    return true;
}

static bool print_pass(const struct speech *speech, const char *path, const char *name,
                       struct mask_options options, bool is_keying, bool is_json)
{
    struct pass pass;
    if (!listen(speech, options, is_keying, &pass))
        return false;
    double active = speech_active_seconds(speech);
    double an_hour = pass.false_digits * 3600 / active;
    if (is_json)
        printf("{\"path\":\"%s\",\"active_s\":%.0f,\"pass\":\"%s\",\"masked_percent\":%.4f,"
               "\"masks_per_minute\":%.2f,\"false_digits\":%u,\"false_digits_per_hour\":%.2f}\n",
               path, active, name, 100 * pass.masked_share, pass.masks_per_minute, pass.false_digits,
               an_hour);
    else
        printf("%-40s %6.0f s  %-22s masked %7.4f %%  %6.2f a minute  false digits %u (%.2f an hour)\n", path,
               active, name, 100 * pass.masked_share, pass.masks_per_minute, pass.false_digits, an_hour);
    fflush(stdout);
    return true;
}

int bench_corpus(const struct bench_options *options)
{
    int code = options->path_count ? 0 : 2;
    if (code)
        fprintf(stderr, "tonegate-bench corpus: name at least one folder of WAV files\n");
    for (size_t i = 0; i < options->path_count; i++) {
        const char *path = options->paths[i];
        struct speech speech;
        if (speech_load(&speech, path, 0, 0)) {
            fprintf(stderr, "tonegate-bench corpus: no WAV below %s\n", path);
            code = 2;
            continue;
        }
        struct mask_options far = {.lookahead_samples = 160, .noise_seed = 1};
        struct mask_options near = {.lookahead_samples = 80, .noise_seed = 1};
        struct mask_options reference = {
            .lookahead_samples = 160, .noise_seed = 1, .engine = MASK_ENGINE_SPANDSP};
        bool is_done = print_pass(&speech, path, "look-ahead 20", far, false, options->is_json) &&
                       print_pass(&speech, path, "look-ahead 20, keying", far, true, options->is_json) &&
                       print_pass(&speech, path, "look-ahead 10", near, false, options->is_json) &&
                       print_pass(&speech, path, "look-ahead 10, keying", near, true, options->is_json) &&
                       print_pass(&speech, path, "spandsp decides", reference, false, options->is_json);
        speech_free(&speech);
        if (!is_done)
            code = 1;
    }
    return code;
}
