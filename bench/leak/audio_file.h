/* Reads any audio file libsndfile knows into mono channels at 8000 Hz, for tools that judge recordings.
 *
 * Not for the product's own way of audio. Thread: any, one at a time per file. */
#ifndef TONEGATE_BENCH_LEAK_AUDIO_FILE_H
#define TONEGATE_BENCH_LEAK_AUDIO_FILE_H

#include "base/err.h"

#include <stddef.h>

#define AUDIO_RATE         8000
#define AUDIO_CHANNELS_MAX 8
#define AUDIO_REASON_BYTES 256

struct audio {
    size_t channel_count;               /* 1..AUDIO_CHANNELS_MAX */
    size_t sample_count;                /* of each channel, at 8000 Hz, at least 1 */
    float *channel[AUDIO_CHANNELS_MAX]; /* full scale is 32768 */
};

/* *out owns everything until audio_free(). On error reason (AUDIO_REASON_BYTES) names the file and what is wrong with it.
 * ERR_SYSTEM (cannot be opened), ERR_SYNTAX (no audio, cut short, values that are no numbers), ERR_RANGE (channels,
 * rate, length), ERR_MEMORY. */
MUST_USE enum err audio_read(struct audio **out, const char *path, char *reason);

/* NULL is accepted. */
void audio_free(struct audio *audio);

/* Mono or several channels of int16 at 8000 Hz, 16-bit PCM WAV. channels[i] has count samples. ERR_SYSTEM. */
MUST_USE enum err audio_write(const char *path, const short *const *channels, size_t channel_count,
                              size_t count, char *reason);

#endif
