#include "testvectors/tone_leak.h"

#define RUN_MIN 3
#define WINDOW  16

static size_t same_in_runs(const int16_t *sent, const int16_t *delivered, size_t count)
{
    size_t same = 0;
    size_t run = 0;
    for (size_t i = 0; i < count; i++) {
        /* Small values meet by chance; a run of zeros is not a tone. */
        run = sent[i] == delivered[i] && sent[i] != 0 ? run + 1 : 0;
        if (run == RUN_MIN)
            same += RUN_MIN;
        else if (run > RUN_MIN)
            same++;
    }
    return same;
}

void tone_leak_measure(const int16_t *sent, const int16_t *delivered, const float *tone, size_t count,
                       struct tone_leak *leak)
{
    leak->same_samples = same_in_runs(sent, delivered, count);
    leak->survived_share = 0;
    double energy = 0;
    for (size_t i = 0; i < count; i++)
        energy += (double)tone[i] * tone[i];
    for (size_t from = 0; from + WINDOW <= count; from += WINDOW / 2) {
        double cross = 0;
        double own = 0;
        for (size_t i = from; i < from + WINDOW; i++) {
            cross += (double)delivered[i] * tone[i];
            own += (double)tone[i] * tone[i];
        }
        /* Where the two tones cancel each other there is nothing to be heard. */
        if (own * (double)count < 0.5 * energy * WINDOW)
            continue;
        if (cross / own > leak->survived_share)
            leak->survived_share = (float)(cross / own);
    }
}
