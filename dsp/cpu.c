#include "dsp/cpu.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static unsigned flags_present(void)
{
    unsigned flags = 0;
#if defined(__x86_64__)
    flags |= DSP_CPU_SSE2;
    if (__builtin_cpu_supports("avx2"))
        flags |= DSP_CPU_AVX2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        flags |= DSP_CPU_AVX512;
    if (__builtin_cpu_supports("avx512vnni"))
        flags |= DSP_CPU_VNNI;
#endif
    return flags;
}

unsigned dsp_cpu_flags(void)
{
    static const struct {
        const char *word;
        unsigned allowed;
    } levels[] = {
        {"sse2", DSP_CPU_SSE2},
        {"avx2", DSP_CPU_SSE2 | DSP_CPU_AVX2},
        {"avx512", DSP_CPU_SSE2 | DSP_CPU_AVX2 | DSP_CPU_AVX512 | DSP_CPU_VNNI},
    };
    const char *word = getenv("TONEGATE_CPU");
    if (!word || !word[0])
        return flags_present();
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        if (strcmp(word, levels[i].word) == 0)
            return flags_present() & levels[i].allowed;
    }
    return 0;
}
