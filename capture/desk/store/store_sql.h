/* SQLite as the store's tables use it: prepared statements by number, errors told once. Thread: one owner. */
#ifndef TONEGATE_CAPTURE_DESK_STORE_SQL_H
#define TONEGATE_CAPTURE_DESK_STORE_SQL_H

#include "base/err.h"
#include "base/log.h"

#include <sqlite3.h>
#include <stddef.h>
#include <stdint.h>

#define SQL_STATEMENTS_MAX 24

struct sql {
    sqlite3 *database; /* the store's */
    sqlite3_stmt *statements[SQL_STATEMENTS_MAX];
    size_t count;
    struct log_limit limit;
};

/* Several statements without rows. ERR_STORE. */
MUST_USE enum err sql_run(struct sql *sql, const char *text);
/* Prepares count statements, in their order. ERR_STORE: those before the one that failed are closed by sql_close(). */
MUST_USE enum err sql_prepare(struct sql *sql, const char *const *texts, size_t count);
/* For the tables beside the captures': runs schema (IF NOT EXISTS throughout: it is run at every start) and prepares. ERR_STORE. */
MUST_USE enum err sql_open(struct sql *sql, sqlite3 *database, const char *schema, const char *const *texts,
                           size_t count);
/* Before the store is closed. */
void sql_close(struct sql *sql);

/* Reset and without bindings. */
sqlite3_stmt *sql_prepared(struct sql *sql, unsigned which);
void sql_bind_id(sqlite3_stmt *statement, int place, uint64_t id);
void sql_bind_text(sqlite3_stmt *statement, int place, const char *text);
/* One step of a SELECT: SQLITE_ROW, SQLITE_DONE, or an error that was told. Reset it when done. */
int sql_step(struct sql *sql, sqlite3_stmt *statement);
/* A statement without rows. *changed may be NULL. ERR_EXISTS (a constraint), ERR_STORE. */
MUST_USE enum err sql_execute(struct sql *sql, sqlite3_stmt *statement, int *changed);
uint64_t sql_column_id(sqlite3_stmt *row, int place);
void sql_column_text(sqlite3_stmt *row, int place, char *out, size_t capacity);

#endif
