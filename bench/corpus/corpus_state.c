#include "bench/corpus/corpus_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FORMAT      1
#define STATE_BYTES (256UL << 20)
#define FIRST_ROOM  64

struct corpus_state {
    FILE *file;
    char *path;
    struct corpus_result *results;
    size_t count;
};

static enum err refuse(char *reason, const char *name, const char *why, enum err err)
{
    snprintf(reason, CORPUS_STATE_REASON_BYTES, "%.300s: %.150s", name, why);
    return err;
}

static enum err refuse_line(char *reason, const char *name, size_t line)
{
    snprintf(reason, CORPUS_STATE_REASON_BYTES,
             "%.300s:%zu: is no line of a state file; remove the file to start anew", name, line);
    return ERR_SYNTAX;
}

void corpus_state_release(struct corpus_result *results, size_t count)
{
    for (size_t i = 0; i < count; i++)
        corpus_result_release(&results[i]);
    free(results);
}

static enum err take_head(const char *line, size_t length, const char *key, bool *is_ours)
{
    json_t *json = json_loadb(line, length, JSON_REJECT_DUPLICATES, NULL);
    const char *said = json_string_value(json_object_get(json, "of"));
    bool is_head =
        json_integer_value(json_object_get(json, "tonegate-bench-corpus")) == FORMAT && said != NULL;
    *is_ours = is_head && strcmp(said, key) == 0;
    json_decref(json);
    return is_head ? OK : ERR_SYNTAX;
}

static enum err take_result(struct corpus_result **out, size_t *count, const char *line, size_t length)
{
    if (*count == 0 || (*count >= FIRST_ROOM && (*count & (*count - 1)) == 0)) {
        void *more = realloc(*out, (*count == 0 ? FIRST_ROOM : 2 * *count) * sizeof **out);
        if (more == NULL)
            return ERR_MEMORY;
        *out = more;
    }
    json_t *json = json_loadb(line, length, JSON_REJECT_DUPLICATES, NULL);
    if (json == NULL)
        return ERR_SYNTAX;
    enum err err = corpus_result_of_json(&(*out)[(*count)++], json);
    json_decref(json);
    return err;
}

enum err corpus_state_parse(struct corpus_result **out, size_t *count, size_t *good_bytes, const char *name,
                            const char *text, size_t length, const char *key, char *reason)
{
    size_t number = 0;
    bool is_ours = true;
    *out = NULL;
    *count = 0;
    *good_bytes = 0;
    for (size_t at = 0; at < length;) {
        const char *stop = memchr(text + at, '\n', length - at);
        if (stop == NULL)
            return number == 0 ? refuse_line(reason, name, 1) : OK; /* torn: that recording is judged again */
        size_t line_length = (size_t)(stop - text) - at;
        enum err err = OK;
        if (number++ == 0)
            err = take_head(text + at, line_length, key, &is_ours);
        else if (is_ours)
            err = take_result(out, count, text + at, line_length);
        if (err == ERR_MEMORY)
            return refuse(reason, name, "not enough memory", err);
        if (err)
            return refuse_line(reason, name, number);
        at += line_length + 1;
        *good_bytes = is_ours ? at : 0;
    }
    return OK;
}

static enum err read_text(FILE *file, const char *path, char **text, size_t *length, char *reason)
{
    struct stat status;
    if (fstat(fileno(file), &status) != 0)
        return refuse(reason, path, strerror(errno), ERR_SYSTEM);
    if (!S_ISREG(status.st_mode) || (size_t)status.st_size > STATE_BYTES)
        return refuse(reason, path, "is no state file", ERR_SYNTAX);
    *text = malloc((size_t)status.st_size + 1);
    if (*text == NULL)
        return refuse(reason, path, "not enough memory", ERR_MEMORY);
    *length = fread(*text, 1, (size_t)status.st_size, file);
    return ferror(file) ? refuse(reason, path, "cannot be read", ERR_SYSTEM) : OK;
}

/* Cuts what is torn or of another run off, and writes the head when nothing is left. */
static enum err make_ready(struct corpus_state *state, size_t good_bytes, const char *key, char *reason)
{
    if (ftruncate(fileno(state->file), (off_t)good_bytes) != 0 ||
        fseek(state->file, (long)good_bytes, SEEK_SET) != 0)
        return refuse(reason, state->path, strerror(errno), ERR_SYSTEM);
    if (good_bytes > 0)
        return OK;
    json_t *head = json_pack("{s:i,s:s}", "tonegate-bench-corpus", FORMAT, "of", key);
    if (head == NULL)
        return refuse(reason, state->path, "not enough memory", ERR_MEMORY);
    bool is_written = json_dumpf(head, state->file, JSON_COMPACT) == 0 && fputc('\n', state->file) != EOF &&
                      fflush(state->file) == 0;
    json_decref(head);
    return is_written ? OK : refuse(reason, state->path, strerror(errno), ERR_SYSTEM);
}

static enum err load(struct corpus_state *state, const char *key, char *reason)
{
    char *text = NULL;
    size_t length = 0;
    size_t good_bytes = 0;
    enum err err = read_text(state->file, state->path, &text, &length, reason);
    if (err == OK)
        err = corpus_state_parse(&state->results, &state->count, &good_bytes, state->path, text, length, key,
                                 reason);
    free(text);
    return err == OK ? make_ready(state, good_bytes, key, reason) : err;
}

enum err corpus_state_open(struct corpus_state **out, const char *path, const char *key, char *reason)
{
    *out = NULL;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);
    if (fd < 0)
        return refuse(reason, path, strerror(errno), ERR_SYSTEM);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        close(fd);
        return refuse(reason, path, "another run is using it", ERR_ORDER);
    }
    struct corpus_state *state = calloc(1, sizeof *state);
    if (state == NULL) {
        close(fd);
        return refuse(reason, path, "not enough memory", ERR_MEMORY);
    }
    state->path = strdup(path);
    state->file = fdopen(fd, "r+");
    enum err err = OK;
    if (state->path == NULL || state->file == NULL)
        err = refuse(reason, path, "not enough memory", ERR_MEMORY);
    if (err == OK)
        err = load(state, key, reason);
    if (err) {
        if (state->file == NULL)
            close(fd);
        corpus_state_close(state, false);
        return err;
    }
    *out = state;
    return OK;
}

struct corpus_result *corpus_state_find(struct corpus_state *state, const char *path, uint64_t size_bytes,
                                        int64_t changed_ns, int64_t labels_changed_ns)
{
    for (size_t i = 0; i < state->count; i++) {
        struct corpus_result *result = &state->results[i];
        if (result->path != NULL && strcmp(result->path, path) == 0 && result->size_bytes == size_bytes &&
            result->changed_ns == changed_ns && result->labels_changed_ns == labels_changed_ns)
            return result;
    }
    return NULL;
}

enum err corpus_state_append(struct corpus_state *state, const struct corpus_result *result, char *reason)
{
    json_t *json = corpus_result_json(result);
    if (json == NULL)
        return refuse(reason, state->path, "not enough memory", ERR_MEMORY);
    bool is_written = json_dumpf(json, state->file, JSON_COMPACT | JSON_REAL_PRECISION(9)) == 0 &&
                      fputc('\n', state->file) != EOF && fflush(state->file) == 0;
    json_decref(json);
    return is_written ? OK : refuse(reason, state->path, strerror(errno), ERR_SYSTEM);
}

void corpus_state_close(struct corpus_state *state, bool is_done)
{
    if (state == NULL)
        return;
    if (is_done)
        unlink(state->path);
    if (state->file != NULL)
        fclose(state->file);
    corpus_state_release(state->results, state->count);
    free(state->path);
    free(state);
}
