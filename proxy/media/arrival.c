#include "proxy/media/arrival.h"

void arrival_start(struct arrival *arrival)
{
    *arrival = (struct arrival){.until_probe = ARRIVAL_PROBE_PACKETS};
}

void arrival_stop(struct arrival *arrival)
{
    arrival->look_at.ns = INT64_MAX;
}

void arrival_empty(struct arrival *arrival, struct mono_time now)
{
    if (arrival->is_probing && arrival->usual.ns > now.ns)
        arrival->look_at = arrival->usual;
    arrival->is_probing = arrival->is_draining = false;
}

/* Ticks are wide: within half of one, a packet is on time. One that is a packet time late, or came early, may have others
 * behind it: a burst, or a stream faster than its own clock. */
static void phase_follow(struct arrival *arrival, struct mono_time now, int64_t packet_ns, int64_t tick_ns)
{
    int64_t late_ns = now.ns - arrival->expected.ns;
    arrival->is_draining = late_ns >= packet_ns || late_ns < -tick_ns / 2;
    if (late_ns < tick_ns / 2) {
        arrival->late_count = 0;
        if (late_ns < -tick_ns / 2)
            arrival->expected = now;
    } else if (late_ns > ARRIVAL_RESTART_MS * NS_PER_MS || ++arrival->late_count >= ARRIVAL_LATE_PACKETS) {
        arrival->late_count = 0;
        arrival->expected = now;
    }
}

bool arrival_got(struct arrival *arrival, struct mono_time now, int64_t packet_ns, int64_t tick_ns)
{
    if (!arrival->is_draining)
        phase_follow(arrival, now, packet_ns, tick_ns);
    arrival->expected.ns += packet_ns;
    if (arrival->expected.ns > now.ns + packet_ns)
        arrival->expected.ns = now.ns + packet_ns;
    arrival->is_probing = arrival->until_probe == 0;
    arrival->until_probe = arrival->is_probing ? ARRIVAL_PROBE_PACKETS : (uint8_t)(arrival->until_probe - 1);
    arrival->usual.ns = arrival->expected.ns - tick_ns / 2;
    arrival->look_at.ns = arrival->usual.ns - (arrival->is_probing ? tick_ns : 0);
    return arrival->is_draining || arrival->usual.ns <= now.ns;
}
