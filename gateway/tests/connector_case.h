/* What the row-by-row tests of the connectors share: a step said and an answer heard, without a network. */
#ifndef TONEGATE_GATEWAY_TESTS_CONNECTOR_CASE_H
#define TONEGATE_GATEWAY_TESTS_CONNECTOR_CASE_H

#include "gateway/connector.h"

struct connector_case {
    const struct connector *connector;
    struct connector_account account;
    struct connector_step step;
    struct connector_request request; /* as the last case_build() left it */
    struct connector_verdict verdict; /* as build() or the last case_hear() left it */
    char body[CONNECTOR_BODY_BYTES];  /* of the request, terminated */
};

/* capture 0x10, call 0x20, attempt 1, 19.99 USD; token and order_ref as given. */
void case_begin(struct connector_case *this, const struct connector *connector, const char *token,
                const char *order_ref);

/* The step's operation from now on, in its first round. TOKENISE comes with the card `number`. */
void case_step(struct connector_case *this, enum connector_operation operation);
void case_round(struct connector_case *this, unsigned round, const char *carry);

enum err case_build(struct connector_case *this);

/* Fails the test unless the step is built as this. */
void case_says(struct connector_case *this, const char *method, const char *path, const char *body);

void case_hear(struct connector_case *this, unsigned status, const char *headers, const char *body);

/* Fails the test unless the verdict is this. */
void case_expect(const struct connector_case *this, enum gateway_outcome outcome,
                 enum gateway_order_state state, enum gateway_reason reason);

#define CASE_NUMBER "4111111111111111"

#endif
