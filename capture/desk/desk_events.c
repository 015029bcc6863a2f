/* Server-Sent Events: whoever connects gets the full present state, then every change. There is no backlog to resume
 * from: a state is small, and the newest one is the only one that matters. */
#include "capture/desk/desk_priv.h"
#include "capture/desk/desk_view.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_MS 1000

enum err desk_event_id_read(const char *text, const char *run, uint64_t *revision)
{
    size_t run_length = strlen(run);
    uint64_t value = 0;
    const char *dash = strchr(text, '-');
    if (!dash || (size_t)(dash - text) != 16 || dash[1] == '\0' || strlen(dash + 1) > 18)
        return ERR_SYNTAX;
    for (const char *c = text; c < dash; c++) {
        if (*c < 'a' || *c > 'p')
            return ERR_SYNTAX;
    }
    for (const char *c = dash + 1; *c; c++) {
        if (*c < '0' || *c > '9')
            return ERR_SYNTAX;
        value = value * 10 + (uint64_t)(*c - '0');
    }
    if (run_length != 16 || memcmp(text, run, 16) != 0)
        return ERR_NOT_FOUND;
    *revision = value;
    return OK;
}

/* The id names the revision the reader is at once it has read this. */
static char *event_text(struct desk *desk, const char *name, json_t *body, size_t *length)
{
    char *json = body ? json_dumps(body, JSON_COMPACT) : NULL;
    char *text = NULL;
    if (json) {
        int written = asprintf(&text, "id: %s-%" PRIu64 "\nevent: %s\ndata: %s\n\n", desk->run,
                               desk->revision, name, json);
        *length = written > 0 ? (size_t)written : 0;
        if (written < 0)
            text = NULL;
    }
    free(json);
    json_decref(body);
    return text;
}

static void send_one(struct desk *desk, struct desk_stream *stream, const char *name, json_t *body)
{
    size_t length = 0;
    char *text = event_text(desk, name, body, &length);
    if (text) {
        enum err gone = http_stream_write(stream->connection, text, length);
        (void)gone; /* the server tells of its end */
    }
    free(text);
}

/* A stream of one capture gets only that, and what is for all. */
static void publish(struct desk *desk, const char *name, json_t *body, uint64_t capture_id, bool is_for_all)
{
    size_t length = 0;
    desk->revision++;
    char *text = event_text(desk, name, body, &length);
    for (struct desk_stream *s = desk->streams; s && text; s = s->next) {
        if (!is_for_all && s->capture_id && s->capture_id != capture_id)
            continue;
        enum err gone = http_stream_write(s->connection, text, length);
        (void)gone;
    }
    free(text);
}

void desk_publish(struct desk *desk, const char *name, json_t *body, uint64_t capture_id)
{
    publish(desk, name, body, capture_id, false);
}

void desk_publish_capture(struct desk *desk, const struct desk_capture *capture)
{
    uint64_t id = capture->record.id;
    publish(desk, "capture", desk_view_capture(capture), id, false);
    if (!capture_state_is_end(capture->record.state) || capture->is_masked)
        return;
    for (struct desk_stream *s = desk->streams; s; s = s->next) {
        if (s->capture_id == id)
            http_stream_end(s->connection);
    }
}

void desk_publish_call(struct desk *desk, const struct desk_call *call)
{
    const struct desk_capture *capture = desk_model_capture_of(&desk->model, call->id);
    publish(desk, "call", desk_view_call(call, capture), 0, false);
}

json_t *desk_service_json(const struct desk *desk)
{
    return json_pack("{s:b,s:b,s:b,s:b,s:b,s:s,s:o}", "vault", desk_vault_is_up(desk), "media",
                     desk_proxy_is_up(desk), "gateway", desk_gateway_is_up(desk), "store",
                     !desk->is_store_failing, "draining", desk->is_draining, "payments",
                     desk_gateways_payments(desk), "gateways", desk_gateways_short(desk));
}

void desk_publish_service(struct desk *desk)
{
    publish(desk, "service", desk_service_json(desk), 0, true);
}

static void send_calls(struct desk *desk, struct desk_stream *stream)
{
    for (size_t i = 0; i < desk->model.call_capacity; i++) {
        const struct desk_call *call = &desk->model.calls[i];
        if (desk->model.call_ids[i])
            send_one(desk, stream, "call",
                     desk_view_call(call, desk_model_capture_of(&desk->model, call->id)));
    }
}

static void send_captures(struct desk *desk, struct desk_stream *stream)
{
    for (size_t i = 0; i < desk->model.capture_capacity; i++) {
        const struct desk_capture *capture = &desk->model.captures[i];
        if (desk->model.capture_ids[i] && !capture_state_is_end(capture->record.state))
            send_one(desk, stream, "capture", desk_view_capture(capture));
    }
}

/* A reader that was away may still show a call or capture that ended meanwhile: "snapshot" tells it to forget all. */
static void send_state(struct desk *desk, struct desk_stream *stream, bool is_current)
{
    char text[96];
    int length = snprintf(text, sizeof(text), "retry: %d\n\n", RETRY_MS);
    enum err gone = http_stream_write(stream->connection, text, (size_t)length);
    (void)gone;
    if (stream->capture_id) {
        const struct desk_capture *capture = desk_capture_get(desk, stream->capture_id);
        send_one(desk, stream, "service", desk_service_json(desk));
        if (capture)
            send_one(desk, stream, "capture", desk_view_capture(capture));
        return;
    }
    send_one(desk, stream, "snapshot", json_pack("{s:b}", "current", is_current));
    send_one(desk, stream, "service", desk_service_json(desk));
    send_calls(desk, stream);
    send_captures(desk, stream);
    send_one(desk, stream, "snapshot_end", json_object());
}

enum err desk_events_open(struct desk *desk, struct http_connection *connection, uint64_t capture_id,
                          const char *last_event_id)
{
    if (desk->stream_count == LIMIT_EVENT_STREAMS)
        return ERR_FULL;
    struct desk_stream *stream = calloc(1, sizeof(*stream));
    if (!stream)
        return ERR_MEMORY;
    uint64_t revision = 0;
    bool is_current =
        desk_event_id_read(last_event_id, desk->run, &revision) == OK && revision == desk->revision;
    *stream = (struct desk_stream){desk->streams, connection, capture_id};
    desk->streams = stream;
    desk->stream_count++;
    http_stream_begin(connection, stream);
    send_state(desk, stream, is_current);
    http_stream_settle(connection);
    const struct desk_capture *capture = desk_model_capture(&desk->model, capture_id);
    if (capture_id && (!capture || capture_state_is_end(capture->record.state)))
        http_stream_end(connection);
    return OK;
}

void desk_events_closed_h(void *owner, void *closed)
{
    struct desk *desk = owner;
    for (struct desk_stream **at = &desk->streams; *at; at = &(*at)->next) {
        if (*at != closed)
            continue;
        *at = (*at)->next;
        desk->stream_count--;
        free(closed);
        return;
    }
}

void desk_events_keep_alive(struct desk *desk)
{
    for (struct desk_stream *s = desk->streams; s; s = s->next) {
        enum err gone = http_stream_write(s->connection, ":\n\n", 3);
        (void)gone;
    }
}
