/* Transport and transactions over TCP, and their limits, with the test as the layer's user and as the peer. */
#include "base/clock.h"
#include "base/log.h"
#include "proxy/sip/sip_message.h"
#include "proxy/sip/sip_transaction.h"

#include "base/tests/cmocka_all.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define T1_MS   100
#define WAIT_MS 1500

static struct rig {
    struct event_base *base;
    struct config config;
    int fds[2]; /* UDP, TCP */
    struct sip_transport *transport;
    struct sip_transactions *transactions;
    int listening; /* the peer's */
    int requests;
    sip_transaction_id last_server;
    osip_message_t *last_request;
    int timeouts;
    int responses;
    int cancels;
} rig;

static int bound(int type, const char *host, struct sockaddr_in *address)
{
    socklen_t size = sizeof(*address);
    *address = (struct sockaddr_in){.sin_family = AF_INET};
    inet_pton(AF_INET, host, &address->sin_addr);
    int fd = socket(AF_INET, type | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)address, sizeof(*address)) == 0 &&
                getsockname(fd, (struct sockaddr *)address, &size) == 0);
    return fd;
}

static void take_request(void *owner, enum config_trunk_name trunk, const struct sip_peer *peer,
                         sip_transaction_id server, osip_message_t *request)
{
    (void)owner;
    (void)trunk;
    (void)peer;
    rig.requests++;
    rig.last_server = server;
    osip_message_free(rig.last_request);
    rig.last_request = request;
}

static void take_ack(void *owner, enum config_trunk_name trunk, osip_message_t *ack)
{
    (void)owner;
    (void)trunk;
    osip_message_free(ack);
}

static void take_cancel(void *owner, sip_transaction_id server)
{
    (void)owner;
    assert_true(server == rig.last_server);
    rig.cancels++;
}

static void take_response(void *owner, uint64_t cookie, sip_transaction_id client, osip_message_t *response)
{
    (void)owner;
    (void)client;
    assert_true(cookie == 5);
    if (response)
        rig.responses++;
    else
        rig.timeouts++;
    osip_message_free(response);
}

static void take_stray(void *owner, enum config_trunk_name trunk, osip_message_t *response)
{
    (void)owner;
    (void)trunk;
    osip_message_free(response);
}

static void take_message(void *owner, enum config_trunk_name trunk, const struct sip_peer *peer,
                         osip_message_t *message)
{
    (void)owner;
    sip_transactions_take(rig.transactions, trunk, peer, message);
}

static int open_rig(void **state)
{
    (void)state;
    static const struct sip_transaction_user user = {take_request, take_ack, take_cancel, take_response,
                                                     take_stray};
    memset(&rig, 0, sizeof(rig));
    log_open(STDERR_FILENO, LOG_FORMAT_TEXT, LOG_ERROR, "test");
    rig.base = event_base_new();
    struct config *config = &rig.config;
    config->sip.listener_count = 2;
    config->sip.listeners[0].transport = CONFIG_UDP;
    config->sip.listeners[1].transport = CONFIG_TCP;
    rig.fds[0] = bound(SOCK_DGRAM, "127.0.0.1", &config->sip.listeners[0].address);
    rig.fds[1] = bound(SOCK_STREAM, "127.0.0.1", &config->sip.listeners[1].address);
    struct config_trunk *trunk = &config->sip.trunks[CONFIG_TRUNK_CARRIER];
    trunk->allow[0] = (struct config_source){.network = 0x7f000002, .mask = UINT32_MAX};
    trunk->allow_count = 1;
    trunk->transport = CONFIG_TCP;
    rig.listening = bound(SOCK_STREAM, "127.0.0.2", &trunk->target);
    if (listen(rig.fds[1], 8) != 0 || sip_message_init())
        return -1;
    enum err err = sip_transport_new(&rig.transport, rig.base, config, rig.fds, 2, take_message, NULL);
    if (!err)
        err = sip_transactions_new(&rig.transactions, rig.base, rig.transport, T1_MS, &user, NULL);
    return err ? -1 : 0;
}

static int close_rig(void **state)
{
    (void)state;
    osip_message_free(rig.last_request);
    sip_transactions_free(rig.transactions);
    sip_transport_free(rig.transport);
    event_base_free(rig.base);
    close(rig.fds[0]);
    close(rig.fds[1]);
    close(rig.listening);
    return 0;
}

static void turn_for(int ms)
{
    struct mono_time end = mono_add_ms(mono_now(), ms);
    do {
        struct timeval soon = {0, 1000};
        event_base_loopexit(rig.base, &soon);
        event_base_dispatch(rig.base);
    } while (!mono_reached(mono_now(), end));
}

static int connected(void)
{
    struct sockaddr_in from;
    int fd = bound(SOCK_STREAM, "127.0.0.2", &from);
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)connect(fd, (struct sockaddr *)&rig.config.sip.listeners[1].address, sizeof(from));
    turn_for(5);
    return fd;
}

static int request_text(char *text, size_t capacity, const char *method, int branch, const char *transport)
{
    return snprintf(text, capacity,
                    "%s sip:a@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/%s 127.0.0.2:%u;branch=z9hG4bKx%d\r\n"
                    "Max-Forwards: 70\r\nFrom: <sip:b@127.0.0.2>;tag=f\r\nTo: <sip:a@127.0.0.1>\r\n"
                    "Call-ID: c%d\r\nCSeq: 1 %s\r\nContact: <sip:b@127.0.0.2>\r\nContent-Length: 0\r\n\r\n",
                    method, transport, ntohs(rig.config.sip.trunks[0].target.sin_port), branch, branch,
                    method);
}

static void answer(int status)
{
    osip_message_t *response = sip_message_response(rig.last_request, status, "tag");
    assert_non_null(response);
    assert_int_equal(sip_transaction_respond(rig.transactions, rig.last_server, response), OK);
}

static void a_stream_may_be_cut_anywhere_and_joined_anyhow(void **state)
{
    (void)state;
    char text[4096];
    int length = request_text(text, sizeof(text), "OPTIONS", 1, "TCP");
    int fd = connected();
    for (int i = 0; i < length; i++) { /* one byte a segment */
        assert_int_equal(write(fd, text + i, 1), 1);
        if (i % 16 == 0)
            turn_for(0);
    }
    turn_for(10);
    assert_int_equal(rig.requests, 1);
    length = request_text(text, sizeof(text), "OPTIONS", 2, "TCP");
    length += snprintf(text + length, 5, "\r\n\r\n"); /* keep-alive between */
    length += request_text(text + length, sizeof(text) - (size_t)length, "OPTIONS", 3, "TCP");
    assert_int_equal(write(fd, text, (size_t)length), length);
    turn_for(10);
    assert_int_equal(rig.requests, 3);
    answer(200);
    turn_for(5);
    char reply[2048];
    ssize_t got = recv(fd, reply, sizeof(reply) - 1, MSG_DONTWAIT);
    assert_true(got > 0);
    assert_memory_equal(reply, "SIP/2.0 200", 11);
    close(fd);
}

static void a_response_finds_its_way_when_the_connection_is_gone(void **state)
{
    (void)state;
    char text[2048];
    int length = request_text(text, sizeof(text), "INVITE", 1, "TCP");
    int fd = connected();
    assert_int_equal(write(fd, text, (size_t)length), length);
    turn_for(10);
    assert_int_equal(rig.requests, 1);
    close(fd);
    turn_for(10);
    assert_int_equal(listen(rig.listening, 4), 0);
    answer(486);
    turn_for(10);
    int back = accept(rig.listening, NULL, NULL); /* at the port of its Via (RFC 3261 §18.2.2) */
    assert_true(back >= 0);
    ssize_t got = recv(back, text, sizeof(text), MSG_DONTWAIT);
    assert_true(got > 0);
    assert_memory_equal(text, "SIP/2.0 486", 11);
    close(back);
}

static sip_transaction_id ask(const char *method)
{
    sip_transaction_id client = 0;
    osip_message_t *request = sip_message_request(method, "sip:b@127.0.0.2", "<sip:a@127.0.0.1>;tag=a",
                                                  "<sip:b@127.0.0.2>", "ask@127.0.0.1", 1);
    struct sip_peer peer = sip_transport_trunk(rig.transport, CONFIG_TRUNK_CARRIER);
    assert_int_equal(sip_transaction_request(rig.transactions, &peer, request, 5, &client), OK);
    return client;
}

/* Nobody listens: told at once, not after 64 T1 (6.4 s here). */
static void a_connection_that_is_refused_or_breaks_is_told_at_once(void **state)
{
    (void)state;
    ask("INVITE");
    turn_for(200);
    assert_int_equal(rig.timeouts, 1);
    assert_int_equal(listen(rig.listening, 4), 0);
    ask("OPTIONS");
    turn_for(20);
    int back = accept(rig.listening, NULL, NULL);
    assert_true(back >= 0);
    assert_int_equal(rig.timeouts, 1);
    close(back);
    turn_for(50);
    assert_int_equal(rig.timeouts, 2);
}

static void requests_reuse_one_connection(void **state)
{
    (void)state;
    assert_int_equal(listen(rig.listening, 4), 0);
    for (int i = 0; i < 5; i++)
        ask("OPTIONS");
    turn_for(20);
    int back = accept(rig.listening, NULL, NULL);
    assert_true(back >= 0);
    assert_true(accept(rig.listening, NULL, NULL) < 0);
    char text[8192];
    ssize_t got = recv(back, text, sizeof(text) - 1, MSG_DONTWAIT);
    assert_true(got > 0);
    text[got] = '\0';
    int count = 0;
    for (const char *at = text; (at = strstr(at, "OPTIONS sip:")); at++)
        count++;
    assert_int_equal(count, 5);
    close(back);
}

static void take_text(const char *text, int length, enum config_trunk_name trunk)
{
    struct sip_peer peer = {.transport = CONFIG_UDP, .address = rig.config.sip.trunks[0].target};
    osip_message_t *message = NULL;
    assert_int_equal(osip_message_init(&message), 0);
    assert_int_equal(osip_message_parse(message, text, (size_t)length), 0);
    sip_transactions_take(rig.transactions, trunk, &peer, message);
}

/* A flood from a trunk's address fills its share and no more; our own requests still go out. */
static void a_flood_of_transactions_is_bounded_and_leaves_room_for_ours(void **state)
{
    (void)state;
    char text[1024];
    for (int i = 0; i < LIMIT_SIP_TRANSACTIONS; i++) {
        int length = request_text(text, sizeof(text), "OPTIONS", i, "UDP");
        take_text(text, length, CONFIG_TRUNK_CARRIER);
    }
    struct sip_transaction_counts counts;
    sip_transaction_counts(rig.transactions, &counts);
    assert_int_equal(counts.live, LIMIT_SIP_TRANSACTIONS / 4 * 3);
    assert_int_equal(counts.refused_full, LIMIT_SIP_TRANSACTIONS / 4);
    assert_true(ask("BYE") != 0);
}

/* RFC 3261 §17.2.3: branch, sent-by and method. */
static void the_same_branch_from_another_sender_or_method_is_another_transaction(void **state)
{
    (void)state;
    char text[1024];
    int length = request_text(text, sizeof(text), "INVITE", 1, "UDP");
    take_text(text, length, CONFIG_TRUNK_CARRIER);
    take_text(text, length, CONFIG_TRUNK_CARRIER);
    assert_int_equal(rig.requests, 1);
    length = request_text(text, sizeof(text), "OPTIONS", 1, "UDP");
    take_text(text, length, CONFIG_TRUNK_CARRIER);
    assert_int_equal(rig.requests, 2);
    length = request_text(text, sizeof(text), "INVITE", 1, "UDP");
    char *last_of_port = strstr(text, ";branch") - 1;
    *last_of_port = *last_of_port == '9' ? '8' : '9';
    take_text(text, length, CONFIG_TRUNK_CARRIER);
    assert_int_equal(rig.requests, 3);
}

static void a_cancel_of_the_other_trunk_cancels_nothing(void **state)
{
    (void)state;
    char text[1024];
    int length = request_text(text, sizeof(text), "INVITE", 1, "UDP");
    take_text(text, length, CONFIG_TRUNK_CARRIER);
    length = request_text(text, sizeof(text), "CANCEL", 1, "UDP");
    take_text(text, length, CONFIG_TRUNK_CONTACT_CENTRE);
    assert_int_equal(rig.cancels, 0);
    length = request_text(text, sizeof(text), "INVITE", 2, "UDP");
    take_text(text, length, CONFIG_TRUNK_CARRIER);
    length = request_text(text, sizeof(text), "CANCEL", 2, "UDP");
    take_text(text, length, CONFIG_TRUNK_CARRIER);
    assert_int_equal(rig.cancels, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_rig, close_rig)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_stream_may_be_cut_anywhere_and_joined_anyhow),
        TEST(a_response_finds_its_way_when_the_connection_is_gone),
        TEST(a_connection_that_is_refused_or_breaks_is_told_at_once),
        TEST(requests_reuse_one_connection),
        TEST(a_flood_of_transactions_is_bounded_and_leaves_room_for_ours),
        TEST(a_cancel_of_the_other_trunk_cancels_nothing),
        TEST(the_same_branch_from_another_sender_or_method_is_another_transaction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
