#include "gateway/json_writer.h"

#include <stdio.h>
#include <string.h>

void json_begin(struct json_writer *json, uint8_t *bytes, size_t capacity)
{
    memset(json, 0, sizeof(*json));
    json->bytes = bytes;
    json->capacity = capacity;
}

static void put(struct json_writer *json, uint8_t byte)
{
    if (json->length == json->capacity)
        json->err = ERR_FULL;
    if (!json->err)
        json->bytes[json->length++] = byte;
}

static void put_plain(struct json_writer *json, const char *text)
{
    for (; *text; text++)
        put(json, (uint8_t)*text);
}

static void put_quoted(struct json_writer *json, const char *text)
{
    char escape[8];
    put(json, '"');
    for (; *text; text++) {
        if ((uint8_t)*text < 0x20) {
            snprintf(escape, sizeof(escape), "\\u%04x", (unsigned)(uint8_t)*text);
            put_plain(json, escape);
            continue;
        }
        if (*text == '"' || *text == '\\')
            put(json, '\\');
        put(json, (uint8_t)*text);
    }
    put(json, '"');
}

static void put_key(struct json_writer *json, const char *key)
{
    if (json->needs_comma)
        put(json, ',');
    json->needs_comma = true;
    if (!key)
        return;
    put_quoted(json, key);
    put(json, ':');
}

static void open_with(struct json_writer *json, const char *key, char opener, char closer)
{
    put_key(json, key);
    put(json, (uint8_t)opener);
    ASSERT(json->depth < JSON_WRITER_DEPTH);
    json->closers[json->depth++] = closer;
    json->needs_comma = false;
}

void json_open_object(struct json_writer *json, const char *key)
{
    open_with(json, key, '{', '}');
}

void json_open_array(struct json_writer *json, const char *key)
{
    open_with(json, key, '[', ']');
}

void json_close(struct json_writer *json)
{
    ASSERT(json->depth > 0);
    put(json, (uint8_t)json->closers[--json->depth]);
    json->needs_comma = true;
}

void json_put_text(struct json_writer *json, const char *key, const char *value)
{
    put_key(json, key);
    put_quoted(json, value);
}

void json_put_number(struct json_writer *json, const char *key, int64_t value)
{
    char text[24];
    snprintf(text, sizeof(text), "%lld", (long long)value);
    put_key(json, key);
    put_plain(json, text);
}

void json_put_bool(struct json_writer *json, const char *key, bool value)
{
    put_key(json, key);
    put_plain(json, value ? "true" : "false");
}

void json_put_digits(struct json_writer *json, const char *key, const uint8_t *digits, size_t count)
{
    put_key(json, key);
    put(json, '"');
    for (size_t i = 0; i < count; i++) {
        if (digits[i] > 9)
            json->err = ERR_RANGE;
        put(json, (uint8_t)('0' + digits[i]));
    }
    put(json, '"');
}

void json_begin_pieces(struct json_writer *json, const char *key, bool is_string)
{
    put_key(json, key);
    if (is_string)
        put(json, '"');
}

void json_put_piece(struct json_writer *json, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '"' || text[i] == '\\')
            put(json, '\\');
        put(json, (uint8_t)text[i]);
    }
}

void json_end_pieces(struct json_writer *json, bool is_string)
{
    if (is_string)
        put(json, '"');
}
