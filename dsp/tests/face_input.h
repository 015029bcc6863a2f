/* What every face of a kernel is tried with: memory between pages that must not be touched, and signals that are random,
 * as loud and as quiet as can be, and steady. */
#ifndef TONEGATE_DSP_TESTS_FACE_INPUT_H
#define TONEGATE_DSP_TESTS_FACE_INPUT_H

#include "dsp/tests/cmocka_all.h"
#include "testvectors/tone_source.h"

#include <math.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Memory between two pages that must not be touched: `begin` right behind the first, or `end` right before the second. */
struct guarded {
    unsigned char *mapping;
    size_t length;
    unsigned char *begin;
    unsigned char *end;
};

static inline void guarded_new(struct guarded *guarded, size_t count)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t inner = (count + page - 1) / page * page;
    guarded->length = inner + 2 * page;
    guarded->mapping =
        mmap(NULL, guarded->length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(guarded->mapping != MAP_FAILED);
    assert_int_equal(mprotect(guarded->mapping, page, PROT_NONE), 0);
    assert_int_equal(mprotect(guarded->mapping + page + inner, page, PROT_NONE), 0);
    guarded->begin = guarded->mapping + page;
    guarded->end = guarded->begin + inner;
}

static inline void guarded_free(struct guarded *guarded)
{
    munmap(guarded->mapping, guarded->length);
}

enum signal { RANDOM, FULL_SCALE, LOWEST, SILENT, QUIET, TONE, PAIR, SIGNALS };

static inline void signal_fill(int16_t *pcm, size_t count, enum signal signal, struct tone_random *random)
{
    for (size_t i = 0; i < count; i++) {
        switch (signal) {
        case RANDOM:
            pcm[i] = (int16_t)tone_random_below(random, 65536);
            break;
        case FULL_SCALE:
            pcm[i] = tone_random_below(random, 2) ? 32767 : -32768;
            break;
        case LOWEST:
            pcm[i] = -32768;
            break;
        case SILENT:
            pcm[i] = 0;
            break;
        case QUIET:
            pcm[i] = (int16_t)((int)tone_random_below(random, 5) - 2);
            break;
        case TONE: /* as loud as correlations get: a square wave */
            pcm[i] = sin(2 * M_PI * 697 * (double)i / 8000) < 0 ? -32768 : 32767;
            break;
        default:
            pcm[i] = (int16_t)(16000 * sin(2 * M_PI * 697 * (double)i / 8000) +
                               16000 * sin(2 * M_PI * 1633 * (double)i / 8000));
        }
    }
}

#endif
