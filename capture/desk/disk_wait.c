#include "capture/desk/disk_wait.h"

#include <stdatomic.h>

static atomic_llong since_ns; /* 0: nobody waits */

void disk_wait_begin(void)
{
    atomic_store(&since_ns, mono_now().ns);
}

void disk_wait_end(void)
{
    atomic_store(&since_ns, 0);
}

bool disk_wait_is_on(struct mono_time now, int64_t longest_ms)
{
    long long since = atomic_load(&since_ns);
    return since != 0 && mono_elapsed_ms((struct mono_time){since}, now) < longest_ms;
}
