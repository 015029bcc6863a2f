/* Someone who has the delivered audio and wants the keys: over all windows of 5 to 80 ms, the key whose two tones explain
 * a window best (least squares with free amplitude and phase, scored by log-likelihood ratio). He knows when each key
 * was pressed, the worst case. Stateless but for constant tables built on first use; not thread-safe before that. */
#ifndef TONEGATE_BENCH_LEAK_ATTACKER_H
#define TONEGATE_BENCH_LEAK_ATTACKER_H

#include <stddef.h>

#define ATTACKER_CLASSES_MAX 16

struct attacker_guess {
    int key; /* 0..9, 10 '*', 11 '#', 12..15 A..D (RFC 4733 §3.2); -1: nothing to go by (digital silence) */
    double score;  /* natural logarithm of the likelihood ratio of the best window */
    double margin; /* above the best score of any other key */
};

/* classes is 12 (no A..D) or 16. */
struct attacker_guess attacker_listen(const float *samples, size_t count, unsigned classes);

/* The two frequencies of a key, Hz. */
void attacker_key_tones(unsigned key, double *low_hz, double *high_hz);

/* 95 % interval of a share (Wilson). trials 0 gives 0..1. */
void attacker_wilson(size_t hits, size_t trials, double *low, double *high);

/* Probability of hits or more by pure guessing at chance. */
double attacker_chance_of(size_t hits, size_t trials, double chance);

#endif
