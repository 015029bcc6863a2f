/* The way out for hooks and for the telephone platform: one try each, a result each. Retries, order and memory are the
 * desk's. Every address has a client of its own with its own authorities. Thread: the loop's. */
#ifndef TONEGATE_GATEWAY_HOOKS_H
#define TONEGATE_GATEWAY_HOOKS_H

#include "base/config.h"
#include "base/err.h"
#include "gateway/hook_msg.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>

struct hooks;

/* For the one log line of a try. */
struct hook_report {
    const char *transport; /* a constant */
    double ms;
};

typedef void hook_result_h(void *owner, const struct hook_send_msg *hook,
                           const struct hook_result_msg *result, const struct hook_report *report);

/* Reads keys and certificates: before the wall. An error was logged with what to do about it. */
MUST_USE enum err hooks_new(struct hooks **out, struct event_base *base, const struct config *config,
                            hook_result_h *result_h, void *owner);
void hooks_free(struct hooks *hooks);

/* One try; the result may come before this returns. ERR_RANGE: not a hook, or no such address; then there is none.
 * ERR_ORDER: this hook is being sent. */
MUST_USE enum err hooks_send(struct hooks *hooks, const struct hook_send_msg *hook);

#endif
