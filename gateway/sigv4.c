#include "gateway/sigv4.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define LINES_MAX      32 /* headers that are signed */
#define PARAMETERS_MAX 32
#define SEGMENTS_MAX   64
#define HASH_BYTES     32
#define HEX_BYTES      (2 * HASH_BYTES + 1)
#define DATE_BYTES     17 /* 20150830T123600Z */
#define DAY_BYTES      8  /* of it */
#define SCOPE_BYTES    (DAY_BYTES + 2 * LIMIT_NAME_BYTES + 16)
#define ENCODED_BYTES  (3 * CONNECTOR_PATH_BYTES + 2 * PARAMETERS_MAX)
#define SIGNED_BYTES   1024 /* the names of the signed headers */

struct line {
    const char *name; /* as in the request */
    size_t name_length;
    const char *value; /* trimmed */
    size_t value_length;
};

/* The canonical request is hashed as it is written: the body has a card, and no second copy of it is made. */
struct canon {
    EVP_MD_CTX *hash;
    bool has_failed;
};

enum err sigv4_key_read(struct sigv4_key *out, const uint8_t *key, size_t length)
{
    const char *text = (const char *)key;
    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < length; i++) {
        if (key[i] <= 0x20 || key[i] >= 0x7f)
            return ERR_SYNTAX;
    }
    const char *first = length > 0 ? memchr(text, ':', length) : NULL;
    if (!first)
        return ERR_SYNTAX;
    size_t rest = length - (size_t)(first + 1 - text);
    const char *second = memchr(first + 1, ':', rest);
    out->access_id = text;
    out->access_id_length = (size_t)(first - text);
    out->secret = (const uint8_t *)first + 1;
    out->secret_length = second ? (size_t)(second - first - 1) : rest;
    if (second) {
        out->session_token = second + 1;
        out->session_token_length = rest - out->secret_length - 1;
    }
    bool is_good = out->access_id_length > 0 && out->access_id_length <= LIMIT_NAME_BYTES * 2 &&
                   out->secret_length > 0 && out->secret_length <= SIGV4_SECRET_BYTES;
    if (second &&
        (out->session_token_length == 0 || memchr(out->session_token, ':', out->session_token_length)))
        is_good = false;
    return is_good ? OK : ERR_SYNTAX;
}

/* --- writing the canonical request --- */

static void put(struct canon *canon, const void *bytes, size_t length)
{
    if (EVP_DigestUpdate(canon->hash, bytes, length) != 1)
        canon->has_failed = true;
}

static void put_text(struct canon *canon, const char *text)
{
    put(canon, text, strlen(text));
}

static bool is_unreserved(unsigned char c)
{
    return isalnum(c) || c == '-' || c == '_' || c == '.' || c == '~';
}

static size_t encode(unsigned char c, char *out)
{
    static const char hex[] = "0123456789ABCDEF";
    if (is_unreserved(c)) {
        out[0] = (char)c;
        return 1;
    }
    out[0] = '%';
    out[1] = hex[c >> 4];
    out[2] = hex[c & 15];
    return 3;
}

/* Segments of the path without ".", ".." and empty ones, each encoded once more. */
static enum err put_path(struct canon *canon, const char *path, size_t length)
{
    struct {
        const char *at;
        size_t length;
    } segments[SEGMENTS_MAX];
    size_t count = 0;
    bool ends_open = true; /* as "/a/" does */
    for (size_t at = 0; at < length;) {
        const char *start = path + at;
        size_t run = 0;
        while (at + run < length && start[run] != '/')
            run++;
        at += run + 1;
        ends_open = run == 0 || (run == 1 && start[0] == '.') || (run == 2 && memcmp(start, "..", 2) == 0);
        if (ends_open && run == 2 && count > 0)
            count--;
        if (ends_open)
            continue;
        if (count == SEGMENTS_MAX)
            return ERR_FULL;
        segments[count].at = start;
        segments[count++].length = run;
    }
    if (length > 0 && path[length - 1] == '/')
        ends_open = true;
    for (size_t i = 0; i < count; i++) {
        char escape[3];
        put(canon, "/", 1);
        for (size_t k = 0; k < segments[i].length; k++)
            put(canon, escape, encode((unsigned char)segments[i].at[k], escape));
    }
    if (ends_open || count == 0)
        put(canon, "/", 1);
    return OK;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Takes one part of a query up to stop, '&' or the end, decodes it and encodes it the canonical way. */
static enum err take_part(const char **at, char stop, char *out, size_t *used)
{
    const char *c = *at;
    for (; *c && *c != stop && *c != '&'; c++) {
        int byte = (unsigned char)*c;
        if (*c == '%') {
            int high = hex_digit(c[1]);
            int low = high < 0 ? -1 : hex_digit(c[2]);
            if (low < 0)
                return ERR_SYNTAX;
            byte = high * 16 + low;
            c += 2;
        }
        *used += encode((unsigned char)byte, out + *used);
    }
    out[(*used)++] = '\0';
    *at = c;
    return OK;
}

struct parameter {
    const char *name;
    const char *value;
};

static void sort_parameters(struct parameter *parameters, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct parameter moving = parameters[i];
        size_t k = i;
        for (; k > 0; k--) {
            int order = strcmp(moving.name, parameters[k - 1].name);
            if (order > 0 || (order == 0 && strcmp(moving.value, parameters[k - 1].value) >= 0))
                break;
            parameters[k] = parameters[k - 1];
        }
        parameters[k] = moving;
    }
}

static enum err put_query(struct canon *canon, const char *query)
{
    char encoded[ENCODED_BYTES];
    struct parameter parameters[PARAMETERS_MAX];
    size_t used = 0;
    size_t count = 0;
    while (*query) {
        if (count == PARAMETERS_MAX)
            return ERR_FULL;
        parameters[count].name = encoded + used;
        enum err err = take_part(&query, '=', encoded, &used);
        if (*query == '=')
            query++;
        parameters[count++].value = encoded + used;
        if (!err)
            err = take_part(&query, '&', encoded, &used);
        if (err)
            return err;
        if (*query == '&')
            query++;
    }
    sort_parameters(parameters, count);
    for (size_t i = 0; i < count; i++) {
        put_text(canon, i > 0 ? "&" : "");
        put_text(canon, parameters[i].name);
        put(canon, "=", 1);
        put_text(canon, parameters[i].value);
    }
    return OK;
}

/* --- the headers --- */

static int compare_names(const struct line *a, const struct line *b)
{
    size_t shorter = a->name_length < b->name_length ? a->name_length : b->name_length;
    for (size_t i = 0; i < shorter; i++) {
        int difference = tolower((unsigned char)a->name[i]) - tolower((unsigned char)b->name[i]);
        if (difference)
            return difference;
    }
    return (a->name_length > b->name_length) - (a->name_length < b->name_length);
}

/* Lines of one name keep their order. */
static void sort_lines(struct line *lines, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct line moving = lines[i];
        size_t k = i;
        for (; k > 0 && compare_names(&moving, &lines[k - 1]) < 0; k--)
            lines[k] = lines[k - 1];
        lines[k] = moving;
    }
}

static enum err split_line(struct line *line, const char *text, size_t length)
{
    const char *colon = memchr(text, ':', length);
    if (!colon || colon == text)
        return ERR_SYNTAX;
    line->name = text;
    line->name_length = (size_t)(colon - text);
    line->value = colon + 1;
    line->value_length = length - line->name_length - 1;
    while (line->value_length > 0 && line->value[0] == ' ') {
        line->value++;
        line->value_length--;
    }
    while (line->value_length > 0 && line->value[line->value_length - 1] == ' ')
        line->value_length--;
    return line->value_length > 0 ? OK : ERR_SYNTAX; /* a line without a value would not be sent */
}

static enum err take_lines(const struct connector_request *request, struct line *lines, size_t *count)
{
    const char *at = request->headers;
    const char *end = request->headers + request->header_length;
    *count = 0;
    lines[(*count)++] = (struct line){"host", 4, request->host, strlen(request->host)};
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t length = stop ? (size_t)(stop - at) : (size_t)(end - at);
        if (*count == LINES_MAX)
            return ERR_FULL;
        enum err err = split_line(&lines[(*count)++], at, length);
        if (err)
            return err;
        at += length + 1;
    }
    sort_lines(lines, *count);
    return OK;
}

/* Spaces in a row count as one. */
static void put_value(struct canon *canon, const struct line *line)
{
    for (size_t i = 0; i < line->value_length; i++) {
        if (i == 0 || line->value[i] != ' ' || line->value[i - 1] != ' ')
            put(canon, line->value + i, 1);
    }
}

static void put_lines(struct canon *canon, const struct line *lines, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool is_again = i > 0 && compare_names(&lines[i], &lines[i - 1]) == 0;
        for (size_t k = 0; k < lines[i].name_length && !is_again; k++) {
            char c = (char)tolower((unsigned char)lines[i].name[k]);
            put(canon, &c, 1);
        }
        put(canon, is_again ? "," : ":", 1);
        put_value(canon, &lines[i]);
        if (i + 1 == count || compare_names(&lines[i], &lines[i + 1]) != 0)
            put(canon, "\n", 1);
    }
}

static enum err list_names(const struct line *lines, size_t count, char *out, size_t capacity)
{
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && compare_names(&lines[i], &lines[i - 1]) == 0)
            continue;
        if (lines[i].name_length + 2 > capacity - used)
            return ERR_FULL;
        if (i > 0)
            out[used++] = ';';
        for (size_t k = 0; k < lines[i].name_length; k++)
            out[used++] = (char)tolower((unsigned char)lines[i].name[k]);
    }
    out[used] = '\0';
    return OK;
}

/* --- hashes --- */

static void put_hex(const uint8_t *hash, char *out)
{
    for (size_t i = 0; i < HASH_BYTES; i++)
        snprintf(out + 2 * i, 3, "%02x", hash[i]);
}

static enum err hash_body(const struct connector_request *request, char *hex)
{
    uint8_t hash[HASH_BYTES];
    size_t length = request->body ? secret_length(request->body) : 0;
    if (EVP_Digest(length > 0 ? secret_bytes(request->body) : (const uint8_t *)"", length, hash, NULL,
                   EVP_sha256(), NULL) != 1)
        return ERR_MEMORY;
    put_hex(hash, hex);
    return OK;
}

static enum err hash_request(const struct connector_request *request, const struct line *lines, size_t count,
                             const char *names, char *hex)
{
    struct canon canon = {.hash = EVP_MD_CTX_new()};
    uint8_t hash[HASH_BYTES];
    char body[HEX_BYTES];
    enum err err = canon.hash && EVP_DigestInit_ex(canon.hash, EVP_sha256(), NULL) == 1 ? OK : ERR_MEMORY;
    if (!err)
        err = hash_body(request, body);
    if (err)
        goto out;
    size_t path_length = strcspn(request->path, "?");
    put_text(&canon, request->method);
    put(&canon, "\n", 1);
    err = put_path(&canon, request->path, path_length);
    put(&canon, "\n", 1);
    if (!err && request->path[path_length] == '?')
        err = put_query(&canon, request->path + path_length + 1);
    put(&canon, "\n", 1);
    put_lines(&canon, lines, count);
    put(&canon, "\n", 1);
    put_text(&canon, names);
    put(&canon, "\n", 1);
    put_text(&canon, body);
    if (!err && (canon.has_failed || EVP_DigestFinal_ex(canon.hash, hash, NULL) != 1))
        err = ERR_MEMORY;
    if (!err)
        put_hex(hash, hex);
out:
    EVP_MD_CTX_free(canon.hash);
    return err;
}

static bool hmac(const uint8_t *key, size_t key_length, const char *text, size_t length, uint8_t *out)
{
    unsigned out_length = HASH_BYTES;
    return HMAC(EVP_sha256(), key, (int)key_length, (const uint8_t *)text, length, out, &out_length) != NULL;
}

/* The signing key of the day, region and service, then the signature. */
static enum err sign_text(const struct sigv4_key *key, const char *day, const char *region,
                          const char *service, const char *text, char *hex)
{
    uint8_t start[4 + SIGV4_SECRET_BYTES] = "AWS4";
    uint8_t keys[4][HASH_BYTES];
    uint8_t signature[HASH_BYTES];
    memcpy(start + 4, key->secret, key->secret_length);
    bool is_signed = hmac(start, 4 + key->secret_length, day, DAY_BYTES, keys[0]) &&
                     hmac(keys[0], HASH_BYTES, region, strlen(region), keys[1]) &&
                     hmac(keys[1], HASH_BYTES, service, strlen(service), keys[2]) &&
                     hmac(keys[2], HASH_BYTES, "aws4_request", 12, keys[3]) &&
                     hmac(keys[3], HASH_BYTES, text, strlen(text), signature);
    wipe(start, sizeof(start));
    wipe(keys, sizeof(keys));
    if (is_signed)
        put_hex(signature, hex);
    return is_signed ? OK : ERR_MEMORY;
}

/* --- the whole --- */

static bool is_scope_name(const char *name)
{
    size_t length = strnlen(name, LIMIT_NAME_BYTES);
    return length > 0 && length < LIMIT_NAME_BYTES &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == length;
}

static enum err put_date(struct connector_request *request, char *date)
{
    struct tm utc;
    time_t now = (time_t)request->now_s;
    if (request->now_s <= 0 || !gmtime_r(&now, &utc) ||
        strftime(date, DATE_BYTES, "%Y%m%dT%H%M%SZ", &utc) != DATE_BYTES - 1)
        return ERR_RANGE;
    return connector_header(request, "x-amz-date", date);
}

static enum err put_session_token(struct connector_request *request, const struct sigv4_key *key)
{
    char token[CONNECTOR_KEY_BYTES + 1];
    if (key->session_token_length == 0)
        return OK;
    if (key->session_token_length >= sizeof(token))
        return ERR_FULL;
    memcpy(token, key->session_token, key->session_token_length);
    token[key->session_token_length] = '\0';
    enum err err = connector_header(request, "x-amz-security-token", token);
    wipe(token, sizeof(token));
    return err;
}

static enum err put_authorization(struct connector_request *request, const struct sigv4_key *key,
                                  const char *region, const char *service, const char *date)
{
    struct line lines[LINES_MAX];
    size_t count;
    char names[SIGNED_BYTES], hash[HEX_BYTES], signature[HEX_BYTES];
    char scope[SCOPE_BYTES];
    char text[64 + SCOPE_BYTES + HEX_BYTES];
    char value[SIGNED_BYTES + SCOPE_BYTES + HEX_BYTES + 2 * LIMIT_NAME_BYTES + 96];
    snprintf(scope, sizeof(scope), "%.8s/%s/%s/aws4_request", date, region, service);
    enum err err = take_lines(request, lines, &count);
    if (!err)
        err = list_names(lines, count, names, sizeof(names));
    if (!err)
        err = hash_request(request, lines, count, names, hash);
    if (err)
        return err;
    snprintf(text, sizeof(text), "AWS4-HMAC-SHA256\n%s\n%s\n%s", date, scope, hash);
    err = sign_text(key, date, region, service, text, signature);
    if (err)
        return err;
    snprintf(value, sizeof(value), "AWS4-HMAC-SHA256 Credential=%.*s/%s, SignedHeaders=%s, Signature=%s",
             (int)key->access_id_length, key->access_id, scope, names, signature);
    return connector_header(request, "authorization", value);
}

enum err sigv4_sign(struct connector_request *request, const struct sigv4_key *key, const char *region,
                    const char *service)
{
    char date[DATE_BYTES];
    size_t start = request->header_length;
    if (!is_scope_name(region) || !is_scope_name(service) || request->host[0] == '\0' ||
        key->secret_length > SIGV4_SECRET_BYTES || key->access_id_length > 2 * LIMIT_NAME_BYTES)
        return ERR_RANGE;
    enum err err = put_date(request, date);
    if (!err)
        err = put_session_token(request, key);
    if (!err)
        err = put_authorization(request, key, region, service, date);
    if (err) {
        wipe(request->headers + start, sizeof(request->headers) - start);
        request->header_length = start;
    }
    return err;
}
