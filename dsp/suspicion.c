#include "dsp/suspicion.h"

#include "dsp/cpu.h"
#include "dsp/dtmf.h"
#include "dsp/suspicion_priv.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

#define ROWS       4
#define COLUMNS    4
#define FLOOR_DBM0 (-41.0f) /* both tones together must have this much in the window */

/* Chosen on 89 minutes of prompts (Debian's es, fr, it by Carlo, and every other file of en) against 220 000 presses of
 * -3..-25 dBm0, twist within 9 dB, 2 % off tune, SNR 10 dB and more, some over speech at -15 dB. */
const struct suspicion_window suspicion_windows[SUSPICION_WINDOWS] = {
    {2, 0, {2.0f, 2.0f}, {2.0f, 0.955f}, 2.0f, 2.0f},
    {3, 0, {2.0f, 0.862f}, {2.0f, 0.85f}, 2.0f, 2.0f},
    {4, 0, {0.92f, 0.86f}, {0.90f, 0.84f}, 2.0f, 2.0f},
    {6, 0.2f, {0.88f, 0.90f}, {0.87f, 0.88f}, 1.0f, 0.90f},
    {8, 0.2f, {0.93f, 0.93f}, {0.90f, 0.90f}, 2.0f, 2.0f},
};

#define SHARE_MAX 1.15f
#define PLAIN_MIN                                                                                            \
    0.15f /* of the energy, when asked by differences: less may have leaked from a low frequency */
#define EVENNESS_MAX 0.7f /* more even than this is even */

/* For each window: the frequencies beside the nominal one that it tries; how much power a tone 2 % off may lose at the
 * nominal one (what does not have even that much is not looked at closer); and how unequal in power the two tones may
 * seem. Keys have up to 9 dB of twist, speech and a short fit make more of it: 12 dB, and 14.5 in long windows. */
static const struct {
    double detune;
    float nominal_min;
    float twist_ratio;
} allowed[SUSPICION_WINDOWS] = {
    {0, 0.9f, 16}, {0.014, 0.75f, 16}, {0.014, 0.65f, 28}, {0.013, 0.45f, 28}, {0.013, 0.32f, 28}};

/* Inverse Gram matrix of a pair's cosines, and of its sines: about the window's middle they do not mix. */
struct pair_fit {
    float even_low, even_cross, even_high;
    float odd_low, odd_cross, odd_high;
};

struct tables {
    struct suspicion_gate gate[SUSPICION_WINDOWS];
    struct pair_fit fit[SUSPICION_WINDOWS][ROWS * COLUMNS];
    float eigen[SUSPICION_WINDOWS]; /* share of plain bin power below which no pair can explain all */
};

static struct tables tables;
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void turn_make(struct suspicion_turn *turn, double distance, double detune)
{
    for (int tone = 0; tone < TONE_BANK_TONES; tone++) {
        double angle = 2 * M_PI * tone_bank_hz[tone] * (1 + detune) / DTMF_SAMPLE_RATE * distance;
        turn->cosine[tone] = (float)cos(angle);
        turn->sine[tone] = (float)sin(angle);
    }
}

/* Smallest eigenvalue of {{a, b}, {b, d}}. */
static double eigen_min(double a, double b, double d)
{
    return (a + d) / 2 - sqrt((a - d) * (a - d) / 4 + b * b);
}

static double fit_make(struct pair_fit *fit, double low, double high, int length)
{
    double even[3] = {0, 0, 0};
    double odd[3] = {0, 0, 0};
    for (int i = 0; i < length; i++) {
        double t = i - (length - 1) / 2.0;
        even[0] += cos(low * t) * cos(low * t);
        even[1] += cos(low * t) * cos(high * t);
        even[2] += cos(high * t) * cos(high * t);
        odd[0] += sin(low * t) * sin(low * t);
        odd[1] += sin(low * t) * sin(high * t);
        odd[2] += sin(high * t) * sin(high * t);
    }
    double even_det = even[0] * even[2] - even[1] * even[1];
    double odd_det = odd[0] * odd[2] - odd[1] * odd[1];
    fit->even_low = (float)(even[2] / even_det);
    fit->even_cross = (float)(-even[1] / even_det);
    fit->even_high = (float)(even[0] / even_det);
    fit->odd_low = (float)(odd[2] / odd_det);
    fit->odd_cross = (float)(-odd[1] / odd_det);
    fit->odd_high = (float)(odd[0] / odd_det);
    return fmin(eigen_min(even[0], even[1], even[2]), eigen_min(odd[0], odd[1], odd[2]));
}

static void tables_make(void)
{
    static const double distance[SUSPICION_WINDOWS] = {8, 16, 16, 24, 32};
    double amplitude = 32767 * pow(10, (FLOOR_DBM0 - 3.14) / 20);
    for (int w = 0; w < SUSPICION_WINDOWS; w++) {
        int length = suspicion_windows[w].blocks * TONE_BANK_BLOCK;
        double eigen = length;
        for (int pair = 0; pair < ROWS * COLUMNS; pair++) {
            double low = 2 * M_PI * tone_bank_hz[pair / COLUMNS] / DTMF_SAMPLE_RATE;
            double high = 2 * M_PI * tone_bank_hz[ROWS + pair % COLUMNS] / DTMF_SAMPLE_RATE;
            eigen = fmin(eigen, fit_make(&tables.fit[w][pair], low, high, length));
        }
        tables.eigen[w] = (float)eigen;
        tables.gate[w].share = (float)eigen * allowed[w].nominal_min;
        for (int tone = 0; tone < TONE_BANK_TONES; tone++) {
            double sine = sin(M_PI * tone_bank_hz[tone] / DTMF_SAMPLE_RATE);
            tables.gate[w].slope[tone] = (float)(4 * sine * sine);
        }
        tables.gate[w].energy_min = (float)(amplitude * amplitude / 2 * length);
        for (int d = 0; d < 3; d++)
            turn_make(&tables.gate[w].turn[d], distance[w], (d - 1) * allowed[w].detune);
    }
}

static void push_c(struct suspicion_scratch *scratch, const struct tone_block *blocks, size_t count,
                   const struct suspicion_gate gates[SUSPICION_WINDOWS],
                   const float factor[2 * SUSPICION_WINDOWS])
{
    suspicion_push_face(scratch, blocks, count, gates, factor);
}

static const struct suspicion_face faces[] = {
    {"c", 0, push_c},
#ifdef TONE_BANK_HAS_X86
    {"avx2", DSP_CPU_AVX2, suspicion_push_avx2},
    {"avx512", DSP_CPU_AVX512, suspicion_push_avx512},
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
    for (int w = 0; w < SUSPICION_WINDOWS; w++) {
        const struct suspicion_window *window = &suspicion_windows[w];
        suspicion->score_min[w] =
            is_strict ? window->score_min_strict[suspicion->haste] : window->score_min[suspicion->haste];
        suspicion->difference_min[w] = is_strict ? window->difference_min_strict : window->difference_min;
    }
}

/* The halves of a window that ends at block k of a feed, and what lies between them (NULL: nothing). */
struct halves {
    const struct suspicion_spectrum *early, *middle, *late;
    float energy;
    float difference;
};

static struct halves halves_of(const struct suspicion_scratch *scratch, int w, size_t k)
{
    static const struct {
        size_t run; /* offset in the scratch */
        uint8_t back;
    } places[SUSPICION_WINDOWS] = {
        {offsetof(struct suspicion_scratch, one), 1},  {offsetof(struct suspicion_scratch, one), 2},
        {offsetof(struct suspicion_scratch, two), 2},  {offsetof(struct suspicion_scratch, three), 3},
        {offsetof(struct suspicion_scratch, four), 4},
    };
    const unsigned char *base = (const unsigned char *)scratch;
    const struct suspicion_run *run = (const struct suspicion_run *)(const void *)(base + places[w].run);
    size_t early = k - places[w].back;
    struct halves halves = {&run->spectrum[early], NULL, &run->spectrum[k],
                            run->energy[early] + run->energy[k], run->difference[early] + run->difference[k]};
    if (w == 1) {
        halves.middle = &run->spectrum[k - 1];
        halves.energy = scratch->three.energy[k];
    }
    return halves;
}

static void join_halves(const struct halves *halves, const struct suspicion_turn *turn,
                        struct suspicion_spectrum *spectrum, vec8 *power)
{
    struct suspicion_wave wave;
    suspicion_join(&wave, halves->early, halves->late, turn);
    if (halves->middle) {
        struct suspicion_wave middle;
        suspicion_load(&middle, halves->middle);
        wave.cosine += middle.cosine;
        wave.sine += middle.sine;
    }
    suspicion_keep(spectrum, &wave);
    suspicion_power(power, &wave);
}

/* Each tone takes the frequency beside the nominal at which it is strongest, if it is stronger there. */
static void take_strongest(int w, const struct halves *halves, struct suspicion_spectrum *spectrum,
                           vec8 *power)
{
    for (int d = 0; d < 3; d += 2) {
        struct suspicion_spectrum other;
        vec8 strength;
        join_halves(halves, &tables.gate[w].turn[d], &other, &strength);
        for (int i = 0; i < TONE_BANK_TONES; i++) {
            if (strength[i] > (*power)[i]) {
                (*power)[i] = strength[i];
                spectrum->wave[i] = other.wave[i];
                spectrum->wave[TONE_BANK_TONES + i] = other.wave[TONE_BANK_TONES + i];
            }
        }
    }
}

/* What a pair is asked to explain: the energy of the samples, or (slope not NULL) of their differences. */
struct question {
    const float *slope;
    float whole;
    float needed;
    float plain_min; /* energy of the samples that it must explain in any case */
};

/* Energy that the pair explains; 0 when the fitted amplitudes are too unequal to be a key. */
static float pair_energy(int w, const struct suspicion_spectrum *spectrum, int row, int column,
                         const struct question *question)
{
    const struct pair_fit *fit = &tables.fit[w][row * COLUMNS + column];
    float cl = spectrum->wave[row];
    float sl = spectrum->wave[TONE_BANK_TONES + row];
    float ch = spectrum->wave[ROWS + column];
    float sh = spectrum->wave[TONE_BANK_TONES + ROWS + column];
    float a = fit->even_low * cl + fit->even_cross * ch;
    float b = fit->odd_low * sl + fit->odd_cross * sh;
    float c = fit->even_cross * cl + fit->even_high * ch;
    float d = fit->odd_cross * sl + fit->odd_high * sh;
    float low = a * a + b * b;
    float high = c * c + d * d;
    if (low > high * allowed[w].twist_ratio || high > low * allowed[w].twist_ratio)
        return 0;
    if (!question->slope)
        return a * cl + b * sl + c * ch + d * sh;
    float half = (float)(suspicion_windows[w].blocks * TONE_BANK_BLOCK / 2);
    if (half * (low + high) < question->plain_min)
        return 0;
    return half * (low * question->slope[row] + high * question->slope[ROWS + column]);
}

/* The greatest energy that a pair explains, of those that could explain as much as needed; 0 when none does. */
static float best_pair(int w, const struct suspicion_spectrum *spectrum, const vec8 *power,
                       const struct question *question, struct suspicion_hit *hit)
{
    const float *slope = question->slope;
    float best = 0;
    for (int row = 0; row < ROWS; row++) {
        for (int column = 0; column < COLUMNS; column++) {
            float low = (*power)[row] * (slope ? slope[row] : 1);
            float high = (*power)[ROWS + column] * (slope ? slope[ROWS + column] : 1);
            if (low + high < question->needed * tables.eigen[w])
                continue;
            float energy = pair_energy(w, spectrum, row, column, question);
            if (energy > best) {
                best = energy;
                hit->key_low = (uint8_t)row;
                hit->key_high = (uint8_t)column;
            }
        }
    }
    return best;
}

/* Ratio of a tone's amplitudes in the two halves, 0..1. */
static float evenness_of(const struct halves *halves, unsigned tone)
{
    const float *a = halves->early->wave;
    const float *b = halves->late->wave;
    float early = a[tone] * a[tone] + a[TONE_BANK_TONES + tone] * a[TONE_BANK_TONES + tone];
    float late = b[tone] * b[tone] + b[TONE_BANK_TONES + tone] * b[TONE_BANK_TONES + tone];
    return sqrtf(early < late ? early / (late + 1) : late / (early + 1));
}

/* What speaks for a key: the share that the best pair explains, and, where the window is long enough for it to mean
 * something, that the pair is as strong in its later half as in its earlier. Keys are; speech often is not. */
static float score_of(int w, const struct halves *halves, float share, struct suspicion_hit *hit)
{
    hit->window = (uint8_t)w;
    hit->window_blocks = suspicion_windows[w].blocks;
    hit->explained = share < 1 ? share : 1;
    if (suspicion_windows[w].evenness_weight <= 0)
        return hit->explained;
    float evenness = fminf(evenness_of(halves, hit->key_low), evenness_of(halves, ROWS + hit->key_high));
    return hit->explained + suspicion_windows[w].evenness_weight * fminf(evenness, EVENNESS_MAX);
}

/* The score of the best pair if it is at least score_min, otherwise 0: at the nominal frequencies, or at those of three
 * where each tone is strongest, whichever speaks more for a key. */
static float ask_closely(const struct suspicion_scratch *scratch, size_t k, int w, bool is_by_difference,
                         float score_min, struct suspicion_hit *hit)
{
    struct halves halves = halves_of(scratch, w, k);
    struct suspicion_spectrum spectrum;
    vec8 power;
    struct question question = {
        .slope = is_by_difference ? tables.gate[w].slope : NULL,
        .whole = is_by_difference ? halves.difference : halves.energy,
        .plain_min = PLAIN_MIN * halves.energy,
    };
    question.needed = question.whole * (score_min - EVENNESS_MAX * suspicion_windows[w].evenness_weight);
    float highest = 0;
    join_halves(&halves, &tables.gate[w].turn[1], &spectrum, &power);
    for (int attempt = 0; attempt < 2; attempt++) {
        struct suspicion_hit found = {0};
        float best = best_pair(w, &spectrum, &power, &question, &found);
        /* More than all is what leaks from a loud low frequency, not a key. */
        bool is_pair = best > 0 && best >= question.needed && best <= question.whole * SHARE_MAX;
        float score = is_pair ? score_of(w, &halves, best / question.whole, &found) : 0;
        if (score > highest) {
            highest = score;
            *hit = found;
        }
        if (allowed[w].detune > 0)
            take_strongest(w, &halves, &spectrum, &power);
        else
            break;
    }
    return highest >= score_min ? highest : 0;
}

static void past_load(struct suspicion_run *run, const struct suspicion_past *past)
{
    memcpy(run->spectrum, past->spectrum, sizeof(past->spectrum));
    memcpy(run->energy, past->energy, sizeof(past->energy));
    memcpy(run->difference, past->difference, sizeof(past->difference));
}

static void past_save(struct suspicion_past *past, const struct suspicion_run *run, size_t count)
{
    memcpy(past->spectrum, &run->spectrum[count], sizeof(past->spectrum));
    memcpy(past->energy, &run->energy[count], sizeof(past->energy));
    memcpy(past->difference, &run->difference[count], sizeof(past->difference));
}

static float factor_of(int w, float score_min)
{
    float share_min = score_min - EVENNESS_MAX * suspicion_windows[w].evenness_weight;
    return score_min <= 1 ? share_min * tables.gate[w].share : SUSPICION_NEVER;
}

static void push(struct suspicion *s, struct suspicion_scratch *scratch, const struct tone_block *blocks,
                 size_t count)
{
    float factor[2 * SUSPICION_WINDOWS];
    for (int w = 0; w < SUSPICION_WINDOWS; w++) {
        factor[w] = factor_of(w, s->score_min[w]);
        factor[SUSPICION_WINDOWS + w] = factor_of(w, s->difference_min[w]);
    }
    past_load(&scratch->one, &s->one);
    past_load(&scratch->two, &s->two);
    past_load(&scratch->three, &s->three);
    past_load(&scratch->four, &s->four);
    s->face->push(scratch, blocks, count, tables.gate, factor);
    past_save(&s->one, &scratch->one, count);
    past_save(&s->two, &scratch->two, count);
    past_save(&s->three, &scratch->three, count);
    past_save(&s->four, &scratch->four, count);
    s->block_count += count;
}

/* Asks the windows that end at block i of the feed, the short ones first. */
static bool ask_block(const struct suspicion *s, const struct suspicion_scratch *scratch, size_t i,
                      uint64_t blocks_fed, struct suspicion_hit *hit)
{
    unsigned asked = scratch->asked[i];
    while (asked) {
        int bit = __builtin_ctz(asked);
        int w = bit & 7;
        bool is_by_difference = bit >= 8;
        asked &= asked - 1;
        bool is_whole = blocks_fed >= s->deaf_until_block + suspicion_windows[w].blocks;
        float score_min = is_by_difference ? s->difference_min[w] : s->score_min[w];
        if (is_whole && ask_closely(scratch, SUSPICION_PAST + i, w, is_by_difference, score_min, hit) > 0)
            return true;
    }
    return false;
}

size_t suspicion_feed(struct suspicion *s, const struct tone_block *blocks, size_t block_count,
                      struct suspicion_hit *hits)
{
    struct suspicion_scratch scratch;
    uint64_t before = s->block_count;
    size_t hit_count = 0;
    push(s, &scratch, blocks, block_count);
    for (size_t i = 0; i < block_count; i++) {
        if (scratch.asked[i] && ask_block(s, &scratch, i, before + i + 1, &hits[hit_count]))
            hits[hit_count++].block = (uint8_t)i;
    }
    return hit_count;
}

void suspicion_deafen(struct suspicion *s, size_t block_count)
{
    s->deaf_until_block = s->block_count + block_count;
}

void suspicion_scores(struct suspicion *s, const struct tone_block *block,
                      float scores[2 * SUSPICION_WINDOWS])
{
    struct suspicion_scratch scratch;
    push(s, &scratch, block, 1);
    for (int w = 0; w < SUSPICION_WINDOWS; w++) {
        struct suspicion_hit hit;
        bool is_loud = halves_of(&scratch, w, SUSPICION_PAST).energy >= tables.gate[w].energy_min;
        scores[w] = is_loud ? ask_closely(&scratch, SUSPICION_PAST, w, false, 0.2f, &hit) : 0;
        scores[SUSPICION_WINDOWS + w] =
            is_loud ? ask_closely(&scratch, SUSPICION_PAST, w, true, 0.2f, &hit) : 0;
    }
}
