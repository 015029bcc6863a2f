#include "bench/phones/phone_orders.h"

#include "base/secret.h"
#include "bench/leak/key_labels.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static void press_all(const char *keys, const struct phone_order_handlers *handlers)
{
    for (; *keys != '\0'; keys++)
        if (*keys != ' ' && key_label_number(*keys) < 0) {
            handlers->unknown(handlers->owner);
            return;
        } else if (*keys != ' ') {
            handlers->press(handlers->owner, (uint8_t)key_label_number(*keys));
        }
}

static void take_line(struct phone_orders *orders, const struct phone_order_handlers *handlers)
{
    char *line = orders->line;
    line[orders->length] = '\0';
    if (strncmp(line, "key ", 4) == 0)
        press_all(line + 4, handlers);
    else if (strncmp(line, "say ", 4) == 0)
        handlers->say(handlers->owner, line + 4);
    else if (strcmp(line, "hangup") == 0)
        handlers->hang_up(handlers->owner);
    else if (orders->length > 0)
        handlers->unknown(handlers->owner);
    wipe(line, sizeof orders->line);
    orders->length = 0;
}

static void take_typed(struct phone_orders *orders, char typed, const struct phone_order_handlers *handlers)
{
    if (typed == 'q' || typed == 3 || typed == 4) {
        orders->is_over = true;
        handlers->hang_up(handlers->owner);
    } else if (key_label_number(typed) >= 0) {
        handlers->press(handlers->owner, (uint8_t)key_label_number(typed));
    }
}

void phone_orders_take(struct phone_orders *orders, const char *bytes, size_t count,
                       const struct phone_order_handlers *handlers)
{
    if (count == 0 && !orders->is_over) {
        orders->is_over = true;
        handlers->hang_up(handlers->owner);
    }
    for (size_t i = 0; i < count && !orders->is_over; i++) {
        if (orders->is_keypad) {
            take_typed(orders, bytes[i], handlers);
        } else if (bytes[i] == '\n') {
            take_line(orders, handlers);
        } else if (orders->length + 1 < sizeof orders->line) {
            orders->line[orders->length++] = bytes[i];
        } else { /* too long to be an order */
            orders->length = 0;
            handlers->unknown(handlers->owner);
        }
    }
}

void phone_orders_read(struct phone_orders *orders, int fd, const struct phone_order_handlers *handlers)
{
    char bytes[512];
    ssize_t count = read(fd, bytes, sizeof bytes);
    if (count >= 0)
        phone_orders_take(orders, bytes, (size_t)count, handlers);
    else if (errno != EAGAIN && errno != EINTR)
        phone_orders_take(orders, bytes, 0, handlers);
    wipe(bytes, sizeof bytes);
}
