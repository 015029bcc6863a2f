#include "gateway/vault_link.h"

#include "base/log.h"

#include <unistd.h>

#define MESSAGES_PER_RUN 32

static enum err message_h(void *owner, const void *message)
{
    struct vault_link *link = owner;
    return steps_take(link->steps, message);
}

static uint32_t state_h(void *owner, const struct msg_header *header)
{
    struct vault_link *link = owner;
    return steps_state(link->steps, header->subject);
}

/* One step at a time for a capture; see steps_orphan() for the two that may wait. */
static const struct msg_permit permits[] = {
    {GATEWAY_TOKENISE, sizeof(struct gateway_tokenise_msg), STEP_IDLE, message_h, "TOKENISE"},
    {GATEWAY_CREATE, sizeof(struct gateway_order_msg), STEP_IDLE, message_h, "CREATE"},
    {GATEWAY_CONFIRM, sizeof(struct gateway_step_msg), STEP_IDLE, message_h, "CONFIRM"},
    {GATEWAY_STATUS, sizeof(struct gateway_step_msg), STEP_IDLE | STEP_ORPHAN, message_h, "STATUS"},
    {GATEWAY_ABANDON, sizeof(struct gateway_step_msg), STEP_IDLE | STEP_ORPHAN, message_h, "ABANDON"},
};

static void reply_h(void *owner, const struct gateway_reply_msg *reply, const struct step_report *report)
{
    struct vault_link *link = owner;
    enum err err = msg_send(&link->port, reply);
    log_event(err || reply->outcome >= GATEWAY_FAILED ? LOG_WARN : LOG_INFO, "gateway step",
              LOG_ID("capture", reply->header.subject), LOG_COUNT("attempt", reply->attempt),
              LOG_COUNT("gateway", reply->gateway_index),
              LOG_CONSTANT("step", connector_operation_name(report->operation)),
              LOG_CONSTANT("outcome", gateway_outcome_name(reply->outcome)),
              LOG_CONSTANT("reason", gateway_reason_name(reply->reason)),
              LOG_CONSTANT("transport", report->transport), LOG_COUNT("status", report->status),
              LOG_COUNT("tries", report->tries), LOG_MS("ms", report->ms), LOG_ERR("sent", err));
}

static void slow_h(void *owner, const struct gateway_slow_msg *slow)
{
    struct vault_link *link = owner;
    enum err err = msg_send(&link->port, slow);
    log_event(LOG_INFO, "gateway step is slow", LOG_ID("capture", slow->header.subject),
              LOG_COUNT("gateway", slow->gateway_index), LOG_COUNT("elapsed_ms", slow->elapsed_ms),
              LOG_ERR("sent", err));
}

void vault_link_close(struct vault_link *link)
{
    if (link->readable)
        event_free(link->readable);
    link->readable = NULL;
    if (link->port.fd >= 0)
        close(link->port.fd);
    link->port.fd = -1;
    steps_orphan(link->steps);
}

static void vault_ready(evutil_socket_t fd, short what, void *owner)
{
    struct vault_link *link = owner;
    (void)fd;
    (void)what;
    enum err err = msg_receive(&link->port, MESSAGES_PER_RUN);
    if (err) {
        log_event(LOG_WARN, "link to the vault lost", LOG_ERR("why", err));
        vault_link_close(link);
    }
}

enum err vault_link_open(struct vault_link *link, int fd)
{
    link->port.fd = fd;
    link->readable = event_new(link->base, fd, EV_READ | EV_PERSIST, vault_ready, link);
    if (!link->readable || event_add(link->readable, NULL) != 0)
        return ERR_MEMORY;
    return OK;
}

enum err vault_link_init(struct vault_link *link, struct event_base *base,
                         const struct step_settings *settings, size_t gateway_count)
{
    *link = (struct vault_link){.base = base,
                                .port = {.fd = -1,
                                         .permits = permits,
                                         .permit_count = sizeof(permits) / sizeof(permits[0]),
                                         .state_h = state_h,
                                         .owner = link}};
    enum err err = steps_new(&link->steps, base, settings, gateway_count, reply_h, link);
    if (!err)
        steps_tell_slow(link->steps, slow_h);
    return err;
}

void vault_link_free(struct vault_link *link)
{
    if (link->steps)
        vault_link_close(link);
    steps_free(link->steps);
    link->steps = NULL;
}
