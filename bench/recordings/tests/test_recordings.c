/* Rates, files, packets and the mask at a recording's own rate, each against what it must be. */
#include "base/tests/cmocka_all.h"
#include "bench/recordings/mask_channel.h"
#include "bench/recordings/new_file.h"
#include "bench/recordings/rate_change.h"
#include "bench/recordings/sound_file.h"
#include "bench/recordings/udp_frame.h"

#include <math.h>
#include <sndfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE 1000

/* ------------------------------------------------------------------ rates */

/* A sine of hz through the change, in uneven pieces; *count says how much came. The caller frees it. */
static float *change_sine(unsigned in_rate, unsigned out_rate, double hz, size_t in_count, size_t *count)
{
    struct rate_change *change;
    assert_int_equal(rate_change_new(&change, in_rate, out_rate), OK);
    size_t room = rate_change_room(change);
    float *out = calloc(in_count * out_rate / in_rate + room + 8, sizeof *out);
    float *piece = calloc(room, sizeof *piece);
    float in[PIECE];
    assert_non_null(out);
    assert_non_null(piece);
    *count = 0;
    for (size_t at = 0; at < in_count;) {
        size_t here = 1 + at % PIECE;
        here = here < in_count - at ? here : in_count - at;
        for (size_t i = 0; i < here; i++)
            in[i] = (float)sin(2 * M_PI * hz * (double)(at + i) / in_rate);
        size_t got = rate_change_feed(change, in, here, piece);
        assert_true(got <= room);
        memcpy(out + *count, piece, got * sizeof *out);
        *count += got;
        at += here;
    }
    size_t got = rate_change_end(change, piece);
    memcpy(out + *count, piece, got * sizeof *out);
    *count += got;
    free(piece);
    rate_change_free(change);
    return out;
}

static const unsigned rates[] = {4000,  6000,  8000,  11025, 12345, 16000,
                                 22050, 32000, 44100, 48000, 96000, 191999};
#define RATES (sizeof rates / sizeof rates[0])

static void a_tone_keeps_its_place_level_and_length_at_every_rate(void **state)
{
    (void)state;
    for (size_t r = 0; r < 2 * RATES; r++) {
        unsigned in_rate = r < RATES ? rates[r] : 8000;
        unsigned out_rate = r < RATES ? 8000 : rates[r - RATES];
        size_t count;
        float *out = change_sine(in_rate, out_rate, 1633, in_rate / 2, &count);
        size_t due = (in_rate / 2 * (size_t)out_rate + in_rate - 1) / in_rate;
        assert_int_equal(count, due);
        for (size_t i = out_rate / 20; i < count - out_rate / 20; i++)
            assert_float_equal(out[i], sin(2 * M_PI * 1633 * (double)i / out_rate), 0.004);
        free(out);
    }
}

static void what_lies_above_the_band_does_not_fold_into_it(void **state)
{
    (void)state;
    for (size_t r = 0; r < RATES; r++) {
        if (rates[r] < 16000)
            continue;
        size_t count;
        float *out = change_sine(rates[r], 8000, 6400, rates[r] / 2, &count); /* would fold to 1600 Hz */
        for (size_t i = 400; i < count - 400; i++)
            assert_true(fabsf(out[i]) < 0.001F);
        free(out);
    }
}

/* ------------------------------------------------------------------ the mask at any rate */

#define SECONDS  6
#define KEY_AT_S 3.0
#define KEY_S    0.1

static uint32_t noise_next(uint32_t *state)
{
    *state = *state * 1664525U + 1013904223U;
    return *state;
}

/* Faint noise, a low hum and one key. */
static double scene(unsigned rate, size_t n, uint32_t *random)
{
    double at_s = (double)n / rate;
    double value = (noise_next(random) >> 16) / 65536.0 * 120 - 60 + 300 * sin(2 * M_PI * 180 * at_s);
    if (at_s >= KEY_AT_S && at_s < KEY_AT_S + KEY_S)
        value += 4000 * (sin(2 * M_PI * 852 * at_s) + sin(2 * M_PI * 1477 * at_s));
    return value;
}

struct masked {
    double *in;
    double *out;
    size_t count;
    struct mask_channel_report report;
    struct mask_channel_span spans[64];
};

static void run_mask(struct masked *masked, unsigned rate, const struct mask_channel_options *options)
{
    struct mask_channel *channel;
    uint32_t random = 7;
    size_t written = 0;
    masked->count = (size_t)rate * SECONDS + 3; /* no whole number of anything */
    masked->in = calloc(masked->count, sizeof *masked->in);
    masked->out = calloc(masked->count, sizeof *masked->out);
    assert_true(masked->in != NULL && masked->out != NULL);
    for (size_t i = 0; i < masked->count; i++)
        masked->in[i] = scene(rate, i, &random);
    assert_int_equal(mask_channel_new(&channel, rate, options), OK);
    for (size_t at = 0; at <= masked->count; at += PIECE) {
        size_t here = masked->count - at < PIECE ? masked->count - at : PIECE;
        if (here > 0)
            assert_int_equal(mask_channel_feed(channel, masked->in + at, here), OK);
        if (here < PIECE)
            assert_int_equal(mask_channel_end(channel), OK);
        size_t ready = mask_channel_ready(channel);
        assert_true(written + ready <= masked->count);
        mask_channel_take(channel, masked->out + written, ready);
        written += ready;
    }
    assert_int_equal(written, masked->count);
    mask_channel_report(channel, &masked->report);
    assert_true(masked->report.span_count <= 64);
    memcpy(masked->spans, masked->report.spans, masked->report.span_count * sizeof *masked->spans);
    mask_channel_free(channel);
}

static void free_mask(struct masked *masked)
{
    free(masked->in);
    free(masked->out);
}

/* Squared correlation of input and output within the key, in windows of 2 ms: the most of any. */
static double copy_of_key(const struct masked *masked, unsigned rate)
{
    size_t window = rate / 500;
    double most = 0;
    for (size_t at = (size_t)(KEY_AT_S * rate); at + window < (size_t)((KEY_AT_S + KEY_S) * rate);
         at += window / 4) {
        double product = 0;
        double in = 1e-9;
        for (size_t i = at; i < at + window; i++) {
            product += masked->in[i] * masked->out[i];
            in += masked->in[i] * masked->in[i];
        }
        most = fmax(most, fabs(product / in)); /* gain with which the tone came through */
    }
    return most;
}

static void a_key_is_gone_and_the_rest_is_untouched_at_every_rate(void **state)
{
    static const struct mask_channel_options options = {.lookahead_ms = 20, .to_s = 1e9};
    (void)state;
    for (size_t r = 0; r < RATES; r++) {
        struct masked masked;
        run_mask(&masked, rates[r], &options);
        assert_int_equal(masked.report.keys, 1);
        assert_int_equal(masked.report.keys_after, 0);
        assert_true(copy_of_key(&masked, rates[r]) < 0.2);
        size_t span = 0;
        for (size_t i = 0; i < masked.count; i++) {
            double at_ms = (double)i * 1000 / rates[r];
            while (span < masked.report.span_count && (double)masked.spans[span].to_ms + 1 <= at_ms)
                span++;
            bool is_beside =
                span >= masked.report.span_count || at_ms <= (double)masked.spans[span].from_ms - 1;
            if (is_beside)
                assert_true(masked.out[i] == masked.in[i]);
        }
        assert_true(masked.report.masked_ms < 300); /* the key, its holds and the start: no more */
        free_mask(&masked);
    }
}

/* The check above must be able to fail: a tone that goes through at a fifth of its level is found. */
static void a_copy_of_a_key_would_be_seen(void **state)
{
    static const struct mask_channel_options options = {.lookahead_ms = 20, .to_s = 1e9};
    struct masked masked;
    (void)state;
    run_mask(&masked, 44100, &options);
    for (size_t i = 0; i < 100; i++)
        masked.out[(size_t)(3.05 * 44100) + i] += 0.5 * masked.in[(size_t)(3.05 * 44100) + i];
    assert_true(copy_of_key(&masked, 44100) > 0.2);
    free_mask(&masked);
}

static void mute_lets_nothing_through_in_its_time(void **state)
{
    static const struct mask_channel_options options = {
        .lookahead_ms = 20, .mode = MASK_MUTE, .from_s = 1, .to_s = 2};
    struct masked masked;
    (void)state;
    run_mask(&masked, 16000, &options);
    for (size_t i = 16000; i < 32000; i++)
        assert_true(fabs(masked.out[i] - masked.in[i]) > 1e-9);
    assert_true(masked.out[8000] == masked.in[8000]);
    assert_true(masked.out[36000] == masked.in[36000]);
    assert_int_equal(masked.report.keys_after, 0); /* the key lies outside and is masked all the same */
    free_mask(&masked);
}

/* ------------------------------------------------------------------ files */

static void name_of(char *path, size_t size, const char *name)
{
    snprintf(path, size, "/tmp/test_recordings.%d.%s", (int)getpid(), name);
}

static void every_encoding_goes_through_without_losing_a_bit(void **state)
{
    static const int encodings[] = {SF_FORMAT_PCM_U8, SF_FORMAT_PCM_16, SF_FORMAT_PCM_24, SF_FORMAT_PCM_32,
                                    SF_FORMAT_ULAW,   SF_FORMAT_ALAW,   SF_FORMAT_FLOAT,  SF_FORMAT_DOUBLE};
    char reason[SOUND_REASON_BYTES];
    char in_path[128];
    char out_path[128];
    (void)state;
    name_of(in_path, sizeof in_path, "in.wav");
    name_of(out_path, sizeof out_path, "out.wav");
    for (size_t e = 0; e < sizeof encodings / sizeof encodings[0]; e++) {
        SF_INFO format = {.samplerate = 22050, .channels = 2, .format = SF_FORMAT_WAV | encodings[e]};
        double frames[PIECE * 2];
        SNDFILE *made = sf_open(in_path, SFM_WRITE, &format);
        uint32_t random = 3;
        for (size_t i = 0; i < PIECE * 2; i++)
            frames[i] = i < 2 ? (i ? 0.99999 : -1) : (int32_t)noise_next(&random) / 2147483648.0;
        assert_int_equal(sf_writef_double(made, frames, PIECE), PIECE);
        sf_close(made);
        struct sound_file *in;
        struct sound_file *out;
        struct new_file file;
        size_t got;
        unlink(out_path);
        assert_int_equal(sound_open(&in, in_path, SOUND_HAS_HEADER, reason), OK);
        assert_int_equal(new_file_open(&file, out_path, 0600, reason), OK);
        assert_int_equal(sound_create(&out, file.fd, out_path, in, reason), OK);
        assert_int_equal(sound_read(in, frames, PIECE, &got, reason), OK);
        assert_int_equal(got, PIECE);
        assert_int_equal(sound_write(out, frames, got, reason), OK);
        assert_int_equal(sound_close(out), OK);
        assert_int_equal(new_file_finish(&file, reason), OK);
        assert_int_equal(sound_close(in), OK);
        double first[PIECE * 2];
        double second[PIECE * 2];
        SNDFILE *one = sf_open(in_path, SFM_READ, &format);
        SNDFILE *two = sf_open(out_path, SFM_READ, &format);
        assert_int_equal(sf_readf_double(one, first, PIECE), PIECE);
        assert_int_equal(sf_readf_double(two, second, PIECE), PIECE);
        assert_memory_equal(first, second, sizeof first);
        sf_close(one);
        sf_close(two);
    }
    unlink(in_path);
    unlink(out_path);
}

static void a_new_file_is_whole_or_not_there_and_takes_no_place(void **state)
{
    struct new_file file;
    struct new_file other;
    char reason[NEW_FILE_REASON_BYTES];
    char path[128];
    (void)state;
    name_of(path, sizeof path, "new");
    assert_int_equal(new_file_open(&file, path, 0600, reason), OK);
    assert_int_equal(write(file.fd, "a", 1), 1);
    assert_int_equal(access(path, F_OK), -1);
    new_file_drop(&file);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(new_file_open(&file, path, 0600, reason), OK);
    assert_int_equal(new_file_finish(&file, reason), OK);
    assert_int_equal(new_file_open(&other, path, 0600, reason), ERR_EXISTS);
    assert_non_null(strstr(reason, path));
    unlink(path);
    /* Somebody is faster. */
    assert_int_equal(new_file_open(&file, path, 0600, reason), OK);
    fclose(fopen(path, "w"));
    assert_int_equal(new_file_finish(&file, reason), ERR_EXISTS);
    unlink(path);
}

/* ------------------------------------------------------------------ frames */

static void lengths_in_a_frame_are_not_believed(void **state)
{
    /* Ethernet, IPv4, UDP with four bytes of payload and two of Ethernet's padding. */
    uint8_t frame[14 + 20 + 8 + 4 + 2] = {
        [12] = 8,  [14] = 0x45, [17] = 32, [23] = 17, [26] = 10, [30] = 10, [34] = 15,
        [36] = 31, [39] = 12,   [42] = 1,  [43] = 2,  [44] = 3,  [45] = 4};
    struct udp_frame udp;
    (void)state;
    assert_true(udp_frame_read(&udp, 1, frame, sizeof frame));
    assert_int_equal(udp.payload_bytes, 4);
    assert_false(udp.is_cut);
    assert_true(udp_frame_read(&udp, 1, frame, sizeof frame - 4));
    assert_int_equal(udp.payload_bytes, 2);
    assert_true(udp.is_cut);
    for (size_t length = 0; length < 14 + 20 + 8; length++)
        assert_false(udp_frame_read(&udp, 1, frame, length));
    frame[39] = 13; /* UDP says more than IP */
    assert_false(udp_frame_read(&udp, 1, frame, sizeof frame));
    frame[39] = 12;
    frame[20] = 0x20; /* a fragment */
    assert_false(udp_frame_read(&udp, 1, frame, sizeof frame));
    assert_false(udp_frame_read(&udp, 105, frame, sizeof frame)); /* IEEE 802.11 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tone_keeps_its_place_level_and_length_at_every_rate),
        cmocka_unit_test(what_lies_above_the_band_does_not_fold_into_it),
        cmocka_unit_test(a_key_is_gone_and_the_rest_is_untouched_at_every_rate),
        cmocka_unit_test(a_copy_of_a_key_would_be_seen),
        cmocka_unit_test(mute_lets_nothing_through_in_its_time),
        cmocka_unit_test(every_encoding_goes_through_without_losing_a_bit),
        cmocka_unit_test(a_new_file_is_whole_or_not_there_and_takes_no_place),
        cmocka_unit_test(lengths_in_a_frame_are_not_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
