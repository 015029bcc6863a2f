#include "bench/leak/label_track.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RATE       8000.0
#define NUMBER_MAX 32
#define FILE_MAX   4096
#define FIRST_ROOM 64
#define NO_COLUMN  LABEL_COLUMNS_MAX

/* A piece of the text; not terminated. */
struct piece {
    const char *at;
    size_t length;
};

struct lines {
    const char *name;
    char *reason;
    const char *at;
    const char *end;
    size_t number; /* of the line last taken */
};

static enum err refuse(const struct lines *lines, const char *expected)
{
    snprintf(lines->reason, LABEL_REASON_BYTES, "%.160s:%zu: %s", lines->name, lines->number, expected);
    return ERR_SYNTAX;
}

static enum err no_memory(const struct lines *lines)
{
    snprintf(lines->reason, LABEL_REASON_BYTES, "%.160s: not enough memory", lines->name);
    return ERR_MEMORY;
}

/* The next line without its end; a mark of byte order at the start of the text is not part of it. */
static bool take_line(struct lines *lines, struct piece *line)
{
    if (lines->at == lines->end)
        return false;
    if (lines->number == 0 && lines->end - lines->at >= 3 && memcmp(lines->at, "\xEF\xBB\xBF", 3) == 0)
        lines->at += 3;
    const char *stop = memchr(lines->at, '\n', (size_t)(lines->end - lines->at));
    const char *next = stop == NULL ? lines->end : stop + 1;
    stop = stop == NULL ? lines->end : stop;
    if (stop > lines->at && stop[-1] == '\r')
        stop--;
    *line = (struct piece){lines->at, (size_t)(stop - lines->at)};
    lines->at = next;
    lines->number++;
    return true;
}

static bool is_passed_over(struct piece line)
{
    return line.length == 0 || line.at[0] == '#' || line.at[0] == '\\';
}

/* Fields between tabs, at most LABEL_COLUMNS_MAX; more are counted and not kept. */
static size_t split(struct piece line, struct piece *fields)
{
    size_t count = 0;
    const char *end = line.at + line.length;
    for (const char *at = line.at;; count++) {
        const char *stop = memchr(at, '\t', (size_t)(end - at));
        if (count < LABEL_COLUMNS_MAX)
            fields[count] = (struct piece){at, (size_t)((stop == NULL ? end : stop) - at)};
        if (stop == NULL)
            return count + 1;
        at = stop + 1;
    }
}

static bool take_number(struct piece field, double *out)
{
    char text[NUMBER_MAX];
    char *end;
    if (field.length == 0 || field.length >= sizeof text || memchr(field.at, '\0', field.length) != NULL)
        return false;
    memcpy(text, field.at, field.length);
    text[field.length] = '\0';
    if (strspn(text, "0123456789.-+eE") != field.length)
        return false;
    *out = strtod(text, &end);
    return *end == '\0' && isfinite(*out);
}

static int take_key(struct piece field)
{
    while (field.length > 0 && field.at[0] == ' ') {
        field.at++;
        field.length--;
    }
    while (field.length > 0 && field.at[field.length - 1] == ' ')
        field.length--;
    return field.length == 1 ? key_label_number(field.at[0]) : -1;
}

static const char *make_label(struct key_label *label, double onset_s, double end_s, struct piece key)
{
    int number = take_key(key);
    if (number < 0)
        return "expected the key to be one of 0-9, *, #, A-D";
    if (onset_s < 0 || end_s > LABEL_SECONDS_MAX || onset_s >= end_s)
        return "expected a key that begins before it ends, within 4 hours";
    *label = (struct key_label){(unsigned char)number, (size_t)llround(onset_s * RATE),
                                (size_t)llround(end_s * RATE), KEY_IS_TONE};
    return label->onset < label->end ? NULL : "expected a key of at least one sample";
}

/* Makes room for one more of `bytes` each. */
static bool grow(void **rows, size_t count, size_t bytes)
{
    bool is_full = count == 0 || (count >= FIRST_ROOM && (count & (count - 1)) == 0);
    if (!is_full)
        return true;
    size_t room = count == 0 ? FIRST_ROOM : 2 * count;
    void *more = realloc(*rows, room * bytes);
    if (more == NULL)
        return false;
    *rows = more;
    return true;
}

/* ------------------------------------------------------------------ label track */

static enum err take_track_line(struct key_labels *out, const struct lines *lines, struct piece line)
{
    struct piece fields[LABEL_COLUMNS_MAX];
    struct key_label label;
    double onset_s;
    double end_s;
    if (split(line, fields) != 3 || !take_number(fields[0], &onset_s) || !take_number(fields[1], &end_s))
        return refuse(lines, "expected from, to (seconds) and a key, with tabs between them");
    const char *wrong = make_label(&label, onset_s, end_s, fields[2]);
    if (wrong == NULL && out->count > 0 && label.onset < out->labels[out->count - 1].end)
        wrong = "expected keys in order and apart: this one begins before the one above ends";
    if (wrong != NULL)
        return refuse(lines, wrong);
    if (out->count == KEY_LABELS_MAX)
        return refuse(lines, "expected at most 100000 keys");
    void *rows = out->labels;
    if (!grow(&rows, out->count, sizeof *out->labels))
        return no_memory(lines);
    out->labels = rows;
    out->labels[out->count++] = label;
    return OK;
}

enum err label_track_parse(struct key_labels *out, const char *name, const char *text, size_t length,
                           char *reason)
{
    struct lines lines = {name, reason, text, text + length, 0};
    struct piece line;
    enum err err = OK;
    memset(out, 0, sizeof *out);
    while (err == OK && take_line(&lines, &line))
        if (!is_passed_over(line))
            err = take_track_line(out, &lines, line);
    return err;
}

/* ------------------------------------------------------------------ label table */

struct columns {
    size_t file;
    size_t key;
    size_t onset;
    size_t end;
    double onset_per_s; /* 1 or 1000 */
    double end_per_s;
};

static bool is_named(struct piece field, const char *name)
{
    return field.length == strlen(name) && memcmp(field.at, name, field.length) == 0;
}

static enum err take_names(struct columns *columns, const struct lines *lines, struct piece line)
{
    struct piece fields[LABEL_COLUMNS_MAX];
    size_t count = split(line, fields);
    *columns = (struct columns){NO_COLUMN, NO_COLUMN, NO_COLUMN, NO_COLUMN, 1, 1};
    const struct {
        const char *name;
        size_t *column;
        double *per_s;
        double value;
    } names[] = {{"file", &columns->file, NULL, 0},
                 {"key", &columns->key, NULL, 0},
                 {"onset_s", &columns->onset, &columns->onset_per_s, 1},
                 {"onset_ms", &columns->onset, &columns->onset_per_s, 1000},
                 {"end_s", &columns->end, &columns->end_per_s, 1},
                 {"end_ms", &columns->end, &columns->end_per_s, 1000}};
    for (size_t i = 0; i < count && i < LABEL_COLUMNS_MAX; i++)
        for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
            if (!is_named(fields[i], names[n].name))
                continue;
            if (*names[n].column != NO_COLUMN)
                return refuse(lines, "expected each column once");
            *names[n].column = i;
            if (names[n].per_s != NULL)
                *names[n].per_s = names[n].value;
        }
    if (count > LABEL_COLUMNS_MAX || columns->key == NO_COLUMN || columns->onset == NO_COLUMN ||
        columns->end == NO_COLUMN)
        return refuse(lines,
                      "expected a line of column names with key, onset_s or onset_ms, end_s or end_ms");
    return OK;
}

static enum err take_row(struct label_table *out, const struct lines *lines, const struct columns *columns,
                         struct piece line)
{
    struct piece fields[LABEL_COLUMNS_MAX];
    struct label_row row = {.line = lines->number};
    double onset;
    double end;
    size_t count = split(line, fields);
    size_t last = columns->file == NO_COLUMN ? 0 : columns->file;
    last = columns->key > last ? columns->key : last;
    last = columns->onset > last ? columns->onset : last;
    last = columns->end > last ? columns->end : last;
    if (count <= last || count > LABEL_COLUMNS_MAX)
        return refuse(lines, "expected as many fields as the line of names has");
    if (!take_number(fields[columns->onset], &onset) || !take_number(fields[columns->end], &end))
        return refuse(lines, "expected numbers for where the key begins and ends");
    const char *wrong =
        make_label(&row.label, onset / columns->onset_per_s, end / columns->end_per_s, fields[columns->key]);
    struct piece file = columns->file == NO_COLUMN ? (struct piece){"", 0} : fields[columns->file];
    if (wrong == NULL && columns->file != NO_COLUMN &&
        (file.length == 0 || file.length >= FILE_MAX || memchr(file.at, '\0', file.length) != NULL))
        wrong = "expected the name of a recording";
    if (wrong == NULL && out->count == KEY_LABELS_MAX)
        wrong = "expected at most 100000 keys";
    if (wrong != NULL)
        return refuse(lines, wrong);
    void *rows = out->rows;
    if (!grow(&rows, out->count, sizeof *out->rows))
        return no_memory(lines);
    out->rows = rows;
    row.file = strndup(file.at, file.length);
    if (row.file == NULL)
        return no_memory(lines);
    out->rows[out->count++] = row;
    return OK;
}

enum err label_table_parse(struct label_table *out, const char *name, const char *text, size_t length,
                           char *reason)
{
    struct lines lines = {name, reason, text, text + length, 0};
    struct columns columns;
    struct piece line;
    bool has_names = false;
    enum err err = OK;
    memset(out, 0, sizeof *out);
    while (err == OK && take_line(&lines, &line)) {
        if (is_passed_over(line))
            continue;
        err = has_names ? take_row(out, &lines, &columns, line) : take_names(&columns, &lines, line);
        has_names = true;
    }
    if (err == OK && !has_names) {
        lines.number++;
        err = refuse(&lines, "expected a line of column names");
    }
    return err;
}

void label_table_release(struct label_table *table)
{
    for (size_t i = 0; i < table->count; i++)
        free(table->rows[i].file);
    free(table->rows);
    memset(table, 0, sizeof *table);
}

enum err label_table_pick(struct key_labels *out, const struct label_table *table, const char *file,
                          const char *name, char *reason)
{
    struct lines lines = {.name = name, .reason = reason};
    memset(out, 0, sizeof *out);
    out->labels = calloc(table->count + 1, sizeof *out->labels);
    if (out->labels == NULL)
        return no_memory(&lines);
    for (size_t i = 0; i < table->count; i++) {
        const struct label_row *row = &table->rows[i];
        if (strcmp(row->file, file) != 0)
            continue;
        lines.number = row->line;
        if (out->count > 0 && row->label.onset < out->labels[out->count - 1].end)
            return refuse(&lines, "expected the keys of a recording in order and apart");
        out->labels[out->count++] = row->label;
    }
    return OK;
}
