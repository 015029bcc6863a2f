/* Messages between vault and desk. The vault alone decides what a capture is; the desk asks, stores and shows.
 *
 *   desk -> vault   OPEN, FIELD, SUBMIT, CANCEL, STORED, RECONCILE, SYNC
 *   vault -> desk   PROGRESS, STORE, RESULT
 *
 * Nothing here can hold a card digit: progress is counts, brand and verdicts. */
#ifndef TONEGATE_CAPTURE_MSG_H
#define TONEGATE_CAPTURE_MSG_H

#include "base/limits.h"
#include "base/msg.h"
#include "gateway/gateway_msg.h"

enum capture_msg_type {
    CAPTURE_OPEN = 0x0201,
    CAPTURE_FIELD = 0x0202,
    CAPTURE_SUBMIT = 0x0203,
    CAPTURE_CANCEL = 0x0204,
    CAPTURE_STORED = 0x0205,
    CAPTURE_RECONCILE = 0x0206,
    CAPTURE_SYNC = 0x0207,
    CAPTURE_PROGRESS = 0x0211,
    CAPTURE_STORE = 0x0212,
};

enum card_field { CARD_NUMBER, CARD_EXPIRY, CARD_CVV, CARD_FIELDS, CARD_FIELD_NONE = CARD_FIELDS };

enum card_brand {
    BRAND_UNKNOWN,
    BRAND_VISA,
    BRAND_MASTERCARD,
    BRAND_AMEX,
    BRAND_DISCOVER,
    BRAND_JCB,
    BRAND_DINERS,
    BRAND_UNIONPAY,
    BRAND_MAESTRO,
    BRAND_COUNT
};

/* The states of the payment machine (capture/vault/payment_machine.h holds the table). */
enum capture_state {
    CAPTURE_ARMING,         /* mask ordered, not yet confirmed by the proxy */
    CAPTURE_COLLECTING,     /* keys fill the selected field */
    CAPTURE_READY,          /* all fields complete and valid: submit, or reset one */
    CAPTURE_STORING_INTENT, /* the desk makes the intent durable; no money can move before */
    CAPTURE_TOKENISING,     /* the card is with the gateway; wiped here and there when it answers */
    CAPTURE_CREATING,       /* the order is created, not yet confirmed */
    CAPTURE_STORING_ORDER,  /* the desk makes the gateway's order reference durable */
    CAPTURE_CONFIRMING,     /* money may move from here on */
    CAPTURE_VERIFYING,      /* synchronous status check (requirement S0-35); repeated while unknown */
    CAPTURE_STORING_RESULT,
    CAPTURE_APPROVED,  /* end */
    CAPTURE_DECLINED,  /* end: attempts used up; with attempts left the machine returns to COLLECTING */
    CAPTURE_CANCELLED, /* end: by agent, caller's hang-up or time-out, no money moved */
    CAPTURE_FAILED,    /* end: no money moved */
    CAPTURE_UNKNOWN,   /* the gateway cannot say yet: asked again until it can */
    CAPTURE_LOST,      /* the vault restarted: the leg is still masked; cancel or open again */
    CAPTURE_STATES
};

/* Why the last thing went wrong; 0 = nothing did. */
enum capture_problem {
    PROBLEM_NONE,
    PROBLEM_NUMBER_INVALID,  /* length or Luhn: INVALID_CARD_NUMBER */
    PROBLEM_BRAND_REFUSED,   /* not among capture.brands */
    PROBLEM_EXPIRY_INVALID,  /* no such month */
    PROBLEM_CARD_EXPIRED,    /* EXPIRED_CARD */
    PROBLEM_CVV_INVALID,     /* INVALID_CVV */
    PROBLEM_MEDIA_RESTARTED, /* keys may be missing: the field was cleared, key it again */
    PROBLEM_DECLINED,        /* by the issuer; gateway_reason says more */
    PROBLEM_GATEWAY,         /* configuration or availability; gateway_reason says more */
    PROBLEM_STORE,           /* the intent could not be made durable: no money moved */
    PROBLEM_HANG_UP,
    PROBLEM_TIMED_OUT,
    PROBLEM_CALL_UNKNOWN,
    PROBLEM_VAULT_RESTARTED,
    PROBLEM_COUNT
};

enum capture_kind {
    CAPTURE_KIND_CHARGE,    /* take the money now */
    CAPTURE_KIND_AUTHORISE, /* hold it; the desk takes it later */
    CAPTURE_KIND_TOKENISE,  /* keep the card at the gateway; no money moves, amount 0 */
    CAPTURE_KINDS
};

/* subject in all messages below: capture. */
struct capture_open_msg {
    struct msg_header header;
    uint64_t call_id;
    int64_t amount_minor;
    char currency[4]; /* ISO 4217, upper case, terminated */
    uint8_t kind;     /* enum capture_kind */
    uint8_t reserved[3];
};

/* Select a field to key next; with is_reset also clear it. */
struct capture_field_msg {
    struct msg_header header;
    uint8_t field; /* enum card_field */
    uint8_t is_reset;
    uint8_t reserved[6];
};

struct capture_submit_msg {
    struct msg_header header;
};

/* Also legal for a capture the vault does not know when it names a call whose leg is still masked. */
struct capture_cancel_msg {
    struct msg_header header;
    uint64_t call_id;
};

/* Answer to STORE. */
struct capture_stored_msg {
    struct msg_header header;
    uint32_t store_number; /* of the STORE answered */
    uint8_t is_durable;    /* 0: it could not be written */
    uint8_t reserved[3];
};

/* An intent without an end from before the vault's restart: find out what became of it. No card is needed. For a
 * capture that the vault has as UNKNOWN it says: ask again now. */
struct capture_reconcile_msg {
    struct msg_header header;
    int64_t amount_minor;
    char currency[4];
    uint32_t attempt;
    uint8_t kind;          /* enum capture_kind */
    uint8_t gateway_index; /* as it came with STORE_ORDER */
    uint8_t reserved[6];
    char order_ref[LIMIT_TOKEN_BYTES]; /* empty: never created, or the crash came before it was stored */
    char token[LIMIT_TOKEN_BYTES];     /* as it came with STORE_ORDER; empty when that did not come */
};

/* Send a PROGRESS for every capture there is. subject 0. */
struct capture_sync_msg {
    struct msg_header header;
};

struct capture_field_view {
    uint8_t key_count; /* keys held */
    uint8_t key_max;   /* keys a complete field may have for this brand; 0 not known yet */
    uint8_t is_complete;
    uint8_t is_valid; /* complete and checked */
};

struct capture_progress_msg {
    struct msg_header header;
    uint64_t call_id;
    int64_t amount_minor;
    char currency[4];
    uint8_t state;          /* enum capture_state */
    uint8_t selected_field; /* enum card_field */
    uint8_t brand;          /* enum card_brand */
    uint8_t problem;        /* enum capture_problem */
    uint8_t gateway_reason; /* enum gateway_reason */
    uint8_t attempt;        /* 1.. */
    uint8_t attempts_max;
    uint8_t is_masked; /* the proxy confirmed the mask and it was not lifted */
    struct capture_field_view fields[CARD_FIELDS];
    uint8_t
        is_muted; /* the watch heard a key in what was to leave: nothing of the caller passes until the end */
    uint8_t is_slow; /* the gateway has the step that is asked for longer than usual, and goes on */
    uint8_t advice;  /* enum gateway_advice: why no gateway began the payment, until the next submit */
    uint8_t reserved;
};

enum capture_store_kind {
    STORE_INTENT, /* before the card leaves the vault */
    STORE_ORDER,  /* order_ref and token are known, not confirmed */
    STORE_RESULT, /* the end */
};

/* Make this durable, write its audit line, then answer STORED. */
struct capture_store_msg {
    struct msg_header header;
    uint64_t call_id;
    uint32_t store_number; /* counts up per capture */
    uint32_t attempt;
    int64_t amount_minor;
    char currency[4];
    uint8_t kind;  /* enum capture_store_kind */
    uint8_t state; /* STORE_RESULT: the end state the machine will take */
    uint8_t problem;
    uint8_t gateway_reason;
    uint8_t brand;
    uint8_t gateway_index; /* of the gateways configured, the one that has the order */
    uint8_t capture_kind;  /* enum capture_kind */
    uint8_t reserved[5];
    /* What the contact centre keeps. STORE_ORDER: kept for a RECONCILE, shown to nobody. STORE_RESULT: of an approved
     * payment only. */
    char token[LIMIT_TOKEN_BYTES];
    char order_ref[LIMIT_TOKEN_BYTES]; /* the gateway's name for the payment */
};

#endif
