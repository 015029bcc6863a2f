/* Recorded speech for tests and benches: every WAV below a folder, in the order of names, as one run of samples at
 * 8 kHz. Uses libsndfile; files of another rate or with more channels are brought to 8 kHz mono. */
#ifndef TONEGATE_TESTVECTORS_SPEECH_H
#define TONEGATE_TESTVECTORS_SPEECH_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* Where Debian's asterisk-core-sounds-en-wav puts its prompts. */
#define SPEECH_PROMPTS "/usr/share/asterisk/sounds/en_US_f_Allison"

struct speech {
    int16_t *samples;
    size_t count;
    size_t file_count;
};

/* half: 0 takes all files, 1 those of even, 2 those of odd place: tuning uses 1, figures use 2. seconds_max: 0 is no
 * limit. ERR_NOT_FOUND (no such folder, or no WAV in it), ERR_MEMORY. */
MUST_USE enum err speech_load(struct speech *speech, const char *folder, int half, size_t seconds_max);

/* Something with pitch and formants, for machines that have no recordings. ERR_MEMORY. */
MUST_USE enum err speech_synthesize(struct speech *speech, uint32_t seed, size_t seconds);

void speech_free(struct speech *speech);

/* Seconds in which something is said: 20 ms frames above -45 dBm0, and what lies less than 200 ms from one. */
double speech_active_seconds(const struct speech *speech);

#endif
