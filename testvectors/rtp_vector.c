#include "testvectors/rtp_vector.h"

#include "dsp/dtmf_detector.h"
#include "dsp/g711.h"

#include <stdlib.h>
#include <string.h>

#define PER_MS            8
#define PAYLOAD_MAX       480
#define HEADERS_BYTES     54 /* Ethernet, IPv4, UDP, RTP */
#define RTP_BYTES         12
#define EVENT_TYPE        101
#define EVENT_VOLUME      10   /* -10 dBm0 */
#define EVENT_END         0x80 /* RFC 4733 §2.3.2 */
#define END_COPIES        3    /* RFC 4733 §2.5.1.4 */
#define BEGUN_S           1700000000U
#define FIRST_SEQUENCE    65530U /* wraps soon */
#define FIRST_TIMESTAMP   0xFFFFF000U
#define LINKTYPE_ETHERNET 1

const struct rtp_vector_scene rtp_vector_scenes[] = {
    {"inband_ptime10", "PCMU in-band, packets of 10 ms", VECTOR_ALL, RTP_VECTOR_TONE, 10, 0, 0},
    {"inband_ptime20", "PCMU in-band, packets of 20 ms", VECTOR_ALL, RTP_VECTOR_TONE, 20, 0, 0},
    {"inband_ptime30", "PCMU in-band, packets of 30 ms", VECTOR_ALL, RTP_VECTOR_TONE, 30, 0, 0},
    {"inband_swapped", "every fifth packet after the next one", VECTOR_ALL, RTP_VECTOR_TONE, 20, 0, 20},
    {"inband_lost", "5 % of packets lost", VECTOR_MOST, RTP_VECTOR_TONE, 20, 5, 0},
    {"event", "RFC 4733 events, silence in the audio", VECTOR_ALL, RTP_VECTOR_EVENT, 20, 0, 0},
    {"event_lost", "RFC 4733 events, 10 % of packets lost", VECTOR_ALL, RTP_VECTOR_EVENT, 20, 10, 0},
    {"event_swapped", "RFC 4733 events, every fifth packet after the next one", VECTOR_ALL, RTP_VECTOR_EVENT,
     20, 0, 20},
    {"both", "in-band and as events", VECTOR_ALL, RTP_VECTOR_BOTH, 20, 0, 0},
};
const size_t rtp_vector_scene_count = sizeof rtp_vector_scenes / sizeof rtp_vector_scenes[0];

struct packet {
    uint64_t at_us; /* since the first one */
    uint16_t sequence;
    uint32_t timestamp;
    bool is_event;
    bool has_marker;
    size_t length;
    uint8_t payload[PAYLOAD_MAX];
};

struct stream {
    struct packet *packets;
    size_t count;
    uint16_t sequence;
};

static void put_16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static void put_32(uint8_t *at, uint32_t value)
{
    put_16(at, value >> 16);
    put_16(at + 2, value & 0xFFFF);
}

/* ------------------------------------------------------------------ packets */

static struct packet *add_packet(struct stream *stream, size_t sample, uint32_t timestamp)
{
    struct packet *packet = &stream->packets[stream->count++];
    *packet = (struct packet){.at_us = (uint64_t)sample * 125,
                              .sequence = stream->sequence++,
                              .timestamp = FIRST_TIMESTAMP + timestamp};
    return packet;
}

static void add_audio(struct stream *stream, const struct vector *vector, size_t from, size_t count,
                      bool is_silent)
{
    static const int16_t silence[PAYLOAD_MAX];
    struct packet *packet = add_packet(stream, from, (uint32_t)from);
    packet->length = count;
    packet->has_marker = from == 0;
    g711_encode(G711_ULAW, is_silent ? silence : vector->samples + from, packet->payload, count);
}

static void add_event(struct stream *stream, const struct vector_label *label, size_t at, bool is_end,
                      bool is_first)
{
    size_t duration = (is_end ? label->end : at) - label->onset;
    struct packet *packet = add_packet(stream, at, (uint32_t)label->onset);
    packet->is_event = true;
    packet->has_marker = is_first;
    packet->length = 4;
    packet->payload[0] = label->key;
    packet->payload[1] = EVENT_VOLUME | (is_end ? EVENT_END : 0);
    put_16(packet->payload + 2, (unsigned)duration);
}

/* Events of the key that lies under [from, from + count), as they are due when it has passed. */
static void add_events(struct stream *stream, const struct vector *vector, size_t from, size_t count)
{
    for (size_t k = 0; k < vector->label_count; k++) {
        const struct vector_label *label = &vector->labels[k];
        size_t now = from + count;
        bool is_first = label->onset >= from && label->onset < now;
        if (label->onset >= now || label->end <= from)
            continue;
        if (label->end > now) {
            add_event(stream, label, now, false, is_first);
            continue;
        }
        for (int copy = 0; copy < END_COPIES; copy++)
            add_event(stream, label, now, true, is_first && copy == 0);
    }
}

static void fill(struct stream *stream, const struct rtp_vector_scene *scene, const struct vector *vector)
{
    size_t piece = (size_t)scene->ptime_ms * PER_MS;
    stream->sequence = FIRST_SEQUENCE;
    for (size_t at = 0; at + piece <= vector->count; at += piece) {
        add_audio(stream, vector, at, piece, scene->way == RTP_VECTOR_EVENT);
        if (scene->way != RTP_VECTOR_TONE)
            add_events(stream, vector, at, piece);
    }
}

/* Neither the first packet nor the last is touched: times count from the one, and the other ends the last event. */
static void disturb(struct stream *stream, const struct rtp_vector_scene *scene, struct tone_random *random)
{
    size_t kept = 0;
    for (size_t i = 0; i < stream->count; i++) {
        bool is_end = i == 0 || i + 1 == stream->count;
        if (is_end || tone_random_below(random, 100) >= scene->lost_percent)
            stream->packets[kept++] = stream->packets[i];
    }
    stream->count = kept;
    for (size_t i = 1; i + 2 < stream->count; i++) {
        if (tone_random_below(random, 100) >= scene->swapped_percent)
            continue;
        struct packet late = stream->packets[i];
        uint64_t first_us = late.at_us;
        late.at_us = stream->packets[i + 1].at_us;
        stream->packets[i] = stream->packets[i + 1];
        stream->packets[i].at_us = first_us;
        stream->packets[++i] = late;
    }
}

/* ------------------------------------------------------------------ bytes */

static unsigned ip_checksum(const uint8_t *header)
{
    uint32_t sum = 0;
    for (int i = 0; i < 20; i += 2)
        sum += (uint32_t)header[i] << 8 | header[i + 1];
    while (sum >> 16)
        sum = (sum & 0xFFFF) + (sum >> 16);
    return ~sum & 0xFFFF;
}

static void put_headers(uint8_t *frame, const struct packet *packet)
{
    static const uint8_t ethernet[14] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0};
    static const uint8_t addresses[8] = {192, 0, 2, 1, 192, 0, 2, 2};
    uint8_t *ip = frame + sizeof ethernet;
    uint8_t *udp = ip + 20;
    uint8_t *rtp = udp + 8;
    unsigned udp_bytes = (unsigned)(8 + RTP_BYTES + packet->length);
    memset(frame, 0, HEADERS_BYTES);
    memcpy(frame, ethernet, sizeof ethernet);
    ip[0] = 0x45;
    put_16(ip + 2, 20 + udp_bytes);
    ip[8] = 64;
    ip[9] = 17;
    memcpy(ip + 12, addresses, sizeof addresses);
    put_16(ip + 10, ip_checksum(ip));
    put_16(udp, 40000);
    put_16(udp + 2, 40002);
    put_16(udp + 4, udp_bytes);
    rtp[0] = 0x80;
    rtp[1] = (uint8_t)((packet->has_marker ? 0x80 : 0) | (packet->is_event ? EVENT_TYPE : 0));
    put_16(rtp + 2, packet->sequence);
    put_32(rtp + 4, packet->timestamp);
    put_32(rtp + 8, 0x544F4E45);
}

static void write_packet(FILE *out, const struct packet *packet)
{
    uint8_t record[16];
    uint8_t frame[HEADERS_BYTES];
    uint64_t at_us = packet->at_us;
    put_32(record, BEGUN_S + (uint32_t)(at_us / 1000000));
    put_32(record + 4, (uint32_t)(at_us % 1000000));
    put_32(record + 8, (uint32_t)(HEADERS_BYTES + packet->length));
    put_32(record + 12, (uint32_t)(HEADERS_BYTES + packet->length));
    put_headers(frame, packet);
    fwrite(record, 1, sizeof record, out);
    fwrite(frame, 1, sizeof frame, out);
    fwrite(packet->payload, 1, packet->length, out);
}

static void write_head(FILE *out)
{
    uint8_t head[24] = {0};
    put_32(head, 0xA1B2C3D4);
    put_16(head + 4, 2);
    put_16(head + 6, 4);
    put_32(head + 16, 65535);
    put_32(head + 20, LINKTYPE_ETHERNET);
    fwrite(head, 1, sizeof head, out);
}

enum err rtp_vector_write(FILE *out, const struct rtp_vector_scene *scene, const struct vector *vector,
                          uint64_t seed)
{
    struct stream stream = {0};
    struct tone_random random;
    size_t audio = vector->count / ((size_t)scene->ptime_ms * PER_MS);
    /* Each piece may bring an update, and each key its end three times. */
    stream.packets = calloc(2 * audio + (END_COPIES + 1) * vector->label_count + 1, sizeof *stream.packets);
    if (stream.packets == NULL)
        return ERR_MEMORY;
    tone_random_seed(&random, seed * 1000 + 500 + (uint64_t)(scene - rtp_vector_scenes));
    fill(&stream, scene, vector);
    disturb(&stream, scene, &random);
    write_head(out);
    for (size_t i = 0; i < stream.count; i++)
        write_packet(out, &stream.packets[i]);
    free(stream.packets);
    return OK;
}
