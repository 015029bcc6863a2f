/* SpanDSP's tone receiver behind the words of dsp/dtmf.h: the independent ear of tests and benches, and an engine that
 * the configuration can choose. Its state lies inline (no allocation) and it is driven by callback only, because its
 * digit buffer keeps digits after they were read. Thread: one at a time per struct. */
#ifndef TONEGATE_DSP_REFERENCE_SPANDSP_DETECTOR_H
#define TONEGATE_DSP_REFERENCE_SPANDSP_DETECTOR_H

#include "dsp/dtmf_detector.h"

struct spandsp_detector; /* opaque: spandsp_detector_size() bytes, aligned to DTMF_DETECTOR_ALIGN */
size_t spandsp_detector_size(void);

void spandsp_detector_init(struct spandsp_detector *detector);

/* count 1..480; ERR_RANGE. Edges carry no level per tone (both are half of the reported power), and the onset is not
 * known better than by its blocks of 12.75 ms. Appends nothing to heard->suspicions. */
MUST_USE enum err spandsp_detector_feed(struct spandsp_detector *detector, const int16_t *pcm, size_t count,
                                        struct dtmf_heard *heard);
MUST_USE enum err spandsp_detector_gap(struct spandsp_detector *detector, size_t count,
                                       struct dtmf_heard *heard);
bool spandsp_detector_is_down(const struct spandsp_detector *detector);
void spandsp_detector_wipe(struct spandsp_detector *detector);

#endif
