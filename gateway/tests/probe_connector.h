/* A connector without a gateway, for tests of what lies under connectors: every step is one POST to /probe, the answer's
 * id is the reference, whatever it is. */
#ifndef TONEGATE_GATEWAY_TESTS_PROBE_CONNECTOR_H
#define TONEGATE_GATEWAY_TESTS_PROBE_CONNECTOR_H

#include "gateway/connector.h"

struct probe_memory {
    unsigned builds;
    unsigned rounds;    /* that a step takes; 0: one */
    bool is_bare;       /* requests have no body */
    const char *number; /* what the body says is the card's number */
    struct connector_step seen;
    char host[CONNECTOR_HOST_BYTES];
    int64_t now_s;
};
extern struct probe_memory probe;

#define PROBE_LIVE_KEY "key-live" /* the one that moves real money */

extern const struct connector safe_probe;   /* with idempotency keys */
extern const struct connector unsafe_probe; /* without */

#endif
