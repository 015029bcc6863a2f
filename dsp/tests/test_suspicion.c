/* Every face of suspicion says the same of the same blocks; what a close look sees is what least squares say; keys are
 * suspected in time, and what is no key is not. */
#include "dsp/suspicion.h"

#include "dsp/cpu.h"
#include "dsp/dtmf_detector.h"
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
           a->evidence == b->evidence;
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
                /* What is remembered, bit by bit. */
                assert_memory_equal(&c.past, &other.past, sizeof(c.past));
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
    static const int lengths[6] = {3, 4, 5, 6, 8, 10};
    const struct tone_bank_face *bank = tone_bank_choose(dsp_cpu_flags());
    struct tone_random random;
    tone_random_seed(&random, 22);
    for (int round = 0; round < 100; round++) {
        float sum[256] = {0};
        int16_t pcm[256];
        struct suspicion suspicion;
        struct suspicion_view view;
        struct tone_block blocks[16];
        bool is_asked = false;
        struct tone_press press = tone_source_random_press(&random, -8, 3, 0);
        tone_source_press(sum, 0, 256, &press);
        tone_source_noise(&random, sum, 256, -25);
        tone_source_finish(sum, pcm, 256, TONE_LINE_CLEAN);
        bank->blocks(pcm, 16, blocks);
        suspicion_init(&suspicion, SUSPICION_IN_9_MS, dsp_cpu_flags());
        for (int k = 0; k < 16; k++) {
            bool is_pair = suspicion_view(&suspicion, &blocks[k], &view, &is_asked);
            assert_true(is_pair || k < 3);
        }
        assert_true(is_asked);
        assert_int_equal(view.key_low * 4 + view.key_high, dtmf_key_place(press.key));
        double low_hz = tone_bank_hz[view.key_low];
        double high_hz = tone_bank_hz[4 + view.key_high];
        assert_true(fabs((double)view.feature[12] - explained_by_projection(pcm + 192, 64, low_hz, high_hz)) <
                    1e-3);
        for (int w = 0; w < 6; w++) {
            int count = lengths[w] * TONE_BANK_BLOCK;
            double share = explained_by_projection(pcm + 256 - count, count, low_hz, high_hz);
            /* Tunings are tried in steps, and the one that suits 8 ms is taken for all lengths. */
            double less = lengths[w] <= 5 ? 0.15 : 0.4;
            assert_true((double)view.feature[w] > share - less && (double)view.feature[w] < share + 0.1);
        }
    }
}

/* Of count keys, those in which nothing was suspected up to some samples after the onset. */
static size_t keys_not_suspected(enum suspicion_haste haste, size_t samples, size_t count)
{
    const struct tone_bank_face *bank = tone_bank_choose(dsp_cpu_flags());
    struct tone_random random;
    size_t missed = 0;
    tone_random_seed(&random, 23);
    for (size_t i = 0; i < count; i++) {
        float sum[960] = {0};
        int16_t pcm[960];
        struct suspicion suspicion;
        struct tone_block blocks[SUSPICION_FEED_MAX];
        struct suspicion_hit hits[SUSPICION_FEED_MAX];
        struct tone_press press = tone_source_random_press(&random, -20, (float)(i % 17) - 8, 0.015f);
        tone_source_press(sum, 480 + i % 16, 464, &press);
        tone_source_noise(&random, sum, 960, tone_press_dbm0(&press) - 15);
        tone_source_finish(sum, pcm, 960, TONE_LINE_ULAW);
        suspicion_init(&suspicion, haste, dsp_cpu_flags());
        size_t block_count = (480 + i % 16 + samples) / TONE_BANK_BLOCK;
        size_t hit_count = 0;
        for (size_t k = 0; k < block_count; k++) {
            bank->blocks(pcm + k * TONE_BANK_BLOCK, 1, blocks);
            hit_count += suspicion_feed(&suspicion, blocks, 1, hits);
        }
        missed += hit_count == 0;
    }
    return missed;
}

static void a_key_is_suspected_before_it_could_leave(void **state)
{
    (void)state;
    assert_int_equal(keys_not_suspected(SUSPICION_IN_9_MS, 80, 4000), 0);
    assert_int_equal(keys_not_suspected(SUSPICION_IN_18_MS, 160, 4000), 0);
    /* The check is sharp: 3 ms are too short for anybody. */
    assert_true(keys_not_suspected(SUSPICION_IN_9_MS, 24, 400) > 390);
}

/* Blocks of a scene one by one. Of a key, from when a look must succeed: how many the close look would suspect at these
 * thresholds, and how many of those the glance refuses; else how many the gate lets through, and the same. */
static void count_refused(enum suspicion_haste haste, bool is_strict, const int16_t *pcm, size_t count,
                          size_t key_from, size_t *seen, size_t *refused)
{
    const struct tone_bank_face *bank = tone_bank_choose(dsp_cpu_flags());
    struct suspicion suspicion;
    suspicion_init(&suspicion, haste, dsp_cpu_flags());
    for (size_t at = 0; at + TONE_BANK_BLOCK <= count; at += TONE_BANK_BLOCK) {
        struct tone_block block;
        struct suspicion_view view = {0};
        struct suspicion_verdict verdict;
        bool is_asked;
        bank->blocks(pcm + at, 1, &block);
        if (!suspicion_view(&suspicion, &block, &view, &is_asked) || !is_asked)
            continue;
        suspicion_judge(haste, is_strict, &view, &verdict);
        if (key_from && (at + TONE_BANK_BLOCK < key_from || !verdict.is_suspicion))
            continue;
        (*seen)++;
        *refused += !verdict.is_worth_a_look;
    }
}

/* Of any level, twist and tuning, over noise, every second also over speech. */
static void make_press(struct tone_random *random, const struct speech *speech, size_t onset, size_t at,
                       int16_t pcm[960])
{
    float sum[960] = {0};
    struct tone_press press =
        tone_source_random_press(random, (float)tone_random_uniform(random, -28, -2),
                                 (float)tone_random_uniform(random, -9.3, 9.3), 0.0195f);
    float power = tone_press_dbm0(&press);
    tone_source_press(sum, onset, 400, &press);
    for (size_t i = 0; i < 960 && at % 2; i++)
        sum[i] += dtmf_amplitude_of_dbm0(power - 12) / 8000 * speech->samples[at + i];
    tone_source_noise(random, sum, 960, power - (float)tone_random_uniform(random, 10, 35));
    tone_source_finish(sum, pcm, 960, TONE_LINE_ULAW);
}

static void the_glance_refuses_speech_and_no_key(void **state)
{
    (void)state;
    struct speech speech;
    struct tone_random random;
    assert_int_equal(speech_synthesize(&speech, 5, 60), OK);
    for (int i = 0; i < 2 * SUSPICION_HASTES; i++) {
        enum suspicion_haste haste = (enum suspicion_haste)(i / 2);
        size_t suspected = 0, asked = 0, refused = 0, spared = 0;
        tone_random_seed(&random, 24);
        for (size_t k = 0; k < 2000; k++) {
            int16_t pcm[960];
            size_t at = tone_random_below(&random, (unsigned)(speech.count - 960));
            size_t onset = 480 + k % 16;
            make_press(&random, &speech, onset, at, pcm);
            size_t key_from = onset + (haste == SUSPICION_IN_9_MS ? 65 : 89);
            count_refused(haste, i % 2, pcm, onset + 400, key_from, &suspected, &refused);
        }
        count_refused(haste, i % 2, speech.samples, speech.count, 0, &asked, &spared);
        print_message("%zu looks at keys, %zu refused; %zu of %zu at speech\n", suspected, refused, spared,
                      asked);
        assert_true(suspected > 30000);
        assert_int_equal(refused, 0);
        assert_true(asked > 300 && spared > asked / 8);
    }
    speech_free(&speech);
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
    assert_true(hits[0].block >= SUSPICION_WINDOW - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_face_suspects_the_same),
        cmocka_unit_test(shares_are_those_of_least_squares),
        cmocka_unit_test(a_key_is_suspected_before_it_could_leave),
        cmocka_unit_test(the_glance_refuses_speech_and_no_key),
        cmocka_unit_test(silence_and_gaps_are_never_suspected),
    };
    return cmocka_run_group_tests(tests, make_scene, NULL);
}
