#include "capture/desk/store/store.h"

#include "base/log.h"
#include "capture/desk/store/store_sql.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define APPLICATION_ID 0x546f6e65 /* "Tone": the file says whose it is */
#define BUSY_MS        100        /* a report that reads the file must not keep the heartbeat waiting */

enum statement {
    BEGIN,
    COMMIT,
    ROLLBACK,
    CAPTURE_INSERT,
    CAPTURE_FIND,
    CAPTURE_FIND_KEY,
    CAPTURE_LIST,
    CAPTURE_LIST_OPEN,
    CAPTURE_END,
    CAPTURE_SET,
    CAPTURE_PLACE,
    RESULT_FIND,
    INTENT_INSERT,
    INTENT_ORDER,
    RESULT_INSERT,
    INTENT_CLOSE,
    INTENT_LIST_OPEN,
    STATEMENTS
};

struct store {
    struct sql sql;
};

static const char *const schema =
    "CREATE TABLE captures ("
    " number INTEGER PRIMARY KEY," /* order of insertion: what lists are paged by */
    " id INTEGER NOT NULL UNIQUE,"
    " call_id INTEGER NOT NULL,"
    " reference TEXT NOT NULL,"
    " callee TEXT NOT NULL,"
    " amount_minor INTEGER NOT NULL,"
    " currency TEXT NOT NULL,"
    " opened_by TEXT NOT NULL,"
    " idempotency_key TEXT,"
    " request_hash BLOB,"
    " created_ns INTEGER NOT NULL,"
    " updated_ns INTEGER NOT NULL,"
    " state INTEGER NOT NULL,"
    " is_ended INTEGER NOT NULL DEFAULT 0,"
    " problem INTEGER NOT NULL,"
    " gateway_reason INTEGER NOT NULL,"
    " brand INTEGER NOT NULL,"
    " attempt INTEGER NOT NULL,"
    " token TEXT NOT NULL,"
    " order_ref TEXT NOT NULL,"
    " kind INTEGER NOT NULL DEFAULT 0,"
    " gateway_index INTEGER NOT NULL DEFAULT 0,"
    " UNIQUE (opened_by, idempotency_key)) STRICT;"
    "CREATE INDEX captures_open ON captures (is_ended) WHERE is_ended = 0;"
    "CREATE TABLE intents ("
    " capture_id INTEGER NOT NULL REFERENCES captures (id),"
    " attempt INTEGER NOT NULL,"
    " amount_minor INTEGER NOT NULL,"
    " currency TEXT NOT NULL,"
    " created_ns INTEGER NOT NULL,"
    " order_ref TEXT NOT NULL DEFAULT '',"
    " token TEXT NOT NULL DEFAULT '',"
    " is_open INTEGER NOT NULL DEFAULT 1,"
    " gateway_index INTEGER NOT NULL DEFAULT 0,"
    " PRIMARY KEY (capture_id, attempt)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX intents_open ON intents (is_open) WHERE is_open = 1;"
    "CREATE TABLE results ("
    " capture_id INTEGER NOT NULL REFERENCES captures (id),"
    " attempt INTEGER NOT NULL,"
    " state INTEGER NOT NULL,"
    " problem INTEGER NOT NULL,"
    " gateway_reason INTEGER NOT NULL,"
    " brand INTEGER NOT NULL,"
    " token TEXT NOT NULL,"
    " order_ref TEXT NOT NULL,"
    " created_ns INTEGER NOT NULL,"
    " PRIMARY KEY (capture_id, attempt)) STRICT, WITHOUT ROWID;";

#define CAPTURE_COLUMNS                                                                                      \
    "id, call_id, reference, callee, amount_minor, currency, opened_by, created_ns, updated_ns, state, "     \
    "problem, gateway_reason, brand, attempt, token, order_ref, kind, gateway_index"

static const char *const statement_texts[STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [CAPTURE_INSERT] = "INSERT INTO captures (" CAPTURE_COLUMNS ", idempotency_key, request_hash)"
                       " VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20)",
    [CAPTURE_FIND] = "SELECT " CAPTURE_COLUMNS " FROM captures WHERE id = ?1",
    [CAPTURE_FIND_KEY] = "SELECT " CAPTURE_COLUMNS ", request_hash FROM captures"
                         " WHERE opened_by = ?1 AND idempotency_key = ?2",
    [CAPTURE_LIST] = "SELECT " CAPTURE_COLUMNS " FROM captures WHERE number < ?1"
                     " ORDER BY number DESC LIMIT ?2",
    [CAPTURE_LIST_OPEN] = "SELECT " CAPTURE_COLUMNS " FROM captures WHERE is_ended = 0"
                          " ORDER BY number LIMIT ?1",
    [CAPTURE_END] = "UPDATE captures SET state = ?2, problem = ?3, gateway_reason = ?4, attempt = ?5,"
                    " updated_ns = ?6, brand = ?7, is_ended = 1 WHERE id = ?1 AND is_ended = 0"
                    " AND NOT EXISTS (SELECT 1 FROM intents WHERE capture_id = ?1 AND is_open = 1)",
    [CAPTURE_SET] =
        "UPDATE captures SET state = ?2, problem = ?3, gateway_reason = ?4, attempt = ?5,"
        " updated_ns = ?6, brand = ?7, is_ended = ?8, token = ?9, order_ref = ?10, gateway_index = ?11"
        " WHERE id = ?1 AND is_ended = 0",
    [CAPTURE_PLACE] = "SELECT number, is_ended FROM captures WHERE id = ?1",
    [RESULT_FIND] = "SELECT 1 FROM results WHERE capture_id = ?1 AND attempt = ?2 AND state = ?3"
                    " AND problem = ?4 AND gateway_reason = ?5 AND brand = ?6 AND token = ?7"
                    " AND order_ref = ?8",
    [INTENT_INSERT] = "INSERT INTO intents (capture_id, attempt, amount_minor, currency, created_ns)"
                      " VALUES (?1,?2,?3,?4,?5) ON CONFLICT (capture_id, attempt) DO NOTHING",
    [INTENT_ORDER] = "UPDATE intents SET order_ref = ?3, token = ?4, gateway_index = ?5 WHERE capture_id = "
                     "?1 AND attempt = ?2",
    [RESULT_INSERT] = "INSERT INTO results (capture_id, attempt, state, problem, gateway_reason, brand,"
                      " token, order_ref, created_ns) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9)"
                      " ON CONFLICT (capture_id, attempt) DO UPDATE SET state = excluded.state,"
                      " problem = excluded.problem, gateway_reason = excluded.gateway_reason,"
                      " brand = excluded.brand, token = excluded.token, order_ref = excluded.order_ref"
                      " WHERE state = ?10", /* not known yet: no end */
    [INTENT_CLOSE] = "UPDATE intents SET is_open = 0 WHERE capture_id = ?1 AND attempt <= ?2 AND is_open = 1",
    /* An attempt ends before the next begins, so only the newest can be in doubt. */
    [INTENT_LIST_OPEN] =
        "SELECT capture_id, intents.attempt, intents.amount_minor, intents.currency, intents.order_ref, "
        "intents.token,"
        " intents.gateway_index, captures.kind FROM intents JOIN captures ON captures.id = capture_id"
        " WHERE is_open = 1 AND intents.attempt = (SELECT max(attempt) FROM intents AS newer"
        " WHERE newer.capture_id = intents.capture_id)"
        " AND (?2 = 0 OR capture_id = ?2) ORDER BY intents.created_ns LIMIT ?1",
};

static enum err run(struct store *store, const char *text)
{
    return sql_run(&store->sql, text);
}

static enum err read_number(struct store *store, const char *text, int64_t *number)
{
    sqlite3_stmt *statement = NULL;
    enum err err = ERR_STORE;
    if (sqlite3_prepare_v2(store->sql.database, text, -1, &statement, NULL) == SQLITE_OK &&
        sql_step(&store->sql, statement) == SQLITE_ROW) {
        *number = sqlite3_column_int64(statement, 0);
        err = OK;
    }
    sqlite3_finalize(statement);
    return err;
}

static enum err schema_create(struct store *store)
{
    char header[96];
    snprintf(header, sizeof(header), "PRAGMA application_id = %d; PRAGMA user_version = %d;", APPLICATION_ID,
             STORE_SCHEMA_VERSION);
    enum err err = run(store, "BEGIN IMMEDIATE");
    if (!err)
        err = run(store, schema);
    if (!err)
        err = run(store, header);
    if (!err)
        err = run(store, "COMMIT");
    return err;
}

/* What each version added to the one before: [n] leads from n to n + 1. */
static const char *const schema_steps[STORE_SCHEMA_VERSION] = {
    [1] = "ALTER TABLE intents ADD COLUMN token TEXT NOT NULL DEFAULT ''; PRAGMA user_version = 2",
    [2] = "ALTER TABLE captures ADD COLUMN kind INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE captures ADD COLUMN gateway_index INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE intents ADD COLUMN gateway_index INTEGER NOT NULL DEFAULT 0; PRAGMA user_version = 3",
};

/* All of it or nothing; the file of a desk that dies here is migrated by the next. */
static enum err schema_migrate(struct store *store, int64_t from)
{
    enum err err = run(store, "BEGIN IMMEDIATE");
    for (int64_t version = from; version < STORE_SCHEMA_VERSION && !err; version++)
        err = run(store, schema_steps[version]);
    if (!err)
        err = run(store, "COMMIT");
    if (!err)
        log_event(LOG_INFO, "the database was brought to this version's form", LOG_COUNT("from", from));
    return err;
}

static enum err schema_check(struct store *store)
{
    int64_t application = 0;
    int64_t version = 0;
    int64_t table_count = 0;
    enum err err = read_number(store, "PRAGMA application_id", &application);
    if (!err)
        err = read_number(store, "PRAGMA user_version", &version);
    if (!err)
        err = read_number(store, "SELECT count(*) FROM sqlite_schema", &table_count);
    if (err)
        return err;
    if (application == 0 && version == 0 && table_count == 0)
        return schema_create(store);
    if (application != APPLICATION_ID)
        return ERR_STORE;
    if (version >= 1 && version < STORE_SCHEMA_VERSION)
        return schema_migrate(store, version);
    return version == STORE_SCHEMA_VERSION ? OK : ERR_VERSION;
}

enum err store_open(struct store **out, const char *path, const char *vfs)
{
    struct store *store = calloc(1, sizeof(*store));
    if (!store)
        return ERR_MEMORY;
    enum err err = ERR_STORE;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    if (sqlite3_open_v2(path, &store->sql.database, flags, vfs) != SQLITE_OK)
        goto out;
    sqlite3_busy_timeout(store->sql.database, BUSY_MS);
    sqlite3_db_config(store->sql.database, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(store->sql.database, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    err = run(store, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
                     "PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0;");
    if (!err)
        err = schema_check(store);
    if (!err)
        err = sql_prepare(&store->sql, statement_texts, STATEMENTS);
out:
    if (err) {
        store_close(store);
        return err;
    }
    *out = store;
    return OK;
}

struct sqlite3 *store_database(const struct store *store)
{
    return store->sql.database;
}

void store_close(struct store *store)
{
    if (!store)
        return;
    sql_close(&store->sql);
    sqlite3_close(store->sql.database);
    free(store);
}

static void capture_read(sqlite3_stmt *row, struct store_capture *capture)
{
    memset(capture, 0, sizeof(*capture));
    capture->id = (uint64_t)sqlite3_column_int64(row, 0);
    capture->call_id = (uint64_t)sqlite3_column_int64(row, 1);
    sql_column_text(row, 2, capture->reference, sizeof(capture->reference));
    sql_column_text(row, 3, capture->callee, sizeof(capture->callee));
    capture->amount_minor = sqlite3_column_int64(row, 4);
    sql_column_text(row, 5, capture->currency, sizeof(capture->currency));
    sql_column_text(row, 6, capture->opened_by, sizeof(capture->opened_by));
    capture->created_at.ns = sqlite3_column_int64(row, 7);
    capture->updated_at.ns = sqlite3_column_int64(row, 8);
    capture->state = (uint8_t)sqlite3_column_int(row, 9);
    capture->problem = (uint8_t)sqlite3_column_int(row, 10);
    capture->gateway_reason = (uint8_t)sqlite3_column_int(row, 11);
    capture->brand = (uint8_t)sqlite3_column_int(row, 12);
    capture->attempt = (uint8_t)sqlite3_column_int(row, 13);
    sql_column_text(row, 14, capture->token, sizeof(capture->token));
    sql_column_text(row, 15, capture->order_ref, sizeof(capture->order_ref));
    capture->kind = (uint8_t)sqlite3_column_int(row, 16);
    capture->gateway_index = (uint8_t)sqlite3_column_int(row, 17);
}

enum err store_capture_insert(struct store *store, const struct store_capture *capture,
                              const char *idempotency_key, const uint8_t *request_hash)
{
    sqlite3_stmt *insert = sql_prepared(&store->sql, CAPTURE_INSERT);
    sql_bind_id(insert, 1, capture->id);
    sql_bind_id(insert, 2, capture->call_id);
    sql_bind_text(insert, 3, capture->reference);
    sql_bind_text(insert, 4, capture->callee);
    sqlite3_bind_int64(insert, 5, capture->amount_minor);
    sql_bind_text(insert, 6, capture->currency);
    sql_bind_text(insert, 7, capture->opened_by);
    sqlite3_bind_int64(insert, 8, capture->created_at.ns);
    sqlite3_bind_int64(insert, 9, capture->updated_at.ns);
    sqlite3_bind_int(insert, 10, capture->state);
    sqlite3_bind_int(insert, 11, capture->problem);
    sqlite3_bind_int(insert, 12, capture->gateway_reason);
    sqlite3_bind_int(insert, 13, capture->brand);
    sqlite3_bind_int(insert, 14, capture->attempt);
    sql_bind_text(insert, 15, capture->token);
    sql_bind_text(insert, 16, capture->order_ref);
    sqlite3_bind_int(insert, 17, capture->kind);
    sqlite3_bind_int(insert, 18, capture->gateway_index);
    if (idempotency_key[0]) {
        sql_bind_text(insert, 19, idempotency_key);
        sqlite3_bind_blob(insert, 20, request_hash, STORE_REQUEST_HASH_BYTES, SQLITE_STATIC);
    }
    return sql_execute(&store->sql, insert, NULL);
}

/* The rows of a SELECT over CAPTURE_COLUMNS. */
static enum err captures_read(struct store *store, sqlite3_stmt *select, struct store_capture *captures,
                              size_t capacity, size_t *count)
{
    int code = SQLITE_DONE;
    *count = 0;
    while (*count < capacity && (code = sql_step(&store->sql, select)) == SQLITE_ROW)
        capture_read(select, &captures[(*count)++]);
    sqlite3_reset(select);
    return code == SQLITE_DONE || code == SQLITE_ROW ? OK : ERR_STORE;
}

enum err store_capture_find(struct store *store, uint64_t id, struct store_capture *capture)
{
    sqlite3_stmt *select = sql_prepared(&store->sql, CAPTURE_FIND);
    size_t count;
    sql_bind_id(select, 1, id);
    enum err err = captures_read(store, select, capture, 1, &count);
    return !err && count == 0 ? ERR_NOT_FOUND : err;
}

enum err store_capture_find_key(struct store *store, const char *opened_by, const char *idempotency_key,
                                struct store_capture *capture, uint8_t *request_hash)
{
    sqlite3_stmt *select = sql_prepared(&store->sql, CAPTURE_FIND_KEY);
    sql_bind_text(select, 1, opened_by);
    sql_bind_text(select, 2, idempotency_key);
    enum err err = ERR_STORE;
    int code = sql_step(&store->sql, select);
    if (code == SQLITE_DONE)
        err = ERR_NOT_FOUND;
    if (code == SQLITE_ROW && sqlite3_column_bytes(select, 18) == STORE_REQUEST_HASH_BYTES) {
        capture_read(select, capture);
        memcpy(request_hash, sqlite3_column_blob(select, 18), STORE_REQUEST_HASH_BYTES);
        err = OK;
    }
    sqlite3_reset(select);
    return err;
}

struct place {
    int64_t number; /* in the lists' order */
    bool is_ended;
};

static enum err capture_place(struct store *store, uint64_t id, struct place *place)
{
    sqlite3_stmt *select = sql_prepared(&store->sql, CAPTURE_PLACE);
    sql_bind_id(select, 1, id);
    int code = sql_step(&store->sql, select);
    if (code == SQLITE_ROW) {
        place->number = sqlite3_column_int64(select, 0);
        place->is_ended = sqlite3_column_int(select, 1) != 0;
    }
    sqlite3_reset(select);
    return code == SQLITE_ROW ? OK : code == SQLITE_DONE ? ERR_NOT_FOUND : ERR_STORE;
}

enum err store_capture_list(struct store *store, uint64_t before, struct store_capture *captures,
                            size_t capacity, size_t *count)
{
    struct place place = {.number = INT64_MAX};
    *count = 0;
    if (before) {
        enum err err = capture_place(store, before, &place);
        if (err)
            return err;
    }
    sqlite3_stmt *select = sql_prepared(&store->sql, CAPTURE_LIST);
    sqlite3_bind_int64(select, 1, place.number);
    sqlite3_bind_int64(select, 2, (sqlite3_int64)capacity);
    return captures_read(store, select, captures, capacity, count);
}

enum err store_capture_list_open(struct store *store, struct store_capture *captures, size_t capacity,
                                 size_t *count)
{
    sqlite3_stmt *select = sql_prepared(&store->sql, CAPTURE_LIST_OPEN);
    sqlite3_bind_int64(select, 1, (sqlite3_int64)capacity);
    return captures_read(store, select, captures, capacity, count);
}

enum err store_capture_end(struct store *store, const struct store_capture *capture)
{
    int changed = 0;
    sqlite3_stmt *update = sql_prepared(&store->sql, CAPTURE_END);
    sql_bind_id(update, 1, capture->id);
    sqlite3_bind_int(update, 2, capture->state);
    sqlite3_bind_int(update, 3, capture->problem);
    sqlite3_bind_int(update, 4, capture->gateway_reason);
    sqlite3_bind_int(update, 5, capture->attempt);
    sqlite3_bind_int64(update, 6, capture->updated_at.ns);
    sqlite3_bind_int(update, 7, capture->brand);
    enum err err = sql_execute(&store->sql, update, &changed);
    return !err && changed == 0 ? ERR_ORDER : err;
}

static enum err record_intent(struct store *store, const struct capture_store_msg *message,
                              const struct place *place, struct wall_time at)
{
    if (place->is_ended)
        return ERR_ORDER; /* no money may move any more */
    sqlite3_stmt *insert = sql_prepared(&store->sql, INTENT_INSERT);
    sql_bind_id(insert, 1, message->header.subject);
    sqlite3_bind_int64(insert, 2, message->attempt);
    sqlite3_bind_int64(insert, 3, message->amount_minor);
    sql_bind_text(insert, 4, message->currency);
    sqlite3_bind_int64(insert, 5, at.ns);
    return sql_execute(&store->sql, insert, NULL);
}

static enum err record_order(struct store *store, const struct capture_store_msg *message,
                             const struct place *place)
{
    int changed = 0;
    if (place->is_ended)
        return ERR_ORDER;
    sqlite3_stmt *update = sql_prepared(&store->sql, INTENT_ORDER);
    sql_bind_id(update, 1, message->header.subject);
    sqlite3_bind_int64(update, 2, message->attempt);
    sql_bind_text(update, 3, message->order_ref);
    sql_bind_text(update, 4, message->token);
    sqlite3_bind_int(update, 5, message->gateway_index);
    enum err err = sql_execute(&store->sql, update, &changed);
    return !err && changed == 0 ? ERR_ORDER : err;
}

bool capture_state_is_end(unsigned state)
{
    return state == CAPTURE_APPROVED || state == CAPTURE_DECLINED || state == CAPTURE_CANCELLED ||
           state == CAPTURE_FAILED;
}

static enum err set_capture(struct store *store, const struct capture_store_msg *message, struct wall_time at)
{
    sqlite3_stmt *update = sql_prepared(&store->sql, CAPTURE_SET);
    sql_bind_id(update, 1, message->header.subject);
    sqlite3_bind_int(update, 2, message->state);
    sqlite3_bind_int(update, 3, message->problem);
    sqlite3_bind_int(update, 4, message->gateway_reason);
    sqlite3_bind_int64(update, 5, message->attempt);
    sqlite3_bind_int64(update, 6, at.ns);
    sqlite3_bind_int(update, 7, message->brand);
    sqlite3_bind_int(update, 8, capture_state_is_end(message->state));
    sql_bind_text(update, 9, message->token);
    sql_bind_text(update, 10, message->order_ref);
    sqlite3_bind_int(update, 11, message->gateway_index);
    return sql_execute(&store->sql, update, NULL);
}

static void bind_result(sqlite3_stmt *statement, const struct capture_store_msg *message)
{
    sql_bind_id(statement, 1, message->header.subject);
    sqlite3_bind_int64(statement, 2, message->attempt);
    sqlite3_bind_int(statement, 3, message->state);
    sqlite3_bind_int(statement, 4, message->problem);
    sqlite3_bind_int(statement, 5, message->gateway_reason);
    sqlite3_bind_int(statement, 6, message->brand);
    sql_bind_text(statement, 7, message->token);
    sql_bind_text(statement, 8, message->order_ref);
}

/* A stored end is final: the same result again is kept already, another one is a contradiction. */
static enum err result_is_the_same(struct store *store, const struct capture_store_msg *message)
{
    sqlite3_stmt *select = sql_prepared(&store->sql, RESULT_FIND);
    bind_result(select, message);
    int code = sql_step(&store->sql, select);
    sqlite3_reset(select);
    return code == SQLITE_ROW ? OK : code == SQLITE_DONE ? ERR_ORDER : ERR_STORE;
}

static enum err record_result(struct store *store, const struct capture_store_msg *message,
                              const struct place *place, struct wall_time at)
{
    if (place->is_ended)
        return result_is_the_same(store, message);
    sqlite3_stmt *insert = sql_prepared(&store->sql, RESULT_INSERT);
    bind_result(insert, message);
    sqlite3_bind_int64(insert, 9, at.ns);
    sqlite3_bind_int(insert, 10, CAPTURE_UNKNOWN);
    enum err err = sql_execute(&store->sql, insert, NULL);
    if (err)
        return err;
    if (message->state != CAPTURE_UNKNOWN) {
        sqlite3_stmt *close_intents = sql_prepared(&store->sql, INTENT_CLOSE);
        sql_bind_id(close_intents, 1, message->header.subject);
        sqlite3_bind_int64(close_intents, 2, message->attempt);
        err = sql_execute(&store->sql, close_intents, NULL);
        if (err)
            return err;
    }
    return set_capture(store, message, at);
}

static enum err insert_unknown(struct store *store, const struct capture_store_msg *message,
                               struct wall_time at)
{
    struct store_capture capture = {.id = message->header.subject,
                                    .call_id = message->call_id,
                                    .kind = message->capture_kind,
                                    .gateway_index = message->gateway_index,
                                    .amount_minor = message->amount_minor,
                                    .created_at = at,
                                    .updated_at = at,
                                    .state = CAPTURE_ARMING};
    memcpy(capture.currency, message->currency, sizeof(capture.currency));
    return store_capture_insert(store, &capture, "", NULL);
}

static enum err record(struct store *store, const struct capture_store_msg *message, struct wall_time at)
{
    struct place place = {0};
    enum err err = capture_place(store, message->header.subject, &place);
    if (err == ERR_NOT_FOUND && message->kind == STORE_RESULT)
        err = insert_unknown(store, message, at);
    if (err)
        return err;
    switch ((enum capture_store_kind)message->kind) {
    case STORE_INTENT:
        return record_intent(store, message, &place, at);
    case STORE_ORDER:
        return record_order(store, message, &place);
    case STORE_RESULT:
        return record_result(store, message, &place, at);
    }
    return ERR_RANGE;
}

enum err store_record(struct store *store, const struct capture_store_msg *message, struct wall_time at)
{
    enum err err = sql_execute(&store->sql, sql_prepared(&store->sql, BEGIN), NULL);
    if (err)
        return err;
    err = record(store, message, at);
    if (!err)
        err = sql_execute(&store->sql, sql_prepared(&store->sql, COMMIT), NULL);
    if (err && !sqlite3_get_autocommit(store->sql.database)) {
        enum err undone = sql_execute(&store->sql, sql_prepared(&store->sql, ROLLBACK), NULL);
        if (undone)
            return undone;
    }
    return err;
}

static enum err intents_read(struct store *store, uint64_t capture_id, struct store_intent *intents,
                             size_t capacity, size_t *count)
{
    sqlite3_stmt *select = sql_prepared(&store->sql, INTENT_LIST_OPEN);
    sqlite3_bind_int64(select, 1, (sqlite3_int64)capacity);
    sql_bind_id(select, 2, capture_id);
    int code = SQLITE_DONE;
    *count = 0;
    while (*count < capacity && (code = sql_step(&store->sql, select)) == SQLITE_ROW) {
        struct store_intent *intent = &intents[(*count)++];
        memset(intent, 0, sizeof(*intent));
        intent->capture_id = (uint64_t)sqlite3_column_int64(select, 0);
        intent->attempt = (uint32_t)sqlite3_column_int64(select, 1);
        intent->amount_minor = sqlite3_column_int64(select, 2);
        sql_column_text(select, 3, intent->currency, sizeof(intent->currency));
        sql_column_text(select, 4, intent->order_ref, sizeof(intent->order_ref));
        sql_column_text(select, 5, intent->token, sizeof(intent->token));
        intent->gateway_index = (uint8_t)sqlite3_column_int(select, 6);
        intent->kind = (uint8_t)sqlite3_column_int(select, 7);
    }
    sqlite3_reset(select);
    return code == SQLITE_DONE || code == SQLITE_ROW ? OK : ERR_STORE;
}

enum err store_intents_open(struct store *store, struct store_intent *intents, size_t capacity, size_t *count)
{
    return intents_read(store, 0, intents, capacity, count);
}

enum err store_intent_open_of(struct store *store, uint64_t capture_id, struct store_intent *intent)
{
    size_t count = 0;
    enum err err = capture_id ? intents_read(store, capture_id, intent, 1, &count) : OK;
    return !err && count == 0 ? ERR_NOT_FOUND : err;
}
