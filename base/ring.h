/* Ring of fixed-size slots between one producing and one consuming thread; no locks, no allocation after ring_new().
 * A slot is overwritten when it is taken: a ring between a media worker and the control thread carries digits. */
#ifndef TONEGATE_BASE_RING_H
#define TONEGATE_BASE_RING_H

#include "base/err.h"

#include <stddef.h>

struct ring;

/* slot_count is a power of two, 2..65536; slot_bytes 1..4096. ERR_RANGE, ERR_MEMORY. */
MUST_USE enum err ring_new(struct ring **out, size_t slot_count, size_t slot_bytes);

/* Wipes. NULL is accepted. Neither thread may use the ring any more. */
void ring_free(struct ring *ring);

/* Producer. Copies slot_bytes from slot. ERR_FULL: nothing was put. */
MUST_USE enum err ring_put(struct ring *ring, const void *slot);

/* Consumer. Copies the oldest slot out and wipes it in the ring. ERR_EMPTY. */
MUST_USE enum err ring_take(struct ring *ring, void *slot);

/* Either thread; a snapshot. */
size_t ring_length(const struct ring *ring);

#endif
