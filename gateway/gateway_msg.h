/* Messages between vault and gateway: one request, one reply, per capture. A request names the step; the vault's
 * payment machine orders the steps, the gateway only carries them out.
 *
 *   vault -> gateway   TOKENISE (the one message of the product that holds a card), CREATE, CONFIRM, STATUS, ABANDON
 *   gateway -> vault   REPLY; SLOW, at most once per step and never after its REPLY
 *
 * subject: capture. Keys of idempotency are made from capture, attempt and step, so that a step sent again after a
 * crash is the same step for the gateway. */
#ifndef TONEGATE_GATEWAY_MSG_H
#define TONEGATE_GATEWAY_MSG_H

#include "base/limits.h"
#include "base/msg.h"

enum gateway_msg_type {
    GATEWAY_TOKENISE = 0x0301,
    GATEWAY_CREATE = 0x0302,
    GATEWAY_CONFIRM = 0x0303,
    GATEWAY_STATUS = 0x0304,
    GATEWAY_ABANDON = 0x0305, /* cancel an order that was not confirmed */
    GATEWAY_REPLY = 0x0311,
    GATEWAY_SLOW = 0x0312, /* the step goes on, only slowly: say so to whoever waits (requirement S3-22) */
};

/* Digits are bytes 0..9, not text, so that a text search is not what protects them. Both ends wipe it. */
struct gateway_tokenise_msg {
    struct msg_header header;
    uint32_t attempt;
    uint8_t number_length;
    uint8_t cvv_length;
    uint8_t expiry_month; /* 1..12 */
    uint8_t expiry_year;  /* years since 2000 */
    uint8_t number[LIMIT_PAN_DIGITS + 1];
    uint8_t cvv[LIMIT_CVV_DIGITS];
    uint8_t reserved[4];
    /* What the card is kept for, where a gateway wants to be told (requirement S1-11); 0 and empty with a token alone. */
    uint64_t call_id;
    int64_t amount_minor;
    char currency[4];
    uint8_t reserved2[4];
};

struct gateway_order_msg { /* CREATE */
    struct msg_header header;
    uint64_t call_id; /* metadata: links the transaction to the call (requirement S1-12) */
    int64_t amount_minor;
    char currency[4];
    uint32_t attempt;
    uint8_t is_authorise_only; /* the money is taken later, by an order of the desk's */
    uint8_t gateway_index;     /* as the reply to TOKENISE said */
    uint8_t reserved[6];
    char token[LIMIT_TOKEN_BYTES];
};

struct gateway_step_msg { /* CONFIRM, STATUS, ABANDON */
    struct msg_header header;
    uint32_t attempt;
    uint8_t is_authorise_only;
    uint8_t gateway_index;
    uint8_t reserved[2];
    int64_t amount_minor; /* what the order must say: another amount or currency in the answer is an error */
    char currency[4];
    uint8_t reserved2[4];
    char token[LIMIT_TOKEN_BYTES]; /* CONFIRM only */
    char order_ref[LIMIT_TOKEN_BYTES];
};

enum gateway_outcome {
    GATEWAY_DONE,        /* the step succeeded; STATUS: see order_state */
    GATEWAY_DECLINED,    /* the issuer or the gateway's checks said no: nothing was charged */
    GATEWAY_FAILED,      /* refused for another reason (configuration, bad request): nothing was charged */
    GATEWAY_UNAVAILABLE, /* certainly not executed: could not be sent, or refused with 503/429 to the last try */
    GATEWAY_NO_ANSWER, /* sent, and what became of it is not known: ask with STATUS */
    GATEWAY_OUTCOMES
};

enum gateway_order_state {
    ORDER_NONE,      /* not asked */
    ORDER_OPEN,      /* exists, not confirmed or card refused: no money moved */
    ORDER_PENDING,   /* the gateway is still at it */
    ORDER_SUCCEEDED, /* money moved */
    ORDER_CANCELLED,
    ORDER_UNKNOWN_TO_GATEWAY, /* the gateway has no such order */
    ORDER_AUTHORISED,         /* money is held for us, not taken */
    ORDER_STATES
};

enum gateway_reason {
    REASON_NONE,
    REASON_DECLINED,
    REASON_INSUFFICIENT_FUNDS,
    REASON_LOST_OR_STOLEN,
    REASON_EXPIRED,
    REASON_WRONG_CVV,
    REASON_WRONG_NUMBER,
    REASON_NEEDS_AUTHENTICATION,
    REASON_LIMIT,
    REASON_PROCESSING_ERROR,
    REASON_CONFIGURATION, /* key, account, request: never told as a decline (requirement S3-11) */
    REASON_UNAVAILABLE,
    REASON_BAD_ANSWER, /* not what was asked: other amount, other order, no JSON */
    REASON_COUNT
};

/* What to do about a payment that no gateway would begin (requirement S1-27, gateway.on_open). */
enum gateway_advice {
    ADVICE_NONE,
    ADVICE_LATER, /* the gateway is given a rest: hold the caller, or offer to, and try again_after_ms later */
    ADVICE_AGENT, /* a person takes the payment by other means */
    ADVICE_OFF,   /* payments are switched off in the configuration */
    ADVICES
};

struct gateway_slow_msg {
    struct msg_header header;
    uint16_t request_type; /* enum gateway_msg_type of the step */
    uint8_t gateway_index;
    uint8_t reserved;
    uint32_t attempt;
    uint32_t elapsed_ms; /* since the step came */
    uint8_t reserved2[4];
};

struct gateway_reply_msg {
    struct msg_header header;
    uint16_t request_type; /* enum gateway_msg_type that this answers */
    uint8_t outcome;       /* enum gateway_outcome */
    uint8_t order_state;   /* enum gateway_order_state */
    uint8_t reason;        /* enum gateway_reason */
    uint8_t
        gateway_index; /* of the gateways configured (0, or 1 for the fallback), the one that has it now */
    uint8_t advice;    /* enum gateway_advice; TOKENISE that was refused before anything was sent */
    uint8_t reserved;
    uint32_t attempt;
    uint32_t again_after_ms;           /* ADVICE_LATER */
    char token[LIMIT_TOKEN_BYTES];     /* TOKENISE */
    char order_ref[LIMIT_TOKEN_BYTES]; /* CREATE and after */
};

#endif
