/* Captures of RTP whose keys are known: a vector's samples as PCMU, its keys in-band, as RFC 4733 events, or both; in order or
 * not, complete or not. Classic pcap, Ethernet, IPv4, UDP between documentation addresses (RFC 5737). Everything follows from
 * the seed. */
#ifndef TONEGATE_TESTVECTORS_RTP_VECTOR_H
#define TONEGATE_TESTVECTORS_RTP_VECTOR_H

#include "testvectors/vector_scene.h"

#include <stdio.h>

enum rtp_vector_way { RTP_VECTOR_TONE, RTP_VECTOR_EVENT, RTP_VECTOR_BOTH };

struct rtp_vector_scene {
    const char *name;
    const char *says;
    enum vector_expects expects;
    enum rtp_vector_way way;
    unsigned ptime_ms;
    unsigned lost_percent;
    unsigned swapped_percent; /* of packets that come after the next one */
};
extern const struct rtp_vector_scene rtp_vector_scenes[];
extern const size_t rtp_vector_scene_count;

/* Writes a whole capture; its first packet is the vector's first sample. ferror() of out says whether it is good.
 * ERR_MEMORY. */
MUST_USE enum err rtp_vector_write(FILE *out, const struct rtp_vector_scene *scene,
                                   const struct vector *vector, uint64_t seed);

#endif
