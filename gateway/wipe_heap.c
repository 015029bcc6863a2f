#include "gateway/wipe_heap.h"

#include "base/secret.h"

#include <curl/curl.h>
#include <event2/event.h>
#include <jansson.h>
#include <libxml/parser.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_MAGIC UINT64_C(0x746f6e6567617465)

/* Stands before the bytes that are handed out; 16-byte alignment of the struct keeps theirs. */
struct block {
    _Alignas(16) struct block *next;
    struct block *previous;
    size_t size;
    uint64_t magic;
};

static struct {
    pthread_mutex_t lock;
    struct block *first;
    struct wipe_heap_usage usage;
    long fail_after;
    bool is_installed;
} heap = {.lock = PTHREAD_MUTEX_INITIALIZER, .fail_after = -1};

static void *bytes_of(struct block *block)
{
    return block + 1;
}

static struct block *block_of(void *bytes)
{
    struct block *block = (struct block *)bytes - 1;
    ASSERT(block->magic == BLOCK_MAGIC);
    return block;
}

static bool may_allocate(void)
{
    if (heap.fail_after < 0)
        return true;
    if (heap.fail_after == 0)
        return false;
    heap.fail_after--;
    return true;
}

static void list_add(struct block *block)
{
    block->previous = NULL;
    block->next = heap.first;
    if (heap.first)
        heap.first->previous = block;
    heap.first = block;
    heap.usage.block_count++;
    heap.usage.live_bytes += block->size;
}

static void list_remove(struct block *block)
{
    if (block->previous)
        block->previous->next = block->next;
    else
        heap.first = block->next;
    if (block->next)
        block->next->previous = block->previous;
    heap.usage.block_count--;
    heap.usage.live_bytes -= block->size;
}

static void *allocate(size_t size)
{
    if (size > SIZE_MAX / 2)
        return NULL;
    pthread_mutex_lock(&heap.lock);
    struct block *block = may_allocate() ? malloc(sizeof(*block) + size) : NULL;
    if (block) {
        block->size = size;
        block->magic = BLOCK_MAGIC;
        list_add(block);
    }
    pthread_mutex_unlock(&heap.lock);
    return block ? bytes_of(block) : NULL;
}

void *wipe_heap_malloc(size_t size)
{
    return allocate(size);
}

void *wipe_heap_calloc(size_t count, size_t size)
{
    if (size && count > SIZE_MAX / 2 / size)
        return NULL;
    void *bytes = allocate(count * size);
    if (bytes)
        memset(bytes, 0, count * size);
    return bytes;
}

void wipe_heap_free(void *bytes)
{
    if (!bytes)
        return;
    pthread_mutex_lock(&heap.lock);
    struct block *block = block_of(bytes);
    list_remove(block);
    wipe(block, sizeof(*block) + block->size);
    free(block);
    pthread_mutex_unlock(&heap.lock);
}

void *wipe_heap_realloc(void *bytes, size_t size)
{
    if (!bytes)
        return allocate(size);
    if (size == 0) {
        wipe_heap_free(bytes);
        return NULL;
    }
    size_t old_size = block_of(bytes)->size;
    void *moved = allocate(size);
    if (!moved)
        return NULL;
    memcpy(moved, bytes, old_size < size ? old_size : size);
    wipe_heap_free(bytes);
    return moved;
}

char *wipe_heap_strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = allocate(size);
    if (copy)
        memcpy(copy, text, size);
    return copy;
}

bool wipe_heap_overwrite(void *at, size_t length)
{
    bool is_inside = false;
    uintptr_t from = (uintptr_t)at;
    pthread_mutex_lock(&heap.lock);
    for (struct block *block = heap.first; block && !is_inside; block = block->next) {
        uintptr_t start = (uintptr_t)bytes_of(block);
        is_inside = from >= start && from - start <= block->size && length <= block->size - (from - start);
    }
    if (is_inside)
        wipe(at, length);
    pthread_mutex_unlock(&heap.lock);
    return is_inside;
}

static size_t count_in(const uint8_t *bytes, size_t size, const void *pattern, size_t length)
{
    size_t count = 0;
    while (size >= length) {
        const uint8_t *hit = memmem(bytes, size, pattern, length);
        if (!hit)
            break;
        count++;
        size -= (size_t)(hit + 1 - bytes);
        bytes = hit + 1;
    }
    return count;
}

size_t wipe_heap_count_pattern(const void *pattern, size_t length)
{
    size_t count = 0;
    if (length == 0)
        return 0;
    pthread_mutex_lock(&heap.lock);
    for (struct block *block = heap.first; block; block = block->next)
        count += count_in(bytes_of(block), block->size, pattern, length);
    pthread_mutex_unlock(&heap.lock);
    return count;
}

struct wipe_heap_usage wipe_heap_usage(void)
{
    pthread_mutex_lock(&heap.lock);
    struct wipe_heap_usage usage = heap.usage;
    pthread_mutex_unlock(&heap.lock);
    return usage;
}

void wipe_heap_fail_after(long allocations)
{
    pthread_mutex_lock(&heap.lock);
    heap.fail_after = allocations;
    pthread_mutex_unlock(&heap.lock);
}

static void *crypto_malloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return wipe_heap_malloc(size);
}

static void *crypto_realloc(void *bytes, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return wipe_heap_realloc(bytes, size);
}

static void crypto_free(void *bytes, const char *file, int line)
{
    (void)file;
    (void)line;
    wipe_heap_free(bytes);
}

enum err wipe_heap_install(void)
{
    if (heap.is_installed)
        return OK;
    if (!CRYPTO_set_mem_functions(crypto_malloc, crypto_realloc, crypto_free))
        return ERR_ORDER;
    if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, wipe_heap_malloc, wipe_heap_free, wipe_heap_realloc,
                             wipe_heap_strdup, wipe_heap_calloc) != CURLE_OK)
        return ERR_SYSTEM;
    json_set_alloc_funcs(wipe_heap_malloc, wipe_heap_free);
    if (xmlMemSetup(wipe_heap_free, wipe_heap_malloc, wipe_heap_realloc, wipe_heap_strdup) != 0)
        return ERR_SYSTEM;
    xmlInitParser(); /* its tables are made now, behind the same heap */
    event_set_mem_functions(wipe_heap_malloc, wipe_heap_realloc, wipe_heap_free);
    heap.is_installed = true;
    return OK;
}
