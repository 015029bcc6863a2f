#include "proxy/media/media.h"

#include "base/log.h"
#include "base/secret.h"
#include "dsp/self_test.h"
#include "proxy/media/audio_memory.h"
#include "proxy/media/port_pool.h"
#include "proxy/media/recorder.h"
#include "proxy/media/worker.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define NO_PLACE UINT32_MAX

/* INFO of a key that was masked may still be on its way when the leg is disarmed. */
enum { INFO_GRACE_MS = 500 };

/* What the control thread knows of a place. */
struct known_call {
    bool is_used;
    bool must_close; /* the worker's order ring was full */
    bool is_armed, is_muted;
    uint64_t id;
    struct mono_time info_until;
    uint32_t next; /* in its bucket */
};

struct media {
    struct port_pool *ports;
    size_t place_count;
    struct call *calls;
    uint8_t *ears; /* by place: its mask, and behind it the watch on what leaves */
    size_t mask_bytes, ear_bytes, ears_bytes;
    struct known_call *known;
    uint32_t *buckets;
    size_t bucket_mask;
    size_t call_count, must_close_count;
    struct worker *workers[LIMIT_MEDIA_WORKERS];
    uint64_t ticks_seen[LIMIT_MEDIA_WORKERS];
    size_t worker_count, next_event_worker;
    struct recorder *recorder;
    int event_fd;
};

/* ---- calls by id ---- */

static uint32_t *bucket_of(const struct media *media, uint64_t id)
{
    return &media->buckets[(id * 0x9e3779b97f4a7c15ULL >> 32) & media->bucket_mask];
}

static uint32_t find(const struct media *media, uint64_t id)
{
    uint32_t place = *bucket_of(media, id);
    while (place != NO_PLACE && media->known[place].id != id)
        place = media->known[place].next;
    return place;
}

static void insert(struct media *media, uint64_t id, uint32_t place)
{
    uint32_t *bucket = bucket_of(media, id);
    media->known[place] = (struct known_call){.is_used = true, .id = id, .next = *bucket};
    *bucket = place;
    media->call_count++;
}

static void take_out(struct media *media, uint32_t place)
{
    uint32_t *link = bucket_of(media, media->known[place].id);
    while (*link != place)
        link = &media->known[*link].next;
    *link = media->known[place].next;
    media->known[place].is_used = false;
    media->call_count--;
}

static struct worker *worker_of(const struct media *media, uint32_t place)
{
    return media->workers[place % media->worker_count];
}

static enum err give_order(struct media *media, struct order *order)
{
    return worker_order(worker_of(media, order->place), order);
}

/* ---- start and end ---- */

static enum mask_mode mask_mode_of(enum config_mask_mode mode)
{
    static const enum mask_mode modes[] = {
        [CONFIG_MASK_NOISE] = MASK_NOISE, [CONFIG_MASK_BEEP] = MASK_BEEP, [CONFIG_MASK_MUTE] = MASK_MUTE};
    return modes[mode];
}

static struct mask_options mask_options_of(const struct config *config)
{
    return (struct mask_options){
        .lookahead_samples = config->media.lookahead_ms * (DTMF_SAMPLE_RATE / 1000),
        .mode = mask_mode_of(config->media.mode),
        .engine = config->media.engine == CONFIG_ENGINE_SPANDSP ? MASK_ENGINE_SPANDSP : MASK_ENGINE_OWN,
        .noise_seed = 1,
        .is_off = config->media.masking_off,
    };
}

/* Each call's mask and watch touch their pages when the leg is first armed. */
static enum err ears_new(struct media *media, bool is_watched)
{
    media->mask_bytes = (mask_size() + MASK_ALIGN - 1) / MASK_ALIGN * MASK_ALIGN;
    media->ear_bytes = media->mask_bytes + (is_watched ? outgoing_watch_size() : 0);
    media->ears_bytes = media->place_count * media->ear_bytes;
    media->ears = audio_memory_new(media->ears_bytes);
    return media->ears ? OK : ERR_MEMORY;
}

static struct mask *mask_at(const struct media *media, size_t place)
{
    return (struct mask *)(void *)(media->ears + place * media->ear_bytes);
}

/* NULL: nobody watches. */
static struct outgoing_watch *watch_at(const struct media *media, size_t place)
{
    uint8_t *at = media->ears + place * media->ear_bytes + media->mask_bytes;
    return media->ear_bytes > media->mask_bytes ? (struct outgoing_watch *)(void *)at : NULL;
}

static enum err places_new(struct media *media)
{
    size_t buckets = 16;
    while (buckets < 2 * media->place_count)
        buckets *= 2;
    media->bucket_mask = buckets - 1;
    media->calls = calloc(media->place_count, sizeof(*media->calls));
    media->known = calloc(media->place_count, sizeof(*media->known));
    media->buckets = malloc(buckets * sizeof(*media->buckets));
    if (!media->calls || !media->known || !media->buckets)
        return ERR_MEMORY;
    memset(media->buckets, 0xff, buckets * sizeof(*media->buckets));
    for (size_t i = 0; i < media->place_count; i++) {
        struct call *call = &media->calls[i];
        const int *sockets = port_pool_sockets(media->ports, i);
        atomic_init(&call->is_free, true);
        call->place = (uint32_t)i;
        call->sides[MEDIA_CALLER].leg.mask = mask_at(media, i);
        call->sides[MEDIA_CALLER].leg.watch = watch_at(media, i);
        for (size_t side = 0; side < MEDIA_SIDES; side++) {
            call->ports.rtp[side] = port_pool_rtp_port(media->ports, i, side);
            call->sides[side].rtp_fd = sockets[2 * side];
            call->sides[side].rtcp_fd = sockets[2 * side + 1];
        }
    }
    return OK;
}

/* The options of every arm order are tried once, so that arming cannot fail later. */
static enum err options_try(struct media *media, const struct mask_options *options)
{
    enum err err = mask_init(mask_at(media, 0), options);
    mask_wipe(mask_at(media, 0));
    return err;
}

/* The cores this process may run on, in order; at least one. */
static size_t cores_find(int cores[LIMIT_MEDIA_WORKERS])
{
    cpu_set_t set;
    size_t found = 0;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof(set), &set) == 0) {
        for (int i = 0; i < CPU_SETSIZE && found < LIMIT_MEDIA_WORKERS; i++) {
            if (CPU_ISSET(i, &set))
                cores[found++] = i;
        }
    }
    if (found == 0)
        cores[found++] = -1;
    return found;
}

static enum err workers_new(struct media *media, const struct config *config)
{
    int cores[LIMIT_MEDIA_WORKERS];
    size_t core_count = cores_find(cores);
    size_t wanted = config->media.workers ? config->media.workers : core_count;
    if (wanted > LIMIT_MEDIA_WORKERS)
        wanted = LIMIT_MEDIA_WORKERS;
    if (wanted > media->place_count)
        wanted = media->place_count;
    bool is_recorded = config->recorder.directory[0] != '\0' || config->recorder.rtp.sin_port != 0;
    if (is_recorded) {
        enum err err = recorder_new(&media->recorder, config->recorder.directory, &config->recorder.rtp,
                                    wanted, media->place_count);
        if (err)
            return err;
    }
    for (size_t i = 0; i < wanted; i++) {
        struct worker_options options = {
            .calls = media->calls,
            .active_max = media->place_count / wanted + 1,
            .index = (unsigned)i,
            .tick_us = config->media.tick_us,
            .core = wanted <= core_count ? cores[i] : -1,
            .mask = mask_options_of(config),
            .event_fd = media->event_fd,
            .fork = media->recorder ? recorder_fork(media->recorder, i) : NULL,
        };
        enum err err = worker_new(&media->workers[i], &options);
        if (err)
            return err;
        media->worker_count++;
    }
    return OK;
}

static enum err media_start(struct media *media, const struct config *config, const int *sockets,
                            size_t socket_count)
{
    struct mask_options options = mask_options_of(config);
    enum err err = port_pool_new(&media->ports, sockets, socket_count, config->sip.calls_max);
    if (err)
        return err;
    media->place_count = port_pool_places(media->ports);
    err = ears_new(media, config->media.watch);
    if (!err)
        err = options_try(media, &options);
    if (!err)
        err = places_new(media);
    if (err)
        return err;
    media->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (media->event_fd < 0)
        return ERR_SYSTEM;
    return workers_new(media, config);
}

/* What masks must give known answers before the first call. */
static enum err ears_test(void)
{
    struct dsp_self_test report;
    enum err err = dsp_self_test(&report);
    for (size_t i = 0; i < report.dropped_count; i++)
        log_event(LOG_ERROR, "signal processing gives wrong answers and is not used",
                  LOG_CONSTANT("kernel", report.dropped[i].kernel),
                  LOG_CONSTANT("face", report.dropped[i].face));
    return err;
}

enum err media_new(struct media **out, const struct config *config, const int *sockets, size_t socket_count)
{
    *out = NULL;
    struct media *media = calloc(1, sizeof(*media));
    if (!media)
        return ERR_MEMORY;
    media->event_fd = -1;
    enum err err = ears_test();
    if (!err)
        err = media_start(media, config, sockets, socket_count);
    if (err) {
        media_free(media);
        return err;
    }
    *out = media;
    return OK;
}

void media_free(struct media *media)
{
    if (!media)
        return;
    for (size_t i = 0; i < media->worker_count; i++)
        worker_free(media->workers[i]);
    recorder_free(media->recorder);
    if (media->event_fd >= 0)
        close(media->event_fd);
    if (media->calls)
        wipe(media->calls, media->place_count * sizeof(*media->calls));
    audio_memory_free(media->ears, media->ears_bytes);
    port_pool_free(media->ports);
    free(media->calls);
    free(media->known);
    free(media->buckets);
    free(media);
}

/* ---- calls ---- */

static void close_place(struct media *media, uint32_t place)
{
    struct order order = {.kind = ORDER_CLOSE, .place = place, .call_id = media->known[place].id};
    struct known_call *known = &media->known[place];
    if (give_order(media, &order)) {
        media->must_close_count += !known->must_close;
        known->must_close = true;
        return;
    }
    media->must_close_count -= known->must_close;
    known->must_close = false;
    port_pool_release(media->ports, place, mono_now());
}

static void retry_closing(struct media *media)
{
    for (uint32_t i = 0; i < media->place_count && media->must_close_count > 0; i++) {
        if (media->known[i].must_close)
            close_place(media, i);
    }
}

/* A place the worker has given back. */
static enum err place_take(struct media *media, uint32_t *place)
{
    size_t taken;
    retry_closing(media);
    enum err err = port_pool_take(media->ports, mono_now(), &taken);
    if (err)
        return err;
    *place = (uint32_t)taken;
    if (atomic_load_explicit(&media->calls[taken].is_free, memory_order_acquire))
        return OK;
    port_pool_release(media->ports, taken, mono_now());
    return ERR_FULL;
}

static enum err place_start(struct media *media, uint32_t place, struct order *order)
{
    atomic_store_explicit(&media->calls[place].is_free, false, memory_order_relaxed);
    order->place = place;
    enum err err = give_order(media, order);
    if (err) {
        atomic_store_explicit(&media->calls[place].is_free, true, memory_order_relaxed);
        port_pool_release(media->ports, place, mono_now());
        return err;
    }
    insert(media, order->call_id, place);
    return OK;
}

enum err media_call_open(struct media *media, uint64_t call_id, struct media_ports *ports)
{
    uint32_t place;
    if (find(media, call_id) != NO_PLACE)
        return ERR_EXISTS;
    enum err err = place_take(media, &place);
    if (err)
        return err;
    struct order order = {.kind = ORDER_OPEN, .call_id = call_id};
    err = place_start(media, place, &order);
    if (err)
        return err;
    for (size_t side = 0; side < MEDIA_SIDES; side++)
        ports->rtp[side] = port_pool_rtp_port(media->ports, place, side);
    return OK;
}

static bool is_leg_sound(const struct media_leg *leg)
{
    if (leg->rtp_remote.sin_port == 0)
        return true;
    return leg->codec < MEDIA_CODECS && leg->payload_type < 128 && leg->event_payload_type >= -1 &&
           leg->event_payload_type < 128 && leg->event_payload_type != leg->payload_type;
}

enum err media_call_update(struct media *media, uint64_t call_id, const struct media_leg legs[MEDIA_SIDES])
{
    uint32_t place = find(media, call_id);
    if (place == NO_PLACE)
        return ERR_NOT_FOUND;
    if (!is_leg_sound(&legs[MEDIA_CALLER]) || !is_leg_sound(&legs[MEDIA_AGENT]))
        return ERR_RANGE;
    struct order order = {.kind = ORDER_UPDATE, .place = place, .call_id = call_id};
    memcpy(order.legs, legs, sizeof(order.legs));
    return give_order(media, &order);
}

enum err media_call_arm(struct media *media, uint64_t call_id, uint64_t capture_id, bool is_keying)
{
    uint32_t place = find(media, call_id);
    if (place == NO_PLACE)
        return ERR_NOT_FOUND;
    if (capture_id == 0)
        return ERR_RANGE;
    struct order order = {.kind = ORDER_ARM,
                          .place = place,
                          .call_id = call_id,
                          .capture_id = capture_id,
                          .is_keying = is_keying};
    enum err err = give_order(media, &order);
    if (!err)
        media->known[place].is_armed = true;
    return err;
}

enum err media_call_disarm(struct media *media, uint64_t call_id, uint64_t capture_id)
{
    uint32_t place = find(media, call_id);
    if (place == NO_PLACE)
        return ERR_NOT_FOUND;
    struct order order = {.kind = ORDER_DISARM, .place = place, .call_id = call_id, .capture_id = capture_id};
    return give_order(media, &order);
}

enum err media_call_info_key(struct media *media, uint64_t call_id, dtmf_key key, unsigned duration_ms)
{
    uint32_t place = find(media, call_id);
    if (place == NO_PLACE)
        return ERR_NOT_FOUND;
    const struct known_call *known = &media->known[place];
    if (!known->is_armed)
        return mono_reached(mono_now(), known->info_until) ? ERR_ORDER : OK;
    struct order order = {.kind = ORDER_KEY,
                          .place = place,
                          .call_id = call_id,
                          .key = key,
                          .duration_ms = duration_ms < 10000 ? duration_ms : 10000};
    enum err err = key < DTMF_KEY_COUNT ? give_order(media, &order) : OK;
    wipe(&order, sizeof(order));
    return err;
}

bool media_call_is_muted(const struct media *media, uint64_t call_id)
{
    uint32_t place = find(media, call_id);
    return place != NO_PLACE && media->known[place].is_muted;
}

void media_call_close(struct media *media, uint64_t call_id)
{
    uint32_t place = find(media, call_id);
    if (place == NO_PLACE)
        return;
    take_out(media, place);
    close_place(media, place);
}

enum err media_call_keep(struct media *media, uint64_t call_id, struct media_snapshot_slot *slot)
{
    uint32_t place = find(media, call_id);
    if (place == NO_PLACE)
        return ERR_NOT_FOUND;
    struct order order = {.kind = ORDER_KEEP, .place = place, .call_id = call_id, .slot = slot};
    return give_order(media, &order);
}

enum err media_call_restore(struct media *media, uint64_t call_id, const struct media_snapshot *snapshot)
{
    size_t place;
    if (find(media, call_id) != NO_PLACE)
        return ERR_EXISTS;
    enum err err = port_pool_find(media->ports, snapshot->ports.rtp[MEDIA_CALLER], &place);
    if (err || port_pool_rtp_port(media->ports, place, MEDIA_CALLER) != snapshot->ports.rtp[MEDIA_CALLER] ||
        port_pool_rtp_port(media->ports, place, MEDIA_AGENT) != snapshot->ports.rtp[MEDIA_AGENT])
        return ERR_RANGE;
    if (!is_leg_sound(&snapshot->legs[MEDIA_CALLER]) || !is_leg_sound(&snapshot->legs[MEDIA_AGENT]))
        return ERR_RANGE;
    err = port_pool_claim(media->ports, place);
    if (err)
        return err;
    struct order order = {.kind = ORDER_RESTORE, .call_id = call_id};
    order.snapshot = *snapshot;
    err = place_start(media, (uint32_t)place, &order);
    if (!err)
        media->known[place].is_armed = snapshot->capture_id != 0;
    if (!err)
        media->known[place].is_muted = snapshot->capture_id != 0 && snapshot->is_muted;
    return err;
}

/* ---- events ---- */

int media_event_fd(const struct media *media)
{
    return media->event_fd;
}

static enum err event_scan(struct media *media, struct media_event *event)
{
    for (size_t i = 0; i < media->worker_count; i++) {
        size_t at = (media->next_event_worker + i) % media->worker_count;
        if (worker_event(media->workers[at], event) == OK) {
            media->next_event_worker = (at + 1) % media->worker_count;
            return OK;
        }
    }
    return ERR_EMPTY;
}

/* False: about a call that is closed by now. */
static bool event_note(struct media *media, struct media_event *event)
{
    uint32_t place = find(media, event->call_id);
    if (place == NO_PLACE) {
        if (event->kind == MEDIA_EVENT_DISARMED) /* the last word on a capture whose call ended first */
            return true;
        wipe(event, sizeof(*event));
        return false;
    }
    struct known_call *known = &media->known[place];
    if (event->kind == MEDIA_EVENT_DISARMED) {
        known->is_armed = known->is_muted = false;
        known->info_until = mono_add_ms(mono_now(), INFO_GRACE_MS);
    } else if (event->kind == MEDIA_EVENT_ARMED) {
        known->is_armed = true;
    } else if (event->kind == MEDIA_EVENT_ALARM) {
        known->is_muted = true;
    }
    return true;
}

enum err media_event_next(struct media *media, struct media_event *event)
{
    static const uint64_t one = 1;
    uint64_t cleared;
    retry_closing(media);
    for (;;) {
        bool is_cleared = false;
        if (event_scan(media, event)) {
            /* Quiet the descriptor, then look again: what came in between must not be slept over. */
            is_cleared = read(media->event_fd, &cleared, sizeof(cleared)) > 0;
            if (event_scan(media, event))
                return ERR_EMPTY;
        }
        if (is_cleared)
            (void)!write(media->event_fd, &one, sizeof(one));
        if (event_note(media, event))
            return OK;
    }
}

bool media_is_alive(struct media *media)
{
    bool is_alive = true;
    retry_closing(media);
    for (size_t i = 0; i < media->worker_count; i++) {
        struct worker_stats stats;
        worker_stats(media->workers[i], &stats);
        is_alive &= stats.ticks != media->ticks_seen[i];
        media->ticks_seen[i] = stats.ticks;
    }
    return is_alive;
}

void media_stats(const struct media *media, struct media_stats *stats)
{
    *stats = (struct media_stats){
        .calls = (uint32_t)media->call_count,
        .bytes_per_call = sizeof(struct call) + sizeof(struct known_call) + media->ear_bytes,
    };
    for (size_t i = 0; i < media->worker_count; i++) {
        struct worker_stats one;
        worker_stats(media->workers[i], &one);
        stats->packets_relayed += one.packets_relayed;
        stats->packets_refused += one.packets_refused;
        stats->send_errors += one.send_errors;
        stats->ticks += one.ticks;
        stats->ticks_late += one.ticks_late;
        stats->watch_alarms += one.watch_alarms;
    }
}
