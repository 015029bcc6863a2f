/* The gate before the gate, for every sample of every channel: could suspicion's own let the window of 8 ms through that
 * ends with this block? It may say yes in vain, never no in error; what it lets through, suspicion hears exactly.
 *
 * Waves run on from block to block, so that windows are plain sums; cosine and sine of a tone are a pair of 16 bits, so
 * that one multiply-and-add makes its power. Up to powers and energies it is integer arithmetic, of which every face
 * (C, x86/, arm/) makes the same; the few operations that compare them are the same everywhere too.
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

/* What is heard. power and steep_power are of the window that ends with each block fed: of its strongest row plus its
 * strongest column, in the screen's own unit, plain and with each tone weighed as differences of samples do. energy and
 * difference, about as in tone_block, are of each block alone, and begin with those of the lead. */
struct screen_trace {
    int32_t power[SCREEN_LANES];
    int32_t steep_power[SCREEN_LANES];
    int32_t energy[SCREEN_LANES];
    int32_t difference[SCREEN_LANES];
};

/* What the windows are compared with, in those units, and what may be missing from their powers and be too much in their
 * differences by rounding. */
struct screen_gate {
    float energy_min;
    float power_min;
    float powers_min;
    float steep_scale; /* what makes a steep power over differences comparable to a power over energy */
    float power_slack;
    float steep_power_slack;
    float steep_energy_slack; /* times energy */
    float difference_slack;
};

/* pcm: the first of count (1..SCREEN_FEED_MAX) blocks of 16 samples, any alignment; SCREEN_LEAD blocks before it are read
 * too. Of trace all that belongs to these blocks is filled, the rest is anything: first the energies, whose sixteenths'
 * sum is returned, then, unless there is silence, the powers. */
typedef uint32_t screen_energies(const int16_t *pcm, size_t count, struct screen_trace *trace);
typedef void screen_powers(const int16_t *pcm, size_t count, struct screen_trace *trace);

/* Which windows of a trace pass, the first one in bit 0. */
typedef uint32_t screen_judge(const struct screen_trace *trace, size_t count, const struct screen_gate *gate);

struct screen_face {
    const char *name;
    unsigned cpu_flags; /* all of dsp_cpu_flags() that it needs */
    screen_energies *energies;
    screen_powers *powers;
    screen_judge *judge;
};

/* All faces built into this program, the C reference first, better ones later; *count of them. */
const struct screen_face *screen_faces(size_t *count);

/* The best face whose needs are within cpu_flags. */
const struct screen_face *screen_choose(unsigned cpu_flags);

/* Blocks, of count at pcm (as for screen_energies), that suspicion must hear; the first one in bit 0. */
uint32_t screen_blocks(const struct screen_face *face, const int16_t *pcm, size_t count);

/* What suspicion's own gate demands, eased by all that the two may differ. */
const struct screen_gate *screen_gate(void);

#endif
