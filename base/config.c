#include "base/config.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

/* libyaml builds the document with a line for every node; a table per mapping says which keys there are, which are
 * compulsory, how a value is read and what is expected of it. One error ends the reading. */

struct reader {
    yaml_document_t document;
    const char *name;
    char *message;
};

struct key;
typedef enum err read_h(struct reader *reader, yaml_node_t *node, void *target, const struct key *key);

struct key {
    const char *name;
    read_h *read;
    size_t offset;
    bool is_required;
    long least; /* numbers */
    long most;
    const struct key *keys; /* mappings: ends with a NULL name */
};

static enum err complain(struct reader *reader, size_t line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static enum err complain(struct reader *reader, size_t line, const char *format, ...)
{
    char what[CONFIG_ERROR_BYTES - LIMIT_PATH_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    snprintf(reader->message, CONFIG_ERROR_BYTES, "%.200s:%zu: %s", reader->name, line, what);
    return ERR_SYNTAX;
}

static size_t line_of(const yaml_node_t *node)
{
    return node->start_mark.line + 1;
}

static const char *kind_of(const yaml_node_t *node)
{
    return node->type == YAML_MAPPING_NODE    ? "a mapping"
           : node->type == YAML_SEQUENCE_NODE ? "a list"
                                              : "a value";
}

/* The text of a scalar without embedded zeros, or NULL after complaining. */
static const char *scalar(struct reader *reader, yaml_node_t *node, const struct key *key,
                          const char *expected)
{
    if (node->type != YAML_SCALAR_NODE) {
        complain(reader, line_of(node), "%s: expected %s, found %s", key->name, expected, kind_of(node));
        return NULL;
    }
    const char *text = (const char *)node->data.scalar.value;
    if (strlen(text) != node->data.scalar.length) {
        complain(reader, line_of(node), "%s: expected %s, found a zero byte", key->name, expected);
        return NULL;
    }
    return text;
}

static enum err read_number(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    char expected[80];
    snprintf(expected, sizeof(expected), "a whole number %ld..%ld", key->least, key->most);
    const char *text = scalar(reader, node, key, expected);
    if (!text)
        return ERR_SYNTAX;
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno || end == text || *end || value < key->least || value > key->most)
        return complain(reader, line_of(node), "%s: expected %s, found \"%.40s\"", key->name, expected, text);
    *(unsigned *)target = (unsigned)value;
    return OK;
}

static enum err read_bool(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    const char *text = scalar(reader, node, key, "true or false");
    if (!text)
        return ERR_SYNTAX;
    if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
        return complain(reader, line_of(node), "%s: expected true or false, found \"%.40s\"", key->name,
                        text);
    *(bool *)target = strcmp(text, "true") == 0;
    return OK;
}

/* A key that says what is on, for a member that says what is off. */
static enum err read_off(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    bool is_on = false;
    enum err err = read_bool(reader, node, &is_on, key);
    if (!err)
        *(bool *)target = !is_on;
    return err;
}

static enum err read_text(struct reader *reader, yaml_node_t *node, char *target, const struct key *key,
                          size_t capacity, const char *expected)
{
    const char *text = scalar(reader, node, key, expected);
    if (!text)
        return ERR_SYNTAX;
    if (*text == '\0' || strlen(text) >= capacity)
        return complain(reader, line_of(node), "%s: expected %s of 1..%zu bytes", key->name, expected,
                        capacity - 1);
    for (const char *c = text; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return complain(reader, line_of(node), "%s: expected %s without control characters", key->name,
                            expected);
    }
    snprintf(target, capacity, "%s", text);
    return OK;
}

static enum err read_path(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    return read_text(reader, node, target, key, LIMIT_PATH_BYTES, "a path");
}

static enum err read_name(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    return read_text(reader, node, target, key, LIMIT_NAME_BYTES, "a name");
}

/* An RFC 3261 token that begins with X-: what may cross is not one of SIP's own headers; but the one that is made to carry
 * what others put in, User-to-User (RFC 7433 §4), may. */
static enum err read_header_name(struct reader *reader, yaml_node_t *node, void *target,
                                 const struct key *key)
{
    char name[LIMIT_NAME_BYTES] = "";
    enum err err = read_text(reader, node, name, key, sizeof(name), "a header name");
    if (err)
        return err;
    bool may_cross = strcasecmp(name, "User-to-User") == 0 || (strncasecmp(name, "X-", 2) == 0 && name[2]);
    if (!may_cross)
        return complain(reader, line_of(node),
                        "%s: expected a header name that begins with X-, or User-to-User, found \"%s\"",
                        key->name, name);
    for (const char *c = name; *c; c++) {
        if (!isalnum((unsigned char)*c) && *c != '-' && *c != '_' && *c != '.')
            return complain(reader, line_of(node),
                            "%s: expected letters, digits, '-', '_' and '.', found \"%s\"", key->name, name);
    }
    memcpy(target, name, sizeof(name));
    return OK;
}

static enum err read_url(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    enum err err = read_text(reader, node, target, key, LIMIT_PATH_BYTES, "an https:// address");
    if (!err && strncmp(target, "https://", 8) != 0)
        return complain(reader, line_of(node), "%s: expected an https:// address", key->name);
    return err;
}

/* Plain http, for what cannot be otherwise. */
static enum err read_plain_url(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    enum err err = read_text(reader, node, target, key, LIMIT_PATH_BYTES, "an http:// address");
    if (!err && (strncmp(target, "http://", 7) != 0 || strchr(target, '@')))
        return complain(reader, line_of(node), "%s: expected an http:// address without a user", key->name);
    return err;
}

static bool parse_port(const char *text, uint16_t *port)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno || end == text || *end || value < 1 || value > 65535 || !isdigit((unsigned char)*text))
        return false;
    *port = (uint16_t)value;
    return true;
}

static enum err read_address(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    const char *text = scalar(reader, node, key, "an IPv4 address");
    if (!text)
        return ERR_SYNTAX;
    if (inet_pton(AF_INET, text, target) != 1)
        return complain(reader, line_of(node), "%s: expected an IPv4 address, found \"%.40s\"", key->name,
                        text);
    return OK;
}

static enum err read_endpoint(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    const char *text = scalar(reader, node, key, "ADDRESS:PORT");
    if (!text)
        return ERR_SYNTAX;
    struct sockaddr_in *address = target;
    char host[INET_ADDRSTRLEN];
    const char *colon = strrchr(text, ':');
    uint16_t port = 0;
    bool is_good = colon && (size_t)(colon - text) < sizeof(host) && parse_port(colon + 1, &port);
    if (is_good) {
        memcpy(host, text, (size_t)(colon - text));
        host[colon - text] = '\0';
        is_good = inet_pton(AF_INET, host, &address->sin_addr) == 1;
    }
    if (!is_good)
        return complain(reader, line_of(node), "%s: expected IPV4-ADDRESS:PORT, found \"%.40s\"", key->name,
                        text);
    address->sin_family = AF_INET;
    address->sin_port = htons(port);
    return OK;
}

struct choice {
    const char *name;
    int value;
};

static enum err read_choice(struct reader *reader, yaml_node_t *node, int *target, const struct key *key,
                            const struct choice *choices)
{
    char expected[160] = "one of";
    for (const struct choice *c = choices; c->name; c++)
        snprintf(expected + strlen(expected), sizeof(expected) - strlen(expected), " %s", c->name);
    const char *text = scalar(reader, node, key, expected);
    if (!text)
        return ERR_SYNTAX;
    for (const struct choice *c = choices; c->name; c++) {
        if (strcmp(c->name, text) == 0) {
            *target = c->value;
            return OK;
        }
    }
    return complain(reader, line_of(node), "%s: expected %s, found \"%.40s\"", key->name, expected, text);
}

#define CHOICE_READER(function, type, ...)                                                                   \
    static enum err function(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)  \
    {                                                                                                        \
        static const struct choice choices[] = {__VA_ARGS__, {NULL, 0}};                                     \
        int value = 0;                                                                                       \
        enum err err = read_choice(reader, node, &value, key, choices);                                      \
        if (!err)                                                                                            \
            *(type *)target = (type)value;                                                                   \
        return err;                                                                                          \
    }

CHOICE_READER(read_level, enum log_level, {"debug", LOG_DEBUG}, {"info", LOG_INFO}, {"warn", LOG_WARN},
              {"error", LOG_ERROR})
CHOICE_READER(read_format, enum log_format, {"text", LOG_FORMAT_TEXT}, {"json", LOG_FORMAT_JSON})
CHOICE_READER(read_transport, enum config_transport, {"udp", CONFIG_UDP}, {"tcp", CONFIG_TCP})
CHOICE_READER(read_mode, enum config_mask_mode, {"noise", CONFIG_MASK_NOISE}, {"beep", CONFIG_MASK_BEEP},
              {"mute", CONFIG_MASK_MUTE})
CHOICE_READER(read_engine, enum config_engine, {"own", CONFIG_ENGINE_OWN}, {"spandsp", CONFIG_ENGINE_SPANDSP})
CHOICE_READER(read_on_open, enum config_on_open, {"fallback", CONFIG_ON_OPEN_FALLBACK},
              {"queue", CONFIG_ON_OPEN_QUEUE}, {"agent", CONFIG_ON_OPEN_AGENT})
CHOICE_READER(read_webhook_vendor, enum config_webhook_vendor, {"stripe", CONFIG_WEBHOOK_STRIPE},
              {"braintree", CONFIG_WEBHOOK_BRAINTREE}, {"paypal", CONFIG_WEBHOOK_PAYPAL},
              {"adyen", CONFIG_WEBHOOK_ADYEN}, {"worldpay", CONFIG_WEBHOOK_WORLDPAY})
CHOICE_READER(read_aws_credentials, enum config_aws_credentials, {"static", CONFIG_AWS_STATIC},
              {"container", CONFIG_AWS_CONTAINER}, {"instance", CONFIG_AWS_INSTANCE})
CHOICE_READER(read_hook_event, enum config_hook_event, {"payment", CONFIG_HOOK_PAYMENT},
              {"subscription", CONFIG_HOOK_SUBSCRIPTION}, {"refund", CONFIG_HOOK_REFUND},
              {"receipt_sms", CONFIG_HOOK_RECEIPT_SMS}, {"receipt_email", CONFIG_HOOK_RECEIPT_EMAIL})
CHOICE_READER(read_recording_api, enum config_recording_api, {"recordingstate", CONFIG_RECORDING_STATE},
              {"seed", CONFIG_RECORDING_SEED}, {"off", CONFIG_RECORDING_OFF})
/* The numbers are those of enum card_brand (capture/capture_msg.h); a test there holds the two together. */
CHOICE_READER(read_brand, uint32_t, {"visa", 1}, {"mastercard", 2}, {"amex", 3}, {"discover", 4}, {"jcb", 5},
              {"diners", 6}, {"unionpay", 7}, {"maestro", 8})

static enum err read_port_range(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    const char *text = scalar(reader, node, key, "FIRST-LAST");
    if (!text)
        return ERR_SYNTAX;
    uint16_t *range = target;
    char first[8] = "";
    const char *dash = strchr(text, '-');
    bool is_good = dash && (size_t)(dash - text) < sizeof(first);
    if (is_good) {
        memcpy(first, text, (size_t)(dash - text));
        is_good = parse_port(first, &range[0]) && parse_port(dash + 1, &range[1]);
    }
    if (!is_good || range[0] % 2 != 0 || range[1] < range[0] + 3)
        return complain(reader, line_of(node),
                        "%s: expected FIRST-LAST, FIRST even and at least four ports, found \"%.40s\"",
                        key->name, text);
    return OK;
}

static enum err read_source(struct reader *reader, yaml_node_t *node, struct config_source *source,
                            const struct key *key)
{
    const char *text = scalar(reader, node, key, "an address or ADDRESS/BITS");
    if (!text)
        return ERR_SYNTAX;
    char host[INET_ADDRSTRLEN] = "";
    const char *slash = strchr(text, '/');
    size_t host_length = slash ? (size_t)(slash - text) : strlen(text);
    long bits = 32;
    char *end = NULL;
    bool is_good = host_length < sizeof(host);
    if (is_good) {
        memcpy(host, text, host_length);
        if (slash) {
            bits = strtol(slash + 1, &end, 10);
            is_good = end != slash + 1 && *end == '\0' && bits >= 8 && bits <= 32;
        }
    }
    struct in_addr address;
    if (!is_good || inet_pton(AF_INET, host, &address) != 1)
        return complain(reader, line_of(node),
                        "%s: expected an IPv4 address or ADDRESS/8..32, found \"%.40s\"", key->name, text);
    source->mask = bits == 32 ? UINT32_MAX : ~(UINT32_MAX >> bits);
    source->network = ntohl(address.s_addr) & source->mask;
    return OK;
}

/* Calls each for every item of a list of 1..most items. */
typedef enum err item_h(struct reader *reader, yaml_node_t *item, void *target, size_t index,
                        const struct key *key);

static enum err read_list(struct reader *reader, yaml_node_t *node, void *target, const struct key *key,
                          size_t most, item_h *each, size_t *count)
{
    if (node->type != YAML_SEQUENCE_NODE)
        return complain(reader, line_of(node), "%s: expected a list, found %s", key->name, kind_of(node));
    size_t length = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
    if (length == 0 || length > most)
        return complain(reader, line_of(node), "%s: expected a list of 1..%zu items, found %zu", key->name,
                        most, length);
    for (size_t i = 0; i < length; i++) {
        yaml_node_t *item = yaml_document_get_node(&reader->document, node->data.sequence.items.start[i]);
        enum err err = each(reader, item, target, i, key);
        if (err)
            return err;
    }
    *count = length;
    return OK;
}

static const struct key *find_key(const struct key *keys, const char *name)
{
    for (; keys->name; keys++) {
        if (strcmp(keys->name, name) == 0)
            return keys;
    }
    return NULL;
}

#define KEYS_MAX 40

static enum err read_mapping(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    if (node->type != YAML_MAPPING_NODE)
        return complain(reader, line_of(node), "%s: expected a mapping, found %s", key->name, kind_of(node));
    bool has_seen[KEYS_MAX] = {false};
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top;
         pair++) {
        yaml_node_t *name_node = yaml_document_get_node(&reader->document, pair->key);
        yaml_node_t *value = yaml_document_get_node(&reader->document, pair->value);
        const char *name = scalar(reader, name_node, key, "a key");
        if (!name)
            return ERR_SYNTAX;
        const struct key *known = find_key(key->keys, name);
        if (!known)
            return complain(reader, line_of(name_node), "unknown key \"%.60s\" in %s", name, key->name);
        if (has_seen[known - key->keys])
            return complain(reader, line_of(name_node), "key \"%s\" stands twice in %s", name, key->name);
        has_seen[known - key->keys] = true;
        enum err err = known->read(reader, value, (char *)target + known->offset, known);
        if (err)
            return err;
    }
    for (const struct key *k = key->keys; k->name; k++) {
        if (k->is_required && !has_seen[k - key->keys])
            return complain(reader, line_of(node), "%s: key \"%s\" is missing", key->name, k->name);
    }
    return OK;
}

#define AT(member) offsetof(struct config, member)
#define NUMBER(n, at, lo, hi)                                                                                \
    {                                                                                                        \
        .name = (n), .read = read_number, .offset = (at), .least = (lo), .most = (hi)                        \
    }
#define MAPPING(n, table, req)                                                                               \
    {                                                                                                        \
        .name = (n), .read = read_mapping, .is_required = (req), .keys = (table)                             \
    }

static enum err each_listener(struct reader *reader, yaml_node_t *item, void *target, size_t index,
                              const struct key *key)
{
    (void)key;
    static const struct key keys[] = {{.name = "transport",
                                       .read = read_transport,
                                       .offset = offsetof(struct config_listener, transport),
                                       .is_required = true},
                                      {.name = "address",
                                       .read = read_endpoint,
                                       .offset = offsetof(struct config_listener, address),
                                       .is_required = true},
                                      {.name = NULL}};
    static const struct key listener = {.name = "listen", .keys = keys};
    struct config *config = target;
    return read_mapping(reader, item, &config->sip.listeners[index], &listener);
}

/* Lists are read with target = the whole config, so their rows have offset 0. */
static enum err read_listeners(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    struct config *config = target;
    return read_list(reader, node, target, key, LIMIT_SIP_LISTENERS, each_listener,
                     &config->sip.listener_count);
}

static enum err each_source(struct reader *reader, yaml_node_t *item, void *target, size_t index,
                            const struct key *key)
{
    struct config_trunk *trunk = target;
    return read_source(reader, item, &trunk->allow[index], key);
}

static enum err read_sources(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    struct config_trunk *trunk = target;
    return read_list(reader, node, target, key, LIMIT_TRUNK_SOURCES, each_source, &trunk->allow_count);
}

static const struct key trunk_keys[] = {
    {.name = "allow", .read = read_sources, .is_required = true},
    {.name = "target",
     .read = read_endpoint,
     .offset = offsetof(struct config_trunk, target),
     .is_required = true},
    {.name = "transport", .read = read_transport, .offset = offsetof(struct config_trunk, transport)},
    {.name = "domain", .read = read_name, .offset = offsetof(struct config_trunk, domain)},
    {.name = NULL}};

static enum err read_trunk(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    const struct key trunk = {.name = key->name, .keys = trunk_keys};
    return read_mapping(reader, node, target, &trunk);
}

static const struct key trunks_keys[] = {{.name = "carrier",
                                          .read = read_trunk,
                                          .offset = AT(sip.trunks[CONFIG_TRUNK_CARRIER]),
                                          .is_required = true},
                                         {.name = "contact_centre",
                                          .read = read_trunk,
                                          .offset = AT(sip.trunks[CONFIG_TRUNK_CONTACT_CENTRE]),
                                          .is_required = true},
                                         {.name = NULL}};

static enum err each_header(struct reader *reader, yaml_node_t *item, void *target, size_t index,
                            const struct key *key)
{
    struct config *config = target;
    return read_header_name(reader, item, config->sip.crossing_headers[index], key);
}

static enum err read_headers(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    struct config *config = target;
    return read_list(reader, node, target, key, LIMIT_CROSSING_HEADERS, each_header,
                     &config->sip.crossing_header_count);
}

static enum err each_brand(struct reader *reader, yaml_node_t *item, void *target, size_t index,
                           const struct key *key)
{
    struct config *config = target;
    uint32_t brand = 0;
    enum err err = read_brand(reader, item, &brand, key);
    if (index == 0)
        config->capture.brands = 0;
    config->capture.brands |= 1u << brand;
    return err;
}

static enum err read_brands(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    size_t count;
    return read_list(reader, node, target, key, 16, each_brand, &count);
}

static enum err each_token(struct reader *reader, yaml_node_t *item, void *target, size_t index,
                           const struct key *key)
{
    (void)key;
    static const struct key keys[] = {{.name = "name",
                                       .read = read_name,
                                       .offset = offsetof(struct config_api_token, name),
                                       .is_required = true},
                                      {.name = "file",
                                       .read = read_path,
                                       .offset = offsetof(struct config_api_token, path),
                                       .is_required = true},
                                      {.name = NULL}};
    static const struct key token = {.name = "tokens", .keys = keys};
    struct config *config = target;
    return read_mapping(reader, item, &config->desk.tokens[index], &token);
}

static enum err read_tokens(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    struct config *config = target;
    return read_list(reader, node, target, key, LIMIT_API_TOKENS, each_token, &config->desk.token_count);
}

static enum err each_webhook_key(struct reader *reader, yaml_node_t *item, void *target, size_t index,
                                 const struct key *key)
{
    struct config_webhook *webhook = target;
    return read_path(reader, item, webhook->key_paths[index], key);
}

static enum err read_webhook_keys(struct reader *reader, yaml_node_t *node, void *target,
                                  const struct key *key)
{
    struct config_webhook *webhook = target;
    return read_list(reader, node, target, key, LIMIT_WEBHOOK_KEYS, each_webhook_key, &webhook->key_count);
}

static enum err each_webhook(struct reader *reader, yaml_node_t *item, void *target, size_t index,
                             const struct key *key)
{
    static const struct key keys[] = {
        {.name = "vendor",
         .read = read_webhook_vendor,
         .offset = offsetof(struct config_webhook, vendor),
         .is_required = true},
        {.name = "account", .read = read_name, .offset = offsetof(struct config_webhook, account)},
        {.name = "keys", .read = read_webhook_keys, .is_required = true},
        {.name = NULL}};
    static const struct key webhook_key = {.name = "webhooks", .keys = keys};
    struct config *config = target;
    struct config_webhook *webhook = &config->desk.webhooks[index];
    enum err err = read_mapping(reader, item, webhook, &webhook_key);
    if (err)
        return err;
    bool needs_account =
        webhook->vendor == CONFIG_WEBHOOK_BRAINTREE || webhook->vendor == CONFIG_WEBHOOK_PAYPAL;
    if (needs_account && !webhook->account[0])
        return complain(reader, line_of(item),
                        "%s: key \"account\" is missing (Braintree: the public key, "
                        "PayPal: the webhook's id)",
                        key->name);
    for (size_t i = 0; i < index; i++) {
        if (config->desk.webhooks[i].vendor == webhook->vendor)
            return complain(reader, line_of(item), "%s: the same vendor stands there twice", key->name);
    }
    return OK;
}

static enum err read_webhooks(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    struct config *config = target;
    return read_list(reader, node, target, key, LIMIT_WEBHOOKS, each_webhook, &config->desk.webhook_count);
}

static enum err each_hook_event(struct reader *reader, yaml_node_t *item, void *target, size_t index,
                                const struct key *key)
{
    struct config_hook_target *hook = target;
    enum config_hook_event event = 0;
    (void)index;
    enum err err = read_hook_event(reader, item, &event, key);
    hook->events |= (unsigned)event;
    return err;
}

static enum err read_hook_events(struct reader *reader, yaml_node_t *node, void *target,
                                 const struct key *key)
{
    size_t count;
    return read_list(reader, node, target, key, 5, each_hook_event, &count);
}

static enum err each_hook(struct reader *reader, yaml_node_t *item, void *target, size_t index,
                          const struct key *key)
{
    (void)key;
#define HOOK_AT(member) offsetof(struct config_hook_target, member)
    static const struct key keys[] = {
        {.name = "name", .read = read_name, .offset = HOOK_AT(name), .is_required = true},
        {.name = "url", .read = read_url, .offset = HOOK_AT(url), .is_required = true},
        {.name = "key", .read = read_path, .offset = HOOK_AT(key_path), .is_required = true},
        {.name = "ca_file", .read = read_path, .offset = HOOK_AT(ca_path)},
        {.name = "events", .read = read_hook_events, .is_required = true},
        {.name = NULL}};
    static const struct key hook_key = {.name = "hooks", .keys = keys};
    struct config *config = target;
    return read_mapping(reader, item, &config->hook_targets[index], &hook_key);
}

static enum err read_hooks(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    struct config *config = target;
    return read_list(reader, node, target, key, LIMIT_HOOK_TARGETS, each_hook, &config->hook_target_count);
}

static const struct key genesys_keys[] = {
    {.name = "region", .read = read_name, .offset = AT(genesys.region), .is_required = true},
    {.name = "client", .read = read_path, .offset = AT(genesys.client_path), .is_required = true},
    {.name = "ca_file", .read = read_path, .offset = AT(genesys.ca_path)},
    {.name = "test_url", .read = read_url, .offset = AT(genesys.test_url)},
    {.name = "recording_api", .read = read_recording_api, .offset = AT(genesys.recording_api)},
    {.name = "reference_is_conversation", .read = read_bool, .offset = AT(genesys.reference_is_conversation)},
    {.name = NULL}};
static const struct key log_keys[] = {{.name = "level", .read = read_level, .offset = AT(log_level)},
                                      {.name = "format", .read = read_format, .offset = AT(log_format)},
                                      {.name = NULL}};
static const struct key run_keys[] = {{.name = "user", .read = read_name, .offset = AT(user)},
                                      {.name = NULL}};
static const struct key sip_keys[] = {
    {.name = "listen", .read = read_listeners, .is_required = true},
    MAPPING("trunks", trunks_keys, true),
    {.name = "crossing_headers", .read = read_headers},
    {.name = "reference_header", .read = read_header_name, .offset = AT(sip.reference_header)},
    NUMBER("calls_max", AT(sip.calls_max), 1, LIMIT_CALLS),
    NUMBER("stranger_rate", AT(sip.stranger_rate), 0, 1000),
    {.name = NULL}};
static const struct key media_keys[] = {
    {.name = "address", .read = read_address, .offset = AT(media.address), .is_required = true},
    {.name = "ports", .read = read_port_range, .offset = AT(media.port_first), .is_required = true},
    NUMBER("workers", AT(media.workers), 0, LIMIT_MEDIA_WORKERS),
    NUMBER("tick_us", AT(media.tick_us), 1000, 20000),
    NUMBER("lookahead_ms", AT(media.lookahead_ms), 0, LIMIT_LOOKAHEAD_MS),
    {.name = "mode", .read = read_mode, .offset = AT(media.mode)},
    {.name = "engine", .read = read_engine, .offset = AT(media.engine)},
    {.name = "watch", .read = read_bool, .offset = AT(media.watch)},
    {.name = "masking_off", .read = read_bool, .offset = AT(media.masking_off)},
    {.name = NULL}};
static const struct key recorder_keys[] = {
    {.name = "directory", .read = read_path, .offset = AT(recorder.directory)},
    {.name = "rtp", .read = read_endpoint, .offset = AT(recorder.rtp)},
    {.name = NULL}};
static const struct key capture_keys[] = {
    NUMBER("idle_s", AT(capture.idle_s), 5, 3600),
    NUMBER("session_s", AT(capture.session_s), 30, 7200),
    NUMBER("attempts_max", AT(capture.attempts_max), 1, LIMIT_PAYMENT_ATTEMPTS),
    {.name = "brands", .read = read_brands},
    {.name = NULL}};
#define OF(member) offsetof(struct config_gateway, member)
static const struct key breaker_keys[] = {NUMBER("slow_ms", OF(breaker.slow_ms), 0, LIMIT_GATEWAY_CEILING_MS),
                                          NUMBER("failures", OF(breaker.failures), 0, 1000),
                                          NUMBER("open_s", OF(breaker.open_s), 1, 300),
                                          {.name = NULL}};
static const struct key gateway_keys[] = {
    {.name = "url", .read = read_url, .offset = OF(url), .is_required = true},
    {.name = "api_key_file", .read = read_path, .offset = OF(api_key_path), .is_required = true},
    {.name = "ca_file", .read = read_path, .offset = OF(ca_path)},
    {.name = "client_certificate", .read = read_path, .offset = OF(certificate_path)},
    {.name = "client_key", .read = read_path, .offset = OF(certificate_key_path)},
    {.name = "proxy", .read = read_plain_url, .offset = OF(proxy)},
    NUMBER("key_max_age_s", OF(key_max_age_s), 0, 86400),
    {.name = "connector", .read = read_name, .offset = OF(connector)},
    {.name = "mapping", .read = read_path, .offset = OF(mapping)},
    {.name = "region", .read = read_name, .offset = OF(region)},
    {.name = "service", .read = read_name, .offset = OF(service)},
    {.name = "merchant", .read = read_name, .offset = OF(merchant)},
    {.name = "sandbox", .read = read_bool, .offset = OF(sandbox)},
    {.name = "trace", .read = read_path, .offset = OF(trace_path)},
    {.name = "enabled", .read = read_off, .offset = OF(is_off)},
    {.name = "on_open", .read = read_on_open, .offset = OF(on_open)},
    NUMBER("create_timeout_ms", OF(create_timeout_ms), 1000, LIMIT_GATEWAY_CEILING_MS),
    NUMBER("charge_timeout_ms", OF(charge_timeout_ms), 1000, LIMIT_GATEWAY_CEILING_MS),
    NUMBER("ceiling_ms", OF(ceiling_ms), 1000, LIMIT_GATEWAY_CEILING_MS),
    NUMBER("retries", OF(retries), 0, 5),
    NUMBER("create_retries", OF(create_retries), 0, 5),
    NUMBER("retry_wait_ms", OF(retry_wait_ms), 10, 10000),
    NUMBER("retry_factor", OF(retry_factor), 1, 10),
    NUMBER("slow_mark_ms", OF(slow_mark_ms), 0, LIMIT_GATEWAY_CEILING_MS),
    MAPPING("breaker", breaker_keys, false),
    {.name = NULL}};

/* Reads one mapping for each gateway; its keys count from the gateway, not from the whole configuration. */
static enum err read_gateway(struct reader *reader, yaml_node_t *node, void *target, const struct key *key)
{
    const struct key gateway = {.name = key->name, .keys = gateway_keys};
    return read_mapping(reader, node, target, &gateway);
}

static const struct key vault_store_keys[] = {
    {.name = "url", .read = read_url, .offset = AT(secrets.vault.url), .is_required = true},
    {.name = "token", .read = read_path, .offset = AT(secrets.vault.token), .is_required = true},
    {.name = "namespace", .read = read_name, .offset = AT(secrets.vault.name_space)},
    {.name = "ca_file", .read = read_path, .offset = AT(secrets.vault.ca_path)},
    {.name = NULL}};
static const struct key aws_store_keys[] = {
    {.name = "region", .read = read_name, .offset = AT(secrets.aws.region), .is_required = true},
    {.name = "url", .read = read_url, .offset = AT(secrets.aws.url)},
    {.name = "ca_file", .read = read_path, .offset = AT(secrets.aws.ca_path)},
    {.name = "credentials", .read = read_aws_credentials, .offset = AT(secrets.aws.credentials)},
    {.name = "access_key_id", .read = read_path, .offset = AT(secrets.aws.key_id)},
    {.name = "secret_access_key", .read = read_path, .offset = AT(secrets.aws.key_secret)},
    {.name = "session_token", .read = read_path, .offset = AT(secrets.aws.session_token)},
    {.name = "container_uri", .read = read_path, .offset = AT(secrets.aws.container)},
    {.name = "metadata_url", .read = read_plain_url, .offset = AT(secrets.aws.metadata_url)},
    {.name = NULL}};
static const struct key secrets_keys[] = {
    MAPPING("vault", vault_store_keys, false), MAPPING("aws", aws_store_keys, false), {.name = NULL}};
static const struct key desk_keys[] = {
    {.name = "listen", .read = read_endpoint, .offset = AT(desk.listen), .is_required = true},
    {.name = "certificate", .read = read_path, .offset = AT(desk.certificate_path), .is_required = true},
    {.name = "key", .read = read_path, .offset = AT(desk.key_path), .is_required = true},
    {.name = "database", .read = read_path, .offset = AT(desk.database_path), .is_required = true},
    {.name = "audit", .read = read_path, .offset = AT(desk.audit_path), .is_required = true},
    {.name = "tokens", .read = read_tokens, .is_required = true},
    {.name = "webhooks", .read = read_webhooks},
    {.name = NULL}};
static const struct key top_keys[] = {
    MAPPING("log", log_keys, false),
    MAPPING("run", run_keys, false),
    MAPPING("sip", sip_keys, true),
    MAPPING("media", media_keys, true),
    MAPPING("recorder", recorder_keys, false),
    MAPPING("capture", capture_keys, false),
    {.name = "gateway", .read = read_gateway, .offset = AT(gateway), .is_required = true},
    {.name = "fallback_gateway", .read = read_gateway, .offset = AT(fallback)},
    MAPPING("secrets", secrets_keys, false),
    {.name = "hooks", .read = read_hooks},
    MAPPING("genesys", genesys_keys, false),
    MAPPING("desk", desk_keys, true),
    {.name = NULL}};

#define BRANDS_DEFAULT 0x1fe /* all of enum card_brand but the unknown */

static void set_defaults(struct config *config)
{
    *config = (struct config){.log_level = LOG_INFO, .log_format = LOG_FORMAT_JSON};
    config->sip.calls_max = 500;
    config->sip.stranger_rate = 10;
    config->media.tick_us = 5000;
    config->media.lookahead_ms = 20;
    config->media.watch = true;
    config->capture.idle_s = 120;
    config->capture.session_s = 1800;
    config->capture.attempts_max = 3;
    config->capture.brands = BRANDS_DEFAULT;
    config->gateway = (struct config_gateway){
        .create_timeout_ms = 5000,
        .charge_timeout_ms = 30000,
        .ceiling_ms = LIMIT_GATEWAY_CEILING_MS,
        .retries = 2,
        .create_retries = 1,
        .retry_wait_ms = 1000,
        .retry_factor = 2,
        .slow_mark_ms = 3000,
        .breaker = {.slow_ms = 15000, .failures = 10, .open_s = 30},
    };
    config->fallback = config->gateway;
}

static enum err check_gateway(struct reader *reader, const struct config_gateway *gateway, const char *name)
{
    if (!gateway->certificate_path[0] != !gateway->certificate_key_path[0])
        return complain(reader, 1, "%s: client_certificate and client_key go together", name);
    if (gateway->trace_path[0] && !gateway->sandbox)
        return complain(reader, 1, "%s: trace shows payloads of test cards and needs sandbox: true", name);
    return OK;
}

static enum err check_secrets(struct reader *reader, const struct config *config)
{
    const char *keys[] = {config->gateway.api_key_path, config->fallback.api_key_path};
    const struct config_secrets *secrets = &config->secrets;
    for (size_t i = 0; i < 2; i++) {
        if (strncmp(keys[i], "vault:", 6) == 0 && !secrets->vault.url[0])
            return complain(reader, 1, "api_key_file \"%.60s\" needs secrets: vault", keys[i]);
        if (strncmp(keys[i], "aws:", 4) == 0 && !secrets->aws.region[0])
            return complain(reader, 1, "api_key_file \"%.60s\" needs secrets: aws", keys[i]);
    }
    bool is_static = secrets->aws.credentials == CONFIG_AWS_STATIC;
    if (secrets->aws.region[0] && is_static && (!secrets->aws.key_id[0] || !secrets->aws.key_secret[0]))
        return complain(reader, 1,
                        "secrets: aws: credentials static need access_key_id and secret_access_key");
    if (secrets->aws.credentials == CONFIG_AWS_CONTAINER && !secrets->aws.container[0])
        return complain(reader, 1, "secrets: aws: credentials container need container_uri");
    if (secrets->aws.metadata_url[0] && !config->gateway.sandbox)
        return complain(reader, 1, "secrets: aws: metadata_url is for tests and needs gateway sandbox: true");
    return OK;
}

/* What no single key can tell. */
static enum err check_whole(struct reader *reader, const struct config *config)
{
    if (config->media.masking_off && !config->gateway.sandbox)
        return complain(reader, 1, "media: masking_off is for leak checks and needs gateway sandbox: true");
    enum err err = check_gateway(reader, &config->gateway, "gateway");
    if (!err)
        err = check_gateway(reader, &config->fallback, "fallback_gateway");
    if (!err)
        err = check_secrets(reader, config);
    if (err)
        return err;
    if (config->fallback.url[0] && config->fallback.sandbox != config->gateway.sandbox)
        return complain(reader, 1, "fallback_gateway: sandbox must be what gateway: sandbox is");
    unsigned ports = (unsigned)config->media.port_last - config->media.port_first + 1;
    if (config->sip.calls_max > ports / 4)
        return complain(reader, 1, "sip: calls_max %u needs %u ports, media: ports has %u",
                        config->sip.calls_max, config->sip.calls_max * 4, ports);
    return OK;
}

const char *config_gateway_secret(const struct config *config, size_t index)
{
    const char *const references[] = {config->gateway.api_key_path,   config->fallback.api_key_path,
                                      config->secrets.vault.token,    config->secrets.aws.key_id,
                                      config->secrets.aws.key_secret, config->secrets.aws.session_token,
                                      config->secrets.aws.container,  config->genesys.client_path};
    const size_t count = sizeof(references) / sizeof(references[0]);
    if (index < count)
        return references[index];
    return index - count < config->hook_target_count ? config->hook_targets[index - count].key_path : NULL;
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

enum err config_parse(struct config *config, const char *name, const char *text, size_t length, char *message)
{
    struct reader reader = {.name = name, .message = message};
    message[0] = '\0';
    if (length > LIMIT_CONFIG_BYTES) {
        complain(&reader, 1, "expected at most %d bytes", LIMIT_CONFIG_BYTES);
        return ERR_LENGTH;
    }
    enum err err = parse_document(&reader, text, length);
    if (err)
        return err;
    static const struct key top = {.name = "the configuration", .keys = top_keys};
    struct config fresh;
    set_defaults(&fresh);
    yaml_node_t *root = yaml_document_get_root_node(&reader.document);
    if (!root)
        err = complain(&reader, 1, "the file is empty: expected sip, media, gateway and desk");
    else
        err = read_mapping(&reader, root, &fresh, &top);
    if (!err)
        err = check_whole(&reader, &fresh);
    yaml_document_delete(&reader.document);
    if (!err)
        *config = fresh;
    return err;
}

static enum err read_file(const char *path, char **text, size_t *length, char *message)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0) {
        snprintf(message, CONFIG_ERROR_BYTES, "%.200s: cannot be opened: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return ERR_SYSTEM;
    }
    enum err err = OK;
    *text = NULL;
    if (!S_ISREG(status.st_mode) || status.st_size > LIMIT_CONFIG_BYTES) {
        snprintf(message, CONFIG_ERROR_BYTES, "%.200s: expected a file of at most %d bytes", path,
                 LIMIT_CONFIG_BYTES);
        err = ERR_LENGTH;
        goto out;
    }
    *text = malloc((size_t)status.st_size + 1);
    ssize_t got = *text ? read(fd, *text, (size_t)status.st_size) : -1;
    if (got < 0) {
        snprintf(message, CONFIG_ERROR_BYTES, "%.200s: cannot be read: %s", path, strerror(errno));
        free(*text);
        *text = NULL;
        err = ERR_SYSTEM;
        goto out;
    }
    *length = (size_t)got;
out:
    close(fd);
    return err;
}

enum err config_load(struct config *config, const char *path, char **text, size_t *length, char *message)
{
    char *bytes = NULL;
    size_t byte_count = 0;
    enum err err = read_file(path, &bytes, &byte_count, message);
    if (err)
        return err;
    err = config_parse(config, path, bytes, byte_count, message);
    if (text && !err) {
        *text = bytes;
        *length = byte_count;
        return OK;
    }
    free(bytes);
    return err;
}
