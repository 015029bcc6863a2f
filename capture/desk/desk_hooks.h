/* What others are told: enqueued when it happens, sent in order, sent again over hours, listed when it could not be. Part
 * of the desk.
 *
 * Order: of one capture and one address the next is sent when the one before was delivered, given up or dropped. */
#ifndef TONEGATE_CAPTURE_DESK_DESK_HOOKS_H
#define TONEGATE_CAPTURE_DESK_DESK_HOOKS_H

#include "base/clock.h"
#include "base/limits.h"
#include "capture/desk/store/store_hooks.h"
#include "capture/desk/store/store_orders.h"

struct desk;

struct desk_hooks {
    struct store_hooks store;
    /* The oldest that wait, in their order. */
    struct desk_hook_waiting {
        uint64_t id;
        uint64_t subject; /* the capture */
        char target[LIMIT_NAME_BYTES];
        struct mono_time next;
        bool is_out; /* sent, no result yet */
    } waiting[LIMIT_HOOKS_WAITING];
    size_t waiting_count;
    bool has_more; /* in the store */
};

/* Takes up what waits. ERR_STORE. */
MUST_USE enum err desk_hooks_open(struct desk *desk);
void desk_hooks_close(struct desk *desk);

/* Something happened: what is to be told of it is made durable. Told twice it is one. ERR_STORE: it was not kept. */
MUST_USE enum err desk_hooks_opened(struct desk *desk, const struct store_capture *record,
                                    const struct store_contact *contact);
MUST_USE enum err desk_hooks_ended(struct desk *desk, const struct store_capture *record);
MUST_USE enum err desk_hooks_ordered(struct desk *desk, const struct store_order *order);

void desk_hooks_link_up(struct desk *desk);
/* Sends what is due. Called once a second, and when something was added. */
void desk_hooks_turn(struct desk *desk);
bool desk_hook_is_out(const struct desk *desk, uint64_t id);
MUST_USE enum err desk_hook_result(struct desk *desk, const struct hook_result_msg *result);

#endif
