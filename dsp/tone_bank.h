/* Correlations of 2 ms blocks with the eight DTMF frequencies: the first, and by far the most often executed, step of
 * hearing. Integer arithmetic, so that every face (C, x86/, arm/) gives the same bits.
 *
 * Source: ITU-T Q.23 (the frequencies). Pure functions, any thread. */
#ifndef TONEGATE_DSP_TONE_BANK_H
#define TONEGATE_DSP_TONE_BANK_H

#include <stddef.h>
#include <stdint.h>

#define TONE_BANK_TONES 8  /* four low, four high */
#define TONE_BANK_BLOCK 16 /* samples: 2 ms at 8 kHz */
#define TONE_BANK_SCALE 4095

/* Hz, low group then high group. */
extern const uint16_t tone_bank_hz[TONE_BANK_TONES];

/* [sample of the block][8 cosines, 8 sines], times TONE_BANK_SCALE, phase 0 in the middle of the block. */
extern const int16_t tone_bank_waves[TONE_BANK_BLOCK][2 * TONE_BANK_TONES];

/* One block's correlations. energy is the sum over sample pairs of (a*a + b*b) >> 4: a sixteenth of the energy.
 * difference is the sum over the 15 steps between its samples of (step * step) >> 4: the energy of a signal in which low
 * frequencies hardly count. */
struct tone_block {
    int32_t cosine[TONE_BANK_TONES];
    int32_t sine[TONE_BANK_TONES];
    uint32_t energy;
    uint32_t difference;
};
#define TONE_BANK_ENERGY_UNIT 16.0f

/* pcm: block_count * 16 samples, any alignment, not kept. out: block_count blocks. */
typedef void tone_bank_blocks(const int16_t *pcm, size_t block_count, struct tone_block *out);

struct tone_bank_face {
    const char *name;
    unsigned cpu_flags; /* all of dsp_cpu_flags() that it needs */
    tone_bank_blocks *blocks;
};

/* All faces built into this program, the C reference first, better ones later; *count of them. */
const struct tone_bank_face *tone_bank_faces(size_t *count);

/* The best face whose needs are within cpu_flags. */
const struct tone_bank_face *tone_bank_choose(unsigned cpu_flags);

#endif
