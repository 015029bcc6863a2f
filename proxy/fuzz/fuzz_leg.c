/* A train of packets for an armed leg: two bytes of length and wait, then the packet. Whatever comes, what leaves is
 * well formed, ours, moves forward and holds no event. */
#include "proxy/media/leg.h"
#include "proxy/media/wire.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static struct {
    bool has_sent;
    uint16_t sequence;
    bool is_armed;
} seen;

static void on_send(void *owner, struct leg *leg, const struct rtp_header *header, const uint8_t *packet,
                    size_t length, bool is_audio)
{
    struct rtp_packet read;
    (void)owner;
    if (rtp_read(&read, packet, length) || read.header.ssrc != leg->out_ssrc ||
        read.payload_at != RTP_HEADER_BYTES)
        abort();
    if (leg->state != LEG_PLAIN && (!is_audio || header->payload_type != 8))
        abort();
    if (leg->state != LEG_PLAIN && seen.has_sent && rtp_sequence_diff(seen.sequence, header->sequence) <= 0)
        abort();
    if (!seen.has_sent || rtp_sequence_diff(seen.sequence, header->sequence) > 0)
        seen.sequence = header->sequence;
    seen.has_sent = true;
}

static void on_digit(void *owner, struct leg *leg, dtmf_key key, enum digit_source source)
{
    (void)owner;
    (void)source;
    if (key >= DTMF_KEY_COUNT || leg->state == LEG_PLAIN)
        abort();
}

static void on_disarmed(void *owner, struct leg *leg)
{
    (void)owner;
    (void)leg;
}

static void on_alarm(void *owner, struct leg *leg)
{
    (void)owner;
    if (!leg->is_muted || leg->state == LEG_PLAIN)
        abort();
}

static void one_packet(struct leg *leg, const uint8_t *bytes, size_t length, struct mono_time now)
{
    static struct leg_frame frame;
    uint8_t packet[LIMIT_RTP_PACKET_BYTES];
    memcpy(packet, bytes, length);
    if (!leg_receive(leg, packet, length, now, &frame))
        return;
    if (mask_process(leg->mask, frame.in, frame.out, frame.sample_count, frame.edges, &frame.edge_count))
        abort();
    leg_deliver(&frame, now);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static const struct leg_sink sink = {on_send, on_digit, on_disarmed, on_alarm};
    static const struct leg_format format = {MEDIA_PCMA, 8, 101};
    static const struct mask_options options = {.lookahead_samples = 160};
    static struct mask *mask;
    static struct outgoing_watch *watch;
    if (!mask)
        mask = aligned_alloc(MASK_ALIGN, mask_size());
    if (!watch)
        watch = aligned_alloc(OUTGOING_WATCH_ALIGN, outgoing_watch_size());
    if (!mask || !watch)
        abort();
    struct leg leg;
    struct mono_time now = {NS_PER_S};
    memset(&seen, 0, sizeof(seen));
    leg_init(&leg, &sink, NULL, mask, watch, 0x5151, 65530, 0xffffff00);
    leg_set_format(&leg, &format, &format, true);
    while (length >= 2) {
        size_t take = bytes[0];
        uint8_t order = bytes[1];
        bytes += 2;
        length -= 2;
        now = mono_add_ms(now, order & 0x1f);
        if (order >> 5 == 7)
            leg_disarm(&leg);
        else if (order >> 5 >= 2 && leg_arm(&leg, &options, order & 0x20))
            abort();
        if (order >> 5 == 6)
            leg_info_key(&leg, order & 0x0f, 100, now);
        leg_tick(&leg, now);
        take = take < length ? take : length;
        one_packet(&leg, bytes, take, now);
        bytes += take;
        length -= take;
    }
    leg_wipe(&leg);
    return 0;
}
