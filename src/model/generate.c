/* Chunks of images through a sampler: see generate.h. */
#include "model/generate.h"
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 256, PILOT = 32 };
static const ath_rng pilot_seed = {0x70696c6f74}; /* "pilot" */

/* One chunk in progress. */
typedef struct chunk {
    ath_generate_job *job;
    size_t dim;
    int first, n, done, total;
    const double *x0_variance;
    double *pilot; /* in a pilot run: x0_variance, as it is measured */
} chunk;

static ath_status step_done(void *user, int step, const double *x, const double *x0) {
    chunk *c = user;
    c->done++;
    if (!c->job->on_step) return ATH_OK;
    return c->job->on_step(c->job->user, c->done, c->total, c->first, c->pilot ? 0 : c->n, step, x, x0);
}

static ath_status given_noise(void *self, int k, double *out, ath_err *err) {
    const chunk *c = self;
    if (k >= c->job->n_noise)
        return ath_fail(err, ATH_E_ARG, "noise: the sampler draws more than the %d tensors given", c->job->n_noise);
    const size_t at = ((size_t)k * (size_t)c->job->count + (size_t)c->first) * c->dim;
    memcpy(out, c->job->noise + at, (size_t)c->n * c->dim * sizeof *out);
    return ATH_OK;
}

void ath_generate_start(const ath_source *s, const ath_generate_job *job, int first, int n, double *x) {
    const ath_level at = job->level[0];
    const size_t len = (size_t)n * s->dim;
    if (job->start)
        memcpy(x, job->start + (size_t)first * s->dim, len * sizeof *x);
    else
        for (int i = 0; i < n; i++)
            ath_rng_normal_f64(job->rng, ATH_S_START, (uint64_t)(first + i), x + (size_t)i * s->dim, s->dim);
    if (job->start && job->start_is_state) return;
    /* Processes that keep the variance start at N(0, I), whatever is left of the signal there. */
    const double scale = s->process.kind == ATH_PROCESS_VE ? at.sigma : 1;
    for (size_t i = 0; i < len; i++) x[i] *= scale;
}

ath_status ath_job_net_init(ath_job_net *d, const ath_source *s, const ath_generate_job *job, int first, int n,
                            ath_err *err) {
    const int neighbours = job->images_per_path > 1 ? job->images_per_path : 1;
    *d = (ath_job_net){.exact = {s->mixture, s->pool, (size_t)n, job->clip}};
    d->net = ath_mixture_denoiser_as(&d->exact);
    if (s->exact) return ATH_OK;
    d->label = malloc((size_t)n * sizeof *d->label);
    if (!d->label) return ath_fail(err, ATH_E_MEM, "out of memory for %d images", n);
    for (int i = 0; i < n; i++) {
        const int in_turn = s->classes ? (first + i) / neighbours % s->classes : 0;
        d->label[i] = (float)(job->labels ? job->labels[first + i] : job->label >= 0 ? job->label : in_turn);
    }
    d->model = (ath_model_denoiser){.model = s->model,
                                    .workers = s->workers,
                                    .n = n,
                                    .label = d->label,
                                    .guidance = job->guidance,
                                    .clip = job->clip,
                                    .skip_scales = job->skip_scales,
                                    .shaping = job->shaping};
    d->net = ath_model_denoiser_as(&d->model);
    const ath_status status = ath_model_denoiser_init(&d->model, err);
    if (status != ATH_OK) ath_job_net_free(d);
    return status;
}

void ath_job_net_free(ath_job_net *d) {
    ath_model_denoiser_free(&d->model);
    free(d->label);
    d->label = NULL;
}

static ath_status run_chunk(const ath_source *s, chunk *c, double *x, ath_err *err) {
    ath_generate_job *job = c->job;
    ath_job_net d;
    ath_generate_start(s, job, c->first, c->n, x);
    ATH_TRY(ath_job_net_init(&d, s, job, c->first, c->n, err));
    ath_sample_job run = {.net = d.net,
                          .process = s->process,
                          .level = job->level,
                          .n_steps = job->n_steps,
                          .x = x,
                          .n = (size_t)c->n,
                          .dim = c->dim,
                          .config = job->sampler_config,
                          .rng = job->rng,
                          .first_image = (uint64_t)c->first,
                          .images_per_path = (uint64_t)job->images_per_path,
                          .x0_variance = c->x0_variance,
                          .pilot = c->pilot,
                          .pilot_most = s->mixture ? s->mixture->scale * s->mixture->scale : 1,
                          .on_step = step_done,
                          .user = c,
                          .err = err};
    if (job->noise) run.noise = (ath_noise_source){c, given_noise};
    const ath_status status = ath_sampler_run(job->sampler, &run);
    if (run.nfe > job->nfe) job->nfe = run.nfe;
    job->draws = run.draws;
    ath_job_net_free(&d);
    return status;
}

/* Measures x0_variance, (n_steps): on images that the ones asked for do not depend on, nor on how many those are. */
static ath_status run_pilot(const ath_source *s, chunk *c, double *x, double *variance, ath_err *err) {
    ath_generate_job job = *c->job;
    job.rng = pilot_seed;
    job.start = job.noise = NULL;
    job.labels = NULL;
    job.images_per_path = 0;
    chunk pilot = {.job = &job, .dim = c->dim, .n = PILOT, .total = c->total, .pilot = variance};
    const ath_status status = run_chunk(s, &pilot, x, err);
    c->done = pilot.done;
    c->x0_variance = variance;
    return status;
}

ath_status ath_generate(const ath_source *s, ath_generate_job *job, float *out, ath_err *err) {
    if (s->exact && job->shaping.threshold > 0)
        return ath_fail(err, ATH_E_ARG, "threshold: an exact model's images are not thresholded");
    const size_t dim = s->dim, most = (size_t)(job->count < PILOT ? PILOT : job->count < CHUNK ? job->count : CHUNK);
    const bool pilot = ath_sampler_needs_x0_variance(job->sampler, job->sampler_config) && !job->x0_variance;
    double *x = malloc(most * dim * sizeof *x), *variance = calloc((size_t)job->n_steps + 1, sizeof *variance);
    ath_status status = x && variance ? ATH_OK : ath_fail(err, ATH_E_MEM, "out of memory for %zu images", most);
    const int runs = (job->count + CHUNK - 1) / CHUNK + pilot;
    chunk c = {.job = job, .dim = dim, .total = runs * job->n_steps, .x0_variance = job->x0_variance};
    job->nfe = job->draws = 0;
    if (status == ATH_OK && pilot) status = run_pilot(s, &c, x, variance, err);
    for (c.first = 0; c.first < job->count && status == ATH_OK; c.first += CHUNK) {
        c.n = job->count - c.first < CHUNK ? job->count - c.first : CHUNK;
        status = run_chunk(s, &c, x, err);
        float *y = out + (size_t)c.first * dim;
        if (status == ATH_OK)
            for (size_t i = 0; i < (size_t)c.n * dim; i++) y[i] = (float)x[i];
    }
    free(x);
    free(variance);
    return status;
}
