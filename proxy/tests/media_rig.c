#include "proxy/tests/media_rig.h"

#include "base/clock.h"
#include "proxy/media/wire.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_in address_of(const char *address, uint16_t port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    ASSERT(inet_pton(AF_INET, address, &at.sin_addr) == 1);
    return at;
}

static int bind_udp(const char *address, uint16_t port)
{
    struct sockaddr_in at = address_of(address, port);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ASSERT(fd >= 0);
    if (bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0)
        return fd;
    close(fd);
    return -1;
}

static struct sockaddr_in own_address(int fd)
{
    struct sockaddr_in at;
    socklen_t length = sizeof(at);
    ASSERT(getsockname(fd, (struct sockaddr *)&at, &length) == 0);
    return at;
}

/* An even port of the kernel's choice and the one above it. */
static void bind_pair(const char *address, int pair[2])
{
    for (int i = 0; i < 1000; i++) {
        pair[0] = bind_udp(address, 0);
        uint16_t port = ntohs(own_address(pair[0]).sin_port);
        pair[1] = port % 2 == 0 ? bind_udp(address, (uint16_t)(port + 1)) : -1;
        if (pair[1] >= 0)
            return;
        close(pair[0]);
    }
    ASSERT(!"there are free port pairs");
}

void rig_config(struct rig *rig, const char *address)
{
    memset(rig, 0, sizeof(*rig));
    rig->config.sip.calls_max = RIG_CALLS_MAX;
    rig->config.media.address = address_of(address, 0).sin_addr;
    rig->config.media.workers = 1;
    rig->config.media.tick_us = 5000;
    rig->config.media.lookahead_ms = 20;
    rig->config.media.watch = true;
}

void rig_start_media(struct rig *rig)
{
    ASSERT(media_new(&rig->media, &rig->config, rig->sockets, rig->socket_count) == OK);
}

void rig_start(struct rig *rig, size_t calls)
{
    char address[INET_ADDRSTRLEN];
    ASSERT(calls <= RIG_CALLS_MAX);
    ASSERT(inet_ntop(AF_INET, &rig->config.media.address, address, sizeof(address)));
    for (size_t i = 0; i < 2 * calls; i++)
        bind_pair(address, &rig->sockets[2 * i]);
    rig->socket_count = 4 * calls;
    rig_start_media(rig);
}

void rig_stop_media(struct rig *rig)
{
    media_free(rig->media);
    rig->media = NULL;
}

void rig_stop(struct rig *rig)
{
    rig_stop_media(rig);
    for (size_t i = 0; i < rig->socket_count; i++)
        close(rig->sockets[i]);
}

void phone_open(struct phone *phone, const char *address)
{
    int pair[2];
    bind_pair(address, pair);
    *phone = (struct phone){
        .rtp_fd = pair[0], .rtcp_fd = pair[1], .rtp = own_address(pair[0]), .rtcp = own_address(pair[1])};
    phone->next = (struct rtp_header){.payload_type = 8,
                                      .sequence = phone->rtp.sin_port,
                                      .timestamp = phone->rtp.sin_port * 7919u,
                                      .ssrc = phone->rtp.sin_port * 104729u};
}

void phone_close(struct phone *phone)
{
    close(phone->rtp_fd);
    close(phone->rtcp_fd);
}

struct media_leg phone_leg(const struct phone *phone)
{
    return (struct media_leg){.rtp_remote = phone->rtp,
                              .rtcp_remote = phone->rtcp,
                              .codec = MEDIA_PCMA,
                              .payload_type = 8,
                              .event_payload_type = 101,
                              .ptime_ms = 20,
                              .is_sending = true,
                              .is_receiving = true};
}

void phone_aim(const struct rig *rig, struct phone *phone, uint16_t rtp_port)
{
    phone->to_rtp = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(rtp_port), .sin_addr = rig->config.media.address};
    phone->to_rtcp = phone->to_rtp;
    phone->to_rtcp.sin_port = htons((uint16_t)(rtp_port + 1));
}

/* Orders are taken in turn: once the snapshot is written, all before it are done. */
void rig_sync(struct rig *rig, uint64_t call_id)
{
    struct media_snapshot_slot *slot = &rig->slots[call_id % RIG_CALLS_MAX];
    atomic_store(&slot->version, 0);
    ASSERT(media_call_keep(rig->media, call_id, slot) == OK);
    for (int i = 0; i < 5000 && atomic_load(&slot->version) == 0; i++)
        rig_sleep_ms(1);
    ASSERT(atomic_load(&slot->version) != 0);
}

void rig_call(struct rig *rig, uint64_t call_id, struct phone *caller, struct phone *agent)
{
    struct media_ports ports;
    ASSERT(media_call_open(rig->media, call_id, &ports) == OK);
    phone_aim(rig, caller, ports.rtp[MEDIA_CALLER]);
    phone_aim(rig, agent, ports.rtp[MEDIA_AGENT]);
    struct media_leg legs[MEDIA_SIDES] = {phone_leg(caller), phone_leg(agent)};
    ASSERT(media_call_update(rig->media, call_id, legs) == OK);
    rig_sync(rig, call_id);
}

static void say(struct phone *phone, const struct rtp_header *header, const uint8_t *payload, size_t length)
{
    uint8_t packet[LIMIT_RTP_PACKET_BYTES];
    rtp_write_header(header, packet);
    memcpy(packet + RTP_HEADER_BYTES, payload, length);
    (void)!sendto(phone->rtp_fd, packet, RTP_HEADER_BYTES + length, 0, (struct sockaddr *)&phone->to_rtp,
                  sizeof(phone->to_rtp));
    phone->next.sequence++;
}

void phone_say(struct phone *phone, const uint8_t *payload, size_t length)
{
    say(phone, &phone->next, payload, length);
    phone->next.timestamp += (uint32_t)length;
    phone->next.has_marker = false;
}

void phone_say_event(struct phone *phone, uint8_t payload_type, uint8_t code, bool is_end, uint16_t duration)
{
    uint8_t payload[4] = {code, (uint8_t)(is_end ? 0x8a : 0x0a)};
    struct rtp_header header = phone->next;
    wire_put_u16(payload + 2, duration);
    header.payload_type = payload_type;
    say(phone, &header, payload, sizeof(payload));
}

bool fd_hear(int fd, int wait_ms, uint8_t *bytes, size_t *length)
{
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    if (poll(&readable, 1, wait_ms) <= 0)
        return false;
    ssize_t got = recv(fd, bytes, LIMIT_RTP_PACKET_BYTES, MSG_DONTWAIT);
    *length = got > 0 ? (size_t)got : 0;
    return got > 0;
}

bool phone_hear(struct phone *phone, int wait_ms, struct rtp_packet *packet, uint8_t *bytes, size_t *length)
{
    return fd_hear(phone->rtp_fd, wait_ms, bytes, length) && rtp_read(packet, bytes, *length) == OK;
}

bool rig_event(struct rig *rig, enum media_event_kind kind, int wait_ms, struct media_event *event)
{
    struct mono_time until = mono_add_ms(mono_now(), wait_ms);
    for (;;) {
        while (media_event_next(rig->media, event) == OK) {
            if (event->kind == kind)
                return true;
        }
        int64_t left = mono_elapsed_ms(mono_now(), until);
        struct pollfd readable = {.fd = media_event_fd(rig->media), .events = POLLIN};
        if (left <= 0 || poll(&readable, 1, (int)left) <= 0)
            return false;
    }
}

void rig_sleep_ms(int ms)
{
    struct timespec pause = {ms / 1000, ms % 1000 * NS_PER_MS};
    nanosleep(&pause, NULL);
}
