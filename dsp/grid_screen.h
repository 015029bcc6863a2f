/* The gate before the gate, for who has time. Of any 16 ms of a tone at least one window of 8 ms that begins at a multiple of
 * 8 ms is full of it; so with a look-ahead of 18 ms and more only these windows are heard, side by side, each once, and only
 * where one may be full of a key does suspicion look at what follows. screen.h is for who has less time.
 *
 * Two answers, the cheaper first. What a window is worth: energy and the energy of its samples' differences. Their ratio
 * says where the sound's middle lies: that of a key's two tones, also over a voice or a dial tone, keeps to some three
 * octaves, speech is outside half of the time. Then the powers of the eight tones: are the strongest row and column enough of
 * it together, and the column alone?
 *
 * Correlations and energies are integers, of which every face (C, x86/, arm/) makes the same; the few operations on floats
 * are the same everywhere too, and in the same order.
 *
 * Pure functions of the samples and constant tables, which are made once, thread-safely. Any thread. */
#ifndef TONEGATE_DSP_GRID_SCREEN_H
#define TONEGATE_DSP_GRID_SCREEN_H

#include "dsp/suspicion.h"

#include <stddef.h>
#include <stdint.h>

#define GRID_WINDOW (SUSPICION_WINDOW * TONE_BANK_BLOCK) /* samples */
#define GRID_MAX    4                                    /* windows of one call */

/* What is heard, in the screen's own units. Powers are of the strongest row plus the strongest column, plain and with each
 * tone weighed as differences of samples do. What a window was not asked for is not defined. */
struct grid_trace {
    _Alignas(16) int32_t energy[GRID_MAX];
    _Alignas(16) int32_t difference[GRID_MAX];
    float power[GRID_MAX];
    float steep_power[GRID_MAX];
};

/* What the windows are compared with, in those units. */
struct grid_gate {
    float energy_min;
    float ratio_min; /* of differences to energy */
    float ratio_max;
    float column_min; /* of the strongest column's power alone to energy */
    float share_min;  /* of power to energy */
    float shares_min; /* of that and of steep power to differences, together */
};

/* pcm: count (1..GRID_MAX) windows side by side, any alignment; nothing before or behind them is read. Says which may be full
 * of a key, the first one in bit 0. */
typedef uint32_t grid_hear(const int16_t *pcm, size_t count, const struct grid_gate *gate,
                           struct grid_trace *trace);

struct grid_face {
    const char *name;
    unsigned cpu_flags; /* all of dsp_cpu_flags() that it needs */
    grid_hear *hear;
};

/* All faces built into this program, the C reference first, better ones later; *count of them. */
const struct grid_face *grid_faces(size_t *count);

/* The best face whose needs are within cpu_flags. */
const struct grid_face *grid_choose(unsigned cpu_flags);

/* Which may be full of a key of count windows (up to 32), from number `from` on, of a ring of ring_windows (a power of two)? The
 * first one is bit 0. */
uint32_t grid_windows(const struct grid_face *face, const int16_t *ring, size_t ring_windows, uint64_t from,
                      size_t count);

/* What is demanded of a window. */
const struct grid_gate *grid_gate(void);

#endif
