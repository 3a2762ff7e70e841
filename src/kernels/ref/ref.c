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

/* y[n,oy,ox,co] = bias[co] + sum over ky, kx, ci of x[n, oy*stride+ky-pad, ox*stride+kx-pad, ci] w[ky,kx,ci,co] */
static void conv_forward(const ath_conv_shape *s, const float *x, const float *w, const float *bias, float *y,
                         float *scratch) {
    (void)scratch;
    const int oh = ath_conv_out(s->h, s), ow = ath_conv_out(s->w, s), k = s->kernel;
    const size_t ci = (size_t)s->c_in, co = (size_t)s->c_out;
    for (int n = 0; n < s->n; n++)
        for (int oy = 0; oy < oh; oy++)
            for (int ox = 0; ox < ow; ox++, y += co)
                for (size_t o = 0; o < co; o++) {
                    double sum = bias != NULL ? bias[o] : 0;
                    for (int ky = 0; ky < k; ky++)
                        for (int kx = 0; kx < k; kx++) {
                            const int iy = oy * s->stride + ky - s->pad_before,
                                      ix = ox * s->stride + kx - s->pad_before;
                            if (iy < 0 || iy >= s->h || ix < 0 || ix >= s->w) continue;
                            const float *xp = x + ((size_t)(n * s->h + iy) * (size_t)s->w + (size_t)ix) * ci;
                            const float *wp = w + (size_t)(ky * k + kx) * ci * co + o;
                            for (size_t i = 0; i < ci; i++) sum += (double)xp[i] * (double)wp[i * co];
                        }
                    y[o] = (float)sum;
                }
}

/* dx[n,iy,ix,ci] = sum over the outputs that read it of dy[n,oy,ox,co] w[ky,kx,ci,co] */
static void conv_input_grad(const ath_conv_shape *s, const float *dy, const float *w, float *dx, bool acc,
                            float *scratch) {
    (void)scratch;
    const int oh = ath_conv_out(s->h, s), ow = ath_conv_out(s->w, s), k = s->kernel;
    const size_t ci = (size_t)s->c_in, co = (size_t)s->c_out;
    for (int n = 0; n < s->n; n++)
        for (int iy = 0; iy < s->h; iy++)
            for (int ix = 0; ix < s->w; ix++, dx += ci)
                for (size_t i = 0; i < ci; i++) {
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
                    dx[i] = (float)sum + (acc ? dx[i] : 0);
                }
}

/* dw[ky,kx,ci,co] = sum over n, oy, ox of x[...] dy[n,oy,ox,co];  db[co] = sum of dy */
static void conv_weight_grad(const ath_conv_shape *s, const float *x, const float *dy, float *dw, float *db,
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
                                const size_t p = (size_t)(n * s->h + iy) * (size_t)s->w + (size_t)ix;
                                const size_t q = (size_t)(n * oh + oy) * (size_t)ow + (size_t)ox;
                                sum += (double)x[p * ci + i] * (double)dy[q * co + o];
                            }
                        }
                    *dw++ = (float)sum;
                }
    for (size_t o = 0; db != NULL && o < co; o++) {
        double sum = 0;
        for (size_t p = 0; p < (size_t)s->n * (size_t)oh * (size_t)ow; p++) sum += (double)dy[p * co + o];
        db[o] = (float)sum;
    }
}

static void group_norm_forward(int n, int hw, int c, int groups, float eps, const float *x, const float *gamma,
                               const float *beta, float *y, float *stats) {
    const int per = c / groups;
    for (int b = 0; b < n * groups; b++) {
        const int first = b % groups * per;
        const size_t base = (size_t)(b / groups) * (size_t)hw * (size_t)c;
        double sum = 0, squares = 0;
        for (int p = 0; p < hw; p++)
            for (int j = first; j < first + per; j++) sum += (double)x[base + (size_t)p * (size_t)c + (size_t)j];
        const double mean = sum / ((double)hw * per);
        for (int p = 0; p < hw; p++)
            for (int j = first; j < first + per; j++) {
                const double d = (double)x[base + (size_t)p * (size_t)c + (size_t)j] - mean;
                squares += d * d;
            }
        const double rstd = 1 / sqrt(squares / ((double)hw * per) + (double)eps);
        for (int p = 0; p < hw; p++)
            for (int j = first; j < first + per; j++) {
                const size_t at = base + (size_t)p * (size_t)c + (size_t)j;
                y[at] = (float)(((double)x[at] - mean) * rstd * (double)gamma[j] + (double)beta[j]);
            }
        stats[2 * b] = (float)mean;
        stats[2 * b + 1] = (float)rstd;
    }
}

/* With xhat = (x - mean) rstd and g = gamma dy:
 * dx = rstd (g - mean(g) - xhat mean(g xhat)), means over the group;
 * dgamma = sum dy xhat, dbeta = sum dy, over images and positions. */
static void group_norm_vjp(int n, int hw, int c, int groups, const float *x, const float *gamma, const float *stats,
                           const float *dy, float *dx, bool acc, float *dgamma, float *dbeta) {
    const int per = c / groups;
    for (int j = 0; dgamma != NULL && j < c; j++) {
        double scale = 0, shift = 0;
        for (int b = 0; b < n; b++) {
            const float *st = stats + 2 * (b * groups + j / per);
            for (int p = 0; p < hw; p++) {
                const size_t at = ((size_t)b * (size_t)hw + (size_t)p) * (size_t)c + (size_t)j;
                scale += (double)dy[at] * ((double)x[at] - (double)st[0]) * (double)st[1];
                shift += (double)dy[at];
            }
        }
        dgamma[j] = (float)scale;
        dbeta[j] = (float)shift;
    }
    for (int b = 0; dx != NULL && b < n * groups; b++) {
        const int first = b % groups * per;
        const size_t base = (size_t)(b / groups) * (size_t)hw * (size_t)c;
        const double mean = (double)stats[2 * b], rstd = (double)stats[2 * b + 1], size = (double)hw * per;
        double sum_g = 0, sum_gx = 0;
        for (int p = 0; p < hw; p++)
            for (int j = first; j < first + per; j++) {
                const size_t at = base + (size_t)p * (size_t)c + (size_t)j;
                const double g = (double)gamma[j] * (double)dy[at];
                sum_g += g;
                sum_gx += g * ((double)x[at] - mean) * rstd;
            }
        for (int p = 0; p < hw; p++)
            for (int j = first; j < first + per; j++) {
                const size_t at = base + (size_t)p * (size_t)c + (size_t)j;
                const double xhat = ((double)x[at] - mean) * rstd;
                const double d = rstd * ((double)gamma[j] * (double)dy[at] - sum_g / size - xhat * sum_gx / size);
                dx[at] = (float)d + (acc ? dx[at] : 0);
            }
    }
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
        for (int j = 1; j < cols; j++) top = fmax(top, (double)scale * (double)x[j]);
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

static void attention_forward(const ath_attention_shape *s, const float *q, const float *k, const float *v, float *y,
                              float *scratch) {
    for (int i = 0; i < s->tokens; i++, q += s->stride, y += s->stride) {
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
    .conv_input_grad = conv_input_grad,
    .conv_weight_grad = conv_weight_grad,
    .group_norm_forward = group_norm_forward,
    .group_norm_vjp = group_norm_vjp,
    .silu_forward = silu_forward,
    .silu_vjp = silu_vjp,
    .add = add,
    .copy_rows = copy_rows,
    .affine_rows = affine_rows,
    .sum_rows = sum_rows,
    .softmax_forward = softmax_forward,
    .softmax_vjp = softmax_vjp,
    .attention_scratch_floats = attention_scratch_floats,
    .attention_forward = attention_forward,
    .attention_vjp = attention_vjp,
};
