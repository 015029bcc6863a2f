/* The table of the API's routes: what exists, with which method, for whom. Pure; the OpenAPI file must agree with it. */
#ifndef TONEGATE_CAPTURE_DESK_ROUTE_H
#define TONEGATE_CAPTURE_DESK_ROUTE_H

#include "base/err.h"
#include "capture/capture_msg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_PATCH,
    HTTP_DELETE,
    HTTP_OPTIONS,
    HTTP_METHODS
};
const char *http_method_name(enum http_method method);

enum route_id {
    ROUTE_PAGE,
    ROUTE_SCRIPT,
    ROUTE_TEXTS,
    ROUTE_STYLE,
    ROUTE_ICON,
    ROUTE_HEALTH,
    ROUTE_OPENAPI,
    ROUTE_GATEWAYS,
    ROUTE_METRICS,
    ROUTE_CURRENCIES,
    ROUTE_CALLS,
    ROUTE_CALL,
    ROUTE_CAPTURE_OPEN,
    ROUTE_CAPTURES,
    ROUTE_CAPTURE,
    ROUTE_CAPTURE_EVENTS,
    ROUTE_EVENTS,
    ROUTE_FIELD_RESET,
    ROUTE_FIELD_SELECT,
    ROUTE_SUBMIT,
    ROUTE_CANCEL,
    ROUTE_NOTICES,
    ROUTE_ORDERS,
    ROUTE_ORDERS_OF, /* one capture */
    ROUTE_ORDER,
    ROUTE_ORDER_CAPTURE, /* in the order of enum order_kind */
    ROUTE_ORDER_VOID,
    ROUTE_ORDER_REFUND,
    ROUTE_ORDER_SUBSCRIBE,
    ROUTE_ORDER_LINK,
    ROUTE_REPORT,
    ROUTE_HOOKS,
    ROUTE_HOOK_RETRY,
    ROUTE_HOOK_DROP,
    ROUTE_WEBHOOK_STRIPE, /* in the order of enum config_webhook_vendor */
    ROUTE_WEBHOOK_BRAINTREE,
    ROUTE_WEBHOOK_PAYPAL,
    ROUTE_WEBHOOK_ADYEN,
    ROUTE_WEBHOOK_WORLDPAY,
    ROUTES
};

struct route {
    enum http_method method;
    const char *pattern; /* as in the OpenAPI file: {id} is a public id, {field} a field's name */
    enum route_id id;
    bool is_open; /* needs no token */
};

struct route_match {
    const struct route *route;
    uint64_t subject; /* the id in the path */
    enum card_field field;
    unsigned allowed; /* bits 1 << enum http_method that the path knows; for 405 */
};

/* path is the request's path without query, not decoded: no path of ours needs an escape.
 * ERR_NOT_FOUND (404), ERR_UNSUPPORTED (405, allowed is filled). HEAD matches what GET does. */
MUST_USE enum err route_find(enum http_method method, const char *path, struct route_match *match);

const struct route *route_table(size_t *count);

#endif
