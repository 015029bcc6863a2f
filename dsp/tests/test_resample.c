#include "dsp/resample.h"

#include "dsp/tests/cmocka_all.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SECOND 48000

/* Level of what comes out for a sine that goes in, dB. */
static double gain_db(unsigned rate, double hz)
{
    static int16_t in[SECOND];
    static int16_t out[SECOND];
    struct resample resample;
    size_t out_count = 0;
    assert_int_equal(resample_init(&resample, rate), OK);
    for (unsigned i = 0; i < rate; i++)
        in[i] = (int16_t)lrint(16000 * sin(2 * M_PI * hz * i / rate));
    for (unsigned at = 0; at < rate; at += rate / 50)
        out_count += resample_run(&resample, in + at, rate / 50, out + out_count);
    assert_int_equal(out_count, 8000);
    double energy = 0;
    for (size_t i = 400; i < out_count; i++)
        energy += (double)out[i] * out[i];
    return 10 * log10(energy / (double)(out_count - 400) / (16000.0 * 16000.0 / 2) + 1e-12);
}

static void the_voice_band_passes_and_what_would_fold_does_not(void **state)
{
    (void)state;
    static const unsigned rates[] = {16000, 48000};
    for (int i = 0; i < 2; i++) {
        for (double hz = 100; hz <= 3300; hz += 200)
            assert_float_equal(gain_db(rates[i], hz), 0, 0.5);
        for (double hz = 4100; hz < rates[i] / 2.0; hz += 700)
            assert_true(gain_db(rates[i], hz) < -50);
    }
}

static void the_framing_does_not_matter(void **state)
{
    (void)state;
    static int16_t in[SECOND];
    static int16_t whole[SECOND / 6 + 10];
    static int16_t pieces[SECOND / 6 + 10];
    struct resample a;
    struct resample b;
    size_t whole_count = 0;
    size_t piece_count = 0;
    for (unsigned i = 0; i < SECOND; i++)
        in[i] = (int16_t)((i * 2654435761u >> 7) & 0x3fff);
    assert_int_equal(resample_init(&a, 48000), OK);
    assert_int_equal(resample_init(&b, 48000), OK);
    for (unsigned at = 0; at < SECOND; at += 960)
        whole_count += resample_run(&a, in + at, 960, whole + whole_count);
    for (unsigned at = 0, take = 1; at < SECOND; at += take, take = take % 700 + 1) {
        if (at + take > SECOND)
            take = SECOND - at;
        piece_count += resample_run(&b, in + at, take, pieces + piece_count);
    }
    assert_int_equal(piece_count, whole_count);
    assert_memory_equal(pieces, whole, whole_count * sizeof(*whole));
}

static void other_rates_and_counts_are_refused(void **state)
{
    (void)state;
    struct resample resample;
    int16_t out[8];
    assert_int_equal(resample_init(&resample, 44100), ERR_UNSUPPORTED);
    assert_int_equal(resample_init(&resample, 0), ERR_UNSUPPORTED);
    assert_int_equal(resample_init(&resample, 16000), OK);
    assert_int_equal(resample_run(&resample, NULL, 0, out), 0);
    assert_int_equal(resample_run(&resample, NULL, RESAMPLE_IN_MAX + 1, out), 0);
}

static void nothing_is_left_after_a_wipe(void **state)
{
    (void)state;
    static const struct resample zero;
    struct resample resample;
    int16_t in[160];
    int16_t out[160];
    memset(in, 0x55, sizeof(in));
    assert_int_equal(resample_init(&resample, 16000), OK);
    assert_int_equal(resample_run(&resample, in, 160, out), 80);
    resample_wipe(&resample);
    assert_memory_equal(&resample, &zero, sizeof(zero));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_voice_band_passes_and_what_would_fold_does_not),
        cmocka_unit_test(the_framing_does_not_matter),
        cmocka_unit_test(other_rates_and_counts_are_refused),
        cmocka_unit_test(nothing_is_left_after_a_wipe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
