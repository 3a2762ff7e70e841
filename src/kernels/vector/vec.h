/* Vectors of ATH_W floats, by the vector extension of GCC (12 on) and Clang where it has a word for it and, of 8 and 16,
 * by the instruction set's own masked and min/max instructions where it has none: vectors of 4 do without, on any machine.
 * Memory is always float aligned; what is masked out is not touched.
 * Part of template.h. */
#if ATH_W > 4
#include <immintrin.h>
#endif
#include <stdint.h>

typedef float vec __attribute__((vector_size(4 * ATH_W)));
typedef float vec_unaligned __attribute__((vector_size(4 * ATH_W), aligned(4), may_alias));
typedef int32_t ivec __attribute__((vector_size(4 * ATH_W)));
typedef uint32_t uvec __attribute__((vector_size(4 * ATH_W)));

#define INLINE static inline __attribute__((always_inline))
enum { W = ATH_W, MR = ATH_MR, PANEL = 2 * ATH_W };
enum { LINE = 64 / sizeof(float) }; /* floats of a cache line */

INLINE vec load(const float *p) { return *(const vec_unaligned *)p; }
INLINE void store(float *p, vec v) { *(vec_unaligned *)p = v; }
INLINE vec splat(float a) { return a - (vec){0}; }

#if ATH_W == 16
/* The first n < W lane_choice; the others are 0. */
INLINE vec load_part(const float *p, int n) { return (vec)_mm512_maskz_loadu_ps((__mmask16)((1U << n) - 1U), p); }
INLINE void store_part(float *p, vec v, int n) { _mm512_mask_storeu_ps(p, (__mmask16)((1U << n) - 1U), (__m512)v); }
/* Of two values of which one is NaN these give the second. */
INLINE vec vec_min(vec a, vec b) { return (vec)_mm512_min_ps((__m512)a, (__m512)b); }
INLINE vec vec_max(vec a, vec b) { return (vec)_mm512_max_ps((__m512)a, (__m512)b); }
#elif ATH_W == 8
INLINE __m256i part_mask(int n) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane);
}
INLINE vec load_part(const float *p, int n) { return (vec)_mm256_maskload_ps(p, part_mask(n)); }
INLINE void store_part(float *p, vec v, int n) { _mm256_maskstore_ps(p, part_mask(n), (__m256)v); }
INLINE vec vec_min(vec a, vec b) { return (vec)_mm256_min_ps((__m256)a, (__m256)b); }
INLINE vec vec_max(vec a, vec b) { return (vec)_mm256_max_ps((__m256)a, (__m256)b); }
#else
/* Not inline: what follows would be compiled once for each n, and of a b + c d other products contracted than elsewhere. */
static __attribute__((noinline)) vec load_part(const float *p, int n) {
    return (vec){n > 0 ? p[0] : 0, n > 1 ? p[1] : 0, n > 2 ? p[2] : 0, n > 3 ? p[3] : 0};
}
static __attribute__((noinline)) void store_part(float *p, vec v, int n) {
#pragma GCC unroll 4
    for (int l = 0; l < W; l++)
        if (l < n) p[l] = v[l];
}
INLINE vec chosen_lanes(ivec lanes, vec a, vec b) { return (vec)(((ivec)a & lanes) | ((ivec)b & ~lanes)); }
INLINE vec vec_min(vec a, vec b) { return chosen_lanes(a < b, a, b); }
INLINE vec vec_max(vec a, vec b) { return chosen_lanes(a > b, a, b); }
#endif

/* All lanes or none: load_if reads nothing where there are none. */
#if ATH_W == 16
typedef __mmask16 lane_choice;
INLINE lane_choice all_or_none(bool all) { return (lane_choice)(all ? 0xffff : 0); }
INLINE vec load_if(const float *p, lane_choice s) { return (vec)_mm512_maskz_loadu_ps(s, p); }
#elif ATH_W == 8
typedef __m256i lane_choice;
INLINE lane_choice all_or_none(bool all) { return _mm256_set1_epi32(all ? -1 : 0); }
INLINE vec load_if(const float *p, lane_choice s) { return (vec)_mm256_maskload_ps(p, s); }
#else
typedef bool lane_choice;
INLINE lane_choice all_or_none(bool all) { return all; }
static const float zero_lanes[ATH_W];
INLINE vec load_if(const float *p, lane_choice s) { return load(s ? p : zero_lanes); }
#endif

INLINE vec load_some(const float *p, int n) { return n >= W ? load(p) : load_part(p, n); }
INLINE void store_some(float *p, vec v, int n) {
    if (n >= W)
        store(p, v);
    else
        store_part(p, v, n);
}

/* a[0] b[0] a[1] b[1] ... of the first halves, and of the second. */
#if ATH_W == 16
INLINE vec interleave_low(vec a, vec b) {
    return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}
INLINE vec interleave_high(vec a, vec b) {
    return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}
#elif ATH_W == 8
INLINE vec interleave_low(vec a, vec b) { return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11); }
INLINE vec interleave_high(vec a, vec b) { return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15); }
#else
INLINE vec interleave_low(vec a, vec b) { return __builtin_shufflevector(a, b, 0, 4, 1, 5); }
INLINE vec interleave_high(vec a, vec b) { return __builtin_shufflevector(a, b, 2, 6, 3, 7); }
#endif

/* The rows of a W x W matrix become its columns: row i interleaved with row i + W/2, as often as it takes. */
INLINE void transpose(vec *rows) {
    enum { TIMES = ATH_W == 16 ? 4 : ATH_W == 8 ? 3 : 2 };
#pragma GCC unroll 4
    for (int t = 0; t < TIMES; t++) {
        vec next[ATH_W];
#pragma GCC unroll 8
        for (int i = 0; i < W / 2; i++) {
            next[2 * i] = interleave_low(rows[i], rows[i + W / 2]);
            next[2 * i + 1] = interleave_high(rows[i], rows[i + W / 2]);
        }
#pragma GCC unroll 16
        for (int i = 0; i < W; i++) rows[i] = next[i];
    }
}

INLINE int at_most(int a, int limit) { return a < limit ? a : limit; }
INLINE int at_least(int a, int limit) { return a > limit ? a : limit; }
INLINE int round_up(int a, int to) { return (a + to - 1) / to * to; }
INLINE size_t sz(int a) { return (size_t)a; }

/* Work memory from its first whole cache line: a vector that straddles two costs twice. */
INLINE float *aligned(float *scratch) {
    const size_t past = (uintptr_t)scratch / sizeof(float) % LINE;
    return past == 0 ? scratch : scratch + (LINE - past);
}
