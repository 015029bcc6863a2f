/* The decoding faces; each is bound only where the processor has what its name says. */
#ifndef TONEGATE_DSP_G711_PRIV_H
#define TONEGATE_DSP_G711_PRIV_H

#include "dsp/cpu.h"
#include "dsp/g711.h"

#define G711_ALAW_FLIP 0x55 /* even bits are inverted on the line (ITU-T G.711 §3.1) */
#define G711_ULAW_BIAS 132
#define G711_ULAW_CLIP 32635

/* Also what is left over at the end of the others. */
g711_decoder g711_decode_c;
g711_encoder g711_encode_c;
#ifdef DSP_HAS_X86
g711_decoder g711_decode_sse41;
g711_encoder g711_encode_sse41;
g711_decoder g711_decode_avx2;
g711_encoder g711_encode_avx2;
g711_decoder g711_decode_avx512;
g711_encoder g711_encode_avx512;
#endif
#ifdef DSP_HAS_NEON
g711_decoder g711_decode_neon;
g711_encoder g711_encode_neon;
#endif

#endif
