/* What the tests share: cmocka with its prelude, and comparisons that print what was
 * compared and the two values. */
#ifndef ATH_TESTS_CHECK_H
#define ATH_TESTS_CHECK_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/status.h"

/* Fails the test with a sentence when the condition does not hold. */
#define CHECK(condition, ...)                                                                                          \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            print_error("%s:%d: %s\n    ", __FILE__, __LINE__, #condition);                                            \
            print_error(__VA_ARGS__);                                                                                  \
            print_error("\n");                                                                                         \
            fail();                                                                                                    \
        }                                                                                                              \
    } while (0)

/* The call must succeed; prints its message when it does not. Needs `ath_err err`. */
#define CHECK_OK(call)                                                                                                 \
    do {                                                                                                               \
        const ath_status check_status_ = (call);                                                                       \
        CHECK(check_status_ == ATH_OK, "%s: %s", #call, err.text);                                                     \
    } while (0)

/* The call must fail with this code and a message that has all of these words in it. */
#define CHECK_FAILS(call, expected, word)                                                                              \
    do {                                                                                                               \
        memset(&err, 0, sizeof err);                                                                                   \
        const ath_status check_status_ = (call);                                                                       \
        CHECK(check_status_ == (expected), "%s gave %d, expected %d (%s)", #call, (int)check_status_, (int)(expected), \
              err.text);                                                                                               \
        CHECK(strstr(err.text, word) != NULL, "%s said \"%s\", expected it to name \"%s\"", #call, err.text, word);    \
    } while (0)

/* |a - b| / |b| over n floats in the Euclidean norm; 0 when both are zero. */
static inline double relative_error(const float *a, const float *b, size_t n) {
    double diff = 0, norm = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = (double)a[i] - (double)b[i];
        diff += d * d;
        norm += (double)b[i] * (double)b[i];
    }
    if (diff == 0) return 0;
    return norm > 0 ? sqrt(diff / norm) : INFINITY;
}

#endif
