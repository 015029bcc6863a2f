#include "proxy/media/telephone_event.h"

#include "proxy/media/wire.h"

enum err telephone_event_read(struct telephone_event *event, const uint8_t *payload, size_t length)
{
    if (length < TELEPHONE_EVENT_BYTES)
        return ERR_LENGTH;
    *event = (struct telephone_event){
        .code = payload[0],
        .is_end = payload[1] & 0x80,
        .volume_dbm0 = payload[1] & 0x3f,
        .duration_8k = wire_u16(payload + 2),
    };
    return OK;
}

static void extend(struct telephone_event_receiver *receiver, const struct telephone_event *event)
{
    struct rtp_time covered = rtp_time_add(receiver->started, event->duration_8k);
    if (rtp_time_diff(receiver->covered, covered) > 0)
        receiver->covered = covered;
}

static enum telephone_event_step update(struct telephone_event_receiver *receiver,
                                        const struct telephone_event *event)
{
    extend(receiver, event);
    if (!event->is_end || !receiver->is_on)
        return TELEPHONE_EVENT_NONE;
    receiver->is_on = false;
    return TELEPHONE_EVENT_END;
}

/* The next segment of a long press: same key, no end seen, begins where the last one ended. Its updates may have been
 * lost in part, so anything from the end seen to one more segment's reach counts when the last one was nearly full. */
static bool is_next_segment(const struct telephone_event_receiver *receiver, uint8_t code, struct rtp_time at)
{
    if (!receiver->is_on || receiver->code != code)
        return false;
    int32_t step = rtp_time_diff(receiver->started, at);
    return step == 0xffff && rtp_time_diff(receiver->covered, at) <= TELEPHONE_EVENT_LOST_8K;
}

enum telephone_event_step telephone_event_feed(struct telephone_event_receiver *receiver,
                                               const struct telephone_event *event, struct rtp_time at)
{
    if (receiver->has_event) {
        if (at.ticks == receiver->started.ticks)
            return update(receiver, event);
        if (rtp_time_diff(receiver->started, at) < 0)
            return TELEPHONE_EVENT_NONE;
        if (is_next_segment(receiver, event->code, at)) {
            receiver->started = receiver->covered = at;
            return update(receiver, event);
        }
    }
    *receiver = (struct telephone_event_receiver){
        .has_event = true, .is_on = !event->is_end, .code = event->code, .started = at, .covered = at};
    extend(receiver, event);
    return event->is_end ? TELEPHONE_EVENT_WHOLE : TELEPHONE_EVENT_START;
}

bool telephone_event_expire(struct telephone_event_receiver *receiver, struct rtp_time now)
{
    if (!receiver->is_on || rtp_time_diff(receiver->covered, now) < TELEPHONE_EVENT_LOST_8K)
        return false;
    receiver->is_on = false;
    return true;
}

void telephone_event_ignore(struct telephone_event_receiver *receiver, struct rtp_time at)
{
    *receiver = (struct telephone_event_receiver){.has_event = true, .started = at, .covered = at};
}

/* Block headers: F, PT; with F set 14 bits of timestamp offset and 10 of length follow (RFC 2198 §3). */
bool telephone_event_in_red(const uint8_t *payload, size_t length, uint8_t payload_type)
{
    bool is_found = false;
    size_t at = 0, blocks_bytes = 0;
    while (at < length && (payload[at] & 0x80)) {
        if (length - at < 4)
            return false;
        is_found |= (payload[at] & 0x7f) == payload_type;
        blocks_bytes += (size_t)(payload[at + 2] & 0x03) << 8 | payload[at + 3];
        at += 4;
    }
    if (at == length)
        return false;
    is_found |= payload[at] == payload_type;
    return is_found && blocks_bytes <= length - at - 1;
}
