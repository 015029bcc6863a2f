/* The self-test passes on this machine, and finds every kernel's planted wrong face. */
#include "dsp/self_test.h"

#include "dsp/cpu.h"
#include "dsp/self_test_priv.h"
#include "dsp/tests/cmocka_all.h"

#include <string.h>

static struct dsp_faces faces_there_are(void)
{
    struct dsp_faces faces;
    faces.g711 = g711_faces(&faces.g711_count);
    faces.tone_bank = tone_bank_faces(&faces.tone_bank_count);
    faces.screen = screen_faces(&faces.screen_count);
    faces.grid = grid_faces(&faces.grid_count);
    faces.suspicion = suspicion_faces(&faces.suspicion_count);
    return faces;
}

static void every_face_of_this_machine_passes(void **state)
{
    (void)state;
    struct dsp_self_test report;
    assert_int_equal(dsp_self_test(&report), OK);
    assert_int_equal(report.dropped_count, 0);
    assert_true(report.face_count >= 4);
    print_message("%zu faces asked\n", report.face_count);
}

/* Each is right but for one thing. */
static void decode_wrongly(enum g711_law law, const uint8_t *in, int16_t *out, size_t count)
{
    g711_faces(&(size_t){0})->decode(law, in, out, count);
    out[count - 1] = (int16_t)(out[count - 1] ^ 4);
}

static void encode_wrongly(enum g711_law law, const int16_t *in, uint8_t *out, size_t count)
{
    g711_faces(&(size_t){0})->encode(law, in, out, count);
    out[0] ^= 1;
}

static void blocks_wrongly(const int16_t *pcm, size_t count, struct tone_block *out)
{
    tone_bank_faces(&(size_t){0})->blocks(pcm, count, out);
    out[0].difference++;
}

static uint32_t worth_wrongly(const int16_t *pcm, size_t count, const struct screen_gate *gate,
                              struct screen_trace *trace)
{
    (void)screen_faces(&(size_t){0})->worth(pcm, count, gate, trace);
    return 0; /* takes for silence what is none */
}

static uint32_t energies_wrongly(const int16_t *pcm, size_t count, const struct screen_gate *gate,
                                 struct screen_trace *trace)
{
    uint32_t worth = screen_faces(&(size_t){0})->worth(pcm, count, gate, trace);
    trace->difference[SCREEN_LEAD + count - 1]++;
    return worth;
}

static uint32_t powers_wrongly(const int16_t *pcm, size_t from, size_t count, const struct screen_gate *gate,
                               struct screen_trace *trace)
{
    uint32_t passing = screen_faces(&(size_t){0})->powers(pcm, from, count, gate, trace);
    trace->power[from]++;
    return passing;
}

static uint32_t judge_wrongly(const int16_t *pcm, size_t from, size_t count, const struct screen_gate *gate,
                              struct screen_trace *trace)
{
    return screen_faces(&(size_t){0})->powers(pcm, from, count, gate, trace) & ~2u; /* deaf at one block */
}

static uint32_t grid_wrongly(const int16_t *pcm, size_t count, const struct grid_gate *gate,
                             struct grid_trace *trace)
{
    uint32_t full = grid_faces(&(size_t){0})->hear(pcm, count, gate, trace);
    trace->difference[count - 1]++;
    return full;
}

static uint32_t grid_power_wrongly(const int16_t *pcm, size_t count, const struct grid_gate *gate,
                                   struct grid_trace *trace)
{
    uint32_t full = grid_faces(&(size_t){0})->hear(pcm, count, gate, trace);
    trace->power[0] *= 1.000001f;
    return full;
}

static uint32_t grid_judge_wrongly(const int16_t *pcm, size_t count, const struct grid_gate *gate,
                                   struct grid_trace *trace)
{
    return grid_faces(&(size_t){0})->hear(pcm, count, gate, trace) & ~2u; /* deaf at one window */
}

static void push_wrongly(struct suspicion_stretch *stretch, const struct tone_block *blocks, size_t count,
                         const struct suspicion_gate *gate)
{
    suspicion_faces(&(size_t){0})->push(stretch, blocks, count, gate);
    stretch->spectrum[SUSPICION_PAST + count - 1].wave[15] += 1;
}

static bool glance_wrongly(const struct suspicion_stretch *stretch, size_t k,
                           const struct suspicion_gate *gate, struct suspicion_view *view)
{
    bool is_pair = suspicion_glance_c(stretch, k, gate, view);
    view->glance[0] *= 1.0001f;
    return is_pair;
}

static void look_wrongly(const struct suspicion_stretch *stretch, size_t k, const struct suspicion_gate *gate,
                         struct suspicion_view *view)
{
    suspicion_look_c(stretch, k, gate, view);
    view->feature[46] *= 1.0001f;
}

static float weigh_wrongly(const struct suspicion_network *network, const struct suspicion_view *view)
{
    return suspicion_weigh_c(network, view) + 0.0001f;
}

static float weigh_glance_wrongly(const struct suspicion_glance_network *network,
                                  const struct suspicion_view *view)
{
    return suspicion_weigh_glance_c(network, view) + 0.0001f;
}

/* Two faces: a right one, and the wrong one at a level that this machine has. */
static enum err with_planted(const char *kernel, size_t place, struct dsp_self_test *report)
{
    struct dsp_faces faces = faces_there_are();
    unsigned level = place ? dsp_cpu_flags() : 0;
    struct g711_face g711[2] = {faces.g711[0], faces.g711[0]};
    struct tone_bank_face bank[2] = {faces.tone_bank[0], faces.tone_bank[0]};
    struct screen_face screen[2] = {faces.screen[0], faces.screen[0]};
    struct grid_face grid[2] = {faces.grid[0], faces.grid[0]};
    struct suspicion_face suspicion[2] = {faces.suspicion[0], faces.suspicion[0]};
    g711[place].name = "wrong";
    g711[place].cpu_flags = level;
    if (strcmp(kernel, "g711") == 0)
        g711[place].decode = decode_wrongly;
    if (strcmp(kernel, "encode") == 0)
        g711[place].encode = encode_wrongly;
    bank[place] = (struct tone_bank_face){"wrong", level,
                                          strcmp(kernel, "tone_bank") ? bank[0].blocks : blocks_wrongly};
    screen[place].name = "wrong";
    screen[place].cpu_flags = level;
    if (strcmp(kernel, "screen") == 0)
        screen[place].powers = powers_wrongly;
    if (strcmp(kernel, "energies") == 0)
        screen[place].worth = energies_wrongly;
    if (strcmp(kernel, "judge") == 0)
        screen[place].powers = judge_wrongly;
    if (strcmp(kernel, "worth") == 0)
        screen[place].worth = worth_wrongly;
    grid[place].name = "wrong";
    grid[place].cpu_flags = level;
    if (strcmp(kernel, "grid") == 0)
        grid[place].hear = grid_wrongly;
    if (strcmp(kernel, "grid_power") == 0)
        grid[place].hear = grid_power_wrongly;
    if (strcmp(kernel, "grid_judge") == 0)
        grid[place].hear = grid_judge_wrongly;
    suspicion[place].name = "wrong";
    suspicion[place].cpu_flags = level;
    if (strcmp(kernel, "suspicion") == 0)
        suspicion[place].push = push_wrongly;
    if (strcmp(kernel, "glance") == 0)
        suspicion[place].glance = glance_wrongly;
    if (strcmp(kernel, "look") == 0)
        suspicion[place].look = look_wrongly;
    if (strcmp(kernel, "weigh_glance") == 0)
        suspicion[place].weigh_glance = weigh_glance_wrongly;
    if (strcmp(kernel, "weigh") == 0)
        suspicion[place].weigh = weigh_wrongly;
    struct dsp_faces planted = {g711, 2, bank, 2, screen, 2, grid, 2, suspicion, 2};
    return dsp_self_test_of(&planted, report);
}

static void a_wrong_face_is_dropped(void **state)
{
    (void)state;
    static const char *const kernels[][2] = {
        {"g711", "g711"},
        {"encode", "g711"},
        {"tone_bank", "tone_bank"},
        {"screen", "screen"},
        {"judge", "screen"},
        {"energies", "screen"},
        {"worth", "screen"},
        {"suspicion", "suspicion"},
        {"look", "suspicion"},
        {"weigh", "suspicion"},
        {"glance", "suspicion"},
        {"weigh_glance", "suspicion"},
        {"grid", "grid_screen"},
        {"grid_power", "grid_screen"},
        {"grid_judge", "grid_screen"},
    };
    struct dsp_self_test report;
    if (dsp_cpu_flags() == 0) {
        print_message("no faces beside the reference here\n");
        skip();
    }
    /* None planted, none found. */
    assert_int_equal(with_planted("none", 1, &report), OK);
    assert_int_equal(report.dropped_count, 0);
    unsigned before = dsp_cpu_flags();
    for (size_t i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++) {
        assert_int_equal(with_planted(kernels[i][0], 1, &report), OK);
        assert_int_equal(report.dropped_count, 1);
        assert_string_equal(report.dropped[0].face, "wrong");
        assert_string_equal(report.dropped[0].kernel, kernels[i][1]);
        /* It is not bound any more, nor is anything that needs as much. */
        assert_int_equal(dsp_cpu_flags() & before, 0);
        assert_string_equal(screen_choose(dsp_cpu_flags())->name, "c");
        dsp_cpu_refuse_none();
    }
}

static void a_wrong_reference_is_refused(void **state)
{
    (void)state;
    static const char *const kernels[] = {"g711", "tone_bank", "judge", "grid_judge"};
    struct dsp_self_test report;
    for (size_t i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++) {
        assert_int_equal(with_planted(kernels[i], 0, &report), ERR_REFUSED);
        assert_true(report.dropped_count > 0);
        dsp_cpu_refuse_none();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_face_of_this_machine_passes),
        cmocka_unit_test(a_wrong_face_is_dropped),
        cmocka_unit_test(a_wrong_reference_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
