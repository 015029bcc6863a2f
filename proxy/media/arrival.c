#include "proxy/media/arrival.h"

void arrival_start(struct arrival *arrival)
{
    *arrival = (struct arrival){.until_probe = ARRIVAL_PROBE_PACKETS};
}

void arrival_stop(struct arrival *arrival)
{
    arrival->look_at.ns = INT64_MAX;
}

/* From half a tick before it is expected, a tick finds the packet there. */
static int64_t usual_ns(const struct arrival *arrival, int64_t tick_ns)
{
    return arrival->expected.ns - tick_ns / 2;
}

void arrival_empty(struct arrival *arrival, struct mono_time now, int64_t tick_ns)
{
    if (arrival->is_probing && usual_ns(arrival, tick_ns) > now.ns)
        arrival->look_at.ns = usual_ns(arrival, tick_ns);
    else if (mono_elapsed_ms(arrival->expected, now) > ARRIVAL_RESTART_MS)
        arrival->look_at = mono_add_ms(now, ARRIVAL_SILENT_MS);
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
        if (late_ns < -tick_ns / 2) {
            arrival->expected = now;
            arrival->until_probe = 0; /* and perhaps it comes earlier still */
        }
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
    arrival->look_at.ns = usual_ns(arrival, tick_ns) - (arrival->is_probing ? tick_ns : 0);
    return arrival->is_draining || usual_ns(arrival, tick_ns) <= now.ns;
}
