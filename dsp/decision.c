#include "dsp/decision.h"

#include "dsp/decision_echo.h"
#include "dsp/decision_follow.h"
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
#define BRIDGE_MAX         160  /* samples: over a longer gap nothing is said */
#define BRIDGE_SHARE       0.6f /* of what was heard before a gap, and of its own energy, at least */
#define CANDIDATE_HOLD     DTMF_STANDS_MAX /* samples without suspicion that end a candidate */
#define CANDIDATE_MIN      16              /* samples of suspicion before the first look */

_Static_assert(SEGMENT % 4 == 0, "four samples never lie across the ring's end");

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
    decision_note_release(&decision->loudest, decision->present_until, fed);
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

/* The newest samples come to look[]. */
static void look_make(struct decision *decision, const struct decision_past *past)
{
    for (size_t i = 0; i < DECISION_LOOK; i += 4) {
        vec4 x = decision_past4(past, past->fed - DECISION_LOOK + i);
        memcpy(&decision->look[i], &x, sizeof(x));
    }
}

/* Energy of a segment of the ring. */
static float segment_energy(const struct decision_past *past, size_t back)
{
    vec4 sum = {0};
    for (size_t i = 0; i < SEGMENT; i += 4) {
        vec4 x = decision_past4(past, past->fed - back + i);
        sum += x * x;
    }
    return sum4(sum);
}

/* Cheap and necessary for is_even(): a key of ON_MIN samples is in every segment, as far as none of it is lost. There
 * a segment has at least (1.35 / 2)^2 of the model's energy, the model 0.28 of all, and a pair at its worst beat 0.71
 * of its mean in a segment: 0.09 together. */
static bool is_everywhere(const struct decision_past *past)
{
    float whole = 0;
    float least = INFINITY;
    /* The newest and the oldest first: where one of them says no, a tone has just begun or ended. */
    for (int i = 0; i < ON_MIN / SEGMENT; i++) {
        int back = i == 0 ? 1 : ON_MIN / SEGMENT + 1 - i;
        if (past->fed < past->gap_until + (uint64_t)back * SEGMENT)
            continue;
        float energy = segment_energy(past, (size_t)back * SEGMENT);
        whole += energy;
        least = energy < least ? energy : least;
        if (least * (ON_MIN / SEGMENT) < EVERYWHERE_MIN * whole)
            return false;
    }
    return true;
}

/* Where the tone began, where it ended, and for how long it was heard. */
struct extent {
    int onset, end; /* indices in look */
    int heard;      /* samples */
};

static int index_of(const struct decision_past *past, uint64_t at)
{
    return at + DECISION_LOOK > past->fed ? DECISION_LOOK - (int)(past->fed - at) : 0;
}

/* A gap that is short speaks neither for the tone nor against it: what was there before it counts, if there it was a tone
 * too and no chance. */
static void extent_make(const float *look, struct decision_gain *gain, const struct decision_past *past,
                        uint64_t not_before, struct extent *extent)
{
    int gap_from = index_of(past, past->gap_from);
    int gap_until = index_of(past, past->gap_until);
    bool is_bridged = gap_from > 0 && gap_until - gap_from <= BRIDGE_MAX;
    int earliest = index_of(past, not_before);
    for (int i = gap_from; is_bridged && i < gap_until; i++)
        gain->gained[i] = gain->own[i] = 0;
    if (!is_bridged && earliest < gap_until)
        earliest = gap_until;
    decision_gain_edges(gain, earliest, &extent->onset, &extent->end);
    if (is_bridged && extent->onset < gap_until) {
        float gained = 0, own = 0, energy = 0;
        for (int i = extent->onset; i < gap_from; i++) {
            gained += gain->gained[i];
            own += gain->own[i];
            energy += look[i] * look[i];
        }
        if (gained < BRIDGE_SHARE * own || gained < BRIDGE_SHARE * energy)
            extent->onset = gap_until;
    }
    extent->heard = DECISION_LOOK - extent->onset;
    if (is_bridged && extent->onset < gap_from)
        extent->heard -= gap_until - gap_from;
}

static void look_for_key(struct decision *decision, const struct decision_past *past, struct dtmf_edge *edges,
                         size_t *edge_count)
{
    struct decision_model model;
    struct decision_gain gain;
    struct extent extent;
    uint64_t fed = past->fed;
    if (fed < ON_MIN || fed < past->gap_until + DECISION_FIT || fed < decision->look_at ||
        !is_everywhere(past))
        return;
    look_make(decision, past);
    if (!decision_model_fit(decision->look, &model) || !is_key_like(&model))
        return;
    decision_gain_make(decision->look, &model, &gain);
    extent_make(decision->look, &gain, past, decision->not_before, &extent);
    /* A tone that fills what the model is fitted to has begun where it seems to, or nearly. */
    if (extent.heard < ON_MIN && extent.heard >= DECISION_FIT)
        decision->look_at =
            fed + (uint64_t)ON_MIN - (uint64_t)(extent.heard + onset_slack(decision->look, &gain));
    if (extent.heard < ON_MIN || extent.end < DECISION_LOOK - END_SLACK || !is_even(decision->look, &gain))
        return;
    uint64_t onset = fed - (uint64_t)(DECISION_LOOK - extent.onset);
    if (decision->is_down)
        key_up(decision, fed, edges, edge_count);
    if (decision_is_echo(&decision->loudest, &model, onset)) {
        decision_note_echo(&decision->loudest, onset, fed);
        return;
    }
    key_down(decision, &model, onset, fed, edges, edge_count);
    decision_note_press(decision, onset);
}

void decision_tick(struct decision *decision, const struct decision_past *past, struct dtmf_edge *edges,
                   size_t *edge_count)
{
    if (decision->is_down && decision_follow(decision, past))
        key_up(decision, past->fed, edges, edge_count);
    bool is_lost = decision->is_down && past->fed - decision->present_until > DECISION_LOST;
    if ((!decision->is_down || is_lost) && is_candidate(decision, past->fed))
        look_for_key(decision, past, edges, edge_count);
}
