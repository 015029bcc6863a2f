/* What is heard as a key and what is not: ITU-T Q.24 and the figures that the house promises. */
#include "dsp/dtmf_detector.h"

#include "dsp/dtmf_detector_priv.h"
#include "dsp/suspicion_priv.h"
#include "dsp/tests/cmocka_all.h"
#include "testvectors/masked_run.h"
#include "testvectors/speech.h"
#include "testvectors/suspicion_run.h"
#include "testvectors/tone_source.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct masked_run_result run(struct masked_run_options options)
{
    struct masked_run_result result;
    assert_int_equal(masked_run(&options, &result), OK);
    return result;
}

static void every_press_of_the_region_is_heard_once(void **state)
{
    (void)state;
    struct masked_run_options options = masked_run_defaults();
    options.presses = 1500;
    struct masked_run_result result = run(options);
    assert_int_equal(result.heard, result.presses);
    assert_int_equal(result.wrong + result.extra, 0);
    assert_true(masked_run_latency(&result, 0.5) <= 25.0f);
    assert_true(masked_run_latency(&result, 0.99) <= 27.0f);
    assert_true(masked_run_latency(&result, 0) >= 22.0f);
    masked_run_free(&result);
}

static void reverse_twist_of_8_db_is_heard(void **state)
{
    (void)state;
    struct masked_run_options options = masked_run_defaults();
    options.presses = 500;
    options.twist_min_db = options.twist_max_db = -8;
    struct masked_run_result result = run(options);
    assert_int_equal(result.heard, result.presses);
    masked_run_free(&result);
}

static void noise_at_10_db_does_not_deafen(void **state)
{
    (void)state;
    struct masked_run_options options = masked_run_defaults();
    options.presses = 500;
    options.snr_min_db = options.snr_max_db = 10;
    options.tone_min_ms = options.tone_max_ms = 50;
    struct masked_run_result result = run(options);
    assert_true(result.heard * 1000 >= result.presses * 995);
    assert_int_equal(result.wrong + result.extra, 0);
    masked_run_free(&result);
}

static size_t reports_of_length(unsigned tone_ms)
{
    struct masked_run_options options = masked_run_defaults();
    options.presses = 400;
    options.tone_min_ms = options.tone_max_ms = tone_ms;
    struct masked_run_result result = run(options);
    size_t reports = result.heard + result.wrong + result.extra;
    masked_run_free(&result);
    return reports;
}

static void tones_of_23_ms_are_refused_and_of_28_accepted(void **state)
{
    (void)state;
    assert_int_equal(reports_of_length(20), 0);
    assert_int_equal(reports_of_length(22), 0);
    assert_int_equal(reports_of_length(23), 0);
    assert_int_equal(reports_of_length(28), 400);
}

static size_t reports_when_detuned(double low, double high)
{
    size_t reports = 0;
    struct dtmf_detector *detector = aligned_alloc(DTMF_DETECTOR_ALIGN, dtmf_detector_size());
    assert_non_null(detector);
    dtmf_detector_init(detector, 0);
    for (uint8_t key = 0; key < DTMF_KEYS; key++) {
        float sum[1600] = {0};
        int16_t pcm[1600];
        struct tone_press press = {.key = key,
                                   .level_low_dbm0 = -10,
                                   .level_high_dbm0 = -10,
                                   .detune_low = (float)low,
                                   .detune_high = (float)high};
        tone_source_press(sum, 200, 480, &press);
        tone_source_finish(sum, pcm, 1600, TONE_LINE_ULAW);
        for (size_t at = 0; at < 1600; at += 160) {
            struct dtmf_heard heard;
            assert_int_equal(dtmf_detector_feed(detector, pcm + at, 160, &heard), OK);
            for (size_t i = 0; i < heard.edge_count; i++)
                reports += heard.edges[i].kind == DTMF_EDGE_ON;
        }
    }
    dtmf_detector_wipe(detector);
    free(detector);
    return reports;
}

static void tones_off_by_1_8_percent_are_heard_and_by_3_are_not(void **state)
{
    (void)state;
    for (int sign = -1; sign <= 1; sign += 2) {
        assert_int_equal(reports_when_detuned(sign * 0.018, sign * 0.018), 16);
        assert_int_equal(reports_when_detuned(sign * 0.018, -sign * 0.018), 16);
        assert_int_equal(reports_when_detuned(sign * 0.030, 0), 0);
        assert_int_equal(reports_when_detuned(0, sign * 0.030), 0);
        assert_int_equal(reports_when_detuned(sign * 0.035, sign * 0.035), 0);
    }
}

/* A key of 60 ms, and from 20 ms after its end the same or another one for 60 ms, weaker by so much. */
static size_t reports_after(double weaker_db, bool is_other_key, unsigned pause_samples)
{
    size_t reports = 0;
    struct dtmf_detector *detector = aligned_alloc(DTMF_DETECTOR_ALIGN, dtmf_detector_size());
    assert_non_null(detector);
    for (uint8_t key = 0; key < DTMF_KEYS; key++) {
        float sum[4800] = {0};
        int16_t pcm[4800];
        struct tone_press press = {.key = key, .level_low_dbm0 = -8, .level_high_dbm0 = -7};
        dtmf_detector_init(detector, 160);
        tone_source_press(sum, 200, 480, &press);
        press.level_low_dbm0 -= (float)weaker_db;
        press.level_high_dbm0 -= (float)weaker_db;
        press.key = is_other_key ? (uint8_t)((key + 5) % DTMF_KEYS) : key;
        tone_source_press(sum, 680 + pause_samples, 480, &press);
        tone_source_finish(sum, pcm, 4800, TONE_LINE_ULAW);
        for (size_t at = 0; at < 4800; at += 160) {
            struct dtmf_heard heard;
            assert_int_equal(dtmf_detector_feed(detector, pcm + at, 160, &heard), OK);
            for (size_t i = 0; i < heard.edge_count; i++)
                reports += heard.edges[i].kind == DTMF_EDGE_ON;
        }
    }
    dtmf_detector_wipe(detector);
    free(detector);
    return reports;
}

static void an_echo_is_no_second_press_and_hides_none(void **state)
{
    (void)state;
    assert_int_equal(reports_after(20, false, 160), 16); /* an echo */
    assert_int_equal(reports_after(19, false, 1600), 16);
    assert_int_equal(reports_after(15, false, 160), 32);  /* pressed again, and not as loud */
    assert_int_equal(reports_after(20, true, 160), 32);   /* another key is never an echo */
    assert_int_equal(reports_after(20, false, 2400), 32); /* 300 ms later it is a press */
}

/* A key of so many samples with echoes 60 and 130 ms late, 20 and 26 dB below it, that overlap; after a pause, if there is one, it
 * or another is pressed once more. */
static size_t reports_with_echoes(size_t length, size_t pause, bool is_other_key)
{
    static const size_t late[3] = {0, 480, 1040};
    static const float weaker_db[3] = {0, 20, 26};
    size_t reports = 0;
    struct dtmf_detector *detector = aligned_alloc(DTMF_DETECTOR_ALIGN, dtmf_detector_size());
    assert_non_null(detector);
    for (uint8_t key = 0; key < DTMF_KEYS; key++) {
        float sum[6400] = {0};
        int16_t pcm[6400];
        dtmf_detector_init(detector, 160);
        for (size_t echo = 0; echo < 3; echo++) {
            struct tone_press press = {.key = key,
                                       .level_low_dbm0 = -8 - weaker_db[echo],
                                       .level_high_dbm0 = -7 - weaker_db[echo],
                                       .phase_low = 0.7f * (float)(echo * key),
                                       .phase_high = 1.1f * (float)(echo * key)};
            tone_source_press(sum, 200 + late[echo], length, &press);
            press.key = is_other_key ? (uint8_t)((key + 5) % DTMF_KEYS) : key;
            if (pause)
                tone_source_press(sum, 200 + late[echo] + length + pause, 480, &press);
        }
        tone_source_finish(sum, pcm, 6400, TONE_LINE_ULAW);
        for (size_t at = 0; at < 6400; at += 160) {
            struct dtmf_heard heard;
            assert_int_equal(dtmf_detector_feed(detector, pcm + at, 160, &heard), OK);
            for (size_t i = 0; i < heard.edge_count; i++)
                reports += heard.edges[i].kind == DTMF_EDGE_ON;
        }
    }
    dtmf_detector_wipe(detector);
    free(detector);
    return reports;
}

static void echoes_on_top_of_each_other_are_no_press(void **state)
{
    (void)state;
    for (size_t length = 480; length <= 1280; length += 40)
        assert_int_equal(reports_with_echoes(length, 0, false), 16);
    for (size_t length = 480; length <= 800; length += 160) {
        assert_int_equal(reports_with_echoes(length, 160, false), 32);
        assert_int_equal(reports_with_echoes(length, 160, true), 32);
        assert_int_equal(reports_with_echoes(length, 800, false), 32);
    }
}

/* A voice between two presses of one key that has both tones in it, louder than they need to be for the key to be held: it
 * is not the key, which explains but a tenth of it. */
static void a_loud_voice_between_does_not_join_two_presses(void **state)
{
    (void)state;
    size_t reports = 0;
    float sum[2400] = {0};
    int16_t pcm[2400];
    struct tone_press press = {.key = 7, .level_low_dbm0 = -23, .level_high_dbm0 = -16};
    struct tone_press voice = {.key = 7, .level_low_dbm0 = -27, .level_high_dbm0 = -20};
    struct dtmf_detector *detector = aligned_alloc(DTMF_DETECTOR_ALIGN, dtmf_detector_size());
    assert_non_null(detector);
    dtmf_detector_init(detector, 160);
    tone_source_press(sum, 200, 560, &press);
    tone_source_press(sum, 760, 560, &voice);
    for (int i = 760; i < 1320; i++)
        sum[i] += 4000 * sinf((float)i * 0.314f) + 4000 * sinf((float)i * 0.471f);
    tone_source_press(sum, 1320, 560, &press);
    tone_source_finish(sum, pcm, 2400, TONE_LINE_ULAW);
    for (size_t at = 0; at < 2400; at += 160) {
        struct dtmf_heard heard;
        assert_int_equal(dtmf_detector_feed(detector, pcm + at, 160, &heard), OK);
        for (size_t i = 0; i < heard.edge_count; i++)
            reports += heard.edges[i].kind == DTMF_EDGE_ON && heard.edges[i].key == 7;
    }
    assert_int_equal(reports, 2);
    dtmf_detector_wipe(detector);
    free(detector);
}

/* Two bursts of the same key with a pause between them; returns how often it is reported. */
static size_t reports_of_two(unsigned first_ms, unsigned pause_ms, unsigned second_ms, uint64_t seed)
{
    struct tone_random random;
    tone_random_seed(&random, seed);
    size_t count = 800 + (first_ms + pause_ms + second_ms) * 8 + 800;
    float *sum = calloc(count, sizeof(*sum));
    int16_t *pcm = calloc(count, sizeof(*pcm));
    struct dtmf_detector *detector = aligned_alloc(DTMF_DETECTOR_ALIGN, dtmf_detector_size());
    assert_true(sum && pcm && detector);
    dtmf_detector_init(detector, 0);
    struct tone_press press = tone_source_random_press(&random, -12, (float)(seed % 13) - 6, 0.015f);
    size_t from = 400 + tone_random_below(&random, 64);
    tone_source_press(sum, from, first_ms * 8, &press);
    tone_source_press(sum, from + (first_ms + pause_ms) * 8, second_ms * 8, &press);
    tone_source_noise(&random, sum, count, -35);
    tone_source_finish(sum, pcm, count, TONE_LINE_ALAW);
    size_t reports = 0;
    for (size_t at = 0; at + 80 <= count; at += 80) {
        struct dtmf_heard heard;
        assert_int_equal(dtmf_detector_feed(detector, pcm + at, 80, &heard), OK);
        for (size_t i = 0; i < heard.edge_count; i++)
            reports += heard.edges[i].kind == DTMF_EDGE_ON;
    }
    free(detector);
    free(pcm);
    free(sum);
    return reports;
}

static void an_interruption_of_10_ms_does_not_split_a_key(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++)
        assert_int_equal(reports_of_two(45, 10, 45, seed), 1);
}

static void a_pause_of_20_ms_makes_two_keys_of_one(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++)
        assert_int_equal(reports_of_two(40, 20, 40, seed), 2);
}

static bool is_same_edge(const struct dtmf_edge *a, const struct dtmf_edge *b)
{
    return a->kind == b->kind && a->key == b->key && a->onset_sample == b->onset_sample &&
           a->reported_sample == b->reported_sample && a->level_low_dbm0 == b->level_low_dbm0 &&
           a->level_high_dbm0 == b->level_high_dbm0 && a->twist_db == b->twist_db;
}

struct log {
    struct dtmf_edge edges[400];
    size_t count;
    uint64_t suspicions[20000];
    size_t suspicion_count;
};

static void log_take(struct log *log, const struct dtmf_heard *heard)
{
    for (size_t i = 0; i < heard->edge_count; i++)
        log->edges[log->count++] = heard->edges[i];
    for (size_t i = 0; i < heard->suspicion_count; i++)
        log->suspicions[log->suspicion_count++] = heard->suspicions[i];
}

/* A gap of any pieces from LOST on, of LOST_LONG samples. */
#define LOST      80003
#define LOST_LONG 500

static void feed_in_pieces(const int16_t *pcm, size_t count, size_t piece, uint64_t seed, struct log *log)
{
    struct tone_random random;
    tone_random_seed(&random, seed);
    struct dtmf_detector *detector = aligned_alloc(DTMF_DETECTOR_ALIGN, dtmf_detector_size());
    assert_non_null(detector);
    dtmf_detector_init(detector, 160);
    memset(log, 0, sizeof(*log));
    for (size_t at = 0; at < count;) {
        size_t take = piece ? piece : 1 + tone_random_below(&random, DTMF_FRAME_MAX);
        bool is_lost = at >= LOST && at < LOST + LOST_LONG;
        size_t end = at < LOST ? LOST : is_lost ? LOST + LOST_LONG : count;
        take = is_lost ? 250 : take < end - at ? take : end - at;
        struct dtmf_heard heard;
        assert_int_equal(is_lost ? dtmf_detector_gap(detector, take, &heard)
                                 : dtmf_detector_feed(detector, pcm + at, take, &heard),
                         OK);
        log_take(log, &heard);
        at += take;
    }
    free(detector);
}

static void the_answers_do_not_depend_on_the_framing(void **state)
{
    (void)state;
    static float sum[160000];
    static int16_t pcm[160000];
    struct tone_random random;
    tone_random_seed(&random, 77);
    /* With pauses, one after the other without, and held for long. */
    for (size_t at = 500; at + 3000 < 160000;) {
        struct tone_press press = tone_source_random_press(&random, -10, 3, 0.015f);
        size_t length = 320 + tone_random_below(&random, tone_random_below(&random, 4) ? 200 : 1600);
        tone_source_press(sum, at, length, &press);
        at += length + (tone_random_below(&random, 4) ? 300 + tone_random_below(&random, 600) : 0);
    }
    tone_source_noise(&random, sum, 160000, -38);
    tone_source_finish(sum, pcm, 160000, TONE_LINE_ULAW);
    static struct log reference;
    static struct log other;
    feed_in_pieces(pcm, 160000, 160, 0, &reference);
    assert_true(reference.count > 200);
    static const size_t pieces[] = {1, 7, 8, 15, 16, 17, 80, 240, 479, 480, 0};
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        feed_in_pieces(pcm, 160000, pieces[i], i, &other);
        assert_int_equal(other.count, reference.count);
        for (size_t k = 0; k < reference.count; k++)
            assert_true(is_same_edge(&other.edges[k], &reference.edges[k]));
        assert_int_equal(other.suspicion_count, reference.suspicion_count);
        assert_memory_equal(other.suspicions, reference.suspicions,
                            reference.suspicion_count * sizeof(*reference.suspicions));
    }
}

#define HELD      2000
#define HELD_LONG 160000

/* Speech with keys over it, some held for long, some one after the other. */
static void make_held_scene(int16_t pcm[HELD_LONG])
{
    static float sum[HELD_LONG];
    struct tone_random random;
    struct speech speech;
    tone_random_seed(&random, 91);
    assert_int_equal(speech_synthesize(&speech, 9, HELD_LONG / DTMF_SAMPLE_RATE), OK);
    for (size_t i = 0; i < HELD_LONG; i++)
        sum[i] = 0.1f * speech.samples[i];
    speech_free(&speech);
    for (size_t at = 1500; at + 5000 < HELD_LONG;) {
        struct tone_press press = tone_source_random_press(&random, -12, 5, 0.015f);
        size_t length = 90 + tone_random_below(&random, tone_random_below(&random, 2) ? 100 : 1500);
        tone_source_press(sum, at, length, &press);
        at += length + (tone_random_below(&random, 3) ? tone_random_below(&random, 1200) : 0);
    }
    tone_source_finish(sum, pcm, HELD_LONG, TONE_LINE_ULAW);
}

/* What a look at every block that the screen lets be asked of would mask. */
struct asked_always {
    struct suspicion suspicion;
    unsigned lookahead; /* samples */
    unsigned stands;
    const int16_t *pcm;
    bool is_masked[HELD_LONG];
};

/* What a suspicion masks, of a delay line as long as the look-ahead. */
static void mark(const struct asked_always *always, bool is_masked[HELD_LONG], uint64_t at)
{
    uint64_t first = at < always->lookahead ? 0 : at - always->lookahead;
    for (uint64_t i = first; i < at + always->stands && i < HELD_LONG; i++)
        is_masked[i] = true;
}

/* At 20 ms: was the last window of 8 ms that begins at a multiple of them full of a key, and ended it 2 or 6 ms ago? At less:
 * is the block's own one? */
static bool is_screened(const struct asked_always *always, size_t block)
{
    size_t windows = (block + 1) / SUSPICION_WINDOW;
    if (always->lookahead < 144)
        return screen_blocks(screen_choose(0), always->pcm + block * TONE_BANK_BLOCK, 1);
    return windows && (block + 1) % 2 && grid_windows(grid_choose(0), always->pcm, 4096, windows - 1, 1);
}

static bool is_lost(size_t at)
{
    return at / 160 % 7 == 6;
}

static bool look_always(void *owner, const struct suspicion_stretch *stretch, size_t i, size_t block)
{
    struct asked_always *always = owner;
    bool is_whole = block >= SUSPICION_WINDOW - 1;
    for (size_t k = 0; is_whole && k < SUSPICION_WINDOW; k++)
        is_whole = !is_lost((block - k) * TONE_BANK_BLOCK);
    if (is_whole && is_screened(always, block) && suspicion_looks(&always->suspicion, stretch, i))
        mark(always, always->is_masked, (block + 1) * TONE_BANK_BLOCK);
    return true;
}

/* Many looks are spared; what is masked is what a look at every block would mask, and the rest of held keys. */
static void check_spared_looks(unsigned lookahead, unsigned stands, enum suspicion_haste haste)
{
    static int16_t pcm[HELD_LONG];
    static bool asked[HELD_LONG];
    static struct asked_always always;
    size_t more = 0, masked = 0;
    struct dtmf_detector *detector = aligned_alloc(DTMF_DETECTOR_ALIGN, dtmf_detector_size());
    assert_non_null(detector);
    make_held_scene(pcm);
    memset(asked, 0, sizeof(asked));
    memset(&always, 0, sizeof(always));
    always.lookahead = lookahead;
    always.stands = stands;
    always.pcm = pcm;
    dtmf_detector_init(detector, lookahead);
    assert_int_equal(dtmf_detector_stands(detector), stands);
    for (size_t at = 0; at < HELD_LONG; at += 160) {
        struct dtmf_heard heard;
        if (is_lost(at))
            memset(pcm + at, 0, 160 * sizeof(*pcm));
        assert_int_equal(is_lost(at) ? dtmf_detector_gap(detector, 160, &heard)
                                     : dtmf_detector_feed(detector, pcm + at, 160, &heard),
                         OK);
        for (size_t i = 0; i < heard.suspicion_count; i++)
            mark(&always, asked, heard.suspicions[i]);
        /* What is told late must be told while it is masked. */
        for (size_t i = 0; i < heard.suspicion_count; i++)
            assert_true(heard.suspicions[i] + stands >= at);
    }
    suspicion_init(&always.suspicion, haste, 0);
    assert_true(suspicion_run(&always.suspicion, pcm, HELD_LONG / TONE_BANK_BLOCK, look_always, &always));
    for (size_t i = 0; i < HELD_LONG - stands; i++) {
        assert_true(asked[i] || !always.is_masked[i]);
        more += asked[i] && !always.is_masked[i];
        masked += asked[i];
    }
    print_message("masked %zu of %d, %zu more than a look at every block would\n", masked, HELD_LONG, more);
    assert_true(masked > HELD_LONG / 3 && masked < HELD_LONG * 19 / 20);
    assert_true(more < masked / 20);
    free(detector);
}

static void what_is_not_looked_at_is_masked_all_the_same(void **state)
{
    (void)state;
    check_spared_looks(160, 96, SUSPICION_IN_18_MS);
    check_spared_looks(80, 32, SUSPICION_IN_9_MS);
}

static struct {
    const struct suspicion_face *face;
    size_t looks;
} counted;

static void count_look(const struct suspicion_stretch *stretch, size_t k, const struct suspicion_gate *gate,
                       struct suspicion_view *view)
{
    counted.looks++;
    counted.face->look(stretch, k, gate, view);
}

/* A key of 250 ms has 125 blocks, of which each passes the gate. */
static void a_held_key_is_not_looked_for(void **state)
{
    (void)state;
    float sum[4000] = {0};
    int16_t pcm[4000];
    size_t suspicions = 0;
    struct tone_press press = {.key = 5, .level_low_dbm0 = -10, .level_high_dbm0 = -8};
    struct dtmf_detector *detector = aligned_alloc(DTMF_DETECTOR_ALIGN, dtmf_detector_size());
    assert_non_null(detector);
    tone_source_press(sum, 500, HELD, &press);
    tone_source_finish(sum, pcm, 4000, TONE_LINE_ULAW);
    dtmf_detector_init(detector, 160);
    counted.face = detector->suspicion.face;
    counted.looks = 0;
    struct suspicion_face counting = *counted.face;
    counting.look = count_look;
    detector->suspicion.face = &counting;
    for (size_t at = 0; at < 4000; at += 160) {
        struct dtmf_heard heard;
        assert_int_equal(dtmf_detector_feed(detector, pcm + at, 160, &heard), OK);
        suspicions += heard.suspicion_count;
    }
    free(detector);
    assert_true(suspicions >= HELD / 16 - 8 && suspicions <= HELD / 16 + 8);
    assert_true(counted.looks > 0 && counted.looks <= 12);
}

/* However long it was held: the end is told to 2.5 ms. */
static void the_end_of_a_key_is_when_it_ended(void **state)
{
    (void)state;
    struct dtmf_detector *detector = aligned_alloc(DTMF_DETECTOR_ALIGN, dtmf_detector_size());
    assert_non_null(detector);
    for (size_t length = 400; length < 500; length++) {
        float sum[1600] = {0};
        int16_t pcm[1600];
        size_t ends = 0;
        struct tone_press press = {.key = length % DTMF_KEYS, .level_low_dbm0 = -10, .level_high_dbm0 = -8};
        tone_source_press(sum, 400, length, &press);
        tone_source_finish(sum, pcm, 1600, TONE_LINE_ULAW);
        dtmf_detector_init(detector, 160);
        for (size_t at = 0; at < 1600; at += 160) {
            struct dtmf_heard heard;
            assert_int_equal(dtmf_detector_feed(detector, pcm + at, 160, &heard), OK);
            for (size_t i = 0; i < heard.edge_count; i++) {
                int64_t late = (int64_t)heard.edges[i].onset_sample - (int64_t)(400 + length);
                if (heard.edges[i].kind != DTMF_EDGE_OFF)
                    continue;
                ends++;
                assert_true(late >= -20 && late <= 8);
            }
        }
        assert_int_equal(ends, 1);
    }
    free(detector);
}

static void a_lost_packet_does_not_split_a_key(void **state)
{
    (void)state;
    float sum[3200] = {0};
    int16_t pcm[3200];
    struct tone_press press = {.key = 5, .level_low_dbm0 = -10, .level_high_dbm0 = -8};
    tone_source_press(sum, 300, 1200, &press);
    tone_source_finish(sum, pcm, 3200, TONE_LINE_ULAW);
    struct dtmf_detector *detector = aligned_alloc(DTMF_DETECTOR_ALIGN, dtmf_detector_size());
    assert_non_null(detector);
    dtmf_detector_init(detector, 160);
    size_t on = 0;
    size_t off = 0;
    for (size_t at = 0; at < 3200; at += 160) {
        struct dtmf_heard heard;
        bool is_lost = at == 640 || at == 800 || at == 1120;
        assert_int_equal(is_lost ? dtmf_detector_gap(detector, 160, &heard)
                                 : dtmf_detector_feed(detector, pcm + at, 160, &heard),
                         OK);
        for (size_t i = 0; i < heard.edge_count; i++) {
            on += heard.edges[i].kind == DTMF_EDGE_ON;
            off += heard.edges[i].kind == DTMF_EDGE_OFF;
        }
    }
    free(detector);
    assert_int_equal(on, 1);
    assert_int_equal(off, 1);
}

/* Three packets of 20 ms, of which the middle one is lost, with a key in the first and one in the third; -1: none. Presses
 * reported. */
static size_t presses_around_a_lost_packet(int first_key, int third_key)
{
    float sum[1600] = {0};
    int16_t pcm[1600];
    size_t on = 0;
    struct tone_press press = {.level_low_dbm0 = -10, .level_high_dbm0 = -8};
    for (int i = 0; i < 2; i++) {
        int key = i ? third_key : first_key;
        press.key = (uint8_t)key;
        if (key >= 0)
            tone_source_press(sum, i ? 960 : 640, i || key != third_key ? 160 : 480, &press);
        if (key == third_key)
            break;
    }
    tone_source_finish(sum, pcm, 1600, TONE_LINE_ULAW);
    struct dtmf_detector *detector = aligned_alloc(DTMF_DETECTOR_ALIGN, dtmf_detector_size());
    assert_non_null(detector);
    dtmf_detector_init(detector, 160);
    for (size_t at = 0; at < 1600; at += 160) {
        struct dtmf_heard heard;
        assert_int_equal(at == 800 ? dtmf_detector_gap(detector, 160, &heard)
                                   : dtmf_detector_feed(detector, pcm + at, 160, &heard),
                         OK);
        for (size_t i = 0; i < heard.edge_count; i++)
            on += heard.edges[i].kind == DTMF_EDGE_ON;
    }
    free(detector);
    return on;
}

/* 20 ms are no key, twice 20 ms of one tone are, whatever was between; of two tones they are none. */
static void a_key_is_heard_across_a_lost_packet(void **state)
{
    (void)state;
    for (int key = 0; key < DTMF_KEYS; key++) {
        assert_int_equal(presses_around_a_lost_packet(key, key), 1);
        assert_int_equal(presses_around_a_lost_packet(key, -1), 0);
        assert_int_equal(presses_around_a_lost_packet(-1, key), 0);
        assert_int_equal(presses_around_a_lost_packet((key + 1) % DTMF_KEYS, key), 0);
    }
}

static void speech_is_not_a_key(void **state)
{
    (void)state;
    struct speech speech;
    bool is_recorded = speech_load(&speech, SPEECH_PROMPTS, 2, 300) == OK;
    if (!is_recorded)
        assert_int_equal(speech_synthesize(&speech, 5, 300), OK);
    print_message("talk-off on %.0f s of %s speech\n", (double)speech.count / DTMF_SAMPLE_RATE,
                  is_recorded ? "recorded" : "synthetic (no recordings on this machine)");
    struct dtmf_detector *detector = aligned_alloc(DTMF_DETECTOR_ALIGN, dtmf_detector_size());
    assert_non_null(detector);
    dtmf_detector_init(detector, 0);
    size_t reports = 0;
    for (size_t at = 0; at + 160 <= speech.count; at += 160) {
        struct dtmf_heard heard;
        assert_int_equal(dtmf_detector_feed(detector, speech.samples + at, 160, &heard), OK);
        reports += heard.edge_count;
    }
    free(detector);
    speech_free(&speech);
    assert_int_equal(reports, 0);
}

static void counts_outside_1_to_480_are_refused(void **state)
{
    (void)state;
    int16_t pcm[481] = {0};
    struct dtmf_heard heard;
    struct dtmf_detector *detector = aligned_alloc(DTMF_DETECTOR_ALIGN, dtmf_detector_size());
    assert_non_null(detector);
    dtmf_detector_init(detector, 0);
    assert_int_equal(dtmf_detector_feed(detector, pcm, 0, &heard), ERR_RANGE);
    assert_int_equal(dtmf_detector_feed(detector, pcm, 481, &heard), ERR_RANGE);
    assert_int_equal(dtmf_detector_gap(detector, 0, &heard), ERR_RANGE);
    assert_int_equal(dtmf_detector_gap(detector, 481, &heard), ERR_RANGE);
    free(detector);
}

static void letters_and_places_go_both_ways(void **state)
{
    (void)state;
    for (uint8_t key = 0; key < DTMF_KEYS; key++) {
        uint8_t place = dtmf_key_place(key);
        assert_int_equal(dtmf_key_at(place / 4u, place % 4u), key);
        assert_int_equal(dtmf_key_of_letter(dtmf_key_letter(key)), key);
    }
    assert_int_equal(dtmf_key_at(0, 0), 1);
    assert_int_equal(dtmf_key_at(3, 1), 0);
    assert_int_equal(dtmf_key_letter(16), '?');
    assert_int_equal(dtmf_key_of_letter('x'), -1);
    assert_int_equal(dtmf_key_of_letter(0), -1);
}

#define BATCH      21 /* channels, some of which have keys */
#define BATCH_LONG 16000

struct batch_heard {
    struct dtmf_heard each[BATCH];
    size_t next;
};

static void take_heard(void *owner, size_t frame, const struct dtmf_heard *heard)
{
    struct batch_heard *all = owner;
    assert_int_equal(frame, all->next++);
    all->each[frame] = *heard;
}

static bool is_same_heard(const struct dtmf_heard *a, const struct dtmf_heard *b)
{
    bool is_same = a->edge_count == b->edge_count && a->suspicion_count == b->suspicion_count;
    for (size_t i = 0; i < a->edge_count && is_same; i++)
        is_same = a->edges[i].kind == b->edges[i].kind && a->edges[i].key == b->edges[i].key &&
                  a->edges[i].onset_sample == b->edges[i].onset_sample;
    return is_same;
}

/* Frames of any lengths, and faces of any kind: each channel hears what it hears alone, in plain C and block by block. */
static void batches_hear_what_each_channel_hears(void **state)
{
    (void)state;
    static int16_t line[BATCH_LONG];
    static float sum[BATCH_LONG];
    struct tone_random random;
    struct dtmf_detector *alone[BATCH], *together[BATCH];
    size_t at[BATCH];
    size_t edges = 0;
    tone_random_seed(&random, 71);
    for (size_t i = 500; i + 1000 < BATCH_LONG; i += 900) {
        struct tone_press press = tone_source_random_press(&random, -10, 6, 0.02f);
        tone_source_press(sum, i, 400, &press);
    }
    tone_source_noise(&random, sum, BATCH_LONG, -35);
    tone_source_finish(sum, line, BATCH_LONG, TONE_LINE_ULAW);
    char *was = getenv("TONEGATE_CPU");
    was = was ? strdup(was) : NULL;
    size_t bytes =
        (dtmf_detector_size() + DTMF_DETECTOR_ALIGN - 1) / DTMF_DETECTOR_ALIGN * DTMF_DETECTOR_ALIGN;
    for (size_t c = 0; c < BATCH; c++) {
        alone[c] = aligned_alloc(DTMF_DETECTOR_ALIGN, bytes);
        together[c] = aligned_alloc(DTMF_DETECTOR_ALIGN, bytes);
        assert_true(alone[c] && together[c]);
        at[c] = c * 37;
        dtmf_detector_init(together[c], 160);
    }
    setenv("TONEGATE_CPU", "c", 1);
    for (size_t c = 0; c < BATCH; c++)
        dtmf_detector_init(alone[c], 160);
    for (int tick = 0; tick < 60; tick++) {
        struct dtmf_frame frames[BATCH];
        struct batch_heard all = {.next = 0};
        for (size_t c = 0; c < BATCH; c++)
            frames[c] = (struct dtmf_frame){together[c], line + at[c],
                                            1 + tone_random_below(&random, tick % 2 ? 480 : 160)};
        dtmf_detector_feed_batch(frames, BATCH, take_heard, &all);
        assert_int_equal(all.next, BATCH);
        for (size_t c = 0; c < BATCH; c++) {
            struct dtmf_heard heard;
            assert_int_equal(dtmf_detector_feed(alone[c], line + at[c], frames[c].count, &heard), OK);
            assert_true(is_same_heard(&all.each[c], &heard));
            edges += heard.edge_count;
            at[c] = (at[c] + frames[c].count) % (BATCH_LONG - 480);
        }
    }
    assert_true(edges > 100);
    if (was)
        setenv("TONEGATE_CPU", was, 1);
    else
        unsetenv("TONEGATE_CPU");
    free(was);
    for (size_t c = 0; c < BATCH; c++) {
        free(alone[c]);
        free(together[c]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_press_of_the_region_is_heard_once),
        cmocka_unit_test(batches_hear_what_each_channel_hears),
        cmocka_unit_test(reverse_twist_of_8_db_is_heard),
        cmocka_unit_test(noise_at_10_db_does_not_deafen),
        cmocka_unit_test(tones_of_23_ms_are_refused_and_of_28_accepted),
        cmocka_unit_test(an_echo_is_no_second_press_and_hides_none),
        cmocka_unit_test(echoes_on_top_of_each_other_are_no_press),
        cmocka_unit_test(a_loud_voice_between_does_not_join_two_presses),
        cmocka_unit_test(tones_off_by_1_8_percent_are_heard_and_by_3_are_not),
        cmocka_unit_test(an_interruption_of_10_ms_does_not_split_a_key),
        cmocka_unit_test(a_pause_of_20_ms_makes_two_keys_of_one),
        cmocka_unit_test(the_answers_do_not_depend_on_the_framing),
        cmocka_unit_test(what_is_not_looked_at_is_masked_all_the_same),
        cmocka_unit_test(a_held_key_is_not_looked_for),
        cmocka_unit_test(the_end_of_a_key_is_when_it_ended),
        cmocka_unit_test(a_lost_packet_does_not_split_a_key),
        cmocka_unit_test(a_key_is_heard_across_a_lost_packet),
        cmocka_unit_test(speech_is_not_a_key),
        cmocka_unit_test(counts_outside_1_to_480_are_refused),
        cmocka_unit_test(letters_and_places_go_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
