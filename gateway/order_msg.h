/* Messages between desk and gateway: what is done after the card, or without one. The desk makes each order durable
 * before it sends it and keeps it until the answer is durable; an order sent again under its id is the same order for
 * the gateway.
 *
 *   desk -> gateway   ORDER
 *   gateway -> desk   ORDER_REPLY, HEALTH
 *
 * subject: the order's id, drawn by the desk; 0 with HEALTH. Nothing here can hold a card. */
#ifndef TONEGATE_GATEWAY_ORDER_MSG_H
#define TONEGATE_GATEWAY_ORDER_MSG_H

#include "base/limits.h"
#include "base/msg.h"
#include "gateway/gateway_msg.h"

enum order_msg_type {
    ORDER_TAKE = 0x0401,
    ORDER_REPLY = 0x0411,
    GATEWAY_HEALTH = 0x0412, /* of one gateway; sums since the role began */
};

enum order_kind {
    ORDER_KIND_CAPTURE,
    ORDER_KIND_VOID,
    ORDER_KIND_REFUND,
    ORDER_KIND_SUBSCRIBE,
    ORDER_KIND_LINK,
    ORDER_KINDS
};

enum order_interval {
    INTERVAL_OF_PLAN,
    INTERVAL_DAY,
    INTERVAL_WEEK,
    INTERVAL_MONTH,
    INTERVAL_YEAR,
    INTERVALS
};

struct order_take_msg {
    struct msg_header header;
    uint64_t call_id;     /* 0: none */
    int64_t amount_minor; /* SUBSCRIBE: 0 where the plan says it */
    char currency[4];
    uint8_t kind;          /* enum order_kind */
    uint8_t gateway_index; /* the gateway that has the payment; 0 for a LINK */
    uint8_t interval_unit; /* enum order_interval */
    uint8_t reserved;
    uint16_t interval_count;
    uint8_t reserved2[6];
    char token[LIMIT_TOKEN_BYTES];     /* SUBSCRIBE */
    char order_ref[LIMIT_TOKEN_BYTES]; /* CAPTURE, VOID, REFUND: the gateway's name for the payment */
    char customer[LIMIT_TOKEN_BYTES];
    char plan[LIMIT_NAME_BYTES];
    char reference[LIMIT_NAME_BYTES];
};

struct order_reply_msg {
    struct msg_header header;
    uint8_t kind;          /* enum order_kind */
    uint8_t outcome;       /* enum gateway_outcome; NO_ANSWER: send it again later, it is the same order */
    uint8_t reason;        /* enum gateway_reason */
    uint8_t gateway_index; /* that did it */
    uint8_t reserved[4];
    char order_ref[LIMIT_TOKEN_BYTES]; /* the gateway's name for refund, subscription or link */
    char url[LIMIT_LINK_BYTES];        /* LINK: the payment page */
};

struct gateway_health_msg {
    struct msg_header header;
    uint8_t gateway_index;
    uint8_t breaker_state; /* enum breaker_state: 0 closed, 1 open, 2 half open */
    uint8_t is_off;        /* no payment begins there, by configuration */
    uint8_t reserved;
    uint32_t opened;                  /* how often the breaker has opened */
    uint64_t steps[GATEWAY_OUTCOMES]; /* steps and orders that ended so, by enum gateway_outcome */
    uint64_t exchanges;               /* HTTP exchanges, answered or not */
    uint32_t average_ms;              /* of one exchange */
    uint32_t slow;                    /* steps that took longer than gateway.slow_mark_ms */
    char connector[LIMIT_NAME_BYTES];
};

#endif
