#include "bench/recordings/pcap_file.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC_MICRO   0xA1B2C3D4U
#define MAGIC_NANO    0xA1B23C4DU
#define MAGIC_SECTION 0x0A0D0D0AU /* the same in both byte orders */
#define MAGIC_ORDER   0x1A2B3C4DU

#define BLOCK_INTERFACE 1U
#define BLOCK_OLD       2U
#define BLOCK_SIMPLE    3U
#define BLOCK_PACKET    6U
#define BLOCK_BYTES_MAX (PCAP_PACKET_BYTES + 65536U)

#define OPTION_RESOLUTION 9U
#define OPTION_OFFSET     14U

struct interface {
    uint32_t link_type;
    uint32_t snap_length;
    uint8_t resolution; /* if_tsresol */
    int64_t offset_s;
};

struct pcap_file {
    FILE *stream;
    const char *name;
    bool is_swapped;
    bool is_ng;
    bool is_nano;
    uint32_t link_type;
    uint64_t packet_number;
    size_t interface_count;
    struct interface interfaces[PCAP_INTERFACES_MAX];
    uint8_t block[BLOCK_BYTES_MAX];
};

static uint32_t read_32(const struct pcap_file *pcap, const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return pcap->is_swapped ? __builtin_bswap32(value) : value;
}

static uint16_t read_16(const struct pcap_file *pcap, const uint8_t *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return pcap->is_swapped ? __builtin_bswap16(value) : value;
}

static enum err refuse(const struct pcap_file *pcap, char *reason, const char *wrong, enum err err)
{
    snprintf(reason, PCAP_REASON_BYTES, "%s: %s", pcap->name, wrong);
    return err;
}

static enum err refuse_packet(const struct pcap_file *pcap, char *reason, const char *wrong)
{
    snprintf(reason, PCAP_REASON_BYTES, "%s: %s (after %llu packets)", pcap->name, wrong,
             (unsigned long long)pcap->packet_number);
    return ERR_SYNTAX;
}

/* Exactly count bytes. ERR_EMPTY: none at all and the file is over. */
static enum err take(struct pcap_file *pcap, uint8_t *out, size_t count, char *reason)
{
    size_t got = fread(out, 1, count, pcap->stream);
    if (got == count)
        return OK;
    if (ferror(pcap->stream))
        return refuse(pcap, reason, strerror(errno), ERR_SYSTEM);
    return got == 0 ? ERR_EMPTY : refuse_packet(pcap, reason, "is cut short in the middle of a packet");
}

/* The same, where the file must not end. */
static enum err take_rest(struct pcap_file *pcap, uint8_t *out, size_t count, char *reason)
{
    enum err err = take(pcap, out, count, reason);
    if (err == ERR_EMPTY)
        return refuse_packet(pcap, reason, "is cut short in the middle of a packet");
    return err;
}

static uint32_t magic_of(const uint8_t bytes[4])
{
    uint32_t magic;
    memcpy(&magic, bytes, sizeof magic);
    return magic;
}

bool pcap_is_magic(const uint8_t bytes[4])
{
    uint32_t magic = magic_of(bytes);
    uint32_t turned = __builtin_bswap32(magic);
    return magic == MAGIC_SECTION || magic == MAGIC_MICRO || magic == MAGIC_NANO || turned == MAGIC_MICRO ||
           turned == MAGIC_NANO;
}

/* ------------------------------------------------------------------ pcap */

static enum err open_classic(struct pcap_file *pcap, uint32_t magic, char *reason)
{
    uint8_t rest[20];
    pcap->is_swapped = magic != MAGIC_MICRO && magic != MAGIC_NANO;
    pcap->is_nano = magic == MAGIC_NANO || __builtin_bswap32(magic) == MAGIC_NANO;
    if (take_rest(pcap, rest, sizeof rest, reason))
        return refuse(pcap, reason, "is cut short in its header", ERR_SYNTAX);
    if (read_16(pcap, rest) != 2)
        return refuse(pcap, reason, "is a capture of an unknown version", ERR_VERSION);
    pcap->link_type = read_32(pcap, rest + 16) & 0x0FFFFFFF; /* above: length of the frame check sequence */
    return OK;
}

static enum err next_classic(struct pcap_file *pcap, struct pcap_packet *packet, char *reason)
{
    uint8_t header[16];
    enum err err = take(pcap, header, sizeof header, reason);
    if (err)
        return err;
    packet->link_type = pcap->link_type;
    packet->at_ns =
        read_32(pcap, header) * 1000000000ULL + read_32(pcap, header + 4) * (pcap->is_nano ? 1ULL : 1000ULL);
    packet->captured = read_32(pcap, header + 8);
    packet->original = read_32(pcap, header + 12);
    packet->bytes = pcap->block;
    if (packet->captured > PCAP_PACKET_BYTES)
        return refuse_packet(pcap, reason, "is damaged: a packet of impossible length");
    return take_rest(pcap, pcap->block, packet->captured, reason);
}

/* ------------------------------------------------------------------ pcapng */

/* Section header: says the byte order of what follows. The block's type has been read. */
static enum err take_section(struct pcap_file *pcap, char *reason)
{
    uint8_t head[20];
    if (take_rest(pcap, head, sizeof head, reason))
        return refuse(pcap, reason, "is cut short in its header", ERR_SYNTAX);
    uint32_t order = magic_of(head + 4);
    if (order != MAGIC_ORDER && __builtin_bswap32(order) != MAGIC_ORDER)
        return refuse(pcap, reason, "is damaged: no byte order in its section header", ERR_SYNTAX);
    pcap->is_swapped = order != MAGIC_ORDER;
    pcap->interface_count = 0;
    if (read_16(pcap, head + 8) != 1)
        return refuse(pcap, reason, "is a capture of an unknown version", ERR_VERSION);
    uint32_t length = read_32(pcap, head);
    if (length < 28 || length % 4 != 0 || length > BLOCK_BYTES_MAX)
        return refuse_packet(pcap, reason, "is damaged: a block of impossible length");
    return take_rest(pcap, pcap->block, length - 24, reason);
}

static int64_t read_offset(const struct pcap_file *pcap, const uint8_t *at)
{
    uint64_t first = read_32(pcap, at);
    uint64_t second = read_32(pcap, at + 4);
    bool is_little = (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__) != pcap->is_swapped;
    return (int64_t)(is_little ? second << 32 | first : first << 32 | second);
}

/* body: link type, reserved, snap length, options. */
static void take_interface(struct pcap_file *pcap, const uint8_t *body, size_t length)
{
    if (length < 8 || pcap->interface_count >= PCAP_INTERFACES_MAX)
        return;
    struct interface *interface = &pcap->interfaces[pcap->interface_count++];
    *interface = (struct interface){read_16(pcap, body), read_32(pcap, body + 4), 6, 0};
    for (size_t at = 8; at + 4 <= length;) {
        unsigned code = read_16(pcap, body + at);
        size_t bytes = read_16(pcap, body + at + 2);
        if (code == 0 || bytes > length - at - 4)
            return;
        if (code == OPTION_RESOLUTION && bytes == 1)
            interface->resolution = body[at + 4];
        if (code == OPTION_OFFSET && bytes == 8)
            interface->offset_s = read_offset(pcap, body + at + 4);
        at += 4 + (bytes + 3) / 4 * 4;
    }
}

static uint64_t time_of(const struct interface *interface, uint32_t high, uint32_t low)
{
    uint64_t ticks = (uint64_t)high << 32 | low;
    uint64_t offset_ns = (uint64_t)interface->offset_s * 1000000000ULL;
    unsigned exponent = interface->resolution & 0x7F;
    if ((interface->resolution & 0x80) == 0 && exponent <= 9) {
        uint64_t factor = 1;
        for (unsigned i = exponent; i < 9; i++)
            factor *= 10;
        return ticks * factor + offset_ns;
    }
    long double unit = powl(interface->resolution & 0x80 ? 2 : 10, -(long double)exponent);
    long double ns = (long double)ticks * unit * 1e9L;
    return (ns < 1.8e19L ? (uint64_t)ns : 0) + offset_ns;
}

/* A packet block's body; false when there is no packet in it. */
static bool take_packet(const struct pcap_file *pcap, uint32_t type, size_t length,
                        struct pcap_packet *packet)
{
    const uint8_t *body = pcap->block;
    size_t head = type == BLOCK_SIMPLE ? 4 : 20;
    if (length < head)
        return false;
    uint32_t index = type == BLOCK_SIMPLE ? 0 : type == BLOCK_OLD ? read_16(pcap, body) : read_32(pcap, body);
    if (index >= pcap->interface_count)
        return false;
    const struct interface *interface = &pcap->interfaces[index];
    packet->link_type = interface->link_type;
    packet->bytes = body + head;
    if (type == BLOCK_SIMPLE) {
        uint32_t snap = interface->snap_length;
        packet->at_ns = 0;
        packet->original = read_32(pcap, body);
        packet->captured = packet->original < length - head ? packet->original : length - head;
        if (snap != 0 && packet->captured > snap)
            packet->captured = snap;
        return true;
    }
    packet->at_ns = time_of(interface, read_32(pcap, body + 4), read_32(pcap, body + 8));
    packet->captured = read_32(pcap, body + 12);
    packet->original = read_32(pcap, body + 16);
    return packet->captured <= length - head;
}

/* A block of type other than a section header; *body says how long it is. */
static enum err take_block(struct pcap_file *pcap, size_t *body, char *reason)
{
    uint8_t head[4];
    enum err err = take_rest(pcap, head, sizeof head, reason);
    if (err)
        return err;
    uint32_t length = read_32(pcap, head);
    if (length < 12 || length % 4 != 0 || length > BLOCK_BYTES_MAX)
        return refuse_packet(pcap, reason, "is damaged: a block of impossible length");
    err = take_rest(pcap, pcap->block, length - 8, reason);
    if (err)
        return err;
    if (read_32(pcap, pcap->block + length - 12) != length)
        return refuse_packet(pcap, reason, "is damaged: the two lengths of a block differ");
    *body = length - 12;
    return OK;
}

static enum err next_ng(struct pcap_file *pcap, struct pcap_packet *packet, char *reason)
{
    for (;;) {
        uint8_t head[4];
        size_t body = 0;
        enum err err = take(pcap, head, sizeof head, reason);
        if (err)
            return err;
        uint32_t type = read_32(pcap, head);
        err = type == MAGIC_SECTION ? take_section(pcap, reason) : take_block(pcap, &body, reason);
        if (err)
            return err;
        if (type == BLOCK_INTERFACE)
            take_interface(pcap, pcap->block, body);
        if (type != BLOCK_PACKET && type != BLOCK_SIMPLE && type != BLOCK_OLD)
            continue;
        if (!take_packet(pcap, type, body, packet))
            return refuse_packet(pcap, reason,
                                 "is damaged: a packet longer than its block, or of no interface");
        return OK;
    }
}

/* ------------------------------------------------------------------ both */

enum err pcap_open(struct pcap_file **out, FILE *stream, const char *name, char *reason)
{
    uint8_t magic[4];
    *out = NULL;
    struct pcap_file *pcap = calloc(1, sizeof *pcap);
    if (pcap == NULL) {
        fclose(stream);
        snprintf(reason, PCAP_REASON_BYTES, "%s: not enough memory", name);
        return ERR_MEMORY;
    }
    pcap->stream = stream;
    pcap->name = name;
    enum err err = take(pcap, magic, sizeof magic, reason);
    if (err == ERR_EMPTY)
        err = refuse(pcap, reason, "is empty", ERR_SYNTAX);
    else if (err == OK && !pcap_is_magic(magic))
        err = refuse(pcap, reason, "is not a capture (pcap or pcapng)", ERR_SYNTAX);
    if (err == OK) {
        pcap->is_ng = magic_of(magic) == MAGIC_SECTION;
        err = pcap->is_ng ? take_section(pcap, reason) : open_classic(pcap, magic_of(magic), reason);
    }
    if (err) {
        pcap_close(pcap);
        return err;
    }
    *out = pcap;
    return OK;
}

enum err pcap_next(struct pcap_file *pcap, struct pcap_packet *packet, char *reason)
{
    enum err err = pcap->is_ng ? next_ng(pcap, packet, reason) : next_classic(pcap, packet, reason);
    if (err == OK)
        pcap->packet_number++;
    return err;
}

void pcap_close(struct pcap_file *pcap)
{
    if (pcap == NULL)
        return;
    fclose(pcap->stream);
    free(pcap);
}
