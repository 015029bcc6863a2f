#include "bench/corpus/bench.h"
#include "bench/corpus/lessons_tally.h"

#include "dsp/cpu.h"
#include "dsp/dtmf_detector.h"
#include "dsp/suspicion.h"
#include "testvectors/speech.h"
#include "testvectors/suspicion_run.h"
#include "testvectors/tone_source.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STAGE     1600 /* samples of one press and its surroundings */
#define ONSET     640
#define FOLDERS   16
#define REPEATS   5   /* times that the speech is spoken: as it is, then by other voices, in noise */
#define SOUNDS    800 /* of half a second: what else comes over a line */
#define LINE_TONE 6
#define LOOKS     6

/* One row of what the network learns from. */
struct lesson {
    float is_key;
    float scene;    /* enum scene; of speech: which folder and voice */
    float distance; /* samples from the onset to the end of the look; of speech: the block */
    float feature[SUSPICION_FEATURES];
    float glance[SUSPICION_GLANCE];
};

/* What is there under and before the key. */
enum scene {
    SCENE_NOISE,
    SCENE_SPEECH,      /* 22 to 12 dB below the key */
    SCENE_LOUD_SPEECH, /* 12 to 3 dB below */
    SCENE_COLOURED_NOISE,
    SCENE_LINE_TONES, /* dial tone, ringing, hum */
    SCENE_ECHO,
    SCENE_KEY_BEFORE,
    SCENE_KEY_BEFORE_IN_SPEECH,
    SCENE_GAP,
    SCENE_SPEECH_BEFORE, /* up to 20 dB louder than the key, and over when it begins */
    SCENES
};

static const uint8_t scene_shares[SCENES] = {7, 44, 12, 4, 5, 4, 6, 5, 4, 9};

struct school {
    struct tone_random random;
    struct suspicion suspicion;
    struct speech speech[FOLDERS];
    size_t speech_count;
    FILE *file;
    size_t rows;
    size_t unasked; /* looks at keys that the gate would not let through */
    struct lessons_tallies tallies;
};

static float between(struct school *school, double from, double to)
{
    return (float)tone_random_uniform(&school->random, from, to);
}

static bool write_lesson(struct school *school, float is_key, float scene, float distance,
                         const struct suspicion_view *view)
{
    struct lesson lesson = {.is_key = is_key, .scene = scene, .distance = distance};
    memcpy(lesson.feature, view->feature, sizeof(lesson.feature));
    memcpy(lesson.glance, view->glance, sizeof(lesson.glance));
    school->rows++;
    return fwrite(&lesson, sizeof(lesson), 1, school->file) == 1;
}

static enum scene draw_scene(struct school *school)
{
    unsigned left = tone_random_below(&school->random, 100);
    enum scene scene = SCENE_NOISE;
    while (scene + 1 < SCENES && left >= scene_shares[scene])
        left -= scene_shares[scene++];
    return scene;
}

static void add_speech(struct school *school, float *x, size_t heard_from, size_t heard_count,
                       float level_dbm0)
{
    const struct speech *speech =
        &school->speech[tone_random_below(&school->random, (unsigned)school->speech_count)];
    for (int attempt = 0; attempt < 200; attempt++) {
        size_t at = tone_random_below(&school->random, (unsigned)(speech->count - STAGE));
        double energy = 0;
        for (size_t i = 0; i < heard_count; i++) {
            double sample = speech->samples[at + heard_from + i];
            energy += sample * sample;
        }
        energy /= (double)heard_count;
        if (energy < 400.0 * 400.0)
            continue;
        double gain = dtmf_amplitude_of_dbm0(level_dbm0) / sqrt(2 * energy);
        for (size_t i = 0; i < STAGE; i++)
            x[i] += (float)(gain * speech->samples[at + i]);
        return;
    }
}

static void add_coloured_noise(struct school *school, float *x, float level_dbm0)
{
    float pole = between(school, 0.5, 0.95);
    float gain = dtmf_amplitude_of_dbm0(level_dbm0) * sqrtf((1 - pole * pole) / 2);
    float state = 0;
    for (size_t i = 0; i < STAGE; i++) {
        state = pole * state + gain * (float)tone_random_normal(&school->random);
        x[i] += state;
    }
}

static void add_line_tones(struct school *school, float *x, float level_dbm0)
{
    static const uint16_t pairs_hz[LINE_TONE][2] = {{350, 440}, {425, 425}, {440, 480},
                                                    {480, 620}, {50, 150},  {60, 180}};
    const uint16_t *hz = pairs_hz[tone_random_below(&school->random, LINE_TONE)];
    float amplitude = dtmf_amplitude_of_dbm0(level_dbm0 - 3);
    for (int k = 0; k < 2; k++) {
        double phase = between(school, 0, 2 * M_PI);
        for (size_t i = 0; i < STAGE; i++)
            x[i] += amplitude * (float)sin(2 * M_PI * hz[k] / DTMF_SAMPLE_RATE * (double)i + phase);
    }
}

static void add_key_before(struct school *school, float *x, size_t onset, float level_dbm0)
{
    size_t pause = (size_t)between(school, 120, 480);
    size_t length = onset - pause < 320 ? onset - pause : 320;
    struct tone_press press =
        tone_source_random_press(&school->random, level_dbm0, between(school, -8, 8), 0.018f);
    tone_source_press(x, onset - pause - length, length, &press);
}

/* Everything under and before the key but the noise that is always there. */
static void add_scene(struct school *school, enum scene scene, float *x, size_t onset, size_t length,
                      float power)
{
    size_t heard = length + (size_t)between(school, 400, 640);
    if (scene == SCENE_SPEECH)
        add_speech(school, x, onset, heard, power - between(school, 12, 22));
    if (scene == SCENE_LOUD_SPEECH)
        add_speech(school, x, onset, heard, power - between(school, 3, 12));
    if (scene == SCENE_KEY_BEFORE_IN_SPEECH)
        add_speech(school, x, onset, heard, power - between(school, 13, 20));
    if (scene == SCENE_COLOURED_NOISE)
        add_coloured_noise(school, x, power - between(school, 8, 20));
    if (scene == SCENE_LINE_TONES)
        add_line_tones(school, x, power - between(school, 5, 20));
    if (scene == SCENE_KEY_BEFORE || scene == SCENE_KEY_BEFORE_IN_SPEECH)
        add_key_before(school, x, onset, power - between(school, -12, 12));
    if (scene == SCENE_SPEECH_BEFORE) {
        size_t end = onset - tone_random_below(&school->random, 320);
        add_speech(school, x, 0, end, power - between(school, -20, 20));
        memset(x + end, 0, (STAGE - end) * sizeof(*x));
    }
}

static enum tone_line draw_line(struct school *school)
{
    unsigned which = tone_random_below(&school->random, 10);
    return which == 0 ? TONE_LINE_CLEAN : which == 1 ? TONE_LINE_ALAW : TONE_LINE_ULAW;
}

/* First block end at which no sample since the onset has left a look-ahead, frames of 1 ms being fed. */
static size_t last_chance(size_t onset, size_t lookahead)
{
    size_t fed = (onset + lookahead) / 8 * 8 + 8;
    return fed / TONE_BANK_BLOCK * TONE_BANK_BLOCK;
}

struct press_looks {
    struct school *school;
    enum scene scene;
    size_t known_from;
    const size_t *looks; /* LOOKS of them: samples */
};

static bool look_at_press(void *owner, const struct suspicion_stretch *stretch, size_t i, size_t block)
{
    const struct press_looks *press = owner;
    struct school *school = press->school;
    for (int k = 0; k < LOOKS; k++) {
        struct suspicion_view view = {0};
        size_t at = (block + 1) * TONE_BANK_BLOCK;
        if (press->looks[k] / TONE_BANK_BLOCK != block + 1)
            continue;
        bool is_seen = suspicion_view(&school->suspicion, stretch, i, &view) && stretch->is_asked[i];
        school->unasked += !is_seen;
        if (is_seen)
            lessons_tally_key(&school->tallies, &view, at - press->known_from);
        view.feature[0] = is_seen ? view.feature[0] : -1;
        if (!write_lesson(school, 1, (float)press->scene, (float)(at - press->known_from), &view))
            return false;
    }
    return true;
}

/* A press, looked at when it is about to leave look-aheads of 10, 13 and 20 ms, and three times later. */
static bool teach_press(struct school *school)
{
    float x[STAGE] = {0};
    float tone[STAGE] = {0};
    int16_t pcm[STAGE];
    enum scene scene = draw_scene(school);
    size_t onset = ONSET + tone_random_below(&school->random, TONE_BANK_BLOCK);
    size_t length = (size_t)between(school, 320, 520);
    struct tone_press press = tone_source_random_press(&school->random, between(school, -28, -2),
                                                       between(school, -9.3, 9.3), 0.0195f);
    if (tone_random_below(&school->random, 5) == 0)
        press.ramp_samples = tone_random_below(&school->random, 16);
    float power = tone_press_dbm0(&press);
    tone_source_press(tone, onset, length, &press);
    add_scene(school, scene, x, onset, length, power);
    size_t delay = scene == SCENE_ECHO ? (size_t)between(school, 8, 400) : 0;
    float echo = delay ? powf(10, between(school, -30, -8) / 20) : 0;
    for (size_t i = 0; i < STAGE; i++)
        x[i] += tone[i] + (i >= delay ? echo * tone[i - delay] : 0);
    float snr = tone_random_below(&school->random, 4) ? between(school, 14, 38) : between(school, 9.5, 15);
    tone_source_noise(&school->random, x, STAGE, power - snr);
    tone_source_finish(x, pcm, STAGE, draw_line(school));
    size_t known_from = onset;
    if (scene == SCENE_GAP) {
        known_from = onset + tone_random_below(&school->random, 160);
        memset(pcm, 0, known_from * sizeof(pcm[0]));
    }
    size_t looks[LOOKS] = {last_chance(known_from, 80), last_chance(known_from, 104),
                           last_chance(known_from, 160)};
    for (int i = 3; i < LOOKS; i++)
        looks[i] = (size_t)between(school, (double)known_from + 88, (double)onset + (double)length + 1);
    struct press_looks press_looks = {school, scene, known_from, looks};
    return suspicion_run(&school->suspicion, pcm, (onset + length) / TONE_BANK_BLOCK, look_at_press,
                         &press_looks);
}

/* The speech of one folder, spoken faster or slower, so by another voice, and sometimes in noise. */
static int16_t *another_voice(struct school *school, const struct speech *speech, int repeat, size_t *count)
{
    double rate = repeat == 0 ? 1 : repeat % 2 ? between(school, 0.8, 1.22) : between(school, 0.65, 0.8);
    *count = (size_t)((double)speech->count / rate) - 2;
    float *x = malloc(*count * sizeof(*x));
    int16_t *pcm = malloc(*count * sizeof(*pcm));
    for (size_t i = 0; x && pcm && i < *count; i++) {
        size_t at = (size_t)((double)i * rate);
        float part = (float)((double)i * rate - (double)at);
        x[i] = (1 - part) * speech->samples[at] + part * speech->samples[at + 1];
    }
    if (x && pcm) {
        if (repeat % 3 == 2)
            tone_source_noise(&school->random, x, *count, between(school, -50, -32));
        tone_source_finish(x, pcm, *count, repeat % 2 ? TONE_LINE_CLEAN : TONE_LINE_ULAW);
    } else {
        free(pcm);
        pcm = NULL;
    }
    free(x);
    return pcm;
}

struct no_key {
    struct school *school;
    int scene;
};

static bool look_at_no_key(void *owner, const struct suspicion_stretch *stretch, size_t i, size_t block)
{
    const struct no_key *no_key = owner;
    struct suspicion_view view = {0};
    if (!stretch->is_asked[i] || block <= SUSPICION_PAST ||
        !suspicion_view(&no_key->school->suspicion, stretch, i, &view))
        return true;
    lessons_tally_no_key(&no_key->school->tallies, &view);
    return write_lesson(no_key->school, 0, (float)no_key->scene, (float)block, &view);
}

/* What is no key, from a sample on. */
static bool teach_no_key(struct school *school, const int16_t *pcm, size_t from, size_t count, int scene)
{
    struct no_key no_key = {school, scene};
    return suspicion_run(&school->suspicion, pcm + from, (count - from) / TONE_BANK_BLOCK, look_at_no_key,
                         &no_key);
}

static bool teach_speech(struct school *school, size_t which, int repeat)
{
    size_t count;
    int16_t *pcm = another_voice(school, &school->speech[which], repeat, &count);
    bool is_written =
        pcm && teach_no_key(school, pcm, (size_t)repeat * 5, count, repeat * FOLDERS + (int)which);
    free(pcm);
    return is_written;
}

/* A tone or two that are no key's, a buzz, a saw of low frequency, steps and clicks. */
static float sound_at(unsigned kind, const float hz[2], size_t i)
{
    double t = (double)i / DTMF_SAMPLE_RATE;
    double saw = 2 * (hz[0] / 20 * t - floor(hz[0] / 20 * t)) - 1;
    if (kind == 0)
        return (float)sin(2 * M_PI * hz[0] * t);
    if (kind == 1)
        return 0.5f * (float)(sin(2 * M_PI * hz[0] * t) + sin(2 * M_PI * hz[1] * t));
    if (kind == 2)
        return (float)saw;
    if (kind == 3)
        return saw > 0 ? 1 : -1;
    if (kind == 4)
        return 0.8f + 0.2f * (float)saw;
    return i % (size_t)(hz[1] / 2) < 20 ? (float)sin(2 * M_PI * hz[0] * t) : 0;
}

/* No nearer than 3.5 % to a key's frequency: those are refused (ITU-T Q.24 §2). */
static float no_key_hz(struct school *school)
{
    for (;;) {
        float hz = between(school, 150, 2500);
        bool is_near = false;
        for (int tone = 0; tone < TONE_BANK_TONES; tone++)
            is_near |= fabsf(hz / tone_bank_hz[tone] - 1) < 0.035f;
        if (!is_near)
            return hz;
    }
}

static bool teach_sound(struct school *school, int which)
{
    float x[4000] = {0};
    int16_t pcm[4000];
    unsigned kind = tone_random_below(&school->random, 6);
    float hz[2] = {no_key_hz(school), no_key_hz(school)};
    float amplitude = dtmf_amplitude_of_dbm0(between(school, -30, 0));
    size_t from = tone_random_below(&school->random, 800);
    for (size_t i = from; i < 4000 - from; i++)
        x[i] = amplitude * sound_at(kind, hz, i);
    tone_source_noise(&school->random, x, 4000, between(school, -70, -40));
    tone_source_finish(x, pcm, 4000, TONE_LINE_ULAW);
    return teach_no_key(school, pcm, 0, 4000, 1000 + which);
}

/* Half of the folder that is spoken under presses when figures are taken is kept for them. */
static int load_speech(struct school *school, const struct bench_options *options)
{
    for (size_t i = 1; i < options->path_count && school->speech_count < FOLDERS; i++) {
        const char *path = options->paths[i];
        int half = strcmp(path, options->speech) == 0 ? 1 : 0;
        if (speech_load(&school->speech[school->speech_count], path, half, 0)) {
            fprintf(stderr, "tonegate-bench lessons: no WAV below %s\n", path);
            return 2;
        }
        school->speech_count++;
    }
    return 0;
}

int bench_lessons(const struct bench_options *options)
{
    struct school school = {0};
    suspicion_init(&school.suspicion, SUSPICION_IN_9_MS, dsp_cpu_flags());
    if (options->path_count < 2) {
        fprintf(stderr,
                "tonegate-bench lessons: name a file to write and at least one folder of WAV files\n");
        return 2;
    }
    int code = load_speech(&school, options);
    school.file = code ? NULL : fopen(options->paths[0], "wb");
    if (!school.file) {
        if (!code)
            fprintf(stderr, "tonegate-bench lessons: cannot write %s\n", options->paths[0]);
        code = 2;
    }
    tone_random_seed(&school.random, options->seed);
    bool is_written = code == 0;
    for (size_t i = 0; is_written && i < options->presses; i++)
        is_written = teach_press(&school);
    size_t key_rows = school.rows;
    for (int repeat = 0; is_written && repeat < REPEATS; repeat++) {
        for (size_t i = 0; is_written && i < school.speech_count; i++)
            is_written = teach_speech(&school, i, repeat);
    }
    for (int i = 0; is_written && i < SOUNDS; i++)
        is_written = teach_sound(&school, i);
    if (school.file && (fclose(school.file) || !is_written)) {
        fprintf(stderr, "tonegate-bench lessons: cannot write %s\n", options->paths[0]);
        code = 1;
    }
    double active = 0;
    for (size_t i = 0; i < school.speech_count; i++) {
        active += speech_active_seconds(&school.speech[i]);
        speech_free(&school.speech[i]);
    }
    if (code == 0) {
        printf("%zu looks at keys (%zu not asked for), %zu at %.0f s of active speech, %d times\n", key_rows,
               school.unasked, school.rows - key_rows, active, REPEATS);
        lessons_tally_print(&school.tallies);
    }
    return code;
}
