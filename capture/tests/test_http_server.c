/* The HTTPS server's limits, with short ones: slow peers, too many of them, deaf readers, strangers to TLS. */
#include "base/clock.h"
#include "capture/desk/http_server.h"
#include "capture/tests/desk_harness.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SHORT_MS    300
#define CONNECTIONS 4

static void answer_h(void *owner, struct http_connection *connection, const struct http_request *request)
{
    (void)owner;
    if (strcmp(request->path, "/stream") == 0) {
        static char part[4096];
        memset(part, 'x', sizeof(part));
        http_stream_begin(connection, part);
        http_stream_settle(connection);
        for (int i = 0; i < 4096 && http_stream_write(connection, part, sizeof(part)) == OK; i++)
            ;
        return;
    }
    if (strcmp(request->path, "/trusted") == 0)
        http_mark_trusted(connection);
    const struct http_reply reply = {.status = 200,
                                     .content_type = "text/plain",
                                     .body = request->body_length ? request->body : request->path,
                                     .length =
                                         request->body_length ? request->body_length : strlen(request->path)};
    http_reply_send(connection, &reply);
}

static void closed_h(void *owner, void *stream)
{
    (void)owner;
    (void)stream;
}

static void serve(struct harness *harness)
{
    SSL_CTX *tls;
    struct http_server *server;
    struct event_base *base = event_base_new();
    if (http_tls_new(&tls, harness->config.desk.certificate_path, harness->config.desk.key_path) != OK)
        _exit(2);
    const struct http_setup setup = {.base = base,
                                     .listen_fd = harness->listen_fd,
                                     .tls = tls,
                                     .limits = {.connections = CONNECTIONS,
                                                .request_ms = SHORT_MS,
                                                .idle_ms = SHORT_MS,
                                                .write_ms = SHORT_MS,
                                                .stream_backlog = 65536},
                                     .request_h = answer_h,
                                     .stream_closed_h = closed_h};
    if (http_server_new(&server, &setup) != OK)
        _exit(2);
    event_base_dispatch(base);
    _exit(0);
}

static int setup(void **state)
{
    struct harness *harness = calloc(1, sizeof(*harness));
    harness_new(harness, 0);
    harness->pid = fork();
    if (harness->pid == 0) {
        log_open(STDERR_FILENO, LOG_FORMAT_TEXT, LOG_ERROR, "server");
        serve(harness);
    }
    *state = harness;
    return 0;
}

/* Whatever the test did, the server lives and answers. */
static int teardown(void **state)
{
    struct harness *harness = *state;
    char *text;
    usleep((SHORT_MS + 600) * 1000);
    harness_raw(harness, "GET /alive HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 52, 2000, &text);
    bool is_alive = strstr(text, "/alive") != NULL;
    free(text);
    harness_free(harness);
    free(harness);
    return is_alive ? 0 : -1;
}

/* Milliseconds until the far end closes; -1 when it does not within three seconds. */
static int closes_after(int fd)
{
    char byte[256];
    struct mono_time start = mono_now();
    for (;;) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        int64_t left = 3000 - mono_elapsed_ms(start, mono_now());
        if (left <= 0 || poll(&wait, 1, (int)left) <= 0)
            return -1;
        if (recv(fd, byte, sizeof(byte), 0) <= 0)
            return (int)mono_elapsed_ms(start, mono_now());
    }
}

static void a_peer_that_says_nothing_is_cut(void **state)
{
    int fd = harness_connect(*state);
    int ms = closes_after(fd);
    close(fd);
    assert_in_range(ms, SHORT_MS - 50, 1500);
}

static SSL *begin(struct harness *harness, int *fd)
{
    *fd = harness_connect(harness);
    SSL *ssl = SSL_new(harness->client);
    SSL_set_fd(ssl, *fd);
    assert_int_equal(SSL_connect(ssl), 1);
    return ssl;
}

static void a_head_sent_byte_by_byte_is_cut_however_long_it_goes_on(void **state)
{
    int fd;
    SSL *ssl = begin(*state, &fd);
    struct mono_time start = mono_now();
    const char *text = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
    size_t at = 0;
    while (mono_elapsed_ms(start, mono_now()) < 3000) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (poll(&wait, 1, 40) == 1)
            break;
        if (SSL_write(ssl, text[at] ? &text[at] : "x", 1) <= 0)
            break;
        at += text[at] != '\0';
    }
    assert_in_range(mono_elapsed_ms(start, mono_now()), SHORT_MS - 50, 1500);
    SSL_free(ssl);
    close(fd);
}

static void bytes_that_are_no_tls_are_cut(void **state)
{
    int fd = harness_connect(*state);
    assert_int_equal(send(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27, 0), 27);
    assert_in_range(closes_after(fd), 0, 1500);
    close(fd);
}

static void old_tls_is_refused(void **state)
{
    struct harness *harness = *state;
    SSL_CTX *old = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(old, 0);
    SSL_CTX_set_min_proto_version(old, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(old, TLS1_1_VERSION);
    int fd = harness_connect(harness);
    SSL *ssl = SSL_new(old);
    SSL_set_fd(ssl, fd);
    assert_int_not_equal(SSL_connect(ssl), 1);
    SSL_free(ssl);
    SSL_CTX_free(old);
    close(fd);
}

static void requests_sent_at_once_are_answered_in_order(void **state)
{
    const char *text = "GET /one HTTP/1.1\r\nHost: a\r\n\r\nPOST /two HTTP/1.1\r\nHost: a\r\nContent-Length: "
                       "3\r\n\r\nTWOGET /three HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    char *answer;
    harness_raw(*state, text, strlen(text), 2000, &answer);
    char *one = strstr(answer, "/one");
    char *two = strstr(answer, "TWO");
    char *three = strstr(answer, "/three");
    assert_true(one && two && three && one < two && two < three);
    free(answer);
}

static void a_body_may_be_told_to_come(void **state)
{
    int fd;
    char text[4096] = "";
    SSL *ssl = begin(*state, &fd);
    const char *head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    assert_true(SSL_write(ssl, head, (int)strlen(head)) > 0);
    assert_true(SSL_read(ssl, text, sizeof(text) - 1) > 0);
    assert_non_null(strstr(text, "HTTP/1.1 100 Continue\r\n\r\n"));
    memset(text, 0, sizeof(text));
    assert_true(SSL_write(ssl, "HELLO", 5) > 0);
    assert_true(SSL_read(ssl, text, sizeof(text) - 1) > 0);
    assert_non_null(strstr(text, "HTTP/1.1 200"));
    SSL_free(ssl);
    close(fd);
}

static void when_it_is_full_a_stranger_makes_room_and_who_has_a_token_stays(void **state)
{
    struct harness *harness = *state;
    int fds[CONNECTIONS];
    int late;
    char text[2048] = "";
    SSL *trusted = begin(harness, &fds[0]);
    const char *request = "GET /trusted HTTP/1.1\r\nHost: a\r\n\r\n";
    SSL_write(trusted, request, (int)strlen(request));
    assert_true(SSL_read(trusted, text, sizeof(text) - 1) > 0);
    for (int i = 1; i < CONNECTIONS; i++)
        fds[i] = harness_connect(harness);
    SSL *ssl = begin(harness, &late);
    SSL_write(ssl, request, (int)strlen(request));
    memset(text, 0, sizeof(text));
    assert_true(SSL_read(ssl, text, sizeof(text) - 1) > 0);
    assert_non_null(strstr(text, "/trusted"));
    struct pollfd wait = {.fd = fds[1], .events = POLLIN};
    assert_int_equal(poll(&wait, 1, 100), 1); /* the oldest stranger was let go */
    SSL_write(trusted, request, (int)strlen(request));
    memset(text, 0, sizeof(text));
    assert_true(SSL_read(trusted, text, sizeof(text) - 1) > 0);
    assert_non_null(strstr(text, "/trusted"));
    SSL_free(trusted);
    SSL_free(ssl);
    close(late);
    for (int i = 0; i < CONNECTIONS; i++)
        close(fds[i]);
}

static void a_reader_of_streams_that_does_not_read_is_cut(void **state)
{
    int fd;
    SSL *ssl = begin(*state, &fd);
    const char *request = "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n";
    char part[16384];
    size_t got = 0;
    SSL_write(ssl, request, (int)strlen(request));
    usleep((SHORT_MS + 600) * 1000);
    for (int n; (n = SSL_read(ssl, part, sizeof(part))) > 0;)
        got += (size_t)n;
    assert_true(got < 16u << 20); /* it ended, well before all of it */
    SSL_free(ssl);
    close(fd);
}

static void a_peer_that_asks_and_leaves_at_each_byte_does_no_harm(void **state)
{
    const char *request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    for (size_t length = 1; length <= strlen(request); length += 3) {
        int fd;
        SSL *ssl = begin(*state, &fd);
        SSL_write(ssl, request, (int)length);
        struct linger now = {1, 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
        close(fd); /* a reset */
        SSL_free(ssl);
    }
}

int main(void)
{
#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        WITH_SERVER(a_peer_that_says_nothing_is_cut),
        WITH_SERVER(a_head_sent_byte_by_byte_is_cut_however_long_it_goes_on),
        WITH_SERVER(bytes_that_are_no_tls_are_cut),
        WITH_SERVER(old_tls_is_refused),
        WITH_SERVER(requests_sent_at_once_are_answered_in_order),
        WITH_SERVER(a_body_may_be_told_to_come),
        WITH_SERVER(when_it_is_full_a_stranger_makes_room_and_who_has_a_token_stays),
        WITH_SERVER(a_reader_of_streams_that_does_not_read_is_cut),
        WITH_SERVER(a_peer_that_asks_and_leaves_at_each_byte_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
