/* When a step may be sent again, and after which wait: pure arithmetic, no clock of its own.
 *
 * Requirements C1 (60 s for a step with everything in it), C2 (retries per operation, exponential from a base wait). */
#ifndef TONEGATE_GATEWAY_RETRY_H
#define TONEGATE_GATEWAY_RETRY_H

#include <stdbool.h>
#include <stdint.h>

struct retry_policy {
    unsigned retries;    /* tries after the first */
    unsigned wait_ms;    /* before the first retry */
    unsigned factor;     /* each later wait is so many times the one before; 1: always the same */
    unsigned ceiling_ms; /* no try starts so late that less than RETRY_LEAST_MS would be left of this */
};

#define RETRY_LEAST_MS 500
#define RETRY_FACTOR   2 /* where the configuration says none (requirement C2) */

/* tries_done 1.., elapsed_ms since the step came, asked_ms what the gateway said (Retry-After; -1: nothing). The wait is
 * the longer of the policy's and the gateway's; false when that passes the ceiling or no try is left. */
bool retry_next(const struct retry_policy *policy, unsigned tries_done, int64_t elapsed_ms, int32_t asked_ms,
                unsigned *wait_ms);

/* How long the next try may take: the operation's own time-out, cut at the ceiling; 0: none. */
unsigned retry_timeout_ms(const struct retry_policy *policy, unsigned timeout_ms, int64_t elapsed_ms);

#endif
