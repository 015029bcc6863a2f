#include "gateway/retry.h"

unsigned retry_timeout_ms(const struct retry_policy *policy, unsigned timeout_ms, int64_t elapsed_ms)
{
    int64_t left = (int64_t)policy->ceiling_ms - elapsed_ms;
    if (left <= 0)
        return 0;
    return left < (int64_t)timeout_ms ? (unsigned)left : timeout_ms;
}

bool retry_next(const struct retry_policy *policy, unsigned tries_done, int64_t elapsed_ms, int32_t asked_ms,
                unsigned *wait_ms)
{
    int64_t wait = policy->wait_ms;
    *wait_ms = 0;
    if (tries_done > policy->retries)
        return false;
    for (unsigned i = 1; i < tries_done && wait < policy->ceiling_ms; i++)
        wait *= policy->factor;
    if (asked_ms > wait)
        wait = asked_ms;
    if (elapsed_ms + wait + RETRY_LEAST_MS > policy->ceiling_ms)
        return false;
    *wait_ms = (unsigned)wait;
    return true;
}
