/* The pool of ports: parked, taken, quarantined, found again. */
#include "proxy/media/port_pool.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { PLACES = 3, SOCKETS = PLACES * PORT_POOL_SOCKETS };

static int sockets[SOCKETS];

static struct sockaddr_in own(int fd)
{
    struct sockaddr_in at;
    socklen_t length = sizeof(at);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &length), 0);
    return at;
}

static int bound(const char *address)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(inet_pton(AF_INET, address, &at.sin_addr), 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    return fd;
}

static int open_sockets(void **state)
{
    (void)state;
    for (size_t i = 0; i < SOCKETS; i++)
        sockets[i] = bound("127.0.0.1");
    return 0;
}

static int close_sockets(void **state)
{
    (void)state;
    for (size_t i = 0; i < SOCKETS; i++)
        close(sockets[i]);
    return 0;
}

static void throw(int from, int at)
{
    struct sockaddr_in to = own(at);
    (void)!sendto(from, "stranger", 8, 0, (struct sockaddr *)&to, sizeof(to));
}

static bool has_packet(int fd)
{
    char bytes[16];
    return recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) >= 0;
}

static void what_strangers_sent_before_is_gone_and_nothing_queues_after(void **state)
{
    struct port_pool *pool;
    int stranger = bound("127.0.0.9");
    (void)state;
    throw(stranger, sockets[0]);
    assert_int_equal(port_pool_new(&pool, sockets, SOCKETS, 100), OK);
    for (size_t i = 0; i < SOCKETS; i++) {
        throw(stranger, sockets[i]);
        assert_false(has_packet(sockets[i]));
    }
    struct sockaddr_in at = own(stranger); /* once it is the remote it is heard */
    assert_int_equal(port_connect(sockets[0], &at), OK);
    throw(stranger, sockets[0]);
    assert_true(has_packet(sockets[0]));
    throw(stranger, sockets[0]);
    assert_int_equal(port_park(sockets[0]), OK);
    assert_false(has_packet(sockets[0]));
    close(stranger);
    port_pool_free(pool);
}

static void places_are_taken_in_turn_and_rest_before_they_are_taken_again(void **state)
{
    struct port_pool *pool;
    struct mono_time now = {5 * NS_PER_S};
    size_t place;
    (void)state;
    assert_int_equal(port_pool_new(&pool, sockets, SOCKETS, 100), OK);
    assert_int_equal(port_pool_places(pool), PLACES);
    for (size_t i = 0; i < PLACES; i++) {
        assert_int_equal(port_pool_take(pool, now, &place), OK);
        assert_int_equal(place, i);
    }
    assert_int_equal(port_pool_take(pool, now, &place), ERR_FULL);
    port_pool_release(pool, 1, now);
    port_pool_release(pool, 0, now);
    assert_int_equal(port_pool_take(pool, mono_add_ms(now, PORT_POOL_QUARANTINE_MS - 1), &place), ERR_FULL);
    assert_int_equal(port_pool_take(pool, mono_add_ms(now, PORT_POOL_QUARANTINE_MS), &place), OK);
    assert_int_equal(place, 1);
    assert_int_equal(port_pool_take(pool, mono_add_ms(now, PORT_POOL_QUARANTINE_MS), &place), OK);
    assert_int_equal(place, 0);
    port_pool_free(pool);
}

static void a_given_place_is_claimed_from_anywhere_in_the_queue(void **state)
{
    (void)state;
    for (size_t claimed = 0; claimed < PLACES; claimed++) {
        struct port_pool *pool;
        struct mono_time now = {NS_PER_S};
        size_t place, taken = 0;
        assert_int_equal(port_pool_new(&pool, sockets, SOCKETS, 100), OK);
        assert_int_equal(port_pool_claim(pool, claimed), OK);
        assert_int_equal(port_pool_claim(pool, claimed), ERR_EXISTS);
        assert_int_equal(port_pool_claim(pool, PLACES), ERR_RANGE);
        while (port_pool_take(pool, now, &place) == OK) {
            assert_int_not_equal(place, claimed);
            taken++;
        }
        assert_int_equal(taken, PLACES - 1);
        port_pool_release(pool, claimed, now);
        assert_int_equal(port_pool_take(pool, mono_add_ms(now, PORT_POOL_QUARANTINE_MS), &place), OK);
        assert_int_equal(place, claimed);
        port_pool_free(pool);
    }
}

static void ports_are_found_and_bounds_held(void **state)
{
    struct port_pool *pool;
    size_t place;
    (void)state;
    assert_int_equal(port_pool_new(&pool, sockets, SOCKETS, 2), OK);
    assert_int_equal(port_pool_places(pool), 2);
    assert_int_equal(port_pool_find(pool, ntohs(own(sockets[6]).sin_port), &place), OK);
    assert_int_equal(place, 1);
    assert_int_equal(port_pool_rtp_port(pool, 1, 1), ntohs(own(sockets[6]).sin_port));
    assert_int_equal(port_pool_find(pool, 1, &place), ERR_NOT_FOUND);
    port_pool_free(pool);
    assert_int_equal(port_pool_new(&pool, sockets, 3, 100), ERR_RANGE);
    assert_null(pool);
}

static void no_description_aims_us_at_this_machine_or_at_many(void **state)
{
    static const struct {
        const char *own, *remote;
        bool may;
    } cases[] = {
        {"192.0.2.1", "198.51.100.7", true}, {"192.0.2.1", "192.0.2.1", true},
        {"192.0.2.1", "10.0.0.1", true},     {"192.0.2.1", "127.0.0.1", false},
        {"192.0.2.1", "0.0.0.0", false},     {"127.0.0.1", "127.9.9.9", true},
        {"192.0.2.1", "0.1.2.3", false},     {"192.0.2.1", "224.0.0.1", false},
        {"127.0.0.1", "0.0.0.0", false},     {"192.0.2.1", "255.255.255.255", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct in_addr own_address = {inet_addr(cases[i].own)}, remote = {inet_addr(cases[i].remote)};
        assert_int_equal(port_may_send(own_address, remote), cases[i].may);
    }
    struct sockaddr_in nowhere = {.sin_family = AF_INET, .sin_port = htons(9)};
    assert_int_equal(port_connect(sockets[0], &nowhere), ERR_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_strangers_sent_before_is_gone_and_nothing_queues_after),
        cmocka_unit_test(places_are_taken_in_turn_and_rest_before_they_are_taken_again),
        cmocka_unit_test(a_given_place_is_claimed_from_anywhere_in_the_queue),
        cmocka_unit_test(ports_are_found_and_bounds_held),
        cmocka_unit_test(no_description_aims_us_at_this_machine_or_at_many),
    };
    return cmocka_run_group_tests(tests, open_sockets, close_sockets);
}
