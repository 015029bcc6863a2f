#include "dsp/g711.h"

#include "dsp/cpu.h"
#include "dsp/tests/face_input.h"

#include <stdlib.h>
#include <time.h>

/* The decoder written another way: ITU-T G.711 tables 1a and 2a, step by step from the segment's start. */
static int expand(enum g711_law law, int magnitude_code)
{
    int segment = magnitude_code >> 4;
    int step = magnitude_code & 15;
    if (law == G711_ULAW) {
        int start = 0;
        for (int s = 0; s < segment; s++)
            start += 16 * (8 << s);
        int width = 8 << segment;
        return start + step * width + width / 2 - 4; /* the middle of the step; zero stays zero */
    }
    if (segment == 0)
        return step * 16 + 8;
    int start = 256 << (segment - 1);
    int width = 16 << (segment - 1);
    return start + step * width + width / 2;
}

static int decoded(enum g711_law law, int code)
{
    int is_positive = code & 0x80;
    int magnitude_code = law == G711_ULAW ? ~code & 0x7f : (code ^ 0x55) & 0x7f;
    int value = expand(law, magnitude_code);
    return is_positive ? value : -value;
}

static void every_code_decodes_as_the_tables_say(void **state)
{
    (void)state;
    for (int law = G711_ULAW; law <= G711_ALAW; law++) {
        for (int code = 0; code < 256; code++) {
            uint8_t in = (uint8_t)code;
            int16_t out;
            g711_decode((enum g711_law)law, &in, &out, 1);
            assert_int_equal(out, decoded((enum g711_law)law, code));
        }
    }
}

/* Decision values x1..x128 of the tables, on the 16-bit scale: the first steps of u-law are half as wide. */
static int code_by_decision_values(enum g711_law law, int magnitude)
{
    int value = law == G711_ULAW ? 4 : 16;
    int code = 0;
    while (code < 127 && magnitude >= value) {
        code++;
        int segment = code >> 4;
        if (law == G711_ULAW)
            value += 8 << segment;
        else
            value += segment == 0 ? 16 : 16 << (segment - 1);
    }
    return code;
}

static void every_sample_encodes_as_the_decision_values_say(void **state)
{
    (void)state;
    for (int sample = -32768; sample <= 32767; sample++) {
        int16_t in = (int16_t)sample;
        uint8_t code;
        g711_encode(G711_ULAW, &in, &code, 1);
        int expected = ~code_by_decision_values(G711_ULAW, abs(sample)) & 0x7f;
        assert_int_equal(code, expected | (sample >= 0 ? 0x80 : 0));
        g711_encode(G711_ALAW, &in, &code, 1);
        int magnitude = sample < 0 ? -sample - 1 : sample;
        expected = code_by_decision_values(G711_ALAW, magnitude) ^ 0x55;
        assert_int_equal(code, expected ^ (sample >= 0 ? 0x80 : 0));
    }
}

static void codes_survive_a_round_trip(void **state)
{
    (void)state;
    for (int law = G711_ULAW; law <= G711_ALAW; law++) {
        for (int code = 0; code < 256; code++) {
            uint8_t in = (uint8_t)code;
            int16_t linear;
            uint8_t back;
            g711_decode((enum g711_law)law, &in, &linear, 1);
            g711_encode((enum g711_law)law, &linear, &back, 1);
            /* The negative zero of u-law comes back as the positive one. */
            assert_int_equal(back, law == G711_ULAW && code == 0x7f ? 0xff : code);
        }
    }
}

/* All codes, at every length and alignment, at either guard. */
static bool decodes_as_the_reference(const struct g711_face *face, enum g711_law law)
{
    struct guarded in, out;
    bool is_same = true;
    guarded_new(&in, 512);
    guarded_new(&out, 1024);
    for (size_t count = 0; count <= 256; count++) {
        size_t misalign = count % 64;
        uint8_t *early = in.begin + misalign;
        uint8_t *late = in.end - count;
        int16_t expected[256];
        for (size_t i = 0; i < count; i++)
            early[i] = late[i] = (uint8_t)(i + 256 - count);
        int16_t *samples = (int16_t *)(void *)(out.end - count * sizeof(*samples));
        g711_faces(&(size_t){0})->decode(law, late, expected, count);
        face->decode(law, late, samples, count);
        is_same &= memcmp(samples, expected, count * sizeof(*samples)) == 0;
        samples = (int16_t *)(void *)(out.begin + 2 * misalign);
        face->decode(law, early, samples, count);
        is_same &= memcmp(samples, expected, count * sizeof(*samples)) == 0;
    }
    guarded_free(&in);
    guarded_free(&out);
    return is_same;
}

/* All samples; then at every length and alignment, at either guard. */
static bool encodes_as_the_reference(const struct g711_face *face, enum g711_law law)
{
    const struct g711_face *reference = g711_faces(&(size_t){0});
    static int16_t samples[65536];
    static uint8_t codes[65536], expected[65536];
    struct guarded in, out;
    for (int i = 0; i < 65536; i++)
        samples[i] = (int16_t)(i - 32768);
    reference->encode(law, samples, expected, 65536);
    face->encode(law, samples, codes, 65536);
    bool is_same = memcmp(codes, expected, sizeof(codes)) == 0;
    guarded_new(&in, 1024);
    guarded_new(&out, 512);
    for (size_t count = 0; count <= 256; count++) {
        int16_t *at = (int16_t *)(void *)(in.end - count * sizeof(*at));
        const int16_t *some = samples + 256 * count % 65000;
        memcpy(at, some, count * sizeof(*at));
        reference->encode(law, some, expected, count);
        face->encode(law, at, out.end - count, count);
        is_same &= memcmp(out.end - count, expected, count) == 0;
        at = (int16_t *)(void *)(in.begin + 2 * (count % 64));
        memcpy(at, some, count * sizeof(*at));
        face->encode(law, at, out.begin + count % 64, count);
        is_same &= memcmp(out.begin + count % 64, expected, count) == 0;
    }
    guarded_free(&in);
    guarded_free(&out);
    return is_same;
}

static void every_face_codes_as_the_reference(void **state)
{
    (void)state;
    size_t face_count;
    const struct g711_face *faces = g711_faces(&face_count);
    for (size_t f = 0; f < face_count; f++) {
        if (faces[f].cpu_flags & ~dsp_cpu_flags()) {
            print_message("face %s: not on this processor\n", faces[f].name);
            continue;
        }
        assert_true(decodes_as_the_reference(&faces[f], G711_ULAW));
        assert_true(decodes_as_the_reference(&faces[f], G711_ALAW));
        assert_true(encodes_as_the_reference(&faces[f], G711_ULAW));
        assert_true(encodes_as_the_reference(&faces[f], G711_ALAW));
    }
}

static void decode_wrongly(enum g711_law law, const uint8_t *in, int16_t *out, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        g711_faces(&(size_t){0})->decode(law, in + i, out + i, 1);
        out[i] = (int16_t)(out[i] == -32124 ? -32120 : out[i]);
    }
}

static void encode_wrongly(enum g711_law law, const int16_t *in, uint8_t *out, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        g711_faces(&(size_t){0})->encode(law, in + i, out + i, 1);
        out[i] = in[i] == -32768 ? 1 : out[i];
    }
}

static void a_wrong_face_is_caught(void **state)
{
    (void)state;
    static const struct g711_face wrong = {"wrong", 0, decode_wrongly, encode_wrongly};
    assert_false(decodes_as_the_reference(&wrong, G711_ULAW));
    assert_false(encodes_as_the_reference(&wrong, G711_ULAW));
}

/* No demand, only the figures: a busy machine must not fail a test. */
static void speed_of_the_faces(void **state)
{
    (void)state;
    size_t face_count;
    const struct g711_face *faces = g711_faces(&face_count);
    static uint8_t in[160];
    static int16_t out[160];
    for (size_t f = 0; f < face_count; f++) {
        struct timespec start, end;
        if (faces[f].cpu_flags & ~dsp_cpu_flags())
            continue;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
        for (int i = 0; i < 5000; i++)
            faces[f].decode(G711_ULAW, in, out, 160);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
        double ns = (double)(end.tv_sec - start.tv_sec) * 1e9 + (double)(end.tv_nsec - start.tv_nsec);
        print_message("g711 %-7s %.3f ns a sample\n", faces[f].name, ns / (5000 * 160));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_decodes_as_the_tables_say),
        cmocka_unit_test(every_sample_encodes_as_the_decision_values_say),
        cmocka_unit_test(codes_survive_a_round_trip),
        cmocka_unit_test(every_face_codes_as_the_reference),
        cmocka_unit_test(a_wrong_face_is_caught),
        cmocka_unit_test(speed_of_the_faces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
