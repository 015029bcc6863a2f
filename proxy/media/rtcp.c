#include "proxy/media/rtcp.h"

#include "proxy/media/wire.h"

#include <string.h>

enum rtcp_type { RTCP_SR = 200, RTCP_RR = 201, RTCP_SDES = 202, RTCP_BYE = 203 };
enum { HEADER_BYTES = 4, SENDER_BYTES = 24, BLOCK_BYTES = 24, SDES_CNAME = 1, PADDING_BIT = 0x20 };

struct rtcp_part {
    uint8_t type;
    uint8_t count;       /* report blocks, chunks or sources */
    const uint8_t *body; /* behind the common header */
    size_t body_bytes;   /* padding not included */
};

/* What the compound said, as far as it crosses. */
struct rtcp_news {
    const uint8_t *sender; /* NTP time and on, of a sender report */
    const uint8_t *block;  /* the one report block that is about our stream */
    bool is_report, is_named, is_bye;
};

static enum err part_read(struct rtcp_part *part, const uint8_t *bytes, size_t length, size_t *used)
{
    if (length < HEADER_BYTES)
        return ERR_LENGTH;
    if (bytes[0] >> 6 != 2)
        return ERR_VERSION;
    size_t whole = 4u * (wire_u16(bytes + 2) + 1u);
    if (whole > length)
        return ERR_LENGTH;
    size_t padding = 0;
    if (bytes[0] & PADDING_BIT) { /* only the last packet of a compound may be padded */
        padding = bytes[whole - 1];
        if (whole != length || padding == 0 || padding % 4 != 0 || padding > whole - HEADER_BYTES)
            return ERR_SYNTAX;
    }
    *part = (struct rtcp_part){.type = bytes[1],
                               .count = bytes[0] & 0x1f,
                               .body = bytes + HEADER_BYTES,
                               .body_bytes = whole - HEADER_BYTES - padding};
    *used = whole;
    return OK;
}

static enum err report_read(struct rtcp_news *news, const struct rtcp_view *view,
                            const struct rtcp_part *part, struct rtcp_counts *counts)
{
    size_t blocks_at = part->type == RTCP_SR ? SENDER_BYTES : 4;
    if (part->body_bytes < blocks_at + (size_t)part->count * BLOCK_BYTES)
        return ERR_LENGTH;
    news->is_report = true;
    bool is_current = view->is_sent_known && wire_u32(part->body) == view->sent_ssrc;
    if (part->type == RTCP_SR && is_current)
        news->sender = part->body + 4;
    for (size_t i = 0; i < part->count; i++) {
        const uint8_t *block = part->body + blocks_at + i * BLOCK_BYTES;
        if (view->is_heard_known && wire_u32(block) == view->heard_ssrc)
            news->block = block;
        else
            counts->blocks_dropped++;
    }
    return OK;
}

/* Every chunk is walked, so that a broken one is refused; only the fact that there is a CNAME is kept. */
static enum err sdes_read(struct rtcp_news *news, const struct rtcp_part *part)
{
    size_t at = 0;
    for (unsigned chunk = 0; chunk < part->count; chunk++) {
        if (part->body_bytes - at < 8)
            return ERR_LENGTH;
        at += 4;
        while (part->body[at] != 0) {
            if (part->body_bytes - at < 2 || part->body_bytes - at - 2 < part->body[at + 1])
                return ERR_LENGTH;
            news->is_named |= part->body[at] == SDES_CNAME;
            at += 2u + part->body[at + 1];
            if (at >= part->body_bytes)
                return ERR_LENGTH;
        }
        at = (at + 4) / 4 * 4; /* at least one zero ends a chunk, up to the next word */
        if (at > part->body_bytes)
            return ERR_LENGTH;
    }
    return OK;
}

static enum err bye_read(struct rtcp_news *news, const struct rtcp_view *view, const struct rtcp_part *part)
{
    if (part->body_bytes < 4u * part->count)
        return ERR_LENGTH;
    for (size_t i = 0; i < part->count; i++)
        news->is_bye |= view->is_sent_known && wire_u32(part->body + 4 * i) == view->sent_ssrc;
    return OK;
}

static enum err part_take(struct rtcp_news *news, const struct rtcp_view *view, const struct rtcp_part *part,
                          struct rtcp_counts *counts)
{
    switch (part->type) {
    case RTCP_SR:
    case RTCP_RR:
        return report_read(news, view, part, counts);
    case RTCP_SDES:
        return sdes_read(news, part);
    case RTCP_BYE:
        return bye_read(news, view, part);
    default:
        counts->packets_dropped++;
        return OK;
    }
}

static void header_write(uint8_t *at, uint8_t count, uint8_t type, size_t whole_bytes)
{
    at[0] = (uint8_t)(2 << 6 | count);
    at[1] = type;
    wire_put_u16(at + 2, (uint16_t)(whole_bytes / 4 - 1));
}

/* The far side's report on our stream becomes one on the stream ours is made of: its SSRC, its sequence numbers. Times
 * of the last sender report stay: we pass NTP times through. */
static void block_write(const struct rtcp_view *view, const uint8_t *block, uint8_t *at)
{
    memcpy(at, block, BLOCK_BYTES);
    wire_put_u32(at, view->origin_ssrc);
    uint16_t heard = wire_u16(block + 10);
    uint16_t origin = (uint16_t)(heard - view->sequence_offset);
    uint16_t cycles =
        (uint16_t)(wire_u16(block + 8) - (view->heard_cycles >> 16) + (view->origin_cycles >> 16));
    wire_put_u16(at + 8, cycles);
    wire_put_u16(at + 10, origin);
}

static size_t report_write(const struct rtcp_view *view, const struct rtcp_news *news, uint8_t *out)
{
    size_t at = HEADER_BYTES + 4;
    wire_put_u32(out + HEADER_BYTES, view->our_ssrc);
    if (news->sender) {
        memcpy(out + at, news->sender, 8); /* NTP time */
        wire_put_u32(out + at + 8, wire_u32(news->sender + 8) + view->timestamp_offset);
        wire_put_u32(out + at + 12, view->our_packets);
        wire_put_u32(out + at + 16, view->our_octets);
        at += 20;
    }
    if (news->block) {
        block_write(view, news->block, out + at);
        at += BLOCK_BYTES;
    }
    header_write(out, news->block ? 1 : 0, news->sender ? RTCP_SR : RTCP_RR, at);
    return at;
}

static size_t sdes_write(const struct rtcp_view *view, uint8_t *out)
{
    size_t name = strlen(view->cname);
    size_t whole = HEADER_BYTES + (4 + 2 + name + 1 + 3) / 4 * 4;
    memset(out, 0, whole);
    header_write(out, 1, RTCP_SDES, whole);
    wire_put_u32(out + HEADER_BYTES, view->our_ssrc);
    out[HEADER_BYTES + 4] = SDES_CNAME;
    out[HEADER_BYTES + 5] = (uint8_t)name;
    memcpy(out + HEADER_BYTES + 6, view->cname, name);
    return whole;
}

enum err rtcp_relay(const struct rtcp_view *view, const uint8_t *bytes, size_t length,
                    uint8_t out[RTCP_OUT_BYTES], size_t *out_bytes, struct rtcp_counts *counts)
{
    struct rtcp_news news = {0};
    *out_bytes = 0;
    if (length < HEADER_BYTES)
        return ERR_LENGTH;
    if (bytes[1] != RTCP_SR && bytes[1] != RTCP_RR)
        return ERR_SYNTAX;
    for (size_t at = 0; at < length;) {
        struct rtcp_part part;
        size_t used;
        enum err err = part_read(&part, bytes + at, length - at, &used);
        if (!err)
            err = part_take(&news, view, &part, counts);
        if (err)
            return err;
        at += used;
    }
    if (!view->is_sent_known || !news.is_report)
        return OK;
    size_t written = report_write(view, &news, out);
    if (news.is_named || news.is_bye)
        written += sdes_write(view, out + written);
    if (news.is_bye) {
        header_write(out + written, 1, RTCP_BYE, 8);
        wire_put_u32(out + written + 4, view->our_ssrc);
        written += 8;
    }
    *out_bytes = written;
    return OK;
}
