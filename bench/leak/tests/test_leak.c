/* The judges of bench/leak: silent on what is clean, awake to every leak planted here. */
#include "bench/leak/audio_file.h"
#include "bench/leak/leak.h"
#include "bench/leak/leak_page.h"
#include "bench/leak/leak_text.h"
#include "bench/leak/spectrogram.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define RATE      8000
#define KEYS      24
#define KEY_MS    100
#define SPACING   2000 /* 250 ms from key to key */
#define FIRST_KEY 32000
#define LENGTH    (FIRST_KEY + KEYS * SPACING + 24000)
#define LOOKAHEAD 160

struct scene {
    float sent[LENGTH];
    float delivered[LENGTH];
    struct key_label labels[KEYS];
};

static uint32_t random_next(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static float random_even(uint32_t *state)
{
    return (float)random_next(state) / 2147483648.0F - 1;
}

static float amplitude(double dbm0)
{
    return (float)(32768 * pow(10, (dbm0 - 3.14) / 20));
}

/* Noise with a pole pair that wanders, in syllables: enough like speech for alignment. */
static void add_speech(float *out, size_t count, double dbm0, uint32_t seed)
{
    double before = 0;
    double earlier = 0;
    for (size_t i = 0; i < count; i++) {
        double hz = 500 + 300 * sin((double)i / 3000.0);
        double syllable = fmax(0, sin((double)i / 500.0 + 0.7 * sin((double)i / 3700.0)));
        double value = random_even(&seed) + 2 * 0.95 * cos(2 * M_PI * hz / RATE) * before - 0.9025 * earlier;
        earlier = before;
        before = value;
        out[i] += (float)(value * syllable * amplitude(dbm0) / 4);
    }
}

/* Noise of a steepness: 0 white, towards 1 more and more bass. */
static void fill_noise(float *out, size_t count, double dbm0, double steepness, uint32_t *seed)
{
    double held = 0;
    for (size_t i = 0; i < count; i++) {
        held = steepness * held + sqrt(1 - steepness * steepness) * random_even(seed) * 1.22;
        out[i] = (float)(held * amplitude(dbm0));
    }
}

static void add_tone(float *out, size_t count, unsigned key, double dbm0, double phase)
{
    double low_hz;
    double high_hz;
    attacker_key_tones(key, &low_hz, &high_hz);
    for (size_t i = 0; i < count; i++)
        out[i] += amplitude(dbm0) * (float)(sin(2 * M_PI * low_hz * 1.004 * (double)i / RATE + phase) +
                                            sin(2 * M_PI * high_hz * 0.995 * (double)i / RATE + 2 * phase));
}

/* A call whose keys are all masked with noise; the look-ahead comes in with arming, two seconds before the first key. */
static struct scene *scene_new(double noise_dbm0, double steepness, uint32_t seed)
{
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    add_speech(scene->sent, LENGTH, -18, seed);
    for (size_t k = 0; k < KEYS; k++) {
        size_t onset = FIRST_KEY + k * SPACING + random_next(&seed) % 160;
        scene->labels[k] =
            (struct key_label){random_next(&seed) % 12, onset, onset + KEY_MS * 8, KEY_UNKNOWN};
        add_tone(scene->sent + onset, KEY_MS * 8, scene->labels[k].key, -9 - (double)(k % 5), (double)k);
    }
    float *masked = malloc(LENGTH * sizeof *masked);
    assert_non_null(masked);
    memcpy(masked, scene->sent, LENGTH * sizeof *masked);
    for (size_t k = 0; k < KEYS; k++)
        fill_noise(masked + scene->labels[k].onset - 64, KEY_MS * 8 + 128, noise_dbm0, steepness, &seed);
    size_t armed = FIRST_KEY - 16000;
    memcpy(scene->delivered, masked, armed * sizeof *masked);
    fill_noise(scene->delivered + armed, LOOKAHEAD, noise_dbm0, steepness, &seed);
    memcpy(scene->delivered + armed + LOOKAHEAD, masked + armed,
           (LENGTH - armed - LOOKAHEAD) * sizeof *masked);
    free(masked);
    return scene;
}

static void judge(struct leak_report *report, const struct scene *scene)
{
    struct align_signal sent = {scene->sent, LENGTH};
    struct align_signal delivered = {scene->delivered, LENGTH};
    struct key_label labels[KEYS];
    memcpy(labels, scene->labels, sizeof labels);
    struct key_labels keys = {labels, KEYS};
    struct leak_options options = {0};
    assert_int_equal(leak_judge(report, &sent, &delivered, &keys, &options), OK);
}

/* What of the sent recording goes out from `from` samples into key k, times gain. */
static void plant(struct scene *scene, size_t k, size_t from, size_t count, float gain)
{
    size_t at = scene->labels[k].onset + from;
    for (size_t i = 0; i < count; i++)
        scene->delivered[at + LOOKAHEAD + i] = scene->sent[at + i] * gain;
}

static void nothing_leaks_from_masked_keys(void **state)
{
    (void)state;
    static const double steep[] = {0, 0.7, 0.95};
    for (size_t s = 0; s < 3; s++) {
        struct scene *scene = scene_new(s == 1 ? -38 : -55, steep[s], 7U + (uint32_t)s);
        struct leak_report report;
        judge(&report, scene);
        assert_int_equal(report.lag_count, 2);
        assert_int_equal(report.keys[0].lag, LOOKAHEAD);
        assert_int_equal(report.keys_leaked, 0);
        assert_true(report.leaked_ms_max == 0);
        assert_int_equal(report.attacker_sure, 0);
        assert_false(report.is_leaked);
        leak_report_release(&report);
        free(scene);
    }
}

static void two_milliseconds_of_one_key_are_found(void **state)
{
    (void)state;
    struct scene *scene = scene_new(-55, 0.5, 21);
    plant(scene, 9, 0, 16, 1);
    struct leak_report report;
    judge(&report, scene);
    assert_true(report.is_leaked);
    assert_int_equal(report.keys_leaked, 1);
    assert_true(report.keys[9].leaked_ms >= 1.5 && report.keys[9].leaked_ms <= 4);
    leak_report_release(&report);
    free(scene);
}

static void a_whole_key_at_minus_40_is_found(void **state)
{
    (void)state;
    struct scene *scene = scene_new(-55, 0.5, 22);
    add_tone(scene->delivered + scene->labels[4].onset + LOOKAHEAD, KEY_MS * 8, scene->labels[4].key, -40, 4);
    struct leak_report report;
    judge(&report, scene);
    assert_true(report.is_leaked);
    assert_int_equal(report.keys_leaked, 1);
    assert_true(report.keys[4].leaked_ms > 50);
    assert_true(report.keys[4].is_tone_left);
    assert_true(report.residual_dbm0_max > -45);
    leak_report_release(&report);
    free(scene);
}

static void the_tail_of_the_last_key_is_found(void **state)
{
    (void)state;
    struct scene *scene = scene_new(-55, 0.5, 23);
    plant(scene, KEYS - 1, KEY_MS * 8 - 24, 24, 1);
    struct leak_report report;
    judge(&report, scene);
    assert_true(report.is_leaked);
    assert_int_equal(report.keys_leaked, 1);
    assert_true(report.keys[KEYS - 1].leaked_ms >= 2);
    leak_report_release(&report);
    free(scene);
}

static void masking_switched_off_is_found_in_every_key(void **state)
{
    (void)state;
    struct scene *scene = scene_new(-55, 0.5, 24);
    for (size_t k = 0; k < KEYS; k++)
        plant(scene, k, 0, KEY_MS * 8, 1);
    struct leak_report report;
    judge(&report, scene);
    assert_int_equal(report.keys_leaked, KEYS);
    assert_int_equal(report.attacker_correct, KEYS);
    assert_true(report.leaked_ms_max >= KEY_MS - 1);
    leak_report_release(&report);
    free(scene);
}

/* Speech that runs on where a key went by INFO is no leak of that key. */
static void speech_in_place_of_a_silent_key_is_not_taken_for_it(void **state)
{
    (void)state;
    struct scene *scene = scene_new(-55, 0.5, 26);
    size_t onset = scene->labels[3].onset;
    memset(scene->sent + onset, 0, KEY_MS * 8 * sizeof *scene->sent);
    add_speech(scene->sent + onset, KEY_MS * 8, -18, 77);
    plant(scene, 3, 0, KEY_MS * 8, 1);
    struct leak_report report;
    judge(&report, scene);
    assert_true(report.keys[3].is_silent);
    assert_int_equal(report.keys_silent, 1);
    assert_int_equal(report.attacker_trials, KEYS - 1);
    assert_false(report.is_leaked);
    leak_report_release(&report);
    free(scene);
}

/* Another phase and pitch than what was sent: no copy, and still a tone that names the key. */
static void a_resynthesised_key_is_found(void **state)
{
    (void)state;
    struct scene *scene = scene_new(-55, 0.5, 25);
    add_tone(scene->delivered + scene->labels[3].onset + LOOKAHEAD + 160, 480, scene->labels[3].key, -30, 1);
    struct leak_report report;
    judge(&report, scene);
    assert_true(report.is_leaked);
    assert_true(report.keys[3].is_named_surely);
    leak_report_release(&report);
    free(scene);
}

static void recordings_of_two_calls_are_refused(void **state)
{
    (void)state;
    struct scene *one = scene_new(-55, 0.5, 31);
    float *noise = malloc(LENGTH * sizeof *noise);
    uint32_t seed = 5;
    fill_noise(noise, LENGTH, -25, 0.3, &seed);
    struct align_signal sent = {one->sent, LENGTH};
    struct align_signal delivered = {noise, LENGTH};
    struct key_labels keys = {one->labels, KEYS};
    struct leak_options options = {0};
    struct leak_report report;
    assert_int_equal(leak_judge(&report, &sent, &delivered, &keys, &options), ERR_NOT_FOUND);
    free(noise);
    free(one);
}

static void a_key_past_the_end_of_what_was_delivered_is_told(void **state)
{
    (void)state;
    struct scene *scene = scene_new(-55, 0.5, 32);
    struct align_signal sent = {scene->sent, LENGTH};
    struct align_signal delivered = {scene->delivered, scene->labels[KEYS - 2].onset};
    struct key_labels keys = {scene->labels, KEYS};
    struct leak_options options = {0};
    struct leak_report report;
    assert_int_equal(leak_judge(&report, &sent, &delivered, &keys, &options), OK);
    assert_int_equal(report.keys_missing, 2);
    leak_report_release(&report);
    free(scene);
}

/* The attacker is only worth something when noise leaves him at chance and a key does not. */
static void the_attacker_is_at_chance_on_noise(void **state)
{
    (void)state;
    enum { TRIALS = 600, SPAN = 150 * 8 };
    static float noise[SPAN];
    for (unsigned classes = 12; classes <= 16; classes += 4) {
        size_t correct = 0;
        uint32_t seed = 99;
        for (size_t t = 0; t < TRIALS; t++) {
            fill_noise(noise, SPAN, -50, (double)(t % 3) * 0.3, &seed);
            struct attacker_guess guess = attacker_listen(noise, SPAN, classes);
            correct += guess.key == (int)(random_next(&seed) % classes);
        }
        double low;
        double high;
        attacker_wilson(correct, TRIALS, &low, &high);
        assert_true(low <= 1.0 / classes && 1.0 / classes <= high);
        assert_true(attacker_chance_of(correct, TRIALS, 1.0 / classes) > LEAK_CHANCE_LEAST);
    }
}

static void the_attacker_names_every_key_in_the_clear(void **state)
{
    (void)state;
    static float tone[400];
    uint32_t seed = 3;
    for (unsigned key = 0; key < 16; key++) {
        fill_noise(tone, 400, -40, 0, &seed);
        add_tone(tone + 100, 40, key, -10, key);
        struct attacker_guess guess = attacker_listen(tone, 400, 16);
        assert_int_equal(guess.key, (int)key);
    }
    memset(tone, 0, sizeof tone);
    assert_int_equal(attacker_listen(tone, 400, 12).key, -1);
}

static void intervals_and_luck_are_right(void **state)
{
    (void)state;
    double low;
    double high;
    attacker_wilson(2, 24, &low, &high);
    assert_true(fabs(low - 0.0232) < 0.001 && fabs(high - 0.2585) < 0.001);
    assert_true(fabs(attacker_chance_of(1, 1, 0.25) - 0.25) < 1e-12);
    assert_true(fabs(attacker_chance_of(0, 24, 0.1) - 1) < 1e-9);
    assert_true(attacker_chance_of(12, 24, 1.0 / 12) < 1e-6);
}

static void keys_are_found_by_listening(void **state)
{
    (void)state;
    struct scene *scene = calloc(1, sizeof *scene);
    uint32_t seed = 8;
    assert_non_null(scene);
    fill_noise(scene->sent, LENGTH, -50, 0.4, &seed);
    for (size_t k = 0; k < KEYS; k++)
        add_tone(scene->sent + FIRST_KEY + k * SPACING, 800, (unsigned)k % 16, -12, (double)k);
    struct key_labels found;
    assert_int_equal(key_labels_find(&found, scene->sent, LENGTH), OK);
    assert_int_equal(found.count, KEYS);
    for (size_t k = 0; k < KEYS; k++) {
        assert_int_equal(found.labels[k].key, k % 16);
        assert_in_range(found.labels[k].onset, FIRST_KEY + k * SPACING - 24, FIRST_KEY + k * SPACING + 40);
        assert_in_range(found.labels[k].end, FIRST_KEY + k * SPACING + 760, FIRST_KEY + k * SPACING + 840);
    }
    key_labels_release(&found);
    free(scene);
}

static void bad_labels_are_refused_with_a_reason(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "[]",
        "{\"keys\":3}",
        "{\"sample_rate\":16000,\"keys\":[]}",
        "{\"keys\":[{\"key\":\"x\",\"onset_sample\":1,\"end_sample\":2}]}",
        "{\"keys\":[{\"key\":\"1\",\"onset_sample\":2,\"end_sample\":2}]}",
        "{\"keys\":[{\"key\":\"1\",\"onset_sample\":-1,\"end_sample\":2}]}",
        "{\"keys\":[{\"key\":\"1\",\"onset_sample\":1,\"end_sample\":99999999999}]}",
        "{\"keys\":[{\"key\":\"1\",\"onset_sample\":5,\"end_sample\":9},"
        "{\"key\":\"1\",\"onset_sample\":8,\"end_sample\":12}]}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct key_labels labels;
        char reason[256] = "";
        assert_int_equal(key_labels_parse(&labels, "keys.json", bad[i], strlen(bad[i]), reason), ERR_SYNTAX);
        assert_non_null(strstr(reason, "keys.json"));
        assert_null(labels.labels);
    }
}

static void write_file(const char *path, const void *bytes, size_t count)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    fclose(file);
}

static void audio_comes_back_as_written_and_damage_is_told(void **state)
{
    (void)state;
    char path[] = "/tmp/tonegate-leak-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    static short left[1000];
    static short right[1000];
    for (short i = 0; i < 1000; i++) {
        left[i] = i;
        right[i] = (short)-i;
    }
    const short *channels[] = {left, right};
    char reason[AUDIO_REASON_BYTES];
    struct audio *audio;
    assert_int_equal(audio_write(path, channels, 2, 1000, reason), OK);
    assert_int_equal(audio_read(&audio, path, reason), OK);
    assert_int_equal(audio->channel_count, 2);
    assert_int_equal(audio->sample_count, 1000);
    assert_true(audio->channel[1][700] == -700);
    audio_free(audio);
    assert_int_equal(truncate(path, 2000), 0);
    assert_int_equal(audio_read(&audio, path, reason), ERR_SYNTAX);
    assert_non_null(strstr(reason, "cut short"));
    write_file(path, "no audio at all", 15);
    assert_int_not_equal(audio_read(&audio, path, reason), OK);
    assert_non_null(strstr(reason, path));
    unlink(path);
    assert_int_equal(audio_read(&audio, path, reason), ERR_SYSTEM);
    assert_non_null(strstr(reason, "No such file"));
}

static void a_report_says_no_key(void **state)
{
    (void)state;
    struct scene *scene = scene_new(-55, 0.5, 24);
    struct leak_report report;
    judge(&report, scene);
    char *text = NULL;
    size_t length = 0;
    FILE *file = open_memstream(&text, &length);
    struct leak_names names = {"a.wav", "b<.wav"};
    struct align_signal sent = {scene->sent, LENGTH};
    assert_int_equal(leak_print_json(file, &report, &names), OK);
    assert_int_equal(leak_page_print(file, &report, &names, &sent, &sent), OK);
    leak_print_text(file, &report, &names);
    fclose(file);
    assert_non_null(strstr(text, "\"verdict\":\"clean\""));
    assert_null(strstr(text, "\"key\":"));
    assert_non_null(strstr(text, "b&lt;.wav"));
    assert_non_null(strstr(text, "data:image/png;base64,iVBOR"));
    free(text);
    leak_report_release(&report);
    free(scene);
}

static void a_spectrogram_is_brightest_where_the_tone_is(void **state)
{
    (void)state;
    struct spectrogram_options options = {64, 64, 0, 1, 0, -70};
    static float tone[8000];
    unsigned char *png;
    size_t bytes;
    add_tone(tone, 8000, 5, -6, 0);
    assert_int_equal(spectrogram_png(tone, 8000, &options, &png, &bytes), OK);
    assert_memory_equal(png, "\x89PNG\r\n", 6);
    free(png);
    options.width = 0;
    assert_int_equal(spectrogram_png(tone, 8000, &options, &png, &bytes), ERR_RANGE);
    char *text = spectrogram_base64((const unsigned char *)"tone", 4);
    assert_string_equal(text, "dG9uZQ==");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_leaks_from_masked_keys),
        cmocka_unit_test(two_milliseconds_of_one_key_are_found),
        cmocka_unit_test(a_whole_key_at_minus_40_is_found),
        cmocka_unit_test(the_tail_of_the_last_key_is_found),
        cmocka_unit_test(masking_switched_off_is_found_in_every_key),
        cmocka_unit_test(speech_in_place_of_a_silent_key_is_not_taken_for_it),
        cmocka_unit_test(a_resynthesised_key_is_found),
        cmocka_unit_test(recordings_of_two_calls_are_refused),
        cmocka_unit_test(a_key_past_the_end_of_what_was_delivered_is_told),
        cmocka_unit_test(the_attacker_is_at_chance_on_noise),
        cmocka_unit_test(the_attacker_names_every_key_in_the_clear),
        cmocka_unit_test(intervals_and_luck_are_right),
        cmocka_unit_test(keys_are_found_by_listening),
        cmocka_unit_test(bad_labels_are_refused_with_a_reason),
        cmocka_unit_test(audio_comes_back_as_written_and_damage_is_told),
        cmocka_unit_test(a_report_says_no_key),
        cmocka_unit_test(a_spectrogram_is_brightest_where_the_tone_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
