/* A strict server of a vendor (strict_server.py) as a child process, and a connector that talks to it: payments and
 * what follows them through the whole step machinery, as vault and desk order them. Needs python3 3.10 or newer.
 *
 * Uses the rig: rig_setup() first. */
#ifndef TONEGATE_GATEWAY_TESTS_STRICT_RIG_H
#define TONEGATE_GATEWAY_TESTS_STRICT_RIG_H

#include "gateway/connector.h"
#include "gateway/tests/rig.h"

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

struct strict {
    pid_t pid;
    char url[64];
    const struct connector *connector;
    struct connector_account account;
    const char *key;
    struct rig rig; /* the step machinery, opened by strict_start() */
    struct connector_verdict replied;
    unsigned reply_count;
};

/* False, and says so: there is no python3. */
bool strict_is_possible(void);

/* vendor: the module VENDOR_peer.py. connector, account and key are set before. */
void strict_start(struct strict *strict, const char *vendor);
void strict_stop(struct strict *strict); /* fails the test if the server refused anything */

/* An order of the desk's through the step machinery. Of *verdict outcome, reason, order_ref and url are set. */
void strict_do(struct strict *strict, const struct connector_step *step, struct connector_verdict *verdict);

/* The same sent by hand up to this round, whose answer is lost on its way. */
void strict_lose(struct strict *strict, const struct connector_step *step, unsigned round);

/* A card stored and charged through the step machinery. state: what the order shall be in the end. */
void strict_pay(struct strict *strict, uint64_t capture, enum gateway_order_state state);
extern char strict_token[LIMIT_TOKEN_BYTES];     /* of the last strict_pay() or TOKENISE */
extern char strict_order_ref[LIMIT_TOKEN_BYTES]; /* of the last strict_pay() */

/* A step of the desk's on the order of the last strict_pay(); 19.99 USD. */
struct connector_step strict_order(enum connector_operation operation, uint64_t id);

/* As the connector would say the step's first round, but with `from` replaced by `to` in headers or body (the body is
 * signed after, the headers are not). Fails the test unless the server refuses it, and forgets the refusal. */
void strict_plant(struct strict *strict, struct connector_step *step, const char *from, const char *to);

/* {"refused": [...], ...}; the caller releases it. */
json_t *strict_books(struct strict *strict);
/* "lose", "set?NAME=VALUE" */
void strict_tell(struct strict *strict, const char *what);

#endif
