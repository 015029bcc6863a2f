#include "bench/corpus/bench.h"

#include "dsp/dtmf.h"
#include "testvectors/masked_run.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define CHUNK 2000 /* presses generated at once */

/* One cell: a name and what differs from the defaults. */
struct cell {
    const char *name;
    void (*shape)(struct masked_run_options *o);
    bool is_over_speech;
};

static void frames_of_1_ms(struct masked_run_options *o)
{
    o->frame_samples = 8; /* the look-ahead and nothing more: no help from packets */
}
static void look_ahead_10(struct masked_run_options *o)
{
    frames_of_1_ms(o);
    o->mask.lookahead_samples = 80;
}
static void look_ahead_10_packets(struct masked_run_options *o)
{
    o->mask.lookahead_samples = 80;
}
static void look_ahead_10_keying(struct masked_run_options *o)
{
    look_ahead_10(o);
    o->is_keying = true;
}
static void snr_10(struct masked_run_options *o)
{
    frames_of_1_ms(o);
    o->snr_min_db = 10;
}
static void wide(struct masked_run_options *o)
{
    frames_of_1_ms(o);
    o->detune_max = 0.02f;
    o->twist_min_db = -9;
    o->twist_max_db = 9;
    o->level_min_dbm0 = -25;
}
static void region(struct masked_run_options *o)
{
    o->twist_min_db = -4;
}
static void reverse_twist(struct masked_run_options *o)
{
    o->twist_min_db = o->twist_max_db = -8;
}
static void noisy(struct masked_run_options *o)
{
    o->snr_min_db = o->snr_max_db = 10;
    o->tone_min_ms = o->tone_max_ms = 50;
}
static void of_20_ms(struct masked_run_options *o)
{
    o->tone_min_ms = o->tone_max_ms = 20;
}
static void of_22_ms(struct masked_run_options *o)
{
    o->tone_min_ms = o->tone_max_ms = 22;
}
static void of_23_ms(struct masked_run_options *o)
{
    o->tone_min_ms = o->tone_max_ms = 23;
}
static void of_28_ms(struct masked_run_options *o)
{
    o->tone_min_ms = o->tone_max_ms = 28;
}
static void pauses_of_20_ms(struct masked_run_options *o)
{
    o->pause_min_ms = o->pause_max_ms = 20;
}
static void low_level(struct masked_run_options *o)
{
    o->level_min_dbm0 = -28;
    o->level_max_dbm0 = -25;
    o->twist_min_db = -4;
}
static void loud_voice(struct masked_run_options *o)
{
    frames_of_1_ms(o);
    o->speech_db = -10;
}
static void louder_voice(struct masked_run_options *o)
{
    frames_of_1_ms(o);
    o->speech_db = -5;
}
static void voice_as_loud(struct masked_run_options *o)
{
    frames_of_1_ms(o);
    o->speech_db = 0;
}
static void loud_voice_near(struct masked_run_options *o)
{
    look_ahead_10(o);
    o->speech_db = -10;
}
static void snr_10_near(struct masked_run_options *o)
{
    look_ahead_10(o);
    o->snr_min_db = 10;
}
static void lossy(struct masked_run_options *o)
{
    o->tone_min_ms = 60;
    o->tone_max_ms = 160;
    o->loss_share = 0.05f;
}
static void is_off(struct masked_run_options *o)
{
    o->mask.is_off = true;
}

static const struct cell cells[] = {
    {"region", region, false},
    {"reverse twist 8 dB", reverse_twist, false},
    {"SNR 10 dB, 50 ms", noisy, false},
    {"level -28..-25", low_level, false},
    {"tones of 20 ms", of_20_ms, false},
    {"tones of 22 ms", of_22_ms, false},
    {"tones of 23 ms", of_23_ms, false},
    {"tones of 28 ms", of_28_ms, false},
    {"pauses of 20 ms", pauses_of_20_ms, false},
    {"look-ahead 20, 1 ms frames", frames_of_1_ms, false},
    {"look-ahead 20, over speech", frames_of_1_ms, true},
    {"look-ahead 20, wide, over speech", wide, true},
    {"look-ahead 20, SNR 10, over speech", snr_10, true},
    {"look-ahead 20, speech at -10 dB", loud_voice, true},
    {"look-ahead 20, speech at -5 dB", louder_voice, true},
    {"look-ahead 20, speech at 0 dB", voice_as_loud, true},
    {"look-ahead 10, 1 ms frames", look_ahead_10, false},
    {"look-ahead 10, over speech", look_ahead_10, true},
    {"look-ahead 10, keying, over speech", look_ahead_10_keying, true},
    {"look-ahead 10, 20 ms packets, over speech", look_ahead_10_packets, true},
    {"look-ahead 10, SNR 10, over speech", snr_10_near, true},
    {"look-ahead 10, speech at -10 dB", loud_voice_near, true},
    {"5 % of packets lost, 60..160 ms", lossy, true},
    {"mask off (must leak)", is_off, false},
};

static void add(struct masked_run_result *sum, const struct masked_run_result *part)
{
    sum->presses += part->presses;
    sum->heard += part->heard;
    sum->missed += part->missed;
    sum->wrong += part->wrong;
    sum->extra += part->extra;
    sum->leaked_presses += part->leaked_presses;
    sum->leaked_samples += part->leaked_samples;
    sum->named += part->named;
    if (part->leaked_samples_max > sum->leaked_samples_max)
        sum->leaked_samples_max = part->leaked_samples_max;
}

#define LATENCY_BINS 1000 /* of 1/8 ms */

struct latencies {
    size_t bin[LATENCY_BINS];
    size_t count;
};

static double latency_at(const struct latencies *latencies, double share)
{
    size_t seen = 0;
    for (size_t i = 0; i < LATENCY_BINS; i++) {
        seen += latencies->bin[i];
        if (latencies->count && (double)seen >= share * (double)latencies->count)
            return (double)i / 8;
    }
    return 0;
}

static enum err run_cell(const struct cell *cell, const struct bench_options *options,
                         const struct speech *speech, enum mask_engine engine, struct masked_run_result *sum,
                         struct latencies *latencies)
{
    memset(sum, 0, sizeof(*sum));
    memset(latencies, 0, sizeof(*latencies));
    for (size_t done = 0; done < options->presses; done += CHUNK) {
        struct masked_run_result part;
        struct masked_run_options run = masked_run_defaults();
        run.seed = options->seed + done;
        run.presses = options->presses - done < CHUNK ? options->presses - done : CHUNK;
        run.speech = cell->is_over_speech ? speech : NULL;
        cell->shape(&run);
        run.mask.engine = engine;
        enum err err = masked_run(&run, &part);
        if (err)
            return err;
        add(sum, &part);
        for (size_t i = 0; i < part.latency_count; i++) {
            size_t bin = (size_t)lrintf(part.latency_ms[i] * 8);
            latencies->bin[bin < LATENCY_BINS ? bin : LATENCY_BINS - 1]++;
            latencies->count++;
        }
        masked_run_free(&part);
    }
    return OK;
}

static void print_cell(const struct cell *cell, const char *engine, const struct masked_run_result *r,
                       const struct latencies *l, bool is_json)
{
    double p50 = latency_at(l, 0.5);
    double p99 = latency_at(l, 0.99);
    double p999 = latency_at(l, 0.999);
    double most = latency_at(l, 1);
    /* In per cent: what an attacker names, and between what chance stays 95 times of 100. */
    double named = 100 * (double)r->named / (double)r->presses;
    double chance = 100.0 / DTMF_KEYS;
    double spread = 1.96 * sqrt(chance * (100 - chance) / (double)r->presses);
    if (is_json)
        printf(
            "{\"cell\":\"%s\",\"engine\":\"%s\",\"presses\":%zu,\"heard\":%zu,\"missed\":%zu,\"wrong\":%zu,"
            "\"extra\":%zu,\"latency_ms\":[%.2f,%.2f,%.2f,%.2f],\"leaked_presses\":%zu,\"leaked_samples\":%"
            "zu,"
            "\"leaked_samples_max\":%zu,\"named_percent\":%.3f,\"chance_percent\":[%.3f,%.3f]}\n",
            cell->name, engine, r->presses, r->heard, r->missed, r->wrong, r->extra, p50, p99, p999, most,
            r->leaked_presses, r->leaked_samples, r->leaked_samples_max, named, chance - spread,
            chance + spread);
    else
        printf("%-42s %-8s %8zu %8zu %7zu %6zu %6zu  %6.2f %6.2f %6.2f %6.2f  %7zu %9zu %5zu  %6.2f "
               "(%.2f..%.2f)\n",
               cell->name, engine, r->presses, r->heard, r->missed, r->wrong, r->extra, p50, p99, p999, most,
               r->leaked_presses, r->leaked_samples, r->leaked_samples_max, named, chance - spread,
               chance + spread);
    fflush(stdout);
}

int bench_tones(const struct bench_options *options)
{
    struct speech speech;
    bool has_speech = speech_load(&speech, options->speech, 2, 0) == OK;
    if (!has_speech && speech_synthesize(&speech, 1, 300)) {
        fprintf(stderr, "tonegate-bench: no memory for speech\n");
        return 1;
    }
    if (!has_speech)
        fprintf(stderr, "tonegate-bench: no WAV below %s, speech is synthetic\n", options->speech);
    if (!options->is_json)
        printf("%-42s %-8s %8s %8s %7s %6s %6s  %6s %6s %6s %6s  %7s %9s %5s  %s\n", "cell", "engine",
               "presses", "heard", "missed", "wrong", "extra", "p50", "p99", "p99.9", "max ms", "leaked",
               "samples", "max", "named % (chance)");
    int code = 0;
    for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]) && code == 0; i++) {
        if (options->cell && !strstr(cells[i].name, options->cell))
            continue;
        for (int engine = MASK_ENGINE_OWN; engine <= MASK_ENGINE_SPANDSP && code == 0; engine++) {
            struct masked_run_result result;
            struct latencies latencies;
            /* What leaks does not depend on who decides. */
            if (engine == MASK_ENGINE_SPANDSP && strncmp(cells[i].name, "look", 4) == 0)
                continue;
            if (run_cell(&cells[i], options, &speech, (enum mask_engine)engine, &result, &latencies))
                code = 1;
            else
                print_cell(&cells[i], engine ? "spandsp" : "own", &result, &latencies, options->is_json);
        }
    }
    speech_free(&speech);
    return code;
}
