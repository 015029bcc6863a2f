/* The watch hears what it must, cries no wolf over speech and noise, and keeps nothing. */
#include "dsp/outgoing_watch.h"

#include "dsp/dtmf_detector.h"
#include "dsp/tests/cmocka_all.h"
#include "testvectors/speech.h"
#include "testvectors/tone_source.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SCENE = 2400 };

static struct outgoing_watch *watch;

static int watch_open(void **state)
{
    (void)state;
    watch = aligned_alloc(OUTGOING_WATCH_ALIGN, outgoing_watch_size());
    return watch ? 0 : 1;
}

static int watch_close(void **state)
{
    (void)state;
    free(watch);
    return 0;
}

/* Sample at which the packet began that was found out; -1: none was. */
static long hear(const int16_t *pcm, size_t count, size_t frame)
{
    for (size_t at = 0; at + frame <= count; at += frame) {
        if (outgoing_watch_hear(watch, pcm + at, frame, NULL, 0))
            return (long)at;
    }
    return -1;
}

static void press(uint64_t seed, uint8_t key, size_t onset, unsigned ms, int16_t *pcm)
{
    static float sum[SCENE];
    struct tone_random random;
    memset(sum, 0, sizeof(sum));
    tone_random_seed(&random, seed);
    float twist = (float)tone_random_uniform(&random, -8, 8);
    struct tone_press one =
        tone_source_random_press(&random, (float)tone_random_uniform(&random, -24, -3), twist, 0.01f);
    one.key = key;
    tone_source_press(sum, onset, ms * 8, &one);
    tone_source_noise(&random, sum, SCENE, tone_press_dbm0(&one) - 25);
    tone_source_finish(sum, pcm, SCENE, TONE_LINE_ALAW);
}

static void every_key_is_heard_at_every_ptime(void **state)
{
    (void)state;
    static const size_t frames[] = {80, 160, 240, 320, 400, 480};
    for (size_t f = 0; f < sizeof(frames) / sizeof(frames[0]); f++) {
        for (uint64_t seed = 0; seed < 64; seed++) {
            int16_t pcm[SCENE];
            press(seed, (uint8_t)(seed % DTMF_KEYS), 800 + seed, 60, pcm);
            outgoing_watch_init(watch);
            long at = hear(pcm, SCENE, frames[f]);
            assert_in_range(at + (long)frames[f], 800 + (long)seed, 800 + (long)seed + 320 + (long)frames[f]);
        }
    }
}

#define APART 24000 /* samples: 3 s, longer than a doubt lasts */

/* Of 400 rests of a key, how many are heard when each comes `times` times, `apart` samples of silence between them. SpanDSP
 * cannot know so little. */
static size_t rests_heard(unsigned ms, int times, size_t apart)
{
    static const int16_t silence[APART] = {0};
    size_t heard = 0;
    for (uint64_t seed = 0; seed < 400; seed++) {
        struct outgoing_watch_counts counts;
        int16_t pcm[SCENE];
        bool is_heard = false;
        press(seed, (uint8_t)(seed % DTMF_KEYS), 800 + seed, ms, pcm);
        outgoing_watch_init(watch);
        for (int i = 0; i < times; i++) {
            is_heard |= hear(pcm, SCENE, 160) >= 0;
            is_heard |= apart && hear(silence, apart, 160) >= 0;
        }
        outgoing_watch_counts(watch, &counts);
        assert_int_equal(counts.keys, 0);
        heard += is_heard;
    }
    print_message("%u ms of a key, %d times, %zu ms apart: %zu of 400\n", ms, times, apart / 8, heard);
    return heard;
}

/* Two windows of the second ear fit into 20 ms wherever they begin, one into 15: then the next such rest tells, if it comes
 * before the doubt is over. */
static void the_rest_of_a_key_is_heard(void **state)
{
    (void)state;
    size_t once = rests_heard(15, 1, 0);
    assert_true(rests_heard(20, 1, 0) >= 392);
    assert_true(once >= 300 && once < 392); /* one window alone is not enough for some */
    assert_true(rests_heard(15, 2, 0) >= 392);
    assert_int_equal(rests_heard(15, 2, APART), once);
}

static void speech_is_no_key(void **state)
{
    (void)state;
    struct speech speech;
    struct outgoing_watch_counts counts;
    if (speech_load(&speech, SPEECH_PROMPTS, 1, 400)) {
        print_message("no recorded speech on this machine: synthetic speech instead\n");
        assert_int_equal(speech_synthesize(&speech, 5, 400), OK);
    }
    outgoing_watch_init(watch);
    for (size_t at = 0; at + 160 <= speech.count; at += 160)
        (void)!outgoing_watch_hear(watch, speech.samples + at, 160, NULL, 0);
    outgoing_watch_counts(watch, &counts);
    assert_int_equal(counts.samples, speech.count / 160 * 160);
    /* Speech as it was recorded: what is delivered has been through the mask, which takes these out too. */
    print_message("%.0f s of speech: %u keys, %u remains\n", (double)speech.count / DTMF_SAMPLE_RATE,
                  counts.keys, counts.remains);
    assert_int_equal(counts.keys, 0);
    assert_true(counts.remains <= 1);
    speech_free(&speech);
}

static void noise_hum_and_single_tones_are_no_key(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 12; kind++) {
        static float sum[80000];
        static int16_t pcm[80000];
        struct tone_random random;
        memset(sum, 0, sizeof(sum));
        tone_random_seed(&random, kind);
        tone_source_noise(&random, sum, 80000, kind < 3 ? -20.0f - 15 * (float)kind : -50);
        static const float tones_hz[] = {350, 440, 1000, 697, 770, 852, 1209, 1336, 1477};
        for (size_t i = 0; kind >= 3 && i < 80000; i++)
            sum[i] += 5000 * sinf(2 * (float)M_PI * tones_hz[kind - 3] * (float)i / 8000);
        tone_source_finish(sum, pcm, 80000, TONE_LINE_ULAW);
        outgoing_watch_init(watch);
        assert_int_equal(hear(pcm, 80000, 160), -1);
    }
}

/* Every second packet is lost: what is left are pieces of 20 ms. */
static void a_key_in_pieces_is_heard(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 64; seed++) {
        int16_t pcm[SCENE];
        bool is_heard = false;
        press(seed, (uint8_t)(seed % DTMF_KEYS), 800 + seed, 100, pcm);
        outgoing_watch_init(watch);
        for (size_t at = 0; at < SCENE; at += 160) {
            if (at / 160 % 2)
                outgoing_watch_gap(watch, 160);
            else
                is_heard |= outgoing_watch_hear(watch, pcm + at, 160, NULL, 0);
        }
        assert_true(is_heard);
    }
}

static void the_residual_is_measured_in_what_was_replaced_and_nowhere_else(void **state)
{
    (void)state;
    static int16_t pcm[4000];
    struct outgoing_watch_counts counts;
    float sum[4000] = {0};
    struct tone_press loud = {.key = 5, .level_low_dbm0 = -10, .level_high_dbm0 = -10};
    struct tone_press soft = {.key = 9, .level_low_dbm0 = -50, .level_high_dbm0 = -47};
    tone_source_press(sum, 0, 2000, &loud);
    tone_source_press(sum, 2000, 2000, &soft);
    tone_source_finish(sum, pcm, 4000, TONE_LINE_CLEAN);
    outgoing_watch_init(watch);
    outgoing_watch_counts(watch, &counts);
    assert_float_equal(counts.residual_dbm0, OUTGOING_WATCH_NONE, 0);
    const struct mask_run half[] = {{400, 400}, {400, 480}};
    for (size_t at = 0; at < 4000; at += 480) {
        size_t count = 4000 - at < 480 ? 4000 - at : 480;
        bool is_soft = at >= 2000;
        (void)!outgoing_watch_hear(watch, pcm + at, count, half, is_soft ? 2 : 0);
    }
    outgoing_watch_counts(watch, &counts);
    assert_in_range(counts.replaced_windows, 3, 5);
    assert_float_equal(counts.residual_dbm0, -47, 1.0);
}

static void nothing_is_kept(void **state)
{
    (void)state;
    int16_t pcm[SCENE];
    press(3, 7, 800, 100, pcm);
    outgoing_watch_init(watch);
    assert_true(hear(pcm, SCENE, 160) >= 0);
    /* Which key it was is nowhere, not even before the wipe. */
    const unsigned char *memory = (const unsigned char *)watch;
    struct outgoing_watch *fresh = aligned_alloc(OUTGOING_WATCH_ALIGN, outgoing_watch_size());
    assert_non_null(fresh);
    outgoing_watch_init(fresh);
    size_t letters = 0;
    for (size_t i = 0; i < outgoing_watch_size(); i++)
        letters += memory[i] == '7' && ((const unsigned char *)fresh)[i] != '7';
    free(fresh);
    assert_true(letters < 3); /* by chance, in counters and sums */
    outgoing_watch_wipe(watch);
    for (size_t i = 0; i < outgoing_watch_size(); i++)
        assert_int_equal(memory[i], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_is_heard_at_every_ptime),
        cmocka_unit_test(the_rest_of_a_key_is_heard),
        cmocka_unit_test(speech_is_no_key),
        cmocka_unit_test(noise_hum_and_single_tones_are_no_key),
        cmocka_unit_test(a_key_in_pieces_is_heard),
        cmocka_unit_test(the_residual_is_measured_in_what_was_replaced_and_nowhere_else),
        cmocka_unit_test(nothing_is_kept),
    };
    return cmocka_run_group_tests(tests, watch_open, watch_close);
}
