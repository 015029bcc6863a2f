#include "dsp/self_test.h"

#include "dsp/cpu.h"
#include "dsp/dtmf.h"
#include "dsp/self_test_priv.h"

#include <math.h>
#include <string.h>

#define FED     10                     /* blocks of one trial */
#define BLOCKS  (SUSPICION_PAST + FED) /* and what went before */
#define HASHED  13                     /* blocks of which KNOWN_TONE_BANK is made */
#define SAMPLES (BLOCKS * TONE_BANK_BLOCK)
#define TRIALS  8

/* What the references have always said, as FNV-1a of the bytes: of all codes of either law, of the blocks of every trial. */
#define KNOWN_G711      0x89a94c5a9349940aull
#define KNOWN_TONE_BANK 0x54946e7a350a9b63ull

static uint64_t hash_more(uint64_t hash, uint64_t value)
{
    for (int byte = 0; byte < 8; byte++)
        hash = (hash ^ (value >> (8 * byte) & 0xff)) * 0x100000001b3ull;
    return hash;
}
#define HASH_START 0xcbf29ce484222325ull

/* Noise from a generator, quieter from trial to trial; the first trial is as loud as can be. */
static void trial_make(int trial, int16_t pcm[SAMPLES])
{
    uint32_t random = 2463534242u + (uint32_t)trial;
    for (int i = 0; i < SAMPLES; i++) {
        random = random * 1664525u + 1013904223u;
        int32_t sample = (int32_t)random >> 16;
        pcm[i] = (int16_t)(trial ? sample >> trial : sample < 0 ? -32768 : 32767);
    }
}

/* ---- G.711 ---- */

/* What is decoded is encoded as it was, but for u-law's two zeros, of which one comes back. */
static bool g711_codes_return(const struct g711_face *face, enum g711_law law, const uint8_t codes[256],
                              const int16_t pcm[256])
{
    uint8_t back[256];
    face->encode(law, pcm, back, 256);
    for (int i = 0; i < 256; i++) {
        if (back[i] != codes[i] && !(pcm[i] == 0 && back[i] == 0xff))
            return false;
    }
    return true;
}

static bool g711_is_known(const struct g711_face *face)
{
    uint8_t codes[256];
    uint64_t hash = HASH_START;
    for (int i = 0; i < 256; i++)
        codes[i] = (uint8_t)i;
    for (int law = G711_ULAW; law <= G711_ALAW; law++) {
        int16_t pcm[256];
        face->decode((enum g711_law)law, codes, pcm, 256);
        for (int i = 0; i < 256; i++)
            hash = hash_more(hash, (uint64_t)pcm[i]);
        if (!g711_codes_return(face, (enum g711_law)law, codes, pcm))
            return false;
    }
    return hash == KNOWN_G711;
}

/* ---- tone bank ---- */

static bool tone_bank_is_known(const struct tone_bank_face *face)
{
    uint64_t hash = HASH_START;
    for (int trial = 0; trial < TRIALS; trial++) {
        int16_t pcm[SAMPLES];
        struct tone_block blocks[HASHED];
        trial_make(trial, pcm);
        face->blocks(pcm, HASHED, blocks);
        for (int i = 0; i < HASHED; i++) {
            for (int tone = 0; tone < TONE_BANK_TONES; tone++)
                hash = hash_more(hash_more(hash, (uint64_t)blocks[i].cosine[tone]),
                                 (uint64_t)blocks[i].sine[tone]);
            hash = hash_more(hash_more(hash, blocks[i].energy), blocks[i].difference);
        }
    }
    return hash == KNOWN_TONE_BANK;
}

/* ---- what hears: a key in every window, nothing in others ---- */

static void key_make(int16_t pcm[SAMPLES], int row, int column)
{
    for (int i = 0; i < SAMPLES; i++) {
        double low = 2 * M_PI * tone_bank_hz[row] * i / DTMF_SAMPLE_RATE;
        double high = 2 * M_PI * tone_bank_hz[4 + column] * i / DTMF_SAMPLE_RATE;
        pcm[i] = (int16_t)lrint(6000 * sin(low) + 5000 * sin(high + 1));
    }
}

/* What a caller may send who presses nothing: a tone between the rows and the columns. */
static void no_key_make(int16_t pcm[SAMPLES])
{
    for (int i = 0; i < SAMPLES; i++)
        pcm[i] = (int16_t)lrint(8000 * sin(2 * M_PI * 1075 * i / DTMF_SAMPLE_RATE));
}

#define ALL_WINDOWS      ((1u << (FED)) - 1)
#define ALL_GRID_WINDOWS ((1u << (GRID_MAX)) - 1)
_Static_assert((GRID_MAX) * (GRID_WINDOW) <= SAMPLES, "a trial is long enough for both screens");

static bool screen_is_known(const struct screen_face *face)
{
    int16_t pcm[SAMPLES];
    const int16_t *fed = pcm + SCREEN_LEAD * TONE_BANK_BLOCK;
    const struct screen_gate *gate = screen_gate();
    struct screen_trace trace;
    for (int place = 0; place < 16; place++) {
        key_make(pcm, place / 4, place % 4);
        if (face->worth(fed, FED, gate, &trace) != ALL_WINDOWS ||
            face->powers(fed, 0, FED, gate, &trace) != ALL_WINDOWS)
            return false;
    }
    no_key_make(pcm);
    return face->worth(fed, FED, gate, &trace) == ALL_WINDOWS && face->powers(fed, 0, FED, gate, &trace) == 0;
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

static bool screen_is_same(const struct screen_face *face, const struct screen_face *reference)
{
    struct screen_gate open = *screen_gate();
    open.energy_min = 0; /* or there would be nothing to compare in silence */
    for (int trial = 0; trial < TRIALS; trial++) {
        int16_t pcm[SAMPLES];
        trial_make(trial, pcm);
        const int16_t *fed = pcm + SCREEN_LEAD * TONE_BANK_BLOCK;
        for (size_t count = 1; count <= FED; count++) {
            struct screen_trace heard, expected;
            size_t from = (size_t)trial % count;
            if (face->worth(fed, count, screen_gate(), &heard) !=
                    reference->worth(fed, count, screen_gate(), &expected) ||
                face->worth(fed, count, &open, &heard) != reference->worth(fed, count, &open, &expected) ||
                face->powers(fed, from, count - from, &open, &heard) !=
                    reference->powers(fed, from, count - from, &open, &expected) ||
                !is_same_trace(&heard, &expected, from, count - from))
                return false;
        }
    }
    return true;
}

static bool grid_is_known(const struct grid_face *face)
{
    int16_t pcm[SAMPLES];
    struct grid_trace trace;
    for (int place = 0; place < 16; place++) {
        key_make(pcm, place / 4, place % 4);
        if (face->hear(pcm, GRID_MAX, grid_gate(), &trace) != ALL_GRID_WINDOWS)
            return false;
    }
    no_key_make(pcm);
    return face->hear(pcm, GRID_MAX, grid_gate(), &trace) == 0;
}

static bool is_same_grid_trace(const struct grid_trace *a, const struct grid_trace *b, size_t count)
{
    size_t bytes = count * sizeof(a->energy[0]);
    return memcmp(a->energy, b->energy, bytes) == 0 && memcmp(a->difference, b->difference, bytes) == 0 &&
           memcmp(a->power, b->power, bytes) == 0 && memcmp(a->steep_power, b->steep_power, bytes) == 0;
}

static bool grid_is_same(const struct grid_face *face, const struct grid_face *reference)
{
    const struct grid_gate open = {.ratio_max = 4}; /* all windows are asked for everything */
    for (int trial = 0; trial < TRIALS; trial++) {
        int16_t pcm[SAMPLES];
        trial_make(trial, pcm);
        for (size_t count = 1; count <= GRID_MAX; count++) {
            struct grid_trace heard, expected;
            if (face->hear(pcm, count, grid_gate(), &heard) !=
                    reference->hear(pcm, count, grid_gate(), &expected) ||
                face->hear(pcm, count, &open, &heard) != reference->hear(pcm, count, &open, &expected) ||
                !is_same_grid_trace(&heard, &expected, count))
                return false;
        }
    }
    return true;
}

/* Blocks by the reference of the tone bank; the face under test hears them. Returns the blocks that are suspicions, the first in
 * bit 0. */
static uint32_t suspicions_of(const struct suspicion_face *face, const struct tone_bank_face *bank,
                              const int16_t *pcm, struct suspicion_stretch *stretch)
{
    struct suspicion suspicion;
    struct tone_block blocks[BLOCKS];
    uint32_t found = 0;
    bank->blocks(pcm, BLOCKS, blocks);
    suspicion_init(&suspicion, SUSPICION_IN_9_MS, 0);
    suspicion.face = face;
    suspicion_hear(&suspicion, blocks, FED, stretch);
    for (size_t i = 0; i < FED; i++)
        found |= (uint32_t)suspicion_looks(&suspicion, stretch, i) << i;
    return found;
}

static bool suspicion_is_known(const struct suspicion_face *face, const struct tone_bank_face *bank)
{
    int16_t pcm[SAMPLES];
    struct suspicion_stretch stretch;
    for (int place = 0; place < 16; place++) {
        struct suspicion_view view = {0};
        key_make(pcm, place / 4, place % 4);
        if (!(suspicions_of(face, bank, pcm, &stretch) >> (FED - 1)) ||
            !face->glance(&stretch, BLOCKS - 1, suspicion_gate(), &view) || view.key_low != place / 4 ||
            view.key_high != place % 4)
            return false;
    }
    no_key_make(pcm);
    return suspicions_of(face, bank, pcm, &stretch) == 0;
}

static bool is_same_row(const float *a, const float *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (a[i] != b[i])
            return false;
    }
    return true;
}

static bool is_same_stretch(const struct suspicion_stretch *a, const struct suspicion_stretch *b)
{
    for (int i = 0; i < BLOCKS; i++) {
        if (!is_same_row(a->spectrum[i].wave, b->spectrum[i].wave, 2 * TONE_BANK_TONES))
            return false;
        if (a->energy[i] != b->energy[i] || a->difference[i] != b->difference[i])
            return false;
    }
    return memcmp(a->is_asked, b->is_asked, FED) == 0;
}

/* What both see in a key amid noise, and what both make of it. */
static bool is_same_view(const struct suspicion_face *face, const struct suspicion_face *reference,
                         const struct suspicion_stretch *stretch)
{
    for (size_t i = 0; i < FED; i++) {
        struct suspicion_view view = {0}, expected = {0};
        bool is_pair = reference->glance(stretch, SUSPICION_PAST + i, suspicion_gate(), &expected);
        if (face->glance(stretch, SUSPICION_PAST + i, suspicion_gate(), &view) != is_pair)
            return false;
        if (!is_pair)
            continue;
        reference->look(stretch, SUSPICION_PAST + i, suspicion_gate(), &expected);
        face->look(stretch, SUSPICION_PAST + i, suspicion_gate(), &view);
        if (!is_same_row(view.feature, expected.feature, SUSPICION_FEATURES) ||
            !is_same_row(view.glance, expected.glance, SUSPICION_GLANCE) ||
            face->weigh(&suspicion_networks[0], &view) != reference->weigh(&suspicion_networks[0], &view) ||
            face->weigh_glance(&suspicion_glance_networks[0], &view) !=
                reference->weigh_glance(&suspicion_glance_networks[0], &view))
            return false;
    }
    return true;
}

static bool suspicion_is_same(const struct suspicion_face *face, const struct suspicion_face *reference,
                              const struct tone_bank_face *bank)
{
    for (int trial = 0; trial < TRIALS; trial++) {
        int16_t pcm[SAMPLES], key[SAMPLES];
        struct suspicion_stretch heard, expected;
        trial_make(trial, pcm);
        if (suspicions_of(face, bank, pcm, &heard) != suspicions_of(reference, bank, pcm, &expected) ||
            !is_same_stretch(&heard, &expected))
            return false;
        key_make(key, trial % 4, trial / 2);
        for (int i = 0; i < SAMPLES; i++)
            key[i] = (int16_t)(key[i] + pcm[i] / 16);
        if (suspicions_of(face, bank, key, &heard) != suspicions_of(reference, bank, key, &expected) ||
            !is_same_stretch(&heard, &expected) || !is_same_view(face, reference, &heard))
            return false;
    }
    return true;
}

/* ---- */

static void drop(struct dsp_self_test *report, const char *kernel, const char *face, unsigned cpu_flags)
{
    if (report->dropped_count < DSP_SELF_TEST_DROPPED_MAX) {
        report->dropped[report->dropped_count].kernel = kernel;
        report->dropped[report->dropped_count++].face = face;
    }
    dsp_cpu_refuse(cpu_flags);
}

/* Face i of a kernel, as far as all kernels are alike. */
struct asked_face {
    const char *name;
    unsigned cpu_flags;
    bool (*is_right)(const struct dsp_faces *faces, size_t i);
};

static bool g711_is_right(const struct dsp_faces *faces, size_t i)
{
    return g711_is_known(&faces->g711[i]);
}

static bool tone_bank_is_right(const struct dsp_faces *faces, size_t i)
{
    return tone_bank_is_known(&faces->tone_bank[i]);
}

static bool screen_is_right(const struct dsp_faces *faces, size_t i)
{
    return screen_is_known(&faces->screen[i]) && screen_is_same(&faces->screen[i], &faces->screen[0]);
}

static bool grid_is_right(const struct dsp_faces *faces, size_t i)
{
    return grid_is_known(&faces->grid[i]) && grid_is_same(&faces->grid[i], &faces->grid[0]);
}

static bool suspicion_is_right(const struct dsp_faces *faces, size_t i)
{
    return suspicion_is_known(&faces->suspicion[i], &faces->tone_bank[0]) &&
           suspicion_is_same(&faces->suspicion[i], &faces->suspicion[0], &faces->tone_bank[0]);
}

enum kernel { KERNEL_G711, KERNEL_TONE_BANK, KERNEL_SCREEN, KERNEL_GRID, KERNEL_SUSPICION, KERNELS };

static size_t kernel_faces(const struct dsp_faces *faces, enum kernel kernel)
{
    const size_t counts[KERNELS] = {faces->g711_count, faces->tone_bank_count, faces->screen_count,
                                    faces->grid_count, faces->suspicion_count};
    return counts[kernel];
}

static struct asked_face face_of(const struct dsp_faces *faces, enum kernel kernel, size_t i)
{
    switch (kernel) {
    case KERNEL_G711:
        return (struct asked_face){faces->g711[i].name, faces->g711[i].cpu_flags, g711_is_right};
    case KERNEL_TONE_BANK:
        return (struct asked_face){faces->tone_bank[i].name, faces->tone_bank[i].cpu_flags,
                                   tone_bank_is_right};
    case KERNEL_SCREEN:
        return (struct asked_face){faces->screen[i].name, faces->screen[i].cpu_flags, screen_is_right};
    case KERNEL_GRID:
        return (struct asked_face){faces->grid[i].name, faces->grid[i].cpu_flags, grid_is_right};
    default:
        return (struct asked_face){faces->suspicion[i].name, faces->suspicion[i].cpu_flags,
                                   suspicion_is_right};
    }
}

enum err dsp_self_test_of(const struct dsp_faces *faces, struct dsp_self_test *report)
{
    static const char *const names[KERNELS] = {"g711", "tone_bank", "screen", "grid_screen", "suspicion"};
    enum err err = OK;
    unsigned here = dsp_cpu_flags();
    memset(report, 0, sizeof(*report));
    (void)screen_choose(0);
    (void)grid_choose(0);
    for (enum kernel kernel = 0; kernel < KERNELS; kernel++) {
        unsigned lower_flags = 0;
        for (size_t i = 0; i < kernel_faces(faces, kernel); i++) {
            struct asked_face face = face_of(faces, kernel, i);
            if (face.cpu_flags & ~here)
                continue;
            report->face_count++;
            if (!face.is_right(faces, i)) {
                drop(report, names[kernel], face.name, face.cpu_flags & ~lower_flags);
                err = i == 0 ? ERR_REFUSED : err;
            }
            lower_flags |= face.cpu_flags;
        }
    }
    g711_bind(dsp_cpu_flags());
    return err;
}

enum err dsp_self_test(struct dsp_self_test *report)
{
    struct dsp_faces faces;
    faces.g711 = g711_faces(&faces.g711_count);
    faces.tone_bank = tone_bank_faces(&faces.tone_bank_count);
    faces.screen = screen_faces(&faces.screen_count);
    faces.grid = grid_faces(&faces.grid_count);
    faces.suspicion = suspicion_faces(&faces.suspicion_count);
    return dsp_self_test_of(&faces, report);
}
