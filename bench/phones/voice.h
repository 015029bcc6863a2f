/* The mouth of a test phone: recorded speech, background noise and keys, mixed sample by sample, frame by frame.
 *
 * A handset mutes its microphone while it sends a tone: so does this one, unless speech_under_db says how far below
 * the tones the talker goes on. Between keys the speech goes on in any case. */
#ifndef TONEGATE_BENCH_PHONES_VOICE_H
#define TONEGATE_BENCH_PHONES_VOICE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VOICE_KEYS_MAX  4096
#define VOICE_FRAME_MAX 480
#define VOICE_DBM0_NONE (-200.0)

enum voice_way { VOICE_TONE = 1, VOICE_EVENT = 2, VOICE_INFO = 4 };

struct voice_options {
    double level_dbm0;      /* of each tone, mean of the two; a full-scale sine is +3.14 */
    double twist_db;        /* low minus high */
    double speech_dbm0;     /* active level the recordings are brought to; VOICE_DBM0_NONE: as they are */
    double background_dbm0; /* white noise; VOICE_DBM0_NONE: none */
    double speech_under_db; /* talker under the tones, dB below them; VOICE_DBM0_NONE: silent */
    unsigned on_ms;         /* 1..2000 */
    unsigned off_ms;        /* 1..5000 */
    unsigned ways;          /* enum voice_way, or-ed */
    uint32_t seed;
};

struct voice_key { /* a key that was pressed: label of the recording */
    uint8_t key;   /* 0..15 */
    uint64_t onset;
    uint64_t end; /* 0 while it is still down */
};

struct voice; /* opaque */

MUST_USE enum err voice_new(struct voice **out, const struct voice_options *options);
void voice_free(struct voice *voice);

/* Appends a recording to what is said; the list starts over when it ends. reason has 256 bytes. */
MUST_USE enum err voice_say(struct voice *voice, const char *path, char *reason);

/* Queues a key. ERR_FULL, ERR_RANGE. */
MUST_USE enum err voice_press(struct voice *voice, uint8_t key);

/* The next count (1..VOICE_FRAME_MAX) samples. */
void voice_frame(struct voice *voice, int16_t *out, size_t count);

uint64_t voice_position(const struct voice *voice); /* samples made so far */
bool voice_is_idle(const struct voice *voice); /* no key is down or waiting, and the last pause is over */

/* All keys pressed so far, oldest first. */
const struct voice_key *voice_keys(const struct voice *voice, size_t *count);

#endif
