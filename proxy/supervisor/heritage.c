#include "proxy/supervisor/heritage.h"

#include "base/log.h"
#include "base/role_msg.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define DESCRIPTORS_BESIDE 256 /* logs, links, TCP connections, recordings */
#define LOCKED_BYTES       (64 << 20)
#define SEND_WAIT_MS       500
#define TCP_BACKLOG        128

static void say_cannot_bind(const char *what, const struct sockaddr_in *address)
{
    log_event(LOG_ERROR, "socket cannot be bound", LOG_CONSTANT("for", what), LOG_ADDRESS("address", address),
              LOG_CONSTANT("why", strerror(errno)));
}

static int open_bound(int type, const struct sockaddr_in *address, const char *what)
{
    int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1;
    if (fd >= 0 && type == SOCK_STREAM)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (fd < 0 || bind(fd, (const struct sockaddr *)address, sizeof(*address)) != 0 ||
        (type == SOCK_STREAM && listen(fd, TCP_BACKLOG) != 0)) {
        say_cannot_bind(what, address);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

static enum err make_room(struct heritage_store *store, enum heritage kind, size_t count)
{
    store->fds[kind] = calloc(count ? count : 1, sizeof(int));
    return store->fds[kind] ? OK : ERR_MEMORY;
}

static enum err keep(struct heritage_store *store, enum heritage kind, int fd)
{
    if (fd < 0)
        return ERR_SYSTEM;
    store->fds[kind][store->fd_count[kind]++] = fd;
    return OK;
}

static enum err open_sip(struct heritage_store *store, const struct config *config)
{
    enum err err = make_room(store, HERITAGE_SIP, config->sip.listener_count);
    for (size_t i = 0; i < config->sip.listener_count && !err; i++) {
        const struct config_listener *listener = &config->sip.listeners[i];
        int type = listener->transport == CONFIG_UDP ? SOCK_DGRAM : SOCK_STREAM;
        err = keep(store, HERITAGE_SIP, open_bound(type, &listener->address, "sip"));
    }
    return err;
}

static enum err open_rtp(struct heritage_store *store, const struct config *config)
{
    /* Only whole pairs: RTP on the even port, RTCP above (RFC 3550 §11). */
    size_t count = (size_t)(config->media.port_last - config->media.port_first + 1) & ~(size_t)1;
    enum err err = make_room(store, HERITAGE_RTP, count);
    for (size_t i = 0; i < count && !err; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_addr = config->media.address,
                                      .sin_port = htons((uint16_t)(config->media.port_first + i))};
        err = keep(store, HERITAGE_RTP, open_bound(SOCK_DGRAM, &address, "rtp"));
    }
    return err;
}

static int open_memory(const char *name, size_t length, unsigned flags)
{
    int fd = memfd_create(name, MFD_CLOEXEC | flags);
    if (fd >= 0 && ftruncate(fd, (off_t)length) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static enum err open_config_memory(struct heritage_store *store, const char *text, size_t length)
{
    store->config_fd = open_memory("config", length, MFD_ALLOW_SEALING);
    if (store->config_fd < 0 || pwrite(store->config_fd, text, length, 0) != (ssize_t)length)
        return ERR_SYSTEM;
    int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    return fcntl(store->config_fd, F_ADD_SEALS, seals) == 0 ? OK : ERR_SYSTEM;
}

static enum err raise_descriptor_limit(const struct config *config)
{
    rlim_t needed = (rlim_t)(config->media.port_last - config->media.port_first) + config->sip.calls_max +
                    LIMIT_SIP_TCP_CONNECTIONS + LIMIT_HTTP_CONNECTIONS + DESCRIPTORS_BESIDE;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return ERR_SYSTEM;
    if (limit.rlim_cur >= needed)
        return OK;
    if (limit.rlim_max < needed)
        limit.rlim_max = needed; /* root may */
    limit.rlim_cur = needed;
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
        return OK;
    getrlimit(RLIMIT_NOFILE, &limit);
    log_event(LOG_ERROR, "too few descriptors: raise the hard limit nofile or give media fewer ports",
              LOG_COUNT("needed", needed), LOG_COUNT("limit", limit.rlim_max));
    return ERR_FULL;
}

/* Card fields are locked memory. Where the limit cannot be raised, fewer captures run at once and the vault says so. */
static void raise_lock_limit(void)
{
    struct rlimit limit = {LOCKED_BYTES, LOCKED_BYTES};
    (void)setrlimit(RLIMIT_MEMLOCK, &limit);
}

enum err heritage_open(struct heritage_store *store, const struct config *config, const char *config_text,
                       size_t config_length, size_t call_table_bytes)
{
    raise_lock_limit();
    *store = (struct heritage_store){.config_fd = -1};
    enum err err = raise_descriptor_limit(config);
    if (!err)
        err = open_config_memory(store, config_text, config_length);
    if (!err)
        err = open_sip(store, config);
    if (!err)
        err = open_rtp(store, config);
    if (!err)
        err = make_room(store, HERITAGE_CALL_TABLE, 1);
    if (!err)
        err = keep(store, HERITAGE_CALL_TABLE, open_memory("call-table", call_table_bytes, 0));
    if (!err)
        err = make_room(store, HERITAGE_HTTPS, 1);
    if (!err)
        err = keep(store, HERITAGE_HTTPS, open_bound(SOCK_STREAM, &config->desk.listen, "desk"));
    if (err)
        heritage_close(store);
    return err;
}

void heritage_close(struct heritage_store *store)
{
    for (size_t kind = 0; kind < HERITAGE_KINDS; kind++) {
        for (size_t i = 0; i < store->fd_count[kind]; i++)
            close(store->fds[kind][i]);
        free(store->fds[kind]);
        store->fds[kind] = NULL;
        store->fd_count[kind] = 0;
    }
    if (store->config_fd >= 0)
        close(store->config_fd);
    store->config_fd = -1;
}

static enum err send_part(int control_fd, const struct role_heritage_msg *part, const int *fds,
                          size_t fd_count)
{
    for (;;) {
        enum err err = msg_send_fds(control_fd, part, sizeof(*part), fds, fd_count);
        if (err != ERR_FULL)
            return err;
        struct pollfd wait = {.fd = control_fd, .events = POLLOUT};
        if (poll(&wait, 1, SEND_WAIT_MS) <= 0)
            return ERR_TIMEOUT;
    }
}

static enum err send_kind(const struct heritage_store *store, enum heritage kind, int control_fd)
{
    for (size_t sent = 0; sent < store->fd_count[kind];) {
        size_t count = store->fd_count[kind] - sent;
        if (count > MSG_FDS_MAX)
            count = MSG_FDS_MAX;
        struct role_heritage_msg part = {
            .part = ROLE_PART_SOCKETS, .kind = kind, .total = (uint32_t)store->fd_count[kind]};
        MSG_INIT(&part, ROLE_HERITAGE, 0);
        enum err err = send_part(control_fd, &part, &store->fds[kind][sent], count);
        if (err)
            return err;
        sent += count;
    }
    return OK;
}

/* Who gets what: nobody gets more. */
static const unsigned kinds_of_role[ROLE_COUNT] = {
    [ROLE_PROXY] = 1u << HERITAGE_SIP | 1u << HERITAGE_RTP | 1u << HERITAGE_CALL_TABLE,
    [ROLE_DESK] = 1u << HERITAGE_HTTPS,
};

enum err heritage_send(const struct heritage_store *store, enum role role, int control_fd,
                       unsigned generation)
{
    struct role_heritage_msg part = {.part = ROLE_PART_CONFIG, .generation = generation};
    MSG_INIT(&part, ROLE_HERITAGE, 0);
    enum err err = send_part(control_fd, &part, &store->config_fd, 1);
    for (size_t kind = 0; kind < HERITAGE_KINDS && !err; kind++) {
        if (kinds_of_role[role] & 1u << kind)
            err = send_kind(store, kind, control_fd);
    }
    part.part = ROLE_PART_END;
    return err ? err : send_part(control_fd, &part, NULL, 0);
}
