/* A worker: one thread, pinned to a core, that owns the media of its calls.
 *
 * It wakes on an absolute tick, takes its orders, drains the connected sockets of its legs, sends all armed frames of
 * the tick through the mask together, and sends. Nothing is allocated after worker_new(). A call belongs to one worker
 * from its OPEN to its CLOSE order; in between nobody else touches it. */
#ifndef TONEGATE_PROXY_MEDIA_WORKER_H
#define TONEGATE_PROXY_MEDIA_WORKER_H

#include "base/err.h"
#include "dsp/mask.h"
#include "proxy/media/fork.h"
#include "proxy/media/leg.h"
#include "proxy/media/media.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORKER_ORDERS       4096  /* slots of the order ring */
#define WORKER_EVENTS       4096  /* slots of the event ring */
#define WORKER_NICE         (-15) /* where it may */
#define WORKER_BATCH        64    /* frames through the mask at once */
#define WORKER_DRAIN_MAX    32    /* packets of one socket in one tick */
#define WORKER_IDLE_TICK_US 10000
#define WORKER_CHECK_MS     50 /* how often a call's slow affairs are looked at */
#define WORKER_REPORT_MS    1000

enum order_kind {
    ORDER_OPEN,
    ORDER_UPDATE,
    ORDER_ARM,
    ORDER_DISARM,
    ORDER_KEY,
    ORDER_KEEP,
    ORDER_RESTORE,
    ORDER_CLOSE,
};

struct order {
    enum order_kind kind;
    uint32_t place;
    uint64_t call_id;
    uint64_t capture_id;
    bool is_keying;
    dtmf_key key;
    unsigned duration_ms;
    struct media_snapshot_slot *slot;
    union {
        struct media_leg legs[MEDIA_SIDES];
        struct media_snapshot snapshot;
    };
};

/* One call's place: memory of the worker while is_free is false. */
struct call {
    atomic_bool is_free;
    uint32_t place;
    uint32_t active_at; /* where the worker keeps it */
    uint64_t id, capture_id;
    uint32_t ordinal;
    bool is_keying;
    bool is_resumed;
    struct wall_time armed_at;
    struct media_snapshot_slot *slot;
    struct mono_time report_at;
    struct media_ports ports;
    struct call_side {
        int rtp_fd, rtcp_fd;
        struct media_leg described;
        bool is_connected, is_rtcp_connected;
        unsigned silences_told; /* since the last packet */
        struct mono_time heard_at;
        char cname[17];
        struct leg leg; /* what this side sends */
    } sides[MEDIA_SIDES];
};

struct worker_options {
    struct call *calls; /* shared array by place; the worker uses those it got an OPEN for */
    size_t active_max;  /* calls it may own at once */
    unsigned index;
    unsigned tick_us;
    int core; /* -1: not pinned */
    struct mask_options mask;
    int event_fd;
    struct fork *fork; /* NULL: no recorder */
};

struct worker;

/* Starts the thread. ERR_MEMORY, ERR_SYSTEM. */
MUST_USE enum err worker_new(struct worker **out, const struct worker_options *options);

/* Ends the thread, then wipes its calls. NULL is accepted. */
void worker_free(struct worker *worker);

/* Control thread. ERR_FULL. */
MUST_USE enum err worker_order(struct worker *worker, const struct order *order);
MUST_USE enum err worker_event(struct worker *worker, struct media_event *event);

struct worker_stats {
    uint64_t ticks, ticks_late, packets_relayed, packets_refused, send_errors, events_lost, watch_alarms;
};
void worker_stats(const struct worker *worker, struct worker_stats *stats);

#endif
