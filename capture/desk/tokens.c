#include "capture/desk/tokens.h"

#include "base/secret.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* b64token of RFC 6750 §2.1. */
static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=";

static enum err token_hash(const struct tokens *tokens, const char *token, size_t length, uint8_t *hash)
{
    unsigned hash_length = 0;
    if (!HMAC(EVP_sha256(), tokens->key, sizeof(tokens->key), (const unsigned char *)token, length, hash,
              &hash_length))
        return ERR_MEMORY;
    return OK;
}

static enum err token_read(const char *path, char *token, size_t capacity, size_t *length)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return ERR_SYSTEM;
    ssize_t got = read(fd, token, capacity - 1);
    close(fd);
    if (got < 0)
        return ERR_SYSTEM;
    token[got] = '\0';
    size_t end = strcspn(token, "\r\n");
    if (token[end + strspn(token + end, "\r\n \t")] != '\0')
        return ERR_SYNTAX;
    while (end > 0 && (token[end - 1] == ' ' || token[end - 1] == '\t'))
        end--;
    if (end < TOKEN_LENGTH_MIN || end > TOKEN_LENGTH_MAX)
        return ERR_LENGTH;
    token[end] = '\0';
    *length = end;
    return strspn(token, alphabet) == end ? OK : ERR_SYNTAX;
}

static enum err token_add(struct tokens *tokens, const struct config_api_token *entry)
{
    char token[TOKEN_LENGTH_MAX + 8];
    size_t length = 0;
    uint8_t hash[32];
    enum err err = token_read(entry->path, token, sizeof(token), &length);
    if (!err)
        err = token_hash(tokens, token, length, hash);
    wipe(token, sizeof(token));
    for (size_t i = 0; i < tokens->count && !err; i++) {
        if (CRYPTO_memcmp(tokens->entries[i].hash, hash, sizeof(hash)) == 0)
            err = ERR_EXISTS;
    }
    if (err)
        return err;
    memcpy(tokens->entries[tokens->count].hash, hash, sizeof(hash));
    snprintf(tokens->entries[tokens->count].name, LIMIT_NAME_BYTES, "%s", entry->name);
    tokens->count++;
    return OK;
}

enum err tokens_load(struct tokens *tokens, const struct config_api_token *entries, size_t count,
                     size_t *failed)
{
    memset(tokens, 0, sizeof(*tokens));
    if (count > LIMIT_API_TOKENS)
        return ERR_FULL;
    if (RAND_bytes(tokens->key, sizeof(tokens->key)) != 1)
        return ERR_SYSTEM;
    for (size_t i = 0; i < count; i++) {
        if (failed)
            *failed = i;
        enum err err = token_add(tokens, &entries[i]);
        if (err)
            return err;
    }
    return OK;
}

const char *tokens_match(const struct tokens *tokens, const char *authorization)
{
    uint8_t hash[32];
    const char *name = NULL;
    if (strncasecmp(authorization, "Bearer ", 7) != 0)
        return NULL;
    const char *token = authorization + 7;
    token += strspn(token, " ");
    size_t length = strlen(token);
    if (length > TOKEN_LENGTH_MAX || token_hash(tokens, token, length, hash) != OK)
        return NULL;
    for (size_t i = 0; i < tokens->count; i++) {
        if (CRYPTO_memcmp(tokens->entries[i].hash, hash, sizeof(hash)) == 0)
            name = tokens->entries[i].name;
    }
    return name;
}
