#include "testvectors/masked_run.h"

#include "dsp/dtmf_detector.h"
#include "testvectors/tone_leak.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LEAD          1600 /* background before each press, so that the one before cannot matter */
#define REPORT_MARGIN 320  /* a report this long after the end still belongs to the press */
#define SURVIVED_MAX  0.6f

struct press_place {
    size_t from;
    size_t length;
    uint8_t key;
    uint8_t reports;
    bool is_right;
};

struct stage {
    int16_t *sent;
    int16_t *delivered; /* aligned with sent */
    float *tone;        /* presses alone */
    float *sum;
    size_t count;
    size_t capacity;
    struct press_place *places;
};

struct masked_run_options masked_run_defaults(void)
{
    return (struct masked_run_options){
        .seed = 1,
        .presses = 200,
        .level_min_dbm0 = -24,
        .level_max_dbm0 = -3,
        .twist_min_db = -8,
        .twist_max_db = 8,
        .detune_max = 0.015f,
        .snr_min_db = 15,
        .snr_max_db = 35,
        .tone_min_ms = 40,
        .tone_max_ms = 60,
        .pause_min_ms = 200,
        .pause_max_ms = 300,
        .speech_db = -15,
        .line = TONE_LINE_ULAW,
        .frame_samples = 160,
        .mask = {.lookahead_samples = 160, .noise_seed = 1},
    };
}

static float between(struct tone_random *random, double from, double to)
{
    return (float)tone_random_uniform(random, from, to);
}

/* Speech under the press and its surroundings, taken where somebody is speaking. */
static void speech_under(struct tone_random *random, const struct masked_run_options *o, float *x,
                         size_t count, float level_dbm0)
{
    const struct speech *speech = o->speech;
    for (int attempt = 0; attempt < 200; attempt++) {
        size_t at = tone_random_below(random, (unsigned)(speech->count - count));
        double energy = 0;
        for (size_t i = 0; i < count; i++)
            energy += (double)speech->samples[at + i] * speech->samples[at + i];
        if (energy / (double)count < 400.0 * 400.0)
            continue;
        tone_source_speech(x, speech->samples + at, count, level_dbm0);
        return;
    }
}

static void break_press(float *tone, size_t length, size_t count)
{
    size_t from = length > count ? (length - count) / 2 : 0;
    for (size_t i = from; i < from + count && i < length; i++)
        tone[i] = 0;
}

/* Its phase follows from the place in the run: it goes on where it was when the level changes. */
static void add_dial_tone(float *x, size_t from, size_t to, float level_dbm0)
{
    double amplitude = dtmf_amplitude_of_dbm0(level_dbm0);
    for (size_t i = from; i < to; i++) {
        double at = 2 * M_PI * (double)i / DTMF_SAMPLE_RATE;
        x[i] += (float)(amplitude * (sin(350 * at) + sin(440 * at)));
    }
}

static void stage_press(struct stage *stage, struct tone_random *random, const struct masked_run_options *o,
                        size_t which)
{
    float level = between(random, o->level_min_dbm0, o->level_max_dbm0);
    float twist = between(random, o->twist_min_db, o->twist_max_db);
    struct tone_press press = tone_source_random_press(random, level, twist, o->detune_max);
    float power = tone_press_dbm0(&press);
    size_t length = (size_t)(between(random, o->tone_min_ms, o->tone_max_ms) * 8 + 0.5f);
    size_t pause = (size_t)(between(random, o->pause_min_ms, o->pause_max_ms) * 8 + 0.5f);
    size_t lead = which == 0 ? LEAD : 0;
    size_t from = stage->count + lead + tone_random_below(random, 16);
    size_t end = from + length + pause;
    press.detune_low += o->detune_low;
    press.detune_high += o->detune_high;
    if (o->is_one_key)
        press.key = 5;
    tone_source_press(stage->tone, from, length, &press);
    break_press(stage->tone + from, length, (size_t)o->break_ms * 8);
    if (o->has_dial_tone)
        add_dial_tone(stage->sum, stage->count, end, level + o->dial_tone_db);
    for (size_t i = from; i < from + length; i++)
        stage->sum[i] += stage->tone[i];
    tone_source_noise(random, stage->sum + stage->count, end - stage->count,
                      power - between(random, o->snr_min_db, o->snr_max_db));
    if (o->speech && which % 2)
        speech_under(random, o, stage->sum + stage->count, end - stage->count, power + o->speech_db);
    stage->places[which] = (struct press_place){.from = from, .length = length, .key = press.key};
    stage->count = end;
}

static enum err stage_new(struct stage *stage, const struct masked_run_options *o)
{
    memset(stage, 0, sizeof(*stage));
    stage->capacity = o->presses * ((size_t)o->tone_max_ms + o->pause_max_ms + 3) * 8 + LEAD + 2000;
    stage->sent = calloc(stage->capacity, sizeof(*stage->sent));
    stage->delivered = calloc(stage->capacity, sizeof(*stage->delivered));
    stage->tone = calloc(stage->capacity, sizeof(*stage->tone));
    stage->sum = calloc(stage->capacity, sizeof(*stage->sum));
    stage->places = calloc(o->presses + 1, sizeof(*stage->places));
    if (!stage->sent || !stage->delivered || !stage->tone || !stage->sum || !stage->places)
        return ERR_MEMORY;
    struct tone_random random;
    tone_random_seed(&random, o->seed);
    for (size_t i = 0; i < o->presses; i++)
        stage_press(stage, &random, o, i);
    stage->count += 1000;
    tone_source_finish(stage->sum, stage->sent, stage->count, o->line);
    return OK;
}

static void stage_free(struct stage *stage)
{
    free(stage->sent);
    free(stage->delivered);
    free(stage->tone);
    free(stage->sum);
    free(stage->places);
}

static void note_edge(struct stage *stage, const struct masked_run_options *o, const struct dtmf_edge *edge,
                      struct masked_run_result *result)
{
    if (edge->kind != DTMF_EDGE_ON)
        return;
    size_t at = edge->reported_sample;
    for (size_t i = 0; i < o->presses; i++) {
        struct press_place *place = &stage->places[i];
        if (at < place->from || at >= place->from + place->length + REPORT_MARGIN)
            continue;
        if (i + 1 < o->presses && at >= place[1].from)
            continue;
        if (place->reports++ > 0) {
            result->extra++;
        } else if (edge->key != place->key) {
            result->wrong++;
        } else {
            place->is_right = true;
            result->latency_ms[result->latency_count++] = (float)(at - place->from) / 8;
        }
        return;
    }
    result->extra++;
}

static void stage_listen(struct stage *stage, const struct masked_run_options *o, struct mask *mask,
                         struct masked_run_result *result)
{
    int16_t out[DTMF_FRAME_MAX];
    size_t late = o->mask.lookahead_samples;
    struct tone_random loss;
    tone_random_seed(&loss, o->seed + 99);
    for (size_t at = 0; at + o->frame_samples <= stage->count; at += o->frame_samples) {
        struct dtmf_edge edges[DTMF_EDGE_MAX];
        size_t edge_count;
        bool is_lost = o->loss_share > 0 && tone_random_uniform(&loss, 0, 1) < o->loss_share;
        if (is_lost ? mask_gap(mask, out, o->frame_samples, edges, &edge_count)
                    : mask_process(mask, stage->sent + at, out, o->frame_samples, edges, &edge_count))
            return;
        for (size_t i = 0; i < edge_count; i++)
            note_edge(stage, o, &edges[i], result);
        for (size_t i = 0; i < o->frame_samples; i++) {
            if (at + i >= late)
                stage->delivered[at + i - late] = out[i];
        }
    }
}

static void stage_judge(const struct stage *stage, const struct masked_run_options *o,
                        struct masked_run_result *result)
{
    for (size_t i = 0; i < o->presses; i++) {
        const struct press_place *place = &stage->places[i];
        struct tone_leak leak;
        tone_leak_measure(stage->sent + place->from, stage->delivered + place->from,
                          stage->tone + place->from, place->length, &leak);
        result->named += tone_leak_name(stage->delivered + place->from, place->length) == place->key;
        result->heard += place->is_right;
        result->missed += place->reports == 0;
        result->leaked_presses += leak.same_samples > 0 || leak.survived_share > SURVIVED_MAX;
        result->leaked_samples += leak.same_samples;
        if (leak.same_samples > result->leaked_samples_max)
            result->leaked_samples_max = leak.same_samples;
        if (leak.survived_share > result->survived_max)
            result->survived_max = leak.survived_share;
    }
    result->presses = o->presses;
    result->seconds = (double)stage->count / DTMF_SAMPLE_RATE;
}

static int by_value(const void *a, const void *b)
{
    const float *x = a;
    const float *y = b;
    return (*x > *y) - (*x < *y);
}

enum err masked_run(const struct masked_run_options *options, struct masked_run_result *result)
{
    struct stage stage;
    memset(result, 0, sizeof(*result));
    struct mask *mask = aligned_alloc(MASK_ALIGN, mask_size());
    result->latency_ms = calloc(options->presses + 1, sizeof(*result->latency_ms));
    enum err err = stage_new(&stage, options);
    if (!err && (!mask || !result->latency_ms))
        err = ERR_MEMORY;
    if (!err)
        err = mask_init(mask, &options->mask);
    if (!err) {
        mask_set_keying(mask, options->is_keying);
        stage_listen(&stage, options, mask, result);
        stage_judge(&stage, options, result);
        mask_counts(mask, &result->counts);
        qsort(result->latency_ms, result->latency_count, sizeof(float), by_value);
        mask_wipe(mask);
    }
    free(mask);
    stage_free(&stage);
    if (err)
        masked_run_free(result);
    return err;
}

void masked_run_free(struct masked_run_result *result)
{
    free(result->latency_ms);
    memset(result, 0, sizeof(*result));
}

float masked_run_latency(const struct masked_run_result *result, double share)
{
    if (result->latency_count == 0)
        return 0;
    size_t at = (size_t)(share * (double)(result->latency_count - 1) + 0.5);
    return result->latency_ms[at];
}
