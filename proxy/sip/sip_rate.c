#include "proxy/sip/sip_rate.h"

#include <arpa/inet.h>

#define PER_SECOND_MAX 1000000

void sip_rate_init(struct sip_rate *rate, unsigned per_second, struct mono_time now)
{
    rate->per_second = per_second < PER_SECOND_MAX ? per_second : PER_SECOND_MAX;
    rate->credit_ns = NS_PER_S;
    rate->filled_at = now;
    rate->refused = 0;
}

static void refill(struct sip_rate *rate, struct mono_time now)
{
    int64_t passed_ns = now.ns - rate->filled_at.ns;
    if (passed_ns <= 0)
        return;
    rate->filled_at = now;
    rate->credit_ns = passed_ns >= NS_PER_S - rate->credit_ns ? NS_PER_S : rate->credit_ns + passed_ns;
}

bool sip_rate_take(struct sip_rate *rate, struct mono_time now)
{
    refill(rate, now);
    if (rate->per_second && rate->credit_ns >= NS_PER_S / rate->per_second) {
        rate->credit_ns -= NS_PER_S / rate->per_second;
        return true;
    }
    rate->refused++;
    return false;
}

static bool source_holds(const struct config_source *range, uint32_t address)
{
    return (address & range->mask) == (range->network & range->mask);
}

bool sip_source_is_trunk(const struct config *config, struct in_addr source, enum config_trunk_name *trunk)
{
    uint32_t address = ntohl(source.s_addr);
    bool found = false;
    uint32_t best_mask = 0;
    for (int name = 0; name < CONFIG_TRUNKS; name++) {
        const struct config_trunk *candidate = &config->sip.trunks[name];
        for (size_t i = 0; i < candidate->allow_count && i < LIMIT_TRUNK_SOURCES; i++) {
            const struct config_source *range = &candidate->allow[i];
            if (!source_holds(range, address) || (found && range->mask <= best_mask))
                continue;
            found = true;
            best_mask = range->mask;
            if (trunk)
                *trunk = (enum config_trunk_name)name;
        }
    }
    return found;
}
