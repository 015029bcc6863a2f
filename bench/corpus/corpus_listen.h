/* One recording, with its labels or without, through both engines and through the mask at every look-ahead. */
#ifndef TONEGATE_BENCH_CORPUS_CORPUS_LISTEN_H
#define TONEGATE_BENCH_CORPUS_CORPUS_LISTEN_H

#include "bench/corpus/corpus_result.h"
#include "bench/leak/key_labels.h"

#include <signal.h>

struct corpus_audio {
    int16_t *samples; /* one channel at 8000 Hz */
    size_t count;
};

/* channel counts from 1. reason (512 bytes) names the file. Those of sound_open() and sound_read(), ERR_RANGE (no such
 * channel, longer than 4 hours), ERR_MEMORY. */
MUST_USE enum err corpus_audio_read(struct corpus_audio *audio, const char *path, unsigned channel,
                                    char *reason);
void corpus_audio_free(struct corpus_audio *audio);

/* labels NULL: the recording has none, so that only false digits and masked speech count. Fills everything of result but
 * path and what says which file it was. stop: gives up with ERR_ORDER when it becomes true. ERR_MEMORY.
 *
 * A report belongs to the label whose onset is nearest, from 40 ms before it to 40 ms after its end; the first one decides
 * between right and wrong, further ones are doubled. Active: frames of 20 ms above -45 dBm0 and 200 ms after them; away from
 * keys: further than 200 ms from a label. The first 100 ms count as neither. A key leaks where the mask let a millisecond of it pass in which its two tones are
 * most of what is heard. */
MUST_USE enum err corpus_listen(struct corpus_result *result, const struct corpus_audio *audio,
                                const struct key_labels *labels, const volatile sig_atomic_t *stop);

#endif
