/* Circuit breaker of one gateway (requirement S1-27): when it answers too slowly or not at all for several exchanges in
 * a row, new payments are refused at once, instead of holding callers on a line that leads nowhere.
 *
 * closed -> open      BREAKER_RUN exchanges in a row whose average passes slow_ms, or failures_max in a row unanswered
 * open -> half open   after open_ms: one payment may try
 * half open -> closed the probe was answered in time; -> open, for twice as long up to BREAKER_OPEN_MS_MAX, otherwise
 *
 * Asking (STATUS) and cancelling are never held back: they are how the truth is found. Pure; no clock of its own. */
#ifndef TONEGATE_GATEWAY_BREAKER_H
#define TONEGATE_GATEWAY_BREAKER_H

#include "base/clock.h"

#include <stdbool.h>

#define BREAKER_RUN         3
#define BREAKER_OPEN_MS_MAX 300000u

struct breaker_policy {
    unsigned slow_ms;      /* 0: no breaker at all */
    unsigned failures_max; /* unanswered exchanges in a row; 0: not counted */
    unsigned open_ms;
};

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };
const char *breaker_state_name(enum breaker_state state);

struct breaker {
    struct breaker_policy policy;
    enum breaker_state state;
    double last_ms[BREAKER_RUN]; /* rolling */
    unsigned exchanges;          /* in last_ms, at most BREAKER_RUN */
    unsigned next;
    unsigned failures;
    unsigned open_ms; /* of this opening */
    struct mono_time open_until;
    bool is_probe_out;
    unsigned long opened; /* how often, for the metrics */
};

void breaker_init(struct breaker *breaker, const struct breaker_policy *policy);

/* May a new payment begin? In half open, true for one asker, which then is the probe. */
bool breaker_allow(struct breaker *breaker, struct mono_time now);

/* How long until breaker_allow() may say yes; 0: now, or when the probe that is out is back. */
unsigned breaker_wait_ms(const struct breaker *breaker, struct mono_time now);

/* Every exchange, asked for or not. is_answered: an HTTP answer below 500 came. True when the state changed. */
bool breaker_record(struct breaker *breaker, struct mono_time now, double ms, bool is_answered);

/* The probe ended without an exchange: another may be one. */
void breaker_probe_lost(struct breaker *breaker);

#endif
