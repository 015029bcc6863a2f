/* Starting the media plane when the n-th thing it asks the system for is refused, for every n: an error is told, nothing
 * is kept, and the next start works. Linked with --wrap for each of these calls. */
#include "proxy/tests/media_rig.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static long allowed = -1; /* grants left; -1: all */

static bool is_granted(void)
{
    if (allowed < 0)
        return true;
    return allowed-- > 0 || (allowed = 0, false);
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    return is_granted() ? __real_malloc(size) : NULL;
}

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size)
{
    return is_granted() ? __real_calloc(count, size) : NULL;
}

void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return is_granted() ? __real_aligned_alloc(alignment, size) : NULL;
}

void *__real_mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset)
{
    return is_granted() ? __real_mmap(at, length, protection, flags, fd, offset) : MAP_FAILED;
}

int __real_eventfd(unsigned start, int flags);
int __wrap_eventfd(unsigned start, int flags);
int __wrap_eventfd(unsigned start, int flags)
{
    return is_granted() ? __real_eventfd(start, flags) : -1;
}

int __real_epoll_create1(int flags);
int __wrap_epoll_create1(int flags);
int __wrap_epoll_create1(int flags)
{
    return is_granted() ? __real_epoll_create1(flags) : -1;
}

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument)
{
    return is_granted() ? __real_pthread_create(thread, attributes, run, argument) : 11;
}

static int open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += lseek(fd, 0, SEEK_CUR) != -1 || dup2(fd, fd) == fd;
    return count;
}

static void every_refusal_at_the_start_is_told_and_leaves_nothing(void **state)
{
    struct rig rig;
    char directory[] = "/tmp/tonegate-media-XXXXXX";
    long refused = 0;
    (void)state;
    assert_non_null(mkdtemp(directory));
    rig_config(&rig, "127.0.0.1");
    rig.config.media.workers = 2;
    rig_start(&rig, 2);
    rig_stop_media(&rig);
    for (size_t i = 0; i < sizeof(directory); i++)
        rig.config.recorder.directory[i] = directory[i];
    int before = open_descriptors();
    for (long grants = 0;; grants++) {
        allowed = grants;
        enum err err = media_new(&rig.media, &rig.config, rig.sockets, rig.socket_count);
        allowed = -1;
        if (err == OK)
            break;
        assert_true(err == ERR_MEMORY || err == ERR_SYSTEM);
        assert_null(rig.media);
        assert_int_equal(open_descriptors(), before);
        refused++;
        assert_true(grants < 200);
    }
    assert_true(refused > 20);
    struct phone caller, agent;
    uint8_t payload[160] = {0}, bytes[LIMIT_RTP_PACKET_BYTES];
    size_t length;
    struct rtp_packet packet;
    phone_open(&caller, "127.0.0.1");
    phone_open(&agent, "127.0.0.1");
    rig_call(&rig, 1, &caller, &agent);
    phone_say(&caller, payload, sizeof(payload));
    assert_true(phone_hear(&agent, 2000, &packet, bytes, &length));
    phone_close(&caller);
    phone_close(&agent);
    rig_stop(&rig);
    char command[64] = "rm -r ";
    for (size_t i = 0; i < sizeof(directory); i++)
        command[6 + i] = directory[i];
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_refusal_at_the_start_is_told_and_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
