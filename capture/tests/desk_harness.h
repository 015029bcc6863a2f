/* A desk in a process of its own, wall and all, with the test as its supervisor, its vault, its proxy and its client:
 * whatever the desk says to anyone is read here, and nothing runs that the test did not ask for. */
#ifndef TONEGATE_CAPTURE_TESTS_DESK_HARNESS_H
#define TONEGATE_CAPTURE_TESTS_DESK_HARNESS_H

#include "base/config.h"
#include "base/role.h"
#include "capture/capture_msg.h"
#include "proxy/proxy_msg.h"

#include <jansson.h>
#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define HARNESS_TOKEN "test-token-of-agent-one-0123456789abcdef" /* no secret: it opens desks of tests only */
#define HARNESS_PATH  320

struct harness {
    struct config config;
    pid_t pid;
    int control_fd;
    int vault_fd; /* the test's end */
    int proxy_fd;
    int gateway_fd;
    int listen_fd; /* outlives the desk, as with the supervisor */
    uint16_t port;
    char folder[128];
    SSL_CTX *client;
    atomic_uint *sync_ms; /* shared with the desk: its disk takes so long for each sync */
};

/* port 0: any. All harness functions end the test program with a message when something cannot be done. */
void harness_new(struct harness *harness, uint16_t port);
void harness_free(struct harness *harness); /* stops a desk that runs, removes the folder */
void harness_start(struct harness *harness);
int harness_stop(struct harness *harness); /* by ROLE_STOP; the exit code */
void harness_kill(struct harness *harness);
void harness_path(const struct harness *harness, const char *name, char *out);

void harness_link_cut(struct harness *harness, enum role peer);
void harness_link_new(struct harness *harness, enum role peer);
void harness_drain(struct harness *harness);
/* Beats of the desk within so long; *longest_ms (may be NULL): the longest time without one. */
unsigned harness_beats(struct harness *harness, unsigned ms, int64_t *longest_ms);

/* The next message of this type on a link, others are skipped; false when none comes within two seconds. */
bool harness_receive(int fd, uint16_t type, void *message, size_t length);
/* True when nothing at all comes within ms. */
bool harness_is_quiet(int fd, unsigned ms);
void harness_send(int fd, const void *message);

/* What a proxy and a vault say. */
void harness_say_call(struct harness *harness, uint64_t call_id, enum proxy_call_state state,
                      const char *reference, const char *callee);
struct capture_progress_msg harness_progress(const struct capture_open_msg *open, enum capture_state state);
struct capture_store_msg harness_store(const struct capture_open_msg *open, enum capture_store_kind kind,
                                       uint32_t store_number);

struct harness_reply {
    int status;
    char *head; /* NULL: no answer */
    char *body;
    json_t *json; /* NULL: the body is none */
};
/* headers: further lines, each ended by \r\n, or NULL. With the token unless headers names Authorization. */
void harness_http(struct harness *harness, const char *method, const char *path, const char *headers,
                  const char *body, struct harness_reply *reply);
void harness_reply_free(struct harness_reply *reply);
/* error.code of a JSON error; "" when it is none. */
const char *harness_code(const struct harness_reply *reply);
/* Raw bytes over TLS, the whole answer until the desk closes or ms pass. *text is malloc'ed. */
size_t harness_raw(struct harness *harness, const void *bytes, size_t length, unsigned ms, char **text);

struct harness_stream {
    SSL *ssl;
    int fd;
    char *text;
    size_t length;
};
void harness_stream_open(struct harness *harness, const char *path, const char *headers,
                         struct harness_stream *stream);
/* The next event; false when none comes within two seconds or the stream ended. *data is the caller's. */
bool harness_stream_next(struct harness_stream *stream, char *name, size_t capacity, char *id,
                         size_t id_capacity, json_t **data);
void harness_stream_close(struct harness_stream *stream);

int harness_connect(const struct harness *harness); /* TCP only */

#endif
