#include "gateway/keys/reply_secret.h"

#include <string.h>

enum err reply_secret(const json_t *json, struct secret *value)
{
    size_t capacity;
    uint8_t *bytes = secret_buffer(value, &capacity);
    secret_wipe(value);
    if (!json)
        return ERR_NOT_FOUND;
    if (!json_is_string(json))
        return ERR_SYNTAX;
    const char *text = json_string_value(json);
    size_t length = json_string_length(json);
    while (length > 0 && strchr(" \t\r\n", text[length - 1]) && text[length - 1])
        length--;
    if (length == 0 || length > capacity)
        return ERR_LENGTH;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < 0x20 || text[i] > 0x7e)
            return ERR_SYNTAX;
    }
    memcpy(bytes, text, length);
    secret_set_length(value, length);
    return OK;
}
