/* The UDP datagram in a captured frame: Ethernet with VLAN tags, Linux cooked (both), raw IP, BSD loopback; IPv4 and IPv6.
 * Pure, no allocation. */
#ifndef TONEGATE_BENCH_RECORDINGS_UDP_FRAME_H
#define TONEGATE_BENCH_RECORDINGS_UDP_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct udp_path { /* from where to where; no padding, so that it can be compared as bytes */
    uint8_t source[16];
    uint8_t destination[16];
    uint16_t source_port;
    uint16_t destination_port;
    uint8_t ip_version;
    uint8_t unused[3];
};

struct udp_frame {
    struct udp_path path;
    const uint8_t *payload;
    size_t payload_bytes;
    bool is_cut; /* more was on the wire than was captured */
};

/* link_type: LINKTYPE_... False: no whole, unfragmented UDP datagram. */
bool udp_frame_read(struct udp_frame *frame, uint32_t link_type, const uint8_t *bytes, size_t length);

/* False for a link type that is never understood. */
bool udp_frame_knows(uint32_t link_type);

#endif
