/* Counter-based random numbers: see rng.h. Philox itself is Random123's. */
#include "base/rng.h"
#include "base/status.h"
#include <math.h>

/* Random123's header uses what C17's -Wpedantic and -Wconversion object to. */
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#endif
#include <Random123/philox.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

enum { ROUNDS = 10 }; /* of the Feistel network: with 4, a set of five keeps an item in place 26 % of the time */
static const double two_pi = 6.283185307179586476925286766559;

/* Four words: the counter is (block, stream, index), the key is the seed. */
static philox4x32_ctr_t draw(ath_rng rng, ath_stream who, uint64_t index, uint32_t block) {
    const philox4x32_key_t key = {{(uint32_t)rng.seed, (uint32_t)(rng.seed >> 32)}};
    const philox4x32_ctr_t counter = {{block, (uint32_t)who, (uint32_t)index, (uint32_t)(index >> 32)}};
    return philox4x32(counter, key);
}

/* A pair of normals from two words. u1 is in (0, 1], so the logarithm is finite. */
static void box_muller(uint32_t a, uint32_t b, double *z0, double *z1) {
    const double u1 = ((double)a + 1.0) * 0x1p-32, u2 = (double)b * 0x1p-32;
    const double radius = sqrt(-2.0 * log(u1));
    *z0 = radius * cos(two_pi * u2);
    *z1 = radius * sin(two_pi * u2);
}

void ath_rng_normal_f64(ath_rng rng, ath_stream who, uint64_t index, double *out, size_t n) {
    for (size_t i = 0; i < n; i += 4) {
        const philox4x32_ctr_t r = draw(rng, who, index, (uint32_t)(i / 4));
        double z[4];
        box_muller(r.v[0], r.v[1], &z[0], &z[1]);
        box_muller(r.v[2], r.v[3], &z[2], &z[3]);
        for (size_t j = 0; j < 4 && i + j < n; j++) out[i + j] = z[j];
    }
}

void ath_rng_normal(ath_rng rng, ath_stream who, uint64_t index, float *out, size_t n) {
    for (size_t i = 0; i < n; i += 4) {
        const philox4x32_ctr_t r = draw(rng, who, index, (uint32_t)(i / 4));
        double z[4];
        box_muller(r.v[0], r.v[1], &z[0], &z[1]);
        box_muller(r.v[2], r.v[3], &z[2], &z[3]);
        for (size_t j = 0; j < 4 && i + j < n; j++) out[i + j] = (float)z[j];
    }
}

void ath_rng_uniform(ath_rng rng, ath_stream who, uint64_t index, float *out, size_t n) {
    for (size_t i = 0; i < n; i += 4) {
        const philox4x32_ctr_t r = draw(rng, who, index, (uint32_t)(i / 4));
        for (size_t j = 0; j < 4 && i + j < n; j++) out[i + j] = (float)(r.v[j] >> 8) * 0x1p-24f;
    }
}

double ath_rng_uniform1(ath_rng rng, ath_stream who, uint64_t index) {
    const philox4x32_ctr_t r = draw(rng, who, index, 0);
    return (double)((((uint64_t)r.v[0] << 32) | r.v[1]) >> 11) * 0x1p-53;
}

uint64_t ath_rng_permute(ath_rng rng, ath_stream who, uint64_t index, uint64_t i, uint64_t n) {
    ATH_ASSERT(i < n);
    /* The network permutes 2*half bits, at most 4n values; walking the cycle until
     * it lands below n makes it a permutation of 0..n-1. */
    unsigned half = 1;
    while (half < 32 && ((uint64_t)1 << (2 * half)) < n) half++;
    const uint32_t mask = half == 32 ? UINT32_MAX : (((uint32_t)1 << half) - 1);
    uint64_t value = i;
    do {
        uint32_t left = (uint32_t)(value >> half) & mask, right = (uint32_t)value & mask;
        for (uint32_t round = 0; round < ROUNDS; round++) {
            const philox4x32_key_t key = {{(uint32_t)rng.seed, (uint32_t)(rng.seed >> 32)}};
            const philox4x32_ctr_t counter = {
                {right, (uint32_t)who | (round + 1) << 16, (uint32_t)index, (uint32_t)(index >> 32)}};
            const uint32_t next = left ^ (philox4x32(counter, key).v[0] & mask);
            left = right;
            right = next;
        }
        value = ((uint64_t)left << half) | right;
    } while (value >= n);
    return value;
}
