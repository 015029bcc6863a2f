#include "bench/corpus/tone_grid.h"

static void both_off(struct masked_run_options *o, double percent)
{
    o->detune_low = o->detune_high = (float)(percent / 100);
}
static void low_off(struct masked_run_options *o, double percent)
{
    o->detune_low = (float)(percent / 100);
}
static void high_off(struct masked_run_options *o, double percent)
{
    o->detune_high = (float)(percent / 100);
}
static void level(struct masked_run_options *o, double dbm0)
{
    o->level_min_dbm0 = o->level_max_dbm0 = (float)dbm0;
}
static void twist(struct masked_run_options *o, double db)
{
    o->twist_min_db = o->twist_max_db = (float)db;
}
static void length(struct masked_run_options *o, double ms)
{
    o->tone_min_ms = o->tone_max_ms = (unsigned)ms;
}
static void pause_between(struct masked_run_options *o, double ms)
{
    o->pause_min_ms = o->pause_max_ms = (unsigned)ms;
    o->is_one_key = true;
}
static void interruption(struct masked_run_options *o, double ms)
{
    o->tone_min_ms = o->tone_max_ms = 110;
    o->break_ms = (unsigned)ms;
}
static void noise(struct masked_run_options *o, double db)
{
    o->snr_min_db = o->snr_max_db = (float)db;
}
static void dial_tone(struct masked_run_options *o, double db)
{
    o->has_dial_tone = true;
    o->dial_tone_db = (float)db;
}
static void speech_under(struct masked_run_options *o, double db)
{
    o->frame_samples = 8;
    o->speech_db = (float)db;
}
static void loss(struct masked_run_options *o, double percent)
{
    o->tone_min_ms = o->tone_max_ms = 100;
    o->loss_share = (float)(percent / 100);
}

const struct tone_grid tone_grids[] = {
    {"frequency, both tones", "%", "both tones off tune: accept to 1.5, refuse from 3", -4, 0.25, 33,
     both_off, false},
    {"frequency, low tone", "%", "the low tone off tune: accept to 1.5, refuse from 3", -4, 0.25, 33, low_off,
     false},
    {"frequency, high tone", "%", "the high tone off tune: accept to 1.5, refuse from 3", -4, 0.25, 33,
     high_off, false},
    {"level", "dBm0", "each tone: accept -25 to 0, refuse from -55 (AT&T) or -29 (NTT)", -60, 2, 31, level,
     false},
    {"twist", "dB", "low over high tone: accept -4 to +8", -14, 1, 29, twist, false},
    {"length", "ms", "accept from 40, refuse to 23", 10, 2, 26, length, false},
    {"pause", "ms", "between presses of one key: 40 must end a key, 20 need not (ES 201 235-3)", 2, 2, 30,
     pause_between, false},
    {"interruption", "ms", "silence in the middle of 110 ms: up to 10 belongs to the key, 40 would end it", 0,
     2, 20, interruption, false},
    {"noise", "dB", "both tones over white noise, 0 to 4 kHz", -4, 2, 20, noise, false},
    {"dial tone", "dB", "350 and 440 Hz under the key, each against its stronger tone", -30, 2, 21, dial_tone,
     false},
    {"speech", "dB", "recorded speech against every second key, frames of 1 ms, look-ahead 20", -30, 2.5, 15,
     speech_under, true},
    {"loss", "%", "of packets of 20 ms, under keys of 100 ms", 0, 2, 11, loss, false},
};
const size_t tone_grid_count = sizeof tone_grids / sizeof tone_grids[0];

double tone_grid_x(const struct tone_grid *grid, size_t point)
{
    return grid->from + (double)point * grid->step;
}

void tone_grid_shape(const struct tone_grid *grid, size_t point, struct masked_run_options *options)
{
    options->level_min_dbm0 = options->level_max_dbm0 = -10;
    options->twist_min_db = options->twist_max_db = 0;
    options->detune_max = 0;
    options->snr_min_db = options->snr_max_db = 30;
    options->tone_min_ms = options->tone_max_ms = 50;
    grid->shape(options, tone_grid_x(grid, point));
}

double tone_grid_clean_share(const struct tone_outcome *outcome)
{
    size_t clean = outcome->heard > outcome->extra ? outcome->heard - outcome->extra : 0;
    return outcome->presses ? (double)clean / (double)outcome->presses : 0;
}

static void print_json(FILE *out, const struct tone_grid *grid, double x, const char *engine,
                       const struct tone_outcome *r)
{
    fprintf(out,
            "{\"grid\":\"%s\",\"x\":%g,\"unit\":\"%s\",\"engine\":\"%s\",\"presses\":%zu,\"heard\":%zu,"
            "\"missed\":%zu,"
            "\"wrong\":%zu,\"extra\":%zu,\"latency_ms\":[%.2f,%.2f,%.2f,%.2f],\"leaked_presses\":%zu}\n",
            grid->name, x, grid->unit, engine, r->presses, r->heard, r->missed, r->wrong, r->extra, r->p50_ms,
            r->p90_ms, r->p99_ms, r->max_ms, r->leaked_presses);
}

static void print_engine(FILE *out, const struct tone_outcome *r)
{
    fprintf(out, " %8.2f %6zu %6zu %7.2f %7.2f", 100.0 * (double)r->heard / (double)r->presses, r->wrong,
            r->extra, r->p50_ms, r->p99_ms);
}

void tone_grid_print(FILE *out, const struct tone_grid_result *result, bool is_json)
{
    const struct tone_grid *grid = result->grid;
    if (!is_json)
        fprintf(out,
                "\n%s: %s\n%8s   own: heard %%  wrong  extra     p50  p99 ms   spandsp: heard %%  wrong  "
                "extra     "
                "p50  p99 ms   leaked\n",
                grid->name, grid->says, grid->unit);
    for (size_t i = 0; i < grid->point_count; i++) {
        double x = tone_grid_x(grid, i);
        for (int e = 0; e < TONE_ENGINES && is_json; e++)
            print_json(out, grid, x, tone_engine_names[e], &result->outcomes[i][e]);
        if (is_json)
            continue;
        fprintf(out, "%8g     ", x);
        print_engine(out, &result->outcomes[i][TONE_OWN]);
        fprintf(out, "            ");
        print_engine(out, &result->outcomes[i][TONE_SPANDSP]);
        fprintf(out, "  %7zu\n", result->outcomes[i][TONE_OWN].leaked_presses);
    }
}
