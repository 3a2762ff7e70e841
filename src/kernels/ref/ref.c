/* Every kernel in plain C, loop by loop as it is defined, with sums in double: what the
 * fast tables are tested against, and what runs where there is no fast table. */
#include <math.h>
#include <string.h>
#include "kernels/tables.h"

static size_t no_floats(const ath_conv_shape *s, ath_conv_pass pass) {
    (void)s, (void)pass;
    return 0;
}

static void no_pack(const ath_conv_shape *s, ath_conv_pass pass, const float *w, float *packed) {
    (void)s, (void)pass, (void)w, (void)packed;
}

static int one_part(const ath_conv_shape *s) {
    (void)s;
    return 1;
}

static void moments(int hw, int c, const float *x, double *sum, double *squares) {
    for (int j = 0; j < c; j++) {
        sum[j] = squares[j] = 0;
        for (int p = 0; p < hw; p++) {
            const double d = (double)x[(size_t)p * (size_t)c + (size_t)j] - (double)x[j];
            sum[j] += d;
            squares[j] += d * d;
        }
    }
}

static bool gives_moments(const ath_conv_shape *s) {
    (void)s;
    return true;
}

/* How often a pixel of x is seen in each direction. */
static int zoom_of(const ath_conv_shape *s) { return s->upsampled ? 2 : 1; }

/* Where pixel (y,x) of image n, as the convolution sees it, is stored. */
static size_t pixel_of(const ath_conv_shape *s, int n, int y, int x) {
    const int zoom = zoom_of(s), h = s->h / zoom, w = s->w / zoom;
    return (size_t)(n * h + y / zoom) * (size_t)w + (size_t)(x / zoom);
}

/* y[n,oy,ox,co] = bias[n,co] + residual[n,oy,ox,co] + sum over ky, kx, ci of x[n, oy*stride+ky-pad, ox*stride+kx-pad, ci] w[ky,kx,ci,co] */
static void conv_forward(const ath_conv_shape *s, const float *x, const float *w, ath_conv_add add, ath_part part,
                         float *y, float *scratch) {
    (void)scratch;
    if (part.index > 0) return;
    const int oh = ath_conv_out(s->h, s), ow = ath_conv_out(s->w, s), k = s->kernel;
    const size_t ci = (size_t)s->c_in, co = (size_t)s->c_out;
    size_t at = 0;
    for (int n = 0; n < s->n; n++)
        for (int oy = 0; oy < oh; oy++)
            for (int ox = 0; ox < ow; ox++)
                for (size_t o = 0; o < co; o++, at++) {
                    double sum = add.bias != NULL ? (double)add.bias[(size_t)n * add.bias_step + o] : 0;
                    if (add.residual != NULL) sum += (double)add.residual[at];
                    for (int ky = 0; ky < k; ky++)
                        for (int kx = 0; kx < k; kx++) {
                            const int iy = oy * s->stride + ky - s->pad_before,
                                      ix = ox * s->stride + kx - s->pad_before;
                            if (iy < 0 || iy >= s->h || ix < 0 || ix >= s->w) continue;
                            const float *xp = x + pixel_of(s, n, iy, ix) * ci;
                            const float *wp = w + (size_t)(ky * k + kx) * ci * co + o;
                            for (size_t i = 0; i < ci; i++) sum += (double)xp[i] * (double)wp[i * co];
                        }
                    y[at] = (float)sum;
                }
    for (size_t n = 0; add.moments != NULL && n < (size_t)s->n; n++)
        moments(oh * ow, s->c_out, y + n * (size_t)(oh * ow) * co, add.moments + 2 * n * co,
                add.moments + (2 * n + 1) * co);
}

/* The sum over the outputs that read channel ci of pixel (iy,ix) of image n of dy[n,oy,ox,co] w[ky,kx,ci,co] */
static double pixel_grad(const ath_conv_shape *s, const float *dy, const float *w, int n, int iy, int ix, size_t i) {
    const int oh = ath_conv_out(s->h, s), ow = ath_conv_out(s->w, s), k = s->kernel;
    const size_t ci = (size_t)s->c_in, co = (size_t)s->c_out;
    double sum = 0;
    for (int ky = 0; ky < k; ky++)
        for (int kx = 0; kx < k; kx++) {
            const int y = iy + s->pad_before - ky, x = ix + s->pad_before - kx;
            if (y < 0 || x < 0 || y % s->stride || x % s->stride) continue;
            const int oy = y / s->stride, ox = x / s->stride;
            if (oy >= oh || ox >= ow) continue;
            const float *dyp = dy + ((size_t)(n * oh + oy) * (size_t)ow + (size_t)ox) * co;
            const float *wp = w + ((size_t)(ky * k + kx) * ci + i) * co;
            for (size_t o = 0; o < co; o++) sum += (double)dyp[o] * (double)wp[o];
        }
    return sum;
}

/* dx[n,iy,ix,ci] = the sum of pixel_grad over the places where it is seen */
static void conv_input_grad(const ath_conv_shape *s, const float *dy, const float *w, float *dx, bool acc,
                            float *scratch) {
    (void)scratch;
    const int zoom = zoom_of(s);
    const size_t ci = (size_t)s->c_in;
    for (int n = 0; n < s->n; n++)
        for (int iy = 0; iy < s->h; iy += zoom)
            for (int ix = 0; ix < s->w; ix += zoom, dx += ci)
                for (size_t i = 0; i < ci; i++) {
                    double sum = 0;
                    for (int seen = 0; seen < zoom * zoom; seen++)
                        sum += pixel_grad(s, dy, w, n, iy + seen / zoom, ix + seen % zoom, i);
                    dx[i] = (float)sum + (acc ? dx[i] : 0);
                }
}

/* dw[ky,kx,ci,co] = sum over n, oy, ox of x[...] dy[n,oy,ox,co];  db[co] = sum of dy */
static void conv_weight_grad(const ath_conv_shape *s, const float *x, const float *dy, float *dw, float *db, bool acc,
                             float *scratch) {
    (void)scratch;
    const int oh = ath_conv_out(s->h, s), ow = ath_conv_out(s->w, s), k = s->kernel;
    const size_t ci = (size_t)s->c_in, co = (size_t)s->c_out;
    for (int ky = 0; ky < k; ky++)
        for (int kx = 0; kx < k; kx++)
            for (size_t i = 0; i < ci; i++)
                for (size_t o = 0; o < co; o++) {
                    double sum = 0;
                    for (int n = 0; n < s->n; n++)
                        for (int oy = 0; oy < oh; oy++) {
                            const int iy = oy * s->stride + ky - s->pad_before;
                            if (iy < 0 || iy >= s->h) continue;
                            for (int ox = 0; ox < ow; ox++) {
                                const int ix = ox * s->stride + kx - s->pad_before;
                                if (ix < 0 || ix >= s->w) continue;
                                const size_t p = pixel_of(s, n, iy, ix);
                                const size_t q = (size_t)(n * oh + oy) * (size_t)ow + (size_t)ox;
                                sum += (double)x[p * ci + i] * (double)dy[q * co + o];
                            }
                        }
                    *dw = (acc ? *dw : 0) + (float)sum;
                    dw++;
                }
    for (size_t o = 0; db != NULL && o < co; o++) {
        double sum = 0;
        for (size_t p = 0; p < (size_t)s->n * (size_t)oh * (size_t)ow; p++) sum += (double)dy[p * co + o];
        db[o] = (acc ? db[o] : 0) + (float)sum;
    }
}

static double silu_slope(double x) {
    const double s = 1 / (1 + exp(-x));
    return s + x * s * (1 - s);
}

static void affine(int hw, int c, const float *x, ath_affine f, bool silu, float *y, size_t ldy) {
    for (int p = 0; p < hw; p++, x += c, y += ldy)
        for (int j = 0; j < c; j++) {
            const double z = ((double)x[j] - (double)f.m[j]) * (double)f.a[j] + (double)f.b[j];
            y[j] = (float)(silu ? z / (1 + exp(-z)) : z);
        }
}

static void affine_sums(int hw, int c, const float *x, ath_affine f, bool silu, float *d, size_t ldd, double *sum,
                        double *product) {
    for (int j = 0; j < c; j++) {
        sum[j] = product[j] = 0;
        for (int p = 0; p < hw; p++) {
            const double off = (double)x[(size_t)p * (size_t)c + (size_t)j] - (double)f.m[j];
            float *u = &d[(size_t)p * ldd + (size_t)j];
            if (silu) *u = (float)((double)*u * silu_slope(off * (double)f.a[j] + (double)f.b[j]));
            sum[j] += (double)*u;
            product[j] += (double)*u * off;
        }
    }
}

static void affine_grad(int hw, int c, const float *x, ath_affine f, const float *shift, const float *d, size_t ldd,
                        float *dx, bool acc) {
    for (int p = 0; p < hw; p++, x += c, dx += c, d += ldd)
        for (int j = 0; j < c; j++)
            dx[j] = (acc ? dx[j] : 0) + (float)((double)d[j] * (double)f.a[j] +
                                                ((double)x[j] - (double)f.m[j]) * (double)f.b[j] + (double)shift[j]);
}

static void silu_forward(size_t len, const float *x, float *y) {
    for (size_t i = 0; i < len; i++) y[i] = (float)((double)x[i] / (1 + exp(-(double)x[i])));
}

/* d/dx x s(x) = s (1 + x (1 - s)), s the sigmoid; 1 - s(x) is taken as s(-x) so as not to cancel. */
static void silu_vjp(size_t len, const float *x, const float *dy, float *dx, bool acc) {
    for (size_t i = 0; i < len; i++) {
        const double v = (double)x[i], s = 1 / (1 + exp(-v)), t = 1 / (1 + exp(v));
        dx[i] = (float)((double)dy[i] * (s * (1 + v * t))) + (acc ? dx[i] : 0);
    }
}

static void add(size_t len, const float *a, const float *b, float *y) {
    for (size_t i = 0; i < len; i++) y[i] = a[i] + b[i];
}

static void copy_rows(size_t rows, size_t cols, float scale, const float *x, size_t ldx, float *y, size_t ldy,
                      bool acc) {
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < cols; j++) y[r * ldy + j] = (acc ? y[r * ldy + j] : 0) + scale * x[r * ldx + j];
}

static void affine_rows(size_t rows, size_t cols, const float *x, const float *scale, const float *shift, float *y,
                        bool acc) {
    for (size_t i = 0; i < rows * cols; i++) {
        const float factor = 1 + (scale != NULL ? scale[i % cols] : 0);
        y[i] = (acc ? y[i] : 0) + (x[i] * factor + (shift != NULL ? shift[i % cols] : 0));
    }
}

static void sum_rows(size_t rows, size_t cols, const float *x, const float *weights, float *sum, bool acc) {
    for (size_t j = 0; j < cols; j++) {
        double total = 0;
        for (size_t i = j; i < rows * cols; i += cols)
            total += (double)x[i] * (weights != NULL ? (double)weights[i] : 1);
        sum[j] = (acc ? sum[j] : 0) + (float)total;
    }
}

static void softmax_forward(int rows, int cols, float scale, const float *x, float *y) {
    for (int r = 0; r < rows; r++, x += cols, y += cols) {
        double top = (double)scale * (double)x[0], sum = 0;
        for (int j = 1; j < cols; j++) { /* not by fmax, of which GCC 12 for arm64 dies here */
            const double value = (double)scale * (double)x[j];
            top = value > top ? value : top;
        }
        for (int j = 0; j < cols; j++) sum += exp((double)scale * (double)x[j] - top);
        for (int j = 0; j < cols; j++) y[j] = (float)(exp((double)scale * (double)x[j] - top) / sum);
    }
}

static void softmax_vjp(int rows, int cols, float scale, const float *y, const float *dy, float *dx) {
    for (int r = 0; r < rows; r++, y += cols, dy += cols, dx += cols) {
        double dot = 0;
        for (int j = 0; j < cols; j++) dot += (double)y[j] * (double)dy[j];
        for (int j = 0; j < cols; j++) dx[j] = (float)((double)scale * (double)y[j] * ((double)dy[j] - dot));
    }
}

static void adamw(size_t len, const ath_adamw_factors *f, float *w, float *ema, float *m, float *v, const float *grad) {
    for (size_t i = 0; i < len; i++) {
        const double g = (double)f->scale * (double)grad[i];
        const double m1 = (double)f->beta1 * (double)m[i] + (double)f->rest1 * g;
        const double v1 = (double)f->beta2 * (double)v[i] + (double)f->rest2 * g * g;
        const double move = (double)f->step * m1 / (sqrt(v1) * (double)f->root2 + (double)f->eps);
        const double w1 = (double)f->shrink * (double)w[i] - move;
        m[i] = (float)m1;
        v[i] = (float)v1;
        w[i] = (float)w1;
        ema[i] = (float)((double)ema[i] + (double)f->average * (w1 - (double)ema[i]));
    }
}

static double sum_squares(size_t len, const float *x) {
    double lane[ATH_SUM_LANES] = {0};
    for (size_t i = 0; i < len; i++) lane[i % ATH_SUM_LANES] += (double)x[i] * (double)x[i];
    for (int n = ATH_SUM_LANES / 2; n > 0; n /= 2)
        for (int l = 0; l < n; l++) lane[l] += lane[l + n];
    return lane[0];
}

static double row_at(ath_rows rows, size_t row, size_t d) {
    const size_t at = row * rows.dim + d;
    return rows.f64 != NULL ? rows.f64[at] : (double)rows.f32[at];
}

static void squared_distances(size_t n, const double *x, ath_rows rows, size_t first, size_t count, double *d2,
                              size_t ld) {
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < count; k++) {
            double sum = 0;
            for (size_t d = 0; d < rows.dim; d++) {
                const double difference = x[i * rows.dim + d] - row_at(rows, first + k, d);
                sum += difference * difference;
            }
            d2[i * ld + k] = sum;
        }
}

static void add_differences(ath_rows rows, size_t from, size_t len, size_t count, const double *weight,
                            const uint32_t *index, size_t base, double *sum) {
    for (size_t j = 0; j < count; j++)
        for (size_t d = 0; d < len; d++)
            sum[d] += weight[j] * (row_at(rows, index[j], from + d) - row_at(rows, base, from + d));
}

/* One row of probabilities and, for the vjp, one of their gradients. */
static size_t attention_scratch_floats(const ath_attention_shape *s, bool vjp) {
    return (vjp ? 2 : 1) * (size_t)s->tokens;
}

/* row[j] = x . rows[j] */
static void dots(const ath_attention_shape *s, const float *x, const float *rows, float *row) {
    for (int j = 0; j < s->tokens; j++, rows += s->stride) {
        double sum = 0;
        for (int l = 0; l < s->d; l++) sum += (double)x[l] * (double)rows[l];
        row[j] = (float)sum;
    }
}

static int attention_one_part(const ath_attention_shape *s) {
    (void)s;
    return 1;
}

static void attention_forward(const ath_attention_shape *s, const float *q, const float *k, const float *v,
                              ath_part part, float *y, float *scratch) {
    const int first = s->tokens * part.index / part.of, end = s->tokens * (part.index + 1) / part.of;
    q += (size_t)first * (size_t)s->stride;
    y += (size_t)first * (size_t)s->stride;
    for (int i = first; i < end; i++, q += s->stride, y += s->stride) {
        dots(s, q, k, scratch);
        softmax_forward(1, s->tokens, s->scale, scratch, scratch);
        for (int l = 0; l < s->d; l++) {
            double sum = 0;
            for (int j = 0; j < s->tokens; j++)
                sum += (double)scratch[j] * (double)v[(size_t)j * (size_t)s->stride + (size_t)l];
            y[l] = (float)sum;
        }
    }
}

static void clear_unless(bool kept, const ath_attention_shape *s, float *x) {
    for (int i = 0; x != NULL && !kept && i < s->tokens; i++)
        memset(x + (size_t)i * (size_t)s->stride, 0, (size_t)s->d * sizeof *x);
}

/* y += a x */
static void add_scaled(int len, float a, const float *x, float *y) {
    for (int i = 0; i < len; i++) y[i] += a * x[i];
}

/* dv = P^T dy,  dP = dy v^T,  dS = scale P (dP - sum(P dP)),  dq = dS k,  dk = dS^T q */
static void attention_vjp(const ath_attention_shape *s, const float *q, const float *k, const float *v, const float *dy,
                          float *dq, float *dk, float *dv, const bool acc[3], float *scratch) {
    float *p = scratch, *ds = scratch + s->tokens;
    clear_unless(acc[0], s, dq), clear_unless(acc[1], s, dk), clear_unless(acc[2], s, dv);
    for (int i = 0; i < s->tokens; i++) {
        const size_t at = (size_t)i * (size_t)s->stride;
        dots(s, q + at, k, p);
        softmax_forward(1, s->tokens, s->scale, p, p);
        dots(s, dy + at, v, ds);
        softmax_vjp(1, s->tokens, s->scale, p, ds, ds);
        for (int j = 0; j < s->tokens; j++) {
            const size_t to = (size_t)j * (size_t)s->stride;
            if (dq != NULL) add_scaled(s->d, ds[j], k + to, dq + at);
            if (dk != NULL) add_scaled(s->d, ds[j], q + at, dk + to);
            if (dv != NULL) add_scaled(s->d, p[j], dy + at, dv + to);
        }
    }
}

const ath_kernels ath_kernels_ref = {
    .isa = "ref",
    .conv_pack_floats = no_floats,
    .conv_pack = no_pack,
    .conv_scratch_floats = no_floats,
    .conv_forward = conv_forward,
    .conv_gives_moments = gives_moments,
    .conv_parts = one_part,
    .conv_input_grad = conv_input_grad,
    .conv_weight_grad = conv_weight_grad,
    .moments = moments,
    .affine = affine,
    .affine_sums = affine_sums,
    .affine_grad = affine_grad,
    .silu_forward = silu_forward,
    .silu_vjp = silu_vjp,
    .add = add,
    .copy_rows = copy_rows,
    .affine_rows = affine_rows,
    .sum_rows = sum_rows,
    .softmax_forward = softmax_forward,
    .softmax_vjp = softmax_vjp,
    .adamw = adamw,
    .sum_squares = sum_squares,
    .squared_distances = squared_distances,
    .add_differences = add_differences,

    .attention_scratch_floats = attention_scratch_floats,
    .attention_parts = attention_one_part,
    .attention_forward = attention_forward,
    .attention_vjp = attention_vjp,
};
