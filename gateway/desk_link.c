#include "gateway/desk_link.h"

#include "base/log.h"
#include "gateway/platforms/hook_body.h"

#include <unistd.h>

#define MESSAGES_PER_RUN 32

static void reply_h(void *owner, const struct order_reply_msg *reply, const struct step_report *report)
{
    struct desk_link *link = owner;
    enum err err = msg_send(&link->port, reply); /* one that is lost is asked for again */
    log_event(err || reply->outcome >= GATEWAY_FAILED ? LOG_WARN : LOG_INFO, "gateway order",
              LOG_ID("order", reply->header.subject),
              LOG_CONSTANT("kind", connector_operation_name(report->operation)),
              LOG_CONSTANT("outcome", gateway_outcome_name(reply->outcome)),
              LOG_CONSTANT("reason", gateway_reason_name(reply->reason)),
              LOG_CONSTANT("transport", report->transport), LOG_COUNT("status", report->status),
              LOG_COUNT("tries", report->tries), LOG_MS("ms", report->ms), LOG_ERR("sent", err));
}

static enum err take_h(void *owner, const void *message)
{
    struct desk_link *link = owner;
    return steps_order(link->steps, message, reply_h, link);
}

static void tell_result(void *owner, const struct hook_send_msg *hook, const struct hook_result_msg *result,
                        const struct hook_report *report)
{
    static const char *const outcomes[HOOK_OUTCOMES] = {"delivered", "later", "refused"};
    struct desk_link *link = owner;
    enum err err =
        msg_send(&link->port, result); /* one that is lost is sent again: told twice does no harm */
    log_event(err || result->outcome != HOOK_DELIVERED ? LOG_WARN : LOG_INFO, "hook",
              LOG_ID("hook", hook->header.subject), LOG_CONSTANT("kind", hook_type_name(hook)),
              LOG_COUNT("target", hook->target), LOG_CONSTANT("outcome", outcomes[result->outcome]),
              LOG_CONSTANT("transport", report->transport), LOG_COUNT("status", result->status),
              LOG_MS("ms", report->ms), LOG_ERR("sent", err));
}

static enum err hook_h(void *owner, const void *message)
{
    struct desk_link *link = owner;
    return hooks_send(link->hooks, message);
}

/* An order may come again at any time under its id: that is how the desk asks for a reply that was lost. What it says is
 * checked in steps_order(). */
static const struct msg_permit permits[] = {
    {ORDER_TAKE, sizeof(struct order_take_msg), MSG_ANY_STATE, take_h, "ORDER"},
    {HOOK_SEND, sizeof(struct hook_send_msg), MSG_ANY_STATE, hook_h, "HOOK"},
};

void desk_link_tell_health(struct desk_link *link)
{
    for (size_t i = 0; i < steps_gateway_count(link->steps) && link->port.fd >= 0; i++) {
        struct gateway_health_msg health;
        steps_health(link->steps, i, &health);
        if (msg_send(&link->port, &health) != OK)
            return; /* the next is as good */
    }
}

void desk_link_close(struct desk_link *link)
{
    if (link->readable)
        event_free(link->readable);
    link->readable = NULL;
    if (link->port.fd >= 0)
        close(link->port.fd);
    link->port.fd = -1;
}

static void desk_ready(evutil_socket_t fd, short what, void *owner)
{
    struct desk_link *link = owner;
    (void)fd;
    (void)what;
    enum err err = msg_receive(&link->port, MESSAGES_PER_RUN);
    if (err) {
        log_event(LOG_WARN, "link to the desk lost", LOG_ERR("why", err));
        desk_link_close(link);
    }
}

enum err desk_link_open(struct desk_link *link, int fd)
{
    desk_link_close(link);
    link->port.fd = fd;
    link->readable = event_new(link->base, fd, EV_READ | EV_PERSIST, desk_ready, link);
    if (!link->readable || event_add(link->readable, NULL) != 0)
        return ERR_MEMORY;
    return OK;
}

void desk_link_free(struct desk_link *link)
{
    if (link->base)
        desk_link_close(link);
    hooks_free(link->hooks);
    link->hooks = NULL;
}

enum err desk_link_init(struct desk_link *link, struct event_base *base, struct steps *steps,
                        const struct config *config)
{
    *link = (struct desk_link){.base = base,
                               .steps = steps,
                               .port = {.fd = -1,
                                        .permits = permits,
                                        .permit_count = sizeof(permits) / sizeof(permits[0]),
                                        .owner = link}};
    return hooks_new(&link->hooks, base, config, tell_result, link);
}
