/* RTCP across the relay (RFC 3550 §6): what one side reports is read, and written anew as ours for the other side.
 *
 * Sender and receiver reports, the canonical name and BYE cross, with our SSRCs and our counters; names of people,
 * application packets, extended reports and everything unknown stay behind. Pure, no allocation, any thread. */
#ifndef TONEGATE_PROXY_MEDIA_RTCP_H
#define TONEGATE_PROXY_MEDIA_RTCP_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RTCP_OUT_BYTES   160 /* longest rtcp_relay() writes */
#define RTCP_CNAME_BYTES 17

/* What rtcp_relay() must know of the two streams of a call, seen from the side that sent the packet. */
struct rtcp_view {
    /* the stream this side sends, and what we made of it for the other side */
    bool is_sent_known; /* its SSRC is known and our stream has begun */
    uint32_t sent_ssrc;
    uint32_t our_ssrc;
    uint32_t timestamp_offset; /* ours - theirs */
    uint32_t our_packets, our_octets;
    /* the stream this side hears (ours), and the other side's stream that it is made of */
    bool is_heard_known;
    uint32_t heard_ssrc;
    uint32_t origin_ssrc;
    uint16_t sequence_offset; /* ours - theirs, of the newest packet */
    uint32_t origin_cycles;   /* high 16 bits: how often theirs wrapped */
    uint32_t heard_cycles;    /* high 16 bits: how often ours wrapped */
    const char *cname;        /* ours for our_ssrc, RTCP_CNAME_BYTES with its zero */
};

struct rtcp_counts {
    uint32_t packets_dropped; /* of the compound: unknown type, APP, XR, feedback */
    uint32_t blocks_dropped;  /* reports on streams that are not ours */
};

/* Reads a compound packet and writes what crosses. *out_bytes is 0 when nothing does. counts is added to.
 * ERR_LENGTH, ERR_VERSION, ERR_SYNTAX: not a compound packet (RFC 3550 appendix A.2), nothing may be sent. */
MUST_USE enum err rtcp_relay(const struct rtcp_view *view, const uint8_t *bytes, size_t length,
                             uint8_t out[RTCP_OUT_BYTES], size_t *out_bytes, struct rtcp_counts *counts);

#endif
