#include "base/secret_source.h"

#include "base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_space(uint8_t byte)
{
    return byte == '\n' || byte == '\r' || byte == ' ' || byte == '\t';
}

/* Takes what lies in the buffer, without the white space at its end. */
static enum err take(struct secret *secret, size_t length)
{
    size_t capacity;
    const uint8_t *bytes = secret_buffer(secret, &capacity);
    while (length > 0 && is_space(bytes[length - 1]))
        length--;
    secret_set_length(secret, length);
    return length > 0 ? OK : ERR_LENGTH;
}

static enum err read_file(const char *path, struct secret *secret)
{
    size_t capacity;
    size_t length = 0;
    ssize_t count = 0;
    uint8_t one_more;
    uint8_t *bytes = secret_buffer(secret, &capacity);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? ERR_NOT_FOUND : ERR_SYSTEM;
    while (length < capacity && (count = read(fd, bytes + length, capacity - length)) > 0)
        length += (size_t)count;
    bool is_longer = count > 0 && read(fd, &one_more, 1) == 1;
    close(fd);
    if (count < 0)
        return ERR_SYSTEM;
    return is_longer ? ERR_LENGTH : take(secret, length);
}

static enum err read_credential(const char *name, struct secret *secret)
{
    char path[LIMIT_PATH_BYTES * 2];
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    if (name[0] == '\0' || name[0] == '.' || strchr(name, '/'))
        return ERR_SYNTAX;
    if (!folder)
        return ERR_NOT_FOUND;
    if ((size_t)snprintf(path, sizeof(path), "%s/%s", folder, name) >= sizeof(path))
        return ERR_LENGTH;
    return read_file(path, secret);
}

static enum err read_variable(const char *name, struct secret *secret)
{
    size_t capacity;
    uint8_t *bytes = secret_buffer(secret, &capacity);
    char *value = getenv(name);
    if (!value)
        return ERR_NOT_FOUND;
    size_t length = strlen(value);
    if (length > capacity)
        return ERR_LENGTH;
    memcpy(bytes, value, length);
    wipe(value, length); /* it would stay readable in /proc/PID/environ */
    return take(secret, length);
}

enum err secret_source_read(const char *reference, struct secret *secret)
{
    static const struct {
        const char *prefix;
        enum err (*read)(const char *rest, struct secret *secret);
    } kinds[] = {{"file:", read_file}, {"credential:", read_credential}, {"env:", read_variable}};
    enum err err = ERR_SYNTAX;
    secret_wipe(secret);
    if (reference[0] == '/' || (reference[0] && !strchr(reference, ':')))
        return read_file(reference, secret);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        size_t length = strlen(kinds[i].prefix);
        if (strncmp(reference, kinds[i].prefix, length) == 0)
            err = kinds[i].read(reference + length, secret);
    }
    if (err)
        secret_wipe(secret);
    return err;
}
