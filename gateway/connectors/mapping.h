/* A payment system described in a file instead of in code: what each step's request looks like and where the answer says
 * what became of it. The connectors rest, aws and xml (generic.h) speak by it. The format is told in gateway/README.md,
 * "Any REST or XML gateway without code"; everything in the file is checked when it is read, so that a mistake stops the
 * start and not a payment.
 *
 * A card value may stand in the body of TOKENISE and nowhere else: one in a path, query or header is refused here.
 * Nothing in a mapping is secret. Thread: read only once loaded. */
#ifndef TONEGATE_GATEWAY_MAPPING_H
#define TONEGATE_GATEWAY_MAPPING_H

#include "gateway/connector.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAPPING_ERROR_BYTES  512
#define MAPPING_FIELDS_MAX   256
#define MAPPING_RESULTS_MAX  128
#define MAPPING_TEXT_BYTES   24576  /* every name, path and value of a file */
#define MAPPING_KEY_BYTES    96     /* of a dotted path */
#define MAPPING_VALUE_BYTES  256    /* of a value as it stands in the file */
#define MAPPING_DEPTH        8      /* of objects in objects */
#define MAPPING_SESSION_MARK '\x01' /* where the session goes in a body that is held for it */

enum mapping_format { MAPPING_JSON, MAPPING_XML };

enum mapping_auth {
    MAPPING_BEARER, /* the key, or its part before ':' where second_header takes the rest */
    MAPPING_BASIC,  /* "user:password" */
    MAPPING_HEADER, /* the key in a header of its own */
    MAPPING_OAUTH,  /* "client id:secret" buys an access token (RFC 6749 §4.4) */
    MAPPING_NONE,
    MAPPING_SIGV4, /* AWS; region and service are the configuration's */
};

struct mapping_field {
    const char *path;  /* dotted; the name of a header */
    const char *value; /* with {names} of the vocabulary (mapping_value.h) */
    bool is_bare;      /* true, false or a number, as it stands */
};

struct mapping_request {
    const char *method; /* NULL: there is none */
    const char *path;
    size_t header_first, header_count; /* of mapping->fields */
    size_t body_first, body_count;
};

/* Dotted paths into an answer; NULL: not told there. */
struct mapping_answer {
    const char *token, *ref, *order, *status, *error, *amount, *currency, *url;
};

/* The first row that fits decides. */
struct mapping_result {
    unsigned http_from, http_to; /* 0..599 where the row names none, 200..299 if it says done */
    const char *status, *error;  /* NULL: whatever; "*": there; "": not there */
    enum gateway_outcome outcome;
    enum gateway_order_state state;
    enum gateway_reason reason;
    bool may_repeat;
};

struct mapping_operation {
    struct mapping_request request;
    struct mapping_request session; /* fetched right before the card is sent; method NULL: none */
    const char *session_token;      /* where its answer has the token */
    struct mapping_answer answer;
    size_t result_first, result_count;
    bool says_when_to_capture; /* the request tells an authorisation from a charge */
};

struct mapping {
    enum mapping_format format;
    enum mapping_auth auth;
    const char *auth_header;   /* MAPPING_HEADER */
    const char *second_header; /* NULL: none */
    const char *login_path;    /* MAPPING_OAUTH */
    const char *login_scope;   /* NULL: none */
    const char *content_type, *accept;
    const char *xml_root;
    const char *idempotency_header; /* NULL: none */
    bool is_replay_safe;            /* by that header or by a field */
    bool is_decimal_amount;         /* amounts of answers are "10.00", not 1000 */
    bool takes_numbers;             /* references may be long numbers */
    size_t header_first, header_count;
    size_t result_first, result_count;
    struct mapping_operation operations[CONNECTOR_OPERATIONS];
    struct mapping_field fields[MAPPING_FIELDS_MAX];
    size_t field_count;
    struct mapping_result results[MAPPING_RESULTS_MAX];
    size_t row_count;
    char text[MAPPING_TEXT_BYTES];
    size_t text_length;
    struct connector
        connector; /* as this mapping makes it: what it can do, whether it may repeat, whether it logs in */
};

/* text need not be terminated. name is what the message calls the file. *out owns itself until mapping_free(). On error
 * *out is NULL and message (MAPPING_ERROR_BYTES) says "name:line: what was expected". ERR_SYNTAX, ERR_LENGTH, ERR_MEMORY. */
MUST_USE enum err mapping_parse(struct mapping **out, const char *name, const char *text, size_t length,
                                char *message);

/* Reads the file and parses it; also ERR_SYSTEM. */
MUST_USE enum err mapping_load(struct mapping **out, const char *path, char *message);

/* NULL is accepted. */
void mapping_free(const struct mapping *mapping);

#endif
