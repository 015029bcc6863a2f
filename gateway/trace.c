#include "gateway/trace.h"

#include "base/clock.h"
#include "base/log.h"

#include <ctype.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DIGIT_RUN_MAX    5
#define TRACE_LINE_BYTES (6 * LIMIT_HTTP_REPLY_BYTES + 4096) /* every byte escaped */

struct trace {
    int fd;
    struct log_limit limit;
};

enum err trace_open(struct trace **out, const char *path)
{
    *out = NULL;
    struct trace *trace = calloc(1, sizeof(*trace));
    if (!trace)
        return ERR_MEMORY;
    trace->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (trace->fd < 0) {
        free(trace);
        return ERR_SYSTEM;
    }
    *out = trace;
    return OK;
}

void trace_close(struct trace *trace)
{
    if (!trace)
        return;
    close(trace->fd);
    free(trace);
}

/* Takes the line over. */
static void write_line(struct trace *trace, json_t *line)
{
    uint64_t held;
    /* jansson's own memory may be the wiping heap: the text is written into ours. */
    char *text = malloc(TRACE_LINE_BYTES);
    size_t length =
        text && line ? json_dumpb(line, text, TRACE_LINE_BYTES - 1, JSON_COMPACT | JSON_ENSURE_ASCII) : 0;
    bool is_whole = length > 0 && length < TRACE_LINE_BYTES;
    json_decref(line);
    if (is_whole)
        text[length++] = '\n';
    if ((!is_whole || write(trace->fd, text, length) != (ssize_t)length) &&
        log_limit_pass(&trace->limit, &held))
        log_event(LOG_WARN, "a line of gateway.trace was lost", LOG_COUNT("held_back", held));
    if (text)
        wipe(text, is_whole ? length : TRACE_LINE_BYTES);
    free(text);
}

static json_t *line_begin(const char *direction, const struct connector *connector,
                          const struct connector_step *step)
{
    char id[24];
    log_id_text(step->capture_id, id);
    return json_pack("{s:f,s:s,s:s,s:s,s:s,s:i,s:i}", "at", (double)(wall_now().ns / NS_PER_MS) / 1000,
                     "direction", direction, "connector", connector->name, "id", id, "step",
                     connector_operation_name(step->operation), "attempt", (int)step->attempt, "round",
                     (int)step->round);
}

/* Not to be told from what it is not: what is no text is shown as its length. */
static json_t *text_json(const char *text, size_t length)
{
    json_t *shown = json_stringn(text, length);
    return shown ? shown : json_sprintf("(%zu bytes that are no text)", length);
}

static json_t *request_body_json(const struct connector_request *request)
{
    size_t length = secret_length(request->body);
    return length ? text_json((const char *)secret_bytes(request->body), length) : json_null();
}

/* A card of zeros, as long as the one it stands for; where that is gone, of the usual lengths. */
static struct gateway_tokenise_msg zeros_for(const struct gateway_tokenise_msg *card)
{
    struct gateway_tokenise_msg zeros = {
        .number_length = 16, .cvv_length = 3, .expiry_month = 1, .expiry_year = 30};
    if (card) {
        zeros = *card;
        memset(zeros.number, 0, sizeof(zeros.number));
        memset(zeros.cvv, 0, sizeof(zeros.cvv));
    }
    return zeros;
}

/* What build() makes of the step with zeros for a card. A connector that holds the card over a round holds zeros here too:
 * its first round is built first, for their sake. */
static enum err build_shown(const struct connector *connector, const struct connector_account *account,
                            const struct connector_step *step, struct connector_request *request)
{
    struct connector_verdict ignored;
    struct connector_step shown = *step;
    struct gateway_tokenise_msg zeros = zeros_for(step->card);
    bool is_held = connector->holds_card && step->operation == CONNECTOR_TOKENISE;
    enum err err = secret_new(&request->body, CONNECTOR_BODY_BYTES - 64);
    if (!err && is_held)
        err = secret_new(&request->held, CONNECTOR_BODY_BYTES - 64);
    if (!err && is_held && !step->card) {
        shown.card = &zeros;
        shown.round = 0;
        err = connector->build(account, &shown, request, &ignored);
        request->header_length = 0;
        secret_wipe(request->body);
        shown = *step;
    }
    if (step->card)
        shown.card = &zeros;
    return err ? err : connector->build(account, &shown, request, &ignored);
}

void trace_request(struct trace *trace, const struct connector *connector,
                   const struct connector_account *account, const struct connector_step *step)
{
    static const char proofs[] = "added when it is sent: what proves who we are";
    struct connector_request *request = trace ? calloc(1, sizeof(*request)) : NULL;
    if (!request)
        return;
    if (build_shown(connector, account, step, request) == OK) {
        json_t *line = line_begin("request", connector, step);
        json_object_set_new(line, "method", json_string(request->method));
        json_object_set_new(line, "path", json_string(request->path));
        json_object_set_new(line, "headers", text_json(request->headers, request->header_length));
        json_object_set_new(line, "authorization", json_string(proofs));
        json_object_set_new(line, "body", request_body_json(request));
        write_line(trace, line);
    }
    secret_free(request->body);
    secret_free(request->held);
    wipe(request, sizeof(*request));
    free(request);
}

/* Whatever a stranger sends back may be the card, also with blanks, '-' or '.' between its digits. */
static char *without_digits(const uint8_t *body, size_t length)
{
    char *text = malloc(length + 1);
    size_t begin = 0;
    size_t digits = 0;
    for (size_t i = 0; text && i <= length; i++) {
        bool is_digit = i < length && isdigit(body[i]);
        if (i < length)
            text[i] = (char)body[i];
        if (is_digit && digits++ == 0)
            begin = i;
        if (is_digit || (i < length && digits > 0 && strchr(" -._", body[i]) && body[i]))
            continue;
        for (size_t at = begin; at < i && digits > DIGIT_RUN_MAX; at++)
            text[at] = isdigit(body[at]) ? '#' : text[at];
        digits = 0;
    }
    return text;
}

void trace_answer(struct trace *trace, const struct connector *connector, const struct connector_step *step,
                  const struct connector_answer *answer)
{
    if (!trace)
        return;
    char *text = without_digits(answer->body, answer->body_length);
    json_t *line = line_begin("answer", connector, step);
    json_object_set_new(line, "status", json_integer(answer->status));
    json_object_set_new(line, "body", text ? text_json(text, answer->body_length) : json_null());
    write_line(trace, line);
    if (text)
        wipe(text, answer->body_length);
    free(text);
}
