/* Media through real sockets: what crosses, what does not, and who can reach whom. */
#include "base/clock.h"
#include "base/log.h"
#include "dsp/g711.h"
#include "proxy/media/wire.h"
#include "proxy/tests/media_rig.h"
#include "proxy/tests/tone_source.h"

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

enum { SAMPLES = 160, HEARD_MAX = 8000 * 10, CALL = 7, CAPTURE = 70 };

#define TONE_DBM0 (-10.0)
#define LEAK_DBM0 (-38.0)

/* A call between two phones, and what the agent heard of it. */
struct scene {
    struct rig rig;
    struct phone caller, agent;
    struct tone_source voice;
    int16_t heard[HEARD_MAX];
    size_t heard_count, packet_count, event_count, hole_count;
    bool has_heard;
    struct rtp_header last;
};

static struct scene scene;

static void scene_open(void)
{
    phone_open(&scene.caller, "127.0.0.1");
    phone_open(&scene.agent, "127.0.0.1");
    scene.voice.noise = 99;
    scene.heard_count = scene.packet_count = scene.event_count = scene.hole_count = 0;
    scene.has_heard = false;
    rig_call(&scene.rig, CALL, &scene.caller, &scene.agent);
}

static void scene_start(void)
{
    rig_config(&scene.rig, "127.0.0.1");
    rig_start(&scene.rig, 2);
    scene_open();
}

static void scene_end(void)
{
    phone_close(&scene.caller);
    phone_close(&scene.agent);
    rig_stop(&scene.rig);
}

/* Everything that has come to the agent so far. */
static void agent_listens(void)
{
    uint8_t bytes[LIMIT_RTP_PACKET_BYTES];
    size_t length;
    struct rtp_packet packet;
    while (phone_hear(&scene.agent, 0, &packet, bytes, &length)) {
        if (packet.header.payload_type == 101) {
            scene.event_count++;
            continue;
        }
        if (scene.has_heard && packet.header.sequence != (uint16_t)(scene.last.sequence + 1))
            scene.hole_count++;
        scene.last = packet.header;
        scene.has_heard = true;
        scene.packet_count++;
        if (scene.heard_count + packet.payload_bytes <= HEARD_MAX) {
            g711_decode(G711_ALAW, bytes + packet.payload_at, scene.heard + scene.heard_count,
                        packet.payload_bytes);
            scene.heard_count += packet.payload_bytes;
        }
    }
}

/* The caller sends packets in real time, key < 0: soft noise alone. */
static void caller_speaks(int key, int packets)
{
    struct mono_time next = mono_now();
    for (int i = 0; i < packets; i++) {
        int16_t pcm[SAMPLES];
        uint8_t payload[SAMPLES];
        tone_source_make(&scene.voice, key, TONE_DBM0, pcm, SAMPLES);
        g711_encode(G711_ALAW, pcm, payload, SAMPLES);
        phone_say(&scene.caller, payload, SAMPLES);
        next = mono_add_ms(next, 20);
        int64_t left = mono_elapsed_ms(mono_now(), next);
        if (left > 0)
            rig_sleep_ms((int)left);
        agent_listens();
    }
}

/* Until nothing has come for a while: a busy machine may be slow. */
static void settle(void)
{
    size_t before;
    do {
        before = scene.packet_count + scene.event_count;
        rig_sleep_ms(100);
        agent_listens();
    } while (scene.packet_count + scene.event_count != before);
}

static void arm(void)
{
    struct media_event event;
    assert_int_equal(media_call_arm(scene.rig.media, CALL, CAPTURE, true), OK);
    assert_true(rig_event(&scene.rig, MEDIA_EVENT_ARMED, 1000, &event));
    assert_int_equal(event.call_id, CALL);
    assert_int_equal(event.capture_id, CAPTURE);
}

static double heard_of(int key)
{
    return tone_left_dbm0(scene.heard, scene.heard_count, key);
}

/* ---- plain ---- */

static void plain_payload_crosses_both_ways_untouched(void **state)
{
    (void)state;
    scene_start();
    uint32_t ssrc[2] = {0};
    for (int i = 0; i < 40; i++) {
        struct phone *from = i % 2 ? &scene.agent : &scene.caller, *to = i % 2 ? &scene.caller : &scene.agent;
        uint8_t sent[SAMPLES], bytes[LIMIT_RTP_PACKET_BYTES];
        size_t length;
        struct rtp_packet packet;
        for (size_t n = 0; n < sizeof(sent); n++)
            sent[n] = (uint8_t)(n * 7 + (size_t)i);
        phone_say(from, sent, sizeof(sent));
        assert_true(phone_hear(to, 500, &packet, bytes, &length));
        assert_int_equal(packet.payload_bytes, sizeof(sent));
        assert_memory_equal(bytes + packet.payload_at, sent, sizeof(sent));
        assert_int_not_equal(packet.header.ssrc, from->next.ssrc);
        if (i >= 2)
            assert_int_equal(packet.header.ssrc, ssrc[i % 2]);
        ssrc[i % 2] = packet.header.ssrc;
    }
    assert_true(media_is_alive(scene.rig.media));
    scene_end();
}

static void a_new_description_moves_the_stream_and_shuts_out_the_old_address(void **state)
{
    (void)state;
    scene_start();
    caller_speaks(-1, 5);
    struct phone moved;
    uint8_t payload[SAMPLES] = {0};
    phone_open(&moved, "127.0.0.2");
    moved.to_rtp = scene.caller.to_rtp;
    struct media_leg legs[MEDIA_SIDES] = {phone_leg(&moved), phone_leg(&scene.agent)};
    assert_int_equal(media_call_update(scene.rig.media, CALL, legs), OK);
    rig_sync(&scene.rig, CALL);
    settle();
    size_t before = scene.packet_count;
    phone_say(&scene.caller, payload, sizeof(payload));
    settle();
    assert_int_equal(scene.packet_count, before);
    phone_say(&moved, payload, sizeof(payload));
    settle();
    assert_int_equal(scene.packet_count, before + 1);
    assert_int_equal(scene.hole_count, 0);
    legs[MEDIA_CALLER].rtp_remote.sin_port = 0; /* port 0: parked */
    assert_int_equal(media_call_update(scene.rig.media, CALL, legs), OK);
    rig_sync(&scene.rig, CALL);
    phone_say(&moved, payload, sizeof(payload));
    settle();
    assert_int_equal(scene.packet_count, before + 1);
    phone_close(&moved);
    scene_end();
}

/* ---- strangers ---- */

enum { MARK = 0x5a };

/* Sprays every port of the pool with RTP and RTCP that carry a mark. */
static void spray(const struct rig *rig, struct phone *stranger, int rounds)
{
    uint8_t packet[RTP_HEADER_BYTES + SAMPLES], report[28] = {0x80, 200, 0, 6};
    memset(packet + RTP_HEADER_BYTES, MARK, SAMPLES);
    for (int round = 0; round < rounds; round++) {
        for (size_t i = 0; i < rig->socket_count; i++) {
            struct sockaddr_in to;
            socklen_t length = sizeof(to);
            struct rtp_header header = {.payload_type = 8,
                                        .sequence = (uint16_t)round,
                                        .timestamp = 160u * (uint32_t)round,
                                        .ssrc = 0x666};
            assert_int_equal(getsockname(rig->sockets[i], (struct sockaddr *)&to, &length), 0);
            rtp_write_header(&header, packet);
            (void)!sendto(stranger->rtp_fd, packet, sizeof(packet), 0, (struct sockaddr *)&to, sizeof(to));
            (void)!sendto(stranger->rtp_fd, report, sizeof(report), 0, (struct sockaddr *)&to, sizeof(to));
        }
    }
}

static size_t count_heard(int fd, bool only_marked)
{
    uint8_t bytes[LIMIT_RTP_PACKET_BYTES];
    size_t length, count = 0;
    while (fd_hear(fd, 0, bytes, &length))
        count +=
            !only_marked || memchr(bytes + (length < 12 ? length : 12), MARK, length < 12 ? 0 : length - 12);
    return count;
}

static void a_sprayer_gets_nothing_and_reaches_nobody(void **state)
{
    struct phone strangers[2];
    (void)state;
    rig_config(&scene.rig, "127.0.0.1");
    rig_start(&scene.rig, 2);
    phone_open(&strangers[0], "127.0.0.66");
    phone_open(&strangers[1], "127.0.0.1"); /* the phones' own host, another port */
    for (int i = 0; i < 2; i++)
        spray(&scene.rig, &strangers[i], 20); /* before any call: the race for the first packet */
    scene_open();
    size_t marked = 0, stolen = 0;
    uint8_t payload[SAMPLES];
    memset(payload, 0x11, sizeof(payload));
    for (int i = 0; i < 30; i++) {
        spray(&scene.rig, &strangers[i % 2], 5);
        phone_say(&scene.caller, payload, sizeof(payload));
        phone_say(&scene.agent, payload, sizeof(payload));
        rig_sleep_ms(20);
        for (int k = 0; k < 2; k++)
            stolen += count_heard(strangers[k].rtp_fd, false) + count_heard(strangers[k].rtcp_fd, false);
    }
    int fds[] = {scene.caller.rtp_fd, scene.caller.rtcp_fd, scene.agent.rtp_fd, scene.agent.rtcp_fd};
    uint8_t bytes[LIMIT_RTP_PACKET_BYTES];
    size_t length, relayed = 0;
    for (int i = 0; i < 4; i++) {
        while (fd_hear(fds[i], 200, bytes, &length)) {
            relayed += length == RTP_HEADER_BYTES + SAMPLES;
            marked += length > 12 && memchr(bytes + 12, MARK, length - 12) != NULL;
        }
    }
    assert_int_equal(relayed, 60); /* the call itself went on */
    assert_int_equal(marked, 0);
    assert_int_equal(stolen, 0);
    memset(payload, MARK, sizeof(payload)); /* the check can fail: a mark from the caller is found */
    phone_say(&scene.caller, payload, sizeof(payload));
    rig_sleep_ms(200);
    assert_int_equal(count_heard(scene.agent.rtp_fd, true), 1);
    phone_close(&strangers[0]);
    phone_close(&strangers[1]);
    scene_end();
}

/* ---- armed ---- */

static void an_armed_leg_leaks_nothing_and_reports_each_key_once(void **state)
{
    static const int keys[] = {4, 1, 1, 10, 9};
    struct media_event event;
    (void)state;
    scene_start();
    caller_speaks(-1, 10);
    arm();
    caller_speaks(-1, 10);
    for (size_t i = 0; i < 5; i++) {
        caller_speaks(keys[i], 5);
        caller_speaks(-1, 5);
    }
    for (uint32_t i = 0; i < 5; i++) {
        assert_true(rig_event(&scene.rig, MEDIA_EVENT_DIGIT, 500, &event));
        assert_int_equal(event.ordinal, i + 1);
        assert_int_equal(event.key, keys[i]);
        assert_int_equal(event.source, DIGIT_TONE);
        assert_int_equal(event.capture_id, CAPTURE);
    }
    assert_int_equal(media_call_disarm(scene.rig.media, CALL, CAPTURE + 1),
                     OK); /* another capture's: not honoured */
    caller_speaks(7, 3);
    assert_int_equal(media_call_disarm(scene.rig.media, CALL, CAPTURE), OK); /* in the middle of a key */
    caller_speaks(7, 3);
    caller_speaks(-1, 20);
    assert_true(rig_event(&scene.rig, MEDIA_EVENT_DISARMED, 1000, &event));
    assert_int_equal(event.report.keys, 6);
    assert_true(event.report.masked_samples > 6 * 800);
    settle();
    for (int key = 0; key < 16; key++)
        assert_true(heard_of(key) < LEAK_DBM0);
    assert_int_equal(scene.hole_count, 0);
    assert_int_equal(scene.packet_count, 96);
    scene_end();
}

static void with_masking_off_the_same_call_leaks(void **state)
{
    (void)state;
    rig_config(&scene.rig, "127.0.0.1");
    scene.rig.config.media.masking_off = true;
    scene.rig.config.media.watch = false;
    rig_start(&scene.rig, 1);
    scene_open();
    arm();
    caller_speaks(-1, 10);
    caller_speaks(5, 5);
    caller_speaks(-1, 10);
    settle();
    assert_true(heard_of(5) > TONE_DBM0 - 3);
    scene_end();
}

/* The same, and nobody has told the watch to look away. */
static void with_masking_off_the_watch_mutes_the_leg_over_a_restart_too(void **state)
{
    struct media_event event;
    struct media_stats stats;
    (void)state;
    rig_config(&scene.rig, "127.0.0.1");
    scene.rig.config.media.masking_off = true;
    rig_start(&scene.rig, 1);
    scene_open();
    arm();
    caller_speaks(-1, 10);
    caller_speaks(5, 5);
    assert_true(rig_event(&scene.rig, MEDIA_EVENT_ALARM, 1000, &event));
    assert_int_equal(event.capture_id, CAPTURE);
    assert_true(media_call_is_muted(scene.rig.media, CALL));
    assert_int_equal(media_call_arm(scene.rig.media, CALL, CAPTURE + 1, true), OK);
    assert_true(rig_event(&scene.rig, MEDIA_EVENT_ALARM, 1000, &event)); /* who takes the leg over is told */
    assert_int_equal(event.capture_id, CAPTURE + 1);
    media_stats(scene.rig.media, &stats);
    assert_int_equal(stats.watch_alarms, 1);
    rig_sync(&scene.rig, CALL);
    struct media_snapshot snapshot = scene.rig.slots[CALL].snapshot;
    assert_int_equal(snapshot.is_muted, 1);
    rig_stop_media(&scene.rig);
    rig_start_media(&scene.rig);
    assert_int_equal(media_call_restore(scene.rig.media, CALL, &snapshot), OK);
    assert_true(media_call_is_muted(scene.rig.media, CALL));
    assert_true(rig_event(&scene.rig, MEDIA_EVENT_ALARM, 1000, &event));
    settle();
    scene.heard_count = scene.packet_count = 0;
    caller_speaks(7, 5);
    settle();
    assert_true(scene.packet_count > 0);
    assert_true(heard_of(7) < LEAK_DBM0);
    media_call_close(scene.rig.media, CALL); /* hang-up: the record is told all the same */
    assert_true(rig_event(&scene.rig, MEDIA_EVENT_DISARMED, 1000, &event));
    assert_int_equal(event.capture_id, CAPTURE + 1);
    assert_true(event.report.is_last && event.report.is_alarmed && event.report.is_resumed);
    scene_end();
}

static void events_and_infos_of_a_press_are_removed_and_merged(void **state)
{
    struct media_event event;
    (void)state;
    scene_start();
    caller_speaks(-1, 10);
    assert_int_equal(media_call_info_key(scene.rig.media, CALL, 3, 100), ERR_ORDER);
    arm();
    caller_speaks(-1, 5);
    for (uint16_t i = 1; i <= 5; i++) {
        caller_speaks(3, 1);
        struct rtp_header next = scene.caller.next;
        scene.caller.next.timestamp = next.timestamp - 160u * i;
        phone_say_event(&scene.caller, 101, 3, i == 5, (uint16_t)(160 * i));
        scene.caller.next.timestamp = next.timestamp;
    }
    assert_int_equal(media_call_info_key(scene.rig.media, CALL, 3, 100), OK);
    caller_speaks(-1, 20);
    assert_true(rig_event(&scene.rig, MEDIA_EVENT_DIGIT, 500, &event));
    assert_int_equal(event.key, 3);
    assert_false(rig_event(&scene.rig, MEDIA_EVENT_DIGIT, 100, &event));
    assert_int_equal(media_call_disarm(scene.rig.media, CALL, CAPTURE), OK);
    caller_speaks(-1, 20);
    assert_true(rig_event(&scene.rig, MEDIA_EVENT_DISARMED, 1000, &event));
    assert_int_equal(event.report.keys, 1);
    assert_int_equal(event.report.events_removed, 5);
    assert_int_equal(event.report.infos_removed, 1);
    assert_int_equal(media_call_info_key(scene.rig.media, CALL, 3, 100),
                     OK); /* still on its way: swallowed */
    rig_sleep_ms(600);
    assert_int_equal(media_call_info_key(scene.rig.media, CALL, 3, 100), ERR_ORDER);
    settle();
    assert_int_equal(scene.event_count, 0);
    assert_int_equal(scene.hole_count, 0);
    assert_true(heard_of(3) < LEAK_DBM0);
    scene_end();
}

/* ---- RTCP ---- */

static void reports_cross_with_our_ssrcs(void **state)
{
    uint8_t report[28] = {0x80, 200, 0, 6}, bytes[LIMIT_RTP_PACKET_BYTES];
    size_t length;
    (void)state;
    scene_start();
    caller_speaks(-1, 5);
    settle();
    wire_put_u32(report + 4, scene.caller.next.ssrc);
    wire_put_u32(report + 16, scene.caller.next.timestamp - 160);
    assert_int_equal(sendto(scene.caller.rtcp_fd, report, sizeof(report), 0,
                            (struct sockaddr *)&scene.caller.to_rtcp, sizeof(struct sockaddr_in)),
                     sizeof(report));
    assert_true(fd_hear(scene.agent.rtcp_fd, 500, bytes, &length));
    assert_int_equal(length, 28);
    assert_int_equal(wire_u32(bytes + 4), scene.last.ssrc);
    assert_int_equal(wire_u32(bytes + 16), scene.last.timestamp); /* the same moment on our stream's clock */
    assert_int_equal(wire_u32(bytes + 20), 5);
    assert_int_equal(wire_u32(bytes + 24), 5 * SAMPLES);
    scene_end();
}

/* ---- restart, places, recorder ---- */

static void a_restarted_plane_goes_on_masked_from_the_first_sample(void **state)
{
    static struct media_snapshot_slot slot;
    struct media_event event;
    (void)state;
    scene_start();
    assert_int_equal(media_call_keep(scene.rig.media, CALL, &slot), OK);
    caller_speaks(-1, 10);
    arm();
    caller_speaks(2, 5);
    caller_speaks(-1, 10);
    assert_true(rig_event(&scene.rig, MEDIA_EVENT_DIGIT, 500, &event));
    settle();
    struct rtp_header before = scene.last;
    struct media_snapshot snapshot = slot.snapshot;
    assert_int_equal(slot.version % 2, 0);
    assert_int_equal(snapshot.capture_id, CAPTURE);
    assert_int_equal(snapshot.ordinal, 1);
    rig_stop_media(&scene.rig); /* wipes and parks; a killed process would leave its sockets as they are */
    caller_speaks(5, 3);
    rig_start_media(&scene.rig);
    assert_int_equal(media_call_restore(scene.rig.media, CALL, &snapshot), OK);
    assert_int_equal(media_call_restore(scene.rig.media, CALL, &snapshot), ERR_EXISTS);
    rig_sync(&scene.rig, CALL);
    caller_speaks(6, 5);
    caller_speaks(-1, 10);
    settle();
    assert_true(rig_event(&scene.rig, MEDIA_EVENT_DIGIT, 500, &event));
    assert_int_equal(event.ordinal, 2);
    assert_int_equal(event.key, 6);
    assert_int_equal(scene.last.ssrc, before.ssrc);
    assert_true(rtp_sequence_diff(before.sequence, scene.last.sequence) > 1000);
    assert_true((int32_t)(scene.last.timestamp - before.timestamp) > 8000);
    for (int key = 0; key < 16; key++)
        assert_true(heard_of(key) < LEAK_DBM0);
    scene_end();
}

static void places_are_counted_and_errors_are_told(void **state)
{
    struct media_ports ports;
    struct media_leg legs[MEDIA_SIDES] = {0};
    struct media_stats stats;
    (void)state;
    scene_start(); /* two places, one taken */
    struct media *media = scene.rig.media;
    assert_int_equal(media_call_open(media, CALL, &ports), ERR_EXISTS);
    assert_int_equal(media_call_open(media, 8, &ports), OK);
    assert_int_equal(ports.rtp[0] % 2, 0);
    assert_int_equal(media_call_open(media, 9, &ports), ERR_FULL);
    assert_int_equal(media_call_update(media, 10, legs), ERR_NOT_FOUND);
    assert_int_equal(media_call_arm(media, 10, 1, true), ERR_NOT_FOUND);
    assert_int_equal(media_call_info_key(media, 10, 1, 100), ERR_NOT_FOUND);
    legs[0] = phone_leg(&scene.caller);
    legs[0].payload_type = 200;
    assert_int_equal(media_call_update(media, 8, legs), ERR_RANGE);
    media_stats(media, &stats);
    assert_int_equal(stats.calls, 2);
    assert_true(stats.bytes_per_call > 1000 && stats.bytes_per_call < 65536);
    media_call_close(media, 8);
    media_call_close(media, 12345);
    assert_int_equal(media_call_open(media, 9, &ports), ERR_FULL); /* quarantine */
    rig_sleep_ms(2100);
    assert_true(media_is_alive(media));
    assert_int_equal(media_call_open(media, 9, &ports), OK);
    scene_end();
}

static void the_recorder_hears_what_the_agent_hears(void **state)
{
    char id[17], path[LIMIT_PATH_BYTES + 64];
    static uint8_t file[44 + 4 * HEARD_MAX];
    static int16_t left[HEARD_MAX];
    (void)state;
    rig_config(&scene.rig, "127.0.0.1");
    snprintf(scene.rig.config.recorder.directory, LIMIT_PATH_BYTES, "/tmp/tonegate-media-XXXXXX");
    assert_non_null(mkdtemp(scene.rig.config.recorder.directory));
    rig_start(&scene.rig, 1);
    scene_open();
    caller_speaks(-1, 5);
    arm();
    caller_speaks(-1, 10);
    caller_speaks(8, 6);
    caller_speaks(-1, 10);
    settle();
    scene_end();
    log_id_text(CALL, id);
    snprintf(path, sizeof(path), "%s/call_%s.wav", scene.rig.config.recorder.directory, id);
    FILE *wav = fopen(path, "rb");
    assert_non_null(wav);
    size_t length = fread(file, 1, sizeof(file), wav);
    fclose(wav);
    size_t frames = (length - 44) / 4;
    for (size_t i = 0; i < frames; i++)
        left[i] = (int16_t)(file[44 + 4 * i] | file[45 + 4 * i] << 8);
    assert_true(frames > 31 * SAMPLES - 800);
    assert_true(tone_left_dbm0(left, frames, 8) < LEAK_DBM0);
    size_t same = 0; /* the agent's audio, sample by sample, from wherever the file begins */
    for (size_t i = 0; i < scene.heard_count && i < frames; i++)
        same += left[i] == scene.heard[i];
    assert_true(same > scene.heard_count * 9 / 10);
    (void)unlink(path);
    assert_int_equal(rmdir(scene.rig.config.recorder.directory), 0);
}

/* Orders and traffic at once, several calls, two workers: for the thread sanitizer, and for every count to end at 0. */
static void orders_under_traffic_leave_nothing_behind(void **state)
{
    struct phone phones[8];
    struct rig rig;
    struct media_event event;
    uint8_t payload[SAMPLES] = {0};
    (void)state;
    rig_config(&rig, "127.0.0.1");
    rig.config.media.workers = 2;
    rig_start(&rig, RIG_CALLS_MAX);
    for (int i = 0; i < 8; i++)
        phone_open(&phones[i], "127.0.0.1");
    for (uint64_t call = 0; call < 4; call++)
        rig_call(&rig, call + 1, &phones[2 * call], &phones[2 * call + 1]);
    for (int round = 0; round < 60; round++) {
        for (int i = 0; i < 8; i++)
            phone_say(&phones[i], payload, sizeof(payload));
        uint64_t call = 1 + (uint64_t)round % 4;
        assert_int_equal(media_call_arm(rig.media, call, 100 + call, round % 2), OK);
        if (round % 3 == 0)
            assert_int_equal(media_call_info_key(rig.media, call, (dtmf_key)(round % 16), 50), OK);
        if (round % 5 == 0)
            assert_int_equal(media_call_disarm(rig.media, call, 100 + call), OK);
        while (media_event_next(rig.media, &event) == OK)
            assert_true(event.call_id >= 1 && event.call_id <= 4);
        rig_sleep_ms(20);
    }
    for (uint64_t call = 1; call <= 4; call++)
        media_call_close(rig.media, call);
    struct media_stats stats;
    media_stats(rig.media, &stats);
    assert_int_equal(stats.calls, 0);
    assert_true(stats.packets_relayed > 100);
    /* What closed calls still had to say is gone, but for the last word on an armed leg. */
    for (size_t last = 0; media_event_next(rig.media, &event) == OK; last++) {
        assert_int_equal(event.kind, MEDIA_EVENT_DISARMED);
        assert_true(event.report.is_last);
        assert_true(last < 8); /* one may lie there from before its call was closed */
    }
    for (int i = 0; i < 8; i++)
        phone_close(&phones[i]);
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_payload_crosses_both_ways_untouched),
        cmocka_unit_test(a_new_description_moves_the_stream_and_shuts_out_the_old_address),
        cmocka_unit_test(a_sprayer_gets_nothing_and_reaches_nobody),
        cmocka_unit_test(an_armed_leg_leaks_nothing_and_reports_each_key_once),
        cmocka_unit_test(with_masking_off_the_same_call_leaks),
        cmocka_unit_test(with_masking_off_the_watch_mutes_the_leg_over_a_restart_too),
        cmocka_unit_test(events_and_infos_of_a_press_are_removed_and_merged),
        cmocka_unit_test(reports_cross_with_our_ssrcs),
        cmocka_unit_test(a_restarted_plane_goes_on_masked_from_the_first_sample),
        cmocka_unit_test(places_are_counted_and_errors_are_told),
        cmocka_unit_test(the_recorder_hears_what_the_agent_hears),
        cmocka_unit_test(orders_under_traffic_leave_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
