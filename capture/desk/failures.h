/* Failed log-ins per address: a bucket of tries that fills again with time. Bounded: when the table is full the
 * address that failed longest ago is forgotten. Thread: one owner. */
#ifndef TONEGATE_CAPTURE_DESK_FAILURES_H
#define TONEGATE_CAPTURE_DESK_FAILURES_H

#include "base/clock.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

#define FAILURES_ADDRESSES 256
#define FAILURES_BURST     10   /* PCI DSS 8.3.4 speaks of at most ten */
#define FAILURES_REFILL_MS 2000 /* one more try after so long */

struct failures {
    struct {
        in_addr_t address;
        int tries_used;
        struct mono_time counted_at; /* tries_used was right then */
    } entries[FAILURES_ADDRESSES];
    size_t count;
};

/* False: the address used up its tries, and must wait *wait_s seconds. */
bool failures_may_try(struct failures *failures, struct in_addr address, struct mono_time now,
                      unsigned *wait_s);
void failures_add(struct failures *failures, struct in_addr address, struct mono_time now);

#endif
