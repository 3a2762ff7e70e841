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
 * Part of template.h. */

enum { SIDE = 6, POINTS = SIDE * SIDE, STEP = 4 };

static bool winograd_fits(const ath_conv_shape *s) {
    return s->kernel == 3 && s->stride == 1 && s->pad_before == 1 && s->pad_after == 1 && s->h >= STEP &&
           s->w >= STEP && s->c_in % 16 == 0 && s->c_out % 16 == 0;
}

typedef struct tiling {
    int h, w, across, per_image, total; /* of the images; tiles in a row, an image, the call */
} tiling;

static tiling tiling_of(const ath_conv_shape *s) {
    tiling t = {.h = s->h, .w = s->w, .across = (s->w + STEP - 1) / STEP};
    t.per_image = t.across * ((s->h + STEP - 1) / STEP);
    t.total = s->n * t.per_image;
    return t;
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

INLINE place place_of(const tiling *t, int tile) {
    const int in_image = tile % t->per_image;
    return (place){tile / t->per_image, in_image / t->across * STEP, in_image % t->across * STEP};
}

/* ---- transforms in one dimension; element i is at [i * stride] ---- */

/* B' = [4 0 -5 0 1 0; 0 -4 -4 1 1 0; 0 4 -4 -1 1 0; 0 -2 -1 2 1 0; 0 2 -1 -2 1 0; 0 4 0 -5 0 1] */
INLINE void input_transform(const vec *d, int stride, vec *o) {
    const vec d0 = d[0], d1 = d[stride], d2 = d[2 * stride], d3 = d[3 * stride], d4 = d[4 * stride], d5 = d[5 * stride];
    const vec a = d4 - 4 * d2, b = d3 - 4 * d1, c = d4 - d2, e = d3 - d1;
    o[0] = 4 * d0 - 5 * d2 + d4;
    o[1] = a + b;
    o[2] = a - b;
    o[3] = c + 2 * e;
    o[4] = c - 2 * e;
    o[5] = 4 * d1 - 5 * d3 + d5;
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
    const vec a = y0 + y2, b = y1 + y3, c = y0 + 4 * y2, e = 2 * y1 + 8 * y3;
    o[0] = y0;
    o[1] = a + b;
    o[2] = a - b;
    o[3] = c + e;
    o[4] = c - e;
    o[5] = y3;
}

/* G = [1/4 0 0; -1/6 -1/6 -1/6; -1/6 1/6 -1/6; 1/24 1/12 1/6; 1/24 -1/12 1/6; 0 0 1] */
INLINE void weight_transform(const vec *g, int stride, vec *o) {
    const vec g0 = g[0], g1 = g[stride], g2 = g[2 * stride];
    const vec a = (g0 + g2) * (-1 / 6.0F), b = g1 * (1 / 6.0F), c = g0 * (1 / 24.0F) + g2 * (1 / 6.0F),
              e = g1 * (1 / 12.0F);
    o[0] = g0 * 0.25F;
    o[1] = a - b;
    o[2] = a + b;
    o[3] = c + e;
    o[4] = c - e;
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

/* ---- transforms of tiles ---- */

/* The transforms below take the rows of the 6x6 result in turn, singly or in the pairs that share terms, and read
 * the tile anew for each: 84 loads and no spills where keeping 36 vectors means 72 loads and 36 more stores. */

INLINE void store_row(const vec *row, float *v, size_t point) {
    vec o[SIDE];
    input_transform(row, 1, o);
#pragma GCC unroll 6
    for (int j = 0; j < SIDE; j++) store(v + sz(j) * point, o[j]);
}

/* B' d B of the 6x6 pixels around an output tile, for `count` of the c channels: point e of channel k to
 * v[e * point + k/W * block + k%W]. Pixel (i, j) is at row[i] + j*c, or at pixel[i*SIDE + j] when row is NULL. */
INLINE void input_tile_at(const float *const *row, const float *const *pixel, int c, int count, float *v, size_t point,
                          size_t block) {
#define D(i, j) load((row != NULL ? row[i] + (j)*c : pixel[(i)*SIDE + (j)]) + k)
    for (int k = 0; k < count; k += W, v += block) {
        vec r[SIDE], q[SIDE];
#pragma GCC unroll 6
        for (int j = 0; j < SIDE; j++) r[j] = 4 * D(0, j) - 5 * D(2, j) + D(4, j);
        store_row(r, v, point);
#pragma GCC unroll 6
        for (int j = 0; j < SIDE; j++) {
            const vec a = D(4, j) - 4 * D(2, j), b = D(3, j) - 4 * D(1, j);
            r[j] = a + b, q[j] = a - b;
        }
        store_row(r, v + 1 * SIDE * point, point);
        store_row(q, v + 2 * SIDE * point, point);
#pragma GCC unroll 6
        for (int j = 0; j < SIDE; j++) {
            const vec a = D(4, j) - D(2, j), b = D(3, j) - D(1, j);
            r[j] = a + 2 * b, q[j] = a - 2 * b;
        }
        store_row(r, v + 3 * SIDE * point, point);
        store_row(q, v + 4 * SIDE * point, point);
#pragma GCC unroll 6
        for (int j = 0; j < SIDE; j++) r[j] = 4 * D(1, j) - 5 * D(3, j) + D(5, j);
        store_row(r, v + 5 * SIDE * point, point);
    }
#undef D
}

/* The `count` channels at x, of c; `zeros` is SIDE pixels of them. */
static void input_tile(const tiling *t, place p, const float *x, int c, int count, const float *zeros, float *v,
                       size_t point, size_t block) {
    const float *image = x + sz(p.n) * sz(t->h) * sz(t->w) * sz(c);
    const int y0 = p.y - 1, x0 = p.x - 1;
    if (x0 >= 0 && x0 + SIDE <= t->w) {
        const float *row[SIDE];
        for (int i = 0; i < SIDE; i++) {
            const bool inside = y0 + i >= 0 && y0 + i < t->h;
            row[i] = inside ? image + (sz(y0 + i) * sz(t->w) + sz(x0)) * sz(c) : zeros;
        }
        input_tile_at(row, NULL, c, count, v, point, block);
        return;
    }
    const float *pixel[POINTS];
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++) {
            const int yy = y0 + i, xx = x0 + j;
            const bool inside = yy >= 0 && yy < t->h && xx >= 0 && xx < t->w;
            pixel[i * SIDE + j] = inside ? image + (sz(yy) * sz(t->w) + sz(xx)) * sz(c) : zeros;
        }
    input_tile_at(NULL, pixel, c, count, v, point, block);
}

INLINE void store_grad_row(const vec *row, float *v, size_t point) {
    vec o[SIDE];
    output_adjoint(row, 1, o);
#pragma GCC unroll 6
    for (int j = 0; j < SIDE; j++) store(v + sz(j) * point, o[j]);
}

/* A dY A' of an output tile; outputs outside of the image are 0. The `count` channels at dy, of c, stored as input_tile
 * does with block = W. */
static void grad_tile(const tiling *t, place p, const float *dy, int c, int count, const float *zeros, float *v,
                      size_t point) {
    const float *pixel[STEP * STEP];
    for (int i = 0; i < STEP; i++)
        for (int j = 0; j < STEP; j++) {
            const size_t yy = sz(p.y + i), xx = sz(p.x + j);
            const bool inside = p.y + i < t->h && p.x + j < t->w;
            pixel[i * STEP + j] = inside ? dy + ((sz(p.n) * sz(t->h) + yy) * sz(t->w) + xx) * sz(c) : zeros;
        }
#define D(i, j) load(pixel[(i)*STEP + (j)] + k)
    for (int k = 0; k < count; k += W, v += W) {
        vec r[STEP], q[STEP];
#pragma GCC unroll 4
        for (int j = 0; j < STEP; j++) r[j] = D(0, j);
        store_grad_row(r, v, point);
#pragma GCC unroll 4
        for (int j = 0; j < STEP; j++) {
            const vec a = D(0, j) + D(2, j), b = D(1, j) + D(3, j);
            r[j] = a + b, q[j] = a - b;
        }
        store_grad_row(r, v + 1 * SIDE * point, point);
        store_grad_row(q, v + 2 * SIDE * point, point);
#pragma GCC unroll 4
        for (int j = 0; j < STEP; j++) {
            const vec a = D(0, j) + 4 * D(2, j), b = 2 * D(1, j) + 8 * D(3, j);
            r[j] = a + b, q[j] = a - b;
        }
        store_grad_row(r, v + 3 * SIDE * point, point);
        store_grad_row(q, v + 4 * SIDE * point, point);
#pragma GCC unroll 4
        for (int j = 0; j < STEP; j++) r[j] = D(3, j);
        store_grad_row(r, v + 5 * SIDE * point, point);
    }
#undef D
}

/* One row of outputs to dst, `columns` of them being in the image; at `more`, unless NULL, is what is added. */
INLINE void write_row(const vec *row, float *dst, const float *more, int columns, int c, vec shift) {
    vec o[STEP];
    output_transform(row, 1, o);
#pragma GCC unroll 4
    for (int j = 0; j < STEP; j++) {
        if (j >= columns) break;
        store(dst + j * c, more != NULL ? load(more + j * c) + (o[j] + shift) : o[j] + shift);
    }
}

/* y = A' m A + what is to be added, for channels first.. of which there are `count`, a multiple of W. */
static void output_tile(const tiling *t, place p, const float *m, size_t point, int first, int count, int c,
                        ath_conv_add add, float *y) {
    const int rows = at_most(t->h - p.y, STEP), columns = at_most(t->w - p.x, STEP);
    const size_t line = sz(t->w) * sz(c), at = sz(p.n) * sz(t->h) * line + sz(p.y) * line + sz(p.x) * sz(c) + sz(first);
    const float *bias = add.bias != NULL ? add.bias + sz(p.n) * add.bias_step + first : NULL;
    for (int k = 0; k < count; k += W) {
        const vec shift = bias != NULL ? load(bias + k) : (vec){0};
        const float *more = add.residual != NULL ? add.residual + at + k : NULL;
        vec u[STEP * SIDE], o[STEP];
#pragma GCC unroll 6
        for (int j = 0; j < SIDE; j++) {
            vec d[SIDE];
#pragma GCC unroll 6
            for (int i = 0; i < SIDE; i++) d[i] = load(m + sz(i * SIDE + j) * point + k);
            output_transform(d, 1, o);
#pragma GCC unroll 4
            for (int i = 0; i < STEP; i++) u[i * SIDE + j] = o[i];
        }
        float *dst = y + at + k;
        if (rows == STEP && columns == STEP && more == NULL)
            for (int i = 0; i < STEP; i++) write_row(u + i * SIDE, dst + sz(i) * line, NULL, STEP, c, shift);
        else
            for (int i = 0; i < rows; i++)
                write_row(u + i * SIDE, dst + sz(i) * line, more != NULL ? more + sz(i) * line : NULL, columns, c,
                          shift);
    }
}
