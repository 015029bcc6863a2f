#include "bench/corpus/corpus_report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LEVEL_FROM  (-48.0) /* dBm0 */
#define LEVEL_STEP  1.5
#define LENGTH_STEP 4.0 /* ms */
#define ODD_MAX     40  /* recordings named in the text */

/* ------------------------------------------------------------------ sums */

static void add_roc(struct corpus_engine_sum *engine, const struct corpus_report_point *point, bool is_hit)
{
    for (int i = 0; i < CORPUS_ROC_POINTS; i++) {
        double level = point->level_dbm0 >= engine->by_level[i].threshold;
        double length = point->length_ms >= engine->by_length[i].threshold;
        if (is_hit) {
            engine->by_level[i].hit_share += level;
            engine->by_length[i].hit_share += length;
        } else {
            engine->by_level[i].false_an_hour += level;
            engine->by_length[i].false_an_hour += length;
        }
    }
}

static void add_heard(struct corpus_engine_sum *engine, const struct corpus_heard *heard)
{
    engine->missed += heard->missed;
    engine->wrong += heard->wrong;
    engine->doubled += heard->doubled;
    engine->false_digits += heard->false_digits;
    for (size_t i = 0; i < heard->hits.count; i++) {
        engine->latencies_ms[engine->hits++] = heard->hits.points[i].latency_ms;
        add_roc(engine, &heard->hits.points[i], true);
    }
    for (size_t i = 0; i < heard->mistaken.count; i++)
        add_roc(engine, &heard->mistaken.points[i], false);
}

static int by_value(const void *left, const void *right)
{
    float a = *(const float *)left;
    float b = *(const float *)right;
    return (a > b) - (a < b);
}

/* Counts become shares and rates. */
static void finish(struct corpus_engine_sum *engine, size_t keys, double active_s)
{
    double hours = active_s / 3600;
    qsort(engine->latencies_ms, engine->hits, sizeof *engine->latencies_ms, by_value);
    engine->false_an_hour = hours > 0 ? (double)engine->false_digits / hours : NAN;
    for (int i = 0; i < CORPUS_ROC_POINTS; i++) {
        struct corpus_roc *points[] = {&engine->by_level[i], &engine->by_length[i]};
        for (int k = 0; k < 2; k++) {
            points[k]->hit_share = keys > 0 ? points[k]->hit_share / (double)keys : NAN;
            points[k]->false_an_hour = hours > 0 ? points[k]->false_an_hour / hours : NAN;
        }
    }
}

static enum err start(struct corpus_sum *sum, const struct corpus_result *results, size_t count)
{
    for (int e = 0; e < CORPUS_ENGINES; e++) {
        size_t hits = 1;
        for (size_t i = 0; i < count; i++)
            hits += results[i].heard[e].hits.count;
        sum->engines[e].latencies_ms = calloc(hits, sizeof *sum->engines[e].latencies_ms);
        if (sum->engines[e].latencies_ms == NULL)
            return ERR_MEMORY;
        for (int i = 0; i < CORPUS_ROC_POINTS; i++) {
            sum->engines[e].by_level[i].threshold = LEVEL_FROM + i * LEVEL_STEP;
            sum->engines[e].by_length[i].threshold = i * LENGTH_STEP;
        }
    }
    return OK;
}

enum err corpus_sum_up(struct corpus_sum *sum, const char *name, const struct corpus_result *results,
                       size_t count, size_t failed)
{
    memset(sum, 0, sizeof *sum);
    sum->name = name;
    sum->results = results;
    sum->recordings = count;
    sum->failed = failed;
    enum err err = start(sum, results, count);
    if (err)
        return err;
    for (size_t i = 0; i < count; i++) {
        sum->labelled += results[i].has_labels;
        sum->keys += results[i].keys;
        sum->length_s += results[i].length_s;
        sum->active_s += results[i].active_s;
        for (int e = 0; e < CORPUS_ENGINES; e++)
            add_heard(&sum->engines[e], &results[i].heard[e]);
        for (int p = 0; p < CORPUS_PASSES; p++) {
            sum->masked[p].speech_masked_s += results[i].masked[p].speech_masked_s;
            sum->masked[p].spans += results[i].masked[p].spans;
            sum->masked[p].keys_leaked += results[i].masked[p].keys_leaked;
            sum->masked[p].leaked_ms += results[i].masked[p].leaked_ms;
        }
    }
    for (int e = 0; e < CORPUS_ENGINES; e++)
        finish(&sum->engines[e], sum->keys, sum->active_s);
    return OK;
}

void corpus_sum_release(struct corpus_sum *sum)
{
    for (int e = 0; e < CORPUS_ENGINES; e++)
        free(sum->engines[e].latencies_ms);
    memset(sum, 0, sizeof *sum);
}

double corpus_sum_latency(const struct corpus_engine_sum *engine, double share)
{
    if (engine->hits == 0)
        return NAN;
    return (double)engine->latencies_ms[(size_t)ceil(share * (double)(engine->hits - 1))];
}

double corpus_sum_speech_percent(const struct corpus_sum *sum, int pass)
{
    return sum->active_s > 0 ? 100 * sum->masked[pass].speech_masked_s / sum->active_s : NAN;
}

double corpus_sum_leaked_percent(const struct corpus_sum *sum, int pass)
{
    return sum->keys > 0 ? 100.0 * sum->masked[pass].keys_leaked / (double)sum->keys : NAN;
}

bool corpus_result_is_odd(const struct corpus_result *result)
{
    for (int e = 0; e < CORPUS_ENGINES; e++) {
        const struct corpus_heard *heard = &result->heard[e];
        if (heard->missed + heard->wrong + heard->doubled + heard->false_digits > 0)
            return true;
    }
    return result->masked[CORPUS_USUAL_PASS].keys_leaked > 0;
}

/* ------------------------------------------------------------------ text */

/* A figure of `width`, a dash where there is none. */
static void print_figure(FILE *out, int width, int digits, double value)
{
    if (isfinite(value))
        fprintf(out, " %*.*f", width, digits, value);
    else
        fprintf(out, " %*s", width, "-");
}

static void print_odd(FILE *out, const struct corpus_sum *sum)
{
    size_t odd = 0;
    for (size_t i = 0; i < sum->recordings; i++) {
        const struct corpus_result *result = &sum->results[i];
        if (!corpus_result_is_odd(result) || odd++ >= ODD_MAX)
            continue;
        if (odd == 1)
            fprintf(out, "  recordings with mistakes (missed/wrong/doubled/false of own, of spandsp; leaked "
                         "at look-ahead 20 ms)\n");
        fprintf(out, "    ");
        for (int e = 0; e < CORPUS_ENGINES; e++)
            fprintf(out, "%u/%u/%u/%u  ", result->heard[e].missed, result->heard[e].wrong,
                    result->heard[e].doubled, result->heard[e].false_digits);
        fprintf(out, "%u  of %u keys  %s\n", result->masked[CORPUS_USUAL_PASS].keys_leaked, result->keys,
                result->path);
    }
    if (odd > ODD_MAX)
        fprintf(out, "    and %zu more\n", odd - ODD_MAX);
}

void corpus_report_print_text(FILE *out, const struct corpus_sum *sum)
{
    fprintf(out,
            "%s\n  %zu recordings (%zu labelled, %zu could not be judged), %.0f s, %.0f s of it active and "
            "away from "
            "keys, %zu keys\n",
            sum->name, sum->recordings, sum->labelled, sum->failed, sum->length_s, sum->active_s, sum->keys);
    fprintf(
        out,
        "  engine     heard  missed   wrong doubled   false  an hour  latency p50     p90     p99  max ms\n");
    for (int e = 0; e < CORPUS_ENGINES; e++) {
        const struct corpus_engine_sum *engine = &sum->engines[e];
        fprintf(out, "  %-8s %7zu %7zu %7zu %7zu %7zu", corpus_engine_names[e], engine->hits, engine->missed,
                engine->wrong, engine->doubled, engine->false_digits);
        print_figure(out, 8, 2, engine->false_an_hour);
        print_figure(out, 12, 2, corpus_sum_latency(engine, 0.5));
        print_figure(out, 7, 2, corpus_sum_latency(engine, 0.9));
        print_figure(out, 7, 2, corpus_sum_latency(engine, 0.99));
        print_figure(out, 7, 2, corpus_sum_latency(engine, 1));
        fputc('\n', out);
    }
    fprintf(out, "  mask at look-ahead        speech masked, %%  a minute   keys leaked  leaked ms\n");
    for (int p = 0; p < CORPUS_PASSES; p++) {
        const struct corpus_masked *masked = &sum->masked[p];
        fprintf(out, "  %2u ms%-20s", corpus_lookaheads_ms[p / 2], p % 2 ? ", while keying" : "");
        print_figure(out, 16, 4, corpus_sum_speech_percent(sum, p));
        print_figure(out, 9, 2, sum->active_s > 0 ? masked->spans * 60.0 / sum->active_s : NAN);
        print_figure(out, 13, 0, sum->keys > 0 ? masked->keys_leaked : NAN);
        print_figure(out, 10, 0, sum->keys > 0 ? masked->leaked_ms : NAN);
        fputc('\n', out);
    }
    if (!sum->is_total)
        print_odd(out, sum);
    fputc('\n', out);
}

/* ------------------------------------------------------------------ JSON */

/* null where there is no figure. */
static json_t *figure_json(double value)
{
    return isfinite(value) ? json_real(round(value * 1e4) / 1e4) : json_null();
}

static json_t *roc_json(const struct corpus_roc *points)
{
    json_t *list = json_array();
    for (int i = 0; i < CORPUS_ROC_POINTS; i++) {
        json_t *point = json_array();
        json_array_append_new(point, figure_json(points[i].threshold));
        json_array_append_new(point, figure_json(points[i].hit_share));
        json_array_append_new(point, figure_json(points[i].false_an_hour));
        json_array_append_new(list, point);
    }
    return list;
}

static json_t *engine_json(const struct corpus_engine_sum *engine)
{
    json_t *latency = json_object();
    json_object_set_new(latency, "p50", figure_json(corpus_sum_latency(engine, 0.5)));
    json_object_set_new(latency, "p90", figure_json(corpus_sum_latency(engine, 0.9)));
    json_object_set_new(latency, "p99", figure_json(corpus_sum_latency(engine, 0.99)));
    json_object_set_new(latency, "max", figure_json(corpus_sum_latency(engine, 1)));
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:o,s:o,s:o,s:o}", "hits", (json_int_t)engine->hits, "missed",
                     (json_int_t)engine->missed, "wrong", (json_int_t)engine->wrong, "doubled",
                     (json_int_t)engine->doubled, "false", (json_int_t)engine->false_digits,
                     "false_an_active_hour", figure_json(engine->false_an_hour), "latency_ms", latency,
                     "roc_level_dbm0", roc_json(engine->by_level), "roc_length_ms",
                     roc_json(engine->by_length));
}

static json_t *mask_json(const struct corpus_sum *sum, int pass)
{
    const struct corpus_masked *masked = &sum->masked[pass];
    return json_pack(
        "{s:i,s:b,s:o,s:o,s:I,s:o,s:o}", "lookahead_ms", (int)corpus_lookaheads_ms[pass / 2], "keying",
        pass % 2, "speech_masked_percent", figure_json(corpus_sum_speech_percent(sum, pass)),
        "masks_a_minute", figure_json(sum->active_s > 0 ? masked->spans * 60.0 / sum->active_s : NAN),
        "keys_leaked", (json_int_t)masked->keys_leaked, "keys_leaked_percent",
        figure_json(corpus_sum_leaked_percent(sum, pass)), "leaked_ms", figure_json(masked->leaked_ms));
}

static json_t *odd_json(const struct corpus_sum *sum)
{
    json_t *list = json_array();
    for (size_t i = 0; i < sum->recordings; i++) {
        const struct corpus_result *result = &sum->results[i];
        if (sum->is_total || !corpus_result_is_odd(result))
            continue;
        json_t *name = json_string(result->path);
        json_t *item = json_pack("{s:o,s:I}", "path", name ? name : json_string("(name is not UTF-8)"),
                                 "keys", (json_int_t)result->keys);
        for (int e = 0; e < CORPUS_ENGINES; e++) {
            const struct corpus_heard *heard = &result->heard[e];
            json_object_set_new(item, corpus_engine_names[e],
                                json_pack("[I,I,I,I]", (json_int_t)heard->missed, (json_int_t)heard->wrong,
                                          (json_int_t)heard->doubled, (json_int_t)heard->false_digits));
        }
        json_array_append_new(list, item);
    }
    return list;
}

enum err corpus_report_print_json(FILE *out, const struct corpus_sum *sum)
{
    json_t *engines = json_object();
    json_t *masks = json_array();
    json_t *name = json_string(sum->name);
    for (int e = 0; e < CORPUS_ENGINES; e++)
        json_object_set_new(engines, corpus_engine_names[e], engine_json(&sum->engines[e]));
    for (int p = 0; p < CORPUS_PASSES; p++)
        json_array_append_new(masks, mask_json(sum, p));
    json_t *root = json_pack("{s:o,s:I,s:I,s:I,s:I,s:o,s:o,s:o,s:o,s:o}", "corpus",
                             name ? name : json_string("(name is not UTF-8)"), "recordings",
                             (json_int_t)sum->recordings, "labelled", (json_int_t)sum->labelled, "failed",
                             (json_int_t)sum->failed, "keys", (json_int_t)sum->keys, "length_s",
                             figure_json(sum->length_s), "active_s", figure_json(sum->active_s), "engines",
                             engines, "mask", masks, "with_mistakes", odd_json(sum));
    if (root == NULL)
        return ERR_MEMORY;
    json_dumpf(root, out, JSON_COMPACT | JSON_REAL_PRECISION(9));
    fputc('\n', out);
    json_decref(root);
    return OK;
}
