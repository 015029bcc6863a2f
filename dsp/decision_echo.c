#include "dsp/decision_echo.h"

#include "dsp/dtmf_detector.h"

#include <math.h>
#include <string.h>

#define ECHO_MAX     2000   /* samples after a key's end in which its echo may begin */
#define ECHO_SHARE   0.125f /* of the key's amplitudes, at most: 18 dB */
#define ECHO_PAUSE   96     /* samples: what begins sooner goes on */
#define ECHOES_SHARE 0.2f   /* of all echoes together: 14 dB */
#define ECHO_TWIST   1.25f  /* ratio of the two shares: 2 dB */
#define ECHO_WEAKER  0.5f
#define ECHO_DETUNE  0.01f

/* The same key, at the same frequencies and twist, 18 dB weaker and at once: nobody presses so, the line gives the key back.
 * What goes on from the key without a pause may be several echoes on top of each other, which add up or cancel; and
 * where another begins under such a one, its turn of phase bends the frequencies. It is no press, and while it sounds
 * another key is heard as ever. */
bool decision_is_echo(const struct decision_press *press, const struct decision_model *model, uint64_t onset)
{
    float share[2];
    bool is_tuned = true;
    if (press->amplitude[0] <= 0 || dtmf_key_at(model->row, model->column) != press->key ||
        onset > press->until + ECHO_MAX)
        return false;
    for (int k = 0; k < 2; k++) {
        share[k] = decision_tone_amplitude(&model->tone[k]) / press->amplitude[k];
        is_tuned &= fabsf(model->tone[k].omega - press->omega[k]) <= ECHO_DETUNE * press->omega[k];
    }
    float more = fmaxf(share[0], share[1]);
    if (onset <= press->echo_until + ECHO_PAUSE)
        return more <= ECHOES_SHARE;
    if (onset <= press->until + ECHO_PAUSE)
        return is_tuned && more <= ECHOES_SHARE;
    return is_tuned && more <= ECHO_SHARE && more < ECHO_TWIST * fminf(share[0], share[1]);
}

/* An echo that begins after a pause is one alone: what follows it must be weighed anew. */
void decision_note_echo(struct decision_press *press, uint64_t onset, uint64_t fed)
{
    if (onset <= press->until + ECHO_PAUSE || onset <= press->echo_until + ECHO_PAUSE)
        press->echo_until = fed;
}

/* The held key is a press to hold echoes against, unless it repeats one more weakly: then it may be an echo itself, which
 * decision_is_echo() could not tell. */
void decision_note_press(struct decision *decision, uint64_t onset)
{
    struct decision_press *press = &decision->loudest;
    bool is_repeated = decision->key == press->key && onset <= press->until + ECHO_MAX;
    if (is_repeated && decision->amplitude[0] < ECHO_WEAKER * press->amplitude[0] &&
        decision->amplitude[1] < ECHO_WEAKER * press->amplitude[1])
        return;
    *press = (struct decision_press){.until = UINT64_MAX - ECHO_MAX, .key = decision->key};
    memcpy(press->omega, decision->omega, sizeof(press->omega));
    memcpy(press->amplitude, decision->amplitude, sizeof(press->amplitude));
}

void decision_note_release(struct decision_press *press, uint64_t until, uint64_t fed)
{
    if (press->until > fed)
        press->until = until;
}
