/* AdamW and EMA: see optimizer.h. Work is split by parameter and by blocks of fixed size,
 * so that no sum depends on the number of threads. */
#include "train/optimizer.h"
#include <math.h>
#include <stdlib.h>

enum { BLOCK = 8192 };

static double block_norm(const float *grad, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)grad[i] * (double)grad[i];
    return sum;
}

double ath_grad_norm(const ath_graph *g, const float *grad, int threads) {
    const size_t total = ath_param_total(g), blocks = (total + BLOCK - 1) / BLOCK;
    double sum = 0;
#pragma omp parallel for ordered num_threads(threads) schedule(static, 1)
    for (size_t b = 0; b < blocks; b++) {
        const size_t n = total - b * BLOCK < BLOCK ? total - b * BLOCK : BLOCK;
        const double part = block_norm(grad + b * BLOCK, n);
#pragma omp ordered
        sum += part;
    }
    return sqrt(sum);
}

/* What one update multiplies by, the same for every element. rest is 1 - beta, rounded once: subtracting the rounded
 * beta2 from 1 would be 1e-5 off for 0.999. */
typedef struct factors {
    float beta1, rest1, beta2, rest2, step, root2, eps, shrink, scale, average;
} factors;

static void update(size_t n, factors f, float *w, float *ema, float *m, float *v, const float *grad) {
    for (size_t i = 0; i < n; i++) {
        const float g = f.scale * grad[i];
        m[i] = f.beta1 * m[i] + f.rest1 * g;
        v[i] = f.beta2 * v[i] + f.rest2 * g * g;
        w[i] = f.shrink * w[i] - f.step * m[i] / (sqrtf(v[i]) * f.root2 + f.eps);
        ema[i] += f.average * (w[i] - ema[i]);
    }
}

void ath_adamw_step(const ath_graph *g, const ath_adamw *o, uint64_t t, double norm, ath_weights a, int threads) {
    const double scale = o->clip_norm > 0 && norm > o->clip_norm ? o->clip_norm / norm : 1;
    const factors plain = {.beta1 = (float)o->beta1,
                           .rest1 = (float)(1 - o->beta1),
                           .beta2 = (float)o->beta2,
                           .rest2 = (float)(1 - o->beta2),
                           .step = (float)(o->lr / (1 - pow(o->beta1, (double)t))),
                           .root2 = (float)(1 / sqrt(1 - pow(o->beta2, (double)t))),
                           .eps = (float)o->eps,
                           .shrink = 1,
                           .scale = (float)scale,
                           .average = (float)(1 - o->ema_decay)};
    const int n_params = ath_param_count(g);
#pragma omp parallel num_threads(threads)
    for (int i = 0; i < n_params; i++) {
        const ath_param *p = ath_param_at(g, i);
        factors f = plain;
        if (p->decay) f.shrink = (float)(1 - o->lr * o->weight_decay);
        const size_t blocks = (p->len + BLOCK - 1) / BLOCK;
#pragma omp for schedule(static) nowait
        for (size_t b = 0; b < blocks; b++) {
            const size_t at = p->offset + b * BLOCK, n = p->len - b * BLOCK < BLOCK ? p->len - b * BLOCK : BLOCK;
            update(n, f, a.w + at, a.ema + at, a.m + at, a.v + at, a.grad + at);
        }
    }
}

double ath_ema_decay(double decay, uint64_t step) {
    const double warm = (1 + (double)step) / (10 + (double)step);
    return warm < decay ? warm : decay;
}
