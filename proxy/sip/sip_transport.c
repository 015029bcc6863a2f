#include "proxy/sip/sip_transport.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/secret.h"
#include "proxy/sip/sip_guard.h"
#include "proxy/sip/sip_headers.h"
#include "proxy/sip/sip_message.h"
#include "proxy/sip/sip_rate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define UDP_DRAIN_MAX 64 /* datagrams taken in one turn */
#define CONNECT_S     5
#define IDLE_S        1800    /* a connection without a message for so long is closed */
#define HALF_S        10      /* a message that has begun must end within */
#define UNSENT_BYTES  262144  /* a peer that does not read is cut off */
#define RECEIVE_BYTES 1048576 /* of the UDP socket: a burst of calls while the loop is busy */

struct connection {
    struct sip_transport *transport;
    struct connection *next;
    struct bufferevent *buffer;
    struct sockaddr_in address;
    uint64_t id;
    enum config_trunk_name trunk;
};

struct listener {
    struct sip_transport *transport;
    const struct config_listener *config;
    int fd;
    struct event *readable;            /* UDP */
    struct evconnlistener *connecting; /* TCP */
};

struct sip_transport {
    struct event_base *base;
    const struct config *config;
    sip_transport_h *handler;
    void *owner;
    sip_transport_lost_h *lost_handler;
    void *lost_owner;
    struct listener listeners[LIMIT_SIP_LISTENERS];
    size_t listener_count;
    struct connection *connections;
    unsigned connection_count;
    uint64_t next_id;
    struct sip_rate stranger_rate;
    struct sip_transport_counts counts;
    char datagram[LIMIT_SIP_UDP_BYTES + 1];
};

/* --- what arrived --- */

static void answer_unparsed(struct sip_transport *transport, const struct sip_peer *peer, const char *bytes,
                            size_t length, const struct sip_guard_verdict *verdict)
{
    char text[LIMIT_SIP_UDP_BYTES];
    char source[INET_ADDRSTRLEN];
    char tag[17];
    size_t text_length;
    sip_random_text(tag);
    inet_ntop(AF_INET, &peer->address.sin_addr, source, sizeof(source));
    if (sip_guard_answer(bytes, length, verdict, tag, source, ntohs(peer->address.sin_port),
                         verdict->status == 405 ? SIP_HEADERS_ALLOW : NULL, text, sizeof(text), &text_length))
        return;
    enum err ignored =
        sip_transport_send(transport, peer, text, text_length); /* the peer will send it again */
    (void)ignored;
}

static bool is_our_method(const char *bytes, size_t length)
{
    static const char *const methods[] = {"INVITE ",  "ACK ",  "BYE ",   "CANCEL ",
                                          "OPTIONS ", "INFO ", "UPDATE "};
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (length > strlen(methods[i]) && memcmp(bytes, methods[i], strlen(methods[i])) == 0)
            return true;
    }
    return false;
}

/* Nothing of a stranger's message is parsed; he learns nothing but that he is one. */
static void meet_stranger(struct sip_transport *transport, const struct sip_peer *peer, const char *bytes,
                          size_t length, struct sip_guard_verdict *verdict)
{
    transport->counts.strangers++;
    bool is_answerable =
        verdict->is_request && verdict->action != SIP_GUARD_DROP && memcmp(bytes, "ACK ", 4) != 0;
    if (!is_answerable || !sip_rate_take(&transport->stranger_rate, mono_now()))
        return;
    verdict->action = SIP_GUARD_ANSWER;
    verdict->status = is_our_method(bytes, length) ? 403 : 405;
    answer_unparsed(transport, peer, bytes, length, verdict);
}

/* RFC 3261 §18.2.1 and RFC 3581: where the request really came from. */
static void note_source(osip_message_t *message, const struct sip_peer *peer)
{
    osip_via_t *via = osip_list_get(&message->vias, 0);
    if (!via || !MSG_IS_REQUEST(message))
        return;
    char text[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &peer->address.sin_addr, text, sizeof(text));
    if (!sip_parameter(&via->via_params, "received"))
        osip_via_set_received(via, osip_strdup(text));
    osip_generic_param_t *parameter = sip_parameter(&via->via_params, "rport");
    if (parameter && !parameter->gvalue) {
        snprintf(text, sizeof(text), "%u", ntohs(peer->address.sin_port));
        parameter->gvalue = osip_strdup(text);
    }
}

static void take(struct sip_transport *transport, const struct sip_peer *peer, const char *bytes,
                 size_t length)
{
    struct sip_guard_verdict verdict;
    enum config_trunk_name trunk;
    transport->counts.received++;
    sip_guard_check(bytes, length, peer->transport == CONFIG_TCP, &verdict);
    if (!sip_source_is_trunk(transport->config, peer->address.sin_addr, &trunk)) {
        meet_stranger(transport, peer, bytes, length, &verdict);
        return;
    }
    osip_message_t *message = NULL;
    if (verdict.action == SIP_GUARD_PASS && sip_headers_parse(bytes, &verdict, &message)) {
        verdict.action =
            verdict.is_request && memcmp(bytes, "ACK ", 4) != 0 ? SIP_GUARD_ANSWER : SIP_GUARD_DROP;
        verdict.status = 400;
        verdict.reason = "the parser refuses";
    }
    if (verdict.action == SIP_GUARD_PASS) {
        note_source(message, peer);
        transport->handler(transport->owner, trunk, peer, message);
        return;
    }
    transport->counts.refused++;
    static struct log_limit limit;
    uint64_t held;
    if (log_limit_pass(&limit, &held))
        log_event(LOG_WARN, "SIP message refused", LOG_ADDRESS("from", &peer->address),
                  LOG_CONSTANT("why", verdict.reason), LOG_COUNT("status", verdict.status),
                  LOG_COUNT("held_back", held));
    if (verdict.action == SIP_GUARD_ANSWER)
        answer_unparsed(transport, peer, bytes, length, &verdict);
}

static void udp_readable(evutil_socket_t fd, short what, void *argument)
{
    struct listener *listener = argument;
    struct sip_transport *transport = listener->transport;
    (void)what;
    for (int i = 0; i < UDP_DRAIN_MAX; i++) {
        struct sip_peer peer = {.transport = CONFIG_UDP,
                                .listener = 1 + (unsigned)(listener - transport->listeners)};
        socklen_t size = sizeof(peer.address);
        ssize_t length = recvfrom(fd, transport->datagram, sizeof(transport->datagram),
                                  MSG_DONTWAIT | MSG_TRUNC, (struct sockaddr *)&peer.address, &size);
        if (length < 0)
            return;
        /* One that is longer than the limit is cut, and the guard refuses it by its length. */
        size_t kept =
            (size_t)length < sizeof(transport->datagram) ? (size_t)length : sizeof(transport->datagram);
        take(transport, &peer, transport->datagram, kept);
        wipe(transport->datagram, kept); /* an INFO's body may hold a digit */
    }
}

/* --- connections --- */

static void connection_free(struct connection *connection)
{
    struct sip_transport *transport = connection->transport;
    for (struct connection **at = &transport->connections; *at; at = &(*at)->next) {
        if (*at == connection) {
            *at = connection->next;
            break;
        }
    }
    transport->connection_count--;
    bufferevent_free(connection->buffer);
    free(connection);
}

static void connection_lost(struct connection *connection)
{
    struct sip_transport *transport = connection->transport;
    struct sockaddr_in address = connection->address;
    connection_free(connection);
    if (transport->lost_handler)
        transport->lost_handler(transport->lost_owner, &address);
}

/* Copies one message out of the stream, so that it lies in one piece and can be overwritten. OK when there was one. */
static enum err next_message(struct evbuffer *input, char *message, size_t *length)
{
    size_t available = evbuffer_get_length(input);
    size_t skip = 0;
    if (available > LIMIT_SIP_TCP_BYTES)
        available = LIMIT_SIP_TCP_BYTES;
    char *bytes = (char *)evbuffer_pullup(input, (ev_ssize_t)available);
    if (!bytes)
        return ERR_EMPTY;
    enum err err = sip_guard_frame(bytes, available, &skip, length);
    if (!err) {
        memcpy(message, bytes + skip, *length);
        wipe(bytes + skip, *length);
    }
    evbuffer_drain(input, skip + (err ? 0 : *length));
    return err;
}

static void tcp_readable(struct bufferevent *buffer, void *argument)
{
    struct connection *connection = argument;
    struct sip_transport *transport = connection->transport;
    struct sip_peer peer = {
        .transport = CONFIG_TCP, .address = connection->address, .connection = connection->id};
    char message[LIMIT_SIP_TCP_BYTES];
    size_t length;
    enum err err;
    while ((err = next_message(bufferevent_get_input(buffer), message, &length)) == OK) {
        take(transport, &peer, message, length);
        wipe(message, length); /* sending never closes a connection, so this one is still there */
    }
    if (err != ERR_EMPTY) {
        connection_lost(connection);
        return;
    }
    bool has_begun = evbuffer_get_length(bufferevent_get_input(buffer)) > 0;
    struct timeval patience = {has_begun ? HALF_S : IDLE_S, 0};
    bufferevent_set_timeouts(buffer, &patience, NULL);
}

static void tcp_event(struct bufferevent *buffer, short what, void *argument)
{
    (void)buffer;
    if (what & BEV_EVENT_CONNECTED)
        return;
    connection_lost(argument);
}

static struct connection *connection_new(struct sip_transport *transport, int fd,
                                         const struct sockaddr_in *address, enum config_trunk_name trunk)
{
    struct connection *connection = calloc(1, sizeof(*connection));
    if (!connection)
        return NULL;
    connection->buffer =
        bufferevent_socket_new(transport->base, fd, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
    if (!connection->buffer) {
        free(connection);
        return NULL;
    }
    struct timeval idle = {IDLE_S, 0};
    connection->transport = transport;
    connection->address = *address;
    connection->trunk = trunk;
    connection->id = ++transport->next_id;
    connection->next = transport->connections;
    transport->connections = connection;
    transport->connection_count++;
    bufferevent_setcb(connection->buffer, tcp_readable, NULL, tcp_event, connection);
    bufferevent_setwatermark(connection->buffer, EV_READ, 0, LIMIT_SIP_TCP_BYTES);
    bufferevent_set_timeouts(connection->buffer, &idle, NULL);
    bufferevent_enable(connection->buffer, EV_READ | EV_WRITE);
    return connection;
}

static void tcp_accepted(struct evconnlistener *evlistener, evutil_socket_t fd, struct sockaddr *address,
                         int size, void *argument)
{
    struct listener *listener = argument;
    struct sip_transport *transport = listener->transport;
    const struct sockaddr_in *from = (const struct sockaddr_in *)(void *)address;
    enum config_trunk_name trunk;
    (void)evlistener;
    /* A stranger gets no connection: there is nothing that he may say over one. */
    if (size != sizeof(*from) || !sip_source_is_trunk(transport->config, from->sin_addr, &trunk) ||
        transport->connection_count >= LIMIT_SIP_TCP_CONNECTIONS ||
        !connection_new(transport, fd, from, trunk)) {
        transport->counts.connections_refused++;
        close(fd);
    }
}

/* --- sending --- */

const struct sockaddr_in *sip_transport_local(const struct sip_transport *transport,
                                              enum config_transport kind)
{
    for (size_t i = 0; i < transport->listener_count; i++) {
        if (transport->listeners[i].config->transport == kind)
            return &transport->listeners[i].config->address;
    }
    return &transport->listeners[0].config->address;
}

static int udp_fd(const struct sip_transport *transport, const struct sip_peer *peer)
{
    if (peer->listener && peer->listener <= transport->listener_count)
        return transport->listeners[peer->listener - 1].fd;
    for (size_t i = 0; i < transport->listener_count; i++) {
        if (transport->listeners[i].config->transport == CONFIG_UDP)
            return transport->listeners[i].fd;
    }
    return -1;
}

static struct connection *find_connection(struct sip_transport *transport, const struct sip_peer *peer)
{
    struct connection *to_address = NULL;
    for (struct connection *c = transport->connections; c; c = c->next) {
        if (peer->connection && c->id == peer->connection)
            return c;
        if (c->address.sin_addr.s_addr == peer->address.sin_addr.s_addr &&
            c->address.sin_port == peer->address.sin_port)
            to_address = c;
    }
    return to_address;
}

static struct connection *open_connection(struct sip_transport *transport, const struct sip_peer *peer)
{
    if (transport->connection_count >= LIMIT_SIP_TCP_CONNECTIONS)
        return NULL;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return NULL;
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    /* From our own address, by which the peer may know us. */
    struct sockaddr_in local = *sip_transport_local(transport, CONFIG_TCP);
    local.sin_port = 0;
    if (bind(fd, (struct sockaddr *)&local, sizeof(local)) != 0 ||
        (connect(fd, (const struct sockaddr *)&peer->address, sizeof(peer->address)) != 0 &&
         errno != EINPROGRESS)) {
        close(fd);
        return NULL;
    }
    enum config_trunk_name trunk = CONFIG_TRUNK_CARRIER;
    (void)sip_source_is_trunk(transport->config, peer->address.sin_addr, &trunk);
    struct connection *connection = connection_new(transport, fd, &peer->address, trunk);
    if (!connection) {
        close(fd);
        return NULL;
    }
    struct timeval idle = {IDLE_S, 0};
    struct timeval patience = {CONNECT_S, 0}; /* for the handshake, and for a peer that does not read */
    bufferevent_set_timeouts(connection->buffer, &idle, &patience);
    return connection;
}

static enum err tcp_send(struct sip_transport *transport, const struct sip_peer *peer, const char *text,
                         size_t length)
{
    struct connection *connection = find_connection(transport, peer);
    if (!connection)
        connection = open_connection(transport, peer);
    if (!connection)
        return ERR_PEER_GONE;
    struct evbuffer *output = bufferevent_get_output(connection->buffer);
    if (evbuffer_get_length(output) + length > UNSENT_BYTES)
        return ERR_FULL;
    return bufferevent_write(connection->buffer, text, length) == 0 ? OK : ERR_MEMORY;
}

enum err sip_transport_send(struct sip_transport *transport, const struct sip_peer *peer, const char *text,
                            size_t length)
{
    if (peer->transport == CONFIG_TCP)
        return tcp_send(transport, peer, text, length);
    int fd = udp_fd(transport, peer);
    if (fd < 0)
        return ERR_UNSUPPORTED;
    ssize_t sent = sendto(fd, text, length, MSG_DONTWAIT, (const struct sockaddr *)&peer->address,
                          sizeof(peer->address));
    if (sent == (ssize_t)length)
        return OK;
    return errno == EAGAIN || errno == ENOBUFS ? ERR_FULL : ERR_SYSTEM;
}

void sip_transport_on_lost(struct sip_transport *transport, sip_transport_lost_h *handler, void *owner)
{
    transport->lost_handler = handler;
    transport->lost_owner = owner;
}

struct sip_peer sip_transport_trunk(const struct sip_transport *transport, enum config_trunk_name trunk)
{
    const struct config_trunk *config = &transport->config->sip.trunks[trunk];
    return (struct sip_peer){.transport = config->transport, .address = config->target};
}

void sip_transport_counts(const struct sip_transport *transport, struct sip_transport_counts *counts)
{
    *counts = transport->counts;
}

/* --- life --- */

static enum err listen_on(struct sip_transport *transport, size_t index, int fd)
{
    struct listener *listener = &transport->listeners[index];
    *listener = (struct listener){
        .transport = transport, .config = &transport->config->sip.listeners[index], .fd = fd};
    if (listener->config->transport == CONFIG_TCP) {
        listener->connecting =
            evconnlistener_new(transport->base, tcp_accepted, listener, LEV_OPT_CLOSE_ON_EXEC, 0, fd);
        return listener->connecting ? OK : ERR_MEMORY;
    }
    int bytes = RECEIVE_BYTES;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    listener->readable = event_new(transport->base, fd, EV_READ | EV_PERSIST, udp_readable, listener);
    return listener->readable && event_add(listener->readable, NULL) == 0 ? OK : ERR_MEMORY;
}

enum err sip_transport_new(struct sip_transport **out, struct event_base *base, const struct config *config,
                           const int *fds, size_t fd_count, sip_transport_h *handler, void *owner)
{
    *out = NULL;
    if (fd_count != config->sip.listener_count || fd_count == 0)
        return ERR_RANGE;
    struct sip_transport *transport = calloc(1, sizeof(*transport));
    if (!transport)
        return ERR_MEMORY;
    transport->base = base;
    transport->config = config;
    transport->handler = handler;
    transport->owner = owner;
    transport->listener_count = fd_count;
    sip_rate_init(&transport->stranger_rate, config->sip.stranger_rate, mono_now());
    for (size_t i = 0; i < fd_count; i++) {
        enum err err = listen_on(transport, i, fds[i]);
        if (err) {
            sip_transport_free(transport);
            return err;
        }
    }
    *out = transport;
    return OK;
}

void sip_transport_free(struct sip_transport *transport)
{
    if (!transport)
        return;
    for (struct connection *at = transport->connections, *next; at; at = next) {
        next = at->next;
        connection_free(at);
    }
    for (size_t i = 0; i < transport->listener_count; i++) {
        if (transport->listeners[i].readable)
            event_free(transport->listeners[i].readable);
        if (transport->listeners[i].connecting)
            evconnlistener_free(transport->listeners[i].connecting);
    }
    free(transport);
}
