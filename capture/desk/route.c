#include "capture/desk/route.h"

#include "base/log.h"

#include <string.h>

/* clang-format off */
static const struct route table[] = {
    {HTTP_GET,  "/",                                   ROUTE_PAGE,           true},
    {HTTP_GET,  "/app.js",                             ROUTE_SCRIPT,         true},
    {HTTP_GET,  "/texts.js",                           ROUTE_TEXTS,          true},
    {HTTP_GET,  "/style.css",                          ROUTE_STYLE,          true},
    {HTTP_GET,  "/icon.svg",                           ROUTE_ICON,           true},
    {HTTP_GET,  "/healthz",                            ROUTE_HEALTH,         true},
    {HTTP_GET,  "/v1/openapi.yaml",                    ROUTE_OPENAPI,        true},
    {HTTP_GET,  "/v1/gateways",                        ROUTE_GATEWAYS,       false},
    {HTTP_GET,  "/v1/currencies",                      ROUTE_CURRENCIES,     false},
    {HTTP_GET,  "/v1/calls",                           ROUTE_CALLS,          false},
    {HTTP_GET,  "/v1/calls/{id}",                      ROUTE_CALL,           false},
    {HTTP_POST, "/v1/captures",                        ROUTE_CAPTURE_OPEN,   false},
    {HTTP_GET,  "/v1/captures",                        ROUTE_CAPTURES,       false},
    {HTTP_GET,  "/v1/captures/{id}",                   ROUTE_CAPTURE,        false},
    {HTTP_GET,  "/v1/captures/{id}/events",            ROUTE_CAPTURE_EVENTS, false},
    {HTTP_GET,  "/v1/events",                          ROUTE_EVENTS,         false},
    {HTTP_POST, "/v1/captures/{id}/fields/{field}/reset",  ROUTE_FIELD_RESET,  false},
    {HTTP_POST, "/v1/captures/{id}/fields/{field}/select", ROUTE_FIELD_SELECT, false},
    {HTTP_POST, "/v1/captures/{id}/submit",            ROUTE_SUBMIT,         false},
    {HTTP_POST, "/v1/captures/{id}/cancel",            ROUTE_CANCEL,         false},
    {HTTP_GET,  "/v1/captures/{id}/notices",           ROUTE_NOTICES,        false},
    {HTTP_GET,  "/v1/orders",                          ROUTE_ORDERS,          false},
    {HTTP_GET,  "/v1/orders/{id}",                     ROUTE_ORDER,           false},
    {HTTP_GET,  "/v1/captures/{id}/orders",            ROUTE_ORDERS_OF,       false},
    {HTTP_POST, "/v1/captures/{id}/capture",           ROUTE_ORDER_CAPTURE,   false},
    {HTTP_POST, "/v1/captures/{id}/void",              ROUTE_ORDER_VOID,      false},
    {HTTP_POST, "/v1/captures/{id}/refund",            ROUTE_ORDER_REFUND,    false},
    {HTTP_POST, "/v1/captures/{id}/subscribe",         ROUTE_ORDER_SUBSCRIBE, false},
    {HTTP_POST, "/v1/links",                           ROUTE_ORDER_LINK,      false},
    {HTTP_GET,  "/metrics",                            ROUTE_METRICS,         false},
    {HTTP_GET,  "/v1/report",                          ROUTE_REPORT,          false},
    {HTTP_GET,  "/v1/hooks",                           ROUTE_HOOKS,           false},
    {HTTP_POST, "/v1/hooks/{id}/retry",                ROUTE_HOOK_RETRY,      false},
    {HTTP_POST, "/v1/hooks/{id}/drop",                 ROUTE_HOOK_DROP,       false},
    /* No token: the vendor's signature says who speaks. */
    {HTTP_POST, "/webhooks/stripe/payment",            ROUTE_WEBHOOK_STRIPE,    true},
    {HTTP_POST, "/webhooks/braintree",                 ROUTE_WEBHOOK_BRAINTREE, true},
    {HTTP_POST, "/webhooks/paypal",                    ROUTE_WEBHOOK_PAYPAL,    true},
    {HTTP_POST, "/webhooks/adyen",                     ROUTE_WEBHOOK_ADYEN,     true},
    {HTTP_POST, "/webhooks/worldpay",                  ROUTE_WEBHOOK_WORLDPAY,  true},
};
/* clang-format on */

static const char *const method_names[HTTP_METHODS] = {"GET",   "HEAD",   "POST",   "PUT",
                                                       "PATCH", "DELETE", "OPTIONS"};
static const char *const field_names[CARD_FIELDS] = {"number", "expiry", "cvv"};

const char *http_method_name(enum http_method method)
{
    return method < HTTP_METHODS ? method_names[method] : "?";
}

const struct route *route_table(size_t *count)
{
    *count = sizeof(table) / sizeof(table[0]);
    return table;
}

/* What an id begins with goes by the path's second part; then come 16 letters. */
static bool take_id(const char *path, const char *text, size_t length, uint64_t *id)
{
    static const struct {
        const char *path, *prefix;
    } prefixes[] = {
        {"/v1/calls/", "call_"}, {"/v1/captures/", "cap_"}, {"/v1/orders/", "ord_"}, {"/v1/hooks/", "hook_"}};
    const char *prefix = "";
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        if (strncmp(path, prefixes[i].path, strlen(prefixes[i].path)) == 0)
            prefix = prefixes[i].prefix;
    }
    size_t prefix_length = strlen(prefix);
    char letters[17] = "";
    if (length != prefix_length + 16 || strncmp(text, prefix, prefix_length) != 0)
        return false;
    memcpy(letters, text + prefix_length, 16);
    return log_id_parse(letters, id) == OK;
}

static bool take_field(const char *text, size_t length, enum card_field *field)
{
    for (int i = 0; i < CARD_FIELDS; i++) {
        if (strlen(field_names[i]) == length && memcmp(field_names[i], text, length) == 0) {
            *field = (enum card_field)i;
            return true;
        }
    }
    return false;
}

static bool pattern_fits(const char *pattern, const char *path, struct route_match *match)
{
    const char *text = path;
    while (*pattern) {
        if (*pattern != '{') {
            if (*pattern++ != *text++)
                return false;
            continue;
        }
        size_t length = strcspn(text, "/");
        bool is_taken = strncmp(pattern, "{id}", 4) == 0 ? take_id(path, text, length, &match->subject)
                                                         : take_field(text, length, &match->field);
        if (!is_taken)
            return false;
        text += length;
        pattern = strchr(pattern, '}') + 1;
    }
    return *text == '\0';
}

enum err route_find(enum http_method method, const char *path, struct route_match *match)
{
    *match = (struct route_match){.field = CARD_FIELD_NONE};
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct route_match one = {.field = CARD_FIELD_NONE};
        if (!pattern_fits(table[i].pattern, path, &one))
            continue;
        match->allowed |= 1u << table[i].method;
        if (table[i].method == HTTP_GET)
            match->allowed |= 1u << HTTP_HEAD;
        if (match->route ||
            (table[i].method != method && !(method == HTTP_HEAD && table[i].method == HTTP_GET)))
            continue;
        match->route = &table[i];
        match->subject = one.subject;
        match->field = one.field;
    }
    if (match->route)
        return OK;
    return match->allowed ? ERR_UNSUPPORTED : ERR_NOT_FOUND;
}
