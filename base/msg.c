#include "base/msg.h"

#include "base/secret.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum err msg_pair(int ends[2])
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
        return ERR_SYSTEM;
    return OK;
}

static enum err send_error(struct msg_port *port)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS) {
        port->counts.send_full++;
        return ERR_FULL;
    }
    if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN)
        return ERR_PEER_GONE;
    return ERR_SYSTEM;
}

enum err msg_send(struct msg_port *port, const void *message)
{
    if (port->fd < 0)
        return ERR_PEER_GONE;
    const struct msg_header *header = message;
    ASSERT(header->length >= sizeof(*header) && header->length <= LIMIT_MESSAGE_BYTES);
    for (;;) {
        ssize_t sent = send(port->fd, message, header->length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent == (ssize_t)header->length)
            return OK;
        if (sent < 0 && errno == EINTR)
            continue;
        return send_error(port);
    }
}

static const struct msg_permit *find_permit(const struct msg_port *port, uint16_t type)
{
    for (size_t i = 0; i < port->permit_count; i++) {
        if (port->permits[i].type == type)
            return &port->permits[i];
    }
    return NULL;
}

enum err msg_dispatch(struct msg_port *port, const void *bytes, size_t length)
{
    port->counts.received++;
    /* A copy with the alignment of any message struct. */
    union {
        struct msg_header header;
        _Alignas(16) uint8_t bytes[LIMIT_MESSAGE_BYTES];
    } message;
    if (length < sizeof(struct msg_header) || length > sizeof(message)) {
        port->counts.refused_form++;
        return ERR_LENGTH;
    }
    memcpy(message.bytes, bytes, length);
    enum err err = OK;
    const struct msg_permit *permit = find_permit(port, message.header.type);
    if (message.header.version != MSG_VERSION)
        err = ERR_VERSION;
    else if (!permit)
        err = ERR_UNSUPPORTED;
    else if (message.header.length != length || permit->length != length)
        err = ERR_LENGTH;
    if (err) {
        port->counts.refused_form++;
        goto out;
    }
    uint32_t state = port->state_h ? port->state_h(port->owner, &message.header) : MSG_ANY_STATE;
    if ((permit->states & state) == 0) {
        port->counts.refused_state++;
        err = ERR_ORDER;
        goto out;
    }
    err = permit->handler(port->owner, message.bytes);
    if (err)
        port->counts.refused_value++;
out:
    wipe(&message, length);
    return err;
}

enum err msg_receive(struct msg_port *port, size_t message_max)
{
    _Alignas(16) uint8_t buffer[LIMIT_MESSAGE_BYTES + 1];
    enum err err = OK;
    if (port->fd < 0)
        return ERR_PEER_GONE;
    for (size_t i = 0; i < message_max && port->fd >= 0; i++) {
        ssize_t length = recv(port->fd, buffer, sizeof(buffer), MSG_DONTWAIT);
        if (length == 0) {
            err = ERR_PEER_GONE;
            break;
        }
        if (length < 0) {
            if (errno == EINTR)
                continue;
            if (errno == ECONNRESET || errno == EPIPE)
                err = ERR_PEER_GONE;
            else if (errno != EAGAIN && errno != EWOULDBLOCK)
                err = ERR_SYSTEM;
            break;
        }
        /* A refused message is counted; the link goes on. */
        enum err refused = msg_dispatch(port, buffer, (size_t)length);
        (void)refused;
        wipe(buffer, (size_t)length);
    }
    return err;
}

enum err msg_send_fds(int socket_fd, const void *message, size_t length, const int *fds, size_t fd_count)
{
    if (fd_count > MSG_FDS_MAX)
        return ERR_RANGE;
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int) * MSG_FDS_MAX)];
    } control;
    char *payload = (char *)(uintptr_t)message; /* sendmsg does not write, its struct has no const */
    struct iovec part = {payload, length};
    struct msghdr packet = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd_count > 0) {
        memset(&control, 0, sizeof(control));
        packet.msg_control = control.bytes;
        packet.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        struct cmsghdr *rights = CMSG_FIRSTHDR(&packet);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        memcpy(CMSG_DATA(rights), fds, sizeof(int) * fd_count);
    }
    ssize_t sent;
    do {
        sent = sendmsg(socket_fd, &packet, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return errno == EPIPE || errno == ECONNRESET ? ERR_PEER_GONE
               : errno == EAGAIN                     ? ERR_FULL
                                                     : ERR_SYSTEM;
    return OK;
}

static void take_fds(struct msghdr *packet, int *fds, size_t fd_max, size_t *fd_count)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(packet); c; c = CMSG_NXTHDR(packet, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
            if (*fd_count < fd_max)
                fds[(*fd_count)++] = fd;
            else
                close(fd);
        }
    }
}

enum err msg_receive_fds(int socket_fd, void *message, size_t capacity, size_t *length, int *fds,
                         size_t fd_max, size_t *fd_count)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int) * MSG_FDS_MAX)];
    } control;
    struct iovec part = {message, capacity};
    struct msghdr packet = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = sizeof(control.bytes)};
    *length = 0;
    *fd_count = 0;
    ssize_t received;
    do {
        received = recvmsg(socket_fd, &packet, MSG_CMSG_CLOEXEC);
    } while (received < 0 && errno == EINTR);
    if (received == 0)
        return ERR_PEER_GONE;
    if (received < 0)
        return errno == EAGAIN ? ERR_EMPTY : ERR_SYSTEM;
    take_fds(&packet, fds, fd_max, fd_count);
    *length = (size_t)received;
    return packet.msg_flags & (MSG_TRUNC | MSG_CTRUNC) ? ERR_LENGTH : OK;
}
