#include "bench/memscan/listen.h"

#include "base/secret.h"
#include "dsp/g711.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Correlation goes in steps of STEP samples whose sums are turned to one phase and added up: a block may then begin at
 * every STEP, so that one fits between the headers of two packets, at no more cost than blocks that do not overlap. */
#define STEP        16
#define BLOCK_STEPS 8 /* 128 samples, 16 ms: a key of 40 ms holds a whole block */
#define BLOCK       (STEP * BLOCK_STEPS)
#define PIECE       4096 /* bytes */
#define PIECE_STEPS (PIECE / STEP)
#define TONES       8
#define DIGITS_MAX  64
#define HEARD_MAX   64
#define SAMPLE_HZ   8000.0
#define SYMBOLS     16
#define NO_SYMBOL   0xff

/* Share of a block's energy that the two tones must hold, and each of them. Random bytes reach 0.2. */
#define SHARE_BOTH 0.55f
#define SHARE_EACH 0.08f

struct ear {
    uint8_t last;              /* symbol of the block before, or NO_SYMBOL */
    uint8_t merged[HEARD_MAX]; /* keys heard, runs and repeats merged */
    size_t merged_count;
    uint8_t paused[HEARD_MAX]; /* keys heard, a pause separates repeats */
    size_t paused_count;
    uint64_t finds, keys;
};

struct listen {
    uint8_t keyed[DIGITS_MAX];
    size_t keyed_count;
    uint8_t merged[DIGITS_MAX];
    size_t merged_count;
    _Alignas(64) float waves[STEP][2 * TONES]; /* cosines, then sines */
    float turns[PIECE_STEPS][2 * TONES];       /* the same at the beginning of each step */
    float ulaw[256], alaw[256];
    struct ear ears[LISTEN_ENCODINGS];
};

static const double tone_hz[TONES] = {697, 770, 852, 941, 1209, 1336, 1477, 1633};

/* Row-major, as on the key pad; 10 '*', 11 '#', 12..15 A..D. */
static const uint8_t key_pad[SYMBOLS] = {1, 2, 3, 12, 4, 5, 6, 13, 7, 8, 9, 14, 10, 0, 11, 15};

const char *listen_encoding_name(enum listen_encoding encoding)
{
    static const char *const names[LISTEN_ENCODINGS] = {"heard_ulaw", "heard_alaw", "heard_s16", "heard_f32"};
    return (unsigned)encoding < LISTEN_ENCODINGS ? names[encoding] : "?";
}

static void fill_waves(float *waves, double n)
{
    for (int tone = 0; tone < TONES; tone++) {
        double phase = 2 * M_PI * tone_hz[tone] * n / SAMPLE_HZ;
        waves[tone] = (float)cos(phase);
        waves[TONES + tone] = (float)sin(phase);
    }
}

static void make_tables(struct listen *listen)
{
    for (int n = 0; n < STEP; n++)
        fill_waves(listen->waves[n], n);
    for (int step = 0; step < PIECE_STEPS; step++)
        fill_waves(listen->turns[step], (double)step * STEP);
    for (int code = 0; code < 256; code++) {
        uint8_t byte = (uint8_t)code;
        int16_t linear;
        g711_decode(G711_ULAW, &byte, &linear, 1);
        listen->ulaw[code] = linear;
        g711_decode(G711_ALAW, &byte, &linear, 1);
        listen->alaw[code] = linear;
    }
}

enum err listen_new(struct listen **out, const uint8_t *digits, size_t count)
{
    *out = NULL;
    if (count < LISTEN_KEYS_MIN || count > DIGITS_MAX)
        return ERR_RANGE;
    size_t bytes = (sizeof(struct listen) + 63) / 64 * 64;
    struct listen *listen = aligned_alloc(64, bytes);
    if (!listen)
        return ERR_MEMORY;
    memset(listen, 0, bytes);
    for (size_t i = 0; i < count; i++) {
        listen->keyed[listen->keyed_count++] = digits[i];
        if (i == 0 || digits[i] != digits[i - 1])
            listen->merged[listen->merged_count++] = digits[i];
    }
    make_tables(listen);
    listen_begin(listen);
    *out = listen;
    return OK;
}

void listen_free(struct listen *listen)
{
    if (!listen)
        return;
    wipe(listen, sizeof(*listen));
    free(listen);
}

void listen_begin(struct listen *listen)
{
    for (int i = 0; i < LISTEN_ENCODINGS; i++) {
        listen->ears[i].last = NO_SYMBOL;
        listen->ears[i].merged_count = 0;
        listen->ears[i].paused_count = 0;
    }
}

/* --- blocks --- */

/* Four floats in step. */
typedef float quad __attribute__((vector_size(16)));
#define QUADS (2 * TONES / 4)

struct sums {
    float waves[2 * TONES];
    float energy;
};

static void correlate(const struct listen *listen, const float *samples, size_t steps, struct sums *sums)
{
    for (size_t step = 0; step < steps; step++) {
        quad all4[QUADS] = {{0}};
        float energy = 0;
        const float *in = samples + step * STEP;
        for (int n = 0; n < STEP; n++) {
            const quad *wave = (const quad *)(const void *)listen->waves[n];
            quad sample = {in[n], in[n], in[n], in[n]};
            for (int i = 0; i < QUADS; i++)
                all4[i] += sample * wave[i];
            energy += in[n] * in[n];
        }
        float all[2 * TONES];
        for (int i = 0; i < 2 * TONES; i++)
            all[i] = all4[i / 4][i % 4];
        const float *turn = listen->turns[step];
        for (int i = 0; i < TONES; i++) {
            sums[step].waves[i] = all[i] * turn[i] - all[TONES + i] * turn[TONES + i];
            sums[step].waves[TONES + i] = all[TONES + i] * turn[i] + all[i] * turn[TONES + i];
        }
        sums[step].energy = energy;
    }
}

/* power: each tone's share of the block's energy, 1 for a pure tone. False: nothing to hear. */
static inline bool block_power(const struct sums *sums, float *power)
{
    float all[2 * TONES] = {0};
    float energy = 0;
    for (int step = 0; step < BLOCK_STEPS; step++) {
        for (int i = 0; i < 2 * TONES; i++)
            all[i] += sums[step].waves[i];
        energy += sums[step].energy;
    }
    if (!(energy > 0) || !(energy < 1e30f))
        return false;
    float scale = 2 / (BLOCK * energy);
    for (int i = 0; i < TONES; i++)
        power[i] = (all[i] * all[i] + all[TONES + i] * all[TONES + i]) * scale;
    return true;
}

static inline int strongest(const float *power, int first)
{
    int best = first;
    for (int i = first + 1; i < first + 4; i++) {
        if (power[i] > power[best])
            best = i;
    }
    return best;
}

static void judge(const struct sums *sums, size_t blocks, uint8_t *symbols)
{
    for (size_t block = 0; block < blocks; block++) {
        float power[TONES];
        symbols[block] = NO_SYMBOL;
        if (!block_power(sums + block, power))
            continue;
        int row = strongest(power, 0);
        int column = strongest(power, 4);
        if (power[row] + power[column] >= SHARE_BOTH && power[row] >= SHARE_EACH &&
            power[column] >= SHARE_EACH)
            symbols[block] = key_pad[row * 4 + (column - 4)];
    }
}

/* --- a sequence --- */

static bool has_run(const uint8_t *keyed, size_t keyed_count, const uint8_t *tail, size_t count)
{
    for (size_t i = 0; i + count <= keyed_count; i++) {
        if (memcmp(keyed + i, tail, count) == 0)
            return true;
    }
    return false;
}

static void remember(uint8_t *heard, size_t *count, uint8_t symbol)
{
    if (*count == HEARD_MAX) {
        memmove(heard, heard + 1, HEARD_MAX - 1);
        --*count;
    }
    heard[(*count)++] = symbol;
}

/* The last keys heard, against every place in what was keyed. */
static bool is_find(const uint8_t *keyed, size_t keyed_count, const uint8_t *heard, size_t heard_count)
{
    return keyed_count >= LISTEN_KEYS_MIN && heard_count >= LISTEN_KEYS_MIN &&
           has_run(keyed, keyed_count, heard + heard_count - LISTEN_KEYS_MIN, LISTEN_KEYS_MIN);
}

static void hear(const struct listen *listen, struct ear *ear, uint8_t symbol)
{
    uint8_t before = ear->last;
    ear->last = symbol;
    if (symbol == NO_SYMBOL || symbol == before)
        return;
    ear->keys++;
    remember(ear->paused, &ear->paused_count, symbol);
    bool is_new = ear->merged_count == 0 || ear->merged[ear->merged_count - 1] != symbol;
    if (is_new)
        remember(ear->merged, &ear->merged_count, symbol);
    bool is_merged_find =
        is_new && is_find(listen->merged, listen->merged_count, ear->merged, ear->merged_count);
    if (is_merged_find || is_find(listen->keyed, listen->keyed_count, ear->paused, ear->paused_count))
        ear->finds++;
}

/* --- encodings --- */

static void decode(const struct listen *listen, enum listen_encoding encoding, const uint8_t *bytes,
                   float *samples, size_t count)
{
    int16_t narrow;
    float wide;
    switch (encoding) {
    case LISTEN_ULAW:
        for (size_t i = 0; i < count; i++)
            samples[i] = listen->ulaw[bytes[i]];
        return;
    case LISTEN_ALAW:
        for (size_t i = 0; i < count; i++)
            samples[i] = listen->alaw[bytes[i]];
        return;
    case LISTEN_S16:
        for (size_t i = 0; i < count; i++) {
            memcpy(&narrow, bytes + 2 * i, sizeof(narrow));
            samples[i] = narrow;
        }
        return;
    default:
        for (size_t i = 0; i < count; i++) {
            memcpy(&wide, bytes + 4 * i, sizeof(wide));
            samples[i] = fabsf(wide) < 1e6f ? wide : 0; /* nor what is no number */
        }
    }
}

static const size_t sample_bytes[LISTEN_ENCODINGS] = {1, 1, 2, 4};

static bool is_flat(const uint8_t *bytes, size_t length)
{
    return memcmp(bytes, bytes + 1, length - 1) == 0;
}

static void listen_piece(struct listen *listen, enum listen_encoding encoding, const uint8_t *bytes,
                         size_t length)
{
    float samples[PIECE];
    struct sums sums[PIECE_STEPS];
    uint8_t symbols[PIECE_STEPS];
    size_t steps = length / sample_bytes[encoding] / STEP;
    if (steps < BLOCK_STEPS)
        return;
    decode(listen, encoding, bytes, samples, steps * STEP);
    correlate(listen, samples, steps, sums);
    size_t blocks = steps - BLOCK_STEPS + 1;
    judge(sums, blocks, symbols);
    for (size_t i = 0; i < blocks; i++)
        hear(listen, &listen->ears[encoding], symbols[i]);
    wipe(samples, steps * STEP * sizeof(float));
    wipe(sums, steps * sizeof(sums[0]));
}

void listen_to(struct listen *listen, const uint8_t *bytes, size_t length)
{
    for (size_t at = 0; at < length; at += PIECE) {
        size_t piece = length - at < PIECE ? length - at : PIECE;
        if (piece < BLOCK)
            return;
        bool is_silent = is_flat(bytes + at, piece);
        for (int encoding = 0; encoding < LISTEN_ENCODINGS; encoding++) {
            if (is_silent)
                hear(listen, &listen->ears[encoding], NO_SYMBOL);
            else
                listen_piece(listen, encoding, bytes + at, piece);
        }
    }
}

void listen_found(const struct listen *listen, uint64_t finds[LISTEN_ENCODINGS],
                  uint64_t keys[LISTEN_ENCODINGS])
{
    for (int i = 0; i < LISTEN_ENCODINGS; i++) {
        finds[i] = listen->ears[i].finds;
        keys[i] = listen->ears[i].keys;
    }
}
