/* Draws a recording as a spectrogram PNG: time to the right, 0 to 4000 Hz upwards, colour is level. */
#ifndef TONEGATE_BENCH_LEAK_SPECTROGRAM_H
#define TONEGATE_BENCH_LEAK_SPECTROGRAM_H

#include "base/err.h"

#include <stddef.h>

struct spectrogram_options {
    unsigned width;    /* pixels, 16..8192 */
    unsigned height;   /* pixels, 16..1024 */
    double from_s;     /* what the left edge shows; may be negative or past the end, which is drawn empty */
    double length_s;   /* shown; > 0 */
    double top_dbm0;   /* brightest colour */
    double floor_dbm0; /* darkest */
};

/* samples: mono at 8000 Hz, full scale 32768. *png is malloc'ed, *png_bytes long. ERR_RANGE, ERR_MEMORY. */
MUST_USE enum err spectrogram_png(const float *samples, size_t count,
                                  const struct spectrogram_options *options, unsigned char **png,
                                  size_t *png_bytes);

/* base64 (RFC 4648 §4) of bytes, terminated, malloc'ed; NULL when there is no memory. */
char *spectrogram_base64(const unsigned char *bytes, size_t count);

#endif
