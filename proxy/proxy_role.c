/* The proxy role: one control loop for SIP, links and orders; the media workers run beside it. */
#include "base/clock.h"
#include "base/log.h"
#include "base/role.h"
#include "base/secret.h"
#include "base/wall.h"
#include "proxy/media/media.h"
#include "proxy/proxy_msg.h"
#include "proxy/sip/b2bua.h"
#include "proxy/sip/sip_message.h"

#include <event2/event.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define BEAT_MS      100
#define MESSAGES_MAX 64 /* of one link in one turn */
#define EVENTS_MAX   256

/* States of a message's call. */
#define CALL_UNKNOWN (1u << 0)
#define CALL_PLAIN   (1u << 1)
#define CALL_ARMED   (1u << 2)

struct proxy {
    struct role_context *context;
    struct event_base *base;
    struct media *media;
    struct b2bua *b2bua;
    struct msg_port vault;
    struct msg_port desk;
    struct event *vault_event;
    struct event *desk_event;
    struct event *control_event;
    struct event *media_event;
    struct event *beat_event;
    uint64_t digits_dropped;                              /* no vault to take them */
    uint64_t alarms;                                      /* legs muted by the watch */
    struct proxy_leg_report_msg owed[LIMIT_REPORTS_OWED]; /* last reports that found no desk, oldest first */
    size_t owed_count;
    bool has_said_idle;
};

static void send_or_count(struct msg_port *port, const void *message)
{
    /* A peer that is down asks for everything again when it is back; one that does not read is counted by the port. */
    enum err ignored = msg_send(port, message);
    (void)ignored;
}

/* --- from the vault --- */

static void tell_armed(struct proxy *proxy, uint64_t call_id, uint64_t capture_id, bool is_resync,
                       bool is_refused)
{
    struct proxy_armed_msg armed = {
        .capture_id = capture_id, .is_resync = is_resync, .is_refused = is_refused};
    MSG_INIT(&armed, PROXY_ARMED, call_id);
    send_or_count(&proxy->vault, &armed);
}

static uint32_t state_of_call(void *owner, const struct msg_header *header)
{
    const struct proxy *proxy = owner;
    if (b2bua_has_call(proxy->b2bua, header->subject))
        return CALL_UNKNOWN;
    return b2bua_capture_of(proxy->b2bua, header->subject) ? CALL_ARMED : CALL_PLAIN;
}

static enum err take_arm(void *owner, const void *message)
{
    struct proxy *proxy = owner;
    const struct proxy_arm_msg *arm = message;
    uint64_t call_id = arm->header.subject;
    if (arm->capture_id == 0 || arm->is_keying > 1)
        return ERR_RANGE;
    enum err err = b2bua_has_call(proxy->b2bua, call_id);
    if (!err)
        err = media_call_arm(proxy->media, call_id, arm->capture_id, arm->is_keying);
    if (err) {
        log_event(LOG_WARN, "leg cannot be armed", LOG_ID("call", call_id), LOG_ERR("error", err));
        tell_armed(proxy, call_id, arm->capture_id, false, true);
        return OK;
    }
    b2bua_set_capture(proxy->b2bua, call_id, arm->capture_id);
    return OK;
}

static enum err take_disarm(void *owner, const void *message)
{
    struct proxy *proxy = owner;
    const struct proxy_disarm_msg *disarm = message;
    uint64_t call_id = disarm->header.subject;
    if (b2bua_capture_of(proxy->b2bua, call_id) != disarm->capture_id)
        return ERR_REFUSED;
    return media_call_disarm(proxy->media, call_id, disarm->capture_id);
}

static const struct msg_permit vault_permits[] = {
    {PROXY_ARM, sizeof(struct proxy_arm_msg), CALL_UNKNOWN | CALL_PLAIN | CALL_ARMED, take_arm, "arm"},
    {PROXY_DISARM, sizeof(struct proxy_disarm_msg), CALL_ARMED, take_disarm, "disarm"},
};

/* --- from the desk --- */

static enum err take_calls_wanted(void *owner, const void *message)
{
    struct proxy *proxy = owner;
    (void)message;
    b2bua_tell_all(proxy->b2bua);
    return OK;
}

static const struct msg_permit desk_permits[] = {
    {PROXY_CALLS_WANTED, sizeof(struct proxy_calls_wanted_msg), MSG_ANY_STATE, take_calls_wanted,
     "calls_wanted"},
};

/* --- from the calls and the media --- */

static void call_changed(void *owner, const struct proxy_call_msg *call, uint64_t capture_id)
{
    struct proxy *proxy = owner;
    send_or_count(&proxy->desk, call);
    if (call->state != PROXY_CALL_ENDED || capture_id == 0)
        return;
    struct proxy_call_gone_msg gone = {.capture_id = capture_id};
    MSG_INIT(&gone, PROXY_CALL_GONE, call->header.subject);
    send_or_count(&proxy->vault, &gone);
}

static void pass_digit(struct proxy *proxy, const struct media_event *event)
{
    struct proxy_digit_msg digit = {.capture_id = event->capture_id,
                                    .ordinal = event->ordinal,
                                    .key = event->key,
                                    .source = (uint8_t)event->source};
    MSG_INIT(&digit, PROXY_DIGIT, event->call_id);
    if (msg_send(&proxy->vault, &digit))
        proxy->digits_dropped++; /* the vault sees the hole in the ordinals */
    wipe(&digit, sizeof(digit));
}

/* The last report goes into the audit trail: it waits for a desk that is away. */
static void owe_report(struct proxy *proxy, const struct proxy_leg_report_msg *report)
{
    if (proxy->owed_count == LIMIT_REPORTS_OWED) {
        log_event(LOG_ERROR, "the record of a masked leg is lost: the desk is away for too long",
                  LOG_ID("call", proxy->owed[0].header.subject),
                  LOG_ID("capture", proxy->owed[0].capture_id));
        memmove(proxy->owed, proxy->owed + 1, --proxy->owed_count * sizeof(*report));
    }
    proxy->owed[proxy->owed_count++] = *report;
}

static void pay_owed(struct proxy *proxy)
{
    size_t done = 0;
    while (done < proxy->owed_count && msg_send(&proxy->desk, &proxy->owed[done]) == OK)
        done++;
    proxy->owed_count -= done;
    memmove(proxy->owed, proxy->owed + done, proxy->owed_count * sizeof(proxy->owed[0]));
}

static void pass_report(struct proxy *proxy, struct media_event *event)
{
    MSG_INIT(&event->report, PROXY_LEG_REPORT, event->call_id);
    event->report.capture_id = event->capture_id;
    if (!event->report.is_last) {
        send_or_count(&proxy->desk, &event->report);
        return;
    }
    owe_report(proxy, &event->report);
    pay_owed(proxy);
}

static void tell_alarm(struct proxy *proxy, uint64_t call_id, uint64_t capture_id)
{
    struct proxy_alarm_msg alarm = {.capture_id = capture_id};
    MSG_INIT(&alarm, PROXY_ALARM, call_id);
    send_or_count(&proxy->vault, &alarm);
}

static void pass_alarm(struct proxy *proxy, const struct media_event *event)
{
    proxy->alarms++;
    log_event(
        LOG_ERROR,
        "a key was heard in what was to leave a masked leg: it is muted until its capture ends; report this",
        LOG_ID("call", event->call_id), LOG_ID("capture", event->capture_id),
        LOG_COUNT("since_start", proxy->alarms));
    tell_alarm(proxy, event->call_id, event->capture_id);
}

static void take_media_event(struct proxy *proxy, struct media_event *event)
{
    switch (event->kind) {
    case MEDIA_EVENT_ARMED:
        tell_armed(proxy, event->call_id, event->capture_id, false, false);
        break;
    case MEDIA_EVENT_DISARMED:
        pass_report(proxy, event);
        if (b2bua_capture_of(proxy->b2bua, event->call_id) == event->capture_id)
            b2bua_set_capture(proxy->b2bua, event->call_id, 0);
        break;
    case MEDIA_EVENT_ALARM:
        pass_alarm(proxy, event);
        break;
    case MEDIA_EVENT_DIGIT:
        pass_digit(proxy, event);
        break;
    case MEDIA_EVENT_REPORT:
        pass_report(proxy, event);
        break;
    case MEDIA_EVENT_SILENT:
        b2bua_media_silent(proxy->b2bua, event->call_id, event->side);
        break;
    }
}

static void media_readable(evutil_socket_t fd, short what, void *argument)
{
    struct proxy *proxy = argument;
    struct media_event event;
    (void)fd;
    (void)what;
    for (int i = 0; i < EVENTS_MAX && media_event_next(proxy->media, &event) == OK; i++)
        take_media_event(proxy, &event);
    wipe(&event, sizeof(event));
}

/* --- links --- */

static void link_close(struct msg_port *port, struct event **event)
{
    if (*event)
        event_free(*event);
    *event = NULL;
    if (port->fd >= 0)
        close(port->fd);
    port->fd = -1;
}

static void vault_readable(evutil_socket_t fd, short what, void *argument)
{
    struct proxy *proxy = argument;
    (void)fd;
    (void)what;
    if (msg_receive(&proxy->vault, MESSAGES_MAX)) {
        /* Armed legs stay masked: only a vault unmasks. */
        log_event(LOG_WARN, "vault is gone, armed legs stay masked");
        link_close(&proxy->vault, &proxy->vault_event);
    }
}

static void desk_readable(evutil_socket_t fd, short what, void *argument)
{
    struct proxy *proxy = argument;
    (void)fd;
    (void)what;
    if (msg_receive(&proxy->desk, MESSAGES_MAX))
        link_close(&proxy->desk, &proxy->desk_event);
}

static void tell_resync(void *owner, uint64_t call_id, uint64_t capture_id)
{
    const struct proxy *proxy = owner;
    tell_armed(owner, call_id, capture_id, true, false);
    if (media_call_is_muted(proxy->media, call_id))
        tell_alarm(owner, call_id, capture_id);
}

static enum err link_open(struct proxy *proxy, struct msg_port *port, struct event **event, int fd,
                          event_callback_fn readable)
{
    link_close(port, event);
    port->fd = fd;
    *event = event_new(proxy->base, fd, EV_READ | EV_PERSIST, readable, proxy);
    return *event && event_add(*event, NULL) == 0 ? OK : ERR_MEMORY;
}

static enum err take_link(struct proxy *proxy, enum role peer, int fd)
{
    if (fd < 0)
        return OK;
    if (peer == ROLE_VAULT) {
        enum err err = link_open(proxy, &proxy->vault, &proxy->vault_event, fd, vault_readable);
        if (proxy->digits_dropped)
            log_event(LOG_WARN, "keys were dropped while the vault was away",
                      LOG_COUNT("count", proxy->digits_dropped));
        proxy->digits_dropped = 0;
        if (!err)
            b2bua_each_armed(proxy->b2bua, tell_resync, proxy);
        return err;
    }
    if (peer == ROLE_DESK)
        return link_open(proxy, &proxy->desk, &proxy->desk_event, fd, desk_readable);
    close(fd);
    return OK;
}

/* --- the supervisor --- */

static void control_readable(evutil_socket_t fd, short what, void *argument)
{
    struct proxy *proxy = argument;
    struct role_event event;
    enum err err;
    (void)fd;
    (void)what;
    while ((err = role_control_read(proxy->context, &event)) == OK) {
        if (event.kind == ROLE_EVENT_STOP)
            event_base_loopbreak(proxy->base);
        else if (event.kind == ROLE_EVENT_DRAIN)
            b2bua_drain(proxy->b2bua);
        else if (take_link(proxy, event.peer, event.fd))
            log_event(LOG_ERROR, "link could not be taken", LOG_CONSTANT("peer", role_name(event.peer)));
    }
    if (err == ERR_PEER_GONE)
        event_base_loopbreak(proxy->base);
}

static void beat(evutil_socket_t fd, short what, void *argument)
{
    struct proxy *proxy = argument;
    (void)fd;
    (void)what;
    if (media_is_alive(proxy->media))
        role_beat(proxy->context);
    if (proxy->owed_count > 0)
        pay_owed(proxy);
    if (proxy->context->is_draining && !proxy->has_said_idle && b2bua_call_count(proxy->b2bua) == 0) {
        proxy->has_said_idle = true;
        role_idle(proxy->context);
    }
}

/* --- life --- */

static enum err open_events(struct proxy *proxy)
{
    struct timeval every = {0, BEAT_MS * 1000};
    proxy->control_event =
        event_new(proxy->base, proxy->context->control_fd, EV_READ | EV_PERSIST, control_readable, proxy);
    proxy->media_event =
        event_new(proxy->base, media_event_fd(proxy->media), EV_READ | EV_PERSIST, media_readable, proxy);
    proxy->beat_event = event_new(proxy->base, -1, EV_PERSIST, beat, proxy);
    if (!proxy->control_event || !proxy->media_event || !proxy->beat_event ||
        event_add(proxy->control_event, NULL) != 0 || event_add(proxy->media_event, NULL) != 0 ||
        event_add(proxy->beat_event, &every) != 0)
        return ERR_MEMORY;
    return OK;
}

static enum err open_calls(struct proxy *proxy)
{
    struct role_context *context = proxy->context;
    if (context->heritage_count[HERITAGE_CALL_TABLE] != 1)
        return ERR_RANGE;
    if (!context->config->media.watch)
        log_event(LOG_WARN, "media.watch is off: nobody listens to what leaves masked legs");
    enum err err = media_new(&proxy->media, context->config, context->heritage[HERITAGE_RTP],
                             context->heritage_count[HERITAGE_RTP]);
    if (err)
        return err;
    const struct b2bua_options options = {.base = proxy->base,
                                          .config = context->config,
                                          .sip_fds = context->heritage[HERITAGE_SIP],
                                          .sip_fd_count = context->heritage_count[HERITAGE_SIP],
                                          .media = proxy->media,
                                          .call_table_fd = context->heritage[HERITAGE_CALL_TABLE][0],
                                          .t1_ms = SIP_T1_MS,
                                          .call_h = call_changed,
                                          .owner = proxy};
    return b2bua_new(&proxy->b2bua, &options);
}

static enum err raise_wall(const struct config *config)
{
    static const struct wall_rule rules[] = {
        {SCMP_SYS(socket), 1, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC}, /* SIP over TCP to a trunk */
        {SCMP_SYS(bind), WALL_ANY, 0},
        {SCMP_SYS(connect), WALL_ANY, 0}, /* a leg's sockets follow the signalled address */
        {SCMP_SYS(accept), WALL_ANY, 0},
        {SCMP_SYS(accept4), WALL_ANY, 0},
        {SCMP_SYS(getsockname), WALL_ANY, 0},
        {SCMP_SYS(getsockopt), WALL_ANY, 0},
        {SCMP_SYS(setsockopt), WALL_ANY, 0},
        {SCMP_SYS(shutdown), WALL_ANY, 0},
        {SCMP_SYS(ioctl), 1, FIONREAD},
        {SCMP_SYS(recvmmsg), WALL_ANY, 0},
        {SCMP_SYS(sendmmsg), WALL_ANY, 0},
        {SCMP_SYS(openat), WALL_ANY, 0}, /* recordings; Landlock and the user's rights hold the folder */
        {SCMP_SYS(pwrite64), WALL_ANY, 0},
        {SCMP_SYS(fsync), WALL_ANY, 0},
        {SCMP_SYS(fdatasync), WALL_ANY, 0},
        {SCMP_SYS(sched_setaffinity), WALL_ANY, 0},
    };
    const struct wall_path paths[] = {{config->recorder.directory, WALL_READ_WRITE}};
    const struct wall_plan plan = {
        .rules = rules,
        .rule_count = sizeof(rules) / sizeof(rules[0]),
        .paths = paths,
        .path_count = 1,
        .user = config->user,
    };
    return wall_raise(&plan);
}

static void proxy_close(struct proxy *proxy)
{
    link_close(&proxy->vault, &proxy->vault_event);
    link_close(&proxy->desk, &proxy->desk_event);
    struct event *const events[] = {proxy->control_event, proxy->media_event, proxy->beat_event};
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
        if (events[i])
            event_free(events[i]);
    }
    b2bua_free(proxy->b2bua);
    media_free(proxy->media);
    if (proxy->base)
        event_base_free(proxy->base);
}

static enum err proxy_open(struct proxy *proxy)
{
    sip_message_wipe_events();
    proxy->base = event_base_new();
    if (!proxy->base)
        return ERR_MEMORY;
    enum err err = open_calls(proxy);
    if (!err)
        err = open_events(proxy);
    if (!err)
        err = raise_wall(proxy->context->config);
    if (err)
        return err;
    err = take_link(proxy, ROLE_VAULT, proxy->context->link_fd[ROLE_VAULT]);
    if (!err)
        err = take_link(proxy, ROLE_DESK, proxy->context->link_fd[ROLE_DESK]);
    if (err)
        return err;
    /* The links are there to say what cannot go on; what can is told now. Nothing was read from them yet. */
    b2bua_restore(proxy->b2bua);
    b2bua_each_armed(proxy->b2bua, tell_resync, proxy);
    return role_ready(proxy->context);
}

static void proxy_init(struct proxy *proxy, struct role_context *context)
{
    *proxy = (struct proxy){.context = context};
    proxy->vault = (struct msg_port){.fd = -1,
                                     .permits = vault_permits,
                                     .permit_count = sizeof(vault_permits) / sizeof(vault_permits[0]),
                                     .state_h = state_of_call,
                                     .owner = proxy};
    proxy->desk = (struct msg_port){.fd = -1, .permits = desk_permits, .permit_count = 1, .owner = proxy};
}

int proxy_role_run(struct role_context *context)
{
    static struct proxy proxy; /* too large for a stack that is to be small */
    proxy_init(&proxy, context);
    enum err err = proxy_open(&proxy);
    if (err)
        log_event(LOG_ERROR, "proxy cannot start", LOG_ERR("error", err));
    else
        event_base_dispatch(proxy.base);
    proxy_close(&proxy);
    return err ? 1 : 0;
}
