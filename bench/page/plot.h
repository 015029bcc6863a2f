/* Curves as inline SVG that follows the page's light or dark colours. Told apart by dash and marker as well as by colour; the
 * figures themselves belong in a table beside the plot. Stateless, any thread. */
#ifndef TONEGATE_BENCH_PAGE_PLOT_H
#define TONEGATE_BENCH_PAGE_PLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define PLOT_SERIES_MAX 6

struct plot_series {
    const char *name;
    const double *x; /* NAN in x or y leaves a point out */
    const double *y;
    size_t count;
};

struct plot {
    const char *title;   /* also what a screen reader says */
    const char *x_label; /* with its unit */
    const char *y_label;
    double x_from, x_to; /* equal: taken from the series */
    double y_from, y_to;
    struct plot_series series[PLOT_SERIES_MAX];
    size_t series_count;
    bool has_goal; /* a line across at y goal */
    double goal;
};

/* A <figure>. */
void plot_print(FILE *page, const struct plot *plot);

#endif
