#include "proxy/sip/call_table.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct copy {
    uint64_t checksum;
    uint64_t layout; /* sizeof(struct slot), so that another program's slots are not read */
    struct call_record record;
};

struct slot {
    _Atomic uint32_t version; /* its lowest bit says which copy is current; 0: never written */
    struct copy copies[2];
    struct call_farewell farewell;
    struct media_snapshot_slot media;
};

struct call_table {
    struct slot *slots;
    size_t slot_count;
    size_t bytes;
};

size_t call_table_bytes(const struct config *config)
{
    return config->sip.calls_max * sizeof(struct slot);
}

enum err call_table_open(struct call_table **out, int fd, const struct config *config)
{
    struct stat status;
    *out = NULL;
    size_t bytes = call_table_bytes(config);
    if (fstat(fd, &status) != 0 || (size_t)status.st_size < bytes)
        return ERR_LENGTH;
    struct call_table *table = calloc(1, sizeof(*table));
    if (!table)
        return ERR_MEMORY;
    table->slots = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (table->slots == MAP_FAILED) {
        free(table);
        return ERR_MEMORY;
    }
    table->slot_count = config->sip.calls_max;
    table->bytes = bytes;
    *out = table;
    return OK;
}

void call_table_close(struct call_table *table)
{
    if (!table)
        return;
    munmap(table->slots, table->bytes);
    free(table);
}

static uint64_t checksum_of(const struct call_record *record)
{
    const uint8_t *bytes = (const uint8_t *)record;
    uint64_t sum = 0xcbf29ce484222325ULL;
    for (size_t i = 0; i < sizeof(*record); i++) {
        sum ^= bytes[i];
        sum *= 0x100000001b3ULL;
    }
    return sum;
}

static struct slot *slot_of(const struct call_table *table, size_t index)
{
    ASSERT(index < table->slot_count);
    return &table->slots[index];
}

void call_table_write(struct call_table *table, size_t index, const struct call_record *record)
{
    struct slot *slot = slot_of(table, index);
    uint32_t version = atomic_load_explicit(&slot->version, memory_order_relaxed) + 1;
    version += version == 0;
    struct copy *copy = &slot->copies[version & 1];
    copy->record = *record;
    copy->layout = sizeof(struct slot);
    copy->checksum = checksum_of(record);
    atomic_store_explicit(&slot->version, version, memory_order_release);
}

void call_table_clear(struct call_table *table, size_t index)
{
    struct slot *slot = slot_of(table, index);
    struct call_record none;
    memset(&none, 0, sizeof(none));
    call_table_write(table, index, &none);
    memset((void *)&slot->media, 0, sizeof(slot->media));
    memset(&slot->farewell, 0, sizeof(slot->farewell));
}

enum err call_table_read(const struct call_table *table, size_t index, struct call_record *record)
{
    const struct slot *slot = slot_of(table, index);
    uint32_t version = atomic_load_explicit(&slot->version, memory_order_acquire);
    const struct copy *copy = &slot->copies[version & 1];
    if (version == 0)
        return ERR_EMPTY;
    *record = copy->record;
    if (copy->layout != sizeof(struct slot) || copy->checksum != checksum_of(record))
        return ERR_SYNTAX;
    return record->call_id == 0 ? ERR_EMPTY : OK;
}

void call_table_write_farewell(struct call_table *table, size_t index, const struct call_farewell *farewell)
{
    slot_of(table, index)->farewell = *farewell;
}

const struct call_farewell *call_table_farewell(const struct call_table *table, size_t index)
{
    return &slot_of(table, index)->farewell;
}

struct media_snapshot_slot *call_table_media(struct call_table *table, size_t index)
{
    return &slot_of(table, index)->media;
}

enum err call_table_read_media(const struct call_table *table, size_t index, struct media_snapshot *snapshot)
{
    const struct media_snapshot_slot *media = &slot_of(table, index)->media;
    uint32_t version = atomic_load_explicit(&media->version, memory_order_acquire);
    if (version == 0)
        return ERR_EMPTY;
    *snapshot = media->snapshot;
    return version % 2 == 0 ? OK : ERR_SYNTAX;
}
