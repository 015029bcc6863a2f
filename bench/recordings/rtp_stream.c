#include "bench/recordings/rtp_stream.h"

#include "base/clock.h"
#include "base/secret.h"
#include "dsp/dtmf.h"
#include "dsp/g711.h"
#include "proxy/media/telephone_event.h"

#include <stdlib.h>
#include <string.h>

#define PAYLOAD_MAX    1500
#define TYPE_PCMU      0
#define TYPE_PCMA      8
#define DYNAMIC_LEAST  96
#define DYNAMIC_MOST   127
#define PER_MS         8.0
#define SEQUENCE_JUMP  3000
#define TIMESTAMP_JUMP 80000 /* 10 s */
#define GAP_HELD       1600  /* 200 ms */
#define GAP_SILENCE    8000  /* a second: no key is down behind it */
#define WAIT_MS        250.0 /* for a missing packet */
#define NOT_KNOWN      (-1.0)

enum content { CONTENT_OTHER, CONTENT_ULAW, CONTENT_ALAW, CONTENT_EVENT };

struct waiting {
    uint16_t sequence;
    uint32_t timestamp;
    enum content content;
    double at_ms;
    size_t length;
    uint8_t payload[PAYLOAD_MAX];
};

struct open_event { /* a key that came as event and was not released yet */
    bool is_open;
    uint8_t key;
    double onset_ms;
    double reported_ms;
};

struct rtp_stream {
    const struct rtp_stream_options *options;
    struct waiting *waiting[RTP_STREAM_WINDOW]; /* by sequence */
    size_t waiting_count;
    bool is_believed;
    bool is_new;
    uint16_t next_sequence;
    bool has_clock;
    uint32_t next_timestamp; /* of sample `played` */
    int64_t played;          /* samples since the stream began */
    double begun_ms;
    struct listener *listener; /* NULL when silent */
    struct telephone_event_receiver receiver;
    struct open_event open;
};

/* ------------------------------------------------------------------ packets */

static bool is_event(const struct rtp_packet *packet, const uint8_t *bytes, int event_type)
{
    int type = packet->header.payload_type;
    const uint8_t *payload = bytes + packet->payload_at;
    if (type < DYNAMIC_LEAST || type > DYNAMIC_MOST || (event_type >= 0 && type != event_type))
        return false;
    if (event_type >= 0)
        return packet->payload_bytes >= TELEPHONE_EVENT_BYTES;
    /* RFC 4733 §2.3: four bytes, a key, the reserved bit clear. */
    return packet->payload_bytes == TELEPHONE_EVENT_BYTES && payload[0] < DTMF_KEYS &&
           (payload[1] & 0x40) == 0;
}

static enum content content_of(const struct rtp_packet *packet, const uint8_t *bytes, int event_type)
{
    if (is_event(packet, bytes, event_type))
        return CONTENT_EVENT;
    if (packet->payload_bytes == 0)
        return CONTENT_OTHER;
    if (packet->header.payload_type == TYPE_PCMU)
        return CONTENT_ULAW;
    return packet->header.payload_type == TYPE_PCMA ? CONTENT_ALAW : CONTENT_OTHER;
}

bool rtp_stream_may_begin(const struct rtp_packet *packet, const uint8_t *bytes, int event_type)
{
    return content_of(packet, bytes, event_type) != CONTENT_OTHER;
}

enum err rtp_stream_new(struct rtp_stream **out, const struct rtp_stream_options *options)
{
    *out = calloc(1, sizeof **out);
    if (*out == NULL)
        return ERR_MEMORY;
    (*out)->options = options;
    return OK;
}

/* ------------------------------------------------------------------ time */

static double ms_of_sample(const struct rtp_stream *stream, int64_t sample)
{
    return stream->begun_ms + (double)sample / PER_MS;
}

static double ms_of_timestamp(const struct rtp_stream *stream, uint32_t timestamp)
{
    return ms_of_sample(stream, stream->played + (int32_t)(timestamp - stream->next_timestamp));
}

static void skip(struct rtp_stream *stream, int64_t count)
{
    static const int16_t silence[GAP_SILENCE];
    int64_t held = count < GAP_HELD ? count : GAP_HELD;
    int64_t silent = count - held < GAP_SILENCE ? count - held : GAP_SILENCE;
    stream->played += count;
    if (stream->listener == NULL)
        return;
    listener_feed(stream->listener, NULL, (size_t)held);
    listener_feed(stream->listener, silence, (size_t)silent);
    listener_jump(stream->listener, (uint64_t)(count - held - silent));
}

/* The stream's clock to this packet's timestamp, if neither it nor the time of arrival says that it went on with it. */
static void follow_clock(struct rtp_stream *stream, const struct waiting *packet)
{
    int32_t ahead = (int32_t)(packet->timestamp - stream->next_timestamp);
    int64_t due = (int64_t)((packet->at_ms - stream->begun_ms) * PER_MS) - stream->played;
    if (stream->has_clock && (llabs(ahead) <= TIMESTAMP_JUMP || llabs(ahead - due) <= TIMESTAMP_JUMP))
        return;
    if (stream->has_clock && due > 0)
        skip(stream, due);
    stream->has_clock = true;
    stream->next_timestamp = packet->timestamp;
}

/* ------------------------------------------------------------------ content */

static void play_audio(struct rtp_stream *stream, const struct waiting *packet)
{
    int16_t pcm[PAYLOAD_MAX];
    follow_clock(stream, packet);
    int32_t ahead = (int32_t)(packet->timestamp - stream->next_timestamp);
    size_t known = ahead < 0 ? (size_t)-ahead : 0; /* samples of it that were played before */
    if (known >= packet->length)
        return;
    if (ahead > 0)
        skip(stream, ahead);
    if (stream->listener != NULL) {
        g711_decode(packet->content == CONTENT_ULAW ? G711_ULAW : G711_ALAW, packet->payload, pcm,
                    packet->length);
        listener_feed(stream->listener, pcm + known, packet->length - known);
        wipe(pcm, sizeof pcm);
    }
    stream->played += (int64_t)(packet->length - known);
    stream->next_timestamp = packet->timestamp + (uint32_t)packet->length;
}

static void say_event(struct rtp_stream *stream, double end_ms)
{
    if (stream->listener != NULL)
        listener_event(stream->listener, stream->open.key, stream->open.onset_ms, stream->open.reported_ms,
                       end_ms);
}

static void close_event(struct rtp_stream *stream, double end_ms)
{
    if (stream->open.is_open && !stream->options->listener->is_at_once)
        say_event(stream, end_ms);
    stream->open.is_open = false;
}

static void open_event(struct rtp_stream *stream, const struct waiting *packet, uint8_t key)
{
    double onset_ms = ms_of_timestamp(stream, packet->timestamp);
    /* Jitter of the first packet can make this one look early. */
    double reported_ms = packet->at_ms > onset_ms ? packet->at_ms : onset_ms;
    stream->open = (struct open_event){true, key, onset_ms, reported_ms};
    if (stream->options->listener->is_at_once)
        say_event(stream, NOT_KNOWN);
}

static void play_event(struct rtp_stream *stream, const struct waiting *packet)
{
    struct telephone_event event;
    if (telephone_event_read(&event, packet->payload, packet->length) || event.code >= DTMF_KEYS)
        return;
    double covered_ms = ms_of_timestamp(stream, stream->receiver.covered.ticks);
    follow_clock(stream, packet);
    switch (telephone_event_feed(&stream->receiver, &event, (struct rtp_time){packet->timestamp})) {
    case TELEPHONE_EVENT_START:
        close_event(stream, covered_ms);
        open_event(stream, packet, event.code);
        return;
    case TELEPHONE_EVENT_WHOLE:
        close_event(stream, covered_ms);
        open_event(stream, packet, event.code);
        break;
    case TELEPHONE_EVENT_END:
        break;
    default:
        return;
    }
    close_event(stream, ms_of_timestamp(stream, stream->receiver.covered.ticks));
}

static void play(struct rtp_stream *stream, const struct waiting *packet)
{
    if (packet->content == CONTENT_EVENT) {
        play_event(stream, packet);
        return;
    }
    if (packet->content == CONTENT_OTHER)
        return;
    play_audio(stream, packet);
    if (telephone_event_expire(&stream->receiver, (struct rtp_time){packet->timestamp}))
        close_event(stream, ms_of_timestamp(stream, stream->receiver.covered.ticks));
}

/* ------------------------------------------------------------------ order */

static void play_first(struct rtp_stream *stream)
{
    struct waiting *first = stream->waiting[0];
    stream->waiting_count--;
    memmove(&stream->waiting[0], &stream->waiting[1], stream->waiting_count * sizeof stream->waiting[0]);
    stream->next_sequence = (uint16_t)(first->sequence + 1);
    play(stream, first);
    wipe(first, sizeof *first);
    free(first);
}

/* What is next in sequence, and what nobody waits for any longer. */
static void play_due(struct rtp_stream *stream, double now_ms)
{
    while (stream->waiting_count > 0 &&
           (stream->waiting[0]->sequence == stream->next_sequence ||
            stream->waiting_count == RTP_STREAM_WINDOW || now_ms - stream->waiting[0]->at_ms > WAIT_MS))
        play_first(stream);
}

static void play_all(struct rtp_stream *stream)
{
    while (stream->waiting_count > 0)
        play_first(stream);
}

static enum err believe(struct rtp_stream *stream, unsigned *channel_count)
{
    stream->is_believed = true;
    stream->is_new = true;
    stream->next_sequence = stream->waiting[0]->sequence;
    stream->begun_ms = stream->waiting[0]->at_ms;
    ++*channel_count;
    if (stream->options->is_silent)
        return OK;
    return listener_new(&stream->listener, stream->options->listener, stream->options->file, *channel_count,
                        stream->begun_ms, 0);
}

/* Puts it in its place; one that is there already is dropped. */
static enum err keep(struct rtp_stream *stream, const struct rtp_packet *packet, const uint8_t *bytes,
                     bool is_cut, double at_ms)
{
    size_t place = stream->waiting_count;
    while (place > 0 && rtp_sequence_diff(packet->header.sequence, stream->waiting[place - 1]->sequence) >= 0)
        place--;
    if (place < stream->waiting_count && stream->waiting[place]->sequence == packet->header.sequence)
        return OK;
    struct waiting *one = calloc(1, sizeof *one);
    if (one == NULL)
        return ERR_MEMORY;
    one->sequence = packet->header.sequence;
    one->timestamp = packet->header.timestamp;
    one->at_ms = at_ms;
    one->length = packet->payload_bytes < PAYLOAD_MAX ? packet->payload_bytes : PAYLOAD_MAX;
    one->content = is_cut ? CONTENT_OTHER : content_of(packet, bytes, stream->options->event_type);
    memcpy(one->payload, bytes + packet->payload_at, one->length);
    memmove(&stream->waiting[place + 1], &stream->waiting[place],
            (stream->waiting_count - place) * sizeof stream->waiting[0]);
    stream->waiting[place] = one;
    stream->waiting_count++;
    return OK;
}

/* Before a stream is believed: only a packet beside the one that waits makes it believable. */
static void forget_strangers(struct rtp_stream *stream, uint16_t sequence)
{
    if (stream->waiting_count == 0)
        return;
    int apart = rtp_sequence_diff(stream->waiting[0]->sequence, sequence);
    if (abs(apart) <= RTP_STREAM_WINDOW)
        return;
    free(stream->waiting[0]);
    stream->waiting_count = 0;
}

enum err rtp_stream_packet(struct rtp_stream *stream, const struct rtp_packet *packet, const uint8_t *bytes,
                           bool is_cut, double at_ms, unsigned *channel_count)
{
    if (!stream->is_believed)
        forget_strangers(stream, packet->header.sequence);
    else {
        int ahead = rtp_sequence_diff(stream->next_sequence, packet->header.sequence);
        if (abs(ahead) > SEQUENCE_JUMP) {
            play_all(stream);
            stream->next_sequence = packet->header.sequence;
        } else if (ahead < 0)
            return OK; /* too late, or the same again */
    }
    enum err err = keep(stream, packet, bytes, is_cut, at_ms);
    if (err == OK && !stream->is_believed && stream->waiting_count == 2)
        err = believe(stream, channel_count);
    if (err == OK && stream->is_believed)
        play_due(stream, at_ms);
    return err;
}

bool rtp_stream_is_new(struct rtp_stream *stream)
{
    bool is_new = stream->is_new;
    stream->is_new = false;
    return is_new;
}

void rtp_stream_end(struct rtp_stream *stream)
{
    if (stream == NULL)
        return;
    if (stream->is_believed) {
        play_all(stream);
        close_event(stream, ms_of_timestamp(stream, stream->receiver.covered.ticks));
        listener_end(stream->listener);
    }
    for (size_t i = 0; i < stream->waiting_count; i++)
        free(stream->waiting[i]);
    wipe(stream, sizeof *stream);
    free(stream);
}
