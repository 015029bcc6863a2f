/* Message passing: what is not exactly a permitted message in a permitted state is refused and counted. */
#include "base/msg.h"

#include "base/tests/cmocka_all.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct knock_msg {
    struct msg_header header;
    uint64_t value;
};

#define KNOCK     7
#define STATE_ON  (1u << 0)
#define STATE_OFF (1u << 1)

struct receiver {
    uint32_t state;
    unsigned heard;
    uint64_t last;
};

static enum err hear(void *owner, const void *message)
{
    struct receiver *receiver = owner;
    const struct knock_msg *knock = message;
    if (knock->value == 13)
        return ERR_RANGE;
    receiver->heard++;
    receiver->last = knock->value;
    return OK;
}

static uint32_t state_of(void *owner, const struct msg_header *header)
{
    (void)header;
    return ((struct receiver *)owner)->state;
}

static const struct msg_permit permits[] = {{KNOCK, sizeof(struct knock_msg), STATE_ON, hear, "knock"}};

static struct msg_port make_port(struct receiver *receiver, int fd)
{
    return (struct msg_port){
        .fd = fd, .permits = permits, .permit_count = 1, .state_h = state_of, .owner = receiver};
}

static void a_message_arrives_whole_and_once(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(msg_pair(ends), OK);
    struct receiver receiver = {.state = STATE_ON};
    struct msg_port in = make_port(&receiver, ends[0]);
    struct msg_port out = {.fd = ends[1]};
    struct knock_msg knock = {.value = 99};
    MSG_INIT(&knock, KNOCK, 5);
    assert_int_equal(msg_send(&out, &knock), OK);
    assert_int_equal(msg_receive(&in, 10), OK);
    assert_int_equal(receiver.heard, 1);
    assert_int_equal(receiver.last, 99);
    close(ends[1]);
    assert_int_equal(msg_receive(&in, 10), ERR_PEER_GONE);
    out.fd = -1;
    assert_int_equal(msg_send(&out, &knock), ERR_PEER_GONE);
    close(ends[0]);
}

static void every_wrong_form_is_refused_and_counted(void **state)
{
    (void)state;
    struct receiver receiver = {.state = STATE_ON};
    struct msg_port port = make_port(&receiver, -1);
    struct knock_msg good = {.value = 1};
    MSG_INIT(&good, KNOCK, 5);
    uint8_t long_message[sizeof(good) + 8];
    memset(long_message, 0, sizeof(long_message));
    memcpy(long_message, &good, sizeof(good));
    for (size_t length = 0; length <= sizeof(long_message); length++) {
        if (length != sizeof(good))
            assert_int_not_equal(msg_dispatch(&port, long_message, length), OK);
    }
    struct knock_msg wrong = good;
    wrong.header.version++;
    assert_int_equal(msg_dispatch(&port, &wrong, sizeof(wrong)), ERR_VERSION);
    wrong = good;
    wrong.header.type++;
    assert_int_equal(msg_dispatch(&port, &wrong, sizeof(wrong)), ERR_UNSUPPORTED);
    wrong = good;
    wrong.header.length--;
    assert_int_equal(msg_dispatch(&port, &wrong, sizeof(wrong)), ERR_LENGTH);
    assert_int_equal(receiver.heard, 0);
    assert_int_equal(port.counts.refused_form, sizeof(long_message) + 3);
}

static void a_message_out_of_state_never_reaches_the_handler(void **state)
{
    (void)state;
    struct receiver receiver = {.state = STATE_OFF};
    struct msg_port port = make_port(&receiver, -1);
    struct knock_msg knock = {.value = 1};
    MSG_INIT(&knock, KNOCK, 5);
    assert_int_equal(msg_dispatch(&port, &knock, sizeof(knock)), ERR_ORDER);
    receiver.state = MSG_NO_SUBJECT;
    assert_int_equal(msg_dispatch(&port, &knock, sizeof(knock)), ERR_ORDER);
    assert_int_equal(receiver.heard, 0);
    assert_int_equal(port.counts.refused_state, 2);
    receiver.state = STATE_ON;
    assert_int_equal(msg_dispatch(&port, &knock, sizeof(knock)), OK);
    knock.value = 13;
    assert_int_equal(msg_dispatch(&port, &knock, sizeof(knock)), ERR_RANGE);
    assert_int_equal(port.counts.refused_value, 1);
}

static void a_peer_that_does_not_read_never_blocks_the_sender(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(msg_pair(ends), OK);
    struct msg_port out = {.fd = ends[1]};
    struct knock_msg knock = {.value = 1};
    MSG_INIT(&knock, KNOCK, 5);
    enum err err = OK;
    for (int i = 0; i < 100000 && err == OK; i++)
        err = msg_send(&out, &knock);
    assert_int_equal(err, ERR_FULL);
    assert_int_equal(out.counts.send_full, 1);
    close(ends[0]);
    close(ends[1]);
}

static void descriptors_cross_and_surplus_ones_are_closed(void **state)
{
    (void)state;
    int ends[2];
    int extra[2];
    assert_int_equal(msg_pair(ends), OK);
    assert_int_equal(pipe(extra), 0);
    struct knock_msg knock = {.value = 1};
    MSG_INIT(&knock, KNOCK, 5);
    assert_int_equal(msg_send_fds(ends[0], &knock, sizeof(knock), extra, 2), OK);
    struct knock_msg received;
    size_t length;
    int fds[1];
    size_t fd_count;
    assert_int_equal(msg_receive_fds(ends[1], &received, sizeof(received), &length, fds, 1, &fd_count), OK);
    assert_int_equal(length, sizeof(knock));
    assert_int_equal(fd_count, 1);
    /* Read end kept, write end closed here and there: the pipe says end of file, not would-block. */
    close(extra[1]);
    char byte;
    assert_int_equal(read(fds[0], &byte, 1), 0);
    close(fds[0]);
    close(extra[0]);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_arrives_whole_and_once),
        cmocka_unit_test(every_wrong_form_is_refused_and_counted),
        cmocka_unit_test(a_message_out_of_state_never_reaches_the_handler),
        cmocka_unit_test(a_peer_that_does_not_read_never_blocks_the_sender),
        cmocka_unit_test(descriptors_cross_and_surplus_ones_are_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
