/* The payment machine: one pure table, no I/O, no clock, no card. A state and an event give the next state and what to
 * do; what the table does not name is refused and counted. Time-outs are events like any other.
 *
 * The states here are finer than enum capture_state, which is what the desk is shown: that way nothing has to be
 * remembered beside the state to decide what may follow, and every path can be walked by a test.
 *
 * Rules the table holds (tests/test_payment_machine.c walks every reachable state to prove each):
 *   - CONFIRM only after the intent and the order's name are durable, and once per attempt;
 *   - after CONFIRM any doubt is settled by asking: STATUS, or ABANDON of an order that says it is open; the machine
 *     never says "no money moved" on a guess;
 *   - APPROVED only by STATUS saying so (requirement S0-35), or by a token where nothing but a token was asked for;
 *   - the card is wiped when TOKENISE was answered and on every way to an end;
 *   - the leg is masked from OPEN until the end. Mask on costs nothing, and a declined caller keys again. */
#ifndef TONEGATE_CAPTURE_VAULT_PAYMENT_MACHINE_H
#define TONEGATE_CAPTURE_VAULT_PAYMENT_MACHINE_H

#include "capture/capture_msg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum payment_state {
    PAYMENT_NONE, /* before OPEN, RECONCILE or a leg found armed */
    PAYMENT_ARMING,
    PAYMENT_COLLECTING,
    PAYMENT_READY,
    PAYMENT_STORING_INTENT,
    PAYMENT_TOKENISING,
    PAYMENT_CREATING,
    PAYMENT_CREATING_CANCELLED, /* cancelled while CREATE is on its way: its order must be abandoned */
    PAYMENT_STORING_ORDER,
    PAYMENT_CONFIRMING,
    PAYMENT_CONFIRMING_GONE, /* the caller hung up: a decline now is the end */
    PAYMENT_VERIFYING,       /* STATUS is on its way */
    PAYMENT_VERIFY_WAIT,     /* STATUS is asked again after a wait */
    PAYMENT_SETTLING,        /* STATUS said open after a CONFIRM: ABANDON makes sure that it stays unpaid */
    PAYMENT_ABANDONING_RETRY,
    PAYMENT_ABANDONING_DECLINED,
    PAYMENT_ABANDONING_CANCELLED,
    PAYMENT_ABANDONING_FAILED,
    PAYMENT_STORING_APPROVED,
    PAYMENT_STORING_DECLINED,
    PAYMENT_STORING_CANCELLED,
    PAYMENT_STORING_FAILED,
    PAYMENT_APPROVED,
    PAYMENT_DECLINED,
    PAYMENT_CANCELLED,
    PAYMENT_FAILED,
    PAYMENT_UNKNOWN, /* waits to ask again */
    PAYMENT_UNKNOWN_ASKED,
    PAYMENT_UNKNOWN_SETTLING,
    PAYMENT_LOST,
    PAYMENT_LOST_CANCELLED, /* the leg was given back; a RECONCILE may still come */
    PAYMENT_STATES
};

enum payment_event {
    /* desk */
    EVENT_OPEN,
    EVENT_SUBMIT,
    EVENT_CANCEL,
    EVENT_REPLACED, /* another capture took the leg over */
    EVENT_STORED,   /* answer to the store that is waited for */
    EVENT_STORE_REFUSED,
    EVENT_RECONCILE_ORDER, /* with the gateway's name for the order */
    EVENT_RECONCILE_BLANK, /* without: nothing was confirmed */
    EVENT_DESK_DOWN,
    EVENT_DESK_UP,
    /* keys, after the fields took them */
    EVENT_FIELDS_PARTIAL,
    EVENT_FIELDS_FULL, /* all complete and valid */
    /* proxy */
    EVENT_ARMED,
    EVENT_ARM_REFUSED, /* the answer to the first ARM; to a later one it is CALL_GONE */
    EVENT_RESYNC,      /* the leg is armed, keys may have been lost */
    EVENT_FOUND,       /* a leg is armed for a capture that nobody knows */
    EVENT_CALL_GONE,
    EVENT_PROXY_DOWN,
    EVENT_PROXY_UP,
    /* gateway: the answer to the step that is waited for */
    EVENT_TOKEN,
    EVENT_TOKEN_KEPT, /* and a token is all that was asked for */
    EVENT_ORDER,
    EVENT_CONFIRMED, /* says the answer; STATUS decides */
    EVENT_DECLINED,  /* attempts are left */
    EVENT_DECLINED_LAST,
    EVENT_STEP_FAILED, /* certainly not done */
    EVENT_NO_ANSWER,
    EVENT_STATUS_SUCCEEDED,
    EVENT_STATUS_OPEN,
    EVENT_STATUS_CANCELLED,
    EVENT_STATUS_UNSURE,  /* pending, no answer, not what was asked */
    EVENT_ABANDONED,      /* the order is certainly cancelled */
    EVENT_ABANDON_UNSURE, /* any other answer but the next */
    EVENT_ABANDON_PAID,   /* too late: the order says it succeeded */
    EVENT_GATEWAY_DOWN,
    EVENT_GATEWAY_UP,
    /* time */
    EVENT_STEP_LATE, /* no answer from a peer in time */
    EVENT_WAIT_OVER, /* ask or store again */
    EVENT_GIVE_UP,   /* asked often enough: show UNKNOWN, ask more slowly */
    EVENT_IDLE_OVER,
    EVENT_SESSION_OVER,
    PAYMENT_EVENTS
};

enum payment_action {
    ACTION_ARM = 1 << 0,
    ACTION_DISARM = 1 << 1,
    ACTION_CLEAR_FIELD = 1 << 2, /* the field being keyed */
    ACTION_WIPE_CARD = 1 << 3,
    ACTION_STORE_INTENT = 1 << 4,
    ACTION_STORE_ORDER = 1 << 5,
    ACTION_STORE_RESULT = 1 << 6,
    ACTION_TOKENISE = 1 << 7,
    ACTION_CREATE = 1 << 8,
    ACTION_CONFIRM = 1 << 9,
    ACTION_STATUS = 1 << 10,
    ACTION_ABANDON = 1 << 11,
    ACTION_NEXT_ATTEMPT = 1 << 12,
    ACTION_WAIT = 1 << 13, /* EVENT_WAIT_OVER after a while that grows */
};

#define PAYMENT_SAME         0xff /* next: stay */
#define PAYMENT_KEEP_PROBLEM 0xff /* problem: as it was */

struct payment_rule {
    uint64_t from; /* bits 1 << enum payment_state */
    uint8_t event;
    uint8_t next; /* enum payment_state or PAYMENT_SAME */
    uint8_t problem;
    uint32_t actions;
};

struct payment_table {
    const struct payment_rule *rules;
    size_t rule_count;
};

extern const struct payment_table payment_table;

struct payment_step {
    enum payment_state next;
    uint32_t actions;
    uint8_t problem; /* enum capture_problem or PAYMENT_KEEP_PROBLEM */
};

/* False: the event is refused in this state, *step is untouched. Pure. */
bool payment_step(const struct payment_table *table, enum payment_state state, enum payment_event event,
                  struct payment_step *step);

/* What the desk is shown. PAYMENT_NONE has no public state: ASSERT. */
enum capture_state payment_public(enum payment_state state);

bool payment_is_end(enum payment_state state);       /* nothing follows on its own */
bool payment_takes_keys(enum payment_state state);   /* keys fill fields */
bool payment_is_storing(enum payment_state state);   /* waits for STORED */
bool payment_asks_gateway(enum payment_state state); /* waits for REPLY */

/* The end a STORING state leads to, as STORE_RESULT names it. */
enum capture_state payment_storing_end(enum payment_state state);

/* Constants for logs and tests. */
const char *payment_state_name(enum payment_state state);
const char *payment_event_name(enum payment_event event);

#endif
