/* The sandbox gateway: an HTTPS server that behaves like the part of Stripe in stripe_model.h, idempotency included, for
 * the demo and for tests. Never part of a deployment: it listens on loopback only.
 *
 * Idempotency as Stripe has it: the first answer of a key is kept, a 500 too, and replayed with
 * `Idempotent-Replayed: true`; 409 while the first is under way; an error when the request changed.
 *
 * Faults for tests, at POST /_sandbox/fault with the API key, form: kind=..., operation=tokenise|create|confirm|status|
 * abandon|any, times=N (default 1), ms=N, status=N. Kinds:
 *   delay        carried out, the answer comes after ms
 *   slow         carried out after ms, answered then: it may be overtaken
 *   status       not carried out, answered with that status; a 500 is kept for the key
 *   reset        not carried out, connection reset
 *   lost         carried out, connection reset before the answer
 *   silent       carried out, never answered
 *   wrong_amount, wrong_currency, other_order   the answer is not about what was asked
 *   garbage      carried out, the answer is no JSON
 *   declined     the card is refused, whatever its number; nothing is carried out
 *   clear        alone: forgets all ordered faults
 * GET /_sandbox/ledger: what was charged and declined, without card numbers. */
#ifndef TONEGATE_GATEWAY_SANDBOX_H
#define TONEGATE_GATEWAY_SANDBOX_H

#include "base/err.h"
#include "base/secret.h"

#include <netinet/in.h>
#include <stdbool.h>

struct event_base;
struct sandbox;

struct sandbox_options {
    struct sockaddr_in listen; /* loopback; port 0: any */
    const char *certificate_path;
    const char *key_path;
    struct secret *api_key;  /* taken over, also on error */
    const char *ledger_path; /* JSON lines, appended; NULL: none */
    bool refuse_moto;
};

/* Listens when it returns. Needs wipe_heap_install() before. ERR_RANGE (not loopback), ERR_TLS, ERR_SYSTEM, ERR_MEMORY. */
MUST_USE enum err sandbox_new(struct sandbox **out, struct event_base *base,
                              const struct sandbox_options *options);
void sandbox_free(struct sandbox *sandbox);

in_port_t sandbox_port(const struct sandbox *sandbox); /* host byte order */

#endif
