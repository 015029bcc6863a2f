/* ITU-T G.711: 8-bit log-companded to linear int16 and back. Exact: the C reference looks up, faster faces (x86/, arm/)
 * compute the same. Any thread. */
#ifndef TONEGATE_DSP_G711_H
#define TONEGATE_DSP_G711_H

#include <stddef.h>
#include <stdint.h>

enum g711_law { G711_ULAW, G711_ALAW };

/* count samples; in and out must not overlap. Hidden: SpanDSP exports functions of the same names, which must go on
 * meaning its own inside it. For the same reason spandsp.h and this header do not go into one file. */
__attribute__((visibility("hidden"))) void g711_decode(enum g711_law law, const uint8_t *in, int16_t *out,
                                                       size_t count);
__attribute__((visibility("hidden"))) void g711_encode(enum g711_law law, const int16_t *in, uint8_t *out,
                                                       size_t count);

typedef void g711_decoder(enum g711_law law, const uint8_t *in, int16_t *out, size_t count);
typedef void g711_encoder(enum g711_law law, const int16_t *in, uint8_t *out, size_t count);

struct g711_face {
    const char *name;
    unsigned cpu_flags; /* all of dsp_cpu_flags() that it needs */
    g711_decoder *decode;
    g711_encoder *encode;
};

/* All faces built into this program, the C reference first, better ones later; *count of them. */
const struct g711_face *g711_faces(size_t *count);

/* g711_decode() and g711_encode() are the best face whose needs are within cpu_flags; before this is called, within dsp_cpu_flags(). */
void g711_bind(unsigned cpu_flags);

#endif
