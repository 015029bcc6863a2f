/* cmocka wants these before itself. */
#ifndef TONEGATE_DSP_TESTS_CMOCKA_ALL_H
#define TONEGATE_DSP_TESTS_CMOCKA_ALL_H

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#endif
