#include "testvectors/vector_scene.h"

#include "dsp/dtmf_detector.h"
#include "testvectors/codec_trip.h"
#include "testvectors/impairment.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PER_MS        8
#define LEAD_MS       200
#define TAIL_MS       200
#define KEY_COUNT_MAX 10000
#define STEPS_MAX     5
#define SPEECH_PIECE  (8 * 1000) /* a second of it is levelled at once */
#define NOISE_DBM0    (-65)      /* of a quiet line */

const char *const vector_expects_names[] = {"all", "none", "most", "some"};

enum step {
    STEP_END,
    STEP_ULAW,
    STEP_ALAW,
    STEP_GSM,
    STEP_G726,
    STEP_OPUS_12,
    STEP_OPUS_24,
    STEP_NEAR_ECHO,
    STEP_FAR_ECHO,
    STEP_CLIP,
    STEP_GAIN,
    STEP_SUPPRESS,
    STEP_LOSS_SILENCE,
    STEP_LOSS_REPEAT,
};

/* What a scene's keys are like, at the same place as in vector_scenes[]. Nothing said of level, twist, detune, on or off: as
 * usual. */
struct recipe {
    float level_min_dbm0, level_max_dbm0;
    float twist_min_db, twist_max_db;
    float detune; /* of both tones, either way */
    float snr_db; /* 0: a quiet line */
    unsigned on_min_ms, on_max_ms, off_min_ms, off_max_ms;
    unsigned break_ms;
    bool has_dial_tone;
    bool is_one_tone; /* the high one is left out */
    bool has_no_keys;
    enum step steps[STEPS_MAX];
};

static const struct recipe usual = {
    .level_min_dbm0 = -20,
    .level_max_dbm0 = -6,
    .twist_min_db = -2,
    .twist_max_db = 4,
    .detune = 0.005F,
    .on_min_ms = 60,
    .on_max_ms = 100,
    .off_min_ms = 60,
    .off_max_ms = 400,
};

const struct vector_scene vector_scenes[] = {
    {"clean_ulaw", "quiet line, u-law", VECTOR_ALL, false, TONE_LINE_ULAW},
    {"clean_alaw", "quiet line, A-law", VECTOR_ALL, false, TONE_LINE_ALAW},
    {"short", "40 ms with pauses of 40", VECTOR_ALL, false, TONE_LINE_ULAW},
    {"noise_15db", "white noise 15 dB below both tones", VECTOR_ALL, false, TONE_LINE_ULAW},
    {"twist_8db", "low tone 8 dB over the high one", VECTOR_ALL, false, TONE_LINE_ULAW},
    {"twist_minus_8db", "high tone 8 dB over the low one", VECTOR_ALL, false, TONE_LINE_ULAW},
    {"detuned", "both tones up to 1.5 % off", VECTOR_ALL, false, TONE_LINE_ULAW},
    {"faint", "-28 to -24 dBm0", VECTOR_ALL, false, TONE_LINE_ULAW},
    {"broken", "a break of 8 ms in every key", VECTOR_ALL, false, TONE_LINE_ULAW},
    {"dial_tone", "350 and 440 Hz 15 dB below the keys", VECTOR_ALL, false, TONE_LINE_ULAW},
    {"speech", "speech 15 dB below the keys", VECTOR_ALL, true, TONE_LINE_ULAW},
    {"near_echo", "echo after 20 ms, 10 dB down", VECTOR_ALL, false, TONE_LINE_ULAW},
    {"far_echo", "echoes after 60 and 130 ms, 20 and 26 dB down", VECTOR_SOME, false, TONE_LINE_ULAW},
    {"clipped", "held at 0.6 of the peak", VECTOR_ALL, false, TONE_LINE_ULAW},
    {"gain_control", "gain control up to 18 dB", VECTOR_ALL, false, TONE_LINE_ULAW},
    {"silence_suppressed", "quiet frames are digital silence", VECTOR_ALL, false, TONE_LINE_ULAW},
    {"loss_silence", "5 % of packets lost, silence in their place", VECTOR_MOST, false, TONE_LINE_ULAW},
    {"loss_repeated", "5 % of packets lost, the one before repeated", VECTOR_MOST, false, TONE_LINE_ULAW},
    {"gsm", "GSM 06.10", VECTOR_MOST, false, TONE_LINE_ULAW},
    {"g726", "G.726 at 32 kbit/s", VECTOR_ALL, false, TONE_LINE_ULAW},
    {"opus_12", "Opus at 12 kbit/s", VECTOR_MOST, false, TONE_LINE_ULAW},
    {"opus_24", "Opus at 24 kbit/s", VECTOR_ALL, false, TONE_LINE_ULAW},
    {"transcoded", "u-law, G.726, Opus at 24 kbit/s, A-law, u-law", VECTOR_MOST, false, TONE_LINE_ULAW},
    {"no_keys_too_short", "both tones for 15 to 20 ms", VECTOR_NONE, false, TONE_LINE_ULAW},
    {"no_keys_too_far_off", "both tones 3.5 to 5 % off", VECTOR_NONE, false, TONE_LINE_ULAW},
    {"no_keys_one_tone", "the low tone alone", VECTOR_NONE, false, TONE_LINE_ULAW},
    {"no_keys_noise", "white noise", VECTOR_NONE, false, TONE_LINE_ULAW},
    {"no_keys_speech", "speech", VECTOR_NONE, true, TONE_LINE_ULAW},
};
const size_t vector_scene_count = sizeof vector_scenes / sizeof vector_scenes[0];

static const struct recipe recipes[] = {
    {.snr_db = 0},
    {.snr_db = 0},
    {.on_min_ms = 40, .on_max_ms = 40, .off_min_ms = 40, .off_max_ms = 40},
    {.snr_db = 15},
    {.twist_min_db = 8, .twist_max_db = 8},
    {.twist_min_db = -8, .twist_max_db = -8},
    {.detune = 0.015F},
    {.level_min_dbm0 = -28, .level_max_dbm0 = -24},
    {.break_ms = 8, .on_min_ms = 80, .on_max_ms = 100},
    {.has_dial_tone = true},
    {.snr_db = 0},
    {.steps = {STEP_ULAW, STEP_NEAR_ECHO}},
    {.steps = {STEP_ULAW, STEP_FAR_ECHO}},
    {.steps = {STEP_CLIP}},
    {.steps = {STEP_GAIN}},
    {.steps = {STEP_SUPPRESS}},
    {.steps = {STEP_LOSS_SILENCE}, .on_min_ms = 80, .on_max_ms = 140},
    {.steps = {STEP_LOSS_REPEAT}, .on_min_ms = 80, .on_max_ms = 140},
    {.steps = {STEP_GSM}},
    {.steps = {STEP_G726}},
    {.steps = {STEP_OPUS_12}},
    {.steps = {STEP_OPUS_24}},
    {.steps = {STEP_ULAW, STEP_G726, STEP_OPUS_24, STEP_ALAW}},
    {.on_min_ms = 15, .on_max_ms = 20},
    {.detune = 0.05F},
    {.is_one_tone = true},
    {.snr_db = 20, .has_no_keys = true},
    {.has_no_keys = true},
};
_Static_assert(sizeof recipes / sizeof recipes[0] == sizeof vector_scenes / sizeof vector_scenes[0],
               "every scene has its recipe");

static struct recipe recipe_of(const struct vector_scene *scene)
{
    struct recipe recipe = recipes[scene - vector_scenes];
    if (recipe.level_max_dbm0 == 0) {
        recipe.level_min_dbm0 = usual.level_min_dbm0;
        recipe.level_max_dbm0 = usual.level_max_dbm0;
    }
    if (recipe.twist_max_db == 0) {
        recipe.twist_min_db = usual.twist_min_db;
        recipe.twist_max_db = usual.twist_max_db;
    }
    if (recipe.detune == 0)
        recipe.detune = usual.detune;
    if (recipe.on_max_ms == 0) {
        recipe.on_min_ms = usual.on_min_ms;
        recipe.on_max_ms = usual.on_max_ms;
    }
    if (recipe.off_max_ms == 0) {
        recipe.off_min_ms = usual.off_min_ms;
        recipe.off_max_ms = usual.off_max_ms;
    }
    return recipe;
}

void vector_release(struct vector *vector)
{
    free(vector->samples);
    free(vector->labels);
    memset(vector, 0, sizeof *vector);
}

/* ------------------------------------------------------------------ keys */

static size_t between_ms(struct tone_random *random, unsigned from, unsigned to)
{
    return (size_t)(tone_random_uniform(random, from, to) * PER_MS + 0.5);
}

/* Off tune either way: up to detune where keys are to be heard, 0.7 of it or more where not. */
static float off_tune(struct tone_random *random, const struct vector_scene *scene,
                      const struct recipe *recipe)
{
    double least = scene->expects == VECTOR_NONE ? 0.7 * recipe->detune : 0;
    double share = tone_random_uniform(random, least, recipe->detune);
    return (float)(tone_random_below(random, 2) ? share : -share);
}

static void take_out(float *x, size_t from, size_t length, size_t count)
{
    if (count < length)
        memset(x + from + (length - count) / 2, 0, count * sizeof *x);
}

/* One key after the other; samples and labels have room for all of them. */
static size_t press_keys(struct vector *out, float *x, const struct vector_scene *scene,
                         const struct recipe *recipe, size_t key_count, struct tone_random *random)
{
    size_t at = LEAD_MS * PER_MS;
    for (size_t k = 0; k < key_count; k++) {
        float level = (float)tone_random_uniform(random, recipe->level_min_dbm0, recipe->level_max_dbm0);
        float twist = (float)tone_random_uniform(random, recipe->twist_min_db, recipe->twist_max_db);
        struct tone_press press = tone_source_random_press(random, level, twist, 0);
        press.detune_low = off_tune(random, scene, recipe);
        press.detune_high = off_tune(random, scene, recipe);
        if (recipe->is_one_tone)
            press.level_high_dbm0 = -200;
        size_t length = between_ms(random, recipe->on_min_ms, recipe->on_max_ms);
        tone_source_press(x, at, length, &press);
        take_out(x, at, length, (size_t)recipe->break_ms * PER_MS);
        if (scene->expects != VECTOR_NONE)
            out->labels[out->label_count++] = (struct vector_label){press.key, at, at + length};
        at += length + between_ms(random, recipe->off_min_ms, recipe->off_max_ms);
    }
    return at + TAIL_MS * PER_MS;
}

/* ------------------------------------------------------------------ what is under them */

static void add_speech(float *x, size_t count, const struct speech *speech, struct tone_random *random,
                       float level_dbm0)
{
    for (size_t at = 0; at < count; at += SPEECH_PIECE) {
        size_t here = count - at < SPEECH_PIECE ? count - at : SPEECH_PIECE;
        if (speech->count <= here)
            return;
        size_t from = tone_random_below(random, (unsigned)(speech->count - here));
        tone_source_speech(x + at, speech->samples + from, here, level_dbm0);
    }
}

static void add_background(float *x, size_t count, const struct vector_scene *scene,
                           const struct recipe *recipe, const struct speech *speech,
                           struct tone_random *random)
{
    float middle = (recipe->level_min_dbm0 + recipe->level_max_dbm0) / 2;
    float noise = recipe->snr_db > 0 ? recipe->level_min_dbm0 - recipe->snr_db : NOISE_DBM0;
    if (!recipe->has_no_keys || recipe->snr_db > 0)
        tone_source_noise(random, x, count, recipe->has_no_keys ? middle : noise);
    if (scene->is_over_speech && speech != NULL)
        add_speech(x, count, speech, random, recipe->has_no_keys ? middle : recipe->level_min_dbm0 - 15);
    double amplitude = dtmf_amplitude_of_dbm0(recipe->level_min_dbm0 - 15);
    for (size_t i = 0; recipe->has_dial_tone && i < count; i++) {
        double at = 2 * M_PI * (double)i / DTMF_SAMPLE_RATE;
        x[i] += (float)(amplitude * (sin(350 * at) + sin(440 * at)));
    }
}

/* ------------------------------------------------------------------ the way */

static enum err through_codec(enum step step, int16_t *pcm, size_t count)
{
    switch (step) {
    case STEP_GSM:
        return codec_trip_gsm(pcm, count);
    case STEP_G726:
        return codec_trip_g726(pcm, count);
    case STEP_OPUS_12:
        return codec_trip_opus(pcm, count, 12000);
    case STEP_OPUS_24:
        return codec_trip_opus(pcm, count, 24000);
    default:
        return ERR_RANGE;
    }
}

static enum err take_codec(enum step step, float *x, int16_t *pcm, size_t count)
{
    enum tone_line line = step == STEP_ULAW   ? TONE_LINE_ULAW
                          : step == STEP_ALAW ? TONE_LINE_ALAW
                                              : TONE_LINE_CLEAN;
    tone_source_finish(x, pcm, count, line);
    enum err err = line == TONE_LINE_CLEAN ? through_codec(step, pcm, count) : OK;
    for (size_t i = 0; i < count; i++)
        x[i] = pcm[i];
    return err;
}

static enum err take_step(enum step step, float *x, int16_t *pcm, size_t count, struct tone_random *random)
{
    switch (step) {
    case STEP_NEAR_ECHO:
        impairment_near_echo(x, count);
        return OK;
    case STEP_FAR_ECHO:
        impairment_far_echo(x, count);
        return OK;
    case STEP_CLIP:
        impairment_clip(x, count);
        return OK;
    case STEP_GAIN:
        impairment_gain_control(x, count);
        return OK;
    case STEP_SUPPRESS:
        impairment_silence_suppression(x, count);
        return OK;
    case STEP_LOSS_SILENCE:
        impairment_loss(x, count, random, 0.05, IMPAIRMENT_SILENCE);
        return OK;
    case STEP_LOSS_REPEAT:
        impairment_loss(x, count, random, 0.05, IMPAIRMENT_REPEAT);
        return OK;
    default:
        return take_codec(step, x, pcm, count);
    }
}

static enum err make(struct vector *out, float *x, const struct vector_scene *scene,
                     const struct recipe *recipe, const struct speech *speech, size_t key_count,
                     struct tone_random *random)
{
    enum err err = OK;
    out->count = press_keys(out, x, scene, recipe, key_count, random);
    if (recipe->has_no_keys)
        memset(x, 0, out->count * sizeof *x);
    add_background(x, out->count, scene, recipe, speech, random);
    for (size_t s = 0; s < STEPS_MAX && recipe->steps[s] != STEP_END && err == OK; s++)
        err = take_step(recipe->steps[s], x, out->samples, out->count, random);
    tone_source_finish(x, out->samples, out->count, scene->line);
    return err;
}

enum err vector_make(struct vector *out, const struct vector_scene *scene, const struct speech *speech,
                     size_t key_count, uint64_t seed)
{
    struct recipe recipe = recipe_of(scene);
    struct tone_random random;
    memset(out, 0, sizeof *out);
    if (key_count < 1 || key_count > KEY_COUNT_MAX)
        return ERR_RANGE;
    size_t room =
        (LEAD_MS + TAIL_MS + key_count * (recipe.on_max_ms + recipe.off_max_ms + 2)) * (size_t)PER_MS;
    float *x = calloc(room, sizeof *x);
    out->samples = calloc(room, sizeof *out->samples);
    out->labels = calloc(key_count, sizeof *out->labels);
    tone_random_seed(&random, seed * 1000 + (uint64_t)(scene - vector_scenes));
    enum err err = x && out->samples && out->labels ? OK : ERR_MEMORY;
    if (err == OK)
        err = make(out, x, scene, &recipe, speech, key_count, &random);
    free(x);
    if (err)
        vector_release(out);
    return err;
}
