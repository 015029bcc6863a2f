#include "dsp/suspicion_priv.h"

unsigned suspicion_push_avx512(struct suspicion *s, const struct tone_block *block,
                               const struct suspicion_gate gates[SUSPICION_WINDOWS])
{
    return suspicion_push_face(s, block, gates);
}
