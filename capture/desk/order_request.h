/* The bodies of the requests that come after the card: refund, void, capture, subscribe, link. JSON in, what is wanted
 * out. Pure. */
#ifndef TONEGATE_CAPTURE_DESK_ORDER_REQUEST_H
#define TONEGATE_CAPTURE_DESK_ORDER_REQUEST_H

#include "base/err.h"
#include "base/limits.h"
#include "gateway/order_msg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct order_request {
    int64_t amount_minor; /* 0: not given */
    char currency[4];     /* empty: not given */
    uint64_t call_id;     /* LINK; 0: none */
    char plan[LIMIT_NAME_BYTES];
    char customer[LIMIT_TOKEN_BYTES];
    char reference[LIMIT_NAME_BYTES];
    uint8_t interval_unit; /* enum order_interval */
    uint16_t interval_count;
};

#define ORDER_REQUEST_MESSAGE_BYTES 256

/* An empty body is an empty object. message says for people what is wrong and never repeats a value; code is a constant
 * for programs. ERR_SYNTAX (no JSON object: 400), ERR_RANGE (a member is wrong, missing, or not of this kind: 422). */
MUST_USE enum err order_request_read(struct order_request *request, enum order_kind kind, const char *body,
                                     size_t length, const char **code, char *message);

/* "day", "week", "month", "year"; "plan" for INTERVAL_OF_PLAN. */
const char *order_interval_name(enum order_interval interval);

#endif
