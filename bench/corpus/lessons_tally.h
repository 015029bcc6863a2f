/* What suspicion's two networks, as they are built in, make of lessons: of looks at keys that the close look would suspect, how
 * many the glance refuses (must be none); of speech that the gate lets through, how much the glance lets through. */
#ifndef TONEGATE_BENCH_CORPUS_LESSONS_TALLY_H
#define TONEGATE_BENCH_CORPUS_LESSONS_TALLY_H

#include "dsp/suspicion.h"

struct lessons_tally {
    size_t suspected, refused; /* keys: by the close look; of those, by the glance */
    size_t asked, passed;      /* what is no key: by the gate; of that, by the glance */
};

/* A tally for each haste, plain and strict. distance: samples from the onset to the end of the look. */
struct lessons_tallies {
    struct lessons_tally of[SUSPICION_HASTES][2];
};
void lessons_tally_key(struct lessons_tallies *tallies, const struct suspicion_view *view, size_t distance);
void lessons_tally_no_key(struct lessons_tallies *tallies, const struct suspicion_view *view);
void lessons_tally_print(const struct lessons_tallies *tallies);

#endif
