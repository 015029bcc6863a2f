#include "dsp/grid_screen.h"

#include "dsp/dtmf.h"
#include "dsp/grid_screen_priv.h"

#include <math.h>
#include <pthread.h>

struct grid_tables grid_waves;
static struct grid_gate gate;
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void wave_make(int sample, int wave)
{
    double omega = 2 * M_PI * tone_bank_hz[wave % TONE_BANK_TONES] / DTMF_SAMPLE_RATE;
    double part = wave < TONE_BANK_TONES ? cos(omega * sample) : sin(omega * sample);
    int16_t value = (int16_t)lrint(GRID_SCALE * part);
    grid_waves.pairs[sample / 2][wave][sample % 2] = value;
    grid_waves.samples[sample][wave] = value;
    grid_waves.waves[wave][sample] = value;
}

/* Of 600 000 windows full of a key (twist within 9.3 dB, 2 % off tune, -28..-2 dBm0, SNR 10 dB and more, over recorded speech
 * whose mean is 10 dB below and more) ten fail, of which seven fail what suspicion's gate demands too. Of windows of speech
 * that have that they refuse four in ten. */
#define RATIO_MIN  0.24f /* energy of differences over energy; 63 steps stand for 64 */
#define RATIO_MAX  1.80f
#define SHARE_MIN  0.30f /* of the energy: the strongest row and column */
#define COLUMN_MIN 0.02f /* the strongest column alone */
#define STEPS      ((float)(GRID_WINDOW - 1) / GRID_WINDOW)
/* Roundings, here and in tone_bank, must not cost a key. */
#define ENERGY_SHARE 0.99f

static void gate_make(void)
{
    const float unit = 1 << GRID_SHIFT;
    const float power = unit * GRID_SCALE * GRID_SCALE;
    struct suspicion_demand demand;
    suspicion_demand(&demand);
    gate.energy_min = demand.energy_min * ENERGY_SHARE / unit;
    gate.ratio_min = RATIO_MIN * STEPS;
    gate.ratio_max = RATIO_MAX * STEPS;
    gate.column_min = COLUMN_MIN * GRID_WINDOW / 2 * power;
    gate.share_min = SHARE_MIN * GRID_WINDOW / 2 * power;
    gate.shares_min = demand.powers_min * power * ENERGY_SHARE;
}

static void tables_make(void)
{
    for (int sample = 0; sample < GRID_WINDOW; sample++) {
        for (int wave = 0; wave < GRID_WAVES; wave++)
            wave_make(sample, wave);
    }
    for (int tone = 0; tone < TONE_BANK_TONES; tone++) {
        double sine = sin(M_PI * tone_bank_hz[tone] / DTMF_SAMPLE_RATE);
        grid_waves.slope[tone] = (float)(4 * sine * sine) * STEPS;
    }
    gate_make();
}

/* ---- the C reference ---- */

static inline uint32_t shifted(int32_t a, int32_t b)
{
    return ((uint32_t)a * (uint32_t)a + (uint32_t)b * (uint32_t)b) >> GRID_SHIFT;
}

static void energies_c(const int16_t *pcm, size_t count, int32_t sums[GRID_MAX])
{
    for (size_t window = 0; window < count; window++, pcm += GRID_WINDOW) {
        uint32_t sum = 0;
        for (int i = 0; i < GRID_WINDOW; i += 2)
            sum += shifted(pcm[i], pcm[i + 1]);
        sums[window] = (int32_t)sum;
    }
}

/* A step of more than 16 bits counts as the greatest of 16; the one to the first sample is none. */
static void differences_c(const int16_t *pcm, size_t count, int32_t sums[GRID_MAX])
{
    for (size_t window = 0; window < count; window++, pcm += GRID_WINDOW) {
        int32_t step[GRID_WINDOW] = {0};
        uint32_t sum = 0;
        for (int i = 1; i < GRID_WINDOW; i++) {
            int32_t exact = pcm[i] - pcm[i - 1];
            step[i] = exact > INT16_MAX ? INT16_MAX : exact < INT16_MIN ? INT16_MIN : exact;
        }
        for (int i = 0; i < GRID_WINDOW; i += 2)
            sum += shifted(step[i], step[i + 1]);
        sums[window] = (int32_t)sum;
    }
}

static struct grid_powers correlate_c(const int16_t *pcm)
{
    float power[TONE_BANK_TONES];
    struct grid_powers powers;
    for (int tone = 0; tone < TONE_BANK_TONES; tone++) {
        int32_t cosine = 0, sine = 0;
        for (int i = 0; i < GRID_WINDOW; i++) {
            cosine += pcm[i] * grid_waves.waves[tone][i];
            sine += pcm[i] * grid_waves.waves[TONE_BANK_TONES + tone][i];
        }
        power[tone] = (float)cosine * (float)cosine + (float)sine * (float)sine;
    }
    memcpy(&powers.row, power, sizeof(powers.row));
    memcpy(&powers.column, power + 4, sizeof(powers.column));
    return powers;
}

static uint32_t hear_c(const int16_t *pcm, size_t count, const struct grid_gate *asked_by,
                       struct grid_trace *trace)
{
    return grid_hear_face(pcm, count, asked_by, trace, energies_c, differences_c, correlate_c);
}

static const struct grid_face faces[] = {
    {"c", 0, hear_c},
#ifdef DSP_HAS_X86
    {"sse41", DSP_CPU_SSE41, grid_hear_sse41},
    {"avx2", DSP_CPU_AVX2, grid_hear_avx2},
    {"avx512", DSP_CPU_AVX512 | DSP_CPU_VNNI, grid_hear_avx512},
#endif
#ifdef DSP_HAS_NEON
    {"neon", DSP_CPU_NEON, grid_hear_neon},
#endif
};
#define FACE_COUNT (sizeof(faces) / sizeof(faces[0]))

const struct grid_face *grid_faces(size_t *count)
{
    *count = FACE_COUNT;
    return faces;
}

const struct grid_face *grid_choose(unsigned cpu_flags)
{
    const struct grid_face *best = &faces[0];
    pthread_once(&tables_once, tables_make);
    for (size_t i = 1; i < FACE_COUNT; i++) {
        if ((faces[i].cpu_flags & ~cpu_flags) == 0)
            best = &faces[i];
    }
    return best;
}

const struct grid_gate *grid_gate(void)
{
    pthread_once(&tables_once, tables_make);
    return &gate;
}

uint32_t grid_windows(const struct grid_face *face, const int16_t *ring, size_t ring_windows, uint64_t from,
                      size_t count)
{
    struct grid_trace trace;
    uint32_t full = 0;
    for (size_t done = 0; done < count;) {
        size_t at = (size_t)(from + done) & (ring_windows - 1);
        size_t some = count - done < GRID_MAX ? count - done : GRID_MAX;
        some = some < ring_windows - at ? some : ring_windows - at;
        full |= face->hear(ring + at * GRID_WINDOW, some, &gate, &trace) << done;
        done += some;
    }
    return full;
}
