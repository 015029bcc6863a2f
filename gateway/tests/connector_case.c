#include "gateway/tests/connector_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct gateway_tokenise_msg card = {
    .number_length = 16,
    .number = {4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1},
    .cvv_length = 3,
    .cvv = {7, 3, 7},
    .expiry_month = 2,
    .expiry_year = 34,
};

void case_begin(struct connector_case *this, const struct connector *connector, const char *token,
                const char *order_ref)
{
    memset(this, 0, sizeof(*this));
    this->connector = connector;
    this->step = (struct connector_step){
        .capture_id = 0x10, .call_id = 0x20, .attempt = 1, .amount_minor = 1999, .currency = "USD"};
    snprintf(this->step.token, sizeof(this->step.token), "%s", token);
    snprintf(this->step.order_ref, sizeof(this->step.order_ref), "%s", order_ref);
}

void case_step(struct connector_case *this, enum connector_operation operation)
{
    this->step.operation = operation;
    this->step.card = operation == CONNECTOR_TOKENISE ? &card : NULL;
    case_round(this, 0, "");
}

void case_round(struct connector_case *this, unsigned round, const char *carry)
{
    this->step.round = round;
    snprintf(this->step.carry, sizeof(this->step.carry), "%s", carry);
    if (round > 0)
        this->step.card = NULL;
}

enum err case_build(struct connector_case *this)
{
    memset(&this->request, 0, sizeof(this->request));
    assert_int_equal(secret_new(&this->request.body, CONNECTOR_BODY_BYTES - 64), OK);
    enum err err = this->connector->build(&this->account, &this->step, &this->request, &this->verdict);
    snprintf(this->body, sizeof(this->body), "%.*s", (int)secret_length(this->request.body),
             (const char *)secret_bytes(this->request.body));
    secret_free(this->request.body);
    this->request.body = NULL;
    return err;
}

void case_says(struct connector_case *this, const char *method, const char *path, const char *body)
{
    assert_int_equal(case_build(this), OK);
    assert_string_equal(this->request.method, method);
    assert_string_equal(this->request.path, path);
    assert_string_equal(this->body, body);
}

void case_hear(struct connector_case *this, unsigned status, const char *headers, const char *body)
{
    const struct connector_answer answer = {status, (const uint8_t *)body, strlen(body), headers};
    memset(&this->verdict, 0xee, sizeof(this->verdict));
    this->connector->read(&this->account, &this->step, &answer, &this->verdict);
}

void case_expect(const struct connector_case *this, enum gateway_outcome outcome,
                 enum gateway_order_state state, enum gateway_reason reason)
{
    assert_string_equal(gateway_outcome_name(this->verdict.outcome), gateway_outcome_name(outcome));
    assert_string_equal(gateway_reason_name(this->verdict.reason), gateway_reason_name(reason));
    assert_int_equal(this->verdict.order_state, state);
}
