#include "dsp/g711.h"

#include "dsp/tests/cmocka_all.h"

#include <stdlib.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_decodes_as_the_tables_say),
        cmocka_unit_test(every_sample_encodes_as_the_decision_values_say),
        cmocka_unit_test(codes_survive_a_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
