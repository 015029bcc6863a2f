#include "dsp/reference/spandsp_detector.h"

#include "base/secret.h"

#include <spandsp.h>
#include <spandsp/expose.h>
#include <string.h>

struct spandsp_detector {
    dtmf_rx_state_t receiver;
    uint64_t fed;
    struct dtmf_heard *heard; /* only during a call of feed or gap */
    bool is_down;
    uint8_t key;
};

size_t spandsp_detector_size(void)
{
    return sizeof(struct spandsp_detector);
}

static void edge_add(struct spandsp_detector *detector, enum dtmf_edge_kind kind, uint8_t key, float level)
{
    struct dtmf_heard *heard = detector->heard;
    if (!heard || heard->edge_count >= DTMF_EDGE_MAX)
        return;
    heard->edges[heard->edge_count++] = (struct dtmf_edge){
        .kind = kind,
        .key = key,
        .onset_sample = detector->fed,
        .reported_sample = detector->fed,
        .level_low_dbm0 = level - 3,
        .level_high_dbm0 = level - 3,
    };
}

/* code: the key's letter when it goes down, 0 when it is released. */
static void report_h(void *owner, int code, int level, int delay)
{
    struct spandsp_detector *detector = owner;
    (void)delay;
    if (detector->is_down)
        edge_add(detector, DTMF_EDGE_OFF, detector->key, (float)level);
    int key = dtmf_key_of_letter((char)code);
    detector->is_down = key >= 0;
    if (key >= 0) {
        detector->key = (uint8_t)key;
        edge_add(detector, DTMF_EDGE_ON, detector->key, (float)level);
    }
}

void spandsp_detector_init(struct spandsp_detector *detector)
{
    memset(detector, 0, sizeof(*detector));
    (void)dtmf_rx_init(&detector->receiver, NULL, NULL);
    span_log_set_level(dtmf_rx_get_logging_state(&detector->receiver), SPAN_LOG_NONE);
    dtmf_rx_set_realtime_callback(&detector->receiver, report_h, detector);
}

enum err spandsp_detector_feed(struct spandsp_detector *detector, const int16_t *pcm, size_t count,
                               struct dtmf_heard *heard)
{
    heard->edge_count = 0;
    heard->suspicion_count = 0;
    if (count == 0 || count > DTMF_FRAME_MAX)
        return ERR_RANGE;
    detector->heard = heard;
    /* In pieces of a millisecond, so that the time of a report is known as well as our own detector's. */
    for (size_t done = 0; done < count;) {
        size_t piece = 8 - detector->fed % 8;
        piece = piece < count - done ? piece : count - done;
        detector->fed += piece;
        (void)dtmf_rx(&detector->receiver, pcm + done, (int)piece);
        done += piece;
    }
    detector->heard = NULL;
    return OK;
}

enum err spandsp_detector_gap(struct spandsp_detector *detector, size_t count, struct dtmf_heard *heard)
{
    heard->edge_count = 0;
    heard->suspicion_count = 0;
    if (count == 0 || count > DTMF_FRAME_MAX)
        return ERR_RANGE;
    detector->heard = heard;
    (void)dtmf_rx_fillin(&detector->receiver, (int)count);
    detector->fed += count;
    detector->heard = NULL;
    return OK;
}

bool spandsp_detector_is_down(const struct spandsp_detector *detector)
{
    return detector->is_down;
}

void spandsp_detector_wipe(struct spandsp_detector *detector)
{
    wipe(detector, sizeof(*detector));
}
