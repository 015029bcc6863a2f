/* Secrets and the ring: wiped when they say so, guarded, gone in a forked child. */
#include "base/ring.h"
#include "base/secret.h"

#include "base/tests/cmocka_all.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void a_secret_grows_shrinks_and_is_wiped(void **state)
{
    (void)state;
    struct secret *secret;
    assert_int_equal(secret_new(&secret, 0), ERR_RANGE);
    assert_int_equal(secret_new(&secret, SECRET_CAPACITY_MAX + 1), ERR_RANGE);
    assert_int_equal(secret_new(&secret, 3), OK);
    assert_int_equal(secret_drop_last(secret), ERR_EMPTY);
    for (uint8_t i = 1; i <= 3; i++)
        assert_int_equal(secret_append(secret, i), OK);
    assert_int_equal(secret_append(secret, 4), ERR_FULL);
    const uint8_t *bytes = secret_bytes(secret);
    assert_int_equal(secret_drop_last(secret), OK);
    assert_int_equal(bytes[2], 0);
    assert_int_equal(secret_length(secret), 2);
    secret_wipe(secret);
    assert_int_equal(secret_length(secret), 0);
    assert_int_equal(bytes[0] | bytes[1] | bytes[2], 0);
    secret_free(secret);
    secret_free(NULL);
}

/* What a child that touches memory dies of, or 0. */
static int signal_of(void (*touch)(struct secret *), struct secret *secret)
{
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL);
        signal(SIGBUS, SIG_DFL);
        touch(secret);
        _exit(0);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status) ? -WEXITSTATUS(status) : 0;
}

static volatile uint8_t sink;

static void touch_behind(struct secret *secret)
{
    long page = sysconf(_SC_PAGESIZE);
    sink = secret_bytes(secret)[page];
}

static void touch_before(struct secret *secret)
{
    long page = sysconf(_SC_PAGESIZE);
    sink = *(secret_bytes(secret) - page);
}

static void look_for_content(struct secret *secret)
{
    if (secret_bytes(secret)[0] == 0x77)
        _exit(9);
}

static void guard_pages_stand_on_both_sides(void **state)
{
    (void)state;
#ifdef TONEGATE_SANITIZED
    skip(); /* the sanitizer's own handler would report instead */
#endif
    struct secret *secret;
    assert_int_equal(secret_new(&secret, 16), OK);
    assert_int_equal(signal_of(touch_behind, secret), SIGSEGV);
    assert_int_equal(signal_of(touch_before, secret), SIGSEGV);
    secret_free(secret);
}

static void a_forked_child_does_not_see_a_locked_secret(void **state)
{
    (void)state;
    struct secret *secret;
    assert_int_equal(secret_new(&secret, 16), OK);
    if (secret_is_hidden(secret)) {
        /* memfd_secret pages are shared with a child; roles never fork. */
        secret_free(secret);
        skip();
    }
    assert_int_equal(secret_append(secret, 0x77), OK);
    assert_int_equal(signal_of(look_for_content, secret), 0);
    secret_free(secret);
}

static void a_ring_is_bounded_ordered_and_wiped(void **state)
{
    (void)state;
    struct ring *ring;
    assert_int_equal(ring_new(&ring, 3, 8), ERR_RANGE);
    assert_int_equal(ring_new(&ring, 4, 8), OK);
    uint64_t slot;
    assert_int_equal(ring_take(ring, &slot), ERR_EMPTY);
    for (uint64_t round = 0; round < 5; round++) {
        for (slot = 10; slot < 14; slot++)
            assert_int_equal(ring_put(ring, &slot), OK);
        assert_int_equal(ring_put(ring, &slot), ERR_FULL);
        assert_int_equal(ring_length(ring), 4);
        for (uint64_t expected = 10; expected < 14; expected++) {
            assert_int_equal(ring_take(ring, &slot), OK);
            assert_int_equal(slot, expected);
        }
    }
    ring_free(ring);
    ring_free(NULL);
}

#define CROSSINGS 200000

static void *produce(void *argument)
{
    struct ring *ring = argument;
    for (uint64_t i = 0; i < CROSSINGS;) {
        if (ring_put(ring, &i) == OK)
            i++;
    }
    return NULL;
}

static void nothing_is_lost_between_two_threads(void **state)
{
    (void)state;
    struct ring *ring;
    assert_int_equal(ring_new(&ring, 64, sizeof(uint64_t)), OK);
    pthread_t producer;
    assert_int_equal(pthread_create(&producer, NULL, produce, ring), 0);
    uint64_t slot;
    for (uint64_t expected = 0; expected < CROSSINGS;) {
        if (ring_take(ring, &slot) != OK)
            continue;
        assert_int_equal(slot, expected);
        expected++;
    }
    pthread_join(producer, NULL);
    ring_free(ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_secret_grows_shrinks_and_is_wiped),
        cmocka_unit_test(guard_pages_stand_on_both_sides),
        cmocka_unit_test(a_forked_child_does_not_see_a_locked_secret),
        cmocka_unit_test(a_ring_is_bounded_ordered_and_wiped),
        cmocka_unit_test(nothing_is_lost_between_two_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
