/* The API key of one gateway while it is replaced: the one in use, the one before it, and how the next is read. Nothing
 * has to be restarted for a new key (requirement S3-12).
 *
 * A key is read again when somebody says that it was refused, and when it is max_age_s old; never more often than every
 * KEY_RING_LEAST_MS. One that is not allowed (a live key in a sandbox) is not taken. The key before the last stays for
 * KEY_RING_ROLL_MS, for a gateway that does not know the new one yet. Thread: the loop's. */
#ifndef TONEGATE_GATEWAY_KEY_RING_H
#define TONEGATE_GATEWAY_KEY_RING_H

#include "gateway/keys/key_store.h"

#define KEY_RING_LEAST_MS 2000
#define KEY_RING_ROLL_MS  3600000

typedef bool key_ring_is_allowed_h(void *owner, const struct secret *key);

/* A reading ended. OK: the key is another now. ERR_EMPTY: it is what it was. Anything else: it could not be read. */
typedef void key_ring_h(void *owner, enum err err);

struct key_ring_settings {
    const char *reference;   /* of base secret sources or a store; NULL or empty: only the key given ever */
    unsigned max_age_s;      /* 0: never by age; and then a file is never read again at all */
    struct key_store *store; /* for references to one; must outlive the ring; NULL: none */
    key_ring_is_allowed_h *is_allowed_h; /* NULL: every key is */
    key_ring_h *ended_h;
    void *owner; /* of both */
};

struct key_ring;

/* key: the first one, taken over, also on error; NULL where it is still to be read. ERR_MEMORY. */
MUST_USE enum err key_ring_new(struct key_ring **out, struct event_base *base, struct secret *key,
                               const struct key_ring_settings *settings);
void key_ring_free(struct key_ring *ring); /* NULL is accepted */

/* Empty until the first key was read. */
const struct secret *key_ring_current(const struct key_ring *ring);

/* NULL: there is none, or it is too old. */
const struct secret *key_ring_previous(const struct key_ring *ring);

/* One more with each key; 0 while there is none. */
unsigned key_ring_number(const struct key_ring *ring);

/* True: a key that was refused need not be the end. */
bool key_ring_may_roll(const struct key_ring *ring);

/* Asks for another key. True: a reading is under way, and ended_h will be called from the loop. */
bool key_ring_refresh(struct key_ring *ring);

#endif
