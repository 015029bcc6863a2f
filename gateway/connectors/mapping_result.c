#include "gateway/connectors/mapping_priv.h"

#include <stdlib.h>
#include <string.h>

enum err mapping_read_place(struct mapping_reader *reader, yaml_node_t *node, void *target,
                            const struct mapping_key *key)
{
    const char *text = mapping_scalar(reader, node, key->name);
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
        return mapping_complain(reader, mapping_line_of(node),
                                "%s: expected a dotted path of at most %d names", key->name, MAPPING_DEPTH);
    return mapping_save(reader, node, text, target);
}

#define PLACE(field)                                                                                         \
    {                                                                                                        \
#field, mapping_read_place, offsetof(struct mapping_answer, field), false                            \
    }
static const struct mapping_key answer_keys[] = {PLACE(token),    PLACE(ref),   PLACE(order),
                                                 PLACE(status),   PLACE(error), PLACE(amount),
                                                 PLACE(currency), PLACE(url),   {NULL, NULL, 0, false}};

enum err mapping_read_answer(struct mapping_reader *reader, yaml_node_t *node, void *target,
                             const struct mapping_key *key)
{
    return mapping_read_keys(reader, node, target, answer_keys, key->name);
}

static enum err read_http(struct mapping_reader *reader, yaml_node_t *node, void *target,
                          const struct mapping_key *key)
{
    struct mapping_result *result = target;
    const char *text = mapping_scalar(reader, node, key->name);
    if (!text)
        return ERR_SYNTAX;
    bool is_class = strlen(text) == 3 && text[0] >= '1' && text[0] <= '5' && strcmp(text + 1, "xx") == 0;
    bool is_one = strlen(text) == 3 && strspn(text, "0123456789") == 3 && text[0] >= '1' && text[0] <= '5';
    if (!is_class && !is_one)
        return mapping_complain(reader, mapping_line_of(node),
                                "http: expected a status as 402 or a class as 4xx, found \"%.20s\"", text);
    result->http_from = is_class ? (unsigned)(text[0] - '0') * 100 : (unsigned)strtoul(text, NULL, 10);
    result->http_to = is_class ? result->http_from + 99 : result->http_from;
    return OK;
}

/* Text, or null for "is not there". */
static enum err read_match(struct mapping_reader *reader, yaml_node_t *node, void *target,
                           const struct mapping_key *key)
{
    const char *text = mapping_scalar(reader, node, key->name);
    if (!text)
        return ERR_SYNTAX;
    bool is_null = mapping_is_plain(node) && (strcmp(text, "null") == 0 || strcmp(text, "~") == 0);
    if (*text == '\0' || strlen(text) >= LIMIT_NAME_BYTES)
        return mapping_complain(reader, mapping_line_of(node), "%s: expected 1..%d bytes, or null", key->name,
                                LIMIT_NAME_BYTES - 1);
    return mapping_save(reader, node, is_null ? "" : text, target);
}

static enum err read_outcome(struct mapping_reader *reader, yaml_node_t *node, void *target,
                             const struct mapping_key *key)
{
    struct mapping_choice choices[GATEWAY_OUTCOMES + 1] = {{NULL, 0}};
    int value = 0;
    for (int i = 0; i < GATEWAY_OUTCOMES; i++)
        choices[i] = (struct mapping_choice){gateway_outcome_name((enum gateway_outcome)i), i};
    enum err err = mapping_read_choice(reader, node, key->name, choices, &value);
    *(enum gateway_outcome *)target = (enum gateway_outcome)value;
    return err;
}

static enum err read_reason(struct mapping_reader *reader, yaml_node_t *node, void *target,
                            const struct mapping_key *key)
{
    struct mapping_choice choices[REASON_COUNT + 1] = {{NULL, 0}};
    int value = 0;
    for (int i = 0; i < REASON_COUNT; i++)
        choices[i] = (struct mapping_choice){gateway_reason_name((enum gateway_reason)i), i};
    enum err err = mapping_read_choice(reader, node, key->name, choices, &value);
    *(enum gateway_reason *)target = (enum gateway_reason)value;
    return err;
}

static enum err read_state(struct mapping_reader *reader, yaml_node_t *node, void *target,
                           const struct mapping_key *key)
{
    static const struct mapping_choice choices[] = {{"open", ORDER_OPEN},
                                                    {"pending", ORDER_PENDING},
                                                    {"succeeded", ORDER_SUCCEEDED},
                                                    {"authorised", ORDER_AUTHORISED},
                                                    {"cancelled", ORDER_CANCELLED},
                                                    {"unknown", ORDER_UNKNOWN_TO_GATEWAY},
                                                    {NULL, 0}};
    int value = 0;
    enum err err = mapping_read_choice(reader, node, key->name, choices, &value);
    *(enum gateway_order_state *)target = (enum gateway_order_state)value;
    return err;
}

static const struct mapping_key result_keys[] = {
    {"http", read_http, 0, false},
    {"status", read_match, offsetof(struct mapping_result, status), false},
    {"error", read_match, offsetof(struct mapping_result, error), false},
    {"outcome", read_outcome, offsetof(struct mapping_result, outcome), true},
    {"state", read_state, offsetof(struct mapping_result, state), false},
    {"reason", read_reason, offsetof(struct mapping_result, reason), false},
    {"again", mapping_read_yes, offsetof(struct mapping_result, may_repeat), false},
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

enum err mapping_read_results(struct mapping_reader *reader, yaml_node_t *node, void *target,
                              const struct mapping_key *key)
{
    struct mapping *mapping = reader->mapping;
    size_t *first_and_count = target;
    if (node->type != YAML_SEQUENCE_NODE)
        return mapping_complain(reader, mapping_line_of(node), "results: expected a list");
    first_and_count[0] = mapping->row_count;
    for (yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top;
         item++) {
        yaml_node_t *row = yaml_document_get_node(&reader->document, *item);
        if (mapping->row_count == MAPPING_RESULTS_MAX)
            return mapping_complain(reader, mapping_line_of(row), "the file has more than %d results",
                                    MAPPING_RESULTS_MAX);
        struct mapping_result *result = &mapping->results[mapping->row_count++];
        result->http_to = 599;
        enum err err = mapping_read_keys(reader, row, result, result_keys, key->name);
        const char *wrong = err ? NULL : check_result(result);
        if (err || wrong)
            return err ? err : mapping_complain(reader, mapping_line_of(row), "results: %s", wrong);
    }
    first_and_count[1] = mapping->row_count - first_and_count[0];
    return OK;
}
