#include "capture/desk/store/store_report.h"

#include <string.h>

enum statement { REPORT_ALL, REPORT_BY_AGENT, STATEMENTS };

static const char *const schema = "CREATE INDEX IF NOT EXISTS captures_created ON captures (created_ns);";

#define FIGURES                                                                                              \
    "state, count(*), sum(EXISTS (SELECT 1 FROM intents WHERE capture_id = captures.id)),"                   \
    " sum(is_ended = 1 AND problem = ?3), sum((updated_ns - created_ns) / 1000000)"                          \
    " FROM captures WHERE created_ns >= ?1 AND created_ns < ?2"

static const char *const texts[STATEMENTS] = {
    [REPORT_ALL] = "SELECT '', " FIGURES " GROUP BY state ORDER BY 3 DESC LIMIT ?4",
    [REPORT_BY_AGENT] = "SELECT opened_by, " FIGURES " GROUP BY opened_by, state ORDER BY 3 DESC LIMIT ?4",
};

enum err store_report_open(struct store_report *report, struct store *store)
{
    return sql_open(&report->sql, store_database(store), schema, texts, STATEMENTS);
}

void store_report_close(struct store_report *report)
{
    sql_close(&report->sql);
}

enum err store_report_read(struct store_report *report, struct wall_time from, struct wall_time to,
                           bool is_by_agent, struct report_row *rows, size_t capacity, size_t *count)
{
    sqlite3_stmt *select = sql_prepared(&report->sql, is_by_agent ? REPORT_BY_AGENT : REPORT_ALL);
    int code = SQLITE_DONE;
    sqlite3_bind_int64(select, 1, from.ns);
    sqlite3_bind_int64(select, 2, to.ns);
    sqlite3_bind_int(select, 3, PROBLEM_HANG_UP);
    sqlite3_bind_int64(select, 4, (sqlite3_int64)capacity);
    *count = 0;
    while (*count < capacity && (code = sql_step(&report->sql, select)) == SQLITE_ROW) {
        struct report_row *row = &rows[(*count)++];
        memset(row, 0, sizeof(*row));
        sql_column_text(select, 0, row->opened_by, sizeof(row->opened_by));
        row->state = (uint8_t)sqlite3_column_int(select, 1);
        row->count = sql_column_id(select, 2);
        row->attempted = sql_column_id(select, 3);
        row->hung_up = sql_column_id(select, 4);
        row->duration_ms = sqlite3_column_int64(select, 5);
    }
    sqlite3_reset(select);
    return code == SQLITE_DONE || code == SQLITE_ROW ? OK : ERR_STORE;
}
