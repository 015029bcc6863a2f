/* A secret that a store sends in JSON: checked and moved into memory of its own. */
#ifndef TONEGATE_GATEWAY_REPLY_SECRET_H
#define TONEGATE_GATEWAY_REPLY_SECRET_H

#include "base/secret.h"

#include <jansson.h>

/* Takes a text of printable ASCII; white space at its end is not part of it. value is emptied, then filled.
 * ERR_NOT_FOUND: json is NULL. ERR_SYNTAX: no text, or a byte that no key has. ERR_LENGTH: empty, or too long. */
MUST_USE enum err reply_secret(const json_t *json, struct secret *value);

#endif
