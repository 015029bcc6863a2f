/* What others are still to be told: durable until it is delivered, given up or dropped. Part of the store's file. */
#ifndef TONEGATE_CAPTURE_DESK_STORE_HOOKS_H
#define TONEGATE_CAPTURE_DESK_STORE_HOOKS_H

#include "capture/desk/store/store.h"
#include "capture/desk/store/store_sql.h"
#include "gateway/hook_msg.h"

struct store_hooks {
    struct sql sql;
};

enum hook_state {
    HOOK_STATE_WAITING,
    HOOK_STATE_DELIVERED,
    HOOK_STATE_DEAD,    /* refused, or not taken for as long as it was tried: somebody decides */
    HOOK_STATE_DROPPED, /* somebody decided */
    HOOK_STATE_COUNT
};

struct store_hook {
    uint64_t id;
    struct hook_send_msg send;     /* as it is sent, header included */
    char target[LIMIT_NAME_BYTES]; /* its name in the configuration; "genesys" for the platform */
    uint8_t state;                 /* enum hook_state */
    uint32_t tries;
    uint32_t last_status; /* of HTTP; 0: no answer */
    struct wall_time created_at;
    struct wall_time updated_at;
    struct wall_time next_at; /* WAITING: not before */
};

/* The ids a platform has for the call of a capture, and where receipts go; all may be empty. */
struct store_contact {
    char conversation[LIMIT_NAME_BYTES];
    char participant[LIMIT_NAME_BYTES];
    char sms[LIMIT_NAME_BYTES];
    char email[LIMIT_TOKEN_BYTES];
};

MUST_USE enum err store_hooks_open(struct store_hooks *hooks, struct store *store);
void store_hooks_close(struct store_hooks *hooks);

/* key: what it tells; the same key for the same target is the same hook, and OK changes nothing then (*is_new false).
 * ERR_STORE. */
MUST_USE enum err store_hooks_add(struct store_hooks *hooks, const struct store_hook *hook, const char *key,
                                  bool *is_new);
/* ERR_NOT_FOUND, ERR_STORE. */
MUST_USE enum err store_hooks_find(struct store_hooks *hooks, uint64_t id, struct store_hook *hook);
/* state, tries, last_status, updated_at, next_at. ERR_NOT_FOUND, ERR_STORE. */
MUST_USE enum err store_hooks_update(struct store_hooks *hooks, const struct store_hook *hook);
/* WAITING: oldest first; others: newest first. */
MUST_USE enum err store_hooks_list(struct store_hooks *hooks, enum hook_state state, struct store_hook *list,
                                   size_t capacity, size_t *count);

MUST_USE enum err store_contact_set(struct store_hooks *hooks, uint64_t capture_id,
                                    const struct store_contact *contact);
/* Empty when there is none. ERR_STORE. */
MUST_USE enum err store_contact_find(struct store_hooks *hooks, uint64_t capture_id,
                                     struct store_contact *contact);

#endif
