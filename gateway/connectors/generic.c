#include "gateway/connectors/generic.h"

#include "gateway/connectors/generic_priv.h"
#include "gateway/form.h"
#include "gateway/reply_json.h"
#include "gateway/sigv4.h"

#include <stdio.h>
#include <string.h>

/* --- who we are --- */

/* "key:other": the bearer token and what a second header wants. */
static enum err authorise_two(const struct connector_account *account, const uint8_t *key, size_t length,
                              struct connector_request *request)
{
    char second[CONNECTOR_KEY_BYTES + 1];
    const uint8_t *colon = memchr(key, ':', length);
    size_t first_length = colon ? (size_t)(colon - key) : 0;
    if (!colon || first_length == 0 || length - first_length - 1 == 0 || length > CONNECTOR_KEY_BYTES)
        return ERR_SYNTAX;
    memcpy(second, colon + 1, length - first_length - 1);
    second[length - first_length - 1] = '\0';
    enum err err = connector_authorise_bearer(account, key, first_length, request);
    if (!err)
        err = connector_header(request, account->mapping->second_header, second);
    wipe(second, sizeof(second));
    return err;
}

static enum err authorise_header(const struct connector_account *account, const uint8_t *key, size_t length,
                                 struct connector_request *request)
{
    char value[CONNECTOR_KEY_BYTES + 1];
    if (length == 0 || length > CONNECTOR_KEY_BYTES)
        return ERR_RANGE;
    memcpy(value, key, length);
    value[length] = '\0';
    enum err err = connector_header(request, account->mapping->auth_header, value);
    wipe(value, sizeof(value));
    return err;
}

static enum err generic_authorise(const struct connector_account *account, const uint8_t *key, size_t length,
                                  struct connector_request *request)
{
    const struct mapping *mapping = account->mapping;
    struct sigv4_key parts;
    enum err err;
    switch (mapping->auth) {
    case MAPPING_BEARER:
    case MAPPING_OAUTH:
        return mapping->second_header ? authorise_two(account, key, length, request)
                                      : connector_authorise_bearer(account, key, length, request);
    case MAPPING_BASIC:
        return connector_authorise_basic(account, key, length, request);
    case MAPPING_HEADER:
        return authorise_header(account, key, length, request);
    case MAPPING_SIGV4:
        err = sigv4_key_read(&parts, key, length);
        return err ? err : sigv4_sign(request, &parts, account->region, account->service);
    case MAPPING_NONE:
        return OK;
    }
    return ERR_UNSUPPORTED;
}

static enum err generic_build_login(const uint8_t *key, size_t length, struct connector_request *request)
{
    const struct mapping *mapping = request->account ? request->account->mapping : NULL;
    size_t capacity;
    struct form_writer form;
    if (!mapping || !mapping->login_path)
        return ERR_UNSUPPORTED;
    uint8_t *bytes = secret_buffer(request->body, &capacity);
    request->method = "POST";
    snprintf(request->path, sizeof(request->path), "%s", mapping->login_path);
    form_begin(&form, bytes, capacity);
    form_text(&form, "grant_type", "client_credentials");
    if (mapping->login_scope)
        form_text(&form, "scope", mapping->login_scope);
    secret_set_length(request->body, form.length);
    enum err err = connector_authorise_basic(NULL, key, length, request);
    if (!err)
        err = connector_header(request, "Accept", "application/json");
    if (!err)
        err = connector_header(request, "Content-Type", "application/x-www-form-urlencoded");
    return err ? err : form.err;
}

/* RFC 6749 §5.1 */
static bool generic_read_login(const struct connector_answer *answer, struct connector_access *access)
{
    json_t *root = reply_parse(answer);
    const char *token = reply_text(root, "access_token");
    json_int_t valid_s = json_integer_value(json_object_get(root, "expires_in"));
    bool is_access = answer->status == 200 && token && strlen(token) < sizeof(access->text) && valid_s > 0;
    if (is_access) {
        snprintf(access->text, sizeof(access->text), "%s", token);
        access->valid_s = valid_s < 86400 ? (unsigned)valid_s : 86400;
    }
    json_decref(root);
    return is_access;
}

/* A mapping does not say what a live key looks like. */
static bool generic_key_is_live(const uint8_t *key, size_t length)
{
    (void)key;
    (void)length;
    return false;
}

/* --- a connector of a mapping --- */

static const struct {
    const char *name;
    enum mapping_format format;
    bool is_signed; /* must be */
} kinds[] = {{"rest", MAPPING_JSON, false}, {"xml", MAPPING_XML, false}, {"aws", MAPPING_JSON, true}};
#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))

static size_t find_kind(const char *name)
{
    size_t i = 0;
    while (i < KIND_COUNT && strcmp(kinds[i].name, name) != 0)
        i++;
    return i;
}

bool generic_is_name(const char *name)
{
    return find_kind(name) < KIND_COUNT;
}

static uint32_t operations_of(const struct mapping *mapping)
{
    uint32_t operations = 0;
    for (unsigned i = 0; i < CONNECTOR_OPERATIONS; i++)
        operations |= mapping->operations[i].request.method ? 1u << i : 0;
    if (operations & 1u << CONNECTOR_CONFIRM)
        operations |= 1u << CONNECTOR_CREATE | 1u << CONNECTOR_ABANDON;
    return operations;
}

static const char *check_fit(const struct mapping *mapping, size_t kind,
                             const struct connector_account *account, const char *url)
{
    const char *host = strstr(url, "://");
    const char *path = host ? strchr(host + 3, '/') : NULL;
    if (mapping->format != kinds[kind].format)
        return "the mapping's format is not the connector's: rest and aws speak json, xml speaks xml";
    if (kinds[kind].is_signed && mapping->auth != MAPPING_SIGV4)
        return "connector aws needs auth kind sigv4 in the mapping";
    if (mapping->auth == MAPPING_SIGV4 && (!account->region[0] || !account->service[0]))
        return "auth kind sigv4 needs gateway.region and gateway.service";
    if (mapping->auth == MAPPING_SIGV4 && path && path[1])
        return "auth kind sigv4 signs from the host's root: put the path of gateway.url into the mapping's "
               "paths";
    return NULL;
}

enum err generic_bind(struct mapping *mapping, const char *name, const struct connector_account *account,
                      const char *url, char *message)
{
    size_t kind = find_kind(name);
    const char *wrong =
        kind < KIND_COUNT ? check_fit(mapping, kind, account, url) : "not the name of a generic connector";
    if (wrong) {
        snprintf(message, MAPPING_ERROR_BYTES, "gateway.connector %.40s: %s", name, wrong);
        return ERR_SYNTAX;
    }
    mapping->connector = (struct connector){
        .name = kinds[kind].name,
        .operations = operations_of(mapping),
        .is_replay_safe = mapping->is_replay_safe,
        .holds_card = mapping->operations[CONNECTOR_TOKENISE].session.method != NULL,
        .key_is_live = generic_key_is_live,
        .build_login = mapping->auth == MAPPING_OAUTH ? generic_build_login : NULL,
        .read_login = mapping->auth == MAPPING_OAUTH ? generic_read_login : NULL,
        .authorise = generic_authorise,
        .build = generic_build,
        .read = generic_read,
    };
    return OK;
}

enum err generic_open(struct mapping **out, const char *name, const char *path,
                      const struct connector_account *account, const char *url, char *message)
{
    enum err err;
    *out = NULL;
    if (path[0] == '\0') {
        snprintf(message, MAPPING_ERROR_BYTES,
                 "gateway.connector %.40s needs gateway.mapping, the file that says how", name);
        return ERR_SYNTAX;
    }
    err = mapping_load(out, path, message);
    if (!err)
        err = generic_bind(*out, name, account, url, message);
    if (err) {
        mapping_free(*out);
        *out = NULL;
    }
    return err;
}

static enum err check_one(const struct config_gateway *config, char *message)
{
    struct connector_account account = {.mapping = NULL};
    struct mapping *mapping = NULL;
    if (!generic_is_name(config->connector)) {
        bool is_alone = config->mapping[0] == '\0';
        if (!is_alone)
            snprintf(message, MAPPING_ERROR_BYTES,
                     "gateway.mapping goes with gateway.connector rest, xml or aws");
        return is_alone ? OK : ERR_SYNTAX;
    }
    memcpy(account.region, config->region, sizeof(account.region));
    memcpy(account.service, config->service, sizeof(account.service));
    enum err err = generic_open(&mapping, config->connector, config->mapping, &account, config->url, message);
    mapping_free(mapping);
    return err;
}

enum err generic_check(const struct config *config, char *message)
{
    enum err err = check_one(&config->gateway, message);
    return err || config->fallback.url[0] == '\0' ? err : check_one(&config->fallback, message);
}
