#include "dsp/outgoing_watch.h"

#include "base/secret.h"

#include <math.h>
#include <pthread.h>
#include <spandsp.h>
#include <spandsp/expose.h>
#include <string.h>

#define TONES      8
#define HALF       40 /* samples: two of them are a window */
#define WINDOW     (2 * HALF)
#define FULL_DBM0  3.14f  /* of a full-scale sine */
#define SHARE_MIN  0.85f  /* of a window's energy, in one tone of each group */
#define SHARE_SURE 0.94f  /* at once; with less it takes two of them */
#define DOUBT_MAX  16000  /* samples between the two */
#define LEVEL_MIN  2.0e4f /* energy of a window per sample: two tones of -44 dBm0 */
#define QUIET_MAX  5.0e3f /* the same, 6 dB lower: SpanDSP hears nothing below about -40 dBm0 a tone */
#define TWIST_MAX  10.0f  /* 10 dB, as a ratio of powers */
#define TWIST_DB   10     /* SpanDSP's own limits, 8 and 4 dB, are narrower than what telephones send */

typedef float four __attribute__((vector_size(16)));
enum { COSINE_LOW, SINE_LOW, COSINE_HIGH, SINE_HIGH, WAVES };

/* What is kept of half a window. */
struct half {
    four sums[WAVES]; /* with cosines and sines whose phase is 0 at its first sample */
    float energy;     /* per sample */
    bool is_replaced;
};

struct outgoing_watch {
    uint64_t doubted_at; /* the last window that held a pair, if there was one */
    bool has_doubt;
    dtmf_rx_state_t receiver;
    bool has_heard; /* set by the receiver's callback */
    bool is_quiet;  /* the packet, so far */
    bool has_before;
    struct half before;
    int16_t samples[HALF]; /* of the half that is being filled; the rest is zero */
    size_t filled, replaced;
    struct outgoing_watch_counts counts;
};

/* The eight frequencies of ITU-T Q.23 over half a window, by group: one row a sample. The last row says how far each turns
 * from one half to the next. */
static four waves[HALF + 1][WAVES];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void tables_make(void)
{
    static const float tones_hz[TONES] = {697, 770, 852, 941, 1209, 1336, 1477, 1633};
    for (int n = 0; n <= HALF; n++) {
        for (int i = 0; i < TONES; i++) {
            double phase = 2 * M_PI * (double)tones_hz[i] * n / DTMF_SAMPLE_RATE;
            waves[n][i < TONES / 2 ? COSINE_LOW : COSINE_HIGH][i % (TONES / 2)] = (float)cos(phase);
            waves[n][i < TONES / 2 ? SINE_LOW : SINE_HIGH][i % (TONES / 2)] = (float)sin(phase);
        }
    }
}

size_t outgoing_watch_size(void)
{
    return (sizeof(struct outgoing_watch) + OUTGOING_WATCH_ALIGN - 1) / OUTGOING_WATCH_ALIGN *
           OUTGOING_WATCH_ALIGN;
}

/* code: the key's letter when it goes down, 0 when it is released. It is not looked at, and goes no further. */
static void report_h(void *owner, int code, int level, int delay)
{
    struct outgoing_watch *watch = owner;
    (void)level;
    (void)delay;
    watch->has_heard |= code != 0;
}

/* By callback only: its other way of answering keeps the digits in a buffer. */
static void receiver_start(struct outgoing_watch *watch)
{
    wipe(&watch->receiver, sizeof(watch->receiver));
    (void)dtmf_rx_init(&watch->receiver, NULL, NULL);
    span_log_set_level(dtmf_rx_get_logging_state(&watch->receiver), SPAN_LOG_NONE);
    dtmf_rx_set_realtime_callback(&watch->receiver, report_h, watch);
    dtmf_rx_parms(&watch->receiver, -1, TWIST_DB, TWIST_DB, -99);
}

static void half_start(struct outgoing_watch *watch)
{
    memset(watch->samples, 0, sizeof(watch->samples));
    watch->filled = watch->replaced = 0;
}

void outgoing_watch_init(struct outgoing_watch *watch)
{
    pthread_once(&tables_once, tables_make);
    memset(watch, 0, sizeof(*watch));
    watch->counts.residual_dbm0 = OUTGOING_WATCH_NONE;
    receiver_start(watch);
    half_start(watch);
}

static float highest(four re, four im)
{
    four square = re * re + im * im;
    return fmaxf(fmaxf(square[0], square[1]), fmaxf(square[2], square[3]));
}

/* Power of the strongest tone of a group in both halves together, as the mean square of the sine that would give it. */
static float power_of(const struct half *first, const struct half *second, int cosine, int sine)
{
    four turn_re = waves[HALF][cosine];
    four turn_im = waves[HALF][sine];
    four re = first->sums[cosine] + turn_re * second->sums[cosine] - turn_im * second->sums[sine];
    four im = first->sums[sine] + turn_im * second->sums[cosine] + turn_re * second->sums[sine];
    return highest(re, im) * (2.0f / (WINDOW * WINDOW));
}

static void sums_make(const int16_t samples[HALF], four sums[WAVES])
{
    four own[WAVES] = {{0}}; /* nothing else points at them: they stay in registers */
    for (int n = 0; n < HALF; n++) {
        float sample = samples[n];
        four same = {sample, sample, sample, sample};
        own[COSINE_LOW] += same * waves[n][COSINE_LOW];
        own[SINE_LOW] += same * waves[n][SINE_LOW];
        own[COSINE_HIGH] += same * waves[n][COSINE_HIGH];
        own[SINE_HIGH] += same * waves[n][SINE_HIGH];
    }
    memcpy(sums, own, sizeof(own));
}

/* Per sample. Five bits less, so that the sum fits and can be taken four at a time. */
static float energy_of(const int16_t samples[HALF])
{
    uint32_t sum = 0;
    for (int n = 0; n < HALF; n++)
        sum += (uint32_t)((int32_t)samples[n] * samples[n]) >> 5;
    return (float)sum * (32.0f / HALF);
}

static bool window_is_pair(float low, float high, float energy)
{
    return energy >= LEVEL_MIN && low + high >= SHARE_MIN * energy && low <= TWIST_MAX * high &&
           high <= TWIST_MAX * low;
}

/* A window that holds hardly anything but a pair is the rest of a key; one that may be speech is, once it is not alone: in
 * speech they are minutes apart, where a mask leaks they come with every key, and of a whole one in a row. */
static bool window_is_key(struct outgoing_watch *watch, float low, float high, float energy)
{
    uint64_t at = watch->counts.samples;
    bool is_again = watch->has_doubt && at - watch->doubted_at <= DOUBT_MAX;
    if (!window_is_pair(low, high, energy))
        return false;
    watch->has_doubt = true;
    watch->doubted_at = at;
    return is_again || low + high >= SHARE_SURE * energy;
}

static void residual_note(struct outgoing_watch *watch, float power)
{
    float level = 10 * log10f(power * 2 / (32767.0f * 32767.0f) + 1e-12f) + FULL_DBM0;
    watch->counts.residual_dbm0 = fmaxf(watch->counts.residual_dbm0, level);
    watch->counts.replaced_windows++;
}

/* Two halves lie beside each other. True: the rest of a key is in them. */
static bool window_judge(struct outgoing_watch *watch, const struct half *now)
{
    const struct half *before = &watch->before;
    float energy = (before->energy + now->energy) / 2;
    bool is_replaced = before->is_replaced && now->is_replaced;
    if (!is_replaced && energy < LEVEL_MIN)
        return false;
    float low = power_of(before, now, COSINE_LOW, SINE_LOW);
    float high = power_of(before, now, COSINE_HIGH, SINE_HIGH);
    if (is_replaced)
        residual_note(watch, fmaxf(low, high));
    return window_is_key(watch, low, high, energy);
}

/* Half a window is full. True as above. */
static bool half_take(struct outgoing_watch *watch)
{
    struct half now = {.energy = energy_of(watch->samples), .is_replaced = watch->replaced == HALF};
    bool is_key = false;
    if (now.is_replaced || now.energy >= QUIET_MAX) /* else next to nothing, and taken for nothing */
        sums_make(watch->samples, now.sums);
    if (watch->has_before)
        is_key = window_judge(watch, &now);
    watch->is_quiet &= now.energy < QUIET_MAX;
    watch->counts.remains += is_key;
    watch->before = now;
    watch->has_before = true;
    half_start(watch);
    return is_key;
}

/* Samples of [from, to) that lie in one of the runs. */
static size_t replaced_in(const struct mask_run *runs, size_t run_count, size_t from, size_t to)
{
    size_t sum = 0;
    for (size_t i = 0; i < run_count; i++) {
        size_t first = runs[i].from > from ? runs[i].from : from;
        size_t end = runs[i].to < to ? runs[i].to : to;
        sum += end > first ? end - first : 0;
    }
    return sum;
}

/* Quiet packets, comfort noise most of all, are time without a tone: SpanDSP's threshold lies well above. */
static bool receiver_hears(struct outgoing_watch *watch, const int16_t *pcm, size_t count)
{
    if (watch->filled)
        watch->is_quiet &= energy_of(watch->samples) < QUIET_MAX;
    if (watch->is_quiet)
        (void)dtmf_rx_fillin(&watch->receiver, (int)count);
    else
        (void)dtmf_rx(&watch->receiver, pcm, (int)count);
    if (!watch->has_heard)
        return false;
    watch->has_heard = false;
    watch->counts.keys++;
    receiver_start(watch); /* it knows which */
    return true;
}

bool outgoing_watch_hear(struct outgoing_watch *watch, const int16_t *pcm, size_t count,
                         const struct mask_run *replaced, size_t replaced_count)
{
    bool has_remains = false;
    watch->is_quiet = true;
    for (size_t done = 0; done < count;) {
        size_t piece = HALF - watch->filled;
        piece = piece < count - done ? piece : count - done;
        memcpy(watch->samples + watch->filled, pcm + done, piece * sizeof(*pcm));
        watch->filled += piece;
        watch->replaced += replaced_in(replaced, replaced_count, done, done + piece);
        done += piece;
        watch->counts.samples += piece;
        if (watch->filled == HALF)
            has_remains |= half_take(watch);
    }
    return receiver_hears(watch, pcm, count) || has_remains;
}

void outgoing_watch_gap(struct outgoing_watch *watch, size_t count)
{
    (void)dtmf_rx_fillin(&watch->receiver, (int)count);
    watch->has_before = false;
    half_start(watch);
}

void outgoing_watch_counts(const struct outgoing_watch *watch, struct outgoing_watch_counts *counts)
{
    *counts = watch->counts;
}

void outgoing_watch_wipe(struct outgoing_watch *watch)
{
    wipe(watch, outgoing_watch_size());
}
