/* Framing says the same whether bytes come at once or in pieces, and what it cuts out is what the guard then sees. */
#include "base/limits.h"
#include "proxy/sip/sip_guard.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

/* Before the message is whole, and nothing is wrong with it, more is asked for. */
static void check_prefix(const char *bytes, size_t prefix, enum err whole, size_t skip, size_t message_length)
{
    size_t prefix_skip = 0;
    size_t prefix_length = 0;
    enum err err = sip_guard_frame(bytes, prefix, &prefix_skip, &prefix_length);
    if (prefix_skip > prefix || (whole == ERR_EMPTY && err != ERR_EMPTY))
        abort();
    if (whole != OK)
        return;
    bool is_there = prefix >= skip + message_length;
    if (err != (is_there ? OK : ERR_EMPTY) || (is_there && prefix_length != message_length))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    const char *stream = (const char *)bytes;
    for (size_t at = 0; at <= length;) {
        size_t skip = 0;
        size_t message_length = 0;
        size_t rest = length - at;
        enum err err = sip_guard_frame(stream + at, rest, &skip, &message_length);
        if (skip > rest)
            abort();
        size_t step = rest / 64 + 1;
        for (size_t prefix = 0; prefix < rest; prefix += step)
            check_prefix(stream + at, prefix, err, skip, message_length);
        if (err != OK)
            break;
        struct sip_guard_verdict verdict;
        if (!message_length || message_length > rest - skip || message_length > LIMIT_SIP_TCP_BYTES)
            abort();
        sip_guard_check(stream + at + skip, message_length, true, &verdict);
        if (verdict.action == SIP_GUARD_PASS && verdict.header_bytes + verdict.body_bytes != message_length)
            abort();
        at += skip + message_length;
    }
    return 0;
}
