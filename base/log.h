/* Typed logger: one event a line, as JSON or readable text, on a descriptor.
 *
 * There is no field type that can carry a card digit: names are constants of the program, counts stop at nine digits,
 * text from outside (a path, an address, a host) passes a filter that replaces every run of six or more digits, also
 * when spaces, dots or dashes stand between them. The event itself must be a string literal.
 *
 * Thread: any; a line is one write(2). Never fails: what cannot be written is dropped and counted. */
#ifndef TONEGATE_BASE_LOG_H
#define TONEGATE_BASE_LOG_H

#include "base/err.h"
#include "base/limits.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

#define LOG_COUNT_MAX 999999999ULL /* larger values are shown as this one */

struct log_field {
    const char *key;
    enum {
        LOG_FIELD_END,
        LOG_FIELD_NAME,
        LOG_FIELD_COUNT,
        LOG_FIELD_MS,
        LOG_FIELD_TEXT,
        LOG_FIELD_ID,
        LOG_FIELD_ADDRESS
    } type;
    union {
        const char *text;
        uint64_t number;
        double ms;
        const struct sockaddr_in *address;
    };
};

/* clang-format off */
/* A constant of the program: the empty literals make anything but a literal fail to compile. */
#define LOG_NAME(k, literal) ((struct log_field){"" k "", LOG_FIELD_NAME, {.text = "" literal ""}})
/* A text from a table of constants (err_str(), the name of a state); the caller vouches that it is one. */
#define LOG_CONSTANT(k, t)   ((struct log_field){"" k "", LOG_FIELD_NAME, {.text = (t)}})
#define LOG_ERR(k, err)      ((struct log_field){"" k "", LOG_FIELD_NAME, {.text = err_str(err)}})
#define LOG_COUNT(k, n)      ((struct log_field){"" k "", LOG_FIELD_COUNT, {.number = (uint64_t)(n)}})
#define LOG_MS(k, v)         ((struct log_field){"" k "", LOG_FIELD_MS, {.ms = (v)}})
/* Text from outside, filtered. */
#define LOG_TEXT(k, t)       ((struct log_field){"" k "", LOG_FIELD_TEXT, {.text = (t)}})
/* An IPv4 endpoint, shown as ADDRESS:PORT. */
#define LOG_ADDRESS(k, a)    ((struct log_field){"" k "", LOG_FIELD_ADDRESS, {.address = (a)}})
/* A call or capture, shown as 16 letters a..p (a hexadecimal id may hold a run of digits that a scanner would flag). */
#define LOG_ID(k, id)        ((struct log_field){"" k "", LOG_FIELD_ID, {.number = (id)}})
/* clang-format on */

/* Before any thread starts. fd is kept, not owned. role is a constant. */
void log_open(int fd, enum log_format format, enum log_level least, const char *role);

void log_write(enum log_level level, const char *event, const struct log_field *fields, size_t field_count);

#define log_event(level, event, ...)                                                                         \
    log_write((level), "" event "", (const struct log_field[]){__VA_ARGS__},                                 \
              sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field))

/* A rate limit of its own for one place in the code: true at most once a second; *held counts what was kept back. */
struct log_limit {
    int64_t next_ns;
    uint64_t held;
};
bool log_limit_pass(struct log_limit *limit, uint64_t *held);

/* The filter of LOG_TEXT on its own, for audit lines and error answers: copies text to out (capacity included the
 * terminating zero), runs of six or more digits replaced by '#'. */
void log_filter_text(const char *text, char *out, size_t capacity);

/* The 16 letters LOG_ID shows. out has room for 17 bytes. */
void log_id_text(uint64_t id, char *out);

/* Reads them back. ERR_SYNTAX on anything but 16 letters a..p. */
MUST_USE enum err log_id_parse(const char *text, uint64_t *id);

#endif
