/* The guard on any bytes, and the answers it makes of them: whole, and never two messages in one. */
#include "base/limits.h"
#include "proxy/sip/sip_guard.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void check_answer(const char *message, size_t length, struct sip_guard_verdict verdict)
{
    static char answer[2 * LIMIT_SIP_TCP_BYTES];
    size_t answer_length = 0;
    if (verdict.action == SIP_GUARD_PASS)
        verdict.status = 503;
    enum err err = sip_guard_answer(message, length, &verdict, "tag", "192.0.2.1", 5060, "INVITE", answer,
                                    sizeof(answer), &answer_length);
    if (verdict.action == SIP_GUARD_DROP || !verdict.is_request) {
        if (err != ERR_ORDER)
            abort();
        return;
    }
    const char *end = memmem(answer, answer_length, "\r\n\r\n", 4);
    if (err || memcmp(answer, "SIP/2.0 ", 8) != 0 || end != answer + answer_length - 4)
        abort();
    struct sip_guard_verdict again;
    sip_guard_check(answer, answer_length, false, &again);
    if (verdict.action == SIP_GUARD_PASS && again.action != SIP_GUARD_PASS)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    const char *message = (const char *)bytes;
    for (int is_stream = 0; is_stream < 2; is_stream++) {
        struct sip_guard_verdict verdict;
        sip_guard_check(message, length, is_stream, &verdict);
        if (verdict.header_bytes + verdict.body_bytes > length)
            abort();
        if ((verdict.reason == NULL) != (verdict.action == SIP_GUARD_PASS))
            abort();
        if ((verdict.status != 0) != (verdict.action == SIP_GUARD_ANSWER))
            abort();
        check_answer(message, length, verdict);
    }
    return 0;
}
