/* What is done value by value and channel by channel. In NHWC the channels are the unit stride, so vectors run over
 * channels and sums over positions are kept per channel.
 * Part of template.h. */

/* ---- exponential ----
 * exp(sign x) = 2^k exp(r) for sign x of [-104, 89]; r is exact to 2^-24 with ln 2 in two parts. By AVX-512 k is a
 * multiple of 1/32, 2^k has its fraction from a table in two registers and its whole from scalef, and for
 * |r| <= ln(2)/64 a square is enough (minimax: r^3 is replaced by 3/4 (ln(2)/64)^2 r). By others k is whole,
 * |r| <= ln(2)/2 and exp(r) is 1 + r + r^2 p(r) with the p of degree 3 whose relative error is least, 1.05e-7 (fitted in
 * the largest error, by least squares with weights that follow it). Measured against double over [-87, 88]
 * (tests/test_kernels_norm.c): relative error at most 1.7e-7 and 1.8e-7, right through the denormals. */
#if ATH_W == 16
static const float power_of_2[32] = {/* 2^(i/32) */
                                     0x1p0F,        0x1.059b0ep0F, 0x1.0b5586p0F, 0x1.11301ep0F, 0x1.172b84p0F,
                                     0x1.1d4874p0F, 0x1.2387a6p0F, 0x1.29e9ep0F,  0x1.306fep0F,  0x1.371a74p0F,
                                     0x1.3dea64p0F, 0x1.44e086p0F, 0x1.4bfdaep0F, 0x1.5342b6p0F, 0x1.5ab07ep0F,
                                     0x1.6247ecp0F, 0x1.6a09e6p0F, 0x1.71f75ep0F, 0x1.7a1148p0F, 0x1.82589ap0F,
                                     0x1.8ace54p0F, 0x1.93737cp0F, 0x1.9c4918p0F, 0x1.a5503cp0F, 0x1.ae89fap0F,
                                     0x1.b7f77p0F,  0x1.c199bep0F, 0x1.cb720ep0F, 0x1.d5818ep0F, 0x1.dfc974p0F,
                                     0x1.ea4afap0F, 0x1.f50766p0F};

INLINE vec exp_within(vec x, float sign) {
    const vec magic = splat(0x1.8p18F), scaled = x * (sign * 0x1.715476p0F) + magic; /* its last five bits: 32 k */
    const vec k = scaled - magic;
    const vec r = (x * sign - k * 0x1.62e4p-1F) - k * 0x1.7f7d1cp-20F;
    const vec t = (vec)_mm512_permutex2var_ps((__m512)load(power_of_2), (__m512i)scaled, (__m512)load(power_of_2 + W));
    const vec more = r * (r * 5.0000489e-1F + 1.0000147F);
    return (vec)_mm512_scalef_ps((__m512)(t + t * more), (__m512)k);
}

INLINE vec exp_normal(vec x, float sign) { return exp_within(x, sign); }
#else
/* exp(r), and k in the last bits of `whole`, whose others are those of the magic number. */
static const float magic = 0x1.8p23F;
INLINE vec exp_split(vec x, float sign, vec *whole) {
    *whole = x * (sign * 0x1.715476p0F) + magic;
    const vec k = *whole - magic;
    const vec r = (x * sign - k * 0x1.62e4p-1F) - k * 0x1.7f7d1cp-20F;
    vec p = r * 0x1.106284p-7F + 0x1.5729fp-5F;
    p = p * r + 0x1.5557aep-3F;
    p = p * r + 0x1.fffdfcp-2F;
    return p * (r * r) + r + 1.0F;
}

INLINE vec exp_within(vec x, float sign) {
    vec shifted;
    const vec p = exp_split(x, sign, &shifted);
    const ivec whole = (ivec)shifted - (ivec)splat(magic), half = whole >> 1; /* 2^k in two factors reaches denormals */
    const uvec low = (uvec)(half + 127) << 23, high = (uvec)(whole - half + 127) << 23;
    return p * (vec)low * (vec)high;
}

/* The same for sign x of [-86, 88], where no number is denormal: k is added to the exponent. Of NaN it is any number. */
INLINE vec exp_normal(vec x, float sign) {
    vec whole;
    const vec p = exp_split(x, sign, &whole);
    return (vec)((uvec)p + ((uvec)whole << 23));
}
#endif

/* Above 89 it is infinite, below -104 zero, of NaN NaN. */
INLINE vec vec_exp(vec x) { return exp_within(vec_max(splat(-104.0F), vec_min(splat(89.0F), x)), 1); }

/* 1/d for 1 <= d < 2^127; the last digits are lost above 2^126, where it is denormal. The estimate has 14 bits and Newton's
 * step doubles them; silu_vjp measures a tenth faster with it than by dividing 16 floats; dividing 8 is fast. */
INLINE vec reciprocal(vec d) {
#if ATH_W == 16
    const vec r = (vec)_mm512_rcp14_ps((__m512)d);
    return r + r * (1.0F - d * r);
#else
    return 1.0F / d;
#endif
}

/* x no less than -88: below, silu and its slope are less than 1e-36, and exp(-x) would become infinite. */
INLINE vec silu_range(vec x) { return vec_max(splat(-88.0F), x); }
/* No more than 86: above, 1 + exp(-x) is 1, and x exp(-x) nothing beside it. */
INLINE vec at_most_86(vec x) { return vec_min(splat(86.0F), x); }

INLINE vec vec_silu(vec x) {
    x = silu_range(x);
    return x * reciprocal(1.0F + exp_normal(at_most_86(x), -1));
}

static void silu_forward(size_t len, const float *x, float *y) {
    size_t i = 0;
    for (; i + W <= len; i += W) store(y + i, vec_silu(load(x + i)));
    if (i < len) store_part(y + i, vec_silu(load_part(x + i, (int)(len - i))), (int)(len - i));
}

/* s (1 + x (1 - s)) with 1 - s = s exp(-x), which does not cancel. */
INLINE vec vec_silu_slope(vec x) {
    x = at_most_86(silu_range(x));
    const vec e = exp_normal(x, -1), s = reciprocal(1.0F + e);
    return s + s * x * (s * e);
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

/* ---- channel by channel ---- */

enum {
    STRIP = 4, /* vectors of channels at once */
    CHAIN = 32 /* positions summed in float before the sums go on in double */
};

/* Calls f(vectors, lanes of the last, first channel) for strips of as many vectors as there are channels for. */
#define STRIPS(c, f)                                                                                                   \
    for (int j_ = 0, left_; (left_ = (c)-j_) > 0;) {                                                                   \
        if (left_ >= 4 * W) {                                                                                          \
            f(4, W, j_);                                                                                               \
            j_ += 4 * W;                                                                                               \
        } else if (left_ >= 2 * W) {                                                                                   \
            f(2, W, j_);                                                                                               \
            j_ += 2 * W;                                                                                               \
        } else if (left_ >= W) {                                                                                       \
            f(1, W, j_);                                                                                               \
            j_ += W;                                                                                                   \
        } else {                                                                                                       \
            f(1, left_, j_);                                                                                           \
            j_ += left_;                                                                                               \
        }                                                                                                              \
    }

/* Rows to come are asked for so many ahead: of x, which nobody has read since it was written where its maker told its moments,
 * or since the forward, always. */
enum { ROWS_AHEAD = 32 };
INLINE void ask_ahead(int nv, const float *row, size_t ld) {
#pragma GCC unroll 4
    for (int v = 0; v < nv; v += LINE / W)
        __builtin_prefetch((const void *)((uintptr_t)row + (ROWS_AHEAD * ld + sz(v) * W) * sizeof *row), 0, 2);
}

/* Of others when they are wider than a strip: the processor does not guess that the strip's part of the next will be
 * wanted (1.3 to 2 times as fast where rows come from L3 or memory, 0.8 to 1 where they do not). */
INLINE void ask_if_wide(int nv, const float *row, size_t ld) {
    if (ld > STRIP * W) ask_ahead(nv, row, ld);
}

INLINE vec load_lanes(const float *p, int lanes) { return lanes == W ? load(p) : load_part(p, lanes); }
INLINE void store_lanes(float *p, vec v, int lanes) {
    if (lanes == W)
        store(p, v);
    else
        store_part(p, v, lanes);
}

/* out[i] += v[i] */
INLINE void add_lanes(double *out, vec v, int lanes) {
    float l[ATH_W];
    store(l, v);
    for (int i = 0; i < lanes; i++) out[i] += (double)l[i];
}

/* Sums over positions of x less that of the first, and of its square. */
INLINE void moments_strip(int nv, int lanes, int hw, size_t c, const float *x, double *sum, double *squares) {
    vec shift[STRIP];
    for (int v = 0; v < nv; v++) shift[v] = load_lanes(x + v * W, lanes);
    for (int i = 0; i < (nv - 1) * W + lanes; i++) sum[i] = squares[i] = 0;
    for (int p0 = 0; p0 < hw; p0 += CHAIN) {
        vec s[STRIP] = {0}, q[STRIP] = {0};
        const int end = at_most(p0 + CHAIN, hw);
        for (int p = p0; p < end; p++) {
            ask_if_wide(nv, x + sz(p) * c, c);
#pragma GCC unroll 4
            for (int v = 0; v < nv; v++) {
                const vec d = load_lanes(x + sz(p) * c + v * W, lanes) - shift[v];
                s[v] += d;
                q[v] += d * d;
            }
        }
        for (int v = 0; v < nv; v++) {
            add_lanes(sum + v * W, s[v], lanes);
            add_lanes(squares + v * W, q[v], lanes);
        }
    }
}

static void moments(int hw, int c, const float *x, double *sum, double *squares){
#define F(nv, lanes, j) moments_strip(nv, lanes, hw, sz(c), x + (j), sum + (j), squares + (j))
    STRIPS(c, F)
#undef F
}

INLINE void affine_strip(int nv, int lanes, int hw, size_t c, const float *x, ath_affine f, int j, bool silu, float *y,
                         size_t ldy) {
    vec m[STRIP], a[STRIP], b[STRIP];
    for (int v = 0; v < nv; v++) {
        m[v] = load_lanes(f.m + j + v * W, lanes);
        a[v] = load_lanes(f.a + j + v * W, lanes);
        b[v] = load_lanes(f.b + j + v * W, lanes);
    }
    x += j, y += j;
    for (int p = 0; p < hw; p++, x += c, y += ldy) {
        ask_ahead(nv, x, c);
        ask_if_wide(nv, y, ldy);
#pragma GCC unroll 4
        for (int v = 0; v < nv; v++) {
            const vec z = (load_lanes(x + v * W, lanes) - m[v]) * a[v] + b[v];
            store_lanes(y + v * W, silu ? vec_silu(z) : z, lanes);
        }
    }
}

static void affine(int hw, int c, const float *x, ath_affine f, bool silu, float *y, size_t ldy) {
#define F(nv, lanes, j)                                                                                                \
    if (silu)                                                                                                          \
        affine_strip(nv, lanes, hw, sz(c), x, f, j, true, y, ldy);                                                     \
    else                                                                                                               \
        affine_strip(nv, lanes, hw, sz(c), x, f, j, false, y, ldy)
    STRIPS(c, F)
#undef F
}

INLINE void affine_sums_strip(int nv, int lanes, int hw, size_t c, const float *x, ath_affine f, int j, bool silu,
                              float *d, size_t ldd, double *sum, double *off_sum) {
    vec m[STRIP], a[STRIP], b[STRIP];
    for (int v = 0; v < nv; v++) {
        m[v] = load_lanes(f.m + j + v * W, lanes);
        a[v] = load_lanes(f.a + j + v * W, lanes);
        b[v] = load_lanes(f.b + j + v * W, lanes);
    }
    x += j, d += j, sum += j, off_sum += j;
    for (int i = 0; i < (nv - 1) * W + lanes; i++) sum[i] = off_sum[i] = 0;
    for (int p0 = 0; p0 < hw; p0 += CHAIN) {
        vec s[STRIP] = {0}, q[STRIP] = {0};
        const int end = at_most(p0 + CHAIN, hw);
        for (int p = p0; p < end; p++, x += c, d += ldd) {
            ask_ahead(nv, x, c);
            ask_if_wide(nv, d, ldd);
#pragma GCC unroll 4
            for (int v = 0; v < nv; v++) {
                const vec off = load_lanes(x + v * W, lanes) - m[v];
                vec u = load_lanes(d + v * W, lanes);
                if (silu) {
                    u *= vec_silu_slope(off * a[v] + b[v]);
                    store_lanes(d + v * W, u, lanes);
                }
                s[v] += u;
                q[v] += u * off;
            }
        }
        for (int v = 0; v < nv; v++) {
            add_lanes(sum + v * W, s[v], lanes);
            add_lanes(off_sum + v * W, q[v], lanes);
        }
    }
}

static void affine_sums(int hw, int c, const float *x, ath_affine f, bool silu, float *d, size_t ldd, double *sum,
                        double *off_sum) {
#define F(nv, lanes, j)                                                                                                \
    if (silu)                                                                                                          \
        affine_sums_strip(nv, lanes, hw, sz(c), x, f, j, true, d, ldd, sum, off_sum);                                  \
    else                                                                                                               \
        affine_sums_strip(nv, lanes, hw, sz(c), x, f, j, false, d, ldd, sum, off_sum)
    STRIPS(c, F)
#undef F
}

INLINE void affine_grad_strip(int nv, int lanes, int hw, size_t c, const float *x, ath_affine f, const float *shift,
                              int j, const float *d, size_t ldd, float *dx, bool acc) {
    vec m[STRIP], a[STRIP], b[STRIP], e[STRIP];
    for (int v = 0; v < nv; v++) {
        m[v] = load_lanes(f.m + j + v * W, lanes);
        a[v] = load_lanes(f.a + j + v * W, lanes);
        b[v] = load_lanes(f.b + j + v * W, lanes);
        e[v] = load_lanes(shift + j + v * W, lanes);
    }
    x += j, d += j, dx += j;
    for (int p = 0; p < hw; p++, x += c, dx += c, d += ldd) {
        ask_if_wide(nv, dx, c); /* the others have just been read, by affine_sums */
#pragma GCC unroll 4
        for (int v = 0; v < nv; v++) {
            const vec g = load_lanes(d + v * W, lanes) * a[v] + ((load_lanes(x + v * W, lanes) - m[v]) * b[v] + e[v]);
            store_lanes(dx + v * W, acc ? g + load_lanes(dx + v * W, lanes) : g, lanes);
        }
    }
}

static void affine_grad(int hw, int c, const float *x, ath_affine f, const float *shift, const float *d, size_t ldd,
                        float *dx, bool acc) {
#define F(nv, lanes, j)                                                                                                \
    if (acc)                                                                                                           \
        affine_grad_strip(nv, lanes, hw, sz(c), x, f, shift, j, d, ldd, dx, true);                                     \
    else                                                                                                               \
        affine_grad_strip(nv, lanes, hw, sz(c), x, f, shift, j, d, ldd, dx, false)
    STRIPS(c, F)
#undef F
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
