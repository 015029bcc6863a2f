/* The vocabulary of mapping files: {names} that stand for what a step has, in the midst of constant text.
 *
 * "{{" is a brace. "{name|number}" and "{name|text}" say how JSON writes a value that stands alone; without, amounts in
 * minor units, counts and true/false are bare and everything else is text. */
#ifndef TONEGATE_GATEWAY_MAPPING_VALUE_H
#define TONEGATE_GATEWAY_MAPPING_VALUE_H

#include "gateway/connector.h"
#include "gateway/connectors/mapping.h"

enum mapping_place { MAPPING_IN_PATH, MAPPING_IN_HEADER, MAPPING_IN_BODY };

/* What a value of a file must fit. */
struct mapping_position {
    enum connector_operation operation;
    enum mapping_place place;
    bool has_session; /* the request comes after one that brings {session} */
    bool is_session;  /* it is that one: no card */
};

/* What was found in a value that was checked. */
struct mapping_use {
    bool has_idempotency_key;
    bool says_when_to_capture;
};

/* OK, or ERR_SYNTAX and why (capacity bytes). */
MUST_USE enum err mapping_value_check(const char *value, const struct mapping_position *position,
                                      struct mapping_use *use, char *why, size_t capacity);

/* Where the words of a value go, piece by piece; a piece is gone after the call. */
typedef void mapping_piece_h(void *writer, const char *text, size_t length);

struct mapping_source {
    const struct connector_account *account;
    const struct connector_step *step;
    const char *session; /* NULL: not known yet, MAPPING_SESSION_MARK stands for it */
};

/* Writes a checked value. ERR_EMPTY: it is one optional name that the step does not have, and nothing was written: leave
 * the field out. ERR_RANGE: the step lacks a name that must be there, or one holds a control character. Card digits are
 * on the stack for the time of a piece and wiped. */
MUST_USE enum err mapping_value_put(const char *value, const struct mapping_source *source,
                                    mapping_piece_h *piece_h, void *writer);

/* A value that is one name and stands bare in JSON. */
bool mapping_value_is_bare(const char *value);

#endif
