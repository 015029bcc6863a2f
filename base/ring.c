#include "base/ring.h"

#include "base/secret.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* head and tail count for ever and wrap with size_t; each sits on its own cache line, so that the two threads do not
 * pull one line back and forth. */
struct ring {
    size_t mask;
    size_t slot_bytes;
    uint8_t *slots;
    _Alignas(64) atomic_size_t head; /* written by the producer */
    _Alignas(64) atomic_size_t tail; /* written by the consumer */
};

enum err ring_new(struct ring **out, size_t slot_count, size_t slot_bytes)
{
    *out = NULL;
    if (slot_count < 2 || slot_count > 65536 || (slot_count & (slot_count - 1)) != 0)
        return ERR_RANGE;
    if (slot_bytes == 0 || slot_bytes > 4096)
        return ERR_RANGE;
    struct ring *ring = aligned_alloc(64, (sizeof(*ring) + 63) / 64 * 64);
    if (!ring)
        return ERR_MEMORY;
    memset(ring, 0, sizeof(*ring));
    ring->slots = calloc(slot_count, slot_bytes);
    if (!ring->slots) {
        free(ring);
        return ERR_MEMORY;
    }
    ring->mask = slot_count - 1;
    ring->slot_bytes = slot_bytes;
    *out = ring;
    return OK;
}

void ring_free(struct ring *ring)
{
    if (!ring)
        return;
    wipe(ring->slots, (ring->mask + 1) * ring->slot_bytes);
    free(ring->slots);
    free(ring);
}

enum err ring_put(struct ring *ring, const void *slot)
{
    size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    size_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
    if (head - tail > ring->mask)
        return ERR_FULL;
    memcpy(ring->slots + (head & ring->mask) * ring->slot_bytes, slot, ring->slot_bytes);
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
    return OK;
}

enum err ring_take(struct ring *ring, void *slot)
{
    size_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    size_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
    if (head == tail)
        return ERR_EMPTY;
    uint8_t *from = ring->slots + (tail & ring->mask) * ring->slot_bytes;
    memcpy(slot, from, ring->slot_bytes);
    wipe(from, ring->slot_bytes);
    atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
    return OK;
}

size_t ring_length(const struct ring *ring)
{
    size_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
    size_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
    return head - tail;
}
