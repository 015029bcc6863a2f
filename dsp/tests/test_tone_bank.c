/* Every face of the tone bank gives the bits of the C reference, touches nothing outside its arguments, and is timed. */
#include "dsp/tone_bank.h"

#include "dsp/cpu.h"
#include "dsp/tests/face_input.h"

#include <stdlib.h>
#include <time.h>

#define BLOCKS_MAX 30

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
    unsigned char *start = in.end - count * sizeof(int16_t) - misalign;
    int16_t *pcm = malloc((count + 1) * sizeof(*pcm));
    assert_non_null(pcm);
    signal_fill(pcm, count, signal, random);
    memcpy(start, pcm, count * sizeof(*pcm));
    struct tone_block *blocks =
        (struct tone_block *)(void *)(out.end - block_count * sizeof(struct tone_block));
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
        signal_fill(pcm, TONE_BANK_BLOCK, (enum signal)(round % SIGNALS), &random);
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
    setenv("TONEGATE_CPU", all & DSP_CPU_NEON ? "neon" : "avx512", 1);
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
    signal_fill(pcm, 160, RANDOM, &random);
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
