#include "gateway/keys/secrets_manager.h"

#include "gateway/json_writer.h"
#include "gateway/keys/reply_secret.h"
#include "gateway/reply_json.h"

#include <stdio.h>
#include <string.h>

#define PREFIX "aws:"

/* field is empty where the whole secret is meant. */
static enum err split(const char *reference, char *id, char *field)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/_+=.@-:";
    if (strncmp(reference, PREFIX, sizeof(PREFIX) - 1) != 0)
        return ERR_SYNTAX;
    const char *start = reference + sizeof(PREFIX) - 1;
    size_t length = strspn(start, allowed);
    if (length == 0 || length >= LIMIT_PATH_BYTES || (start[length] && start[length] != '#'))
        return ERR_SYNTAX;
    const char *name = start[length] == '#' ? start + length + 1 : "";
    if ((start[length] == '#' && name[0] == '\0') || strlen(name) >= LIMIT_PATH_BYTES)
        return ERR_SYNTAX;
    snprintf(id, LIMIT_PATH_BYTES, "%.*s", (int)length, start);
    snprintf(field, LIMIT_PATH_BYTES, "%s", name);
    return OK;
}

enum err secrets_manager_build(const char *reference, struct connector_request *request)
{
    char id[LIMIT_PATH_BYTES], field[LIMIT_PATH_BYTES];
    struct json_writer json;
    size_t capacity;
    enum err err = split(reference, id, field);
    if (err)
        return err;
    uint8_t *bytes = secret_buffer(request->body, &capacity);
    json_begin(&json, bytes, capacity);
    json_open_object(&json, NULL);
    json_put_text(&json, "SecretId", id);
    json_put_text(&json, "VersionStage", "AWSCURRENT");
    json_close(&json);
    if (json.err)
        return json.err;
    secret_set_length(request->body, json.length);
    request->method = "POST";
    snprintf(request->path, sizeof(request->path), "/");
    err = connector_header(request, "Content-Type", "application/x-amz-json-1.1");
    return err ? err : connector_header(request, "X-Amz-Target", "secretsmanager.GetSecretValue");
}

static enum err read_error(const struct connector_answer *answer, const json_t *root)
{
    static const struct {
        const char *type;
        enum err err;
    } rows[] = {
        {"ResourceNotFoundException", ERR_NOT_FOUND},  {"AccessDeniedException", ERR_REFUSED},
        {"InvalidSignatureException", ERR_REFUSED},    {"UnrecognizedClientException", ERR_REFUSED},
        {"IncompleteSignatureException", ERR_REFUSED}, {"ExpiredTokenException", ERR_REFUSED},
        {"InvalidClientTokenId", ERR_REFUSED},         {"DecryptionFailure", ERR_REFUSED},
        {"ThrottlingException", ERR_SYSTEM},           {"InternalServiceError", ERR_SYSTEM},
        {"InvalidRequestException", ERR_NOT_FOUND}, /* marked for deletion */
    };
    const char *type = reply_text(root, "__type");
    const char *name = type ? strrchr(type, '#') : NULL;
    for (size_t i = 0; type && i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strcmp(name ? name + 1 : type, rows[i].type) == 0)
            return rows[i].err;
    }
    return answer->status >= 500 || answer->status == 429   ? ERR_SYSTEM
           : answer->status == 403 || answer->status == 401 ? ERR_REFUSED
                                                            : ERR_SYNTAX;
}

/* The secret is JSON in a JSON text. */
static enum err read_field(const json_t *text, const char *field, struct secret *value)
{
    const struct connector_answer inner = {.body = (const uint8_t *)json_string_value(text),
                                           .body_length = json_string_length(text)};
    json_t *root = json_is_string(text) ? reply_parse(&inner) : NULL;
    enum err err = json_is_object(root) ? reply_secret(json_object_get(root, field), value) : ERR_SYNTAX;
    json_decref(root);
    return err;
}

enum err secrets_manager_read(const char *reference, const struct connector_answer *answer,
                              struct secret *value)
{
    char id[LIMIT_PATH_BYTES], field[LIMIT_PATH_BYTES];
    secret_wipe(value);
    enum err err = split(reference, id, field);
    if (err)
        return err;
    json_t *root = reply_parse(answer);
    const json_t *text = json_object_get(root, "SecretString");
    if (answer->status != 200)
        err = read_error(answer, root);
    else if (!text) /* SecretBinary: no key is one */
        err = root ? ERR_NOT_FOUND : ERR_SYNTAX;
    else
        err = field[0] ? read_field(text, field, value) : reply_secret(text, value);
    json_decref(root);
    return err;
}
