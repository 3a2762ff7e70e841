/* Group norm and what is done value by value. In NHWC the channels are the unit stride, so
 * vectors run over channels and sums over positions are kept per channel; groups, of
 * any number of channels, are made from those at the end.
 * Part of template.h. */

enum {
    STRIP = 4,      /* vectors of channels summed at once */
    CHAIN = 32,     /* positions summed in float before the sums go on in double */
    MAX_GROUPS = 64 /* groups taken at once */
};

/* What is summed over the positions: x; (x-m)^2; dy and dy (x-m), m a value per channel. */
typedef enum sum_kind { SUM_X, SUM_SQUARES, SUM_PRODUCTS } sum_kind;

/* For `nv` vectors of channels of which the last has `part` lanes: over hw positions c
 * floats apart, one[j] = sum of x, or of (x-m)^2, or of dy (x-m), and two[j] = sum of dy. */
INLINE void strip_sums(sum_kind kind, int nv, int part, int hw, int c, const float *x, const float *m, const float *dy,
                       double *one, double *two) {
    vec mean[STRIP];
    for (int j = 0; j < nv * W; j++) one[j] = two[j] = 0;
    for (int v = 0; v < nv; v++) mean[v] = kind == SUM_X ? (vec){0} : load(m + v * W);
    for (int p0 = 0; p0 < hw; p0 += CHAIN) {
        vec a[STRIP], b[STRIP];
        float lanes[STRIP * ATH_W];
        for (int v = 0; v < nv; v++) a[v] = b[v] = (vec){0};
        const int p1 = at_most(p0 + CHAIN, hw);
        for (int p = p0; p < p1; p++) {
            const float *xp = x + sz(p) * sz(c), *dp = kind == SUM_PRODUCTS ? dy + sz(p) * sz(c) : NULL;
#pragma GCC unroll 4
            for (int v = 0; v < nv; v++) {
                const vec value = part < W ? load_part(xp + v * W, part) : load(xp + v * W);
                if (kind == SUM_X) a[v] += value;
                if (kind == SUM_SQUARES) a[v] += (value - mean[v]) * (value - mean[v]);
                if (kind == SUM_PRODUCTS) {
                    const vec g = part < W ? load_part(dp + v * W, part) : load(dp + v * W);
                    a[v] += g * (value - mean[v]);
                    b[v] += g;
                }
            }
        }
        for (int v = 0; v < nv; v++) store(lanes + v * W, a[v]);
        for (int j = 0; j < nv * W; j++) one[j] += (double)lanes[j];
        if (kind != SUM_PRODUCTS) continue;
        for (int v = 0; v < nv; v++) store(lanes + v * W, b[v]);
        for (int j = 0; j < nv * W; j++) two[j] += (double)lanes[j];
    }
}

/* The same for the channels of one strip, as many as there are up to STRIP vectors; returns how many it took. */
INLINE int some_sums(sum_kind kind, int channels, int hw, int c, const float *x, const float *m, const float *dy,
                     double *one, double *two) {
    if (channels >= 4 * W) return strip_sums(kind, 4, W, hw, c, x, m, dy, one, two), 4 * W;
    if (channels >= 2 * W) return strip_sums(kind, 2, W, hw, c, x, m, dy, one, two), 2 * W;
    if (channels >= W) return strip_sums(kind, 1, W, hw, c, x, m, dy, one, two), W;
    return strip_sums(kind, 1, channels, hw, c, x, m, dy, one, two), channels;
}

/* db[j] = sum of the rows of dy. */
static void column_sums(size_t rows, int c, const float *dy, float *db) {
    double one[STRIP * ATH_W], two[STRIP * ATH_W];
    for (int j = 0; j < c;) {
        const int took = some_sums(SUM_X, c - j, (int)rows, c, dy + j, NULL, NULL, one, two);
        for (int l = 0; l < took; l++) db[j + l] = (float)one[l];
        j += took;
    }
}

/* Sums over groups of `per` channels: groups first..first+count of one image. */
INLINE void group_sums(sum_kind kind, int hw, int c, int per, int first, int count, const float *x, const double *mean,
                       double *sum) {
    double one[STRIP * ATH_W], two[STRIP * ATH_W];
    float m[STRIP * ATH_W];
    for (int g = 0; g < count; g++) sum[g] = 0;
    for (int j = 0; j < count * per;) {
        for (int l = 0; kind != SUM_X && l < STRIP * W; l++) m[l] = (float)mean[at_most((j + l) / per, count - 1)];
        const int took = some_sums(kind, count * per - j, hw, c, x + first * per + j, m, NULL, one, two);
        for (int l = 0; l < took; l++) sum[(j + l) / per] += one[l];
        j += took;
    }
}

static void group_norm_forward(int n, int hw, int c, int groups, float eps, const float *x, const float *gamma,
                               const float *beta, float *y, float *stats) {
    const int per = c / groups;
    const double size = (double)hw * per;
    for (int i = 0; i < n; i++, x += sz(hw) * sz(c), y += sz(hw) * sz(c), stats += 2 * groups)
        for (int first = 0; first < groups; first += MAX_GROUPS) {
            const int count = at_most(groups - first, MAX_GROUPS);
            double mean[MAX_GROUPS], squares[MAX_GROUPS];
            group_sums(SUM_X, hw, c, per, first, count, x, NULL, mean);
            for (int g = 0; g < count; g++) mean[g] /= size;
            group_sums(SUM_SQUARES, hw, c, per, first, count, x, mean, squares);
            for (int g = 0; g < count; g++) {
                /* The squares are around the mean as a float holds it; what it left out is taken off again. */
                const double off = mean[g] - (double)(float)mean[g];
                stats[2 * (first + g)] = (float)mean[g];
                stats[2 * (first + g) + 1] = (float)(1 / sqrt(squares[g] / size - off * off + (double)eps));
            }
            for (int j = first * per; j < (first + count) * per; j += W) {
                const int lanes = at_most((first + count) * per - j, W);
                float m[ATH_W] = {0}, a[ATH_W] = {0}, b[ATH_W] = {0};
                for (int l = 0; l < lanes; l++) {
                    m[l] = stats[2 * ((j + l) / per)];
                    a[l] = gamma[j + l] * stats[2 * ((j + l) / per) + 1];
                    b[l] = beta[j + l];
                }
                const vec vm = load(m), va = load(a), vb = load(b);
                if (lanes == W)
                    for (size_t at = sz(j), p = 0; p < sz(hw); p++, at += sz(c))
                        store(y + at, (load(x + at) - vm) * va + vb);
                else
                    for (size_t at = sz(j), p = 0; p < sz(hw); p++, at += sz(c))
                        store_part(y + at, (load_part(x + at, lanes) - vm) * va + vb, lanes);
            }
        }
}

/* dx = rstd (g - mean(g) - xhat mean(g xhat)) with g = gamma dy, that is a dy + b (x - mean) + d per channel. */
static void group_norm_vjp(int n, int hw, int c, int groups, const float *x, const float *gamma, const float *stats,
                           const float *dy, float *dx, bool acc, float *dgamma, float *dbeta) {
    const int per = c / groups;
    const double size = (double)hw * per;
    if (dgamma != NULL) {
        memset(dgamma, 0, sz(c) * sizeof *dgamma);
        memset(dbeta, 0, sz(c) * sizeof *dbeta);
    }
    for (int i = 0; i < n; i++, x += sz(hw) * sz(c), dy += sz(hw) * sz(c), stats += 2 * groups) {
        for (int first = 0; first < groups; first += MAX_GROUPS) {
            const int count = at_most(groups - first, MAX_GROUPS), end = (first + count) * per;
            double sum_g[MAX_GROUPS] = {0}, sum_gx[MAX_GROUPS] = {0};
            for (int j = first * per; j < end;) {
                double one[STRIP * ATH_W], two[STRIP * ATH_W];
                float m[STRIP * ATH_W];
                for (int l = 0; l < STRIP * W; l++) m[l] = stats[2 * at_most((j + l) / per, groups - 1)];
                const int took = some_sums(SUM_PRODUCTS, end - j, hw, c, x + j, m, dy + j, one, two);
                for (int l = 0; l < took; l++, j++) {
                    const int g = j / per;
                    const double rstd = (double)stats[2 * g + 1];
                    sum_g[g - first] += (double)gamma[j] * two[l];
                    sum_gx[g - first] += (double)gamma[j] * one[l] * rstd;
                    if (dgamma == NULL) continue;
                    dgamma[j] += (float)(one[l] * rstd);
                    dbeta[j] += (float)two[l];
                }
            }
            for (int j = first * per; dx != NULL && j < end; j += W) {
                const int lanes = at_most(end - j, W);
                float m[ATH_W] = {0}, a[ATH_W] = {0}, b[ATH_W] = {0}, d[ATH_W] = {0};
                for (int l = 0; l < lanes; l++) {
                    const int g = (j + l) / per;
                    const double rstd = (double)stats[2 * g + 1];
                    m[l] = stats[2 * g];
                    a[l] = (float)(rstd * (double)gamma[j + l]);
                    b[l] = (float)(-rstd * rstd * sum_gx[g - first] / size);
                    d[l] = (float)(-rstd * sum_g[g - first] / size);
                }
                const vec vm = load(m), va = load(a), vb = load(b), vd = load(d);
                for (size_t at = sz(j), p = 0; p < sz(hw); p++, at += sz(c)) {
                    if (lanes == W) {
                        const vec v = load(dy + at) * va + ((load(x + at) - vm) * vb + vd);
                        store(dx + at, acc ? v + load(dx + at) : v);
                    } else {
                        const vec v = load_part(dy + at, lanes) * va + ((load_part(x + at, lanes) - vm) * vb + vd);
                        store_part(dx + at, acc ? v + load_part(dx + at, lanes) : v, lanes);
                    }
                }
            }
        }
        if (dx != NULL) dx += sz(hw) * sz(c);
    }
}

/* ---- exponential ----
 * exp(x) = 2^k exp(r), k = round(x log2 e), |r| <= ln(2)/2; r is exact to 2^-24 with ln 2 in
 * two parts, exp(r) is the minimax polynomial of Cephes' expf. Measured against double
 * over [-87, 88] (tests/test_kernels_norm.c): relative error at most 1.5e-7. Above 89 it is
 * infinite, below -104 zero, of NaN NaN; between it is right through the denormals. */
INLINE vec vec_exp(vec x) {
    x = vec_max(splat(-104.0F), vec_min(splat(89.0F), x));
    const vec magic = splat(0x1.8p23F), scaled = x * 0x1.715476p0F;
    const vec k = (scaled + magic) - magic;
    const vec r = (x - k * 0x1.62e4p-1F) - k * 0x1.7f7d1cp-20F;
    vec p = splat(1.9875691500e-4F);
    p = p * r + 1.3981999507e-3F;
    p = p * r + 8.3334519073e-3F;
    p = p * r + 4.1665795894e-2F;
    p = p * r + 1.6666665459e-1F;
    p = p * r + 5.0000001201e-1F;
    p = p * r * r + r + 1.0F;
#if ATH_W == 16
    return (vec)_mm512_scalef_ps((__m512)p, (__m512)k);
#else
    const ivec whole = __builtin_convertvector(k, ivec), half = whole >> 1; /* 2^k in two factors reaches denormals */
    const uvec low = (uvec)(half + 127) << 23, high = (uvec)(whole - half + 127) << 23;
    return p * (vec)low * (vec)high;
#endif
}

/* 1/d for 1 <= d < 2^126. The estimate has 14 bits and Newton's step doubles them; silu_vjp
 * measures a tenth faster with it than by dividing 16 floats; dividing 8 is fast. */
INLINE vec reciprocal(vec d) {
#if ATH_W == 16
    const vec r = (vec)_mm512_rcp14_ps((__m512)d);
    return r + r * (1.0F - d * r);
#else
    return 1.0F / d;
#endif
}

/* exp(-x) for x held above -87, so that 1 + this is in the range of `reciprocal` */
INLINE vec exp_of_minus(vec x) { return vec_exp(vec_min(splat(87.0F), -x)); }

/* Below -87, where it is less than 2e-36, silu is -0: the sigmoid is masked out there. */
INLINE vec vec_silu(vec x) {
    const vec s = reciprocal(1.0F + exp_of_minus(x));
    return x * (vec)((ivec)s & (x >= -87.0F));
}

static void silu_forward(size_t len, const float *x, float *y) {
    size_t i = 0;
    for (; i + W <= len; i += W) store(y + i, vec_silu(load(x + i)));
    if (i < len) store_part(y + i, vec_silu(load_part(x + i, (int)(len - i))), (int)(len - i));
}

/* s (1 + x (1 - s)) with 1 - s = s exp(-x), which does not cancel; x is held above -87 lest this be 0 times a large x. */
INLINE vec vec_silu_slope(vec x) {
    const vec e = exp_of_minus(x), s = reciprocal(1.0F + e);
    return s + s * vec_max(splat(-87.0F), x) * (s * e);
}

static void silu_vjp(size_t len, const float *x, const float *dy, float *dx, bool acc) {
    size_t i = 0;
    for (; i + W <= len; i += W) {
        const vec v = load(dy + i) * vec_silu_slope(load(x + i));
        store(dx + i, acc ? v + load(dx + i) : v);
    }
    const int n = (int)(len - i);
    if (n == 0) return;
    const vec v = load_part(dy + i, n) * vec_silu_slope(load_part(x + i, n));
    store_part(dx + i, acc ? v + load_part(dx + i, n) : v, n);
}

static void add(size_t len, const float *a, const float *b, float *y) {
    size_t i = 0;
    for (; i + W <= len; i += W) store(y + i, load(a + i) + load(b + i));
    for (; i < len; i++) y[i] = a[i] + b[i];
}

/* ---- softmax ---- */
INLINE float lane_sum(vec v) {
    float l[ATH_W];
    store(l, v);
    for (int half = W / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) l[i] += l[i + half];
    return l[0];
}

/* exp(scale x - top), top the largest scale x: a row's exponentials are at most 1 and the largest is 1. A NaN in
 * the row makes the sum, and so the row, NaN. */
static void softmax_forward(int rows, int cols, float scale, const float *x, float *y) {
    for (int r = 0; r < rows; r++, x += cols, y += cols) {
        float top = scale * x[0];
        int j = 0;
        if (cols >= W) {
            vec most = splat(scale) * load(x);
            for (j = W; j + W <= cols; j += W) most = vec_max(most, splat(scale) * load(x + j));
            for (int l = 0; l < W; l++) top = most[l] > top ? most[l] : top;
        }
        for (; j < cols; j++) top = scale * x[j] > top ? scale * x[j] : top;
        vec sums = {0};
        float sum = 0;
        for (j = 0; j + W <= cols; j += W) {
            const vec e = vec_exp(splat(scale) * load(x + j) - top);
            sums += e;
            store(y + j, e);
        }
        if (j < cols) {
            const vec e = vec_exp(splat(scale) * load_part(x + j, cols - j) - top);
            store_part(y + j, e, cols - j);
            for (int l = j; l < cols; l++) sum += y[l];
        }
        const float part = 1 / (sum + lane_sum(sums));
        for (j = 0; j + W <= cols; j += W) store(y + j, load(y + j) * part);
        for (; j < cols; j++) y[j] *= part;
    }
}

static void softmax_vjp(int rows, int cols, float scale, const float *y, const float *dy, float *dx) {
    for (int r = 0; r < rows; r++, y += cols, dy += cols, dx += cols) {
        vec sums = {0};
        int j = 0;
        for (; j + W <= cols; j += W) sums += load(y + j) * load(dy + j);
        if (j < cols) sums += load_part(y + j, cols - j) * load_part(dy + j, cols - j);
        const float dot = lane_sum(sums);
        for (j = 0; j + W <= cols; j += W) store(dx + j, scale * load(y + j) * (load(dy + j) - dot));
        for (; j < cols; j++) dx[j] = scale * y[j] * (dy[j] - dot);
    }
}
