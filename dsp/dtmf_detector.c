#include "dsp/dtmf_detector.h"

#include "base/secret.h"
#include "dsp/cpu.h"
#include "dsp/dtmf_detector_priv.h"

#include <math.h>
#include <string.h>

#define FAR_LOOKAHEAD  144 /* samples */
#define PREFETCH_ALL   4   /* frames ahead: half a microsecond, longer than memory takes */
#define PREFETCH_STATE 8   /* where in its ring a channel is must be known before the ring can be asked for */
#define HISTORY_BLOCKS (DTMF_HISTORY / TONE_BANK_BLOCK)

static const char letters[] = "0123456789*#ABCD"; /* RFC 4733 §3.2 */
static const uint8_t keys_by_place[DTMF_KEYS] = {1, 2, 3, 12, 4, 5, 6, 13, 7, 8, 9, 14, 10, 0, 11, 15};

char dtmf_key_letter(uint8_t key)
{
    return key < DTMF_KEYS ? letters[key] : '?';
}

int dtmf_key_of_letter(char letter)
{
    const char *found = letter ? strchr(letters, letter) : NULL;
    return found ? (int)(found - letters) : -1;
}

uint8_t dtmf_key_at(unsigned row, unsigned column)
{
    return keys_by_place[(row & 3) * 4 + (column & 3)];
}

uint8_t dtmf_key_place(uint8_t key)
{
    uint8_t place = 0;
    while (place < DTMF_KEYS - 1 && keys_by_place[place] != key)
        place++;
    return place;
}

float dtmf_dbm0_of_amplitude(float amplitude)
{
    return 20 * log10f((amplitude > 0.001f ? amplitude : 0.001f) / 32767.0f) + 3.14f;
}

float dtmf_amplitude_of_dbm0(float dbm0)
{
    return 32767.0f * powf(10, (dbm0 - 3.14f) / 20);
}

size_t dtmf_detector_size(void)
{
    return sizeof(struct dtmf_detector);
}

void dtmf_detector_init(struct dtmf_detector *detector, unsigned lookahead_samples)
{
    memset(detector, 0, sizeof(*detector));
    unsigned cpu_flags = dsp_cpu_flags();
    detector->bank = tone_bank_choose(cpu_flags);
    suspicion_init(&detector->suspicion,
                   lookahead_samples >= FAR_LOOKAHEAD ? SUSPICION_IN_18_MS : SUSPICION_IN_9_MS, cpu_flags);
    suspicion_set_strict(&detector->suspicion, lookahead_samples == 0);
    detector->screen = screen_choose(cpu_flags);
    decision_init(&detector->decision);
}

void dtmf_detector_set_strict(struct dtmf_detector *detector, bool is_strict)
{
    suspicion_set_strict(&detector->suspicion, is_strict);
}

bool dtmf_detector_is_down(const struct dtmf_detector *detector)
{
    return detector->decision.is_down;
}

void dtmf_detector_wipe(struct dtmf_detector *detector)
{
    wipe(detector, sizeof(*detector));
}

static void remember(struct dtmf_detector *detector, const int16_t *pcm, size_t count)
{
    size_t at = detector->fed & (DTMF_HISTORY - 1);
    size_t first = count < DTMF_HISTORY - at ? count : DTMF_HISTORY - at;
    if (pcm) {
        memcpy(&detector->history[at], pcm, first * sizeof(*pcm));
        memcpy(detector->history, pcm + first, (count - first) * sizeof(*pcm));
    } else {
        memset(&detector->history[at], 0, first * sizeof(*pcm));
        memset(detector->history, 0, (count - first) * sizeof(*pcm));
    }
}

/* A stretch of blocks as one piece: of the ring itself, or, where that begins anew, copied into scratch. Before the first
 * sample there was silence: the ring was empty. */
static const int16_t *stretch_of(const struct dtmf_detector *detector, uint64_t first, size_t count,
                                 int16_t *scratch)
{
    size_t at = (size_t)(first % HISTORY_BLOCKS);
    if (at + count <= HISTORY_BLOCKS)
        return &detector->history[at * TONE_BANK_BLOCK];
    size_t early = HISTORY_BLOCKS - at;
    memcpy(scratch, &detector->history[at * TONE_BANK_BLOCK], early * TONE_BANK_BLOCK * sizeof(*scratch));
    memcpy(scratch + early * TONE_BANK_BLOCK, detector->history,
           (count - early) * TONE_BANK_BLOCK * sizeof(*scratch));
    return scratch;
}

/* Which of count blocks suspicion must hear. */
static uint32_t screen(const struct dtmf_detector *detector, uint64_t first, size_t count)
{
    int16_t scratch[(SCREEN_LEAD + DTMF_SUSPICION_MAX) * TONE_BANK_BLOCK];
    const int16_t *pcm = stretch_of(detector, first - SCREEN_LEAD, SCREEN_LEAD + count, scratch);
    uint32_t asked = 0;
    for (size_t at = 0; at < count; at += SCREEN_FEED_MAX) {
        size_t some = count - at < SCREEN_FEED_MAX ? count - at : SCREEN_FEED_MAX;
        asked |= screen_blocks(detector->screen, pcm + (SCREEN_LEAD + at) * TONE_BANK_BLOCK, some) << at;
    }
    return asked;
}

/* Suspicion hears those of count blocks that it must, from the first to the last of them, and for that, what went before. */
static size_t hear(struct dtmf_detector *detector, uint64_t first, size_t count, struct suspicion_hit *hits)
{
    struct tone_block blocks[SUSPICION_PAST + DTMF_SUSPICION_MAX];
    int16_t scratch[(SUSPICION_PAST + DTMF_SUSPICION_MAX) * TONE_BANK_BLOCK];
    uint32_t asked = screen(detector, first, count);
    if (!asked) {
        suspicion_skip(&detector->suspicion, count);
        return 0;
    }
    size_t from = (size_t)__builtin_ctz(asked);
    size_t to = 32 - (size_t)__builtin_clz(asked);
    suspicion_skip(&detector->suspicion, from);
    size_t recalled = suspicion_must_recall(&detector->suspicion) ? SUSPICION_PAST : 0;
    size_t heard = recalled + to - from;
    detector->bank->blocks(stretch_of(detector, first + from - recalled, heard, scratch), heard, blocks);
    if (recalled)
        suspicion_recall(&detector->suspicion, blocks);
    size_t hit_count = suspicion_feed(&detector->suspicion, blocks + recalled, to - from, hits);
    suspicion_skip(&detector->suspicion, count - to);
    for (size_t i = 0; i < hit_count; i++)
        hits[i].block = (uint8_t)(hits[i].block + from);
    return hit_count;
}

static void suspect(struct dtmf_detector *detector, uint64_t at, struct dtmf_heard *heard)
{
    heard->suspicions[heard->suspicion_count++] = at;
    decision_suspect(&detector->decision, at);
}

/* Blocks of this feed that hold samples of a gap: those that begin before its end. */
static size_t deaf_blocks(const struct dtmf_detector *detector, size_t block_count)
{
    uint64_t first = detector->fed / TONE_BANK_BLOCK;
    uint64_t deaf_until = (detector->gap_until + TONE_BANK_BLOCK - 1) / TONE_BANK_BLOCK;
    if (deaf_until <= first)
        return 0;
    return deaf_until - first < block_count ? (size_t)(deaf_until - first) : block_count;
}

/* Walks through the new samples in the order of time, so that the answers do not depend on the framing. */
static void listen(struct dtmf_detector *detector, size_t count, struct dtmf_heard *heard)
{
    struct suspicion_hit hits[DTMF_SUSPICION_MAX];
    uint64_t first = detector->fed / TONE_BANK_BLOCK;
    size_t block_count = (size_t)((detector->fed + count) / TONE_BANK_BLOCK - first);
    size_t deaf_count = deaf_blocks(detector, block_count);
    if (deaf_count)
        suspicion_deafen(&detector->suspicion, deaf_count);
    size_t hit_count = 0;
    if (block_count)
        hit_count = hear(detector, first, block_count, hits);
    uint64_t end = detector->fed + count;
    uint64_t first_end = detector->fed / TONE_BANK_BLOCK * TONE_BANK_BLOCK + TONE_BANK_BLOCK;
    size_t hit = 0;
    if (hit_count || decision_may_wake(&detector->decision, detector->fed)) {
        uint64_t at = detector->fed / DECISION_TICK * DECISION_TICK + DECISION_TICK;
        for (; at <= end; at += DECISION_TICK) {
            if (hit < hit_count && first_end + hits[hit].block * (uint64_t)TONE_BANK_BLOCK == at) {
                suspect(detector, at, heard);
                hit++;
            }
            if (decision_is_awake(&detector->decision, at))
                decision_tick(&detector->decision, detector->history, DTMF_HISTORY, at, detector->gap_until,
                              heard->edges, &heard->edge_count);
        }
    }
    detector->fed = end;
}

enum err dtmf_detector_feed(struct dtmf_detector *detector, const int16_t *pcm, size_t count,
                            struct dtmf_heard *heard)
{
    heard->edge_count = 0;
    heard->suspicion_count = 0;
    if (count == 0 || count > DTMF_FRAME_MAX)
        return ERR_RANGE;
    remember(detector, pcm, count);
    listen(detector, count, heard);
    return OK;
}

/* Lines of [from, from + bytes). */
static void prefetch(const void *from, size_t bytes)
{
    const char *at = from;
    for (size_t line = 0; line < bytes; line += 64)
        __builtin_prefetch(at + line, 1);
}

void dtmf_detector_prefetch(const struct dtmf_detector *detector, size_t count)
{
    size_t at = detector->fed & (DTMF_HISTORY - 1);
    prefetch(detector, offsetof(struct dtmf_detector, suspicion) + offsetof(struct suspicion, past));
    prefetch(&detector->decision, offsetof(struct decision, track_fit));
    /* The ring goes on at its beginning after one line too much at most. */
    prefetch(&detector->history[at], count * sizeof(int16_t));
}

void dtmf_detector_feed_batch(const struct dtmf_frame *frames, size_t frame_count, dtmf_heard_h *heard_h,
                              void *owner)
{
    struct dtmf_heard heard;
    for (size_t i = 0; i < frame_count && i < PREFETCH_STATE; i++)
        __builtin_prefetch(frames[i].detector, 1);
    for (size_t i = 0; i < frame_count; i++) {
        if (i + PREFETCH_STATE < frame_count)
            __builtin_prefetch(frames[i + PREFETCH_STATE].detector, 1);
        if (i + PREFETCH_ALL < frame_count)
            dtmf_detector_prefetch(frames[i + PREFETCH_ALL].detector, frames[i + PREFETCH_ALL].count);
        enum err err = dtmf_detector_feed(frames[i].detector, frames[i].pcm, frames[i].count, &heard);
        ASSERT(!err);
        heard_h(owner, i, &heard);
    }
}

enum err dtmf_detector_gap(struct dtmf_detector *detector, size_t count, struct dtmf_heard *heard)
{
    heard->edge_count = 0;
    heard->suspicion_count = 0;
    if (count == 0 || count > DTMF_FRAME_MAX)
        return ERR_RANGE;
    remember(detector, NULL, count);
    detector->gap_until = detector->fed + count;
    listen(detector, count, heard);
    return OK;
}
