/* Convolutions as products of rows of pixels or of windows, for every shape that Winograd does not take:
 * strides, 1x1, few channels, odd channels. Three forms, all in blocks that stay in L2:
 *
 *     windows  out[p] = sum_t in[p stride + t - pad] w[t]: the window of each output is a
 *              row (k*k*c_in long), a product with (k*k*c_in, c_out) makes the outputs;
 *     scatter  the adjoint: a product of the input's rows with (c_in, k*k*c_out) makes what
 *              each input gives to each tap, and that is added where it belongs;
 *     collect  scatter with stride 1 for few channels: what all inputs of an image give is kept,
 *              and each output adds up what is its own.
 *
 * Nothing is gathered: the row of a window that moves over an image with a border of zeros is
 * contiguous in it, and the next window's is stride*c further. A 1x1 product reads pixels as they are.
 *
 * Forward takes windows and the input gradient scatters, which wastes nothing whatever the
 * stride. With stride 1 each is also the other with the taps reversed, and the form that
 * leaves fewer columns of a panel empty is taken: 64 -> 3 channels collects forward
 * (27 of 32 columns used) where windows would use 3 of 32.
 * Part of template.h. */

/* Images seen through a window: what `in` gives to `out` (or takes from, in scatter). */
typedef struct view {
    int n, h, w, c;          /* the images that the window moves over */
    int out_h, out_w;        /* the positions of the window */
    int kernel, stride, pad; /* before; what is after follows from out_h, out_w */
} view;

enum { BLOCK_FLOATS = 96 * 1024, BLOCK_ROWS = 256 };

/* Whether the windows are the pixels. */
static bool is_pixels(const view *v) {
    return v->kernel == 1 && v->stride == 1 && v->out_h == v->h && v->out_w == v->w;
}

/* Some lines of windows of an image, or all those of several images: what is taken at once. */
typedef struct lines_block {
    int images, lines;
} lines_block;

static int band_width(const view *v) { return ((v->out_w - 1) * v->stride + v->kernel) * v->c; }
static int band_height(const view *v, int lines) { return (lines - 1) * v->stride + v->kernel; }
static size_t band_floats(const view *v, lines_block b) {
    return sz(b.images) * sz(band_height(v, b.lines)) * sz(band_width(v));
}

/* The largest block whose pixels fit. It is of several images only when one fits whole. */
static lines_block block_of(const view *v) {
    const int width = is_pixels(v) ? v->w * v->c : band_width(v);
    const int fit = at_most((BLOCK_FLOATS / width - v->kernel) / v->stride + 1, BLOCK_ROWS / v->out_w);
    if (fit < v->out_h) return (lines_block){1, at_least(fit, 1)};
    const int images = at_most(BLOCK_FLOATS / (width * band_height(v, v->out_h)), BLOCK_ROWS / (v->out_w * v->out_h));
    return (lines_block){at_least(at_most(images, v->n), 1), v->out_h};
}

/* Copies what the windows of lines line.. of images image.. see, zeros where they see past the edge. */
static void fill_band(const view *v, const float *in, int image, int line, lines_block b, float *band) {
    const int width = band_width(v), height = band_height(v, b.lines), c = v->c;
    const int before = at_most(at_least(v->pad, 0) * c, width), skipped = at_least(-v->pad, 0) * c;
    const int copied = at_least(at_most(v->w * c - skipped, width - before), 0);
    for (int i = image; i < image + b.images; i++)
        for (int r = 0; r < height; r++, band += width) {
            const int y = line * v->stride - v->pad + r;
            if (y < 0 || y >= v->h) {
                memset(band, 0, sz(width) * sizeof *band);
                continue;
            }
            memset(band, 0, sz(before) * sizeof *band);
            memcpy(band + before, in + (sz(i) * sz(v->h) + sz(y)) * sz(v->w * c) + skipped, sz(copied) * sizeof *band);
            memset(band + before + copied, 0, sz(width - before - copied) * sizeof *band);
        }
}

/* The windows of a block, and where they begin: in `band`, which is filled, or in the pixels themselves. */
static const float *block_places(const view *v, const float *in, int image, int line, lines_block b, float *band,
                                 places *at) {
    if (is_pixels(v)) {
        *at = in_line(b.images * b.lines * v->out_w, sz(v->c));
        return in + (sz(image) * sz(v->h) + sz(line)) * sz(v->w * v->c);
    }
    const size_t width = sz(band_width(v));
    fill_band(v, in, image, line, b, band);
    *at = (places){
        b.images, b.lines, v->out_w, sz(band_height(v, b.lines)) * width, sz(v->stride) * width, sz(v->stride * v->c)};
    return band;
}

/* The window at a position: image, row and column of its first tap, which may be outside. Positions are walked by
 * `next_position`, as dividing for each costs more than adding a small window. */
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
 * from float `at` of the kernel's row ky are columns k.. of a panel. */
typedef struct run {
    int ky, at, k, len;
} run;

enum { MAX_RUNS = 32 }; /* a panel has no more columns */

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

/* Adds a panel of a product, whose rows are positions first.. of the window, into the images. */
static void scatter(const view *v, float *out, int first, int count, const run *runs, int n_runs, const float *panel) {
    const int c = v->c;
    const size_t line = sz(v->w) * sz(c);
    position p = position_of(v, first);
    for (int r = 0; r < count; r++, panel += PANEL, next_position(v, &p)) {
        const int y0 = p.oy * v->stride - v->pad, x0 = (p.ox * v->stride - v->pad) * c;
        float *image = out + sz(p.n) * sz(v->h) * line;
        for (int i = 0; i < n_runs; i++) {
            const run *q = &runs[i];
            const int y = y0 + q->ky, from = at_least(x0 + q->at, 0), to = at_most(x0 + q->at + q->len, v->w * c);
            if (y < 0 || y >= v->h || from >= to) continue;
            float *dst = image + sz(y) * line + from;
            const float *src = panel + q->k + (from - x0 - q->at);
            int n = to - from;
            for (; n >= W; n -= W, dst += W, src += W) store(dst, load(dst) + load(src));
            if (n > 0) store_part(dst, load_part(dst, n) + load_part(src, n), n);
        }
    }
}

/* n <= W channels, from those that the pointers point at, of `collect`. */
INLINE void collect_channels(const view *v, int n, const float *given, size_t ldg, vec bias, bool acc, float *out) {
    const int k = v->kernel, c = v->c;
    const ptrdiff_t tap = c - (ptrdiff_t)ldg; /* from what one position gives to a pixel to what the one before does */
    for (int y = 0; y < v->h; y++)
        for (int x = 0; x < v->w; x++, out += c) {
            const int oy = y + v->pad, ox = x + v->pad; /* the window whose tap 0 this is */
            const int y0 = at_least(oy - v->out_h + 1, 0), y1 = at_most(oy + 1, k);
            const int x0 = at_least(ox - v->out_w + 1, 0), x1 = at_most(ox + 1, k);
            vec sum = acc ? load_some(out, n) + bias : bias;
            for (int ky = y0; ky < y1; ky++) {
                const ptrdiff_t at = (ptrdiff_t)((oy - ky) * v->out_w + ox) * (ptrdiff_t)ldg + ky * k * c;
                vec line = {0};
                for (int kx = x0; kx < x1; kx++) line += load_some(given + at + kx * tap, n);
                sum += line;
            }
            store_some(out, sum, n);
        }
}

/* One image of out = (out +) bias + what the taps of the windows over it give: row p of `given` is position p's, tap by
 * tap. */
static void collect(const view *v, const float *given, size_t ldg, const float *bias, bool acc, float *out) {
    for (int j = 0; j < v->c; j += W) {
        const int n = at_most(v->c - j, W);
        const vec shift = bias != NULL ? load_some(bias + j, n) : (vec){0};
        if (n == W)
            collect_channels(v, W, given + j, ldg, shift, acc, out + j);
        else
            collect_channels(v, n, given + j, ldg, shift, acc, out + j);
    }
}

/* What a pass does in the direct form. */
typedef enum direct_form { WINDOWS, SCATTER, COLLECT } direct_form;

typedef struct direct {
    direct_form form;
    bool flip;      /* the taps are reversed */
    view window;    /* over the images read; scatter, collect: over the images written */
    view rows;      /* what a product reads: the windows, or for scatter, collect the pixels */
    int k, n, c_to; /* the product's inner length and columns; channels of what is written */
    lines_block block;
} direct;

/* What a row costs: the inner length times the columns, as padded. */
static double row_cost(int k, int n) { return (double)k * round_up(n, PANEL); }

static direct direct_plan(const ath_conv_shape *s, ath_conv_pass pass) {
    const bool forward = pass == ATH_CONV_FORWARD;
    const int oh = ath_conv_out(s->h, s), ow = ath_conv_out(s->w, s), taps = s->kernel * s->kernel;
    const int from = forward ? s->c_in : s->c_out, to = forward ? s->c_out : s->c_in;
    direct d = {.form = forward ? WINDOWS : SCATTER, .c_to = to};
    if (s->stride == 1)
        d.form = s->kernel > 1 && row_cost(from, taps * to) * 2 <= row_cost(taps * from, to) ? COLLECT : WINDOWS;
    d.flip = (d.form != WINDOWS) == forward;
    const int pad = d.flip ? s->kernel - 1 - s->pad_before : s->pad_before;
    view v = {s->n, s->h, s->w, s->c_in, oh, ow, s->kernel, s->stride, pad};
    if (d.flip) v = (view){s->n, oh, ow, s->c_out, s->h, s->w, s->kernel, s->stride, pad};
    d.window = d.rows = v;
    if (d.form != WINDOWS) d.rows = (view){s->n, v.out_h, v.out_w, from, v.out_h, v.out_w, 1, 1, 0};
    d.k = d.form == WINDOWS ? taps * from : from;
    d.n = d.form == WINDOWS ? to : taps * to;
    d.block = block_of(&d.rows);
    if (d.form == COLLECT) d.block = (lines_block){1, d.rows.out_h};
    return d;
}

static size_t direct_pack_floats(const direct *d) { return sz(d->k) * sz(round_up(d->n, PANEL)); }

/* B of the product: [panel][k][PANEL], zero where the last panel is padded. */
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
                const int k = d->form != WINDOWS ? from : tap * from_c + from;
                const int j = d->form != WINDOWS ? tap * to_c + to : to;
                packed[(sz(j / PANEL) * sz(d->k) + sz(k)) * PANEL + sz(j % PANEL)] = *w;
            }
    }
}

/* Rows of a block. */
static size_t block_rows(const direct *d) { return sz(d->block.images) * sz(d->block.lines) * sz(d->rows.out_w); }

static size_t direct_scratch_floats(const direct *d) {
    if (d->form == COLLECT) return block_rows(d) * sz(round_up(d->n, PANEL));
    if (d->form == SCATTER) return block_rows(d) * PANEL;
    return is_pixels(&d->rows) ? 0 : band_floats(&d->rows, d->block);
}

static void fill(float *out, size_t pixels, int c, const float *bias) {
    if (bias == NULL)
        memset(out, 0, pixels * sz(c) * sizeof *out);
    else
        for (size_t p = 0; p < pixels; p++) memcpy(out + p * sz(c), bias, sz(c) * sizeof *out);
}

/* One block, from line `line` of image `image`. */
static void direct_block(const direct *d, lines_block b, int image, int line, const float *in, const float *packed,
                         const float *bias, bool acc, float *out, float *scratch) {
    const view *v = &d->rows;
    places at;
    const float *a = block_places(v, in, image, line, b, scratch, &at);
    product p = {
        .pieces = v->kernel, .len = v->kernel * v->c, .piece = sz(band_width(v)), .n = d->n, .b = packed, .ldc = PANEL};
    const int first = (image * v->out_h + line) * v->out_w;
    if (d->form == WINDOWS) {
        p.bias = bias;
        p.acc = acc;
        p.ldc = sz(d->c_to);
        product_run(&p, a, &at, out + sz(first) * sz(d->c_to));
    } else if (d->form == COLLECT) {
        p.ldc = sz(round_up(d->n, PANEL));
        product_run(&p, a, &at, scratch);
        collect(&d->window, scratch, p.ldc, bias, acc, out + sz(image) * sz(d->window.h) * sz(d->window.w * d->c_to));
    } else
        for (int j = 0; j < d->n; j += PANEL) {
            run runs[MAX_RUNS];
            const int n_runs = runs_of(&d->window, j, at_most(j + PANEL, d->n), runs);
            product_panel(&p, a, &at, j, scratch);
            scatter(&d->window, out, first, at.len, runs, n_runs, scratch);
        }
}

/* Blocks begin where images do, or the order in which a pixel's taps are scattered would depend on the batch. */
static void direct_run(const direct *d, const float *in, const float *packed, const float *bias, bool acc, float *out,
                       float *scratch) {
    const int n = d->window.n, lines = d->rows.out_h;
    if (d->form == SCATTER && !acc) fill(out, sz(n) * sz(d->window.h) * sz(d->window.w), d->window.c, bias);
    for (int i = 0; i < n; i += d->block.images)
        for (int line = 0; line < lines; line += d->block.lines) {
            const lines_block b = {at_most(d->block.images, n - i), at_most(d->block.lines, lines - line)};
            direct_block(d, b, i, line, in, packed, bias, acc, out, scratch);
        }
}

/* ---- the weight gradient ----
 * dw[t] = sum over positions p of x[p, t]' dy[p]: outer products of windows and pixels, a few of the kernel's rows at
 * a time so that what is summed into stays in L2. With stride 1 the roles of x and dy may be exchanged, which serves
 * few output channels. */
typedef struct direct_dw {
    bool exchanged;
    view rows;         /* of the operand with windows */
    lines_block block; /* of it */
    int plain_c;       /* channels of the other */
    int ky_at_once;    /* rows of the kernel */
    int m, n;          /* rows of the sum for one row of the kernel, and its columns, padded */
    bool in_dw;        /* the sum is laid out like dw, and made there */
} direct_dw;

static direct_dw direct_dw_plan(const ath_conv_shape *s) {
    const int oh = ath_conv_out(s->h, s), ow = ath_conv_out(s->w, s);
    direct_dw d = {.rows = {s->n, s->h, s->w, s->c_in, oh, ow, s->kernel, s->stride, s->pad_before},
                   .plain_c = s->c_out};
    d.exchanged = s->stride == 1 &&
                  (double)s->c_out * round_up(s->c_in, PANEL) * 2 <= (double)s->c_in * round_up(s->c_out, PANEL);
    if (d.exchanged) {
        d.rows = (view){s->n, oh, ow, s->c_out, s->h, s->w, s->kernel, 1, s->kernel - 1 - s->pad_before};
        d.plain_c = s->c_in;
    }
    d.block = block_of(&d.rows);
    d.n = round_up(d.plain_c, PANEL);
    d.m = s->kernel * d.rows.c;
    d.in_dw = !d.exchanged && d.n == d.plain_c;
    d.ky_at_once = at_most(at_least(128 * 1024 / (d.m * d.n), 1), s->kernel);
    return d;
}

static size_t direct_dw_scratch_floats(const ath_conv_shape *s) {
    const direct_dw d = direct_dw_plan(s);
    const size_t rows = sz(d.block.images) * sz(d.block.lines) * sz(d.rows.out_w);
    return (d.in_dw ? 0 : sz(d.ky_at_once) * sz(d.m) * sz(d.n)) + (d.n > d.plain_c ? rows * sz(d.n) : 0) +
           (is_pixels(&d.rows) ? 0 : band_floats(&d.rows, d.block));
}

/* Copies the sum of one row of the kernel to dw. */
static void write_dw(const ath_conv_shape *s, const direct_dw *d, int ky, const float *sum, float *dw) {
    const size_t ci = sz(s->c_in), co = sz(s->c_out), panel = sz(d->m) * PANEL;
    const int taps = s->kernel * s->kernel;
    for (int kx = 0; kx < s->kernel; kx++) {
        const int t = ky * s->kernel + kx;
        const float *from = sum + sz(kx * d->rows.c) * PANEL;
        float *to = dw + sz(d->exchanged ? taps - 1 - t : t) * ci * co;
        for (size_t i = 0; i < ci; i++, to += co) {
            if (d->exchanged)
                for (size_t o = 0; o < co; o++) to[o] = from[i / PANEL * panel + o * PANEL + i % PANEL];
            else
                for (int o = 0; o < s->c_out; o += W)
                    store_some(to + o, load(from + sz(o / PANEL) * panel + i * PANEL + o % PANEL), s->c_out - o);
        }
    }
}

/* The pixels of rows first.. with as many columns as whole panels have. */
static void pad_columns(const float *pixels, int c, int count, int n, float *b) {
    for (int r = 0; r < count; r++, b += n, pixels += c) {
        memcpy(b, pixels, sz(c) * sizeof *b);
        memset(b + c, 0, sz(n - c) * sizeof *b);
    }
}

static void direct_weight_grad(const ath_conv_shape *s, const float *x, const float *dy, float *dw, float *scratch) {
    const direct_dw d = direct_dw_plan(s);
    const view *v = &d.rows;
    const float *windows = d.exchanged ? dy : x, *other = d.exchanged ? x : dy;
    const size_t size = sz(d.m) * sz(d.n), width = sz(band_width(v));
    const size_t ldc = d.in_dw ? sz(d.n) : PANEL, panel = d.in_dw ? PANEL : sz(d.m) * PANEL;
    float *band = d.in_dw ? scratch : scratch + sz(d.ky_at_once) * size;
    float *padded = band + (is_pixels(v) ? 0 : band_floats(v, d.block));
    for (int ky0 = 0; ky0 < s->kernel; ky0 += d.ky_at_once) {
        const int kys = at_most(d.ky_at_once, s->kernel - ky0);
        float *sum = d.in_dw ? dw + sz(ky0) * size : scratch;
        for (int i = 0; i < v->n; i += d.block.images)
            for (int line = 0; line < v->out_h; line += d.block.lines) {
                const lines_block b = {at_most(d.block.images, v->n - i), at_most(d.block.lines, v->out_h - line)};
                places at;
                const float *a = block_places(v, windows, i, line, b, band, &at);
                const float *pixels = other + (sz(i) * sz(v->out_h) + sz(line)) * sz(v->out_w * d.plain_c);
                if (d.n > d.plain_c) {
                    pad_columns(pixels, d.plain_c, b.images * b.lines * v->out_w, d.n, padded);
                    pixels = padded;
                }
                for (int ky = 0; ky < kys; ky++)
                    outer_places(d.m, d.n, a + sz(ky0 + ky) * width, &at, pixels, sz(d.n), sum + sz(ky) * size, ldc,
                                 panel, i > 0 || line > 0);
            }
        for (int ky = 0; ky < kys && !d.in_dw; ky++) write_dw(s, &d, ky0 + ky, sum + sz(ky) * size, dw);
    }
}
