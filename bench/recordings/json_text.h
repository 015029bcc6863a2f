/* A JSON string of any bytes: what is not UTF-8 (file names may be anything) becomes U+FFFD. */
#ifndef TONEGATE_BENCH_RECORDINGS_JSON_TEXT_H
#define TONEGATE_BENCH_RECORDINGS_JSON_TEXT_H

#include <stdio.h>

/* With its quotes. */
void json_text_print(FILE *out, const char *text);

#endif
