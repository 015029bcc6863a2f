/* Messages between desk and gateway: what others are told of a payment, and what the telephone platform is asked to do
 * about its call. The desk keeps each durable until it was delivered; the gateway role, the only one with a way out,
 * writes and signs the request and makes one try.
 *
 *   desk -> gateway   HOOK_SEND
 *   gateway -> desk   HOOK_RESULT
 *
 * subject: the hook's id, drawn by the desk. Nothing here can hold a card. */
#ifndef TONEGATE_GATEWAY_HOOK_MSG_H
#define TONEGATE_GATEWAY_HOOK_MSG_H

#include "base/limits.h"
#include "base/msg.h"

enum hook_msg_type {
    HOOK_SEND = 0x0421,
    HOOK_RESULT = 0x0431,
};

enum hook_kind {
    HOOK_PAYMENT,      /* a payment has its end (requirement S3-20) */
    HOOK_SUBSCRIPTION, /* one was made (S1-19) */
    HOOK_REFUND,       /* one was made */
    HOOK_RECEIPT_SMS,  /* please send one (S0-21) */
    HOOK_RECEIPT_EMAIL,
    HOOK_ATTRIBUTES, /* the platform's: attributes of the call's participant (S0-11, S0-17, S1-29, S4-08) */
    HOOK_RECORDING_PAUSE, /* S0-25 */
    HOOK_RECORDING_RESUME,
    HOOK_KINDS
};

#define HOOK_TARGET_PLATFORM 255 /* not one of the configured addresses: the telephone platform */

enum hook_status {
    HOOK_STATUS_PENDING,
    HOOK_STATUS_CONFIRMED,
    HOOK_STATUS_DECLINED,
    HOOK_STATUS_FAILED,
    HOOK_STATUSES
};

struct hook_send_msg {
    struct msg_header header;
    uint64_t capture_id;
    uint64_t call_id;
    int64_t amount_minor;
    int64_t occurred_at_s; /* seconds since 1970 */
    char currency[4];
    uint8_t kind;   /* enum hook_kind */
    uint8_t target; /* index of hooks in the configuration, or HOOK_TARGET_PLATFORM */
    uint8_t status; /* enum hook_status */
    uint8_t reserved;
    char conversation[LIMIT_NAME_BYTES]; /* the platform's names for call and caller; may be empty */
    char participant[LIMIT_NAME_BYTES];
    char payment_ref
        [LIMIT_TOKEN_BYTES]; /* the gateway's name for the payment; SUBSCRIPTION, REFUND: for that */
    char token[LIMIT_TOKEN_BYTES];
    char reference[LIMIT_NAME_BYTES];
    char recipient[LIMIT_TOKEN_BYTES]; /* RECEIPT_*: number or address */
};

enum hook_outcome {
    HOOK_DELIVERED,
    HOOK_LATER,   /* not reached, or asked to come back: try again */
    HOOK_REFUSED, /* taken for wrong: the same again would be refused again */
    HOOK_OUTCOMES
};

struct hook_result_msg {
    struct msg_header header;
    uint8_t outcome; /* enum hook_outcome */
    uint8_t reserved[3];
    uint32_t status;         /* of HTTP; 0: no answer */
    uint32_t again_after_ms; /* what the peer asked to wait; 0: nothing */
    uint8_t reserved2[4];
};

#endif
