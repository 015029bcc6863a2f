#include "bench/corpus/spandsp_ear.h"

#include <spandsp.h>
#include <string.h>

#define FRAME 160

size_t spandsp_size(void)
{
    return sizeof(dtmf_rx_state_t *);
}
static void spandsp_digits(void *owner, const char *digits, int count)
{
    (void)owner;
    (void)digits;
    (void)count;
}
void spandsp_open(void *ear)
{
    dtmf_rx_state_t *receiver = dtmf_rx_init(NULL, spandsp_digits, NULL);
    memcpy(ear, &receiver, sizeof(receiver));
}
void spandsp_packet(void *ear, const uint8_t *packet)
{
    dtmf_rx_state_t *receiver;
    int16_t pcm[FRAME];
    memcpy(&receiver, ear, sizeof(receiver));
    for (int i = 0; i < FRAME; i++)
        pcm[i] = ulaw_to_linear(packet[i]);
    (void)dtmf_rx(receiver, pcm, FRAME);
}
void spandsp_close(void *ear)
{
    dtmf_rx_state_t *receiver;
    memcpy(&receiver, ear, sizeof(receiver));
    dtmf_rx_free(receiver);
}
