/* The gate before the gate, for every sample of every channel: must suspicion hear the window of 8 ms that ends with this
 * block? Two answers, the cheaper first.
 *
 * What a window is worth: energy and the energy of its samples' differences, in integers that do not depend on how blocks
 * come. Their ratio says where the sound's middle lies: that of a key's two tones, also over a voice or a dial tone, keeps
 * to some three octaves, speech is outside half of the time. What fails here is heard by nobody.
 *
 * Then the powers of the eight tones: could suspicion's own gate let the window through? They may say yes in vain, never
 * no in error; what they let through, suspicion hears exactly. Waves run on from block to block, so that windows are plain
 * sums; cosine and sine of a tone are a pair of 16 bits, so that one multiply-and-add makes its power.
 *
 * Up to powers and energies all is integer arithmetic, of which every face (C, x86/, arm/) makes the same; the few
 * operations that compare them are the same everywhere too.
 *
 * Pure functions of the samples and constant tables, which are made once, thread-safely: nothing is remembered. Any
 * thread. */
#ifndef TONEGATE_DSP_SCREEN_H
#define TONEGATE_DSP_SCREEN_H

#include "dsp/suspicion.h"

#include <stddef.h>
#include <stdint.h>

#define SCREEN_LEAD     (SUSPICION_WINDOW - 1) /* blocks before those fed that are read too */
#define SCREEN_FEED_MAX 10                     /* blocks of one feed: 20 ms */
#define SCREEN_LANES    16

/* What is heard. energy and difference, about as in tone_block, are of each block alone, and begin with those of the lead.
 * All others are of the window that ends with each block fed. power and steep_power: of its strongest row plus its
 * strongest column, in the screen's own unit, plain and with each tone weighed as differences of samples do. */
struct screen_trace {
    _Alignas(64) int32_t energy[SCREEN_LANES];
    _Alignas(64) int32_t difference[SCREEN_LANES];
    _Alignas(64) float window_energy[SCREEN_LANES];
    _Alignas(64) float window_difference[SCREEN_LANES];
    _Alignas(64) int32_t power[SCREEN_LANES];
    _Alignas(64) int32_t steep_power[SCREEN_LANES];
};

/* What the windows are compared with, in those units, and what may be missing from their powers and be too much in their
 * differences by rounding. */
struct screen_gate {
    float energy_min;
    float ratio_min; /* of differences to energy */
    float ratio_max;
    float power_min;
    float powers_min;
    float steep_scale; /* what makes a steep power over differences comparable to a power over energy */
    float power_slack;
    float steep_power_slack;
    float steep_energy_slack; /* times energy */
    float difference_slack;
};

/* pcm: the first of count (1..SCREEN_FEED_MAX) blocks of 16 samples, any alignment; SCREEN_LEAD blocks before it are read
 * too. Says which windows are worth hearing, the first one in bit 0, and, unless it is none, fills the energies of trace. */
typedef uint32_t screen_worth(const int16_t *pcm, size_t count, const struct screen_gate *gate,
                              struct screen_trace *trace);

/* Fills the powers of windows `from` to from + count - 1 of those that screen_worth() heard from pcm on, and says which of
 * them could pass suspicion's gate, the first one in bit 0. */
typedef uint32_t screen_powers(const int16_t *pcm, size_t from, size_t count, const struct screen_gate *gate,
                               struct screen_trace *trace);

struct screen_face {
    const char *name;
    unsigned cpu_flags; /* all of dsp_cpu_flags() that it needs */
    screen_worth *worth;
    screen_powers *powers;
};

/* All faces built into this program, the C reference first, better ones later; *count of them. */
const struct screen_face *screen_faces(size_t *count);

/* The best face whose needs are within cpu_flags. */
const struct screen_face *screen_choose(unsigned cpu_flags);

/* Blocks, of count at pcm (as for screen_worth), that suspicion must hear; the first one in bit 0. */
uint32_t screen_blocks(const struct screen_face *face, const int16_t *pcm, size_t count);

/* What a window must have to be worth hearing, and what suspicion's own gate demands, eased by all that the two may
 * differ. */
const struct screen_gate *screen_gate(void);

#endif
