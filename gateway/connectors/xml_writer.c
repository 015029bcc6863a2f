#include "gateway/connectors/xml_writer.h"

#include <string.h>

void xml_put_byte(struct xml_writer *xml, uint8_t byte)
{
    if (xml->length == xml->capacity)
        xml->err = ERR_FULL;
    if (!xml->err)
        xml->bytes[xml->length++] = byte;
}

static void put_plain(struct xml_writer *xml, const char *text)
{
    for (; *text; text++)
        xml_put_byte(xml, (uint8_t)*text);
}

void xml_begin(struct xml_writer *xml, uint8_t *bytes, size_t capacity)
{
    memset(xml, 0, sizeof(*xml));
    xml->bytes = bytes;
    xml->capacity = capacity;
    put_plain(xml, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
}

void xml_open(struct xml_writer *xml, const char *name, size_t length)
{
    ASSERT(xml->depth < XML_WRITER_DEPTH && length < XML_WRITER_NAME_BYTES);
    char *own = xml->names[xml->depth++];
    memcpy(own, name, length);
    own[length] = '\0';
    put_plain(xml, "<");
    put_plain(xml, own);
    put_plain(xml, ">");
}

void xml_close(struct xml_writer *xml)
{
    ASSERT(xml->depth > 0);
    put_plain(xml, "</");
    put_plain(xml, xml->names[--xml->depth]);
    put_plain(xml, ">");
}

void xml_put_text(struct xml_writer *xml, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        switch (text[i]) {
        case '&':
            put_plain(xml, "&amp;");
            break;
        case '<':
            put_plain(xml, "&lt;");
            break;
        case '>':
            put_plain(xml, "&gt;");
            break;
        case '"':
            put_plain(xml, "&quot;");
            break;
        default:
            if ((uint8_t)text[i] < 0x20)
                xml->err = ERR_RANGE;
            xml_put_byte(xml, (uint8_t)text[i]);
        }
    }
}
