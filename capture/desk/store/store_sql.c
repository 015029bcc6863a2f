#include "capture/desk/store/store_sql.h"

#include "capture/desk/disk_wait.h"

#include <stdio.h>

static enum err told(struct sql *sql)
{
    uint64_t held;
    int code = sql->database ? sqlite3_extended_errcode(sql->database) : SQLITE_NOMEM;
    if (log_limit_pass(&sql->limit, &held))
        log_event(LOG_ERROR, "the database failed", LOG_CONSTANT("sqlite", sqlite3_errstr(code)),
                  LOG_COUNT("code", code), LOG_COUNT("held_back", held));
    return ERR_STORE;
}

enum err sql_run(struct sql *sql, const char *text)
{
    return sqlite3_exec(sql->database, text, NULL, NULL, NULL) == SQLITE_OK ? OK : told(sql);
}

enum err sql_prepare(struct sql *sql, const char *const *texts, size_t count)
{
    ASSERT(count <= SQL_STATEMENTS_MAX);
    for (; sql->count < count; sql->count++) {
        if (sqlite3_prepare_v3(sql->database, texts[sql->count], -1, SQLITE_PREPARE_PERSISTENT,
                               &sql->statements[sql->count], NULL) != SQLITE_OK)
            return told(sql);
    }
    return OK;
}

enum err sql_open(struct sql *sql, sqlite3 *database, const char *schema, const char *const *texts,
                  size_t count)
{
    *sql = (struct sql){.database = database};
    enum err err = sql_run(sql, schema);
    return err ? err : sql_prepare(sql, texts, count);
}

void sql_close(struct sql *sql)
{
    for (size_t i = 0; i < sql->count; i++)
        sqlite3_finalize(sql->statements[i]);
    sql->count = 0;
}

sqlite3_stmt *sql_prepared(struct sql *sql, unsigned which)
{
    ASSERT(which < sql->count);
    sqlite3_reset(sql->statements[which]);
    sqlite3_clear_bindings(sql->statements[which]);
    return sql->statements[which];
}

void sql_bind_id(sqlite3_stmt *statement, int place, uint64_t id)
{
    sqlite3_bind_int64(statement, place, (sqlite3_int64)id);
}

void sql_bind_text(sqlite3_stmt *statement, int place, const char *text)
{
    sqlite3_bind_text(statement, place, text, -1, SQLITE_STATIC);
}

int sql_step(struct sql *sql, sqlite3_stmt *statement)
{
    disk_wait_begin();
    int code = sqlite3_step(statement);
    disk_wait_end();
    if (code != SQLITE_ROW && code != SQLITE_DONE && (code & 0xff) != SQLITE_CONSTRAINT)
        (void)!told(sql);
    return code;
}

enum err sql_execute(struct sql *sql, sqlite3_stmt *statement, int *changed)
{
    int code = sql_step(sql, statement);
    if (changed)
        *changed = sqlite3_changes(sql->database);
    sqlite3_reset(statement);
    if (code == SQLITE_DONE)
        return OK;
    return (code & 0xff) == SQLITE_CONSTRAINT ? ERR_EXISTS : ERR_STORE;
}

uint64_t sql_column_id(sqlite3_stmt *row, int place)
{
    return (uint64_t)sqlite3_column_int64(row, place);
}

void sql_column_text(sqlite3_stmt *row, int place, char *out, size_t capacity)
{
    const unsigned char *text = sqlite3_column_text(row, place);
    snprintf(out, capacity, "%s", text ? (const char *)text : "");
}
