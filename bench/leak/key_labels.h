/* Which keys were pressed when in the sent recording: read from the caller phone's file or a label track, or found by
 * listening.
 *
 * Label track: bench/leak/label_track.h; what does not begin with a brace is taken for one. The phone's file: {"sample_rate":8000,"keys":[{"key":"4","onset_sample":8000,"end_sample":8800,"tone":true},...]}, in order. "tone"
 * says whether the key was heard at all, or sent by event or INFO alone; without it the recording decides. */
#ifndef TONEGATE_BENCH_LEAK_KEY_LABELS_H
#define TONEGATE_BENCH_LEAK_KEY_LABELS_H

#include "base/err.h"

#include <stddef.h>

#define KEY_LABELS_MAX 100000

struct key_label {
    unsigned char key; /* 0..9, 10 '*', 11 '#', 12..15 A..D */
    size_t onset;      /* first sample of the tone */
    size_t end;        /* the sample after its last */
    enum { KEY_UNKNOWN, KEY_IS_TONE, KEY_IS_SILENT } tone;
};

struct key_labels {
    struct key_label *labels;
    size_t count;
};

/* '0'..'9', '*', '#', 'A'..'D', 'a'..'d' to 0..15; -1 for anything else, and back. */
int key_label_number(char key);
char key_label_letter(unsigned key);

/* reason (256 bytes) names the file and what is wrong. key_labels_parse() knows the phone's file only. ERR_SYSTEM, ERR_SYNTAX, ERR_RANGE (spans), ERR_MEMORY. */
MUST_USE enum err key_labels_read(struct key_labels *out, const char *path, char *reason);
MUST_USE enum err key_labels_parse(struct key_labels *out, const char *name, const char *text, size_t length,
                                   char *reason);

/* Listens: every tone pair of 25 ms or more that stands out of what else is there. ERR_MEMORY. */
MUST_USE enum err key_labels_find(struct key_labels *out, const float *samples, size_t count);

void key_labels_release(struct key_labels *labels);

#endif
