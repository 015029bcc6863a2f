/* What the processor has, for binding the SIMD faces at start. Any thread. */
#ifndef TONEGATE_DSP_CPU_H
#define TONEGATE_DSP_CPU_H

enum dsp_cpu {
    DSP_CPU_SSE41 = 1 << 0,
    DSP_CPU_AVX2 = 1 << 1,
    DSP_CPU_AVX512 = 1 << 2, /* F, BW, DQ, VL */
    DSP_CPU_VNNI = 1 << 3,   /* AVX-512 VNNI */
    DSP_CPU_NEON = 1 << 4,   /* of 64 bits */
};

/* The flags of this machine, less those above the level that the environment variable TONEGATE_CPU names: c, sse41,
 * avx2, avx512 or neon. An unknown word counts as c: slow and right. */
unsigned dsp_cpu_flags(void);

/* From now on dsp_cpu_flags() has none of these: faces that need them gave wrong answers. Before other threads run. */
void dsp_cpu_refuse(unsigned flags);
void dsp_cpu_refuse_none(void); /* for tests */

#endif
