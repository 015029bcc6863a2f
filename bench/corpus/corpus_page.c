#include "bench/corpus/corpus_page.h"

#include "bench/page/page.h"
#include "bench/page/plot.h"

#include <math.h>
#include <stdlib.h>

#define ODD_MAX     100
#define CURVE       101 /* points of a latency curve */
#define LATENCY_MAX 80.0

static void print_figure(FILE *page, int digits, double value)
{
    if (isfinite(value))
        fprintf(page, "<td>%.*f</td>", digits, value);
    else
        fputs("<td><span aria-label=\"none\">&ndash;</span></td>", page);
}

static void begin_table(FILE *page, const char *label, const char *const *names)
{
    fputs("<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"", page);
    page_text(page, label);
    fputs("\"><table><thead><tr>", page);
    for (; *names != NULL; names++) {
        fputs("<th scope=\"col\">", page);
        page_text(page, *names);
        fputs("</th>", page);
    }
    fputs("</tr></thead><tbody>\n", page);
}

static void end_table(FILE *page)
{
    fputs("</tbody></table></div>\n", page);
}

/* ------------------------------------------------------------------ tables */

static void print_engines(FILE *page, const struct corpus_sum *sum)
{
    static const char *const names[] = {"engine",        "heard",  "missed", "wrong",  "doubled", "false",
                                        "false an hour", "p50 ms", "p90 ms", "p99 ms", "max ms",  NULL};
    fputs("<h3>Who hears what</h3>\n", page);
    begin_table(page, "Detection, by engine", names);
    for (int e = 0; e < CORPUS_ENGINES; e++) {
        const struct corpus_engine_sum *engine = &sum->engines[e];
        fprintf(page,
                "<tr><th scope=\"row\">%s</th><td>%zu</td><td>%zu</td><td>%zu</td><td>%zu</td><td>%zu</td>",
                corpus_engine_names[e], engine->hits, engine->missed, engine->wrong, engine->doubled,
                engine->false_digits);
        print_figure(page, 2, engine->false_an_hour);
        print_figure(page, 1, corpus_sum_latency(engine, 0.5));
        print_figure(page, 1, corpus_sum_latency(engine, 0.9));
        print_figure(page, 1, corpus_sum_latency(engine, 0.99));
        print_figure(page, 1, corpus_sum_latency(engine, 1));
        fputs("</tr>\n", page);
    }
    end_table(page);
}

static void print_masks(FILE *page, const struct corpus_sum *sum)
{
    static const char *const names[] = {"look-ahead",  "speech masked, %", "masks a minute",
                                        "keys leaked", "leaked, ms",       NULL};
    fputs("<h3>What the mask hides</h3>\n", page);
    begin_table(page, "Mask, by look-ahead", names);
    for (int p = 0; p < CORPUS_PASSES; p++) {
        const struct corpus_masked *masked = &sum->masked[p];
        fprintf(page, "<tr><th scope=\"row\">%u ms%s</th>", corpus_lookaheads_ms[p / 2],
                p % 2 ? ", while keying" : "");
        print_figure(page, 4, corpus_sum_speech_percent(sum, p));
        print_figure(page, 2, sum->active_s > 0 ? masked->spans * 60.0 / sum->active_s : NAN);
        print_figure(page, 0, sum->keys > 0 ? masked->keys_leaked : NAN);
        print_figure(page, 0, sum->keys > 0 ? masked->leaked_ms : NAN);
        fputs("</tr>\n", page);
    }
    end_table(page);
}

static void print_roc_table(FILE *page, const struct corpus_sum *sum)
{
    static const char *const names[] = {"at least",         "own heard, %",          "own false an hour",
                                        "spandsp heard, %", "spandsp false an hour", NULL};
    fputs("<details><summary>Thresholds as a table</summary>\n", page);
    for (int which = 0; which < 2; which++) {
        begin_table(page, which ? "By length of the key" : "By level of the weaker tone", names);
        for (int i = 0; i < CORPUS_ROC_POINTS; i += 2) {
            const struct corpus_roc *first =
                which ? &sum->engines[0].by_length[i] : &sum->engines[0].by_level[i];
            fprintf(page, "<tr><th scope=\"row\">%.1f %s</th>", first->threshold, which ? "ms" : "dBm0");
            for (int e = 0; e < CORPUS_ENGINES; e++) {
                const struct corpus_roc *point =
                    which ? &sum->engines[e].by_length[i] : &sum->engines[e].by_level[i];
                print_figure(page, 2, point->hit_share * 100);
                print_figure(page, 2, point->false_an_hour);
            }
            fputs("</tr>\n", page);
        }
        end_table(page);
    }
    fputs("</details>\n", page);
}

static void print_odd(FILE *page, const struct corpus_sum *sum)
{
    static const char *const names[] = {"recording", "keys", "own", "spandsp", "leaked at 20 ms", NULL};
    size_t odd = 0;
    for (size_t i = 0; i < sum->recordings; i++)
        odd += corpus_result_is_odd(&sum->results[i]);
    if (odd == 0) {
        fputs("<p class=\"good\">No engine made a mistake in any recording.</p>\n", page);
        return;
    }
    fprintf(page,
            "<details><summary>%zu recording%s with mistakes: missed / wrong / doubled / false</summary>\n",
            odd, odd == 1 ? "" : "s");
    begin_table(page, "Recordings with mistakes", names);
    odd = 0;
    for (size_t i = 0; i < sum->recordings && odd < ODD_MAX; i++) {
        const struct corpus_result *result = &sum->results[i];
        if (!corpus_result_is_odd(result))
            continue;
        odd++;
        fputs("<tr><th scope=\"row\" class=\"left\">", page);
        page_text(page, result->path);
        fprintf(page, "</th><td>%u</td>", result->keys);
        for (int e = 0; e < CORPUS_ENGINES; e++)
            fprintf(page, "<td>%u / %u / %u / %u</td>", result->heard[e].missed, result->heard[e].wrong,
                    result->heard[e].doubled, result->heard[e].false_digits);
        fprintf(page, "<td>%u</td></tr>\n", result->masked[CORPUS_USUAL_PASS].keys_leaked);
    }
    end_table(page);
    fputs("</details>\n", page);
}

/* ------------------------------------------------------------------ plots */

static void plot_latency(FILE *page, const struct corpus_sum *sum)
{
    double x[CORPUS_ENGINES][CURVE];
    double y[CURVE];
    struct plot plot = {.title = "How soon a key is known: share of the keys heard by then",
                        .x_label = "ms after the onset",
                        .y_label = "heard by then, %",
                        .y_to = 100,
                        .series_count = CORPUS_ENGINES};
    for (int i = 0; i < CURVE; i++)
        y[i] = i;
    for (int e = 0; e < CORPUS_ENGINES; e++) {
        for (int i = 0; i < CURVE; i++)
            x[e][i] = fmin(corpus_sum_latency(&sum->engines[e], i / 100.0), LATENCY_MAX);
        plot.series[e] = (struct plot_series){corpus_engine_names[e], x[e], y, CURVE};
    }
    plot_print(page, &plot);
}

static void plot_roc(FILE *page, const struct corpus_sum *sum, bool is_by_length)
{
    double x[CORPUS_ENGINES][CORPUS_ROC_POINTS];
    double y[CORPUS_ENGINES][CORPUS_ROC_POINTS];
    struct plot plot = {
        .title = is_by_length ? "Asked for longer keys: 0 to 128 ms at least, from right to left"
                              : "Asked for louder keys: -48 to 0 dBm0 at least, from right to left",
        .x_label = "false and wrong digits an hour",
        .y_label = "labelled keys heard, %",
        .y_to = 100,
        .series_count = CORPUS_ENGINES,
    };
    for (int e = 0; e < CORPUS_ENGINES; e++) {
        const struct corpus_roc *roc = is_by_length ? sum->engines[e].by_length : sum->engines[e].by_level;
        for (int i = 0; i < CORPUS_ROC_POINTS; i++) {
            x[e][i] = roc[i].false_an_hour;
            y[e][i] = roc[i].hit_share * 100;
        }
        plot.series[e] = (struct plot_series){corpus_engine_names[e], x[e], y[e], CORPUS_ROC_POINTS};
    }
    plot_print(page, &plot);
}

static bool has_mistaken(const struct corpus_sum *sum)
{
    return sum->engines[CORPUS_OWN].false_digits + sum->engines[CORPUS_OWN].wrong +
               sum->engines[CORPUS_SPANDSP].false_digits + sum->engines[CORPUS_SPANDSP].wrong >
           0;
}

static void plot_heard(FILE *page, const struct corpus_sum *sum)
{
    double x[CORPUS_ROC_POINTS];
    double y[CORPUS_ENGINES][CORPUS_ROC_POINTS];
    struct plot plot = {.title = "What is left when keys must last longer",
                        .x_label = "least length of a key, ms",
                        .y_label = "labelled keys heard, %",
                        .y_to = 100,
                        .series_count = CORPUS_ENGINES};
    for (int e = 0; e < CORPUS_ENGINES; e++) {
        for (int i = 0; i < CORPUS_ROC_POINTS; i++) {
            x[i] = sum->engines[e].by_length[i].threshold;
            y[e][i] = sum->engines[e].by_length[i].hit_share * 100;
        }
        plot.series[e] = (struct plot_series){corpus_engine_names[e], x, y[e], CORPUS_ROC_POINTS};
    }
    plot_print(page, &plot);
}

static void plot_masks(FILE *page, const struct corpus_sum *sum)
{
    static const char *const names[] = {"usual", "while keying"};
    double x[2][CORPUS_LOOKAHEADS];
    double y[2][CORPUS_LOOKAHEADS];
    struct plot plot = {.title = "The mask: look-ahead 5, 10, 15, 20 and 30 ms, from top to bottom",
                        .x_label = "speech masked, %",
                        .y_label = "keys leaked, %",
                        .series_count = 2};
    for (int s = 0; s < 2; s++) {
        for (int i = 0; i < CORPUS_LOOKAHEADS; i++) {
            x[s][i] = corpus_sum_speech_percent(sum, 2 * i + s);
            y[s][i] = corpus_sum_leaked_percent(sum, 2 * i + s);
        }
        plot.series[s] = (struct plot_series){names[s], x[s], y[s], CORPUS_LOOKAHEADS};
    }
    plot_print(page, &plot);
}

/* Without keys there is only what the mask costs. */
static void plot_cost(FILE *page, const struct corpus_sum *sum)
{
    static const char *const names[] = {"usual", "while keying"};
    double x[CORPUS_LOOKAHEADS];
    double y[2][CORPUS_LOOKAHEADS];
    struct plot plot = {.title = "What the mask costs where no key is",
                        .x_label = "look-ahead, ms",
                        .y_label = "speech masked, %",
                        .x_to = 32,
                        .series_count = 2};
    for (int s = 0; s < 2; s++) {
        for (int i = 0; i < CORPUS_LOOKAHEADS; i++) {
            x[i] = corpus_lookaheads_ms[i];
            y[s][i] = corpus_sum_speech_percent(sum, 2 * i + s);
        }
        plot.series[s] = (struct plot_series){names[s], x, y[s], CORPUS_LOOKAHEADS};
    }
    plot_print(page, &plot);
}

static void print_sum(FILE *page, const struct corpus_sum *sum)
{
    fputs("<section><h2>", page);
    page_text(page, sum->name);
    fprintf(page,
            "</h2><p class=\"soft\">%zu recordings, %zu labelled, %zu keys; %.2f h, of it %.2f h active and "
            "away from "
            "keys.",
            sum->recordings, sum->labelled, sum->keys, sum->length_s / 3600, sum->active_s / 3600);
    if (sum->failed > 0)
        fprintf(page, " <strong class=\"bad\">%zu could not be judged.</strong>", sum->failed);
    fputs("</p>\n", page);
    print_engines(page, sum);
    print_masks(page, sum);
    fputs("<div class=\"plots\">\n", page);
    if (sum->keys > 0) {
        plot_latency(page, sum);
        plot_masks(page, sum);
        plot_heard(page, sum);
        if (has_mistaken(sum)) {
            plot_roc(page, sum, false);
            plot_roc(page, sum, true);
        }
    } else {
        plot_cost(page, sum);
    }
    fputs("</div>\n", page);
    if (sum->keys > 0) {
        if (!has_mistaken(sum))
            fputs("<p class=\"soft\">No engine reported a false or wrong digit here, so there is no curve of "
                  "those against "
                  "the keys heard.</p>\n",
                  page);
        print_roc_table(page, sum);
    }
    if (!sum->is_total)
        print_odd(page, sum);
    fputs("</section>\n", page);
}

static void print_tiles(FILE *page, const struct corpus_sum *sum)
{
    char figure[64];
    char caption[128];
    const struct corpus_engine_sum *own = &sum->engines[CORPUS_OWN];
    const struct corpus_engine_sum *other = &sum->engines[CORPUS_SPANDSP];
    page_tiles_begin(page);
    if (sum->keys > 0) {
        snprintf(figure, sizeof figure, "%zu of %zu", own->hits, sum->keys);
        snprintf(caption, sizeof caption, "keys heard (SpanDSP: %zu)", other->hits);
        page_tile(page, own->hits == sum->keys ? PAGE_GOOD : PAGE_PLAIN, figure, caption);
        snprintf(figure, sizeof figure, "%.1f ms", corpus_sum_latency(own, 0.5));
        snprintf(caption, sizeof caption, "from onset to report, median (SpanDSP: %.1f)",
                 corpus_sum_latency(other, 0.5));
        page_tile(page, PAGE_PLAIN, own->hits > 0 ? figure : "-", caption);
        snprintf(figure, sizeof figure, "%u of %zu", sum->masked[CORPUS_USUAL_PASS].keys_leaked, sum->keys);
        page_tile(page, sum->masked[CORPUS_USUAL_PASS].keys_leaked ? PAGE_BAD : PAGE_GOOD, figure,
                  "keys leaked at look-ahead 20 ms");
    }
    snprintf(figure, sizeof figure, "%zu", own->false_digits);
    snprintf(caption, sizeof caption, "false digits in %.2f active hours (SpanDSP: %zu)",
             sum->active_s / 3600, other->false_digits);
    page_tile(page, own->false_digits ? PAGE_PLAIN : PAGE_GOOD, figure, caption);
    if (isfinite(corpus_sum_speech_percent(sum, CORPUS_USUAL_PASS))) {
        snprintf(figure, sizeof figure, "%.3f %%", corpus_sum_speech_percent(sum, CORPUS_USUAL_PASS));
        page_tile(page, PAGE_PLAIN, figure, "of speech masked at look-ahead 20 ms");
    }
    page_tiles_end(page);
}

static void print_method(FILE *page)
{
    fputs("<section><h2>How this was found</h2><p>Every recording goes through the mask and its detector as "
          "in a call, "
          "and once with SpanDSP deciding. A report belongs to the label whose onset is nearest, from 40 ms "
          "before it to "
          "40 ms after its end; the first one decides between heard and wrong, further ones are doubled, and "
          "what "
          "belongs to no label is false. Latency counts from the label's onset: labels by hand are as exact "
          "as the hand. "
          "Recordings without labels count for false digits and masked speech only.</p><p>A key leaks when "
          "the mask let a "
          "millisecond pass in which the key's two tones are most of what is heard. Active: above -45 dBm0 "
          "and 200 ms "
          "after; away from keys: further than 200 ms.</p><p>The plots of thresholds take away reports that "
          "are shorter or "
          "fainter than asked. SpanDSP says one level for both tones together, so that its levels are not "
          "quite "
          "ours.</p></section>\n",
          page);
}

enum err corpus_page_print(FILE *page, const struct corpus_sum *sums, size_t count)
{
    page_begin(page, "Detection in recordings");
    print_tiles(page, &sums[count - 1]);
    if (count > 1)
        print_sum(page, &sums[count - 1]);
    for (size_t i = 0; i < (count > 1 ? count - 1 : 1); i++)
        print_sum(page, &sums[i]);
    print_method(page);
    page_end(page);
    return OK;
}
