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
    .softmax_forward = softmax_forward,
    .softmax_vjp = softmax_vjp,
    .adamw = adamw,
    .sum_squares = sum_squares,
};
