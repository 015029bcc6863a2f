#include "bench/memscan/target.h"

#include "base/secret.h"
#include "bench/memscan/look.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIECE_BYTES   (4u << 20)
#define PAGE          4096u
#define MAPPINGS_MAX  65536
#define MAPPING_BYTES 96

struct mapping {
    uint64_t first, end;
    char name[MAPPING_BYTES];
};

struct target {
    int memory_fd, pagemap_fd;
    char name[TARGET_NAME_BYTES];
    struct mapping *mappings;
    size_t mapping_count;
    size_t at_mapping;
    uint64_t at; /* next address not yet given */
    bool is_joined;
    uint64_t hidden_bytes;
    uint8_t *buffer;
};

static int open_of(pid_t pid, const char *what)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, what);
    return open(path, O_RDONLY | O_CLOEXEC);
}

static void read_name(struct target *target, pid_t pid)
{
    int fd = open_of(pid, "comm");
    ssize_t length = fd >= 0 ? read(fd, target->name, sizeof(target->name) - 1) : 0;
    target->name[length > 0 ? length : 0] = 0;
    target->name[strcspn(target->name, "\n")] = 0;
    if (fd >= 0)
        close(fd);
}

/* A sanitizer's shadow: terabytes reserved, a page here and there, and no byte of the program's in it. */
#define SHADOW_BYTES (64ULL << 30)

/* What may hold what was keyed: writable, or not a file. */
static bool is_wanted(const char *rights, unsigned long inode, const char *name, bool has_all)
{
    if (strncmp(name, "[vvar", 5) == 0 || strncmp(name, "[vsyscall", 9) == 0 || strcmp(name, "[vdso]") == 0)
        return false;
    if (has_all || inode == 0)
        return true;
    return rights[1] == 'w' || rights[3] == 's' || strstr(name, "secretmem") != NULL;
}

/* "first-end rights offset device inode   name"; false: not such a line. */
static bool read_line(char *line, struct mapping *mapping, bool has_all)
{
    char *rest;
    line[strcspn(line, "\n")] = 0;
    mapping->first = strtoull(line, &rest, 16);
    if (*rest != '-')
        return false;
    mapping->end = strtoull(rest + 1, &rest, 16);
    const char *rights = strsep(&rest, " ") ? strsep(&rest, " ") : NULL;
    const char *device = rights && strsep(&rest, " ") ? strsep(&rest, " ") : NULL;
    const char *inode = device ? strsep(&rest, " ") : NULL;
    if (!inode)
        return false;
    const char *name = rest ? rest + strspn(rest, " ") : "";
    snprintf(mapping->name, sizeof(mapping->name), "%.*s", MAPPING_BYTES - 1, name[0] ? name : "anonymous");
    return mapping->end > mapping->first && mapping->end - mapping->first <= SHADOW_BYTES &&
           is_wanted(rights, strtoul(inode, NULL, 10), name, has_all);
}

static enum err read_mappings(struct target *target, pid_t pid, bool has_all)
{
    char path[64], line[512];
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
    FILE *maps = fopen(path, "re");
    if (!maps)
        return errno == ENOENT ? ERR_NOT_FOUND : ERR_REFUSED;
    while (target->mapping_count < MAPPINGS_MAX && fgets(line, sizeof(line), maps))
        target->mapping_count += read_line(line, &target->mappings[target->mapping_count], has_all);
    fclose(maps);
    if (target->mapping_count == MAPPINGS_MAX)
        return ERR_FULL; /* a part unseen must not pass for clean */
    return target->mapping_count > 0 ? OK : ERR_REFUSED;
}

enum err target_open(struct target **out, pid_t pid, bool has_all)
{
    *out = NULL;
    if (pid <= 0 || pid == getpid())
        return ERR_RANGE;
    struct target *target = calloc(1, sizeof(*target));
    if (!target)
        return ERR_MEMORY;
    target->memory_fd = -1;
    target->pagemap_fd = -1;
    target->mappings = calloc(MAPPINGS_MAX, sizeof(*target->mappings));
    target->buffer = malloc(PIECE_BYTES);
    enum err err = target->mappings && target->buffer ? OK : ERR_MEMORY;
    if (!err)
        err = read_mappings(target, pid, has_all);
    if (!err) {
        read_name(target, pid);
        target->memory_fd = open_of(pid, "mem");
        target->pagemap_fd = open_of(pid, "pagemap");
        if (target->memory_fd < 0)
            err = ERR_REFUSED;
    }
    if (err) {
        target_close(target);
        return err;
    }
    target->at = target->mappings[0].first;
    *out = target;
    return OK;
}

void target_close(struct target *target)
{
    if (!target)
        return;
    if (target->buffer)
        wipe(target->buffer, PIECE_BYTES);
    free(target->buffer);
    free(target->mappings);
    if (target->memory_fd >= 0)
        close(target->memory_fd);
    if (target->pagemap_fd >= 0)
        close(target->pagemap_fd);
    free(target);
}

const char *target_name(const struct target *target)
{
    return target->name;
}

#define PAGE_PRESENT (1ULL << 63)
#define PAGE_SWAPPED (1ULL << 62)

/* From at on: how many bytes are alike (existing or not), at most limit. */
static uint64_t alike(struct target *target, uint64_t at, uint64_t limit, bool *exists)
{
    uint64_t entries[512];
    *exists = true;
    if (target->pagemap_fd < 0)
        return limit;
    uint64_t bytes = 0;
    while (bytes < limit) {
        uint64_t pages = (limit - bytes + PAGE - 1) / PAGE;
        size_t want = pages < 512 ? (size_t)pages : 512;
        ssize_t got = pread(target->pagemap_fd, entries, want * 8, (off_t)((at + bytes) / PAGE * 8));
        if (got <= 0)
            return bytes ? bytes : limit; /* cannot tell: read it */
        for (size_t i = 0; i < (size_t)got / 8; i++) {
            bool is_there = (entries[i] & (PAGE_PRESENT | PAGE_SWAPPED)) != 0;
            if (bytes == 0)
                *exists = is_there;
            else if (is_there != *exists)
                return bytes;
            bytes += PAGE;
        }
    }
    return limit;
}

static bool skip_to_existing(struct target *target)
{
    while (target->at_mapping < target->mapping_count) {
        const struct mapping *mapping = &target->mappings[target->at_mapping];
        if (target->at >= mapping->end) {
            target->is_joined = false;
            if (++target->at_mapping < target->mapping_count)
                target->at = target->mappings[target->at_mapping].first;
            continue;
        }
        bool exists;
        uint64_t bytes = alike(target, target->at, mapping->end - target->at, &exists);
        if (exists)
            return true;
        target->at += bytes;
        target->is_joined = false;
    }
    return false;
}

enum err target_next(struct target *target, struct target_piece *piece)
{
    wipe(target->buffer, PIECE_BYTES);
    while (skip_to_existing(target)) {
        const struct mapping *mapping = &target->mappings[target->at_mapping];
        uint64_t left = mapping->end - target->at;
        bool exists;
        uint64_t whole = alike(target, target->at, left < PIECE_BYTES ? left : PIECE_BYTES, &exists);
        ssize_t got = pread(target->memory_fd, target->buffer, (size_t)whole, (off_t)target->at);
        if (got <= 0) { /* secret memory, or gone meanwhile */
            target->hidden_bytes += PAGE;
            target->at += PAGE;
            target->is_joined = false;
            continue;
        }
        bool goes_on = (size_t)got == PIECE_BYTES && left > PIECE_BYTES;
        piece->bytes = target->buffer;
        piece->length = (size_t)got;
        piece->own_length = goes_on ? (size_t)got - LOOK_REACH : (size_t)got;
        piece->is_new = !target->is_joined;
        piece->mapping = mapping->name;
        target->at += piece->own_length;
        target->is_joined = true;
        return OK;
    }
    return ERR_EMPTY;
}

uint64_t target_hidden_bytes(const struct target *target)
{
    return target->hidden_bytes;
}
