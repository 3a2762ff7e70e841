/* The two inner products everything heavy is made of, register blocked: MR rows by two
 * vectors of columns, so that a step is two loads of B, MR broadcasts of A and 2 MR FMAs.
 *
 *     rows:   C[mr][PANEL] (+)= A B,   A stored [k/W][mr][W], B stored [k][PANEL]
 *     outer:  C[mr][PANEL] (+)= A' B,  A stored [t][lda],     B stored [t][ldb]
 *
 * The blocked storage of A in `rows` is what lets one pointer reach all MR rows by
 * constant offsets (with a pointer a row GCC 12 spills them), keeps the rows of a block on
 * their own cache lines whatever their number, and is what a vector of channels stores into
 * anyway. Each element of C is one chain of FMAs in the order of k (or t), so its
 * bits depend neither on mr nor on its place in the tile.
 *
 * What comes next is asked for in time, since all of this streams from L2 and hardware fetches little ahead into L1: B a few
 * steps ahead, the tile of A that comes `next` (rows) and the next of C (outer). Measured with 64 channels: 4 % and 12 % faster.
 * Part of template.h. */

enum { AHEAD = 8 }; /* steps of k or t */

INLINE void rows_body(int mr, const float *a, const float *b, int k, float *c, bool add, const float *next) {
    vec sum0[MR], sum1[MR];
    const ptrdiff_t to_next = next - a;
#pragma GCC unroll 16
    for (int i = 0; i < mr; i++) {
        sum0[i] = add ? load(c + i * PANEL) : (vec){0};
        sum1[i] = add ? load(c + i * PANEL + W) : (vec){0};
    }
    for (const float *end = a + (ptrdiff_t)k * mr; a < end; a += mr * W) {
#pragma GCC unroll 2
        for (int l = 0; l < W; l++, b += PANEL) {
            const vec b0 = load(b), b1 = load(b + W);
            __builtin_prefetch(a + to_next + l * W);
            __builtin_prefetch(b + AHEAD * PANEL);
            __builtin_prefetch(b + AHEAD * PANEL + W);
#pragma GCC unroll 16
            for (int i = 0; i < mr; i++) {
                const vec x = splat(a[i * W + l]);
                sum0[i] += x * b0;
                sum1[i] += x * b1;
            }
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < mr; i++) {
        store(c + i * PANEL, sum0[i]);
        store(c + i * PANEL + W, sum1[i]);
    }
}

INLINE void outer_body(int mr, const float *a, size_t lda, const float *b, size_t ldb, int count, float *c, bool add) {
    vec sum0[MR], sum1[MR];
#pragma GCC unroll 16
    for (int i = 0; i < mr; i++) {
        sum0[i] = add ? load(c + i * PANEL) : (vec){0};
        sum1[i] = add ? load(c + i * PANEL + W) : (vec){0};
    }
    for (int t = 0; t < count; t++, a += lda, b += ldb) {
        const vec b0 = load(b), b1 = load(b + W);
        __builtin_prefetch(a + AHEAD * lda);
        __builtin_prefetch(b + AHEAD * ldb);
        __builtin_prefetch(b + AHEAD * ldb + W);
        __builtin_prefetch(c + (mr + t) * PANEL);
        __builtin_prefetch(c + (mr + t) * PANEL + W);
#pragma GCC unroll 16
        for (int i = 0; i < mr; i++) {
            const vec x = splat(a[i]);
            sum0[i] += x * b0;
            sum1[i] += x * b1;
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < mr; i++) {
        store(c + i * PANEL, sum0[i]);
        store(c + i * PANEL + W, sum1[i]);
    }
}

#define PRODUCTS(mr)                                                                                                   \
    static void rows_##mr(const float *a, const float *b, int k, float *c, bool add, const float *next) {              \
        if (add)                                                                                                       \
            rows_body(mr, a, b, k, c, true, next);                                                                     \
        else                                                                                                           \
            rows_body(mr, a, b, k, c, false, next);                                                                    \
    }                                                                                                                  \
    static void outer_##mr(const float *a, size_t lda, const float *b, size_t ldb, int count, float *c, bool add) {    \
        if (add)                                                                                                       \
            outer_body(mr, a, lda, b, ldb, count, c, true);                                                            \
        else                                                                                                           \
            outer_body(mr, a, lda, b, ldb, count, c, false);                                                           \
    }
PRODUCTS(1)
PRODUCTS(2)
PRODUCTS(3)
PRODUCTS(4)
PRODUCTS(5)
PRODUCTS(6)
#if ATH_MR == 14
PRODUCTS(7)
PRODUCTS(8)
PRODUCTS(9)
PRODUCTS(10)
PRODUCTS(11)
PRODUCTS(12)
PRODUCTS(13)
PRODUCTS(14)
#endif

typedef void rows_product(const float *a, const float *b, int k, float *c, bool add, const float *next);
typedef void outer_product(const float *a, size_t lda, const float *b, size_t ldb, int count, float *c, bool add);
#if ATH_MR == 14
static rows_product *const rows_of[] = {NULL,   rows_1, rows_2,  rows_3,  rows_4,  rows_5,  rows_6, rows_7,
                                        rows_8, rows_9, rows_10, rows_11, rows_12, rows_13, rows_14};
static outer_product *const outer_of[] = {NULL,    outer_1, outer_2,  outer_3,  outer_4,  outer_5,  outer_6, outer_7,
                                          outer_8, outer_9, outer_10, outer_11, outer_12, outer_13, outer_14};
#else
static rows_product *const rows_of[] = {NULL, rows_1, rows_2, rows_3, rows_4, rows_5, rows_6};
static outer_product *const outer_of[] = {NULL, outer_1, outer_2, outer_3, outer_4, outer_5, outer_6};
#endif

/* `count` rows are taken in the fewest groups of at most MR, as equal as can be: the size of group g of them. */
INLINE int group_size(int count, int groups, int g) { return count / groups + (g < count % groups); }
INLINE int group_count(int count) { return (count + MR - 1) / MR; }

/* The same for loops that would divide too often: `large` groups of size + 1 come first. */
typedef struct grouping {
    int groups, size, large;
} grouping;
INLINE grouping grouping_of(int count) {
    const int groups = group_count(count);
    return (grouping){groups, count / groups, count % groups};
}

/* C (+)= A' B for any m, and n a multiple of PANEL; C is [n/PANEL][m][PANEL]. */
static void outer_matrix(int m, int n, int count, const float *a, size_t lda, const float *b, size_t ldb, float *c,
                         bool add) {
    const int groups = group_count(m);
    for (int j = 0; j < n; j += PANEL)
        for (int g = 0, i = 0; g < groups; g++) {
            const int mr = group_size(m, groups, g);
            outer_of[mr](a + i, lda, b + j, ldb, count, c, add);
            c += mr * PANEL;
            i += mr;
        }
}
