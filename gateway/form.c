#include "gateway/form.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

void form_begin(struct form_writer *form, uint8_t *bytes, size_t capacity)
{
    *form = (struct form_writer){bytes, capacity, 0, OK};
}

static void put(struct form_writer *form, uint8_t byte)
{
    if (form->length == form->capacity)
        form->err = ERR_FULL;
    if (form->err)
        return;
    form->bytes[form->length++] = byte;
}

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '~';
}

static void put_key(struct form_writer *form, const char *key)
{
    if (form->length > 0)
        put(form, '&');
    for (; *key; key++)
        put(form, (uint8_t)*key);
    put(form, '=');
}

void form_text(struct form_writer *form, const char *key, const char *value)
{
    static const char hex[] = "0123456789ABCDEF";
    put_key(form, key);
    for (; *value; value++) {
        if (is_plain(*value)) {
            put(form, (uint8_t)*value);
            continue;
        }
        put(form, '%');
        put(form, (uint8_t)hex[(uint8_t)*value >> 4]);
        put(form, (uint8_t)hex[(uint8_t)*value & 15]);
    }
}

void form_number(struct form_writer *form, const char *key, int64_t value)
{
    char text[24];
    snprintf(text, sizeof(text), "%lld", (long long)value);
    form_text(form, key, text);
}

void form_digits(struct form_writer *form, const char *key, const uint8_t *digits, size_t count)
{
    put_key(form, key);
    for (size_t i = 0; i < count; i++) {
        if (digits[i] > 9)
            form->err = ERR_RANGE;
        put(form, (uint8_t)('0' + digits[i]));
    }
}

void form_read(struct form_reader *reader, char *bytes, size_t length)
{
    *reader = (struct form_reader){bytes, length, 0};
    bytes[length] = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Decodes length bytes in place and terminates them; the decoded text is never longer. */
static enum err decode(char *text, size_t length)
{
    size_t out = 0;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (c == '+') {
            c = ' ';
        } else if (c == '%') {
            bool is_whole = length - i > 2;
            int high = is_whole ? hex_value(text[i + 1]) : -1;
            int low = is_whole ? hex_value(text[i + 2]) : -1;
            if (high < 0 || low < 0)
                return ERR_SYNTAX;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (c == '\0')
            return ERR_SYNTAX;
        text[out++] = c;
    }
    memset(text + out, 0, length - out + 1);
    return OK;
}

enum err form_next(struct form_reader *reader, char **key, char **value)
{
    while (reader->at < reader->length && reader->bytes[reader->at] == '&')
        reader->at++;
    if (reader->at >= reader->length)
        return ERR_EMPTY;
    char *pair = reader->bytes + reader->at;
    size_t left = reader->length - reader->at;
    const char *end = memchr(pair, '&', left);
    size_t length = end ? (size_t)(end - pair) : left;
    reader->at += length + (end ? 1 : 0);
    char *equals = memchr(pair, '=', length);
    size_t key_length = equals ? (size_t)(equals - pair) : length;
    if (key_length == 0)
        return ERR_SYNTAX;
    static char nothing[1];
    *value = nothing;
    if (equals) {
        *value = equals + 1;
        if (decode(*value, length - key_length - 1))
            return ERR_SYNTAX;
    }
    *key = pair;
    return decode(pair, key_length);
}
