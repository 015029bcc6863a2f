/* A heap whose blocks are overwritten when they are freed, for the libraries that come to hold card data: curl,
 * OpenSSL, jansson and libevent all take their memory from here in the gateway role and in the sandbox.
 *
 * Every live block is on one list, so that a copy a library keeps can be found: wiped early where it is known to
 * lie (a curl upload buffer), and counted by tests that prove no digit is left. What it cannot reach: registers, stack
 * frames, and memory a library takes from malloc directly (nghttp2 does, which is why http.c speaks HTTP/1.1).
 *
 * Thread: any; one lock. */
#ifndef TONEGATE_GATEWAY_WIPE_HEAP_H
#define TONEGATE_GATEWAY_WIPE_HEAP_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

/* Once per process, before the first call of any of the four libraries. A second call is a success that does nothing.
 * ERR_ORDER: OpenSSL has allocated already. ERR_SYSTEM: curl could not be initialised. */
MUST_USE enum err wipe_heap_install(void);

void *wipe_heap_malloc(size_t size);
void *wipe_heap_calloc(size_t count, size_t size);
void *wipe_heap_realloc(void *block, size_t size); /* the old bytes are overwritten when the block moves */
void wipe_heap_free(void *block);
char *wipe_heap_strdup(const char *text);

/* Overwrites length bytes at `at` if, and only if, they lie inside one live block. True if they did. */
bool wipe_heap_overwrite(void *at, size_t length);

/* How often pattern occurs in the live blocks. For tests: the cost is the size of the heap. */
size_t wipe_heap_count_pattern(const void *pattern, size_t length);

struct wipe_heap_usage {
    size_t block_count;
    size_t live_bytes;
};
struct wipe_heap_usage wipe_heap_usage(void);

/* For tests: the n-th allocation from now (0: the next) and all after it fail; -1 switches that off. */
void wipe_heap_fail_after(long allocations);

#endif
