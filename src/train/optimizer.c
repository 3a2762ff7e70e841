/* AdamW and EMA: see optimizer.h. Work is split into a fixed number of parts, so that no
 * sum depends on the number of threads. */
#include "train/optimizer.h"
#include <math.h>
#include "kernels/kernels.h"

enum { PARTS = 256 };

/* Part `part` of n numbers begins here. */
static size_t part_begin(size_t n, int part) { return n / PARTS * (size_t)part + n % PARTS * (size_t)part / PARTS; }

typedef struct norm_job {
    const ath_kernels *k;
    size_t n;
    const float *grad;
    double sum[PARTS];
} norm_job;

static void norm_part(void *self, int part) {
    norm_job *job = self;
    const size_t begin = part_begin(job->n, part), end = part_begin(job->n, part + 1);
    job->sum[part] = job->k->sum_squares(end - begin, job->grad + begin);
}

double ath_grad_norm(ath_pool *pool, size_t n, const float *grad) {
    norm_job job = {.k = ath_kernels_best(), .n = n, .grad = grad};
    ath_pool_each(pool, PARTS, norm_part, &job);
    double sum = 0;
    for (int i = 0; i < PARTS; i++) sum += job.sum[i];
    return sqrt(sum);
}

typedef struct update_job {
    const ath_kernels *k;
    const ath_graph *g;
    ath_adamw_factors plain;
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
        ath_adamw_factors f = job->plain;
        if (p->decay) f.shrink = job->shrink;
        const ath_weights a = job->a;
        job->k->adamw(to - from, &f, a.w + from, a.ema + from, a.m + from, a.v + from, a.grad + from);
    }
}

void ath_adamw_step(ath_pool *pool, const ath_graph *g, const ath_adamw *o, uint64_t t, double norm, ath_weights a) {
    const double scale = o->clip_norm > 0 && norm > o->clip_norm ? o->clip_norm / norm : 1;
    update_job job = {.k = ath_kernels_best(), .g = g, .shrink = (float)(1 - o->lr * o->weight_decay), .a = a};
    /* 1 - beta is rounded once: subtracting the rounded beta2 from 1 would be 1e-5 off for 0.999. */
    job.plain = (ath_adamw_factors){.beta1 = (float)o->beta1,
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
