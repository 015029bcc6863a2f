#include "gateway/connectors/mapping_body.h"

#include "gateway/connectors/xml_writer.h"
#include "gateway/json_writer.h"

#include <string.h>

/* JSON and XML behind one face. */
struct body {
    bool is_xml;
    struct json_writer json;
    struct xml_writer xml;
};

static size_t segment_length(const char *segment)
{
    return strcspn(segment, ".");
}

static bool is_index(const char *segment)
{
    return strspn(segment, "0123456789") >= segment_length(segment);
}

/* Name of a segment for JSON: NULL inside a list. */
static const char *key_of(const char *segment, char *name)
{
    size_t length = segment_length(segment);
    memcpy(name, segment, length);
    name[length] = '\0';
    return is_index(segment) ? NULL : name;
}

static void open_parent(struct body *body, const char *segment)
{
    char name[LIMIT_NAME_BYTES];
    const char *next = segment + segment_length(segment) + 1;
    if (body->is_xml)
        xml_open(&body->xml, segment, segment_length(segment));
    else if (is_index(next))
        json_open_array(&body->json, key_of(segment, name));
    else
        json_open_object(&body->json, key_of(segment, name));
}

static void close_parent(struct body *body)
{
    if (body->is_xml)
        xml_close(&body->xml);
    else
        json_close(&body->json);
}

static size_t count_dots(const char *path, size_t length)
{
    size_t dots = 0;
    for (size_t i = 0; i < length; i++)
        dots += path[i] == '.';
    return dots;
}

/* Closes and opens parents until path's last segment can be written; gives that segment. */
static const char *go_to(struct body *body, const char *before, const char *path)
{
    size_t shared = 0;
    for (size_t i = 0; before[i] && before[i] == path[i]; i++) {
        if (path[i] == '.')
            shared = i + 1;
    }
    for (size_t up = count_dots(before + shared, strlen(before + shared)); up > 0; up--)
        close_parent(body);
    const char *segment = path + shared;
    for (const char *dot; (dot = strchr(segment, '.')); segment = dot + 1)
        open_parent(body, segment);
    return segment;
}

static void put_piece(void *writer, const char *text, size_t length)
{
    struct body *body = writer;
    bool is_mark = length == 1 && text[0] == MAPPING_SESSION_MARK;
    if (body->is_xml && is_mark)
        xml_put_byte(&body->xml, (uint8_t)MAPPING_SESSION_MARK);
    else if (body->is_xml)
        xml_put_text(&body->xml, text, length);
    else
        json_put_piece(&body->json, text, length);
}

static enum err put_value(struct body *body, const struct mapping_field *field, const char *segment,
                          const struct mapping_source *source)
{
    char name[LIMIT_NAME_BYTES];
    if (body->is_xml)
        xml_open(&body->xml, segment, segment_length(segment));
    else
        json_begin_pieces(&body->json, key_of(segment, name), !field->is_bare);
    enum err err = mapping_value_put(field->value, source, put_piece, body);
    if (body->is_xml)
        xml_close(&body->xml);
    else
        json_end_pieces(&body->json, !field->is_bare);
    return err;
}

static void forget(void *writer, const char *text, size_t length)
{
    (void)writer;
    (void)text;
    (void)length;
}

static enum err put_fields(struct body *body, const struct mapping *mapping,
                           const struct mapping_request *request, const struct mapping_source *source)
{
    const char *before = "";
    for (size_t i = 0; i < request->body_count; i++) {
        const struct mapping_field *field = &mapping->fields[request->body_first + i];
        enum err err = mapping_value_put(field->value, source, forget, NULL);
        if (err == ERR_EMPTY)
            continue;
        if (!err)
            err = put_value(body, field, go_to(body, before, field->path), source);
        if (err)
            return err;
        before = field->path;
    }
    for (size_t up = count_dots(before, strlen(before)); up > 0; up--)
        close_parent(body);
    return OK;
}

enum err mapping_body_put(const struct mapping *mapping, const struct mapping_request *request,
                          const struct mapping_source *source, struct secret *body)
{
    struct body writer = {.is_xml = mapping->format == MAPPING_XML};
    size_t capacity;
    uint8_t *bytes = secret_buffer(body, &capacity);
    if (request->body_count == 0)
        return OK;
    if (writer.is_xml) {
        xml_begin(&writer.xml, bytes, capacity);
        xml_open(&writer.xml, mapping->xml_root, strlen(mapping->xml_root));
    } else {
        json_begin(&writer.json, bytes, capacity);
        json_open_object(&writer.json, NULL);
    }
    enum err err = put_fields(&writer, mapping, request, source);
    if (err) {
        secret_wipe(body);
        return err;
    }
    close_parent(&writer);
    secret_set_length(body, writer.is_xml ? writer.xml.length : writer.json.length);
    return writer.is_xml ? writer.xml.err : writer.json.err;
}

enum err mapping_body_release(struct secret *held, const char *session, struct secret *body)
{
    const uint8_t *from = secret_bytes(held);
    size_t length = secret_length(held);
    enum err err = strpbrk(session, "\"\\<>&") ? ERR_SYNTAX : OK;
    for (size_t i = 0; i < length && !err; i++) {
        if (from[i] != (uint8_t)MAPPING_SESSION_MARK) {
            err = secret_append(body, from[i]);
            continue;
        }
        for (const char *c = session; *c && !err; c++)
            err = secret_append(body, (uint8_t)*c);
    }
    secret_wipe(held);
    if (err)
        secret_wipe(body);
    return err;
}
