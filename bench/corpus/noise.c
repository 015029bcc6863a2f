/* tonegate-bench noise: how much the noise in place of the caller differs from the background it stands for (M6). Nobody
 * listens: the background is known, so level, spectrum, seams and repetition can be compared with it. */
#include "bench/corpus/bench.h"

#include "dsp/dtmf_detector.h"
#include "dsp/mask.h"
#include "testvectors/speech.h"
#include "testvectors/tone_source.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SECONDS = 60,
    COUNT = SECONDS * DTMF_SAMPLE_RATE,
    LATENCY = 160,
    FRAME = 160,
    BANDS = 8,
    BAND_FIRST_HZ = 200,
    BAND_HZ = 400,
    PIECE = 160,    /* level beside a seam */
    SEAM = 24,      /* samples around one in which a click would be */
    SETTLE = 24000, /* time to learn */
    SPANS_MAX = 1000,
    LAG_MIN = 80,
};

/* What the caller's side sounds like while nobody speaks. */
struct background {
    const char *name;
    float level_dbm0;
    float colour;   /* pole of a low pass, -1..1 */
    float hum_dbm0; /* 50, 100 and 150 Hz beside it; 0: none */
    bool is_babble;
};

static const struct background backgrounds[] = {
    {"white -60", -60, 0, 0, false},
    {"white -45", -45, 0, 0, false},
    {"white -35", -35, 0, 0, false},
    {"low pass 0.7 -45", -45, 0.7f, 0, false},
    {"car, 0.95 -40", -40, 0.95f, 0, false},
    {"bright, -0.6 -45", -45, -0.6f, 0, false},
    {"hum -45 over -55", -55, 0.5f, -45, false},
    {"babble -45", -45, 0, 0, true},
};

struct span {
    size_t from, to;
};

struct scene {
    float *background; /* alone */
    float *sum;        /* and speech, and keys */
    int16_t *sent, *heard;
    struct span spans[SPANS_MAX];
    size_t span_count;
};

struct figures {
    double level_mean_db, level_p95_db;
    double band_rms_db, band_max_db;
    double step_p95_db, step_reference_db;
    double click_p99, click_reference;
    double repeat, repeat_reference;
};

static double power_of(const float *x, size_t count)
{
    double sum = 1e-9;
    for (size_t i = 0; i < count; i++)
        sum += (double)x[i] * x[i];
    return sum / (double)count;
}

static void level_set(float *x, size_t count, float level_dbm0)
{
    double rms = dtmf_amplitude_of_dbm0(level_dbm0) / sqrt(2.0);
    double gain = rms / sqrt(power_of(x, count));
    for (size_t i = 0; i < count; i++)
        x[i] *= (float)gain;
}

static void background_make(const struct background *kind, const struct speech *speech, uint64_t seed,
                            float *x)
{
    struct tone_random random;
    tone_random_seed(&random, seed);
    memset(x, 0, COUNT * sizeof(*x));
    if (kind->is_babble) {
        for (int voice = 0; voice < 12; voice++)
            for (size_t i = 0; i < COUNT; i++)
                x[i] += speech->samples[(i + (size_t)voice * speech->count / 12) % speech->count];
    } else {
        tone_source_noise(&random, x, COUNT, -20);
    }
    for (size_t i = 1; i < COUNT; i++)
        x[i] += kind->colour * x[i - 1];
    level_set(x, COUNT, kind->level_dbm0);
    for (size_t i = 0; kind->hum_dbm0 < 0 && i < COUNT; i++)
        for (int harmonic = 1; harmonic <= 3; harmonic++)
            x[i] += dtmf_amplitude_of_dbm0(kind->hum_dbm0) / (float)harmonic *
                    sinf((float)fmod(2 * M_PI * 50 * harmonic * (double)i / DTMF_SAMPLE_RATE, 2 * M_PI));
}

/* Somebody speaks for 1.5 s of every 4, and keys twice in the other 2.5. */
static void scene_fill(struct scene *scene, const struct speech *speech, uint64_t seed)
{
    struct tone_random random;
    tone_random_seed(&random, seed + 1000);
    memcpy(scene->sum, scene->background, COUNT * sizeof(*scene->sum));
    for (size_t at = 0; at + 32000 <= COUNT; at += 32000) {
        size_t from = (at * 3 + 7919) % (speech->count - 12000);
        tone_source_speech(scene->sum + at, speech->samples + from, 12000, -18);
        for (int n = 0; n < 2; n++) {
            struct tone_press press = tone_source_random_press(&random, -9, 2, 0.01f);
            tone_source_press(scene->sum, at + 16000 + (size_t)n * 8000, 640, &press);
        }
    }
    tone_source_finish(scene->sum, scene->sent, COUNT, TONE_LINE_CLEAN);
}

static void span_note(void *owner, uint64_t from, uint64_t to)
{
    struct scene *scene = owner;
    if (scene->span_count < SPANS_MAX && from >= SETTLE && to - from > 400 && to + 1000 < COUNT)
        scene->spans[scene->span_count++] = (struct span){(size_t)from, (size_t)to};
}

static bool scene_mask(struct scene *scene, uint32_t seed)
{
    const struct mask_options options = {.lookahead_samples = LATENCY, .noise_seed = seed};
    struct mask *mask = aligned_alloc(MASK_ALIGN, mask_size());
    bool is_done = mask && mask_init(mask, &options) == OK;
    if (is_done)
        mask_on_span(mask, span_note, scene);
    for (size_t at = 0; is_done && at + FRAME <= COUNT; at += FRAME) {
        struct dtmf_edge edges[DTMF_EDGE_MAX];
        size_t edge_count;
        int16_t out[FRAME];
        is_done = mask_process(mask, scene->sent + at, out, FRAME, edges, &edge_count) == OK;
        for (size_t i = 0; i < FRAME; i++) {
            if (at + i >= LATENCY)
                scene->heard[at + i - LATENCY] = out[i];
        }
    }
    free(mask);
    return is_done;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(double *values, size_t count, double share)
{
    if (count == 0)
        return 0;
    qsort(values, count, sizeof(*values), by_value);
    return values[(size_t)(share * (double)(count - 1))];
}

/* The heard signal as floats, so that both are measured by the same functions. */
static double heard_power(const struct scene *scene, size_t from, size_t count)
{
    double sum = 1e-9;
    for (size_t i = 0; i < count; i++)
        sum += (double)scene->heard[from + i] * scene->heard[from + i];
    return sum / (double)count;
}

static void levels_measure(const struct scene *scene, struct figures *figures)
{
    double deviations[SPANS_MAX];
    double heard = 0;
    double meant = 0;
    for (size_t i = 0; i < scene->span_count; i++) {
        const struct span *span = &scene->spans[i];
        size_t count = span->to - span->from;
        double own = heard_power(scene, span->from, count);
        double true_power = power_of(scene->background + span->from, count);
        deviations[i] = fabs(10 * log10(own / true_power));
        heard += own * (double)count;
        meant += true_power * (double)count;
    }
    figures->level_mean_db = 10 * log10(heard / meant);
    figures->level_p95_db = quantile(deviations, scene->span_count, 0.95);
}

/* Power of one band of a piece: the sum of its DFT bins of 25 Hz, under a Hann window, so that a hum stays where it is. */
static double band_power(const float *x, size_t count, int band)
{
    double sum = 0;
    for (int hz = BAND_FIRST_HZ + band * BAND_HZ; hz < BAND_FIRST_HZ + (band + 1) * BAND_HZ; hz += 25) {
        double re = 0;
        double im = 0;
        double turn_re = cos(2 * M_PI * hz / DTMF_SAMPLE_RATE);
        double turn_im = sin(2 * M_PI * hz / DTMF_SAMPLE_RATE);
        double c = 1;
        double s = 0;
        for (size_t i = 0; i < count; i++) {
            double windowed = x[i] * (0.5 - 0.5 * cos(2 * M_PI * (double)i / (double)count));
            re += windowed * c;
            im += windowed * s;
            double next = c * turn_re - s * turn_im;
            s = s * turn_re + c * turn_im;
            c = next;
        }
        sum += re * re + im * im;
    }
    return sum;
}

static void bands_measure(const struct scene *scene, struct figures *figures)
{
    double squares = 0;
    figures->band_max_db = 0;
    for (int band = 0; band < BANDS; band++) {
        double heard = 1e-9;
        double meant = 1e-9;
        for (size_t i = 0; i < scene->span_count; i++) {
            float piece[320];
            for (size_t n = 0; n < 320; n++)
                piece[n] = scene->heard[scene->spans[i].from + 40 + n];
            heard += band_power(piece, 320, band);
            meant += band_power(scene->background + scene->spans[i].from + 40, 320, band);
        }
        double deviation = 10 * log10(heard / meant);
        squares += deviation * deviation;
        figures->band_max_db = fmax(figures->band_max_db, fabs(deviation));
    }
    figures->band_rms_db = sqrt(squares / BANDS);
}

static double curvature(const int16_t *x, size_t count)
{
    double most = 0;
    for (size_t i = 1; i + 1 < count; i++)
        most = fmax(most, fabs((double)x[i - 1] - 2.0 * x[i] + x[i + 1]));
    return most;
}

/* At the end of each span, where the background alone comes back: how far the level jumps, and the sharpest corner of the
 * wave; the same at places of the background where nothing happens. */
static void seams_measure(const struct scene *scene, const int16_t *calm, struct figures *figures)
{
    double steps[SPANS_MAX];
    double calm_steps[SPANS_MAX];
    double clicks[SPANS_MAX];
    double calm_clicks[SPANS_MAX];
    for (size_t i = 0; i < scene->span_count; i++) {
        size_t end = scene->spans[i].to;
        steps[i] =
            fabs(10 * log10(heard_power(scene, end + SEAM, PIECE) / heard_power(scene, end - PIECE, PIECE)));
        calm_steps[i] = fabs(10 * log10(power_of(scene->background + end + SEAM, PIECE) /
                                        power_of(scene->background + end - PIECE, PIECE)));
        clicks[i] = curvature(scene->heard + end - SEAM / 2, SEAM);
        calm_clicks[i] = curvature(calm + end - SEAM / 2, SEAM);
    }
    figures->step_p95_db = quantile(steps, scene->span_count, 0.95);
    figures->step_reference_db = quantile(calm_steps, scene->span_count, 0.95);
    figures->click_reference = quantile(calm_clicks, scene->span_count, 0.99);
    figures->click_p99 = quantile(clicks, scene->span_count, 0.99) / fmax(figures->click_reference, 1);
}

/* The greatest likeness of a second of x to itself at any later time, up to four seconds. */
static double likeness(const float *x, size_t count)
{
    enum { WINDOW = 8000 };
    double most = 0;
    double own = power_of(x, WINDOW) * WINDOW;
    for (size_t lag = LAG_MIN; lag + WINDOW <= count; lag++) {
        double cross = 0;
        for (size_t i = 0; i < WINDOW; i++)
            cross += (double)x[i] * x[i + lag];
        most = fmax(most, fabs(cross) / sqrt(own * power_of(x + lag, WINDOW) * WINDOW));
    }
    return most;
}

/* Four seconds under a mask that is forced on: a pattern that comes again would be heard there. */
static bool repetition_measure(const struct scene *scene, struct figures *figures)
{
    enum { LEARN = 24000, LONG = 32000 };
    static float noise[LONG];
    const struct mask_options options = {.lookahead_samples = 0, .noise_seed = 9};
    struct mask *mask = aligned_alloc(MASK_ALIGN, mask_size());
    bool is_done = mask && mask_init(mask, &options) == OK;
    for (size_t at = 0; is_done && at + FRAME <= LEARN + LONG; at += FRAME) {
        struct dtmf_edge edges[DTMF_EDGE_MAX];
        size_t edge_count;
        int16_t in[FRAME];
        int16_t out[FRAME];
        tone_source_finish(scene->background + at, in, FRAME, TONE_LINE_CLEAN);
        mask_force(mask, at >= LEARN);
        is_done = mask_process(mask, in, out, FRAME, edges, &edge_count) == OK;
        for (size_t i = 0; at >= LEARN && i < FRAME; i++)
            noise[at - LEARN + i] = out[i];
    }
    free(mask);
    figures->repeat = likeness(noise, LONG);
    figures->repeat_reference = likeness(scene->background + LEARN, LONG);
    return is_done;
}

static bool measure(struct scene *scene, const struct background *kind, const struct speech *speech,
                    uint64_t seed, struct figures *figures)
{
    int16_t *calm = calloc(COUNT, sizeof(*calm));
    bool is_done = calm != NULL;
    scene->span_count = 0;
    background_make(kind, speech, seed, scene->background);
    scene_fill(scene, speech, seed);
    is_done = is_done && scene_mask(scene, (uint32_t)seed + 7) && scene->span_count > 10;
    if (is_done) {
        tone_source_finish(scene->background, calm, COUNT, TONE_LINE_CLEAN);
        levels_measure(scene, figures);
        bands_measure(scene, figures);
        seams_measure(scene, calm, figures);
        is_done = repetition_measure(scene, figures);
    }
    free(calm);
    return is_done;
}

static void print(const struct background *kind, const struct scene *scene, const struct figures *f,
                  bool is_json)
{
    if (is_json)
        printf("{\"background\":\"%s\",\"spans\":%zu,\"level_mean_db\":%.2f,\"level_p95_db\":%.2f,"
               "\"band_rms_db\":%.2f,\"band_max_db\":%.2f,\"step_p95_db\":%.2f,\"step_reference_db\":%.2f,"
               "\"click\":%.2f,\"repeat\":%.3f,\"repeat_reference\":%.3f}\n",
               kind->name, scene->span_count, f->level_mean_db, f->level_p95_db, f->band_rms_db,
               f->band_max_db, f->step_p95_db, f->step_reference_db, f->click_p99, f->repeat,
               f->repeat_reference);
    else
        printf(
            "%-18s level %+5.2f dB, p95 %4.2f  bands rms %4.2f max %4.2f dB  step p95 %4.2f (calm %4.2f) dB  "
            "click %4.2f  repeat %.3f (%.3f)\n",
            kind->name, f->level_mean_db, f->level_p95_db, f->band_rms_db, f->band_max_db, f->step_p95_db,
            f->step_reference_db, f->click_p99, f->repeat, f->repeat_reference);
    fflush(stdout);
}

int bench_noise(const struct bench_options *options)
{
    struct speech speech;
    struct scene *scene = calloc(1, sizeof(*scene));
    int code = 1;
    if (speech_load(&speech, options->speech, 2, 120) && speech_synthesize(&speech, 1, 120)) {
        free(scene);
        return 1;
    }
    if (!scene)
        goto out;
    scene->background = calloc(COUNT, sizeof(*scene->background));
    scene->sum = calloc(COUNT, sizeof(*scene->sum));
    scene->sent = calloc(COUNT, sizeof(*scene->sent));
    scene->heard = calloc(COUNT, sizeof(*scene->heard));
    if (!scene->background || !scene->sum || !scene->sent || !scene->heard)
        goto out;
    code = 0;
    for (size_t i = 0; i < sizeof(backgrounds) / sizeof(backgrounds[0]); i++) {
        struct figures figures;
        if (options->cell && !strstr(backgrounds[i].name, options->cell))
            continue;
        if (!measure(scene, &backgrounds[i], &speech, options->seed + i, &figures))
            code = 1;
        else
            print(&backgrounds[i], scene, &figures, options->is_json);
    }
out:
    if (scene) {
        free(scene->background);
        free(scene->sum);
        free(scene->sent);
        free(scene->heard);
    }
    free(scene);
    speech_free(&speech);
    return code;
}
