/* What every sampler shares: views, evaluations, noise. See sampler.h. */
#include "diffusion/sampler.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "diffusion/brownian.h"

/* Where alpha is less than this part of sigma, x/alpha is taken as if it were that. It errs by x0/most_ratio; a double has digits
 * for more, but a Brownian path ends there (brownian.h). */
static const double most_ratio = 0x1p20;

struct ath_sample_run {
    ath_view view;          /* OWN or SIGMA, which the job's states are in now      */
    const ath_level *level; /* in the model's own coordinates, as they were given   */
    int n_steps, first;     /* as given; steps that are done before the sampler's   */
    ath_level *mine;        /* (n_steps + 1), in the sampler's                       */
    ath_level *own_levels;  /* (n)                                                   */
    double *scaled;         /* (n, dim): the model's x for the denoiser and on_step  */
    double *path,
        *path_at;       /* (n, dim), (n): where each image's Brownian path was last looked up; path_at < 0: nowhere */
    double *bridge;     /* 4 * dim */
    uint32_t last_cell; /* of fresh noise, and how many were drawn there */
    uint32_t repeats;
};

static double ratio_of(ath_level at) {
    const double ratio = at.alpha > 0 ? at.sigma / at.alpha : most_ratio;
    return ratio < most_ratio ? ratio : most_ratio;
}

static ath_level in_sigma_view(ath_level at) { return (ath_level){at.t, 1, at.sigma > 0 ? ratio_of(at) : 0}; }

/* The model's own level; its timestep stays, so that a level that was given is the one the network sees. */
static ath_level in_own_view(const ath_sample_job *job, ath_level at) {
    if (job->run->view == ATH_VIEW_OWN) return at;
    ath_level own = ath_process_level(&job->process, at.sigma);
    own.t = at.t;
    return own;
}

static const double *scaled_by_alpha(const ath_sample_job *job, const double *x, const ath_level *own, size_t each) {
    if (job->run->view == ATH_VIEW_OWN) return x;
    double *y = job->run->scaled;
    for (size_t i = 0; i < job->n; i++)
        for (size_t k = i * job->dim; k < (i + 1) * job->dim; k++) y[k] = own[i * each].alpha * x[k];
    return y;
}

static ath_status predict(ath_sample_job *job, const double *x, const ath_level *at, size_t each, double *x0) {
    ath_level *own = job->run->own_levels;
    for (size_t i = 0; i < (each ? job->n : 1); i++) own[i] = in_own_view(job, at[i]);
    job->nfe++;
    return job->net.x0(job->net.self, scaled_by_alpha(job, x, own, each), own, each, x0, job->err);
}

ath_status ath_predict(ath_sample_job *job, const double *x, ath_level at, double *x0) {
    return predict(job, x, &at, 0, x0);
}

ath_status ath_predict_each(ath_sample_job *job, const double *x, const ath_level *at, double *x0) {
    return predict(job, x, at, 1, x0);
}

ath_status ath_slope(ath_sample_job *job, const double *x, ath_level at, double *d) {
    ATH_TRY(ath_predict(job, x, at, d));
    for (size_t k = 0; k < job->n * job->dim; k++) d[k] = (x[k] - d[k]) / at.sigma;
    return ATH_OK;
}

ath_level ath_level_at(const ath_sample_job *job, double sigma) {
    if (job->run->view == ATH_VIEW_OWN) return ath_process_level(&job->process, sigma / (1 - sigma)); /* a flow's t */
    return in_sigma_view(ath_process_level(&job->process, sigma));
}

/* ---- noise ---- */

static uint64_t path_of(const ath_sample_job *job, size_t i) {
    return (job->first_image + i) / (job->images_per_path ? job->images_per_path : 1);
}

static ath_status keep_paths(ath_sample_job *job) {
    ath_sample_run *r = job->run;
    if (r->path) return ATH_OK;
    r->path = malloc(job->n * job->dim * sizeof *r->path);
    r->path_at = malloc(job->n * sizeof *r->path_at);
    r->bridge = malloc(4 * job->dim * sizeof *r->bridge);
    if (!r->path || !r->path_at || !r->bridge) return ath_fail(job->err, ATH_E_MEM, "out of memory for noise");
    for (size_t i = 0; i < job->n; i++) r->path_at[i] = -1;
    return ATH_OK;
}

/* z = (W(from) - W(to)) / sqrt(|from - to|); W(to) is kept, since the next way mostly starts there. */
static void draw_on_path(ath_sample_job *job, size_t i, double from, double to, double *z) {
    ath_sample_run *r = job->run;
    const uint64_t image = path_of(job, i);
    double *at = r->path + i * job->dim, *next = r->bridge + 3 * job->dim;
    if (r->path_at[i] != from) ath_brownian(job->rng, image, from, at, job->dim, r->bridge);
    ath_brownian(job->rng, image, to, next, job->dim, r->bridge);
    const double scale = from != to ? 1 / sqrt(fabs(from - to)) : 0;
    for (size_t k = 0; k < job->dim; k++) {
        z[k] = scale * (at[k] - next[k]);
        at[k] = next[k];
    }
    r->path_at[i] = to;
}

static ath_status draw_noise(ath_sample_job *job, const ath_level *from, const ath_level *to, size_t each, double *z) {
    const int k = job->draws++;
    if (job->noise.fill) return job->noise.fill(job->noise.self, k, z, job->err);
    ATH_TRY(keep_paths(job));
    for (size_t i = 0; i < job->n; i++)
        draw_on_path(job, i, ratio_of(from[i * each]), ratio_of(to[i * each]), z + i * job->dim);
    return ATH_OK;
}

ath_status ath_draw_noise(ath_sample_job *job, ath_level from, ath_level to, double *z) {
    return draw_noise(job, &from, &to, 0, z);
}

ath_status ath_draw_noise_each(ath_sample_job *job, const ath_level *from, const ath_level *to, double *z) {
    return draw_noise(job, from, to, 1, z);
}

ath_status ath_draw_fresh_noise(ath_sample_job *job, ath_level at, double *z) {
    const int k = job->draws++;
    if (job->noise.fill) return job->noise.fill(job->noise.self, k, z, job->err);
    ath_sample_run *r = job->run;
    /* 2^17 cells of log(sigma/alpha) from -14 to 14, and up to 2^9 draws in each */
    const double place = (log(ratio_of(at)) + 14) / 28;
    const uint32_t cell = (uint32_t)(fmax(0, fmin(place, 1)) * 0x1p17);
    r->repeats = cell == r->last_cell ? r->repeats + 1 : 0;
    r->last_cell = cell;
    for (size_t i = 0; i < job->n; i++) {
        const uint64_t index = path_of(job, i) << 27 | (uint64_t)cell << 9 | (r->repeats & 511);
        ath_rng_normal_f64(job->rng, ATH_S_SAMPLER, index, z + i * job->dim, job->dim);
    }
    return ATH_OK;
}

/* ---- the variance of x0 ---- */

bool ath_sampler_needs_x0_variance(const ath_sampler *s, const void *config) {
    return s->needs_x0_variance && s->needs_x0_variance(config);
}

/* E tr Cov[x0 | x]/dim = (sigma/alpha)^2 (1 - E|eps|^2/dim), eps = (x - alpha x0)/sigma with x0 of x: Bao et al. 2022,
 * arXiv:2201.06503, eq. 8, and theorem 2 for the bounds. States with more noise than their level says give less, and less is then
 * added. (An equal, (sigma/alpha) E <eps, x0>/dim, is less noisy for an exact denoiser, but of a trained network it was up to six
 * times too large, and its own excess makes it larger.) Where there is next to no signal it is a small difference of large numbers,
 * but counts for nothing. */
static double measured_x0_variance(const ath_sample_job *job, ath_level at, const double *x0) {
    if (at.alpha == 0) return 0;
    double squares = 0;
    const size_t len = job->n * job->dim;
    for (size_t k = 0; k < len; k++) squares += (job->x[k] - at.alpha * x0[k]) * (job->x[k] - at.alpha * x0[k]);
    const double variance = (at.sigma * at.sigma - squares / (double)len) / (at.alpha * at.alpha);
    const double most = job->pilot_most > 0 ? job->pilot_most : INFINITY;
    return fmax(0, fmin(variance, most));
}

double ath_x0_variance(ath_sample_job *job, int i, const double *x0) {
    if (!job->pilot) return job->x0_variance[i];
    return job->pilot[i] = measured_x0_variance(job, job->level[i], x0);
}

/* ---- a run ---- */

ath_status ath_step_done_at(ath_sample_job *job, int step, const double *x, const double *x0) {
    if (!job->on_step) return ATH_OK;
    const ath_level own = in_own_view(job, job->level[step + 1]);
    return job->on_step(job->user, job->run->first + step, scaled_by_alpha(job, x, &own, 0), x0);
}

ath_status ath_step_done(ath_sample_job *job, int step, const double *x0) {
    return ath_step_done_at(job, step, job->x, x0);
}

int ath_sampler_nfe(const ath_sampler *s, const void *config, int n_steps, bool to_clean) {
    if (s->adaptive) return 0;
    return s->nfe ? s->nfe(config, n_steps, to_clean) : n_steps * s->nfe_per_step;
}

static ath_status check_x0_variance(const ath_sampler *s, const ath_sample_job *job) {
    if (ath_sampler_needs_x0_variance(s, job->config) && !job->pilot && !job->x0_variance)
        return ath_fail(job->err, ATH_E_ARG, "%s: these options need the variance of x0 at each level", s->name);
    return ATH_OK;
}

static ath_status check_levels(const ath_sample_job *job) {
    if (job->n_steps < 1) return ath_fail(job->err, ATH_E_ARG, "%d steps: expected 1 or more", job->n_steps);
    for (int i = 0; i < job->n_steps; i++) {
        const ath_level s = job->level[i], t = job->level[i + 1];
        if (!(s.sigma > 0) || s.sigma * t.alpha < t.sigma * s.alpha)
            return ath_fail(job->err, ATH_E_ARG,
                            "level %d (alpha %g, sigma %g): expected noise in it, and no more in the next", i, s.alpha,
                            s.sigma);
    }
    return ATH_OK;
}

static ath_status allocate(const ath_sampler *s, ath_sample_job *job, ath_sample_run *r, bool scaled) {
    const size_t len = job->n * job->dim;
    r->mine = malloc(((size_t)job->n_steps + 1) * sizeof *r->mine);
    r->own_levels = malloc((job->n + 1) * sizeof *r->own_levels);
    if (scaled) r->scaled = malloc((len + 1) * sizeof *r->scaled);
    job->work = malloc(((size_t)s->n_work * len + 1) * sizeof *job->work);
    if (!r->mine || !r->own_levels || !job->work || (scaled && !r->scaled))
        return ath_fail(job->err, ATH_E_MEM, "out of memory for %zu images", job->n);
    return ATH_OK;
}

static void release(ath_sample_job *job, ath_sample_run *r) {
    free(r->mine);
    free(r->own_levels);
    free(r->scaled);
    free(r->path);
    free(r->path_at);
    free(r->bridge);
    free(job->work);
    job->level = r->level;
    job->n_steps = r->n_steps;
    job->work = NULL;
    job->run = NULL;
}

/* x by its view's scale at a level: out of the model's coordinates (`in` true), or back. */
static void scale_state(ath_sample_job *job, ath_level at, bool in) {
    if (job->run->view == ATH_VIEW_OWN) return;
    const double alpha = in_own_view(job, at).alpha, by = in ? 1 / alpha : alpha;
    for (size_t k = 0; k < job->n * job->dim; k++) job->x[k] *= by;
}

/* Whether a step leaves a level where noise is all there is, and goes far: down to less than an eighth, where x0 differs. (The
 * noisiest level of a capped grid is ath_most_vp_ratio but for rounding.) An adaptive sampler's steps are not known, and its error
 * is measured against x, which is large there: it begins where a signal does. */
static bool leaves_noise(const ath_sampler *s, const ath_process *p, ath_level from, ath_level to) {
    if (from.alpha == 0) return true;
    if (p->kind != ATH_PROCESS_VP) return false;
    const double ratio = from.sigma / from.alpha;
    if (s->adaptive) return ratio > ath_most_vp_ratio * (1 + 1e-12);
    return ratio >= ath_most_vp_ratio * (1 - 1e-12) && to.sigma < to.alpha * ratio / 8;
}

/* DDIM's step, in the model's coordinates. x0: work, then what the network says at s. */
static ath_status ddim_step(ath_sample_job *job, ath_level s, ath_level t, double *x0) {
    const double keep = t.sigma / s.sigma, gain = t.alpha - keep * s.alpha;
    ATH_TRY(ath_predict(job, job->x, s, x0));
    for (size_t k = 0; k < job->n * job->dim; k++) job->x[k] = keep * job->x[k] + gain * x0[k];
    return ATH_OK;
}

/* Steps to the first level with a signal, an adaptive sampler's to where one begins; *begin: where x is. */
static ath_status leave_noise(const ath_sampler *s, ath_sample_job *job, ath_level *begin) {
    double *x0 = job->work;
    while (job->n_steps > 0 && leaves_noise(s, &job->process, job->level[0], job->level[1])) {
        const ath_level from = job->level[0], to = job->level[1];
        if (s->adaptive && to.sigma < ath_most_vp_ratio * to.alpha) {
            *begin = ath_process_level(&job->process, ath_most_vp_ratio);
            return ddim_step(job, from, *begin, x0);
        }
        ATH_TRY(ddim_step(job, from, to, x0));
        ATH_TRY(ath_step_done(job, 0, x0));
        *begin = to;
        job->level++;
        job->n_steps--;
        job->run->first++;
    }
    return ATH_OK;
}

/* What is left of the job, from x at `begin`, in the sampler's view. */
static ath_status run_in_view(const ath_sampler *s, ath_sample_job *job, ath_level begin, ath_view view) {
    ath_sample_run *r = job->run;
    const int n = job->n_steps;
    for (int i = 0; i <= n; i++) {
        const ath_level at = i ? job->level[i] : begin;
        r->mine[i] = view == ATH_VIEW_OWN ? at : in_sigma_view(at);
    }
    r->view = view;
    job->level = r->mine;
    scale_state(job, job->level[0], true);
    const ath_status status = s->run(job);
    scale_state(job, job->level[n], false);
    return status;
}

ath_status ath_sampler_run(const ath_sampler *s, ath_sample_job *job) {
    ATH_TRY(check_levels(job));
    ATH_TRY(check_x0_variance(s, job));
    const bool own = s->view == ATH_VIEW_OWN || (s->view == ATH_VIEW_ODE && job->process.kind == ATH_PROCESS_FLOW);
    ath_sample_run r = {.level = job->level, .n_steps = job->n_steps, .last_cell = UINT32_MAX};
    job->run = &r;
    job->nfe = job->draws = 0;
    ath_status status = allocate(s, job, &r, !own);
    ath_level begin = job->level[0];
    if (status == ATH_OK && s->needs_signal && !own) status = leave_noise(s, job, &begin);
    if (status == ATH_OK && job->n_steps > 0) status = run_in_view(s, job, begin, own ? ATH_VIEW_OWN : ATH_VIEW_SIGMA);
    release(job, &r);
    return status;
}
