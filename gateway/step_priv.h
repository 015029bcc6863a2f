/* A step and the list of them, between step.c (its tries) and step_take.c (which may begin). */
#ifndef TONEGATE_GATEWAY_STEP_PRIV_H
#define TONEGATE_GATEWAY_STEP_PRIV_H

#include "base/clock.h"
#include "gateway/echo_guard.h"
#include "gateway/retry.h"
#include "gateway/step.h"

struct step {
    struct step *next, *previous;
    struct steps *steps;
    struct gateway *gateway;
    struct connector_step what;
    struct secret *card; /* the message of a TOKENISE that may have to go to the fallback; NULL: it may not */
    struct connector_request request;
    struct connector_request login; /* only where the connector has one */
    size_t plain_header_length;     /* of request, before it is authorised */
    struct http_exchange *exchange;
    struct event *wait;
    struct event *slow;
    struct mono_time came_at;
    struct retry_policy policy;
    struct step_report report;
    bool is_guarded;  /* the breaker let it in, perhaps as its probe */
    bool is_doubtful; /* a try may have been carried out, and its answer is not known */
    bool is_orphan;
    bool is_logged_in_again;
    unsigned key_number; /* of the ring, when this try was authorised */
    unsigned rolls;      /* tries that followed a key that was refused */
    bool wants_previous; /* the key before the present one is tried */
    bool awaits_key;     /* and if none comes, this stands: */
    struct connector_verdict refused;
    bool has_follower;
    struct gateway_step_msg follower; /* what the new vault asked while this was an orphan */
    order_reply_h *order_reply_h;     /* an order of the desk's */
    void *order_owner;
};

struct steps {
    struct event_base *base;
    struct gateway gateways[LIMIT_GATEWAYS];
    size_t gateway_count;
    step_reply_h *reply_h;
    step_slow_h *slow_h; /* NULL: nobody wants to know */
    void *owner;
    struct step *first;
    size_t count;
    size_t order_count; /* of them */
    struct echo_guard *guard;
};

/* On the list, not begun. NULL: no memory. */
struct step *step_new(struct steps *steps, struct gateway *gateway, const struct connector_step *what);

/* Builds, sends, and goes on until it is answered; both may happen before it returns. */
void step_begin(struct step *step);

/* The reading of a key that the step waited for has ended. */
void step_key_read(struct step *step, bool is_another);

void step_unlink(struct step *step);
void step_free(struct step *step); /* not on the list any more */

void step_fill_reply(const struct connector_step *what, const struct connector_verdict *verdict,
                     struct gateway_reply_msg *reply);
void step_fill_order_reply(uint64_t id, unsigned kind, const struct connector_verdict *verdict,
                           struct order_reply_msg *reply);

#endif
