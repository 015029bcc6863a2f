#include "gateway/connectors/mapping_priv.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool is_header_name(const char *name)
{
    static const char *const ours[] = {"Host",          "Content-Length",    "Content-Type",
                                       "Accept",        "Connection",        "Expect",
                                       "Authorization", "Transfer-Encoding", "Proxy-Authorization"};
    size_t length = strlen(name);
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
        if (strcasecmp(name, ours[i]) == 0)
            return false;
    }
    for (const char *c = name; *c; c++) {
        if (!isalnum((unsigned char)*c) && *c != '-' && *c != '_')
            return false;
    }
    return length > 0 && length < LIMIT_NAME_BYTES;
}

enum err mapping_read_header_name(struct mapping_reader *reader, yaml_node_t *node, void *target,
                                  const struct mapping_key *key)
{
    const char *text = mapping_scalar(reader, node, key->name);
    if (!text)
        return ERR_SYNTAX;
    if (!is_header_name(text))
        return mapping_complain(reader, mapping_line_of(node),
                                "%s: \"%.60s\" is no header that a mapping may set", key->name, text);
    return mapping_save(reader, node, text, target);
}

static enum err check_value(struct mapping_reader *reader, const yaml_node_t *node, const char *what,
                            const char *value, enum mapping_place place)
{
    char why[160];
    reader->position.place = place;
    if (mapping_value_check(value, &reader->position, &reader->use, why, sizeof(why)) != OK)
        return mapping_complain(reader, mapping_line_of(node), "%s: %s", what, why);
    return OK;
}

enum err mapping_read_path(struct mapping_reader *reader, yaml_node_t *node, void *target,
                           const struct mapping_key *key)
{
    const char *text = mapping_scalar(reader, node, key->name);
    if (!text)
        return ERR_SYNTAX;
    bool is_good = text[0] == '/' && strlen(text) < CONNECTOR_PATH_BYTES && !strstr(text, "..");
    for (const char *c = text; *c; c++)
        is_good = is_good && (unsigned char)*c > 0x20 && (unsigned char)*c < 0x7f && !strchr("#\"<>\\^`", *c);
    if (!is_good)
        return mapping_complain(reader, mapping_line_of(node),
                                "%s: expected a path that begins with / and is escaped, of at most %d bytes",
                                key->name, CONNECTOR_PATH_BYTES - 1);
    enum err err = check_value(reader, node, key->name, text, MAPPING_IN_PATH);
    return err ? err : mapping_save(reader, node, text, target);
}

enum err mapping_read_method(struct mapping_reader *reader, yaml_node_t *node, void *target,
                             const struct mapping_key *key)
{
    static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
    const char *text = mapping_scalar(reader, node, key->name);
    if (!text)
        return ERR_SYNTAX;
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (strcmp(text, methods[i]) == 0) {
            *(const char **)target = methods[i];
            return OK;
        }
    }
    return mapping_complain(reader, mapping_line_of(node),
                            "method: expected one of GET POST PUT PATCH DELETE, found \"%.20s\"", text);
}

static enum err add_field(const struct mapping_reader *reader, const yaml_node_t *node, const char *path,
                          const char *value, bool is_bare)
{
    struct mapping *mapping = reader->mapping;
    if (mapping->field_count == MAPPING_FIELDS_MAX)
        return mapping_complain(reader, mapping_line_of(node), "the file has more than %d fields and headers",
                                MAPPING_FIELDS_MAX);
    struct mapping_field *field = &mapping->fields[mapping->field_count++];
    enum err err = mapping_save(reader, node, path, &field->path);
    if (!err)
        err = mapping_save(reader, node, value, &field->value);
    field->is_bare = is_bare;
    return err;
}

static enum err read_header(struct mapping_reader *reader, const yaml_node_t *name_node,
                            const yaml_node_t *value_node)
{
    const char *name = mapping_scalar(reader, name_node, "headers");
    const char *value = name ? mapping_scalar(reader, value_node, name) : NULL;
    if (!value)
        return ERR_SYNTAX;
    if (!is_header_name(name) || *value == '\0')
        return mapping_complain(reader, mapping_line_of(name_node),
                                "headers: \"%.60s\" is no header that a mapping may set, or is empty", name);
    enum err err = check_value(reader, value_node, name, value, MAPPING_IN_HEADER);
    return err ? err : add_field(reader, value_node, name, value, false);
}

enum err mapping_read_headers(struct mapping_reader *reader, yaml_node_t *node, void *target,
                              const struct mapping_key *key)
{
    size_t *first_and_count = target;
    (void)key;
    if (node->type != YAML_MAPPING_NODE)
        return mapping_complain(reader, mapping_line_of(node), "headers: expected a mapping");
    first_and_count[0] = reader->mapping->field_count;
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top;
         pair++) {
        enum err err = read_header(reader, yaml_document_get_node(&reader->document, pair->key),
                                   yaml_document_get_node(&reader->document, pair->value));
        if (err)
            return err;
    }
    first_and_count[1] = reader->mapping->field_count - first_and_count[0];
    return OK;
}

static bool is_number(const char *text)
{
    const char *digits = text[0] == '-' ? text + 1 : text;
    size_t length = strspn(digits, "0123456789");
    return length > 0 && length < 16 && digits[length] == '\0' && (digits[0] != '0' || length == 1);
}

bool mapping_is_segment(const struct mapping *mapping, const char *start, size_t length)
{
    bool is_name = mapping->format == MAPPING_JSON || isalpha((unsigned char)start[0]) || start[0] == '_';
    for (size_t i = 0; i < length; i++)
        is_name = is_name && (isalnum((unsigned char)start[i]) || strchr("_-", start[i]) ||
                              (mapping->format == MAPPING_JSON && strchr("$@:", start[i])));
    return length > 0 && length < LIMIT_NAME_BYTES && is_name;
}

/* Segments that every one is a name the format can have, at most MAPPING_DEPTH. */
static bool is_field_path(const struct mapping *mapping, const char *path)
{
    size_t depth = 0;
    for (const char *at = path;; at++) {
        size_t length = strcspn(at, ".");
        if (++depth > MAPPING_DEPTH || !mapping_is_segment(mapping, at, length))
            return false;
        at += length;
        if (*at == '\0')
            return true;
    }
}

/* Length of what two paths have in common as parents, to the last dot. */
static size_t shared_parents(const char *one, const char *other)
{
    size_t dot = 0;
    for (size_t i = 0; one[i] && one[i] == other[i]; i++) {
        if (one[i] == '.')
            dot = i + 1;
    }
    return dot;
}

static bool is_index(const char *segment)
{
    size_t length = strcspn(segment, ".");
    return length > 0 && strspn(segment, "0123456789") >= length;
}

/* The body is written in the order of the file: an object that was left cannot be entered again. */
static const char *check_order(const struct mapping *mapping, size_t first)
{
    const char *last = mapping->fields[mapping->field_count - 1].path;
    size_t length = strlen(last);
    bool is_first = mapping->field_count - 1 == first;
    const char *before = is_first ? "" : mapping->fields[mapping->field_count - 2].path;
    size_t near = shared_parents(before, last);
    if (is_index(last) || (!is_first && is_index(before + near) != is_index(last + near)))
        return "is a list in one place and an object in another";
    for (size_t i = first; i + 1 < mapping->field_count; i++) {
        const char *other = mapping->fields[i].path;
        size_t other_length = strlen(other);
        size_t shorter = length < other_length ? length : other_length;
        bool is_inside = strncmp(other, last, shorter) == 0 &&
                         (length == other_length || (length < other_length ? other : last)[shorter] == '.');
        if (is_inside)
            return "stands twice, or is a value and an object";
        if (shared_parents(other, last) > near)
            return "belongs to an object that other fields ended: put its fields together";
    }
    return NULL;
}

static enum err read_body_level(struct mapping_reader *reader, const yaml_node_t *node, const char *prefix,
                                size_t first, unsigned depth);

static enum err read_body_field(struct mapping_reader *reader, const yaml_node_t *value_node,
                                const char *path, size_t first, unsigned depth)
{
    if (value_node->type == YAML_MAPPING_NODE)
        return read_body_level(reader, value_node, path, first, depth + 1);
    const char *value = mapping_scalar(reader, value_node, path);
    if (!value)
        return ERR_SYNTAX;
    if (!is_field_path(reader->mapping, path))
        return mapping_complain(reader, mapping_line_of(value_node),
                                "body: \"%.90s\" is no field: names of letters, digits, _ and -, "
                                "at most %d deep",
                                path, MAPPING_DEPTH);
    bool is_bare = mapping_is_plain(value_node) &&
                   (is_number(value) || strcmp(value, "true") == 0 || strcmp(value, "false") == 0);
    enum err err = check_value(reader, value_node, path, value, MAPPING_IN_BODY);
    if (!err)
        err = add_field(reader, value_node, path, value, is_bare || mapping_value_is_bare(value));
    const char *wrong = err ? NULL : check_order(reader->mapping, first);
    reader->has_card |= strstr(value, "{card.number}") != NULL;
    return wrong ? mapping_complain(reader, mapping_line_of(value_node), "body: \"%.90s\" %s", path, wrong)
                 : err;
}

static enum err read_body_level(struct mapping_reader *reader, const yaml_node_t *node, const char *prefix,
                                size_t first, unsigned depth)
{
    if (node->type != YAML_MAPPING_NODE || depth > MAPPING_DEPTH ||
        node->data.mapping.pairs.start == node->data.mapping.pairs.top)
        return mapping_complain(reader, mapping_line_of(node),
                                "body: expected a mapping that is not empty, of at most %d levels",
                                MAPPING_DEPTH);
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top;
         pair++) {
        char path[MAPPING_KEY_BYTES];
        const yaml_node_t *name_node = yaml_document_get_node(&reader->document, pair->key);
        const char *name = mapping_scalar(reader, name_node, "body");
        if (!name)
            return ERR_SYNTAX;
        int length = snprintf(path, sizeof(path), "%s%s%s", prefix, *prefix ? "." : "", name);
        if (length < 0 || (size_t)length >= sizeof(path))
            return mapping_complain(reader, mapping_line_of(name_node), "body: a path has at most %d bytes",
                                    MAPPING_KEY_BYTES - 1);
        enum err err = read_body_field(reader, yaml_document_get_node(&reader->document, pair->value), path,
                                       first, depth);
        if (err)
            return err;
    }
    return OK;
}

enum err mapping_read_body(struct mapping_reader *reader, yaml_node_t *node, void *target,
                           const struct mapping_key *key)
{
    size_t *first_and_count = target;
    (void)key;
    first_and_count[0] = reader->mapping->field_count;
    enum err err = read_body_level(reader, node, "", first_and_count[0], 1);
    first_and_count[1] = reader->mapping->field_count - first_and_count[0];
    return err;
}
