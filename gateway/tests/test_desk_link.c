/* The link to the desk: an order in, one reply out, by the right asker, whoever died between. What becomes of an order at
 * the gateway is test_step's. */
#include "gateway/desk_link.h"
#include "gateway/tests/rig.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct rig_sandbox sandbox;
static struct rig rig;
static struct desk_link link_of_desk;
static int desk_fd;

static void open_desk(void)
{
    int ends[2];
    assert_int_equal(msg_pair(ends), OK);
    assert_int_equal(desk_link_open(&link_of_desk, ends[0]), OK);
    desk_fd = ends[1];
}

static int setup(void **state)
{
    (void)state;
    struct step_settings settings = rig_settings(sandbox.url);
    rig_open(&rig, &settings);
    static const struct config config;
    assert_int_equal(desk_link_init(&link_of_desk, rig.base, rig.link.steps, &config), OK);
    open_desk();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    desk_link_free(&link_of_desk);
    close(desk_fd);
    rig_close(&rig);
    return 0;
}

static void say(const void *message, size_t length)
{
    assert_int_equal(send(desk_fd, message, length, 0), (ssize_t)length);
    rig_run_ms(&rig, 50);
}

/* An order that no gateway could take is answered at once, without a network. */
static struct order_take_msg impossible(uint64_t id)
{
    struct order_take_msg order;
    memset(&order, 0, sizeof(order));
    MSG_INIT(&order, ORDER_TAKE, id);
    order.kind = ORDER_KINDS;
    return order;
}

static bool hears(uint64_t id)
{
    struct order_reply_msg reply;
    if (recv(desk_fd, &reply, sizeof(reply), MSG_DONTWAIT) != sizeof(reply))
        return false;
    return reply.header.type == ORDER_REPLY && reply.header.subject == id &&
           reply.outcome == GATEWAY_FAILED && reply.reason == REASON_CONFIGURATION;
}

static void an_order_is_answered_under_its_id_and_told_in_one_line(void **state)
{
    (void)state;
    struct order_take_msg order = impossible(0x1122334455667788ULL);
    say(&order, sizeof(order));
    assert_true(hears(order.header.subject));
    assert_false(hears(order.header.subject));
    assert_non_null(strstr(rig_log(), "gateway order"));
    assert_non_null(strstr(rig_log(), "bbccddeeffgghhii"));
}

static void what_is_of_another_form_or_type_is_refused_and_counted(void **state)
{
    (void)state;
    struct order_take_msg order = impossible(1);
    struct order_take_msg stranger = impossible(2);
    MSG_INIT(&stranger, GATEWAY_TOKENISE, 2); /* a desk that was taken over cannot bring a card */
    say(&order, sizeof(order) - 8);
    say(&stranger, sizeof(stranger));
    assert_int_equal(link_of_desk.port.counts.refused_form, 2);
    assert_false(hears(1));
    say(&order, sizeof(order));
    assert_true(hears(1));
}

static void a_desk_that_died_is_forgotten_and_its_successor_answered(void **state)
{
    (void)state;
    struct order_take_msg order = impossible(3);
    close(desk_fd);
    rig_run_ms(&rig, 50);
    assert_int_equal(link_of_desk.port.fd, -1);
    open_desk();
    say(&order, sizeof(order));
    assert_true(hears(3));
    int before = desk_fd; /* a new link while the old one stands */
    open_desk();
    close(before);
    say(&order, sizeof(order));
    assert_true(hears(3));
}

static void health_of_every_gateway_is_told_and_nothing_to_nobody(void **state)
{
    (void)state;
    struct gateway_health_msg health;
    desk_link_tell_health(&link_of_desk);
    assert_int_equal(recv(desk_fd, &health, sizeof(health), MSG_DONTWAIT), sizeof(health));
    assert_int_equal(health.header.type, GATEWAY_HEALTH);
    assert_int_equal(health.header.length, sizeof(health));
    assert_int_equal(health.gateway_index, 0);
    assert_string_equal(health.connector, "stripe");
    assert_int_equal(health.exchanges, 0);
    struct gateway_tokenise_msg card = rig_tokenise(1, 1, "4242424242424242");
    rig_ask(&rig, &card);
    desk_link_tell_health(&link_of_desk);
    assert_int_equal(recv(desk_fd, &health, sizeof(health), MSG_DONTWAIT), sizeof(health));
    assert_int_equal(health.steps[GATEWAY_DONE], 1);
    assert_int_equal(health.exchanges, 1);
    assert_int_equal(recv(desk_fd, &health, sizeof(health), MSG_DONTWAIT), -1);
    desk_link_close(&link_of_desk);
    desk_link_tell_health(&link_of_desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_order_is_answered_under_its_id_and_told_in_one_line, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_is_of_another_form_or_type_is_refused_and_counted, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(health_of_every_gateway_is_told_and_nothing_to_nobody, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_desk_that_died_is_forgotten_and_its_successor_answered, setup,
                                        teardown),
    };
    rig_setup();
    rig_sandbox_start(&sandbox, "right", NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rig_sandbox_stop(&sandbox);
    rig_teardown();
    return failed;
}
