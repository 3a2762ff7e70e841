/* The training objective on one batch: see batch.h. */
#include "train/batch.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/normal.h"

struct ath_batch {
    ath_batch_rules r;
    ath_workers *workers;
    ath_grad_sum *sum;
    uint64_t step;
    size_t dim;
    int micro;
    double *loss;   /* (batch), summed in order at the end */
    float *scratch; /* of each worker: x0, eps, and the targets of its micro-batch */
};

/* The level below which a share u of all levels lies: timesteps of a schedule are equally likely, t of a flow is uniform,
 * and log sigma of EDM's normal. */
static ath_level level_at(const ath_process *p, double u) {
    static const double edm_mean = -1.2, edm_std = 1.2; /* P_mean, P_std: Karras et al. 2022, table 1 */
    const double least = 0x1p-53;
    if (p->kind == ATH_PROCESS_VP) {
        const int T = p->schedule->timesteps, t = (int)(u * T);
        return ath_schedule_level(p->schedule, t < T ? t : T - 1);
    }
    u = fmin(fmax(u, least), 1 - least);
    return ath_process_level(p, p->kind == ATH_PROCESS_FLOW ? u / (1 - u)
                                                            : exp(edm_mean + edm_std * ath_normal_quantile(u)));
}

ath_draw ath_batch_draw(const ath_batch_rules *r, uint64_t step, int i, float *x0, float *eps) {
    const uint64_t k = step * (uint64_t)r->batch + (uint64_t)i, n = (uint64_t)r->data->n;
    const uint64_t item = ath_rng_permute(r->rng, ATH_S_SHUFFLE, k / n, k % n, n);
    const bool mirror = r->flip && ath_rng_uniform1(r->rng, ATH_S_AUGMENT, 2 * k) < 0.5;
    ath_dataset_image(r->data, (int)item, mirror, x0);
    ath_rng_normal(r->rng, ATH_S_NOISE, k, eps, (size_t)r->data->h * (size_t)r->data->w * (size_t)r->data->c);
    const double u = ath_rng_uniform1(r->rng, ATH_S_TIMESTEP, k);
    ath_draw draw = {.level = level_at(&r->model->process, (i + u) / r->batch)};
    if (r->model->classes) {
        draw.label = (float)r->data->label[item];
        if (r->label_dropout > 0 && ath_rng_uniform1(r->rng, ATH_S_AUGMENT, 2 * k + 1) < r->label_dropout)
            draw.label = (float)r->model->null_class;
    }
    return draw;
}

ath_status ath_batch_create(ath_batch **out, const ath_batch_rules *rules, ath_workers *workers, ath_err *err) {
    *out = NULL;
    ath_batch *b = calloc(1, sizeof *b);
    if (!b) return ath_fail(err, ATH_E_MEM, "out of memory for a batch");
    b->r = *rules;
    b->workers = workers;
    b->micro = ath_workers_micro_batch(workers);
    b->dim = (size_t)rules->data->h * (size_t)rules->data->w * (size_t)rules->data->c;
    b->loss = calloc((size_t)rules->batch, sizeof *b->loss);
    b->scratch = calloc((size_t)ath_workers_threads(workers) * (size_t)(2 + b->micro) * b->dim, sizeof *b->scratch);
    ath_status status = b->loss && b->scratch ? ath_grad_sum_create(&b->sum, rules->model->graph, err)
                                              : ath_fail(err, ATH_E_MEM, "out of memory for a batch");
    if (status != ATH_OK) {
        ath_batch_destroy(b);
        return status;
    }
    *out = b;
    return ATH_OK;
}

void ath_batch_destroy(ath_batch *b) {
    if (!b) return;
    ath_grad_sum_destroy(b->sum);
    free(b->loss);
    free(b->scratch);
    free(b);
}

/* The loss of one image; df = d(loss of the batch)/dF. */
static double squared_error(size_t dim, double weight, int batch, const float *f, const float *target, float *df) {
    const float slope = (float)(2 * weight / ((double)dim * batch));
    double sum = 0;
    for (size_t i = 0; i < dim; i++) {
        const float d = f[i] - target[i];
        sum += (double)d * (double)d;
        df[i] = slope * d;
    }
    return weight * sum / (double)dim;
}

static void micro_batch_gradient(void *self, int worker, ath_plan *plan, ath_run *run, int first, int index) {
    ath_batch *b = self;
    const ath_model *m = b->r.model;
    float *x0 = b->scratch + (size_t)worker * (size_t)(2 + b->micro) * b->dim, *eps = x0 + b->dim;
    float *target = eps + b->dim, *x = ath_plan_value(plan, m->x), *label = ath_plan_value(plan, m->label);
    double weight[256];
    for (int i = 0; i < run->n; i++) {
        const ath_draw draw = ath_batch_draw(&b->r, b->step, first + i, x0, eps);
        const double scale = ath_prediction_input_scale(m->prediction, draw.level, m->sigma_data);
        const float alpha = (float)(scale * draw.level.alpha), sigma = (float)(scale * draw.level.sigma);
        for (size_t j = 0; j < b->dim; j++) x[(size_t)i * b->dim + j] = alpha * x0[j] + sigma * eps[j];
        ath_prediction_target(m->prediction, draw.level, m->sigma_data, b->dim, x0, eps, target + (size_t)i * b->dim);
        ath_plan_value(plan, m->t)[i] = (float)draw.level.t;
        if (label) label[i] = draw.label;
        weight[i] = ath_loss_weight_at(b->r.weight, m->prediction, draw.level, m->sigma_data);
    }
    float *scales = ath_plan_value(plan, m->skip_scales);
    for (int i = 0; i < run->n * m->skips; i++) scales[i] = 1;
    run->training = true;
    run->rng = b->r.rng;
    run->first_image = b->step * (uint64_t)b->r.batch + (uint64_t)first;
    ath_plan_forward(plan, run);
    const float *f = ath_plan_value(plan, m->output);
    float *df = ath_plan_grad(plan, m->output);
    for (int i = 0; i < run->n; i++) {
        const size_t at = (size_t)i * b->dim;
        b->loss[first + i] = squared_error(b->dim, weight[i], b->r.batch, f + at, target + at, df + at);
    }
    ath_plan_vjp(plan, run, b->sum, index);
}

double ath_batch_gradient(ath_batch *b, uint64_t step, float *grad) {
    b->step = step;
    ath_grad_sum_begin(b->sum, grad);
    ath_workers_run(b->workers, b->r.batch, micro_batch_gradient, b);
    double sum = 0;
    for (int i = 0; i < b->r.batch; i++) sum += b->loss[i];
    return sum / b->r.batch;
}
