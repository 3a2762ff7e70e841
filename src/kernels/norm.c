/* The arithmetic of groups, in double, between the kernels' passes over the images: see norm.h. */
#include "kernels/norm.h"
#include <math.h>
#include <string.h>

size_t ath_norm_work_floats(int channels) { return 14 * (size_t)channels + 16; }

/* Work memory, a number a channel each. */
typedef struct sheet {
    double *sum, *product, *dgamma, *dbeta;
    float *m, *a, *b, *e;
} sheet;

static sheet sheet_of(float *work, int channels) {
    const size_t c = (size_t)channels;
    double *d = (double *)(void *)work;
    float *f = work + 8 * c;
    return (sheet){d, d + c, d + 2 * c, d + 3 * c, f, f + c, f + 2 * c, f + 3 * c};
}

static int channels_of(const ath_norm *v) { return v->c[0] + v->c[1]; }
static const float *part(const ath_norm *v, int image, int j) {
    return v->x[j] + (size_t)image * (size_t)v->hw * (size_t)v->c[j];
}
static double part_scale(const ath_norm *v, int image, int j) {
    return j == 1 && v->part_scale ? (double)v->part_scale[(size_t)image * v->part_step] : 1;
}

/* Sum and squares of part j, one number a channel each. */
static void part_moments(const ath_kernels *k, const ath_norm *v, int image, int j, double *sum, double *squares) {
    const size_t c = (size_t)v->c[j];
    if (!v->moments[j]) {
        k->moments(v->hw, v->c[j], part(v, image, j), sum, squares);
        return;
    }
    const double *known = v->moments[j] + 2 * (size_t)image * c;
    memcpy(sum, known, c * sizeof *sum);
    memcpy(squares, known + c, c * sizeof *squares);
}

static void image_stats(const ath_kernels *k, const ath_norm *v, int image, float *stats, sheet s) {
    const int per = channels_of(v) / v->groups;
    const double hw = (double)v->hw;
    for (int j = 0, first = 0; j < 2; first += v->c[j++])
        if (v->c[j]) part_moments(k, v, image, j, s.sum + first, s.product + first);
    for (int g = 0; g < v->groups; g++) {
        double total = 0, squares = 0;
        for (int c = g * per; c < (g + 1) * per; c++) {
            const int j = c >= v->c[0];
            s.dgamma[c] = part_scale(v, image, j) * (double)part(v, image, j)[j ? c - v->c[0] : c];
            total += hw * s.dgamma[c] + part_scale(v, image, j) * s.sum[c];
        }
        const double mean = total / (hw * per);
        for (int c = g * per; c < (g + 1) * per; c++) {
            const double scale = part_scale(v, image, c >= v->c[0]), off = s.dgamma[c] - mean;
            squares += scale * scale * s.product[c] + 2 * off * scale * s.sum[c] + hw * off * off;
        }
        stats[2 * g] = (float)mean;
        stats[2 * g + 1] = (float)(1 / sqrt(fmax(squares, 0) / (hw * per) + (double)v->eps));
    }
}

void ath_norm_stats(const ath_kernels *k, const ath_norm *v, int first, int count, float *stats, float *work) {
    const sheet s = sheet_of(work, channels_of(v));
    for (int i = first; i < first + count; i++) image_stats(k, v, i, stats + 2 * (size_t)i * (size_t)v->groups, s);
}

/* y = (x - m) a + b before the activation. A scaled part has its mean in b. */
static void coefficients(const ath_norm *v, int image, const float *stats, sheet s) {
    const int channels = channels_of(v), per = channels / v->groups;
    stats += 2 * (size_t)image * (size_t)v->groups;
    for (int c = 0; c < channels; c++) {
        const double mean = (double)stats[2 * (c / per)], rstd = (double)stats[2 * (c / per) + 1];
        const double times = part_scale(v, image, c >= v->c[0]);
        const size_t at = (size_t)image * (size_t)channels + (size_t)c;
        const double more = v->scale ? 1 + (double)v->scale[at] : 1, shift = v->shift ? (double)v->shift[at] : 0;
        const double a = rstd * (double)v->gamma[c] * more, b = (double)v->beta[c] * more + shift;
        s.m[c] = times == 1 ? (float)mean : 0;
        s.a[c] = (float)(a * times);
        s.b[c] = (float)(times == 1 ? b : b - mean * a);
    }
}

void ath_norm_apply(const ath_kernels *k, const ath_norm *v, const float *stats, int first, int count, float *y,
                    float *work) {
    const size_t channels = (size_t)channels_of(v);
    const sheet s = sheet_of(work, channels_of(v));
    for (int i = first; i < first + count; i++, y += (size_t)v->hw * channels) {
        coefficients(v, i, stats, s);
        for (int j = 0, at = 0; j < 2; at += v->c[j++])
            if (v->c[j])
                k->affine(v->hw, v->c[j], part(v, i, j), (ath_affine){s.m + at, s.a + at, s.b + at}, v->silu, y + at,
                          channels);
    }
}

void ath_norm_forward(const ath_kernels *k, const ath_norm *v, float *stats, int first, int count, float *y,
                      float *work) {
    const size_t image = (size_t)v->hw * (size_t)channels_of(v);
    for (int i = 0; i < count; i++) {
        ath_norm_stats(k, v, first + i, 1, stats, work);
        ath_norm_apply(k, v, stats, first + i, 1, y + (size_t)i * image, work);
    }
}

/* What one image's sums give to the parameters and to scale and shift. */
static void image_params(const ath_norm *v, int image, const float *stats, ath_norm_grads to, sheet s) {
    const int channels = channels_of(v), per = channels / v->groups;
    for (int c = 0; c < channels; c++) {
        const double mean = (double)stats[2 * (c / per)], rstd = (double)stats[2 * (c / per) + 1];
        const double times = part_scale(v, image, c >= v->c[0]);
        /* sum of d (x - mean) rstd: with a scaled part the kernel took x as it is */
        if (times != 1) s.product[c] = times * s.product[c] - mean * s.sum[c];
        const double hat = s.product[c] * rstd;
        const size_t at = (size_t)image * (size_t)channels + (size_t)c;
        const double more = v->scale ? 1 + (double)v->scale[at] : 1;
        s.dgamma[c] += more * hat;
        s.dbeta[c] += more * s.sum[c];
        const float dscale = (float)((double)v->gamma[c] * hat + (double)v->beta[c] * s.sum[c]);
        if (to.dscale) to.dscale[at] = (to.acc_scale ? to.dscale[at] : 0) + dscale;
        if (to.dshift) to.dshift[at] = (to.acc_shift ? to.dshift[at] : 0) + (float)s.sum[c];
    }
}

/* With g = d gamma (1 + scale): dx = rstd (g - mean(g) - xhat mean(g xhat)), that is d a + (x - m) b + e a channel. */
static void image_dx(const ath_kernels *k, const ath_norm *v, int image, const float *stats, const float *d,
                     ath_norm_grads to, sheet s) {
    const int channels = channels_of(v), per = channels / v->groups;
    const double size = (double)v->hw * per;
    for (int g = 0; g < v->groups; g++) {
        const double mean = (double)stats[2 * g], rstd = (double)stats[2 * g + 1];
        double sum = 0, product = 0;
        for (int pass = 0; pass < 2; pass++)
            for (int c = g * per; c < (g + 1) * per; c++) {
                const size_t at = (size_t)image * (size_t)channels + (size_t)c;
                const double weight = (double)v->gamma[c] * (v->scale ? 1 + (double)v->scale[at] : 1);
                if (pass == 0) {
                    sum += weight * s.sum[c];
                    product += weight * s.product[c] * rstd;
                    continue;
                }
                const double times = part_scale(v, image, c >= v->c[0]);
                const double b = -rstd * rstd * product / size, e = -rstd * sum / size;
                s.m[c] = times == 1 ? (float)mean : 0;
                s.a[c] = (float)(rstd * weight * times);
                s.b[c] = (float)(b * times * times);
                s.e[c] = (float)(times == 1 ? e : times * (e - mean * b));
            }
    }
    for (int j = 0, at = 0; j < 2; at += v->c[j++])
        if (v->c[j] && to.dx[j])
            k->affine_grad(v->hw, v->c[j], part(v, image, j), (ath_affine){s.m + at, s.a + at, s.b + at}, s.e + at,
                           d + at, (size_t)channels, to.dx[j] + (size_t)image * (size_t)v->hw * (size_t)v->c[j],
                           to.acc[j]);
}

void ath_norm_vjp(const ath_kernels *k, const ath_norm *v, const float *stats, int first, int count, float *d,
                  ath_norm_grads to, float *work) {
    const int channels = channels_of(v);
    const sheet s = sheet_of(work, channels);
    for (int c = 0; first == 0 && c < channels; c++) s.dgamma[c] = s.dbeta[c] = 0;
    for (int i = first; i < first + count; i++, d += (size_t)v->hw * (size_t)channels) {
        const float *of_image = stats + 2 * (size_t)i * (size_t)v->groups;
        coefficients(v, i, stats, s);
        for (int j = 0, at = 0; j < 2; at += v->c[j++])
            if (v->c[j])
                k->affine_sums(v->hw, v->c[j], part(v, i, j), (ath_affine){s.m + at, s.a + at, s.b + at}, v->silu,
                               d + at, (size_t)channels, s.sum + at, s.product + at);
        image_params(v, i, of_image, to, s);
        if (to.dx[0] || to.dx[1]) image_dx(k, v, i, of_image, d, to, s);
    }
    for (int c = 0; first + count == v->n && c < channels; c++) {
        if (to.dgamma) to.dgamma[c] = (to.acc_params ? to.dgamma[c] : 0) + (float)s.dgamma[c];
        if (to.dbeta) to.dbeta[c] = (to.acc_params ? to.dbeta[c] : 0) + (float)s.dbeta[c];
    }
}
