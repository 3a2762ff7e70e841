/* Products A' B summed over the rows of both, of which there are many, where `outer` is short of instructions: by AVX2.
 *
 * Columns are stored in strips of a vector, [c/W][t][W]: rows of a matrix are apart by its width, often a power of two, so
 * that few of them fit into L1 at once, while a strip is read from one end to the other. A tile is 3 rows of C by 4 vectors,
 * 3 + 4 loads for 12 FMAs, where 6 by 2 takes 6 + 2; a strip of A is 3 + 3 + 2 rows. Each element of C is one chain of FMAs
 * in the order of t, as in `outer`.
 * Part of template.h. */

enum { BY_STRIPS = ATH_W == 8, TILE_ROWS = 3, TILE_VECTORS = 4, STRIP_STEPS = 4 };
enum { SHARE_STEPS = BY_STRIPS ? STRIP_STEPS : 1 }; /* what shares of streams are multiples of */

/* Floats from a strip of t rows to the next, off powers of two. */
INLINE size_t strip_floats(int t) { return sz(t) * W + 16; }
INLINE size_t strips_floats(int t, int columns) { return sz((columns + W - 1) / W) * strip_floats(t); }

/* Rows at the places `at`, t in all, to strips; zeros beyond the columns. */
static void pack_strips(const float *x, const places *at, int columns, int t, float *strips) {
    for (int j = 0; j < columns; j += W) {
        float *to = strips + sz(j / W) * strip_floats(t);
        const int n = at_most(columns - j, W);
        for (int image = 0; image < at->images; image++)
            for (int l = 0; l < at->lines; l++) {
                const float *p = x + sz(image) * at->image + sz(l) * at->line + j;
                if (n == W)
                    for (int i = 0; i < at->len; i++, p += at->step, to += W) store(to, load(p));
                else
                    for (int i = 0; i < at->len; i++, p += at->step, to += W) store(to, load_part(p, n));
            }
    }
}

/* sum[i] += x[i] * the vector at b */
INLINE void add_column(int rows, vec *sum, const vec *x, const float *b) {
#if ATH_W == 8
    vec bb; /* as in add_row */
    if (rows == 3)
        __asm__("vmovups %4, %3\n\tvfmadd231ps %3, %5, %0\n\tvfmadd231ps %3, %6, %1\n\tvfmadd231ps %3, %7, %2"
                : "+x"(sum[0]), "+x"(sum[1]), "+x"(sum[2]), "=&x"(bb)
                : "m"(*(const vec_unaligned *)b), "x"(x[0]), "x"(x[1]), "x"(x[2]));
    else if (rows == 2)
        __asm__("vmovups %3, %2\n\tvfmadd231ps %2, %4, %0\n\tvfmadd231ps %2, %5, %1"
                : "+x"(sum[0]), "+x"(sum[1]), "=&x"(bb)
                : "m"(*(const vec_unaligned *)b), "x"(x[0]), "x"(x[1]));
    else
        sum[0] += x[0] * load(b);
#else
    for (int i = 0; i < rows; i++) sum[i] += x[i] * load(b);
#endif
}

INLINE void strip_step(int rows, int vectors, const float *a, const float *b0, const float *b2, size_t strip,
                       vec sum[TILE_VECTORS][TILE_ROWS]) {
    vec x[TILE_ROWS];
#pragma GCC unroll 3
    for (int i = 0; i < rows; i++) x[i] = splat(a[i]);
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) add_column(rows, sum[v], x, (v < 2 ? b0 : b2) + sz(v % 2) * strip);
}

/* `rows` rows of C, from `row` of a strip of A at a on, times `vectors` vectors: vector v of row i is at
 * c + i * ldc + v / 2 * panel + v % 2 * W. */
INLINE void strip_body(int rows, int vectors, int t, const float *a, const float *b, size_t strip, float *c, size_t ldc,
                       size_t panel, bool add, asking asked) {
    vec sum[TILE_VECTORS][TILE_ROWS];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++)
#pragma GCC unroll 3
        for (int i = 0; i < rows; i++)
            sum[v][i] = add ? load(c + sz(i) * ldc + sz(v / 2) * panel + sz(v % 2) * W) : (vec){0};
    for (int i = rows; i < 2 * rows; i++) /* the next tile of C */
        for (int v = 0; v < vectors; v += 2) __builtin_prefetch(c + sz(i) * ldc + sz(v / 2) * panel);
    const float *b2 = b + 2 * strip;
    for (; t >= STRIP_STEPS; t -= STRIP_STEPS, a += STRIP_STEPS * W, b += STRIP_STEPS * W, b2 += STRIP_STEPS * W) {
        FORGET(a);
        FORGET(b);
        FORGET(b2);
        if (asked.lines > 0)
#pragma GCC unroll 4
            for (int l = 0; l < STRIP_STEPS; l++, asked.at += asked.step) __builtin_prefetch(asked.at, 0, 2);
        asked.lines -= STRIP_STEPS;
#pragma GCC unroll 4
        for (int l = 0; l < STRIP_STEPS; l++) strip_step(rows, vectors, a + l * W, b + l * W, b2 + l * W, strip, sum);
    }
    for (; t > 0; t--, a += W, b += W, b2 += W) strip_step(rows, vectors, a, b, b2, strip, sum);
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++)
#pragma GCC unroll 3
        for (int i = 0; i < rows; i++) store(c + sz(i) * ldc + sz(v / 2) * panel + sz(v % 2) * W, sum[v][i]);
}

#define STRIP_TILE(rows)                                                                                               \
    static void strip_##rows(bool wide, int t, const float *a, const float *b, size_t strip, float *c, size_t ldc,     \
                             size_t panel, bool add, asking asked) {                                                   \
        if (wide)                                                                                                      \
            strip_body(rows, 4, t, a, b, strip, c, ldc, panel, add, asked);                                            \
        else                                                                                                           \
            strip_body(rows, 2, t, a, b, strip, c, ldc, panel, add, asked);                                            \
    }
STRIP_TILE(1)
STRIP_TILE(2)
STRIP_TILE(3)
#undef STRIP_TILE
typedef void strip_tile(bool wide, int t, const float *a, const float *b, size_t strip, float *c, size_t ldc,
                        size_t panel, bool add, asking asked);
static strip_tile *const strip_of[] = {NULL, strip_1, strip_2, strip_3};

/* C (+)= A' B of rows 0..t-1 of strips of A, `m` columns of it, and of B, n columns, a multiple of PANEL: row i of columns j.. is
 * at c + i * ldc + j / PANEL * panel. The strips of A and of B are strip_a and strip_b floats apart. */
static void strip_product(int m, int n, int t, const float *a, size_t strip_a, const float *b, size_t strip_b, float *c,
                          size_t ldc, size_t panel, bool add, streams *asked) {
    for (int i0 = 0; i0 < m; i0 += W, a += strip_a)
        for (int j = 0; j < n; j += 2 * PANEL)
            for (int i = 0; i < at_most(m - i0, W); i += TILE_ROWS)
                strip_of[at_most(at_most(m - i0, W) - i, TILE_ROWS)](
                    n - j > PANEL, t, a + i, b + sz(j / W) * strip_b, strip_b,
                    c + sz(i0 + i) * ldc + sz(j / PANEL) * panel, ldc, panel, add, next_share(asked));
}

/* How many tiles of C there are, by strips or not. */
INLINE int tiles_of(bool strips, int m, int n) {
    if (!strips) return group_count(m) * (n / PANEL);
    const int in_vector = (W + TILE_ROWS - 1) / TILE_ROWS, rest = (m % W + TILE_ROWS - 1) / TILE_ROWS;
    return (m / W * in_vector + rest) * ((n + 2 * PANEL - 1) / (2 * PANEL));
}

/* Columns of A and of B from which on there is enough to multiply that copying pays: from 128 on it is 1.25 to 1.65 times as
 * fast, with 64 0.95, with fewer down to 0.5. */
enum { WORTH_STRIPS = 96 };

INLINE int outer_any_tiles(int m, int n) { return tiles_of(BY_STRIPS && m >= WORTH_STRIPS && n >= WORTH_STRIPS, m, n); }

/* Work memory of outer_any for t rows and n columns of B. */
INLINE size_t outer_any_floats(int t, int n) {
    return BY_STRIPS && n >= WORTH_STRIPS ? LINE + strips_floats(t, n) + strip_floats(t) : 0;
}

/* outer_places, by strips made in `room` where that is faster. */
static void outer_any(int m, int n, const float *a, const places *at, const float *b, size_t ldb, float *c, size_t ldc,
                      size_t panel, bool add, float *room, streams *asked) {
    if (!BY_STRIPS || m < WORTH_STRIPS || n < WORTH_STRIPS) {
        outer_places(m, n, a, at, b, ldb, c, ldc, panel, add, asked);
        return;
    }
    const int t = at->images * at->lines * at->len;
    const places line = in_line(t, ldb);
    room = aligned(room);
    float *strip = room + strips_floats(t, n);
    pack_strips(b, &line, n, t, room);
    for (int i = 0; i < m; i += W, c += sz(W) * ldc) {
        pack_strips(a + i, at, at_most(m - i, W), t, strip);
        strip_product(at_most(m - i, W), n, t, strip, 0, room, strip_floats(t), c, ldc, panel, add, asked);
    }
}
