/* application/x-www-form-urlencoded, written and read within a caller's buffer; nothing is allocated, so a form with a
 * card number lies in one place only. */
#ifndef TONEGATE_GATEWAY_FORM_H
#define TONEGATE_GATEWAY_FORM_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct form_writer {
    uint8_t *bytes;
    size_t capacity;
    size_t length;
    enum err err; /* sticky: ERR_FULL */
};

void form_begin(struct form_writer *form, uint8_t *bytes, size_t capacity);

/* key is a constant that needs no escape (brackets are left as they are). value: any text. */
void form_text(struct form_writer *form, const char *key, const char *value);
void form_number(struct form_writer *form, const char *key, int64_t value);

/* digits: bytes 0..9, as the vault keeps them; anything else is ERR_RANGE. */
void form_digits(struct form_writer *form, const char *key, const uint8_t *digits, size_t count);

/* Reading: one pair after the other, decoded in place. key and value are terminated and lie in bytes, so the buffer
 * shrinks as it is read. */
struct form_reader {
    char *bytes; /* length + 1 bytes, the caller's; overwritten */
    size_t length;
    size_t at;
};

void form_read(struct form_reader *reader, char *bytes, size_t length);

/* ERR_EMPTY at the end; ERR_SYNTAX: a bad escape, an escaped zero, or an empty key. */
MUST_USE enum err form_next(struct form_reader *reader, char **key, char **value);

#endif
