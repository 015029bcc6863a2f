#include "gateway/keys/vault_kv.h"

#include "gateway/keys/reply_secret.h"
#include "gateway/reply_json.h"

#include <stdio.h>
#include <string.h>

#define PREFIX "vault:"

/* Into mount, path and field; path is what a URL may hold without escapes. */
static enum err split(const char *reference, char *mount, char *path, char *field)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._/";
    if (strncmp(reference, PREFIX, sizeof(PREFIX) - 1) != 0)
        return ERR_SYNTAX;
    const char *start = reference + sizeof(PREFIX) - 1;
    const char *slash = strchr(start, '/');
    const char *hash = strchr(start, '#');
    if (!slash || !hash || slash > hash || slash == start || hash == slash + 1 || hash[1] == '\0')
        return ERR_SYNTAX;
    if (strspn(start, allowed) != (size_t)(hash - start) || strstr(start, "//") || strstr(start, "/.") ||
        hash[-1] == '/')
        return ERR_SYNTAX;
    if (strlen(start) >= LIMIT_PATH_BYTES)
        return ERR_LENGTH;
    snprintf(mount, LIMIT_PATH_BYTES, "%.*s", (int)(slash - start), start);
    snprintf(path, LIMIT_PATH_BYTES, "%.*s", (int)(hash - slash - 1), slash + 1);
    snprintf(field, LIMIT_PATH_BYTES, "%s", hash + 1);
    return OK;
}

enum err vault_kv_build(const char *reference, const struct secret *token, const char *name_space,
                        struct connector_request *request)
{
    char mount[LIMIT_PATH_BYTES], path[LIMIT_PATH_BYTES], field[LIMIT_PATH_BYTES];
    char line[CONNECTOR_KEY_BYTES + 1];
    enum err err = split(reference, mount, path, field);
    if (err)
        return err;
    int length = snprintf(request->path, sizeof(request->path), "/v1/%s/data/%s", mount, path);
    if ((size_t)length >= sizeof(request->path) || secret_length(token) >= sizeof(line))
        return ERR_LENGTH;
    request->method = "GET";
    memcpy(line, secret_bytes(token), secret_length(token));
    line[secret_length(token)] = '\0';
    err = connector_header(request, "X-Vault-Token", line);
    wipe(line, sizeof(line));
    if (!err)
        err = connector_header(request, "X-Vault-Request", "true"); /* agents and proxies want it */
    if (!err && name_space[0])
        err = connector_header(request, "X-Vault-Namespace", name_space);
    return err;
}

enum err vault_kv_read(const char *reference, const struct connector_answer *answer, struct secret *value)
{
    char mount[LIMIT_PATH_BYTES], path[LIMIT_PATH_BYTES], field[LIMIT_PATH_BYTES];
    secret_wipe(value);
    enum err err = split(reference, mount, path, field);
    if (err)
        return err;
    if (answer->status != 200)
        return answer->status == 404                            ? ERR_NOT_FOUND
               : answer->status == 403 || answer->status == 401 ? ERR_REFUSED
               : answer->status >= 500 || answer->status == 429 ? ERR_SYSTEM
                                                                : ERR_SYNTAX;
    json_t *root = reply_parse(answer);
    json_t *fields = REPLY_AT(root, "data", "data");
    if (json_is_null(fields)) /* a version that was deleted */
        err = ERR_NOT_FOUND;
    else if (!json_is_object(fields))
        err = ERR_SYNTAX;
    else
        err = reply_secret(json_object_get(fields, field), value);
    json_decref(root);
    return err;
}
