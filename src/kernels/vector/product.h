/* The inner products everything heavy is made of, register blocked: MR rows by two
 * vectors of columns, so that a step is two loads of B, MR broadcasts of A and 2 MR FMAs.
 *
 *     rows:      C[mr][PANEL] = A B,      A stored [k/W][lda/W][W],    B stored [k][PANEL]
 *     in_place:  C[mr][ldc] (+)= A B,     A stored in rows of pieces,  B stored [k][PANEL]
 *     outer:     C[mr][ldc] (+)= A' B,    A stored [t][lda],           B stored [t][ldb]
 *
 * The blocked storage of A in `rows` is what lets one pointer reach all MR rows by
 * constant offsets (with a pointer a row GCC 12 spills them), keeps the rows of a block on
 * their own cache lines whatever their number, and is what a vector of channels stores into
 * anyway. Each element of C is one chain of FMAs in the order of k (or t), so its
 * bits depend neither on mr nor on its place in the tile.
 *
 * What comes next is asked for in time, since all of this streams from L2 or L3 and hardware fetches little ahead into L1: B some
 * steps ahead, the tile of A that comes `next` (rows) and the next of C (outer). Measured with 64 channels: 4 % and 12 % faster. in_place asks for the
 * rows after these and for its own of C: 1.05 to 1.5 where they come from L3 or memory.
 * By AVX2, where that is one instruction of 22 and a panel stays in L1 for many tiles, B is not: up to 7 %.
 * Part of template.h. */

enum { AHEAD = 24, ASKS_FOR_B = ATH_W != 8 }; /* steps of k or t */
/* Of these steps: a narrow one is a dozen FMAs, beside which the loop counts. But of several at once GCC 12 brings forward
 * more for SSE2 than it has registers, which costs a third. */
enum {
    CRAMPED = ATH_W == 4 && MR < 14,
    UNROLL = ATH_W == 16 || CRAMPED ? 1 : ATH_W,
    OUTER_UNROLL = UNROLL > 4 ? 4 : UNROLL
};
static const bool two_lines = PANEL * sizeof(float) > 64; /* of the cache, that a row of a panel takes */

/* Row i of a step: sums += x b, of the first vector of columns or of both.
 *
 * With 32 registers some rows take their factor in the FMA itself, broadcast from memory: one instruction less a row than a
 * broadcast for two FMAs, but one load more. It is worth a twentieth while the core is slow (ARCHITECTURE.md), nothing
 * where it is not; more of them lose to the loads.
 *
 * With 16, of which sums, b and the factor take 15, GCC 12 has sums change places with b, by moves. What a step takes is
 * what counts on a core whose other thread is busy: a tenth to a fifth. So there a row is its three instructions. */
enum { EMBEDDED = 4 };
INLINE void add_row(int i, bool wide, vec *sum0, vec *sum1, const float *x, vec b0, vec b1) {
    (void)i;
#if ATH_W == 8
    vec xx;
    if (wide)
        __asm__("vbroadcastss %3, %2\n\tvfmadd231ps %4, %2, %0\n\tvfmadd231ps %5, %2, %1"
                : "+x"(*sum0), "+x"(*sum1), "=&x"(xx)
                : "m"(*x), "x"(b0), "x"(b1));
    else
        __asm__("vbroadcastss %2, %1\n\tvfmadd231ps %3, %1, %0" : "+x"(*sum0), "=&x"(xx) : "m"(*x), "x"(b0));
#else
#if ATH_W == 16
    if (i < EMBEDDED) {
        __asm__("vfmadd231ps %2%{1to16%}, %1, %0" : "+v"(*sum0) : "v"(b0), "m"(*x));
        if (wide) __asm__("vfmadd231ps %2%{1to16%}, %1, %0" : "+v"(*sum1) : "v"(b1), "m"(*x));
        return;
    }
#endif
    const vec xx = splat(*x);
    *sum0 += xx * b0;
    if (wide) *sum1 += xx * b1;
#endif
}

/* Hides where a pointer comes from, or GCC 12 keeps one for every row, more than there are registers. */
#define FORGET(p) __asm__("" : "+r"(p))

/* W steps. A is reached from its middle row, whose distance to all the others fits into a byte. Unless `wide`, only the first
 * vector of columns is made. */
INLINE void rows_steps(int mr, bool wide, bool asks, const float *middle, const float *b, const float *next,
                       const float *ask, ptrdiff_t ask_step, vec *sum0, vec *sum1) {
    if (UNROLL > 1) {
        FORGET(middle);
        FORGET(b);
        FORGET(next);
    }
#pragma GCC unroll UNROLL
    for (int l = 0; l < W; l++, b += PANEL, middle++, next += W) {
        if (UNROLL == 1) FORGET(middle);
        const vec b0 = load(b), b1 = wide ? load(b + W) : (vec){0};
        if (l % (LINE / W) == 0) __builtin_prefetch(next);
        if (ASKS_FOR_B) __builtin_prefetch(b + AHEAD * PANEL);
        if (ASKS_FOR_B && wide && two_lines) __builtin_prefetch(b + AHEAD * PANEL + W);
        if (asks) __builtin_prefetch(ask, 0, 2);
        ask += ask_step;
#pragma GCC unroll 16
        for (int i = 0; i < mr; i++) add_row(i, wide, &sum0[i], &sum1[i], middle + (i - MR / 2) * W, b0, b1);
    }
}

INLINE void rows_body(int mr, bool wide, const float *a, size_t lda, const float *b, int k, float *c, bool add,
                      const float *next, const asking *asked) {
    vec sum0[MR], sum1[MR];
    const ptrdiff_t to_next = next - a;
    const float *ask = asked->at;
    int lines = asked->lines;
#pragma GCC unroll 16
    for (int i = 0; i < mr; i++) {
        sum0[i] = add ? load(c + i * PANEL) : (vec){0};
        sum1[i] = add && wide ? load(c + i * PANEL + W) : (vec){0};
    }
    for (int left = k; left > 0; left -= W, a += lda, b += W * PANEL) {
        const float *middle = a + MR / 2 * W;
        if (lines > 0) {
            rows_steps(mr, wide, true, middle, b, a + to_next, ask, asked->step, sum0, sum1);
            ask += W * asked->step;
            lines -= W;
        } else {
            rows_steps(mr, wide, false, middle, b, a + to_next, ask, 0, sum0, sum1);
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < mr; i++) {
        store(c + i * PANEL, sum0[i]);
        if (wide) store(c + i * PANEL + W, sum1[i]);
    }
}

/* Positions in images: `images` of `lines` of `len` positions, each distance in floats. What is at a position is a
 * row of a matrix, and may overlap the next one's (a window over an image). */
typedef struct places {
    int images, lines, len;
    size_t image, line, step;
} places;

INLINE places in_line(int len, size_t step) { return (places){1, 1, len, 0, 0, step}; }

/* `steps` steps of t, from rows a of A and b of B on. */
INLINE void outer_steps(int mr, bool asks, int steps, const float *a, size_t lda, size_t ahead_a, const float *b,
                        size_t ldb, size_t ahead_b, const asking *asked, vec *sum0, vec *sum1) {
    const float *ask = asked->at;
#pragma GCC unroll OUTER_UNROLL
    for (int t = 0; t < steps; t++, a += lda, b += ldb) {
        const vec b0 = load(b), b1 = load(b + W);
        __builtin_prefetch(a + ahead_a);
        __builtin_prefetch(b + ahead_b);
        if (two_lines) __builtin_prefetch(b + ahead_b + W);
        if (asks) {
            __builtin_prefetch(ask, 0, 2);
            ask += asked->step;
        }
#pragma GCC unroll 16
        for (int i = 0; i < mr; i++) add_row(i, true, &sum0[i], &sum1[i], a + i, b0, b1);
    }
}

INLINE void outer_body(int mr, const float *a, const places *at, const float *b, size_t ldb, float *c, size_t ldc,
                       bool add, const asking *asked) {
    const size_t lda = at->step, ahead_b = at->images * at->lines * at->len > AHEAD ? AHEAD * ldb : 0;
    const size_t ahead_a = at->len > AHEAD ? AHEAD * lda : at->line;
    vec sum0[MR], sum1[MR];
#pragma GCC unroll 16
    for (int i = 0; i < mr; i++) {
        sum0[i] = add ? load(c + sz(i) * ldc) : (vec){0};
        sum1[i] = add ? load(c + sz(i) * ldc + W) : (vec){0};
    }
    /* The next tile of C, and no further: where no memory is, each attempt walks the page tables again. */
    for (int i = mr; i < 2 * mr; i++) {
        __builtin_prefetch(c + sz(i) * ldc);
        if (two_lines) __builtin_prefetch(c + sz(i) * ldc + W);
    }
    int asks = at_most(asked->lines, at->len); /* in the first line */
    for (int image = 0; image < at->images; image++) {
        const float *line = a + sz(image) * at->image;
        for (int l = 0; l < at->lines; l++, line += at->line, b += sz(at->len) * ldb, asks = 0) {
            if (asks > 0) outer_steps(mr, true, asks, line, lda, ahead_a, b, ldb, ahead_b, asked, sum0, sum1);
            outer_steps(mr, false, at->len - asks, line + sz(asks) * lda, lda, ahead_a, b + sz(asks) * ldb, ldb,
                        ahead_b, asked, sum0, sum1);
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < mr; i++) {
        store(c + sz(i) * ldc, sum0[i]);
        store(c + sz(i) * ldc + W, sum1[i]);
    }
}

/* The product of rows that are read where they are, written where they belong. Row i of A is `pieces` pieces of `len`
 * floats, `piece` apart: the rows of a window. Its first half of rows begins at a0, the other at a1, each `step` apart. */
typedef struct in_place {
    const float *a0, *a1, *b;
    size_t step, piece;
    int pieces, len;
    const float *bias; /* of these columns, or NULL */
    bool acc;          /* add to C */
    float *c0, *c1;    /* where the two halves go */
    size_t ldc;
    int cols;         /* of C, at most PANEL */
    const float *ask; /* `lines` lines from here on are asked for: the rows that come next */
    int lines;
} in_place;

INLINE void in_place_steps(int mr, bool wide, int steps, const float *a0, const float *a1, size_t step, const float *b,
                           const float *ask, vec *sum0, vec *sum1) {
    const int half = (mr + 1) / 2;
#pragma GCC unroll 4
    for (int l = 0; l < steps; l++, b += PANEL) {
        const vec b0 = load(b), b1 = wide ? load(b + W) : (vec){0};
        if (ask != NULL) __builtin_prefetch(ask + l * LINE);
        if (ASKS_FOR_B) __builtin_prefetch(b + AHEAD * PANEL);
        if (ASKS_FOR_B && wide && two_lines) __builtin_prefetch(b + AHEAD * PANEL + W);
#pragma GCC unroll 16
        for (int i = 0; i < mr; i++)
            add_row(MR, wide, &sum0[i], &sum1[i], i < half ? a0 + sz(i) * step + l : a1 + sz(i - half) * step + l, b0,
                    b1);
    }
}

/* Rows of C = (C +) sums + bias: n0 columns of the first vectors and n1 of the second. */
INLINE void write_rows(int mr, int n0, int n1, bool acc, const in_place *q, const vec *sum0, const vec *sum1) {
    const vec shift0 = q->bias != NULL ? load_some(q->bias, n0) : (vec){0};
    const vec shift1 = q->bias != NULL && n1 > 0 ? load_some(q->bias + W, n1) : (vec){0};
    float *c = q->c0;
#pragma GCC unroll 16
    for (int i = 0; i < mr; i++, c += q->ldc) {
        if (i == (mr + 1) / 2) c = q->c1;
        const vec y0 = sum0[i] + shift0, y1 = sum1[i] + shift1;
        store_some(c, acc ? y0 + load_some(c, n0) : y0, n0);
        if (n1 > 0) store_some(c + W, acc ? y1 + load_some(c + W, n1) : y1, n1);
    }
}

/* Asks for the rows of C. */
INLINE void ask_for_rows(int mr, bool wide, const in_place *q) {
    const float *c = q->c0;
#pragma GCC unroll 16
    for (int i = 0; i < mr; i++, c += q->ldc) {
        if (i == (mr + 1) / 2) c = q->c1;
        __builtin_prefetch(c, 1);
        if (wide && two_lines) __builtin_prefetch(c + W, 1);
    }
}

/* `wide`: there are more columns than a vector has. */
INLINE void in_place_body(int mr, bool wide, const in_place *q) {
    enum { STEPS = CRAMPED ? 1 : 4 };
    vec sum0[MR], sum1[MR];
#pragma GCC unroll 16
    for (int i = 0; i < mr; i++) sum0[i] = sum1[i] = (vec){0};
    ask_for_rows(mr, wide, q);
    const float *b = q->b, *ask = q->ask;
    const size_t step = q->step;
    int lines = q->lines;
    for (int s = 0; s < q->pieces; s++) {
        const float *a0 = q->a0 + sz(s) * q->piece, *a1 = q->a1 + sz(s) * q->piece;
        int left = q->len;
        /* Two loops: with a test in one 0.99 as fast. */
        for (; lines > 0 && left >= STEPS; left -= STEPS, a0 += STEPS, a1 += STEPS, b += STEPS * PANEL) {
            FORGET(a0);
            FORGET(a1);
            in_place_steps(mr, wide, STEPS, a0, a1, step, b, ask, sum0, sum1);
            ask += STEPS * LINE;
            lines -= STEPS;
        }
        for (; left >= STEPS; left -= STEPS, a0 += STEPS, a1 += STEPS, b += STEPS * PANEL) {
            FORGET(a0);
            FORGET(a1);
            in_place_steps(mr, wide, STEPS, a0, a1, step, b, NULL, sum0, sum1);
        }
        for (; left > 0; left--, a0++, a1++, b += PANEL) {
            FORGET(a0);
            FORGET(a1);
            in_place_steps(mr, wide, 1, a0, a1, step, b, NULL, sum0, sum1);
        }
    }
    if (q->cols == PANEL && !q->acc)
        write_rows(mr, W, W, false, q, sum0, sum1);
    else
        write_rows(mr, at_most(q->cols, W), wide ? q->cols - W : 0, q->acc, q, sum0, sum1);
}

#define PRODUCTS(mr)                                                                                                   \
    static void rows_##mr(const float *a, size_t lda, const float *b, int k, float *c, bool add, bool wide,            \
                          const float *next, const asking *asked) {                                                    \
        if (wide)                                                                                                      \
            rows_body(mr, true, a, lda, b, k, c, add, next, asked);                                                    \
        else                                                                                                           \
            rows_body(mr, false, a, lda, b, k, c, add, next, asked);                                                   \
    }                                                                                                                  \
    static void in_place_##mr(const in_place *q) {                                                                     \
        if (q->cols > W)                                                                                               \
            in_place_body(mr, true, q);                                                                                \
        else                                                                                                           \
            in_place_body(mr, false, q);                                                                               \
    }                                                                                                                  \
    static void outer_##mr(const float *a, const places *at, const float *b, size_t ldb, float *c, size_t ldc,         \
                           bool add, const asking *asked) {                                                            \
        if (add)                                                                                                       \
            outer_body(mr, a, at, b, ldb, c, ldc, true, asked);                                                        \
        else                                                                                                           \
            outer_body(mr, a, at, b, ldb, c, ldc, false, asked);                                                       \
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

/* Tables by the number of rows. */
#if ATH_MR == 14
#define OF_ROWS(f)                                                                                                     \
    { NULL, f##_1, f##_2, f##_3, f##_4, f##_5, f##_6, f##_7, f##_8, f##_9, f##_10, f##_11, f##_12, f##_13, f##_14 }
#else
#define OF_ROWS(f)                                                                                                     \
    { NULL, f##_1, f##_2, f##_3, f##_4, f##_5, f##_6 }
#endif
typedef void rows_product(const float *a, size_t lda, const float *b, int k, float *c, bool add, bool wide,
                          const float *next, const asking *asked);
typedef void in_place_product(const in_place *q);
typedef void outer_product(const float *a, const places *at, const float *b, size_t ldb, float *c, size_t ldc, bool add,
                           const asking *asked);
static rows_product *const rows_of[] = OF_ROWS(rows);
static in_place_product *const in_place_of[] = OF_ROWS(in_place);
static outer_product *const outer_of[] = OF_ROWS(outer);

/* How many threads so many multiplications are worth waking, of at most so many parts. */
enum { WORTH_A_THREAD = 6 * 1000 * 1000 }; /* some 0.1 ms */
static int worth_parts(double multiplications, int most) {
    return multiplications < 2.0 * WORTH_A_THREAD ? 1 : at_most(most, (int)fmin(multiplications / WORTH_A_THREAD, 1e6));
}

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

/* C (+)= A' B for any m, and n a multiple of PANEL: row i of columns j.. is at c + i * ldc + j / PANEL * panel. */
static void outer_places(int m, int n, const float *a, const places *at, const float *b, size_t ldb, float *c,
                         size_t ldc, size_t panel, bool add, streams *asked) {
    const int groups = group_count(m);
    for (int j = 0; j < n; j += PANEL, c += panel)
        for (int g = 0, i = 0; g < groups; g++) {
            const int mr = group_size(m, groups, g);
            const asking share = next_share(asked);
            outer_of[mr](a + i, at, b + j, ldb, c + sz(i) * ldc, ldc, add, &share);
            i += mr;
        }
}

/* The same with C stored [n/PANEL][m][PANEL]. */
static void outer_matrix(int m, int n, int count, const float *a, size_t lda, const float *b, size_t ldb, float *c,
                         bool add, streams *asked) {
    const places at = in_line(count, lda);
    outer_places(m, n, a, &at, b, ldb, c, PANEL, sz(m) * PANEL, add, asked);
}

/* Rows of pixels or windows times a packed B, [n/PANEL][k][PANEL] with k = pieces * len: C[row] = A[row] B + bias, or
 * C += A B. The rows of C are at the places `to`. Column by column of panels, so that a panel serves all the rows while it is in L1 or L2. */
typedef struct product {
    int pieces, len;
    size_t piece;
    int first, n; /* columns: those from `first`, of n */
    const float *b, *bias;
    size_t panel; /* rows of B in a panel, of which this product may take a part */
    bool acc;
    int more; /* rows after those of A, that another product will take */
} product;

/* One panel of columns, from column j. A tile is part of a line, or two whole lines where they are short. */
static void product_panel(const product *p, const float *a, const places *at, int j, float *c, const places *to) {
    in_place q = {.b = p->b + sz(j) * p->panel,
                  .step = at->step,
                  .piece = p->piece,
                  .pieces = p->pieces,
                  .len = p->len,
                  .bias = p->bias != NULL ? p->bias + j : NULL,
                  .acc = p->acc,
                  .ldc = to->step,
                  .cols = at_most(p->n - j, PANEL)};
    /* Rows that are one after the other are asked for as the first panel goes over them. */
    const bool first_time = j == p->first && p->pieces == 1 && at->step == sz(p->len);
    for (int i = 0; i < at->images; i++)
        for (int line = 0; line < at->lines;) {
            const bool two = 2 * at->len <= MR && line + 1 < at->lines;
            const int count = two ? 2 * at->len : at->len, groups = group_count(count);
            q.a0 = a + sz(i) * at->image + sz(line) * at->line;
            q.c0 = c + sz(i) * to->image + sz(line) * to->line + j;
            for (int g = 0; g < groups; g++) {
                const int mr = group_size(count, groups, g);
                const size_t half = sz((mr + 1) / 2);
                q.a1 = q.a0 + (two ? at->line : half * at->step);
                q.c1 = q.c0 + (two ? to->line : half * to->step);
                const int next = g + 1 < groups ? group_size(count, groups, g + 1) : at_most(p->more, mr);
                q.ask = q.a0 + sz(mr) * at->step;
                q.lines = first_time ? next * p->len / LINE : 0;
                in_place_of[mr](&q);
                q.a0 += sz(mr) * at->step;
                q.c0 += sz(mr) * to->step;
            }
            line += two ? 2 : 1;
        }
}

static void product_run(const product *p, const float *a, const places *at, float *c, const places *to) {
    for (int j = p->first; j < p->n; j += PANEL) product_panel(p, a, at, j, c, to);
}
