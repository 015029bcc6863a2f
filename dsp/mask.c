#include "dsp/mask.h"

#include "base/secret.h"
#include "dsp/comfort_noise.h"
#include "dsp/dtmf_detector_priv.h"
#include "dsp/reference/spandsp_detector.h"

#include <math.h>
#include <string.h>

#define LOOKAHEAD_MAX 800
#define FADE          12  /* samples: 1.5 ms */
#define BACK_ALL      320 /* a suspicion masks what is still in the delay line, up to here */
#define GAP_BESIDE    112 /* masked on both sides of a gap: a piece of a key that is too short to suspect */
#define HOLD_MAX      8000
#define SPANS_MAX     8
#define BEEP_SAMPLES  640
#define BEEP_GRID                                                                                            \
    160 /* a beep begins at a multiple of it: how quickly a key was decided says something of the key */
#define BEEP_HZ      1000
#define BEEP_DBM0    (-22.0f)
#define BEEP_RAMP    32
#define LEARN_EVERY  640 /* samples between two frames of background that are learned */
#define LEARN_BEHIND 240 /* a frame this old would have been suspected by now */

#define PREFETCH_FIRST 8 /* frames ahead whose first lines are asked for */
#define PREFETCH_ALL   4 /* and all of them: a microsecond, longer than memory takes */

_Static_assert(LOOKAHEAD_MAX + DTMF_FRAME_MAX + COMFORT_NOISE_FRAME <= DTMF_HISTORY,
               "the history must hold what is still to leave and to be learned");

/* Times count samples fed; int64 because what leaves first lies before the first sample. */
struct span {
    int64_t from;
    int64_t to;
};

struct mask {
    struct dtmf_detector detector;
    struct mask_options options;
    struct comfort_noise noise;
    struct span spans[SPANS_MAX]; /* in order of time; those that have left are gone */
    size_t span_count;
    int64_t tainted_until; /* nothing before this is learned as background */
    int64_t learned_until;
    int64_t beep_from;
    float voice; /* gain of the caller's samples, 0..1 */
    bool is_forced;
    bool is_keying;
    struct mask_counts counts;
    struct mask_run runs[MASK_RUNS_MAX];
    uint8_t run_count;
    mask_span_h *span_h;
    void *span_owner;
    mask_suspicion_h *suspicion_h;
    void *suspicion_owner;
    _Alignas(DTMF_DETECTOR_ALIGN) unsigned char reference[];
};

size_t mask_size(void)
{
    size_t size = sizeof(struct mask) + spandsp_detector_size();
    return (size + MASK_ALIGN - 1) / MASK_ALIGN * MASK_ALIGN;
}

static struct spandsp_detector *reference_of(struct mask *mask)
{
    return (struct spandsp_detector *)(void *)mask->reference;
}

enum err mask_init(struct mask *mask, const struct mask_options *options)
{
    if (options->lookahead_samples > LOOKAHEAD_MAX || options->hold_samples > HOLD_MAX ||
        options->mode > MASK_MUTE || options->engine > MASK_ENGINE_SPANDSP)
        return ERR_RANGE;
    memset(mask, 0, sizeof(*mask));
    mask->options = *options;
    if (mask->options.hold_samples == 0)
        mask->options.hold_samples = MASK_HOLD;
    dtmf_detector_init(&mask->detector, options->lookahead_samples);
    comfort_noise_init(&mask->noise, options->noise_seed);
    spandsp_detector_init(reference_of(mask));
    mask->beep_from = INT64_MIN / 2;
    /* What came before the first sample was not heard either: the leg may have been armed in the middle of a key. */
    mask->spans[mask->span_count++] = (struct span){0, GAP_BESIDE};
    mask->tainted_until = GAP_BESIDE;
    return OK;
}

/* First sample of those that are still to leave. The detector has heard the frame, the frame has not left yet. */
static int64_t first_to_leave(const struct mask *mask)
{
    return (int64_t)mask->counts.samples - mask->options.lookahead_samples;
}

/* Adds [from, to) to what is masked, as far as it has not left; spans that touch, or nearly, become one. */
static void span_add(struct mask *mask, int64_t from, int64_t to)
{
    int64_t first = first_to_leave(mask);
    from = from > first ? from : first;
    if (mask->tainted_until < to)
        mask->tainted_until = to;
    struct span *last = mask->span_count ? &mask->spans[mask->span_count - 1] : NULL;
    if (last && (from <= last->to + 2 * FADE || mask->span_count == SPANS_MAX)) {
        last->to = to > last->to ? to : last->to;
        last->from = from < last->from ? from : last->from;
        /* A span that now reaches back over earlier ones swallows them. */
        while (mask->span_count > 1 && last->from <= last[-1].to + 2 * FADE) {
            last[-1].to = last->to;
            last[-1].from = last->from < last[-1].from ? last->from : last[-1].from;
            mask->span_count--;
            last--;
        }
        return;
    }
    mask->spans[mask->span_count++] = (struct span){from, to};
}

static void span_drop_first(struct mask *mask)
{
    struct span gone = mask->spans[0];
    mask->span_count--;
    memmove(&mask->spans[0], &mask->spans[1], mask->span_count * sizeof(mask->spans[0]));
    if (mask->span_h)
        mask->span_h(mask->span_owner, (uint64_t)(gone.from > 0 ? gone.from : 0), (uint64_t)gone.to);
}

static void suspicions_apply(struct mask *mask, const struct dtmf_heard *heard)
{
    for (size_t i = 0; i < heard->suspicion_count; i++) {
        int64_t at = (int64_t)heard->suspicions[i];
        span_add(mask, at - BACK_ALL, at + (int64_t)dtmf_detector_stands(&mask->detector));
        mask->counts.suspicions++;
        if (mask->suspicion_h)
            mask->suspicion_h(mask->suspicion_owner, (uint64_t)at);
    }
}

static void edges_apply(struct mask *mask, const struct dtmf_heard *heard)
{
    for (size_t i = 0; i < heard->edge_count; i++) {
        if (heard->edges[i].kind != DTMF_EDGE_ON)
            continue;
        mask->counts.decisions++;
        if (mask->options.mode == MASK_BEEP) {
            mask->beep_from =
                ((int64_t)heard->edges[i].reported_sample + BEEP_GRID - 1) / BEEP_GRID * BEEP_GRID;
            span_add(mask, mask->beep_from, mask->beep_from + BEEP_SAMPLES);
        }
    }
}

/* A key that ended in this frame, which began at `from`: what trails behind it. */
static void key_hold(struct mask *mask, const struct dtmf_heard *own, int64_t from)
{
    for (size_t i = 0; i < own->edge_count; i++) {
        if (own->edges[i].kind == DTMF_EDGE_OFF)
            span_add(mask, from, (int64_t)own->edges[i].onset_sample + mask->options.hold_samples);
    }
}

/* Everything that is decided about the frame that has just been heard, before any of it can leave. */
static void heard_apply(struct mask *mask, const struct dtmf_heard *own, const struct dtmf_heard *deciding,
                        size_t count)
{
    int64_t fed = (int64_t)mask->detector.fed;
    suspicions_apply(mask, own);
    edges_apply(mask, deciding);
    key_hold(mask, own, fed - (int64_t)count);
    if (dtmf_detector_is_down(&mask->detector) || spandsp_detector_is_down(reference_of(mask)))
        span_add(mask, fed - (int64_t)count, fed + mask->options.hold_samples);
    if (mask->is_forced || (mask->is_keying && mask->options.mode == MASK_MUTE))
        span_add(mask, fed - (int64_t)count, fed);
}

static void learn(struct mask *mask)
{
    int64_t behind = mask->options.lookahead_samples;
    behind = behind > LEARN_BEHIND ? behind : LEARN_BEHIND;
    int64_t end = (int64_t)mask->detector.fed - behind;
    if (end < mask->learned_until + LEARN_EVERY && mask->noise.has_learned)
        return;
    int64_t from = end - COMFORT_NOISE_FRAME;
    if (from < mask->tainted_until || from < (int64_t)mask->detector.gap_until || from < 0)
        return;
    int16_t frame[COMFORT_NOISE_FRAME];
    for (int i = 0; i < COMFORT_NOISE_FRAME; i++)
        frame[i] = mask->detector.history[(uint64_t)(from + i) & (DTMF_HISTORY - 1)];
    (void)comfort_noise_learn(&mask->noise, frame);
    mask->learned_until = end;
}

static float beep_at(const struct mask *mask, int64_t at)
{
    int64_t i = at - mask->beep_from;
    if (i < 0 || i >= BEEP_SAMPLES)
        return 0;
    float ramp = 1;
    if (i < BEEP_RAMP)
        ramp = (float)i / BEEP_RAMP;
    else if (i >= BEEP_SAMPLES - BEEP_RAMP)
        ramp = (float)(BEEP_SAMPLES - i) / BEEP_RAMP;
    float phase = 2 * (float)M_PI * (float)(i % (DTMF_SAMPLE_RATE / BEEP_HZ)) * BEEP_HZ / DTMF_SAMPLE_RATE;
    return ramp * dtmf_amplitude_of_dbm0(BEEP_DBM0) * sinf(phase);
}

/* Gain of the caller's samples from this time on. It is 0 from the first sample of a span to the last: the fade lies outside,
 * and is cut short, to a step at worst, when the span was known too late for it. Returns for how many samples it holds. */
static size_t voice_gain(struct mask *mask, int64_t at, size_t count, float *gain)
{
    while (mask->span_count && at >= mask->spans[0].to)
        span_drop_first(mask);
    int64_t masked_until = 0;
    if (mask->span_count && at >= mask->spans[0].from)
        masked_until = mask->spans[0].to;
    if (at < masked_until) {
        mask->voice = *gain = 0;
        return masked_until - at < (int64_t)count ? (size_t)(masked_until - at) : count;
    }
    float more = mask->voice + 1.0f / FADE;
    if (mask->span_count) {
        float room = (float)(mask->spans[0].from - at) / FADE;
        more = more < room ? more : room;
    }
    mask->voice = *gain = more < 1 ? more : 1;
    return 1;
}

/* Rounded to the nearest: added to this, a float of 16 bits' range has its integer in its lowest bits. */
#define ROUNDER 12582912.0f /* 1.5 * 2^23 */

static inline int16_t clip(float value)
{
    int32_t bits;
    value = value > 32767 ? 32767 : value < -32768 ? -32768 : value;
    value += ROUNDER;
    memcpy(&bits, &value, sizeof(bits));
    return (int16_t)bits;
}

/* Places [from, to) of what leaves are replaced whole. */
static void run_note(struct mask *mask, size_t from, size_t to)
{
    struct mask_run *last = mask->run_count ? &mask->runs[mask->run_count - 1] : NULL;
    if (last && last->to == from)
        last->to = (uint16_t)to;
    else if (mask->run_count < MASK_RUNS_MAX)
        mask->runs[mask->run_count++] = (struct mask_run){(uint16_t)from, (uint16_t)to};
}

static void gains_make(struct mask *mask, int64_t at, float *gain, size_t count)
{
    for (size_t i = 0; i < count;) {
        size_t from = i;
        size_t run = voice_gain(mask, at + (int64_t)i, count - i, &gain[i]);
        for (i++; i < from + run; i++)
            gain[i] = gain[from];
        if (gain[from] < 1 && at + (int64_t)from >= 0)
            mask->counts.masked_samples += run;
        if (gain[from] <= 0)
            run_note(mask, from, i);
    }
}

/* Noise, a beep on it, and in a fade some of the caller's sample. */
static int16_t replaced(const struct mask *mask, int64_t at, float gain, float noise)
{
    float value = gain > 0 ? noise * sqrtf(1 - gain * gain) : noise;
    if (mask->options.mode == MASK_BEEP)
        value += beep_at(mask, at);
    if (gain > 0)
        value += gain * mask->detector.history[(uint64_t)at & (DTMF_HISTORY - 1)];
    return clip(value);
}

static void leave_replaced(struct mask *mask, int64_t at, int16_t *out, size_t count)
{
    float gain[DTMF_FRAME_MAX], noise[DTMF_FRAME_MAX];
    gains_make(mask, at, gain, count);
    for (size_t i = 0; i < count;) {
        size_t to = i;
        while (to < count && gain[to] < 1 && !mask->options.is_off)
            to++;
        comfort_noise_make(&mask->noise, noise, to - i);
        for (size_t k = i; k < to; k++) {
            bool is_noise = gain[k] <= 0 && mask->options.mode != MASK_BEEP;
            out[k] = is_noise ? clip(noise[k - i]) : replaced(mask, at + (int64_t)k, gain[k], noise[k - i]);
        }
        for (i = to; i < count && (gain[i] >= 1 || mask->options.is_off); i++) {
            int64_t n = at + (int64_t)i;
            out[i] = n < 0 ? 0 : mask->detector.history[(uint64_t)n & (DTMF_HISTORY - 1)];
        }
    }
}

/* count samples from time `at` leave. */
static void leave(struct mask *mask, int64_t at, int16_t *out, size_t count)
{
    mask->run_count = 0;
    bool is_plain = mask->voice >= 1 && at >= 0 &&
                    (!mask->span_count || mask->spans[0].from - FADE >= at + (int64_t)count);
    if (!is_plain) {
        leave_replaced(mask, at, out, count);
        return;
    }
    size_t first = (size_t)((uint64_t)at & (DTMF_HISTORY - 1));
    size_t run = count < DTMF_HISTORY - first ? count : DTMF_HISTORY - first;
    memcpy(out, &mask->detector.history[first], run * sizeof(*out));
    memcpy(out + run, mask->detector.history, (count - run) * sizeof(*out));
}

static void finish(struct mask *mask, const struct dtmf_heard *own, const struct dtmf_heard *deciding,
                   int16_t *out, size_t count, struct dtmf_edge *edges, size_t *edge_count)
{
    heard_apply(mask, own, deciding, count);
    learn(mask);
    leave(mask, first_to_leave(mask), out, count);
    mask->counts.samples += count;
    memcpy(edges, deciding->edges, deciding->edge_count * sizeof(*edges));
    *edge_count = deciding->edge_count;
}

enum err mask_process(struct mask *mask, const int16_t *in, int16_t *out, size_t count,
                      struct dtmf_edge *edges, size_t *edge_count)
{
    struct dtmf_heard own;
    struct dtmf_heard other;
    *edge_count = 0;
    if (dtmf_detector_feed(&mask->detector, in, count, &own))
        return ERR_RANGE;
    bool is_reference = mask->options.engine == MASK_ENGINE_SPANDSP;
    if (is_reference && spandsp_detector_feed(reference_of(mask), in, count, &other))
        return ERR_RANGE;
    finish(mask, &own, is_reference ? &other : &own, out, count, edges, edge_count);
    return OK;
}

/* Asks for the lines that the next frame touches, if the first ones are there: where the ring stands is in them. */
static void prefetch(const struct mask_frame *frame)
{
    const struct mask *mask = frame->mask;
    const char *state = (const char *)&mask->options;
    const int16_t *history = mask->detector.history;
    dtmf_detector_prefetch(&mask->detector, frame->count);
    for (size_t line = 0; line < sizeof(*mask) - offsetof(struct mask, options); line += 64)
        __builtin_prefetch(state + line, 1);
    uint64_t leaving = mask->detector.fed - mask->options.lookahead_samples;
    for (size_t i = 0; i < frame->count; i += 64 / sizeof(int16_t))
        __builtin_prefetch(&history[(leaving + i) & (DTMF_HISTORY - 1)], 0);
}

static void prefetch_first(const struct mask_frame *frame)
{
    __builtin_prefetch(&frame->mask->detector, 1);
    __builtin_prefetch(&frame->mask->options, 1);
}

void mask_process_batch(struct mask_frame *frames, size_t frame_count)
{
    for (size_t i = 0; i < frame_count && i < PREFETCH_FIRST; i++)
        prefetch_first(&frames[i]);
    for (size_t i = 0; i < frame_count; i++) {
        struct mask_frame *frame = &frames[i];
        if (i + PREFETCH_FIRST < frame_count)
            prefetch_first(&frames[i + PREFETCH_FIRST]);
        if (i + PREFETCH_ALL < frame_count)
            prefetch(&frames[i + PREFETCH_ALL]);
        enum err err =
            mask_process(frame->mask, frame->in, frame->out, frame->count, frame->edges, &frame->edge_count);
        ASSERT(!err);
    }
}

enum err mask_gap(struct mask *mask, int16_t *out, size_t count, struct dtmf_edge *edges, size_t *edge_count)
{
    struct dtmf_heard own;
    struct dtmf_heard other;
    *edge_count = 0;
    if (dtmf_detector_gap(&mask->detector, count, &own))
        return ERR_RANGE;
    bool is_reference = mask->options.engine == MASK_ENGINE_SPANDSP;
    if (is_reference && spandsp_detector_gap(reference_of(mask), count, &other))
        return ERR_RANGE;
    int64_t fed = (int64_t)mask->detector.fed;
    span_add(mask, fed - (int64_t)count - GAP_BESIDE, fed + GAP_BESIDE);
    finish(mask, &own, is_reference ? &other : &own, out, count, edges, edge_count);
    return OK;
}

void mask_force(struct mask *mask, bool is_on)
{
    mask->is_forced = is_on;
}

void mask_set_keying(struct mask *mask, bool is_keying)
{
    mask->is_keying = is_keying;
    dtmf_detector_set_strict(&mask->detector, is_keying);
}

size_t mask_replaced(const struct mask *mask, struct mask_run runs[MASK_RUNS_MAX])
{
    memcpy(runs, mask->runs, mask->run_count * sizeof(*runs));
    return mask->run_count;
}

void mask_counts(const struct mask *mask, struct mask_counts *counts)
{
    *counts = mask->counts;
}

void mask_on_span(struct mask *mask, mask_span_h *span_h, void *owner)
{
    mask->span_h = span_h;
    mask->span_owner = owner;
}

void mask_on_suspicion(struct mask *mask, mask_suspicion_h *suspicion_h, void *owner)
{
    mask->suspicion_h = suspicion_h;
    mask->suspicion_owner = owner;
}

void mask_wipe(struct mask *mask)
{
    wipe(mask, mask_size());
    wipe_stack(); /* what was heard of the last frames, and the keys in it */
}
