/* HTTPS client of the gateway role: libcurl's multi interface on a libevent loop.
 *
 * What it refuses, always: anything but https (but see is_metadata), TLS below 1.2, a certificate or host name that does
 * not verify, a redirect, a proxy from the environment, cookies, compressed bodies, an answer with more than HTTP_HEADER_BYTES of
 * header or LIMIT_HTTP_REPLY_BYTES of body. HTTP/1.1 with keep-alive: a warm exchange costs one round trip.
 *
 * The request body is read out of the caller's memory once, straight into curl's upload buffer, and that buffer is
 * overwritten as soon as the last byte has gone to TLS (OpenSSL encrypts its record buffer in place). curl never sends
 * anything but a GET a second time by itself: whoever owns the step decides that.
 *
 * Needs wipe_heap_install() before. Thread: the loop's. */
#ifndef TONEGATE_GATEWAY_HTTP_H
#define TONEGATE_GATEWAY_HTTP_H

#include "base/err.h"
#include "base/limits.h"
#include "base/secret.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEADER_BYTES 8192
#define HTTP_HEADERS_MAX  64
#define HTTP_URL_BYTES    1024

enum http_result {
    HTTP_ANSWERED,    /* a whole answer, whatever its status */
    HTTP_UNREACHABLE, /* no address, no connection */
    HTTP_UNTRUSTED,   /* certificate, host name or TLS version */
    HTTP_TIMED_OUT,
    HTTP_BROKEN,    /* the connection ended before the answer did */
    HTTP_TOO_LARGE, /* header or body past its bound */
    HTTP_MALFORMED, /* not HTTP */
    HTTP_RESULTS
};
const char *http_result_name(enum http_result result);

struct http_answer {
    enum http_result result;
    bool is_sent; /* a byte of the request may have reached the peer: false is certain */
    unsigned status;
    const uint8_t *body; /* wiped after the handler returns */
    size_t body_length;
    const char *headers; /* "name: value\n", names in lower case, terminated */
    double ms;           /* this exchange alone */
};

/* Called once per exchange, from the loop, never from inside http_start(). The exchange is gone when it returns. */
typedef void http_answer_h(void *owner, const struct http_answer *answer);

struct http_request {
    const char *method;  /* GET, POST, PUT, PATCH, DELETE */
    const char *url;     /* https://..., at most HTTP_URL_BYTES; copied */
    const char *headers; /* "Name: value\n" lines; copied into wiped memory */
    struct secret *body; /* the caller's, kept until the answer's handler is called; NULL or empty: none */
    bool wipe_body_when_sent; /* this is the last time it is needed */
    bool is_metadata;         /* http:// to 169.254.170.2, 169.254.169.254 or 127.0.0.1, and nothing else */
    unsigned connect_timeout_ms;
    unsigned timeout_ms; /* the whole exchange, connecting included */
};

struct http_client;
struct http_exchange;

/* ca_path: the only authorities that are trusted, read now; NULL or empty: the system's. ERR_MEMORY, ERR_SYSTEM. */
MUST_USE enum err http_client_new(struct http_client **out, struct event_base *base, const char *ca_path);

struct http_client_settings { /* NULL or empty: none */
    const char *ca_path;
    const char *certificate_path; /* PEM, shown to a peer that asks for one; with */
    const char *key_path;         /* its key, PEM without a password */
    const char *proxy;            /* "http://HOST:PORT": a tunnel, TLS goes through it to the peer */
};

/* The same with all there is to set. Every file is read now. ERR_LENGTH: the key is longer than a secret. */
MUST_USE enum err http_client_open(struct http_client **out, struct event_base *base,
                                   const struct http_client_settings *settings);

/* Ends every exchange without calling its handler. NULL is accepted. */
void http_client_free(struct http_client *client);

/* *out may be NULL. ERR_FULL: LIMIT_GATEWAY_IN_FLIGHT are under way. ERR_SYNTAX: method, URL or headers. ERR_MEMORY. */
MUST_USE enum err http_start(struct http_exchange **out, struct http_client *client,
                             const struct http_request *request, http_answer_h *answer_h, void *owner);

/* Ends an exchange without an answer; its handler is not called. Not from inside its own handler. NULL is accepted. */
void http_cancel(struct http_exchange *exchange);

size_t http_in_flight(const struct http_client *client);

#endif
