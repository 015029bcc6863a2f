#include "gateway/connectors/mapping.h"

#include "gateway/connectors/mapping_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- operations --- */

static enum err check_request(const struct mapping_reader *reader, const yaml_node_t *node, const char *what,
                              const struct mapping_request *request)
{
    bool is_get = strcmp(request->method, "GET") == 0;
    if (is_get && request->body_count > 0)
        return mapping_complain(reader, mapping_line_of(node), "%s: a GET has no body", what);
    if (!is_get && reader->mapping->format == MAPPING_XML && request->body_count == 0)
        return mapping_complain(reader, mapping_line_of(node), "%s: an XML request has a body", what);
    return OK;
}

#define REQUEST(field) offsetof(struct mapping_request, field)
#define REQUEST_KEYS                                                                                         \
    {"method", mapping_read_method, REQUEST(method), true},                                                  \
        {"path", mapping_read_path, REQUEST(path), true},                                                    \
        {"headers", mapping_read_headers, REQUEST(header_first), false},                                     \
    {                                                                                                        \
        "body", mapping_read_body, REQUEST(body_first), false                                                \
    }

static enum err read_session_token(struct mapping_reader *reader, yaml_node_t *node, void *target,
                                   const struct mapping_key *key)
{
    (void)target;
    return mapping_read_place(reader, node, &reader->operation->session_token, key);
}

static enum err read_session(struct mapping_reader *reader, yaml_node_t *node, void *target,
                             const struct mapping_key *key)
{
    static const struct mapping_key keys[] = {
        REQUEST_KEYS, {"token", read_session_token, 0, true}, {NULL, NULL, 0, false}};
    struct mapping_use before = reader->use;
    reader->position.is_session = true;
    enum err err = mapping_read_keys(reader, node, target, keys, key->name);
    reader->position.is_session = false;
    reader->use = before;
    return err ? err : check_request(reader, node, key->name, target);
}

static enum err check_operation(const struct mapping_reader *reader, const yaml_node_t *node,
                                const char *name)
{
    const struct mapping_operation *operation = reader->operation;
    switch (reader->position.operation) {
    case CONNECTOR_TOKENISE:
        if (!reader->has_card)
            return mapping_complain(reader, mapping_line_of(node),
                                    "tokenise: no field of its body is {card.number}");
        if (!operation->answer.token && !reader->mapping->operations[CONNECTOR_TOKENISE].answer.token)
            return mapping_complain(reader, mapping_line_of(node),
                                    "tokenise: its answer must say where the token is");
        break;
    case CONNECTOR_CREATE:
        if (!operation->answer.ref)
            return mapping_complain(reader, mapping_line_of(node),
                                    "create: its answer must say where the ref is");
        break;
    case CONNECTOR_CONFIRM:
        if (reader->is_replay_safe_by_body && !reader->use.has_idempotency_key)
            return mapping_complain(reader, mapping_line_of(node),
                                    "confirm: idempotency in_body, but no {idempotency_key} in it");
        break;
    case CONNECTOR_LINK:
        if (!operation->answer.url)
            return mapping_complain(reader, mapping_line_of(node),
                                    "link: its answer must say where the url is");
        break;
    default:
        break;
    }
    return check_request(reader, node, name, &operation->request);
}

#define REQUEST_OF_OPERATION(field) (offsetof(struct mapping_operation, request) + REQUEST(field))
static const struct mapping_key operation_keys[] = {
    {"method", mapping_read_method, REQUEST_OF_OPERATION(method), true},
    {"path", mapping_read_path, REQUEST_OF_OPERATION(path), true},
    {"headers", mapping_read_headers, REQUEST_OF_OPERATION(header_first), false},
    {"body", mapping_read_body, REQUEST_OF_OPERATION(body_first), false},
    {"session", read_session, offsetof(struct mapping_operation, session), false},
    {"answer", mapping_read_answer, offsetof(struct mapping_operation, answer), false},
    {"results", mapping_read_results, offsetof(struct mapping_operation, result_first), false},
    {NULL, NULL, 0, false}};

static enum err read_operation(struct mapping_reader *reader, yaml_node_t *node, void *target,
                               const struct mapping_key *key)
{
    struct mapping_operation *operation = target;
    enum connector_operation which = (enum connector_operation)(operation - reader->mapping->operations);
    reader->operation = operation;
    reader->use = (struct mapping_use){.has_idempotency_key = false};
    reader->has_card = false;
    reader->position = (struct mapping_position){.operation = which,
                                                 .has_session = mapping_has_key(reader, node, "session")};
    if (reader->position.has_session && which != CONNECTOR_TOKENISE)
        return mapping_complain(reader, mapping_line_of(node), "%s: only tokenise may ask for a session",
                                key->name);
    if (which == CONNECTOR_CONFIRM)
        reader->confirm_line = mapping_line_of(node);
    enum err err = mapping_read_keys(reader, node, operation, operation_keys, key->name);
    operation->says_when_to_capture = reader->use.says_when_to_capture;
    return err ? err : check_operation(reader, node, key->name);
}

#define OPERATION(index, name)                                                                               \
    {                                                                                                        \
        name, read_operation, (index) * sizeof(struct mapping_operation), false                              \
    }
static enum err read_operations(struct mapping_reader *reader, yaml_node_t *node, void *target,
                                const struct mapping_key *key)
{
    static const struct mapping_key keys[] = {OPERATION(CONNECTOR_TOKENISE, "tokenise"),
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
    return mapping_read_keys(reader, node, target, keys, key->name);
}

/* --- the file --- */

static enum err read_format(struct mapping_reader *reader, yaml_node_t *node, void *target,
                            const struct mapping_key *key)
{
    static const struct mapping_choice choices[] = {{"json", MAPPING_JSON}, {"xml", MAPPING_XML}, {NULL, 0}};
    int value = 0;
    enum err err = mapping_read_choice(reader, node, key->name, choices, &value);
    *(enum mapping_format *)target = (enum mapping_format)value;
    return err;
}

static enum err read_kind(struct mapping_reader *reader, yaml_node_t *node, void *target,
                          const struct mapping_key *key)
{
    static const struct mapping_choice choices[] = {{"bearer", MAPPING_BEARER},
                                                    {"basic", MAPPING_BASIC},
                                                    {"header", MAPPING_HEADER},
                                                    {"oauth", MAPPING_OAUTH},
                                                    {"none", MAPPING_NONE},
                                                    {"sigv4", MAPPING_SIGV4},
                                                    {NULL, 0}};
    int value = 0;
    enum err err = mapping_read_choice(reader, node, key->name, choices, &value);
    *(enum mapping_auth *)target = (enum mapping_auth)value;
    return err;
}

static enum err read_auth(struct mapping_reader *reader, yaml_node_t *node, void *target,
                          const struct mapping_key *key)
{
    static const struct mapping_key keys[] = {
        {"kind", read_kind, offsetof(struct mapping, auth), true},
        {"header", mapping_read_header_name, offsetof(struct mapping, auth_header), false},
        {"second_header", mapping_read_header_name, offsetof(struct mapping, second_header), false},
        {"login_path", mapping_read_path, offsetof(struct mapping, login_path), false},
        {"scope", mapping_read_text, offsetof(struct mapping, login_scope), false},
        {NULL, NULL, 0, false}};
    struct mapping *mapping = target;
    reader->position = (struct mapping_position){.operation = CONNECTOR_LINK};
    enum err err = mapping_read_keys(reader, node, mapping, keys, key->name);
    if (err)
        return err;
    if ((mapping->auth == MAPPING_HEADER) != (mapping->auth_header != NULL))
        return mapping_complain(reader, mapping_line_of(node), "auth: header goes with kind header");
    if ((mapping->auth == MAPPING_OAUTH) != (mapping->login_path != NULL))
        return mapping_complain(reader, mapping_line_of(node), "auth: login_path goes with kind oauth");
    if (mapping->login_scope && mapping->auth != MAPPING_OAUTH)
        return mapping_complain(reader, mapping_line_of(node), "auth: scope goes with kind oauth");
    if (mapping->second_header && mapping->auth != MAPPING_BEARER)
        return mapping_complain(reader, mapping_line_of(node), "auth: second_header goes with kind bearer");
    if (mapping->login_path && strchr(mapping->login_path, '{'))
        return mapping_complain(reader, mapping_line_of(node), "auth: login_path has no {names}");
    return OK;
}

static enum err read_idempotency(struct mapping_reader *reader, yaml_node_t *node, void *target,
                                 const struct mapping_key *key)
{
    static const struct mapping_key keys[] = {
        {"header", mapping_read_header_name, offsetof(struct mapping, idempotency_header), false},
        {"in_body", mapping_read_yes, offsetof(struct mapping, is_replay_safe), false},
        {NULL, NULL, 0, false}};
    struct mapping *mapping = target;
    enum err err = mapping_read_keys(reader, node, mapping, keys, key->name);
    if (err)
        return err;
    if (mapping->is_replay_safe == (mapping->idempotency_header != NULL))
        return mapping_complain(reader, mapping_line_of(node),
                                "idempotency: expected header: NAME or in_body: true");
    reader->is_replay_safe_by_body = mapping->is_replay_safe;
    mapping->is_replay_safe = true;
    return OK;
}

static enum err read_amounts(struct mapping_reader *reader, yaml_node_t *node, void *target,
                             const struct mapping_key *key)
{
    static const struct mapping_choice choices[] = {{"minor", false}, {"decimal", true}, {NULL, 0}};
    int value = 0;
    enum err err = mapping_read_choice(reader, node, key->name, choices, &value);
    *(bool *)target = value;
    return err;
}

static enum err read_references(struct mapping_reader *reader, yaml_node_t *node, void *target,
                                const struct mapping_key *key)
{
    static const struct mapping_choice choices[] = {{"names", false}, {"numbers", true}, {NULL, 0}};
    int value = 0;
    enum err err = mapping_read_choice(reader, node, key->name, choices, &value);
    *(bool *)target = value;
    return err;
}

static enum err read_common_headers(struct mapping_reader *reader, yaml_node_t *node, void *target,
                                    const struct mapping_key *key)
{
    reader->position = (struct mapping_position){.operation = CONNECTOR_LINK};
    return mapping_read_headers(reader, node, target, key);
}

#define AT(field) offsetof(struct mapping, field)
/* Two passes: what operations are read by comes first, whatever the order of the file. */
static const struct mapping_key ground_keys[] = {{"format", read_format, AT(format), true},
                                                 {"auth", read_auth, 0, true},
                                                 {"root", mapping_read_text, AT(xml_root), false},
                                                 {"content_type", mapping_read_text, AT(content_type), false},
                                                 {"accept", mapping_read_text, AT(accept), false},
                                                 {"idempotency", read_idempotency, 0, false},
                                                 {"amounts", read_amounts, AT(is_decimal_amount), false},
                                                 {"references", read_references, AT(takes_numbers), false},
                                                 {NULL, NULL, 0, false}};

static enum err read_nothing(struct mapping_reader *reader, yaml_node_t *node, void *target,
                             const struct mapping_key *key)
{
    (void)reader;
    (void)node;
    (void)target;
    (void)key;
    return OK;
}

static const struct mapping_key upper_keys[] = {{"headers", read_common_headers, AT(header_first), false},
                                                {"results", mapping_read_results, AT(result_first), false},
                                                {"operations", read_operations, AT(operations), true},
                                                {NULL, NULL, 0, false}};

static enum err read_pass(struct mapping_reader *reader, yaml_node_t *root, bool is_ground)
{
    struct mapping_key
        keys[sizeof(ground_keys) / sizeof(ground_keys[0]) + sizeof(upper_keys) / sizeof(upper_keys[0]) - 1];
    size_t count = 0;
    for (const struct mapping_key *key = ground_keys; key->name; key++, count++) {
        keys[count] = *key;
        keys[count].read = is_ground ? key->read : read_nothing;
    }
    for (const struct mapping_key *key = upper_keys; key->name; key++, count++) {
        keys[count] = *key;
        keys[count].read = is_ground ? read_nothing : key->read;
    }
    keys[count] = (struct mapping_key){NULL, NULL, 0, false};
    return mapping_read_keys(reader, root, reader->mapping, keys, "the mapping");
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
static enum err check_whole(const struct mapping_reader *reader)
{
    struct mapping *mapping = reader->mapping;
    const struct mapping_operation *confirm = &mapping->operations[CONNECTOR_CONFIRM];
    uint32_t operations = 0;
    for (unsigned i = 0; i < CONNECTOR_OPERATIONS; i++)
        operations |= mapping->operations[i].request.method ? 1u << i : 0;
    if (operations == 0)
        return mapping_complain(reader, 1, "operations: expected at least one");
    if (mapping->format == MAPPING_XML &&
        (!mapping->xml_root || !mapping_is_segment(mapping, mapping->xml_root, strlen(mapping->xml_root))))
        return mapping_complain(reader, 1, "format xml needs root: the name of the element around a request");
    if (mapping->format == MAPPING_JSON && mapping->xml_root)
        return mapping_complain(reader, 1, "root goes with format xml");
    if (!confirm->request.method)
        return OK;
    if (!mapping->operations[CONNECTOR_STATUS].request.method)
        return mapping_complain(
            reader, reader->confirm_line,
            "confirm needs the operation status: a confirmation whose answer is lost must be asked for");
    if (!confirm->answer.ref &&
        (believes_without_status(mapping, confirm->result_first, confirm->result_count) ||
         believes_without_status(mapping, mapping->result_first, mapping->result_count)))
        return mapping_complain(
            reader, reader->confirm_line,
            "confirm: every result done must name a status, or its answer where the transaction's ref is");
    return OK;
}

static enum err parse_document(struct mapping_reader *reader, const char *text, size_t length)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return ERR_MEMORY;
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, length);
    enum err err = OK;
    if (!yaml_parser_load(&parser, &reader->document)) {
        size_t line = parser.problem_mark.line + 1;
        err = mapping_complain(reader, line, "not YAML: %s",
                               parser.problem ? parser.problem : "cannot be read");
    }
    yaml_parser_delete(&parser);
    return err;
}

static enum err read_root(struct mapping_reader *reader)
{
    yaml_node_t *root = yaml_document_get_root_node(&reader->document);
    struct mapping *mapping = reader->mapping;
    if (!root)
        return mapping_complain(reader, 1, "the file is empty: expected format, auth and operations");
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
    struct mapping_reader reader = {.name = name, .message = message};
    *out = NULL;
    message[0] = '\0';
    if (length > LIMIT_CONFIG_BYTES) {
        mapping_complain(&reader, 1, "expected at most %d bytes", LIMIT_CONFIG_BYTES);
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
