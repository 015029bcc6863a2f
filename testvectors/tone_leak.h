/* What of a key's tone survives in what was delivered, to the sample. Needs to know what was sent. */
#ifndef TONEGATE_TESTVECTORS_TONE_LEAK_H
#define TONEGATE_TESTVECTORS_TONE_LEAK_H

#include <stddef.h>
#include <stdint.h>

struct tone_leak {
    size_t same_samples; /* delivered as they were sent, in runs of three or more */
    float
        survived_share; /* greatest share of the tone's amplitude in any 2 ms that are mostly tone, by correlation with the tone itself */
};

/* sent, delivered: the same samples in time (the look-ahead taken off). tone: the press alone, without background. All
 * count samples belong to the press. */
void tone_leak_measure(const int16_t *sent, const int16_t *delivered, const float *tone, size_t count,
                       struct tone_leak *leak);

/* The key that an attacker would name who knows when it was pressed and hears only what was delivered: strongest row and
 * column over all count samples. */
uint8_t tone_leak_name(const int16_t *delivered, size_t count);

#endif
