#include "dsp/suspicion_priv.h"

void suspicion_push_avx512(struct suspicion_scratch *scratch, const struct tone_block *blocks, size_t count,
                           const struct suspicion_gate *gate)
{
    suspicion_push_face(scratch, blocks, count, gate);
}
