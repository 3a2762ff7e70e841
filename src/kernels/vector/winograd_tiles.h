/* The transforms of Winograd's tiles (winograd_transform.h): of a tile of inputs (6,6,channels) in an image to its 36 points,
 * of one of dy (4,4,channels) to as many, of 36 points to a tile of outputs.
 *
 * What differs from tile to tile is passed in registers: a structure that is written and at once read in other pieces waits
 * for all the stores before it, which are of outputs and miss L1. It was a tenth of a convolution of 32 channels.
 * Part of template.h. */

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
 * v[e * point + k/W * block + k%W]. Pixel (i, j) is at row[i] + j*c, and is 0 unless bit j of `columns`, which the compiler
 * knows, is set. */
INLINE void input_tile_at(int columns, const float *const *row, int c, int count, float *v, size_t point,
                          size_t block) {
    six across = six_of(sz(c)), points = six_of(point);
#define D(i, j) (columns >> (j)&1 ? load(nth_of(p##i, &across, j)) : (vec){0})
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
                d[i] = load_if(nth_of(row[i] + k, &across, j), all_or_none(there >> j & 1));
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
    else if (there == 077) /* of a whole tile only the first column and the last can be outside */
        input_tile_at(077, row, c, count, v, point, block);
    else if (there == 076)
        input_tile_at(076, row, c, count, v, point, block);
    else if (there == 037)
        input_tile_at(037, row, c, count, v, point, block);
    else
        input_tile_at(036, row, c, count, v, point, block);
}

INLINE void grad_tile_at(const float *const *row, int c, int count, float *v, size_t point, size_t block) {
    six across = six_of(sz(c)), points = six_of(point);
#define D(i, j) load(nth_of(p##i, &across, j))
    for (int k = 0; k < count; k += W, v += block) {
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
                      size_t point, size_t block) {
    six across = six_of(sz(c)), points = six_of(point);
    for (int k = 0; k < count; k += W, v += block) {
        vec u[POINTS], o[SIDE];
        FORGET_SIX(across);
#pragma GCC unroll 4
        for (int j = 0; j < columns; j++) {
            vec d[STEP];
#pragma GCC unroll 4
            for (int i = 0; i < rows; i++) d[i] = load_if(nth_of(row[i] + k, &across, j), all_or_none(there >> j & 1));
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
 * does. */
static void grad_tile(const tiling *t, const tile_kind *kind, int n, int y, int x, const float *dy, int c, int count,
                      const float *zeros, float *v, size_t point, size_t block) {
    const float *row[STEP];
    const int there = lines_of(t, n, y, x, STEP, dy, c, zeros, row);
    if (kind->rows < STEP || kind->columns < STEP)
        OF_PART(grad_part, kind, row, there, c, count, v, point, block)
    else
        grad_tile_at(row, c, count, v, point, block);
}

/* Of the outputs of a tile: the first, and sums of the others less it and of the squares of that. */
typedef struct tally {
    vec first, sum, squares;
} tally;
enum { TALLY = 3 };

/* A row of outputs, of which `columns` are in the image, with those of the rows before it. */
INLINE tally count_row(tally t, bool begins, const vec *y, int count, int columns) {
    if (begins) t = (tally){.first = y[0]};
#pragma GCC unroll 4
    for (int j = begins; j < count; j++) {
        if (j >= columns) break;
        const vec off = y[j] - t.first;
        t.sum += off;
        t.squares += off * off;
    }
    return t;
}

/* One row of `made` outputs, or with `pairs` of half as many sums, to dst, `columns` of them being in the image; at `more`,
 * unless NULL, is what is added. The tally t with them, if it counts. */
INLINE tally write_row(bool pairs, int made, const vec *row, float *dst, const float *more, int columns, six *across,
                       bool counts, bool begins, tally t) {
    const int count = pairs ? made / 2 : made;
    vec o[STEP];
    output_transform_of(pairs, made, row, o);
    FORGET_SIX(*across);
#pragma GCC unroll 4
    for (int j = 0; j < count; j++) {
        if (j >= columns) break;
        float *to = (float *)(void *)((char *)dst + nth(across, j));
        if (more != NULL) o[j] = load(nth_of(more, across, j)) + o[j];
        store(to, o[j]);
    }
    return counts ? count_row(t, begins, o, count, columns) : t;
}

/* Where a row of outputs belongs. */
typedef struct outputs {
    float *y;
    const float *more;
    size_t line;
    int rows, columns;
    float *counted; /* where the tally belongs, its parts c floats apart; NULL: nowhere */
} outputs;

INLINE void store_tally(tally t, float *to, int c) {
    store(to, t.first);
    store(to + c, t.sum);
    store(to + 2 * sz(c), t.squares);
}

INLINE tally write_output_row(bool pairs, int made, const vec *row, const outputs *w, bool adds, bool whole, int i,
                              int k, six *across, tally t) {
    if (!whole && i >= w->rows) return t;
    const float *more = adds ? w->more + sz(i) * w->line + k : NULL;
    return write_row(pairs, made, row, w->y + sz(i) * w->line + k, more, whole ? made : w->columns, across,
                     !pairs && w->counted != NULL, i == 0, t);
}

/* Rows 0 and 2 come from the sums of pairs of rows of m, 1 and 3 from the differences. What is to be added to all
 * outputs is added to the product at point (1, 1), of which each takes one. */
INLINE void output_tile_at(const float *m, size_t point, int count, const float *bias, const outputs *w, bool adds,
                           int c) {
    six points = six_of(point), across = six_of(sz(c));
#define M(i, j) load(nth_of(m##i, &points, j) + k)
    for (int k = 0; k < count; k += W) {
        const float *m0 = m, *m1 = m0 + SIDE * point, *m2 = m1 + SIDE * point, *m3 = m2 + SIDE * point,
                    *m4 = m3 + SIDE * point, *m5 = m4 + SIDE * point;
        const vec shift = bias != NULL ? load(bias + k) : (vec){0};
        vec r[SIDE], q[SIDE];
        tally t = {0};
        FORGET_SIX(points);
#pragma GCC unroll 6
        for (int j = 0; j < SIDE; j++) {
            const vec m1j = j == 1 ? M(1, j) + shift : M(1, j), a = m1j + M(2, j), b = M(3, j) + M(4, j);
            r[j] = M(0, j) + a + b, q[j] = a + 4 * b;
        }
        t = write_output_row(false, STEP, r, w, adds, true, 0, k, &across, t);
        t = write_output_row(false, STEP, q, w, adds, true, 2, k, &across, t);
        FORGET_SIX(points);
#pragma GCC unroll 6
        for (int j = 0; j < SIDE; j++) {
            const vec m1j = j == 1 ? M(1, j) + shift : M(1, j), a = m1j - M(2, j), b = M(3, j) - M(4, j);
            r[j] = a + 2 * b, q[j] = a + 8 * b + M(5, j);
        }
        t = write_output_row(false, STEP, r, w, adds, true, 1, k, &across, t);
        t = write_output_row(false, STEP, q, w, adds, true, 3, k, &across, t);
        if (w->counted != NULL) store_tally(t, w->counted + k, c);
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
        tally t = {0};
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
        for (int i = 0; i < made; i++)
            t = write_output_row(pairs, columns, u + i * SIDE, w, w->more != NULL, false, i, k, &across, t);
        if (!pairs && w->counted != NULL) store_tally(t, w->counted + k, c);
    }
}

/* output_tile below of an image that is to be summed in squares of two: the tile is at (y, x) of it before that, `out` and
 * what is added are after. */
static void output_pairs_tile(const tiling *t, const tile_kind *kind, int n, int y, int x, const float *m, size_t point,
                              int first, int count, int c, const ath_conv_add *add, float *out) {
    const size_t line = sz(t->w / 2) * sz(c),
                 at = (sz(n) * sz(t->h / 2) + sz(y / 2)) * line + sz(x / 2) * sz(c) + sz(first);
    const outputs w = {
        out + at, add->residual != NULL ? add->residual + at : NULL, line, (t->h - y) / 2, (t->w - x) / 2, NULL};
    OF_PAIRS(output_part, kind, m, point, count, NULL, &w, c);
}
#undef OF_PAIRS

/* y = A' m A + what is to be added, for channels first.. of which there are `count`, a multiple of W; `counted` is where
 * the tally of the first of all c channels belongs, or NULL. */
static void output_tile(const tiling *t, const tile_kind *kind, int n, int y, int x, const float *m, size_t point,
                        int first, int count, int c, const ath_conv_add *add, float *counted, float *out) {
    const size_t line = sz(t->w) * sz(c), at = sz(n) * sz(t->h) * line + sz(y) * line + sz(x) * sz(c) + sz(first);
    const float *bias = add->bias != NULL ? add->bias + sz(n) * add->bias_step + first : NULL;
    const outputs w = {out + at,
                       add->residual != NULL ? add->residual + at : NULL,
                       line,
                       at_most(t->h - y, kind->rows),
                       at_most(t->w - x, kind->columns),
                       counted != NULL ? counted + first : NULL};
    if (kind->rows < STEP || kind->columns < STEP)
        OF_PART(output_part, kind, m, point, count, bias, &w, c)
    else if (w.more == NULL)
        output_tile_at(m, point, count, bias, &w, false, c);
    else
        output_tile_at(m, point, count, bias, &w, true, c);
}
#undef OF_PART
