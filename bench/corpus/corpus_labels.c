#include "bench/corpus/corpus_labels.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LABELS_BYTES (16UL << 20)

/* ERR_NOT_FOUND without a word when there is no such file. */
static enum err read_text(const char *path, char **text, size_t *length, int64_t *changed_ns, char *reason)
{
    struct stat status;
    if (stat(path, &status) != 0 && errno == ENOENT)
        return ERR_NOT_FOUND;
    FILE *file = fopen(path, "rb");
    if (file == NULL || fstat(fileno(file), &status) != 0) {
        snprintf(reason, CORPUS_LABELS_REASON_BYTES, "%.400s: %m", path);
        if (file != NULL)
            fclose(file);
        return ERR_SYSTEM;
    }
    *changed_ns = status.st_mtim.tv_sec * NS_PER_S + status.st_mtim.tv_nsec;
    bool is_good = S_ISREG(status.st_mode) && (size_t)status.st_size <= LABELS_BYTES;
    *text = is_good ? malloc((size_t)status.st_size + 1) : NULL;
    *length = *text == NULL ? 0 : fread(*text, 1, (size_t)status.st_size, file);
    is_good = is_good && *text != NULL && !ferror(file);
    fclose(file);
    if (is_good)
        return OK;
    snprintf(reason, CORPUS_LABELS_REASON_BYTES, "%.400s: cannot be read, or is larger than 16 MB", path);
    return ERR_SYSTEM;
}

enum err corpus_labels_read_folder(struct label_table *out, const char *folder, int64_t *changed_ns,
                                   char *reason)
{
    char path[CORPUS_LABELS_PATH_BYTES];
    char *text = NULL;
    size_t length = 0;
    memset(out, 0, sizeof *out);
    *changed_ns = 0;
    if (snprintf(path, sizeof path, "%s/labels.tsv", folder) >= (int)sizeof path)
        return OK;
    enum err err = read_text(path, &text, &length, changed_ns, reason);
    if (err == OK)
        err = label_table_parse(out, path, text, length, reason);
    if (err == OK && out->count > 0 && out->rows[0].file[0] == '\0') {
        snprintf(reason, CORPUS_LABELS_REASON_BYTES, "%.400s: expected a column \"file\"", path);
        err = ERR_SYNTAX;
    }
    free(text);
    return err == ERR_NOT_FOUND ? OK : err;
}

/* path with the ending of name replaced. */
static bool beside(char *path, const char *folder, const char *name, const char *ending)
{
    const char *dot = strrchr(name, '.');
    const char *slash = strrchr(name, '/');
    size_t length = dot != NULL && (slash == NULL || dot > slash) ? (size_t)(dot - name) : strlen(name);
    return snprintf(path, CORPUS_LABELS_PATH_BYTES, "%s/%.*s%s", folder, (int)length, name, ending) <
           CORPUS_LABELS_PATH_BYTES;
}

static enum err parse_table(struct key_labels *out, const char *path, const char *text, size_t length,
                            char *reason)
{
    struct label_table table;
    enum err err = label_table_parse(&table, path, text, length, reason);
    if (err == OK && table.count > 0 && table.rows[0].file[0] != '\0') {
        snprintf(reason, CORPUS_LABELS_REASON_BYTES,
                 "%.300s: expected no column \"file\": this table belongs to one recording", path);
        err = ERR_SYNTAX;
    }
    if (err == OK)
        err = label_table_pick(out, &table, "", path, reason);
    label_table_release(&table);
    return err;
}

static enum err read_beside(struct corpus_labels *out, const char *folder, const char *name, bool is_table,
                            char *reason)
{
    char *text = NULL;
    size_t length = 0;
    if (!beside(out->path, folder, name, is_table ? ".tsv" : ".txt"))
        return ERR_NOT_FOUND;
    enum err err = read_text(out->path, &text, &length, &out->changed_ns, reason);
    if (err == OK)
        err = is_table ? parse_table(&out->keys, out->path, text, length, reason)
                       : label_track_parse(&out->keys, out->path, text, length, reason);
    free(text);
    out->is_labelled = err == OK;
    return err;
}

enum err corpus_labels_read(struct corpus_labels *out, const struct label_table *table,
                            int64_t table_changed_ns, const char *folder, const char *name, char *reason)
{
    memset(out, 0, sizeof *out);
    enum err err = read_beside(out, folder, name, false, reason);
    if (err == ERR_NOT_FOUND)
        err = read_beside(out, folder, name, true, reason);
    if (err != ERR_NOT_FOUND)
        return err;
    out->path[0] = '\0';
    if (table->count == 0)
        return OK;
    snprintf(out->path, sizeof out->path, "%.4000s/labels.tsv", folder);
    err = label_table_pick(&out->keys, table, name, out->path, reason);
    out->is_labelled = err == OK && out->keys.count > 0;
    out->changed_ns = out->is_labelled ? table_changed_ns : 0;
    return err;
}

void corpus_labels_release(struct corpus_labels *labels)
{
    key_labels_release(&labels->keys);
}
