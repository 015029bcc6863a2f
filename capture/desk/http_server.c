#include "capture/desk/http_server.h"

#include "base/clock.h"
#include "base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/listener.h>
#include <jansson.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SWEEP_MS     250
#define READ_BYTES   (HTTP_HEAD_BYTES + LIMIT_WEBHOOK_BYTES) /* never more of one peer in memory */
#define LINGER_MS    2000
#define LINGER_BYTES (1 << 20)

enum connection_state {
    READING,   /* handshake, head or body */
    REPLYING,  /* output is being sent, then READING or LINGERING */
    STREAMING, /* Server-Sent Events */
    LINGERING, /* reply sent, our side shut; what the peer still sends is thrown away (RFC 9112 §9.6) */
    DYING      /* freed by the next sweep: never inside a callback of its own */
};

struct http_connection {
    struct http_server *server;
    size_t place; /* in server->connections */
    struct bufferevent *bufferevent;
    struct sockaddr_in peer;
    enum connection_state state;
    bool is_trusted;
    bool has_started;  /* a byte of the present request (or handshake) is there */
    bool is_last;      /* no further request on this connection */
    bool is_head_only; /* HEAD */
    bool is_continued; /* 100 Continue was sent for this request */
    bool is_streaming_ended;
    size_t lingered;
    size_t backlog_max; /* unsent bytes of a stream */
    void *stream;
    struct mono_time deadline;
};

struct http_server {
    struct http_setup setup;
    struct evconnlistener *listener;
    struct event *sweep;
    struct http_connection **connections; /* limits.connections of them, count in use, in no order */
    size_t count;
    bool is_draining;
    struct http_counts counts;
    struct log_limit full_limit;
};

static void set_deadline(struct http_connection *connection, unsigned ms)
{
    connection->deadline = mono_add_ms(mono_now(), ms);
}

static void connection_free(struct http_connection *connection)
{
    struct http_server *server = connection->server;
    struct http_connection *last = server->connections[--server->count];
    server->connections[connection->place] = last;
    last->place = connection->place;
    if (connection->stream)
        server->setup.stream_closed_h(server->setup.owner, connection->stream);
    bufferevent_free(connection->bufferevent);
    free(connection);
}

static void kill_later(struct http_connection *connection)
{
    connection->state = DYING;
    bufferevent_disable(connection->bufferevent, EV_READ | EV_WRITE);
    event_active(connection->server->sweep, EV_TIMEOUT, 0);
}

static void linger(struct http_connection *connection)
{
    SSL *ssl = bufferevent_openssl_get_ssl(connection->bufferevent);
    connection->state = LINGERING;
    set_deadline(connection, LINGER_MS);
    SSL_shutdown(ssl);
    ERR_clear_error();
    shutdown(bufferevent_getfd(connection->bufferevent), SHUT_WR);
    struct evbuffer *input = bufferevent_get_input(connection->bufferevent);
    evbuffer_drain(input, evbuffer_get_length(input));
}

static const char *status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } texts[] = {{200, "OK"},
                 {201, "Created"},
                 {202, "Accepted"},
                 {400, "Bad Request"},
                 {401, "Unauthorized"},
                 {404, "Not Found"},
                 {405, "Method Not Allowed"},
                 {409, "Conflict"},
                 {413, "Content Too Large"},
                 {414, "URI Too Long"},
                 {415, "Unsupported Media Type"},
                 {417, "Expectation Failed"},
                 {422, "Unprocessable Content"},
                 {429, "Too Many Requests"},
                 {431, "Request Header Fields Too Large"},
                 {500, "Internal Server Error"},
                 {501, "Not Implemented"},
                 {503, "Service Unavailable"},
                 {505, "HTTP Version Not Supported"}};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (texts[i].status == status)
            return texts[i].text;
    }
    return "Status";
}

/* On every answer, whatever it is. */
#define SECURITY_HEADERS                                                                                     \
    "Strict-Transport-Security: max-age=31536000\r\n"                                                        \
    "X-Content-Type-Options: nosniff\r\n"                                                                    \
    "X-Frame-Options: DENY\r\n"                                                                              \
    "Referrer-Policy: no-referrer\r\n"                                                                       \
    "Cross-Origin-Opener-Policy: same-origin\r\n"                                                            \
    "Cross-Origin-Resource-Policy: same-origin\r\n"                                                          \
    "Permissions-Policy: camera=(), microphone=(), geolocation=(), payment=()\r\n"
#define POLICY_NOTHING "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

static void put_head(struct http_connection *connection, const struct http_reply *reply)
{
    struct evbuffer *output = bufferevent_get_output(connection->bufferevent);
    evbuffer_add_printf(output, "HTTP/1.1 %d %s\r\n" SECURITY_HEADERS "Content-Security-Policy: %s\r\n",
                        reply->status, status_text(reply->status),
                        reply->policy ? reply->policy : POLICY_NOTHING);
    evbuffer_add_printf(output, "Cache-Control: no-store\r\n");
    if (reply->content_type)
        evbuffer_add_printf(output, "Content-Type: %s\r\n", reply->content_type);
    if (reply->extra)
        evbuffer_add_printf(output, "%s", reply->extra);
}

void http_reply_send(struct http_connection *connection, const struct http_reply *reply)
{
    struct evbuffer *output = bufferevent_get_output(connection->bufferevent);
    ASSERT(connection->state == READING);
    connection->state = REPLYING;
    set_deadline(connection, connection->server->setup.limits.write_ms);
    if (connection->server->is_draining)
        connection->is_last = true;
    put_head(connection, reply);
    evbuffer_add_printf(output, "Content-Length: %zu\r\n", reply->length);
    evbuffer_add_printf(output, "Connection: %s\r\n\r\n", connection->is_last ? "close" : "keep-alive");
    if (reply->length && !connection->is_head_only)
        evbuffer_add(output, reply->body, reply->length);
}

void http_reply_error(struct http_connection *connection, int status, const char *code, const char *message,
                      const char *extra)
{
    json_t *object = json_pack("{s:{s:s,s:s}}", "error", "code", code, "message", message);
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    const struct http_reply reply = {.status = status,
                                     .content_type = text ? "application/json" : NULL,
                                     .body = text,
                                     .length = text ? strlen(text) : 0,
                                     .extra = extra};
    http_reply_send(connection, &reply);
    free(text);
}

void http_stream_begin(struct http_connection *connection, void *stream)
{
    ASSERT(connection->state == READING);
    const struct http_reply reply = {.status = 200, .content_type = "text/event-stream"};
    connection->state = STREAMING;
    connection->stream = stream;
    connection->backlog_max = SIZE_MAX;
    put_head(connection, &reply);
    /* Its end is the connection's end: no chunks, which every reader of event streams takes (RFC 9112 §6.3). */
    evbuffer_add_printf(bufferevent_get_output(connection->bufferevent),
                        "X-Accel-Buffering: no\r\nConnection: close\r\n\r\n");
    set_deadline(connection, connection->server->setup.limits.write_ms);
}

void http_stream_settle(struct http_connection *connection)
{
    connection->backlog_max = connection->server->setup.limits.stream_backlog +
                              evbuffer_get_length(bufferevent_get_output(connection->bufferevent));
}

enum err http_stream_write(struct http_connection *connection, const char *text, size_t length)
{
    struct evbuffer *output = bufferevent_get_output(connection->bufferevent);
    if (connection->state != STREAMING || connection->is_streaming_ended)
        return ERR_PEER_GONE;
    if (evbuffer_get_length(output) + length > connection->backlog_max) {
        kill_later(connection);
        return ERR_FULL;
    }
    if (evbuffer_get_length(output) == 0)
        set_deadline(connection, connection->server->setup.limits.write_ms);
    if (evbuffer_add(output, text, length) != 0) {
        kill_later(connection);
        return ERR_MEMORY;
    }
    return OK;
}

void http_stream_end(struct http_connection *connection)
{
    if (connection->state != STREAMING)
        return;
    connection->is_streaming_ended = true;
    if (evbuffer_get_length(bufferevent_get_output(connection->bufferevent)) == 0)
        linger(connection);
}

static void refuse_form(struct http_connection *connection, int status)
{
    connection->server->counts.refused_form++;
    connection->is_last = true; /* where the next request would start is not known */
    const char *code = status == 413   ? "body_too_long"
                       : status == 431 ? "headers_too_long"
                       : status == 414 ? "target_too_long"
                       : status == 501 ? "not_implemented"
                       : status == 505 ? "version_not_supported"
                       : status == 417 ? "expectation_failed"
                                       : "bad_request";
    const char *message = status == 413   ? "the body is longer than this resource takes"
                          : status == 501 ? "this method or transfer coding is not known here"
                          : status == 505 ? "HTTP/1.1 is spoken here"
                                          : "the head of the request could not be read";
    http_reply_error(connection, status, code, message, NULL);
}

/* Takes one request off the input when it is whole. */
static void read_request(struct http_connection *connection)
{
    struct http_server *server = connection->server;
    struct evbuffer *input = bufferevent_get_input(connection->bufferevent);
    size_t length = evbuffer_get_length(input);
    if (length == 0)
        return;
    if (!connection->has_started) {
        connection->has_started = true;
        set_deadline(connection, server->setup.limits.request_ms);
    }
    const char *bytes = (const char *)evbuffer_pullup(input, -1);
    if (!bytes) {
        kill_later(connection);
        return;
    }
    size_t head_length = http_head_length(bytes, length < HTTP_HEAD_BYTES ? length : HTTP_HEAD_BYTES);
    if (head_length == 0) {
        if (length >= HTTP_HEAD_BYTES)
            refuse_form(connection, 431);
        return;
    }
    struct http_request request;
    int status = http_request_read(&request, bytes, head_length);
    connection->is_head_only = request.method == HTTP_HEAD;
    if (status) {
        refuse_form(connection, status);
        return;
    }
    if (length < head_length + request.body_length) {
        if (request.is_continue_expected && !connection->is_continued) {
            connection->is_continued = true;
            evbuffer_add_printf(bufferevent_get_output(connection->bufferevent),
                                "HTTP/1.1 100 Continue\r\n\r\n");
        }
        return;
    }
    request.body = bytes + head_length;
    server->counts.requests++;
    connection->is_last = !request.is_kept_alive;
    server->setup.request_h(server->setup.owner, connection, &request);
    ASSERT(connection->state != READING);
    if (connection->state != DYING)
        evbuffer_drain(input, head_length + request.body_length);
}

static void read_h(struct bufferevent *bufferevent, void *argument)
{
    struct http_connection *connection = argument;
    struct evbuffer *input = bufferevent_get_input(bufferevent);
    if (connection->state == READING) {
        read_request(connection);
    } else if (connection->state == LINGERING) {
        connection->lingered += evbuffer_get_length(input);
        evbuffer_drain(input, evbuffer_get_length(input));
        if (connection->lingered > LINGER_BYTES)
            kill_later(connection);
    } else if (connection->state == STREAMING) {
        evbuffer_drain(input, evbuffer_get_length(input)); /* nothing can follow on a stream */
    }
    /* REPLYING: it waits; the read watermark bounds it. */
}

static void write_h(struct bufferevent *bufferevent, void *argument)
{
    struct http_connection *connection = argument;
    if (evbuffer_get_length(bufferevent_get_output(bufferevent)) > 0)
        return;
    if (connection->state == STREAMING && connection->is_streaming_ended)
        linger(connection);
    if (connection->state != REPLYING)
        return;
    if (connection->is_last) {
        linger(connection);
        return;
    }
    connection->state = READING;
    connection->has_started = false;
    connection->is_continued = false;
    connection->is_head_only = false;
    set_deadline(connection, connection->server->setup.limits.idle_ms);
    read_request(connection);
}

static void event_h(struct bufferevent *bufferevent, short what, void *argument)
{
    (void)bufferevent;
    struct http_connection *connection = argument;
    if (what & BEV_EVENT_CONNECTED)
        return;
    if (connection->state != DYING)
        kill_later(connection);
}

/* Room for a new connection: the one without a token that waits longest goes. */
static bool make_room(struct http_server *server)
{
    struct http_connection *oldest = NULL;
    for (size_t i = 0; i < server->count; i++) {
        struct http_connection *c = server->connections[i];
        if (!c->is_trusted && c->state != DYING && (!oldest || c->deadline.ns < oldest->deadline.ns))
            oldest = c;
    }
    if (!oldest)
        return false;
    connection_free(oldest);
    return true;
}

static bool is_full(struct http_server *server)
{
    if (server->count < server->setup.limits.connections)
        return false;
    server->counts.refused_full++;
    uint64_t held;
    if (log_limit_pass(&server->full_limit, &held))
        log_event(LOG_WARN, "too many HTTPS connections: one without a token is closed",
                  LOG_COUNT("connections", server->count), LOG_COUNT("held_back", held));
    return !make_room(server);
}

static void accept_h(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *peer, int length,
                     void *argument)
{
    (void)listener;
    struct http_server *server = argument;
    int on = 1;
    if (length != sizeof(struct sockaddr_in) || is_full(server)) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* a dot must not wait for an ACK */
    struct http_connection *connection = calloc(1, sizeof(*connection));
    SSL *ssl = SSL_new(server->setup.tls);
    struct bufferevent *bufferevent = NULL;
    if (connection && ssl)
        bufferevent = bufferevent_openssl_socket_new(server->setup.base, fd, ssl, BUFFEREVENT_SSL_ACCEPTING,
                                                     BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
    if (!bufferevent) {
        SSL_free(ssl);
        free(connection);
        close(fd);
        return;
    }
    connection->server = server;
    connection->bufferevent = bufferevent;
    memcpy(&connection->peer, peer, sizeof(connection->peer));
    connection->has_started = true; /* the handshake counts as part of the first request */
    set_deadline(connection, server->setup.limits.request_ms);
    connection->place = server->count;
    server->connections[server->count++] = connection;
    server->counts.accepted++;
    bufferevent_openssl_set_allow_dirty_shutdown(bufferevent, 1);
    bufferevent_setcb(bufferevent, read_h, write_h, event_h, connection);
    bufferevent_setwatermark(bufferevent, EV_READ, 0, READ_BYTES);
    bufferevent_enable(bufferevent, EV_READ | EV_WRITE);
}

static bool is_overdue(const struct http_connection *connection, struct mono_time now)
{
    if (connection->state == STREAMING &&
        evbuffer_get_length(bufferevent_get_output(connection->bufferevent)) == 0)
        return false;
    return mono_reached(now, connection->deadline);
}

static void sweep_h(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    struct http_server *server = argument;
    struct mono_time now = mono_now();
    /* Backwards: what fills a gap was seen already. */
    for (size_t i = server->count; i-- > 0;) {
        struct http_connection *c = server->connections[i];
        bool is_idle = c->state == READING && !c->has_started;
        if (c->state == DYING) {
            connection_free(c);
        } else if (is_overdue(c, now) || (is_idle && server->is_draining)) {
            server->counts.timed_out += !is_idle && c->state != LINGERING;
            connection_free(c);
        }
    }
}

static void default_limits(struct http_limits *limits)
{
    if (!limits->connections)
        limits->connections = LIMIT_HTTP_CONNECTIONS;
    if (!limits->request_ms)
        limits->request_ms = 10000;
    if (!limits->idle_ms)
        limits->idle_ms = 75000;
    if (!limits->write_ms)
        limits->write_ms = 20000;
    if (!limits->stream_backlog)
        limits->stream_backlog = 256 * 1024;
}

enum err http_server_new(struct http_server **out, const struct http_setup *setup)
{
    const struct timeval period = {0, SWEEP_MS * 1000};
    struct http_server *server = calloc(1, sizeof(*server));
    if (!server)
        return ERR_MEMORY;
    server->setup = *setup;
    default_limits(&server->setup.limits);
    server->sweep = event_new(setup->base, -1, EV_PERSIST, sweep_h, server);
    server->listener =
        evconnlistener_new(setup->base, accept_h, server, LEV_OPT_CLOSE_ON_EXEC, 0, setup->listen_fd);
    server->connections = calloc(server->setup.limits.connections, sizeof(struct http_connection *));
    if (!server->connections || !server->sweep || !server->listener ||
        event_add(server->sweep, &period) != 0) {
        http_server_free(server);
        return ERR_MEMORY;
    }
    *out = server;
    return OK;
}

void http_server_free(struct http_server *server)
{
    if (!server)
        return;
    while (server->connections && server->count > 0)
        connection_free(server->connections[server->count - 1]);
    free(server->connections);
    if (server->listener)
        evconnlistener_free(server->listener);
    if (server->sweep)
        event_free(server->sweep);
    free(server);
}

void http_server_drain(struct http_server *server)
{
    server->is_draining = true;
    evconnlistener_disable(server->listener);
    event_active(server->sweep, EV_TIMEOUT, 0);
}

size_t http_server_connections(const struct http_server *server)
{
    return server->count;
}

const struct http_counts *http_server_counts(const struct http_server *server)
{
    return &server->counts;
}

struct in_addr http_peer_address(const struct http_connection *connection)
{
    return connection->peer.sin_addr;
}

void http_peer_text(const struct http_connection *connection, char *out)
{
    char address[INET_ADDRSTRLEN] = "";
    inet_ntop(AF_INET, &connection->peer.sin_addr, address, sizeof(address));
    snprintf(out, HTTP_PEER_TEXT, "%s:%u", address, ntohs(connection->peer.sin_port));
}

void http_mark_trusted(struct http_connection *connection)
{
    connection->is_trusted = true;
}

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_length,
                           const unsigned char *in, unsigned in_length, void *argument)
{
    (void)ssl;
    (void)argument;
    static const unsigned char spoken[] = "\x08http/1.1";
    unsigned char *chosen = NULL;
    if (SSL_select_next_proto(&chosen, out_length, spoken, sizeof(spoken) - 1, in, in_length) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

enum err http_tls_new(SSL_CTX **out, const char *certificate_path, const char *key_path)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    if (!tls)
        return ERR_MEMORY;
    SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
    SSL_CTX_set_options(tls, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(tls, 0);
    SSL_CTX_set_alpn_select_cb(tls, choose_protocol, NULL);
    SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
    bool is_good = SSL_CTX_set_cipher_list(tls, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1 &&
                   SSL_CTX_use_certificate_chain_file(tls, certificate_path) == 1 &&
                   SSL_CTX_use_PrivateKey_file(tls, key_path, SSL_FILETYPE_PEM) == 1 &&
                   SSL_CTX_check_private_key(tls) == 1;
    ERR_clear_error();
    if (!is_good) {
        SSL_CTX_free(tls);
        return ERR_TLS;
    }
    *out = tls;
    return OK;
}
