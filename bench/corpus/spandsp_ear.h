/* SpanDSP as its users drive it, for the clock; apart, because spandsp.h and dsp/g711.h use the same names. */
#ifndef TONEGATE_BENCH_CORPUS_SPANDSP_EAR_H
#define TONEGATE_BENCH_CORPUS_SPANDSP_EAR_H

#include <stddef.h>
#include <stdint.h>

/* ear: memory of spandsp_size() bytes. A packet is 160 bytes of u-law, decoded the way SpanDSP does. */
size_t spandsp_size(void);
void spandsp_open(void *ear);
void spandsp_packet(void *ear, const uint8_t *packet);
void spandsp_close(void *ear);

#endif
