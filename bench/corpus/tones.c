#include "bench/corpus/bench.h"

#include "bench/corpus/tone_grid.h"
#include "bench/corpus/tone_run.h"
#include "bench/corpus/tones_page.h"
#include "bench/page/page.h"
#include "dsp/dtmf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* ------------------------------------------------------------------ cells */

static bool is_wanted(const struct bench_options *options, const char *name)
{
    return options->cell == NULL || strstr(name, options->cell) != NULL;
}

static void print_cell(const struct tones_cell *cell, bool is_json)
{
    const struct tone_outcome *r = &cell->outcome;
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
            cell->name, tone_engine_names[cell->engine], r->presses, r->heard, r->missed, r->wrong, r->extra,
            r->p50_ms, r->p99_ms, r->p999_ms, r->max_ms, r->leaked_presses, r->leaked_samples,
            r->leaked_samples_max, named, chance - spread, chance + spread);
    else
        printf("%-42s %-8s %8zu %8zu %7zu %6zu %6zu  %6.2f %6.2f %6.2f %6.2f  %7zu %9zu %5zu  %6.2f "
               "(%.2f..%.2f)\n",
               cell->name, tone_engine_names[cell->engine], r->presses, r->heard, r->missed, r->wrong,
               r->extra, r->p50_ms, r->p99_ms, r->p999_ms, r->max_ms, r->leaked_presses, r->leaked_samples,
               r->leaked_samples_max, named, chance - spread, chance + spread);
    fflush(stdout);
}

static enum err run_cells(const struct bench_options *options, const struct speech *speech,
                          struct tones_cell *out, size_t *count)
{
    if (!options->is_json)
        printf("%-42s %-8s %8s %8s %7s %6s %6s  %6s %6s %6s %6s  %7s %9s %5s  %s\n", "cell", "engine",
               "presses", "heard", "missed", "wrong", "extra", "p50", "p99", "p99.9", "max ms", "leaked",
               "samples", "max", "named % (chance)");
    for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]); i++) {
        /* What leaks does not depend on who decides. */
        int engines = strncmp(cells[i].name, "look", 4) == 0 ? 1 : TONE_ENGINES;
        for (int engine = 0; engine < engines && is_wanted(options, cells[i].name); engine++) {
            struct masked_run_options run = masked_run_defaults();
            struct tones_cell *cell = &out[*count];
            *cell = (struct tones_cell){.name = cells[i].name, .engine = (enum tone_engine)engine};
            run.speech = cells[i].is_over_speech ? speech : NULL;
            cells[i].shape(&run);
            enum err err = tone_run(&run, cell->engine, options->presses, options->seed, &cell->outcome);
            if (err)
                return err;
            print_cell(cell, options->is_json);
            (*count)++;
        }
    }
    return OK;
}

/* ------------------------------------------------------------------ grids */

static void show_progress(const struct tone_grid *grid, size_t point)
{
    if (isatty(STDERR_FILENO))
        fprintf(stderr, point == grid->point_count ? "\r\033[K" : "\r\033[K%s %zu of %zu", grid->name,
                point + 1, grid->point_count);
}

static enum err run_grid(const struct bench_options *options, const struct speech *speech,
                         struct tone_grid_result *result)
{
    const struct tone_grid *grid = result->grid;
    for (size_t i = 0; i < grid->point_count; i++) {
        show_progress(grid, i);
        for (int engine = 0; engine < TONE_ENGINES; engine++) {
            struct masked_run_options run = masked_run_defaults();
            tone_grid_shape(grid, i, &run);
            run.speech = grid->is_over_speech ? speech : NULL;
            enum err err = tone_run(&run, (enum tone_engine)engine, options->presses,
                                    options->seed + 1000 * i, &result->outcomes[i][engine]);
            if (err)
                return err;
        }
    }
    show_progress(grid, grid->point_count);
    tone_grid_print(stdout, result, options->is_json);
    fflush(stdout);
    return OK;
}

/* ------------------------------------------------------------------ all of them */

static enum err print_page(const struct bench_options *options, const struct tones_report *report)
{
    struct page_file page;
    char reason[PAGE_REASON_BYTES];
    enum err err = page_open(&page, options->html, reason);
    if (err == OK) {
        tones_page_print(page.stream, report);
        err = page_close(&page, true, reason);
    }
    if (err)
        fprintf(stderr, "tonegate-bench tones: %s\n", reason);
    return err;
}

static enum err run_all(const struct bench_options *options, const struct speech *speech,
                        struct tones_report *report)
{
    enum err err = run_cells(options, speech, report->cells, &report->cell_count);
    for (size_t g = 0; g < tone_grid_count && err == OK; g++) {
        struct tone_grid_result *result = &report->grids[report->grid_count];
        result->grid = &tone_grids[g];
        if (!is_wanted(options, tone_grids[g].name))
            continue;
        report->grid_count++;
        err = run_grid(options, speech, result);
    }
    return err;
}

int bench_tones(const struct bench_options *options)
{
    struct speech speech;
    struct tones_report report = {.presses = options->presses, .seed = options->seed};
    bool has_speech = speech_load(&speech, options->speech, 2, 0) == OK;
    if (!has_speech && speech_synthesize(&speech, 1, 300)) {
        fprintf(stderr, "tonegate-bench: no memory for speech\n");
        return 1;
    }
    if (!has_speech)
        fprintf(stderr, "tonegate-bench: no WAV below %s, speech is synthetic\n", options->speech);
    report.cells = calloc(TONE_ENGINES * sizeof(cells) / sizeof(cells[0]), sizeof *report.cells);
    report.grids = calloc(tone_grid_count, sizeof *report.grids);
    enum err err =
        report.cells == NULL || report.grids == NULL ? ERR_MEMORY : run_all(options, &speech, &report);
    if (err == OK && report.cell_count + report.grid_count == 0) {
        fprintf(stderr, "tonegate-bench tones: no cell and no grid is called %s\n", options->cell);
        err = ERR_NOT_FOUND;
    } else if (err == OK && options->html != NULL) {
        err = print_page(options, &report);
    } else if (err) {
        fprintf(stderr, "tonegate-bench tones: %s\n", err_str(err));
    }
    free(report.cells);
    free(report.grids);
    speech_free(&speech);
    return err == OK ? 0 : err == ERR_MEMORY ? 1 : 2;
}
