#include "bench/phones/phone_events.h"

#include "base/clock.h"

#include <stdio.h>

void phone_event(const char *name, json_t *fields)
{
    json_t *event = json_pack("{s:s,s:I}", "event", name, "mono_ns", (json_int_t)mono_now().ns);
    if (event != NULL && fields != NULL)
        json_object_update(event, fields);
    json_decref(fields);
    if (event == NULL)
        return;
    json_dumpf(event, stdout, JSON_COMPACT);
    fputc('\n', stdout);
    fflush(stdout);
    json_decref(event);
}

json_t *phone_tape_json(const struct rtp_tape *tape)
{
    const struct rtp_tape_counts *counts = &tape->counts;
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:f,s:I,s:I}", "packets",
                     (json_int_t)counts->packets, "audio_packets", (json_int_t)counts->audio_packets,
                     "event_packets", (json_int_t)counts->event_packets, "other_packets",
                     (json_int_t)counts->other_packets, "refused", (json_int_t)counts->refused, "missing",
                     (json_int_t)counts->missing, "reordered", (json_int_t)counts->reordered,
                     "timestamp_jumps", (json_int_t)counts->timestamp_jumps, "ssrc_changes",
                     (json_int_t)counts->ssrc_changes, "gap_ms_max", counts->gap_ms_max, "samples",
                     (json_int_t)tape->sample_count, "sample0_mono_ns",
                     (json_int_t)(tape->first_at.ns - (int64_t)tape->first_payload * 125000));
}
