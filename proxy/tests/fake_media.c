/* The media plane as B2BUA tests want it: says yes, and remembers what it was told. Defined here, the real one is not
 * linked. */
#include "proxy/tests/fake_media.h"

#include <string.h>

struct fake_media fake_media;

enum err media_call_open(struct media *media, uint64_t call_id, struct media_ports *ports)
{
    (void)media;
    if (fake_media.open == fake_media.open_max)
        return ERR_FULL;
    fake_media.open++;
    fake_media.last_call = call_id;
    ports->rtp[MEDIA_CALLER] = (uint16_t)(30000 + 4 * fake_media.open);
    ports->rtp[MEDIA_AGENT] = (uint16_t)(30002 + 4 * fake_media.open);
    fake_media.ports = *ports;
    return OK;
}

enum err media_call_update(struct media *media, uint64_t call_id, const struct media_leg legs[MEDIA_SIDES])
{
    (void)media;
    (void)call_id;
    fake_media.updates++;
    memcpy(fake_media.legs, legs, sizeof(fake_media.legs));
    return OK;
}

enum err media_call_info_key(struct media *media, uint64_t call_id, dtmf_key key, unsigned duration_ms)
{
    (void)media;
    (void)call_id;
    if (!fake_media.is_armed)
        return ERR_ORDER;
    if (fake_media.info_error)
        return fake_media.info_error;
    fake_media.info_keys++;
    fake_media.last_key = key;
    fake_media.last_duration_ms = duration_ms;
    return OK;
}

void media_call_close(struct media *media, uint64_t call_id)
{
    (void)media;
    (void)call_id;
    fake_media.open -= fake_media.open > 0;
}

enum err media_call_keep(struct media *media, uint64_t call_id, struct media_snapshot_slot *slot)
{
    (void)media;
    (void)call_id;
    slot->snapshot.capture_id = fake_media.is_armed ? 77 : 0;
    slot->snapshot.ports = fake_media.ports;
    slot->version = 2;
    return OK;
}

enum err media_call_restore(struct media *media, uint64_t call_id, const struct media_snapshot *snapshot)
{
    (void)media;
    (void)call_id;
    (void)snapshot;
    fake_media.open++;
    fake_media.restores++;
    return OK;
}
