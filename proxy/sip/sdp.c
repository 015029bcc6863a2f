#include "proxy/sip/sdp.h"

/* Not built yet. */
enum err sdp_read(struct sdp *sdp, const char *text, size_t length, unsigned *error_line)
{
    (void)sdp;
    (void)text;
    (void)length;
    (void)error_line;
    return ERR_UNSUPPORTED;
}

enum err sdp_write(const struct sdp *sdp, struct in_addr origin, char *text, size_t capacity, size_t *length)
{
    (void)sdp;
    (void)origin;
    (void)text;
    (void)capacity;
    (void)length;
    return ERR_UNSUPPORTED;
}

enum err sdp_relay_offer(const struct sdp *offer, struct in_addr address, uint16_t rtp_port, struct sdp *out)
{
    (void)offer;
    (void)address;
    (void)rtp_port;
    (void)out;
    return ERR_UNSUPPORTED;
}

enum err sdp_relay_answer(const struct sdp *offer, const struct sdp *answer, struct in_addr address,
                          uint16_t rtp_port, struct sdp *out, enum media_side offerer,
                          struct media_leg legs[MEDIA_SIDES])
{
    (void)offer;
    (void)answer;
    (void)address;
    (void)rtp_port;
    (void)out;
    (void)offerer;
    (void)legs;
    return ERR_UNSUPPORTED;
}
