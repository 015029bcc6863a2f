/* What a phone is told while it runs: lines on standard input, or single keys typed at a terminal. */
#ifndef TONEGATE_BENCH_PHONES_PHONE_ORDERS_H
#define TONEGATE_BENCH_PHONES_PHONE_ORDERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PHONE_ORDER_BYTES 8192

struct phone_order_handlers {
    void *owner;
    void (*press)(void *owner, uint8_t key);
    void (*say)(void *owner, const char *path);
    void (*hang_up)(void *owner); /* also at the end of input */
    void (*unknown)(void *owner); /* a line that is no order; nothing of it is repeated */
};

struct phone_orders {
    char line[PHONE_ORDER_BYTES];
    size_t length;
    bool is_keypad;
    bool is_over;
};

/* Takes in whatever fd has to offer. The bytes are wiped afterwards: they may be keys. */
void phone_orders_read(struct phone_orders *orders, int fd, const struct phone_order_handlers *handlers);

/* The same for bytes at hand; count 0 means the end. */
void phone_orders_take(struct phone_orders *orders, const char *bytes, size_t count,
                       const struct phone_order_handlers *handlers);

#endif
