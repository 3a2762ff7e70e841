/* Evaluating a model's network, and its x0: see denoiser.h. */
#include "model/denoiser.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct evaluation {
    const ath_model *m;
    const float *x, *t, *label, *skip_scales;
    float *f;
} evaluation;

static void evaluate_micro_batch(void *self, int worker, ath_plan *plan, ath_run *run, int first, int index) {
    (void)worker, (void)index;
    const evaluation *e = self;
    const ath_model *m = e->m;
    const size_t len = (size_t)m->image.h * (size_t)m->image.w * (size_t)m->image.c, at = (size_t)first * len;
    const size_t n = (size_t)run->n, skips = (size_t)m->skips;
    memcpy(ath_plan_value(plan, m->x), e->x + at, n * len * sizeof(float));
    memcpy(ath_plan_value(plan, m->t), e->t + first, n * sizeof(float));
    if (m->label.id) memcpy(ath_plan_value(plan, m->label), e->label + first, n * sizeof(float));
    float *scales = ath_plan_value(plan, m->skip_scales);
    for (size_t i = 0; i < n * skips; i++) scales[i] = e->skip_scales ? e->skip_scales[i % skips] : 1.0f;
    ath_plan_forward(plan, run);
    memcpy(e->f + at, ath_plan_value(plan, m->output), n * len * sizeof(float));
}

void ath_evaluate(ath_workers *w, const ath_model *m, int n, const float *x, const float *t, const float *label,
                  const float *skip_scales, float *f) {
    evaluation e = {m, x, t, label, skip_scales, f};
    ath_workers_run(w, n, evaluate_micro_batch, &e);
}

static size_t image_len(const ath_model *m) { return (size_t)m->image.h * (size_t)m->image.w * (size_t)m->image.c; }

ath_status ath_model_denoiser_init(ath_model_denoiser *d, ath_err *err) {
    const ath_model *m = d->model;
    const size_t n = (size_t)d->n, len = n * image_len(m);
    d->x = d->f = d->t = d->null_label = NULL;
    if (d->guidance != 1 && (!m->classes || m->null_class < 0))
        return ath_fail(err, ATH_E_ARG,
                        "guidance %g: this model has no null class; train it with --class-conditional --label-dropout",
                        d->guidance);
    d->x = malloc(len * sizeof *d->x);
    d->f = malloc(2 * len * sizeof *d->f); /* with and without the label */
    d->t = malloc(n * sizeof *d->t);
    d->null_label = malloc(n * sizeof *d->null_label);
    if (!d->x || !d->f || !d->t || !d->null_label) {
        ath_model_denoiser_free(d);
        return ath_fail(err, ATH_E_MEM, "out of memory for %d images", d->n);
    }
    for (size_t i = 0; i < n; i++) d->null_label[i] = (float)m->null_class;
    return ATH_OK;
}

void ath_model_denoiser_free(ath_model_denoiser *d) {
    free(d->x);
    free(d->f);
    free(d->t);
    free(d->null_label);
    d->x = d->f = d->t = d->null_label = NULL;
}

static ath_status denoise(void *self, const double *x, const ath_level *at, size_t each, double *x0, ath_err *err) {
    ath_model_denoiser *d = self;
    const ath_model *m = d->model;
    const size_t n = (size_t)d->n, dim = image_len(m), len = n * dim;
    for (size_t i = 0; i < n; i++) {
        const double scale = ath_prediction_input_scale(m->prediction, at[i * each], m->sigma_data);
        for (size_t j = i * dim; j < (i + 1) * dim; j++) d->x[j] = (float)(scale * x[j]);
        d->t[i] = (float)at[i * each].t;
    }
    ath_evaluate(d->workers, m, d->n, d->x, d->t, d->label, d->skip_scales, d->f);
    if (d->guidance != 1) {
        float *null = d->f + len;
        ath_evaluate(d->workers, m, d->n, d->x, d->t, d->null_label, d->skip_scales, null);
        const float g = (float)d->guidance;
        for (size_t i = 0; i < len; i++) d->f[i] = null[i] + g * (d->f[i] - null[i]);
    }
    for (size_t i = 0; i < n; i++) {
        const ath_to_x0 k = ath_prediction_to_x0(m->prediction, at[i * each], m->sigma_data);
        if (!isfinite(k.k_x) || !isfinite(k.k_f))
            return ath_fail(err, ATH_E_ARG, "%s cannot be turned into an image at pure noise (alpha = 0)",
                            ath_prediction_name(m->prediction));
        for (size_t j = i * dim; j < (i + 1) * dim; j++) x0[j] = k.k_x * x[j] + k.k_f * (double)d->f[j];
    }
    if (d->clip)
        for (size_t i = 0; i < len; i++) x0[i] = x0[i] > 1 ? 1 : x0[i] < -1 ? -1 : x0[i];
    return ATH_OK;
}

ath_denoiser ath_model_denoiser_as(ath_model_denoiser *d) { return (ath_denoiser){d, denoise}; }
