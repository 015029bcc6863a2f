#include "dsp/dtmf_detector.h"

#include "base/secret.h"
#include "dsp/cpu.h"
#include "dsp/dtmf_detector_priv.h"

#include <math.h>
#include <string.h>

#define FAR_LOOKAHEAD 144 /* samples */

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

/* The blocks that the samples up to fed + count complete; blocks never wrap, the history being a multiple of them. */
static size_t correlate(const struct dtmf_detector *detector, size_t count,
                        struct tone_block blocks[DTMF_SUSPICION_MAX])
{
    uint64_t first = detector->fed / TONE_BANK_BLOCK;
    uint64_t last = (detector->fed + count) / TONE_BANK_BLOCK;
    size_t block_count = (size_t)(last - first);
    size_t at = (size_t)(first % (DTMF_HISTORY / TONE_BANK_BLOCK));
    size_t whole = DTMF_HISTORY / TONE_BANK_BLOCK - at;
    size_t run = block_count < whole ? block_count : whole;
    if (run)
        detector->bank->blocks(&detector->history[at * TONE_BANK_BLOCK], run, blocks);
    if (block_count > run)
        detector->bank->blocks(detector->history, block_count - run, blocks + run);
    return block_count;
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
    struct tone_block blocks[DTMF_SUSPICION_MAX];
    struct suspicion_hit hits[DTMF_SUSPICION_MAX];
    size_t block_count = correlate(detector, count, blocks);
    size_t deaf_count = deaf_blocks(detector, block_count);
    if (deaf_count)
        suspicion_deafen(&detector->suspicion, deaf_count);
    size_t hit_count = 0;
    if (block_count)
        hit_count = suspicion_feed(&detector->suspicion, blocks, block_count, hits);
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
