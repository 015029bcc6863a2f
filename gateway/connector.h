/* What a payment system looks like to the rest of the room: one struct of constants and functions, one file each.
 *
 * A connector knows how to say a step (build a request) and how to hear the answer (a verdict by a table). It does no
 * I/O, keeps no state and never waits: sending, time-outs, retries and the memory of the card belong to step.c and
 * http.c. That makes each connector testable row by row without a network.
 *
 * Way of a step: gateway_msg -> connector_step -> build() -> HTTPS -> read() -> connector_verdict -> gateway_reply_msg.
 * How to add one: gateway/README.md. */
#ifndef TONEGATE_GATEWAY_CONNECTOR_H
#define TONEGATE_GATEWAY_CONNECTOR_H

#include "base/err.h"
#include "base/limits.h"
#include "base/secret.h"
#include "gateway/gateway_msg.h"
#include "gateway/order_msg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mapping; /* gateway/connectors/mapping.h */

enum connector_operation {
    CONNECTOR_TOKENISE, /* card -> token; the only one that is given a card */
    CONNECTOR_CREATE,   /* order with amount and token; no money moves */
    CONNECTOR_CONFIRM,  /* money moves */
    CONNECTOR_STATUS,   /* ask; changes nothing */
    CONNECTOR_ABANDON,  /* cancel an order that is not paid */
    /* After the card, ordered by the desk one by one: nothing here has a card. */
    CONNECTOR_CAPTURE,   /* take the money of an order that was authorised only */
    CONNECTOR_VOID,      /* let go of an authorisation, or of a charge that is not settled yet */
    CONNECTOR_REFUND,    /* give amount_minor of a paid order back */
    CONNECTOR_SUBSCRIBE, /* a token becomes a subscription (requirements S1-19..21) */
    CONNECTOR_LINK,      /* a page where the caller pays without the telephone (requirement S3-05) */
    CONNECTOR_OPERATIONS
};
/* What a connector that only takes payments supports. */
#define CONNECTOR_PAYMENT_OPERATIONS                                                                         \
    (1u << CONNECTOR_TOKENISE | 1u << CONNECTOR_CREATE | 1u << CONNECTOR_CONFIRM | 1u << CONNECTOR_STATUS |  \
     1u << CONNECTOR_ABANDON)
const char *connector_operation_name(enum connector_operation operation);
const char *gateway_outcome_name(enum gateway_outcome outcome);
const char *gateway_reason_name(enum gateway_reason reason);

#define CONNECTOR_PATH_BYTES   768 /* Worldpay: the next action of a payment is a link of some 500 characters */
#define CONNECTOR_HEADER_BYTES 2048
#define CONNECTOR_BODY_BYTES   4096 /* room of a request's body, which is a struct secret */
#define CONNECTOR_KEY_BYTES    1024 /* longest API key */
#define CONNECTOR_HOST_BYTES   128
#define CONNECTOR_CARRY_BYTES  CONNECTOR_PATH_BYTES

/* One step of one attempt. Everything but the card comes out of the message as it is. */
struct connector_step {
    enum connector_operation operation;
    uint64_t
        capture_id; /* CONNECTOR_CAPTURE and after: the id the desk gave the order; names the step for ever */
    uint64_t call_id; /* CREATE and after the card: for the gateway's books (requirement S1-12) */
    uint32_t attempt;
    int64_t amount_minor;   /* 1..LIMIT_AMOUNT_MINOR; TOKENISE: what follows it, 0 where nothing does */
    char currency[4];       /* ISO 4217, upper case; TOKENISE: as the amount */
    bool is_authorise_only; /* CREATE, CONFIRM, STATUS: the money is taken later, with CONNECTOR_CAPTURE */
    char token[LIMIT_TOKEN_BYTES];
    char order_ref[LIMIT_TOKEN_BYTES];
    char customer[LIMIT_TOKEN_BYTES]; /* the merchant's or gateway's name for the customer; may be empty */
    char plan[LIMIT_NAME_BYTES];      /* SUBSCRIBE: the gateway's name for plan or price */
    uint16_t interval_count;          /* SUBSCRIBE: every so many ...; 0: the plan says it */
    uint8_t interval_unit;            /* enum order_interval */
    char reference[LIMIT_NAME_BYTES]; /* the merchant's own reference (requirement S2-19); may be empty */
    const struct gateway_tokenise_msg *card; /* TOKENISE in round 0, during build() only; NULL afterwards */
    unsigned round;                          /* of a step that takes several requests, 0.. */
    char carry[CONNECTOR_CARRY_BYTES];       /* what the round before brought */
};

/* The merchant's account at the gateway: names that are no secrets. Empty where a gateway needs none. */
struct connector_account {
    char merchant[LIMIT_NAME_BYTES];
    char region
        [LIMIT_NAME_BYTES]; /* AWS: signed for this region ...; Adyen, Worldpay, Cybersource: the currency
                                     * that cards are verified in, before the order's is known */
    char service[LIMIT_NAME_BYTES]; /* ... and service */
    const struct mapping *mapping;  /* generic connectors: what their messages look like; NULL elsewhere */
};

struct connector_request {
    const char *method; /* a constant */
    char path[CONNECTOR_PATH_BYTES];
    char headers
        [CONNECTOR_HEADER_BYTES]; /* "Name: value" lines, each ended by \n; wiped, it holds the API key */
    size_t header_length;
    struct secret *body; /* capacity CONNECTOR_BODY_BYTES, owned by the caller; empty: none */
    bool has_card;
    char host
        [CONNECTOR_HOST_BYTES]; /* filled by the caller before authorise(): host, and port if it is not 443 */
    int64_t now_s;              /* the same: seconds since 1970, for signatures that carry the time */
    const struct connector_account *account; /* filled by the caller before build_login(); NULL otherwise */
    /* Room for a body with the card that a later round of the step sends, of CONNECTOR_BODY_BYTES: the caller's, handed
     * to build() in every round as the round before left it, and wiped with the step. NULL: the caller keeps none. */
    struct secret *held;
};

/* A gateway's answer. body need not be terminated. Valid during read() only. */
struct connector_answer {
    unsigned status;
    const uint8_t *body;
    size_t body_length;
    const char *headers; /* "name: value\n" lines, names in lower case, terminated */
};

enum connector_again {
    CONNECTOR_FINAL, /* the verdict stands */
    CONNECTOR_AGAIN, /* not carried out now; the same request may be sent again, else the verdict stands */
    CONNECTOR_NEXT, /* the step goes on: build() is called for the next round, verdict's carry, or where that is
                     * empty its token, is its carry */
    CONNECTOR_LOGIN, /* the access token was refused: get another, once, else the verdict stands. Without a login
                        it is the key that was refused, as by a 401: another one may be tried */
};

/* What a login brought. */
struct connector_access {
    char text[CONNECTOR_KEY_BYTES];
    unsigned valid_s;
};

struct connector_verdict {
    enum gateway_outcome outcome;
    enum gateway_order_state order_state;
    enum gateway_reason reason;
    enum connector_again again;
    int32_t wait_ms; /* what the gateway asked to wait; -1: nothing */
    char token[LIMIT_TOKEN_BYTES];
    char order_ref[LIMIT_TOKEN_BYTES];
    char url[LIMIT_LINK_BYTES];        /* LINK: the payment page, https only, by connector_take_url() */
    char carry[CONNECTOR_CARRY_BYTES]; /* NEXT: for the round that follows, where token is too short for it */
};

struct connector {
    const char *name;
    uint32_t operations; /* bits 1 << enum connector_operation */
    /* The gateway recognises a request that is sent again (an idempotency key) and does it once. Without, a step
     * that may have been carried out is never sent again: it is asked for. */
    bool is_replay_safe;
    bool holds_card; /* TOKENISE is built with room to hold the card over a round (connector_request.held) */
    bool (*key_is_live)(const uint8_t *key, size_t length); /* true: moves real money (requirement S4-09) */

    /* NULL where the API key itself goes with each request. Otherwise the key buys an access token first, which is kept
     * until shortly before its end: build_login() makes the whole request, read_login() is true when it brought one. */
    enum err (*build_login)(const uint8_t *key, size_t length, struct connector_request *request);
    bool (*read_login)(const struct connector_answer *answer, struct connector_access *access);

    /* Appends the lines that prove who we are; key is the access token where there is a login. Method, path, body,
     * host and time are final: a signature may cover them. ERR_FULL, ERR_SYNTAX (the key has a byte no header may hold). */
    enum err (*authorise)(const struct connector_account *account, const uint8_t *key, size_t length,
                          struct connector_request *request);

    /* OK: send it. ERR_EMPTY: nothing needs to be sent, *verdict is filled. ERR_RANGE: the step is not one this
     * gateway could take (told as REASON_CONFIGURATION before anything is sent: requirement C5). ERR_FULL. */
    enum err (*build)(const struct connector_account *account, const struct connector_step *step,
                      struct connector_request *request, struct connector_verdict *verdict);

    /* Always fills *verdict; never trusts the answer: what is not exactly as expected is REASON_BAD_ANSWER. */
    void (*read)(const struct connector_account *account, const struct connector_step *step,
                 const struct connector_answer *answer, struct connector_verdict *verdict);
};

/* NULL when there is none of that name. */
const struct connector *connector_find(const char *name);

/* The connector for a gateway address: by host; Stripe for anything else, the sandbox among them. */
const struct connector *connector_for_url(const char *url);

/* True: a host that moves real money whatever the key says. */
bool connector_url_is_live(const char *url);

/* --- for the connectors --- */

/* Appends "name: value\n". ERR_FULL; ERR_SYNTAX when value holds a control character. */
MUST_USE enum err connector_header(struct connector_request *request, const char *name, const char *value);

/* An Idempotency-Key that is the same whenever the same step of the same attempt is sent: "cap_<16>-<attempt>-<step>",
 * "ord_<16>-<step>" for an order; "-<round>" follows in a later round. */
#define CONNECTOR_STEP_KEY_BYTES 64
void connector_step_key(const struct connector_step *step, char *out);

/* What we call the order in the gateway's books: "cap-<16>-<attempt>", "ord-<16>" for an order of the desk's. */
#define CONNECTOR_NAME_BYTES 40
void connector_order_name(const struct connector_step *step, char *out);

/* The currency of a TOKENISE that has to name one, though no amount is known yet: the step's, else the account's
 * (region), else fallback. A card is verified in it with nothing charged. */
const char *connector_verification_currency(const struct connector_account *account,
                                            const struct connector_step *step, const char *fallback);

/* "Authorization: Bearer KEY". */
MUST_USE enum err connector_authorise_bearer(const struct connector_account *account, const uint8_t *key,
                                             size_t length, struct connector_request *request);

/* "Authorization: Basic base64(KEY)": the key is "user:password". */
MUST_USE enum err connector_authorise_basic(const struct connector_account *account, const uint8_t *key,
                                            size_t length, struct connector_request *request);

/* Value of a header of the answer, name in lower case; false and an empty out when absent or too long. */
bool connector_answer_header(const struct connector_answer *answer, const char *name, char *out,
                             size_t capacity);

/* Retry-After in milliseconds, seconds form only, capped at an hour; -1 when absent. */
int32_t connector_retry_after_ms(const struct connector_answer *answer);

/* Takes a gateway's identifier out of an answer: prefix, then letters, digits, '_' or '-', short enough, and no run of
 * digits that could be a card number sent back. False: out is empty. */
bool connector_take_id(const char *text, const char *prefix, char *out, size_t capacity);

/* The same for a gateway whose identifiers are long numbers (Adyen, Cybersource): any run of digits passes here, and
 * step.c refuses the one that is the card's own number. */
bool connector_take_number(const char *text, char *out, size_t capacity);

/* The same for a gateway whose identifiers are letters and digits, some of them almost only digits (Adyen, PayPal), into a
 * form that no check for card numbers, here or at the desk, can mistake for one: in a run that long a '_' stands behind
 * every eighth digit. Without such a run out is text itself. out has room for LIMIT_TOKEN_BYTES. */
bool connector_take_long(const char *text, char *out);

/* As the gateway wrote it: without the '_'. */
void connector_give_long(const char *text, char *out);

/* Takes an address out of an answer: https://, a host, printable, no user part, no run of digits that could be a card
 * number. False: out is empty. */
bool connector_take_url(const char *text, char *out, size_t capacity);

/* The verdict on an answer that is not what was asked: nothing was charged by TOKENISE and CREATE, everything else
 * has to be asked again. */
void connector_bad_answer(const struct connector_step *step, struct connector_verdict *verdict);

void connector_verdict_set(struct connector_verdict *verdict, enum gateway_outcome outcome,
                           enum gateway_order_state order_state, enum gateway_reason reason);

#endif
