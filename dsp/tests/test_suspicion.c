/* Every face of suspicion says the same of the same blocks, and what it says is what least squares say. */
#include "dsp/suspicion.h"

#include "dsp/cpu.h"
#include "dsp/dtmf.h"
#include "dsp/tests/cmocka_all.h"
#include "testvectors/speech.h"
#include "testvectors/tone_source.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLES 160000

static int16_t scene[SAMPLES];

static int make_scene(void **state)
{
    (void)state;
    static float sum[SAMPLES];
    struct speech speech;
    struct tone_random random;
    tone_random_seed(&random, 21);
    if (speech_synthesize(&speech, 3, SAMPLES / 8000))
        return 1;
    for (size_t i = 0; i < SAMPLES; i++)
        sum[i] = 0.2f * speech.samples[i];
    speech_free(&speech);
    for (size_t at = 1000; at + 1000 < SAMPLES; at += 2000 + tone_random_below(&random, 900)) {
        float level = (float)tone_random_uniform(&random, -40, 3);
        struct tone_press press = tone_source_random_press(&random, level, 4, 0.02f);
        tone_source_press(sum, at, 400, &press);
    }
    tone_source_finish(sum, scene, SAMPLES, TONE_LINE_ULAW);
    return 0;
}

static bool is_same_hit(const struct suspicion_hit *a, const struct suspicion_hit *b)
{
    return a->block == b->block && a->key_low == b->key_low && a->key_high == b->key_high &&
           a->window == b->window && a->window_blocks == b->window_blocks && a->explained == b->explained;
}

static void every_face_suspects_the_same(void **state)
{
    (void)state;
    static const unsigned levels[] = {DSP_CPU_AVX2, DSP_CPU_AVX2 | DSP_CPU_AVX512 | DSP_CPU_VNNI};
    const struct tone_bank_face *bank = tone_bank_choose(0);
    struct tone_random random;
    tone_random_seed(&random, 20);
    for (int haste = 0; haste < 2 * SUSPICION_HASTES; haste++) {
        for (size_t k = 0; k < 2; k++) {
            struct suspicion c;
            struct suspicion other;
            size_t hits = 0;
            if (levels[k] & ~dsp_cpu_flags())
                continue;
            suspicion_init(&c, (enum suspicion_haste)(haste / 2), 0);
            suspicion_init(&other, (enum suspicion_haste)(haste / 2), levels[k]);
            suspicion_set_strict(&c, haste % 2);
            suspicion_set_strict(&other, haste % 2);
            for (size_t at = 0; at < SAMPLES;) {
                struct tone_block blocks[SUSPICION_FEED_MAX];
                struct suspicion_hit a[SUSPICION_FEED_MAX];
                struct suspicion_hit b[SUSPICION_FEED_MAX];
                size_t count = 1 + tone_random_below(&random, SUSPICION_FEED_MAX);
                if (at + count * TONE_BANK_BLOCK > SAMPLES)
                    break;
                bank->blocks(scene + at, count, blocks);
                size_t hit_count = suspicion_feed(&c, blocks, count, a);
                assert_int_equal(suspicion_feed(&other, blocks, count, b), hit_count);
                for (size_t i = 0; i < hit_count; i++)
                    assert_true(is_same_hit(&a[i], &b[i]));
                hits += hit_count;
                /* The windows themselves, bit by bit. */
                assert_memory_equal(&c.four, &other.four, sizeof(c.four));
                assert_memory_equal(&c.three, &other.three, sizeof(c.three));
                at += count * TONE_BANK_BLOCK;
            }
            assert_true(hits > 500);
        }
    }
}

/* What a pair explains of a window, by brute force: projection on an orthonormal basis of the four waves. */
static double explained_by_projection(const int16_t *pcm, int count, double low_hz, double high_hz)
{
    double basis[4][256];
    double energy = 0;
    double explained = 0;
    for (int i = 0; i < count; i++) {
        double t = 2 * M_PI * (i - (count - 1) / 2.0) / DTMF_SAMPLE_RATE;
        basis[0][i] = cos(low_hz * t);
        basis[1][i] = sin(low_hz * t);
        basis[2][i] = cos(high_hz * t);
        basis[3][i] = sin(high_hz * t);
        energy += (double)pcm[i] * pcm[i];
    }
    for (int k = 0; k < 4; k++) {
        for (int j = 0; j < k; j++) {
            double dot = 0;
            for (int i = 0; i < count; i++)
                dot += basis[k][i] * basis[j][i];
            for (int i = 0; i < count; i++)
                basis[k][i] -= dot * basis[j][i];
        }
        double norm = 0;
        double along = 0;
        for (int i = 0; i < count; i++)
            norm += basis[k][i] * basis[k][i];
        for (int i = 0; i < count; i++) {
            basis[k][i] /= sqrt(norm);
            along += basis[k][i] * pcm[i];
        }
        explained += along * along;
    }
    return explained / energy;
}

static void shares_are_those_of_least_squares(void **state)
{
    (void)state;
    const struct tone_bank_face *bank = tone_bank_choose(dsp_cpu_flags());
    struct tone_random random;
    tone_random_seed(&random, 22);
    for (int round = 0; round < 100; round++) {
        float sum[256] = {0};
        int16_t pcm[256];
        float scores[2 * SUSPICION_WINDOWS];
        struct suspicion suspicion;
        struct tone_block blocks[16];
        /* On tune, so that no neighbouring frequency or key explains more. */
        struct tone_press press = tone_source_random_press(&random, -8, 3, 0);
        tone_source_press(sum, 0, 256, &press);
        tone_source_noise(&random, sum, 256, -25);
        tone_source_finish(sum, pcm, 256, TONE_LINE_CLEAN);
        bank->blocks(pcm, 16, blocks);
        suspicion_init(&suspicion, SUSPICION_IN_9_MS, dsp_cpu_flags());
        for (int k = 0; k < 16; k++)
            suspicion_scores(&suspicion, &blocks[k], scores);
        for (int w = 0; w < SUSPICION_WINDOWS; w++) {
            int count = suspicion_windows[w].blocks * TONE_BANK_BLOCK;
            double best = 0;
            for (int row = 0; row < 4; row++) {
                for (int column = 4; column < 8; column++)
                    best = fmax(best, explained_by_projection(pcm + 256 - count, count, tone_bank_hz[row],
                                                              tone_bank_hz[column]));
            }
            /* Frequencies beside the nominal may explain a little more of the noise, or of a neighbour. */
            double even = 0.7 * suspicion_windows[w].evenness_weight; /* as such keys are */
            assert_true(scores[w] > best - 0.06 && scores[w] < best + even + 0.06);
        }
    }
}

static void silence_and_gaps_are_never_suspected(void **state)
{
    (void)state;
    struct suspicion suspicion;
    struct suspicion_hit hits[20];
    struct tone_block silence = {0};
    struct tone_block blocks[20];
    const struct tone_bank_face *bank = tone_bank_choose(0);
    suspicion_init(&suspicion, SUSPICION_IN_9_MS, dsp_cpu_flags());
    for (int i = 0; i < 100; i++)
        assert_int_equal(suspicion_feed(&suspicion, &silence, 1, hits), 0);
    float sum[320] = {0};
    int16_t pcm[320];
    struct tone_press press = {.key = 1, .level_low_dbm0 = -8, .level_high_dbm0 = -8};
    tone_source_press(sum, 0, 320, &press);
    tone_source_finish(sum, pcm, 320, TONE_LINE_CLEAN);
    bank->blocks(pcm, 20, blocks);
    /* Every second block lost: no window is ever whole. */
    for (int i = 0; i < 20; i++) {
        assert_int_equal(suspicion_feed(&suspicion, &blocks[i], 1, hits), 0);
        suspicion_deafen(&suspicion, 1);
        assert_int_equal(suspicion_feed(&suspicion, &blocks[i], 1, hits), 0);
    }
    assert_true(suspicion_feed(&suspicion, blocks, 20, hits) > 10);
    assert_true(hits[0].block >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_face_suspects_the_same),
        cmocka_unit_test(shares_are_those_of_least_squares),
        cmocka_unit_test(silence_and_gaps_are_never_suspected),
    };
    return cmocka_run_group_tests(tests, make_scene, NULL);
}
