#include "bench/corpus/bench.h"
#include "bench/corpus/spandsp_ear.h"

#include "dsp/dtmf_detector.h"
#include "dsp/g711.h"
#include "dsp/mask.h"
#include "dsp/outgoing_watch.h"
#include "testvectors/speech.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CHANNELS 200
#define PACKETS  250 /* of 20 ms: 5 s of each channel */
#define FRAME    160
#define ROUNDS   5

/* What is timed: one channel's memory, one packet of u-law. */
struct ear {
    const char *name;
    size_t (*size)(void);
    void (*open)(void *ear);
    void (*packet)(void *ear, const uint8_t *packet);
    void (*close)(void *ear);
};

static void detector_open(void *ear)
{
    dtmf_detector_init(ear, 160);
}
static void detector_packet(void *ear, const uint8_t *packet)
{
    int16_t pcm[FRAME];
    struct dtmf_heard heard;
    g711_decode(G711_ULAW, packet, pcm, FRAME);
    (void)!dtmf_detector_feed(ear, pcm, FRAME, &heard);
}
static void nothing(void *ear)
{
    (void)ear;
}

static void mask_open(void *ear)
{
    struct mask_options options = {.lookahead_samples = 160, .noise_seed = 1};
    if (mask_init(ear, &options))
        abort();
}
static void mask_packet(void *ear, const uint8_t *packet)
{
    int16_t pcm[FRAME];
    uint8_t out[FRAME];
    struct dtmf_edge edges[DTMF_EDGE_MAX];
    size_t edge_count;
    g711_decode(G711_ULAW, packet, pcm, FRAME);
    (void)!mask_process(ear, pcm, pcm, FRAME, edges, &edge_count);
    g711_encode(G711_ULAW, pcm, out, FRAME);
    __asm__ volatile("" : : "r"(out) : "memory");
}

static void watch_open(void *ear)
{
    outgoing_watch_init(ear);
}
static void watch_packet(void *ear, const uint8_t *packet)
{
    int16_t pcm[FRAME];
    g711_decode(G711_ULAW, packet, pcm, FRAME);
    (void)!outgoing_watch_hear(ear, pcm, FRAME, NULL, 0);
}

static const struct ear ears[] = {
    {"u-law to suspicion and decision", dtmf_detector_size, detector_open, detector_packet, nothing},
    {"u-law through the armed path to u-law", mask_size, mask_open, mask_packet, nothing},
    {"u-law to the watch on what leaves", outgoing_watch_size, watch_open, watch_packet, nothing},
    {"SpanDSP with its u-law decode", spandsp_size, spandsp_open, spandsp_packet, spandsp_close},
};
enum { EARS = sizeof(ears) / sizeof(ears[0]), REFERENCE = EARS - 1 };

static double cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Best of some rounds: others use the machine too. */
static double time_ear(const struct ear *ear, const uint8_t *line, size_t line_count)
{
    size_t stride = (ear->size() + 63) / 64 * 64;
    unsigned char *memory = aligned_alloc(64, stride * CHANNELS);
    double best = 0;
    if (!memory)
        return 0;
    for (size_t c = 0; c < CHANNELS; c++)
        ear->open(memory + c * stride);
    for (int round = 0; round < ROUNDS; round++) {
        double start = cpu_ns();
        for (size_t p = 0; p < PACKETS; p++) {
            for (size_t c = 0; c < CHANNELS; c++)
                ear->packet(memory + c * stride, line + (c * 7919 + p * FRAME) % (line_count - FRAME));
        }
        double ns = (cpu_ns() - start) / ((double)CHANNELS * PACKETS * FRAME);
        if (round == 0 || ns < best)
            best = ns;
    }
    for (size_t c = 0; c < CHANNELS; c++)
        ear->close(memory + c * stride);
    free(memory);
    return best;
}

int bench_speed(const struct bench_options *options)
{
    static const char *const levels[] = {"c", "sse2", "avx2", "avx512"};
    struct speech speech;
    if (speech_load(&speech, options->speech, 2, 120) && speech_synthesize(&speech, 1, 120))
        return 1;
    uint8_t *line = malloc(speech.count);
    if (!line)
        return 1;
    g711_encode(G711_ULAW, speech.samples, line, speech.count);
    double reference = time_ear(&ears[REFERENCE], line, speech.count);
    for (size_t e = 0; e < EARS; e++) {
        for (size_t l = 0; l < 4; l++) {
            bool has_faces = e < REFERENCE - 1;
            if (!has_faces && l > 0)
                break;
            setenv("TONEGATE_CPU", levels[l], 1);
            double ns = e == REFERENCE ? reference : time_ear(&ears[e], line, speech.count);
            const char *face = has_faces ? levels[l] : "-";
            double channels = 1e9 / (ns * DTMF_SAMPLE_RATE);
            if (options->is_json)
                printf("{\"what\":\"%s\",\"face\":\"%s\",\"ns_per_sample\":%.3f,\"channels_per_core\":%.0f,"
                       "\"times_spandsp\":%.2f}\n",
                       ears[e].name, face, ns, channels, reference / ns);
            else
                printf("%-40s %-7s %7.3f ns a sample %8.0f channels a core %6.2f x SpanDSP\n", ears[e].name,
                       face, ns, channels, reference / ns);
            fflush(stdout);
        }
    }
    free(line);
    speech_free(&speech);
    return 0;
}
