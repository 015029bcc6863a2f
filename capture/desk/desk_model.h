/* What the desk knows of calls and captures right now: pools sized at start, looked up by id. Pure but for the pools.
 * Thread: one owner. */
#ifndef TONEGATE_CAPTURE_DESK_DESK_MODEL_H
#define TONEGATE_CAPTURE_DESK_DESK_MODEL_H

#include "capture/desk/store/store.h"
#include "proxy/proxy_msg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct desk_call {
    uint64_t id;
    uint8_t state; /* enum proxy_call_state */
    bool is_armed;
    bool is_confirmed;         /* by the present link to the proxy */
    struct wall_time began_at; /* first heard of */
    struct wall_time at;       /* of the state */
    char reference[LIMIT_CALL_REFERENCE_BYTES];
    char callee[LIMIT_CALL_REFERENCE_BYTES];
    char sip_call_id[LIMIT_CALL_REFERENCE_BYTES];
    uint64_t frames; /* of the last leg report */
    uint64_t masked_samples;
    uint32_t keys;
    bool is_watched;
    bool is_alarmed;
    int32_t residual_cdbm0; /* PROXY_RESIDUAL_NONE */
};

struct desk_capture {
    struct store_capture record; /* record.state is the live one */
    uint8_t selected_field;      /* enum card_field */
    uint8_t attempts_max;
    bool is_masked;      /* also after an end: the vault that restarted did not give the leg back yet */
    bool is_muted;       /* by the watch on what leaves: told by the vault */
    bool is_slow;        /* the gateway has what is asked longer than usual */
    uint8_t advice;      /* enum gateway_advice */
    uint8_t alarm_count; /* lines of the audit trail: alarms, and last reports of its leg */
    uint8_t record_count;
    bool is_end_stored;   /* the store holds its end, which is final: */
    uint8_t stored_state; /* this one; CAPTURE_STATES: none yet */
    bool has_answered;
    struct capture_store_msg answered; /* the last STORE that was made durable, as it came */
    bool is_confirmed;                 /* by the present link to the vault */
    struct capture_field_view fields[CARD_FIELDS];
};

struct desk_model {
    struct desk_call *calls; /* ids beside them, so that a look-up walks through little memory */
    uint64_t *call_ids;      /* 0: free */
    size_t call_capacity;
    size_t call_count;
    struct desk_capture *captures;
    uint64_t *capture_ids;
    size_t capture_capacity;
};

MUST_USE enum err desk_model_new(struct desk_model *model, size_t calls, size_t captures);
void desk_model_free(struct desk_model *model);

struct desk_call *desk_model_call(const struct desk_model *model, uint64_t id);
/* Existing or new (only id set); NULL when the pool is full. */
struct desk_call *desk_model_call_put(struct desk_model *model, uint64_t id);
void desk_model_call_remove(struct desk_model *model, uint64_t id);

struct desk_capture *desk_model_capture(const struct desk_model *model, uint64_t id);
/* New, only id set. When the pool is full the ended capture that changed longest ago makes room; NULL: none has
 * ended, or id is there already. */
struct desk_capture *desk_model_capture_put(struct desk_model *model, uint64_t id);
void desk_model_capture_remove(struct desk_model *model, uint64_t id);
/* The newest capture of this call that has not ended; NULL: none. */
struct desk_capture *desk_model_capture_of(const struct desk_model *model, uint64_t call_id);

/* Calls with this reference or callee (either may be empty) that have not ended. *found is the last of them. */
size_t desk_model_calls_named(const struct desk_model *model, const char *reference, const char *callee,
                              struct desk_call **found);

#endif
