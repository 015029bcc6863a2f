#include "bench/recordings/folder_list.h"

#include <dirent.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define DEPTH_MAX 32

static bool is_recording(const char *name)
{
    static const char *const endings[] = {".wav",  ".wave", ".rf64", ".w64",  ".aif", ".aiff", ".au",
                                          ".snd",  ".caf",  ".flac", ".ogg",  ".oga", ".opus", ".mp3",
                                          ".ulaw", ".ul",   ".pcmu", ".alaw", ".al",  ".pcma"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot != NULL && i < sizeof endings / sizeof endings[0]; i++)
        if (strcasecmp(dot, endings[i]) == 0)
            return true;
    return false;
}

static enum err add(struct folder_list *list, const char *name)
{
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 256;
        void *more = realloc(list->names, room * sizeof *list->names);
        if (more == NULL)
            return ERR_MEMORY;
        list->names = more;
        list->room = room;
    }
    list->names[list->count] = strdup(name);
    return list->names[list->count++] == NULL ? ERR_MEMORY : OK;
}

static enum err walk(struct folder_list *list, const char *folder, const char *below, unsigned depth);

static enum err take_entry(struct folder_list *list, const char *folder, const char *below, const char *name,
                           unsigned depth)
{
    char relative[PATH_MAX];
    char path[2 * PATH_MAX];
    struct stat status;
    int length = snprintf(relative, sizeof relative, "%s%s%s", below, *below ? "/" : "", name);
    if (length >= (int)sizeof relative)
        return ERR_LENGTH;
    length = snprintf(path, sizeof path, "%s/%s", folder, relative);
    if (length >= (int)sizeof path)
        return ERR_LENGTH;
    if (lstat(path, &status) != 0)
        return ERR_SYSTEM;
    if (S_ISDIR(status.st_mode))
        return depth < DEPTH_MAX ? walk(list, folder, relative, depth + 1) : ERR_LENGTH;
    if (is_recording(name) && stat(path, &status) == 0 && S_ISREG(status.st_mode))
        return add(list, relative);
    list->other_count++;
    return OK;
}

static enum err walk(struct folder_list *list, const char *folder, const char *below, unsigned depth)
{
    char path[2 * PATH_MAX];
    enum err err = OK;
    int length = snprintf(path, sizeof path, "%s/%s", folder, below);
    DIR *open = length < (int)sizeof path ? opendir(path) : NULL;
    if (open == NULL)
        return ERR_SYSTEM;
    for (struct dirent *entry; err == OK && (entry = readdir(open)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            err = take_entry(list, folder, below, entry->d_name, depth);
    closedir(open);
    return err;
}

static int by_name(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

enum err folder_list_read(struct folder_list *list, const char *folder)
{
    memset(list, 0, sizeof *list);
    enum err err = walk(list, folder, "", 0);
    if (err == OK && list->count > 0)
        qsort(list->names, list->count, sizeof *list->names, by_name);
    return err;
}

void folder_list_release(struct folder_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->names[i]);
    free(list->names);
    memset(list, 0, sizeof *list);
}
