#include "dsp/cpu.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static unsigned flags_present(void)
{
    unsigned flags = 0;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.1"))
        flags |= DSP_CPU_SSE41;
    if (__builtin_cpu_supports("avx2"))
        flags |= DSP_CPU_AVX2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        flags |= DSP_CPU_AVX512;
    if (__builtin_cpu_supports("avx512vnni"))
        flags |= DSP_CPU_VNNI;
#elif defined(__aarch64__)
    flags |= DSP_CPU_NEON;
#endif
    return flags;
}

static unsigned flags_refused;

void dsp_cpu_refuse(unsigned flags)
{
    flags_refused |= flags;
}

void dsp_cpu_refuse_none(void)
{
    flags_refused = 0;
}

static unsigned flags_allowed(void)
{
    static const struct {
        const char *word;
        unsigned allowed;
    } levels[] = {
        {"sse41", DSP_CPU_SSE41},
        {"avx2", DSP_CPU_SSE41 | DSP_CPU_AVX2},
        {"avx512", DSP_CPU_SSE41 | DSP_CPU_AVX2 | DSP_CPU_AVX512 | DSP_CPU_VNNI},
        {"neon", DSP_CPU_NEON},
    };
    const char *word = getenv("TONEGATE_CPU");
    if (!word || !word[0])
        return ~0u;
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        if (strcmp(word, levels[i].word) == 0)
            return levels[i].allowed;
    }
    return 0;
}

unsigned dsp_cpu_flags(void)
{
    return flags_present() & flags_allowed() & ~flags_refused;
}
