/* Convolutions as products of gathered rows, for every shape that Winograd does not take:
 * strides, 1x1, few channels, odd channels. Two dual forms, both in blocks that stay in L2:
 *
 *     gather   out[p] = sum_t in[p stride + t - pad] w[t]: the window of each output becomes
 *              a row (k*k*c_in long), a product with (k*k*c_in, c_out) makes the outputs;
 *     scatter  the adjoint: a product of the input's rows with (c_in, k*k*c_out) makes what
 *              each input gives to each tap, and that is added where it belongs.
 *
 * Forward gathers and the input gradient scatters, which wastes nothing whatever the
 * stride. With stride 1 each is also the other with the taps reversed, and the form that
 * leaves fewer columns of a panel empty is taken: 64 -> 3 channels scatters forward
 * (27 of 32 columns used) where gathering would use 3 of 32.
 * Part of template.h. */

/* Images seen through a window: what `in` gives to `out` (or takes from, in scatter). */
typedef struct view {
    int n, h, w, c;          /* the images that the window moves over */
    int out_h, out_w;        /* the positions of the window */
    int kernel, stride, pad; /* before; what is after follows from out_h, out_w */
} view;

enum { ROW_BLOCK_FLOATS = 96 * 1024, MAX_ROWS = 16 * MR };

/* Rows a block may have when each is k floats: all in L2 with room for a panel of B. */
static int block_rows(int k) { return at_least(at_most(ROW_BLOCK_FLOATS / k / MR, 16), 1) * MR; }

/* The window at a position: image, row and column of its first tap, which may be outside. Positions are walked by
 * `next_position`, as dividing for each costs more than copying a small window. */
typedef struct position {
    int n, oy, ox;
} position;

INLINE position position_of(const view *v, int p) {
    return (position){p / v->out_w / v->out_h, p / v->out_w % v->out_h, p % v->out_w};
}

INLINE void next_position(const view *v, position *p) {
    if (++p->ox < v->out_w) return;
    p->ox = 0;
    if (++p->oy < v->out_h) return;
    p->oy = 0;
    p->n++;
}

/* A part of a window that is contiguous in a row of the image, and where it is in a row of the product: `len` floats
 * from float `at` of the kernel's row ky are elements k.. (gather), or columns k.. of a panel (scatter). */
typedef struct run {
    int ky, at, k, len;
} run;

enum { MAX_RUNS = 32 }; /* a panel has no more columns; kernels no more rows */

/* The runs of elements j0..j1 of the window. */
static int runs_of(const view *v, int j0, int j1, run *runs) {
    const int line = v->kernel * v->c;
    int n = 0;
    for (int j = j0; j < j1; j += runs[n++].len) {
        ATH_ASSERT(n < MAX_RUNS);
        runs[n] = (run){j / line, j % line, j - j0, at_most(line - j % line, j1 - j)};
    }
    return n;
}

/* Copies len floats, or zeros when src is NULL, to elements k.. of a row stored in blocks of W. */
INLINE void put(float *row, size_t block, unsigned k, const float *src, int len) {
    while (len > 0) {
        const unsigned at = k % W;
        const int m = at_most(len, W - (int)at);
        float *dst = row + k / W * block + at;
        store_some(dst, src != NULL ? load_some(src, m) : (vec){0}, m);
        if (src != NULL) src += m;
        k += (unsigned)m;
        len -= m;
    }
}

/* Writes these runs of the windows at positions first..first+count. Element k of row r
 * goes to a[k/W*block + r*row + k%W]; rows are zero filled to a multiple of W. */
static void gather(const view *v, const float *in, int first, int count, const run *runs, int n_runs, float *a,
                   size_t block, size_t row) {
    const int c = v->c, line = v->w * c, width = v->kernel * c;
    const int k_end = runs[n_runs - 1].k + runs[n_runs - 1].len, padding = round_up(k_end, W) - k_end;
    position p = position_of(v, first);
    for (int r = 0; r < count; r++, a += row, next_position(v, &p)) {
        const int y0 = p.oy * v->stride - v->pad, x0 = (p.ox * v->stride - v->pad) * c;
        const bool inside = x0 >= 0 && x0 + width <= line;
        const float *image = in + sz(p.n) * sz(v->h) * sz(line);
        for (int i = 0; i < n_runs; i++) {
            const run *q = &runs[i];
            const int y = y0 + q->ky;
            const unsigned k = (unsigned)q->k;
            if (y < 0 || y >= v->h) {
                put(a, block, k, NULL, q->len);
                continue;
            }
            const float *src = image + sz(y) * sz(line);
            if (inside) {
                put(a, block, k, src + x0 + q->at, q->len);
                continue;
            }
            const int before = at_most(at_least(-(x0 + q->at), 0), q->len);
            const int copied = at_least(at_most(line - x0 - q->at, q->len) - before, 0);
            put(a, block, k, NULL, before);
            if (copied > 0) put(a, block, k + (unsigned)before, src + (x0 + q->at + before), copied);
            put(a, block, k + (unsigned)(before + copied), NULL, q->len - before - copied);
        }
        put(a, block, (unsigned)k_end, NULL, padding);
    }
}

/* Adds the tile of a product, whose rows are positions first.. of the window, into the images. */
static void scatter(const view *v, float *out, int first, int count, const run *runs, int n_runs, const float *tile) {
    const int c = v->c;
    const size_t line = sz(v->w) * sz(c);
    position p = position_of(v, first);
    for (int r = 0; r < count; r++, tile += PANEL, next_position(v, &p)) {
        const int y0 = p.oy * v->stride - v->pad, x0 = (p.ox * v->stride - v->pad) * c;
        float *image = out + sz(p.n) * sz(v->h) * line;
        for (int i = 0; i < n_runs; i++) {
            const run *q = &runs[i];
            const int y = y0 + q->ky, from = at_least(x0 + q->at, 0), to = at_most(x0 + q->at + q->len, v->w * c);
            if (y < 0 || y >= v->h || from >= to) continue;
            float *dst = image + sz(y) * line + from;
            const float *src = tile + q->k + (from - x0 - q->at);
            int n = to - from;
            for (; n >= W; n -= W, dst += W, src += W) store(dst, load(dst) + load(src));
            if (n > 0) store_part(dst, load_part(dst, n) + load_part(src, n), n);
        }
    }
}

/* What a pass does in the direct form. */
typedef struct direct {
    bool scatters;
    bool flip;       /* the taps are reversed */
    view rows;       /* how the rows of A are read; for scatter, pixels as they are */
    view window;     /* scatter: over the images written */
    int k, n, out_c; /* the product's inner length, padded to W, and its columns; channels of what is written */
    int per_image;   /* rows an image has */
    int block;       /* rows of a block */
} direct;

/* What a row costs: the inner length times the columns, as padded. */
static double row_cost(int k, int n) { return (double)round_up(k, W) * round_up(n, PANEL); }

static direct direct_plan(const ath_conv_shape *s, ath_conv_pass pass) {
    const bool forward = pass == ATH_CONV_FORWARD;
    const int oh = ath_conv_out(s->h, s), ow = ath_conv_out(s->w, s), taps = s->kernel * s->kernel;
    const int from = forward ? s->c_in : s->c_out, to = forward ? s->c_out : s->c_in;
    direct d = {.scatters = !forward, .out_c = to};
    if (s->stride == 1) d.scatters = s->kernel > 1 && row_cost(from, taps * to) * 2 <= row_cost(taps * from, to);
    d.flip = d.scatters == forward;
    const int pad = d.flip ? s->kernel - 1 - s->pad_before : s->pad_before;
    view v = {s->n, s->h, s->w, s->c_in, oh, ow, s->kernel, s->stride, pad};
    if (d.flip) v = (view){s->n, oh, ow, s->c_out, s->h, s->w, s->kernel, s->stride, pad};
    d.per_image = v.out_h * v.out_w;
    d.window = v;
    d.rows = v;
    if (d.scatters) d.rows = (view){1, 1, s->n * d.per_image, from, 1, s->n * d.per_image, 1, 1, 0};
    d.k = round_up(d.scatters ? from : taps * from, W);
    d.n = d.scatters ? taps * to : to;
    d.block = block_rows(d.k);
    return d;
}

static size_t direct_pack_floats(const direct *d) { return sz(d->k) * sz(round_up(d->n, PANEL)); }

/* B of the product: [panel][k][PANEL], zero where k or the last panel is padded. */
static void direct_pack(const ath_conv_shape *s, ath_conv_pass pass, const direct *d, const float *w, float *packed) {
    const int taps = s->kernel * s->kernel;
    const bool forward = pass == ATH_CONV_FORWARD;
    const int from_c = forward ? s->c_in : s->c_out, to_c = forward ? s->c_out : s->c_in;
    memset(packed, 0, direct_pack_floats(d) * sizeof *packed);
    for (int t = 0; t < taps; t++) {
        const int tap = d->flip ? taps - 1 - t : t;
        for (int i = 0; i < s->c_in; i++)
            for (int o = 0; o < s->c_out; o++, w++) {
                const int from = forward ? i : o, to = forward ? o : i;
                const int k = d->scatters ? from : tap * from_c + from, j = d->scatters ? tap * to_c + to : to;
                packed[(sz(j / PANEL) * sz(d->k) + sz(k)) * PANEL + sz(j % PANEL)] = *w;
            }
    }
}

static size_t direct_scratch_floats(const direct *d) { return sz(d->block) * sz(d->k); }

/* out = product + bias, or out += product: one tile. */
static void write_tile(const float *tile, int mr, int j0, int c, const float *bias, bool acc, float *out) {
    for (int j = 0; j < PANEL && j0 + j < c; j += W) {
        const int n = at_most(c - j0 - j, W);
        const vec shift = bias != NULL ? load_some(bias + j0 + j, n) : (vec){0};
        for (int r = 0; r < mr; r++) {
            float *dst = out + sz(r) * sz(c) + j0 + j;
            const vec sum = load(tile + r * PANEL + j) + shift;
            store_some(dst, acc ? sum + load_some(dst, n) : sum, n);
        }
    }
}

static void fill(float *out, size_t pixels, int c, const float *bias) {
    if (bias == NULL)
        memset(out, 0, pixels * sz(c) * sizeof *out);
    else
        for (size_t p = 0; p < pixels; p++) memcpy(out + p * sz(c), bias, sz(c) * sizeof *out);
}

/* Rows first..first+count, all columns. */
static void direct_block(const direct *d, const float *in, const float *packed, const float *bias, bool acc, float *out,
                         int first, int count, float *a) {
    float tile[MR * PANEL] __attribute__((aligned(64)));
    run runs[MAX_RUNS];
    const int groups = group_count(count), window = d->rows.kernel * d->rows.kernel * d->rows.c;
    int n_runs = runs_of(&d->rows, 0, window, runs);
    for (int g = 0, r = 0; g < groups; g++) {
        const int mr = group_size(count, groups, g);
        gather(&d->rows, in, first + r, mr, runs, n_runs, a + sz(r) * sz(d->k), sz(mr) * W, W);
        r += mr;
    }
    for (int j = 0; j < d->n; j += PANEL) {
        if (d->scatters) n_runs = runs_of(&d->window, j, at_most(j + PANEL, d->n), runs);
        for (int g = 0, r = 0; g < groups; g++) {
            const int mr = group_size(count, groups, g);
            const float *rows = a + sz(r) * sz(d->k);
            rows_of[mr](rows, packed + sz(j) * sz(d->k), d->k, tile, false, rows + sz(mr) * sz(d->k));
            if (d->scatters)
                scatter(&d->window, out, first + r, mr, runs, n_runs, tile);
            else
                write_tile(tile, mr, j, d->out_c, bias, acc, out + sz(first + r) * sz(d->out_c));
            r += mr;
        }
    }
}

static void direct_run(const direct *d, const float *in, const float *packed, const float *bias, bool acc, float *out,
                       float *scratch) {
    const int n = d->window.n;
    if (d->scatters && !acc) fill(out, sz(n) * sz(d->window.h) * sz(d->window.w), d->window.c, bias);
    /* Blocks begin where images do, or the order in which a pixel's taps are scattered would depend on the batch. */
    const int images = at_least(d->block / d->per_image, 1);
    for (int i = 0; i < n; i += images) {
        const int first = i * d->per_image, total = at_most(images, n - i) * d->per_image;
        for (int start = 0; start < total; start += d->block)
            direct_block(d, in, packed, bias, acc, out, first + start, at_most(total - start, d->block), scratch);
    }
}

/* ---- the weight gradient ----
 * dw[t] = sum over positions p of gathered x[p, t]' dy[p]: outer products of rows, the
 * taps apart so that what is summed into stays in L2 (together when they are small). With
 * stride 1 the roles of x and dy may be exchanged, which serves few output channels. */
typedef struct direct_dw {
    bool exchanged;
    view rows;              /* of the gathered operand */
    int plain_c;            /* channels of the other */
    int taps_at_once, m, n; /* rows of the sum for those taps, and its columns, padded */
    int lda, block;         /* floats and number of gathered rows */
} direct_dw;

static direct_dw direct_dw_plan(const ath_conv_shape *s) {
    const int oh = ath_conv_out(s->h, s), ow = ath_conv_out(s->w, s), taps = s->kernel * s->kernel;
    direct_dw d = {.rows = {s->n, s->h, s->w, s->c_in, oh, ow, s->kernel, s->stride, s->pad_before},
                   .plain_c = s->c_out};
    d.exchanged = s->stride == 1 &&
                  (double)s->c_out * round_up(s->c_in, PANEL) * 2 <= (double)s->c_in * round_up(s->c_out, PANEL);
    if (d.exchanged) {
        d.rows = (view){s->n, oh, ow, s->c_out, s->h, s->w, s->kernel, 1, s->kernel - 1 - s->pad_before};
        d.plain_c = s->c_in;
    }
    d.n = round_up(d.plain_c, PANEL);
    d.taps_at_once = at_most(at_least(64 * 1024 / (d.rows.c * d.n), 1), taps);
    d.m = d.taps_at_once * d.rows.c;
    d.lda = round_up(d.m, W) + W; /* off powers of two, or rows fall on the same cache sets */
    d.block = at_most(at_least(ROW_BLOCK_FLOATS / 2 / (d.lda + d.n), 32), 256);
    return d;
}

static size_t direct_dw_scratch_floats(const ath_conv_shape *s) {
    const direct_dw d = direct_dw_plan(s);
    return sz(d.block) * sz(d.lda + d.n + W) + sz(d.m) * sz(d.n);
}

static void direct_weight_grad(const ath_conv_shape *s, const float *x, const float *dy, float *dw, float *scratch) {
    if (s->kernel == 1 && s->stride == 1 && s->pad_before == 0 && s->pad_after == 0) { /* nothing to gather */
        ath_gemm(true, false, s->c_in, s->c_out, s->n * s->h * s->w, 1, x, s->c_in, dy, s->c_out, 0, dw, s->c_out);
        return;
    }
    const direct_dw d = direct_dw_plan(s);
    const int taps = s->kernel * s->kernel, total = s->n * d.rows.out_h * d.rows.out_w, ldb = d.n + W;
    const size_t ci = sz(s->c_in), co = sz(s->c_out);
    const view plain = {1, 1, total, d.plain_c, 1, total, 1, 1, 0};
    const float *gathered = d.exchanged ? dy : x, *other = d.exchanged ? x : dy;
    float *a = scratch, *b = a + sz(d.block) * sz(d.lda), *sum = b + sz(d.block) * sz(ldb);
    memset(b, 0, sz(d.block) * sz(ldb) * sizeof *b);
    for (int t0 = 0; t0 < taps; t0 += d.taps_at_once) {
        const int t1 = at_most(t0 + d.taps_at_once, taps), m = (t1 - t0) * d.rows.c;
        run runs[MAX_RUNS], whole[1];
        const int n_runs = runs_of(&d.rows, t0 * d.rows.c, t1 * d.rows.c, runs),
                  one = runs_of(&plain, 0, d.plain_c, whole);
        for (int first = 0; first < total; first += d.block) {
            const int count = at_most(total - first, d.block);
            gather(&d.rows, gathered, first, count, runs, n_runs, a, W, sz(d.lda));
            gather(&plain, other, first, count, whole, one, b, W, sz(ldb));
            outer_matrix(m, d.n, count, a, sz(d.lda), b, sz(ldb), sum, first > 0);
        }
        for (int t = t0; t < t1; t++) {
            const size_t row = sz(t - t0) * sz(d.rows.c), panel = sz(m) * PANEL;
            float *to = dw + sz(d.exchanged ? taps - 1 - t : t) * ci * co;
            for (size_t i = 0; i < ci; i++, to += co) {
                if (d.exchanged)
                    for (size_t o = 0; o < co; o++) to[o] = sum[i / PANEL * panel + (row + o) * PANEL + i % PANEL];
                else
                    for (int o = 0; o < s->c_out; o += W) {
                        const float *from = sum + sz(o / PANEL) * panel + (row + i) * PANEL + o % PANEL;
                        store_some(to + o, load(from), s->c_out - o);
                    }
            }
        }
    }
}
