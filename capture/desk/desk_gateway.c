/* The desk's end of the link to the gateway role: what is sent there and what may come back. The gateway can only answer
 * what was asked: an order that is open, a hook that is being delivered. */
#include "capture/desk/desk_priv.h"

#include <unistd.h>

/* Nothing of these can hold a card. Whoever makes one larger must look here and say what was added. */
_Static_assert(sizeof(struct order_reply_msg) == 24 + LIMIT_TOKEN_BYTES + LIMIT_LINK_BYTES,
               "what was added to ORDER_REPLY?");
_Static_assert(sizeof(struct gateway_health_msg) == 24 + 8 * GATEWAY_OUTCOMES + 16 + LIMIT_NAME_BYTES,
               "what was added to HEALTH?");
_Static_assert(sizeof(struct hook_result_msg) == 32, "what was added to HOOK_RESULT?");

#define SUBJECT_OPEN      (1u << 0)
#define MESSAGES_PER_TURN 64

bool desk_gateway_is_up(const struct desk *desk)
{
    return desk->gateway.fd >= 0;
}

static uint32_t state_h(void *owner, const struct msg_header *header)
{
    bool is_open = header->type == HOOK_RESULT ? desk_hook_is_out(owner, header->subject)
                                               : desk_order_is_open(owner, header->subject);
    return is_open ? SUBJECT_OPEN : MSG_NO_SUBJECT;
}

static enum err hook_result_h(void *owner, const void *message)
{
    return desk_hook_result(owner, message);
}

static enum err order_reply_h(void *owner, const void *message)
{
    return desk_order_reply(owner, message);
}

static enum err health_h(void *owner, const void *message)
{
    return desk_gateways_take(owner, message);
}

const struct msg_permit desk_gateway_permits[] = {
    {GATEWAY_HEALTH, sizeof(struct gateway_health_msg), MSG_ANY_STATE, health_h, "HEALTH"},
    {ORDER_REPLY, sizeof(struct order_reply_msg), SUBJECT_OPEN, order_reply_h, "ORDER_REPLY"},
    {HOOK_RESULT, sizeof(struct hook_result_msg), SUBJECT_OPEN, hook_result_h, "HOOK_RESULT"},
};
const size_t desk_gateway_permit_count = sizeof(desk_gateway_permits) / sizeof(desk_gateway_permits[0]);

static void link_close(struct desk *desk)
{
    if (desk->gateway_event)
        event_free(desk->gateway_event);
    desk->gateway_event = NULL;
    if (desk->gateway.fd >= 0)
        close(desk->gateway.fd);
    desk->gateway.fd = -1;
    desk_gateways_forget(desk);
}

static void read_h(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    struct desk *desk = argument;
    if (msg_receive(&desk->gateway, MESSAGES_PER_TURN) == OK)
        return;
    link_close(desk);
    log_event(LOG_WARN, "a peer is gone: waiting for the supervisor's new link", LOG_NAME("peer", "gateway"));
    desk_publish_service(desk);
}

void desk_gateway_set_link(struct desk *desk, int fd)
{
    link_close(desk);
    desk->gateway_event = event_new(desk->setup.base, fd, EV_READ | EV_PERSIST, read_h, desk);
    if (!desk->gateway_event || event_add(desk->gateway_event, NULL) != 0) {
        log_event(LOG_ERROR, "no memory for a link", LOG_NAME("peer", "gateway"));
        close(fd);
        return;
    }
    desk->gateway.fd = fd;
    log_event(LOG_INFO, "linked", LOG_NAME("peer", "gateway"));
    desk_orders_link_up(desk);
    desk_hooks_link_up(desk);
    desk_publish_service(desk);
}

void desk_gateway_new(struct desk *desk)
{
    desk->gateway = (struct msg_port){.fd = -1,
                                      .permits = desk_gateway_permits,
                                      .permit_count = desk_gateway_permit_count,
                                      .state_h = state_h,
                                      .owner = desk};
}

void desk_gateway_free(struct desk *desk)
{
    link_close(desk);
}
