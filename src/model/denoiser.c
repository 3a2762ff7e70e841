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
    for (size_t i = 0; i < n * skips; i++)
        scales[i] = e->skip_scales ? e->skip_scales[(size_t)first * skips + i] : 1.0f;
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
    const size_t slots = (size_t)d->n * (d->guidance == 1 ? 1 : 2), dim = image_len(m);
    d->x = d->f = d->t = d->labels = d->scales = NULL;
    d->work = NULL;
    if (d->guidance != 1 && (!m->classes || m->null_class < 0))
        return ath_fail(err, ATH_E_ARG,
                        "guidance %g: this model has no null class; train it with --class-conditional --label-dropout",
                        d->guidance);
    ATH_TRY(ath_shaping_check(&d->shaping, err));
    d->x = malloc(slots * dim * sizeof *d->x);
    d->f = malloc(slots * dim * sizeof *d->f);
    d->t = malloc(slots * sizeof *d->t);
    d->labels = malloc(slots * sizeof *d->labels);
    d->scales = malloc((slots * (size_t)m->skips + 1) * sizeof *d->scales);
    d->work = malloc(2 * dim * sizeof *d->work);
    if (!d->x || !d->f || !d->t || !d->labels || !d->scales || !d->work) {
        ath_model_denoiser_free(d);
        return ath_fail(err, ATH_E_MEM, "out of memory for %d images", d->n);
    }
    return ATH_OK;
}

void ath_model_denoiser_free(ath_model_denoiser *d) {
    free(d->x);
    free(d->f);
    free(d->t);
    free(d->labels);
    free(d->scales);
    free(d->work);
    d->x = d->f = d->t = d->labels = d->scales = NULL;
    d->work = NULL;
}

static bool is_guided(const ath_model_denoiser *d, ath_level at) {
    return d->guidance != 1 && ath_level_within(at, d->shaping.guidance_low, d->shaping.guidance_high);
}

/* One image into a slot of the batch to be evaluated. */
static void place(ath_model_denoiser *d, size_t slot, const double *x, ath_level at, float label) {
    const ath_model *m = d->model;
    const size_t dim = image_len(m), skips = (size_t)m->skips;
    const double scale = ath_prediction_input_scale(m->prediction, at, m->sigma_data);
    for (size_t j = 0; j < dim; j++) d->x[slot * dim + j] = (float)(scale * x[j]);
    d->t[slot] = (float)at.t;
    d->labels[slot] = label;
    const bool scaled = d->skip_scales && ath_level_within(at, d->shaping.skip_low, d->shaping.skip_high);
    for (size_t k = 0; k < skips; k++) d->scales[slot * skips + k] = scaled ? d->skip_scales[k] : 1;
}

/* x0 of one image from what the network said in a slot. */
static ath_status x0_from(const ath_model_denoiser *d, size_t slot, const double *x, ath_level at, double *x0,
                          ath_err *err) {
    const ath_model *m = d->model;
    const size_t dim = image_len(m);
    const ath_to_x0 k = ath_prediction_to_x0(m->prediction, at, m->sigma_data);
    if (!isfinite(k.k_x) || !isfinite(k.k_f))
        return ath_fail(
            err, ATH_E_ARG,
            "%s cannot be turned into an image at pure noise (timestep %g, alpha = 0): use a spacing that keeps "
            "away from there, as leading or karras",
            ath_prediction_name(m->prediction), at.t);
    for (size_t j = 0; j < dim; j++) x0[j] = k.k_x * x[j] + k.k_f * (double)d->f[slot * dim + j];
    return ATH_OK;
}

/* With and without the label they are one batch, so that a single image keeps two workers busy. */
static ath_status denoise(void *self, const double *x, const ath_level *at, size_t each, double *x0, ath_err *err) {
    ath_model_denoiser *d = self;
    const ath_model *m = d->model;
    const size_t n = (size_t)d->n, dim = image_len(m);
    size_t slots = n;
    for (size_t i = 0; i < n; i++) {
        place(d, i, x + i * dim, at[i * each], d->label ? d->label[i] : 0);
        if (is_guided(d, at[i * each])) place(d, slots++, x + i * dim, at[i * each], (float)m->null_class);
    }
    ath_evaluate(d->workers, m, (int)slots, d->x, d->t, d->labels, d->scales, d->f);
    slots = n;
    double *null = d->work, *spare = null + dim;
    for (size_t i = 0; i < n; i++) {
        double *y = x0 + i * dim;
        ATH_TRY(x0_from(d, i, x + i * dim, at[i * each], y, err));
        if (is_guided(d, at[i * each])) {
            ATH_TRY(x0_from(d, slots++, x + i * dim, at[i * each], null, err));
            ath_guide_x0(y, null, dim, d->guidance, d->shaping.guidance_rescale);
        }
        ath_shape_x0(&d->shaping, d->clip, y, dim, spare);
    }
    return ATH_OK;
}

ath_denoiser ath_model_denoiser_as(ath_model_denoiser *d) { return (ath_denoiser){d, denoise}; }
