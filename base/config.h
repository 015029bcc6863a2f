/* The configuration: one YAML file, checked against a schema, turned into one plain struct that every role reads.
 *
 * Secrets stand in it by reference only (a path). An error names file, line and what was expected; unknown keys are
 * errors. docs: the commented example in proxy/tonegate.example.yaml. */
#ifndef TONEGATE_BASE_CONFIG_H
#define TONEGATE_BASE_CONFIG_H

#include "base/err.h"
#include "base/limits.h"
#include "base/log.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config_source { /* an address range, "192.0.2.0/24" or one address */
    uint32_t network;  /* host byte order */
    uint32_t mask;
};

enum config_transport { CONFIG_UDP, CONFIG_TCP };

struct config_listener {
    enum config_transport transport;
    struct sockaddr_in address;
};

/* A SIP neighbour. Requests from one trunk go to the other. */
struct config_trunk {
    struct config_source allow[LIMIT_TRUNK_SOURCES];
    size_t allow_count;
    enum config_transport transport;
    struct sockaddr_in target;     /* where requests to this trunk go */
    char domain[LIMIT_NAME_BYTES]; /* host part of the Request-URI towards it; empty: the target's address */
};

enum config_trunk_name { CONFIG_TRUNK_CARRIER, CONFIG_TRUNK_CONTACT_CENTRE, CONFIG_TRUNKS };

enum config_mask_mode { CONFIG_MASK_NOISE, CONFIG_MASK_BEEP, CONFIG_MASK_MUTE };
enum config_engine { CONFIG_ENGINE_OWN, CONFIG_ENGINE_SPANDSP };

/* What becomes of a new payment while the gateway's circuit breaker is open (requirement S1-27). */
enum config_on_open { CONFIG_ON_OPEN_FALLBACK, CONFIG_ON_OPEN_QUEUE, CONFIG_ON_OPEN_AGENT };

struct config_gateway {
    char url[LIMIT_PATH_BYTES]; /* https:// only */
    char api_key_path[LIMIT_PATH_BYTES];
    char ca_path[LIMIT_PATH_BYTES];   /* empty: the system's */
    char connector[LIMIT_NAME_BYTES]; /* stripe, paypal, ..., rest, xml, aws; empty: by the host of url */
    char mapping[LIMIT_PATH_BYTES];   /* rest, xml, aws: the file that says how the gateway speaks */
    char region[LIMIT_NAME_BYTES];    /* what requests are signed for, where they are */
    char service[LIMIT_NAME_BYTES];
    char merchant[LIMIT_NAME_BYTES]; /* the merchant's account at the gateway, where it wants one */
    unsigned
        key_max_age_s; /* the key is read again when it is so old; 0: only when a store's key is refused */
    char proxy[LIMIT_PATH_BYTES];            /* http://HOST:PORT; empty: none */
    char certificate_path[LIMIT_PATH_BYTES]; /* our own, for a gateway that asks for one; with its key */
    char certificate_key_path[LIMIT_PATH_BYTES];
    bool sandbox;                      /* allows a loopback gateway; refuses live keys */
    char trace_path[LIMIT_PATH_BYTES]; /* payloads of test cards, with sandbox only; empty: none */
    bool is_off;                       /* enabled: false; no payment begins, what has begun ends */
    enum config_on_open on_open;       /* of the first gateway */
    unsigned create_timeout_ms;        /* requirement C1: 5000 */
    unsigned charge_timeout_ms;        /* requirement C1: 30000 */
    unsigned ceiling_ms;               /* a step with everything in it; requirement C1: 60000 */
    unsigned retries;                  /* requirement C2: 2 */
    unsigned create_retries;           /* requirement C2: 1 */
    unsigned retry_wait_ms;
    unsigned retry_factor; /* requirement C2: 2; 1 is always the same wait */
    unsigned slow_mark_ms; /* requirement S3-22: a step that takes longer is told as slow; 0: never */
    struct {
        unsigned slow_ms;  /* three exchanges in a row that took longer on average open it; 0: no breaker */
        unsigned failures; /* or so many unanswered in a row; 0: not counted */
        unsigned open_s;
    } breaker;
};

enum config_aws_credentials { CONFIG_AWS_STATIC, CONFIG_AWS_CONTAINER, CONFIG_AWS_INSTANCE };

/* Secret stores, for references that begin with vault: or aws:. What they need themselves are references of the other
 * kinds. */
struct config_secrets {
    struct {
        char url[LIMIT_PATH_BYTES]; /* empty: there is none */
        char token[LIMIT_PATH_BYTES];
        char name_space[LIMIT_NAME_BYTES];
        char ca_path[LIMIT_PATH_BYTES];
    } vault;
    struct {
        char region[LIMIT_NAME_BYTES]; /* empty: there is none */
        char url[LIMIT_PATH_BYTES];    /* empty: Amazon's for the region */
        char ca_path[LIMIT_PATH_BYTES];
        enum config_aws_credentials credentials;
        char key_id[LIMIT_PATH_BYTES]; /* STATIC */
        char key_secret[LIMIT_PATH_BYTES];
        char session_token[LIMIT_PATH_BYTES];
        char container[LIMIT_PATH_BYTES];    /* CONTAINER: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI's value */
        char metadata_url[LIMIT_PATH_BYTES]; /* sandbox only: where the machine's credentials are asked for */
    } aws;
};

struct config_api_token {
    char name[LIMIT_NAME_BYTES]; /* shown in audit lines */
    char path[LIMIT_PATH_BYTES]; /* file that holds the bearer token */
};

enum config_webhook_vendor {
    CONFIG_WEBHOOK_STRIPE,
    CONFIG_WEBHOOK_BRAINTREE,
    CONFIG_WEBHOOK_PAYPAL,
    CONFIG_WEBHOOK_ADYEN,
    CONFIG_WEBHOOK_WORLDPAY,
    CONFIG_WEBHOOK_VENDORS
};

/* What a payment gateway tells by itself, at POST /webhooks/... */
struct config_webhook {
    enum config_webhook_vendor vendor;
    char account
        [LIMIT_NAME_BYTES]; /* Braintree: the public key; PayPal: the webhook's id; Adyen: the merchant account
                                       (empty: any) */
    char key_paths[LIMIT_WEBHOOK_KEYS]
                  [LIMIT_PATH_BYTES]; /* references of base/secret_source.h; PayPal: paths of certificates */
    size_t key_count;
};

/* Who is told of what; bits of config_hook_target.events. */
enum config_hook_event {
    CONFIG_HOOK_PAYMENT = 1 << 0,
    CONFIG_HOOK_SUBSCRIPTION = 1 << 1,
    CONFIG_HOOK_REFUND = 1 << 2,
    CONFIG_HOOK_RECEIPT_SMS = 1 << 3,
    CONFIG_HOOK_RECEIPT_EMAIL = 1 << 4,
};

/* Where signed JSON goes when a payment has its end, and the like. */
struct config_hook_target {
    char name[LIMIT_NAME_BYTES];     /* shown on the page and in audit lines */
    char url[LIMIT_PATH_BYTES];      /* https:// only */
    char key_path[LIMIT_PATH_BYTES]; /* reference of base/secret_source.h */
    char ca_path[LIMIT_PATH_BYTES];  /* empty: the system's */
    unsigned events;                 /* enum config_hook_event */
};

/* Requirement C4: which of the vendor's interfaces pauses a recording. */
enum config_recording_api { CONFIG_RECORDING_STATE, CONFIG_RECORDING_SEED, CONFIG_RECORDING_OFF };

struct config {
    enum log_level log_level;
    enum log_format log_format;
    char user[LIMIT_NAME_BYTES];
    struct {
        struct config_listener listeners[LIMIT_SIP_LISTENERS];
        size_t listener_count;
        struct config_trunk trunks[CONFIG_TRUNKS];
        char crossing_headers[LIMIT_CROSSING_HEADERS]
                             [LIMIT_NAME_BYTES]; /* X- and User-to-User, that may cross */
        size_t crossing_header_count;
        char reference_header[LIMIT_NAME_BYTES]; /* whose value the desk shows as the call's reference */
        unsigned calls_max;                      /* more get 503 */
        unsigned stranger_rate;                  /* answers a second to all strangers together */
    } sip;
    struct {
        struct in_addr address; /* bound and written into SDP */
        uint16_t port_first;    /* even */
        uint16_t port_last;
        unsigned workers; /* 0: one per core */
        unsigned tick_us; /* 1000..20000 */
        unsigned lookahead_ms;
        enum config_mask_mode mode;
        enum config_engine engine;
        bool watch;       /* listens to what leaves armed legs, mutes when it hears a key */
        bool masking_off; /* leak check's negative control only; refused unless gateway.sandbox is true */
    } media;
    struct {
        char directory[LIMIT_PATH_BYTES]; /* two-channel WAV per call; empty: none */
        struct sockaddr_in
            rtp; /* port 0: none. Left channel (what the agent hears) to the port, right to port + 2 */
    } recorder;
    struct {
        unsigned idle_s;       /* no key for so long: capture ends as timed out */
        unsigned session_s;    /* longest capture */
        unsigned attempts_max; /* declines before it ends */
        uint32_t brands;       /* bits 1 << enum card_brand that are accepted */
    } capture;
    struct config_gateway gateway;
    struct config_gateway fallback; /* url empty: there is none */
    struct config_secrets secrets;
    struct config_hook_target hook_targets[LIMIT_HOOK_TARGETS];
    size_t hook_target_count;
    struct {
        char region[LIMIT_NAME_BYTES];      /* empty: no Genesys Cloud */
        char client_path[LIMIT_PATH_BYTES]; /* reference to "client id:secret" */
        char ca_path[LIMIT_PATH_BYTES];     /* empty: the system's */
        char test_url[LIMIT_PATH_BYTES];    /* instead of the region's addresses; with gateway.sandbox only */
        enum config_recording_api recording_api;
        bool reference_is_conversation; /* a call's reference is its conversation's id there */
    } genesys;
    struct {
        struct sockaddr_in listen;
        char certificate_path[LIMIT_PATH_BYTES];
        char key_path[LIMIT_PATH_BYTES];
        char database_path[LIMIT_PATH_BYTES];
        char audit_path[LIMIT_PATH_BYTES]; /* JSON lines, appended */
        struct config_api_token tokens[LIMIT_API_TOKENS];
        size_t token_count;
        struct config_webhook webhooks[LIMIT_WEBHOOKS];
        size_t webhook_count;
    } desk;
};

/* References to secrets of the gateway role, one after the other, some of them empty; NULL: no more. */
const char *config_gateway_secret(const struct config *config, size_t index);

#define CONFIG_ERROR_BYTES 512

/* text need not be terminated. name is what the message calls the file. On error config is untouched and message
 * (CONFIG_ERROR_BYTES) says "name:line: what was expected". ERR_SYNTAX, ERR_RANGE, ERR_MEMORY. */
MUST_USE enum err config_parse(struct config *config, const char *name, const char *text, size_t length,
                               char *message);

/* Reads the file and parses it; also ERR_SYSTEM, ERR_LENGTH. *text (may be NULL) receives the malloc'ed bytes. */
MUST_USE enum err config_load(struct config *config, const char *path, char **text, size_t *length,
                              char *message);

#endif
