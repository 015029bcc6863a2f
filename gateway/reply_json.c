#include "gateway/reply_json.h"

#include <string.h>

json_t *reply_parse(const struct connector_answer *answer)
{
    json_error_t error;
    json_t *root =
        json_loadb((const char *)answer->body, answer->body_length, JSON_REJECT_DUPLICATES, &error);
    wipe(&error, sizeof(error)); /* it quotes the place it stumbled over */
    return root;
}

const char *reply_text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

bool reply_is(const json_t *object, const char *key, const char *expected)
{
    const char *text = reply_text(object, key);
    return text && strcmp(text, expected) == 0;
}

json_t *reply_at(json_t *object, const char *const *keys)
{
    for (; object && *keys; keys++)
        object = json_object_get(object, *keys);
    return object;
}
