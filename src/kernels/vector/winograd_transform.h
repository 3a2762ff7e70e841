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
 * 24 * 24, 7 = 4 + 3 takes 11 * 11 for 12 * 12. What the weights are divided by for the points that are left out, its
 * input is multiplied by.
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

/* Kinds are in an order in which those that take a point are next to each other, whatever the point: the corner, the right
 * edge, whole tiles, the edge below. So the tiles of a block are, sorted by kind, and are multiplied together. */
typedef struct tiling {
    int n, h, w;      /* images */
    int down, across; /* tiles of an image */
    bool upsampled;
    uint64_t points; /* that any tile takes */
    int kinds;
    tile_kind kind[4];
} tiling;

INLINE int total_of(const tiling *t) { return t->n * t->down * t->across; }

/* Whether a tile of so many outputs in a direction takes point i of six. */
INLINE bool takes_point(bool upsampled, int outputs, int i) {
    return (i <= outputs || i == SIDE - 1) && !(upsampled && i == 2);
}

static void add_kind(tiling *t, tile_kind k) {
    for (int e = 0; e < POINTS; e++)
        if (takes_point(t->upsampled, k.rows, e / SIDE) && takes_point(t->upsampled, k.columns, e % SIDE))
            k.points |= UINT64_C(1) << e;
    t->points |= k.points;
    t->kind[t->kinds++] = k;
}

static tiling tiling_of(const ath_conv_shape *s) {
    tiling t = {.n = s->n, .h = s->h, .w = s->w, .upsampled = s->upsampled};
    t.down = (s->h + STEP - 1) / STEP;
    t.across = (s->w + STEP - 1) / STEP;
    const int down = s->h / STEP, across = s->w / STEP, below = s->h % STEP, right = s->w % STEP;
    const int y = down * STEP, x = across * STEP, rows = at_least(below, 2), columns = at_least(right, 2);
    if (right > 0 && below > 0) add_kind(&t, (tile_kind){y, x, 1, 1, rows, columns, 0});
    if (right > 0) add_kind(&t, (tile_kind){0, x, down, 1, STEP, columns, 0});
    add_kind(&t, (tile_kind){0, 0, down, across, STEP, STEP, 0});
    if (below > 0) add_kind(&t, (tile_kind){y, 0, 1, across, rows, STEP, 0});
    return t;
}

/* The tiles of all images are taken in blocks, as they follow each other in the images. Those of kind q in a block are tiles
 * first[q].. of that kind and rows row[q]..row[q+1]-1 of the block; rows begin[e]..end[e]-1 take point e. */
typedef struct tile_block {
    int first[4], row[5];
    int begin[POINTS], end[POINTS];
} tile_block;

/* Tiles of a kind among the first `tiles` of all. */
INLINE int of_kind(const tiling *t, const tile_kind *k, int tiles) {
    const int of_image = t->down * t->across, image = tiles / of_image, y = tiles % of_image / t->across - k->y / STEP,
              x = tiles % t->across - k->x / STEP;
    const int in_line = y < 0 || y >= k->down ? 0 : at_most(at_least(x, 0), k->across);
    return (image * k->down + at_most(at_least(y, 0), k->down)) * k->across + in_line;
}

/* Makes of b, the block before or 0, the block of `count` tiles from the first-th on. Whether its rows are of other kinds than
 * those before: mostly not, and what follows from them need not be worked out again. */
static bool take_block(const tiling *t, int first, int count, tile_block *b) {
    bool differs = false;
    for (int q = 0; q < t->kinds; q++) {
        const tile_kind *k = &t->kind[q];
        b->first[q] = of_kind(t, k, first);
        const int end = b->row[q] + of_kind(t, k, first + count) - b->first[q];
        differs |= end != b->row[q + 1];
        b->row[q + 1] = end;
    }
    for (int e = 0; e < POINTS && differs; e++) {
        int q = 0;
        while (q < t->kinds && !(t->kind[q].points >> e & 1)) q++;
        b->begin[e] = b->end[e] = b->row[q];
        for (; q < t->kinds && t->kind[q].points >> e & 1; q++) b->end[e] = b->row[q + 1];
    }
    return differs;
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
