#include "bench/phones/rtp_tape.h"

#include "bench/phones/phone_sdp.h"

#include <math.h>
#include <spandsp.h>
#include <stdlib.h>
#include <string.h>

#define REANCHOR_SAMPLES 4000 /* where timestamp and clock differ by half a second the clock is believed */
#define TIMESTAMP_SLACK  8

void rtp_tape_init(struct rtp_tape *tape, int event_type)
{
    memset(tape, 0, sizeof *tape);
    tape->event_type = event_type;
}

void rtp_tape_release(struct rtp_tape *tape)
{
    free(tape->samples);
    memset(tape, 0, sizeof *tape);
}

struct packet {
    unsigned type;
    uint16_t sequence;
    struct rtp_time timestamp;
    uint32_t ssrc;
    const uint8_t *payload;
    size_t payload_bytes;
};

static uint32_t read_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* RFC 3550 §5.1, §5.3.1 */
static bool read_packet(struct packet *packet, const uint8_t *bytes, size_t length)
{
    if (length < 12 || bytes[0] >> 6 != 2)
        return false;
    size_t header = 12 + 4U * (bytes[0] & 15);
    if (bytes[0] & 0x10) {
        if (length < header + 4)
            return false;
        header += 4 + 4U * ((unsigned)bytes[header + 2] << 8 | bytes[header + 3]);
    }
    size_t padding = bytes[0] & 0x20 ? bytes[length - 1] : 0;
    if (header + padding > length)
        return false;
    packet->type = bytes[1] & 127;
    packet->sequence = (uint16_t)(bytes[2] << 8 | bytes[3]);
    packet->timestamp.ticks = read_u32(bytes + 4);
    packet->ssrc = read_u32(bytes + 8);
    packet->payload = bytes + header;
    packet->payload_bytes = length - header - padding;
    return true;
}

static enum err grow(struct rtp_tape *tape, size_t wanted)
{
    if (wanted > RTP_TAPE_SAMPLES_MAX)
        return ERR_FULL;
    if (wanted > tape->capacity) {
        size_t capacity = wanted + 8000 * 30;
        int16_t *larger = realloc(tape->samples, capacity * sizeof *larger);
        if (larger == NULL)
            return ERR_MEMORY;
        memset(larger + tape->capacity, 0, (capacity - tape->capacity) * sizeof *larger);
        tape->samples = larger;
        tape->capacity = capacity;
    }
    if (wanted > tape->sample_count)
        tape->sample_count = wanted;
    return OK;
}

/* Where the clock says that a packet's audio belongs. */
static size_t place_by_clock(const struct rtp_tape *tape, struct mono_time at)
{
    return (size_t)((at.ns - tape->first_at.ns) / 125000);
}

static void start_stream(struct rtp_tape *tape, const struct packet *packet, struct mono_time at)
{
    if (!tape->has_started) {
        tape->first_at = at;
        tape->first_payload = packet->payload_bytes;
    } else {
        tape->counts.ssrc_changes++;
    }
    tape->has_started = true;
    tape->ssrc = packet->ssrc;
    tape->sequence = (uint16_t)(packet->sequence - 1);
    tape->timestamp = packet->timestamp;
    tape->next_length = 0;
    tape->base = packet->timestamp;
    tape->base_at = place_by_clock(tape, at);
}

/* Continuity of sequence and timestamp, and where the packet's first sample belongs (negative: before the tape). */
static long follow(struct rtp_tape *tape, const struct packet *packet, struct mono_time at)
{
    bool is_audio = packet->type == PHONE_PCMU || packet->type == PHONE_PCMA;
    int16_t ahead = (int16_t)(packet->sequence - tape->sequence);
    if (ahead > 1) {
        tape->counts.missing += (uint64_t)(ahead - 1);
        tape->next_length = 0; /* what was lost may have been audio */
    }
    if (ahead <= 0) {
        tape->counts.reordered++;
        tape->counts.missing -= ahead < 0 && tape->counts.missing > 0;
    }
    long place = (long)tape->base_at + rtp_time_diff(tape->base, packet->timestamp);
    if (is_audio && labs(place - (long)place_by_clock(tape, at)) > REANCHOR_SAMPLES) {
        tape->counts.timestamp_jumps++;
        tape->base = packet->timestamp;
        tape->base_at = place_by_clock(tape, at);
        place = (long)tape->base_at;
    } else if (is_audio && ahead == 1 && tape->next_length > 0) {
        long moved = rtp_time_diff(tape->timestamp, packet->timestamp) - (long)tape->next_length;
        tape->counts.timestamp_jumps += labs(moved) > TIMESTAMP_SLACK;
    }
    if (ahead > 0) {
        tape->sequence = packet->sequence;
        if (is_audio) {
            tape->timestamp = packet->timestamp;
            tape->next_length = packet->payload_bytes;
        }
    }
    return place;
}

static enum err write_audio(struct rtp_tape *tape, const struct packet *packet, long place)
{
    size_t skipped = place < 0 ? (size_t)-place : 0;
    if (skipped >= packet->payload_bytes)
        return OK;
    enum err err = grow(tape, (size_t)(place + (long)packet->payload_bytes));
    if (err != OK)
        return err;
    for (size_t i = skipped; i < packet->payload_bytes; i++)
        tape->samples[place + (long)i] = packet->type == PHONE_PCMU ? ulaw_to_linear(packet->payload[i])
                                                                    : alaw_to_linear(packet->payload[i]);
    return OK;
}

enum err rtp_tape_packet(struct rtp_tape *tape, const uint8_t *bytes, size_t length, struct mono_time at)
{
    struct packet packet;
    if (!read_packet(&packet, bytes, length)) {
        tape->counts.refused++;
        return ERR_SYNTAX;
    }
    if (tape->counts.packets++ > 0)
        tape->counts.gap_ms_max = fmax(tape->counts.gap_ms_max, (double)(at.ns - tape->last_at.ns) / 1e6);
    tape->last_at = at;
    if (!tape->has_started || packet.ssrc != tape->ssrc)
        start_stream(tape, &packet, at);
    long place = follow(tape, &packet, at);
    if (packet.type == PHONE_PCMU || packet.type == PHONE_PCMA) {
        tape->counts.audio_packets++;
        return write_audio(tape, &packet, place);
    }
    if (tape->event_type >= 0 && packet.type == (unsigned)tape->event_type)
        tape->counts.event_packets++;
    else
        tape->counts.other_packets++;
    return OK;
}
