/* What happens to a signal on its way: echo, clipping, gain control, silence suppression, lost packets. On floats on the scale
 * of int16 at 8000 Hz, in place, without delay. Thread: any. */
#ifndef TONEGATE_TESTVECTORS_IMPAIRMENT_H
#define TONEGATE_TESTVECTORS_IMPAIRMENT_H

#include "testvectors/tone_source.h"

/* Near: after 20 ms, 10 dB down, which a receiver must bear (Telcordia GR-506). Far: after 60 ms 20 dB down and after 130 ms
 * 26 dB down, as a bad echo canceller leaves them. */
void impairment_near_echo(float *x, size_t count);
void impairment_far_echo(float *x, size_t count);

/* Held at 0.6 of the greatest sample. */
void impairment_clip(float *x, size_t count);

/* Gain that brings the level over 20 ms to -12 dBm0, falling within 5 ms, rising within 200, at most 18 dB. */
void impairment_gain_control(float *x, size_t count);

/* Frames of 20 ms below -40 dBm0 become digital silence: a key's first milliseconds may be among them. */
void impairment_silence_suppression(float *x, size_t count);

enum impairment_concealment { IMPAIRMENT_SILENCE, IMPAIRMENT_REPEAT };

/* Frames of 20 ms are lost with this probability; in their place silence, or the frame before at half its level. */
void impairment_loss(float *x, size_t count, struct tone_random *random, double share,
                     enum impairment_concealment concealment);

#endif
