#include "dsp/suspicion.h"

#include "dsp/dtmf.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

#define ROWS        4
#define COLUMNS     4
#define FLOOR_DBM0  (-41.0f) /* both tones together must have this much in the window */
#define TWIST_RATIO 16.0f    /* 12 dB either way: twist of 9 dB, and room for the error of a short fit */

/* Chosen on 70 minutes of prompts (Debian's es, fr and every other file of en) against 150 000 presses of -3..-25 dBm0,
 * twist within 9 dB, 2 % off tune, SNR 10 dB and more, half of them over speech at -15 dB. */
const struct suspicion_window suspicion_windows[SUSPICION_WINDOWS] = {
    {2, {2.0f, 2.0f}, {2.0f, 0.955f}},   {3, {2.0f, 0.862f}, {0.91f, 0.85f}},
    {4, {0.90f, 0.86f}, {0.86f, 0.84f}}, {6, {0.75f, 0.78f}, {0.72f, 0.76f}},
    {8, {0.74f, 0.72f}, {0.70f, 0.70f}},
};

/* Frequencies beside the nominal one that each window tries, and how much power a tone 2 % off may lose at the nominal
 * one: what does not have even that much is not looked at closer. */
static const struct {
    double detune;
    float nominal_min;
} beside[SUSPICION_WINDOWS] = {{0, 0.9f}, {0.014, 0.75f}, {0.014, 0.65f}, {0.013, 0.45f}, {0.013, 0.25f}};

/* Inverse Gram matrix of a pair's cosines, and of its sines: about the window's middle they do not mix. */
struct pair_fit {
    float even_low, even_cross, even_high;
    float odd_low, odd_cross, odd_high;
};

/* cos and sin of half the distance between the middles of two halves that are joined. */
struct turn {
    float cosine[TONE_BANK_TONES];
    float sine[TONE_BANK_TONES];
};

struct tables {
    struct pair_fit fit[SUSPICION_WINDOWS][ROWS * COLUMNS];
    float gate[SUSPICION_WINDOWS]; /* share of plain bin power below which no pair can explain all */
    float energy_min[SUSPICION_WINDOWS];
    struct turn turn[SUSPICION_WINDOWS][3]; /* of the window's halves: detuned down, nominal, up */
};

static struct tables tables;
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void turn_make(struct turn *turn, double distance, double detune)
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
    double amplitude = 32767 * pow(10, (FLOOR_DBM0 - 3.14) / 20);
    for (int w = 0; w < SUSPICION_WINDOWS; w++) {
        int length = suspicion_windows[w].blocks * TONE_BANK_BLOCK;
        double eigen = length;
        for (int pair = 0; pair < ROWS * COLUMNS; pair++) {
            double low = 2 * M_PI * tone_bank_hz[pair / COLUMNS] / DTMF_SAMPLE_RATE;
            double high = 2 * M_PI * tone_bank_hz[ROWS + pair % COLUMNS] / DTMF_SAMPLE_RATE;
            eigen = fmin(eigen, fit_make(&tables.fit[w][pair], low, high, length));
        }
        tables.gate[w] = (float)eigen;
        tables.energy_min[w] = (float)(amplitude * amplitude / 2 * length);
    }
    static const double distance[SUSPICION_WINDOWS] = {8, 16, 16, 24, 32};
    for (int w = 0; w < SUSPICION_WINDOWS; w++) {
        for (int d = 0; d < 3; d++)
            turn_make(&tables.turn[w][d], distance[w], (d - 1) * beside[w].detune);
    }
}

void suspicion_init(struct suspicion *suspicion, enum suspicion_haste haste)
{
    pthread_once(&tables_once, tables_make);
    memset(suspicion, 0, sizeof(*suspicion));
    suspicion->haste = (uint8_t)haste;
}

void suspicion_set_strict(struct suspicion *suspicion, bool is_strict)
{
    suspicion->is_strict = is_strict;
}

/* Joins two windows of the same length, whose middles lie as far apart as the turn says twice. */
static inline void join(struct suspicion_spectrum *out, const struct suspicion_spectrum *early,
                        const struct suspicion_spectrum *late, const struct turn *turn)
{
    for (int i = 0; i < TONE_BANK_TONES; i++) {
        float cosine = (late->cosine[i] + early->cosine[i]) * turn->cosine[i] -
                       (late->sine[i] - early->sine[i]) * turn->sine[i];
        float sine = (late->sine[i] + early->sine[i]) * turn->cosine[i] +
                     (late->cosine[i] - early->cosine[i]) * turn->sine[i];
        out->cosine[i] = cosine;
        out->sine[i] = sine;
    }
    out->energy = early->energy + late->energy;
}

static inline void power_of(const struct suspicion_spectrum *spectrum, float power[TONE_BANK_TONES])
{
    for (int i = 0; i < TONE_BANK_TONES; i++)
        power[i] = spectrum->cosine[i] * spectrum->cosine[i] + spectrum->sine[i] * spectrum->sine[i];
}

static inline float max4(const float *values)
{
    float a = values[0] > values[1] ? values[0] : values[1];
    float b = values[2] > values[3] ? values[2] : values[3];
    return a > b ? a : b;
}

/* Energy that the pair explains; 0 when the fitted amplitudes are too unequal to be a key. */
static float pair_energy(const struct pair_fit *fit, float cl, float sl, float ch, float sh)
{
    float a = fit->even_low * cl + fit->even_cross * ch;
    float b = fit->odd_low * sl + fit->odd_cross * sh;
    float c = fit->even_cross * cl + fit->even_high * ch;
    float d = fit->odd_cross * sl + fit->odd_high * sh;
    float low = a * a + b * b;
    float high = c * c + d * d;
    if (low > high * TWIST_RATIO || high > low * TWIST_RATIO)
        return 0;
    return a * cl + b * sl + c * ch + d * sh;
}

static inline const struct suspicion_spectrum *back(const struct suspicion_spectrum *ring, uint64_t at,
                                                    unsigned blocks)
{
    return &ring[(at - blocks) & (SUSPICION_RING - 1)];
}

/* The two halves of a window, and what lies between them (NULL: nothing). */
struct halves {
    const struct suspicion_spectrum *early, *middle, *late;
};

static inline struct halves halves_of(const struct suspicion *s, int w)
{
    uint64_t at = s->block_count - 1;
    switch (w) {
    case 0:
        return (struct halves){back(s->one, at, 1), NULL, back(s->one, at, 0)};
    case 1:
        return (struct halves){back(s->one, at, 2), back(s->one, at, 1), back(s->one, at, 0)};
    case 2:
        return (struct halves){back(s->two, at, 2), NULL, back(s->two, at, 0)};
    case 3:
        return (struct halves){back(s->three, at, 3), NULL, back(s->three, at, 0)};
    default:
        return (struct halves){back(s->four, at, 4), NULL, back(s->four, at, 0)};
    }
}

static inline void join_halves(struct suspicion_spectrum *out, const struct halves *halves,
                               const struct turn *turn)
{
    join(out, halves->early, halves->late, turn);
    if (!halves->middle)
        return;
    for (int i = 0; i < TONE_BANK_TONES; i++) {
        out->cosine[i] += halves->middle->cosine[i];
        out->sine[i] += halves->middle->sine[i];
    }
    out->energy += halves->middle->energy;
}

/* Each tone takes the frequency, of three, at which it is strongest. */
static void take_strongest(struct suspicion_spectrum *spectrum, float power[TONE_BANK_TONES],
                           const struct halves *halves, int w)
{
    for (int d = 0; d < 3; d += 2) {
        struct suspicion_spectrum other;
        float other_power[TONE_BANK_TONES];
        join_halves(&other, halves, &tables.turn[w][d]);
        power_of(&other, other_power);
        for (int i = 0; i < TONE_BANK_TONES; i++) {
            if (other_power[i] > power[i]) {
                power[i] = other_power[i];
                spectrum->cosine[i] = other.cosine[i];
                spectrum->sine[i] = other.sine[i];
            }
        }
    }
}

/* The greatest energy that a pair explains, of those that could explain gate; 0 when none does. */
static float best_pair(int w, const struct suspicion_spectrum *spectrum, const float power[TONE_BANK_TONES],
                       float gate, struct suspicion_hit *hit)
{
    float best = 0;
    for (int row = 0; row < ROWS; row++) {
        for (int column = 0; column < COLUMNS; column++) {
            if (power[row] + power[ROWS + column] < gate)
                continue;
            float energy = pair_energy(&tables.fit[w][row * COLUMNS + column], spectrum->cosine[row],
                                       spectrum->sine[row], spectrum->cosine[ROWS + column],
                                       spectrum->sine[ROWS + column]);
            if (energy > best) {
                best = energy;
                hit->key_low = (uint8_t)row;
                hit->key_high = (uint8_t)column;
            }
        }
    }
    return best;
}

/* The share of the window's energy that the best pair explains, if it is at least share_min; otherwise 0. */
static float ask_closely(int w, const struct halves *halves, struct suspicion_spectrum *spectrum,
                         float power[TONE_BANK_TONES], float share_min, struct suspicion_hit *hit)
{
    if (beside[w].detune > 0)
        take_strongest(spectrum, power, halves, w);
    float needed = spectrum->energy * share_min;
    float best = best_pair(w, spectrum, power, needed * tables.gate[w], hit);
    if (best <= 0 || best < needed)
        return 0;
    hit->window = (uint8_t)w;
    hit->window_blocks = suspicion_windows[w].blocks;
    hit->explained = best / spectrum->energy;
    return hit->explained;
}

/* As ask_closely, but cheap where nothing like a pair is heard, which is nearly always. */
static inline float ask(const struct suspicion *s, int w, float share_min, struct suspicion_hit *hit)
{
    struct halves halves = halves_of(s, w);
    float energy = halves.early->energy + halves.late->energy + (halves.middle ? halves.middle->energy : 0);
    if (energy < tables.energy_min[w])
        return 0;
    struct suspicion_spectrum spectrum;
    float power[TONE_BANK_TONES];
    join_halves(&spectrum, &halves, &tables.turn[w][1]);
    power_of(&spectrum, power);
    float gate = energy * share_min * tables.gate[w] * beside[w].nominal_min;
    if (max4(power) + max4(power + ROWS) < gate)
        return 0;
    return ask_closely(w, &halves, &spectrum, power, share_min, hit);
}

static void push(struct suspicion *s, const struct tone_block *block)
{
    uint64_t at = s->block_count++;
    unsigned slot = at & (SUSPICION_RING - 1);
    struct suspicion_spectrum *one = &s->one[slot];
    for (int i = 0; i < TONE_BANK_TONES; i++) {
        one->cosine[i] = (float)block->cosine[i] * (1.0f / TONE_BANK_SCALE);
        one->sine[i] = (float)block->sine[i] * (1.0f / TONE_BANK_SCALE);
    }
    one->energy = (float)block->energy * TONE_BANK_ENERGY_UNIT;
    struct halves two = halves_of(s, 0);
    struct halves three = halves_of(s, 1);
    join_halves(&s->two[slot], &two, &tables.turn[0][1]);
    join_halves(&s->three[slot], &three, &tables.turn[1][1]);
    struct halves four = halves_of(s, 2);
    join_halves(&s->four[slot], &four, &tables.turn[2][1]);
}

static bool is_whole(const struct suspicion *s, int w)
{
    return s->block_count >= s->deaf_until_block + suspicion_windows[w].blocks;
}

bool suspicion_feed(struct suspicion *s, const struct tone_block *block, struct suspicion_hit *hit)
{
    push(s, block);
    for (int w = 0; w < SUSPICION_WINDOWS && is_whole(s, w); w++) {
        const struct suspicion_window *window = &suspicion_windows[w];
        float share_min = s->is_strict ? window->share_min_strict[s->haste] : window->share_min[s->haste];
        if (share_min <= 1 && ask(s, w, share_min, hit) > 0)
            return true;
    }
    return false;
}

void suspicion_skip(struct suspicion *s)
{
    static const struct tone_block silence;
    push(s, &silence);
    s->deaf_until_block = s->block_count;
}

void suspicion_shares(const struct suspicion *s, float shares[SUSPICION_WINDOWS])
{
    struct suspicion_hit hit;
    for (int w = 0; w < SUSPICION_WINDOWS; w++)
        shares[w] = ask(s, w, 0.01f, &hit);
}
