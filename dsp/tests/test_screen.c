/* Every face of the screen hears and judges as the C reference does, touches nothing outside its arguments, and is timed;
 * what the reference hears is what the definition says; and nothing that suspicion's gate would let through is screened
 * out. */
#include "dsp/screen.h"

#include "dsp/dtmf_detector.h"
#include "dsp/screen_priv.h"
#include "dsp/tests/face_input.h"
#include "testvectors/suspicion_run.h"

#include <stdlib.h>
#include <time.h>

#define FEED_SAMPLES ((SCREEN_LEAD + SCREEN_FEED_MAX) * TONE_BANK_BLOCK)
#define SAMPLES      160000

static bool is_here(const struct screen_face *face)
{
    return (face->cpu_flags & ~dsp_cpu_flags()) == 0;
}

static bool is_same_trace(const struct screen_trace *a, const struct screen_trace *b, size_t from,
                          size_t count)
{
    size_t windows = count * sizeof(a->power[0]);
    size_t blocks = (SCREEN_LEAD + count) * sizeof(a->energy[0]);
    return memcmp(a->energy + from, b->energy + from, blocks) == 0 &&
           memcmp(a->difference + from, b->difference + from, blocks) == 0 &&
           memcmp(a->window_energy + from, b->window_energy + from, windows) == 0 &&
           memcmp(a->window_difference + from, b->window_difference + from, windows) == 0 &&
           memcmp(a->power + from, b->power + from, windows) == 0 &&
           memcmp(a->steep_power + from, b->steep_power + from, windows) == 0;
}

/* The same samples at `at` of the face's memory as of the reference's; powers of the windows from `from` on. */
static bool hears_the_same(const struct screen_face *face, const int16_t *pcm, size_t from, size_t count,
                           unsigned char *at)
{
    size_t samples = (SCREEN_LEAD + count) * TONE_BANK_BLOCK;
    struct screen_gate open = *screen_gate();
    const struct screen_gate *gate = &open;
    struct screen_trace expected;
    open.energy_min = 0; /* or there would be nothing to compare in silence */
    struct guarded out;
    guarded_new(&out, sizeof(struct screen_trace));
    struct screen_trace *trace = (struct screen_trace *)(void *)(out.end - sizeof(*trace));
    memmove(at, pcm, samples * sizeof(*pcm));
    const struct screen_face *reference = screen_faces(&(size_t){0});
    const int16_t *fed = (const int16_t *)(const void *)at + SCREEN_LEAD * TONE_BANK_BLOCK;
    pcm += SCREEN_LEAD * TONE_BANK_BLOCK;
    bool is_same = face->worth(fed, count, gate, trace) == reference->worth(pcm, count, gate, &expected) &&
                   face->powers(fed, from, count - from, gate, trace) ==
                       reference->powers(pcm, from, count - from, gate, &expected) &&
                   is_same_trace(trace, &expected, from, count - from);
    guarded_free(&out);
    return is_same;
}

/* At every length and alignment, at either guard. */
static bool hears_as_the_reference(const struct screen_face *face, struct tone_random *random)
{
    struct guarded in;
    bool is_same = true;
    guarded_new(&in, FEED_SAMPLES * sizeof(int16_t) + 64);
    for (size_t count = 1; count <= SCREEN_FEED_MAX; count++) {
        for (size_t misalign = 0; misalign < 64; misalign += 2) {
            int16_t pcm[FEED_SAMPLES];
            size_t bytes = (SCREEN_LEAD + count) * TONE_BANK_BLOCK * sizeof(*pcm);
            signal_fill(pcm, FEED_SAMPLES, (enum signal)((misalign / 2 + count) % SIGNALS), random);
            is_same &= hears_the_same(face, pcm, 0, count, in.end - bytes - misalign);
            is_same &= hears_the_same(face, pcm, misalign / 2 % count, count, in.begin + misalign);
        }
    }
    guarded_free(&in);
    return is_same;
}

static void every_face_hears_as_the_reference(void **state)
{
    (void)state;
    size_t face_count;
    const struct screen_face *faces = screen_faces(&face_count);
    struct tone_random random;
    tone_random_seed(&random, 31);
    (void)screen_choose(0);
    for (size_t f = 0; f < face_count; f++) {
        if (is_here(&faces[f]))
            assert_true(hears_as_the_reference(&faces[f], &random));
        else
            print_message("face %s: not on this processor\n", faces[f].name);
    }
}

/* What a window has, exactly or a bit more or less, becomes what is demanded. */
static void gate_for(struct screen_gate *gate, const struct screen_trace *trace, size_t window,
                     struct tone_random *random)
{
    float energy = trace->window_energy[window] > 0 ? trace->window_energy[window] : 1;
    float difference = trace->window_difference[window];
    float power = (float)trace->power[window] + gate->power_slack;
    float steep =
        (float)trace->steep_power[window] + energy * gate->steep_energy_slack + gate->steep_power_slack;
    gate->ratio_min = 0;
    gate->ratio_max = INFINITY;
    float *demands[5] = {&gate->energy_min, &gate->ratio_min, &gate->ratio_max, &gate->power_min,
                         &gate->powers_min};
    float eased = difference - gate->difference_slack > 1 ? difference - gate->difference_slack : 1;
    const float values[5] = {energy, difference / energy, difference / energy, power / energy,
                             power / energy + steep * gate->steep_scale / eased};
    unsigned which = tone_random_below(random, 5);
    float value = values[which];
    for (unsigned i = tone_random_below(random, 3); i > 0; i--)
        value = nextafterf(value, tone_random_below(random, 2) ? INFINITY : 0);
    *demands[which] = value;
}

static bool judges_as_the_reference(const struct screen_face *face, struct tone_random *random, size_t *yes,
                                    size_t *no)
{
    const struct screen_face *reference = screen_faces(&(size_t){0});
    for (int round = 0; round < 20000; round++) {
        int16_t samples[FEED_SAMPLES];
        struct screen_trace trace;
        struct screen_gate gate = *screen_gate();
        gate.energy_min = 0;
        size_t count = 1 + tone_random_below(random, SCREEN_FEED_MAX);
        const int16_t *pcm = samples + SCREEN_LEAD * TONE_BANK_BLOCK;
        signal_fill(samples, FEED_SAMPLES, (enum signal)(round % SIGNALS), random);
        (void)reference->worth(pcm, count, &gate, &trace);
        (void)reference->powers(pcm, 0, count, &gate, &trace);
        gate_for(&gate, &trace, tone_random_below(random, (unsigned)count), random);
        uint32_t worth = reference->worth(pcm, count, &gate, &trace);
        uint32_t passing = reference->powers(pcm, 0, count, &gate, &trace);
        if (face->worth(pcm, count, &gate, &trace) != worth ||
            face->powers(pcm, 0, count, &gate, &trace) != passing)
            return false;
        *yes += (size_t)(__builtin_popcount(worth) + __builtin_popcount(passing));
        *no += 2 * count - (size_t)(__builtin_popcount(worth) + __builtin_popcount(passing));
    }
    return true;
}

static void every_face_judges_as_the_reference(void **state)
{
    (void)state;
    size_t face_count;
    const struct screen_face *faces = screen_faces(&face_count);
    struct tone_random random;
    tone_random_seed(&random, 32);
    for (size_t f = 0; f < face_count; f++) {
        size_t yes = 0;
        size_t no = 0;
        if (!is_here(&faces[f]))
            continue;
        assert_true(judges_as_the_reference(&faces[f], &random, &yes, &no));
        assert_true(yes > 1000 && no > 1000);
    }
}

static uint32_t powers_wrongly(const int16_t *pcm, size_t from, size_t count, const struct screen_gate *gate,
                               struct screen_trace *trace)
{
    uint32_t passing = screen_faces(&(size_t){0})->powers(pcm, from, count, gate, trace);
    int32_t *last = &trace->steep_power[from + count - 1];
    *last += *last > 1000000; /* one step, in loud signals */
    return passing;
}

/* Fused multiply and add, or the sums in another order, would be so far off. */
static uint32_t worth_wrongly(const int16_t *pcm, size_t count, const struct screen_gate *gate,
                              struct screen_trace *trace)
{
    struct screen_gate other = *gate;
    other.ratio_max = nextafterf(other.ratio_max, 0);
    return screen_faces(&(size_t){0})->worth(pcm, count, &other, trace);
}

static uint32_t judge_wrongly(const int16_t *pcm, size_t from, size_t count, const struct screen_gate *gate,
                              struct screen_trace *trace)
{
    struct screen_gate other = *gate;
    other.powers_min *= 1.000001f;
    return screen_faces(&(size_t){0})->powers(pcm, from, count, &other, trace);
}

static void a_wrong_face_is_caught(void **state)
{
    (void)state;
    const struct screen_face *right = screen_faces(&(size_t){0});
    const struct screen_face wrong_powers = {"wrong", 0, right->worth, powers_wrongly};
    const struct screen_face wrong_worth = {"wrong", 0, worth_wrongly, right->powers};
    const struct screen_face wrong_judge = {"wrong", 0, right->worth, judge_wrongly};
    struct tone_random random;
    size_t answers = 0;
    tone_random_seed(&random, 33);
    (void)screen_choose(0);
    assert_false(hears_as_the_reference(&wrong_powers, &random));
    assert_false(judges_as_the_reference(&wrong_worth, &random, &answers, &answers));
    assert_false(judges_as_the_reference(&wrong_judge, &random, &answers, &answers));
}

/* Correlation of some blocks with a tone, squared; in the screen's unit. */
static double power_of(const int16_t *pcm, int blocks, int tone)
{
    double cosine = 0;
    double sine = 0;
    for (int i = 0; i < blocks * TONE_BANK_BLOCK; i++) {
        double angle = 2 * M_PI * tone_bank_hz[tone] * i / 8000;
        cosine += pcm[i] * cos(angle);
        sine += pcm[i] * sin(angle);
    }
    return (cosine * cosine + sine * sine) / (SCREEN_STEP * SCREEN_STEP);
}

static double strongest_of(const int16_t *pcm, bool is_weighed)
{
    double best[2] = {0, 0};
    for (int tone = 0; tone < TONE_BANK_TONES; tone++) {
        double slope = 2 * sin(M_PI * tone_bank_hz[tone] / 8000) / (double)SCREEN_SLOPE_UNIT;
        double power = power_of(pcm, SUSPICION_WINDOW, tone) * (is_weighed ? slope * slope : 1);
        best[tone / 4] = fmax(best[tone / 4], power);
    }
    return best[0] + best[1];
}

static void the_reference_equals_the_definition(void **state)
{
    (void)state;
    const struct screen_face *c = screen_faces(&(size_t){0});
    struct tone_random random;
    tone_random_seed(&random, 34);
    struct screen_gate open = *screen_gate();
    open.energy_min = 0;
    for (int round = 0; round < 100; round++) {
        int16_t samples[FEED_SAMPLES];
        struct screen_trace trace;
        signal_fill(samples, FEED_SAMPLES, (enum signal)(round % SIGNALS), &random);
        const int16_t *fed = samples + SCREEN_LEAD * TONE_BANK_BLOCK;
        (void)c->worth(fed, SCREEN_FEED_MAX, &open, &trace);
        (void)c->powers(fed, 0, SCREEN_FEED_MAX, screen_gate(), &trace);
        for (int i = 0; i < SCREEN_FEED_MAX; i++) {
            double energy = 0;
            for (int k = 0; k < SUSPICION_WINDOW * TONE_BANK_BLOCK; k++)
                energy += samples[i * TONE_BANK_BLOCK + k] * (double)samples[i * TONE_BANK_BLOCK + k];
            double heard = 0;
            for (int k = 0; k < SUSPICION_WINDOW; k++)
                heard += trace.energy[i + k] * (double)TONE_BANK_ENERGY_UNIT;
            assert_true(fabs(heard - energy) <= SUSPICION_WINDOW * TONE_BANK_BLOCK / 2.0 * 16);
            /* Roundings, of a row and a column, and the table's: half a step of each wave. */
            double table =
                sqrt(energy * SUSPICION_WINDOW * TONE_BANK_BLOCK) / SCREEN_SCALE / (double)SCREEN_STEP;
            const int16_t *pcm = samples + i * TONE_BANK_BLOCK;
            assert_true(fabs(sqrt(trace.power[i]) - sqrt(strongest_of(pcm, false))) <= 4 + table);
            assert_true(fabs(sqrt(trace.steep_power[i]) - sqrt(strongest_of(pcm, true))) <= 4.9 + table);
        }
    }
}

/* Four blocks' correlations must stay within 16 bits whatever the samples are. */
static void no_sum_leaves_its_bits(void **state)
{
    (void)state;
    (void)screen_choose(0);
    for (int first = 0; first + SUSPICION_WINDOW <= SCREEN_BLOCKS; first++) {
        for (int wave = 0; wave < SCREEN_WAVES; wave++) {
            int64_t sum = 0;
            for (int i = 0; i < SUSPICION_WINDOW * TONE_BANK_BLOCK; i++)
                sum += abs(screen_waves.samples[first + i / TONE_BANK_BLOCK][i % TONE_BANK_BLOCK][wave]);
            assert_true((sum * 32768 >> SCREEN_SHIFT) + SUSPICION_WINDOW <= INT16_MAX);
        }
    }
}

static int16_t scene[SAMPLES];

/* A harmonic of something like a voice, whose pitch and formant change. */
static float voice_part(int harmonic, double t)
{
    double pitch = 2 * M_PI * (130 * t + 6 * sin(2 * M_PI * 0.7 * t));
    double formant = (130.0 * harmonic - 650 - 400 * sin(5 * t)) / 300;
    return (float)(exp(-formant * formant) * sin(harmonic * pitch));
}

/* Keys of all levels, over something like a voice, over hum, and over next to nothing. */
static int make_scene(void **state)
{
    (void)state;
    static float sum[SAMPLES];
    struct tone_random random;
    tone_random_seed(&random, 35);
    for (size_t i = 0; i < SAMPLES; i++) {
        double t = (double)i / 8000;
        for (int k = 1; k < 14 && i / 20000 % 4 == 0; k++)
            sum[i] += 4000 * voice_part(k, t);
        if (i / 20000 % 4 == 1)
            sum[i] = (float)(6000 * sin(2 * M_PI * 100 * t));
    }
    for (size_t at = 1000; at + 1000 < SAMPLES; at += 1000 + tone_random_below(&random, 900)) {
        float level = (float)tone_random_uniform(&random, -42, 3);
        struct tone_press press = tone_source_random_press(&random, level, 12, 0.03f);
        tone_source_press(sum, at, 40 + tone_random_below(&random, 400), &press);
    }
    tone_source_noise(&random, sum, SAMPLES, -45);
    tone_source_finish(sum, scene, SAMPLES, TONE_LINE_ULAW);
    return 0;
}

static bool gate_asks[SAMPLES / TONE_BANK_BLOCK];

static bool note_asked(void *owner, const struct suspicion_stretch *stretch, size_t i, size_t block)
{
    (void)owner;
    gate_asks[block] = stretch->is_asked[i];
    return true;
}

static void what_the_gate_passes_passes_the_screen(void **state)
{
    (void)state;
    const struct screen_face *face = screen_choose(dsp_cpu_flags());
    struct suspicion suspicion;
    struct screen_trace trace;
    struct tone_random random;
    size_t exact = 0;
    size_t screened = 0;
    tone_random_seed(&random, 36);
    suspicion_init(&suspicion, SUSPICION_IN_18_MS, 0);
    assert_true(suspicion_run(&suspicion, scene, SAMPLES / TONE_BANK_BLOCK, note_asked, NULL));
    for (size_t block = SCREEN_LEAD; block + SCREEN_FEED_MAX <= SAMPLES / TONE_BANK_BLOCK;) {
        size_t count = 1 + tone_random_below(&random, SCREEN_FEED_MAX);
        const int16_t *at = scene + block * TONE_BANK_BLOCK;
        uint32_t passing = screen_blocks(face, at, count);
        uint32_t worth = face->worth(at, count, screen_gate(), &trace);
        for (size_t i = 0; i < count; i++, block++) {
            exact += gate_asks[block];
            assert_true(!gate_asks[block] || !(worth >> i & 1) || (passing >> i & 1));
        }
        screened += (size_t)__builtin_popcount(passing);
    }
    print_message("the gate passes %zu blocks of %d, the screen %zu\n", exact, SAMPLES / TONE_BANK_BLOCK,
                  screened);
    assert_true(exact > 1000);
    assert_true(screened < exact + exact / 10); /* it does screen */
}

/* Of count keys over noise, hum, a dial tone or speech, those whose window of 8 ms is not worth hearing. */
static size_t keys_not_worth_it(const struct screen_gate *gate, size_t count)
{
    const struct screen_face *face = screen_faces(&(size_t){0});
    struct tone_random random;
    size_t missed = 0;
    tone_random_seed(&random, 37);
    for (size_t i = 0; i < count; i++) {
        float sum[FEED_SAMPLES] = {0};
        int16_t pcm[FEED_SAMPLES];
        struct screen_trace trace;
        float twist = (float)tone_random_uniform(&random, -9, 9);
        struct tone_press press =
            tone_source_random_press(&random, (float)tone_random_uniform(&random, -28, -2), twist, 0.02f);
        tone_source_press(sum, 0, FEED_SAMPLES, &press);
        float power = tone_press_dbm0(&press);
        float below = dtmf_amplitude_of_dbm0(power - (float)tone_random_uniform(&random, 5, 20));
        for (size_t k = 0; k < FEED_SAMPLES; k++) {
            double t = (double)k / 8000;
            if (i % 4 == 1)
                sum[k] += below * (float)sin(2 * M_PI * 50 * t + (double)i);
            if (i % 4 == 2)
                sum[k] += below / 2 * (float)(sin(2 * M_PI * 350 * t) + sin(2 * M_PI * 440 * t + (double)i));
            for (int harmonic = 1; harmonic < 14 && i % 4 == 3; harmonic++)
                sum[k] += below / 3 * voice_part(harmonic, t + (double)i);
        }
        tone_source_noise(&random, sum, FEED_SAMPLES, power - 10);
        tone_source_finish(sum, pcm, FEED_SAMPLES, TONE_LINE_ULAW);
        const int16_t *fed = pcm + SCREEN_LEAD * TONE_BANK_BLOCK;
        missed += face->worth(fed, SCREEN_FEED_MAX, gate, &trace) != (1u << SCREEN_FEED_MAX) - 1;
    }
    return missed;
}

static void keys_are_worth_hearing(void **state)
{
    (void)state;
    struct screen_gate narrow = *screen_gate();
    assert_int_equal(keys_not_worth_it(screen_gate(), 40000), 0);
    narrow.ratio_min = 0.45f;
    assert_true(keys_not_worth_it(&narrow, 4000) > 100);
    narrow = *screen_gate();
    narrow.ratio_max = 0.95f;
    assert_true(keys_not_worth_it(&narrow, 4000) > 100);
}

/* No demand, only the figures: a busy machine must not fail a test. */
static void speed_of_the_faces(void **state)
{
    (void)state;
    size_t face_count;
    const struct screen_face *faces = screen_faces(&face_count);
    for (size_t f = 0; f < face_count; f++) {
        struct timespec start;
        struct timespec end;
        if (!is_here(&faces[f]))
            continue;
        uint32_t sum = 0;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
        for (size_t at = 160; at + 160 <= SAMPLES; at += 160)
            sum += screen_blocks(&faces[f], scene + at, SCREEN_FEED_MAX);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
        double ns = (double)(end.tv_sec - start.tv_sec) * 1e9 + (double)(end.tv_nsec - start.tv_nsec);
        print_message("screen %-7s %.3f ns a sample (%u)\n", faces[f].name, ns / (SAMPLES - 160), sum & 1);
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
        cmocka_unit_test(what_the_gate_passes_passes_the_screen),
        cmocka_unit_test(keys_are_worth_hearing),
        cmocka_unit_test(speed_of_the_faces),
    };
    return cmocka_run_group_tests(tests, make_scene, NULL);
}
