#include "base/role.h"

#include "base/log.h"
#include "base/role_msg.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HERITAGE_WAIT_MS 5000

static const char *const role_names[] = {"supervisor", "proxy", "vault", "gateway", "desk"};

const char *role_name(enum role role)
{
    return role < ROLE_COUNT ? role_names[role] : "unknown";
}

union control_message {
    struct msg_header header;
    struct role_heritage_msg heritage;
    struct role_link_msg link;
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
};

static void close_all(const int *fds, size_t fd_count)
{
    for (size_t i = 0; i < fd_count; i++)
        close(fds[i]);
}

/* One message with its descriptors, its form checked; what is of the wrong form is refused with its descriptors. */
static enum err read_control(struct role_context *context, union control_message *message, int *fds,
                             size_t *fd_count)
{
    size_t length;
    enum err err =
        msg_receive_fds(context->control_fd, message, sizeof(*message), &length, fds, MSG_FDS_MAX, fd_count);
    if (err)
        return err;
    size_t expected = sizeof(struct role_plain_msg);
    if (length >= sizeof(message->header)) {
        if (message->header.type == ROLE_HERITAGE)
            expected = sizeof(struct role_heritage_msg);
        else if (message->header.type == ROLE_LINK)
            expected = sizeof(struct role_link_msg);
    }
    if (length != expected || message->header.version != MSG_VERSION || message->header.length != length) {
        close_all(fds, *fd_count);
        return ERR_SYNTAX;
    }
    return OK;
}

static enum err load_config(struct role_context *context, int fd)
{
    static struct config config; /* the role's one configuration, read-only from here on */
    char message[CONFIG_ERROR_BYTES];
    char text[LIMIT_CONFIG_BYTES];
    ssize_t length = pread(fd, text, sizeof(text), 0);
    close(fd);
    if (length < 0)
        return ERR_SYSTEM;
    enum err err = config_parse(&config, "heritage", text, (size_t)length, message);
    if (err)
        return err;
    context->config = &config;
    log_open(STDERR_FILENO, config.log_format, config.log_level, role_name(context->role));
    return OK;
}

static enum err keep_sockets(struct role_context *context, const struct role_heritage_msg *part,
                             const int *fds, size_t fd_count)
{
    if (part->kind >= HERITAGE_KINDS || part->total > 4 * LIMIT_CALLS + LIMIT_SIP_LISTENERS)
        return ERR_RANGE;
    size_t *count = &context->heritage_count[part->kind];
    if (!context->heritage[part->kind])
        context->heritage[part->kind] = calloc(part->total, sizeof(int));
    if (!context->heritage[part->kind])
        return ERR_MEMORY;
    if (*count + fd_count > part->total)
        return ERR_RANGE;
    memcpy(&context->heritage[part->kind][*count], fds, fd_count * sizeof(int));
    *count += fd_count;
    return OK;
}

static enum err keep_link(struct role_context *context, const struct role_link_msg *link, const int *fds,
                          size_t fd_count)
{
    if (link->peer >= ROLE_COUNT || fd_count != 1)
        return ERR_RANGE;
    if (context->link_fd[link->peer] >= 0)
        close(context->link_fd[link->peer]);
    context->link_fd[link->peer] = fds[0];
    return OK;
}

static enum err take_part(struct role_context *context, const union control_message *message, const int *fds,
                          size_t fd_count, bool *is_last)
{
    if (message->header.type == ROLE_LINK)
        return keep_link(context, &message->link, fds, fd_count);
    if (message->header.type != ROLE_HERITAGE)
        return ERR_ORDER;
    switch (message->heritage.part) {
    case ROLE_PART_CONFIG:
        context->generation = message->heritage.generation;
        return fd_count == 1 ? load_config(context, fds[0]) : ERR_RANGE;
    case ROLE_PART_SOCKETS:
        return keep_sockets(context, &message->heritage, fds, fd_count);
    case ROLE_PART_END:
        *is_last = true;
        return context->config ? OK : ERR_ORDER;
    default:
        return ERR_RANGE;
    }
}

enum err role_receive(struct role_context *context, enum role role, int control_fd)
{
    *context = (struct role_context){.role = role, .control_fd = control_fd};
    for (size_t i = 0; i < ROLE_COUNT; i++)
        context->link_fd[i] = -1;
    bool is_last = false;
    while (!is_last) {
        struct pollfd wait = {.fd = control_fd, .events = POLLIN};
        if (poll(&wait, 1, HERITAGE_WAIT_MS) <= 0)
            return ERR_TIMEOUT;
        union control_message message;
        int fds[MSG_FDS_MAX];
        size_t fd_count;
        enum err err = read_control(context, &message, fds, &fd_count);
        if (!err)
            err = take_part(context, &message, fds, fd_count, &is_last);
        if (err && err != ERR_EMPTY)
            return err;
    }
    return OK;
}

void role_release(struct role_context *context)
{
    for (size_t kind = 0; kind < HERITAGE_KINDS; kind++) {
        free(context->heritage[kind]);
        context->heritage[kind] = NULL;
        context->heritage_count[kind] = 0;
    }
}

static enum err send_plain(struct role_context *context, uint16_t type)
{
    struct role_plain_msg message;
    MSG_INIT(&message, type, 0);
    return msg_send_fds(context->control_fd, &message, sizeof(message), NULL, 0);
}

enum err role_ready(struct role_context *context)
{
    return send_plain(context, ROLE_READY);
}

void role_beat(struct role_context *context)
{
    /* A beat that cannot be sent is missed; the supervisor draws the conclusion. */
    enum err ignored = send_plain(context, ROLE_BEAT);
    (void)ignored;
}

void role_idle(struct role_context *context)
{
    enum err ignored = send_plain(context, ROLE_IDLE);
    (void)ignored;
}

enum err role_control_read(struct role_context *context, struct role_event *event)
{
    union control_message message;
    int fds[MSG_FDS_MAX];
    size_t fd_count;
    enum err err = read_control(context, &message, fds, &fd_count);
    if (err)
        return err;
    *event = (struct role_event){.fd = -1};
    switch (message.header.type) {
    case ROLE_LINK:
        if (message.link.peer >= ROLE_COUNT || fd_count != 1)
            break;
        *event = (struct role_event){.kind = ROLE_EVENT_LINK, .peer = message.link.peer, .fd = fds[0]};
        return OK;
    case ROLE_DRAIN:
        event->kind = ROLE_EVENT_DRAIN;
        context->is_draining = true;
        close_all(fds, fd_count);
        return OK;
    case ROLE_STOP:
        event->kind = ROLE_EVENT_STOP;
        close_all(fds, fd_count);
        return OK;
    default:
        break;
    }
    close_all(fds, fd_count);
    return ERR_SYNTAX;
}
