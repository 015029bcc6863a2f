#include "dsp/decision_follow.h"

#include "dsp/decision_wave_priv.h"
#include "dsp/tone_bank.h"

#include <string.h>

#define TRACK_PRESENT 0.45f /* of the reported amplitude */
#define PRESENT_SHARE 0.6f  /* of the energy there: less is something else that has those frequencies in it */
#define FOLLOW_EVERY  48  /* samples between two looks at a key that goes on; less than it takes to be lost */
#define BREAK_MAX     120 /* samples: a longer break ends the key */

_Static_assert(FOLLOW_EVERY + TONE_BANK_BLOCK + DECISION_TRACK / 2 <= DECISION_LOST,
               "a key that goes on is not lost");

/* Sums of four vectors side by side. */
static vec4 sums4(const vec4 v[4])
{
    vec4 a =
        __builtin_shufflevector(v[0], v[1], 0, 4, 1, 5) + __builtin_shufflevector(v[0], v[1], 2, 6, 3, 7);
    vec4 b =
        __builtin_shufflevector(v[2], v[3], 0, 4, 1, 5) + __builtin_shufflevector(v[2], v[3], 2, 6, 3, 7);
    return __builtin_shufflevector(a, b, 0, 1, 4, 5) + __builtin_shufflevector(a, b, 2, 3, 6, 7);
}

/* Is the held key in the DECISION_TRACK samples up to past->fed? The window straddles the end by half when the answer turns. */
static bool is_present(const struct decision *decision, const struct decision_past *past)
{
    uint64_t middle = past->fed - DECISION_TRACK / 2;
    const float *fit = decision->track_fit;
    vec4 wave[4] = {{0}, {0}, {0}, {0}}; /* cosines of both tones, sines of both */
    vec4 energies = {0};
    for (int i = 0; i < DECISION_TRACK / 2; i += 4) {
        vec4 track[4];
        vec4 later = decision_past4(past, middle + (uint64_t)i);
        vec4 earlier = decision_past4(past, middle - 4 - (uint64_t)i);
        earlier = __builtin_shufflevector(earlier, earlier, 3, 2, 1, 0);
        energies += later * later + earlier * earlier;
        memcpy(&track[0], &decision->track_cosine[0][i], sizeof(vec4));
        memcpy(&track[1], &decision->track_cosine[1][i], sizeof(vec4));
        memcpy(&track[2], &decision->track_sine[0][i], sizeof(vec4));
        memcpy(&track[3], &decision->track_sine[1][i], sizeof(vec4));
        wave[0] += (later + earlier) * track[0];
        wave[1] += (later + earlier) * track[1];
        wave[2] += (later - earlier) * track[2];
        wave[3] += (later - earlier) * track[3];
    }
    vec4 waves = sums4(wave);
    vec4 others = __builtin_shufflevector(waves, waves, 1, 0, 3, 2);
    vec4 amplitudes =
        waves * (vec4){fit[0], fit[2], fit[3], fit[5]} + others * (vec4){fit[1], fit[1], fit[4], fit[4]};
    amplitudes *= amplitudes;
    float low = amplitudes[0] + amplitudes[2];
    float high = amplitudes[1] + amplitudes[3];
    float least_low = TRACK_PRESENT * decision->amplitude[0];
    float least_high = TRACK_PRESENT * decision->amplitude[1];
    return low >= least_low * least_low && high >= least_high * least_high &&
           (float)(DECISION_TRACK / 2) * (low + high) >= PRESENT_SHARE * sum4(energies);
}

/* Whether the key was there at a time; if so, present_until follows. */
static bool is_followed(struct decision *decision, struct decision_past past, uint64_t at)
{
    past.fed = at;
    if (!is_present(decision, &past))
        return false;
    decision->present_until = at - DECISION_TRACK / 2;
    return true;
}

/* Of a key that was there at the last look, only every FOLLOW_EVERY samples are looked at: while it goes on, nothing depends
 * on what lies between. Once it is gone, that is looked at after all. */
bool decision_follow(struct decision *decision, const struct decision_past *past)
{
    uint64_t fed = past->fed;
    uint64_t gap_until = past->gap_until;
    if (fed < gap_until + DECISION_TRACK) {
        decision->present_until = decision->followed_at = fed;
        decision->is_heard = false;
        return false;
    }
    if (decision->is_heard && fed < decision->followed_at + FOLLOW_EVERY)
        return false;
    uint64_t from = decision->followed_at;
    decision->followed_at = fed;
    decision->is_heard = is_followed(decision, *past, fed);
    if (decision->is_heard)
        return false;
    for (uint64_t at = fed - DECISION_TICK; at > from && at >= gap_until + DECISION_TRACK;
         at -= DECISION_TICK) {
        if (is_followed(decision, *past, at))
            break;
    }
    return fed - decision->present_until > BREAK_MAX + DECISION_TRACK / 2;
}
