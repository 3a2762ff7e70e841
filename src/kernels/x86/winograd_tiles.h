/* Winograd's minimal filtering F(4x4, 3x3) for 3x3 convolutions of stride 1 and padding 1
 * (Lavin and Gray 2016, arXiv:1509.09308), all three passes:
 *
 *     Y  = A' [ (G g G') . (B' d B) ] A        outputs 4x4 of a tile of inputs 6x6
 *     dg = G' [ (B' d B) . (A dY A') ] G       the same bilinear form, differentiated by g
 *
 * where . multiplies point by point and sums over channels (over tiles in the second): 36
 * matrix products with a quarter of the direct algorithm's multiplications. The input gradient
 * is the forward pass with the weights transposed and turned around.
 *
 * Interpolation points 0, 1, -1, 2, -2 and infinity. In float32 the relative error measures 2e-6
 * to 4e-5 of the output's norm, ten times that of the direct algorithm.
 *
 * Tiles of all the images of a call are taken together in blocks, so that a 4x4 image does
 * not mean products with one row. A tile's result is the same whatever else its block has.
 *
 * A tile at the edge, of which 3 or 2 rows of outputs are in the image, is F(3,3) or F(2,3) in that direction with the
 * points that come first and infinity, for which the weights are the same: 14 = 4 + 4 + 4 + 2 takes 22 * 22 products for
 * 24 * 24. What the weights are divided by for the points that are left out, its input is multiplied by.
 *
 * Of an image that was upsampled by two, whose pixels come in equal pairs, every tile is 0 at point -1, since tiles begin
 * at even places: with d1 = d2 and d3 = d4 row 2 of B' gives nothing. 25 products are left of 36, and the input gradient,
 * whose outputs are summed in the same pairs, does not read that point either.
 * Part of template.h. */

enum { SIDE = 6, POINTS = SIDE * SIDE, STEP = 4 };

static bool winograd_fits(const ath_conv_shape *s) {
    return s->kernel == 3 && s->stride == 1 && s->pad_before == 1 && s->pad_after == 1 && s->h >= STEP &&
           s->w >= STEP && s->c_in % 16 == 0 && s->c_out % 16 == 0;
}

/* Tiles of one kind: `down` times `across` of an image, from outputs (y, x) on; each makes rows x columns outputs, STEP or
 * fewer, of which those that are in the image count. */
typedef struct tile_kind {
    int y, x, down, across, rows, columns;
    uint64_t points; /* that it takes, a bit each */
} tile_kind;

typedef struct tiling {
    int n, h, w; /* images */
    bool upsampled;
    int kinds;
    tile_kind kind[4]; /* the first one is of whole tiles */
} tiling;

INLINE int total_of(const tiling *t, const tile_kind *k) { return t->n * k->down * k->across; }

/* Whether a tile of so many outputs in a direction takes point i of six. */
INLINE bool takes_point(bool upsampled, int outputs, int i) {
    return (i <= outputs || i == SIDE - 1) && !(upsampled && i == 2);
}

static void add_kind(tiling *t, tile_kind k) {
    for (int e = 0; e < POINTS; e++)
        if (takes_point(t->upsampled, k.rows, e / SIDE) && takes_point(t->upsampled, k.columns, e % SIDE))
            k.points |= UINT64_C(1) << e;
    t->kind[t->kinds++] = k;
}

/* With `parts` the tiles at the edges are of kinds of their own, else they are whole ones that reach beyond: as they
 * always are where an image is two tiles wide or high, and a kind of a few images too few tiles for a product. */
static tiling tiling_of(const ath_conv_shape *s, bool parts) {
    parts = parts && s->h >= 2 * STEP && s->w >= 2 * STEP;
    tiling t = {.n = s->n, .h = s->h, .w = s->w, .upsampled = s->upsampled};
    const int round = parts ? 0 : STEP - 1, down = (s->h + round) / STEP, across = (s->w + round) / STEP;
    add_kind(&t, (tile_kind){0, 0, down, across, STEP, STEP, 0});
    if (!parts) return t;
    const int below = s->h % STEP, right = s->w % STEP, rows = at_least(below, 2), columns = at_least(right, 2);
    if (right > 0) add_kind(&t, (tile_kind){0, across * STEP, down, 1, STEP, columns, 0});
    if (below > 0) add_kind(&t, (tile_kind){down * STEP, 0, 1, across, rows, STEP, 0});
    if (right > 0 && below > 0) add_kind(&t, (tile_kind){down * STEP, across * STEP, 1, 1, rows, columns, 0});
    return t;
}

/* What a tile of so many outputs in a direction reads, its points, and the i-th of them. `pairs`: of an image that was
 * upsampled, read as it was before. */
INLINE int reads_of(bool pairs, int outputs) { return pairs ? outputs / 2 + 2 : outputs + 2; }
INLINE int points_of(bool pairs, int outputs) { return pairs ? outputs + 1 : outputs + 2; }
INLINE int point_of(bool pairs, int outputs, int i) {
    return i == points_of(pairs, outputs) - 1 ? SIDE - 1 : pairs && i >= 2 ? i + 1 : i;
}

/* The size of the fewest equal blocks of at most `limit` tiles. */
INLINE int even_blocks(int total, int limit) {
    const int blocks = (total + limit - 1) / limit;
    return (total + blocks - 1) / blocks;
}

/* Where a tile's outputs are: image, first row and column. */
typedef struct place {
    int n, y, x;
} place;

INLINE place place_of(const tile_kind *k, int tile) {
    const int per_image = k->down * k->across, in_image = tile % per_image;
    return (place){tile / per_image, k->y + in_image / k->across * STEP, k->x + in_image % k->across * STEP};
}

/* The place of the tile after the one at p. */
INLINE place place_after(const tile_kind *k, place p) {
    p.x += STEP;
    if (p.x < k->x + k->across * STEP) return p;
    p.x = k->x;
    p.y += STEP;
    if (p.y < k->y + k->down * STEP) return p;
    return (place){p.n + 1, k->y, k->x};
}

/* ---- transforms in one dimension; element i is at [i * stride] ---- */

/* B' = [4 0 -5 0 1 0; 0 -4 -4 1 1 0; 0 4 -4 -1 1 0; 0 -2 -1 2 1 0; 0 2 -1 -2 1 0; 0 4 0 -5 0 1] */
INLINE void input_transform(const vec *d, int stride, vec *o) {
    const vec d0 = d[0], d1 = d[stride], d2 = d[2 * stride], d3 = d[3 * stride], d4 = d[4 * stride], d5 = d[5 * stride];
    const vec a = d4 - 4 * d2, b = d3 - 4 * d1, c = d4 - d2, e = d3 - d1;
    o[0] = d4 - 5 * d2 + 4 * d0;
    o[1] = a + b;
    o[2] = a - b;
    o[3] = c + 2 * e;
    o[4] = c - 2 * e;
    o[5] = d5 - 5 * d3 + 4 * d1;
}

/* A' = [1 1 1 1 1 0; 0 1 -1 2 -2 0; 0 1 1 4 4 0; 0 1 -1 8 -8 1] */
INLINE void output_transform(const vec *m, int stride, vec *o) {
    const vec m0 = m[0], m1 = m[stride], m2 = m[2 * stride], m3 = m[3 * stride], m4 = m[4 * stride], m5 = m[5 * stride];
    const vec a = m1 + m2, b = m1 - m2, c = m3 + m4, e = m3 - m4;
    o[0] = m0 + a + c;
    o[1] = b + 2 * e;
    o[2] = a + 4 * c;
    o[3] = b + 8 * e + m5;
}

/* A, the transpose of the above */
INLINE void output_adjoint(const vec *y, int stride, vec *o) {
    const vec y0 = y[0], y1 = y[stride], y2 = y[2 * stride], y3 = y[3 * stride];
    const vec a = y0 + y2, b = y1 + y3, c = y0 + 4 * y2, e = y1 + 4 * y3;
    o[0] = y0;
    o[1] = a + b;
    o[2] = a - b;
    o[3] = c + 2 * e;
    o[4] = c - 2 * e;
    o[5] = y3;
}

/* G = [1/4 0 0; -1/6 -1/6 -1/6; -1/6 1/6 -1/6; 1/24 1/12 1/6; 1/24 -1/12 1/6; 0 0 1] */
INLINE void weight_transform(const vec *g, int stride, vec *o) {
    const vec g0 = g[0], g1 = g[stride], g2 = g[2 * stride];
    const vec a = (g0 + g2) * (-1 / 6.0F), b = g0 * (1 / 24.0F) + g2 * (1 / 6.0F);
    o[0] = g0 * 0.25F;
    o[1] = a - g1 * (1 / 6.0F);
    o[2] = a + g1 * (1 / 6.0F);
    o[3] = b + g1 * (1 / 12.0F);
    o[4] = b - g1 * (1 / 12.0F);
    o[5] = g2;
}

/* G' */
INLINE void weight_adjoint(const vec *u, int stride, vec *o) {
    const vec u0 = u[0], u1 = u[stride], u2 = u[2 * stride], u3 = u[3 * stride], u4 = u[4 * stride], u5 = u[5 * stride];
    const vec a = (u1 + u2) * (1 / 6.0F), b = (u2 - u1) * (1 / 6.0F), c = u3 + u4, e = u3 - u4;
    o[0] = u0 * 0.25F - a + c * (1 / 24.0F);
    o[1] = b + e * (1 / 12.0F);
    o[2] = c * (1 / 6.0F) - a + u5;
}

/* Of an image that was upsampled, which reads d[0], d[1], d[1], d[2], d[2] .., for 4 or 2 outputs, without point -1; and the
 * sums of pairs of outputs. */
INLINE void input_transform_of_pairs(int outputs, const vec *d, vec *o) {
    if (outputs == STEP) {
        const vec a = d[2] - 4 * d[1], b = d[2] - d[1];
        o[0] = d[2] - 5 * d[1] + 4 * d[0];
        o[1] = a + a;
        o[2] = 3 * b;
        o[3] = -b;
        o[4] = d[3] - 5 * d[2] + 4 * d[1];
    } else {
        o[0] = 4 * (d[0] - d[1]);
        o[1] = -6 * d[1];
        o[2] = d[2] - d[1];
    }
}

INLINE void output_transform_of_pairs(int outputs, const vec *m, vec *o) {
    const vec a = m[1] + m[1];
    if (outputs == STEP) {
        o[0] = m[0] + a + 3 * m[2] - m[3];
        o[1] = a + 12 * m[2] - 4 * m[3] + m[4];
    } else {
        o[0] = m[0] + a + m[2];
    }
}

/* Any of these for `outputs` of 4, 3 or 2, d to o one after the other. With 3 point -2 is left out, with 2 point 2 too. */
INLINE void input_transform_of(bool pairs, int outputs, const vec *d, vec *o) {
    if (pairs) {
        input_transform_of_pairs(outputs, d, o);
    } else if (outputs == STEP) {
        input_transform(d, 1, o);
    } else if (outputs == 3) {
        const vec a = d[3] - d[1];
        o[0] = 4 * (d[0] - d[2]) + 2 * a;
        o[1] = 3 * (d[3] - d[2]) - 6 * d[1];
        o[2] = d[3] + 2 * d[1] - 3 * d[2];
        o[3] = 4 * a;
        o[4] = d[4] - d[2] - 2 * a;
    } else {
        o[0] = 4 * (d[0] - d[2]);
        o[1] = -3 * (d[1] + d[2]);
        o[2] = 3 * (d[1] - d[2]);
        o[3] = d[3] - d[1];
    }
}

INLINE void output_transform_of(bool pairs, int outputs, const vec *m, vec *o) {
    if (pairs) {
        output_transform_of_pairs(outputs, m, o);
    } else if (outputs == STEP) {
        output_transform(m, 1, o);
    } else if (outputs == 3) {
        const vec a = m[1] + m[2];
        o[0] = m[0] + a + m[3];
        o[1] = m[1] - m[2] + 2 * m[3];
        o[2] = a + 4 * m[3] + m[4];
    } else {
        o[0] = m[0] + m[1] + m[2];
        o[1] = m[1] - m[2] + m[3];
    }
}

INLINE void output_adjoint_of(int outputs, const vec *y, vec *o) {
    if (outputs == STEP) {
        output_adjoint(y, 1, o);
    } else if (outputs == 3) {
        const vec a = y[0] + y[2];
        o[0] = y[0];
        o[1] = a + y[1];
        o[2] = a - y[1];
        o[3] = y[0] + 2 * y[1] + 4 * y[2];
        o[4] = y[2];
    } else {
        o[0] = y[0];
        o[1] = y[0] + y[1];
        o[2] = y[0] - y[1];
        o[3] = y[1];
    }
}

/* ---- transforms of tiles ----
 * What differs from tile to tile is passed in registers: a structure that is written and at once read in other pieces waits
 * for all the stores before it, which are of outputs and miss L1. It was a tenth of a convolution of 32 channels. */

/* f(false, rows, columns, ...) of a kind of tiles that are not whole, with numbers that the compiler knows. */
#define OF_PART(f, kind, ...)                                                                                          \
    switch ((kind)->rows * 8 + (kind)->columns) {                                                                      \
    case 043:                                                                                                          \
        f(false, 4, 3, __VA_ARGS__);                                                                                   \
        break;                                                                                                         \
    case 042:                                                                                                          \
        f(false, 4, 2, __VA_ARGS__);                                                                                   \
        break;                                                                                                         \
    case 034:                                                                                                          \
        f(false, 3, 4, __VA_ARGS__);                                                                                   \
        break;                                                                                                         \
    case 033:                                                                                                          \
        f(false, 3, 3, __VA_ARGS__);                                                                                   \
        break;                                                                                                         \
    case 032:                                                                                                          \
        f(false, 3, 2, __VA_ARGS__);                                                                                   \
        break;                                                                                                         \
    case 024:                                                                                                          \
        f(false, 2, 4, __VA_ARGS__);                                                                                   \
        break;                                                                                                         \
    case 023:                                                                                                          \
        f(false, 2, 3, __VA_ARGS__);                                                                                   \
        break;                                                                                                         \
    case 022:                                                                                                          \
        f(false, 2, 2, __VA_ARGS__);                                                                                   \
        break;                                                                                                         \
    }

/* f(true, rows, columns, ...) of a kind of tiles of an image that was upsampled. */
#define OF_PAIRS(f, kind, ...)                                                                                         \
    do {                                                                                                               \
        const bool high = (kind)->rows == STEP, wide = (kind)->columns == STEP;                                        \
        if (high && wide)                                                                                              \
            f(true, 4, 4, __VA_ARGS__);                                                                                \
        else if (high)                                                                                                 \
            f(true, 4, 2, __VA_ARGS__);                                                                                \
        else if (wide)                                                                                                 \
            f(true, 2, 4, __VA_ARGS__);                                                                                \
        else                                                                                                           \
            f(true, 2, 2, __VA_ARGS__);                                                                                \
    } while (0)

/* Where six vectors are, `step` floats apart. Multiples that addresses do not have are kept, in bytes, and GCC 12 is kept
 * from working out each address beforehand: it would hold dozens, in vector registers (FORGET_SIX, before each use). */
typedef struct six {
    ptrdiff_t one, three, five;
} six;

INLINE six six_of(size_t step) {
    const ptrdiff_t bytes = (ptrdiff_t)(step * sizeof(float));
    return (six){bytes, 3 * bytes, 5 * bytes};
}
#define FORGET_SIX(s) __asm__("" : "+r"((s).one), "+r"((s).three), "+r"((s).five))

INLINE ptrdiff_t nth(const six *s, int i) { return i == 5 ? s->five : i == 3 ? s->three : i * s->one; }
INLINE const float *nth_of(const float *p, const six *s, int i) {
    return (const float *)(const void *)((const char *)p + nth(s, i));
}

/* Six vectors to v, `point` apart. Where the next six belong. */
INLINE float *store_six(const vec *o, float *v, six *point) {
    FORGET_SIX(*point);
#pragma GCC unroll 6
    for (int j = 0; j < SIDE; j++) store((float *)(void *)((char *)v + nth(point, j)), o[j]);
    return (float *)(void *)((char *)v + 2 * point->three);
}

/* The transforms below take the rows of the result in turn, singly or in the pairs that share terms, and read
 * the tile anew for each: 84 loads and no spills where keeping 36 vectors means 72 loads and 36 more stores. */

/* B' d B of the 6x6 pixels around an output tile, for `count` channels: point e of channel k to
 * v[e * point + k/W * block + k%W]. Pixel (i, j) is at row[i] + j*c, and is 0 unless bit j of `columns` is set. */
INLINE void input_tile_at(const float *const *row, bool inside, int columns, int c, int count, float *v, size_t point,
                          size_t block) {
    six across = six_of(sz(c)), points = six_of(point);
#define D(i, j) load_if(nth_of(p##i, &across, j), inside, all_or_none(columns >> (j)&1))
#define ROW(i)  (row[i] + k)
    for (int k = 0; k < count; k += W, v += block) {
        vec r[SIDE], q[SIDE], o[SIDE];
        float *to = v;
        {
            const float *p0 = ROW(0), *p2 = ROW(2), *p4 = ROW(4);
            FORGET_SIX(across);
#pragma GCC unroll 6
            for (int j = 0; j < SIDE; j++) r[j] = D(4, j) - 5 * D(2, j) + 4 * D(0, j);
        }
        input_transform(r, 1, o);
        to = store_six(o, to, &points);
        const float *p1 = ROW(1), *p2 = ROW(2), *p3 = ROW(3), *p4 = ROW(4);
        FORGET_SIX(across);
#pragma GCC unroll 6
        for (int j = 0; j < SIDE; j++) {
            const vec a = D(4, j) - 4 * D(2, j), b = D(3, j) - 4 * D(1, j);
            r[j] = a + b, q[j] = a - b;
        }
        input_transform(r, 1, o);
        to = store_six(o, to, &points);
        input_transform(q, 1, o);
        to = store_six(o, to, &points);
        FORGET_SIX(across);
#pragma GCC unroll 6
        for (int j = 0; j < SIDE; j++) {
            const vec a = D(4, j) - D(2, j), b = D(3, j) - D(1, j);
            r[j] = a + 2 * b, q[j] = a - 2 * b;
        }
        input_transform(r, 1, o);
        to = store_six(o, to, &points);
        input_transform(q, 1, o);
        to = store_six(o, to, &points);
        const float *p5 = ROW(5);
        FORGET_SIX(across);
#pragma GCC unroll 6
        for (int j = 0; j < SIDE; j++) r[j] = D(5, j) - 5 * D(3, j) + 4 * D(1, j);
        input_transform(r, 1, o);
        store_six(o, to, &points);
    }
#undef ROW
#undef D
}

/* The lines y0.. y0+count-1 of image n from column x0 on, a line outside being `zeros`; which of the columns there are, a
 * bit each. */
INLINE int lines_of(const tiling *t, int n, int y0, int x0, int count, const float *x, int c, const float *zeros,
                    const float **row) {
    const float *image = x + sz(n) * sz(t->h) * sz(t->w) * sz(c);
    for (int i = 0; i < count; i++) {
        const bool inside = y0 + i >= 0 && y0 + i < t->h;
        row[i] = inside ? image + ((ptrdiff_t)(y0 + i) * t->w + x0) * c : zeros;
    }
    return ((1 << at_most(t->w - x0, count)) - 1) & -(1 << at_least(-x0, 0));
}

/* A row of the points that a tile takes, `row_point` of six, to its place in v. */
INLINE void store_points(bool pairs, int outputs, int row_point, const vec *o, float *v, size_t point, six *points) {
    float *to = v + sz(row_point * SIDE) * point;
    FORGET_SIX(*points);
#pragma GCC unroll 6
    for (int j = 0; j < points_of(pairs, outputs); j++)
        store((float *)(void *)((char *)to + nth(points, point_of(pairs, outputs, j))), o[j]);
}

/* input_tile_at of a tile that makes rows x columns outputs. With `pairs` all rows and columns that it reads but the first
 * and the last are there twice. */
INLINE void input_part(bool pairs, int rows, int columns, const float *const *row, int there, int c, int count,
                       float *v, size_t point, size_t block) {
    six across = six_of(sz(c)), points = six_of(point);
    for (int k = 0; k < count; k += W, v += block) {
        vec u[POINTS], o[SIDE];
        FORGET_SIX(across);
#pragma GCC unroll 6
        for (int j = 0; j < reads_of(pairs, columns); j++) {
            vec d[SIDE];
#pragma GCC unroll 6
            for (int i = 0; i < reads_of(pairs, rows); i++)
                d[i] = load_if(nth_of(row[i] + k, &across, j), false, all_or_none(there >> j & 1));
            input_transform_of(pairs, rows, d, o);
#pragma GCC unroll 6
            for (int i = 0; i < points_of(pairs, rows); i++) u[i * SIDE + j] = o[i];
        }
#pragma GCC unroll 6
        for (int i = 0; i < points_of(pairs, rows); i++) {
            input_transform_of(pairs, columns, u + i * SIDE, o);
            store_points(pairs, columns, point_of(pairs, rows, i), o, v, point, &points);
        }
    }
}

/* input_tile below, of an image that was upsampled: the tile is at (y, x) of it as it is seen, `in` as it was before. */
static void input_pairs_tile(const tiling *t, const tile_kind *kind, int n, int y, int x, const float *in, int c,
                             int count, const float *zeros, float *v, size_t point, size_t block) {
    const tiling before = {.n = t->n, .h = t->h / 2, .w = t->w / 2};
    const float *row[STEP];
    const int there = lines_of(&before, n, y / 2 - 1, x / 2 - 1, STEP, in, c, zeros, row);
    OF_PAIRS(input_part, kind, row, there, c, count, v, point, block);
}

/* The `count` channels at x, of c; `zeros` is SIDE pixels of them. */
static void input_tile(const tiling *t, const tile_kind *kind, int n, int y, int x, const float *in, int c, int count,
                       const float *zeros, float *v, size_t point, size_t block) {
    const float *row[SIDE];
    const int there = lines_of(t, n, y - 1, x - 1, SIDE, in, c, zeros, row);
    if (kind->rows < STEP || kind->columns < STEP)
        OF_PART(input_part, kind, row, there, c, count, v, point, block)
    else if (there == (1 << SIDE) - 1)
        input_tile_at(row, true, there, c, count, v, point, block);
    else
        input_tile_at(row, false, there, c, count, v, point, block);
}

INLINE void grad_tile_at(const float *const *row, bool inside, int columns, int c, int count, float *v, size_t point) {
    six across = six_of(sz(c)), points = six_of(point);
#define D(i, j) load_if(nth_of(p##i, &across, j), inside, all_or_none(columns >> (j)&1))
    for (int k = 0; k < count; k += W, v += W) {
        const float *p0 = row[0] + k, *p1 = row[1] + k, *p2 = row[2] + k, *p3 = row[3] + k;
        vec r[STEP], q[STEP], o[SIDE];
        float *to = v;
        FORGET_SIX(across);
#pragma GCC unroll 4
        for (int j = 0; j < STEP; j++) r[j] = D(0, j);
        output_adjoint(r, 1, o);
        to = store_six(o, to, &points);
        FORGET_SIX(across);
#pragma GCC unroll 4
        for (int j = 0; j < STEP; j++) {
            const vec a = D(0, j) + D(2, j), b = D(1, j) + D(3, j);
            r[j] = a + b, q[j] = a - b;
        }
        output_adjoint(r, 1, o);
        to = store_six(o, to, &points);
        output_adjoint(q, 1, o);
        to = store_six(o, to, &points);
        FORGET_SIX(across);
#pragma GCC unroll 4
        for (int j = 0; j < STEP; j++) {
            const vec a = D(0, j) + 4 * D(2, j), b = D(1, j) + 4 * D(3, j);
            r[j] = a + 2 * b, q[j] = a - 2 * b;
        }
        output_adjoint(r, 1, o);
        to = store_six(o, to, &points);
        output_adjoint(q, 1, o);
        to = store_six(o, to, &points);
        FORGET_SIX(across);
#pragma GCC unroll 4
        for (int j = 0; j < STEP; j++) r[j] = D(3, j);
        output_adjoint(r, 1, o);
        store_six(o, to, &points);
    }
#undef D
}

INLINE void grad_part(bool pairs, int rows, int columns, const float *const *row, int there, int c, int count, float *v,
                      size_t point) {
    six across = six_of(sz(c)), points = six_of(point);
    for (int k = 0; k < count; k += W, v += W) {
        vec u[POINTS], o[SIDE];
        FORGET_SIX(across);
#pragma GCC unroll 4
        for (int j = 0; j < columns; j++) {
            vec d[STEP];
#pragma GCC unroll 4
            for (int i = 0; i < rows; i++)
                d[i] = load_if(nth_of(row[i] + k, &across, j), false, all_or_none(there >> j & 1));
            output_adjoint_of(rows, d, o);
#pragma GCC unroll 6
            for (int i = 0; i < rows + 2; i++) u[i * SIDE + j] = o[i];
        }
#pragma GCC unroll 6
        for (int i = 0; i < rows + 2; i++) {
            output_adjoint_of(columns, u + i * SIDE, o);
            store_points(pairs, columns, point_of(pairs, rows, i), o, v, point, &points);
        }
    }
}

/* A dY A' of an output tile; outputs outside of the image are 0. The `count` channels at dy, of c, stored as input_tile
 * does with block = W. */
static void grad_tile(const tiling *t, const tile_kind *kind, int n, int y, int x, const float *dy, int c, int count,
                      const float *zeros, float *v, size_t point) {
    const float *row[STEP];
    const int there = lines_of(t, n, y, x, STEP, dy, c, zeros, row);
    if (kind->rows < STEP || kind->columns < STEP)
        OF_PART(grad_part, kind, row, there, c, count, v, point)
    else if (there == (1 << STEP) - 1)
        grad_tile_at(row, true, there, c, count, v, point);
    else
        grad_tile_at(row, false, there, c, count, v, point);
}

/* One row of `made` outputs, or with `pairs` of half as many sums, to dst, `columns` of them being in the image; at `more`,
 * unless NULL, is what is added. */
INLINE void write_row(bool pairs, int made, const vec *row, float *dst, const float *more, int columns, six *across) {
    const int count = pairs ? made / 2 : made;
    vec o[STEP];
    output_transform_of(pairs, made, row, o);
    FORGET_SIX(*across);
#pragma GCC unroll 4
    for (int j = 0; j < count; j++) {
        if (j >= columns) break;
        float *to = (float *)(void *)((char *)dst + nth(across, j));
        store(to, more != NULL ? load(nth_of(more, across, j)) + o[j] : o[j]);
    }
}

/* Where a row of outputs belongs. */
typedef struct outputs {
    float *y;
    const float *more;
    size_t line;
    int rows, columns;
} outputs;

INLINE void write_output_row(bool pairs, int made, const vec *row, const outputs *w, bool whole, int i, int k,
                             six *across) {
    if (!whole && i >= w->rows) return;
    const float *more = w->more != NULL ? w->more + sz(i) * w->line + k : NULL;
    write_row(pairs, made, row, w->y + sz(i) * w->line + k, more, whole ? made : w->columns, across);
}

/* Rows 0 and 2 come from the sums of pairs of rows of m, 1 and 3 from the differences. What is to be added to all
 * outputs is added to the product at point (1, 1), of which each takes one. */
INLINE void output_tile_at(const float *m, size_t point, int count, const float *bias, const outputs *w, bool whole,
                           int c) {
    six points = six_of(point), across = six_of(sz(c));
#define M(i, j) load(nth_of(m##i, &points, j) + k)
    for (int k = 0; k < count; k += W) {
        const float *m0 = m, *m1 = m0 + SIDE * point, *m2 = m1 + SIDE * point, *m3 = m2 + SIDE * point,
                    *m4 = m3 + SIDE * point, *m5 = m4 + SIDE * point;
        const vec shift = bias != NULL ? load(bias + k) : (vec){0};
        vec r[SIDE], q[SIDE];
        FORGET_SIX(points);
#pragma GCC unroll 6
        for (int j = 0; j < SIDE; j++) {
            const vec m1j = j == 1 ? M(1, j) + shift : M(1, j), a = m1j + M(2, j), b = M(3, j) + M(4, j);
            r[j] = M(0, j) + a + b, q[j] = a + 4 * b;
        }
        write_output_row(false, STEP, r, w, whole, 0, k, &across);
        write_output_row(false, STEP, q, w, whole, 2, k, &across);
        FORGET_SIX(points);
#pragma GCC unroll 6
        for (int j = 0; j < SIDE; j++) {
            const vec m1j = j == 1 ? M(1, j) + shift : M(1, j), a = m1j - M(2, j), b = M(3, j) - M(4, j);
            r[j] = a + 2 * b, q[j] = a + 8 * b + M(5, j);
        }
        write_output_row(false, STEP, r, w, whole, 1, k, &across);
        write_output_row(false, STEP, q, w, whole, 3, k, &across);
    }
#undef M
}

/* output_tile_at of a tile that makes rows x columns outputs; with `pairs` they are summed in squares of two, and `w` has the
 * sums. */
INLINE void output_part(bool pairs, int rows, int columns, const float *m, size_t point, int count, const float *bias,
                        const outputs *w, int c) {
    const int made = pairs ? rows / 2 : rows;
    six points = six_of(point), across = six_of(sz(c));
    for (int k = 0; k < count; k += W) {
        const vec shift = bias != NULL ? load(bias + k) : (vec){0};
        vec u[STEP * SIDE], o[STEP];
        FORGET_SIX(points);
#pragma GCC unroll 6
        for (int j = 0; j < points_of(pairs, columns); j++) {
            vec d[SIDE];
#pragma GCC unroll 6
            for (int i = 0; i < points_of(pairs, rows); i++)
                d[i] = load(
                    nth_of(m + sz(point_of(pairs, rows, i) * SIDE) * point + k, &points, point_of(pairs, columns, j)));
            if (j == 1) d[1] += shift;
            output_transform_of(pairs, rows, d, o);
#pragma GCC unroll 4
            for (int i = 0; i < made; i++) u[i * SIDE + j] = o[i];
        }
#pragma GCC unroll 4
        for (int i = 0; i < made; i++) write_output_row(pairs, columns, u + i * SIDE, w, false, i, k, &across);
    }
}

/* output_tile below of an image that is to be summed in squares of two: the tile is at (y, x) of it before that, `out` and
 * what is added are after. */
static void output_pairs_tile(const tiling *t, const tile_kind *kind, int n, int y, int x, const float *m, size_t point,
                              int first, int count, int c, const ath_conv_add *add, float *out) {
    const size_t line = sz(t->w / 2) * sz(c),
                 at = (sz(n) * sz(t->h / 2) + sz(y / 2)) * line + sz(x / 2) * sz(c) + sz(first);
    const outputs w = {out + at, add->residual != NULL ? add->residual + at : NULL, line, (t->h - y) / 2,
                       (t->w - x) / 2};
    OF_PAIRS(output_part, kind, m, point, count, NULL, &w, c);
}
#undef OF_PAIRS

/* y = A' m A + what is to be added, for channels first.. of which there are `count`, a multiple of W. */
static void output_tile(const tiling *t, const tile_kind *kind, int n, int y, int x, const float *m, size_t point,
                        int first, int count, int c, const ath_conv_add *add, float *out) {
    const size_t line = sz(t->w) * sz(c), at = sz(n) * sz(t->h) * line + sz(y) * line + sz(x) * sz(c) + sz(first);
    const float *bias = add->bias != NULL ? add->bias + sz(n) * add->bias_step + first : NULL;
    const outputs w = {out + at, add->residual != NULL ? add->residual + at : NULL, line, at_most(t->h - y, kind->rows),
                       at_most(t->w - x, kind->columns)};
    if (kind->rows < STEP || kind->columns < STEP)
        OF_PART(output_part, kind, m, point, count, bias, &w, c)
    else if (w.rows == STEP && w.columns == STEP && w.more == NULL)
        output_tile_at(m, point, count, bias, &w, true, c);
    else
        output_tile_at(m, point, count, bias, &w, false, c);
}
#undef OF_PART
