#include "testvectors/speech.h"

#include <fts.h>
#include <math.h>
#include <sndfile.h>
#include <stdlib.h>
#include <string.h>

#define RATE       8000
#define FRAME      160
#define ACTIVE_RMS 90.7 /* -45 dBm0 */
#define ACTIVE_PAD 10   /* frames */

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static enum err append(struct speech *speech, size_t *capacity, const int16_t *samples, size_t count)
{
    if (speech->count + count > *capacity) {
        size_t wanted = (speech->count + count) * 2;
        int16_t *grown = realloc(speech->samples, wanted * sizeof(*grown));
        if (!grown)
            return ERR_MEMORY;
        speech->samples = grown;
        *capacity = wanted;
    }
    memcpy(speech->samples + speech->count, samples, count * sizeof(*samples));
    speech->count += count;
    return OK;
}

/* Windowed-sinc interpolation, 32 zero crossings: slow and good. */
static int16_t *to_8k(const int16_t *in, size_t in_count, int rate, size_t *out_count)
{
    double ratio = (double)rate / RATE;
    double cut = (ratio > 1 ? 1 / ratio : 1) * 0.96;
    int half = (int)(16 / cut);
    *out_count = (size_t)((double)in_count / ratio);
    int16_t *out = malloc((*out_count + 1) * sizeof(*out));
    for (size_t i = 0; out && i < *out_count; i++) {
        double middle = (double)i * ratio;
        double sum = 0;
        for (long k = (long)middle - half; k <= (long)middle + half + 1; k++) {
            if (k < 0 || k >= (long)in_count)
                continue;
            double t = (double)k - middle;
            double sinc = fabs(t) < 1e-9 ? cut : sin(M_PI * cut * t) / (M_PI * t);
            double window = fabs(t) <= half ? 0.5 + 0.5 * cos(M_PI * t / half) : 0;
            sum += in[k] * sinc * window;
        }
        out[i] = (int16_t)lrint(fmax(-32768, fmin(32767, sum)));
    }
    return out;
}

static enum err add_file(struct speech *speech, size_t *capacity, const char *path)
{
    SF_INFO info = {0};
    SNDFILE *file = sf_open(path, SFM_READ, &info);
    if (!file)
        return OK; /* not audio: not ours to judge */
    enum err err = ERR_MEMORY;
    size_t frames = (size_t)info.frames;
    int16_t *all = malloc((frames * (size_t)info.channels + 1) * sizeof(*all));
    int16_t *resampled = NULL;
    if (!all)
        goto out;
    frames = (size_t)sf_readf_short(file, all, (sf_count_t)frames);
    for (size_t i = 0; i < frames; i++)
        all[i] = all[i * (size_t)info.channels];
    err = OK;
    if (info.samplerate != RATE) {
        resampled = to_8k(all, frames, info.samplerate, &frames);
        err = resampled ? OK : ERR_MEMORY;
    }
    if (!err)
        err = append(speech, capacity, resampled ? resampled : all, frames);
    speech->file_count++;
out:
    free(resampled);
    free(all);
    sf_close(file);
    return err;
}

enum err speech_load(struct speech *speech, const char *folder, int half, size_t seconds_max)
{
    memset(speech, 0, sizeof(*speech));
    size_t capacity = 0;
    size_t place = 0;
    enum err err = OK;
    char *path = strdup(folder);
    if (!path)
        return ERR_MEMORY;
    char *roots[] = {path, NULL};
    FTS *walk = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, by_name);
    FTSENT *entry;
    while (walk && !err && (entry = fts_read(walk))) {
        const char *dot = strrchr(entry->fts_name, '.');
        if (entry->fts_info != FTS_F || !dot || strcmp(dot, ".wav") != 0)
            continue;
        place++;
        if (half && (place + (size_t)half) % 2 != 0)
            continue;
        if (seconds_max && speech->count >= seconds_max * RATE)
            break;
        err = add_file(speech, &capacity, entry->fts_path);
    }
    if (walk)
        fts_close(walk);
    free(path);
    if (!err && speech->count == 0)
        err = ERR_NOT_FOUND;
    if (err)
        speech_free(speech);
    return err;
}

void speech_free(struct speech *speech)
{
    free(speech->samples);
    memset(speech, 0, sizeof(*speech));
}

double speech_active_seconds(const struct speech *speech)
{
    size_t frame_count = speech->count / FRAME;
    size_t active = 0;
    size_t pad = 0;
    for (size_t f = 0; f < frame_count; f++) {
        double energy = 0;
        for (size_t i = f * FRAME; i < (f + 1) * FRAME; i++)
            energy += (double)speech->samples[i] * speech->samples[i];
        if (energy / FRAME > ACTIVE_RMS * ACTIVE_RMS)
            pad = ACTIVE_PAD;
        else if (pad)
            pad--;
        active += pad > 0;
    }
    return (double)active * FRAME / RATE;
}

/* A pulse train of gliding pitch through three gliding resonances, in syllables with pauses. */
enum err speech_synthesize(struct speech *speech, uint32_t seed, size_t seconds)
{
    memset(speech, 0, sizeof(*speech));
    speech->samples = calloc(seconds * RATE, sizeof(*speech->samples));
    if (!speech->samples)
        return ERR_MEMORY;
    speech->count = seconds * RATE;
    double past[3][2] = {{0}};
    double formant[3] = {500, 1500, 2500};
    double phase = 0;
    double pitch = 140;
    for (size_t i = 0; i < speech->count; i++) {
        size_t in_syllable = i % 2000;
        if (in_syllable == 0) {
            for (int k = 0; k < 3; k++) {
                seed = seed * 1664525u + 1013904223u;
                formant[k] = 300 + 900 * k + (seed >> 16) % 700;
            }
            pitch = 90 + (seed >> 8) % 160;
        }
        phase += pitch * (1 + 0.1 * sin((double)i / 700)) / RATE;
        double value = phase >= 1 ? 1 : 0;
        phase -= floor(phase);
        for (int k = 0; k < 3; k++) {
            double radius = 0.96;
            double next = value + 2 * radius * cos(2 * M_PI * formant[k] / RATE) * past[k][0] -
                          radius * radius * past[k][1];
            past[k][1] = past[k][0];
            past[k][0] = next;
            value = next * 0.3;
        }
        double envelope = in_syllable < 1500 ? sin(M_PI * (double)in_syllable / 1500) : 0;
        speech->samples[i] = (int16_t)lrint(fmax(-32000, fmin(32000, 9000 * envelope * value)));
    }
    return OK;
}
