#include "proxy/media/leg.h"

#include "base/secret.h"
#include "dsp/g711.h"

#include <string.h>

enum { SAMPLES_PER_MS = DTMF_SAMPLE_RATE / 1000, FILL_8K_MAX = 1600, DEFAULT_FRAME = 160 };
enum { STATIC_PCMU = 0, STATIC_PCMA = 8 }; /* RFC 3551 §6: these mean the same in every session */

/* What a packet is to the leg, once its header has been understood. */
struct arrival {
    struct rtp_packet rtp;
    bool is_event;
    enum media_codec codec;
    bool is_new_source, is_late;
    int lost; /* sequence numbers skipped before it */
    struct mono_time now;
};

static enum g711_law law_of(enum media_codec codec)
{
    return codec == MEDIA_PCMA ? G711_ALAW : G711_ULAW;
}

void leg_init(struct leg *leg, const struct leg_sink *sink, void *owner, struct mask *mask,
              struct outgoing_watch *watch, uint32_t out_ssrc, uint16_t first_sequence,
              uint32_t first_timestamp)
{
    *leg = (struct leg){
        .sink = sink,
        .owner = owner,
        .mask = mask,
        .watch = watch,
        .watch_counts = {.residual_dbm0 = OUTGOING_WATCH_NONE},
        .from = {.event_payload_type = -1},
        .to = {.event_payload_type = -1},
        .frame_samples = DEFAULT_FRAME,
        .out_ssrc = out_ssrc,
        .out_sequence = first_sequence,
        .out_timestamp = {first_timestamp},
    };
}

void leg_set_format(struct leg *leg, const struct leg_format *from, const struct leg_format *to, bool is_open)
{
    leg->from = *from;
    leg->to = *to;
    leg->is_open = is_open;
}

void leg_resume(struct leg *leg, uint32_t ssrc, uint16_t sequence, uint32_t timestamp, struct mono_time now)
{
    leg->out_ssrc = ssrc;
    leg->out_sequence = sequence;
    leg->out_timestamp.ticks = timestamp;
    leg->has_sent = true;
    leg->sent_at = now;
}

static bool is_armed(const struct leg *leg)
{
    return leg->state != LEG_PLAIN;
}

/* A side may send what it or the other side described: descriptions say what is wanted to be received. */
static bool classify(const struct leg *leg, struct arrival *arrival)
{
    uint8_t type = arrival->rtp.header.payload_type;
    arrival->is_event = type == leg->to.event_payload_type || type == leg->from.event_payload_type;
    if (arrival->is_event)
        return true;
    if (type == leg->to.payload_type)
        arrival->codec = leg->to.codec;
    else if (type == leg->from.payload_type)
        arrival->codec = leg->from.codec;
    else if (type == STATIC_PCMU)
        arrival->codec = MEDIA_PCMU;
    else if (type == STATIC_PCMA)
        arrival->codec = MEDIA_PCMA;
    else
        return false;
    return arrival->rtp.payload_bytes >= 1 && arrival->rtp.payload_bytes <= LIMIT_FRAME_SAMPLES;
}

/* ---- numbers of the outgoing stream ---- */

/* Time that passed since the last packet left, on the stream's clock; at least one frame, so that it never repeats. */
static uint32_t ticks_since_sent(const struct leg *leg, struct mono_time now)
{
    int64_t ticks = (now.ns - leg->sent_at.ns) * SAMPLES_PER_MS / NS_PER_MS;
    return ticks > leg->frame_samples ? (uint32_t)ticks : leg->frame_samples;
}

static void anchor_timestamp(struct leg *leg, uint32_t in_timestamp, struct mono_time now)
{
    uint32_t step = leg->has_sent ? ticks_since_sent(leg, now) : 0;
    leg->timestamp_offset = leg->out_timestamp.ticks + step - in_timestamp;
}

static void anchor_sequence(struct leg *leg, uint16_t in_sequence)
{
    leg->sequence_offset = (uint16_t)(leg->out_sequence + 1 - in_sequence);
    leg->must_resequence = false;
}

static void note_sent(struct leg *leg, const struct rtp_header *header, struct mono_time now)
{
    if (!leg->has_sent || rtp_sequence_diff(leg->out_sequence, header->sequence) > 0) {
        if (leg->has_sent && header->sequence < leg->out_sequence)
            leg->out_cycles += 0x10000;
        leg->out_sequence = header->sequence;
    }
    /* An event's packets all carry the time of its start: only a clock set anew goes back. */
    int32_t step = rtp_time_diff(leg->out_timestamp, (struct rtp_time){header->timestamp});
    if (!leg->has_sent || step > 0 || step < -8 * LEG_TIMESTAMP_JUMP)
        leg->out_timestamp.ticks = header->timestamp;
    leg->has_sent = true;
    leg->sent_at = now;
}

/* The outgoing header of a packet that goes out as it came in. False: nobody is to hear it. */
static bool number(struct leg *leg, const struct arrival *arrival, uint8_t payload_type,
                   struct rtp_header *out)
{
    if (!leg->is_open) {
        leg->must_resequence = true;
        return false;
    }
    const struct rtp_header *in = &arrival->rtp.header;
    if (leg->must_resequence)
        anchor_sequence(leg, in->sequence);
    *out = (struct rtp_header){
        .has_marker = in->has_marker || arrival->is_new_source,
        .payload_type = payload_type,
        .sequence = (uint16_t)(in->sequence + leg->sequence_offset),
        .timestamp = in->timestamp + leg->timestamp_offset,
        .ssrc = leg->out_ssrc,
    };
    note_sent(leg, out, arrival->now);
    return true;
}

static void pass_on(struct leg *leg, const struct rtp_header *header, const uint8_t *packet, size_t length,
                    bool is_audio)
{
    leg->packets_sent++;
    leg->octets_sent += (uint32_t)(length - RTP_HEADER_BYTES);
    leg->counts.packets_relayed++;
    leg->sink->send_h(leg->owner, leg, header, packet, length, is_audio);
}

/* ---- the sender's stream ---- */

/* Timestamps start anew: what is known of events by their time no longer holds. */
static void events_forget(struct leg *leg)
{
    if (leg->events.is_on)
        leg->force_left = LEG_EVENT_HANGOVER;
    wipe(&leg->events, sizeof(leg->events));
}

static void source_begin(struct leg *leg, struct arrival *arrival)
{
    const struct rtp_header *in = &arrival->rtp.header;
    if (leg->has_source && leg->ssrc != in->ssrc) {
        leg->old_ssrc = leg->ssrc;
        leg->changed_at = arrival->now;
    }
    leg->has_source = true;
    leg->ssrc = in->ssrc;
    leg->in_sequence = leg->floor_sequence = in->sequence;
    leg->in_cycles = 0;
    anchor_sequence(leg, in->sequence);
    anchor_timestamp(leg, in->timestamp, arrival->now);
    arrival->is_new_source = true;
    events_forget(leg);
}

static bool is_old_source(const struct leg *leg, uint32_t ssrc, struct mono_time now)
{
    return leg->has_source && ssrc != leg->ssrc && ssrc == leg->old_ssrc && leg->changed_at.ns != 0 &&
           mono_elapsed_ms(leg->changed_at, now) < LEG_OLD_SOURCE_MS;
}

/* Places the packet in the sender's stream. False: it belongs to a stream that is over. */
static bool source_place(struct leg *leg, struct arrival *arrival)
{
    const struct rtp_header *in = &arrival->rtp.header;
    if (is_old_source(leg, in->ssrc, arrival->now))
        return false;
    int step = rtp_sequence_diff(leg->in_sequence, in->sequence);
    if (!leg->has_source || in->ssrc != leg->ssrc || step > LEG_SEQUENCE_JUMP || step < -LEG_SEQUENCE_JUMP) {
        source_begin(leg, arrival);
        return true;
    }
    if (step <= 0) {
        arrival->is_late = true;
        return rtp_sequence_diff(leg->floor_sequence, in->sequence) >= 0;
    }
    arrival->lost = step - 1;
    if (in->sequence < leg->in_sequence)
        leg->in_cycles += 0x10000;
    leg->in_sequence = in->sequence;
    if (rtp_sequence_diff(leg->floor_sequence, in->sequence) > LEG_SEQUENCE_JUMP)
        leg->floor_sequence = (uint16_t)(in->sequence - LEG_SEQUENCE_JUMP);
    return true;
}

/* ---- plain ---- */

/* An event that was taken out while the leg was armed stays out, however late its last packets come. */
static bool plain_event_passes(struct leg *leg, uint32_t timestamp)
{
    if (leg->events.has_event && leg->events.started.ticks == timestamp)
        return !leg->is_event_removed;
    telephone_event_ignore(&leg->events, (struct rtp_time){timestamp});
    leg->is_event_removed = false;
    return leg->to.event_payload_type >= 0;
}

static void transcode(uint8_t *payload, size_t count, enum media_codec from, enum media_codec to)
{
    int16_t pcm[LIMIT_FRAME_SAMPLES];
    g711_decode(law_of(from), payload, pcm, count);
    g711_encode(law_of(to), pcm, payload, count);
}

static void plain_forward(struct leg *leg, uint8_t *bytes, const struct arrival *arrival)
{
    const struct rtp_packet *rtp = &arrival->rtp;
    uint8_t *payload = bytes + rtp->payload_at;
    if (arrival->is_event) {
        if (!plain_event_passes(leg, rtp->header.timestamp)) {
            leg->counts.packets_refused++;
            return;
        }
    } else if (!arrival->is_late) {
        leg->in_next = (struct rtp_time){rtp->header.timestamp + (uint32_t)rtp->payload_bytes};
        leg->frame_samples = (uint16_t)rtp->payload_bytes;
    }
    uint8_t type = arrival->is_event ? (uint8_t)leg->to.event_payload_type : leg->to.payload_type;
    struct rtp_header header;
    if (!number(leg, arrival, type, &header))
        return;
    if (!arrival->is_event && arrival->codec != leg->to.codec)
        transcode(payload, rtp->payload_bytes, arrival->codec, leg->to.codec);
    uint8_t *packet = payload - RTP_HEADER_BYTES; /* CSRC list and extension, if any, are overwritten */
    rtp_write_header(&header, packet);
    pass_on(leg, &header, packet, RTP_HEADER_BYTES + rtp->payload_bytes, !arrival->is_event);
}

/* ---- through the mask ---- */

static void notice(struct leg *leg, dtmf_key key, enum digit_source way, struct mono_time now,
                   unsigned ago_ms)
{
    if (key >= DTMF_KEY_COUNT || !digit_merge_notice(&leg->merge, key, way, now, ago_ms))
        return;
    leg->counts.keys++;
    leg->sink->digit_h(leg->owner, leg, key, way);
}

static void take_edges(struct leg *leg, const struct dtmf_edge *edges, size_t count, struct mono_time now)
{
    for (size_t i = 0; i < count; i++) {
        leg->has_tone = edges[i].kind == DTMF_EDGE_ON;
        leg->tone_key = edges[i].key;
        if (leg->has_tone)
            notice(leg, edges[i].key, DIGIT_TONE, now,
                   (unsigned)((edges[i].reported_sample - edges[i].onset_sample) / SAMPLES_PER_MS));
        else
            digit_merge_extend(&leg->merge, edges[i].key, DIGIT_TONE, now);
    }
    if (leg->has_tone)
        digit_merge_extend(&leg->merge, leg->tone_key, DIGIT_TONE, now);
}

static void force_before(struct leg *leg)
{
    bool is_forced = leg->events.is_on || leg->force_left > 0;
    if (is_forced != leg->is_forced)
        mask_force(leg->mask, is_forced);
    leg->is_forced = is_forced;
}

/* count samples went into the mask; the sender's clock stands at in_next. */
static void force_after(struct leg *leg, size_t count, struct mono_time now)
{
    leg->force_left -= leg->force_left < count ? leg->force_left : (uint32_t)count;
    if (leg->events.is_on)
        digit_merge_extend(&leg->merge, leg->events.code, DIGIT_EVENT, now);
    if (telephone_event_expire(&leg->events, leg->in_next))
        leg->force_left = LEG_EVENT_HANGOVER;
}

/* Time without samples goes into the mask; out receives what leaves it. count 1..LIMIT_FRAME_SAMPLES. */
static void feed_gap(struct leg *leg, int16_t *out, size_t count, struct mono_time now)
{
    struct dtmf_edge edges[DTMF_EDGE_MAX];
    size_t edge_count = 0;
    force_before(leg);
    ASSERT(mask_gap(leg->mask, out, count, edges, &edge_count) == OK);
    take_edges(leg, edges, edge_count, now);
    wipe(edges, sizeof(edges));
    leg->in_next = rtp_time_add(leg->in_next, (int32_t)count);
    force_after(leg, count, now);
}

/* ---- the watch on what leaves ---- */

static void mute(struct leg *leg)
{
    if (leg->is_muted)
        return;
    leg->is_muted = true;
    leg->counts.alarms++;
    comfort_noise_init(&leg->hush, leg->out_ssrc);
    leg->sink->alarm_h(leg->owner, leg);
}

static void hush(struct leg *leg, int16_t *pcm, size_t count)
{
    float noise[LIMIT_FRAME_SAMPLES];
    comfort_noise_make(&leg->hush, noise, count);
    for (size_t i = 0; i < count; i++)
        pcm[i] = (int16_t)noise[i];
}

/* payload is to leave. True: a key can be heard in it. */
static bool watch_hears(struct leg *leg, const uint8_t *payload, size_t count)
{
    int16_t pcm[LIMIT_FRAME_SAMPLES];
    struct mask_run runs[MASK_RUNS_MAX] = {{0, (uint16_t)count}};
    size_t run_count = leg->is_muted ? 1 : mask_replaced(leg->mask, runs);
    g711_decode(law_of(leg->to.codec), payload, pcm, count);
    bool is_heard = outgoing_watch_hear(leg->watch, pcm, count, runs, run_count);
    wipe(pcm, sizeof(pcm));
    return is_heard;
}

static void watch_nothing(struct leg *leg, size_t count)
{
    if (leg->watch)
        outgoing_watch_gap(leg->watch, count);
}

/* The negative control lets events pass, unless somebody watches. */
static bool event_passes(struct leg *leg)
{
    if (leg->is_revealing && leg->watch)
        mute(leg);
    return leg->is_revealing && !leg->is_muted;
}

/* The stream goes on `samples` later and nothing is sent for that time: it was lost, or never sent. */
static void skip(struct leg *leg, int32_t samples, struct mono_time now)
{
    int16_t out[LIMIT_FRAME_SAMPLES];
    struct rtp_time end = rtp_time_add(leg->in_next, samples);
    int32_t left = samples < LEG_GAP_8K_MAX ? samples : LEG_GAP_8K_MAX;
    while (left > 0) {
        size_t count = left < LIMIT_FRAME_SAMPLES ? (size_t)left : LIMIT_FRAME_SAMPLES;
        feed_gap(leg, out, count, now);
        watch_nothing(leg, count);
        left -= (int32_t)count;
    }
    leg->in_next = end;
    wipe(out, sizeof(out));
}

static void send_pcm(struct leg *leg, const struct rtp_header *header, int16_t *pcm, size_t count)
{
    uint8_t packet[RTP_HEADER_BYTES + LIMIT_FRAME_SAMPLES];
    uint8_t *payload = packet + RTP_HEADER_BYTES;
    rtp_write_header(header, packet);
    if (leg->is_muted)
        hush(leg, pcm, count);
    g711_encode(law_of(leg->to.codec), pcm, payload, count);
    if (leg->watch && watch_hears(leg, payload, count)) {
        mute(leg);
        hush(leg, pcm, count);
        g711_encode(law_of(leg->to.codec), pcm, payload, count);
    }
    leg->counts.frames++;
    pass_on(leg, header, packet, RTP_HEADER_BYTES + count, true);
}

/* A packet of ours that answers to none of the sender's: the time of an event. */
static void fill(struct leg *leg, size_t count, struct mono_time now)
{
    int16_t out[LIMIT_FRAME_SAMPLES];
    struct rtp_header header = {
        .payload_type = leg->to.payload_type,
        .sequence = (uint16_t)(leg->out_sequence + 1),
        .timestamp = leg->in_next.ticks + leg->timestamp_offset,
        .ssrc = leg->out_ssrc,
    };
    feed_gap(leg, out, count, now);
    leg->is_filling = true;
    if (leg->is_open) {
        note_sent(leg, &header, now);
        send_pcm(leg, &header, out, count);
    } else {
        watch_nothing(leg, count);
    }
    wipe(out, sizeof(out));
}

/* An event says that it lasts until `end`. */
static void fill_until(struct leg *leg, struct rtp_time end, struct mono_time now)
{
    int32_t ahead = rtp_time_diff(leg->in_next, end);
    if (ahead > FILL_8K_MAX) {
        skip(leg, ahead - leg->frame_samples, now);
        ahead = leg->frame_samples;
    }
    for (; ahead >= leg->frame_samples; ahead -= leg->frame_samples)
        fill(leg, leg->frame_samples, now);
}

/* The sender set its clock anew without a new SSRC. */
static void clock_begin(struct leg *leg, uint32_t timestamp, struct mono_time now)
{
    anchor_timestamp(leg, timestamp, now);
    events_forget(leg);
}

static void armed_event(struct leg *leg, uint8_t *bytes, const struct arrival *arrival)
{
    struct mono_time now = arrival->now;
    struct rtp_time at = {arrival->rtp.header.timestamp};
    struct telephone_event event;
    leg->counts.events_removed++;
    leg->is_event_removed = true;
    int32_t ahead = rtp_time_diff(leg->in_next, at);
    if (!arrival->is_late && (arrival->is_new_source || ahead < -8 * LEG_TIMESTAMP_JUMP)) {
        if (!arrival->is_new_source)
            clock_begin(leg, at.ticks, now);
        leg->in_next = at;
        ahead = 0;
    }
    if (telephone_event_read(&event, bytes + arrival->rtp.payload_at, arrival->rtp.payload_bytes)) {
        leg->counts.packets_refused++;
        event = (struct telephone_event){.is_end = true};
    } else {
        enum telephone_event_step step = telephone_event_feed(&leg->events, &event, at);
        if (step == TELEPHONE_EVENT_START || step == TELEPHONE_EVENT_WHOLE)
            notice(leg, event.code, DIGIT_EVENT, now, event.duration_8k / SAMPLES_PER_MS);
        else if (event.code < DTMF_KEY_COUNT)
            digit_merge_extend(&leg->merge, event.code, DIGIT_EVENT, now);
        if (step == TELEPHONE_EVENT_END || step == TELEPHONE_EVENT_WHOLE)
            leg->force_left = LEG_EVENT_HANGOVER;
    }
    if (!arrival->is_late) {
        if (ahead > 0)
            skip(leg, ahead, now);
        fill_until(leg, rtp_time_add(at, event.duration_8k), now);
        /* Whatever left for it, our numbers go on without a hole. */
        leg->sequence_offset = (uint16_t)(leg->out_sequence - arrival->rtp.header.sequence);
    }
    wipe(&event, sizeof(event));
}

/* Brings the mask to where this packet's audio begins. False: that time is over already. */
static bool catch_up(struct leg *leg, const struct arrival *arrival)
{
    const struct rtp_header *in = &arrival->rtp.header;
    int32_t ahead = rtp_time_diff(leg->in_next, (struct rtp_time){in->timestamp});
    bool is_new_clock = arrival->is_new_source || ahead < -LEG_TIMESTAMP_JUMP;
    if (is_new_clock) {
        if (!arrival->is_new_source)
            clock_begin(leg, in->timestamp, arrival->now);
        int32_t missed =
            leg->has_sent ? (int32_t)(ticks_since_sent(leg, arrival->now) - leg->frame_samples) : 0;
        skip(leg, missed < LEG_GAP_8K_MAX ? missed : LEG_GAP_8K_MAX, arrival->now);
        leg->in_next.ticks = in->timestamp;
        return true;
    }
    if (ahead < 0) { /* an event's noise has taken this time; our numbers close up */
        leg->sequence_offset--;
        return false;
    }
    if (ahead > 0 && leg->is_filling && arrival->lost == 0 && ahead <= leg->frame_samples) {
        fill(leg, (size_t)ahead, arrival->now);
        leg->sequence_offset++;
    } else if (ahead > 0) {
        skip(leg, ahead, arrival->now);
    }
    return true;
}

static bool armed_audio(struct leg *leg, const uint8_t *bytes, const struct arrival *arrival,
                        struct leg_frame *frame)
{
    if (arrival->is_late) {
        leg->counts.packets_late++;
        return false;
    }
    leg->counts.packets_lost += (uint32_t)arrival->lost;
    if (!catch_up(leg, arrival))
        return false;
    size_t count = arrival->rtp.payload_bytes;
    leg->is_filling = false;
    leg->frame_samples = (uint16_t)count;
    frame->leg = leg;
    frame->sample_count = count;
    frame->edge_count = 0;
    frame->is_sent = number(leg, arrival, leg->to.payload_type, &frame->header);
    g711_decode(law_of(arrival->codec), bytes + arrival->rtp.payload_at, frame->in, count);
    leg->in_next = rtp_time_add(leg->in_next, (int32_t)count);
    force_before(leg);
    leg->is_pending = true;
    return true;
}

bool leg_receive(struct leg *leg, uint8_t *bytes, size_t length, struct mono_time now,
                 struct leg_frame *frame)
{
    struct arrival arrival = {.now = now};
    bool is_frame = false;
    ASSERT(!leg->is_pending);
    if (rtp_read(&arrival.rtp, bytes, length)) {
        leg->counts.packets_refused++;
        goto out;
    }
    leg->heard_at = now;
    if (!classify(leg, &arrival)) {
        const uint8_t *payload = bytes + arrival.rtp.payload_at;
        if (is_armed(leg) && leg->to.event_payload_type >= 0 &&
            telephone_event_in_red(payload, arrival.rtp.payload_bytes, (uint8_t)leg->to.event_payload_type))
            leg->counts.events_removed++;
        leg->counts.packets_refused++;
        goto out;
    }
    if (!source_place(leg, &arrival)) {
        leg->counts.packets_late++;
        goto out;
    }
    if (!is_armed(leg) || (arrival.is_event && event_passes(leg))) {
        plain_forward(leg, bytes, &arrival);
    } else if (arrival.is_event) {
        armed_event(leg, bytes, &arrival);
    } else {
        is_frame = armed_audio(leg, bytes, &arrival, frame);
    }
out:
    if (is_armed(leg))
        wipe(bytes, length);
    return is_frame;
}

/* ---- arming and leaving ---- */

static void span_ended(void *owner, uint64_t from, uint64_t to)
{
    struct leg *leg = owner;
    uint64_t length = to - from < UINT32_MAX ? to - from : UINT32_MAX;
    leg->counts.spans++;
    if (length > leg->counts.span_longest_8k)
        leg->counts.span_longest_8k = (uint32_t)length;
}

enum err leg_arm(struct leg *leg, const struct mask_options *options, bool is_keying)
{
    if (!leg->mask)
        return ERR_UNSUPPORTED;
    if (leg->state == LEG_PLAIN) {
        enum err err = mask_init(leg->mask, options);
        if (err)
            return err;
        uint64_t relayed = leg->counts.packets_relayed, refused = leg->counts.packets_refused;
        leg->counts = (struct leg_counts){.packets_relayed = relayed, .packets_refused = refused};
        leg->lookahead_samples = options->lookahead_samples;
        leg->is_revealing = options->is_off;
        leg->is_forced = leg->is_filling = leg->has_tone = false;
        leg->force_left = 0;
        leg->is_muted = false;
        mask_on_span(leg->mask, span_ended, leg);
        if (leg->watch)
            outgoing_watch_init(leg->watch);
    }
    leg->state = LEG_ARMED;
    mask_set_keying(leg->mask, is_keying);
    return OK;
}

void leg_set_keying(struct leg *leg, bool is_keying)
{
    if (is_armed(leg))
        mask_set_keying(leg->mask, is_keying);
}

void leg_mute(struct leg *leg)
{
    if (is_armed(leg))
        mute(leg);
}

/* Grows whenever the mask does anything but let the voice pass. */
static uint64_t mask_activity(const struct leg *leg)
{
    struct mask_counts counts;
    mask_counts(leg->mask, &counts);
    return counts.masked_samples + counts.suspicions + counts.decisions;
}

void leg_disarm(struct leg *leg)
{
    if (leg->state != LEG_ARMED)
        return;
    leg->state = LEG_LEAVING;
    mask_set_keying(leg->mask, false);
    leg->activity_before = mask_activity(leg);
    leg->leaving_samples = leg->clean_samples = 0;
}

void leg_wipe(struct leg *leg)
{
    if (is_armed(leg)) {
        mask_counts(leg->mask, &leg->mask_counts);
        mask_wipe(leg->mask);
        leg_watch_counts(leg, &leg->watch_counts);
        if (leg->watch)
            outgoing_watch_wipe(leg->watch);
    }
    leg->state = LEG_PLAIN;
    leg->is_muted = false;
    leg->is_pending = false;
    leg->has_tone = false;
    wipe(&leg->tone_key, sizeof(leg->tone_key));
    wipe(&leg->merge, sizeof(leg->merge));
    leg->events.is_on = false;
    wipe(&leg->events.code, sizeof(leg->events.code));
}

static void leave(struct leg *leg)
{
    leg->floor_sequence = (uint16_t)(leg->in_sequence + 1); /* also a late copy of the newest stays out */
    leg_wipe(leg);
    leg->sink->disarmed_h(leg->owner, leg);
}

/* True when nothing is in progress any more: the mask was idle for as long as its delay line is. */
static bool may_leave(struct leg *leg, size_t count)
{
    uint64_t activity = mask_activity(leg);
    bool is_clean =
        activity == leg->activity_before && !leg->has_tone && !leg->events.is_on && leg->force_left == 0;
    leg->activity_before = activity;
    leg->clean_samples = is_clean ? leg->clean_samples + (uint32_t)count : 0;
    leg->leaving_samples += (uint32_t)count;
    return leg->clean_samples >= leg->lookahead_samples + count;
}

static void cross_fade(int16_t *delayed, const int16_t *direct, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int32_t faded = delayed[i] * (int32_t)(count - i) + direct[i] * (int32_t)i;
        delayed[i] = (int16_t)(faded / (int32_t)count);
    }
}

void leg_deliver(struct leg_frame *frame, struct mono_time now)
{
    struct leg *leg = frame->leg;
    size_t count = frame->sample_count;
    bool is_over = false;
    leg->is_pending = false;
    take_edges(leg, frame->edges, frame->edge_count, now);
    force_after(leg, count, now);
    if (leg->state == LEG_LEAVING) {
        bool is_clean = may_leave(leg, count);
        is_over = is_clean || leg->leaving_samples >= LEG_LEAVE_MS_MAX * SAMPLES_PER_MS;
        if (is_clean)
            cross_fade(frame->out, frame->in, count);
    }
    if (frame->is_sent)
        send_pcm(leg, &frame->header, frame->out, count);
    else
        watch_nothing(leg, count);
    wipe(frame->in, count * sizeof(frame->in[0]));
    wipe(frame->out, count * sizeof(frame->out[0]));
    wipe(frame->edges, sizeof(frame->edges));
    if (is_over)
        leave(leg);
}

void leg_tick(struct leg *leg, struct mono_time now)
{
    if (leg->state == LEG_LEAVING && mono_elapsed_ms(leg->heard_at, now) >= LEG_SILENT_MS)
        leave(leg);
}

void leg_info_key(struct leg *leg, dtmf_key key, unsigned duration_ms, struct mono_time now)
{
    if (!is_armed(leg))
        return;
    leg->counts.infos_removed++;
    if (leg->force_left < LEG_INFO_HANGOVER)
        leg->force_left = LEG_INFO_HANGOVER;
    notice(leg, key, DIGIT_INFO, now, duration_ms);
}

void leg_mask_counts(const struct leg *leg, struct mask_counts *counts)
{
    if (is_armed(leg))
        mask_counts(leg->mask, counts);
    else
        *counts = leg->mask_counts;
}

void leg_watch_counts(const struct leg *leg, struct outgoing_watch_counts *counts)
{
    if (is_armed(leg) && leg->watch)
        outgoing_watch_counts(leg->watch, counts);
    else
        *counts = leg->watch_counts;
}
