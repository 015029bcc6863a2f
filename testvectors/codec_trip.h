/* There and back through the codecs that calls meet on their way, at 8000 Hz, without delay. Uses SpanDSP and libopus.
 * Thread: any. */
#ifndef TONEGATE_TESTVECTORS_CODEC_TRIP_H
#define TONEGATE_TESTVECTORS_CODEC_TRIP_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* GSM 06.10 full rate; G.726 at 32 kbit/s; both in place. ERR_MEMORY. */
MUST_USE enum err codec_trip_gsm(int16_t *pcm, size_t count);
MUST_USE enum err codec_trip_g726(int16_t *pcm, size_t count);

/* Opus for voice, frames of 20 ms, in place; the coder's look-ahead is taken off. ERR_MEMORY, ERR_UNSUPPORTED (libopus
 * refused). */
MUST_USE enum err codec_trip_opus(int16_t *pcm, size_t count, int bits_per_s);

#endif
