#include "bench/phones/voice.h"

#include "bench/leak/attacker.h"
#include "bench/leak/audio_file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define RATE         8000.0
#define PER_MS       8
#define FULL_SCALE   32768.0
#define PEAK_DBM0    3.14
#define ACTIVE_LEAST 300.0 /* samples below are pauses when the active level is measured */
#define FADE         16    /* the talker is cut off and let in within 2 ms */

struct voice {
    struct voice_options options;
    float *speech;
    size_t speech_count;
    size_t speech_at;
    uint8_t waiting[VOICE_KEYS_MAX];
    size_t waiting_from;
    size_t waiting_count;
    struct voice_key keys[VOICE_KEYS_MAX];
    size_t key_count;
    uint64_t position;
    uint64_t on_left;  /* samples of the key that is down */
    uint64_t off_left; /* of the pause after it */
    double phase[2];
    double step[2];
    double gate; /* 0 the talker is muted, 1 he is heard */
    uint32_t noise;
};

static double amplitude(double dbm0)
{
    return FULL_SCALE * pow(10, (dbm0 - PEAK_DBM0) / 20);
}

enum err voice_new(struct voice **out, const struct voice_options *options)
{
    *out = NULL;
    if (options->on_ms < 1 || options->on_ms > 2000 || options->off_ms < 1 || options->off_ms > 5000)
        return ERR_RANGE;
    struct voice *voice = calloc(1, sizeof *voice);
    if (voice == NULL)
        return ERR_MEMORY;
    voice->options = *options;
    voice->noise = options->seed * 2654435761U | 1;
    voice->gate = 1;
    *out = voice;
    return OK;
}

void voice_free(struct voice *voice)
{
    if (voice == NULL)
        return;
    free(voice->speech);
    memset(voice, 0, sizeof *voice);
    free(voice);
}

/* Factor that brings a recording's active parts to the wanted level. */
static double level_factor(const float *samples, size_t count, double wanted_dbm0)
{
    double energy = 0;
    size_t active = 0;
    for (size_t i = 0; i < count; i++)
        if (fabsf(samples[i]) > ACTIVE_LEAST) {
            energy += (double)samples[i] * samples[i];
            active++;
        }
    if (active == 0 || wanted_dbm0 <= VOICE_DBM0_NONE)
        return 1;
    return amplitude(wanted_dbm0) / sqrt(2) / sqrt(energy / (double)active);
}

enum err voice_say(struct voice *voice, const char *path, char *reason)
{
    struct audio *audio;
    enum err err = audio_read(&audio, path, reason);
    if (err != OK)
        return err;
    size_t pause = (size_t)RATE / 4;
    size_t count = voice->speech_count + audio->sample_count + pause;
    float *longer = realloc(voice->speech, count * sizeof *longer);
    if (longer == NULL) {
        audio_free(audio);
        return ERR_MEMORY;
    }
    double factor = level_factor(audio->channel[0], audio->sample_count, voice->options.speech_dbm0);
    for (size_t i = 0; i < audio->sample_count; i++)
        longer[voice->speech_count + i] = (float)(audio->channel[0][i] * factor);
    memset(longer + voice->speech_count + audio->sample_count, 0, pause * sizeof *longer);
    voice->speech = longer;
    voice->speech_count = count;
    audio_free(audio);
    return OK;
}

enum err voice_press(struct voice *voice, uint8_t key)
{
    if (key > 15)
        return ERR_RANGE;
    if (voice->key_count + voice->waiting_count >= VOICE_KEYS_MAX)
        return ERR_FULL;
    voice->waiting[(voice->waiting_from + voice->waiting_count++) % VOICE_KEYS_MAX] = key;
    return OK;
}

static uint32_t random_next(struct voice *voice)
{
    voice->noise ^= voice->noise << 13;
    voice->noise ^= voice->noise >> 17;
    voice->noise ^= voice->noise << 5;
    return voice->noise;
}

static void press_next(struct voice *voice)
{
    uint8_t key = voice->waiting[voice->waiting_from];
    voice->waiting[voice->waiting_from] = 0;
    voice->waiting_from = (voice->waiting_from + 1) % VOICE_KEYS_MAX;
    voice->waiting_count--;
    double hz[2];
    attacker_key_tones(key, &hz[0], &hz[1]);
    for (int t = 0; t < 2; t++) {
        voice->phase[t] = (double)random_next(voice) / 4294967296.0;
        voice->step[t] = hz[t] / RATE;
    }
    voice->keys[voice->key_count++] = (struct voice_key){key, voice->position, 0};
    voice->on_left = (uint64_t)voice->options.on_ms * PER_MS;
    /* People and packets are not in step. */
    voice->off_left = (uint64_t)voice->options.off_ms * PER_MS + random_next(voice) % 80;
}

static double tone_sample(struct voice *voice)
{
    double half_twist = voice->options.twist_db / 2;
    double sum = amplitude(voice->options.level_dbm0 + half_twist) * sin(2 * M_PI * voice->phase[0]) +
                 amplitude(voice->options.level_dbm0 - half_twist) * sin(2 * M_PI * voice->phase[1]);
    for (int t = 0; t < 2; t++)
        voice->phase[t] = fmod(voice->phase[t] + voice->step[t], 1);
    return sum;
}

/* Sum of uniform values: near enough to Gaussian, variance 1. */
static double noise_sample(struct voice *voice)
{
    double sum = 0;
    for (int i = 0; i < 4; i++)
        sum += (double)random_next(voice) / 4294967296.0 - 0.5;
    return sum * sqrt(3);
}

static double speech_sample(struct voice *voice)
{
    double gain = voice->gate;
    if (voice->on_left > 0 && voice->options.ways & VOICE_TONE &&
        voice->options.speech_under_db > VOICE_DBM0_NONE)
        gain = fmin(1, amplitude(voice->options.level_dbm0 - voice->options.speech_under_db) /
                           amplitude(voice->options.speech_dbm0 > VOICE_DBM0_NONE ? voice->options.speech_dbm0
                                                                                  : -18));
    if (voice->speech_count == 0)
        return 0;
    double sample = voice->speech[voice->speech_at] * gain;
    voice->speech_at = (voice->speech_at + 1) % voice->speech_count;
    return sample;
}

static void step_keys(struct voice *voice)
{
    if (voice->on_left > 0) {
        if (--voice->on_left == 0)
            voice->keys[voice->key_count - 1].end = voice->position + 1;
    } else if (voice->off_left > 0) {
        voice->off_left--;
    }
}

static int16_t next_sample(struct voice *voice)
{
    if (voice->on_left == 0 && voice->off_left == 0 && voice->waiting_count > 0)
        press_next(voice);
    bool is_tone = voice->on_left > 0 && voice->options.ways & VOICE_TONE;
    double wanted = is_tone ? 0 : 1;
    voice->gate += fmax(-1.0 / FADE, fmin(1.0 / FADE, wanted - voice->gate));
    if (is_tone)
        voice->gate = 0;
    double sample = speech_sample(voice);
    if (is_tone)
        sample += tone_sample(voice);
    if (voice->options.background_dbm0 > VOICE_DBM0_NONE)
        sample += amplitude(voice->options.background_dbm0) / sqrt(2) * noise_sample(voice);
    step_keys(voice);
    voice->position++;
    return (int16_t)lround(fmax(-32768, fmin(32767, sample)));
}

void voice_frame(struct voice *voice, int16_t *out, size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] = next_sample(voice);
}

uint64_t voice_position(const struct voice *voice)
{
    return voice->position;
}

bool voice_is_idle(const struct voice *voice)
{
    return voice->on_left == 0 && voice->off_left == 0 && voice->waiting_count == 0;
}

const struct voice_key *voice_keys(const struct voice *voice, size_t *count)
{
    *count = voice->key_count;
    return voice->keys;
}
