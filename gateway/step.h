/* Steps under way: from the vault's or desk's message to the one reply it gets, through as many tries as are safe.
 *
 * The rules, in one place:
 * - a try that certainly did not reach the gateway may be repeated (never after a certificate that does not verify);
 * - one that may have reached it is repeated only under the same idempotency key, or when it only asks;
 * - a step that moves money and timed out is never repeated: the vault asks with STATUS (requirement C1, design P3),
 *   the desk sends the order again later under the same id;
 * - once such a step may have been carried out, only "done" and "declined" are certain; anything else that follows
 *   is told as NO_ANSWER.
 *
 * Two gateways: a payment begins at the first whose breaker lets it in. A TOKENISE that the first certainly did not carry
 * out begins anew at the second; whatever follows a token stays where the token is, and the message says where.
 *
 * The card: written into a struct secret by the connector, gone from there at the last try's last byte or with the
 * step. Where there is a fallback it also lies in a second one until the first gateway has answered.
 * Thread: the loop's. */
#ifndef TONEGATE_GATEWAY_STEP_H
#define TONEGATE_GATEWAY_STEP_H

#include "base/err.h"
#include "base/secret.h"
#include "gateway/gateway.h"
#include "gateway/gateway_msg.h"
#include "gateway/order_msg.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* For the one log line of a step and for tests. */
struct step_report {
    enum connector_operation operation;
    unsigned tries;
    unsigned status;       /* of the last answer, 0: none */
    const char *transport; /* a constant: how the last try went */
    double ms;
};

typedef void step_reply_h(void *owner, const struct gateway_reply_msg *reply,
                          const struct step_report *report);

/* Once, when a step of the vault's has taken gateway.slow_mark_ms and goes on. */
typedef void step_slow_h(void *owner, const struct gateway_slow_msg *slow);

struct steps;

/* settings: the gateway payments begin at, then its fallback, 1..LIMIT_GATEWAYS in all; their keys are taken over, also
 * on error. ERR_MEMORY, ERR_SYSTEM, ERR_RANGE (settings). */
MUST_USE enum err steps_new(struct steps **out, struct event_base *base, const struct step_settings *settings,
                            size_t gateway_count, step_reply_h *reply_h, void *owner);

/* owner is that of steps_new(). Without this nobody is told. */
void steps_tell_slow(struct steps *steps, step_slow_h *slow_h);

/* Ends everything without a reply. NULL is accepted. */
void steps_free(struct steps *steps);

/* message is any of the five a vault sends. The reply may come before this returns. ERR_RANGE: a value no vault sends;
 * ERR_ORDER: that capture has a step under way; then nothing is replied. */
MUST_USE enum err steps_take(struct steps *steps, const struct msg_header *message);

/* Called once for each order that steps_order() took, perhaps before it returns. */
typedef void order_reply_h(void *owner, const struct order_reply_msg *reply,
                           const struct step_report *report);

/* Carries an order of the desk's out: CAPTURE, VOID, REFUND, SUBSCRIBE or LINK. The gateway knows it by the order's id
 * ("ord_<16>-<step>"), so that one sent again after NO_ANSWER is the same order. Every order gets one reply; what no
 * gateway could take is answered FAILED (configuration), one too many UNAVAILABLE. The same order sent again while it
 * is under way takes the place of the asker before it, who is not answered. ERR_ORDER: another order of that id is
 * under way; then nothing is replied. Orders go on when the vault or desk dies. owner must outlive steps. */
MUST_USE enum err steps_order(struct steps *steps, const struct order_take_msg *order, order_reply_h *reply_h,
                              void *owner);

enum step_state {
    STEP_IDLE = 1,   /* nothing under way for the capture */
    STEP_BUSY = 2,   /* a step of this vault's */
    STEP_ORPHAN = 4, /* a step the vault that died had ordered: STATUS and ABANDON wait for its end */
};
enum step_state steps_state(const struct steps *steps, uint64_t capture_id);

/* The vault died. Steps that move no money end, cards with them; a CONFIRM or ABANDON that is out goes on, so that a
 * STATUS of the new vault cannot overtake it, but is not replied to. */
void steps_orphan(struct steps *steps);

size_t steps_count(const struct steps *steps);

/* False: a key is still to be read out of a store; payments at that gateway are refused until then. */
bool steps_have_keys(const struct steps *steps);

/* Asks for the keys that are missing; call it again until steps_have_keys(). */
void steps_read_keys(struct steps *steps);

size_t steps_gateway_count(const struct steps *steps);

/* For whoever shows it; gateway_index below steps_gateway_count(). */
void steps_health(const struct steps *steps, size_t gateway_index, struct gateway_health_msg *out);

#endif
