#include "capture/desk/failures.h"

static size_t find(const struct failures *failures, struct in_addr address)
{
    size_t i = 0;
    while (i < failures->count && failures->entries[i].address != address.s_addr)
        i++;
    return i;
}

static void refill(struct failures *failures, size_t i, struct mono_time now)
{
    int64_t gained = mono_elapsed_ms(failures->entries[i].counted_at, now) / FAILURES_REFILL_MS;
    if (gained >= failures->entries[i].tries_used) {
        failures->entries[i].tries_used = 0;
        failures->entries[i].counted_at = now;
        return;
    }
    failures->entries[i].tries_used -= (int)gained;
    failures->entries[i].counted_at =
        mono_add_ms(failures->entries[i].counted_at, gained * FAILURES_REFILL_MS);
}

bool failures_may_try(struct failures *failures, struct in_addr address, struct mono_time now,
                      unsigned *wait_s)
{
    size_t i = find(failures, address);
    if (i == failures->count)
        return true;
    refill(failures, i, now);
    *wait_s = (FAILURES_REFILL_MS + 999) / 1000;
    return failures->entries[i].tries_used < FAILURES_BURST;
}

static size_t place_for(struct failures *failures, struct in_addr address, struct mono_time now)
{
    size_t i = find(failures, address);
    if (i < failures->count)
        return i;
    if (failures->count < FAILURES_ADDRESSES) {
        i = failures->count++;
    } else {
        i = 0;
        for (size_t k = 1; k < failures->count; k++) {
            if (failures->entries[k].counted_at.ns < failures->entries[i].counted_at.ns)
                i = k;
        }
    }
    failures->entries[i].address = address.s_addr;
    failures->entries[i].tries_used = 0;
    failures->entries[i].counted_at = now;
    return i;
}

void failures_add(struct failures *failures, struct in_addr address, struct mono_time now)
{
    size_t i = place_for(failures, address, now);
    refill(failures, i, now);
    if (failures->entries[i].tries_used < FAILURES_BURST)
        failures->entries[i].tries_used++;
}
