#include "bench/leak/spectrogram.h"

#include "bench/leak/fourier.h"

#include <math.h>
#include <png.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define RATE      8000.0
#define WINDOW    256 /* 32 ms, 31 Hz a bin */
#define PEAK_DBM0 3.14
#define COLOURS   256
#define ANCHORS   6

/* Dark to bright, evenly spaced; between them linear. Readable on light and dark pages. */
static const unsigned char anchor[ANCHORS][3] = {{11, 14, 32},  {46, 25, 96},   {125, 37, 128},
                                                 {214, 72, 98}, {250, 150, 70}, {252, 246, 190}};

static void fill_palette(png_color *palette)
{
    for (int i = 0; i < COLOURS; i++) {
        double at = (double)i * (ANCHORS - 1) / (COLOURS - 1);
        int below = i * (ANCHORS - 1) / COLOURS;
        double share = at - below;
        unsigned char mixed[3];
        for (int c = 0; c < 3; c++)
            mixed[c] = (unsigned char)lround(anchor[below][c] * (1 - share) + anchor[below + 1][c] * share);
        palette[i] = (png_color){mixed[0], mixed[1], mixed[2]};
    }
}

/* Levels (dBm0 of a sine in the bin) of the window centred on `centre`. */
static void column_levels(const float *samples, size_t count, double centre, float *levels)
{
    struct fourier_value bins[WINDOW];
    double weight = 0;
    for (int i = 0; i < WINDOW; i++) {
        double at = floor(centre) - WINDOW / 2.0 + i;
        double hann = 0.5 - 0.5 * cos(2 * M_PI * (i + 0.5) / WINDOW);
        weight += hann;
        float sample = at >= 0 && at < (double)count ? samples[(size_t)at] : 0;
        bins[i] = (struct fourier_value){(float)(sample * hann), 0};
    }
    fourier_transform(bins, WINDOW, false);
    for (int k = 0; k <= WINDOW / 2; k++) {
        double amplitude = 2 * hypot((double)bins[k].re, (double)bins[k].im) / weight;
        levels[k] = (float)(20 * log10(amplitude / 32768 + 1e-9) + PEAK_DBM0);
    }
}

static void draw_column(const float *levels, const struct spectrogram_options *options, unsigned x,
                        unsigned char *pixels)
{
    for (unsigned y = 0; y < options->height; y++) {
        double bin = (1 - ((double)y + 0.5) / options->height) * (WINDOW / 2.0);
        int below = (int)bin;
        double share = bin - below;
        double level =
            levels[below] * (1 - share) + levels[below + 1 > WINDOW / 2 ? below : below + 1] * share;
        double tint = (level - options->floor_dbm0) / (options->top_dbm0 - options->floor_dbm0);
        tint = tint < 0 ? 0 : tint > 1 ? 1 : tint;
        pixels[(size_t)y * options->width + x] = (unsigned char)lround(tint * (COLOURS - 1));
    }
}

struct byte_sink {
    unsigned char *bytes;
    size_t count;
    size_t capacity;
};

static void sink_write(png_structp png, png_bytep bytes, png_size_t count)
{
    struct byte_sink *sink = png_get_io_ptr(png);
    if (sink->count + count > sink->capacity) {
        size_t capacity = (sink->count + count) * 2;
        unsigned char *larger = realloc(sink->bytes, capacity);
        if (larger == NULL)
            png_error(png, "memory");
        sink->bytes = larger;
        sink->capacity = capacity;
    }
    memcpy(sink->bytes + sink->count, bytes, count);
    sink->count += count;
}

static void sink_flush(png_structp png)
{
    (void)png;
}

static enum err encode(const unsigned char *pixels, const struct spectrogram_options *options,
                       struct byte_sink *sink)
{
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop header = png == NULL ? NULL : png_create_info_struct(png);
    if (header == NULL || setjmp(png_jmpbuf(png))) {
        png_destroy_write_struct(&png, &header);
        return ERR_MEMORY;
    }
    png_color palette[COLOURS];
    fill_palette(palette);
    png_set_write_fn(png, sink, sink_write, sink_flush);
    png_set_IHDR(png, header, options->width, options->height, 8, PNG_COLOR_TYPE_PALETTE, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_set_PLTE(png, header, palette, COLOURS);
    png_write_info(png, header);
    for (unsigned y = 0; y < options->height; y++)
        png_write_row(png, pixels + (size_t)y * options->width);
    png_write_end(png, header);
    png_destroy_write_struct(&png, &header);
    return OK;
}

enum err spectrogram_png(const float *samples, size_t count, const struct spectrogram_options *options,
                         unsigned char **png, size_t *png_bytes)
{
    if (options->width < 16 || options->width > 8192 || options->height < 16 || options->height > 1024 ||
        !(options->length_s > 0) || !(options->top_dbm0 > options->floor_dbm0))
        return ERR_RANGE;
    unsigned char *pixels = malloc((size_t)options->width * options->height);
    if (pixels == NULL)
        return ERR_MEMORY;
    for (unsigned x = 0; x < options->width; x++) {
        float levels[WINDOW / 2 + 1];
        double at_s = options->from_s + ((double)x + 0.5) / options->width * options->length_s;
        column_levels(samples, count, at_s * RATE, levels);
        draw_column(levels, options, x, pixels);
    }
    struct byte_sink sink = {0};
    enum err err = encode(pixels, options, &sink);
    free(pixels);
    if (err != OK) {
        free(sink.bytes);
        return err;
    }
    *png = sink.bytes;
    *png_bytes = sink.count;
    return OK;
}

char *spectrogram_base64(const unsigned char *bytes, size_t count)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *text = malloc((count + 2) / 3 * 4 + 1);
    if (text == NULL)
        return NULL;
    char *end = text;
    for (size_t i = 0; i < count; i += 3) {
        size_t have = count - i < 3 ? count - i : 3;
        uint32_t group = (uint32_t)bytes[i] << 16;
        group |= have > 1 ? (uint32_t)bytes[i + 1] << 8 : 0;
        group |= have > 2 ? bytes[i + 2] : 0;
        *end++ = letters[group >> 18];
        *end++ = letters[group >> 12 & 63];
        *end++ = have > 1 ? letters[group >> 6 & 63] : '=';
        *end++ = have > 2 ? letters[group & 63] : '=';
    }
    *end = '\0';
    return text;
}
