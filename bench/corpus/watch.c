/* tonegate-bench watch: does the watch on the outgoing audio hear what it must, and how often does it cry wolf? */
#include "bench/corpus/bench.h"

#include "dsp/dtmf_detector.h"
#include "dsp/g711.h"
#include "dsp/outgoing_watch.h"
#include "testvectors/speech.h"
#include "testvectors/tone_source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FRAME = 160, SCENE = 2400, ONSET = 800 };

struct pass {
    struct outgoing_watch_counts counts;
    uint32_t frames_alarmed;
};

static struct outgoing_watch *watch_new(void)
{
    struct outgoing_watch *watch = aligned_alloc(OUTGOING_WATCH_ALIGN, outgoing_watch_size());
    if (watch)
        outgoing_watch_init(watch);
    return watch;
}

/* The way of delivered audio: through u-law, as packets. */
static bool hear(struct outgoing_watch *watch, const int16_t *pcm, const struct mask *mask)
{
    uint8_t payload[FRAME];
    int16_t delivered[FRAME];
    struct mask_run runs[MASK_RUNS_MAX];
    g711_encode(G711_ULAW, pcm, payload, FRAME);
    g711_decode(G711_ULAW, payload, delivered, FRAME);
    return outgoing_watch_hear(watch, delivered, FRAME, runs, mask ? mask_replaced(mask, runs) : 0);
}

/* Recordings without keys; through the mask when there is one. */
static bool listen(const struct speech *speech, struct mask *mask, struct pass *pass)
{
    struct outgoing_watch *watch = watch_new();
    *pass = (struct pass){0};
    if (!watch)
        return false;
    for (size_t at = 0; at + FRAME <= speech->count; at += FRAME) {
        int16_t out[FRAME];
        struct dtmf_edge edges[DTMF_EDGE_MAX];
        size_t edge_count;
        memcpy(out, speech->samples + at, sizeof(out));
        if (mask && mask_process(mask, out, out, FRAME, edges, &edge_count))
            break;
        pass->frames_alarmed += hear(watch, out, mask);
    }
    outgoing_watch_counts(watch, &pass->counts);
    free(watch);
    return true;
}

static void print_pass(const struct speech *speech, const char *path, const char *name,
                       const struct pass *pass, bool is_json)
{
    double active = speech_active_seconds(speech);
    const struct outgoing_watch_counts *counts = &pass->counts;
    if (is_json)
        printf("{\"path\":\"%s\",\"active_s\":%.0f,\"pass\":\"%s\",\"keys\":%u,\"remains\":%u,"
               "\"alarms_per_hour\":%.3f,\"residual_dbm0\":%.1f}\n",
               path, active, name, counts->keys, counts->remains, pass->frames_alarmed * 3600 / active,
               (double)counts->residual_dbm0);
    else
        printf("%-40s %6.0f s  %-20s keys %u  remains %u  (%.2f alarms an hour)  residual %.1f dBm0\n", path,
               active, name, counts->keys, counts->remains, pass->frames_alarmed * 3600 / active,
               (double)counts->residual_dbm0);
    fflush(stdout);
}

static bool recordings(const char *path, bool is_json)
{
    static const struct {
        const char *name;
        bool is_masked;
        bool is_keying;
    } passes[] = {
        {"as recorded", false, false}, {"delivered", true, false}, {"delivered, keying", true, true}};
    struct speech speech;
    if (speech_load(&speech, path, 0, 0)) {
        fprintf(stderr, "tonegate-bench watch: no WAV below %s\n", path);
        return false;
    }
    struct mask *mask = aligned_alloc(MASK_ALIGN, mask_size());
    bool is_done = mask != NULL;
    for (size_t i = 0; is_done && i < sizeof(passes) / sizeof(passes[0]); i++) {
        const struct mask_options options = {.lookahead_samples = 160, .noise_seed = 1};
        struct pass pass;
        is_done = mask_init(mask, &options) == OK;
        mask_set_keying(mask, passes[i].is_keying);
        is_done = is_done && listen(&speech, passes[i].is_masked ? mask : NULL, &pass);
        if (is_done)
            print_pass(&speech, path, passes[i].name, &pass, is_json);
    }
    free(mask);
    speech_free(&speech);
    return is_done;
}

/* Presses of one length that nothing masks. */
struct cell {
    unsigned tone_ms;
    size_t alarmed;
    size_t frames_before; /* delivered with the tone in them before the alarm, summed */
};

static void press_once(struct tone_random *random, struct outgoing_watch *watch, struct cell *cell)
{
    float sum[SCENE] = {0};
    int16_t pcm[SCENE];
    float twist = (float)tone_random_uniform(random, -8, 8);
    float level = (float)tone_random_uniform(random, -24, -3);
    float snr = (float)tone_random_uniform(random, 15, 35);
    struct tone_press press = tone_source_random_press(random, level, twist, 0.015f);
    size_t onset = ONSET + tone_random_below(random, FRAME);
    tone_source_press(sum, onset, cell->tone_ms * 8, &press);
    tone_source_noise(random, sum, SCENE, tone_press_dbm0(&press) - snr);
    tone_source_finish(sum, pcm, SCENE, TONE_LINE_ULAW);
    outgoing_watch_init(watch);
    for (size_t at = 0; at < SCENE; at += FRAME) {
        if (!hear(watch, pcm + at, NULL))
            continue;
        cell->alarmed++;
        cell->frames_before += at > onset ? (at - onset + FRAME - 1) / FRAME : 0;
        return;
    }
}

static bool presses(const struct bench_options *options)
{
    static const unsigned lengths_ms[] = {5, 8, 10, 12, 15, 20, 25, 30, 40, 50, 70, 100};
    struct outgoing_watch *watch = watch_new();
    if (!watch)
        return false;
    for (size_t i = 0; i < sizeof(lengths_ms) / sizeof(lengths_ms[0]); i++) {
        struct tone_random random;
        struct cell cell = {.tone_ms = lengths_ms[i]};
        tone_random_seed(&random, options->seed);
        for (size_t n = 0; n < options->presses; n++)
            press_once(&random, watch, &cell);
        double share = 100.0 * (double)cell.alarmed / (double)options->presses;
        double before = cell.alarmed ? (double)cell.frames_before * 20 / (double)cell.alarmed : 0;
        if (options->is_json)
            printf("{\"unmasked_ms\":%u,\"alarmed_percent\":%.2f,\"left_before_ms\":%.1f}\n", cell.tone_ms,
                   share, before);
        else
            printf("%3u ms of a key unmasked: alarm for %6.2f %%, %.1f ms of packets with it left before\n",
                   cell.tone_ms, share, before);
    }
    free(watch);
    return true;
}

int bench_watch(const struct bench_options *options)
{
    int code = presses(options) ? 0 : 1;
    for (size_t i = 0; i < options->path_count; i++) {
        if (!recordings(options->paths[i], options->is_json))
            code = 2;
    }
    return code;
}
