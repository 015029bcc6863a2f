/* A caller's or an agent's phone: one call from INVITE to BYE, then its files and its summary. Returns the exit code: 0
 * when the call was answered and ended with BYE, 1 when it failed, 2 when the phone could not work at all. */
#ifndef TONEGATE_BENCH_PHONES_PHONE_CALL_H
#define TONEGATE_BENCH_PHONES_PHONE_CALL_H

#include "bench/phones/phone_options.h"

int phone_call_run(const struct phone_options *options);

/* Set by SIGTERM and SIGINT: hang up and finish. */
extern volatile int phone_is_stopped;

#endif
