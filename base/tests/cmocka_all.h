/* cmocka.h does not include what it needs. */
#ifndef TONEGATE_BASE_TESTS_CMOCKA_ALL_H
#define TONEGATE_BASE_TESTS_CMOCKA_ALL_H

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */

#endif
