#include "gateway/mapping.h"

#include "gateway/mapping_value.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

struct reader {
    yaml_document_t document;
    const char *name;
    char *message;
    struct mapping *mapping;
    struct mapping_operation *operation; /* that is being read; NULL outside */
    struct mapping_position position;    /* of its values */
    struct mapping_use use;              /* of the values of its request */
    bool has_card;                       /* the same: the card's number */
    bool is_replay_safe_by_body;
    size_t confirm_line;
};

struct key;
typedef enum err read_h(struct reader *reader, yaml_node_t *node, void *target, const struct key *key);

struct key {
    const char *name;
    read_h *read;
    size_t offset;
    bool is_required;
};

/* --- what any of them needs --- */

static enum err complain(const struct reader *reader, size_t line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static enum err complain(const struct reader *reader, size_t line, const char *format, ...)
{
    char what[MAPPING_ERROR_BYTES - LIMIT_PATH_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    snprintf(reader->message, MAPPING_ERROR_BYTES, "%.200s:%zu: %s", reader->name, line, what);
    return ERR_SYNTAX;
}

static size_t line_of(const yaml_node_t *node)
{
    return node->start_mark.line + 1;
}

/* A scalar without control characters, or NULL after complaining. */
static const char *scalar(const struct reader *reader, const yaml_node_t *node, const char *what)
{
    if (node->type != YAML_SCALAR_NODE) {
        complain(reader, line_of(node), "%s: expected a value, found a %s", what,
                 node->type == YAML_MAPPING_NODE ? "mapping" : "list");
        return NULL;
    }
    const char *text = (const char *)node->data.scalar.value;
    for (size_t i = 0; i < node->data.scalar.length; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            complain(reader, line_of(node), "%s: expected a value without control characters", what);
            return NULL;
        }
    }
    return text;
}

static bool is_plain(const yaml_node_t *node)
{
    return node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static enum err save(const struct reader *reader, const yaml_node_t *node, const char *text, const char **out)
{
    struct mapping *mapping = reader->mapping;
    size_t size = strlen(text) + 1;
    if (size > sizeof(mapping->text) - mapping->text_length)
        return complain(reader, line_of(node), "the file says more than %d bytes", MAPPING_TEXT_BYTES);
    memcpy(mapping->text + mapping->text_length, text, size);
    *out = mapping->text + mapping->text_length;
    mapping->text_length += size;
    return OK;
}

static enum err read_keys(struct reader *reader, yaml_node_t *node, void *target, const struct key *keys,
                          const char *what)
{
    if (node->type != YAML_MAPPING_NODE)
        return complain(reader, line_of(node), "%s: expected a mapping", what);
    uint32_t seen = 0;
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top;
         pair++) {
        yaml_node_t *name_node = yaml_document_get_node(&reader->document, pair->key);
        const char *name = scalar(reader, name_node, what);
        if (!name)
            return ERR_SYNTAX;
        const struct key *key = keys;
        while (key->name && strcmp(key->name, name) != 0)
            key++;
        if (!key->name)
            return complain(reader, line_of(name_node), "unknown key \"%.60s\" in %s", name, what);
        if (seen & 1u << (key - keys))
            return complain(reader, line_of(name_node), "key \"%s\" stands twice in %s", name, what);
        seen |= 1u << (key - keys);
        enum err err = key->read(reader, yaml_document_get_node(&reader->document, pair->value),
                                 (char *)target + key->offset, key);
        if (err)
            return err;
    }
    for (const struct key *key = keys; key->name; key++) {
        if (key->is_required && !(seen & 1u << (key - keys)))
            return complain(reader, line_of(node), "%s: key \"%s\" is missing", what, key->name);
    }
    return OK;
}

static bool has_key(struct reader *reader, const yaml_node_t *node, const char *name)
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

struct choice {
    const char *name;
    int value;
};

static enum err read_choice(const struct reader *reader, const yaml_node_t *node, const char *what,
                            const struct choice *choices, int *out)
{
    char expected[240] = "";
    const char *text = scalar(reader, node, what);
    if (!text)
        return ERR_SYNTAX;
    for (const struct choice *c = choices; c->name; c++) {
        if (strcmp(c->name, text) == 0) {
            *out = c->value;
            return OK;
        }
        snprintf(expected + strlen(expected), sizeof(expected) - strlen(expected), " %s", c->name);
    }
    return complain(reader, line_of(node), "%s: expected one of%s, found \"%.40s\"", what, expected, text);
}

static enum err read_text(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    const char *text = scalar(reader, node, key->name);
    if (!text)
        return ERR_SYNTAX;
    if (*text == '\0' || strlen(text) >= MAPPING_VALUE_BYTES)
        return complain(reader, line_of(node), "%s: expected 1..%d bytes", key->name,
                        MAPPING_VALUE_BYTES - 1);
    return save(reader, node, text, target);
}

static enum err read_yes(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    static const struct choice choices[] = {{"false", false}, {"true", true}, {NULL, 0}};
    int value = 0;
    enum err err = read_choice(reader, node, key->name, choices, &value);
    *(bool *)target = value;
    return err;
}

/* --- paths, headers, bodies --- */

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

static enum err read_header_name(struct reader *reader, yaml_node_t *node, void *target,
                                 const struct key *key)
{
    const char *text = scalar(reader, node, key->name);
    if (!text)
        return ERR_SYNTAX;
    if (!is_header_name(text))
        return complain(reader, line_of(node), "%s: \"%.60s\" is no header that a mapping may set", key->name,
                        text);
    return save(reader, node, text, target);
}

static enum err check_value(struct reader *reader, const yaml_node_t *node, const char *what,
                            const char *value, enum mapping_place place)
{
    char why[160];
    reader->position.place = place;
    if (mapping_value_check(value, &reader->position, &reader->use, why, sizeof(why)) != OK)
        return complain(reader, line_of(node), "%s: %s", what, why);
    return OK;
}

static enum err read_path(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    const char *text = scalar(reader, node, key->name);
    if (!text)
        return ERR_SYNTAX;
    bool is_good = text[0] == '/' && strlen(text) < CONNECTOR_PATH_BYTES && !strstr(text, "..");
    for (const char *c = text; *c; c++)
        is_good = is_good && (unsigned char)*c > 0x20 && (unsigned char)*c < 0x7f && !strchr("#\"<>\\^`", *c);
    if (!is_good)
        return complain(reader, line_of(node),
                        "%s: expected a path that begins with / and is escaped, of at most %d bytes",
                        key->name, CONNECTOR_PATH_BYTES - 1);
    enum err err = check_value(reader, node, key->name, text, MAPPING_IN_PATH);
    return err ? err : save(reader, node, text, target);
}

static enum err read_method(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
    const char *text = scalar(reader, node, key->name);
    if (!text)
        return ERR_SYNTAX;
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (strcmp(text, methods[i]) == 0) {
            *(const char **)target = methods[i];
            return OK;
        }
    }
    return complain(reader, line_of(node),
                    "method: expected one of GET POST PUT PATCH DELETE, found \"%.20s\"", text);
}

static enum err add_field(const struct reader *reader, const yaml_node_t *node, const char *path,
                          const char *value, bool is_bare)
{
    struct mapping *mapping = reader->mapping;
    if (mapping->field_count == MAPPING_FIELDS_MAX)
        return complain(reader, line_of(node), "the file has more than %d fields and headers",
                        MAPPING_FIELDS_MAX);
    struct mapping_field *field = &mapping->fields[mapping->field_count++];
    enum err err = save(reader, node, path, &field->path);
    if (!err)
        err = save(reader, node, value, &field->value);
    field->is_bare = is_bare;
    return err;
}

static enum err read_header(struct reader *reader, const yaml_node_t *name_node,
                            const yaml_node_t *value_node)
{
    const char *name = scalar(reader, name_node, "headers");
    const char *value = name ? scalar(reader, value_node, name) : NULL;
    if (!value)
        return ERR_SYNTAX;
    if (!is_header_name(name) || *value == '\0')
        return complain(reader, line_of(name_node),
                        "headers: \"%.60s\" is no header that a mapping may set, or is empty", name);
    enum err err = check_value(reader, value_node, name, value, MAPPING_IN_HEADER);
    return err ? err : add_field(reader, value_node, name, value, false);
}

static enum err read_headers(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    size_t *first_and_count = target;
    (void)key;
    if (node->type != YAML_MAPPING_NODE)
        return complain(reader, line_of(node), "headers: expected a mapping");
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

static bool is_segment(const struct mapping *mapping, const char *start, size_t length)
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
        if (++depth > MAPPING_DEPTH || !is_segment(mapping, at, length))
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

static enum err read_body_level(struct reader *reader, const yaml_node_t *node, const char *prefix,
                                size_t first, unsigned depth);

static enum err read_body_field(struct reader *reader, const yaml_node_t *value_node, const char *path,
                                size_t first, unsigned depth)
{
    if (value_node->type == YAML_MAPPING_NODE)
        return read_body_level(reader, value_node, path, first, depth + 1);
    const char *value = scalar(reader, value_node, path);
    if (!value)
        return ERR_SYNTAX;
    if (!is_field_path(reader->mapping, path))
        return complain(reader, line_of(value_node),
                        "body: \"%.90s\" is no field: names of letters, digits, _ and -, "
                        "at most %d deep",
                        path, MAPPING_DEPTH);
    bool is_bare = is_plain(value_node) &&
                   (is_number(value) || strcmp(value, "true") == 0 || strcmp(value, "false") == 0);
    enum err err = check_value(reader, value_node, path, value, MAPPING_IN_BODY);
    if (!err)
        err = add_field(reader, value_node, path, value, is_bare || mapping_value_is_bare(value));
    const char *wrong = err ? NULL : check_order(reader->mapping, first);
    reader->has_card |= strstr(value, "{card.number}") != NULL;
    return wrong ? complain(reader, line_of(value_node), "body: \"%.90s\" %s", path, wrong) : err;
}

static enum err read_body_level(struct reader *reader, const yaml_node_t *node, const char *prefix,
                                size_t first, unsigned depth)
{
    if (node->type != YAML_MAPPING_NODE || depth > MAPPING_DEPTH ||
        node->data.mapping.pairs.start == node->data.mapping.pairs.top)
        return complain(reader, line_of(node),
                        "body: expected a mapping that is not empty, of at most %d levels", MAPPING_DEPTH);
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top;
         pair++) {
        char path[MAPPING_KEY_BYTES];
        const yaml_node_t *name_node = yaml_document_get_node(&reader->document, pair->key);
        const char *name = scalar(reader, name_node, "body");
        if (!name)
            return ERR_SYNTAX;
        int length = snprintf(path, sizeof(path), "%s%s%s", prefix, *prefix ? "." : "", name);
        if (length < 0 || (size_t)length >= sizeof(path))
            return complain(reader, line_of(name_node), "body: a path has at most %d bytes",
                            MAPPING_KEY_BYTES - 1);
        enum err err = read_body_field(reader, yaml_document_get_node(&reader->document, pair->value), path,
                                       first, depth);
        if (err)
            return err;
    }
    return OK;
}

static enum err read_body(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    size_t *first_and_count = target;
    (void)key;
    first_and_count[0] = reader->mapping->field_count;
    enum err err = read_body_level(reader, node, "", first_and_count[0], 1);
    first_and_count[1] = reader->mapping->field_count - first_and_count[0];
    return err;
}

/* --- answers and results --- */

static enum err read_place(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    const char *text = scalar(reader, node, key->name);
    if (!text)
        return ERR_SYNTAX;
    size_t length = strlen(text);
    size_t depth = 1;
    bool is_good = length > 0 && length < MAPPING_KEY_BYTES && text[0] != '.' && text[length - 1] != '.' &&
                   !strstr(text, "..");
    for (const char *c = text; *c; c++) {
        depth += *c == '.';
        is_good = is_good && (unsigned char)*c > 0x20 && (unsigned char)*c < 0x7f;
    }
    if (!is_good || depth > MAPPING_DEPTH)
        return complain(reader, line_of(node), "%s: expected a dotted path of at most %d names", key->name,
                        MAPPING_DEPTH);
    return save(reader, node, text, target);
}

#define PLACE(field)                                                                                         \
    {                                                                                                        \
#field, read_place, offsetof(struct mapping_answer, field), false                                    \
    }
static const struct key answer_keys[] = {PLACE(token),    PLACE(ref),   PLACE(order),
                                         PLACE(status),   PLACE(error), PLACE(amount),
                                         PLACE(currency), PLACE(url),   {NULL, NULL, 0, false}};

static enum err read_answer(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    return read_keys(reader, node, target, answer_keys, key->name);
}

static enum err read_http(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    struct mapping_result *result = target;
    const char *text = scalar(reader, node, key->name);
    if (!text)
        return ERR_SYNTAX;
    bool is_class = strlen(text) == 3 && text[0] >= '1' && text[0] <= '5' && strcmp(text + 1, "xx") == 0;
    bool is_one = strlen(text) == 3 && strspn(text, "0123456789") == 3 && text[0] >= '1' && text[0] <= '5';
    if (!is_class && !is_one)
        return complain(reader, line_of(node),
                        "http: expected a status as 402 or a class as 4xx, found \"%.20s\"", text);
    result->http_from = is_class ? (unsigned)(text[0] - '0') * 100 : (unsigned)strtoul(text, NULL, 10);
    result->http_to = is_class ? result->http_from + 99 : result->http_from;
    return OK;
}

/* Text, or null for "is not there". */
static enum err read_match(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    const char *text = scalar(reader, node, key->name);
    if (!text)
        return ERR_SYNTAX;
    bool is_null = is_plain(node) && (strcmp(text, "null") == 0 || strcmp(text, "~") == 0);
    if (*text == '\0' || strlen(text) >= LIMIT_NAME_BYTES)
        return complain(reader, line_of(node), "%s: expected 1..%d bytes, or null", key->name,
                        LIMIT_NAME_BYTES - 1);
    return save(reader, node, is_null ? "" : text, target);
}

static enum err read_outcome(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    struct choice choices[GATEWAY_OUTCOMES + 1] = {{NULL, 0}};
    int value = 0;
    for (int i = 0; i < GATEWAY_OUTCOMES; i++)
        choices[i] = (struct choice){gateway_outcome_name((enum gateway_outcome)i), i};
    enum err err = read_choice(reader, node, key->name, choices, &value);
    *(enum gateway_outcome *)target = (enum gateway_outcome)value;
    return err;
}

static enum err read_reason(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    struct choice choices[REASON_COUNT + 1] = {{NULL, 0}};
    int value = 0;
    for (int i = 0; i < REASON_COUNT; i++)
        choices[i] = (struct choice){gateway_reason_name((enum gateway_reason)i), i};
    enum err err = read_choice(reader, node, key->name, choices, &value);
    *(enum gateway_reason *)target = (enum gateway_reason)value;
    return err;
}

static enum err read_state(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    static const struct choice choices[] = {{"open", ORDER_OPEN},
                                            {"pending", ORDER_PENDING},
                                            {"succeeded", ORDER_SUCCEEDED},
                                            {"authorised", ORDER_AUTHORISED},
                                            {"cancelled", ORDER_CANCELLED},
                                            {"unknown", ORDER_UNKNOWN_TO_GATEWAY},
                                            {NULL, 0}};
    int value = 0;
    enum err err = read_choice(reader, node, key->name, choices, &value);
    *(enum gateway_order_state *)target = (enum gateway_order_state)value;
    return err;
}

static const struct key result_keys[] = {
    {"http", read_http, 0, false},
    {"status", read_match, offsetof(struct mapping_result, status), false},
    {"error", read_match, offsetof(struct mapping_result, error), false},
    {"outcome", read_outcome, offsetof(struct mapping_result, outcome), true},
    {"state", read_state, offsetof(struct mapping_result, state), false},
    {"reason", read_reason, offsetof(struct mapping_result, reason), false},
    {"again", read_yes, offsetof(struct mapping_result, may_repeat), false},
    {NULL, NULL, 0, false}};

static const char *check_result(struct mapping_result *result)
{
    static const enum gateway_reason defaults[GATEWAY_OUTCOMES] = {
        [GATEWAY_DONE] = REASON_NONE,
        [GATEWAY_DECLINED] = REASON_DECLINED,
        [GATEWAY_FAILED] = REASON_CONFIGURATION,
        [GATEWAY_UNAVAILABLE] = REASON_UNAVAILABLE,
        [GATEWAY_NO_ANSWER] = REASON_UNAVAILABLE,
    };
    /* Nothing is believed of an answer that says itself that it is an error, unless the row names its status. */
    if (result->outcome == GATEWAY_DONE && result->http_from == 0) {
        result->http_from = 200;
        result->http_to = 299;
    }
    bool is_open = result->outcome == GATEWAY_UNAVAILABLE || result->outcome == GATEWAY_NO_ANSWER;
    if (result->reason == REASON_NONE)
        result->reason = defaults[result->outcome];
    if (result->outcome == GATEWAY_DONE && result->reason >= REASON_CONFIGURATION)
        return "done cannot have the reason of a failure";
    if (result->outcome != GATEWAY_DONE && result->state != ORDER_NONE)
        return "a state goes with outcome done";
    if (result->may_repeat && !is_open)
        return "again goes with the outcomes unavailable and no_answer";
    return NULL;
}

static enum err read_results(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    struct mapping *mapping = reader->mapping;
    size_t *first_and_count = target;
    if (node->type != YAML_SEQUENCE_NODE)
        return complain(reader, line_of(node), "results: expected a list");
    first_and_count[0] = mapping->row_count;
    for (yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top;
         item++) {
        yaml_node_t *row = yaml_document_get_node(&reader->document, *item);
        if (mapping->row_count == MAPPING_RESULTS_MAX)
            return complain(reader, line_of(row), "the file has more than %d results", MAPPING_RESULTS_MAX);
        struct mapping_result *result = &mapping->results[mapping->row_count++];
        result->http_to = 599;
        enum err err = read_keys(reader, row, result, result_keys, key->name);
        const char *wrong = err ? NULL : check_result(result);
        if (err || wrong)
            return err ? err : complain(reader, line_of(row), "results: %s", wrong);
    }
    first_and_count[1] = mapping->row_count - first_and_count[0];
    return OK;
}

/* --- operations --- */

static enum err check_request(const struct reader *reader, const yaml_node_t *node, const char *what,
                              const struct mapping_request *request)
{
    bool is_get = strcmp(request->method, "GET") == 0;
    if (is_get && request->body_count > 0)
        return complain(reader, line_of(node), "%s: a GET has no body", what);
    if (!is_get && reader->mapping->format == MAPPING_XML && request->body_count == 0)
        return complain(reader, line_of(node), "%s: an XML request has a body", what);
    return OK;
}

#define REQUEST(field) offsetof(struct mapping_request, field)
#define REQUEST_KEYS                                                                                         \
    {"method", read_method, REQUEST(method), true}, {"path", read_path, REQUEST(path), true},                \
        {"headers", read_headers, REQUEST(header_first), false},                                             \
    {                                                                                                        \
        "body", read_body, REQUEST(body_first), false                                                        \
    }

static enum err read_session_token(struct reader *reader, yaml_node_t *node, void *target,
                                   const struct key *key)
{
    (void)target;
    return read_place(reader, node, &reader->operation->session_token, key);
}

static enum err read_session(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    static const struct key keys[] = {
        REQUEST_KEYS, {"token", read_session_token, 0, true}, {NULL, NULL, 0, false}};
    struct mapping_use before = reader->use;
    reader->position.is_session = true;
    enum err err = read_keys(reader, node, target, keys, key->name);
    reader->position.is_session = false;
    reader->use = before;
    return err ? err : check_request(reader, node, key->name, target);
}

static enum err check_operation(const struct reader *reader, const yaml_node_t *node, const char *name)
{
    const struct mapping_operation *operation = reader->operation;
    switch (reader->position.operation) {
    case CONNECTOR_TOKENISE:
        if (!reader->has_card)
            return complain(reader, line_of(node), "tokenise: no field of its body is {card.number}");
        if (!operation->answer.token && !reader->mapping->operations[CONNECTOR_TOKENISE].answer.token)
            return complain(reader, line_of(node), "tokenise: its answer must say where the token is");
        break;
    case CONNECTOR_CREATE:
        if (!operation->answer.ref)
            return complain(reader, line_of(node), "create: its answer must say where the ref is");
        break;
    case CONNECTOR_CONFIRM:
        if (reader->is_replay_safe_by_body && !reader->use.has_idempotency_key)
            return complain(reader, line_of(node),
                            "confirm: idempotency in_body, but no {idempotency_key} in it");
        break;
    case CONNECTOR_LINK:
        if (!operation->answer.url)
            return complain(reader, line_of(node), "link: its answer must say where the url is");
        break;
    default:
        break;
    }
    return check_request(reader, node, name, &operation->request);
}

#define REQUEST_OF_OPERATION(field) (offsetof(struct mapping_operation, request) + REQUEST(field))
static const struct key operation_keys[] = {
    {"method", read_method, REQUEST_OF_OPERATION(method), true},
    {"path", read_path, REQUEST_OF_OPERATION(path), true},
    {"headers", read_headers, REQUEST_OF_OPERATION(header_first), false},
    {"body", read_body, REQUEST_OF_OPERATION(body_first), false},
    {"session", read_session, offsetof(struct mapping_operation, session), false},
    {"answer", read_answer, offsetof(struct mapping_operation, answer), false},
    {"results", read_results, offsetof(struct mapping_operation, result_first), false},
    {NULL, NULL, 0, false}};

static enum err read_operation(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    struct mapping_operation *operation = target;
    enum connector_operation which = (enum connector_operation)(operation - reader->mapping->operations);
    reader->operation = operation;
    reader->use = (struct mapping_use){.has_idempotency_key = false};
    reader->has_card = false;
    reader->position =
        (struct mapping_position){.operation = which, .has_session = has_key(reader, node, "session")};
    if (reader->position.has_session && which != CONNECTOR_TOKENISE)
        return complain(reader, line_of(node), "%s: only tokenise may ask for a session", key->name);
    if (which == CONNECTOR_CONFIRM)
        reader->confirm_line = line_of(node);
    enum err err = read_keys(reader, node, operation, operation_keys, key->name);
    operation->says_when_to_capture = reader->use.says_when_to_capture;
    return err ? err : check_operation(reader, node, key->name);
}

#define OPERATION(index, name)                                                                               \
    {                                                                                                        \
        name, read_operation, (index) * sizeof(struct mapping_operation), false                              \
    }
static enum err read_operations(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    static const struct key keys[] = {OPERATION(CONNECTOR_TOKENISE, "tokenise"),
                                      OPERATION(CONNECTOR_CREATE, "create"),
                                      OPERATION(CONNECTOR_CONFIRM, "confirm"),
                                      OPERATION(CONNECTOR_STATUS, "status"),
                                      OPERATION(CONNECTOR_ABANDON, "abandon"),
                                      OPERATION(CONNECTOR_CAPTURE, "capture"),
                                      OPERATION(CONNECTOR_VOID, "void"),
                                      OPERATION(CONNECTOR_REFUND, "refund"),
                                      OPERATION(CONNECTOR_SUBSCRIBE, "subscribe"),
                                      OPERATION(CONNECTOR_LINK, "link"),
                                      {NULL, NULL, 0, false}};
    return read_keys(reader, node, target, keys, key->name);
}

/* --- the file --- */

static enum err read_format(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    static const struct choice choices[] = {{"json", MAPPING_JSON}, {"xml", MAPPING_XML}, {NULL, 0}};
    int value = 0;
    enum err err = read_choice(reader, node, key->name, choices, &value);
    *(enum mapping_format *)target = (enum mapping_format)value;
    return err;
}

static enum err read_kind(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    static const struct choice choices[] = {{"bearer", MAPPING_BEARER},
                                            {"basic", MAPPING_BASIC},
                                            {"header", MAPPING_HEADER},
                                            {"oauth", MAPPING_OAUTH},
                                            {"none", MAPPING_NONE},
                                            {"sigv4", MAPPING_SIGV4},
                                            {NULL, 0}};
    int value = 0;
    enum err err = read_choice(reader, node, key->name, choices, &value);
    *(enum mapping_auth *)target = (enum mapping_auth)value;
    return err;
}

static enum err read_auth(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    static const struct key keys[] = {
        {"kind", read_kind, offsetof(struct mapping, auth), true},
        {"header", read_header_name, offsetof(struct mapping, auth_header), false},
        {"second_header", read_header_name, offsetof(struct mapping, second_header), false},
        {"login_path", read_path, offsetof(struct mapping, login_path), false},
        {"scope", read_text, offsetof(struct mapping, login_scope), false},
        {NULL, NULL, 0, false}};
    struct mapping *mapping = target;
    reader->position = (struct mapping_position){.operation = CONNECTOR_LINK};
    enum err err = read_keys(reader, node, mapping, keys, key->name);
    if (err)
        return err;
    if ((mapping->auth == MAPPING_HEADER) != (mapping->auth_header != NULL))
        return complain(reader, line_of(node), "auth: header goes with kind header");
    if ((mapping->auth == MAPPING_OAUTH) != (mapping->login_path != NULL))
        return complain(reader, line_of(node), "auth: login_path goes with kind oauth");
    if (mapping->login_scope && mapping->auth != MAPPING_OAUTH)
        return complain(reader, line_of(node), "auth: scope goes with kind oauth");
    if (mapping->second_header && mapping->auth != MAPPING_BEARER)
        return complain(reader, line_of(node), "auth: second_header goes with kind bearer");
    if (mapping->login_path && strchr(mapping->login_path, '{'))
        return complain(reader, line_of(node), "auth: login_path has no {names}");
    return OK;
}

static enum err read_idempotency(struct reader *reader, yaml_node_t *node, void *target,
                                 const struct key *key)
{
    static const struct key keys[] = {
        {"header", read_header_name, offsetof(struct mapping, idempotency_header), false},
        {"in_body", read_yes, offsetof(struct mapping, is_replay_safe), false},
        {NULL, NULL, 0, false}};
    struct mapping *mapping = target;
    enum err err = read_keys(reader, node, mapping, keys, key->name);
    if (err)
        return err;
    if (mapping->is_replay_safe == (mapping->idempotency_header != NULL))
        return complain(reader, line_of(node), "idempotency: expected header: NAME or in_body: true");
    reader->is_replay_safe_by_body = mapping->is_replay_safe;
    mapping->is_replay_safe = true;
    return OK;
}

static enum err read_amounts(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    static const struct choice choices[] = {{"minor", false}, {"decimal", true}, {NULL, 0}};
    int value = 0;
    enum err err = read_choice(reader, node, key->name, choices, &value);
    *(bool *)target = value;
    return err;
}

static enum err read_references(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    static const struct choice choices[] = {{"names", false}, {"numbers", true}, {NULL, 0}};
    int value = 0;
    enum err err = read_choice(reader, node, key->name, choices, &value);
    *(bool *)target = value;
    return err;
}

static enum err read_common_headers(struct reader *reader, yaml_node_t *node, void *target,
                                    const struct key *key)
{
    reader->position = (struct mapping_position){.operation = CONNECTOR_LINK};
    return read_headers(reader, node, target, key);
}

#define AT(field) offsetof(struct mapping, field)
/* Two passes: what operations are read by comes first, whatever the order of the file. */
static const struct key ground_keys[] = {{"format", read_format, AT(format), true},
                                         {"auth", read_auth, 0, true},
                                         {"root", read_text, AT(xml_root), false},
                                         {"content_type", read_text, AT(content_type), false},
                                         {"accept", read_text, AT(accept), false},
                                         {"idempotency", read_idempotency, 0, false},
                                         {"amounts", read_amounts, AT(is_decimal_amount), false},
                                         {"references", read_references, AT(takes_numbers), false},
                                         {NULL, NULL, 0, false}};

static enum err read_nothing(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    (void)reader;
    (void)node;
    (void)target;
    (void)key;
    return OK;
}

static const struct key upper_keys[] = {{"headers", read_common_headers, AT(header_first), false},
                                        {"results", read_results, AT(result_first), false},
                                        {"operations", read_operations, AT(operations), true},
                                        {NULL, NULL, 0, false}};

static enum err read_pass(struct reader *reader, yaml_node_t *root, bool is_ground)
{
    struct key
        keys[sizeof(ground_keys) / sizeof(ground_keys[0]) + sizeof(upper_keys) / sizeof(upper_keys[0]) - 1];
    size_t count = 0;
    for (const struct key *key = ground_keys; key->name; key++, count++) {
        keys[count] = *key;
        keys[count].read = is_ground ? key->read : read_nothing;
    }
    for (const struct key *key = upper_keys; key->name; key++, count++) {
        keys[count] = *key;
        keys[count].read = is_ground ? read_nothing : key->read;
    }
    keys[count] = (struct key){NULL, NULL, 0, false};
    return read_keys(reader, root, reader->mapping, keys, "the mapping");
}

static bool believes_without_status(const struct mapping *mapping, size_t first, size_t count)
{
    for (size_t i = first; i < first + count; i++) {
        const struct mapping_result *result = &mapping->results[i];
        bool is_named = result->status && result->status[0] && strcmp(result->status, "*") != 0;
        if (result->outcome == GATEWAY_DONE && !is_named)
            return true;
    }
    return false;
}

/* Money is not believed to have moved because somebody said 200: a status or a transaction must be named. */
static enum err check_whole(const struct reader *reader)
{
    struct mapping *mapping = reader->mapping;
    const struct mapping_operation *confirm = &mapping->operations[CONNECTOR_CONFIRM];
    uint32_t operations = 0;
    for (unsigned i = 0; i < CONNECTOR_OPERATIONS; i++)
        operations |= mapping->operations[i].request.method ? 1u << i : 0;
    if (operations == 0)
        return complain(reader, 1, "operations: expected at least one");
    if (mapping->format == MAPPING_XML &&
        (!mapping->xml_root || !is_segment(mapping, mapping->xml_root, strlen(mapping->xml_root))))
        return complain(reader, 1, "format xml needs root: the name of the element around a request");
    if (mapping->format == MAPPING_JSON && mapping->xml_root)
        return complain(reader, 1, "root goes with format xml");
    if (!confirm->request.method)
        return OK;
    if (!mapping->operations[CONNECTOR_STATUS].request.method)
        return complain(
            reader, reader->confirm_line,
            "confirm needs the operation status: a confirmation whose answer is lost must be asked for");
    if (!confirm->answer.ref &&
        (believes_without_status(mapping, confirm->result_first, confirm->result_count) ||
         believes_without_status(mapping, mapping->result_first, mapping->result_count)))
        return complain(
            reader, reader->confirm_line,
            "confirm: every result done must name a status, or its answer where the transaction's ref is");
    return OK;
}

static enum err parse_document(struct reader *reader, const char *text, size_t length)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return ERR_MEMORY;
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, length);
    enum err err = OK;
    if (!yaml_parser_load(&parser, &reader->document)) {
        size_t line = parser.problem_mark.line + 1;
        err = complain(reader, line, "not YAML: %s", parser.problem ? parser.problem : "cannot be read");
    }
    yaml_parser_delete(&parser);
    return err;
}

static enum err read_root(struct reader *reader)
{
    yaml_node_t *root = yaml_document_get_root_node(&reader->document);
    struct mapping *mapping = reader->mapping;
    if (!root)
        return complain(reader, 1, "the file is empty: expected format, auth and operations");
    enum err err = read_pass(reader, root, true);
    if (!err)
        err = read_pass(reader, root, false);
    if (!err)
        err = check_whole(reader);
    const char *type = mapping->format == MAPPING_XML ? "application/xml" : "application/json";
    if (!mapping->content_type)
        mapping->content_type = type;
    if (!mapping->accept)
        mapping->accept = type;
    return err;
}

enum err mapping_parse(struct mapping **out, const char *name, const char *text, size_t length, char *message)
{
    struct reader reader = {.name = name, .message = message};
    *out = NULL;
    message[0] = '\0';
    if (length > LIMIT_CONFIG_BYTES) {
        complain(&reader, 1, "expected at most %d bytes", LIMIT_CONFIG_BYTES);
        return ERR_LENGTH;
    }
    enum err err = parse_document(&reader, text, length);
    if (err)
        return err;
    reader.mapping = calloc(1, sizeof(*reader.mapping));
    err = reader.mapping ? read_root(&reader) : ERR_MEMORY;
    yaml_document_delete(&reader.document);
    if (err) {
        free(reader.mapping);
        return err;
    }
    *out = reader.mapping;
    return OK;
}

enum err mapping_load(struct mapping **out, const char *path, char *message)
{
    char *text = NULL;
    struct stat status;
    enum err err = OK;
    *out = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &status) != 0) {
        snprintf(message, MAPPING_ERROR_BYTES, "%.200s: cannot be opened: %s", path, strerror(errno));
        err = ERR_SYSTEM;
    } else if (!S_ISREG(status.st_mode) || status.st_size > LIMIT_CONFIG_BYTES) {
        snprintf(message, MAPPING_ERROR_BYTES, "%.200s: expected a file of at most %d bytes", path,
                 LIMIT_CONFIG_BYTES);
        err = ERR_LENGTH;
    } else {
        text = malloc((size_t)status.st_size + 1);
        ssize_t got = text ? read(fd, text, (size_t)status.st_size) : -1;
        if (got >= 0)
            err = mapping_parse(out, path, text, (size_t)got, message);
        else
            snprintf(message, MAPPING_ERROR_BYTES, "%.200s: cannot be read: %s", path, strerror(errno));
        if (got < 0)
            err = ERR_SYSTEM;
    }
    free(text);
    if (fd >= 0)
        close(fd);
    return err;
}

void mapping_free(const struct mapping *mapping)
{
    free((void *)(uintptr_t)mapping);
}
