/* What a login at Genesys Cloud may answer: a token is taken whole or not at all, and nothing a header cannot hold. */
#include "gateway/platforms/genesys.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static struct secret *token;
    unsigned valid_s = 0;
    if (!token && secret_new(&token, GENESYS_TOKEN_BYTES) != OK)
        return 0;
    enum err err = genesys_read_login(bytes, length, token, &valid_s);
    ASSERT(!err == (secret_length(token) > 0));
    ASSERT(valid_s > 0 && valid_s < 7 * 86400);
    for (size_t i = 0; i < secret_length(token); i++)
        ASSERT(secret_bytes(token)[i] > 0x20 && secret_bytes(token)[i] < 0x7f);
    return 0;
}
