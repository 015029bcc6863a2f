#include "bench/recordings/new_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum err refuse(char *reason, const char *path)
{
    snprintf(reason, NEW_FILE_REASON_BYTES, "%.384s: %.100s", path,
             errno == EEXIST ? "exists already and is not overwritten" : strerror(errno));
    return errno == EEXIST ? ERR_EXISTS : ERR_SYSTEM;
}

enum err new_file_open(struct new_file *file, const char *path, mode_t mode, char *reason)
{
    struct stat status;
    char folder[PATH_MAX];
    file->fd = -1;
    file->part[0] = '\0';
    if (strlen(path) + sizeof ".part" > sizeof file->path) {
        snprintf(reason, NEW_FILE_REASON_BYTES, "%.64s...: the name is too long", path);
        return ERR_LENGTH;
    }
    memcpy(file->path, path, strlen(path) + 1);
    if (lstat(path, &status) == 0) {
        errno = EEXIST;
        return refuse(reason, path);
    }
    memcpy(folder, path, strlen(path) + 1);
    file->fd = open(dirname(folder), O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
    if (file->fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
        snprintf(file->part, sizeof file->part, "%s.part", path);
        file->fd = open(file->part, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, mode);
    }
    if (file->fd < 0) {
        enum err err = refuse(reason, file->part[0] ? file->part : path);
        file->part[0] = '\0';
        return err;
    }
    return OK;
}

enum err new_file_finish(struct new_file *file, char *reason)
{
    char link_path[64];
    enum err err = OK;
    snprintf(link_path, sizeof link_path, "/proc/self/fd/%d", file->fd);
    const char *from = file->part[0] ? file->part : link_path;
    if (fsync(file->fd) != 0 || linkat(AT_FDCWD, from, AT_FDCWD, file->path, AT_SYMLINK_FOLLOW) != 0)
        err = refuse(reason, file->path);
    new_file_drop(file);
    return err;
}

void new_file_drop(struct new_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    if (file->part[0])
        unlink(file->part);
    file->fd = -1;
    file->part[0] = '\0';
}
