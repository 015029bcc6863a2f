#include "testvectors/tone_leak.h"

#include "dsp/dtmf_detector.h"
#include "dsp/tone_bank.h"

#include <math.h>

#define RUN_MIN 3
#define WINDOW  16
#define LIKE    0.8 /* share of a window's energy that must be the tone: noise as strong as it is no leak */

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
        double all = 0;
        for (size_t i = from; i < from + WINDOW; i++) {
            cross += (double)delivered[i] * tone[i];
            own += (double)tone[i] * tone[i];
            all += (double)delivered[i] * delivered[i];
        }
        /* Where the two tones cancel each other there is nothing to be heard. */
        if (own * (double)count < 0.5 * energy * WINDOW || cross * cross < LIKE * own * all)
            continue;
        if (cross / own > leak->survived_share)
            leak->survived_share = (float)(cross / own);
    }
}

uint8_t tone_leak_name(const int16_t *delivered, size_t count)
{
    double power[TONE_BANK_TONES];
    unsigned row = 0;
    unsigned column = 0;
    for (unsigned tone = 0; tone < TONE_BANK_TONES; tone++) {
        double twice_cosine = 2 * cos(2 * M_PI * tone_bank_hz[tone] / DTMF_SAMPLE_RATE);
        double last = 0;
        double before = 0;
        for (size_t i = 0; i < count; i++) {
            double now = delivered[i] + twice_cosine * last - before;
            before = last;
            last = now;
        }
        power[tone] = last * last + before * before - twice_cosine * last * before;
    }
    for (unsigned i = 1; i < 4; i++) {
        row = power[i] > power[row] ? i : row;
        column = power[4 + i] > power[4 + column] ? i : column;
    }
    return dtmf_key_at(row, column);
}
