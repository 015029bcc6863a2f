#include "gateway/connectors/mapping_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum err mapping_complain(const struct mapping_reader *reader, size_t line, const char *format, ...)
{
    char what[MAPPING_ERROR_BYTES - LIMIT_PATH_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    snprintf(reader->message, MAPPING_ERROR_BYTES, "%.200s:%zu: %s", reader->name, line, what);
    return ERR_SYNTAX;
}

size_t mapping_line_of(const yaml_node_t *node)
{
    return node->start_mark.line + 1;
}

/* A scalar without control characters, or NULL after complaining. */
const char *mapping_scalar(const struct mapping_reader *reader, const yaml_node_t *node, const char *what)
{
    if (node->type != YAML_SCALAR_NODE) {
        mapping_complain(reader, mapping_line_of(node), "%s: expected a value, found a %s", what,
                         node->type == YAML_MAPPING_NODE ? "mapping" : "list");
        return NULL;
    }
    const char *text = (const char *)node->data.scalar.value;
    for (size_t i = 0; i < node->data.scalar.length; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            mapping_complain(reader, mapping_line_of(node), "%s: expected a value without control characters",
                             what);
            return NULL;
        }
    }
    return text;
}

bool mapping_is_plain(const yaml_node_t *node)
{
    return node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

enum err mapping_save(const struct mapping_reader *reader, const yaml_node_t *node, const char *text,
                      const char **out)
{
    struct mapping *mapping = reader->mapping;
    size_t size = strlen(text) + 1;
    if (size > sizeof(mapping->text) - mapping->text_length)
        return mapping_complain(reader, mapping_line_of(node), "the file says more than %d bytes",
                                MAPPING_TEXT_BYTES);
    memcpy(mapping->text + mapping->text_length, text, size);
    *out = mapping->text + mapping->text_length;
    mapping->text_length += size;
    return OK;
}

enum err mapping_read_keys(struct mapping_reader *reader, yaml_node_t *node, void *target,
                           const struct mapping_key *keys, const char *what)
{
    if (node->type != YAML_MAPPING_NODE)
        return mapping_complain(reader, mapping_line_of(node), "%s: expected a mapping", what);
    uint32_t seen = 0;
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top;
         pair++) {
        yaml_node_t *name_node = yaml_document_get_node(&reader->document, pair->key);
        const char *name = mapping_scalar(reader, name_node, what);
        if (!name)
            return ERR_SYNTAX;
        const struct mapping_key *key = keys;
        while (key->name && strcmp(key->name, name) != 0)
            key++;
        if (!key->name)
            return mapping_complain(reader, mapping_line_of(name_node), "unknown key \"%.60s\" in %s", name,
                                    what);
        if (seen & 1u << (key - keys))
            return mapping_complain(reader, mapping_line_of(name_node), "key \"%s\" stands twice in %s", name,
                                    what);
        seen |= 1u << (key - keys);
        enum err err = key->read(reader, yaml_document_get_node(&reader->document, pair->value),
                                 (char *)target + key->offset, key);
        if (err)
            return err;
    }
    for (const struct mapping_key *key = keys; key->name; key++) {
        if (key->is_required && !(seen & 1u << (key - keys)))
            return mapping_complain(reader, mapping_line_of(node), "%s: key \"%s\" is missing", what,
                                    key->name);
    }
    return OK;
}

bool mapping_has_key(struct mapping_reader *reader, const yaml_node_t *node, const char *name)
{
    if (node->type != YAML_MAPPING_NODE)
        return false;
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top;
         pair++) {
        const yaml_node_t *key = yaml_document_get_node(&reader->document, pair->key);
        if (key->type == YAML_SCALAR_NODE && strcmp((const char *)key->data.scalar.value, name) == 0)
            return true;
    }
    return false;
}

enum err mapping_read_choice(const struct mapping_reader *reader, const yaml_node_t *node, const char *what,
                             const struct mapping_choice *choices, int *out)
{
    char expected[240] = "";
    const char *text = mapping_scalar(reader, node, what);
    if (!text)
        return ERR_SYNTAX;
    for (const struct mapping_choice *c = choices; c->name; c++) {
        if (strcmp(c->name, text) == 0) {
            *out = c->value;
            return OK;
        }
        snprintf(expected + strlen(expected), sizeof(expected) - strlen(expected), " %s", c->name);
    }
    return mapping_complain(reader, mapping_line_of(node), "%s: expected one of%s, found \"%.40s\"", what,
                            expected, text);
}

enum err mapping_read_text(struct mapping_reader *reader, yaml_node_t *node, void *target,
                           const struct mapping_key *key)
{
    const char *text = mapping_scalar(reader, node, key->name);
    if (!text)
        return ERR_SYNTAX;
    if (*text == '\0' || strlen(text) >= MAPPING_VALUE_BYTES)
        return mapping_complain(reader, mapping_line_of(node), "%s: expected 1..%d bytes", key->name,
                                MAPPING_VALUE_BYTES - 1);
    return mapping_save(reader, node, text, target);
}

enum err mapping_read_yes(struct mapping_reader *reader, yaml_node_t *node, void *target,
                          const struct mapping_key *key)
{
    static const struct mapping_choice choices[] = {{"false", false}, {"true", true}, {NULL, 0}};
    int value = 0;
    enum err err = mapping_read_choice(reader, node, key->name, choices, &value);
    *(bool *)target = value;
    return err;
}
