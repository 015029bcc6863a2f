#include "capture/desk/store/store_hooks.h"

#include <string.h>

enum statement {
    SELECT_ONE,
    SELECT_WAITING,
    SELECT_STATE,
    INSERT_HOOK,
    UPDATE_HOOK,
    CONTACT_SET,
    CONTACT_FIND,
    STATEMENTS
};

static const char *const schema =
    "CREATE TABLE IF NOT EXISTS hooks ("
    " number INTEGER PRIMARY KEY," /* the order of what happened */
    " id INTEGER NOT NULL UNIQUE,"
    " target TEXT NOT NULL,"
    " target_index INTEGER NOT NULL,"
    " kind INTEGER NOT NULL,"
    " status INTEGER NOT NULL,"
    " capture_id INTEGER NOT NULL,"
    " call_id INTEGER NOT NULL,"
    " amount_minor INTEGER NOT NULL,"
    " currency TEXT NOT NULL,"
    " occurred_s INTEGER NOT NULL,"
    " conversation TEXT NOT NULL,"
    " participant TEXT NOT NULL,"
    " payment_ref TEXT NOT NULL,"
    " token TEXT NOT NULL,"
    " reference TEXT NOT NULL,"
    " recipient TEXT NOT NULL,"
    " state INTEGER NOT NULL,"
    " tries INTEGER NOT NULL,"
    " last_status INTEGER NOT NULL,"
    " created_ns INTEGER NOT NULL,"
    " updated_ns INTEGER NOT NULL,"
    " next_ns INTEGER NOT NULL,"
    " what TEXT NOT NULL,"
    " UNIQUE (target, what)) STRICT;"
    "CREATE INDEX IF NOT EXISTS hooks_state ON hooks (state) WHERE state IN (0, 2);"
    "CREATE TABLE IF NOT EXISTS contacts ("
    " capture_id INTEGER PRIMARY KEY,"
    " conversation TEXT NOT NULL,"
    " participant TEXT NOT NULL,"
    " sms TEXT NOT NULL,"
    " email TEXT NOT NULL) STRICT;";

#define COLUMNS                                                                                              \
    "id, target, target_index, kind, status, capture_id, call_id, amount_minor, currency, occurred_s, "      \
    "conversation, participant, payment_ref, token, reference, recipient, state, tries, last_status, "       \
    "created_ns, updated_ns, next_ns"

static const char *const texts[STATEMENTS] = {
    [SELECT_ONE] = "SELECT " COLUMNS " FROM hooks WHERE id = ?1",
    [SELECT_WAITING] = "SELECT " COLUMNS " FROM hooks WHERE state = 0 ORDER BY number LIMIT ?1",
    [SELECT_STATE] = "SELECT " COLUMNS " FROM hooks WHERE state = ?2 ORDER BY number DESC LIMIT ?1",
    [INSERT_HOOK] = "INSERT INTO hooks (" COLUMNS ", what) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,"
                    "?13,?14,?15,?16,?17,?18,?19,?20,?21,?22,?23) ON CONFLICT (target, what) DO NOTHING",
    [UPDATE_HOOK] =
        ("UPDATE hooks SET state = ?2, tries = ?3, last_status = ?4, updated_ns = ?5, next_ns = ?6"
         " WHERE id = ?1"), /* clang takes two literals among many for a forgotten comma */
    [CONTACT_SET] = "INSERT INTO contacts VALUES (?1,?2,?3,?4,?5) ON CONFLICT (capture_id) DO NOTHING",
    [CONTACT_FIND] = "SELECT conversation, participant, sms, email FROM contacts WHERE capture_id = ?1",
};

enum err store_hooks_open(struct store_hooks *hooks, struct store *store)
{
    return sql_open(&hooks->sql, store_database(store), schema, texts, STATEMENTS);
}

void store_hooks_close(struct store_hooks *hooks)
{
    sql_close(&hooks->sql);
}

enum err store_hooks_add(struct store_hooks *hooks, const struct store_hook *hook, const char *key,
                         bool *is_new)
{
    const struct hook_send_msg *send = &hook->send;
    sqlite3_stmt *insert = sql_prepared(&hooks->sql, INSERT_HOOK);
    int changed = 0;
    sql_bind_id(insert, 1, hook->id);
    sql_bind_text(insert, 2, hook->target);
    sqlite3_bind_int(insert, 3, send->target);
    sqlite3_bind_int(insert, 4, send->kind);
    sqlite3_bind_int(insert, 5, send->status);
    sql_bind_id(insert, 6, send->capture_id);
    sql_bind_id(insert, 7, send->call_id);
    sqlite3_bind_int64(insert, 8, send->amount_minor);
    sql_bind_text(insert, 9, send->currency);
    sqlite3_bind_int64(insert, 10, send->occurred_at_s);
    sql_bind_text(insert, 11, send->conversation);
    sql_bind_text(insert, 12, send->participant);
    sql_bind_text(insert, 13, send->payment_ref);
    sql_bind_text(insert, 14, send->token);
    sql_bind_text(insert, 15, send->reference);
    sql_bind_text(insert, 16, send->recipient);
    sqlite3_bind_int(insert, 17, hook->state);
    sqlite3_bind_int64(insert, 18, hook->tries);
    sqlite3_bind_int64(insert, 19, hook->last_status);
    sqlite3_bind_int64(insert, 20, hook->created_at.ns);
    sqlite3_bind_int64(insert, 21, hook->updated_at.ns);
    sqlite3_bind_int64(insert, 22, hook->next_at.ns);
    sql_bind_text(insert, 23, key);
    enum err err = sql_execute(&hooks->sql, insert, &changed);
    *is_new = !err && changed > 0;
    return err;
}

static void hook_read(sqlite3_stmt *row, struct store_hook *hook)
{
    struct hook_send_msg *send = &hook->send;
    memset(hook, 0, sizeof(*hook));
    hook->id = sql_column_id(row, 0);
    MSG_INIT(send, HOOK_SEND, hook->id);
    sql_column_text(row, 1, hook->target, sizeof(hook->target));
    send->target = (uint8_t)sqlite3_column_int(row, 2);
    send->kind = (uint8_t)sqlite3_column_int(row, 3);
    send->status = (uint8_t)sqlite3_column_int(row, 4);
    send->capture_id = sql_column_id(row, 5);
    send->call_id = sql_column_id(row, 6);
    send->amount_minor = sqlite3_column_int64(row, 7);
    sql_column_text(row, 8, send->currency, sizeof(send->currency));
    send->occurred_at_s = sqlite3_column_int64(row, 9);
    sql_column_text(row, 10, send->conversation, sizeof(send->conversation));
    sql_column_text(row, 11, send->participant, sizeof(send->participant));
    sql_column_text(row, 12, send->payment_ref, sizeof(send->payment_ref));
    sql_column_text(row, 13, send->token, sizeof(send->token));
    sql_column_text(row, 14, send->reference, sizeof(send->reference));
    sql_column_text(row, 15, send->recipient, sizeof(send->recipient));
    hook->state = (uint8_t)sqlite3_column_int(row, 16);
    hook->tries = (uint32_t)sqlite3_column_int64(row, 17);
    hook->last_status = (uint32_t)sqlite3_column_int64(row, 18);
    hook->created_at.ns = sqlite3_column_int64(row, 19);
    hook->updated_at.ns = sqlite3_column_int64(row, 20);
    hook->next_at.ns = sqlite3_column_int64(row, 21);
}

static enum err hooks_read(struct store_hooks *hooks, sqlite3_stmt *select, struct store_hook *list,
                           size_t capacity, size_t *count)
{
    int code = SQLITE_DONE;
    *count = 0;
    while (*count < capacity && (code = sql_step(&hooks->sql, select)) == SQLITE_ROW)
        hook_read(select, &list[(*count)++]);
    sqlite3_reset(select);
    return code == SQLITE_DONE || code == SQLITE_ROW ? OK : ERR_STORE;
}

enum err store_hooks_find(struct store_hooks *hooks, uint64_t id, struct store_hook *hook)
{
    sqlite3_stmt *select = sql_prepared(&hooks->sql, SELECT_ONE);
    size_t count;
    sql_bind_id(select, 1, id);
    enum err err = hooks_read(hooks, select, hook, 1, &count);
    return !err && count == 0 ? ERR_NOT_FOUND : err;
}

enum err store_hooks_update(struct store_hooks *hooks, const struct store_hook *hook)
{
    int changed = 0;
    sqlite3_stmt *update = sql_prepared(&hooks->sql, UPDATE_HOOK);
    sql_bind_id(update, 1, hook->id);
    sqlite3_bind_int(update, 2, hook->state);
    sqlite3_bind_int64(update, 3, hook->tries);
    sqlite3_bind_int64(update, 4, hook->last_status);
    sqlite3_bind_int64(update, 5, hook->updated_at.ns);
    sqlite3_bind_int64(update, 6, hook->next_at.ns);
    enum err err = sql_execute(&hooks->sql, update, &changed);
    return !err && changed == 0 ? ERR_NOT_FOUND : err;
}

enum err store_hooks_list(struct store_hooks *hooks, enum hook_state state, struct store_hook *list,
                          size_t capacity, size_t *count)
{
    sqlite3_stmt *select =
        sql_prepared(&hooks->sql, state == HOOK_STATE_WAITING ? SELECT_WAITING : SELECT_STATE);
    sqlite3_bind_int64(select, 1, (sqlite3_int64)capacity);
    if (state != HOOK_STATE_WAITING)
        sqlite3_bind_int(select, 2, state);
    return hooks_read(hooks, select, list, capacity, count);
}

enum err store_contact_set(struct store_hooks *hooks, uint64_t capture_id,
                           const struct store_contact *contact)
{
    sqlite3_stmt *insert = sql_prepared(&hooks->sql, CONTACT_SET);
    sql_bind_id(insert, 1, capture_id);
    sql_bind_text(insert, 2, contact->conversation);
    sql_bind_text(insert, 3, contact->participant);
    sql_bind_text(insert, 4, contact->sms);
    sql_bind_text(insert, 5, contact->email);
    return sql_execute(&hooks->sql, insert, NULL);
}

enum err store_contact_find(struct store_hooks *hooks, uint64_t capture_id, struct store_contact *contact)
{
    sqlite3_stmt *select = sql_prepared(&hooks->sql, CONTACT_FIND);
    memset(contact, 0, sizeof(*contact));
    sql_bind_id(select, 1, capture_id);
    int code = sql_step(&hooks->sql, select);
    if (code == SQLITE_ROW) {
        sql_column_text(select, 0, contact->conversation, sizeof(contact->conversation));
        sql_column_text(select, 1, contact->participant, sizeof(contact->participant));
        sql_column_text(select, 2, contact->sms, sizeof(contact->sms));
        sql_column_text(select, 3, contact->email, sizeof(contact->email));
    }
    sqlite3_reset(select);
    return code == SQLITE_ROW || code == SQLITE_DONE ? OK : ERR_STORE;
}
