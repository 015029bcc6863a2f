/* The reader. Every line is bounded by its own end and every number by its field; nothing is looked up behind the text. */
#include "proxy/sip/sdp.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

struct text {
    const char *at;
    size_t length;
};

struct connection {
    bool is_given;
    bool is_usable; /* one IPv4 address that is not multicast */
    struct in_addr address;
};

struct reader {
    struct sdp *sdp;
    struct text rest;
    unsigned line;
    size_t attribute_count;
    bool has_version;
    bool has_origin;
    bool has_name;
    bool has_time;
    struct connection session;
    struct connection media; /* of the m-line being read */
    enum sdp_direction session_direction;
    uint32_t maxptime_ms;        /* of the m-line being read, 0: not said */
    struct in_addr rtcp_address; /* of the m-line being read, 0: not said */
};

static bool text_is(struct text text, const char *word)
{
    return strlen(word) == text.length && strncasecmp(text.at, word, text.length) == 0;
}

/* Digits only. A sign or too large a value is ERR_RANGE, anything else ERR_SYNTAX. */
static enum err number_read(struct text text, uint64_t most, uint64_t *number)
{
    bool is_negative = text.length && *text.at == '-';
    uint64_t sum = 0;
    if (text.length == (is_negative ? 1U : 0U))
        return ERR_SYNTAX;
    bool is_over = is_negative;
    for (size_t i = is_negative; i < text.length; i++) {
        unsigned digit = (unsigned char)text.at[i] - '0';
        if (digit > 9)
            return ERR_SYNTAX;
        is_over = is_over || sum > (most - digit) / 10 || digit > most;
        sum = is_over ? 0 : sum * 10 + digit;
    }
    *number = sum;
    return is_over ? ERR_RANGE : OK;
}

/* The next word of a line; empty at its end. */
static struct text word_take(struct text *line)
{
    while (line->length && *line->at == ' ') {
        line->at++;
        line->length--;
    }
    struct text word = {line->at, 0};
    while (word.length < line->length && word.at[word.length] != ' ')
        word.length++;
    line->at += word.length;
    line->length -= word.length;
    return word;
}

/* What stands before the first `separator`; the rest goes on behind it. Without one, all of it, and rest->at is NULL. */
static struct text part_take(struct text *rest, char separator)
{
    struct text part = *rest;
    const char *found = rest->length ? memchr(rest->at, separator, rest->length) : NULL;
    if (!found) {
        *rest = (struct text){NULL, 0};
        return part;
    }
    part.length = (size_t)(found - rest->at);
    rest->at += part.length + 1;
    rest->length -= part.length + 1;
    return part;
}

static bool is_token(struct text text)
{
    for (size_t i = 0; i < text.length; i++) {
        unsigned char c = (unsigned char)text.at[i];
        if (c <= ' ' || c >= 0x7f || strchr("\"(),:;<=>?@[\\]", c))
            return false;
    }
    return text.length > 0;
}

static enum err token_copy(struct text token, char *out, size_t capacity)
{
    if (!is_token(token))
        return ERR_SYNTAX;
    if (token.length >= capacity)
        return ERR_LENGTH;
    memcpy(out, token.at, token.length);
    out[token.length] = '\0';
    return OK;
}

static bool address_read(struct text text, struct in_addr *address)
{
    char number[INET_ADDRSTRLEN];
    if (text.length >= sizeof(number))
        return false;
    memcpy(number, text.at, text.length);
    number[text.length] = '\0';
    return inet_pton(AF_INET, number, address) == 1;
}

/* o=username sess-id sess-version nettype addrtype address (RFC 8866 §5.2); the address is not used. */
static enum err origin_read(struct reader *reader, struct text value)
{
    struct text username = word_take(&value);
    enum err err = number_read(word_take(&value), UINT64_MAX, &reader->sdp->session_id);
    if (err)
        return err;
    err = number_read(word_take(&value), UINT64_MAX, &reader->sdp->session_version);
    if (err)
        return err;
    struct text network = word_take(&value);
    struct text kind = word_take(&value);
    struct text address = word_take(&value);
    bool is_whole =
        username.length && network.length && kind.length && address.length && !word_take(&value).length;
    return is_whole ? OK : ERR_SYNTAX;
}

/* c=nettype addrtype address (RFC 8866 §5.7). What is not one IPv4 host is legal and of no use to us. */
static enum err connection_read(struct connection *connection, struct text value)
{
    if (connection->is_given)
        return ERR_SYNTAX;
    struct text network = word_take(&value);
    struct text kind = word_take(&value);
    struct text address = word_take(&value);
    if (!address.length || word_take(&value).length)
        return ERR_SYNTAX;
    connection->is_given = true;
    bool is_ip4 = text_is(network, "IN") && text_is(kind, "IP4");
    bool is_host = is_ip4 && address_read(address, &connection->address) &&
                   ntohl(connection->address.s_addr) < 0xe0000000U;
    connection->is_usable = is_host;
    if (!is_host)
        connection->address.s_addr = 0;
    return OK;
}

/* Types that need no a=rtpmap (RFC 3551 §6); the others are known by number only. */
static struct sdp_format format_of_static(uint8_t payload_type)
{
    struct sdp_format format = {.payload_type = payload_type, .encoding = SDP_OTHER};
    if (payload_type == 0)
        format.encoding = SDP_PCMU;
    if (payload_type == 8)
        format.encoding = SDP_PCMA;
    if (format.encoding != SDP_OTHER)
        format.clock_rate = 8000;
    return format;
}

static struct sdp_format *format_find(struct sdp_media *media, uint64_t payload_type)
{
    for (size_t i = 0; i < media->format_count; i++)
        if (media->formats[i].payload_type == payload_type)
            return &media->formats[i];
    return NULL;
}

static enum err formats_read(struct sdp_media *media, struct text value)
{
    for (struct text word = word_take(&value); word.length; word = word_take(&value)) {
        uint64_t payload_type = 0;
        enum err err = number_read(word, 127, &payload_type);
        if (err)
            return err;
        if (format_find(media, payload_type))
            return ERR_SYNTAX;
        if (media->format_count == LIMIT_SDP_FORMATS)
            return ERR_LENGTH;
        media->formats[media->format_count++] = format_of_static((uint8_t)payload_type);
    }
    return OK;
}

/* The rest of the words of a line that will be refused: tokens, and not too many. */
static enum err formats_skip(struct text value)
{
    size_t count = 0;
    for (struct text word = word_take(&value); word.length; word = word_take(&value)) {
        if (!is_token(word))
            return ERR_SYNTAX;
        if (count++ == LIMIT_SDP_FORMATS)
            return ERR_LENGTH;
    }
    return OK;
}

static enum err port_read(struct sdp_media *media, struct text word, bool *is_one_stream)
{
    struct text count_text = word;
    uint64_t port = 0;
    uint64_t count = 1;
    enum err err = number_read(part_take(&count_text, '/'), 65535, &port);
    if (!err && count_text.at)
        err = number_read(count_text, 65535, &count);
    media->port = (uint16_t)port;
    *is_one_stream = count == 1;
    return err;
}

/* m=media port[/count] protocol format... (RFC 8866 §5.14) */
static enum err media_read(struct reader *reader, struct text value)
{
    struct sdp *sdp = reader->sdp;
    if (sdp->media_count == LIMIT_SDP_MEDIA)
        return ERR_LENGTH;
    struct sdp_media *media = &sdp->media[sdp->media_count++];
    bool is_one_stream = false;
    enum err err = token_copy(word_take(&value), media->kind, sizeof(media->kind));
    if (!err)
        err = port_read(media, word_take(&value), &is_one_stream);
    if (!err)
        err = token_copy(word_take(&value), media->protocol, sizeof(media->protocol));
    if (err)
        return err;
    bool has_types = strcasecmp(media->kind, "audio") == 0 && strcasecmp(media->protocol, "RTP/AVP") == 0;
    media->is_audio = has_types && is_one_stream;
    media->direction = reader->session_direction;
    reader->media = (struct connection){.is_given = false};
    reader->maxptime_ms = 0;
    reader->rtcp_address.s_addr = 0;
    err = has_types ? formats_read(media, value) : formats_skip(value);
    return err ? err : token_copy(word_take(&value), media->first_format, sizeof(media->first_format));
}

/* rtpmap:type name/rate[/channels] (RFC 8866 §6.6) */
static enum err rtpmap_read(struct sdp_media *media, struct text value)
{
    uint64_t payload_type = 0;
    uint64_t rate = 0;
    uint64_t channels = 1;
    enum err err = number_read(word_take(&value), 127, &payload_type);
    if (err)
        return err;
    struct text rest = word_take(&value);
    struct text name = part_take(&rest, '/');
    if (!is_token(name) || !rest.at || word_take(&value).length)
        return ERR_SYNTAX;
    err = number_read(part_take(&rest, '/'), INT32_MAX, &rate);
    if (!err && rest.at)
        err = number_read(rest, 255, &channels);
    struct sdp_format *format = format_find(media, payload_type);
    if (err || !format) /* a type that the m-line does not name is nobody's */
        return err;
    bool is_ours = rate == 8000 && channels == 1;
    format->clock_rate = (uint32_t)rate;
    format->encoding = SDP_OTHER;
    if (is_ours && text_is(name, "PCMU"))
        format->encoding = SDP_PCMU;
    else if (is_ours && text_is(name, "PCMA"))
        format->encoding = SDP_PCMA;
    else if (is_ours && text_is(name, "telephone-event"))
        format->encoding = SDP_TELEPHONE_EVENT;
    return OK;
}

/* Only that the type is a number in its range: parameters of what we relay are written by us. */
static enum err fmtp_read(struct text value)
{
    uint64_t payload_type = 0;
    enum err err = number_read(word_take(&value), 127, &payload_type);
    return err ? err : word_take(&value).length ? OK : ERR_SYNTAX;
}

#define PTIME_NOT_OURS 255 /* legal, and refused when it comes to offer and answer */

/* A number of milliseconds, perhaps with a fraction (RFC 8866 §6.4). */
static enum err ptime_read(struct text value, uint32_t *ms)
{
    struct text fraction = word_take(&value);
    uint64_t whole = 0;
    uint64_t parts = 0;
    enum err err = number_read(part_take(&fraction, '.'), INT32_MAX, &whole);
    if (!err && fraction.at)
        err = number_read(fraction, UINT64_MAX, &parts);
    if (err || word_take(&value).length)
        return err ? err : ERR_SYNTAX;
    if (!whole && !parts)
        return ERR_RANGE;
    *ms = parts || whole > PTIME_NOT_OURS ? PTIME_NOT_OURS : (uint32_t)whole;
    return OK;
}

/* rtcp:port [nettype addrtype address] (RFC 3605 §2.1) */
static enum err rtcp_read(struct reader *reader, struct sdp_media *media, struct text value)
{
    uint64_t port = 0;
    struct connection connection = {.is_given = false};
    enum err err = number_read(word_take(&value), 65535, &port);
    if (err)
        return err;
    media->rtcp_port = (uint16_t)port;
    struct text more = value;
    if (!word_take(&more).length)
        return port ? OK : ERR_RANGE;
    err = connection_read(&connection, value);
    if (err)
        return err;
    reader->rtcp_address = connection.address;
    if (!connection.is_usable)
        reader->rtcp_address.s_addr = INADDR_NONE;
    return port ? OK : ERR_RANGE;
}

static bool direction_read(struct text name, enum sdp_direction *direction)
{
    static const char *const NAMES[] = {"sendrecv", "sendonly", "recvonly", "inactive"};
    for (int i = SDP_SENDRECV; i <= SDP_INACTIVE; i++) {
        if (!text_is(name, NAMES[i]))
            continue;
        *direction = (enum sdp_direction)i;
        return true;
    }
    return false;
}

static enum err attribute_read(struct reader *reader, struct text value)
{
    if (reader->attribute_count++ == LIMIT_SDP_ATTRIBUTES)
        return ERR_LENGTH;
    struct sdp *sdp = reader->sdp;
    struct sdp_media *media = sdp->media_count ? &sdp->media[sdp->media_count - 1] : NULL;
    struct text name = part_take(&value, ':');
    if (!is_token(name))
        return ERR_SYNTAX;
    if (!value.at) {
        direction_read(name, media ? &media->direction : &reader->session_direction);
        return OK;
    }
    if (!media || !media->is_audio)
        return OK;
    if (text_is(name, "rtpmap"))
        return rtpmap_read(media, value);
    if (text_is(name, "fmtp"))
        return fmtp_read(value);
    if (text_is(name, "rtcp"))
        return rtcp_read(reader, media, value);
    if (text_is(name, "maxptime"))
        return ptime_read(value, &reader->maxptime_ms);
    if (!text_is(name, "ptime"))
        return OK;
    uint32_t ms = 0;
    enum err err = ptime_read(value, &ms);
    media->ptime_ms = (uint8_t)ms;
    return err;
}

/* What can only be said when all lines of a medium are read. */
static enum err media_finish(struct reader *reader)
{
    if (!reader->sdp->media_count)
        return OK;
    struct sdp_media *media = &reader->sdp->media[reader->sdp->media_count - 1];
    const struct connection *connection = reader->media.is_given ? &reader->media : &reader->session;
    if (!connection->is_given && media->port)
        return ERR_SYNTAX;
    media->address = connection->address;
    media->is_audio = media->is_audio && (connection->is_usable || !media->port);
    bool is_rtcp_elsewhere =
        reader->rtcp_address.s_addr && reader->rtcp_address.s_addr != media->address.s_addr;
    if (!media->port || is_rtcp_elsewhere)
        media->rtcp_port = 0; /* no RTCP to a third address */
    else if (!media->rtcp_port && media->port < 65535)
        media->rtcp_port = media->port + 1;
    uint32_t wanted_ms = media->ptime_ms ? media->ptime_ms : 20;
    if (reader->maxptime_ms && reader->maxptime_ms < wanted_ms)
        media->ptime_ms = (uint8_t)reader->maxptime_ms;
    return OK;
}

/* v=, o= and s= come first and in this order (RFC 8866 §5); behind them the order is left to the sender. */
static enum err head_read(struct reader *reader, char type, struct text value)
{
    if (type == 'v' && !reader->has_version) {
        reader->has_version = true;
        return text_is(value, "0") ? OK : ERR_SYNTAX;
    }
    if (type == 'o' && reader->has_version && !reader->has_origin) {
        reader->has_origin = true;
        return origin_read(reader, value);
    }
    if (type == 's' && reader->has_origin && !reader->has_name) {
        reader->has_name = true;
        return OK;
    }
    return ERR_SYNTAX;
}

static enum err time_read(struct reader *reader, struct text value)
{
    uint64_t seconds = 0;
    enum err err = number_read(word_take(&value), UINT64_MAX, &seconds);
    if (!err)
        err = number_read(word_take(&value), UINT64_MAX, &seconds);
    if (err || word_take(&value).length || reader->sdp->media_count)
        return err ? err : ERR_SYNTAX;
    reader->has_time = true;
    return OK;
}

static enum err line_read(struct reader *reader, char type, struct text value)
{
    enum err err = OK;
    if (!reader->has_name)
        return head_read(reader, type, value);
    switch (type) {
    case 'c':
        return connection_read(reader->sdp->media_count ? &reader->media : &reader->session, value);
    case 't':
        return time_read(reader, value);
    case 'a':
        return attribute_read(reader, value);
    case 'm':
        err = reader->has_time ? media_finish(reader) : ERR_SYNTAX;
        return err ? err : media_read(reader, value);
    case 'i':
    case 'b':
    case 'k':
        return OK;
    case 'u':
    case 'e':
    case 'p':
    case 'r':
    case 'z':
        return reader->sdp->media_count ? ERR_SYNTAX : OK;
    default:
        return ERR_SYNTAX; /* an unknown type makes the whole description unusable (RFC 8866 §5) */
    }
}

/* Ends with CRLF, LF (RFC 8866 §5 asks for tolerance) or the end of the text. A CR anywhere else is no line end. */
static enum err line_take(struct reader *reader, struct text *line)
{
    const char *lf = memchr(reader->rest.at, '\n', reader->rest.length);
    *line = (struct text){reader->rest.at, lf ? (size_t)(lf - reader->rest.at) : reader->rest.length};
    size_t used = line->length + (lf ? 1 : 0);
    reader->rest.at += used;
    reader->rest.length -= used;
    reader->line++;
    if (lf && line->length && line->at[line->length - 1] == '\r')
        line->length--;
    for (size_t i = 0; i < line->length; i++)
        if (((unsigned char)line->at[i] < ' ' && line->at[i] != '\t') || line->at[i] == 0x7f)
            return ERR_SYNTAX;
    return OK;
}

static bool rest_is_blank(struct text rest)
{
    for (size_t i = 0; i < rest.length; i++)
        if (rest.at[i] != '\r' && rest.at[i] != '\n')
            return false;
    return true;
}

static enum err lines_read(struct reader *reader)
{
    while (reader->rest.length) {
        struct text line;
        enum err err = line_take(reader, &line);
        if (err)
            return err;
        if (!line.length && rest_is_blank(reader->rest))
            break;
        if (line.length < 2 || line.at[1] != '=')
            return ERR_SYNTAX;
        err = line_read(reader, *line.at, (struct text){line.at + 2, line.length - 2});
        if (err)
            return err;
    }
    return reader->has_time ? media_finish(reader) : ERR_SYNTAX;
}

enum err sdp_read(struct sdp *sdp, const char *text, size_t length, unsigned *error_line)
{
    struct reader reader = {.sdp = sdp, .rest = {text, length}};
    memset(sdp, 0, sizeof(*sdp));
    enum err err = length > LIMIT_SDP_BYTES ? ERR_LENGTH : length ? lines_read(&reader) : ERR_SYNTAX;
    if (err && error_line)
        *error_line = reader.line ? reader.line : 1;
    if (err)
        memset(sdp, 0, sizeof(*sdp));
    return err;
}
