/* One gateway as configured: where it is, who we are there, and what is known of its health. The room has one or two
 * of them; a payment belongs to the one it began at. No steps live here: see step.h. Thread: the loop's. */
#ifndef TONEGATE_GATEWAY_GATEWAY_H
#define TONEGATE_GATEWAY_GATEWAY_H

#include "base/err.h"
#include "base/secret.h"
#include "gateway/breaker.h"
#include "gateway/connector.h"
#include "gateway/keys/key_ring.h"
#include "gateway/order_msg.h"
#include "gateway/trace.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What becomes of a new payment while the first gateway's breaker is open (requirement S1-27). */
enum gateway_on_open {
    ON_OPEN_FALLBACK, /* it begins at the fallback; without one as ON_OPEN_AGENT */
    ON_OPEN_QUEUE,    /* refused: ask again when the breaker lets one in */
    ON_OPEN_AGENT,    /* refused: a person takes over */
};

struct gateway;

struct step_settings {
    const struct connector *connector;
    struct connector_account account;
    char url[LIMIT_PATH_BYTES]; /* scheme and host, perhaps a base path; no slash at the end */
    char ca_path[LIMIT_PATH_BYTES];
    char certificate_path[LIMIT_PATH_BYTES]; /* ours, shown to a gateway that asks; empty: none */
    char certificate_key_path[LIMIT_PATH_BYTES];
    char proxy[LIMIT_PATH_BYTES];         /* http://HOST:PORT; empty: none */
    struct secret *key;                   /* taken over; NULL: key_store will bring it */
    char key_reference[LIMIT_PATH_BYTES]; /* where another may be read; empty: nowhere */
    unsigned key_max_age_s;               /* see key_ring.h */
    struct key_store *key_store;          /* must outlive the gateway; NULL: none */
    bool is_sandbox;                      /* a live key is not taken */
    char trace_path[LIMIT_PATH_BYTES];    /* see trace.h; with is_sandbox only; empty: none */
    unsigned create_timeout_ms;           /* CREATE, STATUS, ABANDON, LINK; connecting, whatever the step */
    unsigned charge_timeout_ms;           /* TOKENISE and what moves money */
    unsigned ceiling_ms;                  /* 0: LIMIT_GATEWAY_CEILING_MS */
    unsigned retries;
    unsigned create_retries; /* CREATE and LINK; never more than retries */
    unsigned retry_wait_ms;
    unsigned retry_factor;         /* 0: RETRY_FACTOR */
    unsigned slow_mark_ms;         /* a step that takes longer is told as slow; 0: never */
    struct breaker_policy breaker; /* zero: none */
    enum gateway_on_open on_open;  /* of the first */
    bool is_off;                   /* no payment begins here; what has begun is led to its end */
};

/* A reading of the gateway's key ended; is_another: with a key that was not known before. */
typedef void gateway_key_h(void *owner, struct gateway *gateway, bool is_another);

struct gateway {
    struct step_settings settings; /* its key has gone into keys */
    struct key_ring *keys;
    struct trace *trace; /* NULL: none */
    gateway_key_h *key_h;
    void *key_owner;
    uint8_t index;
    char host[CONNECTOR_HOST_BYTES]; /* as a Host header says it */
    struct http_client *client;
    struct breaker breaker;
    struct secret *access; /* the token a login brought; empty: none */
    struct mono_time access_until;
    uint64_t steps[GATEWAY_OUTCOMES]; /* that ended so */
    uint64_t exchange_count;
    uint32_t slow_count; /* steps that passed slow_mark_ms */
    double exchange_ms;  /* of all of them */
};

/* Takes settings->key over, also on error; then gateway is closed. ERR_MEMORY, ERR_SYSTEM (ca_path), ERR_RANGE. */
MUST_USE enum err gateway_open(struct gateway *gateway, uint8_t index, struct event_base *base,
                               const struct step_settings *settings, gateway_key_h *key_h, void *owner);
void gateway_close(struct gateway *gateway); /* twice is once */

/* False also logs why: a published test card meets a live key or host, or a real card a trace (requirement S4-09).
 * digits as the vault keeps them. */
bool gateway_card_is_allowed(const struct gateway *gateway, const uint8_t *digits, size_t count);

/* --- access tokens, where the connector wants a login --- */

bool gateway_needs_login(const struct gateway *gateway);

/* False: no token, or one that is over at once. */
bool gateway_keep_access(struct gateway *gateway, const struct connector_access *access);

/* --- keys --- */

/* The one in use or, for a gateway that does not know it yet, the one before it. */
const struct secret *gateway_key(const struct gateway *gateway, bool wants_previous);

/* What proves who we are in a request: the access token, or the key itself. */
const struct secret *gateway_proof(const struct gateway *gateway, bool wants_previous);

/* False also logs why: a live key meets a sandbox (requirement S4-09). */
bool gateway_key_is_allowed(const struct connector *connector, bool is_sandbox, const struct secret *key);

/* --- health --- */

/* Every exchange, a login too. is_answered: an HTTP answer below 500 came. Logs a breaker that turned. */
void gateway_note_exchange(struct gateway *gateway, double ms, bool is_answered);

void gateway_health(const struct gateway *gateway, struct gateway_health_msg *out);

#endif
