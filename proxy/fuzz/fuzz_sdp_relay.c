/* Offer and answer, parted by the first zero byte: what media and both sides are told never contradicts itself. */
#include "proxy/sip/sdp.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void check_leg(const struct media_leg *leg)
{
    if (leg->ptime_ms < 10 || leg->ptime_ms > LIMIT_PTIME_MS || leg->payload_type > 127 ||
        leg->event_payload_type > 127 || leg->event_payload_type == leg->payload_type)
        abort();
    if (leg->is_receiving && !leg->rtp_remote.sin_port)
        abort();
    if (ntohl(leg->rtp_remote.sin_addr.s_addr) >= 0xe0000000U)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct in_addr ours = {htonl(INADDR_LOOPBACK)};
    struct sdp offer;
    struct sdp answer;
    struct sdp out;
    struct media_leg legs[MEDIA_SIDES];
    char text[2 * LIMIT_SDP_BYTES];
    size_t written = 0;
    const uint8_t *zero = length ? memchr(bytes, 0, length) : NULL;
    size_t offer_length = zero ? (size_t)(zero - bytes) : length;
    size_t answer_length = zero ? length - offer_length - 1 : 0;
    if (sdp_read(&offer, (const char *)bytes, offer_length, NULL))
        return 0;
    if (!zero || sdp_read(&answer, (const char *)zero + 1, answer_length, NULL))
        answer = offer;
    if (sdp_relay_answer(&offer, &answer, ours, 40000, &out, MEDIA_CALLER, legs))
        return 0;
    check_leg(&legs[MEDIA_CALLER]);
    check_leg(&legs[MEDIA_AGENT]);
    if (legs[MEDIA_CALLER].is_sending != legs[MEDIA_AGENT].is_receiving ||
        legs[MEDIA_CALLER].is_receiving != legs[MEDIA_AGENT].is_sending ||
        legs[MEDIA_CALLER].codec != legs[MEDIA_AGENT].codec || out.media_count != offer.media_count)
        abort();
    if (sdp_write(&out, ours, text, sizeof(text), &written) || sdp_read(&answer, text, written, NULL))
        abort();
    return 0;
}
