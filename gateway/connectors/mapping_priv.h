/* How a mapping file is read, among the files that read it: mapping_reader.c what any of them needs, mapping_request.c
 * paths, headers and bodies, mapping_result.c answers and what they mean, mapping.c operations and the whole.
 *
 * Every reader takes one YAML node and puts what it says into target; it returns ERR_SYNTAX after complaining. */
#ifndef TONEGATE_GATEWAY_MAPPING_PRIV_H
#define TONEGATE_GATEWAY_MAPPING_PRIV_H

#include "gateway/connectors/mapping.h"
#include "gateway/connectors/mapping_value.h"

#include <yaml.h>

struct mapping_reader {
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

struct mapping_key;
typedef enum err mapping_read_h(struct mapping_reader *reader, yaml_node_t *node, void *target,
                                const struct mapping_key *key);

struct mapping_key { /* a table ends with a NULL name; at most 32 */
    const char *name;
    mapping_read_h *read;
    size_t offset;
    bool is_required;
};

struct mapping_choice { /* a table ends with a NULL name */
    const char *name;
    int value;
};

/* --- what any of them needs --- */

/* "name:line: ..." into the message. Always ERR_SYNTAX. */
enum err mapping_complain(const struct mapping_reader *reader, size_t line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
size_t mapping_line_of(const yaml_node_t *node);

/* A scalar without control characters, or NULL after complaining. */
const char *mapping_scalar(const struct mapping_reader *reader, const yaml_node_t *node, const char *what);
bool mapping_is_plain(const yaml_node_t *node); /* a scalar that is not quoted */

/* *out lives as long as the mapping. */
MUST_USE enum err mapping_save(const struct mapping_reader *reader, const yaml_node_t *node, const char *text,
                               const char **out);
MUST_USE enum err mapping_read_keys(struct mapping_reader *reader, yaml_node_t *node, void *target,
                                    const struct mapping_key *keys, const char *what);
bool mapping_has_key(struct mapping_reader *reader, const yaml_node_t *node, const char *name);
MUST_USE enum err mapping_read_choice(const struct mapping_reader *reader, const yaml_node_t *node,
                                      const char *what, const struct mapping_choice *choices, int *out);
mapping_read_h mapping_read_text; /* const char * */
mapping_read_h mapping_read_yes;  /* bool */

/* --- paths, headers, bodies --- */

mapping_read_h mapping_read_header_name; /* const char * */
mapping_read_h mapping_read_path;        /* const char * */
mapping_read_h mapping_read_method;      /* const char * */
mapping_read_h mapping_read_headers;     /* first and count of fields */
mapping_read_h mapping_read_body;        /* the same */

/* The name of a field or element, of that length. */
bool mapping_is_segment(const struct mapping *mapping, const char *start, size_t length);

/* --- answers and results --- */

mapping_read_h mapping_read_place;   /* const char * */
mapping_read_h mapping_read_answer;  /* struct mapping_answer */
mapping_read_h mapping_read_results; /* first and count of results */

#endif
