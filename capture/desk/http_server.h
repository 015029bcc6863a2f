/* HTTPS/1.1 on libevent: TLS by bufferevent_openssl, our own strict reader above it (evhttp 2.1 answers a body that is
 * too long or a head it cannot read with its own HTML page, cannot cap connections, and resets its time-out with every
 * byte a slow peer sends). One thread: everything runs in the event loop.
 *
 * A connection carries one request at a time. The handler answers before it returns, by http_reply() or by
 * http_stream_begin() (Server-Sent Events; the stream then lives until either side closes it). */
#ifndef TONEGATE_CAPTURE_DESK_HTTP_SERVER_H
#define TONEGATE_CAPTURE_DESK_HTTP_SERVER_H

#include "base/err.h"
#include "capture/desk/http_request.h"

#include <event2/event.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

struct http_server;
struct http_connection;

typedef void http_request_h(void *owner, struct http_connection *connection,
                            const struct http_request *request);
/* The stream is over; the connection pointer is dead when this returns. */
typedef void http_stream_closed_h(void *owner, void *stream);

/* Zero stands for the value in brackets. */
struct http_limits {
    unsigned connections;  /* [LIMIT_HTTP_CONNECTIONS] */
    unsigned request_ms;   /* [10 s] from the first byte to the last of a request, TLS handshake included */
    unsigned idle_ms;      /* [75 s] between requests */
    unsigned write_ms;     /* [20 s] a peer that reads nothing for so long is cut */
    size_t stream_backlog; /* [256 KiB] unsent bytes of a stream before it is cut */
};

struct http_setup {
    struct event_base *base;
    int listen_fd; /* bound and listening, non-blocking; stays the caller's */
    SSL_CTX *tls;  /* stays the caller's, outlives the server */
    struct http_limits limits;
    http_request_h *request_h;
    http_stream_closed_h *stream_closed_h;
    void *owner;
};

struct http_counts {
    unsigned long accepted;
    unsigned long refused_full; /* closed at once: too many connections */
    unsigned long timed_out;
    unsigned long refused_form; /* heads that could not be read */
    unsigned long requests;
};

MUST_USE enum err http_server_new(struct http_server **out, const struct http_setup *setup);
void http_server_free(struct http_server *server);
/* Takes no new connections; the present ones end after their request. Streams are left alone. */
void http_server_drain(struct http_server *server);
size_t http_server_connections(const struct http_server *server);
const struct http_counts *http_server_counts(const struct http_server *server);

/* TLS 1.2 and newer, forward secrecy and AEAD only, no tickets, no renegotiation. ERR_TLS: the certificate or key
 * cannot be read or do not belong together. */
MUST_USE enum err http_tls_new(SSL_CTX **out, const char *certificate_path, const char *key_path);

struct in_addr http_peer_address(const struct http_connection *connection);
/* "192.0.2.7:41234"; out has room for HTTP_PEER_TEXT bytes. */
#define HTTP_PEER_TEXT 24
void http_peer_text(const struct http_connection *connection, char *out);
/* The connection showed a valid token: it is spared when room is needed. */
void http_mark_trusted(struct http_connection *connection);

struct http_reply {
    int status;
    const char *content_type; /* NULL: no body */
    const void *body;         /* copied */
    size_t length;
    const char *extra;  /* further header lines, each ended by \r\n, or NULL */
    const char *policy; /* Content-Security-Policy; NULL: the one that allows nothing */
};
void http_reply_send(struct http_connection *connection, const struct http_reply *reply);

/* {"error":{"code":…,"message":…}} */
void http_reply_error(struct http_connection *connection, int status, const char *code, const char *message,
                      const char *extra);

/* Sends the head of a text/event-stream and keeps the connection. stream is given back to stream_closed_h. Until
 * http_stream_settle() any amount may be written: the state at the start. */
void http_stream_begin(struct http_connection *connection, void *stream);
void http_stream_settle(struct http_connection *connection);
/* ERR_FULL: the peer reads too slowly; the stream was closed (stream_closed_h is called from the loop, later). */
MUST_USE enum err http_stream_write(struct http_connection *connection, const char *text, size_t length);
/* Closes after what was written is sent. */
void http_stream_end(struct http_connection *connection);

#endif
