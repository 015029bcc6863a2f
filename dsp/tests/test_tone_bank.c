/* Every face of the tone bank gives the bits of the C reference, touches nothing outside its arguments, and is timed. */
#include "dsp/tone_bank.h"

#include "dsp/cpu.h"
#include "dsp/tests/cmocka_all.h"
#include "testvectors/tone_source.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define BLOCKS_MAX 30

/* count bytes that end right before a page that must not be touched, and the page before them neither, as long as count
 * fills whole pages; offset moves the start for alignment. */
struct guarded {
    unsigned char *mapping;
    size_t length;
    unsigned char *bytes;
};

static void guarded_new(struct guarded *guarded, size_t count)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t inner = (count + page - 1) / page * page;
    guarded->length = inner + 2 * page;
    guarded->mapping =
        mmap(NULL, guarded->length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(guarded->mapping != MAP_FAILED);
    assert_int_equal(mprotect(guarded->mapping, page, PROT_NONE), 0);
    assert_int_equal(mprotect(guarded->mapping + page + inner, page, PROT_NONE), 0);
    guarded->bytes = guarded->mapping + page + inner - count;
}

static void guarded_free(struct guarded *guarded)
{
    munmap(guarded->mapping, guarded->length);
}

enum signal { RANDOM, FULL_SCALE, LOWEST, SILENT, QUIET, TONE, SIGNALS };

static void fill(int16_t *pcm, size_t count, enum signal signal, struct tone_random *random)
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
        default:
            pcm[i] = (int16_t)(32767 * sin(2 * M_PI * 1633 * (double)i / 8000));
        }
    }
}

static void compare(const struct tone_bank_face *face, const struct tone_bank_face *reference,
                    size_t block_count, size_t misalign, enum signal signal, struct tone_random *random)
{
    size_t count = block_count * TONE_BANK_BLOCK;
    struct guarded in;
    struct guarded out;
    struct tone_block expected[BLOCKS_MAX];
    /* Misaligned at the front by ending so many bytes before the guard; at 0 the end touches the guard. */
    guarded_new(&in, count * sizeof(int16_t) + misalign);
    guarded_new(&out, block_count * sizeof(struct tone_block));
    unsigned char *start = in.bytes;
    int16_t *pcm = malloc((count + 1) * sizeof(*pcm));
    assert_non_null(pcm);
    fill(pcm, count, signal, random);
    memcpy(start, pcm, count * sizeof(*pcm));
    struct tone_block *blocks = (struct tone_block *)(void *)out.bytes;
    reference->blocks(pcm, block_count, expected);
    face->blocks((const int16_t *)(const void *)start, block_count, blocks);
    assert_memory_equal(blocks, expected, block_count * sizeof(struct tone_block));
    free(pcm);
    guarded_free(&in);
    guarded_free(&out);
}

static void every_face_equals_the_reference(void **state)
{
    (void)state;
    size_t face_count;
    const struct tone_bank_face *faces = tone_bank_faces(&face_count);
    struct tone_random random;
    tone_random_seed(&random, 11);
    for (size_t f = 0; f < face_count; f++) {
        if (faces[f].cpu_flags & ~dsp_cpu_flags()) {
            print_message("face %s: not on this processor\n", faces[f].name);
            continue;
        }
        for (size_t blocks = 1; blocks <= BLOCKS_MAX; blocks++) {
            for (size_t misalign = 0; misalign < 64; misalign += 2)
                compare(&faces[f], &faces[0], blocks, misalign, (enum signal)(misalign / 2 % SIGNALS),
                        &random);
        }
    }
}

static void the_reference_equals_the_definition(void **state)
{
    (void)state;
    size_t face_count;
    const struct tone_bank_face *c = tone_bank_faces(&face_count);
    struct tone_random random;
    tone_random_seed(&random, 12);
    for (int round = 0; round < 200; round++) {
        int16_t pcm[TONE_BANK_BLOCK];
        struct tone_block block;
        fill(pcm, TONE_BANK_BLOCK, (enum signal)(round % SIGNALS), &random);
        c->blocks(pcm, 1, &block);
        double energy = 0;
        for (int i = 0; i < TONE_BANK_BLOCK; i++)
            energy += (double)pcm[i] * pcm[i];
        assert_true(fabs(block.energy * (double)TONE_BANK_ENERGY_UNIT - energy) <= 8 * 16);
        double difference = 0;
        for (int i = 1; i < TONE_BANK_BLOCK; i++)
            difference += ((double)pcm[i] - pcm[i - 1]) * ((double)pcm[i] - pcm[i - 1]);
        assert_true(fabs(block.difference * (double)TONE_BANK_ENERGY_UNIT - difference) <= 15 * 16);
        for (int tone = 0; tone < TONE_BANK_TONES; tone++) {
            double cosine = 0;
            double sine = 0;
            for (int i = 0; i < TONE_BANK_BLOCK; i++) {
                double angle = 2 * M_PI * tone_bank_hz[tone] * (i - 7.5) / 8000;
                cosine += pcm[i] * cos(angle) * TONE_BANK_SCALE;
                sine += pcm[i] * sin(angle) * TONE_BANK_SCALE;
            }
            /* The table rounds each wave to half a step. */
            double bound = 0.5 * 32768 * TONE_BANK_BLOCK + 1;
            assert_true(fabs(block.cosine[tone] - cosine) <= bound);
            assert_true(fabs(block.sine[tone] - sine) <= bound);
        }
    }
}

static void the_environment_holds_faces_down(void **state)
{
    (void)state;
    char *was = getenv("TONEGATE_CPU");
    was = was ? strdup(was) : NULL;
    unsetenv("TONEGATE_CPU");
    unsigned all = dsp_cpu_flags();
    setenv("TONEGATE_CPU", "c", 1);
    assert_int_equal(dsp_cpu_flags(), 0);
    assert_string_equal(tone_bank_choose(dsp_cpu_flags())->name, "c");
    setenv("TONEGATE_CPU", "nonsense", 1);
    assert_int_equal(dsp_cpu_flags(), 0);
    setenv("TONEGATE_CPU", "avx2", 1);
    assert_int_equal(dsp_cpu_flags() & (DSP_CPU_AVX512 | DSP_CPU_VNNI), 0);
    setenv("TONEGATE_CPU", "avx512", 1);
    assert_int_equal(dsp_cpu_flags(), all);
    if (was)
        setenv("TONEGATE_CPU", was, 1);
    else
        unsetenv("TONEGATE_CPU");
    free(was);
}

/* No demand, only the figures: a busy machine must not fail a test. */
static void speed_of_the_faces(void **state)
{
    (void)state;
    size_t face_count;
    const struct tone_bank_face *faces = tone_bank_faces(&face_count);
    static int16_t pcm[160];
    struct tone_random random;
    tone_random_seed(&random, 1);
    fill(pcm, 160, RANDOM, &random);
    for (size_t f = 0; f < face_count; f++) {
        struct tone_block blocks[10];
        struct timespec start;
        struct timespec end;
        if (faces[f].cpu_flags & ~dsp_cpu_flags())
            continue;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
        for (int i = 0; i < 2000; i++)
            faces[f].blocks(pcm, 10, blocks);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
        double ns = (double)(end.tv_sec - start.tv_sec) * 1e9 + (double)(end.tv_nsec - start.tv_nsec);
        print_message("tone bank %-7s %.3f ns a sample\n", faces[f].name, ns / (2000 * 160));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_face_equals_the_reference),
        cmocka_unit_test(the_reference_equals_the_definition),
        cmocka_unit_test(the_environment_holds_faces_down),
        cmocka_unit_test(speed_of_the_faces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
