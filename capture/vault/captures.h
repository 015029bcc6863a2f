/* The vault's captures: a table of LIMIT_CAPTURES entries, found by capture or by call. An entry that reached its end
 * stays for a while, so that a message that crosses is answered rightly, and makes room when room is needed. */
#ifndef TONEGATE_CAPTURE_VAULT_CAPTURES_H
#define TONEGATE_CAPTURE_VAULT_CAPTURES_H

#include "base/clock.h"
#include "capture/vault/card_fields.h"
#include "capture/vault/payment_machine.h"

#include <stdbool.h>
#include <stdint.h>

struct capture {
    uint64_t id;      /* 0: the entry is free */
    uint64_t call_id; /* 0: not known (reconciled) */
    uint64_t serial;  /* of opening */
    enum payment_state state;
    uint8_t problem;        /* enum capture_problem */
    uint8_t gateway_reason; /* enum gateway_reason */
    uint32_t attempt;
    uint8_t kind;          /* enum capture_kind */
    uint8_t gateway_index; /* of this attempt, as the reply to TOKENISE said */
    int64_t amount_minor;
    char currency[4];
    char token[LIMIT_TOKEN_BYTES];
    char order_ref[LIMIT_TOKEN_BYTES];

    struct card_fields *fields; /* from OPEN until no key can come any more */
    bool has_submitted;         /* brand and views are those of the card that was submitted */
    uint8_t brand;
    struct capture_field_view views[CARD_FIELDS];

    bool is_masked;       /* the proxy said so */
    bool is_muted;        /* the proxy's watch heard a key in what was to leave */
    bool is_slow;         /* the gateway said so of what is asked */
    uint8_t advice;       /* enum gateway_advice, of the last REPLY to TOKENISE */
    bool is_keying_told;  /* the last ARM's is_keying */
    bool is_leg_released; /* DISARM was sent, or another capture has the leg */
    bool is_disarm_owed;  /* DISARM could not be sent yet */
    bool is_call_gone;
    bool is_progress_owed; /* PROGRESS could not be sent yet */
    uint32_t ordinal_next; /* 0: whatever comes */

    uint32_t store_number;
    uint16_t asked; /* enum gateway_msg_type that a REPLY is waited for; 0: none */
    unsigned wait_count;

    struct mono_time idle_at, session_at; /* deadlines; 0: none */
    struct mono_time step_at, wait_at;
    struct mono_time ended_at;
};

struct captures;

MUST_USE enum err captures_new(struct captures **out);

/* Wipes every card. NULL is accepted. */
void captures_free(struct captures *captures);

struct capture *captures_find(struct captures *captures, uint64_t id);

/* The one that has the leg of this call; when none has, the latest. */
struct capture *captures_find_call(struct captures *captures, uint64_t call_id);

/* A blank entry in PAYMENT_NONE, or NULL when all are alive. */
struct capture *captures_add(struct captures *captures, uint64_t id, uint64_t call_id);

/* Also when the call becomes known later. */
void captures_set_call(struct captures *captures, struct capture *capture, uint64_t call_id);

void captures_drop(struct captures *captures, struct capture *capture);

/* It ended, or it was lost and so was its call. */
bool captures_may_forget(const struct capture *capture);

/* The entry at index 0..captures_end()-1, NULL when it is free. */
struct capture *captures_at(struct captures *captures, size_t index);
size_t captures_end(const struct captures *captures);

#endif
