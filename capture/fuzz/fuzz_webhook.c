/* A webhook's whole way, for each vendor: first byte vendor, then header lines, an empty line, the body. Once as it came
 * (nothing unsigned may pass), once the signed text alone, as if the vendor had been taken over. */
#include "base/secret.h"
#include "capture/desk/webhooks/webhook_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static struct webhook_account *account_of(enum config_webhook_vendor vendor)
{
    static struct webhook_account account;
    if (!account.keys[0]) {
        size_t capacity;
        ASSERT(secret_new(&account.keys[0], 64) == OK);
        memcpy(secret_buffer(account.keys[0], &capacity), "a secret that no input can know", 31);
        secret_set_length(account.keys[0], 31);
        snprintf(account.account, sizeof(account.account), "public");
    }
    account.vendor = vendor;
    account.key_count = vendor == CONFIG_WEBHOOK_PAYPAL ? 0 : 1;
    return &account;
}

static void check(const struct webhook_batch *batch, enum err err)
{
    ASSERT(!err == (batch->count > 0) && batch->count <= LIMIT_WEBHOOK_EVENTS);
    for (size_t i = 0; i < batch->count; i++) {
        const struct webhook_event *event = &batch->events[i];
        ASSERT(event->kind < WEBHOOK_KINDS && event->id[0] && strlen(event->id) < WEBHOOK_ID_BYTES);
        ASSERT(strlen(event->order_ref) < LIMIT_TOKEN_BYTES && strlen(event->currency) < 4);
        ASSERT(event->amount_minor >= 0 && event->amount_minor <= LIMIT_AMOUNT_MINOR);
    }
}

static void take_unsigned(enum config_webhook_vendor vendor, const char *lines, size_t lines_length,
                          const char *body, size_t body_length)
{
    static struct webhook_batch batch;
    static char head[HTTP_HEAD_BYTES];
    struct http_request request;
    int length = snprintf(head, sizeof(head), "POST /webhooks/x HTTP/1.1\r\nHost: a\r\n%.*s\r\n\r\n",
                          (int)lines_length, lines);
    if (length < 0 || (size_t)length >= sizeof(head) || http_request_read(&request, head, (size_t)length))
        return;
    request.body = body;
    request.body_length = body_length;
    const struct wall_time now = {1500000000LL * NS_PER_S};
    ASSERT(webhook_take(account_of(vendor), &request, now, &batch) == ERR_REFUSED && batch.count == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static struct webhook_batch batch;
    if (length < 1 || length > LIMIT_WEBHOOK_BYTES)
        return 0;
    enum config_webhook_vendor vendor = (enum config_webhook_vendor)(bytes[0] % CONFIG_WEBHOOK_VENDORS);
    const char *text = (const char *)bytes + 1;
    const char *split = memmem(text, length - 1, "\r\n\r\n", 4);
    const char *body = split ? split + 4 : text;
    size_t body_length = length - (size_t)(body - (const char *)bytes);
    if (split)
        take_unsigned(vendor, text, (size_t)(split - text), body, body_length);
    enum err err = webhook_read(vendor, body, body_length, &batch);
    check(&batch, err);
    return 0;
}
