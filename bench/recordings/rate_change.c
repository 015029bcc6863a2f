#include "bench/recordings/rate_change.h"

#include "base/secret.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define RATE_MIN       4000U
#define RATE_MAX       192000U
#define ZERO_CROSSINGS 24
#define BAND           0.95 /* of the narrower of both bands: middle of the transition */

struct rate_change {
    unsigned up; /* output sample n lies at input n * down / up */
    unsigned down;
    size_t half; /* taps on each side */
    float *taps; /* up phases of 2 * half */
    float *line; /* input that may still be needed */
    size_t line_count;
    int64_t line_first; /* input sample line[0] */
    uint64_t in_count;
    uint64_t out_count;
};

static unsigned common_divisor(unsigned a, unsigned b)
{
    while (b != 0) {
        unsigned rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static double window(double x)
{
    return fabs(x) >= 1 ? 0 : 0.42 + 0.5 * cos(M_PI * x) + 0.08 * cos(2 * M_PI * x);
}

static double sinc(double x)
{
    return fabs(x) < 1e-9 ? 1 : sin(M_PI * x) / (M_PI * x);
}

/* Every phase sums to 1, so that a constant stays one. */
static void design(struct rate_change *change, double cutoff)
{
    for (unsigned phase = 0; phase < change->up; phase++) {
        float *taps = change->taps + (size_t)phase * 2 * change->half;
        double sum = 0;
        for (size_t k = 0; k < 2 * change->half; k++) {
            double x = (double)k - (double)(change->half - 1) - (double)phase / change->up;
            double tap = sinc(x * cutoff) * window(x / (double)change->half);
            taps[k] = (float)tap;
            sum += tap;
        }
        for (size_t k = 0; k < 2 * change->half; k++)
            taps[k] = (float)(taps[k] / sum);
    }
}

enum err rate_change_new(struct rate_change **out, unsigned in_rate, unsigned out_rate)
{
    *out = NULL;
    if (in_rate < RATE_MIN || in_rate > RATE_MAX || out_rate < RATE_MIN || out_rate > RATE_MAX)
        return ERR_RANGE;
    struct rate_change *change = calloc(1, sizeof *change);
    if (change == NULL)
        return ERR_MEMORY;
    unsigned divisor = common_divisor(in_rate, out_rate);
    double cutoff = BAND * (out_rate < in_rate ? (double)out_rate / in_rate : 1);
    change->up = out_rate / divisor;
    change->down = in_rate / divisor;
    change->half = (size_t)ceil(ZERO_CROSSINGS / cutoff);
    change->taps = malloc((size_t)change->up * 2 * change->half * sizeof *change->taps);
    change->line = calloc(4 * change->half + RATE_CHANGE_FEED_MAX, sizeof *change->line);
    if (change->taps == NULL || change->line == NULL) {
        rate_change_free(change);
        return ERR_MEMORY;
    }
    design(change, cutoff);
    change->line_count = change->half; /* silence before the first sample */
    change->line_first = -(int64_t)change->half;
    *out = change;
    return OK;
}

void rate_change_free(struct rate_change *change)
{
    if (change == NULL)
        return;
    if (change->line != NULL)
        wipe(change->line, (4 * change->half + RATE_CHANGE_FEED_MAX) * sizeof *change->line);
    free(change->line);
    free(change->taps);
    free(change);
}

size_t rate_change_reach(const struct rate_change *change)
{
    return change->half;
}

size_t rate_change_room(const struct rate_change *change)
{
    return (2 * change->half + RATE_CHANGE_FEED_MAX) * change->up / change->down + 2;
}

float rate_change_at(const struct rate_change *change, const float *in, int64_t first, size_t count,
                     uint64_t n)
{
    uint64_t place = n * change->down;
    const float *taps = change->taps + place % change->up * 2 * change->half;
    int64_t from = (int64_t)(place / change->up) - (int64_t)change->half + 1 - first;
    int64_t least = from < 0 ? -from : 0;
    int64_t most = (int64_t)count - from;
    most = most < (int64_t)(2 * change->half) ? most : (int64_t)(2 * change->half);
    float sum = 0;
    for (int64_t k = least; k < most; k++)
        sum += taps[k] * in[from + k];
    return sum;
}

/* Output that needs no input past the line, and not more than limit in all. */
static size_t drain(struct rate_change *change, uint64_t limit, float *out)
{
    size_t written = 0;
    int64_t end = change->line_first + (int64_t)change->line_count;
    while (change->out_count < limit &&
           (int64_t)(change->out_count * change->down / change->up + change->half) < end) {
        out[written++] =
            rate_change_at(change, change->line, change->line_first, change->line_count, change->out_count);
        change->out_count++;
    }
    int64_t needed = (int64_t)(change->out_count * change->down / change->up) - (int64_t)change->half + 1;
    if (needed > change->line_first) {
        size_t gone = (size_t)(needed - change->line_first);
        gone = gone < change->line_count ? gone : change->line_count;
        change->line_count -= gone;
        change->line_first += (int64_t)gone;
        memmove(change->line, change->line + gone, change->line_count * sizeof *change->line);
    }
    return written;
}

size_t rate_change_feed(struct rate_change *change, const float *in, size_t count, float *out)
{
    if (count > RATE_CHANGE_FEED_MAX)
        return 0;
    memcpy(change->line + change->line_count, in, count * sizeof *in);
    change->line_count += count;
    change->in_count += count;
    return drain(change, UINT64_MAX, out);
}

size_t rate_change_end(struct rate_change *change, float *out)
{
    uint64_t limit = (change->in_count * change->up + change->down - 1) / change->down;
    memset(change->line + change->line_count, 0, (change->half + 1) * sizeof *change->line);
    change->line_count += change->half + 1;
    return drain(change, limit, out);
}
