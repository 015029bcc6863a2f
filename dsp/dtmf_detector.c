#include "dsp/dtmf_detector.h"

#include "base/secret.h"
#include "dsp/cpu.h"
#include "dsp/dtmf_detector_priv.h"

#include <math.h>
#include <string.h>

#define FAR_LOOKAHEAD  144 /* samples */
#define NEAR_LOOKAHEAD 72  /* what a suspicion in 9 ms needs */
/* Samples that a suspicion stands. At a near look-ahead each block is asked about, and the next suspicion hides 10 ms before it:
 * a third of the time leaves no more of any key and masks a fourth less of speech. */
#define STANDS         DTMF_STANDS_MAX
#define STANDS_NEAR    32
#define PREFETCH_ALL   4 /* frames ahead: half a microsecond, longer than memory takes */
#define PREFETCH_STATE 8 /* where in its ring a channel is must be known before the ring can be asked for */
#define HISTORY_BLOCKS (DTMF_HISTORY / TONE_BANK_BLOCK)
/* Those that a window of the grid lets be asked of, counted from the one it ends with: at least one in time wherever the
 * onset lies. All four would say nearly the same, and mask speech as often as a threshold lower by 1. */
#define ASKED_OF_WINDOW ((1ull << 1) | (1ull << 3))

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
    detector->screen = screen_choose(cpu_flags);
    detector->stands =
        lookahead_samples >= NEAR_LOOKAHEAD && lookahead_samples < FAR_LOOKAHEAD ? STANDS_NEAR : STANDS;
    detector->grid = lookahead_samples >= FAR_LOOKAHEAD ? grid_choose(cpu_flags) : NULL;
    decision_init(&detector->decision);
}

void dtmf_detector_set_strict(struct dtmf_detector *detector, bool is_strict)
{
    suspicion_set_strict(&detector->suspicion, is_strict);
}

unsigned dtmf_detector_stands(const struct dtmf_detector *detector)
{
    return detector->stands;
}

bool dtmf_detector_is_down(const struct dtmf_detector *detector)
{
    return detector->decision.is_down;
}

void dtmf_detector_wipe(struct dtmf_detector *detector)
{
    wipe(detector, sizeof(*detector));
    wipe_stack();
}

static void remember(struct dtmf_detector *detector, const int16_t *pcm, size_t count)
{
    size_t at = detector->fed & (DTMF_HISTORY - 1);
    size_t first = count < DTMF_HISTORY - at ? count : DTMF_HISTORY - at;
    if (pcm) {
        /* memmove: compilers that know how few samples there are make a slow loop of memcpy. */
        memmove(&detector->history[at], pcm, first * sizeof(*pcm));
        if (first < count)
            memmove(detector->history, pcm + first, (count - first) * sizeof(*pcm));
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

/* Which of count blocks suspicion must hear: all whose own window may be full of a key. */
static uint32_t screen_all(const struct dtmf_detector *detector, uint64_t first, size_t count)
{
    int16_t scratch[(SCREEN_LEAD + DTMF_FRAME_BLOCKS) * TONE_BANK_BLOCK];
    const int16_t *pcm = stretch_of(detector, first - SCREEN_LEAD, SCREEN_LEAD + count, scratch);
    uint32_t asked = 0;
    for (size_t at = 0; at < count; at += SCREEN_FEED_MAX) {
        size_t some = count - at < SCREEN_FEED_MAX ? count - at : SCREEN_FEED_MAX;
        asked |= screen_blocks(detector->screen, pcm + (SCREEN_LEAD + at) * TONE_BANK_BLOCK, some) << at;
    }
    return asked;
}

/* None of the windows lies across the ring's end. */
static uint64_t hear_grid(const struct dtmf_detector *detector, uint64_t from, size_t count)
{
    return grid_windows(detector->grid, detector->history, DTMF_HISTORY / GRID_WINDOW, from, count);
}

/* Or two between the end of a window of the grid that may be full of a key and the next one's. */
static uint32_t screen_grid(struct dtmf_detector *detector, uint64_t first, size_t count)
{
    uint64_t from = (first + 1) / SUSPICION_WINDOW; /* windows that end with the first block or before */
    uint64_t to = (first + count) / SUSPICION_WINDOW;
    bool is_known = from == 0 || detector->grid_until == from;
    uint64_t full = is_known ? from && detector->is_grid_full : hear_grid(detector, from - 1, 1);
    full |= hear_grid(detector, from, (size_t)(to - from)) << 1;
    detector->grid_until = to;
    detector->is_grid_full = full >> (to - from) & 1;
    uint64_t asked = 0;
    for (; full; full &= full - 1)
        asked |= ASKED_OF_WINDOW << ((uint64_t)__builtin_ctzll(full) * SUSPICION_WINDOW);
    return (uint32_t)(asked >> (first + 1) % SUSPICION_WINDOW & ((1ull << count) - 1));
}

static uint32_t screen(struct dtmf_detector *detector, uint64_t first, size_t count)
{
    return detector->grid ? screen_grid(detector, first, count) : screen_all(detector, first, count);
}

/* The blocks that end in one feed. */
struct listening {
    uint64_t first;   /* block of the ring */
    size_t count;     /* blocks */
    bool is_screened; /* from the first on from which something was to be learned */
    uint32_t asked;   /* those that suspicion must hear, the first one in bit 0 */
    size_t from, to;  /* those that it heard: from the first of them to the last */
    struct suspicion_stretch *stretch;
};

/* What suspicion hears of count blocks (up to SUSPICION_FEED_MAX), and of those before them. */
static void hear(const struct dtmf_detector *detector, uint64_t first, size_t count,
                 struct suspicion_stretch *stretch)
{
    struct tone_block blocks[SUSPICION_RUN];
    int16_t scratch[SUSPICION_RUN * TONE_BANK_BLOCK];
    size_t heard = SUSPICION_PAST + count;
    detector->bank->blocks(stretch_of(detector, first - SUSPICION_PAST, heard, scratch), heard, blocks);
    suspicion_hear(&detector->suspicion, blocks, count, stretch);
}

/* The screen has said which blocks are asked from i on, that one in bit 0. */
static void hear_asked(const struct dtmf_detector *detector, struct listening *listening, size_t i,
                       uint32_t asked)
{
    listening->is_screened = true;
    listening->asked = asked << i;
    if (!asked)
        return;
    listening->from = i + (size_t)__builtin_ctz(asked);
    listening->to = i + 32 - (size_t)__builtin_clz(asked);
    hear(detector, listening->first + listening->from, listening->to - listening->from, listening->stretch);
}

/* Do screen and gate let block i through? */
static bool is_asked(const struct listening *listening, size_t i)
{
    return listening->asked >> i & 1 && listening->stretch->is_asked[i - listening->from];
}

/* Does the window that ends with a block hold nothing of a gap, and nothing before the first sample? */
static bool is_whole(const struct dtmf_detector *detector, uint64_t block)
{
    return (block + 1) * TONE_BANK_BLOCK >= detector->gap_until + SUSPICION_WINDOW * TONE_BANK_BLOCK;
}

/* Are there blocks of which nobody has asked yet, because a suspicion stands? */
static bool is_pending(const struct dtmf_detector *detector)
{
    uint64_t suspected_at = detector->decision.suspected_at;
    return suspected_at && detector->known_until * TONE_BANK_BLOCK == suspected_at;
}

/* Is nothing to be learned from the block that ends at `at`? A key that is held and there need not be looked for; and while a
 * suspicion stands only the last of those that might follow matters, which is looked for when it ends. */
static bool is_spared(const struct dtmf_detector *detector, uint64_t at)
{
    return decision_hears(&detector->decision) ||
           (is_pending(detector) && at < detector->decision.suspected_at + detector->stands);
}

/* Suspicions at the ends of the blocks up to this one: of itself, and of those that are pending, over which it stands. */
static void suspect(struct dtmf_detector *detector, uint64_t block, struct dtmf_heard *heard)
{
    uint64_t from = is_pending(detector) ? detector->known_until : block;
    detector->known_until = block + 1;
    for (; from <= block; from++) {
        uint64_t at = (from + 1) * TONE_BANK_BLOCK;
        heard->suspicions[heard->suspicion_count++] = at;
        decision_suspect(&detector->decision, at);
    }
}

/* What the pending blocks before this one say: the last of them that is a suspicion matters. */
static void look_back(struct dtmf_detector *detector, uint64_t block, struct dtmf_heard *heard)
{
    struct suspicion_stretch stretch;
    uint64_t from = detector->known_until;
    if (!is_pending(detector) || from == block)
        return;
    uint32_t asked = screen(detector, from, (size_t)(block - from));
    if (!asked)
        return;
    hear(detector, from, (size_t)(block - from), &stretch);
    for (uint64_t at = block; at > from && is_whole(detector, at - 1); at--) {
        if (asked >> (at - 1 - from) & 1 &&
            suspicion_looks(&detector->suspicion, &stretch, (size_t)(at - 1 - from))) {
            suspect(detector, at - 1, heard);
            return;
        }
    }
}

/* The end of block i has come. */
static void ask(struct dtmf_detector *detector, struct listening *listening, size_t i,
                struct dtmf_heard *heard)
{
    uint64_t block = listening->first + i;
    bool is_held = decision_hears(&detector->decision);
    if (!is_held && is_spared(detector, (block + 1) * TONE_BANK_BLOCK))
        return;
    if (!is_held && !listening->is_screened)
        hear_asked(detector, listening, i, screen(detector, block, listening->count - i));
    if (is_held || (is_asked(listening, i) && is_whole(detector, block) &&
                    suspicion_looks(&detector->suspicion, listening->stretch, i - listening->from))) {
        suspect(detector, block, heard);
        return;
    }
    look_back(detector, block, heard);
    detector->known_until = block + 1;
}

/* The next time at which there may be something to do, `at` being done with: while a key goes on, the end of a block, while
 * nothing is awake, that of one where the gate asks. */
static uint64_t next_time(const struct dtmf_detector *detector, const struct listening *listening,
                          uint64_t at)
{
    if (decision_hears(&detector->decision))
        return (at / TONE_BANK_BLOCK + 1) * TONE_BANK_BLOCK;
    if (decision_may_wake(&detector->decision, at) || !listening->is_screened)
        return at + DECISION_TICK;
    size_t i = (size_t)(at / TONE_BANK_BLOCK - listening->first);
    i = i > listening->from ? i : listening->from;
    while (i < listening->to && !is_asked(listening, i))
        i++;
    return i < listening->to ? (listening->first + i + 1) * TONE_BANK_BLOCK : UINT64_MAX;
}

/* Walks through the new samples in the order of time, so that the answers do not depend on the framing. asked: NULL, or what
 * the screen says of all their blocks. Never inlined: few frames need what it needs of the stack. */
static __attribute__((noinline)) void walk(struct dtmf_detector *detector, size_t count,
                                           const uint32_t *asked, struct dtmf_heard *heard)
{
    struct suspicion_stretch stretch;
    struct decision *decision = &detector->decision;
    struct decision_past past = {detector->history, DTMF_HISTORY, detector->fed, detector->gap_from,
                                 detector->gap_until};
    uint64_t end = detector->fed + count;
    struct listening listening = {.first = detector->fed / TONE_BANK_BLOCK, .stretch = &stretch};
    listening.count = (size_t)(end / TONE_BANK_BLOCK - listening.first);
    if (asked)
        hear_asked(detector, &listening, 0, *asked);
    uint64_t at = detector->fed / DECISION_TICK * DECISION_TICK;
    while ((at = next_time(detector, &listening, at)) <= end) {
        if (at % TONE_BANK_BLOCK == 0)
            ask(detector, &listening, (size_t)(at / TONE_BANK_BLOCK - listening.first - 1), heard);
        past.fed = at;
        if (decision_is_awake(decision, at))
            decision_tick(decision, &past, heard->edges, &heard->edge_count);
    }
}

static void listen(struct dtmf_detector *detector, size_t count, struct dtmf_heard *heard)
{
    uint64_t first = detector->fed / TONE_BANK_BLOCK;
    size_t blocks = (size_t)((detector->fed + count) / TONE_BANK_BLOCK - first);
    bool is_screened = blocks && !is_spared(detector, (first + 1) * TONE_BANK_BLOCK);
    uint32_t asked = is_screened ? screen(detector, first, blocks) : 0;
    if (asked || !is_screened || decision_may_wake(&detector->decision, detector->fed))
        walk(detector, count, is_screened ? &asked : NULL, heard);
    detector->fed += count;
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
    prefetch(detector, offsetof(struct dtmf_detector, decision) + offsetof(struct decision, track_fit));
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
    /* After this, blocks before the gap are not asked about any more. */
    look_back(detector, detector->fed / TONE_BANK_BLOCK, heard);
    detector->known_until = detector->fed / TONE_BANK_BLOCK;
    remember(detector, NULL, count);
    if (detector->gap_until != detector->fed)
        detector->gap_from = detector->fed;
    detector->gap_until = detector->fed + count;
    listen(detector, count, heard);
    return OK;
}
