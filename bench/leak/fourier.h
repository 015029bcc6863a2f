/* Radix-2 Fourier transform for the tools that align and draw recordings. No state, any thread. */
#ifndef TONEGATE_BENCH_LEAK_FOURIER_H
#define TONEGATE_BENCH_LEAK_FOURIER_H

#include <stdbool.h>
#include <stddef.h>

struct fourier_value {
    float re;
    float im;
};

/* In place; count is a power of two. The inverse is not scaled by 1/count. */
void fourier_transform(struct fourier_value *values, size_t count, bool is_inverse);

#endif
