#include "testvectors/codec_trip.h"

#include <opus.h>
#include <spandsp.h>
#include <stdlib.h>
#include <string.h>

#define RATE        8000
#define FRAME       160
#define GSM_BYTES   33
#define G726_BITS   32000
#define PACKET_MAX  1276
#define OPUS_STEADY 10 /* complexity: the best, whatever the machine */

enum err codec_trip_gsm(int16_t *pcm, size_t count)
{
    gsm0610_state_t *coder = gsm0610_init(NULL, GSM0610_PACKING_VOIP);
    gsm0610_state_t *decoder = gsm0610_init(NULL, GSM0610_PACKING_VOIP);
    for (size_t at = 0; coder != NULL && decoder != NULL && at < count; at += FRAME) {
        int16_t frame[FRAME] = {0};
        uint8_t packet[GSM_BYTES];
        size_t here = count - at < FRAME ? count - at : FRAME;
        memcpy(frame, pcm + at, here * sizeof *frame);
        int bytes = gsm0610_encode(coder, packet, frame, FRAME);
        (void)gsm0610_decode(decoder, frame, packet, bytes);
        memcpy(pcm + at, frame, here * sizeof *frame);
    }
    enum err err = coder == NULL || decoder == NULL ? ERR_MEMORY : OK;
    if (coder != NULL)
        gsm0610_free(coder);
    if (decoder != NULL)
        gsm0610_free(decoder);
    return err;
}

enum err codec_trip_g726(int16_t *pcm, size_t count)
{
    g726_state_t *coder = g726_init(NULL, G726_BITS, G726_ENCODING_LINEAR, G726_PACKING_NONE);
    g726_state_t *decoder = g726_init(NULL, G726_BITS, G726_ENCODING_LINEAR, G726_PACKING_NONE);
    for (size_t at = 0; coder != NULL && decoder != NULL && at < count; at += FRAME) {
        uint8_t codes[FRAME];
        int here = count - at < FRAME ? (int)(count - at) : FRAME;
        int bytes = g726_encode(coder, codes, pcm + at, here);
        (void)g726_decode(decoder, pcm + at, codes, bytes);
    }
    enum err err = coder == NULL || decoder == NULL ? ERR_MEMORY : OK;
    if (coder != NULL)
        g726_free(coder);
    if (decoder != NULL)
        g726_free(decoder);
    return err;
}

/* out has room for count + FRAME samples. */
static enum err run_opus(OpusEncoder *coder, OpusDecoder *decoder, const int16_t *pcm, size_t count,
                         int16_t *out)
{
    for (size_t at = 0; at < count; at += FRAME) {
        int16_t frame[FRAME] = {0};
        unsigned char packet[PACKET_MAX];
        size_t here = count - at < FRAME ? count - at : FRAME;
        memcpy(frame, pcm + at, here * sizeof *frame);
        int bytes = opus_encode(coder, frame, FRAME, packet, PACKET_MAX);
        if (bytes < 0 || opus_decode(decoder, packet, bytes, out + at, FRAME, 0) != FRAME)
            return ERR_UNSUPPORTED;
    }
    return OK;
}

enum err codec_trip_opus(int16_t *pcm, size_t count, int bits_per_s)
{
    int failed = 0;
    opus_int32 late = 0;
    OpusEncoder *coder = opus_encoder_create(RATE, 1, OPUS_APPLICATION_VOIP, &failed);
    OpusDecoder *decoder = coder == NULL ? NULL : opus_decoder_create(RATE, 1, &failed);
    enum err err = coder == NULL || decoder == NULL ? ERR_MEMORY : OK;
    int16_t *in = NULL;
    int16_t *out = NULL;
    if (err == OK) {
        (void)opus_encoder_ctl(coder, OPUS_SET_BITRATE(bits_per_s));
        (void)opus_encoder_ctl(coder, OPUS_SET_COMPLEXITY(OPUS_STEADY));
        (void)opus_encoder_ctl(coder, OPUS_GET_LOOKAHEAD(&late));
        in = calloc(count + (size_t)late + 1, sizeof *in);
        out = calloc(count + (size_t)late + FRAME, sizeof *out);
        err = in == NULL || out == NULL ? ERR_MEMORY : OK;
    }
    if (err == OK) {
        memcpy(in, pcm, count * sizeof *in);
        err = run_opus(coder, decoder, in, count + (size_t)late, out);
    }
    if (err == OK)
        memcpy(pcm, out + late, count * sizeof *pcm);
    free(in);
    free(out);
    if (coder != NULL)
        opus_encoder_destroy(coder);
    if (decoder != NULL)
        opus_decoder_destroy(decoder);
    return err;
}
