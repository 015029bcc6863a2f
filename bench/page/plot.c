#include "bench/page/plot.h"

#include "bench/page/page.h"

#include <math.h>

#define WIDTH  440.0
#define HEIGHT 250.0
#define LEFT   52.0
#define RIGHT  12.0
#define TOP    10.0
#define BOTTOM 42.0
#define TICKS  5

static const char *const dashes[PLOT_SERIES_MAX] = {"", "6 3", "2 3", "9 3 2 3", "1 2", "12 4"};

struct frame {
    double x_from, x_to, y_from, y_to;
};

static double place_x(const struct frame *frame, double x)
{
    return LEFT + (x - frame->x_from) / (frame->x_to - frame->x_from) * (WIDTH - LEFT - RIGHT);
}

static double place_y(const struct frame *frame, double y)
{
    return HEIGHT - BOTTOM - (y - frame->y_from) / (frame->y_to - frame->y_from) * (HEIGHT - TOP - BOTTOM);
}

static void reach(const struct plot *plot, bool is_x, double *from, double *to)
{
    double least = INFINITY;
    double most = -INFINITY;
    if (*from < *to)
        return;
    for (size_t s = 0; s < plot->series_count; s++)
        for (size_t i = 0; i < plot->series[s].count; i++) {
            double value = is_x ? plot->series[s].x[i] : plot->series[s].y[i];
            if (isfinite(value)) {
                least = fmin(least, value);
                most = fmax(most, value);
            }
        }
    if (!is_x)
        least = fmin(least, 0);
    if (!isfinite(least) || !isfinite(most)) {
        least = 0;
        most = 1;
    }
    *from = least;
    *to = most > least ? most : least + 1;
}

/* The step of about TICKS ticks that is 1, 2 or 5 times a power of ten. */
static double tick_step(double span)
{
    double rough = span / TICKS;
    double power = pow(10, floor(log10(rough)));
    double share = rough / power;
    return power * (share < 1.5 ? 1 : share < 3.5 ? 2 : share < 7.5 ? 5 : 10);
}

static void print_x_ticks(FILE *page, const struct frame *frame)
{
    double step = tick_step(frame->x_to - frame->x_from);
    for (double n = ceil(frame->x_from / step - 1e-9); n * step <= frame->x_to + step * 1e-9; n++) {
        double x = place_x(frame, n * step);
        fprintf(page, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", x, x, TOP,
                HEIGHT - BOTTOM);
        fprintf(page, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%.6g</text>", x,
                HEIGHT - BOTTOM + 15, n == 0 ? 0.0 : n * step);
    }
}

static void print_y_ticks(FILE *page, const struct frame *frame)
{
    double step = tick_step(frame->y_to - frame->y_from);
    for (double n = ceil(frame->y_from / step - 1e-9); n * step <= frame->y_to + step * 1e-9; n++) {
        double y = place_y(frame, n * step);
        fprintf(page, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT,
                WIDTH - RIGHT, y, y);
        fprintf(page, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%.6g</text>", LEFT - 5, y + 4,
                n == 0 ? 0.0 : n * step);
    }
}

static void print_labels(FILE *page, const struct plot *plot)
{
    fprintf(page, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">", (LEFT + WIDTH - RIGHT) / 2,
            HEIGHT - 6);
    page_text(page, plot->x_label);
    fprintf(page, "</text><text transform=\"translate(12 %.1f) rotate(-90)\" text-anchor=\"middle\">",
            (TOP + HEIGHT - BOTTOM) / 2);
    page_text(page, plot->y_label);
    fputs("</text>", page);
}

static bool is_shown(const struct frame *frame, double x, double y)
{
    return isfinite(x) && isfinite(y) && x >= frame->x_from && x <= frame->x_to;
}

static double held(const struct frame *frame, double y)
{
    return fmax(frame->y_from, fmin(frame->y_to, y));
}

/* A line where there are points beside each other, and a mark on each of few points. */
static void print_series(FILE *page, const struct frame *frame, const struct plot_series *series,
                         size_t number)
{
    bool is_open = false;
    fprintf(page,
            "<path fill=\"none\" stroke=\"var(--s%zu)\" stroke-width=\"2\" stroke-dasharray=\"%s\" d=\"",
            number, dashes[number]);
    for (size_t i = 0; i < series->count; i++) {
        bool is_here = is_shown(frame, series->x[i], series->y[i]);
        if (is_here)
            fprintf(page, "%c%.1f %.1f", is_open ? 'L' : 'M', place_x(frame, series->x[i]),
                    place_y(frame, held(frame, series->y[i])));
        is_open = is_here;
    }
    fputs("\"/>", page);
    for (size_t i = 0; i < series->count && series->count <= 64; i++) {
        if (!is_shown(frame, series->x[i], series->y[i]))
            continue;
        double x = place_x(frame, series->x[i]);
        double y = place_y(frame, held(frame, series->y[i]));
        if (number % 2 == 0)
            fprintf(page, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.6\" fill=\"var(--s%zu)\"/>", x, y, number);
        else
            fprintf(page, "<rect x=\"%.1f\" y=\"%.1f\" width=\"5\" height=\"5\" fill=\"var(--s%zu)\"/>",
                    x - 2.5, y - 2.5, number);
    }
}

static void print_keys(FILE *page, const struct plot *plot)
{
    fputs("<div>", page);
    for (size_t s = 0; s < plot->series_count; s++) {
        fprintf(
            page,
            "<span class=\"key\"><svg viewBox=\"0 0 30 12\" aria-hidden=\"true\"><line x1=\"0\" x2=\"30\" "
            "y1=\"6\" y2=\"6\" stroke=\"var(--s%zu)\" stroke-width=\"2.5\" stroke-dasharray=\"%s\"/></svg>",
            s, dashes[s]);
        page_text(page, plot->series[s].name);
        fputs("</span>", page);
    }
    fputs("</div>", page);
}

void plot_print(FILE *page, const struct plot *plot)
{
    struct frame frame = {plot->x_from, plot->x_to, plot->y_from, plot->y_to};
    reach(plot, true, &frame.x_from, &frame.x_to);
    reach(plot, false, &frame.y_from, &frame.y_to);
    fputs("<figure class=\"plot\"><figcaption>", page);
    page_text(page, plot->title);
    fputs("</figcaption>", page);
    fprintf(page, "<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"", WIDTH, HEIGHT);
    page_text(page, plot->title);
    fputs("; the figures are in the table\">", page);
    print_x_ticks(page, &frame);
    print_y_ticks(page, &frame);
    fprintf(page, "<line class=\"axis\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT,
            WIDTH - RIGHT, HEIGHT - BOTTOM, HEIGHT - BOTTOM);
    if (plot->has_goal)
        fprintf(page,
                "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"var(--bad)\" "
                "stroke-dasharray=\"3 4\"/>",
                LEFT, WIDTH - RIGHT, place_y(&frame, held(&frame, plot->goal)),
                place_y(&frame, held(&frame, plot->goal)));
    for (size_t s = 0; s < plot->series_count; s++)
        print_series(page, &frame, &plot->series[s], s);
    print_labels(page, plot);
    fputs("</svg>", page);
    print_keys(page, plot);
    fputs("</figure>\n", page);
}
