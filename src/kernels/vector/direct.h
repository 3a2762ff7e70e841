/* Convolutions as products of windows or pixels, for every shape that Winograd does not take:
 * strides, 1x1, few channels, odd channels. Two forms, both in blocks that stay in L2:
 *
 *     windows  out[p] = sum_t in[p stride + t - pad] w[t]: the window of each output is a
 *              row (k*k*c_in long), a product with (k*k*c_in, c_out) makes the outputs;
 *     collect  the adjoint: a product of the input's pixels with (c_in, k*k*c_out) makes what each input of an
 *              image gives to each tap, and each output adds up what is its own.
 *
 * Nothing is gathered: the row of a window that moves over an image with a border of zeros is
 * contiguous in it, and the next window's is stride*c further. A 1x1 product reads pixels as they are.
 *
 * The input gradient takes windows over dy: outputs whose coordinates have one remainder by the stride see the
 * same taps, in reverse, so there are stride*stride convolutions with a part of the kernel each, which waste
 * nothing. With stride 1 forward and input gradient are the same up to that reversal, and collect is taken where it
 * leaves fewer columns of a panel empty: 64 -> 3 channels collects forward (27 of 32 columns used) where
 * windows would use 3 of 32.
 * Part of template.h. */

/* Images seen through a window. */
typedef struct view {
    int n, h, w, c;   /* the images that the window moves over */
    int out_h, out_w; /* the positions of the window */
    int kh, kw, stride;
    int pad_y, pad_x; /* before; what is after follows from out_h, out_w */
} view;

enum { BLOCK_FLOATS = 96 * 1024, BLOCK_ROWS = 256 };

/* Whether the windows are the pixels. */
static bool is_pixels(const view *v) {
    return v->kh == 1 && v->kw == 1 && v->stride == 1 && v->pad_y == 0 && v->pad_x == 0 && v->out_h == v->h &&
           v->out_w == v->w;
}

/* Some lines of windows of an image, or all those of several images: what is taken at once. */
typedef struct lines_block {
    int images, lines;
} lines_block;

static int band_width(const view *v) { return ((v->out_w - 1) * v->stride + v->kw) * v->c; }
static int band_height(const view *v, int lines) { return (lines - 1) * v->stride + v->kh; }
static size_t band_floats(const view *v, lines_block b) {
    return sz(b.images) * sz(band_height(v, b.lines)) * sz(band_width(v));
}

/* The largest block whose pixels fit. It is of several images only when one fits whole. */
static lines_block block_of(const view *v) {
    const int width = is_pixels(v) ? v->w * v->c : band_width(v);
    const int fit = at_most((BLOCK_FLOATS / width - v->kh) / v->stride + 1, BLOCK_ROWS / v->out_w);
    if (fit < v->out_h) return (lines_block){1, at_least(fit, 1)};
    const int images = at_most(BLOCK_FLOATS / (width * band_height(v, v->out_h)), BLOCK_ROWS / (v->out_w * v->out_h));
    return (lines_block){at_least(at_most(images, v->n), 1), v->out_h};
}

/* Copies what the windows of lines line.. of images image.. see, zeros where they see past the edge. */
static void fill_band(const view *v, const float *in, int image, int line, lines_block b, float *band) {
    const int width = band_width(v), height = band_height(v, b.lines), c = v->c;
    const int before = at_most(at_least(v->pad_x, 0) * c, width), skipped = at_least(-v->pad_x, 0) * c;
    const int copied = at_least(at_most(v->w * c - skipped, width - before), 0);
    for (int i = image; i < image + b.images; i++)
        for (int r = 0; r < height; r++, band += width) {
            const int y = line * v->stride - v->pad_y + r;
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
        const size_t of_line = sz(v->w * v->c);
        *at = (places){b.images, b.lines, v->out_w, sz(v->h) * of_line, of_line, sz(v->c)};
        return in + (sz(image) * sz(v->h) + sz(line)) * sz(v->w * v->c);
    }
    const size_t width = sz(band_width(v));
    fill_band(v, in, image, line, b, band);
    *at = (places){
        b.images, b.lines, v->out_w, sz(band_height(v, b.lines)) * width, sz(v->stride) * width, sz(v->stride * v->c)};
    return band;
}

/* What positions give to n channels of a pixel: taps x0..x1 of one row of the kernel, each `tap` floats after the one before. */
INLINE vec taps_sum(const float *given, ptrdiff_t tap, int x0, int x1, int n) {
    if (x0 == 0 && x1 == 3) return load_some(given, n) + load_some(given + tap, n) + load_some(given + 2 * tap, n);
    vec sum = {0};
    for (int kx = x0; kx < x1; kx++) sum += load_some(given + kx * tap, n);
    return sum;
}

/* n <= W channels, from those that the pointers point at, of `collect`. */
INLINE void collect_channels(const view *v, int n, const float *given, size_t ldg, vec bias, bool acc, float *out) {
    const int k = v->kh, c = v->c;
    const ptrdiff_t ld = (ptrdiff_t)ldg, tap = c - ld, line = k * c - v->out_w * ld;
    for (int y = 0; y < v->h; y++) {
        const int oy = y + v->pad_y; /* the line of windows whose first row this is */
        const int y0 = at_least(oy - v->out_h + 1, 0), y1 = at_most(oy + 1, k);
        const ptrdiff_t start = (ptrdiff_t)oy * v->out_w * ld + v->pad_x * ld;
        for (int x = 0; x < v->w; x++, out += c) {
            const int ox = x + v->pad_x;
            const int x0 = at_least(ox - v->out_w + 1, 0), x1 = at_most(ox + 1, k);
            vec sum = acc ? load_some(out, n) + bias : bias;
            for (int ky = y0; ky < y1; ky++) sum += taps_sum(given + start + x * ld + ky * line, tap, x0, x1, n);
            store_some(out, sum, n);
        }
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
typedef struct direct {
    bool collects;
    bool flip;          /* the taps are reversed */
    int kernel, spread; /* spread * spread kinds of outputs, by remainder */
    view window;        /* over the images read, spread 1; collect: over the images written */
    int from, n;        /* channels read; the product's columns */
    int begin, end;     /* of these those that are made: of a part, whole panels */
    int h, w, c;        /* of the images written */
} direct;

/* What a row costs: the inner length times the columns, as padded. */
static double row_cost(int k, int n) { return (double)k * round_up(n, PANEL); }

static direct direct_plan(const ath_conv_shape *s, ath_conv_pass pass) {
    const bool forward = pass == ATH_CONV_FORWARD;
    const int oh = ath_conv_out(s->h, s), ow = ath_conv_out(s->w, s), taps = s->kernel * s->kernel, k = s->kernel;
    direct d = {.kernel = k, .spread = forward ? 1 : s->stride, .from = forward ? s->c_in : s->c_out};
    d.h = forward ? oh : s->h;
    d.w = forward ? ow : s->w;
    d.c = forward ? s->c_out : s->c_in;
    d.collects = s->stride == 1 && k > 1 && row_cost(d.from, taps * d.c) * 2 <= row_cost(taps * d.from, d.c);
    d.flip = d.collects == forward;
    d.n = d.end = d.collects ? taps * d.c : d.c;
    const int pad = d.flip ? k - 1 - s->pad_before : s->pad_before;
    d.window = (view){s->n, s->h, s->w, s->c_in, oh, ow, k, k, s->stride, pad, pad};
    if (d.flip) d.window = (view){s->n, oh, ow, s->c_out, s->h, s->w, k, k, s->stride, pad, pad};
    return d;
}

/* The outputs whose coordinate has remainder r: `count` of them from `first`, `spread` apart. Their window has `taps`,
 * of which the first output's begins `pad` before the inputs do. */
typedef struct remainder_class {
    int taps, first, count, pad;
} remainder_class;

static remainder_class class_of(const direct *d, int pad, int size, int r) {
    const int s = d->spread, before = d->kernel - 1 - pad; /* of the convolution, not of its reversal */
    remainder_class c = {.taps = r < d->kernel ? (d->kernel - r + s - 1) / s : 0};
    c.first = ((r - before) % s + s) % s;
    c.count = c.first < size ? (size - c.first + s - 1) / s : 0;
    c.pad = c.taps - 1 - (c.first + before - r) / s;
    return c;
}

/* One product of a pass: its windows, and where its outputs begin. */
typedef struct window_part {
    view rows;
    lines_block block;
    int k;        /* inner length */
    size_t first; /* float of an image written */
} window_part;

/* Part i of spread * spread. Without outputs, block.images is 0. */
static window_part part_of(const direct *d, int i) {
    window_part p = {.rows = d->window, .k = d->from * d->kernel * d->kernel};
    if (d->collects) {
        const view *v = &d->window;
        p.rows = (view){v->n, v->out_h, v->out_w, d->from, v->out_h, v->out_w, 1, 1, 1, 0, 0};
        p.block = (lines_block){1, v->out_h};
        p.k = d->from;
        return p;
    }
    if (d->flip) {
        const remainder_class y = class_of(d, d->window.pad_y, d->h, i / d->spread);
        const remainder_class x = class_of(d, d->window.pad_x, d->w, i % d->spread);
        p.k = d->from * y.taps * x.taps;
        p.first = (sz(y.first) * sz(d->w) + sz(x.first)) * sz(d->c);
        p.rows.stride = 1;
        p.rows.out_h = y.count;
        p.rows.out_w = x.count;
        p.rows.kh = at_least(y.taps, 1);
        p.rows.kw = at_least(x.taps, 1);
        p.rows.pad_y = y.pad;
        p.rows.pad_x = x.pad;
        if (y.count == 0 || x.count == 0) return p;
    }
    p.block = block_of(&p.rows);
    return p;
}

static size_t direct_pack_floats(const direct *d) {
    return sz(d->from) * sz(d->kernel * d->kernel) * sz(round_up(d->n, PANEL)) /
           sz(d->collects ? d->kernel * d->kernel : 1);
}

/* Where the weights of a tap go: B of each part is [panel][rows][PANEL], a part after the other; this is its start,
 * and the row and column of the tap's first weight. */
typedef struct tap_place {
    size_t start;
    int rows, k, j;
} tap_place;

static tap_place place_of_tap(const direct *d, int ky, int kx) {
    const int s = d->spread, taps = d->kernel * d->kernel, tap = ky * d->kernel + kx;
    if (d->collects) return (tap_place){0, d->from, 0, (d->flip ? taps - 1 - tap : tap) * d->c};
    if (!d->flip) return (tap_place){0, taps * d->from, tap * d->from, 0};
    tap_place p = {0};
    for (int i = 0; i < ky % s * s + kx % s; i++) p.start += sz(part_of(d, i).k) * sz(round_up(d->n, PANEL));
    const int lines = (d->kernel - 1 - ky % s) / s + 1, cols = (d->kernel - 1 - kx % s) / s + 1;
    p.rows = lines * cols * d->from;
    p.k = ((lines - 1 - ky / s) * cols + cols - 1 - kx / s) * d->from;
    return p;
}

/* Weights of a tap, w (c_in, c_out) with both multiples of W, turned: row k.. of the panels takes output channels. */
static void pack_turned(const ath_conv_shape *s, const tap_place *p, const float *w, float *packed) {
    const size_t co = sz(s->c_out);
    for (int o = 0; o < s->c_out; o += W)
        for (int i = 0; i < s->c_in; i += W) {
            vec rows[ATH_W];
            for (int l = 0; l < W; l++) rows[l] = load(w + sz(i + l) * co + sz(o));
            transpose(rows);
            const int j = p->j + i;
            float *to = packed + p->start + (sz(j / PANEL) * sz(p->rows) + sz(p->k + o)) * PANEL + sz(j % PANEL);
            for (int l = 0; l < W; l++) store(to + l * PANEL, rows[l]);
        }
}

/* Zero where the last panel is padded. */
static void direct_pack(const ath_conv_shape *s, ath_conv_pass pass, const direct *d, const float *w, float *packed) {
    const bool forward = pass == ATH_CONV_FORWARD;
    const size_t of_tap = sz(s->c_in) * sz(s->c_out);
    memset(packed, 0, direct_pack_floats(d) * sizeof *packed);
    for (int tap = 0; tap < s->kernel * s->kernel; tap++, w += of_tap) {
        const tap_place p = place_of_tap(d, tap / s->kernel, tap % s->kernel);
        if (!forward && s->c_in % W == 0 && s->c_out % W == 0 && p.j % W == 0) {
            pack_turned(s, &p, w, packed);
            continue;
        }
        const float *from = w;
        for (int i = 0; i < s->c_in; i++)
            for (int o = 0, run; o < s->c_out; o += run, from += run) {
                const int k = p.k + (forward ? i : o), j = p.j + (forward ? o : i);
                run = forward ? at_most(s->c_out - o, PANEL - j % PANEL) : 1;
                float *to = packed + p.start + (sz(j / PANEL) * sz(p.rows) + sz(k)) * PANEL + sz(j % PANEL);
                for (int l = 0; l < run; l++) to[l] = from[l];
            }
    }
}

static size_t direct_scratch_floats(const direct *d) {
    if (d->collects) return sz(d->window.out_h) * sz(d->window.out_w) * sz(round_up(d->n, PANEL));
    size_t most = 0;
    for (int i = 0; i < d->spread * d->spread; i++) {
        const window_part p = part_of(d, i);
        const size_t floats = p.block.images == 0 || is_pixels(&p.rows) ? 0 : band_floats(&p.rows, p.block);
        if (floats > most) most = floats;
    }
    return most;
}

/* One block, from line `line` of image `image`. */
static void direct_block(const direct *d, const window_part *q, lines_block b, int image, int line, const float *in,
                         const float *packed, const float *bias, bool acc, float *out, float *scratch) {
    const view *v = &q->rows;
    places at;
    const float *a = block_places(v, in, image, line, b, scratch, &at);
    product p = {
        .pieces = v->kh, .len = v->kw * v->c, .piece = sz(band_width(v)), .first = d->begin, .n = d->end, .b = packed};
    if (q->k == 0) p.pieces = p.len = 0;
    p.panel = sz(p.pieces) * sz(p.len);
    const size_t of_line = sz(d->w) * sz(d->c), of_image = sz(d->h) * of_line;
    out += sz(image) * of_image;
    if (d->collects) {
        const places all = in_line(b.lines * v->out_w, sz(v->c)), to = in_line(all.len, sz(round_up(d->n, PANEL)));
        product_run(&p, a, &all, scratch, &to);
        collect(&d->window, scratch, to.step, bias, acc, out);
        return;
    }
    const size_t s = sz(d->spread);
    places to = {b.images, b.lines, v->out_w, of_image, s * of_line, s * sz(d->c)};
    out += q->first + sz(line) * to.line;
    if (is_pixels(v) && s == 1) { /* one long line */
        at = in_line(b.images * b.lines * v->out_w, at.step);
        to = in_line(at.len, to.step);
        p.more = ((v->n - image) * v->out_h - line) * v->out_w - at.len;
    }
    p.bias = bias;
    p.acc = acc;
    product_run(&p, a, &at, out, &to);
}

/* ---- tap by tap ----
 * Of the taps of a small image's windows many see only the border: 44 of 144 of a 4x4 image. So there each tap is a product of
 * its own, of the pixels that it sees in place, added to the outputs that see them. */

enum { TINY = 4 };

/* Whether a tap of these windows sees a pixel for every output, and the image is tiny. */
static bool is_by_taps(const direct *d, const view *v) {
    return d->spread == 1 && v->stride == 1 && !d->collects && v->kh > 1 && v->kw > 1 && v->out_h <= TINY &&
           v->out_w <= TINY && v->pad_y >= 0 && v->pad_y < v->kh && v->pad_x >= 0 && v->pad_x < v->kw &&
           v->out_h <= v->h && v->out_w <= v->w;
}

/* One tap's part of a panel of columns. */
static void tap_panel(const product *p, const view *v, int ky, int kx, int j, const float *in, float *out, int c) {
    const int dy = ky - v->pad_y, dx = kx - v->pad_x;
    const int y0 = at_least(-dy, 0), y1 = at_most(v->out_h, v->h - dy);
    const int x0 = at_least(-dx, 0), x1 = at_most(v->out_w, v->w - dx);
    if (y0 >= y1 || x0 >= x1) return;
    const size_t in_line = sz(v->w) * sz(v->c), out_line = sz(v->out_w) * sz(c);
    places at = {v->n, y1 - y0, x1 - x0, sz(v->h) * in_line, in_line, sz(v->c)};
    places to = {v->n, y1 - y0, x1 - x0, sz(v->out_h) * out_line, out_line, sz(c)};
    if (v->w == v->out_w && x1 - x0 == v->w) { /* whole lines are one */
        at.len = to.len = at.lines * v->w;
        at.lines = to.lines = 1;
        if (v->h == v->out_h && y1 - y0 == v->h) { /* and whole images */
            at.len = to.len = v->n * at.len;
            at.images = to.images = 1;
        }
    }
    product_panel(p, in + sz(y0 + dy) * in_line + sz(x0 + dx) * sz(v->c), &at, j,
                  out + sz(y0) * out_line + sz(x0) * sz(c), &to);
}

static void direct_taps(const direct *d, const view *v, const float *in, const float *packed, const float *bias,
                        bool acc, float *out) {
    const int taps = v->kh * v->kw, whole = v->pad_y * v->kw + v->pad_x;
    for (int j = d->begin; j < d->end; j += PANEL)
        for (int i = 0; i < taps; i++) { /* first the tap that sees a pixel for every output */
            const int tap = i == 0 ? whole : i <= whole ? i - 1 : i;
            const product p = {.pieces = 1,
                               .len = v->c,
                               .n = d->end,
                               .b = packed + sz(tap) * sz(v->c) * PANEL,
                               .panel = sz(taps) * sz(v->c),
                               .bias = i == 0 ? bias : NULL,
                               .acc = acc || i > 0};
            tap_panel(&p, v, tap / v->kw, tap % v->kw, j, in, out, d->c);
        }
}

static void direct_run(const direct *d, const float *in, const float *packed, const float *bias, bool acc, float *out,
                       float *scratch) {
    const int n = d->window.n;
    for (int i = 0; i < d->spread * d->spread; i++) {
        const window_part p = part_of(d, i);
        if (is_by_taps(d, &p.rows)) {
            direct_taps(d, &p.rows, in, packed, bias, acc, out);
            return;
        }
        for (int image = 0; image < n && p.block.images > 0; image += p.block.images)
            for (int line = 0; line < p.rows.out_h; line += p.block.lines) {
                const lines_block b = {at_most(p.block.images, n - image), at_most(p.block.lines, p.rows.out_h - line)};
                direct_block(d, &p, b, image, line, in, packed, bias, acc, out, scratch);
            }
        packed += sz(p.k) * sz(round_up(d->n, PANEL));
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
    direct_dw d = {
        .rows = {s->n, s->h, s->w, s->c_in, oh, ow, s->kernel, s->kernel, s->stride, s->pad_before, s->pad_before},
        .plain_c = s->c_out};
    d.exchanged = s->stride == 1 &&
                  (double)s->c_out * round_up(s->c_in, PANEL) * 2 <= (double)s->c_in * round_up(s->c_out, PANEL);
    if (d.exchanged) {
        const int pad = s->kernel - 1 - s->pad_before;
        d.rows = (view){s->n, oh, ow, s->c_out, s->h, s->w, s->kernel, s->kernel, 1, pad, pad};
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
           (is_pixels(&d.rows) ? 0 : band_floats(&d.rows, d.block)) + outer_any_floats((int)rows, d.n);
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
    float *room = padded + (d.n > d.plain_c ? sz(d.block.images) * sz(d.block.lines) * sz(v->out_w) * sz(d.n) : 0);
    for (int ky0 = 0; ky0 < s->kernel; ky0 += d.ky_at_once) {
        const int kys = at_most(d.ky_at_once, s->kernel - ky0);
        float *sum = d.in_dw ? dw + sz(ky0) * size : scratch;
        for (int i = 0; i < v->n; i += d.block.images)
            for (int line = 0; line < v->out_h; line += d.block.lines) {
                const lines_block b = {at_most(d.block.images, v->n - i), at_most(d.block.lines, v->out_h - line)};
                places at;
                const float *a = block_places(v, windows, i, line, b, band, &at);
                const int position = (i * v->out_h + line) * v->out_w, count = b.images * b.lines * v->out_w;
                const int after = position + count, next = at_most(count, v->n * v->out_h * v->out_w - after);
                streams asked = {0}; /* the pixels of the next block */
                if (is_pixels(v)) {
                    at = in_line(count, at.step);
                    add_stream(&asked, windows + sz(after) * at.step, sz(next) * at.step);
                }
                add_stream(&asked, other + sz(after) * sz(d.plain_c), sz(next) * sz(d.plain_c));
                const float *pixels = other + sz(position) * sz(d.plain_c);
                if (d.n > d.plain_c) {
                    pad_columns(pixels, d.plain_c, count, d.n, padded);
                    pixels = padded;
                }
                share_out(&asked, kys * outer_any_tiles(d.m, d.n), at.len, SHARE_STEPS);
                for (int ky = 0; ky < kys; ky++)
                    outer_any(d.m, d.n, a + sz(ky0 + ky) * width, &at, pixels, sz(d.n), sum + sz(ky) * size, ldc, panel,
                              i > 0 || line > 0, room, &asked);
            }
        for (int ky = 0; ky < kys && !d.in_dw; ky++) write_dw(s, &d, ky0 + ky, sum + sz(ky) * size, dw);
    }
}
