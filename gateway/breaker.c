#include "gateway/breaker.h"

#include <string.h>

const char *breaker_state_name(enum breaker_state state)
{
    static const char *const names[] = {"closed", "open", "half_open"};
    return names[state];
}

void breaker_init(struct breaker *breaker, const struct breaker_policy *policy)
{
    memset(breaker, 0, sizeof(*breaker));
    breaker->policy = *policy;
    breaker->open_ms = policy->open_ms;
}

bool breaker_allow(struct breaker *breaker, struct mono_time now)
{
    if (breaker->policy.slow_ms == 0 || breaker->state == BREAKER_CLOSED)
        return true;
    if (breaker->state == BREAKER_OPEN && mono_reached(now, breaker->open_until)) {
        breaker->state = BREAKER_HALF_OPEN;
        breaker->is_probe_out = false;
    }
    if (breaker->state != BREAKER_HALF_OPEN || breaker->is_probe_out)
        return false;
    breaker->is_probe_out = true;
    return true;
}

unsigned breaker_wait_ms(const struct breaker *breaker, struct mono_time now)
{
    bool is_open = breaker->state == BREAKER_OPEN && !mono_reached(now, breaker->open_until);
    return is_open ? (unsigned)mono_elapsed_ms(now, breaker->open_until) + 1 : 0;
}

static void forget(struct breaker *breaker)
{
    breaker->exchanges = 0;
    breaker->next = 0;
    breaker->failures = 0;
}

static void open_for(struct breaker *breaker, struct mono_time now, unsigned ms)
{
    breaker->state = BREAKER_OPEN;
    breaker->open_ms = ms < BREAKER_OPEN_MS_MAX ? ms : BREAKER_OPEN_MS_MAX;
    breaker->open_until = mono_add_ms(now, breaker->open_ms);
    breaker->opened++;
    forget(breaker);
}

static bool is_slow(const struct breaker *breaker)
{
    double sum = 0;
    for (unsigned i = 0; i < breaker->exchanges; i++)
        sum += breaker->last_ms[i];
    return breaker->exchanges == BREAKER_RUN && sum / BREAKER_RUN > breaker->policy.slow_ms;
}

static bool record_closed(struct breaker *breaker, struct mono_time now, double ms, bool is_answered)
{
    breaker->last_ms[breaker->next] = ms;
    breaker->next = (breaker->next + 1) % BREAKER_RUN;
    if (breaker->exchanges < BREAKER_RUN)
        breaker->exchanges++;
    breaker->failures = is_answered ? 0 : breaker->failures + 1;
    bool is_dead = breaker->policy.failures_max > 0 && breaker->failures >= breaker->policy.failures_max;
    if (!is_dead && !is_slow(breaker))
        return false;
    open_for(breaker, now, breaker->policy.open_ms);
    return true;
}

bool breaker_record(struct breaker *breaker, struct mono_time now, double ms, bool is_answered)
{
    if (breaker->policy.slow_ms == 0)
        return false;
    switch (breaker->state) {
    case BREAKER_CLOSED:
        return record_closed(breaker, now, ms, is_answered);
    case BREAKER_HALF_OPEN:
        if (is_answered && ms <= breaker->policy.slow_ms) {
            breaker->state = BREAKER_CLOSED;
            breaker->open_ms = breaker->policy.open_ms;
            forget(breaker);
        } else {
            open_for(breaker, now, breaker->open_ms * 2);
        }
        return true;
    default:
        return false; /* what was under way when it opened */
    }
}

void breaker_probe_lost(struct breaker *breaker)
{
    breaker->is_probe_out = false;
}
