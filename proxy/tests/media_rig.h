/* A media plane with phones round it, on loopback: real sockets, real threads, ports of the kernel's choice. */
#ifndef TONEGATE_PROXY_TESTS_MEDIA_RIG_H
#define TONEGATE_PROXY_TESTS_MEDIA_RIG_H

#include "proxy/media/media.h"
#include "proxy/media/rtp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RIG_CALLS_MAX 8

struct rig {
    struct config config; /* set what differs from rig_config() before rig_start() */
    int sockets[4 * RIG_CALLS_MAX];
    size_t socket_count;
    struct media *media;
    struct media_snapshot_slot slots[RIG_CALLS_MAX]; /* by call id: for rig_sync() */
};

/* One worker, 5 ms tick, 20 ms look-ahead, no recorder, on `address`. */
void rig_config(struct rig *rig, const char *address);
void rig_start(struct rig *rig, size_t calls);
void rig_stop(struct rig *rig);       /* media and sockets */
void rig_stop_media(struct rig *rig); /* the process "dies", its sockets live on */
void rig_start_media(struct rig *rig);

/* An endpoint with an RTP and an RTCP socket of its own. */
struct phone {
    int rtp_fd, rtcp_fd;
    struct sockaddr_in rtp, rtcp;       /* its own addresses */
    struct sockaddr_in to_rtp, to_rtcp; /* where it sends */
    struct rtp_header next;             /* of the packet phone_say() sends next */
};

void phone_open(struct phone *phone, const char *address);
void phone_close(struct phone *phone);

/* PCMA, payload type 8, telephone-event 101, 20 ms, both directions. */
struct media_leg phone_leg(const struct phone *phone);

/* Opens the call, describes both phones and tells them where to send. */
void rig_call(struct rig *rig, uint64_t call_id, struct phone *caller, struct phone *agent);
void phone_aim(const struct rig *rig, struct phone *phone, uint16_t rtp_port);

/* Sends payload with phone->next, and counts sequence and timestamp on. */
void phone_say(struct phone *phone, const uint8_t *payload, size_t length);
void phone_say_event(struct phone *phone, uint8_t payload_type, uint8_t code, bool is_end, uint16_t duration);

/* The next packet within wait_ms; false when none comes. */
bool phone_hear(struct phone *phone, int wait_ms, struct rtp_packet *packet, uint8_t *bytes, size_t *length);
bool fd_hear(int fd, int wait_ms, uint8_t *bytes, size_t *length);

/* Waits until the call's worker has taken every order given so far; takes the call's snapshot slot over. */
void rig_sync(struct rig *rig, uint64_t call_id);

/* The next event of this kind within wait_ms; others are thrown away. */
bool rig_event(struct rig *rig, enum media_event_kind kind, int wait_ms, struct media_event *event);

void rig_sleep_ms(int ms);

#endif
