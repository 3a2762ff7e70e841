/* DPM-Solver-12 and -23 with adaptive steps: Lu et al. 2022, arXiv:2206.00927, appendix C ("adaptive step size solvers"), with
 * k-diffusion's controller (sample_dpm_adaptive): in lambda = -log sigma, a PID rule on the inverse of
 *     E = rms((low - high) / max(atol, rtol max(|low|, |low before|))),   w = 1/(E + 1e-8)
 *     h *= 1 + atan(w^b1 w'^b2 w''^b3 - 1),   (b1, b2, b3) = (P + I + D, -(P + 2 D), D) / order
 * w' and w'' of the last two steps that were kept; a step is kept when h grows or falls to no less than accept_safety. With eta
 * ancestral noise after each step, and 1.5 for the order. It goes from the first level to the last that is not clean;
 * levels between are reported, not visited; onto the clean level one evaluation, which gives x0. Two or three evaluations a step.
 *
 * control=image gives each image its own steps, so that it does not depend on its batch; batch takes the norm over all, as
 * k-diffusion does. In a batch all images are evaluated until the last one arrives. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "solver/dpm_step.h"
#include "solver/own_steps.h"

typedef struct dpm_adaptive_config {
    int order;
    double rtol, atol, h_init, pcoeff, icoeff, dcoeff, accept_safety;
    ath_ancestral noise;
    char control[ATH_TEXT_LEN];
} dpm_adaptive_config;

static const ath_option options[] = {
    {.name = "order",
     .type = ATH_OPT_INT,
     .offset = offsetof(dpm_adaptive_config, order),
     .dflt = "3",
     .min = 2,
     .max = 3,
     .help = "of the step that is kept"},
    {.name = "rtol",
     .type = ATH_OPT_FLOAT,
     .offset = offsetof(dpm_adaptive_config, rtol),
     .dflt = "0.05",
     .min = 1e-12,
     .max = 1,
     .help = "error allowed in a step, relative to the state"},
    {.name = "atol",
     .type = ATH_OPT_FLOAT,
     .offset = offsetof(dpm_adaptive_config, atol),
     .dflt = "0.0078",
     .min = 1e-12,
     .max = 1,
     .help = "the same, absolute"},
    {.name = "h_init",
     .type = ATH_OPT_FLOAT,
     .offset = offsetof(dpm_adaptive_config, h_init),
     .dflt = "0.05",
     .min = 1e-6,
     .max = 10,
     .help = "the first step, in log sigma"},
    {.name = "pcoeff",
     .type = ATH_OPT_FLOAT,
     .offset = offsetof(dpm_adaptive_config, pcoeff),
     .dflt = "0",
     .min = -10,
     .max = 10,
     .help = "P of the step size controller"},
    {.name = "icoeff",
     .type = ATH_OPT_FLOAT,
     .offset = offsetof(dpm_adaptive_config, icoeff),
     .dflt = "1",
     .min = -10,
     .max = 10,
     .help = "I of the step size controller"},
    {.name = "dcoeff",
     .type = ATH_OPT_FLOAT,
     .offset = offsetof(dpm_adaptive_config, dcoeff),
     .dflt = "0",
     .min = -10,
     .max = 10,
     .help = "D of the step size controller"},
    {.name = "accept_safety",
     .type = ATH_OPT_FLOAT,
     .offset = offsetof(dpm_adaptive_config, accept_safety),
     .dflt = "0.81",
     .min = 0.3,
     .max = 1,
     .help = "a step is kept unless the next would be shorter than this part of it"},
    ATH_ANCESTRAL_OPTIONS(dpm_adaptive_config, "0", 1),
    ATH_CONTROL_OPTION(dpm_adaptive_config),
};

/* Where an image is, in lambda: at s, trying for t. */
typedef struct image {
    double s, t, h, up;
    double inverse[3]; /* of the errors: now, of the last step kept, of the one before */
    bool kept;
} image;

typedef struct solver {
    ath_sample_job *job;
    const dpm_adaptive_config *config;
    int tries;
    image *image;                            /* (n)            */
    ath_level *high_at, *low_at;             /* (n): for noise */
    double *norm;                            /* (n)            */
    double *high, *low, *low_before, *scale; /* (n, dim) each */
    ath_dpm_step step;
    ath_trace trace;
} solver;

/* Chooses the next step's length from this one's error, and whether this one is kept. */
static ath_status judge(solver *v, size_t i) {
    const dpm_adaptive_config *config = v->config;
    image *m = &v->image[i];
    const double order = config->noise.eta > 0 ? 1.5 : config->order, p = config->pcoeff, d = config->dcoeff;
    const double now = 1 / (v->norm[i] + 1e-8);
    for (int k = 1; k < 3; k++)
        if (m->inverse[k] == 0) m->inverse[k] = now;
    double factor = pow(now, (p + config->icoeff + d) / order) * pow(m->inverse[1], -(p + 2 * d) / order) *
                    pow(m->inverse[2], d / order);
    factor = 1 + atan(factor - 1);
    m->kept = factor >= config->accept_safety;
    m->h *= factor;
    if (m->kept) {
        m->inverse[2] = m->inverse[1];
        m->inverse[1] = now;
    }
    if (isnan(factor) || (!m->kept && m->h < 1e-10) || v->tries > ATH_MOST_TRIES)
        return ath_fail(v->job->err, ATH_E_ARG, "dpm_adaptive: no step at sigma %g has an error below rtol %g, atol %g",
                        exp(-m->s), config->rtol, config->atol);
    return ATH_OK;
}

/* One try of every image: s->high is the step, norm its error. */
static ath_status try_steps(solver *v) {
    const ath_sample_job *job = v->job;
    const dpm_adaptive_config *config = v->config;
    const size_t n = job->n, dim = job->dim;
    v->tries++;
    for (size_t i = 0; i < n; i++) {
        image *m = &v->image[i];
        m->t = m->s + m->h < v->step.end - 1e-5 ? m->s + m->h : v->step.end;
        v->step.from[i] = m->s;
        v->step.to[i] = ath_dpm_down(m->s, m->t, v->step.end, config->noise.eta, &m->up);
    }
    ATH_TRY(ath_dpm_step_take(v->job, &v->step, config->order, job->x, v->high, v->low));
    double *error = v->step.d; /* free between steps */
    for (size_t k = 0; k < n * dim; k++) {
        error[k] = v->low[k] - v->high[k];
        v->scale[k] = fmax(config->atol, config->rtol * fmax(fabs(v->low[k]), fabs(v->low_before[k])));
    }
    ath_error_norms(job, config->control, error, v->scale, v->norm);
    return ATH_OK;
}

/* Adds the noise of the steps that are kept to s->high. */
static ath_status add_noise(solver *v) {
    ath_sample_job *job = v->job;
    bool any = false;
    for (size_t i = 0; i < job->n; i++) {
        const image *m = &v->image[i];
        v->high_at[i] = ath_level_at(job, exp(-m->s));
        v->low_at[i] = m->kept ? ath_level_at(job, exp(-m->t)) : v->high_at[i];
        any = any || m->kept;
    }
    double *z = v->step.d;
    if (!any) return ATH_OK;
    ATH_TRY(ath_draw_noise_each(job, v->high_at, v->low_at, z));
    for (size_t k = 0; k < job->n * job->dim; k++) {
        const image *m = &v->image[k / job->dim];
        if (m->kept) v->high[k] += m->up * v->config->noise.s_noise * z[k];
    }
    return ATH_OK;
}

static bool has_arrived(const solver *v, size_t i) { return v->image[i].s == v->step.end; }

static bool all_have_arrived(const solver *v) {
    for (size_t i = 0; i < v->job->n; i++)
        if (!has_arrived(v, i)) return false;
    return true;
}

/* Judges the tries and goes on with those that are kept. */
static ath_status advance(solver *v) {
    const size_t n = v->job->n, dim = v->job->dim;
    double *x = v->job->x;
    for (size_t i = 0; i < n; i++) {
        v->image[i].kept = false;
        if (has_arrived(v, i)) continue;
        ATH_TRY(ath_trace_state(&v->trace, i, exp(-v->image[i].s), x + i * dim, v->step.x0 + i * dim));
        ATH_TRY(judge(v, i));
    }
    if (v->config->noise.eta > 0) ATH_TRY(add_noise(v));
    for (size_t i = 0; i < n; i++) {
        if (!v->image[i].kept) continue;
        v->image[i].s = v->image[i].t;
        memcpy(x + i * dim, v->high + i * dim, dim * sizeof *x);
        memcpy(v->low_before + i * dim, v->low + i * dim, dim * sizeof *x);
    }
    return ath_trace_tell(&v->trace);
}

static ath_status solve(solver *v) {
    const size_t n = v->job->n;
    memcpy(v->low_before, v->job->x, n * v->job->dim * sizeof *v->low_before);
    for (size_t i = 0; i < n; i++) v->image[i] = (image){.s = v->step.start, .h = v->config->h_init};
    while (!all_have_arrived(v)) {
        ATH_TRY(try_steps(v));
        ATH_TRY(advance(v));
    }
    return ath_trace_finish(&v->trace, v->step.x0, false);
}

static ath_status run(ath_sample_job *job) {
    const size_t n = job->n, len = n * job->dim;
    double *work = job->work + ATH_DPM_STATES * len;
    solver v = {.job = job, .config = job->config};
    v.high = work;
    v.low = work + len;
    v.low_before = work + 2 * len;
    v.scale = work + 3 * len;
    v.image = malloc((n + 1) * sizeof *v.image);
    v.norm = malloc((n + 1) * sizeof *v.norm);
    v.high_at = malloc((2 * n + 1) * sizeof *v.high_at);
    v.low_at = v.high_at ? v.high_at + n : NULL;
    const bool enough = v.image && v.norm && v.high_at;
    ath_status status = enough ? ATH_OK : ath_fail(job->err, ATH_E_MEM, "out of memory for %zu images", n);
    if (status == ATH_OK) status = ath_dpm_step_begin(&v.step, job, job->work);
    if (status == ATH_OK) status = ath_trace_begin(&v.trace, job);
    if (status == ATH_OK) status = solve(&v);
    ath_trace_free(&v.trace);
    ath_dpm_step_free(&v.step);
    free(v.image);
    free(v.norm);
    free(v.high_at);
    return status;
}

const ath_sampler ath_sampler_dpm_adaptive = {
    .name = "dpm_adaptive",
    .summary = "DPM-Solver with steps by tolerance, 30 to 60 evaluations",
    .paper = "arXiv:2206.00927",
    .order = 3,
    .nfe_per_step = 3,
    .n_work = ATH_DPM_STATES + 4,
    .adaptive = true,
    .needs_signal = true,
    .view = ATH_VIEW_SIGMA,
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .config_size = sizeof(dpm_adaptive_config),
    .run = run,
};
