#include "dsp/outgoing_watch.h"

#include "base/secret.h"

#include <math.h>
#include <pthread.h>
#include <spandsp.h>
#include <spandsp/expose.h>
#include <string.h>

#define TONES     8
#define BLOCK     OUTGOING_WATCH_BLOCK
#define FULL_DBM0 3.14f  /* of a full-scale sine */
#define SHARE_MIN 0.85f  /* of a block's energy, in one tone of each group */
#define LEVEL_MIN 2.0e4f /* energy of a block per sample: two tones of -44 dBm0 */
#define QUIET_MAX 5.0e3f /* the same, 6 dB lower: SpanDSP hears nothing below about -40 dBm0 a tone */
#define TWIST_MAX 10.0f  /* 10 dB, as a ratio of powers */
#define TWIST_DB  10     /* SpanDSP's own limits, 8 and 4 dB, are narrower than what telephones send */

typedef float four __attribute__((vector_size(16)));
enum { COSINE_LOW, SINE_LOW, COSINE_HIGH, SINE_HIGH, WAVES };

struct outgoing_watch {
    dtmf_rx_state_t receiver;
    bool has_heard; /* set by the receiver's callback */
    /* The second ear's block that is being filled. */
    int16_t block[BLOCK];
    size_t filled, replaced;
    bool is_quiet; /* the packet, so far */
    struct outgoing_watch_counts counts;
};

/* The eight frequencies of ITU-T Q.23 over a block, by group: one row a sample. */
static four waves[BLOCK][WAVES];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void tables_make(void)
{
    static const float tones_hz[TONES] = {697, 770, 852, 941, 1209, 1336, 1477, 1633};
    for (int n = 0; n < BLOCK; n++) {
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

static void block_start(struct outgoing_watch *watch)
{
    wipe(watch->block, sizeof(watch->block));
    watch->filled = watch->replaced = 0;
}

void outgoing_watch_init(struct outgoing_watch *watch)
{
    pthread_once(&tables_once, tables_make);
    memset(watch, 0, sizeof(*watch));
    watch->counts.residual_dbm0 = OUTGOING_WATCH_NONE;
    receiver_start(watch);
    block_start(watch);
}

static float highest(four re, four im)
{
    four square = re * re + im * im;
    return fmaxf(fmaxf(square[0], square[1]), fmaxf(square[2], square[3]));
}

/* Power of the strongest tone of each group in the block, as the mean square of the sine that would give it. */
static void powers_of(const int16_t block[BLOCK], float *low, float *high)
{
    four sums[WAVES] = {{0}};
    for (int n = 0; n < BLOCK; n++) {
        float sample = block[n];
        four same = {sample, sample, sample, sample};
        for (int wave = 0; wave < WAVES; wave++)
            sums[wave] += same * waves[n][wave];
    }
    *low = highest(sums[COSINE_LOW], sums[SINE_LOW]) * (2.0f / (BLOCK * BLOCK));
    *high = highest(sums[COSINE_HIGH], sums[SINE_HIGH]) * (2.0f / (BLOCK * BLOCK));
}

/* Per sample, over a block whose rest is zero. Five bits less, so that the sum fits and can be taken four at a time. */
static float energy_of(const int16_t block[BLOCK])
{
    uint32_t sum = 0;
    for (int n = 0; n < BLOCK; n++)
        sum += (uint32_t)((int32_t)block[n] * block[n]) >> 5;
    return (float)sum * (32.0f / BLOCK);
}

static bool block_is_key(float low, float high, float energy)
{
    return energy >= LEVEL_MIN && low + high >= SHARE_MIN * energy && low <= TWIST_MAX * high &&
           high <= TWIST_MAX * low;
}

static void residual_note(struct outgoing_watch *watch, float power)
{
    float level = 10 * log10f(power * 2 / (32767.0f * 32767.0f) + 1e-12f) + FULL_DBM0;
    watch->counts.residual_dbm0 = fmaxf(watch->counts.residual_dbm0, level);
    watch->counts.replaced_blocks++;
}

/* A block is full. True: it is the rest of a key. */
static bool block_judge(struct outgoing_watch *watch)
{
    float energy = energy_of(watch->block);
    bool is_replaced = watch->replaced == BLOCK;
    bool is_key = false;
    if (is_replaced || energy >= LEVEL_MIN) {
        float low;
        float high;
        powers_of(watch->block, &low, &high);
        is_key = block_is_key(low, high, energy);
        if (is_replaced)
            residual_note(watch, fmaxf(low, high));
    }
    watch->is_quiet &= energy < QUIET_MAX;
    watch->counts.remains += is_key;
    block_start(watch);
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
        watch->is_quiet &= energy_of(watch->block) < QUIET_MAX;
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
        size_t piece = BLOCK - watch->filled;
        piece = piece < count - done ? piece : count - done;
        memcpy(watch->block + watch->filled, pcm + done, piece * sizeof(*pcm));
        watch->filled += piece;
        watch->replaced += replaced_in(replaced, replaced_count, done, done + piece);
        done += piece;
        if (watch->filled == BLOCK)
            has_remains |= block_judge(watch);
    }
    watch->counts.samples += count;
    return receiver_hears(watch, pcm, count) || has_remains;
}

void outgoing_watch_gap(struct outgoing_watch *watch, size_t count)
{
    (void)dtmf_rx_fillin(&watch->receiver, (int)count);
    block_start(watch);
}

void outgoing_watch_counts(const struct outgoing_watch *watch, struct outgoing_watch_counts *counts)
{
    *counts = watch->counts;
}

void outgoing_watch_wipe(struct outgoing_watch *watch)
{
    wipe(watch, outgoing_watch_size());
}
