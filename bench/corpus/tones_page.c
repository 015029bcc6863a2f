#include "bench/corpus/tones_page.h"

#include "bench/page/page.h"
#include "bench/page/plot.h"

#include <math.h>

static void print_cells(FILE *page, const struct tones_report *report)
{
    if (report->cell_count == 0)
        return;
    fputs("<section><h2>Cells</h2><p class=\"soft\">Random keys within a region. Unless a cell says "
          "otherwise: -3 to -24 "
          "dBm0, 1.5 % off tune, twist -8 to +8 dB, SNR 15 to 35 dB, 40 to 60 ms. Leaked: a sample of the "
          "key was "
          "delivered, or 0.6 of its tone in any 2 ms.</p><div class=\"wide\" tabindex=\"0\" role=\"region\" "
          "aria-label=\"Cells\"><table><thead><tr><th scope=\"col\">cell</th><th scope=\"col\">engine</th>"
          "<th scope=\"col\">presses</th><th scope=\"col\">heard</th><th scope=\"col\">missed</th>"
          "<th scope=\"col\">wrong</th><th scope=\"col\">extra</th><th scope=\"col\">p50 ms</th>"
          "<th scope=\"col\">p99 ms</th><th scope=\"col\">max ms</th><th "
          "scope=\"col\">leaked</th></tr></thead><tbody>\n",
          page);
    for (size_t i = 0; i < report->cell_count; i++) {
        const struct tones_cell *cell = &report->cells[i];
        const struct tone_outcome *r = &cell->outcome;
        fputs("<tr><th scope=\"row\">", page);
        page_text(page, cell->name);
        fprintf(page, "</th><td>%s</td><td>%zu</td><td>%zu</td><td>%zu</td><td>%zu</td><td>%zu</td>",
                tone_engine_names[cell->engine], r->presses, r->heard, r->missed, r->wrong, r->extra);
        if (r->heard > 0)
            fprintf(page, "<td>%.2f</td><td>%.2f</td><td>%.2f</td>", r->p50_ms, r->p99_ms, r->max_ms);
        else
            fputs("<td>&ndash;</td><td>&ndash;</td><td>&ndash;</td>", page);
        fprintf(page, "<td>%zu</td></tr>\n", r->leaked_presses);
    }
    fputs("</tbody></table></div></section>\n", page);
}

static void plot_grid(FILE *page, const struct tone_grid_result *result)
{
    const struct tone_grid *grid = result->grid;
    double x[TONE_GRID_POINTS_MAX];
    double y[TONE_ENGINES][TONE_GRID_POINTS_MAX];
    struct plot plot = {.title = grid->says,
                        .x_label = grid->unit,
                        .y_label = "heard once and right, %",
                        .y_to = 100,
                        .series_count = TONE_ENGINES};
    for (int e = 0; e < TONE_ENGINES; e++) {
        for (size_t i = 0; i < grid->point_count; i++) {
            x[i] = tone_grid_x(grid, i);
            y[e][i] = 100 * tone_grid_clean_share(&result->outcomes[i][e]);
        }
        plot.series[e] = (struct plot_series){tone_engine_names[e], x, y[e], grid->point_count};
    }
    plot_print(page, &plot);
}

static void print_grid_table(FILE *page, const struct tone_grid_result *result)
{
    fprintf(
        page,
        "<details><summary>Figures</summary><div class=\"wide\" tabindex=\"0\" role=\"region\" "
        "aria-label=\"Figures of "
        "the grid\"><table><thead><tr><th scope=\"col\">%s</th><th scope=\"col\">own heard, %%</th>"
        "<th scope=\"col\">wrong</th><th scope=\"col\">extra</th><th scope=\"col\">p50 ms</th>"
        "<th scope=\"col\">p99 ms</th><th scope=\"col\">spandsp heard, %%</th><th scope=\"col\">wrong</th>"
        "<th scope=\"col\">extra</th><th scope=\"col\">p50 ms</th><th scope=\"col\">p99 ms</th>"
        "<th scope=\"col\">leaked</th></tr></thead><tbody>\n",
        result->grid->unit);
    for (size_t i = 0; i < result->grid->point_count; i++) {
        fprintf(page, "<tr><th scope=\"row\">%g</th>", tone_grid_x(result->grid, i));
        for (int e = 0; e < TONE_ENGINES; e++) {
            const struct tone_outcome *r = &result->outcomes[i][e];
            fprintf(page, "<td>%.2f</td><td>%zu</td><td>%zu</td>",
                    100.0 * (double)r->heard / (double)r->presses, r->wrong, r->extra);
            if (r->heard > 0)
                fprintf(page, "<td>%.2f</td><td>%.2f</td>", r->p50_ms, r->p99_ms);
            else
                fputs("<td>&ndash;</td><td>&ndash;</td>", page);
        }
        fprintf(page, "<td>%zu</td></tr>\n", result->outcomes[i][TONE_OWN].leaked_presses);
    }
    fputs("</tbody></table></div></details>\n", page);
}

static void print_grids(FILE *page, const struct tones_report *report)
{
    if (report->grid_count == 0)
        return;
    fputs("<section><h2>Grids</h2><p class=\"soft\">One property varied, the rest held at -10 dBm0, in tune, "
          "no twist, 50 "
          "ms with pauses of 200 to 300, SNR 30 dB.</p><div class=\"plots\">\n",
          page);
    for (size_t g = 0; g < report->grid_count; g++) {
        fputs("<div><h3>", page);
        page_text(page, report->grids[g].grid->name);
        fputs("</h3>", page);
        plot_grid(page, &report->grids[g]);
        print_grid_table(page, &report->grids[g]);
        fputs("</div>\n", page);
    }
    fputs("</div></section>\n", page);
}

void tones_page_print(FILE *page, const struct tones_report *report)
{
    page_begin(page, "Generated keys");
    fprintf(page,
            "<p class=\"soft\">%zu presses in each cell and at each point, seed %llu: the same command gives "
            "the same "
            "keys. Every press goes through u-law and the whole mask; own is this product's decision, "
            "spandsp is SpanDSP's "
            "in its place.</p>\n",
            report->presses, (unsigned long long)report->seed);
    print_cells(page, report);
    print_grids(page, report);
    page_end(page);
}
