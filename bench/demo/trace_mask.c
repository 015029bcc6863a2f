/* tonegate-trace-mask: runs the armed path over a recording, as the media worker runs it over a leg, and tells what it
 * did: suspicions, decisions, spans. Keys are not told. For reports only; what the live leg did is in its own report. */
#include "bench/leak/audio_file.h"
#include "dsp/mask.h"

#include <getopt.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRAME 160

static const char usage[] =
    "usage: tonegate-trace-mask IN.wav [--lookahead-ms N] [--from-s S] [--to-s S] [--mode noise|beep|mute]\n"
    "                           [--engine own|spandsp] [--out DELIVERED.wav]\n";

struct request {
    const char *in;
    const char *out;
    double from_s;
    double to_s;
    struct mask_options options;
};

struct trace {
    json_t *suspicions;
    json_t *spans;
    json_t *decisions;
    uint64_t offset; /* of the mask's first sample in the recording */
};

static json_int_t place(const struct trace *trace, uint64_t sample)
{
    return (json_int_t)sample + (json_int_t)trace->offset;
}

static void suspicion_h(void *owner, uint64_t at_sample)
{
    struct trace *trace = owner;
    json_array_append_new(trace->suspicions, json_integer(place(trace, at_sample)));
}

static void span_h(void *owner, uint64_t from_sample, uint64_t to_sample)
{
    struct trace *trace = owner;
    json_array_append_new(trace->spans,
                          json_pack("[I,I]", place(trace, from_sample), place(trace, to_sample)));
}

static void take_edges(struct trace *trace, const struct dtmf_edge *edges, size_t count)
{
    for (size_t e = 0; e < count; e++)
        if (edges[e].kind == DTMF_EDGE_ON)
            json_array_append_new(trace->decisions,
                                  json_pack("{s:I,s:I,s:f,s:f}", "onset", place(trace, edges[e].onset_sample),
                                            "reported", place(trace, edges[e].reported_sample),
                                            "level_low_dbm0", (double)edges[e].level_low_dbm0,
                                            "level_high_dbm0", (double)edges[e].level_high_dbm0));
}

static bool parse(struct request *request, int argc, char **argv)
{
    static const struct option options[] = {
        {"lookahead-ms", required_argument, NULL, 'l'},
        {"from-s", required_argument, NULL, 'f'},
        {"to-s", required_argument, NULL, 't'},
        {"mode", required_argument, NULL, 'm'},
        {"engine", required_argument, NULL, 'e'},
        {"out", required_argument, NULL, 'o'},
        {0},
    };
    *request = (struct request){.to_s = 1e9, .options = {.lookahead_samples = 160, .noise_seed = 1}};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        double number = option == '?' ? -1 : strtod(optarg, NULL);
        if (option == 'l' && number >= 0 && number <= 100)
            request->options.lookahead_samples = (unsigned)(number * 8);
        else if (option == 'f' && number >= 0)
            request->from_s = number;
        else if (option == 't' && number > 0)
            request->to_s = number;
        else if (option == 'm')
            request->options.mode = optarg[0] == 'b' ? MASK_BEEP : optarg[1] == 'u' ? MASK_MUTE : MASK_NOISE;
        else if (option == 'e')
            request->options.engine = optarg[0] == 's' ? MASK_ENGINE_SPANDSP : MASK_ENGINE_OWN;
        else if (option == 'o')
            request->out = optarg;
        else
            return false;
    }
    if (argc - optind != 1)
        return false;
    request->in = argv[optind];
    return true;
}

/* The samples [from, to) of the recording through the mask; delivered has room for as many. */
static enum err run(struct mask *mask, struct trace *trace, const float *samples, size_t count,
                    int16_t *delivered)
{
    for (size_t at = 0; at < count; at += FRAME) {
        int16_t frame[FRAME] = {0};
        struct dtmf_edge edges[DTMF_EDGE_MAX];
        size_t edge_count = 0;
        size_t here = count - at < FRAME ? count - at : FRAME;
        for (size_t i = 0; i < here; i++)
            frame[i] = (int16_t)lroundf(samples[at + i]);
        enum err err = mask_process(mask, frame, frame, here, edges, &edge_count);
        if (err != OK)
            return err;
        memcpy(delivered + at, frame, here * sizeof *frame);
        take_edges(trace, edges, edge_count);
    }
    return OK;
}

static enum err trace_audio(const struct request *request, const struct audio *audio, char *reason)
{
    size_t from = (size_t)fmin(request->from_s * 8000, (double)audio->sample_count);
    size_t to = (size_t)fmin(request->to_s * 8000, (double)audio->sample_count);
    size_t count = to > from ? to - from : 0;
    struct mask *mask = aligned_alloc(MASK_ALIGN, (mask_size() + MASK_ALIGN - 1) / MASK_ALIGN * MASK_ALIGN);
    int16_t *delivered = calloc(count + 1, sizeof *delivered);
    struct trace trace = {json_array(), json_array(), json_array(), from};
    struct mask_counts counts = {0};
    enum err err = mask == NULL || delivered == NULL ? ERR_MEMORY : mask_init(mask, &request->options);
    if (err == OK) {
        mask_on_suspicion(mask, suspicion_h, &trace);
        mask_on_span(mask, span_h, &trace);
        mask_set_keying(mask, true);
        err = run(mask, &trace, audio->channel[0] + from, count, delivered);
        mask_counts(mask, &counts);
        mask_wipe(mask);
    }
    const short *out = delivered;
    if (err == OK && request->out != NULL)
        err = audio_write(request->out, &out, 1, count, reason);
    json_t *root = json_pack("{s:o,s:o,s:o,s:I,s:I}", "suspicions", trace.suspicions, "spans", trace.spans,
                             "decisions", trace.decisions, "samples", (json_int_t)counts.samples,
                             "masked_samples", (json_int_t)counts.masked_samples);
    if (err == OK) {
        json_dumpf(root, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
        putchar('\n');
    }
    json_decref(root);
    free(delivered);
    free(mask);
    return err;
}

int main(int argc, char **argv)
{
    struct request request;
    char reason[AUDIO_REASON_BYTES] = "not enough memory";
    struct audio *audio = NULL;
    if (!parse(&request, argc, argv)) {
        fputs(usage, stderr);
        return 2;
    }
    enum err err = audio_read(&audio, request.in, reason);
    if (err == OK)
        err = trace_audio(&request, audio, reason);
    if (err != OK)
        fprintf(stderr, "tonegate-trace-mask: %s\n", reason);
    audio_free(audio);
    return err == OK ? 0 : 2;
}
