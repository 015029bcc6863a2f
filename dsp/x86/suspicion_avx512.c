#include "dsp/suspicion_glance_priv.h"
#include "dsp/suspicion_look_priv.h"

void suspicion_push_avx512(struct suspicion_stretch *stretch, const struct tone_block *blocks, size_t count,
                           const struct suspicion_gate *gate)
{
    suspicion_push_face(stretch, blocks, count, gate);
}

bool suspicion_glance_avx512(const struct suspicion_stretch *stretch, size_t k,
                             const struct suspicion_gate *gate, struct suspicion_view *view)
{
    return suspicion_glance_face(stretch, k, gate, view);
}

float suspicion_weigh_glance_avx512(const struct suspicion_glance_network *network,
                                    const struct suspicion_view *view)
{
    return suspicion_weigh_glance_face(network, view);
}

void suspicion_look_avx512(const struct suspicion_stretch *stretch, size_t k,
                           const struct suspicion_gate *gate, struct suspicion_view *view)
{
    suspicion_look_face(stretch, k, gate, view);
}

float suspicion_weigh_avx512(const struct suspicion_network *network, const struct suspicion_view *view)
{
    return suspicion_weigh_face(network, view);
}
