#include "dsp/suspicion.h"

#include "dsp/cpu.h"
#include "dsp/dtmf.h"
#include "dsp/suspicion_priv.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

#define FLOOR_DBM0 (-41.0f) /* both tones together must have this much in the window */

/* Shares of the window's energy, and of that and of the energy of its differences together, that pass the gate. Of 100 000
 * windows that are full of a key (twist within 9 dB, 2 % off tune, SNR 10 dB, over speech 12 dB below it) none has less. */
#define SHARE_MIN  0.20f
#define SHARES_MIN 0.92f

static struct suspicion_gate gate;
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void turn_make(struct suspicion_turn *turn, double distance)
{
    for (int tone = 0; tone < TONE_BANK_TONES; tone++) {
        double angle = 2 * M_PI * tone_bank_hz[tone] / DTMF_SAMPLE_RATE * distance;
        turn->cosine[tone] = (float)cos(angle);
        turn->sine[tone] = (float)sin(angle);
    }
}

static void tables_make(void)
{
    double amplitude = 32767 * pow(10, (FLOOR_DBM0 - 3.14) / 20);
    float half = SUSPICION_WINDOW * TONE_BANK_BLOCK /
                 2; /* power of a correlation that is all of the energy, over it */
    turn_make(&gate.inner, TONE_BANK_BLOCK / 2.0);
    turn_make(&gate.outer, TONE_BANK_BLOCK * 3 / 2.0);
    for (int tone = 0; tone < TONE_BANK_TONES; tone++) {
        double sine = sin(M_PI * tone_bank_hz[tone] / DTMF_SAMPLE_RATE);
        gate.slope[tone] = (float)(4 * sine * sine);
    }
    gate.energy_min = (float)(amplitude * amplitude * half);
    gate.share_min = SHARE_MIN * half;
    gate.shares_min = SHARES_MIN * half;
    suspicion_look_tables_make();
    suspicion_glance_tables_make(&gate);
}

static void push_c(struct suspicion_stretch *stretch, const struct tone_block *blocks, size_t count,
                   const struct suspicion_gate *asked_by)
{
    suspicion_push_face(stretch, blocks, count, asked_by);
}

static const struct suspicion_face faces[] = {
    {"c", 0, push_c, suspicion_glance_c, suspicion_weigh_glance_c, suspicion_look_c, suspicion_weigh_c},
#ifdef DSP_HAS_X86
    {"avx2", DSP_CPU_AVX2, suspicion_push_avx2, suspicion_glance_avx2, suspicion_weigh_glance_avx2,
     suspicion_look_avx2, suspicion_weigh_avx2},
    {"avx512", DSP_CPU_AVX512, suspicion_push_avx512, suspicion_glance_avx512, suspicion_weigh_glance_avx512,
     suspicion_look_avx512, suspicion_weigh_avx512},
#endif
};
#define FACE_COUNT (sizeof(faces) / sizeof(faces[0]))

const struct suspicion_face *suspicion_faces(size_t *count)
{
    *count = FACE_COUNT;
    return faces;
}

void suspicion_init(struct suspicion *suspicion, enum suspicion_haste haste, unsigned cpu_flags)
{
    pthread_once(&tables_once, tables_make);
    memset(suspicion, 0, sizeof(*suspicion));
    suspicion->haste = (uint8_t)haste;
    suspicion->face = &faces[0];
    for (size_t i = 1; i < FACE_COUNT; i++) {
        if ((faces[i].cpu_flags & ~cpu_flags) == 0)
            suspicion->face = &faces[i];
    }
    suspicion_set_strict(suspicion, false);
}

void suspicion_set_strict(struct suspicion *suspicion, bool is_strict)
{
    const struct suspicion_network *network = &suspicion_networks[suspicion->haste];
    const struct suspicion_glance_network *glance = &suspicion_glance_networks[suspicion->haste];
    suspicion->evidence_min = is_strict ? network->evidence_min_strict : network->evidence_min;
    suspicion->glance_min = is_strict ? glance->evidence_min_strict : glance->evidence_min;
}

void suspicion_window(const struct suspicion_stretch *stretch, size_t k,
                      const struct suspicion_gate *asked_by, struct suspicion_spectrum *window)
{
    struct suspicion_wave wave;
    suspicion_join4(&wave, &stretch->spectrum[k], asked_by);
    suspicion_keep(window, &wave);
}

void suspicion_hear(const struct suspicion *s, const struct tone_block *blocks, size_t count,
                    struct suspicion_stretch *stretch)
{
    s->face->push(stretch, blocks, count, &gate);
}

bool suspicion_view(const struct suspicion *s, const struct suspicion_stretch *stretch, size_t i,
                    struct suspicion_view *view)
{
    if (!s->face->glance(stretch, SUSPICION_PAST + i, &gate, view))
        return false;
    s->face->look(stretch, SUSPICION_PAST + i, &gate, view);
    return true;
}

static bool is_worth_a_look(const struct suspicion *s, const struct suspicion_stretch *stretch, size_t i,
                            struct suspicion_view *view)
{
    return s->face->glance(stretch, SUSPICION_PAST + i, &gate, view) &&
           s->face->weigh_glance(&suspicion_glance_networks[s->haste], view) >= s->glance_min;
}

bool suspicion_looks(const struct suspicion *s, const struct suspicion_stretch *stretch, size_t i)
{
    struct suspicion_view view = {0};
    if (!stretch->is_asked[i] || !is_worth_a_look(s, stretch, i, &view))
        return false;
    s->face->look(stretch, SUSPICION_PAST + i, &gate, &view);
    return s->face->weigh(&suspicion_networks[s->haste], &view) >= s->evidence_min;
}

const struct suspicion_gate *suspicion_gate(void)
{
    pthread_once(&tables_once, tables_make);
    return &gate;
}

void suspicion_demand(struct suspicion_demand *demand)
{
    pthread_once(&tables_once, tables_make);
    *demand = (struct suspicion_demand){gate.energy_min, gate.share_min, gate.shares_min};
}

float suspicion_evidence(enum suspicion_haste haste, const struct suspicion_view *view)
{
    return suspicion_weigh_c(&suspicion_networks[haste], view);
}

float suspicion_glance_evidence(enum suspicion_haste haste, const struct suspicion_view *view)
{
    return suspicion_weigh_glance_c(&suspicion_glance_networks[haste], view);
}

void suspicion_judge(enum suspicion_haste haste, bool is_strict, const struct suspicion_view *view,
                     struct suspicion_verdict *verdict)
{
    struct suspicion by = {.haste = (uint8_t)haste};
    suspicion_set_strict(&by, is_strict);
    verdict->is_worth_a_look = suspicion_glance_evidence(haste, view) >= by.glance_min;
    verdict->is_suspicion = suspicion_evidence(haste, view) >= by.evidence_min;
}
