/* Captured packets from pcap (either byte order, microseconds or nanoseconds) and pcapng files, one after the other.
 *
 * Every length is checked before it is believed. Reads forward only, so pipes will do. Thread: one at a time per file.
 * Source: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng. */
#ifndef TONEGATE_BENCH_RECORDINGS_PCAP_FILE_H
#define TONEGATE_BENCH_RECORDINGS_PCAP_FILE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define PCAP_PACKET_BYTES   262144 /* most of one packet, as tcpdump has it */
#define PCAP_INTERFACES_MAX 256
#define PCAP_REASON_BYTES   512

struct pcap_file; /* opaque */

struct pcap_packet {
    uint32_t link_type; /* LINKTYPE_... */
    uint64_t at_ns;     /* since 1970 */
    size_t captured;
    size_t original;      /* on the wire; more than captured when the capture was told to cut */
    const uint8_t *bytes; /* valid until the next call */
};

/* True when four bytes are how such a file begins. */
bool pcap_is_magic(const uint8_t magic[4]);

/* Takes the stream over: pcap_close() closes it. name is kept by reference, for reasons (PCAP_REASON_BYTES).
 * ERR_SYNTAX (not a capture, cut short), ERR_VERSION, ERR_MEMORY; the stream is closed then, too. */
MUST_USE enum err pcap_open(struct pcap_file **out, FILE *stream, const char *name, char *reason);

/* ERR_EMPTY: the end. ERR_SYNTAX: cut short or damaged. */
MUST_USE enum err pcap_next(struct pcap_file *pcap, struct pcap_packet *packet, char *reason);

void pcap_close(struct pcap_file *pcap); /* NULL is accepted */

#endif
