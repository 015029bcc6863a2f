#include "gateway/connectors/generic_priv.h"
#include "gateway/connectors/mapping_body.h"
#include "gateway/connectors/mapping_value.h"
#include "gateway/money.h"

#include <stdio.h>
#include <string.h>

#define HEADER_VALUE_BYTES 1024

struct line {
    char *text;
    size_t capacity, length;
    bool is_escaped; /* for a path: everything but letters, digits and -_.~ of a name's value */
    bool is_full;
};

static void put_char(struct line *line, char c)
{
    if (line->length + 1 < line->capacity)
        line->text[line->length++] = c;
    else
        line->is_full = true;
    line->text[line->length] = '\0';
}

static bool is_plain_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("-_.~", c);
}

static void put_piece(void *writer, const char *text, size_t length)
{
    struct line *line = writer;
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < length; i++) {
        /* Constants of a path were checked to be escaped and hold what separates it. */
        if (!line->is_escaped || is_plain_char(text[i])) {
            put_char(line, text[i]);
            continue;
        }
        put_char(line, '%');
        put_char(line, hex[(unsigned char)text[i] >> 4]);
        put_char(line, hex[(unsigned char)text[i] & 15]);
    }
}

/* Constants as they stand, values of names escaped. */
static enum err put_path(const char *pattern, const struct mapping_source *source,
                         struct connector_request *request)
{
    struct line line = {request->path, sizeof(request->path), 0, false, false};
    char part[MAPPING_VALUE_BYTES];
    while (*pattern) {
        size_t length = strcspn(pattern, "{");
        line.is_escaped = length == 0;
        if (length == 0)
            length = strcspn(pattern, "}") + (strchr(pattern, '}') != NULL);
        if (length >= sizeof(part))
            return ERR_FULL;
        memcpy(part, pattern, length);
        part[length] = '\0';
        pattern += length;
        enum err err = OK;
        if (line.is_escaped)
            err = mapping_value_put(part, source, put_piece, &line);
        else
            put_piece(&line, part, length);
        if (err)
            return err == ERR_EMPTY ? ERR_RANGE : err;
    }
    return line.is_full ? ERR_FULL : OK;
}

static enum err put_headers(const struct mapping *mapping, size_t first, size_t count,
                            const struct mapping_source *source, struct connector_request *request)
{
    enum err err = OK;
    for (size_t i = first; i < first + count && !err; i++) {
        char value[HEADER_VALUE_BYTES] = "";
        struct line line = {value, sizeof(value), 0, false, false};
        err = mapping_value_put(mapping->fields[i].value, source, put_piece, &line);
        if (line.is_full)
            err = ERR_FULL;
        if (!err)
            err = connector_header(request, mapping->fields[i].path, value);
        if (err == ERR_EMPTY)
            err = OK; /* an optional name that is not there: no header */
        wipe(value, sizeof(value));
    }
    return err;
}

static enum err put_head(const struct mapping *mapping, const struct mapping_request *asked,
                         const struct mapping_source *source, struct connector_request *request)
{
    char key[CONNECTOR_STEP_KEY_BYTES];
    bool is_get = strcmp(asked->method, "GET") == 0;
    request->method = asked->method;
    enum err err = put_path(asked->path, source, request);
    if (!err)
        err = connector_header(request, "Accept", mapping->accept);
    if (!err && asked->body_count > 0)
        err = connector_header(request, "Content-Type", mapping->content_type);
    connector_step_key(source->step, key);
    if (!err && mapping->idempotency_header && !is_get)
        err = connector_header(request, mapping->idempotency_header, key);
    if (!err)
        err = put_headers(mapping, mapping->header_first, mapping->header_count, source, request);
    return err ? err : put_headers(mapping, asked->header_first, asked->header_count, source, request);
}

/* The card is there in the first round only, and the session after it: the body with the card is written now, held by
 * the caller, and sent when the session is known. */
static enum err build_session(const struct mapping *mapping, const struct mapping_operation *operation,
                              const struct mapping_source *source, struct connector_request *request)
{
    if (!request->held)
        return ERR_UNSUPPORTED;
    secret_wipe(request->held);
    enum err err = mapping_body_put(mapping, &operation->request, source, request->held);
    if (!err)
        err = put_head(mapping, &operation->session, source, request);
    return err ? err : mapping_body_put(mapping, &operation->session, source, request->body);
}

static enum err build_card(const struct mapping *mapping, const struct mapping_operation *operation,
                           const struct mapping_source *source, struct connector_request *request)
{
    if (!request->held || secret_length(request->held) == 0)
        return ERR_RANGE;
    request->has_card = true;
    enum err err = put_head(mapping, &operation->request, source, request);
    return err ? err : mapping_body_release(request->held, source->session, request->body);
}

/* A gateway that has no orders before they are paid: the order's name is ours, so that it can be asked for. */
static void name_order(const struct connector_step *step, struct connector_verdict *verdict)
{
    connector_verdict_set(verdict, GATEWAY_DONE, ORDER_OPEN, REASON_NONE);
    connector_order_name(step, verdict->order_ref);
}

/* A step that has no request of its own: CREATE is done here, ABANDON asks. */
const struct mapping_operation *generic_operation_of(const struct mapping *mapping,
                                                     enum connector_operation which)
{
    bool asks_instead = which == CONNECTOR_ABANDON && !mapping->operations[which].request.method;
    return &mapping->operations[asks_instead ? CONNECTOR_STATUS : which];
}

static enum err check_step(const struct mapping *mapping, const struct connector_step *step)
{
    bool is_charge = step->operation == CONNECTOR_CREATE || step->operation == CONNECTOR_CONFIRM;
    bool has_amount = step->operation != CONNECTOR_TOKENISE && step->operation != CONNECTOR_SUBSCRIBE;
    bool can_wait = mapping->operations[CONNECTOR_CREATE].says_when_to_capture ||
                    mapping->operations[CONNECTOR_CONFIRM].says_when_to_capture;
    if (has_amount && (step->amount_minor < 1 || step->amount_minor > LIMIT_AMOUNT_MINOR ||
                       !money_is_currency(step->currency)))
        return ERR_RANGE;
    /* A charge where only an authorisation was ordered would be money taken too early. */
    return is_charge && step->is_authorise_only && !can_wait ? ERR_RANGE : OK;
}

enum err generic_build(const struct connector_account *account, const struct connector_step *step,
                       struct connector_request *request, struct connector_verdict *verdict)
{
    const struct mapping *mapping = account->mapping;
    bool is_question = step->operation == CONNECTOR_STATUS || step->operation == CONNECTOR_ABANDON;
    if (!mapping || (unsigned)step->operation >= CONNECTOR_OPERATIONS)
        return ERR_UNSUPPORTED;
    if (is_question && step->order_ref[0] == '\0') {
        connector_verdict_set(verdict, GATEWAY_DONE, ORDER_UNKNOWN_TO_GATEWAY, REASON_NONE);
        return ERR_EMPTY;
    }
    const struct mapping_operation *operation = generic_operation_of(mapping, step->operation);
    enum err err = check_step(mapping, step);
    if (err)
        return err;
    if (step->operation == CONNECTOR_CREATE && !operation->request.method) {
        name_order(step, verdict);
        return ERR_EMPTY;
    }
    if (!operation->request.method)
        return ERR_UNSUPPORTED;
    struct mapping_source source = {account, step, step->carry};
    if (operation->session.method && step->round == 0) {
        source.session = NULL;
        return build_session(mapping, operation, &source, request);
    }
    if (operation->session.method)
        return build_card(mapping, operation, &source, request);
    request->has_card = step->operation == CONNECTOR_TOKENISE;
    err = put_head(mapping, &operation->request, &source, request);
    return err ? err : mapping_body_put(mapping, &operation->request, &source, request->body);
}
