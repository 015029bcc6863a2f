#include "gateway/keys/key_ring.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/secret_source.h"
#include "gateway/connector.h"
#include "gateway/wipe_heap.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

struct key_ring {
    struct key_ring_settings settings;
    char reference[LIMIT_PATH_BYTES];
    struct secret *current, *previous, *next; /* next: being read */
    unsigned number;
    bool is_reading;
    bool has_read; /* ever, for the least distance */
    struct mono_time read_at;
    struct mono_time rolled_at;
    struct event *age;
    struct event *soon; /* what was read at once is told from the loop all the same */
    enum err soon_err;
};

static bool is_in_store(const struct key_ring *ring)
{
    return ring->settings.store && key_store_has(ring->reference);
}

/* The environment gives its secret once; a file is opened again only where the wall was built for it. */
static bool is_file(const struct key_ring *ring)
{
    return ring->reference[0] && ring->settings.max_age_s > 0 && !key_store_has(ring->reference) &&
           strncmp(ring->reference, "env:", 4) != 0;
}

static bool is_same(const struct secret *one, const struct secret *other)
{
    return secret_length(one) == secret_length(other) &&
           CRYPTO_memcmp(secret_bytes(one), secret_bytes(other), secret_length(one)) == 0;
}

static void start_age(struct key_ring *ring)
{
    struct timeval after = {ring->settings.max_age_s, 0};
    if (ring->age)
        (void)event_add(ring->age, &after);
}

/* next becomes current, current becomes previous. */
static void roll(struct key_ring *ring)
{
    struct secret *oldest = ring->previous;
    if (ring->number > 0) {
        ring->previous = ring->current;
        ring->rolled_at = mono_now();
    } else {
        oldest = ring->current;
    }
    ring->current = ring->next;
    ring->next = oldest;
    secret_wipe(ring->next);
    ring->number++;
}

static void read_ended(void *owner, enum err err)
{
    struct key_ring *ring = owner;
    ring->is_reading = false;
    if (!err && ring->number > 0 && is_same(ring->next, ring->current))
        err = ERR_EMPTY;
    else if (!err && ring->settings.is_allowed_h &&
             !ring->settings.is_allowed_h(ring->settings.owner, ring->next))
        err = ERR_REFUSED;
    if (!err) {
        roll(ring);
        log_event(LOG_INFO, "the gateway's key was read", LOG_COUNT("number", ring->number));
    } else {
        secret_wipe(ring->next);
        if (err != ERR_EMPTY)
            log_event(LOG_ERROR, "the gateway's key could not be read: the one before stays in use",
                      LOG_TEXT("reference", ring->reference), LOG_ERR("why", err));
    }
    start_age(ring);
    ring->settings.ended_h(ring->settings.owner, err);
}

static void told_soon(evutil_socket_t fd, short what, void *owner)
{
    struct key_ring *ring = owner;
    (void)fd;
    (void)what;
    read_ended(ring, ring->soon_err);
}

static void too_old(evutil_socket_t fd, short what, void *owner)
{
    struct key_ring *ring = owner;
    (void)fd;
    (void)what;
    if (!key_ring_refresh(ring))
        start_age(ring);
}

bool key_ring_refresh(struct key_ring *ring)
{
    struct timeval at_once = {0, 0};
    if (ring->is_reading)
        return true;
    if (!is_in_store(ring) && !is_file(ring))
        return false;
    if (ring->has_read && mono_elapsed_ms(ring->read_at, mono_now()) < KEY_RING_LEAST_MS)
        return false;
    ring->has_read = true;
    ring->read_at = mono_now();
    if (is_in_store(ring)) {
        enum err err = key_store_read(ring->settings.store, ring->reference, ring->next, read_ended, ring);
        if (err)
            log_event(LOG_ERROR, "the gateway's key cannot be asked for",
                      LOG_TEXT("reference", ring->reference), LOG_ERR("why", err));
        ring->is_reading = !err;
        return !err;
    }
    ring->soon_err = secret_source_read(ring->reference, ring->next);
    ring->is_reading = event_add(ring->soon, &at_once) == 0;
    return ring->is_reading;
}

/* --- what there is --- */

const struct secret *key_ring_current(const struct key_ring *ring)
{
    return ring->current;
}

const struct secret *key_ring_previous(const struct key_ring *ring)
{
    bool is_there = ring->previous && secret_length(ring->previous) > 0;
    return is_there && mono_elapsed_ms(ring->rolled_at, mono_now()) < KEY_RING_ROLL_MS ? ring->previous
                                                                                       : NULL;
}

unsigned key_ring_number(const struct key_ring *ring)
{
    return ring->number;
}

bool key_ring_may_roll(const struct key_ring *ring)
{
    return is_in_store(ring) || is_file(ring) || key_ring_previous(ring);
}

enum err key_ring_new(struct key_ring **out, struct event_base *base, struct secret *key,
                      const struct key_ring_settings *settings)
{
    struct key_ring *ring = wipe_heap_calloc(1, sizeof(*ring));
    *out = NULL;
    if (!ring) {
        secret_free(key);
        return ERR_MEMORY;
    }
    ring->settings = *settings;
    ring->current = key;
    ring->number = key && secret_length(key) > 0;
    snprintf(ring->reference, sizeof(ring->reference), "%s", settings->reference ? settings->reference : "");
    enum err err = key ? OK : secret_new(&ring->current, CONNECTOR_KEY_BYTES);
    bool may_read = is_in_store(ring) || is_file(ring);
    if (!err && may_read)
        err = secret_new(&ring->next, CONNECTOR_KEY_BYTES);
    if (!err && may_read)
        err = secret_new(&ring->previous, CONNECTOR_KEY_BYTES);
    if (!err && may_read)
        ring->soon = evtimer_new(base, told_soon, ring);
    if (!err && may_read && settings->max_age_s > 0)
        ring->age = evtimer_new(base, too_old, ring);
    if (!err && may_read && (!ring->soon || (settings->max_age_s > 0 && !ring->age)))
        err = ERR_MEMORY;
    if (err) {
        key_ring_free(ring);
        return err;
    }
    start_age(ring);
    *out = ring;
    return OK;
}

void key_ring_free(struct key_ring *ring)
{
    if (!ring)
        return;
    if (is_in_store(ring))
        key_store_cancel(ring->settings.store, ring);
    if (ring->age)
        event_free(ring->age);
    if (ring->soon)
        event_free(ring->soon);
    secret_free(ring->current);
    secret_free(ring->previous);
    secret_free(ring->next);
    wipe_heap_free(ring);
}
