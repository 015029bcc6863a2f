/* A small tone source and listener for tests of the media path: keys over soft noise, and how much of a key is left in
 * what came out. Levels in dBm0 per tone. */
#ifndef TONEGATE_PROXY_TESTS_TONE_SOURCE_H
#define TONEGATE_PROXY_TESTS_TONE_SOURCE_H

#include <stddef.h>
#include <stdint.h>

struct tone_source {
    uint32_t noise; /* state of the noise; any start */
    double phase[2];
};

/* count samples of noise at -55 dBm0, over them the key's two tones at level each; key < 0: no tone. */
void tone_source_make(struct tone_source *source, int key, double level_dbm0, int16_t *pcm, size_t count);

/* The loudest 10 ms of pcm, heard at both frequencies of the key: the weaker of the two. -99 when there is none. */
double tone_left_dbm0(const int16_t *pcm, size_t count, int key);

#endif
