#include "proxy/sip/sdp.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

struct writer {
    char *text;
    size_t capacity;
    size_t length;
    bool is_full;
};

static __attribute__((format(printf, 2, 3))) void put(struct writer *writer, const char *format, ...)
{
    va_list arguments;
    if (writer->is_full)
        return;
    size_t room = writer->capacity - writer->length;
    va_start(arguments, format);
    int used = vsnprintf(writer->text + writer->length, room, format, arguments);
    va_end(arguments);
    if (used < 0 || (size_t)used >= room)
        writer->is_full = true;
    else
        writer->length += (size_t)used;
}

static void put_address(struct writer *writer, const char *before, struct in_addr address)
{
    char number[INET_ADDRSTRLEN] = "0.0.0.0";
    inet_ntop(AF_INET, &address, number, sizeof(number));
    put(writer, "%s IP4 %s\r\n", before, number);
}

static void put_refused(struct writer *writer, const struct sdp_media *media)
{
    put(writer, "m=%s 0 %s %s\r\n", media->kind, media->protocol, media->first_format);
}

static void put_format(struct writer *writer, const struct sdp_format *format)
{
    static const char *const NAMES[] = {"PCMU", "PCMA", "telephone-event"};
    if (format->encoding == SDP_OTHER)
        return;
    put(writer, "a=rtpmap:%u %s/%" PRIu32 "\r\n", format->payload_type, NAMES[format->encoding],
        format->clock_rate);
    if (format->encoding == SDP_TELEPHONE_EVENT)
        put(writer, "a=fmtp:%u 0-15\r\n", format->payload_type); /* RFC 4733 §2.4.1 */
}

static void put_media(struct writer *writer, const struct sdp_media *media, struct in_addr origin)
{
    static const char *const DIRECTIONS[] = {"sendrecv", "sendonly", "recvonly", "inactive"};
    put(writer, "m=%s %u %s", media->kind, media->port, media->protocol);
    for (size_t i = 0; i < media->format_count; i++)
        put(writer, " %u", media->formats[i].payload_type);
    put(writer, "\r\n");
    if (media->address.s_addr != origin.s_addr)
        put_address(writer, "c=IN", media->address);
    for (size_t i = 0; i < media->format_count; i++)
        put_format(writer, &media->formats[i]);
    if (media->ptime_ms)
        put(writer, "a=ptime:%u\r\n", media->ptime_ms);
    if (media->rtcp_port && media->rtcp_port != media->port + 1)
        put(writer, "a=rtcp:%u\r\n", media->rtcp_port);
    put(writer, "a=%s\r\n", DIRECTIONS[media->direction]);
}

enum err sdp_write(const struct sdp *sdp, struct in_addr origin, char *text, size_t capacity, size_t *length)
{
    struct writer writer = {text, capacity, 0, capacity == 0};
    put(&writer, "v=0\r\n");
    char first[64];
    snprintf(first, sizeof(first), "o=- %" PRIu64 " %" PRIu64 " IN", sdp->session_id, sdp->session_version);
    put_address(&writer, first, origin);
    put(&writer, "s=-\r\n");
    put_address(&writer, "c=IN", origin);
    put(&writer, "t=0 0\r\n");
    for (size_t i = 0; i < sdp->media_count; i++) {
        const struct sdp_media *media = &sdp->media[i];
        if (media->port && media->is_audio && media->format_count)
            put_media(&writer, media, origin);
        else
            put_refused(&writer, media);
    }
    *length = writer.is_full ? 0 : writer.length;
    return writer.is_full ? ERR_FULL : OK;
}
