#include "proxy/sip/sip_guard.h"
#include "proxy/sip/sip_guard_priv.h"

#include <string.h>

static size_t keep_alives(const char *bytes, size_t length)
{
    size_t skip = 0;
    while (length - skip >= 2 && bytes[skip] == '\r' && bytes[skip + 1] == '\n')
        skip += 2;
    return skip;
}

static enum err body_length(const struct sip_block *block, uint64_t *body)
{
    size_t count = 0;
    const struct sip_line *line = sip_block_find(block, SIP_HEADER_CONTENT_LENGTH, &count);
    if (block->fault || count != 1 || !sip_grammar_number(line->value, INT32_MAX, body))
        return ERR_SYNTAX;
    return block->bytes + *body <= LIMIT_SIP_TCP_BYTES ? OK : ERR_LENGTH;
}

enum err sip_guard_frame(const char *bytes, size_t length, size_t *skip, size_t *message_length)
{
    *skip = keep_alives(bytes, length);
    struct sip_text rest = {bytes + *skip, length - *skip};
    if (rest.length == 0 || (rest.length == 1 && *rest.at == '\r'))
        return ERR_EMPTY;
    if (!sip_is_token_char((unsigned char)*rest.at))
        return ERR_SYNTAX;
    size_t seen = rest.length < LIMIT_SIP_TCP_BYTES ? rest.length : LIMIT_SIP_TCP_BYTES;
    if (!memmem(rest.at, seen, "\r\n\r\n", 4))
        return seen < LIMIT_SIP_TCP_BYTES ? ERR_EMPTY : ERR_LENGTH;
    struct sip_block block;
    uint64_t body = 0;
    if (!sip_block_split((struct sip_text){rest.at, seen}, &block))
        return ERR_SYNTAX;
    enum err err = body_length(&block, &body);
    if (err)
        return err;
    if (rest.length < block.bytes + body)
        return ERR_EMPTY;
    *message_length = block.bytes + (size_t)body;
    return OK;
}
