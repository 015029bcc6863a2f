/* Orders to the gateway after the card: asked for over the API, durable, sent, sent again, ended. Part of the desk. */
#ifndef TONEGATE_CAPTURE_DESK_DESK_ORDERS_H
#define TONEGATE_CAPTURE_DESK_DESK_ORDERS_H

#include "base/clock.h"
#include "base/limits.h"
#include "capture/desk/store/store_orders.h"
#include "capture/desk/webhooks/webhook.h"

struct desk;

/* Those without an end, in no order: when to send each. */
struct desk_orders {
    struct store_orders store;
    struct {
        uint64_t id;
        struct mono_time next; /* send it (again) then */
        unsigned tries;
    } open[LIMIT_ORDERS_OPEN];
    size_t open_count;
};

/* Takes up what had no end. ERR_STORE, ERR_FULL. */
MUST_USE enum err desk_orders_open(struct desk *desk);
void desk_orders_close(struct desk *desk);

/* A new link to the gateway: everything open is sent again under its id. */
void desk_orders_link_up(struct desk *desk);
/* Sends what is due. Called once a second. */
void desk_orders_turn(struct desk *desk);
bool desk_order_is_open(const struct desk *desk, uint64_t id);
/* ERR_RANGE (no such value or text), ERR_STORE: not kept, so it is sent and answered again. */
/* A webhook about one of our payment links; *outcome is for the audit line, and untouched when it is about no link of
 * ours. ERR_STORE: it could not be kept. */
MUST_USE enum err desk_order_link_paid(struct desk *desk, const struct webhook_event *event,
                                       struct wall_time at, const char **outcome);
MUST_USE enum err desk_order_reply(struct desk *desk, const struct order_reply_msg *reply);

#endif
