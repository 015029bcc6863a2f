/* The slow, exact answer of hearing: which key, from when to when. Works on the samples themselves and only while there
 * is a suspicion.
 *
 * Where the energy says that something has sounded for long enough, a two-tone model (amplitudes, phases, frequencies) is
 * fitted to the last 20 ms; followed back, it tells to the sample where the tone began, and when it is worth fitting
 * again. A key that is held is looked for every few ms. Thread: one at a time per struct. */
#ifndef TONEGATE_DSP_DECISION_H
#define TONEGATE_DSP_DECISION_H

#include "dsp/dtmf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DECISION_TICK  8   /* samples from one time at which a key may be decided, or end, to the next */
#define DECISION_LOOK  400 /* samples looked back at: 50 ms */
#define DECISION_TRACK 32  /* samples of the window that follows a held key */

/* One tone: amplitude of cosine and sine about some middle, and frequency. */
struct decision_tone {
    float omega; /* rad per sample */
    float cosine;
    float sine;
};

struct decision {
    uint64_t candidate_since; /* first suspicion of a run of them */
    uint64_t suspected_at;    /* the last one */
    uint64_t not_before;      /* a new key's onset lies after the last one's end */
    uint64_t present_until;   /* the held key was last heard here */
    uint64_t followed_at;     /* and looked for here */
    uint64_t look_at;         /* a tone that has begun will not have lasted long enough before */
    bool is_down;
    bool is_heard; /* the held key was there at the last look */
    uint8_t key;
    struct decision_press {
        uint64_t until;      /* its end, once it has one */
        uint64_t echo_until; /* an echo that went on from it was heard here */
        uint8_t key;
        float omega[2];
        float amplitude[2]; /* 0: none yet */
    } loudest;              /* the last press that was no weaker repetition: what echoes are held against */
    float omega[2];         /* of the held key */
    float amplitude[2];     /* of the held key */
    float track_fit[6];     /* inverse Gram matrices of the tracking window at omega */
    float track_cosine[2][DECISION_TRACK / 2]; /* of its later half */
    float track_sine[2][DECISION_TRACK / 2];
    float look[DECISION_LOOK];
};

void decision_init(struct decision *decision);

/* A suspicion was raised when fed samples were known. */
void decision_suspect(struct decision *decision, uint64_t fed);

/* False when decision_tick() will have nothing to do from this time on unless a new suspicion is raised. */
bool decision_may_wake(const struct decision *decision, uint64_t fed);

/* True when decision_tick() has something to do at this time. */
bool decision_is_awake(const struct decision *decision, uint64_t fed);

/* True while a key is held and was there a few ms ago: whatever else may sound, there is a key to hide. */
static inline bool decision_hears(const struct decision *decision)
{
    return decision->is_down && decision->is_heard;
}

/* The samples of a tick: a ring of history_length (a power of two), newest at fed - 1. Those of the last gap are not to be
 * trusted; without one both its ends are 0. */
struct decision_past {
    const int16_t *history;
    size_t history_length;
    uint64_t fed;
    uint64_t gap_from, gap_until;
};

/* Appends to edges (capacity DTMF_EDGE_MAX). */
void decision_tick(struct decision *decision, const struct decision_past *past, struct dtmf_edge *edges,
                   size_t *edge_count);

#endif
