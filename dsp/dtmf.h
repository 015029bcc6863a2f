/* Words shared by the detector and the mask. */
#ifndef TONEGATE_DSP_DTMF_H
#define TONEGATE_DSP_DTMF_H

#include <stdint.h>

#define DTMF_SAMPLE_RATE 8000
#define DTMF_KEYS        16 /* 0..9, 10 '*', 11 '#', 12..15 A..D (RFC 4733 §3.2) */

enum dtmf_edge_kind {
    DTMF_EDGE_ON,  /* decision: this key is being pressed. One per key press */
    DTMF_EDGE_OFF, /* it was released */
};

struct dtmf_edge {
    enum dtmf_edge_kind kind;
    uint8_t key;
    uint64_t onset_sample;    /* where the tone began (ended), counted from the channel's first sample */
    uint64_t reported_sample; /* samples fed when this edge was known */
    float level_low_dbm0;     /* per tone; a full-scale sine is +3.14 dBm0 */
    float level_high_dbm0;
    float twist_db; /* low minus high */
};

/* Most edges one call with at most 480 samples can bring. */
#define DTMF_EDGE_MAX 8

#endif
