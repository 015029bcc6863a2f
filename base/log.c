#include "base/log.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_BYTES     1024
#define FILTERED_RUN   6 /* digits in a row, separators between them not counted, that are never shown */
#define TEXT_SHOWN_MAX 200

static struct {
    int fd;
    enum log_format format;
    enum log_level least;
    const char *role;
} logger = {STDERR_FILENO, LOG_FORMAT_TEXT, LOG_INFO, "tonegate"};

static uint64_t lines_dropped; /* since the last line that could be written */

static const char *const level_names[] = {"debug", "info", "warn", "error"};

struct line {
    char text[LINE_BYTES];
    size_t length;
};

void log_open(int fd, enum log_format format, enum log_level least, const char *role)
{
    logger.fd = fd;
    logger.format = format;
    logger.least = least;
    logger.role = role;
}

static void put_char(struct line *line, char c)
{
    if (line->length < LINE_BYTES - 2) /* room for the end of line */
        line->text[line->length++] = c;
}

static void put(struct line *line, const char *text)
{
    for (; *text; text++)
        put_char(line, *text);
}

static void put_number(struct line *line, unsigned long long number)
{
    char digits[24];
    snprintf(digits, sizeof(digits), "%llu", number);
    put(line, digits);
}

/* As the inside of a JSON string; anything but printable ASCII becomes '?', so that no line can be forged. */
static void put_escaped(struct line *line, const char *text)
{
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            put_char(line, '\\');
        put_char(line, *text >= 0x20 && *text < 0x7f ? *text : '?');
    }
}

static int is_separator(char c)
{
    return c == ' ' || c == '-' || c == '.' || c == '_' || c == '/' || c == ',';
}

void log_filter_text(const char *text, char *out, size_t capacity)
{
    size_t length = 0;
    if (capacity == 0)
        return;
    while (*text && length + 1 < capacity) {
        size_t run = 0; /* bytes of a run that starts and ends with a digit */
        size_t digits = 0;
        for (size_t i = 0; text[i]; i++) {
            if (text[i] >= '0' && text[i] <= '9') {
                digits++;
                run = i + 1;
            } else if (digits == 0 || !is_separator(text[i])) {
                break;
            }
        }
        if (digits >= FILTERED_RUN) {
            out[length++] = '#';
            text += run;
            continue;
        }
        size_t plain = run ? run : 1;
        for (size_t i = 0; i < plain && length + 1 < capacity; i++)
            out[length++] = text[i];
        text += plain;
    }
    out[length] = '\0';
}

void log_id_text(uint64_t id, char *out)
{
    for (int i = 0; i < 16; i++)
        out[i] = (char)('a' + ((id >> (60 - 4 * i)) & 15));
    out[16] = '\0';
}

enum err log_id_parse(const char *text, uint64_t *id)
{
    uint64_t value = 0;
    for (int i = 0; i < 16; i++) {
        if (text[i] < 'a' || text[i] > 'p')
            return ERR_SYNTAX;
        value = value << 4 | (uint64_t)(text[i] - 'a');
    }
    if (text[16] != '\0')
        return ERR_SYNTAX;
    *id = value;
    return OK;
}

static void put_address(char *text, size_t capacity, const struct sockaddr_in *address)
{
    char host[INET_ADDRSTRLEN] = "?";
    inet_ntop(AF_INET, &address->sin_addr, host, sizeof(host));
    snprintf(text, capacity, "%s:%u", host, ntohs(address->sin_port));
}

static void put_value(struct line *line, const struct log_field *field, int quoted)
{
    char text[TEXT_SHOWN_MAX];
    switch (field->type) {
    case LOG_FIELD_COUNT:
        put_number(line, field->number > LOG_COUNT_MAX ? LOG_COUNT_MAX : field->number);
        return;
    case LOG_FIELD_MS:
        if (field->ms > -1e9 && field->ms < 1e9)
            snprintf(text, sizeof(text), "%.3f", field->ms);
        else
            snprintf(text, sizeof(text), "null");
        put(line, text);
        return;
    case LOG_FIELD_ADDRESS:
        put_address(text, sizeof(text), field->address);
        break;
    case LOG_FIELD_ID:
        log_id_text(field->number, text);
        break;
    case LOG_FIELD_NAME:
        snprintf(text, sizeof(text), "%s", field->text ? field->text : "");
        break;
    default:
        log_filter_text(field->text ? field->text : "", text, sizeof(text));
        break;
    }
    if (quoted)
        put_char(line, '"');
    put_escaped(line, text);
    if (quoted)
        put_char(line, '"');
}

static void put_json(struct line *line, enum log_level level, const char *event, const char *time,
                     const struct log_field *fields, size_t field_count)
{
    put(line, "{\"time\":\"");
    put(line, time);
    put(line, "\",\"level\":\"");
    put(line, level_names[level]);
    put(line, "\",\"role\":\"");
    put(line, logger.role);
    put(line, "\",\"event\":\"");
    put_escaped(line, event);
    put_char(line, '"');
    for (size_t i = 0; i < field_count; i++) {
        put(line, ",\"");
        put(line, fields[i].key);
        put(line, "\":");
        put_value(line, &fields[i], 1);
    }
    put_char(line, '}');
}

static void put_plain(struct line *line, enum log_level level, const char *event, const char *time,
                      const struct log_field *fields, size_t field_count)
{
    put(line, time);
    put_char(line, ' ');
    put(line, level_names[level]);
    put_char(line, ' ');
    put(line, logger.role);
    put(line, ": ");
    put(line, event);
    for (size_t i = 0; i < field_count; i++) {
        put_char(line, ' ');
        put(line, fields[i].key);
        put_char(line, '=');
        put_value(line, &fields[i], fields[i].type == LOG_FIELD_TEXT);
    }
}

/* A reader that has stopped must not stop the role: below PIPE_BUF a pipe that is ready takes the whole line at once. */
static bool is_writable(void)
{
    struct pollfd ready = {.fd = logger.fd, .events = POLLOUT};
    return poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT);
}

void log_write(enum log_level level, const char *event, const struct log_field *fields, size_t field_count)
{
    if (level < logger.least)
        return;
    if (!is_writable()) {
        __atomic_add_fetch(&lines_dropped, 1, __ATOMIC_RELAXED);
        return;
    }
    struct line line = {.length = 0};
    char time[WALL_TEXT_MAX];
    wall_time_text(wall_now(), time);
    if (logger.format == LOG_FORMAT_JSON)
        put_json(&line, level, event, time, fields, field_count);
    else
        put_plain(&line, level, event, time, fields, field_count);
    line.text[line.length++] = '\n';
    uint64_t dropped = __atomic_exchange_n(&lines_dropped, 0, __ATOMIC_RELAXED);
    ssize_t ignored = write(logger.fd, line.text, line.length);
    (void)ignored;
    if (dropped)
        log_event(LOG_WARN, "log lines were dropped: nobody read", LOG_COUNT("lines", dropped));
}

bool log_limit_pass(struct log_limit *limit, uint64_t *held)
{
    int64_t now = mono_now().ns;
    int64_t next = __atomic_load_n(&limit->next_ns, __ATOMIC_RELAXED);
    if (now < next || !__atomic_compare_exchange_n(&limit->next_ns, &next, now + NS_PER_S, false,
                                                   __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
        __atomic_add_fetch(&limit->held, 1, __ATOMIC_RELAXED);
        return false;
    }
    *held = __atomic_exchange_n(&limit->held, 0, __ATOMIC_RELAXED);
    return true;
}
