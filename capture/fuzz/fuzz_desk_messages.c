/* What a vault, proxy or gateway that was taken over can say: a list of [link, length, bytes] into the three ports of a
 * desk with an empty store. Whatever comes, the promises of the desk hold. */
#include "base/card_shape.h"
#include "capture/desk/desk_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KNOWN 1 /* the one capture of the store */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static struct config config = {.capture = {.attempts_max = 3}};
static struct event_base *base;
static char audit_path[64];

static void begin(void)
{
    if (base)
        return;
    base = event_base_new();
    log_open(STDERR_FILENO, LOG_FORMAT_TEXT, LOG_ERROR + 1, "fuzz");
    snprintf(audit_path, sizeof(audit_path), "/dev/shm/fuzz-desk-%d", getpid());
}

/* One order that is open: a refund of it. */
static void add_order(struct desk *desk)
{
    static const uint8_t hash[STORE_REQUEST_HASH_BYTES];
    struct store_order order = {.id = KNOWN, .capture_id = KNOWN, .take.kind = ORDER_KIND_REFUND};
    struct store_orders store;
    ASSERT(store_orders_open(&store, desk->store) == OK);
    ASSERT(store_orders_add(&store, &order, "key", hash) == OK);
    store_orders_close(&store);
    ASSERT(desk_orders_open(desk) == OK && desk_hooks_open(desk) == OK);
}

static struct desk *desk_begin(void)
{
    struct desk *desk = calloc(1, sizeof(*desk));
    ASSERT(desk);
    desk->setup.base = base;
    desk->config = &config;
    desk->vault.fd = desk->proxy.fd = desk->gateway.fd = -1;
    unlink(audit_path);
    ASSERT(desk_model_new(&desk->model, 8, 4) == OK);
    ASSERT(store_open(&desk->store, ":memory:", NULL) == OK);
    ASSERT(audit_open(&desk->audit, audit_path) == OK);
    desk_links_new(desk);
    desk_gateway_new(desk);
    /* One capture that is known, on call 7, so that the inputs need not guess. */
    struct store_capture record = {
        .id = KNOWN, .call_id = 7, .amount_minor = 1234, .currency = "EUR", .attempt = 1};
    ASSERT(store_capture_insert(desk->store, &record, "", NULL) == OK);
    add_order(desk);
    return desk;
}

/* What the store says of the known capture's end is final, and so is what is shown of it once it was shown. */
static void check_end(struct desk *desk, struct store_capture *end)
{
    struct store_capture stored;
    ASSERT(store_capture_find(desk->store, KNOWN, &stored) == OK);
    const struct desk_capture *shown = desk_model_capture(&desk->model, KNOWN);
    if (!capture_state_is_end(end->state)) {
        *end = stored;
        return;
    }
    ASSERT(stored.state == end->state && stored.problem == end->problem && stored.attempt == end->attempt);
    ASSERT(strcmp(stored.token, end->token) == 0 && strcmp(stored.order_ref, end->order_ref) == 0);
    ASSERT(!shown || !capture_state_is_end(shown->record.state) || shown->record.state == end->state);
}

/* An order's end is final, and what the gateway said of it is fit to be shown. */
static void check_order(struct desk *desk, uint8_t *ended)
{
    struct store_order order;
    ASSERT(store_orders_find(&desk->orders.store, KNOWN, &order) == OK && order.state < ORDER_STATE_COUNT);
    ASSERT(*ended == ORDER_STATE_OPEN || order.state == *ended);
    ASSERT(desk_order_is_open(desk, KNOWN) == (order.state == ORDER_STATE_OPEN));
    ASSERT(!card_shape_alone(order.result_ref) && !card_shape_alone(order.url));
    ASSERT(!order.url[0] || strncmp(order.url, "https://", 8) == 0);
    *ended = order.state;
}

static void check(const struct desk *desk)
{
    for (size_t i = 0; i < desk->model.capture_capacity; i++) {
        const struct desk_capture *capture = &desk->model.captures[i];
        if (!desk->model.capture_ids[i])
            continue;
        ASSERT(capture->record.state < CAPTURE_STATES && capture->selected_field <= CARD_FIELD_NONE);
        ASSERT(memchr(capture->record.token, '\0', LIMIT_TOKEN_BYTES));
        ASSERT(!card_shape_alone(capture->record.token));
        ASSERT(!card_shape_alone(capture->record.order_ref));
        /* Approved is what the disk says. */
        struct store_capture stored;
        if (capture->record.state == CAPTURE_APPROVED)
            ASSERT(store_capture_find(desk->store, capture->record.id, &stored) == OK &&
                   stored.state == CAPTURE_APPROVED);
    }
}

static void desk_end(struct desk *desk)
{
    desk_links_free(desk);
    desk_gateway_free(desk);
    desk_hooks_close(desk);
    desk_orders_close(desk);
    audit_close(desk->audit);
    store_close(desk->store);
    desk_model_free(&desk->model);
    free(desk);
    unlink(audit_path);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    begin();
    struct desk *desk = desk_begin();
    struct store_capture end = {0};
    uint8_t order_end = ORDER_STATE_OPEN;
    while (length >= 3) {
        struct msg_port *ports[4] = {&desk->vault, &desk->proxy, &desk->gateway, &desk->proxy};
        struct msg_port *port = ports[bytes[0] & 3];
        size_t size = bytes[1] | (size_t)bytes[2] << 8;
        bytes += 3;
        length -= 3;
        if (size > length)
            size = length;
        enum err refused = msg_dispatch(port, bytes, size);
        (void)refused;
        check(desk);
        check_end(desk, &end);
        check_order(desk, &order_end);
        bytes += size;
        length -= size;
    }
    desk_end(desk);
    return 0;
}
