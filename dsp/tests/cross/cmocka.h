/* As much of cmocka as the tests of the faces use, for a processor that this machine has no cmocka for: every failure
 * ends the program. */
#ifndef TONEGATE_DSP_TESTS_CROSS_CMOCKA_H
#define TONEGATE_DSP_TESTS_CROSS_CMOCKA_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct CMUnitTest {
    const char *name;
    void (*run)(void **state);
};
#define cmocka_unit_test(f)                                                                                  \
    {                                                                                                        \
#f, f                                                                                                \
    }

#define assert_true(condition)                                                                               \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            printf("%s:%d: %s\n", __FILE__, __LINE__, #condition);                                           \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)
#define assert_false(condition)      assert_true(!(condition))
#define assert_int_equal(a, b)       assert_true((a) == (b))
#define assert_string_equal(a, b)    assert_true(strcmp(a, b) == 0)
#define assert_memory_equal(a, b, n) assert_true(memcmp(a, b, n) == 0)
#define assert_non_null(p)           assert_true((p) != NULL)
#define print_message(...)           printf(__VA_ARGS__)
#define skip()                       return

#define cmocka_run_group_tests(tests, setup, teardown)                                                       \
    cross_run(tests, sizeof(tests) / sizeof((tests)[0]), setup, teardown)

static inline int cross_run(const struct CMUnitTest *tests, size_t count, int (*setup)(void **state),
                            int (*teardown)(void **state))
{
    void *state = NULL;
    if (setup && setup(&state))
        return 1;
    for (size_t i = 0; i < count; i++) {
        tests[i].run(&state);
        printf("ok %s\n", tests[i].name);
    }
    return teardown ? teardown(&state) : 0;
}

#endif
