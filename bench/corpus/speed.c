#include "bench/corpus/bench.h"
#include "bench/corpus/spandsp_ear.h"

#include "dsp/cpu.h"
#include "dsp/dtmf_detector.h"
#include "dsp/g711.h"
#include "dsp/mask.h"
#include "dsp/outgoing_watch.h"
#include "testvectors/speech.h"
#include "testvectors/tone_source.h"

#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define FRAME       160
#define BATCH       64     /* packets that are decoded before they are heard: WORKER_BATCH */
#define CHANNELS    4096   /* at most */
#define ROUNDS      12     /* the least of them counts: others use the machine too */
#define ROUND       2048   /* packets of a round, or TICKS_MIN of each channel */
#define TICKS_MIN   4      /* the first of them finds nothing in the caches that others used meanwhile */
#define LINE        960000 /* samples of each kind of line: two minutes */
#define SETTLE      24     /* packets of each channel before the clock starts */
#define EARS_MAX    16
#define CACHE_LINE  64
#define FACES_MAX   8
#define NS_PER_TICK (1e9 / DTMF_SAMPLE_RATE)

/* What is timed: the next packet of each of some channels, u-law. */
struct ear {
    const char *what;
    const char *level; /* of TONEGATE_CPU; NULL: SpanDSP, against which all others are measured */
    size_t (*size)(void);
    void (*open)(void *channel);
    void (*packets)(void *const *channels, const uint8_t *const *packets, size_t count);
    void (*close)(void *channel);
};

static void ignore_heard(void *owner, size_t frame, const struct dtmf_heard *heard)
{
    size_t *edge_count = owner;
    (void)frame;
    *edge_count += heard->edge_count;
}

static void detector_open(void *channel)
{
    dtmf_detector_init(channel, 160);
}

static void detector_packets(void *const *channels, const uint8_t *const *packets, size_t count)
{
    static int16_t pcm[BATCH][FRAME];
    struct dtmf_frame frames[BATCH];
    size_t edge_count = 0;
    for (size_t i = 0; i < count; i++) {
        g711_decode(G711_ULAW, packets[i], pcm[i], FRAME);
        frames[i] = (struct dtmf_frame){channels[i], pcm[i], FRAME};
    }
    dtmf_detector_feed_batch(frames, count, ignore_heard, &edge_count);
}

static void nothing(void *channel)
{
    (void)channel;
}

static void mask_open(void *channel)
{
    struct mask_options options = {.lookahead_samples = 160, .noise_seed = 1};
    if (mask_init(channel, &options))
        abort();
}

static void mask_packets(void *const *channels, const uint8_t *const *packets, size_t count)
{
    static int16_t pcm[BATCH][FRAME];
    static uint8_t out[BATCH][FRAME];
    struct dtmf_edge edges[DTMF_EDGE_MAX];
    struct mask_frame frames[BATCH];
    for (size_t i = 0; i < count; i++) {
        g711_decode(G711_ULAW, packets[i], pcm[i], FRAME);
        frames[i] = (struct mask_frame){
            .mask = channels[i], .in = pcm[i], .out = pcm[i], .count = FRAME, .edges = edges};
    }
    mask_process_batch(frames, count);
    for (size_t i = 0; i < count; i++)
        g711_encode(G711_ULAW, pcm[i], out[i], FRAME);
    __asm__ volatile("" : : "r"(out) : "memory");
}

static void watch_open(void *channel)
{
    outgoing_watch_init(channel);
}

static void watch_packets(void *const *channels, const uint8_t *const *packets, size_t count)
{
    int16_t pcm[FRAME];
    for (size_t i = 0; i < count; i++) {
        g711_decode(G711_ULAW, packets[i], pcm, FRAME);
        (void)!outgoing_watch_hear(channels[i], pcm, FRAME, NULL, 0);
    }
}

static void spandsp_packets(void *const *channels, const uint8_t *const *packets, size_t count)
{
    for (size_t i = 0; i < count; i++)
        spandsp_packet(channels[i], packets[i]);
}

#define HEARS  "u-law to suspicion and decision"
#define PASSES "u-law through the armed path to u-law"
#define WATCH  "u-law to the watch on what leaves"
static const struct ear spandsp_ear = {
    "SpanDSP with its u-law decode", NULL, spandsp_size, spandsp_open, spandsp_packets, spandsp_close};

static double cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Counts the instructions of this thread; -1 where the kernel or the machine does not let. */
static int instructions_open(void)
{
    struct perf_event_attr attributes = {.type = PERF_TYPE_HARDWARE,
                                         .size = sizeof(attributes),
                                         .config = PERF_COUNT_HW_INSTRUCTIONS,
                                         .exclude_kernel = 1,
                                         .exclude_hv = 1};
    return (int)syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0);
}

static double instructions_so_far(int counter)
{
    uint64_t count = 0;
    if (counter < 0 || read(counter, &count, sizeof(count)) != sizeof(count))
        return 0;
    return (double)count;
}

/* One ear with all its channels. */
struct bench_run {
    const struct ear *ear;
    unsigned char *memory;
    size_t stride;
    size_t packet; /* of each channel's line, next */
    double ns;     /* a sample, the least so far */
    double instructions;
};

static void run_tick(struct bench_run *run, const uint8_t *line, size_t channel_count)
{
    void *channels[BATCH];
    const uint8_t *packets[BATCH];
    for (size_t first = 0; first < channel_count; first += BATCH) {
        size_t count = channel_count - first < BATCH ? channel_count - first : BATCH;
        for (size_t i = 0; i < count; i++) {
            channels[i] = run->memory + (first + i) * run->stride;
            packets[i] = line + ((first + i) * 7919 + run->packet * FRAME) % (LINE - FRAME);
        }
        run->ear->packets(channels, packets, count);
    }
    run->packet++;
}

/* The level is in the environment while channels are opened: faces are bound then. */
static bool run_open(struct bench_run *run, const uint8_t *line, size_t channel_count)
{
    run->stride = (run->ear->size() + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    run->memory = aligned_alloc(CACHE_LINE, run->stride * channel_count);
    if (!run->memory)
        return false;
    if (run->ear->level)
        setenv("TONEGATE_CPU", run->ear->level, 1);
    g711_bind(dsp_cpu_flags());
    for (size_t c = 0; c < channel_count; c++)
        run->ear->open(run->memory + c * run->stride);
    for (int i = 0; i < SETTLE; i++)
        run_tick(run, line, channel_count);
    return true;
}

static void run_close(struct bench_run *run, size_t channel_count)
{
    for (size_t c = 0; c < channel_count && run->memory; c++)
        run->ear->close(run->memory + c * run->stride);
    free(run->memory);
}

static void run_round(struct bench_run *run, const uint8_t *line, size_t channel_count, int counter)
{
    size_t ticks = channel_count * TICKS_MIN < ROUND ? ROUND / channel_count : TICKS_MIN;
    if (run->ear->level)
        setenv("TONEGATE_CPU", run->ear->level, 1);
    g711_bind(dsp_cpu_flags());
    double samples = (double)(ticks * channel_count * FRAME);
    double instructions = instructions_so_far(counter);
    double start = cpu_ns();
    for (size_t i = 0; i < ticks; i++)
        run_tick(run, line, channel_count);
    double ns = (cpu_ns() - start) / samples;
    instructions = (instructions_so_far(counter) - instructions) / samples;
    if (run->ns <= 0 || ns < run->ns) {
        run->ns = ns;
        run->instructions = instructions;
    }
}

static void print_run(const struct bench_run *run, const char *line, size_t channel_count,
                      double reference_ns, bool is_json)
{
    const char *face = run->ear->level ? run->ear->level : "-";
    double channels = NS_PER_TICK / run->ns;
    double times = reference_ns / run->ns;
    if (is_json)
        printf("{\"what\":\"%s\",\"face\":\"%s\",\"line\":\"%s\",\"channels\":%zu,\"ns_per_sample\":%.4f,"
               "\"instructions_per_sample\":%.2f,\"channels_per_core\":%.0f,\"times_spandsp\":%.2f}\n",
               run->ear->what, face, line, channel_count, run->ns, run->instructions, channels, times);
    else if (run->instructions > 0)
        printf("%-37s %-7s %-7s %5zu %8.3f %8.1f %9.0f %7.2f\n", run->ear->what, face, line, channel_count,
               run->ns, run->instructions, channels, times);
    else
        printf("%-37s %-7s %-7s %5zu %8.3f %8s %9.0f %7.2f\n", run->ear->what, face, line, channel_count,
               run->ns, "-", channels, times);
    fflush(stdout);
}

/* All ears in turn, round after round, so that what the machine does meanwhile befalls all. ears[0] is SpanDSP. */
static bool compare(const struct ear *ears, size_t ear_count, const char *name, const uint8_t *line,
                    size_t channel_count, const struct bench_options *options, int counter)
{
    struct bench_run runs[EARS_MAX] = {{0}};
    bool is_open = true;
    for (size_t e = 0; e < ear_count; e++) {
        runs[e].ear = &ears[e];
        is_open = is_open && run_open(&runs[e], line, channel_count);
    }
    for (int round = 0; round < ROUNDS && is_open; round++) {
        for (size_t e = 0; e < ear_count; e++)
            run_round(&runs[e], line, channel_count, counter);
    }
    for (size_t e = 0; e < ear_count && is_open; e++)
        print_run(&runs[e], name, channel_count, runs[0].ns, options->is_json);
    for (size_t e = 0; e < ear_count; e++)
        run_close(&runs[e], channel_count);
    return is_open;
}

/* The levels of this machine. */
static size_t ears_of_here(struct ear ears[EARS_MAX])
{
    size_t face_count;
    size_t count = 0;
    const struct g711_face *faces = g711_faces(&face_count);
    unsetenv("TONEGATE_CPU");
    unsigned here = dsp_cpu_flags();
    ears[count++] = spandsp_ear;
    for (size_t f = 0; f < face_count && f < FACES_MAX; f++) {
        if (faces[f].cpu_flags & ~here)
            continue;
        ears[count++] =
            (struct ear){HEARS, faces[f].name, dtmf_detector_size, detector_open, detector_packets, nothing};
    }
    for (size_t f = 0; f < face_count && f < FACES_MAX && count < EARS_MAX; f++) {
        if (faces[f].cpu_flags & ~here)
            continue;
        ears[count++] = (struct ear){PASSES, faces[f].name, mask_size, mask_open, mask_packets, nothing};
    }
    if (count < EARS_MAX)
        ears[count++] = (struct ear){WATCH, NULL, outgoing_watch_size, watch_open, watch_packets, nothing};
    return count;
}

/* Twelve digits as a caller keys them, 250 ms each with pauses, over a quiet line. */
static void keys_make(float *sum)
{
    struct tone_random random;
    tone_random_seed(&random, 1);
    for (size_t at = 4000; at + 4000 < LINE; at += 4000) {
        struct tone_press press = tone_source_random_press(&random, -8, 3, 0.01f);
        tone_source_press(sum, at, 2000, &press);
    }
    tone_source_noise(&random, sum, LINE, -60);
}

static bool lines_make(uint8_t *lines[3], const char *folder)
{
    struct speech speech;
    int16_t *pcm = calloc(LINE, sizeof(*pcm));
    float *sum = calloc(LINE, sizeof(*sum));
    bool is_made = pcm && sum &&
                   (!speech_load(&speech, folder, 2, LINE / DTMF_SAMPLE_RATE) ||
                    !speech_synthesize(&speech, 1, LINE / DTMF_SAMPLE_RATE));
    if (is_made) {
        for (size_t i = 0; i < LINE; i++)
            pcm[i] = speech.samples[i % speech.count];
        speech_free(&speech);
        g711_encode(G711_ULAW, pcm, lines[0], LINE);
        memset(pcm, 0, LINE * sizeof(*pcm));
        g711_encode(G711_ULAW, pcm, lines[1], LINE);
        keys_make(sum);
        tone_source_finish(sum, pcm, LINE, TONE_LINE_CLEAN);
        g711_encode(G711_ULAW, pcm, lines[2], LINE);
    }
    free(pcm);
    free(sum);
    return is_made;
}

int bench_speed(const struct bench_options *options)
{
    static const char *const names[3] = {"speech", "silence", "keys"};
    static const size_t channel_counts[] = {1, 16, 256, CHANNELS};
    struct ear ears[EARS_MAX];
    uint8_t *lines[3] = {malloc(LINE), malloc(LINE), malloc(LINE)};
    int counter = instructions_open();
    bool is_done = lines[0] && lines[1] && lines[2] && lines_make(lines, options->speech);
    size_t ear_count = ears_of_here(ears);
    if (!options->is_json)
        printf("%-37s %-7s %-7s %5s %8s %8s %9s %7s\n", "", "face", "line", "chan.", "ns/smp", "ins/smp",
               "chan/core", "x Span");
    for (size_t n = 0; n < sizeof(channel_counts) / sizeof(channel_counts[0]) && is_done; n++) {
        for (size_t l = 0; l < 3 && is_done; l++)
            is_done = compare(ears, ear_count, names[l], lines[l], channel_counts[n], options, counter);
    }
    if (counter >= 0)
        close(counter);
    for (size_t l = 0; l < 3; l++)
        free(lines[l]);
    if (!is_done)
        fprintf(stderr, "tonegate-bench: no memory for channels or lines\n");
    return is_done ? 0 : 1;
}
