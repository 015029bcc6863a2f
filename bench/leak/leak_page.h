/* A leak report as a self-contained page: the verdict in plain words, spectrograms of both recordings above each other, a
 * table of the keys. It says no key; its pictures show what the recordings hold. */
#ifndef TONEGATE_BENCH_LEAK_LEAK_PAGE_H
#define TONEGATE_BENCH_LEAK_LEAK_PAGE_H

#include "bench/leak/leak_text.h"

/* ERR_MEMORY. */
MUST_USE enum err leak_page_print(FILE *page, const struct leak_report *report,
                                  const struct leak_names *names, const struct align_signal *sent,
                                  const struct align_signal *delivered);

#endif
