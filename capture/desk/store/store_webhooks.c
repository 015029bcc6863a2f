#include "capture/desk/store/store_webhooks.h"

#include <string.h>

enum statement { NOTICE_ADD, NOTICE_FIND, NOTICE_LIST, CAPTURE_OF, STATEMENTS };

static const char *const schema =
    "CREATE TABLE IF NOT EXISTS notices ("
    " number INTEGER PRIMARY KEY,"
    " vendor INTEGER NOT NULL,"
    " event_id TEXT NOT NULL,"
    " kind INTEGER NOT NULL,"
    " capture_id INTEGER NOT NULL,"
    " order_ref TEXT NOT NULL,"
    " amount_minor INTEGER NOT NULL,"
    " currency TEXT NOT NULL,"
    " received_ns INTEGER NOT NULL,"
    " UNIQUE (vendor, event_id)) STRICT;"
    "CREATE INDEX IF NOT EXISTS notices_capture ON notices (capture_id) WHERE capture_id <> 0;"
    "CREATE INDEX IF NOT EXISTS captures_order ON captures (order_ref) WHERE order_ref <> '';"
    "CREATE INDEX IF NOT EXISTS intents_order ON intents (order_ref) WHERE order_ref <> '';";

static const char *const texts[STATEMENTS] = {
    [NOTICE_ADD] = "INSERT INTO notices (vendor, event_id, kind, capture_id, order_ref, amount_minor,"
                   " currency, received_ns) VALUES (?1,?2,?3,?4,?5,?6,?7,?8)",
    [NOTICE_FIND] = "SELECT 1 FROM notices WHERE vendor = ?1 AND event_id = ?2",
    [NOTICE_LIST] = "SELECT vendor, event_id, kind, capture_id, order_ref, amount_minor, currency,"
                    " received_ns FROM notices WHERE capture_id = ?1 AND capture_id <> 0"
                    " ORDER BY number LIMIT ?2",
    [CAPTURE_OF] = "SELECT id FROM captures WHERE order_ref = ?1 AND order_ref <> ''"
                   " UNION ALL SELECT capture_id FROM intents WHERE order_ref = ?1 AND order_ref <> ''"
                   " LIMIT 1",
};

enum err store_webhooks_open(struct store_webhooks *webhooks, struct store *store)
{
    return sql_open(&webhooks->sql, store_database(store), schema, texts, STATEMENTS);
}

void store_webhooks_close(struct store_webhooks *webhooks)
{
    sql_close(&webhooks->sql);
}

enum err store_webhooks_add(struct store_webhooks *webhooks, const struct store_notice *notice)
{
    sqlite3_stmt *insert = sql_prepared(&webhooks->sql, NOTICE_ADD);
    sqlite3_bind_int(insert, 1, notice->vendor);
    sql_bind_text(insert, 2, notice->event.id);
    sqlite3_bind_int(insert, 3, notice->event.kind);
    sql_bind_id(insert, 4, notice->event.capture_id);
    sql_bind_text(insert, 5, notice->event.order_ref);
    sqlite3_bind_int64(insert, 6, notice->event.amount_minor);
    sql_bind_text(insert, 7, notice->event.currency);
    sqlite3_bind_int64(insert, 8, notice->received_at.ns);
    return sql_execute(&webhooks->sql, insert, NULL);
}

enum err store_webhooks_find(struct store_webhooks *webhooks, enum config_webhook_vendor vendor,
                             const char *event_id)
{
    sqlite3_stmt *select = sql_prepared(&webhooks->sql, NOTICE_FIND);
    sqlite3_bind_int(select, 1, vendor);
    sql_bind_text(select, 2, event_id);
    int code = sql_step(&webhooks->sql, select);
    sqlite3_reset(select);
    return code == SQLITE_ROW ? OK : code == SQLITE_DONE ? ERR_NOT_FOUND : ERR_STORE;
}

static void notice_read(sqlite3_stmt *row, struct store_notice *notice)
{
    memset(notice, 0, sizeof(*notice));
    notice->vendor = (enum config_webhook_vendor)sqlite3_column_int(row, 0);
    sql_column_text(row, 1, notice->event.id, sizeof(notice->event.id));
    notice->event.kind = (enum webhook_kind)sqlite3_column_int(row, 2);
    notice->event.capture_id = sql_column_id(row, 3);
    sql_column_text(row, 4, notice->event.order_ref, sizeof(notice->event.order_ref));
    notice->event.amount_minor = sqlite3_column_int64(row, 5);
    sql_column_text(row, 6, notice->event.currency, sizeof(notice->event.currency));
    notice->received_at.ns = sqlite3_column_int64(row, 7);
}

enum err store_webhooks_list(struct store_webhooks *webhooks, uint64_t capture_id,
                             struct store_notice *notices, size_t capacity, size_t *count)
{
    sqlite3_stmt *select = sql_prepared(&webhooks->sql, NOTICE_LIST);
    int code = SQLITE_DONE;
    sql_bind_id(select, 1, capture_id);
    sqlite3_bind_int64(select, 2, (sqlite3_int64)capacity);
    *count = 0;
    while (*count < capacity && (code = sql_step(&webhooks->sql, select)) == SQLITE_ROW)
        notice_read(select, &notices[(*count)++]);
    sqlite3_reset(select);
    return code == SQLITE_DONE || code == SQLITE_ROW ? OK : ERR_STORE;
}

enum err store_webhooks_capture(struct store_webhooks *webhooks, const char *order_ref, uint64_t *capture_id)
{
    sqlite3_stmt *select = sql_prepared(&webhooks->sql, CAPTURE_OF);
    sql_bind_text(select, 1, order_ref);
    int code = sql_step(&webhooks->sql, select);
    if (code == SQLITE_ROW)
        *capture_id = sql_column_id(select, 0);
    sqlite3_reset(select);
    return code == SQLITE_ROW ? OK : code == SQLITE_DONE ? ERR_NOT_FOUND : ERR_STORE;
}
