/* The body of POST /v1/captures: JSON in, an order to capture out. Pure. */
#ifndef TONEGATE_CAPTURE_DESK_CAPTURE_REQUEST_H
#define TONEGATE_CAPTURE_DESK_CAPTURE_REQUEST_H

#include "base/err.h"
#include "base/limits.h"
#include "capture/capture_msg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct capture_request {
    uint64_t call_id; /* 0: not given */
    char reference[LIMIT_CALL_REFERENCE_BYTES];
    char callee[LIMIT_CALL_REFERENCE_BYTES];
    enum capture_kind kind;
    int64_t amount_minor; /* 0 and no currency: a token is all that is wanted */
    char currency[4];
    /* The telephone platform's names for call and caller, and where receipts go; may all be empty. */
    char conversation[LIMIT_NAME_BYTES];
    char participant[LIMIT_NAME_BYTES];
    char sms[LIMIT_NAME_BYTES]; /* "+" and 6 to 15 digits */
    char email[LIMIT_TOKEN_BYTES];
};

#define CAPTURE_REQUEST_MESSAGE_BYTES 256

/* message says for people what is wrong; it never repeats a value of the body. code is a constant for programs.
 * ERR_SYNTAX (no JSON object: 400), ERR_RANGE (a member is wrong: 422). */
MUST_USE enum err capture_request_read(struct capture_request *request, const char *body, size_t length,
                                       const char **code, char *message);

#endif
