#include "proxy/sip/sip_headers.h"

/* Not built yet. */
enum err sip_headers_parse(const char *message, const struct sip_guard_verdict *verdict, osip_message_t **out)
{
    (void)message;
    (void)verdict;
    (void)out;
    return ERR_UNSUPPORTED;
}

enum err sip_headers_cross(const osip_message_t *in, const struct config *config, osip_message_t *out)
{
    (void)in;
    (void)config;
    (void)out;
    return ERR_UNSUPPORTED;
}

enum err sip_headers_user(const osip_uri_t *uri, char *user, size_t capacity)
{
    (void)uri;
    (void)user;
    (void)capacity;
    return ERR_UNSUPPORTED;
}

bool sip_headers_require_unknown(const osip_message_t *in, char *unsupported, size_t capacity)
{
    (void)in;
    (void)unsupported;
    (void)capacity;
    return false;
}
