/* Reports as one self-contained HTML page: no script, nothing fetched, light and dark, readable by a screen reader and on
 * a narrow screen. Stateless, any thread; errors of the stream stay in ferror(). */
#ifndef TONEGATE_BENCH_PAGE_PAGE_H
#define TONEGATE_BENCH_PAGE_PAGE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define PAGE_REASON_BYTES 512

/* Everything up to the first section: head, styles, <main>, the title. */
void page_begin(FILE *page, const char *title);
void page_end(FILE *page);

/* Text with <, >, & and quotes escaped. Bytes that are not UTF-8 become U+FFFD. */
void page_text(FILE *page, const char *text);

/* A figure with a caption under it, in a grid: page_tiles_begin(), tiles, page_tiles_end(). */
enum page_mood { PAGE_PLAIN, PAGE_GOOD, PAGE_BAD };
void page_tiles_begin(FILE *page);
void page_tile(FILE *page, enum page_mood mood, const char *figure, const char *caption);
void page_tiles_end(FILE *page);

/* A page at path appears whole or not at all; what was there is replaced. */
struct page_file {
    FILE *stream; /* write here */
    char path[4096];
    char part[4096];
};

/* reason (PAGE_REASON_BYTES) names the file. ERR_SYSTEM, ERR_LENGTH. */
MUST_USE enum err page_open(struct page_file *file, const char *path, char *reason);

/* is_good false: drops it. ERR_SYSTEM; then nothing is left. */
MUST_USE enum err page_close(struct page_file *file, bool is_good, char *reason);

#endif
