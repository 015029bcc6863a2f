#include "capture/vault/captures.h"

#include "base/secret.h"

#include <stdlib.h>
#include <string.h>

/* The ids stand apart from the entries: a search reads 8 KB in a row. */
struct captures {
    uint64_t ids[LIMIT_CAPTURES];
    uint64_t calls[LIMIT_CAPTURES];
    struct capture entries[LIMIT_CAPTURES];
    uint64_t serial;
    size_t high; /* entries from here on were never used */
};

enum err captures_new(struct captures **out)
{
    *out = calloc(1, sizeof(**out));
    return *out ? OK : ERR_MEMORY;
}

void captures_free(struct captures *captures)
{
    if (!captures)
        return;
    for (size_t i = 0; i < captures->high; i++)
        card_fields_free(captures->entries[i].fields);
    wipe(captures->entries, captures->high * sizeof(captures->entries[0]));
    free(captures);
}

struct capture *captures_find(struct captures *captures, uint64_t id)
{
    for (size_t i = 0; id != 0 && i < captures->high; i++) {
        if (captures->ids[i] == id)
            return &captures->entries[i];
    }
    return NULL;
}

/* One that has the leg before one that has not, then the later one. */
static bool goes_before(const struct capture *a, const struct capture *b)
{
    if (a->is_leg_released != b->is_leg_released)
        return b->is_leg_released;
    return a->serial > b->serial;
}

struct capture *captures_find_call(struct captures *captures, uint64_t call_id)
{
    struct capture *owner = NULL;
    for (size_t i = 0; call_id != 0 && i < captures->high; i++) {
        if (captures->calls[i] != call_id)
            continue;
        if (!owner || goes_before(&captures->entries[i], owner))
            owner = &captures->entries[i];
    }
    return owner;
}

bool captures_may_forget(const struct capture *capture)
{
    if (capture->state == PAYMENT_LOST)
        return capture->is_call_gone;
    return payment_is_end(capture->state) && !capture->is_disarm_owed;
}

/* A free entry, or the one that ended first. */
static size_t find_room(const struct captures *captures)
{
    size_t room = LIMIT_CAPTURES;
    for (size_t i = 0; i < captures->high; i++) {
        if (captures->ids[i] == 0)
            return i;
        const struct capture *entry = &captures->entries[i];
        if (!captures_may_forget(entry))
            continue;
        if (room == LIMIT_CAPTURES || entry->ended_at.ns < captures->entries[room].ended_at.ns)
            room = i;
    }
    return captures->high < LIMIT_CAPTURES ? captures->high : room;
}

struct capture *captures_add(struct captures *captures, uint64_t id, uint64_t call_id)
{
    size_t i = find_room(captures);
    if (i == LIMIT_CAPTURES)
        return NULL;
    struct capture *entry = &captures->entries[i];
    captures_drop(captures, entry);
    if (i == captures->high)
        captures->high++;
    entry->id = id;
    entry->serial = ++captures->serial;
    entry->attempt = 1;
    captures->ids[i] = id;
    captures_set_call(captures, entry, call_id);
    return entry;
}

void captures_set_call(struct captures *captures, struct capture *capture, uint64_t call_id)
{
    capture->call_id = call_id;
    captures->calls[capture - captures->entries] = call_id;
}

void captures_drop(struct captures *captures, struct capture *capture)
{
    size_t i = (size_t)(capture - captures->entries);
    card_fields_free(capture->fields);
    wipe(capture, sizeof(*capture));
    captures->ids[i] = 0;
    captures->calls[i] = 0;
}

struct capture *captures_at(struct captures *captures, size_t index)
{
    return captures->ids[index] ? &captures->entries[index] : NULL;
}

size_t captures_end(const struct captures *captures)
{
    return captures->high;
}
