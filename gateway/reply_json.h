/* Reading a gateway's JSON without believing it: what is not there or of another type is NULL. */
#ifndef TONEGATE_GATEWAY_REPLY_JSON_H
#define TONEGATE_GATEWAY_REPLY_JSON_H

#include "gateway/connector.h"

#include <jansson.h>
#include <stdbool.h>

/* NULL: no JSON, or a key twice in one object. The caller releases it with json_decref(). */
json_t *reply_parse(const struct connector_answer *answer);

/* NULL: object is none, or the value is no text. */
const char *reply_text(const json_t *object, const char *key);

bool reply_is(const json_t *object, const char *key, const char *expected);

/* Down through objects by keys, up to a NULL. */
json_t *reply_at(json_t *object, const char *const *keys);
#define REPLY_AT(object, ...) reply_at((object), (const char *const[]){__VA_ARGS__, NULL})

#endif
