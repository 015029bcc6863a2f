#include "bench/leak/audio_file.h"

#include <errno.h>
#include <math.h>
#include <sndfile.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RATE_MIN         4000
#define RATE_MAX         192000
#define SECONDS_MAX      (4 * 3600)
#define WRITE_FRAMES     4096
#define OPEN_ENDED_BYTES 0x7FFFF000U /* and above: what writers to a pipe put into a header */
#define SINC_HALF_WIDTH  24          /* zero crossings on each side */

/* "data : 4294967295 (should be 11520)": programs that write to a pipe do not know the size and promise the most. */
static bool is_open_ended(const char *line)
{
    const char *colon = strchr(line, ':');
    return colon != NULL && strtoull(colon + 1, NULL, 10) >= OPEN_ENDED_BYTES;
}

/* libsndfile reads a file that was cut short without an error; only its log says so. */
static bool is_cut_short(SNDFILE *file)
{
    char text[4096] = "";
    sf_command(file, SFC_GET_LOG_INFO, text, sizeof text);
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"))
        if (strstr(line, "data") != NULL && strstr(line, "(should be") != NULL && !is_open_ended(line))
            return true;
    return false;
}

static double sinc_tap(double x, double cutoff, double half_width)
{
    if (fabs(x) >= half_width)
        return 0;
    double window = 0.5 + 0.5 * cos(M_PI * x / half_width);
    double phase = M_PI * x * cutoff;
    return window * cutoff * (fabs(phase) < 1e-9 ? 1 : sin(phase) / phase);
}

/* Windowed-sinc resampling of one channel to 8000 Hz; slow and plain, tools only. */
static float *resample(const float *in, size_t in_count, int rate, size_t out_count)
{
    float *out = malloc(out_count * sizeof *out);
    if (out == NULL)
        return NULL;
    double step = (double)rate / AUDIO_RATE;
    double cutoff = step > 1 ? 0.96 / step : 1;
    double half_width = SINC_HALF_WIDTH / cutoff;
    for (size_t i = 0; i < out_count; i++) {
        double at = (double)i * step;
        long first = (long)ceil(at - half_width);
        long last = (long)floor(at + half_width);
        double sum = 0;
        for (long k = first < 0 ? 0 : first; k <= last && k < (long)in_count; k++)
            sum += in[k] * sinc_tap((double)k - at, cutoff, half_width);
        out[i] = (float)sum;
    }
    return out;
}

static enum err check_format(const SF_INFO *format, SNDFILE *file, const char *path, char *reason)
{
    const char *wrong = NULL;
    enum err err = ERR_RANGE;
    if (format->channels < 1 || format->channels > AUDIO_CHANNELS_MAX)
        wrong = "has more than 8 channels";
    else if (format->samplerate < RATE_MIN || format->samplerate > RATE_MAX)
        wrong = "has a sampling rate outside 4000 to 192000 Hz";
    else if (format->frames / format->samplerate > SECONDS_MAX)
        wrong = "is longer than 4 hours";
    else if (is_cut_short(file) || format->frames < 1) {
        wrong = format->frames < 1 ? "holds no audio" : "is cut short: its header promises more audio";
        err = ERR_SYNTAX;
    }
    if (wrong == NULL)
        return OK;
    snprintf(reason, AUDIO_REASON_BYTES, "%s: %s", path, wrong);
    return err;
}

/* frames is interleaved, as read. */
static enum err split_channels(struct audio *audio, const float *frames, const SF_INFO *format)
{
    size_t in_count = (size_t)format->frames;
    size_t channels = (size_t)format->channels;
    audio->sample_count = (size_t)((double)in_count * AUDIO_RATE / format->samplerate);
    if (audio->sample_count == 0)
        audio->sample_count = 1;
    for (size_t c = 0; c < channels; c++) {
        float *one = malloc(in_count * sizeof *one);
        if (one == NULL)
            return ERR_MEMORY;
        for (size_t i = 0; i < in_count; i++) {
            one[i] = frames[i * channels + c] * 32768.0F;
            if (!isfinite(one[i])) {
                free(one);
                return ERR_SYNTAX;
            }
        }
        if (format->samplerate != AUDIO_RATE) {
            float *narrow = resample(one, in_count, format->samplerate, audio->sample_count);
            free(one);
            one = narrow;
        }
        audio->channel[c] = one;
        if (one == NULL)
            return ERR_MEMORY;
        audio->channel_count = c + 1;
    }
    return OK;
}

static enum err read_frames(struct audio *audio, SNDFILE *file, const SF_INFO *format, const char *path,
                            char *reason)
{
    size_t channels = (size_t)format->channels;
    float *frames = malloc((size_t)format->frames * channels * sizeof *frames);
    if (frames == NULL)
        return ERR_MEMORY;
    enum err err = OK;
    if (sf_readf_float(file, frames, format->frames) != format->frames) {
        snprintf(reason, AUDIO_REASON_BYTES, "%s: is cut short: its header promises more audio", path);
        err = ERR_SYNTAX;
    }
    if (err == OK) {
        err = split_channels(audio, frames, format);
        if (err == ERR_SYNTAX)
            snprintf(reason, AUDIO_REASON_BYTES, "%s: holds samples that are not numbers", path);
    }
    free(frames);
    return err;
}

enum err audio_read(struct audio **out, const char *path, char *reason)
{
    SF_INFO format = {0};
    *out = NULL;
    snprintf(reason, AUDIO_REASON_BYTES, "%s: not enough memory", path);
    SNDFILE *file = sf_open(path, SFM_READ, &format);
    if (file == NULL) {
        bool is_system = sf_error(NULL) == SF_ERR_SYSTEM;
        snprintf(reason, AUDIO_REASON_BYTES, "%s: %s", path, is_system ? strerror(errno) : sf_strerror(NULL));
        return is_system ? ERR_SYSTEM : ERR_SYNTAX;
    }
    struct audio *audio = calloc(1, sizeof *audio);
    enum err err = audio == NULL ? ERR_MEMORY : check_format(&format, file, path, reason);
    if (err == OK)
        err = read_frames(audio, file, &format, path, reason);
    sf_close(file);
    if (err != OK) {
        audio_free(audio);
        return err;
    }
    reason[0] = '\0';
    *out = audio;
    return OK;
}

void audio_free(struct audio *audio)
{
    if (audio == NULL)
        return;
    for (size_t c = 0; c < AUDIO_CHANNELS_MAX; c++)
        free(audio->channel[c]);
    free(audio);
}

enum err audio_write(const char *path, const short *const *channels, size_t channel_count, size_t count,
                     char *reason)
{
    short frames[WRITE_FRAMES * AUDIO_CHANNELS_MAX]; /* every call of the library is a system call */
    SF_INFO format = {0};
    format.samplerate = AUDIO_RATE;
    format.channels = (int)channel_count;
    format.format = SF_FORMAT_WAV | SF_FORMAT_PCM_16;
    SNDFILE *file = sf_open(path, SFM_WRITE, &format);
    if (file == NULL) {
        snprintf(reason, AUDIO_REASON_BYTES, "%s: %s", path, sf_strerror(NULL));
        return ERR_SYSTEM;
    }
    bool is_written = true;
    for (size_t at = 0; at < count && is_written; at += WRITE_FRAMES) {
        size_t here = count - at < WRITE_FRAMES ? count - at : WRITE_FRAMES;
        for (size_t i = 0; i < here * channel_count; i++)
            frames[i] = channels[i % channel_count][at + i / channel_count];
        is_written = sf_writef_short(file, frames, (sf_count_t)here) == (sf_count_t)here;
    }
    if (sf_close(file) == 0 && is_written)
        return OK;
    snprintf(reason, AUDIO_REASON_BYTES, "%s: could not be written", path);
    return ERR_SYSTEM;
}
