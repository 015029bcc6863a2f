/* What is asked of the gateway after the card: durable before it is sent, and until it has an end. Part of the store's
 * file. Nothing here can hold a card. */
#ifndef TONEGATE_CAPTURE_DESK_STORE_ORDERS_H
#define TONEGATE_CAPTURE_DESK_STORE_ORDERS_H

#include "capture/desk/store/store.h"
#include "capture/desk/store/store_sql.h"
#include "gateway/order_msg.h"

struct store_orders {
    struct sql sql;
};

enum order_state {
    ORDER_STATE_OPEN, /* sent, or about to be; sent again until it has an end */
    ORDER_STATE_DONE,
    ORDER_STATE_DECLINED,
    ORDER_STATE_FAILED,  /* certainly not carried out */
    ORDER_STATE_UNKNOWN, /* asked for as long as the gateway knows it again; somebody has to look there */
    ORDER_STATE_COUNT
};

struct store_order {
    uint64_t id;
    uint64_t capture_id;        /* 0: none, a LINK */
    struct order_take_msg take; /* as it is sent, header included */
    char asked_by[LIMIT_NAME_BYTES];
    struct wall_time created_at;
    struct wall_time updated_at;
    uint8_t state;  /* enum order_state */
    uint8_t reason; /* enum gateway_reason */
    char result_ref[LIMIT_TOKEN_BYTES];
    char url[LIMIT_LINK_BYTES];
};

/* What the provider told of a payment link: somebody paid on its page. */
struct store_link_payment {
    char payment_ref[LIMIT_TOKEN_BYTES]; /* may be empty */
    int64_t amount_minor;
    char currency[4];
    struct wall_time at;
};

MUST_USE enum err store_orders_open(struct store_orders *orders, struct store *store);
void store_orders_close(struct store_orders *orders);

/* request_hash has STORE_REQUEST_HASH_BYTES. ERR_EXISTS (id, or key of the same asker), ERR_STORE. */
MUST_USE enum err store_orders_add(struct store_orders *orders, const struct store_order *order,
                                   const char *idempotency_key, const uint8_t *request_hash);
/* ERR_NOT_FOUND, ERR_STORE. */
MUST_USE enum err store_orders_find(struct store_orders *orders, uint64_t id, struct store_order *order);
MUST_USE enum err store_orders_find_key(struct store_orders *orders, const char *asked_by,
                                        const char *idempotency_key, struct store_order *order,
                                        uint8_t *request_hash);
/* state, reason, result_ref, url and updated_at of one that is open. ERR_ORDER: it has an end already. ERR_STORE. */
MUST_USE enum err store_orders_end(struct store_orders *orders, const struct store_order *order);

/* The first one counts. ERR_STORE. */
MUST_USE enum err store_orders_paid(struct store_orders *orders, uint64_t id,
                                    const struct store_link_payment *payment);
/* ERR_NOT_FOUND: nobody has. */
MUST_USE enum err store_orders_payment(struct store_orders *orders, uint64_t id,
                                       struct store_link_payment *payment);

/* Newest first, from the one after `before` (0: from the newest), of one capture (0: of all). ERR_NOT_FOUND, ERR_STORE. */
MUST_USE enum err store_orders_list(struct store_orders *orders, uint64_t capture_id, uint64_t before,
                                    struct store_order *list, size_t capacity, size_t *count);
/* Without an end, oldest first. */
MUST_USE enum err store_orders_list_open(struct store_orders *orders, struct store_order *list,
                                         size_t capacity, size_t *count);
/* Of one capture and kind, those that are done or may yet be: how many, and their amounts together. */
MUST_USE enum err store_orders_sum(struct store_orders *orders, uint64_t capture_id, enum order_kind kind,
                                   size_t *count, int64_t *amount_minor);

#endif
