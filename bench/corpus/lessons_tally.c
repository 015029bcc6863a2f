#include "bench/corpus/lessons_tally.h"

#include <stdio.h>

/* Earlier than this nobody is asked to know a key: of the look-ahead, less the fade and the last block. */
static const size_t least_distance[SUSPICION_HASTES] = {89, 65};

void lessons_tally_key(struct lessons_tallies *tallies, const struct suspicion_view *view, size_t distance)
{
    for (int i = 0; i < 2 * SUSPICION_HASTES; i++) {
        struct suspicion_verdict verdict;
        struct lessons_tally *tally = &tallies->of[i / 2][i % 2];
        suspicion_judge((enum suspicion_haste)(i / 2), i % 2, view, &verdict);
        if (distance < least_distance[i / 2] || !verdict.is_suspicion)
            continue;
        tally->suspected++;
        tally->refused += !verdict.is_worth_a_look;
    }
}

void lessons_tally_no_key(struct lessons_tallies *tallies, const struct suspicion_view *view)
{
    for (int i = 0; i < 2 * SUSPICION_HASTES; i++) {
        struct suspicion_verdict verdict;
        struct lessons_tally *tally = &tallies->of[i / 2][i % 2];
        suspicion_judge((enum suspicion_haste)(i / 2), i % 2, view, &verdict);
        tally->asked++;
        tally->passed += verdict.is_worth_a_look;
    }
}

void lessons_tally_print(const struct lessons_tallies *tallies)
{
    for (int i = 0; i < 2 * SUSPICION_HASTES; i++) {
        const struct lessons_tally *tally = &tallies->of[i / 2][i % 2];
        printf("look-ahead %d%s: of %zu looks at keys that the close look suspects, the glance refuses %zu; "
               "of %zu at what is "
               "none, it lets through %.1f %%\n",
               i / 2 == SUSPICION_IN_18_MS ? 20 : 10, i % 2 ? ", keying" : "", tally->suspected,
               tally->refused, tally->asked,
               tally->asked ? 100.0 * (double)tally->passed / (double)tally->asked : 0);
    }
}
