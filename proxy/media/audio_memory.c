#include "proxy/media/audio_memory.h"

#include <sys/mman.h>

void *audio_memory_new(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    (void)madvise(memory, bytes, MADV_DONTDUMP);
    (void)mlock2(memory, bytes, MLOCK_ONFAULT); /* beyond the limit it is as any memory, but still wiped */
    return memory;
}

void audio_memory_free(void *memory, size_t bytes)
{
    if (memory)
        munmap(memory, bytes);
}
