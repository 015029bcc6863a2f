/* A leak report as text for people and as JSON. Neither says a key. The page: bench/leak/leak_page.h. */
#ifndef TONEGATE_BENCH_LEAK_LEAK_TEXT_H
#define TONEGATE_BENCH_LEAK_LEAK_TEXT_H

#include "bench/leak/leak.h"

#include <stdio.h>

struct leak_names {
    const char *sent; /* NULL: only what was delivered is known, and was judged against itself */
    const char *delivered;
};

void leak_print_text(FILE *file, const struct leak_report *report, const struct leak_names *names);

/* One object, one line. ERR_MEMORY. */
MUST_USE enum err leak_print_json(FILE *file, const struct leak_report *report,
                                  const struct leak_names *names);

#endif
