/* The faces of the tone bank; each is bound only where the processor has what its name says. */
#ifndef TONEGATE_DSP_TONE_BANK_PRIV_H
#define TONEGATE_DSP_TONE_BANK_PRIV_H

#include "dsp/cpu.h"
#include "dsp/tone_bank.h"

extern const int16_t tone_bank_pairs[TONE_BANK_BLOCK / 2][2 * TONE_BANK_TONES][2];

#ifdef TONE_BANK_HAS_X86
tone_bank_blocks tone_bank_blocks_sse2;
tone_bank_blocks tone_bank_blocks_avx2;
tone_bank_blocks tone_bank_blocks_avx512;
#endif

#endif
