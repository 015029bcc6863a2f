/* What a phone tells its driver: JSON objects, one a line, each with the monotonic time it was written. No key in any. */
#ifndef TONEGATE_BENCH_PHONES_PHONE_EVENTS_H
#define TONEGATE_BENCH_PHONES_PHONE_EVENTS_H

#include "bench/phones/rtp_tape.h"

#include <jansson.h>

/* fields may be NULL; it is consumed. */
void phone_event(const char *name, json_t *fields);

/* Counts of a tape as an object. */
json_t *phone_tape_json(const struct rtp_tape *tape);

#endif
