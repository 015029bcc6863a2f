#include "capture/vault/vault_role.h"

#include "base/log.h"
#include "base/role.h"
#include "capture/vault/dispatch.h"

#include <poll.h>
#include <unistd.h>

#define TICK_MS          100
#define MESSAGES_PER_RUN 64

/* The peer of each link, and what the log calls it. */
static const struct {
    enum role role;
    const char *name;
} peers[DISPATCH_PEERS] = {
    [DISPATCH_PROXY] = {ROLE_PROXY, "proxy"},
    [DISPATCH_DESK] = {ROLE_DESK, "desk"},
    [DISPATCH_GATEWAY] = {ROLE_GATEWAY, "gateway"},
};

struct vault_role {
    struct role_context *context;
    struct dispatch *dispatch;
    bool is_stopping;
    bool has_told_idle;
};

struct wall_plan vault_wall_plan(const char *user)
{
    return (struct wall_plan){.user = user};
}

static void link_down(struct vault_role *role, enum dispatch_peer peer)
{
    int fd = dispatch_port(role->dispatch, peer)->fd;
    if (fd < 0)
        return;
    dispatch_link_down(role->dispatch, peer);
    close(fd);
    log_event(LOG_WARN, "link down", LOG_CONSTANT("peer", peers[peer].name));
}

static void link_up(struct vault_role *role, enum role peer_role, int fd)
{
    for (int peer = 0; peer < DISPATCH_PEERS; peer++) {
        if (peers[peer].role != peer_role)
            continue;
        link_down(role, (enum dispatch_peer)peer);
        dispatch_link_up(role->dispatch, (enum dispatch_peer)peer, fd);
        log_event(LOG_INFO, "link up", LOG_CONSTANT("peer", peers[peer].name));
        return;
    }
    close(fd); /* nobody the vault talks to */
}

static void read_control(struct vault_role *role)
{
    struct role_event event;
    enum err err = role_control_read(role->context, &event);
    if (err == ERR_PEER_GONE)
        role->is_stopping = true;
    if (err)
        return;
    switch (event.kind) {
    case ROLE_EVENT_LINK:
        link_up(role, event.peer, event.fd);
        break;
    case ROLE_EVENT_DRAIN:
        dispatch_drain(role->dispatch);
        break;
    case ROLE_EVENT_STOP:
        role->is_stopping = true;
        break;
    }
}

static void set_clock(struct vault_role *role)
{
    dispatch_set_clock(role->dispatch, mono_now(), wall_now());
}

static void read_links(struct vault_role *role, const struct pollfd *fds)
{
    for (int peer = 0; peer < DISPATCH_PEERS; peer++) {
        struct msg_port *port = dispatch_port(role->dispatch, (enum dispatch_peer)peer);
        if (port->fd < 0 || port->fd != fds[peer].fd || fds[peer].revents == 0)
            continue;
        if (msg_receive(port, MESSAGES_PER_RUN) != OK)
            link_down(role, (enum dispatch_peer)peer);
    }
}

static void loop(struct vault_role *role)
{
    struct mono_time beat_at = {0};
    struct mono_time tick_at = {0};
    while (!role->is_stopping) {
        struct pollfd fds[DISPATCH_PEERS + 1];
        for (int peer = 0; peer < DISPATCH_PEERS; peer++)
            fds[peer] =
                (struct pollfd){dispatch_port(role->dispatch, (enum dispatch_peer)peer)->fd, POLLIN, 0};
        fds[DISPATCH_PEERS] = (struct pollfd){role->context->control_fd, POLLIN, 0};
        int ready = poll(fds, DISPATCH_PEERS + 1, TICK_MS);
        set_clock(role);
        if (ready > 0) {
            read_links(role, fds);
            if (fds[DISPATCH_PEERS].revents)
                read_control(role);
        }
        struct mono_time now = mono_now();
        if (mono_reached(now, tick_at)) {
            dispatch_tick(role->dispatch);
            tick_at = mono_add_ms(now, TICK_MS);
        }
        if (mono_reached(now, beat_at)) {
            role_beat(role->context);
            beat_at = mono_add_ms(now, LIMIT_HEARTBEAT_MS / 2);
        }
        if (role->context->is_draining && !role->has_told_idle && dispatch_is_idle(role->dispatch)) {
            role->has_told_idle = true;
            role_idle(role->context);
        }
    }
}

static enum err start(struct vault_role *role)
{
    const struct config *config = role->context->config;
    const struct dispatch_options options = {
        .idle_s = config->capture.idle_s,
        .session_s = config->capture.session_s,
        .attempts_max = config->capture.attempts_max,
        .brands = config->capture.brands,
        .generation = role->context->generation,
    };
    enum err err = dispatch_new(&role->dispatch, &options);
    if (err)
        return err;
    const struct wall_plan plan = vault_wall_plan(config->user);
    err = wall_raise(&plan);
    if (err)
        return err;
    set_clock(role);
    for (int peer = 0; peer < DISPATCH_PEERS; peer++) {
        int fd = role->context->link_fd[peers[peer].role];
        if (fd >= 0)
            dispatch_link_up(role->dispatch, (enum dispatch_peer)peer, fd);
    }
    return role_ready(role->context);
}

int vault_role_run(struct role_context *context)
{
    struct vault_role role = {.context = context};
    enum err err = start(&role);
    if (err)
        log_event(LOG_ERROR, "the vault cannot start", LOG_ERR("why", err));
    else
        loop(&role);
    dispatch_free(role.dispatch); /* wipes every card */
    return err ? 1 : 0;
}
