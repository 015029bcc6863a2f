/* The decoding faces; each is bound only where the processor has what its name says. */
#ifndef TONEGATE_DSP_G711_PRIV_H
#define TONEGATE_DSP_G711_PRIV_H

#include "dsp/cpu.h"
#include "dsp/g711.h"

#define G711_ALAW_FLIP 0x55 /* even bits are inverted on the line (ITU-T G.711 §3.1) */
#define G711_ULAW_BIAS 132

g711_decoder g711_decode_c; /* also what is left over at the end of the others */
#ifdef DSP_HAS_X86
g711_decoder g711_decode_sse41;
g711_decoder g711_decode_avx2;
g711_decoder g711_decode_avx512;
#endif
#ifdef DSP_HAS_NEON
g711_decoder g711_decode_neon;
#endif

#endif
