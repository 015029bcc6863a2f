/* The recorder: both channels in their places, silence where nothing came, a right header at every moment. */
#include "base/log.h"
#include "dsp/g711.h"
#include "proxy/media/recorder.h"
#include "proxy/media/wire.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { HEARD_SAMPLE = 5000, SAID_SAMPLE = -3000, FILE_MAX = 1 << 20 };

static char directory[64];
static uint8_t file_bytes[FILE_MAX];

static int make_directory(void **state)
{
    (void)state;
    snprintf(directory, sizeof(directory), "/tmp/tonegate-recorder-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    DIR *entries = opendir(directory);
    for (struct dirent *entry; entries && (entry = readdir(entries));) {
        char path[400];
        snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
        (void)unlink(path);
    }
    closedir(entries);
    return rmdir(directory);
}

/* Packet n of a channel, as it would leave n * 20 ms after the start. */
static void put(struct fork *fork, uint64_t call_id, enum fork_channel channel, struct mono_time began,
                uint32_t n)
{
    int16_t pcm[160];
    uint8_t payload[160];
    struct rtp_header header = {
        .payload_type = 8, .sequence = (uint16_t)n, .timestamp = 0xfffffe00u + 160 * n, .ssrc = channel + 1};
    for (size_t i = 0; i < 160; i++)
        pcm[i] = channel == FORK_HEARD ? HEARD_SAMPLE : SAID_SAMPLE;
    g711_encode(G711_ALAW, pcm, payload, 160);
    fork_packet(fork, 0, call_id, channel, MEDIA_PCMA, &header, payload, sizeof(payload),
                mono_add_ms(began, 20 * n));
}

static size_t read_file(uint64_t call_id, const char *suffix)
{
    char id[17], path[200];
    log_id_text(call_id, id);
    snprintf(path, sizeof(path), "%s/call_%s%s.wav", directory, id, suffix);
    FILE *file = fopen(path, "rb");
    if (!file)
        return 0;
    size_t length = fread(file_bytes, 1, sizeof(file_bytes), file);
    fclose(file);
    return length;
}

static uint32_t le32(size_t at)
{
    return file_bytes[at] | (uint32_t)file_bytes[at + 1] << 8 | (uint32_t)file_bytes[at + 2] << 16 |
           (uint32_t)file_bytes[at + 3] << 24;
}

static int sample(size_t frame, size_t channel)
{
    size_t at = 44 + 4 * frame + 2 * channel;
    return (int16_t)(file_bytes[at] | file_bytes[at + 1] << 8);
}

static void assert_header(size_t length)
{
    assert_true(length >= 44);
    assert_memory_equal(file_bytes, "RIFF", 4);
    assert_memory_equal(file_bytes + 8, "WAVEfmt ", 8);
    assert_int_equal(le32(4), length - 8);
    assert_int_equal(le32(20), 0x00020001); /* PCM, two channels */
    assert_int_equal(le32(24), 8000);
    assert_int_equal(le32(28), 32000);
    assert_int_equal(le32(32), 0x00100004);
    assert_memory_equal(file_bytes + 36, "data", 4);
    assert_int_equal(le32(40), length - 44);
}

static bool is_near(int value, int wanted)
{
    return abs(value - wanted) < 200;
}

static struct recorder *recorder_start(const struct sockaddr_in *rtp)
{
    struct recorder *recorder;
    assert_int_equal(recorder_new(&recorder, directory, rtp, 1, 2), OK);
    return recorder;
}

static void both_channels_lie_in_their_places_with_silence_in_the_gaps(void **state)
{
    struct sockaddr_in none = {0};
    struct recorder *recorder = recorder_start(&none);
    struct fork *fork = recorder_fork(recorder, 0);
    struct mono_time began = mono_add_ms(mono_now(), -1000);
    (void)state;
    for (uint32_t n = 0; n < 50;
         n++) { /* 1 s; heard misses 200..300 ms, said begins at 500 ms and comes in reverse */
        if (n < 10 || n >= 15)
            put(fork, 1, FORK_HEARD, began, n);
        if (n >= 25 && n % 2 == 0) {
            put(fork, 1, FORK_SAID, began, n + 1);
            put(fork, 1, FORK_SAID, began, n);
        }
    }
    fork_end(fork, 0, 1);
    recorder_free(recorder);
    size_t length = read_file(1, "");
    assert_header(length);
    assert_true(length >= 44 + 4 * 8000);
    for (size_t frame = 0; frame < 8000; frame++) {
        bool is_heard = frame < 1600 || frame >= 2400;
        assert_true(is_near(sample(frame, 0), is_heard ? HEARD_SAMPLE : 0));
        if (frame >= 4160)
            assert_true(is_near(sample(frame, 1), SAID_SAMPLE));
        if (frame < 4000)
            assert_int_equal(sample(frame, 1), 0);
    }
}

static void the_header_is_right_while_the_call_goes_on_and_the_name_is_never_reused(void **state)
{
    struct sockaddr_in none = {0};
    struct recorder *recorder = recorder_start(&none);
    struct fork *fork = recorder_fork(recorder, 0);
    struct mono_time began = mono_add_ms(mono_now(), -2000);
    (void)state;
    for (uint32_t n = 0; n < 100; n++)
        put(fork, 2, FORK_HEARD, began, n);
    usleep(500000);
    size_t length = read_file(2, "");
    assert_header(length); /* what a crash now would leave */
    assert_true(length >= 44 + 4 * 12000);
    recorder_free(recorder); /* a restart: the call goes on in a second file */
    recorder = recorder_start(&none);
    began = mono_now();
    put(recorder_fork(recorder, 0), 2, FORK_HEARD, began, 0);
    recorder_free(recorder);
    assert_header(read_file(2, "-2"));
}

static void a_stream_whose_clock_runs_off_stays_with_the_wall_clock(void **state)
{
    struct sockaddr_in none = {0};
    struct recorder *recorder = recorder_start(&none);
    struct fork *fork = recorder_fork(recorder, 0);
    struct mono_time now = mono_add_ms(mono_now(), -1000);
    uint8_t payload[160];
    (void)state;
    memset(payload, 0x2a, sizeof(payload));
    for (uint32_t n = 0; n < 50; n++) {
        struct rtp_header header = {.timestamp = n * 123456789u};
        fork_packet(fork, 0, 3, FORK_HEARD, MEDIA_PCMA, &header, payload, sizeof(payload), now);
        now = mono_add_ms(now, 20);
    }
    fork_end(fork, 0, 3);
    recorder_free(recorder);
    size_t length = read_file(3, "");
    assert_header(length);
    assert_true(length < 44 + 4 * 8000 * 3);
    for (size_t frame = 0; frame < 7900; frame++)
        assert_int_not_equal(sample(frame, 0), 0);
}

static void rtp_goes_to_port_and_port_plus_two(void **state)
{
    int fds[3];
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(at);
    (void)state;
    for (int tries = 0; tries < 100; tries++) {
        at.sin_port = 0;
        fds[0] = socket(AF_INET, SOCK_DGRAM, 0);
        fds[1] = socket(AF_INET, SOCK_DGRAM, 0);
        assert_int_equal(bind(fds[0], (struct sockaddr *)&at, sizeof(at)), 0);
        assert_int_equal(getsockname(fds[0], (struct sockaddr *)&at, &length), 0);
        struct sockaddr_in above = at;
        above.sin_port = htons((uint16_t)(ntohs(at.sin_port) + 2));
        if (bind(fds[1], (struct sockaddr *)&above, sizeof(above)) == 0)
            break;
        close(fds[0]);
        close(fds[1]);
    }
    struct recorder *recorder;
    assert_int_equal(recorder_new(&recorder, "", &at, 1, 1), OK);
    put(recorder_fork(recorder, 0), 4, FORK_HEARD, mono_now(), 0);
    put(recorder_fork(recorder, 0), 4, FORK_SAID, mono_now(), 0);
    for (uint32_t channel = 0; channel < 2; channel++) {
        uint8_t packet[300];
        struct timeval patience = {.tv_sec = 2};
        assert_int_equal(setsockopt(fds[channel], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
        assert_int_equal(recv(fds[channel], packet, sizeof(packet), 0), 172);
        assert_int_equal(wire_u32(packet + 8), channel + 1);
        close(fds[channel]);
    }
    recorder_free(recorder);
}

static void a_full_ring_loses_packets_and_never_waits(void **state)
{
    struct fork fork = {0};
    struct rtp_header header = {0};
    uint8_t payload[160] = {0};
    (void)state;
    assert_int_equal(ring_new(&fork.ring, 2, sizeof(struct fork_slot)), OK);
    for (int i = 0; i < 10; i++)
        fork_packet(&fork, 0, 1, FORK_HEARD, MEDIA_PCMA, &header, payload, sizeof(payload), mono_now());
    assert_int_equal(atomic_load(&fork.lost), 8);
    ring_free(fork.ring);
}

static void a_directory_that_is_not_there_is_said_at_the_start(void **state)
{
    struct sockaddr_in none = {0};
    struct recorder *recorder;
    (void)state;
    assert_int_equal(recorder_new(&recorder, "/nonexistent/place", &none, 1, 1), ERR_SYSTEM);
    assert_null(recorder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_channels_lie_in_their_places_with_silence_in_the_gaps),
        cmocka_unit_test(the_header_is_right_while_the_call_goes_on_and_the_name_is_never_reused),
        cmocka_unit_test(a_stream_whose_clock_runs_off_stays_with_the_wall_clock),
        cmocka_unit_test(rtp_goes_to_port_and_port_plus_two),
        cmocka_unit_test(a_full_ring_loses_packets_and_never_waits),
        cmocka_unit_test(a_directory_that_is_not_there_is_said_at_the_start),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
