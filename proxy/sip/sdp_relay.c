/* Offer and answer through us (RFC 3264): the same description on our address, cut to what we relay. */
#include "proxy/sip/sdp.h"

#include <arpa/inet.h>
#include <string.h>

#define PTIME_DEFAULT_MS 20 /* RFC 3551 §4.2 */
#define PTIME_LEAST_MS   10

static bool is_codec(const struct sdp_format *format)
{
    return format->encoding == SDP_PCMU || format->encoding == SDP_PCMA;
}

static const struct sdp_format *format_of(const struct sdp_media *media, int encoding)
{
    for (size_t i = 0; i < media->format_count; i++)
        if ((int)media->formats[i].encoding == encoding)
            return &media->formats[i];
    return NULL;
}

static bool ptime_is_ours(const struct sdp_media *media)
{
    return !media->ptime_ms || (media->ptime_ms >= PTIME_LEAST_MS && media->ptime_ms <= LIMIT_PTIME_MS);
}

static bool media_is_acceptable(const struct sdp_media *media)
{
    bool has_codec = format_of(media, SDP_PCMU) || format_of(media, SDP_PCMA);
    return media->is_audio && media->port && has_codec && ptime_is_ours(media);
}

/* The line of the offer that is relayed; media_count when there is none. */
static size_t media_choose(const struct sdp *offer)
{
    size_t i = 0;
    while (i < offer->media_count && !media_is_acceptable(&offer->media[i]))
        i++;
    return i;
}

static bool may_send(const struct sdp_media *media)
{
    return media->direction == SDP_SENDRECV || media->direction == SDP_SENDONLY;
}

/* A side that gives 0.0.0.0 wants nothing, whatever its direction says (the hold of RFC 2543; RFC 3264 §8.4). */
static bool may_receive(const struct sdp_media *media)
{
    return media->address.s_addr && (media->direction == SDP_SENDRECV || media->direction == SDP_RECVONLY);
}

static enum sdp_direction direction_of(bool sends, bool receives)
{
    if (sends)
        return receives ? SDP_SENDRECV : SDP_SENDONLY;
    return receives ? SDP_RECVONLY : SDP_INACTIVE;
}

static struct sdp_media media_refused(const struct sdp_media *in)
{
    struct sdp_media out = {.is_audio = false};
    memcpy(out.kind, in->kind, sizeof(out.kind));
    memcpy(out.protocol, in->protocol, sizeof(out.protocol));
    memcpy(out.first_format, in->first_format, sizeof(out.first_format));
    return out;
}

static struct sdp_media media_ours(struct in_addr address, uint16_t rtp_port, enum sdp_direction direction,
                                   uint8_t ptime_ms)
{
    return (struct sdp_media){
        .is_audio = true,
        .kind = "audio",
        .protocol = "RTP/AVP",
        .port = rtp_port,
        .address = address,
        .rtcp_port = rtp_port + 1,
        .direction = direction,
        .ptime_ms = ptime_ms,
    };
}

static void format_add(struct sdp_media *media, const struct sdp_format *format)
{
    media->formats[media->format_count++] = *format;
    if (media->format_count > 1)
        return;
    uint8_t number = format->payload_type;
    char *at = media->first_format;
    if (number >= 100)
        *at++ = (char)('0' + number / 100);
    if (number >= 10)
        *at++ = (char)('0' + number / 10 % 10);
    *at++ = (char)('0' + number % 10);
    *at = '\0';
}

static void sdp_refuse_all(const struct sdp *in, struct sdp *out)
{
    memset(out, 0, sizeof(*out));
    out->session_id = in->session_id;
    out->session_version = in->session_version;
    out->media_count = in->media_count;
    for (size_t i = 0; i < in->media_count; i++)
        out->media[i] = media_refused(&in->media[i]);
}

enum err sdp_relay_offer(const struct sdp *offer, struct in_addr address, uint16_t rtp_port, struct sdp *out)
{
    size_t chosen = media_choose(offer);
    if (chosen == offer->media_count)
        return ERR_UNSUPPORTED;
    const struct sdp_media *in = &offer->media[chosen];
    sdp_refuse_all(offer, out);
    struct sdp_media *media = &out->media[chosen];
    *media = media_ours(address, rtp_port, direction_of(may_send(in), may_receive(in)), in->ptime_ms);
    for (size_t i = 0; i < in->format_count; i++)
        if (is_codec(&in->formats[i]) || in->formats[i].encoding == SDP_TELEPHONE_EVENT)
            format_add(media, &in->formats[i]);
    return OK;
}

/* One side of what was agreed. */
static struct media_leg leg_of(const struct sdp_media *media, const struct sdp_format *codec,
                               const struct sdp_format *event, bool is_sending, bool is_receiving)
{
    struct media_leg leg = {
        .rtp_remote = {.sin_family = AF_INET, .sin_addr = media->address},
        .rtcp_remote = {.sin_family = AF_INET, .sin_addr = media->address},
        .codec = codec->encoding == SDP_PCMU ? MEDIA_PCMU : MEDIA_PCMA,
        .payload_type = codec->payload_type,
        .event_payload_type = event ? event->payload_type : -1,
        .ptime_ms = media->ptime_ms ? media->ptime_ms : PTIME_DEFAULT_MS,
        .is_sending = is_sending,
        .is_receiving = is_receiving,
    };
    if (media->address.s_addr) {
        leg.rtp_remote.sin_port = htons(media->port);
        leg.rtcp_remote.sin_port = htons(media->rtcp_port);
    }
    return leg;
}

/* The answerer's first codec that was offered: an answer lists them in order of preference (RFC 3264 §6.1). */
static const struct sdp_format *codec_agreed(const struct sdp_media *offered,
                                             const struct sdp_media *answered,
                                             const struct sdp_format **of_offer)
{
    for (size_t i = 0; i < answered->format_count; i++) {
        const struct sdp_format *codec = &answered->formats[i];
        *of_offer = is_codec(codec) ? format_of(offered, codec->encoding) : NULL;
        if (*of_offer)
            return codec;
    }
    return NULL;
}

enum err sdp_relay_answer(const struct sdp *offer, const struct sdp *answer, struct in_addr address,
                          uint16_t rtp_port, struct sdp *out, enum media_side offerer,
                          struct media_leg legs[MEDIA_SIDES])
{
    size_t chosen = media_choose(offer);
    if (chosen == offer->media_count || answer->media_count != offer->media_count ||
        !media_is_acceptable(&answer->media[chosen]))
        return ERR_UNSUPPORTED;
    const struct sdp_media *offered = &offer->media[chosen];
    const struct sdp_media *answered = &answer->media[chosen];
    const struct sdp_format *offered_codec = NULL;
    const struct sdp_format *answered_codec = codec_agreed(offered, answered, &offered_codec);
    if (!answered_codec)
        return ERR_UNSUPPORTED;
    const struct sdp_format *offered_event = format_of(offered, SDP_TELEPHONE_EVENT);
    const struct sdp_format *answered_event = format_of(answered, SDP_TELEPHONE_EVENT);
    if (!offered_event || !answered_event)
        offered_event = answered_event = NULL;
    bool is_forth = may_send(offered) && may_receive(answered); /* offerer to answerer */
    bool is_back = may_receive(offered) && may_send(answered);
    enum media_side answerer = offerer == MEDIA_CALLER ? MEDIA_AGENT : MEDIA_CALLER;
    legs[offerer] = leg_of(offered, offered_codec, offered_event, is_forth, is_back);
    legs[answerer] = leg_of(answered, answered_codec, answered_event, is_back, is_forth);
    sdp_refuse_all(offer, out);
    out->session_id = answer->session_id;
    out->session_version = answer->session_version;
    struct sdp_media *media = &out->media[chosen];
    *media = media_ours(address, rtp_port, direction_of(is_back, is_forth), answered->ptime_ms);
    format_add(media, offered_codec);
    if (offered_event)
        format_add(media, offered_event);
    return OK;
}
