#include "bench/corpus/corpus_listen.h"

#include "bench/leak/attacker.h"
#include "bench/recordings/rate_change.h"
#include "bench/recordings/sound_file.h"
#include "dsp/dtmf.h"
#include "dsp/mask.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PER_MS       8
#define FRAME        160
#define SECONDS_MAX  (4 * 3600)
#define BEFORE       (40 * PER_MS) /* a report so long before a label's onset may still be its */
#define AFTER        (40 * PER_MS) /* and so long after its end */
#define AWAY         (100 * PER_MS)
#define TAIL         (500 * PER_MS)
#define ACTIVE_RMS   90.7 /* -45 dBm0 */
#define ACTIVE_PAD   10   /* frames */
#define START_FRAMES 5    /* a mask starts closed, which is not the speech's doing */
#define TONE_WINDOW  (10 * PER_MS)
#define TONE_SHARE   0.5  /* of a window's energy in the key's two tones: it is there */
#define TONE_RMS     40.0 /* about -52 dBm0 */

/* ------------------------------------------------------------------ reading */

void corpus_audio_free(struct corpus_audio *audio)
{
    free(audio->samples);
    memset(audio, 0, sizeof *audio);
}

struct reading {
    struct corpus_audio *audio;
    size_t room;
    struct rate_change *change; /* NULL at 8 kHz */
    float *narrow;
};

static enum err append(struct reading *reading, const float *samples, size_t count)
{
    struct corpus_audio *audio = reading->audio;
    if (audio->count + count > (size_t)SECONDS_MAX * DTMF_SAMPLE_RATE)
        return ERR_RANGE;
    if (audio->count + count > reading->room) {
        size_t room = 2 * (audio->count + count) + DTMF_SAMPLE_RATE;
        void *more = realloc(audio->samples, room * sizeof *audio->samples);
        if (more == NULL)
            return ERR_MEMORY;
        audio->samples = more;
        reading->room = room;
    }
    for (size_t i = 0; i < count; i++)
        audio->samples[audio->count++] = (int16_t)lrintf(fmaxf(-32768, fminf(32767, samples[i])));
    return OK;
}

/* count 0: the end. */
static enum err take_piece(struct reading *reading, const float *one, size_t count)
{
    if (reading->change == NULL)
        return append(reading, one, count);
    size_t narrow = count == 0 ? rate_change_end(reading->change, reading->narrow)
                               : rate_change_feed(reading->change, one, count, reading->narrow);
    return append(reading, reading->narrow, narrow);
}

static enum err read_all(struct reading *reading, struct sound_file *sound, unsigned channel, char *reason)
{
    size_t channels = sound_format(sound).channels;
    double *frames = calloc((size_t)SOUND_FRAMES_MAX * SOUND_CHANNELS_MAX, sizeof *frames);
    float *one = calloc(SOUND_FRAMES_MAX, sizeof *one);
    enum err err = frames == NULL || one == NULL ? ERR_MEMORY : OK;
    size_t got = 1;
    while (err == OK && got > 0) {
        err = sound_read(sound, frames, SOUND_FRAMES_MAX, &got, reason);
        for (size_t i = 0; err == OK && i < got; i++)
            one[i] = (float)frames[i * channels + channel - 1];
        if (err == OK)
            err = take_piece(reading, one, got);
    }
    free(frames);
    free(one);
    return err;
}

static enum err start_reading(struct reading *reading, struct sound_format format)
{
    if (format.rate == DTMF_SAMPLE_RATE)
        return OK;
    enum err err = rate_change_new(&reading->change, format.rate, DTMF_SAMPLE_RATE);
    if (err == OK)
        reading->narrow = calloc(rate_change_room(reading->change), sizeof *reading->narrow);
    return err == OK && reading->narrow == NULL ? ERR_MEMORY : err;
}

enum err corpus_audio_read(struct corpus_audio *audio, const char *path, unsigned channel, char *reason)
{
    struct reading reading = {.audio = audio};
    struct sound_file *sound;
    memset(audio, 0, sizeof *audio);
    enum err err = sound_open(&sound, path, sound_raw_of_name(path), reason);
    if (err)
        return err;
    reason[0] = '\0';
    if (channel > sound_format(sound).channels) {
        snprintf(reason, SOUND_REASON_BYTES, "%.400s: has no channel %u", path, channel);
        err = ERR_RANGE;
    }
    if (err == OK)
        err = start_reading(&reading, sound_format(sound));
    if (err == OK)
        err = read_all(&reading, sound, channel, reason);
    if (err != OK && reason[0] == '\0')
        snprintf(reason, SOUND_REASON_BYTES, "%.400s: %s", path,
                 err == ERR_RANGE ? "is longer than 4 hours" : err_str(err));
    (void)sound_close(sound);
    rate_change_free(reading.change);
    free(reading.narrow);
    if (err)
        corpus_audio_free(audio);
    return err;
}

/* ------------------------------------------------------------------ one pass of the mask */

struct hearing {
    struct corpus_result *result;
    const struct corpus_audio *audio;
    const struct key_labels *labels;
    uint8_t *is_speech; /* of each frame: active, and away from keys */
    bool *is_masked;    /* of each sample */
    bool *reports;      /* of each label: there was one */
    const volatile sig_atomic_t *stop;
    struct corpus_masked *masked;
};

static bool is_speech_at(const struct hearing *hearing, uint64_t sample)
{
    return sample / FRAME < hearing->audio->count / FRAME && hearing->is_speech[sample / FRAME];
}

static void note_span(void *owner, uint64_t from, uint64_t to)
{
    struct hearing *hearing = owner;
    uint64_t end = to < hearing->audio->count ? to : hearing->audio->count;
    if (from < end)
        memset(hearing->is_masked + from, true, (size_t)(end - from) * sizeof *hearing->is_masked);
    hearing->masked->spans += is_speech_at(hearing, from);
}

/* The label a report belongs to, or the count of labels. */
static size_t label_of(const struct key_labels *labels, uint64_t onset)
{
    size_t best = labels->count;
    uint64_t nearest = UINT64_MAX;
    for (size_t k = 0; k < labels->count; k++) {
        const struct key_label *label = &labels->labels[k];
        if (label->onset > onset + BEFORE)
            break;
        if (onset > label->end + AFTER)
            continue;
        uint64_t apart = onset > label->onset ? onset - label->onset : label->onset - onset;
        if (apart < nearest) {
            nearest = apart;
            best = k;
        }
    }
    return best;
}

struct down {
    bool is_down;
    bool is_hit;
    uint64_t onset;
    struct corpus_report_point point;
};

/* Counts a report whose end is known, or the recording's. */
static enum err settle(struct corpus_heard *heard, struct down *down, uint64_t end)
{
    if (!down->is_down)
        return OK;
    down->is_down = false;
    down->point.length_ms = end > down->onset ? (float)(end - down->onset) / PER_MS : 0;
    return corpus_points_add(down->is_hit ? &heard->hits : &heard->mistaken, down->point);
}

static void begin(struct hearing *hearing, struct corpus_heard *heard, const struct dtmf_edge *edge,
                  struct down *down)
{
    size_t which = label_of(hearing->labels, edge->onset_sample);
    *down = (struct down){
        .is_down = true,
        .onset = edge->onset_sample,
        .point = {.level_dbm0 = fminf(edge->level_low_dbm0, edge->level_high_dbm0)},
    };
    if (which == hearing->labels->count) {
        heard->false_digits++;
        return;
    }
    const struct key_label *label = &hearing->labels->labels[which];
    if (hearing->reports[which]) {
        heard->doubled++;
        down->is_down = false;
        return;
    }
    hearing->reports[which] = true;
    down->is_hit = edge->key == label->key;
    heard->wrong += !down->is_hit;
    down->point.latency_ms = ((float)edge->reported_sample - (float)label->onset) / PER_MS;
}

static enum err note_edges(struct hearing *hearing, struct corpus_heard *heard, const struct dtmf_edge *edges,
                           size_t count, struct down *down)
{
    enum err err = OK;
    for (size_t i = 0; i < count && err == OK; i++) {
        err = settle(heard, down, edges[i].onset_sample);
        if (edges[i].kind == DTMF_EDGE_ON)
            begin(hearing, heard, &edges[i], down);
    }
    return err;
}

/* The whole recording, and silence until every span has ended. heard NULL: only the mask counts. */
static enum err feed(struct hearing *hearing, struct mask *mask, size_t lookahead, struct corpus_heard *heard)
{
    const struct corpus_audio *audio = hearing->audio;
    struct down down = {0};
    enum err err = OK;
    for (size_t at = 0; at < audio->count + lookahead + TAIL && err == OK; at += FRAME) {
        int16_t out[FRAME] = {0};
        struct dtmf_edge edges[DTMF_EDGE_MAX];
        size_t edge_count = 0;
        if (at < audio->count) {
            size_t left = audio->count - at;
            memcpy(out, audio->samples + at, (left < FRAME ? left : FRAME) * sizeof *out);
        }
        if (*hearing->stop)
            return ERR_ORDER;
        err = mask_process(mask, out, out, FRAME, edges, &edge_count);
        if (err == OK && heard != NULL)
            err = note_edges(hearing, heard, edges, edge_count, &down);
    }
    if (err == OK && heard != NULL)
        err = settle(heard, &down, audio->count);
    return err;
}

static enum err run_pass(struct hearing *hearing, struct mask_options options, bool is_strict,
                         struct corpus_masked *masked, struct corpus_heard *heard)
{
    struct mask *mask = aligned_alloc(MASK_ALIGN, (mask_size() + MASK_ALIGN - 1) / MASK_ALIGN * MASK_ALIGN);
    enum err err = mask == NULL ? ERR_MEMORY : mask_init(mask, &options);
    memset(hearing->is_masked, 0, hearing->audio->count * sizeof *hearing->is_masked);
    memset(hearing->reports, 0, hearing->labels->count * sizeof *hearing->reports);
    hearing->masked = masked;
    if (err == OK) {
        mask_on_span(mask, note_span, hearing);
        mask_set_keying(mask, is_strict);
        err = feed(hearing, mask, options.lookahead_samples, heard);
        mask_wipe(mask);
    }
    free(mask);
    return err;
}

/* ------------------------------------------------------------------ what the pass masked, and what not */

static double share_of_tone(const int16_t *samples, size_t count, const double hz[2])
{
    double energy = 0;
    double pair = 0;
    for (size_t i = 0; i < count; i++)
        energy += (double)samples[i] * samples[i];
    if (energy < TONE_RMS * TONE_RMS * (double)count)
        return 0;
    for (int t = 0; t < 2; t++) {
        double re = 0;
        double im = 0;
        for (size_t i = 0; i < count; i++) {
            double phase = 2 * M_PI * hz[t] * (double)i / DTMF_SAMPLE_RATE;
            re += samples[i] * cos(phase);
            im += samples[i] * sin(phase);
        }
        pair += (re * re + im * im) * 2 / (double)count;
    }
    return pair / energy;
}

static double leaked_ms(const struct hearing *hearing, const struct key_label *label)
{
    double hz[2];
    double leaked = 0;
    size_t end = label->end < hearing->audio->count ? label->end : hearing->audio->count;
    attacker_key_tones(label->key, &hz[0], &hz[1]);
    for (size_t at = label->onset; at + PER_MS <= end; at += PER_MS) {
        bool is_passed = false;
        for (size_t i = 0; i < PER_MS; i++)
            is_passed |= !hearing->is_masked[at + i];
        size_t from = at > label->onset + TONE_WINDOW / 2 ? at - TONE_WINDOW / 2 : label->onset;
        size_t to = from + TONE_WINDOW < end ? from + TONE_WINDOW : end;
        if (is_passed && share_of_tone(hearing->audio->samples + from, to - from, hz) > TONE_SHARE)
            leaked++;
    }
    return leaked;
}

static void judge_mask(const struct hearing *hearing, struct corpus_masked *masked)
{
    size_t count = hearing->audio->count / FRAME * FRAME;
    size_t speech = 0;
    for (size_t i = 0; i < count; i++)
        speech += hearing->is_masked[i] && hearing->is_speech[i / FRAME];
    masked->speech_masked_s = (double)speech / DTMF_SAMPLE_RATE;
    for (size_t k = 0; k < hearing->labels->count; k++) {
        double leaked = leaked_ms(hearing, &hearing->labels->labels[k]);
        masked->keys_leaked += leaked > 0;
        masked->leaked_ms += leaked;
    }
}

static void find_speech(struct hearing *hearing)
{
    const struct corpus_audio *audio = hearing->audio;
    size_t pad = 0;
    size_t active = 0;
    size_t key = 0;
    for (size_t f = 0; f < audio->count / FRAME; f++) {
        double energy = 0;
        size_t from = f * FRAME;
        for (size_t i = from; i < from + FRAME; i++)
            energy += (double)audio->samples[i] * audio->samples[i];
        if (energy > FRAME * ACTIVE_RMS * ACTIVE_RMS)
            pad = ACTIVE_PAD;
        else if (pad > 0)
            pad--;
        while (key < hearing->labels->count && hearing->labels->labels[key].end + AWAY < from)
            key++;
        bool is_key =
            key < hearing->labels->count && hearing->labels->labels[key].onset < from + FRAME + AWAY;
        hearing->is_speech[f] = f >= START_FRAMES && pad > 0 && !is_key;
        active += hearing->is_speech[f];
    }
    hearing->result->active_s = (double)active * FRAME / DTMF_SAMPLE_RATE;
}

static enum err run_passes(struct hearing *hearing)
{
    struct corpus_result *result = hearing->result;
    enum err err = OK;
    for (int pass = 0; pass < CORPUS_PASSES && err == OK; pass++) {
        struct mask_options options = {.lookahead_samples = corpus_lookaheads_ms[pass / 2] * PER_MS,
                                       .noise_seed = 1};
        err = run_pass(hearing, options, pass % 2 == 1, &result->masked[pass],
                       pass == CORPUS_USUAL_PASS ? &result->heard[CORPUS_OWN] : NULL);
        if (err == OK)
            judge_mask(hearing, &result->masked[pass]);
    }
    struct corpus_masked ignored = {0};
    struct mask_options reference = {.lookahead_samples =
                                         corpus_lookaheads_ms[CORPUS_USUAL_PASS / 2] * PER_MS,
                                     .engine = MASK_ENGINE_SPANDSP,
                                     .noise_seed = 1};
    if (err == OK)
        err = run_pass(hearing, reference, false, &ignored, &result->heard[CORPUS_SPANDSP]);
    for (int e = 0; e < CORPUS_ENGINES && err == OK; e++) {
        struct corpus_heard *heard = &result->heard[e];
        heard->missed = result->keys - (uint32_t)heard->hits.count - heard->wrong;
    }
    return err;
}

enum err corpus_listen(struct corpus_result *result, const struct corpus_audio *audio,
                       const struct key_labels *labels, const volatile sig_atomic_t *stop)
{
    static const struct key_labels none = {0};
    struct hearing hearing = {
        .result = result, .audio = audio, .labels = labels != NULL ? labels : &none, .stop = stop};
    hearing.is_speech = calloc(audio->count / FRAME + 1, sizeof *hearing.is_speech);
    hearing.is_masked = calloc(audio->count + 1, sizeof *hearing.is_masked);
    hearing.reports = calloc(hearing.labels->count + 1, sizeof *hearing.reports);
    result->has_labels = labels != NULL;
    result->keys = (uint32_t)hearing.labels->count;
    result->length_s = (double)audio->count / DTMF_SAMPLE_RATE;
    enum err err = hearing.is_speech && hearing.is_masked && hearing.reports ? OK : ERR_MEMORY;
    if (err == OK) {
        find_speech(&hearing);
        err = run_passes(&hearing);
    }
    free(hearing.is_speech);
    free(hearing.is_masked);
    free(hearing.reports);
    return err;
}
