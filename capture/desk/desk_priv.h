/* What the parts of the desk share. */
#ifndef TONEGATE_CAPTURE_DESK_DESK_PRIV_H
#define TONEGATE_CAPTURE_DESK_DESK_PRIV_H

#include "base/log.h"
#include "base/msg.h"
#include "capture/desk/audit.h"
#include "capture/desk/desk.h"
#include "capture/desk/desk_figures.h"
#include "capture/desk/desk_hooks.h"
#include "capture/desk/desk_model.h"
#include "capture/desk/desk_orders.h"
#include "capture/desk/failures.h"
#include "capture/desk/store/store.h"
#include "capture/desk/store/store_webhooks.h"
#include "capture/desk/tokens.h"
#include "capture/desk/webhooks/webhook.h"

#include <jansson.h>

struct desk_stream {
    struct desk_stream *next;
    struct http_connection *connection;
    uint64_t capture_id; /* 0: everything */
};

struct desk {
    struct desk_setup setup;
    const struct config *config;
    SSL_CTX *tls;
    struct http_server *http;
    struct tokens tokens;
    struct failures failures;
    struct { /* of new captures */
        unsigned used;
        struct mono_time since;
    } open_rate;
    struct store *store;
    struct audit *audit;
    struct desk_model model;
    struct msg_port vault;
    struct msg_port proxy;
    struct msg_port gateway;
    struct gateway_health_msg gateways[LIMIT_GATEWAYS]; /* as last told; zero: never */
    struct event *vault_event;
    struct event *proxy_event;
    struct event *gateway_event;
    struct event *vault_grace;
    struct event *proxy_grace;
    struct event *keep_alive;
    struct event *second; /* what is done once a second */
    struct desk_stream *streams;
    size_t stream_count;
    char run[17];      /* names this life of the desk in event ids */
    uint64_t revision; /* of the last event */
    bool is_draining;
    bool is_store_failing; /* the last write of store or audit trail failed */
    struct log_limit store_limit;
    struct log_limit auth_limit;
    struct log_limit webhook_limit;
    struct store_webhooks notices;
    struct desk_orders orders;
    struct desk_hooks hooks;
    struct desk_figures figures;
    struct webhook_account *webhooks[CONFIG_WEBHOOK_VENDORS]; /* NULL: not configured */
};

/* desk_links.c */
extern const struct msg_permit desk_vault_permits[];
extern const size_t desk_vault_permit_count;
extern const struct msg_permit desk_proxy_permits[];
extern const size_t desk_proxy_permit_count;
void desk_links_new(struct desk *desk);
void desk_links_free(struct desk *desk);
bool desk_vault_is_up(const struct desk *desk);
bool desk_proxy_is_up(const struct desk *desk);
/* From memory, or taken back into it from the store; NULL when neither has it. */
struct desk_capture *desk_capture_get(struct desk *desk, uint64_t id);
/* The end of a capture that no STORE told of: kept, audited, shown. */
void desk_capture_end(struct desk *desk, struct desk_capture *capture, enum capture_state state,
                      enum capture_problem problem);
/* Has the vault find out what became of the capture's open intent, if it does not look into it by itself now.
 * ERR_NOT_FOUND: no intent is open; ERR_ORDER: the vault is at it; ERR_PEER_GONE and errors of the store: later, by the
 * next link to the vault. */
MUST_USE enum err desk_reconcile(struct desk *desk, const struct desk_capture *capture);
/* Remembers and logs that the disk fails; returns err. */
enum err desk_disk_result(struct desk *desk, enum err err);

/* mask_record.c */
/* The watch muted the leg: an audit line. */
void desk_audit_alarm(struct desk *desk, struct desk_capture *capture);
bool desk_mask_record_is_sane(const struct proxy_leg_report_msg *report);
/* The last report of a leg: an audit line. ERR_NOT_FOUND (no such capture on this call), ERR_FULL (more records than
 * proxies can have restarted), ERR_SYSTEM. */
MUST_USE enum err desk_mask_record_take(struct desk *desk, const struct proxy_leg_report_msg *report);

/* desk_gateway.c */
extern const struct msg_permit desk_gateway_permits[];
extern const size_t desk_gateway_permit_count;
void desk_gateway_new(struct desk *desk);
void desk_gateway_free(struct desk *desk);
bool desk_gateway_is_up(const struct desk *desk);
/* fd is the desk's from now on. */
void desk_gateway_set_link(struct desk *desk, int fd);

/* desk_events.c */
MUST_USE enum err desk_events_open(struct desk *desk, struct http_connection *connection, uint64_t capture_id,
                                   const char *last_event_id);
void desk_events_closed_h(void *owner, void *stream);
void desk_events_keep_alive(struct desk *desk);
void desk_publish_capture(struct desk *desk, const struct desk_capture *capture);
void desk_publish_call(struct desk *desk, const struct desk_call *call);
void desk_publish_service(struct desk *desk);
/* Takes the reference. For those who watch this capture; 0: nobody but those who watch all. */
void desk_publish(struct desk *desk, const char *name, json_t *body, uint64_t capture_id);
json_t *desk_service_json(const struct desk *desk);

/* What the gateway role says of its gateways. ERR_RANGE: a value it never says. */
MUST_USE enum err desk_gateways_take(struct desk *desk, const struct gateway_health_msg *health);
void desk_gateways_forget(struct desk *desk);

/* "open", "held" (every gateway's breaker is open) or "off" (switched off); "open" as long as nothing was told. */
const char *desk_gateways_payments(const struct desk *desk);
json_t *desk_gateways_json(const struct desk *desk);
/* [{"connector","breaker","off"}] for the page. */
json_t *desk_gateways_short(const struct desk *desk);

/* Prometheus' text format. Returns the length, 0 when it does not fit. */
size_t desk_gateways_metrics(const struct desk *desk, char *text, size_t capacity);
/* "<run>-<revision>" -> revision; ERR_SYNTAX; ERR_NOT_FOUND when it is of another run. */
MUST_USE enum err desk_event_id_read(const char *text, const char *run, uint64_t *revision);

/* desk_api.c */
void desk_api_h(void *owner, struct http_connection *connection, const struct http_request *request);

#endif
