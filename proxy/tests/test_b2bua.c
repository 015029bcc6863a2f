/* The B2BUA message by message: two peers of the test's own on loopback, real transport and transactions between them, a
 * fake media plane behind. T1 is 20 ms, so that retransmissions and time-outs are seen and not waited for. */
#include "base/clock.h"
#include "base/log.h"
#include "proxy/sip/b2bua.h"
#include "proxy/sip/call_table.h"
#include "proxy/tests/fake_media.h"

#include "base/tests/cmocka_all.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define T1_MS     20
#define CALLS_MAX 3
#define WAIT_MS   1500

enum { CARRIER, CENTRE, STRANGER, PEERS };
static const char *const peer_hosts[PEERS] = {"127.0.0.2", "127.0.0.3", "127.0.0.9"};

static struct rig {
    struct event_base *base;
    struct b2bua *b2bua;
    struct config config;
    int sip_fd;
    int table_fd;
    int peers[PEERS];
    uint16_t ports[PEERS];
    uint16_t our_port;
    char message[9000]; /* the last one received */
    unsigned branch;
    int told[3]; /* PROXY_CALL by state */
    uint64_t gone_capture;
    uint64_t call_id;
} rig;

static int bound_socket(const char *host, uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof(address);
    inet_pton(AF_INET, host, &address.sin_addr);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        return -1;
    *port = ntohs(address.sin_port);
    return fd;
}

static void call_told(void *owner, const struct proxy_call_msg *call, uint64_t capture_id)
{
    (void)owner;
    rig.told[call->state]++;
    rig.call_id = call->header.subject;
    if (call->state == PROXY_CALL_ENDED)
        rig.gone_capture = capture_id;
}

static void start_b2bua(void)
{
    const struct b2bua_options options = {.base = rig.base,
                                          .config = &rig.config,
                                          .sip_fds = &rig.sip_fd,
                                          .sip_fd_count = 1,
                                          .call_table_fd = rig.table_fd,
                                          .t1_ms = T1_MS,
                                          .call_h = call_told};
    assert_int_equal(b2bua_new(&rig.b2bua, &options), OK);
}

static int open_rig(void **state)
{
    (void)state;
    memset(&rig, 0, sizeof(rig));
    fake_media = (struct fake_media){.open_max = 100};
    log_open(STDERR_FILENO, LOG_FORMAT_TEXT, LOG_ERROR, "test");
    rig.base = event_base_new();
    rig.sip_fd = bound_socket("127.0.0.1", &rig.our_port);
    char text[2048];
    for (int i = 0; i < PEERS; i++)
        rig.peers[i] = bound_socket(peer_hosts[i], &rig.ports[i]);
    snprintf(text, sizeof(text),
             "sip:\n  listen: [{transport: udp, address: '127.0.0.1:%u'}]\n  calls_max: %d\n  "
             "crossing_headers: [X-Ref]\n"
             "  reference_header: X-Ref\n  stranger_rate: 2\n  trunks:\n"
             "    carrier: {allow: ['127.0.0.2'], target: '127.0.0.2:%u'}\n"
             "    contact_centre: {allow: ['127.0.0.3'], target: '127.0.0.3:%u'}\n"
             "media: {address: '127.0.0.1', ports: '30000-30099'}\n"
             "gateway: {url: 'https://x', api_key_file: x}\n"
             "desk: {listen: '127.0.0.1:1', certificate: x, key: x, database: x, audit: x, tokens: [{name: "
             "a, file: b}]}\n",
             rig.our_port, CALLS_MAX, rig.ports[CARRIER], rig.ports[CENTRE]);
    char message[CONFIG_ERROR_BYTES];
    if (config_parse(&rig.config, "rig", text, strlen(text), message)) {
        fprintf(stderr, "%s\n", message);
        return -1;
    }
    rig.table_fd = memfd_create("table", 0);
    if (ftruncate(rig.table_fd, (off_t)call_table_bytes(&rig.config)) != 0)
        return -1;
    start_b2bua();
    return 0;
}

static int close_rig(void **state)
{
    (void)state;
    b2bua_free(rig.b2bua);
    event_base_free(rig.base);
    for (int i = 0; i < PEERS; i++)
        close(rig.peers[i]);
    close(rig.sip_fd);
    close(rig.table_fd);
    return 0;
}

static void turn(void)
{
    struct timeval soon = {0, 1000};
    event_base_loopexit(rig.base, &soon);
    event_base_dispatch(rig.base);
}

static void turn_for(int ms)
{
    struct mono_time end = mono_add_ms(mono_now(), ms);
    while (!mono_reached(mono_now(), end))
        turn();
}

static bool receive_within(int peer, int ms)
{
    struct mono_time end = mono_add_ms(mono_now(), ms);
    do {
        ssize_t length = recv(rig.peers[peer], rig.message, sizeof(rig.message) - 1, MSG_DONTWAIT);
        if (length >= 0) {
            rig.message[length] = '\0';
            return true;
        }
        turn();
    } while (!mono_reached(mono_now(), end));
    rig.message[0] = '\0';
    return false;
}

/* The next message that is not a copy of what was seen and begins like this. */
static void expect(int peer, const char *begin)
{
    if (!receive_within(peer, WAIT_MS))
        fail_msg("%s: nothing came, expected \"%s\"", peer_hosts[peer], begin);
    if (strncmp(rig.message, begin, strlen(begin)) != 0)
        fail_msg("%s: expected \"%s\", got \"%.60s\"", peer_hosts[peer], begin, rig.message);
}

static void expect_silence(int peer, int ms)
{
    if (receive_within(peer, ms))
        fail_msg("%s: expected nothing, got \"%.60s\"", peer_hosts[peer], rig.message);
}

/* The value of a header of the last message, into a buffer of 300. */
static const char *header_of(const char *name, char *value)
{
    char line[64];
    snprintf(line, sizeof(line), "\r\n%s: ", name);
    const char *at = strstr(rig.message, line);
    value[0] = '\0';
    if (!at)
        return value;
    at += strlen(line);
    snprintf(value, 300, "%.*s", (int)strcspn(at, "\r"), at);
    return value;
}

static void send_text(int peer, const char *text)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(rig.our_port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(sendto(rig.peers[peer], text, strlen(text), 0, (struct sockaddr *)&to, sizeof(to)),
                     strlen(text));
}

static const char sdp_offer[] = "v=0\r\no=- 1 1 IN IP4 127.0.0.2\r\ns=-\r\nc=IN IP4 127.0.0.2\r\nt=0 0\r\n"
                                "m=audio 40000 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\n";
static const char sdp_answer[] = "v=0\r\no=- 5 5 IN IP4 127.0.0.3\r\ns=-\r\nc=IN IP4 127.0.0.3\r\nt=0 0\r\n"
                                 "m=audio 50000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n";

/* One side's dialog, as the test keeps it. */
struct talk {
    int peer;
    char call_id[100];
    char local[300];  /* with tag */
    char remote[300]; /* with tag once it is known */
    char uri[300];
    char branch[40];
    unsigned cseq;
};

static void talk_begin(struct talk *talk, int peer, const char *call_id)
{
    *talk = (struct talk){.peer = peer, .cseq = 0};
    snprintf(talk->call_id, sizeof(talk->call_id), "%s", call_id);
    snprintf(talk->local, sizeof(talk->local), "\"A\" <sip:123@%s>;tag=t%s", peer_hosts[peer], call_id);
    snprintf(talk->remote, sizeof(talk->remote), "<sip:service@127.0.0.1>");
    snprintf(talk->uri, sizeof(talk->uri), "sip:service@127.0.0.1:%u", rig.our_port);
}

static void request_with(struct talk *talk, const char *method, const char *extra, const char *type,
                         const char *body)
{
    char text[4096];
    bool is_same = strcmp(method, "ACK") == 0 || strcmp(method, "CANCEL") == 0;
    if (!is_same)
        talk->cseq++;
    if (strcmp(method, "CANCEL") != 0)
        snprintf(talk->branch, sizeof(talk->branch), "z9hG4bKtest%u", ++rig.branch);
    snprintf(text, sizeof(text),
             "%s %s SIP/2.0\r\nVia: SIP/2.0/UDP %s:%u;branch=%s;rport\r\nMax-Forwards: 70\r\nFrom: %s\r\nTo: "
             "%s\r\n"
             "Call-ID: %s\r\nCSeq: %u %s\r\nContact: <sip:me@%s:%u>\r\n%s%s%s%sContent-Length: %zu\r\n\r\n%s",
             method, talk->uri, peer_hosts[talk->peer], rig.ports[talk->peer], talk->branch, talk->local,
             talk->remote, talk->call_id, talk->cseq, method, peer_hosts[talk->peer], rig.ports[talk->peer],
             extra, *body ? "Content-Type: " : "", *body ? type : "", *body ? "\r\n" : "", strlen(body),
             body);
    send_text(talk->peer, text);
}

static void request(struct talk *talk, const char *method, const char *body)
{
    request_with(talk, method, "", "application/sdp", body);
}

/* Answers the last message received there, an INVITE or any request. */
static void respond(int peer, const char *status, const char *tag, const char *body)
{
    char text[4096];
    char via[300], from[300], to[300], call_id[300], cseq[300];
    header_of("Via", via);
    header_of("From", from);
    header_of("To", to);
    header_of("Call-ID", call_id);
    header_of("CSeq", cseq);
    bool has_tag = strstr(to, ";tag=") != NULL;
    snprintf(text, sizeof(text),
             "SIP/2.0 %s\r\nVia: %s\r\nFrom: %s\r\nTo: %s%s%s\r\nCall-ID: %s\r\nCSeq: %s\r\nContact: "
             "<sip:agent@%s:%u>\r\n"
             "%sContent-Length: %zu\r\n\r\n%s",
             status, via, from, to, has_tag ? "" : ";tag=", has_tag ? "" : tag, call_id, cseq,
             peer_hosts[peer], rig.ports[peer], *body ? "Content-Type: application/sdp\r\n" : "",
             strlen(body), body);
    send_text(peer, text);
}

/* What the test's side of the other dialog must say, from the INVITE that arrived there. */
static void talk_from_invite(struct talk *talk, int peer, const char *tag)
{
    char value[300];
    *talk = (struct talk){.peer = peer, .cseq = 100};
    snprintf(talk->call_id, sizeof(talk->call_id), "%.90s", header_of("Call-ID", value));
    header_of("From", talk->remote);
    snprintf(talk->local, sizeof(talk->local), "%.200s;tag=%s", header_of("To", value), tag);
    snprintf(talk->uri, sizeof(talk->uri), "sip:tonegate@127.0.0.1:%u", rig.our_port);
}

static void talk_answered(struct talk *talk)
{
    header_of("To", talk->remote);
}

/* A call from carrier to contact centre, up to the ACKs. */
static void make_call(struct talk *caller, struct talk *agent, const char *id)
{
    talk_begin(caller, CARRIER, id);
    request_with(caller, "INVITE", "X-Ref: r1\r\nX-Secret: no\r\nSubject: no\r\n", "application/sdp",
                 sdp_offer);
    expect(CARRIER, "SIP/2.0 100");
    expect(CENTRE, "INVITE sip:service@127.0.0.3");
    assert_null(strstr(rig.message, "X-Secret"));
    assert_null(strstr(rig.message, "Subject"));
    assert_non_null(strstr(rig.message, "X-Ref: r1"));
    assert_non_null(strstr(rig.message, "m=audio 300"));
    talk_from_invite(agent, CENTRE, "agent");
    respond(CENTRE, "200 OK", "agent", sdp_answer);
    expect(CARRIER, "SIP/2.0 200");
    talk_answered(caller);
    assert_non_null(strstr(rig.message, "c=IN IP4 127.0.0.1"));
    request(caller, "ACK", "");
    expect(CENTRE, "ACK sip:agent@");
    turn_for(5);
}

static void a_call_is_made_and_ended_from_either_side(void **state)
{
    (void)state;
    struct talk caller, agent;
    make_call(&caller, &agent, "one");
    assert_int_equal(fake_media.updates, 1);
    assert_int_equal(ntohs(fake_media.legs[MEDIA_CALLER].rtp_remote.sin_port), 40000);
    assert_int_equal(ntohs(fake_media.legs[MEDIA_AGENT].rtp_remote.sin_port), 50000);
    request(&caller, "BYE", "");
    expect(CARRIER, "SIP/2.0 200");
    expect(CENTRE, "BYE sip:agent@");
    respond(CENTRE, "200 OK", "", "");
    assert_int_equal(fake_media.open, 0);
    make_call(&caller, &agent, "two");
    request(&agent, "BYE", "");
    expect(CENTRE, "SIP/2.0 200");
    expect(CARRIER, "BYE sip:me@");
    assert_int_equal(b2bua_call_count(rig.b2bua), 0);
    assert_int_equal(rig.told[PROXY_CALL_RINGING], 2);
    assert_int_equal(rig.told[PROXY_CALL_ANSWERED], 2);
    assert_int_equal(rig.told[PROXY_CALL_ENDED], 2);
}

static void an_unanswered_request_is_sent_again_and_given_up(void **state)
{
    (void)state;
    struct talk caller;
    talk_begin(&caller, CARRIER, "lost");
    request(&caller, "INVITE", sdp_offer);
    expect(CARRIER, "SIP/2.0 100");
    int copies = 0;
    struct mono_time begun = mono_now();
    while (receive_within(CENTRE, 64 * T1_MS + 500) && mono_elapsed_ms(begun, mono_now()) < 64 * T1_MS)
        copies += strncmp(rig.message, "INVITE", 6) == 0;
    assert_in_range(copies, 5, 8); /* timer A doubles: 7 in 64 T1 */
    expect(CARRIER, "SIP/2.0 408");
    request(&caller, "ACK", "");
    turn_for(20);
    assert_int_equal(b2bua_call_count(rig.b2bua), 0);
    assert_int_equal(fake_media.open, 0);
}

static void a_request_that_comes_again_is_answered_again_and_not_passed_on_again(void **state)
{
    (void)state;
    struct talk caller;
    talk_begin(&caller, CARRIER, "again");
    request(&caller, "INVITE", sdp_offer);
    expect(CARRIER, "SIP/2.0 100");
    expect(CENTRE, "INVITE");
    respond(CENTRE, "486 Busy Here", "b", "");
    expect(CENTRE, "ACK");
    expect(CARRIER, "SIP/2.0 486");
    expect(CARRIER, "SIP/2.0 486"); /* timer G */
    talk_answered(&caller);
    caller.cseq--;
    rig.branch--;
    request(&caller, "INVITE", sdp_offer); /* the same once more */
    expect(CARRIER, "SIP/2.0 486");
    rig.branch--;
    request(&caller, "ACK", "");
    turn_for(20);
    while (receive_within(CARRIER, 5)) {
    }
    expect_silence(CARRIER, 8 * T1_MS);
    expect_silence(CENTRE, 5);
}

static void an_answer_is_repeated_until_its_ack_and_without_one_the_call_ends(void **state)
{
    (void)state;
    struct talk caller;
    talk_begin(&caller, CARRIER, "noack");
    request(&caller, "INVITE", sdp_offer);
    expect(CARRIER, "SIP/2.0 100");
    expect(CENTRE, "INVITE");
    respond(CENTRE, "200 OK", "agent", sdp_answer);
    expect(CENTRE, "ACK");
    for (int i = 0; i < 4; i++)
        expect(CARRIER, "SIP/2.0 200");
    struct mono_time begun = mono_now();
    while (strncmp(rig.message, "BYE", 3) != 0) {
        assert_true(mono_elapsed_ms(begun, mono_now()) < 64 * T1_MS + 1000);
        (void)receive_within(CARRIER, 100);
    }
    expect(CENTRE, "BYE");
    assert_int_equal(b2bua_call_count(rig.b2bua), 0);
}

static void a_repeated_answer_is_acknowledged_again(void **state)
{
    (void)state;
    struct talk caller, agent;
    talk_begin(&caller, CARRIER, "reack");
    request(&caller, "INVITE", sdp_offer);
    expect(CARRIER, "SIP/2.0 100");
    expect(CENTRE, "INVITE");
    talk_from_invite(&agent, CENTRE, "agent");
    char invite[sizeof(rig.message)];
    memcpy(invite, rig.message, sizeof(invite));
    respond(CENTRE, "200 OK", "agent", sdp_answer);
    expect(CENTRE, "ACK");
    memcpy(rig.message, invite, sizeof(invite));
    respond(CENTRE, "200 OK", "agent", sdp_answer);
    expect(CENTRE, "ACK");
    expect(CARRIER, "SIP/2.0 200");
    talk_answered(&caller);
    request(&caller, "ACK", "");
    turn_for(5);
    memcpy(rig.message, invite, sizeof(invite));
    respond(CENTRE, "200 OK", "agent", sdp_answer);
    expect(CENTRE, "ACK");
}

static void a_cancel_reaches_the_other_side_and_crossing_answers_are_ended(void **state)
{
    (void)state;
    struct talk caller;
    talk_begin(&caller, CARRIER, "cancel");
    request(&caller, "INVITE", sdp_offer);
    expect(CARRIER, "SIP/2.0 100");
    expect(CENTRE, "INVITE");
    char invite[sizeof(rig.message)];
    memcpy(invite, rig.message, sizeof(invite));
    respond(CENTRE, "180 Ringing", "agent", "");
    expect(CARRIER, "SIP/2.0 180");
    request(&caller, "CANCEL", "");
    expect(CARRIER, "SIP/2.0 200");
    expect(CARRIER, "SIP/2.0 487");
    expect(CENTRE, "CANCEL");
    assert_int_equal(fake_media.open, 0);
    /* The agent had just answered. */
    memcpy(rig.message, invite, sizeof(invite));
    respond(CENTRE, "200 OK", "agent", sdp_answer);
    bool has_bye = false, has_ack = false;
    for (int i = 0; i < 6 && !(has_bye && has_ack) && receive_within(CENTRE, WAIT_MS); i++) {
        has_ack |= strncmp(rig.message, "ACK", 3) == 0;
        has_bye |= strncmp(rig.message, "BYE", 3) == 0;
    }
    assert_true(has_ack && has_bye);
    assert_int_equal(b2bua_call_count(rig.b2bua), 0);
    assert_int_equal(rig.told[PROXY_CALL_ENDED], 1);
}

static void a_late_offer_is_answered_with_the_ack(void **state)
{
    (void)state;
    struct talk caller;
    talk_begin(&caller, CARRIER, "late");
    request(&caller, "INVITE", "");
    expect(CARRIER, "SIP/2.0 100");
    expect(CENTRE, "INVITE");
    assert_null(strstr(rig.message, "m=audio"));
    respond(CENTRE, "200 OK", "agent", sdp_answer);
    expect(CARRIER, "SIP/2.0 200");
    assert_non_null(strstr(rig.message, "m=audio 300"));
    talk_answered(&caller);
    assert_int_equal(fake_media.updates, 0);
    request(&caller, "ACK", sdp_offer);
    expect(CENTRE, "ACK");
    assert_non_null(strstr(rig.message, "m=audio 300"));
    assert_int_equal(fake_media.updates, 1);
    assert_int_equal(ntohs(fake_media.legs[MEDIA_AGENT].rtp_remote.sin_port), 50000);
}

static void hold_and_codec_change_go_through_and_glare_is_refused(void **state)
{
    (void)state;
    struct talk caller, agent;
    char text[600];
    make_call(&caller, &agent, "hold");
    snprintf(text, sizeof(text), "%sa=sendonly\r\n", sdp_offer);
    request(&caller, "INVITE", text);
    expect(CARRIER, "SIP/2.0 100");
    expect(CENTRE, "INVITE sip:agent@");
    assert_non_null(strstr(rig.message, "a=sendonly"));
    char invite[sizeof(rig.message)];
    memcpy(invite, rig.message, sizeof(invite));
    request(&agent, "INVITE", sdp_answer); /* at the same time */
    expect(CENTRE, "SIP/2.0 491");
    request(&agent, "ACK", "");
    memcpy(rig.message, invite, sizeof(invite));
    snprintf(text, sizeof(text), "%sa=recvonly\r\n", sdp_answer);
    respond(CENTRE, "200 OK", "agent", text);
    expect(CENTRE, "ACK");
    expect(CARRIER, "SIP/2.0 200");
    assert_non_null(strstr(rig.message, "a=recvonly"));
    request(&caller, "ACK", "");
    turn_for(5);
    assert_int_equal(fake_media.updates, 2);
    assert_false(fake_media.legs[MEDIA_CALLER].is_receiving);
    /* A codec we do not have: refused, and the call goes on. */
    request(&caller, "INVITE",
            "v=0\r\no=- 1 3 IN IP4 127.0.0.2\r\ns=-\r\nc=IN IP4 127.0.0.2\r\nt=0 0\r\nm=audio 40000 RTP/AVP "
            "18\r\n");
    expect(CARRIER, "SIP/2.0 100");
    expect(CARRIER, "SIP/2.0 488");
    request(&caller, "ACK", "");
    assert_int_equal(b2bua_call_count(rig.b2bua), 1);
}

/* The answers of two forks: who answers first has the call, the other is acknowledged and ended, however often it says it. */
static void a_second_fork_is_acknowledged_and_ended(void **state)
{
    (void)state;
    struct talk caller;
    talk_begin(&caller, CARRIER, "fork");
    request(&caller, "INVITE", sdp_offer);
    expect(CARRIER, "SIP/2.0 100");
    expect(CENTRE, "INVITE");
    char invite[sizeof(rig.message)];
    memcpy(invite, rig.message, sizeof(invite));
    respond(CENTRE, "180 Ringing", "first", "");
    expect(CARRIER, "SIP/2.0 180");
    memcpy(rig.message, invite, sizeof(invite));
    respond(CENTRE, "183 Session Progress", "second", sdp_answer);
    expect(CARRIER, "SIP/2.0 183");
    memcpy(rig.message, invite, sizeof(invite));
    respond(CENTRE, "200 OK", "first", sdp_answer);
    expect(CARRIER, "SIP/2.0 200");
    talk_answered(&caller);
    request(&caller, "ACK", "");
    expect(CENTRE, "ACK");
    assert_non_null(strstr(rig.message, "tag=first"));
    for (int i = 0; i < 2; i++) {
        memcpy(rig.message, invite, sizeof(invite));
        respond(CENTRE, "200 OK", "second", sdp_answer);
        expect(CENTRE, "ACK");
        assert_non_null(strstr(rig.message, "tag=second"));
        expect(CENTRE, "BYE");
        assert_non_null(strstr(rig.message, "tag=second"));
        respond(CENTRE, "200 OK", "", "");
        turn_for(5);
    }
    assert_int_equal(b2bua_call_count(rig.b2bua), 1);
    request(&caller, "BYE", "");
    expect(CARRIER, "SIP/2.0 200");
    expect(CENTRE, "BYE");
    assert_non_null(strstr(rig.message, "tag=first"));
}

/* The caller cancels, and then both forks answer; he says BYE for good measure. */
static void every_fork_that_answers_a_cancelled_call_is_ended(void **state)
{
    (void)state;
    struct talk caller;
    talk_begin(&caller, CARRIER, "forks2");
    request(&caller, "INVITE", sdp_offer);
    expect(CARRIER, "SIP/2.0 100");
    expect(CENTRE, "INVITE");
    char invite[sizeof(rig.message)];
    memcpy(invite, rig.message, sizeof(invite));
    respond(CENTRE, "180 Ringing", "first", "");
    expect(CARRIER, "SIP/2.0 180");
    talk_answered(&caller);
    request(&caller, "BYE", "");
    expect(CARRIER, "SIP/2.0 200");
    expect(CARRIER, "SIP/2.0 487");
    caller.cseq++;
    request(&caller, "BYE", "");
    static const char *const tags[] = {"first", "second"};
    for (int i = 0; i < 2; i++) {
        memcpy(rig.message, invite, sizeof(invite));
        respond(CENTRE, "200 OK", tags[i], sdp_answer);
        int acks = 0, byes = 0;
        for (int n = 0; n < 12 && !(acks && byes) && receive_within(CENTRE, WAIT_MS); n++) {
            bool is_of_fork = strstr(rig.message, tags[i]) != NULL;
            acks += is_of_fork && strncmp(rig.message, "ACK", 3) == 0;
            byes += is_of_fork && strncmp(rig.message, "BYE", 3) == 0;
        }
        assert_true(acks && byes);
    }
    assert_int_equal(b2bua_call_count(rig.b2bua), 0);
}

static void offers_that_cross_are_refused_also_between_update_and_invite(void **state)
{
    (void)state;
    struct talk caller, agent;
    make_call(&caller, &agent, "glare");
    request(&agent, "UPDATE", sdp_answer);
    expect(CARRIER, "UPDATE sip:me@");
    char update[sizeof(rig.message)];
    memcpy(update, rig.message, sizeof(update));
    request(&caller, "INVITE", sdp_offer);
    expect(CARRIER, "SIP/2.0 491");
    request(&caller, "ACK", "");
    request(&caller, "UPDATE", sdp_offer);
    expect(CARRIER, "SIP/2.0 491");
    memcpy(rig.message, update, sizeof(update));
    respond(CARRIER, "200 OK", "", sdp_offer);
    expect(CENTRE, "SIP/2.0 200");
    request(&caller, "UPDATE", sdp_offer); /* now it may */
    expect(CENTRE, "UPDATE");
}

static void an_update_changes_the_description_both_ways(void **state)
{
    (void)state;
    struct talk caller, agent;
    make_call(&caller, &agent, "update");
    request(&agent, "UPDATE", sdp_answer);
    expect(CARRIER, "UPDATE sip:me@");
    respond(CARRIER, "200 OK", "", sdp_offer);
    expect(CENTRE, "SIP/2.0 200");
    assert_non_null(strstr(rig.message, "m=audio 300"));
    assert_int_equal(fake_media.updates, 2);
    request(&caller, "UPDATE", ""); /* a refresh without SDP ends here */
    expect(CARRIER, "SIP/2.0 200");
    expect_silence(CENTRE, 10);
}

static void an_info_key_is_kept_back_on_an_armed_leg_and_passed_on_otherwise(void **state)
{
    (void)state;
    struct talk caller, agent;
    make_call(&caller, &agent, "info");
    request_with(&caller, "INFO", "", "application/dtmf-relay", "Signal=5\r\nDuration=160\r\n");
    expect(CENTRE, "INFO sip:agent@");
    assert_non_null(strstr(rig.message, "Signal=5"));
    respond(CENTRE, "200 OK", "", "");
    expect(CARRIER, "SIP/2.0 200");
    fake_media.is_armed = true;
    request_with(&caller, "INFO", "", "application/dtmf-relay", "Signal=7\r\nDuration=160\r\n");
    expect(CARRIER, "SIP/2.0 200");
    assert_int_equal(fake_media.last_key, 7);
    request_with(&caller, "INFO", "", "application/dtmf", "#");
    expect(CARRIER, "SIP/2.0 200");
    assert_int_equal(fake_media.last_key, DTMF_KEY_POUND);
    request_with(&caller, "INFO", "", "application/dtmf-relay", "Signal=banana\r\n");
    expect(CARRIER, "SIP/2.0 400");
    request_with(&caller, "INFO", "", "text/plain", "4242");
    expect(CARRIER, "SIP/2.0 415");
    expect_silence(CENTRE, 20);
    assert_int_equal(fake_media.info_keys, 2);
    /* A key that the armed leg could not take is refused, never passed on; nor is one on a call with a capture. */
    fake_media.info_error = ERR_FULL;
    request_with(&caller, "INFO", "", "application/dtmf", "8");
    expect(CARRIER, "SIP/2.0 500");
    fake_media.info_error = ERR_ORDER;
    b2bua_set_capture(rig.b2bua, rig.call_id, 77);
    request_with(&caller, "INFO", "", "application/dtmf", "9");
    expect(CARRIER, "SIP/2.0 200");
    expect_silence(CENTRE, 20);
    request_with(&agent, "INFO", "", "application/dtmf", "3"); /* the agent may press keys */
    expect(CARRIER, "INFO sip:me@");
}

static void what_does_not_belong_is_refused_by_the_book(void **state)
{
    (void)state;
    struct talk caller, agent, other;
    make_call(&caller, &agent, "book");
    talk_begin(&other, CARRIER, "x1");
    request(&other, "OPTIONS", "");
    expect(CARRIER, "SIP/2.0 200");
    assert_non_null(strstr(rig.message, "Allow: INVITE"));
    request(&other, "REGISTER", "");
    expect(CARRIER, "SIP/2.0 405");
    request(&other, "BYE", "");
    expect(CARRIER, "SIP/2.0 481");
    request_with(&other, "INVITE", "Require: 100rel\r\n", "application/sdp", sdp_offer);
    expect(CARRIER, "SIP/2.0 420");
    assert_non_null(strstr(rig.message, "Unsupported: 100rel"));
    request(&other, "ACK", "");
    /* The caller's dialog spoken from the other trunk. */
    struct talk thief = caller;
    thief.peer = CENTRE;
    request(&thief, "BYE", "");
    expect(CENTRE, "SIP/2.0 481");
    caller.cseq -= 1; /* an old CSeq */
    request(&caller, "INFO", "");
    expect(CARRIER, "SIP/2.0 500");
    assert_int_equal(b2bua_call_count(rig.b2bua), 1);
}

static void silence_of_one_side_alone_ends_nothing(void **state)
{
    (void)state;
    struct talk caller, agent;
    make_call(&caller, &agent, "silent");
    for (int i = 0; i < 5; i++)
        b2bua_media_silent(rig.b2bua, rig.call_id, MEDIA_CALLER); /* on hold, say */
    assert_int_equal(b2bua_call_count(rig.b2bua), 1);
    b2bua_media_silent(rig.b2bua, rig.call_id, MEDIA_AGENT);
    expect(CENTRE, "BYE");
    expect(CARRIER, "BYE");
    assert_int_equal(b2bua_call_count(rig.b2bua), 0);
}

static void a_merged_request_is_refused(void **state)
{
    (void)state;
    struct talk caller;
    talk_begin(&caller, CARRIER, "merged");
    request(&caller, "INVITE", sdp_offer);
    expect(CARRIER, "SIP/2.0 100");
    expect(CENTRE, "INVITE");
    caller.cseq--;
    request(&caller, "INVITE", sdp_offer); /* another branch */
    expect(CARRIER, "SIP/2.0 482");
}

static void above_the_limit_and_when_draining_new_calls_get_503(void **state)
{
    (void)state;
    struct talk callers[CALLS_MAX + 1], agent;
    char id[16];
    for (int i = 0; i < CALLS_MAX; i++) {
        snprintf(id, sizeof(id), "full%d", i);
        make_call(&callers[i], &agent, id);
    }
    talk_begin(&callers[CALLS_MAX], CARRIER, "toomany");
    request(&callers[CALLS_MAX], "INVITE", sdp_offer);
    expect(CARRIER, "SIP/2.0 503");
    assert_non_null(strstr(rig.message, "Retry-After:"));
    request(&callers[0], "BYE", ""); /* the others go on */
    while (receive_within(CARRIER, WAIT_MS) && strncmp(rig.message, "SIP/2.0 200", 11) != 0) {
    }
    expect(CENTRE, "BYE");
    b2bua_drain(rig.b2bua);
    struct talk late;
    talk_begin(&late, CARRIER, "drained");
    request(&late, "INVITE", sdp_offer);
    while (receive_within(CARRIER, WAIT_MS) && !strstr(rig.message, "drained")) {
    }
    assert_int_equal(strncmp(rig.message, "SIP/2.0 503", 11), 0);
}

static void ports_that_run_out_are_a_503_too(void **state)
{
    (void)state;
    struct talk caller;
    fake_media.open_max = 0;
    talk_begin(&caller, CARRIER, "noports");
    request(&caller, "INVITE", sdp_offer);
    expect(CARRIER, "SIP/2.0 503");
    expect_silence(CENTRE, 10);
}

static void a_stranger_gets_403_a_few_times_and_then_nothing(void **state)
{
    (void)state;
    struct talk stranger;
    int answers = 0;
    for (int i = 0; i < 10; i++) {
        char id[16];
        snprintf(id, sizeof(id), "s%d", i);
        talk_begin(&stranger, STRANGER, id);
        request(&stranger, "INVITE", sdp_offer);
        if (receive_within(STRANGER, 10)) {
            assert_int_equal(strncmp(rig.message, "SIP/2.0 403", 11), 0);
            answers++;
        }
    }
    assert_in_range(answers, 1, 3); /* stranger_rate 2 */
    expect_silence(CENTRE, 10);
    assert_int_equal(fake_media.open, 0);
}

static void a_challenge_of_one_leg_is_not_passed_to_the_other(void **state)
{
    (void)state;
    struct talk caller;
    talk_begin(&caller, CARRIER, "challenge");
    request(&caller, "INVITE", sdp_offer);
    expect(CARRIER, "SIP/2.0 100");
    expect(CENTRE, "INVITE");
    respond(CENTRE, "401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"x\", nonce=\"y\"", "c", "");
    expect(CENTRE, "ACK");
    expect(CARRIER, "SIP/2.0 403");
    assert_null(strstr(rig.message, "Digest"));
    expect_silence(CENTRE, 10); /* and nothing with credentials is sent */
}

static void a_restarted_proxy_takes_its_calls_up_again(void **state)
{
    (void)state;
    struct talk caller, agent;
    make_call(&caller, &agent, "restart");
    b2bua_set_capture(rig.b2bua, rig.call_id, 77);
    uint64_t call_id = rig.call_id;
    b2bua_free(rig.b2bua);
    fake_media = (struct fake_media){.open_max = 100};
    start_b2bua();
    b2bua_restore(rig.b2bua);
    assert_int_equal(fake_media.restores, 1);
    assert_int_equal(b2bua_has_call(rig.b2bua, call_id), OK);
    assert_true(b2bua_capture_of(rig.b2bua, call_id) == 77);
    request(&agent, "BYE", "");
    expect(CENTRE, "SIP/2.0 200");
    expect(CARRIER, "BYE sip:me@");
    assert_true(rig.gone_capture == 77);
    b2bua_free(rig.b2bua);
    start_b2bua();
    b2bua_restore(rig.b2bua); /* what has ended stays ended */
    assert_int_equal(b2bua_call_count(rig.b2bua), 0);
}

static void a_torn_call_is_ended_on_both_sides(void **state)
{
    (void)state;
    struct talk caller, agent;
    make_call(&caller, &agent, "torn");
    b2bua_free(rig.b2bua);
    struct call_table *table;
    assert_int_equal(call_table_open(&table, rig.table_fd, &rig.config), OK);
    size_t place = rig.call_id & 0xffff;
    call_table_media(table, place)->version = 3; /* the worker died while it wrote */
    start_b2bua();
    b2bua_restore(rig.b2bua);
    expect(CARRIER, "BYE");
    expect(CENTRE, "BYE");
    assert_int_equal(b2bua_call_count(rig.b2bua), 0);
    assert_int_equal(rig.told[PROXY_CALL_ENDED], 1);
    struct call_record record;
    assert_int_equal(call_table_read(table, place, &record), ERR_EMPTY);
    call_table_close(table);
}

static void a_media_part_of_an_earlier_call_is_not_taken_for_this_ones(void **state)
{
    (void)state;
    struct talk caller, agent;
    make_call(&caller, &agent, "earlier");
    b2bua_free(rig.b2bua);
    struct call_table *table;
    assert_int_equal(call_table_open(&table, rig.table_fd, &rig.config), OK);
    call_table_media(table, rig.call_id & 0xffff)->snapshot.ports.rtp[0] += 4;
    call_table_close(table);
    start_b2bua();
    b2bua_restore(rig.b2bua);
    expect(CARRIER, "BYE");
    expect(CENTRE, "BYE");
    assert_int_equal(fake_media.restores, 0);
}

/* The writer dies after each word of a record: what is read is the record before or the new one, whole, or an error when
 * the memory itself was changed. */
static void a_write_that_is_cut_short_leaves_the_record_before(void **state)
{
    (void)state;
    struct call_table *table;
    size_t slot_bytes = call_table_bytes(&rig.config) / CALLS_MAX;
    struct call_record record, before;
    assert_int_equal(call_table_open(&table, rig.table_fd, &rig.config), OK);
    uint8_t *bytes =
        mmap(NULL, call_table_bytes(&rig.config), PROT_READ | PROT_WRITE, MAP_SHARED, rig.table_fd, 0);
    uint8_t *whole = malloc(slot_bytes);
    uint8_t *next = malloc(slot_bytes);
    assert_true(bytes != MAP_FAILED && whole && next);
    memset(&record, 0, sizeof(record));
    record.call_id = 1ULL << 40;
    record.capture_id = 5;
    call_table_write(table, 0, &record);
    memcpy(whole, bytes, slot_bytes);
    before = record;
    record.capture_id = 6;
    memset(record.callee, 'x', sizeof(record.callee));
    call_table_write(table, 0, &record);
    memcpy(next, bytes, slot_bytes);
    /* The version, in the first word, is written last: any part of the rest alone changes nothing. */
    for (size_t cut = 8; cut <= slot_bytes; cut += 8) {
        memcpy(bytes, whole, 8);
        memcpy(bytes + 8, next + 8, cut - 8);
        memcpy(bytes + cut, whole + cut, slot_bytes - cut);
        struct call_record seen;
        assert_int_equal(call_table_read(table, 0, &seen), OK);
        assert_memory_equal(&seen, &before, sizeof(seen));
    }
    memcpy(bytes, next, slot_bytes);
    assert_int_equal(call_table_read(table, 0, &record), OK);
    assert_true(record.capture_id == 6);
    /* Every bit of the current record is under the checksum. */
    int caught = 0;
    for (size_t at = 8; at < slot_bytes; at += 40) {
        bytes[at] ^= 1;
        caught += call_table_read(table, 0, &record) == ERR_SYNTAX;
        bytes[at] ^= 1;
    }
    assert_in_range(caught, sizeof(record) / 40 - 1, sizeof(record) / 40 + 3);
    free(whole);
    free(next);
    munmap(bytes, call_table_bytes(&rig.config));
    call_table_close(table);
}

/* The proxy dies with the answer on its way: the caller may not have it, the agent's ACK may be lost. */
static void an_answer_without_its_ack_is_repeated_after_a_restart(void **state)
{
    (void)state;
    struct talk caller;
    talk_begin(&caller, CARRIER, "midway");
    request(&caller, "INVITE", sdp_offer);
    expect(CARRIER, "SIP/2.0 100");
    expect(CENTRE, "INVITE");
    char invite[sizeof(rig.message)];
    memcpy(invite, rig.message, sizeof(invite));
    respond(CENTRE, "200 OK", "agent", sdp_answer);
    expect(CARRIER, "SIP/2.0 200");
    char answer[sizeof(rig.message)];
    memcpy(answer, rig.message, sizeof(answer));
    talk_answered(&caller);
    expect(CENTRE, "ACK");
    b2bua_free(rig.b2bua);
    start_b2bua();
    b2bua_restore(rig.b2bua);
    for (int i = 0; i < 3; i++) {
        expect(CARRIER, "SIP/2.0 200");
        assert_string_equal(rig.message, answer);
    }
    memcpy(rig.message, invite, sizeof(invite));
    respond(CENTRE, "200 OK", "agent", sdp_answer);
    expect(CENTRE, "ACK sip:agent@");
    request(&caller, "ACK", "");
    turn_for(5);
    while (receive_within(CARRIER, 5)) {
    }
    expect_silence(CARRIER, 10 * T1_MS);
    expect_silence(CENTRE, 5); /* no BYE: the call lives */
    request(&caller, "BYE", "");
    expect(CARRIER, "SIP/2.0 200");
    expect(CENTRE, "BYE");
}

static void a_call_that_rang_at_a_restart_is_ended_on_both_sides(void **state)
{
    (void)state;
    struct talk caller;
    talk_begin(&caller, CARRIER, "ringing");
    request(&caller, "INVITE", sdp_offer);
    expect(CARRIER, "SIP/2.0 100");
    expect(CENTRE, "INVITE");
    char branch[300], value[300];
    char invite[sizeof(rig.message)];
    memcpy(invite, rig.message, sizeof(invite));
    header_of("Via", branch);
    respond(CENTRE, "180 Ringing", "agent", "");
    expect(CARRIER, "SIP/2.0 180");
    b2bua_free(rig.b2bua);
    start_b2bua();
    b2bua_restore(rig.b2bua);
    expect(CENTRE, "CANCEL");
    assert_string_equal(header_of("Via", value), branch);
    respond(CENTRE, "200 OK", "agent", "");
    expect(CARRIER, "SIP/2.0 500");
    expect(CARRIER, "SIP/2.0 500"); /* until its ACK */
    request_with(&caller, "ACK", "", "", "");
    assert_int_equal(rig.told[PROXY_CALL_ENDED], 1);
    /* The agent had answered all the same: whoever is there now acknowledges and ends that. */
    memcpy(rig.message, invite, sizeof(invite));
    respond(CENTRE, "200 OK", "agent", sdp_answer);
    expect(CENTRE, "ACK sip:agent@");
    expect(CENTRE, "BYE sip:agent@");
    assert_int_equal(b2bua_call_count(rig.b2bua), 0);
    struct b2bua_counts counts;
    b2bua_counts(rig.b2bua, &counts);
    assert_int_equal(counts.calls_ended_early, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_rig, close_rig)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_call_is_made_and_ended_from_either_side),
        TEST(an_unanswered_request_is_sent_again_and_given_up),
        TEST(a_request_that_comes_again_is_answered_again_and_not_passed_on_again),
        TEST(an_answer_is_repeated_until_its_ack_and_without_one_the_call_ends),
        TEST(a_repeated_answer_is_acknowledged_again),
        TEST(a_cancel_reaches_the_other_side_and_crossing_answers_are_ended),
        TEST(a_late_offer_is_answered_with_the_ack),
        TEST(hold_and_codec_change_go_through_and_glare_is_refused),
        TEST(a_second_fork_is_acknowledged_and_ended),
        TEST(every_fork_that_answers_a_cancelled_call_is_ended),
        TEST(offers_that_cross_are_refused_also_between_update_and_invite),
        TEST(an_update_changes_the_description_both_ways),
        TEST(an_info_key_is_kept_back_on_an_armed_leg_and_passed_on_otherwise),
        TEST(what_does_not_belong_is_refused_by_the_book),
        TEST(silence_of_one_side_alone_ends_nothing),
        TEST(a_merged_request_is_refused),
        TEST(above_the_limit_and_when_draining_new_calls_get_503),
        TEST(ports_that_run_out_are_a_503_too),
        TEST(a_stranger_gets_403_a_few_times_and_then_nothing),
        TEST(a_challenge_of_one_leg_is_not_passed_to_the_other),
        TEST(a_restarted_proxy_takes_its_calls_up_again),
        TEST(a_torn_call_is_ended_on_both_sides),
        TEST(a_media_part_of_an_earlier_call_is_not_taken_for_this_ones),
        TEST(a_write_that_is_cut_short_leaves_the_record_before),
        TEST(an_answer_without_its_ack_is_repeated_after_a_restart),
        TEST(a_call_that_rang_at_a_restart_is_ended_on_both_sides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
