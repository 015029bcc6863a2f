#include "proxy/media/worker.h"

#include "base/log.h"
#include "base/secret.h"
#include "proxy/media/arrival.h"
#include "proxy/media/audio_memory.h"
#include "proxy/media/port_pool.h"
#include "proxy/media/rtcp.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RTCP_EVENTS = 64, RTCP_DRAIN_MAX = 4, FEW_CALLS = 16, SOME_CALLS = 64 };

/* After a restart numbers go on this far ahead: more than the packets between two snapshots. */
enum { RESTORE_SEQUENCE_STEP = 1000, RESTORE_TIMESTAMP_STEP = 24000 };

/* What every tick looks at, a cache line a call. */
struct active {
    struct call *call;
    struct mono_time check_at; /* its slow affairs */
    struct arrival arrivals[MEDIA_SIDES];
};

_Static_assert(sizeof(struct active) == 64, "a cache line a call");

struct worker {
    pthread_t thread;
    bool is_running;
    sem_t has_begun;
    atomic_bool must_stop;
    struct worker_options options;
    struct ring *orders, *events;
    int epoll_fd;          /* RTCP: rare packets, so readiness is asked for all at once */
    struct active *active; /* its calls */
    size_t active_count;
    struct mono_time now;
    int64_t tick_ns;
    struct leg_frame *frames; /* WORKER_BATCH, pending for the mask */
    size_t frame_count;
    struct mask_frame batch[WORKER_BATCH];
    uint8_t packet[LIMIT_RTP_PACKET_BYTES];
    _Atomic uint64_t ticks, ticks_late, packets_relayed, packets_refused, send_errors, events_lost,
        watch_alarms;
};

/* Counters have one writer; a plain load and store is enough. */
static void count(_Atomic uint64_t *counter, uint64_t step)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + step,
                          memory_order_relaxed);
}

static struct call *call_of(const struct worker *worker, uint32_t place)
{
    return &worker->options.calls[place];
}

static enum media_side other(enum media_side side)
{
    return side == MEDIA_CALLER ? MEDIA_AGENT : MEDIA_CALLER;
}

/* ---- events ---- */

static void report_fill(const struct call *call, struct proxy_leg_report_msg *report)
{
    const struct leg *leg = &call->sides[MEDIA_CALLER].leg;
    struct mask_counts mask;
    struct outgoing_watch_counts watch;
    struct wall_time now = wall_now();
    leg_mask_counts(leg, &mask);
    leg_watch_counts(leg, &watch);
    *report = (struct proxy_leg_report_msg){
        .capture_id = call->capture_id,
        .frames = leg->counts.frames,
        .masked_samples = mask.masked_samples,
        .suspicions = mask.suspicions,
        .keys = leg->counts.keys,
        .events_removed = leg->counts.events_removed,
        .infos_removed = leg->counts.infos_removed,
        .packets_late = leg->counts.packets_late,
        .packets_lost = leg->counts.packets_lost,
        .armed_at_ns = call->armed_at.ns,
        .told_at_ns = now.ns > call->armed_at.ns ? now.ns : call->armed_at.ns, /* a clock that was set back */
        .watched_8k = watch.samples,
        .spans = leg->counts.spans,
        .span_longest_8k = leg->counts.span_longest_8k,
        .watch_keys = watch.keys,
        .watch_remains = watch.remains,
        .residual_cdbm0 =
            watch.replaced_windows ? (int32_t)lrintf(100 * watch.residual_dbm0) : PROXY_RESIDUAL_NONE,
        .is_alarmed = leg->counts.alarms != 0,
        .is_resumed = call->is_resumed,
        .is_masking_off = leg->is_revealing,
    };
}

static void say(struct worker *worker, const struct call *call, const struct media_event *event)
{
    static const uint64_t one = 1;
    struct media_event told = *event;
    told.call_id = call->id;
    told.capture_id = call->capture_id;
    if (ring_put(worker->events, &told))
        count(&worker->events_lost, 1);
    wipe(&told, sizeof(told));
    (void)!write(worker->options.event_fd, &one, sizeof(one)); /* full means that it is readable already */
}

static void say_report(struct worker *worker, const struct call *call, enum media_event_kind kind)
{
    struct media_event event = {.kind = kind, .side = MEDIA_CALLER};
    report_fill(call, &event.report);
    event.report.is_last = kind == MEDIA_EVENT_DISARMED;
    say(worker, call, &event);
}

/* ---- snapshots ---- */

static void keep(struct call *call)
{
    struct media_snapshot_slot *slot = call->slot;
    if (!slot)
        return;
    uint32_t version = atomic_load_explicit(&slot->version, memory_order_relaxed) | 1;
    atomic_store_explicit(&slot->version, version, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    struct media_snapshot *snapshot = &slot->snapshot;
    snapshot->ports = call->ports;
    snapshot->capture_id = call->capture_id;
    snapshot->ordinal = call->ordinal;
    snapshot->is_keying = call->is_keying;
    snapshot->is_muted = call->sides[MEDIA_CALLER].leg.is_muted;
    for (int side = 0; side < MEDIA_SIDES; side++) {
        const struct leg *leg = &call->sides[other((enum media_side)side)].leg; /* what this side is sent */
        snapshot->legs[side] = call->sides[side].described;
        snapshot->sent[side].ssrc = leg->out_ssrc;
        snapshot->sent[side].sequence = leg->out_sequence;
        snapshot->sent[side].timestamp = leg->out_timestamp.ticks;
    }
    atomic_store_explicit(&slot->version, version + 1, memory_order_release);
}

/* ---- the leg's sink: what leaves ---- */

static void sink_send(void *owner, struct leg *leg, const struct rtp_header *header, const uint8_t *packet,
                      size_t length, bool is_audio);
static void sink_digit(void *owner, struct leg *leg, dtmf_key key, enum digit_source source);
static void sink_disarmed(void *owner, struct leg *leg);
static void sink_alarm(void *owner, struct leg *leg);

static const struct leg_sink worker_sink = {sink_send, sink_digit, sink_disarmed, sink_alarm};

/* The worker a leg belongs to is known by its thread alone. */
static _Thread_local struct worker *self;

/* An ICMP error of an earlier packet is reported instead of sending: once more. */
static bool send_on(int fd, const uint8_t *packet, size_t length)
{
    if (send(fd, packet, length, MSG_DONTWAIT) >= 0)
        return true;
    return errno == ECONNREFUSED && send(fd, packet, length, MSG_DONTWAIT) >= 0;
}

static void sink_send(void *owner, struct leg *leg, const struct rtp_header *header, const uint8_t *packet,
                      size_t length, bool is_audio)
{
    struct call *call = owner;
    bool is_callers = leg == &call->sides[MEDIA_CALLER].leg;
    const struct call_side *to = &call->sides[is_callers ? MEDIA_AGENT : MEDIA_CALLER];
    count(&self->packets_relayed, 1);
    if (!send_on(to->rtp_fd, packet, length))
        count(&self->send_errors, 1);
    if (is_audio && self->options.fork)
        fork_packet(self->options.fork, call->place, call->id, is_callers ? FORK_HEARD : FORK_SAID,
                    leg->to.codec, header, packet + RTP_HEADER_BYTES, length - RTP_HEADER_BYTES, self->now);
}

static void sink_digit(void *owner, struct leg *leg, dtmf_key key, enum digit_source source)
{
    struct call *call = owner;
    (void)leg;
    struct media_event event = {.kind = MEDIA_EVENT_DIGIT,
                                .side = MEDIA_CALLER,
                                .ordinal = ++call->ordinal,
                                .key = key,
                                .source = source};
    say(self, call, &event);
    wipe(&event, sizeof(event));
    keep(call);
}

static void sink_disarmed(void *owner, struct leg *leg)
{
    struct call *call = owner;
    (void)leg;
    say_report(self, call, MEDIA_EVENT_DISARMED);
    call->capture_id = 0;
    call->ordinal = 0;
    keep(call);
}

static void sink_alarm(void *owner, struct leg *leg)
{
    struct call *call = owner;
    (void)leg;
    count(&self->watch_alarms, 1);
    say(self, call, &(struct media_event){.kind = MEDIA_EVENT_ALARM, .side = MEDIA_CALLER});
    keep(call);
}

/* ---- orders ---- */

static void rtcp_watch(struct worker *worker, struct call *call, enum media_side side, bool is_on)
{
    struct call_side *at = &call->sides[side];
    if (at->is_rtcp_connected == is_on)
        return;
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)call->place << 1 | side};
    (void)!epoll_ctl(worker->epoll_fd, is_on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, at->rtcp_fd, &event);
    at->is_rtcp_connected = is_on;
}

static bool is_same_address(const struct sockaddr_in *a, const struct sockaddr_in *b)
{
    return a->sin_port == b->sin_port && a->sin_addr.s_addr == b->sin_addr.s_addr;
}

/* True when the socket now hears this remote and no other. Port 0, or an address we may not or cannot send to: parked. */
static bool point(int fd, const struct sockaddr_in *remote)
{
    static _Thread_local struct log_limit limit;
    uint64_t held;
    if (remote->sin_port != 0) {
        struct sockaddr_in to = *remote;
        to.sin_family = AF_INET;
        enum err err = port_connect(fd, &to);
        if (!err)
            return true;
        if (log_limit_pass(&limit, &held))
            log_event(LOG_WARN, "a described media address is not used", LOG_ERR("because", err),
                      LOG_COUNT("held_back", held));
    }
    if (port_park(fd))
        ASSERT(!"a bound socket can be connected to itself");
    return false;
}

static void side_point(struct worker *worker, struct call *call, enum media_side side,
                       const struct media_leg *described)
{
    struct call_side *at = &call->sides[side];
    struct sockaddr_in rtp = described->rtp_remote, rtcp = described->rtcp_remote;
    if (rtp.sin_port == 0)
        rtcp.sin_port = 0;
    if (!is_same_address(&rtp, &at->described.rtp_remote) || at->is_connected != (rtp.sin_port != 0))
        at->is_connected = point(at->rtp_fd, &rtp);
    if (!is_same_address(&rtcp, &at->described.rtcp_remote) ||
        at->is_rtcp_connected != (rtcp.sin_port != 0)) {
        rtcp_watch(worker, call, side, false);
        if (point(at->rtcp_fd, &rtcp))
            rtcp_watch(worker, call, side, true);
    }
    struct arrival *arrival = &worker->active[call->active_at].arrivals[side];
    if (at->is_connected)
        arrival_start(arrival);
    else
        arrival_stop(arrival);
    at->described = *described;
    at->heard_at = worker->now;
    at->silences_told = 0;
}

static struct leg_format format_of(const struct media_leg *described)
{
    return (struct leg_format){described->codec, described->payload_type, described->event_payload_type};
}

static void call_update(struct worker *worker, struct call *call, const struct media_leg legs[MEDIA_SIDES])
{
    for (int side = 0; side < MEDIA_SIDES; side++)
        side_point(worker, call, (enum media_side)side, &legs[side]);
    for (int side = 0; side < MEDIA_SIDES; side++) {
        const struct call_side *far = &call->sides[other((enum media_side)side)];
        struct leg_format from = format_of(&legs[side]), to = format_of(&far->described);
        leg_set_format(&call->sides[side].leg, &from, &to, far->is_connected && far->described.is_receiving);
    }
    keep(call);
}

static void call_open(struct worker *worker, struct call *call, const struct order *order)
{
    call->id = order->call_id;
    call->capture_id = 0;
    call->ordinal = 0;
    call->slot = NULL;
    call->report_at = worker->now;
    for (int side = 0; side < MEDIA_SIDES; side++) {
        struct call_side *at = &call->sides[side];
        struct {
            uint64_t name;
            uint32_t ssrc, timestamp;
            uint16_t sequence;
        } start;
        if (getrandom(&start, sizeof(start), 0) != (ssize_t)sizeof(start))
            ASSERT(!"getrandom gives what was asked for");
        log_id_text(start.name, at->cname);
        at->described = (struct media_leg){.event_payload_type = -1};
        at->is_connected = at->is_rtcp_connected = false;
        at->silences_told = 0;
        at->heard_at = worker->now;
        leg_init(&at->leg, &worker_sink, call, at->leg.mask, at->leg.watch, start.ssrc, start.sequence,
                 start.timestamp);
    }
    ASSERT(worker->active_count < worker->options.active_max);
    call->active_at = (uint32_t)worker->active_count++;
    struct active *active = &worker->active[call->active_at];
    active->call = call;
    active->check_at = worker->now;
    for (int side = 0; side < MEDIA_SIDES; side++)
        arrival_stop(&active->arrivals[side]);
}

static void call_arm(struct worker *worker, struct call *call, const struct order *order)
{
    struct leg *leg = &call->sides[MEDIA_CALLER].leg;
    struct mask_options options = worker->options.mask;
    options.noise_seed ^= leg->out_ssrc;
    if (call->capture_id != 0 && call->capture_id != order->capture_id)
        say_report(worker, call, MEDIA_EVENT_DISARMED); /* the last report of the capture before */
    if (leg->state == LEG_PLAIN) {
        call->armed_at = wall_now();
        call->is_resumed = false;
    }
    if (leg_arm(leg, &options, order->is_keying))
        ASSERT(!"the caller's leg has a mask and the options were tried at the start");
    if (call->capture_id != order->capture_id)
        call->ordinal =
            0; /* what it counts starts anew for another capture, the mask goes on without a gap */
    call->capture_id = order->capture_id;
    call->is_keying = order->is_keying;
    call->report_at = mono_add_ms(worker->now, WORKER_REPORT_MS);
    keep(call);
}

static void call_restore(struct worker *worker, struct call *call, const struct order *order)
{
    const struct media_snapshot *snapshot = &order->snapshot;
    call_open(worker, call, order);
    for (int side = 0; side < MEDIA_SIDES; side++)
        leg_resume(&call->sides[other((enum media_side)side)].leg, snapshot->sent[side].ssrc,
                   (uint16_t)(snapshot->sent[side].sequence + RESTORE_SEQUENCE_STEP),
                   snapshot->sent[side].timestamp + RESTORE_TIMESTAMP_STEP, worker->now);
    if (snapshot->capture_id != 0) { /* before any socket hears the caller */
        struct order arm = {.capture_id = snapshot->capture_id, .is_keying = snapshot->is_keying};
        call_arm(worker, call, &arm);
        call->ordinal = snapshot->ordinal;
        call->is_resumed = true;
        if (snapshot->is_muted)
            leg_mute(&call->sides[MEDIA_CALLER].leg);
    }
    call_update(worker, call, snapshot->legs);
}

static void call_close(struct worker *worker, struct call *call)
{
    if (call->capture_id != 0)
        say_report(worker, call, MEDIA_EVENT_DISARMED);
    for (int side = 0; side < MEDIA_SIDES; side++) {
        struct call_side *at = &call->sides[side];
        rtcp_watch(worker, call, (enum media_side)side, false);
        if (port_park(at->rtp_fd) || port_park(at->rtcp_fd))
            ASSERT(!"a bound socket can be connected to itself");
        leg_wipe(&at->leg);
    }
    if (worker->options.fork)
        fork_end(worker->options.fork, call->place, call->id);
    call->slot = NULL;
    struct active *last = &worker->active[--worker->active_count];
    last->call->active_at = call->active_at;
    worker->active[call->active_at] = *last;
    atomic_store_explicit(&call->is_free, true, memory_order_release);
}

static void call_disarm(struct worker *worker, struct call *call, uint64_t capture_id)
{
    struct leg *leg = &call->sides[MEDIA_CALLER].leg;
    (void)worker;
    if (call->capture_id != capture_id)
        return; /* only honoured for the capture that armed it */
    call->is_keying = false;
    leg_disarm(leg);
}

static void arm_and_answer(struct worker *worker, struct call *call, const struct order *order)
{
    bool is_other = call->capture_id != order->capture_id;
    call_arm(worker, call, order);
    say(worker, call, &(struct media_event){.kind = MEDIA_EVENT_ARMED, .side = MEDIA_CALLER});
    if (is_other && call->sides[MEDIA_CALLER].leg.is_muted) /* whoever takes the leg over is told too */
        say(worker, call, &(struct media_event){.kind = MEDIA_EVENT_ALARM, .side = MEDIA_CALLER});
}

static void take_order(struct worker *worker, const struct order *order)
{
    struct call *call = call_of(worker, order->place);
    switch (order->kind) {
    case ORDER_OPEN:
        call_open(worker, call, order);
        break;
    case ORDER_UPDATE:
        call_update(worker, call, order->legs);
        break;
    case ORDER_ARM:
        arm_and_answer(worker, call, order);
        break;
    case ORDER_DISARM:
        call_disarm(worker, call, order->capture_id);
        break;
    case ORDER_KEY:
        leg_info_key(&call->sides[MEDIA_CALLER].leg, order->key, order->duration_ms, worker->now);
        break;
    case ORDER_KEEP:
        call->slot = order->slot;
        keep(call);
        break;
    case ORDER_RESTORE:
        call_restore(worker, call, order);
        break;
    case ORDER_CLOSE:
        call_close(worker, call);
        break;
    }
}

static void take_orders(struct worker *worker)
{
    struct order order;
    while (ring_take(worker->orders, &order) == OK)
        take_order(worker, &order);
    wipe(&order, sizeof(order)); /* it may have been a key */
}

/* ---- packets ---- */

static void batch_flush(struct worker *worker)
{
    for (size_t i = 0; i < worker->frame_count; i++) {
        struct leg_frame *frame = &worker->frames[i];
        worker->batch[i] = (struct mask_frame){.mask = frame->leg->mask,
                                               .in = frame->in,
                                               .out = frame->out,
                                               .count = frame->sample_count,
                                               .edges = frame->edges};
    }
    mask_process_batch(worker->batch, worker->frame_count);
    for (size_t i = 0; i < worker->frame_count; i++) {
        worker->frames[i].edge_count = worker->batch[i].edge_count;
        leg_deliver(&worker->frames[i], worker->now);
    }
    worker->frame_count = 0;
}

static void take_packet(struct worker *worker, struct call *call, enum media_side side, size_t length)
{
    struct call_side *at = &call->sides[side];
    struct leg *leg = &at->leg;
    if (leg->is_pending || worker->frame_count == WORKER_BATCH)
        batch_flush(worker);
    uint64_t refused = leg->counts.packets_refused;
    if (leg_receive(leg, worker->packet, length, worker->now, &worker->frames[worker->frame_count]))
        worker->frame_count++;
    count(&worker->packets_refused, leg->counts.packets_refused - refused);
    at->heard_at = worker->now;
    at->silences_told = 0;
}

/* How far the stream has come by this packet; one packet's time where it does not say. */
static int64_t packet_ns(const struct leg *leg, struct rtp_time before)
{
    int32_t samples = rtp_time_diff(before, leg->in_next);
    if (samples <= 0 || samples > DTMF_SAMPLE_RATE)
        samples = leg->frame_samples;
    return samples * (NS_PER_S / DTMF_SAMPLE_RATE);
}

static void side_drain(struct worker *worker, struct active *active, enum media_side side)
{
    struct call_side *at = &active->call->sides[side];
    struct arrival *arrival = &active->arrivals[side];
    for (int taken = 0; taken < WORKER_DRAIN_MAX; taken++) {
        struct sockaddr_in from = {0};
        socklen_t from_bytes = sizeof(from);
        ssize_t got = recvfrom(at->rtp_fd, worker->packet, sizeof(worker->packet), MSG_DONTWAIT,
                               (struct sockaddr *)&from, &from_bytes);
        if (got < 0 && (errno == ECONNREFUSED || errno == EINTR))
            continue;
        if (got < 0) {
            arrival_empty(arrival, worker->now, worker->tick_ns);
            return;
        }
        if (!is_same_address(&from, &at->described.rtp_remote)) {
            count(&worker->packets_refused, 1);
            continue;
        }
        struct rtp_time before = at->leg.in_next;
        take_packet(worker, active->call, side, (size_t)got);
        if (!arrival_got(arrival, worker->now, packet_ns(&at->leg, before), worker->tick_ns))
            return;
    }
}

static void drain_all(struct worker *worker)
{
    for (size_t i = 0; i < worker->active_count; i++) {
        struct active *active = &worker->active[i];
        for (int side = 0; side < MEDIA_SIDES; side++) {
            if (arrival_is_due(&active->arrivals[side], worker->now))
                side_drain(worker, active, (enum media_side)side);
        }
    }
    if (worker->frame_count > 0)
        batch_flush(worker);
}

/* ---- RTCP ---- */

static struct rtcp_view view_of(const struct call *call, enum media_side side)
{
    const struct leg *sent = &call->sides[side].leg, *heard = &call->sides[other(side)].leg;
    return (struct rtcp_view){
        .is_sent_known = sent->has_source && sent->has_sent,
        .sent_ssrc = sent->ssrc,
        .our_ssrc = sent->out_ssrc,
        .timestamp_offset = sent->timestamp_offset,
        .our_packets = sent->packets_sent,
        .our_octets = sent->octets_sent,
        .is_heard_known = heard->has_source && heard->has_sent,
        .heard_ssrc = heard->out_ssrc,
        .origin_ssrc = heard->ssrc,
        .sequence_offset = heard->sequence_offset,
        .origin_cycles = heard->in_cycles,
        .heard_cycles = heard->out_cycles,
        .cname = call->sides[side].cname,
    };
}

static void rtcp_drain(struct worker *worker, struct call *call, enum media_side side)
{
    struct call_side *at = &call->sides[side];
    const struct call_side *to = &call->sides[other(side)];
    for (int i = 0; i < RTCP_DRAIN_MAX; i++) {
        struct sockaddr_in from = {0};
        socklen_t from_bytes = sizeof(from);
        uint8_t out[RTCP_OUT_BYTES];
        size_t out_bytes;
        struct rtcp_counts counts = {0};
        ssize_t got = recvfrom(at->rtcp_fd, worker->packet, sizeof(worker->packet), MSG_DONTWAIT,
                               (struct sockaddr *)&from, &from_bytes);
        if (got < 0 && errno == ECONNREFUSED)
            continue;
        if (got < 0)
            return;
        struct rtcp_view view = view_of(call, side);
        if (!is_same_address(&from, &at->described.rtcp_remote) ||
            rtcp_relay(&view, worker->packet, (size_t)got, out, &out_bytes, &counts))
            count(&worker->packets_refused, 1);
        else if (out_bytes > 0 && to->is_rtcp_connected && !send_on(to->rtcp_fd, out, out_bytes))
            count(&worker->send_errors, 1);
    }
}

static void rtcp_all(struct worker *worker)
{
    struct epoll_event events[RTCP_EVENTS];
    int ready = epoll_wait(worker->epoll_fd, events, RTCP_EVENTS, 0);
    for (int i = 0; i < ready; i++) {
        struct call *call = call_of(worker, (uint32_t)(events[i].data.u64 >> 1));
        rtcp_drain(worker, call, (enum media_side)(events[i].data.u64 & 1));
    }
}

/* ---- the slow affairs of a call ---- */

static void check_silence(struct worker *worker, struct call *call, enum media_side side)
{
    struct call_side *at = &call->sides[side];
    if (!at->is_connected || !at->described.is_sending ||
        mono_elapsed_ms(at->heard_at, worker->now) < MEDIA_SILENCE_S * 1000LL * (at->silences_told + 1))
        return;
    at->silences_told++;
    say(worker, call, &(struct media_event){.kind = MEDIA_EVENT_SILENT, .side = side});
}

static void check(struct worker *worker, struct call *call)
{
    for (int side = 0; side < MEDIA_SIDES; side++) {
        leg_tick(&call->sides[side].leg, worker->now);
        check_silence(worker, call, (enum media_side)side);
    }
    if (!mono_reached(worker->now, call->report_at))
        return;
    call->report_at = mono_add_ms(worker->now, WORKER_REPORT_MS);
    if (call->capture_id != 0 && ring_length(worker->events) < WORKER_EVENTS / 2)
        say_report(worker, call, MEDIA_EVENT_REPORT);
    keep(call);
}

static void check_all(struct worker *worker)
{
    for (size_t i = 0; i < worker->active_count; i++) {
        struct active *active = &worker->active[i];
        if (!mono_reached(worker->now, active->check_at))
            continue;
        active->check_at = mono_add_ms(worker->now, WORKER_CHECK_MS);
        check(worker, active->call);
    }
}

/* ---- the thread ---- */

/* Shorter when there is room: delay is what the tick costs. */
static int64_t tick_length_ns(const struct worker *worker)
{
    int64_t tick = worker->options.tick_us * 1000LL;
    if (worker->active_count == 0)
        return WORKER_IDLE_TICK_US * 1000LL;
    if (worker->active_count <= FEW_CALLS)
        return tick / 5 > 1000000 ? tick / 5 : 1000000;
    return worker->active_count <= SOME_CALLS ? tick * 2 / 5 : tick;
}

static void sleep_until(struct worker *worker, struct mono_time *next)
{
    worker->tick_ns = tick_length_ns(worker);
    next->ns += worker->tick_ns;
    struct mono_time now = mono_now();
    if (now.ns - next->ns > worker->tick_ns) {
        count(&worker->ticks_late, 1);
        *next = now;
    }
    struct timespec at = {next->ns / NS_PER_S, next->ns % NS_PER_S};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
        ;
}

/* A core of its own, and before other work on it: what is late here is heard. Where it may not, it runs anyway. */
static void take_place(int core)
{
    (void)setpriority(PRIO_PROCESS, 0, WORKER_NICE); /* on Linux: of this thread */
    if (core < 0)
        return;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)core, &set);
    (void)pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

static void *worker_run(void *argument)
{
    struct worker *worker = argument;
    self = worker;
    take_place(worker->options.core);
    sem_post(&worker->has_begun);
    struct mono_time next = mono_now();
    while (!atomic_load_explicit(&worker->must_stop, memory_order_acquire)) {
        sleep_until(worker, &next);
        worker->now = mono_now();
        take_orders(worker);
        drain_all(worker);
        rtcp_all(worker);
        check_all(worker);
        count(&worker->ticks, 1);
    }
    while (worker->active_count > 0)
        call_close(worker, worker->active[0].call);
    wipe(worker->packet, sizeof(worker->packet));
    return NULL;
}

static enum err worker_start(struct worker *worker)
{
    enum err err = ring_new(&worker->orders, WORKER_ORDERS, sizeof(struct order));
    if (!err)
        err = ring_new(&worker->events, WORKER_EVENTS, sizeof(struct media_event));
    if (err)
        return err;
    if (!worker->active || !worker->frames)
        return ERR_MEMORY;
    worker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (worker->epoll_fd < 0 || pthread_create(&worker->thread, NULL, worker_run, worker) != 0)
        return ERR_SYSTEM;
    worker->is_running = true;
    while (sem_wait(&worker->has_begun) != 0) /* a wall may be raised next that forbids taking a place */
        ;
    return OK;
}

enum err worker_new(struct worker **out, const struct worker_options *options)
{
    *out = NULL;
    struct worker *worker = calloc(1, sizeof(*worker));
    if (!worker)
        return ERR_MEMORY;
    worker->options = *options;
    worker->epoll_fd = -1;
    sem_init(&worker->has_begun, 0, 0);
    worker->active = aligned_alloc(sizeof(*worker->active), options->active_max * sizeof(*worker->active));
    worker->frames = audio_memory_new(WORKER_BATCH * sizeof(*worker->frames));
    enum err err = worker_start(worker);
    if (err) {
        worker_free(worker);
        return err;
    }
    *out = worker;
    return OK;
}

void worker_free(struct worker *worker)
{
    if (!worker)
        return;
    if (worker->is_running) {
        atomic_store_explicit(&worker->must_stop, true, memory_order_release);
        pthread_join(worker->thread, NULL);
    }
    ring_free(worker->orders);
    ring_free(worker->events);
    if (worker->epoll_fd >= 0)
        close(worker->epoll_fd);
    if (worker->frames)
        wipe(worker->frames, WORKER_BATCH * sizeof(*worker->frames));
    audio_memory_free(worker->frames, WORKER_BATCH * sizeof(*worker->frames));
    free(worker->active);
    free(worker);
}

enum err worker_order(struct worker *worker, const struct order *order)
{
    return ring_put(worker->orders, order);
}

enum err worker_event(struct worker *worker, struct media_event *event)
{
    return ring_take(worker->events, event);
}

static uint64_t read_count(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void worker_stats(const struct worker *worker, struct worker_stats *stats)
{
    *stats = (struct worker_stats){
        .ticks = read_count(&worker->ticks),
        .ticks_late = read_count(&worker->ticks_late),
        .packets_relayed = read_count(&worker->packets_relayed),
        .packets_refused = read_count(&worker->packets_refused),
        .send_errors = read_count(&worker->send_errors),
        .events_lost = read_count(&worker->events_lost),
        .watch_alarms = read_count(&worker->watch_alarms),
    };
}
