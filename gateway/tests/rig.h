/* What the gateway's tests share: certificates, a sandbox or a fake gateway as a child process, and a gateway in this
 * process that is spoken to as the vault does, over a message link. */
#ifndef TONEGATE_GATEWAY_TESTS_RIG_H
#define TONEGATE_GATEWAY_TESTS_RIG_H

#include "gateway/gateway_msg.h"
#include "gateway/vault_link.h"

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#define RIG_API_KEY "sk_test_rigofthegatewaytests"

/* Once per program: wiping heap, log into memory, certificates in a folder of their own. */
void rig_setup(void);
void rig_prepare(void); /* the same without the heap, for tests that only fork roles */
void rig_teardown(void);
const char *rig_path(const char *name); /* a file of that folder; valid until the next but three calls */

/* Everything that was logged so far. */
const char *rig_log(void);

struct rig_sandbox {
    pid_t pid;
    char url[64];
    char ledger_path[256];
};
void rig_sandbox_start(struct rig_sandbox *sandbox, const char *certificates, const char *option);
void rig_sandbox_stop(struct rig_sandbox *sandbox);

/* key_stores.py: secret stores, and a payment gateway at /probe. */
struct rig_stores {
    pid_t pid;
    char secure_url[64], plain_url[64];
};
bool rig_stores_start(struct rig_stores *stores, const char *state); /* a JSON object; false: no python3 */
void rig_stores_stop(struct rig_stores *stores);

struct rig {
    struct event_base *base;
    struct vault_link link;
    struct msg_port vault; /* our end */
    struct gateway_reply_msg reply;
    unsigned reply_count;
    struct gateway_slow_msg slow;
    unsigned slow_count;
};

/* Settings that tests change before rig_open(). */
struct step_settings rig_settings(const char *url);
void rig_open(struct rig *rig, const struct step_settings *settings);
void rig_open_two(struct rig *rig, const struct step_settings *settings); /* the first and its fallback */
void rig_open_on(struct rig *rig, struct event_base *base, const struct step_settings *settings);
void rig_close_link(struct rig *rig); /* of rig_open_on(): the base stays */
void rig_close(struct rig *rig);
void rig_relink(struct rig *rig); /* the vault died and came back */

/* Runs the loop. */
void rig_run_ms(struct rig *rig, unsigned ms);

/* Sends and waits for the reply, at most 10 s; fails the test without one. */
const struct gateway_reply_msg *rig_ask(struct rig *rig, const void *message);
void rig_send(struct rig *rig, const void *message);
const struct gateway_reply_msg *rig_wait(struct rig *rig);

/* Messages. number and cvv as text. */
struct gateway_tokenise_msg rig_tokenise(uint64_t capture, uint32_t attempt, const char *number);
struct gateway_order_msg rig_create(uint64_t capture, uint32_t attempt, int64_t amount, const char *token);
struct gateway_step_msg rig_step(enum gateway_msg_type type, uint64_t capture, uint32_t attempt,
                                 int64_t amount, const char *token, const char *order_ref);

/* POST a form to, or GET from, the sandbox's own paths. */
void rig_fault(struct rig *rig, const struct rig_sandbox *sandbox, const char *form);
json_t *rig_ledger(struct rig *rig, const struct rig_sandbox *sandbox);
size_t rig_ledger_count(struct rig *rig, const struct rig_sandbox *sandbox, const char *result);

#endif
