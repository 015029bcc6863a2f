#include "bench/leak/fourier.h"

#include <math.h>

static void reverse_bits(struct fourier_value *values, size_t count)
{
    for (size_t i = 1, j = 0; i < count; i++) {
        size_t bit = count >> 1;
        for (; j & bit; bit >>= 1)
            j ^= bit;
        j ^= bit;
        if (i < j) {
            struct fourier_value held = values[i];
            values[i] = values[j];
            values[j] = held;
        }
    }
}

static void butterfly(struct fourier_value *a, struct fourier_value *b, double re, double im)
{
    float x = (float)(b->re * re - b->im * im);
    float y = (float)(b->re * im + b->im * re);
    b->re = a->re - x;
    b->im = a->im - y;
    a->re += x;
    a->im += y;
}

void fourier_transform(struct fourier_value *values, size_t count, bool is_inverse)
{
    reverse_bits(values, count);
    for (size_t size = 2; size <= count; size <<= 1) {
        double angle = (is_inverse ? 2 : -2) * M_PI / (double)size;
        double step_re = cos(angle);
        double step_im = sin(angle);
        double re = 1;
        double im = 0;
        for (size_t k = 0; k < size / 2; k++) {
            for (size_t i = k; i < count; i += size)
                butterfly(&values[i], &values[i + size / 2], re, im);
            double next = re * step_re - im * step_im;
            im = re * step_im + im * step_re;
            re = next;
        }
    }
}
