#include "capture/desk/store/store_orders.h"

#include <string.h>

enum statement {
    ORDER_ADD,
    ORDER_FIND,
    ORDER_FIND_KEY,
    ORDER_END,
    ORDER_PLACE,
    ORDER_LIST,
    ORDER_LIST_OPEN,
    ORDER_SUM,
    LINK_PAID,
    LINK_PAYMENT,
    STATEMENTS
};

static const char *const schema =
    "CREATE TABLE IF NOT EXISTS orders ("
    " number INTEGER PRIMARY KEY,"
    " id INTEGER NOT NULL UNIQUE,"
    " kind INTEGER NOT NULL,"
    " capture_id INTEGER NOT NULL,"
    " call_id INTEGER NOT NULL,"
    " amount_minor INTEGER NOT NULL,"
    " currency TEXT NOT NULL,"
    " gateway_index INTEGER NOT NULL,"
    " interval_unit INTEGER NOT NULL,"
    " interval_count INTEGER NOT NULL,"
    " token TEXT NOT NULL,"
    " order_ref TEXT NOT NULL,"
    " customer TEXT NOT NULL,"
    " plan TEXT NOT NULL,"
    " reference TEXT NOT NULL,"
    " asked_by TEXT NOT NULL,"
    " created_ns INTEGER NOT NULL,"
    " updated_ns INTEGER NOT NULL,"
    " state INTEGER NOT NULL,"
    " reason INTEGER NOT NULL,"
    " result_ref TEXT NOT NULL,"
    " url TEXT NOT NULL,"
    " idempotency_key TEXT NOT NULL,"
    " request_hash BLOB NOT NULL,"
    " UNIQUE (asked_by, idempotency_key)) STRICT;"
    "CREATE INDEX IF NOT EXISTS orders_open ON orders (state) WHERE state = 0;"
    "CREATE INDEX IF NOT EXISTS orders_capture ON orders (capture_id) WHERE capture_id <> 0;"
    "CREATE TABLE IF NOT EXISTS link_payments ("
    " order_id INTEGER PRIMARY KEY,"
    " payment_ref TEXT NOT NULL,"
    " amount_minor INTEGER NOT NULL,"
    " currency TEXT NOT NULL,"
    " at_ns INTEGER NOT NULL) STRICT;";

#define COLUMNS                                                                                              \
    "id, kind, capture_id, call_id, amount_minor, currency, gateway_index, interval_unit, interval_count, "  \
    "token, order_ref, customer, plan, reference, asked_by, created_ns, updated_ns, state, reason, "         \
    "result_ref, url"
#define HASH_COLUMN 21

static const char *const texts[STATEMENTS] = {
    [ORDER_ADD] = "INSERT INTO orders (" COLUMNS ", idempotency_key, request_hash) VALUES"
                  " (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20,?21,?22,?23)",
    [ORDER_FIND] = "SELECT " COLUMNS " FROM orders WHERE id = ?1",
    [ORDER_FIND_KEY] = "SELECT " COLUMNS ", request_hash FROM orders"
                       " WHERE asked_by = ?1 AND idempotency_key = ?2",
    [ORDER_END] = "UPDATE orders SET state = ?2, reason = ?3, result_ref = ?4, url = ?5, updated_ns = ?6"
                  " WHERE id = ?1 AND state = 0",
    [ORDER_PLACE] = "SELECT number FROM orders WHERE id = ?1",
    [ORDER_LIST] = "SELECT " COLUMNS " FROM orders WHERE number < ?1 AND (?3 = 0 OR capture_id = ?3)"
                   " ORDER BY number DESC LIMIT ?2",
    [ORDER_LIST_OPEN] = "SELECT " COLUMNS " FROM orders WHERE state = 0 ORDER BY number LIMIT ?1",
    [ORDER_SUM] = "SELECT count(*), coalesce(sum(amount_minor), 0) FROM orders"
                  " WHERE capture_id = ?1 AND kind = ?2 AND state IN (0, 1, 4)",
    [LINK_PAID] = "INSERT INTO link_payments VALUES (?1,?2,?3,?4,?5) ON CONFLICT (order_id) DO NOTHING",
    [LINK_PAYMENT] =
        "SELECT payment_ref, amount_minor, currency, at_ns FROM link_payments WHERE order_id = ?1",
};

enum err store_orders_open(struct store_orders *orders, struct store *store)
{
    return sql_open(&orders->sql, store_database(store), schema, texts, STATEMENTS);
}

void store_orders_close(struct store_orders *orders)
{
    sql_close(&orders->sql);
}

static void bind_order(sqlite3_stmt *insert, const struct store_order *order)
{
    const struct order_take_msg *take = &order->take;
    sql_bind_id(insert, 1, order->id);
    sqlite3_bind_int(insert, 2, take->kind);
    sql_bind_id(insert, 3, order->capture_id);
    sql_bind_id(insert, 4, take->call_id);
    sqlite3_bind_int64(insert, 5, take->amount_minor);
    sql_bind_text(insert, 6, take->currency);
    sqlite3_bind_int(insert, 7, take->gateway_index);
    sqlite3_bind_int(insert, 8, take->interval_unit);
    sqlite3_bind_int(insert, 9, take->interval_count);
    sql_bind_text(insert, 10, take->token);
    sql_bind_text(insert, 11, take->order_ref);
    sql_bind_text(insert, 12, take->customer);
    sql_bind_text(insert, 13, take->plan);
    sql_bind_text(insert, 14, take->reference);
    sql_bind_text(insert, 15, order->asked_by);
    sqlite3_bind_int64(insert, 16, order->created_at.ns);
    sqlite3_bind_int64(insert, 17, order->updated_at.ns);
    sqlite3_bind_int(insert, 18, order->state);
    sqlite3_bind_int(insert, 19, order->reason);
    sql_bind_text(insert, 20, order->result_ref);
    sql_bind_text(insert, 21, order->url);
}

enum err store_orders_add(struct store_orders *orders, const struct store_order *order,
                          const char *idempotency_key, const uint8_t *request_hash)
{
    sqlite3_stmt *insert = sql_prepared(&orders->sql, ORDER_ADD);
    bind_order(insert, order);
    sql_bind_text(insert, 22, idempotency_key);
    sqlite3_bind_blob(insert, 23, request_hash, STORE_REQUEST_HASH_BYTES, SQLITE_STATIC);
    return sql_execute(&orders->sql, insert, NULL);
}

static void order_read(sqlite3_stmt *row, struct store_order *order)
{
    struct order_take_msg *take = &order->take;
    memset(order, 0, sizeof(*order));
    order->id = sql_column_id(row, 0);
    MSG_INIT(take, ORDER_TAKE, order->id);
    take->kind = (uint8_t)sqlite3_column_int(row, 1);
    order->capture_id = sql_column_id(row, 2);
    take->call_id = sql_column_id(row, 3);
    take->amount_minor = sqlite3_column_int64(row, 4);
    sql_column_text(row, 5, take->currency, sizeof(take->currency));
    take->gateway_index = (uint8_t)sqlite3_column_int(row, 6);
    take->interval_unit = (uint8_t)sqlite3_column_int(row, 7);
    take->interval_count = (uint16_t)sqlite3_column_int(row, 8);
    sql_column_text(row, 9, take->token, sizeof(take->token));
    sql_column_text(row, 10, take->order_ref, sizeof(take->order_ref));
    sql_column_text(row, 11, take->customer, sizeof(take->customer));
    sql_column_text(row, 12, take->plan, sizeof(take->plan));
    sql_column_text(row, 13, take->reference, sizeof(take->reference));
    sql_column_text(row, 14, order->asked_by, sizeof(order->asked_by));
    order->created_at.ns = sqlite3_column_int64(row, 15);
    order->updated_at.ns = sqlite3_column_int64(row, 16);
    order->state = (uint8_t)sqlite3_column_int(row, 17);
    order->reason = (uint8_t)sqlite3_column_int(row, 18);
    sql_column_text(row, 19, order->result_ref, sizeof(order->result_ref));
    sql_column_text(row, 20, order->url, sizeof(order->url));
}

static enum err orders_read(struct store_orders *orders, sqlite3_stmt *select, struct store_order *list,
                            size_t capacity, size_t *count)
{
    int code = SQLITE_DONE;
    *count = 0;
    while (*count < capacity && (code = sql_step(&orders->sql, select)) == SQLITE_ROW)
        order_read(select, &list[(*count)++]);
    sqlite3_reset(select);
    return code == SQLITE_DONE || code == SQLITE_ROW ? OK : ERR_STORE;
}

enum err store_orders_find(struct store_orders *orders, uint64_t id, struct store_order *order)
{
    sqlite3_stmt *select = sql_prepared(&orders->sql, ORDER_FIND);
    size_t count;
    sql_bind_id(select, 1, id);
    enum err err = orders_read(orders, select, order, 1, &count);
    return !err && count == 0 ? ERR_NOT_FOUND : err;
}

enum err store_orders_find_key(struct store_orders *orders, const char *asked_by, const char *idempotency_key,
                               struct store_order *order, uint8_t *request_hash)
{
    sqlite3_stmt *select = sql_prepared(&orders->sql, ORDER_FIND_KEY);
    sql_bind_text(select, 1, asked_by);
    sql_bind_text(select, 2, idempotency_key);
    int code = sql_step(&orders->sql, select);
    enum err err = code == SQLITE_DONE ? ERR_NOT_FOUND : ERR_STORE;
    if (code == SQLITE_ROW && sqlite3_column_bytes(select, HASH_COLUMN) == STORE_REQUEST_HASH_BYTES) {
        order_read(select, order);
        memcpy(request_hash, sqlite3_column_blob(select, HASH_COLUMN), STORE_REQUEST_HASH_BYTES);
        err = OK;
    }
    sqlite3_reset(select);
    return err;
}

enum err store_orders_end(struct store_orders *orders, const struct store_order *order)
{
    int changed = 0;
    sqlite3_stmt *update = sql_prepared(&orders->sql, ORDER_END);
    sql_bind_id(update, 1, order->id);
    sqlite3_bind_int(update, 2, order->state);
    sqlite3_bind_int(update, 3, order->reason);
    sql_bind_text(update, 4, order->result_ref);
    sql_bind_text(update, 5, order->url);
    sqlite3_bind_int64(update, 6, order->updated_at.ns);
    enum err err = sql_execute(&orders->sql, update, &changed);
    return !err && changed == 0 ? ERR_ORDER : err;
}

enum err store_orders_list(struct store_orders *orders, uint64_t capture_id, uint64_t before,
                           struct store_order *list, size_t capacity, size_t *count)
{
    int64_t number = INT64_MAX;
    *count = 0;
    if (before) {
        sqlite3_stmt *place = sql_prepared(&orders->sql, ORDER_PLACE);
        sql_bind_id(place, 1, before);
        int code = sql_step(&orders->sql, place);
        number = sqlite3_column_int64(place, 0);
        sqlite3_reset(place);
        if (code != SQLITE_ROW)
            return code == SQLITE_DONE ? ERR_NOT_FOUND : ERR_STORE;
    }
    sqlite3_stmt *select = sql_prepared(&orders->sql, ORDER_LIST);
    sqlite3_bind_int64(select, 1, number);
    sqlite3_bind_int64(select, 2, (sqlite3_int64)capacity);
    sql_bind_id(select, 3, capture_id);
    return orders_read(orders, select, list, capacity, count);
}

enum err store_orders_list_open(struct store_orders *orders, struct store_order *list, size_t capacity,
                                size_t *count)
{
    sqlite3_stmt *select = sql_prepared(&orders->sql, ORDER_LIST_OPEN);
    sqlite3_bind_int64(select, 1, (sqlite3_int64)capacity);
    return orders_read(orders, select, list, capacity, count);
}

enum err store_orders_sum(struct store_orders *orders, uint64_t capture_id, enum order_kind kind,
                          size_t *count, int64_t *amount_minor)
{
    sqlite3_stmt *select = sql_prepared(&orders->sql, ORDER_SUM);
    sql_bind_id(select, 1, capture_id);
    sqlite3_bind_int(select, 2, kind);
    int code = sql_step(&orders->sql, select);
    *count = (size_t)sqlite3_column_int64(select, 0);
    *amount_minor = sqlite3_column_int64(select, 1);
    sqlite3_reset(select);
    return code == SQLITE_ROW ? OK : ERR_STORE;
}

enum err store_orders_paid(struct store_orders *orders, uint64_t id, const struct store_link_payment *payment)
{
    sqlite3_stmt *insert = sql_prepared(&orders->sql, LINK_PAID);
    sql_bind_id(insert, 1, id);
    sql_bind_text(insert, 2, payment->payment_ref);
    sqlite3_bind_int64(insert, 3, payment->amount_minor);
    sql_bind_text(insert, 4, payment->currency);
    sqlite3_bind_int64(insert, 5, payment->at.ns);
    return sql_execute(&orders->sql, insert, NULL);
}

enum err store_orders_payment(struct store_orders *orders, uint64_t id, struct store_link_payment *payment)
{
    sqlite3_stmt *select = sql_prepared(&orders->sql, LINK_PAYMENT);
    memset(payment, 0, sizeof(*payment));
    sql_bind_id(select, 1, id);
    int code = sql_step(&orders->sql, select);
    if (code == SQLITE_ROW) {
        sql_column_text(select, 0, payment->payment_ref, sizeof(payment->payment_ref));
        payment->amount_minor = sqlite3_column_int64(select, 1);
        sql_column_text(select, 2, payment->currency, sizeof(payment->currency));
        payment->at.ns = sqlite3_column_int64(select, 3);
    }
    sqlite3_reset(select);
    return code == SQLITE_ROW ? OK : code == SQLITE_DONE ? ERR_NOT_FOUND : ERR_STORE;
}
