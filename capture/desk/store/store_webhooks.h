/* What was told by webhooks, kept so that no event counts twice, whatever dies. Part of the store's file. */
#ifndef TONEGATE_CAPTURE_DESK_STORE_WEBHOOKS_H
#define TONEGATE_CAPTURE_DESK_STORE_WEBHOOKS_H

#include "capture/desk/store/store.h"
#include "capture/desk/store/store_sql.h"
#include "capture/desk/webhooks/webhook.h"

struct store_webhooks {
    struct sql sql;
};

/* One event, as it is kept; capture_id 0: nobody knows whose it is. */
struct store_notice {
    enum config_webhook_vendor vendor;
    struct webhook_event event;
    struct wall_time received_at;
};

MUST_USE enum err store_webhooks_open(struct store_webhooks *webhooks, struct store *store);
void store_webhooks_close(struct store_webhooks *webhooks);

/* ERR_EXISTS: it was told before. ERR_STORE. */
MUST_USE enum err store_webhooks_add(struct store_webhooks *webhooks, const struct store_notice *notice);
/* ERR_NOT_FOUND, ERR_STORE. */
MUST_USE enum err store_webhooks_find(struct store_webhooks *webhooks, enum config_webhook_vendor vendor,
                                      const char *event_id);
/* Of one capture, oldest first. ERR_STORE. */
MUST_USE enum err store_webhooks_list(struct store_webhooks *webhooks, uint64_t capture_id,
                                      struct store_notice *notices, size_t capacity, size_t *count);
/* Whose payment is called so at the gateway? ERR_NOT_FOUND, ERR_STORE. */
MUST_USE enum err store_webhooks_capture(struct store_webhooks *webhooks, const char *order_ref,
                                         uint64_t *capture_id);

#endif
