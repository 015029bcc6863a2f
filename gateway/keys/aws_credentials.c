#include "gateway/keys/aws_credentials.h"

#include "gateway/reply_json.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define SESSION_HEADER "X-aws-ec2-metadata-token"
#define VALID_S_MAX    86400

static bool is_printable(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (text[i] <= 0x20 || text[i] > 0x7e)
            return false;
    }
    return length > 0;
}

static enum err status_err(unsigned status)
{
    return status == 200                    ? OK
           : status == 404                  ? ERR_NOT_FOUND
           : status == 401 || status == 403 ? ERR_REFUSED
                                            : ERR_SYSTEM;
}

/* --- questions --- */

static enum err put_path(struct connector_request *request, const char *method, const char *path,
                         const char *last)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._/+=,@?&%";
    if (strspn(last, allowed) != strlen(last))
        return ERR_SYNTAX;
    request->method = method;
    int length = snprintf(request->path, sizeof(request->path), "%s%s", path, last);
    return (size_t)length < sizeof(request->path) ? OK : ERR_SYNTAX;
}

enum err aws_container_build(const char *relative, struct connector_request *request)
{
    return relative[0] == '/' ? put_path(request, "GET", "", relative) : ERR_SYNTAX;
}

enum err aws_session_build(struct connector_request *request)
{
    enum err err = put_path(request, "PUT", "/latest/api/token", "");
    return err ? err : connector_header(request, SESSION_HEADER "-ttl-seconds", "300");
}

enum err aws_role_build(const char *session, struct connector_request *request)
{
    enum err err = put_path(request, "GET", "/latest/meta-data/iam/security-credentials/", "");
    return err ? err : connector_header(request, SESSION_HEADER, session);
}

enum err aws_instance_build(const char *session, const char *role, struct connector_request *request)
{
    enum err err = put_path(request, "GET", "/latest/meta-data/iam/security-credentials/", role);
    return err ? err : connector_header(request, SESSION_HEADER, session);
}

/* --- answers --- */

/* One line of text and nothing else. */
static enum err read_line(const struct connector_answer *answer, char *out, size_t capacity)
{
    size_t length = answer->body_length;
    const char *body = (const char *)answer->body;
    enum err err = status_err(answer->status);
    if (err)
        return err;
    while (length > 0 && (body[length - 1] == '\n' || body[length - 1] == '\r'))
        length--;
    if (length >= capacity)
        return ERR_LENGTH;
    if (!is_printable(body, length))
        return ERR_SYNTAX;
    memcpy(out, body, length);
    out[length] = '\0';
    return OK;
}

enum err aws_session_read(const struct connector_answer *answer, char session[AWS_SESSION_BYTES])
{
    return read_line(answer, session, AWS_SESSION_BYTES);
}

enum err aws_role_read(const struct connector_answer *answer, char role[LIMIT_NAME_BYTES])
{
    enum err err = read_line(answer, role, LIMIT_NAME_BYTES);
    return !err && strpbrk(role, "/?#%") ? ERR_SYNTAX : err;
}

/* "2026-11-26T17:00:00Z" */
static enum err read_time(const char *text, int64_t *seconds)
{
    struct tm when = {.tm_isdst = 0};
    const char *end = text ? strptime(text, "%Y-%m-%dT%H:%M:%SZ", &when) : NULL;
    if (!end || *end)
        return ERR_SYNTAX;
    *seconds = timegm(&when);
    return OK;
}

static enum err put_part(struct secret *credentials, size_t *length, const json_t *root, const char *name)
{
    size_t capacity;
    uint8_t *bytes = secret_buffer(credentials, &capacity);
    const char *text = reply_text(root, name);
    size_t text_length = text ? strlen(text) : 0;
    if (!text || !is_printable(text, text_length) || strchr(text, ':'))
        return ERR_SYNTAX;
    if (*length + text_length + 1 > capacity)
        return ERR_LENGTH;
    if (*length > 0)
        bytes[(*length)++] = ':';
    memcpy(bytes + *length, text, text_length);
    *length += text_length;
    return OK;
}

enum err aws_credentials_read(const struct connector_answer *answer, int64_t now_s,
                              struct secret *credentials, unsigned *valid_s)
{
    static const char *const parts[] = {"AccessKeyId", "SecretAccessKey", "Token"};
    size_t length = 0;
    int64_t until_s = 0;
    secret_wipe(credentials);
    enum err err = status_err(answer->status);
    if (err)
        return err;
    json_t *root = reply_parse(answer);
    for (size_t i = 0; i < 3 && !err; i++)
        err = put_part(credentials, &length, root, parts[i]);
    if (!err)
        err = read_time(reply_text(root, "Expiration"), &until_s);
    if (!err && until_s <= now_s)
        err = ERR_TIMEOUT;
    json_decref(root);
    if (err) {
        secret_wipe(credentials);
        return err;
    }
    secret_set_length(credentials, length);
    *valid_s = until_s - now_s < VALID_S_MAX ? (unsigned)(until_s - now_s) : VALID_S_MAX;
    return OK;
}
