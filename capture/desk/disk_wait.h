/* How long the desk's one thread has been waiting for the disk: a sync may take seconds on a bad day, and that is no
 * reason to be taken for hung. Whoever waits says so; the heartbeat reads it from its own thread. */
#ifndef TONEGATE_CAPTURE_DESK_DISK_WAIT_H
#define TONEGATE_CAPTURE_DESK_DISK_WAIT_H

#include "base/clock.h"

#include <stdbool.h>

void disk_wait_begin(void);
void disk_wait_end(void);

/* True while somebody waits, for less than longest_ms. Any thread. */
bool disk_wait_is_on(struct mono_time now, int64_t longest_ms);

#endif
