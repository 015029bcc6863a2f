/* ITU-T G.711: 8-bit log-companded to linear int16 and back. Exact by table. Any thread. */
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

#endif
