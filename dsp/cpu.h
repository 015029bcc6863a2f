/* What the processor has, for binding the SIMD faces at start. Any thread. */
#ifndef TONEGATE_DSP_CPU_H
#define TONEGATE_DSP_CPU_H

enum dsp_cpu {
    DSP_CPU_SSE2 = 1 << 0,
    DSP_CPU_AVX2 = 1 << 1,
    DSP_CPU_AVX512 = 1 << 2, /* F, BW, DQ, VL */
    DSP_CPU_VNNI = 1 << 3,   /* AVX-512 VNNI */
};

/* The flags of this machine, less those above the level that the environment variable TONEGATE_CPU names: c, sse2,
 * avx2 or avx512. An unknown word counts as c: slow and right. */
unsigned dsp_cpu_flags(void);

#endif
