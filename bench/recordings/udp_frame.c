#include "bench/recordings/udp_frame.h"

#include <string.h>

#define LINK_NULL     0U
#define LINK_ETHERNET 1U
#define LINK_RAW_BSD  12U
#define LINK_RAW_OPEN 14U
#define LINK_RAW      101U
#define LINK_LOOP     108U
#define LINK_COOKED   113U
#define LINK_IPV4     228U
#define LINK_IPV6     229U
#define LINK_COOKED_2 276U

#define TYPE_IPV4      0x0800U
#define TYPE_IPV6      0x86DDU
#define TYPE_VLAN      0x8100U
#define TYPE_VLAN_OUT  0x88A8U
#define TYPE_VLAN_QINQ 0x9100U
#define VLANS_MAX      4
#define PROTOCOL_UDP   17U
#define EXTENSIONS_MAX 8

static unsigned big_16(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

bool udp_frame_knows(uint32_t link_type)
{
    static const uint32_t known[] = {LINK_NULL, LINK_ETHERNET, LINK_RAW_BSD, LINK_RAW_OPEN, LINK_RAW,
                                     LINK_LOOP, LINK_COOKED,   LINK_IPV4,    LINK_IPV6,     LINK_COOKED_2};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i] == link_type)
            return true;
    return false;
}

/* Where the network packet begins, behind an EtherType at type_at and any VLAN tags; 0 when it is not IP. */
static size_t behind_type(const uint8_t *bytes, size_t length, size_t type_at)
{
    for (unsigned tag = 0; tag <= VLANS_MAX && type_at + 2 <= length; tag++) {
        unsigned type = big_16(bytes + type_at);
        if (type == TYPE_IPV4 || type == TYPE_IPV6)
            return type_at + 2;
        if (type != TYPE_VLAN && type != TYPE_VLAN_OUT && type != TYPE_VLAN_QINQ)
            return 0;
        type_at += 4;
    }
    return 0;
}

/* SIZE_MAX: not IP. */
static size_t network_at(uint32_t link_type, const uint8_t *bytes, size_t length)
{
    size_t at;
    switch (link_type) {
    case LINK_ETHERNET:
        at = behind_type(bytes, length, 12);
        return at ? at : SIZE_MAX;
    case LINK_COOKED:
        at = behind_type(bytes, length, 14);
        return at ? at : SIZE_MAX;
    case LINK_COOKED_2:
        return length >= 20 && behind_type(bytes, length, 0) ? 20 : SIZE_MAX;
    case LINK_NULL:
    case LINK_LOOP:
        return 4; /* the address family differs from system to system: the version in the packet will do */
    default:
        return udp_frame_knows(link_type) ? 0 : SIZE_MAX;
    }
}

static bool read_udp(struct udp_frame *frame, const uint8_t *bytes, size_t captured, size_t on_wire)
{
    if (captured < 8 || on_wire < 8)
        return false;
    size_t length = big_16(bytes + 4);
    if (length < 8 || length > on_wire)
        return false;
    frame->path.source_port = (uint16_t)big_16(bytes);
    frame->path.destination_port = (uint16_t)big_16(bytes + 2);
    frame->payload = bytes + 8;
    frame->is_cut = length > captured;
    frame->payload_bytes = (frame->is_cut ? captured : length) - 8;
    return true;
}

static bool read_ipv4(struct udp_frame *frame, const uint8_t *bytes, size_t length)
{
    if (length < 20)
        return false;
    size_t header = (bytes[0] & 0x0FU) * 4U;
    size_t total = big_16(bytes + 2);
    bool is_fragment = (big_16(bytes + 6) & 0x3FFF) != 0; /* more to come, or not the first */
    if (header < 20 || header > length || total < header || is_fragment || bytes[9] != PROTOCOL_UDP)
        return false;
    memcpy(frame->path.source, bytes + 12, 4);
    memcpy(frame->path.destination, bytes + 16, 4);
    return read_udp(frame, bytes + header, length - header, total - header);
}

static bool read_ipv6(struct udp_frame *frame, const uint8_t *bytes, size_t length)
{
    if (length < 40)
        return false;
    size_t end = 40 + big_16(bytes + 4); /* on the wire */
    unsigned next = bytes[6];
    size_t at = 40;
    memcpy(frame->path.source, bytes + 8, 16);
    memcpy(frame->path.destination, bytes + 24, 16);
    for (unsigned i = 0; i < EXTENSIONS_MAX && next != PROTOCOL_UDP; i++) {
        bool is_skipped =
            next == 0 || next == 43 || next == 60; /* hop by hop, routing, destination options */
        if (!is_skipped || at + 2 > length)
            return false;
        next = bytes[at];
        at += (bytes[at + 1] + 1U) * 8U;
    }
    if (next != PROTOCOL_UDP || at > length || at > end)
        return false;
    return read_udp(frame, bytes + at, length - at, end - at);
}

bool udp_frame_read(struct udp_frame *frame, uint32_t link_type, const uint8_t *bytes, size_t length)
{
    memset(frame, 0, sizeof *frame);
    size_t at = network_at(link_type, bytes, length);
    if (at >= length)
        return false;
    frame->path.ip_version = bytes[at] >> 4;
    if (frame->path.ip_version == 4)
        return read_ipv4(frame, bytes + at, length - at);
    return frame->path.ip_version == 6 && read_ipv6(frame, bytes + at, length - at);
}
