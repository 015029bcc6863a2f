#include "dsp/screen.h"

#include "dsp/dtmf.h"
#include "dsp/screen_priv.h"

#include <math.h>
#include <pthread.h>

#define ROWS 4

struct screen_tables screen_waves;
static struct screen_gate gate;
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void wave_make(int place, int sample, int tone)
{
    double omega = 2 * M_PI * tone_bank_hz[tone] / DTMF_SAMPLE_RATE;
    double angle = omega * (place * TONE_BANK_BLOCK + sample);
    const int16_t parts[2] = {(int16_t)lrint(SCREEN_SCALE * cos(angle)),
                              (int16_t)lrint(SCREEN_SCALE * sin(angle))};
    for (int part = 0; part < 2; part++) {
        screen_waves.pairs[place][sample / 2][2 * tone + part][sample % 2] = parts[part];
        screen_waves.samples[place][sample][2 * tone + part] = parts[part];
        screen_waves.waves[place][2 * tone + part][sample] = parts[part];
    }
}

static void slopes_make(void)
{
    static const uint8_t halves[TONE_BANK_TONES] = {0, 1, 4, 5, 2, 3, 6, 7};
    for (int i = 0; i < SCREEN_WAVES; i++) {
        double slope = 2 * sin(M_PI * tone_bank_hz[i / 2] / DTMF_SAMPLE_RATE);
        screen_waves.slope[i] = (int16_t)lrint(32768 * slope / SCREEN_SLOPE_UNIT);
    }
    for (int i = 0; i < 2 * SCREEN_WAVES; i++) {
        screen_waves.slope_of_halves[i] = screen_waves.slope[2 * halves[i / 2 % TONE_BANK_TONES]];
        screen_waves.slope_of_quarters[i] = screen_waves.slope[2 * (i / 8 * 2 + i / 2 % 2)];
    }
}

/* The energy of differences over energy, of windows full of a key. Of 1 500 000 (twist within 9.3 dB, 2 % off tune, SNR 9.5 dB
 * and more, over speech up to 12 dB below and dial tones 5 dB below) all were between 0.24 and 1.71; with speech up to 3 dB
 * below nine left these bounds. Of active speech 38 to 51 % of the windows are inside. */
#define RATIO_MIN 0.154f
#define RATIO_MAX 1.866f

/* A power P that is off by e in its root is at most (P + e^2 / share) (1 + share): that is how roundings are allowed for. */
#define ALLOWED_SHARE  0.02f
#define ALLOWED(error) ((error) * (error) / ALLOWED_SHARE)
/* Half a step of each of four blocks, of cosine and sine, of row and column: 4 steps. With weights, which round too: 4.9. */
#define ROUNDED       4.0f
#define ROUNDED_STEEP 4.9f
/* Half a step of each wave, here and in tone_bank: of 64 samples, cosine and sine, row and column, over the root of energy;
 * where it is compared with energy itself it is a small share, and is allowed for by ENERGY_SHARE. */
#define WAVES_ROUNDED (0.5f * (1.0f / SCREEN_SCALE + 1.0f / TONE_BANK_SCALE) * 16.0f)
#define ENERGY_SHARE  0.995f
#define CUT_OFF       (4 * 16) /* units by which four blocks' differences may be cut off less than in tone_block */

static void gate_make(void)
{
    const float power = TONE_BANK_ENERGY_UNIT / (SCREEN_STEP * SCREEN_STEP);
    const float steep = SCREEN_SLOPE_UNIT * SCREEN_SLOPE_UNIT;
    struct suspicion_demand demand;
    suspicion_demand(&demand);
    gate.energy_min = demand.energy_min * ENERGY_SHARE / TONE_BANK_ENERGY_UNIT;
    gate.ratio_min = RATIO_MIN * (TONE_BANK_BLOCK - 1) / TONE_BANK_BLOCK;
    gate.ratio_max = RATIO_MAX * (TONE_BANK_BLOCK - 1) / TONE_BANK_BLOCK;
    gate.power_min = demand.power_min * power * ENERGY_SHARE / (1 + ALLOWED_SHARE);
    gate.powers_min = demand.powers_min * power * ENERGY_SHARE / (1 + ALLOWED_SHARE);
    gate.steep_scale = steep * (TONE_BANK_BLOCK - 1) / TONE_BANK_BLOCK;
    gate.power_slack = ALLOWED(ROUNDED);
    gate.steep_power_slack = ALLOWED(ROUNDED_STEEP);
    gate.steep_energy_slack = ALLOWED(WAVES_ROUNDED * 1.2f) * power / steep;
    gate.difference_slack = CUT_OFF;
}

static void tables_make(void)
{
    for (int place = 0; place < SCREEN_BLOCKS; place++) {
        for (int sample = 0; sample < TONE_BANK_BLOCK; sample++) {
            for (int tone = 0; tone < TONE_BANK_TONES; tone++)
                wave_make(place, sample, tone);
        }
    }
    slopes_make();
    gate_make();
}

/* ---- the C reference ---- */

static void correlate(const int16_t *pcm, size_t place, int16_t out[SCREEN_WAVES])
{
    for (int k = 0; k < SCREEN_WAVES; k++) {
        const int16_t *wave = screen_waves.waves[place][k];
        int32_t sum = SCREEN_ROUND;
/* Left as a loop, compilers know it for what multiply-and-add of pairs is there for. */
#pragma GCC unroll 1
        for (int i = 0; i < TONE_BANK_BLOCK; i++)
            sum += pcm[i] * wave[i];
        out[k] = (int16_t)(sum >> SCREEN_SHIFT);
    }
}

static inline int32_t greater(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

/* Power of the strongest row plus that of the strongest column. */
static int32_t strongest(const int16_t waves[SCREEN_WAVES])
{
    int32_t best[2] = {0, 0};
    for (int tone = 0; tone < TONE_BANK_TONES; tone++) {
        int32_t power = waves[2 * tone] * waves[2 * tone] + waves[2 * tone + 1] * waves[2 * tone + 1];
        best[tone / ROWS] = greater(best[tone / ROWS], power);
    }
    return best[0] + best[1];
}

static int32_t strongest_by_slope(const int16_t waves[SCREEN_WAVES])
{
    int16_t weighed[SCREEN_WAVES];
    for (int i = 0; i < SCREEN_WAVES; i++)
        weighed[i] = (int16_t)((waves[i] * screen_waves.slope[i] + (1 << 14)) >> 15);
    return strongest(weighed);
}

static inline uint32_t sixteenth_of(int32_t a, int32_t b)
{
    return ((uint32_t)a * (uint32_t)a + (uint32_t)b * (uint32_t)b) >> 4;
}

/* Left to themselves, compilers take many blocks side by side and take longer. */
#define ONE_BY_ONE __attribute__((noinline))

/* As in tone_block. */
static ONE_BY_ONE int32_t energy_of(const int16_t *pcm)
{
    uint32_t sum = 0;
#pragma GCC unroll 8
    for (int i = 0; i < TONE_BANK_BLOCK; i += 2)
        sum += sixteenth_of(pcm[i], pcm[i + 1]);
    return (int32_t)sum;
}

/* Steps of more than 16 bits count as the greatest of 16. */
static ONE_BY_ONE int32_t long_difference_of(const int16_t *pcm)
{
    uint32_t sum = 0;
    int32_t step[TONE_BANK_BLOCK] = {0};
    for (int i = 1; i < TONE_BANK_BLOCK; i++) {
        step[i] = pcm[i] - pcm[i - 1];
        step[i] = step[i] > INT16_MAX ? INT16_MAX : step[i] < INT16_MIN ? INT16_MIN : step[i];
    }
    for (int i = 0; i < TONE_BANK_BLOCK; i += 2)
        sum += sixteenth_of(step[i], step[i + 1]);
    return (int32_t)sum;
}

/* As in tone_block, but two steps are cut off together. */
static ONE_BY_ONE int32_t difference_of(const int16_t *pcm)
{
    int32_t second = pcm[1] - pcm[0];
    uint32_t sum = sixteenth_of(0, second);
    uint32_t beyond = (uint32_t)(second - INT16_MIN); /* 16 bits, unless a step is longer */
#pragma GCC unroll 8
    for (int i = 2; i < TONE_BANK_BLOCK; i += 2) {
        int32_t first = pcm[i] - pcm[i - 1];
        second = pcm[i + 1] - pcm[i];
        sum += sixteenth_of(first, second);
        beyond |= (uint32_t)(first - INT16_MIN) | (uint32_t)(second - INT16_MIN);
    }
    return beyond <= UINT16_MAX ? (int32_t)sum : long_difference_of(pcm);
}

static uint32_t worth_c(const int16_t *pcm, size_t count, const struct screen_gate *asked_by,
                        struct screen_trace *trace)
{
    const int16_t *lead = pcm - SCREEN_LEAD * TONE_BANK_BLOCK;
    for (size_t place = 0; place < SCREEN_LEAD + count; place++)
        trace->energy[place] = energy_of(lead + place * TONE_BANK_BLOCK);
    uint32_t loud = screen_loud_face(trace, count, asked_by);
    if (!loud)
        return 0;
    for (size_t place = 0; place < SCREEN_LEAD + count; place++)
        trace->difference[place] = difference_of(lead + place * TONE_BANK_BLOCK);
    return loud & screen_between_face(trace, count, asked_by);
}

static uint32_t powers_c(const int16_t *pcm, size_t from, size_t count, const struct screen_gate *asked_by,
                         struct screen_trace *trace)
{
    int16_t two[SCREEN_BLOCKS][SCREEN_WAVES]; /* this block and the one before */
    int16_t before[SCREEN_WAVES] = {0};
    pcm = pcm + from * TONE_BANK_BLOCK - SCREEN_LEAD * TONE_BANK_BLOCK;
    for (size_t place = 0; place < SCREEN_LEAD + count; place++, pcm += TONE_BANK_BLOCK) {
        int16_t now[SCREEN_WAVES];
        correlate(pcm, place, now);
        for (int k = 0; k < SCREEN_WAVES; k++) {
            two[place][k] = (int16_t)(now[k] + before[k]);
            before[k] = now[k];
        }
        if (place < SCREEN_LEAD)
            continue;
        for (int k = 0; k < SCREEN_WAVES; k++)
            now[k] = (int16_t)(two[place][k] + two[place - 2][k]);
        trace->power[from + place - SCREEN_LEAD] = strongest(now);
        trace->steep_power[from + place - SCREEN_LEAD] = strongest_by_slope(now);
    }
    return screen_judge_face(trace, from, count, asked_by);
}

static const struct screen_face faces[] = {
    {"c", 0, worth_c, powers_c},
#ifdef DSP_HAS_X86
    {"sse41", DSP_CPU_SSE41, screen_worth_sse41, screen_powers_sse41},
    {"avx2", DSP_CPU_AVX2, screen_worth_avx2, screen_powers_avx2},
    {"avx512", DSP_CPU_AVX512 | DSP_CPU_VNNI, screen_worth_avx512, screen_powers_avx512},
#endif
#ifdef DSP_HAS_NEON
    {"neon", DSP_CPU_NEON, screen_worth_neon, screen_powers_neon},
#endif
};
#define FACE_COUNT (sizeof(faces) / sizeof(faces[0]))

const struct screen_face *screen_faces(size_t *count)
{
    *count = FACE_COUNT;
    return faces;
}

const struct screen_face *screen_choose(unsigned cpu_flags)
{
    const struct screen_face *best = &faces[0];
    pthread_once(&tables_once, tables_make);
    for (size_t i = 1; i < FACE_COUNT; i++) {
        if ((faces[i].cpu_flags & ~cpu_flags) == 0)
            best = &faces[i];
    }
    return best;
}

const struct screen_gate *screen_gate(void)
{
    pthread_once(&tables_once, tables_make);
    return &gate;
}

uint32_t screen_blocks(const struct screen_face *face, const int16_t *pcm, size_t count)
{
    struct screen_trace trace;
    uint32_t worth = face->worth(pcm, count, &gate, &trace);
    if (!worth)
        return worth;
    size_t from = (size_t)__builtin_ctz(worth);
    size_t to = 32 - (size_t)__builtin_clz(worth);
    return worth & face->powers(pcm, from, to - from, &gate, &trace) << from;
}
