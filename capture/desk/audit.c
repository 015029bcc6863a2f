#include "capture/desk/audit.h"

#include "base/clock.h"
#include "base/log.h"
#include "capture/desk/disk_wait.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define TORN "audit.torn"

struct audit {
    int fd;
    off_t length;
    uint64_t number; /* of the last line */
    uint64_t written;
    char previous[AUDIT_HASH_TEXT];
};

/* The chain's beginning: the hash of no line at all. */
static void hash_text(const void *line, size_t length, char *text)
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    SHA256(line, length, digest);
    for (size_t i = 0; i < sizeof(digest); i++) {
        text[2 * i] = (char)('a' + (digest[i] >> 4));
        text[2 * i + 1] = (char)('a' + (digest[i] & 15));
    }
    text[AUDIT_HASH_TEXT - 1] = '\0';
}

/* The number of a line of ours; 0 when it is not one. what and previous may be NULL. */
static uint64_t line_read(const char *line, size_t length, char *what, size_t what_capacity, char *previous)
{
    uint64_t number = 0;
    json_t *object = json_loadb(line, length, JSON_REJECT_DUPLICATES, NULL);
    const char *previous_text = json_string_value(json_object_get(object, "previous"));
    const char *what_text = json_string_value(json_object_get(object, "what"));
    json_int_t n = json_integer_value(json_object_get(object, "n"));
    if (n > 0 && previous_text && strlen(previous_text) == AUDIT_HASH_TEXT - 1 && what_text) {
        number = (uint64_t)n;
        if (previous)
            memcpy(previous, previous_text, AUDIT_HASH_TEXT);
        if (what)
            snprintf(what, what_capacity, "%s", what_text);
    }
    json_decref(object);
    return number;
}

static enum err read_all(int fd, off_t from, char *bytes, size_t length)
{
    for (size_t done = 0; done < length;) {
        ssize_t got = pread(fd, bytes + done, length - done, from + (off_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return ERR_SYSTEM;
        done += (size_t)got;
    }
    return OK;
}

static const char *last_newline(const char *bytes, size_t length)
{
    return length ? memrchr(bytes, '\n', length) : NULL;
}

static enum err write_durable(struct audit *audit, const char *bytes, size_t length)
{
    for (size_t done = 0; done < length;) {
        ssize_t put = pwrite(audit->fd, bytes + done, length - done, audit->length + (off_t)done);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            goto undo;
        done += (size_t)put;
    }
    disk_wait_begin();
    int synced = fdatasync(audit->fd);
    disk_wait_end();
    if (synced != 0)
        goto undo;
    audit->length += (off_t)length;
    return OK;
undo:
    /* Half a line must not stay. Should even this fail, the next line overwrites it: writes go by offset. */
    if (ftruncate(audit->fd, audit->length) != 0)
        return ERR_SYSTEM;
    return ERR_SYSTEM;
}

/* The tail holds at most one torn line after the last whole one; both fit in twice a line's size. */
static enum err find_end(struct audit *audit, bool *is_torn)
{
    char tail[2 * AUDIT_LINE_BYTES + 2];
    size_t tail_length = (size_t)audit->length < sizeof(tail) ? (size_t)audit->length : sizeof(tail);
    hash_text("", 0, audit->previous);
    if (tail_length == 0)
        return OK;
    enum err err = read_all(audit->fd, audit->length - (off_t)tail_length, tail, tail_length);
    if (err)
        return err;
    const char *end = last_newline(tail, tail_length);
    *is_torn = end != tail + tail_length - 1;
    size_t whole = end ? (size_t)(end - tail) : 0;
    if (!end && tail_length == sizeof(tail))
        return ERR_SYNTAX;
    if (end) {
        const char *before = last_newline(tail, whole);
        const char *line = before ? before + 1 : tail;
        audit->number = line_read(line, (size_t)(end - line), NULL, 0, NULL);
        if (audit->number == 0)
            return ERR_SYNTAX;
        hash_text(line, (size_t)(end - line), audit->previous);
    }
    if (*is_torn) {
        const char *torn = end ? end + 1 : tail;
        hash_text(torn, (size_t)(tail + tail_length - torn), audit->previous);
        audit->number++;
    }
    return OK;
}

static enum err close_torn_line(struct audit *audit)
{
    enum err err = write_durable(audit, "\n", 1);
    if (err)
        return err;
    const struct audit_entry entry = {
        .who = "desk", .what = TORN, .where = "local", .outcome = "ok", .resource = ""};
    return audit_append(audit, &entry);
}

enum err audit_open(struct audit **out, const char *path)
{
    bool is_torn = false;
    struct audit *audit = calloc(1, sizeof(*audit));
    if (!audit)
        return ERR_MEMORY;
    enum err err = ERR_SYSTEM;
    struct stat about;
    audit->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (audit->fd < 0 || fstat(audit->fd, &about) != 0 || !S_ISREG(about.st_mode) ||
        flock(audit->fd, LOCK_EX | LOCK_NB) != 0)
        goto out;
    audit->length = about.st_size;
    err = find_end(audit, &is_torn);
    if (!err && is_torn)
        err = close_torn_line(audit);
out:
    if (err) {
        audit_close(audit);
        return err;
    }
    *out = audit;
    return OK;
}

void audit_close(struct audit *audit)
{
    if (!audit)
        return;
    if (audit->fd >= 0)
        close(audit->fd);
    free(audit);
}

static void set_filtered(json_t *object, const char *key, const char *text)
{
    char filtered[200];
    log_filter_text(text, filtered, sizeof(filtered));
    for (char *c = filtered; *c; c++) {
        if (*c < 0x20 || *c > 0x7e)
            *c = '?';
    }
    json_object_set_new(object, key, json_string(filtered));
}

/* "192.0.2.7:41234" and nothing else: an address has digits enough for the filter to take it for a number. */
static bool is_address(const char *text)
{
    char host[INET_ADDRSTRLEN];
    struct in_addr parsed;
    size_t length = strcspn(text, ":");
    const char *port = text + length + 1;
    if (text[length] != ':' || length >= sizeof(host) || strlen(port) > 5 || port[0] == '\0' ||
        strspn(port, "0123456789") != strlen(port))
        return false;
    memcpy(host, text, length);
    host[length] = '\0';
    return inet_pton(AF_INET, host, &parsed) == 1;
}

static void set_where(json_t *object, const char *where)
{
    if (is_address(where))
        json_object_set_new(object, "where", json_string(where));
    else
        set_filtered(object, "where", where);
}

static void set_time(json_t *object, const char *key, struct wall_time at)
{
    char text[WALL_TEXT_MAX];
    if (at.ns == 0)
        return;
    wall_time_text(at, text);
    json_object_set_new(object, key, json_string(text));
}

static void set_number(json_t *object, const struct audit_number *number)
{
    static const int64_t parts[] = {1, 10, 100, 1000};
    int64_t value = number->value;
    if (value > AUDIT_NUMBER_MAX || value < -AUDIT_NUMBER_MAX)
        value = value < 0 ? -AUDIT_NUMBER_MAX : AUDIT_NUMBER_MAX;
    int64_t part = parts[number->decimals & 3];
    json_t *written = part == 1 ? json_integer(value) : json_real((double)value / (double)part);
    json_object_set_new(object, number->name, written);
}

static char *line_text(const struct audit *audit, const struct audit_entry *entry)
{
    char at[WALL_TEXT_MAX];
    wall_time_text(wall_now(), at);
    json_t *object = json_object();
    json_object_set_new(object, "n", json_integer((json_int_t)audit->number + 1));
    json_object_set_new(object, "time", json_string(at));
    set_filtered(object, "who", entry->who);
    json_object_set_new(object, "what", json_string(entry->what));
    set_where(object, entry->where);
    json_object_set_new(object, "outcome", json_string(entry->outcome));
    if (entry->resource[0])
        set_filtered(object, "resource", entry->resource);
    if (entry->reason)
        json_object_set_new(object, "reason", json_string(entry->reason));
    if (entry->detail)
        set_filtered(object, "detail", entry->detail);
    if (entry->currency) {
        json_object_set_new(object, "amount", json_integer(entry->amount_minor));
        json_object_set_new(object, "currency", json_string(entry->currency));
    }
    set_time(object, "from", entry->from);
    set_time(object, "to", entry->to);
    for (size_t i = 0; i < entry->number_count; i++)
        set_number(object, &entry->numbers[i]);
    json_object_set_new(object, "previous", json_string(audit->previous));
    char *text = json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6));
    json_decref(object);
    return text;
}

enum err audit_append(struct audit *audit, const struct audit_entry *entry)
{
    char *text = line_text(audit, entry);
    if (!text)
        return ERR_MEMORY;
    size_t length = strlen(text);
    enum err err = ERR_LENGTH;
    if (length + 1 > AUDIT_LINE_BYTES)
        goto out;
    text[length] = '\n'; /* in place of the end */
    err = write_durable(audit, text, length + 1);
    if (err)
        goto out;
    audit->number++;
    audit->written++;
    hash_text(text, length, audit->previous);
out:
    free(text);
    return err;
}

uint64_t audit_written(const struct audit *audit)
{
    return audit->written;
}

struct chain {
    struct audit_verdict *verdict;
    bool is_torn_before; /* the line before was not JSON: this one must say so */
};

static const char *chain_step(struct chain *chain, const char *line, size_t length)
{
    char previous[AUDIT_HASH_TEXT] = "";
    char what[64] = "";
    uint64_t number = line_read(line, length, what, sizeof(what), previous);
    uint64_t expected = chain->verdict->line_count + 1;
    bool was_torn = chain->is_torn_before;
    chain->is_torn_before = number == 0;
    if (number == 0)
        return was_torn ? "not a line of the audit trail" : NULL;
    if (strcmp(previous, chain->verdict->head) != 0)
        return "does not follow from the line before it";
    if (number != expected)
        return "wrong number";
    if (was_torn != (strcmp(what, TORN) == 0))
        return was_torn ? "follows a line that is not of the audit trail"
                        : "names a torn line that is not there";
    chain->verdict->torn_count += was_torn;
    return NULL;
}

enum err audit_verify(const char *path, struct audit_verdict *verdict)
{
    *verdict = (struct audit_verdict){0};
    FILE *file = fopen(path, "re");
    if (!file)
        return ERR_SYSTEM;
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length;
    struct chain chain = {.verdict = verdict};
    hash_text("", 0, verdict->head);
    while (!verdict->reason && (length = getline(&line, &capacity, file)) > 0) {
        bool is_whole = line[length - 1] == '\n';
        size_t inner = (size_t)length - is_whole;
        verdict->reason = chain_step(&chain, line, inner);
        verdict->line_count++;
        hash_text(line, inner, verdict->head);
        if (!verdict->reason && !is_whole)
            verdict->reason = "cut at its end";
    }
    if (!verdict->reason && chain.is_torn_before)
        verdict->reason = "not a line of the audit trail";
    if (verdict->reason)
        verdict->bad_line = verdict->line_count;
    free(line);
    bool is_failed = ferror(file) != 0;
    fclose(file);
    return is_failed ? ERR_SYSTEM : OK;
}
