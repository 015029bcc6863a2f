/* One key press may come three ways: as a tone, as telephone-events (RFC 4733) and as SIP INFO. Here it becomes one.
 *
 * Two notices of the same key are one press when they came by different ways and their spans lie within
 * DIGIT_MERGE_MS of each other. The same key by the same way again is a press of its own. Where several presses fit, the
 * oldest takes the notice: each way keeps its own order. Pure, no allocation; holds keys: wipe it with the leg. */
#ifndef TONEGATE_PROXY_MEDIA_DIGIT_MERGE_H
#define TONEGATE_PROXY_MEDIA_DIGIT_MERGE_H

#include "base/clock.h"
#include "proxy/proxy_msg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIGIT_MERGE_MS      300
#define DIGIT_MERGE_PRESSES 16 /* remembered at once: more keys than 300 ms can hold */

struct digit_merge {
    struct {
        bool is_used;
        dtmf_key key;
        uint8_t ways; /* bits 1 << enum digit_source */
        struct mono_time from, to;
    } presses[DIGIT_MERGE_PRESSES];
    size_t next; /* slot the next press takes: the oldest */
};

/* A key was noticed at `now`, its press having begun `ago_ms` before (SIP INFO is sent at the release). True: a new
 * press, report it. False: known already. */
bool digit_merge_notice(struct digit_merge *merge, dtmf_key key, enum digit_source way, struct mono_time now,
                        unsigned ago_ms);

/* The press that was noticed by this way last goes on until now (its tone or event ended just now). */
void digit_merge_extend(struct digit_merge *merge, dtmf_key key, enum digit_source way, struct mono_time now);

#endif
