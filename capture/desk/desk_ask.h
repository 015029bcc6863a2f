/* One request to the API under way, and the ways to answer it: what the files that hold handlers share. */
#ifndef TONEGATE_CAPTURE_DESK_DESK_ASK_H
#define TONEGATE_CAPTURE_DESK_DESK_ASK_H

#include "capture/desk/desk_priv.h"
#include "capture/desk/http_server.h"
#include "capture/desk/route.h"

#include <jansson.h>

struct ask {
    struct desk *desk;
    struct http_connection *connection;
    const struct http_request *request;
    struct route_match match;
    const char *who; /* name of the token; NULL: none */
};

/* Answers with an error; 503 asks to come back in a second. */
void ask_refuse(const struct ask *ask, int status, const char *code, const char *message);
/* Takes the reference; a body of NULL is answered with 500. extra as in struct http_reply. */
void ask_reply(const struct ask *ask, int status, json_t *body, const char *extra);
/* One audit line of what the one who asks does. what and outcome are constants; amount_of may be NULL. */
MUST_USE enum err ask_audit(const struct ask *ask, const char *what, const char *outcome,
                            const char *resource, const struct store_capture *amount_of);

/* The handlers that have files of their own. */
void desk_webhook_h(const struct ask *ask);
void desk_notices_h(const struct ask *ask);
void desk_order_new_h(const struct ask *ask);
void desk_order_h(const struct ask *ask);
void desk_orders_h(const struct ask *ask);
void desk_metrics_h(const struct ask *ask);
void desk_report_h(const struct ask *ask);
void desk_hooks_h(const struct ask *ask);
void desk_hook_decide_h(const struct ask *ask);

#endif
