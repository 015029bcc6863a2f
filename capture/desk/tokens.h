/* Bearer tokens of the API (RFC 6750 §2.1). Only hashes stay in memory; a comparison looks at every token, whatever
 * it finds. Thread: one owner. */
#ifndef TONEGATE_CAPTURE_DESK_TOKENS_H
#define TONEGATE_CAPTURE_DESK_TOKENS_H

#include "base/config.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

#define TOKEN_LENGTH_MIN 24 /* 128 bits and more in any common alphabet */
#define TOKEN_LENGTH_MAX 200

struct tokens {
    struct {
        char name[LIMIT_NAME_BYTES];
        uint8_t hash[32];
    } entries[LIMIT_API_TOKENS];
    size_t count;
    uint8_t key[32]; /* of the hash: drawn at start */
};

/* Reads one token from each file: the first line, without spaces round it. The file may hold nothing else.
 * *failed (may be NULL) is the entry an error is about. ERR_SYSTEM (file), ERR_SYNTAX (alphabet of RFC 6750),
 * ERR_LENGTH, ERR_EXISTS (the same token twice). */
MUST_USE enum err tokens_load(struct tokens *tokens, const struct config_api_token *entries, size_t count,
                              size_t *failed);

/* Value of an Authorization header -> name of the token; NULL when it is none of ours. */
const char *tokens_match(const struct tokens *tokens, const char *authorization);

#endif
