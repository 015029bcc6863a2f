/* What the desk must still know after any death: captures, intents (before money moves) and results. One SQLite file,
 * write-ahead log, synchronous=FULL: a call that returned OK is on the disk.
 *
 * No column can hold a card digit, because no message to the desk can bring one. Thread: one owner. */
#ifndef TONEGATE_CAPTURE_DESK_STORE_H
#define TONEGATE_CAPTURE_DESK_STORE_H

#include "base/clock.h"
#include "base/err.h"
#include "base/limits.h"
#include "capture/capture_msg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;

#define STORE_SCHEMA_VERSION      3 /* 1: intents had no token; 2: no kind, no gateway; migrated when opened */
#define STORE_REQUEST_HASH_BYTES  32
#define STORE_IDEMPOTENCY_KEY_MAX 128 /* with its end */

struct store_capture {
    uint64_t id;
    uint64_t call_id;
    uint8_t kind;          /* enum capture_kind */
    uint8_t gateway_index; /* that has the payment, once there is one */
    char reference[LIMIT_CALL_REFERENCE_BYTES];
    char callee[LIMIT_CALL_REFERENCE_BYTES];
    int64_t amount_minor;
    char currency[4];
    char opened_by[LIMIT_NAME_BYTES]; /* name of the token */
    struct wall_time created_at;
    struct wall_time updated_at;
    uint8_t state; /* the last one stored: an end, or CAPTURE_ARMING while there is none */
    uint8_t problem;
    uint8_t gateway_reason;
    uint8_t brand;
    uint8_t attempt;
    char token[LIMIT_TOKEN_BYTES];
    char order_ref[LIMIT_TOKEN_BYTES];
};

struct store_intent {
    uint64_t capture_id;
    uint32_t attempt;
    uint8_t kind;          /* enum capture_kind */
    uint8_t gateway_index; /* came with the order */
    int64_t amount_minor;
    char currency[4];
    char order_ref[LIMIT_TOKEN_BYTES];
    char token[LIMIT_TOKEN_BYTES]; /* came with the order; the payment may still be declined */
};

/* vfs NULL: the system's. ERR_STORE (cannot open, damaged, or not ours), ERR_VERSION (a newer schema), ERR_MEMORY. */
MUST_USE enum err store_open(struct store **out, const char *path, const char *vfs);
void store_close(struct store *store);

/* For the files that hold tables beside the captures' (store_*.c). */
struct sqlite3;
struct sqlite3 *store_database(const struct store *store);

/* idempotency_key empty: none. ERR_EXISTS (id, or key of the same opener), ERR_STORE. */
MUST_USE enum err store_capture_insert(struct store *store, const struct store_capture *capture,
                                       const char *idempotency_key, const uint8_t *request_hash);

/* ERR_NOT_FOUND, ERR_STORE. request_hash has STORE_REQUEST_HASH_BYTES. */
MUST_USE enum err store_capture_find(struct store *store, uint64_t id, struct store_capture *capture);
MUST_USE enum err store_capture_find_key(struct store *store, const char *opened_by,
                                         const char *idempotency_key, struct store_capture *capture,
                                         uint8_t *request_hash);

/* Newest first, from the one after `before` (0: from the newest). ERR_NOT_FOUND (no such `before`), ERR_STORE. */
MUST_USE enum err store_capture_list(struct store *store, uint64_t before, struct store_capture *captures,
                                     size_t capacity, size_t *count);

/* Those without an end, oldest first. */
MUST_USE enum err store_capture_list_open(struct store *store, struct store_capture *captures,
                                          size_t capacity, size_t *count);

/* An end that moved no money and had no STORE of its own: a lost capture that was cancelled and the like. ERR_ORDER: it
 * has an end already, or an intent is open, so that money may have moved; ERR_STORE. */
MUST_USE enum err store_capture_end(struct store *store, const struct store_capture *capture);

/* What a STORE message asks for, all of it or nothing. The same message again changes nothing and is OK.
 * A stored end is final. ERR_NOT_FOUND (an intent or order of an unknown capture), ERR_ORDER (an intent or order after
 * the capture's end, an order without its intent, a result that differs from the stored end), ERR_STORE. A result is
 * kept even when its capture is unknown. */
MUST_USE enum err store_record(struct store *store, const struct capture_store_msg *message,
                               struct wall_time at);

/* The machine takes no further step by itself. UNKNOWN is none: it is asked about until it can be told. */
bool capture_state_is_end(unsigned state);

/* Intents that no result ended, oldest first, of each capture the newest only. */
MUST_USE enum err store_intents_open(struct store *store, struct store_intent *intents, size_t capacity,
                                     size_t *count);

/* The one of this capture. ERR_NOT_FOUND, ERR_STORE. */
MUST_USE enum err store_intent_open_of(struct store *store, uint64_t capture_id, struct store_intent *intent);

#endif
