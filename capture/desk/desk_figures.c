#include "capture/desk/desk_figures.h"

#include "capture/desk/desk_ask.h"
#include "capture/desk/desk_view.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define METRICS_BYTES 16384
#define REPORT_DAYS   31

/* --- counting ------------------------------------------------------------------------------------------------------ */

void desk_figures_entered(struct desk *desk)
{
    desk->figures.entered++;
}

void desk_figures_attempted(struct desk *desk)
{
    desk->figures.attempted++;
}

void desk_figures_ended(struct desk *desk, const struct store_capture *record)
{
    int64_t duration_ms = (wall_now().ns - record->created_at.ns) / NS_PER_MS;
    if (record->state >= CAPTURE_STATES)
        return;
    desk->figures.ended[record->state].count++;
    desk->figures.ended[record->state].duration_ms += duration_ms > 0 ? duration_ms : 0;
    desk->figures.hung_up += record->problem == PROBLEM_HANG_UP;
}

/* --- GET /metrics ---------------------------------------------------------------------------------------------------- */

struct page {
    char text[METRICS_BYTES];
    size_t length;
};

__attribute__((format(printf, 2, 3))) static void put(struct page *page, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(page->text + page->length, sizeof(page->text) - page->length, format, arguments);
    va_end(arguments);
    if (length > 0 && (size_t)length < sizeof(page->text) - page->length)
        page->length += (size_t)length;
}

/* One metric without labels. */
static void put_one(struct page *page, const char *name, const char *type, const char *help, uint64_t value)
{
    put(page, "# HELP tonegate_%s %s\n# TYPE tonegate_%s %s\ntonegate_%s %" PRIu64 "\n", name, help, name,
        type, name, value);
}

static void put_ends(struct page *page, const struct desk_figures *figures)
{
    put(page, "# HELP tonegate_captures_ended_total Captures by their end.\n"
              "# TYPE tonegate_captures_ended_total counter\n");
    for (unsigned state = 0; state < CAPTURE_STATES; state++) {
        if (capture_state_is_end(state))
            put(page, "tonegate_captures_ended_total{outcome=\"%s\"} %" PRIu64 "\n", desk_state_name(state),
                figures->ended[state].count);
    }
    put(page,
        "# HELP tonegate_capture_duration_seconds_sum Time of ended captures, all together, by their end.\n"
        "# TYPE tonegate_capture_duration_seconds_sum counter\n");
    for (unsigned state = 0; state < CAPTURE_STATES; state++) {
        if (capture_state_is_end(state))
            put(page, "tonegate_capture_duration_seconds_sum{outcome=\"%s\"} %.3f\n", desk_state_name(state),
                (double)figures->ended[state].duration_ms / 1000);
    }
}

static size_t open_captures(const struct desk *desk)
{
    size_t count = 0;
    for (size_t i = 0; i < desk->model.capture_capacity; i++)
        count += desk->model.capture_ids[i] && !capture_state_is_end(desk->model.captures[i].record.state);
    return count;
}

void desk_metrics_h(const struct ask *ask)
{
    static struct page page; /* one thread, one request at a time */
    const struct desk *desk = ask->desk;
    const struct desk_figures *figures = &desk->figures;
    page.length = 0;
    put_one(&page, "captures_entered_total", "counter", "Captures opened.", figures->entered);
    put_one(&page, "payments_attempted_total", "counter", "Payments tried at the gateway.",
            figures->attempted);
    put_one(&page, "captures_hung_up_total", "counter", "Captures that ended because the caller was gone.",
            figures->hung_up);
    put_ends(&page, figures);
    put_one(&page, "captures_open", "gauge", "Captures without an end.", open_captures(desk));
    put_one(&page, "calls", "gauge", "Calls in progress.", desk->model.call_count);
    put_one(&page, "orders_open", "gauge", "Orders after the card that wait for an answer.",
            desk->orders.open_count);
    put_one(&page, "hooks_waiting", "gauge", "Hooks that are not delivered yet.", desk->hooks.waiting_count);
    put_one(&page, "vault_up", "gauge", "1: linked.", desk_vault_is_up(desk));
    put_one(&page, "media_up", "gauge", "1: linked.", desk_proxy_is_up(desk));
    put_one(&page, "gateway_up", "gauge", "1: linked.", desk_gateway_is_up(desk));
    put_one(&page, "store_ok", "gauge", "1: database and audit trail can be written.",
            !desk->is_store_failing);
    page.length += desk_gateways_metrics(desk, page.text + page.length, sizeof(page.text) - page.length);
    const struct http_reply reply = {.status = 200,
                                     .content_type = "text/plain; version=0.0.4; charset=utf-8",
                                     .body = page.text,
                                     .length = page.length};
    http_reply_send(ask->connection, &reply);
}

/* --- GET /v1/report ------------------------------------------------------------------------------------------------- */

/* "2026-11-26" or "2026-11-26T10:00:00Z", UTC. */
static bool read_time(const char *text, struct wall_time *out)
{
    struct tm parts = {0};
    const char *rest = strptime(text, "%Y-%m-%d", &parts);
    if (rest && *rest == 'T') {
        rest = strptime(rest, "T%H:%M:%S", &parts);
        rest = rest && *rest == 'Z' ? rest + 1 : NULL;
    }
    out->ns = rest ? (int64_t)timegm(&parts) * NS_PER_S : 0;
    return rest && *rest == '\0';
}

/* False: refused. Without `to` until now, without `from` the day before `to`. */
static bool read_span(const struct ask *ask, struct wall_time *from, struct wall_time *to)
{
    char text[32];
    bool is_good = true;
    *to = wall_now();
    if (http_query_value(ask->request->query, "to", text, sizeof(text)))
        is_good = read_time(text, to);
    from->ns = to->ns - 86400 * NS_PER_S;
    if (is_good && http_query_value(ask->request->query, "from", text, sizeof(text)))
        is_good = read_time(text, from);
    is_good = is_good && from->ns < to->ns && to->ns - from->ns <= REPORT_DAYS * 86400 * NS_PER_S;
    if (!is_good)
        ask_refuse(ask, 422, "span_invalid",
                   "from and to: days (2026-11-26) or times (2026-11-26T10:00:00Z), at most 31 days apart");
    return is_good;
}

static int64_t average_ms(const struct report_row *row)
{
    return row->count ? row->duration_ms / (int64_t)row->count : 0;
}

static json_t *row_json(const struct report_row *row, bool is_by_agent)
{
    json_t *object = json_pack("{s:s,s:I,s:I,s:I,s:I}", "outcome", desk_state_name(row->state), "count",
                               (json_int_t)row->count, "attempted", (json_int_t)row->attempted, "hung_up",
                               (json_int_t)row->hung_up, "average_ms", (json_int_t)average_ms(row));
    if (is_by_agent && object)
        json_object_set_new(object, "agent", json_string(row->opened_by));
    return object;
}

/* S2-26: entered, attempted, successful, unsuccessful, hung up inside. */
static json_t *sums_json(const struct report_row *rows, size_t count)
{
    uint64_t entered = 0;
    uint64_t attempted = 0;
    uint64_t hung_up = 0;
    uint64_t successful = 0;
    uint64_t ended = 0;
    for (size_t i = 0; i < count; i++) {
        entered += rows[i].count;
        attempted += rows[i].attempted;
        hung_up += rows[i].hung_up;
        ended += capture_state_is_end(rows[i].state) ? rows[i].count : 0;
        successful += rows[i].state == CAPTURE_APPROVED ? rows[i].count : 0;
    }
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I}", "entered", (json_int_t)entered, "attempted",
                     (json_int_t)attempted, "successful", (json_int_t)successful, "unsuccessful",
                     (json_int_t)(ended - successful), "hung_up", (json_int_t)hung_up, "open",
                     (json_int_t)(entered - ended));
}

static void reply_csv(const struct ask *ask, const struct report_row *rows, size_t count)
{
    static struct page page;
    page.length = 0;
    put(&page, "agent,outcome,count,attempted,hung_up,average_ms\r\n");
    for (size_t i = 0; i < count; i++)
        put(&page, "%s,%s,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRId64 "\r\n", rows[i].opened_by,
            desk_state_name(rows[i].state), rows[i].count, rows[i].attempted, rows[i].hung_up,
            average_ms(&rows[i]));
    const struct http_reply reply = {
        .status = 200, .content_type = "text/csv; charset=utf-8", .body = page.text, .length = page.length};
    http_reply_send(ask->connection, &reply);
}

void desk_report_h(const struct ask *ask)
{
    static struct report_row rows[REPORT_ROWS_MAX];
    struct wall_time from;
    struct wall_time to;
    size_t count = 0;
    char by[16] = "";
    char format[16] = "";
    (void)http_query_value(ask->request->query, "by", by, sizeof(by));
    (void)http_query_value(ask->request->query, "format", format, sizeof(format));
    bool is_by_agent = strcmp(by, "agent") == 0;
    if ((by[0] && !is_by_agent) || (format[0] && strcmp(format, "csv") != 0 && strcmp(format, "json") != 0)) {
        ask_refuse(ask, 422, "query_invalid", "by may be agent, format json or csv");
        return;
    }
    if (!read_span(ask, &from, &to))
        return;
    if (store_report_read(&ask->desk->figures.store, from, to, is_by_agent, rows, REPORT_ROWS_MAX, &count) !=
        OK) {
        ask_refuse(ask, 503, "store", "the database cannot be read now");
        return;
    }
    if (strcmp(format, "csv") == 0) {
        reply_csv(ask, rows, count);
        return;
    }
    char from_text[WALL_TEXT_MAX];
    char to_text[WALL_TEXT_MAX];
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, row_json(&rows[i], is_by_agent));
    wall_time_text(from, from_text);
    wall_time_text(to, to_text);
    ask_reply(ask, 200,
              json_pack("{s:s,s:s,s:o,s:o}", "from", from_text, "to", to_text, "sums", sums_json(rows, count),
                        "outcomes", list),
              NULL);
}
