/* Every face of the grid screen hears and judges as the C reference does and touches nothing outside its arguments; what the
 * reference hears is what the definition says; and no window that is full of a key is screened out. */
#include "dsp/grid_screen.h"

#include "dsp/dtmf_detector.h"
#include "dsp/grid_screen_priv.h"
#include "dsp/tests/face_input.h"

#include <time.h>

#define FEED_SAMPLES (GRID_MAX * GRID_WINDOW)
#define SAMPLES      160000

static bool is_here(const struct grid_face *face)
{
    return (face->cpu_flags & ~dsp_cpu_flags()) == 0;
}

/* All windows are asked for everything. */
static const struct grid_gate open_gate = {.ratio_max = 1e30f}; /* times no energy: none */

static bool is_same_trace(const struct grid_trace *a, const struct grid_trace *b, size_t count)
{
    size_t bytes = count * sizeof(a->energy[0]);
    return memcmp(a->energy, b->energy, bytes) == 0 && memcmp(a->difference, b->difference, bytes) == 0 &&
           memcmp(a->power, b->power, bytes) == 0 && memcmp(a->steep_power, b->steep_power, bytes) == 0;
}

/* The same samples at `at` of the face's memory as of the reference's. */
static bool hears_the_same(const struct grid_face *face, const int16_t *pcm, size_t count, unsigned char *at)
{
    struct grid_trace trace, expected;
    memmove(at, pcm, count * GRID_WINDOW * sizeof(*pcm));
    uint32_t full = grid_faces(&(size_t){0})->hear(pcm, count, &open_gate, &expected);
    return face->hear((const int16_t *)(const void *)at, count, &open_gate, &trace) == full &&
           full == (1u << count) - 1 && is_same_trace(&trace, &expected, count);
}

/* At every count and alignment, at either guard. */
static bool hears_as_the_reference(const struct grid_face *face, struct tone_random *random)
{
    struct guarded in;
    bool is_same = true;
    guarded_new(&in, FEED_SAMPLES * sizeof(int16_t) + 64);
    for (size_t count = 1; count <= GRID_MAX; count++) {
        for (size_t misalign = 0; misalign < 64; misalign += 2) {
            for (enum signal signal = 0; signal < SIGNALS; signal++) {
                int16_t pcm[FEED_SAMPLES];
                size_t bytes = count * GRID_WINDOW * sizeof(*pcm);
                signal_fill(pcm, FEED_SAMPLES, signal, random);
                is_same &= hears_the_same(face, pcm, count, in.end - bytes - misalign);
                is_same &= hears_the_same(face, pcm, count, in.begin + misalign);
            }
        }
    }
    guarded_free(&in);
    return is_same;
}

static void every_face_hears_as_the_reference(void **state)
{
    (void)state;
    size_t face_count;
    const struct grid_face *faces = grid_faces(&face_count);
    struct tone_random random;
    tone_random_seed(&random, 41);
    for (size_t f = 0; f < face_count; f++) {
        if (is_here(&faces[f]))
            assert_true(hears_as_the_reference(&faces[f], &random));
        else
            print_message("face %s: not on this processor\n", faces[f].name);
    }
}

/* What a window has, exactly or a bit more or less, becomes what is demanded. */
static void gate_for(struct grid_gate *gate, const struct grid_trace *trace, size_t window,
                     struct tone_random *random)
{
    float energy = (float)(trace->energy[window] ? trace->energy[window] : 1);
    float difference = (float)trace->difference[window];
    float power = trace->power[window];
    float *demands[5] = {&gate->energy_min, &gate->ratio_min, &gate->ratio_max, &gate->share_min,
                         &gate->shares_min};
    const float values[5] = {energy, difference / energy, difference / energy, power / energy,
                             power / energy + trace->steep_power[window] / (difference > 0 ? difference : 1)};
    unsigned which = tone_random_below(random, 5);
    float value = values[which];
    for (unsigned i = tone_random_below(random, 3); i > 0; i--)
        value = nextafterf(value, tone_random_below(random, 2) ? INFINITY : 0);
    *demands[which] = value;
}

static bool judges_as_the_reference(const struct grid_face *face, struct tone_random *random, size_t *yes,
                                    size_t *no)
{
    const struct grid_face *reference = grid_faces(&(size_t){0});
    for (int round = 0; round < 10000; round++) {
        int16_t pcm[FEED_SAMPLES];
        struct grid_trace trace;
        struct grid_gate gate = open_gate;
        size_t count = 1 + tone_random_below(random, GRID_MAX);
        signal_fill(pcm, FEED_SAMPLES, (enum signal)(round % SIGNALS), random);
        (void)reference->hear(pcm, count, &gate, &trace);
        gate_for(&gate, &trace, tone_random_below(random, (unsigned)count), random);
        uint32_t full = reference->hear(pcm, count, &gate, &trace);
        if (face->hear(pcm, count, &gate, &trace) != full)
            return false;
        *yes += (size_t)__builtin_popcount(full);
        *no += count - (size_t)__builtin_popcount(full);
    }
    return true;
}

static void every_face_judges_as_the_reference(void **state)
{
    (void)state;
    size_t face_count;
    const struct grid_face *faces = grid_faces(&face_count);
    struct tone_random random;
    tone_random_seed(&random, 42);
    for (size_t f = 0; f < face_count; f++) {
        size_t yes = 0;
        size_t no = 0;
        if (!is_here(&faces[f]))
            continue;
        assert_true(judges_as_the_reference(&faces[f], &random, &yes, &no));
        assert_true(yes > 1000 && no > 1000);
    }
}

/* The last bit of a power. */
static uint32_t hear_wrongly(const int16_t *pcm, size_t count, const struct grid_gate *gate,
                             struct grid_trace *trace)
{
    uint32_t full = grid_faces(&(size_t){0})->hear(pcm, count, gate, trace);
    trace->steep_power[count - 1] = nextafterf(trace->steep_power[count - 1], 0);
    return full;
}

/* Fused multiply and add, or the sums in another order, would be so far off. */
static uint32_t judge_wrongly(const int16_t *pcm, size_t count, const struct grid_gate *gate,
                              struct grid_trace *trace)
{
    struct grid_gate other = *gate;
    other.shares_min = nextafterf(nextafterf(other.shares_min, INFINITY), INFINITY);
    return grid_faces(&(size_t){0})->hear(pcm, count, &other, trace);
}

static uint32_t weigh_wrongly(const int16_t *pcm, size_t count, const struct grid_gate *gate,
                              struct grid_trace *trace)
{
    struct grid_gate other = *gate;
    other.ratio_max = nextafterf(other.ratio_max, 0);
    return grid_faces(&(size_t){0})->hear(pcm, count, &other, trace);
}

static void a_wrong_face_is_caught(void **state)
{
    (void)state;
    const struct grid_face wrong_sums = {"wrong", 0, hear_wrongly};
    const struct grid_face wrong_judge = {"wrong", 0, judge_wrongly};
    const struct grid_face wrong_worth = {"wrong", 0, weigh_wrongly};
    struct tone_random random;
    size_t answers = 0;
    tone_random_seed(&random, 43);
    (void)grid_choose(0);
    assert_false(hears_as_the_reference(&wrong_sums, &random));
    assert_false(judges_as_the_reference(&wrong_judge, &random, &answers, &answers));
    assert_false(judges_as_the_reference(&wrong_worth, &random, &answers, &answers));
}

/* Correlation of a window with a tone, squared, of waves of amplitude 1. */
static double power_of(const int16_t *pcm, int tone)
{
    double cosine = 0;
    double sine = 0;
    for (int i = 0; i < GRID_WINDOW; i++) {
        double angle = 2 * M_PI * tone_bank_hz[tone] * i / DTMF_SAMPLE_RATE;
        cosine += pcm[i] * cos(angle);
        sine += pcm[i] * sin(angle);
    }
    return cosine * cosine + sine * sine;
}

static double strongest_of(const int16_t *pcm, bool is_weighed)
{
    double best[2] = {0, 0};
    for (int tone = 0; tone < TONE_BANK_TONES; tone++) {
        double slope = 2 * sin(M_PI * tone_bank_hz[tone] / DTMF_SAMPLE_RATE);
        best[tone / 4] = fmax(best[tone / 4], power_of(pcm, tone) * (is_weighed ? slope * slope : 1));
    }
    return best[0] + best[1];
}

static void the_reference_equals_the_definition(void **state)
{
    (void)state;
    const struct grid_face *c = grid_choose(0);
    const double unit = 1 << GRID_SHIFT;
    struct tone_random random;
    tone_random_seed(&random, 44);
    for (int round = 0; round < 400; round++) {
        int16_t pcm[GRID_WINDOW];
        struct grid_trace trace;
        double energy = 0;
        double difference = 0;
        signal_fill(pcm, GRID_WINDOW, (enum signal)(round % SIGNALS), &random);
        (void)c->hear(pcm, 1, &open_gate, &trace);
        for (int i = 0; i < GRID_WINDOW; i++) {
            double step = i ? fmax(fmin(pcm[i] - pcm[i - 1], INT16_MAX), INT16_MIN) : 0;
            energy += pcm[i] * (double)pcm[i];
            difference += step * step;
        }
        /* Each of 32 pairs is cut off. */
        assert_true(trace.energy[0] * unit <= energy && trace.energy[0] * unit > energy - 32 * unit);
        assert_true(trace.difference[0] * unit <= difference &&
                    trace.difference[0] * unit > difference - 32 * unit);
        /* The waves are rounded, half a step each, cosine and sine, row and column. */
        double wave = sqrt(energy * GRID_WINDOW) / GRID_SCALE;
        double power = trace.power[0] / (double)GRID_SCALE / GRID_SCALE;
        double steep =
            trace.steep_power[0] / (double)GRID_SCALE / GRID_SCALE * GRID_WINDOW / (GRID_WINDOW - 1);
        assert_true(fabs(sqrt(power) - sqrt(strongest_of(pcm, false))) <= wave + 1e-3);
        assert_true(fabs(sqrt(steep) - sqrt(strongest_of(pcm, true))) <= 2 * wave + 1e-3);
    }
}

/* Whatever the samples are. */
static void no_sum_leaves_its_bits(void **state)
{
    (void)state;
    (void)grid_choose(0);
    for (int wave = 0; wave < GRID_WAVES; wave++) {
        int64_t sum = 0;
        for (int i = 0; i < GRID_WINDOW; i++)
            sum += abs(grid_waves.waves[wave][i]) * INT64_C(32768);
        assert_true(sum <= INT32_MAX);
    }
    assert_true((INT64_C(2) * 32768 * 32768 >> GRID_SHIFT) * (GRID_WINDOW / 2) <= INT32_MAX);
}

/* A window full of a key, over noise and, every fourth, hum, a dial tone, or something like a voice. */
static void window_make(struct tone_random *random, size_t i, int16_t pcm[GRID_WINDOW])
{
    float sum[GRID_WINDOW] = {0};
    float twist = (float)tone_random_uniform(random, -9, 9);
    float level = (float)tone_random_uniform(random, -28, -2);
    struct tone_press press = tone_source_random_press(random, level, twist, 0.02f);
    tone_source_press(sum, 0, GRID_WINDOW, &press);
    float power = tone_press_dbm0(&press);
    float below = dtmf_amplitude_of_dbm0(power - (float)tone_random_uniform(random, 5, 20));
    for (size_t k = 0; k < GRID_WINDOW; k++) {
        double t = (double)k / DTMF_SAMPLE_RATE;
        if (i % 4 == 1)
            sum[k] += below * (float)sin(2 * M_PI * 50 * t + (double)i);
        if (i % 4 == 2)
            sum[k] += below / 2 * (float)(sin(2 * M_PI * 350 * t) + sin(2 * M_PI * 440 * t + (double)i));
        for (int harmonic = 1; harmonic < 14 && i % 4 == 3; harmonic++)
            sum[k] +=
                below / 6 * (float)sin(2 * M_PI * 130 * harmonic * t + (double)(i * (unsigned)harmonic));
    }
    tone_source_noise(random, sum, GRID_WINDOW, power - 10);
    tone_source_finish(sum, pcm, GRID_WINDOW, TONE_LINE_ULAW);
}

static size_t keys_missed(const struct grid_gate *gate, size_t count)
{
    const struct grid_face *face = grid_choose(dsp_cpu_flags());
    struct tone_random random;
    size_t missed = 0;
    tone_random_seed(&random, 45);
    for (size_t i = 0; i < count; i++) {
        int16_t pcm[GRID_WINDOW];
        struct grid_trace trace;
        window_make(&random, i, pcm);
        missed += !face->hear(pcm, 1, gate, &trace);
    }
    return missed;
}

static void no_key_is_screened_out(void **state)
{
    (void)state;
    struct grid_gate narrow = *grid_gate();
    assert_int_equal(keys_missed(grid_gate(), 40000), 0);
    narrow.ratio_min = 0.6f;
    assert_true(keys_missed(&narrow, 4000) > 100);
    narrow = *grid_gate();
    narrow.ratio_max = 0.95f;
    assert_true(keys_missed(&narrow, 4000) > 100);
    narrow = *grid_gate();
    narrow.shares_min *= 1.6f;
    assert_true(keys_missed(&narrow, 4000) > 100);
    narrow = *grid_gate();
    narrow.column_min *= 5;
    assert_true(keys_missed(&narrow, 4000) > 20);
}

/* No demand, only the figures: a busy machine must not fail a test. */
static void speed_of_the_faces(void **state)
{
    (void)state;
    static int16_t keys[SAMPLES];
    size_t face_count;
    const struct grid_face *faces = grid_faces(&face_count);
    struct tone_random random;
    tone_random_seed(&random, 46);
    for (size_t at = 0; at < SAMPLES; at += GRID_WINDOW)
        window_make(&random, at / GRID_WINDOW, keys + at);
    for (size_t f = 0; f < face_count; f++) {
        struct timespec start;
        struct timespec end;
        if (!is_here(&faces[f]))
            continue;
        int full = 0;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
        for (size_t at = 0; at < SAMPLES / GRID_WINDOW; at += GRID_MAX)
            full += __builtin_popcount(grid_windows(&faces[f], keys, 4096, at, GRID_MAX));
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
        double ns = (double)(end.tv_sec - start.tv_sec) * 1e9 + (double)(end.tv_nsec - start.tv_nsec);
        print_message("grid screen %-7s %.3f ns a sample, %d of %d windows full of a key\n", faces[f].name,
                      ns / SAMPLES, full, SAMPLES / GRID_WINDOW);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_face_hears_as_the_reference),
        cmocka_unit_test(every_face_judges_as_the_reference),
        cmocka_unit_test(a_wrong_face_is_caught),
        cmocka_unit_test(the_reference_equals_the_definition),
        cmocka_unit_test(no_sum_leaves_its_bits),
        cmocka_unit_test(no_key_is_screened_out),
        cmocka_unit_test(speed_of_the_faces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
