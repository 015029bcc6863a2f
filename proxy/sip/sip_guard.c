#include "proxy/sip/sip_guard.h"

/* Not built yet: refuses everything. */
void sip_guard_check(const char *message, size_t length, bool is_stream, struct sip_guard_verdict *verdict)
{
    (void)message;
    (void)length;
    (void)is_stream;
    *verdict = (struct sip_guard_verdict){.action = SIP_GUARD_DROP, .reason = "not built"};
}

enum err sip_guard_answer(const char *message, size_t length, const struct sip_guard_verdict *verdict,
                          const char *to_tag, const char *source, unsigned source_port, const char *allow,
                          char *out, size_t capacity, size_t *out_length)
{
    (void)message;
    (void)length;
    (void)verdict;
    (void)to_tag;
    (void)source;
    (void)source_port;
    (void)allow;
    (void)out;
    (void)capacity;
    (void)out_length;
    return ERR_UNSUPPORTED;
}

enum err sip_guard_frame(const char *bytes, size_t length, size_t *skip, size_t *message_length)
{
    (void)bytes;
    (void)length;
    (void)skip;
    (void)message_length;
    return ERR_UNSUPPORTED;
}
