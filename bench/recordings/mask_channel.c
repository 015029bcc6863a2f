#include "bench/recordings/mask_channel.h"

#include "base/secret.h"
#include "bench/recordings/rate_change.h"
#include "dsp/dtmf_detector.h"
#include "dsp/reference/spandsp_detector.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define FRAME  8 /* samples at 8 kHz: a millisecond */
#define NARROW 8000
/* Lines hold what waits: the look-ahead (800), the filters' reach (2 * 26), what one feed brings. */
#define NARROW_ROOM 16384
#define FLAGS_ROOM  (NARROW_ROOM / FRAME)

struct mask_channel {
    struct mask_channel_options options;
    unsigned rate;
    struct rate_change *down; /* both NULL at 8 kHz */
    struct rate_change *up;
    struct mask *mask;
    struct spandsp_detector *watch; /* listens to what is delivered */
    bool is_over;
    double *native; /* input not taken yet */
    size_t native_count;
    size_t native_room;
    uint64_t native_first;
    uint64_t native_fed;
    int16_t frame[FRAME]; /* at 8 kHz, being filled */
    size_t frame_count;
    uint64_t narrow_fed; /* given to the mask */
    uint64_t narrow_end; /* of the recording; known when it is over */
    float *delivered;    /* sample delivered_first and on */
    bool *is_masked;     /* of each millisecond there */
    size_t delivered_count;
    uint64_t delivered_first; /* multiple of FRAME */
    float *narrow_line;
    float *feed_line;
    struct mask_channel_report report;
    size_t span_room;
};

static void *aligned_room(size_t alignment, size_t size)
{
    return aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

static enum err init_rates(struct mask_channel *channel)
{
    size_t room = MASK_CHANNEL_FEED_MAX;
    if (channel->rate != NARROW) {
        enum err err = rate_change_new(&channel->down, channel->rate, NARROW);
        if (err == OK)
            err = rate_change_new(&channel->up, NARROW, channel->rate);
        if (err)
            return err;
        room = rate_change_room(channel->down);
    }
    channel->narrow_line = calloc(room, sizeof *channel->narrow_line);
    channel->feed_line = calloc(MASK_CHANNEL_FEED_MAX, sizeof *channel->feed_line);
    return channel->narrow_line == NULL || channel->feed_line == NULL ? ERR_MEMORY : OK;
}

static enum err init_ears(struct mask_channel *channel)
{
    channel->mask = aligned_room(MASK_ALIGN, mask_size());
    channel->watch = aligned_room(DTMF_DETECTOR_ALIGN, spandsp_detector_size());
    channel->delivered = calloc(NARROW_ROOM, sizeof *channel->delivered);
    channel->is_masked = calloc(FLAGS_ROOM, sizeof *channel->is_masked);
    if (!channel->mask || !channel->watch || !channel->delivered || !channel->is_masked)
        return ERR_MEMORY;
    struct mask_options options = {.lookahead_samples = channel->options.lookahead_ms * FRAME,
                                   .mode = channel->options.mode,
                                   .engine = channel->options.engine,
                                   .noise_seed = 1};
    spandsp_detector_init(channel->watch);
    return mask_init(channel->mask, &options);
}

enum err mask_channel_new(struct mask_channel **out, unsigned rate,
                          const struct mask_channel_options *options)
{
    *out = NULL;
    if (options->lookahead_ms < 1 || options->lookahead_ms > 100)
        return ERR_RANGE;
    struct mask_channel *channel = calloc(1, sizeof *channel);
    if (channel == NULL)
        return ERR_MEMORY;
    channel->options = *options;
    channel->rate = rate;
    enum err err = init_rates(channel);
    if (err == OK)
        err = init_ears(channel);
    if (err) {
        mask_channel_free(channel);
        return err;
    }
    *out = channel;
    return OK;
}

static void wipe_line(void *line, size_t bytes)
{
    if (line != NULL)
        wipe(line, bytes);
    free(line);
}

void mask_channel_free(struct mask_channel *channel)
{
    if (channel == NULL)
        return;
    wipe_line(channel->mask, mask_size());
    wipe_line(channel->watch, spandsp_detector_size());
    wipe_line(channel->native, channel->native_room * sizeof *channel->native);
    wipe_line(channel->feed_line, MASK_CHANNEL_FEED_MAX * sizeof *channel->feed_line);
    free(channel->narrow_line);
    free(channel->delivered);
    free(channel->is_masked);
    free(channel->report.spans);
    rate_change_free(channel->down);
    rate_change_free(channel->up);
    wipe(channel, sizeof *channel);
    free(channel);
}

/* ------------------------------------------------------------------ the mask, a millisecond at a time */

static enum err note_masked(struct mask_channel *channel, uint64_t at_ms)
{
    struct mask_channel_report *report = &channel->report;
    if (channel->is_over && at_ms * FRAME >= channel->narrow_end)
        return OK;
    report->masked_ms++;
    if (report->span_count > 0 && report->spans[report->span_count - 1].to_ms == at_ms) {
        report->spans[report->span_count - 1].to_ms++;
        return OK;
    }
    if (report->span_count == channel->span_room) {
        size_t room = channel->span_room ? 2 * channel->span_room : 64;
        void *more = realloc(report->spans, room * sizeof *report->spans);
        if (more == NULL)
            return ERR_MEMORY;
        report->spans = more;
        channel->span_room = room;
    }
    report->spans[report->span_count++] = (struct mask_channel_span){at_ms, at_ms + 1};
    return OK;
}

static enum err deliver(struct mask_channel *channel, const int16_t *frame, bool is_masked)
{
    uint64_t at = channel->delivered_first + channel->delivered_count;
    struct dtmf_heard heard;
    ASSERT(channel->delivered_count + FRAME <= NARROW_ROOM);
    for (size_t i = 0; i < FRAME; i++)
        channel->delivered[channel->delivered_count + i] = frame[i];
    channel->is_masked[channel->delivered_count / FRAME] = is_masked;
    channel->delivered_count += FRAME;
    enum err err = spandsp_detector_feed(channel->watch, frame, FRAME, &heard);
    for (size_t i = 0; err == OK && i < heard.edge_count; i++)
        channel->report.keys_after += heard.edges[i].kind == DTMF_EDGE_ON;
    return err == OK && is_masked ? note_masked(channel, at / FRAME) : err;
}

/* One frame of the recording (or of silence behind it) goes in, one comes out, the look-ahead older. */
static enum err mask_frame(struct mask_channel *channel)
{
    struct dtmf_edge edges[DTMF_EDGE_MAX];
    struct mask_counts before;
    struct mask_counts after;
    size_t edge_count;
    double at_s = (double)channel->narrow_fed / NARROW;
    mask_set_keying(channel->mask, at_s >= channel->options.from_s && at_s < channel->options.to_s);
    mask_counts(channel->mask, &before);
    enum err err = mask_process(channel->mask, channel->frame, channel->frame, FRAME, edges, &edge_count);
    mask_counts(channel->mask, &after);
    for (size_t i = 0; i < edge_count; i++)
        channel->report.keys += edges[i].kind == DTMF_EDGE_ON;
    channel->frame_count = 0;
    channel->narrow_fed += FRAME;
    if (err || channel->narrow_fed <= (uint64_t)channel->options.lookahead_ms * FRAME)
        return err;
    return deliver(channel, channel->frame, after.masked_samples > before.masked_samples);
}

static enum err feed_narrow(struct mask_channel *channel, const float *narrow, size_t count)
{
    enum err err = OK;
    for (size_t i = 0; i < count && err == OK; i++) {
        float value = fmaxf(-32768, fminf(32767, narrow[i]));
        channel->frame[channel->frame_count++] = (int16_t)lrintf(value);
        if (channel->frame_count == FRAME)
            err = mask_frame(channel);
    }
    return err;
}

enum err mask_channel_feed(struct mask_channel *channel, const double *in, size_t count)
{
    if (count > MASK_CHANNEL_FEED_MAX)
        return ERR_RANGE;
    if (channel->native_count + count > channel->native_room) {
        size_t room = 2 * (channel->native_count + count);
        double *more = malloc(room * sizeof *more);
        if (more == NULL)
            return ERR_MEMORY;
        if (channel->native_count > 0)
            memcpy(more, channel->native, channel->native_count * sizeof *more);
        wipe_line(channel->native, channel->native_room * sizeof *channel->native);
        channel->native = more;
        channel->native_room = room;
    }
    memcpy(channel->native + channel->native_count, in, count * sizeof *in);
    channel->native_count += count;
    channel->native_fed += count;
    for (size_t i = 0; i < count; i++)
        channel->feed_line[i] = (float)in[i];
    if (channel->down == NULL)
        return feed_narrow(channel, channel->feed_line, count);
    size_t narrow = rate_change_feed(channel->down, channel->feed_line, count, channel->narrow_line);
    return feed_narrow(channel, channel->narrow_line, narrow);
}

enum err mask_channel_end(struct mask_channel *channel)
{
    static const float silence[FRAME];
    enum err err = OK;
    if (channel->down != NULL) {
        size_t narrow = rate_change_end(channel->down, channel->narrow_line);
        err = feed_narrow(channel, channel->narrow_line, narrow);
    }
    channel->narrow_end = channel->narrow_fed + channel->frame_count;
    channel->is_over = true;
    /* Until all of the recording has left, and a filter's reach more. */
    uint64_t least = channel->narrow_end + (uint64_t)channel->options.lookahead_ms * FRAME + 16 * FRAME;
    while (err == OK && channel->narrow_fed < least)
        err = feed_narrow(channel, silence, FRAME - channel->frame_count);
    return err;
}

/* ------------------------------------------------------------------ back at the recording's rate */

/* Samples at 8 kHz on each side that one sample depends on: the filter's, and the next millisecond's flag. */
static uint64_t reach(const struct mask_channel *channel)
{
    size_t filter = channel->up == NULL ? 0 : rate_change_reach(channel->up);
    return filter > 2 * FRAME ? filter : 2 * FRAME;
}

size_t mask_channel_ready(const struct mask_channel *channel)
{
    if (channel->is_over)
        return channel->native_count;
    uint64_t end = channel->delivered_first + channel->delivered_count;
    if (end <= reach(channel))
        return 0;
    uint64_t native_end = (end - reach(channel)) * channel->rate / NARROW;
    if (native_end <= channel->native_first)
        return 0;
    uint64_t ready = native_end - channel->native_first;
    return ready < channel->native_count ? (size_t)ready : channel->native_count;
}

static bool is_masked_at(const struct mask_channel *channel, int64_t at_ms)
{
    int64_t place = at_ms - (int64_t)(channel->delivered_first / FRAME);
    return place >= 0 && place < (int64_t)(channel->delivered_count / FRAME) && channel->is_masked[place];
}

/* Share of the input in sample n: 1, 0 within masked milliseconds, a ramp in those beside. */
static double share_of_input(const struct mask_channel *channel, uint64_t n)
{
    double at_ms = (double)n * 1000 / channel->rate;
    int64_t ms = (int64_t)(n * 1000 / channel->rate);
    double within = at_ms - (double)ms;
    if (is_masked_at(channel, ms))
        return 0;
    double share = 1;
    if (is_masked_at(channel, ms - 1))
        share = within;
    if (is_masked_at(channel, ms + 1) && 1 - within < share)
        share = 1 - within;
    return share;
}

static double delivered_at(const struct mask_channel *channel, uint64_t n)
{
    if (channel->up == NULL)
        return (double)channel->delivered[n - channel->delivered_first];
    return (double)rate_change_at(channel->up, channel->delivered, (int64_t)channel->delivered_first,
                                  channel->delivered_count, n);
}

/* What no later sample depends on. */
static void forget(struct mask_channel *channel)
{
    uint64_t at = channel->native_first * NARROW / channel->rate;
    uint64_t least = (at > reach(channel) ? at - reach(channel) : 0) / FRAME * FRAME;
    if (least <= channel->delivered_first)
        return;
    size_t gone = (size_t)(least - channel->delivered_first);
    gone = gone < channel->delivered_count ? gone : channel->delivered_count;
    channel->delivered_first += gone;
    channel->delivered_count -= gone;
    memmove(channel->delivered, channel->delivered + gone,
            channel->delivered_count * sizeof *channel->delivered);
    memmove(channel->is_masked, channel->is_masked + gone / FRAME,
            channel->delivered_count / FRAME * sizeof *channel->is_masked);
}

void mask_channel_take(struct mask_channel *channel, double *out, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t n = channel->native_first + i;
        double share = share_of_input(channel, n);
        out[i] = share >= 1 ? channel->native[i]
                            : share * channel->native[i] + (1 - share) * delivered_at(channel, n);
    }
    channel->native_first += count;
    channel->native_count -= count;
    memmove(channel->native, channel->native + count, channel->native_count * sizeof *channel->native);
    forget(channel);
}

void mask_channel_report(const struct mask_channel *channel, struct mask_channel_report *report)
{
    *report = channel->report;
}
