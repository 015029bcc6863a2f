/* JSON written into a caller's buffer; nothing is allocated, so a body with a card number lies in one place only. */
#ifndef TONEGATE_GATEWAY_JSON_WRITER_H
#define TONEGATE_GATEWAY_JSON_WRITER_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_WRITER_DEPTH 16

struct json_writer {
    uint8_t *bytes;
    size_t capacity;
    size_t length;
    enum err err; /* sticky: ERR_FULL, ERR_RANGE */
    unsigned depth;
    char closers[JSON_WRITER_DEPTH];
    bool needs_comma;
};

/* key: a constant that needs no escape; NULL inside an array and at the top. */
void json_begin(struct json_writer *json, uint8_t *bytes, size_t capacity);
void json_open_object(struct json_writer *json, const char *key);
void json_open_array(struct json_writer *json, const char *key);
void json_close(struct json_writer *json); /* the innermost */
void json_put_text(struct json_writer *json, const char *key, const char *value);
void json_put_number(struct json_writer *json, const char *key, int64_t value);
void json_put_bool(struct json_writer *json, const char *key, bool value);

/* digits: bytes 0..9, as the vault keeps them; written as a string. */
void json_put_digits(struct json_writer *json, const char *key, const uint8_t *digits, size_t count);

/* A value piece by piece: as a string, escaped, or bare (a number, true, false), as it stands. */
void json_begin_pieces(struct json_writer *json, const char *key, bool is_string);
void json_put_piece(struct json_writer *json, const char *text, size_t length);
void json_end_pieces(struct json_writer *json, bool is_string);

#endif
