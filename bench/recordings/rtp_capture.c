#include "bench/recordings/rtp_capture.h"

#include "bench/recordings/pcap_file.h"
#include "bench/recordings/rtp_stream.h"
#include "bench/recordings/sound_file.h"
#include "bench/recordings/udp_frame.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS     4096U
#define STREAMS_MAX 16384U /* candidates included */
#define NS_PER_MS   1e6

_Static_assert(PCAP_REASON_BYTES == SOUND_REASON_BYTES, "reasons go from one to the other");

struct entry {
    struct entry *next; /* of the bucket */
    struct entry *younger;
    struct udp_path path;
    uint32_t ssrc;
    struct rtp_stream *stream;
};

struct capture {
    const struct rtp_capture_options *options;
    struct rtp_stream_options stream_options;
    struct entry *buckets[BUCKETS];
    struct entry *oldest;
    struct entry *youngest;
    size_t entry_count;
    unsigned channel_count;
    bool has_begun;
    uint64_t begun_ns;
    uint64_t packets_cut;
    uint64_t packets_left_out; /* of streams beyond STREAMS_MAX */
    uint32_t unknown_link;
    bool has_unknown_link;
};

static unsigned bucket_of(const struct udp_path *path, uint32_t ssrc)
{
    const unsigned char *bytes = (const unsigned char *)path;
    uint32_t hash = 2166136261U ^ ssrc; /* FNV-1a */
    for (size_t i = 0; i < sizeof *path; i++)
        hash = (hash ^ bytes[i]) * 16777619U;
    return (hash ^ hash >> 15) % BUCKETS;
}

static struct entry *find(const struct capture *capture, const struct udp_path *path, uint32_t ssrc)
{
    struct entry *entry = capture->buckets[bucket_of(path, ssrc)];
    while (entry != NULL && (entry->ssrc != ssrc || memcmp(&entry->path, path, sizeof *path) != 0))
        entry = entry->next;
    return entry;
}

static enum err add(struct capture *capture, struct entry **out, const struct udp_path *path, uint32_t ssrc)
{
    struct entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL || rtp_stream_new(&entry->stream, &capture->stream_options)) {
        free(entry);
        return ERR_MEMORY;
    }
    struct entry **bucket = &capture->buckets[bucket_of(path, ssrc)];
    entry->path = *path;
    entry->ssrc = ssrc;
    entry->next = *bucket;
    *bucket = entry;
    if (capture->youngest != NULL)
        capture->youngest->younger = entry;
    else
        capture->oldest = entry;
    capture->youngest = entry;
    capture->entry_count++;
    *out = entry;
    return OK;
}

static void print_stream(const struct capture *capture, const struct entry *entry)
{
    char source[INET6_ADDRSTRLEN] = "";
    char destination[INET6_ADDRSTRLEN] = "";
    int family = entry->path.ip_version == 4 ? AF_INET : AF_INET6;
    if (!capture->options->listener->is_text || capture->options->is_silent)
        return;
    inet_ntop(family, entry->path.source, source, sizeof source);
    inet_ntop(family, entry->path.destination, destination, sizeof destination);
    fprintf(capture->options->listener->out, "%9u is SSRC %08x, %s port %u to %s port %u\n",
            capture->channel_count, entry->ssrc, source, entry->path.source_port, destination,
            entry->path.destination_port);
}

static enum err take_datagram(struct capture *capture, const struct udp_frame *frame, double at_ms)
{
    struct rtp_packet packet;
    if (rtp_read(&packet, frame->payload, frame->payload_bytes))
        return OK;
    struct entry *entry = find(capture, &frame->path, packet.header.ssrc);
    if (entry == NULL) {
        if (!rtp_stream_may_begin(&packet, frame->payload, capture->options->event_type))
            return OK;
        if (capture->entry_count >= STREAMS_MAX) {
            capture->packets_left_out++;
            return OK;
        }
        enum err err = add(capture, &entry, &frame->path, packet.header.ssrc);
        if (err)
            return err;
    }
    capture->packets_cut += frame->is_cut;
    enum err err = rtp_stream_packet(entry->stream, &packet, frame->payload, frame->is_cut, at_ms,
                                     &capture->channel_count);
    if (err == OK && rtp_stream_is_new(entry->stream))
        print_stream(capture, entry);
    return err;
}

static enum err take_packet(struct capture *capture, const struct pcap_packet *packet)
{
    struct udp_frame frame;
    if (!capture->has_begun)
        capture->begun_ns = packet->at_ns;
    capture->has_begun = true;
    if (!udp_frame_knows(packet->link_type)) {
        capture->has_unknown_link = true;
        capture->unknown_link = packet->link_type;
        return OK;
    }
    if (!udp_frame_read(&frame, packet->link_type, packet->bytes, packet->captured))
        return OK;
    /* A packet may have been captured before the first of the file. */
    return take_datagram(capture, &frame, (double)(int64_t)(packet->at_ns - capture->begun_ns) / NS_PER_MS);
}

static enum err judge(const struct capture *capture, const char *path, char *reason)
{
    if (capture->channel_count > 0) {
        if (capture->options->is_silent)
            return OK;
        if (capture->packets_cut > 0)
            fprintf(stderr, "tonegate detect: %s: %llu packets were captured in part and count as lost\n",
                    path, (unsigned long long)capture->packets_cut);
        if (capture->packets_left_out > 0)
            fprintf(stderr, "tonegate detect: %s: more than %u streams: %llu packets were left out\n", path,
                    STREAMS_MAX, (unsigned long long)capture->packets_left_out);
        return OK;
    }
    if (capture->has_unknown_link) {
        snprintf(reason, SOUND_REASON_BYTES, "%s: was captured on a kind of link that is not known here (%u)",
                 path, capture->unknown_link);
        return ERR_UNSUPPORTED;
    }
    snprintf(reason, SOUND_REASON_BYTES, "%s: holds no RTP stream of G.711 or telephone-events", path);
    return ERR_NOT_FOUND;
}

static void release(struct capture *capture)
{
    for (struct entry *entry = capture->oldest; entry != NULL;) {
        struct entry *gone = entry;
        entry = entry->younger;
        rtp_stream_end(gone->stream);
        free(gone);
    }
    free(capture);
}

static enum err listen_to(struct pcap_file *pcap, const struct rtp_capture_options *options, const char *path,
                          char *reason)
{
    struct pcap_packet packet;
    struct capture *capture = calloc(1, sizeof *capture);
    enum err err = capture == NULL ? ERR_MEMORY : OK;
    if (capture == NULL) {
        snprintf(reason, SOUND_REASON_BYTES, "%s: not enough memory", path);
        return err;
    }
    capture->options = options;
    capture->stream_options =
        (struct rtp_stream_options){options->listener, path, options->event_type, options->is_silent};
    while (err == OK) {
        err = pcap_next(pcap, &packet, reason);
        if (err)
            break;
        err = take_packet(capture, &packet);
        if (err)
            snprintf(reason, SOUND_REASON_BYTES, "%s: %s", path, err_str(err));
    }
    if (err == ERR_EMPTY)
        err = judge(capture, path, reason);
    release(capture);
    return err;
}

bool rtp_capture_is_one(const char *path)
{
    uint8_t magic[4];
    FILE *stream = fopen(path, "rbe");
    if (stream == NULL)
        return false;
    bool is_one = fread(magic, 1, sizeof magic, stream) == sizeof magic && pcap_is_magic(magic);
    fclose(stream);
    return is_one;
}

enum err rtp_capture_listen_stream(FILE *stream, const char *name, const struct rtp_capture_options *options,
                                   char *reason)
{
    struct pcap_file *pcap;
    enum err err = pcap_open(&pcap, stream, name, reason);
    if (err)
        return err;
    err = listen_to(pcap, options, name, reason);
    pcap_close(pcap);
    return err;
}

enum err rtp_capture_listen(const char *path, const struct rtp_capture_options *options, char *reason)
{
    bool is_pipe = strcmp(path, "-") == 0;
    FILE *stream = is_pipe ? stdin : fopen(path, "rbe");
    if (stream == NULL) {
        snprintf(reason, SOUND_REASON_BYTES, "%s: %s", path, strerror(errno));
        return ERR_SYSTEM;
    }
    return rtp_capture_listen_stream(stream, is_pipe ? "standard input" : path, options, reason);
}
