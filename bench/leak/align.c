#include "bench/leak/align.h"

#include "bench/leak/fourier.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define FRAME         80   /* 10 ms of the envelope */
#define COARSE_FRAMES 6000 /* looked for within a minute on either side */
#define COARSE_LEAST  200  /* two seconds must overlap */
#define BLOCK         4000 /* half a second */
#define BLOCK_LEAST   2400 /* of it must be there: shorter pieces of a voice are found in several places */
#define HOP           2000
#define RANGE         5000  /* fine search around the coarse lag: 625 ms on either side */
#define TRANSFORM     16384 /* holds a block and its range without wrapping */
#define LOUD_LEAST    60.0  /* root mean square of a block worth looking for; about -51 dBm0 */
#define MATCH_SAME    0.8   /* correlation that confirms the lag of the block before */
#define MATCH_NEW     0.6   /* correlation that establishes a new lag */

/* ------------------------------------------------------------------ coarse: envelopes, 10 ms steps */

static float *envelope(const struct align_signal *signal, size_t *frame_count)
{
    *frame_count = signal->count / FRAME;
    float *frames = calloc(*frame_count + 1, sizeof *frames);
    if (frames == NULL)
        return NULL;
    for (size_t f = 0; f < *frame_count; f++) {
        double energy = 0;
        for (size_t i = 0; i < FRAME; i++)
            energy += (double)signal->samples[f * FRAME + i] * signal->samples[f * FRAME + i];
        frames[f] = (float)pow(energy / FRAME, 0.25);
    }
    return frames;
}

/* Takes the mean away; frames that touch a left-out span count as nothing. */
static void centre_frames(float *frames, size_t count, const struct align_span *leave_out, size_t spans)
{
    for (size_t s = 0; s < spans; s++)
        for (size_t f = leave_out[s].from / FRAME; f <= leave_out[s].to / FRAME && f < count; f++)
            frames[f] = -1;
    double sum = 0;
    size_t used = 0;
    for (size_t f = 0; f < count; f++)
        if (frames[f] >= 0) {
            sum += frames[f];
            used++;
        }
    double mean = used == 0 ? 0 : sum / (double)used;
    for (size_t f = 0; f < count; f++)
        frames[f] = frames[f] < 0 ? 0 : (float)(frames[f] - mean);
}

static double frame_match(const float *a, size_t a_count, const float *b, size_t b_count, long lag)
{
    long first = lag < 0 ? -lag : 0;
    long last = (long)b_count - lag < (long)a_count ? (long)b_count - lag : (long)a_count;
    double product = 0;
    double energy_a = 1e-9;
    double energy_b = 1e-9;
    for (long i = first; i < last; i++) {
        product += (double)a[i] * b[i + lag];
        energy_a += (double)a[i] * a[i];
        energy_b += (double)b[i + lag] * b[i + lag];
    }
    return last - first < COARSE_LEAST && last - first < (long)a_count / 2
               ? 0
               : product / sqrt(energy_a * energy_b) * sqrt((double)(last - first));
}

static enum err find_coarse(const struct align_signal *sent, const struct align_signal *delivered,
                            const struct align_span *leave_out, size_t spans, int *lag)
{
    size_t sent_count;
    size_t delivered_count;
    float *a = envelope(sent, &sent_count);
    float *b = envelope(delivered, &delivered_count);
    if (a == NULL || b == NULL) {
        free(a);
        free(b);
        return ERR_MEMORY;
    }
    centre_frames(a, sent_count, leave_out, spans);
    centre_frames(b, delivered_count, NULL, 0);
    double best = 0;
    *lag = 0;
    for (long l = -COARSE_FRAMES; l <= COARSE_FRAMES; l++) {
        if (l <= -(long)sent_count || l >= (long)delivered_count)
            continue;
        double match = frame_match(a, sent_count, b, delivered_count, l);
        if (match > best) {
            best = match;
            *lag = (int)(l * FRAME);
        }
    }
    free(a);
    free(b);
    return OK;
}

/* ------------------------------------------------------------------ fine: blocks of half a second */

static double block_match(const float *block, const struct align_signal *delivered, long from)
{
    if (from < 0 || from + BLOCK > (long)delivered->count)
        return 0;
    double product = 0;
    double energy_a = 1e-9;
    double energy_b = 1e-9;
    for (size_t i = 0; i < BLOCK; i++) {
        double a = block[i];
        double b = delivered->samples[from + (long)i];
        product += a * b;
        energy_a += a * a;
        energy_b += b * b;
    }
    return fabs(product) / sqrt(energy_a * energy_b);
}

/* Correlation of the block at every lag of coarse ± RANGE at once; *lag is the best. work holds 2 * TRANSFORM. */
static double search_block(const float *block, size_t at, const struct align_signal *delivered, int coarse,
                           struct fourier_value *work, int *lag)
{
    struct fourier_value *a = work;
    struct fourier_value *b = work + TRANSFORM;
    long start = (long)at + coarse - RANGE;
    for (long i = 0; i < TRANSFORM; i++) {
        long d = start + i;
        bool is_inside = i < BLOCK + 2 * RANGE && d >= 0 && d < (long)delivered->count;
        a[i] = (struct fourier_value){i < BLOCK ? block[i] : 0, 0};
        b[i] = (struct fourier_value){is_inside ? delivered->samples[d] : 0, 0};
    }
    fourier_transform(a, TRANSFORM, false);
    fourier_transform(b, TRANSFORM, false);
    for (size_t i = 0; i < TRANSFORM; i++)
        b[i] = (struct fourier_value){a[i].re * b[i].re + a[i].im * b[i].im,
                                      a[i].re * b[i].im - a[i].im * b[i].re};
    fourier_transform(b, TRANSFORM, true);
    long best = 0;
    for (long i = 1; i <= 2 * RANGE; i++)
        if (fabsf(b[i].re) > fabsf(b[best].re))
            best = i;
    *lag = (int)(coarse - RANGE + best);
    return block_match(block, delivered, (long)at + *lag);
}

/* The block with left-out samples silenced. False: nothing in it to look for. */
static bool take_block(float *block, const struct align_signal *sent, size_t at,
                       const struct align_span *leave_out, size_t spans)
{
    size_t there = BLOCK;
    size_t done = at; /* spans may overlap */
    memcpy(block, sent->samples + at, BLOCK * sizeof *block);
    for (size_t s = 0; s < spans; s++) {
        size_t i = leave_out[s].from < done ? done : leave_out[s].from;
        for (; i < leave_out[s].to && i < at + BLOCK; i++, there--)
            block[i - at] = 0;
        done = i > done && i <= at + BLOCK ? i : done;
    }
    double energy = 0;
    for (size_t i = 0; i < BLOCK; i++)
        energy += (double)block[i] * block[i];
    return there >= BLOCK_LEAST && energy > LOUD_LEAST * LOUD_LEAST * BLOCK;
}

static bool match_block(const float *block, size_t at, const struct align_signal *delivered, int coarse,
                        struct fourier_value *work, int *lag)
{
    if (block_match(block, delivered, (long)at + *lag) > MATCH_SAME)
        return true;
    int found;
    if (search_block(block, at, delivered, coarse, work, &found) < MATCH_NEW)
        return false;
    *lag = found;
    return true;
}

static enum err find_points(struct align *align, const struct align_signal *sent,
                            const struct align_signal *delivered, const struct align_span *leave_out,
                            size_t spans, int coarse)
{
    float block[BLOCK];
    struct fourier_value *work = malloc(2 * TRANSFORM * sizeof *work);
    align->points = calloc(sent->count / HOP + 1, sizeof *align->points);
    if (work == NULL || align->points == NULL) {
        free(work);
        return ERR_MEMORY;
    }
    int lag = coarse;
    for (size_t at = 0; at + BLOCK <= sent->count; at += HOP)
        if (take_block(block, sent, at, leave_out, spans) &&
            match_block(block, at, delivered, coarse, work, &lag))
            align->points[align->point_count++] = (struct align_point){at + BLOCK / 2, lag};
    free(work);
    return align->point_count == 0 ? ERR_NOT_FOUND : OK;
}

static void collect_lags(struct align *align)
{
    size_t votes[ALIGN_LAGS_MAX] = {0};
    for (size_t p = 0; p < align->point_count; p++) {
        size_t l = 0;
        while (l < align->lag_count && align->lags[l] != align->points[p].lag)
            l++;
        if (l == ALIGN_LAGS_MAX)
            continue;
        if (l == align->lag_count)
            align->lags[align->lag_count++] = align->points[p].lag;
        votes[l]++;
    }
    for (size_t i = 1; i < align->lag_count; i++)
        for (size_t j = i; j > 0 && votes[j] > votes[j - 1]; j--) {
            size_t vote = votes[j];
            int lag = align->lags[j];
            votes[j] = votes[j - 1];
            align->lags[j] = align->lags[j - 1];
            votes[j - 1] = vote;
            align->lags[j - 1] = lag;
        }
}

enum err align_find(struct align *out, const struct align_signal *sent, const struct align_signal *delivered,
                    const struct align_span *leave_out, size_t leave_out_count)
{
    memset(out, 0, sizeof *out);
    int coarse = 0;
    enum err err = find_coarse(sent, delivered, leave_out, leave_out_count, &coarse);
    if (err == OK)
        err = find_points(out, sent, delivered, leave_out, leave_out_count, coarse);
    if (err != OK) {
        align_release(out);
        return err;
    }
    collect_lags(out);
    return OK;
}

enum err align_fixed(struct align *out, int lag)
{
    memset(out, 0, sizeof *out);
    out->points = calloc(1, sizeof *out->points);
    if (out->points == NULL)
        return ERR_MEMORY;
    out->points[0].lag = lag;
    out->point_count = 1;
    collect_lags(out);
    return OK;
}

void align_around(const struct align *align, size_t at, int *before, int *after)
{
    size_t next = 0;
    while (next < align->point_count && align->points[next].at <= at)
        next++;
    size_t previous = next == 0 ? 0 : next - 1;
    if (next == align->point_count)
        next--;
    *before = align->points[previous].lag;
    *after = align->points[next].lag;
}

void align_release(struct align *align)
{
    free(align->points);
    memset(align, 0, sizeof *align);
}
