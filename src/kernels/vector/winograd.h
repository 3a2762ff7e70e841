/* The three passes of Winograd's convolution: see winograd_transform.h for what it is. Part of template.h. */

/* ---- transformed weights ---- */

/* G g G' for the nine taps at g[t * tap]: point e to dst[e * point]. */
INLINE void weight_tile(const float *g, size_t tap, float *dst, six *point) {
    vec d[9], u[SIDE * 3], o[SIDE];
#pragma GCC unroll 9
    for (int t = 0; t < 9; t++) d[t] = load(g + sz(t) * tap);
#pragma GCC unroll 3
    for (int b = 0; b < 3; b++) {
        weight_transform(d + b, 3, o);
#pragma GCC unroll 6
        for (int i = 0; i < SIDE; i++) u[i * 3 + b] = o[i];
    }
#pragma GCC unroll 6
    for (int i = 0; i < SIDE; i++) {
        weight_transform(u + i * 3, 1, o);
        dst = store_six(o, dst, point);
    }
}

/* The weights as one pass reads them: from which channels to which. */
typedef struct filter {
    const float *w;
    int c_in, c_out;
    bool forward; /* else transposed and turned around */
} filter;

INLINE filter filter_of(const ath_conv_shape *s, ath_conv_pass pass, const float *w) {
    return (filter){w, s->c_in, s->c_out, pass == ATH_CONV_FORWARD};
}
INLINE int from_of(const filter *g) { return g->forward ? g->c_in : g->c_out; }
INLINE int to_of(const filter *g) { return g->forward ? g->c_out : g->c_in; }

/* Whole lines of the cache, of LINE channels: taps are apart by powers of two, so that 9 fall on the same cache set of 8 and a
 * line does not stay until its other half is wanted. */
enum { VECTORS = ATH_W < 16 ? 16 / ATH_W : 1 }; /* of a line */

enum { WEIGHTS_AHEAD = 16 }; /* rows */

/* LINE channels `from` k0.. and PANEL channels `to` j0.. of which `columns` exist: row k to u + k * PANEL. The weights of rows to
 * come are asked for in time, into L2: their strides are too long for the hardware to guess, and in L1, where they fall on few sets,
 * they would not stay until they are wanted (1.1 of the whole convolution with 256 channels). */
static void weight_rows(const filter *g, int j0, int columns, int k0, float *u, size_t point) {
    six points = six_of(point);
    const size_t ci = sz(g->c_in), co = sz(g->c_out);
    float line[9 * 2 * ATH_W] __attribute__((aligned(64))); /* [tap][to] */
    for (int k = 0; k < LINE; k++, u += PANEL) {
        const float *w = g->w + sz(k0 + k) * co + sz(j0);
        for (int j = 0; j < columns; j += LINE)
            for (size_t t = 0; t < 9; t++) __builtin_prefetch(w + t * ci * co + WEIGHTS_AHEAD * co + sz(j), 0, 2);
        if (VECTORS == 1) {
            for (int j = 0; j < columns; j += W) weight_tile(w + j, ci * co, u + j, &points);
            continue;
        }
        for (int j = 0; j < columns; j += W)
            for (int t = 0; t < 9; t++) store(line + t * PANEL + j, load(w + sz(t) * ci * co + j));
        for (int j = 0; j < columns; j += W) weight_tile(line + j, PANEL, u + j, &points);
    }
}

/* The same transposed and turned around, of W channels `to`. */
static void weight_columns(const filter *g, int j0, int k0, float *u, size_t point) {
    six points = six_of(point);
    const size_t ci = sz(g->c_in), co = sz(g->c_out);
    float turned[9 * VECTORS * ATH_W * ATH_W] __attribute__((aligned(64))); /* [tap][from][to] */
    for (int t = 0; t < 9; t++) {
        vec rows[VECTORS][ATH_W];
        for (int l = 0; l < W; l++) {
            const float *w = g->w + (sz(8 - t) * ci + sz(j0 + l)) * co + sz(k0);
            __builtin_prefetch(w + LINE, 0, 2);
            for (int v = 0; v < VECTORS; v++) rows[v][l] = load(w + v * W);
        }
        for (int v = 0; v < VECTORS; v++) {
            transpose(rows[v]);
            for (int k = 0; k < W; k++) store(turned + ((t * VECTORS + v) * W + k) * W, rows[v][k]);
        }
    }
    for (int k = 0; k < VECTORS * W; k++) weight_tile(turned + k * W, sz(VECTORS * W * W), u + k * PANEL, &points);
}

/* A panel of weights, [point][depth][PANEL]: `from` channels k0.. k0+depth-1, `to` channels j0.. of which those that do
 * not exist are zero. */
static void weight_panel(const filter *g, int j0, int k0, int depth, float *u, size_t point) {
    const int columns = at_most(to_of(g) - j0, PANEL);
    for (int k = 0; k < depth; k += LINE, u += LINE * PANEL) {
        if (g->forward)
            weight_rows(g, j0, columns, k0 + k, u, point);
        else
            for (int j = 0; j < columns; j += W) weight_columns(g, j0 + j, k0 + k, u + j, point);
        for (int j = columns; j < PANEL; j += W)
            for (int e = 0; e < POINTS; e++)
                for (int l = 0; l < LINE; l++) store(u + sz(e) * point + l * PANEL + j, (vec){0});
    }
}

/* Transformed weights are four times the weights. Small ones are made once per change and kept, for all the workers and
 * micro-batches of a step; large ones would be read from memory more slowly than they are made again from the weights,
 * a part that stays in L2 at a time. */
static bool keeps_weights(const ath_conv_shape *s) { return algorithm_of(s, ATH_CONV_FORWARD) == ATH_CONV_WINOGRAD; }

/* Floats from a point to the next in a panel; a cache line more than needed, or the 36 points of a weight would all fall
 * on the same cache set. */
INLINE size_t u_point(int depth) { return sz(depth) * PANEL + 16; }

static size_t winograd_pack_floats(const ath_conv_shape *s, ath_conv_pass pass) {
    const filter g = filter_of(s, pass, NULL);
    return keeps_weights(s) ? sz((to_of(&g) + PANEL - 1) / PANEL) * POINTS * u_point(from_of(&g)) : 0;
}

static void winograd_pack(const ath_conv_shape *s, ath_conv_pass pass, const float *w, float *packed) {
    const filter g = filter_of(s, pass, w);
    const size_t point = u_point(from_of(&g));
    for (int j = 0; j < to_of(&g); j += PANEL, packed += POINTS * point)
        weight_panel(&g, j, 0, from_of(&g), packed, point);
}

/* ---- forward and input gradient ---- */

typedef struct winograd {
    tiling t;
    int from, to;                     /* channels read and written */
    bool reads_pairs, makes_pairs;    /* of an image that is upsampled, as it is stored */
    int block;                        /* tiles at once */
    bool keeps;                       /* the weights come transformed */
    int depth;                        /* channels read at once: all, or a part of the weights that stays in L2 */
    size_t v_row;                     /* floats from a vector of channels in V to the next */
    size_t v_point, m_point, u_point; /* from a point to the next: V, products, weights */
} winograd;

enum { KEPT_AT_ONCE = MR == 14 ? 14 : 24, ALL_AT_ONCE = 28, MOST_AT_ONCE = 64 }; /* tiles: whole groups of rows */

static winograd winograd_plan(const ath_conv_shape *s, ath_conv_pass pass) {
    const filter g = filter_of(s, pass, NULL);
    winograd d = {.from = from_of(&g), .to = to_of(&g), .keeps = keeps_weights(s)};
    d.reads_pairs = s->upsampled && g.forward;
    d.makes_pairs = s->upsampled && !g.forward;
    d.t = tiling_of(s);
    /* With kept weights few tiles, so that V and the products stay in L2 with a panel of weights, but not fewer than a small
     * image has. Else as many as the products of a panel leave room for, since the weights are made again for each block. */
    const int total = total_of(&d.t), kept = total <= ALL_AT_ONCE ? total : KEPT_AT_ONCE;
    d.block = even_blocks(total, d.keeps ? kept : MOST_AT_ONCE);
    d.depth = d.keeps ? d.from : at_most(d.from, 64);
    d.u_point = u_point(d.depth);
    /* Odd numbers of vectors and of cache lines, so that vectors of channels and points do not fall on the same sets. */
    d.v_row = sz(d.block | 1) * W;
    d.v_point = (sz(d.from) / W * d.v_row / 16 | 1) * 16;
    d.m_point = ((sz(d.block) * PANEL + 15) / 16 | 1) * 16;
    return d;
}

static size_t winograd_scratch_floats(const ath_conv_shape *s, ath_conv_pass pass) {
    const winograd d = winograd_plan(s, pass);
    const size_t counted = pass == ATH_CONV_FORWARD ? sz(total_of(&d.t)) * TALLY * sz(d.to) : 0;
    return POINTS * (d.v_point + d.m_point + (d.keeps ? 0 : d.u_point)) + sz(SIDE * d.from) + counted;
}

/* V of a block of tiles: [point][from/W][row][W]. */
static void transform_input(const winograd *d, const tile_block *b, const float *in, const float *zeros, float *v) {
    for (int q = 0; q < d->t.kinds; q++) {
        const tile_kind *kind = &d->t.kind[q];
        place p = place_of(kind, b->first[q]);
        for (int r = b->row[q]; r < b->row[q + 1]; r++, p = place_after(kind, p))
            (d->reads_pairs ? input_pairs_tile : input_tile)(&d->t, kind, p.n, p.y, p.x, in, d->from, d->from, zeros,
                                                             v + r * W, d->v_point, d->v_row);
    }
}

/* The outputs of a block of tiles from their products with a panel: `columns` channels from j on. Unless NULL `counted` gets a
 * tally of each tile, [tile of all][TALLY][to]. */
static void transform_output(const winograd *d, const tile_block *b, const float *m, int j, int columns,
                             const ath_conv_add *add, float *counted, float *out) {
    for (int q = 0; q < d->t.kinds; q++) {
        const tile_kind *kind = &d->t.kind[q];
        place p = place_of(kind, b->first[q]);
        for (int r = b->row[q]; r < b->row[q + 1]; r++, p = place_after(kind, p)) {
            const float *products = m + sz(r) * PANEL;
            if (d->makes_pairs) {
                output_pairs_tile(&d->t, kind, p.n, p.y, p.x, products, d->m_point, j, columns, d->to, add, out);
                continue;
            }
            const size_t tile = sz(p.n * d->t.down + p.y / STEP) * sz(d->t.across) + sz(p.x / STEP);
            output_tile(&d->t, kind, p.n, p.y, p.x, products, d->m_point, j, columns, d->to, add,
                        counted != NULL ? counted + tile * TALLY * sz(d->to) : NULL, out);
        }
    }
}

/* Sums of the outputs of one image less the first and of their squares, of W channels, from the tallies of its tiles: what
 * each has about its own first output is moved to the image's (Chan, Golub and LeVeque 1983, "Algorithms for computing the
 * sample variance"). They are added line by line whatever the blocks were: an image does not see its batch. */
static void add_tallies(const tiling *t, const float *tile, int c, double *sum, double *squares) {
    const vec first = load(tile);
    for (int l = 0; l < W; l++) sum[l] = squares[l] = 0;
    vec s = {0}, q = {0};
    for (int i = 0; i < t->down * t->across; i++, tile += TALLY * c) {
        const int rows = at_most(t->h - i / t->across * STEP, STEP),
                  columns = at_most(t->w - i % t->across * STEP, STEP);
        const vec off = load(tile) - first, of_tile = load(tile + c), all_off = (float)(rows * columns) * off;
        s += of_tile + all_off;
        q += load(tile + 2 * sz(c)) + off * (of_tile + of_tile + all_off);
        if (i % CHAIN < CHAIN - 1 && i < t->down * t->across - 1) continue;
        add_lanes(sum, s, W);
        add_lanes(squares, q, W);
        s = q = (vec){0};
    }
}

static void take_moments(const tiling *t, const float *counted, int c, int j0, int j1, double *moments) {
    const size_t image = sz(t->down * t->across) * TALLY * sz(c);
    for (int n = 0; n < t->n; n++, counted += image, moments += 2 * c)
        for (int j = j0; j < j1; j += W) add_tallies(t, counted + j, c, moments + j, moments + c + j);
}

/* Images as the transforms go over them: of their h rows a tile has `rows`, and reads `below` more. */
typedef struct raster {
    int h, w, rows, below;
} raster;

static raster raster_of(const ath_conv_shape *s, bool pairs, int below) {
    const int by = pairs ? 2 : 1;
    return (raster){s->h / by, s->w / by, STEP / by, below};
}

/* The pixels from the first one on to the end of the rows of a tile, of all tiles in turn. */
static size_t pixels_up_to(const raster *r, const tiling *t, int tile) {
    const int of_image = t->down * t->across, y = tile % of_image / t->across;
    return (sz(tile / of_image) * sz(r->h) + sz(at_most((y + 1) * r->rows + r->below, r->h))) * sz(r->w);
}

/* The products of a block of tiles with a panel of weights: how many rows, and where in V, weights and results they begin. */
enum { MOST_PRODUCTS = POINTS * ((MOST_AT_ONCE + MR - 1) / MR) };

typedef struct products {
    int count;
    struct {
        size_t v, u, m;
        int rows;
    } of[MOST_PRODUCTS + 1]; /* and one more, for what comes next */
} products;

static void list_products(const winograd *d, const tile_block *b, products *list) {
    grouping groups = {0};
    int n = 0;
    for (int e = 0, last = 0; e < POINTS; e++) {
        const int rows = b->end[e] - b->begin[e];
        if (rows > 0 && rows != last) groups = grouping_of(last = rows); /* which divides */
        for (int row = b->begin[e], g = 0; row < b->end[e]; row += list->of[n++].rows, g++) {
            list->of[n].v = sz(e) * d->v_point + sz(row * W);
            list->of[n].u = sz(e) * d->u_point;
            list->of[n].m = sz(e) * d->m_point + sz(row * PANEL);
            list->of[n].rows = groups.size + (g < groups.large);
        }
    }
    list->of[n] = list->of[0];
    list->count = n;
}

/* m (+)= V u, or unless `wide` the first half of its columns, for `depth` channels, the first ones unless `add`, and a
 * panel of weights. */
static void multiply_panel(const products *list, const float *v, size_t v_row, const float *u, int depth, bool add,
                           bool wide, float *m, streams *asked) {
    for (int i = 0; i < list->count; i++) {
        const asking share = next_share(asked);
        rows_of[list->of[i].rows](v + list->of[i].v, v_row, u + list->of[i].u, depth, m + list->of[i].m, add, wide,
                                  v + list->of[i + 1].v, &share);
    }
}

/* A part is some of the panels of outputs; each transforms all inputs, which is little beside the products. */
static int winograd_parts(const ath_conv_shape *s) {
    const double work = 9.0 * s->n * s->h * s->w * s->c_in * s->c_out / 2.5; /* a quarter, and the transforms */
    return worth_parts(work, (s->c_out + PANEL - 1) / PANEL);
}

static void winograd_run(const ath_conv_shape *s, ath_conv_pass pass, const float *in, const float *packed,
                         ath_conv_add add, ath_part part, float *out, float *scratch) {
    const winograd d = winograd_plan(s, pass);
    const filter raw = filter_of(s, pass, packed);
    float *v = scratch, *m = v + POINTS * d.v_point, *u = m + POINTS * d.m_point;
    float *zeros = u + (d.keeps ? 0 : POINTS * d.u_point);
    float *counted = add.moments != NULL ? zeros + SIDE * d.from : NULL;
    memset(zeros, 0, sz(SIDE * d.from) * sizeof *zeros);
    for (int e = 0; e < POINTS && d.reads_pairs; e++) /* the products that are not made */
        if (!(d.t.points >> e & 1)) memset(m + sz(e) * d.m_point, 0, d.m_point * sizeof *m);
    const int panels = (d.to + PANEL - 1) / PANEL, total = total_of(&d.t);
    const int j0 = panels * part.index / part.of * PANEL;
    const int j1 = at_most(panels * (part.index + 1) / part.of * PANEL, d.to);
    const raster reads = raster_of(s, d.reads_pairs, 1), makes = raster_of(s, d.makes_pairs, 0);
    tile_block b = {.row = {0}};
    products list;
    size_t read = pixels_up_to(&reads, &d.t, at_most(d.block, total) - 1), made = 0; /* pixels so far */
    for (int first = 0; first < total; first += d.block) {
        const int count = at_most(total - first, d.block), next = at_most(total, first + 2 * d.block) - 1;
        const size_t will_read = pixels_up_to(&reads, &d.t, next);
        const size_t will_make = pixels_up_to(&makes, &d.t, first + count - 1);
        if (take_block(&d.t, first, count, &b)) list_products(&d, &b, &list);
        transform_input(&d, &b, in, zeros, v);
        for (int j = j0; j < j1; j += PANEL) {
            const int columns = at_most(PANEL, d.to - j);
            const size_t at = made * sz(d.to) + sz(j);
            streams asked = {0};
            add_streams(&asked, out + at, sz(d.to), will_make - made, columns);
            if (add.residual != NULL && add.residual != out)
                add_streams(&asked, add.residual + at, sz(d.to), will_make - made, columns);
            if (j + PANEL >= j1) add_stream(&asked, in + read * sz(d.from), (will_read - read) * sz(d.from));
            share_out(&asked, list.count * ((d.from + d.depth - 1) / d.depth), d.depth, W);
            for (int k0 = 0; k0 < d.from; k0 += d.depth) {
                const int depth = at_most(d.from - k0, d.depth);
                const float *panel = packed + sz(j / PANEL) * POINTS * d.u_point;
                if (!d.keeps) weight_panel(&raw, j, k0, depth, u, d.u_point);
                multiply_panel(&list, v + sz(k0 / W) * d.v_row, d.v_row, d.keeps ? panel : u, depth, k0 > 0,
                               d.to - j > W, m, &asked);
            }
            transform_output(&d, &b, m, j, columns, &add, counted, out);
        }
        read = will_read;
        made = will_make;
    }
    if (counted != NULL) take_moments(&d.t, counted, d.to, j0, j1, add.moments);
}

/* ---- the weight gradient ---- */

/* The sums are 36 times channels squared: kept in L2 while the tiles pass by in blocks when they are small enough. Else
 * channels are taken in squares whose sums fit, over many tiles at once, each channel block of the transformed tiles
 * being contiguous: [channel block][point][tile][channels], or of strips [channel block][point][channels/W][tile][W]. */
typedef struct winograd_dw {
    tiling t;
    int block;               /* tiles at once */
    int m, n;                /* channels of a block: of x, of dy */
    int n_all;               /* channels of dy, padded to a panel */
    int down, across;        /* blocks of channels */
    bool keeps;              /* more than one block of tiles: the sums of all channels are kept */
    size_t strip;            /* floats from a vector of channels to the next in a channel block of a point */
    size_t a_tile, b_tile;   /* from a tile to the next */
    size_t a_point, b_point; /* from a point to the next */
} winograd_dw;

enum { DW_SQUARE = 64 };

/* So many that what is added to the sums pays for reading and writing them: more tiles for more channels. Most of all where one
 * block has all the tiles, so that no sums are kept. */
static int dw_tiles_at_once(int channels_squared, int tiles) {
    if (channels_squared <= DW_SQUARE * DW_SQUARE && !BY_STRIPS) return 32;
    return channels_squared > 4 * DW_SQUARE * DW_SQUARE && tiles <= 128 ? 128 : 64;
}

static winograd_dw winograd_dw_plan(const ath_conv_shape *s) {
    winograd_dw d = {.t = tiling_of(s), .m = at_most(s->c_in, DW_SQUARE), .n_all = round_up(s->c_out, PANEL)};
    d.n = at_most(d.n_all, DW_SQUARE);
    d.down = (s->c_in + d.m - 1) / d.m;
    d.across = (d.n_all + d.n - 1) / d.n;
    d.block = even_blocks(total_of(&d.t), dw_tiles_at_once(s->c_in * d.n_all, total_of(&d.t)));
    d.keeps = total_of(&d.t) > d.block;
    d.strip = BY_STRIPS ? strip_floats(d.block) : sz(W);
    d.a_tile = sz(BY_STRIPS ? W : d.m);
    d.b_tile = sz(BY_STRIPS ? W : d.n);
    /* A cache line more than needed, or the 36 points of a tile would all fall on the same cache set. */
    d.a_point = (BY_STRIPS ? strips_floats(d.block, d.m) : sz(d.block) * sz(d.m)) + 16;
    d.b_point = (BY_STRIPS ? strips_floats(d.block, d.n) : sz(d.block) * sz(d.n)) + 16;
    return d;
}

INLINE size_t a_floats(const winograd_dw *d) { return sz(d->down * POINTS) * d->a_point; }
INLINE size_t b_floats(const winograd_dw *d) { return sz(d->across * POINTS) * d->b_point; }

/* Floats from a point to the next in the sums of m x n channels; a cache line more than needed, for the same reason. */
INLINE size_t sums_point(int m, int n) { return sz(m) * sz(n) + 16; }

INLINE size_t dw_sums_floats(const winograd_dw *d, int c_in) {
    return POINTS *
           (d->keeps ? sz(c_in) * sz(d->n_all) + sz(d->down * d->across) * sums_point(0, 0) : sums_point(d->m, d->n));
}

static size_t winograd_dw_scratch_floats(const ath_conv_shape *s) {
    const winograd_dw d = winograd_dw_plan(s);
    return a_floats(&d) + b_floats(&d) + dw_sums_floats(&d, s->c_in) + sz(SIDE * at_least(s->c_in, s->c_out)) +
           sz(d.n_all);
}

/* dw = (or += when acc) G' sum G for m x n channels, the sums being [point][n/PANEL][m][PANEL]. */
static void finish_weights(const float *sum, size_t point, int m, int valid, float *dw, size_t tap, int c_out,
                           bool acc) {
    for (int i = 0; i < m; i++)
        for (int j = 0; j < valid; j += W) {
            if (j % LINE == 0 && i + WEIGHTS_AHEAD < m)
                for (size_t t = 0; t < 9; t++)
                    __builtin_prefetch(dw + t * tap + sz(i + WEIGHTS_AHEAD) * sz(c_out) + sz(j), 1, 2);
            const float *from = sum + (sz(j / PANEL) * sz(m) + sz(i)) * PANEL + j % PANEL;
            vec u[3 * SIDE], o[3];
#pragma GCC unroll 6
            for (int b = 0; b < SIDE; b++) {
                vec d[SIDE];
#pragma GCC unroll 6
                for (int a = 0; a < SIDE; a++) d[a] = load(from + sz(a * SIDE + b) * point);
                weight_adjoint(d, 1, o);
#pragma GCC unroll 3
                for (int a = 0; a < 3; a++) u[a * SIDE + b] = o[a];
            }
#pragma GCC unroll 3
            for (int a = 0; a < 3; a++) {
                weight_adjoint(u + a * SIDE, 1, o);
#pragma GCC unroll 3
                for (int b = 0; b < 3; b++) {
                    float *to = dw + sz(a * 3 + b) * tap + sz(i) * sz(c_out) + j;
                    store(to, acc ? load(to) + o[b] : o[b]);
                }
            }
        }
}

/* Adds the bias' gradient of `count` tiles: the sum of all outputs of a tile is its point (1, 1). */
static void add_bias_grad(int count, int channels, const float *b, size_t strip, size_t ld, float *db, bool begins) {
    for (int j = 0; j < channels; j += W, b += strip, db += W) {
        vec sum = begins ? (vec){0} : load(db);
        for (int r = 0; r < count; r++) sum += load(b + sz(r) * ld);
        store(db, sum);
    }
}

/* The transforms of a block of tiles, of x to a and of dy to b. */
static void transform_both(const winograd_dw *d, const tile_block *tiles, const ath_conv_shape *s, const float *x,
                           const float *dy, const float *zeros, float *a, float *b) {
    for (int q = 0; q < d->t.kinds; q++) {
        const tile_kind *kind = &d->t.kind[q];
        place p = place_of(kind, tiles->first[q]);
        for (int r = tiles->row[q]; r < tiles->row[q + 1]; r++, p = place_after(kind, p)) {
            for (int i = 0; i < s->c_in; i += d->m)
                (s->upsampled ? input_pairs_tile : input_tile)(
                    &d->t, kind, p.n, p.y, p.x, x + i, s->c_in, at_most(d->m, s->c_in - i), zeros,
                    a + sz(i / d->m) * POINTS * d->a_point + sz(r) * d->a_tile, d->a_point, d->strip);
            for (int j = 0; j < s->c_out; j += d->n)
                grad_tile(&d->t, kind, p.n, p.y, p.x, dy + j, s->c_out, at_most(d->n, s->c_out - j), zeros,
                          b + sz(j / d->n) * POINTS * d->b_point + sz(r) * d->b_tile, d->b_point, d->strip);
        }
    }
}

enum { IN_L2 = 128 * 1024 }; /* floats that stay there */

typedef struct dw_pixels {
    const float *x, *dy; /* of the next block */
    size_t x_floats, dy_floats;
} dw_pixels;

/* What is asked for in the course of product k of so many, of one point: a part of the pixels of the next block, and what the
 * next product reads of the transformed tiles, unless they are in L2. */
static streams dw_asks(const winograd_dw *d, const dw_pixels *next, int k, int of, const float *next_a,
                       const float *next_b, int m, int n, int rows) {
    streams asked = {0};
    add_part(&asked, next->x, next->x_floats, k, of);
    add_part(&asked, next->dy, next->dy_floats, k, of);
    if (a_floats(d) + b_floats(d) > IN_L2) {
        add_stream(&asked, next_a, d->a_point);
        add_stream(&asked, next_b, d->b_point);
    }
    share_out(&asked, tiles_of(BY_STRIPS, m, n), rows, SHARE_STEPS);
    return asked;
}

/* The sums of one block of tiles, transformed as a and b, or what they add to them; of the last, to dw. */
static void dw_block(const winograd_dw *d, const ath_conv_shape *s, const tile_block *tiles, const dw_pixels *next,
                     const float *a, const float *b, bool begins, bool ends, float *sum, float *dw, bool acc) {
    const int ci = s->c_in, co = s->c_out;
    int k = 0;
    for (int i = 0; i < ci; i += d->m)
        for (int j = 0; j < d->n_all; j += d->n) {
            const int m = at_most(d->m, ci - i), n = at_most(d->n, d->n_all - j);
            const float *ai = a + sz(i / d->m) * POINTS * d->a_point, *bj = b + sz(j / d->n) * POINTS * d->b_point;
            for (int e = 0; e < POINTS; e++, k++) {
                const int row = tiles->begin[e], rows = tiles->end[e] - row;
                const bool row_ends = e == POINTS - 1 && j + d->n >= d->n_all, turns = e == POINTS - 1 && !row_ends;
                const float *ae = ai + sz(e) * d->a_point, *be = bj + sz(e) * d->b_point;
                streams asked = dw_asks(d, next, k, POINTS * d->down * d->across, turns ? ai : ae + d->a_point,
                                        row_ends ? b : be + d->b_point, m, n, rows);
                float *of_point = sum + sz(e) * sums_point(m, n);
                ae += sz(row) * d->a_tile;
                be += sz(row) * d->b_tile;
                if (rows > 0 && BY_STRIPS)
                    strip_product(m, n, rows, ae, d->strip, be, d->strip, of_point, PANEL, sz(m) * PANEL, !begins,
                                  &asked);
                else if (rows > 0)
                    outer_matrix(m, n, rows, ae, d->a_tile, be, d->b_tile, of_point, !begins, &asked);
                else if (begins)
                    memset(of_point, 0, sz(m) * sz(n) * sizeof *of_point);
            }
            if (ends)
                finish_weights(sum, sums_point(m, n), m, at_most(n, co - j), dw + sz(i) * sz(co) + j, sz(ci) * sz(co),
                               co, acc);
            if (d->keeps) sum += POINTS * sums_point(m, n);
        }
}

static void winograd_weight_grad(const ath_conv_shape *s, const float *x, const float *dy, float *dw, float *db,
                                 bool acc, float *scratch) {
    const winograd_dw d = winograd_dw_plan(s);
    const int ci = s->c_in, co = s->c_out;
    float *a = scratch, *b = a + a_floats(&d), *zeros = b + b_floats(&d), *sums = zeros + SIDE * at_least(ci, co);
    float *bias_sum = sums + dw_sums_floats(&d, ci);
    memset(zeros, 0, sz(SIDE * at_least(ci, co)) * sizeof *zeros);
    if (co < d.n_all) memset(b, 0, b_floats(&d) * sizeof *b);
    const int total = total_of(&d.t);
    const raster of_x = raster_of(s, s->upsampled, 1), of_dy = raster_of(s, false, 0);
    tile_block tiles = {.row = {0}};
    size_t read_x = pixels_up_to(&of_x, &d.t, d.block - 1), read_dy = pixels_up_to(&of_dy, &d.t, d.block - 1);
    for (int first = 0; first < total; first += d.block) {
        const int count = at_most(total - first, d.block), next = at_most(total, first + 2 * d.block) - 1;
        const size_t next_x = pixels_up_to(&of_x, &d.t, next), next_dy = pixels_up_to(&of_dy, &d.t, next);
        const dw_pixels pixels = {x + read_x * sz(ci), dy + read_dy * sz(co), (next_x - read_x) * sz(ci),
                                  (next_dy - read_dy) * sz(co)};
        const bool begins = first == 0;
        take_block(&d.t, first, count, &tiles);
        transform_both(&d, &tiles, s, x, dy, zeros, a, b);
        for (int j = 0; j < co && db != NULL; j += d.n)
            add_bias_grad(count, at_most(d.n, co - j), b + (sz(j / d.n) * POINTS + SIDE + 1) * d.b_point, d.strip,
                          d.b_tile, bias_sum + j, begins);
        dw_block(&d, s, &tiles, &pixels, a, b, begins, first + count == total, sums, dw, acc);
        read_x = next_x;
        read_dy = next_dy;
    }
    for (int j = 0; j < co && db != NULL; j++) db[j] = acc ? db[j] + bias_sum[j] : bias_sum[j];
}
