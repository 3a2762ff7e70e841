/* AdamW and EMA: see optimizer.h. Work is split into a fixed number of parts, so that no
 * sum depends on the number of threads. */
#include "train/optimizer.h"
#include <math.h>
#include <stdlib.h>

enum { PARTS = 256 };

/* Part `part` of n numbers begins here. */
static size_t part_begin(size_t n, int part) { return n / PARTS * (size_t)part + n % PARTS * (size_t)part / PARTS; }

typedef struct norm_job {
    size_t n;
    const float *grad;
    double sum[PARTS];
} norm_job;

static void norm_part(void *self, int part) {
    norm_job *job = self;
    double sum = 0;
    const size_t end = part_begin(job->n, part + 1);
    for (size_t i = part_begin(job->n, part); i < end; i++) sum += (double)job->grad[i] * (double)job->grad[i];
    job->sum[part] = sum;
}

double ath_grad_norm(ath_pool *pool, size_t n, const float *grad) {
    norm_job job = {.n = n, .grad = grad};
    ath_pool_each(pool, PARTS, norm_part, &job);
    double sum = 0;
    for (int i = 0; i < PARTS; i++) sum += job.sum[i];
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

typedef struct update_job {
    const ath_graph *g;
    factors plain;
    float shrink; /* of parameters that decay */
    ath_weights a;
} update_job;

/* A part may hold pieces of several parameters, which decay or do not. */
static void update_part(void *self, int part) {
    const update_job *job = self;
    const size_t total = ath_param_total(job->g), begin = part_begin(total, part), end = part_begin(total, part + 1);
    for (int i = 0; i < ath_param_count(job->g); i++) {
        const ath_param *p = ath_param_at(job->g, i);
        const size_t from = p->offset > begin ? p->offset : begin;
        const size_t to = p->offset + p->len < end ? p->offset + p->len : end;
        if (from >= to) continue;
        factors f = job->plain;
        if (p->decay) f.shrink = job->shrink;
        const ath_weights a = job->a;
        update(to - from, f, a.w + from, a.ema + from, a.m + from, a.v + from, a.grad + from);
    }
}

void ath_adamw_step(ath_pool *pool, const ath_graph *g, const ath_adamw *o, uint64_t t, double norm, ath_weights a) {
    const double scale = o->clip_norm > 0 && norm > o->clip_norm ? o->clip_norm / norm : 1;
    update_job job = {.g = g, .shrink = (float)(1 - o->lr * o->weight_decay), .a = a};
    job.plain = (factors){.beta1 = (float)o->beta1,
                          .rest1 = (float)(1 - o->beta1),
                          .beta2 = (float)o->beta2,
                          .rest2 = (float)(1 - o->beta2),
                          .step = (float)(o->lr / (1 - pow(o->beta1, (double)t))),
                          .root2 = (float)(1 / sqrt(1 - pow(o->beta2, (double)t))),
                          .eps = (float)o->eps,
                          .shrink = 1,
                          .scale = (float)scale,
                          .average = (float)(1 - o->ema_decay)};
    ath_pool_each(pool, PARTS, update_part, &job);
}

double ath_ema_decay(double decay, uint64_t step) {
    const double warm = (1 + (double)step) / (10 + (double)step);
    return warm < decay ? warm : decay;
}
