/* Arrays for the tests of the kernels: with guard zones around what is written, with NaN in
 * the work memory, of random values; and norms and products of them in double. */
#ifndef ATH_TESTS_ARRAYS_H
#define ATH_TESTS_ARRAYS_H
#include "check.h"

enum { GUARD = 32 };
static const float guard_value = 12345.5F;

/* `len` floats with GUARD known ones on both sides, by turns at a cache line's start and a float after. */
static inline float *guarded(size_t len) {
    static size_t turn;
    const size_t shift = turn++ % 2;
    float *p = aligned_alloc(64, ((len + 2 * GUARD + shift) * sizeof *p + 63) / 64 * 64);
    assert_non_null(p);
    for (size_t i = 0; i < len + 2 * GUARD; i++) p[shift + i] = guard_value;
    return p + shift + GUARD;
}

static inline void check_guards(const float *p, size_t len, const char *what) {
    for (size_t i = 0; i < GUARD; i++)
        CHECK(p[-1 - (ptrdiff_t)i] == guard_value && p[len + i] == guard_value, "%s: written outside of its %zu floats",
              what, len);
}

static inline void release(float *p) { free((void *)((uintptr_t)(p - GUARD) / 64 * 64)); }

/* Work memory of exactly `len` floats, all NaN: nothing may count on what it holds. */
static inline float *poisoned(size_t len) {
    float *p = guarded(len);
    for (size_t i = 0; i < len; i++) p[i] = NAN;
    return p;
}

/* The same where doubles are kept in it: never a float after a cache line's start. */
static inline float *poisoned_for_doubles(size_t len) {
    float *p = poisoned(len);
    if ((uintptr_t)p % sizeof(double) == 0) return p;
    release(p);
    return poisoned(len);
}

static uint64_t seed = 1;

static inline double uniform(void) {
    seed = seed * 6364136223846793005U + 1442695040888963407U;
    return (double)(seed >> 11) * 0x1p-53;
}

/* Values in [-1, 1), in memory of exactly that size. */
static inline float *random_floats(size_t len) {
    float *p = malloc(len * sizeof *p + 1);
    assert_non_null(p);
    for (size_t i = 0; i < len; i++) p[i] = (float)(2 * uniform() - 1);
    return p;
}

static inline double norm_error(const float *a, const double *b, size_t n) {
    double diff = 0, norm = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = (double)a[i] - b[i];
        diff += d * d;
        norm += b[i] * b[i];
    }
    return diff == 0 ? 0 : sqrt(diff / norm);
}

static inline double dot(const float *a, const float *b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

#endif
