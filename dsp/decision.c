#include "dsp/decision.h"

#include "dsp/decision_model.h"
#include "dsp/decision_wave_priv.h"
#include "dsp/dtmf_detector.h"
#include "dsp/tone_bank.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

#define ON_MIN             194 /* a shorter tone is no key: 24.25 ms, Q.24 §4 lets 23 ms be refused */
#define ONSET_SLACK        5   /* samples that the onset of a tone in noise moves from one fit to the next */
#define ONSET_SLACK_CLEAR  1
#define CLEAR_SHARE        0.98f /* of the energy: a tone that leaves so little noise */
#define NOISY_SHARE        0.92f /* or so much that nothing is known of the next fit */
#define END_SLACK          5
#define SEGMENT            32 /* 4 ms: the tone must be there in each */
#define TWIST_MAX_DB       9.8f
#define LEVEL_MIN_DBM0     (-36.0f)
#define SHARE_MIN          0.78f /* of the energy since the onset */
#define SEGMENT_MIN        0.35f
#define EVERYWHERE_MIN     0.05f
#define HOLE_MAX           0.5f /* more than this is no hole */
#define HOLE_WEIGHT        0.2f
#define SHARE_AND_HOLE_MIN 0.86f
#define TRACK_PRESENT      0.45f /* of the reported amplitude */
#define PRESENT_SHARE      0.6f /* of the energy there: less is something else that has those frequencies in it */
#define FOLLOW_EVERY       48 /* samples between two looks at a key that goes on; less than it takes to be lost */
#define LOST               (64 + DECISION_TRACK / 2) /* samples after which a held key is not there any more */
#define BREAK_MAX          120                       /* samples: a longer break ends the key */
#define ECHO_MAX           2000   /* samples after a key's end in which its echo may begin */
#define ECHO_SHARE         0.125f /* of the key's amplitudes, at most: 18 dB */
#define ECHO_PAUSE         96     /* samples: what begins sooner goes on */
#define ECHOES_SHARE       0.2f   /* of all echoes together: 14 dB */
#define ECHO_TWIST         1.25f  /* ratio of the two shares: 2 dB */
#define ECHO_WEAKER        0.5f
#define ECHO_DETUNE        0.01f
#define CANDIDATE_HOLD     DTMF_SUSPICION_STANDS /* samples without suspicion that end a candidate */
#define CANDIDATE_MIN      16                    /* samples of suspicion before the first look */

_Static_assert(FOLLOW_EVERY + TONE_BANK_BLOCK + DECISION_TRACK / 2 <= LOST, "a key that goes on is not lost");

static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

void decision_init(struct decision *decision)
{
    pthread_once(&tables_once, decision_model_tables_make);
    memset(decision, 0, sizeof(*decision));
}

void decision_suspect(struct decision *decision, uint64_t fed)
{
    if (decision->suspected_at == 0 || fed - decision->suspected_at > CANDIDATE_HOLD)
        decision->candidate_since = fed;
    decision->suspected_at = fed;
}

static bool is_candidate(const struct decision *decision, uint64_t fed)
{
    return decision->suspected_at && fed - decision->suspected_at <= CANDIDATE_HOLD &&
           fed - decision->candidate_since >= CANDIDATE_MIN;
}

bool decision_may_wake(const struct decision *decision, uint64_t fed)
{
    return decision->is_down || (decision->suspected_at && fed - decision->suspected_at <= CANDIDATE_HOLD);
}

bool decision_is_awake(const struct decision *decision, uint64_t fed)
{
    return decision->is_down || is_candidate(decision, fed);
}

static bool is_key_like(const struct decision_model *model)
{
    float level_low = dtmf_dbm0_of_amplitude(decision_tone_amplitude(&model->tone[0]));
    float level_high = dtmf_dbm0_of_amplitude(decision_tone_amplitude(&model->tone[1]));
    return level_low >= LEVEL_MIN_DBM0 && level_high >= LEVEL_MIN_DBM0 &&
           fabsf(level_low - level_high) <= TWIST_MAX_DB;
}

/* What was there in a stretch: the model's gain, its own energy, and all energy. */
struct sums {
    float gained, own, energy;
};

static void sums_make(const float *look, const struct decision_gain *gain, int from, struct sums *sums)
{
    vec4 gained = {0}, own = {0}, energy = {0};
    for (int i = from; i < from + SEGMENT / 2; i += 4) {
        vec4 x, of_gained, of_own;
        memcpy(&x, look + i, sizeof(x));
        memcpy(&of_gained, &gain->gained[i], sizeof(of_gained));
        memcpy(&of_own, &gain->own[i], sizeof(of_own));
        energy += x * x;
        gained += of_gained;
        own += of_own;
    }
    *sums = (struct sums){sum4(gained), sum4(own), sum4(energy)};
}

/* Share of a stretch of its own energy that the tone gained there; 1 where it has no energy to speak of. */
static float gained_share(float gained, float own)
{
    return own > 1 ? gained / own : 1;
}

/* The tone explains what was heard in the last ON_MIN samples, and was there all the time. Speech that comes near the
 * share of a noisy key does so with holes of a millisecond or two, so the worst one counts too. */
static bool is_even(const float *look, const struct decision_gain *gain)
{
    float energy = 0;
    float gained = 0;
    float worst = HOLE_MAX;
    for (int from = DECISION_LOOK - ON_MIN / SEGMENT * SEGMENT; from < DECISION_LOOK; from += SEGMENT) {
        struct sums early, late;
        sums_make(look, gain, from, &early);
        sums_make(look, gain, from + SEGMENT / 2, &late);
        if (gained_share(early.gained + late.gained, early.own + late.own) < SEGMENT_MIN)
            return false;
        gained += early.gained + late.gained;
        worst = fminf(worst, gained_share(early.gained, early.own));
        worst = fminf(worst, gained_share(late.gained, late.own));
        energy += early.energy + late.energy;
    }
    float share = gained / (energy + 1);
    return share >= SHARE_MIN && share + HOLE_WEIGHT * worst >= SHARE_AND_HOLE_MIN;
}

/* By how much the tone may have begun sooner than it seems; at most it has begun long enough ago. */
static int onset_slack(const float *look, const struct decision_gain *gain)
{
    float gained = 0;
    float energy = 0;
    for (int from = DECISION_LOOK - DECISION_FIT; from < DECISION_LOOK; from += SEGMENT / 2) {
        struct sums sums;
        sums_make(look, gain, from, &sums);
        gained += sums.gained;
        energy += sums.energy;
    }
    if (gained < NOISY_SHARE * energy)
        return ON_MIN;
    return gained >= CLEAR_SHARE * energy ? ONSET_SLACK_CLEAR : ONSET_SLACK;
}

static void add_edge(struct dtmf_edge *edges, size_t *edge_count, const struct dtmf_edge *edge)
{
    if (*edge_count < DTMF_EDGE_MAX)
        edges[(*edge_count)++] = *edge;
}

static void key_up(struct decision *decision, uint64_t fed, struct dtmf_edge *edges, size_t *edge_count)
{
    struct dtmf_edge edge = {
        .kind = DTMF_EDGE_OFF,
        .key = decision->key,
        .onset_sample = decision->present_until,
        .reported_sample = fed,
        .level_low_dbm0 = dtmf_dbm0_of_amplitude(decision->amplitude[0]),
        .level_high_dbm0 = dtmf_dbm0_of_amplitude(decision->amplitude[1]),
    };
    edge.twist_db = edge.level_low_dbm0 - edge.level_high_dbm0;
    add_edge(edges, edge_count, &edge);
    decision->is_down = false;
    decision->not_before = decision->present_until;
    if (decision->loudest.until > fed)
        decision->loudest.until = decision->present_until;
}

static void key_down(struct decision *decision, const struct decision_model *model, uint64_t onset,
                     uint64_t fed, struct dtmf_edge *edges, size_t *edge_count)
{
    decision->is_down = true;
    decision->is_heard = true;
    decision->key = dtmf_key_at(model->row, model->column);
    decision->present_until = decision->followed_at = fed;
    for (int k = 0; k < 2; k++) {
        decision->omega[k] = model->tone[k].omega;
        decision->amplitude[k] = decision_tone_amplitude(&model->tone[k]);
    }
    decision_track_make(decision);
    struct dtmf_edge edge = {
        .kind = DTMF_EDGE_ON,
        .key = decision->key,
        .onset_sample = onset,
        .reported_sample = fed,
        .level_low_dbm0 = dtmf_dbm0_of_amplitude(decision->amplitude[0]),
        .level_high_dbm0 = dtmf_dbm0_of_amplitude(decision->amplitude[1]),
    };
    edge.twist_db = edge.level_low_dbm0 - edge.level_high_dbm0;
    add_edge(edges, edge_count, &edge);
}

/* The samples of decision_tick(). */
struct past {
    const int16_t *history;
    size_t history_length;
    uint64_t fed;
};

/* Four samples of the ring from `at` on, a multiple of four. */
static inline vec4 past4(const struct past *past, uint64_t at)
{
    typedef int16_t short4 __attribute__((vector_size(4 * sizeof(int16_t))));
    short4 samples;
    memcpy(&samples, &past->history[at & (past->history_length - 1)], sizeof(samples));
    return __builtin_convertvector(samples, vec4);
}

_Static_assert(DECISION_TICK % 4 == 0 && DECISION_LOOK % 4 == 0 && DECISION_TRACK % 8 == 0 &&
                   SEGMENT % 4 == 0,
               "four samples never lie across the ring's end");

/* The newest samples come to look[]. */
static void look_make(struct decision *decision, const struct past *past)
{
    for (size_t i = 0; i < DECISION_LOOK; i += 4) {
        vec4 x = past4(past, past->fed - DECISION_LOOK + i);
        memcpy(&decision->look[i], &x, sizeof(x));
    }
}

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
static bool is_present(const struct decision *decision, const struct past *past)
{
    uint64_t middle = past->fed - DECISION_TRACK / 2;
    const float *fit = decision->track_fit;
    vec4 wave[4] = {{0}, {0}, {0}, {0}}; /* cosines of both tones, sines of both */
    vec4 energies = {0};
    for (int i = 0; i < DECISION_TRACK / 2; i += 4) {
        vec4 track[4];
        vec4 later = past4(past, middle + (uint64_t)i);
        vec4 earlier = past4(past, middle - 4 - (uint64_t)i);
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
static bool is_followed(struct decision *decision, struct past past, uint64_t at)
{
    past.fed = at;
    if (!is_present(decision, &past))
        return false;
    decision->present_until = at - DECISION_TRACK / 2;
    return true;
}

/* Of a key that was there at the last look, only every FOLLOW_EVERY samples are looked at: while it goes on, nothing depends
 * on what lies between. Once it is gone, that is looked at after all. */
static void follow_key(struct decision *decision, const struct past *past, uint64_t gap_until,
                       struct dtmf_edge *edges, size_t *edge_count)
{
    uint64_t fed = past->fed;
    if (fed < gap_until + DECISION_TRACK) {
        decision->present_until = decision->followed_at = fed;
        decision->is_heard = false;
        return;
    }
    if (decision->is_heard && fed < decision->followed_at + FOLLOW_EVERY)
        return;
    uint64_t from = decision->followed_at;
    decision->followed_at = fed;
    decision->is_heard = is_followed(decision, *past, fed);
    if (decision->is_heard)
        return;
    for (uint64_t at = fed - DECISION_TICK; at > from && at >= gap_until + DECISION_TRACK;
         at -= DECISION_TICK) {
        if (is_followed(decision, *past, at))
            break;
    }
    if (fed - decision->present_until > BREAK_MAX + DECISION_TRACK / 2)
        key_up(decision, fed, edges, edge_count);
}

/* Energy of a segment of the ring. */
static float segment_energy(const struct past *past, size_t back)
{
    vec4 sum = {0};
    for (size_t i = 0; i < SEGMENT; i += 4) {
        vec4 x = past4(past, past->fed - back + i);
        sum += x * x;
    }
    return sum4(sum);
}

/* Cheap and necessary for is_even(): a key of ON_MIN samples is in every segment. There a segment has at least (1.35 / 2)^2
 * of the model's energy, the model 0.28 of all, and a pair at its worst beat 0.71 of its mean in a segment: 0.09
 * together. */
static bool is_everywhere(const struct past *past)
{
    float whole = 0;
    float least = INFINITY;
    /* The newest and the oldest first: where one of them says no, a tone has just begun or ended. */
    for (int i = 0; i < ON_MIN / SEGMENT; i++) {
        int back = i == 0 ? 1 : ON_MIN / SEGMENT + 1 - i;
        float energy = segment_energy(past, (size_t)back * SEGMENT);
        whole += energy;
        least = energy < least ? energy : least;
        if (least * (ON_MIN / SEGMENT) < EVERYWHERE_MIN * whole)
            return false;
    }
    return true;
}

/* The same key, at the same frequencies and twist, 18 dB weaker and at once: nobody presses so, the line gives the key back.
 * What goes on from the key without a pause may be several echoes on top of each other, which add up or cancel; and
 * where another begins under such a one, its turn of phase bends the frequencies. It is no press, and while it sounds
 * another key is heard as ever. */
static bool is_echo(const struct decision_press *press, const struct decision_model *model, uint64_t onset)
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
static void note_echo(struct decision_press *press, uint64_t onset, uint64_t fed)
{
    if (onset <= press->until + ECHO_PAUSE || onset <= press->echo_until + ECHO_PAUSE)
        press->echo_until = fed;
}

/* The held key is a press to hold echoes against, unless it repeats one more weakly: then it may be an echo itself, which
 * is_echo() could not tell. */
static void note_press(struct decision *decision, uint64_t onset)
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

static void look_for_key(struct decision *decision, const struct past *past, uint64_t gap_until,
                         struct dtmf_edge *edges, size_t *edge_count)
{
    struct decision_model model;
    struct decision_gain gain;
    uint64_t fed = past->fed;
    if (fed < gap_until + ON_MIN || fed < decision->look_at || !is_everywhere(past))
        return;
    look_make(decision, past);
    if (!decision_model_fit(decision->look, &model) || !is_key_like(&model))
        return;
    decision_gain_make(decision->look, &model, &gain);
    uint64_t limit = decision->not_before > gap_until ? decision->not_before : gap_until;
    uint64_t look_from = fed - DECISION_LOOK;
    int earliest = fed < DECISION_LOOK ? DECISION_LOOK - (int)fed
                   : limit > look_from ? (int)(limit - look_from)
                                       : 0;
    int onset;
    int end;
    decision_gain_edges(&gain, earliest, &onset, &end);
    int lasted = DECISION_LOOK - onset;
    /* A tone that fills what the model is fitted to has begun where it seems to, or nearly. */
    if (lasted < ON_MIN && lasted >= DECISION_FIT)
        decision->look_at = fed + (uint64_t)ON_MIN - (uint64_t)(lasted + onset_slack(decision->look, &gain));
    if (lasted < ON_MIN || end < DECISION_LOOK - END_SLACK || !is_even(decision->look, &gain))
        return;
    uint64_t onset_sample = fed - (uint64_t)(DECISION_LOOK - onset);
    if (decision->is_down)
        key_up(decision, fed, edges, edge_count);
    if (is_echo(&decision->loudest, &model, onset_sample)) {
        note_echo(&decision->loudest, onset_sample, fed);
        return;
    }
    key_down(decision, &model, onset_sample, fed, edges, edge_count);
    note_press(decision, onset_sample);
}

void decision_tick(struct decision *decision, const int16_t *history, size_t history_length, uint64_t fed,
                   uint64_t gap_until, struct dtmf_edge *edges, size_t *edge_count)
{
    struct past past = {history, history_length, fed};
    if (decision->is_down)
        follow_key(decision, &past, gap_until, edges, edge_count);
    bool is_lost = decision->is_down && fed - decision->present_until > LOST;
    if ((!decision->is_down || is_lost) && is_candidate(decision, fed))
        look_for_key(decision, &past, gap_until, edges, edge_count);
}
