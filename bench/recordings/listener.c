#include "bench/recordings/listener.h"

#include "base/secret.h"
#include "bench/recordings/json_text.h"
#include "dsp/dtmf_detector.h"
#include "dsp/reference/spandsp_detector.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLES_PER_MS 8.0

struct key_line {
    uint8_t key;
    bool is_event;
    double onset_ms;
    double reported_ms;
    double end_ms; /* negative: not known */
    double level_low_dbm0;
    double level_high_dbm0;
};

struct listener {
    struct listener_options options;
    const char *file;
    unsigned channel;
    double offset_ms;
    double wait_ms;
    uint64_t fed;
    bool is_down;
    struct key_line down; /* the key being pressed */
    struct dtmf_detector *own;
    struct spandsp_detector *spandsp;
};

static void *detector_room(size_t size)
{
    size = (size + DTMF_DETECTOR_ALIGN - 1) / DTMF_DETECTOR_ALIGN * DTMF_DETECTOR_ALIGN;
    return aligned_alloc(DTMF_DETECTOR_ALIGN, size);
}

enum err listener_new(struct listener **out, const struct listener_options *options, const char *file,
                      unsigned channel, double offset_ms, double wait_ms)
{
    *out = NULL;
    struct listener *listener = calloc(1, sizeof *listener);
    if (listener == NULL)
        return ERR_MEMORY;
    listener->options = *options;
    listener->file = file;
    listener->channel = channel;
    listener->offset_ms = offset_ms;
    listener->wait_ms = wait_ms;
    if (options->engine == LISTENER_SPANDSP)
        listener->spandsp = detector_room(spandsp_detector_size());
    else
        listener->own = detector_room(dtmf_detector_size());
    if (listener->own == NULL && listener->spandsp == NULL) {
        free(listener);
        return ERR_MEMORY;
    }
    if (listener->spandsp != NULL)
        spandsp_detector_init(listener->spandsp);
    else
        dtmf_detector_init(listener->own, 0);
    *out = listener;
    return OK;
}

/* ------------------------------------------------------------------ lines */

void listener_print_head(const struct listener_options *options)
{
    if (options->is_text)
        fprintf(
            options->out,
            "  channel      at s  key  from    known ms       ms   low dBm0  high dBm0  twist dB  file\n");
}

/* Rounded to steps of a part of a decibel, and never -0. */
static double twist_db(const struct key_line *line, double parts)
{
    return round((line->level_low_dbm0 - line->level_high_dbm0) * parts) / parts + 0.0;
}

static void print_text(const struct listener *listener, const struct key_line *line)
{
    FILE *out = listener->options.out;
    fprintf(out, "%9u %9.3f    %c  %-5s %10.1f ", listener->channel, line->onset_ms / 1000,
            dtmf_key_letter(line->key), line->is_event ? "event" : "tone",
            line->reported_ms - line->onset_ms);
    if (line->end_ms < 0)
        fprintf(out, "%8s ", "-");
    else
        fprintf(out, "%8.1f ", line->end_ms - line->onset_ms);
    if (line->is_event)
        fprintf(out, "%10s %10s %9s", "-", "-", "-");
    else
        fprintf(out, "%10.1f %10.1f %+9.1f", line->level_low_dbm0, line->level_high_dbm0, twist_db(line, 10));
    fprintf(out, "  %s\n", listener->file);
}

static void print_json(const struct listener *listener, const struct key_line *line)
{
    FILE *out = listener->options.out;
    fputs("{\"file\":", out);
    json_text_print(out, listener->file);
    fprintf(out,
            ",\"channel\":%u,\"source\":\"%s\",\"digit\":\"%c\",\"onset_ms\":%.3f,\"reported_ms\":%.3f,"
            "\"end_ms\":",
            listener->channel, line->is_event ? "event" : "tone", dtmf_key_letter(line->key), line->onset_ms,
            line->reported_ms);
    if (line->end_ms < 0)
        fputs("null", out);
    else
        fprintf(out, "%.3f", line->end_ms);
    if (line->is_event)
        fputs(",\"level_low_dbm0\":null,\"level_high_dbm0\":null,\"twist_db\":null}\n", out);
    else
        fprintf(out, ",\"level_low_dbm0\":%.2f,\"level_high_dbm0\":%.2f,\"twist_db\":%.2f}\n",
                line->level_low_dbm0, line->level_high_dbm0, twist_db(line, 100));
}

static void print_line(const struct listener *listener, const struct key_line *line)
{
    if (listener->options.is_text)
        print_text(listener, line);
    else
        print_json(listener, line);
    fflush(listener->options.out);
}

/* ------------------------------------------------------------------ tones */

static void release(struct listener *listener, double end_ms)
{
    if (!listener->is_down)
        return;
    listener->is_down = false;
    listener->down.end_ms = end_ms;
    if (!listener->options.is_at_once)
        print_line(listener, &listener->down);
}

static void take_edge(struct listener *listener, const struct dtmf_edge *edge)
{
    double at_ms = listener->offset_ms + (double)edge->onset_sample / SAMPLES_PER_MS;
    release(listener, at_ms);
    if (edge->kind != DTMF_EDGE_ON)
        return;
    listener->is_down = true;
    listener->down = (struct key_line){
        .key = edge->key,
        .onset_ms = at_ms,
        .reported_ms =
            listener->offset_ms + (double)edge->reported_sample / SAMPLES_PER_MS + listener->wait_ms,
        .end_ms = -1,
        .level_low_dbm0 = (double)edge->level_low_dbm0,
        .level_high_dbm0 = (double)edge->level_high_dbm0,
    };
    if (listener->options.is_at_once)
        print_line(listener, &listener->down);
}

static enum err hear(struct listener *listener, const int16_t *pcm, size_t count, struct dtmf_heard *heard)
{
    if (listener->spandsp != NULL)
        return pcm == NULL ? spandsp_detector_gap(listener->spandsp, count, heard)
                           : spandsp_detector_feed(listener->spandsp, pcm, count, heard);
    return pcm == NULL ? dtmf_detector_gap(listener->own, count, heard)
                       : dtmf_detector_feed(listener->own, pcm, count, heard);
}

void listener_feed(struct listener *listener, const int16_t *pcm, size_t count)
{
    while (count > 0) {
        struct dtmf_heard heard;
        size_t piece = count < DTMF_FRAME_MAX ? count : DTMF_FRAME_MAX;
        enum err err = hear(listener, pcm, piece, &heard);
        ASSERT(!err);
        for (size_t i = 0; i < heard.edge_count; i++)
            take_edge(listener, &heard.edges[i]);
        pcm = pcm == NULL ? NULL : pcm + piece;
        count -= piece;
        listener->fed += piece;
    }
}

void listener_feed_float(struct listener *listener, const float *samples, size_t count)
{
    int16_t pcm[DTMF_FRAME_MAX];
    for (size_t at = 0; at < count; at += DTMF_FRAME_MAX) {
        size_t piece = count - at < DTMF_FRAME_MAX ? count - at : DTMF_FRAME_MAX;
        for (size_t i = 0; i < piece; i++)
            pcm[i] = (int16_t)lrintf(fmaxf(-32768, fminf(32767, samples[at + i])));
        listener_feed(listener, pcm, piece);
    }
    wipe(pcm, sizeof pcm);
}

void listener_event(struct listener *listener, uint8_t key, double onset_ms, double reported_ms,
                    double end_ms)
{
    struct key_line line = {
        .key = key, .is_event = true, .onset_ms = onset_ms, .reported_ms = reported_ms, .end_ms = end_ms};
    print_line(listener, &line);
}

void listener_jump(struct listener *listener, uint64_t count)
{
    listener->offset_ms += (double)count / SAMPLES_PER_MS;
}

void listener_end(struct listener *listener)
{
    if (listener == NULL)
        return;
    release(listener, listener->offset_ms + (double)listener->fed / SAMPLES_PER_MS);
    if (listener->own != NULL)
        dtmf_detector_wipe(listener->own);
    if (listener->spandsp != NULL)
        spandsp_detector_wipe(listener->spandsp);
    free(listener->own);
    free(listener->spandsp);
    wipe(listener, sizeof *listener);
    free(listener);
}
