/* Who may talk to us, and how often we answer those who may not. */
#ifndef TONEGATE_PROXY_SIP_SIP_RATE_H
#define TONEGATE_PROXY_SIP_SIP_RATE_H

#include "base/clock.h"
#include "base/config.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

/* A token bucket: per_second answers a second, a burst of as many. One bucket for all strangers together, so that no
 * number of source addresses buys more. */
struct sip_rate {
    unsigned per_second; /* 0: nothing is ever answered */
    int64_t credit_ns;   /* one answer costs NS_PER_S / per_second */
    struct mono_time filled_at;
    uint64_t refused; /* how often there was no token */
};

/* Starts full. per_second above 1000000 counts as 1000000. */
void sip_rate_init(struct sip_rate *rate, unsigned per_second, struct mono_time now);

/* Takes one token. false: say nothing. A clock that goes back neither gives nor takes. */
bool sip_rate_take(struct sip_rate *rate, struct mono_time now);

/* Whether a packet's source belongs to a trunk; *trunk (may be NULL) says to which, untouched on false. Where ranges
 * overlap the longest mask wins, between equals the carrier. */
bool sip_source_is_trunk(const struct config *config, struct in_addr source, enum config_trunk_name *trunk);

#endif
