/* Messages the proxy takes part in.
 *
 *   proxy -> vault   DIGIT, ARMED, CALL_GONE, ALARM vault -> proxy   ARM, DISARM
 *   proxy -> desk    CALL, LEG_REPORT               desk  -> proxy   CALLS_WANTED
 *
 * Mask orders come from the vault alone: a desk that was taken over cannot unmask a leg. No message can carry a digit
 * back to the proxy, and none can carry one to the desk. */
#ifndef TONEGATE_PROXY_MSG_H
#define TONEGATE_PROXY_MSG_H

#include "base/limits.h"
#include "base/msg.h"

enum proxy_msg_type {
    PROXY_DIGIT = 0x0101,
    PROXY_ARMED = 0x0102,
    PROXY_CALL_GONE = 0x0103,
    PROXY_ALARM = 0x0104,
    PROXY_ARM = 0x0111,
    PROXY_DISARM = 0x0112,
    PROXY_CALL = 0x0121,
    PROXY_LEG_REPORT = 0x0122,
    PROXY_CALLS_WANTED = 0x0131,
};

/* 0..9 digits, 10 '*', 11 '#', 12..15 A..D: as in RFC 4733 §3.2. */
typedef uint8_t dtmf_key;
#define DTMF_KEY_STAR  10
#define DTMF_KEY_POUND 11
#define DTMF_KEY_COUNT 16

enum digit_source { DIGIT_TONE, DIGIT_EVENT, DIGIT_INFO };

/* One key, once, however many ways it came. Sender and receiver wipe it. subject: call. */
struct proxy_digit_msg {
    struct msg_header header;
    uint64_t capture_id;
    uint32_t
        ordinal; /* 1, 2, … since the leg was armed for this capture: a repeated or missing one is noticed */
    dtmf_key key;
    uint8_t source; /* enum digit_source */
    uint8_t reserved[2];
};

/* The leg is masked: answer to ARM, and sent for every armed call when a new vault link comes up (the vault lost what
 * it knew; the leg stays masked until a vault says otherwise). subject: call. */
struct proxy_armed_msg {
    struct msg_header header;
    uint64_t capture_id;
    uint8_t is_resync;  /* 1: not an answer; keys may have been lost, the field must be keyed again */
    uint8_t is_refused; /* 1: no such call, or its leg cannot be armed */
    uint8_t reserved[6];
};

/* The call of an armed leg ended. subject: call. */
struct proxy_call_gone_msg {
    struct msg_header header;
    uint64_t capture_id;
};

/* The watch heard a key in what was to leave the armed leg: it is muted until it is disarmed. Which key is not said. Sent
 * again when the capture or the vault is another one. subject: call. */
struct proxy_alarm_msg {
    struct msg_header header;
    uint64_t capture_id;
};

/* Mask the caller's leg of the call and report keys for this capture. subject: call. */
struct proxy_arm_msg {
    struct msg_header header;
    uint64_t capture_id;
    uint8_t
        is_keying; /* 1: a field is being keyed now: suspicion may be stricter. Sent again when it changes */
    uint8_t reserved[7];
};

/* Stop masking; only honoured for the capture that armed it. subject: call. */
struct proxy_disarm_msg {
    struct msg_header header;
    uint64_t capture_id;
};

enum proxy_call_state { PROXY_CALL_RINGING, PROXY_CALL_ANSWERED, PROXY_CALL_ENDED };

/* A call's life, for the agent to find it. subject: call. Texts are terminated, printable ASCII. */
struct proxy_call_msg {
    struct msg_header header;
    uint8_t state; /* enum proxy_call_state */
    uint8_t is_armed;
    uint8_t reserved[6];
    int64_t at_ns;                                /* wall time of the state */
    char reference[LIMIT_CALL_REFERENCE_BYTES];   /* value of sip.reference_header, or empty */
    char callee[LIMIT_CALL_REFERENCE_BYTES];      /* user part of the To URI: the agent's line or group */
    char sip_call_id[LIMIT_CALL_REFERENCE_BYTES]; /* of the contact centre's leg, cut when longer */
};

#define PROXY_RESIDUAL_NONE INT32_MIN

/* Once a second for an armed leg and once, with is_last, when it is disarmed or its call ends. Counters since the leg was
 * armed: a capture that took a masked leg over from another one is told of the whole time. subject: call. */
struct proxy_leg_report_msg {
    struct msg_header header;
    uint64_t capture_id;
    uint64_t frames;         /* frames delivered to the agent */
    uint64_t masked_samples; /* of them, replaced */
    uint32_t suspicions;
    uint32_t keys;           /* keys reported, any source */
    uint32_t events_removed; /* RFC 4733 packets kept back */
    uint32_t infos_removed;  /* SIP INFO digits kept back */
    uint32_t packets_late;
    uint32_t packets_lost;
    int64_t armed_at_ns; /* wall time: from */
    int64_t told_at_ns;  /* wall time: to, or up to now */
    uint64_t watched_8k; /* samples delivered while the watch listened; 0: there is none */
    uint32_t spans;      /* times of which nothing of the caller left */
    uint32_t span_longest_8k;
    uint32_t watch_keys;    /* heard by the watch in what was to leave */
    uint32_t watch_remains; /* the same, pieces of keys */
    int32_t
        residual_cdbm0; /* 0.01 dBm0: highest level at any of the eight frequencies within the spans, as delivered;
                                PROXY_RESIDUAL_NONE */
    uint8_t is_last;
    uint8_t is_alarmed;     /* the leg was muted by the watch */
    uint8_t is_resumed;     /* the proxy restarted meanwhile: armed_at is when it took the leg up again */
    uint8_t is_masking_off; /* the negative control */
};

/* Send a PROXY_CALL for every call there is. subject 0. */
struct proxy_calls_wanted_msg {
    struct msg_header header;
};

#endif
