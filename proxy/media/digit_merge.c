#include "proxy/media/digit_merge.h"

#include "base/secret.h"

static bool is_near(struct mono_time from, struct mono_time to, struct mono_time other_from,
                    struct mono_time other_to)
{
    int64_t reach = DIGIT_MERGE_MS * NS_PER_MS;
    return from.ns <= other_to.ns + reach && other_from.ns <= to.ns + reach;
}

bool digit_merge_notice(struct digit_merge *merge, dtmf_key key, enum digit_source way, struct mono_time now,
                        unsigned ago_ms)
{
    uint8_t bit = (uint8_t)(1u << way);
    struct mono_time from = mono_add_ms(now, -(int64_t)ago_ms);
    for (size_t i = 0; i < DIGIT_MERGE_PRESSES; i++) {
        size_t at = (merge->next + i) % DIGIT_MERGE_PRESSES; /* oldest first */
        if (!merge->presses[at].is_used || merge->presses[at].key != key || (merge->presses[at].ways & bit))
            continue;
        if (!is_near(from, now, merge->presses[at].from, merge->presses[at].to))
            continue;
        merge->presses[at].ways |= bit;
        if (merge->presses[at].to.ns < now.ns)
            merge->presses[at].to = now;
        return false;
    }
    size_t slot = merge->next;
    wipe(&merge->presses[slot], sizeof(merge->presses[slot]));
    merge->presses[slot].is_used = true;
    merge->presses[slot].key = key;
    merge->presses[slot].ways = bit;
    merge->presses[slot].from = from;
    merge->presses[slot].to = now;
    merge->next = (slot + 1) % DIGIT_MERGE_PRESSES;
    return true;
}

void digit_merge_extend(struct digit_merge *merge, dtmf_key key, enum digit_source way, struct mono_time now)
{
    for (size_t i = 1; i <= DIGIT_MERGE_PRESSES; i++) {
        size_t at = (merge->next + DIGIT_MERGE_PRESSES - i) % DIGIT_MERGE_PRESSES; /* newest first */
        if (!merge->presses[at].is_used || merge->presses[at].key != key ||
            !(merge->presses[at].ways & 1u << way))
            continue;
        if (merge->presses[at].to.ns < now.ns)
            merge->presses[at].to = now;
        return;
    }
}
