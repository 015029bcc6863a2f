/* Three clocks that must not mix: monotonic time for every time-out, wall time for what people and peers read, RTP
 * time for what a stream says of itself. Each is a struct of its own, so that a slip does not compile. */
#ifndef TONEGATE_BASE_CLOCK_H
#define TONEGATE_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_MS 1000000LL
#define NS_PER_S  1000000000LL

struct mono_time {
    int64_t ns; /* since an arbitrary start, CLOCK_MONOTONIC */
};

struct wall_time {
    int64_t ns; /* since 1970-01-01 UTC */
};

struct rtp_time {
    uint32_t ticks; /* the stream's own clock, wraps (RFC 3550 §5.1) */
};

static inline struct mono_time mono_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (struct mono_time){now.tv_sec * NS_PER_S + now.tv_nsec};
}

static inline struct wall_time wall_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (struct wall_time){now.tv_sec * NS_PER_S + now.tv_nsec};
}

static inline struct mono_time mono_add_ms(struct mono_time from, int64_t ms)
{
    return (struct mono_time){from.ns + ms * NS_PER_MS};
}

static inline int64_t mono_elapsed_ms(struct mono_time from, struct mono_time to)
{
    return (to.ns - from.ns) / NS_PER_MS;
}

static inline int mono_reached(struct mono_time now, struct mono_time deadline)
{
    return now.ns >= deadline.ns;
}

/* Signed distance to - from; right across the wrap as long as they lie within 2^31 ticks. */
static inline int32_t rtp_time_diff(struct rtp_time from, struct rtp_time to)
{
    return (int32_t)(to.ticks - from.ticks);
}

static inline struct rtp_time rtp_time_add(struct rtp_time from, int32_t ticks)
{
    return (struct rtp_time){from.ticks + (uint32_t)ticks};
}

/* RFC 3339 with milliseconds, UTC. text has room for WALL_TEXT_MAX bytes. */
#define WALL_TEXT_MAX 32
void wall_time_text(struct wall_time at, char *text);

#endif
