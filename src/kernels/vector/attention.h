/* Attention of one head of one image, in blocks of rows of q: a block's probabilities stay in L2, and nothing of
 * tokens x tokens is ever made. Sums over the rows of q go on from block to block, whose sizes depend on the shape alone.
 * Part of template.h. */

enum { ATTENTION_FLOATS = 32 * 1024, MOST_GROUPS = MR == 14 ? 4 : 12 }; /* a block's probabilities; groups of rows */

static int attention_ld(int tokens) { return round_up(tokens, PANEL) + W; } /* off powers of two */

/* Rows of q of a block: equal blocks, as few as may be. */
static int attention_rows(int tokens) {
    const int limit = at_least(at_most(ATTENTION_FLOATS / attention_ld(tokens) / MR, MOST_GROUPS), 1) * MR;
    const int blocks = (tokens + limit - 1) / limit;
    return (tokens + blocks - 1) / blocks;
}

/* B of a product with the transpose of x (count, d): [count/PANEL][d][PANEL], zeros beyond count. Reads W rows at once, more than
 * the processor fetches ahead; so those that come next are asked for. */
static void pack_transposed(int count, int d, const float *x, int stride, float *b) {
    for (int j = 0; j < round_up(count, PANEL); j += W)
        for (int l = 0; l < d; l += W) {
            vec r[W];
            for (int i = 0; i < W; i++) {
                r[i] = j + i < count ? load_some(x + sz(j + i) * sz(stride) + l, d - l) : (vec){0};
                if (j + i + W < count) __builtin_prefetch(x + sz(j + i + W) * sz(stride) + l);
            }
            transpose(r);
            float *to = b + (sz(j / PANEL) * sz(d) + sz(l)) * PANEL + j % PANEL;
            for (int i = 0; i < at_most(d - l, W); i++) store(to + i * PANEL, r[i]);
        }
}

/* B of a product with x (count, d) itself: [d/PANEL][count][PANEL], zeros beyond d. */
static void pack_plain(int count, int d, const float *x, int stride, float *b) {
    for (int t = 0; t < count; t++)
        for (int j = 0; j < round_up(d, PANEL); j += W)
            store(b + (sz(j / PANEL) * sz(count) + sz(t)) * PANEL + j % PANEL,
                  j < d ? load_some(x + sz(t) * sz(stride) + j, d - j) : (vec){0});
}

/* c = (c +) a b of `rows` rows: a (rows, k) lda apart, b packed. */
static void packed_product(int rows, int n, int k, const float *a, int lda, const float *b, bool acc, float *c,
                           int ldc) {
    const product p = {.pieces = 1, .len = k, .n = n, .b = b, .panel = sz(k), .acc = acc};
    const places at = in_line(rows, sz(lda)), to = in_line(rows, sz(ldc));
    product_run(&p, a, &at, c, &to);
}

/* c (t, d) = (c +) a' b with a (rows, t), lda apart, and b (rows, d). c and b have whole panels of columns. */
static void add_outer(int rows, int t, int d, const float *a, int lda, const float *b, int ldb, float *c, int ldc,
                      bool add, float *room) {
    const places at = in_line(rows, sz(lda));
    streams asked = {0};
    outer_any(t, d, a, &at, b, sz(ldb), c, sz(ldc), PANEL, add, room, &asked);
}

static size_t attention_scratch_floats(const ath_attention_shape *s, bool vjp) {
    const size_t t = sz(s->tokens), d = sz(s->d), columns = sz(round_up(s->d, PANEL));
    const size_t transposed = sz(round_up(s->tokens, PANEL)) * d, plain = columns * t;
    const size_t block = sz(attention_rows(s->tokens)) * sz(attention_ld(s->tokens));
    if (!vjp) return LINE + transposed + plain + block;
    return LINE + 2 * transposed + plain + 2 * block + (columns == d ? 0 : 4 * plain) +
           outer_any_floats(attention_rows(s->tokens), (int)columns);
}

/* Rows of probabilities from rows of q. */
static void probabilities(const ath_attention_shape *s, int rows, const float *q, const float *kt, float *p) {
    const int ld = attention_ld(s->tokens);
    packed_product(rows, s->tokens, s->d, q, s->stride, kt, false, p, ld);
    for (int r = 0; r < rows; r++, p += ld) softmax_forward(1, s->tokens, s->scale, p, p);
}

/* A part is some of the rows of q; each packs all of k and v. */
static int attention_parts(const ath_attention_shape *s) {
    return worth_parts(2.0 * s->tokens * s->tokens * s->d, (s->tokens + MR - 1) / MR);
}

static void attention_forward(const ath_attention_shape *s, const float *q, const float *k, const float *v,
                              ath_part part, float *y, float *scratch) {
    const int t = s->tokens, d = s->d, ld = attention_ld(t), block = attention_rows(t);
    float *kt = aligned(scratch), *vp = kt + sz(round_up(t, PANEL)) * sz(d), *p = vp + sz(round_up(d, PANEL)) * sz(t);
    pack_transposed(t, d, k, s->stride, kt);
    pack_plain(t, d, v, s->stride, vp);
    const int end = t * (part.index + 1) / part.of;
    for (int r = t * part.index / part.of; r < end; r += block) {
        const int rows = at_most(block, end - r);
        const size_t at = sz(r) * sz(s->stride);
        probabilities(s, rows, q + at, kt, p);
        packed_product(rows, d, t, p, ld, vp, false, y + at, s->stride);
    }
}

/* A matrix (tokens, d) with whole panels of columns: itself, or a copy in `room`. */
static const float *whole_panels(const ath_attention_shape *s, const float *x, int *ld, float *room) {
    const int columns = round_up(s->d, PANEL);
    *ld = columns == s->d ? s->stride : columns;
    if (columns == s->d) return x;
    for (int t = 0; t < s->tokens; t++) {
        memset(room + t * columns, 0, sz(columns) * sizeof *room);
        memcpy(room + t * columns, x + sz(t) * sz(s->stride), sz(s->d) * sizeof *room);
    }
    return room;
}

/* to (tokens, d) = (to +) sum, when that was not made in place. */
static void from_whole_panels(const ath_attention_shape *s, const float *sum, bool acc, float *to) {
    const int columns = round_up(s->d, PANEL);
    if (columns == s->d || to == NULL) return;
    for (int t = 0; t < s->tokens; t++, sum += columns, to += s->stride)
        for (int j = 0; j < s->d; j++) to[j] = sum[j] + (acc ? to[j] : 0);
}

static void attention_vjp(const ath_attention_shape *s, const float *q, const float *k, const float *v, const float *dy,
                          float *dq, float *dk, float *dv, const bool acc[3], float *scratch) {
    const int t = s->tokens, d = s->d, ld = attention_ld(t), block = attention_rows(t), columns = round_up(d, PANEL);
    const size_t transposed = sz(round_up(t, PANEL)) * sz(d), plain = sz(columns) * sz(t);
    const bool whole = columns == d;
    float *kt = aligned(scratch), *vt = kt + transposed, *kp = vt + transposed, *p = kp + plain;
    float *dp = p + sz(block) * sz(ld), *strips = dp + sz(block) * sz(ld);
    float *room = strips + outer_any_floats(block, columns);
    int ldw;
    const float *qw = whole_panels(s, q, &ldw, room), *dyw = whole_panels(s, dy, &ldw, room + plain);
    float *dkw = whole || dk == NULL ? dk : room + 2 * plain, *dvw = whole || dv == NULL ? dv : room + 3 * plain;
    pack_transposed(t, d, k, s->stride, kt);
    pack_transposed(t, d, v, s->stride, vt);
    if (dq != NULL) pack_plain(t, d, k, s->stride, kp);
    for (int r = 0; r < t; r += block) {
        const int rows = at_most(block, t - r);
        const size_t at = sz(r) * sz(s->stride), from = sz(r) * sz(ldw);
        probabilities(s, rows, q + at, kt, p);
        packed_product(rows, t, d, dy + at, s->stride, vt, false, dp, ld);
        for (int i = 0; i < rows; i++) softmax_vjp(1, t, s->scale, p + i * ld, dp + i * ld, dp + i * ld);
        if (dq != NULL) packed_product(rows, d, t, dp, ld, kp, acc[0], dq + at, s->stride);
        if (dk != NULL)
            add_outer(rows, t, columns, dp, ld, qw + from, ldw, dkw, ldw, r > 0 || (whole && acc[1]), strips);
        if (dv != NULL)
            add_outer(rows, t, columns, p, ld, dyw + from, ldw, dvw, ldw, r > 0 || (whole && acc[2]), strips);
    }
    from_whole_panels(s, dkw, acc[1], dk);
    from_whole_panels(s, dvw, acc[2], dv);
}
