#include "base/secret.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The head of the mapping's own page keeps the book, so that the book is as protected as the bytes. */
struct secret {
    size_t mapping_length;
    size_t capacity;
    size_t length;
    bool is_hidden;
    uint8_t bytes[];
};

void wipe(void *memory, size_t length)
{
    explicit_bzero(memory, length);
}

__attribute__((noinline)) void wipe_stack(void)
{
    unsigned char below[WIPE_STACK];
    wipe(below, sizeof(below));
}

static void *map_hidden(void *at, size_t length)
{
#ifdef SYS_memfd_secret
    int fd = (int)syscall(SYS_memfd_secret, 0);
    if (fd < 0)
        return MAP_FAILED;
    void *mapping = MAP_FAILED;
    if (ftruncate(fd, (off_t)length) == 0)
        mapping = mmap(at, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
    close(fd);
    return mapping;
#else
    (void)at;
    (void)length;
    return MAP_FAILED;
#endif
}

static bool map_locked(void *at, size_t length)
{
    if (mmap(at, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
        MAP_FAILED)
        return false;
    if (mlock(at, length) != 0)
        return false;
    /* Both are refused only by kernels older than the ones supported; the lock is what must hold. */
    (void)madvise(at, length, MADV_WIPEONFORK);
    return madvise(at, length, MADV_DONTDUMP) == 0;
}

enum err secret_new(struct secret **out, size_t capacity)
{
    *out = NULL;
    if (capacity == 0 || capacity > SECRET_CAPACITY_MAX)
        return ERR_RANGE;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t inner = (sizeof(struct secret) + capacity + page - 1) / page * page;
    size_t whole = inner + 2 * page;
    uint8_t *base = mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return ERR_MEMORY;
    void *middle = base + page;
    bool is_hidden = map_hidden(middle, inner) != MAP_FAILED;
    if (!is_hidden && !map_locked(middle, inner)) {
        munmap(base, whole);
        return ERR_MEMORY;
    }
    struct secret *secret = middle;
    secret->mapping_length = whole;
    secret->capacity = capacity;
    secret->length = 0;
    secret->is_hidden = is_hidden;
    *out = secret;
    return OK;
}

void secret_free(struct secret *secret)
{
    if (!secret)
        return;
    secret_wipe(secret);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t whole = secret->mapping_length;
    munmap((uint8_t *)secret - page, whole);
}

void secret_wipe(struct secret *secret)
{
    if (!secret)
        return;
    wipe(secret->bytes, secret->capacity);
    secret->length = 0;
}

enum err secret_append(struct secret *secret, uint8_t byte)
{
    if (secret->length == secret->capacity)
        return ERR_FULL;
    secret->bytes[secret->length++] = byte;
    return OK;
}

enum err secret_drop_last(struct secret *secret)
{
    if (secret->length == 0)
        return ERR_EMPTY;
    secret->length--;
    wipe(&secret->bytes[secret->length], 1);
    return OK;
}

size_t secret_length(const struct secret *secret)
{
    return secret->length;
}

const uint8_t *secret_bytes(const struct secret *secret)
{
    return secret->bytes;
}

uint8_t *secret_buffer(struct secret *secret, size_t *capacity)
{
    *capacity = secret->capacity;
    return secret->bytes;
}

void secret_set_length(struct secret *secret, size_t length)
{
    ASSERT(length <= secret->capacity);
    secret->length = length;
}

bool secret_is_hidden(const struct secret *secret)
{
    return secret->is_hidden;
}
