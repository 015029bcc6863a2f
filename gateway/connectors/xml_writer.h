/* XML written into a caller's buffer; nothing is allocated, so a body with a card number lies in one place only.
 * Elements and text, no attributes, no namespaces: what a request needs. */
#ifndef TONEGATE_GATEWAY_XML_WRITER_H
#define TONEGATE_GATEWAY_XML_WRITER_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

#define XML_WRITER_DEPTH      12
#define XML_WRITER_NAME_BYTES 64

struct xml_writer {
    uint8_t *bytes;
    size_t capacity;
    size_t length;
    enum err err; /* sticky: ERR_FULL; ERR_RANGE (a byte that XML cannot hold) */
    unsigned depth;
    char names[XML_WRITER_DEPTH][XML_WRITER_NAME_BYTES];
};

/* Writes the declaration. */
void xml_begin(struct xml_writer *xml, uint8_t *bytes, size_t capacity);

/* name: letters, digits, '_' and '-'; length below XML_WRITER_NAME_BYTES. */
void xml_open(struct xml_writer *xml, const char *name, size_t length);
void xml_close(struct xml_writer *xml); /* the innermost */

/* Text of the innermost element, escaped; may be called piece by piece. */
void xml_put_text(struct xml_writer *xml, const char *text, size_t length);

/* One byte as it is. */
void xml_put_byte(struct xml_writer *xml, uint8_t byte);

#endif
